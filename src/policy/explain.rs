//! A decision with all its grounds, for people.

use super::case::Case;
use super::conditions::{CONDITIONS, Verdict};
use super::decision::{Decision, Reason, Side};

/// A decision, and all that was asked on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The decision.
    pub decision: Decision,
    /// Every condition that the policy asks for, gravest first; of a subscription, those of
    /// each of its objects.
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

impl Check {
    /// A request method that came as a notification.
    pub(super) fn form() -> Self {
        let reason = Reason::MethodNotAllowed;
        Check {
            name: "form",
            reason,
            side: reason.side(),
            holds: false,
            detail: "takes a request; there is a notification".to_owned(),
        }
    }

    /// The conditions that are asked in a case: those that it is decided by.
    pub(super) fn all<'c>(case: &'c Case<'c>) -> impl Iterator<Item = Check> {
        CONDITIONS.iter().filter_map(|condition| match condition.judge(case) {
            Verdict::NotAsked => None,
            Verdict::Asked { holds, wanted, found } => Some(Check {
                name: condition.name,
                reason: condition.reason,
                side: condition.reason.side(),
                holds,
                detail: format!("takes {wanted}; there is {found}"),
            }),
        })
    }
}
