//! A document of an issuer or a trust domain that one worker fetches for all workers of a proxy.
//!
//! Every worker runs this code on its own, and each needs the document. What they share
//! is the host's shared data: values by key, written if their version is still the one
//! that was read. It has no deletion, no expiry and no "create if absent". Of each
//! document there are two values:
//!
//! - the [`Record`]: the last attempt to fetch (when, whose, whether it ended) and what
//!   was stored (when it was fetched, for how long it is fresh, its digest). It changes
//!   by compare-and-swap only;
//! - the body, as it was fetched. It belongs to the record with its digest.
//!
//! **Lease.** Who writes an attempt that has not ended holds the lease, and fetches. It
//! ends with the attempt, or runs out after the request's timeout and a margin: a worker
//! that dies is replaced. Who loses the race, or comes late, waits for the attempt's end,
//! then perhaps for one of its own, and for no second one of others.
//!
//! **Storing.** The holder writes the body, then the record that ends its attempt, then
//! bumps the [`Generation`], which makes the other workers look at once and not with
//! their next tick. A failed attempt ends too, and changes nothing else: the last good
//! document stays.
//!
//! **Reading.** Each worker parses for itself, as strictly as what comes from the network:
//! modules in the same VM namespace can write these values too. Nothing protects us from
//! a hostile one of them; a digest that does not fit keeps accidents and half-written
//! pairs out. Keys name the product, the format and the source, so that other modules,
//! releases and configurations do not meet by chance.
//!
//! **Pace.** An attempt needs a [`FETCH_DEBOUNCE`] of distance to the last one of any
//! worker, whoever wants it and why. Nothing a client sends makes more than that of it.
//!
//! **Time.** All workers read one clock, and it may jump. An age that cannot be told
//! counts as too old: a lease or an attempt in the future is void, so is a document.
//!
//! **Without shared data** a worker fetches for itself, at the same pace. More requests
//! reach the issuer, and no decision changes: what keeps a token out is the document, and
//! each worker has it.

mod answer;
mod discovery;
mod generation;
mod record;

use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::host::{
    Callout, CalloutAnswer, CalloutId, Counter, Host, HostError, LogLevel, SharedDataError,
};

use super::source::{Schedule, Source};

pub(super) use generation::Generation;
use record::{Attempt, AttemptId, Record, Stored};

/// Start of all our shared keys. The number is that of the format behind them.
const KEY_PREFIX: &str = "countersign/1";

/// Shortest time between two attempts to fetch a document. Tokens with invented `kid`s
/// would otherwise flood the issuer; a rotated key is published well before its first
/// token, so waiting costs real callers nothing.
const FETCH_DEBOUNCE: Duration = Duration::from_secs(10);

/// How long after its timeout the answer of a callout is given up, and a lease with it.
/// The host promises an answer at the timeout; this is for one that loses it, and for a
/// worker that is gone.
const ANSWER_MARGIN: Duration = Duration::from_secs(5);

/// Shortest time a document counts as fresh, whatever its answer asks for: a few
/// attempts' worth, so that `max-age=0` does not become polling.
const MIN_FRESHNESS: Duration = Duration::from_secs(30);

/// How long a refresh may be due before we say that the document is stale: one failed
/// attempt and its successor fit.
const REFRESH_GRACE: Duration = Duration::from_secs(30);

/// How far ahead of ours a time may be that another worker wrote: it may have read the
/// clock after us. Anything beyond is a clock that was set back.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(1);

/// How often a write that lost the race is tried again. Only the workers of one proxy
/// compete, and each writes twice per attempt.
const MAX_RACES: usize = 8;

/// A kind of document, and how it is read.
pub(super) trait Reader {
    /// What it is read as.
    type Document;

    /// Its name in counters and shared keys.
    const NAME: &'static str;

    /// What its owners are, in logs.
    const OWNER: &'static str = "issuer";

    /// The media types an answer may have; one that has none is read too.
    const MEDIA_TYPES: &'static [&'static str];

    /// Reads a document. The reason of a refusal is logged, so it repeats nothing secret.
    fn read(&self, body: &[u8]) -> Result<Self::Document, String>;

    /// Whether two documents say the same, in whatever order and words.
    fn is_same(one: &Self::Document, other: &Self::Document) -> bool;

    /// What an operator should know of a document that was taken.
    fn note(_document: &Self::Document) -> Option<String> {
        None
    }
}

/// Whether a document is as recent as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    Fresh,
    /// Its refresh is overdue: fetching fails.
    Stale,
}

/// One worker's view of a document.
#[derive(Debug)]
pub(super) struct SharedDocument<R: Reader> {
    reader: R,
    /// For logs: `keys of issuer corp`.
    name: String,
    source: Source,
    schedule: Schedule,
    record_key: String,
    body_key: String,
    /// As last seen.
    record: Record,
    held: Option<Held<R::Document>>,
    /// How often a document that says something else took the place of the one that was held.
    changes: u64,
    /// A stored document that we could not read: it is not tried again.
    unreadable: Option<[u8; 32]>,
    /// When this worker itself last began to fetch: the pace holds also where the host
    /// shares nothing, or forgets.
    last_started: Option<SystemTime>,
    fetch: Fetch,
}

#[derive(Debug)]
struct Held<D> {
    document: D,
    stored: Stored,
}

/// Where a fetch stands, as this worker sees it.
#[derive(Debug)]
enum Fetch {
    Idle,
    /// A caller wants it, or another worker is at it, in that attempt; the next tick sees
    /// to it.
    Awaited(Option<AttemptId>),
    /// By this worker.
    UnderWay(UnderWay),
}

#[derive(Debug, Clone, Copy)]
struct UnderWay {
    callout: CalloutId,
    since: SystemTime,
    /// `None` where the host shares nothing.
    lease: Option<AttemptId>,
    /// Whether the answer is the issuer's metadata, and the document is yet to be asked for.
    discovers: bool,
}

/// Who is to fetch.
enum Claim {
    /// This worker, under this lease.
    Ours(Option<AttemptId>),
    /// Another worker is at it.
    Anothers,
    /// Nobody: the last attempt is too recent.
    NotYet,
}

impl<R: Reader> SharedDocument<R> {
    /// The document of that kind of the owner that the operator calls so. Nothing is held yet.
    pub(super) fn new(reader: R, owner: &str, source: Source, schedule: Schedule) -> Self {
        let key = format!(
            "{KEY_PREFIX}/{}/{}",
            R::NAME,
            URL_SAFE_NO_PAD.encode(identity(owner, &source))
        );
        SharedDocument {
            reader,
            name: format!("{} of {} {owner}", R::NAME, R::OWNER),
            source,
            schedule,
            record_key: format!("{key}/record"),
            body_key: format!("{key}/body"),
            record: Record::default(),
            held: None,
            changes: 0,
            unreadable: None,
            last_started: None,
            fetch: Fetch::Idle,
        }
    }

    /// Called once, with the configuration: before the workers run, so that they find a
    /// record to compete for, and take what earlier ones stored.
    pub(super) fn prepare(&mut self, host: &dyn Host) {
        if matches!(host.shared(&self.record_key), Ok(None)) {
            // A host that shares nothing is met again when a fetch is due.
            let _ = host.set_shared(&self.record_key, &Record::default().encode(), None);
        }
        self.sync(host);
    }

    /// The document to decide by now; `None` when there is none, or only an outdated one.
    pub(super) fn current(&self, now: SystemTime) -> Option<(&R::Document, Freshness)> {
        let held = self.held.as_ref()?;
        let age = age(held.stored.fetched_at, now)?;
        let due = self.fresh_for(&held.stored);
        if age >= due.saturating_add(self.schedule.stale_for) {
            None
        } else if age >= due.saturating_add(REFRESH_GRACE) {
            Some((&held.document, Freshness::Stale))
        } else {
            Some((&held.document, Freshness::Fresh))
        }
    }

    /// How often what the document says changed. One that was fetched again and says the same is
    /// no change.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Asks for a fetch. Whether waiting for it makes sense: one is under way, or the
    /// last attempt is long enough ago for another.
    pub(super) fn want_fetch(&mut self, now: SystemTime) -> bool {
        if matches!(self.fetch, Fetch::Idle) {
            if !self.is_leased(now) && !self.may_attempt(now) {
                return false;
            }
            self.fetch = Fetch::Awaited(None);
        }
        true
    }

    /// Whether there is no fetch to wait for.
    pub(super) fn is_settled(&self) -> bool {
        matches!(self.fetch, Fetch::Idle)
    }

    /// Takes what other workers stored.
    pub(super) fn sync(&mut self, host: &dyn Host) {
        // A host that shares nothing has nothing for us.
        let _ = self.look(host);
    }

    /// Takes what other workers stored, starts a due fetch and gives up a lost one.
    /// Whether a fetch ended by it, ours or another worker's.
    pub(super) fn on_tick(&mut self, host: &dyn Host) -> bool {
        let before = self.fetched_at();
        self.sync(host);
        let is_new = self.fetched_at() != before;
        let now = host.now();
        match self.fetch {
            Fetch::UnderWay(fetch) => {
                let lost = has_passed(self.patience(), fetch.since, now);
                if lost {
                    self.fail(fetch.lease, "no answer", host);
                }
                lost
            }
            // Who waits asks again, with what another worker brought.
            Fetch::Awaited(_) if is_new => {
                self.fetch = Fetch::Idle;
                true
            }
            Fetch::Idle if !self.is_due(now) => false,
            Fetch::Idle | Fetch::Awaited(_) => self.pursue(host),
        }
    }

    /// Takes the answer of a callout. Whether it ended a fetch of this document.
    pub(super) fn on_callout(
        &mut self,
        id: CalloutId,
        answer: &CalloutAnswer,
        host: &dyn Host,
    ) -> bool {
        let fetch = match self.fetch {
            Fetch::UnderWay(fetch) if fetch.callout == id => fetch,
            _ => return false,
        };
        let taken = if fetch.discovers {
            self.discovered(&fetch, answer, host).map(|()| false)
        } else {
            self.take(&fetch, answer, host).map(|()| true)
        };
        taken.unwrap_or_else(|reason| {
            self.fail(fetch.lease, &reason, host);
            true
        })
    }

    /// Gets the document, or leaves it to the worker that does. Whether a wait for it
    /// ended without either.
    fn pursue(&mut self, host: &dyn Host) -> bool {
        match self.claim(host) {
            Claim::Ours(lease) => self.start(lease, host),
            Claim::Anothers => {
                let attempt = self.record.attempt.map(|attempt| attempt.id);
                // Others may fail again and again, so nobody waits for two of them.
                let is_second =
                    matches!(self.fetch, Fetch::Awaited(first @ Some(_)) if first != attempt);
                self.fetch = if is_second { Fetch::Idle } else { Fetch::Awaited(attempt) };
                is_second
            }
            Claim::NotYet => {
                let awaited = !self.is_settled();
                self.fetch = Fetch::Idle;
                awaited
            }
        }
    }

    fn claim(&mut self, host: &dyn Host) -> Claim {
        let now = host.now();
        for _ in 0..MAX_RACES {
            let looked = self.look(host);
            if self.is_leased(now) {
                return Claim::Anothers;
            }
            if !self.may_attempt(now) {
                return Claim::NotYet;
            }
            let (Ok(version), Ok(id)) = (looked, host.random()) else { return Claim::Ours(None) };
            let attempt = Some(Attempt { at: now, id, ended: false });
            match self.write(Record { attempt, ..self.record }, version, host) {
                Ok(()) => return Claim::Ours(Some(id)),
                Err(SharedDataError::Conflict) => {}
                Err(SharedDataError::Failed) => return Claim::Ours(None),
            }
        }
        // Whoever keeps writing takes no lease: waiting for it could take forever.
        Claim::Ours(None)
    }

    /// Whether the fetch ended before it began.
    fn start(&mut self, lease: Option<AttemptId>, host: &dyn Host) -> bool {
        let since = host.now();
        self.last_started = Some(since);
        let (request, discovers) = match &self.source {
            Source::At(document) => (document, false),
            Source::Discovered { metadata, .. } => (metadata, true),
        };
        match host.dispatch(request) {
            Ok(callout) => {
                self.fetch = Fetch::UnderWay(UnderWay { callout, since, lease, discovers });
                false
            }
            Err(HostError) => {
                self.fail(lease, "the request could not be sent", host);
                true
            }
        }
    }

    /// Asks where the metadata says, in what is left of the time. An answer comes to the
    /// root context as a tick does, so this request outlives every stream too.
    fn discovered(
        &mut self,
        fetch: &UnderWay,
        answer: &CalloutAnswer,
        host: &dyn Host,
    ) -> Result<(), String> {
        let Source::Discovered { metadata, issuer, keys_cluster } = &self.source else {
            return Err("nothing was to be discovered".to_owned());
        };
        let body = answer::body(answer, &["application/json"])?;
        let spent = age(fetch.since, host.now()).unwrap_or(metadata.timeout);
        let left = metadata.timeout.saturating_sub(spent);
        if left.is_zero() {
            return Err("the metadata took all of the time".to_owned());
        }
        let request = discovery::keys_request(metadata, issuer, keys_cluster.as_deref(), body)?;
        let callout = host
            .dispatch(&Callout { timeout: left, ..request })
            .map_err(|HostError| "the request for `jwks_uri` could not be sent")?;
        self.fetch = Fetch::UnderWay(UnderWay { callout, discovers: false, ..*fetch });
        Ok(())
    }

    /// Takes the document itself, for all workers.
    fn take(
        &mut self,
        fetch: &UnderWay,
        answer: &CalloutAnswer,
        host: &dyn Host,
    ) -> Result<(), String> {
        let body = answer::body(answer, R::MEDIA_TYPES)?;
        let document = self.reader.read(body)?;
        let longest = self.schedule.refresh;
        let stored = Stored {
            // It was true when it was asked for; what came later, it need not say.
            fetched_at: fetch.since.min(host.now()),
            fresh_for: answer::fresh_for(answer).unwrap_or(longest).max(MIN_FRESHNESS).min(longest),
            digest: Sha256::digest(body).into(),
        };
        let note = R::note(&document);
        let is_new = self.hold(document, stored);
        if let Some(note) = note.filter(|_| is_new) {
            host.log(LogLevel::Info, &format!("{}: {note}", self.name));
        }
        self.fetch = Fetch::Idle;
        host.count(Counter::FetchSucceeded { document: R::NAME });
        self.end(fetch.lease, Some((stored, body)), host);
        if is_new {
            Generation::bump(host);
        }
        Ok(())
    }

    /// Whether it is another document than the one that was held, to the byte.
    fn hold(&mut self, document: R::Document, stored: Stored) -> bool {
        let is_new = self.held.as_ref().is_none_or(|held| held.stored.digest != stored.digest);
        let is_same = |held: &Held<R::Document>| R::is_same(&held.document, &document);
        if is_new && !self.held.as_ref().is_some_and(is_same) {
            self.changes = self.changes.saturating_add(1);
        }
        self.held = Some(Held { document, stored });
        is_new
    }

    fn fail(&mut self, lease: Option<AttemptId>, reason: &str, host: &dyn Host) {
        self.fetch = Fetch::Idle;
        self.end(lease, None, host);
        host.count(Counter::FetchFailed { document: R::NAME });
        let kept =
            if self.current(host.now()).is_some() { "keeping the last" } else { "none held" };
        host.log(LogLevel::Warn, &format!("{}: {reason}; {kept}", self.name));
    }

    /// Ends our attempt for all workers, and stores what it brought. Without a lease, or
    /// with one that ran out and went to another worker, this worker keeps it for itself.
    fn end(&mut self, lease: Option<AttemptId>, brought: Option<(Stored, &[u8])>, host: &dyn Host) {
        let Some(lease) = lease else { return };
        for _ in 0..MAX_RACES {
            let Ok(version) = self.look(host) else { return };
            let Some(attempt) = self.record.attempt.filter(|attempt| attempt.id == lease) else {
                return;
            };
            if let Some((_, body)) = brought
                && host.set_shared(&self.body_key, body, None).is_err()
            {
                return;
            }
            let stored = brought.map(|(stored, _)| stored).or(self.record.stored);
            let record = Record { attempt: Some(Attempt { ended: true, ..attempt }), stored };
            match self.write(record, version, host) {
                Err(SharedDataError::Conflict) => {}
                // One that could not be written: the lease runs out.
                Ok(()) | Err(SharedDataError::Failed) => return,
            }
        }
    }

    fn write(
        &mut self,
        record: Record,
        version: Option<NonZeroU32>,
        host: &dyn Host,
    ) -> Result<(), SharedDataError> {
        host.set_shared(&self.record_key, &record.encode(), version)?;
        self.record = record;
        Ok(())
    }

    /// Reads the record, and the body if it has another one than we hold. Returns the
    /// record's version.
    fn look(&mut self, host: &dyn Host) -> Result<Option<NonZeroU32>, HostError> {
        let value = host.shared(&self.record_key)?;
        let record = value.as_ref().and_then(|value| Record::decode(&value.bytes));
        // One that is not ours to read is none, and will be overwritten.
        self.record = record.unwrap_or_default();
        if let Some(stored) = self.record.stored {
            self.adopt(stored, host);
        }
        Ok(value.map(|value| value.version))
    }

    fn adopt(&mut self, stored: Stored, host: &dyn Host) {
        let now = host.now();
        let ours_is_newer = self.held.as_ref().is_some_and(|held| {
            held.stored.fetched_at > stored.fetched_at && age(held.stored.fetched_at, now).is_some()
        });
        let is_void = age(stored.fetched_at, now).is_none();
        if ours_is_newer || is_void || self.unreadable == Some(stored.digest) {
            return;
        }
        if let Some(held) = self.held.as_mut().filter(|held| held.stored.digest == stored.digest) {
            held.stored = stored;
            return;
        }
        let Ok(Some(body)) = host.shared(&self.body_key) else { return };
        if <[u8; 32]>::from(Sha256::digest(&body.bytes)) != stored.digest {
            // Another worker is between its two writes. The next look finds both.
            return;
        }
        match self.reader.read(&body.bytes) {
            Ok(document) => {
                self.hold(document, stored);
            }
            Err(reason) => {
                self.unreadable = Some(stored.digest);
                let message = format!("{}, as another worker stored them: {reason}", self.name);
                host.log(LogLevel::Warn, &message);
            }
        }
    }

    fn fetched_at(&self) -> Option<SystemTime> {
        self.held.as_ref().map(|held| held.stored.fetched_at)
    }

    fn is_due(&self, now: SystemTime) -> bool {
        let is_fresh = |held: &Held<_>| {
            age(held.stored.fetched_at, now).is_some_and(|age| age < self.fresh_for(&held.stored))
        };
        !self.held.as_ref().is_some_and(is_fresh)
    }

    /// Whether an attempt is under way, as far as we know.
    fn is_leased(&self, now: SystemTime) -> bool {
        let attempt = self.record.attempt.filter(|attempt| !attempt.ended);
        attempt.is_some_and(|attempt| !has_passed(self.patience(), attempt.at, now))
    }

    fn may_attempt(&self, now: SystemTime) -> bool {
        let last = self.record.attempt.map(|attempt| attempt.at);
        [last, self.last_started]
            .iter()
            .flatten()
            .all(|start| has_passed(FETCH_DEBOUNCE, *start, now))
    }

    /// How long an attempt may take.
    fn patience(&self) -> Duration {
        let (Source::At(first) | Source::Discovered { metadata: first, .. }) = &self.source;
        first.timeout.saturating_add(ANSWER_MARGIN)
    }

    /// Whoever stored it, no longer than this configuration allows.
    fn fresh_for(&self, stored: &Stored) -> Duration {
        stored.fresh_for.min(self.schedule.refresh)
    }
}

/// Names what is fetched from where: documents that may be taken for one another have one name.
fn identity(owner: &str, source: &Source) -> [u8; 32] {
    let (request, discovers) = match source {
        Source::At(document) => (document, None),
        Source::Discovered { metadata, issuer, keys_cluster } => {
            (metadata, Some((issuer.as_str(), keys_cluster.as_deref().unwrap_or_default())))
        }
    };
    let (expected, keys_cluster) = discovers.unwrap_or_default();
    let Callout { cluster, method, scheme, authority, path, .. } = request;
    let parts = [owner, cluster, method, scheme, authority, path, expected, keys_cluster];
    let mut digest = Sha256::new();
    for part in parts {
        // With its length, so that parts cannot run together.
        digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

/// How long ago `start` is; `None` where it is ahead of `now`, which only a clock that
/// was set back explains.
fn age(start: SystemTime, now: SystemTime) -> Option<Duration> {
    match now.duration_since(start) {
        Ok(age) => Some(age),
        Err(ahead) => (ahead.duration() <= CLOCK_TOLERANCE).then_some(Duration::ZERO),
    }
}

/// Whether `period` has passed since `start`. An age that cannot be told counts as too old.
fn has_passed(period: Duration, start: SystemTime, now: SystemTime) -> bool {
    age(start, now).is_none_or(|age| age >= period)
}
