//! What the network adapter is, and what it is connected to.

use super::values::{ValueError, text_form, wrong};
use crate::net::{Forward, Protocol};
use amber_devices::NicModel;
use std::fmt::{Display, Formatter, Result as FmtResult};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::str::FromStr;

/// The address of an adapter for which none is given. Machines on one cable need addresses of their own.
const DEFAULT_MAC: Mac = Mac([0x52, 0x54, 0x00, 0x12, 0x34, 0x56]);
/// What there is, for who asks for something else.
const KNOWN: &str = "none, user, link:FILE, nowhere";

/// An Ethernet address of one station: `52:54:00:12:34:56`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

impl FromStr for Mac {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let byte = |part: &str| if part.len() == 2 { u8::from_str_radix(part, 16).ok() } else { None };
        let bytes: Option<Vec<u8>> = text.split(':').map(byte).collect();
        match bytes.and_then(|bytes| <[u8; 6]>::try_from(bytes).ok()) {
            None => wrong(format!("mac `{text}` is no address; write six bytes, as 52:54:00:12:34:56")),
            Some(bytes) if bytes[0] & 1 != 0 || bytes == [0; 6] => {
                wrong(format!("mac `{text}` is no address of one adapter; its first byte must be even"))
            }
            Some(bytes) => Ok(Self(bytes)),
        }
    }
}

impl Display for Mac {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// What was said of the adapter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NicChoice {
    pub mac: Option<Mac>,
    pub model: Option<NicModel>,
}

impl NicChoice {
    /// Its address.
    pub fn mac(&self) -> Mac {
        self.mac.unwrap_or(DEFAULT_MAC)
    }

    /// Its kind.
    pub fn model(&self) -> NicModel {
        self.model.unwrap_or_default()
    }

    /// Takes an option in, if it is one of the adapter's.
    fn take(&mut self, option: &str) -> Result<bool, ValueError> {
        match option.split_once('=') {
            Some(("mac", mac)) => self.mac = Some(mac.parse()?),
            Some(("model", model)) => self.model = Some(read_model(model)?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn read_model(text: &str) -> Result<NicModel, ValueError> {
    match NicModel::named(text) {
        Some(model) => Ok(model),
        None => {
            let known: Vec<_> = NicModel::ALL.iter().map(|model| model.name()).collect();
            wrong(format!("unknown network adapter `{text}`; known: {}", known.join(", ")))
        }
    }
}

impl Display for NicChoice {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        self.mac.map_or(Ok(()), |mac| write!(f, ",mac={mac}"))?;
        self.model.map_or(Ok(()), |model| write!(f, ",model={}", model.name()))
    }
}

/// `none`, an adapter whose cable leads to a Unix socket, one on a network of its own with the host as its gateway, or one
/// whose cable leads nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NetChoice {
    /// There is no adapter.
    #[default]
    None,
    /// `link:FILE[,mac=ADDRESS][,model=MODEL]`
    Link { socket: PathBuf, nic: NicChoice },
    /// `user[,hostfwd=FORWARD][,dns=ADDRESS:PORT][,mac=ADDRESS][,model=MODEL]`
    User { forwards: Vec<Forward>, resolver: Option<SocketAddrV4>, nic: NicChoice },
    /// `nowhere[,mac=ADDRESS][,model=MODEL]`
    Nowhere { nic: NicChoice },
}

impl NetChoice {
    /// What was said of the adapter, if there is one.
    pub fn nic(&self) -> Option<NicChoice> {
        match self {
            Self::None => None,
            Self::Link { nic, .. } | Self::User { nic, .. } | Self::Nowhere { nic } => Some(*nic),
        }
    }

    /// The socket, to make its path another one.
    pub fn socket_mut(&mut self) -> Option<&mut PathBuf> {
        match self {
            Self::Link { socket, .. } => Some(socket),
            Self::None | Self::User { .. } | Self::Nowhere { .. } => None,
        }
    }
}

impl FromStr for NetChoice {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (kind, options) = text.split_once(',').map_or((text, None), |(kind, rest)| (kind, Some(rest)));
        match kind {
            "none" if options.is_none() => Ok(Self::None),
            "user" => user(options),
            "nowhere" => nowhere(options),
            _ => match text.strip_prefix("link:") {
                Some(link) => self::link(text, link),
                None => wrong(format!("unknown network `{text}`; known: {KNOWN}")),
            },
        }
    }
}

/// Options of the adapter are at the end: a file may have commas in its name.
fn link(text: &str, link: &str) -> Result<NetChoice, ValueError> {
    let (mut socket, mut nic) = (link, NicChoice::default());
    while let Some((rest, option)) = socket.rsplit_once(',')
        && nic.take(option)?
    {
        socket = rest;
    }
    if socket.is_empty() {
        return wrong(format!("net `{text}` names no socket; write link:FILE"));
    }
    Ok(NetChoice::Link { socket: socket.into(), nic })
}

fn nowhere(options: Option<&str>) -> Result<NetChoice, ValueError> {
    let mut nic = NicChoice::default();
    for option in options.iter().flat_map(|options| options.split(',')) {
        if !nic.take(option)? {
            return wrong(format!("net nowhere has no option `{option}`; known: mac, model"));
        }
    }
    Ok(NetChoice::Nowhere { nic })
}

fn user(options: Option<&str>) -> Result<NetChoice, ValueError> {
    let (mut forwards, mut resolver, mut nic) = (Vec::new(), None, NicChoice::default());
    for option in options.iter().flat_map(|options| options.split(',')) {
        match option.split_once('=') {
            Some(("hostfwd", forward)) => forwards.push(read_forward(forward)?),
            Some(("dns", address)) => match address.parse() {
                Ok(address) => resolver = Some(address),
                Err(_) => {
                    return wrong(format!("dns `{address}` is no address and port; write 192.0.2.1:53"));
                }
            },
            _ if nic.take(option)? => {}
            _ => return wrong(format!("net user has no option `{option}`; known: hostfwd, dns, mac, model")),
        }
    }
    Ok(NetChoice::User { forwards, resolver, nic })
}

/// `tcp:127.0.0.1:2222-:22`; without an address, on all of the host's.
fn read_forward(text: &str) -> Result<Forward, ValueError> {
    let read = || {
        let (protocol, rest) = text.split_once(':')?;
        let protocol = Protocol::ALL.into_iter().find(|known| known.name() == protocol)?;
        let (host, guest) = rest.split_once("-:")?;
        let (address, listens) = host.rsplit_once(':')?;
        let address = if address.is_empty() { Ipv4Addr::UNSPECIFIED } else { address.parse().ok()? };
        let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0);
        Some(Forward { protocol, host: SocketAddrV4::new(address, port(listens)?), guest: port(guest)? })
    };
    match read() {
        Some(forward) => Ok(forward),
        None => wrong(format!("hostfwd `{text}` is none; write tcp:127.0.0.1:2222-:22, or udp:...")),
    }
}

impl Display for NetChoice {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        match self {
            Self::None => f.write_str("none"),
            Self::Link { socket, nic } => write!(f, "link:{}{nic}", socket.display()),
            Self::User { forwards, resolver, nic } => {
                f.write_str("user")?;
                forwards.iter().try_for_each(|forward| write!(f, ",hostfwd={forward}"))?;
                resolver.map_or(Ok(()), |resolver| write!(f, ",dns={resolver}"))?;
                write!(f, "{nic}")
            }
            Self::Nowhere { nic } => write!(f, "nowhere{nic}"),
        }
    }
}

text_form!(NetChoice);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_read_as_they_are_written() {
        for text in [
            "none",
            "link:/run/cable",
            "link:a,b,mac=02:00:00:0a:ff:01",
            "link:a,mac=02:00:00:0a:ff:01,model=e1000",
            "user",
            "user,model=virtio",
            "nowhere",
            "nowhere,mac=02:00:00:0a:ff:01,model=e1000",
            "user,hostfwd=tcp:127.0.0.1:2222-:22,hostfwd=udp:0.0.0.0:53-:5353,dns=127.0.0.1:5300,model=e1000",
        ] {
            assert_eq!(text.parse::<NetChoice>().map(|choice| choice.to_string()), Ok(text.to_owned()));
        }
        let choice = |text: &str| text.parse::<NetChoice>().expect("a choice");
        assert_eq!((choice("none").nic(), choice("user").nic()), (None, Some(NicChoice::default())));
        assert_eq!(
            (NicChoice::default().mac(), NicChoice::default().model()),
            (DEFAULT_MAC, NicModel::Virtio)
        );
        let mac = Some(Mac([2, 0, 0, 0, 0, 1]));
        assert_eq!(choice("link:x,mac=02:00:00:00:00:01").nic(), Some(NicChoice { mac, model: None }));
        let forward = choice("user,hostfwd=tcp::8080-:80").to_string();
        assert_eq!(forward, "user,hostfwd=tcp:0.0.0.0:8080-:80");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, said) in [
            ("tap", "known: none, user, link:FILE, nowhere"),
            ("none,mac=02:00:00:00:00:01", "unknown network"),
            ("link:", "names no socket"),
            ("link:x,mac=1:2:3:4:5:6", "six bytes"),
            ("link:x,mac=02:00:00:00:00", "six bytes"),
            ("link:x,mac=01:00:5e:00:00:01", "must be even"),
            ("link:x,mac=00:00:00:00:00:00", "one adapter"),
            ("link:x,model=ne2000", "known: virtio, e1000"),
            ("user,", "no option ``"),
            ("nowhere,hostfwd=tcp::1-:2", "known: mac, model"),
            ("user,restrict=on", "known: hostfwd, dns, mac, model"),
            ("user,dns=example.org", "no address and port"),
            ("user,hostfwd=sctp:127.0.0.1:1-:2", "hostfwd"),
            ("user,hostfwd=tcp:127.0.0.1:0-:2", "hostfwd"),
            ("user,hostfwd=tcp:127.0.0.1:1-2", "hostfwd"),
            ("user,hostfwd=tcp:localhost:1-:2", "hostfwd"),
            ("user,hostfwd=tcp:127.0.0.1:1-:65536", "hostfwd"),
        ] {
            let error = text.parse::<NetChoice>().expect_err(text).to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
