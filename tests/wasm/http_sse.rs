//! HTTP+SSE of 2024-11-05: over workers, in every cut, and on hosts that fail.

use serde_json::{Value, json};

use crate::host::{HostFlag, Status, Stream, Vm, Which};
use crate::support::{
    CALL, Lines, MODES, UNKNOWN, assert_denied, claims, inline, post, record, send, sign, token,
    with, workers,
};

const OPENING: &str = "event: endpoint\r\ndata: /messages?session_id=5a1c\r\n\r\n";
const LIST: &str =
    r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"delete"},{"name":"search"}]}}"#;
const VISIBLE: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"search"}]}}"#;

fn serving(mode: &str) -> Value {
    let mut document = inline(mode);
    document["servers"][0]["http_sse"] = json!({ "messages_path": "/messages" });
    document
}

/// Opens a stream, whose headers the server answers.
fn open(vm: &Vm) -> Stream {
    let mut lines = with(post(&token(vm, "docs.read")), ":method", "GET");
    lines.retain(|(name, _)| *name != "content-type");
    let stream = vm.stream();
    stream.request_headers(lines, true);
    stream.response_headers([(":status", "200"), ("content-type", "text/event-stream")], false);
    stream
}

/// The URL that a client is told.
fn url(vm: &Vm) -> String {
    let stream = open(vm);
    stream.response_body(OPENING, false);
    let told = stream.downstream().text();
    told.split_once("data: ").unwrap().1.trim_end().to_owned()
}

fn message(vm: &Vm, subject: &str, url: &str) -> Lines {
    let mut claims = claims(vm, "docs.read");
    claims["sub"] = json!(subject);
    with(post(&sign("k1", &claims)), ":path", url)
}

#[test]
fn a_session_is_good_at_every_worker_for_its_owner_alone() {
    for (flag, mode) in MODES {
        let [first, second] = workers(flag, &serving(mode));
        let url = url(&first);
        assert!(!url.contains("5a1c"));
        for vm in [&first, &second] {
            let stream = send(vm, message(vm, "alice", &url), CALL);
            assert!(stream.upstream().ended());
            assert_eq!(stream.upstream().header(":path"), Some("/messages?session_id=5a1c"));
            for (subject, url) in
                [("mallory", url.as_str()), ("alice", "/messages?session_id=5a1c")]
            {
                let stream = vm.stream();
                stream.request_headers(message(vm, subject, url), false);
                assert_eq!(stream.downstream().status(), Some(404));
                assert!(stream.upstream().is_empty());
            }
            assert_denied(&send(vm, message(vm, "alice", &url), UNKNOWN), mode, 403);
        }
    }
}

#[test]
fn a_stream_is_filtered_wherever_it_is_cut() {
    let stream_text = format!("{OPENING}event: message\r\ndata: {LIST}\r\n\r\n");
    for (flag, mode) in MODES {
        let vm = Vm::with(flag).start(serving(mode)).unwrap();
        for at in 0..stream_text.len() {
            let (head, tail) = stream_text.split_at(at);
            let stream = open(&vm);
            stream.response_body(head, false);
            stream.response_body(tail, false);
            let told = stream.downstream().text();
            assert!(
                told.starts_with("event: endpoint\ndata: /messages?sessionId="),
                "{at}: {told}"
            );
            assert!(told.contains(VISIBLE) && !told.contains("delete"), "{at}: {told}");
            stream.finish();
        }
    }
}

#[test]
fn mcp_2024_11_05_a_hostile_endpoint_event_ends_the_stream() {
    let hostile = "event: endpoint\ndata: https://evil.example/messages?session_id=5a1c\n\n";
    for (flag, mode) in MODES {
        let vm = Vm::with(flag).start(serving(mode)).unwrap();
        for before in ["", OPENING] {
            let stream = open(&vm);
            stream.response_body(before, false);
            stream.response_body(hostile, false);
            let told = stream.downstream();
            assert!(!told.text().contains("evil") && told.reset(), "{told:?}");
            stream.finish();
            assert_eq!(record(&stream)["code"], "session_unusable");
        }
    }
}

#[test]
fn without_a_key_no_url_is_told() {
    for (flag, mode) in MODES {
        let vm = Vm::with(flag).start(serving(mode)).unwrap();
        vm.fail_hostcall("proxy_get_shared_data", Which::All, Status::BAD_ARGUMENT);
        let stream = open(&vm);
        stream.response_body(OPENING, false);
        drop(vm.take_trap());
        assert!(!stream.downstream().text().contains("messages"), "{:?}", stream.downstream());
    }
}

#[test]
fn where_it_is_not_configured_it_is_not_served() {
    let vm = Vm::with(HostFlag::StopIteration).start(inline("hold")).unwrap();
    let stream = open(&vm);
    assert_eq!(stream.downstream().status(), Some(405));
    assert!(stream.upstream().is_empty());
    let stream = send(&vm, message(&vm, "alice", "/messages?sessionId=x"), CALL);
    assert_eq!(stream.downstream().status(), Some(404));
}
