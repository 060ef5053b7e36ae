//! From a message to a decision, in the shape its sender understands.

use std::time::Duration;

use serde_json::json;

use super::driver::*;
use crate::gate::*;
use crate::reply::LocalReply;

/// Sends a message and expects a refusal in both modes.
#[track_caller]
fn refused(request: &Request, body: &str, status: u16, code: &str) -> LocalReply {
    let [reply, other] = BOTH_MODES.map(|mode| {
        let (mut driver, decided) = Driver::sent(mode, request, body);
        driver.denied(decided, status, code)
    });
    assert_eq!(reply, other);
    reply
}

#[track_caller]
fn forwarded(request: &Request, body: &str) {
    for mode in BOTH_MODES {
        let (mut driver, decided) = Driver::sent(mode, request, body);
        assert_eq!((decided.flow, decided.reply), (Flow::Continue, None), "{}", driver.done());
        assert_eq!(driver.done()["code"], "allowed");
    }
}

fn reader() -> Request {
    Request::post(&token("docs.read"))
}

#[test]
fn what_a_rule_permits_goes_on() {
    forwarded(&reader(), &call("search"));
    forwarded(&reader(), &rpc("initialize", &json!({})));
    forwarded(&reader(), &notification("notifications/initialized"));
    let (request, body) = modern("tools/call", Some("search"));
    forwarded(&request, &body);
}

#[test]
fn trailers_end_the_body_and_do_not_go_on() {
    for mode in BOTH_MODES {
        let mut driver = Driver::new(mode);
        driver.request(&reader());
        let decided = driver.trailers(&call("search"));
        assert_eq!(decided.flow, Flow::Continue);
        assert_eq!(decided.remove_request_trailers, ["x-trailer"]);

        driver.request(&reader());
        let effects = driver.trailers(&call("hidden"));
        driver.denied(effects, 200, "object_unknown");
    }
}

#[test]
fn mcp_2025_11_25_a_denied_method_does_not_end_the_session() {
    let reply = refused(&reader(), &rpc("logging/setLevel", &json!({})), 200, "method_denied");
    assert_eq!(
        json_of(&reply),
        json!({ "jsonrpc": "2.0", "id": 7,
            "error": { "code": -32601, "message": "Method not found" } })
    );
}

#[test]
fn mcp_2026_07_28_a_denied_method_is_not_found() {
    let (request, body) = modern("prompts/list", None);
    let reply = refused(&request, &body, 404, "method_denied");
    assert_eq!(json_of(&reply)["error"]["code"], -32601);
    assert_eq!(json_of(&reply)["id"], 7);
}

#[test]
fn an_object_without_a_rule_does_not_exist() {
    for (body, message) in [
        (call("hidden"), "Unknown tool: hidden"),
        (call("Search"), "Unknown tool: Search"),
        (rpc("prompts/get", &json!({ "name": "p" })), "Unknown prompt: p"),
        (rpc("resources/read", &json!({ "uri": "x://y" })), "Resource not found: x://y"),
    ] {
        let reply = refused(&reader(), &body, 200, "object_unknown");
        let error = json!({ "code": -32602, "message": message });
        assert_eq!(json_of(&reply), json!({ "jsonrpc": "2.0", "id": 7, "error": error }));
    }
}

#[test]
fn a_missing_scope_is_challenged_with_all_scopes_of_the_operation() {
    let reply = refused(&reader(), &call("delete"), 403, "scope_missing");
    assert_eq!(
        header(&reply, "www-authenticate"),
        Some(
            "Bearer resource_metadata=\"https://mcp.example/.well-known/oauth-protected-resource/\
             mcp\", error=\"insufficient_scope\", scope=\"docs.admin docs.read\""
        )
    );
    assert_eq!(json_of(&reply)["id"], 7);
}

#[test]
fn json_rpc_4_1_a_denied_notification_gets_no_id() {
    for method in ["initialize", "tools/list", "ping"] {
        let reply = refused(&reader(), &notification(method), 403, "notification_denied");
        assert_eq!(json_of(&reply).get("id"), None);
    }
    let call_without_id =
        json!({ "jsonrpc": "2.0", "method": "tools/call", "params": { "name": "search" } });
    refused(&reader(), &call_without_id.to_string(), 403, "notification_denied");
}

#[test]
fn a_posted_response_needs_a_session_and_sessions() {
    let response = json!({ "jsonrpc": "2.0", "id": 1, "result": {} }).to_string();
    let in_session = reader().with("mcp-session-id", sealed("s"));
    forwarded(&in_session, &response);
    refused(&reader(), &response, 400, "message_malformed");

    let mut closed = config(HostMode::Hold);
    closed["servers"][0]["methods"]["allow"] = json!(["tools/list"]);
    let mut driver = Driver::of(&closed);
    driver.request(&in_session);
    let effects = driver.body(&response, true);
    driver.denied(effects, 403, "notification_denied");
}

#[test]
fn sep_2243_headers_that_contradict_the_body_are_refused() {
    let (request, body) = modern("tools/call", Some("search"));
    for request in [
        request.clone().with("mcp-method", "tools/list"),
        request.clone().with("mcp-name", "hidden"),
        request.clone().without("mcp-method"),
        request.clone().without("mcp-name"),
        request.without("mcp-protocol-version"),
    ] {
        let reply = refused(&request, &body, 400, "header_mismatch");
        assert_eq!(json_of(&reply)["error"]["code"], -32020);
        assert_eq!(json_of(&reply)["id"], 7);
    }
}

#[test]
fn mcp_2026_07_28_an_unknown_version_is_told_the_known_ones() {
    let request = reader().with("mcp-protocol-version", "2027-01-01");
    let reply = refused(&request, &call("search"), 400, "version_unsupported");
    assert_eq!(
        json_of(&reply)["error"],
        json!({ "code": -32022, "message": "unsupported protocol version", "data": {
            "supported": ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"],
            "requested": "2027-01-01",
        } })
    );
}

#[test]
fn what_cannot_be_read_is_refused() {
    for (body, code) in [
        ("", -32700),
        ("{", -32700),
        (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/list"}"#, -32700),
        ("[]", -32600),
        ("1", -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"tools/list"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}"#, -32602),
    ] {
        let reply = refused(&reader(), body, 400, "message_malformed");
        assert_eq!(json_of(&reply)["error"]["code"], code, "{body}");
    }
}

#[test]
fn a_body_the_host_does_not_give_is_not_guessed() {
    let mut driver = Driver::new(HostMode::Hold);
    driver.request(&reader());
    let effects = driver.on(Event::RequestBody { body: &Withheld(10), end: true });
    driver.denied(effects, 503, "host_failure");
}

#[test]
fn the_record_tells_the_whole_decision() {
    let request = reader()
        .with("mcp-session-id", sealed("session"))
        .with("mcp-protocol-version", "2025-06-18")
        .with("x-request-id", "r1")
        .with("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let (mut driver, _) = Driver::sent(HostMode::Stream, &request, &call("delete"));
    driver.host.advance(Duration::from_millis(5));
    assert_eq!(
        driver.done(),
        json!({
            "time": "2026-07-28T00:00:00.000Z",
            "decision_id": "00000000000000000000000000000001",
            "host_mode": "stream",
            "outcome": "deny",
            "code": "scope_missing",
            "mode": "enforce",
            "policy_reason": "scope_missing",
            "refused_by": "user",
            "reason": "the token lacks a scope of the operation",
            "rules": ["servers[0].tools.rules[1]"],
            "policy_version": "v1",
            "subject": "alice",
            "subject_kind": "user",
            "issuer": "https://idp.example",
            "client_id": "agent",
            "token_id": digest(b"id-1"),
            "scopes_presented": ["docs.read"],
            "sender": "bearer",
            "token_cached": false,
            "server": RESOURCE,
            "http_method": "POST",
            "method": "tools/call",
            "object": { "kind": "tool", "name": "delete" },
            "revision": "2025-06-18",
            "session": digest(b"session"),
            "scopes_required": ["docs.admin", "docs.read"],
            "source": "192.0.2.1:4711",
            "request_id": "r1",
            "trace_id": "0af7651916cd43dd8448eb211c80319c",
            "decision_ms": 0,
            "total_ms": 5,
        })
    );
}

#[test]
fn who_leaves_before_the_decision_was_denied() {
    let mut driver = Driver::new(HostMode::Stream);
    driver.request(&reader());
    let record = driver.done();
    assert_eq!(record["code"], "client_disconnected");
    assert_eq!(record["reason"], "the stream ended before its body was complete");
    let mut driver = Driver::of(&remote_keys(HostMode::Stream));
    driver.request(&reader());
    assert_eq!(
        driver.done()["reason"],
        "the stream ended while its credential waited to be judged"
    );
}

#[test]
fn no_secret_is_recorded_or_logged() {
    let token = token("docs.read");
    for body in [
        rpc("tools/call", &json!({ "name": "search", "arguments": { "q": "the-argument" } })),
        rpc("tools/call", &json!({ "name": "delete", "arguments": { "q": "the-argument" } })),
    ] {
        let request = Request::post(&token).with("mcp-session-id", sealed("the-session"));
        let (mut driver, _) = Driver::sent(HostMode::Hold, &request, &body);
        let record = driver.done().to_string();
        let log = format!("{record} {:?}", driver.host.log.borrow());
        for secret in
            [token.as_str(), "the-session", &sealed("the-session"), "the-argument", "id-1"]
        {
            assert!(!log.contains(secret), "{secret}: {log}");
        }
    }
}

/// Prior actors are not for decisions (RFC 8693 section 4.1), and are on record.
#[test]
fn rfc8693_4_1_the_record_has_the_whole_chain_of_actors() {
    let config = {
        let mut config = config(HostMode::Stream);
        config["issuers"]["corp"]["claims"] =
            json!({ "agent_instance": ["instance"], "agent_version": ["version"] });
        config
    };
    let mut claims = claims("docs.read");
    claims["act"] =
        json!({ "sub": "planner", "act": { "iss": "https://b.example", "client_id": "ui" } });
    claims["roles"] = json!(["viewer"]);
    claims["groups"] = json!(["staff"]);
    claims["instance"] = json!("i7");
    claims["version"] = json!("2.1");
    let mut driver = Driver::of(&config);
    driver.request(&Request::post(&sign(claims.clone(), "at+jwt")));
    driver.body(&call("search"), true);
    let record = driver.done();
    let chain = json!([{ "sub": "planner" }, { "client_id": "ui", "iss": "https://b.example" }]);
    assert_eq!(record["actors"], chain);
    assert_eq!(record["subject_kind"], "user");
    assert_eq!(
        (&record["agent_instance"], &record["agent_version"]),
        (&json!("i7"), &json!("2.1"))
    );
    assert_eq!((&record["roles"], &record["groups"]), (&json!(["viewer"]), &json!(null)));

    claims["sub"] = json!("agent");
    driver.request(&Request::post(&sign(claims, "at+jwt")));
    driver.body(&call("search"), true);
    assert_eq!(driver.done()["subject_kind"], "workload");
}
