//! Stored schemas, read with a bound on their depth: a hostile file must not exhaust the stack.

use postcard_schema::schema::owned::{
    OwnedDataModelType as Model, OwnedDataModelVariant as ModelVariant, OwnedNamedType, OwnedNamedValue,
    OwnedNamedVariant,
};
use serde::{Deserialize, Deserializer, de::Error};
use std::cell::Cell;

/// Types within types that a schema may have. Ours have fewer than ten.
pub(crate) const MAX_DEPTH: usize = 32;

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Reads a schema of at most [`MAX_DEPTH`] levels.
pub(crate) fn bounded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OwnedNamedType, D::Error> {
    Named::deserialize(deserializer).map(|named| named.0)
}

/// As [`OwnedNamedType`], counting levels.
struct Named(OwnedNamedType);

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// One level fewer when dropped, on errors too.
        struct Level;
        impl Drop for Level {
            fn drop(&mut self) {
                DEPTH.set(DEPTH.get() - 1);
            }
        }
        DEPTH.set(DEPTH.get() + 1);
        let _level = Level;
        if DEPTH.get() > MAX_DEPTH {
            return Err(D::Error::custom(format_args!("a schema nests deeper than {MAX_DEPTH} types")));
        }
        let Shape { name, ty } = Shape::deserialize(deserializer)?;
        Ok(Self(OwnedNamedType { name, ty: ty.into() }))
    }
}

#[derive(Deserialize)]
struct Shape {
    name: String,
    ty: Type,
}

/// As [`Model`], variant by variant.
#[derive(Deserialize)]
enum Type {
    Bool,
    I8,
    U8,
    I16,
    I32,
    I64,
    I128,
    U16,
    U32,
    U64,
    U128,
    Usize,
    Isize,
    F32,
    F64,
    Char,
    String,
    ByteArray,
    Option(Box<Named>),
    Unit,
    UnitStruct,
    NewtypeStruct(Box<Named>),
    Seq(Box<Named>),
    Tuple(Vec<Named>),
    TupleStruct(Vec<Named>),
    Map { key: Box<Named>, val: Box<Named> },
    Struct(Vec<Field>),
    Enum(Vec<Variant>),
    Schema,
}

#[derive(Deserialize)]
struct Field {
    name: String,
    ty: Named,
}

#[derive(Deserialize)]
struct Variant {
    name: String,
    ty: VariantType,
}

#[derive(Deserialize)]
enum VariantType {
    Unit,
    Newtype(Box<Named>),
    Tuple(Vec<Named>),
    Struct(Vec<Field>),
}

fn boxed(named: Named) -> Box<OwnedNamedType> {
    Box::new(named.0)
}

fn all(list: Vec<Named>) -> Vec<OwnedNamedType> {
    list.into_iter().map(|named| named.0).collect()
}

fn fields(list: Vec<Field>) -> Vec<OwnedNamedValue> {
    list.into_iter().map(|Field { name, ty }| OwnedNamedValue { name, ty: ty.0 }).collect()
}

impl From<Type> for Model {
    fn from(ty: Type) -> Self {
        match ty {
            Type::Bool => Self::Bool,
            Type::I8 => Self::I8,
            Type::U8 => Self::U8,
            Type::I16 => Self::I16,
            Type::I32 => Self::I32,
            Type::I64 => Self::I64,
            Type::I128 => Self::I128,
            Type::U16 => Self::U16,
            Type::U32 => Self::U32,
            Type::U64 => Self::U64,
            Type::U128 => Self::U128,
            Type::Usize => Self::Usize,
            Type::Isize => Self::Isize,
            Type::F32 => Self::F32,
            Type::F64 => Self::F64,
            Type::Char => Self::Char,
            Type::String => Self::String,
            Type::ByteArray => Self::ByteArray,
            Type::Option(of) => Self::Option(boxed(*of)),
            Type::Unit => Self::Unit,
            Type::UnitStruct => Self::UnitStruct,
            Type::NewtypeStruct(of) => Self::NewtypeStruct(boxed(*of)),
            Type::Seq(of) => Self::Seq(boxed(*of)),
            Type::Tuple(of) => Self::Tuple(all(of)),
            Type::TupleStruct(of) => Self::TupleStruct(all(of)),
            Type::Map { key, val } => Self::Map { key: boxed(*key), val: boxed(*val) },
            Type::Struct(of) => Self::Struct(fields(of)),
            Type::Enum(of) => Self::Enum(
                of.into_iter()
                    .map(|Variant { name, ty }| OwnedNamedVariant { name, ty: ty.into() })
                    .collect(),
            ),
            Type::Schema => Self::Schema,
        }
    }
}

impl From<VariantType> for ModelVariant {
    fn from(ty: VariantType) -> Self {
        match ty {
            VariantType::Unit => Self::UnitVariant,
            VariantType::Newtype(of) => Self::NewtypeVariant(boxed(*of)),
            VariantType::Tuple(of) => Self::TupleVariant(all(of)),
            VariantType::Struct(of) => Self::StructVariant(fields(of)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OwnedSection, schema_of};
    use std::collections::BTreeMap;

    fn named(ty: Model) -> OwnedNamedType {
        OwnedNamedType { name: "t".into(), ty }
    }

    fn section(schema: OwnedNamedType) -> Vec<u8> {
        let section =
            OwnedSection { path: "p".into(), kind: "k".into(), version: 1, schema, bytes: vec![1, 2] };
        postcard::to_stdvec(&section).unwrap()
    }

    #[test]
    fn every_type_is_read_as_it_was_written() {
        let field = |name: &str, ty| OwnedNamedValue { name: name.into(), ty };
        let scalars = [
            schema_of::<((bool, i8, u8, i16), (i32, i64, i128))>(),
            schema_of::<(u16, u32, u64, u128)>(),
            schema_of::<(f32, f64, char, (String, Option<()>))>(),
            schema_of::<BTreeMap<u8, Vec<[u16; 3]>>>(),
            schema_of::<Result<u8, String>>(),
        ];
        let more =
            [Model::ByteArray, Model::UnitStruct, Model::Schema, Model::Unit, Model::Usize, Model::Isize]
                .map(named);
        let variant = |name: &str, ty| OwnedNamedVariant { name: name.into(), ty };
        let variants = Model::Enum(vec![
            variant("a", ModelVariant::UnitVariant),
            variant("b", ModelVariant::NewtypeVariant(Box::new(named(Model::U8)))),
            variant("c", ModelVariant::TupleVariant(scalars.to_vec())),
            variant("d", ModelVariant::StructVariant(vec![field("x", named(Model::Bool))])),
        ]);
        let all = scalars.iter().chain(&more).cloned().map(|ty| field("f", ty)).collect();
        let schema = named(Model::Struct(vec![
            field("all", named(Model::Struct(all))),
            field("variants", named(variants)),
            field("n", named(Model::NewtypeStruct(Box::new(named(Model::TupleStruct(more.to_vec())))))),
        ]));
        let read: OwnedSection = postcard::from_bytes(&section(schema.clone())).unwrap();
        assert_eq!(read.schema, schema);
        assert_eq!(section(read.schema.clone()), section(schema));
    }

    #[test]
    fn a_schema_without_end_is_an_error() {
        let nest =
            |depth| (1..depth).fold(named(Model::U8), |inner, _| named(Model::Option(Box::new(inner))));
        let read = |bytes: &[u8]| postcard::from_bytes::<OwnedSection>(bytes);
        assert!(read(&section(nest(MAX_DEPTH))).is_ok());
        assert!(read(&section(nest(MAX_DEPTH + 1))).is_err());
        // The levels of the failed one do not count for the next.
        assert!(read(&section(nest(MAX_DEPTH))).is_ok());
        // Option within option, a million deep: name "t", type 18.
        let mut bytes = vec![1, b'p', 1, b'k', 1];
        bytes.extend([1, b't', 18].repeat(1_000_000));
        assert!(read(&bytes).is_err());
    }
}
