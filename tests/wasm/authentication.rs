//! Tokens: every algorithm on both kinds of host, the keys' way into the worker, and
//! where the token's bytes must never be.

use crate::host::{HostFlag, Outcome, Vm};
use crate::support::{
    CALL, MODES, answer, assert_denied, assert_forwarded, assert_serves, assert_withheld, claims,
    configuration, encode, fetch, inline, jwks, pass_fetch_debounce, post, record, remote, send,
    send_good_call, send_headers_that_wait, sign, start, token,
};

use jwt_simple::prelude::{
    Claims, Duration, HeaderOptions, PS256KeyPair, RS256KeyPair, RSAKeyPairLike,
};
use p521::ecdsa::signature::Signer as _;
use serde_json::{Value, json};

/// A signer: the algorithm, its public key, and a function from signing input or claims.
struct Algorithm {
    jwk: Value,
    token: Box<dyn Fn(&Value) -> String>,
}

fn algorithms() -> Vec<Algorithm> {
    macro_rules! ecdsa {
        ($curve:ident, $size:literal, $crv:literal, $alg:literal) => {{
            let mut secret = [7; $size];
            secret[0] = 0;
            let key = $curve::ecdsa::SigningKey::from_slice(&secret).unwrap();
            let point = key.verifying_key().to_sec1_point(false).to_bytes();
            let [x, y] = [&point[1..=$size], &point[$size + 1..]].map(encode);
            Algorithm {
                jwk: json!({ "kty": "EC", "crv": $crv, "kid": $alg, "x": x, "y": y }),
                token: Box::new(move |claims| {
                    let header = json!({ "alg": $alg, "typ": "at+jwt", "kid": $alg });
                    let input =
                        format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
                    let signature: $curve::ecdsa::Signature = key.sign(input.as_bytes());
                    format!("{input}.{}", encode(signature.to_bytes()))
                }),
            }
        }};
    }
    let ed25519 =
        Algorithm { jwk: crate::support::jwk("k1"), token: Box::new(|claims| sign("k1", claims)) };
    // One key has one algorithm.
    let rsa = RS256KeyPair::generate(2048).unwrap().with_key_id("RS256");
    let pss = PS256KeyPair::generate(2048).unwrap().with_key_id("PS256");
    let [rs256, ps256] =
        [("RS256", rsa.public_key().to_components()), ("PS256", pss.public_key().to_components())]
            .map(|(alg, components)| {
                let [n, e] = [&components.n, &components.e].map(encode);
                json!({ "kty": "RSA", "alg": alg, "kid": alg, "n": n, "e": e })
            });
    vec![
        ecdsa!(p256, 32, "P-256", "ES256"),
        ecdsa!(p384, 48, "P-384", "ES384"),
        ecdsa!(p521, 66, "P-521", "ES512"),
        Algorithm { jwk: rs256, token: Box::new(move |claims| sign_rsa(&rsa, claims)) },
        Algorithm { jwk: ps256, token: Box::new(move |claims| sign_rsa(&pss, claims)) },
        ed25519,
    ]
}

fn sign_rsa(key: &impl RSAKeyPairLike, claims: &Value) -> String {
    let mut empty = Claims::with_custom_claims(claims.clone(), Duration::from_mins(1));
    empty.issued_at = None;
    empty.expires_at = None;
    empty.invalid_before = None;
    let options =
        HeaderOptions { signature_type: Some("at+jwt".into()), ..HeaderOptions::default() };
    key.sign_with_options(empty, &options).unwrap()
}

/// The token with one bit of its signature changed.
fn forged(token: &str) -> String {
    let (input, signature) = token.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{input}.{first}{}", &signature[1..])
}

#[test]
fn native_verification_and_the_modules_own_give_the_same_verdicts() {
    let algorithms = algorithms();
    let keys: Vec<_> = algorithms.iter().map(|algorithm| algorithm.jwk.clone()).collect();
    for native in [true, false] {
        let vm = Vm::with(HostFlag::StopIteration)
            .native_verification(native)
            .start(configuration("hold", json!({ "keys": keys })))
            .unwrap();
        for algorithm in &algorithms {
            let token = (algorithm.token)(&claims(&vm, "docs.read"));
            let stream = send(&vm, post(&forged(&token)), CALL);
            assert_denied(&stream, "hold", 401);
            assert_forwarded(&send(&vm, post(&token), CALL));
            // The signature of other claims.
            let other = (algorithm.token)(&claims(&vm, "docs.write"));
            let (input, _) = token.rsplit_once('.').unwrap();
            let (_, signature) = other.rsplit_once('.').unwrap();
            let stream = send(&vm, post(&format!("{input}.{signature}")), CALL);
            assert_denied(&stream, "hold", 401);
        }
    }
}

#[test]
fn the_host_verifies_what_it_can() {
    let algorithms = algorithms();
    let keys: Vec<_> = algorithms.iter().map(|algorithm| algorithm.jwk.clone()).collect();
    let vm = Vm::start(configuration("stream", json!({ "keys": keys }))).unwrap();
    for algorithm in &algorithms {
        let before = vm.count_calls("proxy_call_foreign_function");
        send(&vm, post(&(algorithm.token)(&claims(&vm, "docs.read"))), CALL);
        let native = vm.count_calls("proxy_call_foreign_function") > before;
        let kid = algorithm.jwk["kid"].as_str().unwrap();
        assert_eq!(native, !matches!(kid, "PS256" | "k1"), "{kid}");
    }
}

#[test]
fn keys_are_fetched_by_the_first_tick_and_wait_for_no_request() {
    for (flag, mode) in MODES {
        let vm = Vm::with(flag).start(remote(mode)).unwrap();
        assert!(vm.callouts().is_empty(), "a callout that no tick made dies with its stream");
        fetch(&vm, 200, jwks(&["k1"]));
        let callout = &vm.callouts()[0];
        assert_eq!(callout.cluster, "idp");
        assert_eq!(callout.headers.get(":authority"), Some("idp.example.com"));
        assert_eq!(callout.headers.get(":path"), Some("/jwks"));
        assert_serves(&vm);
        assert_eq!(vm.metric("countersign.fetches.keys.succeeded"), 1);
    }
}

#[test]
fn a_call_that_waited_for_keys_passes_once_they_are_there() {
    for (flag, mode) in MODES {
        let vm = Vm::with(flag).start(remote(mode)).unwrap();
        let stream = send_headers_that_wait(&vm);
        stream.request_body(CALL, true);
        fetch(&vm, 200, jwks(&["k1"]));
        assert_forwarded(&stream);
        assert_eq!(stream.upstream().text(), CALL);
        answer(&stream);
        assert_eq!(stream.downstream().status(), Some(200));
    }
}

#[test]
fn an_unknown_kid_waits_for_one_fetch_and_is_then_denied() {
    for (flag, mode) in MODES {
        let vm = Vm::with(flag).start(remote(mode)).unwrap();
        fetch(&vm, 200, jwks(&["k1"]));
        pass_fetch_debounce(&vm);
        let unknown = sign("k2", &claims(&vm, "docs.read"));
        let streams = [0, 1].map(|_| {
            let stream = vm.stream();
            assert_eq!(stream.request_headers(post(&unknown), false), Outcome::Pause);
            stream
        });
        fetch(&vm, 200, jwks(&["k1"]));
        for stream in &streams {
            assert_denied(stream, "hold", 401);
        }
        assert_eq!(vm.callouts().len(), 2, "one fetch for both");
        // No second fetch within the debounce time, and no waiting for it.
        assert_denied(&send(&vm, post(&unknown), CALL), "hold", 401);
        vm.tick();
        assert_eq!(vm.callouts().len(), 2);
        assert_serves(&vm);
    }
}

#[test]
fn a_rotated_key_is_found_by_that_fetch() {
    let vm = Vm::start(remote("stream")).unwrap();
    fetch(&vm, 200, jwks(&["k1"]));
    pass_fetch_debounce(&vm);
    let stream = send(&vm, post(&sign("k2", &claims(&vm, "docs.read"))), CALL);
    assert_withheld(&stream, "hold");
    fetch(&vm, 200, jwks(&["k2"]));
    assert_forwarded(&stream);
    // The withdrawn key's token is worth no more, although it was never seen to expire.
    pass_fetch_debounce(&vm);
    let old = send(&vm, post(&token(&vm, "docs.read")), CALL);
    fetch(&vm, 200, jwks(&["k2"]));
    assert_denied(&old, "hold", 401);
}

#[test]
fn a_failed_fetch_is_a_503() {
    let answers: [fn(&Vm); 5] = [
        |vm| vm.fail_callout(&vm.pending_callouts()[0]),
        |vm| vm.time_out_callout(&vm.pending_callouts()[0]),
        |vm| vm.answer(&vm.pending_callouts()[0], 200, [("a", "b")], "{\"keys\":"),
        |vm| vm.answer(&vm.pending_callouts()[0], 500, [("a", "b")], jwks(&["k1"])),
        // Lost: the worker gives it up.
        |vm| {
            vm.advance(std::time::Duration::from_secs(11));
            vm.tick();
        },
    ];
    for (flag, mode) in MODES {
        for fail in answers {
            let vm = Vm::with(flag).start(remote(mode)).unwrap();
            let stream = send_headers_that_wait(&vm);
            vm.tick();
            fail(&vm);
            assert_denied(&stream, "hold", 503);
            assert_eq!(vm.metric("countersign.fetches.keys.failed"), 1);
            stream.finish();
            assert_eq!(record(&stream)["code"], "keys_unavailable");
        }
    }
}

#[test]
fn a_fetch_that_cannot_be_sent_is_a_503() {
    let vm =
        Vm::with(HostFlag::StopIteration).without_cluster("idp").start(remote("hold")).unwrap();
    let stream = send_headers_that_wait(&vm);
    vm.tick();
    assert_denied(&stream, "hold", 503);
}

#[test]
fn a_verified_token_is_remembered_until_it_expires() {
    let vm = start(HostFlag::Default, "stream");
    let token = token(&vm, "docs.read");
    for hits in 0..3 {
        assert_forwarded(&send(&vm, post(&token), CALL));
        assert_eq!(vm.metric("countersign.token_cache.hits"), hits);
    }
    assert_eq!(vm.metric("countersign.token_cache.misses"), 1);
    vm.advance(std::time::Duration::from_secs(700));
    assert_denied(&send(&vm, post(&token), CALL), "hold", 401);
}

#[test]
fn a_tokens_bytes_go_nowhere() {
    for (flag, mode) in MODES {
        for document in [inline(mode), remote(mode)] {
            let vm = Vm::with(flag).start(&document).unwrap();
            if document == remote(mode) {
                fetch(&vm, 200, jwks(&["k1"]));
            }
            let good = token(&vm, "docs.read");
            let tokens = [
                good.clone(),
                forged(&good),
                token(&vm, "other"),
                format!("{good}.more"),
                sign("k9", &claims(&vm, "docs.read")),
            ];
            for token in tokens {
                let stream = send(&vm, post(&token), CALL);
                if stream.upstream().ended() {
                    answer(&stream);
                } else {
                    stream.finish();
                }
                let state = stream.filter_state();
                let state = state.values().map(|value| String::from_utf8_lossy(value).into_owned());
                let calls = vm.calls();
                let told = calls.iter().map(|call| call.arguments.clone());
                let logged = vm.log().into_iter().map(|line| line.message);
                let metrics = vm.metrics().into_keys();
                let wires = [stream.upstream(), stream.downstream()].map(|w| format!("{w:?}"));
                let everything: Vec<_> =
                    told.chain(state).chain(logged).chain(metrics).chain(wires).collect();
                let (_, signature) = token.rsplit_once('.').unwrap();
                let claims = token.split('.').nth(1).unwrap();
                for secret in [token.as_str(), claims, signature].iter().filter(|s| s.len() > 8) {
                    let leak = everything.iter().find(|text| text.contains(secret));
                    assert_eq!(leak, None, "{secret}");
                }
            }
            assert!(send_good_call(&vm).upstream().ended());
        }
    }
}
