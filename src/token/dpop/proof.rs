//! What a proof says, and whether that fits the request it came with.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::json::{Object, Value};
use crate::token::confirmation::Thumbprint;
use crate::token::error::{ProofError, TokenError};

use super::htu;
use super::policy::DpopPolicy;
use super::replay::Mark;
use super::verifier::Expected;

/// Longest `jti` that is read, in bytes (RFC 9449 section 11.1 asks for a bound). Real ones
/// are UUIDs or as many random bits.
const MAX_JTI: usize = 256;

/// The claims that matter (RFC 9449 section 4.2); others are ignored.
pub(super) struct Claims<'c> {
    jti: &'c str,
    method: &'c str,
    url: &'c str,
    /// Since 1970.
    issued_at: Duration,
    token_digest: &'c str,
    pub(super) nonce: Option<&'c str>,
}

impl<'c> Claims<'c> {
    /// Reads the claims of a proof.
    ///
    /// # Errors
    /// [`ProofError::Claim`] for one that is missing or of the wrong type.
    pub(super) fn read(claims: &'c Object<'_>) -> Result<Self, ProofError> {
        let string = |name| claims.get(name).and_then(Value::as_str).ok_or(ProofError::Claim(name));
        let jti = string("jti")?;
        if jti.is_empty() || jti.len() > MAX_JTI {
            return Err(ProofError::Claim("jti"));
        }
        Ok(Claims {
            jti,
            method: string("htm")?,
            url: string("htu")?,
            issued_at: claims.get("iat").and_then(since_1970).ok_or(ProofError::Claim("iat"))?,
            token_digest: string("ath")?,
            nonce: claims.get("nonce").map(|_| string("nonce")).transpose()?,
        })
    }

    /// Whether the proof is for this request (RFC 9449 section 4.3, numbers 8, 9, 11, 12).
    ///
    /// # Errors
    /// [`ProofError`] of the first claim that is not.
    pub(super) fn check(&self, expected: &Expected<'_>, now: SystemTime) -> Result<(), ProofError> {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| ProofError::Time)?;
        if self.method != expected.method {
            Err(ProofError::Method)
        } else if !htu::names(self.url, &expected.policy.url) {
            Err(ProofError::Url)
        } else if self.issued_at.abs_diff(now) > expected.policy.proof_max_age {
            Err(ProofError::Time)
        } else if self.token_digest != URL_SAFE_NO_PAD.encode(expected.token.as_bytes()) {
            Err(ProofError::AccessToken)
        } else {
            Ok(())
        }
    }

    /// What is recorded of the proof's use; `None` when it is good for longer than can be
    /// written down.
    pub(super) fn mark(&self, signer: &Thumbprint, policy: &DpopPolicy) -> Option<Mark> {
        let good_until = self.issued_at.checked_add(policy.proof_max_age)?;
        Mark::new(signer, &policy.url, self.jti, good_until)
    }
}

/// What an error of the JWS means for a proof.
pub(super) fn refusal(error: TokenError) -> ProofError {
    match error {
        TokenError::Malformed(reason) => ProofError::Malformed(reason),
        TokenError::Algorithm => ProofError::Algorithm,
        TokenError::Signature => ProofError::Signature,
        _ => ProofError::Malformed("not a proof"),
    }
}

/// `NumericDate` (RFC 7519 section 2): seconds since 1970, perhaps with a fraction.
fn since_1970(value: &Value<'_>) -> Option<Duration> {
    let Value::Number(number) = value else { return None };
    match number.as_u64() {
        Some(seconds) => Some(Duration::from_secs(seconds)),
        None => Duration::try_from_secs_f64(number.as_f64()?).ok(),
    }
}
