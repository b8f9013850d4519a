//! What went between processors, devices and the world: counted for people, and no part of the machine's state.

/// So many times, and bytes in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    pub times: u64,
    pub bytes: u64,
}

impl Flow {
    /// Once more, with so many bytes.
    pub(super) fn add(&mut self, bytes: usize) {
        self.times += 1;
        self.bytes += bytes as u64;
    }
}

/// Since the machine was made in this process. What is run again after it was taken back counts again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// A processor's accesses to ports.
    pub port_reads: u64,
    pub port_writes: u64,
    /// A processor's accesses to devices' memory.
    pub mmio_reads: u64,
    pub mmio_writes: u64,
    /// What devices read of the disks' media, CDs and diskettes among them.
    pub disk_reads: Flow,
    pub disk_writes: Flow,
    pub disk_flushes: u64,
    /// Frames of the network adapter.
    pub frames_sent: Flow,
    pub frames_received: Flow,
}
