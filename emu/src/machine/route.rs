//! Effects and interrupt messages: from the platform and local APICs to processors and the host.

use super::{Ending, HostIo, Machine, Stop};
use amber_cpu::apic::{Delivery, Message};
use amber_devices::Effect;

impl Machine {
    /// Carries out everything that waits, in order. `Some` ends the run; nothing is left waiting even then.
    pub(crate) fn settle(&mut self, host: &mut dyn HostIo, no_reboot: bool) -> Option<Stop> {
        loop {
            for message in std::mem::take(&mut self.messages) {
                self.deliver(&message);
            }
            let Some(effect) = self.platform.effects().pop() else { break };
            self.carry_out(effect, host);
        }
        match self.position.ended? {
            Ending::Reset if !no_reboot => {
                self.reset();
                // What the guest held it holds no more.
                host.part_changed();
                None
            }
            Ending::Reset => Some(Stop::Reset),
            Ending::PowerOff => Some(Stop::PowerOff),
            Ending::DebugExit(value) => Some(Stop::DebugExit(value)),
        }
    }

    /// The guest ended itself. Who says so first is right.
    fn end(&mut self, ending: Ending) {
        self.position.ended.get_or_insert(ending);
    }

    fn carry_out(&mut self, effect: Effect, host: &mut dyn HostIo) {
        match effect {
            Effect::Msi { address, data } => match Message::from_msi(address, data) {
                Some(message) => self.deliver(&message),
                None => {
                    tracing::debug!(target: "int", "message {data:#x} to {address:#x} reaches no local APIC")
                }
            },
            Effect::Smi { processor } => {
                for vcpu in self.vcpus.iter_mut().filter(|vcpu| vcpu.apic.id() == processor) {
                    vcpu.system.pending.smi = true;
                }
            }
            // Without firmware there is nothing at the reset vector that could tell a warm start: start anew.
            Effect::Init if !self.has_firmware() => self.end(Ending::Reset),
            Effect::Init => self.vcpus.iter_mut().for_each(|vcpu| vcpu.system.pending.init = true),
            // Wired, like FERR#, to the first processor alone.
            Effect::Ignne(asserted) => self.vcpus[0].system.ignne = asserted,
            Effect::A20(open) => self.mmu.set_a20(open),
            Effect::MapChanged => {
                self.map_changed();
                // Stores may go elsewhere from now on. MWAIT may always end early.
                self.end_monitors();
            }
            Effect::Reset => self.end(Ending::Reset),
            Effect::Suspend => self.suspend(),
            Effect::PowerOff => self.end(Ending::PowerOff),
            Effect::DebugExit(value) => self.end(Ending::DebugExit(value)),
            Effect::Serial { port, byte } => host.serial_output(port, byte),
            Effect::Console { port, bytes } => host.console_output(port, &bytes),
            Effect::Frame(frame) => {
                self.traffic.frames_sent.add(frame.len());
                host.frame_output(self.now(), &frame);
            }
            Effect::DebugConsole(byte) => host.debug_output(byte),
            Effect::Ejected(part) => {
                self.ejected(part);
                host.part_changed();
            }
            Effect::Reported(_) | Effect::Tray => host.part_changed(),
            Effect::Sound(sound) => host.sound(sound),
        }
    }

    /// Hands a message to the local APICs it addresses.
    fn deliver(&mut self, message: &Message) {
        tracing::trace!(target: "int", "message {message:?}");
        if message.delivery == Delivery::LowestPriority {
            let matching = self.vcpus.iter_mut().filter(|vcpu| vcpu.apic.matches(message.destination));
            // The lowest processor priority wins; equal ones, the lowest id.
            if let Some(vcpu) = matching.min_by_key(|vcpu| (vcpu.apic.ppr(), vcpu.apic.id())) {
                vcpu.apic.accept(message.vector, message.level);
            }
            return;
        }
        for vcpu in self.vcpus.iter_mut().filter(|vcpu| vcpu.apic.matches(message.destination)) {
            let pending = &mut vcpu.system.pending;
            match message.delivery {
                Delivery::Fixed | Delivery::LowestPriority => {
                    vcpu.apic.accept(message.vector, message.level);
                }
                Delivery::Smi => pending.smi = true,
                Delivery::Nmi => pending.nmi = true,
                Delivery::Init => vcpu.accept_init(),
                Delivery::Startup => vcpu.accept_sipi(message.vector),
                // The 8259's INTR is looked at directly.
                Delivery::ExtInt => {}
            }
        }
    }
}
