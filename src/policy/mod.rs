//! Decisions, and nothing else: (identity, operation, policy) → decision.
//!
//! Pure functions over plain data. No JSON, no HTTP, no clock, no host: what is
//! decided here can be read, tested and explained without any of them. The one
//! function that decides a call also decides which entries of a list its caller
//! may see, so the two cannot disagree.
//!
//! First principles: what no rule names is denied; a rule that forbids wins; of those that
//! permit, the most specific decides alone; user and agent must both be permitted; a doubt
//! is a denial. All that is ever asked stands in one table: [`conditions`].

mod agents;
mod case;
mod conditions;
mod decision;
mod delegation;
mod deny;
mod downstream;
mod explain;
mod identity;
mod limits;
mod pattern;
mod rules;
mod scopes;
mod step_up;
mod table;
mod uri;

use std::rc::Rc;

use crate::mcp::{Era, Operation, ParamHeader, Target};
use crate::token::Requirement;

pub use agents::{Agent, AgentIdentifier, Agents, AgentsError, KnownAgent, Recognised};
pub use decision::{Decision, Mode, Obligations, Outcome, Reason, Side};
pub use delegation::{DEFAULT_MAX_DEPTH, Delegation};
pub use deny::{DenyRule, DenyTable};
pub use downstream::{CredentialWanted, Downstream, DownstreamScopes};
pub use explain::{Check, Explanation};
pub use identity::{Identity, RequestContext};
pub use limits::{RateKey, RateLimit};
pub use pattern::{Glob, Pattern, PatternError};
pub use rules::{Introspect, Rule, RuleTable, WorkloadGrant};
pub use scopes::{ScopeCircle, ScopeGrant, Scopes, is_broad};
pub use step_up::StepUp;
pub use table::TableError;

use case::{Asked, Case};

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
    /// Whether anything gets a credential that is asked for.
    exchanges: bool,
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
    /// By which exchange operations get the credential that they take along, where no rule has
    /// one of its own. `None`: nothing goes along.
    pub exchange: Option<Rc<Downstream>>,
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
        let by_rule = [&tools, &prompts, &resources]
            .into_iter()
            .flat_map(|rules| rules.allow.rules())
            .filter_map(|rule| rule.exchange.as_ref());
        let exchanges =
            settings.exchange.iter().chain(by_rule).any(|downstream| downstream.exchange.is_some());
        ServerPolicy { methods, tools, prompts, resources, settings, introspects, exchanges }
    }

    /// What holds for all operations.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The agent, by its name in the catalogue.
    #[must_use]
    pub fn agent(&self, identity: &Identity<'_>) -> Option<Rc<str>> {
        match self.settings.agents.as_ref()?.identify(identity) {
            Recognised::Known(known) => Some(Rc::clone(&known.name)),
            Recognised::Unknown | Recognised::Mismatch | Recognised::NotTold => None,
        }
    }

    /// Whether anything is counted: operations, or challenges to step up, which authorization
    /// servers may ask for too.
    #[must_use]
    pub fn counts(&self) -> bool {
        let by_rule = |rule: &Rc<Rule>| !rule.rates.is_empty() || rule.step_up.is_some();
        let by_agent = self
            .settings
            .agents
            .iter()
            .any(|agents| agents.iter().any(|agent| agent.rate.is_some()));
        let tables = [&self.tools, &self.prompts, &self.resources];
        by_agent
            || self.exchanges
            || !self.settings.rates.is_empty()
            || tables.iter().any(|rules| rules.allow.rules().any(by_rule))
    }

    /// Whether any decision may ask for introspection.
    #[must_use]
    pub fn may_introspect(&self) -> bool {
        self.introspects
    }

    /// Whether any operation gets a credential that has to be asked for.
    #[must_use]
    pub fn exchanges(&self) -> bool {
        self.exchanges
    }

    /// The credential for what is not known in time: in `stream`, of a request whose headers do
    /// not say what it is for. None for who would be refused whatever it is: to clients of the
    /// older revisions that is what has no session.
    #[must_use]
    pub fn credential_of_unknown(
        &self,
        identity: &Identity<'_>,
        era: Era,
    ) -> Option<CredentialWanted> {
        // What its token is bound to, it may be about.
        let tasks = identity.token.context.task.as_slice();
        let mut case = self.method(identity, "initialize", tasks, false);
        if let Asked::Method { allowed, .. } = &mut case.asked {
            *allowed |= era == Era::Modern;
        }
        let decision = case.decide();
        if decision.proceeds() { decision.obligations.credential } else { None }
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
        if !comes_as(operation, form) {
            return Decision::refuse(Reason::MethodNotAllowed);
        }
        let mut decision: Option<Decision> = None;
        self.each_case(identity, operation, |case| {
            decision = Some(match decision.take() {
                Some(decision) => decision.and(case.decide()),
                None => case.decide(),
            });
        });
        // INVARIANT: every operation has a case.
        decision.unwrap_or_else(|| Decision::refuse(Reason::MethodNotAllowed))
    }

    /// Decides one MCP operation as [`decide`](Self::decide) does, and says everything that
    /// was asked on the way.
    #[must_use]
    pub fn explain(
        &self,
        identity: &Identity<'_>,
        operation: &Operation,
        form: Form,
    ) -> Explanation {
        let mut checks = Vec::new();
        if comes_as(operation, form) {
            self.each_case(identity, operation, |case| checks.extend(Check::all(case)));
        } else {
            checks.push(Check::form());
        }
        let decision = self.decide(identity, operation, form);
        if decision.outcome == Outcome::Deny(Reason::CredentialsDiffer) {
            checks.push(Check::credentials());
        }
        Explanation { decision, checks }
    }

    /// Whether a list shows an object to a caller: who may use it, or would only have to
    /// authenticate better, sees it.
    #[must_use]
    pub fn shows(&self, identity: &Identity<'_>, target: &Target) -> bool {
        self.object(identity, target, &[]).refusals().all(|refusal| {
            refusal.mode == Mode::Shadow
                || refusal.reason == Reason::StepUp
                || (self.settings.lists_attainable && refusal.reason.asks_for_another_token())
        })
    }

    /// Decides whether a caller may use one protected object, be it to call it or
    /// to see it in a list.
    #[must_use]
    pub fn decide_target(&self, identity: &Identity<'_>, target: &Target) -> Decision {
        self.object(identity, target, &[]).decide()
    }

    /// What becomes of an operation that exceeds a rate of that id: what the rule says whose
    /// rate it is, else the server.
    #[must_use]
    pub fn rate_mode(&self, target: &Target, limit: Option<&str>) -> Mode {
        let rule = self
            .rule(target)
            .filter(|rule| rule.rates.iter().any(|rate| Some(rate.id.as_str()) == limit));
        rule.and_then(|rule| rule.mode).unwrap_or(self.settings.mode)
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
        let mut case = self.method(identity, "initialize", &[], false);
        if let Asked::Method { opens_session, .. } = &mut case.asked {
            *opens_session = false;
        }
        case.decide()
    }

    /// The cases of an operation, all of which must be permitted: one, or for a subscription,
    /// which reaches several objects at once, one for each of them besides.
    fn each_case(
        &self,
        identity: &Identity<'_>,
        operation: &Operation,
        mut judge: impl FnMut(&Case<'_>),
    ) {
        let method = operation.method.as_str();
        match &operation.target {
            Target::None => judge(&self.method(identity, method, &[], false)),
            Target::Task(task) => {
                judge(&self.method(identity, method, std::slice::from_ref(task), false));
            }
            Target::Subscription { resources, tasks } => {
                judge(&self.method(identity, method, tasks, !resources.is_empty()));
                if !tasks.is_empty() {
                    judge(&self.method(identity, "tasks/get", tasks, false));
                }
                for uri in resources {
                    judge(&self.object(identity, &Target::Resource(uri.clone()), tasks));
                }
            }
            target => judge(&self.object(identity, target, &[])),
        }
    }

    fn method<'c>(
        &'c self,
        identity: &'c Identity<'c>,
        name: &'c str,
        tasks: &'c [String],
        has_objects: bool,
    ) -> Case<'c> {
        let (allowed, opens_session) = (self.allows_method(name), name == "initialize");
        self.case(identity, Asked::Method { name, allowed, opens_session, has_objects }, tasks)
    }

    fn object<'c>(
        &'c self,
        identity: &'c Identity<'c>,
        target: &'c Target,
        tasks: &'c [String],
    ) -> Case<'c> {
        let (rule, rules) = (self.rule(target), self.rules(target));
        self.case(identity, Asked::Object { target, rule, rules }, tasks)
    }

    fn case<'c>(
        &'c self,
        identity: &'c Identity<'c>,
        asked: Asked<'c>,
        tasks: &'c [String],
    ) -> Case<'c> {
        let settings = &self.settings;
        let agents = settings.agents.as_ref();
        let agent = agents.map_or(Recognised::NotTold, |agents| agents.identify(identity));
        Case { identity, settings, agent, asked, tasks }
    }

    fn rules(&self, target: &Target) -> Option<&ObjectRules> {
        match target {
            Target::Tool(_) => Some(&self.tools),
            Target::Prompt(_) => Some(&self.prompts),
            Target::Resource(_) | Target::ResourceTemplate(_) => Some(&self.resources),
            Target::None | Target::Task(_) | Target::Subscription { .. } => None,
        }
    }
}

/// A request method without an id would run unanswered on a lax server; and nothing but
/// notifications is defined to come as one (JSON-RPC 2.0 section 4.1).
fn comes_as(operation: &Operation, form: Form) -> bool {
    form == Form::Request || operation.method.starts_with("notifications/")
}

#[cfg(test)]
mod tests;
