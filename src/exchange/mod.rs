//! Exchanges: the caller's token stops here, and a credential made for the MCP server goes on.
//!
//! # What is exchanged
//! A [`Profile`] says how a credential is had: by token exchange (RFC 8693), on behalf of the
//! user at Microsoft Entra ID, out of Auth0's Token Vault, by chaining identities over two
//! authorization servers, or by our own client credentials. Policy says which exchange an
//! operation takes and for which scopes; this module asks for exactly these, judges the
//! answer, and remembers it.
//!
//! # One at a time
//! A request to an authorization server is an [`Errand`]: it is started by a tick or by the
//! answer to another, never by a stream, since what a stream starts dies with the stream. All
//! who want the same credential share one errand, and its answer is kept for those who come
//! later, whether anybody still waits for it or not. What is the same is told by a digest over
//! everything the answer depends on; tokens are in no key.
//!
//! # What is believed
//! An answer is refused unless it is what was asked for: a token of the kind, for the audience
//! and with no more scopes than asked for, that names the actor and is not bound to a key that
//! nobody here has. See [`Flaw`].
//!
//! # How long it lasts
//! A credential serves until shortly before its end, and is asked for anew by one errand before
//! that, while it still serves. A refusal is remembered for seconds, so that who mends it is not
//! refused for what is done. Servers that fail in a row are not asked for a while; then one
//! errand tries. What is remembered serves meanwhile.
//!
//! # Whose fault it is
//! [`ExchangeError`] keeps apart what the caller can mend (its token is no longer good, its user
//! has to do something), what it may not have (scopes, a target), what the operator has to mend
//! (our own client, the endpoint's configuration), and what mends itself (outages).

mod circuit;
mod credential;
mod error;
mod key;
mod live;
mod memory;
mod profile;
mod protocol;
mod queue;
#[cfg(test)]
mod scripted;
mod settings;
#[cfg(test)]
mod tests;
mod wish;

use std::collections::BTreeSet;
use std::rc::Rc;

pub use credential::{Credential, Scheme};
pub use error::{ExchangeError, Flaw};
pub use settings::{
    ActorToken, BoundTokens, ClientCredentials, Exchange, Expected, Format, IdentityChaining,
    OnBehalfOf, Profile, Target, TokenEndpoint, TokenExchange, TokenType, TokenVault,
};

use crate::host::{CalloutAnswer, CalloutId, Host};
use crate::token::{AccessToken, SpiffeId, TokenDigest, Verified};
use live::LiveExchange;
use protocol::Protocol;
use queue::Numbers;

/// An exchange, by its place in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExchangeId(pub usize);

/// A request to an authorization server, under way or wanted. Errands are numbered in the order
/// in which they were wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Errand(u64);

/// What a request to an MCP server needs.
#[derive(Clone, Copy)]
pub struct Wanted<'w> {
    /// By which exchange.
    pub exchange: ExchangeId,
    /// Scopes to ask for. None leaves them to the authorization server, which may then grant
    /// what the caller's token has and no more.
    pub scopes: &'w BTreeSet<String>,
    /// For whom.
    pub subject: Subject<'w>,
}

/// Whose request it is. Has no `Debug`, so that no token is written by accident.
#[derive(Clone, Copy)]
pub struct Subject<'w> {
    /// The caller's token.
    pub token: &'w str,
    /// Its digest.
    pub digest: &'w TokenDigest,
    /// What it says.
    pub claims: &'w Rc<Verified<AccessToken>>,
    /// Changes whenever anything does by which the token was judged: see
    /// [`Authenticator::epoch`](crate::token::Authenticator::epoch). What was made of a token
    /// before is then made anew.
    pub epoch: u64,
    /// The JWT-SVID by which the caller's workload proved itself, with what it proved.
    pub jwt_svid: Option<(&'w str, &'w SpiffeId)>,
    /// The token of the agent, as the request brought it beside the caller's. Not verified: the
    /// authorization server does.
    pub agent_token: Option<&'w str>,
}

/// What became of a wish.
#[derive(Debug)]
pub enum Outcome {
    /// Here it is.
    Ready(Rc<Credential>, Origin),
    /// It is asked for. Come again when this has settled, with it.
    Waits(Errand),
    /// It cannot be had.
    Refused(ExchangeError),
}

/// Where a credential came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was asked for on behalf of this request, or of another that came at the same time.
    Exchanged,
    /// It was there.
    Cached,
}

/// The exchanges of one worker.
#[derive(Debug, Default)]
pub struct Exchanger {
    exchanges: Vec<LiveExchange>,
    #[cfg(test)]
    script: Option<scripted::Script>,
}

impl Exchanger {
    /// One that has asked for nothing yet.
    #[must_use]
    pub fn new(exchanges: Vec<Exchange>) -> Self {
        let protocol = |profile| -> Box<dyn Protocol> { Box::new(profile) };
        Exchanger::speaking(
            exchanges.into_iter().map(|Exchange { name, profile }| (name, protocol(profile))),
        )
    }

    fn speaking(exchanges: impl ExactSizeIterator<Item = (Rc<str>, Box<dyn Protocol>)>) -> Self {
        let count = exchanges.len();
        let numbers = Numbers::default();
        let live = |(place, (name, protocol))| {
            LiveExchange::new(ExchangeId(place), name, protocol, numbers.clone(), count)
        };
        Exchanger {
            exchanges: exchanges.enumerate().map(live).collect(),
            #[cfg(test)]
            script: None,
        }
    }

    /// The credential that is wanted. `waited` is the errand that the same request has waited
    /// for before, if it has: its answer is then taken, whatever it is, and there is no second
    /// wait.
    pub fn obtain(
        &mut self,
        wanted: &Wanted<'_>,
        waited: Option<Errand>,
        host: &dyn Host,
    ) -> Outcome {
        #[cfg(test)]
        if let Some(script) = &mut self.script {
            return script.answer(wanted, waited);
        }
        let ExchangeId(place) = wanted.exchange;
        let Some(exchange) = self.exchanges.get_mut(place) else {
            let reason = "the exchange is not configured";
            return Outcome::Refused(ExchangeError::Unavailable { reason, retry_after: None });
        };
        exchange.obtain(wanted, waited, host)
    }

    /// Starts what is wanted. Returns what has settled without an answer: wake who waits for it.
    #[must_use = "requests may wait for these"]
    pub fn on_tick(&mut self, host: &dyn Host) -> Vec<Errand> {
        self.exchanges.iter_mut().flat_map(|exchange| exchange.on_tick(host)).collect()
    }

    /// Takes the answer of a callout. Returns what has settled by it; `None` when the callout is
    /// not one of ours, or was given up before.
    #[must_use = "requests may wait for these"]
    pub fn on_callout(
        &mut self,
        id: CalloutId,
        answer: &CalloutAnswer,
        host: &dyn Host,
    ) -> Option<Vec<Errand>> {
        self.exchanges.iter_mut().find_map(|exchange| exchange.on_callout(id, answer, host))
    }

    /// A credential of that exchange is of no use: an MCP server did not take it, or it lacks what
    /// an operation cannot do without. Who wants it next has it made anew, unless it is new.
    pub fn not_taken(
        &mut self,
        exchange: ExchangeId,
        credential: &Rc<Credential>,
        host: &dyn Host,
    ) {
        let ExchangeId(place) = exchange;
        if let Some(exchange) = self.exchanges.get_mut(place) {
            exchange.not_taken(credential, host);
        }
    }

    /// Its configuration is replaced: what it counted of itself in metrics is taken back.
    pub fn retire(&mut self, host: &dyn Host) {
        self.exchanges.iter_mut().for_each(|exchange| exchange.retire(host));
    }
}
