//! Small programs on whole machines.

mod media;
mod parts;
mod share;

use super::*;
use crate::boot::{BootFile, BootMemory, flat, multiboot, rom};
use crate::input::Record;
use amber_devices::{NicModel, RamLayout, place_tables};
use amber_mmu::PageSource;
use std::collections::VecDeque;
use std::sync::Arc;

const MEMORY: u64 = 16 << 20;
const PASS: Stop = Stop::DebugExit(0x10);
/// No program here takes so many steps.
const BOUND: u64 = 5_000_000;

/// A host without input that keeps what comes in from outside.
#[derive(Default)]
struct Log(Vec<Record>);

impl HostIo for Log {
    fn serial_output(&mut self, _port: u8, _byte: u8) {}
    fn debug_output(&mut self, _byte: u8) {}
    fn serial_input(&mut self, _step: u64, _idle: Option<u64>) -> Vec<u8> {
        Vec::new()
    }
    fn may_input(&self) -> bool {
        false
    }
    fn note(&mut self, record: &Record) {
        self.0.push(record.clone());
    }
}

/// Input from a list; a stop on request after so many looks at the console.
#[derive(Default)]
struct Host {
    input: VecDeque<u8>,
    /// Input never ends.
    endless: bool,
    given: usize,
    stop_after: Option<std::cell::Cell<u64>>,
}

impl HostIo for Host {
    fn serial_output(&mut self, _port: u8, _byte: u8) {}
    fn debug_output(&mut self, _byte: u8) {}
    fn serial_input(&mut self, _step: u64, _idle: Option<u64>) -> Vec<u8> {
        let chunk = if self.endless {
            vec![b'x'; 64]
        } else {
            self.input.drain(..self.input.len().min(64)).collect()
        };
        self.given += chunk.len();
        chunk
    }
    fn may_input(&self) -> bool {
        self.endless || !self.input.is_empty()
    }
    fn end_of_input(&self) -> Option<u8> {
        Some(4)
    }
    fn stop_requested(&self) -> bool {
        self.stop_after.as_ref().is_some_and(|left| {
            left.set(left.get().saturating_sub(1));
            left.get() == 0
        })
    }
}

fn spec(cpus: u32) -> MachineSpec {
    MachineSpec {
        machine: "q35-1".into(),
        cpu: amber_cpu::cpuid::MODELS[0].name.into(),
        features: Vec::new(),
        cpus,
        memory: MEMORY,
        seed: 0,
        rtc_start: 0,
        quantum: 20_000,
        firmware_len: 0,
        boot_len: 0,
        disks: Vec::new(),
        display: "std".into(),
        option_rom_len: 0,
        variables_len: 0,
        fw_cfg: Vec::new(),
    }
}

fn memory() -> BootMemory {
    BootMemory::pc(MEMORY, RamLayout::new(MEMORY).low, None)
}

fn file(bytes: &[u8]) -> BootFile<'_> {
    BootFile { name: "test", bytes }
}

/// 64-bit code at 1 MiB, the low 4 GiB mapped one to one.
fn flat_machine(cpus: u32, code: &[u8]) -> Machine {
    let spec = spec(cpus);
    let tables = place_tables(&spec.chipset());
    Machine::new(spec, flat::load(file(code), 0x10_0000, &memory()).unwrap(), tables).unwrap()
}

/// 16-bit code at the reset vector, 64 KiB of ROM.
fn rom_machine(code: &[u8]) -> Machine {
    let mut image = vec![0xF4; 0x1_0000];
    image[0xFFF0..0xFFF0 + code.len()].copy_from_slice(code);
    Machine::new(spec(1), rom::load(file(&image)).unwrap(), Vec::new()).unwrap()
}

/// Where the parts of a multiboot program lie.
const CODE: u32 = 0x10_0020;
const GATES: u32 = 0x10_0800;
const GDT: u32 = 0x10_0700;
const HANDLER: u32 = 0x10_0600;
const BSS: u32 = 0x10_1000;

/// A multiboot kernel: `code` in 32-bit protected mode, with a stack and an IDT all of whose gates lead to a handler that
/// says pass.
fn kernel(code: &[u8]) -> Machine {
    kernel_with(code, &[0xB0, 0x10, 0x66, 0xBA, 0xF4, 0x00, 0xEE, 0xEB, 0xFE])
}

/// The same with a handler of its own.
fn kernel_with(code: &[u8], handler: &[u8]) -> Machine {
    let mut image = Vec::new();
    let flags = 0x1_0000u32;
    let checksum = 0u32.wrapping_sub(0x1BAD_B002).wrapping_sub(flags);
    for word in [0x1BAD_B002, flags, checksum, 0x10_0000, 0x10_0000, BSS, BSS + 0x1000, CODE] {
        image.extend(u32::to_le_bytes(word));
    }
    image.resize(0x1000, 0);
    let mut put = |at: u32, bytes: &[u8]| {
        let at = (at - 0x10_0000) as usize;
        image[at..at + bytes.len()].copy_from_slice(bytes);
    };
    let prologue = [
        &[0xBC, 0x00, 0x00, 0x20, 0x00][..],         // mov esp, 200000h
        &[0x0F, 0x01, 0x15, 0xE0, 0x07, 0x10, 0x00], // lgdt [1007E0h]
        &[0x0F, 0x01, 0x1D, 0xE8, 0x07, 0x10, 0x00], // lidt [1007E8h]
        &[0xEA, 0x3A, 0x00, 0x10, 0x00, 0x08, 0x00], // jmp 8:next
    ]
    .concat();
    assert_eq!(CODE + prologue.len() as u32, 0x10_003A);
    put(CODE, &prologue);
    put(CODE + prologue.len() as u32, code);
    put(HANDLER, handler);
    for (n, entry) in [0u64, 0x00CF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF].into_iter().enumerate() {
        put(GDT + 8 * n as u32, &entry.to_le_bytes());
    }
    put(0x10_07E0, &[0x17, 0, 0x00, 0x07, 0x10, 0]);
    put(0x10_07E8, &[0xFF, 0x01, 0x00, 0x08, 0x10, 0]);
    let gate = 0x0010_8E00_0008_0600u64;
    for n in 0..64 {
        put(GATES + 8 * n, &gate.to_le_bytes());
    }
    let spec = spec(1);
    let tables = place_tables(&spec.chipset());
    Machine::new(spec, multiboot::load(file(&image), None, "", &memory()).unwrap(), tables).unwrap()
}

fn run(machine: &mut Machine) -> Stop {
    machine.run(BOUND, &mut Host::default(), false)
}

/// out PORT, VALUE of 8-bit ports.
fn out(port: u8, value: u8) -> [u8; 4] {
    [0xB0, value, 0xE6, port]
}

/// mov dword [ADDRESS], VALUE in 32-bit code.
fn store(address: u32, value: u32) -> Vec<u8> {
    [&[0xC7, 0x05][..], &address.to_le_bytes(), &value.to_le_bytes()].concat()
}

#[test]
fn the_8259_reaches_a_kernel_booted_directly() {
    let remap =
        [(0x20, 0x11), (0x21, 0x20), (0x21, 4), (0x21, 1), (0xA0, 0x11), (0xA1, 0x28), (0xA1, 2), (0xA1, 1)];
    let masks = [(0x21, 0xFE), (0xA1, 0xFF)];
    let mut code: Vec<u8> =
        remap.into_iter().chain(masks).flat_map(|(port, value)| out(port, value)).collect();
    code.extend([0xFB, 0xF4, 0xEB, 0xFD]); // sti; hlt; jmp
    assert_eq!(run(&mut kernel(&code)), PASS);
}

/// Counts in BSS and outside: the first life resets the machine by `reset`, the second passes if its BSS was zero.
fn counts_lives(reset: &[u8]) -> Vec<u8> {
    let mut code = vec![0xFF, 0x05]; // inc dword [BSS]
    code.extend(BSS.to_le_bytes());
    code.extend([0x83, 0x3D]); // cmp dword [BSS], 1
    code.extend(BSS.to_le_bytes());
    code.extend([0x01, 0x75, 0xFE]); // jne $
    code.extend([0xFF, 0x05, 0x00, 0x00, 0x30, 0x00]); // inc dword [300000h]
    code.extend([0x83, 0x3D, 0x00, 0x00, 0x30, 0x00, 0x02, 0x74]); // cmp dword [300000h], 2; je pass
    code.push(reset.len() as u8 + 2);
    code.extend(reset);
    code.extend([0xEB, 0xFE, 0xB0, 0x10, 0x66, 0xBA, 0xF4, 0x00, 0xEE, 0xEB, 0xFE]);
    code
}

/// mov dx, CF9h; mov al, VALUE; out dx, al
fn rst_cnt(value: u8) -> [u8; 7] {
    [0x66, 0xBA, 0xF9, 0x0C, 0xB0, value, 0xEE]
}

#[test]
fn a_reset_begins_with_zero_bss_and_a_soft_reset_begins_too() {
    for value in [0x06, 0x04] {
        let mut machine = kernel(&counts_lives(&rst_cnt(value)));
        assert_eq!(run(&mut machine), PASS, "{value:#x}");
    }
}

#[test]
fn the_tsc_restarts_at_a_reset() {
    let mut machine = flat_machine(1, &[0xEB, 0xFE]);
    machine.run(1000, &mut Host::default(), false);
    machine.reset();
    let tsc = machine.vcpus()[0].system.msrs.tsc_offset.wrapping_add(machine.now());
    assert_eq!(tsc, 0);
}

#[test]
fn an_smi_is_for_the_processor_that_asked_and_sleepers_do_not_hang_the_machine() {
    // mov word [38000h], RSM; SMI_EN = APMC_EN | GBL_SMI_EN; out B2h; count; pass
    let code = [
        0x66, 0xC7, 0x04, 0x25, 0x00, 0x80, 0x03, 0x00, 0x0F, 0xAA, 0x66, 0xBA, 0x30, 0x06, 0xB8, 0x21, 0, 0,
        0, 0xEF, 0xB0, 0x55, 0xE6, 0xB2, 0xB9, 0x40, 0x42, 0x0F, 0x00, 0xFF, 0xC9, 0x75, 0xFC, 0xB0, 0x10,
        0x66, 0xBA, 0xF4, 0x00, 0xEE, 0xEB, 0xFE,
    ];
    let mut machine = flat_machine(2, &code);
    assert_eq!(run(&mut machine), PASS);
    assert!(!machine.vcpus()[0].system.pending.smi);
    assert!(!machine.vcpus()[1].system.pending.smi);
    // One that comes by message stays pending until the processor was started.
    let mut machine = flat_machine(2, &code);
    machine.vcpu_mut(1).system.pending.smi = true;
    assert_eq!(run(&mut machine), PASS);
    assert!(machine.vcpus()[1].system.pending.smi);
}

#[test]
fn a_start_up_message_right_behind_an_init_is_not_lost() {
    // At 8000h, 16-bit: mov al, 10h; mov dx, F4h; out dx, al; hlt. Then INIT and SIPI to all others at once.
    let words = [(0x8000, 0xF4BA_10B0), (0x8004, 0xEBF4_EE00), (0x8008, 0x0000_00FD)];
    let sends = [(0xFEE0_00F0, 0x1FF), (0xFEE0_0300, 0xC_4500), (0xFEE0_0300, 0xC_4608)];
    let mut code = Vec::new();
    for (address, value) in words.into_iter().chain(sends) {
        // mov ebx, ADDRESS; mov dword [rbx], VALUE
        code.push(0xBB);
        code.extend(u32::to_le_bytes(address));
        code.extend([0xC7, 0x03]);
        code.extend(u32::to_le_bytes(value));
    }
    code.extend([0xF3, 0x90, 0xEB, 0xFC]);
    assert_eq!(run(&mut flat_machine(2, &code)), PASS);
}

#[test]
fn serial_input_nobody_reads_does_not_keep_a_dead_guest_alive() {
    // sti; hlt; jmp
    for input in [0, 10, 1000] {
        let mut machine = rom_machine(&[0xFB, 0xF4, 0xEB, 0xFD]);
        let mut host = Host { input: vec![b'x'; input].into(), ..Host::default() };
        assert_eq!(machine.run(BOUND, &mut host, true), Stop::Hung, "{input} bytes");
    }
}

#[test]
fn what_a_guest_does_not_read_stays_with_the_host() {
    let mut machine = flat_machine(1, &[0xEB, 0xFE]);
    let mut host = Host { endless: true, ..Host::default() };
    machine.run(100_000_000, &mut host, true);
    assert!(host.given <= 256 + 128, "{} bytes taken in", host.given);
    assert!(machine.position.serial_queue.len() <= 64);
}

#[test]
fn the_end_of_input_is_told_once_and_remembered() {
    let mut machine = flat_machine(1, &[0xEB, 0xFE]);
    let poll = |machine: &mut Machine| {
        let mut host = Host::default();
        machine.run(machine.step() + 3_000_000, &mut host, true);
        let uart = machine.platform.sections("p").into_iter().find(|section| section.path == "p/uart0");
        uart.unwrap().bytes.iter().filter(|byte| **byte == 4).count()
    };
    let told = poll(&mut machine);
    assert!(machine.position.input_ended);
    let mut fork = Machine::fork(&machine.freeze()).unwrap();
    assert_eq!(poll(&mut fork), told, "a fork is not told again");
}

#[test]
fn only_interrupts_that_cannot_come_make_a_guest_hang() {
    // IOAPIC pin 2, where the PIT is: NMI. Interrupts stay off.
    let mut code = store(0xFEC0_0000, 0x14);
    code.extend(store(0xFEC0_0010, 0x400));
    code.extend([0xFA, 0xF4, 0xEB, 0xFC]);
    assert_eq!(run(&mut kernel(&code)), PASS);
    assert_eq!(run(&mut kernel(&[0xFA, 0xF4, 0xEB, 0xFC])), Stop::Hung);
}

#[test]
fn a_guest_that_ended_stays_ended() {
    // out 604h, 2000h
    let off = [0x66, 0xBA, 0x04, 0x06, 0x66, 0xB8, 0x00, 0x20, 0x66, 0xEF, 0xEB, 0xFE];
    let mut reset = rst_cnt(6).to_vec();
    reset.extend([0xEB, 0xFE]);
    let exit = [0x66, 0xBA, 0xF4, 0x00, 0xB0, 7, 0xEE, 0xEB, 0xFE];
    for (code, stop) in [(&off[..], Stop::PowerOff), (&reset, Stop::Reset), (&exit, Stop::DebugExit(7))] {
        let mut machine = flat_machine(1, code);
        let mut host = Host::default();
        assert_eq!(machine.run(BOUND, &mut host, true), stop);
        let (step, hash) = (machine.step(), machine.state_hash());
        let mut fork = Machine::fork(&machine.freeze()).unwrap();
        assert_eq!(fork.run(BOUND, &mut host, true), stop);
        assert_eq!((fork.step(), fork.state_hash()), (step, hash));
        if stop == Stop::Reset {
            // Where resets are allowed it was only put off.
            assert_eq!(fork.run(step + 3, &mut host, false), Stop::Step);
        }
    }
}

#[test]
fn a_step_has_one_state_whatever_stopped_there() {
    // The PIT ticks, the host types, a second processor sleeps.
    let code = [0xF3, 0x90, 0xE4, 0x61, 0xEB, 0xFA];
    for cpus in [1, 2] {
        for looks in [2, 3, 5, 9, 40, 300] {
            let host = || Host { input: vec![b'x'; 100].into(), ..Host::default() };
            let mut stopped = flat_machine(cpus, &code);
            let mut asked = Host { stop_after: Some(looks.into()), ..host() };
            assert_eq!(stopped.run(BOUND, &mut asked, true), Stop::User);
            assert!(stopped.platform.effects().is_empty() && stopped.messages.is_empty());
            let mut straight = flat_machine(cpus, &code);
            assert_eq!(straight.run(stopped.step(), &mut host(), true), Stop::Step);
            assert_eq!(stopped.state_hash(), straight.state_hash(), "step {}", stopped.step());
        }
    }
}

#[test]
fn a_breakpoint_stops_in_the_state_of_its_step() {
    let code = [0xF3, 0x90, 0xE4, 0x61, 0xEB, 0xFA];
    let mut stopped = flat_machine(1, &code);
    let mut host = Host::default();
    let breakpoints = std::iter::once(0x10_0002).collect();
    for n in 0..3000 {
        let watch = amber_cpu::Watch {
            breakpoints: std::collections::BTreeSet::clone(&breakpoints),
            ..amber_cpu::Watch::default()
        };
        stopped.vcpu_mut(0).set_watch(watch);
        assert!(matches!(stopped.run(BOUND, &mut host, true), Stop::Breakpoint(0)));
        stopped.run(stopped.step() + 1, &mut host, true);
        if n % 500 == 499 {
            let mut straight = flat_machine(1, &code);
            straight.run(stopped.step(), &mut Host::default(), true);
            assert_eq!(stopped.state_hash(), straight.state_hash(), "step {}", stopped.step());
        }
    }
}

#[test]
fn interrupts_due_at_the_same_time_come_in_the_same_order_however_the_run_is_split() {
    // PIT counter 0 every 37 ticks to vector 38h; vector 28h again and again from its own handler.
    let mut code = Vec::new();
    code.extend([out(0x43, 0x34), out(0x40, 37), out(0x40, 0)].concat());
    code.extend(store(0xFEC0_0000, 0x14));
    code.extend(store(0xFEC0_0010, 0x38));
    code.extend(store(0xFEE0_0300, 0x4_0028));
    code.extend([0xFB, 0xEB, 0xFE]);
    // mov eax, [ISR 32-63]; imul ecx, ecx, 31; add ecx, eax
    let mut handler = vec![0xA1, 0x10, 0x01, 0xE0, 0xFE, 0x6B, 0xC9, 31, 0x01, 0xC1];
    // test eax, 100h; jz end; send 28h again
    handler.extend([0xA9, 0x00, 0x01, 0x00, 0x00, 0x74, 10]);
    handler.extend(store(0xFEE0_0300, 0x4_0028));
    handler.extend(store(0xFEE0_00B0, 0));
    handler.push(0xCF);
    let mut whole = kernel_with(&code, &handler);
    let mut split = kernel_with(&code, &handler);
    let mut host = Host::default();
    for point in (0..400_000).step_by(20_000) {
        whole.run(point, &mut host, true);
        while split.step() < point {
            split.run(split.step() + 1, &mut host, true);
        }
        assert_eq!(whole.vcpus()[0].gpr[1], split.vcpus()[0].gpr[1], "step {point}");
        assert_eq!(whole.state_hash(), split.state_hash(), "step {point}");
    }
    assert!(whole.vcpus()[0].gpr[1] != 0);
}

struct Nothing;

impl PageSource for Nothing {
    fn read(&self, _page: u64, into: &mut [u8; PAGE as usize]) -> Result<(), String> {
        into.fill(0);
        Ok(())
    }
}

/// The regions of a machine, as one reads them to restore it; its pages are not looked at.
fn sources(machine: &Machine) -> Vec<RegionSource> {
    let region = |region: &Region| RegionSource {
        name: region.name.into(),
        tree: region.tree.clone(),
        pages: Arc::new(Nothing),
        base: None,
    };
    machine.regions.iter().map(region).collect()
}

#[test]
fn impossible_positions_and_configurations_are_refused_by_name() {
    let mut machine = flat_machine(2, &[0xEB, 0xFE]);
    machine.run(1000, &mut Host::default(), true);
    let sections = machine.sections();
    machine.state_hash();
    let restore =
        |sections: &[amber_snapshot::OwnedSection]| Machine::restore(sections, sources(&machine)).map(drop);
    restore(&sections).unwrap();
    let with_position = |change: fn(&mut Position)| {
        let mut position = machine.position.clone();
        change(&mut position);
        let mut sections = sections.clone();
        sections[1] = position.to_section("machine");
        restore(&sections).unwrap_err().to_string()
    };
    assert!(with_position(|position| position.current = 2).contains("current"));
    assert!(with_position(|position| position.slice_end = u64::MAX).contains("slice_end"));
    assert!(with_position(|position| position.poll_at = u64::MAX).contains("poll_at"));
    assert!(with_position(|position| position.step = u64::MAX).contains("step"));
    assert!(with_position(|position| position.serial_queue = vec![0; 1 << 20]).contains("serial_queue"));
    for quantum in [0, u64::MAX] {
        let mut sections = sections.clone();
        sections[0] = MachineSpec { quantum, ..machine.spec.clone() }.to_section("config");
        assert!(restore(&sections).unwrap_err().to_string().contains("quantum"));
    }
    let large = || MachineSpec { boot_len: 1 << 40, ..machine.spec.clone() }.to_section("config");
    assert!(restore(&[&[large()], &sections[1..]].concat()).unwrap_err().to_string().contains("boot_len"));
    let mut sections = sections.clone();
    sections[0] = MachineSpec { rtc_start: i64::MIN, ..machine.spec.clone() }.to_section("config");
    assert!(restore(&sections).unwrap_err().to_string().contains("clock"));
}

#[test]
fn a_start_that_would_clear_more_memory_than_there_is_ends_the_run_at_a_reset() {
    let mut machine = flat_machine(1, &[0xEB, 0xFE]);
    let boot =
        BootImage { zeros: vec![(0, u64::MAX)], ..flat::load(file(&[0x90]), 0x10_0000, &memory()).unwrap() };
    let start = Start::new(boot, Vec::new()).to_bytes().unwrap();
    machine.fill(BOOT, &start);
    machine.reset();
    assert!(machine.damage().is_some_and(|why| why.contains("zero")));
    assert_eq!(machine.run(1000, &mut Host::default(), false), Stop::Damaged);
}

/// What a snapshot of an earlier build might look like: no quantum in its configuration, and a chip too few.
mod earlier {
    use crate::machine::MachineSpec;
    use amber_snapshot::{OwnedSection, Schema, Section, SectionError};
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize, Schema)]
    pub struct Config {
        pub cpus: u32,
        pub memory: u64,
        pub boot_len: u64,
    }
    impl Section for Config {
        const KIND: &'static str = "config";
        const VERSION: u32 = 0;
    }

    #[derive(Serialize, Deserialize, Schema)]
    struct Coprocessor {
        ferr: bool,
        ignne: bool,
    }
    impl Section for Coprocessor {
        const KIND: &'static str = "coprocessor";
        const VERSION: u32 = 1;
    }

    pub fn upgrade(section: &OwnedSection) -> Result<Vec<OwnedSection>, SectionError> {
        let Config { cpus, memory, boot_len } = Config::from_section(section)?;
        let chip = Coprocessor { ferr: false, ignne: false };
        Ok(vec![
            MachineSpec { memory, boot_len, ..super::spec(cpus) }.to_section("config"),
            chip.to_section("platform0/coprocessor"),
        ])
    }
}

#[test]
fn a_machine_of_an_earlier_build_is_loaded_by_upgrades_alone() {
    use amber_snapshot::{OwnedSection, Upgrade};
    let mut machine = flat_machine(2, &[0xEB, 0xFE]);
    machine.run(1000, &mut Host::default(), true);
    let hash = machine.state_hash();
    let mut sections = machine.sections();
    let MachineSpec { cpus, memory, boot_len, .. } = machine.spec;
    sections[0] = earlier::Config { cpus, memory, boot_len }.to_section("config");
    sections.retain(|section| section.path != "platform0/coprocessor");
    let restore = |sections: &[OwnedSection], upgrades: &[Upgrade]| {
        Machine::restore_by(sections, sources(&machine), upgrades)
    };
    let refused = restore(&sections, &[]).map(drop).unwrap_err().to_string();
    assert!(refused.contains("config") && refused.contains("version 0"), "{refused}");
    let upgrade = Upgrade { kind: "config", version: 0, apply: earlier::upgrade };
    assert_eq!(restore(&sections, &[upgrade]).unwrap().state_hash(), hash);
    // Without the upgrade that adds it, what is missing stays missing.
    sections[0] = machine.spec.to_section("config");
    let refused = restore(&sections, &[upgrade]).map(drop).unwrap_err().to_string();
    assert_eq!(refused, "section platform0/coprocessor is missing");
}

#[test]
fn a_network_adapter_is_part_of_the_state_and_none_leaves_no_trace() {
    let with = |nic| {
        let image = flat::load(file(&[0xEB, 0xFE]), 0x10_0000, &memory()).unwrap();
        Machine::equipped(spec(1), image, Vec::new(), &[], Equipment { nic, ..Equipment::default() }).unwrap()
    };
    let without = with(None);
    assert!(without.sections().iter().all(|section| section.kind != "nic"));
    let mut machine = with(Some(NicSpec::new(NicModel::Virtio, [2, 0, 0, 0, 0, 7])));
    machine.run(1000, &mut Host::default(), true);
    let sections = machine.sections();
    machine.state_hash();
    let restore = |sections: &[_]| Machine::restore(sections, sources(&machine));
    let restored = restore(&sections).unwrap();
    assert_eq!(restored.equipment(), machine.equipment());
    assert_eq!(restored.sections(), sections);
    let at = sections.iter().position(|section| section.path == "nic0").unwrap();
    let refused = |nic: Option<NicSpec>| {
        let mut sections = sections.clone();
        match nic {
            Some(nic) => sections[at] = nic.to_section("nic0"),
            None => drop(sections.remove(at)),
        }
        restore(&sections).map(drop).unwrap_err().to_string()
    };
    let mac = [2, 0, 0, 0, 0, 7];
    assert!(refused(Some(NicSpec { model: "ne2000".into(), mac })).contains("model"));
    assert!(refused(Some(NicSpec::new(NicModel::Virtio, [0xFF; 6]))).contains("ff:ff:ff:ff:ff:ff"));
    assert!(refused(None).contains("virtio-net0"));
}

#[test]
fn seabios_finishes_post_on_any_number_of_processors() {
    let Ok(bios) = std::fs::read("/usr/share/seabios/bios-256k.bin") else {
        eprintln!("skipped: no SeaBIOS; apt-get install seabios");
        return;
    };
    struct Log(Vec<u8>);
    impl HostIo for Log {
        fn serial_output(&mut self, _port: u8, _byte: u8) {}
        fn debug_output(&mut self, byte: u8) {
            self.0.push(byte);
        }
        fn serial_input(&mut self, _step: u64, _idle: Option<u64>) -> Vec<u8> {
            Vec::new()
        }
        fn may_input(&self) -> bool {
            false
        }
    }
    for cpus in [1, 2, 4] {
        let image = rom::load(file(&bios)).unwrap();
        let mut machine =
            Machine::new(MachineSpec { memory: 64 << 20, ..spec(cpus) }, image, Vec::new()).unwrap();
        let mut log = Log(Vec::new());
        machine.run(200_000_000, &mut log, true);
        let text = String::from_utf8_lossy(&log.0);
        assert!(text.contains(&format!("Found {cpus} cpu(s)")), "{cpus} processors: {text}");
        assert!(text.contains("No bootable device"), "{cpus} processors: {text}");
    }
}
