//! One request's way through, sans-I/O.
//!
//! A [`Gate`] is the state machine of one HTTP stream. The host's callbacks go in as
//! [`Event`]s; what the host is to do comes out as [`Effects`]. The order is fixed:
//! arrive, authenticate, read, decide, forward, and on the way back filter; then one
//! record. The state says what is known, so a step cannot run before the one it
//! stands on: there is no caller before a token was verified, and nothing to forward
//! before an operation was decided.
//!
//! # Host modes
//! In both modes a body or trailers callback answers [`Flow::Pause`] until the
//! decision is made, because a host releases the request at the first `Continue`.
//! - `stream`: once the caller is authenticated the request's headers go upstream,
//!   because the host shows the body only then. The body is withheld until decided. What
//!   the headers of revision 2026-07-28 claim is decided before they go, and again with
//!   the body.
//! - `hold`: nothing goes upstream before the decision.
//!
//! # INVARIANT
//! An undecided request gets [`Flow::Continue`] in one place only: in
//! `Gate::release`, for the headers of an authenticated caller in `stream`
//! mode. Everything else that goes upstream passes `Gate::forward`, after a decision
//! that allows.

mod account;
mod admitted;
mod arrival;
mod denials;
mod event;
mod headers;
mod http_sse;
mod policies;
mod rates;
#[cfg(not(target_arch = "wasm32"))]
mod rehearsal;
mod relay;
mod server;
mod standing;
mod step_up;
mod swap;
mod told;
mod verdict;
mod worker;
mod workloads;

use std::rc::Rc;
use std::time::{Duration, SystemTime};

pub use arrival::is_known_header;
pub use event::{Buffer, Effects, Event, Flow, Wait, Wake};
pub use headers::{HeaderEdit, HeaderError, Headers};
pub use http_sse::HttpSse;
pub use policies::{NamedPolicy, Policies, Rollback};
#[cfg(not(target_arch = "wasm32"))]
pub use rehearsal::{CallerHeaders, Rehearsal};
pub use server::{AuditSettings, Enforcement, HostMode, Server, StepUpChallenge, TaskBinding};
pub use worker::Worker;
pub use workloads::WorkloadSources;

use account::{Account, Sender, caller_fields};
use admitted::{Admitted, Brought, SESSION_HEADER, SessionsInAnswer};
use arrival::{
    Arrival, Credentials, Destination, HttpMethod, Place, check_form, credentials, destination,
    is_ours,
};
use denials::{denial, refused, rejected, rejected_token, session_denial};
use rates::Exceeded;
use relay::{Reading, Refused, Relay, Viewer};
use swap::{Carried, Obtained, Taken};
use verdict::Verdict;

use crate::audit::{self, Text, digest};
use crate::exchange::{Credential, Errand};
use crate::host::Host;
use crate::mcp::{Era, Id, Message, Operation, Principal, read_message_and_params};
use crate::policy::{CredentialWanted, Decision, Form, Introspect, Mode, ServerPolicy};
use crate::reply::{Code, DECISION_ID_HEADER, Denial, LocalReply, NONCE_HEADER};
use crate::token::{self, Outcome, PeerConnection, Recency, Secret, Waited};

/// Largest request body that is read, in bytes. MCP arguments are small; the servers'
/// own limits are between 1 and 4 MiB, and a body is in memory as often as there are
/// concurrent requests.
pub const MAX_BODY: usize = 1024 * 1024;

/// How long bytes of a body may have arrived without a body callback before the host
/// is taken to ignore the hold flag. A host that holds shows them at once; filters
/// before us may keep a body back for a moment, and a false alarm denies everything.
const HOLD_CHECK_BOUND: Duration = Duration::from_secs(2);

/// The state machine of one HTTP stream.
pub struct Gate {
    state: State,
    account: Account,
    /// For the client's next proof; goes out with whatever answers this request.
    nonce: Option<String>,
    /// Whether the client reads JSON-RPC out of the answer to this request. That to a message
    /// of HTTP+SSE it takes for a receipt, unless it is an error of HTTP.
    answered_here: bool,
}

/// How far the stream has come. Every variant but the last two withholds the request.
enum State {
    /// Nothing came yet.
    Arriving,
    /// The credential cannot be judged before something is fetched: keys, a list of
    /// revocations, the issuer's word.
    AwaitingEvidence {
        arrival: Arrival,
        credentials: Credentials,
        wait: token::Wait,
        waited: Waited,
        body: BodyProgress,
        hold: HoldWatch,
    },
    /// The caller is known, and the credential is asked for that the headers are to leave with.
    AwaitingRelease { admitted: Admitted, claimed: Claimed, wait: Errand },
    /// The caller is known, the operation is not.
    AwaitingBody { admitted: Admitted, headers: HeadersAre, hold: HoldWatch },
    /// The operation is known too, and its rule asks for the issuer's word on the token.
    AwaitingWord { admitted: Admitted, message: Message, held: bool, wait: token::Wait },
    /// The operation may proceed, and the credential that it takes along is asked for.
    AwaitingCredential { decided: Decided, wait: Errand },
    /// The request went on.
    Forwarded {
        relay: Relay,
        owner: Principal,
        sessions: SessionsInAnswer,
        carried: Option<Carried>,
    },
    /// We answered. Whatever still comes is not the caller's business.
    Answered,
}

/// What the headers of a request claim before its body is there.
struct Claimed {
    /// The operation, if it is claimed and policy permits it.
    operation: Option<Operation>,
    /// The credential that the headers leave with.
    wanted: Option<CredentialWanted>,
    /// Whether that is one for the whole server, because they do not say the operation.
    server_wide: bool,
}

/// A request that may go on, with the credential that it takes along.
struct Decided {
    admitted: Admitted,
    operation: Option<Operation>,
    /// Of the JSON-RPC request.
    id: Option<Id>,
    era: Era,
    /// What the answer is read for.
    reading: Option<Reading>,
    /// Whether its headers are still with us.
    held: bool,
    wanted: Option<CredentialWanted>,
}

/// How much of the body came while waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyProgress {
    /// There is none.
    Absent,
    /// Not all of it.
    Incomplete,
    /// All of it is in the host's buffer.
    Complete,
}

/// Where the headers of a request are whose body is not decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HeadersAre {
    /// With us.
    Held,
    /// On their way to the MCP server, since they arrived.
    Released,
    /// The same, since a wait ended.
    ReleasedLate,
}

/// What the hold self-check has seen of a stream.
#[derive(Debug, Clone, Copy, Default)]
struct HoldWatch {
    /// Bytes received when the headers arrived.
    baseline: Option<u64>,
    /// When more than that was first seen.
    grown_since: Option<SystemTime>,
    /// Whether a body callback came: then the host does hold.
    shown: bool,
}

/// A step's outcome: the next state and what to do, or a denial.
type Step = Result<(State, Effects), Denial>;

impl Gate {
    /// A gate at which nothing has arrived.
    #[must_use]
    pub fn new() -> Self {
        Gate { state: State::Arriving, account: Account::new(), nonce: None, answered_here: true }
    }

    /// Takes what happened, says what to do.
    pub fn on(&mut self, event: Event<'_>, worker: &mut Worker, host: &dyn Host) -> Effects {
        let state = std::mem::replace(&mut self.state, State::Answered);
        let step = match event {
            Event::RequestHeaders { headers, end, source, received, peer } => match state {
                State::Arriving => {
                    self.account.open(&headers, source, worker, host);
                    self.arrive(&headers, end, received, peer, worker, host)
                }
                state => Ok(out_of_order(state)),
            },
            Event::RequestBody { body, end } => {
                let progress = if end { BodyProgress::Complete } else { BodyProgress::Incomplete };
                self.body_came(state, body, progress, worker, host)
            }
            // Envoy sends such a request on without its body.
            Event::RequestTrailers { .. } if state.is_released_late() => {
                Err(Denial::new(Code::HostFailure, "trailers after a wait"))
            }
            Event::RequestTrailers { names, body } => self
                .body_came(state, body, BodyProgress::Complete, worker, host)
                // MCP has no trailers, and some servers merge them into the headers.
                .map(|(state, effects)| {
                    (state, Effects { remove_request_trailers: names, ..effects })
                }),
            Event::Settled { body } => self.settled(state, body, worker, host),
            Event::Abandoned => match state {
                state if state.awaits().is_some() => {
                    let code = Code::Unavailable("configuration_replaced");
                    let denial = Denial::new(code, "the configuration was replaced");
                    Err(denial.with_id(state.id().cloned()))
                }
                state => Ok(out_of_order(state)),
            },
            Event::HoldCheck { received } => hold_check(state, received, worker, host),
            Event::ResponseHeaders { headers, end, from_upstream } => {
                self.response_headers(state, &headers, end, from_upstream, worker, host)
            }
            Event::ResponseBody { body, end } => {
                let (state, effects) = self.response_body(state, body, end, host);
                self.state = state;
                return effects;
            }
            Event::ResponseTrailers { body } => {
                let (state, effects) = match state {
                    State::Forwarded { relay: Relay::Document { .. }, .. } => {
                        self.response_body(state, body, true, host)
                    }
                    state => (state, go_on()),
                };
                self.state = state;
                return effects;
            }
            Event::Done => {
                let record = self.account.close(state.how_far(), host);
                self.state = state;
                return Effects { record, ..go_on() };
            }
        };
        let step = step.and_then(|(state, effects)| {
            if effects.wake.is_some_and(Wake::is_for_a_fetch) && !worker.may_wait() {
                let denial = Denial::new(Code::Overloaded, "too many streams wait");
                return Err(denial.with_id(state.id().cloned()));
            }
            Ok((state, effects))
        });
        match step {
            Ok((state, effects)) => {
                self.state = state;
                effects
            }
            Err(denial) => {
                self.state = State::Answered;
                self.account.deny(&denial, host);
                let nonce = self.nonce.take();
                let denial = if denial.has_nonce() { denial } else { denial.with_nonce(nonce) };
                let denial = if self.answered_here { denial } else { denial.out_of_band() };
                let reply = denial.reply(self.account.decision_id());
                Effects { reply: Some(reply), ..Effects::default() }
            }
        }
    }

    /// What this stream waits for.
    #[must_use]
    pub fn awaits(&self) -> Option<Wait> {
        self.state.awaits()
    }

    /// Whether this stream is still to be looked at by the hold self-check.
    #[must_use]
    pub fn awaits_hold_check(&self) -> bool {
        match &self.state {
            State::AwaitingEvidence { hold, .. } | State::AwaitingBody { hold, .. } => {
                hold.baseline.is_some() && !hold.shown
            }
            _ => false,
        }
    }

    fn arrive(
        &mut self,
        headers: &Headers,
        end: bool,
        received: Option<u64>,
        peer: &dyn Fn() -> PeerConnection,
        worker: &mut Worker,
        host: &dyn Host,
    ) -> Step {
        if !self.account.has_decision_id() {
            return Err(Denial::new(Code::HostFailure, "the host gave no randomness"));
        }
        if !worker.is_configured() {
            return Err(Denial::new(Code::NotConfigured, "no configuration is in force"));
        }
        if worker.is_host_unsupported() {
            return Err(Denial::new(Code::HostUnsupported, "the host failed the hold self-check"));
        }
        let (server, place) = match destination(headers, &worker.servers)? {
            Destination::Metadata(server) => return self.serve_metadata(headers, &server, host),
            Destination::Endpoint(server, place) => (server, place),
        };
        self.answered_here = place == Place::Endpoint;
        self.account.note(|record| record.server = Some(server.resource.clone()));
        let mut arrival = check_form(headers, end, &server, place, &worker.workloads)?;
        self.account.note(|record| {
            let revision = arrival.headers.revision();
            record.revision = revision.filter(|it| !headers.is_credential_in(it)).map(Text::new);
            record.session = arrival.session_sent().map(|session| digest(session.as_bytes()));
        });
        if worker.host_mode == HostMode::Hold && !end && received.is_none() {
            return Err(Denial::new(
                Code::HostUnsupported,
                "the host does not tell what it received, so a hang would go unseen",
            ));
        }
        let credentials = credentials(headers, &server, &worker.workloads, peer)?;
        arrival.keep_out(headers, &credentials)?;
        let body = if end { BodyProgress::Absent } else { BodyProgress::Incomplete };
        let hold = HoldWatch {
            baseline: received.filter(|_| worker.host_mode == HostMode::Hold && !end),
            ..HoldWatch::default()
        };
        self.authenticate(arrival, credentials, body, hold, Waited::not(), worker, host)
    }

    /// RFC 9728: the document is public and is read before there is a token.
    fn serve_metadata(&mut self, headers: &Headers, server: &Server, host: &dyn Host) -> Step {
        if headers.informative(":method") != Some("GET") {
            return Err(Denial::new(Code::MethodNotAllowed, "metadata is only read"));
        }
        self.account.note(|record| record.server = Some(server.resource.clone()));
        self.account.allow("metadata", host);
        let reply = LocalReply::metadata(&server.metadata_document, self.account.decision_id());
        Ok((State::Answered, Effects { reply: Some(reply), ..Effects::default() }))
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one state, and the context")]
    fn authenticate(
        &mut self,
        arrival: Arrival,
        credentials: Credentials,
        body: BodyProgress,
        hold: HoldWatch,
        waited: Waited,
        worker: &mut Worker,
        host: &dyn Host,
    ) -> Step {
        let server = Rc::clone(&arrival.server);
        let outcome = worker.authenticator.authenticate(
            &credentials.brought(arrival.method),
            &arrival.demands(),
            waited,
            host,
        );
        match outcome {
            Outcome::Verified(caller) => {
                let needed = |policy: &ServerPolicy| policy.may_introspect() || policy.exchanges();
                let brought = if server.policies.any(needed) {
                    Brought {
                        token: Some(Secret::new(credentials.token)),
                        jwt_svid: credentials.workload.into_jwt_svid().map(Secret::new),
                        actor_token: credentials.actor_token.map(Secret::new),
                    }
                } else {
                    Brought::default()
                };
                self.nonce.clone_from(&caller.nonce);
                self.account
                    .note(|record| record.caller = Some(caller_fields(&caller, Sender::Proved)));
                let admitted = Admitted::new(arrival, caller, brought, worker, host)?;
                let rollback = admitted.standing.rollback.as_deref().map(str::to_owned);
                self.account.note(|record| record.rollback = rollback);
                self.authenticated(admitted, hold, waited, worker, host)
            }
            Outcome::Waits(wait) => {
                let effects = wait_for(Wait::Evidence(wait));
                let state =
                    State::AwaitingEvidence { arrival, credentials, wait, waited, body, hold };
                Ok((state, effects))
            }
            Outcome::Rejected(error) => Err(rejected(error, &server, || None)),
            Outcome::Refused(caller, error) => {
                let fields = caller_fields(&caller, Sender::Unproved);
                self.account.note(|record| record.caller = Some(fields));
                // Nonces are of the URL that the next proof has to name.
                let nonce = || worker.authenticator.nonce(arrival.demands().dpop, host);
                Err(rejected_token(error, &caller.token, &server, nonce, host))
            }
        }
    }

    /// The caller is known. What has no body is decided now; for the rest, `stream`
    /// lets the headers go, `hold` does not.
    fn authenticated(
        &mut self,
        admitted: Admitted,
        hold: HoldWatch,
        waited: Waited,
        worker: &mut Worker,
        host: &dyn Host,
    ) -> Step {
        if let Some(session) = &admitted.session {
            self.account.note(|record| record.session = Some(digest(session.id.as_bytes())));
        }
        if admitted.arrival.method != HttpMethod::Post {
            let Admitted { arrival: Arrival { server, .. }, standing, .. } = &admitted;
            let verdict = Verdict::of(
                standing,
                |policy| policy.decide_session(&standing.identity()),
                |decision, _| session_denial(decision, server, Code::MethodNotAllowed),
            );
            self.account.judged(&verdict);
            if let Some(denied) = verdict.denial {
                return Err(denied);
            }
            let decided = Decided {
                reading: admitted.arrival.reading(worker),
                admitted,
                operation: None,
                id: None,
                era: Era::Legacy,
                held: true,
                wanted: verdict.decision.obligations.credential,
            };
            return self.swap(decided, None, worker, host);
        }
        // Resuming a stream releases its buffered body with its headers. So where a
        // host has begun to show the body (the hold flag with a `stream` configuration),
        // the headers have to wait for the decision too.
        if worker.host_mode == HostMode::Hold || hold.shown {
            let headers = HeadersAre::Held;
            let effects = Effects { wake: Some(Wake::HoldCheck), ..Effects::default() };
            return Ok((State::AwaitingBody { admitted, headers, hold }, effects));
        }
        let claimed = self.claimed(&admitted, host)?;
        self.release(admitted, claimed, waited.at_all(), None, worker, host)
    }

    /// Lets the headers of a request go whose body was not read, with the credential for what
    /// they claim.
    fn release(
        &mut self,
        mut admitted: Admitted,
        claimed: Claimed,
        late: bool,
        waited: Option<Errand>,
        worker: &mut Worker,
        host: &dyn Host,
    ) -> Step {
        let wanted = claimed.wanted.as_ref();
        match self.obtain(&admitted, wanted, None, waited, worker, host)? {
            Obtained::Waits(wait) => {
                let effects = wait_for(Wait::Credential(wait));
                return Ok((State::AwaitingRelease { admitted, claimed, wait }, effects));
            }
            Obtained::Ready(credential) => {
                admitted.taken = wanted.map(|wanted| Taken {
                    wanted: wanted.clone(),
                    server_wide: claimed.server_wide,
                    credential,
                });
            }
            Obtained::Nothing => {}
        }
        let operation = claimed.operation.as_ref();
        let credential = admitted.taken.as_ref().map(|taken| &*taken.credential);
        let effects = Effects {
            request_headers: self.request_edits(&admitted, operation, credential, worker),
            filter_state: told::in_filter_state(&admitted, operation, worker),
            flow: Flow::Continue,
            ..Effects::default()
        };
        let headers = if late { HeadersAre::ReleasedLate } else { HeadersAre::Released };
        Ok((State::AwaitingBody { admitted, headers, hold: HoldWatch::default() }, effects))
    }

    /// The operation that the headers of a 2026-07-28 request claim, if policy allows it: what
    /// goes upstream with headers that leave before the body. The body has to agree, or it
    /// never follows them.
    ///
    /// # Errors
    /// The denial that asks for another token. Others wait for the body, since their answer
    /// needs the id of the request, and since headers that lie have an error of their own.
    fn claimed(&mut self, admitted: &Admitted, host: &dyn Host) -> Result<Claimed, Denial> {
        let Admitted { arrival, standing, .. } = admitted;
        let identity = standing.identity();
        let nothing = Claimed { operation: None, wanted: None, server_wide: false };
        let Some(operation) = arrival.headers.standard().claimed_operation() else {
            // What the client is about to do, nobody knows yet.
            let era = if arrival.claims_modern() { Era::Modern } else { Era::Legacy };
            let wanted = standing.policy.credential_of_unknown(&identity, era);
            return Ok(Claimed { wanted, server_wide: true, ..nothing });
        };
        let verdict = Verdict::of(
            standing,
            |policy| policy.decide(&identity, &operation, Form::Request),
            |decision, purpose| {
                denial(decision, &arrival.server, &identity, &operation, None, purpose, host)
            },
        );
        match (verdict.decision.enforced_denial(), &verdict.denial) {
            (None, _) => Ok(Claimed {
                operation: Some(operation),
                wanted: verdict.decision.obligations.credential,
                server_wide: false,
            }),
            (Some(reason), Some(denied)) if reason.asks_for_another_token() => {
                self.account.operation(&operation);
                self.account.note(|record| record.claimed = true);
                self.account.judged(&verdict);
                Err(denied.clone())
            }
            _ => Ok(nothing),
        }
    }

    /// Gets the credential that is wanted for a request, for the record too.
    fn obtain(
        &mut self,
        admitted: &Admitted,
        wanted: Option<&CredentialWanted>,
        id: Option<&Id>,
        waited: Option<Errand>,
        worker: &mut Worker,
        host: &dyn Host,
    ) -> Result<Obtained, Denial> {
        let (obtained, record) = swap::obtain(admitted, wanted, waited, id, worker, host);
        self.note_exchange(record);
        obtained
    }

    fn note_exchange(&mut self, exchange: Option<audit::Exchange>) {
        if exchange.is_some() {
            self.account.note(|record| record.exchange = exchange);
        }
    }

    /// The request may go on, and does as soon as it has what it takes along.
    fn swap(
        &mut self,
        decided: Decided,
        waited: Option<Errand>,
        worker: &mut Worker,
        host: &dyn Host,
    ) -> Step {
        let Decided { admitted, wanted, id, held, .. } = &decided;
        let (wanted, id) = (wanted.as_ref(), id.as_ref());
        if !held {
            let (checked, record) = swap::check_sent(admitted, wanted, id, host);
            self.note_exchange(record);
            checked?;
            let credential = admitted.taken.as_ref().map(|taken| Rc::clone(&taken.credential));
            return Ok(self.forward(decided, credential, worker, host));
        }
        match self.obtain(admitted, wanted, id, waited, worker, host)? {
            Obtained::Nothing => Ok(self.forward(decided, None, worker, host)),
            Obtained::Ready(credential) => {
                Ok(self.forward(decided, Some(credential), worker, host))
            }
            Obtained::Waits(wait) => {
                let effects = wait_for(Wait::Credential(wait));
                Ok((State::AwaitingCredential { decided, wait }, effects))
            }
        }
    }

    /// What the stream waits for is there, or will not come.
    fn settled(
        &mut self,
        state: State,
        body: &dyn Buffer,
        worker: &mut Worker,
        host: &dyn Host,
    ) -> Step {
        match state {
            State::AwaitingEvidence {
                arrival,
                credentials,
                wait,
                waited,
                body: progress,
                hold,
            } => {
                let waited = waited.and(wait);
                let (state, effects) =
                    self.authenticate(arrival, credentials, progress, hold, waited, worker, host)?;
                match (&state, progress) {
                    // No callback will come any more for a body that was complete before.
                    (State::AwaitingBody { .. }, BodyProgress::Complete) => {
                        self.body_came(state, body, progress, worker, host)
                    }
                    _ => Ok((state, effects)),
                }
            }
            State::AwaitingRelease { admitted, claimed, wait } => {
                self.release(admitted, claimed, true, Some(wait), worker, host)
            }
            State::AwaitingWord { admitted, message, held, wait } => {
                let waited = Waited::not().and(wait);
                self.decide(admitted, message, held, waited, worker, host)
            }
            State::AwaitingCredential { decided, wait } => {
                self.swap(decided, Some(wait), worker, host)
            }
            state => Ok(out_of_order(state)),
        }
    }

    /// Part of the body came, or its end.
    fn body_came(
        &mut self,
        state: State,
        body: &dyn Buffer,
        progress: BodyProgress,
        worker: &mut Worker,
        host: &dyn Host,
    ) -> Step {
        let too_large = || Denial::new(Code::BodyTooLarge, "the body is larger than 1 MiB");
        match state {
            State::AwaitingEvidence { arrival, credentials, wait, waited, hold, .. } => {
                if body.size() > MAX_BODY {
                    return Err(too_large());
                }
                let hold = HoldWatch { shown: true, ..hold };
                let state = State::AwaitingEvidence {
                    arrival,
                    credentials,
                    wait,
                    waited,
                    body: progress,
                    hold,
                };
                Ok((state, Effects::default()))
            }
            // Resuming would release the body undecided. So the headers wait for its decision,
            // and what they claim does not matter any more.
            State::AwaitingRelease { admitted, .. } => {
                let (headers, hold) = (HeadersAre::Held, HoldWatch::default());
                let state = State::AwaitingBody { admitted, headers, hold };
                self.body_came(state, body, progress, worker, host)
            }
            State::AwaitingBody { admitted, headers, hold } => {
                if body.size() > MAX_BODY {
                    return Err(too_large());
                }
                if progress == BodyProgress::Complete {
                    let held = headers == HeadersAre::Held;
                    return self.read_and_decide(admitted, held, body, worker, host);
                }
                let hold = HoldWatch { shown: true, ..hold };
                Ok((State::AwaitingBody { admitted, headers, hold }, Effects::default()))
            }
            state => Ok(out_of_order(state)),
        }
    }

    fn read_and_decide(
        &mut self,
        admitted: Admitted,
        held: bool,
        body: &dyn Buffer,
        worker: &mut Worker,
        host: &dyn Host,
    ) -> Step {
        let bytes = match body.size() {
            0 => Vec::new(),
            _ => body
                .read()
                .ok_or_else(|| Denial::new(Code::HostFailure, "the host did not give the body"))?,
        };
        let headers = &admitted.arrival.headers;
        let mirrored = |target: &_| admitted.standing.policy.param_headers(target);
        let (message, params) =
            read_message_and_params(&bytes, &headers.standard(), &mirrored).map_err(refused)?;
        if let Message::Request { operation, .. } | Message::Notification { operation, .. } =
            &message
        {
            self.account.operation(operation);
        }
        if let Err(reason) = params {
            // Only who may call a tool is told what is wrong with the call.
            self.judge(&admitted, &message, host)?;
            return Err(refused(message.refuse(reason)));
        }
        self.decide(admitted, message, held, Waited::not(), worker, host)
    }

    /// Decides on a message, after the issuer gave its word if the decision asks for it.
    fn decide(
        &mut self,
        mut admitted: Admitted,
        message: Message,
        held: bool,
        waited: Waited,
        worker: &mut Worker,
        host: &dyn Host,
    ) -> Step {
        let mut decision = self.judge(&admitted, &message, host)?;
        // A rule in shadow asks for nothing that could refuse.
        let asks = |_: &Introspect| decision.mode == Mode::Enforce;
        if let Some(recency) = decision.obligations.introspect.filter(asks) {
            let server = &admitted.arrival.server;
            let token = admitted.token.as_ref().map_or("", Secret::reveal);
            let recency = match recency {
                Introspect::Cached => Recency::Cached,
                Introspect::Fresh => Recency::Fresh,
            };
            let demands = server.demands();
            let outcome = worker.authenticator.introspect(
                token,
                &admitted.caller,
                &demands,
                recency,
                waited,
                host,
            );
            match outcome {
                Outcome::Verified(confirmed) => admitted.confirmed(confirmed),
                Outcome::Waits(wait) => {
                    let effects = wait_for(Wait::Evidence(wait));
                    return Ok((State::AwaitingWord { admitted, message, held, wait }, effects));
                }
                Outcome::Rejected(error) | Outcome::Refused(_, error) => {
                    return Err(rejected(error, server, || None));
                }
            }
            let confirmed = caller_fields(&admitted.caller, Sender::Proved);
            self.account.note(|record| record.caller = Some(confirmed));
            // The issuer may have said less than the token does.
            decision = self.judge(&admitted, &message, host)?;
        }
        self.count(&admitted, &message, &decision, host)?;
        let reading = admitted.reading(&message);
        let (operation, id, era) = match message {
            Message::Request { operation, id, era } => (Some(operation), Some(id), era),
            Message::Notification { operation, era } => (Some(operation), None, era),
            Message::Response { .. } => (None, None, Era::Legacy),
        };
        let wanted = decision.obligations.credential;
        let decided = Decided { admitted, operation, id, era, reading, held, wanted };
        self.swap(decided, None, worker, host)
    }

    /// Counts an operation that proceeds. Where the server is in shadow, or the rule whose rate
    /// it is, one that comes too often is only recorded.
    fn count(
        &mut self,
        admitted: &Admitted,
        message: &Message,
        decision: &Decision,
        host: &dyn Host,
    ) -> Result<(), Denial> {
        let (operation, id) = match message {
            Message::Request { operation, id, .. } => (operation, Some(id)),
            Message::Notification { operation, .. } => (operation, None),
            Message::Response { .. } => return Ok(()),
        };
        if !decision.proceeds() {
            return Ok(());
        }
        let Admitted { arrival: Arrival { server, .. }, standing, .. } = admitted;
        let exceeded = rates::exceeded(decision, standing, &server.resource, operation, id, host);
        let Some(Exceeded { denial, limit }) = exceeded else { return Ok(()) };
        let code = denial.code.as_str();
        let mode = standing.policy.rate_mode(&operation.target, limit.as_deref());
        match mode {
            Mode::Enforce => {
                self.account.note(|record| record.rate_limit = limit);
                Err(denial)
            }
            Mode::Shadow => {
                self.account.note(|record| {
                    record.rate_limit = limit;
                    record.would_deny = Some(code);
                });
                Ok(())
            }
        }
    }

    /// What policy says of a message.
    fn judge(
        &mut self,
        admitted: &Admitted,
        message: &Message,
        host: &dyn Host,
    ) -> Result<Decision, Denial> {
        let Admitted { arrival: Arrival { server, .. }, standing, .. } = admitted;
        let identity = standing.identity();
        let verdict = match message {
            Message::Request { id, era, operation } => Verdict::of(
                standing,
                |policy| policy.decide(&identity, operation, Form::Request),
                |decision, purpose| {
                    denial(decision, server, &identity, operation, Some((id, *era)), purpose, host)
                },
            ),
            Message::Notification { operation, .. } => Verdict::of(
                standing,
                |policy| policy.decide(&identity, operation, Form::Notification),
                |decision, purpose| {
                    denial(decision, server, &identity, operation, None, purpose, host)
                },
            ),
            Message::Response { .. } => Verdict::of(
                standing,
                |policy| policy.decide_session(&identity),
                |decision, _| session_denial(decision, server, Code::NotificationDenied),
            ),
        };
        self.account.judged(&verdict);
        let of_task = || match message {
            // Whose a task is, is no matter of policy: shadow does not open it.
            Message::Request { id, operation, .. } => admitted.task_denial(operation, id, host),
            Message::Notification { .. } | Message::Response { .. } => None,
        };
        verdict.denial.or_else(of_task).map_or(Ok(verdict.decision), Err)
    }

    /// The decision allows, and there is what the request takes along: it goes on.
    fn forward(
        &mut self,
        decided: Decided,
        credential: Option<Rc<Credential>>,
        worker: &Worker,
        host: &dyn Host,
    ) -> (State, Effects) {
        self.account.allow("allowed", host);
        let Decided { admitted, operation, era, reading, held, wanted, .. } = decided;
        let operation = operation.as_ref();
        let (request_headers, filter_state) = if held {
            let edits = self.request_edits(&admitted, operation, credential.as_deref(), worker);
            (edits, told::in_filter_state(&admitted, operation, worker))
        } else {
            Default::default()
        };
        let begins = era == Era::Legacy && operation.is_some_and(|o| o.method == "initialize");
        let Admitted { arrival, standing, owner, session, .. } = admitted;
        let sessions = match session {
            Some(session) => SessionsInAnswer::Same(session),
            None if begins => SessionsInAnswer::New,
            None => SessionsInAnswer::None,
        };
        let relay = match reading {
            Some(reading) => {
                let viewer = Viewer { server: arrival.server, standing, owner, era };
                Relay::Read { viewer, reading }
            }
            None => Relay::Pass,
        };
        let effects = Effects { request_headers, filter_state, ..go_on() };
        let carried = wanted.map(|wanted| Carried::new(&wanted, credential));
        (State::Forwarded { relay, owner, sessions, carried }, effects)
    }

    /// What the MCP server is told, after everything it must not see is taken away.
    fn request_edits(
        &self,
        admitted: &Admitted,
        operation: Option<&Operation>,
        credential: Option<&Credential>,
        worker: &Worker,
    ) -> Vec<HeaderEdit> {
        let mut edits = admitted.arrival.strip.clone();
        edits.extend(admitted.session_edit());
        edits.extend(credential.map(swap::edit));
        let decision_id = self.account.decision_id().to_owned();
        edits.push(HeaderEdit::Set(DECISION_ID_HEADER, decision_id));
        if worker.audit.identity_headers {
            edits.extend(told::in_headers(admitted, operation));
        }
        edits
    }

    fn response_headers(
        &mut self,
        state: State,
        headers: &Headers,
        end: bool,
        from_upstream: &dyn Fn() -> bool,
        worker: &mut Worker,
        host: &dyn Host,
    ) -> Step {
        let status = headers.informative(":status").and_then(|status| status.parse::<u16>().ok());
        let (relay, owner, sessions, carried) = match state {
            State::Forwarded { relay, owner, sessions, carried } => {
                (relay, owner, sessions, carried)
            }
            state @ State::Answered => return Ok((state, go_on())),
            // The proxy's own to a request it did not let through to us.
            state @ State::Arriving if !from_upstream() => return Ok((state, go_on())),
            // The proxy's own (a timeout, say).
            state if !from_upstream() => {
                if status == Some(413) {
                    // A body that comes at once may be more than the proxy buffers, and than
                    // we are shown.
                    let reason = "the proxy could not buffer the body";
                    self.account.deny(&Denial::new(Code::BodyTooLarge, reason), host);
                }
                let response_headers = self.response_edits(headers);
                return Ok((state, Effects { response_headers, ..go_on() }));
            }
            // The MCP server answers a body it was not shown. A refusal may pass.
            state if status.is_some_and(|status| status >= 400) => {
                self.account.note(|record| record.upstream_status = status);
                let carried = state.taken().map(Carried::from);
                if let Some(carried) = carried.as_ref().filter(|_| status == Some(401)) {
                    return Err(carried.refused(worker, host));
                }
                let mut response_headers = self.response_edits(headers);
                if headers.has(SESSION_HEADER) {
                    // Nobody is told a server's own session id.
                    response_headers.push(HeaderEdit::Remove(SESSION_HEADER.to_owned()));
                }
                response_headers.extend(carried.and_then(|_| swap::foreign_challenge(headers)));
                return Ok((state, Effects { response_headers, ..go_on() }));
            }
            _ => {
                return Err(Denial::new(
                    Code::ResponsePremature,
                    "the server answered before the request was decided",
                ));
            }
        };
        self.account.note(|record| record.upstream_status = status);
        let is_about_it = status == Some(401) || headers.has(swap::CHALLENGE);
        let carried_there = carried.as_ref().filter(|_| is_about_it && from_upstream());
        if let Some(carried) = carried_there.filter(|_| status == Some(401)) {
            return Err(carried.refused(worker, host));
        }
        let (relay, mut effects) = relay.on_headers(headers, end, from_upstream)?;
        let (session_edit, begun) = sessions.edit(headers, &owner, &worker.sessions, host)?;
        if let Some(id) = begun {
            self.account.note(|record| record.session = Some(digest(id.as_bytes())));
        }
        effects.response_headers.extend(session_edit);
        effects.response_headers.extend(self.response_edits(headers));
        let challenge = carried_there.and_then(|_| swap::foreign_challenge(headers));
        effects.response_headers.extend(challenge);
        Ok((State::Forwarded { relay, owner, sessions, carried }, effects))
    }

    /// Whatever the response says in our name is forged; the decision id is ours.
    fn response_edits(&self, headers: &Headers) -> Vec<HeaderEdit> {
        let forged = headers.names().filter(|name| is_ours(name));
        let mut edits: Vec<_> = forged.map(|name| HeaderEdit::Remove(name.to_owned())).collect();
        edits.push(HeaderEdit::Set(DECISION_ID_HEADER, self.account.decision_id().to_owned()));
        if let Some(nonce) = &self.nonce {
            // RFC 9449 section 8.2: a nonce is not for caches.
            edits.push(HeaderEdit::Set("cache-control", "no-store".to_owned()));
            edits.push(HeaderEdit::Set(NONCE_HEADER, nonce.clone()));
        } else if headers.has(NONCE_HEADER) {
            // The server sees no proofs, so clients have no use for a nonce of its own.
            edits.push(HeaderEdit::Remove(NONCE_HEADER.to_owned()));
        }
        edits
    }

    fn response_body(
        &mut self,
        state: State,
        body: &dyn Buffer,
        end: bool,
        host: &dyn Host,
    ) -> (State, Effects) {
        let State::Forwarded { relay, owner, sessions, carried } = state else {
            return (state, go_on());
        };
        let (mut relay, result) = relay.on_body(body, end, host);
        if let Some(id) = relay.take_begun() {
            self.account.note(|record| record.session = Some(digest(id.as_bytes())));
        }
        let effects = match result {
            Ok(effects) => effects,
            Err(Refused { denial, effects }) => {
                self.account.deny(&denial, host);
                // The headers are out, so a reply ends the response where it is.
                effects.unwrap_or_else(|| Effects {
                    reply: Some(denial.reply(self.account.decision_id())),
                    ..Effects::default()
                })
            }
        };
        (State::Forwarded { relay, owner, sessions, carried }, effects)
    }
}

impl State {
    fn how_far(&self) -> &'static str {
        match self {
            State::AwaitingEvidence { .. } => "while its credential waited to be judged",
            State::AwaitingWord { .. } => "while the issuer was asked about its token",
            State::AwaitingRelease { .. } | State::AwaitingCredential { .. } => {
                "while its credential for the server was asked for"
            }
            State::AwaitingBody { .. } => "before its body was complete",
            State::Arriving | State::Forwarded { .. } | State::Answered => "before it was decided",
        }
    }

    fn awaits(&self) -> Option<Wait> {
        match self {
            State::AwaitingEvidence { wait, .. } | State::AwaitingWord { wait, .. } => {
                Some(Wait::Evidence(*wait))
            }
            State::AwaitingRelease { wait, .. } | State::AwaitingCredential { wait, .. } => {
                Some(Wait::Credential(*wait))
            }
            _ => None,
        }
    }

    /// The id of the JSON-RPC request, once it is read.
    fn id(&self) -> Option<&Id> {
        match self {
            State::AwaitingWord { message: Message::Request { id, .. }, .. } => Some(id),
            State::AwaitingCredential { decided, .. } => decided.id.as_ref(),
            _ => None,
        }
    }

    /// The credential that left with the headers, while the body is not decided.
    fn taken(&self) -> Option<&Taken> {
        match self {
            State::AwaitingBody { admitted, .. } | State::AwaitingWord { admitted, .. } => {
                admitted.taken.as_ref()
            }
            _ => None,
        }
    }

    fn is_released_late(&self) -> bool {
        matches!(self, State::AwaitingBody { headers: HeadersAre::ReleasedLate, .. })
    }
}

impl Default for Gate {
    fn default() -> Self {
        Gate::new()
    }
}

fn wait_for(wait: Wait) -> Effects {
    Effects { wake: Some(Wake::Settled(wait)), ..Effects::default() }
}

fn go_on() -> Effects {
    Effects { flow: Flow::Continue, ..Effects::default() }
}

/// A callback that this state has no use for. What is withheld stays withheld; what
/// was let go goes on.
fn out_of_order(state: State) -> (State, Effects) {
    let flow = match state {
        State::Forwarded { .. } => Flow::Continue,
        _ => Flow::Pause,
    };
    (state, Effects { flow, ..Effects::default() })
}

/// Looks whether the host shows the body of a stream whose headers are held.
fn hold_check(state: State, received: Option<u64>, worker: &mut Worker, host: &dyn Host) -> Step {
    let (mut state, effects) = out_of_order(state);
    let (State::AwaitingEvidence { hold, .. } | State::AwaitingBody { hold, .. }) = &mut state
    else {
        return Ok((state, effects));
    };
    let (Some(baseline), Some(received), false) = (hold.baseline, received, hold.shown) else {
        return Ok((state, effects));
    };
    if received <= baseline {
        return Ok((state, effects));
    }
    let now = host.now();
    let since = *hold.grown_since.get_or_insert(now);
    if now.duration_since(since).unwrap_or_default() < HOLD_CHECK_BOUND {
        return Ok((state, effects));
    }
    worker.host_cannot_hold(host);
    Err(Denial::new(Code::HostUnsupported, "the host withholds the body while headers are held"))
}

#[cfg(test)]
mod tests;
