//! Any hostcall may fail at any time. The SDK traps on most statuses it does not
//! expect, so a trap is accepted here; an open door and a hanging client are not.

use crate::host::{HostFlag, Status, Stream, Vm, Which};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jwt_simple::prelude::{
    Claims, Duration, ECDSAP256KeyPairLike, ECDSAP256PublicKeyLike, ES256KeyPair, HeaderOptions,
};
use serde_json::json;
use std::collections::BTreeSet;

const MODES: [(HostFlag, &str); 2] =
    [(HostFlag::Default, "stream"), (HostFlag::StopIteration, "hold")];
const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search"}}"#;

#[test]
fn a_request_without_the_scope_never_passes_and_never_hangs() {
    for_every_failure("other", |mode, stream, failure| {
        let (upstream, downstream) = (stream.upstream(), stream.downstream());
        assert!(!upstream.ended(), "{mode}, {failure}: {upstream:?}");
        assert!(mode == "stream" || upstream.is_empty(), "{mode}, {failure}: {upstream:?}");
        let status = downstream.status();
        assert!(status.is_some_and(|status| status >= 400), "{mode}, {failure}: {status:?}");
    });
}

#[test]
fn a_token_never_reaches_the_server() {
    for_every_failure("docs.read", |mode, stream, failure| {
        let upstream = stream.upstream();
        let token = upstream.header("authorization");
        assert_eq!(token, None, "{mode}, {failure}");
    });
}

/// Runs an exchange in both modes with every hostcall that a healthy exchange makes
/// failing: its first use, its second, all; each with the statuses hosts use.
fn for_every_failure(scope: &str, check: impl Fn(&str, &Stream, &str)) {
    const STATUSES: [Status; 3] =
        [Status::NOT_FOUND, Status::BAD_ARGUMENT, Status::INTERNAL_FAILURE];
    let key = ES256KeyPair::generate().with_key_id("k");
    for (flag, mode) in MODES {
        let start = || Vm::with(flag).start(configuration(mode, &key)).unwrap();
        let healthy = start();
        let passed = exchange(&healthy, &token(&healthy, &key, "docs.read"));
        assert_eq!(passed.downstream().status(), Some(200), "{:?}", healthy.log());
        assert!(passed.upstream().ended());
        check(mode, &exchange(&healthy, &token(&healthy, &key, scope)), "none");
        let names: BTreeSet<_> = healthy.calls().iter().map(|call| call.name).collect();
        for name in names {
            for status in STATUSES {
                for which in [Which::Nth(1), Which::Nth(2), Which::All] {
                    let vm = start();
                    vm.fail_hostcall(name, which, status);
                    let stream = exchange(&vm, &token(&vm, &key, scope));
                    drop(vm.take_trap());
                    check(mode, &stream, &format!("{name} {which:?} {status:?}"));
                }
            }
        }
    }
}

fn configuration(mode: &str, key: &ES256KeyPair) -> serde_json::Value {
    let point = key.public_key().public_key().to_bytes_uncompressed();
    let [x, y] = [&point[1..33], &point[33..]].map(|half| URL_SAFE_NO_PAD.encode(half));
    json!({
        "host_mode": mode,
        "issuers": { "corp": {
            "issuer": "https://idp.example.com",
            "jwks": { "keys": [
                { "kty": "EC", "crv": "P-256", "kid": "k", "x": x, "y": y }
            ] },
            "algorithms": ["ES256"]
        } },
        "servers": [ {
            "resource": "https://mcp.example.com/mcp",
            "issuers": ["corp"],
            "tools": { "rules": [ { "names": ["search"], "scopes": ["docs.read"] } ] }
        } ],
        "audit": { "log": "json" }
    })
}

fn token(vm: &Vm, key: &ES256KeyPair, scope: &str) -> String {
    let now = vm.now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mut claims = Claims::with_custom_claims(
        json!({ "scope": scope, "client_id": "agent" }),
        Duration::from_mins(10),
    )
    .with_issuer("https://idp.example.com")
    .with_subject("alice")
    .with_audience("https://mcp.example.com/mcp")
    .with_jwt_id("j1");
    claims.issued_at = Some(Duration::from_secs(now));
    claims.invalid_before = None;
    claims.expires_at = Some(Duration::from_secs(now + 600));
    let options =
        HeaderOptions { signature_type: Some("at+jwt".into()), ..HeaderOptions::default() };
    key.sign_with_options(claims, &options).unwrap()
}

/// A whole exchange, as far as it comes.
fn exchange(vm: &Vm, token: &str) -> Stream {
    let bearer = format!("Bearer {token}");
    let headers = [
        (":method", "POST"),
        (":scheme", "https"),
        (":path", "/mcp"),
        (":authority", "mcp.example.com"),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("authorization", &bearer),
        ("mcp-protocol-version", "2025-06-18"),
    ];
    let stream = vm.stream();
    stream.request_headers(headers, false);
    stream.request_body(CALL, true);
    for _ in 0..3 {
        vm.advance(std::time::Duration::from_secs(1));
        vm.tick();
    }
    if stream.upstream().ended() {
        stream.response_headers([(":status", "200"), ("content-type", "application/json")], false);
        stream.response_body(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, true);
    }
    stream.finish();
    stream
}
