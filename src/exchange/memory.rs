//! What was had of authorization servers before.

use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use lru::LruCache;

use super::key::Key;
use super::{Credential, Errand, ExchangeError};

/// Most credentials that a worker remembers, divided among its exchanges: two, of different
/// scopes, for each caller's token that is remembered. At about 2 KiB each they take 16 MiB; at
/// worst, of tokens of 16 KiB that were granted 8 KiB of scopes, 192 MiB.
const MAX_CREDENTIALS: usize = 8192;

/// Fewest of one exchange, however many there are: its part where there are 32, the most that a
/// configuration may have.
const LEAST_CREDENTIALS: usize = 256;

/// Most refusals of one exchange that are remembered, apart from the credentials, so that no
/// caller pushes out those with tokens that are refused. They count for seconds, and are small:
/// 4 MiB where each has the longest claims of a challenge.
const MAX_REFUSALS: NonZeroUsize = bound(1024);

/// How long before its end a credential is not sent any more: for the way to the MCP server and
/// the difference of clocks. Of one that lives shortly it is a tenth of its life.
const MARGIN: Duration = Duration::from_secs(15);

/// How long before that it is asked for anew, while it still serves: an authorization server may
/// be away for so long without anybody noticing. At most a fifth of its life.
const REFRESH_AHEAD: Duration = Duration::from_secs(300);

/// Shortest time between two attempts to refresh a credential, so that each of many calls does
/// not make one.
const REFRESH_PAUSE: Duration = Duration::from_secs(10);

/// How long a credential is kept at least that is of no use: an MCP server does not take it, or
/// it lacks what an operation needs; or our own token, that an authorization server may not take.
/// Each call would make another exchange where every one is of no use.
const REJECTION_PAUSE: Duration = Duration::from_secs(10);

/// How long nobody asks for the same again that could not be had: the authorization server is
/// spared, and it is over before a caller tries again.
const FAILURE_PERIOD: Duration = Duration::from_secs(1);

/// The longest of these that an authorization server may ask for itself.
const LONGEST_FAILURE_PERIOD: Duration = Duration::from_secs(30);

/// How long nobody asks for the same again that was refused. Only a person can change that (a
/// user consents or links an account, an operator mends the configuration), and takes longer to
/// come back than this, so nobody is refused for what is done already.
const REFUSAL_PERIOD: Duration = Duration::from_secs(3);

/// What one exchange brought.
pub(super) struct Memory {
    credentials: LruCache<Key, Held>,
    refusals: LruCache<Key, Refusal>,
    /// What errands ended in, for who waited for them. They are taken up at once, so as many
    /// will do as can end together.
    endings: LruCache<Errand, (Key, Ending)>,
}

/// What an errand ended in.
pub(super) type Ending = Result<Rc<Credential>, ExchangeError>;

struct Held {
    credential: Rc<Credential>,
    since: SystemTime,
    /// When it was last asked for anew.
    refreshed_at: Option<SystemTime>,
}

struct Refusal {
    error: ExchangeError,
    since: SystemTime,
}

impl Memory {
    /// Of one of that many exchanges, which has at most so many errands at a time.
    pub(super) fn new(exchanges: usize, max_errands: NonZeroUsize) -> Self {
        Memory {
            credentials: LruCache::new(part(MAX_CREDENTIALS, exchanges, LEAST_CREDENTIALS)),
            refusals: LruCache::new(MAX_REFUSALS),
            endings: LruCache::new(max_errands),
        }
    }

    /// The credential of a key, while it can be sent.
    pub(super) fn credential(&mut self, key: &Key, now: SystemTime) -> Option<Rc<Credential>> {
        let held = self.credentials.get(key).filter(|held| held.serves(now))?;
        Some(Rc::clone(&held.credential))
    }

    /// Whether it is time to ask for a credential anew. Says so once, then not for a while.
    pub(super) fn take_refresh(&mut self, key: &Key, now: SystemTime) -> bool {
        let Some(held) = self.credentials.peek_mut(key) else { return false };
        let is_due = held.is_due(now)
            && held.refreshed_at.is_none_or(|at| has_passed(REFRESH_PAUSE, at, now));
        if is_due {
            held.refreshed_at = Some(now);
        }
        is_due
    }

    /// Why there is no credential of a key, if that was said a moment ago.
    pub(super) fn refusal(&self, key: &Key, now: SystemTime) -> Option<ExchangeError> {
        let Refusal { error, since } = self.refusals.peek(key)?;
        let period = refusal_period(error);
        if has_passed(period, *since, now) {
            return None;
        }
        let left = period.saturating_sub(now.duration_since(*since).unwrap_or_default());
        Some(match error {
            ExchangeError::Unavailable { reason, .. } => {
                ExchangeError::Unavailable { reason, retry_after: Some(left) }
            }
            error => error.clone(),
        })
    }

    /// What an errand ended in, for who waited for it with that key. What was published since
    /// makes no difference: its request is older.
    pub(super) fn ending(&self, errand: Errand, key: &Key) -> Option<Ending> {
        let (of, ending) = self.endings.peek(&errand)?;
        of.is_same_but_for_epoch(key).then(|| ending.clone())
    }

    /// Remembers what an errand brought.
    pub(super) fn put(&mut self, errand: Errand, key: Key, ending: Ending, now: SystemTime) {
        match &ending {
            Ok(credential) => {
                let credential = Rc::clone(credential);
                self.credentials.put(key, Held { credential, since: now, refreshed_at: None });
                self.refusals.pop(&key);
            }
            // A credential that is there serves its time.
            Err(error) => {
                self.refusals.put(key, Refusal { error: error.clone(), since: now });
            }
        }
        self.put_ending(errand, key, ending);
    }

    /// Gives a credential to nobody any more, unless it is new.
    pub(super) fn forget(&mut self, credential: &Rc<Credential>, now: SystemTime) {
        let is_it = |held: &Held| Rc::ptr_eq(&held.credential, credential);
        let key = self.credentials.iter().find_map(|(key, held)| is_it(held).then_some(*key));
        if let Some(key) = key {
            self.forget_of(&key, now);
        }
    }

    /// Gives the credential of a key to nobody any more, unless it is new.
    pub(super) fn forget_of(&mut self, key: &Key, now: SystemTime) {
        let held = self.credentials.peek(key);
        if held.is_some_and(|held| has_passed(REJECTION_PAUSE, held.since, now)) {
            self.credentials.pop(key);
        }
    }

    /// Remembers what an errand ended in, and nothing for others.
    pub(super) fn put_ending(&mut self, errand: Errand, key: Key, ending: Ending) {
        self.endings.put(errand, (key, ending));
    }
}

impl Held {
    fn serves(&self, now: SystemTime) -> bool {
        self.is_before(Duration::ZERO, now)
    }

    fn is_due(&self, now: SystemTime) -> bool {
        let ahead = REFRESH_AHEAD.min(share(self.life(), 5));
        !self.is_before(ahead, now)
    }

    /// Whether there is more than that until it is not sent any more. When the clock went back
    /// behind the credential, its age cannot be told, and it counts as too old.
    fn is_before(&self, ahead: Duration, now: SystemTime) -> bool {
        let life = self.life();
        let end = life.saturating_sub(MARGIN.min(share(life, 10))).saturating_sub(ahead);
        !has_passed(end, self.since, now)
    }

    fn life(&self) -> Duration {
        self.credential.expires_at.duration_since(self.since).unwrap_or_default()
    }
}

/// One of that many parts.
fn share(whole: Duration, parts: u32) -> Duration {
    whole.checked_div(parts).unwrap_or_default()
}

fn refusal_period(error: &ExchangeError) -> Duration {
    match error {
        ExchangeError::Unavailable { retry_after, .. } => {
            retry_after.unwrap_or_default().clamp(FAILURE_PERIOD, LONGEST_FAILURE_PERIOD)
        }
        _ => REFUSAL_PERIOD,
    }
}

/// Whether `period` has passed since `start`. Also when the clock went back behind `start`:
/// an age that cannot be told counts as too old.
pub(super) fn has_passed(period: Duration, start: SystemTime, now: SystemTime) -> bool {
    now.duration_since(start).map_or(true, |age| age >= period)
}

/// What one of so many exchanges may keep of what a worker may, and at least that.
pub(super) fn part(of_worker: usize, exchanges: usize, least: usize) -> NonZeroUsize {
    bound(of_worker.checked_div(exchanges).unwrap_or(of_worker).max(least))
}

const fn bound(entries: usize) -> NonZeroUsize {
    match NonZeroUsize::new(entries) {
        Some(bound) => bound,
        None => NonZeroUsize::MIN,
    }
}
