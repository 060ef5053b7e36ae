//! Decisions, and nothing else: (caller, operation, policy) → decision.
//!
//! Pure functions over plain data. No JSON, no HTTP, no clock, no host: what is
//! decided here can be read, tested and explained without any of them. The one
//! function that decides a call also decides which entries of a list its caller
//! may see, so the two cannot disagree.
//!
//! First principles: what no rule names is denied; the most specific rule decides
//! alone; a doubt is a denial.

mod rules;
mod uri;

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::mcp::{Operation, ParamHeader, Target};
use crate::token::{AccessToken, Requirement, Verified};

pub use rules::{Conflict, Introspect, Pattern, PatternError, Rule, RuleTable};

/// What one MCP server's callers may do.
#[derive(Debug, Default)]
pub struct ServerPolicy {
    methods: Vec<Pattern>,
    tools: RuleTable,
    prompts: RuleTable,
    resources: RuleTable,
    /// What an operation demands of DPoP whose rule does not say it, or that has none.
    dpop: Requirement,
    /// Whether any rule asks for introspection.
    introspects: bool,
}

/// The answer to "may this caller do this", with its grounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The answer.
    pub outcome: Outcome,
    /// Every scope the operation takes, whether the caller holds it or not:
    /// what a challenge asks for (RFC 6750 section 3, MCP authorization "scope selection").
    pub required_scopes: BTreeSet<String>,
    /// Where the rules that decided stand in the configuration, such as
    /// `servers[0].tools.rules[1]`. Empty when no rule matched.
    pub rules: Vec<String>,
    /// What else has to hold before the operation proceeds: the issuer's word on the token.
    pub introspect: Option<Introspect>,
}

/// Allow, or deny with the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The operation may proceed.
    Allow,
    /// It may not.
    Deny(Reason),
}

/// Why an operation is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The method is not among those the server's policy allows.
    MethodNotAllowed,
    /// No rule names the tool, prompt, resource or task.
    NoRule,
    /// A rule names it, and the caller's token lacks a scope the rule asks for.
    MissingScope,
    /// The operation takes a token bound to a DPoP key, and the caller's is not.
    DpopRequired,
}

impl Reason {
    /// Whether the caller could do it with another token.
    #[must_use]
    pub fn asks_for_another_token(self) -> bool {
        matches!(self, Reason::MissingScope | Reason::DpopRequired)
    }

    fn graver(self, other: Reason) -> Reason {
        let rank = |reason| match reason {
            Reason::MissingScope => 0,
            Reason::DpopRequired => 1,
            Reason::MethodNotAllowed | Reason::NoRule => 2,
        };
        if rank(other) > rank(self) { other } else { self }
    }
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
        tools: RuleTable,
        prompts: RuleTable,
        resources: RuleTable,
    ) -> Self {
        let introspects = [&tools, &prompts, &resources]
            .iter()
            .any(|table| table.rules().any(|rule| rule.introspect.is_some()));
        ServerPolicy { methods, tools, prompts, resources, dpop: Requirement::Off, introspects }
    }

    /// The same, with what an operation demands of DPoP whose rule does not say it, or
    /// that has none.
    #[must_use]
    pub fn with_dpop(self, dpop: Requirement) -> Self {
        ServerPolicy { dpop, ..self }
    }

    /// What an operation demands of DPoP whose rule does not say it, or that has none.
    #[must_use]
    pub fn dpop(&self) -> Requirement {
        self.dpop
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
        !self.tools.is_empty()
    }

    /// Whether any prompt may be used by anybody.
    #[must_use]
    pub fn names_prompts(&self) -> bool {
        !self.prompts.is_empty()
    }

    /// Whether any resource may be used by anybody.
    #[must_use]
    pub fn names_resources(&self) -> bool {
        !self.resources.is_empty()
    }

    /// The policy that permits nothing.
    #[must_use]
    pub fn deny_all() -> Self {
        ServerPolicy::default()
    }

    /// Decides one MCP operation.
    #[must_use]
    pub fn decide(
        &self,
        caller: &Verified<AccessToken>,
        operation: &Operation,
        form: Form,
    ) -> Decision {
        // A request method without an id would run unanswered on a lax server; and
        // nothing but notifications is defined to come as one (JSON-RPC 2.0 section 4.1).
        if form == Form::Notification && !operation.method.starts_with("notifications/") {
            return Decision::deny(Reason::MethodNotAllowed);
        }
        match &operation.target {
            Target::None | Target::Task(_) => self.decide_method(caller, &operation.method),
            Target::Subscription { resources, tasks } => {
                self.decide_subscription(caller, &operation.method, resources, tasks)
            }
            target => self.decide_target(caller, target),
        }
    }

    /// Decides whether a caller may use one protected object, be it to call it or
    /// to see it in a list.
    #[must_use]
    pub fn decide_target(&self, caller: &Verified<AccessToken>, target: &Target) -> Decision {
        match self.rule(target) {
            Some(rule) => self.decide_by_rule(caller, rule),
            None => Decision::deny(Reason::NoRule),
        }
    }

    /// The headers that mirror arguments of this tool.
    #[must_use]
    pub fn param_headers(&self, target: &Target) -> &[ParamHeader] {
        match target {
            Target::Tool(name) => self.tools.find(name).map_or(&[], |rule| &rule.param_headers),
            _ => &[],
        }
    }

    /// The rule that decides on a protected object.
    #[must_use]
    pub fn rule(&self, target: &Target) -> Option<&Rc<Rule>> {
        match target {
            Target::Tool(name) => self.tools.find(name),
            Target::Prompt(name) => self.prompts.find(name),
            Target::Resource(uri) | Target::ResourceTemplate(uri) => self.resources.find_uri(uri),
            Target::None | Target::Task(_) | Target::Subscription { .. } => None,
        }
    }

    /// Decides what belongs to a session of the protocol revisions up to 2025-11-25
    /// and carries no operation: the GET stream, DELETE, and answers to the server's
    /// own requests. They are open where sessions are: where `initialize` is allowed.
    #[must_use]
    pub fn decide_session(&self, caller: &Verified<AccessToken>) -> Decision {
        self.decide_method(caller, "initialize")
    }

    fn decide_method(&self, caller: &AccessToken, method: &str) -> Decision {
        if !self.allows_method(method) {
            Decision::deny(Reason::MethodNotAllowed)
        } else if self.lacks_dpop(caller, None) {
            Decision::deny(Reason::DpopRequired)
        } else {
            Decision::allow()
        }
    }

    fn decide_by_rule(&self, caller: &AccessToken, rule: &Rc<Rule>) -> Decision {
        // The proof first: a token with more scopes would be refused all the same.
        let outcome = if self.lacks_dpop(caller, rule.dpop) {
            Outcome::Deny(Reason::DpopRequired)
        } else if rule.scopes.is_subset(&caller.scopes) {
            Outcome::Allow
        } else {
            Outcome::Deny(Reason::MissingScope)
        };
        Decision {
            outcome,
            required_scopes: rule.scopes.clone(),
            rules: vec![rule.id.clone()],
            introspect: rule.introspect,
        }
    }

    /// A caller whose token is bound to a key has proved to hold it.
    fn lacks_dpop(&self, caller: &AccessToken, rule: Option<Requirement>) -> bool {
        rule.unwrap_or(self.dpop) == Requirement::Required && caller.confirmation.key.is_none()
    }

    /// A subscription reaches several objects at once: all of them must be permitted.
    fn decide_subscription(
        &self,
        caller: &Verified<AccessToken>,
        method: &str,
        resources: &[String],
        tasks: &[String],
    ) -> Decision {
        let mut decision = self.decide_method(caller, method);
        if !tasks.is_empty() {
            decision = decision.and(self.decide_method(caller, "tasks/get"));
        }
        for uri in resources {
            decision = decision.and(self.decide_target(caller, &Target::Resource(uri.clone())));
        }
        decision
    }
}

impl Decision {
    /// Whether the operation may proceed.
    #[must_use]
    pub fn is_allow(&self) -> bool {
        self.outcome == Outcome::Allow
    }

    fn allow() -> Self {
        Decision {
            outcome: Outcome::Allow,
            required_scopes: BTreeSet::new(),
            rules: Vec::new(),
            introspect: None,
        }
    }

    fn deny(reason: Reason) -> Self {
        Decision { outcome: Outcome::Deny(reason), ..Decision::allow() }
    }

    /// Both must allow. A denial that no token can mend outranks one that another token
    /// would, so that nobody is sent for a token that would not help.
    fn and(mut self, other: Decision) -> Self {
        self.outcome = match (self.outcome, other.outcome) {
            (Outcome::Allow, outcome) | (outcome, Outcome::Allow) => outcome,
            (Outcome::Deny(one), Outcome::Deny(another)) => Outcome::Deny(one.graver(another)),
        };
        self.required_scopes.extend(other.required_scopes);
        self.rules.extend(other.rules);
        self.introspect = self.introspect.max(other.introspect);
        self
    }
}

#[cfg(test)]
mod tests;
