//! Values as JSON, and from it or from what a person writes.

use crate::value::{Hex, Part, Place, Shape, Value, ValueError, decode};
use crate::{Manifest, OwnedSection};
use postcard_schema::schema::owned::{OwnedNamedType, OwnedNamedValue, OwnedNamedVariant};
use serde_json::{Map, Number, Value as Json, json};

/// Largest integer that every reader of JSON keeps exactly.
const EXACT: u128 = 1 << 53;

/// The value as JSON: integers up to 2^53 as numbers, larger ones as strings of decimal digits; bytes as strings of
/// hexadecimal digits; an absent option as null; a variant as its name, or as an object of the name and what it holds.
pub fn to_json(value: &Value) -> Json {
    match value {
        Value::Unit | Value::Option(None) => Json::Null,
        Value::Bool(flag) => json!(flag),
        Value::Unsigned(value, _) if *value <= EXACT => json!(*value as u64),
        Value::Signed(value, _) if value.unsigned_abs() <= EXACT => json!(*value as i64),
        Value::F32(bits) => float(f32::from_bits(*bits).into(), format!("{bits:#010x}")),
        Value::F64(bits) => float(f64::from_bits(*bits), format!("{bits:#018x}")),
        Value::Char(c) => json!(c),
        Value::Text(text) => json!(text),
        Value::Bytes(bytes) => Json::String(Hex(bytes).to_string()),
        Value::Option(Some(value)) => to_json(value),
        Value::List(values) => values.iter().map(to_json).collect(),
        Value::Map(map) => {
            Json::Object(map.iter().map(|(key, value)| (plain(key), to_json(value))).collect())
        }
        Value::Struct(fields) => {
            Json::Object(fields.iter().map(|(name, value)| ((*name).to_owned(), to_json(value))).collect())
        }
        Value::Variant { name, value, .. } if **value == Value::Unit => json!(name),
        Value::Variant { name, value, .. } => {
            Json::Object(Map::from_iter([((*name).to_owned(), to_json(value))]))
        }
        other => Json::String(other.to_string()),
    }
}

fn float(value: f64, bits: String) -> Json {
    Number::from_f64(value).map_or(Json::String(bits), Json::Number)
}

/// A key as text: without the quotes that show that it is one.
fn plain(key: &Value) -> String {
    if let Value::Text(text) = key { text.to_string() } else { key.to_string() }
}

/// All sections of a snapshot, by path.
///
/// # Errors
/// Names the section and field that do not decode.
pub fn sections_to_json(manifest: &Manifest) -> Result<Json, ValueError> {
    let section = |section: &OwnedSection| {
        let value = to_json(&decode(section)?);
        let object = json!({ "kind": section.kind, "version": section.version, "value": value });
        Ok((section.path.clone(), object))
    };
    manifest.sections.iter().map(section).collect::<Result<Map<_, _>, _>>().map(Json::Object)
}

/// Replaces what is at `parts` below a value by what `text` says: as [`to_json`] writes it, or for a value without
/// parts in the words of a person, such as `0x1f`, `none`, `true` or the name of a variant.
pub(crate) fn assign<'a>(
    value: &mut Value<'a>,
    shape: Shape<'a>,
    parts: &[Part],
    place: &mut Place<'a>,
    text: &str,
) -> Result<(), ValueError> {
    let Some((part, rest)) = parts.split_first() else {
        let written = match text.starts_with(['[', '{', '"']) {
            true => {
                serde_json::from_str(text).map_err(|e| place.error(format!("`{text}` is no JSON: {e}")))?
            }
            false => Json::String(text.to_owned()),
        };
        *value = from_json(shape, &written, place)?;
        return Ok(());
    };
    let missing = |place: &Place, what: String| place.error(format!("there is no {what}"));
    match (shape, value, part) {
        (Shape::Option(of), Value::Option(Some(value)), _) => {
            assign(value, Shape::of(of), parts, place, text)
        }
        (Shape::Option(_), _, _) => Err(place.error("it is none, and has nothing below; set it as a whole")),
        (Shape::Enum(variants), Value::Variant { index, value, .. }, _) => {
            match variants.get(*index as usize) {
                Some(variant) => assign(value, Shape::of_variant(&variant.ty), parts, place, text),
                None => Err(place.error("it has no such variant")),
            }
        }
        (Shape::Struct(of), Value::Struct(fields), Part::Field(name)) => {
            let Some(n) = fields.iter().position(|(known, _)| known == name) else {
                let known: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
                return Err(missing(place, format!("{name}; there is {}", known.join(", "))));
            };
            let (name, value) = &mut fields[n];
            place.within(Part::Field(name), |place| assign(value, Shape::of(&of[n].ty), rest, place, text))
        }
        (Shape::Seq(of), Value::List(list), Part::Index(n)) => {
            let len = list.len();
            let value = list.get_mut(*n).ok_or_else(|| missing(place, format!("{n}; it has {len}")))?;
            place.within(Part::Index(*n), |place| assign(value, Shape::of(of), rest, place, text))
        }
        (Shape::Tuple(of), Value::List(list), Part::Index(n)) => {
            let len = list.len();
            let value = list.get_mut(*n).ok_or_else(|| missing(place, format!("{n}; it has {len}")))?;
            place.within(Part::Index(*n), |place| assign(value, Shape::of(&of[*n]), rest, place, text))
        }
        (Shape::Bytes(_), Value::Bytes(bytes), Part::Index(n)) if rest.is_empty() => {
            let len = bytes.len();
            let byte = bytes.to_mut().get_mut(*n);
            let byte = byte.ok_or_else(|| missing(place, format!("{n}; it has {len}")))?;
            *byte = place.within(Part::Index(*n), |place| unsigned(text, 8, place))? as u8;
            Ok(())
        }
        (Shape::Map(_, of), Value::Map(map), Part::Index(_) | Part::Key(_)) => {
            let wanted = part.to_string();
            let entry = map.iter_mut().find(|(key, _)| format!("[{}]", plain(key)) == wanted);
            let (_, value) = entry.ok_or_else(|| missing(place, wanted.clone()))?;
            place.within(Part::Key(wanted), |place| assign(value, Shape::of(of), rest, place, text))
        }
        _ => Err(missing(place, format!("{part} below it"))),
    }
}

/// A value of this shape, from JSON as [`to_json`] writes it.
fn from_json<'a>(shape: Shape<'a>, json: &Json, place: &mut Place<'a>) -> Result<Value<'a>, ValueError> {
    let wanted = |place: &Place, what: &str| Err(place.error(format!("{json} is not {what}")));
    // What a person writes for a number is text, and so is a large number in JSON.
    let text = match json {
        Json::String(text) => text.clone(),
        Json::Number(number) => number.to_string(),
        Json::Bool(flag) => flag.to_string(),
        _ => String::new(),
    };
    Ok(match (shape, json) {
        (Shape::Unit, Json::Null) => Value::Unit,
        (Shape::Bool, _) => match text.as_str() {
            "true" | "1" => Value::Bool(true),
            "false" | "0" => Value::Bool(false),
            _ => return wanted(place, "true or false"),
        },
        (Shape::Unsigned(bits), Json::String(_) | Json::Number(_)) => {
            Value::Unsigned(unsigned(&text, bits, place)?, bits)
        }
        (Shape::Signed(bits), Json::String(_) | Json::Number(_)) => {
            Value::Signed(signed(&text, bits, place)?, bits)
        }
        (Shape::F32, _) => match (hex_word(&text), text.parse::<f32>()) {
            (Some(bits), _) if bits <= u32::MAX.into() => Value::F32(bits as u32),
            (None, Ok(value)) => Value::F32(value.to_bits()),
            _ => return wanted(place, "a 32-bit floating-point number or the bits of one"),
        },
        (Shape::F64, _) => match (hex_word(&text), text.parse::<f64>()) {
            (Some(bits), _) => Value::F64(bits),
            (None, Ok(value)) => Value::F64(value.to_bits()),
            _ => return wanted(place, "a floating-point number or the bits of one"),
        },
        (Shape::Char, Json::String(text)) if text.chars().count() == 1 => {
            Value::Char(text.chars().next().unwrap_or_default())
        }
        (Shape::Text, Json::String(text)) => Value::Text(text.clone().into()),
        (Shape::Bytes(len), Json::String(text)) => Value::Bytes(bytes(text, len, place)?.into()),
        (Shape::Option(_), Json::Null) => Value::Option(None),
        (Shape::Option(_), Json::String(text)) if text == "none" => Value::Option(None),
        (Shape::Option(of), _) => Value::Option(Some(Box::new(from_json(Shape::of(of), json, place)?))),
        (Shape::Seq(of), Json::Array(items)) => list(std::iter::repeat(of), items, place)?,
        (Shape::Tuple(of), Json::Array(items)) if of.len() == items.len() => list(of.iter(), items, place)?,
        (Shape::Tuple(of), Json::Array(_)) => return wanted(place, &format!("a list of {}", of.len())),
        (Shape::Map(key, of), Json::Object(entries)) => map(key, of, entries, place)?,
        (Shape::Struct(of), Json::Object(fields)) => structure(of, fields, place)?,
        (Shape::Enum(of), _) => variant(of, json, place)?,
        (shape, _) => return wanted(place, shape.wanted()),
    })
}

impl Shape<'_> {
    /// What to write, in words.
    fn wanted(&self) -> &'static str {
        match self {
            Self::Unit => "null",
            Self::Unsigned(_) | Self::Signed(_) => "an integer",
            Self::Char => "one character",
            Self::Text => "a string",
            Self::Bytes(_) => "a string of hexadecimal digits",
            Self::Seq(_) | Self::Tuple(_) => "a list in [ ]",
            Self::Map(..) => "an object in { }",
            Self::Struct(_) => "an object in { } with all its fields; or set one of them",
            Self::Schema => "a thing that can be set",
            Self::Bool | Self::F32 | Self::F64 | Self::Option(_) | Self::Enum(_) => "a value it can have",
        }
    }
}

fn list<'a>(
    of: impl Iterator<Item = &'a OwnedNamedType>,
    items: &[Json],
    place: &mut Place<'a>,
) -> Result<Value<'a>, ValueError> {
    let item = |(n, (of, item))| place.within(Part::Index(n), |place| from_json(Shape::of(of), item, place));
    of.zip(items).enumerate().map(item).collect::<Result<_, _>>().map(Value::List)
}

fn map<'a>(
    key: &'a OwnedNamedType,
    of: &'a OwnedNamedType,
    entries: &Map<String, Json>,
    place: &mut Place<'a>,
) -> Result<Value<'a>, ValueError> {
    let mut map = Vec::new();
    for (name, json) in entries {
        let entry = place.within(Part::Key(name.clone()), |place| {
            let key = from_json(Shape::of(key), &Json::String(name.clone()), place)?;
            Ok((key, from_json(Shape::of(of), json, place)?))
        });
        map.push(entry?);
    }
    // JSON has them by their text; a map of ours has them by key.
    map.sort_by(|(a, _), (b, _)| match (a, b) {
        (Value::Unsigned(a, _), Value::Unsigned(b, _)) => a.cmp(b),
        (Value::Signed(a, _), Value::Signed(b, _)) => a.cmp(b),
        _ => std::cmp::Ordering::Equal,
    });
    Ok(Value::Map(map))
}

fn structure<'a>(
    of: &'a [OwnedNamedValue],
    fields: &Map<String, Json>,
    place: &mut Place<'a>,
) -> Result<Value<'a>, ValueError> {
    if let Some(name) = fields.keys().find(|name| !of.iter().any(|field| field.name == **name)) {
        return Err(place.error(format!("there is no {name} below it")));
    }
    let mut list = Vec::new();
    for OwnedNamedValue { name, ty } in of {
        let json = fields.get(name).ok_or_else(|| place.error(format!("{name} below it is not given")))?;
        let value = place.within(Part::Field(name), |place| from_json(Shape::of(ty), json, place))?;
        list.push((name.as_str(), value));
    }
    Ok(Value::Struct(list))
}

fn variant<'a>(
    of: &'a [OwnedNamedVariant],
    json: &Json,
    place: &mut Place<'a>,
) -> Result<Value<'a>, ValueError> {
    let (name, inner) = match json {
        Json::String(name) => (name, &Json::Null),
        Json::Object(object) if object.len() == 1 => {
            object.iter().next().unwrap_or_else(|| unreachable!("it has one entry"))
        }
        _ => return Err(place.error(format!("{json} is not the name of a variant"))),
    };
    let Some(index) = of.iter().position(|variant| variant.name == *name) else {
        let names: Vec<_> = of.iter().map(|variant| variant.name.as_str()).collect();
        return Err(place.error(format!("{name} is none of {}", names.join(", "))));
    };
    let value = Box::new(from_json(Shape::of_variant(&of[index].ty), inner, place)?);
    Ok(Value::Variant { index: index as u32, name: &of[index].name, value })
}

fn hex_word(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

/// Digits in base 10, or 16, 8 or 2 behind 0x, 0o or 0b, with `_` between them.
fn magnitude(text: &str) -> Option<u128> {
    let lower = text.to_ascii_lowercase();
    let (digits, base) = match lower.get(..2) {
        Some("0x") => (&lower[2..], 16),
        Some("0o") => (&lower[2..], 8),
        Some("0b") => (&lower[2..], 2),
        _ => (lower.as_str(), 10),
    };
    let digits = digits.replace('_', "");
    if digits.starts_with('+') { None } else { u128::from_str_radix(&digits, base).ok() }
}

fn unsigned(text: &str, bits: u8, place: &Place) -> Result<u128, ValueError> {
    let max = u128::MAX >> (128 - u32::from(bits));
    let negative = text.strip_prefix('-').is_some_and(|rest| magnitude(rest).is_some());
    match magnitude(text) {
        Some(value) if value <= max => Ok(value),
        None if !negative => Err(place.error(format!("`{text}` is no integer"))),
        _ => Err(place.error(format!("{text} does not fit u{bits}, which goes from 0 to {max}"))),
    }
}

fn signed(text: &str, bits: u8, place: &Place) -> Result<i128, ValueError> {
    let (min, max) = (i128::MIN >> (128 - u32::from(bits)), i128::MAX >> (128 - u32::from(bits)));
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let Some(magnitude) = magnitude(digits) else {
        return Err(place.error(format!("`{text}` is no integer")));
    };
    let value = match negative {
        true if magnitude == 1 << 127 => Some(i128::MIN),
        true => i128::try_from(magnitude).ok().map(|value| -value),
        false => i128::try_from(magnitude).ok(),
    };
    let value = value.filter(|value| (min..=max).contains(value));
    value.ok_or_else(|| place.error(format!("{text} does not fit i{bits}, which goes from {min} to {max}")))
}

fn bytes(text: &str, len: Option<usize>, place: &Place) -> Result<Vec<u8>, ValueError> {
    let found = crate::parse_hex(text)
        .ok_or_else(|| place.error(format!("`{text}` is not a string of pairs of hexadecimal digits")))?;
    match len {
        Some(len) if len != found.len() => {
            Err(place.error(format!("it has {len} bytes, and {} are given", found.len())))
        }
        _ => Ok(found),
    }
}
