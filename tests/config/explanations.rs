//! `countersign explain`.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{countersign, edited};

/// A server with tools, a token's issuer, and another server.
fn configuration() -> Value {
    json!({
        "issuers": { "corp": {
            "issuer": "https://idp.example.com",
            "jwks": { "uri": "https://idp.example.com/jwks", "cluster": "idp" },
            "algorithms": ["ES256"], "max_token_lifetime": "1h"
        } },
        "servers": [{
            "resource": "https://mcp.example.com/mcp",
            "issuers": ["corp"],
            "methods": { "allow": ["tools/list", "notifications/*"] },
            "tools": { "rules": [
                { "names": ["read_*"], "scopes": ["docs.read"] },
                { "names": ["delete_record"], "scopes": ["docs.admin", "docs.read"] }
            ] }
        }]
    })
}

fn alice() -> Value {
    json!({
        "issuer": "corp",
        "claims": { "sub": "alice", "client_id": "editor", "scope": "docs.read mcp.connect" }
    })
}

/// Writes a file of the test with that name.
fn written(test: &str, name: &str, content: &Value) -> String {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test);
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, content.to_string()).unwrap();
    path.display().to_string()
}

/// Asks what becomes of a call.
fn explain(test: &str, caller: &Value, arguments: &[&str]) -> (Option<i32>, String, String) {
    explain_by(test, &configuration(), caller, arguments)
}

/// The same by another configuration.
fn explain_by(
    test: &str,
    configuration: &Value,
    caller: &Value,
    arguments: &[&str],
) -> (Option<i32>, String, String) {
    let config = written(test, "config.json", configuration);
    let mut all = vec!["explain", "--config", &config, "--caller", "-"];
    all.extend(arguments);
    countersign(&all, &caller.to_string())
}

#[test]
fn an_operation_is_explained_to_people() {
    let call = ["--method", "tools/call", "--name", "delete_record"];
    let (code, out, err) = explain("people", &alice(), &call);
    assert_eq!((code, err.as_str()), (Some(1), ""));
    let metadata = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp";
    let expected = format!(
        "\
subject     alice (user) of https://idp.example.com
client      editor
scopes      docs.read mcp.connect
decision    deny: scope_missing (side: user)
rules       servers[0].tools.rules[1]
needs       docs.admin docs.read
answer      HTTP 403
            www-authenticate: Bearer resource_metadata=\"{metadata}\", error=\"insufficient_scope\", scope=\"docs.admin docs.read\"
            {{\"error\":{{\"code\":403,\"message\":\"Insufficient scope\"}},\"id\":1,\"jsonrpc\":\"2.0\"}}
"
    );
    assert!(out.starts_with(&expected), "{out}");

    let call = ["--method", "tools/call", "--name", "read_all"];
    let (code, out, _) = explain("people", &alice(), &call);
    assert_eq!(code, Some(0));
    assert!(out.contains("decision    allow\n"), "{out}");
    assert!(out.contains("\nanswer      the server's\n"), "{out}");
}

#[test]
fn an_operation_is_explained_to_machines() {
    let call = ["--method", "tools/call", "--name", "delete_record", "--format", "json"];
    let (code, out, _) = explain("machines", &alice(), &call);
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, Some(1));
    for (member, expected) in [
        ("outcome", json!("deny")),
        ("reason", json!("scope_missing")),
        ("side", json!("user")),
        ("mode", json!("enforce")),
        ("rules", json!(["servers[0].tools.rules[1]"])),
        ("scopes", json!(["docs.admin", "docs.read"])),
    ] {
        assert_eq!(answer[member], expected, "{member}");
    }
    assert_eq!(answer["caller"]["subject"], "alice");
    assert_eq!(answer["response"]["status"], 403);
}

/// Claims are read and judged as those of every token.
#[test]
fn a_token_that_is_not_acceptable_is_refused_before_any_rule() {
    for (pointer, value, reason) in [
        ("/claims/aud", Some(json!("https://other.example.com")), "token_audience"),
        ("/claims/iss", Some(json!("https://other.example.com")), "token_issuer"),
        ("/claims/sub", None, "token_claim_missing"),
        ("/claims/scope", Some(json!({})), "token_claim_bad"),
        ("/claims/exp", Some(json!(1)), "token_expired"),
        ("/claims/iat", Some(json!(4_102_444_800_u64)), "token_issued_in_future"),
        ("/claims/exp", Some(json!(4_102_444_800_u64)), "token_lifetime"),
        ("/claims/cnf", Some(json!({ "kid": "1" })), "token_confirmation"),
    ] {
        let caller = edited(alice(), pointer, value);
        let call = ["--method", "tools/call", "--name", "read_all", "--format", "json"];
        let (code, out, _) = explain("refused", &caller, &call);
        let answer: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((code, &answer["response"]["status"]), (Some(1), &json!(401)), "{pointer}");
        assert_eq!(answer["reason"], reason, "{pointer}");
        assert_eq!((&answer["rules"], &answer["caller"]), (&json!([]), &Value::Null), "{pointer}");
    }
}

#[test]
fn times_are_compared_with_the_given_one() {
    let then = "2020-01-01T00:00:30Z";
    let claims = json!({ "iat": 1_577_836_800, "exp": 1_577_836_900 });
    let mut caller = alice();
    caller["claims"].as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    let call = ["--method", "tools/call", "--name", "read_all"];
    let at =
        |time: &'static str| explain("times", &caller, &[&call[..], &["--now", time]].concat());
    assert_eq!(at(then).0, Some(0));
    assert_eq!(at("2020-01-01T01:00:00Z").0, Some(1));
    assert_eq!(explain("times", &caller, &call).0, Some(1));
}

#[test]
fn the_revision_decides_how_a_denial_is_told() {
    let status = |method: &str, revision: &str| {
        let call = ["--method", method, "--revision", revision, "--format", "json"];
        let (_, out, _) = explain("revisions", &alice(), &call);
        serde_json::from_str::<Value>(&out).unwrap()["response"]["status"].clone()
    };
    assert_eq!(status("prompts/list", "2025-11-25"), 200);
    assert_eq!(status("prompts/list", "2026-07-28"), 404);
    // A method that the revision does not have is refused before policy is asked.
    assert_eq!(status("ping", "2026-07-28"), 404);
    assert_eq!(status("notifications/initialized", "2025-11-25"), Value::Null);
}

#[test]
fn what_cannot_be_asked_is_told_so() {
    let call = ["--method", "tools/call", "--name", "read_all"];
    for (pointer, value, told) in [
        (
            "/issuer",
            json!("crop"),
            "-: issuer: no issuer is named \"crop\"; did you mean `corp`?\n",
        ),
        ("/claim", json!({}), "-: claim: unknown member `claim`; did you mean `claims`?\n"),
        ("/workload", json!("spiffe:x"), "-: workload: is no SPIFFE ID: "),
        (
            "/headers",
            json!({ "Mcp-Session-Id": "1" }),
            "-: headers.Mcp-Session-Id: no decision looks at this header",
        ),
    ] {
        let (code, out, err) = explain("usage", &edited(alice(), pointer, Some(value)), &call);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{pointer}");
        assert!(err.starts_with(told), "{err}");
    }
    for (arguments, told) in [
        (&["--method", "ping", "--name", "x"][..], "--method: `ping` takes no name"),
        (&["--method", "ping", "--revision", "2024"], "--method: no revision is 2024; known are "),
        (&["--method", "ping", "--now", "noon"], "--now: is no time such as "),
        (&["--method", "ping", "--server", "x"], "--server: no server is named \"x\"; known are "),
    ] {
        let (code, out, err) = explain("usage", &alice(), arguments);
        assert_eq!((code, out.as_str()), (Some(2), ""));
        assert!(err.starts_with(told), "{err}");
    }
    let mut two = configuration();
    let mut other = two["servers"][0].clone();
    other["resource"] = json!("https://mcp.example.com/other");
    two["servers"].as_array_mut().unwrap().push(other);
    let config = written("usage", "two.json", &two);
    let arguments = ["explain", "--config", &config, "--caller", "-", "--method", "ping"];
    let (code, _, err) = countersign(&arguments, &alice().to_string());
    assert_eq!(code, Some(2));
    assert!(err.starts_with("--server: is needed: "), "{err}");
}

/// In `stream`, with an exchange for the server and one that a rule names.
fn exchanging() -> Value {
    let mut document = configuration();
    document["exchanges"] = json!({
        "docs": {
            "profile": "token_exchange",
            "uri": "https://idp.example.com/token", "cluster": "idp",
            "client": { "method": "injected" },
            "audience": ["docs"], "server_scopes": ["docs.connect"]
        },
        "sealed": { "profile": "injected" }
    });
    document["servers"][0]["exchange"] = json!("docs");
    document["servers"][0]["methods"] =
        json!({ "allow": ["initialize", "tools/list", "notifications/*"] });
    document["servers"][0]["tools"] = json!({ "rules": [
        { "names": ["read_*"], "scopes": ["docs.read"] },
        { "names": ["find"], "scopes": ["docs.read"], "server_wide_exchange": true },
        { "names": ["connect"], "scopes": [], "downstream_scopes": ["docs.connect"] },
        { "names": ["sealed"], "scopes": [], "exchange": "sealed" }
    ] });
    document
}

#[test]
fn the_credential_that_goes_on_is_explained() {
    let explained = |document: &Value, revision: &str, tool: &str| {
        let call = ["--method", "tools/call", "--name", tool, "--revision", revision];
        explain_by("credential", document, &alice(), &call)
    };
    let (modern, older) = ("2026-07-28", "2025-11-25");
    let refused = "\n            in stream, for clients older than 2026-07-28: none, and so they are refused\n";
    let (code, out, _) = explained(&exchanging(), modern, "read_all");
    assert_eq!(code, Some(0));
    let expected =
        format!("\ncredential  by exchange docs, for docs.read{refused}answer      the server's\n");
    assert!(out.contains(&expected), "{out}");
    let (code, out, _) = explained(&exchanging(), older, "read_all");
    let expected = "\ndecision    deny: exchange_needs_hold; takes a credential by exchange docs, for docs.read, and in `stream` is not known in time\nrules       servers[0].tools.rules[0]\nanswer      HTTP 403\n";
    assert!(code == Some(1) && out.contains(expected), "{out}");

    let (code, out, _) = explained(&exchanging(), modern, "find");
    let expected = "\ncredential  by exchange docs, for docs.read\n            in stream, for clients older than 2026-07-28: that for docs.connect\nanswer      the server's\n";
    assert!(code == Some(0) && out.contains(expected), "{out}");
    let (code, out, _) = explained(&exchanging(), older, "find");
    let expected = "\ncredential  by exchange docs, for docs.connect\n            of no use without docs.read\nanswer      the server's\n";
    assert!(code == Some(0) && out.contains(expected), "{out}");

    for revision in [modern, older] {
        let (code, out, _) = explained(&exchanging(), revision, "connect");
        let expected =
            "\ncredential  by exchange docs, for docs.connect\nanswer      the server's\n";
        assert!(code == Some(0) && out.contains(expected), "{out}");
        let hold = edited(exchanging(), "/host_mode", Some(json!("hold")));
        let (code, out, _) = explained(&hold, revision, "read_all");
        let expected = "\ncredential  by exchange docs, for docs.read\nanswer      the server's\n";
        assert!(code == Some(0) && out.contains(expected), "{out}");
        let (code, out, _) = explained(&hold, revision, "sealed");
        let expected = "\ncredential  the cluster's own (sealed)\nanswer      the server's\n";
        assert!(code == Some(0) && out.contains(expected), "{out}");
    }
    // The server's credential is not for the cluster that has its own.
    let (code, out, _) = explained(&exchanging(), older, "sealed");
    assert!(code == Some(1) && out.contains("exchange_needs_hold"), "{out}");

    // What is denied goes nowhere.
    let (code, out, _) = explained(&exchanging(), modern, "delete_record");
    assert!(code == Some(1) && !out.contains("credential"), "{out}");

    let mut one = edited(exchanging(), "/exchanges/docs/scopes", Some(json!("per_server")));
    one["exchanges"]["docs"]["server_scopes"] = json!(["docs.connect", "docs.read"]);
    one["servers"][0]["tools"] = json!({ "rules": [
        { "names": ["*"], "scopes": [], "downstream_scopes": ["docs.read"] }
    ] });
    let (code, out, _) = explained(&one, older, "find");
    let expected = "\ncredential  by exchange docs, for docs.connect docs.read\n            of no use without docs.read\nanswer      the server's\n";
    assert!(code == Some(0) && out.contains(expected), "{out}");

    let call = ["--method", "tools/call", "--name", "read_all"];
    let call = [&call[..], &["--revision", modern, "--format", "json"]].concat();
    let (_, out, _) = explain_by("credential", &exchanging(), &alice(), &call);
    let expected = json!({
        "name": "docs", "is_asked_for": true, "scopes": ["docs.read"], "needs": ["docs.read"],
        "older_clients": "refused"
    });
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["exchange"], expected);
}

/// What a claim says reaches the terminal without commands to it.
#[test]
fn claims_cannot_write_to_the_terminal() {
    let caller = edited(alice(), "/claims/scope", Some(json!("docs.read")));
    let call = ["--method", "tools/call", "--name", "x\u{1b}[2Jy"];
    let (_, out, _) = explain("terminal", &caller, &call);
    assert!(out.contains("no_rule") && !out.contains('\u{1b}'), "{out:?}");
}
