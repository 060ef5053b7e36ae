//! Rates, counted by all workers of a proxy together.
//!
//! A bucket is one time in shared data: when it will be full again ("theoretical arrival
//! time" of the generic cell rate algorithm, ITU-T I.371 appendix A). That is all a token
//! bucket needs, and a bucket that is full needs nothing.

use std::time::Duration;

use crate::host::{Host, HostError};
use crate::policy::RateLimit;

/// A bucket that an operation takes from.
#[derive(Debug, Clone)]
pub struct Bucket<'l> {
    /// How large it is, and how fast it fills.
    pub limit: &'l RateLimit,
    /// Tells it from the other buckets of the limit: a digest of what calls are told apart by.
    pub key: [u8; 16],
}

/// What became of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every bucket had room.
    Taken,
    /// One had not, and nothing was taken from any.
    Limited {
        /// The id of the limit.
        limit: String,
        /// How long until it has.
        retry_after: Duration,
    },
}

/// Takes one from each of the buckets, or from none.
///
/// # Errors
/// [`HostError`] when it cannot be counted.
pub fn take(_buckets: &[Bucket<'_>], _host: &dyn Host) -> Result<Verdict, HostError> {
    Err(HostError)
}

/// Makes the record that the workers share, where it is not there yet.
///
/// # Errors
/// [`HostError`] when the host has no shared data.
pub fn prepare(_host: &dyn Host) -> Result<(), HostError> {
    Err(HostError)
}
