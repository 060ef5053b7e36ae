//! Our own token (RFC 6749 section 4.4): for the MCP server, or as the actor of an exchange.

use std::collections::BTreeSet;
use std::time::SystemTime;

use super::Gain;
use super::answer::{self, Grant};
use super::form::Form;
use super::judgement::{Demands, Kind, judge};
use super::width::Width;
use crate::exchange::wish::Wish;
use crate::exchange::{ClientCredentials, ExchangeError, Expected, Target, TokenEndpoint};
use crate::host::{Callout, CalloutAnswer, Host, HostError};

/// `grant_type` of RFC 6749 section 4.4.2.
const CLIENT_CREDENTIALS: &str = "client_credentials";

/// The request.
///
/// # Errors
/// [`HostError`] when the client assertion could not be made.
pub(super) fn request<'s>(
    endpoint: &TokenEndpoint,
    target: &'s Target,
    scopes: impl IntoIterator<Item = &'s String>,
    host: &dyn Host,
) -> Result<Callout, HostError> {
    Form::new(CLIENT_CREDENTIALS).with_target(target).with_scopes(scopes).post(endpoint, host)
}

/// The token. It has no subject but us: nothing of the caller's is in it.
///
/// # Errors
/// [`ExchangeError`]
pub(super) fn read(
    expected: &Expected,
    asked: &BTreeSet<String>,
    answer: &CalloutAnswer,
    now: SystemTime,
) -> Result<Gain, ExchangeError> {
    let demands = Demands {
        kind: Kind::AccessTokenIfSaid,
        expected,
        width: Width::asked(asked, None),
        actors: None,
        same_subject: false,
    };
    let response = answer::read(answer, Grant::Client)?;
    judge(response, &demands, None, now).map(Gain::Credential).map_err(ExchangeError::Unusable)
}

impl ClientCredentials {
    pub(super) fn request(&self, wish: &Wish, host: &dyn Host) -> Result<Callout, HostError> {
        request(&self.endpoint, &self.target, &wish.scopes, host)
    }

    pub(super) fn read(
        &self,
        wish: &Wish,
        answer: &CalloutAnswer,
        now: SystemTime,
    ) -> Result<Gain, ExchangeError> {
        read(&self.expected, &wish.scopes, answer, now)
    }
}
