//! Why a guest could not be loaded.

/// A guest file is unusable. Each sentence names the file, what is wrong with it and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BootError {
    #[error("{file}: cannot be read: {cause}")]
    Read { file: String, cause: std::io::Error },
    #[error("snapshot {0} holds a machine that has started; --from goes on from it")]
    Snapshot(String),
    #[error(
        "{what} is not where distributions have it; apt-get install {package}, or name its file with {option}"
    )]
    NotInstalled { what: &'static str, package: &'static str, option: &'static str },
    #[error("{file}: is a directory; name the file inside it")]
    Directory { file: String },
    #[error("{file}: is empty (0 bytes); the download or the build that made it probably failed")]
    Empty { file: String },
    #[error("{file}: has {size} bytes, more than the {limit} that can be loaded; is it the file you meant?")]
    TooLarge { file: String, size: u64, limit: u64 },
    #[error(
        "{file}: is neither a bzImage, nor a PVH ELF, nor a multiboot 1 kernel (it begins with {first}); \
         use --rom, --bios or --flat for raw images"
    )]
    Unrecognised { file: String, first: String },
    #[error(
        "{file}: is an ELF without a PVH entry note (XEN_ELFNOTE_PHYS32_ENTRY) and without a multiboot 1 header; \
         build Linux with CONFIG_PVH=y, or boot the bzImage"
    )]
    ElfWithoutEntry { file: String },
    #[error("{file}: {field} is {value}; {hint}")]
    Field { file: String, field: &'static str, value: String, hint: &'static str },
    #[error("{file}: is truncated: {field} says {want} bytes, the file has {have}; fetch it again")]
    Truncated { file: String, field: &'static str, want: u64, have: u64 },
    #[error("{file}: {what} ({size:#x} bytes at {start:#x}) does not lie in RAM ({ram}); give more --memory")]
    NotRam { file: String, what: &'static str, start: u64, size: u64, ram: String },
    #[error("{file}: {what} ({size:#x} bytes at {start:#x}) overlaps what was placed at {with:#x}..{end:#x}")]
    Overlap { file: String, what: &'static str, start: u64, size: u64, with: u64, end: u64 },
    #[error(
        "{file}: no room for {what} ({size:#x} bytes, below {limit:#x}) in RAM ({ram}); give more --memory"
    )]
    NoRoom { file: String, what: &'static str, size: u64, limit: u64, ram: String },
}

impl BootError {
    pub(super) fn field(
        file: &str,
        field: &'static str,
        value: impl std::fmt::Display,
        hint: &'static str,
    ) -> Self {
        Self::Field { file: file.into(), field, value: value.to_string(), hint }
    }
}
