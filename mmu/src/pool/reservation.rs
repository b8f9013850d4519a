//! Address space of the host's, reserved at once and made memory piece by piece.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub use unix::Reservation;
#[cfg(windows)]
pub use windows::Reservation;
