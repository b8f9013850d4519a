//! A machine as a form: what is typed, the configuration it comes to, and what is wrong with it.

use super::image::{Image, Kind};
use amber_devices::{DiskInterface, Peripheral};
use amber_emu::boot::installed;
use amber_emu::config::{
    Bios, BootOrder, CdChoice, CpuCount, DeviceChoice, DiskChoice, Firmware, FloppyChoice, Guest,
    MachineConfig, MemoryChoice, NO_MEDIUM, NetChoice, Uefi, VgaChoice,
};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// What a machine starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starts {
    Kernel,
    Bios,
    Uefi,
    Rom,
    Embedded(Firmware),
    /// What the form does not show, and leaves as it is.
    Other,
}

/// Where something is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Name,
    Kernel,
    Initrd,
    Firmware,
    Memory,
    Cpus,
    Disk(usize),
    Cd(usize),
    Floppy(usize),
    Boot,
    Net,
    /// No field of its own.
    Whole,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub field: Field,
    pub sentence: String,
}

/// A file and how it is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Medium<T> {
    pub file: String,
    pub choice: T,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Form {
    pub name: String,
    /// The machine's file, if there is one already.
    pub file: Option<PathBuf>,
    /// What the form does not show.
    base: MachineConfig,
    pub starts: Starts,
    pub kernel: String,
    pub initrd: String,
    pub append: String,
    pub bios: String,
    pub uefi: String,
    pub rom: String,
    pub memory: String,
    pub cpus: String,
    pub disks: Vec<Medium<DiskChoice>>,
    pub cds: Vec<Medium<CdChoice>>,
    pub floppies: Vec<Medium<FloppyChoice>>,
    pub boot: String,
    pub net: String,
    pub sound: bool,
    pub keyboard: bool,
    pub tablet: bool,
    pub hotplug: bool,
    pub vga: VgaChoice,
}

impl Form {
    /// A form that shows a machine.
    pub fn of(name: &str, file: Option<PathBuf>, config: MachineConfig) -> Self {
        let text = |path: &Option<PathBuf>| {
            path.as_ref().map_or_else(String::new, |path| path.display().to_string())
        };
        let has = |peripheral| config.device.contains(&DeviceChoice(peripheral));
        let modules = config.memory_slots.zip(config.memory_max);
        let medium = |file: &Path| file.display().to_string();
        let removable = |file: &Option<PathBuf>| file.as_deref().map_or_else(|| NO_MEDIUM.to_owned(), medium);
        Self {
            name: name.to_owned(),
            file,
            starts: starts(&config),
            kernel: text(&config.kernel),
            initrd: text(&config.initrd),
            append: config.append.clone().unwrap_or_default(),
            bios: config.bios.clone().unwrap_or_default().to_string(),
            uefi: config.uefi.clone().unwrap_or_default().to_string(),
            rom: text(&config.rom),
            memory: MemoryChoice { size: config.memory, modules }.to_string(),
            cpus: CpuCount { count: config.cpus, max: config.cpus_max }.to_string(),
            disks: config
                .disk
                .iter()
                .map(|disk| Medium { file: medium(&disk.file), choice: disk.clone() })
                .collect(),
            cds: config
                .cdrom
                .iter()
                .map(|cd| Medium { file: removable(&cd.file), choice: cd.clone() })
                .collect(),
            floppies: config
                .floppy
                .iter()
                .map(|disk| Medium { file: removable(&disk.file), choice: disk.clone() })
                .collect(),
            boot: config.boot.as_ref().map_or_else(String::new, BootOrder::to_string),
            net: config.net.to_string(),
            sound: has(Peripheral::Hda),
            keyboard: has(Peripheral::UsbKeyboard),
            tablet: has(Peripheral::UsbTablet),
            hotplug: config.pci_hotplug,
            vga: config.vga,
            base: config,
        }
    }

    /// A new machine with an image.
    pub fn with(image: &Image) -> Self {
        let name = image.file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut form = Self::of(&name, None, MachineConfig::default());
        let file = image.file.display().to_string();
        form.starts = Starts::Bios;
        match image.kind {
            Kind::Kernel(_) => (form.starts, form.kernel) = (Starts::Kernel, file),
            Kind::Bios => form.bios = file,
            Kind::Uefi => (form.starts, form.uefi) = (Starts::Uefi, file.replace(',', ",,")),
            Kind::Rom => (form.starts, form.rom) = (Starts::Rom, file),
            Kind::Cd => {
                form.add_cd(file);
                "cd,disk".clone_into(&mut form.boot);
            }
            Kind::Floppy => {
                form.add_floppy(file);
                "floppy,disk".clone_into(&mut form.boot);
            }
            Kind::Qcow2 | Kind::Disk { .. } => form.add_disk(file, DiskInterface::Virtio),
            Kind::Machine | Kind::Snapshot => form.starts = Starts::Other,
        }
        form
    }

    pub fn add_disk(&mut self, file: String, interface: DiskInterface) {
        let choice = DiskChoice { interface, ..DiskChoice::default() };
        self.disks.push(Medium { file, choice });
    }

    pub fn add_cd(&mut self, file: String) {
        self.cds.push(Medium { file, choice: CdChoice { file: None, at_ide: false } });
    }

    pub fn add_floppy(&mut self, file: String) {
        self.floppies.push(Medium { file, choice: FloppyChoice { file: None, read_only: false } });
    }

    /// What a chosen file is put into.
    pub fn choose(&mut self, field: Field, file: &Path) {
        let text = file.display().to_string();
        match field {
            Field::Kernel => self.kernel = text,
            Field::Initrd => self.initrd = text,
            Field::Firmware => match self.starts {
                Starts::Uefi => self.uefi = text.replace(',', ",,"),
                Starts::Rom => self.rom = text,
                _ => self.bios = text,
            },
            Field::Disk(n) => put(&mut self.disks, n, text),
            Field::Cd(n) => put(&mut self.cds, n, text),
            Field::Floppy(n) => put(&mut self.floppies, n, text),
            Field::Name | Field::Memory | Field::Cpus | Field::Boot | Field::Net | Field::Whole => {}
        }
    }

    /// What the form does not show of what the machine starts with.
    pub fn other(&self) -> String {
        match self.base.guest() {
            Ok(Guest::Snapshot(name)) => format!("the snapshot {name}"),
            Ok(Guest::Flat(image)) => format!("the flat binary {}", image.file.display()),
            _ => "what its file says".to_owned(),
        }
    }

    /// The machine, and all that is wrong with it; it cannot be run then.
    pub fn config(&self) -> (MachineConfig, Vec<Fault>) {
        let mut reading = Reading { config: self.base.clone(), faults: Vec::new() };
        reading.guest(self);
        reading.parts(self);
        reading.media(self);
        reading.devices(self);
        if reading.faults.is_empty()
            && let Err(error) = reading.config.guest()
        {
            reading.say(Field::Whole, error.to_string());
        }
        (reading.config, reading.faults)
    }
}

fn put<T>(media: &mut [Medium<T>], n: usize, file: String) {
    if let Some(medium) = media.get_mut(n) {
        medium.file = file;
    }
}

fn starts(config: &MachineConfig) -> Starts {
    match config.guest() {
        Ok(Guest::Kernel { .. }) => Starts::Kernel,
        Ok(Guest::Bios(_)) => Starts::Bios,
        Ok(Guest::Uefi(_)) => Starts::Uefi,
        Ok(Guest::Rom(_)) => Starts::Rom,
        Ok(Guest::Embedded(firmware)) => Starts::Embedded(firmware),
        _ => Starts::Other,
    }
}

/// A form on its way to a configuration.
struct Reading {
    config: MachineConfig,
    faults: Vec<Fault>,
}

impl Reading {
    fn say(&mut self, field: Field, sentence: String) {
        self.faults.push(Fault { field, sentence });
    }

    fn read<T: FromStr>(&mut self, field: Field, text: &str) -> Option<T>
    where
        T::Err: ToString,
    {
        text.trim().parse().map_err(|error: T::Err| self.say(field, error.to_string())).ok()
    }

    /// A file that is there.
    fn file(&mut self, field: Field, what: &str, text: &str) -> PathBuf {
        let file = PathBuf::from(text);
        if text.is_empty() {
            self.say(field, format!("choose a file for the {what}"));
        } else if let Err(error) = std::fs::metadata(&file) {
            self.say(field, format!("{text} cannot be read: {error}"));
        } else if file.is_dir() {
            self.say(field, format!("{text} is a folder; choose a file"));
        }
        file
    }

    /// A file that is there, or an empty drive.
    fn medium(&mut self, field: Field, what: &str, text: &str) -> Option<PathBuf> {
        (text != NO_MEDIUM).then(|| self.file(field, what, text))
    }

    fn guest(&mut self, form: &Form) {
        if form.starts == Starts::Other {
            return;
        }
        self.config.clear_guest();
        match form.starts {
            Starts::Kernel => {
                self.config.kernel = Some(self.file(Field::Kernel, "kernel", &form.kernel));
                self.config.initrd =
                    (!form.initrd.is_empty()).then(|| self.file(Field::Initrd, "initrd", &form.initrd));
                self.config.append = (!form.append.is_empty()).then(|| form.append.clone());
            }
            Starts::Bios => self.bios(&form.bios),
            Starts::Uefi => self.uefi(&form.uefi),
            Starts::Rom => self.config.rom = Some(self.file(Field::Firmware, "ROM", &form.rom)),
            Starts::Embedded(firmware) => self.config.firmware = Some(firmware),
            Starts::Other => {}
        }
    }

    fn bios(&mut self, text: &str) {
        self.config.bios = self.read(Field::Firmware, text);
        match &self.config.bios {
            Some(Bios::SeaBios) => {
                if let Err(error) = installed::seabios() {
                    self.say(Field::Firmware, error.to_string());
                }
            }
            Some(Bios::File(_)) => drop(self.file(Field::Firmware, "BIOS", text)),
            None => {}
        }
    }

    fn uefi(&mut self, text: &str) {
        self.config.uefi = self.read(Field::Firmware, text);
        let Some(Uefi { code, vars }) = self.config.uefi.clone() else { return };
        if code.is_none()
            && let Err(error) = installed::ovmf()
        {
            self.say(Field::Firmware, error.to_string());
        }
        for file in code.iter().chain(&vars) {
            self.file(Field::Firmware, "firmware", &file.display().to_string());
        }
    }

    fn parts(&mut self, form: &Form) {
        if let Some(MemoryChoice { size, modules }) = self.read(Field::Memory, &form.memory) {
            self.config.memory = size;
            (self.config.memory_slots, self.config.memory_max) = modules.unzip();
        }
        if let Some(CpuCount { count, max }) = self.read(Field::Cpus, &form.cpus) {
            (self.config.cpus, self.config.cpus_max) = (count, max);
        }
        let boot = form.boot.trim();
        self.config.boot = if boot.is_empty() { None } else { self.read(Field::Boot, boot) };
        if let Some(net) = self.read::<NetChoice>(Field::Net, &form.net) {
            self.config.net = net;
        }
    }

    fn media(&mut self, form: &Form) {
        let disks = form.disks.iter().enumerate().map(|(n, disk)| DiskChoice {
            file: self.file(Field::Disk(n), "disk", &disk.file),
            ..disk.choice.clone()
        });
        self.config.disk = disks.collect();
        let cds = form.cds.iter().enumerate();
        let cds = cds
            .map(|(n, cd)| CdChoice { file: self.medium(Field::Cd(n), "CD", &cd.file), ..cd.choice.clone() });
        self.config.cdrom = cds.collect();
        let floppies = form.floppies.iter().enumerate().map(|(n, floppy)| FloppyChoice {
            file: self.medium(Field::Floppy(n), "diskette", &floppy.file),
            ..floppy.choice.clone()
        });
        self.config.floppy = floppies.collect();
    }

    fn devices(&mut self, form: &Form) {
        let chosen = [
            (Peripheral::Hda, form.sound),
            (Peripheral::UsbKeyboard, form.keyboard),
            (Peripheral::UsbTablet, form.tablet),
        ];
        for (peripheral, wanted) in chosen {
            let choice = DeviceChoice(peripheral);
            let has = self.config.device.contains(&choice);
            if wanted && !has {
                self.config.device.push(choice);
            } else if !wanted {
                self.config.device.retain(|other| *other != choice);
            }
        }
        self.config.pci_hotplug = form.hotplug;
        self.config.vga = form.vga;
    }
}
