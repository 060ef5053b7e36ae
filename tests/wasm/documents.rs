//! What issuers publish (keys, metadata, lists of revocations), when it is wrong, late,
//! withdrawn or changed: nothing wrong is believed, and the last good one is kept.

use crate::host::{Callout, HostFlag, Stream, Vm};
use crate::support::{
    CALL, MODES, answer, assert_forwarded, assert_refused, assert_serves, assert_withheld, claims,
    configuration, fetch, inline, jwk, jwks, pass_fetch_debounce, post, record, remote, send,
    send_good_call, sign, tick, token, workers,
};

use serde_json::{Value, json};
use std::time::Duration;

/// How long a fetched document is fresh at the most, and a little: after it, it is due.
const KEYS_ARE_DUE: Duration = Duration::from_secs(301);
const LIST_IS_DUE: Duration = Duration::from_secs(61);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const JSON: (&str, &str) = ("content-type", "application/json");

/// Keys are written in it, the list of revocations is fetched.
fn with_revocations(mode: &str) -> Value {
    let mut document = inline(mode);
    document["issuers"]["corp"]["revocation"] =
        json!({ "uri": "https://idp.example.com/revoked", "cluster": "idp" });
    document
}

fn list(entries: &Value) -> String {
    json!({ "revoked": entries }).to_string()
}

/// Status, headers, body.
type Answer<'a> = (u16, Vec<(&'a str, &'a str)>, String);

/// Answers a request, or does not.
type Failure = Box<dyn Fn(&Vm, &Callout)>;

/// Answers that bring no document. What they carry would be one, where it can.
fn failures(good: &str) -> Vec<Failure> {
    let html = [("content-type", "text/html; charset=utf-8")];
    let answers: [Answer<'_>; 18] = [
        (500, vec![JSON], good.to_owned()),
        (503, vec![], String::new()),
        (404, vec![JSON], good.to_owned()),
        (401, vec![("www-authenticate", "Basic")], good.to_owned()),
        (302, vec![("location", "https://evil.example/")], good.to_owned()),
        (206, vec![JSON], good.to_owned()),
        (204, vec![], String::new()),
        (200, html.to_vec(), "<!doctype html><title>Log in</title>".to_owned()),
        (200, html.to_vec(), good.to_owned()),
        (200, vec![JSON], "<!doctype html>".to_owned()),
        (200, vec![("content-type", "text/plain")], good.to_owned()),
        (200, vec![JSON, html[0]], good.to_owned()),
        (200, vec![JSON], String::new()),
        (200, vec![JSON], good[..good.len() - 1].to_owned()),
        (200, vec![JSON], format!("{good}{good}")),
        (200, vec![JSON], format!("\u{feff}{good}")),
        (200, vec![JSON], "[".repeat(100_000)),
        // 20 MB, all of it blank but for the document.
        (200, vec![JSON], format!("{good}{}", " ".repeat(20 << 20))),
    ];
    let mut failures: Vec<Failure> = vec![
        Box::new(|vm, callout| vm.fail_callout(callout)),
        Box::new(|vm, callout| vm.time_out_callout(callout)),
        // Lost and given up; the answer that comes later is taken no more.
        Box::new({
            let good = good.to_owned();
            move |vm, callout| {
                vm.advance(Duration::from_secs(11));
                vm.tick();
                vm.answer(callout, 200, [JSON], &good);
            }
        }),
    ];
    for (status, headers, body) in answers {
        failures.push(Box::new(move |vm, callout| {
            let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
            vm.answer(callout, status, headers, &body);
        }));
    }
    failures
}

/// Ticks, and takes the request that is then under way.
#[track_caller]
fn asked(vm: &Vm) -> Callout {
    vm.tick();
    let mut pending = vm.pending_callouts();
    assert_eq!(pending.len(), 1, "{pending:?}");
    pending.remove(0)
}

fn send_and_wait(vm: &Vm) -> Stream {
    let stream = send(vm, post(&token(vm, "docs.read")), CALL);
    assert_withheld(&stream, "hold");
    assert_eq!(stream.downstream().status(), None);
    stream
}

/// Fails a first fetch and one that follows a good one, in each of those ways.
fn for_every_failure(document: fn(&str) -> Value, kind: &str, good: &str, due: Duration) {
    for (flag, mode) in MODES {
        for (index, fail) in failures(good).iter().enumerate() {
            let vm = Vm::with(flag).start(document(mode)).unwrap();
            let stream = send_and_wait(&vm);
            fail(&vm, &asked(&vm));
            stream.finish();
            assert_eq!(record(&stream)["code"], format!("{kind}_unavailable"), "{index}");
            assert_eq!(stream.downstream().status(), Some(503));
            assert!(stream.upstream().is_empty());
            assert_eq!(vm.metric(&format!("countersign.fetches.{kind}.failed")), 1, "{index}");
            assert!(vm.log().iter().any(|line| line.level == 3), "{index}");

            pass_fetch_debounce(&vm);
            fetch(&vm, 200, good);
            assert_serves(&vm);
            vm.advance(due);
            fail(&vm, &asked(&vm));
            // The last good one is still used, and when it is late the record says so.
            assert_serves(&vm);
            vm.advance(Duration::from_secs(31));
            let stream = send_good_call(&vm);
            assert_forwarded(&stream);
            assert_eq!(record(&stream)["stale"], true, "{index}");
            assert_eq!(vm.metric(&format!("countersign.stale_uses.{kind}")), 1, "{index}");
        }
    }
}

#[test]
fn an_answer_that_is_no_key_set_is_not_believed() {
    for_every_failure(remote, "keys", &jwks(&["k1"]), KEYS_ARE_DUE);
}

#[test]
fn an_answer_that_is_no_list_of_revocations_is_not_believed() {
    for_every_failure(with_revocations, "revocations", &list(&json!([])), LIST_IS_DUE);
}

#[test]
fn a_key_set_that_cannot_be_used_is_not_believed() {
    let many: Vec<_> = (0..1000).map(|number| format!("k{number}")).collect();
    let many = jwks(&many.iter().map(String::as_str).collect::<Vec<_>>());
    let unknown = json!({ "keys": [
        { "kty": "AKP", "alg": "ML-DSA-44", "kid": "k1", "pub": "AAAA" },
        { "kty": "oct", "kid": "k1", "k": "AAAA" },
        { "kid": "k1" },
    ] });
    let mut twin = jwk("k9");
    twin["kid"] = json!("k1");
    let ambiguous = json!({ "keys": [jwk("k1"), twin] });
    let mut private = jwk("k1");
    private["d"] = json!("AAAA");
    let sets = [
        many,
        unknown.to_string(),
        ambiguous.to_string(),
        json!({ "keys": [private] }).to_string(),
        json!({ "keys": [] }).to_string(),
        json!({ "keys": { "k1": jwk("k1") } }).to_string(),
        json!([jwk("k1")]).to_string(),
        "{}".to_owned(),
    ];
    for (flag, mode) in MODES {
        for set in &sets {
            let vm = Vm::with(flag).start(remote(mode)).unwrap();
            let stream = send_and_wait(&vm);
            fetch(&vm, 200, set);
            assert_refused(&stream, "hold", 503, "keys_unavailable");
            pass_fetch_debounce(&vm);
            fetch(&vm, 200, jwks(&["k1"]));
            assert_serves(&vm);
            vm.advance(KEYS_ARE_DUE);
            fetch(&vm, 200, set);
            assert_serves(&vm);
        }
    }
}

#[test]
fn keys_that_cannot_be_used_are_left_out_with_a_note() {
    let mut twin = jwk("k8");
    twin["kid"] = json!("k9");
    let set = json!({ "keys": [
        jwk("k9"), twin, jwk("k1"), jwk("k1"),
        { "kty": "AKP", "alg": "ML-DSA-44", "kid": "k2", "pub": "AAAA" },
        { "kty": "EC", "crv": "secp256k1", "kid": "k3", "x": "AA", "y": "AA" },
        { "kty": "RSA", "kid": "k4", "n": "AQAB", "e": "AQAB" },
    ] });
    let vm = Vm::start(remote("stream")).unwrap();
    fetch(&vm, 200, set.to_string());
    assert_serves(&vm);
    for kid in ["k9", "k8", "k2", "k3", "k4"] {
        let stream = send(&vm, post(&sign(kid, &claims(&vm, "docs.read"))), CALL);
        assert_refused(&stream, "hold", 401, "token_key");
    }
    let notes: Vec<_> =
        vm.log().into_iter().filter(|line| line.message.contains("not used")).collect();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert_eq!(notes[0].level, 2);
    for part in ["2 of an unknown type", "1 not for", "2 with the `kid` of another"] {
        assert!(notes[0].message.contains(part), "{}", notes[0].message);
    }
}

#[test]
fn a_list_that_is_not_understood_is_not_believed() {
    let lists = [
        json!({}),
        json!([]),
        json!({ "revoked": {} }),
        json!({ "revoked": [{}] }),
        json!({ "revoked": ["alice"] }),
        json!({ "revoked": [{ "sub": "" }] }),
        json!({ "revoked": [{ "sub": 1 }] }),
        json!({ "revoked": [{ "sub": "alice", "until": 1 }] }),
        json!({ "revoked": [{ "issued_before": "yesterday" }] }),
        json!({ "revoked": [{ "issued_before": -1 }] }),
        json!({ "revoked": [], "next": 1 }),
    ];
    for (flag, mode) in MODES {
        let vm = Vm::with(flag).start(with_revocations(mode)).unwrap();
        for list in &lists {
            let stream = send_and_wait(&vm);
            fetch(&vm, 200, list.to_string());
            assert_refused(&stream, "hold", 503, "revocations_unavailable");
            pass_fetch_debounce(&vm);
        }
        fetch(&vm, 200, list(&json!([])));
        assert_serves(&vm);
    }
}

#[test]
fn what_cannot_be_had_for_too_long_is_used_no_more() {
    for (document, kind, good, stale_for) in [
        (remote("hold"), "keys", jwks(&["k1"]), DAY),
        (with_revocations("hold"), "revocations", list(&json!([])), DAY / 24),
    ] {
        let vm = Vm::with(HostFlag::StopIteration).start(document).unwrap();
        fetch(&vm, 200, &good);
        assert_serves(&vm);
        vm.advance(stale_for);
        fetch(&vm, 500, &good);
        assert_serves(&vm);
        vm.advance(KEYS_ARE_DUE);
        fetch(&vm, 500, &good);
        let stream = send(&vm, post(&token(&vm, "docs.read")), CALL);
        assert_refused(&stream, "hold", 503, &format!("{kind}_unavailable"));
        pass_fetch_debounce(&vm);
        let stream = send_and_wait(&vm);
        fetch(&vm, 200, &good);
        assert_forwarded(&stream);
    }
}

#[test]
fn a_revocation_reaches_every_worker_with_its_next_request() {
    for (flag, mode) in MODES {
        for entry in [
            json!({ "jti": "t1" }),
            json!({ "sub": "alice" }),
            json!({ "sub": "alice", "client_id": "agent" }),
            json!({ "issued_before": 1_767_225_601 }),
        ] {
            let workers = workers::<3>(flag, &with_revocations(mode));
            fetch(&workers[0], 200, list(&json!([{ "sub": "mallory" }])));
            let good = token(&workers[0], "docs.read");
            for vm in &workers {
                assert_forwarded(&send(vm, post(&good), CALL));
                assert_forwarded(&send(vm, post(&good), CALL));
                assert_eq!(vm.metric("countersign.token_cache.hits"), 1);
                vm.advance(LIST_IS_DUE);
            }
            fetch(&workers[0], 200, list(&json!([entry])));
            // No other worker has had a tick.
            for vm in &workers {
                let stream = send(vm, post(&good), CALL);
                assert_refused(&stream, "hold", 401, "token_revoked");
            }
        }
    }
}

#[test]
fn a_removed_key_is_refused_by_every_worker_with_its_next_request() {
    for (flag, mode) in MODES {
        let workers = workers::<3>(flag, &remote(mode));
        fetch(&workers[0], 200, jwks(&["k1", "k2"]));
        let good = token(&workers[0], "docs.read");
        for vm in &workers {
            assert_forwarded(&send(vm, post(&good), CALL));
            vm.advance(KEYS_ARE_DUE);
        }
        fetch(&workers[0], 200, jwks(&["k2"]));
        for vm in &workers {
            assert_refused(&send(vm, post(&good), CALL), "hold", 401, "token_key");
            let other = sign("k2", &claims(vm, "docs.read"));
            assert_forwarded(&send(vm, post(&other), CALL));
        }
    }
}

#[test]
fn all_workers_at_once_fetch_each_document_once() {
    let mut document = with_revocations("hold");
    document["issuers"]["corp"]["jwks"] = remote("hold")["issuers"]["corp"]["jwks"].clone();
    let workers = workers::<4>(HostFlag::StopIteration, &document);
    for _ in 0..3 {
        let waiting = workers.each_ref().map(|vm| [(); 3].map(|()| send_and_wait(vm)));
        let before = crate::support::callouts(&workers);
        for _ in 0..3 {
            tick(&workers);
        }
        assert_eq!(crate::support::callouts(&workers), before + 2);
        for vm in &workers {
            for callout in vm.pending_callouts() {
                let body = match callout.headers.get(":path") {
                    Some("/jwks") => jwks(&["k1"]),
                    _ => list(&json!([])),
                };
                vm.answer(&callout, 200, [JSON], body);
            }
        }
        tick(&workers);
        for stream in waiting.iter().flatten() {
            assert_forwarded(stream);
        }
        for vm in &workers {
            assert_serves(vm);
            // Long enough to be of no use any more.
            vm.advance(2 * DAY);
        }
    }
}

#[test]
fn no_jump_of_the_clock_leaves_a_worker_without_documents_or_with_old_ones() {
    for (document, good) in
        [(remote("hold"), jwks(&["k1"])), (with_revocations("hold"), list(&json!([])))]
    {
        let vm = Vm::with(HostFlag::StopIteration).start(&document).unwrap();
        let start = vm.now();
        fetch(&vm, 200, &good);
        assert_serves(&vm);
        for jump in [60 * DAY, Duration::ZERO, 400 * DAY, DAY, 3 * DAY] {
            vm.set_now(start + jump);
            // What was fetched at another time says nothing of now.
            let stream = send_and_wait(&vm);
            let callout = asked(&vm);
            vm.answer(&callout, 200, [JSON], &good);
            assert_forwarded(&stream);
        }
        // Also while a fetch is under way.
        vm.advance(KEYS_ARE_DUE);
        asked(&vm);
        vm.set_now(start);
        vm.tick();
        let stream = send(&vm, post(&token(&vm, "docs.read")), CALL);
        assert_withheld(&stream, "hold");
        vm.tick();
        for pending in vm.pending_callouts() {
            vm.answer(&pending, 200, [JSON], &good);
        }
        vm.tick();
        assert_forwarded(&stream);
    }
}

/// The keys are found by the issuer's metadata.
fn discovered(mode: &str, keys_cluster: Option<&str>) -> Value {
    let mut jwks = json!({ "discovery": "openid", "cluster": "idp", "timeout": "4s" });
    if let Some(cluster) = keys_cluster {
        jwks["keys_cluster"] = json!(cluster);
    }
    configuration(mode, jwks)
}

fn metadata(issuer: &str, uri: &str) -> String {
    json!({ "issuer": issuer, "jwks_uri": uri, "more": [1] }).to_string()
}

#[test]
fn keys_are_found_by_metadata() {
    for (flag, mode) in MODES {
        for (keys_cluster, uri, cluster, authority) in [
            (None, "https://idp.example.com/k?v=1", "idp", "idp.example.com"),
            (Some("keys"), "https://keys.example.net/k?v=1", "keys", "keys.example.net"),
        ] {
            let vm = Vm::with(flag).start(discovered(mode, keys_cluster)).unwrap();
            let stream = send_and_wait(&vm);
            let callout = asked(&vm);
            assert_eq!(callout.cluster, "idp");
            let path = callout.headers.get(":path");
            assert_eq!(path, Some("/.well-known/openid-configuration"));
            vm.advance(Duration::from_secs(1));
            vm.answer(&callout, 200, [JSON], metadata(crate::support::ISSUER, uri));
            assert_withheld(&stream, "hold");
            let callout = vm.pending_callouts().remove(0);
            assert_eq!(callout.cluster, cluster);
            assert_eq!(callout.headers.get(":authority"), Some(authority));
            assert_eq!(callout.headers.get(":path"), Some("/k?v=1"));
            // In what is left of the time.
            assert_eq!(callout.timeout, Duration::from_secs(3));
            vm.answer(&callout, 200, [JSON], jwks(&["k1"]));
            assert_forwarded(&stream);
            assert_eq!(vm.callouts().len(), 2);
        }
    }
}

#[test]
fn metadata_that_misleads_is_not_followed() {
    const URI: &str = "https://idp.example.com/k";
    let issuer = crate::support::ISSUER;
    let bodies = [
        metadata("https://evil.example", URI),
        metadata(&format!("{issuer}/"), URI),
        metadata(issuer, "https://evil.example/k"),
        metadata(issuer, "http://idp.example.com/k"),
        metadata(issuer, "/k"),
        metadata(issuer, "https://idp.example.com@evil.example/k"),
        json!({ "issuer": issuer }).to_string(),
        format!(r#"{{"issuer":"{issuer}","jwks_uri":"{URI}","jwks_uri":"https://evil.example"}}"#),
        "<html>".to_owned(),
        jwks(&["k1"]),
    ];
    for (flag, mode) in MODES {
        let vm = Vm::with(flag).start(discovered(mode, None)).unwrap();
        for body in &bodies {
            let stream = send_and_wait(&vm);
            let callout = asked(&vm);
            vm.answer(&callout, 200, [JSON], body);
            assert_refused(&stream, "hold", 503, "keys_unavailable");
            assert!(vm.pending_callouts().is_empty(), "{body}");
            pass_fetch_debounce(&vm);
        }
        // Metadata that takes all of the time leaves none for the keys.
        let stream = send_and_wait(&vm);
        let callout = asked(&vm);
        vm.advance(Duration::from_secs(4));
        vm.answer(&callout, 200, [JSON], metadata(issuer, URI));
        assert_refused(&stream, "hold", 503, "keys_unavailable");
        pass_fetch_debounce(&vm);
        // Good metadata, and no keys where it points.
        let stream = send_and_wait(&vm);
        let callout = asked(&vm);
        vm.answer(&callout, 200, [JSON], metadata(issuer, URI));
        vm.fail_callout(&vm.pending_callouts()[0]);
        assert_refused(&stream, "hold", 503, "keys_unavailable");
    }
}

#[test]
fn a_rotation_under_a_stream_of_requests_costs_no_valid_call() {
    const SECONDS: u64 = 900;
    let workers = workers::<4>(HostFlag::StopIteration, &remote("hold"));
    let (mut served, mut waited, mut refused, mut fetches) = (0, 0, 0, 0);
    let removed = sign("k1", &{
        let mut claims = claims(&workers[0], "docs.read");
        claims["exp"] = json!(claims["exp"].as_u64().unwrap() + 2 * SECONDS);
        claims
    });
    for second in 0..SECONDS {
        // Published at 100, used from 120, alone from 300: an overlap shorter than what
        // keys are used without asking.
        let published = match second {
            0..100 => jwks(&["k1"]),
            100..300 => jwks(&["k1", "k2"]),
            _ => jwks(&["k2"]),
        };
        let kid = if second < 120 { "k1" } else { "k2" };
        let vm = &workers[usize::try_from(second % 4).unwrap()];
        let good = send(vm, post(&sign(kid, &claims(vm, "docs.read"))), CALL);
        // Somebody invents keys all the while.
        let invented = sign(&format!("x{second}"), &claims(vm, "docs.read"));
        let bad = send(&workers[0], post(&invented), CALL);
        waited += usize::from(good.downstream().status().is_none() && !good.upstream().ended());
        tick(&workers);
        for worker in &workers {
            for callout in worker.pending_callouts() {
                fetches += 1;
                worker.answer(&callout, 200, [JSON], &published);
            }
        }
        tick(&workers);
        assert_forwarded(&good);
        answer(&good);
        served += 1;
        assert!(bad.upstream().is_empty());
        assert_eq!(bad.downstream().status(), Some(401), "{second}");
        bad.finish();
        // The withdrawn key's token, which expires much later: good until the keys were
        // fetched again, and then never.
        let old = send(vm, post(&removed), CALL);
        let passed = old.upstream().ended();
        old.finish();
        assert!(passed || second >= 300, "{second}");
        assert!(!passed || second < 311, "{second}");
        refused += usize::from(!passed);
        for worker in &workers {
            worker.advance(Duration::from_secs(1));
        }
    }
    eprintln!("rotation: {served} served, {waited} waited, {fetches} fetches, {refused} refused");
    assert!(fetches <= SECONDS / 10 + 1, "{fetches}");
    assert!(refused > 500);
}
