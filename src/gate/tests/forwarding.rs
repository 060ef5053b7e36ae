//! What the MCP server is told, and what it never sees.

use serde_json::json;

use super::driver::*;
use crate::gate::*;

/// The edits of a forwarded request, from whichever step made them.
fn edits(mode: HostMode, request: &Request) -> Vec<HeaderEdit> {
    let mut driver = Driver::new(mode);
    let mut edits = driver.request(request).request_headers;
    assert_eq!(edits.is_empty(), mode == HostMode::Hold);
    let decided = driver.body(&call("search"), true);
    assert_eq!(decided.flow, Flow::Continue);
    assert_eq!(decided.request_headers.is_empty(), mode == HostMode::Stream);
    edits.extend(decided.request_headers);
    edits
}

fn set(name: &'static str, value: &str) -> HeaderEdit {
    HeaderEdit::Set(name, value.to_owned())
}

fn remove(name: &str) -> HeaderEdit {
    HeaderEdit::Remove(name.to_owned())
}

#[test]
fn the_server_learns_who_calls() {
    let caller = [
        remove("authorization"),
        set("x-countersign-decision-id", "00000000000000000000000000000001"),
        set("x-countersign-subject", "alice"),
        set("x-countersign-issuer", "https://idp.example"),
        set("x-countersign-client-id", "agent"),
        set("x-countersign-scope", "docs.list docs.read"),
    ];
    let operation =
        [set("x-countersign-method", "tools/call"), set("x-countersign-object", "search")];
    let request = Request::post(&token("docs.read docs.list"));
    assert_eq!(edits(HostMode::Stream, &request), caller);
    assert_eq!(edits(HostMode::Hold, &request), [caller.as_slice(), &operation].concat());
}

/// Revision 2026-07-28 names the operation in headers, so that it is known before the body.
#[test]
fn mcp_2026_07_28_in_stream_mode_the_server_learns_what_is_called() {
    let (request, body) = modern("tools/call", Some("search"));
    let mut driver = Driver::new(HostMode::Stream);
    let edits = driver.request(&request).request_headers;
    assert!(edits.contains(&set("x-countersign-method", "tools/call")), "{edits:?}");
    assert!(edits.contains(&set("x-countersign-object", "search")), "{edits:?}");
    assert_eq!(driver.body(&body, true).flow, Flow::Continue);

    // What the headers claim and the body does not say never gets a body.
    let mut driver = Driver::new(HostMode::Stream);
    driver.request(&request);
    let effects = driver.body(&body.replace("search", "delete"), true);
    driver.denied(effects, 400, "header_mismatch");
}

#[test]
fn mcp_2026_07_28_in_stream_mode_a_missing_scope_is_told_before_anything_goes_upstream() {
    let (request, _) = modern("tools/call", Some("delete"));
    let mut driver = Driver::new(HostMode::Stream);
    driver.request(&request);
    let record = driver.done();
    assert_eq!((&record["method"], &record["claimed"]), (&json!("tools/call"), &json!(true)));
    assert_eq!(record["object"], json!({ "kind": "tool", "name": "delete" }));

    let mut driver = Driver::new(HostMode::Stream);
    let effects = driver.request(&request);
    let reply = driver.denied(effects, 403, "scope_missing");
    assert!(header(&reply, "www-authenticate").is_some_and(|line| line.contains("docs.admin")));
    assert_eq!(json_of(&reply).get("id"), None);
}

/// What no token could get has an answer that needs the id of the request, and headers that
/// lie have an error of their own: both wait for the body.
#[test]
fn mcp_2026_07_28_in_stream_mode_other_refusals_wait_for_the_body() {
    for (method, name, status, code) in [
        ("tools/call", Some("hidden"), 200, "object_unknown"),
        ("logging/setLevel", None, 404, "method_denied"),
    ] {
        let (request, body) = modern(method, name);
        let mut driver = Driver::new(HostMode::Stream);
        let effects = driver.request(&request);
        assert_eq!((effects.flow, effects.reply), (Flow::Continue, None));
        assert!(!effects.request_headers.iter().any(
            |edit| matches!(edit, HeaderEdit::Set(name, _) if *name == "x-countersign-method")
        ));
        let effects = driver.body(&body, true);
        let reply = driver.denied(effects, status, code);
        assert_eq!(json_of(&reply)["id"], 7);
    }
}

#[test]
fn a_subject_cannot_be_read_as_another() {
    for (subject, value) in [
        ("Zoë", "=?base64?Wm/Dqw==?="),
        (" alice", "=?base64?IGFsaWNl?="),
        ("=?base64?eA==?=", "=?base64?PT9iYXNlNjQ/ZUE9PT89?="),
    ] {
        let mut claims = claims("docs.read");
        claims["sub"] = json!(subject);
        let edits = edits(HostMode::Stream, &Request::post(&sign(claims, "at+jwt")));
        assert!(edits.contains(&set("x-countersign-subject", value)), "{subject}: {edits:?}");
    }
}

#[test]
fn identity_headers_can_be_left_out_and_are_stripped_all_the_same() {
    let mut quiet = config(HostMode::Hold);
    quiet["audit"] = json!({ "identity_headers": false });
    let mut driver = Driver::of(&quiet);
    let request = Request::post(&token("docs.read")).line("x-countersign-subject", "root");
    driver.request(&request);
    assert_eq!(
        driver.body(&call("search"), true).request_headers,
        [
            remove("authorization"),
            remove("x-countersign-subject"),
            set("x-countersign-decision-id", "00000000000000000000000000000001"),
        ]
    );
}

/// The names a request loses on its way, beside `authorization`.
fn stripped(names: &[&str]) -> Vec<String> {
    let mut request = Request::post(&token("docs.read"));
    for name in names {
        request = request.line(name, "forged");
    }
    let edits = edits(HostMode::Hold, &request).into_iter();
    edits
        .filter_map(|edit| match edit {
            HeaderEdit::Remove(name) if name != "authorization" => Some(name),
            _ => None,
        })
        .collect()
}

#[test]
fn forged_identity_never_arrives_in_any_spelling() {
    let names = [
        "X-Countersign-Scope",
        "X_COUNTERSIGN_SUBJECT",
        "x-countersign-",
        "x-countersign-anything",
        "x-countersign_object",
        "x_countersign_subject",
    ];
    assert_eq!(stripped(&names), names);
    assert_eq!(stripped(&["x-countersign", "x-counter-sign-subject"]), [] as [&str; 0]);
}

#[test]
fn credentials_and_overrides_never_arrive() {
    let names = [
        "accept-encoding",
        "cookie",
        "dpop",
        "proxy-authorization",
        "x-http-method-override",
        "x-method-override",
        "x-original-url",
        "x-rewrite-url",
    ];
    assert_eq!(stripped(&names), names);
    assert_eq!(stripped(&["accept", "x-request-id"]), [] as [&str; 0]);
}

#[test]
fn rfc3875_4_1_18_underscores_do_not_carry_an_override_through() {
    let names =
        ["X_Original_URL", "proxy_authorization", "x_http_method_override", "x_rewrite_url"];
    assert_eq!(stripped(&names), names);
}

#[test]
fn mcp_2026_07_28_sessions_and_resumption_do_not_reach_the_server() {
    let stripped = |version: &str| {
        let request = Request::post(&token("docs.read"))
            .line("mcp-protocol-version", version)
            .line("mcp-session-id", sealed("s1"))
            .line("last-event-id", "7");
        let arrived = Driver::new(HostMode::Stream).request(&request);
        assert_eq!(arrived.flow, Flow::Continue);
        ["mcp-session-id", "last-event-id"]
            .map(|name| arrived.request_headers.contains(&remove(name)))
    };
    assert_eq!(stripped("2026-07-28"), [true, true]);
    assert_eq!(stripped("2025-11-25"), [false, false]);
}

#[test]
fn the_media_type_reaches_the_server_in_one_spelling() {
    let canonical = set("content-type", "application/json");
    for spelling in [
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json ;charset=\"UTF-8\"",
    ] {
        let request = Request::post(&token("docs.read")).with("content-type", spelling);
        for mode in BOTH_MODES {
            assert!(edits(mode, &request).contains(&canonical), "{spelling}");
        }
    }
    let request = Request::post(&token("docs.read"));
    assert!(!edits(HostMode::Stream, &request).contains(&canonical));
}
