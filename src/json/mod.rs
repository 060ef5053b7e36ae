//! One strict, bounded reader of JSON.
//!
//! Everything this crate decides on and that came as JSON (MCP messages, token
//! headers and claims, key sets) is read here, so that there is one answer to
//! "what does this document say". Parsers differ on duplicate names, invalid
//! UTF-8, byte order marks and lone surrogates, and every difference is a way to
//! show an enforcement point one message and the server behind it another
//! (GHSA-4gph-2hhr-5mwg, GHSA-q382-vc8q-7jhj). The reader refuses them all
//! instead of choosing.
//!
//! The grammar is `serde_json`'s (RFC 8259; no NaN, no trailing commas, numbers
//! that fit). What it adds: duplicate names are refused at any depth after
//! unescaping, so is U+0000 in a name, depth is bounded, and the input must be
//! exactly one value.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// Deepest nesting of arrays and objects that is read. MCP messages use less
/// than 10; the servers' own parsers stop between 128 and 200, so we are the
/// stricter side, and the bound keeps recursion far from the stack's end.
pub const MAX_DEPTH: usize = 64;

/// Objects with at most this many members are searched for duplicates in place;
/// larger ones use a set, so that many members cost linear and not quadratic time.
/// The rows of most tables are below it, and cost half of what they do with a set.
const SMALL_OBJECT: usize = 48;

/// A JSON value. Strings without escapes borrow from the input.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// Any number that fits an `i64`, `u64` or finite `f64`.
    Number(serde_json::Number),
    /// A string, unescaped.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Value<'a>>),
    /// An object.
    Object(Object<'a>),
    /// Read and not kept: it lies below the levels asked for.
    Skipped,
}

/// A JSON object: members in the order of the input, names unique.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Object<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

/// Why a document was refused. Carries no part of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not UTF-8 (RFC 8259 section 8.1), a UTF-16 or UTF-32 document included.
    #[error("not UTF-8")]
    NotUtf8,
    /// Starts with a byte order mark (RFC 8259 section 8.1).
    #[error("starts with a byte order mark")]
    ByteOrderMark,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested too deeply")]
    TooDeep,
    /// A name occurs twice in one object, after unescaping.
    #[error("duplicate member name")]
    DuplicateName,
    /// A member name contains U+0000.
    #[error("U+0000 in a member name")]
    NulInName,
    /// Not RFC 8259 JSON, a number out of range, a lone surrogate, or more than one value.
    #[error("not well-formed JSON")]
    Syntax,
}

/// Reads exactly one JSON value.
///
/// # Errors
/// [`JsonError`], for anything but one well-formed, unambiguous value.
pub fn read(bytes: &[u8]) -> Result<Value<'_>, JsonError> {
    read_levels(bytes, MAX_DEPTH)
}

/// Reads exactly one JSON value, as strictly as [`read`], and keeps its outermost `levels`
/// of arrays and objects. Deeper ones, and what is in them, become [`Value::Skipped`].
/// A message of many small values takes several times its size in memory when all are kept.
///
/// # Errors
/// Those of [`read`], whatever the levels.
pub fn read_levels(bytes: &[u8], levels: usize) -> Result<Value<'_>, JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|_| JsonError::NotUtf8)?;
    if text.starts_with('\u{feff}') {
        return Err(JsonError::ByteOrderMark);
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = ValueSeed { depth: 0, levels }
        .deserialize(&mut deserializer)
        .map_err(|error| JsonError::recognise(&error))?;
    deserializer.end().map_err(|_| JsonError::Syntax)?;
    Ok(value)
}

impl<'a> Value<'a> {
    /// The object, if it is one.
    #[must_use]
    pub fn as_object(&self) -> Option<&Object<'a>> {
        match self {
            Value::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The elements, if it is an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Value<'a>]> {
        match self {
            Value::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The string, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(string) => Some(string),
            _ => None,
        }
    }
}

impl<'a> Object<'a> {
    /// The member with exactly this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// All members, in the order of the input.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// The number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

// serde's error type is opaque, so the seed's own refusals travel as these texts.
const TOO_DEEP: &str = "countersign: too deep";
const DUPLICATE: &str = "countersign: duplicate name";
const NUL: &str = "countersign: nul in name";

impl JsonError {
    fn recognise(error: &serde_json::Error) -> Self {
        let text = error.to_string();
        if text.starts_with(TOO_DEEP) {
            JsonError::TooDeep
        } else if text.starts_with(DUPLICATE) {
            JsonError::DuplicateName
        } else if text.starts_with(NUL) {
            JsonError::NulInName
        } else {
            JsonError::Syntax
        }
    }
}

/// Reads a value inside of `depth` arrays and objects, of which `levels` are kept.
#[derive(Clone, Copy)]
struct ValueSeed {
    depth: usize,
    levels: usize,
}

impl ValueSeed {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.depth.checked_add(1) {
            Some(depth) if depth <= MAX_DEPTH => Ok(ValueSeed { depth, ..self }),
            _ => Err(E::custom(TOO_DEEP)),
        }
    }

    fn keep<'de, E>(self, value: impl FnOnce() -> Value<'de>) -> Result<Value<'de>, E> {
        Ok(if self.keeps() { value() } else { Value::Skipped })
    }

    fn keeps(self) -> bool {
        self.depth <= self.levels
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        self.keep(|| Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
        self.keep(|| Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value<'de>, E> {
        self.keep(|| Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value<'de>, E> {
        self.keep(|| Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value<'de>, E> {
        match serde_json::Number::from_f64(value) {
            Some(number) => self.keep(|| Value::Number(number)),
            None => Err(E::custom("number out of range")),
        }
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Value<'de>, E> {
        self.keep(|| Value::String(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value<'de>, E> {
        self.keep(|| Value::String(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value<'de>, A::Error> {
        let seed = self.deeper()?;
        let mut elements = Vec::new();
        while let Some(element) = sequence.next_element_seed(seed)? {
            if seed.keeps() {
                elements.push(element);
            }
        }
        seed.keep(|| Value::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        let seed = self.deeper()?;
        let mut members = Vec::new();
        let mut seen = HashSet::new();
        while let Some(name) = map.next_key_seed(NameSeed)? {
            if name.contains('\0') {
                return Err(A::Error::custom(NUL));
            }
            if is_duplicate(&name, &members, &mut seen) {
                return Err(A::Error::custom(DUPLICATE));
            }
            let value = map.next_value_seed(seed)?;
            members.push((name, value));
        }
        seed.keep(|| Value::Object(Object(members)))
    }
}

#[expect(clippy::ptr_arg, reason = "cloning a borrowed name costs nothing")]
fn is_duplicate<'a>(
    name: &Cow<'a, str>,
    members: &[(Cow<'a, str>, Value<'a>)],
    seen: &mut HashSet<Cow<'a, str>>,
) -> bool {
    if members.len() < SMALL_OBJECT {
        return members.iter().any(|(n, _)| n == name);
    }
    if seen.is_empty() {
        seen.extend(members.iter().map(|(n, _)| n.clone()));
    }
    !seen.insert(name.clone())
}

struct NameSeed;

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for NameSeed {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(value.to_owned()))
    }
}
