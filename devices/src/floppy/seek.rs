//! Heads that move: SEEK, RELATIVE SEEK, RECALIBRATE and implied seeks (82077AA, 5.2).

use super::Parts;
use super::command::{Command, INWARDS};
use super::controller::{Controller, SELECTS, ST0_ABNORMAL};
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

const ST0_SEEK_END: u8 = 0x20;
/// No track 0 after all steps.
const ST0_EQUIPMENT_CHECK: u8 = 0x10;
/// Steps of RECALIBRATE.
const RECALIBRATE_STEPS: u8 = 79;
/// A step, ns. SRT says how long the controller waits for one, but SeaBIOS never sets it, and gives a recalibration 2
/// seconds: at the slowest, to which a reset sets it, 79 steps take longer.
pub(super) const STEP_NS: u64 = 3_000_000;
/// A seek of no steps, ns.
const SETTLE_NS: u64 = 50_000;

/// A seek under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) enum Seek {
    /// To track 0.
    Home,
    /// To this cylinder, by the controller's count.
    To(u8),
}

/// Timer of a drive's seek.
fn timer(drive: usize) -> u16 {
    1 + drive as u16
}

/// The drive whose seek a timer ends.
pub(super) fn drive_of(timer: u16) -> Option<usize> {
    usize::from(timer).checked_sub(1).filter(|drive| *drive < SELECTS)
}

impl Controller {
    /// A seek begins. The drive's interrupt tells its end; other drives can be used meanwhile.
    pub fn seek(&mut self, parts: &mut Parts, command: Command) {
        let (drive, n) = (self.drive(), self.parameter(2));
        let present = self.present[drive];
        let (seek, steps) = match command {
            Command::Recalibrate => {
                let there = parts.units.get(drive).and(self.drives.get(drive));
                (Seek::Home, there.map_or(RECALIBRATE_STEPS, |drive| drive.cylinder.min(RECALIBRATE_STEPS)))
            }
            Command::RelativeSeek if self.parameter(0) & INWARDS != 0 => {
                (Seek::To(present.wrapping_add(n)), n)
            }
            Command::RelativeSeek => (Seek::To(present.wrapping_sub(n)), n),
            _ => (Seek::To(n), present.abs_diff(n)),
        };
        self.seeks[drive] = Some(seek);
        self.ended[drive] = None;
        parts.arm(timer(drive), SETTLE_NS + u64::from(steps) * STEP_NS);
    }

    /// A seek ends.
    pub fn arrive(&mut self, parts: &mut Parts, drive: usize) {
        let st0 = match self.seeks[drive].take() {
            Some(Seek::To(cylinder)) => {
                self.move_heads(parts, drive, cylinder);
                ST0_SEEK_END
            }
            Some(Seek::Home) => {
                let found = self.go_home(parts, drive);
                ST0_SEEK_END | if found { 0 } else { ST0_ABNORMAL | ST0_EQUIPMENT_CHECK }
            }
            None => return,
        };
        self.ended[drive] = Some(st0 | drive as u8);
        self.interrupt = true;
    }

    /// Moves the heads by as many cylinders as `cylinder` is from where the controller takes them to be.
    pub fn move_heads(&mut self, parts: &Parts, select: usize, cylinder: u8) {
        let by = i16::from(cylinder) - i16::from(self.present[select]);
        self.present[select] = cylinder;
        let Some((unit, drive)) = parts.units.get(select).zip(self.drives.get_mut(select)) else { return };
        let to = (i16::from(drive.cylinder) + by).clamp(0, unit.last_cylinder().into());
        drive.cylinder = to as u8;
        drive.changed &= by == 0 || unit.medium.is_none();
    }

    /// Steps outwards until a drive says it is at track 0; whether one does.
    fn go_home(&mut self, parts: &Parts, select: usize) -> bool {
        self.present[select] = 0;
        let Some((unit, drive)) = parts.units.get(select).zip(self.drives.get_mut(select)) else {
            return false;
        };
        drive.changed &= drive.cylinder == 0 || unit.medium.is_none();
        drive.cylinder = drive.cylinder.saturating_sub(RECALIBRATE_STEPS);
        drive.cylinder == 0
    }
}
