//! Who acts for whom: `act` and `may_act` (RFC 8693 sections 4.1 and 4.4).

use crate::json::{Object, Value};

use super::claims;
use super::error::TokenError;

/// Most actors of a token. Chains are as long as a call passes agents, a handful; the reader
/// of JSON stops at 64 levels in any case.
pub const MAX_ACTORS: usize = 16;

/// Most text of a chain, in bytes: half of what a token can hold, and a bound on what
/// introspection can make us remember.
const MAX_CHAIN_TEXT: usize = 8 * 1024;

const ACT: &str = "act";

const MAY_ACT: &str = "may_act";

/// A party of `act` or `may_act`. At least one of `subject` and `client_id` is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Actor {
    /// `iss`, where it is not the token's.
    pub issuer: Option<String>,
    /// `sub`
    pub subject: Option<String>,
    /// `client_id`
    pub client_id: Option<String>,
}

impl Actor {
    /// Whether it is a party of this issuer, whose token names it: where it has no `iss`, its
    /// `sub` and `client_id` are the issuer's own.
    #[must_use]
    pub fn is_of(&self, issuer_url: &str) -> bool {
        self.issuer.as_deref().is_none_or(|issuer| issuer == issuer_url)
    }

    /// The party as a token of that issuer has it: an `iss` that is the token's says nothing.
    pub(super) fn within(mut self, issuer: &str) -> Self {
        self.issuer = self.issuer.filter(|own| own != issuer);
        self
    }

    fn text(&self) -> usize {
        [&self.issuer, &self.subject, &self.client_id].into_iter().flatten().map(String::len).sum()
    }
}

/// `act`: the current actor, then those before it, each with its own `iss` if it has one.
///
/// # Errors
/// [`TokenError::BadClaim`] for anything but objects that name a party, and for too much text;
/// [`TokenError::Malformed`] for more than [`MAX_ACTORS`].
pub(super) fn chain(claims: &Object<'_>) -> Result<Vec<Actor>, TokenError> {
    let mut actors = Vec::new();
    let mut text: usize = 0;
    let mut next = claims.get(ACT);
    while let Some(value) = next {
        if actors.len() == MAX_ACTORS {
            return Err(TokenError::Malformed("too many actors"));
        }
        let mut actor = party(value, ACT)?;
        text = text.saturating_add(actor.text());
        // Who is named by another issuer's actor is that issuer's, unless it says otherwise.
        let named_by = actors.last().and_then(|actor: &Actor| actor.issuer.as_ref());
        actor.issuer = actor.issuer.or_else(|| named_by.cloned());
        actors.push(actor);
        next = value.as_object().and_then(|members| members.get(ACT));
    }
    if text > MAX_CHAIN_TEXT { Err(TokenError::BadClaim(ACT)) } else { Ok(actors) }
}

/// `may_act`: the party that may become the current actor, with its own `iss` if it has one.
///
/// # Errors
/// [`TokenError::BadClaim`] for anything but an object that names a party.
pub(super) fn authorized(claims: &Object<'_>) -> Result<Option<Actor>, TokenError> {
    claims.get(MAY_ACT).map(|value| party(value, MAY_ACT)).transpose()
}

/// What identifies a party. Its other members mean nothing here (RFC 8693 section 4.1).
fn party(value: &Value<'_>, name: &'static str) -> Result<Actor, TokenError> {
    let bad = TokenError::BadClaim(name);
    let members = value.as_object().ok_or(bad)?;
    let string = |member| claims::string(members, member).map_err(|_| bad);
    let party =
        Actor { issuer: string("iss")?, subject: string("sub")?, client_id: string("client_id")? };
    if party.subject.is_none() && party.client_id.is_none() { Err(bad) } else { Ok(party) }
}
