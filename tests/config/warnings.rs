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
