use super::*;
use crate::pci::function::Function;
use crate::testing::{Memory, Random};
use crate::virtio::testing::{BUFFERS, Driver, SIZE, operations};

const SLOT: u8 = 23;
const CHANNEL: u8 = 1;
/// Where the test's driver has its answers to control messages.
const ANSWERS: u64 = BUFFERS + 0x4000;

type Guest = Driver<VirtioConsole, Memory>;

fn guest(features: u64) -> Guest {
    Driver::new(VirtioConsole::new(SLOT), Memory(vec![0; 0x2_0000]), QUEUES as u16, features)
}

/// Offers buffers for control messages, each 64 bytes.
fn offer_answers(guest: &mut Guest, count: u16) {
    (0..count).for_each(|n| {
        guest.offer(CONTROL_IN, n, None, Some((ANSWERS + 64 * u64::from(n), 64)));
    });
}

fn tell(guest: &mut Guest, id: u32, event: u16, value: u16) {
    let message = u64::from(id) | u64::from(event) << 32 | u64::from(value) << 48;
    guest.memory.write(BUFFERS, &message.to_le_bytes());
    guest.offer(CONTROL_OUT, 0, Some((BUFFERS, 8)), None);
}

/// The `n`th answer: port, event, value and what follows.
fn answer(guest: &mut Guest, n: u64) -> (u8, u8, u8, Vec<u8>) {
    let bytes = guest.bytes(ANSWERS + 64 * n, 64);
    (bytes[0], bytes[4], bytes[6], bytes[8..].iter().copied().take_while(|byte| *byte != 0).collect())
}

/// The driver has greeted the device, and a program has both ports open.
fn open() -> Guest {
    let mut guest = guest(F_MULTIPORT);
    offer_answers(&mut guest, SIZE);
    tell(&mut guest, 0, 0, 1);
    for (id, event) in [(0, 3), (1, 3), (0, 6), (1, 6)] {
        tell(&mut guest, id, event, 1);
    }
    guest
}

#[test]
fn ports_are_told_of_named_and_opened() {
    let mut guest = open();
    assert_eq!(guest.get(0x2004, 4), u64::from(CONSOLE_PORTS));
    assert_eq!(guest.used(CONTROL_IN), 6);
    let answers: Vec<_> = (0..6).map(|n| answer(&mut guest, n)).collect();
    let plain = |port, event| (port, event, 1, Vec::new());
    assert_eq!(answers[..4], [plain(0, 1), plain(1, 1), plain(0, 4), plain(0, 6)]);
    assert_eq!(answers[4..], [(1, 7, 1, CHANNEL_NAME.as_bytes().to_vec()), plain(1, 6)]);
}

#[test]
fn what_the_guest_writes_leaves_by_its_port_at_its_time() {
    let mut guest = open();
    guest.memory.write(BUFFERS, b"hello");
    guest.offer(1, 0, Some((BUFFERS, 5)), None);
    assert_eq!(guest.clock.next(), Some(CHAIN_NS + 5));
    guest.offer(5, 0, Some((BUFFERS + 1, 3)), None);
    assert!(guest.drain().iter().all(|effect| !matches!(effect, Effect::Console { .. })));
    while guest.pass() {}
    let said: Vec<_> =
        guest.drain().into_iter().filter(|effect| matches!(effect, Effect::Console { .. })).collect();
    let wanted = [(CHANNEL, b"ell".to_vec()), (0, b"hello".to_vec())];
    assert_eq!(said, wanted.map(|(port, bytes)| Effect::Console { port, bytes }));
    assert_eq!((guest.used(1), guest.used(5)), (1, 1));
}

#[test]
fn bytes_land_where_there_is_room_and_somebody_reads() {
    let mut guest = open();
    let room = |guest: &mut Guest, port| guest.with(|console, cx| console.room(cx.dma, port));
    assert_eq!(room(&mut guest, 0), 0);
    guest.offer(0, 0, None, Some((BUFFERS, 4)));
    guest.offer(4, 0, None, Some((BUFFERS + 16, 9)));
    assert_eq!((room(&mut guest, 0), room(&mut guest, CHANNEL), room(&mut guest, 2)), (4, 9, 0));
    assert!(!guest.with(|console, cx| console.receive(cx, 0, b"hello")), "too long");
    assert!(guest.with(|console, cx| console.receive(cx, 0, b"hell")));
    assert_eq!((guest.bytes(BUFFERS, 4), guest.written(0)), (b"hell".to_vec(), 4));
    assert_eq!(room(&mut guest, 0), 0);
    tell(&mut guest, 1, 6, 0);
    assert_eq!(room(&mut guest, CHANNEL), 0, "nobody reads it");
}

#[test]
fn a_driver_of_one_port_has_it_open() {
    let mut guest = guest(0);
    guest.offer(0, 0, None, Some((BUFFERS, 4)));
    guest.offer(4, 0, None, Some((BUFFERS, 4)));
    assert_eq!(guest.with(|console, cx| console.room(cx.dma, 0)), 4);
    assert_eq!(guest.with(|console, cx| console.room(cx.dma, CHANNEL)), 0);
}

#[test]
fn answers_wait_for_buffers_and_so_do_the_messages_behind_them() {
    let mut guest = guest(F_MULTIPORT);
    for _ in 0..SIZE {
        tell(&mut guest, 0, 0, 1);
    }
    assert_eq!(guest.used(CONTROL_OUT), SIZE);
    for _ in 0..SIZE {
        tell(&mut guest, 0, 0, 1);
    }
    assert_eq!(guest.used(CONTROL_OUT), SIZE + 1, "the others wait");
    assert!(guest.function.registers.ports.is_consistent());
    for round in 1..=4 {
        offer_answers(&mut guest, SIZE);
        assert_eq!(guest.used(CONTROL_IN), round * SIZE);
    }
    assert_eq!(guest.used(CONTROL_OUT), 2 * SIZE);
}

#[test]
fn what_no_console_comes_to_is_refused() {
    let guest = open();
    let refused = |change: fn(&mut Registers)| {
        let mut other = guest.function.clone();
        change(&mut other.registers);
        guest.function.restored(&other.to_section("p/virtio-console0")).unwrap_err().to_string()
    };
    assert!(refused(|registers| registers.sending.clear()).contains("sending"));
    assert!(refused(|registers| registers.sending[1].push(SIZE, 0, 0)).contains("sending"));
    assert!(refused(|registers| registers.transport.queues.truncate(2)).contains("queues"));
    assert!(
        refused(|registers| (0..99).for_each(|_| registers.ports.hear(&[0, 0, 0, 0, 0, 0, 1, 0])))
            .contains("ports")
    );
}

#[test]
fn hostile_drivers_are_survived() {
    let (mut random, mut said, mut landed) = (Random(0x4ea), 0, 0);
    for _ in 0..operations().div_ceil(500) {
        let mut guest =
            if random.below(2) == 0 { open() } else { guest(random.next() & F_INDIRECT | F_MULTIPORT) };
        for _ in 0..500 {
            match random.below(8) {
                0 => {
                    let port = random.below(3) as u8;
                    let room = guest.with(|console, cx| console.room(cx.dma, port)).min(100);
                    landed += u64::from(guest.with(|console, cx| console.receive(cx, port, &vec![7; room])));
                }
                1 => {
                    let message = [random.below(3) as u8, 0, 0, 0, random.below(9) as u8, 0, 1, 0];
                    guest.memory.write(BUFFERS + random.below(0x4000), &message);
                }
                _ => guest.do_harm(&mut random, &[1, 8, 64, 5000]),
            }
            for effect in guest.drain() {
                if let Effect::Console { bytes, .. } = effect {
                    assert!(bytes.len() as u64 <= BYTES_MAX);
                    said += bytes.len();
                }
            }
        }
        guest.end();
    }
    assert!(said > 1000 && landed > 10, "only {said} bytes were said, {landed} times any were heard");
}
