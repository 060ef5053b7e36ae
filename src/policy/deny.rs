//! Rules that forbid. They win over every rule that permits.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::rules::Pattern;

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
    pub mode: Option<super::Mode>,
}

/// Finds the rules that forbid a name.
#[derive(Debug, Default)]
pub struct DenyTable {
    rules: Vec<(Pattern, Rc<DenyRule>)>,
}

impl DenyTable {
    /// Adds a rule for a pattern.
    pub fn insert(&mut self, pattern: Pattern, rule: &Rc<DenyRule>) {
        self.rules.push((pattern, Rc::clone(rule)));
    }
}
