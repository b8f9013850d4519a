//! The program `amber`, built once for the tests of a process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Path of the program, of the same profile as the test.
///
/// # Panics
/// If it cannot be built.
pub fn amber() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--package", "amber-emu", "--bin", "amber"]);
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        assert!(cargo.status().expect("cargo runs").success(), "amber is built");
        let test = std::env::current_exe().expect("tests have a path");
        let profile = test.parent().and_then(Path::parent).expect("tests lie in PROFILE/deps");
        profile.join("amber")
    })
}
