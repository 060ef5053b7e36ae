//! What an issuer answers about a token (RFC 7662 section 2.2, RFC 9701 section 5).

use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use crate::host::{CalloutAnswer, Host};
use crate::json::{self, Object, Value};
use crate::token::{
    AccessToken, Actor, AgentClaims, ClaimNames, ClaimPath, Confirmation, Consent, ContextClaims,
    Jws, KeySet, Segments, SubjectKind, TokenError, Unverified, Verified, actors, claims,
    subject_kind,
};

/// Media type of plain answers.
pub(super) const PLAIN: &str = "application/json";

/// Media type of signed answers, and `typ` of their JWTs (RFC 9701 section 5).
pub(super) const SIGNED: &str = "application/token-introspection+jwt";

/// Longest answer that is read, in bytes: far beyond what an issuer says of one token. A
/// signed one is bounded as tokens are.
const MAX_ANSWER: usize = 256 * 1024;

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
    Active(Rc<Answer>),
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
    /// Its signature or one of its members cannot be used.
    Content(TokenError),
    /// The answer is signed with a key that we do not hold.
    UnknownKey,
}

/// The members of an answer that are held against a token, as far as there are any.
struct Statement {
    issuer: Option<String>,
    subject: Option<String>,
    client_id: Option<String>,
    kind: Option<SubjectKind>,
    tenant: Option<String>,
    session: Option<String>,
    acr: Option<String>,
    authenticated_at: Option<SystemTime>,
    /// Each with its own `iss` if it has one.
    actors: Option<Vec<Actor>>,
    /// Likewise.
    may_act: Option<Actor>,
    agent: AgentClaims,
    consent: Consent,
    context: ContextClaims,
    scopes: Option<BTreeSet<String>>,
    roles: Option<BTreeSet<String>>,
    groups: Option<BTreeSet<String>>,
    authentication_contexts: Option<BTreeSet<String>>,
    audiences: Option<Vec<String>>,
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
    /// audience, and no scope, role, group or authentication context that the answer does not
    /// have, and no longer than it says.
    ///
    /// # Errors
    /// [`TokenError::BadClaim`] names what the answer says otherwise than the token.
    pub(in crate::token) fn confirm(
        &self,
        token: &Rc<Verified<AccessToken>>,
    ) -> Result<Rc<Verified<AccessToken>>, TokenError> {
        self.statement.check(token)?;
        let held: &AccessToken = token;
        let confirmed = self.statement.narrow(held);
        if confirmed == *held {
            return Ok(Rc::clone(token));
        }
        token.read(|_| Ok(confirmed)).map(Rc::new)
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
            Failure::Answer(_) | Failure::Content(_) | Failure::UnknownKey => false,
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
            Failure::Content(error) => error.fmt(f),
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
    let jws = jws.verify(key, host).map_err(Failure::Content)?;
    let claims = jws.claims();
    if claims.get("iss").and_then(Value::as_str) != Some(expected.issuer) {
        return Err(Failure::Answer("iss is not the issuer"));
    }
    let audiences = claims::audiences(claims).map_err(Failure::Content)?;
    if !audiences.iter().any(|member| member == audience) {
        return Err(Failure::Answer("aud is not ours"));
    }
    let issued_at = claims::numeric_date(claims, "iat").map_err(Failure::Content)?;
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
    let statement = Statement::read(members, context.claims).map_err(Failure::Content)?;
    let token = (context.read)(members).and_then(|token| {
        statement.check_type(&token.confirmation)?;
        Ok(Rc::new(Verified::vouched(token)))
    });
    Ok(Verdict::Active(Rc::new(Answer { token, statement })))
}

impl Statement {
    fn read(members: &Object<'_>, names: &ClaimNames) -> Result<Self, TokenError> {
        let leads = |path: &ClaimPath| !path.resolve(members).is_empty();
        let says = |paths: &[ClaimPath]| paths.iter().any(leads);
        let strings = |paths: &[ClaimPath], name| {
            says(paths).then(|| claims::strings(members, paths, name)).transpose()
        };
        let has = |name| members.get(name).is_some();
        let client_id = claims::single(members, &names.client, "client_id")?;
        Ok(Statement {
            issuer: claims::string(members, "iss")?,
            subject: claims::single(members, &names.subject, "sub")?,
            kind: subject_kind::said(members, names, client_id.as_deref())?,
            client_id,
            tenant: claims::single(members, &names.tenant, "tid")?,
            session: claims::string(members, "sid")?,
            acr: claims::string(members, "acr")?,
            authenticated_at: claims::numeric_date(members, "auth_time")?,
            actors: has("act").then(|| actors::chain(members)).transpose()?,
            may_act: actors::authorized(members)?,
            agent: claims::agent(members, names)?,
            consent: Consent {
                servers: strings(&names.consented_servers, "consented_servers")?,
                agents: strings(&names.consented_agents, "consented_agents")?,
            },
            context: claims::context(members, names)?,
            scopes: says(&names.scopes)
                .then(|| claims::scopes(members, &names.scopes))
                .transpose()?,
            roles: strings(&names.roles, "roles")?,
            groups: strings(&names.groups, "groups")?,
            authentication_contexts: has("acrs")
                .then(|| claims::named_strings(members, "acrs"))
                .transpose()?,
            audiences: has("aud").then(|| claims::audiences(members)).transpose()?,
            expires_at: claims::numeric_date(members, "exp")?,
            confirmation: has("cnf").then(|| claims::confirmation(members)).transpose()?,
            token_type: claims::string(members, "token_type")?,
        })
    }

    /// Whether the answer can be about this token: who calls, through whom and within what
    /// never changes.
    fn check(&self, token: &AccessToken) -> Result<(), TokenError> {
        let within = |actor: &Actor| actor.clone().within(&token.issuer_url);
        let actors = self.actors.as_ref().map(|actors| actors.iter().map(within).collect());
        let may_act = self.may_act.as_ref().map(within);
        let (agent, consent, context) = (&self.agent, &self.consent, &self.context);
        let differences = [
            ("iss", differs(&self.issuer, Some(&token.issuer_url))),
            ("sub", differs(&self.subject, Some(&token.subject))),
            ("client_id", differs(&self.client_id, Some(&token.client_id))),
            ("cnf", differs(&self.confirmation, Some(&token.confirmation))),
            ("workload", differs(&self.kind, Some(&token.kind))),
            // What a token leaves out, its issuer may tell, and nobody asks for.
            ("tid", token.tenant.is_some() && differs(&self.tenant, token.tenant.as_ref())),
            ("sid", token.session.is_some() && differs(&self.session, token.session.as_ref())),
            ("acr", token.acr.is_some() && differs(&self.acr, token.acr.as_ref())),
            ("act", differs(&actors, Some(&token.actors))),
            ("may_act", differs(&may_act, token.may_act.as_ref())),
            ("agent", differs(&agent.id, token.agent.id.as_ref())),
            ("agent_instance", differs(&agent.instance, token.agent.instance.as_ref())),
            ("agent_version", differs(&agent.version, token.agent.version.as_ref())),
            ("consented_servers", differs(&consent.servers, token.consent.servers.as_ref())),
            ("consented_agents", differs(&consent.agents, token.consent.agents.as_ref())),
            ("session", differs(&context.session, token.context.session.as_ref())),
            ("task", differs(&context.task, token.context.task.as_ref())),
            ("instance", differs(&context.instance, token.context.instance.as_ref())),
        ];
        match differences.into_iter().find(|(_, differs)| *differs) {
            Some((name, _)) => Err(TokenError::BadClaim(name)),
            None => self.check_type(&token.confirmation),
        }
    }

    /// The token with no more than the answer says.
    fn narrow(&self, token: &AccessToken) -> AccessToken {
        let mut token = token.clone();
        for (held, said) in [
            (&mut token.scopes, &self.scopes),
            (&mut token.roles, &self.roles),
            (&mut token.groups, &self.groups),
            (&mut token.authentication_contexts, &self.authentication_contexts),
        ] {
            held.retain(|member| said.as_ref().is_none_or(|said| said.contains(member)));
        }
        let audiences = self.audiences.as_ref();
        token.audiences.retain(|member| audiences.is_none_or(|said| said.contains(member)));
        // The older of the two: who authenticated later than the token says, gets a new one.
        token.authenticated_at = match (token.authenticated_at, self.authenticated_at) {
            (Some(held), Some(said)) => Some(held.min(said)),
            (held, _) => held,
        };
        token.expires_at = self.expires_at.map_or(token.expires_at, |e| e.min(token.expires_at));
        token
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

/// Whether something is said, and not what is held.
fn differs<T: PartialEq>(said: &Option<T>, held: Option<&T>) -> bool {
    said.as_ref().is_some_and(|said| Some(said) != held)
}
