//! Parts that come and go.

use super::*;
use amber_cpu::Engine;
use amber_devices::{ADAPTER_SLOT, NicModel, Part, PartState};

const CPUS: u16 = 0xcd8;

/// `again: inc rax; jmp again` on one processor, with room for three.
fn counting() -> Machine {
    let spec = spec(1);
    let modules = MemoryParts::new(3, MEMORY + (1 << 30));
    let hotplug = Hotplug {
        cpus: Some(CpuParts::new(1, 3)),
        memory: Some(modules),
        functions: Some(FunctionParts::new(&[])),
    };
    let equipment = Equipment { hotplug, ..Equipment::default() };
    let tables = place_tables(&equipment.chipset(spec.chipset()));
    let image = flat::load(file(&[0x48, 0xFF, 0xC0, 0xEB, 0xFB]), 0x10_0000, &memory()).unwrap();
    Machine::equipped(spec, image, tables, &[], equipment).unwrap()
}

/// What the guest's AML writes to let go of a processor.
fn eject(machine: &mut Machine, id: u32) {
    machine.with_dma(|platform, dma| {
        platform.pio_write(dma, CPUS, 4, id);
        platform.pio_write(dma, CPUS + 4, 1, 8);
    });
    assert_eq!(machine.settle(&mut Host::default(), true), None);
}

fn plug(machine: &mut Machine, id: u32) {
    machine.plug(&mut Host::default(), Plug::Cpu(id)).unwrap();
}

pub fn go(machine: &mut Machine, steps: u64) {
    let to = machine.step() + steps;
    assert_eq!(machine.run(to, &mut Host::default(), true), Stop::Step);
}

fn ids(machine: &Machine) -> Vec<u32> {
    machine.vcpus().iter().map(|vcpu| vcpu.apic.id()).collect()
}

/// Starts the processor at an index, in memory that is zero: it adds to it for ever.
fn start(machine: &mut Machine, n: usize) {
    machine.vcpu_mut(n).accept_init();
    machine.vcpu_mut(n).accept_sipi(0x20);
}

#[test]
fn a_processor_comes_runs_and_goes() {
    let mut machine = counting();
    go(&mut machine, 1000);
    plug(&mut machine, 2);
    assert_eq!((ids(&machine), machine.current()), (vec![0, 2], 0));
    go(&mut machine, 100_000);
    assert_eq!(machine.vcpus()[1].system.retired, 0, "it waits to be started");
    start(&mut machine, 1);
    plug(&mut machine, 1);
    go(&mut machine, 100_000);
    assert!(machine.vcpus()[2].system.retired > 10_000);
    let paths: Vec<_> = machine.sections().iter().map(|section| section.path.clone()).collect();
    assert!(["cpu0", "cpu1", "cpu2", "hotplug/cpus"].iter().all(|path| paths.contains(&(*path).to_owned())));
    eject(&mut machine, 2);
    assert_eq!(ids(&machine), [0, 1]);
    eject(&mut machine, 1);
    eject(&mut machine, 0);
    assert_eq!((ids(&machine), machine.current(), machine.position.slice_end), (vec![0], 0, 0));
    go(&mut machine, 100_000);
    let tsc = |machine: &Machine| machine.vcpus()[0].system.msrs.tsc_offset;
    machine.reset();
    plug(&mut machine, 1);
    assert_eq!(machine.vcpus()[1].system.msrs.tsc_offset, tsc(&machine));
}

#[test]
fn the_processor_that_runs_may_go() {
    let mut machine = counting();
    (1..3).for_each(|id| plug(&mut machine, id));
    (1..3).for_each(|n| start(&mut machine, n));
    while machine.current() != 1 {
        go(&mut machine, 1000);
    }
    eject(&mut machine, 1);
    assert_eq!(machine.next_processor(), Some(1));
    go(&mut machine, 1);
    assert_eq!(machine.vcpus()[machine.current()].apic.id(), 2, "the one behind it is next");
}

#[test]
fn what_cannot_come_or_go_is_said() {
    let (mut machine, mut host) = (counting(), Host::default());
    let inputs = machine.inputs();
    assert_eq!(machine.plug(&mut host, Plug::Cpu(3)), Err(PlugError::NoPlace { id: 3, last: 2 }));
    assert_eq!(machine.plug(&mut host, Plug::Cpu(0)), Err(PlugError::CpuThere(0)));
    assert_eq!(machine.unplug(&mut host, Part::Cpu(0)), Err(PlugError::BootCpu));
    assert_eq!(machine.unplug(&mut host, Part::Cpu(1)), Err(PlugError::NoCpu(1)));
    let mut plain = flat_machine(1, &[0xEB, 0xFE]);
    assert_eq!(plain.plug(&mut host, Plug::Cpu(1)), Err(PlugError::NoCpus));
    assert_eq!(machine.inputs(), inputs);
    (1..3).for_each(|id| plug(&mut machine, id));
    assert_eq!((machine.free_cpu(), machine.inputs()), (Err(PlugError::CpusFull(3)), inputs + 2));
}

/// A machine, and the steps of its life so far that matter: before anything came, with two more, with one of them gone.
fn lives(machine: &mut Machine) -> Vec<Frozen> {
    go(machine, 5000);
    let mut frozen = vec![machine.freeze()];
    plug(machine, 1);
    plug(machine, 2);
    (1..3).for_each(|n| start(machine, n));
    go(machine, 50_000);
    frozen.push(machine.freeze());
    eject(machine, 1);
    go(machine, 50_000);
    frozen.push(machine.freeze());
    frozen
}

/// Has a machine go back to frozen states, in an order in which each is followed by others, and on from there.
pub fn go_back_and_on(machine: &mut Machine, frozen: &mut [Frozen]) {
    let on = |frozen: &Frozen| {
        let mut fork = Machine::fork(frozen).unwrap();
        go(&mut fork, 30_000);
        fork.state_hash()
    };
    let after: Vec<_> = frozen.iter().map(on).collect();
    let there: Vec<_> = frozen.iter_mut().map(Frozen::hash).collect();
    let all = 0..frozen.len();
    for n in all.clone().chain(all.clone().rev()).chain(all.clone().step_by(2)).chain(all) {
        machine.rewind(&frozen[n]);
        assert_eq!(machine.state_hash(), there[n], "{n}");
        machine.drop_caches();
        go(machine, 30_000);
        assert_eq!(machine.state_hash(), after[n], "{n}");
    }
}

#[test]
fn a_machine_goes_back_across_processors_that_came_and_went() {
    let mut machine = counting();
    let mut frozen = lives(&mut machine);
    go_back_and_on(&mut machine, &mut frozen);
}

const MODULE: u64 = 128 << 20;
const FIRST: u64 = 1 << 32;

fn add_module(machine: &mut Machine, modules: u64) -> Part {
    machine.plug(&mut Host::default(), Plug::Dimm(modules * MODULE)).unwrap()
}

fn eject_module(machine: &mut Machine, slot: u32) {
    machine.with_dma(|platform, dma| {
        platform.pio_write(dma, 0xa00, 4, slot);
        platform.pio_write(dma, 0xa14, 1, 8);
    });
    assert_eq!(machine.settle(&mut Host::default(), true), None);
}

fn poke(machine: &mut Machine, gpa: u64, byte: u8) {
    machine.mmu_mut().write_physical(amber_mmu::ViewId(0), gpa, &[byte]);
}

fn peek(machine: &Machine, gpa: u64) -> u8 {
    let mut byte = [0];
    machine.mmu().read_physical(amber_mmu::ViewId(0), gpa, &mut byte);
    byte[0]
}

/// Nothing; a module; another, the first being gone; the first again, and new.
fn lives_of_modules(machine: &mut Machine) -> Vec<Frozen> {
    go(machine, 5000);
    let mut frozen = vec![machine.freeze()];
    assert_eq!(add_module(machine, 1), Part::Dimm(0));
    poke(machine, FIRST + 5000, 1);
    go(machine, 5000);
    frozen.push(machine.freeze());
    assert_eq!(add_module(machine, 2), Part::Dimm(1));
    poke(machine, FIRST + MODULE, 2);
    eject_module(machine, 0);
    go(machine, 5000);
    frozen.push(machine.freeze());
    assert_eq!(add_module(machine, 1), Part::Dimm(0));
    assert_eq!(peek(machine, FIRST + 5000), 0, "it is a new one");
    go(machine, 5000);
    frozen.push(machine.freeze());
    frozen
}

#[test]
fn a_machine_goes_back_across_modules_that_came_and_went() {
    let mut machine = counting();
    let mut frozen = lives_of_modules(&mut machine);
    let hashes: std::collections::BTreeSet<_> = frozen.iter_mut().map(|frozen| frozen.hash().0).collect();
    assert_eq!(hashes.len(), frozen.len());
    go_back_and_on(&mut machine, &mut frozen);
    machine.rewind(&frozen[2]);
    assert_eq!(
        [FIRST + 5000, FIRST + MODULE, FIRST + 3 * MODULE].map(|at| peek(&machine, at)),
        [255, 2, 255]
    );
    for frozen in &mut frozen {
        let mut stored = stored(frozen);
        assert_eq!(stored.state_hash(), frozen.hash());
        let second = stored.hotplug().dimms().iter().any(|dimm| dimm.slot == 1);
        assert_eq!(stored.region_pages("dimm1"), second.then_some(2 * MODULE / 4096));
    }
}

#[test]
fn modules_have_room_or_it_is_said() {
    let mut machine = counting();
    let mut add = |modules: u64| machine.plug(&mut Host::default(), Plug::Dimm(modules * MODULE));
    assert_eq!(add(9), Err(PlugError::MemoryFull { len: 9 * MODULE, max: MEMORY + 8 * MODULE }));
    assert_eq!(add(0), Err(PlugError::DimmLen(0)));
    assert_eq!([2, 1, 2].map(&mut add), [0, 1, 2].map(|slot| Ok(Part::Dimm(slot))));
    assert_eq!(add(1), Err(PlugError::SlotsFull(3)));
    eject_module(&mut machine, 1);
    add_module(&mut machine, 3);
    let base = |slot| machine.hotplug().dimms().iter().find(|dimm| dimm.slot == slot).unwrap().base;
    assert_eq!(base(1), FIRST + 5 * MODULE, "the gap is too small");
}

/// The machine that a frozen one is when it comes out of a store.
pub fn stored(frozen: &mut Frozen) -> Machine {
    let folder = tempfile::tempdir().unwrap();
    let open = || Arc::new(amber_snapshot::Store::open(folder.path()).unwrap());
    let id = frozen.save(&open(), None).unwrap().id;
    Machine::load(open().load(id).unwrap()).unwrap()
}

#[test]
fn a_machine_whose_parts_changed_is_stored_and_goes_on() {
    let mut machine = counting();
    for mut frozen in lives(&mut machine) {
        let mut own = Machine::fork(&frozen).unwrap();
        let mut stored = stored(&mut frozen);
        assert_eq!(stored.state_hash(), frozen.hash());
        for machine in [&mut own, &mut stored] {
            go(machine, 10_000);
            if let Ok(id) = machine.free_cpu() {
                plug(machine, id);
            }
            go(machine, 10_000);
        }
        assert_eq!(stored.state_hash(), own.state_hash());
    }
    machine.state_hash();
    let mut sections = machine.sections();
    sections.retain(|section| section.path != "cpu2");
    let missing = Machine::restore(&sections, sources(&machine)).map(drop).unwrap_err().to_string();
    assert_eq!(missing, "section cpu2 is missing");
}

#[test]
fn both_engines_agree_on_what_comes_and_goes() {
    let hashes = [Engine::Interpreter, Engine::Jit].map(|engine| {
        let mut machine = counting();
        machine.set_engine(engine);
        lives(&mut machine).into_iter().map(|mut frozen| frozen.hash()).collect::<Vec<_>>()
    });
    assert_eq!(hashes[0], hashes[1]);
}

/// A disk over an image whose bytes are all the same.
fn disk(folder: &std::path::Path, byte: u8, interface: amber_devices::DiskInterface) -> DiskImage {
    let file = folder.join(format!("{byte}.img"));
    std::fs::write(&file, [byte; 0x1_0000]).unwrap();
    DiskImage { base: Base::open(&file).unwrap(), interface, read_only: false }
}

fn eject_function(machine: &mut Machine, slot: u8) {
    machine.with_dma(|platform, dma| platform.pio_write(dma, 0xae08, 4, 1 << slot));
    assert_eq!(machine.settle(&mut Host::default(), true), None);
}

fn first_byte(machine: &Machine, n: u8) -> Option<u8> {
    let mut byte = [0];
    let attached = machine.disks.iter().find(|attached| attached.n() == n)?;
    attached.disk.read(0, &mut byte).ok().map(|()| byte[0])
}

#[test]
fn a_machine_goes_back_across_disks_that_came_and_went() {
    use amber_devices::DiskInterface::{Ahci, Nvme, Virtio};
    let folder = tempfile::tempdir().unwrap();
    let mut machine = counting();
    let add = |machine: &mut Machine, byte, interface| {
        machine.plug_disk(&mut Host::default(), &disk(folder.path(), byte, interface))
    };
    go(&mut machine, 5000);
    let mut frozen = vec![machine.freeze()];
    assert_eq!(add(&mut machine, 1, Nvme), Ok(Part::Function(3)));
    assert_eq!(add(&mut machine, 2, Virtio), Ok(Part::Function(4)));
    machine.disks[1].disk.write(0, &[20; 512]).map_err(drop).unwrap();
    go(&mut machine, 5000);
    frozen.push(machine.freeze());
    eject_function(&mut machine, 3);
    assert_eq!((first_byte(&machine, 0), first_byte(&machine, 1)), (None, Some(20)));
    go(&mut machine, 5000);
    frozen.push(machine.freeze());
    assert_eq!(add(&mut machine, 3, Virtio), Ok(Part::Function(3)));
    go(&mut machine, 5000);
    frozen.push(machine.freeze());
    assert_eq!(add(&mut machine, 4, Ahci), Err(PlugError::NotAFunction("ahci")));
    go_back_and_on(&mut machine, &mut frozen);
    for (frozen, bytes) in
        frozen.iter_mut().zip([[None, None], [Some(1), Some(20)], [None, Some(20)], [Some(3), Some(20)]])
    {
        let stored = &mut stored(frozen);
        assert_eq!(stored.state_hash(), frozen.hash());
        assert_eq!([0, 1].map(|n| first_byte(stored, n)), bytes);
    }
}

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];

fn add_nic(machine: &mut Machine, model: NicModel) -> Result<Part, PlugError> {
    machine.plug(&mut Host::default(), Plug::Nic(NicSpec::new(model, MAC)))
}

#[test]
fn a_machine_goes_back_across_network_adapters_that_came_and_went() {
    let mut machine = counting();
    go(&mut machine, 5000);
    let mut frozen = vec![machine.freeze()];
    assert_eq!(add_nic(&mut machine, NicModel::Virtio), Ok(Part::Function(ADAPTER_SLOT)));
    go(&mut machine, 5000);
    frozen.push(machine.freeze());
    assert_eq!(add_nic(&mut machine, NicModel::E1000), Err(PlugError::AdapterThere));
    eject_function(&mut machine, ADAPTER_SLOT);
    go(&mut machine, 5000);
    frozen.push(machine.freeze());
    assert_eq!(add_nic(&mut machine, NicModel::E1000), Ok(Part::Function(ADAPTER_SLOT)));
    go(&mut machine, 5000);
    frozen.push(machine.freeze());
    go_back_and_on(&mut machine, &mut frozen);
    for (frozen, model) in frozen.iter_mut().zip([None, Some("virtio"), None, Some("e1000")]) {
        let mut stored = stored(frozen);
        assert_eq!(stored.state_hash(), frozen.hash());
        assert_eq!(stored.equipment().nic.as_ref().map(|nic| &*nic.model), model);
        assert_eq!(stored.part_state(Part::Function(ADAPTER_SLOT)).present, model.is_some());
    }
}

#[test]
fn adapters_that_cannot_come_are_said() {
    let (mut machine, mut host) = (counting(), Host::default());
    let mut plug =
        |model: &str, mac| machine.plug(&mut host, Plug::Nic(NicSpec { model: model.to_owned(), mac }));
    assert_eq!(plug("ne2000", MAC), Err(PlugError::NoAdapter("ne2000".to_owned())));
    assert!(matches!(plug("virtio", [1; 6]), Err(PlugError::Mac(_))));
    assert!(matches!(plug("virtio", [0; 6]), Err(PlugError::Mac(_))));
    assert_eq!(machine.inputs(), 0);
    let mut plain = flat_machine(1, &[0xEB, 0xFE]);
    assert_eq!(add_nic(&mut plain, NicModel::E1000), Err(PlugError::NoFunctions));
}

/// GPE0_STS, which the guest clears by writing ones.
const EVENTS: u16 = 0x620;
/// Slots whose functions are to go.
const DOWN: u16 = 0xae04;

#[test]
fn a_function_that_is_not_let_go_of_stays_asked_for_and_can_be_asked_for_again() {
    let (mut machine, mut host) = (counting(), Host::default());
    let part = add_nic(&mut machine, NicModel::Virtio).unwrap();
    let heard = |machine: &mut Machine| {
        machine.with_dma(|platform, dma| {
            let event = platform.pio_read(dma, EVENTS, 1);
            platform.pio_write(dma, EVENTS, 1, event);
            [event, platform.pio_read(dma, DOWN, 4)]
        })
    };
    assert_eq!(heard(&mut machine), [1 << 1, 0], "it came");
    for _ in 0..2 {
        machine.unplug(&mut host, part).unwrap();
        assert_eq!(heard(&mut machine), [1 << 1, 1 << ADAPTER_SLOT]);
        assert_eq!(heard(&mut machine), [0, 1 << ADAPTER_SLOT], "looking at it is no answer");
        assert!(machine.part_state(part).removing);
    }
    eject_function(&mut machine, ADAPTER_SLOT);
    assert_eq!(machine.part_state(part), PartState::default());
    assert_eq!(machine.unplug(&mut host, part), Err(PlugError::NoFunction(ADAPTER_SLOT)));
}

/// Flags of the processors in the MADT, which lies behind the RSDP (ACPI 6.5, 5.2.12.2).
fn enabled(machine: &Machine) -> Vec<u8> {
    let mut area = vec![0; 0x1_0000];
    machine.mmu().read_physical(amber_mmu::ViewId(0), amber_devices::acpi::RSDP_ADDRESS, &mut area);
    let madt = area.windows(4).position(|bytes| bytes == b"APIC").expect("there is one");
    let len = u32::from_le_bytes(area[madt + 4..madt + 8].try_into().unwrap()) as usize;
    assert_eq!(area[madt..madt + len].iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)), 0);
    (0..3).map(|id| area[madt + 44 + 8 * id + 4]).collect()
}

#[test]
fn the_madt_has_the_processors_that_are_there_at_the_last_reset() {
    let mut machine = counting();
    assert_eq!(enabled(&machine), [1, 2, 2]);
    plug(&mut machine, 1);
    plug(&mut machine, 2);
    assert_eq!(enabled(&machine), [1, 2, 2], "the guest's memory is its own");
    machine.reset();
    assert_eq!(enabled(&machine), [1, 1, 1]);
    eject(&mut machine, 1);
    let mut stored = stored(&mut machine.freeze());
    for machine in [&mut machine, &mut stored] {
        machine.reset();
        assert_eq!(enabled(machine), [1, 2, 1]);
    }
    assert_eq!(stored.state_hash(), machine.state_hash());
}
