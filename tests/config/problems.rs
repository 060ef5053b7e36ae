//! Bad documents: what the operator is told, word for word.

use countersign::config::load;
use serde_json::{Value, json};

use crate::support::{assert_told, edited, full, load_value, minimal, p256_key, secrets};

#[test]
fn what_is_no_json_is_refused() {
    let text = minimal().to_string();
    for (document, expected) in [
        (String::new(), "not well-formed JSON: EOF while parsing a value at line 1 column 0"),
        (
            "{\"a\": 1,\n }".to_owned(),
            "not well-formed JSON: key must be a string at line 2 column 2",
        ),
        (text.replacen('{', "{\"servers\":[],", 1), "duplicate member name"),
        (format!("\u{feff}{text}"), "starts with a byte order mark"),
        ("[".repeat(100), "nested too deeply"),
        (" ".repeat(1024 * 1024 + 1), "larger than 1048576 bytes"),
        ("[]".to_owned(), "expected an object, found an array"),
    ] {
        assert_eq!(load(document.as_bytes(), &secrets()).unwrap_err().to_string(), expected);
    }
    assert_eq!(load(b"\xff", &secrets()).unwrap_err().to_string(), "not UTF-8");
}

#[test]
fn all_problems_are_told_at_once() {
    let document = edited(minimal(), "/servers/0/issuers", Some(json!([])));
    let document = edited(document, "/issuers/corp/clock_skew", Some(json!("1h")));
    assert_eq!(
        load_value(&document).unwrap_err(),
        "issuers.corp.clock_skew: must be from 0s to 5m\nservers[0].issuers: is empty: at least one is needed"
    );
}

#[test]
fn keys_are_never_repeated() {
    let mut private = p256_key();
    private["d"] = json!("SECRET");
    for (pointer, value) in [
        ("/issuers/corp/jwks", json!("SECRET")),
        ("/issuers/corp/jwks", json!({ "keys": "SECRET" })),
        ("/issuers/corp/jwks", json!({ "keys": { "SECRET": "SECRET" } })),
        ("/issuers/corp/jwks", json!({ "keys": [private] })),
        ("/issuers/corp/jwks", json!({ "keys": ["SECRET"] })),
        ("/issuers/corp/jwks", private.clone()),
        ("/issuers/corp/jwks/timeout", json!("SECRET")),
    ] {
        let error = load_value(&edited(minimal(), pointer, Some(value))).unwrap_err();
        assert!(error.starts_with("issuers.corp.jwks"), "{error}");
        assert!(!error.contains("SECRET"), "{error}");
    }
    let mut document = minimal();
    document["issuers"]["corp"]["jwks"] = json!({ "keys": [p256_key()] });
    assert!(!format!("{:?}", load_value(&document).unwrap()).contains("MKBCTN"));
}

#[test]
fn lists_are_bounded() {
    let many = |count: usize| (0..count).map(|n| json!(format!("n{n}"))).collect::<Value>();
    for (pointer, path) in [
        ("/servers/0/issuers", "servers[0].issuers"),
        ("/servers/0/methods/allow", "servers[0].methods.allow"),
        ("/servers/0/tools/rules/0/names", "servers[0].tools.rules[0].names"),
        ("/servers/0/tools/rules/0/scopes", "servers[0].tools.rules[0].scopes"),
    ] {
        let error = load_value(&edited(full(), pointer, Some(many(1025)))).unwrap_err();
        let expected = format!("{path}: has 1025 entries; at most 1024 are taken");
        assert!(error.contains(&expected), "{error}");
    }
    assert!(
        load_value(&edited(full(), "/servers/0/tools/rules/0/names", Some(many(1024)))).is_ok()
    );
    let long = json!(["n".repeat(2049)]);
    let error = load_value(&edited(full(), "/servers/0/tools/rules/0/names", Some(long)));
    assert_eq!(error.unwrap_err(), "servers[0].tools.rules[0].names[0]: is longer than 2048 bytes");
    let mut issuers = full();
    for n in 0..61 {
        let issuer = format!("https://i{n}.example");
        issuers["issuers"][format!("i{n}")] =
            json!({ "issuer": issuer, "algorithms": ["ES256"], "jwks": { "keys": [p256_key()] } });
    }
    assert_eq!(load_value(&issuers).unwrap_err(), "issuers: has 65 entries; at most 64 are taken");
}

/// Every rule of the document, broken once: what is edited into the full document, and all
/// that is told about it.
#[test]
fn what_is_wrong_is_told_with_its_place_and_what_to_write() {
    let cases: &[(&str, Option<Value>, &[&str])] = &[
        (
            "/host_mode",
            Some(json!("hodl")),
            &["host_mode: unknown value `hodl`; did you mean `hold`?"],
        ),
        (
            "/host_mod",
            Some(json!("hold")),
            &["host_mod: unknown member `host_mod`; did you mean `host_mode`?"],
        ),
        (
            "/exchange",
            Some(json!({})),
            &["exchange: unknown member `exchange`; did you mean `exchanges`?"],
        ),
        ("/host_mode", Some(json!(1)), &["host_mode: expected a string, found a number"]),
        ("/issuers", None, &["missing member `issuers`"]),
        (
            "/issuers",
            Some(json!({})),
            &[
                "issuers: is empty: at least one is needed",
                "servers[0].issuers[0]: no issuer is named \"partner\"",
                "servers[0].issuers[1]: no issuer is named \"corp\"",
                "servers[1].issuers[0]: no issuer is named \"corp\"",
                "servers[1].issuers[1]: no issuer is named \"tenants\"",
                "servers[1].issuers[2]: no issuer is named \"vault\"",
            ],
        ),
        ("/issuers", Some(json!([])), &["issuers: expected an object, found an array"]),
        ("/servers", Some(json!([])), &["servers: is empty: at least one is needed"]),
        ("/servers", Some(json!({})), &["servers: expected an array, found an object"]),
        (
            "/audit/log",
            Some(json!("jsonl")),
            &["audit.log: unknown value `jsonl`; did you mean `json`?"],
        ),
        (
            "/audit/identity_headers",
            Some(json!("yes")),
            &["audit.identity_headers: expected true or false, found a string"],
        ),
        (
            "/issuers/corp/algoritms",
            Some(json!(["ES256"])),
            &["issuers.corp.algoritms: unknown member `algoritms`; did you mean `algorithms`?"],
        ),
        (
            "/issuers/corp/algorithms",
            None,
            &[
                "issuers.corp.algorithms: say which algorithms the issuer signs with, such as `[\"ES256\"]`",
            ],
        ),
        (
            "/issuers/corp/algorithms",
            Some(json!([])),
            &["issuers.corp.algorithms: is empty: at least one is needed"],
        ),
        (
            "/issuers/corp/algorithms",
            Some(json!(["none"])),
            &[
                "issuers.corp.algorithms[0]: unknown value `none`; known are ES256, ES384, ES512, RS256, RS384, RS512, PS256, PS384, PS512, EdDSA",
            ],
        ),
        (
            "/issuers/corp/algorithms",
            Some(json!(["HS256"])),
            &[
                "issuers.corp.algorithms[0]: unknown value `HS256`; known are ES256, ES384, ES512, RS256, RS384, RS512, PS256, PS384, PS512, EdDSA",
            ],
        ),
        (
            "/issuers/corp/algorithms",
            Some(json!(["es256"])),
            &["issuers.corp.algorithms[0]: unknown value `es256`; did you mean `ES256`?"],
        ),
        (
            "/issuers/corp/algorithms",
            Some(json!(["ES256", "ES256"])),
            &["issuers.corp.algorithms[1]: is given twice"],
        ),
        (
            "/issuers/corp/issuer",
            Some(json!("http://idp.example.com")),
            &["issuers.corp.issuer: must be https; http is for loopback hosts only"],
        ),
        (
            "/issuers/corp/issuer",
            Some(json!("https://idp.example.com?tenant=a")),
            &["issuers.corp.issuer: has a query (`?`), which issuer identifiers cannot have"],
        ),
        (
            "/issuers/corp/issuer",
            Some(json!("https://idp.example.com#a")),
            &["issuers.corp.issuer: has a fragment (`#`), which is never sent"],
        ),
        (
            "/issuers/corp/issuer",
            Some(json!("idp.example.com")),
            &["issuers.corp.issuer: is not an absolute URL such as `https://mcp.example.com/mcp`"],
        ),
        (
            "/issuers/corp/issuer",
            Some(json!("https://login.partner.example/realms/a%20b/")),
            &["issuers.partner.issuer: is also the issuer of issuers.corp: `iss` must mean one"],
        ),
        (
            "/issuers/corp/clock_skew",
            Some(json!("6m")),
            &["issuers.corp.clock_skew: must be from 0s to 5m"],
        ),
        (
            "/issuers/corp/clock_skew",
            Some(json!(30)),
            &[
                "issuers.corp.clock_skew: expected a length of time such as \"30s\" or \"5m\", found a number",
            ],
        ),
        (
            "/issuers/corp/clock_skew",
            Some(json!("30")),
            &["issuers.corp.clock_skew: expected a length of time such as \"30s\" or \"5m\""],
        ),
        (
            "/issuers/corp/token_types",
            Some(json!([])),
            &["issuers.corp.token_types: is empty: at least one is needed"],
        ),
        (
            "/issuers/corp/token_types",
            Some(json!(["at jwt"])),
            &["issuers.corp.token_types[0]: is no media type such as `at+jwt`"],
        ),
        (
            "/issuers/corp/jwks",
            Some(json!({})),
            &["issuers.corp.jwks: needs `uri` or `discovery`, with a `cluster`, or `keys`"],
        ),
        (
            "/issuers/corp/jwks/cluster",
            None,
            &["issuers.corp.jwks.cluster: name the Envoy cluster through which `uri` is reached"],
        ),
        (
            "/issuers/corp/jwks/cluster",
            Some(json!("")),
            &["issuers.corp.jwks.cluster: name the Envoy cluster through which `uri` is reached"],
        ),
        (
            "/issuers/corp/jwks/uri",
            None,
            &["issuers.corp.jwks: needs `uri` or `discovery`, with a `cluster`, or `keys`"],
        ),
        (
            "/issuers/corp/jwks/uri",
            Some(json!("http://idp.example.com/jwks")),
            &["issuers.corp.jwks.uri: must be https; http is for loopback hosts only"],
        ),
        (
            "/issuers/corp/jwks/uri",
            Some(json!("https://user@idp.example.com/jwks")),
            &[
                "issuers.corp.jwks.uri: has user information (`@`); whose host it is would be a matter of reading",
            ],
        ),
        (
            "/issuers/corp/jwks/timeout",
            Some(json!("11s")),
            &["issuers.corp.jwks.timeout: must be from 10ms to 10s"],
        ),
        (
            "/issuers/corp/jwks/timeout",
            Some(json!("0s")),
            &["issuers.corp.jwks.timeout: must be from 10ms to 10s"],
        ),
        (
            "/issuers/corp/jwks/refresh",
            Some(json!("29s")),
            &["issuers.corp.jwks.refresh: must be from 30s to 1day"],
        ),
        (
            "/issuers/corp/jwks/refresh",
            Some(json!("25h")),
            &["issuers.corp.jwks.refresh: must be from 30s to 1day"],
        ),
        (
            "/issuers/corp/jwks/keys",
            Some(json!([])),
            &["issuers.corp.jwks: has more than one of `uri`, `discovery` and `keys`; keep one"],
        ),
        (
            "/issuers/partner/jwks/keys",
            Some(json!([])),
            &[
                "issuers.partner.jwks.keys: no usable key (of the issuer's `algorithms`, and public)",
            ],
        ),
        (
            "/issuers/partner/jwks/cluster",
            Some(json!("idp")),
            &["issuers.partner.jwks.cluster: is of no use with `keys`; leave it out"],
        ),
        (
            "/issuers/partner/algorithms",
            Some(json!(["RS256"])),
            &[
                "issuers.partner.jwks.keys: no usable key (of the issuer's `algorithms`, and public)",
            ],
        ),
        (
            "/issuers/a.b",
            Some(
                json!({"issuer": "https://x.example", "algorithms": ["ES256"], "jwks": {"uri": "https://x.example/", "cluster": "x"}}),
            ),
            &["issuers.a.b: a name is 1 to 64 letters, digits, `-` and `_`"],
        ),
        ("/servers/0/resource", None, &["servers[0]: missing member `resource`"]),
        (
            "/servers/0/resource",
            Some(json!("https://MCP.example.com/mcp")),
            &[
                "servers[0].resource: is compared byte for byte and so must be in canonical form; write `https://mcp.example.com/mcp`",
            ],
        ),
        (
            "/servers/0/resource",
            Some(json!("HTTPS://mcp.example.com/mcp")),
            &[
                "servers[0].resource: is compared byte for byte and so must be in canonical form; write `https://mcp.example.com/mcp`",
            ],
        ),
        (
            "/servers/0/resource",
            Some(json!("https://mcp.example.com:443/mcp")),
            &[
                "servers[0].resource: is compared byte for byte and so must be in canonical form; write `https://mcp.example.com/mcp`",
            ],
        ),
        (
            "/servers/0/resource",
            Some(json!("https://mcp.example.com/mcp/")),
            &[
                "servers[0].resource: is compared byte for byte and so must be in canonical form; write `https://mcp.example.com/mcp`",
            ],
        ),
        (
            "/servers/0/resource",
            Some(json!("https://mcp.example.com/mcp?a=b")),
            &[
                "servers[0].resource: has a query (`?`); servers are told apart by authority and path alone",
            ],
        ),
        (
            "/servers/0/resource",
            Some(json!("https://mcp.example.com/mcp#a")),
            &["servers[0].resource: has a fragment (`#`), which is never sent"],
        ),
        (
            "/servers/0/resource",
            Some(json!("https://u:p@mcp.example.com/mcp")),
            &[
                "servers[0].resource: has user information (`@`); whose host it is would be a matter of reading",
            ],
        ),
        (
            "/servers/0/resource",
            Some(json!("https://mcp.example.com/a/../mcp")),
            &["servers[0].resource: has a segment `.` or `..`, which clients and proxies resolve"],
        ),
        (
            "/servers/0/resource",
            Some(json!("https://mcp.example.com//mcp")),
            &["servers[0].resource: has an empty segment (`//`), which proxies merge"],
        ),
        (
            "/servers/0/resource",
            Some(json!("https://mcp.example.com/%6Dcp")),
            &[
                "servers[0].resource: is compared byte for byte: no query, no `*`, no percent-encoding",
            ],
        ),
        (
            "/servers/0/resource",
            Some(json!("https://mcp.example.com/m cp")),
            &["servers[0].resource: has a character that must be percent-encoded in a URL"],
        ),
        (
            "/servers/0/resource",
            Some(json!("https://mcp.example.com:0/mcp")),
            &["servers[0].resource: has a port that is not a number from 1 to 65535"],
        ),
        (
            "/servers/0/resource",
            Some(json!("https://mcp.example.com:+443/mcp")),
            &["servers[0].resource: has a port that is not a number from 1 to 65535"],
        ),
        (
            "/servers/0/resource",
            Some(json!("https://mcp.example.com./mcp")),
            &[
                "servers[0].resource: has no host name or IP address (names outside ASCII are written in Punycode)",
            ],
        ),
        (
            "/servers/0/resource",
            Some(json!("https://")),
            &[
                "servers[0].resource: has no host name or IP address (names outside ASCII are written in Punycode)",
            ],
        ),
        (
            "/servers/0/resource",
            Some(json!("https://[::1/mcp")),
            &[
                "servers[0].resource: has no host name or IP address (names outside ASCII are written in Punycode)",
            ],
        ),
        (
            "/servers/0/resource",
            Some(json!("https://[0:0::1]/mcp")),
            &[
                "servers[0].resource: is compared byte for byte and so must be in canonical form; write `https://[::1]/mcp`",
            ],
        ),
        (
            "/servers/0/resource",
            Some(json!("http://mcp.example.com/mcp")),
            &["servers[0].resource: must be https; http is for loopback hosts only"],
        ),
        (
            "/servers/0/resource",
            Some(json!("ftp://mcp.example.com/mcp")),
            &["servers[0].resource: must be https; http is for loopback hosts only"],
        ),
        (
            "/servers/0/resource",
            Some(json!("/mcp")),
            &["servers[0].resource: is not an absolute URL such as `https://mcp.example.com/mcp`"],
        ),
        (
            "/servers/0/resource",
            Some(json!("https://other.example.com")),
            &[
                "servers[1].resource: is also that of servers[0]: a token for one would be good for both",
            ],
        ),
        (
            "/servers/0/match",
            Some(json!({"authorities": []})),
            &[
                "servers[0].match.authorities: unknown member `authorities`; did you mean `authority`?",
            ],
        ),
        (
            "/servers/0/match/authority",
            Some(json!([])),
            &["servers[0].match.authority: is empty: at least one is needed"],
        ),
        (
            "/servers/0/match/authority",
            Some(json!(["MCP.internal", "mcp.internal:443", "*.internal", "https://mcp.internal"])),
            &[
                "servers[0].match.authority[0]: must be lowercase and without the default port; write `mcp.internal`",
                "servers[0].match.authority[1]: must be lowercase and without the default port; write `mcp.internal`",
                "servers[0].match.authority[2]: has no host name or IP address (names outside ASCII are written in Punycode)",
                "servers[0].match.authority[3]: is `host` or `host:port`, without scheme and path",
            ],
        ),
        (
            "/servers/0/match/path",
            Some(json!("mcp")),
            &["servers[0].match.path: must start with `/`"],
        ),
        (
            "/servers/0/match/path",
            Some(json!("/mcp/*")),
            &[
                "servers[0].match.path: is compared byte for byte: no query, no `*`, no percent-encoding",
            ],
        ),
        (
            "/servers/0/match/path",
            Some(json!("/mcp?a")),
            &[
                "servers[0].match.path: is compared byte for byte: no query, no `*`, no percent-encoding",
            ],
        ),
        (
            "/servers/0/match/path",
            Some(json!("/a/./b")),
            &[
                "servers[0].match.path: has a segment `.` or `..`, which clients and proxies resolve",
            ],
        ),
        (
            "/servers/0/match/path",
            Some(json!("/.well-known/oauth-protected-resource/mcp")),
            &[
                "servers[0].match.path: is where metadata documents are served, without authentication",
            ],
        ),
        (
            "/servers/0/match",
            Some(json!({"authority": ["other.example.com"], "path": "/"})),
            &["servers[1]: requests for other.example.com/ are also for servers[0]"],
        ),
        (
            "/servers/1/match",
            Some(json!({"authority": ["mcp.internal:8443"], "path": "/v1/mcp/"})),
            &["servers[1]: requests for mcp.internal:8443/v1/mcp/ are also for servers[0]"],
        ),
        (
            "/servers/0/issuers",
            Some(json!([])),
            &["servers[0].issuers: is empty: at least one is needed"],
        ),
        (
            "/servers/0/issuers",
            Some(json!(["crop"])),
            &["servers[0].issuers[0]: no issuer is named \"crop\"; did you mean `corp`?"],
        ),
        (
            "/servers/0/issuers",
            Some(json!(["zzz"])),
            &["servers[0].issuers[0]: no issuer is named \"zzz\""],
        ),
        (
            "/servers/0/issuers",
            Some(json!(["corp", "corp"])),
            &["servers[0].issuers[1]: is given twice"],
        ),
        (
            "/servers/0/allowed_origins",
            Some(json!([
                "*",
                "null",
                "https://app.example.com/",
                "https://App.example.com",
                "app.example.com"
            ])),
            &[
                "servers[0].allowed_origins[0]: would let any page call the server; name the origins",
                "servers[0].allowed_origins[1]: would let any page call the server; name the origins",
                "servers[0].allowed_origins[2]: must be as browsers send it; write `https://app.example.com`",
                "servers[0].allowed_origins[3]: must be as browsers send it; write `https://app.example.com`",
                "servers[0].allowed_origins[4]: is not an absolute URL such as `https://mcp.example.com/mcp`",
            ],
        ),
        (
            "/servers/0/metadata/scopes_supported",
            Some(json!(["offline_access"])),
            &[
                "servers[0].metadata.scopes_supported[0]: MCP: a server does not ask for `offline_access`; clients decide on it",
            ],
        ),
        (
            "/servers/0/metadata/scopes_supported",
            Some(json!(["a b", "a\"b", "", "a\\b", "é"])),
            &[
                "servers[0].metadata.scopes_supported[0]: has a space; write each scope as an entry of its own",
                "servers[0].metadata.scopes_supported[1]: has a character that scopes cannot have (RFC 6749 section 3.3)",
                "servers[0].metadata.scopes_supported[2]: is empty",
                "servers[0].metadata.scopes_supported[3]: has a character that scopes cannot have (RFC 6749 section 3.3)",
                "servers[0].metadata.scopes_supported[4]: has a character that scopes cannot have (RFC 6749 section 3.3)",
            ],
        ),
        (
            "/servers/0/metadata/resource_name",
            Some(json!("")),
            &["servers[0].metadata.resource_name: is empty"],
        ),
        (
            "/servers/0/metadata/authorization_servers",
            Some(json!([])),
            &["servers[0].metadata.authorization_servers: is empty: at least one is needed"],
        ),
        (
            "/servers/0/metadata/authorization_servers",
            Some(json!(["http://idp.example.com"])),
            &[
                "servers[0].metadata.authorization_servers[0]: must be https; http is for loopback hosts only",
            ],
        ),
        (
            "/servers/0/methods",
            Some(json!({"alow": []})),
            &["servers[0].methods.alow: unknown member `alow`; did you mean `allow`?"],
        ),
        (
            "/servers/0/methods/allow",
            Some(json!([
                "*",
                "tools/*",
                "t*",
                "tools/call",
                "completion/complete",
                "resources/subscribe",
                "",
                "a*b",
                "ping",
                "ping"
            ])),
            &[
                "servers[0].methods.allow[9]: is given twice",
                "servers[0].methods.allow[0]: would allow methods that nobody here knows; name them",
                "servers[0].methods.allow[1]: covers `tools/call`, on which the rules of `tools` decide; name the methods one by one",
                "servers[0].methods.allow[2]: covers `tools/call`, on which the rules of `tools` decide; name the methods one by one",
                "servers[0].methods.allow[3]: the rules of `tools` decide on it; leave it out here",
                "servers[0].methods.allow[4]: the rules of `prompts` and `resources` decide on it; leave it out here",
                "servers[0].methods.allow[5]: the rules of `resources` decide on it; leave it out here",
                "servers[0].methods.allow[6]: is empty",
                "servers[0].methods.allow[7]: has a `*` that is not its last character",
            ],
        ),
        (
            "/servers/0/tools",
            Some(json!({ "rule": [] })),
            &["servers[0].tools.rule: unknown member `rule`; did you mean `rules`?"],
        ),
        (
            "/servers/0/tools/rules/0",
            Some(json!({"names": ["a"]})),
            &["servers[0].tools.rules[0]: missing member `scopes`"],
        ),
        (
            "/servers/0/tools/rules/0",
            Some(json!({"names": [], "scopes": []})),
            &["servers[0].tools.rules[0].names: is empty: at least one is needed"],
        ),
        (
            "/servers/0/tools/rules/0",
            Some(json!({"name": ["a"], "scopes": []})),
            &["servers[0].tools.rules[0].name: unknown member `name`; did you mean `names`?"],
        ),
        (
            "/servers/0/tools/rules/0",
            Some(json!({"uris": ["a"], "scopes": []})),
            &[
                "servers[0].tools.rules[0].uris: unknown member `uris`; known are id, names, scopes, any_scopes, roles, groups, tenants, subjects, issuers, agents, on_behalf_of, workloads, step_up, dpop, mtls, introspect, rates, exchange, downstream_scopes, server_wide_exchange, mode, param_headers",
            ],
        ),
        (
            "/servers/0/tools/rules/1/scope",
            Some(json!("docs.admin")),
            &["servers[0].tools.rules[1].scope: unknown member `scope`; did you mean `scopes`?"],
        ),
        (
            "/servers/0/tools/rules/1/scopes",
            Some(json!("docs.admin")),
            &["servers[0].tools.rules[1].scopes: expected an array, found a string"],
        ),
        (
            "/servers/0/tools/rules/1/names",
            Some(json!(["a**b", "", "get_*"])),
            &[
                "servers[0].tools.rules[1].names[0]: has `**`, which says no more than `*`",
                "servers[0].tools.rules[1].names[1]: is empty",
                "servers[0].tools.rules[1].names[2]: \"get_*\" is also named by servers[0].tools.rules[0]; which should decide?",
            ],
        ),
        (
            "/servers/0/tools/rules/1/param_headers",
            Some(json!({
                "a b": "/a", "": "/a", "B": "/b", "b": "/c", "c": "c", "d": "/~2", "e": "",
            })),
            &[
                "servers[0].tools.rules[1].param_headers.: is no header name after `Mcp-Param-`, such as `Region`",
                "servers[0].tools.rules[1].param_headers.a b: is no header name after `Mcp-Param-`, such as `Region`",
                "servers[0].tools.rules[1].param_headers.b: is given twice: in names of headers, case does not matter",
                "servers[0].tools.rules[1].param_headers.c: is no JSON Pointer to an argument, such as `/region`",
                "servers[0].tools.rules[1].param_headers.d: is no JSON Pointer to an argument, such as `/region`",
                "servers[0].tools.rules[1].param_headers.e: is no JSON Pointer to an argument, such as `/region`",
            ],
        ),
        (
            "/servers/0/tools/rules/1/param_headers",
            Some(json!({})),
            &["servers[0].tools.rules[1].param_headers: is empty: at least one is needed"],
        ),
        (
            "/servers/0/tools/rules/1/param_headers",
            Some(json!({ "A": ["/a"] })),
            &["servers[0].tools.rules[1].param_headers.A: expected a string, found an array"],
        ),
        (
            "/servers/0/prompts/rules/0/param_headers",
            Some(json!({ "A": "/a" })),
            &[
                "servers[0].prompts.rules[0].param_headers: unknown member `param_headers`; known are id, names, scopes, any_scopes, roles, groups, tenants, subjects, issuers, agents, on_behalf_of, workloads, step_up, dpop, mtls, introspect, rates, exchange, downstream_scopes, server_wide_exchange, mode",
            ],
        ),
        (
            "/servers/0/resources/rules/0",
            Some(json!({"names": ["docs://*"], "scopes": []})),
            &[
                "servers[0].resources.rules[0].names: unknown member `names`; known are id, uris, scopes, any_scopes, roles, groups, tenants, subjects, issuers, agents, on_behalf_of, workloads, step_up, dpop, mtls, introspect, rates, exchange, downstream_scopes, server_wide_exchange, mode",
            ],
        ),
        (
            "/servers/0/resources/rules/-",
            Some(json!({"uris": ["docs://*"], "scopes": []})),
            &[
                "servers[0].resources.rules[1].uris[0]: \"docs://*\" is also named by servers[0].resources.rules[0]; which should decide?",
            ],
        ),
        (
            "/servers/0/tool",
            Some(json!({})),
            &["servers[0].tool: unknown member `tool`; did you mean `tools`?"],
        ),
        ("/audit", Some(json!([true, "json"])), &["audit: expected an object, found an array"]),
        (
            "/servers/0/tools/rules/0",
            Some(json!([["a"], []])),
            &["servers[0].tools.rules[0]: expected an object, found an array"],
        ),
        (
            "/servers/0/match/authority",
            Some(json!(["https://mcp.internal"])),
            &["servers[0].match.authority[0]: is `host` or `host:port`, without scheme and path"],
        ),
    ];
    assert_told(cases);
}
