//! Processors that come and go. One that comes is as after power-up, one that goes leaves nothing behind.

use super::super::Machine;
use super::super::start::set_up_as_firmware;
use super::PlugError;
use amber_cpu::Vcpu;
use amber_devices::{CPUS_MAX, CpuSlots, Part, TIME_MAX};
use amber_snapshot::{Schema, Section, SectionError};
use serde::{Deserialize, Serialize};

/// Places for processors, and which are taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct CpuParts {
    /// Most processors: their ids are below it.
    max: u32,
    /// Ids of those that are there, in order.
    present: Vec<u32>,
    /// Virtual time of the last reset, ns: the TSC of all counts from there, also of those that come later.
    reset_at: u64,
}

impl Section for CpuParts {
    const KIND: &'static str = "hotplug-cpus";
    const VERSION: u32 = 1;
}

impl CpuParts {
    /// Room for `max` processors, `cpus` of which are there.
    pub fn new(cpus: u32, max: u32) -> Self {
        Self { max, present: (0..cpus).collect(), reset_at: 0 }
    }

    /// Most processors.
    pub fn max(&self) -> u32 {
        self.max
    }

    /// Ids of the processors that are there, in order.
    pub fn present(&self) -> &[u32] {
        &self.present
    }

    pub(super) fn chipset(&self) -> CpuSlots {
        CpuSlots { max: self.max, present: self.present.clone() }
    }

    /// What a stored machine cannot have.
    pub(in crate::machine) fn check(&self) -> Result<(), SectionError> {
        let wrong = if self.max > CPUS_MAX || self.present.len() as u64 > u64::from(self.max) {
            Some(("max", self.max.to_string()))
        } else if self.present.first() != Some(&0) || !self.present.windows(2).all(|pair| pair[0] < pair[1]) {
            Some(("present", format!("{:?}", self.present)))
        } else if self.reset_at > TIME_MAX {
            Some(("reset_at", self.reset_at.to_string()))
        } else {
            None
        };
        let path = super::CPUS.to_owned();
        wrong.map_or(Ok(()), |(field, value)| Err(SectionError::Value { path, field, value }))
    }
}

impl Machine {
    /// Ids of the processors, and most of them there can be.
    pub(in crate::machine) fn processor_ids(&self) -> (Vec<u32>, u32) {
        match &self.equipment.hotplug.cpus {
            Some(cpus) => (cpus.present.clone(), cpus.max),
            None => ((0..self.spec.cpus).collect(), self.spec.cpus),
        }
    }

    /// Everything was reset.
    pub(in crate::machine) fn note_reset(&mut self) {
        let now = self.now();
        self.equipment.hotplug.cpus.iter_mut().for_each(|cpus| cpus.reset_at = now);
    }

    /// The lowest id there is a place for.
    ///
    /// # Errors
    /// When all places are taken, or there are none.
    pub fn free_cpu(&self) -> Result<u32, PlugError> {
        let cpus = self.equipment.hotplug.cpus.as_ref().ok_or(PlugError::NoCpus)?;
        let free = (0..cpus.max).find(|id| !cpus.present.contains(id));
        free.ok_or(PlugError::CpusFull(cpus.max))
    }

    pub(super) fn check_place_for_cpu(&self, id: u32) -> Result<(), PlugError> {
        let cpus = self.equipment.hotplug.cpus.as_ref().ok_or(PlugError::NoCpus)?;
        if id >= cpus.max {
            return Err(PlugError::NoPlace { id, last: cpus.max - 1 });
        }
        if cpus.present.contains(&id) { Err(PlugError::CpuThere(id)) } else { Ok(()) }
    }

    pub(super) fn plug_cpu(&mut self, id: u32) -> Part {
        let now = self.now();
        let alone = self.vcpus.len() == 1;
        if let Some(cpus) = &mut self.equipment.hotplug.cpus {
            let at = cpus.present.partition_point(|other| *other < id);
            cpus.present.insert(at, id);
            let mut vcpu = Vcpu::new(self.model, id, cpus.max, self.spec.seed);
            vcpu.system.msrs.tsc_offset = cpus.reset_at.wrapping_neg();
            if self.spec.firmware_len == 0 {
                set_up_as_firmware(&mut vcpu);
            }
            // The debugger's, not the machine's.
            vcpu.set_watch(self.vcpus[0].watch().clone());
            self.vcpus.insert(at, vcpu);
            self.position.current += u32::from(at <= self.position.current as usize);
        }
        if alone {
            self.position.slice_end = now + self.spec.quantum;
        }
        self.with_dma(|platform, dma| platform.plug_cpu(dma, id));
        Part::Cpu(id)
    }

    /// The processor's slice is over if it had it: the one behind it is next.
    pub(super) fn remove_cpu(&mut self, id: u32) {
        let Some(cpus) = &mut self.equipment.hotplug.cpus else { return };
        let Some(at) = cpus.present.iter().position(|other| *other == id) else { return };
        cpus.present.remove(at);
        self.vcpus.remove(at);
        self.end_monitors();
        let position = &mut self.position;
        if at == position.current as usize {
            position.slice_end = self.platform.clock.now();
        }
        position.current -= u32::from(at <= position.current as usize);
        if self.vcpus.len() == 1 {
            position.slice_end = 0;
        }
    }

    /// Takes over the processors of a frozen state: those there still are go back, others come again.
    pub(in crate::machine) fn rewind_processors(&mut self, then: &[Vcpu]) {
        let same = |(own, then): (&Vcpu, &Vcpu)| own.apic.id() == then.apic.id();
        if self.vcpus.len() != then.len() || !self.vcpus.iter().zip(then).all(same) {
            let mut own = std::mem::take(&mut self.vcpus);
            let watch = own[0].watch().clone();
            let take = |then: &Vcpu| match own.iter().position(|own| same((own, then))) {
                Some(n) => own.swap_remove(n),
                None => {
                    let mut vcpu = then.clone();
                    vcpu.set_watch(watch.clone());
                    vcpu
                }
            };
            self.vcpus = then.iter().map(take).collect();
        }
        for (own, then) in self.vcpus.iter_mut().zip(then) {
            own.rewind(then);
        }
    }
}
