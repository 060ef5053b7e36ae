//! The form that is posted to a token endpoint.

use std::borrow::Cow;

use crate::exchange::{Target, TokenEndpoint, TokenType};
use crate::host::{Callout, Host, HostError};

/// Media type of token responses (RFC 6749 sections 5.1 and 5.2).
pub(super) const JSON: &str = "application/json";

/// `grant_type` of RFC 8693 section 2.1.
pub(super) const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// `grant_type` of RFC 7523 section 2.1.
pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// The parameters of a token request. Has no `Debug`: it is full of tokens.
pub(super) struct Form<'f>(Vec<(&'static str, Cow<'f, str>)>);

impl<'f> Form<'f> {
    /// A request with this `grant_type`.
    pub(super) fn new(grant_type: &'static str) -> Self {
        Form(vec![("grant_type", grant_type.into())])
    }

    /// With this parameter.
    pub(super) fn with(mut self, name: &'static str, value: &'f str) -> Self {
        self.0.push((name, value.into()));
        self
    }

    /// With the subject's token (RFC 8693 section 2.1).
    pub(super) fn with_subject(self, token: &'f str, token_type: TokenType) -> Self {
        self.with("subject_token", token).with("subject_token_type", token_type.as_str())
    }

    /// With the target: each `resource` (RFC 8707 section 2) and `audience` (RFC 8693 section
    /// 2.1) is a parameter of its own.
    pub(super) fn with_target(mut self, target: &'f Target) -> Self {
        let named = |name, values: &'f [String]| {
            values.iter().map(move |value| (name, Cow::Borrowed(value.as_str())))
        };
        self.0.extend(named("resource", &target.resources));
        self.0.extend(named("audience", &target.audiences));
        self
    }

    /// With `scope` (RFC 6749 section 3.3), unless there is none to ask for.
    pub(super) fn with_scopes(mut self, scopes: impl IntoIterator<Item = &'f String>) -> Self {
        let scopes: Vec<&str> = scopes.into_iter().map(String::as_str).collect();
        if !scopes.is_empty() {
            self.0.push(("scope", scopes.join(" ").into()));
        }
        self
    }

    /// The request, with which we authenticate as a client.
    ///
    /// # Errors
    /// [`HostError`] when the client assertion could not be made.
    pub(super) fn post(
        &self,
        endpoint: &TokenEndpoint,
        host: &dyn Host,
    ) -> Result<Callout, HostError> {
        let pairs: Vec<(&str, &str)> =
            self.0.iter().map(|(name, value)| (*name, &**value)).collect();
        endpoint.client.post(&endpoint.request, JSON, &pairs, host)
    }
}
