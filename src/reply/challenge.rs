//! `WWW-Authenticate` (RFC 9110 section 11.6.1, RFC 6750 section 3, RFC 9449 section 7.1,
//! RFC 9728 section 5.1).

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

/// What to authenticate with: a Bearer challenge and, where proofs are taken, a DPoP one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// URL of the protected resource metadata.
    pub resource_metadata: String,
    /// What was wrong; `None` when no token was sent (RFC 6750 section 3.1).
    pub error: Option<ChallengeError>,
    /// Scopes to ask for: all that the operation takes.
    pub scopes: BTreeSet<String>,
    /// Algorithms a proof may be signed with; empty where proofs are not taken.
    pub proof_algorithms: Vec<&'static str>,
}

/// The errors a challenge names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChallengeError {
    /// More than one way of authenticating (RFC 6750 section 3.1, RFC 9449 section 7.2).
    InvalidRequest,
    /// The token is expired, malformed, not for us, or not authentic (RFC 6750 section 3.1).
    InvalidToken,
    /// The token lacks a scope (RFC 6750 section 3.1).
    InsufficientScope,
    /// The proof is not acceptable (RFC 9449 section 7.1).
    InvalidDpopProof,
    /// The proof needs the nonce that comes with this answer (RFC 9449 section 9).
    UseDpopNonce,
}

impl Challenge {
    /// The header values, one for each challenge.
    ///
    /// MCP clients read all of them as one text and take the first match of each
    /// parameter, and most look at nothing that does not begin with `Bearer`. So Bearer
    /// comes first, always with parameters, and nowhere is free text that could hold
    /// another parameter's name. Each challenge is complete by itself.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let about_proof = matches!(
            self.error,
            Some(ChallengeError::InvalidDpopProof | ChallengeError::UseDpopNonce)
        );
        let bearer_error = self.error.filter(|_| !about_proof);
        let mut lines = vec![format!("Bearer {}", self.parameters(bearer_error))];
        if !self.proof_algorithms.is_empty() {
            let algorithms = self.proof_algorithms.join(" ");
            let parameters = self.parameters(self.error);
            lines.push(format!("DPoP {parameters}, algs=\"{}\"", Quoted(&algorithms)));
        }
        lines
    }

    fn parameters(&self, error: Option<ChallengeError>) -> String {
        let mut text = format!("resource_metadata=\"{}\"", Quoted(&self.resource_metadata));
        // Writing to a String cannot fail.
        if let Some(error) = error {
            let _ = write!(text, ", error=\"{}\"", error.as_str());
        }
        if !self.scopes.is_empty() {
            let scopes = self.scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
            let _ = write!(text, ", scope=\"{}\"", Quoted(&scopes));
        }
        text
    }
}

impl ChallengeError {
    fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::UseDpopNonce => "use_dpop_nonce",
        }
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
