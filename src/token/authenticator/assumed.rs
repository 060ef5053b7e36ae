//! Callers as somebody describes them, for the command that explains and tests policies.
//!
//! Nothing of this is in the filter: there, claims that nobody vouched for must not become
//! what policy takes, not even by a mistake.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use super::super::claims::AccessToken;
use super::super::confirmation::Confirmation;
use super::super::error::TokenError;
use super::super::issuer::IssuerId;
use super::super::jws::Verified;
use super::super::request::{Demands, Scheme};
use super::{Authenticator, admit, key_to_prove};
use crate::json;

/// What `exp` is after now where nobody said it: as long as every configuration takes
/// (`max_token_lifetime` is at least that).
const LIFETIME: Duration = Duration::from_secs(10);

/// Whether the sender of a token that is bound to a key or a certificate has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Possession {
    /// It has, and proves it.
    #[default]
    Proved,
    /// It has the token only.
    Unproved,
}

impl Authenticator {
    /// What a token of an issuer with these claims would make of its sender at a server:
    /// read and judged as every token, but for the signature, the proof, revocations and the
    /// issuer's word.
    ///
    /// Claims that are left out: `aud` is the server, `iat` is `now`, and `exp` is 10 seconds
    /// after `now`.
    ///
    /// # Errors
    /// [`TokenError`], as for a token that is verified.
    pub fn assume(
        &self,
        id: IssuerId,
        claims: &Map<String, Value>,
        possession: Possession,
        demands: &Demands<'_>,
        now: SystemTime,
    ) -> Result<Verified<AccessToken>, TokenError> {
        if !demands.issuers.contains(&id) {
            return Err(TokenError::UnknownIssuer);
        }
        let issuer = self.issuers.get(id.0).ok_or(TokenError::UnknownIssuer)?;
        let text = Value::Object(completed(claims, demands, now)).to_string();
        let not_an_object = TokenError::Malformed("claims are not a JSON object");
        let claims = json::read(text.as_bytes()).map_err(|_| not_an_object)?;
        let claims = claims.as_object().ok_or(not_an_object)?;
        let token = issuer.rules.read_assumed(id, claims)?;
        admit(issuer, &token, demands, now)?;
        let Confirmation { key, certificate } = token.confirmation;
        let is_proved = possession == Possession::Proved;
        demands.mtls.check(certificate, certificate.filter(|_| is_proved))?;
        let scheme = if is_proved && key.is_some() { Scheme::Dpop } else { Scheme::Bearer };
        key_to_prove(demands.dpop, key, scheme)?;
        Ok(Verified::assumed(token))
    }
}

fn completed(
    claims: &Map<String, Value>,
    demands: &Demands<'_>,
    now: SystemTime,
) -> Map<String, Value> {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut claims = claims.clone();
    for (name, value) in [
        ("aud", Value::from(demands.resource)),
        ("iat", Value::from(now.as_secs())),
        ("exp", Value::from(now.saturating_add(LIFETIME).as_secs())),
    ] {
        claims.entry(name).or_insert(value);
    }
    claims
}
