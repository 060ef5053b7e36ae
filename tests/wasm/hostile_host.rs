//! A host that fails, lies or forgets. Whatever it does, a request goes on only with a
//! decision and with its header edits; a trap is a denial too.

use crate::client::{Client, post_with_proof};
use crate::host::{HostFlag, Status, Stream, Vm, Which};
use crate::support::{
    CALL, Lines, MODES, UNKNOWN, assert_denied, assert_forwarded, assert_serves, assert_withheld,
    claims, fetch, jwks, post, remote, send, send_headers_that_wait, start, token, with,
};

use p256::pkcs8::{EncodePrivateKey, LineEnding};
use serde_json::json;
use std::collections::BTreeSet;

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
const TOOLS: &str =
    r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"delete"},{"name":"search"}]}}"#;

/// A call by a forger, up to the answer, with keys that have to be fetched.
fn exchange(vm: &Vm, scope: &str, body: &str) -> Stream {
    run(vm, post(&token(vm, scope)), scope, body)
}

/// What answers the module's own requests.
fn serve(vm: &Vm, scope: &str) {
    vm.tick();
    for callout in vm.pending_callouts() {
        let body = match callout.headers.get(":path") {
            Some("/jwks") => jwks(&["k1"]),
            Some("/revoked") => json!({ "revoked": [] }).to_string(),
            _ => {
                let mut members = claims(vm, scope);
                members["active"] = json!(true);
                members.to_string()
            }
        };
        vm.answer(&callout, 200, [("content-type", "application/json")], body);
    }
}

fn run(vm: &Vm, lines: Lines, scope: &str, body: &str) -> Stream {
    let stream = vm.stream();
    stream.request_headers(with(lines, "x-countersign-subject", "root"), false);
    for _ in 0..2 {
        serve(vm, scope);
        vm.advance(std::time::Duration::from_secs(1));
    }
    stream.request_body(body, true);
    serve(vm, scope);
    if stream.upstream().ended() {
        stream.response_headers([(":status", "200"), ("content-type", "application/json")], false);
        stream.response_body(TOOLS, true);
    }
    stream.finish();
    stream
}

/// Fails every hostcall that a healthy exchange makes, with statuses the SDK maps and
/// with some it does not.
fn for_every_failure(scope: &str, body: &str, check: impl Fn(&Stream, &str, &str)) {
    let statuses = [Status::NOT_FOUND, Status::INTERNAL_FAILURE, Status::UNIMPLEMENTED];
    for (flag, mode) in MODES {
        let start = || Vm::with(flag).start(remote(mode)).unwrap();
        let healthy = start();
        let passed = exchange(&healthy, "docs.read", LIST);
        assert_forwarded(&passed);
        assert!(passed.downstream().text().contains("search"));
        let names: BTreeSet<_> = healthy.calls().iter().map(|call| call.name).collect();
        for name in names {
            for status in statuses {
                for which in [Which::Nth(1), Which::Nth(2), Which::Nth(3), Which::All] {
                    let vm = start();
                    vm.fail_hostcall(name, which, status);
                    let stream = exchange(&vm, scope, body);
                    drop(vm.take_trap());
                    check(&stream, mode, &format!("{mode}, {name} {which:?} {status:?}"));
                }
            }
        }
    }
}

/// A server that demands all there is: a proof with a nonce, of a key the host verifies
/// with; a token that is not revoked, and the issuer's word, asked for with an assertion
/// that the host signs.
struct Demanding {
    client: Client,
    mode: &'static str,
    flag: HostFlag,
    /// The first worker of the proxy, which is healthy.
    first: Vm,
}

impl Demanding {
    fn new(flag: HostFlag, mode: &'static str) -> Self {
        let first = Self::start(Vm::with(flag), mode);
        let this = Demanding { client: Client::es256(), mode, flag, first };
        let passed = this.exchange(&this.first, "docs.read", LIST, || {});
        assert_forwarded(&passed);
        assert!(passed.downstream().text().contains("search"));
        assert_forwarded(&this.exchange(&this.first, "docs.read", CALL, || {}));
        this
    }

    fn start(builder: crate::host::Builder, mode: &str) -> Vm {
        let mut document = remote(mode);
        let issuer = &mut document["issuers"]["corp"];
        issuer["revocation"] =
            json!({ "uri": "https://idp.example.com/revoked", "cluster": "idp" });
        issuer["introspection"] = json!({
            "uri": "https://idp.example.com/introspect", "cluster": "idp",
            "client": {
                "method": "private_key_jwt", "client_id": "gate", "algorithm": "ES256",
                "key": { "env": "KEY" },
            },
        });
        let server = &mut document["servers"][0];
        server["dpop"] = json!({ "mode": "required", "nonce": { "mode": "required" } });
        server["mtls"] = json!({ "mode": "optional" });
        server["tools"]["rules"][0]["introspect"] = json!("fresh");
        let key = p256::ecdsa::SigningKey::from_slice(&[5; 32]).unwrap();
        let pem = key.to_pkcs8_pem(LineEnding::LF).unwrap();
        builder.environment("KEY", &pem).start(document).unwrap()
    }

    fn nonce(&self, vm: &Vm) -> String {
        let asked = send(vm, self.client.post(vm, "docs.read"), CALL);
        // The keys may have to be fetched first.
        serve(vm, "docs.read");
        asked.downstream().header("dpop-nonce").unwrap().to_owned()
    }

    /// A good proof's call, with faults from `arm` on.
    fn exchange(&self, vm: &Vm, scope: &str, body: &str, arm: impl Fn()) -> Stream {
        let nonce = self.nonce(vm);
        let token = self.client.token(vm, scope);
        let proof = self.client.proof_with_nonce(vm, &token, &nonce);
        arm();
        run(vm, post_with_proof(&token, &proof), scope, body)
    }

    /// Another worker for each failure, with the function that starts it.
    fn for_every_failure(&self, check: impl Fn(&Vm, &dyn Fn(), &str)) {
        let statuses = [Status::NOT_FOUND, Status::INTERNAL_FAILURE, Status::UNIMPLEMENTED];
        let statuses = statuses.into_iter().chain([Status::CAS_MISMATCH, Status::BAD_ARGUMENT]);
        let names: BTreeSet<_> = self.first.calls().iter().map(|call| call.name).collect();
        for name in ["proxy_get_shared_data", "proxy_set_shared_data"] {
            assert!(names.contains(name));
        }
        let signed = |call: &crate::host::Call| call.arguments == "sign";
        assert!(self.first.calls().iter().any(signed));
        for status in statuses {
            for name in &names {
                for which in [Which::Nth(1), Which::Nth(2), Which::Nth(3), Which::All] {
                    let builder = Vm::with(self.flag).now(self.first.now()).beside(&self.first);
                    let vm = Self::start(builder, self.mode);
                    let failure = format!("{}, {name} {which:?} {status:?}", self.mode);
                    check(&vm, &|| vm.fail_hostcall(name, which, status), &failure);
                    let trapped = vm.take_trap().is_some();
                    assert!(!trapped || !is_taken_by_the_sdk(name, status), "{failure}");
                }
            }
        }
    }
}

/// Whether the SDK returns that status of a hostcall that proofs and words need. On any
/// other it traps.
fn is_taken_by_the_sdk(name: &str, status: Status) -> bool {
    match name {
        "proxy_get_shared_data" => status == Status::NOT_FOUND,
        "proxy_set_shared_data" => status == Status::CAS_MISMATCH,
        "proxy_call_foreign_function" => {
            [Status::NOT_FOUND, Status::BAD_ARGUMENT, Status::INTERNAL_FAILURE].contains(&status)
        }
        _ => false,
    }
}

/// Both kinds of host; what `stream` does with the hold flag, the other tests show.
fn demanding() -> [Demanding; 2] {
    [(HostFlag::Default, "stream"), (HostFlag::StopIteration, "hold")]
        .map(|(flag, mode)| Demanding::new(flag, mode))
}

#[test]
fn no_failure_lets_a_proven_request_on_without_its_decision() {
    for demanding in demanding() {
        demanding.for_every_failure(|vm, arm, failure| {
            let stream = demanding.exchange(vm, "other", CALL, arm);
            let upstream = stream.upstream();
            assert!(!upstream.ended() && upstream.body().is_empty(), "{failure}: {upstream:?}");
            assert!(demanding.mode == "stream" || upstream.is_empty(), "{failure}: {upstream:?}");
        });
    }
}

#[test]
fn no_failure_lets_a_proven_request_on_without_its_header_edits() {
    for demanding in demanding() {
        demanding.for_every_failure(|vm, arm, failure| {
            let stream = demanding.exchange(vm, "docs.read", CALL, arm);
            if let Some(headers) = stream.upstream().headers() {
                let subject: Vec<_> = headers.all("x-countersign-subject").collect();
                assert_eq!(subject, [b"alice"], "{failure}");
                for name in ["authorization", "dpop"] {
                    assert_eq!(headers.get(name), None, "{failure}");
                }
            }
        });
    }
}

#[test]
fn no_failure_makes_a_used_or_a_wrong_proof_good() {
    for demanding in demanding() {
        let client = &demanding.client;
        demanding.for_every_failure(|vm, arm, failure| {
            let nonce = demanding.nonce(vm);
            let token = client.token(vm, "docs.read");
            let used = client.proof_with_nonce(vm, &token, &nonce);
            assert_forwarded(&run(vm, post_with_proof(&token, &used), "docs.read", CALL));
            let unasked = client.proof(vm, &token);
            let unused = client.proof_with_nonce(vm, &token, &nonce);
            let (input, _) = unused.rsplit_once('.').unwrap();
            let (_, other) = used.rsplit_once('.').unwrap();
            let forged = format!("{input}.{other}");
            arm();
            for proof in [&used, &unasked, &forged] {
                let stream = run(vm, post_with_proof(&token, proof), "docs.read", CALL);
                assert!(stream.upstream().is_empty(), "{failure}");
            }
        });
    }
}

#[test]
fn no_failure_makes_up_the_issuers_word() {
    for demanding in demanding() {
        demanding.for_every_failure(|vm, arm, failure| {
            // The issuer says less than the token.
            let nonce = demanding.nonce(vm);
            let token = demanding.client.token(vm, "docs.read");
            let proof = demanding.client.proof_with_nonce(vm, &token, &nonce);
            arm();
            let stream = run(vm, post_with_proof(&token, &proof), "other", CALL);
            let upstream = stream.upstream();
            assert!(!upstream.ended() && upstream.body().is_empty(), "{failure}: {upstream:?}");
        });
    }
}

#[test]
fn no_failure_lets_a_request_on_without_its_decision() {
    for (scope, body) in [("other", CALL), ("docs.read", UNKNOWN)] {
        for_every_failure(scope, body, |stream, mode, failure| {
            let upstream = stream.upstream();
            assert!(!upstream.ended() && upstream.body().is_empty(), "{failure}: {upstream:?}");
            assert!(mode == "stream" || upstream.is_empty(), "{failure}: {upstream:?}");
        });
    }
}

#[test]
fn no_failure_lets_a_request_on_without_its_header_edits() {
    for_every_failure("docs.read", CALL, |stream, _, failure| {
        let upstream = stream.upstream();
        if let Some(headers) = upstream.headers() {
            let subject: Vec<_> = headers.all("x-countersign-subject").collect();
            assert_eq!(subject, [b"alice"], "{failure}");
            assert_eq!(headers.get("authorization"), None, "{failure}");
        }
    });
}

#[test]
fn no_failure_shows_a_list_unfiltered() {
    for_every_failure("docs.read", LIST, |stream, _, failure| {
        let text = stream.downstream().text();
        assert!(!text.contains("delete"), "{failure}: {text}");
    });
}

#[test]
fn without_headers_body_or_randomness_nothing_goes_on() {
    for (flag, mode) in MODES {
        for name in ["proxy_get_header_map_pairs", "proxy_get_buffer_bytes", "random_get"] {
            for status in [Status::BAD_ARGUMENT, Status::UNIMPLEMENTED] {
                let vm = start(flag, mode);
                vm.fail_hostcall(name, Which::All, status);
                if name == "random_get" {
                    // What the host gave before, at most a kibibyte, is used up first.
                    for _ in 0..64 {
                        exchange(&vm, "docs.read", CALL);
                    }
                }
                let stream = exchange(&vm, "docs.read", CALL);
                drop(vm.take_trap());
                assert_withheld(&stream, mode);
            }
        }
    }
}

#[test]
fn strange_properties_allow_nothing() {
    for (flag, mode) in MODES {
        let vm = start(flag, mode);
        for value in [b"".as_slice(), b"\xff", &[0xff; 8], &[0; 9]] {
            for scope in ["docs.read", "other"] {
                let stream = vm.stream();
                for path in [["source", "address"], ["request", "total_size"]] {
                    stream.set_property(&path, value);
                }
                stream.request_headers(post(&token(&vm, scope)), false);
                stream.request_body(CALL, true);
                // `hold` has to know what the host received, to notice a body withheld from it.
                let told = mode == "stream" || value.len() == 8;
                match (told, scope) {
                    (false, _) => assert_denied(&stream, mode, 503),
                    (true, "other") => assert_denied(&stream, mode, 403),
                    (true, _) => assert_forwarded(&stream),
                }
                stream.finish();
            }
        }
    }
}

#[test]
fn an_empty_buffer_where_a_body_was_told_is_a_denial() {
    use crate::host::Callback;
    for size in [1, 100, 1 << 20, u32::MAX] {
        let vm = start(HostFlag::StopIteration, "hold");
        let stream = vm.stream();
        stream.request_headers(post(&token(&vm, "docs.read")), false);
        stream.drive(Callback::RequestBody { size, end: true });
        assert_withheld(&stream, "hold");
        assert!(stream.downstream().status().is_some_and(|status| status >= 400));
        assert_serves(&vm);
    }
}

#[test]
fn a_callout_answered_late_changes_nothing() {
    for (flag, mode) in MODES {
        let vm = Vm::with(flag).start(remote(mode)).unwrap();
        let stream = send_headers_that_wait(&vm);
        vm.tick();
        let lost = vm.pending_callouts().remove(0);
        vm.advance(std::time::Duration::from_secs(11));
        vm.tick();
        assert_denied(&stream, "hold", 503);
        stream.finish();
        // Keys that come after they were given up are not taken.
        vm.answer(&lost, 200, [("a", "b")], jwks(&["k1"]));
        assert!(stream.upstream().is_empty());
        let stream = send_headers_that_wait(&vm);
        fetch(&vm, 200, jwks(&["k1"]));
        stream.request_body(CALL, true);
        assert_forwarded(&stream);
    }
}

#[test]
fn a_callout_answered_twice_lets_nothing_through() {
    for (flag, mode) in MODES {
        let vm = Vm::with(flag).start(remote(mode)).unwrap();
        let stream = send_headers_that_wait(&vm);
        vm.tick();
        let callout = vm.pending_callouts().remove(0);
        vm.answer(&callout, 200, [("a", "b")], jwks(&["k2"]));
        assert_denied(&stream, "hold", 401);
        vm.unanswer(&callout);
        vm.answer(&callout, 200, [("a", "b")], jwks(&["k1"]));
        // The SDK does not know the token any more; its trap allows nothing.
        drop(vm.take_trap());
        assert!(stream.upstream().is_empty());
    }
}

#[test]
fn garbage_from_the_key_cluster_stops_no_worker() {
    let huge = vec![b'['; 300 * 1024];
    let valid = jwks(&["k1"]);
    let bodies: [&[u8]; 7] = [
        b"",
        b"\xff\xfe",
        b"{\"keys\":[{}]}",
        b"{\"keys\":{}}",
        b"{\"keys\":[],\"keys\":[]}",
        &huge,
        &valid.as_bytes()[..20],
    ];
    for (flag, mode) in MODES {
        let vm = Vm::with(flag).start(remote(mode)).unwrap();
        for body in bodies {
            let stream = send_headers_that_wait(&vm);
            fetch(&vm, 200, body);
            assert_denied(&stream, "hold", 503);
            crate::support::pass_fetch_debounce(&vm);
        }
        fetch(&vm, 200, &valid);
        assert_serves(&vm);
    }
}
