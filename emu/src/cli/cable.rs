//! What the network adapter's cable leads to, as a person asks for it.

use crate::config::NetChoice;
use crate::machine::NicSpec;
use crate::net::{Forward, Link, Nat, Setup, SocketLink};
use anyhow::{Context, Result, anyhow};

/// Leads the cable of `nic` to where `net` says; `None` is nowhere.
///
/// # Errors
/// Names the socket or port that cannot be used.
pub fn lay(net: &NetChoice, nic: Option<&NicSpec>) -> Result<Option<Box<dyn Link>>> {
    Ok(match net {
        NetChoice::None | NetChoice::Nowhere { .. } => None,
        NetChoice::Link { socket, .. } => {
            let link = SocketLink::open(socket);
            let said = || format!("--net link:{}: cannot be connected to", socket.display());
            Some(Box::new(link.with_context(said)?))
        }
        NetChoice::User { forwards, resolver, nic: asked } => {
            let mac = nic.map_or(asked.mac().0, |nic| nic.mac);
            let setup = Setup { mac, forwards: forwards.clone(), resolver: *resolver };
            let said = |(forward, error): (Forward, std::io::Error)| {
                anyhow!("--net user,hostfwd={forward}: cannot be listened on: {error}")
            };
            Some(Box::new(Nat::new(&setup).map_err(said)?))
        }
    })
}
