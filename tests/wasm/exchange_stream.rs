//! When the operation is known in time and when it is not: `stream` and `hold`, clients of both
//! eras, sessions, notifications and HTTP+SSE.

use crate::callers::{LIST, call_of, modern, modern_call_of, shown};
use crate::client::{Client, post_with_proof};
use crate::exchange::{
    Caller, LIFE, asked, assert_carries, assert_exchanges, assert_nothing_asked, assert_waits,
    assert_went_with, exchanging, form, grant, grant_next, refuse, start, token_exchange,
    with_members,
};
use crate::host::{HostFlag, Stream, Vm};
use crate::support::{Lines, MODES, assert_refused, record, send, with};

use serde_json::{Value, json};
use std::time::Duration;

/// The configuration in which the rule for `search` takes a credential for the whole server.
fn lenient(mode: &str) -> Value {
    let scopes = json!({ "server_scopes": ["docs.read", "server.use"] });
    let mut document = exchanging(mode, with_members(token_exchange(), scopes));
    document["servers"][0]["tools"]["rules"][0]["server_wide_exchange"] = json!(true);
    document
}

/// In `stream`, as Envoy runs it for that mode.
fn start_stream(document: &Value) -> Vm {
    start(HostFlag::Default, document)
}

/// The credential for the whole server, remembered by the caller's first request without an
/// operation of its own.
#[track_caller]
fn server_wide(vm: &Vm, caller: &Caller) -> String {
    let stream = send(vm, caller.lines(), r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    assert_waits(&stream);
    let callout = asked(vm);
    assert!(form(&callout)["scope"].ends_with("server.use"));
    let credential = grant(vm, &callout);
    assert_went_with(&stream, &credential, "exchanged");
    credential
}

#[test]
fn mcp_2026_07_28_the_credential_is_for_what_the_headers_claim() {
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, token_exchange()));
        let caller = Caller::alice(&vm);
        let stream = caller.call(&vm, "delete");
        assert_waits(&stream);
        let callout = asked(&vm);
        assert_eq!(form(&callout)["scope"], "docs.write");
        let credential = grant(&vm, &callout);
        assert_went_with(&stream, &credential, "exchanged");
        let exchange = &record(&stream)["exchange"];
        assert_eq!(exchange["scopes_asked"], json!(["docs.write"]));
        assert_eq!(exchange["scopes_granted"], json!(["docs.write"]));
        assert_eq!(vm.callouts().len(), 1);
    }
}

#[test]
fn mcp_2026_07_28_headers_that_lie_get_no_body_to_the_server() {
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, token_exchange()));
        let caller = Caller::alice(&vm);
        for (claimed, tool) in [("search", "delete"), ("delete", "search"), ("search", "wipe")] {
            let stream = send(&vm, modern(caller.lines(), claimed), &modern_call_of(tool));
            vm.tick();
            for callout in vm.pending_callouts() {
                grant(&vm, &callout);
            }
            assert_refused(&stream, mode, 400, "header_mismatch");
            if let (Some(sent), "stream") = (stream.upstream().header("authorization"), mode) {
                let scope = if claimed == "search" { "docs.read" } else { "docs.write" };
                assert_eq!(crate::exchange::payload(&sent["Bearer ".len()..])["scope"], scope);
            }
        }
    }
}

#[test]
fn mcp_2026_07_28_what_policy_denies_is_not_asked_for() {
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, token_exchange()));
        let reader = Caller::new(&vm, json!({ "scope": "docs.read" }));
        for tool in ["delete", "wipe"] {
            let stream = reader.call(&vm, tool);
            assert_nothing_asked(&vm);
            stream.finish();
            assert_eq!(record(&stream)["outcome"], "deny");
            // In `stream` the headers may have left, for the sake of the id in the answer.
            assert_eq!(stream.upstream().header("authorization"), None);
            assert!(stream.upstream().body().is_empty() && !stream.upstream().ended());
        }
    }
}

#[test]
fn in_hold_older_clients_get_the_credential_of_the_operation() {
    let vm = start(HostFlag::StopIteration, &exchanging("hold", token_exchange()));
    let caller = Caller::alice(&vm);
    for (tool, scope) in [("search", "docs.read"), ("delete", "docs.write")] {
        let stream = caller.call_legacy(&vm, tool);
        assert_waits(&stream);
        let callout = asked(&vm);
        assert_eq!(form(&callout)["scope"], scope);
        let credential = grant(&vm, &callout);
        assert_went_with(&stream, &credential, "exchanged");
    }
}

#[test]
fn in_stream_older_clients_get_one_for_the_server_where_the_rule_permits_it() {
    let vm = start_stream(&lenient("stream"));
    let caller = Caller::alice(&vm);
    let stream = caller.call_legacy(&vm, "search");
    assert_waits(&stream);
    let callout = asked(&vm);
    assert_eq!(form(&callout)["scope"], "docs.read server.use");
    let credential = grant(&vm, &callout);
    assert_went_with(&stream, &credential, "exchanged");
    let asked = &record(&stream)["exchange"]["scopes_asked"];
    assert_eq!(*asked, json!(["docs.read", "server.use"]));
    assert_went_with(&caller.call_legacy(&vm, "get_a"), &credential, "cached");
    // Clients of 2026-07-28 get the narrow one.
    let narrow = assert_exchanges(&vm, &caller, "search");
    assert_ne!(narrow, credential);
}

#[test]
fn in_stream_older_clients_are_refused_where_it_does_not() {
    let vm = start_stream(&lenient("stream"));
    let caller = Caller::alice(&vm);
    let credential = server_wide(&vm, &caller);
    let stream = caller.call_legacy(&vm, "delete");
    // The headers have left before anybody knew what for.
    assert_carries(&stream, &credential);
    assert_refused(&stream, "stream", 403, "exchange_needs_hold");
    let told: Value = serde_json::from_str(&stream.downstream().text()).unwrap();
    assert_eq!(told["id"], 7);
    // The same with the wait.
    let bob = Caller::named(&vm, "bob");
    let stream = bob.call_legacy(&vm, "delete");
    assert_waits(&stream);
    grant_next(&vm);
    assert_refused(&stream, "stream", 403, "exchange_needs_hold");
    assert!(stream.upstream().body().is_empty());
}

#[test]
fn a_credential_for_the_server_that_is_refused_lets_no_headers_go() {
    let vm = start_stream(&lenient("stream"));
    let caller = Caller::alice(&vm);
    let stream = caller.call_legacy(&vm, "search");
    refuse(&vm, &asked(&vm), "invalid_scope");
    assert_refused(&stream, "hold", 403, "exchange_scope_refused");
}

#[test]
fn a_host_that_shows_the_body_early_lets_older_clients_have_the_operations_own() {
    // `stream`, with the flag of `hold`: while the headers wait, the body is shown.
    for server_wide_first in [true, false] {
        let vm = start(HostFlag::StopIteration, &exchanging("stream", token_exchange()));
        let caller = Caller::alice(&vm);
        let stream = caller.call_legacy(&vm, "search");
        assert_waits(&stream);
        vm.tick();
        let mut pending = vm.pending_callouts();
        if !server_wide_first {
            pending.reverse();
        }
        // The one for the server is not waited for any more, and its refusal makes no difference.
        for callout in &pending {
            match form(callout)["scope"].as_str() {
                "server.use" => refuse(&vm, callout, "invalid_scope"),
                _ => _ = grant(&vm, callout),
            }
        }
        assert_eq!(pending.len(), 2, "{pending:?}");
        let upstream = stream.upstream();
        assert!(upstream.ended(), "{:?}", stream.downstream());
        let sent = upstream.header("authorization").unwrap();
        assert_eq!(crate::exchange::payload(&sent["Bearer ".len()..])["scope"], "docs.read");
    }
}

#[test]
fn methods_without_an_object_take_the_servers_scopes() {
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;
    let notification = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, token_exchange()));
        let caller = Caller::alice(&vm);
        let credential = server_wide(&vm, &caller);
        for body in [ping, list, initialize, notification] {
            let stream = send(&vm, caller.lines(), body);
            assert_nothing_asked(&vm);
            assert!(stream.upstream().ended(), "{body}: {:?}", stream.downstream());
            assert_carries(&stream, &credential);
            stream.finish();
            let record = record(&stream);
            assert_eq!(record["exchange"]["outcome"], "cached", "{record}");
            assert_eq!(record["exchange"]["scopes_asked"], json!(["server.use"]));
        }
    }
}

#[test]
fn mcp_2026_07_28_notifications_and_lists_take_the_servers_scopes() {
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, token_exchange()));
        let caller = Caller::alice(&vm);
        let credential = server_wide(&vm, &caller);
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let list = json!({
            "jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": { "_meta": meta },
        });
        let lines = with(caller.lines(), "mcp-protocol-version", "2026-07-28");
        let stream = send(&vm, with(lines, "mcp-method", "tools/list"), &list.to_string());
        assert!(stream.upstream().ended(), "{:?}", stream.downstream());
        assert_carries(&stream, &credential);
    }
}

/// A session of the caller, by the id that the client has; the server knows it as `5a1c`.
fn begin_session(vm: &Vm, caller: &Caller) -> String {
    server_wide(vm, caller);
    let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;
    let begun = send(vm, caller.lines(), initialize);
    let headers =
        [(":status", "200"), ("content-type", "application/json"), ("mcp-session-id", "5a1c")];
    begun.response_headers(headers, false);
    begun.downstream().header("mcp-session-id").unwrap().to_owned()
}

/// A request without a body.
fn bodiless(vm: &Vm, caller: &Caller, method: &str, session: Option<&str>) -> Stream {
    let mut lines: Lines = with(caller.lines(), ":method", method);
    lines.retain(|(name, _)| *name != "content-type");
    if let Some(session) = session {
        lines = with(lines, "mcp-session-id", session);
    }
    let stream = vm.stream();
    stream.request_headers(lines, true);
    stream
}

#[test]
fn sessions_take_the_servers_scopes_in_every_mode() {
    for (flag, mode) in MODES {
        for method in ["GET", "DELETE"] {
            let vm = start(flag, &exchanging(mode, token_exchange()));
            let [alice, bob] = ["alice", "bob"].map(|name| Caller::named(&vm, name));
            let [hers, his] = [&alice, &bob].map(|caller| begin_session(&vm, caller));
            let stream = bodiless(&vm, &alice, method, Some(&hers));
            assert!(stream.upstream().ended(), "{:?}", stream.downstream());
            assert!(stream.upstream().header("authorization").is_some());
            assert_eq!(stream.upstream().header("mcp-session-id"), Some("5a1c"));
            // Without one in the cache they wait like all others.
            vm.advance(LIFE);
            let stream = bodiless(&vm, &alice, method, Some(&hers));
            assert_waits(&stream);
            let credential = grant_next(&vm);
            assert_carries(&stream, &credential);
            assert!(stream.upstream().ended());
            let other = bodiless(&vm, &bob, method, Some(&his));
            assert_waits(&other);
            refuse(&vm, &asked(&vm), "access_denied");
            assert_refused(&other, "hold", 403, "exchange_denied");
        }
    }
}

const OPENING: &str = "event: endpoint\r\ndata: /messages?session_id=5a1c\r\n\r\n";

#[test]
fn http_sse_streams_and_messages_take_their_credentials() {
    for (flag, mode) in MODES {
        let mut document =
            if mode == "hold" { exchanging(mode, token_exchange()) } else { lenient(mode) };
        document["servers"][0]["http_sse"] = json!({ "messages_path": "/messages" });
        let vm = start(flag, &document);
        let caller = Caller::alice(&vm);
        let stream = bodiless(&vm, &caller, "GET", None);
        assert_waits(&stream);
        let callout = asked(&vm);
        assert!(form(&callout)["scope"].ends_with("server.use"));
        let credential = grant(&vm, &callout);
        assert_carries(&stream, &credential);
        stream.response_headers([(":status", "200"), ("content-type", "text/event-stream")], false);
        stream.response_body(OPENING, false);
        let told = stream.downstream().text();
        let url = told.split_once("data: ").unwrap().1.trim_end().to_owned();
        let message = send(&vm, with(caller.lines(), ":path", url), &call_of("search"));
        let credential = if mode == "hold" { grant_next(&vm) } else { credential };
        assert_carries(&message, &credential);
        assert!(message.upstream().ended(), "{:?}", message.downstream());
        assert_eq!(message.upstream().header(":path"), Some("/messages?session_id=5a1c"));
    }
}

#[test]
fn a_rules_own_exchange_and_scopes_are_its_operations_alone() {
    for (flag, mode) in MODES {
        let mut document = exchanging(mode, token_exchange());
        let mut other = token_exchange();
        other["resource"] = json!(["https://other.internal.example/mcp"]);
        document["exchanges"]["other"] = other;
        let rule = &mut document["servers"][0]["tools"]["rules"][1];
        rule["exchange"] = json!("other");
        rule["downstream_scopes"] = json!(["b:delete", "a:delete"]);
        let vm = start(flag, &document);
        let caller = Caller::alice(&vm);
        assert_exchanges(&vm, &caller, "search");
        let stream = caller.call(&vm, "delete");
        let sent = form(&asked(&vm));
        assert_eq!(sent["resource"], "https://other.internal.example/mcp");
        assert_eq!(sent["scope"], "a:delete b:delete");
        let mut claims = crate::exchange::credential_claims(&vm, "a:delete b:delete");
        claims["aud"] = json!("https://other.internal.example/mcp");
        let token = crate::exchange::mint(&claims);
        let answer = crate::exchange::granted(&token, "a:delete b:delete");
        crate::exchange::say(&vm, &vm.pending_callouts()[0], &answer);
        assert!(stream.upstream().ended());
        assert_carries(&stream, &token);
        stream.finish();
        let record = record(&stream);
        assert_eq!(record["exchange"]["name"], "other");
        assert_eq!(record["exchange"]["scopes_asked"], json!(["a:delete", "b:delete"]));
    }
}

#[test]
fn nothing_is_asked_for_that_the_callers_token_does_not_carry() {
    for (flag, mode) in MODES {
        let mut document = exchanging(mode, token_exchange());
        let rule = &mut document["servers"][0]["tools"]["rules"][0];
        rule["scopes"] = json!([]);
        rule["any_scopes"] = json!(["docs.read", "docs.admin", "docs.write"]);
        let vm = start(flag, &document);
        for (scope, expected) in [
            ("docs.read", "docs.read"),
            ("docs.write", "docs.write"),
            ("docs.admin docs.read", "docs.read"),
        ] {
            let caller = Caller::new(&vm, json!({ "scope": scope }));
            let stream = caller.call(&vm, "search");
            let callout = asked(&vm);
            let asked: Vec<String> =
                form(&callout)["scope"].split(' ').map(str::to_owned).collect();
            assert!(asked.iter().all(|asked| scope.split(' ').any(|held| held == asked)));
            assert!(asked.iter().any(|asked| asked == expected), "{asked:?}");
            let credential = grant(&vm, &callout);
            assert_went_with(&stream, &credential, "exchanged");
        }
    }
}

/// What an MCP server says that does not take the credential.
const NOT_TAKEN: [(&str, &str); 3] = [
    (":status", "401"),
    ("content-type", "application/json"),
    ("www-authenticate", "Bearer resource_metadata=\"https://docs.internal.example/prm\""),
];

#[test]
fn a_credential_that_the_server_does_not_take_is_no_fault_of_the_callers() {
    for (flag, mode) in MODES {
        for early in [false, true] {
            // Only in `stream` the server sees headers before their body.
            if early && flag != HostFlag::Default {
                continue;
            }
            let vm = start(flag, &exchanging(mode, token_exchange()));
            let caller = Caller::alice(&vm);
            let old = assert_exchanges(&vm, &caller, "search");
            vm.advance(Duration::from_secs(60));
            let body = modern_call_of("search");
            let stream = vm.stream();
            stream.request_headers(modern(caller.lines(), "search"), false);
            stream.request_body(if early { "" } else { &body }, !early);
            assert_carries(&stream, &old);
            stream.response_headers(NOT_TAKEN, false);
            stream.finish();
            let downstream = stream.downstream();
            assert_eq!(downstream.status(), Some(502), "{downstream:?}");
            assert_eq!(downstream.header("www-authenticate"), None);
            assert!(!format!("{downstream:?}").contains("docs.internal.example"));
            let record = record(&stream);
            assert_eq!(record["code"], "exchange_credential_rejected", "{record}");
            assert_eq!(record["upstream_status"], 401);
            // The next one is made anew. Of a server that takes none, not each call makes one.
            let new = assert_exchanges(&vm, &caller, "search");
            assert_ne!(old, new);
            let again = caller.call(&vm, "search");
            again.response_headers(NOT_TAKEN, true);
            assert_eq!(again.downstream().status(), Some(502));
            assert_went_with(&caller.call(&vm, "search"), &new, "cached");
            assert_nothing_asked(&vm);
        }
    }
}

#[test]
fn challenges_of_the_server_are_not_the_callers() {
    for (flag, mode) in MODES {
        for (exchanges, status) in [(true, "403"), (false, "403"), (false, "401")] {
            let mut document = exchanging(mode, token_exchange());
            if !exchanges {
                document["servers"][0].as_object_mut().unwrap().remove("exchange");
            }
            let vm = start(flag, &document);
            let stream = Caller::alice(&vm).call(&vm, "search");
            if exchanges {
                grant_next(&vm);
            }
            assert!(stream.upstream().ended());
            let mut answer = NOT_TAKEN;
            answer[0].1 = status;
            stream.response_headers(answer, false);
            stream.response_body("{}", true);
            let downstream = stream.downstream();
            assert_eq!(downstream.header(":status"), Some(status));
            // Without an exchange this is what it always was: the server's to say.
            assert_eq!(downstream.header("www-authenticate").is_some(), !exchanges);
        }
    }
}

#[test]
fn what_the_proxy_answers_itself_is_not_the_servers() {
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, token_exchange()));
        let caller = Caller::alice(&vm);
        let credential = assert_exchanges(&vm, &caller, "search");
        let stream = caller.call(&vm, "search");
        stream.set_property(&["response", "code_details"], "upstream_reset");
        stream.response_headers([(":status", "401"), ("content-type", "text/plain")], true);
        assert_eq!(stream.downstream().status(), Some(401));
        vm.advance(Duration::from_secs(60));
        assert_went_with(&caller.call(&vm, "search"), &credential, "cached");
    }
}

#[test]
fn in_shadow_what_would_be_denied_takes_the_servers_scopes() {
    for (flag, mode) in MODES {
        let mut document = exchanging(mode, token_exchange());
        document["mode"] = json!("shadow");
        let vm = start(flag, &document);
        let reader = Caller::new(&vm, json!({ "scope": "docs.read" }));
        let stream = reader.call(&vm, "delete");
        assert_waits(&stream);
        let callout = asked(&vm);
        assert_eq!(form(&callout)["scope"], "server.use");
        let credential = grant(&vm, &callout);
        assert_went_with(&stream, &credential, "exchanged");
        assert_eq!(record(&stream)["would_deny"], "scope_missing");
        // Nothing could be sent in place of a credential that is not there.
        let stream = Caller::named(&vm, "bob").call(&vm, "search");
        vm.fail_callout(&asked(&vm));
        assert_refused(&stream, "hold", 503, "exchange_unavailable");
    }
}

#[test]
fn rfc9449_a_proof_of_the_callers_key_stays_here_too() {
    for (flag, mode) in MODES {
        let mut document = exchanging(mode, token_exchange());
        document["servers"][0]["dpop"] = json!({ "mode": "required" });
        let vm = start(flag, &document);
        let client = Client::eddsa(3);
        let token = client.token(&vm, "docs.read");
        let call = || {
            let proof = client.proof(&vm, &token);
            let lines = modern(post_with_proof(&token, &proof), "search");
            send(&vm, lines, &modern_call_of("search"))
        };
        let stream = call();
        assert_waits(&stream);
        let callout = asked(&vm);
        assert_eq!(form(&callout)["subject_token"], token);
        let credential = grant(&vm, &callout);
        assert_went_with(&stream, &credential, "exchanged");
        let again = call();
        assert_went_with(&again, &credential, "cached");
        for stream in [&stream, &again] {
            assert_eq!(stream.upstream().header("dpop"), None);
            assert!(!format!("{:?}", stream.upstream()).contains(&token));
        }
    }
}

#[test]
fn lists_are_filtered_by_the_callers_token_and_not_by_the_credential() {
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, token_exchange()));
        for (scope, expected) in [
            ("docs.read", &["search", "get_a"][..]),
            ("docs.read docs.write", &["search", "get_a", "delete"]),
        ] {
            let caller = Caller::new(&vm, json!({ "scope": scope }));
            let credential = server_wide(&vm, &caller);
            let stream = send(&vm, caller.lines(), LIST);
            assert_carries(&stream, &credential);
            assert_eq!(shown(&stream, "application/json"), expected);
        }
    }
}
