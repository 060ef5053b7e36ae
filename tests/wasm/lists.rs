//! Lists on their way back: only what the caller may use, however the host cuts them.

use crate::host::{HostFlag, Outcome, Stream, Vm};
use crate::support::{MODES, answer, post, send, start, token, with};

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
const TOOLS: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"delete"},{"name":"search"},{"name":"get_a"},{"name":"wipe"}]}}"#;
const VISIBLE: &str =
    r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"search"},{"name":"get_a"}]}}"#;

/// Asks for the list and gets an answer of that media type, in those pieces.
fn list(vm: &Vm, media_type: &str, pieces: &[&[u8]]) -> Stream {
    let stream = send(vm, post(&token(vm, "docs.read")), LIST);
    stream.response_headers([(":status", "200"), ("content-type", media_type)], false);
    for (index, piece) in pieces.iter().enumerate() {
        stream.response_body(piece, index + 1 == pieces.len());
    }
    stream
}

fn assert_hidden(stream: &Stream) {
    let text = stream.downstream().text();
    assert!(!text.contains("delete") && !text.contains("wipe"), "{text}");
}

fn sse(message: &str) -> String {
    format!(": hello\nevent: message\nid: 7\ndata: {message}\n\n")
}

#[test]
fn a_json_list_is_filtered_wherever_it_is_cut() {
    for (flag, mode) in MODES {
        let vm = start(flag, mode);
        for at in 0..TOOLS.len() {
            let (head, tail) = TOOLS.as_bytes().split_at(at);
            let stream = list(&vm, "application/json", &[head, tail]);
            assert_eq!(stream.downstream().text(), VISIBLE, "{at}");
            assert!(stream.downstream().ended());
            stream.finish();
        }
        // As HTTP/1 does it: the end comes alone.
        let stream = list(&vm, "application/json; charset=utf-8", &[TOOLS.as_bytes(), b""]);
        assert_eq!(stream.downstream().text(), VISIBLE);
    }
}

#[test]
fn an_sse_list_is_filtered_wherever_it_is_cut() {
    let events = sse(TOOLS);
    for (flag, mode) in MODES {
        let vm = start(flag, mode);
        for at in 0..events.len() {
            let (head, tail) = events.as_bytes().split_at(at);
            let stream = list(&vm, "text/event-stream", &[head, tail]);
            let text = stream.downstream().text();
            assert!(text.contains(VISIBLE), "{at}: {text}");
            assert_hidden(&stream);
            assert!(stream.downstream().ended());
            stream.finish();
        }
        let bytes: Vec<_> = events.as_bytes().chunks(1).collect();
        let stream = list(&vm, "text/event-stream", &bytes);
        assert!(stream.downstream().text().contains(VISIBLE));
        assert_hidden(&stream);
    }
}

#[test]
fn an_sse_list_that_ends_in_trailers_or_in_the_middle_shows_no_more() {
    for (flag, mode) in MODES {
        let vm = start(flag, mode);
        for cut in [20, 60, sse(TOOLS).len() - 1] {
            let stream = send(&vm, post(&token(&vm, "docs.read")), LIST);
            let headers = [(":status", "200"), ("content-type", "text/event-stream")];
            stream.response_headers(headers, false);
            stream.response_body(&sse(TOOLS)[..cut], false);
            stream.response_trailers([("x-t", "1")]);
            assert_hidden(&stream);
        }
    }
}

#[test]
fn a_json_list_that_ends_in_trailers_is_filtered() {
    for (flag, mode) in MODES {
        let vm = start(flag, mode);
        let stream = send(&vm, post(&token(&vm, "docs.read")), LIST);
        stream.response_headers([(":status", "200"), ("content-type", "application/json")], false);
        stream.response_body(TOOLS, false);
        stream.response_trailers([("x-t", "1")]);
        assert_eq!(stream.downstream().text(), VISIBLE);
    }
}

#[test]
fn a_list_that_cannot_be_read_is_refused() {
    let duplicate = TOOLS.replace(r#"{"name":"search"}"#, r#"{"name":"search","name":"delete"}"#);
    let garbage = [&TOOLS[..60], r#"[{"name":"delete"}]"#, &duplicate];
    for (flag, mode) in MODES {
        let vm = start(flag, mode);
        for body in garbage {
            let stream = list(&vm, "application/json", &[body.as_bytes()]);
            assert_hidden(&stream);
            assert!(stream.downstream().text().contains("\"error\""), "{body}");
            let stream = list(&vm, "text/event-stream", &[sse(body).as_bytes()]);
            assert_hidden(&stream);
        }
        for media_type in ["text/plain", "application/json+x", ""] {
            let stream = list(&vm, media_type, &[TOOLS.as_bytes()]);
            assert_eq!(stream.downstream().status(), Some(502), "{media_type}");
            assert_hidden(&stream);
        }
        let stream = send(&vm, post(&token(&vm, "docs.read")), LIST);
        let headers = [
            (":status", "200"),
            ("content-type", "application/json"),
            ("content-encoding", "gzip"),
        ];
        assert_eq!(stream.response_headers(headers, false), Outcome::Replied);
        assert_eq!(stream.downstream().status(), Some(502));
    }
}

#[test]
fn a_list_on_a_legacy_get_stream_is_filtered() {
    for (flag, mode) in MODES {
        let vm = start(flag, mode);
        let mut lines = with(post(&token(&vm, "docs.read")), ":method", "GET");
        lines = with(lines, "mcp-protocol-version", "2025-11-25");
        lines = with(lines, "last-event-id", "6");
        let stream = vm.stream();
        assert_eq!(stream.request_headers(lines, true), Outcome::Continue);
        let headers = [(":status", "200"), ("content-type", "text/event-stream")];
        stream.response_headers(headers, false);
        stream.response_body(sse(TOOLS), false);
        assert_hidden(&stream);
        assert!(stream.downstream().text().contains("search"));
    }
}

#[test]
fn what_is_no_list_is_passed_byte_for_byte() {
    let vm = start(HostFlag::Default, "stream");
    let stream = send(&vm, post(&token(&vm, "docs.read")), crate::support::CALL);
    answer(&stream);
    assert_eq!(stream.downstream().text(), r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
}
