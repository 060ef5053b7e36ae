//! Two authorization servers (draft-ietf-oauth-identity-chaining, and its profile
//! draft-ietf-oauth-identity-assertion-authz-grant): the first asserts who the user is, the
//! second issues the token.

use std::time::SystemTime;

use super::Gain;
use super::answer::{self, Grant, TokenUse};
use super::form::{Form, JWT_BEARER, TOKEN_EXCHANGE};
use super::judgement::{Demands, Kind, expiry, judge, refuse_own};
use super::width::Width;
use crate::exchange::wish::{Assertion, Gained, Wish};
use crate::exchange::{ExchangeError, Flaw, IdentityChaining, TokenType};
use crate::host::{Callout, CalloutAnswer, Host, HostError};
use crate::token::IssuedJwt;

/// `typ` of identity assertions (draft-ietf-oauth-identity-assertion-authz-grant), as a media type.
const ID_JAG: &str = "application/oauth-id-jag+jwt";

impl IdentityChaining {
    /// Asks the first one for the assertion (RFC 8693 section 2.1).
    pub(super) fn request_assertion(
        &self,
        wish: &Wish,
        host: &dyn Host,
    ) -> Result<Callout, HostError> {
        Form::new(TOKEN_EXCHANGE)
            .with("requested_token_type", self.assertion.as_str())
            .with_target(&self.target)
            .with_scopes(&wish.scopes)
            .with_subject(wish.token.reveal(), self.subject_token_type)
            .post(&self.first, host)
    }

    /// The assertion. `token_type` must say that it is no access token, whatever its type: `N_A`
    /// (RFC 8693 section 2.2.1). One that is would be a credential in the second one's hands.
    pub(super) fn read_assertion(
        &self,
        wish: &Wish,
        answer: &CalloutAnswer,
        now: SystemTime,
    ) -> Result<Gain, ExchangeError> {
        let response = answer::read(answer, Grant::Subject)?;
        let judged = || {
            refuse_own(response.token.reveal(), wish)?;
            Kind::Exactly(self.assertion).check(response.issued_token_type.as_deref())?;
            if response.token_type != TokenUse::NotApplicable {
                return Err(Flaw::TokenType);
            }
            let jwt = IssuedJwt::read(response.token.reveal()).map_err(|_| Flaw::NotJwt)?;
            self.check_assertion(&jwt)?;
            expiry(response.expires_in, Some(&jwt), now)?;
            let width = Width::asked(&wish.scopes, Some(&wish.claims.scopes));
            width.granted(&response, jwt.scopes.as_ref())
        };
        let granted = judged().map_err(ExchangeError::Unusable)?;
        Ok(Gain::Assertion(Assertion { token: response.token, granted }))
    }

    /// Shows it to the second one (RFC 7523 section 2.1). An identity assertion says itself for
    /// which scopes it is; of another JWT the request does, and asks for no others than it is for.
    pub(super) fn request_token(
        &self,
        gained: &Gained,
        host: &dyn Host,
    ) -> Result<Callout, HostError> {
        let assertion = gained.assertion.as_ref().ok_or(HostError)?;
        let scopes = assertion.granted.as_ref().filter(|_| self.assertion != TokenType::IdJag);
        Form::new(JWT_BEARER)
            .with("assertion", assertion.token.reveal())
            .with_target(&self.second_target)
            .with_scopes(scopes.into_iter().flatten())
            .post(&self.second, host)
    }

    /// What it grants is no more than the assertion is for, and all of that where it does not
    /// say it.
    pub(super) fn read_token(
        &self,
        wish: &Wish,
        gained: &Gained,
        answer: &CalloutAnswer,
        now: SystemTime,
    ) -> Result<Gain, ExchangeError> {
        let asserted = gained.assertion.as_ref().and_then(|assertion| assertion.granted.as_ref());
        let demands = Demands {
            kind: Kind::AccessTokenIfSaid,
            expected: &self.expected,
            width: Width::Within { asked: asserted, otherwise: Some(&wish.claims.scopes) },
            actors: None,
            same_subject: true,
        };
        let response = answer::read(answer, Grant::Assertion)?;
        judge(response, &demands, Some(wish), now)
            .map(Gain::Credential)
            .map_err(ExchangeError::Unusable)
    }

    /// Whether the JWT is for the second authorization server, for no other, and about somebody
    /// (RFC 7523 section 3).
    fn check_assertion(&self, jwt: &IssuedJwt) -> Result<(), Flaw> {
        let is_type =
            self.assertion != TokenType::IdJag || jwt.media_type.as_deref() == Some(ID_JAG);
        if !is_type || jwt.expires_at.is_none() {
            return Err(Flaw::NotJwt);
        }
        let [audience] = jwt.audiences.as_slice() else { return Err(Flaw::Audience) };
        if !self.target.audiences.contains(audience) {
            return Err(Flaw::Audience);
        }
        if jwt.subject.is_none() {
            return Err(Flaw::Subject);
        }
        // Nobody here has the key that the second one would ask for.
        if jwt.is_bound { Err(Flaw::Bound) } else { Ok(()) }
    }
}
