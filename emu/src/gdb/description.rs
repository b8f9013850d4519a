//! The target description gdb asks for: the register table as XML, and the types it uses.

use super::registers::{CORE, Register, SSE};

const EFLAGS: [(&str, u8); 17] = [
    ("CF", 0),
    ("", 1),
    ("PF", 2),
    ("AF", 4),
    ("ZF", 6),
    ("SF", 7),
    ("TF", 8),
    ("IF", 9),
    ("DF", 10),
    ("OF", 11),
    ("NT", 14),
    ("RF", 16),
    ("VM", 17),
    ("AC", 18),
    ("VIF", 19),
    ("VIP", 20),
    ("ID", 21),
];
const MXCSR: [(&str, u8); 14] = [
    ("IE", 0),
    ("DE", 1),
    ("ZE", 2),
    ("OE", 3),
    ("UE", 4),
    ("PE", 5),
    ("DAZ", 6),
    ("IM", 7),
    ("DM", 8),
    ("ZM", 9),
    ("OM", 10),
    ("UM", 11),
    ("PM", 12),
    ("FZ", 15),
];
const VECTORS: [(&str, &str, u8); 6] = [
    ("v4f", "ieee_single", 4),
    ("v2d", "ieee_double", 2),
    ("v16i8", "int8", 16),
    ("v8i16", "int16", 8),
    ("v4i32", "int32", 4),
    ("v2i64", "int64", 2),
];
const UNION: [(&str, &str); 7] = [
    ("v4_float", "v4f"),
    ("v2_double", "v2d"),
    ("v16_int8", "v16i8"),
    ("v8_int16", "v8i16"),
    ("v4_int32", "v4i32"),
    ("v2_int64", "v2i64"),
    ("uint128", "uint128"),
];

/// The target description of a table.
pub fn description(table: &[Register]) -> String {
    let mut xml = String::from(
        "<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n<target version=\"1.0\">\n\
         <architecture>i386:x86-64</architecture>\n",
    );
    let mut open: Option<&str> = None;
    for register in table {
        if open != Some(register.feature) {
            if open.is_some() {
                xml.push_str("</feature>\n");
            }
            xml.push_str(&format!("<feature name=\"{}\">\n{}", register.feature, types(register.feature)));
            open = Some(register.feature);
        }
        let group = register.group.map(|group| format!(" group=\"{group}\"")).unwrap_or_default();
        xml.push_str(&format!(
            "<reg name=\"{}\" bitsize=\"{}\" type=\"{}\"{group}/>\n",
            register.name,
            register.size * 8,
            register.kind
        ));
    }
    xml + "</feature>\n</target>\n"
}

/// Types a feature's registers use and gdb does not know by itself.
fn types(feature: &str) -> String {
    match feature {
        CORE => flags("i386_eflags", &EFLAGS),
        SSE => {
            let vectors = VECTORS.iter().fold(String::new(), |text, (id, kind, count)| {
                text + &format!("<vector id=\"{id}\" type=\"{kind}\" count=\"{count}\"/>\n")
            });
            let fields = UNION.iter().fold(String::new(), |text, (name, kind)| {
                text + &format!("<field name=\"{name}\" type=\"{kind}\"/>\n")
            });
            vectors + "<union id=\"vec128\">\n" + &fields + "</union>\n" + &flags("i386_mxcsr", &MXCSR)
        }
        _ => String::new(),
    }
}

fn flags(id: &str, bits: &[(&str, u8)]) -> String {
    let fields = bits.iter().fold(String::new(), |text, (name, bit)| {
        text + &format!("<field name=\"{name}\" start=\"{bit}\" end=\"{bit}\"/>\n")
    });
    format!("<flags id=\"{id}\" size=\"4\">\n{fields}</flags>\n")
}
