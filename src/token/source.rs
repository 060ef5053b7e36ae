//! Documents of an issuer that are fetched: where from, how often.

use std::time::Duration;

use crate::host::Callout;

/// Where a JWK Set (RFC 7517 section 5) is.
#[derive(Debug, Clone)]
pub enum Source {
    /// At a URL.
    At(Callout),
    /// Where the issuer's metadata says, in `jwks_uri` (OpenID Connect Discovery 1.0
    /// section 4, RFC 8414 section 3).
    Discovered {
        /// The request whose answer is the metadata.
        metadata: Callout,
        /// What `issuer` in the metadata must be, byte for byte (RFC 8414 section 3.3). For
        /// issuers with one identifier per tenant it has their placeholder, `{tenantid}`.
        issuer: String,
        /// The Envoy cluster for `jwks_uri` where its authority is not that of the metadata;
        /// `None` to refuse another authority.
        keys_cluster: Option<String>,
    },
}

/// How often a document is fetched, and how long it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// The longest time until it is fetched again. The answer's `Cache-Control` may ask for
    /// a shorter one.
    pub refresh: Duration,
    /// How long after that it is still used while fetching fails.
    pub stale_for: Duration,
}

/// Where an issuer's revocation list is.
#[derive(Debug, Clone)]
pub struct RevocationSource {
    /// The request whose answer is the list.
    pub list: Callout,
    /// How often.
    pub schedule: Schedule,
}
