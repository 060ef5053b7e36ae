//! What becomes of an operation, as it is printed and compared.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::rc::Rc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::gate::Rehearsal;
use crate::mcp::{Id, MODERN_VERSION};
use crate::policy::{CredentialWanted, Decision, Identity, Introspect, Mode, Outcome, Side};
use crate::reply::{Code, Denial, LocalReply};
use crate::token::{SubjectKind, TokenError};

/// What policy says, be it enforced or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// The operation is permitted.
    Allow,
    /// It is not.
    Deny,
}

/// What becomes of an operation.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    pub(super) outcome: Verdict,
    /// Why it is denied, as records have it.
    pub(super) reason: Option<&'static str>,
    /// What is wrong, where it is the token or the message.
    detail: Option<String>,
    /// Whose side denied it: `server`, `user`, `agent` or `delegation`.
    pub(super) side: Option<&'static str>,
    /// Whether the denial is enforced.
    pub(super) mode: Option<Mode>,
    /// Name of the agent, if it is one of the catalogue.
    pub(super) agent: Option<String>,
    /// The policy in force, where it is not the server's own.
    pub(super) policy: Option<String>,
    /// Ids of the rules that decided.
    pub(super) rules: BTreeSet<String>,
    /// Every scope that the operation takes.
    pub(super) scopes: BTreeSet<String>,
    /// The issuer's word that is asked for besides.
    pub(super) introspect: Option<Introspect>,
    /// Ids of the rates that count the operation. Here they count nothing.
    pub(super) rates: Vec<String>,
    /// The credential that goes to the server; none where the request does not go there, or
    /// nothing is to replace the caller's token.
    pub(super) exchange: Option<CredentialAnswer>,
    pub(super) candidate: Option<CandidateAnswer>,
    /// What the policy asked for.
    checks: Vec<Checked>,
    /// Who calls, if the token is acceptable.
    pub(super) caller: Option<Presented>,
    /// What the client is answered; nothing when the request goes on to the server.
    pub(super) response: Option<Response>,
}

/// How requests go on in `stream`.
pub(super) struct Stream {
    /// The credential where the operation is not known in time: for this client, or where that
    /// says it, for one older than 2026-07-28.
    pub(super) server_wide: Option<CredentialWanted>,
    /// Whether the headers of this client say the operation.
    pub(super) is_known: bool,
}

/// The credential that goes to the server.
#[derive(Debug, Serialize)]
pub(super) struct CredentialAnswer {
    /// Name of the exchange.
    pub(super) name: String,
    /// Whether it is asked for; otherwise the server's cluster has its own.
    pub(super) is_asked_for: bool,
    /// Scopes that are asked for.
    pub(super) scopes: BTreeSet<String>,
    /// Those without which the operation is refused.
    needs: BTreeSet<String>,
    /// What becomes of the operation in `stream` when its client is older than 2026-07-28: where
    /// that is something else, and this client is not.
    older_clients: Option<OlderClients>,
}

/// What becomes of operations that are not known in time.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum OlderClients {
    /// They go on with the server's credential, which is for these scopes.
    ServerWide(BTreeSet<String>),
    /// They are refused.
    Refused,
}

/// What the candidate policy says.
#[derive(Debug, Serialize)]
pub(super) struct CandidateAnswer {
    pub(super) policy: String,
    pub(super) outcome: Verdict,
    pub(super) reason: Option<&'static str>,
    pub(super) rules: BTreeSet<String>,
}

/// A condition of the policy.
#[derive(Debug, Serialize)]
struct Checked {
    name: &'static str,
    holds: bool,
    side: &'static str,
    detail: String,
}

/// Who calls, as the token says it.
#[derive(Debug, Serialize)]
pub(super) struct Presented {
    issuer: String,
    subject: String,
    kind: &'static str,
    client_id: String,
    scopes: BTreeSet<String>,
    roles: BTreeSet<String>,
    groups: BTreeSet<String>,
    tenant: Option<String>,
    /// The current actor first.
    actors: Vec<String>,
    workload: Option<String>,
}

/// An answer that does not come from the server.
#[derive(Debug, Serialize)]
pub(super) struct Response {
    pub(super) status: u16,
    headers: Vec<(&'static str, String)>,
    body: Value,
}

impl Answer {
    /// To a credential that is not acceptable.
    pub(super) fn rejected(error: TokenError, denial: &Denial) -> Self {
        Answer {
            reason: Some(error.code()),
            detail: Some(error.to_string()),
            response: Some(Response::of(denial)),
            ..Answer::new(Verdict::Deny)
        }
    }

    /// To a caller that is known; `stream` says how requests go on in that mode.
    pub(super) fn of(rehearsal: Rehearsal, caller: Presented, stream: Option<&Stream>) -> Self {
        let Rehearsal { policy, decision, checks, candidate, denial } = rehearsal;
        let checks = checks.into_iter().map(|check| Checked {
            name: check.name,
            holds: check.holds,
            side: side_name(check.side),
            detail: check.detail,
        });
        let candidate = candidate.map(|(policy, decision)| {
            let (outcome, reason, _) = verdict(&decision);
            let policy = policy.to_string();
            CandidateAnswer { policy, outcome, reason, rules: decision.rules.into_iter().collect() }
        });
        let common = Answer {
            policy: policy.map(|name| name.to_string()),
            candidate,
            checks: checks.collect(),
            caller: Some(caller),
            response: denial.as_ref().map(Response::of),
            ..Answer::new(Verdict::Deny)
        };
        let Some(decision) = decision else {
            let reason = denial.as_ref().map(|denial| denial.code.as_str());
            let detail = denial.map(|denial| denial.reason().to_owned());
            return Answer { reason, detail, ..common };
        };
        let (outcome, reason, side) = verdict(&decision);
        let credential = decision.obligations.credential.clone();
        let exchange = match credential.filter(|_| decision.proceeds()) {
            None => None,
            Some(wanted) => match CredentialAnswer::of(&wanted, stream) {
                Some(credential) => Some(credential),
                None => return common.needs_hold(decision, &wanted),
            },
        };
        Answer {
            exchange,
            outcome,
            reason,
            side,
            mode: reason.map(|_| decision.mode),
            agent: decision.agent.map(|name| name.to_string()),
            rules: decision.rules.into_iter().collect(),
            scopes: decision.required_scopes,
            introspect: decision.obligations.introspect,
            rates: decision.obligations.rates.iter().map(|rate| rate.id.clone()).collect(),
            ..common
        }
    }

    /// To a client whose operation takes a credential of its own, and is not known in time.
    fn needs_hold(self, decision: Decision, wanted: &CredentialWanted) -> Self {
        let CredentialWanted { downstream, scopes, .. } = wanted;
        let reason = format!(
            "takes a credential by exchange {}, for {}, and in `stream` is not known in time",
            downstream.name,
            listed(scopes)
        );
        let denial = Denial::new(Code::ExchangeNeedsHold, reason).with_id(Some(Id::Integer(1)));
        Answer {
            reason: Some(denial.code.as_str()),
            detail: Some(denial.reason().to_owned()),
            agent: decision.agent.map(|name| name.to_string()),
            rules: decision.rules.into_iter().collect(),
            response: Some(Response::of(&denial)),
            ..self
        }
    }

    /// The error that the client's challenge names.
    pub(super) fn challenge(&self) -> Option<&str> {
        let headers = &self.response.as_ref()?.headers;
        headers.iter().filter(|(name, _)| *name == "www-authenticate").find_map(|(_, value)| {
            let (_, rest) = value.split_once("error=\"")?;
            rest.split_once('"').map(|(error, _)| error)
        })
    }

    /// All of it for people, a line for each fact.
    pub(super) fn text(&self) -> String {
        let mut table = Table::default();
        if let Some(caller) = &self.caller {
            table.row(
                "subject",
                &format!("{} ({}) of {}", caller.subject, caller.kind, caller.issuer),
            );
            table.row("client", &caller.client_id);
            table.list("actors", &caller.actors);
            table.optional("workload", caller.workload.as_deref());
            table.optional("tenant", caller.tenant.as_deref());
            table.list("scopes", &caller.scopes);
            table.list("roles", &caller.roles);
            table.list("groups", &caller.groups);
        }
        table.row("decision", &self.decision());
        table.optional("policy", self.policy.as_deref());
        table.optional("agent", self.agent.as_deref());
        table.list("rules", &self.rules);
        table.list("needs", &self.scopes);
        table.optional(
            "asks",
            self.introspect.map(|asked| match asked {
                Introspect::Cached => "the issuer about the token, within its cache",
                Introspect::Fresh => "the issuer about the token, for this call",
            }),
        );
        table.list("counted by", &self.rates);
        if let Some(credential) = &self.exchange {
            credential.write(&mut table);
        }
        if let Some(CandidateAnswer { policy, outcome, reason, .. }) = &self.candidate {
            table.row("candidate", &format!("{policy}: {}", said(*outcome, *reason, None)));
        }
        match &self.response {
            None => table.row("answer", "the server's"),
            Some(Response { status, headers, body }) => {
                table.row("answer", &format!("HTTP {status}"));
                for (name, value) in headers {
                    table.row("", &format!("{name}: {value}"));
                }
                table.row("", &body.to_string());
            }
        }
        for (index, Checked { name, holds, side, detail }) in self.checks.iter().enumerate() {
            let label = if index == 0 { "checks" } else { "" };
            let verdict = if *holds { "ok" } else { "refused" };
            table.row(label, &format!("{verdict:<7} {name} (side: {side}): {detail}"));
        }
        table.0
    }

    fn decision(&self) -> String {
        let mut said = said(self.outcome, self.reason, self.side);
        if let Some(detail) = &self.detail {
            said = format!("{said}; {detail}");
        }
        if self.mode == Some(Mode::Shadow) {
            said.push_str("; recorded, not enforced (shadow)");
        }
        said
    }

    fn new(outcome: Verdict) -> Self {
        Answer {
            outcome,
            reason: None,
            detail: None,
            side: None,
            mode: None,
            agent: None,
            policy: None,
            rules: BTreeSet::new(),
            scopes: BTreeSet::new(),
            introspect: None,
            rates: Vec::new(),
            exchange: None,
            candidate: None,
            checks: Vec::new(),
            caller: None,
            response: None,
        }
    }
}

impl CredentialAnswer {
    /// None where the client gets none that would do, and so is refused.
    fn of(wanted: &CredentialWanted, stream: Option<&Stream>) -> Option<Self> {
        let older_clients = stream.and_then(|stream| OlderClients::of(wanted, stream));
        let answer = CredentialAnswer {
            name: wanted.downstream.name.to_string(),
            is_asked_for: wanted.downstream.exchange.is_some(),
            scopes: (*wanted.scopes).clone(),
            needs: (*wanted.needs).clone(),
            older_clients: None,
        };
        if stream.is_none_or(|stream| stream.is_known) {
            return Some(CredentialAnswer { older_clients, ..answer });
        }
        match older_clients {
            None => Some(answer),
            Some(OlderClients::ServerWide(scopes)) => Some(CredentialAnswer { scopes, ..answer }),
            Some(OlderClients::Refused) => None,
        }
    }

    fn write(&self, table: &mut Table) {
        let CredentialAnswer { name, scopes, needs, .. } = self;
        if self.is_asked_for {
            table.row("credential", &format!("by exchange {name}, for {}", listed(scopes)));
        } else {
            table.row("credential", &format!("the cluster's own ({name})"));
        }
        if needs != scopes && !needs.is_empty() {
            table.row("", &format!("of no use without {}", listed(needs)));
        }
        let older = format!("in stream, for clients older than {MODERN_VERSION}:");
        match &self.older_clients {
            None => {}
            Some(OlderClients::ServerWide(asked)) => {
                table.row("", &format!("{older} that for {}", listed(asked)));
            }
            Some(OlderClients::Refused) => {
                table.row("", &format!("{older} none, and so they are refused"))
            }
        }
    }
}

impl OlderClients {
    /// None where they are no exception.
    fn of(wanted: &CredentialWanted, stream: &Stream) -> Option<Self> {
        let is_asked_for = |wanted: &&CredentialWanted| wanted.downstream.exchange.is_some();
        let sent = stream.server_wide.as_ref().filter(is_asked_for);
        match (sent, Some(wanted).filter(is_asked_for)) {
            (None, None) => None,
            (Some(sent), Some(wanted)) if Rc::ptr_eq(&sent.downstream, &wanted.downstream) => {
                if sent.scopes == wanted.scopes {
                    None
                } else if wanted.server_wide {
                    Some(OlderClients::ServerWide((*sent.scopes).clone()))
                } else {
                    Some(OlderClients::Refused)
                }
            }
            _ => Some(OlderClients::Refused),
        }
    }
}

impl Presented {
    pub(super) fn of(identity: &Identity<'_>) -> Self {
        let token = identity.token;
        let names = token
            .actors
            .iter()
            .filter_map(|actor| actor.subject.as_ref().or(actor.client_id.as_ref()).cloned());
        Presented {
            issuer: token.issuer_url.clone(),
            subject: token.subject.clone(),
            kind: match token.kind {
                SubjectKind::User => "user",
                SubjectKind::Workload => "workload",
            },
            client_id: token.client_id.clone(),
            scopes: token.scopes.clone(),
            roles: token.roles.clone(),
            groups: token.groups.clone(),
            tenant: token.tenant.clone(),
            actors: names.collect(),
            workload: identity.workload.map(ToString::to_string),
        }
    }
}

impl Response {
    /// Without what is of no interest: the type, and the id of a decision nobody made.
    fn of(denial: &Denial) -> Self {
        let LocalReply { status, headers, body } = denial.reply("");
        let is_told = |name: &str| ["www-authenticate", "retry-after"].contains(&name);
        Response {
            status,
            headers: headers.into_iter().filter(|(name, _)| is_told(name)).collect(),
            body: serde_json::from_slice(&body).unwrap_or_default(),
        }
    }
}

/// Scopes, as a sentence has them.
fn listed(scopes: &BTreeSet<String>) -> String {
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    if scopes.is_empty() { "no scopes".to_owned() } else { scopes.join(" ") }
}

fn verdict(decision: &Decision) -> (Verdict, Option<&'static str>, Option<&'static str>) {
    match decision.outcome {
        Outcome::Allow => (Verdict::Allow, None, None),
        Outcome::Deny(reason) => {
            (Verdict::Deny, Some(reason.as_str()), Some(side_name(reason.side())))
        }
    }
}

fn side_name(side: Side) -> &'static str {
    match side {
        Side::Server => "server",
        Side::User => "user",
        Side::Agent => "agent",
        Side::Delegation => "delegation",
    }
}

fn said(outcome: Verdict, reason: Option<&str>, side: Option<&str>) -> String {
    match (outcome, reason, side) {
        (Verdict::Allow, ..) => "allow".to_owned(),
        (Verdict::Deny, None, _) => "deny".to_owned(),
        (Verdict::Deny, Some(reason), None) => format!("deny: {reason}"),
        (Verdict::Deny, Some(reason), Some(side)) => format!("deny: {reason} (side: {side})"),
    }
}

/// Lines of a label and a text.
#[derive(Default)]
struct Table(String);

impl Table {
    fn row(&mut self, label: &str, text: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{label:<11} {}", printable(text));
    }

    fn optional(&mut self, label: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.row(label, text);
        }
    }

    fn list<'t>(&mut self, label: &str, texts: impl IntoIterator<Item = &'t String>) {
        let texts: Vec<&str> = texts.into_iter().map(String::as_str).collect();
        if !texts.is_empty() {
            self.row(label, &texts.join(" "));
        }
    }
}

/// Claims and names are somebody's: what would move a terminal's cursor is escaped.
fn printable(text: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.into() };
    text.chars().map(escaped).collect()
}
