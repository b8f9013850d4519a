//! I3: the JIT stopped at step N is the interpreter stopped at N, to the last bit.
//!
//!     AMBER_STREAMS=100000 cargo test --release -p amber-tests --test lockstep

use amber_cpu::{Engine, JitCounters};
use amber_emu::cli::build;
use amber_emu::config::{Firmware, FlatImage, MachineConfig};
use amber_emu::machine::{Machine, Stop};
use amber_tests::crossings;
use amber_tests::history::{Disturbance, difference, differing_sections, length, narrow, points, record};
use amber_tests::loops;
use amber_tests::mmx;
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

/// What came of many streams.
struct Streams {
    count: u64,
    /// How many ran to their end.
    whole: u64,
    steps: u64,
    translated: u64,
    loops: u64,
}

/// Runs streams on both engines; every other one as on a host that is another in all that is left undefined.
fn run_streams(name: &str, stream: impl Fn(&mut Random) -> Vec<u8>) -> Streams {
    let wanted = std::env::var("AMBER_STREAMS").ok().and_then(|streams| streams.parse().ok());
    let count = wanted.unwrap_or(if cfg!(debug_assertions) { 400 } else { 2000 });
    let scratch = Scratch::new(name);
    let mut all = Streams { count, whole: 0, steps: 0, translated: 0, loops: 0 };
    for seed in 0..count {
        let config = flat(&scratch, &stream(&mut Random(seed)));
        let (mut machine, mut reference) = pair(&config);
        if seed % 2 == 1 {
            machine.distrust_host();
        }
        machine.look_every(1 << (6 + seed % 5));
        let stop = match together(&mut machine, &mut reference, seed) {
            Ok(stop) => stop,
            Err((to, what)) => panic!("seed {seed}: {what}; {}", first_difference(&config, to)),
        };
        all.steps += machine.step();
        let counters = machine.code().jit().map_or_else(JitCounters::default, |(counters, _)| counters);
        all.translated += counters.run;
        all.loops += counters.loops;
        all.whole += u64::from(stop == Stop::DebugExit(0x10));
    }
    let Streams { whole, steps, translated, loops, .. } = all;
    println!(
        "{count} streams, {whole} to their end, {steps} steps, {translated} of them translated, {loops} loops"
    );
    all
}

#[test]
fn random_instruction_streams_run_the_same_on_both_engines() {
    let Streams { count, whole, steps, translated, .. } = run_streams("lockstep", streams::program);
    assert!(whole * 2 > count, "most streams run to their end");
    assert!(translated * 2 > steps, "most steps are translated");
}

#[test]
fn random_loops_run_the_same_on_both_engines() {
    let Streams { count, whole, loops, .. } = run_streams("lockstep-loops", loops::program);
    assert!(whole * 2 > count, "most programs run to their end");
    assert!(loops > count, "loops are translated as such");
}

#[test]
fn wild_streams_run_the_same_on_both_engines() {
    run_streams("lockstep-wild", streams::wild);
}

#[test]
fn crossings_between_levels_run_the_same_on_both_engines() {
    let Streams { count, whole, .. } = run_streams("lockstep-crossings", crossings::program);
    assert!(whole * 2 > count, "most programs run to their end");
}

#[test]
fn mmx_among_other_instructions_runs_the_same_on_both_engines() {
    let Streams { count, whole, steps, translated, .. } = run_streams("lockstep-mmx", mmx::program);
    assert!(whole * 2 > count, "most programs run to their end");
    assert!(translated * 2 > steps, "most steps are translated");
}

#[test]
fn interrupts_are_held_off_for_the_instruction_after_sti() {
    for (open, came) in [(0, 0), (1, crossings::HELD_OFF_ROUNDS), (2, crossings::HELD_OFF_ROUNDS)] {
        let stop = the_same(&format!("held off {open}"), &crossings::held_off(open));
        assert_eq!(stop, Stop::DebugExit(came), "{open} instructions between STI and CLI");
    }
}

/// A machine that runs a flat program.
fn flat(scratch: &Scratch, code: &[u8]) -> MachineConfig {
    MachineConfig {
        flat: Some(FlatImage { file: scratch.file("program.bin", code), address: CODE }),
        memory: "16M".parse().expect("a size"),
        ..MachineConfig::default()
    }
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

/// A program that carries `body` out 60 times, and then ends. R15 counts; RSP is a stack.
fn repeated(body: &[u8]) -> Vec<u8> {
    // MOV RAX, CR4; OR EAX, 600h; MOV CR4, RAX; MOV RSP, 908000h; MOV R15D, 60
    let mut code = vec![0x0F, 0x20, 0xE0, 0x0D, 0, 6, 0, 0, 0x0F, 0x22, 0xE0];
    code.extend([0x48, 0xC7, 0xC4, 0, 0x80, 0x90, 0, 0x41, 0xBF, 60, 0, 0, 0]);
    code.extend(body);
    // DEC R15D; JNE body
    code.extend([0x41, 0xFF, 0xCF, 0x0F, 0x85]);
    code.extend((-(body.len() as i32 + 9)).to_le_bytes());
    // MOV AL, 10h; OUT F4h, AL; HLT
    code.extend([0xB0, 0x10, 0xE6, 0xF4, 0xF4]);
    code
}

/// Runs a program on both engines, to the same end, which is how it stopped.
fn the_same(name: &str, code: &[u8]) -> Stop {
    let scratch = Scratch::new(&format!("lockstep-{}", name.replace(|c: char| !c.is_alphanumeric(), "-")));
    let config = flat(&scratch, code);
    let stops = [0, 1, 2, 3].map(|seed| {
        let (mut machine, mut reference) = pair(&config);
        if seed % 2 == 1 {
            machine.distrust_host();
        }
        let looks = seed >= 2;
        if looks {
            machine.look_every(1 << (5 + seed));
        }
        let stop = together(&mut machine, &mut reference, seed);
        let translated = machine.code().jit().is_some_and(|(counters, _)| counters.run > 100);
        assert!(translated || looks, "{name} is translated");
        stop.unwrap_or_else(|(to, what)| panic!("{name}: {what}; {}", first_difference(&config, to)))
    });
    stops[0]
}

#[test]
fn stack_pointers_that_are_not_canonical_fault() {
    // What translated code keeps of the stack is forgotten by SAHF, which is interpreted; in the last rounds RSP is the
    // address that an entry without a page might be mistaken for.
    for bit in 47..64 {
        // MOV RBX, 1 << bit; CMP R15D, 5; MOV RSP, 908000h; CMOVB RSP, RBX; SAHF
        let mut body = vec![0x48, 0xBB];
        body.extend((1u64 << bit).to_le_bytes());
        body.extend([0x41, 0x83, 0xFF, 5, 0x48, 0xC7, 0xC4, 0, 0x80, 0x90, 0]);
        body.extend([0x48, 0x0F, 0x42, 0xE3, 0x9E]);
        // POP RAX; and PUSH RAX at the same address
        the_same(&format!("pop at bit {bit}"), &repeated(&[&body[..], &[0x58]].concat()));
        let push = [0x48, 0x8D, 0x64, 0x24, 8, 0x50];
        the_same(&format!("push at bit {bit}"), &repeated(&[&body[..], &push].concat()));
    }
}

#[test]
fn a_rex_prefix_counts_only_right_before_the_opcode() {
    let bodies: [&[u8]; 9] = [
        // MOV AX, CX; ADD BX, 1234h; MOV EAX, ECX, each behind REX.W
        &[0x48, 0x66, 0x89, 0xC8],
        &[0x48, 0x66, 0x81, 0xC3, 0x34, 0x12],
        &[0x48, 0x3E, 0x89, 0xC8],
        // MOV R8, RCX and MOV EAX, ECX behind another REX
        &[0x48, 0x49, 0x89, 0xC8],
        &[0x49, 0x40, 0x89, 0xC8],
        // POPCNT EAX, ECX; MOVAPS XMM0, XMM1; ADDSD XMM0, XMM1; AND AL, CL
        &[0x4D, 0xF3, 0x0F, 0xB8, 0xC1],
        &[0x45, 0x2E, 0x0F, 0x28, 0xC1],
        &[0x45, 0xF2, 0x41, 0x0F, 0x58, 0xC1],
        &[0x44, 0x67, 0x20, 0xC8],
    ];
    for body in bodies {
        let values = [0x48, 0x05, 0x78, 0x56, 0x34, 0x12, 0x48, 0x81, 0xC1, 0x79, 0x35, 0x57, 0x71];
        let stop = the_same(&format!("{body:02x?}"), &repeated(&[&values[..], body].concat()));
        assert_eq!(stop, Stop::DebugExit(0x10));
    }
}

#[test]
fn leave_of_16_bits_pops_16_bits() {
    // MOV RBP, 907F00h; MOV qword [RBP], 12345678h; LEAVE
    let mut body = vec![0x48, 0xC7, 0xC5, 0, 0x7F, 0x90, 0, 0x48, 0xC7, 0x45, 0, 0x78, 0x56, 0x34, 0x12];
    body.extend([0x66, 0xC9]);
    assert_eq!(the_same("leave", &repeated(&body)), Stop::DebugExit(0x10));
}

#[test]
fn branches_to_where_no_code_is_fault_where_the_processor_says() {
    let branches: [(&str, &[u8]); 8] = [
        ("jmp rbx", &[0xFF, 0xE3]),
        ("call rbx", &[0xFF, 0xD3]),
        ("push rbx; ret", &[0x53, 0xC3]),
        ("push rbx; ret 40h", &[0x53, 0xC2, 0x40, 0]),
        ("push rbx; jmp [rsp]", &[0x53, 0xFF, 0x24, 0x24]),
        ("push rbx; call [rsp]", &[0x53, 0xFF, 0x14, 0x24]),
        ("push rbx; jmp [esp]", &[0x53, 0x67, 0xFF, 0x24, 0x24]),
        ("push rbx; ret with 16 bits", &[0x53, 0x66, 0xC3]),
    ];
    let targets: [u64; 5] = [1 << 62, 0x7FFF_FFFF_FFFF, 0x8000_0000_0000, 0x80_0000_0000, 0xFEE0_0000];
    let stacks: [u64; 6] = [0x90_8000, 1 << 62, (1 << 62) + 8, 0, 0x8000_0000_0000, 0x7FFF_FFFF_FFFC];
    for (name, branch) in branches {
        for (n, (target, stack)) in
            targets.iter().flat_map(|target| stacks.map(|stack| (*target, stack))).enumerate()
        {
            // MOV RSP, 908000h; MOV RBX, next; CMP R15D, 5; JAE over; MOV RBX, target; MOV RSP, stack; over: SAHF (or
            // NOP); SUB EAX, R15D; branch; next:
            let mut body = vec![0x48, 0xC7, 0xC4, 0, 0x80, 0x90, 0, 0x48, 0xBB];
            let next = CODE + repeated(&[]).len() as u64 - 14 + 7 + 10 + 6 + 20 + 4 + branch.len() as u64;
            body.extend(next.to_le_bytes());
            body.extend([0x41, 0x83, 0xFF, 5, 0x73, 20, 0x48, 0xBB]);
            body.extend(target.to_le_bytes());
            body.extend([0x48, 0xBC]);
            body.extend(stack.to_le_bytes());
            body.extend([if n % 2 == 0 { 0x9E } else { 0x90 }, 0x44, 0x29, 0xF8]);
            body.extend(branch);
            the_same(&format!("{name} to {target:x} at {stack:x}"), &repeated(&body));
        }
    }
}

#[test]
fn code_that_is_mapped_elsewhere_while_it_is_linked_is_not_run_any_more() {
    const TABLES: usize = 0x1_0000;
    // The main program: call the page at 1 GiB, and now and then exchange the frames of it or of the page after it, or
    // the whole address space.
    let mut code = vec![0x48, 0xC7, 0xC4, 0, 0x80, 0x90, 0, 0xB8, 0, 0, 0x11, 0, 0x0F, 0x22, 0xD8];
    code.extend([0x31, 0xC0, 0x41, 0xBF, 0, 4, 0, 0, 0x49, 0xC7, 0xC4, 0x80, 0x0F, 0, 0x40]);
    let head = code.len();
    // CALL R12
    code.extend([0x41, 0xFF, 0xD4]);
    for (mask, entry) in [(0x0F, 0u8), (0x25, 8)] {
        // TEST R15B, mask; JNE over; XOR qword [11x000h + entry], 1000h
        code.extend([0x41, 0xF6, 0xC7, mask, 0x75, 12]);
        code.extend([0x48, 0x81, 0x34, 0x25, entry, 0x40, 0x11, 0, 0, 0x10, 0, 0]);
    }
    // TEST R15B, 1Fh; JNE over; MOV R13, CR3; XOR R13, A000h; MOV CR3, R13
    code.extend([0x41, 0xF6, 0xC7, 0x1F, 0x75, 15, 0x41, 0x0F, 0x20, 0xDD]);
    code.extend([0x49, 0x81, 0xF5, 0, 0xA0, 0, 0, 0x41, 0x0F, 0x22, 0xDD]);
    code.extend([0x41, 0xFF, 0xCF, 0x0F, 0x85]);
    code.extend((head as i32 - (code.len() as i32 + 4)).to_le_bytes());
    code.extend([0xB0, 0x10, 0xE6, 0xF4, 0xF4]);
    code.resize(TABLES + 0xE000, 0x90);
    let mut put = |page: usize, at: usize, bytes: &[u8]| {
        code[TABLES + page * 0x1000 + at..][..bytes.len()].copy_from_slice(bytes);
    };
    for page in (0..6).chain(10..14) {
        put(page, 0, &[0; 0x1000]);
    }
    let to = |page: u64| ((0x11_0000 + page * 0x1000) | 3).to_le_bytes();
    // Two address spaces with tables from page 0 and page 10 on: pages 6 or 7 and 8 or 9 at 1 GiB.
    for (root, first, second) in [(0, 6, 8), (10, 7, 9)] {
        put(root as usize, 0, &to(root + 1));
        put(root as usize + 1, 0, &to(2));
        let directory = if root == 0 { 3 } else { 12 };
        put(root as usize + 1, 8, &to(directory));
        put(directory as usize, 0, &to(directory + 1));
        put(directory as usize + 1, 0, &to(first));
        put(directory as usize + 1, 8, &to(second));
    }
    for n in 0..8u64 {
        put(2, 8 * n as usize, &(n << 21 | 0x83).to_le_bytes());
    }
    // INC RAX; JMP +10h; ADD RBX, 1; ...; ADD RDX, imm32, across the pages; INC RSI; RET. And another page of each kind,
    // the first of which exchanges the second on its way there.
    put(6, 0xF80, &[0x48, 0xFF, 0xC0, 0xEB, 0x10]);
    put(7, 0xF80, &[0x48, 0x83, 0xC0, 0x10, 0xEB, 0x0F]);
    put(6, 0xF95, &[0x48, 0x83, 0xC3, 1]);
    put(7, 0xF95, &[0x48, 0x83, 0xC3, 7]);
    put(7, 0xFA0, &[0x48, 0x81, 0x34, 0x25, 8, 0x40, 0x11, 0, 0, 0x10, 0, 0]);
    put(6, 0xFFC, &[0x48, 0x81, 0xC2, 3]);
    put(7, 0xFFC, &[0x48, 0x81, 0xC2, 5]);
    put(8, 0, &[0, 0, 0, 0x48, 0xFF, 0xC6, 0xC3]);
    put(9, 0, &[1, 0, 0, 0x48, 0xFF, 0xC7, 0x90, 0xC3]);
    assert_eq!(the_same("remapped", &code), Stop::DebugExit(0x10));
}

#[test]
fn indirect_calls_follow_their_target() {
    for mask in [0x400u32, 0x3F, 1] {
        // MOV RSP, 908000h; MOV R15D, 2000; head: MOV EBX, first; TEST R15D, mask; JNE +5; MOV EBX, second; CALL RBX
        let mut code = vec![0x48, 0xC7, 0xC4, 0, 0x80, 0x90, 0, 0x41, 0xBF, 0xD0, 7, 0, 0];
        let head = code.len();
        let [first, second] = [64, 96].map(|at| CODE as u32 + at);
        code.push(0xBB);
        code.extend(first.to_le_bytes());
        code.extend([0x41, 0xF7, 0xC7]);
        code.extend(mask.to_le_bytes());
        code.extend([0x75, 5, 0xBB]);
        code.extend(second.to_le_bytes());
        // TEST R15D, 7Fh; JNE +7; INC byte [first + 1]
        code.extend([0xFF, 0xD3, 0x41, 0xF6, 0xC7, 0x7F, 0x75, 7, 0xFE, 4, 0x25]);
        code.extend((first + 1).to_le_bytes());
        // DEC R15D; JNE head; MOV AL, 10h; OUT F4h, AL; HLT
        code.extend([0x41, 0xFF, 0xCF, 0x75, (head as i32 - (code.len() as i32 + 5)) as u8]);
        code.extend([0xB0, 0x10, 0xE6, 0xF4, 0xF4]);
        // first: ADD EAX, 1; RET. second: SUB ECX, EAX; RET.
        code.resize(64, 0x90);
        code.extend([5, 1, 0, 0, 0, 0xC3]);
        code.resize(96, 0x90);
        code.extend([0x29, 0xC1, 0xC3]);
        assert_eq!(the_same(&format!("calls {mask:x}"), &code), Stop::DebugExit(0x10));
    }
}

#[test]
fn high_bytes_are_stored_and_loaded_where_one_check_covers_both() {
    // MOV RAX, DATA; MOV RBX, R15; SHL RBX, 6; MOV [RAX+8], BH; MOV [RAX+9], BL; MOV CH, [RAX+8]; ADD DL, CH
    let body = [
        0x48, 0xC7, 0xC0, 0, 0, 0x80, 0, 0x4C, 0x89, 0xFB, 0x48, 0xC1, 0xE3, 6, 0x88, 0x78, 8, 0x88, 0x58, 9,
        0x8A, 0x68, 8, 0x00, 0xEA,
    ];
    assert_eq!(the_same("high bytes", &repeated(&body)), Stop::DebugExit(0x10));
}

#[test]
fn mmx_instructions_are_left_to_the_host() {
    // MOV EBX, DATA; MOV EDI, DATA + 40h; MOVQ MM1, [RBX]; MOVD MM2, R15D; PADDW MM1, MM2; PUNPCKLBW MM1, [RBX+8];
    // PSRLD MM2, 3; PINSRW MM3, R10D, 2; PEXTRW R14D, MM3, 1; MASKMOVQ MM1, MM2; CVTPI2PS XMM0, [RBX]; CVTTPS2PI MM4,
    // XMM0; MOVQ2DQ XMM1, MM4; MOVNTQ [RBX+16], MM4; MOVQ R11, MM1; EMMS; FLD1; FSTP qword [RBX+24]
    let body = [
        0xBB, 0, 0, 0x80, 0, 0xBF, 0x40, 0, 0x80, 0, 0x0F, 0x6F, 0x0B, 0x41, 0x0F, 0x6E, 0xD7, 0x0F, 0xFD,
        0xCA, 0x0F, 0x60, 0x4B, 8, 0x0F, 0x72, 0xD2, 3, 0x41, 0x0F, 0xC4, 0xDA, 2, 0x44, 0x0F, 0xC5, 0xF3, 1,
        0x0F, 0xF7, 0xCA, 0x0F, 0x2A, 0x03, 0x0F, 0x2C, 0xE0, 0xF3, 0x0F, 0xD6, 0xCC, 0x0F, 0xE7, 0x63, 16,
        0x49, 0x0F, 0x7E, 0xCB, 0x0F, 0x77, 0xD9, 0xE8, 0xDD, 0x5B, 24,
    ];
    // FNINIT, without which exceptions are not masked
    let code = [&[0xDB, 0xE3], &repeated(&body)[..]].concat();
    assert_eq!(the_same("native mmx", &code), Stop::DebugExit(0x10));
    let scratch = Scratch::new("lockstep-left-mmx");
    let mut machine = build::machine(&flat(&scratch, &code)).expect("a flat image can be loaded");
    assert_eq!(machine.run(STREAM_BOUND, &mut Quiet::default(), true), Stop::DebugExit(0x10));
    assert_eq!(machine.code().interpreted(), []);
}

#[test]
fn translations_outlive_a_rewind() {
    // INC RAX; MOV [DATA], RAX
    let body = [0x48, 0xFF, 0xC0, 0x48, 0x89, 0x04, 0x25, 0, 0, 0x80, 0];
    let scratch = Scratch::new("lockstep-rewind");
    let config = flat(&scratch, &repeated(&body));
    let mut machine = build::machine(&config).expect("a flat image can be loaded");
    let to_the_end = |machine: &mut Machine| {
        assert_eq!(machine.run(STREAM_BOUND, &mut Quiet::default(), true), Stop::DebugExit(0x10));
        let counters = machine.code().jit().map_or_else(JitCounters::default, |(counters, _)| counters);
        (machine.state_hash(), counters.translated, counters.run)
    };
    machine.run(140, &mut Quiet::default(), true);
    let frozen = machine.freeze();
    let (hash, translated, run) = to_the_end(&mut machine);
    machine.rewind(&frozen);
    assert_eq!(machine.step(), 140);
    let again = to_the_end(&mut machine);
    assert_eq!((again.0, again.1), (hash, translated));
    assert!(translated > 0 && again.2 > run, "translated code ran again: {translated}, {run}, {again:?}");
}

#[test]
fn flags_are_right_after_pushfq() {
    // PUSH RBX; MOV EAX, R15D; AND EAX, 1; CMP EAX, 1; PUSHFQ; SETZ DL; ADD RSI, RDX; POP RCX; POP RCX
    let body = [
        0x53, 0x44, 0x89, 0xF8, 0x83, 0xE0, 1, 0x83, 0xF8, 1, 0x9C, 0x0F, 0x94, 0xC2, 0x48, 0x01, 0xD6, 0x59,
        0x59,
    ];
    assert_eq!(the_same("pushfq", &repeated(&body)), Stop::DebugExit(0x10));
}

/// A flat program with tables at 110000h: page 0 is the root, its first entry maps 16 MiB to themselves.
fn with_tables(mut code: Vec<u8>, pages: &[(usize, usize, Vec<u8>)]) -> Vec<u8> {
    const TABLES: usize = 0x1_0000;
    code.resize(TABLES + 0xE000, 0);
    let mut put = |page: usize, at: usize, bytes: &[u8]| {
        code[TABLES + page * 0x1000 + at..][..bytes.len()].copy_from_slice(bytes);
    };
    put(0, 0, &(0x11_1003u64).to_le_bytes());
    put(1, 0, &(0x11_2003u64).to_le_bytes());
    for n in 0..8u64 {
        put(2, 8 * n as usize, &(n << 21 | 0x83).to_le_bytes());
    }
    for (page, at, bytes) in pages {
        put(*page, *at, bytes);
    }
    code
}

#[test]
fn a_loop_is_not_left_for_where_no_code_can_be() {
    // MOV EAX, 110000h; MOV CR3, RAX; XOR EAX, EAX; MOV R15D, 20000; MOV RBX, 7FFFFFFFFF80h; JMP RBX
    let mut code =
        vec![0xB8, 0, 0, 0x11, 0, 0x0F, 0x22, 0xD8, 0x31, 0xC0, 0x41, 0xBF, 0x20, 0x4E, 0, 0, 0x48, 0xBB];
    code.extend(0x7FFF_FFFF_FF80u64.to_le_bytes());
    code.extend([0xFF, 0xE3]);
    let entry = |page: u64| ((0x11_0000 + page * 0x1000) | 3).to_le_bytes().to_vec();
    // INC RAX; CMP EAX, 5000; JZ +1000h; DEC R15; JNE; HLT
    let mut body = vec![
        0x48, 0xFF, 0xC0, 0x3D, 0x88, 0x13, 0, 0, 0x0F, 0x84, 0, 0x10, 0, 0, 0x49, 0xFF, 0xCF, 0x0F, 0x85,
    ];
    body.extend((-(body.len() as i32 + 4)).to_le_bytes());
    body.push(0xF4);
    let code = with_tables(
        code,
        &[
            (0, 255 * 8, entry(3)),
            (3, 511 * 8, entry(4)),
            (4, 511 * 8, entry(5)),
            (5, 511 * 8, entry(6)),
            (6, 0xF80, body),
        ],
    );
    the_same("left", &code);
}

#[test]
fn code_mapped_by_the_same_entry_elsewhere_is_not_run() {
    const HIGH: u64 = 0xFFFF_8000_0000_0000;
    let cr3 = |code: &mut Vec<u8>, page: u32| {
        // MOV EAX, root; MOV CR3, RAX
        code.push(0xB8);
        code.extend((0x11_0000 + page * 0x1000).to_le_bytes());
        code.extend([0x0F, 0x22, 0xD8]);
    };
    let go = |code: &mut Vec<u8>, high: u64| {
        // MOV RBX, next; JMP RBX
        let next = code.len() as u64 + 12 + CODE + high;
        code.extend([0x48, 0xBB]);
        code.extend(next.to_le_bytes());
        code.extend([0xFF, 0xE3]);
    };
    let calls = |code: &mut Vec<u8>| {
        // MOV ECX, 80; again: CALL function; JMP +0; DEC ECX; JNE again
        code.extend([0xB9, 80, 0, 0, 0]);
        let again = code.len() as i32;
        code.push(0xE8);
        code.extend((0x800 - (code.len() as i32 + 4)).to_le_bytes());
        code.extend([0xEB, 0, 0xFF, 0xC9, 0x0F, 0x85]);
        code.extend((again - (code.len() as i32 + 4)).to_le_bytes());
    };
    // MOV RSP, 908000h
    let mut code = vec![0x48, 0xC7, 0xC4, 0, 0x80, 0x90, 0];
    cr3(&mut code, 0);
    calls(&mut code);
    cr3(&mut code, 3);
    go(&mut code, HIGH);
    // MOV RSP, HIGH + 908000h
    code.extend([0x48, 0xBC]);
    code.extend((HIGH + 0x90_8000).to_le_bytes());
    cr3(&mut code, 4);
    calls(&mut code);
    cr3(&mut code, 3);
    go(&mut code, 0);
    code.extend([0x48, 0xC7, 0xC4, 0, 0x80, 0x90, 0]);
    cr3(&mut code, 0);
    // MOV RBX, HIGH + function; CALL RBX: not mapped here
    code.extend([0x48, 0xBB]);
    code.extend((HIGH + CODE + 0x800).to_le_bytes());
    code.extend([0xFF, 0xD3]);
    code.extend([0xB0, 0x10, 0xE6, 0xF4, 0xF4]);
    assert!(code.len() < 0x800);
    code.resize(0x800, 0x90);
    // INC RDX; RET
    code.extend([0x48, 0xFF, 0xC2, 0xC3]);
    let x = 0x11_1003u64.to_le_bytes().to_vec();
    let code = with_tables(code, &[(3, 0, x.clone()), (3, 256 * 8, x.clone()), (4, 256 * 8, x)]);
    assert_eq!(the_same("elsewhere", &code), Stop::TripleFault(0));
    let scratch = Scratch::new("lockstep-forgetful");
    let (_, mut forgetful) = pair(&flat(&scratch, &code));
    let stop = loop {
        forgetful.drop_caches();
        match forgetful.run(forgetful.step() + 1, &mut Quiet::default(), true) {
            Stop::Step => {}
            stop => break stop,
        }
    };
    assert_eq!(stop, Stop::TripleFault(0));
}
