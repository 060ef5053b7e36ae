//! Tokens bound to their sender: what is challenged, what is proved, what is handed on.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::driver::*;
use crate::gate::*;
use crate::host::fake::{FakeHost, START};

const BEARER: &str =
    "Bearer resource_metadata=\"https://mcp.example/.well-known/oauth-protected-resource/mcp\"";
const DPOP: &str =
    "DPoP resource_metadata=\"https://mcp.example/.well-known/oauth-protected-resource/mcp\"";
const SCOPE: &str = ", scope=\"docs.list docs.read\"";
const ALGS: &str = ", algs=\"EdDSA\"";

/// A server that takes proofs.
fn proving(mode: HostMode, dpop: &str, nonce: &str) -> Value {
    let mut config = config(mode);
    let server = &mut config["servers"][0];
    server["dpop"] = json!({ "mode": dpop, "algorithms": ["EdDSA"], "nonce": { "mode": nonce } });
    config
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The public key of a seed, its members in the order of RFC 7638.
fn jwk(seed: u8) -> String {
    let x = encode(SigningKey::from_bytes(&[seed; 32]).verifying_key().as_bytes());
    format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)
}

/// A token bound to the key of seed 1.
fn bound(scope: &str) -> String {
    let mut claims = claims(scope);
    claims["cnf"] = json!({ "jkt": encode(Sha256::digest(jwk(1))) });
    sign(claims, "at+jwt")
}

/// A proof for a POST with this token, by the key of `seed`.
fn proof(seed: u8, jti: &str, token: &str, nonce: Option<&str>) -> String {
    proof_at(START.as_secs(), seed, jti, token, nonce)
}

fn proof_at(iat: u64, seed: u8, jti: &str, token: &str, nonce: Option<&str>) -> String {
    proof_to(RESOURCE, iat, seed, jti, token, nonce)
}

fn proof_to(url: &str, iat: u64, seed: u8, jti: &str, token: &str, nonce: Option<&str>) -> String {
    let header = format!(r#"{{"typ":"dpop+jwt","alg":"EdDSA","jwk":{}}}"#, jwk(seed));
    let mut claims = json!({
        "jti": jti, "htm": "POST", "htu": url, "iat": iat,
        "ath": encode(Sha256::digest(token)),
    });
    if let Some(nonce) = nonce {
        claims["nonce"] = json!(nonce);
    }
    let input = format!("{}.{}", encode(header), encode(claims.to_string()));
    let signature = SigningKey::from_bytes(&[seed; 32]).sign(input.as_bytes());
    format!("{input}.{}", encode(signature.to_bytes()))
}

fn with_proof(token: &str, proof: &str) -> Request {
    Request::post("").with("authorization", format!("DPoP {token}")).with("dpop", proof)
}

/// All values of a reply's `WWW-Authenticate`.
fn challenges(reply: &LocalReply) -> Vec<&str> {
    let lines = reply.headers.iter().filter(|(name, _)| *name == "www-authenticate");
    lines.map(|(_, value)| value.as_str()).collect()
}

#[test]
fn rfc9449_4_3_a_proof_for_a_message_of_http_sse_names_its_url() {
    let mut config = proving(HostMode::Hold, "required", "off");
    config["servers"][0]["http_sse"] = json!({ "messages_path": "/messages" });
    let mut driver = Driver::of(&config);
    let token = bound("docs.read");
    let path = format!("/messages?sessionId={}", sealed_in_url("session_id=1"));
    let mut arrive = |path: &str, url: &str| {
        let proof = proof_to(url, START.as_secs(), 1, url, &token, None);
        let effects = driver.request(&with_proof(&token, &proof).with(":path", path));
        effects.reply.map(|_| driver.done()["code"].clone())
    };
    assert_eq!(arrive(&path, "https://mcp.example/messages"), None);
    assert_eq!(arrive(&path, RESOURCE), Some(json!("dpop_htu")));
    assert_eq!(arrive("/mcp", RESOURCE), None);
    assert_eq!(arrive("/mcp", "https://mcp.example/messages#"), Some(json!("dpop_htu")));
}

#[test]
fn rfc9449_7_1_a_proof_is_proved_once_and_goes_no_further() {
    for mode in BOTH_MODES {
        let mut driver = Driver::of(&proving(mode, "required", "off"));
        let token = bound("docs.read");
        let request = with_proof(&token, &proof(1, "a", &token, None));
        let arrived = driver.request(&request);
        let decided = driver.body(&call("search"), true);
        assert_eq!(decided.flow, Flow::Continue);
        let edits = if mode == HostMode::Hold { decided } else { arrived }.request_headers;
        for name in ["authorization", "dpop"] {
            assert!(edits.contains(&HeaderEdit::Remove(name.to_owned())), "{name}");
        }
        let record = driver.done();
        assert_eq!(record["outcome"], "allow");
        assert_eq!(record["sender"], "dpop");
        assert_eq!(record["dpop_key"], encode(Sha256::digest(jwk(1))));

        // RFC 9449 section 11.1.
        let effects = driver.request(&request);
        let reply = driver.denied(effects, 401, "dpop_replay");
        assert_eq!(
            challenges(&reply),
            [
                format!("{BEARER}{SCOPE}"),
                format!("{DPOP}, error=\"invalid_dpop_proof\"{SCOPE}{ALGS}"),
            ]
        );
        // A new proof is another matter.
        let again = with_proof(&token, &proof(1, "b", &token, None));
        driver.request(&again);
        assert_eq!(driver.body(&call("search"), true).flow, Flow::Continue);
    }
}

#[test]
fn a_replay_is_seen_by_every_worker_of_the_proxy() {
    let config = proving(HostMode::Hold, "required", "off");
    let mut one = Driver::of(&config);
    let mut another = Driver::of(&config);
    another.host = FakeHost::worker(&one.host.shared);
    another.worker.prepare(&another.host).unwrap();
    let token = bound("docs.read");
    let request = with_proof(&token, &proof(1, "a", &token, None));
    assert!(one.request(&request).reply.is_none());
    let effects = another.request(&request);
    another.denied(effects, 401, "dpop_replay");
}

#[test]
fn rfc9449_7_2_no_downgrade_and_no_mixture() {
    let token = bound("docs.read");
    let unbound = super::driver::token("docs.read");
    let proof = proof(1, "a", &token, None);
    let bearer = |token: &str| Request::post(token);
    let dpop = |token: &str| Request::post("").with("authorization", format!("DPoP {token}"));
    let invalid = [
        format!("{BEARER}, error=\"invalid_token\"{SCOPE}"),
        format!("{DPOP}, error=\"invalid_token\"{SCOPE}{ALGS}"),
    ];
    let mixed = [
        format!("{BEARER}, error=\"invalid_request\"{SCOPE}"),
        format!("{DPOP}, error=\"invalid_request\"{SCOPE}{ALGS}"),
    ];
    let bad_proof =
        [format!("{BEARER}{SCOPE}"), format!("{DPOP}, error=\"invalid_dpop_proof\"{SCOPE}{ALGS}")];
    let missing = [format!("{BEARER}{SCOPE}"), format!("{DPOP}{SCOPE}{ALGS}")];
    let both = format!("Bearer {unbound}, DPoP {token}");
    for (request, status, code, lines) in [
        (bearer(&token), 401, "dpop_downgrade", &invalid),
        (bearer(&token).with("dpop", &proof), 400, "credentials_mixed", &mixed),
        (bearer(&unbound).with("dpop", &proof), 400, "credentials_mixed", &mixed),
        (Request::post("").with("authorization", &both), 400, "credentials_mixed", &mixed),
        (bearer(&unbound), 401, "token_not_sender_constrained", &invalid),
        (dpop(&unbound).with("dpop", &proof), 401, "token_not_sender_constrained", &invalid),
        (dpop(&token), 401, "dpop_missing", &bad_proof),
        (dpop(&token).line("dpop", &proof).line("dpop", &proof), 401, "dpop_malformed", &bad_proof),
        (dpop(&token).with("dpop", "not a proof"), 401, "dpop_malformed", &bad_proof),
        (
            dpop(&token).with("dpop", super::senders::proof(2, "a", &token, None)),
            401,
            "dpop_jkt",
            &bad_proof,
        ),
        (bearer("").without("authorization"), 401, "token_missing", &missing),
    ] {
        for mode in BOTH_MODES {
            let mut driver = Driver::of(&proving(mode, "required", "off"));
            let effects = driver.request(&request);
            let reply = driver.denied(effects, status, code);
            assert_eq!(challenges(&reply), lines, "{code}");
        }
    }
}

#[test]
fn a_server_without_proofs_neither_offers_nor_takes_them() {
    let token = bound("docs.read");
    for (request, code) in [
        (Request::post(&token), "token_sender_constrained"),
        (with_proof(&token, &proof(1, "a", &token, None)), "token_missing"),
    ] {
        let mut driver = Driver::new(HostMode::Hold);
        let effects = driver.request(&request);
        let reply = driver.denied(effects, 401, code);
        assert_eq!(challenges(&reply).len(), 1);
    }
}

#[test]
fn where_proofs_are_optional_bearers_pass_and_bound_tokens_need_one() {
    let config = proving(HostMode::Hold, "optional", "off");
    let mut driver = Driver::of(&config);
    driver.request(&Request::post(&token("docs.read")));
    assert_eq!(driver.body(&call("search"), true).flow, Flow::Continue);
    assert_eq!(driver.done()["sender"], "bearer");
    let effects = driver.request(&Request::post(&bound("docs.read")));
    driver.denied(effects, 401, "dpop_downgrade");
}

#[test]
fn a_rule_may_demand_a_proof() {
    let mut config = proving(HostMode::Hold, "optional", "off");
    config["servers"][0]["tools"]["rules"][0]["dpop"] = json!("required");
    let (mut driver, effects) = {
        let mut driver = Driver::of(&config);
        driver.request(&Request::post(&token("docs.read")));
        let effects = driver.body(&call("search"), true);
        (driver, effects)
    };
    let reply = driver.denied(effects, 401, "dpop_required");
    assert_eq!(
        challenges(&reply),
        [
            format!("{BEARER}, error=\"invalid_token\"{SCOPE}"),
            format!("{DPOP}, error=\"invalid_token\"{SCOPE}{ALGS}"),
        ]
    );
    let token = bound("docs.read");
    driver.request(&with_proof(&token, &proof(1, "a", &token, None)));
    assert_eq!(driver.body(&call("search"), true).flow, Flow::Continue);
}

#[test]
fn rfc9449_9_a_nonce_is_asked_for_and_renewed_on_success() {
    for mode in BOTH_MODES {
        let mut driver = Driver::of(&proving(mode, "required", "required"));
        let token = bound("docs.read");
        let effects = driver.request(&with_proof(&token, &proof(1, "a", &token, None)));
        let reply = driver.denied(effects, 401, "dpop_nonce");
        assert_eq!(
            challenges(&reply),
            [format!("{BEARER}{SCOPE}"), format!("{DPOP}, error=\"use_dpop_nonce\"{SCOPE}{ALGS}"),]
        );
        let nonce = header(&reply, "dpop-nonce").unwrap().to_owned();

        // The refused proof was not used up: only the nonce was missing.
        driver.request(&with_proof(&token, &proof(1, "a", &token, Some(&nonce))));
        assert_eq!(driver.body(&call("search"), true).flow, Flow::Continue);
        let back = driver.response(&[(":status", "200"), ("dpop-nonce", "the server's")], true);
        assert_eq!(nonce_of(&back.response_headers), None);
        let removed = HeaderEdit::Remove("dpop-nonce".to_owned());
        assert!(back.response_headers.contains(&removed));

        // Past half its life, the answer brings the next one, whatever the answer is.
        driver.host.advance(Duration::from_secs(200));
        let now = START.as_secs() + 200;
        let late = proof_at(now, 1, "b", &token, Some(&nonce));
        driver.request(&with_proof(&token, &late));
        assert_eq!(driver.body(&call("search"), true).flow, Flow::Continue);
        let back = driver.response(&[(":status", "200"), ("dpop-nonce", "the server's")], true);
        let next = nonce_of(&back.response_headers).unwrap().to_owned();
        assert_ne!(next, nonce);
        let no_store = HeaderEdit::Set("cache-control", "no-store".to_owned());
        assert!(back.response_headers.contains(&no_store));

        let late = proof_at(now, 1, "c", &token, Some(&nonce));
        driver.request(&with_proof(&token, &late));
        let effects = driver.body(&call("delete"), true);
        let reply = driver.denied(effects, 403, "scope_missing");
        assert!(header(&reply, "dpop-nonce").is_some());
    }
}

fn nonce_of(edits: &[HeaderEdit]) -> Option<&str> {
    edits.iter().find_map(|edit| match edit {
        HeaderEdit::Set("dpop-nonce", nonce) => Some(nonce.as_str()),
        _ => None,
    })
}

#[test]
fn a_proof_is_not_used_up_by_waiting() {
    let mut config = proving(HostMode::Hold, "required", "off");
    config["issuers"]["corp"]["jwks"] =
        json!({ "uri": "https://idp.example/jwks", "cluster": "idp" });
    let mut driver = Driver::of(&config);
    let token = bound("docs.read");
    let request = with_proof(&token, &proof(1, "a", &token, None));
    assert!(driver.request(&request).wake.is_some());
    driver.keys_settle(200, "");
    assert_eq!(driver.body(&call("search"), true).flow, Flow::Continue);
    let effects = driver.request(&request);
    driver.denied(effects, 401, "dpop_replay");
}

#[test]
fn a_proof_whose_use_cannot_be_recorded_is_not_the_callers_fault() {
    let mut driver = Driver::of(&proving(HostMode::Hold, "required", "off"));
    let token = bound("docs.read");
    driver.host.shared.borrow_mut().clear();
    let effects = driver.request(&with_proof(&token, &proof(1, "a", &token, None)));
    let reply = driver.denied(effects, 503, "replay_store_unavailable");
    assert_eq!(header(&reply, "retry-after"), Some("5"));
    assert_eq!(challenges(&reply), [""; 0]);
}

/// SHA-256 of two certificates.
const OURS: [u8; 32] = [0xa1; 32];
const THEIRS: [u8; 32] = [0xb2; 32];

fn hex(digest: [u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn by_certificate(digest: [u8; 32]) -> String {
    let mut claims = claims("docs.read");
    claims["cnf"] = json!({ "x5t#S256": encode(digest) });
    sign(claims, "at+jwt")
}

fn mutual(mode: HostMode, mtls: &Value) -> Value {
    let mut config = config(mode);
    config["servers"][0]["mtls"] = mtls.clone();
    config
}

#[test]
fn rfc8705_3_a_bound_token_takes_its_certificate() {
    let config = mutual(HostMode::Hold, &json!({ "mode": "required" }));
    for (certificate, code) in [
        (Some(hex(OURS)), None),
        (Some(hex(THEIRS)), Some("mtls_certificate")),
        (None, Some("mtls_certificate")),
    ] {
        let mut driver = Driver::of(&config);
        driver.peer.certificate_sha256_hex = certificate;
        let effects = driver.request(&Request::post(&by_certificate(OURS)));
        match code {
            None => {
                assert_eq!(driver.body(&call("search"), true).flow, Flow::Continue);
                assert_eq!(driver.done()["sender"], "mtls");
            }
            Some(code) => {
                let reply = driver.denied(effects, 401, code);
                let line = format!("{BEARER}, error=\"invalid_token\"{SCOPE}");
                assert_eq!(challenges(&reply), [line]);
            }
        }
    }
    // A token bound to nothing is not what the server demands.
    let mut driver = Driver::of(&config);
    driver.peer.certificate_sha256_hex = Some(hex(OURS));
    let effects = driver.request(&Request::post(&token("docs.read")));
    driver.denied(effects, 401, "token_not_sender_constrained");
}

#[test]
fn a_forwarded_certificate_is_believed_of_the_trusted_hop_only() {
    let hop = "spiffe://corp/ns/gw/sa/edge";
    let forwarded = mutual(HostMode::Hold, &json!({ "mode": "optional", "forwarded_by": [hop] }));
    let direct = mutual(HostMode::Hold, &json!({ "mode": "optional" }));
    for (config, san, taken) in [
        (&forwarded, hop, true),
        (&forwarded, "spiffe://corp/ns/evil/sa/x", false),
        (&direct, hop, false),
    ] {
        let mut driver = Driver::of(config);
        driver.peer.certificate_sha256_hex = Some(hex(THEIRS));
        driver.peer.uri_san = Some(san.to_owned());
        let request = Request::post(&by_certificate(OURS))
            .with("x-forwarded-client-cert", format!("Hash={}", hex(OURS)));
        let effects = driver.request(&request);
        if taken {
            assert_eq!(driver.body(&call("search"), true).flow, Flow::Continue);
        } else {
            driver.denied(effects, 401, "mtls_certificate");
        }
    }
}

#[test]
fn the_record_of_a_refusal_says_whose_token_it_is_and_not_who_sent_it() {
    let token = bound("docs.read");
    let mut driver = Driver::of(&proving(HostMode::Hold, "required", "off"));
    driver.request(&with_proof(&token, &proof(2, "a", &token, None)));
    let record = driver.done();
    assert_eq!((&record["code"], &record["subject"]), (&json!("dpop_jkt"), &json!("alice")));
    assert_eq!(record["dpop_key"], encode(Sha256::digest(jwk(1))));
    assert_eq!(record.get("sender"), None);
    // Of a token that nobody vouches for, nothing is believed.
    let forged = format!("{}AAAA", token.get(..token.len() - 4).unwrap());
    driver.request(&with_proof(&forged, &proof(1, "b", &forged, None)));
    let record = driver.done();
    assert_eq!((&record["code"], record.get("subject")), (&json!("token_signature"), None));
}
