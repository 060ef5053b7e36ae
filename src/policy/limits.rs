//! How often something may be done.

use std::time::Duration;

/// A token bucket (as Envoy's local rate limit): it holds `burst` and gains `requests` in each `period`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// Where it stands in the configuration.
    pub id: String,
    /// Calls in a period, at least one.
    pub requests: u32,
    /// The period.
    pub period: Duration,
    /// Most calls at once, at least one.
    pub burst: u32,
    /// What has a bucket of its own. Empty: all share one.
    pub by: Vec<RateKey>,
}

/// What calls are told apart by.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RateKey {
    /// The subject, at its issuer.
    Subject,
    /// The agent; where none is known, the client.
    Agent,
    /// The tool, prompt or resource.
    Object,
    /// The MCP server.
    Server,
}
