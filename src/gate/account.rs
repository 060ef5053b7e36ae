//! What is known of one request, for its record.

use std::time::SystemTime;

use super::headers::Headers;
use super::server::HostMode;
use super::verdict::Verdict;
use super::worker::{Worker, elapsed_ms};
use crate::audit::{self, Record, Text, hex};
use crate::host::{Counter, Host};
use crate::mcp::{Operation, Target};
use crate::policy::{Mode, Outcome, Reason, Side};
use crate::reply::{Code, Denial};
use crate::token::{Actor, Caller, Confirmation, Introspected, SubjectKind};

/// The decision id when the host has no randomness. Such requests are denied.
const NO_DECISION_ID: &str = "none";

/// The facts for the record, as they come to be known.
pub(super) struct Account {
    started: SystemTime,
    decided: Option<SystemTime>,
    record: Option<Record>,
    decision_id: String,
}

impl Account {
    /// An account of nothing yet.
    pub(super) fn new() -> Self {
        Account {
            started: SystemTime::UNIX_EPOCH,
            decided: None,
            record: None,
            decision_id: NO_DECISION_ID.to_owned(),
        }
    }

    /// Names the decision; `none` while there is none.
    pub(super) fn decision_id(&self) -> &str {
        &self.decision_id
    }

    /// Whether the decision could be given an id that nobody can guess.
    pub(super) fn has_decision_id(&self) -> bool {
        self.decision_id != NO_DECISION_ID
    }

    pub(super) fn open(
        &mut self,
        headers: &Headers,
        source: Option<String>,
        worker: &Worker,
        host: &dyn Host,
    ) {
        self.started = host.now();
        if let Ok(bits) = host.random() {
            self.decision_id = hex(&bits);
        }
        let trace_id = headers.informative("traceparent").and_then(|parent| parent.get(3..35));
        self.record = Some(Record {
            time: self.started,
            decision_id: self.decision_id.clone(),
            host_mode: match worker.host_mode {
                HostMode::Stream => "stream",
                HostMode::Hold => "hold",
            },
            outcome: "deny",
            code: Code::ClientDisconnected.as_str(),
            mode: "enforce",
            would_deny: None,
            policy_reason: None,
            refused_by: None,
            reason: None,
            rules: Vec::new(),
            policy_version: worker.policy_version.to_string(),
            rollback: None,
            candidate: None,
            agent: None,
            rate_limit: None,
            caller: None,
            server: None,
            http_method: headers.informative(":method").map(Text::new),
            method: None,
            object: None,
            claimed: false,
            revision: None,
            session: None,
            scopes_required: Vec::new(),
            exchange: None,
            source: source.as_deref().map(Text::new),
            request_id: headers
                .informative("x-request-id")
                .filter(|id| !headers.is_credential_in(id))
                .map(Text::new),
            trace_id: trace_id.map(Text::new),
            upstream_status: None,
            decision_ms: 0,
            total_ms: 0,
        });
    }

    pub(super) fn note(&mut self, fact: impl FnOnce(&mut Record)) {
        if let Some(record) = &mut self.record {
            fact(record);
        }
    }

    pub(super) fn operation(&mut self, operation: &Operation) {
        self.note(|record| {
            record.method = Some(Text::new(&operation.method));
            record.object = object(&operation.target)
                .map(|(kind, name)| audit::Object { kind, name: Text::new(name) });
        });
    }

    pub(super) fn judged(&mut self, verdict: &Verdict) {
        let Verdict { decision, unenforced, candidate, .. } = verdict;
        self.note(|record| {
            record.rules.clone_from(&decision.rules);
            record.scopes_required = audit::list(&decision.required_scopes);
            record.agent = decision.agent.as_deref().map(Text::new);
            record.mode = match decision.mode {
                Mode::Enforce => "enforce",
                Mode::Shadow => "shadow",
            };
            let reason = match decision.outcome {
                Outcome::Allow => None,
                Outcome::Deny(reason) => Some(reason),
            };
            record.policy_reason = reason.map(Reason::as_str);
            record.refused_by = reason.map(|reason| match reason.side() {
                Side::Server => "server",
                Side::User => "user",
                Side::Agent => "agent",
                Side::Delegation => "delegation",
            });
            record.would_deny = unenforced.as_ref().map(|denial| denial.code.as_str());
            record.candidate.clone_from(candidate);
        });
    }

    pub(super) fn allow(&mut self, code: &'static str, host: &dyn Host) {
        self.settle("allow", code, None, host);
    }

    pub(super) fn deny(&mut self, denial: &Denial, host: &dyn Host) {
        self.settle("deny", denial.code.as_str(), Some(denial.reason()), host);
    }

    /// A later denial replaces an allowance (a list that turned out unreadable).
    fn settle(
        &mut self,
        outcome: &'static str,
        code: &'static str,
        reason: Option<&str>,
        host: &dyn Host,
    ) {
        self.decided = Some(host.now());
        host.count(Counter::Decision { outcome, code });
        self.note(|record| {
            record.outcome = outcome;
            record.code = code;
            if outcome == "deny" {
                // It was denied after all, for something that shadow does not cover.
                record.would_deny = None;
            }
            record.reason = reason.map(Text::new);
        });
    }

    /// The finished record. A stream that ended undecided was left by its client, or
    /// ended by the proxy: nothing was allowed. `undecided` says how far it had come.
    pub(super) fn close(&mut self, undecided: &str, host: &dyn Host) -> Option<String> {
        self.record.as_ref()?;
        if self.decided.is_none() {
            let reason = format!("the stream ended {undecided}");
            self.deny(&Denial::new(Code::ClientDisconnected, reason), host);
        }
        let mut record = self.record.take()?;
        if let Some(code) = record.would_deny {
            host.count(Counter::ShadowDenial { code });
        }
        if let Some(candidate) = &record.candidate {
            host.count(Counter::Candidate { change: candidate.change });
        }
        if record.rollback.is_some() {
            host.count(Counter::RollbackDecision);
        }
        record.decision_ms = elapsed_ms(self.started, self.decided.unwrap_or(self.started));
        record.total_ms = elapsed_ms(self.started, host.now());
        Some(record.to_json())
    }
}

/// Whether the sender of a token is known to be the one it is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    Proved,
    Unproved,
}

pub(super) fn caller_fields(
    Caller { token, workload, evidence, .. }: &Caller,
    sender: Sender,
) -> audit::Caller {
    let Confirmation { key, certificate } = token.confirmation;
    let text = |text: &Option<String>| text.as_deref().map(Text::new);
    let actor = |Actor { issuer, subject, client_id }: &Actor| audit::Actor {
        sub: text(subject),
        client_id: text(client_id),
        iss: text(issuer),
    };
    audit::Caller {
        subject: Text::new(&token.subject),
        subject_kind: match token.kind {
            SubjectKind::User => "user",
            SubjectKind::Workload => "workload",
        },
        issuer: Text::new(&token.issuer_url),
        client_id: Text::new(&token.client_id),
        actors: token.actors.iter().map(actor).collect(),
        agent_instance: text(&token.agent.instance),
        agent_version: text(&token.agent.version),
        token_id: token.token_id.as_ref().map(|id| hex(id.sha256())),
        workload: workload.as_deref().map(|workload| Text::new(workload.as_str())),
        scopes_presented: audit::list(&token.scopes),
        roles: audit::list(&token.roles),
        tenant: text(&token.tenant),
        acr: text(&token.acr),
        sender: match (sender, key, certificate) {
            (Sender::Unproved, ..) => None,
            (Sender::Proved, None, None) => Some("bearer"),
            (Sender::Proved, Some(_), None) => Some("dpop"),
            (Sender::Proved, None, Some(_)) => Some("mtls"),
            (Sender::Proved, Some(_), Some(_)) => Some("dpop+mtls"),
        },
        dpop_key: key.map(|key| key.encoded()),
        token_cached: evidence.cached,
        stale: evidence.stale,
        introspection: evidence.introspection.map(|introspected| match introspected {
            Introspected::Asked => "asked",
            Introspected::Remembered => "cached",
        }),
    }
}

/// Kind and name of a protected object.
pub(super) fn object(target: &Target) -> Option<(&'static str, &str)> {
    match target {
        Target::None => None,
        Target::Tool(name) => Some(("tool", name)),
        Target::Prompt(name) => Some(("prompt", name)),
        Target::Resource(uri) => Some(("resource", uri)),
        Target::ResourceTemplate(uri) => Some(("resource_template", uri)),
        Target::Task(id) => Some(("task", id)),
        Target::Subscription { resources, .. } => {
            Some(("subscription", resources.first().map_or("", String::as_str)))
        }
    }
}
