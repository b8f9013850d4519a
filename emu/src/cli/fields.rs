//! Fields of sections in the words of a person: registers by name, integers in both bases, flags by their bits.

use super::report::{GPR, SEGMENTS};
use crate::symbols::Symbols;
use amber_snapshot::{OwnedSection, Value};

/// Bytes of a field that are shown; of more, the start.
const SHOWN_BYTES: usize = 48;
/// Characters of a composite value that are shown.
const SHOWN_TEXT: usize = 160;

/// Kind of a processor's section.
const PROCESSOR: &str = "x86-cpu";

type Bits = [(u32, &'static str)];

const RFLAGS: &Bits = &[
    (0, "CF"),
    (2, "PF"),
    (4, "AF"),
    (6, "ZF"),
    (7, "SF"),
    (8, "TF"),
    (9, "IF"),
    (10, "DF"),
    (11, "OF"),
    (12, "IOPL0"),
    (13, "IOPL1"),
    (14, "NT"),
    (16, "RF"),
    (17, "VM"),
    (18, "AC"),
    (19, "VIF"),
    (20, "VIP"),
    (21, "ID"),
];
const CR0: &Bits = &[
    (0, "PE"),
    (1, "MP"),
    (2, "EM"),
    (3, "TS"),
    (4, "ET"),
    (5, "NE"),
    (16, "WP"),
    (18, "AM"),
    (29, "NW"),
    (30, "CD"),
    (31, "PG"),
];
const CR4: &Bits = &[
    (0, "VME"),
    (1, "PVI"),
    (2, "TSD"),
    (3, "DE"),
    (4, "PSE"),
    (5, "PAE"),
    (6, "MCE"),
    (7, "PGE"),
    (8, "PCE"),
    (9, "OSFXSR"),
    (10, "OSXMMEXCPT"),
    (11, "UMIP"),
    (12, "LA57"),
    (13, "VMXE"),
    (14, "SMXE"),
    (16, "FSGSBASE"),
    (17, "PCIDE"),
    (18, "OSXSAVE"),
    (20, "SMEP"),
    (21, "SMAP"),
    (22, "PKE"),
    (23, "CET"),
];
const EFER: &Bits = &[(0, "SCE"), (8, "LME"), (10, "LMA"), (11, "NXE"), (12, "SVME"), (14, "FFXSR")];
const XCR0: &Bits = &[(0, "X87"), (1, "SSE"), (2, "AVX"), (9, "PKRU")];
const MXCSR: &Bits = &[
    (0, "IE"),
    (1, "DE"),
    (2, "ZE"),
    (3, "OE"),
    (4, "UE"),
    (5, "PE"),
    (6, "DAZ"),
    (7, "IM"),
    (8, "DM"),
    (9, "ZM"),
    (10, "OM"),
    (11, "UM"),
    (12, "PM"),
    (13, "RC0"),
    (14, "RC1"),
    (15, "FTZ"),
];
const DR6: &Bits = &[(0, "B0"), (1, "B1"), (2, "B2"), (3, "B3"), (13, "BD"), (14, "BS"), (15, "BT")];

/// What is known of the fields of a section.
pub struct Fields<'a> {
    section: &'a str,
    processor: bool,
}

impl<'a> Fields<'a> {
    /// Of this section.
    pub fn of(section: &'a OwnedSection) -> Self {
        Self { section: &section.path, processor: section.kind == PROCESSOR }
    }

    /// The path below the section's.
    pub fn below<'p>(&self, path: &'p str) -> &'p str {
        let rest = path.strip_prefix(self.section).unwrap_or(path);
        rest.strip_prefix('.').unwrap_or(rest)
    }

    /// What to call a field: its path below the section's, and the register it is.
    pub fn label(&self, path: &str) -> String {
        let below = self.below(path);
        match self.register(below) {
            Some(name) => format!("{below} {name}"),
            None => below.to_owned(),
        }
    }

    fn register(&self, below: &str) -> Option<&'static str> {
        let indexed = |start: &str, names: &[&'static str]| {
            let (n, _) = below.strip_prefix(start)?.split_once(']')?;
            names.get(n.parse::<usize>().ok()?).copied()
        };
        if !self.processor {
            return None;
        }
        indexed("gpr[", &GPR).or_else(|| indexed("system.seg[", &SEGMENTS))
    }

    /// Names of the bits of a field.
    pub fn bits(&self, path: &str) -> Option<&'static Bits> {
        Some(match self.below(path) {
            _ if !self.processor => return None,
            "rflags" => RFLAGS,
            "mxcsr" => MXCSR,
            "system.cr0" => CR0,
            "system.cr4" => CR4,
            "system.efer" => EFER,
            "system.xcr0" => XCR0,
            "system.dr6" => DR6,
            _ => return None,
        })
    }

    /// A field's value on one line.
    pub fn show(&self, path: &str, value: &Value, symbols: Option<&Symbols>) -> String {
        let text = match value {
            Value::Unsigned(number, _) => {
                return match self.bits(path) {
                    Some(bits) => format!("{number:#x} [{}]", names_of(bits, *number).join(" ")),
                    None => unsigned(*number, symbols),
                };
            }
            Value::Signed(number, _) if number.unsigned_abs() > 9 => {
                let sign = if *number < 0 { "-" } else { "" };
                return format!("{number} ({sign}{:#x})", number.unsigned_abs());
            }
            Value::Bytes(bytes) if bytes.len() > SHOWN_BYTES => {
                let start = Value::Bytes(bytes[..SHOWN_BYTES].into());
                return format!("{start}... ({} bytes)", bytes.len());
            }
            Value::Option(Some(value)) => return self.show(path, value, symbols),
            other => other.to_string(),
        };
        match text.char_indices().nth(SHOWN_TEXT) {
            Some((end, _)) => format!("{}...", &text[..end]),
            None => text,
        }
    }

    /// What became of the bits with names, as in `+IF -ZF`.
    pub fn changed_bits(&self, path: &str, a: &Value, b: &Value) -> Option<String> {
        let (bits, Value::Unsigned(a, _), Value::Unsigned(b, _)) = (self.bits(path)?, a, b) else {
            return None;
        };
        let change = |(bit, name): &(u32, &str)| match (a >> bit & 1, b >> bit & 1) {
            (0, 1) => Some(format!("+{name}")),
            (1, 0) => Some(format!("-{name}")),
            _ => None,
        };
        Some(bits.iter().filter_map(change).collect::<Vec<_>>().join(" "))
    }
}

fn unsigned(number: u128, symbols: Option<&Symbols>) -> String {
    let located = symbols.zip(u64::try_from(number).ok()).and_then(|(symbols, at)| symbols.locate(at));
    match located {
        Some(symbol) => format!("{number} ({number:#x} <{symbol}>)"),
        None if number < 10 => number.to_string(),
        None => format!("{number} ({number:#x})"),
    }
}

/// Names of the bits of a register, by the name a debugger has for it.
pub fn register_bits(name: &str) -> Option<&'static Bits> {
    Some(match name {
        "eflags" => RFLAGS,
        "mxcsr" => MXCSR,
        "cr0" => CR0,
        "cr4" => CR4,
        "efer" => EFER,
        "xcr0" => XCR0,
        "dr6" => DR6,
        _ => return None,
    })
}

/// Names of the bits that are set.
pub fn names_of(bits: &Bits, value: u128) -> Vec<&'static str> {
    bits.iter().filter(|(bit, _)| value >> bit & 1 == 1).map(|(_, name)| *name).collect()
}

/// The path a person means who names a register, such as `cpu0.rax`, `cpu0.cr3` or `cpu0.cs.base`.
pub fn path_of(text: &str) -> String {
    let Some((section, below)) = text.split_once('.') else { return text.to_owned() };
    let (name, rest) = below.split_at(below.find(['.', '[']).unwrap_or(below.len()));
    let processor = section.strip_prefix("cpu").is_some_and(|n| n.parse::<u32>().is_ok());
    let position = |names: &[&str]| names.iter().position(|known| *known == name);
    match (processor, position(&GPR), position(&SEGMENTS), name) {
        (true, Some(n), ..) => format!("{section}.gpr[{n}]{rest}"),
        (true, _, Some(n), _) => format!("{section}.system.seg[{n}]{rest}"),
        (true, .., "cr0" | "cr2" | "cr3" | "cr4" | "efer" | "xcr0" | "dr6" | "dr7" | "cpl") => {
            format!("{section}.system.{below}")
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use amber_cpu::state::CpuSection;
    use amber_snapshot::{Section, schema_of};

    fn processor() -> OwnedSection {
        let (kind, version) = (CpuSection::KIND.to_owned(), CpuSection::VERSION);
        OwnedSection { path: "cpu0".into(), kind, version, schema: schema_of::<CpuSection>(), bytes: vec![] }
    }

    #[test]
    fn registers_have_their_names() {
        let section = processor();
        let fields = Fields::of(&section);
        assert_eq!(fields.label("cpu0.gpr[3]"), "gpr[3] rbx");
        assert_eq!(fields.label("cpu0.system.seg[1].base"), "system.seg[1].base cs");
        assert_eq!(path_of("cpu0.rbx"), "cpu0.gpr[3]");
        assert_eq!(path_of("cpu12.cs.base"), "cpu12.system.seg[1].base");
        assert_eq!(path_of("cpu0.cr3"), "cpu0.system.cr3");
        assert_eq!(path_of("platform0/pit.cs"), "platform0/pit.cs");
    }

    #[test]
    fn flags_are_spelled_out() {
        let section = processor();
        let fields = Fields::of(&section);
        let (a, b) = (Value::Unsigned(0x46, 64), Value::Unsigned(0x206, 64));
        assert_eq!(fields.show("cpu0.rflags", &b, None), "0x206 [PF IF]");
        assert_eq!(fields.changed_bits("cpu0.rflags", &a, &b).unwrap(), "-ZF +IF");
        assert_eq!(fields.show("cpu0.rip", &b, None), "518 (0x206)");
        assert_eq!(fields.show("cpu0.rip", &Value::Signed(-16, 8), None), "-16 (-0x10)");
    }
}
