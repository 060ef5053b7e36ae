//! `WWW-Authenticate` (RFC 9110 section 11.6.1, RFC 6750 section 3, RFC 9449 section 7.1,
//! RFC 9470 section 3, RFC 9728 section 5.1).

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChallengeError {
    /// More than one way of authenticating (RFC 6750 section 3.1, RFC 9449 section 7.2).
    InvalidRequest,
    /// The token is expired, malformed, not for us, or not authentic (RFC 6750 section 3.1).
    InvalidToken,
    /// The token lacks a scope (RFC 6750 section 3.1).
    InsufficientScope,
    /// The user did not authenticate as the operation takes it (RFC 9470 section 3).
    InsufficientUserAuthentication(Authentication),
    /// The token does not say what its issuer would make it say on request (Microsoft identity
    /// platform, "Claims challenges").
    InsufficientClaims(ClaimsRequest),
    /// The same in the words of the authorization server, which did not take the token for one of
    /// ours: a JSON object as text, that the client hands back to it as it is.
    ClaimsOfIssuer(Rc<str>),
    /// The proof is not acceptable (RFC 9449 section 7.1).
    InvalidDpopProof,
    /// The proof needs the nonce that comes with this answer (RFC 9449 section 9).
    UseDpopNonce,
}

/// How a user has to have authenticated (RFC 9470 section 3).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Authentication {
    /// Values of `acr` of which the token must have one, the most wanted first.
    pub acr_values: Vec<String>,
    /// How long ago it may have been; whole seconds count.
    pub max_age: Option<Duration>,
}

/// What the access token has to say, in the form of OpenID Connect Core section 5.5.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClaimsRequest {
    /// `acrs`: the authentication context to go through.
    pub context: Option<String>,
    /// `nbf`: no token from before will do, in seconds since 1970.
    pub not_before: Option<u64>,
}

impl Challenge {
    /// The header values, one for each challenge.
    ///
    /// MCP clients read all of them as one text and take the first match of each
    /// parameter, and most look at nothing that does not begin with `Bearer`. So Bearer
    /// comes first, always with parameters, and nowhere is free text that could hold
    /// another parameter's name: `error_description` is one sentence of ours, and last. Each
    /// challenge is complete by itself.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let about_proof = matches!(
            self.error,
            Some(ChallengeError::InvalidDpopProof | ChallengeError::UseDpopNonce)
        );
        let bearer_error = self.error.as_ref().filter(|_| !about_proof);
        let mut lines = vec![format!("Bearer {}", self.parameters(bearer_error))];
        if !self.proof_algorithms.is_empty() {
            let algorithms = self.proof_algorithms.join(" ");
            let parameters = self.parameters(self.error.as_ref());
            lines.push(format!("DPoP {parameters}, algs=\"{}\"", Quoted(&algorithms)));
        }
        lines
    }

    fn parameters(&self, error: Option<&ChallengeError>) -> String {
        let mut text = format!("resource_metadata=\"{}\"", Quoted(&self.resource_metadata));
        // Writing to a String cannot fail.
        if let Some(error) = error {
            let _ = write!(text, ", error=\"{}\"", error.as_str());
        }
        if !self.scopes.is_empty() {
            let scopes = self.scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
            let _ = write!(text, ", scope=\"{}\"", Quoted(&scopes));
        }
        match error {
            Some(ChallengeError::InsufficientUserAuthentication(wanted)) => wanted.write(&mut text),
            Some(ChallengeError::InsufficientClaims(request)) => {
                let _ = write!(text, ", claims=\"{}\"", request.encoded());
            }
            Some(ChallengeError::ClaimsOfIssuer(claims)) => {
                let _ = write!(text, ", claims=\"{}\"", STANDARD.encode(claims.as_bytes()));
            }
            _ => {}
        }
        text
    }
}

impl ChallengeError {
    fn as_str(&self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::InsufficientUserAuthentication(_) => "insufficient_user_authentication",
            Self::InsufficientClaims(_) | Self::ClaimsOfIssuer(_) => "insufficient_claims",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::UseDpopNonce => "use_dpop_nonce",
        }
    }
}

impl Authentication {
    /// Adds its parameters to those of a challenge. Writing to a String cannot fail.
    fn write(&self, text: &mut String) {
        if !self.acr_values.is_empty() {
            let _ = write!(text, ", acr_values=\"{}\"", Quoted(&self.acr_values.join(" ")));
        }
        if let Some(max_age) = self.max_age {
            let _ = write!(text, ", max_age=\"{}\"", max_age.as_secs());
        }
        text.push_str(", error_description=\"Other or more recent authentication is needed\"");
    }
}

impl ClaimsRequest {
    /// The value of `claims`: base64 with padding, as MSAL and the Azure SDKs read it.
    ///
    /// Of the other parameters these libraries need `error` alone. `authorization_uri`, which
    /// the platform's own services send besides, would have to be guessed here; the metadata
    /// of the resource leads to it (RFC 9728 section 3.2, RFC 8414 section 2).
    fn encoded(&self) -> String {
        let mut claims = Map::new();
        let mut ask = |name: &str, value: String| {
            claims.insert(name.to_owned(), json!({ "essential": true, "value": value }));
        };
        if let Some(context) = &self.context {
            ask("acrs", context.clone());
        }
        if let Some(time) = self.not_before {
            ask("nbf", time.to_string());
        }
        STANDARD.encode(json!({ "access_token": Value::Object(claims) }).to_string())
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
