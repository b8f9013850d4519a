//! What commands do.

use super::super::status::Status;
use super::bench::{Bench, DATA, Order, SECTORS};
use crate::device::Dma;

const FLUSH: u8 = 0;
const WRITE: u8 = 1;
const READ: u8 = 2;
const COMPARE: u8 = 5;
const WRITE_ZEROES: u8 = 8;
const DEALLOCATE: u8 = 9;

fn status(Status(status): Status) -> u16 {
    status
}

#[test]
fn a_command_lands_at_its_time_and_not_before() {
    let mut bench = Bench::new(false);
    let start = bench.clock.now();
    bench.submit(1, Order::blocks(READ, 5, 2));
    assert_eq!(bench.clock.next(), Some(start + 12_000 + 256));
    assert_eq!((bench.data()[0], bench.peek(1)), (0, None));
    bench.pass();
    assert_eq!((bench.data()[0], bench.data()[1023], bench.data()[1024]), (5, 6, 0));
    let done = bench.take(1).unwrap();
    assert_eq!((done.status, done.result, done.head), (0, 0, 1));
}

#[test]
fn what_is_written_is_read_and_compared() {
    let mut bench = Bench::new(false);
    bench.data_mut()[..8192].fill(0xaa);
    let mut fua = Order::blocks(WRITE, 10, 16);
    fua.cdw12 |= 1 << 30;
    assert_eq!(bench.io(fua), 0);
    assert_eq!(bench.io(Order::blocks(FLUSH, 0, 1)), 0);
    let mut all = Order::blocks(FLUSH, 0, 1);
    all.nsid = u32::MAX;
    assert_eq!(bench.io(all), 0);
    assert!(bench.world.disk[10 * 512..26 * 512].iter().all(|byte| *byte == 0xaa));
    assert_eq!((bench.world.disk[10 * 512 - 1], bench.world.disk[26 * 512]), (9, 26));
    assert_eq!(bench.io(Order::blocks(COMPARE, 10, 16)), 0);
    assert_eq!(bench.io(Order::blocks(COMPARE, 11, 16)), status(Status::COMPARE_FAILURE));
    assert_eq!(bench.io(Order::blocks(WRITE_ZEROES, 11, 1)), 0);
    assert_eq!(bench.io(Order::blocks(WRITE_ZEROES, 15, 30)), 0);
    let zero = |at: usize| bench.world.disk[at * 512..][..512].iter().all(|byte| *byte == 0);
    assert!(zero(11) && !zero(12) && !zero(14) && zero(15) && zero(44) && !zero(45));
}

fn forced(opcode: u8) -> Order {
    let mut order = Order::blocks(opcode, 10, 8);
    order.cdw12 |= 1 << 30;
    order
}

#[test]
fn a_flush_reaches_the_medium_and_its_error_the_driver() {
    let mut bench = Bench::new(false);
    let run = |bench: &mut Bench, order| (bench.io(order), std::mem::take(&mut bench.world.flushes));
    let all = Order { nsid: u32::MAX, ..Order::blocks(FLUSH, 0, 1) };
    let durable =
        [Order::blocks(FLUSH, 0, 1), all].into_iter().chain([READ, COMPARE, WRITE, WRITE_ZEROES].map(forced));
    let durable: Vec<_> = durable.collect();
    let others = [READ, COMPARE, WRITE, WRITE_ZEROES].map(|opcode| Order::blocks(opcode, 10, 8));
    // What is compared is what was read.
    for order in &durable {
        assert_eq!(run(&mut bench, *order), (0, 1), "{order:?}");
        assert_eq!(bench.io(Order::blocks(READ, 10, 8)), 0);
    }
    for order in others {
        assert_eq!(run(&mut bench, order), (0, 0), "{order:?}");
        assert_eq!(bench.io(Order::blocks(READ, 10, 8)), 0);
    }
    bench.world.full = true;
    for order in durable {
        assert_eq!(run(&mut bench, order), (status(Status::WRITE_FAULT), 1), "{order:?}");
    }
    assert_eq!(run(&mut bench, Order::blocks(WRITE, 10, 8)), (0, 0), "it is cached");
}

#[test]
fn a_cache_that_is_off_is_emptied_and_writes_are_durable() {
    let mut bench = Bench::new(false);
    let set = |bench: &mut Bench, on| {
        let status = bench.admin(Order::admin(9, 6, on)).status;
        (status, std::mem::take(&mut bench.world.flushes))
    };
    assert_eq!(set(&mut bench, 1), (0, 0));
    bench.world.full = true;
    assert_eq!(set(&mut bench, 0), (status(Status::WRITE_FAULT), 1));
    assert_eq!(bench.io(Order::blocks(WRITE, 10, 8)), status(Status::WRITE_FAULT));
    bench.world.full = false;
    assert_eq!(set(&mut bench, 0), (0, 2));
    assert_eq!((bench.io(Order::blocks(WRITE_ZEROES, 10, 8)), bench.world.flushes), (0, 1));
    assert_eq!((bench.io(Order::blocks(READ, 10, 8)), bench.world.flushes), (0, 1));
}

#[test]
fn a_shutdown_empties_the_cache_once() {
    let mut bench = Bench::new(false);
    bench.set(0x14, 4, 0x46_4001);
    assert_eq!((bench.get(0x1c, 4), bench.world.flushes), (9, 1));
    bench.set(0x14, 4, 0x46_4001);
    bench.set(0x14, 4, 0x46_0001);
    assert_eq!((bench.get(0x1c, 4), bench.world.flushes), (1, 1));
}

#[test]
fn data_goes_where_a_list_across_pages_says() {
    let mut bench = Bench::new(false);
    let (list, next) = (0x1_8fe0u64, 0x1_a000u64);
    let mut pages: Vec<u64> = (0..8).map(|n| 0x4_0000 + 0x3000 * n).collect();
    for (n, page) in pages.iter().enumerate() {
        let at = if n < 3 { list + 8 * n as u64 } else { next + 8 * (n as u64 - 3) };
        bench.world.write(at, &page.to_le_bytes());
    }
    bench.world.write(list + 24, &next.to_le_bytes());
    let mut order = Order::blocks(READ, 100, 60);
    (order.prp1, order.prp2) = (DATA + 0x200, list);
    assert_eq!(bench.io(order), 0);
    pages.insert(0, DATA + 0x200);
    let mut got = Vec::new();
    for (n, page) in pages.iter().enumerate() {
        let len = if n == 0 { 0xe00 } else { 0x1000 };
        got.extend_from_slice(&bench.world.ram.0[*page as usize..][..len]);
    }
    got.truncate(60 * 512);
    assert!(got == bench.world.disk[100 * 512..160 * 512]);
    bench.world.ram.0[0x4_0000] = 0x77;
    (order.opcode, order.cdw10) = (WRITE, 200);
    assert_eq!(bench.io(order), 0);
    assert_eq!(bench.world.disk[200 * 512 + 0xe00], 0x77);
    assert!(bench.world.disk[200 * 512..][..0xe00] == got[..0xe00]);
}

#[test]
fn what_cannot_be_done_is_an_error_of_the_command() {
    let mut bench = Bench::new(false);
    let out = status(Status::OUT_OF_RANGE);
    for (opcode, first, blocks) in
        [(READ, SECTORS, 1), (READ, SECTORS - 1, 2), (WRITE, u64::MAX, 1), (WRITE_ZEROES, SECTORS - 1, 65536)]
    {
        assert_eq!(bench.io(Order::blocks(opcode, first, blocks)), out, "{opcode} {first} {blocks}");
    }
    let field = status(Status::INVALID_FIELD);
    assert_eq!(bench.io(Order::blocks(READ, 0, 1025)), field, "too long");
    assert_eq!(bench.io(Order { flags: 0x40, ..Order::blocks(READ, 0, 1) }), field, "an SGL");
    assert_eq!(bench.io(Order { flags: 1, ..Order::blocks(READ, 0, 1) }), field, "fused");
    for nsid in [0, 2, u32::MAX] {
        let order = Order { nsid, ..Order::blocks(READ, 0, 1) };
        assert_eq!(bench.io(order), status(Status::INVALID_NAMESPACE));
    }
    assert_eq!(bench.io(Order { prp1: DATA + 1, ..Order::blocks(READ, 0, 1) }), status(Status::PRP_OFFSET));
    assert_eq!(bench.io(Order { prp2: DATA + 8, ..Order::blocks(READ, 0, 16) }), status(Status::PRP_OFFSET));
    assert_eq!(bench.io(Order::blocks(0x7f, 0, 1)), status(Status::INVALID_OPCODE));
    bench.world.broken = true;
    assert_eq!(bench.io(Order::blocks(READ, 0, 1)), status(Status::READ_ERROR));
    assert_eq!(bench.io(Order::blocks(COMPARE, 0, 1)), status(Status::READ_ERROR));
    assert_eq!(bench.io(Order::blocks(WRITE, 0, 1)), status(Status::WRITE_FAULT));
    assert_eq!(bench.io(Order::blocks(WRITE_ZEROES, 0, 1)), status(Status::WRITE_FAULT));
}

#[test]
fn a_read_only_disk_says_so_and_is_not_written() {
    let mut bench = Bench::new(true);
    for opcode in [WRITE, WRITE_ZEROES, DEALLOCATE] {
        assert_eq!(bench.io(Order::blocks(opcode, 0, 1)), status(Status::WRITE_PROTECTED));
    }
    assert_eq!(bench.io(Order::blocks(READ, 3, 1)), 0);
    assert_eq!(bench.admin(Order { nsid: 1, ..Order::admin(6, 0, 0) }).status, 0);
    assert_eq!(bench.data()[99], 1);
}

#[test]
fn ranges_to_deallocate_are_checked() {
    let mut bench = Bench::new(false);
    let before = bench.world.disk.clone();
    let mut order = Order { cdw10: 1, cdw11: 4, ..Order::blocks(DEALLOCATE, 0, 1) };
    bench.data_mut()[4..16].copy_from_slice(&[8, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0]);
    bench.data_mut()[20..32].copy_from_slice(&[8, 0, 0, 0, 248, 15, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bench.io(order), 0);
    bench.data_mut()[24] = 249;
    assert_eq!(bench.io(order), status(Status::OUT_OF_RANGE));
    order.cdw10 = 0;
    assert_eq!(bench.io(order), 0);
    assert!(before == bench.world.disk);
}

#[test]
fn identify_tells_what_there_is() {
    let mut bench = Bench::enabled(false);
    let mut identify = |cns: u32, nsid: u32| {
        let done = bench.admin(Order { nsid, ..Order::admin(6, cns, 0) });
        (done.status, bench.data()[..4096].to_vec())
    };
    let (code, controller) = identify(1, 0);
    assert_eq!(
        (code, &controller[..4], &controller[4..16]),
        (0, &[0x36, 0x1b, 0xf4, 0x1a][..], &b"amber-disk0 "[..])
    );
    assert_eq!((controller[77], controller[512], controller[513], controller[516]), (7, 0x66, 0x44, 1));
    let (code, namespace) = identify(0, 1);
    assert_eq!((code, &namespace[..8], namespace[130]), (0, &SECTORS.to_le_bytes()[..], 9));
    assert_eq!(identify(2, 0).1[..8], [1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(identify(2, 1).1[..4], [0; 4]);
    let (code, names) = identify(3, 1);
    assert_eq!((code, &names[..2], &names[12..14], names[32]), (0, &[1, 8][..], &[2, 16][..], 0));
    assert_eq!(identify(0, u32::MAX).0, 0);
    for (cns, nsid) in [(0, 0), (0, 2), (2, u32::MAX), (3, 0)] {
        assert_eq!(identify(cns, nsid).0, status(Status::INVALID_NAMESPACE));
    }
    assert_eq!(identify(0x13, 1).0, status(Status::INVALID_FIELD));
}

#[test]
fn features_are_set_and_got() {
    let mut bench = Bench::enabled(false);
    let field = status(Status::INVALID_FIELD);
    let mut set = |id: u32, value: u32| bench.admin(Order::admin(9, id, value));
    assert_eq!(set(7, 0x0003_0003).result, 0x000f_000f, "as many as there are");
    assert_eq!(set(7, 0x0003_ffff).status, field);
    assert_eq!((set(6, 0).status, set(8, 0x1_0a05).status, set(11, 0x1ff).status), (0, 0, 0));
    assert_eq!((set(9, 0x1_0010).status, set(9, 0x11).status), (0, field));
    assert_eq!((set(4, 350).status, set(2, 1).status, set(0x0d, 0).status), (0, field, field));
    assert_eq!(set(1 << 31 | 6, 1).status, status(Status::NOT_SAVEABLE));
    let mut get = |id: u32, part: u32| bench.admin(Order::admin(10, id, part)).result;
    assert_eq!((get(6, 0), get(7, 0), get(8, 0), get(11, 0)), (0, 0x000f_000f, 0x0a05, 0xff));
    assert_eq!((get(9, 0x10), get(9, 3), get(4, 0), get(4, 1 << 20)), (0x1_0010, 3, 350, 0));
    assert_eq!(bench.admin(Order::admin(10, 0x106, 0)).status, field);
    assert_eq!(bench.admin(Order::admin(10, 0xff, 0)).status, field);
}

#[test]
fn log_pages_are_read_in_whole_and_in_part() {
    let mut bench = Bench::new(false);
    for opcode in [READ, WRITE] {
        assert_eq!(bench.io(Order::blocks(opcode, 0, 8)), 0);
    }
    let mut log = |id: u32, dwords: u32, offset: u32| {
        bench.data_mut()[..4096].fill(0xee);
        let order = Order { nsid: u32::MAX, cdw12: offset, ..Order::admin(2, (dwords - 1) << 16 | id, 0) };
        (bench.admin(order).status, bench.data()[..4096].to_vec())
    };
    let (code, health) = log(2, 128, 0);
    assert_eq!((code, health[0], health[3], health[32], health[48]), (0, 0, 100, 1, 1));
    assert_eq!((health[64], health[80], health[511], health[512]), (1, 1, 0, 0xee));
    assert_eq!(log(2, 1, 64).1[..5], [1, 0, 0, 0, 0xee]);
    assert_eq!((log(1, 16, 0).0, log(3, 128, 0).1[8], log(4, 1024, 0).1[0]), (0, b'1', 0));
    assert_eq!(log(0x7f, 1, 0).0, status(Status::INVALID_LOG_PAGE));
    for (dwords, offset) in [(1, 516), (1, 2)] {
        assert_eq!(log(2, dwords, offset).0, status(Status::INVALID_FIELD));
    }
    let long = Order { nsid: u32::MAX, ..Order::admin(2, 0xffff_0002, 0xffff) };
    assert_eq!(bench.admin(long).status, status(Status::INVALID_FIELD));
}

#[test]
fn admin_commands_there_are_not_are_refused() {
    let mut bench = Bench::enabled(false);
    for opcode in [0x0d, 0x10, 0x80, 0x84, 0xff] {
        assert_eq!(bench.admin(Order::admin(opcode, 0, 0)).status, status(Status::INVALID_OPCODE));
    }
}
