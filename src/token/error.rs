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
    /// The issuer publishes no key that `kid` names, or none for the token's tenant.
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
    /// A claim RFC 9068 section 2.2 requires is missing. Here and below the name is the
    /// RFC's, also where the issuer's tokens have it elsewhere.
    #[error("claim {0} is missing")]
    MissingClaim(&'static str),
    /// A claim is of the wrong type, breaks its grammar, or is beyond our bounds.
    #[error("claim {0} is not usable")]
    BadClaim(&'static str),
    /// The JWT is no access token: it has the marks of another kind (RFC 8725 section 3.12).
    #[error("a JWT of another kind: {0}")]
    NotAnAccessToken(&'static str),
    /// The token is of a tenant that is not accepted.
    #[error("tenant not accepted")]
    Tenant,
    /// The token is older than its issuer's tokens may be here.
    #[error("too old")]
    TooOld,
    /// The token was made for longer than its issuer's tokens may be here.
    #[error("made for too long")]
    Lifetime,
    /// `cnf` (RFC 7800) has a member we do not know or cannot read.
    #[error("confirmation method not supported")]
    Confirmation,
    /// The token is bound to its sender by what this server does not check. Taking it as a
    /// bearer token would undo the binding (RFC 9449 section 7.2).
    #[error("bound to its sender, which this server does not check")]
    SenderConstrained,
    /// The server demands tokens bound to their sender, and this one is not.
    #[error("not bound to its sender")]
    NotSenderConstrained,
    /// A token bound to a DPoP key came as a bearer token (RFC 9449 section 7.2).
    #[error("bound to a DPoP key and sent as a bearer token")]
    Downgraded,
    /// The client's certificate is not the one the token is bound to (RFC 8705 section 3),
    /// or there is none.
    #[error("not the certificate the token is bound to")]
    Certificate,
    /// The DPoP proof is not acceptable.
    #[error("DPoP proof: {0}")]
    Proof(#[from] ProofError),
    /// The evidence of the sender's workload is not acceptable.
    #[error("workload: {0}")]
    Workload(#[from] WorkloadError),
    /// The issuer says that the token is not active (RFC 7662 section 2.2).
    #[error("not active")]
    Inactive,
    /// The token is on the issuer's revocation list.
    #[error("revoked")]
    Revoked,
    /// The introspection endpoint could not be asked, or gave nothing of use. Not the
    /// caller's fault, also where our own credentials were refused (RFC 7662 section 2.3).
    #[error("introspection is unavailable")]
    IntrospectionUnavailable,
    /// We hold no revocation list that is recent enough. Not the caller's fault.
    #[error("the issuer's revocation list is unavailable")]
    RevocationsUnavailable,
}

/// Why a DPoP proof was refused (RFC 9449 section 4.3). No variant carries text of the proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// There is none, and the token needs one.
    #[error("missing")]
    Missing,
    /// Not one well-formed JWT, or beyond our bounds.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// `typ` is not `dpop+jwt`.
    #[error("wrong type")]
    Type,
    /// `alg` is not accepted.
    #[error("algorithm not accepted")]
    Algorithm,
    /// `jwk` is missing, not a public key for `alg`, or has private members.
    #[error("unusable key")]
    Key,
    /// The signature is not that key's.
    #[error("wrong signature")]
    Signature,
    /// A required claim is missing or of the wrong type.
    #[error("claim {0} is missing or unusable")]
    Claim(&'static str),
    /// `htm` is not the request's method.
    #[error("for another method")]
    Method,
    /// `htu` is not this server's URL.
    #[error("for another URL")]
    Url,
    /// `iat` is too far in the past or the future.
    #[error("not made now")]
    Time,
    /// `ath` is not the digest of the token.
    #[error("for another token")]
    AccessToken,
    /// The key is not the one the token is bound to.
    #[error("by another key")]
    Thumbprint,
    /// The proof was used before.
    #[error("used before")]
    Replayed,
    /// A nonce is needed: there is none, it is not ours, or it is outdated.
    #[error("needs a nonce")]
    Nonce,
    /// A replay could not be told: its use could not be recorded, or there is no key for
    /// nonces. Not the caller's fault.
    #[error("its use could not be recorded")]
    NotRecorded,
}

/// Why the evidence of a workload was refused (SPIFFE JWT-SVID). No variant carries text of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WorkloadError {
    /// Not one header field with a JWS in compact serialisation (section 5.1), or beyond our
    /// bounds.
    #[error("malformed JWT-SVID: {0}")]
    Malformed(&'static str),
    /// `typ` is neither absent nor `JWT` or `JOSE` (section 2.3).
    #[error("wrong type")]
    Type,
    /// `alg` is none of JWT-SVIDs (section 2.1), or not that of the key.
    #[error("algorithm not accepted")]
    Algorithm,
    /// `sub` is missing, or not the SPIFFE ID of a workload (section 3.1).
    #[error("`sub` is no SPIFFE ID")]
    Subject,
    /// `sub` is of no trust domain whose JWT-SVIDs are accepted.
    #[error("unknown trust domain")]
    TrustDomain,
    /// There is no `kid`, or the bundle of the trust domain has no key of that name.
    #[error("unknown key")]
    UnknownKey,
    /// We hold no bundle of the trust domain and could not get one. Not the caller's fault.
    #[error("the bundle of the trust domain is unavailable")]
    BundleUnavailable,
    /// The signature is not that key's.
    #[error("wrong signature")]
    Signature,
    /// A claim is missing, of the wrong type, or beyond our bounds.
    #[error("claim {0} is missing or unusable")]
    Claim(&'static str),
    /// `aud` does not name this server (section 3.2).
    #[error("not for this server")]
    Audience,
    /// `exp` is past (section 3.3).
    #[error("expired")]
    Expired,
    /// `nbf` or `iat` is to come.
    #[error("not valid yet")]
    NotYetValid,
    /// `exp` is further away than is accepted.
    #[error("good for too long")]
    Lifetime,
    /// The certificate of the connection names another workload.
    #[error("not the workload of the certificate")]
    Mismatch,
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
            Self::NotAnAccessToken(_) => "token_type",
            Self::Tenant => "token_tenant",
            Self::TooOld => "token_too_old",
            Self::Lifetime => "token_lifetime",
            Self::Confirmation => "token_confirmation",
            Self::SenderConstrained => "token_sender_constrained",
            Self::NotSenderConstrained => "token_not_sender_constrained",
            Self::Downgraded => "dpop_downgrade",
            Self::Certificate => "mtls_certificate",
            Self::Proof(error) => error.code(),
            Self::Workload(error) => error.code(),
            Self::Inactive => "token_inactive",
            Self::Revoked => "token_revoked",
            Self::IntrospectionUnavailable => "introspection_unavailable",
            Self::RevocationsUnavailable => "revocations_unavailable",
        }
    }
}

impl ProofError {
    /// A stable code for the record and for counters.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "dpop_missing",
            Self::Malformed(_) => "dpop_malformed",
            Self::Type => "dpop_type",
            Self::Algorithm => "dpop_algorithm",
            Self::Key => "dpop_key",
            Self::Signature => "dpop_signature",
            Self::Claim(_) => "dpop_claim",
            Self::Method => "dpop_htm",
            Self::Url => "dpop_htu",
            Self::Time => "dpop_iat",
            Self::AccessToken => "dpop_ath",
            Self::Thumbprint => "dpop_jkt",
            Self::Replayed => "dpop_replay",
            Self::Nonce => "dpop_nonce",
            Self::NotRecorded => "replay_store_unavailable",
        }
    }
}

impl WorkloadError {
    /// A stable code for the record and for counters.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "svid_malformed",
            Self::Type => "svid_type",
            Self::Algorithm => "svid_algorithm",
            Self::Subject => "svid_subject",
            Self::TrustDomain => "svid_trust_domain",
            Self::UnknownKey => "svid_key",
            Self::BundleUnavailable => "bundle_unavailable",
            Self::Signature => "svid_signature",
            Self::Claim(_) => "svid_claim",
            Self::Audience => "svid_audience",
            Self::Expired => "svid_expired",
            Self::NotYetValid => "svid_not_yet_valid",
            Self::Lifetime => "svid_lifetime",
            Self::Mismatch => "workload_mismatch",
        }
    }
}
