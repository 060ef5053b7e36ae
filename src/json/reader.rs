//! The reader itself: one pass over the text, by recursive descent.

use std::borrow::Cow;
use std::collections::HashSet;

use super::{JsonError, MAX_DEPTH, Object, Value};

/// Objects with at most this many members are searched for duplicates in place;
/// larger ones use a set, so that many members cost linear and not quadratic time.
const SMALL_OBJECT: usize = 16;

/// A number with at most this many digits before its point and at most
/// [`SHORT_EXPONENT`] in its exponent is below 10^299, so it fits an `f64`.
const SHORT_INTEGER: usize = 200;

/// See [`SHORT_INTEGER`].
const SHORT_EXPONENT: usize = 2;

/// Where the reader is in a text.
pub(super) struct Reader<'a> {
    text: &'a str,
    /// What is not read yet: the end of `text`.
    rest: &'a [u8],
    /// Arrays and objects nested deeper than this are not kept.
    levels: usize,
    /// The names so far of all objects that are open, outermost first.
    names: Vec<Cow<'a, str>>,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `text`.
    pub(super) fn new(text: &'a str, levels: usize) -> Self {
        Reader { text, rest: text.as_bytes(), levels, names: Vec::new() }
    }

    /// The one value that the text is.
    pub(super) fn read(mut self) -> Result<Value<'a>, JsonError> {
        let value = self.value(0)?;
        self.skip_whitespace();
        if self.rest.is_empty() { Ok(value) } else { Err(JsonError::Syntax) }
    }

    /// A value inside of `depth` arrays and objects.
    fn value(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        self.skip_whitespace();
        let keep = depth <= self.levels;
        let (value, rest) = match self.rest {
            [b'"', rest @ ..] => {
                self.rest = rest;
                if keep {
                    return self.string().map(Value::String);
                }
                return self.skip_string().map(|()| Value::Skipped);
            }
            [b'{', rest @ ..] => {
                self.rest = rest;
                return self.object(deeper(depth)?);
            }
            [b'[', rest @ ..] => {
                self.rest = rest;
                return self.array(deeper(depth)?);
            }
            [b'-' | b'0'..=b'9', ..] => return self.number(keep),
            [b't', b'r', b'u', b'e', rest @ ..] => (Value::Bool(true), rest),
            [b'f', b'a', b'l', b's', b'e', rest @ ..] => (Value::Bool(false), rest),
            [b'n', b'u', b'l', b'l', rest @ ..] => (Value::Null, rest),
            _ => return Err(JsonError::Syntax),
        };
        self.rest = rest;
        Ok(if keep { value } else { Value::Skipped })
    }

    /// What follows the bracket of an array that is the `depth`th level.
    fn array(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        let keep = depth <= self.levels;
        let mut elements = Vec::new();
        let mut more = !self.closes(b']');
        while more {
            let element = self.value(depth)?;
            if keep {
                elements.push(element);
            }
            more = self.goes_on(b']')?;
        }
        Ok(if keep { Value::Array(elements) } else { Value::Skipped })
    }

    /// What follows the brace of an object that is the `depth`th level.
    fn object(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        let keep = depth <= self.levels;
        let outer = self.names.len();
        let mut large = None;
        let mut values = Vec::new();
        let mut more = !self.closes(b'}');
        while more {
            let name = self.name()?;
            if self.is_duplicate(&name, outer, &mut large) {
                return Err(JsonError::DuplicateName);
            }
            self.names.push(name);
            self.skip_whitespace();
            self.take(b':')?;
            let value = self.value(depth)?;
            if keep {
                values.push(value);
            }
            more = self.goes_on(b'}')?;
        }
        if keep {
            let members = self.names.drain(outer..).zip(values);
            return Ok(Value::Object(Object(members.collect())));
        }
        self.names.truncate(outer);
        Ok(Value::Skipped)
    }

    fn name(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.skip_whitespace();
        self.take(b'"')?;
        let name = self.string()?;
        match &name {
            // As it stands in the text, a string has no control characters.
            Cow::Owned(unescaped) if unescaped.contains('\0') => Err(JsonError::NulInName),
            _ => Ok(name),
        }
    }

    /// Whether the innermost object, whose names start after `outer` others, has this one.
    /// `large` is the set of its names once there are many.
    #[expect(clippy::ptr_arg, reason = "cloning a borrowed name costs nothing")]
    fn is_duplicate(
        &self,
        name: &Cow<'a, str>,
        outer: usize,
        large: &mut Option<HashSet<Cow<'a, str>>>,
    ) -> bool {
        let names = self.names.get(outer..).unwrap_or_default();
        if names.len() < SMALL_OBJECT {
            return names.contains(name);
        }
        !large.get_or_insert_with(|| names.iter().cloned().collect()).insert(name.clone())
    }

    /// What follows the opening quote of a string, unescaped.
    fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        let start = self.plain()?;
        if let [b'"', rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(Cow::Borrowed(start));
        }
        let mut string = start.to_owned();
        while let Some(character) = self.escape_or_end()? {
            string.push(character);
            string.push_str(self.plain()?);
        }
        Ok(Cow::Owned(string))
    }

    fn skip_string(&mut self) -> Result<(), JsonError> {
        self.plain()?;
        while self.escape_or_end()?.is_some() {
            self.plain()?;
        }
        Ok(())
    }

    /// The part of a string up to its end, the next escape, or what it may not contain.
    fn plain(&mut self) -> Result<&'a str, JsonError> {
        let start = self.position();
        let (_, rest) =
            self.rest.split_at_checked(plain_len(self.rest)).ok_or(JsonError::Syntax)?;
        self.rest = rest;
        self.text.get(start..self.position()).ok_or(JsonError::Syntax)
    }

    /// The character that an escape stands for, `None` for the closing quote.
    fn escape_or_end(&mut self) -> Result<Option<char>, JsonError> {
        let (character, rest) = match self.rest {
            [b'"', rest @ ..] => (None, rest),
            [b'\\', b'u', rest @ ..] => {
                self.rest = rest;
                return self.code_point().map(Some);
            }
            [b'\\', b'"', rest @ ..] => (Some('"'), rest),
            [b'\\', b'\\', rest @ ..] => (Some('\\'), rest),
            [b'\\', b'/', rest @ ..] => (Some('/'), rest),
            [b'\\', b'b', rest @ ..] => (Some('\u{8}'), rest),
            [b'\\', b'f', rest @ ..] => (Some('\u{c}'), rest),
            [b'\\', b'n', rest @ ..] => (Some('\n'), rest),
            [b'\\', b'r', rest @ ..] => (Some('\r'), rest),
            [b'\\', b't', rest @ ..] => (Some('\t'), rest),
            _ => return Err(JsonError::Syntax),
        };
        self.rest = rest;
        Ok(character)
    }

    /// What follows `\u`: one code unit, or both of a surrogate pair.
    fn code_point(&mut self) -> Result<char, JsonError> {
        let unit = self.code_unit()?;
        if let Some(character) = char::from_u32(unit.into()) {
            return Ok(character);
        }
        self.take(b'\\')?;
        self.take(b'u')?;
        match char::decode_utf16([unit, self.code_unit()?]).next() {
            Some(Ok(character)) => Ok(character),
            _ => Err(JsonError::Syntax),
        }
    }

    fn code_unit(&mut self) -> Result<u16, JsonError> {
        let (digits, rest) = self.rest.split_first_chunk::<4>().ok_or(JsonError::Syntax)?;
        self.rest = rest;
        digits.iter().try_fold(0_u16, |unit, digit| {
            let digit = char::from(*digit).to_digit(16).ok_or(JsonError::Syntax)?;
            u16::try_from(digit).map(|digit| unit << 4 | digit).map_err(|_| JsonError::Syntax)
        })
    }

    /// RFC 8259 section 6. Integers are exact where they fit 64 bits.
    fn number(&mut self, keep: bool) -> Result<Value<'a>, JsonError> {
        let start = self.position();
        let negative = self.take(b'-').is_ok();
        let integer = if self.take(b'0').is_ok() { 1 } else { self.digits()? };
        let fraction = if self.take(b'.').is_ok() { self.digits()? } else { 0 };
        let exponent = if self.take(b'e').is_ok() || self.take(b'E').is_ok() {
            let _sign = self.take(b'+').or_else(|_| self.take(b'-'));
            self.digits()?
        } else {
            0
        };
        if !keep && integer <= SHORT_INTEGER && exponent <= SHORT_EXPONENT {
            return Ok(Value::Skipped);
        }
        let text = self.text.get(start..self.position()).ok_or(JsonError::Syntax)?;
        let number = match (fraction, exponent, negative) {
            (0, 0, false) => text.parse().map(u64::into).ok(),
            // The zero with a sign is no integer.
            (0, 0, true) => text.parse().ok().filter(|number| *number != 0_i64).map(i64::into),
            _ => None,
        };
        let number = match number {
            Some(number) => number,
            None => serde_json::from_str(text).map_err(|_| JsonError::Syntax)?,
        };
        Ok(if keep { Value::Number(number) } else { Value::Skipped })
    }

    /// Takes one digit or more, and tells how many.
    fn digits(&mut self) -> Result<usize, JsonError> {
        let number = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        match self.rest.split_at_checked(number) {
            Some((_, rest)) if number > 0 => {
                self.rest = rest;
                Ok(number)
            }
            _ => Err(JsonError::Syntax),
        }
    }

    /// Whether an array or object that was just opened is empty.
    fn closes(&mut self, bracket: u8) -> bool {
        self.skip_whitespace();
        self.take(bracket).is_ok()
    }

    /// Whether a comma follows, and not the closing bracket.
    fn goes_on(&mut self, bracket: u8) -> Result<bool, JsonError> {
        self.skip_whitespace();
        if self.take(b',').is_ok() {
            return Ok(true);
        }
        self.take(bracket).map(|()| false)
    }

    fn take(&mut self, byte: u8) -> Result<(), JsonError> {
        match self.rest.split_first() {
            Some((first, rest)) if *first == byte => {
                self.rest = rest;
                Ok(())
            }
            _ => Err(JsonError::Syntax),
        }
    }

    fn skip_whitespace(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// How many bytes are read.
    fn position(&self) -> usize {
        self.text.len().saturating_sub(self.rest.len())
    }
}

fn deeper(depth: usize) -> Result<usize, JsonError> {
    depth.checked_add(1).filter(|depth| *depth <= MAX_DEPTH).ok_or(JsonError::TooDeep)
}

/// The number of bytes before the first that ends a string, escapes, or may not be in one.
fn plain_len(bytes: &[u8]) -> usize {
    let (words, tail) = bytes.as_chunks();
    let mut plain = 0_usize;
    for word in words {
        match specials(u64::from_le_bytes(*word)) {
            0 => plain = plain.saturating_add(8),
            found => return plain.saturating_add((found.trailing_zeros() / 8) as usize),
        }
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | ..0x20);
    plain.saturating_add(tail.iter().position(special).unwrap_or(tail.len()))
}

/// Marks the bytes of a word that are a quote, a backslash or a control character, each by
/// its highest bit. A borrow may mark bytes above the lowest that is one, never below it.
fn specials(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let less = |word: u64, bound: u64| word.wrapping_sub(EACH.wrapping_mul(bound)) & !word;
    let equal = |byte: u8| less(word ^ EACH.wrapping_mul(byte.into()), 1);
    (less(word, 0x20) | equal(b'"') | equal(b'\\')) & EACH.wrapping_mul(0x80)
}
