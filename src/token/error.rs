//! Why a token was refused.

/// Why a token was refused. No variant carries text of the token, so each may be logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a JWS in compact serialisation as RFC 7515 section 3.1 has it, or beyond our bounds.
    #[error("malformed token: {0}")]
    Malformed(&'static str),
    /// `typ` is missing or not one the issuer's tokens carry (RFC 9068 section 4).
    #[error("token type not accepted")]
    Type,
    /// `alg` is not of the issuer's list, or not the algorithm of the key (RFC 8725 section 3.1).
    #[error("algorithm not accepted")]
    Algorithm,
    /// `iss` is none of the issuers this server trusts (RFC 9068 section 4).
    #[error("unknown issuer")]
    UnknownIssuer,
    /// The issuer publishes no key that `kid` names.
    #[error("unknown key")]
    UnknownKey,
    /// We hold no key of this issuer and could not get one. Not the caller's fault.
    #[error("the issuer's keys are unavailable")]
    KeysUnavailable,
    /// The signature is not that key's over this token.
    #[error("wrong signature")]
    Signature,
    /// `exp` is past (RFC 7519 section 4.1.4).
    #[error("expired")]
    Expired,
    /// `nbf` is to come (RFC 7519 section 4.1.5).
    #[error("not valid yet")]
    NotYetValid,
    /// `iat` is to come.
    #[error("issued in the future")]
    IssuedInFuture,
    /// `aud` does not name this resource (RFC 9068 section 4).
    #[error("not for this resource")]
    Audience,
    /// A claim RFC 9068 section 2.2 requires is missing.
    #[error("claim {0} is missing")]
    MissingClaim(&'static str),
    /// A claim is of the wrong type, breaks its grammar, or is beyond our bounds.
    #[error("claim {0} is not usable")]
    BadClaim(&'static str),
    /// The token is bound to a key of its sender (`cnf`, RFC 7800), which is not checked yet.
    /// Taking it as a bearer token would undo the binding (RFC 9449 section 7.2).
    #[error("sender-constrained token")]
    SenderConstrained,
}

impl TokenError {
    /// A stable code for the record and for counters.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "token_malformed",
            Self::Type => "token_type",
            Self::Algorithm => "token_algorithm",
            Self::UnknownIssuer => "token_issuer",
            Self::UnknownKey => "token_key",
            Self::KeysUnavailable => "keys_unavailable",
            Self::Signature => "token_signature",
            Self::Expired => "token_expired",
            Self::NotYetValid => "token_not_yet_valid",
            Self::IssuedInFuture => "token_issued_in_future",
            Self::Audience => "token_audience",
            Self::MissingClaim(_) => "token_claim_missing",
            Self::BadClaim(_) => "token_claim_bad",
            Self::SenderConstrained => "token_sender_constrained",
        }
    }
}
