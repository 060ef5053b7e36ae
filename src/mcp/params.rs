//! `Mcp-Param-*` headers, compared with the arguments they mirror.
//!
//! Source: MCP 2026-07-28, Streamable HTTP, "Custom Headers from Tool Parameters"
//! (SEP-2243). Which argument a header mirrors is in the tool's `inputSchema`, which only
//! the server and its clients know. So an operator can say it; headers that nobody spoke
//! of go on as they came, as the specification demands of intermediaries.

use super::headers::{StandardHeaders, decode_value};
use super::message::{Era, RefusalReason, folded};
use crate::json::{Object, Value};

/// Prefix of the headers, as HTTP hosts deliver names.
pub const PARAM_PREFIX: &str = "mcp-param-";

/// Integers are smaller than this in magnitude (2^53): the specification has no others in
/// headers, since parsers that use doubles would read another number.
const INTEGER_LIMIT: u64 = 1 << 53;

/// An `Mcp-Param-*` header, as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamLine {
    /// Its name after the prefix, lowercase.
    pub suffix: String,
    /// Its value, still encoded.
    pub value: String,
}

/// That a header mirrors an argument of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamHeader {
    /// The header's name after the prefix, lowercase.
    suffix: String,
    /// The way to the argument: names of members, outermost first.
    argument: Vec<String>,
}

/// A text that names no header, or no argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParamHeaderError {
    /// Not a token (RFC 9110 section 5.6.2).
    #[error("is no header name after `Mcp-Param-`, such as `Region`")]
    NotToken,
    /// Not an RFC 6901 pointer, or one to all arguments at once.
    #[error("is no JSON Pointer to an argument, such as `/region`")]
    NotPointer,
}

impl ParamHeader {
    /// That `Mcp-Param-{suffix}` mirrors the argument at `pointer`, an RFC 6901 JSON Pointer
    /// into `params.arguments`. It leads through objects only, since only their properties
    /// can be mirrored.
    ///
    /// # Errors
    /// [`ParamHeaderError`] when either is not well-formed.
    pub fn new(suffix: &str, pointer: &str) -> Result<Self, ParamHeaderError> {
        if !is_token(suffix) {
            return Err(ParamHeaderError::NotToken);
        }
        let argument = pointer
            .strip_prefix('/')
            .and_then(|names| names.split('/').map(unescape).collect())
            .ok_or(ParamHeaderError::NotPointer)?;
        Ok(ParamHeader { suffix: suffix.to_ascii_lowercase(), argument })
    }

    /// The header's name after the prefix, lowercase.
    #[must_use]
    pub fn suffix(&self) -> &str {
        &self.suffix
    }

    /// Compares the header with the argument. Modern requests carry the header exactly when
    /// the argument is there and not null; legacy ones need not, but must not lie.
    pub(super) fn check(
        &self,
        era: Era,
        arguments: Option<&Object<'_>>,
        headers: &StandardHeaders<'_>,
    ) -> Result<(), RefusalReason> {
        let line = headers.params.iter().find(|line| line.suffix == self.suffix);
        let agrees = match (resolve(arguments, &self.argument), line) {
            (Found::Ambiguous, _) => false,
            (Found::Nothing | Found::Value(Value::Null), line) => line.is_none(),
            (Found::Value(_), None) => era == Era::Legacy,
            (Found::Value(argument), Some(line)) => mirrors(&line.value, argument),
        };
        if agrees {
            Ok(())
        } else {
            Err(RefusalReason::HeaderMismatch("an Mcp-Param header differs from the message"))
        }
    }
}

/// Whether the values of all lines can be decoded.
pub(super) fn are_decodable(lines: &[ParamLine]) -> bool {
    lines.iter().all(|line| decode_value(&line.value).is_some())
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    let is_token_byte =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// RFC 6901 section 4: `~1` is `/` and `~0` is `~`; a `~` alone is an error.
fn unescape(name: &str) -> Option<String> {
    let mut parts = name.split('~');
    let mut unescaped = parts.next()?.to_owned();
    for part in parts {
        let (escaped, rest) = match part.strip_prefix('0') {
            Some(rest) => ('~', rest),
            None => ('/', part.strip_prefix('1')?),
        };
        unescaped.push(escaped);
        unescaped.push_str(rest);
    }
    Some(unescaped)
}

/// What a path leads to.
#[derive(Debug, PartialEq)]
enum Found<'o, 'a> {
    Nothing,
    Value(&'o Value<'a>),
    /// Beside a name on the way stands one that lenient servers take for it.
    Ambiguous,
}

fn resolve<'o, 'a>(arguments: Option<&'o Object<'a>>, path: &[String]) -> Found<'o, 'a> {
    let (Some(mut object), Some((last, outer))) = (arguments, path.split_last()) else {
        return Found::Nothing;
    };
    for name in outer {
        if has_similar(object, name) {
            return Found::Ambiguous;
        }
        match object.get(name).and_then(Value::as_object) {
            Some(inner) => object = inner,
            None => return Found::Nothing,
        }
    }
    match object.get(last) {
        _ if has_similar(object, last) => Found::Ambiguous,
        Some(value) => Found::Value(value),
        None => Found::Nothing,
    }
}

fn has_similar(object: &Object<'_>, name: &str) -> bool {
    object.iter().any(|(other, _)| other != name && folded(other).eq(folded(name)))
}

/// Whether a header value says what the argument is ("Value Encoding", "Server Validation").
/// Integers are compared as numbers; other numbers, arrays and objects have no header form.
fn mirrors(header: &str, argument: &Value<'_>) -> bool {
    let Some(claimed) = decode_value(header) else { return false };
    match argument {
        Value::String(text) => claimed == *text,
        Value::Bool(truth) => *claimed == *if *truth { "true" } else { "false" },
        Value::Number(number) => {
            let integer = safe_integer(number);
            integer.is_some() && integer == decimal_integer(&claimed)
        }
        Value::Null | Value::Array(_) | Value::Object(_) | Value::Skipped => false,
    }
}

/// The number, if it is a whole one that every parser reads alike. `42.0` is one.
fn safe_integer(number: &serde_json::Number) -> Option<i64> {
    let whole = |value: f64| (value.fract() == 0.0).then(|| format!("{value:.0}"));
    number
        .as_i64()
        .or_else(|| number.as_f64().and_then(whole)?.parse().ok())
        .filter(|integer| integer.unsigned_abs() < INTEGER_LIMIT)
}

/// An integer in decimal digits, be it with a fraction of zeros.
fn decimal_integer(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    let is_decimal = digits.bytes().all(|byte| byte.is_ascii_digit())
        && !fraction.is_empty()
        && fraction.bytes().all(|byte| byte == b'0');
    is_decimal.then(|| whole.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests may panic")]

    use super::*;
    use crate::json;

    fn agrees(era: Era, argument: &str, header: Option<&str>) -> bool {
        let arguments = format!(r#"{{"region":{argument}}}"#);
        let arguments = json::read(arguments.as_bytes()).unwrap();
        let lines: Vec<_> = header
            .map(|value| ParamLine { suffix: "region".to_owned(), value: value.to_owned() })
            .into_iter()
            .collect();
        let headers = StandardHeaders { params: &lines, ..StandardHeaders::default() };
        let mirror = ParamHeader::new("Region", "/region").unwrap();
        match mirror.check(era, arguments.as_object(), &headers) {
            Ok(()) => true,
            Err(reason) => {
                assert_eq!(reason.json_rpc_code(), -32020);
                false
            }
        }
    }

    #[test]
    fn sep_2243_a_param_header_equals_its_argument() {
        for (argument, header) in [
            (r#""us-west1""#, "us-west1"),
            (r#""us-west1""#, " us-west1\t"),
            (r#""""#, ""),
            (r#""Hello, \u4e16\u754c""#, "=?base64?SGVsbG8sIOS4lueVjA==?="),
            (r#"" padded ""#, "=?base64?IHBhZGRlZCA=?="),
            (r#""=?base64?literal?=""#, "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
            // The conformance suite's: without prefix or suffix it is literal.
            (r#""Hello""#, "=?base64?SGVsbG8=?="),
            (r#""SGVsbG8=""#, "SGVsbG8="),
            (r#""=?base64?SGVsbG8=""#, "=?base64?SGVsbG8="),
            ("42", "42"),
            ("42", "42.0"),
            ("42.0", "42"),
            ("4.2e1", "42.00"),
            ("-7", "-7"),
            ("-0", "0"),
            ("9007199254740991", "9007199254740991"),
            ("true", "true"),
            ("false", "false"),
        ] {
            for era in [Era::Modern, Era::Legacy] {
                assert!(agrees(era, argument, Some(header)), "{argument} {header}");
            }
        }
    }

    #[test]
    fn sep_2243_a_param_header_that_lies_is_refused() {
        for (argument, header) in [
            (r#""us-west1""#, "us-west2"),
            (r#""us-west1""#, "US-WEST1"),
            (r#""us-west1""#, ""),
            (r#""us-west1""#, "us-west1, us-west2"),
            (r#""Hello""#, "=?base64?SGVsbG8?="),
            (r#""Hello""#, "=?base64?SGVs!!!bG8=?="),
            (r#""42""#, "42.0"),
            ("42", "43"),
            ("42", "42.5"),
            ("42", "42."),
            ("42", ".0"),
            ("42", "+42"),
            ("42", "4.2e1"),
            ("42", "0x2a"),
            ("42.5", "42.5"),
            ("0", ""),
            ("0", "-"),
            ("9007199254740992", "9007199254740992"),
            ("9007199254740992", "9007199254740993"),
            ("1e300", "1e300"),
            ("true", "True"),
            ("true", "1"),
            ("false", ""),
            ("[1]", "1"),
            ("{}", "{}"),
            ("null", "null"),
            ("null", ""),
        ] {
            for era in [Era::Modern, Era::Legacy] {
                assert!(!agrees(era, argument, Some(header)), "{argument} {header}");
            }
        }
    }

    #[test]
    fn sep_2243_a_modern_param_header_is_there_when_its_argument_is() {
        for argument in [r#""x""#, "0", "false", "42.5", "[]"] {
            assert!(!agrees(Era::Modern, argument, None), "{argument}");
            assert!(agrees(Era::Legacy, argument, None), "{argument}");
        }
        for era in [Era::Modern, Era::Legacy] {
            assert!(agrees(era, "null", None));
            assert!(!agrees(era, r#"1,"other":1"#, Some("2")));
            // A server that matches names leniently would read the other one.
            assert!(!agrees(era, r#"1,"Region":2"#, Some("1")));
            assert!(!agrees(era, r#"1,"region_":null"#, Some("1")));
        }
    }

    #[test]
    fn rfc6901_pointers_lead_to_arguments() {
        let arguments = json::read(br#"{"a":{"b/c":{"~":1}},"":2,"0":3,"l":[4]}"#).unwrap();
        let at = |pointer: &str| {
            let mirror = ParamHeader::new("x", pointer).unwrap();
            resolve(arguments.as_object(), &mirror.argument)
        };
        for (pointer, expected) in [("/a/b~1c/~0", "1"), ("/", "2"), ("/0", "3")] {
            let expected = json::read(expected.as_bytes()).unwrap();
            assert_eq!(at(pointer), Found::Value(&expected), "{pointer}");
        }
        for nowhere in ["/b", "/a/b", "/l/0", "/a/b~1c/~0/x", "/~01"] {
            assert_eq!(at(nowhere), Found::Nothing, "{nowhere}");
        }
        for bad in ["", "a", "#/a", "/~", "/~2", "/a~"] {
            assert_eq!(ParamHeader::new("x", bad), Err(ParamHeaderError::NotPointer), "{bad}");
        }
        for bad in ["", "a b", "a:", "ä", "a\n"] {
            assert_eq!(ParamHeader::new(bad, "/a"), Err(ParamHeaderError::NotToken), "{bad}");
        }
    }
}
