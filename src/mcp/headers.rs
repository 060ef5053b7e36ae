//! The standard headers of Streamable HTTP, compared with the message they mirror.
//!
//! Source: MCP 2026-07-28, Streamable HTTP, "Request Metadata" (SEP-2243). A server
//! decides by the body; who decides by the headers alone can be shown another
//! operation than the one that runs. So each header is only a claim, and a claim
//! that the body does not confirm refuses the message.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::message::{Era, RefusalReason, is_method};
use super::operation::Operation;
use super::params::{ParamLine, are_decodable};

/// The one revision of the modern era.
pub const MODERN_VERSION: &str = "2026-07-28";

/// Revisions that start with `initialize`.
const LEGACY_VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// All protocol revisions that are read, newest first: `data.supported` of an
/// UnsupportedProtocolVersion error.
pub const SUPPORTED_VERSIONS: [&str; 5] =
    [MODERN_VERSION, "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// Longest header value that is decoded, in bytes: an object name of the longest kind
/// (8 KiB) in base64, with its markers.
pub const MAX_VALUE_LEN: usize = 11 * 1024;

/// The headers that describe a message, as received. The caller has already refused
/// repeated lines and values that are not text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StandardHeaders<'a> {
    /// `MCP-Protocol-Version`
    pub protocol_version: Option<&'a str>,
    /// `Mcp-Method`
    pub method: Option<&'a str>,
    /// `Mcp-Name`, still encoded
    pub name: Option<&'a str>,
    /// `Mcp-Param-*`, each suffix once
    pub params: &'a [ParamLine],
    /// Whether `Mcp-Session-Id` is present and means something: not in the modern era
    pub session: bool,
}

/// The value of an `Mcp-Name` or `Mcp-Param-*` header: optional white space removed and
/// the `=?base64?…?=` form decoded. `None` when that form is not valid Base64 of UTF-8,
/// and for what is longer than [`MAX_VALUE_LEN`].
#[must_use]
pub fn decode_value(value: &str) -> Option<Cow<'_, str>> {
    let value = trim(value);
    if value.len() > MAX_VALUE_LEN {
        return None;
    }
    let encoded = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?="));
    match encoded {
        None => Some(Cow::Borrowed(value)),
        Some(encoded) => {
            let bytes = STANDARD.decode(encoded).ok()?;
            String::from_utf8(bytes).ok().map(Cow::Owned)
        }
    }
}

impl StandardHeaders<'_> {
    /// What a 2026-07-28 request says in its headers that it asks for, before its body is
    /// there. `None` when the headers do not say it: in the legacy era, for methods whose
    /// object is only in the body, and where a header is missing or malformed.
    ///
    /// Only a claim. [`read_message`](super::read_message) refuses the message whose
    /// operation is another one.
    #[must_use]
    pub fn claimed_operation(&self) -> Option<Operation> {
        if self.claimed_era() != Some(Era::Modern) {
            return None;
        }
        let method = trim(self.method?);
        if !is_method(method) {
            return None;
        }
        match self.name {
            None => Operation::claimed(method, None),
            Some(name) => Operation::claimed(method, Some(&decode_value(name)?)),
        }
    }

    /// The era that the version header claims; `None` without one, and for what is none.
    #[must_use]
    pub fn claimed_era(&self) -> Option<Era> {
        let version = trim(self.protocol_version?);
        if version == MODERN_VERSION {
            Some(Era::Modern)
        } else {
            LEGACY_VERSIONS.contains(&version).then_some(Era::Legacy)
        }
    }

    /// Checks the version header of a message whose body states no version.
    pub(super) fn check_legacy_version(&self) -> Result<(), RefusalReason> {
        match (self.protocol_version, self.claimed_era()) {
            (None, _) | (_, Some(Era::Legacy)) => Ok(()),
            // Not a header error: the body is what a modern client must complete, and
            // an error it does not know would make it fall back to `initialize`.
            (_, Some(Era::Modern)) => Err(RefusalReason::BadParams(
                "params._meta must carry io.modelcontextprotocol/protocolVersion",
            )),
            (Some(requested), None) => Err(RefusalReason::unsupported(trim(requested))),
        }
    }

    /// Checks the version header of a message whose `_meta` states `version`.
    pub(super) fn check_modern_version(&self, version: &str) -> Result<(), RefusalReason> {
        if self.protocol_version.map(trim) != Some(version) {
            return Err(RefusalReason::HeaderMismatch(
                "MCP-Protocol-Version differs from the message",
            ));
        }
        if version != MODERN_VERSION {
            return Err(RefusalReason::unsupported(version));
        }
        Ok(())
    }

    /// Checks `Mcp-Method` and `Mcp-Name`. Where they are not `required` they may be
    /// absent, but never differ.
    pub(super) fn check_operation(
        &self,
        operation: &Operation,
        required: bool,
    ) -> Result<(), RefusalReason> {
        if self.method.map_or(required, |method| trim(method) != operation.method) {
            return Err(RefusalReason::HeaderMismatch("Mcp-Method differs from the message"));
        }
        let differs = match self.name {
            None => required && operation.has_mirrored_name(),
            Some(claimed) => {
                let name = operation.sole_name();
                name.is_none() || decode_value(claimed).as_deref() != name
            }
        };
        if differs {
            return Err(RefusalReason::HeaderMismatch("Mcp-Name differs from the message"));
        }
        Ok(())
    }

    /// Checks that the values of `Mcp-Param-*` headers can be decoded, whatever they mirror.
    pub(super) fn check_params(&self) -> Result<(), RefusalReason> {
        if are_decodable(self.params) {
            Ok(())
        } else {
            Err(RefusalReason::HeaderMismatch("an Mcp-Param header cannot be decoded"))
        }
    }

    /// Checks the headers of a response: it has no operation to mirror.
    pub(super) fn check_response(&self) -> Result<(), RefusalReason> {
        self.check_legacy_version()?;
        if self.method.is_some() || self.name.is_some() || !self.params.is_empty() {
            return Err(RefusalReason::HeaderMismatch("a response has no method and no name"));
        }
        Ok(())
    }
}

/// Removes optional white space (RFC 9110 section 5.6.3).
fn trim(value: &str) -> &str {
    value.trim_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use super::super::operation::Target;
    use super::*;

    #[test]
    fn sep_2243_names_are_trimmed_and_decoded() {
        for (header, name) in [
            ("echo", Some("echo")),
            (" \techo\t ", Some("echo")),
            ("=?base64?w6TDtg==?=", Some("\u{e4}\u{f6}")),
            (" =?base64?IGVjaG8g?= ", Some(" echo ")),
            ("=?base64??=", Some("")),
            ("=?BASE64?ZWNobw==?=", Some("=?BASE64?ZWNobw==?=")),
            ("=?base64?ZWNobw==", Some("=?base64?ZWNobw==")),
            ("=?base64?ZWNobw?=", None),
            ("=?base64?ZWNob x==?=", None),
            ("=?base64?/w==?=", None),
            ("=?base64?=", Some("=?base64?=")),
        ] {
            assert_eq!(decode_value(header).as_deref(), name, "{header}");
        }
    }

    #[test]
    fn sep_2243_oversized_values_are_not_decoded() {
        let longest = format!("=?base64?{}?=", "QUFB".repeat((MAX_VALUE_LEN - 11) / 4));
        assert!(decode_value(&longest).is_some());
        let longer = format!("=?base64?{}?=", "QUFB".repeat(MAX_VALUE_LEN / 4));
        assert_eq!(decode_value(&longer), None);
    }

    fn claimed(version: &str, method: &str, name: Option<&str>) -> Option<Operation> {
        let headers = StandardHeaders {
            protocol_version: Some(version),
            method: Some(method),
            name,
            ..StandardHeaders::default()
        };
        headers.claimed_operation()
    }

    #[test]
    fn sep_2243_headers_claim_an_operation() {
        let some = |method: &str, target| Some(Operation { method: method.to_owned(), target });
        let text = |text: &str| text.to_owned();
        for (method, name, target) in [
            ("tools/call", Some("echo"), Target::Tool(text("echo"))),
            (" tools/call\t", Some("\techo "), Target::Tool(text("echo"))),
            ("tools/call", Some("=?base64?w6TDtg==?="), Target::Tool(text("\u{e4}\u{f6}"))),
            ("prompts/get", Some("p"), Target::Prompt(text("p"))),
            ("resources/read", Some("f:/a,b"), Target::Resource(text("f:/a,b"))),
            ("tasks/get", Some("7"), Target::Task(text("7"))),
            ("tasks/update", Some("7"), Target::Task(text("7"))),
            ("tasks/cancel", Some("7"), Target::Task(text("7"))),
            ("tools/list", None, Target::None),
            ("server/discover", None, Target::None),
            ("vendor/unknown", None, Target::None),
        ] {
            assert_eq!(claimed(MODERN_VERSION, method, name), some(method.trim(), target));
        }
    }

    #[test]
    fn headers_that_say_too_little_claim_nothing() {
        let long = "x".repeat(MAX_VALUE_LEN);
        for (version, method, name) in [
            ("2025-11-25", "tools/call", Some("echo")),
            ("2026-07-28, 2026-07-28", "tools/call", Some("echo")),
            ("", "tools/call", Some("echo")),
            (MODERN_VERSION, "", Some("echo")),
            (MODERN_VERSION, "tools/list, tools/call", None),
            (MODERN_VERSION, &"m".repeat(129), None),
            (MODERN_VERSION, "tools/call", None),
            (MODERN_VERSION, "tools/call", Some("")),
            (MODERN_VERSION, "tools/call", Some("=?base64??=")),
            (MODERN_VERSION, "tools/call", Some("=?base64?ZWNobw?=")),
            (MODERN_VERSION, "tools/call", Some(&long)),
            (MODERN_VERSION, "completion/complete", None),
            (MODERN_VERSION, "subscriptions/listen", None),
            (MODERN_VERSION, "resources/subscribe", Some("f:/a")),
            (MODERN_VERSION, "resources/unsubscribe", None),
            (MODERN_VERSION, "tasks/result", None),
            (MODERN_VERSION, "tools/list", Some("echo")),
        ] {
            assert_eq!(claimed(version, method, name), None, "{version} {method} {name:?}");
        }
        assert_eq!(StandardHeaders::default().claimed_operation(), None);
    }

    #[test]
    fn every_supported_version_has_an_era() {
        for version in SUPPORTED_VERSIONS {
            let headers = StandardHeaders { protocol_version: Some(version), ..Default::default() };
            assert!(headers.claimed_era().is_some(), "{version}");
        }
    }
}
