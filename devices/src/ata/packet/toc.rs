//! What is on a CD: one session with one track of data (MMC-5, 6.25 to 6.27).

use super::{INVALID_FIELD, Packet};
use crate::ata::drive::{Sense, Unit};

/// Data track, digital copy prohibited, Q channel with the position.
const DATA_TRACK: u8 = 0x14;
const LEAD_OUT: u8 = 0xaa;
const TIME: u8 = 2;
/// Frames before block 0.
const PREGAP: u64 = 150;
const FRAMES: u64 = 75;

/// READ TOC/PMA/ATIP: the table of contents, or the first track of the last session.
pub(crate) fn toc(unit: &Unit, packet: &Packet) -> Result<Vec<u8>, Sense> {
    // Old drivers ask for the format in the control byte.
    let format = match packet.u8(2) & 0xf {
        0 => packet.u8(9) >> 6,
        format => format,
    };
    let time = packet.u8(1) & TIME != 0;
    let first = packet.u8(6);
    let mut body = vec![1, 1];
    match format {
        0 => {
            if first > 1 && first != LEAD_OUT {
                return Err(INVALID_FIELD);
            }
            if first <= 1 {
                body.extend(track(1, 0, time));
            }
            body.extend(track(LEAD_OUT, unit.blocks(), time));
        }
        1 => body.extend(track(1, 0, time)),
        _ => return Err(INVALID_FIELD),
    }
    let mut bytes = (body.len() as u16).to_be_bytes().to_vec();
    bytes.extend(body);
    Ok(bytes)
}

fn track(number: u8, block: u64, time: bool) -> Vec<u8> {
    let mut bytes = vec![0, DATA_TRACK, number, 0];
    bytes.extend(if time { minutes(block) } else { (block as u32).to_be_bytes() });
    bytes
}

/// A block as minute, second and frame.
fn minutes(block: u64) -> [u8; 4] {
    let frames = block + PREGAP;
    [0, (frames / (60 * FRAMES)) as u8, (frames / FRAMES % 60) as u8, (frames % FRAMES) as u8]
}

/// READ DISC INFORMATION: a complete disc.
pub(crate) fn disc_information() -> Vec<u8> {
    let mut bytes = vec![0; 34];
    // Complete, last session complete; one track in one session; not restricted in use.
    (bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6]) = (32, 0x0e, 1, 1, 1, 1);
    bytes[7] = 0x20;
    bytes
}

/// READ TRACK INFORMATION: the one track, whichever is asked for.
pub(crate) fn track_information(unit: &Unit) -> Vec<u8> {
    let mut bytes = vec![0; 36];
    (bytes[1], bytes[2], bytes[3], bytes[5], bytes[6]) = (34, 1, 1, 4, 1);
    bytes[24..28].copy_from_slice(&(unit.blocks() as u32).to_be_bytes());
    bytes
}
