//! What a server demands of proofs.

use std::time::Duration;

use crate::token::Algorithm;

/// Whether something is used.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Requirement {
    /// No.
    #[default]
    Off,
    /// Where the caller does.
    Optional,
    /// Always.
    Required,
}

/// What a server demands of DPoP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DpopPolicy {
    /// `Off`: tokens bound to a key are refused, since nobody would check the key.
    /// `Optional`: they need a proof, others are bearer tokens. `Required`: every token
    /// must be bound, and so needs a proof.
    pub mode: Requirement,
    /// Algorithms a proof may be signed with.
    pub algorithms: Vec<Algorithm>,
    /// How far `iat` of a proof may be from now, in both directions (RFC 9449 section 11.1).
    pub proof_max_age: Duration,
    /// The URL callers use (`htu`), as configured: scheme, authority and path.
    pub url: String,
    /// Nonces.
    pub nonce: NoncePolicy,
}

/// What a server demands of nonces (RFC 9449 section 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoncePolicy {
    /// `Off`: a `nonce` claim is ignored. `Optional`: one that is there must be ours and
    /// current. `Required`: every proof has one.
    pub mode: Requirement,
    /// Where a nonce is good.
    pub scope: NonceScope,
    /// How long it is good.
    pub lifetime: Duration,
}

/// Where a nonce is good.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum NonceScope {
    /// At the proxy that issued it, so that its record of used proofs is complete.
    #[default]
    Replica,
    /// At every proxy with the same key.
    Cluster,
}
