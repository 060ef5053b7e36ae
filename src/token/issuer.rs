//! The authorization servers whose tokens are accepted, as configured.

use std::time::Duration;

use crate::host::Callout;

use super::algorithm::Algorithm;
use super::keys::KeySet;

/// Names an issuer: its place in the list given to `Authenticator::new`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IssuerId(pub usize);

/// An authorization server and what its tokens must be like.
#[derive(Debug)]
pub struct Issuer {
    /// The operator's name for it, for logs.
    pub name: String,
    /// The issuer identifier: `iss` is compared with it byte for byte (RFC 9068 section 4).
    pub issuer: String,
    /// The algorithms its keys may have, most wanted first.
    pub algorithms: Vec<Algorithm>,
    /// The accepted `typ` values; `["at+jwt"]` where nothing else is known (RFC 9068 section 2.1).
    /// Compared as media types: without regard to case, `application/` implied (RFC 7515
    /// section 4.1.9).
    pub token_types: Vec<String>,
    /// How far its clock may be from ours, for `exp`, `nbf` and `iat`.
    pub clock_skew: Duration,
    /// Where its keys are.
    pub keys: KeySource,
}

/// Where an issuer's keys come from.
#[derive(Debug)]
pub enum KeySource {
    /// From the configuration.
    Inline(KeySet),
    /// Fetched, and fetched again.
    Remote {
        /// The request whose answer is a JWK Set (RFC 7517 section 5).
        callout: Callout,
        /// How old a set may become before it is fetched again.
        refresh: Duration,
    },
}
