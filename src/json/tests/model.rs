//! What the reader must say of a document, put together from `serde_json`'s grammar and
//! the refusals that are ours.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::super::{JsonError, MAX_DEPTH, Object, Value};

// serde's error type is opaque, so the refusals that are ours travel as these texts.
const TOO_DEEP: &str = "ours: too deep";
const DUPLICATE: &str = "ours: duplicate name";
const NUL: &str = "ours: nul in name";

/// What `read_levels` must return.
pub(super) fn read(bytes: &[u8], levels: usize) -> Result<Value<'static>, JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|_| JsonError::NotUtf8)?;
    if text.starts_with('\u{feff}') {
        return Err(JsonError::ByteOrderMark);
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Model { depth: 0, levels }
        .deserialize(&mut deserializer)
        .map_err(|error| refusal(&error.to_string()))?;
    deserializer.end().map_err(|_| JsonError::Syntax)?;
    Ok(value)
}

fn refusal(text: &str) -> JsonError {
    [
        (TOO_DEEP, JsonError::TooDeep),
        (DUPLICATE, JsonError::DuplicateName),
        (NUL, JsonError::NulInName),
    ]
    .into_iter()
    .find_map(|(start, error)| text.starts_with(start).then_some(error))
    .unwrap_or(JsonError::Syntax)
}

/// A value inside of `depth` arrays and objects, of which `levels` are kept.
#[derive(Clone, Copy)]
struct Model {
    depth: usize,
    levels: usize,
}

impl Model {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.depth.checked_add(1) {
            Some(depth) if depth <= MAX_DEPTH => Ok(Model { depth, ..self }),
            _ => Err(E::custom(TOO_DEEP)),
        }
    }

    fn keep<E>(self, value: Value<'static>) -> Result<Value<'static>, E> {
        Ok(if self.depth <= self.levels { value } else { Value::Skipped })
    }
}

impl<'de> DeserializeSeed<'de> for Model {
    type Value = Value<'static>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Model {
    type Value = Value<'static>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        self.keep(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        self.keep(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        self.keep(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        self.keep(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Self::Value, E> {
        match serde_json::Number::from_f64(value) {
            Some(number) => self.keep(Value::Number(number)),
            None => Err(E::custom("number out of range")),
        }
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        self.keep(Value::String(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let inside = self.deeper()?;
        let mut elements = Vec::new();
        while let Some(element) = sequence.next_element_seed(inside)? {
            elements.push(element);
        }
        inside.keep(Value::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let inside = self.deeper()?;
        let mut members = Vec::new();
        let mut seen = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if name.contains('\0') {
                return Err(A::Error::custom(NUL));
            }
            if !seen.insert(name.clone()) {
                return Err(A::Error::custom(DUPLICATE));
            }
            members.push((Cow::Owned(name), map.next_value_seed(inside)?));
        }
        inside.keep(Value::Object(Object(members)))
    }
}
