//! RFC 9449 section 9: nonces that need no record.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::token::dpop::nonce::{KEY_ROTATION, REPLICA_KEYS};
use crate::token::{NonceKey, NoncePolicy, NonceScope};

const LIFETIME: Duration = Duration::from_secs(300);
const SECOND: Duration = Duration::from_secs(1);

fn with_nonces(mode: Requirement, scope: NonceScope) -> DpopPolicy {
    DpopPolicy { nonce: NoncePolicy { mode, scope, lifetime: LIFETIME }, ..policy() }
}

fn required() -> DpopPolicy {
    with_nonces(Requirement::Required, NonceScope::Replica)
}

fn clustered() -> DpopPolicy {
    with_nonces(Requirement::Required, NonceScope::Cluster)
}

/// A proof made now, with that nonce and a `jti` of its own.
fn proof_with(nonce: &str, host: &FakeHost) -> String {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let jti = format!("with nonce {}", MADE.fetch_add(1, Ordering::Relaxed));
    let now = host.now.get().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let claims = with(claims(&jti), "iat", json!(now.as_secs()));
    sign(1, &header(), &with(claims, "nonce", json!(nonce)))
}

/// What a verifier says of a nonce: the one for the next proof, if any.
fn ask(
    verifier: &mut ProofVerifier,
    nonce: &str,
    policy: &DpopPolicy,
    host: &FakeHost,
) -> Result<Option<String>, ProofError> {
    judge(verifier, &proof_with(nonce, host), policy, host).map(|proven| proven.nonce)
}

/// Another proxy: its own shared data and its own randomness.
fn elsewhere(host: &FakeHost) -> (ProofVerifier, FakeHost) {
    let other = FakeHost::new();
    other.now.set(host.now.get());
    for _ in 0..7 {
        other.random().unwrap();
    }
    ProofVerifier::prepare(&other).unwrap();
    (ProofVerifier::new(Vec::new()), other)
}

fn cluster_worker(keys: &[u8]) -> (ProofVerifier, FakeHost) {
    let (_, host) = worker(&SharedData::default());
    let keys = keys.iter().map(|key| NonceKey::new(vec![*key; 32]).unwrap()).collect();
    (ProofVerifier::new(keys), host)
}

#[test]
fn off_ignores_nonces_and_issues_none() {
    let (mut verifier, host) = worker(&SharedData::default());
    let off = with_nonces(Requirement::Off, NonceScope::Replica);
    assert_eq!(verifier.nonce(&off, &host), None);
    assert_eq!(ask(&mut verifier, "whatever", &off, &host), Ok(None));
}

#[test]
fn optional_judges_nonces_that_are_there() {
    let (mut verifier, host) = worker(&SharedData::default());
    let optional = with_nonces(Requirement::Optional, NonceScope::Replica);
    assert_eq!(judge(&mut verifier, &proof("1"), &optional, &host).unwrap().nonce, None);
    assert_eq!(ask(&mut verifier, "whatever", &optional, &host), Err(ProofError::Nonce));
    let nonce = verifier.nonce(&optional, &host).unwrap();
    assert_eq!(ask(&mut verifier, &nonce, &optional, &host), Ok(None));
}

#[test]
fn rfc9449_9_required_challenges_proofs_without() {
    let (mut verifier, host) = worker(&SharedData::default());
    let refused = judge(&mut verifier, &proof("1"), &required(), &host);
    assert_eq!(refused.unwrap_err(), ProofError::Nonce);
    let nonce = verifier.nonce(&required(), &host).unwrap();
    assert_eq!(ask(&mut verifier, &nonce, &required(), &host), Ok(None));
}

#[test]
fn rfc9449_8_1_nonces_have_no_character_that_needs_quoting() {
    let (verifier, host) = worker(&SharedData::default());
    for _ in 0..50 {
        host.advance(SECOND);
        let nonce = verifier.nonce(&required(), &host).unwrap();
        assert_eq!(nonce.len(), 43);
        assert!(nonce.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)), "{nonce}");
    }
}

#[test]
fn any_worker_of_the_replica_takes_it() {
    let shared = SharedData::default();
    let (verifier, host) = worker(&shared);
    let nonce = verifier.nonce(&required(), &host).unwrap();
    let (mut other, host) = worker(&shared);
    assert_eq!(ask(&mut other, &nonce, &required(), &host), Ok(None));
}

#[test]
fn another_replica_does_not() {
    let (verifier, host) = worker(&SharedData::default());
    let nonce = verifier.nonce(&required(), &host).unwrap();
    let (mut other, host) = elsewhere(&host);
    assert_eq!(ask(&mut other, &nonce, &required(), &host), Err(ProofError::Nonce));
}

#[test]
fn every_bit_of_a_nonce_counts() {
    let (mut verifier, host) = worker(&SharedData::default());
    let nonce = verifier.nonce(&required(), &host).unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(&nonce).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut forged = bytes.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        let forged = ask(&mut verifier, &encode(forged), &required(), &host);
        assert_eq!(forged, Err(ProofError::Nonce), "bit {bit}");
    }
    for length in 0..bytes.len() {
        let cut = ask(&mut verifier, &encode(&bytes[..length]), &required(), &host);
        assert_eq!(cut, Err(ProofError::Nonce), "{length} bytes");
    }
    for other in [format!("{nonce}="), format!("{nonce}AAAA"), nonce.replace(|_| true, "A")] {
        assert_eq!(ask(&mut verifier, &other, &required(), &host), Err(ProofError::Nonce));
    }
    assert_eq!(ask(&mut verifier, &nonce, &required(), &host), Ok(None));
}

#[test]
fn a_nonce_is_for_one_url() {
    let (mut verifier, host) = worker(&SharedData::default());
    let elsewhere = DpopPolicy { url: format!("{AUDIENCE}2"), ..required() };
    let nonce = verifier.nonce(&elsewhere, &host).unwrap();
    assert_eq!(ask(&mut verifier, &nonce, &required(), &host), Err(ProofError::Nonce));
}

#[test]
fn a_nonce_expires() {
    let (mut verifier, host) = worker(&SharedData::default());
    let nonce = verifier.nonce(&required(), &host).unwrap();
    host.advance(LIFETIME);
    assert!(ask(&mut verifier, &nonce, &required(), &host).is_ok());
    host.advance(SECOND);
    assert_eq!(ask(&mut verifier, &nonce, &required(), &host), Err(ProofError::Nonce));
}

#[test]
fn a_nonce_is_not_from_the_future() {
    let (mut verifier, host) = worker(&SharedData::default());
    let start = host.now.get();
    host.advance(Duration::from_secs(30));
    let slightly = verifier.nonce(&required(), &host).unwrap();
    host.advance(SECOND);
    let too_far = verifier.nonce(&required(), &host).unwrap();
    host.now.set(start);
    assert_eq!(ask(&mut verifier, &slightly, &required(), &host), Ok(None));
    assert_eq!(ask(&mut verifier, &too_far, &required(), &host), Err(ProofError::Nonce));
}

#[test]
fn rfc9449_8_2_a_new_nonce_comes_before_the_old_one_ends() {
    let (mut verifier, host) = worker(&SharedData::default());
    let nonce = verifier.nonce(&required(), &host).unwrap();
    host.advance(LIFETIME / 2 - SECOND);
    assert_eq!(ask(&mut verifier, &nonce, &required(), &host), Ok(None));
    host.advance(SECOND);
    let next = ask(&mut verifier, &nonce, &required(), &host).unwrap().unwrap();
    host.advance(LIFETIME / 2 + SECOND);
    assert_eq!(ask(&mut verifier, &nonce, &required(), &host), Err(ProofError::Nonce));
    assert!(ask(&mut verifier, &next, &required(), &host).is_ok());
}

#[test]
fn cluster_nonces_are_good_wherever_the_key_is() {
    let (verifier, host) = cluster_worker(&[1]);
    let nonce = verifier.nonce(&clustered(), &host).unwrap();
    let (mut same, host) = cluster_worker(&[1]);
    assert_eq!(ask(&mut same, &nonce, &clustered(), &host), Ok(None));
    let (mut other, host) = cluster_worker(&[2]);
    assert_eq!(ask(&mut other, &nonce, &clustered(), &host), Err(ProofError::Nonce));
    assert_eq!(ask(&mut same, &nonce, &required(), &host), Err(ProofError::Nonce), "replica");
}

#[test]
fn cluster_keys_rotate_first_issues_all_verify() {
    let (old, host) = cluster_worker(&[1]);
    let by_old = old.nonce(&clustered(), &host).unwrap();
    let (mut both, host) = cluster_worker(&[2, 1]);
    let by_new = both.nonce(&clustered(), &host).unwrap();
    assert_ne!(by_old, by_new);
    assert!(ask(&mut both, &by_old, &clustered(), &host).is_ok());
    assert!(ask(&mut both, &by_new, &clustered(), &host).is_ok());
    let (mut new, host) = cluster_worker(&[2]);
    assert!(ask(&mut new, &by_new, &clustered(), &host).is_ok());
    assert_eq!(ask(&mut new, &by_old, &clustered(), &host), Err(ProofError::Nonce));
}

#[test]
fn cluster_scope_without_a_key_fails_closed() {
    let (mut verifier, host) = cluster_worker(&[]);
    assert_eq!(verifier.nonce(&clustered(), &host), None);
    let (issuer, _) = cluster_worker(&[1]);
    let nonce = issuer.nonce(&clustered(), &host).unwrap();
    assert_eq!(ask(&mut verifier, &nonce, &clustered(), &host), Err(ProofError::Nonce));
}

#[test]
fn replica_keys_rotate_and_the_previous_one_verifies() {
    let shared = SharedData::default();
    let (mut verifier, host) = worker(&shared);
    let long = DpopPolicy {
        nonce: NoncePolicy { lifetime: KEY_ROTATION * 3, ..required().nonce },
        ..required()
    };
    host.advance(KEY_ROTATION - SECOND);
    let keys = shared.borrow()[REPLICA_KEYS].clone();
    let nonce = verifier.nonce(&long, &host).unwrap();
    assert_eq!(shared.borrow()[REPLICA_KEYS], keys);
    host.advance(SECOND);
    assert!(ask(&mut verifier, &nonce, &long, &host).is_ok());
    assert_ne!(shared.borrow()[REPLICA_KEYS], keys);
    host.advance(KEY_ROTATION);
    assert_eq!(ask(&mut verifier, &nonce, &long, &host), Err(ProofError::Nonce), "two later");
}

#[test]
fn of_two_workers_that_rotate_one_wins() {
    let shared = SharedData::default();
    let (mut first, host) = worker(&shared);
    let (second, other) = worker(&shared);
    for host in [&host, &other] {
        host.advance(KEY_ROTATION);
    }
    let theirs = RefCell::new(None);
    let host = Watched::new(host);
    host.after_next_read.replace(Some(Box::new(|| {
        theirs.replace(second.nonce(&required(), &other));
    })));
    let ours = first.nonce(&required(), &host).unwrap();
    assert_eq!(theirs.take().unwrap(), ours, "made with one key");
    assert!(ask(&mut first, &ours, &required(), &host.host).is_ok());
}

#[test]
fn a_rotation_that_fails_waits() {
    let (mut verifier, host) = worker(&SharedData::default());
    host.advance(KEY_ROTATION);
    host.refuse_random.set(true);
    let nonce = verifier.nonce(&required(), &host).unwrap();
    host.refuse_random.set(false);
    assert!(ask(&mut verifier, &nonce, &required(), &host).is_ok());
}

#[test]
fn preparing_again_keeps_the_key() {
    let shared = SharedData::default();
    let (mut verifier, host) = worker(&shared);
    let nonce = verifier.nonce(&required(), &host).unwrap();
    ProofVerifier::prepare(&FakeHost::worker(&shared)).unwrap();
    assert_eq!(ask(&mut verifier, &nonce, &required(), &host), Ok(None));
}

#[test]
fn without_a_replica_key_nothing_is_good() {
    let shared = SharedData::default();
    let (mut verifier, host) = worker(&shared);
    let nonce = verifier.nonce(&required(), &host).unwrap();
    shared.borrow_mut().remove(REPLICA_KEYS);
    host.refuse_random.set(true);
    assert_eq!(verifier.nonce(&required(), &host), None);
    assert_eq!(ask(&mut verifier, &nonce, &required(), &host), Err(ProofError::NotRecorded));
    host.refuse_random.set(false);
    host.refuse_shared.set(true);
    assert_eq!(verifier.nonce(&required(), &host), None);
    assert_eq!(ask(&mut verifier, &nonce, &required(), &host), Err(ProofError::NotRecorded));
}

#[test]
fn what_is_no_replica_key_is_replaced() {
    let shared = SharedData::default();
    let (mut verifier, host) = worker(&shared);
    for bytes in [vec![], vec![0; 71], vec![0; 73], vec![0xff; 72]] {
        shared.borrow_mut().get_mut(REPLICA_KEYS).unwrap().0 = bytes;
        let nonce = verifier.nonce(&required(), &host).unwrap();
        assert!(ask(&mut verifier, &nonce, &required(), &host).is_ok());
        assert_eq!(shared.borrow()[REPLICA_KEYS].0.len(), 8 + 32 + 32);
    }
}

#[test]
fn rfc2104_3_short_keys_are_refused_and_none_is_shown() {
    assert!(NonceKey::new(vec![7; 31]).is_none());
    assert_eq!(format!("{:?}", NonceKey::new(vec![7; 32]).unwrap()), "NonceKey(..)");
}

#[test]
fn a_replica_nonce_costs_one_read_more() {
    let (mut verifier, host) = worker(&SharedData::default());
    let nonce = verifier.nonce(&required(), &host).unwrap();
    let proof = proof_with(&nonce, &host);
    let host = Watched::new(host);
    assert!(judge(&mut verifier, &proof, &required(), &host).is_ok());
    assert_eq!((host.reads.get(), host.writes.get(), host.others.get()), (2, 1, 0));
}
