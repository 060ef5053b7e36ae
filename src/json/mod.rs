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
//! The grammar is RFC 8259 (no NaN, no trailing commas) with numbers that fit. What
//! it adds: duplicate names are refused at any depth after unescaping, so is U+0000
//! in a name, depth is bounded, and the input must be exactly one value.
//!
//! The reader is our own, because most of a message is nobody's business here: it
//! checks what nobody looks at as strictly as the rest, and keeps nothing of it. What
//! it accepts is held against `serde_json` in the tests.

mod reader;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use self::reader::Reader;

/// Deepest nesting of arrays and objects that is read. MCP messages use less
/// than 10; the servers' own parsers stop between 128 and 200, so we are the
/// stricter side, and the bound keeps recursion far from the stack's end.
pub const MAX_DEPTH: usize = 64;

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
    /// Checked and not kept, because it lies below the levels asked for.
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

/// Reads exactly one JSON value as [`read`] does, and keeps its outermost `levels` of
/// arrays and objects. What is in deeper ones becomes [`Value::Skipped`], and so do they.
///
/// # Errors
/// Those of [`read`], whatever the levels.
pub fn read_levels(bytes: &[u8], levels: usize) -> Result<Value<'_>, JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|_| JsonError::NotUtf8)?;
    if text.starts_with('\u{feff}') {
        return Err(JsonError::ByteOrderMark);
    }
    Reader::new(text, levels).read()
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
