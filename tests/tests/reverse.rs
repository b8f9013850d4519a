//! Going back by breakpoints, watchpoints and steps: a machine stands where going forward stops, and in the same state.

use amber_cpu::state::Activity;
use amber_emu::config::{Engine, Firmware, MachineConfig};
use amber_emu::control::{Method, Place};
use amber_emu::machine;
use amber_tests::Quiet;
use amber_tests::caller::{caller, remembering};
use amber_tests::program::Scratch;
use amber_tests::session::Asked;
use serde_json::{Value, json};

/// A place, its state, and why the machine stands there.
type Stop = (u64, String, Value, Value);

/// Where the machine stands after it was asked.
fn after(run: &Asked, method: Method) -> Stop {
    run.get(method);
    let stopped = run.stands()["stopped"].clone();
    (run.step(), run.hash(), stopped["why"].clone(), stopped["address"].clone())
}

fn at(address: u64) -> Place {
    Place::Address(address)
}

#[test]
fn stops_are_found_backwards_as_they_came_forwards() {
    for engine in [Engine::default(), Engine::Interp] {
        let folder = Scratch::new("reverse-stops");
        let run = Asked::start(caller(&folder, engine), true);
        run.get(Method::Step { count: 3_000_000 });
        let origin = (run.step(), run.hash());
        run.get(Method::Break { address: at(0x10_0021) });
        run.get(Method::Watch { address: at(0x30_0000), len: 8, read: false, write: true });
        let forward: Vec<Stop> = (0..40).map(|_| after(&run, Method::Play)).collect();
        let whys: Vec<_> = forward[..4].iter().map(|stop| stop.2.as_str().expect("a word")).collect();
        assert!(whys.contains(&"breakpoint") && whys.contains(&"watchpoint"), "{whys:?}");
        // So far beyond that points lie between, with other input than before.
        for id in [1, 2] {
            run.get(Method::BreakEnable { id, enabled: false });
        }
        run.get(Method::Serial { text: "heard by nobody".into() });
        run.get(Method::Step { count: 20_000_000 });
        let why = run.ask(Method::ReverseContinue).expect_err("nothing counts");
        assert!(why.contains("set one first"), "{why}");
        run.get(Method::Set { path: "cpu0.rip".into(), value: "0x100100".into() });
        run.get(Method::Write { address: 0x10_0100, bytes: "EBFE".into() });
        run.get(Method::Step { count: 10_000_000 });
        let end = (run.step(), run.hash());
        for id in [1, 2] {
            run.get(Method::BreakEnable { id, enabled: true });
        }
        let mut back = after(&run, Method::ReverseContinue);
        assert!(back.0 <= end.0 - 10_000_000, "the loop that was put in hits nothing");
        assert!(run.get(Method::Status)["behind"] == true);
        // Far before, and from there one by one.
        run.get(Method::Rewind { step: forward[39].0 + 1 });
        for stop in forward.iter().rev() {
            back = after(&run, Method::ReverseContinue);
            assert_eq!(&back, stop);
        }
        for stop in &forward[1..] {
            assert_eq!(&after(&run, Method::Play), stop);
        }
        assert_eq!(run.get(Method::History)["branches"], json!([]), "all of it is one way");
        // What was never hit is said, and the machine stays.
        run.get(Method::Unbreak { id: 1 });
        run.get(Method::Unbreak { id: 2 });
        run.get(Method::Break { address: at(0x10_0300) });
        run.get(Method::Rewind { step: origin.0 });
        let why = run.ask(Method::ReverseContinue).expect_err("it was never there");
        assert!(why.contains("nothing before, back to step 0"), "{why}");
        assert_eq!((run.step(), run.hash()), origin);
        run.get(Method::Rewind { step: end.0 });
        assert_eq!(run.hash(), end.1);
        let why = run.ask(Method::ReverseContinue).expect_err("it was never there");
        assert!(why.contains("nothing before"), "{why}");
        let status = run.get(Method::Status);
        assert_eq!((&status["behind"], run.hash()), (&json!(false), end.1), "it stands at its end again");
        run.quit();
    }
}

#[test]
fn steps_are_taken_back() {
    for engine in [Engine::default(), Engine::Interp] {
        let folder = Scratch::new("reverse-steps");
        let run = Asked::start(caller(&folder, engine), true);
        run.get(Method::Step { count: 2_000_000 });
        run.get(Method::RunTo { address: at(0x10_0007) });
        run.stands();
        let place = |stop: &Stop| (stop.0, stop.1.clone());
        // In main, over its call.
        let mut over = vec![(run.step(), run.hash())];
        over.extend((0..20).map(|_| place(&after(&run, Method::StepOver { cpu: 0 }))));
        for stop in over.iter().rev().skip(1) {
            assert_eq!(&place(&after(&run, Method::ReverseStepOver { cpu: 0 })), stop);
        }
        let mut into = vec![(run.step(), run.hash())];
        into.extend((0..20).map(|_| place(&after(&run, Method::StepInto { cpu: 0 }))));
        for stop in into.iter().rev().skip(1) {
            assert_eq!(&place(&after(&run, Method::ReverseStep { cpu: 0 })), stop);
        }
        // A breakpoint in what is stepped over stops it.
        run.get(Method::Rewind { step: over[1].0 });
        run.get(Method::Break { address: at(0x10_0021) });
        let stop = after(&run, Method::ReverseStepOver { cpu: 0 });
        assert_eq!((&stop.2, &stop.3), (&json!("breakpoint"), &json!("0x100021")));
        // From within a function out of which nothing returned: to before the call.
        run.get(Method::Unbreak { id: 1 });
        let stop = after(&run, Method::ReverseStepOver { cpu: 0 });
        assert_eq!(stop.3, json!("0x10001a"), "the call of inner");
        let why = run.ask(Method::ReverseStep { cpu: 4 }).expect_err("there is one");
        assert!(why.contains("no processor 4"), "{why}");
        run.quit();
    }
}

/// Steps forward over what is no return, and back: where it was.
fn returns(firmware: Firmware, cpus: u32, engine: Engine, times: u64) -> usize {
    let run = Asked::start(MachineConfig { firmware: Some(firmware), cpus, ..remembering(engine) }, true);
    let mut over = 0;
    for n in 0..times {
        if run.get(Method::Step { count: 7 + n * 1013 })["ended"].is_string() {
            break;
        }
        let cpu = n as u32 % cpus;
        let here = (run.step(), run.hash());
        let stop = after(&run, Method::StepInto { cpu });
        run.get(Method::ReverseStep { cpu });
        // Others may have run before it.
        assert!((here.0..stop.0).contains(&run.step()), "{firmware:?} {here:?}");
        assert_eq!(after(&run, Method::StepInto { cpu }), stop, "{firmware:?}");
        run.get(Method::Rewind { step: here.0 });
        assert_eq!(run.hash(), here.1);
        over += usize::from(stop.0 - here.0 > 1);
    }
    run.quit();
    over
}

#[test]
fn a_step_of_a_processor_is_taken_back_whatever_others_do() {
    for engine in [Engine::default(), Engine::Interp] {
        returns(Firmware::Interrupts, 1, engine, 60);
        assert_ne!(returns(Firmware::Smp, 3, engine, 60), 0, "others run in between");
    }
}

/// Steps of a guest that takes interrupts before which one is delivered, and where it was.
fn deliveries(firmware: Firmware, steps: u64) -> Vec<(u64, u64)> {
    let mut machine = amber_tests::rom(firmware, 1);
    let mut host = Quiet::default();
    let mut found = Vec::new();
    for step in 0..steps {
        let before = (machine.vcpus()[0].system.retired, machine.vcpus()[0].rip);
        let (jumps, stop) = (machine.vcpus()[0].system.activity, machine.run(step + 1, &mut host, true));
        let after = (machine.vcpus()[0].system.retired, machine.vcpus()[0].rip);
        if stop != machine::Stop::Step {
            break;
        }
        if jumps == Activity::Running && after.0 == before.0 && after.1 != before.1 {
            found.push((step, before.1));
        }
    }
    found
}

#[test]
fn interrupts_are_gone_back_over() {
    let known = deliveries(Firmware::Interrupts, 3_000_000);
    assert!(known.len() > 3, "{known:?}");
    let config = MachineConfig { firmware: Some(Firmware::Interrupts), ..remembering(Engine::default()) };
    let run = Asked::start(config, true);
    let rip = || run.get(Method::Status)["rip"][0].as_str().map(str::to_owned).expect("a number");
    let mut found = 0;
    for (step, rip_before) in known.iter().step_by(known.len() / 20 + 1) {
        if run.step() > *step {
            continue;
        }
        run.get(Method::Step { count: step - run.step() });
        let here = format!("{rip_before:#x}");
        assert_eq!(rip(), here, "at {step}");
        run.get(Method::Step { count: 1 });
        // Out of the handler again.
        run.get(Method::RunTo { address: Place::Address(*rip_before) });
        let status = run.stands();
        if status["ended"].is_string() {
            break;
        }
        let out = status["step"].as_u64().expect("a number");
        run.get(Method::ReverseStepOver { cpu: 0 });
        let back = run.step();
        assert!(back < *step && step - back < 3, "out at {out}, interrupted at {step}, gone back to {back}");
        found += 1;
        run.get(Method::Rewind { step: out });
        assert_eq!(rip(), here);
    }
    assert!(found > 2, "interrupts came and returned");
    run.quit();
}
