//! Rules: what a caller needs for some tools, prompts or resources.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::rate::Rate;
use super::values::Span;
use crate::policy::{Introspect, Mode};

/// Declares the rules of one kind of object, which differ only in what they name.
macro_rules! rules {
    (
        $(#[doc = $rules_doc:literal])* $rules:ident,
        $(#[doc = $rule_doc:literal])* $rule:ident,
        $(#[doc = $deny_doc:literal])* $deny:ident,
        $(#[doc = $names_doc:literal])* $names:ident
        $(, $(#[$extra_attr:meta])* $extra:ident: $extra_type:ty)?
    ) => {
        $(#[doc = $rules_doc])*
        #[derive(Default, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct $rules {
            /// The most specific name decides alone: the exact one, else the one with the
            /// longest beginning, then the longest end, then the most text between. What no
            /// rule names is denied and left out of lists.
            pub(crate) rules: Vec<$rule>,
            /// Rules that forbid. Each of them wins over every rule that permits.
            pub(crate) deny: Vec<$deny>,
        }

        $(#[doc = $rule_doc])*
        #[derive(Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $rule {
            /// Its name in records. Default: where it stands, such as `servers[0].tools.rules[1]`.
            pub(crate) id: Option<String>,
            $(#[doc = $names_doc])*
            #[schemars(length(min = 1))]
            pub(crate) $names: Vec<String>,
            /// Scopes the token must carry, all of them. `[]` asks for none.
            pub(crate) scopes: Vec<String>,
            /// Scopes of which the token must carry one. A challenge asks for the first.
            #[schemars(length(min = 1), extend("uniqueItems" = true))]
            pub(crate) any_scopes: Option<Vec<String>>,
            /// Roles of which the user must have one.
            #[schemars(length(min = 1), extend("uniqueItems" = true))]
            pub(crate) roles: Option<Vec<String>>,
            /// Groups of which the user must be in one.
            #[schemars(length(min = 1), extend("uniqueItems" = true))]
            pub(crate) groups: Option<Vec<String>>,
            /// Tenants, of which the user's, or the workload's, must be one.
            #[schemars(length(min = 1), extend("uniqueItems" = true))]
            pub(crate) tenants: Option<Vec<String>>,
            /// Subjects, of which the user must be one. Needs `issuers` where the server has
            /// several: a subject is unique at its issuer only.
            #[schemars(length(min = 1), extend("uniqueItems" = true))]
            pub(crate) subjects: Option<Vec<String>>,
            /// Names of issuers, of which the token's must be one.
            #[schemars(length(min = 1), extend("uniqueItems" = true))]
            pub(crate) issuers: Option<Vec<String>>,
            /// Names of agents, of which the caller's must be one.
            #[schemars(length(min = 1), extend("uniqueItems" = true))]
            pub(crate) agents: Option<Vec<String>>,
            /// Whether the token must name a user and an agent, which are not the same.
            #[serde(default)]
            pub(crate) on_behalf_of: bool,
            /// What workloads may do that call for nobody but themselves (application
            /// permissions). The scopes, roles and other conditions on users are not for
            /// them, only `tenants` and `issuers` are: without this, they are denied.
            #[schemars(length(min = 1))]
            pub(crate) workloads: Option<Vec<WorkloadGrant>>,
            /// How the user must have authenticated. A client is told what is missing.
            pub(crate) step_up: Option<StepUp>,
            /// Whether the token must be bound to a key, if other than the server's `dpop` says.
            pub(crate) dpop: Option<RuleBinding>,
            /// Whether the token must be bound to a certificate, if other than the server's
            /// `mtls` says.
            pub(crate) mtls: Option<RuleBinding>,
            /// Asks the token's issuer about it: a remembered answer will do (`cached`), or
            /// not (`fresh`).
            pub(crate) introspect: Option<Introspect>,
            /// How often callers may do it.
            #[schemars(length(min = 1))]
            pub(crate) rates: Option<Vec<Rate>>,
            /// Name of the exchange by which they get their credential, if not the server's.
            pub(crate) exchange: Option<String>,
            /// Scopes of the credential that goes to the MCP server, whatever the caller's token
            /// carries. Default: of the rule's `scopes`, one of its `any_scopes` and, for a
            /// workload, the `scopes` of its grant, those that the caller's token carries or that
            /// follow from what it carries; if these are none, the exchange's `server_scopes`.
            /// With `per_server`: those of the `server_scopes` without which it would be in vain.
            #[schemars(length(min = 1), extend("uniqueItems" = true))]
            pub(crate) downstream_scopes: Option<Vec<String>>,
            /// Whether a credential with the exchange's `server_scopes` will do for clients older
            /// than 2026-07-28 in `host_mode` `stream`, where their operations are not known in
            /// time. Without it they are refused there.
            #[serde(default)]
            pub(crate) server_wide_exchange: bool,
            /// Whether its denials are enforced, if other than the server's `mode` says.
            pub(crate) mode: Option<Mode>,
            $($(#[$extra_attr])* pub(crate) $extra: $extra_type,)?
        }

        $(#[doc = $deny_doc])*
        #[derive(Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $deny {
            /// Its name in records. Default: where it stands.
            pub(crate) id: Option<String>,
            $(#[doc = $names_doc])*
            #[schemars(length(min = 1))]
            pub(crate) $names: Vec<String>,
            /// Names of agents. Default: all.
            #[schemars(length(min = 1), extend("uniqueItems" = true))]
            pub(crate) agents: Option<Vec<String>>,
            /// Subjects. Default: all.
            #[schemars(length(min = 1), extend("uniqueItems" = true))]
            pub(crate) subjects: Option<Vec<String>>,
            /// Tenants. A token that does not say its tenant may be any's. Default: all.
            #[schemars(length(min = 1), extend("uniqueItems" = true))]
            pub(crate) tenants: Option<Vec<String>>,
            /// Whether its denials are enforced, if other than the server's `mode` says.
            pub(crate) mode: Option<Mode>,
        }
    };
}

rules!(
    /// Rules for tools.
    ToolRules,
    /// What a caller needs for some tools.
    ToolRule,
    /// Forbids some tools to the callers of whom all conditions hold that it has.
    ToolDeny,
    /// Names, or patterns such as `get_*` and `get_*_draft`. Upper and lower case differ.
    names,
    /// Headers that mirror arguments of these tools, as `x-mcp-header` of their `inputSchema`
    /// says: from the name after `Mcp-Param-` to the argument, a JSON Pointer (RFC 6901) into
    /// `arguments`. A call whose header does not say what the argument does is refused.
    #[schemars(extend("minProperties" = 1, "examples" = [{ "Region": "/region" }]))]
    param_headers: Option<BTreeMap<String, String>>
);

rules!(
    /// Rules for prompts.
    PromptRules,
    /// What a caller needs for some prompts.
    PromptRule,
    /// Forbids some prompts to the callers of whom all conditions hold that it has.
    PromptDeny,
    /// Names, or patterns such as `get_*` and `get_*_draft`. Upper and lower case differ.
    names
);

rules!(
    /// Rules for resources.
    ResourceRules,
    /// What a caller needs for some resources.
    ResourceRule,
    /// Forbids some resources to the callers of whom all conditions hold that it has.
    ResourceDeny,
    /// URIs or URI templates, or patterns such as `docs://*` and `docs://*/public/*`.
    uris
);

/// What a rule grants to workloads that call for nobody but themselves.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkloadGrant {
    /// Names of agents: the workloads that may.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub(crate) agents: Vec<String>,
    /// Scopes their token must carry, all of them.
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    /// Roles they must have themselves, all of them (application permissions, such as app
    /// roles of Microsoft Entra ID).
    #[serde(default)]
    pub(crate) permissions: Vec<String>,
}

/// How the user must have authenticated (RFC 9470).
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StepUp {
    /// Values of `acr` of which the token must have one, the most wanted first.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub(crate) acr: Option<Vec<String>>,
    /// How long ago the user may have authenticated (`auth_time`), from 10s to 30days.
    pub(crate) max_age: Option<Span>,
    /// Authentication contexts of Microsoft Entra ID (`acrs`) of which the token must have
    /// one, the most wanted first.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub(crate) contexts: Option<Vec<String>>,
}

/// What a rule demands of bound tokens.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RuleBinding {
    /// Tokens that are bound need a proof, others are taken as bearer tokens.
    Optional,
    /// The token must be bound, and the request prove it.
    Required,
}
