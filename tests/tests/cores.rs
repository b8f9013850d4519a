//! gdb, crash, drgn and volatility3 read an exported core of a Debian guest, and say of it what the guest said of itself.
//! That is run by name, after `tests/fetch-debian.sh` and `tests/fetch-cores.sh`:
//!
//!     cargo test --release -p amber-tests --test cores -- --ignored

use amber_emu::cli::build;
use amber_emu::config::{Firmware, MachineConfig};
use amber_emu::machine::{Machine, Plug, Stop};
use amber_mmu::ViewId;
use amber_snapshot::Store;
use amber_tests::Quiet;
use amber_tests::program::{Scratch, run};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The kernel unpacks itself for 4.5 billion steps; a shell is there before this one.
const BOUND: u64 = 20_000_000_000;
/// Steps from the guest's last word to the snapshot.
const ON: u64 = 50_000_000;

const MODULE: u64 = 128 << 20;

/// Walks the list of tasks by the kernel's types.
const GDB: &str = "set $task = &init_task
set $offset = (unsigned long)&((struct task_struct *)0)->tasks
while 1
  printf \"task %d %s\\n\", $task->pid, $task->comm
  set $task = (struct task_struct *)((unsigned long)$task->tasks.next - $offset)
  if $task == &init_task
    loop_break
  end
end
";

const DRGN: &str = "from drgn.helpers.linux.pid import for_each_task
print(prog['linux_banner'].string_().decode())
for task in for_each_task(prog): print('task', task.pid.value_(), task.comm.string_().decode())
";

/// A guest at its shell, and what it said of itself.
struct Guest {
    machine: Machine,
    banner: String,
    /// Tasks that stay, as `PID NAME`.
    tasks: Vec<String>,
}

impl Guest {
    fn boot(debian: &Path) -> Self {
        let config = MachineConfig {
            kernel: Some(debian.join("vmlinuz")),
            initrd: Some(debian.join("shell.gz")),
            // The kernel chooses where it lies, from a seed.
            append: Some("console=ttyS0 quiet panic=-1".into()),
            cpus: 2,
            memory_slots: Some(2),
            memory_max: Some("1G".parse().expect("a size")),
            ..MachineConfig::default()
        };
        let mut machine = build::machine(&config).expect("Debian's kernel can be loaded");
        let mut host = Quiet::default();
        while !String::from_utf8_lossy(&host.serial).contains("READY") {
            assert!(machine.step() < BOUND, "{}", String::from_utf8_lossy(&host.serial));
            let next = machine.step() + 10_000_000;
            assert_eq!(machine.run(next, &mut host, true), Stop::Step);
        }
        machine.plug(&mut host, Plug::Dimm(MODULE)).expect("there is room");
        let to = machine.step() + ON;
        machine.run(to, &mut host, true);
        machine.mmu_mut().write_physical(ViewId(0), (1 << 32) + 0x5000, b"in a module\0");
        let said = String::from_utf8_lossy(&host.serial).replace('\r', "");
        let banner = said.lines().find(|line| line.starts_with("Linux version")).expect("/proc/version");
        let tasks =
            said.lines().skip_while(|line| *line != "TASKS").skip(2).take_while(|line| *line != "READY");
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        // These come and go.
        let stays = |task: &String| !task.contains("kworker") && !task.ends_with(" ps");
        let tasks: Vec<_> = tasks.map(words).filter(stays).collect();
        assert!(tasks.contains(&"1 sh".to_owned()) && tasks.len() > 20, "{tasks:?}");
        Self { machine, banner: banner.to_owned(), tasks }
    }

    /// Panics unless a tool said the banner, and `task PID NAME` of every task.
    fn check(&self, tool: &str, said: &str) {
        assert!(said.contains(&self.banner), "{tool} does not show the banner: {said}");
        // These list tasks by their ids, of which the idle task has none.
        let idle = (!matches!(tool, "drgn" | "volatility3")).then_some("0 swapper/0");
        for task in self.tasks.iter().map(String::as_str).chain(idle) {
            let wanted = format!("task {task}");
            assert!(said.lines().any(|line| line == wanted), "{tool} does not show task {task}: {said}");
        }
    }
}

/// The folder that `tests/fetch-cores.sh` fills; `None`, said on standard error, if it is not there.
fn tools() -> Option<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/amber-cores"));
    let folder = std::env::var_os("AMBER_CORES").map(Into::into).or_else(home)?;
    let wanted = ["vmlinux", "crash", "python/bin/drgn", "python/bin/vol", "symbols/linux/vmlinux.json"];
    match wanted.iter().find(|file| !folder.join(file).exists()) {
        None => Some(folder),
        Some(file) => {
            eprintln!("skipped: no {file} in {}; tests/fetch-cores.sh fetches it", folder.display());
            None
        }
    }
}

/// A range of memory in a core: guest-physical address, offset in the file, length.
type Range = (u64, u64, u64);

/// The PT_LOADs of a core that are memory (ELF-64 object file format, 8).
fn ranges(core: &[u8]) -> Vec<Range> {
    let number = |at: usize, len: usize| {
        let mut bytes = [0; 8];
        bytes[..len].copy_from_slice(&core[at..at + len]);
        u64::from_le_bytes(bytes)
    };
    let headers = (0..number(56, 2)).map(|n| (number(32, 8) + 56 * n) as usize);
    let loads = headers.filter(|at| number(*at, 4) == 1);
    let range = |at: usize| (number(at + 24, 8), number(at + 8, 8), number(at + 32, 8));
    loads.map(range).filter(|(gpa, ..)| *gpa != u64::MAX).collect()
}

#[test]
fn a_core_has_the_memory_modules_too() {
    let config = MachineConfig {
        firmware: Some(Firmware::Monitor),
        memory: "64M".parse().expect("a size"),
        memory_slots: Some(32),
        memory_max: Some("8256M".parse().expect("a size")),
        ..MachineConfig::default()
    };
    let mut machine = build::machine(&config).expect("embedded images can be built");
    let mut host = Quiet::default();
    let first = 1u64 << 32;
    let mut wanted = vec![(0, 64 << 20)];
    // All slots have one.
    for slot in 0..32 {
        let len = MODULE * (1 + slot % 3);
        let at = wanted.last().map_or(first, |(base, len): &(u64, u64)| (base + len).max(first));
        machine.plug(&mut host, Plug::Dimm(len)).expect("there is room");
        machine.mmu_mut().write_physical(ViewId(0), at + MODULE - 3, &[0x77, slot as u8, 0x77]);
        wanted.push((at, len));
    }
    machine.mmu_mut().write_physical(ViewId(0), 0x5_0000, b"amber");
    let scratch = Scratch::new("cores-modules");
    let store = std::sync::Arc::new(Store::open(&scratch.0).expect("a store"));
    let id = machine.freeze().save(&store, None).expect("saved").id;
    let file = std::fs::File::create(scratch.0.join("core")).expect("the folder is writable");
    let snapshot = store.load(id).expect("it was saved");
    let written = amber_emu::vmcore::write(&snapshot, &file, &mut |_, _| {}).expect("written");
    let core = std::fs::File::open(scratch.0.join("core")).expect("it was written");
    let read = |at: u64, len: usize| {
        let mut bytes = vec![0; len];
        std::os::unix::fs::FileExt::read_exact_at(&core, &mut bytes, at).expect("it is in the file");
        bytes
    };
    let ranges = ranges(&read(0, 0x3000));
    assert_eq!(ranges.iter().map(|(gpa, _, len)| (*gpa, *len)).collect::<Vec<_>>(), wanted);
    assert_eq!(ranges.last().map(|(_, at, len)| at + len), Some(written.len));
    assert_eq!(read(ranges[0].1 + 0x5_0000, 5), b"amber");
    for (slot, (_, at, _)) in ranges[1..].iter().enumerate() {
        assert_eq!(read(at + MODULE - 4, 5), [0, 0x77, slot as u8, 0x77, 0], "module {slot}");
    }
}

/// What a tool says.
fn output(tool: &mut Command) -> String {
    let output = tool.stdin(Stdio::null()).output().expect("the tool is there");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text + &String::from_utf8_lossy(&output.stderr)
}

/// How far the kernel chose to lie from where it was linked, by its own note.
fn kernel_offset(core: &Path) -> String {
    let mut head = Vec::new();
    std::fs::File::open(core).and_then(|core| core.take(1 << 16).read_to_end(&mut head)).expect("readable");
    let head = String::from_utf8_lossy(&head).into_owned();
    let offset = head.lines().find_map(|line| line.strip_prefix("KERNELOFFSET=")).expect("VMCOREINFO");
    assert_ne!(offset, "0", "the kernel lies where it was linked: nothing is shown about KASLR");
    offset.to_owned()
}

#[test]
#[ignore = "needs a kernel, its debug information, tools and minutes"]
fn tools_read_the_core_of_a_debian_guest() {
    let (Some(debian), Some(tools)) = (amber_tests::debian(), tools()) else { return };
    let scratch = Scratch::new("cores");
    let mut guest = Guest::boot(&debian);
    let folder = scratch.0.join("store");
    let store = Store::open(&folder).expect("a store");
    let id = guest.machine.freeze().save(&store, None).expect("saved").id;
    store.name("shell", id, 0, false).expect("named");
    let core = scratch.0.join("core");
    let text = |path: &Path| path.display().to_string();
    let exported = run(&["snapshot", "export", "shell", "--vmcore", &text(&core), "--store", &text(&folder)]);
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let vmlinux = tools.join("vmlinux");

    let script = scratch.file("tasks.gdb", GDB.as_bytes());
    let symbols = format!("symbol-file -o 0x{} {}", kernel_offset(&core), text(&vmlinux));
    let mut gdb = Command::new("gdb");
    gdb.args(["-nx", "-batch", "-ex", "set print elements 0"]);
    // Without an executable file: whatever gdb shows of memory it has from the core.
    gdb.args(["-ex", &format!("core-file {}", text(&core)), "-ex", &symbols, "-ex", "x/s linux_banner"]);
    gdb.args(["-ex", "x/s page_offset_base + 0x100005000"]);
    gdb.args(["-ex", "thread apply all p/x $rip", "-x"]).arg(&script);
    let said = output(&mut gdb);
    guest.check("gdb", &said);
    assert!(said.contains("\"in a module\""), "gdb does not show what is in the memory module: {said}");
    for cpu in guest.machine.vcpus() {
        assert!(said.contains(&format!("{:#x}", cpu.rip)), "gdb does not show RIP {:#x}: {said}", cpu.rip);
    }

    // `ps` of crash before 8.0.4 knows no `struct pid` of present kernels; the list of tasks it walks on any.
    let commands =
        "sys\np linux_banner\nlog\nlist task_struct.tasks -s task_struct.pid,comm -h init_task\nquit\n";
    let commands = scratch.file("crash.txt", commands.as_bytes());
    let said =
        output(Command::new(tools.join("crash")).arg("-s").arg(&vmlinux).arg(&core).arg("-i").arg(&commands));
    let lines: Vec<&str> = said.lines().map(|line| line.trim().trim_end_matches(',')).collect();
    let tasks = lines.windows(2).filter_map(|pair| {
        let (pid, name) = (pair[0].strip_prefix("pid = ")?, pair[1].strip_prefix("comm = \"")?);
        Some(format!("task {pid} {}", name.split(['\\', '"']).next()?))
    });
    let tasks = tasks.collect::<Vec<_>>().join("\n");
    guest.check("crash", &format!("{said}\n{tasks}"));
    assert!(said.contains("Run /init as init process"), "crash does not show the kernel's log: {said}");

    let script = scratch.file("tasks.py", DRGN.as_bytes());
    let python = tools.join("python/bin");
    let said = output(
        Command::new(python.join("drgn")).args(["-q", "-c"]).arg(&core).arg("-s").arg(&vmlinux).arg(script),
    );
    guest.check("drgn", &said);

    let volatility = |plugin: &str| {
        let mut tool = Command::new(python.join("vol"));
        tool.args(["-q", "--offline", "-s"]).arg(tools.join("symbols")).arg("-f").arg(&core).arg(plugin);
        output(&mut tool)
    };
    let (banners, list) = (volatility("banners.Banners"), volatility("linux.pslist.PsList"));
    let tasks = list.lines().map(|line| line.split('\t').collect::<Vec<_>>()).filter(|words| words.len() > 4);
    let tasks = tasks.map(|words| format!("task {} {}\n", words[1], words[4])).collect::<String>();
    guest.check("volatility3", &(banners + &tasks));
}
