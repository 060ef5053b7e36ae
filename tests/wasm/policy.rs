//! Who may do what through which agent: calls, lists, and what is told of them.

use crate::callers::{
    LIST, TOOLS, assert_hidden, assert_passed, assert_stopped, call, call_modern, call_of,
    claiming, listed, policed, post_as, refusal,
};
use crate::host::{HostFlag, Outcome, Vm, Wire};
use crate::support::{ISSUER, MODES, RESOURCE, jwk, post, record, send, sign, with};

use serde_json::{Value, json};

/// Two agents: one that reads, and one that may do what its users may.
fn agents() -> Value {
    json!({
        "reader": { "match": ["client:reader"], "tools": ["search", "get_*"] },
        "editor": { "match": ["client:editor"] },
    })
}

fn rules() -> Value {
    json!([
        { "id": "read", "names": ["search", "get_*"], "scopes": ["docs.read"] },
        { "id": "delete", "names": ["delete"], "scopes": ["docs.write"] },
        { "id": "publish", "names": ["publish"], "scopes": ["docs.read"], "roles": ["publisher"] },
    ])
}

fn catalogue(mode: &str) -> Value {
    policed(mode, json!({ "agents": agents() }), json!({ "tools": { "rules": rules() } }))
}

/// The configuration with that one agent, which is `client:agent`.
fn only_agent(mode: &str, agent: Value) -> Value {
    let mut agents = json!({ "only": { "match": ["client:agent"] } });
    agents["only"].as_object_mut().unwrap().extend(agent.as_object().unwrap().clone());
    let claims = json!({ "agent_version": ["version"], "agent_instance": ["instance"] });
    let issuers = json!({ "corp": { "claims": claims } });
    let document = json!({ "agents": agents, "issuers": issuers });
    policed(mode, document, json!({ "tools": { "rules": rules() } }))
}

fn publisher(client: &str) -> Value {
    json!({ "client_id": client, "roles": ["publisher"] })
}

/// The claims of an application that acts for nobody.
fn application(name: &str, roles: Value) -> Value {
    json!({ "sub": name, "client_id": name, "scope": null, "roles": roles })
}

#[test]
fn user_and_agent_must_both_be_permitted_and_only_the_record_says_who_was_not() {
    for (flag, mode) in MODES {
        // One decision each, so that not even the decision ids differ.
        let refused = |document: &Value, caller: Value, [reason, side]: [&str; 2]| {
            [call, call_modern].map(|call| -> Wire {
                let vm = Vm::with(flag).start(document).unwrap();
                let stream = call(&vm, caller.clone(), "publish");
                assert_hidden(&stream, reason, side);
                stream.downstream()
            })
        };
        let document = catalogue(mode);
        let mut without = catalogue(mode);
        without["servers"][0]["tools"]["rules"].as_array_mut().unwrap().pop();
        let no_such_tool = refused(&without, publisher("editor"), ["no_rule", "server"]);
        for (caller, by) in [
            (json!({ "client_id": "editor" }), ["role_missing", "user"]),
            (publisher("reader"), ["agent_object_not_allowed", "agent"]),
            (json!({ "client_id": "reader" }), ["agent_object_not_allowed", "agent"]),
            (publisher("stranger"), ["agent_unknown", "agent"]),
        ] {
            assert_eq!(refused(&document, caller, by), no_such_tool, "{by:?}");
        }
        let vm = Vm::with(flag).start(&document).unwrap();
        for call in [call, call_modern] {
            let expected = json!({ "agent": "editor", "rules": ["publish"], "refused_by": null });
            assert_passed(&call(&vm, publisher("editor"), "publish"), expected);
            assert_stopped(
                &call(&vm, publisher("reader"), "publish"),
                200,
                json!({ "agent": "reader", "code": "agent_object_not_allowed" }),
            );
        }
    }
}

#[test]
fn an_agent_that_is_not_in_the_catalogue_may_not_even_list() {
    for (flag, mode) in MODES {
        let vm = Vm::with(flag).start(catalogue(mode)).unwrap();
        let stranger = || json!({ "client_id": "stranger" });
        for body in [LIST, r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#] {
            let stream = send(&vm, post_as(&vm, stranger()), body);
            assert_stopped(&stream, 403, refusal("agent_unknown", "agent"));
            assert!(!stream.downstream().text().contains("agent"));
        }
        // Nor listen, or end a session.
        for method in ["GET", "DELETE"] {
            let lines = with(post_as(&vm, stranger()), ":method", method);
            let stream = vm.stream();
            stream.request_headers(with(lines, "mcp-protocol-version", "2025-11-25"), true);
            assert_stopped(&stream, 403, refusal("agent_unknown", "agent"));
        }
        // Where they are taken, they are agents of no name.
        let mut document = catalogue(mode);
        document["servers"][0]["delegation"] = json!({ "unknown_agents": "allow" });
        document["servers"][0]["tools"]["rules"][1]["agents"] = json!(["editor"]);
        let vm = Vm::with(flag).start(document).unwrap();
        assert_passed(&call(&vm, stranger(), "search"), json!({ "agent": null }));
        let mut writer = stranger();
        writer["scope"] = json!("docs.write");
        assert_hidden(&call(&vm, writer, "delete"), "agent_not_allowed", "agent");
    }
}

#[test]
fn rfc_8693_4_1_an_unknown_actor_is_not_the_known_client_behind_it() {
    for (flag, mode) in MODES {
        let mut document = catalogue(mode);
        document["agents"]["planner"] = json!({ "match": ["act:planner"] });
        let vm = Vm::with(flag).start(document).unwrap();
        let acted = |act: Value| call(&vm, json!({ "client_id": "reader", "act": act }), "search");
        assert_passed(&acted(json!({ "sub": "planner" })), json!({ "agent": "planner" }));
        for act in [
            json!({ "sub": "stranger" }),
            json!({ "sub": "reader" }),
            json!({ "client_id": "reader" }),
            json!({ "sub": "stranger", "act": { "sub": "planner" } }),
            json!({ "sub": "planner", "iss": "https://other.example" }),
        ] {
            assert_hidden(&acted(act), "agent_unknown", "agent");
        }
    }
}

#[test]
fn a_client_identifier_names_an_agent_at_its_issuer_only() {
    for (flag, mode) in MODES {
        let other = json!({
            "issuer": "https://other.example", "jwks": { "keys": [jwk("k2")] },
            "algorithms": ["EdDSA"],
        });
        let mut document = policed(
            mode,
            json!({ "agents": agents(), "issuers": { "other": other } }),
            json!({ "issuers": ["corp", "other"], "tools": { "rules": rules() } }),
        );
        for agent in ["reader", "editor"] {
            document["agents"][agent]["issuers"] = json!(["corp"]);
        }
        let vm = Vm::with(flag).start(document).unwrap();
        assert_passed(&call(&vm, json!({ "client_id": "reader" }), "search"), json!({}));
        let foreign = json!({ "client_id": "reader", "iss": "https://other.example" });
        let token = sign("k2", &claiming(&vm, foreign));
        let stream = send(&vm, post(&token), &call_of("search"));
        assert_hidden(&stream, "agent_unknown", "agent");
    }
}

#[test]
fn an_agent_does_nothing_without_its_required_scopes_and_uses_no_others() {
    for (flag, mode) in MODES {
        let agent = json!({ "required_scopes": ["connect"], "optional_scopes": ["docs.read"] });
        let vm = Vm::with(flag).start(only_agent(mode, agent)).unwrap();
        let with_scope = |scope: &str, tool| call(&vm, json!({ "scope": scope }), tool);
        assert_passed(&with_scope("connect docs.read", "search"), json!({ "agent": "only" }));
        let stream = with_scope("docs.read", "search");
        assert_stopped(&stream, 403, refusal("agent_scope_missing", "agent"));
        let downstream = stream.downstream();
        let challenge = downstream.header("www-authenticate").unwrap();
        assert!(challenge.contains(r#"error="insufficient_scope", scope="connect docs.read""#));
        // The user has it, and the agent has no use for it: no token would help.
        let stream = with_scope("connect docs.read docs.write", "delete");
        assert_hidden(&stream, "agent_scope_not_allowed", "agent");
    }
}

#[test]
fn an_agent_of_another_version_or_of_no_instance_does_nothing() {
    for (flag, mode) in MODES {
        let agent = json!({ "versions": ["2.*"], "instance_required": true });
        let vm = Vm::with(flag).start(only_agent(mode, agent)).unwrap();
        let claiming = |claims| call(&vm, claims, "search");
        assert_passed(
            &claiming(json!({ "version": "2.1", "instance": "pod-1" })),
            json!({ "agent_version": "2.1", "agent_instance": "pod-1" }),
        );
        for (claims, reason) in [
            (json!({ "version": "1.9", "instance": "pod-1" }), "agent_version_not_allowed"),
            (json!({ "instance": "pod-1" }), "agent_version_not_allowed"),
            (json!({ "version": "2.1" }), "agent_instance_missing"),
        ] {
            assert_hidden(&claiming(claims), reason, "agent");
        }
    }
}

#[test]
fn an_agent_stays_at_its_servers() {
    for (flag, mode) in MODES {
        for (servers, passes) in [(RESOURCE, true), ("https://mcp.example.com/other", false)] {
            let mut document = only_agent(mode, json!({ "servers": [servers] }));
            let second =
                json!({ "resource": "https://mcp.example.com/other", "issuers": ["corp"] });
            document["servers"].as_array_mut().unwrap().push(second);
            let vm = Vm::with(flag).start(document).unwrap();
            let stream = call(&vm, json!({}), "search");
            if passes {
                assert_passed(&stream, json!({ "agent": "only" }));
            } else {
                assert_hidden(&stream, "agent_server_not_allowed", "agent");
            }
        }
    }
}

#[test]
fn a_token_and_a_workload_that_are_two_agents_are_none() {
    for (flag, mode) in MODES {
        let id = "spiffe://corp.example/editor";
        let mut document = catalogue(mode);
        document["workload_identity"] = json!({ "trust_domains": { "corp.example": {} } });
        document["agents"]["editor"]["match"] = json!(["client:editor", id]);
        let vm = Vm::with(flag).start(document).unwrap();
        let from_editor = |client: &str| {
            let stream = vm.stream();
            stream.set_property(&["connection", "uri_san_peer_certificate"], id);
            stream.request_headers(post_as(&vm, json!({ "client_id": client })), false);
            stream.request_body(call_of("search"), true);
            stream
        };
        assert_passed(&from_editor("editor"), json!({ "agent": "editor", "workload": id }));
        // Who only the connection names is the workload's agent.
        assert_passed(&from_editor("stranger"), json!({ "agent": "editor" }));
        assert_hidden(&from_editor("reader"), "agent_mismatch", "agent");
    }
}

/// The callers of whom lists and calls are compared.
fn callers() -> Vec<Value> {
    let mut callers = Vec::new();
    for client in ["reader", "editor"] {
        for scope in ["", "docs.read", "docs.write", "docs.read docs.write"] {
            for roles in [json!([]), json!(["publisher"])] {
                callers.push(json!({ "client_id": client, "scope": scope, "roles": roles }));
            }
        }
    }
    callers
}

#[test]
fn a_list_shows_exactly_what_its_reader_may_call() {
    for (flag, mode) in MODES {
        let vm = Vm::with(flag).start(catalogue(mode)).unwrap();
        let mut seen = Vec::new();
        for caller in callers() {
            let passes = |tool: &&str| call(&vm, caller.clone(), tool).upstream().ended();
            let callable: Vec<_> = TOOLS.into_iter().filter(passes).collect();
            for media_type in ["application/json", "text/event-stream"] {
                assert_eq!(listed(&vm, caller.clone(), media_type), callable, "{caller}");
            }
            seen.push(callable);
        }
        seen.sort();
        seen.dedup();
        let all = vec!["search", "get_a", "delete", "publish"];
        let [nothing, reads] = [vec![], vec!["search", "get_a"]];
        assert!([nothing, reads, all].iter().all(|list| seen.contains(list)), "{seen:?}");
    }
}

#[test]
fn a_list_also_shows_what_better_authentication_opens() {
    for (flag, mode) in MODES {
        let mut document = catalogue(mode);
        document["servers"][0]["tools"]["rules"][1]["step_up"] = json!({ "acr": ["mfa"] });
        let vm = Vm::with(flag).start(document).unwrap();
        let writer = json!({ "client_id": "editor", "scope": "docs.write" });
        assert_eq!(listed(&vm, writer.clone(), "application/json"), ["delete"]);
        assert_stopped(&call(&vm, writer, "delete"), 401, refusal("step_up_required", "user"));
        let no_writer = json!({ "client_id": "editor" });
        assert_eq!(listed(&vm, no_writer, "application/json"), ["search", "get_a"]);
    }
}

#[test]
fn attainable_lists_also_show_what_more_scopes_open_and_nothing_else() {
    for (flag, mode) in MODES {
        let mut document = catalogue(mode);
        document["servers"][0]["lists"] = json!("attainable");
        let vm = Vm::with(flag).start(document).unwrap();
        let nobody = |client: &str| json!({ "client_id": client, "scope": "" });
        let shown = |client| listed(&vm, nobody(client), "text/event-stream");
        // No token of the user's makes a publisher of them, or a writer of the agent.
        assert_eq!(shown("editor"), ["search", "get_a", "delete"]);
        assert_eq!(shown("reader"), ["search", "get_a"]);
        for (client, tool) in [("editor", "delete"), ("reader", "get_a")] {
            let stream = call(&vm, nobody(client), tool);
            assert_stopped(&stream, 403, refusal("scope_missing", "user"));
        }
    }
}

#[test]
fn forbidden_objects_are_403_and_the_side_still_is_not_told() {
    for (flag, mode) in MODES {
        let mut document = catalogue(mode);
        document["servers"][0]["denied_objects"] = json!("forbidden");
        let told = |caller: Value, tool, reason, side| {
            let vm = Vm::with(flag).start(&document).unwrap();
            let stream = call(&vm, caller, tool);
            assert_stopped(&stream, 403, refusal(reason, side));
            stream.downstream()
        };
        let by_user = told(json!({ "client_id": "editor" }), "publish", "role_missing", "user");
        let by_agent = told(publisher("reader"), "publish", "agent_object_not_allowed", "agent");
        let by_nobody = told(publisher("editor"), "wipe", "no_rule", "server");
        assert_eq!(by_user, by_agent);
        assert_eq!(by_user, by_nobody);
    }
}

#[test]
fn an_application_does_what_a_rule_grants_it_by_name_and_nothing_else() {
    for (flag, mode) in MODES {
        let mut document = catalogue(mode);
        document["agents"]["nightly"] = json!({ "match": ["client:nightly"] });
        document["issuers"]["corp"]["scope_grants"] = json!([{
            "roles": ["Docs.Read.All", "publisher"], "scopes": ["docs.read", "docs.write"],
        }]);
        let grants = json!([{ "agents": ["nightly"], "permissions": ["Docs.Read.All"] }]);
        document["servers"][0]["tools"]["rules"][0]["workloads"] = grants;
        document["servers"][0]["tools"]["rules"][1]["workloads"] =
            json!([{ "agents": ["nightly"], "scopes": ["docs.write"] }]);
        let vm = Vm::with(flag).start(document).unwrap();
        let permitted = || json!(["Docs.Read.All"]);
        assert_passed(
            &call(&vm, application("nightly", permitted()), "search"),
            json!({ "subject_kind": "workload", "subject": "nightly", "agent": "nightly" }),
        );
        assert_eq!(
            listed(&vm, application("nightly", permitted()), "application/json"),
            ["search", "get_a"]
        );
        for (app, tool) in [
            // Permissions are all needed, and are no user's roles; a user's role is none.
            (application("nightly", json!([])), "search"),
            (application("nightly", json!(["publisher"])), "search"),
            (application("nightly", json!(["publisher"])), "publish"),
            // The grant is another's.
            (application("editor", permitted()), "search"),
            // Without a grant, scopes are nothing.
            (json!({ "sub": "editor", "client_id": "editor" }), "search"),
            (json!({ "sub": "editor", "client_id": "editor", "scope": "docs.write" }), "delete"),
        ] {
            assert_hidden(&call(&vm, app, tool), "workload_not_allowed", "agent");
        }
        // Nor do its permissions amount to scopes, as roles of users do.
        let stream = call(&vm, application("nightly", permitted()), "delete");
        assert_stopped(&stream, 403, json!({ "code": "scope_missing" }));
        let mut scoped = application("nightly", json!([]));
        scoped["scope"] = json!("docs.write");
        assert_passed(&call(&vm, scoped, "delete"), json!({ "subject_kind": "workload" }));
        let user = json!({ "client_id": "editor", "scope": null, "roles": ["publisher"] });
        assert_passed(&call(&vm, user, "search"), json!({ "subject_kind": "user" }));
    }
}

#[test]
fn scopes_follow_from_groups_and_from_scopes_but_never_from_a_star() {
    for (flag, mode) in MODES {
        let document = json!({
            "issuers": { "corp": { "scope_grants": [
                { "groups": ["staff"], "scopes": ["docs.write"] },
            ] } },
            "scopes": {
                "docs.write": { "implies": ["docs.read"] },
                "docs.*": { "implies": ["docs.read"] },
            },
        });
        let document = policed(mode, document, json!({ "tools": { "rules": rules() } }));
        let vm = Vm::with(flag).start(document).unwrap();
        let caller = |scope: &str, groups: Value| json!({ "scope": scope, "groups": groups });
        for (scope, groups, reads, writes) in [
            ("docs.read", json!([]), true, false),
            ("docs.write", json!([]), true, true),
            ("", json!(["staff"]), true, true),
            ("", json!(["guests"]), false, false),
            // Says what it implies, and is no more than that.
            ("docs.*", json!([]), true, false),
            ("* *.write docs.wri* docs.read.*", json!([]), false, false),
        ] {
            for (tool, may) in [("search", reads), ("delete", writes)] {
                let stream = call(&vm, caller(scope, groups.clone()), tool);
                if may {
                    assert_passed(&stream, json!({ "code": "allowed" }));
                } else {
                    assert_stopped(&stream, 403, refusal("scope_missing", "user"));
                }
            }
        }
    }
}

#[test]
fn a_rule_that_forbids_wins_over_every_rule_that_permits() {
    for (flag, mode) in MODES {
        let tools = json!({
            "rules": rules(),
            "deny": [
                { "id": "suspended", "names": ["*"], "tenants": ["red"] },
                { "id": "no-drafts", "names": ["get_*_draft"], "agents": ["reader"] },
                { "id": "not-eve", "names": ["search"], "subjects": ["eve"] },
            ],
        });
        let document = policed(mode, json!({ "agents": agents() }), json!({ "tools": tools }));
        let vm = Vm::with(flag).start(document).unwrap();
        let of = |tenant: &str, client: &str| json!({ "tid": tenant, "client_id": client });
        for (caller, tool, forbidden) in [
            (of("blue", "editor"), "search", json!([])),
            (of("red", "editor"), "search", json!(["suspended"])),
            // Who does not say the tenant may be of any.
            (json!({ "client_id": "editor" }), "search", json!(["suspended"])),
            (of("blue", "reader"), "get_a_draft", json!(["no-drafts"])),
            (of("red", "reader"), "get_a_draft", json!(["no-drafts", "suspended"])),
            (of("blue", "reader"), "get_a_drafts", json!([])),
            (of("blue", "editor"), "get_a_draft", json!([])),
            (
                json!({ "tid": "blue", "client_id": "editor", "sub": "eve" }),
                "search",
                json!(["not-eve"]),
            ),
        ] {
            let stream = call(&vm, caller, tool);
            if forbidden == json!([]) {
                assert_passed(&stream, json!({ "rules": ["read"] }));
            } else {
                assert_hidden(&stream, "denied_by_rule", "server");
                assert_eq!(record(&stream)["rules"], forbidden);
            }
        }
        assert_eq!(listed(&vm, of("red", "editor"), "application/json"), [""; 0]);
        assert_eq!(listed(&vm, of("blue", "reader"), "application/json"), ["search", "get_a"]);
    }
}

#[test]
fn the_most_specific_name_decides_alone() {
    for (flag, mode) in MODES {
        let tools = json!({ "rules": [
            { "id": "all", "names": ["*"], "scopes": ["docs.read"] },
            { "id": "get", "names": ["get_*"], "scopes": ["docs.write"] },
            { "id": "public", "names": ["get_*_public"], "scopes": [] },
            { "id": "one", "names": ["get_one_public"], "scopes": ["nobody.has"] },
        ] });
        let vm = Vm::with(flag).start(policed(mode, json!({}), json!({ "tools": tools }))).unwrap();
        for (tool, rule, passes) in [
            ("other", "all", true),
            ("get_a", "get", false),
            ("get_a_public", "public", true),
            ("get_one_public", "one", false),
        ] {
            let stream = call(&vm, json!({}), tool);
            if passes {
                assert_passed(&stream, json!({ "rules": [rule] }));
            } else {
                assert_stopped(&stream, 403, json!({ "rules": [rule], "code": "scope_missing" }));
            }
        }
    }
}

#[test]
fn an_agent_is_held_to_its_prompts_and_resources_too() {
    for (flag, mode) in MODES {
        let agents = json!({
            "reader": {
                "match": ["client:reader"],
                "prompts": ["public_*"], "resources": ["docs://public/*"],
            },
            "editor": { "match": ["client:editor"] },
        });
        let server = json!({
            "methods": { "allow": ["prompts/list", "resources/list"] },
            "prompts": { "rules": [{ "names": ["*"], "scopes": ["docs.read"] }] },
            "resources": { "rules": [{ "uris": ["docs://*"], "scopes": ["docs.read"] }] },
        });
        let document = policed(mode, json!({ "agents": agents }), server);
        let vm = Vm::with(flag).start(document).unwrap();
        for (kind, key, method, names) in [
            ("prompts", "name", "prompts/get", ["public_a", "draft"]),
            ("resources", "uri", "resources/read", ["docs://public/a", "docs://drafts/a"]),
        ] {
            for (client, may) in [("reader", &names[..1]), ("editor", &names[..])] {
                let ask = |method: &str, params: Value| {
                    let body =
                        json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
                    send(&vm, post_as(&vm, json!({ "client_id": client })), &body.to_string())
                };
                let stream = ask(&format!("{kind}/list"), json!({}));
                let headers = [(":status", "200"), ("content-type", "application/json")];
                stream.response_headers(headers, false);
                let entries = |names: &[&str]| {
                    let entries: Vec<_> = names.iter().map(|name| json!({ key: name })).collect();
                    json!({ "jsonrpc": "2.0", "id": 7, "result": { kind: entries } }).to_string()
                };
                stream.response_body(entries(&names), true);
                assert_eq!(stream.downstream().text(), entries(may));
                for name in names {
                    let stream = ask(method, json!({ key: name }));
                    if may.contains(&name) {
                        assert_passed(&stream, json!({ "agent": client }));
                    } else {
                        assert_hidden(&stream, "agent_object_not_allowed", "agent");
                    }
                }
            }
        }
    }
}

#[test]
fn what_stands_behind_is_told_of_the_agent_and_nobody_else_can_tell_it() {
    for (flag, mode) in MODES {
        for (audit, in_headers, in_state) in [
            (json!({}), true, false),
            (json!({ "filter_state": true, "identity_headers": false }), false, true),
        ] {
            let mut document = catalogue(mode);
            document["audit"] = audit;
            let vm = Vm::with(flag).start(document).unwrap();
            for (call, knows_object) in
                [(call as fn(_, _, _) -> _, mode == "hold"), (call_modern, true)]
            {
                let stream = call(&vm, json!({ "client_id": "reader" }), "search");
                let (upstream, state) = (stream.upstream(), stream.filter_state());
                let facts = [
                    ("subject", "alice"),
                    ("issuer", ISSUER),
                    ("client_id", "reader"),
                    ("agent", "reader"),
                    ("scope", "docs.read"),
                    ("method", "tools/call"),
                    ("object", "search"),
                ];
                for (name, value) in facts {
                    // With the flag, the body is shown before the headers have to go.
                    let is_known = !["method", "object"].contains(&name) || knows_object;
                    let header = format!("x-countersign-{}", name.replace('_', "-"));
                    let header = upstream.header(&header);
                    let state = state.get(&format!("countersign.{name}"));
                    assert_eq!(header, Some(value).filter(|_| in_headers && is_known), "{name}");
                    let state = state.map(|value| String::from_utf8(value.clone()).unwrap());
                    assert_eq!(state.as_deref(), Some(value).filter(|_| in_state && is_known));
                }
                assert_passed(&stream, json!({}));
            }
            let forged = with(
                post_as(&vm, json!({ "client_id": "reader" })),
                "x-countersign-agent",
                "editor",
            );
            let stream = send(&vm, forged, &call_of("search"));
            let told = stream.upstream().header("x-countersign-agent").map(str::to_owned);
            assert_eq!(told.as_deref(), Some("reader").filter(|_| in_headers));
            // Of what is refused nothing is told.
            let stream = vm.stream();
            assert_eq!(stream.request_headers([(":method", "POST")], true), Outcome::Replied);
            assert!(stream.filter_state().is_empty());
        }
    }
}

#[test]
fn agents_of_no_catalogue_are_not_told_apart() {
    let document = policed("stream", json!({}), json!({ "tools": { "rules": rules() } }));
    let vm = Vm::with(HostFlag::Default).start(document).unwrap();
    for client in ["reader", "stranger"] {
        let stream = call(&vm, json!({ "client_id": client }), "search");
        assert_eq!(stream.upstream().header("x-countersign-agent"), None);
        assert_passed(&stream, json!({ "agent": null, "client_id": client }));
    }
}
