//! The conditions of every decision, in one table.
//!
//! An operation is permitted if all of them hold that are asked. They stand in the order of
//! their gravity: first what no token mends, then what another token would, so that nobody
//! is sent for a token that would not help.

mod agent;
mod delegation;
mod server;
mod subject;
mod verdict;

use super::case::Case;
use super::decision::{Mode, Reason};
use crate::token::Requirement;

pub(super) use verdict::{Shown, Verdict};

/// Something that has to hold.
#[derive(Debug)]
pub(super) struct Condition {
    /// What it is about.
    pub(super) name: &'static str,
    /// Why the operation is denied if it does not hold. Each reason has one condition.
    pub(super) reason: Reason,
    decided_by: Level,
    judge: for<'c> fn(&'c Case<'c>) -> Verdict<'c>,
}

/// Who says what becomes of a denial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// The server.
    Server,
    /// The rule that permits, else the server.
    Rule,
    /// The rules that forbid, else the server: one that is enforced is enough.
    Deny,
    /// The rule, where the demand is its own. The server's demands on senders are always
    /// enforced.
    Dpop,
    /// The same.
    Mtls,
}

/// All conditions, gravest first.
pub(super) static CONDITIONS: [Condition; 29] = {
    use Level::{Deny, Dpop, Mtls, Rule, Server};
    use Reason as R;
    [
        // Whoever calls.
        it("method", R::MethodNotAllowed, Server, server::allows_method),
        it("deny rules", R::Denied, Deny, server::does_not_forbid),
        it("rule", R::NoRule, Server, server::has_rule),
        // Who calls.
        it("agent's evidence", R::AgentMismatch, Server, agent::is_one),
        it("agent", R::AgentUnknown, Server, agent::is_known),
        it("agent's servers", R::AgentServer, Server, agent::may_use_server),
        it("agent's version", R::AgentVersion, Server, agent::has_version),
        it("agent's instance", R::AgentInstance, Server, agent::has_instance),
        it("agent's objects", R::AgentObject, Server, agent::may_use_object),
        it("number of actors", R::ChainTooLong, Server, delegation::is_short),
        it("may_act", R::MayNotAct, Server, delegation::may_act),
        it("current actor", R::ActorNotAllowed, Server, delegation::takes_actor),
        it("prior actors", R::PriorActorNotAllowed, Server, delegation::takes_prior_actors),
        it("consent", R::NoConsent, Server, delegation::has_consent),
        it("context", R::OtherContext, Server, delegation::is_in_context),
        // Who it is for.
        it("workloads", R::WorkloadNotAllowed, Rule, subject::is_granted_to_workload),
        it("issuers", R::IssuerNotAllowed, Rule, subject::has_issuer),
        it("tenants", R::TenantNotAllowed, Rule, subject::has_tenant),
        it("subjects", R::SubjectNotAllowed, Rule, subject::is_subject),
        it("roles", R::MissingRole, Rule, subject::has_role),
        it("groups", R::MissingGroup, Rule, subject::is_in_group),
        it("agents", R::AgentNotAllowed, Rule, agent::is_of_rule),
        it("on_behalf_of", R::Indistinct, Rule, delegation::tells_user_and_agent_apart),
        it("agent's scopes", R::AgentScope, Server, agent::may_use_scopes),
        // What a token with a key would mend, then one of a better authentication, then one
        // with more scopes.
        it("dpop", R::DpopRequired, Dpop, server::has_key),
        it("mtls", R::CertificateRequired, Mtls, server::has_certificate),
        it("step_up", R::StepUp, Rule, subject::has_authenticated),
        it("agent's required scopes", R::AgentMissingScope, Server, agent::has_scopes),
        it("scopes", R::MissingScope, Rule, subject::has_scopes),
    ]
};

const fn it(
    name: &'static str,
    reason: Reason,
    decided_by: Level,
    judge: for<'c> fn(&'c Case<'c>) -> Verdict<'c>,
) -> Condition {
    Condition { name, reason, decided_by, judge }
}

impl Condition {
    /// Whether it holds in a case.
    pub(super) fn judge<'c>(&self, case: &'c Case<'c>) -> Verdict<'c> {
        (self.judge)(case)
    }

    /// What becomes of the denial if it does not.
    pub(super) fn mode(&self, case: &Case<'_>) -> Mode {
        let server = case.settings.mode;
        let own = |demand: Option<Requirement>, servers: Requirement| match (demand, servers) {
            (Some(_), Requirement::Off | Requirement::Optional) => case.mode(),
            _ => Mode::Enforce,
        };
        match self.decided_by {
            Level::Server => server,
            Level::Rule => case.mode(),
            Level::Deny => {
                let mut modes = case.forbidding().map(|rule| rule.mode.unwrap_or(server));
                if modes.all(|mode| mode == Mode::Shadow) { Mode::Shadow } else { Mode::Enforce }
            }
            Level::Dpop => own(case.rule().and_then(|rule| rule.dpop), case.settings.dpop),
            Level::Mtls => own(case.rule().and_then(|rule| rule.mtls), case.settings.mtls),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_one_condition_and_the_gravest_comes_first() {
        for (index, condition) in CONDITIONS.iter().enumerate() {
            for later in CONDITIONS.iter().skip(index.saturating_add(1)) {
                assert_ne!(condition.reason, later.reason);
                assert_eq!(condition.reason.graver(later.reason), condition.reason);
            }
        }
    }
}
