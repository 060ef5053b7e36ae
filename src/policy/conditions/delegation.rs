//! How subject and agent are connected: actors (RFC 8693), consent, context.

use super::{Shown, Verdict};
use crate::policy::agents::Recognised;
use crate::policy::case::{Asked, Case};
use crate::token::{AccessToken, Actor, SubjectKind};

pub(super) fn is_short<'c>(case: &'c Case<'c>) -> Verdict<'c> {
    let (actors, most) = (case.token().actors.len(), case.settings.delegation.max_depth);
    if actors == 0 { Verdict::NotAsked } else { Verdict::of(actors <= most, most, actors) }
}

/// Who the subject lets act (RFC 8693 section 4.4): all that `may_act` says must be true of
/// the current actor.
pub(super) fn may_act<'c>(case: &'c Case<'c>) -> Verdict<'c> {
    let token = case.token();
    let (Some(party), Some(actor)) = (&token.may_act, token.actors.first()) else {
        return Verdict::NotAsked;
    };
    let issuer = |party: &'c Actor| party.issuer.as_deref().unwrap_or(&token.issuer_url);
    let agrees = |said: &Option<String>, found: &Option<String>| said.is_none() || said == found;
    let holds = issuer(party) == issuer(actor)
        && agrees(&party.subject, &actor.subject)
        && agrees(&party.client_id, &actor.client_id)
        && (party.subject.is_some() || party.client_id.is_some());
    Verdict::of(holds, std::slice::from_ref(party), std::slice::from_ref(actor))
}

pub(super) fn takes_actor<'c>(case: &'c Case<'c>) -> Verdict<'c> {
    match &case.settings.delegation.actors {
        Some(actors) if !case.token().actors.is_empty() => {
            let name = case.known_agent().map(|known| &*known.name);
            Verdict::of(name.is_some_and(|name| actors.contains(name)), actors, name)
        }
        _ => Verdict::NotAsked,
    }
}

/// Each of them has to be one the server takes. None of them permits anything (RFC 8693
/// section 4.1).
pub(super) fn takes_prior_actors<'c>(case: &'c Case<'c>) -> Verdict<'c> {
    let token = case.token();
    match (&case.settings.delegation.prior_actors, token.actors.get(1..)) {
        (Some(taken), Some(prior)) if !prior.is_empty() => {
            let is_taken = |actor: &Actor| names(actor, token).any(|name| taken.contains(name));
            Verdict::of(prior.iter().all(is_taken), taken, prior)
        }
        _ => Verdict::NotAsked,
    }
}

/// What the subject consented to, where its issuer says it: this server, and this agent. A
/// workload has nobody who could consent.
pub(super) fn has_consent<'c>(case: &'c Case<'c>) -> Verdict<'c> {
    let token = case.token();
    if token.kind == SubjectKind::Workload {
        return Verdict::NotAsked;
    }
    let resource = case.settings.resource.as_str();
    let servers = match &token.consent.servers {
        Some(servers) => Verdict::of(servers.contains(resource), resource, servers),
        None => Verdict::NotAsked,
    };
    let agents = match &token.consent.agents {
        Some(agents) => {
            let holds = agent_names(token).any(|name| agents.contains(name));
            Verdict::of(holds, agent_names(token).next(), agents)
        }
        None => Verdict::NotAsked,
    };
    servers.and(agents)
}

/// What the token is good for only: its session, task and instance have to be the request's.
pub(super) fn is_in_context<'c>(case: &'c Case<'c>) -> Verdict<'c> {
    let (settings, bound) = (case.settings, &case.token().context);
    let request = &case.identity.context;
    // There is no session yet that a token could name.
    let is_first = request.session.is_none()
        && matches!(case.asked, Asked::Method { opens_session: true, .. });
    let session = same(
        bound.session.as_deref(),
        request.session,
        settings.needs_session_context && !is_first,
    );
    let instance =
        same(bound.instance.as_deref(), request.instance, settings.needs_instance_context);
    session.and(in_task(case)).and(instance)
}

/// Whether the rule has the user and the agent that it takes, and they are two. A user who is
/// an agent of the catalogue is none, whatever the rule takes.
pub(super) fn tells_user_and_agent_apart<'c>(case: &'c Case<'c>) -> Verdict<'c> {
    let (agents, token) = (case.settings.agents.as_ref(), case.token());
    if agents.is_some_and(|agents| agents.is_client_as_user(token)) {
        return Verdict::of(false, "a user who is no agent", token.subject.as_str());
    }
    if !case.rule_for_user().is_some_and(|rule| rule.on_behalf_of) {
        return Verdict::NotAsked;
    }
    let token = case.token();
    let is_known = match case.agent {
        Recognised::Known(_) | Recognised::NotTold => true,
        Recognised::Unknown | Recognised::Mismatch => false,
    };
    // The client that is its own subject has no user (RFC 9068 section 2.2, `sub`).
    let is_other = token.client_id != token.subject
        && agent_names(token).all(|name| name != token.subject)
        && token.agent.id.as_ref() != Some(&token.subject);
    let found = agent_names(token).next();
    Verdict::of(is_known && is_other, "an agent that is known and not the user", found)
}

/// What the agent is called by the token's issuer: the current actor, else what its own claim
/// says, else the client.
fn agent_names(token: &AccessToken) -> impl Iterator<Item = &str> {
    let actor = token.actors.first();
    let claimed = token.agent.id.as_deref().unwrap_or(&token.client_id);
    let other = actor.is_none().then_some(claimed);
    actor.into_iter().flat_map(|actor| names(actor, token)).chain(other)
}

/// What a party is called by the token's issuer. One of another issuer has no name there.
fn names<'c>(actor: &'c Actor, token: &AccessToken) -> impl Iterator<Item = &'c str> {
    let names = actor.subject.iter().chain(&actor.client_id).map(String::as_str);
    names.filter(|_| actor.is_of(&token.issuer_url))
}

fn in_task<'c>(case: &'c Case<'c>) -> Verdict<'c> {
    let found = Shown::List(case.tasks);
    match &case.token().context.task {
        Some(bound) => {
            let holds = !case.tasks.is_empty() && case.tasks.iter().all(|task| task == bound);
            Verdict::of(holds, bound.as_str(), found)
        }
        None if case.settings.needs_task_context && !case.tasks.is_empty() => {
            Verdict::of(false, "a token for the task", found)
        }
        None => Verdict::NotAsked,
    }
}

fn same<'c>(bound: Option<&'c str>, request: Option<&'c str>, is_needed: bool) -> Verdict<'c> {
    match bound {
        Some(bound) => Verdict::of(request == Some(bound), bound, request),
        None if is_needed => Verdict::of(false, "a bound token", request),
        None => Verdict::NotAsked,
    }
}
