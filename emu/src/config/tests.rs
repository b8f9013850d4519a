use super::*;
use crate::disk::Format;

fn parse(text: &str) -> Result<MachineConfig, String> {
    MachineConfig::from_toml(text, Path::new("m.toml")).map_err(|e| e.to_string())
}

#[test]
fn file_reads_every_key_and_writes_itself_back() {
    let text = r#"
        kernel = "/vmlinuz"
        initrd = "/initrd"
        append = "console=ttyS0"
        machine = "q35-1"
        cpu = "amber-v2.1,+avx2,-la57"
        cpus = 4
        memory = "1G"
        seed = 7
        rtc = "2030-02-28T23:59:59"
        quantum = 1000
        disk = [
            "/a.img", "/b,,c.img,if=virtio,format=raw,ro", "/d.img,if=ahci", "/f.img,if=ide",
            "/h.qcow2,if=nvme,format=qcow2", "/i,write-through"
        ]
        cdrom = ["/e.iso", "/g,,h.iso,if=ide", "none,if=ide"]
        floppy = ["none", "/k,,l.img,ro"]
        pace = "none"
        engine = "interp"
        headless = true
        no-reboot = true
        stop-at = 123456
        limit = 234567
        hash = true
        stats = true
        json = true
        trace = "/trace"
        log = ["int", "exc", "reset", "io"]
        debugcon = "stderr"
        gdb = "127.0.0.1:1234"
        symbols = "/System.map"
    "#;
    let config = parse(text).unwrap();
    assert_eq!(config.memory.bytes(), 1 << 30);
    assert_eq!(config.cpu.features, [("avx2".to_owned(), true), ("la57".to_owned(), false)]);
    let disks: Vec<_> = config
        .media()
        .into_iter()
        .map(|disk| {
            let file = disk.file.map_or_else(|| "nothing".to_owned(), |file| file.display().to_string());
            (file, disk.interface.name(), disk.format, disk.read_only)
        })
        .collect();
    let disk = |file: &str, interface, format, read_only| (file.to_owned(), interface, format, read_only);
    assert_eq!(
        disks,
        [
            disk("/a.img", "virtio", None, false),
            disk("/b,c.img", "virtio", Some(Format::Raw), true),
            disk("/d.img", "ahci", None, false),
            disk("/f.img", "ide", None, false),
            disk("/h.qcow2", "nvme", Some(Format::Qcow2), false),
            disk("/i", "virtio", None, false),
            disk("/e.iso", "cdrom", Some(Format::Raw), true),
            disk("/g,h.iso", "ide-cdrom", Some(Format::Raw), true),
            disk("nothing", "ide-cdrom", Some(Format::Raw), true),
            disk("nothing", "floppy", Some(Format::Raw), false),
            disk("/k,l.img", "floppy", Some(Format::Raw), true)
        ]
    );
    let through: Vec<_> = config.disk.iter().map(|disk| disk.write_through).collect();
    assert_eq!(through, [false, false, false, false, false, true]);
    assert_eq!(parse(&config.to_toml().unwrap()).unwrap(), config);
    assert!(matches!(config.guest(), Ok(Guest::Kernel { append: "console=ttyS0", .. })));
}

#[test]
fn default_round_trips_and_is_the_monitor() {
    let config = parse("").unwrap();
    assert_eq!(config, MachineConfig::default());
    assert_eq!(parse(&config.to_toml().unwrap()).unwrap(), config);
    assert_eq!(config.guest().unwrap(), Guest::Embedded(Firmware::Monitor));
}

#[test]
fn unknown_key_is_named_with_its_line() {
    let error = parse("cpus = 2\nmemroy = \"1G\"\n").unwrap_err();
    assert!(error.contains("m.toml: line 2") && error.contains("memroy"), "{error}");
}

#[test]
fn bad_values_say_what_would_be_right() {
    let cases = [
        ("memory = \"512\"", "512M"),
        ("memory = \"65G\"", "64G"),
        ("memory = \"99999999999999999999G\"", "whole number"),
        ("memory = \"1T\"", "unknown unit"),
        ("memory = \"64K\"", "2M"),
        ("memory = \"2049K\"", "multiple of 4K"),
        ("memory = \"\"", "write"),
        ("machine = \"pc\"", "q35-1"),
        ("engine = \"warp\"", "interp"),
        ("rtc = \"2026-02-29\"", "no such date"),
        ("rtc = \"yesterday\"", "2026-01-31"),
        ("rtc = \"2126-01-01\"", "2099"),
        ("cpu = \"amber,avx\"", "+feature"),
        ("flat = \"a.bin\"", "FILE@ADDR"),
        ("log = [\"everything\"]", "int, exc, reset, io, sound"),
        ("seed = -1", "2^64"),
        ("disk = [\"a,if=scsi\"]", "known: virtio, nvme, ahci, ide"),
        ("cdrom = [\"a,if=virtio\"]", "if=ahci|ide"),
        ("cdrom = [\"a,write-through\"]", "if=ahci|ide"),
        ("disk = [\"a,if=floppy\"]", "known: virtio, nvme, ahci, ide"),
        ("floppy = [\"a,if=ide\"]", "FILE[,ro]"),
        ("floppy = [\",ro\"]", "names no file"),
        ("disk = [\"a,format=vdi\"]", "known: raw, qcow2"),
        ("disk = [\"a,write-back\"]", "known: if=, format=, ro, write-through"),
        ("disk = [\"a,ro,write-through\"]", "contradict"),
        ("disk = [\",ro\"]", "names no file"),
    ];
    for (text, expected) in cases {
        let error = parse(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn contradictions_are_refused() {
    let error = |text: &str| parse(text).unwrap().guest().unwrap_err().to_string();
    assert!(error("kernel = \"a\"\nrom = \"b\"").contains("--kernel and --rom"));
    assert!(error("rom = \"b\"\nappend = \"x\"").contains("--append needs --kernel"));
    assert!(error("cpus = 0").contains("between 1 and 255"));
    assert!(error("from = \"a\"\ndisk = [\"b,write-through\"]").contains("amber disk commit"));
    assert!(
        error("guest-checkpoints = \"1,16M\"\ndisk = [\"b,write-through\"]").contains("--guest-checkpoints")
    );
    assert!(error("quantum = 0").contains("quantum"));
    assert!(error(&format!("disk = [{}]", "\"a\",".repeat(17))).contains("between 0 and 16"));
    assert!(error(&format!("cdrom = [{}]", "\"a\",".repeat(7))).contains("between 0 and 6"));
    assert!(error(&format!("floppy = [{}]", "\"a\",".repeat(3))).contains("between 0 and 2"));
    assert!(error(&format!("cdrom = [{}]", "\"a,if=ide\",".repeat(5))).contains("between 0 and 4"));
}

#[test]
fn paths_are_relative_to_the_file() {
    let folder = std::env::temp_dir().join(format!("amber-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("m.toml");
    std::fs::write(
        &file,
        "flat = \"a.bin@0x1000\"\ndisk = [\"d,ro\"]\ncdrom = [\"e\"]\nsymbols = \"/abs\"\n",
    )
    .unwrap();
    let config = MachineConfig::from_file(&file).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(config.flat.unwrap().file, folder.join("a.bin"));
    assert_eq!(config.disk[0].file, folder.join("d"));
    assert_eq!(config.cdrom[0].file, Some(folder.join("e")));
    assert_eq!(config.symbols.unwrap(), Path::new("/abs"));
}

#[test]
fn large_seeds_and_dates_are_exact() {
    let config = parse("seed = \"0xffffffffffffffff\"").unwrap();
    assert_eq!(config.seed, Seed(u64::MAX));
    assert_eq!(parse(&config.to_toml().unwrap()).unwrap(), config);
    let seconds = |text: &str| text.parse::<RtcDate>().unwrap().unix_seconds();
    assert_eq!(seconds("1970-01-01"), 0);
    assert_eq!(seconds("2000-02-29T00:00:01Z"), 951_782_401);
    assert_eq!(seconds("2026-01-01"), 1_767_225_600);
}

#[test]
fn dates_are_read_back_from_seconds() {
    for text in ["1970-01-01T00:00:00", "2000-02-29T23:59:59", "2026-12-31T12:00:01", "2099-12-31T23:59:59"] {
        let date: RtcDate = text.parse().unwrap();
        assert_eq!(RtcDate::from_unix_seconds(date.unix_seconds()), Some(date));
    }
    assert_eq!(RtcDate::from_unix_seconds(u64::MAX), None);
}
