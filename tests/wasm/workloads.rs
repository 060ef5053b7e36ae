//! Workloads: by the certificate on the connection, and by a JWT-SVID whose bundle is fetched.

use crate::host::{HostFlag, Outcome, Stream, Vm};
use crate::support::{
    CALL, Lines, MODES, answer, assert_forwarded, assert_refused, beside, encode, fetch, inline,
    pass_fetch_debounce, post, record, token, with,
};

use p256::ecdsa::signature::Signer as _;
use serde_json::{Value, json};
use std::time::{Duration, UNIX_EPOCH};

pub(crate) const ID: &str = "spiffe://corp.example/ns/agents/sa/planner";
pub(crate) const HEADER: &str = "x-jwt-svid";

/// How long a bundle is used until it is fetched again.
const REFRESH: Duration = Duration::from_secs(300);

fn key(seed: u8) -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap()
}

fn svid_key(seed: u8) -> Value {
    let point = key(seed).verifying_key().to_sec1_point(false).to_bytes();
    let [x, y] = [&point[1..33], &point[33..]].map(encode);
    let kid = format!("s{seed}");
    json!({ "kty": "EC", "crv": "P-256", "kid": kid, "use": "jwt-svid", "x": x, "y": y })
}

pub(crate) fn bundle(seeds: &[u8]) -> String {
    let keys: Vec<Value> = seeds.iter().map(|seed| svid_key(*seed)).collect();
    json!({ "keys": keys, "spiffe_sequence": 1, "spiffe_refresh_hint": 300 }).to_string()
}

pub(crate) fn knowing(mode: &str) -> Value {
    let mut document = inline(mode);
    document["workload_identity"] = json!({
        "trust_domains": { "corp.example": {
            "bundle": { "uri": "https://spire.corp.example/bundle", "cluster": "spire" },
        } },
        "jwt_svid_header": HEADER,
    });
    document
}

/// A worker that holds the bundle with the key of seed 1.
fn started(flag: HostFlag, mode: &str) -> Vm {
    let vm = Vm::with(flag).start(knowing(mode)).unwrap();
    fetch(&vm, 200, bundle(&[1]));
    vm
}

pub(crate) fn svid_claims(vm: &Vm) -> Value {
    let now = vm.now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    json!({ "sub": ID, "aud": ["https://mcp.example.com/mcp"], "exp": now + 3600, "iat": now })
}

pub(crate) fn mint(seed: u8, claims: &Value) -> String {
    let header = json!({ "alg": "ES256", "kid": format!("s{seed}"), "typ": "JWT" });
    let input = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    let signature: p256::ecdsa::Signature = key(seed).sign(input.as_bytes());
    format!("{input}.{}", encode(signature.to_bytes()))
}

/// Sends a good call with these lines over a connection whose certificate has this URI SAN.
fn send(vm: &Vm, uri_san: Option<&str>, svids: &[&str]) -> Stream {
    let stream = vm.stream();
    if let Some(san) = uri_san {
        stream.set_property(&["connection", "uri_san_peer_certificate"], san);
    }
    let svids = svids.iter().map(|svid| (HEADER, svid.as_bytes().to_vec()));
    let lines: Lines = post(&token(vm, "docs.read")).into_iter().chain(svids).collect();
    stream.request_headers(lines, false);
    stream.request_body(CALL, true);
    stream
}

/// The call went on without the JWT-SVID, and the record says whose it was.
#[track_caller]
fn assert_known(stream: &Stream, id: Option<&str>) {
    assert_forwarded(stream);
    assert_eq!(stream.upstream().header(HEADER), None);
    answer(stream);
    assert_eq!(record(stream).get("workload").and_then(Value::as_str), id);
}

#[test]
fn a_jwt_svid_or_a_certificate_names_the_workload() {
    for (flag, mode) in MODES {
        let vm = started(flag, mode);
        let svid = mint(1, &svid_claims(&vm));
        assert_known(&send(&vm, None, &[&svid]), Some(ID));
        assert_known(&send(&vm, Some(ID), &[]), Some(ID));
        assert_known(&send(&vm, Some(ID), &[&svid]), Some(ID));
        assert_known(&send(&vm, None, &[]), None);
        assert_known(&send(&vm, Some("spiffe://other.example/a"), &[]), None);
        assert_known(&send(&vm, Some(""), &[]), None);
    }
}

#[test]
fn what_is_not_good_is_refused_and_reaches_nobody() {
    for (flag, mode) in MODES {
        let vm = started(flag, mode);
        let claims = svid_claims(&vm);
        let changed = |name: &str, value: Value| {
            let mut claims = claims.clone();
            claims[name] = value;
            mint(1, &claims)
        };
        let good = mint(1, &claims);
        for (svids, code) in [
            (vec![good.clone(), good.clone()], "svid_malformed"),
            (vec![String::new()], "svid_malformed"),
            (vec!["a".repeat(20_000)], "svid_malformed"),
            (vec![token(&vm, "docs.read")], "svid_type"),
            (vec![changed("aud", json!(["https://other.example/mcp"]))], "svid_audience"),
            (vec![changed("sub", json!("alice"))], "svid_subject"),
            (vec![changed("sub", json!("spiffe://other.example/a"))], "svid_trust_domain"),
            (vec![changed("exp", json!(1))], "svid_expired"),
            (vec![mint(2, &claims)], "svid_key"),
        ] {
            let svids: Vec<&str> = svids.iter().map(String::as_str).collect();
            let stream = send(&vm, None, &svids);
            assert_refused(&stream, "hold", 401, code);
        }
        let stream = send(&vm, Some("spiffe://corp.example/other"), &[&good]);
        assert_refused(&stream, "hold", 401, "workload_mismatch");
    }
}

#[test]
fn connections_are_looked_at_only_where_workloads_are_known() {
    let asked = |vm: &Vm| {
        let calls = vm.calls();
        calls
            .iter()
            .any(|call| call.name == "proxy_get_property" && call.arguments.contains("uri_san"))
    };
    let vm = Vm::start(inline("stream")).unwrap();
    assert_forwarded(&send(&vm, Some(ID), &[]));
    assert!(!asked(&vm));
    let vm = started(HostFlag::Default, "stream");
    assert_known(&send(&vm, Some(ID), &[]), Some(ID));
    assert!(asked(&vm));
}

#[test]
fn a_bundle_is_waited_for_rotates_and_ends() {
    for (flag, mode) in MODES {
        let vm = Vm::with(flag).start(knowing(mode)).unwrap();
        let svid = mint(1, &svid_claims(&vm));
        let stream = vm.stream();
        let lines = with(post(&token(&vm, "docs.read")), HEADER, &svid);
        assert_eq!(stream.request_headers(lines, false), Outcome::Pause);
        fetch(&vm, 200, bundle(&[1]));
        stream.request_body(CALL, true);
        assert_known(&stream, Some(ID));
        // A new key is looked for with the first that names it.
        pass_fetch_debounce(&vm);
        let new = mint(2, &svid_claims(&vm));
        let stream = vm.stream();
        let lines = with(post(&token(&vm, "docs.read")), HEADER, &new);
        assert_eq!(stream.request_headers(lines, false), Outcome::Pause);
        fetch(&vm, 200, bundle(&[1, 2]));
        stream.request_body(CALL, true);
        assert_known(&stream, Some(ID));
        // What was taken back verifies no more, remembered or not.
        vm.advance(REFRESH);
        fetch(&vm, 200, bundle(&[2]));
        assert_refused(&send(&vm, None, &[&svid]), "hold", 401, "svid_key");
        assert_known(&send(&vm, None, &[&new]), Some(ID));
        vm.advance(REFRESH);
        fetch(&vm, 200, bundle(&[]));
        assert_refused(&send(&vm, None, &[&new]), "hold", 401, "svid_key");
    }
}

#[test]
fn without_its_bundle_nobody_is_believed_or_blamed() {
    for (flag, mode) in MODES {
        let vm = Vm::with(flag).start(knowing(mode)).unwrap();
        fetch(&vm, 500, "");
        let svid = mint(1, &svid_claims(&vm));
        assert_refused(&send(&vm, None, &[&svid]), "hold", 503, "bundle_unavailable");
        // Who brings none needs none.
        assert_known(&send(&vm, None, &[]), None);
    }
}

#[test]
fn workers_share_a_bundle() {
    let document = knowing("hold");
    let first = Vm::with(HostFlag::StopIteration).start(&document).unwrap();
    let second = beside(&first, HostFlag::StopIteration, &document);
    fetch(&first, 200, bundle(&[1]));
    second.tick();
    assert!(second.callouts().is_empty());
    let svid = mint(1, &svid_claims(&second));
    assert_known(&send(&second, None, &[&svid]), Some(ID));
}
