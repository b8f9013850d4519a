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
fn rewinding_tells_decoded_code_of_bytes_that_change() {
    let (mut mmu, context) = machine(600);
    let frozen = mmu.freeze();
    write(&mut mmu, context, 0x7040, 9);
    mmu.mark_code(FrameId(7), 0b11);
    mmu.take_smc();
    mmu.rewind(&frozen);
    assert_eq!(mmu.take_smc(), [Smc { frame: FrameId(7), granules: 0b10 }]);
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
