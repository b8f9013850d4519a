use super::{Backing, Cluster, Fault, Header, Qcow2, Writer};
use crate::disk::{Base, DiskError, Hold, Image};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// What qemu-img made, and what it says the guest sees; `golden/make.sh` makes them.
macro_rules! golden {
    ($($name:literal),*) => {
        [$(($name, include_bytes!(concat!("golden/", $name, ".gz")).as_slice())),*]
    };
}

const GOLDEN: [(&str, &[u8]); 10] = golden!(
    "disk.raw",
    "version2.qcow2",
    "version3.qcow2",
    "zlib.qcow2",
    "zlib2.qcow2",
    "zstd.qcow2",
    "middle.qcow2",
    "middle.raw",
    "top.qcow2",
    "top.raw"
);

fn bytes(name: &str) -> Vec<u8> {
    let (_, packed) = GOLDEN.iter().find(|(golden, _)| *golden == name).unwrap();
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(*packed).read_to_end(&mut bytes).unwrap();
    bytes
}

/// A folder with all of them.
fn unpacked() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    GOLDEN.iter().for_each(|(name, _)| fs::write(dir.path().join(name), bytes(name)).unwrap());
    dir
}

fn open(path: &Path) -> Result<Image, DiskError> {
    Image::open(path, None, Hold::Read)
}

fn whole(image: &Image) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; image.size() as usize];
    image.read(0, &mut bytes).map(|()| bytes)
}

#[test]
fn the_guest_sees_what_qemu_says_it_does() {
    let dir = unpacked();
    for (name, raw) in [
        ("version2", "disk"),
        ("version3", "disk"),
        ("zlib", "disk"),
        ("zlib2", "disk"),
        ("zstd", "disk"),
        ("middle", "middle"),
        ("top", "top"),
    ] {
        let image = open(&dir.path().join(name).with_extension("qcow2")).unwrap();
        let expected = bytes(&format!("{raw}.raw"));
        assert!(whole(&image).unwrap() == expected, "{name}");
        for (at, len) in [(0, 1), (511, 2), (4095, 4098), (16_383, 20_000), (30_001, 7), (60_000, 512)] {
            let mut part = vec![0; len];
            image.read(at as u64, &mut part).unwrap();
            let mut there = expected.get(at..).unwrap_or_default().to_vec();
            there.resize(len.max(there.len()), 0);
            assert!(part == there[..len], "{name} at {at}");
        }
        let mut at = 0;
        while at < image.size() {
            let zeroes = image.zeroes(at, image.size() - at).unwrap();
            assert!(
                expected[at as usize..(at + zeroes) as usize].iter().all(|byte| *byte == 0),
                "{name} at {at}"
            );
            at += zeroes + 512;
        }
    }
}

#[test]
fn an_image_is_known_by_what_the_guest_sees() {
    let dir = unpacked();
    let base = |name: &str| Base::open(&dir.path().join(name)).unwrap();
    let raw = base("disk.raw");
    for name in ["version2.qcow2", "zstd.qcow2"] {
        assert_eq!((base(name).hash(), base(name).len()), (raw.hash(), raw.len()));
        let moved = dir.path().join(name);
        assert!(
            Base::of_snapshot(&raw.image(), Some(&moved), "disk0").is_ok(),
            "in another format it is the same"
        );
    }
    assert_eq!(raw.hash(), *blake3::hash(&bytes("disk.raw")).as_bytes());
    // What lies below is part of it.
    let top = base("top.qcow2").image();
    let mut below = bytes("disk.raw");
    below[40_000] ^= 1;
    fs::write(dir.path().join("disk.raw"), below).unwrap();
    let said = Base::of_snapshot(&top, None, "disk0").unwrap_err().to_string();
    assert!(said.contains("contents have changed"), "{said}");
}

#[test]
fn a_file_taken_as_raw_is_its_own_bytes_and_a_snapshot_over_it_finds_it() {
    let dir = unpacked();
    let path = dir.path().join("version3.qcow2");
    let access = crate::disk::Access { format: Some(crate::disk::Format::Raw), ..Default::default() };
    let base = Base::open_as(&path, access).unwrap();
    assert_eq!(base.hash(), *blake3::hash(&bytes("version3.qcow2")).as_bytes());
    assert!(Base::of_snapshot(&base.image(), None, "disk0").is_ok());
}

/// The golden image of version 3 with some bytes changed.
fn patched(dir: &Path, changes: &[(usize, &[u8])]) -> PathBuf {
    let mut image = bytes("version3.qcow2");
    changes.iter().for_each(|(at, with)| image[*at..at + with.len()].copy_from_slice(with));
    let path = dir.join("patched.qcow2");
    fs::write(&path, image).unwrap();
    path
}

#[test]
fn what_amber_does_not_do_is_refused_by_a_sentence() {
    let dir = unpacked();
    let cases: [(usize, &[u8], &str); 14] = [
        (79, &[1], "marked as dirty"),
        (79, &[2], "marked as corrupt"),
        (79, &[4], "data is in another file"),
        (77, &[1], "feature 16"),
        (32, &[0, 0, 0, 1], "encrypted (AES)"),
        (32, &[0, 0, 0, 2], "encrypted (LUKS)"),
        (7, &[4], "version 4"),
        (7, &[1], "version 1"),
        (20, &[0, 0, 0, 40], "1 << 40 bytes"),
        (20, &[0, 0, 0, 8], "1 << 8 bytes"),
        (36, &[0, 0, 0, 0], "0 entries"),
        (24, &[0, 0, 0x7F], "need"),
        (46, &[1, 0], "in mid-cluster"),
        (100, &[0, 0, 0, 8], "8 bytes itself"),
    ];
    for (at, with, expected) in cases {
        let said = open(&patched(dir.path(), &[(at, with)])).unwrap_err().to_string();
        assert!(said.contains(expected) && said.contains("patched.qcow2"), "{said}");
    }
    let compression = [(79, &[8][..]), (104, &[9][..])];
    let said = open(&patched(dir.path(), &compression)).unwrap_err().to_string();
    assert!(said.contains("method 9"), "{said}");
    for (start, name) in [(&b"KDMV"[..], "VMDK"), (b"vhdxfile", "VHDX"), (b"QED\0", "QED")] {
        let said = open(&patched(dir.path(), &[(0, start)])).unwrap_err().to_string();
        assert!(said.contains(name) && said.contains("qemu-img"), "{said}");
    }
}

#[test]
fn a_chain_that_does_not_hold_is_named() {
    let dir = unpacked();
    let top = dir.path().join("top.qcow2");
    fs::remove_file(dir.path().join("disk.raw")).unwrap();
    let said = open(&top).unwrap_err().to_string();
    assert!(
        said.contains("disk.raw: cannot be read") && said.contains("middle.qcow2 lies over it"),
        "{said}"
    );
    let made = |name: &str, backing: &str, format: &str| {
        let path = dir.path().join(name);
        let backing = Backing { file: backing.into(), format: Some(format.into()) };
        Writer::new(&File::create(&path).unwrap(), 1 << 20, 16, Some(backing)).finish().unwrap();
        open(&path).unwrap_err().to_string()
    };
    assert!(made("circle.qcow2", "circle.qcow2", "qcow2").contains("circle"));
    assert!(made("net.qcow2", "nbd://host/disk", "raw").contains("no file of this host (nbd)"));
    assert!(made("vmdk.qcow2", "x.vmdk", "vmdk").contains("vmdk image"));
}

#[test]
fn an_image_cut_short_is_an_error_and_never_zeroes() {
    let dir = unpacked();
    for name in ["version2.qcow2", "version3.qcow2", "zlib.qcow2", "zstd.qcow2"] {
        let image = bytes(name);
        for len in (0..image.len()).step_by(997) {
            let path = dir.path().join("cut.qcow2");
            fs::write(&path, &image[..len]).unwrap();
            let read = open(&path).ok().filter(|image| image.size() > 0).map(|image| whole(&image));
            // The file begins as one in no format, or ends in what only counts references.
            let whole =
                read.is_none_or(|read| read.is_err() || read.is_ok_and(|read| read == bytes("disk.raw")));
            assert!(whole || len < 4, "{name} cut to {len}");
        }
    }
}

#[test]
fn damaged_images_are_errors_or_other_bytes_and_nothing_else() {
    let dir = unpacked();
    let path = dir.path().join("damaged.qcow2");
    let mut random = 1u64;
    let mut below = move |bound: usize| {
        random = random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        (random >> 33) as usize % bound
    };
    for name in ["version3.qcow2", "zlib.qcow2", "zstd.qcow2", "top.qcow2"] {
        let (golden, mut opened) = (bytes(name), 0);
        for _ in 0..400 {
            let mut image = golden.clone();
            for _ in 0..1 + below(4) {
                let at = if below(2) == 0 { below(120) } else { below(image.len()) };
                image[at] = [0, 1, 0x7F, 0x80, 0xFF, below(256) as u8][below(6)];
            }
            fs::write(&path, image).unwrap();
            let Ok(image) = open(&path) else { continue };
            opened += 1;
            for at in (0..image.size().min(1 << 20)).step_by(4096).chain([image.size() / 2, image.size() - 1])
            {
                let _ = image.read(at, &mut [0; 4096]);
                let _ = image.zeroes(at, 1 << 20);
            }
        }
        assert!(opened > 100, "{name}: {opened}");
    }
}

#[test]
fn what_is_written_is_read_again_and_every_cluster_counted() {
    let dir = tempfile::tempdir().unwrap();
    for (bits, size) in [(9, 300_000), (12, 3 << 20), (16, 5 << 20), (16, 100)] {
        let path = dir.path().join("written.qcow2");
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        let cluster = 1usize << bits;
        let mut expected = vec![0; size];
        let mut writer = Writer::new(&file, size as u64, bits, None);
        for n in 0..size.div_ceil(cluster) {
            match n % 5 {
                0 | 1 | 3 => {
                    let bytes = vec![n as u8 | 1; cluster];
                    let end = size.min((n + 1) * cluster);
                    expected[n * cluster..end].copy_from_slice(&bytes[..end - n * cluster]);
                    // The last may be handed over in part.
                    writer.put(n as u64, Cluster::Data(&bytes[..end - n * cluster])).unwrap();
                }
                2 => writer.put(n as u64, Cluster::Zero).unwrap(),
                _ => {}
            }
        }
        let len = writer.finish().unwrap();
        assert_eq!(file.metadata().unwrap().len(), len);
        assert!(whole(&open(&path).unwrap()).unwrap() == expected, "{bits} {size}");
        assert_eq!(counted(&file, bits, len), len >> bits, "{bits} {size}");
    }
}

/// Clusters whose count of references is 1; there is no other count.
fn counted(file: &File, bits: u32, len: u64) -> u64 {
    let mut all = vec![0; len as usize];
    amber_snapshot::host_file::read_exact_at(file, &mut all, 0).unwrap();
    let word = |at: usize| u64::from_be_bytes(all[at..at + 8].try_into().unwrap());
    let (table, clusters) = (word(48) as usize, (word(56) >> 32) as usize);
    let blocks = (0..clusters << bits >> 3).map(|n| word(table + 8 * n) as usize).filter(|at| *at != 0);
    let counts = blocks.flat_map(|at| all[at..at + (1 << bits)].chunks(2));
    counts.filter(|count| **count != [0, 0]).inspect(|count| assert_eq!(**count, [0, 1])).count() as u64
}

#[test]
fn a_header_says_what_the_image_is() {
    let dir = unpacked();
    let open = |name: &str| {
        let file = File::open(dir.path().join(name)).unwrap();
        let len = file.metadata().unwrap().len();
        Qcow2::open(file, len).unwrap()
    };
    let top = open("top.qcow2");
    let Header { version: 3, cluster_bits: 14, size: 92_160, extended_l2: true, snapshots: 0, .. } =
        top.header()
    else {
        panic!("{:?}", top.header());
    };
    let backing = Backing { file: "middle.qcow2".into(), format: Some("qcow2".into()) };
    assert_eq!(top.header().backing, Some(backing));
    let file = File::open(dir.path().join("disk.raw")).unwrap();
    assert!(matches!(Qcow2::open(file, 67_072), Err(Fault::Unfit(_))));
}
