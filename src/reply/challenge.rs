//! `WWW-Authenticate` (RFC 9110 section 11.6.1, RFC 6750 section 3, RFC 9728 section 5.1).

use std::collections::BTreeSet;
use std::fmt;

/// A Bearer challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// URL of the protected resource metadata.
    pub resource_metadata: String,
    /// What was wrong; `None` when no token was sent (RFC 6750 section 3.1).
    pub error: Option<ChallengeError>,
    /// Scopes to ask for: all that the operation takes.
    pub scopes: BTreeSet<String>,
}

/// The errors of RFC 6750 section 3.1 that a challenge names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChallengeError {
    /// The token is expired, malformed, not for us, or not authentic.
    InvalidToken,
    /// The token lacks a scope.
    InsufficientScope,
}

impl Challenge {
    /// For a request without a token, or with one that is not acceptable.
    #[must_use]
    pub fn authenticate(resource_metadata: &str, scopes: &[String], invalid_token: bool) -> Self {
        Challenge {
            resource_metadata: resource_metadata.to_owned(),
            error: invalid_token.then_some(ChallengeError::InvalidToken),
            scopes: scopes.iter().cloned().collect(),
        }
    }

    /// For a token that lacks scopes of the operation.
    #[must_use]
    pub fn insufficient_scope(resource_metadata: &str, scopes: BTreeSet<String>) -> Self {
        Challenge {
            resource_metadata: resource_metadata.to_owned(),
            error: Some(ChallengeError::InsufficientScope),
            scopes,
        }
    }
}

/// The header value. MCP clients read it with one regular expression over the whole
/// value, first match wins: so `Bearer` first, always with parameters, and no
/// free text that could hold another parameter's name.
impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bearer resource_metadata=\"{}\"", Quoted(&self.resource_metadata))?;
        match self.error {
            Some(ChallengeError::InvalidToken) => f.write_str(", error=\"invalid_token\"")?,
            Some(ChallengeError::InsufficientScope) => {
                f.write_str(", error=\"insufficient_scope\"")?;
            }
            None => {}
        }
        if !self.scopes.is_empty() {
            let scopes = self.scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
            write!(f, ", scope=\"{}\"", Quoted(&scopes))?;
        }
        Ok(())
    }
}

/// The inside of a quoted-string: what RFC 6750 section 3 allows there, the rest left
/// out. The host writes header values as they are, so a CR LF here would split the
/// response.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let allowed = |c: &char| matches!(c, ' '..='~') && *c != '"' && *c != '\\';
        self.0.chars().filter(allowed).try_for_each(|c| fmt::Write::write_char(f, c))
    }
}
