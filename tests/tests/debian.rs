//! I1, I2 and I4 on Debian's kernel, which `tests/fetch-debian.sh` fetches. Run by name: they take minutes.
//!
//!     AMBER_DEBIAN_STEPS=8000000000 cargo test --release -p amber-tests --test debian -- --ignored
//!
//! AMBER_DEBIAN_INITRD and AMBER_DEBIAN_APPEND name another initial RAM disk and command line: other work than the boot.

use amber_emu::cli::build;
use amber_emu::config::MachineConfig;
use amber_emu::machine::Machine;
use amber_tests::history::{Disturbance, difference, narrow, points, record};
use std::path::Path;

/// How far the boot is followed, unless AMBER_DEBIAN_STEPS says otherwise. The kernel unpacks itself for 4.5 billion.
const STEPS: u64 = 6_000_000_000;

fn steps() -> u64 {
    match std::env::var("AMBER_DEBIAN_STEPS") {
        Ok(steps) => steps.parse().expect("AMBER_DEBIAN_STEPS is a number"),
        Err(_) => STEPS,
    }
}

fn boot(folder: &Path, cpus: u32) -> Machine {
    let config = MachineConfig {
        kernel: Some(folder.join("vmlinuz")),
        initrd: Some(
            std::env::var_os("AMBER_DEBIAN_INITRD").map_or_else(|| folder.join("initrd.gz"), Into::into),
        ),
        append: Some(
            std::env::var("AMBER_DEBIAN_APPEND").unwrap_or_else(|_| "console=ttyS0 panic=-1".into()),
        ),
        cpus,
        ..MachineConfig::default()
    };
    build::machine(&config).expect("Debian's kernel can be loaded")
}

fn check(disturbance: Disturbance) {
    let Some(folder) = amber_tests::debian() else { return };
    let points = points(steps());
    for cpus in [1, 2, 4] {
        let quiet = record(boot(&folder, cpus), &points, Disturbance::Nothing, 0);
        let disturbed = record(boot(&folder, cpus), &points, disturbance, 1);
        if let Some(found) = difference(&quiet, &disturbed) {
            let found = narrow(|| boot(&folder, cpus), found, disturbance, 1);
            panic!("{cpus} vCPUs, {disturbance:?}: {found}");
        }
    }
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn two_boots_agree() {
    check(Disturbance::Nothing);
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn both_engines_agree() {
    check(Disturbance::Interpreter);
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn caches_may_go_while_booting() {
    check(Disturbance::DropCaches);
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn the_boot_may_be_split_anywhere() {
    check(Disturbance::Split);
}

#[test]
#[ignore = "needs a kernel and minutes"]
fn watchpoints_do_not_change_the_boot() {
    check(Disturbance::Watched);
}
