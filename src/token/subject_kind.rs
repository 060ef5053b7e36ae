//! In whose name a token was issued: a user's, or the client's own.
//!
//! No claim says it everywhere. Providers mark tokens for workloads ("app-only") each in its
//! own way, and an issuer can have a mark of its own configured. A mark counts only where no
//! user can bring it about by the choice of a name: a workload may have permissions that no
//! user has.
//!
//! Actors (`act`) make no difference. Who acts for a workload makes no user of it; otherwise a
//! client could exchange its own token (RFC 8693) for one that passes for a user's.

use crate::json::{Object, Value};

use super::claims;
use super::error::TokenError;
use super::issuer::{ClaimNames, ValuePattern, WorkloadMark};

/// In whose name a token was issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SubjectKind {
    /// A person's, through a client: delegated permissions.
    #[default]
    User,
    /// The client's own ("app-only"): there is no user, as with the client credentials grant
    /// (RFC 9068 section 2.2, `sub`).
    Workload,
}

/// What Keycloak puts before the client identifier in `preferred_username` of service
/// accounts. With another client's name after it, nobody can say whose token it is: the
/// service account's, which the client exchanged, or that of a user who took the name.
const KEYCLOAK_SERVICE_ACCOUNT: &str = "service-account-";

/// What `scp` of Microsoft Entra ID may be in place of scopes, if it is there at all.
const ENTRA_UNSCOPED: [&str; 2] = ["", "/"];

/// What Auth0 puts after the client identifier in `sub` of applications.
const AUTH0_APPLICATION: &str = "@clients";

/// The kind of a token with this subject and client, as they are read from it.
///
/// # Errors
/// [`TokenError::BadClaim`] when a claim that says it is of the wrong type, `idtyp` is
/// neither `app` nor `user`, or the subject is named as another client's workload is.
pub(super) fn of(
    claims: &Object<'_>,
    names: &ClaimNames,
    subject: &str,
    client: &str,
) -> Result<SubjectKind, TokenError> {
    let said = said(claims, names, Some(client))?;
    let is_entra_application = is_entra_application(claims)?;
    // Where the subject is read from another claim, that may be a name which users choose.
    let own = claims::string(claims, "sub")?;
    let subject = own.as_deref().unwrap_or(subject);
    let application = subject.strip_suffix(AUTH0_APPLICATION);
    let is_client = subject == client || application == Some(client);
    if application.is_some() && !is_client && said.is_none() {
        // Another client's own token, exchanged, or a name that looks like it.
        return Err(TokenError::BadClaim("sub"));
    }
    let unmarked = if is_entra_application { SubjectKind::Workload } else { SubjectKind::User };
    Ok(if is_client { SubjectKind::Workload } else { said.unwrap_or(unmarked) })
}

/// What claims say of the kind by themselves; their absence says nothing. An issuer's
/// configured mark outranks the others.
///
/// # Errors
/// As [`of`].
pub(super) fn said(
    claims: &Object<'_>,
    names: &ClaimNames,
    client: Option<&str>,
) -> Result<Option<SubjectKind>, TokenError> {
    let is_marked = names.workload.as_ref().map(|mark| is_marked(claims, mark)).transpose()?;
    let idtyp = match claims::string(claims, "idtyp")?.as_deref() {
        None => None,
        Some("app") => Some(SubjectKind::Workload),
        Some("user") => Some(SubjectKind::User),
        Some(_) => return Err(TokenError::BadClaim("idtyp")),
    };
    let grants = claims::named_strings(claims, "gty")?;
    let username = claims::string(claims, "preferred_username")?;
    let service_account =
        username.as_deref().and_then(|name| name.strip_prefix(KEYCLOAK_SERVICE_ACCOUNT));
    // Keycloak writes user names in lower case.
    let is_own = |(name, client): (&str, &str)| name.eq_ignore_ascii_case(client);
    let is_service_account = service_account.zip(client).map(is_own);
    let is_workload = is_service_account == Some(true) || grants.contains("client-credentials");
    if is_service_account == Some(false)
        && !is_workload
        && is_marked != Some(true)
        && idtyp.is_none()
    {
        // Another client's own token, exchanged, or a user who took its name.
        return Err(TokenError::BadClaim("preferred_username"));
    }
    Ok(if is_marked == Some(true) {
        Some(SubjectKind::Workload)
    } else {
        idtyp.or(is_workload.then_some(SubjectKind::Workload))
    })
}

/// Whether the claim has one of the values.
fn is_marked(claims: &Object<'_>, mark: &WorkloadMark) -> Result<bool, TokenError> {
    let found = claims::strings(claims, std::slice::from_ref(&mark.claim), "workload")?;
    Ok(found.iter().any(|value| mark.values.iter().any(|pattern| pattern.matches(value))))
}

/// Whether it is a token of Microsoft Entra ID for an application: object and subject are
/// the same only there, and only users' tokens have scopes.
fn is_entra_application(claims: &Object<'_>) -> Result<bool, TokenError> {
    let object = claims::string(claims, "oid")?;
    let subject = claims.get("sub").and_then(Value::as_str);
    let is_unscoped = |scopes: &Value<'_>| match scopes {
        Value::Array(scopes) => scopes.is_empty(),
        scopes => scopes.as_str().is_some_and(|scopes| ENTRA_UNSCOPED.contains(&scopes)),
    };
    let has_scopes =
        ["scp", "scope"].iter().filter_map(|name| claims.get(name)).any(|s| !is_unscoped(s));
    Ok(object.is_some() && object.as_deref() == subject && !has_scopes)
}

impl ValuePattern {
    fn matches(&self, value: &str) -> bool {
        match self {
            ValuePattern::Exact(exact) => value == exact,
            ValuePattern::Prefix(prefix) => value.starts_with(prefix.as_str()),
        }
    }
}
