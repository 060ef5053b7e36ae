//! `servers`: the MCP servers, what they demand of callers, and their rules.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::Span;
use crate::gate::TaskBinding;
use crate::policy::Introspect;
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
    pub(crate) prompts: NamedRules,
    /// Who may see, read and subscribe to which resources.
    #[serde(default)]
    pub(crate) resources: UriRules,
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

/// Rules for tools.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToolRules {
    /// The most specific name decides alone: the exact one, else the longest prefix.
    /// What no rule names is denied and left out of lists.
    pub(crate) rules: Vec<ToolRule>,
}

/// What a caller needs for some tools.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToolRule {
    /// Names, or prefixes such as `get_*`. Upper and lower case differ.
    #[schemars(length(min = 1))]
    pub(crate) names: Vec<String>,
    /// Scopes the token must carry, all of them. `[]` permits every authenticated caller.
    pub(crate) scopes: Vec<String>,
    /// Whether the token must be bound to a key, if other than the server's `dpop` says.
    pub(crate) dpop: Option<RuleDpop>,
    /// Asks the token's issuer about it: a remembered answer will do (`cached`), or not (`fresh`).
    pub(crate) introspect: Option<Introspect>,
    /// Headers that mirror arguments of these tools, as `x-mcp-header` of their `inputSchema`
    /// says: from the name after `Mcp-Param-` to the argument, a JSON Pointer (RFC 6901) into
    /// `arguments`. A call whose header does not say what the argument does is refused.
    #[schemars(extend("minProperties" = 1, "examples" = [{ "Region": "/region" }]))]
    pub(crate) param_headers: Option<BTreeMap<String, String>>,
}

/// Rules for prompts.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NamedRules {
    /// The most specific name decides alone: the exact one, else the longest prefix.
    /// What no rule names is denied and left out of lists.
    pub(crate) rules: Vec<NamedRule>,
}

/// What a caller needs for some prompts.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NamedRule {
    /// Names, or prefixes such as `get_*`. Upper and lower case differ.
    #[schemars(length(min = 1))]
    pub(crate) names: Vec<String>,
    /// Scopes the token must carry, all of them. `[]` permits every authenticated caller.
    pub(crate) scopes: Vec<String>,
    /// Whether the token must be bound to a key, if other than the server's `dpop` says.
    pub(crate) dpop: Option<RuleDpop>,
    /// Asks the token's issuer about it: a remembered answer will do (`cached`), or not (`fresh`).
    pub(crate) introspect: Option<Introspect>,
}

/// Rules for resources.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UriRules {
    /// The most specific URI decides alone: the exact one, else the longest prefix.
    /// What no rule names is denied and left out of lists.
    pub(crate) rules: Vec<UriRule>,
}

/// What a caller needs for some resources.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UriRule {
    /// URIs or URI templates, or prefixes such as `docs://*`.
    #[schemars(length(min = 1))]
    pub(crate) uris: Vec<String>,
    /// Scopes the token must carry, all of them. `[]` permits every authenticated caller.
    pub(crate) scopes: Vec<String>,
    /// Whether the token must be bound to a key, if other than the server's `dpop` says.
    pub(crate) dpop: Option<RuleDpop>,
    /// Asks the token's issuer about it: a remembered answer will do (`cached`), or not (`fresh`).
    pub(crate) introspect: Option<Introspect>,
}

/// What a rule demands of DPoP.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RuleDpop {
    /// Tokens that are bound need a proof, others are taken as bearer tokens.
    Optional,
    /// The token must be bound, and the request prove it.
    Required,
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
