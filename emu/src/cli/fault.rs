//! A fault of Amber's own: a panic is caught, said in a sentence, and saved in a folder with what may explain it.

use super::report;
use super::run::exit;
use crate::config::MachineConfig;
use crate::machine::Machine;
use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::{Path, PathBuf};
use std::sync::Once;

/// A panic, as it was where it happened.
#[derive(Clone, Debug)]
pub struct Panic {
    /// On one line, with the place in the source.
    pub message: String,
    pub backtrace: String,
}

thread_local! {
    /// How many guards this thread is inside of, and the last panic in them.
    static GUARDED: RefCell<(u32, Option<Panic>)> = const { RefCell::new((0, None)) };
}

/// Calls `act`; a panic in it comes back as a value, and nothing is printed.
///
/// # Errors
/// The panic.
pub fn guard<T>(act: impl FnOnce() -> T) -> Result<T, Panic> {
    static HOOK: Once = Once::new();
    HOOK.call_once(install);
    GUARDED.with_borrow_mut(|(depth, _)| *depth += 1);
    let outcome = catch_unwind(AssertUnwindSafe(act));
    let panic = GUARDED.with_borrow_mut(|(depth, last)| {
        *depth -= 1;
        last.take()
    });
    outcome.map_err(|_| {
        panic.unwrap_or_else(|| Panic { message: "without a word".into(), backtrace: String::new() })
    })
}

/// Makes panics inside a guard be noted; all others go the way they did.
fn install() {
    let other = take_hook();
    set_hook(Box::new(move |info| {
        let noted = GUARDED.with_borrow_mut(|(depth, last)| {
            if *depth != 0 {
                let message = info.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
                *last = Some(Panic { message, backtrace: Backtrace::force_capture().to_string() });
            }
            *depth != 0
        });
        if !noted {
            other(info);
        }
    }));
}

impl Panic {
    /// Whether it is a print to a pipe that nobody reads any more, as in `amber ... | head`: no fault.
    fn lost_its_reader(&self) -> bool {
        self.message.contains("failed printing to stdout: Broken pipe")
    }
}

/// The step at which a run is to have a fault, so that what is done about one can be watched: `AMBER_FAULT_AT`.
pub fn rehearsal() -> Option<u64> {
    std::env::var("AMBER_FAULT_AT").ok()?.parse().ok()
}

/// Has the fault, when the run has come to its step.
///
/// # Panics
/// Then.
pub fn rehearse(at: Option<u64>, step: u64) {
    assert!(at.is_none_or(|at| step < at), "a fault that AMBER_FAULT_AT asked for");
}

/// Saves what is known of a fault, says so on standard error, and returns the exit code.
pub fn report(panic: &Panic, config: Option<&MachineConfig>, machine: Option<&Machine>) -> i32 {
    if panic.lost_its_reader() {
        return exit::READER_LEFT;
    }
    eprintln!("{}", told(panic, config, machine));
    exit::INTERNAL
}

/// Saves what is known of a fault; the sentence that says so.
pub fn told(panic: &Panic, config: Option<&MachineConfig>, machine: Option<&Machine>) -> String {
    sentence(panic, &std::env::temp_dir(), config, machine)
}

fn sentence(
    panic: &Panic,
    folder: &Path,
    config: Option<&MachineConfig>,
    machine: Option<&Machine>,
) -> String {
    let step = machine.map(|machine| format!(" after step {}", machine.step())).unwrap_or_default();
    let what = format!("amber: internal error{step}: {}", panic.message);
    match save(panic, folder, config, machine) {
        Ok(bundle) => format!(
            "{what}; this is a fault of Amber's, not the guest's: please report it to Amber's authors with the files in {}",
            bundle.display()
        ),
        Err(error) => format!(
            "{what}; this is a fault of Amber's, not the guest's: please report it to Amber's authors (no details are saved: \
             {}: {error})",
            folder.display()
        ),
    }
}

/// Writes `panic.txt`, `machine.toml`, which repeats the run, and `processors.txt` into a new folder in `folder`.
fn save(
    panic: &Panic,
    folder: &Path,
    config: Option<&MachineConfig>,
    machine: Option<&Machine>,
) -> io::Result<PathBuf> {
    let bundle = new_folder(folder)?;
    let arguments: Vec<_> = std::env::args_os().map(|argument| argument.display().to_string()).collect();
    let text = format!(
        "amber {}\n{}\n\n{}\n\n{}",
        env!("CARGO_PKG_VERSION"),
        arguments.join(" "),
        panic.message,
        panic.backtrace
    );
    std::fs::write(bundle.join("panic.txt"), text)?;
    if let Some(config) = config {
        let toml = config.to_toml().unwrap_or_else(|error| format!("# {error}\n{config:#?}"));
        std::fs::write(bundle.join("machine.toml"), toml)?;
    }
    if let Some(machine) = machine {
        // The machine was left in the middle of something: looking at it may fail, too.
        let text = guard(|| report::processors(machine)).unwrap_or_else(|panic| panic.message);
        std::fs::write(bundle.join("processors.txt"), text)?;
    }
    Ok(bundle)
}

fn new_folder(parent: &Path) -> io::Result<PathBuf> {
    let name = |n: u32| parent.join(format!("amber-fault-{}-{n}", std::process::id()));
    for n in 1..100 {
        match std::fs::create_dir(name(n)) {
            Ok(()) => return Ok(name(n)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::build;
    use crate::config::Firmware;

    #[test]
    fn a_panic_becomes_a_value_and_others_are_let_through() {
        assert_eq!(guard(|| 5).map_err(|panic| panic.message), Ok(5));
        let inner = guard(|| {
            let panic = guard(|| panic!("in\n  two lines {}", 7)).map_err(|panic: Panic| panic.message);
            assert!(panic.is_err_and(|message: String| message.ends_with("in two lines 7")));
            guard(|| 6).map_err(|panic| panic.message)
        });
        assert_eq!(inner.map_err(|panic| panic.message), Ok(Ok(6)));
        assert!(catch_unwind(|| panic!("expected: outside of any guard")).is_err());
    }

    #[test]
    fn a_fault_leaves_a_bundle_and_a_sentence() {
        let folder = std::env::temp_dir().join(format!("amber-fault-test-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let memory = "16M".parse().unwrap();
        let config = MachineConfig { firmware: Some(Firmware::Smp), cpus: 2, memory, ..Default::default() };
        let mut machine = build::machine(&config).unwrap();
        let panic = guard(|| {
            machine.vcpu_mut(0).gpr[0] = 0xFA17;
            panic!("a unit test");
        })
        .unwrap_err();
        let text = sentence(&panic, &folder, Some(&config), Some(&machine));
        assert!(text.contains("internal error after step 0") && text.contains("a unit test"), "{text}");
        assert_eq!(text.lines().count(), 1);
        let bundle = PathBuf::from(text.rsplit(' ').next().unwrap());
        let read = |name: &str| std::fs::read_to_string(bundle.join(name)).unwrap();
        assert!(read("panic.txt").contains("a_fault_leaves_a_bundle_and_a_sentence"), "the backtrace");
        let repeat = MachineConfig::from_toml(&read("machine.toml"), Path::new("machine.toml")).unwrap();
        assert_eq!(repeat, config);
        assert!(read("processors.txt").contains("rax 000000000000fa17"));
        assert!(read("processors.txt").contains("cpu1"));
        std::fs::remove_dir_all(&folder).unwrap();
        let lost = sentence(&panic, &folder, None, None);
        assert!(lost.contains("no details are saved"), "{lost}");
    }
}
