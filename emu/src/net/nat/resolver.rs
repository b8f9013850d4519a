//! Which name server the host uses.

use super::addresses::DNS;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Where hosts say so.
const FILE: &str = "/etc/resolv.conf";

/// The first name server with an IPv4 address that the host's configuration names.
pub fn of_host() -> Option<SocketAddrV4> {
    first_in(&std::fs::read_to_string(FILE).ok()?)
}

fn first_in(text: &str) -> Option<SocketAddrV4> {
    let server = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next()? == "nameserver").then(|| words.next()?.parse::<Ipv4Addr>().ok()).flatten()
    };
    Some(SocketAddrV4::new(text.lines().find_map(server)?, DNS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_server_of_the_old_protocol_is_taken() {
        let text = "# nameserver 1.1.1.1\nsearch example\nnameserver fe80::1\n nameserver\t192.0.2.7 # x\nnameserver 8.8.8.8\n";
        assert_eq!(first_in(text).map(|server| server.to_string()).as_deref(), Some("192.0.2.7:53"));
        assert_eq!(first_in("nameservers 192.0.2.7\nnameserver"), None);
    }
}
