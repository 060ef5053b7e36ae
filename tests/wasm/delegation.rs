//! Tokens that say who acts for whom, what their users consented to, and what they are
//! bound to.

use crate::callers::{
    assert_hidden, assert_passed, assert_stopped, call, call_of, merged, policed, post_as, refusal,
};
use crate::host::{Stream, Vm};
use crate::support::{ISSUER, Lines, MODES, RESOURCE, record, send, with};

use serde_json::{Value, json};

/// The configuration with these agents, `delegation` and claims of the issuer.
fn delegated(mode: &str, delegation: Value, claims: Value) -> Value {
    let agents = json!({
        "planner": { "match": ["act:planner"] },
        "helper": { "match": ["act:helper"] },
        "agent": { "match": ["client:agent"] },
    });
    let document = json!({ "agents": agents, "issuers": { "corp": { "claims": claims } } });
    policed(mode, document, json!({ "delegation": delegation }))
}

/// `act` of this chain, the current actor first.
fn chain<S: AsRef<str>>(actors: impl DoubleEndedIterator<Item = S>) -> Value {
    let nest =
        |prior: Value, sub: S| merged(json!({ "sub": sub.as_ref() }), json!({ "act": prior }));
    actors.rev().fold(Value::Null, nest)
}

fn acted(vm: &Vm, actors: &[&str]) -> Stream {
    call(vm, json!({ "act": chain(actors.iter()) }), "search")
}

#[test]
fn rfc_8693_4_1_the_whole_chain_is_recorded_and_the_current_actor_is_the_agent() {
    for (flag, mode) in MODES {
        let vm = Vm::with(flag).start(delegated(mode, json!({}), json!({}))).unwrap();
        let act = json!({
            "sub": "planner",
            "act": {
                "client_id": "gateway",
                "act": { "sub": "first", "iss": "https://other.example" },
            },
        });
        let actors = json!([
            { "sub": "planner" },
            { "client_id": "gateway" },
            { "sub": "first", "iss": "https://other.example" },
        ]);
        assert_passed(
            &call(&vm, json!({ "act": act }), "search"),
            json!({
                "agent": "planner", "subject": "alice", "client_id": "agent", "actors": actors,
            }),
        );
    }
}

#[test]
fn a_chain_is_no_longer_than_the_server_takes() {
    for (flag, mode) in MODES {
        for (delegation, taken) in [
            (json!({}), 3),
            (json!({ "max_depth": 1 }), 1),
            (json!({ "max_depth": 0 }), 0),
            (json!({ "max_depth": 16 }), 16),
        ] {
            let vm = Vm::with(flag).start(delegated(mode, delegation, json!({}))).unwrap();
            let of = |depth| {
                let actors = ["planner"; 17];
                (acted(&vm, &actors[..depth]), json!(vec![json!({ "sub": "planner" }); depth]))
            };
            assert_passed(&acted(&vm, &[]), json!({ "agent": "agent", "actors": null }));
            if taken > 0 {
                let (stream, actors) = of(taken);
                assert_passed(&stream, json!({ "actors": actors }));
            }
            let (stream, actors) = of(taken + 1);
            if taken == 16 {
                assert_stopped(&stream, 401, json!({ "code": "token_malformed" }));
            } else {
                assert_hidden(&stream, "delegation_too_deep", "delegation");
                assert_eq!(record(&stream)["actors"], actors);
            }
        }
    }
}

#[test]
fn rfc_8693_4_1_prior_actors_only_tighten() {
    for (flag, mode) in MODES {
        let delegation = json!({ "actors": ["planner"], "prior_actors": ["helper", "gateway"] });
        let vm = Vm::with(flag).start(delegated(mode, delegation, json!({}))).unwrap();
        for actors in [&["planner"][..], &["planner", "helper"], &["planner", "gateway", "helper"]]
        {
            assert_passed(&acted(&vm, actors), json!({ "agent": "planner" }));
        }
        for (actors, reason) in [
            (&["planner", "stranger"][..], "prior_actor_not_allowed"),
            (&["planner", "helper", "stranger"], "prior_actor_not_allowed"),
            (&["helper", "planner"], "actor_not_allowed"),
        ] {
            assert_hidden(&acted(&vm, actors), reason, "delegation");
        }
        // Another issuer's helper is somebody else.
        let act =
            json!({ "sub": "planner", "act": { "sub": "helper", "iss": "https://other.example" } });
        let stream = call(&vm, json!({ "act": act }), "search");
        assert_hidden(&stream, "prior_actor_not_allowed", "delegation");
        assert_hidden(&acted(&vm, &["gateway", "planner"]), "agent_unknown", "agent");
    }
}

#[test]
fn rfc_8693_4_4_the_current_actor_is_who_may_act() {
    for (flag, mode) in MODES {
        let vm = Vm::with(flag).start(delegated(mode, json!({}), json!({}))).unwrap();
        let said = |may_act: Value, act: Value| {
            call(&vm, json!({ "may_act": may_act, "act": act }), "search")
        };
        let planner = || json!({ "sub": "planner" });
        assert_passed(&said(planner(), planner()), json!({ "agent": "planner" }));
        let issuer = json!({ "sub": "planner", "iss": ISSUER });
        assert_passed(&said(issuer, planner()), json!({}));
        // It says who may, and nobody does.
        assert_passed(&said(planner(), Value::Null), json!({ "agent": "agent" }));
        for may_act in [
            json!({ "sub": "helper" }),
            json!({ "sub": "planner", "client_id": "other" }),
            json!({ "sub": "planner", "iss": "https://other.example" }),
        ] {
            assert_hidden(&said(may_act, planner()), "may_not_act", "delegation");
        }
    }
}

#[test]
fn users_consent_to_servers_and_agents_where_their_issuer_says_so() {
    for (flag, mode) in MODES {
        let claims = json!({ "consented_servers": ["servers"], "consented_agents": ["agents"] });
        let vm = Vm::with(flag).start(delegated(mode, json!({}), claims)).unwrap();
        let consent = |servers: Value, agents: Value, act: Value| {
            call(&vm, json!({ "servers": servers, "agents": agents, "act": act }), "search")
        };
        let here = || json!(["https://mcp.example.com/other", RESOURCE]);
        let planner = || json!({ "sub": "planner" });
        assert_passed(&consent(here(), json!(["agent"]), Value::Null), json!({}));
        assert_passed(&consent(here(), json!(["planner"]), planner()), json!({}));
        for (servers, agents, act) in [
            (json!(["https://mcp.example.com/other"]), json!(["agent"]), Value::Null),
            (Value::Null, json!(["agent"]), Value::Null),
            (here(), json!([]), Value::Null),
            (here(), Value::Null, Value::Null),
            // Consent to the client is none to who acts through it.
            (here(), json!(["agent"]), planner()),
        ] {
            assert_hidden(&consent(servers, agents, act), "consent_missing", "delegation");
        }
    }
}

#[test]
fn a_rule_may_take_a_user_and_an_agent_that_are_two() {
    for (flag, mode) in MODES {
        let mut document = delegated(mode, json!({}), json!({}));
        document["servers"][0]["tools"]["rules"][0]["on_behalf_of"] = json!(true);
        let vm = Vm::with(flag).start(document).unwrap();
        assert_passed(&acted(&vm, &["planner"]), json!({}));
        assert_passed(&acted(&vm, &[]), json!({}));
        let itself = json!({ "sub": "planner", "act": { "sub": "planner" } });
        let stream = call(&vm, itself, "search");
        assert_hidden(&stream, "user_and_agent_indistinct", "delegation");
    }
}

/// Begins a session that the server knows by that id; the id that the client knows.
fn session(vm: &Vm, id: &str) -> String {
    let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;
    let stream = send(vm, post_as(vm, json!({})), initialize);
    let headers =
        [(":status", "200"), ("content-type", "application/json"), ("mcp-session-id", id)];
    stream.response_headers(headers, false);
    stream.downstream().header("mcp-session-id").unwrap().to_owned()
}

#[test]
fn a_token_for_a_session_is_good_in_that_session_as_its_client_knows_it() {
    for (flag, mode) in MODES {
        let claims = json!({ "session": ["mcp_session"] });
        let mut document = delegated(mode, json!({}), claims);
        document["servers"][0]["context"] = json!({ "session": "required" });
        let vm = Vm::with(flag).start(document).unwrap();
        // There is none yet that the first token could name.
        let [one, another] = ["5a1c", "0b2e"].map(|id| session(&vm, id));
        assert_ne!(one, another);
        let call = |bound: Value, session: Option<&str>| {
            let lines: Lines = post_as(&vm, json!({ "mcp_session": bound }));
            let lines = session.map_or(lines.clone(), |id| with(lines, "mcp-session-id", id));
            send(&vm, lines, &call_of("search"))
        };
        assert_passed(&call(json!(one), Some(&one)), json!({}));
        for (bound, session) in [
            (json!(one), Some(&another)),
            (json!(one), None),
            (json!("5a1c"), Some(&one)),
            (Value::Null, Some(&one)),
            (Value::Null, None),
        ] {
            let stream = call(bound, session.map(String::as_str));
            assert_hidden(&stream, "context_mismatch", "delegation");
        }
    }
}

#[test]
fn a_token_for_a_task_is_good_for_that_task_only() {
    for (flag, mode) in MODES {
        let mut document = delegated(mode, json!({}), json!({ "task": ["task"] }));
        document["servers"][0]["context"] = json!({ "task": "required" });
        document["servers"][0]["methods"]["allow"] = json!(["tasks/get", "tools/list"]);
        let vm = Vm::with(flag).start(document).unwrap();
        for task in ["t1", "t2"] {
            let stream = call(&vm, json!({}), "search");
            let headers = [(":status", "200"), ("content-type", "application/json")];
            stream.response_headers(headers, false);
            let made =
                json!({ "jsonrpc": "2.0", "id": 7, "result": { "task": { "taskId": task } } });
            stream.response_body(made.to_string(), true);
        }
        let get = |bound: Value, task: &str| {
            let params = json!({ "taskId": task });
            let body =
                json!({ "jsonrpc": "2.0", "id": 7, "method": "tasks/get", "params": params });
            send(&vm, post_as(&vm, json!({ "task": bound })), &body.to_string())
        };
        assert_passed(&get(json!("t1"), "t1"), json!({}));
        for (bound, task) in [(json!("t1"), "t2"), (Value::Null, "t1")] {
            assert_stopped(&get(bound, task), 403, refusal("context_mismatch", "delegation"));
        }
        let stream = call(&vm, json!({ "task": "t1" }), "search");
        assert_hidden(&stream, "context_mismatch", "delegation");
    }
}

#[test]
fn a_token_for_an_instance_is_good_where_the_request_names_it_once() {
    const HEADER: &str = "x-agent-instance";
    for (flag, mode) in MODES {
        let mut document = delegated(mode, json!({}), json!({ "instance": ["for_instance"] }));
        document["servers"][0]["context"] =
            json!({ "instance": "required", "instance_header": HEADER });
        let vm = Vm::with(flag).start(document).unwrap();
        let call = |bound: Value, named: &[&str]| {
            let mut lines = post_as(&vm, json!({ "for_instance": bound }));
            lines.extend(named.iter().map(|instance| (HEADER, instance.as_bytes().to_vec())));
            send(&vm, lines, &call_of("search"))
        };
        assert_passed(&call(json!("pod-1"), &["pod-1"]), json!({}));
        for (bound, named) in [
            (json!("pod-1"), &["pod-2"][..]),
            (json!("pod-1"), &[]),
            (Value::Null, &["pod-1"]),
            (Value::Null, &[]),
        ] {
            assert_hidden(&call(bound, named), "context_mismatch", "delegation");
        }
        let twice = call(json!("pod-1"), &["pod-1", "pod-2"]);
        assert_stopped(&twice, 400, json!({ "code": "header_repeated" }));
    }
}
