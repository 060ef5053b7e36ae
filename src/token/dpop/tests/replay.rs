//! RFC 9449 section 11.1: a proof is used once, whatever the workers, the clock and the host do.

use std::time::Duration;

use super::*;
use crate::token::dpop::replay::{MAX_ATTEMPTS, MAX_MARKS, Mark, SHARDS, shard_key};

const START: Duration = crate::host::fake::START;
const WINDOW: Duration = Duration::from_secs(300);
const HOUR: Duration = Duration::from_secs(3600);

/// A proof with this `jti`, made some time after the start.
fn proof_at(jti: &str, after: Duration) -> String {
    let iat = (START + after).as_secs_f64();
    sign(1, &header(), &with(claims(jti), "iat", json!(iat)))
}

fn shard_of(jti: &str) -> u16 {
    Mark::new(&thumbprint(1), AUDIENCE, jti, START).unwrap().shard
}

/// Another `jti` whose proofs are recorded in the same shard.
fn neighbour(jti: &str) -> String {
    let candidates = (0..).map(|number: u32| format!("{jti}-{number}"));
    let mut neighbours = candidates.filter(|other| shard_of(other) == shard_of(jti));
    neighbours.next().unwrap()
}

fn shard(shared: &SharedData, jti: &str) -> Vec<u8> {
    shared.borrow()[&shard_key(shard_of(jti))].0.clone()
}

fn put(shared: &SharedData, jti: &str, bytes: &[u8]) {
    shared.borrow_mut().get_mut(&shard_key(shard_of(jti))).unwrap().0 = bytes.to_vec();
}

#[test]
fn used_once_on_all_workers_of_a_proxy() {
    let shared = SharedData::default();
    let mut workers = [worker(&shared), worker(&shared), worker(&shared), worker(&shared)];
    let mut accepted = 0;
    for number in 0..200 {
        let proof = proof(&number.to_string());
        for turn in 0..8 {
            let (verifier, host) = &mut workers[(number + turn) % 4];
            match judge(verifier, &proof, &policy(), host) {
                Ok(_) => accepted += 1,
                Err(error) => assert_eq!(error, ProofError::Replayed),
            }
        }
    }
    assert_eq!(accepted, 200);
    let replays = |host: &FakeHost| {
        host.counters.borrow().iter().filter(|c| **c == Counter::ProofReplayed).count()
    };
    assert_eq!(workers.iter().map(|(_, host)| replays(host)).sum::<usize>(), 200 * 7);
}

#[test]
fn jti_is_of_one_key_and_one_url() {
    let (mut verifier, host) = worker(&SharedData::default());
    assert!(judge(&mut verifier, &proof("1"), &policy(), &host).is_ok());
    let elsewhere = DpopPolicy { url: "https://mcp.example.com/other".to_owned(), ..policy() };
    let for_it = sign(1, &header(), &with(claims("1"), "htu", json!(elsewhere.url)));
    assert!(judge(&mut verifier, &for_it, &elsewhere, &host).is_ok());

    let theirs = sign(2, &with(header(), "jwk", jwk(2, "k1")), &claims("1"));
    let (policy, token) = (policy(), TokenDigest::of(TOKEN));
    let expected =
        Expected { method: "POST", policy: &policy, token: &token, thumbprint: thumbprint(2) };
    assert!(verifier.verify(&theirs, &expected, &host).is_ok());
}

#[test]
fn a_replay_may_not_spell_htu_iat_or_header_otherwise() {
    let (mut verifier, host) = worker(&SharedData::default());
    assert!(judge(&mut verifier, &proof("1"), &policy(), &host).is_ok());
    for again in [
        sign(1, &header(), &with(claims("1"), "htu", json!(AUDIENCE.replace("https", "HTTPS")))),
        sign(1, &header(), &with(claims("1"), "iat", json!(now() - 1))),
        sign(1, &with(header(), "kid", json!("k2")), &claims("1")),
    ] {
        let refused = judge(&mut verifier, &again, &policy(), &host);
        assert_eq!(refused.unwrap_err(), ProofError::Replayed);
    }
}

#[test]
fn of_two_workers_with_one_proof_one_wins() {
    let shared = SharedData::default();
    let (mut first, host) = worker(&shared);
    let (mut second, other) = worker(&shared);
    let meanwhile = RefCell::new(None);
    let host = Watched::new(host);
    host.after_next_read.replace(Some(Box::new(|| {
        meanwhile.replace(Some(judge(&mut second, &proof("1"), &policy(), &other).map(drop)));
    })));
    let late = judge(&mut first, &proof("1"), &policy(), &host);
    assert_eq!(meanwhile.take(), Some(Ok(())));
    assert_eq!(late.unwrap_err(), ProofError::Replayed);
}

#[test]
fn of_two_workers_with_two_proofs_of_one_shard_both_win() {
    let shared = SharedData::default();
    let (mut first, host) = worker(&shared);
    let (mut second, other) = worker(&shared);
    let host = Watched::new(host);
    host.after_next_read.replace(Some(Box::new(|| {
        assert!(judge(&mut second, &proof(&neighbour("1")), &policy(), &other).is_ok());
    })));
    assert!(judge(&mut first, &proof("1"), &policy(), &host).is_ok());
    for jti in ["1", &neighbour("1")] {
        let again = judge(&mut first, &proof(jti), &policy(), &host);
        assert_eq!(again.unwrap_err(), ProofError::Replayed);
    }
}

#[test]
fn lost_races_are_bounded() {
    let (mut verifier, host) = worker(&SharedData::default());
    host.lost_races.set(MAX_ATTEMPTS - 1);
    assert!(judge(&mut verifier, &proof("1"), &policy(), &host).is_ok());
    host.lost_races.set(MAX_ATTEMPTS);
    let refused = judge(&mut verifier, &proof("2"), &policy(), &host);
    assert_eq!(refused.unwrap_err(), ProofError::NotRecorded);
    assert!(host.counters.borrow().contains(&Counter::ReplayStoreFailed));
    assert!(judge(&mut verifier, &proof("2"), &policy(), &host).is_ok(), "it was not used");
}

#[test]
fn a_full_shard_refuses_until_its_marks_expire() {
    let shared = SharedData::default();
    let (mut verifier, host) = worker(&shared);
    let until = u32::try_from((START + WINDOW).as_secs()).unwrap();
    let marks = (0..MAX_MARKS).flat_map(|n| {
        [until.to_be_bytes().as_slice(), &[0; 4], &(n as u64).to_be_bytes()].concat()
    });
    let full: Vec<u8> = [0; 4].into_iter().chain(marks).collect();
    put(&shared, "1", &full);
    let refused = judge(&mut verifier, &proof("1"), &policy(), &host);
    assert_eq!(refused.unwrap_err(), ProofError::NotRecorded);
    assert_eq!(shard(&shared, "1"), full);

    host.advance(WINDOW);
    let refused = judge(&mut verifier, &proof_at("1", WINDOW), &policy(), &host);
    assert_eq!(refused.unwrap_err(), ProofError::NotRecorded, "good until then, and no longer");
    host.advance(Duration::from_secs(1));
    let after = WINDOW + Duration::from_secs(1);
    assert!(judge(&mut verifier, &proof_at("1", after), &policy(), &host).is_ok());
    assert_eq!(shard(&shared, "1").len(), 4 + 16);
}

#[test]
fn what_is_no_shard_fails_closed() {
    let shared = SharedData::default();
    let (mut verifier, host) = worker(&shared);
    let too_many = vec![0xff; 4 + 16 * (MAX_MARKS + 1)];
    for bytes in [&[][..], &[0; 3], &[0; 5], &[0; 19], &too_many] {
        put(&shared, "1", bytes);
        let refused = judge(&mut verifier, &proof("1"), &policy(), &host);
        assert_eq!(refused.unwrap_err(), ProofError::NotRecorded, "{}", bytes.len());
        assert_eq!(shard(&shared, "1"), bytes);
    }
}

#[test]
fn a_record_never_made_fails_closed() {
    let (mut verifier, host) = (ProofVerifier::new(Vec::new()), FakeHost::new());
    let refused = judge(&mut verifier, &proof("1"), &policy(), &host);
    assert_eq!(refused.unwrap_err(), ProofError::NotRecorded);
    assert!(host.shared.borrow().is_empty());
    assert!(host.counters.borrow().contains(&Counter::ReplayStoreFailed));
}

#[test]
fn a_host_without_shared_data_fails_closed() {
    let (mut verifier, host) = worker(&SharedData::default());
    host.refuse_shared.set(true);
    let refused = judge(&mut verifier, &proof("1"), &policy(), &host);
    assert_eq!(refused.unwrap_err(), ProofError::NotRecorded);
    assert_eq!(ProofVerifier::prepare(&host), Err(HostError));
}

#[test]
fn preparing_again_forgets_nothing() {
    let shared = SharedData::default();
    let (mut verifier, host) = worker(&shared);
    assert!(judge(&mut verifier, &proof("1"), &policy(), &host).is_ok());
    let before = shared.borrow().clone();
    let later = Watched::new(FakeHost::worker(&shared));
    ProofVerifier::prepare(&later).unwrap();
    assert_eq!(*shared.borrow(), before);
    assert_eq!((later.reads.get(), later.writes.get()), (2, 0));
}

#[test]
fn preparing_resumes_where_it_was_broken_off() {
    let shared = SharedData::default();
    let (mut verifier, host) = worker(&shared);
    assert!(judge(&mut verifier, &proof("1"), &policy(), &host).is_ok());
    // The first shard is made last.
    for missing in 0..shard_of("1") {
        shared.borrow_mut().remove(&shard_key(missing));
    }
    ProofVerifier::prepare(&host).unwrap();
    assert!((0..SHARDS).all(|shard| shared.borrow().contains_key(&shard_key(shard))));
    let again = judge(&mut verifier, &proof("1"), &policy(), &host);
    assert_eq!(again.unwrap_err(), ProofError::Replayed);
}

#[test]
fn expired_marks_are_dropped_with_the_next_one() {
    let shared = SharedData::default();
    let (mut verifier, host) = worker(&shared);
    let next = neighbour("1");
    assert!(judge(&mut verifier, &proof("1"), &policy(), &host).is_ok());
    host.advance(HOUR);
    assert!(judge(&mut verifier, &proof_at(&next, HOUR), &policy(), &host).is_ok());
    assert_eq!(shard(&shared, "1").len(), 4 + 16);
}

#[test]
fn a_mark_lives_as_long_as_its_proof() {
    let (mut verifier, host) = worker(&SharedData::default());
    let half = Duration::from_millis(500);
    // From the future: good for almost twice the window.
    let (proof, next) = (proof_at("1", WINDOW - half), neighbour("1"));
    assert!(judge(&mut verifier, &proof, &policy(), &host).is_ok());
    host.advance(WINDOW + WINDOW - half);
    let other = proof_at(&next, WINDOW + WINDOW);
    assert!(judge(&mut verifier, &other, &policy(), &host).is_ok(), "drops what it can");
    assert_eq!(judge(&mut verifier, &proof, &policy(), &host).unwrap_err(), ProofError::Replayed);
    host.advance(Duration::from_millis(1));
    assert_eq!(judge(&mut verifier, &proof, &policy(), &host).unwrap_err(), ProofError::Time);
}

#[test]
fn a_clock_that_ran_ahead_and_came_back_makes_nothing_replayable() {
    let (mut verifier, host) = worker(&SharedData::default());
    let (used, next) = (proof("1"), neighbour("1"));
    assert!(judge(&mut verifier, &used, &policy(), &host).is_ok());
    let start = host.now.get();
    host.advance(HOUR);
    assert!(judge(&mut verifier, &proof_at(&next, HOUR), &policy(), &host).is_ok());
    host.now.set(start);
    let again = judge(&mut verifier, &used, &policy(), &host);
    assert_eq!(again.unwrap_err(), ProofError::NotRecorded);
    // What is good for longer than all that was dropped cannot have been among it.
    host.advance(Duration::from_secs(1));
    let fresh = proof_at(&neighbour(&next), Duration::from_secs(1));
    assert!(judge(&mut verifier, &fresh, &policy(), &host).is_ok());
}

#[test]
fn the_stated_capacity_fits() {
    let mut shards = vec![0_usize; usize::from(SHARDS)];
    let signer = thumbprint(1);
    for number in 0..5000 * WINDOW.as_secs() {
        let mark = Mark::new(&signer, AUDIENCE, &number.to_string(), START).unwrap();
        shards[usize::from(mark.shard)] += 1;
    }
    assert!(shards.iter().all(|marks| *marks <= MAX_MARKS), "{:?}", shards.iter().max());
    let bytes = usize::from(SHARDS) * (4 + 16 * MAX_MARKS);
    assert!(bytes <= 32 << 20);
}

#[test]
fn a_proof_costs_one_read_and_one_write() {
    let (mut verifier, host) = worker(&SharedData::default());
    let host = Watched::new(host);
    assert!(judge(&mut verifier, &proof("1"), &policy(), &host).is_ok());
    assert_eq!((host.reads.get(), host.writes.get()), (1, 1));
    assert!(judge(&mut verifier, &proof("1"), &policy(), &host).is_err());
    assert_eq!((host.reads.get(), host.writes.get()), (2, 1), "a replay writes nothing");
    assert_eq!((host.verifications.get(), host.others.get()), (0, 1), "but counts");
}
