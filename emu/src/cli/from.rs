//! `--from`: a machine out of a snapshot.

use super::args::MachineArgs;
use super::stores::{self, Found};
use crate::config::{CpuChoice, MachineConfig};
use crate::machine::{Machine, MachineSpec};
use amber_snapshot::SnapshotId;
use anyhow::{Result, bail};

/// A machine that goes on from a snapshot, and where that is.
pub struct Origin {
    pub machine: Machine,
    pub id: SnapshotId,
}

/// Loads the machine of snapshot `text`.
///
/// # Errors
/// When there is no such snapshot, it cannot be read, or `asked` contradicts the machine it holds.
pub fn load(config: &MachineConfig, asked: &MachineArgs, text: &str) -> Result<Origin> {
    let Found { id, snapshot, .. } = stores::find(config.store.as_deref(), text)?;
    let spec = Machine::spec_in(&snapshot.manifest.sections)?;
    let differences = contradictions(asked, &spec);
    if !differences.is_empty() {
        bail!("--from {text}: {}; leave out what the snapshot decides", differences.join("; "));
    }
    let machine = Machine::load(snapshot)?;
    machine.fetch_ahead();
    Ok(Origin { machine, id })
}

/// Every option that asks for another machine than the snapshot holds, field by field.
fn contradictions(asked: &MachineArgs, spec: &MachineSpec) -> Vec<String> {
    let MachineArgs { machine, cpu, cpus, memory, seed, rtc, quantum } = asked;
    let have = CpuChoice { model: spec.cpu.clone(), features: spec.features.clone() };
    let fields = [
        ("--machine", machine.map(|asked| (asked.to_string(), spec.machine.clone()))),
        ("--cpu", cpu.as_ref().map(|asked| (asked.to_string(), have.to_string()))),
        ("--cpus", cpus.map(|asked| (asked.to_string(), spec.cpus.to_string()))),
        ("--memory", memory.map(|asked| (asked.bytes().to_string(), spec.memory.to_string()))),
        ("--seed", seed.map(|asked| (asked.0.to_string(), spec.seed.to_string()))),
        ("--rtc", rtc.map(|asked| (asked.unix_seconds().to_string(), spec.rtc_start.to_string()))),
        ("--quantum", quantum.map(|asked| (asked.to_string(), spec.quantum.to_string()))),
    ];
    let differs = |(option, values): (&str, Option<(String, String)>)| {
        let (asked, have) = values.filter(|(asked, have)| asked != have)?;
        Some(format!("{option} asks for {asked}, the snapshot has {have}"))
    };
    fields.into_iter().filter_map(differs).collect()
}
