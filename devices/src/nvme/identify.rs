//! What IDENTIFY tells (NVM Express 1.4, 5.15).

use super::{ABORTS_MAX, EVENT_REQUESTS_MAX, TRANSFER_SHIFT, VERSION};
use crate::disk::{DiskConfig, SECTOR};

/// Bytes of every structure.
pub(super) const LEN: usize = 4096;

const NAMESPACE_TYPE_EUI64: u8 = 1;
const NAMESPACE_TYPE_NGUID: u8 = 2;
/// Locally administered: nobody else's.
const OUI: [u8; 3] = [0x02, 0x41, 0x4d];

/// A structure that is filled in.
struct Structure(Vec<u8>);

impl Structure {
    fn new() -> Self {
        Self(vec![0; LEN])
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Text is padded with spaces.
    fn text(&mut self, at: usize, len: usize, text: &str) {
        self.0[at..at + len].fill(b' ');
        self.put(at, text.as_bytes());
    }
}

/// The controller (Figure 247).
pub(super) fn controller(disk: u8) -> Vec<u8> {
    let mut to = Structure::new();
    to.put(0, &0x1b36u16.to_le_bytes());
    to.put(2, &0x1af4u16.to_le_bytes());
    to.text(4, 20, &format!("amber-disk{disk}"));
    to.text(24, 40, "Amber NVMe Disk");
    to.text(64, 8, "1");
    // Recommended arbitration burst: 2^6.
    to.put(72, &[6]);
    to.put(73, &[OUI[2], OUI[1], OUI[0]]);
    to.put(77, &[TRANSFER_SHIFT]);
    to.put(80, &VERSION.to_le_bytes());
    // An I/O controller.
    to.put(111, &[1]);
    to.put(258, &[ABORTS_MAX - 1, EVENT_REQUESTS_MAX as u8 - 1]);
    // One firmware slot, which is read-only; log pages can be read in part.
    to.put(260, &[0x03, 0x04]);
    // Warning and critical temperatures, K.
    to.put(266, &343u16.to_le_bytes());
    to.put(268, &373u16.to_le_bytes());
    // Sizes of entries: 2^6 and 2^4, at least and at most.
    to.put(512, &[0x66, 0x44]);
    to.put(516, &1u32.to_le_bytes());
    // COMPARE, DATASET MANAGEMENT, WRITE ZEROES.
    to.put(520, &0x0du16.to_le_bytes());
    // A volatile write cache; FLUSH takes all namespaces at once.
    to.put(525, &[0x07]);
    to.put(768, format!("nqn.2014-08.org.nvmexpress:uuid:{}", uuid(disk)).as_bytes());
    // Power state 0: 25 W, 16 us to enter, 4 us to leave.
    to.put(2048, &2500u16.to_le_bytes());
    to.put(2052, &16u32.to_le_bytes());
    to.put(2056, &4u32.to_le_bytes());
    to.0
}

/// The namespace (Figure 245).
pub(super) fn namespace(disk: u8, config: &DiskConfig) -> Vec<u8> {
    let mut to = Structure::new();
    for at in [0, 8, 16] {
        to.put(at, &config.sectors.to_le_bytes());
    }
    to.put(99, &[u8::from(config.read_only)]);
    to.put(104, &nguid(disk));
    to.put(120, &eui64(disk));
    // LBA format 0: no metadata, 512 bytes.
    to.put(128 + 2, &[SECTOR.trailing_zeros() as u8]);
    to.0
}

/// The formats of namespaces to come, of which there are none but the one.
pub(super) fn common_namespace() -> Vec<u8> {
    let mut to = Structure::new();
    to.put(128 + 2, &[SECTOR.trailing_zeros() as u8]);
    to.0
}

/// Active namespaces above `nsid`.
pub(super) fn active_namespaces(nsid: u32) -> Vec<u8> {
    let mut to = Structure::new();
    if nsid == 0 {
        to.put(0, &1u32.to_le_bytes());
    }
    to.0
}

/// The namespace's names (Figure 246).
pub(super) fn descriptors(disk: u8) -> Vec<u8> {
    let mut to = Structure::new();
    to.put(0, &[NAMESPACE_TYPE_EUI64, 8]);
    to.put(4, &eui64(disk));
    to.put(12, &[NAMESPACE_TYPE_NGUID, 16]);
    to.put(16, &nguid(disk));
    to.0
}

/// The name of a disk's namespace.
pub(crate) fn eui64(disk: u8) -> [u8; 8] {
    [OUI[0], OUI[1], OUI[2], 0, 0, 0, 0, disk]
}

fn nguid(disk: u8) -> [u8; 16] {
    let mut id = [0; 16];
    id[..5].copy_from_slice(b"amber");
    id[7] = disk;
    id[8..11].copy_from_slice(&OUI);
    id[15] = disk;
    id
}

/// Of version 8: one's own.
fn uuid(disk: u8) -> String {
    format!("616d6265-7200-8000-8000-0000000000{disk:02x}")
}
