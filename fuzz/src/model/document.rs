//! JSON as it is written (RFC 8259): nothing is chosen, nothing is merged.

use std::collections::HashSet;

use countersign::json::{JsonError, MAX_DEPTH};

/// A JSON value: members in order, repeated ones included, numbers as their text.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as written.
    Number(String),
    /// A string, unescaped.
    String(String),
    /// An array.
    Array(Vec<Node>),
    /// An object.
    Object(Vec<(String, Node)>),
}

impl Node {
    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Node::String(text) => Some(text),
            _ => None,
        }
    }

    /// The elements, if it is an array.
    pub fn as_array(&self) -> Option<&[Node]> {
        match self {
            Node::Array(elements) => Some(elements),
            _ => None,
        }
    }
}

/// What was found in a text up to the first place that is not JSON.
#[derive(Debug, Default)]
pub struct Scan {
    /// The value, if the text is well-formed and not too deep.
    pub value: Option<Node>,
    /// Why the text has to be refused.
    pub defects: Vec<JsonError>,
    /// A number is so near the end of the range of doubles that rounding decides.
    pub near_range_end: bool,
}

/// Reads a text.
pub fn scan(text: &str) -> Scan {
    scan_as(text, false)
}

/// Reads a text as clients do that take bare words and lone surrogates for values.
pub fn scan_leniently(text: &str) -> Scan {
    scan_as(text, true)
}

fn scan_as(text: &str, lenient: bool) -> Scan {
    let mut scanner = Scanner { rest: text, lenient, found: Scan::default() };
    match scanner.document() {
        Ok(value) => scanner.found.value = Some(value),
        Err(defect) => scanner.found.defects.push(defect),
    }
    scanner.found
}

/// From here on parsers that round decimal digits differently may disagree on whether a
/// number is finite.
const NEAR_RANGE_END: f64 = 1.797_693_134_862_31e308;

struct Scanner<'a> {
    rest: &'a str,
    lenient: bool,
    found: Scan,
}

type Scanned<T> = Result<T, JsonError>;

impl Scanner<'_> {
    fn document(&mut self) -> Scanned<Node> {
        let value = self.value(0)?;
        self.space();
        if self.rest.is_empty() { Ok(value) } else { Err(JsonError::Syntax) }
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn eat(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, text: &str) -> Scanned<()> {
        if self.eat(text) { Ok(()) } else { Err(JsonError::Syntax) }
    }

    fn next(&mut self) -> Scanned<char> {
        let mut chars = self.rest.chars();
        let next = chars.next().ok_or(JsonError::Syntax)?;
        self.rest = chars.as_str();
        Ok(next)
    }

    fn value(&mut self, depth: usize) -> Scanned<Node> {
        self.space();
        match self.rest.chars().next().ok_or(JsonError::Syntax)? {
            '{' => self.object(depth.saturating_add(1)),
            '[' => self.array(depth.saturating_add(1)),
            '"' => self.string().map(Node::String),
            'n' => self.expect("null").map(|()| Node::Null),
            't' => self.expect("true").map(|()| Node::Bool(true)),
            'f' => self.expect("false").map(|()| Node::Bool(false)),
            _ if self.lenient => self.word(),
            _ => self.number(),
        }
    }

    fn array(&mut self, depth: usize) -> Scanned<Node> {
        self.expect("[")?;
        enter(depth)?;
        let mut elements = Vec::new();
        self.space();
        if self.eat("]") {
            return Ok(Node::Array(elements));
        }
        loop {
            elements.push(self.value(depth)?);
            self.space();
            if self.eat("]") {
                return Ok(Node::Array(elements));
            }
            self.expect(",")?;
        }
    }

    fn object(&mut self, depth: usize) -> Scanned<Node> {
        self.expect("{")?;
        enter(depth)?;
        let mut members = Vec::new();
        let mut names = HashSet::new();
        self.space();
        if self.eat("}") {
            return Ok(Node::Object(members));
        }
        loop {
            self.space();
            let name = self.string()?;
            if name.contains('\0') {
                self.found.defects.push(JsonError::NulInName);
            }
            if !names.insert(name.clone()) {
                self.found.defects.push(JsonError::DuplicateName);
            }
            self.space();
            self.expect(":")?;
            members.push((name, self.value(depth)?));
            self.space();
            if self.eat("}") {
                return Ok(Node::Object(members));
            }
            self.expect(",")?;
        }
    }

    fn string(&mut self) -> Scanned<String> {
        self.expect("\"")?;
        let mut text = String::new();
        loop {
            match self.next()? {
                '"' => return Ok(text),
                '\\' => text.push(self.escape()?),
                '\0'..='\u{1f}' => return Err(JsonError::Syntax),
                other => text.push(other),
            }
        }
    }

    fn escape(&mut self) -> Scanned<char> {
        Ok(match self.next()? {
            same @ ('"' | '\\' | '/') => same,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' if self.lenient => {
                let unit = self.unit()?;
                char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            'u' => {
                let mut units = vec![self.unit()?];
                if units.iter().all(|unit| matches!(unit, 0xd800..=0xdbff)) {
                    self.expect("\\u")?;
                    units.push(self.unit()?);
                }
                let mut chars = char::decode_utf16(units);
                match (chars.next(), chars.next()) {
                    (Some(Ok(only)), None) => only,
                    _ => return Err(JsonError::Syntax),
                }
            }
            _ => return Err(JsonError::Syntax),
        })
    }

    fn unit(&mut self) -> Scanned<u16> {
        let mut unit = 0_u32;
        for _ in 0..4 {
            let digit = self.next()?.to_digit(16).ok_or(JsonError::Syntax)?;
            unit = unit.saturating_mul(16).saturating_add(digit);
        }
        u16::try_from(unit).map_err(|_| JsonError::Syntax)
    }

    fn number(&mut self) -> Scanned<Node> {
        let whole = self.rest;
        self.eat("-");
        if !self.eat("0") {
            self.digits()?;
        }
        if self.eat(".") {
            self.digits()?;
        }
        if self.eat("e") || self.eat("E") {
            let _ = self.eat("+") || self.eat("-");
            self.digits()?;
        }
        let length = whole.len().saturating_sub(self.rest.len());
        let text = whole.get(..length).ok_or(JsonError::Syntax)?;
        let magnitude = text.parse::<f64>().map_err(|_| JsonError::Syntax)?.abs();
        if magnitude >= NEAR_RANGE_END && !is_far_out(text) {
            self.found.near_range_end = true;
        } else if magnitude.is_infinite() {
            return Err(JsonError::Syntax);
        }
        Ok(Node::Number(text.to_owned()))
    }

    /// `NaN`, `-Infinity`, numbers of any size.
    fn word(&mut self) -> Scanned<Node> {
        let ends = |c: char| !(c.is_alphanumeric() || matches!(c, '+' | '-' | '.'));
        let length = self.rest.find(ends).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(length);
        self.rest = rest;
        if word.is_empty() { Err(JsonError::Syntax) } else { Ok(Node::Number(word.to_owned())) }
    }

    fn digits(&mut self) -> Scanned<()> {
        let rest = self.rest.trim_start_matches(|c: char| c.is_ascii_digit());
        if rest.len() == self.rest.len() {
            return Err(JsonError::Syntax);
        }
        self.rest = rest;
        Ok(())
    }
}

/// Whether a number is infinite even with its last digits taken off.
fn is_far_out(text: &str) -> bool {
    format!("{text}{}", if text.contains(['e', 'E']) { "" } else { "e0" })
        .split_once(['e', 'E'])
        .and_then(|(digits, exponent)| {
            let exponent = exponent.parse::<i64>().ok()?.checked_sub(1)?;
            format!("{digits}e{exponent}").parse::<f64>().ok()
        })
        .is_none_or(f64::is_infinite)
}

fn enter(depth: usize) -> Scanned<()> {
    if depth > MAX_DEPTH { Err(JsonError::TooDeep) } else { Ok(()) }
}
