use super::*;
use crate::testing::Random;

/// Pages in memory.
pub(crate) struct Pages(pub Vec<u8>);

impl Pages {
    pub fn new(layout: ShareLayout) -> Self {
        Self(vec![0; (layout.pages() * BLOCK) as usize])
    }
}

impl Volume for Pages {
    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), MediumError> {
        into.copy_from_slice(self.0.get(at as usize..at as usize + into.len()).ok_or(MediumError)?);
        Ok(())
    }
    fn write(&mut self, at: u64, from: &[u8]) -> Result<(), MediumError> {
        self.0.get_mut(at as usize..at as usize + from.len()).ok_or(MediumError)?.copy_from_slice(from);
        Ok(())
    }
}

const NOW: FileTime = FileTime { seconds: 1000, nanoseconds: 5 };

fn of_kind(mode: u32) -> Attributes {
    Attributes { mode, uid: 1, gid: 2, device: 0, time: NOW }
}

const FILE: u32 = S_IFREG | 0o644;
const DIRECTORY: u32 = S_IFDIR | 0o755;

fn share() -> (Tree, Pages) {
    let layout = ShareLayout::new(SHARE_MIN);
    let mut pages = Pages::new(layout);
    (Tree::format(&mut pages, layout, &of_kind(DIRECTORY)).unwrap(), pages)
}

/// All that can be seen of a tree.
fn seen(tree: &Tree) -> String {
    let nodes = tree.nodes.iter().enumerate().filter_map(|(n, node)| Some((n, node.as_ref()?)));
    let nodes: Vec<_> = nodes.map(|(n, node)| (n, format!("{node:?}"))).collect();
    format!("{nodes:?} {:?} {:?}", tree.blocks(), tree.files())
}

#[test]
fn what_is_written_is_read_and_found_again_in_the_pages() {
    let (mut tree, mut pages) = share();
    let directory = tree.create(&mut pages, ROOT, b"d", &of_kind(DIRECTORY)).unwrap();
    let file = tree.create(&mut pages, directory, b"f", &of_kind(FILE)).unwrap();
    let bytes: Vec<u8> = (0..10_000u32).map(|n| n as u8).collect();
    assert_eq!(tree.write(&mut pages, file, 5000, &bytes, NOW), Ok(10_000));
    let mut read = vec![9; 20_000];
    assert_eq!(tree.read(&mut pages, file, 0, &mut read), Ok(15_000));
    assert!(read[..5000].iter().all(|byte| *byte == 0) && read[5000..15_000] == bytes);
    assert_eq!((tree.blocks_of(file), tree.inode(file).unwrap().size), (3, 15_000));
    tree.link(&mut pages, ROOT, b"g", file, NOW).unwrap();
    let link = tree.symlink(&mut pages, ROOT, b"l", b"d/f", &of_kind(S_IFLNK | 0o777)).unwrap();
    assert_eq!(tree.target(&mut pages, link), Ok(b"d/f".to_vec()));
    assert_eq!(tree.write(&mut pages, link, 0, b"other", NOW), Err(Errno::INVAL));
    assert_eq!(tree.find(ROOT, b"g"), Ok(file));
    assert_eq!((tree.find(directory, b".."), tree.find(ROOT, b"..")), (Ok(ROOT), Ok(ROOT)));
    let again = Tree::open(&mut pages, ShareLayout::new(SHARE_MIN)).unwrap();
    assert_eq!(seen(&again), seen(&tree));
}

#[test]
fn what_is_cut_off_is_zeroes_when_the_file_grows_again() {
    let (mut tree, mut pages) = share();
    let file = tree.create(&mut pages, ROOT, b"f", &of_kind(FILE)).unwrap();
    tree.write(&mut pages, file, 0, &[7; 9000], NOW).unwrap();
    tree.resize(&mut pages, file, 4100, NOW).unwrap();
    tree.resize(&mut pages, file, 9000, NOW).unwrap();
    let mut read = vec![9; 9000];
    tree.read(&mut pages, file, 0, &mut read).unwrap();
    assert!(read[..4100].iter().all(|byte| *byte == 7) && read[4100..].iter().all(|byte| *byte == 0));
    assert_eq!(tree.blocks_of(file), 2);
    tree.resize(&mut pages, file, 0, NOW).unwrap();
    assert_eq!(tree.blocks().1, tree.blocks().0);
    let data = ShareLayout::new(SHARE_MIN).block(0) as usize;
    assert!(pages.0[data..].iter().all(|byte| *byte == 0), "nobody's blocks are zeroes");
}

#[test]
fn a_full_share_says_so_and_keeps_what_it_has() {
    let (mut tree, mut pages) = share();
    let file = tree.create(&mut pages, ROOT, b"f", &of_kind(FILE)).unwrap();
    let whole = vec![1; SHARE_MIN as usize + 4096];
    assert_eq!(
        tree.write(&mut pages, file, 100, &whole, NOW),
        Ok(SHARE_MIN as usize - 100),
        "the rest does not fit"
    );
    assert_eq!(tree.write(&mut pages, file, SHARE_MIN, &[1], NOW), Err(Errno::NOSPC));
    let link = of_kind(S_IFLNK | 0o777);
    assert_eq!(tree.symlink(&mut pages, ROOT, b"l", b"x", &link), Err(Errno::NOSPC));
    let more = (0..1000)
        .take_while(|n| tree.create(&mut pages, ROOT, format!("{n}").as_bytes(), &of_kind(FILE)).is_ok());
    assert_eq!(more.count(), 126, "128 files with the root and the first one");
    assert_eq!(tree.create(&mut pages, ROOT, b"x", &of_kind(FILE)), Err(Errno::NOSPC));
    assert_eq!(tree.write(&mut pages, file, FILE_MAX, &[1], NOW), Err(Errno::FBIG));
    assert_eq!(tree.write(&mut pages, file, u64::MAX, &[1], NOW), Err(Errno::FBIG));
    assert!(Tree::open(&mut pages, tree.layout).is_ok());
}

#[test]
fn names_that_cannot_be_are_refused() {
    let (mut tree, mut pages) = share();
    let directory = tree.create(&mut pages, ROOT, b"d", &of_kind(DIRECTORY)).unwrap();
    let inner = tree.create(&mut pages, directory, b"e", &of_kind(DIRECTORY)).unwrap();
    let file = tree.create(&mut pages, ROOT, b"f", &of_kind(FILE)).unwrap();
    let mut create = |name: &[u8]| tree.create(&mut pages, ROOT, name, &of_kind(FILE)).unwrap_err();
    let long = [b'x'; 256];
    let refused = [&b""[..], b".", b"..", b"a/b", b"a\0b", &long, b"f"].map(&mut create);
    let [noent, inval] = [Errno::NOENT, Errno::INVAL];
    assert_eq!(refused, [noent, inval, inval, inval, inval, Errno::NAMETOOLONG, Errno::EXIST]);
    assert_eq!(tree.create(&mut pages, file, b"x", &of_kind(FILE)), Err(Errno::NOTDIR));
    assert_eq!(tree.create(&mut pages, ROOT, b"x", &of_kind(0o644)), Err(Errno::INVAL));
    assert_eq!(tree.link(&mut pages, ROOT, b"x", directory, NOW), Err(Errno::PERM));
    assert_eq!(tree.unlink(&mut pages, ROOT, b"d", true, NOW), Err(Errno::NOTEMPTY));
    assert_eq!(tree.unlink(&mut pages, ROOT, b"d", false, NOW), Err(Errno::ISDIR));
    assert_eq!(tree.unlink(&mut pages, ROOT, b"f", true, NOW), Err(Errno::NOTDIR));
    assert_eq!(tree.rename(&mut pages, (ROOT, b"d"), (inner, b"d"), NOW), Err(Errno::INVAL));
    assert_eq!(tree.rename(&mut pages, (ROOT, b"f"), (ROOT, b"d"), NOW), Err(Errno::ISDIR));
    assert_eq!(tree.unlink(&mut pages, directory, b"e", true, NOW), Ok(inner));
    assert_eq!(tree.create(&mut pages, inner, b"x", &of_kind(FILE)), Err(Errno::NOENT), "it is removed");
    assert_eq!(tree.rename(&mut pages, (ROOT, b"f"), (inner, b"d"), NOW), Err(Errno::NOENT));
}

#[test]
fn a_file_without_a_name_lives_until_it_is_forgotten() {
    let (mut tree, mut pages) = share();
    let file = tree.create(&mut pages, ROOT, b"f", &of_kind(FILE)).unwrap();
    let other = tree.create(&mut pages, ROOT, b"o", &of_kind(FILE)).unwrap();
    tree.write(&mut pages, file, 0, b"bytes", NOW).unwrap();
    let generation = tree.inode(file).unwrap().generation;
    assert_eq!(tree.rename(&mut pages, (ROOT, b"o"), (ROOT, b"f"), NOW), Ok(Some(file)));
    let mut read = [0; 5];
    assert_eq!(tree.read(&mut pages, file, 0, &mut read), Ok(5));
    tree.forget(&mut pages, other).unwrap();
    assert!(tree.inode(other).is_ok(), "it has a name");
    tree.forget(&mut pages, file).unwrap();
    assert_eq!(tree.inode(file), Err(Errno::NOENT));
    assert_eq!(tree.create(&mut pages, ROOT, b"n", &of_kind(FILE)), Ok(file), "its number is free");
    assert_eq!(tree.inode(file).unwrap().generation, generation + 1);
}

#[test]
fn a_tree_is_filled_and_emptied() {
    let (mut tree, mut pages) = share();
    let item = |parent, name: &[u8], mode, what| Item {
        parent,
        name: name.to_vec(),
        attributes: of_kind(mode),
        what,
    };
    let items = [
        item(None, b"d", DIRECTORY, What::Nothing),
        item(Some(0), b"f", FILE, What::Bytes([vec![0; 8192], vec![1; 10]].concat())),
        item(None, b"g", FILE, What::SameAs(1)),
        item(Some(0), b"l", S_IFLNK | 0o777, What::Target(b"f".to_vec())),
    ];
    let mut filling = Filling::new(&mut tree);
    items.iter().for_each(|item| filling.add(&mut pages, item).unwrap());
    assert_eq!(filling.add(&mut pages, &item(Some(9), b"x", FILE, What::Nothing)), Err(Errno::INVAL));
    filling.end(&mut pages, FileTime { seconds: 3, nanoseconds: 0 }).unwrap();
    let file = tree.find(ROOT, b"g").unwrap();
    let inode = tree.inode(file).unwrap();
    assert_eq!((inode.size, inode.links, inode.modified, tree.blocks_of(file)), (8202, 2, NOW, 1));
    assert_eq!(tree.inode(ROOT).unwrap().modified.seconds, 3);
    let gone = tree.empty_root(&mut pages, NOW).unwrap();
    assert_eq!((gone.len(), tree.inode(ROOT).unwrap().links), (4, 2));
    gone.into_iter().for_each(|file| tree.forget(&mut pages, file).unwrap());
    assert_eq!((tree.blocks().1, tree.files().1), (256, 127));
}

#[test]
fn pages_that_hold_no_tree_are_refused() {
    let (mut tree, mut pages) = share();
    let directory = tree.create(&mut pages, ROOT, b"d", &of_kind(DIRECTORY)).unwrap();
    let file = tree.create(&mut pages, directory, b"f", &of_kind(FILE)).unwrap();
    tree.write(&mut pages, file, 0, &[1; 8192], NOW).unwrap();
    let layout = tree.layout;
    let refused = |at: u64, bytes: &[u8]| {
        let mut other = Pages(pages.0.clone());
        other.write(at, bytes).unwrap();
        Tree::open(&mut other, layout).unwrap_err()
    };
    assert!(refused(layout.inode(ROOT), &[0; 4]).contains("stands nowhere"));
    assert!(refused(layout.inode(file), &[0xff; 4]).contains("of no kind"));
    assert!(refused(layout.inode(file) + 12, &[2]).contains("as many names"));
    assert!(refused(layout.entry(0) + 4, &[0]).contains("for nothing"));
    assert!(refused(layout.entry(0) + 8, &[0xff, 0xff]).contains("for nothing"));
    assert!(refused(layout.entry(1) + 16, b"/").contains("is none"));
    // The directory is in itself, and nothing leads there.
    assert!(refused(layout.entry(0), &[directory as u8 + 1]).contains("as many names"));
    assert!(refused(layout.owner(1) + 4, &[0]).contains("the same one"));
    assert!(refused(layout.owner(1) + 4, &[2]).contains("behind the end"));
    assert!(refused(layout.owner(1), &[99]).contains("behind the end"));
}

#[test]
fn trees_and_pages_stay_the_same_thing() {
    let (mut tree, mut pages) = share();
    let mut random = Random(0x5a7e);
    for round in 0..20_000u32 {
        let nodes = tree.nodes.len() as u64;
        let any = |random: &mut Random| random.below(nodes + 1) as u32;
        let name = |random: &mut Random| [b'a' + random.below(12) as u8];
        let (one, other) = (any(&mut random), any(&mut random));
        let (from, to) = (name(&mut random), name(&mut random));
        let gone = match random.below(9) {
            0 => tree.create(&mut pages, one, &from, &of_kind(DIRECTORY)).err().and(None),
            1 | 2 => tree.create(&mut pages, one, &from, &of_kind(FILE)).err().and(None),
            3 => tree
                .write(&mut pages, one, random.below(30_000), &vec![3; random.below(9000) as usize], NOW)
                .err()
                .and(None),
            4 => tree.resize(&mut pages, one, random.below(30_000), NOW).err().and(None),
            5 => tree.link(&mut pages, one, &from, other, NOW).err().and(None),
            6 => tree.rename(&mut pages, (one, &from), (other, &to), NOW).unwrap_or(None),
            7 => tree.unlink(&mut pages, one, &from, random.below(2) == 0, NOW).ok(),
            _ => tree.symlink(&mut pages, one, &from, b"nowhere", &of_kind(S_IFLNK)).err().and(None),
        };
        if let Some(file) = gone {
            tree.forget(&mut pages, file).unwrap();
        }
        if round % 500 == 0 {
            let again = Tree::open(&mut pages, tree.layout).unwrap();
            assert_eq!(seen(&again), seen(&tree), "round {round}");
        }
    }
}
