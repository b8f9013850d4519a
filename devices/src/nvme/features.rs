//! What SET FEATURES sets (NVM Express 1.4, 5.21.1).

use super::status::Status;
use super::{IO_QUEUES, VECTORS};
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

const ARBITRATION: u8 = 0x01;
const POWER_MANAGEMENT: u8 = 0x02;
const TEMPERATURE_THRESHOLD: u8 = 0x04;
const ERROR_RECOVERY: u8 = 0x05;
pub(super) const VOLATILE_WRITE_CACHE: u8 = 0x06;
const NUMBER_OF_QUEUES: u8 = 0x07;
const INTERRUPT_COALESCING: u8 = 0x08;
const INTERRUPT_VECTOR: u8 = 0x09;
const WRITE_ATOMICITY: u8 = 0x0a;
const ASYNC_EVENTS: u8 = 0x0b;

const COALESCING_OFF: u32 = 1 << 16;
/// As many of both kinds, counted from 0.
const QUEUES: u32 = (IO_QUEUES as u32 - 1) << 16 | (IO_QUEUES as u32 - 1);

/// Features whose value is one dword: identifier, value after a reset, bits that are kept.
const WORDS: [(u8, u32, u32); 7] = [
    (ARBITRATION, 6, 0xffff_ff07),
    (POWER_MANAGEMENT, 0, 0xe0),
    (ERROR_RECOVERY, 0, 0xffff),
    (VOLATILE_WRITE_CACHE, 1, 1),
    (INTERRUPT_COALESCING, 0, 0xffff),
    (WRITE_ATOMICITY, 0, 1),
    (ASYNC_EVENTS, 0, 0xff),
];

/// Values of the features.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Features {
    words: Vec<u32>,
    /// K; the composite temperature's.
    over_temperature: u16,
    under_temperature: u16,
    /// Vectors whose interrupts are not to be coalesced, a bit each.
    coalescing_off: u32,
}

impl Features {
    pub fn new() -> Self {
        Self {
            words: WORDS.iter().map(|(_, value, _)| *value).collect(),
            over_temperature: 343,
            under_temperature: 0,
            coalescing_off: 0,
        }
    }

    /// The value of a feature; `cdw11` says of which part of it.
    pub fn get(&self, id: u8, cdw11: u32) -> Result<u32, Status> {
        match id {
            NUMBER_OF_QUEUES => Ok(QUEUES),
            TEMPERATURE_THRESHOLD => Ok(match threshold(cdw11)? {
                Threshold::Over => self.over_temperature.into(),
                Threshold::Under => self.under_temperature.into(),
                Threshold::NoSensor => 0,
            }),
            INTERRUPT_VECTOR => {
                let off = self.coalescing_off & vector(cdw11)? != 0;
                Ok(cdw11 & 0xffff | if off { COALESCING_OFF } else { 0 })
            }
            _ => self.words.get(word(id)?).copied().ok_or(Status::INVALID_FIELD),
        }
    }

    /// Sets a feature; the completion's dword 0.
    pub fn set(&mut self, id: u8, cdw11: u32) -> Result<u32, Status> {
        match id {
            // However many the driver wants, these are what there is. 65,536 of either are none.
            NUMBER_OF_QUEUES if cdw11 >> 16 == 0xffff || cdw11 & 0xffff == 0xffff => {
                return Err(Status::INVALID_FIELD);
            }
            NUMBER_OF_QUEUES => return Ok(QUEUES),
            TEMPERATURE_THRESHOLD => match threshold(cdw11)? {
                Threshold::Over => self.over_temperature = cdw11 as u16,
                Threshold::Under => self.under_temperature = cdw11 as u16,
                Threshold::NoSensor => {}
            },
            INTERRUPT_VECTOR => {
                let bit = vector(cdw11)?;
                let off = if cdw11 & COALESCING_OFF != 0 { bit } else { 0 };
                self.coalescing_off = self.coalescing_off & !bit | off;
            }
            POWER_MANAGEMENT if cdw11 & 0x1f != 0 => return Err(Status::INVALID_FIELD),
            _ => {
                let n = word(id)?;
                self.words[n] = cdw11 & WORDS[n].2;
            }
        }
        Ok(0)
    }

    /// Whether what was written may be lost with the host's power before the driver flushes it.
    pub fn write_cache(&self) -> bool {
        self.get(VOLATILE_WRITE_CACHE, 0) != Ok(0)
    }

    pub fn is_consistent(&self) -> bool {
        self.words.len() == WORDS.len()
            && self.words.iter().zip(WORDS).all(|(value, (_, _, kept))| value & !kept == 0)
            && self.coalescing_off.checked_shr(VECTORS.into()).unwrap_or(0) == 0
    }
}

enum Threshold {
    Over,
    Under,
    /// Sensors that there are not have none.
    NoSensor,
}

fn threshold(cdw11: u32) -> Result<Threshold, Status> {
    match (cdw11 >> 16 & 15, cdw11 >> 20 & 3) {
        (0 | 15, 0) => Ok(Threshold::Over),
        (0 | 15, 1) => Ok(Threshold::Under),
        (1..=8, 0 | 1) => Ok(Threshold::NoSensor),
        _ => Err(Status::INVALID_FIELD),
    }
}

fn vector(cdw11: u32) -> Result<u32, Status> {
    let vector = cdw11 & 0xffff;
    if vector < u32::from(VECTORS) { Ok(1 << vector) } else { Err(Status::INVALID_FIELD) }
}

fn word(id: u8) -> Result<usize, Status> {
    WORDS.iter().position(|(known, ..)| *known == id).ok_or(Status::INVALID_FIELD)
}
