//! New policies on their way: in shadow, beside the one in force, and back for a while.

use crate::callers::{
    LIST, TOOLS, assert_hidden, assert_passed, assert_stopped, call, call_claiming, call_modern,
    listed, merged, policed, post_as, shown,
};
use crate::client::Client;
use crate::host::{Stream, Vm};
use crate::support::{CALL, MODES, RESOURCE, claims, post, record, send, sign, with};

use serde_json::{Value, json};
use std::time::Duration;

/// The configuration in shadow, as the document, the server or the rule for `delete` says it.
fn shadows(mode: &str) -> [Value; 3] {
    let shadow = || json!({ "mode": "shadow" });
    let mut by_rule = policed(mode, json!({}), json!({}));
    by_rule["servers"][0]["tools"]["rules"][1]["mode"] = json!("shadow");
    [policed(mode, shadow(), json!({})), policed(mode, json!({}), shadow()), by_rule]
}

/// The configuration in which that policy of tools, by name, has that use.
fn beside(mode: &str, used: Value, tools: Value) -> Value {
    let policies = json!({ "other": { "servers": { RESOURCE: { "tools": tools } } } });
    policed(mode, merged(json!({ "policies": policies }), used), json!({}))
}

#[test]
fn in_shadow_a_denial_is_recorded_and_counted_and_the_call_proceeds() {
    for (flag, mode) in MODES {
        for document in shadows(mode) {
            let vm = Vm::with(flag).start(document).unwrap();
            for (index, call) in [call, call_modern].into_iter().enumerate() {
                assert_passed(
                    &call(&vm, json!({}), "delete"),
                    json!({
                        "code": "allowed", "mode": "shadow", "would_deny": "scope_missing",
                        "policy_reason": "scope_missing", "refused_by": "user",
                        "rules": ["servers[0].tools.rules[1]"],
                    }),
                );
                let counted = vm.metric("countersign.shadow.denials.scope_missing");
                assert_eq!(counted, index as u64 + 1);
            }
            // What is permitted would not be denied.
            let writer = json!({ "scope": "docs.write" });
            assert_passed(&call(&vm, writer, "delete"), json!({ "would_deny": null }));
            assert_eq!(listed(&vm, json!({}), "text/event-stream")[..3], TOOLS[..3]);
        }
    }
}

#[test]
fn the_shadow_of_a_rule_is_on_nothing_else() {
    for (flag, mode) in MODES {
        let [document, _, by_rule] = shadows(mode);
        let vm = Vm::with(flag).start(by_rule).unwrap();
        assert_hidden(&call(&vm, json!({}), "wipe"), "no_rule", "server");
        let stream = call(&vm, json!({ "scope": "" }), "search");
        assert_stopped(&stream, 403, json!({ "mode": "enforce", "would_deny": null }));
        // And a rule that enforces does, whatever the rest of the document does.
        let mut document = document;
        document["servers"][0]["tools"]["rules"][1]["mode"] = json!("enforce");
        document["servers"][0]["tools"]["deny"] =
            json!([{ "names": ["get_*"], "mode": "enforce" }, { "names": ["get_a"] }]);
        let vm = Vm::with(flag).start(document).unwrap();
        assert_stopped(&call(&vm, json!({}), "delete"), 403, json!({ "mode": "enforce" }));
        assert_hidden(&call(&vm, json!({}), "get_a"), "denied_by_rule", "server");
        assert_passed(&call(&vm, json!({}), "wipe"), json!({ "would_deny": "object_unknown" }));
        assert_eq!(listed(&vm, json!({}), "application/json"), ["search", "publish", "wipe"]);
    }
}

#[test]
fn shadow_opens_nothing_to_who_is_not_known_or_cannot_be_read() {
    for (flag, mode) in MODES {
        let tasks = json!({ "allow": ["tasks/get"] });
        let server = json!({ "mode": "shadow", "dpop": { "mode": "optional" }, "methods": tasks });
        let document = policed(mode, json!({ "mode": "shadow" }), server);
        let vm = Vm::with(flag).start(document).unwrap();
        let good = || post_as(&vm, json!({}));
        let refused = |stream: &Stream, status: u16, code: &str| {
            assert_stopped(stream, status, json!({ "code": code, "would_deny": null }));
        };
        let mut without = good();
        without.retain(|(name, _)| *name != "authorization");
        refused(&send(&vm, without, CALL), 401, "token_missing");
        refused(&send(&vm, post(&sign("k2", &claims(&vm, ""))), CALL), 401, "token_key");
        refused(&call(&vm, json!({ "exp": 1 }), "search"), 401, "token_expired");
        // Who stole a bound token does not become its sender.
        let client = Client::eddsa(1);
        let bound = client.token(&vm, "docs.read");
        let stolen = with(post(&bound), "authorization", format!("DPoP {bound}"));
        refused(&send(&vm, stolen, CALL), 401, "dpop_missing");
        for (body, status, code) in [
            ("{", 400, "message_malformed"),
            (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#, 400, "message_malformed"),
            (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, 400, "message_malformed"),
        ] {
            refused(&send(&vm, good(), body), status, code);
        }
        let lying = call_claiming(&vm, json!({}), "search", "delete");
        refused(&lying, 400, "header_mismatch");
        let foreign = with(good(), "mcp-session-id", "not-sealed");
        refused(&send(&vm, foreign, CALL), 404, "session_unknown");
        let task = r#"{"jsonrpc":"2.0","id":7,"method":"tasks/get","params":{"taskId":"t1"}}"#;
        let stream = send(&vm, good(), task);
        assert_stopped(&stream, 200, json!({ "code": "task_unknown" }));
        let notification = r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"search"}}"#;
        let stream = send(&vm, good(), notification);
        assert_stopped(&stream, 403, json!({ "code": "notification_denied" }));
    }
}

#[test]
fn what_a_server_demands_of_senders_is_enforced_in_shadow_and_what_a_rule_does_is_not() {
    for (flag, mode) in MODES {
        let server = json!({ "mode": "shadow", "dpop": { "mode": "required" } });
        let vm = Vm::with(flag).start(policed(mode, json!({}), server)).unwrap();
        assert_stopped(
            &call(&vm, json!({}), "search"),
            401,
            json!({ "code": "token_not_sender_constrained" }),
        );
        let server = json!({ "mode": "shadow", "dpop": { "mode": "optional" } });
        let mut document = policed(mode, json!({}), server);
        document["servers"][0]["tools"]["rules"][0]["dpop"] = json!("required");
        let vm = Vm::with(flag).start(document).unwrap();
        let expected = json!({ "would_deny": "dpop_required", "sender": "bearer" });
        assert_passed(&call(&vm, json!({}), "search"), expected);
    }
}

#[test]
fn in_shadow_a_rate_is_counted_and_not_enforced() {
    for (flag, mode) in MODES {
        for mut document in shadows(mode) {
            document["servers"][0]["tools"]["rules"][1]["rates"] = json!([{ "limit": "1/h" }]);
            let vm = Vm::with(flag).start(document).unwrap();
            let delete = || call(&vm, json!({ "scope": "docs.write" }), "delete");
            // What would be denied would not be counted.
            for _ in 0..3 {
                let expected = json!({ "would_deny": "scope_missing", "rate_limit": null });
                assert_passed(&call(&vm, json!({}), "delete"), expected);
            }
            assert_passed(&delete(), json!({ "would_deny": null, "rate_limit": null }));
            let limit = "servers[0].tools.rules[1].rates[0]";
            let expected = json!({ "would_deny": "rate_limited", "rate_limit": limit });
            assert_passed(&delete(), expected);
            assert_eq!(vm.metric("countersign.shadow.denials.rate_limited"), 1);
        }
    }
}

#[test]
fn a_candidate_decides_for_the_record_alone() {
    for (flag, mode) in MODES {
        let tools = json!({ "rules": [
            { "id": "new-read", "names": ["get_*"], "scopes": ["docs.read"] },
            { "id": "new-search", "names": ["search"], "scopes": [], "roles": ["reader"] },
            { "id": "new-delete", "names": ["delete"], "scopes": [] },
            { "id": "new-wipe", "names": ["wipe"], "scopes": ["docs.wipe"] },
        ] });
        let vm =
            Vm::with(flag).start(beside(mode, json!({ "candidate": "other" }), tools)).unwrap();
        let said = |outcome: &str, code: &str, change: &str| {
            let said = json!({ "outcome": outcome, "code": code, "change": change });
            json!({ "candidate": merged(json!({ "policy": "other" }), said) })
        };
        let no_scope = || json!({ "scope": "" });
        assert_passed(&call(&vm, json!({}), "get_a"), said("allow", "allowed", "none"));
        assert_passed(&call(&vm, json!({}), "search"), said("deny", "role_missing", "would_deny"));
        let stream = call(&vm, json!({}), "delete");
        assert_stopped(&stream, 403, said("allow", "allowed", "would_allow"));
        let stream = call(&vm, json!({}), "wipe");
        assert_stopped(&stream, 200, said("deny", "scope_missing", "other_reason"));
        let stream = call(&vm, no_scope(), "get_a");
        assert_stopped(&stream, 403, said("deny", "scope_missing", "none"));
        for (change, count) in
            [("none", 2), ("would_deny", 1), ("would_allow", 1), ("other_reason", 1)]
        {
            assert_eq!(vm.metric(&format!("countersign.candidate.{change}")), count, "{change}");
        }
        // Lists are those of the policy in force.
        assert_eq!(listed(&vm, json!({}), "application/json"), ["search", "get_a"]);
    }
}

#[test]
fn a_candidate_takes_nothing_from_rates_and_challenges() {
    for (flag, mode) in MODES {
        let tools = json!({ "rules": [{
            "names": ["search"], "scopes": [], "step_up": { "acr": ["mfa"] },
            "rates": [{ "limit": "1/h" }],
        }] });
        let used = json!({ "candidate": "other" });
        let vm = Vm::with(flag).start(beside(mode, used, tools.clone())).unwrap();
        for _ in 0..5 {
            let stream = call(&vm, json!({}), "search");
            assert_passed(&stream, json!({ "code": "allowed" }));
            assert_eq!(record(&stream)["candidate"]["code"], "step_up_required");
            assert_passed(&call(&vm, json!({ "acr": "mfa" }), "search"), json!({}));
        }
    }
}

/// The configuration with a laxer policy that is back for an hour.
fn rolled_back(mode: &str) -> Value {
    let tools = json!({ "rules": [{ "id": "lax", "names": ["*"], "scopes": [] }] });
    // The clock of the host begins at 2026-01-01T00:00:00Z.
    let rollback = json!({ "policy": "other", "until": "2026-01-01T01:00:00Z" });
    beside(mode, json!({ "rollback": rollback }), tools)
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_rollback_is_in_force_until_its_time_and_ends_by_itself() {
    for (flag, mode) in MODES {
        let vm = Vm::with(flag).start(rolled_back(mode)).unwrap();
        let told = |what: &str| {
            vm.log().iter().filter(|line| line.level == 3 && line.message.contains(what)).count()
        };
        assert_eq!(told(r#"policy "other" is in force"#), 1);
        assert!(vm.log().iter().any(|line| line.message.ends_with("until 2026-01-01T01:00:00Z")));
        vm.advance(HOUR - Duration::from_nanos(1));
        vm.tick();
        let expected = json!({ "rollback": "other", "rules": ["lax"] });
        assert_passed(&call(&vm, json!({}), "delete"), expected);
        assert_eq!(listed(&vm, json!({}), "application/json"), TOOLS);
        assert_eq!(vm.metric("countersign.rollback.decisions"), 2);
        // Nobody has to do anything, not even tick.
        vm.advance(Duration::from_nanos(1));
        for call in [call, call_modern] {
            let stream = call(&vm, json!({}), "delete");
            assert_stopped(&stream, 403, json!({ "rollback": null, "code": "scope_missing" }));
        }
        assert_eq!(listed(&vm, json!({}), "application/json"), ["search", "get_a"]);
        assert_eq!(vm.metric("countersign.rollback.decisions"), 2);
        for _ in 0..3 {
            assert!(vm.tick(), "nobody would be told");
            assert_eq!(told(r#"the time of policy "other" is over"#), 1);
            assert_eq!(vm.metric("countersign.rollback.ended"), 1);
        }
    }
}

#[test]
fn a_rollback_that_is_over_when_a_worker_starts_is_in_force_at_no_time() {
    for (flag, mode) in MODES {
        let first = Vm::with(flag).start(rolled_back(mode)).unwrap();
        first.advance(HOUR);
        let late = Vm::with(flag).now(first.now()).start(rolled_back(mode)).unwrap();
        let stream = call(&late, json!({}), "delete");
        assert_stopped(&stream, 403, json!({ "rollback": null }));
        late.tick();
        let said = |what| late.log().iter().any(|line| line.message.contains(what));
        assert_eq!((said("is in force"), said("is over")), (false, true));
    }
}

#[test]
fn a_stream_keeps_the_policy_it_was_opened_under() {
    for (flag, mode) in MODES {
        let vm = Vm::with(flag).start(rolled_back(mode)).unwrap();
        let open = || {
            let lines = with(post_as(&vm, json!({})), ":method", "GET");
            let lines = with(lines, "mcp-protocol-version", "2025-11-25");
            let stream = vm.stream();
            stream.request_headers(with(lines, "last-event-id", "6"), true);
            stream
        };
        let list = || send(&vm, post_as(&vm, json!({})), LIST);
        let before = [list(), open()];
        // The headers came in time, the body did not.
        let between = vm.stream();
        between.request_headers(post_as(&vm, json!({})), false);
        vm.advance(HOUR);
        vm.tick();
        between.request_body(LIST, true);
        for stream in before.into_iter().chain([between]) {
            assert_eq!(shown(&stream, "text/event-stream"), TOOLS);
            assert_eq!(record(&stream)["rollback"], "other");
        }
        for stream in [list(), open()] {
            assert_eq!(shown(&stream, "text/event-stream"), TOOLS[..2]);
            assert_eq!(record(&stream)["rollback"], Value::Null);
        }
    }
}
