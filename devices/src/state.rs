//! A platform as sections, and back.

use crate::clock::Clock;
use crate::device::Device;
use crate::flash::Flash;
use crate::floppy::{Floppy, SECTIONS};
use crate::fw_cfg::FwCfgRegisters;
use crate::irq::Levels;
use crate::pci::function::Function;
use crate::pci::{Attached, ConfigAddress, HostBridge, Lpc, Pci, Smbus};
use crate::platform::Platform;
use crate::pm::Pm;
use crate::suspend::Suspend;
use crate::uart::Uart;
use amber_snapshot::{OwnedSection, Section, SectionError};

/// Names of the sections below a platform's path.
const NAMES: [&str; 19] = [
    "clock",
    "irq-lines",
    "pic",
    "pit",
    "rtc",
    "ioapic0",
    "hpet",
    "pm",
    "uart0",
    "uart1",
    "i8042",
    "debug-ports",
    "pci/config-address",
    "pci/host-bridge",
    "pci/lpc",
    "pci/smbus",
    "fw-cfg",
    "vga",
    "coprocessor",
];

/// The section of the chip with firmware's variables, where there is one.
const FLASH: &str = "flash";
/// The section of a platform that can suspend to RAM.
const SUSPEND: &str = "s3";

/// The sections of one platform in a list of many.
struct Saved<'a> {
    path: &'a str,
    sections: &'a [OwnedSection],
}

impl Saved<'_> {
    fn find(&self, name: &str) -> Result<&OwnedSection, SectionError> {
        let path = format!("{}/{name}", self.path);
        let found = self.sections.iter().find(|section| section.path == path);
        found.ok_or(SectionError::Missing { path })
    }

    fn take<T: Section>(&self, name: &str) -> Result<T, SectionError> {
        T::from_section(self.find(name)?)
    }

    fn device<T: Section + Device>(&self, name: &str) -> Result<T, SectionError> {
        let device: T = self.take(name)?;
        self.check(name, &device)?;
        Ok(device)
    }

    fn check(&self, name: &str, device: &dyn Device) -> Result<(), SectionError> {
        match device.impossible() {
            Some((field, value)) => Err(self.refuse(name, field, value)),
            None => Ok(()),
        }
    }

    fn refuse(&self, name: &str, field: &'static str, value: String) -> SectionError {
        SectionError::Value { path: format!("{}/{name}", self.path), field, value }
    }

    /// `attached` are the names of what not every platform has.
    fn refuse_unknown(&self, attached: &[String]) -> Result<(), SectionError> {
        let prefix = format!("{}/", self.path);
        let known = |name: &str| NAMES.contains(&name) || attached.iter().any(|own| own == name);
        let unknown = self
            .sections
            .iter()
            .find(|section| section.path.strip_prefix(&prefix).is_some_and(|name| !known(name)));
        match unknown {
            Some(section) => {
                Err(SectionError::Unknown { path: section.path.clone(), kind: section.kind.clone() })
            }
            None => Ok(()),
        }
    }

    /// `own` is that of the platform that takes the state over.
    fn floppy(&self, own: Option<&Floppy>) -> Result<Option<Floppy>, SectionError> {
        let [floppy, dma] = SECTIONS;
        own.map(|own| own.restored(self.find(floppy)?, self.find(dma)?)).transpose()
    }

    /// `own` is the chip of the platform that takes the state over.
    fn flash(&self, own: &Flash) -> Result<Flash, SectionError> {
        let flash: Flash = self.device(FLASH)?;
        match flash.len() == own.len() {
            true => Ok(flash),
            false => Err(self.refuse(FLASH, "len", flash.len().to_string())),
        }
    }

    /// `own` is the root of the platform that takes the state over.
    fn pci(&self, own: &Pci) -> Result<Pci, SectionError> {
        let low_ram = own.host_bridge.low_ram();
        let mut attached = own.attached.clone();
        for function in attached.iter_mut().map(Attached::function_mut) {
            function.restore(self.find(&function.section_name())?)?;
        }
        let mut pci = Pci {
            latch: self.take::<ConfigAddress>("pci/config-address")?,
            host_bridge: self.take::<HostBridge>("pci/host-bridge")?,
            lpc: self.take::<Lpc>("pci/lpc")?,
            smbus: self.take::<Smbus>("pci/smbus")?,
            vga: own.vga.restored(self.find("vga")?)?,
            attached,
        };
        pci.route();
        self.check("pci", &pci)?;
        if pci.host_bridge.low_ram() != low_ram {
            let value = pci.host_bridge.low_ram().to_string();
            return Err(self.refuse("pci/host-bridge", "low_ram", value));
        }
        Ok(pci)
    }
}

impl Platform {
    /// The state as sections below `path`, e.g. `platform0`. All effects must have been drained.
    pub fn sections(&self, path: &str) -> Vec<OwnedSection> {
        let at = |name: &str| format!("{path}/{name}");
        let mut sections = vec![
            self.clock.to_section(&at("clock")),
            self.irqs.levels.to_section(&at("irq-lines")),
            self.pic.to_section(&at("pic")),
            self.pit.to_section(&at("pit")),
            self.rtc.to_section(&at("rtc")),
            self.ioapic.to_section(&at("ioapic0")),
            self.hpet.to_section(&at("hpet")),
            self.pm.to_section(&at("pm")),
            self.uarts[0].to_section(&at("uart0")),
            self.uarts[1].to_section(&at("uart1")),
            self.i8042.to_section(&at("i8042")),
            self.debug_ports.to_section(&at("debug-ports")),
            self.pci.latch.to_section(&at("pci/config-address")),
            self.pci.host_bridge.to_section(&at("pci/host-bridge")),
            self.pci.lpc.to_section(&at("pci/lpc")),
            self.pci.smbus.to_section(&at("pci/smbus")),
            self.fw_cfg.registers.to_section(&at("fw-cfg")),
            self.pci.vga.to_section(&at("vga")),
            self.coprocessor.to_section(&at("coprocessor")),
        ];
        sections.extend(self.floppy.iter().flat_map(|floppy| floppy.sections(path)));
        sections.extend(self.pci.attached().map(|own| own.to_section(&at(&own.section_name()))));
        sections.extend(self.hotplug.sections(path));
        sections.extend(self.flash.iter().map(|flash| flash.to_section(&at(FLASH))));
        sections.extend(self.suspend.iter().map(|suspend| suspend.to_section(&at(SUSPEND))));
        sections
    }

    /// Takes the state over from the sections below `path`; others in the list belong to somebody else. No
    /// edge is driven again and no effect emitted: whoever restores re-reads the memory map and A20.
    ///
    /// # Errors
    /// A sentence naming the section that is missing, unknown or impossible. The platform is unchanged then.
    pub fn restore(&mut self, path: &str, sections: &[OwnedSection]) -> Result<(), SectionError> {
        let saved = Saved { path, sections };
        let mut attached: Vec<_> = self.pci.attached().map(Function::section_name).collect();
        attached.extend(self.floppy.iter().flat_map(|_| SECTIONS.map(str::to_owned)));
        attached.extend(self.hotplug.section_names().map(str::to_owned));
        attached.extend(self.flash.iter().map(|_| FLASH.to_owned()));
        attached.extend(self.suspend.iter().map(|_| SUSPEND.to_owned()));
        saved.refuse_unknown(&attached)?;
        let clock: Clock = saved.take("clock")?;
        if let Some((field, value)) = clock.impossible() {
            return Err(saved.refuse("clock", field, value));
        }
        let levels: Levels = saved.take("irq-lines")?;
        let registers: FwCfgRegisters = saved.take("fw-cfg")?;
        if !self.fw_cfg.accepts(&registers) {
            let value = "that of other items than this platform has".to_owned();
            return Err(saved.refuse("fw-cfg", "items_digest", value));
        }
        let (pic, pit, rtc) = (saved.device("pic")?, saved.device("pit")?, saved.device("rtc")?);
        let (ioapic, hpet) = (saved.device("ioapic0")?, saved.device("hpet")?);
        let pm: Pm = saved.device("pm")?;
        if pm.smm() != self.pm.smm() {
            return Err(saved.refuse("pm", "smm", pm.smm().to_string()));
        }
        let uarts: [Uart; 2] = [saved.device("uart0")?, saved.device("uart1")?];
        if let Some((port, uart)) = (0..).zip(&uarts).find(|(port, uart)| uart.port() != *port) {
            return Err(saved.refuse(&format!("uart{port}"), "port", uart.port().to_string()));
        }
        let (i8042, debug_ports) = (saved.device("i8042")?, saved.device("debug-ports")?);
        let pci = saved.pci(&self.pci)?;
        let coprocessor = saved.device("coprocessor")?;
        let hotplug = self.hotplug.restored(path, sections)?;
        let floppy = saved.floppy(self.floppy.as_ref())?;
        let flash = self.flash.as_ref().map(|own| saved.flash(own)).transpose()?;
        let suspend = self.suspend.as_ref().map(|_| saved.take::<Suspend>(SUSPEND)).transpose()?;
        self.clock = clock;
        self.irqs.levels = levels;
        self.fw_cfg.registers = registers;
        (self.pic, self.pit, self.rtc) = (pic, pit, rtc);
        (self.ioapic, self.hpet, self.pm) = (ioapic, hpet, pm);
        (self.uarts, self.i8042, self.debug_ports) = (uarts, i8042, debug_ports);
        (self.pci, self.coprocessor, self.floppy) = (pci, coprocessor, floppy);
        self.hotplug = hotplug;
        (self.flash, self.suspend) = (flash, suspend);
        Ok(())
    }
}
