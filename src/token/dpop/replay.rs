//! The record of used proofs (RFC 9449 section 11.1), shared by the workers of a proxy.
//!
//! Shared data cannot delete, and cannot write a key only if it is missing. So the record
//! is a fixed number of values, made before the first request and then written only in
//! exchange for the version that was read. A proof's digest names the shard it belongs to,
//! and its mark there. A proof whose mark cannot be looked up and written is refused.
//!
//! At worst the record takes 32 MiB. At the default window of 300 seconds that is enough
//! for 5000 proofs a second, evenly spread over clients or not; beyond, a shard is full
//! before its marks expire. Looking up and writing a mark costs what copying the shard
//! does: about 1 µs with a hundred proofs a second, 10 µs when a shard is full.
//!
//! The record ends with the proxy. A proof from before a restart is told from a fresh one
//! by its nonce, if nonces of `replica` scope are required: their key ends with it too.

use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use crate::host::{Host, HostError, SharedDataError};
use crate::token::confirmation::Thumbprint;
use crate::token::error::ProofError;

/// Number of shards, a power of two. Many, so that a shard stays small enough to be copied
/// for each proof; few enough to be made while a configuration loads, at a few µs each,
/// once in the life of a proxy.
pub(super) const SHARDS: u16 = 8192;

/// Most marks of a shard: with its header it takes 4 KiB.
pub(super) const MAX_MARKS: usize = 255;

/// How often a write is tried. It fails only when another worker wrote the same shard since
/// it was read, so that each failure is another proof's success.
pub(super) const MAX_ATTEMPTS: u32 = 8;

/// Bytes of a proof's digest in its mark. Nobody finds two proofs of others that look the
/// same in 96 bits, and who makes two of his own loses the second.
const DIGEST: usize = 12;

/// Bytes of a mark: when the proof expires, and its digest.
const MARK: usize = 4 + DIGEST;

/// What is recorded of a used proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) shard: u16,
    digest: [u8; DIGEST],
    /// The last second, since 1970, in which the proof is good.
    until: u32,
}

/// The shards of a proxy, as named in shared data. The number is of the format.
pub(super) fn shard_key(shard: u16) -> String {
    format!("countersign.dpop.used.1.{shard}")
}

/// Makes the shards that are missing, and changes none that is there.
///
/// # Errors
/// [`HostError`] when one could not be made.
pub(super) fn prepare(host: &dyn Host) -> Result<(), HostError> {
    // The first is made last: where it is, the others are.
    if host.shared(&shard_key(0))?.is_some() {
        return Ok(());
    }
    for shard in (0..SHARDS).rev() {
        let key = shard_key(shard);
        if host.shared(&key)?.is_none() {
            host.set_shared(&key, &Shard::EMPTY, None).map_err(|_| HostError)?;
        }
    }
    Ok(())
}

/// Records that a proof is used.
///
/// # Errors
/// [`ProofError::Replayed`] when it was before; [`ProofError::NotRecorded`] when that
/// cannot be told, or not be recorded.
pub(super) fn record(mark: &Mark, now: SystemTime, host: &dyn Host) -> Result<(), ProofError> {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| ProofError::NotRecorded)?;
    let key = shard_key(mark.shard);
    for _ in 0..MAX_ATTEMPTS {
        let value = host.shared(&key).ok().flatten().ok_or(ProofError::NotRecorded)?;
        let shard = Shard::read(&value.bytes).ok_or(ProofError::NotRecorded)?;
        if shard.has(mark) {
            return Err(ProofError::Replayed);
        }
        let bytes = shard.with(mark, now).ok_or(ProofError::NotRecorded)?;
        match host.set_shared(&key, &bytes, Some(value.version)) {
            Ok(()) => return Ok(()),
            Err(SharedDataError::Conflict) => {}
            Err(SharedDataError::Failed) => break,
        }
    }
    Err(ProofError::NotRecorded)
}

impl Mark {
    /// The mark of a proof by `signer` for `url`, good until that time since 1970. `None`
    /// for a time that does not fit, which is in 2106.
    pub(super) fn new(
        signer: &Thumbprint,
        url: &str,
        jti: &str,
        good_until: Duration,
    ) -> Option<Self> {
        // Thumbprints have one length and a URL has no NUL, so the parts cannot run together.
        let digest: [u8; 32] = Sha256::new()
            .chain_update(signer.0)
            .chain_update(url)
            .chain_update([0])
            .chain_update(jti)
            .finalize()
            .into();
        let (shard, rest) = digest.split_first_chunk()?;
        Some(Mark {
            shard: u16::from_be_bytes(*shard) % SHARDS,
            digest: *rest.first_chunk()?,
            until: u32::try_from(good_until.as_secs()).ok()?,
        })
    }

    fn encode(&self) -> impl Iterator<Item = u8> {
        self.until.to_be_bytes().into_iter().chain(self.digest)
    }
}

/// A shard as it was read.
struct Shard<'v> {
    /// The latest `until` of the marks that were dropped. What is not good for longer may
    /// have been used and forgotten: after the clock ran ahead and was set back.
    forgotten: u32,
    marks: &'v [[u8; MARK]],
}

impl<'v> Shard<'v> {
    /// A shard without marks.
    const EMPTY: [u8; 4] = [0; 4];

    /// `None` for what we did not write.
    fn read(bytes: &'v [u8]) -> Option<Self> {
        let (forgotten, marks) = bytes.split_first_chunk()?;
        let (marks, rest) = marks.as_chunks();
        let fits = rest.is_empty() && marks.len() <= MAX_MARKS;
        fits.then(|| Shard { forgotten: u32::from_be_bytes(*forgotten), marks })
    }

    fn has(&self, mark: &Mark) -> bool {
        self.marks.iter().any(|known| known.ends_with(&mark.digest))
    }

    /// The shard with one mark more and without those that expired; `None` when there is
    /// no room, or the mark may be one that was dropped.
    fn with(&self, mark: &Mark, now: Duration) -> Option<Vec<u8>> {
        let mut forgotten = self.forgotten;
        let mut bytes = Vec::with_capacity(self.marks.len().saturating_add(2).saturating_mul(MARK));
        bytes.extend(Self::EMPTY);
        let mut kept = 0_usize;
        for known in self.marks {
            let until = u32::from_be_bytes(*known.first_chunk()?);
            if u64::from(until) < now.as_secs() {
                forgotten = forgotten.max(until);
            } else {
                bytes.extend(known);
                kept = kept.saturating_add(1);
            }
        }
        if mark.until <= forgotten || kept >= MAX_MARKS {
            return None;
        }
        bytes.extend(mark.encode());
        *bytes.first_chunk_mut()? = forgotten.to_be_bytes();
        Some(bytes)
    }
}
