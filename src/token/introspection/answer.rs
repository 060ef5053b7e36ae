//! What an issuer answers about a token (RFC 7662 section 2.2, RFC 9701 section 5).

use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use crate::host::{CalloutAnswer, Host};
use crate::json::{self, Object, Value};
use crate::token::claim_path::ClaimPath;
use crate::token::{
    AccessToken, CertificateDigest, ClaimNames, Confirmation, Jws, KeySet, Segments, Thumbprint,
    TokenError, Unverified, Verified,
};

/// Media type of plain answers.
pub(super) const PLAIN: &str = "application/json";

/// Media type of signed answers, and `typ` of their JWTs (RFC 9701 section 5).
pub(super) const SIGNED: &str = "application/token-introspection+jwt";

/// Longest answer that is read, in bytes: far beyond what an issuer says of one token. A
/// signed one is bounded as tokens are.
const MAX_ANSWER: usize = 256 * 1024;

/// Most bytes of one text that is kept, as of a claim of a token.
const MAX_TEXT: usize = 2048;

/// Most bytes of all scopes, and of all audiences. Both are kept for as long as the answer.
const MAX_LIST: usize = 8 * 1024;

/// What reading an answer takes from the issuer.
pub(in crate::token) struct AnswerContext<'c> {
    /// Its current keys, for signed answers.
    pub(in crate::token) keys: Option<&'c KeySet>,
    /// Where its tokens, and its answers, have what we read.
    pub(in crate::token) claims: &'c ClaimNames,
    /// How far its clock may be from ours, for the `iat` of signed answers.
    pub(in crate::token) clock_skew: Duration,
    /// Reads the answer about an opaque token as the token that it stands for.
    pub(in crate::token) read: &'c dyn Fn(&Object<'_>) -> Result<AccessToken, TokenError>,
}

/// What is asked of an answer before it is believed.
pub(super) struct Expected<'e> {
    /// The issuer identifier.
    pub(super) issuer: &'e str,
    /// Who signed answers must be for; `None` for plain answers.
    pub(super) signed_for: Option<&'e str>,
    /// When the request was started.
    pub(super) asked_at: SystemTime,
}

/// What the issuer says.
pub(super) enum Verdict {
    Active(Answer),
    Inactive,
}

/// What the issuer says of an active token.
pub(in crate::token) struct Answer {
    /// What the answer makes of an opaque token, or why that is not enough.
    pub(in crate::token) token: Result<Rc<Verified<AccessToken>>, TokenError>,
    statement: Statement,
}

/// An answer that says nothing of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// There is none.
    NoAnswer(&'static str),
    /// It has this status and not 200.
    Status(u16),
    /// It cannot be used.
    Answer(&'static str),
    /// The answer is signed with a key that we do not hold.
    UnknownKey,
}

/// The members of an answer that are held against a token, as far as there are any.
struct Statement {
    issuer: Option<String>,
    /// Whatever the configured claims lead to.
    subjects: Vec<String>,
    clients: Vec<String>,
    scopes: Option<BTreeSet<String>>,
    audiences: Option<BTreeSet<String>>,
    expires_at: Option<SystemTime>,
    confirmation: Option<Confirmation>,
    token_type: Option<String>,
}

impl Answer {
    /// When the token expires, by what the issuer says.
    pub(super) fn expires_at(&self) -> Option<SystemTime> {
        self.statement.expires_at
    }

    /// The token, a JWT that was verified here, as far as the answer confirms it: with no
    /// scope and audience that the answer does not have, and no longer than it says.
    ///
    /// # Errors
    /// [`TokenError::BadClaim`] names what the answer says otherwise than the token.
    pub(in crate::token) fn confirm(
        &self,
        token: &Rc<Verified<AccessToken>>,
    ) -> Result<Rc<Verified<AccessToken>>, TokenError> {
        self.statement.check(token)?;
        let Statement { scopes, audiences, expires_at, .. } = &self.statement;
        let is_in = |list: &Option<BTreeSet<String>>, member: &String| {
            list.as_ref().is_none_or(|list| list.contains(member))
        };
        let expires_at = expires_at.map_or(token.expires_at, |end| end.min(token.expires_at));
        let is_whole = expires_at == token.expires_at
            && token.scopes.iter().all(|scope| is_in(scopes, scope))
            && token.audiences.iter().all(|audience| is_in(audiences, audience));
        if is_whole {
            return Ok(Rc::clone(token));
        }
        token
            .read(|token| {
                let mut token = token.clone();
                token.scopes.retain(|scope| is_in(scopes, scope));
                token.audiences.retain(|audience| is_in(audiences, audience));
                token.expires_at = expires_at;
                Ok(token)
            })
            .map(Rc::new)
    }
}

/// Shows nothing: an answer is personal data.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer(..)")
    }
}

impl Failure {
    /// Whether it would have been the same for another token. Any other failure may be due to
    /// the token, and so to who sent it.
    pub(super) fn is_of_endpoint(self) -> bool {
        match self {
            Failure::NoAnswer(_) => true,
            // The issuer limits our requests, or is not reached (Envoy's timeout is a 504).
            Failure::Status(status) => self.is_refusal() || matches!(status, 429 | 502 | 503 | 504),
            Failure::Answer(_) | Failure::UnknownKey => false,
        }
    }

    /// Whether the issuer does not take us for its client, or not for one that may ask
    /// (RFC 7662 section 2.3).
    pub(super) fn is_refusal(self) -> bool {
        matches!(self, Failure::Status(401 | 403))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::NoAnswer(reason) | Failure::Answer(reason) => f.write_str(reason),
            Failure::Status(status) if self.is_refusal() => {
                write!(f, "refused our credentials (status {status})")
            }
            Failure::Status(status) => write!(f, "status {status}"),
            Failure::UnknownKey => f.write_str("signed with an unknown key"),
        }
    }
}

/// Reads the answer to a request.
///
/// # Errors
/// [`Failure`]: nothing is known of the token.
pub(super) fn read(
    answer: &CalloutAnswer,
    expected: &Expected<'_>,
    context: &AnswerContext<'_>,
    now: SystemTime,
    host: &dyn Host,
) -> Result<Verdict, Failure> {
    match answer.status {
        Some(200) => {}
        Some(status) => return Err(Failure::Status(status)),
        None => return Err(Failure::NoAnswer("the request failed")),
    }
    let wanted = if expected.signed_for.is_some() { SIGNED } else { PLAIN };
    let essence = answer.header("content-type").and_then(|value| value.split(';').next());
    if !essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case(wanted)) {
        return Err(Failure::Answer("wrong content type"));
    }
    let body = answer.body.as_deref().filter(|body| body.len() <= MAX_ANSWER);
    let body = body.ok_or(Failure::Answer("no body, or too long"))?;
    match expected.signed_for {
        Some(audience) => read_signed(body, audience, expected, context, now, host),
        None => match json::read(body) {
            Ok(Value::Object(members)) => read_members(&members, context),
            _ => Err(Failure::Answer("not a JSON object")),
        },
    }
}

/// Reads a signed answer (RFC 9701 section 5).
fn read_signed(
    body: &[u8],
    audience: &str,
    expected: &Expected<'_>,
    context: &AnswerContext<'_>,
    now: SystemTime,
    host: &dyn Host,
) -> Result<Verdict, Failure> {
    let malformed = Failure::Answer("not a JWT");
    let text = std::str::from_utf8(body).map_err(|_| malformed)?;
    let segments = Segments::decode(text).map_err(|_| malformed)?;
    let jws = Unverified::<Jws<'_>>::parse(&segments).map_err(|_| malformed)?;
    if !jws.token_type().is_some_and(is_introspection_type) {
        return Err(Failure::Answer("typ is not token-introspection+jwt"));
    }
    let key = context.keys.and_then(|keys| keys.find(jws.kid())).ok_or(Failure::UnknownKey)?;
    let jws = jws.verify(key, host).map_err(|_| Failure::Answer("wrong signature"))?;
    let claims = jws.claims();
    if claims.get("iss").and_then(Value::as_str) != Some(expected.issuer) {
        return Err(Failure::Answer("iss is not the issuer"));
    }
    if !members_of(claims.get("aud")).any(|member| member.as_str() == Some(audience)) {
        return Err(Failure::Answer("aud is not ours"));
    }
    let issued_at = claims.get("iat").and_then(date);
    if !issued_at.is_some_and(|time| is_made_for(expected, time, context, now)) {
        return Err(Failure::Answer("iat is not now"));
    }
    let members = claims.get("token_introspection").and_then(Value::as_object);
    read_members(members.ok_or(Failure::Answer("no token_introspection"))?, context)
}

/// `typ` as a media type (RFC 7515 section 4.1.9).
fn is_introspection_type(typ: &str) -> bool {
    typ.eq_ignore_ascii_case(SIGNED) || typ.eq_ignore_ascii_case("token-introspection+jwt")
}

/// Whether an answer of that `iat` was made after its request, as clocks go: one made before
/// may say what holds no longer. `iat` is mostly in whole seconds.
fn is_made_for(
    expected: &Expected<'_>,
    issued_at: SystemTime,
    context: &AnswerContext<'_>,
    now: SystemTime,
) -> bool {
    let leeway = context.clock_skew.saturating_add(Duration::from_secs(1));
    issued_at.checked_add(leeway).is_some_and(|latest| latest >= expected.asked_at)
        && now.checked_add(context.clock_skew).is_some_and(|latest| latest >= issued_at)
}

/// Reads the members of RFC 7662 section 2.2.
fn read_members(members: &Object<'_>, context: &AnswerContext<'_>) -> Result<Verdict, Failure> {
    match members.get("active") {
        Some(Value::Bool(true)) => {}
        Some(Value::Bool(false)) => return Ok(Verdict::Inactive),
        _ => return Err(Failure::Answer("active is not a boolean")),
    }
    let statement = Statement::read(members, context.claims)?;
    let token = (context.read)(members).and_then(|token| {
        statement.check_type(&token.confirmation)?;
        Ok(Rc::new(Verified::vouched(token)))
    });
    Ok(Verdict::Active(Answer { token, statement }))
}

impl Statement {
    fn read(members: &Object<'_>, names: &ClaimNames) -> Result<Self, Failure> {
        let text = |name| match members.get(name) {
            None => Ok(None),
            Some(value) => text_of(value).map(|text| Some(text.to_owned())),
        };
        Ok(Statement {
            issuer: text("iss")?,
            subjects: texts(&names.subject, members)?,
            clients: texts(&names.client, members)?,
            scopes: scopes(&names.scopes, members)?,
            audiences: audiences(members)?,
            expires_at: members
                .get("exp")
                .map(|exp| date(exp).ok_or(Failure::Answer("exp is not a date")))
                .transpose()?,
            confirmation: members.get("cnf").map(confirmation).transpose()?,
            token_type: text("token_type")?,
        })
    }

    /// Whether the answer can be about this token.
    fn check(&self, token: &AccessToken) -> Result<(), TokenError> {
        let names = |list: &[String], text| list.is_empty() || list.contains(text);
        if self.issuer.as_ref().is_some_and(|issuer| *issuer != token.issuer_url) {
            return Err(TokenError::BadClaim("iss"));
        }
        if !names(&self.subjects, &token.subject) {
            return Err(TokenError::BadClaim("sub"));
        }
        if !names(&self.clients, &token.client_id) {
            return Err(TokenError::BadClaim("client_id"));
        }
        if self.confirmation.is_some_and(|confirmation| confirmation != token.confirmation) {
            return Err(TokenError::BadClaim("cnf"));
        }
        self.check_type(&token.confirmation)
    }

    /// `token_type` is `DPoP` exactly if the token is bound to a DPoP key (RFC 9449
    /// section 6.2). Of other types there are no access tokens that we know how to take.
    fn check_type(&self, confirmation: &Confirmation) -> Result<(), TokenError> {
        let Some(token_type) = &self.token_type else { return Ok(()) };
        let expected = if confirmation.key.is_some() { "DPoP" } else { "Bearer" };
        if token_type.eq_ignore_ascii_case(expected) {
            Ok(())
        } else {
            Err(TokenError::BadClaim("token_type"))
        }
    }
}

fn text_of<'v>(value: &'v Value<'_>) -> Result<&'v str, Failure> {
    value
        .as_str()
        .filter(|text| !text.is_empty() && text.len() <= MAX_TEXT)
        .ok_or(Failure::Answer("a member is not a usable text"))
}

/// The texts that the paths lead to.
fn texts(paths: &[ClaimPath], members: &Object<'_>) -> Result<Vec<String>, Failure> {
    paths
        .iter()
        .flat_map(|path| path.resolve(members))
        .map(|value| text_of(value).map(str::to_owned))
        .collect()
}

/// The scopes that the paths lead to, in space-separated texts and in arrays; `None` when
/// they lead to none at all.
fn scopes(paths: &[ClaimPath], members: &Object<'_>) -> Result<Option<BTreeSet<String>>, Failure> {
    let bad = Failure::Answer("scope is not usable");
    let found: Vec<_> = paths.iter().flat_map(|path| path.resolve(members)).collect();
    if found.is_empty() {
        return Ok(None);
    }
    let scopes: Option<Vec<&str>> =
        found.into_iter().flat_map(|value| members_of(Some(value))).map(Value::as_str).collect();
    let scopes = scopes.ok_or(bad)?;
    let length = scopes.iter().fold(0_usize, |sum, scope| sum.saturating_add(scope.len()));
    if length > MAX_LIST {
        return Err(bad);
    }
    let scopes = scopes.iter().flat_map(|scope| scope.split(' ')).filter(|scope| !scope.is_empty());
    Ok(Some(scopes.map(str::to_owned).collect()))
}

fn audiences(members: &Object<'_>) -> Result<Option<BTreeSet<String>>, Failure> {
    let bad = Failure::Answer("aud is not usable");
    let Some(audience) = members.get("aud") else { return Ok(None) };
    let audiences: Option<Vec<&str>> = members_of(Some(audience)).map(Value::as_str).collect();
    let audiences = audiences.ok_or(bad)?;
    let length = audiences.iter().fold(0_usize, |sum, audience| sum.saturating_add(audience.len()));
    if length > MAX_LIST {
        return Err(bad);
    }
    Ok(Some(audiences.into_iter().map(str::to_owned).collect()))
}

/// The members of an array, or the value itself.
fn members_of<'v, 'a>(value: Option<&'v Value<'a>>) -> impl Iterator<Item = &'v Value<'a>> {
    match value {
        Some(Value::Array(members)) => members.as_slice(),
        Some(value) => std::slice::from_ref(value),
        None => &[],
    }
    .iter()
}

/// `NumericDate` (RFC 7519 section 2), a fraction of a second dropped.
fn date(value: &Value<'_>) -> Option<SystemTime> {
    let Value::Number(number) = value else { return None };
    let seconds = number.as_u64().or_else(|| {
        Duration::try_from_secs_f64(number.as_f64()?).ok().map(|date| date.as_secs())
    })?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// `cnf` (RFC 8705 section 3.2, RFC 9449 section 6.2). One with a member that we do not know
/// is no use.
fn confirmation(cnf: &Value<'_>) -> Result<Confirmation, Failure> {
    let bad = Failure::Answer("cnf is not usable");
    let members = cnf.as_object().filter(|members| !members.is_empty()).ok_or(bad)?;
    let mut confirmation = Confirmation::default();
    for (name, value) in members.iter() {
        let text = value.as_str().ok_or(bad)?;
        match name {
            "jkt" => confirmation.key = Some(Thumbprint::parse(text).ok_or(bad)?),
            "x5t#S256" => {
                confirmation.certificate = Some(CertificateDigest::parse(text).ok_or(bad)?);
            }
            _ => return Err(bad),
        }
    }
    Ok(confirmation)
}
