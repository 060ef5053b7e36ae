//! How an issuer is asked about tokens.

use std::time::Duration;

use crate::host::Callout;
use crate::token::ClientAuthentication;

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
