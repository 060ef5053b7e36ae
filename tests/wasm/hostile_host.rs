//! A host that fails, lies or forgets. Whatever it does, a request goes on only with a
//! decision and with its header edits; a trap is a denial too.

use crate::host::{HostFlag, Status, Stream, Vm, Which};
use crate::support::{
    CALL, Lines, MODES, UNKNOWN, assert_denied, assert_forwarded, assert_serves, assert_withheld,
    fetch, jwks, post, remote, send_headers_that_wait, start, token, with,
};

use std::collections::BTreeSet;

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
const TOOLS: &str =
    r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"delete"},{"name":"search"}]}}"#;

/// A call by a forger, up to the answer, with keys that have to be fetched.
fn exchange(vm: &Vm, scope: &str, body: &str) -> Stream {
    let lines: Lines = with(post(&token(vm, scope)), "x-countersign-subject", "root");
    let stream = vm.stream();
    stream.request_headers(lines, false);
    for _ in 0..2 {
        vm.tick();
        for callout in vm.pending_callouts() {
            vm.answer(&callout, 200, [("content-type", "application/json")], jwks(&["k1"]));
        }
        vm.advance(std::time::Duration::from_secs(1));
    }
    stream.request_body(body, true);
    vm.tick();
    if stream.upstream().ended() {
        stream.response_headers([(":status", "200"), ("content-type", "application/json")], false);
        stream.response_body(TOOLS, true);
    }
    stream.finish();
    stream
}

/// Fails every hostcall that a healthy exchange makes, with statuses the SDK maps and
/// with some it does not.
fn for_every_failure(scope: &str, body: &str, check: impl Fn(&Stream, &str, &str)) {
    let statuses = [Status::NOT_FOUND, Status::INTERNAL_FAILURE, Status::UNIMPLEMENTED];
    for (flag, mode) in MODES {
        let start = || Vm::with(flag).start(remote(mode)).unwrap();
        let healthy = start();
        let passed = exchange(&healthy, "docs.read", LIST);
        assert_forwarded(&passed);
        assert!(passed.downstream().text().contains("search"));
        let names: BTreeSet<_> = healthy.calls().iter().map(|call| call.name).collect();
        for name in names {
            for status in statuses {
                for which in [Which::Nth(1), Which::Nth(2), Which::Nth(3), Which::All] {
                    let vm = start();
                    vm.fail_hostcall(name, which, status);
                    let stream = exchange(&vm, scope, body);
                    drop(vm.take_trap());
                    check(&stream, mode, &format!("{mode}, {name} {which:?} {status:?}"));
                }
            }
        }
    }
}

#[test]
fn no_failure_lets_a_request_on_without_its_decision() {
    for (scope, body) in [("other", CALL), ("docs.read", UNKNOWN)] {
        for_every_failure(scope, body, |stream, mode, failure| {
            let upstream = stream.upstream();
            assert!(!upstream.ended() && upstream.body().is_empty(), "{failure}: {upstream:?}");
            assert!(mode == "stream" || upstream.is_empty(), "{failure}: {upstream:?}");
        });
    }
}

#[test]
fn no_failure_lets_a_request_on_without_its_header_edits() {
    for_every_failure("docs.read", CALL, |stream, _, failure| {
        let upstream = stream.upstream();
        if let Some(headers) = upstream.headers() {
            let subject: Vec<_> = headers.all("x-countersign-subject").collect();
            assert_eq!(subject, [b"alice"], "{failure}");
            assert_eq!(headers.get("authorization"), None, "{failure}");
        }
    });
}

#[test]
fn no_failure_shows_a_list_unfiltered() {
    for_every_failure("docs.read", LIST, |stream, _, failure| {
        let text = stream.downstream().text();
        assert!(!text.contains("delete"), "{failure}: {text}");
    });
}

#[test]
fn without_headers_body_or_randomness_nothing_goes_on() {
    for (flag, mode) in MODES {
        for name in ["proxy_get_header_map_pairs", "proxy_get_buffer_bytes", "random_get"] {
            for status in [Status::BAD_ARGUMENT, Status::UNIMPLEMENTED] {
                let vm = start(flag, mode);
                vm.fail_hostcall(name, Which::All, status);
                let stream = exchange(&vm, "docs.read", CALL);
                drop(vm.take_trap());
                assert_withheld(&stream, mode);
            }
        }
    }
}

#[test]
fn strange_properties_allow_nothing() {
    for (flag, mode) in MODES {
        let vm = start(flag, mode);
        for value in [b"".as_slice(), b"\xff", &[0xff; 8], &[0; 9]] {
            for scope in ["docs.read", "other"] {
                let stream = vm.stream();
                for path in [["source", "address"], ["request", "total_size"]] {
                    stream.set_property(&path, value);
                }
                stream.request_headers(post(&token(&vm, scope)), false);
                stream.request_body(CALL, true);
                // `hold` has to know what the host received, to notice a body withheld from it.
                let told = mode == "stream" || value.len() == 8;
                match (told, scope) {
                    (false, _) => assert_denied(&stream, mode, 503),
                    (true, "other") => assert_denied(&stream, mode, 403),
                    (true, _) => assert_forwarded(&stream),
                }
                stream.finish();
            }
        }
    }
}

#[test]
fn an_empty_buffer_where_a_body_was_told_is_a_denial() {
    use crate::host::Callback;
    for size in [1, 100, 1 << 20, u32::MAX] {
        let vm = start(HostFlag::StopIteration, "hold");
        let stream = vm.stream();
        stream.request_headers(post(&token(&vm, "docs.read")), false);
        stream.drive(Callback::RequestBody { size, end: true });
        assert_withheld(&stream, "hold");
        assert!(stream.downstream().status().is_some_and(|status| status >= 400));
        assert_serves(&vm);
    }
}

#[test]
fn a_callout_answered_late_changes_nothing() {
    for (flag, mode) in MODES {
        let vm = Vm::with(flag).start(remote(mode)).unwrap();
        let stream = send_headers_that_wait(&vm);
        vm.tick();
        let lost = vm.pending_callouts().remove(0);
        vm.advance(std::time::Duration::from_secs(11));
        vm.tick();
        assert_denied(&stream, "hold", 503);
        stream.finish();
        // Keys that come after they were given up are not taken.
        vm.answer(&lost, 200, [("a", "b")], jwks(&["k1"]));
        assert!(stream.upstream().is_empty());
        let stream = send_headers_that_wait(&vm);
        fetch(&vm, 200, jwks(&["k1"]));
        stream.request_body(CALL, true);
        assert_forwarded(&stream);
    }
}

#[test]
fn a_callout_answered_twice_lets_nothing_through() {
    for (flag, mode) in MODES {
        let vm = Vm::with(flag).start(remote(mode)).unwrap();
        let stream = send_headers_that_wait(&vm);
        vm.tick();
        let callout = vm.pending_callouts().remove(0);
        vm.answer(&callout, 200, [("a", "b")], jwks(&["k2"]));
        assert_denied(&stream, "hold", 401);
        vm.unanswer(&callout);
        vm.answer(&callout, 200, [("a", "b")], jwks(&["k1"]));
        // The SDK does not know the token any more; its trap allows nothing.
        drop(vm.take_trap());
        assert!(stream.upstream().is_empty());
    }
}

#[test]
fn garbage_from_the_key_cluster_stops_no_worker() {
    let huge = vec![b'['; 300 * 1024];
    let valid = jwks(&["k1"]);
    let bodies: [&[u8]; 7] = [
        b"",
        b"\xff\xfe",
        b"{\"keys\":[{}]}",
        b"{\"keys\":{}}",
        b"{\"keys\":[],\"keys\":[]}",
        &huge,
        &valid.as_bytes()[..20],
    ];
    for (flag, mode) in MODES {
        let vm = Vm::with(flag).start(remote(mode)).unwrap();
        for body in bodies {
            let stream = send_headers_that_wait(&vm);
            fetch(&vm, 200, body);
            assert_denied(&stream, "hold", 503);
            crate::support::pass_fetch_debounce(&vm);
        }
        fetch(&vm, 200, &valid);
        assert_serves(&vm);
    }
}
