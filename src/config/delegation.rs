//! Compiles `delegation` and `context`: what tokens may say of who acts for whom, and what
//! they are bound to.

use super::agents::{self, Catalogue};
use super::compile::Notes;
use super::document::{self, Context, ContextBinding, UnknownAgents};
use super::issuers::KnownIssuer;
use crate::mcp::ParamHeader;
use crate::policy::{DEFAULT_MAX_DEPTH, Delegation, Settings};
use crate::token::MAX_ACTORS;

/// Headers that say something else already. Ours, `x-countersign-…`, are taken off requests.
const TAKEN: [&str; 13] = [
    "authorization",
    "dpop",
    "host",
    "cookie",
    "content-type",
    "mcp-session-id",
    "mcp-protocol-version",
    "mcp-method",
    "mcp-name",
    "last-event-id",
    "origin",
    "accept",
    "x-forwarded-client-cert",
];

/// Compiles what a policy says of chains of actors into the settings.
pub(super) fn compile(
    notes: &mut Notes,
    path: &str,
    delegation: &document::Delegation,
    catalogue: Option<&Catalogue>,
    settings: &mut Settings,
) {
    let max_depth = delegation.max_depth.unwrap_or(DEFAULT_MAX_DEPTH);
    if max_depth > MAX_ACTORS {
        let message = format!("must be at most {MAX_ACTORS}: longer chains are no valid tokens");
        notes.problem(format!("{path}.max_depth"), message);
    }
    let actors = delegation.actors.as_ref().map(|names| {
        let path = format!("{path}.actors");
        if max_depth == 0 {
            notes.problem(&path, "is of no use: `max_depth` is 0, which takes no actors");
        }
        agents::named(notes, &path, names, catalogue)
    });
    if let Some(prior) = &delegation.prior_actors {
        let path = format!("{path}.prior_actors");
        notes.choices(&path, prior);
        if max_depth < 2 {
            let message = "is of no use: `max_depth` leaves no actors before the current one";
            notes.problem(&path, message);
        }
    }
    settings.takes_unknown_agents = delegation.unknown_agents == UnknownAgents::Allow;
    if settings.takes_unknown_agents && catalogue.is_none() {
        let message = "is of no use without `agents`: all agents are unknown";
        notes.warn(format!("{path}.unknown_agents"), message);
    }
    settings.delegation = Delegation {
        max_depth,
        actors,
        prior_actors: delegation.prior_actors.as_ref().map(|prior| prior.iter().cloned().collect()),
    };
}

/// Compiles what tokens for a server must be bound to into the settings. `header` is the
/// server's header for instances.
pub(super) fn context(
    notes: &mut Notes,
    path: &str,
    context: &Context,
    issuers: &[&KnownIssuer],
    header: Option<&str>,
    settings: &mut Settings,
) {
    let mut required = |claim: &str, binding| {
        if binding == ContextBinding::IfPresent {
            return false;
        }
        if let Some(issuer) = issuers.iter().find(|issuer| !issuer.says(claim)) {
            let issuer = &issuer.name;
            let message = format!(
                "issuers.{issuer}, whose tokens the server accepts, has no `claims.{claim}`"
            );
            notes.problem(format!("{path}.{claim}"), message);
        }
        true
    };
    settings.needs_session_context = required("session", context.session);
    settings.needs_task_context = required("task", context.task);
    settings.needs_instance_context = required("instance", context.instance);
    if settings.needs_instance_context && header.is_none() {
        let message = "needs `instance_header`, which says what a request's instance is";
        notes.problem(format!("{path}.instance"), message);
    }
}

/// The header of a server in which agents name their instances, in lowercase.
pub(super) fn instance_header(
    notes: &mut Notes,
    path: &str,
    context: &Context,
    issuers: &[&KnownIssuer],
) -> Option<String> {
    let name = context.instance_header.as_ref()?;
    let path = format!("{path}.instance_header");
    let lowercase = name.to_ascii_lowercase();
    // The names of headers are tokens; so are the names of those that mirror arguments.
    if ParamHeader::new(name, "/").is_err() {
        notes.problem(path, "is no name of a header such as `x-agent-instance`");
    } else if TAKEN.contains(&lowercase.as_str()) || lowercase.starts_with("x-countersign") {
        notes.problem(path, "says something else; choose another header");
    } else if !issuers.iter().any(|issuer| issuer.says("instance")) {
        let message = "no issuer of the server has `claims.instance`, which it is compared with";
        notes.warn(path, message);
    }
    Some(lowercase)
}
