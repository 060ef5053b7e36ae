//! Challenges to authenticate better: their bytes, and how often they are given.

use crate::callers::{assert_passed, assert_stopped, call, call_modern, merged, policed, refusal};
use crate::host::{Status, Stream, Vm, Which};
use crate::support::{MODES, workers};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::time::{Duration, UNIX_EPOCH};

const METADATA: &str = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp";

/// The configuration in which `delete` takes this, and the issuer is asked like that.
fn stepping(mode: &str, step_up: Value, challenge: &str) -> Value {
    let mut document = policed(
        mode,
        json!({ "issuers": { "corp": { "step_up": challenge } } }),
        json!({ "metadata": { "scopes_supported": ["mcp.connect"] } }),
    );
    document["servers"][0]["tools"]["rules"][1]["step_up"] = step_up;
    document
}

fn mfa() -> Value {
    json!({ "acr": ["phr", "mfa"], "max_age": "5m" })
}

/// A writer's claims, with others.
fn writer(other: Value) -> Value {
    merged(json!({ "scope": "docs.write" }), other)
}

fn challenge(stream: &Stream) -> Option<String> {
    stream.downstream().header("www-authenticate").map(str::to_owned)
}

#[test]
fn rfc_9470_3_a_client_is_told_what_its_user_has_to_do() {
    for (flag, mode) in MODES {
        for call in [call, call_modern] {
            let vm = Vm::with(flag).start(stepping(mode, mfa(), "rfc9470")).unwrap();
            let now = vm.now().duration_since(UNIX_EPOCH).unwrap().as_secs();
            let stream = call(&vm, writer(json!({ "acr": "pwd", "auth_time": now })), "delete");
            assert_stopped(&stream, 401, refusal("step_up_required", "user"));
            let expected = format!(
                "Bearer resource_metadata=\"{METADATA}\", \
                 error=\"insufficient_user_authentication\", scope=\"docs.write mcp.connect\", \
                 acr_values=\"phr mfa\", max_age=\"300\", \
                 error_description=\"Other or more recent authentication is needed\""
            );
            assert_eq!(challenge(&stream), Some(expected));
            for (acr, ago, passes) in
                [("mfa", 0, true), ("phr", 300, true), ("mfa", 301, false), ("pwd", 0, false)]
            {
                let stream =
                    call(&vm, writer(json!({ "acr": acr, "auth_time": now - ago })), "delete");
                if passes {
                    assert_passed(&stream, json!({ "acr": acr }));
                } else {
                    assert_stopped(&stream, 401, json!({ "code": "step_up_required" }));
                }
            }
            // Who lacks the scope too is asked for both at once.
            let stream = call(&vm, json!({ "scope": "docs.read", "sub": "bob" }), "delete");
            assert_stopped(&stream, 401, json!({ "scopes_required": ["docs.write"] }));
            assert!(challenge(&stream).unwrap().contains("docs.write"));
        }
    }
}

#[test]
fn a_client_that_does_not_step_up_is_told_three_times_by_all_workers_together() {
    for (flag, mode) in MODES {
        let [first, second] = workers(flag, &stepping(mode, mfa(), "rfc9470"));
        let code = |vm: &Vm, sub: &str, code: &str| {
            let stream = call(vm, writer(json!({ "sub": sub })), "delete");
            let status = if code == "step_up_required" { 401 } else { 403 };
            assert_stopped(
                &stream,
                status,
                json!({ "code": code, "policy_reason": "step_up_required" }),
            );
            assert_eq!(challenge(&stream).is_some(), status == 401);
        };
        for vm in [&first, &second, &first] {
            code(vm, "alice", "step_up_required");
        }
        for vm in [&first, &second] {
            code(vm, "alice", "step_up_exhausted");
            code(vm, "bob", "step_up_required");
        }
        // Other things she may do as before, and this when she did as she was told.
        assert_passed(&call(&first, json!({}), "search"), json!({}));
        let now = first.now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let stronger = writer(json!({ "acr": "mfa", "auth_time": now }));
        assert_passed(&call(&second, stronger, "delete"), json!({}));
        for vm in [&first, &second] {
            vm.advance(Duration::from_secs(300));
        }
        code(&second, "alice", "step_up_required");
    }
}

#[test]
fn entra_claims_challenges_go_to_clients_that_declared_cp1() {
    for (flag, mode) in MODES {
        let contexts = json!({ "contexts": ["c2", "c1"] });
        let vm = Vm::with(flag).start(stepping(mode, contexts, "claims")).unwrap();
        let capable = writer(json!({ "xms_cc": ["cp1"] }));
        let stream = call(&vm, capable.clone(), "delete");
        assert_stopped(&stream, 401, json!({ "code": "claims_required" }));
        let wanted = r#"{"access_token":{"acrs":{"essential":true,"value":"c2"}}}"#;
        let expected = format!(
            "Bearer resource_metadata=\"{METADATA}\", error=\"insufficient_claims\", \
             scope=\"docs.write mcp.connect\", claims=\"{}\"",
            STANDARD.encode(wanted)
        );
        assert_eq!(challenge(&stream), Some(expected));
        for other in [json!({}), json!({ "xms_cc": ["cp2"] }), json!({ "xms_cc": [] })] {
            let stream = call(&vm, writer(other), "delete");
            assert_stopped(&stream, 403, json!({ "code": "step_up_required" }));
            assert_eq!(challenge(&stream), None);
        }
        let mut met = capable;
        met["acrs"] = json!(["c1"]);
        assert_passed(&call(&vm, met, "delete"), json!({}));
    }
}

#[test]
fn where_challenges_cannot_be_counted_none_is_given() {
    for (flag, mode) in MODES {
        let vm = Vm::with(flag).start(stepping(mode, mfa(), "rfc9470")).unwrap();
        vm.fail_hostcall("proxy_get_shared_data", Which::All, Status::NOT_FOUND);
        let stream = call(&vm, writer(json!({})), "delete");
        assert_stopped(&stream, 403, json!({ "code": "step_up_exhausted" }));
        assert_eq!(challenge(&stream), None);
    }
}
