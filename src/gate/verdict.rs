//! What the policies say of one operation, and what becomes of it.

use super::standing::Standing;
use crate::audit;
use crate::policy::{Decision, Mode, Outcome, ServerPolicy};
use crate::reply::Denial;

/// What a denial is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The client gets it: challenges to authenticate better are counted.
    Answer,
    /// It says what would be.
    Record,
}

/// What the policies say of one operation.
pub(super) struct Verdict {
    /// What the policy in force says.
    pub(super) decision: Decision,
    /// The denial that is answered to the client.
    pub(super) denial: Option<Denial>,
    /// The denial that would be, if the policy in force were not in shadow.
    pub(super) unenforced: Option<Denial>,
    /// What the candidate says.
    pub(super) candidate: Option<audit::Candidate>,
}

impl Verdict {
    /// Lets the policies of a standing `decide`. `deny` makes the denial that a decision asks
    /// for, if it does, for the client or only to know it.
    pub(super) fn of(
        standing: &Standing,
        decide: impl Fn(&ServerPolicy) -> Decision,
        deny: impl Fn(&Decision, Purpose) -> Option<Denial>,
    ) -> Self {
        let decision = decide(&standing.policy);
        let enforced = |decision: &Decision| {
            if decision.is_allow() {
                None
            } else {
                deny(&Decision { mode: Mode::Enforce, ..decision.clone() }, Purpose::Record)
            }
        };
        let (denial, unenforced) = match decision.mode {
            Mode::Enforce => (deny(&decision, Purpose::Answer), None),
            Mode::Shadow => (None, enforced(&decision)),
        };
        let candidate = standing.candidate.as_ref().map(|named| {
            let tried = decide(&named.policy);
            let code = enforced(&tried).map_or("allowed", |denial| denial.code.as_str());
            audit::Candidate {
                policy: named.name.to_string(),
                outcome: if tried.is_allow() { "allow" } else { "deny" },
                code,
                change: change(decision.outcome, tried.outcome),
            }
        });
        Verdict { decision, denial, unenforced, candidate }
    }
}

/// What the candidate would change.
fn change(enforced: Outcome, tried: Outcome) -> &'static str {
    match (enforced, tried) {
        (Outcome::Allow, Outcome::Deny(_)) => "would_deny",
        (Outcome::Deny(_), Outcome::Allow) => "would_allow",
        (Outcome::Deny(one), Outcome::Deny(another)) if one != another => "other_reason",
        _ => "none",
    }
}
