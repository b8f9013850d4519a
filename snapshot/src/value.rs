//! Values: what a section's bytes say, by the schema stored with them.

use crate::OwnedSection;
use postcard_schema::schema::owned::{
    OwnedDataModelType as Model, OwnedDataModelVariant as ModelVariant, OwnedNamedType, OwnedNamedValue,
};
use std::borrow::Cow;
use std::fmt::{self, Display};

/// Values a section may be made of, the inner ones too. Ours have some hundreds.
const MAX_VALUES: usize = 1 << 18;
/// Bytes a field's or a variant's name may have.
const MAX_NAME: usize = 100;

/// A value. Names are the schema's. What is a newtype in Rust is the value inside; what is a tuple, an array or a
/// sequence is a list, or bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    Unit,
    Bool(bool),
    /// An unsigned integer, and its width in bits.
    Unsigned(u128, u8),
    /// A signed integer, and its width in bits.
    Signed(i128, u8),
    /// The bits of an `f32`.
    F32(u32),
    /// The bits of an `f64`.
    F64(u64),
    Char(char),
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    Option(Option<Box<Value<'a>>>),
    List(Vec<Value<'a>>),
    Map(Vec<(Value<'a>, Value<'a>)>),
    Struct(Vec<(&'a str, Value<'a>)>),
    Variant {
        index: u32,
        name: &'a str,
        value: Box<Value<'a>>,
    },
    Schema(Box<OwnedNamedType>),
}

/// Why a section has no value, or not the one wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("section {section}: field {field}: {why}")]
pub struct ValueError {
    pub section: String,
    /// Path of the field, with the section's in front.
    pub field: String,
    pub why: String,
}

/// The types below a type, as a reader of values sees them.
pub(crate) enum Shape<'a> {
    Unit,
    Bool,
    Unsigned(u8),
    Signed(u8),
    F32,
    F64,
    Char,
    Text,
    /// Bytes, as many as given, or with their number in front.
    Bytes(Option<usize>),
    Option(&'a OwnedNamedType),
    Seq(&'a OwnedNamedType),
    Tuple(&'a [OwnedNamedType]),
    Map(&'a OwnedNamedType, &'a OwnedNamedType),
    Struct(&'a [OwnedNamedValue]),
    Enum(&'a [postcard_schema::schema::owned::OwnedNamedVariant]),
    Schema,
}

impl<'a> Shape<'a> {
    pub fn of(ty: &'a OwnedNamedType) -> Self {
        match &ty.ty {
            Model::Bool => Self::Bool,
            Model::I8 => Self::Signed(8),
            Model::I16 => Self::Signed(16),
            Model::I32 => Self::Signed(32),
            Model::I64 | Model::Isize => Self::Signed(64),
            Model::I128 => Self::Signed(128),
            Model::U8 => Self::Unsigned(8),
            Model::U16 => Self::Unsigned(16),
            Model::U32 => Self::Unsigned(32),
            Model::U64 | Model::Usize => Self::Unsigned(64),
            Model::U128 => Self::Unsigned(128),
            Model::F32 => Self::F32,
            Model::F64 => Self::F64,
            Model::Char => Self::Char,
            Model::String => Self::Text,
            Model::ByteArray => Self::Bytes(None),
            Model::Option(of) => Self::Option(of),
            Model::Unit | Model::UnitStruct => Self::Unit,
            Model::NewtypeStruct(of) => Self::of(of),
            Model::Seq(of) if matches!(of.ty, Model::U8) => Self::Bytes(None),
            Model::Seq(of) => Self::Seq(of),
            Model::Tuple(of) | Model::TupleStruct(of) => Self::tuple(of),
            Model::Map { key, val } => Self::Map(key, val),
            Model::Struct(of) => Self::Struct(of),
            Model::Enum(of) => Self::Enum(of),
            Model::Schema => Self::Schema,
        }
    }

    fn tuple(of: &'a [OwnedNamedType]) -> Self {
        match of.iter().all(|ty| matches!(ty.ty, Model::U8)) && !of.is_empty() {
            true => Self::Bytes(Some(of.len())),
            false => Self::Tuple(of),
        }
    }

    /// What a variant holds.
    pub fn of_variant(ty: &'a ModelVariant) -> Self {
        match ty {
            ModelVariant::UnitVariant => Self::Unit,
            ModelVariant::NewtypeVariant(of) => Self::of(of),
            ModelVariant::TupleVariant(of) => Self::tuple(of),
            ModelVariant::StructVariant(of) => Self::Struct(of),
        }
    }
}

/// One part of a path below a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    Field(&'a str),
    Index(usize),
    Key(String),
}

impl Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Index(n) => write!(f, "[{n}]"),
            Self::Key(key) => write!(f, "[{key}]"),
        }
    }
}

/// Where a reader or writer is.
pub(crate) struct Place<'a> {
    section: &'a str,
    parts: Vec<Part<'a>>,
}

impl<'a> Place<'a> {
    pub fn new(section: &'a str) -> Self {
        Self { section, parts: Vec::new() }
    }

    pub fn within<R>(&mut self, part: Part<'a>, look: impl FnOnce(&mut Self) -> R) -> R {
        self.parts.push(part);
        let result = look(self);
        self.parts.pop();
        result
    }

    pub fn error(&self, why: impl Into<String>) -> ValueError {
        ValueError { section: self.section.to_owned(), field: self.to_string(), why: why.into() }
    }
}

impl Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.section)?;
        self.parts.iter().try_for_each(|part| part.fmt(f))
    }
}

/// The value of a section. Encoded again, it gives the same bytes.
///
/// # Errors
/// Names the field at which the bytes are not what the schema says.
pub fn decode(section: &OwnedSection) -> Result<Value<'_>, ValueError> {
    let mut decoder =
        Decoder { bytes: &section.bytes, left: MAX_VALUES, depth: 0, place: Place::new(&section.path) };
    let value = decoder.value(Shape::of(&section.schema))?;
    match decoder.bytes.len() {
        0 => Ok(value),
        rest => Err(decoder.place.error(format!("{rest} bytes follow the last field"))),
    }
}

struct Decoder<'a> {
    bytes: &'a [u8],
    /// Values there may still be.
    left: usize,
    depth: usize,
    place: Place<'a>,
}

impl<'a> Decoder<'a> {
    fn error<T>(&self, why: &str) -> Result<T, ValueError> {
        Err(self.place.error(why))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], ValueError> {
        match self.bytes.split_at_checked(len) {
            Some((taken, rest)) => {
                self.bytes = rest;
                Ok(taken)
            }
            None => self.error("the section ends within it"),
        }
    }

    fn byte(&mut self) -> Result<u8, ValueError> {
        Ok(self.take(1)?[0])
    }

    /// 7 bits to a byte, the lowest first; only the shortest form, so that encoding gives the same bytes.
    fn varint(&mut self, bits: u8) -> Result<u128, ValueError> {
        let mut value = 0u128;
        for shift in (0..u32::from(bits)).step_by(7) {
            let byte = self.byte()?;
            let part = u128::from(byte & 0x7F);
            if part << shift >> shift != part || (bits < 128 && (part << shift) >> bits != 0) {
                return self.error("the integer is larger than its type");
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return self.error("the integer is not in its shortest form");
                }
                return Ok(value);
            }
        }
        self.error("the integer is longer than its type")
    }

    fn unsigned(&mut self, bits: u8) -> Result<u128, ValueError> {
        if bits == 8 { self.byte().map(u128::from) } else { self.varint(bits) }
    }

    fn signed(&mut self, bits: u8) -> Result<i128, ValueError> {
        if bits == 8 {
            return Ok((self.byte()? as i8).into());
        }
        let zigzag = self.varint(bits)?;
        Ok((zigzag >> 1) as i128 ^ -((zigzag & 1) as i128))
    }

    fn length(&mut self) -> Result<usize, ValueError> {
        let len = self.varint(64)?;
        usize::try_from(len).or_else(|_| self.error("the length is beyond any memory"))
    }

    fn text(&mut self) -> Result<&'a str, ValueError> {
        let len = self.length()?;
        let bytes = self.take(len)?;
        std::str::from_utf8(bytes).or_else(|_| self.error("the text is not UTF-8"))
    }

    fn value(&mut self, shape: Shape<'a>) -> Result<Value<'a>, ValueError> {
        if self.depth >= crate::schema::MAX_DEPTH {
            return self.error("it lies too deep");
        }
        let Some(left) = self.left.checked_sub(1) else {
            return self.error("the section has too many fields to be one");
        };
        (self.left, self.depth) = (left, self.depth + 1);
        let value = self.shaped(shape);
        self.depth -= 1;
        value
    }

    fn shaped(&mut self, shape: Shape<'a>) -> Result<Value<'a>, ValueError> {
        Ok(match shape {
            Shape::Unit => Value::Unit,
            Shape::Bool => Value::Bool(self.flag()?),
            Shape::Unsigned(bits) => Value::Unsigned(self.unsigned(bits)?, bits),
            Shape::Signed(bits) => Value::Signed(self.signed(bits)?, bits),
            Shape::F32 => Value::F32(u32::from_le_bytes(self.take(4)?.try_into().unwrap_or_default())),
            Shape::F64 => Value::F64(u64::from_le_bytes(self.take(8)?.try_into().unwrap_or_default())),
            Shape::Char => Value::Char(self.character()?),
            Shape::Text => Value::Text(self.text()?.into()),
            Shape::Bytes(len) => {
                let len = len.map_or_else(|| self.length(), Ok)?;
                Value::Bytes(self.take(len)?.into())
            }
            Shape::Option(of) => Value::Option(match self.flag()? {
                true => Some(Box::new(self.value(Shape::of(of))?)),
                false => None,
            }),
            Shape::Seq(of) => self.sequence(of)?,
            Shape::Tuple(of) => self.tuple(of)?,
            Shape::Map(key, value) => self.map(key, value)?,
            Shape::Struct(fields) => self.fields(fields)?,
            Shape::Enum(variants) => self.variant(variants)?,
            Shape::Schema => Value::Schema(Box::new(self.schema()?)),
        })
    }

    fn flag(&mut self) -> Result<bool, ValueError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => self.error("it is neither 0 nor 1"),
        }
    }

    fn character(&mut self) -> Result<char, ValueError> {
        let mut chars = self.text()?.chars();
        match (chars.next(), chars.next()) {
            (Some(c), None) => Ok(c),
            _ => self.error("it is not one character"),
        }
    }

    fn schema(&mut self) -> Result<OwnedNamedType, ValueError> {
        let mut deserializer = postcard::Deserializer::from_bytes(self.bytes);
        let read = crate::schema::bounded(&mut deserializer);
        match (read, deserializer.finalize()) {
            (Ok(schema), Ok(rest)) => {
                self.bytes = rest;
                Ok(schema)
            }
            _ => self.error("it is no schema"),
        }
    }

    fn sequence(&mut self, of: &'a OwnedNamedType) -> Result<Value<'a>, ValueError> {
        let mut list = Vec::new();
        for n in 0..self.length()? {
            list.push(self.at(Part::Index(n), |decoder| decoder.value(Shape::of(of)))?);
        }
        Ok(Value::List(list))
    }

    fn tuple(&mut self, of: &'a [OwnedNamedType]) -> Result<Value<'a>, ValueError> {
        let mut list = Vec::new();
        for (n, of) in of.iter().enumerate() {
            list.push(self.at(Part::Index(n), |decoder| decoder.value(Shape::of(of)))?);
        }
        Ok(Value::List(list))
    }

    fn map(&mut self, key: &'a OwnedNamedType, value: &'a OwnedNamedType) -> Result<Value<'a>, ValueError> {
        let mut map = Vec::new();
        for n in 0..self.length()? {
            let entry = self.at(Part::Index(n), |decoder| {
                Ok((decoder.value(Shape::of(key))?, decoder.value(Shape::of(value))?))
            });
            map.push(entry?);
        }
        Ok(Value::Map(map))
    }

    fn fields(&mut self, fields: &'a [OwnedNamedValue]) -> Result<Value<'a>, ValueError> {
        let mut list = Vec::new();
        for OwnedNamedValue { name, ty } in fields {
            let name = self.name(name)?;
            list.push((name, self.at(Part::Field(name), |decoder| decoder.value(Shape::of(ty)))?));
        }
        Ok(Value::Struct(list))
    }

    fn variant(
        &mut self,
        variants: &'a [postcard_schema::schema::owned::OwnedNamedVariant],
    ) -> Result<Value<'a>, ValueError> {
        let index = self.varint(32)? as u32;
        let Some(variant) = variants.get(index as usize) else {
            return self.error(&format!("there is no variant {index}"));
        };
        let name = self.name(&variant.name)?;
        let value = Box::new(self.value(Shape::of_variant(&variant.ty))?);
        Ok(Value::Variant { index, name, value })
    }

    fn name(&self, name: &'a str) -> Result<&'a str, ValueError> {
        if name.len() > MAX_NAME { self.error("a name below it is too long to be one") } else { Ok(name) }
    }

    fn at<R>(&mut self, part: Part<'a>, read: impl FnOnce(&mut Self) -> R) -> R {
        self.place.parts.push(part);
        let result = read(self);
        self.place.parts.pop();
        result
    }
}

/// The bytes of a section whose value is this.
///
/// # Errors
/// When the value is not of the section's schema.
pub fn encode(section: &OwnedSection, value: &Value) -> Result<Vec<u8>, ValueError> {
    let mut out = Vec::with_capacity(section.bytes.len());
    let other = || Place::new(&section.path).error("the value is not of the section's schema");
    write(&Shape::of(&section.schema), value, &mut out).ok_or_else(other).map(|()| out)
}

fn varint(mut value: u128, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn write(shape: &Shape, value: &Value, out: &mut Vec<u8>) -> Option<()> {
    match (shape, value) {
        (Shape::Unit, Value::Unit) => {}
        (Shape::Bool, Value::Bool(flag)) => out.push(u8::from(*flag)),
        (Shape::Unsigned(8), Value::Unsigned(value, 8)) => out.push(u8::try_from(*value).ok()?),
        (Shape::Unsigned(bits), Value::Unsigned(value, found)) if found == bits => varint(*value, out),
        (Shape::Signed(8), Value::Signed(value, 8)) => out.push(i8::try_from(*value).ok()? as u8),
        (Shape::Signed(bits), Value::Signed(value, found)) if found == bits => {
            varint((*value << 1) as u128 ^ (*value >> 127) as u128, out);
        }
        (Shape::F32, Value::F32(bits)) => out.extend(bits.to_le_bytes()),
        (Shape::F64, Value::F64(bits)) => out.extend(bits.to_le_bytes()),
        (Shape::Char, Value::Char(c)) => text(c.encode_utf8(&mut [0; 4]), out),
        (Shape::Text, Value::Text(string)) => text(string, out),
        (Shape::Bytes(len), Value::Bytes(bytes)) => {
            match len {
                Some(len) if *len != bytes.len() => return None,
                Some(_) => {}
                None => varint(bytes.len() as u128, out),
            }
            out.extend_from_slice(bytes);
        }
        (Shape::Option(_), Value::Option(None)) => out.push(0),
        (Shape::Option(of), Value::Option(Some(value))) => {
            out.push(1);
            write(&Shape::of(of), value, out)?;
        }
        (Shape::Seq(of), Value::List(list)) => {
            varint(list.len() as u128, out);
            list.iter().try_for_each(|value| write(&Shape::of(of), value, out))?;
        }
        (Shape::Tuple(of), Value::List(list)) if of.len() == list.len() => {
            of.iter().zip(list).try_for_each(|(of, value)| write(&Shape::of(of), value, out))?;
        }
        (Shape::Map(key, val), Value::Map(map)) => {
            varint(map.len() as u128, out);
            for (k, v) in map {
                write(&Shape::of(key), k, out)?;
                write(&Shape::of(val), v, out)?;
            }
        }
        (Shape::Struct(of), Value::Struct(fields)) if of.len() == fields.len() => {
            of.iter().zip(fields).try_for_each(|(of, (_, value))| write(&Shape::of(&of.ty), value, out))?;
        }
        (Shape::Enum(variants), Value::Variant { index, value, .. }) => {
            varint((*index).into(), out);
            write(&Shape::of_variant(&variants.get(*index as usize)?.ty), value, out)?;
        }
        (Shape::Schema, Value::Schema(schema)) => out.extend(postcard::to_stdvec(schema).ok()?),
        _ => return None,
    }
    Some(())
}

fn text(string: &str, out: &mut Vec<u8>) {
    varint(string.len() as u128, out);
    out.extend_from_slice(string.as_bytes());
}

/// Bytes as hexadecimal digits.
pub(crate) struct Hex<'a>(pub &'a [u8]);

impl Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Display for Value<'_> {
    /// On one line, integers in decimal, bytes as hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, items: &mut dyn Iterator<Item = String>| {
            items.enumerate().try_for_each(|(n, item)| write!(f, "{}{item}", if n > 0 { ", " } else { "" }))
        };
        match self {
            Self::Unit => f.write_str("()"),
            Self::Bool(flag) => flag.fmt(f),
            Self::Unsigned(value, _) => value.fmt(f),
            Self::Signed(value, _) => value.fmt(f),
            Self::F32(bits) => f32::from_bits(*bits).fmt(f),
            Self::F64(bits) => f64::from_bits(*bits).fmt(f),
            Self::Char(c) => write!(f, "{c:?}"),
            Self::Text(string) => write!(f, "{string:?}"),
            Self::Bytes(bytes) if bytes.is_empty() => f.write_str("no bytes"),
            Self::Bytes(bytes) => Hex(bytes).fmt(f),
            Self::Option(None) => f.write_str("none"),
            Self::Option(Some(value)) => value.fmt(f),
            Self::List(values) => {
                f.write_str("[")?;
                list(f, &mut values.iter().map(ToString::to_string))?;
                f.write_str("]")
            }
            Self::Map(map) => {
                f.write_str("{")?;
                list(f, &mut map.iter().map(|(key, value)| format!("{key}: {value}")))?;
                f.write_str("}")
            }
            Self::Struct(fields) => {
                f.write_str("{")?;
                list(f, &mut fields.iter().map(|(name, value)| format!("{name}: {value}")))?;
                f.write_str("}")
            }
            Self::Variant { name, value, .. } if **value == Value::Unit => f.write_str(name),
            Self::Variant { name, value, .. } => write!(f, "{name} {value}"),
            Self::Schema(schema) => schema.fmt(f),
        }
    }
}

impl<'a> Value<'a> {
    /// Calls `each` with every value that has none below it, and its path below `path`.
    pub fn leaves(&self, path: &str, each: &mut impl FnMut(&str, &Value<'a>)) {
        let below =
            |part: Part, value: &Value<'a>, each: &mut _| value.leaves(&format!("{path}{part}"), each);
        match self {
            Self::Struct(fields) if !fields.is_empty() => {
                fields.iter().for_each(|(name, value)| below(Part::Field(name), value, each));
            }
            Self::List(values) if !values.is_empty() => {
                values.iter().enumerate().for_each(|(n, value)| below(Part::Index(n), value, each));
            }
            Self::Map(map) if !map.is_empty() => {
                map.iter().for_each(|(key, value)| below(Part::Key(key.to_string()), value, each));
            }
            Self::Option(Some(value)) => value.leaves(path, each),
            _ => each(path, self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{assign, to_json};
    use crate::{Schema, Section, schema_of};
    use serde::{Deserialize, Serialize};
    use serde_json::json;
    use std::collections::BTreeMap;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
    enum Mode {
        Idle,
        Counting(u16),
        Pair(u8, i64),
        Waiting { until: u64, strict: bool },
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
    struct Inner(u32);

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
    struct Chip {
        latch: u8,
        wide: u128,
        signed: (i8, i16, i128),
        floats: (f32, f64),
        name: String,
        fifo: Vec<u8>,
        mac: [u8; 6],
        words: [u64; 3],
        modes: Vec<Mode>,
        armed: Option<Inner>,
        deep: Option<Option<bool>>,
        map: BTreeMap<u16, Mode>,
        letter: char,
        unit: (),
    }
    impl Section for Chip {
        const KIND: &'static str = "chip";
        const VERSION: u32 = 1;
    }

    fn chip() -> Chip {
        Chip {
            latch: 0xFF,
            wide: u128::MAX,
            signed: (-128, 300, i128::MIN),
            floats: (-0.0, f64::NAN),
            name: "héllo".into(),
            fifo: vec![1, 0x80, 255],
            mac: [2, 0, 0, 0, 0, 1],
            words: [0, u64::MAX, 1 << 53],
            modes: vec![
                Mode::Idle,
                Mode::Counting(300),
                Mode::Pair(1, -1),
                Mode::Waiting { until: 1 << 60, strict: true },
            ],
            armed: Some(Inner(70_000)),
            deep: Some(None),
            map: BTreeMap::from([(5, Mode::Idle), (1000, Mode::Counting(0))]),
            letter: 'ß',
            unit: (),
        }
    }

    /// The chip's section with one field set.
    fn set(path: &str, text: &str) -> Result<Chip, ValueError> {
        let section = chip().to_section("x/chip");
        let mut value = decode(&section)?;
        let parts: Vec<Part> =
            path.split('.').map(|part| part.parse().map_or(Part::Field(part), Part::Index)).collect();
        assign(&mut value, Shape::of(&section.schema), &parts, &mut Place::new("x/chip"), text)?;
        let bytes = encode(&section, &value)?;
        Ok(Chip::from_section(&OwnedSection { bytes, ..section.clone() }).expect("it is a chip"))
    }

    #[test]
    fn what_is_decoded_encodes_to_the_same_bytes() {
        let section = chip().to_section("x/chip");
        let value = decode(&section).unwrap();
        assert_eq!(encode(&section, &value).unwrap(), section.bytes);
        let json = to_json(&value);
        assert_eq!(json["latch"], 255);
        assert_eq!(json["wide"], u128::MAX.to_string());
        assert_eq!(json["words"], json!([0, u64::MAX.to_string(), 1u64 << 53]));
        assert_eq!(json["fifo"], "0180ff");
        assert_eq!(json["modes"][3]["Waiting"]["until"], (1u64 << 60).to_string());
        assert_eq!(json["map"]["1000"], json!({ "Counting": 0 }));
        let mut paths = Vec::new();
        value.leaves("x/chip", &mut |path, _| paths.push(path.to_owned()));
        for path in ["x/chip.latch", "x/chip.words[1]", "x/chip.armed", "x/chip.map[5]", "x/chip.modes[3]"] {
            assert!(paths.iter().any(|found| found == path), "{path} in {paths:?}");
        }
    }

    #[test]
    fn json_of_a_section_makes_the_section_again() {
        let section = chip().to_section("x/chip");
        let mut value = decode(&section).unwrap();
        let Value::Struct(fields) = &value else { panic!("it is a struct") };
        for (name, of) in fields.clone() {
            // JSON has one null, and NaN goes as its bits.
            if name == "deep" {
                continue;
            }
            let text = match to_json(&of) {
                serde_json::Value::Null => continue,
                json => json.to_string(),
            };
            let parts = [Part::Field(name)];
            assign(&mut value, Shape::of(&section.schema), &parts, &mut Place::new("x"), &text).unwrap();
        }
        assert_eq!(encode(&section, &value).unwrap(), section.bytes);
    }

    #[test]
    fn fields_take_what_their_types_hold() {
        assert_eq!(set("latch", "0x1f").unwrap().latch, 0x1F);
        assert_eq!(set("wide", "1_000").unwrap().wide, 1000);
        assert_eq!(set("signed.2", "-5").unwrap().signed.2, -5);
        assert_eq!(set("signed.0", "-0x80").unwrap().signed.0, -128);
        assert_eq!(set("fifo.1", "7").unwrap().fifo, [1, 7, 255]);
        assert!(set("fifo", "").unwrap().fifo.is_empty());
        assert_eq!(set("mac", "00 11 22 33 44 55").unwrap().mac, [0, 0x11, 0x22, 0x33, 0x44, 0x55]);
        assert_eq!(set("words", "[1, \"0x2\", 3]").unwrap().words, [1, 2, 3]);
        assert_eq!(set("modes.1", "Idle").unwrap().modes[1], Mode::Idle);
        let waiting = Mode::Waiting { until: 3, strict: false };
        assert_eq!(set("modes.0", r#"{"Waiting":{"until":3,"strict":false}}"#).unwrap().modes[0], waiting);
        assert_eq!(
            set("modes.3.strict", "false").unwrap().modes[3],
            Mode::Waiting { until: 1 << 60, strict: false }
        );
        assert_eq!(set("modes", "[]").unwrap().modes, []);
        assert_eq!(set("armed", "none").unwrap().armed, None);
        assert_eq!(set("armed", "4").unwrap().armed, Some(Inner(4)));
        assert_eq!(set("map.1000", "Idle").unwrap().map[&1000], Mode::Idle);
        assert_eq!(set("letter", "q").unwrap().letter, 'q');
        assert_eq!(set("name", "x y").unwrap().name, "x y");
    }

    #[test]
    fn what_does_not_fit_is_an_error_that_names_the_field() {
        for (path, text, said) in [
            ("latch", "256", "field x/chip.latch: 256 does not fit u8, which goes from 0 to 255"),
            ("latch", "-1", "does not fit u8"),
            ("latch", "many", "`many` is no integer"),
            ("signed.0", "128", "which goes from -128 to 127"),
            ("wide", "340282366920938463463374607431768211456", "is no integer"),
            ("modes.0", "Asleep", "Asleep is none of Idle, Counting, Pair, Waiting"),
            ("modes.4", "Idle", "it has 4"),
            ("modes.1", "Counting", "field x/chip.modes[1]"),
            ("words", "[1]", "is not a list of 3"),
            ("words", "[", "is no JSON"),
            ("mac", "0011", "it has 6 bytes"),
            ("fifo", "abc", "pairs of hexadecimal digits"),
            ("latches", "1", "there is no latches; there is latch, wide"),
            ("latch.x", "1", "below it"),
            ("unit", "1", "is not null"),
            ("map.7", "Idle", "there is no [7]"),
        ] {
            let error = set(path, text).unwrap_err().to_string();
            assert!(error.starts_with("section x/chip: ") && error.contains(said), "{path}={text}: {error}");
        }
    }

    #[test]
    fn damaged_bytes_are_errors_or_values() {
        let section = chip().to_section("x/chip");
        for at in 0..section.bytes.len() {
            for byte in [0, 1, 0x7F, 0x80, 0xFF] {
                let mut bytes = section.bytes.clone();
                bytes[at] = byte;
                let damaged = OwnedSection { bytes, ..section.clone() };
                match decode(&damaged) {
                    Ok(value) => assert_eq!(encode(&damaged, &value).unwrap(), damaged.bytes),
                    Err(error) => assert_eq!(error.section, "x/chip"),
                }
            }
            let bytes = section.bytes[..at].to_vec();
            assert!(decode(&OwnedSection { bytes, ..section.clone() }).is_err());
        }
        let bytes = [&section.bytes[..], &[0]].concat();
        assert!(decode(&OwnedSection { bytes, ..section }).is_err());
    }

    #[test]
    fn values_without_bytes_have_an_end() {
        let schema = schema_of::<Vec<()>>();
        let bytes = vec![0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1];
        let section = OwnedSection { path: "x".into(), kind: "k".into(), version: 1, schema, bytes };
        assert!(decode(&section).unwrap_err().to_string().contains("too many fields"));
        let schema = schema_of::<Vec<u8>>();
        let section = OwnedSection { schema, ..section };
        assert!(decode(&section).unwrap_err().to_string().contains("ends within it"));
    }

    #[test]
    fn only_the_shortest_form_of_an_integer_is_one() {
        let read = |bytes: &[u8]| {
            let schema = schema_of::<u16>();
            let (path, kind) = ("x".into(), "k".into());
            let section = OwnedSection { path, kind, version: 1, schema, bytes: bytes.to_vec() };
            decode(&section).map(|value| value.to_string()).map_err(|error| error.why)
        };
        assert_eq!(read(&[0xFF, 0xFF, 3]), Ok("65535".into()));
        assert!(read(&[0xFF, 0xFF, 7]).unwrap_err().contains("larger"));
        assert!(read(&[0x80, 0]).unwrap_err().contains("shortest"));
        assert!(read(&[0x80, 0x80, 0x80, 1]).unwrap_err().contains("longer"));
    }
}
