//! The claims of an access token (RFC 9068 section 2.2), and how each is read.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Deref;
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use crate::json::{Object, Value};

use super::actors::Actor;
use super::claim_path::ClaimPath;
use super::confirmation::{CertificateDigest, Confirmation, Thumbprint};
use super::error::TokenError;
use super::issuer::{ClaimNames, IssuerId};
use super::subject_kind::SubjectKind;

/// Most top-level claims of a token. Verbose identity providers send about 40.
const MAX_CLAIMS: usize = 128;

/// Longest string claim, in bytes: enough for a URL or a distinguished name.
const MAX_STRING: usize = 2048;

/// Most members of `aud`. A token for more resources than this is for none in particular.
const MAX_AUDIENCES: usize = 32;

/// Most scopes of a token, most roles, most groups, and so on. Policy compares them, and
/// providers stop at 200 groups (Microsoft Entra ID) or earlier.
const MAX_LIST: usize = 256;

/// Most text of each of these lists, in bytes: half of what a token can hold, and a bound on
/// what introspection can make us remember.
const MAX_LIST_TEXT: usize = 8 * 1024;

/// Latest time a claim may name, 9999-12-31T23:59:59Z: the last RFC 3339 can write.
const MAX_NUMERIC_DATE: u64 = 253_402_300_799;

/// What an access token says, once verified.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// Who issued it, and whose keys vouched for it.
    pub issuer: IssuerId,
    /// The issuer identifier. A subject is unique only together with it.
    pub issuer_url: String,
    /// The human or workload in whose name the call is made; `sub` unless configured otherwise.
    pub subject: String,
    /// The OAuth client that got the token.
    pub client_id: String,
    /// `aud`, one or more.
    pub audiences: Vec<String>,
    /// What was granted; empty when the token says nothing of it.
    pub scopes: BTreeSet<String>,
    /// `exp`, without leeway.
    pub expires_at: SystemTime,
    /// `nbf`
    pub not_before: Option<SystemTime>,
    /// `iat`. Of an opaque token whose issuer does not tell: `nbf`, or 1970.
    pub issued_at: SystemTime,
    /// `jti`; every RFC 9068 token has one.
    pub token_id: Option<TokenId>,
    /// In whose name the call is made: a person's, or nobody's but the client's own.
    pub kind: SubjectKind,
    /// Roles of the subject. Of a workload: the permissions it has itself.
    pub roles: BTreeSet<String>,
    /// Groups of the subject.
    pub groups: BTreeSet<String>,
    /// `act`: who acts for the subject, the current actor first, then those before it
    /// (RFC 8693 section 4.1). At most [`MAX_ACTORS`](super::MAX_ACTORS).
    pub actors: Vec<Actor>,
    /// `may_act`: who may act for the subject (RFC 8693 section 4.4).
    pub may_act: Option<Actor>,
    /// The agent, where the issuer has claims of its own for it.
    pub agent: AgentClaims,
    /// What the subject consented to, where the issuer says it.
    pub consent: Consent,
    /// What the token is good for only, where the issuer says it.
    pub context: ContextClaims,
    /// `acrs`: authentication contexts the subject has been through (Microsoft Entra ID).
    pub authentication_contexts: BTreeSet<String>,
    /// `xms_cc` has `cp1`: the client knows what to do with a claims challenge.
    pub takes_claims_challenges: bool,
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

/// What an issuer says of the agent besides `act` and the client, by its configured claims.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AgentClaims {
    /// The agent.
    pub id: Option<String>,
    /// Which of its running instances.
    pub instance: Option<String>,
    /// Which version of it.
    pub version: Option<String>,
}

/// What the subject consented to: `None` where the issuer has no such claim configured.
/// A configured claim that a token lacks lists nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Consent {
    /// Resource identifiers of MCP servers.
    pub servers: Option<BTreeSet<String>>,
    /// Agents, by client identifier or `sub` of `act`.
    pub agents: Option<BTreeSet<String>>,
}

/// Claims that bind a token to the context of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContextClaims {
    /// The MCP session, as the client knows it.
    pub session: Option<String>,
    /// The task.
    pub task: Option<String>,
    /// The instance of the agent.
    pub instance: Option<String>,
}

/// `jti`, with the digest of it that goes on record each time the token is used.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenId {
    text: String,
    sha256: [u8; 32],
}

impl TokenId {
    /// The id, digested.
    #[must_use]
    pub fn new(text: String) -> Self {
        TokenId { sha256: Sha256::digest(&text).into(), text }
    }

    /// SHA-256 of the id.
    #[must_use]
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }
}

impl Deref for TokenId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenId(..)")
    }
}

/// Shows the issuer only: claims are personal data.
impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// Refuses tokens with more claims than are read.
///
/// # Errors
/// [`TokenError::Malformed`].
pub(super) fn check_count(claims: &Object<'_>) -> Result<(), TokenError> {
    if claims.len() > MAX_CLAIMS {
        return Err(TokenError::Malformed("too many claims"));
    }
    Ok(())
}

/// # Errors
/// [`TokenError::MissingClaim`] when there is none.
pub(super) fn required<T>(claim: Option<T>, name: &'static str) -> Result<T, TokenError> {
    claim.ok_or(TokenError::MissingClaim(name))
}

/// A string claim: not empty, bounded, free of control characters.
///
/// # Errors
/// [`TokenError::BadClaim`] for anything else there is.
pub(super) fn string(
    claims: &Object<'_>,
    name: &'static str,
) -> Result<Option<String>, TokenError> {
    claims.get(name).map(|value| plain(value, name)).transpose()
}

/// The string that the first path to lead anywhere leads to. `name` is for the error.
///
/// # Errors
/// [`TokenError::BadClaim`] when it leads to several values, or to no such string.
pub(super) fn single(
    claims: &Object<'_>,
    paths: &[ClaimPath],
    name: &'static str,
) -> Result<Option<String>, TokenError> {
    let found = paths.iter().map(|path| path.resolve(claims)).find(|values| !values.is_empty());
    match found.as_deref() {
        None => Ok(None),
        Some([value]) => plain(value, name).map(Some),
        Some(_) => Err(TokenError::BadClaim(name)),
    }
}

/// `NumericDate` (RFC 7519 section 2): seconds since 1970, perhaps with a fraction, which is dropped.
///
/// # Errors
/// [`TokenError::BadClaim`] for anything else, and for times before 1970 or after 9999.
pub(super) fn numeric_date(
    claims: &Object<'_>,
    name: &'static str,
) -> Result<Option<SystemTime>, TokenError> {
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
///
/// # Errors
/// [`TokenError::MissingClaim`], [`TokenError::BadClaim`].
pub(super) fn audiences(claims: &Object<'_>) -> Result<Vec<String>, TokenError> {
    let members = match claims.get("aud").ok_or(TokenError::MissingClaim("aud"))? {
        Value::Array(members) if !members.is_empty() && members.len() <= MAX_AUDIENCES => members,
        value => std::slice::from_ref(value),
    };
    members.iter().map(|member| plain(member, "aud")).collect()
}

/// What was granted: `scope-token`s (RFC 6749 section 3.3), in strings that separate them by
/// single spaces (RFC 8693 section 4.2) or in arrays that have one in each member. An empty
/// string breaks the grammar but is what servers send for "none", and grants nothing.
///
/// # Errors
/// [`TokenError::BadClaim`] for anything else, or too many.
pub(super) fn scopes(
    claims: &Object<'_>,
    paths: &[ClaimPath],
) -> Result<BTreeSet<String>, TokenError> {
    list(paths.iter().flat_map(|path| path.resolve(claims)), "scope", |value| {
        let tokens: Vec<&str> = match value {
            Value::String(tokens) => return scope_tokens(tokens),
            Value::Array(tokens) => tokens.iter().map(Value::as_str).collect::<Option<_>>()?,
            _ => return None,
        };
        tokens.iter().all(|token| is_scope_token(token)).then_some(tokens)
    })
}

/// The `scope-token`s of a string, which separates them by single spaces (RFC 6749 section 3.3);
/// of an empty one none. `None` for anything else.
pub(crate) fn scope_tokens(text: &str) -> Option<Vec<&str>> {
    let tokens: Vec<&str> = if text.is_empty() { Vec::new() } else { text.split(' ').collect() };
    tokens.iter().all(|token| is_scope_token(token)).then_some(tokens)
}

/// Strings, in arrays or one by itself: each may have spaces. `name` is for the error.
///
/// # Errors
/// [`TokenError::BadClaim`] for anything else, or too many.
pub(super) fn strings(
    claims: &Object<'_>,
    paths: &[ClaimPath],
    name: &'static str,
) -> Result<BTreeSet<String>, TokenError> {
    list(paths.iter().flat_map(|path| path.resolve(claims)), name, plain_members)
}

/// As [`strings`], of the top-level claim of that name.
///
/// # Errors
/// The same.
pub(super) fn named_strings(
    claims: &Object<'_>,
    name: &'static str,
) -> Result<BTreeSet<String>, TokenError> {
    list(claims.get(name).into_iter(), name, plain_members)
}

/// What the values have, together. `name` is for the error.
fn list<'v, 'a: 'v>(
    values: impl Iterator<Item = &'v Value<'a>>,
    name: &'static str,
    members: impl Fn(&'v Value<'a>) -> Option<Vec<&'v str>>,
) -> Result<BTreeSet<String>, TokenError> {
    let bad = TokenError::BadClaim(name);
    let mut list = BTreeSet::new();
    for value in values {
        list.extend(members(value).ok_or(bad)?.into_iter().map(str::to_owned));
    }
    let text: usize = list.iter().map(String::len).sum();
    if list.len() > MAX_LIST || text > MAX_LIST_TEXT { Err(bad) } else { Ok(list) }
}

fn plain_members<'v>(value: &'v Value<'_>) -> Option<Vec<&'v str>> {
    let members = match value {
        Value::Array(members) => members.as_slice(),
        member => std::slice::from_ref(member),
    };
    members.iter().map(|member| member.as_str().filter(|member| is_plain(member))).collect()
}

/// What the issuer says of the agent.
///
/// # Errors
/// [`TokenError::BadClaim`].
pub(super) fn agent(claims: &Object<'_>, names: &ClaimNames) -> Result<AgentClaims, TokenError> {
    Ok(AgentClaims {
        id: single(claims, &names.agent, "agent")?,
        instance: single(claims, &names.agent_instance, "agent_instance")?,
        version: single(claims, &names.agent_version, "agent_version")?,
    })
}

/// What the subject consented to.
///
/// # Errors
/// [`TokenError::BadClaim`].
pub(super) fn consent(claims: &Object<'_>, names: &ClaimNames) -> Result<Consent, TokenError> {
    let list = |paths: &[ClaimPath], name| {
        (!paths.is_empty()).then(|| strings(claims, paths, name)).transpose()
    };
    Ok(Consent {
        servers: list(&names.consented_servers, "consented_servers")?,
        agents: list(&names.consented_agents, "consented_agents")?,
    })
}

/// The context that the token is good in only.
///
/// # Errors
/// [`TokenError::BadClaim`].
pub(super) fn context(
    claims: &Object<'_>,
    names: &ClaimNames,
) -> Result<ContextClaims, TokenError> {
    Ok(ContextClaims {
        session: single(claims, &names.session, "session")?,
        task: single(claims, &names.task, "task")?,
        instance: single(claims, &names.instance, "instance")?,
    })
}

/// `xms_cc`: whether the client declared that it knows what to do with a claims challenge
/// (Microsoft Entra ID). Clients write it in either case.
///
/// # Errors
/// [`TokenError::BadClaim`].
pub(super) fn takes_claims_challenges(claims: &Object<'_>) -> Result<bool, TokenError> {
    let capabilities = named_strings(claims, "xms_cc")?;
    Ok(capabilities.iter().any(|capability| capability.eq_ignore_ascii_case("cp1")))
}

/// `cnf` (RFC 7800 section 3.1). Each member is a demand on the sender, so all of them must
/// be understood.
///
/// # Errors
/// [`TokenError::Confirmation`] for anything but an object of one or more such members.
pub(super) fn confirmation(claims: &Object<'_>) -> Result<Confirmation, TokenError> {
    let Some(value) = claims.get("cnf") else { return Ok(Confirmation::default()) };
    let members = value.as_object().filter(|members| !members.is_empty());
    let mut confirmation = Confirmation::default();
    for (name, value) in members.ok_or(TokenError::Confirmation)?.iter() {
        let text = value.as_str().ok_or(TokenError::Confirmation)?;
        let read = match name {
            "jkt" => {
                confirmation.key = Thumbprint::parse(text);
                confirmation.key.is_some()
            }
            "x5t#S256" => {
                confirmation.certificate = CertificateDigest::parse(text);
                confirmation.certificate.is_some()
            }
            _ => false,
        };
        if !read {
            return Err(TokenError::Confirmation);
        }
    }
    Ok(confirmation)
}

fn plain(value: &Value<'_>, name: &'static str) -> Result<String, TokenError> {
    value
        .as_str()
        .filter(|text| is_plain(text))
        .map(str::to_owned)
        .ok_or(TokenError::BadClaim(name))
}

fn is_plain(value: &str) -> bool {
    !value.is_empty() && value.len() <= MAX_STRING && !value.chars().any(char::is_control)
}

fn is_scope_token(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5B | 0x5D..=0x7E))
}
