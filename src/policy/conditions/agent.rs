//! The agent's side: what it may do, whoever it acts for.

use super::{Shown, Verdict};
use crate::policy::agents::Recognised;
use crate::policy::case::{Asked, Case};

/// Evidence that names two agents names none.
pub(super) fn is_one<'c>(case: &'c Case<'c>) -> Verdict<'c> {
    match case.agent {
        Recognised::Mismatch => {
            Verdict::of(false, "one agent", "another in the token than the workload is")
        }
        Recognised::Known(known) => Verdict::of(true, "one agent", &*known.name),
        Recognised::Unknown | Recognised::NotTold => Verdict::NotAsked,
    }
}

pub(super) fn is_known<'c>(case: &'c Case<'c>) -> Verdict<'c> {
    match case.agent {
        Recognised::Known(known) => Verdict::of(true, "an agent of the catalogue", &*known.name),
        Recognised::Unknown if !case.settings.takes_unknown_agents || hides_agent(case) => {
            Verdict::of(false, "an agent of the catalogue", Shown::Nothing)
        }
        Recognised::Unknown | Recognised::Mismatch | Recognised::NotTold => Verdict::NotAsked,
    }
}

/// Whether an agent of the catalogue stands behind one that is not in it.
fn hides_agent(case: &Case<'_>) -> bool {
    case.settings.agents.as_ref().is_some_and(|agents| agents.knows_client(case.token()))
}

pub(super) fn may_use_server<'c>(case: &'c Case<'c>) -> Verdict<'c> {
    match case.known_agent().and_then(|known| known.agent.servers.as_ref()) {
        Some(servers) => {
            let resource = &case.settings.resource;
            Verdict::of(servers.contains(resource), servers, resource.as_str())
        }
        None => Verdict::NotAsked,
    }
}

pub(super) fn has_version<'c>(case: &'c Case<'c>) -> Verdict<'c> {
    match case.known_agent() {
        Some(known) if known.agent.versions.is_some() => {
            let version = case.token().agent.version.as_deref();
            Verdict::of(known.accepts_version(version), "a version of the agent's", version)
        }
        _ => Verdict::NotAsked,
    }
}

pub(super) fn has_instance<'c>(case: &'c Case<'c>) -> Verdict<'c> {
    match case.known_agent() {
        Some(known) if known.agent.needs_instance => {
            let instance = case.token().agent.instance.as_deref();
            Verdict::of(instance.is_some(), "an instance", instance)
        }
        _ => Verdict::NotAsked,
    }
}

pub(super) fn may_use_object<'c>(case: &'c Case<'c>) -> Verdict<'c> {
    match (case.asked, case.known_agent()) {
        (Asked::Object { target, .. }, Some(known)) => {
            Verdict::of(known.may_use(target), "an object of the agent's", &*known.name)
        }
        _ => Verdict::NotAsked,
    }
}

/// The scopes of the operation must be the agent's too: those of the user alone do not count.
pub(super) fn may_use_scopes<'c>(case: &'c Case<'c>) -> Verdict<'c> {
    match case.known_agent().and_then(|known| known.agent.optional_scopes.as_ref()) {
        Some(optional) if case.scopes().next().is_some() => {
            let holds = case.scopes().all(|scope| case.agent_may_use(scope));
            Verdict::of(holds, Shown::ScopesOf(case), optional)
        }
        _ => Verdict::NotAsked,
    }
}

/// Without these it does nothing.
pub(super) fn has_scopes<'c>(case: &'c Case<'c>) -> Verdict<'c> {
    match case.known_agent().map(|known| &known.agent.required_scopes) {
        Some(required) if !required.is_empty() => {
            let holds = required.iter().all(|scope| case.holds_scope(scope));
            Verdict::of(holds, required, &case.token().scopes)
        }
        _ => Verdict::NotAsked,
    }
}

/// The rule's agents. An agent of no name is none of them.
pub(super) fn is_of_rule<'c>(case: &'c Case<'c>) -> Verdict<'c> {
    match case.rule_for_user() {
        Some(rule) => Verdict::one_of(&rule.agents, case.known_agent().map(|known| &*known.name)),
        None => Verdict::NotAsked,
    }
}
