//! What a decision says.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::downstream::CredentialWanted;
use super::limits::RateLimit;
use super::rules::Introspect;
use super::step_up::StepUp;

/// The answer to "may this caller do this", with its grounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The answer.
    pub outcome: Outcome,
    /// Whether a denial is enforced, or only recorded.
    pub mode: Mode,
    /// The agent, where it is one of the catalogue.
    pub agent: Option<Rc<str>>,
    /// Every scope the operation takes, whether the caller holds it or not:
    /// what a challenge asks for (RFC 6750 section 3, MCP authorization "scope selection").
    pub required_scopes: BTreeSet<String>,
    /// How the subject has to authenticate, where that is what is missing.
    pub step_up: Option<Rc<StepUp>>,
    /// The ids of the rules that decided. Empty when no rule matched.
    pub rules: Vec<String>,
    /// What has to be done for the operation to proceed.
    pub obligations: Obligations,
}

/// Allow, or deny with the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The operation may proceed.
    Allow,
    /// It may not.
    Deny(Reason),
}

/// What becomes of a denial.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It is answered to the client.
    #[default]
    Enforce,
    /// It is recorded, and the operation proceeds. Callers are authenticated and messages
    /// read all the same.
    Shadow,
}

/// What has to be done for an allowed operation to proceed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Obligations {
    /// The issuer's word on the token.
    pub introspect: Option<Introspect>,
    /// Rates that count the operation.
    pub rates: Vec<Rc<RateLimit>>,
    /// The credential that goes to the MCP server with it. `None`: none does.
    pub credential: Option<CredentialWanted>,
    /// Whether what it is about besides says which that is.
    pub(super) leaves_credential: bool,
}

/// Whose side of a decision refused: the user's, the agent's, or what they are together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The policy of the server, whoever calls.
    Server,
    /// What the subject may do.
    User,
    /// What the agent may do.
    Agent,
    /// How they are connected: the chain of actors, consent, context.
    Delegation,
}

/// Why an operation is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The method is not among those the server's policy allows.
    MethodNotAllowed,
    /// No rule names the tool, prompt, resource or task.
    NoRule,
    /// A rule denies it.
    Denied,
    /// A rule names it, and the caller's token lacks a scope the rule asks for.
    MissingScope,
    /// The operation takes a token bound to a DPoP key, and the caller's is not.
    DpopRequired,
    /// The operation takes a token bound to a certificate, and the caller's is not.
    CertificateRequired,
    /// The subject has none of the rule's roles.
    MissingRole,
    /// The subject is in none of the rule's groups.
    MissingGroup,
    /// The subject's tenant is not one of the rule's.
    TenantNotAllowed,
    /// The subject is not one of the rule's.
    SubjectNotAllowed,
    /// The token's issuer is not one of the rule's.
    IssuerNotAllowed,
    /// There is no user, and the rule grants nothing to this workload.
    WorkloadNotAllowed,
    /// The token does not tell user and agent apart, and the rule takes both, or the user has
    /// the name of an agent.
    Indistinct,
    /// The subject has to authenticate again, or better.
    StepUp,
    /// The agent is not in the catalogue.
    AgentUnknown,
    /// Token and workload name different agents.
    AgentMismatch,
    /// The agent may not use the server.
    AgentServer,
    /// The agent may not use the object.
    AgentObject,
    /// The agent may not use a scope that the operation takes.
    AgentScope,
    /// The token lacks a scope without which the agent does nothing.
    AgentMissingScope,
    /// The rule is for other agents.
    AgentNotAllowed,
    /// The version of the agent is not accepted, or not known.
    AgentVersion,
    /// The instance of the agent is not known.
    AgentInstance,
    /// The chain of actors is longer than the server takes.
    ChainTooLong,
    /// The current actor is not one the server takes.
    ActorNotAllowed,
    /// A prior actor is not one the server takes.
    PriorActorNotAllowed,
    /// The token says who may act for the subject, and it is somebody else.
    MayNotAct,
    /// The subject did not consent to this server or agent.
    NoConsent,
    /// The token is for another session, task or instance.
    OtherContext,
    /// The operation is about several objects, which take credentials of different exchanges, or
    /// of which only some take one.
    CredentialsDiffer,
}

impl Reason {
    /// Whether the caller could do it with another token.
    #[must_use]
    pub fn asks_for_another_token(self) -> bool {
        matches!(
            self,
            Reason::MissingScope
                | Reason::AgentMissingScope
                | Reason::DpopRequired
                | Reason::CertificateRequired
                | Reason::StepUp
        )
    }

    /// Whose side refused.
    #[must_use]
    pub fn side(self) -> Side {
        match self {
            Reason::MethodNotAllowed
            | Reason::NoRule
            | Reason::Denied
            | Reason::CredentialsDiffer => Side::Server,
            Reason::MissingScope
            | Reason::DpopRequired
            | Reason::CertificateRequired
            | Reason::MissingRole
            | Reason::MissingGroup
            | Reason::TenantNotAllowed
            | Reason::SubjectNotAllowed
            | Reason::IssuerNotAllowed
            | Reason::StepUp => Side::User,
            Reason::WorkloadNotAllowed
            | Reason::AgentUnknown
            | Reason::AgentMismatch
            | Reason::AgentServer
            | Reason::AgentObject
            | Reason::AgentScope
            | Reason::AgentMissingScope
            | Reason::AgentNotAllowed
            | Reason::AgentVersion
            | Reason::AgentInstance => Side::Agent,
            Reason::Indistinct
            | Reason::ChainTooLong
            | Reason::ActorNotAllowed
            | Reason::PriorActorNotAllowed
            | Reason::MayNotAct
            | Reason::NoConsent
            | Reason::OtherContext => Side::Delegation,
        }
    }

    /// The stable name, for records, metrics and tests of policies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::MethodNotAllowed => "method_not_allowed",
            Reason::NoRule => "no_rule",
            Reason::Denied => "denied_by_rule",
            Reason::MissingScope => "scope_missing",
            Reason::DpopRequired => "dpop_required",
            Reason::CertificateRequired => "certificate_required",
            Reason::MissingRole => "role_missing",
            Reason::MissingGroup => "group_missing",
            Reason::TenantNotAllowed => "tenant_not_allowed",
            Reason::SubjectNotAllowed => "subject_not_allowed",
            Reason::IssuerNotAllowed => "issuer_not_allowed",
            Reason::WorkloadNotAllowed => "workload_not_allowed",
            Reason::Indistinct => "user_and_agent_indistinct",
            Reason::StepUp => "step_up_required",
            Reason::AgentUnknown => "agent_unknown",
            Reason::AgentMismatch => "agent_mismatch",
            Reason::AgentServer => "agent_server_not_allowed",
            Reason::AgentObject => "agent_object_not_allowed",
            Reason::AgentScope => "agent_scope_not_allowed",
            Reason::AgentMissingScope => "agent_scope_missing",
            Reason::AgentNotAllowed => "agent_not_allowed",
            Reason::AgentVersion => "agent_version_not_allowed",
            Reason::AgentInstance => "agent_instance_missing",
            Reason::ChainTooLong => "delegation_too_deep",
            Reason::ActorNotAllowed => "actor_not_allowed",
            Reason::PriorActorNotAllowed => "prior_actor_not_allowed",
            Reason::MayNotAct => "may_not_act",
            Reason::NoConsent => "consent_missing",
            Reason::OtherContext => "context_mismatch",
            Reason::CredentialsDiffer => "credentials_differ",
        }
    }

    /// A denial that no token can mend outranks one that another token would, so that nobody
    /// is sent for a token that would not help. That objects do not go together is told to those
    /// only who may have each.
    pub(super) fn graver(self, other: Reason) -> Reason {
        let rank = |reason| match reason {
            Reason::CredentialsDiffer => 0,
            Reason::MissingScope | Reason::AgentMissingScope => 1,
            Reason::StepUp => 2,
            Reason::DpopRequired | Reason::CertificateRequired => 3,
            _ => 4,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

impl Decision {
    /// Whether policy permits it.
    #[must_use]
    pub fn is_allow(&self) -> bool {
        self.outcome == Outcome::Allow
    }

    /// Whether the operation proceeds: policy permits it, or its denial is only recorded.
    #[must_use]
    pub fn proceeds(&self) -> bool {
        self.is_allow() || self.mode == Mode::Shadow
    }

    /// The denial that is enforced.
    #[must_use]
    pub fn enforced_denial(&self) -> Option<Reason> {
        match (self.outcome, self.mode) {
            (Outcome::Deny(reason), Mode::Enforce) => Some(reason),
            _ => None,
        }
    }

    /// The denial of a message that is none of the protocol's, whatever the policy's mode.
    pub(super) fn refuse(reason: Reason) -> Self {
        Decision {
            outcome: Outcome::Deny(reason),
            mode: Mode::Enforce,
            agent: None,
            required_scopes: BTreeSet::new(),
            step_up: None,
            rules: Vec::new(),
            obligations: Obligations::default(),
        }
    }

    /// Both must allow. A denial that is enforced decides before one that is only recorded.
    pub(super) fn and(mut self, other: Decision) -> Self {
        let decided_by_other = self.mode == Mode::Shadow && other.enforced_denial().is_some();
        (self.outcome, self.mode) = match (self.outcome, other.outcome) {
            (Outcome::Allow, Outcome::Allow) if self.mode != other.mode => {
                (Outcome::Allow, Mode::Enforce)
            }
            (Outcome::Allow, _) => (other.outcome, other.mode),
            (Outcome::Deny(_), Outcome::Allow) => (self.outcome, self.mode),
            (Outcome::Deny(one), Outcome::Deny(another)) => match (self.mode, other.mode) {
                (Mode::Enforce, Mode::Shadow) => (self.outcome, self.mode),
                (Mode::Shadow, Mode::Enforce) => (other.outcome, other.mode),
                (mode, _) => (Outcome::Deny(one.graver(another)), mode),
            },
        };
        let (one, another) = (self.obligations.credential.take(), other.obligations.credential);
        self.obligations.credential =
            match (self.obligations.leaves_credential, other.obligations.leaves_credential) {
                (true, _) => another,
                (false, true) => one,
                (false, false) => {
                    let takes_any = one.is_some() || another.is_some();
                    let both = one.zip(another).and_then(|(one, another)| one.and(another));
                    // One request carries one credential, which shadow does not change.
                    if takes_any && both.is_none() && self.proceeds() {
                        (self.outcome, self.mode) =
                            (Outcome::Deny(Reason::CredentialsDiffer), Mode::Enforce);
                    }
                    both
                }
            };
        self.obligations.leaves_credential &= other.obligations.leaves_credential;
        // What is asked for belongs to the denial that decides.
        let step_up = match (decided_by_other, other.step_up) {
            (true, Some(step_up)) => Some(step_up),
            (_, step_up) => self.step_up.or(step_up),
        };
        self.step_up = step_up.filter(|_| self.outcome == Outcome::Deny(Reason::StepUp));
        self.agent = self.agent.or(other.agent);
        self.required_scopes.extend(other.required_scopes);
        for rule in other.rules {
            if !self.rules.contains(&rule) {
                self.rules.push(rule);
            }
        }
        self.obligations.introspect = self.obligations.introspect.max(other.obligations.introspect);
        // One operation is counted once, however many objects it names.
        for rate in other.obligations.rates {
            if !self.obligations.rates.iter().any(|held| Rc::ptr_eq(held, &rate)) {
                self.obligations.rates.push(rate);
            }
        }
        self
    }
}
