//! The gdb server: with gdb itself (skipped where it is not installed) and with packets of our own.

use amber_tests::Random;
use amber_tests::program::{Debugged, Scratch};
use amber_tests::remote::Remote;

/// Loaded at 100000h, 64-bit: stores a number, counts it up, sends a byte, and writes 10h to isa-debug-exit.
const PROGRAM: [u8; 0x28] = [
    0x48, 0xBB, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, // 00: mov rbx, 1122334455667788h
    0x48, 0xC7, 0xC0, 0x00, 0x00, 0x20, 0x00, // 0A: mov rax, 200000h
    0x48, 0x89, 0x18, // 11: mov [rax], rbx
    0x48, 0xFF, 0xC3, // 14: inc rbx
    0x66, 0xBA, 0xE9, 0x00, // 17: mov dx, E9h
    0xB0, 0x21, // 1B: mov al, '!'
    0xEE, // 1D: out dx, al
    0x90, // 1E: nop
    0x66, 0xBA, 0xF4, 0x00, // 1F: mov dx, F4h
    0xB0, 0x10, // 23: mov al, 10h
    0xEE, // 25: out dx, al
    0xEB, 0xFE, // 26: jmp $
];
/// jmp $
const LOOP: [u8; 2] = [0xEB, 0xFE];

fn start(name: &str, program: &[u8]) -> (Debugged, Scratch) {
    let scratch = Scratch::new(name);
    let flat = format!("{}@0x100000", scratch.file("program.bin", program).display());
    (Debugged::start(&["--flat", &flat, "--memory", "16M"]), scratch)
}

/// What gdb printed, line by line, must hold `expected` in this order.
fn assert_lines(text: &str, expected: &[&str]) {
    let mut lines = text.lines();
    for want in expected {
        assert!(lines.any(|line| line.contains(want)), "no line with `{want}` (in order) in:\n{text}");
    }
}

fn gdb(debugged: &Debugged, commands: &[&str]) -> Option<String> {
    let commands: Vec<String> = commands.iter().map(|command| (*command).to_owned()).collect();
    let text = debugged.gdb(&commands);
    if text.is_none() {
        eprintln!("skipped: gdb is not installed");
    }
    text
}

#[test]
fn gdb_breaks_steps_reads_and_writes() {
    let (mut debugged, _scratch) = start("gdb-basics", &PROGRAM);
    let commands = [
        "p/x $rip",
        "break *0x100014",
        "continue",
        "p/x $rbx",
        "x/gx 0x200000",
        "stepi",
        "p/x $rbx",
        "set $rbx = 5",
        "set *(long *)0x200008 = 0x77",
        "monitor phys 0x200000 16",
        "p/x $rbx",
        "p/x $cs_access",
        "p $efer & 0x400",
        "p $mxcsr",
        "p/x $xmm1.uint128",
        "set $xmm1.uint128 = 0x123456789",
        "p/x $xmm1.v2_int64[0]",
        "set $st3 = 1.5",
        "p $st3",
        "monitor step",
        "monitor nonsense",
        "continue",
    ];
    let Some(text) = gdb(&debugged, &commands) else { return };
    let expected = [
        "= 0x100000",
        "Breakpoint 1, 0x0000000000100014",
        "= 0x1122334455667788",
        "0x200000:\t0x1122334455667788",
        "= 0x1122334455667789",
        "= 0x5",
        "= 0xa09b",
        "= 1024",
        "= [ IM DM ZM OM UM PM ]",
        "= 0x0",
        "= 0x123456789",
        "= 1.5",
        "exited with code 041",
    ];
    assert_lines(&text, &expected);
    for answer in ["88 77 66 55 44 33 22 11 77", "step 4", "nonsense: no such command"] {
        assert!(text.contains(answer), "no `{answer}` in:\n{text}");
    }
    assert_eq!(debugged.exit_code(), Some(33));
}

#[test]
fn gdb_watches_memory() {
    let (mut debugged, _scratch) = start("gdb-watch", &PROGRAM);
    let commands =
        ["watch *(long *)0x200000", "continue", "p/x $rip", "delete", "hbreak *0x100017", "continue", "kill"];
    let Some(text) = gdb(&debugged, &commands) else { return };
    let expected = [
        "Hardware watchpoint 1",
        "Old value = 0",
        "New value = 1234605616436508552",
        "= 0x100014",
        "Breakpoint 2",
    ];
    assert_lines(&text, &expected);
    assert_eq!(debugged.exit_code(), Some(0));
}

#[test]
fn gdb_sees_every_processor_and_detaches() {
    let mut debugged = Debugged::start(&["--firmware", "smp", "--cpus", "2"]);
    let commands =
        ["info threads", "p/x $cs_base", "stepi 3", "thread 2", "p/x $apic_base", "monitor cpus", "detach"];
    let Some(text) = gdb(&debugged, &commands) else { return };
    assert_lines(
        &text,
        &["cpu0 running, 16-bit", "cpu1 waits for a start-up IPI", "= 0xffff0000", "= 0xfee00800"],
    );
    assert_eq!(debugged.exit_code(), Some(33), "the guest goes on alone:\n{text}");
}

#[test]
fn interrupt_detach_and_come_back() {
    let (mut debugged, _scratch) = start("rsp", &LOOP);
    let mut remote = Remote::connect(&debugged.address).unwrap();
    assert!(remote.ask("qSupported:multiprocess+;swbreak+;hwbreak+").unwrap().contains("PacketSize=4000"));
    remote.send("vCont;c").unwrap();
    remote.interrupt().unwrap();
    let stop = remote.receive().unwrap();
    assert!(stop.starts_with("T02"), "{stop}");
    assert_eq!(remote.ask("D;1").unwrap(), "OK");
    drop(remote);
    // It runs alone now; another session stops it again.
    let mut remote = Remote::connect(&debugged.address).unwrap();
    assert!(remote.ask("?").unwrap().starts_with(['S', 'T']));
    // Gone without a word, in the middle of a packet.
    std::io::Write::write_all(&mut remote.0, b"$m100000,").unwrap();
    drop(remote);
    let mut remote = Remote::connect(&debugged.address).unwrap();
    assert_eq!(remote.ask("m100000,2").unwrap(), "ebfe");
    remote.send("k").unwrap();
    assert_eq!(debugged.exit_code(), Some(0));
}

/// Each arrival at a breakpoint stops the machine once, also where a slice of the run loop begins: after an access to a
/// device.
#[test]
fn breakpoints_hold_behind_device_accesses() {
    let (mut debugged, _scratch) = start("rsp-out", &PROGRAM);
    let mut remote = Remote::connect(&debugged.address).unwrap();
    remote.ask("qSupported:swbreak+").unwrap();
    for (address, rip) in [("100014", "1400100000000000"), ("10001e", "1e00100000000000")] {
        assert_eq!(remote.ask(&format!("Z0,{address},1")).unwrap(), "OK");
        let stop = remote.ask("vCont;c").unwrap();
        assert!(stop.starts_with("T05"), "{stop}");
        assert_eq!(remote.ask("p10").unwrap(), rip, "RIP");
    }
    assert_eq!(remote.ask("vCont;c").unwrap(), "W21");
    assert_eq!(debugged.exit_code(), Some(33));
}

/// No packet harms the server: it answers, or it ends the session.
#[test]
fn nonsense_does_no_harm() {
    let (debugged, _scratch) = start("rsp-nonsense", &LOOP);
    let packets = [
        "m0,ffffffffffffffff",
        "mffffffffffffffff,10",
        "m8000000000000000,1",
        "M0,5:00",
        "Z2,ffffffffffffffff,ffffffffffffffff",
        "Z2,0,0",
        "Z9,0,0",
        "p1000",
        "P10=00",
        "P0=0011223344556677",
        "G00",
        "Hg7777",
        "qXfer:features:read:target.xml:ffffffff,ffffffff",
        "qXfer:features:read:nothing:0,10",
        "vCont;s:9999",
        "vCont;r0,1:1",
        "X0,1:}",
        "qRcmd,zz",
        "qRcmd,7068797320302030786666666666666666666666666666666666",
        "QStartNoAckMode",
        "\u{7f}\u{1}",
    ];
    for packet in packets {
        let mut remote = Remote::connect(&debugged.address).unwrap();
        remote.0.set_read_timeout(Some(std::time::Duration::from_millis(100))).unwrap();
        let _ = remote.ask(packet);
        let _ = remote.interrupt();
        drop(remote);
        let mut again = Remote::connect(&debugged.address).unwrap();
        assert_eq!(again.ask("m100000,2").expect(packet), "ebfe", "after {packet}");
    }
}

/// Sizes in bytes of all registers.
fn register_sizes(remote: &mut Remote) -> Vec<usize> {
    let values = (0..).map(|n| remote.ask(&format!("p{n:x}")).unwrap());
    values.take_while(|value| !value.starts_with('E')).map(|value| value.len() / 2).collect()
}

/// Writes random values to some registers and runs a little, until the run ends or `rounds` are over.
fn scramble(remote: &mut Remote, random: &mut Random, rounds: u32) {
    let sizes = register_sizes(remote);
    assert!(sizes.len() > 100, "{} registers", sizes.len());
    for _ in 0..rounds {
        for _ in 0..1 + random.below(8) {
            let n = random.below(sizes.len() as u64) as usize;
            let few_bits = random.below(2) == 0;
            let byte =
                |random: &mut Random| if few_bits && random.below(4) != 0 { 0 } else { random.below(256) };
            let value: String = (0..sizes[n]).map(|_| format!("{:02x}", byte(random))).collect();
            remote.ask(&format!("P{n:x}={value}")).unwrap();
        }
        for _ in 0..4 {
            let stop = remote.ask("vCont;s:1").unwrap();
            if stop.starts_with('W') {
                return;
            }
            if !stop.starts_with("T05") {
                // Shut down, or halted for good: reset.
                remote.ask("qRcmd,7265736574").unwrap();
                remote.receive().unwrap();
            }
        }
    }
}

/// Whatever is written to the registers, the machine goes on as a value: no panic, no hang.
#[test]
fn random_registers_do_no_harm() {
    let mut random = Random(1);
    for _ in 0..5 {
        let (mut debugged, _scratch) = start("rsp-random", &LOOP);
        let mut remote = Remote::connect(&debugged.address).unwrap();
        scramble(&mut remote, &mut random, 60);
        // After a run that ended there is nobody to kill.
        let _ = remote.send("k");
        let code = debugged.exit_code();
        assert!(!matches!(code, None | Some(10 | 101)), "amber failed: {code:?}");
    }
}

/// A breakpoint outlives the reset that the guest asks for.
#[test]
fn a_reset_keeps_breakpoints() {
    // nop; mov dx, CF9h; mov al, 6; out dx, al; hlt
    let program = [0x90, 0x66, 0xBA, 0xF9, 0x0C, 0xB0, 0x06, 0xEE, 0xF4];
    let (debugged, _scratch) = start("rsp-reset", &program);
    let mut remote = Remote::connect(&debugged.address).unwrap();
    assert_eq!(remote.ask("Z1,100001,1").unwrap(), "OK");
    for _ in 0..3 {
        let stop = remote.ask("vCont;c").unwrap();
        assert!(stop.starts_with("T05") && stop.contains("hwbreak"), "{stop}");
    }
    remote.send("k").unwrap();
}

/// Acceptance: gdb attaches to a booting Debian kernel. `tests/fetch-debian.sh` fetches it.
#[test]
#[ignore = "takes half a minute; needs gdb and a kernel"]
fn gdb_breaks_at_start_kernel() {
    let Some(debian) = amber_tests::debian() else { return };
    let (kernel, initrd) = (debian.join("vmlinuz"), debian.join("initrd.gz"));
    let map = std::fs::read_to_string(debian.join("System.map")).unwrap();
    let line = map.lines().find(|line| line.ends_with(" start_kernel")).expect("start_kernel has an address");
    let address = line.split(' ').next().unwrap();
    let paths = [kernel.display().to_string(), initrd.display().to_string()];
    let args = ["--kernel", &paths[0], "--initrd", &paths[1], "--append", "console=ttyS0 nokaslr"];
    let debugged = Debugged::start(&args);
    let at = format!("hbreak *0x{address}");
    let commands =
        [&at, "continue", "p/x $cr0 & 0x80000001", "x/i $pc", "stepi", "p/x $rip", "backtrace", "kill"];
    let Some(text) = gdb(&debugged, &commands) else { return };
    let here = format!("Breakpoint 1, 0x{address}");
    assert_lines(&text, &[&here, "= 0x80000001", "=> 0x", "= 0xffffffff8", "#0", "#1"]);
}
