//! A driver of each device: where its registers are, and what brings it to life.

pub mod ahci;
mod board;
mod floppy;
pub mod hda;
mod hotplug;
mod ide;
pub mod nvme;
pub mod vga;
pub mod virtio;
pub mod virtio_blk;

use crate::machine::*;
use crate::memory::Memory;
use crate::operation::{Op, run};
use amber_devices::*;

/// A device's registers, as the guest reaches them.
pub struct Target {
    pub name: &'static str,
    pub ports: &'static [(u16, u16)],
    pub windows: &'static [(u64, u64)],
    /// What brings the device to life, if its registers alone do not.
    pub prelude: fn() -> Vec<Op>,
}

/// No prelude.
pub fn none() -> Vec<Op> {
    Vec::new()
}

pub const ECAM: u64 = 0xb000_0000;
/// The disk's queue and buffers in memory.
pub const TABLE: u64 = 0x1000;
pub const DRIVER: u64 = 0x1800;
pub const USED: u64 = 0x1c00;
pub const BUFFERS: u64 = 0x2000;

/// All of them.
pub fn targets() -> Vec<&'static Target> {
    let all: [&[Target]; 10] = [
        &board::TARGETS,
        &vga::TARGETS,
        &floppy::TARGETS,
        &virtio_blk::TARGETS,
        &nvme::TARGETS,
        &ahci::TARGETS,
        &ide::TARGETS,
        &hotplug::TARGETS,
        &hda::TARGETS,
        &virtio::TARGETS,
    ];
    all.into_iter().flatten().collect()
}

fn descriptor(address: u64, len: u32, flags: u16, next: u16) -> [u8; 16] {
    let word =
        u128::from(address) | u128::from(len) << 64 | u128::from(flags) << 96 | u128::from(next) << 112;
    word.to_le_bytes()
}
