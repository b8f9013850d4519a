//! What a CD drive can do, and what happened to it: features, events, mode pages (MMC-5, 5, 6.6, 6.7 and 7).

use super::{INVALID_FIELD, Packet};
use crate::ata::drive::{BLOCK, Drive, Sense, Unit};
use crate::ata::media::MediaEvent;

const PROFILE_CD: u16 = 0x08;
const PROFILE_DVD: u16 = 0x10;
/// Feature numbers.
const PROFILES: u16 = 0;
const CORE: u16 = 1;
const REMOVABLE: u16 = 3;
const RANDOM_READ: u16 = 0x10;
const DVD_READ: u16 = 0x1f;
/// Version and the bits Persistent and Current.
const CURRENT: u8 = 3;

/// GET CONFIGURATION: the features from the one asked for on.
pub(crate) fn configuration(loaded: bool, packet: &Packet) -> Vec<u8> {
    let (which, first) = (packet.u8(1) & 3, packet.u16(2));
    let profile = if loaded { PROFILE_CD } else { 0 };
    let block = (BLOCK as u32).to_be_bytes();
    let all: [(u16, Vec<u8>); 5] = [
        (PROFILES, profiles(profile)),
        // ATAPI, and it tells events.
        (CORE, vec![0, 0, 0, 2, 1, 0, 0, 0]),
        // A tray that can be locked and ejected, as one finds it unlocked.
        (REMOVABLE, vec![0x29, 0, 0, 0]),
        (RANDOM_READ, [&block[..], &[0, 1, 1, 0]].concat()),
        (DVD_READ, Vec::new()),
    ];
    let wanted = |number: u16| if which == 2 { number == first } else { number >= first };
    let mut body = vec![0, 0];
    body.extend(profile.to_be_bytes());
    for (number, data) in all.iter().filter(|(number, _)| wanted(*number)) {
        body.extend(number.to_be_bytes());
        body.extend([CURRENT, data.len() as u8]);
        body.extend(data);
    }
    let mut bytes = (body.len() as u32).to_be_bytes().to_vec();
    bytes.extend(body);
    bytes
}

fn profiles(current: u16) -> Vec<u8> {
    let entry = |profile: u16| [profile.to_be_bytes(), [u8::from(profile == current), 0]].concat();
    [entry(PROFILE_DVD), entry(PROFILE_CD)].concat()
}

/// GET EVENT STATUS NOTIFICATION, polled: what happened to the medium last, once.
pub(crate) fn event(drive: &mut Drive, unit: &Unit, packet: &Packet) -> Result<Vec<u8>, Sense> {
    const POLLED: u8 = 1;
    const MEDIA_CLASS: u8 = 4;
    const NO_EVENT: u8 = 0x80;
    if packet.u8(1) & POLLED == 0 {
        return Err(INVALID_FIELD);
    }
    let classes = 1 << MEDIA_CLASS;
    if packet.u8(4) & classes == 0 {
        return Ok(vec![0, 2, NO_EVENT, classes]);
    }
    let event = drive.event.take().map_or(0, MediaEvent::code);
    let state = u8::from(drive.tray_open) | u8::from(drive.has_loaded(unit)) << 1;
    Ok(vec![0, 6, MEDIA_CLASS, classes, event, state, 0, 0])
}

/// MECHANISM STATUS: one slot, and whether its door is open.
pub(crate) fn mechanism(drive: &Drive) -> Vec<u8> {
    vec![0, u8::from(drive.tray_open) << 4, 0, 0, 0, 1, 0, 0]
}

/// MODE SENSE(10).
pub(crate) fn mode_pages(drive: &Drive, packet: &Packet) -> Result<Vec<u8>, Sense> {
    const RECOVERY: u8 = 0x01;
    const AUDIO: u8 = 0x0e;
    const CAPABILITIES: u8 = 0x2a;
    const ALL: u8 = 0x3f;
    // Saved values there are none of.
    if packet.u8(2) >> 6 == 3 {
        return Err(Sense { key: 5, code: 0x39, qualifier: 0 });
    }
    let asked = packet.u8(2) & ALL;
    let changeable = packet.u8(2) >> 6 == 1;
    let pages = [(RECOVERY, vec![0; 6]), (AUDIO, vec![0; 14]), (CAPABILITIES, capabilities(drive))];
    let mut body = vec![0; 6];
    for (page, data) in pages.iter().filter(|(page, _)| asked == ALL || asked == *page) {
        body.extend([*page, data.len() as u8]);
        body.extend(if changeable { vec![0; data.len()] } else { data.clone() });
    }
    if body.len() == 6 {
        return Err(INVALID_FIELD);
    }
    let mut bytes = (body.len() as u16).to_be_bytes().to_vec();
    bytes.extend(body);
    Ok(bytes)
}

/// CD/DVD capabilities and mechanical status.
fn capabilities(drive: &Drive) -> Vec<u8> {
    const SPEED: [u8; 2] = 5632u16.to_be_bytes();
    let mut bytes = vec![0; 18];
    // It reads CD-R, CD-RW and DVD-ROM.
    bytes[0] = 0x0b;
    // Modes 2, form 1 and 2, and many sessions.
    bytes[2] = 0x70;
    // A tray that can be ejected and locked.
    bytes[4] = 0x29 | u8::from(drive.tray_locked) << 1;
    bytes[6..8].copy_from_slice(&SPEED);
    // Kibibytes of buffer.
    bytes[10..12].copy_from_slice(&512u16.to_be_bytes());
    bytes[12..14].copy_from_slice(&SPEED);
    bytes
}
