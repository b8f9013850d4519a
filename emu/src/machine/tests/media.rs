//! Media of drives, which come and go.

use super::parts::{go, go_back_and_on, stored};
use super::*;
use crate::disk::Base;
use crate::input::Input;
use amber_devices::DiskInterface::{Cdrom, Floppy, IdeCdrom, Virtio};
use amber_devices::{Misfit, SECTOR};
use std::path::{Path, PathBuf};

/// Numbers of the drives: a disk is in front of them.
const CD: u8 = 1;
const IDE_CD: u8 = 2;
const DISKETTE: u8 = 3;

/// `again: inc rax; jmp again`, with a disk, two CD drives and one for diskettes, of which the first CD drive alone has
/// something in it.
fn machine(folder: &Path) -> Machine {
    let image = |byte, interface| DiskImage {
        base: base(folder, byte, 64),
        interface,
        read_only: interface == Cdrom,
    };
    let disks = [
        Attachment::Disk(image(1, Virtio)),
        Attachment::Disk(image(2, Cdrom)),
        Attachment::Empty(IdeCdrom),
        Attachment::Empty(Floppy),
    ];
    let code = flat::load(file(&[0x48, 0xFF, 0xC0, 0xEB, 0xFB]), 0x10_0000, &memory()).unwrap();
    let equipment = Equipment::default();
    let mut spec = spec(1);
    spec.disks = disks.iter().map(Attachment::spec).collect();
    let tables = place_tables(&equipment.chipset(spec.chipset()));
    Machine::equipped(spec, code, tables, &disks, equipment).unwrap()
}

fn path(folder: &Path, byte: u8) -> PathBuf {
    folder.join(format!("{byte}.img"))
}

/// An image whose bytes are all the same.
fn base(folder: &Path, byte: u8, sectors: u64) -> Arc<Base> {
    let file = path(folder, byte);
    std::fs::write(&file, vec![byte; (sectors * SECTOR) as usize]).unwrap();
    Base::open(&file).unwrap()
}

/// Name, first byte of the medium, and whether it can be written, of each drive.
fn drives(machine: &Machine) -> Vec<(String, Option<u8>, bool)> {
    let first = |disk| {
        let mut byte = [0];
        let attached = machine.disks.iter().find(|attached| attached.n() == disk)?;
        attached.disk.read(0, &mut byte).ok().map(|()| byte[0])
    };
    let all = machine.drives().into_iter();
    all.map(|drive| (drive.name, first(drive.disk), !drive.read_only)).collect()
}

fn media(machine: &Machine) -> Vec<Option<u8>> {
    drives(machine).into_iter().map(|(_, byte, _)| byte).collect()
}

fn insert(machine: &mut Machine, disk: u8, base: &Arc<Base>) -> Result<(), MediumRefusal> {
    machine.insert(&mut Host::default(), disk, base, false)
}

fn eject(machine: &mut Machine, disk: u8) -> Result<Ejection, MediumRefusal> {
    machine.eject(&mut Host::default(), disk, false)
}

/// What a guest does that holds the medium at AHCI's first port, or lets go.
fn hold(machine: &mut Machine, held: bool) {
    let section = "platform0/ahci.ports[0].drive.tray_locked".to_owned();
    machine.edit(&mut Host::default(), Edit::Field { path: section, value: held.to_string() }).unwrap();
}

#[test]
fn drives_have_names_and_start_empty_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let machine = machine(folder.path());
    let drive = |name: &str, byte, writable| (name.to_owned(), byte, writable);
    let expected = [drive("cd0", Some(2), false), drive("cd1", None, false), drive("floppy0", None, true)];
    assert_eq!(drives(&machine), expected);
    assert!(machine.sections().iter().all(|section| section.path != Media::PATH), "nothing has changed");
    assert_eq!(machine.region_pages("disk2"), None);
    assert_eq!(machine.region_pages("disk1"), Some(8));
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = machine(folder.path());
    let before = machine.state_hash();
    let small = base(folder.path(), 9, 64);
    let odd = MediumRefusal::Misfit("floppy0".to_owned(), Misfit::Diskette(64));
    assert_eq!(insert(&mut machine, DISKETTE, &small), Err(odd));
    assert_eq!(insert(&mut machine, 0, &small), Err(MediumRefusal::NoDrive(0)));
    assert_eq!(insert(&mut machine, 77, &small), Err(MediumRefusal::NoDrive(77)));
    assert_eq!(eject(&mut machine, IDE_CD), Err(MediumRefusal::Empty("cd1".to_owned())));
    assert_eq!(machine.state_hash(), before);
    hold(&mut machine, true);
    assert_eq!(insert(&mut machine, CD, &small), Err(MediumRefusal::Held("cd0".to_owned())));
    assert_eq!(eject(&mut machine, CD), Ok(Ejection::Asked));
    assert_eq!(media(&machine)[0], Some(2));
    hold(&mut machine, false);
    assert_eq!((eject(&mut machine, CD), media(&machine)[0]), (Ok(Ejection::Out), None));
    hold(&mut machine, true);
    insert(&mut machine, CD, &small).unwrap();
    let forced = machine.eject(&mut Host::default(), CD, true);
    assert_eq!((forced, media(&machine)[0]), (Ok(Ejection::Out), None));
}

/// A machine whose media change: states on the way.
fn lives(machine: &mut Machine, folder: &Path) -> Vec<Frozen> {
    let mut frozen = vec![machine.freeze()];
    let mut on = |machine: &mut Machine| {
        go(machine, 5000);
        frozen.push(machine.freeze());
    };
    insert(machine, DISKETTE, &base(folder, 3, 2880)).unwrap();
    on(machine);
    machine.disks.last_mut().unwrap().disk.write(0, &[30; 512]).map_err(drop).unwrap();
    insert(machine, CD, &base(folder, 4, 1000)).unwrap();
    on(machine);
    eject(machine, DISKETTE).unwrap();
    insert(machine, IDE_CD, &base(folder, 5, 32)).unwrap();
    on(machine);
    insert(machine, DISKETTE, &base(folder, 6, 1440)).unwrap();
    eject(machine, CD).unwrap();
    on(machine);
    insert(machine, CD, &base(folder, 2, 64)).unwrap();
    on(machine);
    frozen
}

#[test]
fn a_machine_goes_back_across_media_and_is_stored_with_each() {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = machine(folder.path());
    let mut frozen = lives(&mut machine, folder.path());
    go_back_and_on(&mut machine, &mut frozen);
    let expected = [
        [Some(2), None, None],
        [Some(2), None, Some(3)],
        [Some(4), None, Some(30)],
        [Some(4), Some(5), None],
        [None, Some(5), Some(6)],
        [Some(2), Some(5), Some(6)],
    ];
    for (frozen, expected) in frozen.iter_mut().zip(expected) {
        let stored = &mut stored(frozen);
        assert_eq!((stored.state_hash(), media(stored)), (frozen.hash(), expected.to_vec()));
        let mut own = Machine::fork(frozen).unwrap();
        for machine in [&mut own, &mut *stored] {
            go(machine, 10_000);
            insert(machine, CD, &base(folder.path(), 7, 8)).unwrap();
        }
        assert_eq!(stored.state_hash(), own.state_hash());
    }
}

#[test]
fn both_engines_agree_and_a_reset_leaves_media_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let hashes = [Engine::Interpreter, Engine::Jit].map(|engine| {
        let mut machine = machine(folder.path());
        machine.set_engine(engine);
        let hashes: Vec<_> = lives(&mut machine, folder.path()).iter_mut().map(Frozen::hash).collect();
        machine.reset();
        assert_eq!(media(&machine), [Some(2), Some(5), Some(6)]);
        hashes
    });
    assert_eq!(hashes[0], hashes[1]);
}

#[test]
fn a_change_is_an_input_that_names_its_image() {
    let folder = tempfile::tempdir().unwrap();
    let (mut machine, mut log) = (machine(folder.path()), Log::default());
    let first = machine.freeze();
    let image = base(folder.path(), 3, 2880);
    machine.insert(&mut log, DISKETTE, &image, true).unwrap();
    machine.eject(&mut log, CD, false).unwrap();
    let expected = [
        MediumChange::Insert { disk: DISKETTE, image: image.image(), read_only: true },
        MediumChange::Eject { disk: CD, force: false },
    ];
    let changes: Vec<_> = log.0.iter().map(|record| record.input.clone()).collect();
    assert_eq!(changes, expected.clone().map(Input::Medium));
    assert!(changes.iter().all(Input::is_deed));
    let hash = machine.state_hash();
    machine.rewind(&first);
    for change in &expected {
        machine.change_medium(&mut Log::default(), change).unwrap();
    }
    assert_eq!(machine.state_hash(), hash);
    // Without the file, too, for it is open; another machine reads it anew.
    machine.rewind(&first);
    std::fs::remove_file(path(folder.path(), 3)).unwrap();
    machine.change_medium(&mut Log::default(), &expected[0]).unwrap();
    let mut another = Machine::fork(&first).unwrap();
    let missing = another.change_medium(&mut Log::default(), &expected[0]).unwrap_err().to_string();
    assert!(missing.contains("3.img") && missing.contains("cannot be read"), "{missing}");
    std::fs::write(path(folder.path(), 3), vec![99; 2880 * 512]).unwrap();
    let other = another.change_medium(&mut Log::default(), &expected[0]).unwrap_err().to_string();
    assert!(other.contains("3.img") && other.contains("its contents have changed"), "{other}");
}

#[test]
fn impossible_media_of_a_stored_machine_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = machine(folder.path());
    insert(&mut machine, DISKETTE, &base(folder.path(), 3, 2880)).unwrap();
    machine.state_hash();
    let medium = |len| Some(MediumSpec { len, hash: [3; 32], read_only: false });
    let with = |drives: Vec<(u8, Option<MediumSpec>)>| {
        let drives = drives.into_iter().map(|(disk, medium)| DriveSpec { disk, medium }).collect();
        let mut sections = machine.sections();
        sections.retain(|section| section.path != Media::PATH);
        sections.push(Section::to_section(&Media { drives }, Media::PATH));
        Machine::restore(&sections, sources(&machine)).map(drop).unwrap_err().to_string()
    };
    for drives in [
        vec![],
        vec![(0, medium(512))],
        vec![(9, None)],
        vec![(DISKETTE, medium(0))],
        vec![(DISKETTE, None), (CD, None)],
        vec![(CD, None), (CD, None)],
    ] {
        let refusal = with(drives.clone());
        assert!(refusal.contains("media") && refusal.contains("drives"), "{drives:?}: {refusal}");
    }
    assert!(with(vec![(CD, None)]).contains("disk") || with(vec![(CD, None)]).contains("region"));
    let odd = with(vec![(DISKETTE, medium(1000))]);
    assert!(odd.contains("region"), "{odd}");
}
