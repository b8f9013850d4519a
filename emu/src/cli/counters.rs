//! The counters of a run, as `--stats` prints them.

use crate::machine::{Flow, Machine, Traffic};
use amber_cpu::JitCounters;
use std::fmt::Write;

/// Instructions named that translated code had interpreted most.
const MOST_INTERPRETED: usize = 12;

/// A counter's label and its value, in digits or as `-`.
type Row = (&'static str, String);

/// The counters of a run as a table.
pub fn stats(machine: &Machine, seconds: f64) -> String {
    let mut text = String::new();
    for (label, value) in rows(machine, seconds) {
        let _ = writeln!(text, "{label:<28} {value:>16}");
    }
    for (instruction, count) in machine.code().interpreted().into_iter().take(MOST_INTERPRETED) {
        let _ = writeln!(text, "  {instruction:<26} {count:>16}");
    }
    text
}

/// The counters of a run as a JSON object. Keys are the labels of the table with underscores; what is not known is null.
pub fn stats_json(machine: &Machine, seconds: f64) -> String {
    format!("{:#}\n", counted(machine, seconds))
}

/// The same object, to be sent.
pub fn counted(machine: &Machine, seconds: f64) -> serde_json::Value {
    let key = |label: &str| {
        let words = label.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join("_")
    };
    let number = |value: &str| serde_json::from_str(value).unwrap_or(serde_json::Value::Null);
    let object: serde_json::Map<_, _> =
        rows(machine, seconds).iter().map(|(label, value)| (key(label), number(value))).collect();
    object.into()
}

fn rows(machine: &Machine, seconds: f64) -> Vec<Row> {
    let mut rows = engine(machine, seconds);
    rows.extend(memory(machine));
    rows.extend(devices(machine.traffic()));
    if let Some((jit, (code, metadata))) = machine.code().jit() {
        rows.extend(translation(machine.step(), jit));
        rows.extend([
            ("code memory, bytes", code.to_string()),
            ("its metadata, bytes", metadata.to_string()),
        ]);
    }
    rows
}

fn engine(machine: &Machine, seconds: f64) -> Vec<Row> {
    let code = machine.code();
    let retired: u64 = machine.vcpus().iter().map(|vcpu| vcpu.system.retired).sum();
    let blocks: u64 = machine.vcpus().iter().map(|vcpu| vcpu.counters.blocks).sum();
    let faults: u64 = machine.vcpus().iter().map(|vcpu| vcpu.counters.faults).sum();
    let interrupts: u64 = machine.vcpus().iter().map(|vcpu| vcpu.counters.interrupts).sum();
    let known = |value: String| if seconds > 0.0 { value } else { "-".to_owned() };
    vec![
        ("steps", machine.step().to_string()),
        ("virtual time, ns", machine.now().to_string()),
        ("host time, s", known(format!("{seconds:.3}"))),
        ("instructions retired", retired.to_string()),
        ("million instructions/s", known(format!("{:.1}", retired as f64 / seconds / 1e6))),
        ("blocks entered", blocks.to_string()),
        ("block look-ups missed", code.missed.to_string()),
        ("blocks decoded", code.built.to_string()),
        ("instructions decoded", code.decoded.to_string()),
        ("exceptions", faults.to_string()),
        ("interrupts", interrupts.to_string()),
    ]
}

fn memory(machine: &Machine) -> Vec<Row> {
    let counters = machine.mmu().counters;
    vec![
        ("page walks", counters.walks.to_string()),
        ("TLB contexts made", counters.contexts.to_string()),
        ("page-table stores", counters.table_stores.to_string()),
        ("translations dropped", counters.dropped.to_string()),
        ("stores to decoded code", counters.code_stores.to_string()),
        ("stores beside decoded code", counters.near_code_stores.to_string()),
    ]
}

fn devices(traffic: Traffic) -> Vec<Row> {
    let Traffic { port_reads, port_writes, mmio_reads, mmio_writes, disk_flushes, .. } = traffic;
    let mut rows = vec![
        ("port reads", port_reads.to_string()),
        ("port writes", port_writes.to_string()),
        ("device memory reads", mmio_reads.to_string()),
        ("device memory writes", mmio_writes.to_string()),
    ];
    let flows = [
        ("disk reads", "disk bytes read", traffic.disk_reads),
        ("disk writes", "disk bytes written", traffic.disk_writes),
        ("frames sent", "network bytes sent", traffic.frames_sent),
        ("frames received", "network bytes received", traffic.frames_received),
    ];
    for (label, of_bytes, Flow { times, bytes }) in flows {
        rows.extend([(label, times.to_string()), (of_bytes, bytes.to_string())]);
    }
    rows.push(("disk flushes", disk_flushes.to_string()));
    rows
}

fn translation(steps: u64, jit: JitCounters) -> Vec<Row> {
    vec![
        ("translated, % of steps", format!("{:.2}", jit.run as f64 * 100.0 / steps.max(1) as f64)),
        ("translated code entered", jit.entered.to_string()),
        ("events within it", jit.crossed.to_string()),
        ("interpreted from within", jit.interpreted.to_string()),
        ("blocks translated", jit.translated.to_string()),
        ("instructions translated", jit.instructions.to_string()),
        ("host code made, bytes", jit.bytes.to_string()),
        ("translating, ms", (jit.nanoseconds / 1_000_000).to_string()),
        ("translations flushed", jit.flushes.to_string()),
        ("loops translated", jit.loops.to_string()),
        ("looks at where it is", jit.samples.to_string()),
        (
            "in a loop, % of looks",
            format!("{:.1}", 100.0 * jit.samples_in_loops as f64 / jit.samples.max(1) as f64),
        ),
    ]
}
