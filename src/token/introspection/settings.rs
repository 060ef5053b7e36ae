//! How an issuer is asked about tokens.

use std::time::Duration;

use crate::host::Callout;
use crate::token::{Algorithm, Secret};

/// How an issuer is asked about tokens.
#[derive(Debug, Clone)]
pub struct Introspection {
    /// The request to its introspection endpoint, without credentials and body.
    pub endpoint: Callout,
    /// Which tokens are asked about.
    pub tokens: IntrospectedTokens,
    /// How we authenticate (RFC 7662 section 2.1: we must).
    pub client: ClientAuthentication,
    /// The audience that signed answers must carry (RFC 9701 section 5); `None` for plain
    /// answers (RFC 7662).
    pub signed_for: Option<String>,
    /// The longest an answer for an active token is used.
    pub max_age: Duration,
    /// The longest an answer for another token is used.
    pub negative_max_age: Duration,
}

/// Which tokens of an issuer are introspected. Rules may ask for more.
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
pub enum IntrospectedTokens {
    /// None but those of calls whose rule says so.
    #[default]
    ByRule,
    /// Tokens that are not JWTs.
    Opaque,
    /// Every token, JWTs also after they were verified here.
    All,
}

/// How we authenticate at an introspection endpoint.
#[derive(Debug, Clone)]
pub enum ClientAuthentication {
    /// HTTP Basic (RFC 6749 section 2.3.1).
    ClientSecretBasic {
        /// `client_id`
        client_id: String,
        /// `client_secret`
        secret: Secret,
    },
    /// Credentials in the body (RFC 6749 section 2.3.1).
    ClientSecretPost {
        /// `client_id`
        client_id: String,
        /// `client_secret`
        secret: Secret,
    },
    /// A JWT signed with our key (RFC 7523 section 2.2).
    PrivateKeyJwt {
        /// `client_id`
        client_id: String,
        /// `aud` of the assertion: the issuer identifier.
        audience: String,
        /// Our key.
        key: SigningKey,
    },
    /// The certificate of the cluster's own TLS client configuration (RFC 8705 section 2).
    TlsClientAuth {
        /// `client_id`
        client_id: String,
    },
    /// Whatever Envoy adds to requests of the cluster (its credential injector).
    Injected,
}

/// A private key of ours.
#[derive(Clone)]
pub struct SigningKey {
    /// One the host can sign with: ES256, ES384, ES512, RS256, RS384, RS512.
    pub algorithm: Algorithm,
    /// `kid` of the assertion.
    pub key_id: Option<String>,
    /// DER `PrivateKeyInfo` (PKCS #8).
    pub pkcs8: Vec<u8>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey")
            .field("algorithm", &self.algorithm)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}
