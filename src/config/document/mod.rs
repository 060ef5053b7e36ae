//! The document as the operator writes it. The types are its JSON Schema, their
//! comments the schema's descriptions. What a type cannot say, `compile` checks.

mod agent;
mod exchange;
mod issuer;
mod rate;
mod rule;
mod server;
mod values;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::gate::HostMode;
use crate::policy::Mode;

pub(super) use agent::{Agent, Policy, Rollback, Scope, ServerRules};
pub(super) use exchange::{
    ActorSource, Exchange, ExchangeActor, ExchangeProfile, ExchangedToken, SecondServer,
    TokenFormat,
};
pub(super) use issuer::{
    Claims, Client, ClientMethod, Discovery, InlineKeys, Introspection, Issuer, Jwks, Revocation,
    WorkloadMark,
};
pub(super) use rate::Rate;
pub(super) use rule::{
    PromptDeny, PromptRule, PromptRules, ResourceDeny, ResourceRule, ResourceRules, RuleBinding,
    StepUp, ToolDeny, ToolRule, ToolRules, WorkloadGrant,
};
pub(super) use server::{
    Context, ContextBinding, Delegation, DeniedObjects, Dpop, HttpSse, Lists, Match, Metadata,
    Methods, Mtls, Server, Tasks, UnknownAgents,
};
pub(super) use values::{ClaimName, FromEnvironment, Span};

/// Configuration of the Countersign filter.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Countersign")]
pub(super) struct Document {
    /// What the host lets the filter do. `hold` needs Envoy 1.35 or later with
    /// `allow_on_headers_stop_iteration: true`; `stream`, the default, works everywhere.
    #[serde(default)]
    pub(super) host_mode: HostMode,
    /// The authorization servers, each under a name that `servers` refers to:
    /// letters, digits, `-` and `_`.
    #[schemars(extend("minProperties" = 1))]
    pub(super) issuers: BTreeMap<String, Issuer>,
    /// The MCP servers behind this filter. Requests for anything else are denied.
    #[schemars(length(min = 1))]
    pub(super) servers: Vec<Server>,
    /// Keys for DPoP nonces of `scope: cluster`, the same at every proxy: at least 32 random
    /// bytes each, in base64 or base64url. The first one makes nonces, all of them check
    /// them: to renew, add the new key last everywhere, then move it to the front.
    #[serde(default)]
    pub(super) dpop_nonce_keys: Vec<FromEnvironment>,
    /// Keys that seal session ids, the same at every proxy and of the form of
    /// `dpop_nonce_keys`: the first one seals, all of them open. Without any, a session is
    /// good at the proxy that sealed it and ends with it.
    #[serde(default)]
    pub(super) session_keys: Vec<FromEnvironment>,
    /// What is told about decisions, and to whom.
    #[serde(default)]
    pub(super) audit: Audit,
    /// Whether denials by policy are enforced or only recorded (`shadow`). Who calls is
    /// verified, and what is said is read, all the same.
    #[serde(default)]
    pub(super) mode: Mode,
    /// The agents that may call, each under a name that rules refer to: letters, digits, `-`
    /// and `_`. With it, other agents are denied. Without it, every client of the issuers may
    /// act for its users.
    #[schemars(extend("minProperties" = 1))]
    pub(super) agents: Option<Agents>,
    /// What scopes amount to, where they are more than their names.
    #[serde(default)]
    pub(super) scopes: BTreeMap<String, Scope>,
    /// Policies beside the one in force, for `candidate` and `rollback`.
    #[serde(default)]
    pub(super) policies: BTreeMap<String, Policy>,
    /// Name of the policy that is tried: it decides every operation too, and the record says
    /// where it differs.
    pub(super) candidate: Option<String>,
    /// A policy that is back in force until a time.
    pub(super) rollback: Option<Rollback>,
    /// What goes to MCP servers in place of the caller's token, each under a name that servers
    /// and rules refer to: letters, digits, `-` and `_`.
    #[serde(default)]
    pub(super) exchanges: BTreeMap<String, Exchange>,
    /// How workloads prove who they are, besides tokens.
    pub(super) workload_identity: Option<WorkloadIdentity>,
}

/// The agents of `agents`, by name.
pub(super) type Agents = BTreeMap<String, Agent>;

/// How workloads prove their SPIFFE IDs. The URI SAN of a certificate on the connection counts
/// where its trust domain is one of these; that needs a listener that verifies certificates.
/// Where `mtls.forwarded_by` of a server names proxies before this one, it is theirs and does
/// not count.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WorkloadIdentity {
    /// Trust domains whose workloads are known, such as `corp.example`.
    #[schemars(extend("minProperties" = 1))]
    pub(super) trust_domains: BTreeMap<String, TrustDomain>,
    /// The header in which workloads send a JWT-SVID, in lowercase. MCP servers do not see it.
    #[schemars(extend("examples" = ["x-jwt-svid"]))]
    pub(super) jwt_svid_header: Option<String>,
    /// Audiences for a JWT-SVID besides the server's `resource`, at every server.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    pub(super) audiences: Vec<String>,
}

/// A trust domain (SPIFFE Trust Domain and Bundle, section 4).
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TrustDomain {
    /// Its bundle: the keys of JWT-SVIDs, those with the `use` `jwt-svid`. Left out where
    /// certificates are its only evidence.
    pub(super) bundle: Option<Jwks>,
}

/// What is told about decisions. The record itself is always there, as Envoy filter
/// state `wasm.countersign.audit`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Audit {
    /// Whether the MCP server is told the verified identity in `x-countersign-` headers.
    pub(super) identity_headers: bool,
    /// Whether Envoy's filters behind this one can read the verified identity as filter state:
    /// `wasm.countersign.subject`, `.issuer`, `.client_id`, `.agent`, `.scope`, `.method` and
    /// `.object`.
    pub(super) filter_state: bool,
    /// Whether the record is also written to Envoy's own log; default `off`.
    pub(super) log: AuditLog,
}

/// Form of the record in Envoy's own log.
#[derive(Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum AuditLog {
    /// Not written there.
    #[default]
    Off,
    /// One line with a JSON object per decision.
    Json,
}

impl Default for Audit {
    fn default() -> Self {
        Audit { identity_headers: true, filter_state: false, log: AuditLog::default() }
    }
}
