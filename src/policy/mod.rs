//! Decisions, and nothing else: (identity, operation, policy) → decision.
//!
//! Pure functions over plain data. No JSON, no HTTP, no clock, no host: what is
//! decided here can be read, tested and explained without any of them. The one
//! function that decides a call also decides which entries of a list its caller
//! may see, so the two cannot disagree.
//!
//! First principles: what no rule names is denied; the most specific rule decides
//! alone; a doubt is a denial.

mod agents;
mod decision;
mod delegation;
mod deny;
mod explain;
mod identity;
mod limits;
mod rules;
mod scopes;
mod uri;

use std::rc::Rc;

use crate::mcp::{Operation, ParamHeader, Target};
use crate::token::Requirement;

pub use agents::{Agent, AgentIdentifier, Agents};
pub use decision::{Decision, Mode, Obligations, Outcome, Reason, Side, StepUp};
pub use delegation::{DEFAULT_MAX_DEPTH, Delegation};
pub use deny::{DenyRule, DenyTable};
pub use explain::{Check, Explanation};
pub use identity::{Identity, RequestContext};
pub use limits::{RateKey, RateLimit};
pub use rules::{Conflict, Introspect, Pattern, PatternError, Rule, RuleTable, WorkloadGrant};
pub use scopes::{ScopeGrant, Scopes, is_broad};

/// What one MCP server's callers may do.
#[derive(Debug, Default)]
pub struct ServerPolicy {
    methods: Vec<Pattern>,
    tools: ObjectRules,
    prompts: ObjectRules,
    resources: ObjectRules,
    settings: Settings,
    /// Whether any rule asks for introspection.
    introspects: bool,
}

/// The rules for one kind of object.
#[derive(Debug, Default)]
pub struct ObjectRules {
    /// What permits. The most specific rule decides alone.
    pub allow: RuleTable,
    /// What forbids. Every rule that matches counts, and comes first.
    pub deny: DenyTable,
}

/// What holds for all operations of a server.
#[derive(Debug, Default)]
pub struct Settings {
    /// Resource identifier of the server, as agents and consent name it.
    pub resource: String,
    /// What becomes of denials.
    pub mode: Mode,
    /// What an operation demands of DPoP whose rule does not say it, or that has none.
    pub dpop: Requirement,
    /// The same of certificate-bound tokens.
    pub mtls: Requirement,
    /// The agents that are known. `None`: agents are not told apart.
    pub agents: Option<Rc<Agents>>,
    /// Whether agents that are not in the catalogue may call, as agents of no name.
    pub takes_unknown_agents: bool,
    /// How scopes follow from others.
    pub scopes: Rc<Scopes>,
    /// What chains of actors may look like.
    pub delegation: Delegation,
    /// Whether a token has to be bound to the session it is used in; a token that is, is
    /// refused in any other.
    pub needs_session_context: bool,
    /// The same of the task that the operation names.
    pub needs_task_context: bool,
    /// The same of the instance that the request names.
    pub needs_instance_context: bool,
    /// Rates that count every operation with a protected object.
    pub rates: Vec<Rc<RateLimit>>,
    /// Whether lists also show what the caller could use with another token.
    pub lists_attainable: bool,
}

/// How the operation came: a request gets an answer, a notification does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// JSON-RPC request: has an `id`.
    Request,
    /// JSON-RPC notification: has none.
    Notification,
}

impl ServerPolicy {
    /// A policy of these parts. `methods` are the methods without a protected
    /// object; tools, prompts and resources are allowed by their own rules.
    #[must_use]
    pub fn new(
        methods: Vec<Pattern>,
        tools: ObjectRules,
        prompts: ObjectRules,
        resources: ObjectRules,
        settings: Settings,
    ) -> Self {
        let introspects = [&tools, &prompts, &resources]
            .iter()
            .any(|rules| rules.allow.rules().any(|rule| rule.introspect.is_some()));
        ServerPolicy { methods, tools, prompts, resources, settings, introspects }
    }

    /// What holds for all operations.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether any decision may ask for introspection.
    #[must_use]
    pub fn may_introspect(&self) -> bool {
        self.introspects
    }

    /// Whether a method without a protected object is allowed.
    #[must_use]
    pub fn allows_method(&self, method: &str) -> bool {
        self.methods.iter().any(|pattern| pattern.matches(method))
    }

    /// Whether anything can be done with a task: look at it, or get what came of it.
    #[must_use]
    pub fn allows_tasks(&self) -> bool {
        ["tasks/get", "tasks/result", "tasks/list", "tasks/update", "tasks/cancel"]
            .iter()
            .any(|method| self.allows_method(method))
    }

    /// Whether any tool may be used by anybody.
    #[must_use]
    pub fn names_tools(&self) -> bool {
        !self.tools.allow.is_empty()
    }

    /// Whether any prompt may be used by anybody.
    #[must_use]
    pub fn names_prompts(&self) -> bool {
        !self.prompts.allow.is_empty()
    }

    /// Whether any resource may be used by anybody.
    #[must_use]
    pub fn names_resources(&self) -> bool {
        !self.resources.allow.is_empty()
    }

    /// The policy that permits nothing.
    #[must_use]
    pub fn deny_all() -> Self {
        ServerPolicy::default()
    }

    /// Decides one MCP operation.
    #[must_use]
    pub fn decide(&self, identity: &Identity<'_>, operation: &Operation, form: Form) -> Decision {
        // A request method without an id would run unanswered on a lax server; and
        // nothing but notifications is defined to come as one (JSON-RPC 2.0 section 4.1).
        if form == Form::Notification && !operation.method.starts_with("notifications/") {
            return Decision::deny(Reason::MethodNotAllowed);
        }
        match &operation.target {
            Target::None | Target::Task(_) => self.decide_method(identity, &operation.method),
            Target::Subscription { resources, tasks } => {
                self.decide_subscription(identity, &operation.method, resources, tasks)
            }
            target => self.decide_target(identity, target),
        }
    }

    /// Whether a list shows an object to a caller: who may use it, or would only have to
    /// authenticate better, sees it.
    #[must_use]
    pub fn shows(&self, identity: &Identity<'_>, target: &Target) -> bool {
        let decision = self.decide_target(identity, target);
        match decision.enforced_denial() {
            None | Some(Reason::StepUp) => true,
            Some(reason) => self.settings.lists_attainable && reason.asks_for_another_token(),
        }
    }

    /// Decides whether a caller may use one protected object, be it to call it or
    /// to see it in a list.
    #[must_use]
    pub fn decide_target(&self, identity: &Identity<'_>, target: &Target) -> Decision {
        match self.rule(target) {
            Some(rule) => self.decide_by_rule(identity, rule),
            None => Decision::deny(Reason::NoRule),
        }
    }

    /// The headers that mirror arguments of this tool.
    #[must_use]
    pub fn param_headers(&self, target: &Target) -> &[ParamHeader] {
        match target {
            Target::Tool(name) => {
                self.tools.allow.find(name).map_or(&[], |rule| &rule.param_headers)
            }
            _ => &[],
        }
    }

    /// The rule that decides on a protected object.
    #[must_use]
    pub fn rule(&self, target: &Target) -> Option<&Rc<Rule>> {
        match target {
            Target::Tool(name) => self.tools.allow.find(name),
            Target::Prompt(name) => self.prompts.allow.find(name),
            Target::Resource(uri) | Target::ResourceTemplate(uri) => {
                self.resources.allow.find_uri(uri)
            }
            Target::None | Target::Task(_) | Target::Subscription { .. } => None,
        }
    }

    /// Decides what belongs to a session of the protocol revisions up to 2025-11-25
    /// and carries no operation: the GET stream, DELETE, and answers to the server's
    /// own requests. They are open where sessions are: where `initialize` is allowed.
    #[must_use]
    pub fn decide_session(&self, identity: &Identity<'_>) -> Decision {
        self.decide_method(identity, "initialize")
    }

    fn decide_method(&self, identity: &Identity<'_>, method: &str) -> Decision {
        if !self.allows_method(method) {
            Decision::deny(Reason::MethodNotAllowed)
        } else if self.lacks_dpop(identity, None) {
            Decision::deny(Reason::DpopRequired)
        } else {
            Decision::allow()
        }
    }

    fn decide_by_rule(&self, identity: &Identity<'_>, rule: &Rc<Rule>) -> Decision {
        // The proof first: a token with more scopes would be refused all the same.
        let outcome = if self.lacks_dpop(identity, rule.dpop) {
            Outcome::Deny(Reason::DpopRequired)
        } else if rule.scopes.is_subset(&identity.token.scopes) {
            Outcome::Allow
        } else {
            Outcome::Deny(Reason::MissingScope)
        };
        Decision {
            outcome,
            required_scopes: rule.scopes.clone(),
            rules: vec![rule.id.clone()],
            obligations: Obligations { introspect: rule.introspect, rates: Vec::new() },
            ..Decision::allow()
        }
    }

    /// A caller whose token is bound to a key has proved to hold it.
    fn lacks_dpop(&self, identity: &Identity<'_>, rule: Option<Requirement>) -> bool {
        rule.unwrap_or(self.settings.dpop) == Requirement::Required
            && identity.token.confirmation.key.is_none()
    }

    /// A subscription reaches several objects at once: all of them must be permitted.
    fn decide_subscription(
        &self,
        identity: &Identity<'_>,
        method: &str,
        resources: &[String],
        tasks: &[String],
    ) -> Decision {
        let mut decision = self.decide_method(identity, method);
        if !tasks.is_empty() {
            decision = decision.and(self.decide_method(identity, "tasks/get"));
        }
        for uri in resources {
            decision = decision.and(self.decide_target(identity, &Target::Resource(uri.clone())));
        }
        decision
    }
}

#[cfg(test)]
mod tests;
