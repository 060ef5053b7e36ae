//! What each profile asks of authorization servers, and what it takes for an answer. Pure: a
//! request out of a wish, a credential out of an answer.

use std::time::SystemTime;

use super::wish::{Gained, Wish};
use super::{Credential, ExchangeError, Profile, Wanted};
use crate::host::{Callout, CalloutAnswer, Host, HostError};
use crate::token::Secret;

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
    Assertion(Secret),
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
    pub(super) fn check(&self, _wanted: &Wanted<'_>) -> Result<(), ExchangeError> {
        Ok(())
    }

    /// What its answers depend on.
    pub(super) fn depends_on(&self) -> DependsOn {
        DependsOn { subject: true, jwt_svid: false, agent_token: false }
    }

    /// Whether our own token has to be had first ([`Step::Actor`]).
    pub(super) fn needs_own_actor(&self) -> bool {
        false
    }

    /// The request of a step.
    ///
    /// # Errors
    /// [`HostError`] when the client assertion could not be made.
    pub(super) fn request(
        &self,
        _step: Step,
        _wish: &Wish,
        _gained: &Gained,
        _host: &dyn Host,
    ) -> Result<Callout, HostError> {
        Err(HostError)
    }

    /// Reads and judges the answer to a step. That to [`Step::Actor`] is a credential too.
    ///
    /// # Errors
    /// [`ExchangeError`].
    pub(super) fn read(
        &self,
        _step: Step,
        _wish: &Wish,
        _answer: &CalloutAnswer,
        _now: SystemTime,
    ) -> Result<Gain, ExchangeError> {
        Err(ExchangeError::RequestRejected)
    }
}
