//! The values in shared data that buckets lie in.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::host::{Host, HostError, SharedDataError};

/// Number of shards, a power of two: so many that 100 000 buckets leave room in each.
pub(super) const SHARDS: u16 = 2048;

/// Most buckets of a shard: they take 2 KiB, which is copied twice for each call.
pub(super) const MAX_BUCKETS: usize = 85;

/// What takes longer than this to be full again is forgotten first where there is no room.
/// The longest period is a day, so such a time is hardly of this clock, and would keep others
/// out for as long.
const FARTHEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Bytes of the key that tells a bucket from others. Nobody finds two buckets that look the
/// same in 128 bits.
pub(super) const KEY: usize = 16;

/// Bytes of a bucket: its key, and when it is full again.
const BUCKET: usize = KEY + 8;

/// Makes the shards that are missing, and changes none that is there.
///
/// # Errors
/// [`HostError`] when one could not be made: the host has no shared data.
pub fn prepare(host: &dyn Host) -> Result<(), HostError> {
    // The first is made last: where it is, the others are.
    if host.shared(&shard_name(0))?.is_some() {
        return Ok(());
    }
    for shard in (0..SHARDS).rev() {
        let name = shard_name(shard);
        if host.shared(&name)?.is_none() {
            host.set_shared(&name, &[], None).map_err(|_| HostError)?;
        }
    }
    Ok(())
}

/// A shard as it was read.
pub(super) struct Shard {
    name: String,
    version: NonZeroU32,
    buckets: Vec<Filling>,
}

/// A bucket that is not full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Filling {
    key: [u8; KEY],
    /// In nanoseconds since 1970, which end in 2554.
    full_at: u64,
}

impl Shard {
    /// Reads the shard that a bucket belongs to.
    ///
    /// # Errors
    /// [`HostError`] when there is none, or it is not what we wrote.
    pub(super) fn of(key: &[u8; KEY], host: &dyn Host) -> Result<Self, HostError> {
        let name = name_of(key);
        let value = host.shared(&name)?.ok_or(HostError)?;
        let buckets = decode(&value.bytes).ok_or(HostError)?;
        Ok(Shard { name, version: value.version, buckets })
    }

    /// When a bucket is full again; zero, which was long ago, for one that is not here.
    pub(super) fn full_at(&self, key: &[u8; KEY]) -> u64 {
        self.buckets.iter().find(|bucket| bucket.key == *key).map_or(0, |bucket| bucket.full_at)
    }

    /// Writes when a bucket is full again, and forgets those that are.
    ///
    /// # Errors
    /// [`SharedDataError::Conflict`] when another worker wrote since this was read.
    pub(super) fn write(
        mut self,
        key: &[u8; KEY],
        full_at: u64,
        now: u64,
        host: &dyn Host,
    ) -> Result<(), SharedDataError> {
        self.buckets.retain(|bucket| bucket.full_at > now && bucket.key != *key);
        if self.buckets.len() >= MAX_BUCKETS {
            self.forget_one(now);
        }
        self.buckets.push(Filling { key: *key, full_at });
        host.set_shared(&self.name, &encode(&self.buckets), Some(self.version))
    }

    /// Makes room: the bucket that would be full first is the one that loses least.
    fn forget_one(&mut self, now: u64) {
        let farthest = u64::try_from(FARTHEST.as_nanos()).unwrap_or(u64::MAX);
        let farthest = now.saturating_add(farthest);
        let rank = |bucket: &Filling| Some(bucket.full_at).filter(|at| *at <= farthest);
        let first = self.buckets.iter().enumerate().min_by_key(|(_, bucket)| rank(bucket));
        if let Some((first, _)) = first {
            self.buckets.swap_remove(first);
        }
    }
}

impl Filling {
    fn decode(bytes: &[u8; BUCKET]) -> Option<Self> {
        let (key, full_at) = bytes.split_first_chunk()?;
        Some(Filling { key: *key, full_at: u64::from_be_bytes(full_at.try_into().ok()?) })
    }
}

fn encode(buckets: &[Filling]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(buckets.len().saturating_mul(BUCKET));
    for bucket in buckets {
        bytes.extend_from_slice(&bucket.key);
        bytes.extend_from_slice(&bucket.full_at.to_be_bytes());
    }
    bytes
}

/// The buckets of a shard; `None` for what we did not write.
fn decode(bytes: &[u8]) -> Option<Vec<Filling>> {
    let (buckets, rest) = bytes.as_chunks();
    let fits = rest.is_empty() && buckets.len() <= MAX_BUCKETS;
    if fits { buckets.iter().map(Filling::decode).collect() } else { None }
}

/// The shard of a bucket: keys are digests, so their first bytes spread evenly.
pub(super) fn name_of(key: &[u8; KEY]) -> String {
    let [high, low, ..] = *key;
    shard_name(u16::from_be_bytes([high, low]) % SHARDS)
}

/// A shard as it is named in shared data. The first number is of the format.
pub(super) fn shard_name(shard: u16) -> String {
    format!("countersign.rates.1.{shard}")
}
