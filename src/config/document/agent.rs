//! `agents`, `scopes` and `policies`: who may act for users, what scopes amount to, and
//! policies beside the one in force.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::rate::Rate;
use super::rule::{PromptRules, ResourceRules, ToolRules};
use super::server::{Context, Delegation, Methods};
use crate::policy::Mode;

/// An agent: what it is recognised by, and what it may do at most, whoever it acts for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Agent {
    /// What it is recognised by, any of these: `client:` and the OAuth client identifier,
    /// `act:` and the `sub` of the current actor, `agent:` and the value of the issuer's
    /// `claims.agent`, or a SPIFFE ID. A token with an actor is the actor's, whatever its
    /// client is.
    #[schemars(length(min = 1), extend("uniqueItems" = true, "examples" = [["client:support-bot", "spiffe://corp.example/ns/bots/sa/support"]]))]
    pub(crate) r#match: Vec<String>,
    /// Names of the issuers whose tokens may name it. Needed where there are several: a
    /// client identifier is unique at its issuer only.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub(crate) issuers: Option<Vec<String>>,
    /// Scopes without which it does nothing.
    #[serde(default)]
    pub(crate) required_scopes: Vec<String>,
    /// Scopes it may use besides. Others of a token do not count. Default: all count.
    pub(crate) optional_scopes: Option<Vec<String>>,
    /// `resource` of the servers it may use. Default: all.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub(crate) servers: Option<Vec<String>>,
    /// Tools it may use at most, names or patterns. Default: all.
    pub(crate) tools: Option<Vec<String>>,
    /// Prompts it may use at most, names or patterns. Default: all.
    pub(crate) prompts: Option<Vec<String>>,
    /// Resources it may use at most, URIs or patterns. Default: all.
    pub(crate) resources: Option<Vec<String>>,
    /// Versions of it that are accepted (`claims.agent_version` of the issuer), such as
    /// `2.*`. Default: all.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub(crate) versions: Option<Vec<String>>,
    /// Whether the issuer has to name the instance (`claims.agent_instance`).
    #[serde(default)]
    pub(crate) instance_required: bool,
    /// How often it may use tools, prompts and resources, whoever it acts for: `60/m`.
    #[schemars(regex(pattern = "^[1-9][0-9]*/[smhd]$"), extend("examples" = ["60/m"]))]
    pub(crate) rate: Option<String>,
}

/// What a scope amounts to.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scope {
    /// Scopes that whoever has this one has too. A scope with `*` counts only by them.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub(crate) implies: Vec<String>,
}

/// A policy beside the one in force. What it does not have is as in the document.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    /// Instead of the document's `agents`.
    pub(crate) agents: Option<BTreeMap<String, Agent>>,
    /// Instead of the document's `scopes`.
    pub(crate) scopes: Option<BTreeMap<String, Scope>>,
    /// Instead of what the servers say, by their `resource`.
    #[serde(default)]
    pub(crate) servers: BTreeMap<String, ServerRules>,
}

/// What a policy says of one server. What it does not have is as the server says.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerRules {
    /// Instead of its `mode`.
    pub(crate) mode: Option<Mode>,
    /// Instead of its `methods`.
    pub(crate) methods: Option<Methods>,
    /// Instead of its `tools`.
    pub(crate) tools: Option<ToolRules>,
    /// Instead of its `prompts`.
    pub(crate) prompts: Option<PromptRules>,
    /// Instead of its `resources`.
    pub(crate) resources: Option<ResourceRules>,
    /// Instead of its `delegation`.
    pub(crate) delegation: Option<Delegation>,
    /// Instead of its `context`.
    pub(crate) context: Option<Context>,
    /// Instead of its `rates`.
    pub(crate) rates: Option<Vec<Rate>>,
}

/// A policy that is back for a while, after a change went wrong.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rollback {
    /// Name of the policy, one of `policies`.
    pub(crate) policy: String,
    /// When it ends by itself, such as `2026-12-01T18:00:00Z` (RFC 3339, in UTC).
    #[schemars(extend("format" = "date-time"))]
    pub(crate) until: String,
}
