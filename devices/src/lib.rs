//! The chipset and the peripherals of one platform, on virtual time.

pub mod clock;
pub mod device;
pub mod effects;
pub mod irq;
pub mod map;

mod calendar;
mod debug_ports;
mod fifo;
mod hpet;
mod i8042;
mod ioapic;
mod pic;
mod pit;
mod pm;
mod rtc;
#[cfg(test)]
mod testing;
mod uart;
mod vga;

pub use effects::{Effect, Effects};
