//! What a token endpoint answers: a token (RFC 6749 section 5.1, RFC 8693 section 2.2.1) or an
//! error (RFC 6749 section 5.2, RFC 8693 section 2.2.2).

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use super::form::JSON;
use crate::exchange::{ExchangeError, Flaw};
use crate::host::CalloutAnswer;
use crate::json::{self, Object, Value};
use crate::token::{MAX_TOKEN, Secret, scope_tokens};

/// Longest answer that is read, in bytes: an access token, a refresh token and an ID token, each
/// as long as tokens may be, and what is said of them.
const MAX_ANSWER: usize = 64 * 1024;

/// Longest `scope` that is read, in bytes: as long as access tokens may have it.
const MAX_SCOPE: usize = 8 * 1024;

/// Longest `claims` of an error that are passed on, in bytes. They travel to the client in base64,
/// twice where proofs are taken, and clients read some 8 KiB of headers; Entra ID sends about 100
/// bytes.
const MAX_CLAIMS: usize = 2 * 1024;

/// Longest time that is waited before an authorization server is asked again because it said so:
/// one that means longer says it again.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// What `suberror` of `invalid_grant` is where the user can mend it by an interaction (Microsoft
/// Authentication Library, "Handling errors and exceptions").
const INTERACTIONS: [&str; 5] = [
    "basic_action",
    "additional_action",
    "message_only",
    "consent_required",
    "user_password_expired",
];

/// A token as it was issued. Has no `Debug`: the rest of it is judged with the token.
pub(super) struct TokenResponse {
    /// `access_token`
    pub(super) token: Secret,
    /// `token_type`
    pub(super) token_type: TokenUse,
    /// `issued_token_type`
    pub(super) issued_token_type: Option<String>,
    /// `expires_in`
    pub(super) expires_in: Option<Duration>,
    /// `scope`, as it is written: third parties have grammars of their own.
    scope: Option<String>,
}

/// What `token_type` says of how a token is sent (RFC 6749 section 7.1, in any case).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenUse {
    /// RFC 6750.
    Bearer,
    /// RFC 9449 section 5.
    Dpop,
    /// `N_A`: it is no access token (RFC 8693 section 2.2.1).
    NotApplicable,
    /// In a way that we do not know.
    Other,
}

/// What a request grants a token for: who is to blame when the authorization server refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grant {
    /// The caller's token.
    Subject,
    /// The same, with one of the agent's that nobody here has verified.
    SubjectAndAgent,
    /// Who we are.
    Client,
    /// The assertion of another authorization server.
    Assertion,
}

/// Reads the answer to a token request.
///
/// # Errors
/// [`ExchangeError`].
pub(super) fn read(answer: &CalloutAnswer, grant: Grant) -> Result<TokenResponse, ExchangeError> {
    match answer.status {
        Some(200) => issued(answer).map_err(ExchangeError::Unusable),
        Some(408 | 429 | 500..) => Err(unavailable("it refused for now", answer)),
        Some(status @ 400..) => Err(refused(answer, status, grant)),
        Some(_) => Err(ExchangeError::Unusable(Flaw::Malformed)),
        None => Err(unavailable("the request failed", answer)),
    }
}

/// `error` of an answer that is one (RFC 6749 section 5.2).
pub(super) fn error_code(answer: &CalloutAnswer) -> Option<String> {
    answer.status.filter(|status| (400..500).contains(status))?;
    object(body(answer).ok()?).ok().and_then(|members| text(&members, "error").ok()?)
}

impl TokenResponse {
    /// `scope`; `None` where the answer has none.
    ///
    /// # Errors
    /// [`Flaw::Malformed`] when it is no list of scopes.
    pub(super) fn scopes(&self) -> Result<Option<BTreeSet<String>>, Flaw> {
        let Some(scope) = &self.scope else { return Ok(None) };
        let scopes = scope_tokens(scope).filter(|_| scope.len() <= MAX_SCOPE);
        let scopes = scopes.ok_or(Flaw::Malformed)?;
        Ok(Some(scopes.into_iter().map(str::to_owned).collect()))
    }
}

fn issued(answer: &CalloutAnswer) -> Result<TokenResponse, Flaw> {
    let members = object(body(answer)?)?;
    let token = text(&members, "access_token")?.ok_or(Flaw::Malformed)?;
    if token.len() > MAX_TOKEN {
        return Err(Flaw::TooLarge);
    }
    if !is_sendable(&token) {
        return Err(Flaw::Malformed);
    }
    let token_type = text(&members, "token_type")?.ok_or(Flaw::Malformed)?;
    Ok(TokenResponse {
        token: Secret::new(token),
        token_type: TokenUse::read(&token_type),
        issued_token_type: text(&members, "issued_token_type")?,
        expires_in: seconds(&members, "expires_in")?,
        scope: text(&members, "scope")?,
    })
}

impl TokenUse {
    fn read(token_type: &str) -> Self {
        let is = |name: &str| token_type.eq_ignore_ascii_case(name);
        if is("Bearer") {
            TokenUse::Bearer
        } else if is("DPoP") {
            TokenUse::Dpop
        } else if is("N_A") {
            TokenUse::NotApplicable
        } else {
            TokenUse::Other
        }
    }
}

/// What an error says, as far as its code is known. One that is not leaves it to the status.
fn refused(answer: &CalloutAnswer, status: u16, grant: Grant) -> ExchangeError {
    let members = body(answer).and_then(object).unwrap_or_default();
    let member = |name| members.get(name).and_then(Value::as_str);
    let claims = || member("claims").and_then(challenge);
    match member("error").unwrap_or_default() {
        "invalid_client" | "unauthorized_client" | "unsupported_grant_type" => {
            ExchangeError::ClientRejected
        }
        // Auth0 has it for a wrong secret.
        "access_denied" if status == 401 => ExchangeError::ClientRejected,
        // What we ask for ourselves, nobody is refused but us.
        "access_denied" | "invalid_scope" if grant == Grant::Client => {
            ExchangeError::ClientRejected
        }
        "access_denied" => ExchangeError::Denied,
        "invalid_scope" => ExchangeError::ScopeRefused,
        "invalid_target" => ExchangeError::TargetRejected,
        "temporarily_unavailable" | "server_error" => unavailable("it refused for now", answer),
        "interaction_required"
        | "login_required"
        | "consent_required"
        | "insufficient_user_authentication" => needs_interaction(grant, claims()),
        // The second is what Auth0 says of a subject token, with status 401.
        "invalid_grant" | "invalid_token" => {
            let is_interaction = member("suberror").is_some_and(|s| INTERACTIONS.contains(&s));
            let claims = claims();
            if is_interaction || claims.is_some() {
                return needs_interaction(grant, claims);
            }
            match grant {
                Grant::Subject | Grant::SubjectAndAgent => ExchangeError::SubjectRejected,
                Grant::Client => ExchangeError::ClientRejected,
                // What the caller sent was good enough for who asserts it.
                Grant::Assertion => ExchangeError::Denied,
            }
        }
        _ if status == 401 => ExchangeError::ClientRejected,
        "invalid_request" if grant == Grant::SubjectAndAgent => ExchangeError::ActorRejected,
        _ => ExchangeError::RequestRejected,
    }
}

fn needs_interaction(grant: Grant, claims: Option<Rc<str>>) -> ExchangeError {
    match grant {
        Grant::Subject | Grant::SubjectAndAgent => ExchangeError::InteractionRequired { claims },
        // There is nobody to interact with.
        Grant::Client => ExchangeError::ClientRejected,
        // The caller's client cannot ask its own authorization server for these.
        Grant::Assertion => ExchangeError::InteractionRequired { claims: None },
    }
}

fn unavailable(reason: &'static str, answer: &CalloutAnswer) -> ExchangeError {
    let seconds = answer.header("retry-after").and_then(|value| value.parse().ok());
    let retry_after = seconds.map(|seconds| Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
    ExchangeError::Unavailable { reason, retry_after }
}

/// `claims`, which must be a JSON object (OpenID Connect Core 1.0 section 5.5), as text.
fn challenge(text: &str) -> Option<Rc<str>> {
    let is_object = || matches!(json::read(text.as_bytes()), Ok(Value::Object(_)));
    (text.len() <= MAX_CLAIMS && is_object()).then(|| text.into())
}

/// The body of an answer in JSON.
fn body(answer: &CalloutAnswer) -> Result<&[u8], Flaw> {
    let essence = answer.header("content-type").and_then(|value| value.split(';').next());
    if !essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case(JSON)) {
        return Err(Flaw::Malformed);
    }
    // An empty body is there: one that is not was too large for the host to hand over.
    answer.body.as_deref().filter(|body| body.len() <= MAX_ANSWER).ok_or(Flaw::TooLarge)
}

fn object(body: &[u8]) -> Result<Object<'_>, Flaw> {
    match json::read(body) {
        Ok(Value::Object(members)) => Ok(members),
        _ => Err(Flaw::Malformed),
    }
}

fn text(members: &Object<'_>, name: &str) -> Result<Option<String>, Flaw> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone().into_owned())),
        Some(_) => Err(Flaw::Malformed),
    }
}

/// A number of seconds (RFC 6749 appendix A.14). Numbers in strings, as the v1.0 endpoint of
/// Microsoft Entra ID has them, are none.
fn seconds(members: &Object<'_>, name: &str) -> Result<Option<Duration>, Flaw> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::Number(number)) => {
            number.as_u64().map(Duration::from_secs).map(Some).ok_or(Flaw::Malformed)
        }
        Some(_) => Err(Flaw::Malformed),
    }
}

/// Whether a token can be the one credential of an `Authorization` header. RFC 6750 section 2.1
/// allows less, and third parties send more: what is refused here would end the token or begin
/// something else.
fn is_sendable(token: &str) -> bool {
    !token.is_empty()
        && token.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\' | b','))
}
