//! From a JSON value to the types of the document.
//!
//! `serde_json` would do it too. This reader says where a document does not fit, says it
//! without the values it repeats, which may be secret, and takes nothing but an object for
//! a struct. As there is one for all types, the module is smaller by a tenth.

use serde::de::value::StrDeserializer;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, Expected, MapAccess, SeqAccess, Unexpected,
    Visitor,
};
use serde::forward_to_deserialize_any;

use super::problem::{did_you_mean, member};
use crate::json::Value;

/// Reads a `T`.
///
/// # Errors
/// [`Misfit`], the first one.
pub(super) fn read<'de, T: Deserialize<'de>>(value: &'de Value<'de>) -> Result<T, Misfit> {
    T::deserialize(Shape(value))
}

/// A value of another shape than the document has there.
#[derive(Debug)]
pub(super) struct Misfit {
    /// Where, such as `servers[0].tools`; empty for the whole document.
    pub(super) path: String,
    /// What is wrong.
    pub(super) message: String,
}

impl Misfit {
    fn new(message: String) -> Self {
        Misfit { path: String::new(), message }
    }

    /// The same, seen from the object that it is in.
    fn of_member(self, name: &str) -> Self {
        let place = member("", name);
        self.within(place.strip_prefix('.').unwrap_or(&place))
    }

    /// The same, seen from the array that it is in.
    fn of_element(self, index: usize) -> Self {
        self.within(&format!("[{index}]"))
    }

    fn within(mut self, place: &str) -> Self {
        let separator = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{place}{separator}{}", self.path);
        self
    }
}

impl std::error::Error for Misfit {}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// serde's errors in our words.
impl Error for Misfit {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Misfit::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Bool(_) => "true or false",
            Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "a number",
            Unexpected::Str(_) => "a string",
            Unexpected::Seq => "an array",
            Unexpected::Map => "an object",
            _ => "null",
        };
        let expected = match expected.to_string() {
            expected if expected == "a sequence" => "an array".to_owned(),
            expected if expected == "a map" => "an object".to_owned(),
            expected if expected == "a boolean" => "true or false".to_owned(),
            expected => expected,
        };
        Misfit::new(format!("expected {expected}, found {found}"))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Misfit::new(format!("expected {expected}"))
    }

    fn unknown_variant(name: &str, known: &'static [&'static str]) -> Self {
        Misfit::new(format!("unknown value `{name}`{}", hint(name, known)))
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        Misfit::new(format!("unknown member `{name}`{}", hint(name, known)))
    }

    fn missing_field(name: &'static str) -> Self {
        Misfit::new(format!("missing member `{name}`"))
    }
}

fn hint(name: &str, known: &[&str]) -> String {
    match did_you_mean(name, known.iter().copied()) {
        hint if !hint.is_empty() => hint,
        _ => format!("; known are {}", known.join(", ")),
    }
}

/// A value that is read.
struct Shape<'de>(&'de Value<'de>);

impl<'de> Deserializer<'de> for Shape<'de> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => visitor.visit_u64(number),
                (None, Some(number)) => visitor.visit_i64(number),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or_default()),
            },
            Value::String(text) => visitor.visit_str(text),
            Value::Array(elements) => visitor.visit_seq(Elements(elements.iter().enumerate())),
            Value::Object(object) => {
                visitor.visit_map(Members { rest: object.iter(), current: None })
            }
            Value::Skipped => Err(Misfit::invalid_type(unexpected(self.0), &visitor)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            // Templates write it for a value they do not have. A condition must not go with it.
            Value::Null => Err(Misfit::new("is null; leave it out, or write a value".to_owned())),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    /// The derived visitors would also take an array of the members in their order, which
    /// nobody means and no schema allows.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        match self.0 {
            Value::Object(object) => {
                visitor.visit_map(Members { rest: object.iter(), current: None })
            }
            other => Err(Misfit::invalid_type(unexpected(other), &"an object")),
        }
    }

    /// The document's enums are names.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        match self.0 {
            Value::String(name) => visitor.visit_enum(StrDeserializer::new(name)),
            other => Err(Misfit::invalid_type(unexpected(other), &"a string")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

fn unexpected<'de>(value: &'de Value<'_>) -> Unexpected<'de> {
    match value {
        Value::Null => Unexpected::Unit,
        Value::Bool(value) => Unexpected::Bool(*value),
        Value::Number(number) => Unexpected::Float(number.as_f64().unwrap_or_default()),
        Value::String(text) => Unexpected::Str(text),
        Value::Array(_) => Unexpected::Seq,
        Value::Object(_) => Unexpected::Map,
        Value::Skipped => Unexpected::Other("a value that is not kept"),
    }
}

/// The elements of an array that are still to be read, with their places.
struct Elements<I>(I);

impl<'de, I: Iterator<Item = (usize, &'de Value<'de>)>> SeqAccess<'de> for Elements<I> {
    type Error = Misfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Misfit> {
        let Some((index, element)) = self.0.next() else { return Ok(None) };
        seed.deserialize(Shape(element)).map(Some).map_err(|misfit| misfit.of_element(index))
    }
}

/// The members of an object that are still to be read.
struct Members<'de, I> {
    rest: I,
    /// The one whose name was read last.
    current: Option<(&'de str, &'de Value<'de>)>,
}

impl<'de, I: Iterator<Item = (&'de str, &'de Value<'de>)>> MapAccess<'de> for Members<'de, I> {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Misfit> {
        self.current = self.rest.next();
        let Some((name, _)) = self.current else { return Ok(None) };
        seed.deserialize(StrDeserializer::new(name))
            .map(Some)
            .map_err(|misfit: Misfit| misfit.of_member(name))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        let (name, value) =
            self.current.take().ok_or_else(|| Misfit::custom("a value, no name"))?;
        seed.deserialize(Shape(value)).map_err(|misfit| misfit.of_member(name))
    }
}
