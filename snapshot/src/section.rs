//! Sections: the registers and queues of one component, as plain data with a schema.

use postcard_schema::Schema;
use postcard_schema::schema::owned::OwnedNamedType;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// State of one component that serde can write. Large memory (RAM, VRAM, flash) is a region, not a section.
pub trait Section: Serialize + DeserializeOwned + Schema {
    /// What the component is, e.g. `i8254`. Part of the saved form.
    const KIND: &'static str;
    /// Version of the schema. A change of field names or types must raise it.
    const VERSION: u32;

    /// Writes the section under `path`, e.g. `platform0/pit`.
    fn to_section(&self, path: &str) -> OwnedSection {
        OwnedSection {
            path: path.to_owned(),
            kind: Self::KIND.to_owned(),
            version: Self::VERSION,
            schema: schema_of::<Self>(),
            bytes: postcard::to_stdvec(self).expect("plain data always serialises to memory"),
        }
    }

    /// Reads the section back.
    ///
    /// # Errors
    /// A sentence naming the section if its kind, version or schema is another one, or its bytes do not parse.
    fn from_section(section: &OwnedSection) -> Result<Self, SectionError> {
        if section.kind != Self::KIND {
            return Err(SectionError::Kind {
                path: section.path.clone(),
                found: section.kind.clone(),
                expected: Self::KIND,
            });
        }
        if section.version != Self::VERSION {
            return Err(SectionError::Version {
                path: section.path.clone(),
                kind: Self::KIND,
                found: section.version,
                expected: Self::VERSION,
            });
        }
        if section.schema != schema_of::<Self>() {
            return Err(SectionError::Schema {
                path: section.path.clone(),
                kind: Self::KIND,
                version: Self::VERSION,
            });
        }
        match postcard::take_from_bytes(&section.bytes) {
            Ok((value, [])) => Ok(value),
            Ok((_, rest)) => Err(SectionError::Bytes {
                path: section.path.clone(),
                why: format!("{} bytes left over", rest.len()),
            }),
            Err(e) => Err(SectionError::Bytes { path: section.path.clone(), why: e.to_string() }),
        }
    }
}

/// A section in its saved form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedSection {
    /// Where the component sits, e.g. `platform0/ioapic0` or `cpu1`.
    pub path: String,
    /// [`Section::KIND`] of the component.
    pub kind: String,
    /// [`Section::VERSION`] it was saved with.
    pub version: u32,
    /// Field names and types, so that tools can show sections they cannot run.
    #[serde(deserialize_with = "crate::schema::bounded")]
    pub schema: OwnedNamedType,
    /// The postcard encoding.
    pub bytes: Vec<u8>,
}

/// Why a section could not be restored.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SectionError {
    /// The section holds another component.
    #[error("section {path} is of kind {found}, this machine needs {expected} there")]
    Kind { path: String, found: String, expected: &'static str },
    /// The section was written by another version.
    #[error("section {path} ({kind}) has version {found}, this build reads version {expected}")]
    Version { path: String, kind: &'static str, found: u32, expected: u32 },
    /// The section has other fields than this build knows for its version.
    #[error("section {path} ({kind}) has other fields than version {version} has in this build")]
    Schema { path: String, kind: &'static str, version: u32 },
    /// The bytes do not parse.
    #[error("section {path} does not parse: {why}")]
    Bytes { path: String, why: String },
    /// A component of this machine has no section.
    #[error("section {path} is missing")]
    Missing { path: String },
    /// A section belongs to no component of this machine.
    #[error("section {path} ({kind}) belongs to no component of this machine")]
    Unknown { path: String, kind: String },
    /// A field holds a value the component cannot have.
    #[error("section {path}: field {field} holds {value}, which it cannot have")]
    Value { path: String, field: &'static str, value: String },
}

/// The schema of a section type, owned.
pub fn schema_of<T: Schema + ?Sized>() -> OwnedNamedType {
    OwnedNamedType::from(T::SCHEMA)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize, Schema)]
    struct Counter {
        count: u16,
        armed: Option<u64>,
    }
    impl Section for Counter {
        const KIND: &'static str = "counter";
        const VERSION: u32 = 3;
    }

    #[test]
    fn round_trip_keeps_every_field() {
        let counter = Counter { count: 7, armed: Some(99) };
        let saved = counter.to_section("platform0/counter");
        assert_eq!(Counter::from_section(&saved).unwrap(), counter);
    }

    #[test]
    fn another_kind_version_or_length_is_refused_by_name() {
        let saved = Counter { count: 7, armed: None }.to_section("x/counter");
        let kind = OwnedSection { kind: "pit".into(), ..saved.clone() };
        assert!(Counter::from_section(&kind).unwrap_err().to_string().contains("x/counter is of kind pit"));
        let newer = OwnedSection { version: 4, ..saved.clone() };
        assert!(Counter::from_section(&newer).unwrap_err().to_string().contains("version 4"));
        let mut long = saved;
        long.bytes.push(0);
        assert!(matches!(Counter::from_section(&long), Err(SectionError::Bytes { .. })));
    }
}
