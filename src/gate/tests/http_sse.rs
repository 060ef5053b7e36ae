//! The HTTP+SSE transport of 2024-11-05, where a server is configured to serve it.

use serde_json::{Value, json};

use super::driver::*;
use crate::audit::digest;
use crate::gate::*;
use crate::reply::LocalReply;

const JSON: (&str, &str) = ("content-type", "application/json");
const SSE: (&str, &str) = ("content-type", "text/event-stream; charset=utf-8");
const TEXT: (&str, &str) = ("content-type", "text/plain");
const OK: (&str, &str) = (":status", "200");
const ACCEPTED: (&str, &str) = (":status", "202");

/// What the server announces, and how it knows the session.
const ENDPOINT: &str = "event: endpoint\ndata: /messages?session_id=1\n\n";
const QUERY: &str = "session_id=1";

/// The server serves the transport, behind a route that rewrites its paths.
fn serving(mode: HostMode) -> Value {
    let mut config = config(mode);
    config["servers"][0]["http_sse"] =
        json!({ "messages_path": "/docs/messages", "announced_path": "/messages" });
    config
}

fn get() -> Request {
    Request::bodiless("GET", &token("docs.read")).line("accept", "text/event-stream")
}

/// A message to the session of that query.
fn post(sealed: &str) -> Request {
    Request::post(&token("docs.read")).with(":path", format!("/docs/messages?sessionId={sealed}"))
}

/// A stream that the server has begun to answer.
fn opened(mode: HostMode) -> Driver {
    let mut driver = Driver::of(&serving(mode));
    let effects = driver.request(&get());
    assert_eq!((effects.flow, effects.reply), (Flow::Continue, None));
    let answer = driver.response(&[OK, SSE, ("mcp-session-id", "other")], false);
    assert_eq!(answer.flow, Flow::Continue);
    assert!(answer.response_headers.contains(&HeaderEdit::Remove("mcp-session-id".to_owned())));
    driver
}

fn text(effects: Effects) -> String {
    assert_eq!((effects.flow, effects.reply), (Flow::Continue, None));
    String::from_utf8(effects.response_body.expect("a replaced body")).unwrap()
}

/// A message that is sent whole; the decision's effects.
fn sent(mode: HostMode, request: &Request, body: &str) -> (Driver, Effects) {
    let mut driver = Driver::of(&serving(mode));
    let mut arrived = driver.request(request);
    assert_eq!(arrived.reply, None, "{}", driver.done());
    let decided = driver.body(body, true);
    arrived.request_headers.extend(decided.request_headers);
    (driver, Effects { request_headers: arrived.request_headers, ..decided })
}

#[track_caller]
fn refused(request: &Request, status: u16, code: &str) -> LocalReply {
    let reply = BOTH_MODES.map(|mode| {
        let mut driver = Driver::of(&serving(mode));
        let effects = driver.request(request);
        driver.denied(effects, status, code)
    });
    let [reply, _] = reply;
    reply
}

/// The stream was cut off: its end is all that the client learns.
#[track_caller]
fn cut_off(driver: &mut Driver, effects: &Effects, code: &str) {
    assert!(effects.reply.is_some() && effects.response_body.is_none(), "{effects:?}");
    assert_eq!(effects.flow, Flow::Pause);
    assert_eq!(text(driver.response_body("data: {}\n\n", true)), "");
    let record = driver.done();
    assert_eq!((&record["outcome"], &record["code"]), (&json!("deny"), &json!(code)), "{record}");
}

#[test]
fn the_client_is_told_a_url_of_ours_and_messages_go_to_the_servers() {
    for mode in BOTH_MODES {
        let mut driver = opened(mode);
        let (head, tail) = ENDPOINT.split_at(30);
        assert_eq!(text(driver.response_body(head, false)), "");
        let sealed = sealed_in_url(QUERY);
        let told = format!("event: endpoint\ndata: /docs/messages?sessionId={sealed}\n\n");
        assert_eq!(text(driver.response_body(tail, false)), told);
        let record = driver.done();
        assert_eq!((&record["outcome"], &record["revision"]), (&json!("allow"), &Value::Null));
        let session = record["session"].clone();
        assert_eq!(session, digest(QUERY.as_bytes()));

        let (mut driver, effects) = sent(mode, &post(&sealed), &call("search"));
        assert_eq!(effects.flow, Flow::Continue);
        let path = HeaderEdit::Set(":path", format!("/docs/messages?{QUERY}"));
        assert!(effects.request_headers.contains(&path), "{:?}", effects.request_headers);
        let record = driver.done();
        assert_eq!((&record["outcome"], &record["session"]), (&json!("allow"), &session));
    }
}

#[test]
fn lists_on_the_stream_are_cut_to_what_their_reader_may_use() {
    let mut driver = opened(HostMode::Stream);
    driver.response_body(ENDPOINT, false);
    let list =
        |tools: &str| format!(r#"{{"jsonrpc":"2.0","id":7,"result":{{"tools":[{tools}]}}}}"#);
    let all = list(r#"{"name":"search"},{"name":"delete"},{"name":"hidden"}"#);
    let visible = list(r#"{"name":"search"}"#);
    let passed = text(driver.response_body(&format!("event: message\ndata: {all}\n\n"), false));
    assert_eq!(passed, format!("event: message\ndata: {visible}\n\n"));
    let question = "event: message\r\ndata: {\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"roots/list\"}\r\n\r\n: ping\r\n\r\n";
    assert_eq!(text(driver.response_body(question, false)), question);
    let effects = driver.response_body("data: no JSON\n\n", false);
    cut_off(&mut driver, &effects, "list_unreadable");
}

#[test]
fn mcp_2024_11_05_nothing_of_a_hostile_endpoint_event_passes() {
    for event in [
        "event: endpoint\ndata: https://evil.example/messages?session_id=1\n\n",
        "event: endpoint\ndata: //evil.example/messages?session_id=1\n\n",
        "event: endpoint\ndata: /mcp?session_id=1\n\n",
        "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"a\"}\n\n",
        &format!("event: endpoint\ndata: /messages?{}\n\n", "x".repeat(9000)),
    ] {
        let mut driver = opened(HostMode::Hold);
        let effects = driver.response_body(event, false);
        cut_off(&mut driver, &effects, "session_unusable");
    }
    let mut driver = opened(HostMode::Hold);
    driver.response_body(ENDPOINT, false);
    let effects = driver.response_body(ENDPOINT, false);
    cut_off(&mut driver, &effects, "session_unusable");
    // In one piece with the first, the first does not pass either.
    let mut driver = opened(HostMode::Hold);
    let effects = driver.response_body(&ENDPOINT.repeat(2), false);
    cut_off(&mut driver, &effects, "session_unusable");
}

#[test]
fn session_hijacking_a_message_is_for_a_session_of_its_sender() {
    let [issuer, subject, client] = ["https://idp.example", "alice", "agent"];
    for foreign in [
        sealed_in_url_for(QUERY, [issuer, "bob", client, RESOURCE]),
        sealed_in_url_for(QUERY, [issuer, subject, "other", RESOURCE]),
        sealed_in_url_for(QUERY, [issuer, subject, client, "https://mcp.example/other"]),
        sealed(QUERY),
        QUERY.to_owned(),
        "1".to_owned(),
        String::new(),
        sealed_in_url(QUERY) + "&x=1",
    ] {
        refused(&post(&foreign), 404, "session_unknown");
    }
    for path in ["/docs/messages", "/docs/messages?", "/docs/messages?session_id=1"] {
        refused(&post("").with(":path", path), 404, "session_unknown");
    }
    // Nor is a URL's session one for the header.
    let in_header = Request::post(&token("docs.read")).with("mcp-session-id", sealed_in_url(QUERY));
    refused(&in_header, 404, "session_unknown");
}

#[test]
fn a_message_is_posted_and_has_the_form_of_any_other() {
    let good = post(&sealed_in_url(QUERY));
    for revision in ["2024-11-05", "2025-11-25"] {
        sent(HostMode::Hold, &good.clone().with("mcp-protocol-version", revision), &call("search"));
    }
    // A client answers the server's questions.
    let (_, effects) =
        sent(HostMode::Hold, &good, r#"{"jsonrpc":"2.0","id":0,"result":{"roots":[]}}"#);
    assert_eq!(effects.flow, Flow::Continue);
    for method in ["GET", "DELETE"] {
        let reply =
            refused(&good.clone().with(":method", method).ending(true), 405, "method_not_allowed");
        assert_eq!(header(&reply, "allow"), Some("POST"));
    }
    refused(&good.clone().without("authorization"), 401, "token_missing");
    refused(&good.clone().with("origin", "https://evil.example"), 403, "origin_forbidden");
    refused(&good.clone().with("content-type", "text/plain"), 415, "media_type_unsupported");
    refused(&good.clone().with("mcp-session-id", sealed("s")), 400, "header_malformed");
    let modern = good.clone().with("mcp-protocol-version", "2026-07-28");
    refused(&modern.with("mcp-method", "tools/list"), 400, "version_unsupported");
    let in_query = good.with(":path", "/docs/messages?sessionId=a&access_token=b");
    refused(&in_query, 400, "token_in_query");
}

#[test]
fn a_denial_is_an_http_error_since_no_client_reads_the_answer_to_a_message() {
    for (body, code, error) in [
        (call("wipe"), "object_unknown", -32602),
        (rpc("ping", &json!({})), "method_denied", -32601),
        (call("delete"), "scope_missing", 403),
    ] {
        let (mut driver, effects) = sent(HostMode::Hold, &post(&sealed_in_url(QUERY)), &body);
        let reply = driver.denied(Effects { request_headers: Vec::new(), ..effects }, 403, code);
        assert_eq!(json_of(&reply)["error"]["code"], error);
    }
}

#[test]
fn what_a_message_is_answered_with_is_not_read_and_tells_nothing() {
    for status in [OK, ACCEPTED, (":status", "307")] {
        for media in [TEXT, JSON, SSE] {
            let (mut driver, _) = sent(
                HostMode::Stream,
                &post(&sealed_in_url(QUERY)),
                &rpc("tools/list", &json!({})),
            );
            let location = ("location", "/messages/?session_id=1");
            let effects = driver.response(&[status, media, location], false);
            assert_eq!(effects.reply, None);
            for name in ["location", "content-length"] {
                assert!(effects.response_headers.contains(&HeaderEdit::Remove(name.to_owned())));
            }
            assert_eq!(text(driver.response_body("Accepted", true)), "");
        }
    }
    // A redirect has no body.
    let (mut driver, _) = sent(HostMode::Hold, &post(&sealed_in_url(QUERY)), &call("search"));
    let location = ("location", "/messages/?session_id=1");
    let effects = driver.response(&[(":status", "307"), location], true);
    assert!(effects.response_headers.contains(&HeaderEdit::Remove("location".to_owned())));

    let (mut driver, _) = sent(HostMode::Hold, &post(&sealed_in_url(QUERY)), &call("search"));
    driver.response(&[(":status", "404"), TEXT], false);
    assert_eq!(driver.response_body("Could not find session", true).response_body, None);
}

#[test]
fn a_get_without_a_session_opens_the_transport_whatever_revision_it_says() {
    let again = get().line("mcp-protocol-version", "2025-11-25").line("last-event-id", "1");
    let mut driver = Driver::of(&serving(HostMode::Hold));
    assert_eq!(driver.request(&again).flow, Flow::Continue);
    driver.response(&[OK, SSE], false);
    assert!(text(driver.response_body(ENDPOINT, false)).contains("sessionId="));
    // In a session of Streamable HTTP it is what it always was.
    let in_session = get().line("mcp-session-id", sealed("s"));
    assert_eq!(driver.request(&in_session).flow, Flow::Continue);
    driver.response(&[OK, SSE], false);
    assert_eq!(driver.response_body(": ping\n\n", false).response_body, None);
    refused(&get().without("authorization"), 401, "token_missing");
    refused(&get().with("mcp-protocol-version", "2026-07-28"), 405, "method_not_allowed");
}

#[test]
fn what_is_no_stream_opens_nothing() {
    for media in [JSON, TEXT] {
        let mut driver = Driver::of(&serving(HostMode::Hold));
        driver.request(&get());
        let effects = driver.response(&[OK, media], false);
        driver.denied(effects, 502, "list_unreadable");
    }
    let mut driver = Driver::of(&serving(HostMode::Hold));
    driver.request(&get());
    assert_eq!(driver.response(&[(":status", "405"), TEXT], false).reply, None);
    assert_eq!(driver.response_body("Method Not Allowed", true).response_body, None);
}

#[test]
fn where_no_session_can_begin_none_does() {
    let mut config = serving(HostMode::Hold);
    config["servers"][0]["methods"]["allow"] = json!(["tools/list"]);
    let mut driver = Driver::of(&config);
    let effects = driver.request(&get());
    driver.denied(effects, 405, "method_not_allowed");
}
