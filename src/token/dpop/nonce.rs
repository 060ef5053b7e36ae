//! Nonces (RFC 9449 section 9): that a proof was made after we asked for it.
//!
//! They need no record. A nonce is the time it was made at and an HMAC over that time and
//! the URL it is for, so that any worker with the key can check it. Where it is good is
//! where the key is: `replica` keys never leave the proxy and end with it.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::host::{Host, HostError, SharedDataError};
use crate::token::error::ProofError;

use super::policy::{DpopPolicy, NonceScope, Requirement};

/// Bytes of our own keys.
const KEY_BYTES: usize = NonceKey::MIN_BYTES;

/// How long a `replica` key issues nonces. It verifies them for as long again, so a nonce
/// may live up to this. What leaked once is of use no longer than two days.
pub(super) const KEY_ROTATION: Duration = Duration::from_secs(24 * 60 * 60);

/// How far a nonce may be from the future: the clocks of replicas differ.
const MAX_AHEAD: Duration = Duration::from_secs(30);

/// Bytes of the time in a nonce: seconds since 1970.
const TIME: usize = 8;

/// Bytes of the HMAC in a nonce, of 32: at least half is what RFC 2104 section 5 asks for.
const TAG: usize = 24;

/// Where the replica's keys are in shared data. The number is of the format.
pub(super) const REPLICA_KEYS: &str = "countersign.dpop.nonce-keys.1";

/// A configured key for nonces.
#[derive(Clone, PartialEq, Eq)]
pub struct NonceKey(Vec<u8>);

impl NonceKey {
    /// Shortest key, in bytes: what SHA-256 puts out (RFC 2104 section 3).
    pub const MIN_BYTES: usize = 32;

    /// A key of at least 32 bytes; `None` for less.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() >= Self::MIN_BYTES).then_some(NonceKey(bytes))
    }
}

impl fmt::Debug for NonceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NonceKey(..)")
    }
}

/// Issues and checks nonces.
pub(super) struct Nonces {
    /// The first issues.
    cluster: Vec<NonceKey>,
}

impl Nonces {
    pub(super) fn new(cluster: Vec<NonceKey>) -> Self {
        Nonces { cluster }
    }

    /// Makes the replica's keys if there are none.
    pub(super) fn prepare(host: &dyn Host) -> Result<(), HostError> {
        ReplicaKeys::current(host.now(), host).map(drop)
    }

    /// A new nonce; `None` where the policy wants none, or there is no key.
    pub(super) fn issue(&self, policy: &DpopPolicy, host: &dyn Host) -> Option<String> {
        if policy.nonce.mode == Requirement::Off {
            return None;
        }
        let now = host.now();
        self.keys(policy.nonce.scope, now, host).ok()?.issue(&policy.url, now)
    }

    /// Judges the nonce of a proof. Returns a new one when this one is past half its life.
    ///
    /// # Errors
    /// [`ProofError::Nonce`] for a challenge; [`ProofError::NotRecorded`] when there is no
    /// key to check it with.
    pub(super) fn check(
        &self,
        nonce: Option<&str>,
        policy: &DpopPolicy,
        now: SystemTime,
        host: &dyn Host,
    ) -> Result<Option<String>, ProofError> {
        let nonce = match (policy.nonce.mode, nonce) {
            (Requirement::Off, _) | (Requirement::Optional, None) => return Ok(None),
            (Requirement::Required, None) => return Err(ProofError::Nonce),
            (Requirement::Optional | Requirement::Required, Some(nonce)) => nonce,
        };
        let keys = self.keys(policy.nonce.scope, now, host).map_err(|_| ProofError::NotRecorded)?;
        let made_at = keys.verify(nonce, &policy.url).ok_or(ProofError::Nonce)?;
        let age = match now.duration_since(made_at) {
            Ok(age) => age,
            Err(ahead) if ahead.duration() <= MAX_AHEAD => Duration::ZERO,
            Err(_) => return Err(ProofError::Nonce),
        };
        if age > policy.nonce.lifetime {
            return Err(ProofError::Nonce);
        }
        let nears_its_end = age.saturating_mul(2) >= policy.nonce.lifetime;
        Ok(if nears_its_end { keys.issue(&policy.url, now) } else { None })
    }

    fn keys(
        &self,
        scope: NonceScope,
        now: SystemTime,
        host: &dyn Host,
    ) -> Result<Keys<'_>, HostError> {
        let keys = match scope {
            NonceScope::Cluster => self.cluster.iter().map(|key| key.0.as_slice().into()).collect(),
            NonceScope::Replica => {
                let ReplicaKeys { issuing, previous, .. } = ReplicaKeys::current(now, host)?;
                vec![issuing.to_vec().into(), previous.to_vec().into()]
            }
        };
        Ok(Keys(keys))
    }
}

/// The keys of a scope, the one that issues first.
struct Keys<'k>(Vec<Cow<'k, [u8]>>);

impl Keys<'_> {
    fn issue(&self, url: &str, now: SystemTime) -> Option<String> {
        let seconds = now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
        let time: [u8; TIME] = seconds.to_be_bytes();
        let tag = hmac(self.0.first()?, time, url)?.finalize().into_bytes();
        let nonce: Vec<u8> = time.into_iter().chain(tag.into_iter().take(TAG)).collect();
        Some(URL_SAFE_NO_PAD.encode(nonce))
    }

    /// When a nonce was made, if one of these keys made it for this URL.
    fn verify(&self, nonce: &str, url: &str) -> Option<SystemTime> {
        let nonce: [u8; TIME + TAG] = URL_SAFE_NO_PAD.decode(nonce).ok()?.try_into().ok()?;
        let (time, tag) = nonce.split_first_chunk()?;
        let made_it = |key: &Cow<'_, [u8]>| {
            hmac(key, *time, url).is_some_and(|h| h.verify_truncated_left(tag).is_ok())
        };
        let made_at = Duration::from_secs(u64::from_be_bytes(*time));
        if self.0.iter().any(made_it) { SystemTime::UNIX_EPOCH.checked_add(made_at) } else { None }
    }
}

/// Over a purpose, so that the key vouches for nothing else, with the number of the format.
/// All parts but the last have one length.
fn hmac(key: &[u8], time: [u8; TIME], url: &str) -> Option<Hmac<Sha256>> {
    let hmac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    Some(hmac.chain_update(b"countersign dpop nonce 1").chain_update(time).chain_update(url))
}

/// The keys of this proxy, in shared data: random, never configured, never sent.
struct ReplicaKeys {
    made_at: SystemTime,
    issuing: [u8; KEY_BYTES],
    /// Verifies what it issued before the rotation.
    previous: [u8; KEY_BYTES],
}

impl ReplicaKeys {
    /// The keys as they are now: made if there are none, rotated if that is due.
    fn current(now: SystemTime, host: &dyn Host) -> Result<Self, HostError> {
        let Some(value) = host.shared(REPLICA_KEYS)? else {
            return Self::make(None, None, now, host);
        };
        match Self::decode(&value.bytes) {
            Some(keys) if !keys.are_due(now) => Ok(keys),
            keys => {
                let previous = keys.as_ref().map(|keys| keys.issuing);
                let made = Self::make(previous, Some(value.version), now, host);
                // Old keys are as secret as new ones, so a rotation can wait.
                made.or_else(|error| keys.ok_or(error))
            }
        }
    }

    /// Puts new keys in the place of that version. Of several workers one succeeds, and
    /// all take what is there then.
    fn make(
        previous: Option<[u8; KEY_BYTES]>,
        version: Option<NonZeroU32>,
        now: SystemTime,
        host: &dyn Host,
    ) -> Result<Self, HostError> {
        let previous = previous.map_or_else(|| random(host), Ok)?;
        let keys = ReplicaKeys { made_at: now, issuing: random(host)?, previous };
        match host.set_shared(REPLICA_KEYS, &keys.encode()?, version) {
            Ok(()) | Err(SharedDataError::Conflict) => {
                let value = host.shared(REPLICA_KEYS)?.ok_or(HostError)?;
                Self::decode(&value.bytes).ok_or(HostError)
            }
            Err(SharedDataError::Failed) => Err(HostError),
        }
    }

    /// Also when the clock was set back behind their making: their age cannot be told.
    fn are_due(&self, now: SystemTime) -> bool {
        now.duration_since(self.made_at).map_or(true, |age| age >= KEY_ROTATION)
    }

    fn encode(&self) -> Result<Vec<u8>, HostError> {
        let made_at = self.made_at.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| HostError)?;
        Ok([&made_at.as_secs().to_be_bytes()[..], &self.issuing, &self.previous].concat())
    }

    /// `None` for what we did not write.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (made_at, keys) = bytes.split_first_chunk()?;
        let (issuing, previous) = keys.split_first_chunk()?;
        let made_at = Duration::from_secs(u64::from_be_bytes(*made_at));
        Some(ReplicaKeys {
            made_at: SystemTime::UNIX_EPOCH.checked_add(made_at)?,
            issuing: *issuing,
            previous: previous.try_into().ok()?,
        })
    }
}

/// 256 bits.
fn random(host: &dyn Host) -> Result<[u8; KEY_BYTES], HostError> {
    [host.random()?, host.random()?].concat().try_into().map_err(|_| HostError)
}
