//! Queues, interrupts, events, reset, and what is saved of all that.

use super::super::status::Status;
use super::bench::{Bench, DATA, Done, ENTRIES, Order, submission_at};
use crate::device::Device;
use crate::effects::Effect;
use crate::pci::function::Function;

const READ: u8 = 2;
const WRITE: u8 = 1;

fn status(Status(status): Status) -> u16 {
    status
}

fn read(first: u64) -> Order {
    Order::blocks(READ, first, 1)
}

/// Waits for all that is under way, and takes what ended on a queue, in the order it did.
fn finish(bench: &mut Bench, queue: u16) -> Vec<Done> {
    while bench.pass() {}
    std::iter::from_fn(|| bench.take(queue)).collect()
}

#[test]
fn two_queues_wrap_again_and_again() {
    let mut bench = Bench::new(false);
    for round in 0..40 {
        let queue = 1 + round % 2;
        let ids: Vec<_> = (0..5).map(|n| bench.submit(queue, read(u64::from(round * 5 + n)))).collect();
        let done = finish(&mut bench, queue);
        assert_eq!(done.iter().map(|done| done.id).collect::<Vec<_>>(), ids);
        assert!(done.iter().all(|done| done.status == 0));
        assert_eq!(done.last().unwrap().head, bench.pairs[usize::from(queue)].tail);
        assert_eq!(bench.data()[0], (round * 5 + 4) as u8);
    }
    assert!(bench.nvme.impossible().is_none());
}

#[test]
fn a_full_completion_queue_is_waited_for() {
    let mut bench = Bench::new(false);
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.extend((0..7).map(|_| bench.place(1, read(0))));
        bench.ring(2, bench.pairs[1].tail);
        while bench.pass() {}
    }
    // Seven are in the queue, eight found no room in it, and six have not been taken off theirs.
    assert_eq!(bench.nvme.registers.waiting.len(), 8);
    assert_eq!(bench.nvme.registers.in_flight.len(), 0);
    bench.nvme = bench.saved_and_loaded();
    let mut seen = Vec::new();
    loop {
        let done = finish(&mut bench, 1);
        if done.is_empty() {
            break;
        }
        seen.extend(done.iter().map(|done| done.id));
    }
    assert_eq!(seen, ids);
    assert!(bench.nvme.impossible().is_none());
}

#[test]
fn the_pin_is_high_while_a_completion_is_unread_and_unmasked() {
    let mut bench = Bench::new(false);
    bench.submit(1, read(0));
    assert!(!bench.line());
    bench.pass();
    assert!(bench.line());
    bench.set(0x0c, 4, 2);
    assert_eq!((bench.line(), bench.get(0x0c, 4), bench.get(0x10, 4)), (false, 2, 2));
    bench.set(0x10, 4, 2);
    assert!(bench.line());
    bench.take(1);
    assert!(!bench.line());
}

#[test]
fn messages_take_the_place_of_the_pin() {
    let mut bench = Bench::new(false);
    for vector in 0..3u64 {
        let mut msix = |at: u64, value: u64| bench.with(|nvme, cx| nvme.bar_write(cx, 4, at, 8, value));
        msix(16 * vector, 0xfee0_0000);
        msix(16 * vector + 8, 0x40 + vector);
    }
    bench.config(0x42, 2, 0x8000);
    bench.effects.drain().for_each(drop);
    for order in [read(0), read(1), read(2)] {
        bench.place(2, order);
    }
    bench.ring(4, 3);
    bench.submit(1, Order::blocks(0, 0, 1));
    while bench.pass() {}
    let sent: Vec<_> = bench.effects.drain().collect();
    let message = |data| Effect::Msi { address: 0xfee0_0000, data };
    assert_eq!(sent, [message(0x42), message(0x41)], "one for what ends at one time");
    assert!(!bench.line());
}

#[test]
fn queues_that_cannot_be_are_refused() {
    let mut bench = Bench::new(false);
    let mut create = |opcode: u8, cdw10: u32, cdw11: u32, prp1: u64| {
        bench.admin(Order { prp1, ..Order::admin(opcode, cdw10, cdw11) }).status
    };
    for opcode in [1, 5] {
        for id in [0, 1, 17, 0xffff] {
            assert_eq!(create(opcode, 7 << 16 | id, 1 << 16 | 1, DATA), status(Status::INVALID_QUEUE));
        }
        for last in [0, 256, 0xffff] {
            assert_eq!(create(opcode, last << 16 | 3, 1 << 16 | 1, DATA), status(Status::INVALID_QUEUE_SIZE));
        }
        assert_eq!(create(opcode, 7 << 16 | 3, 1 << 16, DATA), status(Status::INVALID_FIELD), "in pieces");
        assert_eq!(create(opcode, 7 << 16 | 3, 1 << 16 | 1, DATA + 4), status(Status::PRP_OFFSET));
    }
    assert_eq!(create(5, 7 << 16 | 3, 17 << 16 | 3, DATA), status(Status::INVALID_VECTOR));
    for completion in [0, 3, 17] {
        let refused = create(1, 7 << 16 | 3, completion << 16 | 1, DATA);
        assert_eq!(refused, status(Status::INVALID_COMPLETION_QUEUE));
    }
    let mut delete = |opcode: u8, id: u32| bench.admin(Order::admin(opcode, id, 0)).status;
    assert_eq!(delete(4, 1), status(Status::INVALID_QUEUE_DELETION), "it is in use");
    for (opcode, id) in [(0, 0), (4, 0), (0, 3), (4, 3)] {
        assert_eq!(delete(opcode, id), status(Status::INVALID_QUEUE));
    }
    assert_eq!((delete(0, 1), delete(4, 1), delete(0, 1)), (0, 0, status(Status::INVALID_QUEUE)));
    bench.ring(2, 1);
    assert_eq!(bench.clock.next(), None, "there is no such queue any more");
}

#[test]
fn commands_of_a_deleted_queue_end_first() {
    let mut bench = Bench::new(false);
    let first = bench.submit(1, read(0));
    let second = bench.submit(1, read(1));
    assert_eq!(bench.admin(Order::admin(0, 1, 0)).status, 0);
    let done = finish(&mut bench, 1);
    let deleted = |id| Done { id, status: status(Status::QUEUE_DELETED), result: 0, head: 0 };
    assert_eq!(done, [deleted(first), deleted(second)]);
    assert_eq!(bench.data()[0], 0);
}

#[test]
fn a_command_under_way_can_be_aborted() {
    let mut bench = Bench::new(false);
    let id = bench.submit(1, Order::blocks(WRITE, 0, 1));
    let abort = |id: u16| Order::admin(8, u32::from(id) << 16 | 1, 0);
    assert_eq!(bench.admin(abort(id)).result, 0);
    assert_eq!(finish(&mut bench, 1)[0].status, status(Status::ABORTED));
    assert_eq!(bench.admin(abort(id)).result, 1, "it has ended");
    let request = bench.submit(0, Order::admin(0x0c, 0, 0));
    bench.pass();
    let abort = bench.submit(0, Order::admin(8, u32::from(request) << 16, 0));
    let done = finish(&mut bench, 0);
    assert_eq!((done[0].id, done[0].status), (request, status(Status::ABORTED)));
    assert_eq!((done[1].id, done[1].status, done[1].result), (abort, 0, 0));
}

#[test]
fn events_come_one_at_a_time_to_who_asked() {
    let mut bench = Bench::new(false);
    let ids: Vec<_> = (0..5).map(|_| bench.submit(0, Order::admin(0x0c, 0, 0))).collect();
    let done = finish(&mut bench, 0);
    assert_eq!(done.len(), 1, "four wait");
    assert_eq!((done[0].id, done[0].status), (ids[4], status(Status::TOO_MANY_EVENT_REQUESTS)));
    bench.ring(2 * 9, 0);
    bench.ring(2, ENTRIES);
    let done = finish(&mut bench, 0);
    assert_eq!((done.len(), done[0].id, done[0].result), (1, ids[0], 0x0001_0000));
    let log = |keep: u32| Order { nsid: u32::MAX, ..Order::admin(2, 15 << 16 | keep | 1, 0) };
    assert_eq!(bench.admin(log(1 << 15)).status, 0);
    assert_eq!(bench.data()[0], 2, "errors");
    bench.submit(0, log(0));
    let done = finish(&mut bench, 0);
    assert_eq!((done.len(), done[1].id, done[1].result), (2, ids[1], 0x0001_0100));
}

#[test]
fn a_reset_voids_what_is_pending_and_the_controller_comes_back() {
    let mut bench = Bench::new(false);
    bench.submit(0, Order::admin(0x0c, 0, 0));
    bench.pass();
    bench.submit(1, Order::blocks(WRITE, 3, 1));
    bench.submit(2, read(3));
    assert_eq!(bench.get(0x1c, 4), 1);
    bench.set(0x14, 4, 0x46_0000);
    assert_eq!((bench.get(0x1c, 4), bench.clock.next(), bench.line()), (0, None, false));
    assert_eq!((bench.get(0x28, 8), bench.get(0x24, 4)), (submission_at(0), 0x0007_0007), "these stay");
    bench.ring(0, 1);
    assert!(!bench.pass());
    assert_eq!(bench.world.disk[3 * 512], 3);
    bench.enable();
    assert_eq!(bench.get(0x1c, 4), 1);
    bench.create(1, 1);
    assert_eq!(bench.io(read(3)), 0);
    assert_eq!(bench.data()[0], 3);
    bench.with(|nvme, cx| nvme.reset(cx));
    assert_eq!((bench.get(0x14, 4), bench.get(0x28, 8)), (0, 0));
}

#[test]
fn what_cannot_be_enabled_says_so() {
    for (sizes, cc) in [(0, 0x46_0001), (0x0007_0007, 0x46_0081), (0x0007_0007, 0x46_0011), (0x0007_0000, 1)]
    {
        let mut bench = Bench::cold(false);
        bench.set(0x24, 4, sizes);
        bench.set(0x14, 4, cc);
        assert_eq!(bench.get(0x1c, 4), 2, "{sizes:#x} {cc:#x}");
        bench.set(0x14, 4, 0);
        assert_eq!(bench.get(0x1c, 4), 0);
    }
    let mut bench = Bench::cold(false);
    assert_eq!((bench.get(0, 8), bench.get(8, 4)), (0x0000_0020_0f01_00ff, 0x0001_0400));
}

#[test]
fn a_shutdown_completes_and_no_more_commands_are_taken() {
    let mut bench = Bench::new(false);
    bench.set(0x14, 4, 0x46_4001);
    assert_eq!(bench.get(0x1c, 4), 9);
    bench.submit(1, read(0));
    assert!(!bench.pass());
    bench.set(0x14, 4, 0);
    assert_eq!(bench.get(0x1c, 4), 0);
}

#[test]
fn nothing_moves_while_the_function_is_no_bus_master() {
    let mut bench = Bench::new(false);
    bench.submit(1, read(7));
    bench.config(4, 2, 2);
    assert_eq!(bench.clock.next(), None);
    bench.submit(1, read(7));
    bench.config(4, 2, 6);
    assert_eq!(finish(&mut bench, 1).len(), 2);
    assert_eq!(bench.data()[0], 7);
}

#[test]
fn a_state_in_mid_write_goes_on_where_it_was_saved() {
    let mut bench = Bench::new(false);
    bench.data_mut()[..512].fill(0x5a);
    let ids = [bench.submit(1, Order::blocks(WRITE, 1, 1)), bench.submit(1, Order::blocks(0, 0, 1))];
    bench.submit(2, Order { prp1: DATA + 0x4000, ..read(2) });
    // The driver may reuse its entries at once.
    let at = submission_at(1) as usize;
    bench.world.ram.0[at..at + 128].fill(0xff);
    let restored = bench.saved_and_loaded();
    assert_eq!(restored, bench.nvme);
    assert_eq!(restored.registers.in_flight.len(), 3);
    bench.nvme = restored;
    let done = finish(&mut bench, 1);
    assert_eq!(
        done.iter().map(|done| (done.id, done.status)).collect::<Vec<_>>(),
        [(ids[0], 0), (ids[1], 0)]
    );
    assert!(bench.world.disk[512..1024].iter().all(|byte| *byte == 0x5a));
}

#[test]
fn states_that_cannot_be_are_refused_by_name() {
    let mut bench = Bench::new(false);
    bench.submit(1, read(0));
    bench.submit(1, Order::blocks(0, 0, 1));
    let fresh = super::super::Nvme::new(super::bench::SLOT, 0, &bench.nvme.config);
    let refused = |change: &dyn Fn(&mut super::super::Registers)| {
        let mut nvme = bench.nvme.clone();
        change(&mut nvme.registers);
        fresh.restored(&nvme.to_section("p/nvme0")).expect_err("it cannot be").to_string()
    };
    assert!(refused(&|r| r.in_flight.reverse()).contains("in_flight"));
    assert!(refused(&|r| r.in_flight[0].queue = 9).contains("in_flight"));
    assert!(refused(&|r| r.submission[1].tail = ENTRIES).contains("submission"));
    assert!(refused(&|r| r.submission[1].completion = 0).contains("submission"));
    assert!(refused(&|r| _ = r.completion.remove(1)).contains("submission"));
    assert!(refused(&|r| r.completion[1].vector = 17).contains("submission"));
    assert!(refused(&|r| _ = r.controller.write(0x14, 0)).contains("submission"));
    assert!(refused(&|r| r.controller.acq = 1).contains("controller"));
    assert!(refused(&|r| r.endpoint.config_mut().set_u16(0, 0x8086)).contains("endpoint"));
}
