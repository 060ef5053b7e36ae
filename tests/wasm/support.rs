//! What every theme needs: a configuration, callers with tokens, and requests.
//!
//! Tokens are signed with Ed25519, which needs neither randomness nor time; the
//! theme of authentication adds the other algorithms.

use crate::host::{HostFlag, Outcome, Stream, Vm};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

/// The host flags and `host_mode`s that go together. `hold` needs the flag; `stream` works
/// with both, though with the flag set the host shows it bodies earlier.
pub(crate) const MODES: [(HostFlag, &str); 3] = [
    (HostFlag::Default, "stream"),
    (HostFlag::StopIteration, "stream"),
    (HostFlag::StopIteration, "hold"),
];

/// A call that takes `docs.read`.
pub(crate) const CALL: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search"}}"#;

/// A call of a tool that no rule names.
pub(crate) const UNKNOWN: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"wipe"}}"#;

pub(crate) const ISSUER: &str = "https://idp.example.com";
pub(crate) const RESOURCE: &str = "https://mcp.example.com/mcp";

/// Every algorithm of the filter.
const ALGORITHMS: [&str; 10] =
    ["ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA"];

/// A request's header lines.
pub(crate) type Lines = Vec<(&'static str, Vec<u8>)>;

/// The configuration with key `k1` written in it.
pub(crate) fn inline(mode: &str) -> Value {
    configuration(mode, json!({ "keys": [jwk("k1")] }))
}

/// The configuration whose keys are fetched from cluster `idp`.
pub(crate) fn remote(mode: &str) -> Value {
    configuration(mode, json!({ "uri": "https://idp.example.com/jwks", "cluster": "idp" }))
}

/// The configuration with that `jwks` member.
pub(crate) fn configuration(mode: &str, jwks: Value) -> Value {
    json!({
        "host_mode": mode,
        "issuers": { "corp": { "issuer": ISSUER, "jwks": jwks, "algorithms": ALGORITHMS } },
        "servers": [{
            "resource": RESOURCE,
            "issuers": ["corp"],
            "methods": { "allow": ["initialize", "ping", "tools/list", "notifications/*"] },
            "tools": { "rules": [
                { "names": ["search", "get_*"], "scopes": ["docs.read"] },
                { "names": ["delete"], "scopes": ["docs.write"] },
            ] },
        }],
        "audit": { "log": "json" },
    })
}

/// Starts the module with [`inline`].
pub(crate) fn start(flag: HostFlag, mode: &str) -> Vm {
    Vm::with(flag).start(inline(mode)).unwrap()
}

/// Workers of one process, all configured alike.
pub(crate) fn workers<const N: usize>(flag: HostFlag, document: &Value) -> [Vm; N] {
    let first = Vm::with(flag).start(document).unwrap();
    std::array::from_fn(
        |number| {
            if number == 0 { first.clone() } else { beside(&first, flag, document) }
        },
    )
}

/// Another worker of the process that `vm` is of.
pub(crate) fn beside(vm: &Vm, flag: HostFlag, document: &Value) -> Vm {
    Vm::with(flag).now(vm.now()).beside(vm).start(document).unwrap()
}

/// Ticks each once.
pub(crate) fn tick(workers: &[Vm]) {
    for vm in workers {
        vm.tick();
    }
}

/// How many callouts they made in all.
pub(crate) fn callouts(workers: &[Vm]) -> usize {
    workers.iter().map(|vm| vm.callouts().len()).sum()
}

/// The shared values the module wrote, by key.
pub(crate) fn written_keys(vm: &Vm) -> BTreeSet<String> {
    let calls = vm.calls().into_iter().filter(|call| call.name == "proxy_set_shared_data");
    calls.map(|call| call.arguments.split(' ').next().unwrap().to_owned()).collect()
}

/// The public key of that name; every name is another key.
pub(crate) fn jwk(kid: &str) -> Value {
    let x = encode(key(kid).verifying_key().as_bytes());
    json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x })
}

/// A JWK Set of those keys.
pub(crate) fn jwks(kids: &[&str]) -> String {
    json!({ "keys": kids.iter().map(|kid| jwk(kid)).collect::<Vec<_>>() }).to_string()
}

/// The claims of a good token with that scope.
pub(crate) fn claims(vm: &Vm, scope: &str) -> Value {
    let now = vm.now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    json!({
        "iss": ISSUER, "aud": RESOURCE, "sub": "alice", "client_id": "agent", "jti": "t1",
        "iat": now, "exp": now + 600, "scope": scope,
    })
}

/// A token with those claims, signed with the key of that name.
pub(crate) fn sign(kid: &str, claims: &Value) -> String {
    sign_as("at+jwt", kid, claims)
}

/// A JWT of that `typ`.
pub(crate) fn sign_as(typ: &str, kid: &str, claims: &Value) -> String {
    let header = json!({ "alg": "EdDSA", "typ": typ, "kid": kid });
    let input = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    let signature = key(kid).sign(input.as_bytes());
    format!("{input}.{}", encode(signature.to_bytes()))
}

/// A good token of key `k1`.
pub(crate) fn token(vm: &Vm, scope: &str) -> String {
    sign("k1", &claims(vm, scope))
}

/// The header lines of a legacy POST with that token.
pub(crate) fn post(token: &str) -> Lines {
    let bearer = format!("Bearer {token}");
    let lines = [
        (":method", "POST"),
        (":scheme", "https"),
        (":path", "/mcp"),
        (":authority", "mcp.example.com"),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("authorization", &bearer),
    ];
    lines.map(|(name, value)| (name, value.as_bytes().to_vec())).to_vec()
}

/// The lines with one more, or with another value where it may occur once.
pub(crate) fn with(mut lines: Lines, name: &'static str, value: impl AsRef<[u8]>) -> Lines {
    lines.retain(|(line, _)| *line != name);
    lines.push((name, value.as_ref().to_vec()));
    lines
}

/// Sends a whole request.
pub(crate) fn send(vm: &Vm, lines: Lines, body: &str) -> Stream {
    let stream = vm.stream();
    stream.request_headers(lines, false);
    stream.request_body(body, true);
    stream
}

/// Sends a good call with the JSON body and takes it to its end.
pub(crate) fn send_good_call(vm: &Vm) -> Stream {
    let stream = send(vm, post(&token(vm, "docs.read")), CALL);
    answer(&stream);
    stream
}

/// The server answers.
pub(crate) fn answer(stream: &Stream) {
    stream.response_headers([(":status", "200"), ("content-type", "application/json")], false);
    stream.response_body(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, true);
    stream.finish();
}

/// The request reached the server as a whole, without what it must not see and with
/// what it must.
#[track_caller]
pub(crate) fn assert_forwarded(stream: &Stream) {
    let upstream = stream.upstream();
    assert!(upstream.ended(), "{upstream:?}, {:?}", stream.downstream());
    assert_eq!(upstream.header("authorization"), None);
    assert_eq!(upstream.header("x-countersign-subject"), Some("alice"));
}

/// The server was given nothing to act on: in `hold` nothing at all, in `stream` at most
/// the headers.
#[track_caller]
pub(crate) fn assert_withheld(stream: &Stream, mode: &str) {
    let upstream = stream.upstream();
    assert!(mode == "stream" || upstream.is_empty(), "{upstream:?}");
    assert!(!upstream.ended() && upstream.body().is_empty(), "{upstream:?}");
}

/// As [`assert_withheld`], and the client has its answer.
#[track_caller]
pub(crate) fn assert_denied(stream: &Stream, mode: &str, status: u16) {
    assert_withheld(stream, mode);
    let downstream = stream.downstream();
    assert_eq!(downstream.status(), Some(status), "{downstream:?}");
    assert!(downstream.ended());
}

/// As [`assert_denied`], and the record of the stream, which ends, has that code.
#[track_caller]
pub(crate) fn assert_refused(stream: &Stream, mode: &str, status: u16, code: &str) {
    stream.finish();
    assert_eq!(record(stream)["code"], code, "{}", record(stream));
    assert_denied(stream, mode, status);
}

/// The worker still serves: a good call passes and is answered.
#[track_caller]
pub(crate) fn assert_serves(vm: &Vm) {
    let stream = send_good_call(vm);
    assert_forwarded(&stream);
    assert_eq!(stream.downstream().status(), Some(200));
}

/// Sends the headers of a good call, which then wait for keys.
pub(crate) fn send_headers_that_wait(vm: &Vm) -> Stream {
    let stream = vm.stream();
    let outcome = stream.request_headers(post(&token(vm, "docs.read")), false);
    assert_eq!(outcome, Outcome::Pause);
    stream
}

/// Ticks until a fetch is under way and answers it.
pub(crate) fn fetch(vm: &Vm, status: u16, body: impl AsRef<[u8]>) {
    vm.tick();
    let callout = vm.pending_callouts().remove(0);
    vm.answer(&callout, status, [("content-type", "application/json")], body);
}

/// Lets the time between two fetches pass, without a tick.
pub(crate) fn pass_fetch_debounce(vm: &Vm) {
    vm.advance(Duration::from_secs(11));
}

/// What the audit record of a finished stream says.
pub(crate) fn record(stream: &Stream) -> Value {
    serde_json::from_slice(&stream.filter_state()["countersign.audit"]).unwrap()
}

/// Base64url without padding.
pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn key(kid: &str) -> SigningKey {
    let mut seed = [0; 32];
    seed[..kid.len()].copy_from_slice(kid.as_bytes());
    SigningKey::from_bytes(&seed)
}
