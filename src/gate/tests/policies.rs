//! What becomes of decisions that are not simply enforced: shadow, candidates, rollbacks,
//! rates; and what is told of the agent.

use std::time::Duration;

use serde_json::{Value, json};

use super::driver::*;
use crate::gate::*;
use crate::host::{Counter, LogLevel};

/// The configuration with a catalogue, in which the caller is the agent `bot`.
fn with_agents(mode: HostMode) -> Value {
    let mut config = config(mode);
    config["agents"] = json!({ "bot": { "match": ["client:agent"] } });
    config
}

fn reader() -> Request {
    Request::post(&token("docs.read"))
}

/// A call through a worker in `hold`: the effects of its body.
fn call_of(driver: &mut Driver, tool: &str) -> Effects {
    let arrived = driver.request(&reader());
    assert_eq!(arrived.reply, None);
    driver.body(&call(tool), true)
}

#[test]
fn in_shadow_a_denial_is_recorded_and_the_call_goes_on() {
    for (place, value) in [("/mode", "shadow"), ("/servers/0/mode", "shadow")] {
        for mode in BOTH_MODES {
            let mut config = config(mode);
            let (parent, member) = place.rsplit_once('/').unwrap();
            config.pointer_mut(parent).unwrap()[member] = json!(value);
            let mut driver = Driver::of(&config);
            for (tool, code) in [("delete", "scope_missing"), ("unknown", "object_unknown")] {
                assert_eq!(call_of(&mut driver, tool).flow, Flow::Continue);
                let record = driver.done();
                assert_eq!(
                    (&record["outcome"], &record["mode"]),
                    (&json!("allow"), &json!("shadow"))
                );
                assert_eq!(record["would_deny"], code);
                assert!(driver.host.counters.borrow().contains(&Counter::ShadowDenial { code }));
            }
            assert_eq!(call_of(&mut driver, "search").flow, Flow::Continue);
            assert_eq!(driver.done().get("would_deny"), None);
        }
    }
}

#[test]
fn in_shadow_callers_are_known_and_messages_are_read_all_the_same() {
    let mut config = config(HostMode::Hold);
    config["mode"] = json!("shadow");
    let mut driver = Driver::of(&config);
    let nobody = driver.request(&reader().without("authorization"));
    driver.denied(nobody, 401, "token_missing");
    let forged = driver.request(&Request::post("x.y.z"));
    assert_eq!(forged.reply.unwrap().status, 401);
    assert_eq!(driver.request(&reader()).reply, None);
    let twice = driver.body(r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","method":"x"}"#, true);
    driver.denied(twice, 400, "message_malformed");
    let foreign = driver.request(&reader().with("mcp-session-id", "forged"));
    driver.denied(foreign, 404, "session_unknown");
}

#[test]
fn a_candidate_is_recorded_and_decides_nothing() {
    let mut config = config(HostMode::Hold);
    config["policies"] = json!({ "next": { "servers": { RESOURCE: { "tools": { "rules": [
        { "names": ["search"], "scopes": ["docs.admin"] },
        { "names": ["delete"], "scopes": [] },
        { "names": ["other"], "scopes": [] },
    ] } } } } });
    config["candidate"] = json!("next");
    let mut driver = Driver::of(&config);
    for (tool, outcome, tried, code, change) in [
        ("search", "allow", "deny", "scope_missing", "would_deny"),
        ("delete", "deny", "allow", "allowed", "would_allow"),
        ("nothing", "deny", "deny", "object_unknown", "none"),
    ] {
        let decided = call_of(&mut driver, tool);
        assert_eq!(decided.flow == Flow::Continue, outcome == "allow", "{tool}");
        let record = driver.done();
        assert_eq!(record["outcome"], outcome);
        let expected =
            json!({ "policy": "next", "outcome": tried, "code": code, "change": change });
        assert_eq!(record["candidate"], expected);
        assert!(driver.host.counters.borrow().contains(&Counter::Candidate { change }));
    }
}

#[test]
fn a_candidate_counts_nothing_and_asks_nobody_to_step_up() {
    let mut config = config(HostMode::Hold);
    config["policies"] = json!({ "next": { "servers": { RESOURCE: { "tools": { "rules": [
        { "names": ["search"], "scopes": [], "step_up": { "acr": ["mfa"] },
          "rates": [{ "limit": "1/h" }] },
    ] } } } } });
    config["candidate"] = json!("next");
    let mut driver = Driver::of(&config);
    for _ in 0..5 {
        assert_eq!(call_of(&mut driver, "search").flow, Flow::Continue);
        assert_eq!(driver.done()["candidate"]["code"], "step_up_required");
    }
}

#[test]
fn a_rollback_ends_by_itself_and_says_so() {
    let mut config = config(HostMode::Hold);
    config["policies"] = json!({ "before": { "servers": { RESOURCE: { "tools": { "rules": [
        { "names": ["search", "delete"], "scopes": [] },
    ] } } } } });
    // A minute after the host's clock begins.
    config["rollback"] = json!({ "policy": "before", "until": "2026-07-28T00:01:00Z" });
    let mut driver = Driver::of(&config);
    let logged = |driver: &Driver, text: &str| {
        let log = driver.host.log.borrow();
        log.iter().filter(|(level, line)| *level == LogLevel::Warn && line.contains(text)).count()
    };
    assert_eq!(logged(&driver, "is in force instead of the servers' own"), 1);

    assert_eq!(call_of(&mut driver, "delete").flow, Flow::Continue);
    assert_eq!(driver.done()["rollback"], "before");
    assert!(driver.host.counters.borrow().contains(&Counter::RollbackDecision));

    // A request that came before the end is decided as it came.
    assert_eq!(driver.request(&reader()).reply, None);
    driver.host.advance(Duration::from_secs(60));
    assert_eq!(driver.body(&call("delete"), true).flow, Flow::Continue);
    assert_eq!(driver.done()["rollback"], "before");

    // No tick is needed for the end, only to tell it.
    let denied = call_of(&mut driver, "delete");
    driver.denied(denied, 403, "scope_missing");
    for _ in 0..2 {
        let _ = driver.worker.on_tick(&driver.host);
    }
    assert_eq!(logged(&driver, "is over"), 1);
    let ended = |counter: &&Counter| **counter == Counter::RollbackEnded;
    assert_eq!(driver.host.counters.borrow().iter().filter(ended).count(), 1);
}

#[test]
fn rfc6585_4_what_comes_too_often_is_told_when_to_come_back() {
    let mut config = config(HostMode::Hold);
    config["servers"][0]["rates"] = json!([{ "limit": "2/m", "by": ["subject"] }]);
    let mut driver = Driver::of(&config);
    for _ in 0..2 {
        assert_eq!(call_of(&mut driver, "search").flow, Flow::Continue);
    }
    // Who is refused for another reason spends nothing, and learns nothing of rates.
    let denied = call_of(&mut driver, "delete");
    driver.denied(denied, 403, "scope_missing");
    let limited = call_of(&mut driver, "search");
    let reply = driver.denied(limited, 429, "rate_limited");
    assert!(reply.headers.contains(&("retry-after", "30".to_owned())), "{:?}", reply.headers);
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((&body["id"], &body["error"]["code"]), (&json!(7), &json!(429)));
    driver.host.advance(Duration::from_secs(30));
    assert_eq!(call_of(&mut driver, "search").flow, Flow::Continue);
}

#[test]
fn a_rate_that_cannot_be_counted_is_no_permission() {
    let mut config = config(HostMode::Hold);
    config["servers"][0]["rates"] = json!([{ "limit": "100/m" }]);
    let mut driver = Driver::of(&config);
    driver.host.refuse_shared.set(true);
    let refused = call_of(&mut driver, "search");
    driver.denied(refused, 503, "host_failure");
}

/// A subscription is one operation, however many objects it names.
#[test]
fn an_operation_is_counted_once() {
    let mut config = config(HostMode::Hold);
    config["servers"][0]["methods"]["allow"] = json!(["subscriptions/listen"]);
    config["servers"][0]["rates"] = json!([{ "limit": "2/h", "by": ["subject"] }]);
    let mut driver = Driver::of(&config);
    let uris: Vec<String> = (0..20).map(|index| format!("docs://{index}")).collect();
    let listen = json!({ "notifications": { "resourceSubscriptions": uris } });
    let mut sent = || {
        assert_eq!(driver.request(&reader()).reply, None);
        driver.body(&rpc("subscriptions/listen", &listen), true).reply.map(|reply| reply.status)
    };
    assert_eq!([sent(), sent(), sent()], [None, None, Some(429)]);
}

/// What a rule in shadow lets pass runs, and so counts.
#[test]
fn what_shadow_lets_pass_is_counted_by_enforced_rates() {
    let mut config = config(HostMode::Hold);
    config["servers"][0]["rates"] = json!([{ "limit": "1/h" }]);
    config["servers"][0]["tools"]["rules"][1]["mode"] = json!("shadow");
    let mut driver = Driver::of(&config);
    assert_eq!(call_of(&mut driver, "delete").flow, Flow::Continue);
    assert_eq!(driver.done()["would_deny"], "scope_missing");
    let limited = call_of(&mut driver, "delete");
    driver.denied(limited, 429, "rate_limited");
}

#[test]
fn in_shadow_a_rate_is_only_recorded() {
    let mut config = config(HostMode::Hold);
    config["servers"][0]["rates"] = json!([{ "limit": "1/h" }]);
    config["mode"] = json!("shadow");
    let mut driver = Driver::of(&config);
    assert_eq!(call_of(&mut driver, "search").flow, Flow::Continue);
    assert_eq!(driver.done().get("would_deny"), None);
    assert_eq!(call_of(&mut driver, "search").flow, Flow::Continue);
    let record = driver.done();
    assert_eq!(record["would_deny"], "rate_limited");
    assert_eq!(record["rate_limit"], "servers[0].rates[0]");
}

#[test]
fn the_agent_is_told_in_headers_and_in_filter_state() {
    for (filter_state, expected) in [(false, None), (true, Some("bot"))] {
        let mut config = with_agents(HostMode::Hold);
        config["audit"] = json!({ "filter_state": filter_state });
        let mut driver = Driver::of(&config);
        let decided = call_of(&mut driver, "search");
        let header = HeaderEdit::Set("x-countersign-agent", "bot".to_owned());
        assert!(decided.request_headers.contains(&header));
        let state = decided.filter_state.iter().find(|(name, _)| *name == "countersign.agent");
        assert_eq!(state.map(|(_, value)| value.as_str()), expected);
        assert_eq!(driver.done()["agent"], "bot");
    }
}

#[test]
fn the_client_is_not_told_whose_side_refused() {
    let mut config = with_agents(HostMode::Hold);
    config["agents"]["bot"]["tools"] = json!(["search"]);
    config["servers"][0]["tools"]["rules"] = json!([
        { "names": ["search"], "scopes": ["docs.read"], "roles": ["reader"] },
        { "names": ["update"], "scopes": [] },
    ]);
    let mut driver = Driver::of(&config);
    let mut told = Vec::new();
    for (tool, side) in [("search", "user"), ("update", "agent"), ("nothing", "server")] {
        let reply = call_of(&mut driver, tool).reply.unwrap();
        assert_eq!(driver.done()["refused_by"], side);
        told.push((reply.status, String::from_utf8(reply.body).unwrap().replace(tool, "TOOL")));
    }
    assert_eq!((&told[0], &told[1]), (&told[1], &told[2]));
}
