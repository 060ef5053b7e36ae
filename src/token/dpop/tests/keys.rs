//! The bounded memory of keys.

use super::*;
use crate::token::dpop::keys::{KnownKeys, MAX_KEYS};
use crate::token::jws::Segments;

fn known(verifier: &ProofVerifier) -> String {
    format!("{verifier:?}")
}

#[test]
fn a_key_is_remembered_once_it_proved_itself() {
    let (mut verifier, host) = worker(&SharedData::default());
    let forged = sign(2, &header(), &claims("1"));
    assert_eq!(judge(&mut verifier, &forged, &policy(), &host).unwrap_err(), ProofError::Signature);
    assert_eq!(known(&verifier), "ProofVerifier { keys: 0, .. }");
    for jti in ["1", "2", "3"] {
        assert!(judge(&mut verifier, &proof(jti), &policy(), &host).is_ok());
    }
    assert_eq!(known(&verifier), "ProofVerifier { keys: 1, .. }");
}

#[test]
fn a_remembered_key_still_has_to_sign() {
    let (mut verifier, host) = worker(&SharedData::default());
    assert!(judge(&mut verifier, &proof("1"), &policy(), &host).is_ok());
    let forged = sign(2, &header(), &claims("2"));
    assert_eq!(judge(&mut verifier, &forged, &policy(), &host).unwrap_err(), ProofError::Signature);
}

#[test]
fn memory_of_keys_is_bounded() {
    let mut keys = KnownKeys::new();
    for number in 0..MAX_KEYS.get() + 10 {
        let proof = sign(1, &with(header(), "kid", json!(number.to_string())), &claims("1"));
        let (header, signer) = keys.signer(&Segments::decode(&proof).unwrap()).unwrap();
        keys.remember(header, signer);
        assert!(keys.len() <= MAX_KEYS.get());
    }
    assert_eq!(keys.len(), MAX_KEYS.get());
}
