//! What of the MCP server's answer the caller may see.

use serde_json::json;

use super::driver::*;
use crate::gate::*;

const JSON: (&str, &str) = ("content-type", "application/json");
const SSE: (&str, &str) = ("content-type", "text/event-stream; charset=utf-8");
const OK: (&str, &str) = (":status", "200");
const LIST: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"tools":[{"name":"search"},{"name":"delete"},{"name":"hidden"}]}}"#;
const VISIBLE: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"tools":[{"name":"search"}]}}"#;
const UNREADABLE: &str = r#"{"error":{"code":502,"message":"The server's answer could not be read"},"id":7,"jsonrpc":"2.0"}"#;

fn reader() -> Driver {
    Driver::listing(&token("docs.read"))
}

fn decision_id() -> HeaderEdit {
    let id = "00000000000000000000000000000001";
    HeaderEdit::Set("x-countersign-decision-id", id.to_owned())
}

fn remove(name: &str) -> HeaderEdit {
    HeaderEdit::Remove(name.to_owned())
}

/// The text that replaces what was buffered.
fn text(effects: Effects) -> String {
    assert_eq!(effects.flow, Flow::Continue);
    String::from_utf8(effects.response_body.expect("a replaced body")).unwrap()
}

#[track_caller]
fn unreadable(driver: &mut Driver) {
    let record = driver.done();
    assert_eq!((&record["outcome"], &record["code"]), (&json!("deny"), &json!("list_unreadable")));
    assert_eq!(record["upstream_status"], 200);
}

#[test]
fn a_json_list_is_cut_to_what_its_reader_may_use() {
    let mut driver = reader();
    let effects = driver.response(&[OK, JSON, ("content-length", "102"), ("etag", "x")], false);
    assert_eq!(effects.flow, Flow::Continue);
    let stale = [remove("content-length"), remove("etag"), decision_id()];
    assert_eq!(effects.response_headers, stale);
    assert_eq!(driver.response_body(LIST.split_at(20).0, false), Effects::default());
    assert_eq!(text(driver.response_body(LIST, true)), VISIBLE);
    let record = driver.done();
    assert_eq!(record["outcome"], "allow");
    assert_eq!(record["upstream_status"], 200);
}

/// The SDKs' session transports find the stream of an answer by its id, so a call with the
/// id of a list request under way may get the list (the class of GHSA-345p-7cg4-v4c7).
#[test]
fn ghsa_345p_a_list_on_the_stream_of_another_request_does_not_pass() {
    let post = Request::post(&token("docs.read"));
    let in_session = post.clone().line("mcp-session-id", sealed("s"));
    for (framing, frame) in [(JSON, ["", ""]), (SSE, ["data: ", "\n\n"])] {
        let (mut driver, sent) = Driver::sent(HostMode::Hold, &in_session, &call("search"));
        assert_eq!(sent.flow, Flow::Continue);
        let headers = driver.response(&[OK, framing, ("content-length", "9")], false);
        assert_eq!(headers.response_headers, [remove("content-length"), decision_id()]);
        // All at once: nothing is out yet, so the client is told.
        let list = frame.join(LIST);
        assert_eq!(text(driver.response_body(&list, false)), frame.join(UNREADABLE));
        assert_eq!(text(driver.response_body("more", true)), "");
        unreadable(&mut driver);

        // As it comes: what is out is out, the list is not.
        let (mut driver, _) = Driver::sent(HostMode::Hold, &in_session, &call("search"));
        driver.response(&[OK, framing], false);
        let (head, tail) = list.split_at(20);
        let effects = driver.response_body(head, false);
        assert_eq!((effects.flow, effects.response_body), (Flow::Continue, None));
        assert_eq!(text(driver.response_body(tail, true)), "");
        unreadable(&mut driver);
    }
    // Without a session there is no other stream, and the answer is not looked at.
    let (mut driver, _) = Driver::sent(HostMode::Hold, &post, &call("search"));
    driver.response(&[OK, SSE], false);
    assert_eq!(driver.response_body("anything", false).response_body, None);
}

/// The TypeScript SDK ends the stream after the headers, which have no media type.
#[test]
fn mcp_2025_11_25_an_accepted_notification_has_no_body() {
    let request = Request::post(&token("docs.read")).line("mcp-session-id", sealed("s"));
    let told = notification("notifications/initialized");
    let (mut driver, _) = Driver::sent(HostMode::Hold, &request, &told);
    let effects = driver.response(&[(":status", "202")], false);
    assert_eq!((effects.flow, effects.reply), (Flow::Continue, None));
    assert_eq!(text(driver.response_body("", true)), "");
    assert_eq!(driver.done()["outcome"], "allow");
    let (mut driver, _) = Driver::sent(HostMode::Hold, &request, &told);
    driver.response(&[(":status", "202"), JSON, ("content-length", "9")], false);
    assert_eq!(text(driver.response_body(LIST, true)), "");
}

#[test]
fn what_is_no_list_leaves_as_it_comes() {
    let request = Request::post(&token("docs.read")).line("mcp-session-id", sealed("s"));
    let get = Request::bodiless("GET", &token("docs.read")).line("mcp-session-id", sealed("s"));
    let (mut call, _) = Driver::sent(HostMode::Hold, &request, &call("search"));
    let mut listen = Driver::new(HostMode::Stream);
    listen.request(&get);
    for driver in [&mut call, &mut listen] {
        driver.response(&[OK, SSE], false);
        for piece in [
            "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/mess",
            "age\",\"params\":{\"tools\":[]}}\r",
            "\n\r\n: keep-alive\n\nid: 7\n",
            "data: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"content\":[{\"tools\":[]}]}}\n\n",
        ] {
            let effects = driver.response_body(piece, false);
            assert_eq!((effects.flow, effects.response_body), (Flow::Continue, None), "{piece}");
        }
        assert_eq!(driver.done()["outcome"], "allow");
    }
}

#[test]
fn a_list_without_anything_to_hide_passes_byte_for_byte() {
    let mut driver = reader();
    driver.response(&[OK, JSON], false);
    let effects = driver.response_body(VISIBLE, true);
    assert_eq!((effects.flow, effects.response_body), (Flow::Continue, None));
}

#[test]
fn trailers_end_a_json_list() {
    let mut driver = reader();
    driver.response(&[OK, JSON], false);
    assert_eq!(driver.response_body(LIST, false).flow, Flow::Pause);
    let effects = driver.on(Event::ResponseTrailers { body: &Bytes(LIST.as_bytes()) });
    assert_eq!(text(effects), VISIBLE);
}

#[test]
fn a_list_in_events_is_filtered_event_by_event() {
    let mut driver = reader();
    driver.response(&[OK, SSE], false);
    let event = format!("id: 1\ndata: {LIST}\n\n");
    let (head, tail) = event.split_at(40);
    assert_eq!(text(driver.response_body(head, false)), "");
    let filtered = text(driver.response_body(tail, false));
    assert_eq!(filtered, format!("id: 1\ndata: {VISIBLE}\n\n"));
    assert_eq!(text(driver.response_body(": ping\n\n", true)), ": ping\n\n");
    assert_eq!(driver.done()["outcome"], "allow");
}

#[test]
fn a_get_stream_may_replay_lists() {
    let mut driver = Driver::new(HostMode::Stream);
    driver.request(
        &Request::bodiless("GET", &token("docs.read"))
            .line("mcp-protocol-version", "2025-11-25")
            .line("last-event-id", "3"),
    );
    driver.response(&[OK, SSE], false);
    let filtered = text(driver.response_body(&format!("data: {LIST}\n\n"), false));
    assert_eq!(filtered, format!("data: {VISIBLE}\n\n"));
    let other = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}\n\n";
    assert_eq!(text(driver.response_body(other, true)), other);
}

#[test]
fn a_list_that_cannot_be_read_is_refused_by_its_headers() {
    for lines in [
        &[OK, JSON, ("content-encoding", "gzip")][..],
        &[OK, JSON, ("content-encoding", "identity"), ("content-encoding", "gzip")],
        &[OK, ("content-type", "text/html")],
        &[OK, ("content-type", "application/json-seq")],
        &[OK, JSON, SSE],
        &[OK],
    ] {
        let mut driver = reader();
        let effects = driver.response(lines, false);
        let reply = effects.reply.expect("a reply");
        assert_eq!(reply.status, 502);
        unreadable(&mut driver);
    }
}

#[test]
fn a_list_that_turns_out_unreadable_becomes_an_error() {
    let too_large = "x".repeat(relay::MAX_LIST + 1);
    for (body, end) in [
        ("{", true),
        ("", true),
        (r#"{"jsonrpc":"2.0","id":7,"result":{}}"#, true),
        (r#"{"jsonrpc":"2.0","id":8,"result":{"tools":[]}}"#, true),
        (r#"{"jsonrpc":"2.0","id":7,"result":{"tools":[{"name":"a"}],"tools":[]}}"#, true),
        (&too_large, false),
    ] {
        let mut driver = reader();
        driver.response(&[OK, JSON], false);
        assert_eq!(text(driver.response_body(body, end)), UNREADABLE);
        assert_eq!(text(driver.response_body(LIST, true)), "");
        unreadable(&mut driver);
    }
    for (body, end) in [(format!("data: {{\n\n{LIST}"), false), ("data: {}\n".to_owned(), true)] {
        let mut driver = reader();
        driver.response(&[OK, SSE], false);
        assert_eq!(text(driver.response_body(&body, end)), format!("data: {UNREADABLE}\n\n"));
        assert_eq!(text(driver.response_body(&format!("data: {LIST}\n\n"), true)), "");
        unreadable(&mut driver);
    }
}

#[test]
fn a_list_the_host_does_not_give_becomes_an_error() {
    let mut driver = reader();
    driver.response(&[OK, JSON], false);
    let effects = driver.on(Event::ResponseBody { body: &Withheld(10), end: true });
    assert_eq!(text(effects), UNREADABLE);
    unreadable(&mut driver);
}

#[test]
fn a_body_without_headers_does_not_pass() {
    let mut driver = reader();
    assert_eq!(text(driver.response_body(LIST, true)), UNREADABLE);
}

#[test]
fn errors_of_the_server_pass() {
    let mut driver = reader();
    driver.response(&[(":status", "404"), ("content-type", "text/plain")], false);
    let effects = driver.response_body("no such session", true);
    assert_eq!((effects.flow, effects.response_body), (Flow::Continue, None));
    assert_eq!(driver.done()["upstream_status"], 404);

    let error = r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"broken"}}"#;
    let mut driver = reader();
    driver.response(&[(":status", "500"), JSON], false);
    assert_eq!(driver.response_body(error, true).response_body, None);

    // What another gateway on the way answers is no message of MCP.
    let mut driver = reader();
    driver.response(&[(":status", "429"), JSON], false);
    let effects = driver.response_body(r#"{"detail":["quota"],"tools":[]}"#, true);
    assert_eq!((effects.flow, effects.response_body), (Flow::Continue, None));
    assert_eq!(driver.done()["outcome"], "allow");

    let mut driver = reader();
    driver.response(&[(":status", "400"), JSON], false);
    assert_eq!(text(driver.response_body(LIST, true)), UNREADABLE);
}

#[test]
fn replies_of_the_proxy_pass() {
    let mut driver = reader();
    let timeout = [(":status", "504"), ("content-type", "text/plain")];
    let effects = driver.response_of(&timeout, false, false);
    assert_eq!((effects.flow, effects.reply), (Flow::Continue, None));
    assert_eq!(driver.response_body("upstream timeout", true).response_body, None);

    let mut driver = reader();
    let effects = driver.response(&[OK], true);
    assert_eq!((effects.flow, effects.reply), (Flow::Continue, None));
}

#[test]
fn our_own_reply_passes_our_own_callbacks() {
    let mut driver = Driver::new(HostMode::Hold);
    driver.request(&Request::post("bad"));
    let effects = driver.response_of(&[(":status", "401"), JSON], false, false);
    assert_eq!(effects, Effects { flow: Flow::Continue, ..Effects::default() });
    assert_eq!(driver.response_body("{}", true).response_body, None);
}

#[test]
fn only_lists_are_touched() {
    let (mut driver, _) =
        Driver::sent(HostMode::Stream, &Request::post(&token("docs.read")), &call("search"));
    let gzip = [OK, ("content-type", "image/png"), ("content-encoding", "gzip")];
    let effects = driver.response(&gzip, false);
    assert_eq!(effects.response_headers, [decision_id()]);
    assert_eq!(driver.response_body("\u{1}", true).response_body, None);
}

#[test]
fn the_server_cannot_forge_what_we_say() {
    let (mut driver, _) =
        Driver::sent(HostMode::Stream, &Request::post(&token("docs.read")), &call("search"));
    let forged = [OK, ("x-countersign-decision-id", "f"), ("x_countersign_denial", "f")];
    let effects = driver.response(&forged, false);
    assert_eq!(
        effects.response_headers,
        [remove("x-countersign-decision-id"), remove("x_countersign_denial"), decision_id()]
    );
}

#[test]
fn an_answer_before_the_decision_is_refused() {
    for mode in BOTH_MODES {
        let mut driver = Driver::new(mode);
        driver.request(&Request::post(&token("docs.read")));
        let effects = driver.response(&[OK, JSON], false);
        driver.denied(effects, 502, "response_premature");
        assert_eq!(driver.body(&call("search"), true).flow, Flow::Pause);
    }
}

#[test]
fn an_error_before_the_decision_passes_without_forged_headers() {
    for mode in BOTH_MODES {
        let mut driver = Driver::new(mode);
        driver.request(&Request::post(&token("docs.read")));
        let forged =
            [(":status", "413"), ("x-countersign-decision-id", "f"), ("mcp-session-id", "s")];
        let effects = driver.response(&forged, false);
        let edits = [remove("x-countersign-decision-id"), decision_id(), remove("mcp-session-id")];
        assert_eq!(effects.response_headers, edits);
        assert_eq!((effects.flow, effects.reply), (Flow::Continue, None));
        let record = driver.done();
        assert_eq!((&record["outcome"], &record["upstream_status"]), (&json!("deny"), &json!(413)));
    }
}
