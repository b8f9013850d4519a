//! Flat 64-bit binaries: bytes at an address, entered there in long mode.

use super::layout::Layout;
use super::{BootError, BootFile, BootImage, BootMemory, long_mode};

/// Places `file` at `address` (guest-physical, below 4 GiB) and enters its first byte in 64-bit mode with the low 4 GiB
/// mapped one to one, a 4 KiB stack and RSI = 0.
///
/// # Errors
/// When the file is empty or does not fit into RAM there.
pub fn load(file: BootFile, address: u64, memory: &BootMemory) -> Result<BootImage, BootError> {
    if file.bytes.is_empty() {
        return Err(BootError::Empty { file: file.name.into() });
    }
    let size = file.bytes.len() as u64;
    if address.checked_add(size).is_none_or(|end| end > 4 << 30) {
        let hint = "the whole binary must lie below 4 GiB, which is what is mapped";
        return Err(BootError::field(file.name, "@ADDR", format!("{address:#x}"), hint));
    }
    let mut layout = Layout::new(file.name, memory);
    let mut writes = Vec::new();
    layout.claim("the binary", address, size)?;
    writes.push((address, file.bytes.to_vec()));
    let entry = long_mode::enter(&mut layout, &mut writes, address, 0)?;
    Ok(BootImage { zeros: Vec::new(), writes, rom: None, entry })
}
