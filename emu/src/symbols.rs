//! Names for guest addresses, from a System.map or an ELF symbol table.

use crate::boot::MAX_FILE;
use crate::files;
use object::{Object, ObjectSymbol, SymbolKind};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Symbols sorted by address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Symbols {
    /// Sorted by address; of several names at one address the first of the file stays first.
    by_address: Vec<Symbol>,
    by_name: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Symbol {
    address: u64,
    /// Bytes, 0 if unknown: then it reaches to the next symbol.
    size: u64,
    name: String,
    /// A function rather than data.
    code: bool,
}

/// An address as a name and an offset into what it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located<'a> {
    pub name: &'a str,
    /// Bytes from the start of the symbol.
    pub offset: u64,
    /// Whether it is a function rather than data.
    pub code: bool,
}

impl std::fmt::Display for Located<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.offset {
            0 => f.write_str(self.name),
            offset => write!(f, "{}+{offset:#x}", self.name),
        }
    }
}

/// A file without usable symbols.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SymbolError {
    #[error("{}: cannot be read: {cause}", file.display())]
    Read { file: PathBuf, cause: std::io::Error },
    #[error("{file}: damaged ELF: {why}")]
    Elf { file: String, why: String },
    #[error(
        "{file}: line {line} is not `ADDRESS TYPE NAME`; give a System.map (see /proc/kallsyms) or an ELF"
    )]
    Line { file: String, line: usize },
    #[error("{file}: has no symbols; was it stripped?")]
    None { file: String },
}

/// Farthest an address may lie from a symbol of unknown size and still be called by its name.
const REACH: u64 = 1 << 20;

impl Symbols {
    /// Reads an ELF or a System.map.
    ///
    /// # Errors
    /// When the file cannot be read or understood, or has no symbols.
    pub fn from_file(file: &Path) -> Result<Self, SymbolError> {
        let bytes = files::read(file, MAX_FILE)
            .map_err(|cause| SymbolError::Read { file: file.to_owned(), cause })?;
        Self::parse(&file.display().to_string(), &bytes)
    }

    /// Parses the bytes of an ELF or a System.map; `file` is for errors.
    ///
    /// # Errors
    /// See [`Symbols::from_file`].
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, SymbolError> {
        let list =
            if bytes.starts_with(b"\x7FELF") { parse_elf(file, bytes)? } else { parse_map(file, bytes)? };
        if list.is_empty() {
            return Err(SymbolError::None { file: file.into() });
        }
        Ok(Self::from_list(list))
    }

    fn from_list(mut by_address: Vec<Symbol>) -> Self {
        let mut by_name = BTreeMap::new();
        for symbol in &by_address {
            by_name.entry(symbol.name.clone()).or_insert(symbol.address);
        }
        by_address.sort_by_key(|symbol| symbol.address);
        Self { by_address, by_name }
    }

    /// Address of the first symbol called `name`.
    #[must_use]
    pub fn address(&self, name: &str) -> Option<u64> {
        self.by_name.get(name).copied()
    }

    /// The symbol that `address` lies in.
    #[must_use]
    pub fn locate(&self, address: u64) -> Option<Located<'_>> {
        let end = self.by_address.partition_point(|symbol| symbol.address <= address);
        let nearest = self.by_address.get(end.checked_sub(1)?)?.address;
        let first = self.by_address.partition_point(|symbol| symbol.address < nearest);
        let same = &self.by_address[first..end];
        let offset = address - nearest;
        let sized = same.iter().find(|symbol| offset < symbol.size);
        let unsized_near = || same.iter().find(|symbol| symbol.size == 0 && offset < REACH);
        let symbol = sized.or_else(unsized_near)?;
        Some(Located { name: &symbol.name, offset, code: symbol.code })
    }

    /// Number of symbols.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_address.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_address.is_empty()
    }
}

fn parse_elf(file: &str, bytes: &[u8]) -> Result<Vec<Symbol>, SymbolError> {
    let damaged = |e: object::Error| SymbolError::Elf { file: file.into(), why: e.to_string() };
    let elf = object::File::parse(bytes).map_err(damaged)?;
    let mut list = Vec::new();
    for symbol in elf.symbols().filter(ObjectSymbol::is_definition) {
        let kind = symbol.kind();
        let named =
            matches!(kind, SymbolKind::Text | SymbolKind::Data | SymbolKind::Label | SymbolKind::Unknown);
        match symbol.name() {
            Ok(name) if named && !name.is_empty() => {
                let (address, size) = (symbol.address(), symbol.size());
                let code = kind == SymbolKind::Text;
                list.push(Symbol { address, size, name: name.to_owned(), code });
            }
            _ => {}
        }
    }
    Ok(list)
}

fn parse_map(file: &str, bytes: &[u8]) -> Result<Vec<Symbol>, SymbolError> {
    let mut list = Vec::new();
    for (i, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let bad = || SymbolError::Line { file: file.into(), line: i + 1 };
        let line = std::str::from_utf8(line).map_err(|_| bad())?;
        let mut words = line.split_ascii_whitespace();
        let Some(address) = words.next() else { continue };
        let address = u64::from_str_radix(address, 16).map_err(|_| bad())?;
        let (kind, name) = words.next().zip(words.next()).ok_or_else(bad)?;
        if kind.len() != 1 {
            return Err(bad());
        }
        // Per-CPU offsets and other absolute values are not addresses of code or data.
        if !matches!(kind, "A" | "a" | "U" | "w") {
            list.push(Symbol {
                address,
                size: 0,
                name: name.to_owned(),
                code: matches!(kind, "T" | "t" | "W"),
            });
        }
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAP: &[u8] = b"0000000000000000 A fixed_percpu\n\
        ffffffff81000000 T _text\nffffffff81000000 T startup_64\nffffffff81000100 t helper\t[mod]\n";

    #[test]
    fn system_map_both_ways() {
        let symbols = Symbols::parse("System.map", MAP).unwrap();
        assert_eq!(symbols.address("helper"), Some(0xffff_ffff_8100_0100));
        assert_eq!(symbols.locate(0xffff_ffff_8100_0010).unwrap().to_string(), "_text+0x10");
        assert_eq!(symbols.locate(0xffff_ffff_8100_0100).unwrap().to_string(), "helper");
        assert_eq!(symbols.locate(0x1000), None);
        assert_eq!(symbols.locate(u64::MAX), None);
    }

    #[test]
    fn own_program_has_symbols() {
        let own = std::env::current_exe().unwrap();
        let symbols = Symbols::from_file(&own).unwrap();
        assert!(symbols.len() > 100);
    }

    #[test]
    fn bad_files_are_errors() {
        let error = |bytes: &[u8]| Symbols::parse("f", bytes).unwrap_err().to_string();
        assert!(error(b"").contains("no symbols"));
        assert!(error(b"hello").contains("line 1"));
        assert!(error(b"\x7FELF").contains("damaged ELF"));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = Symbols::parse("f", &bytes);
        }
    }
}
