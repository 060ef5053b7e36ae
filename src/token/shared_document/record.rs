//! What the workers of a proxy know of a document in common, as bytes.

use std::time::{Duration, SystemTime};

/// The state of a document. Every worker may write it, so what is read of it is not
/// trusted to make sense, only to be of this shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Record {
    /// The last attempt to fetch.
    pub(super) attempt: Option<Attempt>,
    /// The document that was stored last.
    pub(super) stored: Option<Stored>,
}

/// Names an attempt: random, so that a worker knows its own.
pub(super) type AttemptId = [u8; 16];

/// An attempt to fetch. Until it ends it is a lease: nobody else tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) at: SystemTime,
    pub(super) id: AttemptId,
    pub(super) ended: bool,
}

/// A document that was fetched. Its body is a shared value of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) fetched_at: SystemTime,
    /// The time from then until it should be fetched again.
    pub(super) fresh_for: Duration,
    /// SHA-256 of the body that belongs to it.
    pub(super) digest: [u8; 32],
}

// The encoding: for each of the two parts a tag, then its fields, numbers big endian,
// times in milliseconds, so what is read back is a little earlier than what was written.
const ABSENT: u8 = 0;
const UNDER_WAY: u8 = 1;
const ENDED: u8 = 2;
const STORED: u8 = 3;

impl Record {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match &self.attempt {
            None => bytes.push(ABSENT),
            Some(Attempt { at, id, ended }) => {
                bytes.push(if *ended { ENDED } else { UNDER_WAY });
                bytes.extend(time_bytes(*at));
                bytes.extend(id);
            }
        }
        match &self.stored {
            None => bytes.push(ABSENT),
            Some(Stored { fetched_at, fresh_for, digest }) => {
                bytes.push(STORED);
                bytes.extend(time_bytes(*fetched_at));
                bytes.extend(duration_bytes(*fresh_for));
                bytes.extend(digest);
            }
        }
        bytes
    }

    /// `None` for anything [`Record::encode`] does not write.
    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        let attempt = match take::<1>(bytes)? {
            [ABSENT] => None,
            [tag @ (UNDER_WAY | ENDED)] => {
                Some(Attempt { at: time(bytes)?, id: take(bytes)?, ended: tag == ENDED })
            }
            _ => return None,
        };
        let stored = match take::<1>(bytes)? {
            [ABSENT] => None,
            [STORED] => Some(Stored {
                fetched_at: time(bytes)?,
                fresh_for: duration(bytes)?,
                digest: take(bytes)?,
            }),
            _ => return None,
        };
        bytes.is_empty().then_some(Record { attempt, stored })
    }
}

fn time_bytes(time: SystemTime) -> [u8; 8] {
    // A clock before 1970 is none that we can work with; its times are void soon enough.
    duration_bytes(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

fn duration_bytes(duration: Duration) -> [u8; 8] {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).to_be_bytes()
}

fn time(bytes: &mut &[u8]) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(duration(bytes)?)
}

fn duration(bytes: &mut &[u8]) -> Option<Duration> {
    Some(Duration::from_millis(u64::from_be_bytes(take(bytes)?)))
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_785_196_800_123);
        let attempt = |ended| Some(Attempt { at: time, id: [7; 16], ended });
        let stored =
            Stored { fetched_at: time, fresh_for: Duration::from_secs(600), digest: [9; 32] };
        for attempt in [None, attempt(false), attempt(true)] {
            for stored in [None, Some(stored)] {
                let record = Record { attempt, stored };
                let bytes = record.encode();
                assert!(!bytes.is_empty());
                assert_eq!(Record::decode(&bytes), Some(record));
                for end in 0..bytes.len() {
                    assert_eq!(bytes.get(..end).and_then(Record::decode), None, "{end}");
                }
                assert_eq!(Record::decode(&[bytes.as_slice(), &[0]].concat()), None);
            }
        }
    }
}
