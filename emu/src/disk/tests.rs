use super::*;
use std::fs;

fn image(len: u64) -> (tempfile::TempDir, Arc<Base>) {
    let dir = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..len).map(|at| (at / 512) as u8).collect();
    fs::write(dir.path().join("disk.img"), bytes).unwrap();
    let base = Base::open(&dir.path().join("disk.img")).unwrap();
    (dir, base)
}

fn read(disk: &Disk, at: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    disk.read(at, &mut bytes).unwrap();
    bytes
}

fn root(disk: &Disk) -> [u8; 32] {
    let mut tree = RegionTree::blank(disk.pages(), amber_snapshot::ObjectId::ABSENT);
    tree.update(disk);
    tree.root()
}

#[test]
fn writes_stay_in_the_overlay() {
    let (dir, base) = image(3 * 4096);
    let before = fs::read(dir.path().join("disk.img")).unwrap();
    let mut disk = Disk::new(base);
    let blank = root(&disk);
    disk.write(4096 + 512, &[0xaa; 512]).unwrap();
    disk.write(4000, &[0xbb; 200]).unwrap();
    let mut expected = before.clone();
    expected[4608..5120].fill(0xaa);
    expected[4000..4200].fill(0xbb);
    assert_eq!(read(&disk, 0, 3 * 4096), expected);
    assert_eq!(fs::read(dir.path().join("disk.img")).unwrap(), before);
    assert_eq!((disk.generation(0).is_some(), disk.generation(2)), (true, None));
    assert_ne!(root(&disk), blank);
}

#[test]
fn zeroes_cover_the_image_too() {
    let (_dir, base) = image(3 * 4096);
    let mut disk = Disk::new(base);
    let blank = root(&disk);
    disk.write(4096, &[0; 4096]).unwrap();
    assert_ne!(root(&disk), blank);
    assert_eq!(read(&disk, 4000, 5000)[96..4192], [0; 4096]);
    disk.write(4096 + 7, &[1]).unwrap();
    assert_eq!(read(&disk, 4096, 9), [0, 0, 0, 0, 0, 0, 0, 1, 0]);
    let mut other = disk.clone();
    other.write(4096, &[0; 4096]).unwrap();
    disk.write(4096 + 7, &[0]).unwrap();
    assert_eq!(root(&disk), root(&other));
}

#[test]
fn an_image_that_ends_within_a_sector_goes_on_with_zeroes() {
    let (_dir, base) = image(4096 + 700);
    let mut disk = Disk::new(base);
    assert_eq!((disk.sectors(), disk.pages()), (10, 2));
    assert_eq!(read(&disk, 4096 + 690, 20), [[9; 10], [0; 10]].concat());
    disk.write(4096 + 512, &[7; 512]).unwrap();
    assert_eq!(read(&disk, 4096 + 500, 24), [[8; 12], [7; 12]].concat());
}

#[test]
fn copies_go_their_own_ways_and_hash_alike_when_equal() {
    let (_dir, base) = image(2 << 20);
    let mut disk = Disk::new(base);
    disk.write(0, &[1; 4096]).unwrap();
    let (frozen, mut tree) =
        (disk.clone(), RegionTree::blank(disk.pages(), amber_snapshot::ObjectId::ABSENT));
    tree.update(&disk);
    disk.write(100, &[2; 1]).unwrap();
    disk.write(8192, &[3; 512]).unwrap();
    let mut other = frozen.clone();
    other.write(100, &[4; 1]).unwrap();
    assert_eq!(
        (read(&frozen, 100, 1), read(&disk, 100, 1), read(&other, 100, 1)),
        (vec![1], vec![2], vec![4])
    );
    for state in [&disk, &other, &frozen, &disk] {
        tree.update(state);
        assert_eq!(tree.root(), root(state));
    }
    other.write(100, &[2; 1]).unwrap();
    other.write(8192, &[3; 512]).unwrap();
    assert_eq!(root(&other), root(&disk));
}

/// A source of pages of one byte, which lacks one.
struct Pages;

impl PageSource for Pages {
    fn read(&self, page: u64, into: &mut [u8; PAGE as usize]) -> Result<(), String> {
        into.fill(page as u8);
        if page == 3 { Err("page 3 is lost".into()) } else { Ok(()) }
    }
}

#[test]
fn stored_blocks_come_when_needed_and_a_lost_one_is_told() {
    let (_dir, base) = image(1 << 20);
    let mut written = Disk::new(Arc::clone(&base));
    for page in [1u64, 2, 3, 255] {
        written.write(page * 4096, &[page as u8; 4096]).unwrap();
    }
    let mut tree = RegionTree::blank(written.pages(), amber_snapshot::ObjectId::ABSENT);
    tree.update(&written);
    let groups = tree.groups().map(|(id, ids)| Some((id, ids.to_vec()))).collect();
    let known = RegionTree::known(tree.pages(), tree.absent(), groups, amber_mmu::FIRST_EPOCH);
    let source: Arc<dyn PageSource> = Arc::new(Pages);
    let mut disk = Disk::stored(base, &known, &source);
    let mut kept = known.clone();
    kept.update(&disk);
    assert_eq!(kept.root(), root(&written), "nothing had to be read");
    disk.write(4096 + 5, &[9]).unwrap();
    assert_eq!(read(&disk, 4096, 8), [1, 1, 1, 1, 1, 9, 1, 1]);
    assert_eq!((read(&disk, 255 * 4096, 1), read(&disk, 0, 1)), (vec![255], vec![0]));
    written.write(4096 + 5, &[9]).unwrap();
    kept.update(&disk);
    assert_eq!(kept.root(), root(&written));
    assert!(disk.damaged().is_none());
    assert!(matches!(disk.read(3 * 4096, &mut [0]), Err(Failure::Overlay(_))));
    assert!(matches!(disk.write(3 * 4096, &[0]), Err(Failure::Overlay(_))));
    assert_eq!(disk.damaged(), Some("page 3 is lost"));
}

#[test]
fn an_image_cut_short_is_an_error_of_the_medium() {
    let (dir, base) = image(1 << 20);
    let mut disk = Disk::new(base);
    disk.write(4096, &[5; 4096]).unwrap();
    fs::write(dir.path().join("disk.img"), [0; 100]).unwrap();
    assert!(matches!(disk.read(0, &mut [0; 512]), Err(Failure::Base(_))));
    assert!(matches!(disk.write(512, &[0; 512]), Err(Failure::Base(_))));
    assert_eq!(read(&disk, 4096, 2), [5, 5]);
    disk.write(8192, &[6; 4096]).unwrap();
}

#[test]
fn what_is_no_image_is_refused_by_name() {
    let (dir, base) = image(512);
    let said = |path: &std::path::Path| Base::open(path).unwrap_err().to_string();
    let file = |name: &str| dir.path().join(name);
    assert!(said(&file("none")).contains("none: cannot be read"));
    assert!(said(dir.path()).contains("no plain file"));
    assert!(said(std::path::Path::new("/dev/zero")).contains("no plain file"));
    if std::process::Command::new("mkfifo").arg(file("pipe")).status().is_ok_and(|made| made.success()) {
        assert!(said(&file("pipe")).contains("no plain file"));
    }
    fs::write(file("empty"), []).unwrap();
    assert!(said(&file("empty")).contains("empty"));
    fs::File::create(file("huge")).unwrap().set_len(MAX_LEN + 1).unwrap();
    assert!(said(&file("huge")).contains("4 TiB"));
    let image = base.image();
    assert!(Base::of_snapshot(&image, None, "disk0").is_ok());
    fs::rename(file("disk.img"), file("moved.img")).unwrap();
    let gone = Base::of_snapshot(&image, None, "disk0").unwrap_err().to_string();
    assert!(gone.contains("disk.img") && gone.contains("disk0") && gone.contains("--disk"), "{gone}");
    assert!(Base::of_snapshot(&image, Some(&file("moved.img")), "disk0").is_ok());
    fs::write(file("moved.img"), [1; 512]).unwrap();
    let changed = Base::of_snapshot(&image, Some(&file("moved.img")), "disk0").unwrap_err().to_string();
    assert!(changed.contains("contents have changed"), "{changed}");
    fs::write(file("moved.img"), [1; 513]).unwrap();
    let longer = Base::of_snapshot(&image, Some(&file("moved.img")), "disk0").unwrap_err().to_string();
    assert!(longer.contains("513 bytes"), "{longer}");
}

#[test]
fn who_reads_an_image_keeps_writers_out_and_who_writes_it_everybody() {
    let (dir, base) = image(512);
    let path = dir.path().join("disk.img");
    let open = |purpose| Base::open_as(&path, Access { format: None, purpose });
    let again = Base::open(&path).unwrap();
    for purpose in [Purpose::WriteThrough, Purpose::Replace] {
        let said = open(purpose).unwrap_err().to_string();
        assert!(said.contains("disk.img: another program uses it") && said.contains("use a copy"), "{said}");
    }
    drop((base, again));
    let writer = open(Purpose::WriteThrough).unwrap();
    let said = open(Purpose::Read).unwrap_err().to_string();
    assert!(said.contains("disk.img: another program may write it"), "{said}");
    assert!(open(Purpose::Replace).is_err());
    drop(writer);
    assert!(open(Purpose::Replace).is_ok());
}

#[test]
fn what_is_written_through_is_in_the_image_and_in_the_state() {
    let (dir, base) = image(3 * 4096 + 700);
    let path = dir.path().join("disk.img");
    let mut plain = Disk::new(base);
    let write = |disk: &mut Disk| {
        disk.write(4000, &[0xbb; 200]).unwrap();
        disk.write(8192, &[0; 4096]).unwrap();
        disk.write(3 * 4096 + 512, &[7; 512]).unwrap();
        disk.flush().unwrap();
    };
    write(&mut plain);
    let expected = read(&plain, 0, plain.sectors() as usize * 512);
    let state = root(&plain);
    drop(plain);
    let access = Access { format: None, purpose: Purpose::WriteThrough };
    let mut through = Disk::new(Base::open_as(&path, access).unwrap());
    write(&mut through);
    assert_eq!(root(&through), state);
    assert_eq!(fs::read(path).unwrap(), expected);
}

#[test]
fn a_format_amber_cannot_write_through_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.qcow2");
    qcow2::Writer::new(&fs::File::create(&path).unwrap(), 1 << 20, 16, None).finish().unwrap();
    let access = Access { format: None, purpose: Purpose::WriteThrough };
    let said = Base::open_as(&path, access).unwrap_err().to_string();
    assert!(said.contains("cannot be written through") && said.contains("amber disk commit"), "{said}");
}
