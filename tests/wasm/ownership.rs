//! Sessions and tasks over workers, replicas and hosts that fail.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::host::{HostFlag, Outcome, Status, Stream, Vm, Which};
use crate::support::{
    CALL, Lines, MODES, beside, claims, inline, post, send, sign, token, with, workers,
};

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;
const SERVERS_OWN: &str = "5a1c-the-servers-own";

/// Begins a session; what the client is told.
fn begin(vm: &Vm) -> Stream {
    let stream = send(vm, post(&token(vm, "docs.read")), INITIALIZE);
    let headers =
        [(":status", "200"), ("content-type", "application/json"), ("mcp-session-id", SERVERS_OWN)];
    stream.response_headers(headers, false);
    stream
}

fn session(vm: &Vm) -> String {
    begin(vm).downstream().header("mcp-session-id").unwrap().to_owned()
}

fn in_session(vm: &Vm, subject: &str, session: &str) -> Lines {
    let mut claims = claims(vm, "docs.read");
    claims["sub"] = json!(subject);
    with(post(&sign("k1", &claims)), "mcp-session-id", session)
}

fn assert_opens(vm: &Vm, session: &str) {
    let stream = send(vm, in_session(vm, "alice", session), CALL);
    assert_eq!(stream.upstream().header("mcp-session-id"), Some(SERVERS_OWN));
}

fn assert_unknown(vm: &Vm, subject: &str, session: &str) {
    let stream = vm.stream();
    let outcome = stream.request_headers(in_session(vm, subject, session), false);
    assert_eq!(outcome, Outcome::Replied);
    assert_eq!(stream.downstream().status(), Some(404));
    assert!(stream.upstream().is_empty());
}

#[test]
fn a_session_is_good_at_every_worker_of_its_proxy() {
    for (flag, mode) in MODES {
        let [first, second] = workers(flag, &inline(mode));
        let session = session(&first);
        assert!(!session.contains(SERVERS_OWN));
        let late = beside(&first, flag, &inline(mode));
        for vm in [&first, &second, &late] {
            assert_opens(vm, &session);
            assert_unknown(vm, "mallory", &session);
            assert_unknown(vm, "alice", SERVERS_OWN);
        }
    }
}

#[test]
fn a_session_is_good_at_every_replica_with_the_key() {
    let key = |byte: u8| STANDARD.encode([byte; 32]);
    let replica = |keys: &[(&str, u8)]| {
        let mut document = inline("hold");
        let names = keys.iter().map(|(name, _)| json!({ "env": name }));
        document["session_keys"] = names.collect::<Vec<_>>().into();
        let builder = Vm::with(HostFlag::StopIteration);
        let builder = keys
            .iter()
            .fold(builder, |builder, (name, byte)| builder.environment(name, &key(*byte)));
        builder.start(&document).unwrap()
    };
    let session = session(&replica(&[("KEY", 1)]));
    assert_opens(&replica(&[("KEY", 1)]), &session);
    assert_opens(&replica(&[("NEW_KEY", 2), ("KEY", 1)]), &session);
    assert_unknown(&replica(&[("KEY", 2)]), "alice", &session);
    // Without one in common each has its own.
    assert_unknown(&Vm::start(inline("stream")).unwrap(), "alice", &session);
}

#[test]
fn without_a_key_no_session_begins() {
    for (flag, mode) in MODES {
        for status in [Status::NOT_FOUND, Status::BAD_ARGUMENT] {
            let vm = Vm::with(flag).start(inline(mode)).unwrap();
            vm.fail_hostcall("proxy_get_shared_data", Which::All, status);
            vm.fail_hostcall("proxy_set_shared_data", Which::All, Status::BAD_ARGUMENT);
            let stream = begin(&vm);
            drop(vm.take_trap());
            let told = stream.downstream();
            assert!(told.header("mcp-session-id") != Some(SERVERS_OWN), "{told:?}");
            assert!(told.status().is_none_or(|status| status >= 400), "{told:?}");
        }
    }
}

fn with_tasks(mode: &str) -> Value {
    let mut document = inline(mode);
    document["servers"][0]["methods"]["allow"] = json!(["tools/list", "tasks/get"]);
    document
}

fn get_task(vm: &Vm, subject: &str) -> Stream {
    let mut claims = claims(vm, "docs.read");
    claims["sub"] = json!(subject);
    let body = r#"{"jsonrpc":"2.0","id":4,"method":"tasks/get","params":{"taskId":"t1"}}"#;
    send(vm, post(&sign("k1", &claims)), body)
}

#[test]
fn a_task_is_its_makers_at_every_worker_of_the_proxy() {
    for (flag, mode) in MODES {
        let [first, second] = workers(flag, &with_tasks(mode));
        let stream = send(&first, post(&token(&first, "docs.read")), CALL);
        let headers = [(":status", "200"), ("content-type", "text/event-stream")];
        stream.response_headers(headers, false);
        // As soon as the client can know of it, it is known to be the client's.
        let made = r#"data: {"jsonrpc":"2.0","id":1,"result":{"task":{"taskId":"t1""#;
        assert_eq!(stream.response_body(made, false), Outcome::Continue);
        assert_eq!(stream.downstream().text(), made);
        for vm in [&first, &second] {
            assert!(get_task(vm, "alice").upstream().ended());
            let foreign = get_task(vm, "bob");
            assert!(!foreign.upstream().ended());
            let told: Value = serde_json::from_str(&foreign.downstream().text()).unwrap();
            assert_eq!((&told["id"], &told["error"]["code"]), (&json!(4), &json!(-32602)));
        }
    }
}
