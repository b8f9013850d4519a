//! Media change in a window for real, by keyboard alone.

use crate::desktop::{Desktop, await_some, missing, replays};
use amber_tests::program::Scratch;
use serde_json::Value;
use std::rc::Rc;

/// What is in a drive: the name of its file.
fn medium(desktop: &Desktop, drive: &str) -> Option<String> {
    let list: Value = serde_json::from_str(&desktop.ctl(&["media", "list"])?).ok()?;
    let drives = list["drives"].as_array()?;
    let found = drives.iter().find(|own| own["drive"] == drive)?;
    let file = found["medium"]["file"].as_str()?;
    file.rsplit('/').next().map(str::to_owned)
}

#[test]
fn media_are_taken_out_and_put_in_by_keyboard() {
    if let Some(sentence) = missing() {
        eprintln!("{sentence}");
        return;
    }
    let scratch = Rc::new(Scratch::new("media-keys"));
    // The chooser has one file to choose.
    std::fs::create_dir(scratch.0.join("discs")).expect("the folder is writable");
    let first = scratch.file("discs/first.iso", &vec![1; 64 << 10]).display().to_string();
    let args = ["--cdrom", &first, "--floppy", "none", "--control", "socket", "--record", "log"];
    let Some(mut desktop) = Desktop::start_in(Rc::clone(&scratch), &args, &[]) else { return };
    desktop.await_title("running");
    await_some("the CD", || (medium(&desktop, "cd0")? == "first.iso").then_some(()));
    desktop.still();
    desktop.chord("Insert");
    desktop.still();
    desktop.picture("media");
    // Insert has the keyboard: the next is Eject.
    desktop.press(&["Tab", "Return"]);
    await_some("an empty drive", || {
        let list = desktop.ctl(&["media", "list"])?;
        (medium(&desktop, "cd0").is_none() && list.contains("\"open\"")).then_some(())
    });
    desktop.press(&["Escape"]);
    desktop.still();
    desktop.ctl(&["insert", "cd0", &first]).expect("it is put in");
    desktop.chord("q");
    assert_eq!(desktop.code(), Some(0));
    assert!(replays(&scratch.0.join("log")), "the log repeats the run");
}
