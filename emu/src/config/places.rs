//! Room for parts that come and go while the machine runs.

use super::values::{MemorySize, ValueError, text_form, wrong};
use amber_devices::{CPUS_MAX, DIMMS_MAX};
use std::fmt::{Display, Formatter, Result as FmtResult};
use std::str::FromStr;

/// Processors of the start, and most there can be: `N[,max=M]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuCount {
    pub count: u32,
    /// Unset: none come or go.
    pub max: Option<u32>,
}

impl FromStr for CpuCount {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let number = |digits: &str, least: u32| match digits.parse::<u32>() {
            Ok(number) if (least..=CPUS_MAX).contains(&number) => Ok(number),
            _ => wrong(format!("cpus `{text}`: {digits} is not in {least}..={CPUS_MAX}; write N or N,max=M")),
        };
        let (count, max) = match text.split_once(',') {
            Some((count, rest)) => match rest.strip_prefix("max=") {
                Some(max) => (count, Some(max)),
                None => return wrong(format!("cpus `{text}`: unknown option `{rest}`; write N or N,max=M")),
            },
            None => (text, None),
        };
        let count = number(count, 1)?;
        Ok(Self { count, max: max.map(|max| number(max, count)).transpose()? })
    }
}

impl Display for CpuCount {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        write!(f, "{}", self.count)?;
        self.max.map_or(Ok(()), |max| write!(f, ",max={max}"))
    }
}

/// Memory of the start, slots for modules, and most memory there can be: `SIZE[,slots=K,max=SIZE]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryChoice {
    pub size: MemorySize,
    /// Unset: no modules come or go.
    pub modules: Option<(u8, MemorySize)>,
}

impl FromStr for MemoryChoice {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let mut parts = text.split(',');
        let size = parts.next().unwrap_or_default().parse()?;
        let (mut slots, mut max) = (None, None);
        for part in parts {
            match part.split_once('=') {
                Some(("slots", digits)) => slots = Some(slot_count(text, digits)?),
                Some(("max", size)) => max = Some(size.parse()?),
                _ => {
                    return wrong(format!(
                        "memory `{text}`: unknown option `{part}`; write SIZE or SIZE,slots=K,max=SIZE"
                    ));
                }
            }
        }
        match (slots, max) {
            (None, None) => Ok(Self { size, modules: None }),
            (Some(slots), Some(max)) => Ok(Self { size, modules: Some((slots, max)) }),
            _ => wrong(format!("memory `{text}`: slots and max go together; write SIZE,slots=K,max=SIZE")),
        }
    }
}

fn slot_count(text: &str, digits: &str) -> Result<u8, ValueError> {
    match digits.parse::<u8>() {
        Ok(slots) if (1..=DIMMS_MAX).contains(&usize::from(slots)) => Ok(slots),
        _ => wrong(format!("memory `{text}`: {digits} slots; there can be 1 to {DIMMS_MAX}")),
    }
}

impl Display for MemoryChoice {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        write!(f, "{}", self.size)?;
        self.modules.map_or(Ok(()), |(slots, max)| write!(f, ",slots={slots},max={max}"))
    }
}

text_form!(CpuCount, MemoryChoice);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_and_written() {
        for text in ["1", "2,max=4", "255,max=255"] {
            assert_eq!(text.parse::<CpuCount>().unwrap().to_string(), text);
        }
        for text in ["512M", "512M,slots=4,max=2G"] {
            assert_eq!(text.parse::<MemoryChoice>().unwrap().to_string(), text);
        }
        for text in ["512M,slots=4", "512M,max=1G", "512M,slots=33,max=1G", "512M,slots=4,max=x", "512M,1G"] {
            assert!(text.parse::<MemoryChoice>().is_err(), "{text}");
        }
        for text in ["0", "256", "2,max=1", "2,min=1", "2,max=", "x"] {
            let error = text.parse::<CpuCount>().unwrap_err().to_string();
            assert!(error.contains("write N or N,max=M"), "{error}");
        }
    }
}
