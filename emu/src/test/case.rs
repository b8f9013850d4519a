//! A test: a machine, its input, and what is expected of it. The form of `test.toml`.

use crate::boot::read_file;
use crate::config::{
    Bios, CpuChoice, DiskChoice, Firmware, FlatImage, MachineConfig, MemorySize, RtcDate, Seed, Uefi,
};
use crate::files::read_text;
use anyhow::{Context, Result, anyhow, bail};
use regex_lite::Regex;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Steps after which a test that says nothing about it has run long enough.
pub const DEFAULT_LIMIT: u64 = 2_000_000_000;

/// A test, ready to run.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub config: MachineConfig,
    /// Bytes for serial port 0.
    pub input: Vec<u8>,
    pub expect: Expectation,
    /// Most steps the run may take.
    pub limit: u64,
    /// Why the test is known to fail. It must not pass then.
    pub known_failure: Option<String>,
}

/// What must come of a test. Without an exit code: isa-debug-exit with 10h, or a power-off, which without anything
/// expected of the serial port needs a line `PASS` there.
#[derive(Clone, Debug, Default)]
pub struct Expectation {
    /// Exit code as of `amber run`.
    pub exit: Option<i32>,
    /// Text on serial port 0.
    pub serial: Option<String>,
    /// What the text on serial port 0 must match.
    pub regex: Option<Regex>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct TestFile {
    image: Option<PathBuf>,
    firmware: Option<Firmware>,
    kernel: Option<PathBuf>,
    initrd: Option<PathBuf>,
    append: Option<String>,
    bios: Option<Bios>,
    uefi: Option<Uefi>,
    rom: Option<PathBuf>,
    flat: Option<FlatImage>,
    cpu: Option<CpuChoice>,
    #[serde(default)]
    cpus: Cpus,
    memory: Option<MemorySize>,
    seed: Option<Seed>,
    rtc: Option<RtcDate>,
    quantum: Option<u64>,
    #[serde(default)]
    disk: Vec<DiskChoice>,
    #[serde(default)]
    input: String,
    limit: Option<u64>,
    #[serde(default)]
    expect: ExpectFile,
    #[serde(alias = "known_failure")]
    known_failure: Option<String>,
}

/// One number of processors, or several: a test for each.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Cpus {
    One(u32),
    Several(Vec<u32>),
}

impl Default for Cpus {
    fn default() -> Self {
        Self::One(1)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectFile {
    exit: Option<i32>,
    serial: Option<String>,
    regex: Option<String>,
}

impl Case {
    /// The test an image is by itself.
    ///
    /// # Errors
    /// When the file is no image that Amber can start.
    pub fn from_image(image: &Path) -> Result<Self> {
        let mut config = MachineConfig::default();
        name_image(&mut config, image)?;
        Ok(Self {
            name: image.display().to_string(),
            config,
            input: Vec::new(),
            expect: Expectation::default(),
            limit: DEFAULT_LIMIT,
            known_failure: None,
        })
    }

    /// The tests a `test.toml` describes: one for each number of processors.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn from_file(file: &Path, name: &str) -> Result<Vec<Self>> {
        let text = read_text(file).with_context(|| format!("{}: cannot be read", file.display()))?;
        let parsed: TestFile = toml::from_str(&text).map_err(|error| {
            let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
            let at = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            anyhow!("{}: {at}{}", file.display(), error.message())
        })?;
        let folder = file.parent().unwrap_or(Path::new(""));
        parsed.cases(folder, name).with_context(|| file.display().to_string())
    }
}

/// Names a guest by an image of whatever kind.
fn name_image(config: &mut MachineConfig, image: &Path) -> Result<()> {
    let bytes = read_file(image)?;
    let kernel = bytes.starts_with(b"\x7FELF") || bytes.get(0x202..0x206) == Some(b"HdrS");
    *(if kernel { &mut config.kernel } else { &mut config.rom }) = Some(image.to_owned());
    Ok(())
}

impl TestFile {
    fn cases(self, folder: &Path, name: &str) -> Result<Vec<Case>> {
        let config = self.config(folder)?;
        let regex = self.expect.regex.as_deref().map(Regex::new).transpose().context("expect.regex")?;
        let expect = Expectation { exit: self.expect.exit, serial: self.expect.serial, regex };
        let (numbers, several) = match self.cpus {
            Cpus::One(number) => (vec![number], false),
            Cpus::Several(numbers) => (numbers, true),
        };
        if numbers.is_empty() {
            bail!("cpus names no number of processors");
        }
        let case = |cpus| {
            let config = MachineConfig { cpus, ..config.clone() };
            config.guest()?;
            Ok(Case {
                name: if several { format!("{name} ({cpus} vCPUs)") } else { name.to_owned() },
                config,
                input: self.input.clone().into_bytes(),
                expect: expect.clone(),
                limit: self.limit.unwrap_or(DEFAULT_LIMIT),
                known_failure: self.known_failure.clone(),
            })
        };
        numbers.into_iter().map(case).collect()
    }

    fn config(&self, folder: &Path) -> Result<MachineConfig> {
        let rebased = |path: &Option<PathBuf>| path.as_ref().map(|path| folder.join(path));
        let default = MachineConfig::default();
        let mut config = MachineConfig {
            firmware: self.firmware,
            kernel: rebased(&self.kernel),
            initrd: rebased(&self.initrd),
            append: self.append.clone(),
            bios: self.bios.clone(),
            uefi: self.uefi.clone(),
            rom: rebased(&self.rom),
            flat: self.flat.clone().map(|flat| FlatImage { file: folder.join(flat.file), ..flat }),
            cpu: self.cpu.clone().unwrap_or(default.cpu.clone()),
            memory: self.memory.unwrap_or(default.memory),
            seed: self.seed.unwrap_or(default.seed),
            rtc: self.rtc.unwrap_or(default.rtc),
            quantum: self.quantum.unwrap_or(default.quantum),
            disk: self
                .disk
                .iter()
                .map(|disk| DiskChoice { file: folder.join(&disk.file), ..disk.clone() })
                .collect(),
            ..default
        };
        let firmware = config.bios.iter_mut().filter_map(Bios::file_mut);
        for file in firmware.chain(config.uefi.iter_mut().flat_map(Uefi::files_mut)) {
            *file = folder.join(&*file);
        }
        if let Some(image) = &self.image {
            name_image(&mut config, &folder.join(image))?;
        }
        let guests = [&config.kernel, &config.rom];
        let firmware = config.bios.is_some() || config.uefi.is_some();
        let named = guests.iter().any(|path| path.is_some())
            || firmware
            || config.flat.is_some()
            || config.firmware.is_some();
        if !named {
            bail!("names no guest: give image, kernel, rom, bios, uefi, flat or firmware");
        }
        Ok(config)
    }
}
