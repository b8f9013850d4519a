//! What devices say they are (USB 2.0, 9.6; USB 3.2, 9.6; HID 1.11, 6.2).

use super::{Model, Speed};

/// Descriptors of an interface of the HID class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Hid,
    Report,
}

/// QEMU's vendor id and its devices'.
const VENDOR: u16 = 0x0627;
const STORAGE_VENDOR: u16 = 0x46f4;

/// Eight bits of modifiers, a byte that is nothing, lights (out), six keys: the boot keyboard (HID 1.11, appendix B.1).
const KEYBOARD_REPORT: &[u8] = &[
    0x05, 0x01, 0x09, 0x06, 0xa1, 0x01, // usage page, usage, collection
    0x05, 0x07, 0x19, 0xe0, 0x29, 0xe7, 0x15, 0x00, 0x25, 0x01, 0x75, 0x01, 0x95, 0x08, 0x81,
    0x02, // modifiers
    0x95, 0x01, 0x75, 0x08, 0x81, 0x01, // nothing
    0x95, 0x05, 0x75, 0x01, 0x05, 0x08, 0x19, 0x01, 0x29, 0x05, 0x91, 0x02, // lights
    0x95, 0x01, 0x75, 0x03, 0x91, 0x01, // nothing
    0x95, 0x06, 0x75, 0x08, 0x15, 0x00, 0x25, 0xff, 0x05, 0x07, 0x19, 0x00, 0x29, 0xff, 0x81,
    0x00, // keys
    0xc0,
];
/// Three buttons; X and Y from 0 to 32767; a wheel.
const TABLET_REPORT: &[u8] = &[
    0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x09, 0x01, 0xa1, 0x00, // usage page, mouse, pointer
    0x05, 0x09, 0x19, 0x01, 0x29, 0x03, 0x15, 0x00, 0x25, 0x01, 0x95, 0x03, 0x75, 0x01, 0x81,
    0x02, // buttons
    0x95, 0x01, 0x75, 0x05, 0x81, 0x01, // nothing
    0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x15, 0x00, 0x26, 0xff, 0x7f, 0x35, 0x00, 0x46, 0xff,
    0x7f, // X, Y
    0x75, 0x10, 0x95, 0x02, 0x81, 0x02, //
    0x05, 0x01, 0x09, 0x38, 0x15, 0x81, 0x25, 0x7f, 0x35, 0x00, 0x45, 0x00, 0x75, 0x08, 0x95,
    0x01, // wheel
    0x81, 0x06, 0xc0, 0xc0,
];

fn report(model: Model) -> Option<Vec<u8>> {
    match model {
        Model::Keyboard => Some(KEYBOARD_REPORT.to_vec()),
        Model::Tablet => Some(TABLET_REPORT.to_vec()),
        Model::Storage { .. } => None,
    }
}

/// The HID descriptor, or the report's.
pub(super) fn hid(model: Model, kind: Kind) -> Option<Vec<u8>> {
    let report = report(model)?;
    Some(match kind {
        Kind::Report => report,
        Kind::Hid => {
            let len = (report.len() as u16).to_le_bytes();
            vec![9, 0x21, 0x11, 0x01, 0, 1, 0x22, len[0], len[1]]
        }
    })
}

pub(super) fn device(model: Model) -> Vec<u8> {
    let (version, packet): (u16, u8) = match model.speed() {
        Speed::High => (0x0200, 64),
        // A power of two.
        Speed::Super => (0x0300, 9),
    };
    let (vendor, product) = match model {
        Model::Keyboard | Model::Tablet => (VENDOR, 0x0001u16),
        Model::Storage { .. } => (STORAGE_VENDOR, 0x0001),
    };
    let mut bytes = vec![18, 1];
    bytes.extend(version.to_le_bytes());
    bytes.extend([0, 0, 0, packet]);
    bytes.extend(vendor.to_le_bytes());
    bytes.extend(product.to_le_bytes());
    // Release, strings, one configuration.
    bytes.extend([0, 0, 1, 2, 3, 1]);
    bytes
}

/// What it would be at the other speed: the same.
pub(super) fn qualifier(model: Model) -> Option<Vec<u8>> {
    (model.speed() == Speed::High).then(|| vec![10, 6, 0x00, 0x02, 0, 0, 0, 64, 1, 0])
}

pub(super) fn configuration(model: Model) -> Vec<u8> {
    let (class, endpoints): ([u8; 3], u8) = match model {
        Model::Keyboard => ([3, 1, 1], 1),
        // Absolute pointers are none of the boot protocol's.
        Model::Tablet => ([3, 0, 0], 1),
        // SCSI, bulk only.
        Model::Storage { .. } => ([8, 6, 0x50], 2),
    };
    let mut bytes = vec![9, 2, 0, 0, 1, 1, 0, 0xe0, 50];
    bytes.extend([9, 4, 0, 0, endpoints]);
    bytes.extend(class);
    bytes.push(0);
    bytes.extend(hid(model, Kind::Hid).unwrap_or_default());
    match model {
        // Interrupt endpoints, looked at every 8 microframes of 125 us.
        Model::Keyboard | Model::Tablet => bytes.extend([7, 5, 0x81, 3, 8, 0, 4]),
        Model::Storage { .. } => {
            for address in [0x81, 0x02] {
                bytes.extend([7, 5, address, 2, 0x00, 0x04, 0]);
                // The companion of an endpoint at SuperSpeed: bursts of 16 packets.
                bytes.extend([6, 48, 15, 0, 0, 0]);
            }
        }
    }
    let len = (bytes.len() as u16).to_le_bytes();
    bytes[2..4].copy_from_slice(&len);
    bytes
}

/// What a device can beyond USB 2.0: link power management, and speeds.
pub(super) fn bos(model: Model) -> Option<Vec<u8>> {
    (model.speed() == Speed::Super).then(|| {
        let mut bytes = vec![5, 15, 22, 0, 2];
        bytes.extend([7, 16, 2, 2, 0, 0, 0]);
        // SuperSpeed alone, exit latencies in us.
        bytes.extend([10, 16, 3, 0, 8, 0, 3, 10, 32, 0]);
        bytes
    })
}

pub(super) fn string(model: Model, index: u8) -> Option<Vec<u8>> {
    let text = match (index, model) {
        // US English.
        (0, _) => return Some(vec![4, 3, 0x09, 0x04]),
        (1, _) => "Amber".to_owned(),
        (2, Model::Keyboard) => "USB Keyboard".to_owned(),
        (2, Model::Tablet) => "USB Tablet".to_owned(),
        (2, Model::Storage { .. }) => "USB Disk".to_owned(),
        // Twelve digits at least, each of them hexadecimal (Bulk-Only Transport 1.0, 4.1.1).
        (3, Model::Storage { disk, .. }) => format!("{disk:012X}"),
        (3, _) => "1".to_owned(),
        _ => return None,
    };
    let mut bytes = vec![0, 3];
    text.encode_utf16().for_each(|unit| bytes.extend(unit.to_le_bytes()));
    bytes[0] = bytes.len() as u8;
    Some(bytes)
}
