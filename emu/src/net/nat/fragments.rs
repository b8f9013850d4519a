//! IPv4 packets that come in fragments (RFC 791, 3.2).

use smoltcp::wire::{IPV4_HEADER_LEN, Ipv4Packet};
use std::net::Ipv4Addr;

/// Most packets that are put together at once; the oldest is given up for another.
const PACKETS_MAX: usize = 16;
/// Longest payload.
const PAYLOAD_MAX: usize = 0xffff - IPV4_HEADER_LEN;
/// Most fragments of a packet.
const PARTS_MAX: usize = 128;
/// How long fragments wait for each other, ns.
const PATIENCE_NS: u64 = 30_000_000_000;

/// What fragments of one packet have in common.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    from: Ipv4Addr,
    to: Ipv4Addr,
    identification: u16,
    protocol: u8,
}

/// A packet of which something is there.
struct Partial {
    key: Key,
    begun: u64,
    /// Offset and bytes.
    parts: Vec<(usize, Vec<u8>)>,
    /// Length, once the last fragment is there.
    len: Option<usize>,
}

impl Partial {
    /// The whole, if all of it is there. Where fragments overlap, the later one is right.
    fn whole(&self) -> Option<Vec<u8>> {
        let len = self.len?;
        let mut order: Vec<_> = self.parts.iter().map(|(at, bytes)| (*at, at + bytes.len())).collect();
        order.sort_unstable();
        let reached =
            order.iter().try_fold(0, |reached, (at, end)| (*at <= reached).then(|| reached.max(*end)));
        if reached != Some(len) {
            return None;
        }
        let mut payload = vec![0; len];
        for (at, bytes) in &self.parts {
            payload[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        Some(payload)
    }
}

/// See the module.
#[derive(Default)]
pub struct Fragments(Vec<Partial>);

impl Fragments {
    /// Takes a fragment at time `now`, ns; the payload of its packet, if that is whole now.
    pub fn add(&mut self, now: u64, packet: &Ipv4Packet<&[u8]>) -> Option<Vec<u8>> {
        let (at, bytes) = (usize::from(packet.frag_offset()), packet.payload());
        let more = packet.more_frags();
        if at + bytes.len() > PAYLOAD_MAX || more && (bytes.is_empty() || !bytes.len().is_multiple_of(8)) {
            return None;
        }
        let key = Key {
            from: packet.src_addr(),
            to: packet.dst_addr(),
            identification: packet.ident(),
            protocol: packet.next_header().into(),
        };
        self.0.retain(|partial| now.saturating_sub(partial.begun) < PATIENCE_NS);
        let n = self.0.iter().position(|partial| partial.key == key).unwrap_or_else(|| {
            if self.0.len() == PACKETS_MAX {
                self.0.remove(0);
            }
            self.0.push(Partial { key, begun: now, parts: Vec::new(), len: None });
            self.0.len() - 1
        });
        let partial = &mut self.0[n];
        partial.parts.push((at, bytes.to_vec()));
        if !more {
            partial.len = Some(at + bytes.len());
        }
        let whole = partial.whole();
        if whole.is_some() || partial.parts.len() == PARTS_MAX {
            self.0.remove(n);
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::{IpProtocol, Ipv4Repr};

    fn fragment(identification: u16, at: u16, more: bool, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; IPV4_HEADER_LEN + payload.len()];
        let mut packet = Ipv4Packet::new_unchecked(&mut bytes[..]);
        let (src_addr, dst_addr) = (Ipv4Addr::new(10, 0, 2, 15), Ipv4Addr::new(10, 0, 2, 2));
        Ipv4Repr {
            src_addr,
            dst_addr,
            next_header: IpProtocol::Udp,
            payload_len: payload.len(),
            hop_limit: 9,
        }
        .emit(&mut packet, &ChecksumCapabilities::default());
        packet.set_ident(identification);
        packet.set_more_frags(more);
        packet.set_frag_offset(at);
        packet.payload_mut().copy_from_slice(payload);
        bytes
    }

    fn add(fragments: &mut Fragments, now: u64, bytes: &[u8]) -> Option<Vec<u8>> {
        fragments.add(now, &Ipv4Packet::new_unchecked(bytes))
    }

    #[test]
    fn a_packet_is_whole_when_its_last_part_has_come_in_any_order() {
        let mut fragments = Fragments::default();
        assert_eq!(add(&mut fragments, 0, &fragment(1, 16, false, b"end")), None);
        assert_eq!(add(&mut fragments, 0, &fragment(2, 0, true, b"another!")), None);
        assert_eq!(add(&mut fragments, 0, &fragment(1, 0, true, b"01234567")), None);
        let whole = add(&mut fragments, 0, &fragment(1, 8, true, b"89abcdef"));
        assert_eq!(whole.as_deref(), Some(&b"0123456789abcdefend"[..]));
        assert_eq!(fragments.0.len(), 1);
    }

    #[test]
    fn what_never_ends_is_given_up() {
        let mut fragments = Fragments::default();
        for n in 0..1000 {
            assert_eq!(add(&mut fragments, 0, &fragment(n, 0, true, &[0; 8])), None);
        }
        assert_eq!(fragments.0.len(), PACKETS_MAX);
        for _ in 0..1000 {
            assert_eq!(add(&mut fragments, 0, &fragment(5000, 8, true, &[0; 8])), None);
        }
        assert!(fragments.0.iter().all(|partial| partial.parts.len() < PARTS_MAX));
        assert_eq!(add(&mut fragments, PATIENCE_NS, &fragment(999, 8, false, &[1])), None, "too late");
        assert_eq!(fragments.0.len(), 1);
        assert_eq!(add(&mut fragments, 0, &fragment(3, 65528, false, &[0; 8])), None, "too long");
        assert_eq!(add(&mut fragments, 0, &fragment(3, 0, true, &[0; 7])), None, "no multiple of 8");
        assert_eq!(fragments.0.len(), 1);
    }
}
