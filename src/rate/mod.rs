//! Rates, counted by all workers of a proxy together.
//!
//! A bucket is one time in shared data: when it will be full again ("theoretical arrival
//! time" of the generic cell rate algorithm, ITU-T I.371 appendix A). That is all a token
//! bucket needs, and a bucket that is full needs nothing.
//!
//! As in the record of used proofs, buckets lie in a fixed number of values in shared data,
//! made before the first request and then written only in exchange for the version that was
//! read. A bucket costs a call two copies of its shard: one to look, one to take.
//!
//! At worst the shards take 4 MiB and hold 174 000 buckets that are not full, evenly spread.
//! A shard without room forgets the bucket that would be full first: its callers gain what
//! was missing in it, at most its burst each time, and nobody is refused for what others do.
//! Where a bucket lies can be computed, so who can make up values that calls are told apart
//! by can have a bucket forgotten on purpose. Rates end with the proxy, and each proxy counts
//! for itself.
//!
//! In V8 three buckets take 3 µs, and 5 µs when shards are full; with the digests 1 µs more.

mod shard;

use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use crate::host::{Host, HostError, SharedDataError};
use crate::policy::RateLimit;
use shard::{KEY, Shard};

pub use shard::prepare;

/// How often a write is tried. It fails only when another worker wrote the same shard since
/// it was read. All workers write the bucket that all calls share, once for each call: if two
/// of three attempts were lost to them, one call in 400 000 would be lost as well.
const MAX_ATTEMPTS: u32 = 32;

/// How far a bucket may be ahead of what its limit allows. Workers read the clock in one
/// order and write in another, far less than this apart; what is further ahead is from
/// before the clock was set back, or the limit lowered.
const CLOCK_STEP: Duration = Duration::from_secs(1);

/// How often one caller is asked to authenticate better for one rule. A client that steps up
/// needs one challenge, and a second where the user gave up; one that cannot would go on. It
/// has no id, because no configuration names it.
pub static STEP_UP_CHALLENGES: RateLimit = RateLimit {
    id: String::new(),
    requests: 3,
    period: Duration::from_secs(5 * 60),
    burst: 3,
    by: Vec::new(),
};

/// A bucket that an operation takes from.
#[derive(Debug, Clone)]
pub struct Bucket<'l> {
    /// How large it is, and how fast it fills.
    pub limit: &'l RateLimit,
    /// Tells it from the other buckets of the limit: a digest of what calls are told apart by.
    pub key: [u8; KEY],
}

impl<'l> Bucket<'l> {
    /// The bucket of a limit for the calls that have these values, one for each entry of
    /// [`RateLimit::by`].
    #[must_use]
    pub fn new(limit: &'l RateLimit, values: &[&str]) -> Self {
        Bucket { limit, key: key("limit", &limit.id, values) }
    }

    fn limited(&self, retry_after: Duration) -> Verdict {
        Verdict::Limited { limit: self.limit.id.clone(), retry_after }
    }
}

impl Bucket<'static> {
    /// The bucket of the challenges that a rule makes of a caller ([`STEP_UP_CHALLENGES`]).
    #[must_use]
    pub fn of_step_up(rule: &str, caller: &[&str]) -> Self {
        Bucket { limit: &STEP_UP_CHALLENGES, key: key("step-up", rule, caller) }
    }
}

/// What became of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every bucket had room.
    Taken,
    /// One had not, and nothing was taken from any. Where workers race for the last one, what
    /// was taken before it from other buckets stays taken: a caller loses by that, and never
    /// gains.
    Limited {
        /// The id of the limit; of several, the one to wait for longest.
        limit: String,
        /// How long until it has.
        retry_after: Duration,
    },
}

/// Takes one from each of the buckets, or from none.
///
/// # Errors
/// [`HostError`] when it cannot be counted: shared data was not prepared or is not what we
/// wrote, or other workers wrote first too often. Unreadable shards are not begun anew,
/// because a rate that forgets is none. What was taken from other buckets stays taken.
pub fn take(buckets: &[Bucket<'_>], host: &dyn Host) -> Result<Verdict, HostError> {
    let now = host.now().duration_since(SystemTime::UNIX_EPOCH).map_err(|_| HostError)?;
    let now = nanoseconds(now);
    let mut looks = Vec::with_capacity(buckets.len());
    for bucket in buckets {
        looks.push(Look::at(bucket, now, host)?);
    }
    let waits = looks.iter().filter_map(|look| Some((look.next.err()?, look.bucket)));
    if let Some((wait, bucket)) = waits.max_by_key(|(wait, _)| *wait) {
        return Ok(bucket.limited(wait));
    }
    for (look, bucket) in looks.into_iter().zip(buckets) {
        if let Some(wait) = look.take(now, host)? {
            return Ok(bucket.limited(wait));
        }
    }
    Ok(Verdict::Taken)
}

/// A bucket as it was read.
struct Look<'b> {
    bucket: &'b Bucket<'b>,
    shard: Shard,
    /// When it is full again if one is taken; or how long until one can be.
    next: Result<u64, Duration>,
}

impl<'b> Look<'b> {
    fn at(bucket: &'b Bucket<'b>, now: u64, host: &dyn Host) -> Result<Self, HostError> {
        let shard = Shard::of(&bucket.key, host)?;
        let next = after_one(bucket.limit, shard.full_at(&bucket.key), now);
        Ok(Look { bucket, shard, next })
    }

    /// Takes one, unless other workers took the last meanwhile: then how long until there is
    /// another.
    fn take(self, now: u64, host: &dyn Host) -> Result<Option<Duration>, HostError> {
        let bucket = self.bucket;
        let mut look = self;
        for _ in 0..MAX_ATTEMPTS {
            let full_at = match look.next {
                Ok(full_at) => full_at,
                Err(wait) => return Ok(Some(wait)),
            };
            match look.shard.write(&bucket.key, full_at, now, host) {
                Ok(()) => return Ok(None),
                Err(SharedDataError::Conflict) => look = Look::at(bucket, now, host)?,
                Err(SharedDataError::Failed) => break,
            }
        }
        Err(HostError)
    }
}

/// When a bucket is full again after one more was taken from it; or how long until one can
/// be. Times are in nanoseconds since 1970.
fn after_one(limit: &RateLimit, full_at: u64, now: u64) -> Result<u64, Duration> {
    // Rounded up, so that there is never more than the limit says.
    let interval = nanoseconds(limit.period).div_ceil(limit.requests.max(1).into());
    let empty = now.saturating_add(interval.saturating_mul(limit.burst.into()));
    let full_at = if full_at > empty.saturating_add(nanoseconds(CLOCK_STEP)) {
        // Not of this clock, or of this limit: there is one left, and taking it mends that.
        empty.saturating_sub(interval)
    } else {
        full_at.max(now)
    };
    match full_at.checked_add(interval) {
        Some(next) if next <= empty => Ok(next),
        Some(next) => Err(Duration::from_nanos(next.saturating_sub(empty))),
        None => Err(Duration::from_nanos(interval)),
    }
}

/// A digest of what a bucket is of: each text with its length before it, so that no two lists
/// run together into one, and no subject stands in shared data.
fn key(domain: &str, id: &str, values: &[&str]) -> [u8; KEY] {
    let mut digest = Sha256::new();
    for part in [domain, id].iter().chain(values) {
        digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(part);
    }
    let mut key = [0; KEY];
    for (byte, of_digest) in key.iter_mut().zip(digest.finalize()) {
        *byte = of_digest;
    }
    key
}

/// As many as fit, which is until 2554.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
