//! Token introspection (RFC 7662), also with signed answers (RFC 9701): what the issuer
//! itself says of a token.
//!
//! A request is started by a tick, since one that a stream starts dies with the stream, and
//! serves everybody who waits for the same token. Requests are numbered, and an answer has
//! the number of its request. A caller that has to wait is told the number to wait for, and
//! comes back with it: any answer with this number or a later one is then its answer, and
//! there is no second wait. That also tells what was asked for a caller from what was
//! asked before it came, whatever becomes of the clock. A caller that wants to be the
//! reason of the request does not join one under way; it waits for the next about the
//! token, which starts when the other has ended and is shared by all who came meanwhile.

mod answer;
mod client;
mod memory;
mod queue;
mod settings;

use std::fmt;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use crate::host::{CalloutAnswer, CalloutId, Counter, Host, LogLevel};

use super::{Introspected, IssuerId, TokenDigest, Wait};
use answer::{Expected, Failure, Verdict};
use memory::{Asked, Memory, has_passed};
use queue::{Queue, UnderWay, Wanted};

pub(super) use answer::{Answer, AnswerContext};
pub use queue::Inquiry;
pub use settings::{IntrospectedTokens, Introspection};

/// How long nobody is asked again after a failure: about the token, or at all where the
/// failure is the endpoint's. It spares an issuer that is down, and is over before a caller
/// tries again.
const FAILURE_PERIOD: Duration = Duration::from_secs(1);

/// How long after its timeout the answer to a request is given up. The host promises an
/// answer at the timeout; this is for one that loses it.
const ANSWER_MARGIN: Duration = Duration::from_secs(5);

/// Asks one issuer about tokens and remembers what it said.
pub(super) struct Introspector {
    issuer: IssuerId,
    name: String,
    identifier: String,
    settings: Introspection,
    queue: Queue,
    memory: Memory,
    /// When the endpoint failed, other than about one token.
    failed_at: Option<SystemTime>,
    /// When a failure was last written to the log.
    logged_at: Option<SystemTime>,
}

/// How recent an answer must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    /// A remembered one will do.
    Cached,
    /// Its request was started after the caller came.
    Fresh,
}

/// What is known of a token.
#[derive(Debug)]
pub(super) enum Lookup {
    /// The issuer says that it is active. What it says besides has still to be checked.
    Active(Rc<Answer>, Introspected),
    /// The issuer says that it is not.
    Inactive,
    /// The issuer could not be asked, or did not say. Not the caller's fault.
    Unavailable,
    /// The issuer is asked. Look up again when this has settled, with what was waited for.
    Waits(Wait),
}

/// A request has ended, well or not.
#[derive(Debug)]
pub(super) struct Settled {
    /// Wake who waits for one of these.
    pub(super) waits: [Wait; 2],
    /// The answer was signed with a key that is not held: fetch the issuer's keys.
    pub(super) key_missing: bool,
}

impl Introspector {
    /// `name` is the operator's for the issuer, `identifier` what `iss` of signed answers is.
    pub(super) fn new(
        issuer: IssuerId,
        name: &str,
        identifier: &str,
        settings: Introspection,
    ) -> Self {
        Introspector {
            issuer,
            name: name.to_owned(),
            identifier: identifier.to_owned(),
            settings,
            queue: Queue::default(),
            memory: Memory::new(),
            failed_at: None,
            logged_at: None,
        }
    }

    /// What the issuer says of a token, which is no longer than tokens may be (the caller
    /// sees to it). `waited` is what the same request has waited for before, if it has.
    pub(super) fn look_up(
        &mut self,
        token: &str,
        digest: &TokenDigest,
        freshness: Freshness,
        waited: Option<Inquiry>,
        host: &dyn Host,
    ) -> Lookup {
        let now = host.now();
        let waited = match freshness {
            Freshness::Cached => waited,
            Freshness::Fresh => waited.and_then(Inquiry::asked_since),
        };
        if let Some(known) = self.recall(digest, freshness, waited, now, host) {
            return known;
        }
        let inquiry = match waited {
            Some(inquiry) => (!self.queue.is_settled(inquiry)).then_some(inquiry),
            None if self.has_failed(now) || is_recent(self.memory.failed_at(digest), now) => None,
            None => self.queue.want(token, digest, freshness == Freshness::Fresh),
        };
        inquiry.map_or(Lookup::Unavailable, |inquiry| {
            Lookup::Waits(Wait::Introspection(self.issuer, inquiry))
        })
    }

    /// Whether there is no request to wait for.
    #[cfg(test)]
    pub(super) fn is_settled(&self, inquiry: Inquiry) -> bool {
        self.queue.is_settled(inquiry)
    }

    /// Starts the requests that are wanted. Returns what has settled without an answer: wake
    /// who waits for it.
    #[must_use = "requests may wait for these"]
    pub(super) fn on_tick(&mut self, host: &dyn Host) -> Vec<Wait> {
        let now = host.now();
        let mut settled = Vec::new();
        let patience = self.settings.endpoint.timeout.saturating_add(ANSWER_MARGIN);
        for lost in self.queue.take_lost(|since| has_passed(patience, since, now)) {
            self.fail(lost.request.digest, Failure::NoAnswer("no answer"), now, host);
            settled.extend(lost.request.waits(self.issuer));
        }
        while !self.has_failed(now) {
            let Some(wanted) = self.queue.next() else { break };
            if let Err(reason) = self.start(&wanted, now, host) {
                self.fail(wanted.request.digest, Failure::NoAnswer(reason), now, host);
                settled.extend(wanted.request.waits(self.issuer));
            }
        }
        if self.has_failed(now) {
            let issuer = self.issuer;
            settled.extend(self.queue.take_wanted().flat_map(|w| w.request.waits(issuer)));
        }
        settled
    }

    /// Takes the answer of a callout; `None` when it is not one of ours, or was given up before.
    #[must_use = "requests may wait for it"]
    pub(super) fn on_callout(
        &mut self,
        id: CalloutId,
        answer: &CalloutAnswer,
        context: &AnswerContext<'_>,
        host: &dyn Host,
    ) -> Option<Settled> {
        let UnderWay { request, since, .. } = self.queue.answered(id)?;
        let now = host.now();
        let expected = Expected {
            issuer: &self.identifier,
            signed_for: self.settings.signed_for.as_deref(),
            asked_at: since,
        };
        let verdict = answer::read(answer, &expected, context, now, host);
        let key_missing = matches!(verdict, Err(Failure::UnknownKey));
        match verdict {
            Ok(verdict) => {
                host.count(Counter::IntrospectionSucceeded);
                let asked = Asked { number: request.number, at: since };
                self.remember(request.digest, verdict, asked, now);
            }
            Err(failure) => self.fail(request.digest, failure, now, host),
        }
        Some(Settled { waits: request.waits(self.issuer), key_missing })
    }

    /// The answer this caller may have, if there is one.
    fn recall(
        &mut self,
        digest: &TokenDigest,
        freshness: Freshness,
        waited: Option<Inquiry>,
        now: SystemTime,
        host: &dyn Host,
    ) -> Option<Lookup> {
        let origin = |asked: &Asked, max_age| {
            if waited.is_some_and(|inquiry| inquiry.is_answered_by(asked.number)) {
                Some(Introspected::Asked)
            } else if freshness == Freshness::Cached && !has_passed(max_age, asked.at, now) {
                host.count(Counter::IntrospectionCacheHit);
                Some(Introspected::Remembered)
            } else {
                None
            }
        };
        if let Some((answer, asked)) = self.memory.active(digest)
            && answer.expires_at().is_none_or(|end| end > now)
            && let Some(origin) = origin(asked, self.settings.max_age)
        {
            return Some(Lookup::Active(Rc::clone(answer), origin));
        }
        let asked = self.memory.inactive(digest)?;
        origin(&asked, self.settings.negative_max_age).map(|_| Lookup::Inactive)
    }

    /// Whether the endpoint failed a moment ago.
    fn has_failed(&self, now: SystemTime) -> bool {
        is_recent(self.failed_at, now)
    }

    fn start(
        &mut self,
        wanted: &Wanted,
        now: SystemTime,
        host: &dyn Host,
    ) -> Result<(), &'static str> {
        let callout = client::request(&self.settings, wanted.token.reveal(), host)
            .map_err(|_| "the client assertion could not be made")?;
        let id = host.dispatch(&callout).map_err(|_| "the request could not be sent")?;
        self.queue.started(wanted.request, id, now);
        Ok(())
    }

    fn remember(&mut self, digest: TokenDigest, verdict: Verdict, asked: Asked, now: SystemTime) {
        match verdict {
            Verdict::Active(answer) if answer.expires_at().is_none_or(|end| end > now) => {
                self.memory.put_active(digest, answer, asked);
            }
            // What expired on the way is as good as inactive.
            Verdict::Active(_) | Verdict::Inactive => self.memory.put_inactive(digest, asked),
        }
    }

    fn fail(&mut self, digest: TokenDigest, failure: Failure, now: SystemTime, host: &dyn Host) {
        host.count(Counter::IntrospectionFailed);
        self.memory.put_failed(digest, now);
        let is_news = if failure.is_of_endpoint() {
            !is_recent(self.failed_at.replace(now), now)
        } else {
            // A caller can cause these: one line in a period.
            !is_recent(self.logged_at, now)
        };
        if is_news {
            self.logged_at = Some(now);
            let level = if failure.is_refusal() { LogLevel::Error } else { LogLevel::Warn };
            host.log(level, &format!("introspection at issuer {}: {failure}", self.name));
        }
    }
}

fn is_recent(failed_at: Option<SystemTime>, now: SystemTime) -> bool {
    failed_at.is_some_and(|at| !has_passed(FAILURE_PERIOD, at, now))
}

/// Shows where requests go, and nothing of the tokens.
impl fmt::Debug for Introspector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspector")
            .field("issuer", &self.name)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
