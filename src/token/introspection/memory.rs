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
    active: LruCache<TokenDigest, Remembered<Rc<Answer>>>,
    others: LruCache<TokenDigest, Remembered<Other>>,
}

/// Something remembered, and where it comes from.
#[derive(Clone)]
pub(super) struct Remembered<T> {
    pub(super) what: T,
    /// The number of the request it answers.
    pub(super) number: u64,
    /// When the request was started.
    pub(super) asked_at: SystemTime,
}

/// What is remembered of tokens that are not known to be active.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Other {
    /// The issuer said that it is not.
    Inactive,
    /// The issuer did not say, at that time.
    Failed(SystemTime),
}

impl Memory {
    pub(super) fn new() -> Self {
        Memory { active: LruCache::new(MAX_TOKENS), others: LruCache::new(MAX_TOKENS) }
    }

    pub(super) fn active(&mut self, digest: &TokenDigest) -> Option<&Remembered<Rc<Answer>>> {
        self.active.get(digest)
    }

    pub(super) fn inactive(&mut self, digest: &TokenDigest) -> Option<&Remembered<Other>> {
        self.others.get(digest).filter(|other| other.what == Other::Inactive)
    }

    /// Whether asking about the token failed less than `period` ago.
    pub(super) fn failed_within(
        &self,
        period: Duration,
        digest: &TokenDigest,
        now: SystemTime,
    ) -> bool {
        self.others.peek(digest).is_some_and(
            |other| matches!(other.what, Other::Failed(at) if !has_passed(period, at, now)),
        )
    }

    pub(super) fn put_active(&mut self, digest: TokenDigest, answer: Remembered<Rc<Answer>>) {
        self.others.pop(&digest);
        self.active.put(digest, answer);
    }

    /// A failure leaves an earlier answer to be used for its time.
    pub(super) fn put_other(&mut self, digest: TokenDigest, other: Remembered<Other>) {
        if other.what == Other::Inactive {
            self.active.pop(&digest);
        }
        self.others.put(digest, other);
    }
}

/// Whether `period` has passed since `start`. Also when the clock went back behind `start`:
/// an age that cannot be told counts as too old.
pub(super) fn has_passed(period: Duration, start: SystemTime, now: SystemTime) -> bool {
    now.duration_since(start).map_or(true, |age| age >= period)
}
