//! The Internet checksum (RFC 1071), and where packets have it: what adapters do for their drivers.

const ETHERTYPE: usize = 12;
const IPV4: u16 = 0x0800;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// One's complement sum of 16-bit words, most significant byte first; a last odd byte is the upper half of one.
pub(crate) fn sum(bytes: &[u8]) -> u16 {
    let (words, rest) = bytes.as_chunks::<8>();
    let add = |sum: u64, word: u64| {
        let (sum, carry) = sum.overflowing_add(word);
        sum + u64::from(carry)
    };
    let whole = words.iter().fold(0, |sum, word| add(sum, u64::from_be_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let mut sum = add(whole, u64::from_be_bytes(last));
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The sum of two sums.
pub(crate) fn add(one: u16, other: u16) -> u16 {
    let (sum, carry) = one.overflowing_add(other);
    sum + u16::from(carry)
}

/// Puts the checksum of the bytes from `start` to `end` where `at` says, in which there may be a part of it already. Nothing
/// happens if there is no such place.
pub(crate) fn insert(packet: &mut [u8], start: usize, at: usize, end: usize) {
    let Some(covered) = packet.get(start..end.min(packet.len())) else { return };
    // A sum of 0 would say that there is none (RFC 768); its other form means the same.
    let checksum = match !sum(covered) {
        0 => 0xffff,
        checksum => checksum,
    };
    if let Some(place) = packet.get_mut(at..at + 2) {
        place.copy_from_slice(&checksum.to_be_bytes());
    }
}

/// What checksums of a frame say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checked {
    /// Whether that of an IPv4 header is right; `None` if there is none.
    pub header: Option<bool>,
    /// Whether that of TCP or UDP over it is; `None` in fragments, and where there is none.
    pub payload: Option<bool>,
}

/// Looks at the checksums of a frame.
pub(crate) fn check(frame: &[u8]) -> Checked {
    checked(frame).unwrap_or_default()
}

fn checked(frame: &[u8]) -> Option<Checked> {
    let word = |at: usize| Some(u16::from_be_bytes(*frame.get(at..)?.first_chunk()?));
    let first = *frame.get(14)?;
    let (header_len, total) = (usize::from(first & 0xf) * 4, usize::from(word(16)?));
    if word(ETHERTYPE)? != IPV4 || first >> 4 != 4 || header_len < 20 || total < header_len {
        return None;
    }
    let packet = frame.get(14..14 + total)?;
    let (header, payload) = packet.split_at(header_len);
    let none = Checked { header: Some(sum(header) == 0xffff), payload: None };
    let fragment = word(20)? & 0x3fff != 0;
    let shortest = match header[9] {
        TCP => 20,
        UDP if payload.get(6..8).is_some_and(|checksum| checksum != [0, 0]) => 8,
        _ => return Some(none),
    };
    if fragment || payload.len() < shortest {
        return Some(none);
    }
    let pseudo = [sum(&header[12..20]), u16::from(header[9]), payload.len() as u16];
    let all = pseudo.into_iter().fold(sum(payload), add);
    Some(Checked { payload: Some(all == 0xffff), ..none })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame with a datagram, without checksums.
    fn datagram(payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![2; 12];
        frame.extend([8, 0, 0x45, 0]);
        frame.extend((28 + payload.len() as u16).to_be_bytes());
        frame.extend([0, 1, 0, 0, 64, UDP, 0, 0, 10, 0, 2, 15, 10, 0, 2, 2, 0x12, 0x34, 0, 53]);
        frame.extend((8 + payload.len() as u16).to_be_bytes());
        frame.extend([0, 0]);
        frame.extend(payload);
        frame
    }

    #[test]
    fn sums_are_those_of_words() {
        assert_eq!(sum(&[]), 0);
        assert_eq!(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2, "RFC 1071, 3");
        let bytes: Vec<u8> = (0..1001).map(|n| (n * 37) as u8).collect();
        let slow = bytes
            .chunks(2)
            .fold(0u64, |sum, pair| sum + (u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0))));
        assert_eq!(u64::from(sum(&bytes)) % 0xffff, slow % 0xffff);
    }

    #[test]
    fn checksums_that_were_put_in_are_right_until_a_bit_flips() {
        let mut frame = datagram(b"anything odd!");
        assert_eq!(check(&frame), Checked { header: Some(false), payload: None }, "UDP without one");
        let pseudo = [sum(&frame[26..34]), u16::from(UDP), 21].into_iter().fold(0, add);
        frame[40..42].copy_from_slice(&pseudo.to_be_bytes());
        let len = frame.len();
        insert(&mut frame, 34, 40, len);
        insert(&mut frame, 14, 24, 34);
        assert_eq!(check(&frame), Checked { header: Some(true), payload: Some(true) });
        frame[50] ^= 1;
        assert_eq!(check(&frame), Checked { header: Some(true), payload: Some(false) });
        frame.push(0);
        frame[20] = 0x20;
        assert_eq!(check(&frame), Checked { header: Some(false), payload: None }, "a fragment");
        assert_eq!(check(&frame[..33]), Checked::default());
    }
}
