//! What the network adapter is connected to.

use super::values::{ValueError, text_form, wrong};
use std::fmt::{Display, Formatter, Result as FmtResult};
use std::path::PathBuf;
use std::str::FromStr;

/// The address of an adapter for which none is given. Machines on one cable need addresses of their own.
const DEFAULT_MAC: Mac = Mac([0x52, 0x54, 0x00, 0x12, 0x34, 0x56]);

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

/// `none`, or an adapter whose cable leads to a Unix socket: `link:FILE[,mac=ADDRESS]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NetChoice {
    /// There is no adapter.
    #[default]
    None,
    Link {
        socket: PathBuf,
        mac: Option<Mac>,
    },
}

impl NetChoice {
    /// Address of the adapter, if there is one.
    pub fn mac(&self) -> Option<Mac> {
        match self {
            Self::None => None,
            Self::Link { mac, .. } => Some(mac.unwrap_or(DEFAULT_MAC)),
        }
    }

    /// The address that was asked for.
    pub fn asked_mac(&self) -> Option<Mac> {
        match self {
            Self::None => None,
            Self::Link { mac, .. } => *mac,
        }
    }

    /// The socket, to make its path another one.
    pub fn socket_mut(&mut self) -> Option<&mut PathBuf> {
        match self {
            Self::None => None,
            Self::Link { socket, .. } => Some(socket),
        }
    }
}

impl FromStr for NetChoice {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text == "none" {
            return Ok(Self::None);
        }
        let Some(link) = text.strip_prefix("link:") else {
            return wrong(format!("unknown network `{text}`; known: none, link:FILE[,mac=ADDRESS]"));
        };
        let (socket, mac) = match link.rsplit_once(",mac=") {
            Some((socket, mac)) => (socket, Some(mac.parse()?)),
            None => (link, None),
        };
        if socket.is_empty() {
            return wrong(format!("net `{text}` names no socket; write link:FILE"));
        }
        Ok(Self::Link { socket: socket.into(), mac })
    }
}

impl Display for NetChoice {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        let Self::Link { socket, mac } = self else { return f.write_str("none") };
        write!(f, "link:{}", socket.display())?;
        mac.map_or(Ok(()), |mac| write!(f, ",mac={mac}"))
    }
}

text_form!(NetChoice);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_read_as_they_are_written() {
        for text in ["none", "link:/run/cable", "link:a,b,mac=02:00:00:0a:ff:01"] {
            assert_eq!(text.parse::<NetChoice>().map(|choice| choice.to_string()), Ok(text.to_owned()));
        }
        let choice = |text: &str| text.parse::<NetChoice>().expect("a choice");
        assert_eq!(choice("none").mac(), None);
        assert_eq!(choice("link:x").mac(), Some(DEFAULT_MAC));
        assert_eq!(choice("link:x").asked_mac(), None);
        assert_eq!(choice("link:x,mac=02:00:00:00:00:01").asked_mac(), Some(Mac([2, 0, 0, 0, 0, 1])));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, said) in [
            ("user", "known: none, link:"),
            ("link:", "names no socket"),
            ("link:x,mac=1:2:3:4:5:6", "six bytes"),
            ("link:x,mac=02:00:00:00:00", "six bytes"),
            ("link:x,mac=01:00:5e:00:00:01", "must be even"),
            ("link:x,mac=00:00:00:00:00:00", "one adapter"),
        ] {
            let error = text.parse::<NetChoice>().expect_err(text).to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
