//! Configuration documents, good and bad: what the operator is told, word for word.

#![expect(clippy::unwrap_used, reason = "tests may panic")]
#![expect(clippy::panic, reason = "tests may panic")]
#![expect(clippy::indexing_slicing, reason = "tests may panic")]

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use countersign::config::{Loaded, load, schema};
use countersign::gate::HostMode;
use countersign::token::{Algorithm, IssuerId, KeySource};
use serde_json::{Value, json};

/// RFC 7517 appendix A.1.
fn p256_key() -> Value {
    json!({
        "kty": "EC", "crv": "P-256", "kid": "1", "use": "sig",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"
    })
}

fn full() -> Value {
    json!({
        "host_mode": "hold",
        "issuers": {
            "corp": {
                "issuer": "https://idp.example.com",
                "jwks": {
                    "uri": "https://IDP.example.com:443/jwks?p=1",
                    "cluster": "idp", "timeout": "2s", "refresh": "10m"
                },
                "algorithms": ["ES256", "RS256"],
                "token_types": ["at+jwt"],
                "clock_skew": "45s"
            },
            "partner": {
                "issuer": "https://login.partner.example/realms/a%20b/",
                "jwks": { "keys": [p256_key()] },
                "algorithms": ["ES256"]
            }
        },
        "servers": [
            {
                "resource": "https://mcp.example.com/mcp",
                "match": { "authority": ["mcp.internal:8443"], "path": "/v1/mcp/" },
                "issuers": ["partner", "corp"],
                "allowed_origins": ["https://app.example.com", "http://localhost:6274"],
                "metadata": { "resource_name": "Docs", "scopes_supported": ["mcp:connect"] },
                "methods": { "allow": ["initialize", "ping", "tools/list", "notifications/*"] },
                "tools": { "rules": [
                    { "names": ["search", "get_*"], "scopes": ["docs.read"] },
                    { "names": ["delete_record"], "scopes": ["docs.admin", "docs.read"] }
                ] },
                "prompts": { "rules": [{ "names": ["*"], "scopes": [] }] },
                "resources": { "rules": [{ "uris": ["docs://*"], "scopes": ["docs.read"] }] }
            },
            {
                "resource": "https://other.example.com",
                "issuers": ["corp"],
                "metadata": { "authorization_servers": ["https://front.example.com"] },
                "methods": { "allow": ["server/discover"] }
            }
        ],
        "audit": { "identity_headers": false, "log": "json" }
    })
}

fn minimal() -> Value {
    json!({
        "issuers": { "corp": {
            "issuer": "http://127.0.0.1:9000",
            "jwks": { "uri": "http://127.0.0.1:9000/jwks", "cluster": "idp" },
            "algorithms": ["ES256"]
        } },
        "servers": [{
            "resource": "http://127.0.0.1:10000/mcp",
            "issuers": ["corp"],
            "methods": { "allow": ["ping"] }
        }]
    })
}

fn load_value(document: &Value) -> Result<Loaded, String> {
    load(document.to_string().as_bytes()).map_err(|error| error.to_string())
}

/// The document with one member set, or taken away.
fn edited(mut document: Value, pointer: &str, value: Option<Value>) -> Value {
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    match (document.pointer_mut(parent).unwrap(), value) {
        (Value::Object(object), Some(value)) => drop(object.insert(member.to_owned(), value)),
        (Value::Object(object), None) => drop(object.remove(member).unwrap()),
        (Value::Array(array), Some(value)) if member == "-" => array.push(value),
        (Value::Array(array), Some(value)) => array[member.parse::<usize>().unwrap()] = value,
        _ => panic!("{pointer}"),
    }
    document
}

#[test]
fn a_full_document_compiles_to_what_it_says() {
    let loaded = load_value(&full()).unwrap();
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.enforcement.host_mode, HostMode::Hold);
    assert!(loaded.enforcement.audit.log);
    assert!(!loaded.enforcement.audit.identity_headers);

    let corp = &loaded.issuers[0];
    assert_eq!((corp.name.as_str(), corp.issuer.as_str()), ("corp", "https://idp.example.com"));
    assert_eq!(corp.algorithms, [Algorithm::Es256, Algorithm::Rs256]);
    assert_eq!(corp.token_types, ["at+jwt"]);
    assert_eq!(corp.clock_skew, Duration::from_secs(45));
    let KeySource::Remote { callout, refresh } = &corp.keys else { panic!("inline") };
    assert_eq!(*refresh, Duration::from_secs(600));
    assert_eq!((callout.method, callout.scheme.as_str()), ("GET", "https"));
    assert_eq!((callout.cluster.as_str(), callout.timeout), ("idp", Duration::from_secs(2)));
    assert_eq!(callout.authority, "idp.example.com");
    assert_eq!(callout.path, "/jwks?p=1");

    let partner = &loaded.issuers[1];
    assert_eq!(partner.issuer, "https://login.partner.example/realms/a%20b/");
    assert!(matches!(partner.keys, KeySource::Inline(_)));

    let docs = &loaded.enforcement.servers[0];
    assert_eq!(docs.resource, "https://mcp.example.com/mcp");
    assert_eq!(docs.authorities, ["mcp.internal:8443"]);
    assert_eq!(docs.path, "/v1/mcp/");
    assert_eq!(docs.issuers, [IssuerId(1), IssuerId(0)]);
    assert_eq!(docs.allowed_origins, ["https://app.example.com", "http://localhost:6274"]);
    assert_eq!(docs.scopes_supported, ["mcp:connect"]);
    assert_eq!(docs.metadata_path, "/.well-known/oauth-protected-resource/mcp");
    assert_eq!(
        docs.metadata_url,
        "https://mcp.example.com/.well-known/oauth-protected-resource/mcp"
    );
    assert_eq!(
        serde_json::from_str::<Value>(&docs.metadata_document).unwrap(),
        json!({
            "resource": "https://mcp.example.com/mcp",
            "authorization_servers":
                ["https://login.partner.example/realms/a%20b/", "https://idp.example.com"],
            "scopes_supported": ["mcp:connect"],
            "bearer_methods_supported": ["header"],
            "resource_name": "Docs"
        })
    );
}

#[test]
fn the_defaults_are_the_safe_ones() {
    let loaded = load_value(&minimal()).unwrap();
    assert_eq!(loaded.enforcement.host_mode, HostMode::Stream);
    assert!(loaded.enforcement.audit.identity_headers);
    assert!(!loaded.enforcement.audit.log);
    let corp = &loaded.issuers[0];
    assert_eq!(corp.token_types, ["at+jwt"]);
    assert_eq!(corp.clock_skew, Duration::from_secs(30));
    let KeySource::Remote { callout, refresh } = &corp.keys else { panic!("inline") };
    assert_eq!((callout.timeout, *refresh), (Duration::from_secs(5), Duration::from_secs(300)));
    let server = &loaded.enforcement.servers[0];
    assert_eq!(server.authorities, ["127.0.0.1:10000"]);
    assert_eq!(server.path, "/mcp");
    assert_eq!(server.allowed_origins, [""; 0]);
    assert_eq!(
        serde_json::from_str::<Value>(&server.metadata_document).unwrap(),
        json!({
            "resource": "http://127.0.0.1:10000/mcp",
            "authorization_servers": ["http://127.0.0.1:9000"],
            "bearer_methods_supported": ["header"]
        })
    );
}

#[test]
fn rfc9728_3_1_a_terminating_slash_is_removed_before_insertion() {
    for resource in ["https://mcp.example.com", "https://mcp.example.com/"] {
        let document = edited(minimal(), "/servers/0/resource", Some(json!(resource)));
        let loaded = load_value(&document).unwrap();
        let server = &loaded.enforcement.servers[0];
        assert_eq!(server.path, "/");
        assert_eq!(server.metadata_path, "/.well-known/oauth-protected-resource");
        assert!(server.metadata_document.contains(&format!("\"{resource}\"")), "byte for byte");
    }
}

#[test]
fn the_version_is_that_of_the_bytes() {
    let text = minimal().to_string();
    let version = load(text.as_bytes()).unwrap().version;
    assert_eq!(version.len(), 16);
    assert_eq!(load(text.as_bytes()).unwrap().version, version);
    assert_ne!(load(format!("{text}\n").as_bytes()).unwrap().version, version);
}

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
        assert_eq!(load(document.as_bytes()).unwrap_err().to_string(), expected);
    }
    assert_eq!(load(b"\xff").unwrap_err().to_string(), "not UTF-8");
}

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
fn the_checked_in_schema_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/countersign.schema.json");
    assert!(
        std::fs::read_to_string(path).unwrap_or_default() == schema(),
        "stale; renew it: cargo run --bin countersign -- schema > schema/countersign.schema.json"
    );
}

#[test]
fn the_bootstraps_carry_valid_configurations() {
    for (file, mode) in [("hold", HostMode::Hold), ("stream", HostMode::Stream)] {
        let path = format!("{}/envoy/envoy.{file}.yaml", env!("CARGO_MANIFEST_DIR"));
        let yaml = std::fs::read_to_string(path).unwrap();
        let (_, block) = yaml.split_once("value: |\n").unwrap();
        let indent = block.split_once('{').unwrap().0;
        let document: Vec<&str> = block.lines().map_while(|l| l.strip_prefix(indent)).collect();
        let loaded = load(document.join("\n").as_bytes()).unwrap();
        assert_eq!((loaded.enforcement.host_mode, loaded.warnings), (mode, vec![]), "{file}");
    }
}

#[test]
fn the_readmes_example_is_valid() {
    let readme = include_str!("../README.md");
    let (_, block) = readme.split_once("```jsonc\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    // A comment is two slashes after a blank; those of a URL follow a colon.
    let lines = block.lines().map(|line| line.split_once(" // ").map_or(line, |(json, _)| json));
    let loaded = load(lines.collect::<Vec<_>>().join("\n").as_bytes()).unwrap();
    assert_eq!((loaded.issuers.len(), loaded.enforcement.servers.len()), (1, 1));
    assert_eq!(loaded.warnings, vec![]);
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
    for n in 0..63 {
        let issuer = format!("https://i{n}.example");
        issuers["issuers"][format!("i{n}")] =
            json!({ "issuer": issuer, "algorithms": ["ES256"], "jwks": { "keys": [p256_key()] } });
    }
    assert_eq!(load_value(&issuers).unwrap_err(), "issuers: has 65 entries; at most 64 are taken");
}

/// Runs the command on the document; its exit status, output and error output.
fn countersign(arguments: &[&str], stdin: &str) -> (Option<i32>, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input closes it: not what is tested.
    drop(child.stdin.take().unwrap().write_all(stdin.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_command_checks_documents() {
    let good = minimal().to_string();
    let version = load(good.as_bytes()).unwrap().version;
    let ok = format!("-: ok (issuers: 1, servers: 1, version {version})\n");
    assert_eq!(countersign(&["check", "-"], &good), (Some(0), ok, String::new()));

    let bad = edited(minimal(), "/servers/0/issuers", Some(json!(["crop"]))).to_string();
    let (code, out, err) = countersign(&["check", "/nonexistent", "-"], &bad);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.starts_with("/nonexistent: "), "{err}");
    let told = "-: servers[0].issuers[0]: no issuer is named \"crop\"; did you mean `corp`?\n";
    assert!(err.contains(told), "{err}");

    let odd = edited(minimal(), "/servers/0/methods", Some(json!({ "allow": [] }))).to_string();
    let (code, out, err) = countersign(&["check", "-"], &odd);
    assert!(code == Some(0) && out.starts_with("-: ok"), "{out}");
    assert!(err.starts_with("-: warning: servers[0]: permits nothing"), "{err}");
}

#[test]
fn the_command_tells_how_it_is_used() {
    assert_eq!(countersign(&["schema"], ""), (Some(0), schema(), String::new()));
    let (code, help, _) = countersign(&["--help"], "");
    assert!(code == Some(0) && help.contains("countersign check FILE"));
    for arguments in
        [&[][..], &["check"], &["chekc", "-"], &["check", "--fix", "-"], &["schema", "x"]]
    {
        assert_eq!(countersign(arguments, ""), (Some(2), String::new(), help.clone()));
    }
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
            "/mode",
            Some(json!("enforce")),
            &["mode: unknown member `mode`; known are host_mode, issuers, servers, audit"],
        ),
        ("/host_mode", Some(json!(1)), &["host_mode: expected a string"]),
        ("/issuers", None, &["missing member `issuers`"]),
        (
            "/issuers",
            Some(json!({})),
            &[
                "issuers: is empty: at least one is needed",
                "servers[0].issuers[0]: no issuer is named \"partner\"",
                "servers[0].issuers[1]: no issuer is named \"corp\"",
                "servers[1].issuers[0]: no issuer is named \"corp\"",
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
        ("/issuers/corp/algorithms", None, &["issuers.corp: missing member `algorithms`"]),
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
            &["issuers.corp.jwks: needs either `uri` and `cluster`, or `keys`"],
        ),
        (
            "/issuers/corp/jwks/cluster",
            None,
            &["issuers.corp.jwks.cluster: name the Envoy cluster through which `uri` is fetched"],
        ),
        (
            "/issuers/corp/jwks/cluster",
            Some(json!("")),
            &["issuers.corp.jwks.cluster: name the Envoy cluster through which `uri` is fetched"],
        ),
        (
            "/issuers/corp/jwks/uri",
            None,
            &["issuers.corp.jwks: needs either `uri` and `cluster`, or `keys`"],
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
            &["issuers.corp.jwks: has both `uri` and `keys`; leave out one of them"],
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
            &[
                "issuers.partner.jwks: nothing is fetched where `keys` are given; leave out `cluster`, `timeout` and `refresh`",
            ],
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
        ("/servers/0/tools", Some(json!({})), &["servers[0].tools: missing member `rules`"]),
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
            &["servers[0].tools.rules[0].uris: unknown member `uris`; known are names, scopes"],
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
            Some(json!(["a*b", "", "get_*"])),
            &[
                "servers[0].tools.rules[1].names[0]: has a `*` that is not its last character",
                "servers[0].tools.rules[1].names[1]: is empty",
                "servers[0].tools.rules[1].names[2]: \"get_*\" is also named by servers[0].tools.rules[0]; which should decide?",
            ],
        ),
        (
            "/servers/0/resources/rules/0",
            Some(json!({"names": ["docs://*"], "scopes": []})),
            &[
                "servers[0].resources.rules[0].names: unknown member `names`; known are uris, scopes",
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
        (
            "/servers/0/dpop",
            Some(json!({})),
            &[
                "servers[0].dpop: unknown member `dpop`; known are resource, match, issuers, allowed_origins, metadata, methods, tools, prompts, resources",
            ],
        ),
    ];
    for (pointer, value, expected) in cases {
        let told = load_value(&edited(full(), pointer, value.clone())).map(drop).unwrap_err();
        assert_eq!(told.lines().collect::<Vec<_>>(), *expected, "{pointer} {value:?}");
    }
}
