//! How long a credential, a refusal and an outage are remembered.

use crate::exchange::{
    Caller, LIFE, PLAIN, asked, assert_exchanges, assert_has_none, assert_nothing_asked,
    assert_waits, assert_went_with, credential_claims, exchanging, form, grant, grant_next,
    granted, mint, payload, refuse, say, start, token_exchange, with_members,
};
use crate::host::{HostFlag, Stream, Vm};
use crate::support::{
    CALL, MODES, claims, fetch, jwks, pass_fetch_debounce, post, record, send, sign,
};

use serde_json::{Value, json};
use std::time::{Duration, UNIX_EPOCH};

/// Lists of revocations are fetched every minute.
const LIST_IS_DUE: Duration = Duration::from_secs(61);

const SECOND: Duration = Duration::from_secs(1);

fn seconds(vm: &Vm) -> u64 {
    vm.now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The credential that is at the server, which is good.
#[track_caller]
fn sent(vm: &Vm, stream: &Stream) -> Option<String> {
    let upstream = stream.upstream();
    let sent = upstream.header("authorization")?.strip_prefix("Bearer ").unwrap().to_owned();
    assert!(payload(&sent)["exp"].as_u64().unwrap() > seconds(vm), "{}", payload(&sent));
    Some(sent)
}

/// The code under which it was refused, which leaves nothing at the server.
#[track_caller]
fn refused_as(stream: &Stream) -> Value {
    assert!(stream.upstream().is_empty() && stream.downstream().ended());
    stream.finish();
    record(stream)["code"].clone()
}

/// Ticks, and fails all that is asked. How much that was.
fn fail_all(vm: &Vm) -> usize {
    vm.tick();
    let pending = vm.pending_callouts();
    for callout in &pending {
        vm.answer(callout, 500, PLAIN, "");
    }
    pending.len()
}

#[test]
fn a_credential_is_used_while_it_is_good_and_its_successor_is_there_in_time() {
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, token_exchange()));
        let caller = Caller::alice(&vm);
        let mut current = assert_exchanges(&vm, &caller, "search");
        let mut asked = Vec::new();
        for second in 1..590 {
            vm.advance(SECOND);
            let stream = caller.call(&vm, "search");
            assert_eq!(sent(&vm, &stream).as_ref(), Some(&current), "nobody waits: {second}");
            stream.finish();
            vm.tick();
            let pending = vm.pending_callouts();
            assert!(pending.len() <= 1, "{pending:?}");
            for callout in pending {
                asked.push(second);
                // The answer takes a while.
                vm.advance(SECOND);
                let stream = caller.call(&vm, "search");
                assert_went_with(&stream, &current, "cached");
                assert_nothing_asked(&vm);
                current = grant(&vm, &callout);
            }
        }
        assert!((1..=3).contains(&asked.len()), "{asked:?}");
        assert!((150..LIFE.as_secs()).contains(&asked[0]), "not at once, and in time: {asked:?}");
        assert_eq!(vm.metric("countersign.exchanges.refreshed"), asked.len() as u64);
    }
}

#[test]
fn what_nobody_uses_is_not_refreshed() {
    let vm = start(HostFlag::StopIteration, &exchanging("hold", token_exchange()));
    assert_exchanges(&vm, &Caller::alice(&vm), "search");
    for _ in 0..LIFE.as_secs() {
        vm.advance(SECOND);
        assert_nothing_asked(&vm);
    }
}

#[test]
fn an_outage_while_it_is_refreshed_takes_nothing_from_a_good_credential() {
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, token_exchange()));
        let caller = Caller::alice(&vm);
        let credential = assert_exchanges(&vm, &caller, "search");
        let (mut attempts, mut last) = (0, 0);
        for second in 1..LIFE.as_secs() + 30 {
            vm.advance(SECOND);
            let stream = caller.call(&vm, "search");
            let sent = sent(&vm, &stream);
            attempts += fail_all(&vm);
            if sent.is_some() {
                assert_eq!(sent.as_ref(), Some(&credential));
                assert_eq!(last + 1, second, "it was gone before");
                last = second;
            } else {
                assert_eq!(stream.downstream().status(), Some(503));
                assert!(stream.upstream().is_empty());
            }
            stream.finish();
        }
        assert!((LIFE.as_secs() * 8 / 10..LIFE.as_secs()).contains(&last), "{last}");
        assert!((2..30).contains(&attempts), "{attempts}");
        // And when the outage is over, so is the refusal.
        vm.advance(Duration::from_secs(200));
        assert_exchanges(&vm, &caller, "search");
    }
}

#[test]
fn a_credential_that_lives_shortly_is_good_for_who_waited() {
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, token_exchange()));
        let caller = Caller::alice(&vm);
        let streams = [(); 3].map(|()| caller.call(&vm, "search"));
        let callout = asked(&vm);
        let claims = json!({ "exp": seconds(&vm) + 3 });
        let token = mint(&with_members(credential_claims(&vm, "docs.read"), claims));
        say(&vm, &callout, &granted(&token, "docs.read"));
        for stream in &streams {
            assert_went_with(stream, &token, "exchanged");
        }
        vm.advance(SECOND * 3);
        assert_ne!(assert_exchanges(&vm, &caller, "search"), token);
    }
}

#[test]
fn the_earlier_end_counts() {
    for (in_token, in_answer) in [(60, 3600), (3600, 60)] {
        let vm = start(HostFlag::StopIteration, &exchanging("hold", token_exchange()));
        let caller = Caller::alice(&vm);
        let stream = caller.call(&vm, "search");
        let callout = asked(&vm);
        let claims = json!({ "exp": seconds(&vm) + in_token });
        let token = mint(&with_members(credential_claims(&vm, "docs.read"), claims));
        let answer = with_members(granted(&token, "docs.read"), json!({ "expires_in": in_answer }));
        say(&vm, &callout, &answer);
        assert_went_with(&stream, &token, "exchanged");
        vm.advance(Duration::from_secs(30));
        assert_went_with(&caller.call(&vm, "search"), &token, "cached");
        vm.advance(Duration::from_secs(30));
        let stream = caller.call(&vm, "search");
        assert!(stream.upstream().is_empty());
    }
}

#[test]
fn a_refusal_is_remembered_shortly_for_the_same_wish_only() {
    for (flag, mode) in MODES {
        for error in ["invalid_grant", "access_denied", "invalid_scope", "invalid_target"] {
            let vm = start(flag, &exchanging(mode, token_exchange()));
            let caller = Caller::alice(&vm);
            let stream = caller.call(&vm, "search");
            refuse(&vm, &asked(&vm), error);
            let code = refused_as(&stream);
            let again = caller.call(&vm, "search");
            assert_nothing_asked(&vm);
            assert_eq!(refused_as(&again), code);
            // Other scopes are another wish.
            let other = caller.call(&vm, "delete");
            let credential = grant_next(&vm);
            assert_went_with(&other, &credential, "exchanged");
            vm.advance(Duration::from_secs(60));
            assert_exchanges(&vm, &caller, "search");
        }
    }
}

/// Fails the exchanges of one user after another until none is asked for any more.
fn open_circuit(vm: &Vm) -> usize {
    let failures = (0..50)
        .take_while(|number| {
            let stream = Caller::named(vm, &format!("early-{number}")).call(vm, "search");
            let asked = fail_all(vm);
            assert_has_none(&stream, 503, "exchange_unavailable");
            asked > 0
        })
        .count();
    assert!((2..50).contains(&failures), "{failures}");
    failures
}

const OPEN: &str = "countersign.exchange_circuits.open.docs";
const OPENED: &str = "countersign.exchange_circuits.opened";

#[test]
fn an_endpoint_that_keeps_failing_is_left_alone_for_a_while() {
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, token_exchange()));
        let lucky = Caller::named(&vm, "lucky");
        let credential = assert_exchanges(&vm, &lucky, "search");
        assert_eq!((vm.metric(OPEN), vm.metric(OPENED)), (0, 0));
        open_circuit(&vm);
        assert_eq!((vm.metric(OPEN), vm.metric(OPENED)), (1, 1));
        let alice = Caller::alice(&vm);
        let stream = alice.call(&vm, "search");
        assert_nothing_asked(&vm);
        assert_has_none(&stream, 503, "exchange_unavailable");
        let told: u64 = stream.downstream().header("retry-after").unwrap().parse().unwrap();
        assert!((1..=120).contains(&told), "{told}");
        // Who has a credential is not concerned.
        assert_went_with(&lucky.call(&vm, "search"), &credential, "cached");
        // Who comes as told finds it closed, or is the one who tries.
        vm.advance(Duration::from_secs(told));
        let [first, second] =
            [&alice, &Caller::named(&vm, "bob")].map(|caller| caller.call(&vm, "search"));
        let callout = asked(&vm);
        let credential = grant(&vm, &callout);
        let tried = if payload(&form(&callout)["subject_token"])["sub"] == "alice" {
            &first
        } else {
            &second
        };
        assert_went_with(tried, &credential, "exchanged");
        assert_eq!((vm.metric(OPEN), vm.metric(OPENED)), (0, 1));
        // Now all are served.
        assert_exchanges(&vm, &Caller::named(&vm, "carol"), "search");
    }
}

#[test]
fn an_endpoint_that_fails_again_is_left_alone_for_longer() {
    let vm = start(HostFlag::StopIteration, &exchanging("hold", token_exchange()));
    open_circuit(&vm);
    let mut pauses = Vec::new();
    for round in 0..6 {
        let mut pause = 0_u64;
        loop {
            let stream = Caller::named(&vm, &format!("{round}-{pause}")).call(&vm, "search");
            let asked = fail_all(&vm);
            assert_has_none(&stream, 503, "exchange_unavailable");
            assert!(asked <= 1, "one tries");
            if asked == 1 {
                break;
            }
            vm.advance(SECOND);
            pause += 1;
            assert!(pause < 600, "{pauses:?}");
        }
        assert_eq!(vm.metric(OPEN), 1, "it counts once, however often it tries");
        pauses.push(pause);
    }
    assert!(pauses.is_sorted() && pauses[0] < pauses[5], "{pauses:?}");
    vm.advance(Duration::from_secs(600));
    assert_exchanges(&vm, &Caller::alice(&vm), "search");
    assert_eq!(vm.metric(OPEN), 0);
}

#[test]
fn a_configuration_that_is_replaced_takes_its_open_circuit_along() {
    let document = exchanging("hold", token_exchange());
    let vm = start(HostFlag::StopIteration, &document);
    open_circuit(&vm);
    assert_eq!(vm.metric(OPEN), 1);
    assert!(vm.configure(&document));
    assert_eq!(vm.metric(OPEN), 0);
    assert_exchanges(&vm, &Caller::alice(&vm), "search");
    assert!(vm.configure(&document));
    assert_eq!(vm.metric(OPEN), 0);
}

#[test]
fn a_root_context_that_ends_takes_its_open_circuit_along() {
    let vm = start(HostFlag::StopIteration, &exchanging("hold", token_exchange()));
    open_circuit(&vm);
    assert_eq!(vm.metric(OPEN), 1);
    vm.end();
    assert_eq!(vm.metric(OPEN), 0);
}

#[test]
fn the_circuit_of_one_exchange_is_no_others() {
    for (flag, mode) in MODES {
        let mut document = exchanging(mode, token_exchange());
        let mut other = token_exchange();
        other["uri"] = json!("https://other.example.com/token");
        document["exchanges"]["other"] = other;
        document["servers"][0]["tools"]["rules"][1]["exchange"] = json!("other");
        let vm = start(flag, &document);
        open_circuit(&vm);
        let stream = Caller::alice(&vm).call(&vm, "delete");
        assert_waits(&stream);
        let callout = asked(&vm);
        assert_eq!(callout.headers.get(":authority"), Some("other.example.com"));
        grant(&vm, &callout);
        assert!(stream.upstream().ended());
        assert_eq!(vm.metric("countersign.exchange_circuits.open.other"), 0);
    }
}

#[test]
fn a_new_configuration_begins_without_credentials() {
    for (flag, mode) in MODES {
        let document = exchanging(mode, token_exchange());
        let vm = start(flag, &document);
        let caller = Caller::alice(&vm);
        let old = assert_exchanges(&vm, &caller, "search");
        assert!(vm.configure(&document));
        let new = assert_exchanges(&vm, &caller, "search");
        assert_ne!(old, new);
    }
}

/// The configuration with keys, or a list of revocations, that are fetched.
fn fetching(mode: &str, member: &str) -> Value {
    let mut document = exchanging(mode, token_exchange());
    let at = json!({ "uri": format!("https://idp.example.com/{member}"), "cluster": "idp" });
    document["issuers"]["corp"][member] = at;
    document
}

#[test]
fn when_the_issuers_keys_change_credentials_are_asked_for_anew() {
    for (flag, mode) in MODES {
        let vm = start(flag, &fetching(mode, "jwks"));
        fetch(&vm, 200, jwks(&["k1"]));
        let caller = Caller::alice(&vm);
        let old = assert_exchanges(&vm, &caller, "search");
        // A token of an unknown key has them fetched.
        let look_again = |keys: &[&str]| {
            pass_fetch_debounce(&vm);
            let stream = send(&vm, post(&sign("k3", &claims(&vm, "docs.read"))), CALL);
            fetch(&vm, 200, jwks(keys));
            stream.finish();
        };
        look_again(&["k1"]);
        assert_went_with(&caller.call(&vm, "search"), &old, "cached");
        look_again(&["k1", "k2"]);
        let new = assert_exchanges(&vm, &caller, "search");
        assert_ne!(old, new);
    }
}

#[test]
fn when_the_list_of_revocations_changes_credentials_are_asked_for_anew() {
    for (flag, mode) in MODES {
        let vm = start(flag, &fetching(mode, "revocation"));
        let list = |ids: &[&str]| {
            let revoked: Vec<Value> = ids.iter().map(|id| json!({ "jti": id })).collect();
            json!({ "revoked": revoked }).to_string()
        };
        fetch(&vm, 200, list(&[]));
        let [alice, bob] = ["alice", "bob"].map(|name| Caller::named(&vm, name));
        let old = assert_exchanges(&vm, &alice, "search");
        assert_exchanges(&vm, &bob, "search");
        vm.advance(LIST_IS_DUE);
        vm.tick();
        let refetched = |body: String| {
            let pending = vm.pending_callouts();
            let callout = pending.iter().find(|callout| callout.cluster == "idp").unwrap();
            vm.answer(callout, 200, PLAIN, body);
        };
        refetched(list(&[]));
        assert_went_with(&alice.call(&vm, "search"), &old, "cached");
        vm.advance(LIST_IS_DUE);
        vm.tick();
        refetched(list(&["bob"]));
        let stream = bob.call(&vm, "search");
        stream.finish();
        assert_eq!(record(&stream)["code"], "token_revoked");
        let new = assert_exchanges(&vm, &alice, "search");
        assert_ne!(old, new);
    }
}

#[test]
fn a_token_that_is_over_takes_its_credential_along() {
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, token_exchange()));
        let now = seconds(&vm);
        let caller = Caller::new(&vm, json!({ "exp": now + 60 }));
        let credential = assert_exchanges(&vm, &caller, "search");
        assert!(payload(&credential)["exp"].as_u64().unwrap() > now + 200);
        vm.advance(Duration::from_secs(150));
        let stream = caller.call(&vm, "search");
        stream.finish();
        assert_eq!(record(&stream)["code"], "token_expired");
        assert!(stream.upstream().is_empty());
        assert_nothing_asked(&vm);
    }
}

#[test]
fn a_clock_that_goes_back_keeps_no_credential_for_longer() {
    let vm = start(HostFlag::StopIteration, &exchanging("hold", token_exchange()));
    let now = vm.now();
    let caller = Caller::new(&vm, json!({ "iat": seconds(&vm) - 3000 }));
    let credential = assert_exchanges(&vm, &caller, "search");
    vm.set_now(now - Duration::from_secs(1000));
    let stream = caller.call(&vm, "search");
    // Its age cannot be told any more, or it is taken: it is good by the clock either way.
    if stream.upstream().is_empty() {
        let credential = grant_next(&vm);
        assert_went_with(&stream, &credential, "exchanged");
    } else {
        assert_went_with(&stream, &credential, "cached");
    }
    vm.set_now(now + LIFE);
    let stream = caller.call(&vm, "search");
    assert!(stream.upstream().is_empty(), "{:?}", stream.upstream());
}
