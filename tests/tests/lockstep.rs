//! I3: the JIT stopped at step N is the interpreter stopped at N, to the last bit.
//!
//!     AMBER_STREAMS=100000 cargo test --release -p amber-tests --test lockstep

use amber_cpu::Engine;
use amber_emu::cli::build;
use amber_emu::config::{Firmware, FlatImage, MachineConfig};
use amber_emu::machine::{Machine, Stop};
use amber_tests::history::{Disturbance, difference, differing_sections, length, narrow, points, record};
use amber_tests::program::Scratch;
use amber_tests::streams::{self, CODE};
use amber_tests::{Quiet, Random, rom};
use iced_x86::{Decoder, DecoderOptions, FastFormatter};

/// No image is followed beyond this step.
const BOUND: u64 = 20_000_000;
/// No stream is followed beyond this step.
const STREAM_BOUND: u64 = 200_000;

const MACHINES: [(Firmware, u32); 7] = [
    (Firmware::Selftest, 1),
    (Firmware::Interrupts, 1),
    (Firmware::Interrupts, 2),
    (Firmware::Paging, 1),
    (Firmware::Smp, 2),
    (Firmware::Smp, 4),
    (Firmware::Monitor, 2),
];

#[test]
fn images_run_the_same_on_both_engines() {
    for (firmware, cpus) in MACHINES {
        let points = points(length(rom(firmware, cpus), BOUND));
        let translated = record(rom(firmware, cpus), &points, Disturbance::Nothing, 0);
        for seed in 0..2 {
            let interpreted = record(rom(firmware, cpus), &points, Disturbance::Interpreter, seed);
            if let Some(found) = difference(&translated, &interpreted) {
                let found = narrow(|| rom(firmware, cpus), found, Disturbance::Interpreter, seed);
                panic!("{firmware}, {cpus} vCPUs: {found}");
            }
        }
    }
}

#[test]
fn random_instruction_streams_run_the_same_on_both_engines() {
    let wanted = std::env::var("AMBER_STREAMS").ok().and_then(|streams| streams.parse().ok());
    let streams: u64 = wanted.unwrap_or(if cfg!(debug_assertions) { 400 } else { 2000 });
    let scratch = Scratch::new("lockstep");
    let (mut steps, mut translated, mut whole) = (0, 0, 0);
    for seed in 0..streams {
        let code = streams::program(&mut Random(seed));
        let file = scratch.file("stream.bin", &code);
        let config = MachineConfig {
            flat: Some(FlatImage { file, address: CODE }),
            memory: "16M".parse().expect("a size"),
            ..MachineConfig::default()
        };
        let (mut machine, mut reference) = pair(&config);
        // Every other one as on a host that is another in all that is left undefined.
        if seed % 2 == 1 {
            machine.distrust_host();
        }
        let stop = match together(&mut machine, &mut reference, seed) {
            Ok(stop) => stop,
            Err((to, what)) => panic!("seed {seed}: {what}; {}", first_difference(&config, to)),
        };
        steps += machine.step();
        translated += machine.code().jit().map_or(0, |(counters, _)| counters.run);
        whole += u64::from(stop == Stop::DebugExit(0x10));
    }
    println!("{streams} streams, {whole} to their end, {steps} steps, {translated} of them translated");
    assert!(whole * 2 > streams, "most streams run to their end");
    assert!(translated * 2 > steps, "most steps are translated");
}

/// The same machine for both engines.
fn pair(config: &MachineConfig) -> (Machine, Machine) {
    let machine = build::machine(config).expect("a flat image can be loaded");
    let mut reference = build::machine(config).expect("a flat image can be loaded");
    reference.set_engine(Engine::Interpreter);
    (machine, reference)
}

/// Runs both to the same steps, chosen at random, until they end. What differs, and the step it does at.
fn together(machine: &mut Machine, reference: &mut Machine, seed: u64) -> Result<Stop, (u64, String)> {
    let mut random = Random(seed ^ 0x5EED);
    loop {
        let before = machine.step();
        let bits = 1 + random.below(13);
        let to = before + 1 + random.below(1 << bits);
        let stop = advance(machine, reference, to).map_err(|what| (to, what))?;
        if stop != Stop::Step || to > STREAM_BOUND {
            return Ok(stop);
        }
    }
}

/// Runs both to step `to`.
fn advance(machine: &mut Machine, reference: &mut Machine, to: u64) -> Result<Stop, String> {
    let stop = machine.run(to, &mut Quiet::default(), true);
    let other = reference.run(to, &mut Quiet::default(), true);
    match differing_sections(&machine.sections(), &reference.sections()) {
        Some(what) => Err(what),
        None if stop != other => Err(format!("{stop:?} and {other:?}")),
        None if machine.state_hash() != reference.state_hash() => Err("memory".to_owned()),
        None => Ok(stop),
    }
}

/// The first step at which runs that were not stopped before differ, and the code it lies in.
fn first_difference(config: &MachineConfig, mut to: u64) -> String {
    let differs = |to| {
        let (mut machine, mut reference) = pair(config);
        advance(&mut machine, &mut reference, to).is_err()
    };
    if !differs(to) {
        return "no difference without the stops before".to_owned();
    }
    let mut same = 0;
    while to - same > 1 {
        let middle = same + (to - same) / 2;
        if differs(middle) { to = middle } else { same = middle }
    }
    let (mut machine, mut reference) = pair(config);
    let what = advance(&mut machine, &mut reference, to);
    let mut code = String::new();
    for step in to.saturating_sub(64)..to {
        let (_, mut reference) = pair(config);
        reference.run(step, &mut Quiet::default(), true);
        let cpu = &reference.vcpus()[0];
        let mut bytes = [0; 15];
        reference.mmu().read_physical(cpu.view(), cpu.rip, &mut bytes);
        let instr = Decoder::with_ip(64, &bytes, cpu.rip, DecoderOptions::NONE).decode();
        let mut text = String::new();
        FastFormatter::new().format(&instr, &mut text);
        code += &format!("\n  {:x}  {text}", cpu.rip);
    }
    format!("at step {to}: {what:?}; before it:{code}")
}
