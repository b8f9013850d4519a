//! Freezing, forking, rewinding and fetching, seen through translations.

use crate::*;
use std::sync::Arc;

const SPACE: AddressSpace = AddressSpace::unpaged(40);

fn machine(frames: u32) -> (Mmu, ContextId) {
    let mut mmu = Mmu::new(frames).expect("host memory");
    let ram = Backing::Frames(mmu.allocate(frames).expect("frames"));
    let range = MapRange { base: 0, len: u64::from(frames) * PAGE, read: ram, write: ram };
    mmu.set_map(ViewId(0), AddressMap::new(vec![range]));
    let context = active(&mut mmu);
    (mmu, context)
}

fn active(mmu: &mut Mmu) -> ContextId {
    assert_eq!(SPACE.mode, PagingMode::Off);
    let context = mmu.context(&SPACE, Rights::default(), ViewId(0));
    mmu.activate(context);
    context
}

fn read(mmu: &mut Mmu, context: ContextId, at: u64) -> u64 {
    if mmu.read_fast::<u64>(at).is_none() {
        mmu.place(context, at, Access::Read).expect("mapped");
    }
    mmu.read_fast(at).expect("just filled")
}

fn write(mmu: &mut Mmu, context: ContextId, at: u64, value: u64) {
    if !mmu.write_fast(at, value) {
        mmu.place(context, at, Access::Write).expect("mapped");
        assert!(mmu.write_fast(at, value), "just filled");
    }
}

#[test]
fn no_translation_leads_to_a_frame_that_was_left_behind() {
    let (mut mmu, context) = machine(600);
    write(&mut mmu, context, 0x5000, 1);
    assert_eq!(read(&mut mmu, context, 0x5000), 1);
    let frozen = mmu.freeze();
    assert_eq!(read(&mut mmu, context, 0x5000), 1);
    // Another way to the same frame: what devices use.
    mmu.write_physical(ViewId(0), 0x5000, &2u64.to_le_bytes());
    assert_eq!(read(&mut mmu, context, 0x5000), 2);
    assert_eq!(frozen.bytes(FrameId(5))[0], 1);
}

#[test]
fn rewinding_brings_back_what_was_written_again_and_again() {
    let (mut mmu, context) = machine(600);
    write(&mut mmu, context, 0x5000, 1);
    let older = mmu.freeze();
    write(&mut mmu, context, 0x6000, 7);
    let frozen = mmu.freeze();
    for round in 2..6 {
        write(&mut mmu, context, 0x5000, round);
        write(&mut mmu, context, 0x20_0000, round);
        mmu.seal();
        write(&mut mmu, context, 0x5008, round);
        mmu.rewind(&frozen);
        let got = [0x5000, 0x5008, 0x6000, 0x20_0000].map(|at| read(&mut mmu, context, at));
        assert_eq!(got, [1, 0, 7, 0], "round {round}");
    }
    mmu.rewind(&older);
    assert_eq!([0x5000, 0x6000].map(|at| read(&mut mmu, context, at)), [1, 0]);
    mmu.rewind(&frozen);
    assert_eq!([0x5000, 0x6000].map(|at| read(&mut mmu, context, at)), [1, 7]);
}

#[test]
fn rewinding_many_frames_is_as_rewinding_few() {
    let (mut mmu, context) = machine(8192);
    let all = |mmu: &mut Mmu, value: u64| {
        (0..8192).for_each(|page| write(mmu, context, page * PAGE, value + page));
    };
    all(&mut mmu, 1);
    let older = mmu.freeze();
    all(&mut mmu, 100);
    let newer = mmu.freeze();
    let used = mmu.host_bytes();
    all(&mut mmu, 7);
    mmu.mark_code(FrameId(9), 0b11);
    mmu.take_smc();
    for (frozen, base) in [(&older, 1), (&newer, 100), (&older, 1)] {
        mmu.rewind(frozen);
        let got = [0, 9, 600, 8191].map(|page| read(&mut mmu, context, page * PAGE));
        assert_eq!(got, [base, base + 9, base + 600, base + 8191]);
        assert!(mmu.take_smc().contains(&Smc { frame: FrameId(9), bytes: 0..64 }));
        mmu.mark_code(FrameId(9), 0b11);
        // What is written then is this memory's alone.
        write(&mut mmu, context, 600 * PAGE, 5);
        assert_eq!(frozen.bytes(FrameId(600))[0], (base + 600) as u8);
    }
    assert!(mmu.host_bytes() <= used + 16 * PAGE, "nothing was copied for it");
}

#[test]
fn rewinding_tells_decoded_code_of_bytes_that_change() {
    let (mut mmu, context) = machine(600);
    let frozen = mmu.freeze();
    write(&mut mmu, context, 0x7040, 9);
    mmu.mark_code(FrameId(7), 0b11);
    mmu.take_smc();
    mmu.rewind(&frozen);
    assert_eq!(mmu.take_smc(), [Smc { frame: FrameId(7), bytes: 64..128 }]);
}

#[test]
fn a_fork_and_its_parent_do_not_see_each_other() {
    let (mut mmu, context) = machine(600);
    write(&mut mmu, context, 0x5000, 1);
    let frozen = mmu.freeze();
    let mut child = Mmu::fork(&frozen).expect("frames");
    child.set_map(ViewId(0), mmu.map(ViewId(0)).clone());
    let there = active(&mut child);
    assert_eq!(read(&mut child, there, 0x5000), 1);
    write(&mut mmu, context, 0x5000, 2);
    write(&mut child, there, 0x5008, 3);
    assert_eq!([0x5000, 0x5008].map(|at| read(&mut mmu, context, at)), [2, 0]);
    assert_eq!([0x5000, 0x5008].map(|at| read(&mut child, there, at)), [1, 3]);
}

struct Pages;

impl PageSource for Pages {
    fn read(&self, page: u64, into: &mut [u8; PAGE as usize]) -> Result<(), String> {
        if page == 13 {
            return Err("page 13 is unreadable".to_owned());
        }
        into.fill(page as u8);
        Ok(())
    }
}

#[test]
fn frames_come_from_their_source_when_first_touched() {
    let (mut mmu, context) = machine(600);
    let mut pages = [0; GROUP / 64];
    pages[0] = 0b11 << 2;
    mmu.expect(FrameId(0), Arc::new(Pages), 10, pages);
    assert_eq!(mmu.generation(FrameId(2)), Some(1));
    assert_eq!([0x1000, 0x2000].map(|at| read(&mut mmu, context, at)), [0, 0x0C0C_0C0C_0C0C_0C0C]);
    assert_eq!(mmu.damaged(), None);
    mmu.pending().iter().for_each(|pending| pending.complete());
    assert_eq!(mmu.damaged(), Some("page 13 is unreadable"));
}

/// A 32-bit or 64-bit space whose root is frame 1.
fn space(mode: PagingMode) -> AddressSpace {
    AddressSpace { mode, root: 0x1000, ..SPACE }
}

fn paged(mmu: &mut Mmu, space: &AddressSpace) -> ContextId {
    let context = mmu.context(space, Rights::default(), ViewId(0));
    mmu.activate(context);
    context
}

fn put32(mmu: &mut Mmu, at: u64, value: u32) {
    mmu.write_physical(ViewId(0), at, &value.to_le_bytes());
}
fn put64(mmu: &mut Mmu, at: u64, value: u64) {
    mmu.write_physical(ViewId(0), at, &value.to_le_bytes());
}

/// A page directory that is its own first table, with another table behind its second entry.
fn self_mapped() -> (Mmu, ContextId) {
    let (mut mmu, _) = machine(600);
    put32(&mut mmu, 0x1000, 0x1003);
    put32(&mut mmu, 0x1004, 0x2003);
    put32(&mut mmu, 0x2000, 0x5003);
    put32(&mut mmu, 0x3000, 0x6003);
    put64(&mut mmu, 0x5000, 5);
    put64(&mut mmu, 0x6000, 6);
    let context = paged(&mut mmu, &space(PagingMode::Bits32 { pse: false }));
    assert_eq!(read(&mut mmu, context, 0x40_0000), 5);
    // Through the self-map, so that the frame serves as directory and as table.
    assert_eq!(read(&mut mmu, context, 0) as u32 & 0xFFFF_F000, 0x1000);
    (mmu, context)
}

#[test]
fn a_directory_that_is_its_own_table_stays_a_directory() {
    let (mut mmu, context) = self_mapped();
    put32(&mut mmu, 0x1000, 0x7003);
    put32(&mut mmu, 0x1004, 0x3003);
    assert_eq!(read(&mut mmu, context, 0x40_0000), 6);
}

#[test]
fn a_directory_that_is_its_own_table_is_recycled_once() {
    let (mut mmu, context) = self_mapped();
    mmu.write_physical(ViewId(0), 0x1000, &[0; 4096]);
    assert_eq!(mmu.marked_tables(), 0);
    assert!(mmu.place(context, 0x40_0000, Access::Read).is_err());
    put32(&mut mmu, 0x1004, 0x3003);
    assert_eq!(read(&mut mmu, context, 0x40_0000), 6);
}

#[test]
fn a_walk_keeps_the_uses_it_relies_on() {
    let (mut mmu, _) = machine(600);
    // The root is the directory of 1 GiB ranges 1 to 8 of its first 512 GiB, whose table of those is frame 2.
    put64(&mut mmu, 0x1000, 0x2003);
    for range in 1..9 {
        put64(&mut mmu, 0x2000 + 8 * range, 0x1003);
    }
    // As a directory its entry 1 leads to frame 3.
    put64(&mut mmu, 0x1008, 0x3003);
    put64(&mut mmu, 0x3000, 0x5003);
    put64(&mut mmu, 0x5000, 5);
    let context = paged(&mut mmu, &space(PagingMode::Level4));
    let address = |range: u64| range << 30 | 1 << 21;
    for range in 1..9 {
        assert_eq!(read(&mut mmu, context, address(range)), 5);
    }
    put64(&mut mmu, 0x1000, 0);
    assert!(mmu.read_fast::<u64>(address(8)).is_none(), "its root entry is gone");
}

#[test]
fn tables_whose_flags_cannot_be_written_are_followed() {
    let (mut mmu, _) = machine(600);
    // Frames 1 and 2, the tables, are read-only memory.
    let whole = mmu.map(ViewId(0)).ranges()[0];
    let part = |first: u64, pages: u64, writable: bool| {
        let frames = Backing::Frames(FrameId(first as u32));
        let write = if writable { frames } else { Backing::Open };
        MapRange { base: first * PAGE, len: pages * PAGE, read: frames, write }
    };
    put32(&mut mmu, 0x1000, 0x2003);
    put32(&mut mmu, 0x2000, 0x5003);
    put64(&mut mmu, 0x5000, 5);
    put64(&mut mmu, 0x6000, 6);
    let ranges = vec![part(0, 1, true), part(1, 2, false), part(3, whole.len / PAGE - 3, true)];
    mmu.set_map(ViewId(0), AddressMap::new(ranges));
    let context = paged(&mut mmu, &space(PagingMode::Bits32 { pse: false }));
    assert_eq!(read(&mut mmu, context, 0), 5);
    // A flash chip is programmed.
    mmu.write_frame(FrameId(2), 0, &0x6003u32.to_le_bytes());
    assert_eq!(read(&mut mmu, context, 0), 6);
}

#[test]
fn a_table_seen_by_another_view_is_forgotten_there() {
    let (mut mmu, _) = machine(600);
    // View 1 has frame 4 where view 0 has frame 2.
    let whole = mmu.map(ViewId(0)).ranges()[0];
    let part = |base: u64, pages: u64, first: u32| {
        let frames = Backing::Frames(FrameId(first));
        MapRange { base: base * PAGE, len: pages * PAGE, read: frames, write: frames }
    };
    let ranges = vec![part(0, 2, 0), part(2, 1, 4), part(3, whole.len / PAGE - 3, 3)];
    mmu.set_map(ViewId(1), AddressMap::new(ranges));
    put32(&mut mmu, 0x1000, 0x2003);
    put32(&mut mmu, 0x2000, 0x5003);
    put32(&mut mmu, 0x4000, 0x6003);
    let space = space(PagingMode::Bits32 { pse: false });
    let context = mmu.context(&space, Rights::default(), ViewId(1));
    mmu.activate(context);
    read(&mut mmu, context, 0);
    assert_eq!(mmu.marked_tables(), 2);
    put32(&mut mmu, 0x1000, 0x8003);
    assert_eq!(mmu.marked_tables(), 1, "the directory");
}

/// Where the code of the kernels below is.
const KERNEL: u64 = 0xFFFF_FF80_0000_5000;

/// Two roots, frames 1 and 2, with one kernel behind their last entries, whose tables are frames 3, 4 and 5 and whose code
/// is frame 6; and a context for each.
fn two_processes() -> (Mmu, [ContextId; 2]) {
    let (mut mmu, _) = machine(600);
    for root in [0x1000, 0x2000] {
        put64(&mut mmu, root + 511 * 8, 0x3023);
    }
    put64(&mut mmu, 0x3000, 0x4003);
    put64(&mut mmu, 0x4000, 0x5003);
    put64(&mut mmu, 0x5000 + 5 * 8, 0x6003);
    let contexts = [0x1000, 0x2000].map(|root| {
        let space = AddressSpace { root, ..space(PagingMode::Level4) };
        paged(&mut mmu, &space)
    });
    for context in contexts {
        assert_eq!(mmu.exec_page(context, KERNEL), Ok(ExecPage::Frame(FrameId(6))));
    }
    (mmu, contexts)
}

fn tags(mmu: &Mmu, contexts: [ContextId; 2]) -> [(u64, u64); 2] {
    contexts.map(|context| {
        let space = mmu.code_space(context);
        (space.index(), mmu.exec_epoch(space))
    })
}

#[test]
fn kernel_code_is_shared_by_address_spaces_with_the_same_root_entry() {
    let (mut mmu, contexts) = two_processes();
    let [first, second] = tags(&mmu, contexts);
    assert_eq!(first, second);
    // The kernel's own tables are shared: a change concerns both.
    put64(&mut mmu, 0x5000 + 5 * 8, 0x7003);
    let changed = tags(&mmu, contexts);
    assert!(changed[0] == changed[1] && changed[0] != first);
    for context in contexts {
        assert_eq!(mmu.exec_page(context, KERNEL), Ok(ExecPage::Frame(FrameId(7))));
    }
}

#[test]
fn an_address_space_leaves_the_shared_code_when_its_root_entry_changes() {
    let (mut mmu, contexts) = two_processes();
    let [before, _] = tags(&mmu, contexts);
    mmu.take_smc();
    put64(&mut mmu, 0x1000 + 511 * 8, 0);
    assert!(mmu.disturbed());
    let [first, second] = tags(&mmu, contexts);
    assert!(first != before && second == before);
    assert!(mmu.exec_page(contexts[0], KERNEL).is_err());
    assert_eq!(mmu.exec_page(contexts[1], KERNEL), Ok(ExecPage::Frame(FrameId(6))));
    // A root that is recycled as a whole.
    mmu.write_physical(ViewId(0), 0x2000, &[0; 4096]);
    assert_ne!(tags(&mmu, contexts)[1], before);
    assert!(mmu.exec_page(contexts[1], KERNEL).is_err());
}

#[test]
fn code_behind_another_root_entry_is_no_shared_code() {
    let (mut mmu, contexts) = two_processes();
    put64(&mut mmu, 0x1000, 0x3003);
    let [shared, _] = tags(&mmu, contexts);
    assert_eq!(mmu.exec_page(contexts[0], 0x5000), Ok(ExecPage::Frame(FrameId(6))));
    let [first, second] = tags(&mmu, contexts);
    assert!(first != shared && second == shared);
    put64(&mut mmu, 0x1000, 0);
    assert_ne!(tags(&mmu, contexts)[0], first);
    assert!(mmu.exec_page(contexts[0], 0x5000).is_err());
}

#[test]
fn a_walk_that_begins_at_a_known_table_follows_changes_above_it() {
    let (mut mmu, contexts) = two_processes();
    mmu.activate(contexts[0]);
    put64(&mut mmu, 0x6000, 6);
    put64(&mut mmu, 0x5000 + 6 * 8, 0x8003);
    assert_eq!(read(&mut mmu, contexts[0], KERNEL), 6);
    // Another table of pages, then none, at each level.
    put64(&mut mmu, 0x9000 + 6 * 8, 0xA003);
    put64(&mut mmu, 0xA000, 10);
    put64(&mut mmu, 0x4000, 0x9003);
    assert_eq!(read(&mut mmu, contexts[0], KERNEL + PAGE), 10);
    for (entry, whole) in [(0x4000, 0x9003), (0x3000, 0x4003), (0x1000 + 511 * 8, 0x3023)] {
        put64(&mut mmu, entry, 0);
        assert!(mmu.place(contexts[0], KERNEL + PAGE, Access::Read).is_err());
        assert!(mmu.read_fast::<u64>(KERNEL + PAGE).is_none());
        put64(&mut mmu, entry, whole);
        assert_eq!(read(&mut mmu, contexts[0], KERNEL + PAGE), 10);
    }
}
