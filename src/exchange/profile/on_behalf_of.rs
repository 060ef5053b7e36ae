//! Microsoft Entra ID (Microsoft identity platform, "On-Behalf-Of flow").

use std::time::SystemTime;

use super::Gain;
use super::answer::{self, Grant};
use super::form::{Form, JWT_BEARER};
use super::judgement::{Demands, Kind, judge};
use super::width::Width;
use crate::exchange::wish::Wish;
use crate::exchange::{ExchangeError, OnBehalfOf, TokenEndpoint, Wanted};
use crate::host::{Callout, CalloutAnswer, Host, HostError};
use crate::token::{AccessToken, ClientAuthentication, SubjectKind};

/// What stands for the tenant of the caller's token.
const TENANT: &str = "{tid}";

/// Longest tenant that is put in a path, in bytes: a DNS name (RFC 1035 section 2.3.4). Tenants
/// are UUIDs or domains.
const MAX_TENANT: usize = 253;

impl OnBehalfOf {
    /// The flow is for users only ("Client limitations"): an application's own token would be
    /// exchanged for one that does not stand for it.
    pub(super) fn check(&self, wanted: &Wanted<'_>) -> Result<(), ExchangeError> {
        let caller = wanted.subject.claims;
        let is_user = caller.kind == SubjectKind::User;
        if is_user && self.endpoint_for(caller).is_some() {
            Ok(())
        } else {
            Err(ExchangeError::NoUser)
        }
    }

    pub(super) fn request(&self, wish: &Wish, host: &dyn Host) -> Result<Callout, HostError> {
        let endpoint = self.endpoint_for(&wish.claims).ok_or(HostError)?;
        Form::new(JWT_BEARER)
            .with("assertion", wish.token.reveal())
            .with_scopes(&wish.scopes)
            .with("requested_token_use", "on_behalf_of")
            .post(&endpoint, host)
    }

    /// `sub` is another one for each application, and says nothing here.
    pub(super) fn read(
        &self,
        wish: &Wish,
        answer: &CalloutAnswer,
        now: SystemTime,
    ) -> Result<Gain, ExchangeError> {
        let demands = Demands {
            kind: Kind::AccessTokenIfSaid,
            expected: &self.expected,
            width: Width::Entra { asked: &wish.scopes },
            actors: None,
            same_subject: false,
        };
        let response = answer::read(answer, Grant::Subject)?;
        judge(response, &demands, Some(wish), now)
            .map(Gain::Credential)
            .map_err(ExchangeError::Unusable)
    }

    /// The endpoint of the caller's tenant; `None` where it has none that can be in a path.
    fn endpoint_for(&self, caller: &AccessToken) -> Option<TokenEndpoint> {
        let mut endpoint = self.endpoint.clone();
        if endpoint.request.path.contains(TENANT) {
            let tenant = caller.tenant.as_deref().filter(|tenant| is_tenant(tenant))?;
            endpoint.request.path = endpoint.request.path.replace(TENANT, tenant);
            if let ClientAuthentication::PrivateKeyJwt { audience, .. } = &mut endpoint.client {
                *audience = audience.replace(TENANT, tenant);
            }
        }
        Some(endpoint)
    }
}

/// Whether it is one segment of a path, as it is, and none that leads elsewhere.
fn is_tenant(text: &str) -> bool {
    let is_char = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    let is_name = text.bytes().any(|b| b.is_ascii_alphanumeric());
    text.len() <= MAX_TENANT && is_name && text.bytes().all(is_char)
}
