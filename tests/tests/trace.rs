//! `--trace` says which processor takes each step.

use amber_emu::cli::trace;
use amber_emu::config::Firmware;
use amber_emu::machine::{Machine, Stop};
use amber_tests::program::Scratch;
use amber_tests::{Quiet, rom};

const STEPS: u64 = 86_000;

/// What every step changes something of.
fn progress(machine: &Machine, n: usize) -> impl PartialEq + use<> {
    let cpu = &machine.vcpus()[n];
    let system = &cpu.system;
    (cpu.rip, system.retired, system.activity, system.pending, cpu.flags.bits(), cpu.gpr[4])
}

#[test]
fn lines_name_the_processor_that_took_the_step() {
    let scratch = Scratch::new("trace");
    let file = scratch.0.join("steps.txt");
    let mut machine = rom(Firmware::Smp, 2);
    let stop = trace::run(&mut machine, STEPS, &mut Quiet::default(), true, &file).expect("a trace");
    assert_eq!(stop, Stop::Step);
    let text = std::fs::read_to_string(file).expect("a trace");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len() as u64, STEPS, "a line for every step");

    let mut machine = rom(Firmware::Smp, 2);
    let mut switches = 0;
    let mut last = "cpu0".to_owned();
    for (step, line) in lines.iter().enumerate() {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(words[0], step.to_string());
        let before = [progress(&machine, 0), progress(&machine, 1)];
        let rips: Vec<u64> = machine.vcpus().iter().map(|cpu| cpu.rip).collect();
        machine.run(step as u64 + 1, &mut Quiet::default(), true);
        let after = [progress(&machine, 0), progress(&machine, 1)];
        if words[1] == "idle" {
            continue;
        }
        let n: usize = words[1][3..].parse().expect("a number");
        assert!(before[n] != after[n], "cpu{n} took a step: {line}");
        let place = words[3].split(':').nth(1).expect("CS:RIP");
        assert_eq!(u64::from_str_radix(place, 16), Ok(rips[n]), "{line}");
        switches += u32::from(words[1] != last);
        words[1].clone_into(&mut last);
    }
    assert!(switches > 2, "both processors ran");
    // The start of the second processor is two events and no instruction.
    let first = lines.iter().find(|line| line.contains(" cpu1 ")).expect("cpu1 runs");
    assert!(first.ends_with("(event)"), "{first}");
}
