//! What a chain of actors may look like (RFC 8693 section 4.1).

use std::collections::BTreeSet;

/// Longest chain of actors where the configuration does not say it: a client that calls
/// through one other agent, and one more.
pub const DEFAULT_MAX_DEPTH: usize = 3;

/// What a server takes of delegated tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegation {
    /// Most actors of a chain; 0 takes no delegated tokens.
    pub max_depth: usize,
    /// Agents that may be the current actor, by name; `None` for every known agent.
    pub actors: Option<BTreeSet<String>>,
    /// What prior actors must be, `sub` or client identifier, each of them. They never
    /// permit anything. `None` for anybody.
    pub prior_actors: Option<BTreeSet<String>>,
}

impl Default for Delegation {
    fn default() -> Self {
        Delegation { max_depth: DEFAULT_MAX_DEPTH, actors: None, prior_actors: None }
    }
}
