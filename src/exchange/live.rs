//! One exchange as a worker runs it: what is asked for, what is remembered, and whether its
//! authorization servers answer.

use std::fmt;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::circuit::{Circuit, Transition};
use super::key::Key;
use super::memory::{Memory, has_passed};
use super::profile::{Gain, Step};
use super::protocol::Protocol;
use super::queue::{Numbers, Queue, Run};
use super::wish::Wish;
use super::{Credential, Errand, ExchangeError, ExchangeId, Flaw, Origin, Outcome, Wanted};
use crate::host::{CalloutAnswer, CalloutId, Change, Counter, Gauge, Host, HostError, LogLevel};
use crate::token::Secret;

/// What Envoy may try again, once: requests of which nothing reached the authorization server.
/// Anything else may have been carried out there, and tokens may be good for one use only.
const RETRY: [(&str, &str); 2] = [
    ("x-envoy-retry-on", "connect-failure,refused-stream,reset-before-request"),
    ("x-envoy-max-retries", "1"),
];

/// Shortest time between two lines of the log about failures of one exchange that are equally
/// grave: callers can cause them, and each record has its own.
const LOG_PERIOD: Duration = Duration::from_secs(10);

/// An exchange, and what is known of its credentials.
pub(super) struct LiveExchange {
    name: Rc<str>,
    protocol: Box<dyn Protocol>,
    queue: Queue,
    memory: Memory,
    circuit: Circuit,
    /// Our own token.
    actor: Key,
    log: FailureLog,
}

/// When a failure was last written.
#[derive(Default)]
struct FailureLog {
    error: Option<SystemTime>,
    warning: Option<SystemTime>,
}

impl LiveExchange {
    /// One of that many.
    pub(super) fn new(
        id: ExchangeId,
        name: Rc<str>,
        protocol: Box<dyn Protocol>,
        numbers: Numbers,
        exchanges: usize,
    ) -> Self {
        let queue = Queue::new(numbers, exchanges);
        LiveExchange {
            name,
            protocol,
            memory: Memory::new(exchanges, queue.max_errands()),
            queue,
            circuit: Circuit::new(),
            actor: Key::of_own_actor(id),
            log: FailureLog::default(),
        }
    }

    /// See [`Exchanger::obtain`](super::Exchanger::obtain).
    pub(super) fn obtain(
        &mut self,
        wanted: &Wanted<'_>,
        waited: Option<Errand>,
        host: &dyn Host,
    ) -> Outcome {
        if let Err(error) = self.protocol.check(wanted) {
            return Outcome::Refused(error);
        }
        let depends_on = self.protocol.depends_on();
        match self.look_up(Key::of(wanted, depends_on), wanted, waited, host) {
            // Nobody else is refused for it.
            Outcome::Ready(credential, _)
                if wanted.subject.brought(&credential.token, depends_on) =>
            {
                let error = ExchangeError::Unusable(Flaw::Unchanged);
                self.log(&error, host.now(), host);
                Outcome::Refused(error)
            }
            outcome => outcome,
        }
    }

    /// What is there for that key, or the errand to wait for.
    fn look_up(
        &mut self,
        key: Key,
        wanted: &Wanted<'_>,
        waited: Option<Errand>,
        host: &dyn Host,
    ) -> Outcome {
        let now = host.now();
        if let Some(outcome) = waited.and_then(|errand| self.collect(errand, &key, now)) {
            return outcome;
        }
        if let Some(credential) = self.memory.credential(&key, now) {
            host.count(Counter::ExchangeCacheHit);
            if self.memory.take_refresh(&key, now) {
                // Where it cannot be asked for now, the one that is there serves its time.
                let _ = self.want(key, wanted, true, now);
            }
            return Outcome::Ready(credential, Origin::Cached);
        }
        if let Some(error) = self.memory.refusal(&key, now) {
            return Outcome::Refused(error);
        }
        if waited.is_some() {
            return Outcome::Refused(unavailable("the answer that was waited for is gone"));
        }
        match self.want(key, wanted, false, now) {
            Ok(errand) => {
                host.count(Counter::ExchangeCacheMiss);
                Outcome::Waits(errand)
            }
            Err(error) => Outcome::Refused(error),
        }
    }

    /// See [`Exchanger::on_tick`](super::Exchanger::on_tick).
    pub(super) fn on_tick(&mut self, host: &dyn Host) -> Vec<Errand> {
        let now = host.now();
        let mut settled = Vec::new();
        for lost in self.queue.take_lost(now) {
            self.settle(lost, Err(unavailable("no answer")), now, host, &mut settled);
        }
        self.start_wanted(now, host, &mut settled);
        self.give_up_overdue(now, host, &mut settled);
        settled
    }

    /// See [`Exchanger::on_callout`](super::Exchanger::on_callout).
    pub(super) fn on_callout(
        &mut self,
        id: CalloutId,
        answer: &CalloutAnswer,
        host: &dyn Host,
    ) -> Option<Vec<Errand>> {
        let mut run = self.queue.answered(id)?;
        let now = host.now();
        let mut settled = Vec::new();
        match (run.step, self.protocol.read(run.step, &run.wish, &run.gained, answer, now)) {
            (Step::Exchange, Ok(Gain::Assertion(assertion))) => {
                run.step = Step::Redeem;
                run.gained.assertion = Some(assertion);
                self.start(run, now, host, &mut settled);
            }
            (_, Ok(Gain::Credential(credential))) => {
                self.settle(run, Ok(credential), now, host, &mut settled);
            }
            (_, Ok(Gain::Assertion(_))) => {
                let error = ExchangeError::Unusable(Flaw::Malformed);
                self.settle(run, Err(error), now, host, &mut settled);
            }
            (_, Err(error)) => {
                if run.gained.actor.is_some() && may_be_of_the_actor(&error) {
                    self.memory.forget_of(&self.actor, now);
                }
                self.settle(run, Err(error), now, host, &mut settled);
            }
        }
        // There is room now, and perhaps our own token.
        self.start_wanted(now, host, &mut settled);
        Some(settled)
    }

    /// See [`Exchanger::not_taken`](super::Exchanger::not_taken).
    pub(super) fn not_taken(&mut self, credential: &Rc<Credential>, host: &dyn Host) {
        self.memory.forget(credential, host.now());
    }

    /// See [`Exchanger::retire`](super::Exchanger::retire).
    pub(super) fn retire(&mut self, host: &dyn Host) {
        if self.circuit.succeed() == Some(Transition::Closed) {
            self.adjust(Change::Down, host);
        }
    }

    /// What the errand ended in that a request waited for; `None` when that is not known.
    fn collect(&self, errand: Errand, key: &Key, now: SystemTime) -> Option<Outcome> {
        if self.queue.has(errand) {
            return Some(Outcome::Waits(errand));
        }
        Some(match self.memory.ending(errand, key)? {
            Ok(credential) if credential.expires_at <= now => {
                Outcome::Refused(ExchangeError::Unusable(Flaw::Expired))
            }
            Ok(credential) => Outcome::Ready(credential, Origin::Exchanged),
            Err(error) => Outcome::Refused(error),
        })
    }

    /// The errand to wait for.
    fn want(
        &mut self,
        key: Key,
        wanted: &Wanted<'_>,
        refreshes: bool,
        now: SystemTime,
    ) -> Result<Errand, ExchangeError> {
        if let Some(errand) = self.queue.find(&key) {
            return Ok(errand);
        }
        if !self.queue.has_room_for(wanted.subject.digest) {
            return Err(ExchangeError::Overloaded);
        }
        self.circuit.admit(now).map_err(spared)?;
        let wish = Rc::new(Wish::of(wanted, self.protocol.depends_on()));
        Ok(self.queue.want(key, wish, Step::Exchange, refreshes, now))
    }

    /// Starts what is wanted and may be.
    fn start_wanted(&mut self, now: SystemTime, host: &dyn Host, settled: &mut Vec<Errand>) {
        loop {
            let actor = self.own_actor(now, settled);
            let needs_actor = self.protocol.needs_own_actor();
            let is_ready = |run: &Run| run.step == Step::Actor || !needs_actor || actor.is_some();
            let Some(mut run) = self.queue.next(is_ready) else { return };
            if run.step == Step::Exchange {
                run.gained.actor = actor;
            }
            self.start(run, now, host, settled);
        }
    }

    /// Our own token, for the errands that wait and take it. Where it is not there or ends soon,
    /// it is wanted first.
    fn own_actor(&mut self, now: SystemTime, settled: &mut Vec<Errand>) -> Option<Secret> {
        if !self.protocol.needs_own_actor() {
            return None;
        }
        let wish = Rc::clone(&self.queue.first()?.wish);
        let held = self.memory.credential(&self.actor, now);
        if held.is_none()
            && let Some(error) = self.memory.refusal(&self.actor, now)
        {
            self.give_up_wanted(&error, settled);
            return None;
        }
        let is_due = held.is_none() || self.memory.take_refresh(&self.actor, now);
        if is_due && self.queue.find(&self.actor).is_none() {
            self.queue.want(self.actor, wish, Step::Actor, held.is_some(), now);
        }
        held.map(|credential| credential.token.clone())
    }

    /// Sends the request that is next.
    fn start(&mut self, run: Run, now: SystemTime, host: &dyn Host, settled: &mut Vec<Errand>) {
        let Ok(mut callout) = self.protocol.request(run.step, &run.wish, &run.gained, host) else {
            // Nothing was asked, so nothing is known of the server.
            self.circuit.give_up();
            let error = unavailable("the request could not be made");
            return self.end(run, Err(error), now, host, settled);
        };
        callout.headers.extend(RETRY.map(|(name, value)| (name, value.to_owned())));
        match host.dispatch(&callout) {
            Ok(id) => self.queue.started(run, id, now, callout.timeout),
            Err(HostError) => {
                let error = unavailable("the request could not be sent");
                self.settle(run, Err(error), now, host, settled);
            }
        }
    }

    /// A server was asked for an errand, and that is the end of it.
    fn settle(
        &mut self,
        run: Run,
        result: Result<Credential, ExchangeError>,
        now: SystemTime,
        host: &dyn Host,
        settled: &mut Vec<Errand>,
    ) {
        let result = match result {
            Ok(credential) if credential.expires_at <= now => {
                Err(ExchangeError::Unusable(Flaw::Expired))
            }
            result => result,
        };
        let is_last = run.step != Step::Exchange || !self.protocol.redeems();
        let transition = match result.as_ref().map_err(failure) {
            Err(Some(retry_after)) => self.circuit.fail(retry_after, now),
            Err(None) if !is_last => {
                // The first server answered. Of the second one nothing is known.
                self.circuit.give_up();
                None
            }
            Ok(_) | Err(None) => self.circuit.succeed(),
        };
        self.end(run, result, now, host, settled);
        match transition {
            Some(Transition::Opened(period)) => {
                host.count(Counter::ExchangeCircuitOpened);
                self.adjust(Change::Up, host);
                let seconds = period.as_secs();
                let message = format!(
                    "exchange {}: failed too often in a row, and is not asked for {seconds} s",
                    self.name
                );
                host.log(LogLevel::Warn, &message);
            }
            Some(Transition::Closed) => {
                self.adjust(Change::Down, host);
                host.log(LogLevel::Info, &format!("exchange {}: is asked again", self.name));
            }
            None => {}
        }
        if let Some(pause) = self.circuit.pause(now) {
            self.give_up_wanted(&spared(pause), settled);
        }
    }

    /// Remembers and tells what an errand ended in.
    fn end(
        &mut self,
        run: Run,
        result: Result<Credential, ExchangeError>,
        now: SystemTime,
        host: &dyn Host,
        settled: &mut Vec<Errand>,
    ) {
        match &result {
            // Our own token is for no MCP server.
            Ok(_) if run.step == Step::Actor => {}
            Ok(_) => {
                host.count(Counter::ExchangeSucceeded);
                if run.refreshes {
                    host.count(Counter::ExchangeRefreshed);
                }
            }
            Err(error) => {
                host.count(Counter::ExchangeFailed { code: error.code() });
                self.log(error, now, host);
            }
        }
        self.memory.put(run.errand, run.key, result.map(Rc::new), now);
        settled.push(run.errand);
    }

    /// Ends what has not started, for a reason that is not its own.
    fn give_up_wanted(&mut self, error: &ExchangeError, settled: &mut Vec<Errand>) {
        let wanted = self.queue.take_wanted();
        self.give_up(wanted, error, settled);
    }

    /// Ends what waited too long to be started. That is many at once, and no server's failure.
    fn give_up_overdue(&mut self, now: SystemTime, host: &dyn Host, settled: &mut Vec<Errand>) {
        let overdue = self.queue.take_overdue(now);
        if !overdue.is_empty() {
            let error = unavailable("too much was asked for before");
            self.log(&error, now, host);
            self.give_up(overdue, &error, settled);
        }
    }

    fn give_up(
        &mut self,
        errands: Vec<(Errand, Key)>,
        error: &ExchangeError,
        settled: &mut Vec<Errand>,
    ) {
        self.circuit.give_up();
        for (errand, key) in errands {
            self.memory.put_ending(errand, key, Err(error.clone()));
            settled.push(errand);
        }
    }

    /// Writes a failure to the log that is not the caller's, if there was none for a while.
    fn log(&mut self, error: &ExchangeError, now: SystemTime, host: &dyn Host) {
        let (level, last) = match error {
            ExchangeError::Unavailable { .. } => (LogLevel::Warn, &mut self.log.warning),
            ExchangeError::Unusable(_)
            | ExchangeError::ClientRejected
            | ExchangeError::TargetRejected
            | ExchangeError::RequestRejected => (LogLevel::Error, &mut self.log.error),
            _ => return,
        };
        if last.is_none_or(|at| has_passed(LOG_PERIOD, at, now)) {
            *last = Some(now);
            host.log(level, &format!("exchange {}: {error}", self.name));
        }
    }

    fn adjust(&self, change: Change, host: &dyn Host) {
        host.adjust(Gauge::CircuitOpen { exchange: &self.name }, change);
    }
}

/// When a server that failed wants to be asked again, as far as it said; `None` when it is the
/// errand that failed, and the server did what it should.
fn failure(error: &ExchangeError) -> Option<Option<Duration>> {
    match error {
        ExchangeError::Unavailable { retry_after, .. } => Some(*retry_after),
        ExchangeError::Unusable(Flaw::Malformed | Flaw::TooLarge) => Some(None),
        _ => None,
    }
}

/// Whether it may be our own token that the server does not take: it does not say of which it
/// speaks (RFC 8693 section 2.2.2).
fn may_be_of_the_actor(error: &ExchangeError) -> bool {
    matches!(
        error,
        ExchangeError::SubjectRejected
            | ExchangeError::RequestRejected
            | ExchangeError::ClientRejected
            | ExchangeError::Denied
    )
}

fn unavailable(reason: &'static str) -> ExchangeError {
    ExchangeError::Unavailable { reason, retry_after: None }
}

/// What is said while the circuit is open.
fn spared(retry_after: Duration) -> ExchangeError {
    let reason = "it failed too often in a row";
    ExchangeError::Unavailable { reason, retry_after: Some(retry_after) }
}

/// Shows where requests go, and nothing of what they brought.
impl fmt::Debug for LiveExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveExchange")
            .field("name", &self.name)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}
