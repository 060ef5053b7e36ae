//! The agents that are known, how each is recognised, and what it may do at most.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::limits::RateLimit;
use super::rules::Pattern;
use crate::token::{IssuerId, SpiffeId};

/// The catalogue. Without one, every client of an accepted issuer is an agent of no name.
#[derive(Debug, Default)]
pub struct Agents {
    entries: Vec<Rc<Agent>>,
}

/// An agent: what it is recognised by, and its side of every decision. Both the user's side
/// and the agent's have to permit.
#[derive(Debug, Default)]
pub struct Agent {
    /// Its name in the configuration.
    pub name: String,
    /// What it is recognised by: any of these. Evidence that names two agents is refused.
    pub identifiers: Vec<AgentIdentifier>,
    /// Issuers that may vouch for the identifiers which a token has; a client identifier of
    /// another issuer is another client's.
    pub issuers: Vec<IssuerId>,
    /// Scopes without which it does nothing at all.
    pub required_scopes: BTreeSet<String>,
    /// Scopes it may use besides; others of the token do not count. `None`: every scope.
    pub optional_scopes: Option<BTreeSet<String>>,
    /// Resource identifiers of the servers it may use; `None` for all.
    pub servers: Option<BTreeSet<String>>,
    /// Tools it may use at most; `None` for all.
    pub tools: Option<Vec<Pattern>>,
    /// Prompts it may use at most; `None` for all.
    pub prompts: Option<Vec<Pattern>>,
    /// Resources it may use at most; `None` for all.
    pub resources: Option<Vec<Pattern>>,
    /// Versions of it that are accepted, by the issuer's claim; `None` for all, unsaid ones
    /// included.
    pub versions: Option<Vec<Pattern>>,
    /// Whether the issuer has to name the instance.
    pub needs_instance: bool,
    /// How often it may call, over all subjects and servers.
    pub rate: Option<Rc<RateLimit>>,
}

/// What an agent is recognised by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AgentIdentifier {
    /// The OAuth client, where the token has no actor.
    Client(String),
    /// `sub` of the current actor (`act`).
    Actor(String),
    /// The issuer's own claim for agents (`claims.agent`).
    Claim(String),
    /// The workload that sends the request.
    Workload(SpiffeId),
}

impl Agents {
    /// A catalogue of these.
    #[must_use]
    pub fn new(entries: Vec<Agent>) -> Self {
        Agents { entries: entries.into_iter().map(Rc::new).collect() }
    }

    /// Its agents.
    pub fn iter(&self) -> impl Iterator<Item = &Agent> {
        self.entries.iter().map(Rc::as_ref)
    }
}
