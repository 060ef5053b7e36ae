//! Authorization servers that fail, refuse, or answer with something else: no call goes on, and
//! who is told so is who can mend it.

use crate::exchange::{
    ACCESS_TOKEN, Caller, JWT, LIFE, LOST, PLAIN, SECRET, TARGET, asked, assert_exchanges,
    assert_has_none, assert_nothing_asked, assert_told_nobody, assert_waits, assert_went_with,
    credential_claims, exchanging, grant_next, granted, mint, opaque, payload, refuse, say, start,
    token_exchange, with_members,
};
use crate::fuzz_tables::Random;
use crate::host::{Callout, HostFlag, Stream, Vm};
use crate::support::{ISSUER, MODES, RESOURCE, assert_refused, encode, record};

use serde_json::{Value, json};
use std::time::{Duration, UNIX_EPOCH};

/// An answer, and what is made of it: status, code and `Retry-After`.
struct Fault {
    name: &'static str,
    answer: fn(&Vm, &Callout),
    status: u16,
    code: &'static str,
    retry_after: Option<&'static str>,
}

/// What nobody can have been granted by: mends itself.
const fn outage(name: &'static str, answer: fn(&Vm, &Callout)) -> Fault {
    Fault { name, answer, status: 503, code: "exchange_unavailable", retry_after: Some("5") }
}

/// What an operator has to mend, here or at the authorization server.
const fn failure(name: &'static str, code: &'static str, answer: fn(&Vm, &Callout)) -> Fault {
    Fault { name, answer, status: 502, code, retry_after: Some("5") }
}

/// What the caller may not have.
const fn refusal(name: &'static str, code: &'static str, answer: fn(&Vm, &Callout)) -> Fault {
    Fault { name, answer, status: 403, code, retry_after: None }
}

const OUTAGES: [Fault; 10] = [
    outage("refused connection", |vm, callout| {
        let body = "upstream connect error or disconnect/reset before headers";
        vm.answer(callout, 503, [("content-type", "text/plain")], body);
    }),
    outage("timeout", |vm, callout| vm.time_out_callout(callout)),
    outage("reset", |vm, callout| vm.fail_callout(callout)),
    outage("too late", |vm, callout| {
        vm.advance(LOST);
        vm.tick();
        vm.answer(callout, 200, PLAIN, good(vm).to_string());
    }),
    outage("server error", |vm, callout| vm.answer(callout, 500, PLAIN, "{}")),
    outage("a good body with 502", |vm, callout| {
        let token = mint(&credential_claims(vm, "docs.read"));
        vm.answer(callout, 502, PLAIN, granted(&token, "docs.read").to_string());
    }),
    outage("request timeout", |vm, callout| vm.answer(callout, 408, PLAIN, "{}")),
    outage("temporarily unavailable", |vm, callout| refuse(vm, callout, "temporarily_unavailable")),
    Fault {
        retry_after: Some("17"),
        ..outage("too many requests", |vm, callout| {
            vm.answer(callout, 429, [("retry-after", "17")], "");
        })
    },
    Fault {
        retry_after: Some("9"),
        ..outage("maintenance", |vm, callout| vm.answer(callout, 503, [("retry-after", "9")], ""))
    },
];

const MALFORMED: &str = "exchange_answer_malformed";

/// Answers that are no answer.
const NO_ANSWERS: [Fault; 21] = [
    failure("nothing", MALFORMED, |vm, callout| vm.answer(callout, 200, PLAIN, "")),
    failure("bytes", MALFORMED, |vm, callout| vm.answer(callout, 200, PLAIN, [0xff, 0, 0x80])),
    failure("true", MALFORMED, |vm, callout| vm.answer(callout, 200, PLAIN, "true")),
    failure("a list", MALFORMED, |vm, callout| say(vm, callout, &json!([good(vm)]))),
    failure("an empty object", MALFORMED, |vm, callout| say(vm, callout, &json!({}))),
    failure("an error with 200", MALFORMED, |vm, callout| {
        say(vm, callout, &json!({ "error": "invalid_grant" }));
    }),
    failure("HTML", MALFORMED, |vm, callout| {
        vm.answer(callout, 200, [("content-type", "text/html")], "<html>Sign in</html>");
    }),
    failure("a good body as HTML", MALFORMED, |vm, callout| {
        vm.answer(callout, 200, [("content-type", "text/html")], good(vm).to_string());
    }),
    failure("a good body of no type", MALFORMED, |vm, callout| {
        vm.answer(callout, 200, [("x-a", "b")], good(vm).to_string());
    }),
    failure("a good body cut off", MALFORMED, |vm, callout| {
        let body = good(vm).to_string();
        vm.answer(callout, 200, PLAIN, &body[..body.len() - 1]);
    }),
    failure("a good body with more behind it", MALFORMED, |vm, callout| {
        vm.answer(callout, 200, PLAIN, format!("{}{{}}", good(vm)));
    }),
    failure("members twice", MALFORMED, |vm, callout| {
        let body = good(vm).to_string();
        vm.answer(callout, 200, PLAIN, format!(r#"{{"token_type":"Bearer",{}"#, &body[1..]));
    }),
    failure("two tokens", MALFORMED, |vm, callout| {
        let body = good(vm).to_string();
        vm.answer(callout, 200, PLAIN, format!(r#"{{"access_token":"other",{}"#, &body[1..]));
    }),
    failure("no token", MALFORMED, |vm, callout| {
        say(vm, callout, &with_members(good(vm), json!({ "access_token": null })));
    }),
    failure("a token that is no text", MALFORMED, |vm, callout| {
        say(vm, callout, &with_members(good(vm), json!({ "access_token": 1 })));
    }),
    failure("a token that is another header", MALFORMED, |vm, callout| {
        let token = "a\r\nx-countersign-subject: root";
        say(vm, callout, &with_members(good(vm), json!({ "access_token": token })));
    }),
    failure("a token with a space", MALFORMED, |vm, callout| {
        say(vm, callout, &with_members(good(vm), json!({ "access_token": "a b" })));
    }),
    failure("created", MALFORMED, |vm, callout| {
        vm.answer(callout, 201, PLAIN, good(vm).to_string());
    }),
    failure("no content", MALFORMED, |vm, callout| vm.answer(callout, 204, PLAIN, "")),
    failure("redirect", MALFORMED, |vm, callout| {
        let to = [("location", "https://elsewhere.example/"), ("content-type", PLAIN[0].1)];
        vm.answer(callout, 302, to, good(vm).to_string());
    }),
    failure("a scope that is none", MALFORMED, |vm, callout| {
        say(vm, callout, &with_members(good(vm), json!({ "scope": ["docs.read"] })));
    }),
];

const TOO_LARGE: &str = "exchange_answer_too_large";

const HUGE: [Fault; 2] = [
    failure("300 KiB", TOO_LARGE, |vm, callout| padded(vm, callout, 300 << 10)),
    failure("20 MiB", TOO_LARGE, |vm, callout| padded(vm, callout, 20 << 20)),
];

/// Refusals, each by its error (RFC 6749 section 5.2, RFC 8693 section 2.2.2).
const REFUSALS: [Fault; 12] = [
    failure("401", "exchange_client_rejected", |vm, callout| {
        vm.answer(callout, 401, [("www-authenticate", "Basic realm=\"as\"")], "");
    }),
    failure("invalid_client", "exchange_client_rejected", |vm, callout| {
        vm.answer(callout, 401, PLAIN, json!({ "error": "invalid_client" }).to_string());
    }),
    failure("invalid_client with 400", "exchange_client_rejected", |vm, callout| {
        refuse(vm, callout, "invalid_client");
    }),
    failure("unauthorized_client", "exchange_client_rejected", |vm, callout| {
        refuse(vm, callout, "unauthorized_client");
    }),
    failure("unsupported_grant_type", "exchange_client_rejected", |vm, callout| {
        refuse(vm, callout, "unsupported_grant_type");
    }),
    failure("invalid_target", "exchange_target_rejected", |vm, callout| {
        refuse(vm, callout, "invalid_target");
    }),
    failure("invalid_request", "exchange_request_rejected", |vm, callout| {
        refuse(vm, callout, "invalid_request");
    }),
    failure("an error that nobody knows", "exchange_request_rejected", |vm, callout| {
        refuse(vm, callout, "out_of_paper");
    }),
    failure("use_dpop_nonce", "exchange_request_rejected", |vm, callout| {
        refuse(vm, callout, "use_dpop_nonce");
    }),
    refusal("invalid_scope", "exchange_scope_refused", |vm, callout| {
        refuse(vm, callout, "invalid_scope");
    }),
    refusal("access_denied", "exchange_denied", |vm, callout| refuse(vm, callout, "access_denied")),
    Fault {
        name: "invalid_grant",
        answer: |vm, callout| refuse(vm, callout, "invalid_grant"),
        status: 401,
        code: "exchange_subject_rejected",
        retry_after: None,
    },
];

/// Tokens that are not what was asked for.
const TOKENS: [Fault; 19] = [
    failure("wider than asked", "exchange_answer_wider", |vm, callout| {
        let token = mint(&credential_claims(vm, "docs.read"));
        say(vm, callout, &granted(&token, "docs.read docs.write"));
    }),
    failure("a wider JWT", "exchange_answer_wider", |vm, callout| {
        let token = mint(&credential_claims(vm, "docs.read docs.write"));
        say(vm, callout, &granted(&token, "docs.read"));
    }),
    failure("a wider JWT, without saying so", "exchange_answer_wider", |vm, callout| {
        let token = mint(&credential_claims(vm, "docs.read admin"));
        say(vm, callout, &with_members(granted(&token, ""), json!({ "scope": null })));
    }),
    failure("for another audience", "exchange_token_audience", |vm, callout| {
        changed(vm, callout, json!({ "aud": "https://other.example/mcp" }));
    }),
    failure("for this side's audience", "exchange_token_audience", |vm, callout| {
        changed(vm, callout, json!({ "aud": RESOURCE }));
    }),
    failure("for an audience that starts alike", "exchange_token_audience", |vm, callout| {
        changed(vm, callout, json!({ "aud": [format!("{TARGET}/"), format!("{TARGET}x")] }));
    }),
    failure("for nobody", "exchange_token_audience", |vm, callout| {
        changed(vm, callout, json!({ "aud": null }));
    }),
    failure("for another user", "exchange_token_subject", |vm, callout| {
        changed(vm, callout, json!({ "sub": "mallory" }));
    }),
    failure("N_A", "exchange_token_type", |vm, callout| {
        say(vm, callout, &with_members(good(vm), json!({ "token_type": "N_A" })));
    }),
    failure("a kind of token that nobody knows", "exchange_token_type", |vm, callout| {
        say(vm, callout, &with_members(good(vm), json!({ "token_type": "MAC" })));
    }),
    failure("DPoP", "exchange_token_bound", |vm, callout| {
        say(vm, callout, &with_members(good(vm), json!({ "token_type": "DPoP" })));
    }),
    failure("bound to a key", "exchange_token_bound", |vm, callout| {
        let thumbprint = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
        changed(vm, callout, json!({ "cnf": { "jkt": thumbprint } }));
    }),
    failure("bound to a certificate", "exchange_token_bound", |vm, callout| {
        let digest = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0";
        changed(vm, callout, json!({ "cnf": { "x5t#S256": digest } }));
    }),
    failure("a refresh token", "exchange_issued_token_type", |vm, callout| {
        let issued = "urn:ietf:params:oauth:token-type:refresh_token";
        say(vm, callout, &with_members(good(vm), json!({ "issued_token_type": issued })));
    }),
    failure("of no type", "exchange_issued_token_type", |vm, callout| {
        say(vm, callout, &with_members(good(vm), json!({ "issued_token_type": null })));
    }),
    failure("expired on arrival", "exchange_token_expired", |vm, callout| {
        let now = vm.now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        changed(vm, callout, json!({ "iat": now - 900, "exp": now - 600 }));
    }),
    failure("of no life", "exchange_token_expired", |vm, callout| {
        say(vm, callout, &with_members(good(vm), json!({ "expires_in": 0 })));
    }),
    failure("not good yet", "exchange_token_expired", |vm, callout| {
        let now = vm.now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        changed(vm, callout, json!({ "nbf": now + 600 }));
    }),
    failure("opaque", "exchange_token_no_jwt", |vm, callout| {
        say(vm, callout, &granted(&opaque(1), "docs.read"));
    }),
];

/// A good answer to who asks for `docs.read`.
fn good(vm: &Vm) -> Value {
    granted(&mint(&credential_claims(vm, "docs.read")), "docs.read")
}

/// A good answer, but for these claims of the token.
fn changed(vm: &Vm, callout: &Callout, claims: Value) {
    let token = mint(&with_members(credential_claims(vm, "docs.read"), claims));
    say(vm, callout, &granted(&token, "docs.read"));
}

/// A good answer of that many bytes.
fn padded(vm: &Vm, callout: &Callout, size: usize) {
    say(vm, callout, &with_members(good(vm), json!({ "x": "x".repeat(size) })));
}

/// Runs the fault in every mode, by clients of both eras where the operation is known in time.
fn run(fault: &Fault) {
    type Call = fn(&Caller, &Vm, &str) -> Stream;
    for (flag, mode) in MODES {
        let calls: &[Call] =
            if mode == "hold" { &[Caller::call, Caller::call_legacy] } else { &[Caller::call] };
        for call in calls {
            let vm = start(flag, &exchanging(mode, token_exchange()));
            let caller = Caller::alice(&vm);
            let stream = call(&caller, &vm, "search");
            assert_waits(&stream);
            (fault.answer)(&vm, &asked(&vm));
            let context = format!("{}, {mode}: {:?}", fault.name, stream.downstream());
            assert_eq!(stream.downstream().status(), Some(fault.status), "{context}");
            assert_eq!(stream.downstream().header("retry-after"), fault.retry_after, "{context}");
            assert_has_none(&stream, fault.status, fault.code);
            // Nobody is told what the authorization server wrote, nor for what it was asked.
            let told = stream.downstream().text();
            for word in ["docs.read", TARGET, "idp.example.com", "of no business"] {
                assert!(!told.contains(word), "{told}");
            }
            assert_eq!(vm.metric(&format!("countersign.decisions.deny.{}", fault.code)), 1);
            // Who tries again at once does not reach it, who comes later does.
            let again = call(&caller, &vm, "search");
            assert_nothing_asked(&vm);
            assert_has_none(&again, fault.status, fault.code);
            vm.advance(Duration::from_secs(60));
            let later = call(&caller, &vm, "search");
            let credential = grant_next(&vm);
            assert_went_with(&later, &credential, "exchanged");
            let secrets = [&*caller.token, &credential, SECRET, "of no business"];
            assert_told_nobody(&vm, &[&stream, &again, &later], &secrets);
        }
    }
}

#[test]
fn an_outage_is_a_503_that_says_when_to_come_again() {
    OUTAGES.iter().for_each(run);
}

#[test]
fn rfc6749_5_1_what_is_no_token_response_is_none() {
    NO_ANSWERS.iter().for_each(run);
}

#[test]
fn an_answer_of_any_size_is_survived() {
    HUGE.iter().for_each(run);
}

#[test]
fn rfc8693_2_2_2_a_refusal_blames_who_can_mend_it() {
    REFUSALS.iter().for_each(run);
}

#[test]
fn rfc8693_2_2_1_a_token_that_was_not_asked_for_does_not_go_on() {
    TOKENS.iter().for_each(run);
}

#[test]
fn every_failure_is_counted_under_its_code() {
    let all = [&OUTAGES[..], &NO_ANSWERS, &HUGE, &REFUSALS, &TOKENS];
    for fault in all.into_iter().flatten() {
        let vm = start(HostFlag::StopIteration, &exchanging("hold", token_exchange()));
        let caller = Caller::alice(&vm);
        let _waits = caller.call(&vm, "search");
        (fault.answer)(&vm, &asked(&vm));
        let counted = vm.metric(&format!("countersign.exchanges.failed.{}", fault.code));
        assert_eq!(
            (counted, vm.metric("countersign.exchanges.succeeded")),
            (1, 0),
            "{}",
            fault.name
        );
    }
}

#[test]
fn what_an_operator_has_to_mend_is_logged_once_as_an_error() {
    let all = REFUSALS.iter().filter(|fault| fault.status == 502);
    for fault in all {
        let vm = start(HostFlag::StopIteration, &exchanging("hold", token_exchange()));
        let callers = ["alice", "bob"].map(|name| Caller::named(&vm, name));
        let _wait = callers.each_ref().map(|caller| caller.call(&vm, "search"));
        vm.tick();
        for callout in vm.pending_callouts() {
            (fault.answer)(&vm, &callout);
        }
        let errors: Vec<_> = vm.log().into_iter().filter(|line| line.level == 4).collect();
        assert_eq!(errors.len(), 1, "{}: {errors:?}", fault.name);
        assert!(errors[0].message.contains("docs"), "{errors:?}");
    }
}

#[test]
fn rfc8693_2_2_1_the_callers_own_token_is_no_answer() {
    for (flag, mode) in MODES {
        // It is for the right audience, user and scope.
        let exchange = with_members(token_exchange(), json!({ "resource": [RESOURCE] }));
        let vm = start(flag, &exchanging(mode, exchange));
        let caller = Caller::new(&vm, json!({ "scope": "docs.read" }));
        let stream = caller.call(&vm, "search");
        say(&vm, &asked(&vm), &granted(&caller.token, "docs.read"));
        assert_has_none(&stream, 502, "exchange_token_unchanged");
        assert_told_nobody(&vm, &[&stream], &[&caller.token]);
    }
}

#[test]
fn rfc8693_4_1_the_token_names_the_actor_that_is_expected() {
    for (flag, mode) in MODES {
        let exchange =
            with_members(token_exchange(), json!({ "token": { "actors": [CLIENT_ACTOR] } }));
        let vm = start(flag, &exchanging(mode, exchange));
        let caller = Caller::alice(&vm);
        for (act, code) in [
            (Value::Null, "exchange_token_actor"),
            (json!({ "sub": "other" }), "exchange_token_actor"),
            // A prior actor is no current one.
            (json!({ "sub": "other", "act": { "sub": CLIENT_ACTOR } }), "exchange_token_actor"),
            (json!({}), "exchange_token_no_jwt"),
            (json!(CLIENT_ACTOR), "exchange_token_no_jwt"),
        ] {
            let stream = caller.call(&vm, "search");
            changed(&vm, &asked(&vm), json!({ "act": act }));
            assert_has_none(&stream, 502, code);
            vm.advance(Duration::from_secs(60));
        }
        for act in [
            json!({ "sub": CLIENT_ACTOR }),
            json!({ "client_id": CLIENT_ACTOR }),
            json!({ "sub": CLIENT_ACTOR, "act": { "sub": "agent" } }),
        ] {
            // Another caller, for whom none is remembered.
            let caller = Caller::named(&vm, &act.to_string());
            let stream = caller.call(&vm, "search");
            let claims = json!({ "act": act, "sub": act.to_string() });
            let token = mint(&with_members(credential_claims(&vm, "docs.read"), claims));
            say(&vm, &asked(&vm), &granted(&token, "docs.read"));
            assert_went_with(&stream, &token, "exchanged");
        }
    }
}

const CLIENT_ACTOR: &str = "gateway-actor";

#[test]
fn a_narrower_answer_is_good_where_it_has_what_the_operation_needs() {
    for (flag, mode) in MODES {
        let mut document = exchanging(mode, token_exchange());
        let rules = &mut document["servers"][0]["tools"]["rules"];
        rules[0]["scopes"] = json!(["docs.read", "docs.write"]);
        let vm = start(flag, &document);
        let caller = Caller::alice(&vm);
        let stream = caller.call(&vm, "search");
        let callout = asked(&vm);
        let token = mint(&credential_claims(&vm, "docs.read"));
        say(&vm, &callout, &granted(&token, "docs.read"));
        assert_has_none(&stream, 403, "exchange_scope_refused");
        let exchange = &record(&stream)["exchange"];
        assert_eq!(exchange["scopes_asked"], json!(["docs.read", "docs.write"]));
        assert_eq!(exchange["scopes_granted"], json!(["docs.read"]));
        // Whoever is given more meanwhile has it soon, and not when the narrow one ends.
        vm.advance(Duration::from_secs(10));
        assert_has_none(&caller.call(&vm, "search"), 403, "exchange_scope_refused");
        let stream = caller.call(&vm, "search");
        let token = mint(&credential_claims(&vm, "docs.read docs.write"));
        say(&vm, &asked(&vm), &granted(&token, "docs.read docs.write"));
        assert_went_with(&stream, &token, "exchanged");
        // What is asked for the whole server, nobody needs all of.
        let exchange = with_members(
            token_exchange(),
            json!({ "scopes": "per_server", "server_scopes": ["docs.read", "docs.write"] }),
        );
        let vm = start(flag, &exchanging(mode, exchange));
        let stream = Caller::alice(&vm).call(&vm, "search");
        let callout = asked(&vm);
        let token = mint(&credential_claims(&vm, "docs.read"));
        say(&vm, &callout, &granted(&token, "docs.read"));
        assert_went_with(&stream, &token, "exchanged");
    }
}

/// In `hold` rates come before the exchange, and in `stream` after it.
#[test]
fn rates_count_what_is_refused_a_credential_in_hold_only() {
    for (flag, mode) in MODES {
        let mut document = exchanging(mode, token_exchange());
        document["servers"][0]["rates"] = json!([{ "limit": "1/h" }]);
        let vm = start(flag, &document);
        let caller = Caller::alice(&vm);
        let stream = caller.call(&vm, "search");
        refuse(&vm, &asked(&vm), "access_denied");
        assert_has_none(&stream, 403, "exchange_denied");
        let stream = caller.call(&vm, "search");
        match mode {
            "hold" => assert_refused(&stream, mode, 429, "rate_limited"),
            _ => assert_has_none(&stream, 403, "exchange_denied"),
        }
    }
}

#[test]
fn rfc6749_5_1_what_an_answer_may_leave_out_it_may() {
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, token_exchange()));
        for (number, members) in [
            json!({ "expires_in": null }),
            json!({ "scope": null }),
            json!({ "token_type": "bearer" }),
            json!({ "refresh_token": "not-ours-to-keep", "x": { "y": [1] } }),
            json!({ "issued_token_type": JWT }),
        ]
        .into_iter()
        .enumerate()
        {
            let name = format!("user-{number}");
            let stream = Caller::named(&vm, &name).call(&vm, "search");
            let callout = asked(&vm);
            let claims = with_members(credential_claims(&vm, "docs.read"), json!({ "sub": name }));
            let token = mint(&claims);
            say(&vm, &callout, &with_members(granted(&token, "docs.read"), members));
            assert_went_with(&stream, &token, "exchanged");
            assert_told_nobody(&vm, &[&stream], &["not-ours-to-keep"]);
        }
    }
}

#[test]
fn a_token_without_a_known_end_is_not_kept_for_long() {
    let exchange = with_members(token_exchange(), json!({ "token": { "format": "opaque" } }));
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, exchange.clone()));
        let caller = Caller::alice(&vm);
        let stream = caller.call(&vm, "search");
        let token = opaque(7);
        let answer = json!({
            "access_token": token, "issued_token_type": ACCESS_TOKEN, "token_type": "Bearer",
        });
        say(&vm, &asked(&vm), &answer);
        assert_went_with(&stream, &token, "exchanged");
        vm.advance(LIFE * 4);
        let caller = Caller::alice(&vm);
        assert_waits(&caller.call(&vm, "search"));
    }
}

#[test]
fn a_cluster_that_envoy_does_not_know_is_an_outage() {
    for (flag, mode) in MODES {
        let builder = Vm::with(flag).without_cluster("as").environment("AS_SECRET", SECRET);
        let vm = builder.start(exchanging(mode, token_exchange())).unwrap();
        let stream = Caller::alice(&vm).call(&vm, "search");
        vm.tick();
        assert_has_none(&stream, 503, "exchange_unavailable");
        assert_eq!(stream.downstream().header("retry-after"), Some("5"));
    }
}

#[test]
fn a_second_user_is_none_the_worse_for_the_refusal_of_the_first() {
    for (flag, mode) in MODES {
        for error in ["invalid_grant", "access_denied", "invalid_scope"] {
            let vm = start(flag, &exchanging(mode, token_exchange()));
            let [alice, bob] = ["alice", "bob"].map(|name| Caller::named(&vm, name));
            for _ in 0..20 {
                let stream = alice.call(&vm, "search");
                refuse(&vm, &asked(&vm), error);
                assert!(stream.upstream().is_empty());
                vm.advance(Duration::from_secs(10));
            }
            assert_exchanges(&vm, &bob, "search");
            assert_eq!(vm.metric("countersign.exchange_circuits.opened"), 0);
        }
    }
}

/// Rounds per mode: a few seconds each.
const ROUNDS: u64 = 500;

#[test]
fn whatever_is_changed_in_an_answer_only_what_was_asked_for_goes_on() {
    for (flag, mode) in MODES {
        let (vm, mut random) = (start(flag, &exchanging(mode, token_exchange())), Random(63));
        let mut taken = 0;
        for round in 0..ROUNDS {
            let caller = Caller::new(&vm, json!({ "jti": format!("t{round}") }));
            let stream = caller.call(&vm, "search");
            let callout = asked(&vm);
            // The answer itself, or the claims of its token.
            let body = if random.chance(2) {
                random.mutate(good(&vm).to_string().into_bytes())
            } else {
                let claims = credential_claims(&vm, "docs.read").to_string();
                let claims = encode(random.mutate(claims.into_bytes()));
                let header = encode(r#"{"alg":"EdDSA","typ":"at+jwt"}"#);
                granted(&format!("{header}.{claims}.c2ln"), "docs.read").to_string().into_bytes()
            };
            vm.answer(&callout, 200, PLAIN, &body);
            let upstream = stream.upstream();
            if upstream.ended() {
                taken += 1;
                let answer: Value = serde_json::from_slice(&body).unwrap();
                let token = answer["access_token"].as_str().unwrap();
                assert_eq!(upstream.header("authorization"), Some(&*format!("Bearer {token}")));
                assert!(answer["token_type"].as_str().unwrap().eq_ignore_ascii_case("bearer"));
                assert!(
                    [ACCESS_TOKEN, JWT].contains(&answer["issued_token_type"].as_str().unwrap())
                );
                let claims = payload(token);
                assert_eq!(claims["aud"], TARGET, "{claims}");
                let is_issuers = claims["iss"] == ISSUER;
                assert!(!is_issuers || claims["sub"] == "alice", "{claims}");
                assert!(
                    claims.get("scope").is_none_or(|scope| scope == "docs.read" || scope == "")
                );
            } else {
                assert!(stream.upstream().is_empty() && stream.downstream().ended());
            }
            stream.finish();
            // Whatever it was, the next one is asked.
            vm.advance(Duration::from_secs(60));
        }
        assert!((ROUNDS / 100..ROUNDS).contains(&taken), "{taken}");
        assert!(vm.take_trap().is_none());
    }
}
