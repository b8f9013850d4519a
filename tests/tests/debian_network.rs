//! Two Debian guests on a crossover cable: one fetches a file from the other. What they do is the same in every run and on
//! both engines. Run by name:
//!
//!     cargo test --release -p amber-tests --test debian_network -- --ignored --nocapture

use amber_cpu::Engine;
use amber_emu::cli::build;
use amber_emu::config::MachineConfig;
use amber_emu::machine::{Machine, Stop};
use amber_emu::net::{Side, crossover, run_in_turns};
use amber_tests::{Quiet, debian};

/// Virtual time by which they are done, ns.
const BOUND: u64 = 60_000_000_000;

/// Guest `host` of the two, if it was made.
fn guest(host: u8, cpus: u32, engine: Engine) -> Option<Machine> {
    let folder = debian()?;
    let initrd = folder.join("network.gz");
    if !initrd.is_file() {
        eprintln!("skipped: no network.gz in {}; tests/fetch-debian.sh makes it", folder.display());
        return None;
    }
    let net = format!("link:unused,mac=52:54:00:00:00:0{host}");
    let config = MachineConfig {
        kernel: Some(folder.join("vmlinuz")),
        initrd: Some(initrd),
        append: Some(format!("console=ttyS0 panic=-1 host={host}")),
        net: net.parse().expect("a choice"),
        cpus,
        ..MachineConfig::default()
    };
    let mut machine = build::machine(&config).expect("Debian's kernel can be loaded");
    machine.set_engine(engine);
    Some(machine)
}

/// Runs both to their ends: the hashes of these, if the guests were made.
fn talk(cpus: u32, engine: Engine) -> Option<[String; 2]> {
    let (mut one, mut other) = (guest(1, cpus, engine)?, guest(2, cpus, engine)?);
    let (mut said, mut heard) = (Quiet::default(), Quiet::default());
    let (mut left, mut right) = crossover();
    let mut sides = [
        Side { machine: &mut one, host: &mut said, link: &mut left },
        Side { machine: &mut other, host: &mut heard, link: &mut right },
    ];
    let ended = run_in_turns(&mut sides, BOUND);
    let texts = [said, heard].map(|host| String::from_utf8_lossy(&host.serial).into_owned());
    assert_eq!(ended, [Some(Stop::PowerOff); 2], "{}", texts.join("\n--- the other ---\n"));
    for text in &texts {
        assert!(text.contains("PASS"), "{text}");
    }
    assert!(texts[0].contains("3 packets received"), "{}", texts[0]);
    let hashes = [one.state_hash().to_string(), other.state_hash().to_string()];
    eprintln!("{cpus} processors, {engine:?}: steps {} and {}, {hashes:?}", one.step(), other.step());
    Some(hashes)
}

#[test]
#[ignore = "takes minutes"]
fn two_guests_exchange_a_file_the_same_way_every_time_and_on_both_engines() {
    for cpus in [1, 2] {
        let Some(hashes) = talk(cpus, Engine::Jit) else { return };
        assert_eq!(talk(cpus, Engine::Jit), Some(hashes.clone()), "again");
        assert_eq!(talk(cpus, Engine::Interpreter), Some(hashes), "interpreted");
    }
}
