//! A device on virtio as a function of PCI: its configuration space and its BARs are the transport's.

use super::transport::{Offer, Request, Transport};
use crate::device::{Device, DeviceCtx};
use crate::pci::endpoint::{Layout, Window};
use crate::pci::function::Function;
use amber_snapshot::{OwnedSection, SectionError};

/// What a device on virtio says of itself.
pub(super) trait OnVirtio: Device {
    /// Its configuration space and BARs.
    const LAYOUT: &'static Layout;
    /// See [`Function::slot`].
    fn pci_slot(&self) -> u8;
    fn transport(&self) -> &Transport;
    /// Has the transport do something, which is told what the device offers.
    fn with_offer<R>(&mut self, act: impl FnOnce(&mut Transport, &Offer) -> R) -> R;
    /// Does what an access asked for.
    fn answer(&mut self, cx: &mut DeviceCtx, request: Request);
    /// See [`Function::section_name`].
    fn name(&self) -> String;
    /// See [`Function::to_section`].
    fn section(&self, path: &str) -> OwnedSection;
    /// See [`Function::set_registers`].
    ///
    /// # Errors
    /// When the section is of something else.
    fn take_section(&mut self, section: &OwnedSection) -> Result<(), SectionError>;
}

impl<T: OnVirtio> Function for T {
    fn slot(&self) -> u8 {
        self.pci_slot()
    }

    fn config_read(&mut self, cx: &mut DeviceCtx, offset: u16, size: u8) -> u64 {
        self.with_offer(|transport, offer| transport.config_read(cx, offer, offset, size))
    }

    fn config_write(&mut self, cx: &mut DeviceCtx, offset: u16, size: u8, value: u64) {
        let request =
            self.with_offer(|transport, offer| transport.config_write(cx, offer, offset, size, value));
        self.answer(cx, request);
    }

    fn windows(&self) -> Vec<Window> {
        self.transport().windows(T::LAYOUT)
    }

    fn bar_read(&mut self, cx: &mut DeviceCtx, bar: u8, offset: u64, size: u8) -> u64 {
        self.with_offer(|transport, offer| transport.read(cx, offer, bar, offset, size))
    }

    fn bar_write(&mut self, cx: &mut DeviceCtx, bar: u8, offset: u64, size: u8, value: u64) {
        let request =
            self.with_offer(|transport, offer| transport.write(cx, offer, bar, offset, size, value));
        self.answer(cx, request);
    }

    fn set_up_as_firmware(&mut self, next: &mut u64, port: &mut u64) {
        let slot = self.pci_slot();
        self.with_offer(|transport, _| {
            transport.endpoint_mut().set_up_as_firmware(T::LAYOUT, slot, next, port)
        });
    }

    fn section_name(&self) -> String {
        self.name()
    }

    fn to_section(&self, path: &str) -> OwnedSection {
        self.section(path)
    }

    fn set_registers(&mut self, section: &OwnedSection) -> Result<(), SectionError> {
        self.take_section(section)
    }
}
