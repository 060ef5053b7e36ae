//! Every algorithm, in the module and by the host, against an independent implementation.

use std::sync::LazyLock;
use std::time::SystemTime;

use jwt_simple::prelude::*;
use p521::ecdsa::signature::Signer as _;
use serde_json::json;

use super::support::*;
use crate::host::fake::FakeHost;
use crate::host::{Host, NativeVerdict};
use crate::token::TokenError;

/// One RSA key for all tests: making one takes long.
static RSA: LazyLock<Vec<u8>> =
    LazyLock::new(|| RS256KeyPair::generate(2048).unwrap().to_der().unwrap());

#[derive(Serialize, Deserialize)]
struct Rfc9068 {
    client_id: String,
    scope: String,
}

fn at_jwt() -> HeaderOptions {
    HeaderOptions { signature_type: Some("at+jwt".to_owned()), ..HeaderOptions::default() }
}

fn their_claims() -> JWTClaims<Rfc9068> {
    let extra = Rfc9068 { client_id: "agent".to_owned(), scope: "docs.read".to_owned() };
    Claims::with_custom_claims(extra, Duration::from_mins(5))
        .with_issuer(ISSUER)
        .with_subject("alice")
        .with_audience(AUDIENCE)
        .with_jwt_id("t1")
}

/// A token, its key set, and what the other implementation says of a token.
struct Case {
    name: &'static str,
    token: String,
    jwk: serde_json::Value,
    they_accept: Box<dyn Fn(&str) -> bool>,
}

macro_rules! case {
    ($name:literal, $key:expr) => {{
        let key = $key.with_key_id("k1");
        let public = key.public_key();
        Case {
            name: $name,
            token: key.sign_with_options(their_claims(), &at_jwt()).unwrap(),
            jwk: serde_json::from_str(&public.to_jwk()).unwrap(),
            they_accept: Box::new(move |t| public.verify_token::<Rfc9068>(t, None).is_ok()),
        }
    }};
}

fn cases() -> Vec<Case> {
    vec![
        case!("ES256", ES256KeyPair::generate()),
        case!("ES384", ES384KeyPair::generate()),
        case!("EdDSA", Ed25519KeyPair::generate()),
        case!("RS256", RS256KeyPair::from_der(&RSA).unwrap()),
        case!("RS384", RS384KeyPair::from_der(&RSA).unwrap()),
        case!("RS512", RS512KeyPair::from_der(&RSA).unwrap()),
        case!("PS256", PS256KeyPair::from_der(&RSA).unwrap()),
        case!("PS384", PS384KeyPair::from_der(&RSA).unwrap()),
        case!("PS512", PS512KeyPair::from_der(&RSA).unwrap()),
    ]
}

fn today() -> FakeHost {
    let host = FakeHost::new();
    #[expect(clippy::disallowed_methods, reason = "jwt-simple has no other clock")]
    host.now.set(SystemTime::now());
    host
}

/// `token` with one bit of the byte `back` places before the end of its decoded signature changed.
fn tampered(token: &str, back: usize) -> String {
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let (input, signature) = token.rsplit_once('.').unwrap();
    let mut signature = engine.decode(signature).unwrap();
    let position = signature.len() - 1 - back;
    *signature.get_mut(position).unwrap() ^= 1;
    format!("{input}.{}", encode(signature))
}

#[test]
fn jwt_simple_agrees_on_valid_and_tampered_tokens() {
    let hosts: [Box<dyn Host>; 2] = [Box::new(today()), Box::new(NativeHost(today()))];
    for case in cases() {
        // Their JWK says whose algorithm it is; without `alg` an RSA key would be RS256.
        let keys = [with(case.jwk.clone(), "alg", json!(case.name))];
        for host in &hosts {
            let ours = |token: &str| check(&mut inline(&keys), token, host.as_ref());
            let token = &case.token;
            assert_eq!(ours(token).unwrap().subject, "alice", "{}", case.name);
            assert!((case.they_accept)(token));
            for back in [0, 20, 40, 63] {
                let tampered = tampered(token, back);
                assert_eq!(ours(&tampered).unwrap_err(), TokenError::Signature, "{}", case.name);
                assert!(!(case.they_accept)(&tampered));
            }
            let other = token.replacen(".ey", ".e3", 1);
            assert!(ours(&other).is_err() && !(case.they_accept)(&other), "{}", case.name);
        }
    }
}

#[test]
fn rfc8725_3_1_rsa_key_verifies_its_algorithm_only() {
    let cases: Vec<Case> = cases().into_iter().filter(|case| case.jwk["kty"] == "RSA").collect();
    for key in &cases {
        let keys = [with(key.jwk.clone(), "alg", json!(key.name))];
        for token in cases.iter().filter(|token| token.name != key.name) {
            let refused = check(&mut inline(&keys), &token.token, &today()).unwrap_err();
            assert_eq!(refused, TokenError::Algorithm, "{} {}", key.name, token.name);
        }
    }
}

#[test]
fn es512_in_the_module_and_by_the_host() {
    let key = p521::ecdsa::SigningKey::from_slice(&[vec![0], vec![7; 65]].concat()).unwrap();
    let point = key.verifying_key().to_sec1_point(false);
    let (x, y) = (encode(point.x().unwrap()), encode(point.y().unwrap()));
    let jwk = json!({"kty": "EC", "crv": "P-521", "kid": "k1", "x": x, "y": y});
    let input = signing_input(&with(header(), "alg", json!("ES512")), &claims());
    let signature: p521::ecdsa::Signature = key.sign(input.as_bytes());
    let token = format!("{input}.{}", encode(signature.to_bytes()));
    let hosts: [Box<dyn Host>; 2] =
        [Box::new(FakeHost::new()), Box::new(NativeHost(FakeHost::new()))];
    for host in &hosts {
        let ours = |token: &str| {
            check(&mut inline(std::slice::from_ref(&jwk)), token, host.as_ref()).map(|_| ())
        };
        assert_eq!(ours(&token), Ok(()));
        assert_eq!(ours(&tampered(&token, 0)), Err(TokenError::Signature));
        assert_eq!(ours(&tampered(&token, 70)), Err(TokenError::Signature));
    }
}

#[test]
fn native_invalid_is_final() {
    for case in cases() {
        let host = today();
        host.native.set(NativeVerdict::Invalid);
        let keys = [with(case.jwk.clone(), "alg", json!(case.name))];
        let outcome = check(&mut inline(&keys), &case.token, &host);
        // What the host cannot verify it is not asked.
        let in_module = case.name.starts_with("PS") || case.name == "EdDSA";
        assert_eq!(outcome.is_ok(), in_module, "{}", case.name);
    }
}

#[test]
fn rfc7518_3_4_signature_length_is_exact() {
    for case in cases().iter().filter(|case| case.name.starts_with("ES")) {
        let keys = [with(case.jwk.clone(), "alg", json!(case.name))];
        let (input, signature) = case.token.rsplit_once('.').unwrap();
        let host = today();
        // A host that says yes to everything it is asked.
        host.native.set(NativeVerdict::Valid);
        for signature in
            [String::new(), encode([0; 64]), encode([0; 96]), format!("{signature}AAAA")]
        {
            let token = format!("{input}.{signature}");
            assert_eq!(
                check(&mut inline(&keys), &token, &host).unwrap_err(),
                TokenError::Signature,
                "{}",
                case.name
            );
        }
    }
}
