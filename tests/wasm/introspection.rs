//! The issuer's own word on a token (RFC 7662, RFC 9701): what waits for it waits as a
//! whole, and goes on only if the word is good.

use crate::host::{Callout, Event, HostFlag, Outcome, Status, Stream, Vm, Which};
use crate::support::{
    CALL, ISSUER, MODES, RESOURCE, answer, assert_forwarded, assert_refused, assert_serves,
    assert_withheld, claims, encode, inline, jwks, post, record, send, sign_as, tick, token,
    workers,
};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use p256::ecdsa::signature::Verifier as _;
use p256::pkcs8::{EncodePrivateKey, LineEnding};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const OPAQUE: &str = "opaque-token-0123456789";

const PLAIN: [(&str, &str); 1] = [("content-type", "application/json")];

/// The configuration of an issuer that is asked about those tokens.
fn configuration(mode: &str, tokens: &str, client: &Value) -> Value {
    let mut document = inline(mode);
    document["issuers"]["corp"]["introspection"] = json!({
        "uri": "https://idp.example.com/introspect?tenant=1", "cluster": "as",
        "tokens": tokens, "client": client,
    });
    document
}

fn injected(mode: &str, tokens: &str) -> Value {
    configuration(mode, tokens, &json!({ "method": "injected" }))
}

/// Calls of `search` need an answer of their own.
fn fresh_by_rule(mode: &str) -> Value {
    let mut document = injected(mode, "by_rule");
    document["servers"][0]["tools"]["rules"][0]["introspect"] = json!("fresh");
    document
}

fn start(flag: HostFlag, document: &Value) -> Vm {
    Vm::with(flag).start(document).unwrap()
}

/// What the issuer says of an active token with that scope.
fn active(vm: &Vm, scope: &str) -> Value {
    let mut members = claims(vm, scope);
    members["active"] = json!(true);
    members
}

fn inactive() -> Value {
    json!({ "active": false })
}

/// Sends a whole call that then waits.
fn send_and_wait(vm: &Vm, token: &str, mode: &str) -> Stream {
    let stream = send(vm, post(token), CALL);
    assert_withheld(&stream, mode);
    assert_eq!(stream.downstream().status(), None);
    stream
}

/// Ticks, and takes the one request that is then under way.
#[track_caller]
fn asked(vm: &Vm) -> Callout {
    vm.tick();
    let mut pending = vm.pending_callouts();
    assert_eq!(pending.len(), 1, "{pending:?}");
    pending.remove(0)
}

/// Ticks, and answers the one request that is then under way.
#[track_caller]
fn say(vm: &Vm, members: &Value) {
    let callout = asked(vm);
    vm.answer(&callout, 200, PLAIN, members.to_string());
}

/// The members of a form.
fn form(callout: &Callout) -> BTreeMap<String, String> {
    form_urlencoded::parse(&callout.body).into_owned().collect()
}

#[test]
fn an_opaque_token_passes_by_the_issuers_word() {
    for (flag, mode) in MODES {
        let vm = start(flag, &injected(mode, "opaque"));
        let stream = send_and_wait(&vm, OPAQUE, "hold");
        let callout = asked(&vm);
        assert_eq!(callout.cluster, "as");
        for (name, value) in [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "idp.example.com"),
            (":path", "/introspect?tenant=1"),
            ("accept", "application/json"),
            ("content-type", "application/x-www-form-urlencoded"),
        ] {
            assert_eq!(callout.headers.get(name), Some(value));
        }
        assert_eq!(callout.headers.get("authorization"), None);
        let sent = form(&callout);
        assert_eq!(sent["token"], OPAQUE);
        assert_eq!(sent["token_type_hint"], "access_token");
        assert_eq!(sent.len(), 2);
        assert_eq!(callout.timeout, Duration::from_secs(5));
        assert_withheld(&stream, "hold");
        vm.answer(&callout, 200, PLAIN, active(&vm, "docs.read").to_string());
        assert_forwarded(&stream);
        answer(&stream);
        assert_eq!(record(&stream)["introspection"], "asked");

        let again = send(&vm, post(OPAQUE), CALL);
        assert_forwarded(&again);
        answer(&again);
        assert_eq!(record(&again)["introspection"], "cached");
        assert_eq!(vm.metric("countersign.introspection_cache.hits"), 1);
        // A word is good for 30 seconds.
        vm.advance(Duration::from_secs(31));
        let stream = send_and_wait(&vm, OPAQUE, "hold");
        say(&vm, &inactive());
        assert_refused(&stream, "hold", 401, "token_inactive");
        assert_eq!(vm.metric("countersign.introspections.succeeded"), 2);
    }
}

#[test]
fn an_inactive_token_is_refused_and_not_asked_about_all_the_time() {
    for (flag, mode) in MODES {
        let vm = start(flag, &injected(mode, "opaque"));
        let stream = send_and_wait(&vm, OPAQUE, "hold");
        say(&vm, &inactive());
        assert_refused(&stream, "hold", 401, "token_inactive");
        assert_refused(&send(&vm, post(OPAQUE), CALL), "hold", 401, "token_inactive");
        assert_eq!(vm.callouts().len(), 1);
        vm.advance(Duration::from_secs(6));
        let stream = send_and_wait(&vm, OPAQUE, "hold");
        say(&vm, &active(&vm, "docs.read"));
        assert_forwarded(&stream);
    }
}

#[test]
fn local_checks_still_apply_to_an_active_token() {
    let vm = start(HostFlag::StopIteration, &injected("hold", "opaque"));
    let now = active(&vm, "")["iat"].as_u64().unwrap();
    let changes = [
        ("aud", json!("https://other.example.com"), 401, "token_audience"),
        ("aud", Value::Null, 401, "token_claim_missing"),
        ("sub", Value::Null, 401, "token_claim_missing"),
        ("exp", json!(now - 40), 401, "token_inactive"),
        ("iat", json!(now + 600), 401, "token_issued_in_future"),
        ("nbf", json!(now + 600), 401, "token_not_yet_valid"),
        ("scope", json!("other"), 403, "scope_missing"),
        ("cnf", json!({ "jkt": encode([1; 32]) }), 401, "token_sender_constrained"),
        ("cnf", json!({ "x": "y" }), 503, "introspection_unavailable"),
        ("token_type", json!("DPoP"), 401, "token_claim_bad"),
        ("active", json!("true"), 503, "introspection_unavailable"),
        ("active", json!(1), 503, "introspection_unavailable"),
        ("active", Value::Null, 503, "introspection_unavailable"),
    ];
    for (index, (name, value, status, code)) in changes.into_iter().enumerate() {
        let stream = send_and_wait(&vm, &format!("{OPAQUE}-{index}"), "hold");
        let mut members = active(&vm, "docs.read");
        members[name] = value;
        if members[name].is_null() {
            members.as_object_mut().unwrap().remove(name);
        }
        say(&vm, &members);
        stream.finish();
        assert_eq!(record(&stream)["code"], code, "{name} {members}");
        assert_eq!(stream.downstream().status(), Some(status), "{name}");
        assert!(stream.upstream().is_empty());
        vm.advance(Duration::from_secs(2));
    }
}

#[test]
fn without_the_issuers_word_it_is_a_503() {
    let answers: [fn(&Vm, &Callout); 12] = [
        |vm, callout| vm.fail_callout(callout),
        |vm, callout| vm.time_out_callout(callout),
        |vm, callout| vm.answer(callout, 500, PLAIN, active(vm, "docs.read").to_string()),
        |vm, callout| vm.answer(callout, 302, [("location", "/")], ""),
        |vm, callout| vm.answer(callout, 200, PLAIN, ""),
        |vm, callout| vm.answer(callout, 200, PLAIN, "true"),
        |vm, callout| vm.answer(callout, 200, PLAIN, r#"{"active":true,"active":true}"#),
        |vm, callout| vm.answer(callout, 200, [("content-type", "text/html")], "<html>"),
        |vm, callout| {
            let body = active(vm, "docs.read").to_string();
            vm.answer(callout, 200, [("content-type", "text/html")], body);
        },
        // Answers have a type.
        |vm, callout| {
            vm.answer(callout, 200, [("a", "b")], active(vm, "docs.read").to_string());
        },
        |vm, callout| {
            let mut members = active(vm, "docs.read");
            members["x"] = json!("x".repeat(20 << 20));
            vm.answer(callout, 200, PLAIN, members.to_string());
        },
        // Lost: the worker gives it up.
        |vm, _| {
            vm.advance(Duration::from_secs(11));
            vm.tick();
        },
    ];
    for (flag, mode) in MODES {
        for (index, answer) in answers.iter().enumerate() {
            let vm = start(flag, &injected(mode, "opaque"));
            let stream = send_and_wait(&vm, OPAQUE, "hold");
            answer(&vm, &asked(&vm));
            stream.finish();
            assert_eq!(record(&stream)["code"], "introspection_unavailable", "{index}");
            assert_eq!(stream.downstream().status(), Some(503));
            assert_eq!(stream.downstream().header("retry-after"), Some("5"));
            assert!(stream.upstream().is_empty());
            assert_eq!(vm.metric("countersign.introspections.failed"), 1);
            // Who tries again at once does not reach the issuer, who comes later does.
            let stream = send(&vm, post(OPAQUE), CALL);
            assert_refused(&stream, "hold", 503, "introspection_unavailable");
            vm.advance(Duration::from_secs(2));
            let stream = send_and_wait(&vm, OPAQUE, "hold");
            vm.tick();
            let callout = vm.pending_callouts().pop().unwrap();
            vm.answer(&callout, 200, PLAIN, active(&vm, "docs.read").to_string());
            assert_forwarded(&stream);
        }
    }
}

#[test]
fn a_request_that_cannot_be_sent_is_a_503() {
    for (flag, mode) in MODES {
        let builder = Vm::with(flag).without_cluster("as");
        let vm = builder.start(injected(mode, "opaque")).unwrap();
        let stream = send_and_wait(&vm, OPAQUE, "hold");
        vm.tick();
        assert_refused(&stream, "hold", 503, "introspection_unavailable");
        // Verified tokens need no word.
        assert_serves(&vm);
    }
}

#[test]
fn rfc7662_2_3_a_refusal_of_our_credentials_is_our_fault_and_an_operators_business() {
    for status in [401, 403] {
        let vm = start(HostFlag::StopIteration, &injected("hold", "opaque"));
        let waiting: Vec<_> =
            ["a", "b"].map(|end| send_and_wait(&vm, &format!("{OPAQUE}{end}"), "hold")).into();
        vm.tick();
        let challenge = [("www-authenticate", "Basic realm=\"idp\"")];
        let callouts = vm.pending_callouts();
        assert_eq!(callouts.len(), 2);
        for callout in callouts {
            vm.answer(&callout, status, challenge, "");
        }
        for stream in waiting {
            assert_refused(&stream, "hold", 503, "introspection_unavailable");
            assert_eq!(stream.downstream().header("www-authenticate"), None);
        }
        let errors: Vec<_> = vm.log().into_iter().filter(|line| line.level == 4).collect();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].message.contains("refused our credentials"));
        // Nobody asks with them again for a moment.
        let stream = send(&vm, post("another-token"), CALL);
        assert_refused(&stream, "hold", 503, "introspection_unavailable");
        assert_eq!(vm.callouts().len(), 2);
    }
}

#[test]
fn a_secret_comes_from_the_environment() {
    const SECRET: &str = "s3cr:t &+=";
    let client = |method: &str| json!({ "method": method, "client_id": "gate way", "client_secret": { "env": "IDP_SECRET" } });
    let ask = |method: &str| {
        let document = configuration("hold", "opaque", &client(method));
        let builder = Vm::with(HostFlag::StopIteration).environment("OTHER", "x");
        let vm = builder.environment("IDP_SECRET", SECRET).start(&document).unwrap();
        let stream = send_and_wait(&vm, OPAQUE, "hold");
        let callout = asked(&vm);
        vm.answer(&callout, 200, PLAIN, active(&vm, "docs.read").to_string());
        assert_forwarded(&stream);
        stream.finish();
        let logged = vm.log().into_iter().map(|line| line.message).collect::<String>();
        assert!(!logged.contains("s3cr") && !record(&stream).to_string().contains("s3cr"));
        callout
    };
    let basic = ask("client_secret_basic");
    // RFC 6749 section 2.3.1: both parts are form-encoded.
    let credentials = STANDARD.encode("gate+way:s3cr%3At+%26%2B%3D");
    assert_eq!(basic.headers.get("authorization"), Some(&*format!("Basic {credentials}")));
    assert_eq!(form(&basic).len(), 2);
    let posted = form(&ask("client_secret_post"));
    assert_eq!(posted["client_id"], "gate way");
    assert_eq!(posted["client_secret"], SECRET);

    let document = configuration("hold", "opaque", &client("client_secret_basic"));
    for empty in [None, Some("")] {
        let builder = Vm::with(HostFlag::StopIteration);
        let builder = match empty {
            Some(value) => builder.environment("IDP_SECRET", value),
            None => builder,
        };
        let rejected = builder.start(&document).err().unwrap();
        assert!(rejected.log.iter().any(|line| line.message.contains("`IDP_SECRET`")));
    }
}

/// With an assertion that the host signs.
fn private_key_jwt() -> (Value, p256::ecdsa::SigningKey, String) {
    let key = p256::ecdsa::SigningKey::from_slice(&[5; 32]).unwrap();
    let pem = key.to_pkcs8_pem(LineEnding::LF).unwrap().to_string();
    let client = json!({
        "method": "private_key_jwt", "client_id": "gate", "algorithm": "ES256",
        "key_id": "ours", "key": { "env": "IDP_KEY" },
    });
    (configuration("hold", "opaque", &client), key, pem)
}

#[test]
fn rfc7523_3_the_host_signs_an_assertion_for_each_request() {
    let (document, key, pem) = private_key_jwt();
    let builder = Vm::with(HostFlag::StopIteration).environment("IDP_KEY", &pem);
    let vm = builder.start(&document).unwrap();
    let mut ids = Vec::new();
    for number in 0..2 {
        let stream = send_and_wait(&vm, &format!("{OPAQUE}{number}"), "hold");
        let callout = asked(&vm);
        let sent = form(&callout);
        assert_eq!(sent["client_id"], "gate");
        let assertion_type = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        assert_eq!(sent["client_assertion_type"], assertion_type);
        let (input, signature) = sent["client_assertion"].rsplit_once('.').unwrap();
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
        let signature = p256::ecdsa::Signature::from_slice(&decode(signature)).unwrap();
        key.verifying_key().verify(input.as_bytes(), &signature).unwrap();
        let [header, claims] = input.split_once('.').map(|(h, c)| [h, c]).unwrap();
        let [header, claims]: [Value; 2] =
            [header, claims].map(|part| serde_json::from_slice(&decode(part)).unwrap());
        assert_eq!(header, json!({ "alg": "ES256", "typ": "JWT", "kid": "ours" }));
        let now = active(&vm, "")["iat"].as_u64().unwrap();
        assert_eq!(claims["iss"], "gate");
        assert_eq!(claims["sub"], "gate");
        assert_eq!(claims["aud"], ISSUER);
        assert_eq!(claims["iat"], now);
        assert_eq!(claims["exp"], now + 60);
        ids.push(claims["jti"].clone());
        vm.answer(&callout, 200, PLAIN, active(&vm, "docs.read").to_string());
        assert_forwarded(&stream);
    }
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn a_host_that_does_not_sign_is_a_503_and_no_request() {
    let (document, _, pem) = private_key_jwt();
    let faults: [fn(&Vm); 4] = [
        |vm| vm.set_native_signing(false),
        |vm| vm.fail_hostcall("proxy_call_foreign_function", Which::All, Status::BAD_ARGUMENT),
        |vm| vm.fail_hostcall("proxy_call_foreign_function", Which::All, Status::INTERNAL_FAILURE),
        // Success without a result.
        |vm| vm.fail_hostcall("proxy_call_foreign_function", Which::All, Status::OK),
    ];
    for fault in faults {
        let builder = Vm::with(HostFlag::StopIteration).environment("IDP_KEY", &pem);
        let vm = builder.start(&document).unwrap();
        fault(&vm);
        let stream = send_and_wait(&vm, OPAQUE, "hold");
        vm.tick();
        assert_refused(&stream, "hold", 503, "introspection_unavailable");
        assert!(vm.callouts().is_empty());
    }
}

#[test]
fn streams_with_the_same_token_share_one_request() {
    for (flag, mode) in MODES {
        let [one, other] = workers(flag, &injected(mode, "opaque"));
        let early: Vec<_> = (0..40).map(|_| send_and_wait(&one, OPAQUE, "hold")).collect();
        let callout = asked(&one);
        let late: Vec<_> = (0..40).map(|_| send_and_wait(&one, OPAQUE, "hold")).collect();
        tick(&[one.clone(), other.clone()]);
        one.answer(&callout, 200, PLAIN, active(&one, "docs.read").to_string());
        for stream in early.iter().chain(&late) {
            assert_forwarded(stream);
        }
        assert_eq!(one.callouts().len(), 1);
        // Words are each worker's own.
        assert!(other.callouts().is_empty());
        let stream = send_and_wait(&other, OPAQUE, "hold");
        say(&other, &inactive());
        assert_refused(&stream, "hold", 401, "token_inactive");
    }
}

#[test]
fn invented_tokens_do_not_flood_the_issuer() {
    let vm = start(HostFlag::StopIteration, &injected("hold", "opaque"));
    let token = |number| format!("{OPAQUE}-{number}");
    let waiting: Vec<_> = (0..256).map(|n| send_and_wait(&vm, &token(n), "hold")).collect();
    let refused = send(&vm, post("one-too-many"), CALL);
    assert_refused(&refused, "hold", 503, "introspection_unavailable");
    for round in 1..=4 {
        vm.tick();
        vm.tick();
        assert_eq!(vm.callouts().len(), round * 64);
        for callout in vm.pending_callouts() {
            vm.answer(&callout, 200, PLAIN, inactive().to_string());
        }
    }
    for stream in waiting {
        assert_refused(&stream, "hold", 401, "token_inactive");
    }
}

#[test]
fn no_more_streams_wait_than_a_worker_may_hold() {
    for (document, token) in [
        (injected("hold", "opaque"), OPAQUE.to_owned()),
        (fresh_by_rule("hold"), token(&start(HostFlag::Default, &inline("stream")), "docs.read")),
    ] {
        let vm = start(HostFlag::StopIteration, &document);
        let waiting: Vec<_> = (0..1024).map(|_| send_and_wait(&vm, &token, "hold")).collect();
        assert_refused(&send(&vm, post(&token), CALL), "hold", 503, "overloaded");
        waiting[0].finish();
        let last = send_and_wait(&vm, &token, "hold");
        assert_refused(&send(&vm, post(&token), CALL), "hold", 503, "overloaded");
        say(&vm, &active(&vm, "docs.read"));
        for stream in waiting[1..].iter().chain([&last]) {
            assert_forwarded(stream);
        }
    }
}

#[test]
fn a_rules_fresh_word_is_waited_for_with_the_whole_request() {
    for (flag, mode) in MODES {
        for trailers in [false, true] {
            let vm = start(flag, &fresh_by_rule(mode));
            let token = token(&vm, "docs.read");
            for _ in 0..2 {
                let stream = vm.stream();
                stream.request_headers(post(&token), false);
                stream.request_body(&CALL[..20], false);
                assert_eq!(stream.request_body(&CALL[20..], !trailers), Outcome::Pause);
                if trailers {
                    assert_eq!(stream.request_trailers([("x-t", "1")]), Outcome::Pause);
                }
                assert_withheld(&stream, mode);
                let callout = asked(&vm);
                assert_eq!(form(&callout)["token"], token);
                assert_withheld(&stream, mode);
                vm.tick();
                vm.answer(&callout, 200, PLAIN, active(&vm, "docs.read").to_string());
                assert_forwarded(&stream);
                assert_eq!(stream.upstream().text(), CALL);
                // MCP has no trailers, so none go on.
                if let Some(Event::Trailers(trailers)) = stream.upstream().events().last() {
                    assert_eq!(trailers.len(), 0);
                }
                answer(&stream);
                assert_eq!(record(&stream)["introspection"], "asked");
            }
            assert_eq!(vm.callouts().len(), 2, "one for each");
        }
    }
}

#[test]
fn a_call_may_wait_for_one_thing_after_another() {
    for (flag, mode) in MODES {
        for (last, status) in [(true, None), (false, Some(401))] {
            let mut document = injected(mode, "all");
            let issuer = &mut document["issuers"]["corp"];
            issuer["jwks"] = json!({ "uri": "https://idp.example.com/jwks", "cluster": "idp" });
            issuer["revocation"] =
                json!({ "uri": "https://idp.example.com/gone", "cluster": "idp" });
            document["servers"][0]["tools"]["rules"][0]["introspect"] = json!("fresh");
            let vm = start(flag, &document);
            let stream = send_and_wait(&vm, &token(&vm, "docs.read"), "hold");
            vm.tick();
            let mut first = vm.pending_callouts();
            assert_eq!(first.len(), 2);
            let [gone, keys] = [first.pop().unwrap(), first.pop().unwrap()];
            vm.answer(&keys, 200, PLAIN, jwks(&["k1"]));
            assert_withheld(&stream, "hold");
            vm.answer(&gone, 200, PLAIN, r#"{"revoked":[]}"#);
            assert_withheld(&stream, "hold");
            say(&vm, &active(&vm, "docs.read"));
            // In `stream` the headers may go now, the body waits for the rule's word.
            assert!(stream.upstream().body().is_empty() && !stream.upstream().ended());
            say(&vm, &if last { active(&vm, "docs.read") } else { inactive() });
            match status {
                None => assert_forwarded(&stream),
                Some(status) => assert_refused(&stream, mode, status, "token_inactive"),
            }
            assert_eq!(vm.callouts().len(), 4);
        }
    }
}

#[test]
fn a_word_against_the_token_ends_the_call() {
    for (flag, mode) in MODES {
        let vm = start(flag, &fresh_by_rule(mode));
        let token = token(&vm, "docs.read docs.write");
        let less = active(&vm, "docs.write");
        let mut other = active(&vm, "docs.read");
        other["sub"] = json!("mallory");
        for (said, status, code) in [
            (inactive(), 401, "token_inactive"),
            (less, 403, "scope_missing"),
            (other, 401, "token_claim_bad"),
            (json!({ "active": "yes" }), 503, "introspection_unavailable"),
        ] {
            let stream = send_and_wait(&vm, &token, mode);
            say(&vm, &said);
            assert_refused(&stream, mode, status, code);
            vm.advance(Duration::from_secs(2));
        }
        // Other calls do not need it.
        let other = CALL.replace("search", "delete");
        assert_forwarded(&send(&vm, post(&token), &other));
        assert_eq!(vm.callouts().len(), 4);
    }
}

#[test]
fn a_request_that_was_under_way_is_no_fresh_word() {
    for (flag, mode) in MODES {
        let vm = start(flag, &fresh_by_rule(mode));
        let token = token(&vm, "docs.read");
        let first = send_and_wait(&vm, &token, mode);
        let callout = asked(&vm);
        let later = [(); 3].map(|()| send_and_wait(&vm, &token, mode));
        vm.answer(&callout, 200, PLAIN, active(&vm, "docs.read").to_string());
        assert_forwarded(&first);
        for stream in &later {
            assert_withheld(stream, mode);
        }
        say(&vm, &inactive());
        for stream in &later {
            assert_refused(stream, mode, 401, "token_inactive");
        }
        assert_eq!(vm.callouts().len(), 2);
    }
}

#[test]
fn a_server_that_answers_while_the_issuer_is_asked_is_cut_off() {
    let vm = start(HostFlag::Default, &fresh_by_rule("stream"));
    let stream = send_and_wait(&vm, &token(&vm, "docs.read"), "stream");
    let headers = [(":status", "200"), ("content-type", "application/json")];
    assert_eq!(stream.response_headers(headers, false), Outcome::Replied);
    assert_refused(&stream, "stream", 502, "response_premature");
    say(&vm, &active(&vm, "docs.read"));
    assert!(stream.upstream().body().is_empty());
}

#[test]
fn a_client_that_goes_while_the_issuer_is_asked_leaves_nothing_behind() {
    for (flag, mode) in MODES {
        for (document, token) in [
            (injected(mode, "opaque"), OPAQUE.to_owned()),
            (fresh_by_rule(mode), token(&start(flag, &inline(mode)), "docs.read")),
        ] {
            let shown = if token == OPAQUE { "hold" } else { mode };
            let vm = start(flag, &document);
            let gone = send_and_wait(&vm, &token, shown);
            let callout = asked(&vm);
            gone.finish();
            assert_eq!(record(&gone)["code"], "client_disconnected");
            vm.answer(&callout, 200, PLAIN, active(&vm, "docs.read").to_string());
            assert!(!gone.upstream().ended() && gone.upstream().body().is_empty());
            // One that goes before the request has started.
            let gone = send(&vm, post("other-opaque-token"), CALL);
            gone.finish();
            vm.tick();
            for callout in vm.pending_callouts() {
                vm.answer(&callout, 200, PLAIN, active(&vm, "docs.read").to_string());
            }
            assert!(gone.upstream().is_empty());
            assert!(vm.take_trap().is_none());
        }
    }
}

#[test]
fn who_waits_under_a_replaced_configuration_is_denied() {
    for (flag, mode) in MODES {
        for (document, token) in [
            (injected(mode, "opaque"), OPAQUE.to_owned()),
            (fresh_by_rule(mode), token(&start(flag, &inline(mode)), "docs.read")),
        ] {
            let shown = if token == OPAQUE { "hold" } else { mode };
            let vm = start(flag, &document);
            let waiting = [(); 2].map(|()| send_and_wait(&vm, &token, shown));
            let callout = asked(&vm);
            assert!(vm.configure(&document));
            for stream in &waiting {
                assert_refused(stream, shown, 503, "configuration_replaced");
            }
            // The answer means nothing to the new configuration.
            vm.answer(&callout, 200, PLAIN, active(&vm, "docs.read").to_string());
            let stream = send_and_wait(&vm, &token, shown);
            say(&vm, &inactive());
            assert_refused(&stream, shown, 401, "token_inactive");
        }
    }
}

#[test]
fn nobody_waits_for_a_word_under_a_configuration_that_was_replaced_before() {
    for (flag, mode) in MODES {
        let vm = start(flag, &fresh_by_rule(mode));
        let stream = vm.stream();
        stream.request_headers(post(&token(&vm, "docs.read")), false);
        assert!(vm.configure(fresh_by_rule(mode)));
        stream.request_body(CALL, true);
        assert_refused(&stream, mode, 503, "configuration_replaced");
    }
}

#[test]
fn every_jwt_can_be_asked_about_and_a_forged_one_is_not() {
    for (flag, mode) in MODES {
        let vm = start(flag, &injected(mode, "all"));
        let token = token(&vm, "docs.read");
        let stream = send_and_wait(&vm, &token, "hold");
        say(&vm, &active(&vm, "docs.read"));
        assert_forwarded(&stream);
        let (input, _) = token.rsplit_once('.').unwrap();
        let forged = format!("{input}.{}", encode([0; 64]));
        assert_refused(&send(&vm, post(&forged), CALL), "hold", 401, "token_signature");
        vm.tick();
        assert_eq!(vm.callouts().len(), 1);
    }
}

#[test]
fn rfc9701_5_signed_answers_and_no_others() {
    const SIGNED: [(&str, &str); 1] = [("content-type", "application/token-introspection+jwt")];
    let mut document = injected("hold", "opaque");
    document["issuers"]["corp"]["introspection"]["signed_for"] = json!(RESOURCE);
    let vm = start(HostFlag::StopIteration, &document);
    let statement = |aud: &str| {
        json!({
            "iss": ISSUER, "aud": aud, "iat": active(&vm, "")["iat"],
            "token_introspection": active(&vm, "docs.read"),
        })
    };
    let typ = "token-introspection+jwt";
    let good = sign_as(typ, "k1", &statement(RESOURCE));
    let (input, _) = good.rsplit_once('.').unwrap();
    let unsigned = format!("{input}.{}", encode([0; 64]));
    let bad = [
        (PLAIN, active(&vm, "docs.read").to_string()),
        (PLAIN, good.clone()),
        (SIGNED, active(&vm, "docs.read").to_string()),
        (SIGNED, unsigned),
        (SIGNED, sign_as(typ, "k2", &statement(RESOURCE))),
        (SIGNED, sign_as(typ, "k1", &statement("https://other.example.com"))),
        (SIGNED, sign_as("at+jwt", "k1", &statement(RESOURCE))),
        // The token itself is no answer about it.
        (SIGNED, token(&vm, "docs.read")),
    ];
    for (headers, body) in bad {
        let stream = send_and_wait(&vm, OPAQUE, "hold");
        let callout = asked(&vm);
        assert_eq!(callout.headers.get("accept"), Some(SIGNED[0].1));
        vm.answer(&callout, 200, headers, &body);
        assert_refused(&stream, "hold", 503, "introspection_unavailable");
        vm.advance(Duration::from_secs(2));
    }
    let stream = send_and_wait(&vm, OPAQUE, "hold");
    vm.answer(&asked(&vm), 200, SIGNED, sign_as(typ, "k1", &statement(RESOURCE)));
    assert_forwarded(&stream);
}

#[test]
fn a_word_whose_age_cannot_be_told_is_asked_for_again() {
    let vm = start(HostFlag::StopIteration, &injected("hold", "opaque"));
    let now = vm.now();
    let said = active(&vm, "docs.read");
    let stream = send_and_wait(&vm, OPAQUE, "hold");
    say(&vm, &said);
    assert_forwarded(&stream);
    for jump in [Duration::from_secs(20), Duration::from_secs(10)] {
        vm.set_now(now - jump);
        let stream = send_and_wait(&vm, OPAQUE, "hold");
        say(&vm, &inactive());
        assert_refused(&stream, "hold", 401, "token_inactive");
        vm.advance(Duration::from_secs(6));
    }
}

#[test]
fn an_opaque_tokens_bytes_go_to_the_issuer_only() {
    for (flag, mode) in MODES {
        for said in [active(&start(flag, &inline(mode)), "docs.read"), inactive()] {
            let vm = start(flag, &injected(mode, "opaque"));
            let stream = send_and_wait(&vm, OPAQUE, "hold");
            say(&vm, &said);
            stream.finish();
            let told = vm.calls().into_iter().map(|call| call.arguments);
            let logged = vm.log().into_iter().map(|line| line.message);
            let wires = [stream.upstream(), stream.downstream()].map(|wire| format!("{wire:?}"));
            let everything = told.chain(logged).chain(wires).chain([record(&stream).to_string()]);
            assert!(everything.into_iter().all(|text| !text.contains(OPAQUE)));
        }
    }
}
