//! Boot loading from files: what a user can name on the command line.

use amber_emu::boot::{BootEntry, BootError, BootMemory, load_guest};
use amber_emu::config::{Firmware, FlatImage, Guest};
use std::path::{Path, PathBuf};

fn memory() -> BootMemory {
    BootMemory::pc(512 << 20, 2 << 30, None)
}

fn temporary(name: &str, bytes: &[u8]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("amber-boot-{}-{name}", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn embedded_images_start_at_the_reset_vector() {
    let all = [Firmware::Monitor, Firmware::Selftest, Firmware::Interrupts, Firmware::Paging, Firmware::Smp];
    for firmware in all {
        let image = load_guest(&Guest::Embedded(firmware), &memory()).unwrap();
        let rom = image.rom.unwrap();
        assert_eq!(image.entry, BootEntry::Reset);
        assert!(rom.bytes.len().is_multiple_of(4096));
    }
}

#[test]
fn files_that_cannot_be_guests() {
    let kernel = |path| Guest::Kernel { kernel: path, initrd: None, append: "" };
    let folder = std::env::temp_dir();
    assert!(matches!(load_guest(&kernel(&folder), &memory()), Err(BootError::Directory { .. })));
    let empty = temporary("empty", b"");
    assert!(matches!(load_guest(&Guest::Rom(&empty), &memory()), Err(BootError::Empty { .. })));
    let text = temporary("text", b"not a kernel");
    assert!(matches!(load_guest(&kernel(&text), &memory()), Err(BootError::Unrecognised { .. })));
    let missing = Path::new("/nonexistent/initrd");
    let error = load_guest(&Guest::Kernel { kernel: &text, initrd: Some(missing), append: "" }, &memory());
    assert!(error.unwrap_err().to_string().starts_with("/nonexistent/initrd: cannot be read"));
    let huge = temporary("huge", b"");
    std::fs::File::options().write(true).open(&huge).unwrap().set_len(1 << 40).unwrap();
    assert!(matches!(load_guest(&kernel(&huge), &memory()), Err(BootError::TooLarge { .. })));
    for path in [empty, text, huge] {
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn flat_binary_from_a_file() {
    let file = temporary("flat", &[0xF4; 16]);
    let image =
        load_guest(&Guest::Flat(&FlatImage { file: file.clone(), address: 0x10_0000 }), &memory()).unwrap();
    std::fs::remove_file(file).unwrap();
    assert!(matches!(image.entry, BootEntry::Long64 { rip: 0x10_0000, .. }));
}

/// Third-party kernels are never committed: `AMBER_TEST_KERNEL` names one.
#[test]
fn a_real_kernel_is_placed_whole() {
    let Some(kernel) = std::env::var_os("AMBER_TEST_KERNEL") else {
        eprintln!("skipped: AMBER_TEST_KERNEL names no bzImage");
        return;
    };
    let guest = Guest::Kernel { kernel: Path::new(&kernel), initrd: None, append: "console=ttyS0" };
    let image = load_guest(&guest, &memory()).unwrap();
    let BootEntry::Long64 { rip, rsi, .. } = image.entry else { panic!("{:?}", image.entry) };
    let (address, bytes) = image.writes.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    assert_eq!(rip, address + 0x200);
    assert!(bytes.len() > 1 << 20);
    let params = image.writes.iter().find(|(at, _)| *at == rsi).unwrap();
    assert_eq!(&params.1[0x202..0x206], b"HdrS");
}
