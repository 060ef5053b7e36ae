//! The rules of the document, whatever they are for: tools, prompts or resources.

use std::collections::BTreeMap;

use super::document::{
    PromptDeny, PromptRule, Rate, ResourceDeny, ResourceRule, RuleBinding, StepUp, ToolDeny,
    ToolRule, WorkloadGrant,
};
use crate::policy::{Introspect, Mode};

/// What a caller needs for some objects.
pub(super) struct RuleText<'d> {
    /// The member that has the names.
    pub(super) member: &'static str,
    pub(super) names: &'d [String],
    pub(super) id: Option<&'d String>,
    pub(super) scopes: &'d [String],
    pub(super) any_scopes: Option<&'d [String]>,
    pub(super) roles: Option<&'d [String]>,
    pub(super) groups: Option<&'d [String]>,
    pub(super) tenants: Option<&'d [String]>,
    pub(super) subjects: Option<&'d [String]>,
    pub(super) issuers: Option<&'d [String]>,
    pub(super) agents: Option<&'d [String]>,
    pub(super) on_behalf_of: bool,
    pub(super) workloads: Option<&'d [WorkloadGrant]>,
    pub(super) step_up: Option<&'d StepUp>,
    pub(super) dpop: Option<RuleBinding>,
    pub(super) mtls: Option<RuleBinding>,
    pub(super) introspect: Option<Introspect>,
    pub(super) rates: Option<&'d [Rate]>,
    pub(super) mode: Option<Mode>,
    pub(super) exchange: Option<&'d String>,
    pub(super) downstream_scopes: Option<&'d [String]>,
    pub(super) server_wide_exchange: bool,
    pub(super) param_headers: Option<&'d BTreeMap<String, String>>,
}

/// What forbids some objects.
pub(super) struct DenyText<'d> {
    /// The member that has the names.
    pub(super) member: &'static str,
    pub(super) names: &'d [String],
    pub(super) id: Option<&'d String>,
    pub(super) agents: Option<&'d [String]>,
    pub(super) subjects: Option<&'d [String]>,
    pub(super) tenants: Option<&'d [String]>,
    pub(super) mode: Option<Mode>,
}

macro_rules! texts {
    ($rule:ident, $deny:ident, $names:ident, $param_headers:expr) => {
        impl<'d> From<&'d $rule> for RuleText<'d> {
            fn from(rule: &'d $rule) -> Self {
                RuleText {
                    member: stringify!($names),
                    names: &rule.$names,
                    id: rule.id.as_ref(),
                    scopes: &rule.scopes,
                    any_scopes: rule.any_scopes.as_deref(),
                    roles: rule.roles.as_deref(),
                    groups: rule.groups.as_deref(),
                    tenants: rule.tenants.as_deref(),
                    subjects: rule.subjects.as_deref(),
                    issuers: rule.issuers.as_deref(),
                    agents: rule.agents.as_deref(),
                    on_behalf_of: rule.on_behalf_of,
                    workloads: rule.workloads.as_deref(),
                    step_up: rule.step_up.as_ref(),
                    dpop: rule.dpop,
                    mtls: rule.mtls,
                    introspect: rule.introspect,
                    rates: rule.rates.as_deref(),
                    mode: rule.mode,
                    exchange: rule.exchange.as_ref(),
                    downstream_scopes: rule.downstream_scopes.as_deref(),
                    server_wide_exchange: rule.server_wide_exchange,
                    param_headers: $param_headers(rule),
                }
            }
        }

        impl<'d> From<&'d $deny> for DenyText<'d> {
            fn from(deny: &'d $deny) -> Self {
                DenyText {
                    member: stringify!($names),
                    names: &deny.$names,
                    id: deny.id.as_ref(),
                    agents: deny.agents.as_deref(),
                    subjects: deny.subjects.as_deref(),
                    tenants: deny.tenants.as_deref(),
                    mode: deny.mode,
                }
            }
        }
    };
}

texts!(ToolRule, ToolDeny, names, |rule: &'d ToolRule| rule.param_headers.as_ref());
texts!(PromptRule, PromptDeny, names, |_| None);
texts!(ResourceRule, ResourceDeny, uris, |_| None);
