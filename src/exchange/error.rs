//! Why there is no credential, and whose fault that is.

use std::rc::Rc;
use std::time::Duration;

/// Why there is no credential. Says nothing of tokens, nor what an authorization server wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// The authorization server does not answer, or says that it cannot now, or did so a moment
    /// ago. Mends itself.
    #[error("the authorization server could not be asked: {reason}")]
    Unavailable {
        /// Why.
        reason: &'static str,
        /// When to try again, where that is known.
        retry_after: Option<Duration>,
    },
    /// The answer is not what was asked for. The operator's, or the authorization server's.
    #[error("the authorization server's answer is not acceptable: {0}")]
    Unusable(Flaw),
    /// The authorization server does not take us as its client, or not for this grant
    /// (`invalid_client`, `unauthorized_client`, `unsupported_grant_type`, 401), or does not give
    /// us a token of our own. The operator's.
    #[error("the authorization server does not take the filter as its client")]
    ClientRejected,
    /// It does not know the target, or gives nobody a token for it (`invalid_target`, RFC 8693
    /// section 2.2.2). The operator's.
    #[error("the authorization server gives no token for the target")]
    TargetRejected,
    /// It says that the request is wrong (`invalid_request`, or an error we do not know). The
    /// operator's, most likely: the caller's token was verified, though RFC 8693 section 2.2.2
    /// has it for tokens too.
    #[error("the authorization server refused the request")]
    RequestRejected,
    /// It does not give the scopes that the operation takes (`invalid_scope`, or a narrower
    /// `scope` in the answer). Nobody's: the user may not.
    #[error("the authorization server does not grant the scopes of the operation")]
    ScopeRefused,
    /// It does not give the user or the agent a token (`access_denied`, `may_act`).
    #[error("the authorization server denies the exchange")]
    Denied,
    /// It does not take the caller's token (`invalid_grant`): it expired meanwhile, or was taken
    /// back. The caller's.
    #[error("the authorization server does not take the caller's token")]
    SubjectRejected,
    /// The user has to do something first (`interaction_required` and its kin). The caller's,
    /// whose client is told what to ask for.
    #[error("the user has to interact with the authorization server first")]
    InteractionRequired {
        /// `claims` of the answer, a JSON object as text, to be passed on as it is (Microsoft
        /// identity platform, "Claims challenges").
        claims: Option<Rc<str>>,
    },
    /// The user has linked no account of this connection (Auth0 Token Vault). The user's.
    #[error("the user has linked no account of the connection {connection:?}")]
    NotLinked {
        /// Name of the connection.
        connection: Rc<str>,
        /// Where accounts are linked, where that is configured.
        link_uri: Option<Rc<str>>,
    },
    /// There is no user to act for, or none of a tenant whose endpoint could be asked, and the
    /// profile takes one.
    #[error("the exchange is for users, and the caller is a workload or of no tenant")]
    NoUser,
    /// The request did not bring the actor's token that the exchange takes.
    #[error("the request brought no token of the actor")]
    NoActor,
    /// It says that the request is wrong (`invalid_request`), which had a token of the agent's
    /// that nobody here has verified: RFC 8693 section 2.2.2 has it for tokens that are not
    /// acceptable. The agent's, most likely.
    #[error("the authorization server refused the request with the agent's token")]
    ActorRejected,
    /// More is asked for than the bounds of a worker take.
    #[error("too many exchanges are wanted")]
    Overloaded,
}

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Flaw {
    /// It is larger than what is read.
    #[error("it is too large")]
    TooLarge,
    /// It is no JSON object of a token response (RFC 6749 section 5.1).
    #[error("it is no token response")]
    Malformed,
    /// `issued_token_type` is not what was asked for (RFC 8693 section 2.2.1).
    #[error("`issued_token_type` is another than was asked for")]
    IssuedTokenType,
    /// `token_type` is not one that can be sent (RFC 8693 section 2.2.1): `N_A`, or unknown.
    #[error("`token_type` is not one that can be sent")]
    TokenType,
    /// It is bound to a key, and nobody here has it (RFC 9449, RFC 8705).
    #[error("the token is bound to a key")]
    Bound,
    /// It grants more than was asked for, or than the caller has.
    #[error("it grants more than was asked for")]
    Wider,
    /// It has expired, or is not good yet, or does so before it could be used.
    #[error("the token is expired on arrival")]
    Expired,
    /// It should be a JWT, and is none that can be read.
    #[error("the token is no JWT")]
    NotJwt,
    /// It is for another audience.
    #[error("the token is for another audience")]
    Audience,
    /// It is for another subject.
    #[error("the token is for another subject")]
    Subject,
    /// It does not name the actor, or names another.
    #[error("the token names another actor, or none")]
    Actor,
    /// It is the caller's own token again.
    #[error("the token is the caller's own")]
    Unchanged,
}

impl ExchangeError {
    /// The stable code, for records, metrics and denials.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            ExchangeError::Unavailable { .. } => "exchange_unavailable",
            ExchangeError::Unusable(flaw) => flaw.code(),
            ExchangeError::ClientRejected => "exchange_client_rejected",
            ExchangeError::TargetRejected => "exchange_target_rejected",
            ExchangeError::RequestRejected => "exchange_request_rejected",
            ExchangeError::ScopeRefused => "exchange_scope_refused",
            ExchangeError::Denied => "exchange_denied",
            ExchangeError::SubjectRejected => "exchange_subject_rejected",
            ExchangeError::InteractionRequired { .. } => "exchange_interaction_required",
            ExchangeError::NotLinked { .. } => "account_not_linked",
            ExchangeError::NoUser => "exchange_user_missing",
            ExchangeError::NoActor => "exchange_actor_missing",
            ExchangeError::ActorRejected => "exchange_actor_rejected",
            ExchangeError::Overloaded => "overloaded",
        }
    }
}

impl Flaw {
    /// The stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Flaw::TooLarge => "exchange_answer_too_large",
            Flaw::Malformed => "exchange_answer_malformed",
            Flaw::IssuedTokenType => "exchange_issued_token_type",
            Flaw::TokenType => "exchange_token_type",
            Flaw::Bound => "exchange_token_bound",
            Flaw::Wider => "exchange_answer_wider",
            Flaw::Expired => "exchange_token_expired",
            Flaw::NotJwt => "exchange_token_no_jwt",
            Flaw::Audience => "exchange_token_audience",
            Flaw::Subject => "exchange_token_subject",
            Flaw::Actor => "exchange_token_actor",
            Flaw::Unchanged => "exchange_token_unchanged",
        }
    }
}
