use super::*;
use crate::pci::function::Function;

#[test]
fn the_tag_is_in_the_configuration() {
    let mut guest = guest(false);
    let tag: Vec<u8> = (0..7).map(|n| guest.get(0x2000 + n, 1) as u8).collect();
    assert_eq!(tag, text(b"files"));
    assert_eq!(guest.get(4, 4) & 1, 1, "F_MOUNT_TAG");
}

#[test]
fn a_file_is_made_written_read_and_found() {
    let mut guest = attached(false);
    create(&mut guest, 1, b"f").unwrap();
    assert_eq!(write(&mut guest, 1, 3, b"hello"), Ok(5));
    assert_eq!(read(&mut guest, 1, 0, 100), Ok(b"\0\0\0hello".to_vec()));
    assert_eq!(read(&mut guest, 1, 99, 100), Ok(Vec::new()));
    assert_eq!(walk(&mut guest, 2, &[b"f"]), Ok(1));
    let stat = ask(&mut guest, 24, &[&word(2), &long(0x7ff)]).unwrap();
    let number = |at: usize| u64::from_le_bytes(stat[at..at + 8].try_into().unwrap());
    assert_eq!(stat[21..33], [word(0o100_640), word(5), word(6)].concat());
    assert_eq!(
        (number(33), number(49), number(57), number(65)),
        (1, 8, 4096, 8),
        "links, size, block, blocks"
    );
    assert!(number(73) >= 1000, "its time is the machine's: {}", number(73));
    let held = tree(&mut guest);
    assert_eq!(held.inode(held.find(0, b"f").unwrap()).unwrap().size, 8);
}

#[test]
fn walks_go_as_far_as_there_are_names_and_never_above_the_root() {
    let mut guest = attached(false);
    ask(&mut guest, 72, &[&word(0), &text(b"d"), &word(0o755), &word(0)]).unwrap();
    assert_eq!(walk(&mut guest, 1, &[b"d", b"..", b"..", b"..", b"d"]), Ok(5));
    assert_eq!(walk(&mut guest, 2, &[b"d", b"x", b"y"]), Ok(1));
    assert_eq!(ask(&mut guest, 24, &[&word(2), &long(0)]), Err(Errno::BADF), "it went not all the way");
    assert_eq!(walk(&mut guest, 2, &[b"x"]), Err(Errno::NOENT));
    assert_eq!(walk(&mut guest, 1, &[b"d"]), Err(Errno::INVAL), "the fid is in use");
    assert_eq!(walk(&mut guest, 2, &[b"d/.."]), Err(Errno::NOENT));
    assert_eq!(walk(&mut guest, 2, &[b"d".as_slice(); 17]), Err(Errno::INVAL));
}

#[test]
fn directories_are_listed_in_pieces_and_go_on_behind_what_was_removed() {
    let mut guest = attached(false);
    for n in 0..20u32 {
        create(&mut guest, 1, format!("file{n:02}").as_bytes()).unwrap();
        ask(&mut guest, 120, &[&word(1)]).unwrap();
    }
    walk(&mut guest, 1, &[]).unwrap();
    ask(&mut guest, 12, &[&word(1), &word(0)]).unwrap();
    let (mut place, mut names) = (0u64, Vec::new());
    loop {
        let listed = ask(&mut guest, 40, &[&word(1), &long(place), &word(100)]).unwrap();
        let mut rest = &listed[4..];
        assert!(rest.len() <= 100);
        if rest.is_empty() {
            break;
        }
        while !rest.is_empty() {
            place = u64::from_le_bytes(rest[13..21].try_into().unwrap());
            let len = usize::from(rest[22]);
            names.push(String::from_utf8(rest[24..24 + len].to_vec()).unwrap());
            rest = &rest[24 + len..];
        }
        let name = names.last().unwrap().clone();
        if name.starts_with("file") {
            ask(&mut guest, 76, &[&word(0), &text(name.as_bytes()), &word(0)]).unwrap();
        }
    }
    let wanted = (0..20).map(|n| format!("file{n:02}"));
    assert_eq!(names, [".".to_owned(), "..".to_owned()].into_iter().chain(wanted).collect::<Vec<_>>());
}

#[test]
fn a_file_that_lost_its_name_is_read_until_its_last_fid_goes() {
    let mut guest = attached(false);
    create(&mut guest, 1, b"f").unwrap();
    write(&mut guest, 1, 0, b"bytes").unwrap();
    walk(&mut guest, 2, &[b"f"]).unwrap();
    ask(&mut guest, 122, &[&word(2)]).unwrap();
    assert_eq!(walk(&mut guest, 2, &[b"f"]), Err(Errno::NOENT));
    assert_eq!(read(&mut guest, 1, 0, 5), Ok(b"bytes".to_vec()));
    let free = |guest: &mut Guest| tree(guest).blocks().1;
    let before = free(&mut guest);
    ask(&mut guest, 120, &[&word(1)]).unwrap();
    assert_eq!(free(&mut guest), before + 1);
    create(&mut guest, 1, b"g").unwrap();
    write(&mut guest, 1, 0, b"bytes").unwrap();
    ask(&mut guest, 76, &[&word(0), &text(b"g"), &word(0)]).unwrap();
    guest.set(0x14, 1, 0);
    assert_eq!(free(&mut guest), before + 1, "a driver that is gone uses nothing");
}

#[test]
fn renamed_linked_and_changed() {
    let mut guest = attached(false);
    create(&mut guest, 1, b"f").unwrap();
    write(&mut guest, 1, 0, &[1; 5000]).unwrap();
    ask(&mut guest, 74, &[&word(0), &text(b"f"), &word(0), &text(b"g")]).unwrap();
    ask(&mut guest, 70, &[&word(0), &word(1), &text(b"h")]).unwrap();
    ask(&mut guest, 16, &[&word(0), &text(b"l"), &text(b"../../etc/passwd"), &word(0)]).unwrap();
    ask(&mut guest, 18, &[&word(0), &text(b"n"), &word(0o020_600), &word(4), &word(64), &word(0)]).unwrap();
    walk(&mut guest, 2, &[b"l"]).unwrap();
    assert_eq!(ask(&mut guest, 22, &[&word(2)]).unwrap(), text(b"../../etc/passwd"));
    assert_eq!(walk(&mut guest, 3, &[b"l", b"x"]), Ok(1), "a link leads nowhere here");
    let valid = 1 | 8 | 0x20 | 0x100;
    let times = [long(5), long(6), long(7), long(8)].concat();
    ask(&mut guest, 26, &[&word(1), &word(valid), &word(0o600), &word(1), &word(1), &long(100), &times])
        .unwrap();
    let tree = tree(&mut guest);
    let inode = tree.inode(tree.find(0, b"h").unwrap()).unwrap();
    assert_eq!((inode.size, inode.links, inode.mode, inode.uid), (100, 2, 0o100_600, 5));
    assert_eq!(inode.modified, FileTime { seconds: 7, nanoseconds: 8 });
    assert_eq!(tree.inode(tree.find(0, b"n").unwrap()).unwrap().device, 4 << 8 | 64);
    assert_eq!(tree.find(0, b"f"), Err(Errno::NOENT));
}

#[test]
fn what_cannot_be_done_is_an_error() {
    let mut guest = attached(false);
    create(&mut guest, 1, b"f").unwrap();
    assert_eq!(ask(&mut guest, 30, &[&word(0), &word(9), &text(b"user.x")]), Err(Errno::OPNOTSUPP));
    assert_eq!(ask(&mut guest, 118, &[&word(1), &long(0), &word(5), b"four"]), Err(Errno::PROTO));
    assert_eq!(ask(&mut guest, 24, &[&[0; 3]]), Err(Errno::PROTO));
    assert_eq!(read(&mut guest, 0, 0, 5), Err(Errno::BADF), "it is not open");
    assert_eq!(ask(&mut guest, 12, &[&word(0), &word(1)]), Err(Errno::ISDIR));
    assert_eq!(ask_for(&mut guest, 24, &[&word(1), &long(0)], 100), Err(Errno::MSGSIZE), "there is no room");
    assert_eq!(ask_for(&mut guest, 116, &[&word(1), &long(0), &word(!0)], 64).map(|data| data.len()), Ok(4));
    assert_eq!(ask(&mut guest, 52, &[&word(1), &[0; 29]]), Ok(vec![0]));
    let unknown = ask(&mut guest, 100, &[&word(8192), &text(b"9P2000.u")]).unwrap();
    assert_eq!(unknown[4..], text(b"unknown"));
    assert_eq!(ask(&mut guest, 24, &[&word(1), &long(0)]), Err(Errno::BADF), "a new session has no fids");
    let mut guest = attached(true);
    assert_eq!(create(&mut guest, 1, b"f"), Err(Errno::ROFS));
    assert_eq!(ask(&mut guest, 12, &[&word(0), &word(0)]).map(|_| ()), Ok(()));
}

#[test]
fn other_contents_leave_what_is_open() {
    use crate::share::{Item, S_IFREG, What};
    let mut guest = attached(false);
    create(&mut guest, 1, b"old").unwrap();
    write(&mut guest, 1, 0, b"bytes").unwrap();
    let time = FileTime { seconds: 3, nanoseconds: 0 };
    let attributes = Attributes { mode: S_IFREG | 0o644, uid: 0, gid: 0, device: 0, time };
    let item = |name: &[u8], len| Item {
        parent: None,
        name: name.to_vec(),
        attributes,
        what: What::Bytes(vec![7; len]),
    };
    let contents = Contents { items: vec![item(b"new", 10)] };
    guest.with(|share, cx| share.load(cx, &contents)).unwrap();
    assert_eq!((walk(&mut guest, 2, &[b"old"]), walk(&mut guest, 3, &[b"new"])), (Err(Errno::NOENT), Ok(1)));
    assert_eq!(read(&mut guest, 1, 0, 5), Ok(b"bytes".to_vec()));
    let contents = Contents { items: vec![item(b"a", 10), item(b"b", SIZE as usize)] };
    assert_eq!(guest.with(|share, cx| share.load(cx, &contents)), Err(Errno::NOSPC));
    assert_eq!(walk(&mut guest, 4, &[b"a"]), Err(Errno::NOENT), "half of it is not there");
}

#[test]
fn what_is_known_of_the_files_is_known_again_after_a_restore() {
    let mut guest = attached(false);
    create(&mut guest, 1, b"f").unwrap();
    write(&mut guest, 1, 0, b"bytes").unwrap();
    ask(&mut guest, 76, &[&word(0), &text(b"f"), &word(0)]).unwrap();
    let section = guest.function.to_section("p/virtio-9p0");
    guest.function = Virtio9p::new(SLOT, &config(false), 1000).restored(&section).unwrap();
    assert_eq!(read(&mut guest, 1, 0, 5), Ok(b"bytes".to_vec()), "it has no name and is open");
    let mut other = guest.function.clone();
    other.registers.session.fids.put(fids::Fid { fid: 3, file: 0, parent: 0, uid: 0, open: 4 });
    assert!(
        guest
            .function
            .restored(&other.to_section("p/virtio-9p0"))
            .unwrap_err()
            .to_string()
            .contains("session")
    );
}

#[test]
fn pages_that_hold_no_tree_are_damage() {
    let mut guest = guest(false);
    guest.memory.pages[..0x1000].fill(0xff);
    assert_eq!(ask(&mut guest, 100, &[&word(8192), &text(b"9P2000.L")]), Err(Errno::IO));
    assert!(guest.memory.damage.unwrap().contains("of no kind"));
}
