//! Requests every device knows (USB 2.0, 9.4).

use super::descriptors::{self, Kind};
use super::{Answer, Model, Setup};
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

const GET_STATUS: u8 = 0;
const CLEAR_FEATURE: u8 = 1;
const SET_FEATURE: u8 = 3;
const GET_DESCRIPTOR: u8 = 6;
const GET_CONFIGURATION: u8 = 8;
const SET_CONFIGURATION: u8 = 9;
const GET_INTERFACE: u8 = 10;
const SET_INTERFACE: u8 = 11;
const SET_SEL: u8 = 48;
const SET_ISOCH_DELAY: u8 = 49;
const ENDPOINT_HALT: u16 = 0;
/// Recipient: an endpoint.
const ENDPOINT: u8 = 2;

/// Configuration, and which endpoints are halted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Standard {
    configuration: u8,
    /// One bit for each endpoint out, and one for each in behind these.
    halted: u32,
}

fn bit(address: u8) -> u32 {
    1 << (u32::from(address & 0xf) + u32::from(address >> 7) * 16)
}

impl Standard {
    pub fn is_configured(&self) -> bool {
        self.configuration != 0
    }

    pub fn is_halted(&self, address: u8) -> bool {
        self.halted & bit(address) != 0
    }

    pub fn halt(&mut self, address: u8) {
        self.halted |= bit(address);
    }

    pub fn request(&mut self, model: Model, setup: Setup) -> Answer {
        let (recipient, nothing) = (setup.kind & 0x1f, Answer::Done(Vec::new()));
        match (setup.is_in(), setup.request) {
            (true, GET_STATUS) => {
                let halted = recipient == ENDPOINT && self.is_halted(setup.index as u8);
                // A device is self-powered.
                let status = if recipient == 0 { 1 } else { u8::from(halted) };
                Answer::Done(vec![status, 0])
            }
            (true, GET_DESCRIPTOR) => descriptor(model, setup),
            (true, GET_CONFIGURATION) => Answer::Done(vec![self.configuration]),
            (true, GET_INTERFACE) => Answer::Done(vec![0]),
            (false, CLEAR_FEATURE) if recipient == ENDPOINT && setup.value == ENDPOINT_HALT => {
                self.halted &= !bit(setup.index as u8);
                nothing
            }
            (false, SET_FEATURE) if recipient == ENDPOINT && setup.value == ENDPOINT_HALT => {
                self.halt(setup.index as u8);
                nothing
            }
            (false, SET_CONFIGURATION) if setup.value <= 1 => {
                (self.configuration, self.halted) = (setup.value as u8, 0);
                nothing
            }
            (false, SET_INTERFACE) if setup.value == 0 => nothing,
            // Link power management is the controller's business.
            (false, CLEAR_FEATURE | SET_FEATURE | SET_SEL | SET_ISOCH_DELAY) => nothing,
            _ => Answer::Stall,
        }
    }
}

fn descriptor(model: Model, setup: Setup) -> Answer {
    let (kind, index) = ((setup.value >> 8) as u8, setup.value as u8);
    let found = match kind {
        1 => Some(descriptors::device(model)),
        2 if index == 0 => Some(descriptors::configuration(model)),
        3 => descriptors::string(model, index),
        6 => descriptors::qualifier(model),
        15 => descriptors::bos(model),
        0x21 => descriptors::hid(model, Kind::Hid),
        0x22 => descriptors::hid(model, Kind::Report),
        _ => None,
    };
    found.map_or(Answer::Stall, Answer::Done)
}
