//! What a request waits for besides keys: the issuer's word on a token, before or after
//! its body is read, and lists of revocations.

use serde_json::{Value, json};

use super::driver::*;
use crate::gate::*;

/// A request that was read, and whose rule asks the issuer.
fn asking(config: &Value) -> (Driver, Effects) {
    let mut driver = Driver::of(config);
    driver.request(&Request::post(&token("docs.read")));
    let effects = driver.body(&call("search"), true);
    (driver, effects)
}

#[test]
fn a_call_waits_for_the_issuers_word_and_is_withheld_until_then() {
    for mode in BOTH_MODES {
        let (mut driver, effects) = asking(&asked(mode));
        assert_eq!(effects.flow, Flow::Pause);
        assert_eq!(effects.request_headers, []);
        assert!(matches!(effects.wake, Some(Wake::Settled(_))));
        // Whatever the host calls meanwhile.
        assert_eq!(driver.body("", true).flow, Flow::Pause);
        assert_eq!(driver.trailers("").flow, Flow::Pause);
        let decided = driver.settle(200, &active("docs.read"), &call("search"));
        assert_eq!(decided.flow, Flow::Continue);
        assert_eq!(decided.request_headers.is_empty(), mode == HostMode::Stream);
        assert!(driver.gate.awaits().is_none());
        let record = driver.done();
        assert_eq!(record["outcome"], "allow");
        assert_eq!(record["introspection"], "asked");
        assert_eq!(driver.host.callouts.borrow().len(), 1);
    }
}

#[test]
fn a_fresh_word_is_asked_for_each_call() {
    let (mut driver, _) = asking(&asked(HostMode::Hold));
    driver.settle(200, &active("docs.read"), &call("search"));
    driver.request(&Request::post(&token("docs.read")));
    assert_eq!(driver.body(&call("search"), true).flow, Flow::Pause);
    // What its rule does not ask for is not asked for.
    driver.request(&Request::post(&token("docs.read")));
    let list = driver.body(&rpc("tools/list", &json!({})), true);
    assert_eq!((list.flow, list.wake), (Flow::Continue, None));

    let mut config = asked(HostMode::Hold);
    config["servers"][0]["tools"]["rules"][0]["introspect"] = json!("cached");
    let request = Request::post(&token("docs.read"));
    let mut driver = Driver::of(&config);
    driver.request(&request);
    assert_eq!(driver.body(&call("search"), true).flow, Flow::Pause);
    driver.settle(200, &active("docs.read"), &call("search"));
    driver.request(&request);
    assert_eq!(driver.body(&call("search"), true).flow, Flow::Continue);
    assert_eq!(driver.done()["introspection"], "cached");
}

#[test]
fn rfc7662_what_the_issuer_takes_back_is_not_used() {
    for (status, answer, expected, code) in [
        (200, json!({ "active": false }), 401, "token_inactive"),
        (200, active("other.scope"), 403, "scope_missing"),
        (200, json!({ "active": true, "sub": "mallory" }), 401, "token_claim_bad"),
        // Active, and not for us (any more).
        (200, json!({ "active": true, "aud": "https://other.example" }), 401, "token_audience"),
        (200, json!({ "active": "true" }), 503, "introspection_unavailable"),
        // Section 2.3: it is our credentials that are refused.
        (401, json!({ "error": "invalid_client" }), 503, "introspection_unavailable"),
        (500, json!({}), 503, "introspection_unavailable"),
    ] {
        for mode in BOTH_MODES {
            let (mut driver, _) = asking(&asked(mode));
            let effects = driver.settle(status, &answer, &call("search"));
            let reply = driver.denied(effects, expected, code);
            let challenged = header(&reply, "www-authenticate").is_some();
            assert_eq!(challenged, expected != 503, "{code}");
        }
    }
}

#[test]
fn a_wait_for_the_issuers_word_ends_with_the_configuration() {
    let (mut driver, _) = asking(&asked(HostMode::Stream));
    let effects = driver.on(Event::Abandoned);
    driver.denied(effects, 503, "configuration_replaced");
}

#[test]
fn no_more_streams_wait_than_there_is_room_for() {
    let mut driver = Driver::of(&asked(HostMode::Hold));
    driver.request(&Request::post(&token("docs.read")));
    driver.worker.set_may_wait(false);
    let effects = driver.body(&call("search"), true);
    driver.denied(effects, 503, "overloaded");
}

#[test]
fn who_leaves_while_the_issuer_is_asked_was_denied() {
    let (mut driver, _) = asking(&asked(HostMode::Hold));
    let record = driver.done();
    assert_eq!(record["outcome"], "deny");
    assert_eq!(record["reason"], "the stream ended while the issuer was asked about its token");
}

/// A server whose issuer has opaque tokens.
fn opaque(mode: HostMode) -> Value {
    let mut config = asked(mode);
    config["issuers"]["corp"]["introspection"]["tokens"] = json!("opaque");
    let rule = config["servers"][0]["tools"]["rules"][0].as_object_mut().unwrap();
    rule.remove("introspect");
    config
}

#[test]
fn an_opaque_token_is_what_its_issuer_says_it_is() {
    for (answer, expected) in [
        (claims("docs.read"), None),
        (json!({ "active": false }), Some((401, "token_inactive"))),
        (claims_with("aud", json!("https://other.example")), Some((401, "token_audience"))),
        (claims_with("exp", json!(1)), Some((401, "token_inactive"))),
        (claims_with("iss", json!("https://other.example")), Some((401, "token_issuer"))),
        // An answer that cannot be read says nothing of the token.
        (claims_with("cnf", json!({ "x": 1 })), Some((503, "introspection_unavailable"))),
    ] {
        let mut driver = Driver::of(&opaque(HostMode::Hold));
        let waiting = driver.request(&Request::post("0pAqUe_t0k3n"));
        assert_eq!(waiting.flow, Flow::Pause);
        let mut answer = answer;
        if answer.get("active").is_none() {
            answer["active"] = json!(true);
        }
        let effects = driver.settle(200, &answer, "");
        match expected {
            Some((status, code)) => drop(driver.denied(effects, status, code)),
            None => {
                assert_eq!(driver.body(&call("search"), true).flow, Flow::Continue);
                let record = driver.done();
                assert_eq!(
                    (&record["subject"], &record["introspection"]),
                    (&json!("alice"), &json!("asked"))
                );
                // The next call need not ask.
                driver.request(&Request::post("0pAqUe_t0k3n"));
                assert_eq!(driver.body(&call("search"), true).flow, Flow::Continue);
                assert_eq!(driver.done()["introspection"], "cached");
            }
        }
    }
}

fn claims_with(name: &str, value: Value) -> Value {
    let mut claims = claims("docs.read");
    claims[name] = value;
    claims
}

#[test]
fn a_token_beyond_what_is_read_is_never_sent_to_the_issuer() {
    let mut driver = Driver::of(&opaque(HostMode::Hold));
    let effects = driver.request(&Request::post(&"x".repeat(16 * 1024 + 1)));
    driver.denied(effects, 401, "token_malformed");
    assert_eq!(driver.host.callouts.borrow().len(), 0);
}

fn revoking(mode: HostMode) -> Value {
    let mut config = config(mode);
    config["issuers"]["corp"]["revocation"] =
        json!({ "uri": "https://idp.example/revoked", "cluster": "idp" });
    config
}

#[test]
fn a_revoked_token_is_refused_also_when_it_is_remembered() {
    for (list, code) in [
        (json!({ "revoked": [] }), None),
        (json!({ "revoked": [{ "jti": "id-1" }] }), Some("token_revoked")),
        (
            json!({ "revoked": [{ "sub": "alice", "issued_before": 4_000_000_000_u64 }] }),
            Some("token_revoked"),
        ),
        (json!({ "revoked": [{ "sub": "bob", "issued_before": 4_000_000_000_u64 }] }), None),
    ] {
        let mut driver = Driver::of(&revoking(HostMode::Hold));
        let request = Request::post(&token("docs.read"));
        assert!(driver.request(&request).wake.is_some());
        let effects = driver.settle(200, &list, "");
        match code {
            None => assert_eq!(driver.body(&call("search"), true).flow, Flow::Continue),
            Some(code) => {
                driver.denied(effects, 401, code);
                // The token is remembered by now; the list is asked all the same.
                let effects = driver.request(&request);
                driver.denied(effects, 401, code);
            }
        }
    }
}

#[test]
fn without_a_list_nobody_can_say_which_tokens_are_revoked() {
    let mut driver = Driver::of(&revoking(HostMode::Hold));
    driver.request(&Request::post(&token("docs.read")));
    let effects = driver.settle(500, &json!({}), "");
    let reply = driver.denied(effects, 503, "revocations_unavailable");
    assert_eq!(header(&reply, "retry-after"), Some("5"));
}
