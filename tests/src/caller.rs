//! A guest to debug, and machines that remember their past.

use crate::program::Scratch;
use amber_emu::config::{Engine, FlatImage, HistoryChoice, MachineConfig};

/// A machine that remembers its past.
pub fn remembering(engine: Engine) -> MachineConfig {
    MachineConfig {
        engine,
        memory: "64M".parse().expect("a size"),
        history: Some(HistoryChoice::Bytes(256 << 20)),
        ..MachineConfig::default()
    }
}

/// The same with [`CALLER`], in a folder.
pub fn caller(folder: &Scratch, engine: Engine) -> MachineConfig {
    let flat = FlatImage { file: folder.file("caller.bin", CALLER), address: 0x10_0000 };
    MachineConfig { flat: Some(flat), ..remembering(engine) }
}

/// A guest that calls a function in a function for ever, counts that, and stores the count:
///
/// ```text
/// 100000        mov rsp, 200000h
/// 100007 main:  call outer
/// 10000C        inc rbx
/// 10000F        mov [300000h], rbx
/// 100017        jmp main
/// 100019 outer: push rax
/// 10001A        call inner
/// 10001F        pop rax
/// 100020        ret
/// 100021 inner: add rax, 2
/// 100025        ret
/// ```
pub const CALLER: &[u8] =
    b"\x48\xC7\xC4\x00\x00\x20\x00\xE8\x0D\x00\x00\x00\x48\xFF\xC3\x48\x89\x1C\x25\x00\x00\x30\x00\xEB\xEE\
    \x50\xE8\x02\x00\x00\x00\x58\xC3\x48\x83\xC0\x02\xC3";
/// Its symbols.
pub const MAP: &[u8] = b"0000000000100007 T main\n0000000000100019 T outer\n0000000000100021 T inner\n0000000000300000 D counter\n";
