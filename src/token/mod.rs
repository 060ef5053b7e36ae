//! Access tokens: who sent a call, proved by a signature.
//!
//! A token comes in as text and is an [`Unverified`] JWS, which says no more than
//! what picks the key. Verification turns it into a [`Verified`] one, whose claims
//! become a [`Verified<AccessToken>`]: the only thing policy takes. Of an opaque token
//! it is its issuer's word that makes one, and natively the `countersign` command assumes
//! one; in the module there is no other way.
//!
//! The algorithm is a property of the key and never chosen by the token (RFC 8725
//! section 3.1). RS* and ES* are verified by the host where it can, everything else
//! in the module. Beside the token, a request may prove which workload sends it
//! (`workload`). This module knows no MCP, and of HTTP only its callouts.

mod actors;
mod algorithm;
mod authenticator;
mod cache;
mod claim_path;
mod claims;
mod client;
mod confirmation;
mod dpop;
mod error;
mod introspection;
mod issued_jwt;
mod issuer;
mod jwk;
mod jws;
mod key_store;
mod keys;
mod kind;
mod known_issuer;
mod mtls;
mod request;
mod revocation;
mod roca;
mod secret;
mod shared_document;
mod signature;
mod source;
mod spiffe;
mod subject_kind;
#[cfg(test)]
mod tests;
mod token_rules;
#[cfg(any(test, feature = "test-faults"))]
pub mod vectors;
mod workload;

pub use actors::{Actor, MAX_ACTORS};
pub use algorithm::Algorithm;
pub use authenticator::Authenticator;
#[cfg(not(target_arch = "wasm32"))]
pub use authenticator::Possession;
pub use cache::TokenDigest;
pub use claim_path::ClaimPath;
pub(crate) use claims::scope_tokens;
pub use claims::{AccessToken, AgentClaims, Consent, ContextClaims, TokenId};
pub use client::{ClientAuthentication, SigningKey};
pub use confirmation::{CertificateDigest, Confirmation, Thumbprint};
pub use dpop::{DpopPolicy, NonceKey, NoncePolicy, NonceScope, Requirement};
pub use error::{ProofError, TokenError, WorkloadError};
pub use introspection::{Inquiry, IntrospectedTokens, Introspection};
pub(crate) use issued_jwt::IssuedJwt;
pub use issuer::{
    ClaimNames, Identifier, Issuer, IssuerId, KeySource, TokenType, ValuePattern, WorkloadMark,
};
pub(crate) use jws::MAX_TOKEN;
pub use jws::{Jws, Segments, Unverified, Verified};
pub use keys::{KeySet, KeySetError};
pub use kind::is_other_kind;
pub use mtls::{CertificateSource, MtlsPolicy, PeerConnection};
pub use request::{
    Caller, Credential, Demands, Evidence, Introspected, Outcome, Recency, Scheme, Wait, Waited,
};
pub use secret::Secret;
pub use source::{RevocationSource, Schedule, Source};
pub use spiffe::{SpiffeId, SpiffeIdError};
pub use subject_kind::SubjectKind;
pub use workload::{TrustDomain, TrustDomainId, WorkloadEvidence, WorkloadIdentity};
