//! What is done with files in another way on each host's system.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub use unix::{is_device, new_in, read_exact_at, sync_folder, write_all_at};
#[cfg(windows)]
pub use windows::{is_device, new_in, read_exact_at, sync_folder, write_all_at};
