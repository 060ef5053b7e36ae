//! What the gate enforces: the compiled configuration.

use super::http_sse::HttpSse;
use super::policies::Policies;
use super::workloads::WorkloadSources;
use crate::exchange::Exchange;
use crate::mcp::SealKey;
use crate::policy::ServerPolicy;
use crate::token::{Demands, DpopPolicy, IssuerId, MtlsPolicy};

/// Everything in force at one time. Until a configuration compiled, [`Enforcement::deny_all`].
#[derive(Debug)]
pub struct Enforcement {
    /// How the host runs us: what may be changed after the body was read.
    pub host_mode: HostMode,
    /// The MCP servers behind us.
    pub servers: Vec<Server>,
    /// What is told about decisions, and to whom.
    pub audit: AuditSettings,
    /// Keys that seal sessions, the first one seals and all of them open. Empty: a key of
    /// the proxy's own.
    pub session_keys: Vec<SealKey>,
    /// Where evidence of workloads is looked for.
    pub workloads: WorkloadSources,
    /// How credentials for the servers are had, by [`ExchangeId`](crate::exchange::ExchangeId).
    pub exchanges: Vec<Exchange>,
}

/// Who checks that a task belongs to its caller (MCP 2025-11-25, "Tasks", and SEP-2663).
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
pub enum TaskBinding {
    /// The filter: a task is its maker's, at the proxy that saw it made. A task nobody saw
    /// made, or one long ago, is nobody's.
    #[default]
    Proxy,
    /// The MCP server, by the identity it is told.
    Upstream,
}

/// How the tokens of an issuer are improved.
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
pub enum StepUpChallenge {
    /// `insufficient_user_authentication` (RFC 9470 section 3).
    #[default]
    Rfc9470,
    /// `insufficient_claims` with a claims challenge, to clients that declared that they
    /// take one (Microsoft Entra ID, "Claims challenges").
    Claims,
}

/// What the host lets a filter do (DESIGN.md, "Host modes").
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
pub enum HostMode {
    /// Request headers go upstream once the caller is authenticated; the body is
    /// withheld until the operation is decided. Works on every proxy-wasm host.
    #[default]
    Stream,
    /// Nothing goes upstream before the whole decision. Needs Envoy 1.35 or later
    /// with `allow_on_headers_stop_iteration: true`.
    Hold,
}

/// One MCP server.
#[derive(Debug)]
pub struct Server {
    /// Its resource identifier (RFC 8707): the audience tokens must carry, byte for byte.
    pub resource: String,
    /// Other audiences that stand for it, such as the `api://` URI of a registration.
    pub audiences: Vec<String>,
    /// Authorities a request for it may carry, in lowercase and without the scheme's
    /// default port.
    pub authorities: Vec<String>,
    /// The path of its endpoint, compared byte for byte and without the query.
    pub path: String,
    /// The transport of 2024-11-05, where it is served.
    pub http_sse: Option<HttpSse>,
    /// Issuers whose tokens it accepts.
    pub issuers: Vec<IssuerId>,
    /// What it demands of DPoP.
    pub dpop: DpopPolicy,
    /// What it demands of certificate-bound tokens.
    pub mtls: MtlsPolicy,
    /// Values of `Origin` it accepts; requests without `Origin` are not from browsers.
    pub allowed_origins: Vec<String>,
    /// Path of its metadata document (RFC 9728 section 3.1).
    pub metadata_path: String,
    /// URL of its metadata document, as challenges name it.
    pub metadata_url: String,
    /// The document itself, as JSON.
    pub metadata_document: String,
    /// Scopes of the first challenge: what a client should ask for to begin with.
    pub scopes_supported: Vec<String>,
    /// Who checks that a task belongs to its caller.
    pub task_binding: TaskBinding,
    /// What its callers may do.
    pub policies: Policies,
    /// The header that names the instance of an agent, in lowercase, if one does.
    pub instance_header: Option<String>,
    /// The header in which agents send a token of their own, in lowercase, where an exchange
    /// takes it. The MCP server does not see it.
    pub actor_token_header: Option<String>,
    /// Whether what a caller must not see does not exist to it (in-band "unknown"), or is
    /// forbidden (403).
    pub hides_objects: bool,
    /// How its issuers are asked for better authentication: see [`StepUpChallenge`].
    pub step_up_challenges: Vec<(IssuerId, StepUpChallenge)>,
}

/// Settings of the audit record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditSettings {
    /// Whether the MCP server is told the verified identity in `x-countersign-` headers.
    pub identity_headers: bool,
    /// Whether Envoy's filters behind us are told it, as filter state `wasm.countersign.…`.
    pub filter_state: bool,
    /// Whether records are also written as log lines.
    pub log: bool,
}

impl Server {
    /// Whether tasks are to be remembered: they can be asked for, and nobody else checks
    /// whose they are.
    pub(super) fn binds_tasks(&self) -> bool {
        self.task_binding == TaskBinding::Proxy && self.policies.any(ServerPolicy::allows_tasks)
    }

    /// What it demands of callers.
    pub(super) fn demands(&self) -> Demands<'_> {
        Demands {
            issuers: &self.issuers,
            resource: &self.resource,
            audiences: &self.audiences,
            dpop: &self.dpop,
            mtls: &self.mtls,
        }
    }
}

impl Enforcement {
    /// Knows no server, and so denies every request.
    #[must_use]
    pub fn deny_all() -> Self {
        Enforcement {
            host_mode: HostMode::default(),
            servers: Vec::new(),
            audit: AuditSettings { identity_headers: false, filter_state: false, log: true },
            session_keys: Vec::new(),
            workloads: WorkloadSources::default(),
            exchanges: Vec::new(),
        }
    }
}
