//! What an issuer said of tokens before.

use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use lru::LruCache;

use super::answer::Answer;
use crate::token::TokenDigest;

/// Most tokens of which it is remembered that they are active, and most of which it is
/// remembered that they are not. As many as tokens are remembered that were verified here.
/// An invented token fills only the second, so it cannot push out a good one.
const MAX_TOKENS: NonZeroUsize = match NonZeroUsize::new(4096) {
    Some(bound) => bound,
    None => NonZeroUsize::MIN,
};

/// The remembered answers of one issuer, by token. How long each may be used is for the
/// reader to say.
pub(super) struct Memory {
    active: LruCache<TokenDigest, (Rc<Answer>, Asked)>,
    others: LruCache<TokenDigest, Other>,
}

/// The request that something is the answer to.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) number: u64,
    /// When it was started.
    pub(super) at: SystemTime,
}

/// What is remembered of tokens that are not known to be active.
enum Other {
    /// The issuer said that it is not.
    Inactive(Asked),
    /// The issuer did not say, at that time.
    Failed(SystemTime),
}

impl Memory {
    pub(super) fn new() -> Self {
        Memory { active: LruCache::new(MAX_TOKENS), others: LruCache::new(MAX_TOKENS) }
    }

    pub(super) fn active(&mut self, digest: &TokenDigest) -> Option<&(Rc<Answer>, Asked)> {
        self.active.get(digest)
    }

    pub(super) fn inactive(&mut self, digest: &TokenDigest) -> Option<Asked> {
        match self.others.get(digest)? {
            Other::Inactive(asked) => Some(*asked),
            Other::Failed(_) => None,
        }
    }

    /// When asking about the token failed, if that was the last that was heard of it.
    pub(super) fn failed_at(&self, digest: &TokenDigest) -> Option<SystemTime> {
        match self.others.peek(digest)? {
            Other::Inactive(_) => None,
            Other::Failed(at) => Some(*at),
        }
    }

    pub(super) fn put_active(&mut self, digest: TokenDigest, answer: Rc<Answer>, asked: Asked) {
        self.others.pop(&digest);
        self.active.put(digest, (answer, asked));
    }

    pub(super) fn put_inactive(&mut self, digest: TokenDigest, asked: Asked) {
        self.active.pop(&digest);
        self.others.put(digest, Other::Inactive(asked));
    }

    /// Leaves what the issuer said before, if it was that the token is active, to be used for
    /// its time.
    pub(super) fn put_failed(&mut self, digest: TokenDigest, at: SystemTime) {
        self.others.put(digest, Other::Failed(at));
    }
}

/// Whether `period` has passed since `start`. Also when the clock went back behind `start`:
/// an age that cannot be told counts as too old.
pub(super) fn has_passed(period: Duration, start: SystemTime, now: SystemTime) -> bool {
    now.duration_since(start).map_or(true, |age| age >= period)
}
