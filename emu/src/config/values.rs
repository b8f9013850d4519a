//! Values of the configuration, each with the text form it has in a file and on the command line.

use crate::disk::Format;
use amber_devices::{DiskInterface, MEMORY_MAX, MEMORY_MIN};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt::{Display, Formatter, Result as FmtResult};
use std::path::PathBuf;
use std::str::FromStr;

const PAGE: u64 = 4096;

/// A value that is not understood; the sentence says what is wrong and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(String);

pub(super) fn wrong<T>(sentence: impl Into<String>) -> Result<T, ValueError> {
    Err(ValueError(sentence.into()))
}

/// Finds a word among the names of all variants.
pub(super) fn one_of<T: Copy>(what: &str, text: &str, all: &[(&str, T)]) -> Result<T, ValueError> {
    if let Some((_, value)) = all.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
    wrong(format!("unknown {what} `{text}`; known: {}", names.join(", ")))
}

pub(super) fn name_of<T: Copy + PartialEq>(value: T, all: &[(&'static str, T)]) -> &'static str {
    all.iter().find(|(_, each)| *each == value).map_or("?", |(name, _)| name)
}

pub(super) fn deserialize_text<'de, D: Deserializer<'de>, T: FromStr<Err = ValueError>>(
    from: D,
) -> Result<T, D::Error> {
    String::deserialize(from)?.parse().map_err(de::Error::custom)
}

/// Chipset and devices, versioned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MachineType {
    /// Q35 with ICH9, first version.
    #[default]
    Q35V1,
}

impl MachineType {
    const NAMES: [(&'static str, Self); 1] = [("q35-1", Self::Q35V1)];
}

impl FromStr for MachineType {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        one_of("machine type", text, &Self::NAMES)
    }
}

impl Display for MachineType {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.write_str(name_of(*self, &Self::NAMES))
    }
}

/// What executes the guest's instructions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    Interp,
    #[default]
    Jit,
}

impl From<Engine> for amber_cpu::Engine {
    fn from(engine: Engine) -> Self {
        match engine {
            Engine::Interp => Self::Interpreter,
            Engine::Jit => Self::Jit,
        }
    }
}

impl Engine {
    const NAMES: [(&'static str, Self); 2] = [("interp", Self::Interp), ("jit", Self::Jit)];
}

impl FromStr for Engine {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        one_of("engine", text, &Self::NAMES)
    }
}

impl Display for Engine {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.write_str(name_of(*self, &Self::NAMES))
    }
}

/// Whether the run loop sleeps when virtual time is ahead of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    None,
    Real,
}

impl Pace {
    const NAMES: [(&'static str, Self); 2] = [("none", Self::None), ("real", Self::Real)];
}

impl FromStr for Pace {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        one_of("pace", text, &Self::NAMES)
    }
}

impl Display for Pace {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.write_str(name_of(*self, &Self::NAMES))
    }
}

/// First-party images built into the program, from `roms/`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Firmware {
    #[default]
    Monitor,
    Selftest,
    Interrupts,
    Paging,
    Smp,
    Requests,
}

impl Firmware {
    const NAMES: [(&'static str, Self); 6] = [
        ("monitor", Self::Monitor),
        ("selftest", Self::Selftest),
        ("interrupts", Self::Interrupts),
        ("paging", Self::Paging),
        ("smp", Self::Smp),
        ("requests", Self::Requests),
    ];
}

impl FromStr for Firmware {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        one_of("embedded image", text, &Self::NAMES)
    }
}

impl Display for Firmware {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.write_str(name_of(*self, &Self::NAMES))
    }
}

/// What to write a line about on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogCategory {
    /// Interrupts delivered.
    Int,
    /// Exceptions delivered.
    Exc,
    /// Resets of CPUs and platform.
    Reset,
    /// Port and memory-mapped I/O.
    Io,
    /// Sound that was played.
    Sound,
}

impl LogCategory {
    const NAMES: [(&'static str, Self); 5] = [
        ("int", Self::Int),
        ("exc", Self::Exc),
        ("reset", Self::Reset),
        ("io", Self::Io),
        ("sound", Self::Sound),
    ];
}

impl FromStr for LogCategory {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        one_of("log category", text, &Self::NAMES)
    }
}

impl Display for LogCategory {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.write_str(name_of(*self, &Self::NAMES))
    }
}

/// RAM size in bytes: a multiple of 4 KiB between [`MEMORY_MIN`] and [`MEMORY_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemorySize(u64);

impl MemorySize {
    /// A size of so many bytes.
    #[must_use]
    pub fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Size in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl Default for MemorySize {
    fn default() -> Self {
        Self(512 << 20)
    }
}

impl FromStr for MemorySize {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
            "K" | "KB" | "KIB" => 10,
            "M" | "MB" | "MIB" => 20,
            "G" | "GB" | "GIB" => 30,
            "" if digits.parse::<u64>().is_ok() => {
                return wrong(format!("memory `{text}` has no unit; write {text}M or {text}G"));
            }
            unit => {
                return wrong(format!("memory `{text}`: unknown unit `{unit}`; write 2048K, 512M or 1G"));
            }
        };
        let Ok(count) = digits.parse::<u64>() else {
            return wrong(format!(
                "memory `{text}`: `{digits}` is not a whole number; write 2048K, 512M or 1G"
            ));
        };
        let bytes = count.saturating_mul(1 << shift);
        if bytes > MEMORY_MAX {
            return wrong(format!(
                "memory `{text}` is too much; a machine can have up to {}",
                Self(MEMORY_MAX)
            ));
        }
        if bytes < MEMORY_MIN {
            return wrong(format!(
                "memory `{text}` is too little; a machine needs at least {}",
                Self(MEMORY_MIN)
            ));
        }
        if bytes % PAGE != 0 {
            return wrong(format!("memory `{text}` is not a multiple of 4K"));
        }
        Ok(Self(bytes))
    }
}

impl Display for MemorySize {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        match self.0 {
            bytes if bytes % (1 << 30) == 0 => write!(f, "{}G", bytes >> 30),
            bytes if bytes % (1 << 20) == 0 => write!(f, "{}M", bytes >> 20),
            bytes => write!(f, "{}K", bytes >> 10),
        }
    }
}

/// CPU model and feature changes: `MODEL[,+f,-f]`. Whether model and features exist is decided where the models are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuChoice {
    /// Versioned model name.
    pub model: String,
    /// Feature names in order, `true` to add, `false` to remove.
    pub features: Vec<(String, bool)>,
}

impl Default for CpuChoice {
    fn default() -> Self {
        Self { model: "amber-v2.1".into(), features: Vec::new() }
    }
}

impl FromStr for CpuChoice {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let mut parts = text.split(',');
        let model = parts.next().unwrap_or("");
        let name = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        if !name(model) {
            return wrong(format!(
                "cpu `{text}`: `{model}` is no model name; write MODEL[,+feature,-feature]"
            ));
        }
        let mut features = Vec::new();
        for part in parts {
            match part.split_at_checked(1) {
                Some(("+", feature)) if name(feature) => features.push((feature.to_owned(), true)),
                Some(("-", feature)) if name(feature) => features.push((feature.to_owned(), false)),
                _ => return wrong(format!("cpu `{text}`: `{part}` must be +feature or -feature")),
            }
        }
        Ok(Self { model: model.to_owned(), features })
    }
}

impl Display for CpuChoice {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.write_str(&self.model)?;
        self.features.iter().try_for_each(|(name, on)| write!(f, ",{}{name}", if *on { '+' } else { '-' }))
    }
}

/// Seed of everything random the machine offers (RDRAND, virtio-rng).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seed(pub u64);

impl FromStr for Seed {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        match parse_number(text) {
            Some(seed) => Ok(Self(seed)),
            None => wrong(format!("seed `{text}` is not a number between 0 and 2^64 - 1")),
        }
    }
}

impl Display for Seed {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        write!(f, "{}", self.0)
    }
}

impl Serialize for Seed {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        // TOML's integers end at 2^63 - 1; larger seeds are written as text.
        match i64::try_from(self.0) {
            Ok(seed) => to.serialize_i64(seed),
            Err(_) => to.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a number, or a number as text, between 0 and 2^64 - 1")]
        enum Form {
            Number(u64),
            Text(String),
        }
        match Form::deserialize(from)? {
            Form::Number(seed) => Ok(Self(seed)),
            Form::Text(text) => text.parse().map_err(de::Error::custom),
        }
    }
}

/// Decimal or 0x-hexadecimal.
fn parse_number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Date and time of the RTC at reset, UTC, between 1970 and 2099.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtcDate {
    pub year: u16,
    pub month: u8,
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
}

impl Default for RtcDate {
    fn default() -> Self {
        Self { year: 2026, month: 1, day: 1, hour: 0, minute: 0, second: 0 }
    }
}

impl RtcDate {
    /// Seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn unix_seconds(self) -> u64 {
        let leap_days = |year: u64| (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400;
        let year = u64::from(self.year);
        let years = (year - 1970) * 365 + leap_days(year) - leap_days(1970);
        let months: u64 = (1..self.month).map(|month| u64::from(days_in(self.year, month))).sum();
        let days = years + months + u64::from(self.day) - 1;
        ((days * 24 + u64::from(self.hour)) * 60 + u64::from(self.minute)) * 60 + u64::from(self.second)
    }

    /// The date so many seconds after 1970-01-01T00:00:00Z, if it can be written as one.
    #[must_use]
    pub fn from_unix_seconds(seconds: u64) -> Option<Self> {
        let midnight = |year, month| Self { year, month, day: 1, hour: 0, minute: 0, second: 0 };
        let before = |date: &Self| date.unix_seconds() <= seconds;
        let year = (1970..=2099).rev().find(|year| before(&midnight(*year, 1)))?;
        let month = (1..=12).rev().find(|month| before(&midnight(year, *month)))?;
        let left = seconds - midnight(year, month).unix_seconds();
        let day = u8::try_from(left / 86_400 + 1).ok().filter(|day| *day <= days_in(year, month))?;
        let part = |unit, of| (left / unit % of) as u8;
        Some(Self { year, month, day, hour: part(3600, 24), minute: part(60, 60), second: part(1, 60) })
    }
}

fn days_in(year: u16, month: u8) -> u8 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl FromStr for RtcDate {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let Some(date) = parse_date(text) else {
            return wrong(format!(
                "rtc `{text}` is not a date; write 2026-01-31 or 2026-01-31T12:00:00 (UTC)"
            ));
        };
        if !(1970..=2099).contains(&date.year) {
            return wrong(format!("rtc `{text}`: the year must be between 1970 and 2099"));
        }
        let exists = (1..=12).contains(&date.month)
            && (1..=days_in(date.year, date.month)).contains(&date.day)
            && date.hour < 24
            && date.minute < 60
            && date.second < 60;
        if exists { Ok(date) } else { wrong(format!("rtc `{text}`: there is no such date or time")) }
    }
}

fn parse_date(text: &str) -> Option<RtcDate> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
    let numbers = |text: &str, separator| -> Option<[u16; 3]> {
        let digits =
            |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<u16>().ok())?;
        text.split(separator).map(digits).collect::<Option<Vec<u16>>>()?.try_into().ok()
    };
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    let byte = |value: u16| u8::try_from(value).ok();
    Some(RtcDate {
        year,
        month: byte(month)?,
        day: byte(day)?,
        hour: byte(hour)?,
        minute: byte(minute)?,
        second: byte(second)?,
    })
}

impl Display for RtcDate {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        let Self { year, month, day, hour, minute, second } = self;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
    }
}

/// A flat 64-bit binary and where it goes: `FILE@ADDR`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlatImage {
    pub file: PathBuf,
    /// Guest-physical address, also the entry point.
    pub address: u64,
}

impl FromStr for FlatImage {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let split = text.rsplit_once('@').filter(|(file, _)| !file.is_empty());
        let Some((file, address)) = split else {
            return wrong(format!("flat `{text}` has no address; write FILE@ADDR, e.g. test.bin@0x100000"));
        };
        match parse_number(address) {
            Some(address) => Ok(Self { file: file.into(), address }),
            None => wrong(format!("flat `{text}`: `{address}` is not an address; write e.g. @0x100000")),
        }
    }
}

impl Display for FlatImage {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        write!(f, "{}@{:#x}", self.file.display(), self.address)
    }
}

/// Where bytes of the debug consoles (ports 0xE9 and 0x402) go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Debugcon {
    Stderr,
    File(PathBuf),
}

impl Debugcon {
    pub(super) fn file_mut(&mut self) -> Option<&mut PathBuf> {
        match self {
            Self::Stderr => None,
            Self::File(file) => Some(file),
        }
    }
}

impl FromStr for Debugcon {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "" => wrong("debugcon needs a file name or `stderr`"),
            "stderr" => Ok(Self::Stderr),
            file => Ok(Self::File(file.into())),
        }
    }
}

impl Display for Debugcon {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        match self {
            Self::Stderr => f.write_str("stderr"),
            Self::File(file) => write!(f, "{}", file.display()),
        }
    }
}

/// When to save a snapshot, and its name: `STEP=NAME`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SaveAt {
    /// Absolute step the machine is saved before.
    pub step: u64,
    pub name: String,
}

impl FromStr for SaveAt {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let parts = text.split_once('=').and_then(|(step, name)| Some((step.parse().ok()?, name)));
        match parts {
            Some((step, name)) if !name.is_empty() => Ok(Self { step, name: name.to_owned() }),
            _ => wrong(format!("save-at `{text}`: write STEP=NAME, e.g. 2000000=booted")),
        }
    }
}

impl Display for SaveAt {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        write!(f, "{}={}", self.step, self.name)
    }
}

/// How a disk is written.
const DISK_FORM: &str = "FILE[,if=virtio|nvme|ahci|ide][,format=raw|qcow2][,ro|,write-through]";

/// A disk: [`DISK_FORM`]. A comma in the file's name is written twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskChoice {
    pub file: PathBuf,
    /// What it is attached to.
    pub interface: DiskInterface,
    /// What the file's bytes are in; without it, what they look like.
    pub format: Option<Format>,
    /// The guest cannot write it.
    pub read_only: bool,
    /// The guest's writes go to the file, too.
    pub write_through: bool,
}

impl FromStr for DiskChoice {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        // No file's name has a NUL in it.
        let doubled = text.replace(",,", "\0");
        let mut parts = doubled.split(',');
        let file = parts.next().unwrap_or("").replace('\0', ",");
        if file.is_empty() {
            return wrong(format!("disk `{text}` names no file; write {DISK_FORM}"));
        }
        let mut disk = Self { file: file.into(), ..Self::default() };
        for part in parts {
            match part.split_once('=').unwrap_or((part, "")) {
                ("ro", "") => disk.read_only = true,
                ("write-through", "") => disk.write_through = true,
                ("if", name) => match DiskInterface::named(name).filter(|interface| interface.is_hard()) {
                    Some(interface) => disk.interface = interface,
                    None => {
                        let names = DiskInterface::NAMES.into_iter();
                        let disks = names.filter(|(_, interface)| interface.is_hard());
                        let known = disks.map(|(name, _)| name).collect::<Vec<_>>().join(", ");
                        return wrong(format!("disk `{text}`: unknown interface `{name}`; known: {known}"));
                    }
                },
                ("format", name) => match name.parse() {
                    Ok(format) => disk.format = Some(format),
                    Err(why) => return wrong(format!("disk `{text}`: {why}")),
                },
                _ => {
                    return wrong(format!(
                        "disk `{text}`: unknown option `{part}`; known: if=, format=, ro, write-through"
                    ));
                }
            }
        }
        if disk.read_only && disk.write_through {
            return wrong(format!("disk `{text}`: ro and write-through contradict each other"));
        }
        Ok(disk)
    }
}

impl Display for DiskChoice {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.write_str(&self.file.display().to_string().replace(',', ",,"))?;
        if self.interface != DiskInterface::default() {
            write!(f, ",if={}", self.interface.name())?;
        }
        if let Some(format) = self.format {
            write!(f, ",format={format}")?;
        }
        f.write_str(if self.read_only { ",ro" } else { "" })?;
        f.write_str(if self.write_through { ",write-through" } else { "" })
    }
}

/// Gives types their text form in files.
macro_rules! text_form {
    ($($kind:ty),*) => {$(
        impl serde::Serialize for $kind {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $kind {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                $crate::config::values::deserialize_text(from)
            }
        }
    )*};
}
pub(super) use text_form;

text_form!(
    MachineType,
    Engine,
    Pace,
    Firmware,
    LogCategory,
    MemorySize,
    CpuChoice,
    RtcDate,
    FlatImage,
    SaveAt,
    DiskChoice,
    Debugcon
);
