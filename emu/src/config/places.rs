//! Room for parts that come and go while the machine runs.

use super::values::{ValueError, text_form, wrong};
use amber_devices::CPUS_MAX;
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

text_form!(CpuCount);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_and_written() {
        for text in ["1", "2,max=4", "255,max=255"] {
            assert_eq!(text.parse::<CpuCount>().unwrap().to_string(), text);
        }
        for text in ["0", "256", "2,max=1", "2,min=1", "2,max=", "x"] {
            let error = text.parse::<CpuCount>().unwrap_err().to_string();
            assert!(error.contains("write N or N,max=M"), "{error}");
        }
    }
}
