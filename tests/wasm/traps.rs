//! What hosts do that filters trip over: one test per trap, each named for it.

use crate::host::{HostFlag, Outcome, Status, Vm};
use crate::support::{
    CALL, MODES, UNKNOWN, assert_denied, assert_forwarded, assert_serves, assert_withheld, claims,
    fetch, inline, jwks, post, remote, send, send_headers_that_wait, sign, start, token, with,
};

use std::time::Duration;

#[test]
fn pause_in_headers_hides_the_body_from_hold_on_the_default_flag() {
    let vm = start(HostFlag::Default, "hold");
    let stream = vm.stream();
    stream.request_headers(post(&token(&vm, "docs.read")), false);
    assert_eq!(stream.request_body(CALL, true), Outcome::NotCalled);
    for _ in 0..5 {
        vm.tick();
        vm.advance(Duration::from_secs(1));
    }
    assert_denied(&stream, "hold", 503);
    assert_eq!(vm.metric("countersign.host_self_check.failed"), 1);
    assert!(vm.log().iter().any(|line| line.level == 5), "an operator must see it");
    // The worker knows now, and lets nobody wait for the same.
    assert_denied(&send(&vm, post(&token(&vm, "docs.read")), CALL), "hold", 503);
    // `stream` is what works on this host.
    assert!(vm.configure(inline("stream")));
    assert_serves(&vm);
}

#[test]
fn pause_in_headers_is_no_alarm_where_the_host_does_hold() {
    let vm = start(HostFlag::StopIteration, "hold");
    let [silent, slow] = [vm.stream(), vm.stream()];
    for stream in [&silent, &slow] {
        stream.request_headers(post(&token(&vm, "docs.read")), false);
    }
    slow.request_body(&CALL[..10], false);
    for _ in 0..10 {
        vm.tick();
        vm.advance(Duration::from_secs(1));
    }
    for (stream, rest) in [(silent, CALL), (slow, &CALL[10..])] {
        stream.request_body(rest, true);
        assert_forwarded(&stream);
    }
    assert_eq!(vm.metric("countersign.host_self_check.failed"), 0);
}

#[test]
fn continue_with_a_callout_pending_would_release_the_request() {
    // The flag shows the body in both modes: a `stream` configuration must stand it.
    for (_, mode) in MODES {
        for trailers in [false, true] {
            let vm = Vm::with(HostFlag::StopIteration).start(remote(mode)).unwrap();
            let [allowed, denied] = [(CALL, "docs.read"), (CALL, "other")].map(|(body, scope)| {
                let stream = vm.stream();
                stream.request_headers(post(&token(&vm, scope)), false);
                vm.tick();
                assert_eq!(stream.request_body(&body[..9], false), Outcome::Pause);
                assert_eq!(stream.request_body(&body[9..], !trailers), Outcome::Pause);
                if trailers {
                    assert_eq!(stream.request_trailers([("x-t", "1")]), Outcome::Pause);
                }
                assert_withheld(&stream, "hold");
                stream
            });
            fetch(&vm, 200, jwks(&["k1"]));
            assert_forwarded(&allowed);
            assert_eq!(allowed.upstream().text(), CALL);
            assert_denied(&denied, "hold", 403);
        }
    }
}

#[test]
fn trailers_instead_of_the_end_are_the_end() {
    for (flag, mode) in MODES {
        let vm = start(flag, mode);
        for (body, scope, status) in [
            (CALL, "docs.read", None),
            (CALL, "other", Some(403)),
            (UNKNOWN, "docs.read", Some(200)),
        ] {
            let stream = vm.stream();
            stream.request_headers(post(&token(&vm, scope)), false);
            assert_eq!(stream.request_body(body, false), Outcome::Pause);
            stream.request_trailers([("x-countersign-subject", "root"), ("x-t", "1")]);
            match status {
                None => {
                    assert_forwarded(&stream);
                    let trailers = format!("{:?}", stream.upstream().events().last());
                    assert!(!trailers.contains("root"), "{trailers}");
                }
                Some(status) => assert_denied(&stream, mode, status),
            }
        }
    }
}

#[test]
fn trailers_without_any_body_are_the_end_of_no_message() {
    for (flag, mode) in MODES {
        let vm = start(flag, mode);
        let stream = vm.stream();
        stream.request_headers(post(&token(&vm, "docs.read")), false);
        stream.request_trailers([("x-t", "1")]);
        assert_denied(&stream, mode, 400);
    }
}

#[test]
fn non_utf_8_header_bytes_stop_no_worker() {
    for (flag, mode) in MODES {
        let vm = start(flag, mode);
        let good = || post(&token(&vm, "docs.read"));
        let stream = send(&vm, with(good(), "x-name", b"caf\xe9"), CALL);
        assert_forwarded(&stream);
        let passed = stream.upstream().headers().unwrap().bytes("x-name").unwrap().to_vec();
        assert_eq!(passed, b"caf\xe9");
        // Neither where it only informs.
        for name in ["x-request-id", "traceparent", "user-agent"] {
            assert_forwarded(&send(&vm, with(good(), name, [0xff; 40]), CALL));
        }
        for name in [":path", ":authority", ":method", "authorization", "content-type", "mcp-name"]
        {
            let stream = send(&vm, with(good(), name, b"\xff\xfe"), CALL);
            assert_denied(&stream, "hold", 400);
        }
        assert_serves(&vm);
    }
}

#[test]
fn the_first_of_duplicate_headers_is_not_taken() {
    for (flag, mode) in MODES {
        let vm = start(flag, mode);
        for name in [
            ":path",
            ":method",
            ":authority",
            "authorization",
            "content-type",
            "content-length",
            "mcp-method",
            "mcp-name",
            "mcp-protocol-version",
            "mcp-session-id",
            "origin",
            "host",
        ] {
            let mut lines = post(&token(&vm, "docs.read"));
            let value = lines.iter().find(|(n, _)| *n == name).map_or("1".into(), |l| l.1.clone());
            lines.retain(|(n, _)| *n != name);
            lines.extend([(name, value.clone()), (name, value)]);
            assert_denied(&send(&vm, lines, CALL), "hold", 400);
        }
    }
}

#[test]
fn cr_lf_is_in_no_header_value_given_to_the_host() {
    const SPLIT: &str = "a\r\nset-cookie: a=b";
    for (flag, mode) in MODES {
        let vm = start(flag, mode);
        let good = || post(&token(&vm, "docs.read"));
        let mut strange = claims(&vm, "docs.read");
        strange["sub"] = "a\r\nb".into();
        let named = CALL.replace("search", r"get_a\r\nset-cookie: a=b");
        let mut streams = vec![
            send(&vm, good(), &named),
            send(&vm, good(), &CALL.replace("tools/call", r"x\r\ny")),
            send(&vm, good(), &CALL.replace("search", r"x\r\ny")),
            send(&vm, post(&sign("k1", &strange)), CALL),
            send(&vm, post(&token(&vm, "\r\n")), CALL),
            send(&vm, post(SPLIT), CALL),
        ];
        for name in [":path", ":authority", "mcp-protocol-version", "mcp-name", "mcp-session-id"] {
            streams.push(send(&vm, with(good(), name, SPLIT), CALL));
        }
        assert!(streams[0].upstream().header("x-countersign-subject").is_some());
        for stream in streams {
            for wire in [stream.upstream(), stream.downstream()] {
                let headers = wire.headers().into_iter().flat_map(|headers| headers.iter());
                for (name, value) in headers {
                    let breaks = value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
                    assert!(!breaks, "{name}: {}", value.escape_ascii());
                }
            }
        }
    }
}

#[test]
fn replies_and_filtered_lists_have_no_stale_content_length() {
    for (flag, mode) in MODES {
        let vm = start(flag, mode);
        let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
        let stream = send(&vm, post(&token(&vm, "docs.read")), list);
        let body = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"wipe"}]}}"#;
        let length = body.len().to_string();
        let headers =
            [(":status", "200"), ("content-type", "application/json"), ("content-length", &length)];
        stream.response_headers(headers, false);
        stream.response_body(body, true);
        assert_eq!(stream.downstream().header("content-length"), None);
        assert!(stream.downstream().ended());

        let lines = with(post("x.y.z"), "content-length", CALL.len().to_string());
        let downstream = send(&vm, lines, CALL).downstream();
        let length = downstream.body().len().to_string();
        assert_eq!(downstream.header("content-length"), Some(length.as_str()));
    }
}

#[test]
fn our_own_replies_pass_our_response_callbacks_unchanged() {
    for (flag, mode) in MODES {
        let vm = start(flag, mode);
        let downstream = send(&vm, post("x.y.z"), CALL).downstream();
        assert_eq!(downstream.status(), Some(401));
        assert!(downstream.header("www-authenticate").unwrap().starts_with("Bearer "));
        let replies = vm.count_calls("proxy_send_local_response");
        assert_eq!(replies, 1, "a reply in its own response phase would replace it");
    }
}

#[test]
fn a_proxys_reply_before_the_decision_is_passed_on() {
    for (flag, mode) in MODES {
        let vm = start(flag, mode);
        let stream = vm.stream();
        stream.request_headers(post(&token(&vm, "docs.read")), false);
        stream.foreign_reply(413, "request_payload_too_large", "Payload Too Large");
        assert_denied(&stream, mode, 413);
        stream.finish();
    }
}

#[test]
fn a_servers_answer_before_the_decision_is_replaced() {
    let vm = start(HostFlag::Default, "stream");
    let stream = vm.stream();
    stream.request_headers(post(&token(&vm, "docs.read")), false);
    let headers = [(":status", "200"), ("content-type", "application/json")];
    assert_eq!(stream.response_headers(headers, false), Outcome::Replied);
    assert_eq!(stream.downstream().status(), Some(502));
    stream.request_body(CALL, true);
    assert_withheld(&stream, "stream");
    stream.finish();
}

#[test]
fn headers_that_have_gone_are_not_changed() {
    for (flag, mode) in MODES {
        let vm = start(flag, mode);
        for body in [CALL, UNKNOWN, "{", ""] {
            let stream = vm.stream();
            stream.request_headers(post(&token(&vm, "docs.read")), false);
            for chunk in body.as_bytes().chunks(20) {
                stream.request_body(chunk, false);
            }
            stream.request_body("", true);
            if stream.upstream().ended() {
                crate::support::answer(&stream);
            }
        }
        let refused: Vec<_> = (vm.calls().into_iter())
            .filter(|call| call.name.ends_with("header_map_value") && call.status != Status::OK)
            .filter(|call| !call.name.contains("_get_"))
            .collect();
        assert_eq!(refused, []);
    }
}

#[test]
fn a_stream_that_waits_is_deleted_and_nobody_wakes_it() {
    for (flag, mode) in MODES {
        let vm = Vm::with(flag).start(remote(mode)).unwrap();
        let [gone, stays] = [0, 1].map(|_| send_headers_that_wait(&vm));
        gone.finish();
        fetch(&vm, 200, jwks(&["k1"]));
        assert!(gone.upstream().is_empty());
        stays.request_body(CALL, true);
        assert_forwarded(&stays);
    }
}
