//! The claims of a JWT access token (RFC 9068 section 2.2).

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, SystemTime};

use crate::json::{Object, Value};

use super::confirmation::Confirmation;
use super::error::TokenError;
use super::issuer::IssuerId;
use super::jws::{Jws, Verified};

/// Most top-level claims of a token. Verbose identity providers send about 40.
const MAX_CLAIMS: usize = 128;

/// Longest string claim, in bytes: enough for a URL or a distinguished name.
const MAX_STRING: usize = 2048;

/// Most members of `aud`. A token for more resources than this is for none in particular.
const MAX_AUDIENCES: usize = 32;

/// Most scopes of a token; with [`MAX_SCOPE_STRING`] it bounds what policy compares.
const MAX_SCOPES: usize = 256;

/// Longest `scope` claim, in bytes.
const MAX_SCOPE_STRING: usize = 8 * 1024;

/// Latest time a claim may name, 9999-12-31T23:59:59Z: the last RFC 3339 can write.
const MAX_NUMERIC_DATE: u64 = 253_402_300_799;

/// What an access token says, once verified.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// Who issued it, and whose keys vouched for it.
    pub issuer: IssuerId,
    /// `iss`: the issuer identifier. A subject is unique only together with it.
    pub issuer_url: String,
    /// `sub`: the human or workload in whose name the call is made.
    pub subject: String,
    /// `client_id`: the OAuth client that got the token.
    pub client_id: String,
    /// `aud`, one or more.
    pub audiences: Vec<String>,
    /// `scope`, taken apart; empty when the token has none.
    pub scopes: BTreeSet<String>,
    /// `exp`, without leeway.
    pub expires_at: SystemTime,
    /// `nbf`
    pub not_before: Option<SystemTime>,
    /// `iat`
    pub issued_at: SystemTime,
    /// `jti`; every RFC 9068 token has one.
    pub token_id: Option<String>,
    /// Roles of the subject.
    pub roles: BTreeSet<String>,
    /// The subject's tenant.
    pub tenant: Option<String>,
    /// `sid`: the session at the issuer.
    pub session: Option<String>,
    /// `acr`: how the subject authenticated (RFC 9470 section 6.1).
    pub acr: Option<String>,
    /// `auth_time`: when.
    pub authenticated_at: Option<SystemTime>,
    /// `cnf`: what the token is bound to.
    pub confirmation: Confirmation,
}

impl AccessToken {
    /// Reads the claims of a verified token of this issuer.
    ///
    /// # Errors
    /// [`TokenError::MissingClaim`], [`TokenError::BadClaim`], [`TokenError::SenderConstrained`].
    pub(super) fn read(
        jws: &Verified<Jws<'_>>,
        issuer: IssuerId,
    ) -> Result<Verified<AccessToken>, TokenError> {
        jws.read(|jws| Self::from_claims(jws.claims(), issuer))
    }

    fn from_claims(claims: &Object<'_>, issuer: IssuerId) -> Result<AccessToken, TokenError> {
        if claims.len() > MAX_CLAIMS {
            return Err(TokenError::Malformed("too many claims"));
        }
        if claims.get("cnf").is_some() {
            return Err(TokenError::SenderConstrained);
        }
        Ok(AccessToken {
            issuer,
            issuer_url: required(string(claims, "iss")?, "iss")?,
            subject: required(string(claims, "sub")?, "sub")?,
            client_id: required(string(claims, "client_id")?, "client_id")?,
            audiences: audiences(claims)?,
            scopes: scopes(claims)?,
            expires_at: required(numeric_date(claims, "exp")?, "exp")?,
            not_before: numeric_date(claims, "nbf")?,
            issued_at: required(numeric_date(claims, "iat")?, "iat")?,
            token_id: Some(required(string(claims, "jti")?, "jti")?),
            roles: BTreeSet::new(),
            tenant: None,
            session: None,
            acr: None,
            authenticated_at: None,
            confirmation: Confirmation::default(),
        })
    }

    /// Whether the token is good now.
    ///
    /// # Errors
    /// [`TokenError::Expired`], [`TokenError::NotYetValid`], [`TokenError::IssuedInFuture`],
    /// each with the leeway `skew`.
    pub(super) fn check_time(&self, skew: Duration, now: SystemTime) -> Result<(), TokenError> {
        // A time that cannot be represented is refused with the rest.
        let expired = self.expires_at.checked_add(skew).is_none_or(|end| end <= now);
        let in_future = |time: SystemTime| now.checked_add(skew).is_none_or(|now| time > now);
        if expired {
            Err(TokenError::Expired)
        } else if self.not_before.is_some_and(in_future) {
            Err(TokenError::NotYetValid)
        } else if in_future(self.issued_at) {
            Err(TokenError::IssuedInFuture)
        } else {
            Ok(())
        }
    }
}

/// Shows the issuer only: claims are personal data.
impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

fn required<T>(claim: Option<T>, name: &'static str) -> Result<T, TokenError> {
    claim.ok_or(TokenError::MissingClaim(name))
}

/// A string claim: not empty, bounded, free of control characters.
fn string(claims: &Object<'_>, name: &'static str) -> Result<Option<String>, TokenError> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(value)) if is_plain(value) => Ok(Some(value.clone().into_owned())),
        Some(_) => Err(TokenError::BadClaim(name)),
    }
}

fn is_plain(value: &str) -> bool {
    !value.is_empty() && value.len() <= MAX_STRING && !value.chars().any(char::is_control)
}

/// `NumericDate` (RFC 7519 section 2): seconds since 1970, perhaps with a fraction, which is dropped.
fn numeric_date(claims: &Object<'_>, name: &'static str) -> Result<Option<SystemTime>, TokenError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let Value::Number(number) = value else { return Err(TokenError::BadClaim(name)) };
    number
        .as_u64()
        .map(Duration::from_secs)
        .or_else(|| {
            let seconds = Duration::try_from_secs_f64(number.as_f64()?).ok()?;
            Some(Duration::from_secs(seconds.as_secs()))
        })
        .filter(|date| date.as_secs() <= MAX_NUMERIC_DATE)
        .and_then(|date| SystemTime::UNIX_EPOCH.checked_add(date))
        .map(Some)
        .ok_or(TokenError::BadClaim(name))
}

/// `aud`: a string or an array of strings (RFC 7519 section 4.1.3).
fn audiences(claims: &Object<'_>) -> Result<Vec<String>, TokenError> {
    let bad = TokenError::BadClaim("aud");
    let members = match claims.get("aud").ok_or(TokenError::MissingClaim("aud"))? {
        Value::Array(members) if !members.is_empty() && members.len() <= MAX_AUDIENCES => members,
        value => std::slice::from_ref(value),
    };
    members
        .iter()
        .map(|member| member.as_str().filter(|audience| is_plain(audience)).map(str::to_owned))
        .collect::<Option<Vec<_>>>()
        .ok_or(bad)
}

/// `scope`: `scope-token`s separated by single spaces (RFC 8693 section 4.2, RFC 6749 section 3.3).
/// An empty string breaks the grammar but is what servers send for "none", and grants nothing.
fn scopes(claims: &Object<'_>) -> Result<BTreeSet<String>, TokenError> {
    let bad = TokenError::BadClaim("scope");
    let scope = match claims.get("scope") {
        None => return Ok(BTreeSet::new()),
        Some(Value::String(scope)) => scope,
        Some(_) => return Err(bad),
    };
    if scope.is_empty() {
        return Ok(BTreeSet::new());
    }
    if scope.len() > MAX_SCOPE_STRING {
        return Err(bad);
    }
    let scopes: BTreeSet<String> = scope
        .split(' ')
        .map(|token| is_scope_token(token).then(|| token.to_owned()))
        .collect::<Option<_>>()
        .ok_or(bad)?;
    if scopes.len() > MAX_SCOPES { Err(bad) } else { Ok(scopes) }
}

fn is_scope_token(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5B | 0x5D..=0x7E))
}
