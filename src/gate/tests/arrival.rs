//! What is refused, and what is served, before anybody is authenticated.

use serde_json::json;

use super::driver::*;
use crate::gate::*;
use crate::reply::LocalReply;

/// Sends the headers alone, and expects a refusal in both modes.
#[track_caller]
fn refused(request: &Request, status: u16, code: &str) -> LocalReply {
    let [reply, other] = BOTH_MODES.map(|mode| {
        let mut driver = Driver::new(mode);
        let effects = driver.request(request);
        driver.denied(effects, status, code)
    });
    assert_eq!(reply, other);
    reply
}

/// Sends the headers alone, and expects that the body is awaited.
#[track_caller]
fn accepted(request: &Request) -> Effects {
    let mut driver = Driver::new(HostMode::Stream);
    let effects = driver.request(request);
    assert_eq!(effects.reply, None, "{}", driver.done());
    effects
}

fn post() -> Request {
    Request::post(&token("docs.read"))
}

#[test]
fn without_a_configuration_everything_is_denied() {
    let mut driver = Driver::new(HostMode::Hold);
    driver.worker = Worker::deny_all();
    for request in [post(), Request::bodiless("GET", "x").with(":path", METADATA_PATH)] {
        let effects = driver.request(&request);
        let reply = driver.denied(effects, 503, "not_configured");
        assert_eq!(header(&reply, "retry-after"), Some("5"));
    }
}

#[test]
fn without_randomness_nothing_is_decided() {
    let mut driver = Driver::new(HostMode::Hold);
    driver.host.refuse_random.set(true);
    let effects = driver.request(&post());
    let reply = driver.denied(effects, 503, "host_failure");
    assert_eq!(header(&reply, "x-countersign-decision-id"), Some("none"));
}

#[test]
fn rfc3986_6_2_3_one_server_has_few_spellings() {
    for (authority, scheme) in [
        ("mcp.example", "https"),
        ("MCP.Example", "https"),
        ("mcp.example:443", "https"),
        ("mcp.example:80", "http"),
    ] {
        accepted(&post().with(":authority", authority).with(":scheme", scheme));
    }
    for authority in
        ["mcp.example:80", "mcp.example:8443", "mcp.example.", "evil.example", "a@mcp.example"]
    {
        refused(&post().with(":authority", authority), 404, "unknown_server");
    }
    refused(&post().with(":authority", ""), 404, "unknown_server");
    refused(&post().without(":authority"), 400, "header_malformed");
}

#[test]
fn the_path_is_compared_byte_for_byte() {
    accepted(&post().with(":path", "/mcp?page=2"));
    for path in [
        "/",
        "/mcp/",
        "//mcp",
        "/MCP",
        "/%6dcp",
        "/mcp%2f",
        "/./mcp",
        "/x/../mcp",
        "/mcp;a",
        "/mcp#",
        "*",
    ] {
        refused(&post().with(":path", path), 404, "unknown_server");
    }
    refused(&post().without(":path"), 400, "header_malformed");
}

#[test]
fn rfc6750_2_3_a_token_in_the_query_is_refused() {
    for query in [
        "access_token=x",
        "a=b&access_token=x",
        "Access_Token=x",
        "access%5ftoken=x",
        "%61ccess_token",
        "%%61ccess_token",
    ] {
        refused(&post().with(":path", format!("/mcp?{query}")), 400, "token_in_query");
    }
    accepted(&post().with(":path", "/mcp?access=token&%zz&%"));
}

#[test]
fn cve_2026_26308_no_second_line_of_a_single_header() {
    for name in [
        "authorization",
        "dpop",
        "content-type",
        "content-encoding",
        "content-length",
        "host",
        "origin",
        "mcp-protocol-version",
        "mcp-method",
        "mcp-name",
        "mcp-session-id",
        "last-event-id",
        ":method",
        ":authority",
        ":path",
    ] {
        let request = post().line(name, "a").line(name, "b");
        refused(&request, 400, "header_repeated");
    }
}

#[test]
fn rfc9110_5_5_bytes_that_are_not_text_are_refused() {
    for name in ["authorization", "content-type", "origin", "mcp-session-id", ":authority", ":path"]
    {
        for value in [b"caf\xe9".as_slice(), b"a\r\nb", b"a\0", "é".as_bytes()] {
            refused(&post().with(name, value), 400, "header_malformed");
        }
    }
    accepted(&post().with("user-agent", b"caf\xe9"));
}

#[test]
fn only_the_methods_of_mcp() {
    for method in ["PUT", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "post", ""] {
        let reply = refused(&post().with(":method", method), 405, "method_not_allowed");
        assert_eq!(header(&reply, "allow"), Some("GET, POST, DELETE"));
    }
    refused(&post().without(":method"), 400, "header_malformed");
}

#[test]
fn nothing_is_upgraded() {
    refused(&post().line("upgrade", "websocket"), 400, "upgrade_refused");
    refused(&post().line(":protocol", "websocket"), 400, "upgrade_refused");
    refused(&post().with(":method", "CONNECT").line(":protocol", "x"), 400, "upgrade_refused");
}

#[test]
fn ghsa_89xv_another_origin_is_refused() {
    accepted(&post().with("origin", "https://app.example"));
    for origin in
        ["https://evil.example", "null", "", "https://app.example.evil", "HTTPS://app.example", "*"]
    {
        refused(&post().with("origin", origin), 403, "origin_forbidden");
    }
}

#[test]
fn a_message_is_json_and_not_encoded() {
    accepted(&post().with("content-type", "application/json; charset=utf-8"));
    accepted(&post().with("content-encoding", "Identity"));
    refused(&post().without("content-type"), 415, "media_type_unsupported");
    refused(&post().with("content-type", "text/plain"), 415, "media_type_unsupported");
    for coding in ["gzip", "br", "identity, gzip", ""] {
        let request = post().with("content-encoding", coding);
        refused(&request, 415, "content_encoding_unsupported");
    }
    let reply = refused(&post().ending(true), 400, "message_malformed");
    assert_eq!(json_of(&reply)["error"]["code"], -32700);
}

#[test]
fn get_and_delete_belong_to_legacy_sessions() {
    let token = token("docs.read");
    for method in ["GET", "DELETE"] {
        let request = Request::bodiless(method, &token);
        for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
            let effects = accepted(&request.clone().with("mcp-protocol-version", version));
            assert_eq!(effects.flow, Flow::Continue);
        }
        let modern = request.clone().with("mcp-protocol-version", "2026-07-28");
        let reply = refused(&modern, 405, "method_not_allowed");
        assert_eq!(header(&reply, "allow"), Some("POST"));
        for unknown in ["2027-01-01", "2025-11-25, 2025-11-25", "", "2025-11-2"] {
            let request = request.clone().with("mcp-protocol-version", unknown);
            let reply = refused(&request, 400, "version_unsupported");
            let data = &json_of(&reply)["error"]["data"];
            assert_eq!(
                (&data["supported"][0], &data["requested"]),
                (&json!("2026-07-28"), &json!(unknown))
            );
        }
        refused(&request.ending(false), 400, "body_unexpected");
    }
}

#[test]
fn mcp_2024_11_05_http_sse_is_refused_clearly() {
    let first = Request::bodiless("GET", &token("docs.read")).line("accept", "text/event-stream");
    let reply = refused(&first, 405, "http_sse_unsupported");
    assert_eq!(header(&reply, "allow"), Some("POST"));
    let told = json_of(&reply)["error"]["message"].as_str().unwrap().to_owned();
    assert!(told.contains("HTTP+SSE transport of 2024-11-05"), "{told}");
    assert!(told.contains("POST"), "{told}");
    // Who brings no credential is asked for one, since clients look for the challenge so.
    let reply = refused(&first.clone().without("authorization"), 401, "token_missing");
    assert!(header(&reply, "www-authenticate").is_some());
    let initialize = rpc("initialize", &json!({ "protocolVersion": "2024-11-05" }));
    let (_, decided) = Driver::sent(HostMode::Stream, &post(), &initialize);
    assert_eq!(decided.flow, Flow::Continue, "over Streamable HTTP the revision is served");
}

#[test]
fn sep_2243_header_errors_are_ones_that_modern_clients_know() {
    for (name, value) in [("mcp-name", "b".as_bytes()), ("mcp-param-a", b"\xff")] {
        for (version, code) in
            [("2026-07-28", -32020), ("2025-11-25", -32600), ("2026-07-2", -32600)]
        {
            let request = post().line("mcp-protocol-version", version).line(name, value);
            let request = request.line("mcp-name", "a").line("mcp-method", "tools/call");
            let mut driver = Driver::new(HostMode::Stream);
            let reply = driver.request(&request).reply.unwrap();
            assert_eq!((reply.status, &json_of(&reply)["error"]["code"]), (400, &json!(code)));
        }
    }
}

#[test]
fn sep_2243_param_headers_are_bounded_and_occur_once() {
    let param = |n: usize| format!("mcp-param-p{n}");
    let with = |count| (0..count).fold(post(), |request, n| request.line(&param(n), "x"));
    accepted(&with(64));
    refused(&with(65), 400, "header_malformed");
    accepted(&post().line("mcp-param-a", "x".repeat(16 * 1024 - 11)));
    refused(&post().line("mcp-param-a", "x".repeat(16 * 1024 - 10)), 400, "header_malformed");
    refused(&post().line("mcp-param-a", "x").line("mcp-param-a", "x"), 400, "header_repeated");
    refused(&post().line("mcp-param-a", b"caf\xe9"), 400, "header_malformed");
}

#[test]
fn rfc3875_4_1_18_an_underscore_makes_no_second_header() {
    for name in
        ["mcp_session_id", "mcp_method", "mcp-param_a", "content_type", "last_event-id", "Mcp_Name"]
    {
        refused(&post().line(name, "x"), 400, "header_malformed");
    }
    accepted(&post().line("x_mcp_method", "x").line("user_agent", "x"));
}

#[test]
fn mcp_2025_11_25_session_ids_are_visible_ascii() {
    accepted(&post().line("mcp-session-id", sealed("!~")));
    refused(&post().line("mcp-session-id", "x".repeat(4096)), 404, "session_unknown");
    for bad in ["", "a b", "a\tb", &"x".repeat(4097)] {
        refused(&post().line("mcp-session-id", bad), 400, "header_malformed");
    }
    refused(&post().line("mcp-session-id", "a,b"), 400, "header_repeated");
    // In the modern era it means nothing, so it is not looked at.
    accepted(&post().line("mcp-protocol-version", "2026-07-28").line("mcp-session-id", "a b"));
}

#[test]
fn sessions_are_open_where_initialize_is_allowed() {
    let mut closed = config(HostMode::Hold);
    closed["servers"][0]["methods"]["allow"] = json!(["tools/list"]);
    let mut driver = Driver::of(&closed);
    for method in ["GET", "DELETE"] {
        let request = Request::bodiless(method, &token("docs.read"));
        let effects = driver.request(&request.line("mcp-protocol-version", "2025-11-25"));
        driver.denied(effects, 405, "method_not_allowed");
    }
}

const METADATA_PATH: &str = "/.well-known/oauth-protected-resource/mcp";
const ROOT_METADATA: &str = "/.well-known/oauth-protected-resource";

fn metadata(driver: &mut Driver, authority: &str, path: &str) -> LocalReply {
    let request = Request::bodiless("GET", "x").without("authorization");
    let effects = driver.request(&request.with(":authority", authority).with(":path", path));
    assert_eq!(effects.flow, Flow::Pause);
    effects.reply.unwrap()
}

#[test]
fn rfc9728_3_metadata_is_served_without_a_token() {
    for mode in BOTH_MODES {
        for path in [METADATA_PATH, ROOT_METADATA, "/.well-known/oauth-protected-resource/mcp?x"] {
            let mut driver = Driver::new(mode);
            let reply = metadata(&mut driver, "mcp.example", path);
            assert_eq!(reply.status, 200);
            assert_eq!(header(&reply, "access-control-allow-origin"), Some("*"));
            assert_eq!(json_of(&reply)["resource"], RESOURCE);
            let record = driver.done();
            assert_eq!(
                (&record["outcome"], &record["code"]),
                (&json!("allow"), &json!("metadata"))
            );
        }
    }
    let request = post().with(":path", METADATA_PATH);
    refused(&request, 405, "method_not_allowed");
}

#[test]
fn rfc9728_3_1_the_root_speaks_for_a_sole_server_only() {
    let mut config = config(HostMode::Hold);
    let mut second = config["servers"][0].clone();
    second["resource"] = json!("https://mcp.example/other");
    let mut elsewhere = second.clone();
    elsewhere["resource"] = json!("https://sole.example/mcp");
    config["servers"].as_array_mut().unwrap().extend([second, elsewhere]);
    let mut driver = Driver::of(&config);

    assert_eq!(metadata(&mut driver, "mcp.example", ROOT_METADATA).status, 404);
    for (authority, path, resource) in [
        ("mcp.example", "/.well-known/oauth-protected-resource/mcp", RESOURCE),
        ("mcp.example", "/.well-known/oauth-protected-resource/other", "https://mcp.example/other"),
        ("sole.example", ROOT_METADATA, "https://sole.example/mcp"),
    ] {
        let reply = metadata(&mut driver, authority, path);
        assert_eq!(json_of(&reply)["resource"], resource);
    }
    assert_eq!(metadata(&mut driver, "unknown.example", ROOT_METADATA).status, 404);
}

#[test]
fn a_worker_without_room_denies_instead_of_waiting() {
    for mode in [HostMode::Stream, HostMode::Hold] {
        let mut driver = Driver::of(&remote_keys(mode));
        let effects = driver.headers(&post(), false);
        driver.denied(effects, 503, "overloaded");
    }
    // Waiting for one's own body takes no room.
    for (mode, flow) in [(HostMode::Stream, Flow::Continue), (HostMode::Hold, Flow::Pause)] {
        let mut driver = Driver::of(&config(mode));
        let effects = driver.headers(&post(), false);
        assert_eq!((effects.flow, effects.reply), (flow, None));
    }
}
