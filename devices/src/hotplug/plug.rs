//! Parts on their way into a platform and out of it.

use super::{CPU_GPE, Dimm, FUNCTION_GPE, Hotplug, MEMORY_GPE, Outcome, Part, PartState};
use crate::clock::{TIMERS, Timer};
use crate::device::{DeviceCtx, DeviceId, Dma};
use crate::disk::DiskConfig;
use crate::effects::Effect;
use crate::irq::{IrqSource, Line};
use crate::nic::NicConfig;
use crate::pci::{ADAPTER_SLOT, disk_slot, endpoint::pirq_of};
use crate::platform::Platform;

impl Platform {
    /// Processor `id`, which has a place and was not there, is there from now on, and the guest is told.
    pub fn plug_cpu(&mut self, dma: &mut dyn Dma, id: u32) {
        if let Some(cpus) = &mut self.hotplug.cpus {
            cpus.insert(id);
            self.count_cpus();
            self.tell(dma, CPU_GPE);
        }
    }

    /// A module, for whose slot and range there is room, is there from now on, and the guest is told.
    pub fn plug_dimm(&mut self, dma: &mut dyn Dma, dimm: &Dimm) {
        if let Some(memory) = &mut self.hotplug.memory {
            memory.insert(dimm);
            self.effects.push(Effect::MapChanged);
            self.tell(dma, MEMORY_GPE);
        }
    }

    /// Disk `n`, which was not there and is to be a function of its own, is there from now on, and the guest is told.
    pub fn plug_disk(&mut self, dma: &mut dyn Dma, n: u8, disk: &DiskConfig) {
        if let Some(functions) = &mut self.hotplug.functions {
            functions.insert(disk_slot(n));
            self.pci.plug_disk(n, disk);
            self.tell(dma, FUNCTION_GPE);
        }
    }

    /// The network adapter, which was not there, is there from now on, and the guest is told.
    pub fn plug_nic(&mut self, dma: &mut dyn Dma, nic: &NicConfig) {
        if let Some(functions) = &mut self.hotplug.functions {
            functions.insert(ADAPTER_SLOT);
            self.pci.plug_nic(nic);
            self.tell(dma, FUNCTION_GPE);
        }
    }

    /// A function is gone: it drives no line, waits for nothing and answers nowhere; what it was at never ends.
    fn remove_function(&mut self, slot: u8) {
        self.pci.attached.retain(|attached| attached.function().slot() != slot);
        for timer in 0..TIMERS {
            self.clock.cancel(Timer { device: DeviceId::Slot(slot), timer });
        }
        self.irqs.set(Line::Pirq(pirq_of(slot, 1)), IrqSource::Slot(slot), false);
        self.settle();
    }

    /// Asks the guest to let go of a part that is there.
    pub fn ask_for(&mut self, dma: &mut dyn Dma, part: Part) {
        match part {
            Part::Cpu(id) => {
                if let Some(cpus) = &mut self.hotplug.cpus {
                    cpus.ask_for(id);
                    self.tell(dma, CPU_GPE);
                }
            }
            Part::Dimm(slot) => {
                if let Some(memory) = &mut self.hotplug.memory {
                    memory.ask_for(slot);
                    self.tell(dma, MEMORY_GPE);
                }
            }
            Part::Function(slot) => {
                if let Some(functions) = &mut self.hotplug.functions {
                    functions.ask_for(slot);
                    self.tell(dma, FUNCTION_GPE);
                }
            }
        }
    }

    /// How a part stands.
    pub fn part_state(&self, part: Part) -> PartState {
        let Hotplug { cpus, memory, functions } = &self.hotplug;
        match part {
            Part::Cpu(id) => cpus.as_ref().map(|cpus| cpus.state(id)).unwrap_or_default(),
            Part::Dimm(slot) => memory.as_ref().map(|memory| memory.state(slot)).unwrap_or_default(),
            Part::Function(slot) => {
                functions.as_ref().map(|functions| functions.state(slot)).unwrap_or_default()
            }
        }
    }

    /// A general-purpose event.
    fn tell(&mut self, dma: &mut dyn Dma, event: u8) {
        let Self { clock, irqs, effects, pm, .. } = self;
        pm.raise_gpe(&mut DeviceCtx { clock, irqs, effects, dma }, event);
        self.settle();
    }

    /// Firmware finds as many processors as there are, after the next reset.
    pub(crate) fn count_cpus(&mut self) {
        if let Some(cpus) = &self.hotplug.cpus {
            let count = cpus.count();
            self.rtc.set_cpus(count);
            self.fw_cfg.set_cpus(count);
        }
    }

    /// A write of the guest's to a block.
    pub(crate) fn write_hotplug(&mut self, port: u16, size: u8, value: u32) {
        match self.hotplug.write(port, size, value) {
            None => {}
            Some(Outcome::Reported(part)) => self.effects.push(Effect::Reported(part)),
            Some(Outcome::Eject(part)) => {
                match part {
                    Part::Cpu(_) => self.count_cpus(),
                    Part::Dimm(_) => self.effects.push(Effect::MapChanged),
                    Part::Function(slot) => {
                        self.remove_function(slot);
                        self.effects.push(Effect::MapChanged);
                    }
                }
                self.effects.push(Effect::Ejected(part));
            }
        }
    }
}
