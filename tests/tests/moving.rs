//! A snapshot moves: what one user saved in one folder another imports elsewhere, and the run goes on as it would have.

use amber_tests::program::{Scratch, amber};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The user `nobody`, who owns nothing here.
const OTHER: u32 = 65534;
/// Where the run is cut, and where it is looked at.
const CUT: &str = "1500000";
const END: &str = "3000000";

/// Somebody with a copy of the program and a folder.
struct Someone {
    program: PathBuf,
    folder: PathBuf,
    user: Option<u32>,
}

impl Someone {
    fn new(scratch: &Scratch, name: &str, user: Option<u32>) -> Self {
        let folder = scratch.0.join(name);
        std::fs::create_dir(&folder).expect("the temporary folder is writable");
        let program = folder.join("amber");
        std::fs::copy(amber(), &program).expect("the program can be copied");
        if let Some(user) = user {
            chown(&folder, Some(user), Some(user)).expect("root may give folders away");
        }
        Self { program, folder, user }
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(&self.program);
        command.args(args).args(["--store", "store"]).current_dir(&self.folder).stdin(Stdio::null());
        command.env_clear().env("HOME", &self.folder);
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        let output = command.output().expect("amber starts");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// The last line a run says, which is its state hash.
    fn hash(&self, args: &[&str]) -> String {
        let said = self.run(args).stderr;
        let said = String::from_utf8_lossy(&said);
        said.lines().find(|line| line.starts_with("state-hash ")).expect("it was asked for").to_owned()
    }
}

fn readable(file: &Path) {
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644)).expect("it is ours");
}

#[test]
fn another_user_goes_on_with_what_was_exported() {
    let scratch = Scratch::new("moving");
    std::fs::set_permissions(&scratch.0, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    let root = rustix::process::getuid().is_root();
    let here = Someone::new(&scratch, "here", None);
    let there = Someone::new(&scratch, "there", root.then_some(OTHER));
    let run = ["run", "--headless", "--firmware", "selftest", "--stop-at"];
    let whole = here.hash(&[&run[..], &[END, "--hash"]].concat());
    here.run(&[&run[..], &[CUT, "--save-on-exit", "cut"]].concat());
    here.run(&["snapshot", "export", "cut", "cut.amber"]);
    let archive = here.folder.join("cut.amber");
    readable(&archive);
    let text = archive.display().to_string();
    there.run(&["snapshot", "import", &text]);
    std::fs::remove_dir_all(here.folder.join("store")).expect("it is not needed any more");
    let gone_on = there.hash(&["run", "--headless", "--from", "cut", "--stop-at", END, "--hash"]);
    assert_eq!(whole, gone_on);
    there.run(&["snapshot", "export", "cut", "again.amber"]);
    let bytes = |file: &Path| std::fs::read(file).expect("it was written");
    assert!(bytes(&archive) == bytes(&there.folder.join("again.amber")), "nothing was edited");
}
