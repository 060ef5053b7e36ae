//! Header fields as the host gives them: a list of lines, values as bytes.

use std::borrow::Cow;

use memchr::memmem::Finder;

use crate::token::Secret;

/// Shortest token that is looked for in other places, in bytes. A shorter one can be guessed
/// (RFC 6749 section 10.10), and is in many a value by chance.
pub(super) const MIN_TOKEN_LEN: usize = 16;

/// Most parts of `Authorization` that are looked for in what is recorded. A scheme and a token are
/// two; lines with these, joined on the way, are refused, and have them too.
const MAX_PARTS: usize = 8;

/// Request or response header lines in wire order. Names are lowercase, as HTTP
/// hosts deliver them; values may be any bytes.
#[derive(Debug, Clone, Default)]
pub struct Headers(Vec<(String, Vec<u8>)>);

/// Why a header cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderError {
    /// More than one line where one is allowed. Reading the first and letting the
    /// server read the last is how policies are bypassed (CVE-2026-26308).
    Repeated,
    /// Bytes outside visible ASCII, space and tab (RFC 9110 section 5.5).
    NotText,
}

impl Headers {
    /// Wraps the host's list.
    #[must_use]
    pub fn new(lines: Vec<(String, Vec<u8>)>) -> Self {
        Headers(lines)
    }

    /// The value of a header that may occur once, without surrounding white space.
    ///
    /// # Errors
    /// [`HeaderError`] for a second line, and for a value that is not text.
    pub fn single(&self, name: &str) -> Result<Option<&str>, HeaderError> {
        let mut lines = self.0.iter().filter(|(n, _)| n == name);
        let Some((_, value)) = lines.next() else { return Ok(None) };
        if lines.next().is_some() {
            return Err(HeaderError::Repeated);
        }
        let is_text = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t');
        if !value.iter().all(is_text) {
            return Err(HeaderError::NotText);
        }
        let text = std::str::from_utf8(value).map_err(|_| HeaderError::NotText)?;
        Ok(Some(text.trim_matches([' ', '\t'])))
    }

    /// The value where it only informs (record, response handling): `None` also for
    /// what [`Headers::single`] refuses.
    #[must_use]
    pub fn informative(&self, name: &str) -> Option<&str> {
        self.single(name).ok().flatten()
    }

    /// Whether a text has the credential in it that the request authenticates with: somebody
    /// before us may have copied it.
    pub(super) fn is_credential_in(&self, text: &str) -> bool {
        let lines = self.0.iter().filter(|(name, _)| name == "authorization");
        let parts = lines.flat_map(|(_, value)| value.split(|byte| *byte == b' '));
        parts.take(MAX_PARTS).any(|part| {
            part.len() >= MIN_TOKEN_LEN && is_copied(&Finder::new(part), text.as_bytes())
        })
    }

    /// Every line of that name.
    #[must_use]
    pub fn lines(&self, name: &str) -> Vec<&[u8]> {
        let lines = self.0.iter().filter(|(n, _)| n == name);
        lines.map(|(_, value)| value.as_slice()).collect()
    }

    /// Whether there is any line of that name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name)
    }

    /// All lines.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// All names, each once per line.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

/// A change to a header list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderEdit {
    /// Remove every line of that name.
    Remove(String),
    /// Make this the only line of that name.
    Set(&'static str, String),
    /// The same with a value that nobody else is told.
    SetSecret(&'static str, Secret),
}

/// Whether a credential is somewhere in a text, as it is or percent-encoded (RFC 3986 section
/// 2.1), as in a URL. Linear in the text, which anybody sends.
pub(super) fn is_copied(credential: &Finder<'_>, text: &[u8]) -> bool {
    credential.find(text).is_some() || credential.find(&percent_decode(text)).is_some()
}

/// RFC 3986 section 2.1. What is no encoding stays.
pub(super) fn percent_decode(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'%') {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'%', [high, low, tail @ ..]) => {
                let digits = [*high, *low];
                let value = std::str::from_utf8(&digits)
                    .ok()
                    .and_then(|digits| u8::from_str_radix(digits, 16).ok());
                match value {
                    Some(value) => {
                        decoded.push(value);
                        rest = tail;
                    }
                    None => decoded.push(byte),
                }
            }
            _ => decoded.push(byte),
        }
    }
    Cow::Owned(decoded)
}

/// The media type of a `Content-Type`, lowercase, without parameters.
#[must_use]
pub(super) fn essence(content_type: &str) -> String {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim_matches([' ', '\t']).to_ascii_lowercase()
}

/// Whether a request's `Content-Type` is JSON in UTF-8, in a form that no two parsers
/// read differently: the essence alone, or with `charset=utf-8` as its one parameter.
#[must_use]
pub(super) fn is_json_content_type(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(|part| part.trim_matches([' ', '\t']));
    let essence = parts.next().unwrap_or_default();
    let charset = parts.next();
    let charset_fits = charset.is_none_or(|parameter| {
        parameter.eq_ignore_ascii_case("charset=utf-8")
            || parameter.eq_ignore_ascii_case("charset=\"utf-8\"")
    });
    essence.eq_ignore_ascii_case("application/json") && charset_fits && parts.next().is_none()
}

/// A text as a header value. What is not plainly representable (other than visible
/// ASCII and inner spaces, or looking like the encoded form itself) is base64 of its
/// UTF-8 as `=?base64?…?=`, the form MCP uses for header values (2026-07-28,
/// "Value Encoding").
#[must_use]
pub(super) fn encode_value(text: &str) -> String {
    use base64::Engine as _;
    let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && !text.starts_with("=?base64?");
    if plain {
        text.to_owned()
    } else {
        format!("=?base64?{}?=", base64::engine::general_purpose::STANDARD.encode(text))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests may panic")]

    use super::*;

    fn headers(lines: &[(&str, &[u8])]) -> Headers {
        Headers::new(lines.iter().map(|(n, v)| ((*n).to_owned(), v.to_vec())).collect())
    }

    #[test]
    fn a_credential_is_found_wherever_it_was_copied_to() {
        let headers = headers(&[("authorization", b"Bearer  0123456789abcdef, short")]);
        for (text, expected) in [
            ("0123456789abcdef,", true),
            ("x0123456789abcdef,y", true),
            ("0123456789abcdef", false),
            ("short", false),
            ("Bearer", false),
            ("", false),
        ] {
            assert_eq!(headers.is_credential_in(text), expected, "{text}");
        }
        assert!(!Headers::default().is_credential_in("0123456789abcdef"));
    }

    /// What is looked for, and where: short texts of few letters, so that there is much to find.
    #[test]
    fn a_credential_is_found_where_a_plain_search_finds_it() {
        let mut state = 1_u64;
        let mut below = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % bound
        };
        let mut found = 0;
        for _ in 0..20_000 {
            let mut letters = |most: u64| -> Vec<u8> {
                let length = below(most) + 1;
                (0..length)
                    .map(|_| *b"aab%".get(usize::try_from(below(4)).unwrap()).unwrap())
                    .collect()
            };
            let (credential, text) = (letters(6), letters(40));
            let plain = text.windows(credential.len()).any(|window| window == credential);
            let decoded = percent_decode(&text);
            let expected =
                plain || decoded.windows(credential.len()).any(|window| window == credential);
            assert_eq!(is_copied(&Finder::new(&credential), &text), expected);
            found += usize::from(expected);
        }
        assert!((1_000..19_000).contains(&found), "{found}");
    }

    #[test]
    fn a_credential_is_found_in_the_encoding_of_urls() {
        for (text, expected) in [
            ("/mcp?t=abc+def/ghi==", true),
            ("/mcp?t=abc%2Bdef%2fghi%3D%3d", true),
            ("/mcp?t=%61bc+d%65f/ghi==", true),
            ("100%/abc+def/ghi==%", true),
            ("/mcp?t=abc%2Bdef%2Fghi%3", false),
            ("/mcp?t=abc%252Bdef%252Fghi%253D%253D", false),
        ] {
            let found = is_copied(&Finder::new("abc+def/ghi=="), text.as_bytes());
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn cve_2026_26308_a_second_line_is_not_overlooked() {
        let headers = headers(&[("authorization", b"Bearer a"), ("authorization", b"Bearer b")]);
        assert_eq!(headers.single("authorization"), Err(HeaderError::Repeated));
        assert_eq!(headers.informative("authorization"), None);
    }

    #[test]
    fn values_are_text_or_refused() {
        let headers = headers(&[("a", b"caf\xe9"), ("b", b"x\ry"), ("c", "é".as_bytes())]);
        for name in ["a", "b", "c"] {
            assert_eq!(headers.single(name), Err(HeaderError::NotText), "{name}");
        }
        assert_eq!(headers.single("d").unwrap(), None);
    }

    #[test]
    fn surrounding_white_space_is_not_part_of_a_value() {
        assert_eq!(headers(&[("a", b" x y\t")]).single("a").unwrap(), Some("x y"));
    }

    #[test]
    fn ghsa_qm2p_only_the_essence_makes_json() {
        for fine in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
        ] {
            assert!(is_json_content_type(fine), "{fine}");
        }
        for bad in [
            "",
            "text/plain",
            "text/plain;x=application/json",
            "application/json, text/plain",
            "application/json; charset=utf-16",
            "application/json; charset=utf-8; charset=utf-7",
            "application/json; boundary=x",
            "application/json;",
            "application/jsonp",
            "application/vnd.api+json",
        ] {
            assert!(!is_json_content_type(bad), "{bad}");
        }
    }

    #[test]
    fn a_header_value_has_one_reading() {
        assert_eq!(encode_value("alice@example.com"), "alice@example.com");
        assert_eq!(encode_value("Zoë"), "=?base64?Wm/Dqw==?=");
        assert_eq!(encode_value("a\r\nb: c"), "=?base64?YQ0KYjogYw==?=");
        assert_eq!(encode_value("=?base64?eA==?="), "=?base64?PT9iYXNlNjQ/ZUE9PT89?=");
        assert_eq!(encode_value(" a"), "=?base64?IGE=?=");
    }
}
