//! Who shares an exchange with whom: streams, users, tools, workers; and who is gone when the
//! answer comes.

use crate::callers::{call_of, modern, modern_call_of};
use crate::exchange::{
    Caller, LIFE, asked, assert_carries, assert_exchanges, assert_nothing_asked, assert_waits,
    assert_went_with, exchanging, form, grant, grant_next, refuse, start, start_beside, subjects,
    token_exchange, with_members,
};
use crate::host::{HostFlag, Outcome, Stream, Vm};
use crate::support::{MODES, assert_forwarded, assert_refused, record, send, tick, with};

use serde_json::json;
use std::collections::BTreeSet;

#[test]
fn five_hundred_first_calls_of_a_user_make_one_exchange() {
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, token_exchange()));
        let caller = Caller::alice(&vm);
        let early: Vec<Stream> = (0..250).map(|_| caller.call(&vm, "search")).collect();
        let callout = asked(&vm);
        let late: Vec<Stream> = (0..250).map(|_| caller.call(&vm, "search")).collect();
        assert_nothing_asked(&vm);
        early.iter().chain(&late).for_each(|stream| assert_waits(stream));
        let credential = grant(&vm, &callout);
        for stream in early.iter().chain(&late) {
            assert_went_with(stream, &credential, "exchanged");
        }
        assert_nothing_asked(&vm);
        assert_eq!(vm.callouts().len(), 1);
        assert_eq!(vm.metric("countersign.exchanges.succeeded"), 1);
        assert_went_with(&caller.call(&vm, "search"), &credential, "cached");
        assert!(vm.metric("countersign.exchange_cache.hits") >= 1);
    }
}

#[test]
fn users_and_tokens_share_nothing() {
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, token_exchange()));
        let alice = Caller::alice(&vm);
        let bob = Caller::named(&vm, "bob");
        // Another token of Alice, who may have been taken for somebody else by it.
        let again = Caller::new(&vm, json!({ "jti": "t2" }));
        let callers = [&alice, &bob, &again];
        let streams = callers.map(|caller| caller.call(&vm, "search"));
        vm.tick();
        let callouts = vm.pending_callouts();
        assert_eq!(callouts.len(), 3);
        assert_eq!(subjects(&callouts), BTreeSet::from(["alice".to_owned(), "bob".to_owned()]));
        for (caller, stream) in callers.into_iter().zip(&streams) {
            let its = |form: &str| form == caller.token;
            let callout = callouts.iter().find(|callout| its(&form(callout)["subject_token"]));
            let credential = grant(&vm, callout.unwrap());
            assert_went_with(stream, &credential, "exchanged");
            assert_went_with(&caller.call(&vm, "search"), &credential, "cached");
        }
    }
}

#[test]
fn tools_with_the_same_scopes_share_one_and_others_do_not() {
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, token_exchange()));
        let caller = Caller::alice(&vm);
        let [search, get, delete] =
            ["search", "get_a", "delete"].map(|tool| caller.call(&vm, tool));
        vm.tick();
        let callouts = vm.pending_callouts();
        let scopes: Vec<String> = callouts.iter().map(|c| form(c)["scope"].clone()).collect();
        assert_eq!(BTreeSet::from_iter(scopes.clone()).len(), 2, "{scopes:?}");
        assert_eq!(callouts.len(), 2);
        for callout in &callouts {
            let credential = grant(&vm, callout);
            match &*form(callout)["scope"] {
                "docs.read" => {
                    assert_went_with(&search, &credential, "exchanged");
                    assert_went_with(&get, &credential, "exchanged");
                }
                "docs.write" => assert_went_with(&delete, &credential, "exchanged"),
                other => panic!("{other}"),
            }
        }
    }
}

#[test]
fn with_one_credential_for_the_whole_server_every_tool_shares_it() {
    let scopes = json!({ "scopes": "per_server", "server_scopes": ["docs.all"] });
    for (flag, mode) in MODES {
        let exchange = with_members(token_exchange(), scopes.clone());
        let vm = start(flag, &exchanging(mode, exchange));
        let caller = Caller::alice(&vm);
        // Older clients too: the operation makes no difference.
        let streams = [
            caller.call(&vm, "search"),
            caller.call(&vm, "delete"),
            caller.call_legacy(&vm, "get_a"),
            send(&vm, caller.lines(), r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#),
        ];
        let callout = asked(&vm);
        assert_eq!(form(&callout)["scope"], "docs.all");
        let credential = grant(&vm, &callout);
        for stream in &streams {
            assert_went_with(stream, &credential, "exchanged");
        }
    }
}

#[test]
fn our_own_token_is_the_same_whoever_calls() {
    for (flag, mode) in MODES {
        let exchange = json!({
            "profile": "client_credentials", "uri": "https://idp.example.com/token",
            "cluster": "as", "client": crate::exchange::client("client_secret_post"),
            "resource": [crate::exchange::TARGET], "scopes": "per_server",
            "server_scopes": ["service"],
        });
        let vm = start(flag, &exchanging(mode, exchange));
        let callers = ["alice", "bob"].map(|name| Caller::named(&vm, name));
        let streams = callers.each_ref().map(|caller| caller.call(&vm, "search"));
        let credential = grant_next(&vm);
        for stream in &streams {
            assert_went_with(stream, &credential, "exchanged");
        }
    }
}

#[test]
fn a_client_that_goes_while_it_waits_does_not_waste_the_answer() {
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, token_exchange()));
        let caller = Caller::alice(&vm);
        // One goes before it is asked, one while.
        let gone = caller.call(&vm, "search");
        gone.finish();
        let later = caller.call(&vm, "search");
        let callout = asked(&vm);
        later.finish();
        for stream in [&gone, &later] {
            let record = record(stream);
            assert_eq!(record["code"], "client_disconnected", "{record}");
        }
        let credential = grant(&vm, &callout);
        for stream in [&gone, &later] {
            assert!(stream.upstream().is_empty(), "{:?}", stream.upstream());
            assert_eq!(stream.downstream().status(), None);
        }
        let stream = caller.call(&vm, "search");
        assert_nothing_asked(&vm);
        assert_went_with(&stream, &credential, "cached");
        assert!(vm.take_trap().is_none());
    }
}

#[test]
fn of_those_who_wait_together_the_others_are_served_when_one_goes() {
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, token_exchange()));
        let caller = Caller::alice(&vm);
        let [first, second, third] = [(); 3].map(|()| caller.call(&vm, "search"));
        let callout = asked(&vm);
        first.finish();
        third.finish();
        let credential = grant(&vm, &callout);
        assert_went_with(&second, &credential, "exchanged");
        assert!(first.upstream().is_empty() && third.upstream().is_empty());
    }
}

#[test]
fn who_waits_under_a_replaced_configuration_is_denied() {
    for (flag, mode) in MODES {
        let document = exchanging(mode, token_exchange());
        let vm = start(flag, &document);
        let caller = Caller::alice(&vm);
        let waiting = [(); 2].map(|()| caller.call(&vm, "search"));
        let callout = asked(&vm);
        assert!(vm.configure(&document));
        for stream in &waiting {
            assert_refused(stream, "hold", 503, "configuration_replaced");
        }
        // The answer means nothing to the new configuration, whatever it is.
        let old = grant(&vm, &callout);
        let stream = caller.call(&vm, "search");
        assert_waits(&stream);
        let new = grant_next(&vm);
        assert_ne!(old, new);
        assert_went_with(&stream, &new, "exchanged");
    }
}

#[test]
fn nobody_waits_for_a_credential_under_a_configuration_that_was_replaced_before() {
    let document = exchanging("hold", token_exchange());
    let vm = start(HostFlag::StopIteration, &document);
    let caller = Caller::alice(&vm);
    let stream = vm.stream();
    stream.request_headers(modern(caller.lines(), "search"), false);
    assert!(vm.configure(&document));
    stream.request_body(modern_call_of("search"), true);
    assert_refused(&stream, "hold", 503, "configuration_replaced");
}

#[test]
fn workers_exchange_each_for_itself() {
    for (flag, mode) in MODES {
        let document = exchanging(mode, token_exchange());
        let one = start(flag, &document);
        let other = start_beside(&one, flag, &document);
        let caller = Caller::alice(&one);
        let streams = [&one, &other].map(|vm| caller.call(vm, "search"));
        tick(&[one.clone(), other.clone()]);
        for (vm, stream) in [&one, &other].into_iter().zip(&streams) {
            assert_eq!(vm.callouts().len(), 1);
            let credential = grant(vm, &vm.pending_callouts()[0]);
            assert_went_with(stream, &credential, "exchanged");
        }
    }
}

#[test]
fn nobody_is_sent_what_another_waits_for() {
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, token_exchange()));
        let callers: Vec<Caller> =
            (0..20).map(|number| Caller::named(&vm, &format!("user-{number}"))).collect();
        let streams: Vec<Stream> = callers.iter().map(|c| c.call(&vm, "search")).collect();
        vm.tick();
        // In the other order, and every third is refused.
        let mut callouts = vm.pending_callouts();
        assert_eq!(callouts.len(), 20);
        callouts.reverse();
        for (number, callout) in callouts.iter().enumerate() {
            let subject = &form(callout)["subject_token"];
            let at = callers.iter().position(|caller| caller.token == *subject).unwrap();
            if number % 3 == 0 {
                refuse(&vm, callout, "access_denied");
                assert_refused(&streams[at], "hold", 403, "exchange_denied");
            } else {
                let credential = grant(&vm, callout);
                assert_went_with(&streams[at], &credential, "exchanged");
            }
        }
    }
}

#[test]
fn more_than_a_worker_may_ask_for_is_refused_and_the_rest_is_served() {
    let vm = start(HostFlag::StopIteration, &exchanging("hold", token_exchange()));
    let callers: Vec<Caller> =
        (0..1100).map(|number| Caller::named(&vm, &format!("user-{number}"))).collect();
    let streams: Vec<Stream> = callers.iter().map(|c| c.call(&vm, "search")).collect();
    let (refused, waiting): (Vec<_>, Vec<_>) =
        streams.iter().partition(|stream| stream.downstream().status().is_some());
    assert!(!refused.is_empty() && waiting.len() >= 64, "{}", waiting.len());
    for stream in refused {
        assert_refused(stream, "hold", 503, "overloaded");
        assert!(stream.downstream().header("retry-after").is_some());
    }
    for _ in 0..1100 {
        vm.tick();
        let pending = vm.pending_callouts();
        if pending.is_empty() {
            break;
        }
        for callout in pending {
            grant(&vm, &callout);
        }
    }
    for stream in waiting {
        assert!(stream.upstream().ended(), "{:?}", stream.downstream());
        stream.finish();
    }
    assert_exchanges(&vm, &Caller::named(&vm, "latecomer"), "search");
}

#[test]
fn no_more_streams_wait_than_a_worker_may_hold() {
    let vm = start(HostFlag::StopIteration, &exchanging("hold", token_exchange()));
    let caller = Caller::alice(&vm);
    let waiting: Vec<Stream> = (0..1024).map(|_| caller.call(&vm, "search")).collect();
    assert_refused(&caller.call(&vm, "search"), "hold", 503, "overloaded");
    let credential = grant_next(&vm);
    for stream in &waiting {
        assert_went_with(stream, &credential, "exchanged");
    }
}

#[test]
fn a_server_that_answers_while_its_credential_is_asked_for_is_cut_off() {
    // The headers are at the server; the body's own rule has another exchange.
    let mut document = exchanging("stream", token_exchange());
    document["issuers"]["corp"]["introspection"] = json!({
        "uri": "https://idp.example.com/introspect", "cluster": "as", "tokens": "by_rule",
        "client": { "method": "injected" },
    });
    document["servers"][0]["tools"]["rules"][0]["introspect"] = json!("fresh");
    let vm = start(HostFlag::Default, &document);
    let stream = Caller::alice(&vm).call(&vm, "search");
    let credential = grant_next(&vm);
    assert_carries(&stream, &credential);
    let headers = [(":status", "200"), ("content-type", "application/json")];
    assert_eq!(stream.response_headers(headers, false), Outcome::Replied);
    assert_refused(&stream, "stream", 502, "response_premature");
}

#[test]
fn a_body_that_comes_while_its_credential_is_asked_for_is_withheld_until_it_is_there() {
    for (flag, mode) in MODES {
        for end_by_trailers in [false, true] {
            let vm = start(flag, &exchanging(mode, token_exchange()));
            let caller = Caller::alice(&vm);
            let body = modern_call_of("search");
            let stream = vm.stream();
            stream.request_headers(modern(caller.lines(), "search"), false);
            stream.request_body(&body[..20], false);
            let mut early = None;
            if mode == "stream" {
                early = Some(asked(&vm));
            }
            stream.request_body(&body[20..], !end_by_trailers);
            if end_by_trailers {
                stream.request_trailers([("x-t", caller.token.as_str())]);
            }
            assert_waits(&stream);
            let credential = grant(&vm, &early.unwrap_or_else(|| asked(&vm)));
            if end_by_trailers && mode == "stream" {
                // Envoy would send it on without its body.
                assert!(!stream.upstream().ended() || stream.upstream().text() == body);
                assert!(!format!("{:?}", stream.upstream()).contains(&caller.token));
            } else {
                assert_eq!(stream.upstream().text(), body, "{:?}", stream.downstream());
                assert!(!format!("{:?}", stream.upstream()).contains(&caller.token));
                assert_went_with(&stream, &credential, "exchanged");
            }
        }
    }
}

#[test]
fn without_an_exchange_nothing_is_asked_and_nothing_goes_along() {
    for (flag, mode) in MODES {
        let mut document = exchanging(mode, token_exchange());
        let server = document["servers"][0].as_object_mut().unwrap();
        server.remove("exchange");
        let vm = start(flag, &document);
        let stream = send(&vm, Caller::alice(&vm).lines(), &call_of("search"));
        assert_forwarded(&stream);
        stream.finish();
        assert_eq!(record(&stream).get("exchange"), None);
        vm.advance(LIFE);
        assert_nothing_asked(&vm);
    }
}

#[test]
fn a_token_that_is_refused_is_not_exchanged() {
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, token_exchange()));
        let alice = Caller::alice(&vm);
        let none = Caller::new(&vm, json!({ "scope": "other" }));
        let lines = with(alice.lines(), "authorization", format!("Bearer {}x", alice.token));
        send(&vm, lines, &call_of("search")).finish();
        none.call(&vm, "search").finish();
        alice.call(&vm, "wipe").finish();
        if mode == "hold" {
            none.call_legacy(&vm, "delete").finish();
            send(&vm, alice.lines(), "{").finish();
        }
        assert_nothing_asked(&vm);
        assert!(vm.callouts().is_empty());
    }
}

/// One worker and another of the same process never see each other's credentials.
#[test]
fn credentials_are_in_no_shared_data() {
    let document = exchanging("hold", token_exchange());
    let vm: Vm = start(HostFlag::StopIteration, &document);
    let before = crate::support::written_keys(&vm);
    let credential = assert_exchanges(&vm, &Caller::alice(&vm), "search");
    for key in crate::support::written_keys(&vm) {
        let (value, _) = vm.shared_data(&key).unwrap();
        assert!(!String::from_utf8_lossy(&value).contains(&credential), "{key}");
    }
    assert_eq!(crate::support::written_keys(&vm).len(), before.len());
}
