use super::*;
use proptest::prelude::*;

const MIB: u64 = 1 << 20;

fn memory(ram: u64) -> BootMemory {
    BootMemory::pc(ram, 2 << 30, Some(0xE_0000))
}

fn file(bytes: &[u8]) -> BootFile<'_> {
    BootFile { name: "guest", bytes }
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}

/// A minimal relocatable 64-bit bzImage with one setup sector and 64 KiB of payload.
fn bzimage_file() -> Vec<u8> {
    let mut bytes = vec![0x90; 1024 + 0x1_0000];
    bytes[..1024].fill(0);
    bytes[0x1F1] = 1;
    put(&mut bytes, 0x1F4, 0x1000u32.to_le_bytes());
    put(&mut bytes, 0x1FE, 0xAA55u16.to_le_bytes());
    put(&mut bytes, 0x200, [0xEB, 0x6A]);
    put(&mut bytes, 0x202, *b"HdrS");
    put(&mut bytes, 0x206, 0x020Fu16.to_le_bytes());
    bytes[0x211] = 1;
    put(&mut bytes, 0x22C, 0x7FFF_FFFFu32.to_le_bytes());
    put(&mut bytes, 0x230, 0x20_0000u32.to_le_bytes());
    bytes[0x234] = 1;
    put(&mut bytes, 0x236, 3u16.to_le_bytes());
    put(&mut bytes, 0x238, 2047u32.to_le_bytes());
    put(&mut bytes, 0x258, (16 * MIB).to_le_bytes());
    put(&mut bytes, 0x260, 0x10_0000u32.to_le_bytes());
    bytes
}

/// An ELF of either class with one segment of `bytes` at `paddr` and optionally a PVH note.
fn elf_file(wide: bool, paddr: u64, bytes: &[u8], memsz: u64, note: Option<u32>) -> Vec<u8> {
    let (header, entry) = if wide { (64, 56) } else { (52, 32) };
    let count = 1 + usize::from(note.is_some());
    let data = header + count * entry;
    let note_at = (data + bytes.len()).next_multiple_of(4);
    let mut elf = vec![0; note_at];
    put(&mut elf, 0, [0x7F, b'E', b'L', b'F', 1 + u8::from(wide), 1, 1]);
    put(&mut elf, 16, 2u16.to_le_bytes());
    put(&mut elf, 18, if wide { 62u16 } else { 3 }.to_le_bytes());
    put(&mut elf, 20, 1u32.to_le_bytes());
    put_word(&mut elf, wide, 24, paddr);
    put_word(&mut elf, wide, if wide { 32 } else { 28 }, header as u64);
    let sizes = if wide { 52 } else { 40 };
    put(&mut elf, sizes, (header as u16).to_le_bytes());
    put(&mut elf, sizes + 2, (entry as u16).to_le_bytes());
    put(&mut elf, sizes + 4, (count as u16).to_le_bytes());
    put_program(&mut elf[header..], wide, 1, data as u64, paddr, bytes.len() as u64, memsz);
    if note.is_some() {
        put_program(&mut elf[header + entry..], wide, 4, note_at as u64, 0, 20, 20);
    }
    elf[data..data + bytes.len()].copy_from_slice(bytes);
    for word in note.into_iter().flat_map(|value| [4, 4, 18, u32::from_le_bytes(*b"Xen\0"), value]) {
        elf.extend(word.to_le_bytes());
    }
    elf
}

fn put_word(bytes: &mut [u8], wide: bool, at: usize, value: u64) {
    if wide { put(bytes, at, value.to_le_bytes()) } else { put(bytes, at, (value as u32).to_le_bytes()) }
}

fn put_program(bytes: &mut [u8], wide: bool, kind: u32, offset: u64, paddr: u64, filesz: u64, memsz: u64) {
    put(bytes, 0, kind.to_le_bytes());
    let word = if wide { 8 } else { 4 };
    let base = if wide { 8 } else { 4 };
    for (i, value) in [offset, paddr, paddr, filesz, memsz].into_iter().enumerate() {
        put_word(bytes, wide, base + i * word, value);
    }
    put_word(bytes, wide, base + 5 * word + if wide { 0 } else { 4 }, 4);
}

fn multiboot_header(flags: u32) -> Vec<u8> {
    let checksum = 0u32.wrapping_sub(0x1BAD_B002).wrapping_sub(flags);
    [0x1BAD_B002, flags, checksum].into_iter().flat_map(u32::to_le_bytes).collect()
}

/// A raw multiboot kernel of `size` bytes at 1 MiB.
fn kludge_file(size: usize, bss_end: u32) -> Vec<u8> {
    let mut bytes = multiboot_header(0x1_0003);
    for value in [0x10_0000, 0x10_0000, 0x10_0000 + size as u32, bss_end, 0x10_0020] {
        bytes.extend(u32::to_le_bytes(value));
    }
    bytes.resize(size, 0x90);
    bytes
}

/// RAM after the writes, as the guest would see it.
fn apply(image: &BootImage, size: usize) -> Vec<u8> {
    let mut ram = vec![0; size];
    for (gpa, bytes) in &image.writes {
        ram[*gpa as usize..*gpa as usize + bytes.len()].copy_from_slice(bytes);
    }
    ram
}

fn word(ram: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(ram[at..at + 4].try_into().unwrap())
}

fn assert_in_ram(image: &BootImage, memory: &BootMemory) {
    for (gpa, bytes) in &image.writes {
        let end = gpa + bytes.len() as u64;
        let inside =
            memory.e820.iter().any(|e| e.kind == E820Kind::Ram && e.addr <= *gpa && end <= e.addr + e.size);
        assert!(inside, "{gpa:#x}..{end:#x}");
    }
}

#[test]
fn bzimage_enters_in_long_mode_with_boot_params() {
    let memory = memory(64 * MIB);
    let initrd = vec![7; 5000];
    let image = load_kernel(file(&bzimage_file()), Some(file(&initrd)), "console=ttyS0", &memory).unwrap();
    assert_in_ram(&image, &memory);
    let BootEntry::Long64 { rip, rsi, cr3, gdt, cs, ds, .. } = image.entry else { panic!() };
    assert_eq!((rip, cs, ds, gdt.limit), (16 * MIB + 0x200, 0x10, 0x18, 31));
    let ram = apply(&image, 64 << 20);
    let params = rsi as usize;
    assert_eq!(&ram[params + 0x202..params + 0x206], b"HdrS");
    assert_eq!(ram[params + 0x210], 0xFF);
    let cmdline = word(&ram, params + 0x228) as usize;
    assert_eq!(&ram[cmdline..cmdline + 14], b"console=ttyS0\0");
    let placed = word(&ram, params + 0x218) as usize;
    assert_eq!((word(&ram, params + 0x21C), placed % 4096), (5000, 0));
    assert_eq!(ram[placed..placed + 5000], initrd);
    assert_eq!(ram[params + 0x1E8] as usize, memory.e820.len());
    assert_eq!(word(&ram, params + 0x70), 0xE_0000);
    assert_eq!(word(&ram, cr3 as usize) & 0xFFF, 3);
    assert_eq!(word(&ram, gdt.base as usize + 20), 0x00AF_9B00);
}

#[test]
fn bzimage_moves_when_its_address_is_not_ram() {
    let image = load_kernel(file(&bzimage_file()), None, "", &memory(8 * MIB)).unwrap();
    assert!(matches!(image.entry, BootEntry::Long64 { rip: 0x20_0200, .. }));
    let mut fixed = bzimage_file();
    fixed[0x234] = 0;
    let error = load_kernel(file(&fixed), None, "", &memory(8 * MIB)).unwrap_err();
    assert!(error.to_string().contains("--memory"), "{error}");
}

#[test]
fn initrd_honours_its_limits() {
    let memory = BootMemory::pc(6 << 30, 64 * MIB, None);
    let big = vec![1; 60 << 20];
    let image = load_kernel(file(&bzimage_file()), Some(file(&big)), "", &memory).unwrap();
    assert!(image.writes.iter().any(|(gpa, bytes)| *gpa > 4 << 30 && bytes.len() == big.len()));
    let mut below = bzimage_file();
    below[0x236] = 1;
    let error = load_kernel(file(&below), Some(file(&big)), "", &memory).unwrap_err();
    assert!(matches!(error, BootError::NoRoom { what: "the initrd", .. }));
    let mut limited = bzimage_file();
    put(&mut limited, 0x22C, 0x3F_FFFFu32.to_le_bytes());
    let image = load_kernel(file(&limited), Some(file(&[1; 4096])), "", &memory).unwrap();
    assert!(image.writes.contains(&(0x3F_F000, vec![1; 4096])));
}

#[test]
fn bzimage_errors_name_field_and_remedy() {
    type Edit = fn(&mut Vec<u8>);
    let cases: [(Edit, &str); 5] = [
        (|b| put(b, 0x206, [0x05, 0x02]), "boot protocol version is 0x205"),
        (|b| b[0x236] = 0, "32-bit kernel"),
        (|b| b[0x211] = 0, "zImage"),
        (|b| b.truncate(3000), "truncated"),
        (|b| put(b, 0x230, [3, 0, 0, 0]), "kernel_alignment"),
    ];
    for (edit, expected) in cases {
        let mut bytes = bzimage_file();
        edit(&mut bytes);
        let error = load_kernel(file(&bytes), None, "", &memory(64 * MIB)).unwrap_err().to_string();
        assert!(error.starts_with("guest: ") && error.contains(expected), "{error}");
    }
    let long = "x".repeat(3000);
    let error = load_kernel(file(&bzimage_file()), None, &long, &memory(64 * MIB)).unwrap_err().to_string();
    assert!(error.contains("cmdline_size 2047"), "{error}");
}

#[test]
fn pvh_hands_over_start_info() {
    let memory = memory(64 * MIB);
    for wide in [false, true] {
        let kernel = elf_file(wide, MIB, b"code", 0x2000, Some(0x10_0040));
        assert_eq!(recognise(file(&kernel)).unwrap(), KernelKind::Pvh);
        let image = load_kernel(file(&kernel), Some(file(b"module")), "quiet", &memory).unwrap();
        assert_in_ram(&image, &memory);
        let BootEntry::Protected32 { eip: 0x10_0040, ebx, .. } = image.entry else { panic!() };
        let ram = apply(&image, 64 << 20);
        let info = ebx as usize;
        assert_eq!((word(&ram, info), word(&ram, info + 4), word(&ram, info + 12)), (0x336E_C578, 1, 1));
        let module = word(&ram, word(&ram, info + 16) as usize) as usize;
        assert_eq!(&ram[module..module + 6], b"module");
        let cmdline = word(&ram, info + 24) as usize;
        assert_eq!(&ram[cmdline..cmdline + 6], b"quiet\0");
        assert_eq!(word(&ram, info + 48) as usize, memory.e820.len());
        assert_eq!(&ram[MIB as usize..MIB as usize + 4], b"code");
    }
}

#[test]
fn multiboot_elf_and_raw() {
    let memory = memory(64 * MIB);
    let elf = elf_file(false, MIB, &multiboot_header(3), 0x1000, None);
    let raw = kludge_file(0x100, 0x11_0000);
    for (kernel, entry) in [(elf, 0x10_0000), (raw, 0x10_0020)] {
        assert_eq!(recognise(file(&kernel)).unwrap(), KernelKind::Multiboot);
        let image = load_kernel(file(&kernel), Some(file(b"mod")), "a b", &memory).unwrap();
        assert_in_ram(&image, &memory);
        let BootEntry::Protected32 { eip, eax, ebx } = image.entry else { panic!() };
        assert_eq!((eip, eax), (entry, 0x2BAD_B002));
        let ram = apply(&image, 64 << 20);
        let info = ebx as usize;
        assert_eq!((word(&ram, info + 4), word(&ram, info + 8)), (640, 63 * 1024));
        let cmdline = word(&ram, info + 16) as usize;
        assert_eq!(&ram[cmdline..cmdline + 10], b"guest a b\0");
        let module = word(&ram, info + 24) as usize;
        assert_eq!(word(&ram, module + 4) - word(&ram, module), 3);
        assert_eq!(word(&ram, info + 44) as usize, memory.e820.len() * 24);
    }
    let video = elf_file(false, MIB, &multiboot_header(7), 0x1000, None);
    let error = load_kernel(file(&video), None, "", &memory).unwrap_err().to_string();
    assert!(error.contains("multiboot flags is 0x7"), "{error}");
}

#[test]
fn segments_outside_ram_are_refused() {
    let memory = memory(64 * MIB);
    for (paddr, memsz) in
        [(0xFEE0_0000, 0x1000), (63 * MIB, 2 * MIB), (u64::MAX - 1, 16), (MIB, u64::MAX), (0xA_0000, 16)]
    {
        let kernel = elf_file(true, paddr, b"code", memsz, Some(0x10_0000));
        let error = load_kernel(file(&kernel), None, "", &memory).unwrap_err();
        assert!(matches!(error, BootError::NotRam { .. }), "{paddr:#x}: {error}");
    }
}

#[test]
fn roms_are_filled_up_to_pages_at_the_front() {
    let small = rom::load(file(&[0xF4; 100])).unwrap().rom.unwrap();
    assert_eq!(small.bytes.len(), 4096);
    assert_eq!((small.bytes[0], small.bytes[4095]), (0xFF, 0xF4));
    assert!(rom::load(file(&[0; 8])).is_err());
    assert!(rom::load(file(&vec![0; rom::MAX_ROM + 1])).is_err());
}

#[test]
fn what_lies_behind_a_segment_is_zero() {
    let memory = memory(64 * MIB);
    let zeros = |kernel: &[u8]| load_kernel(file(kernel), None, "", &memory).unwrap().zeros;
    let header = multiboot_header(3);
    assert_eq!(zeros(&elf_file(false, MIB, &header, 0x1000, None)), [(MIB + 12, 0x1000 - 12)]);
    assert_eq!(zeros(&elf_file(true, MIB, b"code", 0x1000, Some(0x10_0000))), [(MIB + 4, 0x1000 - 4)]);
    assert_eq!(zeros(&kludge_file(0x100, 0x11_0000)), [(0x10_0100, 0xFF00)]);
}

#[test]
fn a_multiboot_kernel_linked_high_is_entered_where_it_lies() {
    let memory = memory(64 * MIB);
    let mut elf = elf_file(false, MIB, &multiboot_header(3), 0x1000, None);
    // p_vaddr and e_entry.
    put(&mut elf, 52 + 8, 0xC010_0000u32.to_le_bytes());
    put(&mut elf, 24, 0xC010_0010u32.to_le_bytes());
    let entry = |elf: &[u8]| load_kernel(file(elf), None, "", &memory).unwrap().entry;
    // A segment without code says nothing about entries.
    assert!(matches!(entry(&elf), BootEntry::Protected32 { eip: 0xC010_0010, .. }));
    put(&mut elf, 52 + 24, 5u32.to_le_bytes());
    assert!(matches!(entry(&elf), BootEntry::Protected32 { eip: 0x10_0010, .. }));
}

#[test]
fn flat_binary_is_entered_where_it_lies() {
    let memory = memory(MIB);
    let image = flat::load(file(&[0x90; 64]), 0x8000, &memory).unwrap();
    assert_in_ram(&image, &memory);
    assert!(matches!(image.entry, BootEntry::Long64 { rip: 0x8000, rsi: 0, .. }));
    assert!(flat::load(file(&[1]), MIB, &memory).is_err());
    assert!(flat::load(file(&[1]), u64::MAX, &memory).is_err());
    assert!(flat::load(file(&[]), 0x8000, &memory).is_err());
}

#[test]
fn unusable_files_are_sentences() {
    let error = |bytes: &[u8]| load_kernel(file(bytes), None, "", &memory(MIB)).unwrap_err().to_string();
    assert!(error(b"").contains("0 bytes"));
    assert!(error(b"#!/bin/sh").contains("begins with 23 21 2f 62"));
    assert!(error(&elf_file(true, MIB, b"x", 1, None)).contains("CONFIG_PVH"));
    assert!(matches!(read_file(&std::env::temp_dir()), Err(BootError::Directory { .. })));
    assert!(matches!(read_file(Path::new("/nonexistent/x")), Err(BootError::Read { .. })));
    for device in ["/dev/null", "/dev/zero"] {
        assert!(read_file(Path::new(device)).unwrap_err().to_string().contains("device"));
    }
}

/// Valid images of every kind, to be damaged.
fn valid_images() -> Vec<Vec<u8>> {
    vec![
        bzimage_file(),
        elf_file(true, MIB, b"code", 0x1000, Some(0x10_0000)),
        elf_file(false, MIB, b"code", 0x1000, Some(0x10_0000)),
        elf_file(false, MIB, &multiboot_header(3), 0x1000, None),
        kludge_file(0x100, 0),
    ]
}

/// Whatever the bytes, a loader answers, with writes that lie in RAM and are bounded by the size of its inputs.
fn check_any(bytes: &[u8], ram: u64) {
    let memory = memory(ram);
    if let Ok(image) = load_kernel(file(bytes), Some(file(b"initrd")), "x=y", &memory) {
        assert_in_ram(&image, &memory);
        let total: usize = image.writes.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(total <= 2 * bytes.len() + 0x1_0000, "{total} bytes written for {}", bytes.len());
    }
    let _ = rom::load(file(bytes));
    let _ = flat::load(file(bytes), 0x7C00, &memory);
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..2048), ram in 16u64..65536) {
        check_any(&bytes, ram * 4096);
    }

    #[test]
    fn damaged_images_are_answered(
        which in 0..5usize,
        edits in proptest::collection::vec((0..0x300usize, any::<u8>()), 1..8),
        keep in 0..=0x1_1000usize,
        ram in 16u64..65536,
    ) {
        let mut bytes = valid_images().swap_remove(which);
        for (at, value) in edits {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        check_any(&bytes, ram * 4096);
        bytes.truncate(keep);
        check_any(&bytes, ram * 4096);
    }

    #[test]
    fn any_memory_map_is_answered(ranges in proptest::collection::vec((any::<u64>(), any::<u64>()), 0..6)) {
        let e820 = ranges.into_iter().map(|(addr, size)| E820Entry { addr, size, kind: E820Kind::Ram }).collect();
        let memory = BootMemory { e820, low_ram_end: u64::MAX, high_ram_end: u64::MAX, rsdp: None };
        for image in valid_images() {
            let _ = load_kernel(file(&image), Some(file(b"initrd")), "", &memory);
        }
    }
}
