//! Auth0 (Token Vault, "Access token exchange"): a third party's token of the user, who has
//! linked an account there.

use std::rc::Rc;
use std::time::SystemTime;

use super::Gain;
use super::answer::{self, Grant};
use super::form::Form;
use super::judgement::{Demands, Kind, judge};
use super::width::Width;
use crate::exchange::wish::Wish;
use crate::exchange::{
    BoundTokens, ExchangeError, Expected, Format, TokenType, TokenVault, Wanted,
};
use crate::host::{Callout, CalloutAnswer, Host, HostError};
use crate::token::SubjectKind;

/// Auth0's own `grant_type`.
const FEDERATED_CONNECTION: &str =
    "urn:auth0:params:oauth:grant-type:token-exchange:federated-connection-access-token";

/// Auth0's own `requested_token_type`.
const FEDERATED_TOKEN: &str = "http://auth0.com/oauth/token-type/federated-connection-access-token";

/// `error` where the vault has no token of the user's for the connection, mostly with status 401,
/// or none that is still good: the account has to be linked, or linked again.
const NOT_LINKED: [&str; 3] = [
    "federated_connection_refresh_token_not_found",
    "federated_connection_refresh_token_flow_failed",
    "tokenset_not_found",
];

impl TokenVault {
    /// Accounts are linked by users only.
    pub(super) fn check(&self, wanted: &Wanted<'_>) -> Result<(), ExchangeError> {
        match wanted.subject.claims.kind {
            SubjectKind::User => Ok(()),
            SubjectKind::Workload => Err(ExchangeError::NoUser),
        }
    }

    pub(super) fn request(&self, wish: &Wish, host: &dyn Host) -> Result<Callout, HostError> {
        Form::new(FEDERATED_CONNECTION)
            .with_subject(wish.token.reveal(), TokenType::AccessToken)
            .with("requested_token_type", FEDERATED_TOKEN)
            .with("connection", &self.connection)
            .post(&self.endpoint, host)
    }

    pub(super) fn read(
        &self,
        wish: &Wish,
        answer: &CalloutAnswer,
        now: SystemTime,
    ) -> Result<Gain, ExchangeError> {
        if answer::error_code(answer).is_some_and(|code| NOT_LINKED.contains(&code.as_str())) {
            let (connection, link_uri) = (Rc::clone(&self.connection), self.link_uri.clone());
            return Err(ExchangeError::NotLinked { connection, link_uri });
        }
        let demands = Demands {
            kind: Kind::IfSaid(FEDERATED_TOKEN),
            expected: &Expected { format: Format::Opaque, bound: BoundTokens::Refuse },
            width: Width::Unknown,
            actors: None,
            same_subject: false,
        };
        let response = answer::read(answer, Grant::Subject)?;
        judge(response, &demands, Some(wish), now)
            .map(Gain::Credential)
            .map_err(ExchangeError::Unusable)
    }
}
