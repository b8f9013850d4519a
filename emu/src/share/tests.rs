use super::*;
use amber_devices::share::{FileTime, SHARE_MIN, ShareLayout, Tree, What};
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

/// A folder with all that may be in one.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("d/empty")).unwrap();
    fs::write(at("d/one"), b"one").unwrap();
    fs::set_permissions(at("d/one"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::hard_link(at("d/one"), at("two")).unwrap();
    fs::write(at("long"), (0..10_000u32).map(|n| n as u8).collect::<Vec<_>>()).unwrap();
    File::create(at("sparse")).unwrap().set_len(100_000).unwrap();
    symlink("/etc/../nowhere", at("d/link")).unwrap();
    folder
}

fn filled(folder: &Path, size: u64) -> Result<(ShareLayout, Pages), ShareError> {
    let layout = ShareLayout::new(size);
    let mut pages = Pages::new(layout.pages());
    fill(&mut pages, layout, folder)?;
    Ok((layout, pages))
}

#[test]
fn a_folder_that_was_read_is_written_as_it_was() {
    let from = folder();
    let (layout, mut pages) = filled(from.path(), SHARE_MIN).unwrap();
    let to = tempfile::tempdir().unwrap();
    let written = write_folder(&mut pages, layout, &to.path().join("new")).unwrap();
    assert_eq!((written.files, written.bytes, written.left_out), (6, 3 + 10_000 + 100_000 + 15, 0));
    for name in ["d", "d/empty", "d/one", "two", "long", "sparse", "d/link"] {
        let [old, new] = [from.path(), &to.path().join("new")].map(|folder| folder.join(name));
        let [known, now] = [&old, &new].map(|path| fs::symlink_metadata(path).unwrap());
        assert_eq!((known.mode(), known.nlink()), (now.mode(), now.nlink()), "{name}");
        if known.is_file() {
            assert_eq!(fs::read(&old).unwrap(), fs::read(&new).unwrap(), "{name}");
        }
        if !known.is_symlink() {
            assert_eq!((known.mtime(), known.mtime_nsec()), (now.mtime(), now.mtime_nsec()), "{name}");
        }
    }
    assert_eq!(fs::read_link(to.path().join("new/d/link")).unwrap(), Path::new("/etc/../nowhere"));
    let again = write_folder(&mut pages, layout, &to.path().join("new"));
    assert!(again.unwrap_err().to_string().ends_with("it is there already, and not empty"));
}

#[test]
fn the_same_folder_gives_the_same_pages() {
    let from = folder();
    let bytes = |pages: &Pages| {
        use amber_snapshot::RegionPages;
        (0..pages.pages()).flat_map(|page| pages.bytes(page).to_vec()).collect::<Vec<_>>()
    };
    let first = filled(from.path(), SHARE_MIN).unwrap().1;
    assert!(fs::read(from.path().join("long")).is_ok(), "reading changes the time of the last read alone");
    assert!(bytes(&first) == bytes(&filled(from.path(), SHARE_MIN).unwrap().1));
    let contents = read_folder(from.path(), 200_000).unwrap();
    assert_eq!(contents.items.len(), 7);
    assert_eq!(contents.items[6].what, What::SameAs(3), "two names of one file");
}

#[test]
fn a_folder_that_is_too_much_is_told_of_by_the_file() {
    let from = folder();
    fs::write(from.path().join("more"), vec![1; SHARE_MIN as usize]).unwrap();
    let why = filled(from.path(), SHARE_MIN).err().unwrap().to_string();
    assert!(why.contains("more: the share has no room for it; give it a larger size"), "{why}");
    assert!(filled(from.path(), 2 * SHARE_MIN).is_ok());
    let why = read_folder(from.path(), 1000).err().unwrap().to_string();
    assert!(why.contains("long: cannot be read: with it the folder has more than 1000 bytes"), "{why}");
    let why = filled(&from.path().join("nowhere"), SHARE_MIN).err().unwrap().to_string();
    assert!(why.contains("nowhere: cannot be read"), "{why}");
    let many = tempfile::tempdir().unwrap();
    (0..200).for_each(|n| fs::write(many.path().join(format!("{n:03}")), b"").unwrap());
    let why = filled(many.path(), SHARE_MIN).err().unwrap().to_string();
    assert!(why.contains("127: the share has no room"), "{why}");
}

#[test]
fn pages_without_a_tree_are_written_nowhere() {
    let layout = ShareLayout::new(SHARE_MIN);
    let to = tempfile::tempdir().unwrap();
    let why = write_folder(&mut Pages::new(layout.pages()), layout, to.path()).unwrap_err().to_string();
    assert!(why.contains("there is no root"), "{why}");
    let (layout, mut pages) = filled(folder().path(), SHARE_MIN).unwrap();
    let tree = Tree::open(&mut pages, layout).unwrap();
    assert_ne!(tree.inode(0).unwrap().modified, FileTime::default());
}
