//! Whose tasks are: a bounded register that the workers of a proxy share.
//!
//! Whoever names a task gets what the tool of another answered, at a server that looks no
//! further. So the filter writes down for whom a server made a task, and nobody else may
//! name it (MCP 2025-11-25, "Tasks", and SEP-2663 have receivers bind tasks to callers).
//!
//! As in the record of used proofs, the register is a fixed number of values in shared data,
//! made before the first request and then written only in exchange for the version that was
//! read. A digest of server and task id names the shard, and the mark there.
//!
//! At worst the register takes 2 MiB and knows some 57 000 tasks, evenly spread: enough for
//! 16 a second that live for an hour. A full shard forgets what would end first, and a task
//! that was forgotten is nobody's: its owner is refused too, and no other let in. The
//! register ends with the proxy.

use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use super::principal::Principal;
use crate::host::{Host, HostError, SharedDataError};

/// How long a task is known at most, and where its server says nothing. Longer than clients
/// wait for an answer; a server that keeps tasks for days binds them itself.
const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// Number of shards, a power of two: tasks are much rarer than calls.
const SHARDS: u16 = 512;

/// Most marks of a shard: they take 4 KiB, which is copied for each look.
const MAX_MARKS: usize = 113;

/// How often a write is tried. It fails only when another worker wrote the same shard since
/// it was read, so that each failure is another task's success.
const MAX_ATTEMPTS: u32 = 8;

/// Bytes of a digest in a mark. Nobody finds a task or a caller that looks like a given one
/// in 128 bits.
const DIGEST: usize = 16;

/// Bytes of a mark: when the task ends, which one it is, and whose.
const MARK: usize = 4 + DIGEST + DIGEST;

/// A task that a server made for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    /// `taskId`
    pub id: String,
    /// How long the server keeps it; `None` where it does not say.
    pub ttl: Option<Duration>,
}

/// Makes what the register is kept in, where it is not there yet.
///
/// # Errors
/// [`HostError`] when it could not be made.
pub fn prepare(host: &dyn Host) -> Result<(), HostError> {
    // The first is made last: where it is, the others are.
    if host.shared(&shard_key(0))?.is_some() {
        return Ok(());
    }
    for shard in (0..SHARDS).rev() {
        let key = shard_key(shard);
        if host.shared(&key)?.is_none() {
            host.set_shared(&key, &[], None).map_err(|_| HostError)?;
        }
    }
    Ok(())
}

/// Records that a task is `owner`'s, for as long as its server keeps it and a day at most.
/// Whoever is recorded first stays its owner.
///
/// # Errors
/// [`HostError`] when it could not be recorded: nobody may use the task then.
pub fn bind(
    task: &NewTask,
    server: &str,
    owner: &Principal,
    host: &dyn Host,
) -> Result<(), HostError> {
    let name = Name::of(server, &task.id).ok_or(HostError)?;
    let now = seconds(host.now(), Duration::ZERO)?;
    let ttl = task.ttl.map_or(MAX_TTL, |ttl| ttl.min(MAX_TTL));
    let mark =
        Mark { until: seconds(host.now(), ttl)?, task: name.digest, owner: digest_of(owner)? };
    for _ in 0..MAX_ATTEMPTS {
        let value = host.shared(&name.shard_key)?.ok_or(HostError)?;
        let Some(marks) = with(read(&value.bytes).ok_or(HostError)?, mark, now) else {
            return Ok(());
        };
        let bytes: Vec<u8> = marks.iter().flat_map(Mark::encode).collect();
        match host.set_shared(&name.shard_key, &bytes, Some(value.version)) {
            Ok(()) => return Ok(()),
            Err(SharedDataError::Conflict) => {}
            Err(SharedDataError::Failed) => break,
        }
    }
    Err(HostError)
}

/// Whether a task is known to be `owner`'s.
///
/// # Errors
/// [`HostError`] when that cannot be told.
pub fn is_owned(
    id: &str,
    server: &str,
    owner: &Principal,
    host: &dyn Host,
) -> Result<bool, HostError> {
    let name = Name::of(server, id).ok_or(HostError)?;
    let now = seconds(host.now(), Duration::ZERO)?;
    let owner = digest_of(owner)?;
    let value = host.shared(&name.shard_key)?.ok_or(HostError)?;
    let marks = read(&value.bytes).ok_or(HostError)?;
    let known = marks.iter().find(|mark| mark.task == name.digest);
    Ok(known.is_some_and(|mark| mark.owner == owner && mark.until >= now))
}

/// The marks of a shard with one more, or with a later end of it, and without those that
/// ended. `None` where nothing is to be written: the task is another's, or known for longer.
fn with(mut marks: Vec<Mark>, mark: Mark, now: u32) -> Option<Vec<Mark>> {
    marks.retain(|known| known.until >= now);
    match marks.iter_mut().find(|known| known.task == mark.task) {
        Some(known) if known.owner != mark.owner || known.until >= mark.until => return None,
        Some(known) => *known = mark,
        None => {
            if marks.len() >= MAX_MARKS
                && let Some((first, _)) =
                    marks.iter().enumerate().min_by_key(|(_, known)| known.until)
            {
                marks.swap_remove(first);
            }
            marks.push(mark);
        }
    }
    Some(marks)
}

/// A task, as the register names it.
struct Name {
    shard_key: String,
    digest: [u8; DIGEST],
}

impl Name {
    fn of(server: &str, id: &str) -> Option<Self> {
        // A URL has no NUL, so the parts cannot run together.
        let digest: [u8; 32] =
            Sha256::new().chain_update(server).chain_update([0]).chain_update(id).finalize().into();
        let (shard, rest) = digest.split_first_chunk()?;
        let shard = u16::from_be_bytes(*shard) % SHARDS;
        Some(Name { shard_key: shard_key(shard), digest: *rest.first_chunk()? })
    }
}

/// A shard as it is named in shared data. The number is of the format.
fn shard_key(shard: u16) -> String {
    format!("countersign.tasks.1.{shard}")
}

/// What is recorded of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    /// The last second, since 1970, in which it is known.
    until: u32,
    task: [u8; DIGEST],
    owner: [u8; DIGEST],
}

impl Mark {
    fn encode(&self) -> impl Iterator<Item = u8> {
        self.until.to_be_bytes().into_iter().chain(self.task).chain(self.owner)
    }

    fn decode(bytes: &[u8; MARK]) -> Option<Self> {
        let (until, rest) = bytes.split_first_chunk()?;
        let (task, owner) = rest.split_first_chunk()?;
        let until = u32::from_be_bytes(*until);
        Some(Mark { until, task: *task, owner: owner.try_into().ok()? })
    }
}

/// The marks of a shard; `None` for what we did not write.
fn read(bytes: &[u8]) -> Option<Vec<Mark>> {
    let (marks, rest) = bytes.as_chunks();
    let fits = rest.is_empty() && marks.len() <= MAX_MARKS;
    if fits { marks.iter().map(Mark::decode).collect() } else { None }
}

fn digest_of(owner: &Principal) -> Result<[u8; DIGEST], HostError> {
    owner.as_bytes().first_chunk().copied().ok_or(HostError)
}

/// The second, since 1970, in which a time is that much later. There is none after the one
/// that fits, which is in 2106.
fn seconds(time: SystemTime, later: Duration) -> Result<u32, HostError> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| HostError)?;
    u32::try_from(since.saturating_add(later).as_secs()).map_err(|_| HostError)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may panic")]

    use super::*;
    use crate::host::fake::{FakeHost, SharedData};

    const SERVER: &str = "https://mcp.example/mcp";
    const MINUTE: Duration = Duration::from_secs(60);
    const SECOND: Duration = Duration::from_secs(1);

    /// A worker of a proxy that was configured.
    fn worker(shared: &SharedData) -> FakeHost {
        let host = FakeHost::worker(shared);
        prepare(&host).unwrap();
        host
    }

    fn caller(name: &str) -> Principal {
        Principal::of(["https://idp.example", name, "agent", SERVER])
    }

    fn task(id: &str, ttl: impl Into<Option<Duration>>) -> NewTask {
        NewTask { id: id.to_owned(), ttl: ttl.into() }
    }

    fn bound(id: &str, ttl: impl Into<Option<Duration>>, owner: &str, host: &FakeHost) {
        assert_eq!(bind(&task(id, ttl), SERVER, &caller(owner), host), Ok(()));
    }

    fn owned(id: &str, owner: &str, host: &FakeHost) -> bool {
        is_owned(id, SERVER, &caller(owner), host).unwrap()
    }

    fn key_of(id: &str) -> String {
        Name::of(SERVER, id).unwrap().shard_key
    }

    /// This many other tasks that are recorded in the same shard.
    fn neighbours(id: &str, count: usize) -> Vec<String> {
        let candidates = (0..).map(|number: u32| format!("{id}-{number}"));
        candidates.filter(|other| key_of(other) == key_of(id)).take(count).collect()
    }

    #[test]
    fn mcp_2025_11_25_a_task_is_of_whom_it_was_made_for() {
        let host = worker(&SharedData::default());
        bound("1", MINUTE, "alice", &host);
        assert!(owned("1", "alice", &host));
        assert!(!owned("1", "mallory", &host), "another caller");
        assert!(!owned("2", "alice", &host), "a task nobody saw made");
        assert!(!owned("1\0", "alice", &host) && !owned("", "alice", &host));
    }

    #[test]
    fn one_id_at_two_servers_names_two_tasks() {
        let host = worker(&SharedData::default());
        let other = "https://mcp.example/other";
        bound("1", MINUTE, "alice", &host);
        assert_eq!(is_owned("1", other, &caller("alice"), &host), Ok(false));
        assert_eq!(bind(&task("1", MINUTE), other, &caller("bob"), &host), Ok(()));
        assert_eq!(is_owned("1", other, &caller("bob"), &host), Ok(true));
        assert!(owned("1", "alice", &host) && !owned("1", "bob", &host));
        let names = [("a", "b1"), ("ab", "1"), ("a", "b\u{0}1"), ("ab1", "")];
        let digests = names.map(|(server, id)| Name::of(server, id).unwrap().digest);
        assert!(digests.iter().enumerate().all(|(at, one)| !digests[at + 1..].contains(one)));
    }

    #[test]
    fn the_workers_of_a_proxy_know_the_same_tasks() {
        let shared = SharedData::default();
        let workers = [worker(&shared), worker(&shared)];
        for number in 0..200 {
            bound(&number.to_string(), MINUTE, "alice", &workers[number % 2]);
        }
        for number in 0..200 {
            let id = number.to_string();
            assert!(workers.iter().all(|host| owned(&id, "alice", host)));
            assert!(!workers.iter().any(|host| owned(&id, "bob", host)));
        }
        let elsewhere = worker(&SharedData::default());
        assert!(!owned("1", "alice", &elsewhere), "another proxy did not see it made");
    }

    #[test]
    fn the_first_owner_stays() {
        let host = worker(&SharedData::default());
        bound("1", MINUTE, "alice", &host);
        let before = host.shared.borrow()[&key_of("1")].clone();
        bound("1", 2 * MINUTE, "mallory", &host);
        assert_eq!(host.shared.borrow()[&key_of("1")], before);
        assert!(owned("1", "alice", &host) && !owned("1", "mallory", &host));
    }

    #[test]
    fn the_owner_may_extend_a_task_and_not_shorten_it() {
        let host = worker(&SharedData::default());
        bound("1", MINUTE, "alice", &host);
        bound("1", 2 * MINUTE, "alice", &host);
        bound("1", SECOND, "alice", &host);
        assert_eq!(host.shared.borrow()[&key_of("1")].0.len(), MARK, "one task, one mark");
        host.advance(2 * MINUTE);
        assert!(owned("1", "alice", &host));
        host.advance(SECOND);
        assert!(!owned("1", "alice", &host));
    }

    #[test]
    fn a_task_is_known_for_as_long_as_its_server_keeps_it() {
        let day = Duration::from_secs(24 * 60 * 60);
        for (ttl, known) in [
            (Some(Duration::ZERO), Duration::ZERO),
            (Some(Duration::from_millis(1500)), SECOND),
            (Some(MINUTE), MINUTE),
            (Some(2 * day), day),
            (Some(Duration::MAX), day),
            (None, day),
        ] {
            let host = worker(&SharedData::default());
            bound("1", ttl, "alice", &host);
            host.advance(known);
            assert!(owned("1", "alice", &host), "{ttl:?}");
            host.advance(SECOND);
            assert!(!owned("1", "alice", &host), "{ttl:?}");
        }
    }

    #[test]
    fn what_ended_makes_room_and_its_id_may_be_given_again() {
        let host = worker(&SharedData::default());
        bound("1", SECOND, "alice", &host);
        for neighbour in neighbours("1", 3) {
            bound(&neighbour, SECOND, "alice", &host);
        }
        host.advance(2 * SECOND);
        bound("1", MINUTE, "bob", &host);
        assert!(owned("1", "bob", &host) && !owned("1", "alice", &host));
        assert_eq!(host.shared.borrow()[&key_of("1")].0.len(), MARK);
    }

    #[test]
    fn a_full_shard_forgets_what_would_end_first() {
        let host = worker(&SharedData::default());
        let ids = neighbours("1", MAX_MARKS);
        for (minutes, id) in (1..).zip(&ids) {
            bound(id, minutes * MINUTE, "alice", &host);
        }
        assert!(ids.iter().all(|id| owned(id, "alice", &host)));
        bound("1", SECOND, "bob", &host);
        let forgotten: Vec<_> = ids.iter().filter(|id| !owned(id, "alice", &host)).collect();
        assert_eq!(forgotten, [&ids[0]]);
        assert!(owned("1", "bob", &host));
        assert!(!owned(&ids[0], "bob", &host), "nobody's");
        let length = host.shared.borrow()[&key_of("1")].0.len();
        assert!(length == MAX_MARKS * MARK && length <= 4096);

        // The owner of a full shard's task extends it without loss to another.
        bound(&ids[1], 500 * MINUTE, "alice", &host);
        assert!(owned("1", "bob", &host));
    }

    #[test]
    fn the_register_is_made_once() {
        let shared = SharedData::default();
        let host = worker(&shared);
        assert_eq!(shared.borrow().len(), usize::from(SHARDS));
        bound("1", MINUTE, "alice", &host);
        let before = shared.borrow().clone();
        worker(&shared);
        assert_eq!(*shared.borrow(), before);

        // What was made in part is completed, and nothing lost.
        shared.borrow_mut().remove(&shard_key(0));
        shared.borrow_mut().remove(&shard_key(1));
        worker(&shared);
        assert_eq!(shared.borrow().len(), usize::from(SHARDS));
        assert!(key_of("1") != shard_key(0) && owned("1", "alice", &host));
    }

    #[test]
    fn a_lost_race_is_run_again() {
        let host = worker(&SharedData::default());
        host.lost_races.set(MAX_ATTEMPTS - 1);
        bound("1", MINUTE, "alice", &host);
        assert!(owned("1", "alice", &host));
        host.lost_races.set(MAX_ATTEMPTS);
        assert_eq!(bind(&task("2", MINUTE), SERVER, &caller("alice"), &host), Err(HostError));
        assert!(!owned("2", "alice", &host));
    }

    #[test]
    fn of_two_workers_that_bind_at_once_one_is_first_and_neither_mark_is_lost() {
        let shared = SharedData::default();
        let (host, other) = (worker(&shared), worker(&shared));
        let neighbour = &neighbours("1", 1)[0];
        for (id, alice, bob) in [(neighbour.as_str(), true, false), ("1", false, true)] {
            // What the other worker's write of "1" would leave.
            let name = Name::of(SERVER, "1").unwrap();
            let theirs = Mark {
                until: seconds(other.now(), MINUTE).unwrap(),
                task: name.digest,
                owner: digest_of(&caller("bob")).unwrap(),
            };
            shared.borrow_mut().get_mut(&name.shard_key).unwrap().0.clear();
            host.rival.replace(Some((name.shard_key, theirs.encode().collect())));
            bound(id, MINUTE, "alice", &host);
            assert_eq!((owned(id, "alice", &host), owned(id, "bob", &host)), (alice, bob));
            assert!(owned("1", "bob", &other));
        }
    }

    #[test]
    fn garbage_in_shared_data_is_nobodys_task() {
        let host = worker(&SharedData::default());
        bound("1", MINUTE, "alice", &host);
        let put = |bytes: &[u8]| {
            host.shared.borrow_mut().get_mut(&key_of("1")).unwrap().0 = bytes.to_vec()
        };
        let good = host.shared.borrow()[&key_of("1")].0.clone();
        for garbage in [&good[1..], &[&good[..], &[0]].concat(), &good.repeat(MAX_MARKS + 1), b"{}"]
        {
            put(garbage);
            assert_eq!(is_owned("1", SERVER, &caller("alice"), &host), Err(HostError));
            assert_eq!(bind(&task("1", MINUTE), SERVER, &caller("bob"), &host), Err(HostError));
            assert_eq!(host.shared.borrow()[&key_of("1")].0, garbage);
        }
        // Two marks of one task: the first owner's counts.
        let second = Mark { owner: digest_of(&caller("bob")).unwrap(), ..read(&good).unwrap()[0] };
        put(&good.iter().copied().chain(second.encode()).collect::<Vec<_>>());
        assert!(owned("1", "alice", &host) && !owned("1", "bob", &host));
        put(b"");
        assert!(!owned("1", "alice", &host));
    }

    #[test]
    fn without_shared_data_no_task_is_anybodys() {
        let unprepared = FakeHost::new();
        let refusing = worker(&SharedData::default());
        bound("1", MINUTE, "alice", &refusing);
        refusing.refuse_shared.set(true);
        assert_eq!(prepare(&refusing), Err(HostError));
        for host in [unprepared, refusing] {
            assert_eq!(bind(&task("1", MINUTE), SERVER, &caller("alice"), &host), Err(HostError));
            assert_eq!(is_owned("1", SERVER, &caller("alice"), &host), Err(HostError));
        }
    }

    #[test]
    fn a_clock_that_does_not_fit_denies() {
        let host = worker(&SharedData::default());
        let last = SystemTime::UNIX_EPOCH + Duration::from_secs(u32::MAX.into());
        for time in [SystemTime::UNIX_EPOCH - SECOND, last + SECOND, last] {
            host.now.set(time);
            assert_eq!(bind(&task("1", MINUTE), SERVER, &caller("alice"), &host), Err(HostError));
            assert_ne!(is_owned("1", SERVER, &caller("alice"), &host), Ok(true));
        }
    }
}
