//! A case: one identity and one operation before the policy of one server.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::agents::{KnownAgent, Recognised};
use super::conditions::CONDITIONS;
use super::decision::{Decision, Mode, Obligations, Outcome, Reason};
use super::deny::DenyRule;
use super::downstream::{CredentialWanted, DownstreamScopes};
use super::identity::Identity;
use super::rules::{Rule, WorkloadGrant};
use super::{ObjectRules, Settings};
use crate::mcp::Target;
use crate::token::{AccessToken, SubjectKind};

/// What is judged. Everything that conditions speak of has been looked up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case<'c> {
    pub(super) identity: &'c Identity<'c>,
    pub(super) settings: &'c Settings,
    pub(super) agent: Recognised<'c>,
    pub(super) asked: Asked<'c>,
    /// The tasks that the operation names.
    pub(super) tasks: &'c [String],
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asked<'c> {
    /// A method without a protected object.
    Method {
        name: &'c str,
        allowed: bool,
        /// Whether it comes before there is a session.
        opens_session: bool,
        /// Whether it is about objects besides, which have cases of their own.
        has_objects: bool,
    },
    /// A protected object.
    Object {
        target: &'c Target,
        /// The rule that permits it, to whom its conditions hold of.
        rule: Option<&'c Rc<Rule>>,
        /// The rules for its kind; `None` for what there are none for.
        rules: Option<&'c ObjectRules>,
    },
}

/// A condition that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: Reason,
    pub(super) mode: Mode,
}

impl<'c> Case<'c> {
    /// The decision. A refusal that is enforced decides before those that are only recorded;
    /// otherwise the first one does.
    pub(super) fn decide(&'c self) -> Decision {
        let refusal = self.decisive_refusal();
        let reason = refusal.map(|refusal| refusal.reason);
        let rule = self.rule();
        Decision {
            outcome: reason.map_or(Outcome::Allow, Outcome::Deny),
            mode: refusal.map_or(self.mode(), |refusal| refusal.mode),
            agent: self.known_agent().map(|known| Rc::clone(&known.name)),
            required_scopes: self.agent_scopes().chain(self.scopes()).cloned().collect(),
            step_up: rule
                .and_then(|rule| rule.step_up.clone())
                .filter(|_| reason == Some(Reason::StepUp)),
            rules: self.deciding_rules(reason),
            obligations: self.obligations(),
        }
    }

    /// The conditions that do not hold, gravest first.
    pub(super) fn refusals(&'c self) -> impl Iterator<Item = Refusal> {
        CONDITIONS
            .iter()
            .filter(|condition| !condition.judge(self).holds())
            .map(|condition| Refusal { reason: condition.reason, mode: condition.mode(self) })
    }

    pub(super) fn token(&self) -> &'c AccessToken {
        self.identity.token
    }

    /// The rule that permits.
    pub(super) fn rule(&self) -> Option<&'c Rc<Rule>> {
        match self.asked {
            Asked::Object { rule, .. } => rule,
            Asked::Method { .. } => None,
        }
    }

    /// The rule that permits, where it is a user that it has to permit it to.
    pub(super) fn rule_for_user(&self) -> Option<&'c Rule> {
        self.rule().filter(|_| self.token().kind == SubjectKind::User).map(Rc::as_ref)
    }

    /// The rule that permits, where there is no user.
    pub(super) fn rule_for_workload(&self) -> Option<&'c Rule> {
        self.rule().filter(|_| self.token().kind == SubjectKind::Workload).map(Rc::as_ref)
    }

    /// What the rule grants to this workload, given the permissions it has.
    pub(super) fn grants(&self) -> impl Iterator<Item = &'c WorkloadGrant> {
        let agent = self.known_agent();
        let permissions = &self.token().roles;
        let grants = self.rule_for_workload().map(|rule| rule.workloads.iter());
        grants.into_iter().flatten().filter(move |grant| {
            agent.is_some_and(|known| grant.agents.contains(&known.agent.name))
                && grant.permissions.is_subset(permissions)
        })
    }

    /// The scopes without which the agent does nothing.
    pub(super) fn agent_scopes(&self) -> impl Iterator<Item = &'c String> {
        self.known_agent().into_iter().flat_map(|known| &known.agent.required_scopes)
    }

    /// The scopes that the operation takes besides.
    pub(super) fn scopes(&self) -> impl Iterator<Item = &'c String> {
        let rule = self.rule_for_user().map(|rule| &rule.scopes);
        let grant = self.grant().map(|grant| &grant.scopes);
        rule.into_iter().chain(grant).flatten().chain(self.scope_of_several())
    }

    pub(super) fn known_agent(&self) -> Option<&'c KnownAgent> {
        match self.agent {
            Recognised::Known(known) => Some(known),
            Recognised::Unknown | Recognised::Mismatch | Recognised::NotTold => None,
        }
    }

    /// The rules that forbid it to this caller.
    pub(super) fn forbidding(&self) -> impl Iterator<Item = &'c DenyRule> {
        let found = match self.asked {
            Asked::Object { rules: Some(rules), target, .. } => {
                let is_uri = matches!(target, Target::Resource(_) | Target::ResourceTemplate(_));
                let by_uri = object_name(target).filter(|_| is_uri);
                let by_name = object_name(target).filter(|_| !is_uri);
                let by_uri = by_uri.into_iter().flat_map(|uri| rules.deny.find_uri(uri));
                Some(by_name.into_iter().flat_map(|name| rules.deny.find(name)).chain(by_uri))
            }
            Asked::Object { .. } | Asked::Method { .. } => None,
        };
        let (token, agent) = (self.token(), self.agent);
        found.into_iter().flatten().filter(move |rule| rule.is_for(token, agent))
    }

    /// What becomes of a denial by the rule, and of one that no rule speaks of.
    pub(super) fn mode(&self) -> Mode {
        self.rule().and_then(|rule| rule.mode).unwrap_or(self.settings.mode)
    }

    /// Whether the agent may use a scope at all.
    pub(super) fn agent_may_use(&self, scope: &str) -> bool {
        self.known_agent().is_none_or(|known| known.may_use_scope(&self.settings.scopes, scope))
    }

    /// Whether the token amounts to a scope.
    pub(super) fn holds_scope(&self, scope: &str) -> bool {
        self.settings.scopes.holds(self.token(), scope)
    }

    /// Whether the token says a scope, or one that it follows from. What roles and groups grant,
    /// no authorization server knows of.
    fn carries_scope(&self, scope: &str) -> bool {
        self.settings.scopes.covers(&self.token().scopes, scope)
    }

    /// Of the scopes of which one is enough: that which the caller's token carries, or which its
    /// roles and groups grant, else the first one of use to its agent. A token that is asked for
    /// with the others must not lose it.
    fn scope_of_several(&self) -> Option<&'c String> {
        let any = &self.rule_for_user()?.any_scopes;
        let useful = || any.iter().filter(|scope| self.agent_may_use(scope));
        let carried = useful().find(|scope| self.carries_scope(scope));
        let held = || useful().find(|scope| self.holds_scope(scope));
        carried.or_else(held).or_else(|| useful().next()).or_else(|| any.first())
    }

    /// Of the grants to this workload, in the same way.
    fn grant(&self) -> Option<&'c WorkloadGrant> {
        let useful = || {
            let may_use = |scope: &String| self.agent_may_use(scope);
            self.grants().filter(move |grant| grant.scopes.iter().all(may_use))
        };
        let held = useful().find(|grant| grant.scopes.iter().all(|scope| self.holds_scope(scope)));
        held.or_else(|| useful().next()).or_else(|| self.grants().next())
    }

    fn decisive_refusal(&'c self) -> Option<Refusal> {
        let mut recorded = None;
        for refusal in self.refusals() {
            match refusal.mode {
                Mode::Enforce => return Some(refusal),
                Mode::Shadow => {
                    recorded.get_or_insert(refusal);
                }
            }
        }
        recorded
    }

    fn deciding_rules(&self, reason: Option<Reason>) -> Vec<String> {
        if reason != Some(Reason::Denied) {
            return self.rule().map(|rule| rule.id.clone()).into_iter().collect();
        }
        let mut ids: Vec<String> = Vec::new();
        for rule in self.forbidding() {
            if !ids.contains(&rule.id) {
                ids.push(rule.id.clone());
            }
        }
        ids
    }

    fn obligations(&self) -> Obligations {
        let credential = self.credential();
        let rule = match self.asked {
            Asked::Object { rule, .. } => rule,
            Asked::Method { has_objects: leaves_credential, .. } => {
                return Obligations { credential, leaves_credential, ..Obligations::default() };
            }
        };
        let agent = self.known_agent().and_then(|known| known.agent.rate.as_ref());
        let rates = self.settings.rates.iter();
        let rates = rates.chain(rule.iter().flat_map(|rule| &rule.rates)).chain(agent);
        Obligations {
            introspect: rule.and_then(|rule| rule.introspect),
            rates: rates.cloned().collect(),
            credential,
            leaves_credential: false,
        }
    }

    /// The credential that the operation takes along, by its rule, else by the server.
    fn credential(&self) -> Option<CredentialWanted> {
        // What is about objects takes along what they do.
        if matches!(self.asked, Asked::Method { has_objects: true, .. }) {
            return None;
        }
        let rule = self.rule();
        let own = rule.and_then(|rule| rule.exchange.as_ref());
        let downstream = own.or(self.settings.exchange.as_ref())?;
        let of_server = CredentialWanted::of_server(downstream);
        // Where nothing is asked for, there are no scopes to ask for.
        let Some(rule) = rule.filter(|_| downstream.exchange.is_some()) else {
            return Some(of_server);
        };
        let mapped = rule.downstream_scopes.clone();
        let (scopes, needs) = match downstream.scopes {
            DownstreamScopes::PerServer => (of_server.scopes, mapped.unwrap_or_default()),
            DownstreamScopes::PerOperation => match mapped.or_else(|| self.carried_scopes()) {
                Some(scopes) => (Rc::clone(&scopes), scopes),
                // To ask for none would leave it to the authorization server.
                None => (of_server.scopes, of_server.needs),
            },
        };
        let server_wide = rule.server_wide_exchange;
        Some(CredentialWanted { scopes, needs, server_wide, ..of_server })
    }

    /// Of the scopes that the operation takes, those that the token itself carries, if any.
    fn carried_scopes(&self) -> Option<Rc<BTreeSet<String>>> {
        let carried = self.scopes().filter(|scope| self.carries_scope(scope));
        let carried: BTreeSet<String> = carried.cloned().collect();
        (!carried.is_empty()).then(|| Rc::new(carried))
    }
}

/// What rules name an object by.
fn object_name(target: &Target) -> Option<&str> {
    match target {
        Target::Tool(name)
        | Target::Prompt(name)
        | Target::Resource(name)
        | Target::ResourceTemplate(name) => Some(name),
        Target::None | Target::Task(_) | Target::Subscription { .. } => None,
    }
}
