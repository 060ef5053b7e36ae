//! Sessions and tasks belong to who was given them.

use std::time::Duration;

use serde_json::{Value, json};

use super::driver::*;
use crate::gate::*;

const OK: (&str, &str) = (":status", "200");
const JSON: (&str, &str) = ("content-type", "application/json");
const SESSION: &str = "mcp-session-id";

/// What is done to a header, the last time anything is.
fn edit<'e>(edits: &'e [HeaderEdit], name: &str) -> Option<&'e HeaderEdit> {
    edits.iter().rev().find(|edit| match edit {
        HeaderEdit::Set(set, _) | HeaderEdit::SetSecret(set, _) => *set == name,
        HeaderEdit::Remove(removed) => removed == name,
    })
}

fn set(value: &str) -> HeaderEdit {
    HeaderEdit::Set(SESSION, value.to_owned())
}

fn initialize() -> String {
    rpc("initialize", &json!({ "protocolVersion": "2025-11-25" }))
}

#[test]
fn a_session_is_given_out_sealed_and_comes_back_opened() {
    for mode in BOTH_MODES {
        let post = Request::post(&token("docs.read"));
        let (mut driver, _) = Driver::sent(mode, &post, &initialize());
        let answer = driver.response(&[OK, JSON, (SESSION, "the-servers-own")], false);
        let given = sealed("the-servers-own");
        assert_eq!(edit(&answer.response_headers, SESSION), Some(&set(&given)));
        assert_eq!(driver.done()["session"], digest(b"the-servers-own"));

        let (mut driver, effects) =
            Driver::sent(mode, &post.with(SESSION, &given), &call("search"));
        if mode == HostMode::Hold {
            assert_eq!(edit(&effects.request_headers, SESSION), Some(&set("the-servers-own")));
        }
        // Servers repeat it; the client goes on with what it was given.
        let answer = driver.response(&[OK, JSON, (SESSION, "the-servers-own")], false);
        assert_eq!(edit(&answer.response_headers, SESSION), Some(&set(&given)));
        assert_eq!(driver.done()["session"], digest(b"the-servers-own"));
    }
}

#[test]
fn in_stream_mode_a_session_is_opened_before_the_headers_go() {
    let mut driver = Driver::new(HostMode::Stream);
    let post = Request::post(&token("docs.read"));
    let effects = driver.request(&post.with(SESSION, sealed("s")));
    assert_eq!(edit(&effects.request_headers, SESSION), Some(&set("s")));
}

/// ruby-sdk: whoever knew the id of a session could take its stream.
#[test]
fn ghsa_qvqr_a_session_is_good_for_its_owner_alone() {
    let [issuer, subject, client] = ["https://idp.example", "alice", "agent"];
    for foreign in [
        sealed_for("s", ["https://other.example", subject, client, RESOURCE]),
        sealed_for("s", [issuer, "bob", client, RESOURCE]),
        sealed_for("s", [issuer, subject, "other", RESOURCE]),
        sealed_for("s", [issuer, subject, client, "https://mcp.example/other"]),
        "s".to_owned(),
        sealed("s") + "A",
        sealed("s").to_lowercase(),
    ] {
        for request in [
            Request::post(&token("docs.read")),
            Request::bodiless("GET", &token("docs.read")),
            Request::bodiless("GET", &token("docs.read")).with("last-event-id", "1"),
            Request::bodiless("DELETE", &token("docs.read")),
        ] {
            for mode in BOTH_MODES {
                let mut driver = Driver::new(mode);
                let effects = driver.request(&request.clone().with(SESSION, &foreign));
                let reply = driver.denied(effects, 404, "session_unknown");
                assert_eq!(json_of(&reply)["error"]["message"], "Session not found");
            }
        }
    }
}

/// Two agents that act for the same user through one client are two.
#[test]
fn rfc8693_4_1_a_session_is_good_for_its_agent_alone() {
    for actor in [json!({ "sub": "planner" }), json!({ "client_id": "planner" })] {
        let mut acting = claims("docs.read");
        acting["act"] = actor;
        let mut driver = Driver::new(HostMode::Hold);
        let request = Request::post(&sign(acting, "at+jwt")).with(SESSION, sealed("s"));
        let effects = driver.request(&request);
        driver.denied(effects, 404, "session_unknown");
    }
}

/// agentgateway: a session begun where much is allowed was good where little is.
#[test]
fn ghsa_mvgg_a_session_is_good_at_its_server_alone() {
    let mut two = config(HostMode::Hold);
    let mut other = two["servers"][0].clone();
    other["resource"] = json!("https://mcp.example/other");
    two["servers"].as_array_mut().unwrap().push(other);
    let mut driver = Driver::of(&two);
    let mut both = claims("docs.read");
    both["aud"] = json!([RESOURCE, "https://mcp.example/other"]);
    let post = Request::post(&sign(both, "at+jwt")).with(SESSION, sealed("s"));
    assert_eq!(driver.request(&post).reply, None);
    let effects = driver.request(&post.with(":path", "/other"));
    driver.denied(effects, 404, "session_unknown");
}

/// oatpp-mcp: session ids could be guessed.
#[test]
fn cve_2025_6515_a_guessed_session_id_opens_nothing() {
    for guess in ["1", "0x7f0000001000", "00000000-0000-0000-0000-000000000000"] {
        let mut driver = Driver::new(HostMode::Hold);
        let request = Request::bodiless("GET", &token("docs.read")).with(SESSION, guess);
        let effects = driver.request(&request);
        driver.denied(effects, 404, "session_unknown");
    }
}

#[test]
fn a_refreshed_token_stays_in_its_session() {
    let mut refreshed = claims("docs.read docs.admin");
    refreshed["jti"] = json!("id-2");
    refreshed["iat"] = json!(refreshed["iat"].as_u64().unwrap() + 60);
    let mut driver = Driver::new(HostMode::Stream);
    driver.host.advance(Duration::from_secs(60));
    let post = Request::post(&sign(refreshed, "at+jwt")).with(SESSION, sealed("s"));
    assert_eq!(driver.request(&post).flow, Flow::Continue);
}

#[test]
fn a_session_header_that_means_nothing_is_taken_away() {
    // No session belongs to the request, and none begins.
    let post = Request::post(&token("docs.read"));
    let (mut driver, _) = Driver::sent(HostMode::Hold, &post, &call("search"));
    let answer = driver.response(&[OK, JSON, (SESSION, "s")], false);
    let removed = HeaderEdit::Remove(SESSION.to_owned());
    assert_eq!(edit(&answer.response_headers, SESSION), Some(&removed));
    // Another session than the request's.
    let in_session = post.with(SESSION, sealed("s"));
    let (mut driver, _) = Driver::sent(HostMode::Hold, &in_session, &call("search"));
    let answer = driver.response(&[OK, JSON, (SESSION, "t")], false);
    assert_eq!(edit(&answer.response_headers, SESSION), Some(&removed));
}

#[test]
fn a_session_that_cannot_be_sealed_does_not_begin() {
    for lines in [
        vec![(SESSION, "has a space")],
        vec![(SESSION, "")],
        vec![(SESSION, "one"), (SESSION, "two")],
    ] {
        let post = Request::post(&token("docs.read"));
        let (mut driver, _) = Driver::sent(HostMode::Hold, &post, &initialize());
        let effects = driver.response(&[vec![OK, JSON], lines].concat(), false);
        driver.denied(effects, 502, "session_unusable");
    }
}

/// A server whose tools may be answered with tasks.
fn with_tasks(binding: &str) -> Driver {
    let mut config = config(HostMode::Hold);
    config["servers"][0]["methods"]["allow"] =
        json!(["initialize", "tools/list", "tasks/*", "subscriptions/listen"]);
    config["servers"][0]["tasks"] = json!({ "binding": binding });
    Driver::of(&config)
}

fn token_of(subject: &str) -> String {
    let mut claims = claims("docs.read");
    claims["sub"] = json!(subject);
    sign(claims, "at+jwt")
}

fn send(driver: &mut Driver, subject: &str, method: &str, params: &Value) -> Effects {
    driver.request(&Request::post(&token_of(subject)));
    driver.body(&rpc(method, params), true)
}

#[test]
fn mcp_2025_11_25_a_task_is_good_for_who_made_it_alone() {
    let mut driver = with_tasks("proxy");
    send(&mut driver, "alice", "tools/call", &json!({ "name": "search", "task": {} }));
    driver.response(&[OK, JSON], false);
    let made = r#"{"jsonrpc":"2.0","id":7,"result":{"task":{"taskId":"t1","ttl":60000}}}"#;
    assert_eq!(driver.response_body(made, true).response_body, None);

    for method in ["tasks/get", "tasks/result", "tasks/cancel", "tasks/update"] {
        let params = json!({ "taskId": "t1" });
        assert_eq!(send(&mut driver, "alice", method, &params).flow, Flow::Continue, "{method}");
        let effects = send(&mut driver, "bob", method, &params);
        let reply = driver.denied(effects, 200, "task_unknown");
        assert_eq!(json_of(&reply)["id"], 7);
        assert_eq!(json_of(&reply)["error"]["code"], -32602);
        let effects = send(&mut driver, "alice", method, &json!({ "taskId": "t2" }));
        driver.denied(effects, 200, "task_unknown");
    }
    let listen = json!({ "notifications": { "taskIds": ["t1"] } });
    let listen_method = "subscriptions/listen";
    assert_eq!(send(&mut driver, "alice", listen_method, &listen).flow, Flow::Continue);
    let effects = send(&mut driver, "bob", listen_method, &listen);
    driver.denied(effects, 200, "task_unknown");
}

#[test]
fn mcp_2025_11_25_a_list_of_tasks_shows_its_readers_own() {
    let mut driver = with_tasks("proxy");
    for (subject, id) in [("alice", "t1"), ("bob", "t2")] {
        send(&mut driver, subject, "tools/call", &json!({ "name": "search", "task": {} }));
        driver.response(&[OK, JSON], false);
        driver.response_body(
            &json!({ "id": 7, "result": { "task": { "taskId": id } } }).to_string(),
            true,
        );
    }
    send(&mut driver, "bob", "tasks/list", &json!({}));
    driver.response(&[OK, JSON], false);
    let list = r#"{"id":7,"result":{"tasks":[{"taskId":"t1"},{"taskId":"t2"},{"taskId":"t3"}]}}"#;
    let shown = driver.response_body(list, true).response_body.expect("a changed body");
    assert_eq!(
        String::from_utf8(shown).unwrap(),
        r#"{"id":7,"result":{"tasks":[{"taskId":"t2"}]}}"#
    );
}

#[test]
fn tasks_that_the_server_binds_pass() {
    let mut driver = with_tasks("upstream");
    let effects = send(&mut driver, "bob", "tasks/get", &json!({ "taskId": "t1" }));
    assert_eq!(effects.flow, Flow::Continue);
    assert_eq!(driver.done()["object"], json!({ "kind": "task", "name": "t1" }));
}
