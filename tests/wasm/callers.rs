//! Callers with claims of their own, at a server with a policy of its own.

use crate::host::{Stream, Vm};
use crate::support::{Lines, answer, claims, inline, post, record, send, sign, with};

use serde_json::{Value, json};

/// The answer to a `tools/list` that has every tool of these tests.
pub(crate) const TOOLS: [&str; 5] = ["search", "get_a", "delete", "publish", "wipe"];

pub(crate) const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

/// The configuration of these tests with other members, and its server with others.
pub(crate) fn policed(mode: &str, document: Value, server: Value) -> Value {
    let mut whole = merged(inline(mode), document);
    let first = whole["servers"][0].take();
    whole["servers"][0] = merged(first, server);
    whole
}

/// The value, with the members of another in it (RFC 7396).
pub(crate) fn merged(mut value: Value, other: Value) -> Value {
    let Value::Object(members) = other else { return other };
    if !value.is_object() {
        value = json!({});
    }
    for (name, member) in members {
        let old = value[&name].take();
        match merged(old, member) {
            Value::Null => drop(value.as_object_mut().unwrap().remove(&name)),
            member => value[&name] = member,
        }
    }
    value
}

/// The claims of a good token with `docs.read`, with these members in them.
pub(crate) fn claiming(vm: &Vm, other: Value) -> Value {
    merged(claims(vm, "docs.read"), other)
}

/// The header lines of a POST by whoever has these claims.
pub(crate) fn post_as(vm: &Vm, other: Value) -> Lines {
    post(&sign("k1", &claiming(vm, other)))
}

/// A call of a tool, of id 7.
pub(crate) fn call_of(tool: &str) -> String {
    let params = json!({ "name": tool });
    json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params }).to_string()
}

/// Calls a tool as whoever has these claims.
pub(crate) fn call(vm: &Vm, other: Value, tool: &str) -> Stream {
    send(vm, post_as(vm, other), &call_of(tool))
}

/// The same call by a client of revision 2026-07-28.
pub(crate) fn call_modern(vm: &Vm, other: Value, tool: &str) -> Stream {
    call_claiming(vm, other, tool, tool)
}

/// A call of revision 2026-07-28 whose headers claim to be of a tool, and that is of another.
pub(crate) fn call_claiming(vm: &Vm, other: Value, claimed: &str, tool: &str) -> Stream {
    send(vm, modern(post_as(vm, other), claimed), &modern_call_of(tool))
}

/// The lines of a revision 2026-07-28 request that claims to be a call of that tool.
pub(crate) fn modern(lines: Lines, claimed: &str) -> Lines {
    let lines = with(lines, "mcp-protocol-version", "2026-07-28");
    with(with(lines, "mcp-method", "tools/call"), "mcp-name", claimed)
}

/// A call of a tool in revision 2026-07-28, of id 7.
pub(crate) fn modern_call_of(tool: &str) -> String {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let params = json!({ "name": tool, "_meta": meta });
    json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params }).to_string()
}

/// The tools that a list shows to whoever has these claims. The server has [`TOOLS`].
pub(crate) fn listed(vm: &Vm, other: Value, media_type: &str) -> Vec<String> {
    let stream = send(vm, post_as(vm, other), LIST);
    assert!(stream.upstream().ended(), "{:?}", stream.downstream());
    shown(&stream, media_type)
}

/// The tools that the answer to a list shows, which only comes now.
pub(crate) fn shown(stream: &Stream, media_type: &str) -> Vec<String> {
    let tools = TOOLS.map(|name| json!({ "name": name }));
    let message = json!({ "jsonrpc": "2.0", "id": 1, "result": { "tools": tools } });
    stream.response_headers([(":status", "200"), ("content-type", media_type)], false);
    let is_sse = media_type == "text/event-stream";
    let body = if is_sse { format!("data: {message}\n\n") } else { message.to_string() };
    stream.response_body(body, true);
    let text = stream.downstream().text();
    stream.finish();
    let answer: Value = serde_json::from_str(text.trim_start_matches("data: ")).unwrap();
    let tools = answer["result"]["tools"].as_array().unwrap_or_else(|| panic!("{text}"));
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

/// The request went on, without the token, and the record has these members, `null` for
/// those it has not.
#[track_caller]
pub(crate) fn assert_passed(stream: &Stream, expected: Value) {
    let upstream = stream.upstream();
    assert!(upstream.ended(), "{upstream:?}, {:?}", stream.downstream());
    assert_eq!(upstream.header("authorization"), None);
    answer(stream);
    assert_eq!(stream.downstream().status(), Some(200));
    assert_recorded(stream, "allow", expected);
}

/// The server was given nothing to act on, the client has its answer, and the record has
/// these members, `null` for those it has not.
#[track_caller]
pub(crate) fn assert_stopped(stream: &Stream, status: u16, expected: Value) {
    let (upstream, downstream) = (stream.upstream(), stream.downstream());
    assert!(!upstream.ended() && upstream.body().is_empty(), "{upstream:?}");
    assert_eq!(downstream.status(), Some(status), "{downstream:?}");
    assert!(downstream.ended());
    stream.finish();
    assert_recorded(stream, "deny", expected);
}

/// Policy refused for that reason, and the client is told that there is no such thing.
#[track_caller]
pub(crate) fn assert_hidden(stream: &Stream, reason: &str, side: &str) {
    assert_stopped(stream, 200, refusal(reason, side));
    let told: Value = serde_json::from_str(&stream.downstream().text()).unwrap();
    assert_eq!((&told["id"], &told["error"]["code"]), (&json!(7), &json!(-32602)));
}

/// What the record says of a refusal by policy.
pub(crate) fn refusal(reason: &str, side: &str) -> Value {
    json!({ "policy_reason": reason, "refused_by": side })
}

#[track_caller]
fn assert_recorded(stream: &Stream, outcome: &str, expected: Value) {
    let record = record(stream);
    assert_eq!(record["outcome"], outcome, "{record}");
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&record[name], value, "{name} of {record}");
    }
}
