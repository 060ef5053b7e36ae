#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests may panic"
)]

use super::shard::{MAX_BUCKETS, SHARDS, name_of, shard_name};
use super::*;
use crate::host::fake::{FakeHost, SharedData};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// A worker of a proxy that was configured.
fn worker(shared: &SharedData) -> FakeHost {
    let host = FakeHost::worker(shared);
    prepare(&host).unwrap();
    host
}

fn limit(id: &str, requests: u32, period: Duration, burst: u32) -> RateLimit {
    RateLimit { id: id.to_owned(), requests, period, burst, by: vec![] }
}

/// Whether a call with that value passes; how long to wait if not.
fn call(limit: &RateLimit, value: &str, host: &FakeHost) -> Result<(), Duration> {
    match take(&[Bucket::new(limit, &[value])], host).unwrap() {
        Verdict::Taken => Ok(()),
        Verdict::Limited { retry_after, limit: id } => {
            assert_eq!(id, limit.id);
            assert!(!retry_after.is_zero());
            Err(retry_after)
        }
    }
}

/// How many of so many calls at once pass.
fn passing(calls: usize, limit: &RateLimit, value: &str, host: &FakeHost) -> usize {
    (0..calls).filter(|_| call(limit, value, host).is_ok()).count()
}

fn shard_of(bucket: &Bucket<'_>) -> String {
    name_of(&bucket.key)
}

/// This many values of other buckets that lie in the same shard.
fn neighbours(limit: &RateLimit, value: &str, count: usize) -> Vec<String> {
    let name = shard_of(&Bucket::new(limit, &[value]));
    let others = (0..).map(|number: u32| format!("{value}-{number}"));
    others.filter(|other| shard_of(&Bucket::new(limit, &[other])) == name).take(count).collect()
}

/// Numbers that look random and are the same in each run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[test]
fn a_burst_passes_and_then_one_each_interval() {
    let host = worker(&SharedData::default());
    let limit = limit("l", 60, MINUTE, 5);
    assert_eq!(passing(20, &limit, "alice", &host), 5);
    assert_eq!(call(&limit, "alice", &host), Err(SECOND));
    host.advance(Duration::from_millis(999));
    assert_eq!(call(&limit, "alice", &host), Err(Duration::from_millis(1)));
    host.advance(Duration::from_millis(1));
    assert_eq!(passing(20, &limit, "alice", &host), 1);
    host.advance(HOUR);
    assert_eq!(passing(20, &limit, "alice", &host), 5, "it holds a burst, and no more");
}

#[test]
fn the_wait_is_as_long_as_it_says() {
    for (requests, period, burst) in [
        (1, SECOND, 1),
        (7, SECOND, 3),
        (1000, HOUR, 2),
        (5000, 24 * HOUR, 1),
        (u32::MAX, SECOND, 1),
    ] {
        let host = worker(&SharedData::default());
        let limit = limit("l", requests, period, burst);
        while call(&limit, "alice", &host).is_ok() {}
        for _ in 0..3 {
            let wait = call(&limit, "alice", &host).unwrap_err();
            host.advance(wait - Duration::from_nanos(1));
            assert_eq!(call(&limit, "alice", &host), Err(Duration::from_nanos(1)), "{limit:?}");
            host.advance(Duration::from_nanos(1));
            assert_eq!(call(&limit, "alice", &host), Ok(()), "{limit:?}");
        }
    }
}

/// Against a bucket that is filled drop by drop, over schedules of one caller at two workers.
#[test]
fn in_any_span_no_more_pass_than_burst_and_rate_allow() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..60 {
        let burst = 1 + random.below(20);
        let interval = 1 + random.below(3_000_000_000);
        let shared = SharedData::default();
        let workers = [worker(&shared), worker(&shared)];
        let limit = limit("l", 1, Duration::from_nanos(interval), u32::try_from(burst).unwrap());
        let capacity = u128::from(burst * interval);
        let (mut level, mut passed, mut now) = (capacity, Vec::new(), 0_u64);
        for _ in 0..400 {
            // Bursts, a trickle, and long pauses.
            let pause = match random.below(10) {
                0..5 => 0,
                5..9 => random.below(2 * interval),
                _ => random.below(2 * burst * interval),
            };
            now += pause;
            level = capacity.min(level + u128::from(pause));
            workers.iter().for_each(|host| host.advance(Duration::from_nanos(pause)));
            workers[0].lost_races.set(u32::try_from(random.below(3)).unwrap());
            let passes = call(&limit, "alice", &workers[usize::from(random.below(2) == 1)]).is_ok();
            assert_eq!(passes, level >= u128::from(interval), "round {round}");
            if passes {
                level -= u128::from(interval);
                passed.push(now);
            }
        }
        assert!(passed.len() > 20 && passed.len() < 400, "the schedule tries both");
        for (first, from) in passed.iter().enumerate() {
            for (last, until) in passed.iter().enumerate().skip(first) {
                let most = burst + (until - from) / interval;
                assert!(u64::try_from(last - first + 1).unwrap() <= most, "round {round}");
            }
        }
    }
}

#[test]
fn callers_have_buckets_of_their_own() {
    let host = worker(&SharedData::default());
    let (one, other) = (limit("one", 1, HOUR, 2), limit("other", 1, HOUR, 3));
    assert_eq!(passing(9, &one, "alice", &host), 2);
    assert_eq!(passing(9, &one, "bob", &host), 2);
    assert_eq!(passing(9, &other, "alice", &host), 3, "and limits");
}

#[test]
fn no_two_lists_of_values_have_one_key_and_no_value_stands_in_it() {
    let limits = [limit("l", 1, HOUR, 1), limit("la", 1, HOUR, 1), limit("", 1, HOUR, 1)];
    let lists: [&[&str]; 8] =
        [&[], &[""], &["", ""], &["a"], &["a", ""], &["", "a"], &["a", "b"], &["ab"]];
    let buckets = limits.iter().flat_map(|limit| lists.map(|values| Bucket::new(limit, values)));
    let mut keys: Vec<_> = buckets.map(|bucket| bucket.key).collect();
    keys.extend(lists.map(|values| Bucket::of_step_up("l", values).key));
    let count = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), count);

    let host = worker(&SharedData::default());
    call(&limits[0], "alice@example.com", &host).unwrap();
    let shared = host.shared.borrow();
    let texts = shared.iter().flat_map(|(name, (value, _))| [name.as_bytes(), value]);
    assert!(texts.into_iter().all(|text| !text.windows(5).any(|window| window == b"alice")));
}

#[test]
fn an_operation_takes_from_all_buckets_or_from_none() {
    let host = worker(&SharedData::default());
    let limits =
        [limit("server", 1, HOUR, 3), limit("rule", 1, MINUTE, 2), limit("agent", 1, HOUR, 9)];
    let buckets = limits.each_ref().map(|limit| Bucket::new(limit, &["alice"]));
    assert_eq!(take(&[], &host), Ok(Verdict::Taken));
    for _ in 0..2 {
        assert_eq!(take(&buckets, &host), Ok(Verdict::Taken));
    }
    let before = host.shared.borrow().clone();
    for _ in 0..5 {
        let limited = Verdict::Limited { limit: "rule".to_owned(), retry_after: MINUTE };
        assert_eq!(take(&buckets, &host), Ok(limited));
    }
    assert_eq!(*host.shared.borrow(), before, "nothing was taken from the others");
    assert_eq!(passing(9, &limits[2], "alice", &host), 7);

    // Of two that have no room, the one that takes longer.
    assert_eq!(passing(9, &limits[0], "alice", &host), 1);
    let limited = Verdict::Limited { limit: "server".to_owned(), retry_after: HOUR };
    assert_eq!(take(&buckets[..2], &host), Ok(limited));
}

#[test]
fn buckets_of_one_operation_may_share_a_shard() {
    let host = worker(&SharedData::default());
    let limit = limit("l", 1, HOUR, 2);
    let other = &neighbours(&limit, "alice", 1)[0];
    let buckets = [Bucket::new(&limit, &["alice"]), Bucket::new(&limit, &[other])];
    assert_eq!(shard_of(&buckets[0]), shard_of(&buckets[1]));
    assert_eq!(take(&buckets, &host), Ok(Verdict::Taken));
    assert_eq!(passing(9, &limit, "alice", &host), 1);
    assert_eq!(passing(9, &limit, other, &host), 1);
}

#[test]
fn workers_share_the_buckets() {
    let shared = SharedData::default();
    let workers: [FakeHost; 4] = std::array::from_fn(|_| worker(&shared));
    let limit = limit("l", 1, HOUR, 50);
    let calls = (0..200).filter(|at| call(&limit, "alice", &workers[at % 4]).is_ok());
    assert_eq!(calls.count(), 50);
    let elsewhere = worker(&SharedData::default());
    assert_eq!(passing(200, &limit, "alice", &elsewhere), 50, "another proxy counts for itself");
}

#[test]
fn the_last_one_is_taken_once_however_workers_race() {
    let shared = SharedData::default();
    let host = worker(&shared);
    let (other, limit) = (limit("other", 1, HOUR, 5), limit("l", 1, HOUR, 2));
    let buckets = [Bucket::new(&other, &["alice"]), Bucket::new(&limit, &["alice"])];
    assert_ne!(shard_of(&buckets[0]), shard_of(&buckets[1]));
    let name = shard_of(&buckets[1]);
    // What another worker leaves that takes both of the two.
    assert_eq!(passing(2, &limit, "alice", &worker(&shared)), 2);
    let theirs = shared.borrow()[&name].0.clone();
    shared.borrow_mut().get_mut(&name).unwrap().0.clear();

    host.rival.replace(Some((name.clone(), theirs.clone())));
    let limited = Verdict::Limited { limit: "l".to_owned(), retry_after: HOUR };
    assert_eq!(take(&buckets[1..], &host).as_ref(), Ok(&limited));

    // They write after all had room, and before the first is taken.
    shared.borrow_mut().get_mut(&name).unwrap().0.clear();
    host.rival.replace(Some((name, theirs)));
    assert_eq!(take(&buckets, &host), Ok(limited));
    assert_eq!(passing(9, &other, "alice", &host), 4, "what was taken before stays taken");
}

#[test]
fn a_lost_race_is_run_again() {
    let host = worker(&SharedData::default());
    let limit = limit("l", 1, HOUR, 3);
    host.lost_races.set(MAX_ATTEMPTS - 1);
    assert_eq!(call(&limit, "alice", &host), Ok(()));
    host.lost_races.set(MAX_ATTEMPTS);
    assert_eq!(take(&[Bucket::new(&limit, &["alice"])], &host), Err(HostError));
    assert_eq!(host.lost_races.get(), 0);
    assert_eq!(passing(9, &limit, "alice", &host), 2);
}

#[test]
fn a_bucket_costs_one_look_and_one_write() {
    let host = worker(&SharedData::default());
    let limits =
        [limit("server", 9, HOUR, 9), limit("rule", 1, HOUR, 2), limit("agent", 9, HOUR, 9)];
    let buckets = limits.each_ref().map(|limit| Bucket::new(limit, &["alice"]));
    for (verdict, calls) in [("taken", 6), ("taken", 6), ("limited", 3)] {
        host.shared_calls.set(0);
        let taken = take(&buckets, &host) == Ok(Verdict::Taken);
        assert_eq!((taken, host.shared_calls.get()), (verdict == "taken", calls));
    }
    host.shared_calls.set(0);
    prepare(&host).unwrap();
    assert_eq!(host.shared_calls.get(), 1, "by the second worker");
}

#[test]
fn a_clock_that_is_set_back_costs_a_bucket_what_it_holds() {
    let host = worker(&SharedData::default());
    let limit = limit("l", 1, MINUTE, 5);
    assert_eq!(passing(9, &limit, "alice", &host), 5);
    host.now.set(host.now.get() - 30 * 24 * HOUR);
    assert_eq!(passing(9, &limit, "alice", &host), 1);
    assert_eq!(call(&limit, "alice", &host), Err(MINUTE), "and not thirty days");
    host.advance(5 * MINUTE);
    assert_eq!(passing(9, &limit, "alice", &host), 5);

    // By less than workers may be apart: as if it stood still.
    host.now.set(host.now.get() - SECOND);
    assert_eq!(call(&limit, "alice", &host), Err(MINUTE + SECOND));
}

#[test]
fn a_clock_that_runs_ahead_for_a_while_gives_one_burst() {
    let host = worker(&SharedData::default());
    let limit = limit("l", 1, MINUTE, 5);
    let (start, far) = (host.now.get(), 365 * 24 * HOUR);
    assert_eq!(passing(9, &limit, "alice", &host), 5);
    host.advance(far);
    assert_eq!(passing(9, &limit, "alice", &host), 5);
    host.now.set(start);
    assert_eq!(passing(9, &limit, "alice", &host), 1);
}

#[test]
fn a_limit_that_is_lowered_or_raised_holds_at_once() {
    let host = worker(&SharedData::default());
    assert_eq!(passing(99, &limit("l", 1, HOUR, 50), "alice", &host), 50);
    let lowered = limit("l", 1, MINUTE, 5);
    assert_eq!(passing(9, &lowered, "alice", &host), 1);
    assert_eq!(call(&lowered, "alice", &host), Err(MINUTE));
    assert_eq!(passing(99, &limit("l", 1, MINUTE, 50), "alice", &host), 45);
}

#[test]
fn limits_beyond_all_measure_do_not_permit_everything() {
    let host = worker(&SharedData::default());
    let wide = limit("wide", 1, Duration::MAX, u32::MAX);
    assert!(passing(9, &wide, "alice", &host) <= 1);
    for none in [limit("none", 0, HOUR, 0), limit("no burst", 1, HOUR, 0)] {
        assert_eq!(passing(9, &none, "alice", &host), 0);
    }
}

#[test]
fn buckets_that_are_full_again_make_room() {
    let host = worker(&SharedData::default());
    let limit = limit("l", 1, SECOND, 2);
    let name = shard_of(&Bucket::new(&limit, &["alice"]));
    for value in neighbours(&limit, "alice", 3) {
        call(&limit, &value, &host).unwrap();
    }
    assert_eq!(host.shared.borrow()[&name].0.len(), 3 * 24);
    host.advance(SECOND);
    call(&limit, "alice", &host).unwrap();
    assert_eq!(host.shared.borrow()[&name].0.len(), 24);
}

#[test]
fn a_full_shard_forgets_the_bucket_that_would_be_full_first() {
    let host = worker(&SharedData::default());
    let limit = limit("l", 1, HOUR, 200);
    let values = neighbours(&limit, "alice", MAX_BUCKETS);
    for (taken, value) in (2..).zip(&values) {
        assert_eq!(passing(taken, &limit, value, &host), taken);
    }
    call(&limit, "alice", &host).unwrap();
    assert_eq!(passing(999, &limit, "alice", &host), 199, "alice's was not forgotten");
    let name = shard_of(&Bucket::new(&limit, &["alice"]));
    assert_eq!(host.shared.borrow()[&name].0.len(), MAX_BUCKETS * 24);
    const { assert!(MAX_BUCKETS * 24 <= 2048) };
    for (taken, value) in (2..).zip(&values).skip(1) {
        assert_eq!(passing(999, &limit, value, &host), 200 - taken);
    }
    assert_eq!(passing(999, &limit, &values[0], &host), 200, "the first gains two");
}

#[test]
fn what_a_clock_left_that_ran_ahead_is_forgotten_first() {
    let host = worker(&SharedData::default());
    let limit = limit("l", 1, HOUR, 5);
    let start = host.now.get();
    host.advance(365 * 24 * HOUR);
    for value in neighbours(&limit, "alice", MAX_BUCKETS) {
        call(&limit, &value, &host).unwrap();
    }
    host.now.set(start);
    assert_eq!(passing(9, &limit, "alice", &host), 5);
    for value in neighbours(&limit, "alice", 5) {
        assert!(passing(9, &limit, &value, &host) <= 5);
    }
    assert_eq!(passing(9, &limit, "alice", &host), 0, "others left hers alone");
}

#[test]
fn a_hundred_thousand_agents_take_bounded_memory_and_all_are_counted() {
    let host = worker(&SharedData::default());
    let limit = limit("l", 1, HOUR, 2);
    let agents = || (0..100_000).map(|agent: u32| agent.to_string());
    assert!(agents().all(|agent| passing(2, &limit, &agent, &host) == 2));
    assert!(agents().all(|agent| call(&limit, &agent, &host).is_err()), "none was forgotten");
    assert_eq!(host.shared.borrow().len(), usize::from(SHARDS));

    // Three times as many again: shards are full, and no larger.
    for agent in 100_000..400_000 {
        call(&limit, &agent.to_string(), &host).unwrap();
    }
    let shared = host.shared.borrow();
    assert_eq!(shared.len(), usize::from(SHARDS));
    assert!(shared.values().all(|(value, _)| value.len() <= 2048));
}

#[test]
fn the_shards_are_made_once() {
    let shared = SharedData::default();
    let host = worker(&shared);
    assert_eq!(shared.borrow().len(), usize::from(SHARDS));
    let limit = limit("l", 1, HOUR, 2);
    call(&limit, "alice", &host).unwrap();
    let before = shared.borrow().clone();
    worker(&shared);
    assert_eq!(*shared.borrow(), before);

    // What was made in part is completed, and nothing lost.
    shared.borrow_mut().remove(&shard_name(0));
    shared.borrow_mut().remove(&shard_name(1));
    worker(&shared);
    assert_eq!(shared.borrow().len(), usize::from(SHARDS));
    assert_eq!(passing(9, &limit, "alice", &host), 1);
}

#[test]
fn garbage_in_shared_data_denies() {
    let host = worker(&SharedData::default());
    let limit = limit("l", 1, HOUR, 2);
    call(&limit, "alice", &host).unwrap();
    let bucket = Bucket::new(&limit, &["alice"]);
    let good = host.shared.borrow()[&shard_of(&bucket)].0.clone();
    for garbage in [&good[1..], &[&good[..], &[0]].concat(), &good.repeat(MAX_BUCKETS + 1), b"{}"] {
        host.shared.borrow_mut().get_mut(&shard_of(&bucket)).unwrap().0 = garbage.to_vec();
        assert_eq!(take(std::slice::from_ref(&bucket), &host), Err(HostError));
        assert_eq!(host.shared.borrow()[&shard_of(&bucket)].0, garbage);
    }
}

#[test]
fn without_shared_data_nothing_passes() {
    let limit = limit("l", 1, HOUR, 2);
    let unprepared = FakeHost::new();
    let refusing = worker(&SharedData::default());
    refusing.refuse_shared.set(true);
    assert_eq!(prepare(&refusing), Err(HostError));
    let early = worker(&SharedData::default());
    early.now.set(SystemTime::UNIX_EPOCH - SECOND);
    for host in [unprepared, refusing, early] {
        assert_eq!(take(&[Bucket::new(&limit, &["alice"])], &host), Err(HostError));
    }
}

#[test]
fn challenges_to_step_up_end() {
    let host = worker(&SharedData::default());
    let caller = ["https://idp.example", "alice", "agent"];
    let challenges = |rule: &str, caller: &[&str]| {
        let challenge = || take(&[Bucket::of_step_up(rule, caller)], &host).unwrap();
        (0..9).filter(|_| challenge() == Verdict::Taken).count()
    };
    assert_eq!(challenges("tools.rules[0]", &caller), 3);
    assert_eq!(challenges("tools.rules[1]", &caller), 3, "another rule");
    assert_eq!(challenges("tools.rules[0]", &["https://idp.example", "bob", "agent"]), 3);
    host.advance(5 * MINUTE);
    assert_eq!(challenges("tools.rules[0]", &caller), 3);
}
