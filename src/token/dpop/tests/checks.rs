//! RFC 9449 section 4.3, check by check.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::host::{Counter, NativeVerdict};
use crate::token::Algorithm;

fn with_header(name: &str, member: Value) -> String {
    sign(1, &with(header(), name, member), &claims("1"))
}

fn with_claim(name: &str, member: Value) -> String {
    sign(1, &header(), &with(claims("1"), name, member))
}

#[test]
fn a_good_proof_is_accepted_and_gets_no_nonce_it_did_not_ask_for() {
    assert_eq!(verdict(&proof("1")).unwrap().nonce, None);
}

#[test]
fn rfc9449_4_3_2_one_well_formed_jwt() {
    let good = proof("1");
    let two = format!("{good},{good}");
    let padded = format!("{good}=");
    let (header, rest) = good.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let not_json = format!("{header}.{}.{signature}", encode("jti"));
    let not_object = sign_raw(1, &super::header().to_string(), "[]");
    for proof in ["", ".", "..", "not a jwt", rest, &two, &padded, &not_json, &not_object] {
        assert!(matches!(refusal(proof), ProofError::Malformed(_)), "{proof}");
    }
}

#[test]
fn proofs_are_bounded() {
    let padding = |length| with_claim("padding", json!("p".repeat(length)));
    let fits = (0..8192).rev().find(|length| padding(*length).len() <= 8192).unwrap();
    assert!(verdict(&padding(fits)).is_ok());
    assert_eq!(refusal(&padding(fits + 3)), ProofError::Malformed("too long"));
}

#[test]
fn duplicate_names_are_refused_and_unknown_ones_ignored() {
    assert!(verdict(&with_claim("amr", json!({"x": []}))).is_ok());
    assert!(verdict(&with_header("kid", json!("k1"))).is_ok());
    let twice = claims("1").to_string().replacen('{', r#"{"jti":"0","#, 1);
    let twice = sign_raw(1, &header().to_string(), &twice);
    assert!(matches!(refusal(&twice), ProofError::Malformed(_)));
    let twice = header().to_string().replacen('{', r#"{"alg":"EdDSA","#, 1);
    let twice = sign_raw(1, &twice, &claims("1").to_string());
    assert!(matches!(refusal(&twice), ProofError::Malformed(_)));
}

#[test]
fn rfc9449_4_3_3_required_claims() {
    for name in ["jti", "htm", "htu", "iat", "ath"] {
        for member in [Value::Null, json!(true), json!({}), json!([name])] {
            let refused = refusal(&with_claim(name, member.clone()));
            assert_eq!(refused, ProofError::Claim(name), "{member}");
        }
    }
    assert_eq!(refusal(&with_claim("nonce", json!(1))), ProofError::Claim("nonce"));
}

#[test]
fn rfc9449_4_3_4_type() {
    for typ in ["dpop+jwt", "DPoP+JWT", "application/dpop+jwt", "Application/DPOP+jwt"] {
        assert!(verdict(&with_header("typ", json!(typ))).is_ok(), "{typ}");
    }
    for typ in ["jwt", "JWT", "at+jwt", "dpop", "dpop+jwt ", "text/dpop+jwt", ""] {
        assert_eq!(refusal(&with_header("typ", json!(typ))), ProofError::Type, "{typ}");
    }
    assert_eq!(refusal(&with_header("typ", Value::Null)), ProofError::Type);
}

#[test]
fn rfc9449_4_3_5_algorithm() {
    for alg in ["none", "None", "HS256", "HS512", "ES256K", "eddsa", "RSA-OAEP"] {
        assert_eq!(refusal(&with_header("alg", json!(alg))), ProofError::Algorithm, "{alg}");
    }
    assert!(matches!(refusal(&with_header("alg", Value::Null)), ProofError::Malformed(_)));
    assert_eq!(refusal(&with_header("alg", json!("ES256"))), ProofError::Key, "not of this key");
    assert!(verdict(&with_header("alg", json!("Ed25519"))).is_ok(), "RFC 9864");

    let (mut verifier, host) = worker(&SharedData::default());
    let only = DpopPolicy { algorithms: vec![Algorithm::Es256], ..policy() };
    assert_eq!(judge(&mut verifier, &proof("1"), &only, &host).unwrap_err(), ProofError::Algorithm);
    assert!(judge(&mut verifier, &proof("1"), &policy(), &host).is_ok());
    let known = judge(&mut verifier, &proof("2"), &only, &host);
    assert_eq!(known.unwrap_err(), ProofError::Algorithm, "also of a key that is known");
}

#[test]
fn rfc9449_4_3_6_signature() {
    let other_key = sign(2, &header(), &claims("1"));
    assert_eq!(refusal(&other_key), ProofError::Signature);
    let good = proof("1");
    let (input, _) = good.rsplit_once('.').unwrap();
    for signature in [vec![], vec![0; 64], vec![0; 63]] {
        assert_eq!(refusal(&format!("{input}.{}", encode(signature))), ProofError::Signature);
    }
    let (head, rest) = good.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let other = format!("{head}.{}.{signature}", encode(claims("2").to_string()));
    assert_eq!(refusal(&other), ProofError::Signature);
}

#[test]
fn rfc9449_4_3_7_private_key() {
    let private = with(jwk(1, "k1"), "d", json!(encode([1; 32])));
    assert_eq!(refusal(&with_header("jwk", private)), ProofError::Key);
    let symmetric = json!({"kty": "oct", "k": encode([1; 32])});
    assert_eq!(refusal(&with_header("jwk", symmetric)), ProofError::Key);
}

#[test]
fn unusable_keys_are_refused() {
    assert_eq!(refusal(&with_header("jwk", Value::Null)), ProofError::Key);
    let coordinate = encode([1; 32]);
    for jwk in [
        json!("key"),
        json!({}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": encode([0; 32])}),
        json!({"kty": "OKP", "crv": "X25519", "x": encode([9; 32])}),
        json!({"kty": "EC", "crv": "P-256", "x": coordinate, "y": coordinate}),
        with(jwk(1, "k1"), "use", json!("enc")),
        with(jwk(1, "k1"), "key_ops", json!(["sign"])),
        with(jwk(1, "k1"), "alg", json!("ES256")),
    ] {
        assert_eq!(refusal(&with_header("jwk", jwk.clone())), ProofError::Key, "{jwk}");
    }
    let small = json!({"kty": "RSA", "e": "AQAB", "n": encode([0xff; 128])});
    let header = with(with(header(), "jwk", small), "alg", json!("RS256"));
    assert_eq!(refusal(&sign(1, &header, &claims("1"))), ProofError::Key, "RSA of 1024 bits");
}

#[test]
fn rfc7515_4_1_11_crit_and_other_keys_are_refused() {
    for (name, member) in
        [("crit", json!(["exp"])), ("b64", json!(false)), ("x5c", json!(["MIIB"]))]
    {
        assert!(matches!(refusal(&with_header(name, member)), ProofError::Malformed(_)), "{name}");
    }
}

#[test]
fn rfc9449_4_3_8_method_is_compared_exactly() {
    for method in ["GET", "post", "POST ", ""] {
        assert_eq!(refusal(&with_claim("htm", json!(method))), ProofError::Method, "{method}");
    }
}

#[test]
fn rfc9449_4_3_11_made_now() {
    let at = |iat: Value| verdict(&with_claim("iat", iat)).map(drop);
    for iat in [json!(now() - 300), json!(now() + 300), json!(now() as f64 - 299.5)] {
        assert_eq!(at(iat.clone()), Ok(()), "{iat}");
    }
    for iat in [
        json!(now() - 301),
        json!(now() + 301),
        json!(now() - 303),
        json!(now() + 303),
        json!(now() as f64 - 300.5),
        json!(now() as f64 + 300.5),
        json!(0),
        json!(now() * 1000),
        json!(u64::MAX),
    ] {
        assert_eq!(at(iat.clone()), Err(ProofError::Time), "{iat}");
    }
    for iat in [json!(now().to_string()), json!(-1), json!(-0.5), json!(1e300)] {
        assert_eq!(at(iat.clone()), Err(ProofError::Claim("iat")), "{iat}");
    }
}

#[test]
fn rfc9449_4_3_12_access_token() {
    let other = encode(Sha256::digest("another.access.token"));
    for ath in [other.as_str(), TOKEN, "", &format!("{}=", encode(Sha256::digest(TOKEN)))] {
        assert_eq!(refusal(&with_claim("ath", json!(ath))), ProofError::AccessToken, "{ath}");
    }
}

#[test]
fn rfc9449_6_1_the_key_the_token_is_bound_to() {
    let stolen = sign(2, &with(header(), "jwk", jwk(2, "k1")), &claims("1"));
    assert_eq!(refusal(&stolen), ProofError::Thumbprint);
}

#[test]
fn rfc9449_11_1_jti_is_bounded() {
    assert!(verdict(&proof(&"j".repeat(256))).is_ok());
    for jti in [String::new(), "j".repeat(257)] {
        assert_eq!(refusal(&proof(&jti)), ProofError::Claim("jti"), "{}", jti.len());
    }
}

#[test]
fn a_refused_proof_is_not_recorded() {
    let shared = SharedData::default();
    let (mut verifier, host) = worker(&shared);
    let before = shared.borrow().clone();
    let forged = sign(2, &header(), &claims("1"));
    let late = with_claim("iat", json!(now() - 301));
    for refused in [forged, late, with_claim("htm", json!("GET"))] {
        assert!(judge(&mut verifier, &refused, &policy(), &host).is_err());
    }
    assert_eq!(*shared.borrow(), before);
    assert!(judge(&mut verifier, &proof("1"), &policy(), &host).is_ok());
    assert!(!host.counters.borrow().contains(&Counter::ProofReplayed));
}

#[test]
fn the_host_verifies_where_it_can_and_its_word_is_final() {
    let (mut verifier, host) = worker(&SharedData::default());
    let (proof, expected) = es256("1", &policy());
    let mut judge = |native| {
        host.native.set(native);
        let token = TokenDigest::of(TOKEN);
        let policy = policy();
        let expected =
            Expected { method: "POST", policy: &policy, token: &token, thumbprint: expected };
        verifier.verify(&proof, &expected, &host).map(drop)
    };
    assert_eq!(judge(NativeVerdict::Invalid), Err(ProofError::Signature));
    assert_eq!(judge(NativeVerdict::Valid), Ok(()));
    assert_eq!(judge(NativeVerdict::Valid), Err(ProofError::Replayed));
}

#[test]
fn es256_in_the_module_and_by_the_host() {
    let (proof, thumbprint) = es256("1", &policy());
    let token = TokenDigest::of(TOKEN);
    let policy = policy();
    let expected = Expected { method: "POST", policy: &policy, token: &token, thumbprint };
    let (mut verifier, host) = worker(&SharedData::default());
    assert!(verifier.verify(&proof, &expected, &host).is_ok());
    let (mut verifier, host) = worker(&SharedData::default());
    assert!(verifier.verify(&proof, &expected, &NativeHost(host)).is_ok());
}

#[test]
fn a_clock_before_1970_proves_nothing() {
    let (mut verifier, host) = worker(&SharedData::default());
    host.now.set(SystemTime::UNIX_EPOCH - Duration::from_secs(1));
    assert_eq!(judge(&mut verifier, &proof("1"), &policy(), &host).unwrap_err(), ProofError::Time);
}

/// A proof signed with a P-256 key, and the thumbprint of that key.
fn es256(jti: &str, policy: &DpopPolicy) -> (String, Thumbprint) {
    use p256::ecdsa::signature::Signer as _;
    assert!(policy.algorithms.contains(&Algorithm::Es256));
    let key = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
    let point = key.verifying_key().to_sec1_point(false);
    let (x, y) = (encode(point.x().unwrap()), encode(point.y().unwrap()));
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y});
    let thumbprint = Thumbprint(Sha256::digest(jwk.to_string()).into());
    let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk});
    let input = signing_input(&header, &claims(jti));
    let signature: p256::ecdsa::Signature = key.sign(input.as_bytes());
    (format!("{input}.{}", encode(signature.to_bytes())), thumbprint)
}
