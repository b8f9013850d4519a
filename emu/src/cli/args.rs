//! Command-line arguments. Every option of a run is also a key of `MACHINE.toml`; the command line wins.

use super::bisect_args::{BisectArgs, SideArgs};
use super::disk_args::DiskArgs;
use super::share::ShareArgs;
use super::snapshot_args::{BenchArgs, CtlArgs, ReplayArgs, SnapshotArgs};
use crate::checkpoints::Policy;
use crate::config::{
    AudioChoice, Bios, BootOrder, CdChoice, ConfigError, ConsoleChoice, CpuChoice, CpuCount, Debugcon,
    DeviceChoice, DiskChoice, Engine, Firmware, FlatImage, FloppyChoice, FwCfgChoice, HistoryChoice,
    LogCategory, MachineConfig, MachineType, MemoryChoice, NetChoice, Pace, RtcDate, SaveAt, Screenshot,
    Seed, ShareChoice, Uefi, VgaBios, VgaChoice,
};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Where the gdb server listens when `--gdb` names no address.
pub const DEFAULT_GDB: &str = "127.0.0.1:1234";

const OVERVIEW: &str = "\
Examples:
  amber                                        the built-in monitor: type `help`
  amber run --kernel vmlinuz --initrd initrd.img --append 'console=ttyS0' --memory 1G --headless
  amber run --debugcon stderr --bios
  amber run --rom test.bin --headless --stop-at 1000000 --hash
  amber run machine.toml --cpus 4              a file, with one value overridden
  amber test roms/*/image.bin                  run test images, one result each

Exit codes:
  0   the guest powered off, or --stop-at was reached
  odd the guest wrote v to isa-debug-exit: (v << 1) | 1
  2   bad input or usage          4   the guest died (triple fault)
  6   the guest hung              8   a limit was reached      10  a fault of Amber's";

const RUN_EXAMPLES: &str = "\
Examples:
  amber run --kernel vmlinuz --append 'console=ttyS0 panic=-1' --memory 512M --headless --no-reboot
  amber run --flat hello.bin@0x100000 --headless --stats
  amber run --firmware selftest --cpu amber-v2.1,-avx2 --headless
  amber run --kernel vmlinux --gdb 127.0.0.1:1234 --symbols System.map
  amber run --disk debian.img --disk data.img,ro --headless --bios
  amber run --rom test.bin --log exc,reset --stop-at 5000000 --hash
  amber run machine.toml --memory 2G --dump-config > repeat.toml

A MACHINE.toml holds the same options as keys, paths relative to the file:
  kernel = \"vmlinuz\"
  memory = \"1G\"
  cpus = 2
  log = [\"exc\", \"reset\"]";

const TEST_EXAMPLES: &str = "\
Examples:
  amber test roms/selftest/image.bin
  amber test suites/kvm-unit-tests --junit results.xml
  amber test target/x86_64-unknown-none/debug/deps/kernel-1234 --json

As a cargo runner (.cargo/config.toml):
  [target.x86_64-unknown-none]
  runner = \"amber test\"";

/// An exact, deterministic x86-64 PC emulator.
#[derive(Clone, Debug, Parser)]
#[command(name = "amber", version, after_help = OVERVIEW, max_term_width = 110)]
pub struct Cli {
    /// What to do; without it, the built-in monitor runs.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Subcommands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run a machine.
    Run(Box<RunArgs>),
    /// Run test images and report one result for each.
    Test(TestArgs),
    /// List, show, move and remove snapshots.
    Snapshot(SnapshotArgs),
    /// Show disk images, and write snapshots' disks to them.
    Disk(DiskArgs),
    /// Write the files of a snapshot's share to a folder.
    Share(ShareArgs),
    /// Run a recorded run again, from its input log.
    Replay(ReplayArgs),
    /// Find the first step at which two runs differ.
    Bisect(Box<BisectArgs>),
    /// Follow a run for a bisection in another process.
    #[command(hide = true)]
    BisectSide(SideArgs),
    /// Ask a running machine for something.
    Ctl(CtlArgs),
    /// Measure what Amber costs here.
    Bench(BenchArgs),
}

/// Arguments of `amber run`.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = RUN_EXAMPLES)]
pub struct RunArgs {
    /// Configuration file; options given here override it.
    #[arg(value_name = "MACHINE.toml")]
    pub file: Option<PathBuf>,
    /// Print the configuration file that repeats this run, and do not run.
    #[arg(long)]
    pub dump_config: bool,
    #[command(flatten)]
    pub guest: GuestArgs,
    #[command(flatten)]
    pub machine: MachineArgs,
    #[command(flatten)]
    pub running: RunningArgs,
}

/// What to run. Without any of these and without a file, the built-in monitor.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Guest")]
pub struct GuestArgs {
    /// Kernel: bzImage, PVH ELF or multiboot 1, recognised by content.
    #[arg(long, value_name = "FILE")]
    pub kernel: Option<PathBuf>,
    /// The kernel's initrd, or its multiboot module.
    #[arg(long, value_name = "FILE")]
    pub initrd: Option<PathBuf>,
    /// The kernel's command line.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub append: Option<String>,
    /// Firmware mapped to end at 4 GiB: a file, or seabios for the one that is installed [default file: seabios].
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = Bios::SEABIOS)]
    pub bios: Option<Bios>,
    /// UEFI firmware, and what its variables are at first; ovmf is the one that is installed [default code: ovmf; default
    /// variables: those that lie beside the code].
    #[arg(long, value_name = "CODE[,VARS]", num_args = 0..=1, default_missing_value = Uefi::OVMF)]
    pub uefi: Option<Uefi>,
    /// Raw image whose last 16 bytes are the reset vector.
    #[arg(long, value_name = "FILE")]
    pub rom: Option<PathBuf>,
    /// Flat binary, loaded and entered at ADDR in 64-bit mode.
    #[arg(long, value_name = "FILE@ADDR")]
    pub flat: Option<FlatImage>,
    /// Built-in image: monitor, selftest, interrupts, paging, smp or requests.
    #[arg(long, value_name = "NAME")]
    pub firmware: Option<Firmware>,
    /// Snapshot to go on from: a name or the start of an id in the store, or a .amber file.
    #[arg(long, value_name = "SNAPSHOT")]
    pub from: Option<String>,
}

/// What the machine is.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Machine")]
pub struct MachineArgs {
    /// Chipset and devices, versioned [default: q35-1].
    #[arg(long, value_name = "TYPE")]
    pub machine: Option<MachineType>,
    /// CPU model with features added or removed: MODEL[,+f,-f].
    #[arg(long, value_name = "MODEL")]
    pub cpu: Option<CpuChoice>,
    /// Number of vCPUs, 1 to 255; with max=M as many can be there while the machine runs, by `amber ctl` [default: 1].
    #[arg(long, value_name = "N[,max=M]")]
    pub cpus: Option<CpuCount>,
    /// RAM, 2M to 64G: 512M, 1G; with slots=K,max=SIZE up to K modules can be there besides while the machine runs, by
    /// `amber ctl` [default: 512M].
    #[arg(long, value_name = "SIZE[,slots=K,max=SIZE]")]
    pub memory: Option<MemoryChoice>,
    /// Seed of all the machine's randomness [default: 0].
    #[arg(long, value_name = "N")]
    pub seed: Option<Seed>,
    /// What the real-time clock shows at reset, UTC [default: 2026-01-01T00:00:00].
    #[arg(long, value_name = "DATE")]
    pub rtc: Option<RtcDate>,
    /// Virtual time of one vCPU before the next one's turn, ns [default: 20000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=i64::MAX as u64))]
    pub quantum: Option<u64>,
    /// A disk over an image, raw or qcow2: FILE[,if=BUS][,format=raw|qcow2][,ro|,write-through], BUS being virtio, nvme,
    /// ahci or ide; may be given several times. The image is not written, but with write-through.
    #[arg(long, value_name = "FILE[,if=nvme][,ro]")]
    pub disk: Vec<DiskChoice>,
    /// Have disks on virtio and NVMe come and go while the machine runs, by `amber ctl`.
    #[arg(long)]
    pub pci_hotplug: bool,
    /// A CD in a drive of its own, an ISO 9660 or any other image: FILE[,if=ahci|ide]; may be given several times.
    #[arg(long, value_name = "FILE[,if=ide]")]
    pub cdrom: Vec<CdChoice>,
    /// A diskette, a raw image of 160K to 2880K: FILE[,ro]; may be given twice. The image is not written.
    #[arg(long, value_name = "FILE[,ro]")]
    pub floppy: Vec<FloppyChoice>,
    /// Another device: hda (a sound card), usb-keyboard, usb-tablet, virtio-console or virtio-rng; may be given several times.
    #[arg(long, value_name = "DEVICE")]
    pub device: Vec<DeviceChoice>,
    /// Network adapter: none; user[,hostfwd=tcp:HOSTADDR:PORT-:GUESTPORT][,dns=ADDR:PORT], behind the host's network;
    /// or link:FILE, on a Unix socket that two machines, QEMU or passt share. Both with [,mac=ADDRESS][,model=virtio|e1000]
    /// [default: none].
    #[arg(long, value_name = "none|user|link:FILE")]
    pub net: Option<NetChoice>,
    /// A folder whose files the guest mounts by 9P: DIR, or dir=DIR[,tag=TAG][,size=SIZE][,readonly]. It is read when the
    /// machine is made, and never written [default tag: share; default size: 2G].
    #[arg(long, value_name = "DIR")]
    pub share: Option<ShareChoice>,
    /// Display adapter: std (QEMU's stdvga, 16 MiB), or text, what machines had before [default: std].
    #[arg(long, value_name = "ADAPTER")]
    pub vga: Option<VgaChoice>,
    /// The display's option ROM for --bios: a file, or none [default: vgabios-stdvga.bin, if it lies beside the BIOS].
    #[arg(long, value_name = "FILE|none")]
    pub vga_bios: Option<VgaBios>,
    /// Where firmware looks for something to boot: disk, cd, or one of them by its number; with menu=MS it offers its boot menu
    /// so long, with retry=MS it waits so long and tries again where nothing boots.
    #[arg(long, value_name = "DEVICE,...[,menu=MS]")]
    pub boot: Option<BootOrder>,
    /// A file that firmware and guests find in fw_cfg, such as opt/org.example/key=FILE; may be given several times.
    #[arg(long, value_name = "NAME=FILE")]
    pub fw_cfg: Vec<FwCfgChoice>,
}

/// How to run it, and what to show.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Running")]
pub struct RunningArgs {
    /// Sleep when virtual time is ahead of the wall clock: none or real [default: real at a terminal, none with
    /// --headless].
    #[arg(long, value_name = "PACE")]
    pub pace: Option<Pace>,
    /// Where sound goes: none, or wav:FILE, a recording of the PC speaker and the sound card [default: none].
    #[arg(long, value_name = "none|wav:FILE")]
    pub audio: Option<AudioChoice>,
    /// Where what is typed goes: serial (port 0), or virtio (the console of --device virtio-console) [default: serial].
    #[arg(long, value_name = "serial|virtio")]
    pub console: Option<ConsoleChoice>,
    /// What executes instructions: jit, or interp, the reference; the guest cannot tell [default: jit].
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<Engine>,
    /// Serial port 0 on standard input and output, no window, no pacing.
    #[arg(long)]
    pub headless: bool,
    /// A guest reset ends the run with exit code 0.
    #[arg(long)]
    pub no_reboot: bool,
    /// Stop at this step, counted since power-up.
    #[arg(long, value_name = "STEP", value_parser = clap::value_parser!(u64).range(0..=i64::MAX as u64))]
    pub stop_at: Option<u64>,
    /// End the run with exit code 8 at this step, if it has not ended before.
    #[arg(long, value_name = "STEP", value_parser = clap::value_parser!(u64).range(0..=i64::MAX as u64))]
    pub limit: Option<u64>,
    /// Folder of the snapshots [default: $AMBER_STORE, else amber/store in the user's data folder].
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// Save a snapshot at this step; may be given several times.
    #[arg(long, value_name = "STEP=NAME")]
    pub save_at: Vec<SaveAt>,
    /// Record every input to this file; `amber replay` runs it again.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// What software in the guest may keep: deny, or N,SIZE for so many checkpoints in so much memory [default: deny].
    #[arg(long, value_name = "POLICY")]
    pub guest_checkpoints: Option<Policy>,
    /// Remember the run's past in so much memory, to go back in it by `amber ctl` or in a window: none, or a size [default:
    /// none, in a window 1G].
    #[arg(long, value_name = "SIZE")]
    pub history: Option<HistoryChoice>,
    /// Listen at this Unix socket for `amber ctl` and other programs.
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,
    /// Save a snapshot when the run ends, however it does.
    #[arg(long, value_name = "NAME")]
    pub save_on_exit: Option<String>,
    /// Write a picture of the screen (PNG) at this step, or at the end; may be given several times.
    #[arg(long, value_name = "[STEP=]FILE")]
    pub screenshot: Vec<Screenshot>,
    /// Print `state-hash <64 hex>` as the last line on standard error.
    #[arg(long)]
    pub hash: bool,
    /// Print counts and speed at the end.
    #[arg(long)]
    pub stats: bool,
    /// Print them as JSON.
    #[arg(long)]
    pub json: bool,
    /// Write every step to this file.
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Write a line per event on standard error: int, exc, reset, io, comma-separated.
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub log: Vec<LogCategory>,
    /// Where the debug consoles (ports 0xE9 and 0x402) go: a file, or `stderr`.
    #[arg(long, value_name = "FILE|stderr")]
    pub debugcon: Option<Debugcon>,
    /// Wait for gdb at this address [default address: 127.0.0.1:1234].
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_missing_value = DEFAULT_GDB)]
    pub gdb: Option<String>,
    /// Names for addresses: an ELF or a System.map.
    #[arg(long, value_name = "ELF|System.map")]
    pub symbols: Option<PathBuf>,
}

/// Arguments of `amber test`.
#[derive(Clone, Debug, Args)]
#[command(after_help = TEST_EXAMPLES)]
pub struct TestArgs {
    /// Test images, or folders with a test.toml.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Also write the results as JUnit XML.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Print the results as JSON.
    #[arg(long)]
    pub json: bool,
    /// Tests that run at the same time [default: the host's cores].
    #[arg(long, value_name = "N")]
    pub jobs: Option<std::num::NonZeroUsize>,
}

impl RunArgs {
    /// The configuration file, if any, with the options given here on top.
    ///
    /// # Errors
    /// When the file cannot be used; the result may still be contradictory, see [`MachineConfig::guest`].
    pub fn config(&self) -> Result<MachineConfig, ConfigError> {
        let mut config = match &self.file {
            Some(file) => MachineConfig::from_file(file)?,
            None => MachineConfig::default(),
        };
        self.guest.apply(&mut config);
        self.machine.apply(&mut config);
        self.running.apply(&mut config);
        Ok(config)
    }
}

/// What is wrong with a command line, in one sentence.
pub fn sentence(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let first = words(text.split("\n\n").next().unwrap_or(&text));
    let tips = text.lines().filter_map(|line| line.trim().strip_prefix("tip: "));
    let sentence = tips.fold(first, |sentence, tip| format!("{sentence}; {}", words(tip)));
    sentence.strip_prefix("error: ").unwrap_or(&sentence).to_owned()
}

/// Overwrites a value only if it was given.
fn set<T: Clone>(to: &mut T, given: &Option<T>) {
    if let Some(value) = given {
        to.clone_from(value);
    }
}

/// Overwrites an optional value only if it was given.
fn set_some<T: Clone>(to: &mut Option<T>, given: &Option<T>) {
    if given.is_some() {
        to.clone_from(given);
    }
}

impl GuestArgs {
    fn apply(&self, config: &mut MachineConfig) {
        let Self { kernel, initrd, append, bios, uefi, rom, flat, firmware, from } = self;
        let images =
            bios.is_some() || uefi.is_some() || rom.is_some() || flat.is_some() || firmware.is_some();
        let other_kind = images || from.is_some();
        if other_kind || (kernel.is_some() && config.kernel.is_none()) {
            config.clear_guest();
        }
        set_some(&mut config.kernel, kernel);
        set_some(&mut config.initrd, initrd);
        set_some(&mut config.append, append);
        set_some(&mut config.bios, bios);
        set_some(&mut config.uefi, uefi);
        set_some(&mut config.rom, rom);
        set_some(&mut config.flat, flat);
        set_some(&mut config.firmware, firmware);
        set_some(&mut config.from, from);
    }
}

impl MachineArgs {
    fn apply(&self, config: &mut MachineConfig) {
        let Self {
            machine,
            cpu,
            cpus,
            memory,
            seed,
            rtc,
            quantum,
            disk,
            cdrom,
            floppy,
            device,
            net,
            share,
            vga,
            vga_bios,
            boot,
            fw_cfg,
            pci_hotplug,
        } = self;
        config.pci_hotplug |= pci_hotplug;
        set_some(&mut config.boot, boot);
        if !fw_cfg.is_empty() {
            config.fw_cfg.clone_from(fw_cfg);
        }
        if !disk.is_empty() {
            config.disk.clone_from(disk);
        }
        if !cdrom.is_empty() {
            config.cdrom.clone_from(cdrom);
        }
        if !floppy.is_empty() {
            config.floppy.clone_from(floppy);
        }
        if !device.is_empty() {
            config.device.clone_from(device);
        }
        set(&mut config.machine, machine);
        set(&mut config.cpu, cpu);
        if let Some(CpuCount { count, max }) = *cpus {
            (config.cpus, config.cpus_max) = (count, max);
        }
        if let Some(MemoryChoice { size, modules }) = *memory {
            config.memory = size;
            (config.memory_slots, config.memory_max) = modules.unzip();
        }
        set(&mut config.seed, seed);
        set(&mut config.rtc, rtc);
        set(&mut config.quantum, quantum);
        set(&mut config.net, net);
        set_some(&mut config.share, share);
        set(&mut config.vga, vga);
        set_some(&mut config.vga_bios, vga_bios);
    }
}

impl RunningArgs {
    fn apply(&self, config: &mut MachineConfig) {
        let Self {
            pace,
            audio,
            console,
            engine,
            headless,
            no_reboot,
            stop_at,
            limit,
            store,
            save_at,
            record,
            control,
            history,
            guest_checkpoints,
            save_on_exit,
            screenshot,
            hash,
            stats,
            json,
            trace,
            log,
            debugcon,
            gdb,
            symbols,
        } = self;
        set_some(&mut config.pace, pace);
        set(&mut config.audio, audio);
        set(&mut config.console, console);
        set(&mut config.engine, engine);
        config.headless |= headless;
        config.no_reboot |= no_reboot;
        set_some(&mut config.stop_at, stop_at);
        set_some(&mut config.limit, limit);
        set_some(&mut config.store, store);
        if !save_at.is_empty() {
            config.save_at.clone_from(save_at);
        }
        set_some(&mut config.record, record);
        set_some(&mut config.control, control);
        set_some(&mut config.history, history);
        set(&mut config.guest_checkpoints, guest_checkpoints);
        set_some(&mut config.save_on_exit, save_on_exit);
        if !screenshot.is_empty() {
            config.screenshot.clone_from(screenshot);
        }
        config.hash |= hash;
        config.stats |= stats;
        config.json |= json;
        set_some(&mut config.trace, trace);
        if !log.is_empty() {
            config.log.clone_from(log);
        }
        set_some(&mut config.debugcon, debugcon);
        set_some(&mut config.gdb, gdb);
        set_some(&mut config.symbols, symbols);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Guest;
    use clap::CommandFactory;

    fn run(words: &str) -> RunArgs {
        match Cli::try_parse_from(words.split(' ')).unwrap().command {
            Some(Command::Run(args)) => *args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_reach_the_configuration() {
        let args = run("amber run --kernel k --append x --memory 1G --cpus 2 --log int,exc --headless --gdb");
        let config = args.config().unwrap();
        assert_eq!(config.memory.bytes(), 1 << 30);
        assert_eq!(config.cpus, 2);
        assert_eq!(config.log, [LogCategory::Int, LogCategory::Exc]);
        assert_eq!(config.gdb.as_deref(), Some(DEFAULT_GDB));
        assert_eq!(config.effective_pace(true), Pace::None);
        assert!(matches!(config.guest(), Ok(Guest::Kernel { append: "x", .. })));
    }

    #[test]
    fn command_line_overrides_the_file_and_its_guest() {
        let file = std::env::temp_dir().join(format!("amber-args-{}.toml", std::process::id()));
        std::fs::write(&file, "kernel = \"k\"\nappend = \"a\"\nmemory = \"1G\"\ncpus = 3\n").unwrap();
        let mut args = run("amber run --rom r.bin --memory 2G");
        args.file = Some(file.clone());
        let config = args.config().unwrap();
        let mut same_kind = run("amber run --append b");
        same_kind.file = Some(file.clone());
        let append_only = same_kind.config().unwrap();
        std::fs::remove_file(&file).unwrap();
        assert_eq!((config.memory.bytes(), config.cpus), (2 << 30, 3));
        assert_eq!(config.guest().unwrap(), Guest::Rom("r.bin".as_ref()));
        assert!(matches!(append_only.guest(), Ok(Guest::Kernel { append: "b", .. })));
    }

    #[test]
    fn usage_errors_are_sentences() {
        let error = |words: &str| Cli::try_parse_from(words.split(' ')).unwrap_err().to_string();
        assert!(error("amber run --memory 512").contains("512M"));
        assert!(error("amber run --cpus 0").contains("1..=255"));
        assert!(error("amber run --flat x.bin").contains("FILE@ADDR"));
        assert!(error("amber test").contains("PATH"));
    }
}
