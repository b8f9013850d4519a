//! IN, OUT and the I/O permission bitmap (SDM Vol. 1, chapter 19).

use crate::exec::{Cx, Exec, Handler, Insn, PIO_NS};
use iced_x86::{Instruction, Mnemonic, OpKind};

impl Cx<'_> {
    /// Whether the current privilege may access `size` bytes of ports from `port`: IOPL, else the TSS's bitmap.
    pub fn check_io(&mut self, port: u16, size: u8) -> Exec {
        let free = !self.cpu.protected() || (self.cpu.system.cpl <= self.iopl() && !self.cpu.virtual_8086());
        if free {
            return Ok(());
        }
        let tr = self.cpu.system.tr;
        if tr.access & 8 == 0 || tr.limit < 0x67 {
            return Err(self.gp(0));
        }
        let map = u64::from(self.load_system::<u16>(tr.base.wrapping_add(0x66))?);
        let byte = map + u64::from(port / 8);
        // Two bytes are read, so the bitmap must have a byte after the last used.
        if byte + 1 > u64::from(tr.limit) {
            return Err(self.gp(0));
        }
        let bits = self.load_system::<u16>(tr.base.wrapping_add(byte))?;
        let mask = ((1u16 << size) - 1) << (port & 7);
        if bits & mask != 0 { Err(self.gp(0)) } else { Ok(()) }
    }
}

fn port<const IMMEDIATE: bool>(cx: &Cx, i: &Insn) -> u16 {
    if IMMEDIATE { i.imm as u8 as u16 } else { cx.get::<u16>(2) }
}

fn in_<const SIZE: u8, const IMMEDIATE: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    let port = port::<IMMEDIATE>(cx, i);
    cx.check_io(port, SIZE)?;
    let now = cx.now();
    let value = cx.bus.pio_read(cx.mmu, now, port, SIZE);
    tracing::trace!(target: "io", "in {port:#06x} size {SIZE} = {value:#x}");
    match SIZE {
        1 => cx.put(0, value as u8),
        2 => cx.put(0, value as u16),
        _ => cx.put(0, value),
    }
    cx.after_bus(PIO_NS - 1);
    cx.watch_io(port, SIZE);
    Ok(())
}

fn out<const SIZE: u8, const IMMEDIATE: bool>(cx: &mut Cx, i: &Insn) -> Exec {
    let port = port::<IMMEDIATE>(cx, i);
    cx.check_io(port, SIZE)?;
    let value = cx.get::<u32>(0) & (!0 >> (32 - 8 * u32::from(SIZE)));
    let now = cx.now();
    tracing::trace!(target: "io", "out {port:#06x} size {SIZE} = {value:#x}");
    cx.bus.pio_write(cx.mmu, now, port, SIZE, value);
    cx.after_bus(PIO_NS - 1);
    cx.watch_io(port, SIZE);
    Ok(())
}

/// The function for an instruction of this group.
pub fn select(instr: &Instruction) -> Option<Handler> {
    let input = match instr.mnemonic() {
        Mnemonic::In => true,
        Mnemonic::Out => false,
        _ => return None,
    };
    let (data, address) = if input { (0, 1) } else { (1, 0) };
    let immediate = instr.op_kind(address) != OpKind::Register;
    let size = instr.op_register(data).size();
    Some(match (input, size, immediate) {
        (true, 1, true) => in_::<1, true>,
        (true, 2, true) => in_::<2, true>,
        (true, _, true) => in_::<4, true>,
        (true, 1, false) => in_::<1, false>,
        (true, 2, false) => in_::<2, false>,
        (true, _, false) => in_::<4, false>,
        (false, 1, true) => out::<1, true>,
        (false, 2, true) => out::<2, true>,
        (false, _, true) => out::<4, true>,
        (false, 1, false) => out::<1, false>,
        (false, 2, false) => out::<2, false>,
        (false, _, false) => out::<4, false>,
    })
}
