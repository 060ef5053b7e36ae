//! SPIFFE IDs: what a workload is called (SPIFFE-ID, sections 2 to 4).

use std::fmt;

/// Longest SPIFFE ID, in bytes (SPIFFE-ID section 2.3).
const MAX_LEN: usize = 2048;

/// Longest name of a trust domain, in bytes (SPIFFE-ID section 2.1).
const MAX_TRUST_DOMAIN: usize = 255;

/// A SPIFFE ID in its one spelling.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId(String);

/// A text that is no SPIFFE ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is no SPIFFE ID: `spiffe://`, a trust domain in lowercase, and path segments of letters, digits, `.`, `-` and `_`"
)]
pub struct SpiffeIdError;

impl SpiffeId {
    /// Reads a SPIFFE ID of a workload. Nothing is normalised: there is one spelling.
    ///
    /// # Errors
    /// [`SpiffeIdError`] for everything else.
    pub fn parse(text: &str) -> Result<Self, SpiffeIdError> {
        let rest = text.strip_prefix("spiffe://").ok_or(SpiffeIdError)?;
        let (domain, path) = rest.split_once('/').ok_or(SpiffeIdError)?;
        let is_segment = |segment: &str| {
            let is_char =
                |b: u8| matches!(b, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_');
            !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(is_char)
        };
        let is_id = text.len() <= MAX_LEN
            && SpiffeId::is_trust_domain(domain)
            && path.split('/').all(is_segment);
        if is_id { Ok(SpiffeId(text.to_owned())) } else { Err(SpiffeIdError) }
    }

    /// Whether this is a name that a trust domain may have.
    #[must_use]
    pub fn is_trust_domain(name: &str) -> bool {
        let is_char = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
        (1..=MAX_TRUST_DOMAIN).contains(&name.len()) && name.bytes().all(is_char)
    }

    /// The whole ID.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The trust domain, whose keys vouch for it.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        let rest = self.0.strip_prefix("spiffe://").unwrap_or_default();
        rest.split('/').next().unwrap_or_default()
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
