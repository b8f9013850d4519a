use super::*;
use crate::pci::function::Function;

/// Kinds of messages, and a few that are none.
const KINDS: [u8; 27] = [
    8, 12, 14, 16, 18, 20, 22, 24, 26, 30, 32, 40, 50, 52, 54, 70, 72, 74, 76, 102, 104, 108, 110, 116, 118,
    120, 122,
];
const LIFE: u64 = 2000;

fn name(random: &mut Random) -> Vec<u8> {
    match random.below(20) {
        0 => b"..".to_vec(),
        1 => vec![b'x'; random.below(400) as usize],
        2 => b"a/b".to_vec(),
        _ => vec![b'a' + random.below(10) as u8],
    }
}

/// Parts of a message that mean something, most of the time.
fn parts(random: &mut Random, kind: u8) -> Vec<Vec<u8>> {
    let fid = |random: &mut Random| word(random.below(12) as u32).to_vec();
    let size = |random: &mut Random| match random.below(8) {
        0 => random.next(),
        _ => random.below(200_000),
    };
    let some = |random: &mut Random| word(random.below(600) as u32).to_vec();
    let own = name(random);
    match kind {
        110 => {
            let count = random.below(4) as u16;
            let names = (0..count).flat_map(|_| text(&name(random))).collect();
            vec![fid(random), fid(random), count.to_le_bytes().to_vec(), names]
        }
        12 => vec![fid(random), word([0, 1, 2, 0x200, 0o200_000][random.below(5) as usize]).to_vec()],
        14 => vec![fid(random), text(&own), some(random), some(random), some(random)],
        16 => vec![fid(random), text(&own), text(&name(random)), some(random)],
        20 | 70 => vec![fid(random), fid(random), text(&own)],
        26 => {
            let times = (0..4).flat_map(|_| long(random.next())).collect();
            let first = [fid(random), some(random), some(random), some(random), some(random)].concat();
            vec![first, long(size(random)).to_vec(), times]
        }
        40 | 116 => vec![fid(random), long(size(random)).to_vec(), word(size(random) as u32).to_vec()],
        74 => vec![fid(random), text(&own), fid(random), text(&name(random))],
        76 => vec![fid(random), text(&own), word(0x200 * random.below(2) as u32).to_vec()],
        104 => vec![fid(random), word(!0).to_vec(), text(b""), text(b""), some(random)],
        118 => {
            let len = random.below(0x2000) as u32;
            vec![fid(random), long(size(random)).to_vec(), word(len).to_vec(), vec![7; len as usize]]
        }
        _ => vec![fid(random), text(&own), some(random), some(random), some(random)],
    }
}

/// A message, sometimes with a byte of it changed or its end missing.
fn any_message(random: &mut Random) -> Vec<u8> {
    let kind = if random.below(50) == 0 { random.next() as u8 } else { random.of(&KINDS) };
    let parts = parts(random, kind);
    let mut message = message(kind, &parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
    match random.below(30) {
        0 => {
            let at = random.below(message.len() as u64) as usize;
            message[at] = random.next() as u8;
        }
        1 => message.truncate(random.below(message.len() as u64) as usize),
        _ => {}
    }
    message
}

#[test]
fn hostile_drivers_are_survived() {
    let (mut random, mut full, mut answers) = (Random(0x9f), 0, 0u64);
    for _ in 0..operations().div_ceil(LIFE) {
        let mut guest = attached(false);
        for _ in 0..LIFE {
            if random.below(40) == 0 {
                guest.do_harm(&mut random, &[7, 30, 200, 0x2000]);
            } else {
                let message = any_message(&mut random);
                guest.memory.write(BUFFERS, &message);
                let room = [11, 100, 0x1000][random.below(3) as usize];
                guest.offer(QUEUE, 0, Some((BUFFERS, message.len().max(1) as u32)), Some((ANSWER, room)));
                guest.pass();
            }
            if guest.get(0x14, 1) & 0x40 != 0 {
                guest.config(4, 2, 6);
                guest.start(0);
                let _ = ask(&mut guest, 104, &[&word(0), &word(!0), &text(b""), &text(b""), &word(5)]);
            }
            guest.drain();
        }
        // The pages hold what the device knows, whatever was asked of it.
        let held = tree(&mut guest);
        full += u32::from(held.blocks().1 == 0);
        answers += u64::from(guest.used(QUEUE));
        let path = guest.function.to_section("p/virtio-9p0");
        assert!(guest.function.restored(&path).is_ok());
        assert!(guest.memory.damage.is_none());
    }
    assert!(answers > 100, "{answers} answers, {full} shares were full");
}
