//! Odd documents: what the operator is told, word for word.

use serde_json::json;

use crate::support::{edited, load_value, minimal, p256_key};

#[test]
fn warnings_are_for_what_is_valid_and_hardly_meant() {
    for (pointer, value, expected) in [
        (
            "/servers/0/methods",
            json!({ "allow": [] }),
            "servers[0]: permits nothing: it has neither methods nor rules",
        ),
        (
            "/servers/0/methods/allow/0",
            json!("tool/list"),
            "servers[0].methods.allow[0]: is no method of MCP; did you mean `tools/list`?",
        ),
        (
            "/issuers/corp/token_types",
            json!(["JWT"]),
            "issuers.corp.token_types[0]: the issuer's ID tokens may be `JWT` too; prefer `at+jwt`",
        ),
        (
            "/issuers/corp/token_types",
            json!(["absent"]),
            "issuers.corp.token_types[0]: other JWTs of the issuer may have no type either; prefer `at+jwt`",
        ),
        (
            "/dpop_nonce_keys",
            json!([{ "env": "NONCE_KEY" }]),
            "dpop_nonce_keys: no server has nonces of `scope: cluster`",
        ),
        (
            "/session_keys",
            json!([{ "env": "SESSION_KEY" }]),
            "session_keys: no server allows `initialize`, which opens sessions",
        ),
        (
            "/servers/0/tasks",
            json!({ "binding": "proxy" }),
            "servers[0].tasks: no method of tasks is allowed, such as `tasks/get`",
        ),
        (
            "/servers/0/http_sse",
            json!({ "messages_path": "/messages" }),
            "servers[0].http_sse: is of no use: the server does not allow `initialize`",
        ),
        (
            "/issuers/old",
            json!({
                "issuer": "https://old.example", "algorithms": ["ES256"],
                "jwks": { "keys": [p256_key()] }
            }),
            "issuers.old: no server accepts its tokens",
        ),
    ] {
        let loaded = load_value(&edited(minimal(), pointer, Some(value))).unwrap();
        let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings, [expected]);
    }
}

#[test]
fn keys_of_sessions_and_a_binding_of_tasks_are_meant_where_there_are_any() {
    let keys = json!([{ "env": "SESSION_KEY" }]);
    for (allowed, member, value) in [
        ("initialize", "/session_keys", &keys),
        ("init*", "/session_keys", &keys),
        ("tasks/*", "/servers/0/tasks", &json!({ "binding": "proxy" })),
        ("tasks/update", "/servers/0/tasks", &json!({ "binding": "upstream" })),
        ("subscriptions/listen", "/servers/0/tasks", &json!({ "binding": "upstream" })),
    ] {
        let document = edited(minimal(), "/servers/0/methods/allow/0", Some(json!(allowed)));
        let loaded = load_value(&edited(document, member, Some(value.clone()))).unwrap();
        assert!(loaded.warnings.is_empty(), "{allowed}: {:?}", loaded.warnings);
    }
}

#[test]
fn a_server_that_binds_tasks_is_told_who_calls() {
    let document = edited(minimal(), "/servers/0/tasks", Some(json!({ "binding": "upstream" })));
    let document = edited(document, "/servers/0/methods/allow/0", Some(json!("tasks/get")));
    assert!(load_value(&document).unwrap().warnings.is_empty());
    let document = edited(document, "/audit", Some(json!({ "identity_headers": false })));
    let warnings = load_value(&document).unwrap().warnings;
    assert_eq!(
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "servers[0].tasks.binding: the server is not told who calls: `audit.identity_headers` is false"
        ]
    );
}
