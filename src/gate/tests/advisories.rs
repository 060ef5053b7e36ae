//! Advisories and issues of other gateways, servers and SDKs: what went wrong there, tried
//! here. `docs/advisories.md` says which test holds which, these and those in other files.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;

use super::driver::*;
use crate::gate::*;
use crate::reply::LocalReply;

/// May search, and not delete.
fn reader() -> Request {
    Request::post(&token("docs.read"))
}

/// Expects that headers and body are refused together, in both modes.
#[track_caller]
fn refused(request: &Request, body: &str, status: u16, code: &str) -> LocalReply {
    let [reply, other] = BOTH_MODES.map(|mode| {
        let mut driver = Driver::new(mode);
        let mut effects = driver.request(request);
        if effects.reply.is_none() {
            effects = driver.body(body, true);
        }
        driver.denied(effects, status, code)
    });
    assert_eq!(reply, other);
    reply
}

/// Expects that they go on, with the body as it came.
#[track_caller]
fn forwarded(request: &Request, body: &str) {
    for mode in BOTH_MODES {
        let (mut driver, decided) = Driver::sent(mode, request, body);
        assert_eq!((decided.flow, decided.reply), (Flow::Continue, None), "{}", driver.done());
    }
}

/// A modern call of `tool`, whose headers say `claimed`.
fn modern(tool: &str, claimed: &str) -> (Request, String) {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let request = reader()
        .line("mcp-protocol-version", "2026-07-28")
        .line("mcp-method", "tools/call")
        .line("mcp-name", claimed);
    (request, rpc("tools/call", &json!({ "name": tool, "_meta": meta })))
}

#[test]
fn tyk_8539_the_case_of_a_media_type_opens_nothing() {
    for media_type in ["Application/json", "APPLICATION/JSON", "application/json;Charset=UTF-8"] {
        let request = reader().with("content-type", media_type);
        forwarded(&request, &call("search"));
        refused(&request, &call("delete"), 403, "scope_missing");
        refused(&request, &call("unknown"), 200, "object_unknown");
    }
}

#[test]
fn mcp_gateway_registry_1393_what_is_too_large_to_read_is_refused() {
    let padding = "x".repeat(MAX_BODY);
    let body = rpc("tools/call", &json!({ "name": "search", "arguments": { "q": padding } }));
    let reply = refused(&reader(), &body, 413, "body_too_large");
    assert_eq!(json_of(&reply)["error"]["code"], 413);
    for mode in BOTH_MODES {
        let mut driver = Driver::new(mode);
        driver.request(&reader());
        let first = body.split_at(MAX_BODY).0;
        assert_eq!(driver.body(first, false).flow, Flow::Pause, "a part decides nothing");
        let effects = driver.on(Event::RequestBody { body: &Withheld(MAX_BODY + 1), end: false });
        driver.denied(effects, 413, "body_too_large");
    }
}

#[test]
fn pipelock_436_a_compressed_message_is_refused_unread() {
    for coding in ["gzip", "br", "deflate", "zstd", "x-gzip", "gzip, identity", "aws-chunked"] {
        let request = reader().line("content-encoding", coding);
        refused(&request, &call("search"), 415, "content_encoding_unsupported");
    }
}

#[test]
fn warden_383_ai_dial_core_1586_no_compressed_list_comes_through() {
    let mut driver = Driver::new(HostMode::Stream);
    let asked = driver.request(&reader().line("accept-encoding", "gzip, br"));
    let removed = HeaderEdit::Remove("accept-encoding".to_owned());
    assert!(asked.request_headers.contains(&removed), "the server is not asked for one");
    driver.body(&rpc("tools/list", &json!({})), true);
    let lines =
        [(":status", "200"), ("content-type", "application/json"), ("content-encoding", "gzip")];
    let reply = driver.response(&lines, false).reply.unwrap();
    assert_eq!(reply.status, 502, "and one that comes all the same is refused");
}

#[test]
fn toolhive_5745_openshell_2082_lobu_1328_mcp_guard_59_pipelock_335_no_batch_hides_a_call() {
    let initialize = rpc("initialize", &json!({}));
    for calls in
        [vec![call("delete")], vec![call("search")], vec![initialize, call("delete")], vec![]]
    {
        let batch = format!("[{}]", calls.join(","));
        for version in [None, Some("2025-03-26"), Some("2025-11-25"), Some("2026-07-28")] {
            let request = version
                .map_or_else(reader, |version| reader().line("mcp-protocol-version", version));
            let reply = refused(&request, &batch, 400, "message_malformed");
            assert_eq!(json_of(&reply)["error"]["code"], -32600);
        }
    }
}

#[test]
fn openshell_1865_what_looks_like_a_response_opens_nothing() {
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"method":"tools/call","params":{"name":"delete"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"params":{"name":"delete"}}"#,
        "{}",
    ] {
        refused(&reader(), body, 400, "message_malformed");
    }
}

#[test]
fn zentinel_378_headers_alone_decide_nothing() {
    forwarded(&modern("search", "search").0, &modern("search", "search").1);
    let (request, body) = modern("delete", "search");
    refused(&request, &body, 400, "header_mismatch");
    let spoofed = reader().line("mcp-method", "tools/call").line("mcp-name", "search");
    for version in ["2025-06-18", "2025-11-25"] {
        let spoofed = spoofed.clone().line("mcp-protocol-version", version);
        refused(&spoofed, &call("delete"), 400, "header_mismatch");
    }
    refused(&spoofed, &call("delete"), 400, "header_mismatch");
}

#[test]
fn agentgateway_3439_a_client_that_mirrors_wrongly_is_told_what_is_wrong() {
    let (request, body) = modern("search", "search");
    let reply =
        refused(&request.with("mcp-method", "server/discover"), &body, 400, "header_mismatch");
    let told = json_of(&reply);
    assert_eq!((&told["id"], &told["error"]["code"]), (&json!(7), &json!(-32020)));
    assert_eq!(told["error"]["message"], "Mcp-Method differs from the message");
}

#[test]
fn docker_mcp_gateway_414_418_teleport_63325_no_variant_of_a_member_goes_on() {
    for params in [
        r#"{"name":"search","Name":"delete"}"#,
        r#"{"NAME":"delete","name":"search"}"#,
        r#"{"name":"search","arguments":{},"Arguments":{"all":true}}"#,
        r#"{"name":"search","argument\u017f":{"all":true}}"#,
        r#"{"name":"search","name\u0000":"delete"}"#,
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
        refused(&reader(), &body, 400, "message_malformed");
    }
    let body = call("search").replace("tools/call", r"tools\u002fcall").replace(':', " : ");
    for mode in BOTH_MODES {
        let (_, decided) = Driver::sent(mode, &reader(), &body);
        // No effect of a request has a body: what was decided on is what goes on.
        assert_eq!((decided.flow, decided.response_body), (Flow::Continue, None));
    }
}

#[test]
fn python_sdk_an_id_of_null_makes_no_notification() {
    for body in [
        r#"{"jsonrpc":"2.0","id":null,"method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","id":null,"method":"tools/call","params":{"name":"search"}}"#,
    ] {
        let reply = refused(&reader(), body, 400, "message_malformed");
        assert_eq!(json_of(&reply).get("id"), None, "an unsafe id is not echoed");
    }
}

#[test]
fn ghsa_89xv_cve_2026_33252_no_page_posts_without_asking_first() {
    // What a browser sends across origins without a preflight request.
    for simple in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
    {
        let request = reader().with("content-type", simple);
        refused(&request, &call("search"), 415, "media_type_unsupported");
    }
    let request = reader().line("origin", "https://evil.example");
    refused(&request, &call("search"), 403, "origin_forbidden");
}

#[test]
fn ghsa_w48q_cve_2026_34742_a_rebound_name_reaches_no_server() {
    for authority in ["evil.example", "localhost", "127.0.0.1", "[::1]", "mcp.example.evil.example"]
    {
        let request = reader().with(":authority", authority);
        refused(&request, &call("search"), 404, "unknown_server");
        refused(&request.line("origin", "https://mcp.example"), "", 404, "unknown_server");
    }
    refused(&reader().line("origin", "http://evil.example"), "", 403, "origin_forbidden");
}

#[test]
fn cve_2026_29791_no_name_is_put_into_a_header_unencoded() {
    let name = "search\r\nx-forged: 1";
    let mut config = config(HostMode::Hold);
    config["servers"][0]["tools"]["rules"][0]["names"] = json!([name]);
    let mut driver = Driver::of(&config);
    driver.request(&reader());
    let edits = driver.body(&call(name), true).request_headers;
    let encoded = "=?base64?c2VhcmNoDQp4LWZvcmdlZDogMQ==?=".to_owned();
    assert!(edits.contains(&HeaderEdit::Set("x-countersign-object", encoded)), "{edits:?}");
}

/// Every test that `docs/advisories.md` names is there, and every one here is named.
#[test]
fn the_advisories_in_the_documentation_have_their_tests() {
    let table = include_str!("../../../docs/advisories.md");
    let rows = table.lines().filter(|line| line.starts_with("| "));
    let tests = rows.filter_map(|row| row.rsplit('|').nth(1));
    let named: BTreeSet<&str> = tests.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert!(named.len() > 20, "{named:?}");
    let mut sources = String::new();
    for folder in ["src", "tests"] {
        read_sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut sources);
    }
    for test in &named {
        let is_there = ["", "    "]
            .iter()
            .any(|indent| sources.contains(&format!("\n{indent}#[test]\n{indent}fn {test}() {{")));
        assert!(is_there, "{test}");
    }
    let here = include_str!("advisories.rs").lines().filter_map(|line| line.strip_prefix("fn "));
    for test in here.filter_map(|line| line.strip_suffix("() {")) {
        let is_one = test.contains(|c: char| c.is_ascii_digit()) || test.starts_with("python");
        assert!(!is_one || named.contains(test), "{test}");
    }
}

fn read_sources(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("node_modules") {
            read_sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}
