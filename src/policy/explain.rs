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
        let detail = "takes a request; there is a notification";
        Check::failed("form", Reason::MethodNotAllowed, detail)
    }

    /// Objects of one subscription that take credentials of different exchanges.
    pub(super) fn credentials() -> Self {
        let detail = "takes objects of one exchange; there are several";
        Check::failed("credentials", Reason::CredentialsDiffer, detail)
    }

    fn failed(name: &'static str, reason: Reason, detail: &str) -> Self {
        Check { name, reason, side: reason.side(), holds: false, detail: detail.to_owned() }
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
