//! What a file is, by what is in it, whatever its name is.

use amber_devices::is_diskette;
use amber_emu::boot::{self, BootError, BootFile, KernelKind, rom};
use amber_emu::config::MachineConfig;
use std::fs::{File, FileType};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// What is read of the begin of a file.
const HEAD: u64 = 128 << 10;
/// Largest firmware below 4 GiB.
const FIRMWARE_MAX: u64 = 16 << 20;
/// Largest ELF file that is looked into.
const KERNEL_MAX: u64 = 1 << 30;
/// How far that is looked for an entry: what a kernel loads is before its symbols.
const ENTRY_MAX: u64 = 64 << 20;
/// Bytes from where the processor starts to the end of firmware.
const VECTOR: u64 = 16;
/// Where the first volume descriptor of a CD has its name (ECMA-119, 8.1).
const CD_NAME: usize = 16 * 2048 + 1;
/// What are no images of disks, but look like ones by their size.
const FOREIGN: [(usize, &[u8], &str); 10] = [
    (0, b"KDMV", "a disk of VMware (VMDK); `qemu-img convert -O qcow2` makes one that is known here of it"),
    (
        0x40,
        b"\x7F\x10\xDA\xBE",
        "a disk of VirtualBox (VDI); `qemu-img convert -O qcow2` makes one that is known here of it",
    ),
    (
        0,
        b"vhdxfile",
        "a disk of Hyper-V (VHDX); `qemu-img convert -O qcow2` makes one that is known here of it",
    ),
    (
        0,
        b"conectix",
        "a disk of Virtual PC (VHD); `qemu-img convert -O qcow2` makes one that is known here of it",
    ),
    (0, b"\x1F\x8B", "compressed by gzip; unpack it first, or give it as the initrd of a kernel"),
    (0, b"\xFD7zXZ", "compressed by xz; unpack it first, or give it as the initrd of a kernel"),
    (0, b"\x28\xB5\x2F\xFD", "compressed by zstd; unpack it first, or give it as the initrd of a kernel"),
    (0, b"BZh", "compressed by bzip2; unpack it first"),
    (0, b"PK\x03\x04", "a ZIP archive; unpack it first"),
    (0, b"070701", "an initrd; choose the kernel it goes with, and name it there"),
];

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A MACHINE.toml.
    Machine,
    /// A snapshot in a file of its own.
    Snapshot,
    Kernel(KernelKind),
    Bios,
    Uefi,
    /// Code at the reset vector that is neither of these.
    Rom,
    Cd,
    Floppy,
    Qcow2,
    /// Bytes of a disk; whether something is known on it.
    Disk {
        known: bool,
    },
}

impl Kind {
    /// In words, with an article.
    pub fn words(self) -> &'static str {
        match self {
            Self::Machine => "a machine (MACHINE.toml)",
            Self::Snapshot => "a snapshot of a machine",
            Self::Kernel(KernelKind::BzImage) => "a Linux kernel (bzImage)",
            Self::Kernel(KernelKind::Pvh) => "a kernel (ELF with a PVH entry)",
            Self::Kernel(KernelKind::Multiboot) => "a kernel (multiboot)",
            Self::Bios => "firmware: a BIOS",
            Self::Uefi => "firmware: UEFI",
            Self::Rom => "firmware: code at the reset vector",
            Self::Cd => "a CD (ISO 9660)",
            Self::Floppy => "a diskette, by its size",
            Self::Qcow2 => "a disk (qcow2)",
            Self::Disk { known: true } => "a disk (raw)",
            Self::Disk { known: false } => "a disk (raw) that is empty, or has on it what is not known here",
        }
    }

    pub fn is_disk(self) -> bool {
        matches!(self, Self::Qcow2 | Self::Disk { .. })
    }
}

/// A file that a machine can have something of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pub file: PathBuf,
    pub kind: Kind,
    /// Length of the file.
    pub bytes: u64,
}

/// Finds out what a file is.
///
/// # Errors
/// One sentence, when it cannot be read, or is nothing a machine takes; what to do about that.
pub fn recognise(file: &Path) -> Result<Image, String> {
    let name = file.display();
    let unreadable = |error: io::Error| format!("{name} cannot be read: {error}.");
    let file = std::path::absolute(file).map_err(unreadable)?;
    let facts = std::fs::metadata(&file).map_err(unreadable)?;
    if facts.is_dir() {
        return Err(format!(
            "{name} is a folder; choose a file in it, or start a machine with it as --share."
        ));
    }
    if !has_length(facts.file_type()) {
        // Opening a pipe waits for who writes to it.
        return Err(format!("{name} is a pipe or a device; choose a file."));
    }
    let mut source = File::open(&file).map_err(unreadable)?;
    // Block devices have their length at their end.
    let bytes = source.seek(SeekFrom::End(0)).map_err(unreadable)?;
    source.rewind().map_err(unreadable)?;
    if bytes == 0 {
        return Err(format!("{name} is empty; a disk needs its size: `truncate -s 8G FILE` gives it one."));
    }
    let mut head = Vec::new();
    (&source).take(HEAD).read_to_end(&mut head).map_err(unreadable)?;
    let kind = kind(&file, &source, &head, bytes)?;
    Ok(Image { file, kind, bytes })
}

/// Whether it is a file or a block device, which are as long as they are.
fn has_length(what: FileType) -> bool {
    #[cfg(unix)]
    let block = std::os::unix::fs::FileTypeExt::is_block_device(&what);
    #[cfg(not(unix))]
    let block = false;
    what.is_file() || block
}

fn kind(file: &Path, source: &File, head: &[u8], bytes: u64) -> Result<Kind, String> {
    let name = file.display();
    let has = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(magic));
    if let Some((.., words)) = FOREIGN.into_iter().find(|(at, magic, _)| has(*at, magic)) {
        return Err(format!("{name} is {words}."));
    }
    let magics: [(usize, &[u8], Kind); 4] = [
        (0, b"AMBERPAK", Kind::Snapshot),
        (0, b"QFI\xFB", Kind::Qcow2),
        (CD_NAME, b"CD001", Kind::Cd),
        (CD_NAME, b"BEA01", Kind::Cd),
    ];
    if let Some((.., kind)) = magics.into_iter().find(|(at, magic, _)| has(*at, magic)) {
        return Ok(kind);
    }
    if let Some(machine) = machine(file, head, bytes) {
        return machine;
    }
    if let Some(kernel) = kernel(file, source, head, bytes) {
        return kernel;
    }
    let firmware = (bytes <= FIRMWARE_MAX).then(|| firmware(file, source, bytes)).flatten();
    let of_diskette = bytes.is_multiple_of(512) && is_diskette(bytes / 512);
    match firmware {
        _ if of_diskette => Ok(Kind::Floppy),
        Some(kind) => Ok(kind),
        None if is_known_disk(head) => Ok(Kind::Disk { known: true }),
        None if bytes.is_multiple_of(512) => Ok(Kind::Disk { known: false }),
        None => Err(format!(
            "{name} is nothing a machine takes: neither a kernel, firmware, a CD, a disk of whole sectors, a diskette, a snapshot nor a MACHINE.toml."
        )),
    }
}

/// Whether it is a MACHINE.toml, if it is text with a key.
fn machine(file: &Path, head: &[u8], bytes: u64) -> Option<Result<Kind, String>> {
    let text = std::str::from_utf8(head).ok().filter(|_| bytes <= HEAD)?;
    let control = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    let looks =
        !text.contains(control) && (text.contains('=') || file.extension().is_some_and(|end| end == "toml"));
    looks.then(|| match MachineConfig::from_toml(text, file) {
        Ok(_) => Ok(Kind::Machine),
        Err(error) => Err(format!("This is no machine: {error}.")),
    })
}

/// Which kernel it is, if it is one.
fn kernel(file: &Path, source: &File, head: &[u8], bytes: u64) -> Option<Result<Kind, String>> {
    let name = file.display().to_string();
    let found = |bytes: &[u8]| boot::recognise(BootFile { name: &name, bytes });
    if !head.starts_with(b"\x7FELF") {
        return found(head).ok().map(|kind| Ok(Kind::Kernel(kind)));
    }
    if bytes > KERNEL_MAX {
        return Some(Err(format!("{name} is an ELF file of {bytes} bytes; a kernel is not that large.")));
    }
    let kind = match elf(source, head.to_vec(), found) {
        Ok(Err(error)) if bytes > ENTRY_MAX && !matches!(error, BootError::ElfWithoutEntry { .. }) => Err(
            format!("{name} is an ELF file with no entry of a kernel in its first {} MiB.", ENTRY_MAX >> 20),
        ),
        Ok(kind) => kind.map(Kind::Kernel).map_err(|error| format!("{error}.")),
        Err(error) => Err(format!("{name} cannot be read: {error}.")),
    };
    Some(kind)
}

/// Which kernel an ELF file is, of which this was read. More is read, by and by, as long as it is cut off where that would say so.
fn elf(
    source: &File,
    mut read: Vec<u8>,
    found: impl Fn(&[u8]) -> Result<KernelKind, BootError>,
) -> io::Result<Result<KernelKind, BootError>> {
    loop {
        let kind = found(&read);
        let room = ENTRY_MAX.saturating_sub(read.len() as u64);
        if matches!(kind, Ok(_) | Err(BootError::ElfWithoutEntry { .. })) || room == 0 {
            return Ok(kind);
        }
        let more = (7 * read.len() as u64).min(room);
        let mut rest = source;
        if rest.by_ref().take(more).read_to_end(&mut read)? == 0 {
            return Ok(kind);
        }
    }
}

/// Which firmware it is, if the processor finds a jump where it starts.
fn firmware(file: &Path, source: &File, bytes: u64) -> Option<Kind> {
    // Far, near and short jumps, NOP, WBINVD and CLI before one.
    let starts: [&[u8]; 6] = [b"\xEA", b"\xE9", b"\xEB", b"\x90\x90\xE9", b"\x0F\x09", b"\xFA"];
    let vector = part(source, bytes.checked_sub(VECTOR)?, VECTOR).ok()?;
    if !starts.iter().any(|start| vector.starts_with(start)) {
        return None;
    }
    let bytes = part(source, 0, FIRMWARE_MAX).ok()?;
    let name = file.display().to_string();
    rom::load(BootFile { name: &name, bytes: &bytes }).ok()?;
    let has = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
    Some(if bytes.chunks(4096).any(|page| page.get(40..44) == Some(b"_FVH")) {
        Kind::Uefi
    } else if has(b"BIOS") {
        Kind::Bios
    } else {
        Kind::Rom
    })
}

/// So many bytes at most, from there.
fn part(mut source: &File, at: u64, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.seek(SeekFrom::Start(at))?;
    source.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether it has a table of partitions, or a file system.
fn is_known_disk(head: &[u8]) -> bool {
    let has = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(magic));
    let signs: [(usize, &[u8]); 5] = [
        (510, b"\x55\xAA"),
        (512, b"EFI PART"),
        // ext2 to ext4, XFS, btrfs.
        (1080, b"\x53\xEF"),
        (0, b"XFSB"),
        (0x1_0040, b"_BHRfS_M"),
    ];
    signs.into_iter().any(|(at, sign)| has(at, sign))
}

#[cfg(test)]
mod tests {
    use super::*;
    use amber_tests::program::Scratch;

    /// A file of so many bytes with these in it.
    fn file(scratch: &Scratch, len: usize, parts: &[(usize, &[u8])]) -> PathBuf {
        let mut bytes = vec![0; len];
        for (at, part) in parts {
            bytes[*at..*at + part.len()].copy_from_slice(part);
        }
        // A name that says nothing.
        let path = scratch.0.join("image");
        std::fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn files_are_known_by_what_is_in_them() {
        let scratch = Scratch::new("image-kinds");
        let known = |len: usize, parts: &[(usize, &[u8])]| {
            recognise(&file(&scratch, len, parts)).map(|image| image.kind)
        };
        let disk = |known| Ok(Kind::Disk { known });
        assert_eq!(known(1 << 20, &[(0, b"QFI\xFB")]), Ok(Kind::Qcow2));
        assert_eq!(
            known(1 << 20, &[(CD_NAME, b"CD001"), (510, b"\x55\xAA")]),
            Ok(Kind::Cd),
            "a hybrid is a CD"
        );
        assert_eq!(known(1440 << 10, &[(510, b"\x55\xAA")]), Ok(Kind::Floppy));
        assert_eq!(known(1 << 20, &[(510, b"\x55\xAA")]), disk(true));
        assert_eq!(known(1 << 20, &[(1080, b"\x53\xEF")]), disk(true));
        assert_eq!(known(1 << 20, &[]), disk(false));
        assert_eq!(known(4096, &[(0, b"AMBERPAK")]), Ok(Kind::Snapshot));
        assert_eq!(known(1 << 16, &[(0xFFF0, b"\xEA\0\0\0\xF0")]), Ok(Kind::Rom));
        assert_eq!(known(1 << 16, &[(0xFFF0, b"\xE9"), (9, b"SeaBIOS")]), Ok(Kind::Bios));
        assert_eq!(known(1 << 16, &[(0xFFF0, b"\x90\x90\xE9"), (40, b"_FVH")]), Ok(Kind::Uefi));
    }

    #[test]
    fn machines_are_read_and_what_is_wrong_with_one_is_said() {
        let scratch = Scratch::new("image-machine");
        let path = scratch.0.join("notes.txt");
        let known = |text: &str| {
            std::fs::write(&path, text).unwrap();
            recognise(&path).map(|image| image.kind)
        };
        assert_eq!(known("memory = \"1G\"\n"), Ok(Kind::Machine));
        assert!(
            known("memory = \"1G\"\ncpuz = 3\n")
                .is_err_and(|why| why.contains("line 2") && why.contains("cpuz"))
        );
        assert!(known("just words").is_err_and(|why| why.contains("nothing a machine takes")));
    }

    #[test]
    fn what_is_no_image_is_said_with_what_to_do() {
        let scratch = Scratch::new("image-foreign");
        let why = |len: usize, parts: &[(usize, &[u8])]| recognise(&file(&scratch, len, parts)).unwrap_err();
        assert!(why(512, &[(0, b"\x1F\x8B")]).contains("unpack it first"));
        assert!(why(512, &[(0x40, b"\x7F\x10\xDA\xBE")]).contains("qemu-img convert"));
        assert!(why(0, &[]).contains("is empty"));
        assert!(why(700, &[]).contains("nothing a machine takes"));
        assert!(why(512, &[(0, b"\x7FELF")]).contains("image"));
        assert!(recognise(&scratch.0).unwrap_err().contains("is a folder"));
        assert!(recognise(&scratch.0.join("none")).unwrap_err().contains("cannot be read"));
    }

    #[cfg(unix)]
    #[test]
    fn pipes_and_devices_are_refused_before_they_are_opened() {
        let scratch = Scratch::new("image-pipe");
        let pipe = scratch.0.join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for file in [pipe, "/dev/zero".into()] {
            let (sender, answer) = std::sync::mpsc::channel();
            std::thread::spawn(move || sender.send(recognise(&file)));
            let answer = answer.recv_timeout(std::time::Duration::from_secs(5)).expect("it answers at once");
            assert!(answer.is_err_and(|why| why.ends_with("is a pipe or a device; choose a file.")));
        }
    }

    /// An ELF file's header, and a segment of notes at `at` that says where a PVH kernel starts.
    fn pvh(at: u32) -> (Vec<u8>, Vec<u8>) {
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let mut head = b"\x7FELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x03\0".to_vec();
        // Version, entry, program headers, sections, flags; 52 and 32 bytes of headers, one of them.
        head.extend(words(&[1, 0x10_0000, 52, 0, 0, 52 | 32 << 16, 1, 0]));
        head.extend(words(&[4, at, 0, 0, 20, 20, 4, 4]));
        (head, words(&[4, 4, 18, u32::from_le_bytes(*b"Xen\0"), 0x10_0000]))
    }

    #[test]
    fn of_a_kernel_as_much_is_read_as_says_where_it_starts() {
        let scratch = Scratch::new("image-elf");
        let known = |at: u32| {
            let (head, notes) = pvh(at);
            let path = file(&scratch, at as usize + 100, &[(0, &head), (at as usize, &notes)]);
            // As long as one with symbols; the rest is a hole.
            File::options().write(true).open(&path).unwrap().set_len(KERNEL_MAX).unwrap();
            recognise(&path).map(|image| image.kind)
        };
        for at in [4096, 2 << 20, 40 << 20] {
            assert_eq!(known(at), Ok(Kind::Kernel(KernelKind::Pvh)), "{at:#x}");
        }
        assert!(known(65 << 20).is_err_and(|why| why.contains("first 64 MiB")));
    }

    #[test]
    fn the_embedded_rom_and_its_sources_are_known() {
        let rom = Path::new(env!("CARGO_MANIFEST_DIR")).join("../roms/display/image.bin");
        assert_eq!(recognise(&rom).map(|image| image.kind), Ok(Kind::Rom));
    }
}
