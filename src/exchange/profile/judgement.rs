//! Whether an issued token is the one that was asked for.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::answer::{TokenResponse, TokenUse};
use super::width::Width;
use crate::exchange::wish::Wish;
use crate::exchange::{BoundTokens, Credential, Expected, Flaw, Format, Scheme, TokenType};
use crate::token::{IssuedJwt, is_other_kind};

/// How long a token is used of which nobody says when it ends.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// Longest that one is used. Nothing is remembered for longer, whatever an answer says.
const MAX_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// How far the clock of an authorization server may be ahead of ours, for `nbf`.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// What is asked of a token, and of what is said of it.
pub(super) struct Demands<'d> {
    /// Of its kind.
    pub(super) kind: Kind,
    /// Of its form, and of what it is bound to.
    pub(super) expected: &'d Expected,
    /// Of what it grants.
    pub(super) width: Width<'d>,
    /// Who the current actor is, any of these, where the exchange says it and
    /// [`Expected`] does not.
    pub(super) actors: Option<Vec<Party<'d>>>,
    /// Whether its subject is the caller's, where both are of one issuer.
    pub(super) same_subject: bool,
}

/// A party that may be the current actor (RFC 8693 section 4.1).
#[derive(Debug, Clone, Copy)]
pub(super) struct Party<'d> {
    /// Its `sub` or `client_id`.
    pub(super) name: &'d str,
    /// Who else calls it so besides the token's issuer. `None`: everybody.
    pub(super) issuer: Option<&'d str>,
}

/// Which `issued_token_type` is taken (RFC 8693 section 2.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// This one.
    Exactly(TokenType),
    /// That of an access token, of any form.
    AccessToken,
    /// The same, or none: the answer is not one of RFC 8693.
    AccessTokenIfSaid,
    /// This one, or none.
    IfSaid(&'static str),
}

/// The token as a credential of that caller; of `None` where it is the same for all of them.
///
/// # Errors
/// [`Flaw`]
pub(super) fn judge(
    response: TokenResponse,
    demands: &Demands<'_>,
    caller: Option<&Wish>,
    now: SystemTime,
) -> Result<Credential, Flaw> {
    let text = response.token.reveal();
    caller.map_or(Ok(()), |wish| refuse_own(text, wish))?;
    demands.kind.check(response.issued_token_type.as_deref())?;
    let scheme = scheme(response.token_type, demands.expected.bound)?;
    let jwt = match &demands.expected.format {
        Format::Jwt { audiences, actors } => {
            let jwt = IssuedJwt::read(text).map_err(|_| Flaw::NotJwt)?;
            check_jwt(&jwt, audiences, demands, caller)?;
            let configured = actors.as_deref().map(anywhere);
            check_actor(&jwt, configured.as_ref().or(demands.actors.as_ref()))?;
            Some(jwt)
        }
        Format::Opaque => None,
    };
    let carried = jwt.as_ref().and_then(|jwt| jwt.scopes.as_ref());
    let granted = demands.width.granted(&response, carried)?;
    let expires_at = expiry(response.expires_in, jwt.as_ref(), now)?;
    let token_id = jwt.as_ref().and_then(|jwt| jwt.token_id.as_ref());
    let id = token_id.map_or_else(|| Sha256::digest(text).into(), |id| *id.sha256());
    Ok(Credential { scheme, granted, expires_at, id, token: response.token })
}

/// Refuses what came with the request: none of it goes on, not even as a part of another token or
/// of what a segment of it says (RFC 7515 section 3.1).
///
/// # Errors
/// [`Flaw::Unchanged`]
pub(super) fn refuse_own(token: &str, wish: &Wish) -> Result<(), Flaw> {
    let svid = wish.jwt_svid.as_ref().map(|(token, _)| token);
    let own = [Some(&wish.token), svid, wish.agent_token.as_ref()];
    let decoded = token
        .split('.')
        .filter_map(|segment| String::from_utf8(URL_SAFE_NO_PAD.decode(segment).ok()?).ok());
    let texts: Vec<String> = decoded.chain([token.to_owned()]).collect();
    let has = |own: &str| !own.is_empty() && texts.iter().any(|text| text.contains(own));
    if own.into_iter().flatten().any(|own| has(own.reveal())) {
        return Err(Flaw::Unchanged);
    }
    Ok(())
}

/// When a token ends that is good now: what the answer says, or the token, whatever is sooner.
///
/// # Errors
/// [`Flaw::Expired`]
pub(super) fn expiry(
    expires_in: Option<Duration>,
    jwt: Option<&IssuedJwt>,
    now: SystemTime,
) -> Result<SystemTime, Flaw> {
    let after = |lifetime: Duration| now.checked_add(lifetime).ok_or(Flaw::Expired);
    let answered = expires_in.map(|lifetime| after(lifetime.min(MAX_LIFETIME))).transpose()?;
    let earliest = [answered, jwt.and_then(|jwt| jwt.expires_at)].into_iter().flatten().min();
    let expires_at =
        earliest.map_or_else(|| after(DEFAULT_LIFETIME), Ok)?.min(after(MAX_LIFETIME)?);
    let begins = jwt
        .and_then(|jwt| jwt.not_before)
        .is_none_or(|date| now.checked_add(CLOCK_SKEW).is_some_and(|latest| latest >= date));
    if expires_at > now && begins { Ok(expires_at) } else { Err(Flaw::Expired) }
}

impl Kind {
    /// # Errors
    /// [`Flaw::IssuedTokenType`]
    pub(super) fn check(self, issued: Option<&str>) -> Result<(), Flaw> {
        let is_access_token = |issued: &str| {
            [TokenType::AccessToken, TokenType::Jwt].iter().any(|kind| kind.as_str() == issued)
        };
        let fits = match self {
            Kind::Exactly(kind) => issued == Some(kind.as_str()),
            Kind::AccessToken => issued.is_some_and(is_access_token),
            Kind::AccessTokenIfSaid => issued.is_none_or(is_access_token),
            Kind::IfSaid(kind) => issued.is_none_or(|issued| issued == kind),
        };
        if fits { Ok(()) } else { Err(Flaw::IssuedTokenType) }
    }
}

fn scheme(token_type: TokenUse, bound: BoundTokens) -> Result<Scheme, Flaw> {
    match (token_type, bound) {
        (TokenUse::Bearer, _) => Ok(Scheme::Bearer),
        (TokenUse::Dpop, BoundTokens::Forward) => Ok(Scheme::Dpop),
        (TokenUse::Dpop, BoundTokens::Refuse) => Err(Flaw::Bound),
        (TokenUse::NotApplicable | TokenUse::Other, _) => Err(Flaw::TokenType),
    }
}

fn check_jwt(
    jwt: &IssuedJwt,
    audiences: &[String],
    demands: &Demands<'_>,
    caller: Option<&Wish>,
) -> Result<(), Flaw> {
    if jwt.media_type.as_deref().is_some_and(is_other_kind) {
        return Err(Flaw::IssuedTokenType);
    }
    if jwt.is_bound && demands.expected.bound == BoundTokens::Refuse {
        return Err(Flaw::Bound);
    }
    if !jwt.audiences.iter().any(|audience| audiences.contains(audience)) {
        return Err(Flaw::Audience);
    }
    let Some(wish) = caller else { return Ok(()) };
    // Who does not name its issuer may be the caller's (RFC 9068 section 2.2 requires it).
    let is_of_issuer = jwt.issuer.as_ref().is_none_or(|issuer| *issuer == wish.claims.issuer_url);
    if demands.same_subject && is_of_issuer && jwt.subject != subject(wish) {
        return Err(Flaw::Subject);
    }
    Ok(())
}

/// `sub` of the caller's token: what is configured to be its subject may be another claim. Of an
/// opaque token there is only that.
fn subject(wish: &Wish) -> Option<String> {
    match IssuedJwt::read(wish.token.reveal()) {
        Ok(jwt) => jwt.subject,
        Err(_) => Some(wish.claims.subject.clone()),
    }
}

fn anywhere(names: &[String]) -> Vec<Party<'_>> {
    names.iter().map(|name| Party { name, issuer: None }).collect()
}

/// Prior actors are of no account (RFC 8693 section 4.1).
fn check_actor(jwt: &IssuedJwt, expected: Option<&Vec<Party<'_>>>) -> Result<(), Flaw> {
    let Some(expected) = expected else { return Ok(()) };
    let actor = jwt.actor.as_ref().ok_or(Flaw::Actor)?;
    let names = [&actor.subject, &actor.client_id];
    let is = |party: &Party<'_>| {
        let is_named = names.into_iter().flatten().any(|name| name == party.name);
        let is_there = |issuer| actor.issuer.as_deref() == Some(issuer);
        let is_its_own = actor.issuer.is_none() || actor.issuer == jwt.issuer;
        is_named && (is_its_own || party.issuer.is_none_or(is_there))
    };
    if expected.iter().any(is) { Ok(()) } else { Err(Flaw::Actor) }
}
