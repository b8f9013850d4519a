//! What a guest writes to its disks is kept in the host's memory: a word where that may be more than there is.

use crate::machine::MachineSpec;

/// The sentence to say before a machine with these disks runs, if all of them written would not fit into `free` bytes.
fn sentence(spec: &MachineSpec, free: u64) -> Option<String> {
    let most: u64 = spec.disks.iter().filter(|disk| !disk.read_only).map(|disk| disk.len).sum();
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    (most > free).then(|| {
        format!(
            "what the guest writes to its disks is kept in memory: {} MiB at most, {} MiB are free; the run ends \
             badly if it writes more than that. Use `ro`, or smaller images, where it may",
            mib(most),
            mib(free)
        )
    })
}

/// Says so on standard error.
pub fn warn(spec: &MachineSpec) {
    if let Some(sentence) = free_memory().and_then(|free| sentence(spec, free)) {
        eprintln!("amber: {sentence}");
    }
}

/// Memory the host could give, bytes. `None` where it does not say.
fn free_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::DiskSpec;

    #[test]
    fn writable_disks_that_may_outgrow_memory_are_told_of() {
        let disk = |len, read_only| DiskSpec { interface: "virtio".into(), len, hash: [0; 32], read_only };
        let spec = |disks| MachineSpec {
            machine: String::new(),
            cpu: String::new(),
            features: Vec::new(),
            cpus: 1,
            memory: 1 << 20,
            seed: 0,
            rtc_start: 0,
            quantum: 1,
            firmware_len: 0,
            boot_len: 0,
            disks,
            display: String::new(),
            option_rom_len: 0,
            variables_len: 0,
            fw_cfg: Vec::new(),
        };
        assert_eq!(sentence(&spec(vec![disk(1 << 30, false), disk(1 << 40, true)]), 2 << 30), None);
        let two = sentence(&spec(vec![disk(1 << 30, false), disk(1 << 30, false)]), 1 << 30);
        assert!(two.is_some_and(|text| text.contains("2048 MiB at most, 1024 MiB are free")));
    }
}
