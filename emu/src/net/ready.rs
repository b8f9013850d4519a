//! Which sockets have something to do, each host in its own way.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub use unix::{Watch, ready};
#[cfg(windows)]
pub use windows::{Watch, ready};

/// What can be done at a socket without waiting. One that failed can be read and written: that tells why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    pub read: bool,
    pub write: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    #[test]
    fn a_socket_is_ready_for_what_it_is_asked() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let one = TcpStream::connect(listener.local_addr().expect("its address")).expect("connected");
        let (mut other, _) = listener.accept().expect("accepted");
        let now = |read, write| ready(&[Watch::new(&one, read, write)], Duration::ZERO)[0];
        assert_eq!(now(false, true), Ready { read: false, write: true });
        assert!(!now(true, false).write);
        other.write_all(b"x").expect("written");
        let begun = Instant::now();
        let both = ready(&[Watch::new(&one, true, false)], Duration::from_secs(60));
        assert!(both[0].read && begun.elapsed() < Duration::from_secs(30));
        let begun = Instant::now();
        ready(&[], Duration::from_millis(2));
        assert!(begun.elapsed() >= Duration::from_millis(2));
    }
}
