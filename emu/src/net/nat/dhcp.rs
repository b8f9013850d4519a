//! The DHCP server (RFC 2131).

use super::addresses::{GATEWAY, GUEST, MASK, RESOLVER};
use super::wire::Wire;
use smoltcp::wire::{
    DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress,
};
use std::net::{Ipv4Addr, SocketAddrV4};

pub const PORT: u16 = DHCP_SERVER_PORT;
/// Seconds an address is lent for: a day.
const LEASE: u32 = 86_400;
/// Most clients.
const CLIENTS_MAX: usize = 16;

/// Who has which address: the first client the guest's, the others those behind it.
#[derive(Default)]
pub struct Dhcp(Vec<EthernetAddress>);

impl Dhcp {
    /// The address of a client, new or known.
    fn address(&mut self, client: EthernetAddress) -> Option<Ipv4Addr> {
        let n = self.0.iter().position(|known| *known == client).unwrap_or(self.0.len());
        if n == CLIENTS_MAX {
            return None;
        }
        if n == self.0.len() {
            self.0.push(client);
        }
        Some(Ipv4Addr::from_bits(GUEST.to_bits() + n as u32))
    }

    /// Answers a message, if it wants an answer.
    pub fn receive(&mut self, wire: &mut Wire, message: &[u8]) {
        let Ok(packet) = DhcpPacket::new_checked(message) else { return };
        let Ok(asked) = DhcpRepr::parse(&packet) else { return };
        let wanted = asked.requested_ip.or(Some(asked.client_ip).filter(|ip| !ip.is_unspecified()));
        let Some(address) = self.address(asked.client_hardware_address) else { return };
        let (answer, lent) = match asked.message_type {
            DhcpMessageType::Discover => (DhcpMessageType::Offer, Some(address)),
            // It takes what another server offered.
            DhcpMessageType::Request if asked.server_identifier.is_some_and(|server| server != GATEWAY) => {
                return;
            }
            DhcpMessageType::Request if wanted == Some(address) => (DhcpMessageType::Ack, Some(address)),
            DhcpMessageType::Request => (DhcpMessageType::Nak, None),
            DhcpMessageType::Inform => (DhcpMessageType::Ack, None),
            _ => return,
        };
        let told = reply(&asked, answer, lent);
        let mut bytes = vec![0; told.buffer_len()];
        if told.emit(&mut DhcpPacket::new_unchecked(&mut bytes[..])).is_ok() {
            let to = if asked.client_ip.is_unspecified() { Ipv4Addr::BROADCAST } else { asked.client_ip };
            let (server, client) =
                (SocketAddrV4::new(GATEWAY, PORT), SocketAddrV4::new(to, DHCP_CLIENT_PORT));
            wire.send_udp(server, client, &bytes);
        }
    }
}

fn reply(asked: &DhcpRepr, answer: DhcpMessageType, lent: Option<Ipv4Addr>) -> DhcpRepr<'static> {
    let tells = answer != DhcpMessageType::Nak;
    DhcpRepr {
        message_type: answer,
        transaction_id: asked.transaction_id,
        secs: 0,
        client_hardware_address: asked.client_hardware_address,
        client_ip: asked.client_ip,
        your_ip: lent.unwrap_or(Ipv4Addr::UNSPECIFIED),
        server_ip: GATEWAY,
        router: tells.then_some(GATEWAY),
        subnet_mask: tells.then_some(MASK),
        relay_agent_ip: Ipv4Addr::UNSPECIFIED,
        broadcast: asked.broadcast,
        requested_ip: None,
        client_identifier: None,
        server_identifier: Some(GATEWAY),
        parameter_request_list: None,
        dns_servers: tells.then(|| [RESOLVER].into_iter().collect()),
        max_size: None,
        lease_duration: lent.map(|_| LEASE),
        renew_duration: None,
        rebind_duration: None,
        additional_options: &[],
    }
}
