//! The current keys of an issuer, and the fetches that keep them current.

use std::time::{Duration, SystemTime};

use crate::host::{Callout, CalloutAnswer, CalloutId, Counter, Host, LogLevel};

use super::algorithm::Algorithm;
use super::keys::KeySet;

/// Shortest time between two fetches of an issuer's keys. Tokens with invented
/// `kid`s would otherwise have every worker flood the identity provider; a rotated
/// key is published well before its first token, so waiting costs real callers nothing.
const FETCH_DEBOUNCE: Duration = Duration::from_secs(10);

/// How long a set is used beyond the time its refresh was due, when refreshing fails:
/// longer than an identity provider's outage should last, and short enough that a key
/// withdrawn for cause does not live on behind a broken network.
const MAX_STALENESS: Duration = Duration::from_secs(24 * 60 * 60);

/// How long after its timeout the answer of a callout is given up. The host promises
/// an answer at the timeout; this is for one that loses it.
const ANSWER_MARGIN: Duration = Duration::from_secs(5);

/// Longest JWK Set that is read, in bytes: 64 keys of RSA-4096 with certificates fit.
const MAX_JWKS: usize = 256 * 1024;

/// The keys of one issuer.
#[derive(Debug)]
pub(super) enum KeyStore {
    Inline(KeySet),
    Remote(Box<RemoteKeys>),
}

/// Keys that are fetched, and where their fetch stands.
#[derive(Debug)]
pub(super) struct RemoteKeys {
    issuer: String,
    algorithms: Vec<Algorithm>,
    callout: Callout,
    refresh: Duration,
    set: Option<Fetched>,
    last_attempt: Option<SystemTime>,
    fetch: Fetch,
}

#[derive(Debug)]
struct Fetched {
    keys: KeySet,
    at: SystemTime,
}

/// Where a fetch stands.
#[derive(Debug, Clone, Copy)]
enum Fetch {
    Idle,
    /// A caller waits; the next tick starts it.
    Wanted,
    UnderWay {
        callout: CalloutId,
        since: SystemTime,
    },
}

impl KeyStore {
    /// Of an issuer without keys.
    pub(super) fn none() -> Self {
        KeyStore::Inline(KeySet::empty())
    }

    pub(super) fn remote(
        issuer: &str,
        algorithms: &[Algorithm],
        callout: Callout,
        refresh: Duration,
    ) -> Self {
        KeyStore::Remote(Box::new(RemoteKeys {
            issuer: issuer.to_owned(),
            algorithms: algorithms.to_vec(),
            callout,
            refresh,
            set: None,
            last_attempt: None,
            fetch: Fetch::Idle,
        }))
    }

    /// The keys to verify with now; `None` when there are none, or only outdated ones.
    pub(super) fn current(&self, now: SystemTime) -> Option<&KeySet> {
        match self {
            KeyStore::Inline(keys) => Some(keys),
            KeyStore::Remote(remote) => remote.current(now),
        }
    }

    /// Asks for a fetch. Whether waiting for it makes sense: one is under way, or the
    /// last attempt is long enough ago for another.
    pub(super) fn want_fetch(&mut self, now: SystemTime) -> bool {
        match self {
            KeyStore::Inline(_) => false,
            KeyStore::Remote(remote) => remote.want_fetch(now),
        }
    }

    /// Whether there is no fetch to wait for.
    pub(super) fn is_settled(&self) -> bool {
        match self {
            KeyStore::Inline(_) => true,
            KeyStore::Remote(remote) => matches!(remote.fetch, Fetch::Idle),
        }
    }

    /// Starts a due fetch and gives up a lost one. Whether a fetch ended by it.
    pub(super) fn on_tick(&mut self, host: &dyn Host) -> bool {
        match self {
            KeyStore::Inline(_) => false,
            KeyStore::Remote(remote) => remote.on_tick(host),
        }
    }

    /// Takes the answer of a callout. Whether it was this issuer's.
    pub(super) fn on_callout(
        &mut self,
        id: CalloutId,
        answer: &CalloutAnswer,
        host: &dyn Host,
    ) -> bool {
        match self {
            KeyStore::Inline(_) => false,
            KeyStore::Remote(remote) => remote.on_callout(id, answer, host),
        }
    }
}

impl RemoteKeys {
    fn current(&self, now: SystemTime) -> Option<&KeySet> {
        let lifetime = self.refresh.saturating_add(MAX_STALENESS);
        let fetched = self.set.as_ref().filter(|set| !has_passed(lifetime, set.at, now))?;
        Some(&fetched.keys)
    }

    fn want_fetch(&mut self, now: SystemTime) -> bool {
        if matches!(self.fetch, Fetch::Idle) {
            if !self.may_attempt(now) {
                return false;
            }
            self.fetch = Fetch::Wanted;
        }
        true
    }

    fn may_attempt(&self, now: SystemTime) -> bool {
        self.last_attempt.is_none_or(|last| has_passed(FETCH_DEBOUNCE, last, now))
    }

    fn on_tick(&mut self, host: &dyn Host) -> bool {
        let now = host.now();
        match self.fetch {
            Fetch::UnderWay { since, .. } => {
                let patience = self.callout.timeout.saturating_add(ANSWER_MARGIN);
                let lost = has_passed(patience, since, now);
                if lost {
                    self.fail("no answer", host);
                }
                lost
            }
            Fetch::Wanted => self.start(now, host),
            Fetch::Idle => self.is_due(now) && self.start(now, host),
        }
    }

    fn is_due(&self, now: SystemTime) -> bool {
        let outdated = self.set.as_ref().is_none_or(|set| has_passed(self.refresh, set.at, now));
        outdated && self.may_attempt(now)
    }

    /// Whether the fetch ended before it began.
    fn start(&mut self, now: SystemTime, host: &dyn Host) -> bool {
        self.last_attempt = Some(now);
        match host.dispatch(&self.callout) {
            Ok(callout) => {
                self.fetch = Fetch::UnderWay { callout, since: now };
                false
            }
            Err(_) => {
                self.fail("the request could not be sent", host);
                true
            }
        }
    }

    fn on_callout(&mut self, id: CalloutId, answer: &CalloutAnswer, host: &dyn Host) -> bool {
        if !matches!(self.fetch, Fetch::UnderWay { callout, .. } if callout == id) {
            return false;
        }
        match self.read(answer) {
            Ok(keys) => {
                self.fetch = Fetch::Idle;
                self.set = Some(Fetched { keys, at: host.now() });
                host.count(Counter::FetchSucceeded { document: "keys" });
            }
            Err(reason) => self.fail(&reason, host),
        }
        true
    }

    fn read(&self, answer: &CalloutAnswer) -> Result<KeySet, String> {
        match answer.status {
            Some(200) => {}
            Some(status) => return Err(format!("status {status}")),
            None => return Err("the request failed".to_owned()),
        }
        let body = answer.body.as_deref().filter(|body| body.len() <= MAX_JWKS);
        let body = body.ok_or_else(|| format!("no body, or more than {MAX_JWKS} bytes"))?;
        KeySet::parse(body, &self.algorithms).map_err(|error| error.to_string())
    }

    fn fail(&mut self, reason: &str, host: &dyn Host) {
        self.fetch = Fetch::Idle;
        host.count(Counter::FetchFailed { document: "keys" });
        let kept =
            if self.current(host.now()).is_some() { "keeping the last" } else { "none held" };
        let issuer = &self.issuer;
        host.log(LogLevel::Warn, &format!("keys of issuer {issuer}: {reason}; {kept}"));
    }
}

/// Whether `period` has passed since `start`. Also when the clock went back behind
/// `start`: an age that cannot be told counts as too old.
fn has_passed(period: Duration, start: SystemTime, now: SystemTime) -> bool {
    now.duration_since(start).map_or(true, |age| age >= period)
}
