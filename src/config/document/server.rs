//! `servers`: the MCP servers, what they demand of callers, and their rules.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::rate::Rate;
use super::rule::{PromptRules, ResourceRules, ToolRules};
use super::values::Span;
use crate::gate::TaskBinding;
use crate::policy::Mode;
use crate::token::{Algorithm, NonceScope, Requirement};

/// An MCP server.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    /// The URL clients know it by, in canonical form. A token must carry it as audience
    /// and its metadata document (RFC 9728) shows it, both byte for byte.
    pub(crate) resource: String,
    /// Other audiences that stand for it, such as the `api://` URI or the client id of its
    /// registration: a token must carry one of these or `resource`.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    pub(crate) audiences: Vec<String>,
    /// Which requests are for it, where they do not look like `resource`.
    #[serde(default)]
    pub(crate) r#match: Match,
    /// The HTTP+SSE transport of 2024-11-05, for clients that speak no other. Without it they
    /// are told that it is not served.
    pub(crate) http_sse: Option<HttpSse>,
    /// Names of the issuers whose tokens it accepts.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub(crate) issuers: Vec<String>,
    /// Tokens bound to a key of their client (RFC 9449). Without it they are refused, since
    /// nobody would check the key.
    #[serde(default)]
    pub(crate) dpop: Dpop,
    /// Tokens bound to a certificate of their client (RFC 8705). Without it they are refused,
    /// since nobody would check the certificate.
    #[serde(default)]
    pub(crate) mtls: Mtls,
    /// Web origins whose pages may call it, such as `https://app.example.com`. A request
    /// with any other `Origin` is denied; clients that are no browsers send none.
    #[serde(default)]
    pub(crate) allowed_origins: Vec<String>,
    /// What its metadata document says besides.
    #[serde(default)]
    pub(crate) metadata: Metadata,
    /// Name of the exchange by which it gets a credential in place of the caller's token. Without
    /// one it gets none, and never the caller's.
    pub(crate) exchange: Option<String>,
    /// Methods without a protected object. Calls, prompts and resources have their own rules.
    #[serde(default)]
    pub(crate) methods: Methods,
    /// Tasks, which it makes for calls that take long. Default: the filter binds them.
    pub(crate) tasks: Option<Tasks>,
    /// Who may see and call which tools.
    #[serde(default)]
    pub(crate) tools: ToolRules,
    /// Who may see and get which prompts.
    #[serde(default)]
    pub(crate) prompts: PromptRules,
    /// Who may see, read and subscribe to which resources.
    #[serde(default)]
    pub(crate) resources: ResourceRules,
    /// Whether denials by policy are enforced, if other than the document's `mode` says.
    pub(crate) mode: Option<Mode>,
    /// What it takes of tokens that say who acts for whom, and of agents.
    #[serde(default)]
    pub(crate) delegation: Delegation,
    /// What tokens are bound to besides keys and certificates.
    #[serde(default)]
    pub(crate) context: Context,
    /// How often callers may use its tools, prompts and resources.
    #[serde(default)]
    pub(crate) rates: Vec<Rate>,
    /// What lists show: what the caller may use (`permitted`, the default), or also what it
    /// could with another token, such as one with more scopes (`attainable`).
    #[serde(default)]
    pub(crate) lists: Lists,
    /// How a caller learns that it may not use something: as if it did not exist (`hidden`,
    /// the default), or by 403 (`forbidden`).
    #[serde(default)]
    pub(crate) denied_objects: DeniedObjects,
}

/// What a server takes of tokens that say who acts for whom (`act`, RFC 8693 section 4.1),
/// and of agents.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delegation {
    /// Most actors of a token; 0 takes none with actors. Default 3.
    #[schemars(range(max = 16))]
    pub(crate) max_depth: Option<usize>,
    /// Names of agents, of which the current actor must be one. Default: every known agent.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub(crate) actors: Option<Vec<String>>,
    /// What each actor before the current one must be, by `sub` or client identifier. They
    /// never permit anything. Default: anybody.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub(crate) prior_actors: Option<Vec<String>>,
    /// What becomes of agents that `agents` does not have. Without `agents`, agents are not
    /// told apart, and all are taken.
    #[serde(default)]
    pub(crate) unknown_agents: UnknownAgents,
}

/// What becomes of unknown agents.
#[derive(Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UnknownAgents {
    /// They are denied.
    #[default]
    Deny,
    /// They may do what no rule asks a known agent for.
    Allow,
}

/// What tokens are bound to, by the claims that the issuer's `claims` has as `session`, `task`
/// and `instance`. A token that has the claim is refused where the request says something
/// else; these say where it must have it.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    /// `required`: the token names the session, as in `Mcp-Session-Id`.
    #[serde(default)]
    pub(crate) session: ContextBinding,
    /// `required`: a token used on a task names it.
    #[serde(default)]
    pub(crate) task: ContextBinding,
    /// `required`: the token names the instance of the agent, as in `instance_header`.
    #[serde(default)]
    pub(crate) instance: ContextBinding,
    /// The header in which an agent names its instance.
    pub(crate) instance_header: Option<String>,
}

/// Whether tokens must be bound to something.
#[derive(Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ContextBinding {
    /// Only those that are.
    #[default]
    IfPresent,
    /// All.
    Required,
}

/// What lists show.
#[derive(Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Lists {
    /// What the caller may use, or could after authenticating again.
    #[default]
    Permitted,
    /// Also what it could use with another token.
    Attainable,
}

/// How a caller learns that it may not use something.
#[derive(Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeniedObjects {
    /// As if it did not exist.
    #[default]
    Hidden,
    /// By 403.
    Forbidden,
}

/// Which requests are for a server. Needed where a proxy before this one rewrites the
/// authority or the path; the metadata document stays where `resource` puts it.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Match {
    /// Authorities, `host` or `host:port`. Default: that of `resource`.
    #[schemars(length(min = 1))]
    pub(crate) authority: Option<Vec<String>>,
    /// The path of the MCP endpoint, compared byte for byte. Default: that of `resource`.
    pub(crate) path: Option<String>,
}

/// The HTTP+SSE transport of 2024-11-05. A client that does a GET of the endpoint is told, on
/// the stream it gets, where to post its messages.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpSse {
    /// The path that messages are posted to, as clients know it and as requests arrive here,
    /// compared byte for byte.
    pub(crate) messages_path: String,
    /// The path that the MCP server tells clients to post to, where a route rewrites it.
    /// Default: `messages_path`.
    pub(crate) announced_path: Option<String>,
}

/// What a server demands of tokens bound to a key (DPoP, RFC 9449).
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dpop {
    /// `required`: every token must be bound to a key, and every request prove it.
    /// `optional`: bound tokens need a proof, others are bearer tokens. `off`: bound tokens
    /// are refused. A rule may ask for more or less.
    pub(crate) mode: Requirement,
    /// What proofs may be signed with; default ES256, ES384, EdDSA.
    #[serde(default = "default_proof_algorithms")]
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub(crate) algorithms: Vec<Algorithm>,
    /// How far `iat` of a proof may be from now, from 5s to 10m; default 5m.
    #[serde(default = "five_minutes")]
    pub(crate) proof_max_age: Span,
    /// Nonces, with which the filter says when a proof was made.
    #[serde(default)]
    pub(crate) nonce: Nonce,
}

/// Nonces in proofs (RFC 9449 section 9).
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nonce {
    /// `required`: every proof has one, and a client without is given one. `optional`: one
    /// that is there must be ours and current. `off`: they are ignored.
    pub(crate) mode: Requirement,
    /// `replica`, the default: a nonce is good at the proxy that gave it, whose record of
    /// used proofs is then complete. `cluster`: at every proxy with the same
    /// `dpop_nonce_keys`, whose records are their own.
    #[serde(default)]
    pub(crate) scope: NonceScope,
    /// How long it is good, from 10s to 1h; default 5m.
    #[serde(default = "five_minutes")]
    pub(crate) lifetime: Span,
}

/// What a server demands of tokens bound to a certificate (RFC 8705 section 3).
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mtls {
    /// `required`: every token must be bound to the client's certificate. `optional`: bound
    /// tokens need it, others are taken without. `off`: bound tokens are refused.
    pub(crate) mode: Requirement,
    /// URI SANs (SPIFFE IDs) of the proxies before this one whose
    /// `x-forwarded-client-cert` is believed. Without it, the certificate is that of the
    /// connection to this proxy.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub(crate) forwarded_by: Option<Vec<String>>,
}

/// Members of the metadata document (RFC 9728 section 2).
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Metadata {
    /// Name for people, shown by clients.
    pub(crate) resource_name: Option<String>,
    /// Scopes a client should ask for to begin with; also the scope of the challenge to a
    /// request without a token. Keep it small: a missing scope is asked for when needed.
    #[serde(default)]
    pub(crate) scopes_supported: Vec<String>,
    /// Issuer identifiers of the authorization servers clients are sent to. Default: those
    /// of the server's issuers.
    #[schemars(length(min = 1))]
    pub(crate) authorization_servers: Option<Vec<String>>,
}

/// Methods without a protected object.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Methods {
    /// Method names, or prefixes such as `notifications/*`. What is not named is denied.
    /// Sessions of the revisions up to 2025-11-25 are open where `initialize` is named.
    pub(crate) allow: Vec<String>,
}

/// Tasks (MCP 2025-11-25, and the extension of 2026-07-28).
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tasks {
    /// Who checks that a task belongs to its caller.
    pub(crate) binding: TaskBinding,
}

impl Default for Dpop {
    fn default() -> Self {
        Dpop {
            mode: Requirement::Off,
            algorithms: default_proof_algorithms(),
            proof_max_age: five_minutes(),
            nonce: Nonce::default(),
        }
    }
}

impl Default for Nonce {
    fn default() -> Self {
        Nonce { mode: Requirement::Off, scope: NonceScope::Replica, lifetime: five_minutes() }
    }
}

impl Default for Mtls {
    fn default() -> Self {
        Mtls { mode: Requirement::Off, forwarded_by: None }
    }
}

/// What clients sign with and the FAPI 2.0 Security Profile permits (section 5.4.1), without
/// the slow RSASSA-PSS.
fn default_proof_algorithms() -> Vec<Algorithm> {
    vec![Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa]
}

/// Room for clients whose clocks differ, and a small record of used proofs.
fn five_minutes() -> Span {
    Span(Duration::from_secs(5 * 60))
}
