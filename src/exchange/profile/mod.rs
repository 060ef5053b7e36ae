//! What each profile asks of authorization servers, and what it takes for an answer. Pure: a
//! request out of a wish, a credential out of an answer.

mod answer;
mod client_credentials;
mod form;
mod identity_chaining;
mod judgement;
mod on_behalf_of;
#[cfg(test)]
mod tests;
mod token_exchange;
mod token_vault;
mod width;

use std::time::SystemTime;

use super::wish::{Assertion, Gained, Wish};
use super::{ActorToken, Credential, ExchangeError, Flaw, Profile, TokenExchange, Wanted};
use crate::host::{Callout, CalloutAnswer, Host, HostError};

/// One request on the way to a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// For our own token, which is then the `actor_token`. It is the same for all wishes.
    Actor,
    /// The exchange. With identity chaining what comes of it is an assertion.
    Exchange,
    /// The second authorization server is shown the assertion.
    Redeem,
}

/// What a request brought.
pub(super) enum Gain {
    /// The credential.
    Credential(Credential),
    /// The assertion for the second authorization server.
    Assertion(Assertion),
}

/// What the answer to a wish depends on besides its exchange and scopes: two wishes that have
/// all of it in common get the same credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DependsOn {
    /// The caller's token. Our own token is the same whoever calls.
    pub(super) subject: bool,
    /// The JWT-SVID.
    pub(super) jwt_svid: bool,
    /// The agent's token.
    pub(super) agent_token: bool,
}

impl Profile {
    /// Whether what is wanted can be asked for at all.
    ///
    /// # Errors
    /// [`ExchangeError::NoUser`], [`ExchangeError::NoActor`].
    pub(super) fn check(&self, wanted: &Wanted<'_>) -> Result<(), ExchangeError> {
        match self {
            Profile::TokenExchange(profile) => profile.check(wanted),
            Profile::OnBehalfOf(profile) => profile.check(wanted),
            Profile::TokenVault(profile) => profile.check(wanted),
            Profile::IdentityChaining(_) | Profile::ClientCredentials(_) | Profile::Injected => {
                Ok(())
            }
        }
    }

    /// What its answers depend on.
    pub(super) fn depends_on(&self) -> DependsOn {
        let on_subject = |subject| DependsOn { subject, jwt_svid: false, agent_token: false };
        match self {
            Profile::TokenExchange(profile) => profile.depends_on(),
            Profile::OnBehalfOf(_) | Profile::TokenVault(_) | Profile::IdentityChaining(_) => {
                on_subject(true)
            }
            Profile::ClientCredentials(_) | Profile::Injected => on_subject(false),
        }
    }

    /// Whether our own token has to be had first ([`Step::Actor`]).
    pub(super) fn needs_own_actor(&self) -> bool {
        let own = |profile: &TokenExchange| matches!(profile.actor, Some(ActorToken::Own { .. }));
        matches!(self, Profile::TokenExchange(profile) if own(profile))
    }

    /// Whether the exchange brings an assertion, which is redeemed at another authorization
    /// server ([`Step::Redeem`]).
    pub(super) fn redeems(&self) -> bool {
        matches!(self, Profile::IdentityChaining(_))
    }

    /// The request of a step.
    ///
    /// # Errors
    /// [`HostError`] when the client assertion could not be made, or when this is not a step of
    /// the profile, or before what it takes was gained.
    pub(super) fn request(
        &self,
        step: Step,
        wish: &Wish,
        gained: &Gained,
        host: &dyn Host,
    ) -> Result<Callout, HostError> {
        match (self, step) {
            (Profile::TokenExchange(profile), Step::Actor) => profile.request_actor(host),
            (Profile::TokenExchange(profile), Step::Exchange) => {
                profile.request(wish, gained, host)
            }
            (Profile::OnBehalfOf(profile), Step::Exchange) => profile.request(wish, host),
            (Profile::TokenVault(profile), Step::Exchange) => profile.request(wish, host),
            (Profile::IdentityChaining(profile), Step::Exchange) => {
                profile.request_assertion(wish, host)
            }
            (Profile::IdentityChaining(profile), Step::Redeem) => {
                profile.request_token(gained, host)
            }
            (Profile::ClientCredentials(profile), Step::Exchange) => profile.request(wish, host),
            _ => Err(HostError),
        }
    }

    /// Reads and judges the answer to a step, which was asked with what was gained before. That
    /// to [`Step::Actor`] is a credential too.
    ///
    /// # Errors
    /// [`ExchangeError`].
    pub(super) fn read(
        &self,
        step: Step,
        wish: &Wish,
        gained: &Gained,
        answer: &CalloutAnswer,
        now: SystemTime,
    ) -> Result<Gain, ExchangeError> {
        match (self, step) {
            (Profile::TokenExchange(profile), Step::Actor) => profile.read_actor(answer, now),
            (Profile::TokenExchange(profile), Step::Exchange) => profile.read(wish, answer, now),
            (Profile::OnBehalfOf(profile), Step::Exchange) => profile.read(wish, answer, now),
            (Profile::TokenVault(profile), Step::Exchange) => profile.read(wish, answer, now),
            (Profile::IdentityChaining(profile), Step::Exchange) => {
                profile.read_assertion(wish, answer, now)
            }
            (Profile::IdentityChaining(profile), Step::Redeem) => {
                profile.read_token(wish, gained, answer, now)
            }
            (Profile::ClientCredentials(profile), Step::Exchange) => {
                profile.read(wish, answer, now)
            }
            // Nothing was asked, so nothing is an answer.
            _ => Err(ExchangeError::Unusable(Flaw::Malformed)),
        }
    }
}
