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
