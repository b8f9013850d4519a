//! Segmentation of long packets (TSO): what adapters do for their drivers.

/// Most frames of a packet.
const SEGMENTS_MAX: usize = 4096;
const FIN_AND_PSH: u8 = 0x09;
/// Header of IPv6, behind which its payload begins.
const IPV6_HEADER: usize = 40;

/// Where the headers of a packet are, and how much of it goes into a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segmentation {
    pub ip: usize,
    pub is_v4: bool,
    /// TCP's header, or UDP's.
    pub transport: usize,
    pub is_tcp: bool,
    /// Bytes of all headers.
    pub header: usize,
    /// Bytes of payload of a frame.
    pub size: usize,
}

impl Segmentation {
    /// Cuts a packet into frames with a header each; `finish` puts their checksums in.
    pub fn cut(&self, packet: &[u8], finish: impl Fn(&mut [u8])) -> Vec<Vec<u8>> {
        let (header, payload) = packet.split_at(packet.len().min(self.header));
        if self.size == 0 || header.is_empty() || payload.is_empty() {
            return Vec::new();
        }
        let count = payload.len().div_ceil(self.size).min(SEGMENTS_MAX);
        let frame = |(n, part): (usize, &[u8])| {
            let mut frame = [header, part].concat();
            self.renumber(&mut frame, n, n + 1 == count);
            finish(&mut frame);
            frame
        };
        payload.chunks(self.size).take(count).enumerate().map(frame).collect()
    }

    /// Makes the header that of frame `n`.
    fn renumber(&self, frame: &mut [u8], n: usize, last: bool) {
        let len = frame.len();
        if self.is_v4 {
            put(frame, self.ip + 2, |_| len.saturating_sub(self.ip) as u16);
            put(frame, self.ip + 4, |id| id.wrapping_add(n as u16));
        } else {
            put(frame, self.ip + 4, |_| len.saturating_sub(self.ip + IPV6_HEADER) as u16);
        }
        if !self.is_tcp {
            return put(frame, self.transport + 4, |_| len.saturating_sub(self.transport) as u16);
        }
        if let Some(sequence) = frame.get_mut(self.transport + 4..self.transport + 8) {
            let next = u32::from_be_bytes([sequence[0], sequence[1], sequence[2], sequence[3]]);
            sequence.copy_from_slice(&next.wrapping_add((n * self.size) as u32).to_be_bytes());
        }
        if let Some(flags) = frame.get_mut(self.transport + 13).filter(|_| !last) {
            *flags &= !FIN_AND_PSH;
        }
    }
}

/// Changes a word of a frame, if it has it.
pub(crate) fn put(frame: &mut [u8], at: usize, change: impl FnOnce(u16) -> u16) {
    if let Some(place) = frame.get_mut(at..at + 2) {
        let value = change(u16::from_be_bytes([place[0], place[1]]));
        place.copy_from_slice(&value.to_be_bytes());
    }
}
