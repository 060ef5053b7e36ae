//! Tokens verified before.

use std::fmt;
use std::num::NonZeroUsize;
use std::rc::Rc;

use lru::LruCache;
use sha2::{Digest as _, Sha256};

use super::claims::AccessToken;
use super::jwk::KeyId;
use super::jws::Verified;

/// Most tokens remembered per worker; at about 1 KiB each, 4 MiB. A token is used
/// for many calls within minutes, so this covers thousands of agents per worker.
const MAX_TOKENS: NonZeroUsize = match NonZeroUsize::new(4096) {
    Some(bound) => bound,
    None => NonZeroUsize::MIN,
};

/// Spares a token that was verified once the second verification. What may have
/// changed since (time, keys, who asks) is for the caller to check on each use.
pub(super) struct TokenCache(LruCache<TokenDigest, Entry>);

/// SHA-256 of a token: caches never hold a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenDigest([u8; 32]);

/// A verified token and the key that verified it.
pub(super) struct Entry {
    pub(super) token: Rc<Verified<AccessToken>>,
    pub(super) key: KeyId,
}

impl TokenDigest {
    /// That of this token.
    pub(crate) fn of(token: &str) -> Self {
        TokenDigest(Sha256::digest(token).into())
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl TokenCache {
    pub(super) fn new() -> Self {
        TokenCache(LruCache::new(MAX_TOKENS))
    }

    pub(super) fn get(&mut self, digest: &TokenDigest) -> Option<&Entry> {
        self.0.get(digest)
    }

    pub(super) fn insert(&mut self, digest: TokenDigest, entry: Entry) {
        self.0.put(digest, entry);
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache").field("tokens", &self.0.len()).finish()
    }
}
