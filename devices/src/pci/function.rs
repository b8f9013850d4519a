//! A function in a slot of bus 0, as the root reaches it.

use super::endpoint::Window;
use crate::device::{Device, DeviceCtx};
use amber_snapshot::{OwnedSection, SectionError};

/// A function with a configuration space, BARs and a section of its own. Its timers come through [`Device`].
pub(crate) trait Function: Device {
    /// Its slot, 1 to [`crate::irq::SLOT_MAX`], or that of the south bridge.
    fn slot(&self) -> u8;
    /// Reads `size` bytes of configuration space at `offset`.
    fn config_read(&mut self, cx: &mut DeviceCtx, offset: u16, size: u8) -> u64;
    /// Writes `size` bytes of configuration space at `offset`.
    fn config_write(&mut self, cx: &mut DeviceCtx, offset: u16, size: u8, value: u64);
    /// Where its BARs are now.
    fn windows(&self) -> Vec<Window>;
    /// Reads `size` bytes of BAR `bar` at `offset`.
    fn bar_read(&mut self, cx: &mut DeviceCtx, bar: u8, offset: u64, size: u8) -> u64;
    /// Writes `size` bytes of BAR `bar` at `offset`.
    fn bar_write(&mut self, cx: &mut DeviceCtx, bar: u8, offset: u64, size: u8, value: u64);
    /// Assigns memory from `next` on and I/O ports from `port` on to its BARs and switches it on, as firmware does.
    fn set_up_as_firmware(&mut self, next: &mut u64, port: &mut u64);
    /// Name of its section below the platform's path.
    fn section_name(&self) -> String;
    /// Its section.
    fn to_section(&self, path: &str) -> OwnedSection;
    /// Takes the registers of a section over, whatever they hold.
    ///
    /// # Errors
    /// When the section is of something else.
    fn set_registers(&mut self, section: &OwnedSection) -> Result<(), SectionError>;
    /// Takes the state of a section over.
    ///
    /// # Errors
    /// When the section is of something else, or holds what the function cannot: it is of no use then.
    fn restore(&mut self, section: &OwnedSection) -> Result<(), SectionError> {
        self.set_registers(section)?;
        match self.impossible() {
            Some((field, value)) => Err(SectionError::Value { path: section.path.clone(), field, value }),
            None => Ok(()),
        }
    }
    /// The same function in the state of a section.
    ///
    /// # Errors
    /// See [`Function::restore`].
    fn restored(&self, section: &OwnedSection) -> Result<Self, SectionError>
    where
        Self: Sized + Clone,
    {
        let mut restored = self.clone();
        restored.restore(section)?;
        Ok(restored)
    }
}
