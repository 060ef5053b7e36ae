//! The standard headers of Streamable HTTP, compared with the message they mirror.
//!
//! Source: MCP 2026-07-28, Streamable HTTP, "Request Metadata" (SEP-2243). A server
//! decides by the body; who decides by the headers alone can be shown another
//! operation than the one that runs. So each header is only a claim, and a claim
//! that the body does not confirm refuses the message.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::message::{Era, RefusalReason};
use super::operation::Operation;

/// The one revision of the modern era.
pub const MODERN_VERSION: &str = "2026-07-28";

/// Revisions that start with `initialize`.
const LEGACY_VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// All protocol revisions that are read, newest first: `data.supported` of an
/// UnsupportedProtocolVersion error.
pub const SUPPORTED_VERSIONS: [&str; 5] =
    [MODERN_VERSION, "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// Most characters of an unknown version that are echoed. Versions are dates.
const MAX_ECHOED_VERSION: usize = 32;

/// The headers that describe a message, as received. The caller has already refused
/// repeated lines and values that are not UTF-8.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StandardHeaders<'a> {
    /// `MCP-Protocol-Version`
    pub protocol_version: Option<&'a str>,
    /// `Mcp-Method`
    pub method: Option<&'a str>,
    /// `Mcp-Name`, still encoded
    pub name: Option<&'a str>,
    /// Whether `Mcp-Session-Id` is present
    pub session: bool,
}

/// The value of an `Mcp-Name` header: optional white space removed and the
/// `=?base64?…?=` form decoded. `None` when that form is not valid Base64 of UTF-8.
#[must_use]
pub fn decode_name(value: &str) -> Option<Cow<'_, str>> {
    let value = trim(value);
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
    /// The era that the version header claims.
    pub(super) fn claimed_era(&self) -> Option<Era> {
        let version = trim(self.protocol_version?);
        if version == MODERN_VERSION {
            Some(Era::Modern)
        } else {
            LEGACY_VERSIONS.contains(&version).then_some(Era::Legacy)
        }
    }

    // STUB
    pub fn claimed_operation(&self) -> Option<Operation> {
        None
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
            (Some(requested), None) => Err(unsupported(trim(requested))),
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
            return Err(unsupported(version));
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
        let name = operation.mirrored_name();
        let differs = match self.name {
            None => required && name.is_some(),
            Some(claimed) => name.is_none() || decode_name(claimed).as_deref() != name,
        };
        if differs {
            return Err(RefusalReason::HeaderMismatch("Mcp-Name differs from the message"));
        }
        Ok(())
    }

    /// Checks the headers of a response: it has no operation to mirror.
    pub(super) fn check_response(&self) -> Result<(), RefusalReason> {
        self.check_legacy_version()?;
        if self.method.is_some() || self.name.is_some() {
            return Err(RefusalReason::HeaderMismatch("a response has no method and no name"));
        }
        Ok(())
    }
}

fn unsupported(version: &str) -> RefusalReason {
    RefusalReason::UnsupportedVersion {
        requested: version.chars().take(MAX_ECHOED_VERSION).collect(),
    }
}

/// Removes optional white space (RFC 9110 section 5.6.3).
fn trim(value: &str) -> &str {
    value.trim_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
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
            assert_eq!(decode_name(header).as_deref(), name, "{header}");
        }
    }

    #[test]
    fn every_supported_version_has_an_era() {
        for version in SUPPORTED_VERSIONS {
            let headers = StandardHeaders { protocol_version: Some(version), ..Default::default() };
            assert!(headers.claimed_era().is_some(), "{version}");
        }
    }
}
