//! Which keys of a set may be used (RFC 7517, RFC 7518, RFC 8725).

use serde_json::{Value, json};

use super::support::*;
use crate::host::NativeVerdict;
use crate::host::fake::FakeHost;
use crate::token::{Algorithm, KeySet, KeySetError, TokenError};

fn usable(jwk: &Value, algorithms: &[Algorithm]) -> bool {
    match KeySet::parse(&jwks(std::slice::from_ref(jwk)), algorithms) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error, KeySetError::NoUsableKey);
            false
        }
    }
}

/// An RSA public key of this size; nobody knows its factors, or needs to.
fn rsa(bits: usize, e: &[u8]) -> Value {
    let mut n = vec![0xff; bits / 8];
    *n.first_mut().unwrap() = 0x80;
    json!({"kty": "RSA", "n": encode(n), "e": encode(e)})
}

const F4: [u8; 3] = [1, 0, 1];

#[test]
fn rsa_1024_refused() {
    for (bits, expected) in
        [(1024, false), (2040, false), (2048, true), (4096, true), (4104, false), (8192, false)]
    {
        assert_eq!(usable(&rsa(bits, &F4), &ALL), expected, "{bits}");
    }
}

#[test]
fn rsa_exponent_bounds() {
    let refused: [&[u8]; 6] =
        [&[3], &[1], &[1, 0, 0], &[1, 0, 0, 0, 1], &[0, 1, 0, 1], &[0xff, 0xff]];
    for e in refused {
        assert!(!usable(&rsa(2048, e), &ALL), "{e:?}");
    }
    assert!(usable(&rsa(2048, &[0xff, 0xff, 0xff, 0xff]), &ALL));
}

#[test]
fn rsa_even_modulus_refused() {
    let mut n = vec![0xff; 256];
    *n.last_mut().unwrap() = 0xfe;
    assert!(!usable(&with(rsa(2048, &F4), "n", json!(encode(n))), &ALL));
}

#[test]
fn rfc8725_3_4_point_must_be_on_its_curve() {
    for (crv, length) in [("P-256", 32), ("P-384", 48), ("P-521", 66)] {
        let coordinate = encode(vec![1; length]);
        let jwk = json!({"kty": "EC", "crv": crv, "x": coordinate, "y": coordinate});
        assert!(!usable(&jwk, &ALL), "{crv}");
    }
}

#[test]
fn ed25519_low_order_key_refused() {
    let mut identity = [0; 32];
    *identity.first_mut().unwrap() = 1;
    for x in [identity, [0; 32]] {
        assert!(!usable(&with(jwk(1, "k"), "x", json!(encode(x))), &ALL));
    }
    assert!(usable(&jwk(1, "k"), &ALL));
}

#[test]
fn rfc7517_use_and_key_ops_bind() {
    for (name, value, expected) in [
        ("use", json!("sig"), true),
        ("use", json!("enc"), false),
        ("use", json!(1), false),
        ("key_ops", json!(["verify"]), true),
        ("key_ops", json!(["encrypt"]), false),
        ("key_ops", json!("verify"), false),
    ] {
        assert_eq!(usable(&with(jwk(1, "k"), name, value.clone()), &ALL), expected, "{value}");
    }
}

#[test]
fn published_private_key_refused() {
    assert!(!usable(&with(jwk(1, "k"), "d", json!("AA")), &ALL));
    assert!(!usable(&json!({"kty": "oct", "k": "AAAA", "alg": "HS256"}), &ALL));
}

#[test]
fn rfc8725_3_1_one_key_one_algorithm() {
    // Of the key's kind, and of the issuer's list.
    assert!(!usable(&with(jwk(1, "k"), "alg", json!("RS256")), &ALL));
    assert!(!usable(&with(jwk(1, "k"), "alg", json!("none")), &ALL));
    assert!(!usable(&jwk(1, "k"), &[Algorithm::Es256]));
    assert!(!usable(&with(rsa(2048, &F4), "alg", json!("RS256")), &[Algorithm::Ps256]));
    assert!(!usable(&with(rsa(2048, &F4), "alg", json!("EdDSA")), &ALL));
    assert!(!usable(&rsa(2048, &F4), &[Algorithm::EdDsa]));
    // Without `alg` an RSA key is of the issuer's first RSA algorithm.
    let order = [Algorithm::Es256, Algorithm::Ps384, Algorithm::Rs256];
    let set = KeySet::parse(&jwks(&[rsa(2048, &F4)]), &order).unwrap();
    assert_eq!(set.find(None).unwrap().algorithm(), Algorithm::Ps384);
}

#[test]
fn rfc8725_3_1_a_key_of_two_algorithms_is_of_none() {
    let named =
        |alg: &str, kid: &str| with(with(rsa(2048, &F4), "alg", json!(alg)), "kid", json!(kid));
    let set = |keys: &[Value]| KeySet::parse(&jwks(keys), &ALL);
    let twice = [named("RS256", "a"), named("PS256", "b")];
    assert!(set(&twice).is_err_and(|error| error == KeySetError::NoUsableKey));
    let others = set(&[named("RS256", "a"), named("PS256", "b"), jwk(1, "k1")]).unwrap();
    assert!(others.find(Some("a")).is_none() && others.find(Some("b")).is_none());
    assert!(others.find(Some("k1")).is_some());
    // Two names for one key of one algorithm are two names.
    let aliases = set(&[named("RS256", "a"), named("RS256", "b")]).unwrap();
    assert!(aliases.find(Some("a")).is_some() && aliases.find(Some("b")).is_some());
}

#[test]
fn rfc9864_a_key_may_say_ed25519() {
    for alg in ["EdDSA", "Ed25519"] {
        let keys = [with(jwk(1, "k1"), "alg", json!(alg))];
        for said in ["EdDSA", "Ed25519"] {
            let token = with_header("alg", json!(said));
            assert!(check(&mut inline(&keys), &token, &FakeHost::new()).is_ok(), "{alg} {said}");
        }
    }
    assert!(!usable(&with(jwk(1, "k"), "alg", json!("Ed448")), &ALL));
}

#[test]
fn rfc8037_2_other_curves_are_no_keys() {
    for crv in ["X25519", "Ed448", "X448", "ed25519", "P-256", "secp256k1"] {
        assert!(!usable(&with(jwk(1, "k"), "crv", json!(crv)), &ALL), "{crv}");
    }
    assert!(!usable(&with(jwk(1, "k"), "kty", json!("EC")), &ALL));
    assert!(!usable(&with(jwk(1, "k"), "x", json!(encode([1; 31]))), &ALL));
}

#[test]
fn rfc7517_4_7_certificates_are_not_read() {
    for (name, value) in [
        ("x5c", json!(["not a certificate"])),
        ("x5u", json!("https://attacker.example/cert")),
        ("x5t#S256", json!("x")),
        ("ext", json!(true)),
    ] {
        assert!(usable(&with(jwk(1, "k"), name, value), &ALL), "{name}");
    }
}

#[test]
fn ambiguous_kid_refused() {
    let mut both = inline(&[jwk(1, "k1"), jwk(2, "k1"), jwk(3, "k3")]);
    let host = FakeHost::new();
    for seed in [1, 2] {
        let token = sign(seed, &header(), &claims());
        assert_eq!(check(&mut both, &token, &host).unwrap_err(), TokenError::UnknownKey);
    }
    // The same key published twice is no ambiguity.
    assert!(
        check(&mut inline(&[jwk(1, "k1"), jwk(1, "k1")]), &sign(1, &header(), &claims()), &host)
            .is_ok()
    );
}

#[test]
fn kid_missing_needs_a_sole_key() {
    let host = FakeHost::new();
    let token = with_header("kid", Value::Null);
    assert!(check(&mut authenticator(), &token, &host).is_ok());
    let mut two = inline(&[jwk(1, "k1"), jwk(2, "k2")]);
    assert_eq!(check(&mut two, &token, &host).unwrap_err(), TokenError::UnknownKey);
    let other = with_header("kid", json!("k2"));
    assert_eq!(check(&mut two, &other, &host).unwrap_err(), TokenError::Signature);
    assert_eq!(refusal(&other), TokenError::UnknownKey);
}

#[test]
fn key_set_bounds() {
    let keys: Vec<Value> = (0..65).map(|n| jwk(1, &n.to_string())).collect();
    assert!(KeySet::parse(&jwks(&keys), &ALL).is_err_and(|e| e == KeySetError::TooManyKeys));
    assert!(KeySet::parse(&jwks(keys.split_first().unwrap().1), &ALL).is_ok());
    let not_sets: [&[u8]; 5] = [b"", b"[]", b"{}", br#"{"keys":{}}"#, br#"{"keys":[],"keys":[]}"#];
    for jwks in not_sets {
        assert!(KeySet::parse(jwks, &ALL).is_err_and(|e| e == KeySetError::NotAKeySet));
    }
    assert!(KeySet::parse(&jwks(&[]), &ALL).is_err_and(|e| e == KeySetError::NoUsableKey));
}

#[test]
fn native_verdict_is_not_asked_for_eddsa() {
    let host = FakeHost::new();
    host.native.set(NativeVerdict::Valid);
    // Signed by another key: only the module's verification refuses it.
    let token = sign(2, &header(), &claims());
    assert_eq!(check(&mut authenticator(), &token, &host).unwrap_err(), TokenError::Signature);
}
