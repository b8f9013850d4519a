use super::*;
use crate::testing::Memory;
use proptest::prelude::*;

const TABLE: u64 = 0x1000;
const DRIVER: u64 = 0x2000;
const DEVICE: u64 = 0x3000;
const INDIRECT_TABLE: u64 = 0x4000;
const ALL: RingFeatures = RingFeatures { indirect: true, event_index: true };
const NONE: RingFeatures = RingFeatures { indirect: false, event_index: false };

fn queue(size: u16) -> (Queue, Memory) {
    let queue =
        Queue { size, enabled: true, descriptors: TABLE, driver: DRIVER, device: DEVICE, ..Queue::new() };
    (queue, Memory(vec![0; 0x1_0000]))
}

fn describe(memory: &mut Memory, table: u64, index: u16, address: u64, len: u32, flags: u16, next: u16) {
    let word =
        u128::from(address) | u128::from(len) << 64 | u128::from(flags) << 96 | u128::from(next) << 112;
    memory.write(table + u64::from(index) * 16, &word.to_le_bytes());
}

fn offer(memory: &mut Memory, queue: &Queue, heads: &[u16]) {
    let mut index = read_u16(memory, DRIVER + 2);
    for head in heads {
        memory.write(DRIVER + 4 + 2 * u64::from(index % queue.size), &head.to_le_bytes());
        index = index.wrapping_add(1);
    }
    memory.write(DRIVER + 2, &index.to_le_bytes());
}

#[test]
fn chains_are_taken_in_order_and_given_back() {
    let (mut queue, mut memory) = queue(4);
    describe(&mut memory, TABLE, 2, 0x8000, 16, NEXT, 0);
    describe(&mut memory, TABLE, 0, 0x9000, 512, NEXT | WRITE, 3);
    describe(&mut memory, TABLE, 3, 0xa000, 1, WRITE, 0);
    for round in 0..9u16 {
        offer(&mut memory, &queue, &[2]);
        assert_eq!(queue.pop(&mut memory), Ok(Some(2)));
        assert_eq!(queue.pop(&mut memory), Ok(None));
        let chain = queue.chain(&mut memory, 2, NONE).unwrap();
        assert_eq!(chain.readable, [Segment { address: 0x8000, len: 16 }]);
        assert_eq!((chain.writable.len(), total(&chain.writable)), (2, 513));
        queue.push(&mut memory, 2, 513);
        assert_eq!(read_u16(&mut memory, DEVICE + 2), round + 1);
        let mut entry = [0; 8];
        memory.read(DEVICE + 4 + 8 * u64::from(round % 4), &mut entry);
        assert_eq!(entry, [2, 0, 0, 0, 1, 2, 0, 0]);
    }
}

#[test]
fn an_indirect_table_continues_a_chain() {
    let (queue, mut memory) = queue(4);
    describe(&mut memory, TABLE, 0, 0x8000, 16, NEXT, 1);
    describe(&mut memory, TABLE, 1, INDIRECT_TABLE, 32, INDIRECT, 0);
    describe(&mut memory, INDIRECT_TABLE, 0, 0x9000, 64, NEXT | WRITE, 1);
    describe(&mut memory, INDIRECT_TABLE, 1, 0xa000, 1, WRITE, 0);
    let chain = queue.chain(&mut memory, 0, ALL).unwrap();
    assert_eq!((total(&chain.readable), total(&chain.writable)), (16, 65));
    assert!(queue.chain(&mut memory, 0, NONE).is_err(), "not agreed on");
    for (len, flags) in [(0, INDIRECT), (31, INDIRECT), (32, INDIRECT | NEXT)] {
        describe(&mut memory, TABLE, 1, INDIRECT_TABLE, len, flags, 0);
        assert!(queue.chain(&mut memory, 0, ALL).is_err(), "{len} {flags}");
    }
    describe(&mut memory, TABLE, 1, INDIRECT_TABLE, 32, INDIRECT, 0);
    describe(&mut memory, INDIRECT_TABLE, 1, INDIRECT_TABLE, 32, INDIRECT, 0);
    assert!(queue.chain(&mut memory, 0, ALL).is_err(), "a table within a table");
}

#[test]
fn nonsense_breaks_the_queue() {
    let (mut queue, mut memory) = queue(4);
    describe(&mut memory, TABLE, 0, 0x8000, 16, NEXT, 0);
    assert_eq!(queue.chain(&mut memory, 0, ALL), Err(Broken("a chain does not end")));
    describe(&mut memory, TABLE, 0, 0x8000, 16, NEXT, 4);
    assert!(queue.chain(&mut memory, 0, ALL).is_err(), "beyond the table");
    describe(&mut memory, TABLE, 0, 0x8000, 0, 0, 0);
    assert!(queue.chain(&mut memory, 0, ALL).is_err(), "no bytes");
    describe(&mut memory, TABLE, 0, 0x8000, 1, NEXT | WRITE, 1);
    describe(&mut memory, TABLE, 1, 0x8000, 1, 0, 0);
    assert!(queue.chain(&mut memory, 0, ALL).is_err(), "readable behind writable");
    offer(&mut memory, &queue, &[4]);
    assert!(queue.pop(&mut memory).is_err(), "no such head");
    offer(&mut memory, &queue, &[0, 0, 0, 0]);
    assert!(queue.pop(&mut memory).is_err(), "five of four");
}

#[test]
fn interrupts_come_when_the_driver_wants_them() {
    let (mut queue, mut memory) = queue(4);
    assert!(!queue.wants_interrupt(&mut memory, 0, NONE), "nothing was used");
    queue.push(&mut memory, 0, 0);
    assert!(queue.wants_interrupt(&mut memory, 0, NONE));
    memory.write(DRIVER, &1u16.to_le_bytes());
    assert!(!queue.wants_interrupt(&mut memory, 0, NONE));
    // used_event is behind the available ring.
    memory.write(DRIVER + 4 + 8, &1u16.to_le_bytes());
    assert!(!queue.wants_interrupt(&mut memory, 0, ALL), "after the second");
    queue.push(&mut memory, 1, 0);
    assert!(queue.wants_interrupt(&mut memory, 1, ALL));
    assert!(queue.wants_interrupt(&mut memory, 0, ALL));
    queue.push(&mut memory, 1, 0);
    assert!(!queue.wants_interrupt(&mut memory, 2, ALL));
}

#[test]
fn parts_of_buffers_cross_their_ends() {
    let segments = [Segment { address: 10, len: 4 }, Segment { address: 100, len: 8 }];
    assert_eq!(part(&segments, 0, 2), [Segment { address: 10, len: 2 }]);
    assert_eq!(part(&segments, 3, 5), [Segment { address: 13, len: 1 }, Segment { address: 100, len: 4 }]);
    assert_eq!(part(&segments, 11, 9), [Segment { address: 107, len: 1 }]);
    assert_eq!(part(&segments, 12, 1), []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever lies in the rings: no panic, and never more buffers than a chain may have.
    #[test]
    fn hostile_rings_are_survived(
        bytes in proptest::collection::vec(any::<u8>(), 0x400),
        shift in 0u32..9,
        places in any::<[u16; 3]>(),
        far in any::<[bool; 3]>(),
        features in any::<(bool, bool)>(),
    ) {
        let mut memory = Memory(bytes.repeat(4));
        let place = |n: usize| u64::from(places[n] % 0x1000) | if far[n] { u64::MAX << 12 } else { 0 };
        let mut queue = Queue {
            size: 1 << shift, enabled: true, descriptors: place(0), driver: place(1), device: place(2), ..Queue::new()
        };
        let features = RingFeatures { indirect: features.0, event_index: features.1 };
        for head in 0..queue.size {
            if let Ok(chain) = queue.chain(&mut memory, head, features) {
                prop_assert!(chain.readable.len() + chain.writable.len() <= CHAIN_MAX);
            }
        }
        for _ in 0..600 {
            match queue.pop(&mut memory) {
                Ok(Some(head)) => {
                    prop_assert!(head < queue.size);
                    let before = queue.used();
                    queue.push(&mut memory, head, 7);
                    queue.wants_interrupt(&mut memory, before, features);
                    queue.ask_for_notification(&mut memory, features);
                }
                Ok(None) | Err(_) => break,
            }
        }
    }

    #[test]
    fn parts_add_up(lens in proptest::collection::vec(1u32..5000, 1..10), skip in 0u64..30_000, len in 0u64..30_000) {
        let segments: Vec<_> = lens.iter().map(|len| Segment { address: u64::MAX - 100, len: *len }).collect();
        let wanted = total(&segments).saturating_sub(skip).min(len);
        prop_assert_eq!(total(&part(&segments, skip, len)), wanted);
    }
}
