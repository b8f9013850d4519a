//! A Debian guest behind the NAT: it has its address by DHCP, asks for a name, fetches 100 MB from the host and sends them back,
//! is refused where nobody listens, and takes a call. Then the run is replayed from its log, with nobody there. Run by name:
//!
//!     cargo test --release -p amber-tests --test debian_nat -- --ignored --nocapture

use amber_tests::debian;
use amber_tests::program::{Scratch, amber};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

const FILE: usize = 100_000_000;
/// What the name server says of every name.
const ANSWER: [u8; 4] = [192, 0, 2, 99];

fn port(listener: &TcpListener) -> u16 {
    listener.local_addr().expect("it has an address").port()
}

fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a port")
}

/// A port where nobody listens.
fn unused() -> u16 {
    port(&listener())
}

/// Sends a file to whoever calls first, and takes one from whoever calls second; the ports, and what came.
fn file_servers(file: Arc<Vec<u8>>) -> ([u16; 2], Receiver<Vec<u8>>) {
    let (down, up) = (listener(), listener());
    let ports = [port(&down), port(&up)];
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let (mut stream, _) = down.accept().expect("the guest calls");
        let begun = Instant::now();
        stream.write_all(&file).expect("the guest takes it");
        stream.shutdown(Shutdown::Write).expect("that was all");
        assert_eq!(stream.read(&mut [0]).expect("the guest ends"), 0);
        eprintln!("to the guest: {:.0} MB/s", FILE as f64 / begun.elapsed().as_secs_f64() / 1e6);
        drop(stream);
        let (mut stream, _) = up.accept().expect("the guest calls");
        let (begun, mut bytes) = (Instant::now(), Vec::new());
        stream.read_to_end(&mut bytes).expect("the guest sends");
        eprintln!("from the guest: {:.0} MB/s", bytes.len() as f64 / begun.elapsed().as_secs_f64() / 1e6);
        sender.send(bytes).expect("the test waits");
    });
    (ports, receiver)
}

/// A name server that knows one address (RFC 1035, 4); its port.
fn name_server() -> u16 {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a port");
    let port = socket.local_addr().expect("it has an address").port();
    thread::spawn(move || {
        let mut bytes = [0; 512];
        while let Ok((len, asker)) = socket.recv_from(&mut bytes) {
            let Some(end) = bytes[12..len].iter().position(|byte| *byte == 0).map(|at| 12 + at + 5) else {
                continue;
            };
            let is_address = bytes[end - 3] == 1;
            let mut answer = bytes[..end].to_vec();
            answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, is_address.into(), 0, 0, 0, 0]);
            if is_address {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                answer.extend(ANSWER);
            }
            socket.send_to(&answer, asker).expect("it can be answered");
        }
    });
    port
}

/// Calls the guest, again and again until it listens.
fn call(port: u16) -> Vec<u8> {
    let once = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.write_all(b"hello guest\n")?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    for _ in 0..600 {
        match once() {
            Ok(answer) => return answer,
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
    panic!("the guest does not answer");
}

fn state_hash(stderr: &str) -> &str {
    stderr.lines().find_map(|line| line.strip_prefix("state-hash ")).expect("a hash")
}

/// Runs the guest to its end with its calls recorded; what it said, and the hash of its last state.
fn recorded(folder: &Path, model: &str, log: &Path) -> (String, String) {
    let file: Arc<Vec<u8>> =
        Arc::new((0..FILE as u32).map(|n| (n.wrapping_mul(0x9e37_79b1) >> 13) as u8).collect());
    let ([down, up], arrived) = file_servers(file.clone());
    let (dns, forwarded, closed) = (name_server(), unused(), unused());
    let net = format!("user,hostfwd=tcp:127.0.0.1:{forwarded}-:7,dns=127.0.0.1:{dns},model={model}");
    let mut child = Command::new(amber())
        .args(["run", "--headless", "--memory", "768M", "--hash", "--net", &net])
        .args(["--append", &format!("console=ttyS0 panic=-1 down={down} up={up} closed={closed}")])
        .arg("--kernel")
        .arg(folder.join("vmlinuz"))
        .arg("--initrd")
        .arg(folder.join("nat.gz"))
        .arg("--record")
        .arg(log)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("amber starts");
    let (mut said, mut caller) = (String::new(), None);
    for line in BufReader::new(child.stdout.take().expect("it is piped")).lines() {
        let line = line.expect("it is text");
        said += &format!("{line}\n");
        if line.trim() == "LISTENING" {
            caller = Some(thread::spawn(move || call(forwarded)));
        }
    }
    let output = child.wait_with_output().expect("amber ends");
    assert!(output.status.success(), "{said}");
    assert_eq!(caller.expect("the guest listened").join().expect("the call went well"), b"from the guest\n");
    let arrived = arrived.recv_timeout(Duration::from_secs(10)).expect("the file came back");
    assert!(arrived == *file, "another file came back");
    (said, state_hash(&String::from_utf8_lossy(&output.stderr)).to_owned())
}

/// Records, and replays.
fn talk(model: &str) {
    let Some(folder) = debian() else { return };
    if !folder.join("nat.gz").is_file() {
        eprintln!("skipped: no nat.gz in {}; tests/fetch-debian.sh makes it", folder.display());
        return;
    }
    let scratch = Scratch::new(&format!("nat-{model}"));
    let log = scratch.0.join("log");
    let (said, hash) = recorded(&folder, model, &log);
    for line in [
        "LEASE 10.0.2.15 255.255.255.0 10.0.2.2 10.0.2.3",
        "3 packets received",
        "Address: 192.0.2.99",
        "END down",
        "END up",
        "REFUSED",
        "hello guest",
        "PASS",
    ] {
        assert!(said.contains(line), "{line} is missing:\n{said}");
    }
    // Nobody listens any more.
    let replayed = Command::new(amber()).args(["replay", "--hash"]).arg(&log).output().expect("amber starts");
    let stderr = String::from_utf8_lossy(&replayed.stderr);
    assert!(replayed.status.success() && stderr.contains("the same run"), "{stderr}");
    assert_eq!(state_hash(&stderr), hash);
    eprintln!("{model}: {hash}, and again so");
}

#[test]
#[ignore = "takes a minute"]
fn a_guest_with_virtio_talks_through_the_nat_and_goes_the_same_way_again_without_it() {
    talk("virtio");
}

#[test]
#[ignore = "takes a minute"]
fn a_guest_with_an_82540em_talks_through_the_nat_and_goes_the_same_way_again_without_it() {
    talk("e1000");
}
