//! `--from`: a machine out of a snapshot.

use super::args::MachineArgs;
use super::stores::{self, Found};
use crate::config::{
    CpuChoice, CpuCount, DeviceChoice, DriveChoice, Mac, MachineConfig, MemoryChoice, MemorySize, NetChoice,
    RtcDate,
};
use crate::machine::{Equipment, Hotplug, Machine, MachineSpec, NicSpec, PlacedDisk};
use amber_snapshot::SnapshotId;
use anyhow::{Result, bail};
use std::path::PathBuf;

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
    let equipment = Machine::equipment_in(&snapshot.manifest.sections)?;
    let mut differences = contradictions(asked, &spec, &equipment.hotplug);
    differences.extend(other_devices(&asked.device, &equipment));
    if asked.share.is_some() {
        differences.push(
            "--share is read when a machine is made; `amber ctl share load` gives it other files".to_owned(),
        );
    }
    let media = config.media();
    if asked.pci_hotplug && equipment.hotplug.functions.is_none() {
        differences.push("--pci-hotplug lets disks come and go, the snapshot's stay".to_owned());
    }
    let placed = equipment.disks(&spec.disks);
    differences.extend(other_disks(&media, &placed));
    differences.extend(other_nic(&config.net, equipment.nic.as_ref()));
    if !differences.is_empty() {
        bail!("--from {text}: {}; leave out what the snapshot decides", differences.join("; "));
    }
    let images: Vec<PathBuf> = media.into_iter().filter_map(|drive| drive.file).collect();
    let mut machine = Machine::load_with(snapshot, &images)?;
    machine.set_engine(config.engine.into());
    machine.fetch_ahead();
    Ok(Origin { machine, id })
}

/// Every option that asks for another machine than the snapshot holds, field by field.
fn contradictions(asked: &MachineArgs, spec: &MachineSpec, hotplug: &Hotplug) -> Vec<String> {
    // What is in the option ROM is part of the snapshot. Disks and the network in a file beside --from count as well:
    // they say where the images are, and where the cable leads.
    let MachineArgs { machine, cpu, cpus, memory, seed, rtc, quantum, vga, boot, fw_cfg, .. } = asked;
    let have = CpuChoice { model: spec.cpu.clone(), features: spec.features.clone() };
    let count = CpuCount { count: spec.cpus, max: hotplug.cpus.as_ref().map(|cpus| cpus.max()) };
    let fields = [
        ("--machine", machine.map(|asked| (asked.to_string(), spec.machine.clone()))),
        ("--cpu", cpu.as_ref().map(|asked| (asked.to_string(), have.to_string()))),
        ("--cpus", cpus.map(|asked| (asked.to_string(), count.to_string()))),
        ("--memory", memory.map(|asked| (asked.to_string(), memory_of(spec, hotplug).to_string()))),
        ("--seed", seed.map(|asked| (asked.0.to_string(), spec.seed.to_string()))),
        ("--rtc", rtc.map(|asked| (asked.to_string(), date(spec.rtc_start)))),
        ("--vga", vga.map(|asked| (asked.to_string(), spec.display.clone()))),
        ("--quantum", quantum.map(|asked| (asked.to_string(), spec.quantum.to_string()))),
    ];
    let differs = |(option, values): (&str, Option<(String, String)>)| {
        let (asked, have) = values.filter(|(asked, have)| asked != have)?;
        Some(format!("{option} asks for {asked}, the snapshot has {have}"))
    };
    let told = [("--boot", boot.is_some()), ("--fw-cfg", !fw_cfg.is_empty())];
    let told = told.into_iter().filter(|(_, given)| *given);
    let told = told.map(|(option, _)| format!("{option} is told a machine when it is built"));
    fields.into_iter().filter_map(differs).chain(told).collect()
}

/// The memory as a person asks for it.
fn memory_of(spec: &MachineSpec, hotplug: &Hotplug) -> MemoryChoice {
    let modules =
        hotplug.memory.as_ref().map(|memory| (memory.slots(), MemorySize::from_bytes(memory.max())));
    MemoryChoice { size: MemorySize::from_bytes(spec.memory), modules }
}

/// Devices the snapshot does not have.
fn other_devices(asked: &[DeviceChoice], have: &Equipment) -> Option<String> {
    let missing = asked.iter().find(|asked| !have.peripherals.all().any(|own| own == asked.0))?;
    Some(format!("--device asks for {missing}, the snapshot has none"))
}

/// Unix seconds as a person writes them.
fn date(seconds: i64) -> String {
    let date = u64::try_from(seconds).ok().and_then(RtcDate::from_unix_seconds);
    date.map_or_else(|| format!("{seconds} s after 1970"), |date| date.to_string())
}

/// With --from, the network says where the cable leads now.
fn other_nic(asked: &NetChoice, have: Option<&NicSpec>) -> Option<String> {
    let asked = asked.nic()?;
    let Some(have) = have else {
        return Some("--net asks for a network adapter, the snapshot has none".to_owned());
    };
    if let Some(model) = asked.model.filter(|model| model.name() != have.model) {
        return Some(format!("--net asks for the model {}, the snapshot has {}", model.name(), have.model));
    }
    let (asked, have) = (asked.mac.filter(|mac| mac.0 != have.mac)?, Mac(have.mac));
    Some(format!("--net asks for the address {asked}, the snapshot has {have}"))
}

/// With --from, disks say where the snapshot's images are now: all of them, or none.
fn other_disks(asked: &[DriveChoice], have: &[PlacedDisk]) -> Option<String> {
    if asked.is_empty() {
        return None;
    }
    if asked.len() != have.len() {
        return Some(format!("--disk names {} images, the snapshot has {} disks", asked.len(), have.len()));
    }
    let kind = |interface: &str, read_only, there: bool| match (there, read_only) {
        (false, _) => format!("nothing on {interface}"),
        (true, true) => format!("read-only on {interface}"),
        (true, false) => format!("writable on {interface}"),
    };
    let kinds = |(asked, have): (&DriveChoice, &PlacedDisk)| {
        let asked = kind(asked.interface.name(), asked.read_only, asked.file.is_some());
        (asked, kind(&have.spec.interface, have.spec.read_only, have.spec.has_medium()))
    };
    let mut pairs = asked.iter().zip(have).map(kinds).enumerate();
    let (n, (wanted, there)) = pairs.find(|(_, (asked, have))| asked != have)?;
    let file = asked[n].file.as_ref().map_or_else(|| "none".to_owned(), |file| file.display().to_string());
    Some(format!("disk {file} is {wanted}, disk{} of the snapshot {there}", have[n].n))
}
