//! Rules that forbid. They win over every rule that permits.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::agents::Recognised;
use super::decision::Mode;
use super::pattern::Pattern;
use super::table::{PatternTable, TableError};
use crate::token::AccessToken;

/// Forbids its names to the callers it is for: those of whom every condition holds that it
/// has. Conditions are about who calls, never about what a token was granted, so that a token
/// with less never gains by it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DenyRule {
    /// Its id in the configuration.
    pub id: String,
    /// Agents, by name; empty for all.
    pub agents: BTreeSet<String>,
    /// Subjects; empty for all.
    pub subjects: BTreeSet<String>,
    /// Tenants; empty for all. A token that does not say its tenant may be any's.
    pub tenants: BTreeSet<String>,
    /// Whether a denial is enforced; `None` for what the server says.
    pub mode: Option<Mode>,
}

/// Finds the rules that forbid a name.
#[derive(Debug, Default)]
pub struct DenyTable(PatternTable<Rc<DenyRule>>);

impl DenyTable {
    /// Adds a rule for a pattern.
    ///
    /// # Errors
    /// [`TableError`] when there are too many.
    pub fn insert(&mut self, pattern: Pattern, rule: &Rc<DenyRule>) -> Result<(), TableError> {
        self.0.insert(pattern, Rc::clone(rule))
    }

    /// Every rule that names it. A URI too is compared as it comes: what may leave a prefix is
    /// permitted by no pattern, and a doubt must not lift what is forbidden.
    pub(super) fn find<'t>(&'t self, name: &str) -> impl Iterator<Item = &'t DenyRule> {
        self.0.find(name).map(Rc::as_ref)
    }

    /// The same for a URI, which a server may take for the object without query or fragment.
    pub(super) fn find_uri<'t>(&'t self, uri: &str) -> impl Iterator<Item = &'t DenyRule> {
        let object = uri.split(['?', '#']).next().unwrap_or_default();
        let object = (object != uri).then(|| self.find(object));
        self.find(uri).chain(object.into_iter().flatten())
    }
}

impl DenyRule {
    /// Whether it is for this caller. Who cannot be told apart from those it is for is one.
    pub(super) fn is_for(&self, token: &AccessToken, agent: Recognised<'_>) -> bool {
        let is_agent = match agent {
            Recognised::Known(known) => self.agents.contains(&known.agent.name),
            Recognised::Unknown => false,
            Recognised::Mismatch | Recognised::NotTold => true,
        };
        (self.agents.is_empty() || is_agent)
            && (self.subjects.is_empty() || self.subjects.contains(&token.subject))
            && (self.tenants.is_empty()
                || token.tenant.as_ref().is_none_or(|tenant| self.tenants.contains(tenant)))
    }
}
