//! What is said of proofs of possession, and of rules that ask for more than scopes.

use std::time::Duration;

use countersign::config::Loaded;
use countersign::mcp::{ParamHeader, Target};
use countersign::policy::Introspect;
use countersign::token::{Algorithm, CertificateSource, NonceKey, NonceScope, Requirement};
use serde_json::{Value, json};

use crate::support::{assert_told, edited, full, load_value, load_with, minimal, secrets_with};

/// The metadata document of the first server.
fn metadata(loaded: &Loaded) -> Value {
    serde_json::from_str(&loaded.enforcement.servers[0].metadata_document).unwrap()
}

#[test]
fn proofs_compile_to_what_is_said() {
    let loaded = load_value(&full()).unwrap();
    let docs = &loaded.enforcement.servers[0];
    assert_eq!(docs.dpop.algorithms, [Algorithm::Es256, Algorithm::EdDsa]);
    assert_eq!(docs.dpop.proof_max_age, Duration::from_secs(60));
    assert_eq!(docs.dpop.url, "https://mcp.example.com/mcp");
    assert_eq!(docs.dpop.nonce.mode, Requirement::Optional);
    assert_eq!(docs.dpop.nonce.scope, NonceScope::Cluster);
    assert_eq!(docs.dpop.nonce.lifetime, Duration::from_secs(120));
    assert_eq!(docs.mtls.mode, Requirement::Optional);
    let trusted_hops = vec!["spiffe://corp/ns/gw/sa/edge".to_owned()];
    assert_eq!(docs.mtls.certificate, CertificateSource::Forwarded { trusted_hops });
    assert_eq!(loaded.nonce_keys, [NonceKey::new((0..32).collect()).unwrap()]);

    let other = &loaded.enforcement.servers[1];
    assert_eq!(other.mtls.certificate, CertificateSource::Connection);
}

#[test]
fn the_defaults_of_proofs_are_those_of_rfc9449() {
    let dpop = json!({ "mode": "required", "nonce": { "mode": "required" } });
    let loaded = load_value(&edited(minimal(), "/servers/0/dpop", Some(dpop))).unwrap();
    let policy = &loaded.enforcement.servers[0].dpop;
    assert_eq!(policy.algorithms, [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa]);
    assert_eq!(policy.proof_max_age, Duration::from_secs(300));
    assert_eq!(policy.nonce.scope, NonceScope::Replica);
    assert_eq!(policy.nonce.lifetime, Duration::from_secs(300));
}

#[test]
fn a_rule_that_takes_less_moves_the_demand_from_the_door_to_the_rules() {
    let loaded = load_value(&full()).unwrap();
    let docs = &loaded.enforcement.servers[0];
    assert_eq!(
        (docs.dpop.mode, docs.policies.own.settings().dpop),
        (Requirement::Optional, Requirement::Required)
    );
    assert_eq!(metadata(&loaded).get("dpop_bound_access_tokens_required"), None);

    let rule = "/servers/0/tools/rules/0/dpop";
    for document in [edited(full(), rule, None), edited(full(), rule, Some(json!("required")))] {
        let loaded = load_value(&document).unwrap();
        let docs = &loaded.enforcement.servers[0];
        let required = Requirement::Required;
        assert_eq!((docs.dpop.mode, docs.policies.own.settings().dpop), (required, required));
        assert_eq!(metadata(&loaded)["dpop_bound_access_tokens_required"], json!(true));
    }
    for rules in ["prompts", "resources"] {
        let document = edited(full(), rule, None);
        let document =
            edited(document, &format!("/servers/0/{rules}/rules/0/dpop"), Some(json!("optional")));
        let loaded = load_value(&document).unwrap();
        assert_eq!(loaded.enforcement.servers[0].dpop.mode, Requirement::Optional, "{rules}");
    }
}

#[test]
fn rules_compile_to_what_they_demand() {
    let loaded = load_value(&full()).unwrap();
    let rule = |name: &str| {
        let target = Target::Tool(name.to_owned());
        loaded.enforcement.servers[0].policies.own.rule(&target).unwrap()
    };
    assert_eq!(
        (rule("search").dpop, rule("search").introspect),
        (Some(Requirement::Optional), None)
    );
    assert_eq!(rule("search").param_headers, []);
    let rule = rule("delete_record");
    assert_eq!(rule.dpop, Some(Requirement::Required));
    assert_eq!(rule.introspect, Some(Introspect::Fresh));
    let mirrored = [("REGION", "/region"), ("x-id", "/record/a~1b")];
    let mirrored = mirrored.map(|(suffix, pointer)| ParamHeader::new(suffix, pointer).unwrap());
    assert_eq!(rule.param_headers, mirrored);
}

#[test]
fn rfc9728_2_the_metadata_says_what_tokens_must_be_bound_to() {
    let plain = load_value(&minimal()).unwrap();
    for member in [
        "dpop_signing_alg_values_supported",
        "dpop_bound_access_tokens_required",
        "tls_client_certificate_bound_access_tokens",
    ] {
        assert_eq!(metadata(&plain).get(member), None);
    }
    let document = edited(minimal(), "/servers/0/dpop", Some(json!({ "mode": "optional" })));
    let document = edited(document, "/servers/0/mtls", Some(json!({ "mode": "required" })));
    let bound = metadata(&load_value(&document).unwrap());
    assert_eq!(bound["dpop_signing_alg_values_supported"], json!(["ES256", "ES384", "EdDSA"]));
    assert_eq!(bound.get("dpop_bound_access_tokens_required"), None);
    assert_eq!(bound["tls_client_certificate_bound_access_tokens"], json!(true));
}

#[test]
fn nonce_keys_are_base64_of_32_bytes_or_more() {
    for key in [
        "gIGCg4SFhoeIiYqLjI2Oj5CRkpOUlZaXmJmam5ydnv8=",
        "gIGCg4SFhoeIiYqLjI2Oj5CRkpOUlZaXmJmam5ydnv8",
        "-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_",
        "+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/\n",
    ] {
        let loaded = load_with(&full(), &secrets_with("NONCE_KEY", key)).unwrap();
        assert_eq!(loaded.nonce_keys.len(), 1);
    }
    for key in [
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg",
        "s3cret s3cret s3cret s3cret s3cret s3cret !",
    ] {
        let told = load_with(&full(), &secrets_with("NONCE_KEY", key)).map(drop).unwrap_err();
        assert_eq!(
            told,
            "dpop_nonce_keys[0]: the value of `NONCE_KEY` is not base64 of at least 32 bytes; `openssl rand -base64 32` makes a key"
        );
    }
}

#[test]
fn what_is_wrong_with_proofs_is_told() {
    assert_told(&[
        (
            "/servers/0/audiences",
            Some(json!(["", "https://mcp.example.com/mcp", "a", "a"])),
            &[
                "servers[0].audiences[3]: is given twice",
                "servers[0].audiences[0]: is empty",
                "servers[0].audiences[1]: is the `resource`, which is an audience in any case",
            ],
        ),
        (
            "/servers/1/audiences",
            Some(json!(["api://docs", "https://mcp.example.com/mcp"])),
            &[
                "servers[1].audiences[0]: is also an audience of servers[0]: a token for one would be good for both",
                "servers[1].audiences[1]: is also an audience of servers[0]: a token for one would be good for both",
            ],
        ),
        (
            "/servers/0/issuers",
            Some(json!(["vault", "partner", "vault2"])),
            &["servers[0].issuers[2]: no issuer is named \"vault2\"; did you mean `vault`?"],
        ),
        ("/servers/0/dpop", Some(json!({})), &["servers[0].dpop: missing member `mode`"]),
        (
            "/servers/0/dpop",
            Some(json!("required")),
            &["servers[0].dpop: expected an object, found a string"],
        ),
        (
            "/servers/0/dpop/mode",
            Some(json!("on")),
            &["servers[0].dpop.mode: unknown value `on`; known are off, optional, required"],
        ),
        (
            "/servers/0/dpop/algorithms",
            Some(json!([])),
            &["servers[0].dpop.algorithms: is empty: at least one is needed"],
        ),
        (
            "/servers/0/dpop/algorithms",
            Some(json!(["ES256", "ES256"])),
            &["servers[0].dpop.algorithms[1]: is given twice"],
        ),
        (
            "/servers/0/dpop/proof_max_age",
            Some(json!("4s")),
            &["servers[0].dpop.proof_max_age: must be from 5s to 10m"],
        ),
        (
            "/servers/0/dpop/proof_max_age",
            Some(json!("11m")),
            &["servers[0].dpop.proof_max_age: must be from 5s to 10m"],
        ),
        (
            "/servers/0/dpop/nonce",
            Some(json!({ "scope": "cluster" })),
            &["servers[0].dpop.nonce: missing member `mode`"],
        ),
        (
            "/servers/0/dpop/nonce/scope",
            Some(json!("global")),
            &["servers[0].dpop.nonce.scope: unknown value `global`; known are replica, cluster"],
        ),
        (
            "/servers/0/dpop/nonce/lifetime",
            Some(json!("9s")),
            &["servers[0].dpop.nonce.lifetime: must be from 10s to 1h"],
        ),
        (
            "/servers/0/dpop/nonce/lifetime",
            Some(json!("2h")),
            &["servers[0].dpop.nonce.lifetime: must be from 10s to 1h"],
        ),
        (
            "/servers/0/dpop/mode",
            Some(json!("off")),
            &[
                "servers[0].tools.rules[0].dpop: nobody checks it: the server's `dpop` has the `mode` `off`",
                "servers[0].tools.rules[1].dpop: nobody checks it: the server's `dpop` has the `mode` `off`",
                "servers[0].dpop.nonce.mode: there are no proofs to have nonces: `mode` of `dpop` is `off`",
            ],
        ),
        (
            "/servers/1/tools",
            Some(json!({ "rules": [{ "names": ["a"], "scopes": [], "introspect": "cached" }] })),
            &[
                "servers[1].tools.rules[0].introspect: issuers.tenants, whose tokens the server accepts, has no `introspection`",
            ],
        ),
        (
            "/servers/0/tools/rules/0/dpop",
            Some(json!("off")),
            &["servers[0].tools.rules[0].dpop: unknown value `off`; known are optional, required"],
        ),
        (
            "/servers/0/tools/rules/0/introspect",
            Some(json!("always")),
            &[
                "servers[0].tools.rules[0].introspect: unknown value `always`; known are cached, fresh",
            ],
        ),
        ("/servers/0/mtls", Some(json!({})), &["servers[0].mtls: missing member `mode`"]),
        (
            "/servers/0/mtls/forwarded_by",
            Some(json!([])),
            &["servers[0].mtls.forwarded_by: is empty: at least one is needed"],
        ),
        (
            "/servers/0/mtls/forwarded_by",
            Some(json!(["edge", "spiffe://corp/*"])),
            &[
                "servers[0].mtls.forwarded_by[0]: is no URI such as `spiffe://example.org/ns/gateway/sa/edge`",
                "servers[0].mtls.forwarded_by[1]: is compared byte for byte: no `*`",
            ],
        ),
        (
            "/dpop_nonce_keys",
            Some(json!([])),
            &["dpop_nonce_keys: a server has nonces of `scope: cluster`, which need keys"],
        ),
        (
            "/dpop_nonce_keys",
            Some(json!([{ "env": "NONCE_KEY" }, { "env": "SAME_KEY" }])),
            &["dpop_nonce_keys[1]: is given twice"],
        ),
        (
            "/dpop_nonce_keys",
            Some(json!([{ "env": "NONCE_KEYS" }])),
            &[
                "dpop_nonce_keys[0]: the environment of the filter has no `NONCE_KEYS`, or an empty one; set it in `vm_config.environment_variables`",
            ],
        ),
    ]);
    let many = json!(vec![json!({ "env": "NONCE_KEY" }); 5]);
    let told = load_value(&edited(full(), "/dpop_nonce_keys", Some(many))).map(drop).unwrap_err();
    assert!(told.starts_with("dpop_nonce_keys: has 5 entries; at most 4 are taken"), "{told}");
}

#[test]
fn opaque_tokens_have_one_issuer() {
    let mut document = full();
    document["issuers"]["safe"] = document["issuers"]["vault"].clone();
    document["issuers"]["safe"]["issuer"] = json!("https://safe.example.com");
    document["servers"][1]["issuers"] = json!(["vault", "corp", "safe"]);
    let told = "servers[1].issuers: vault and safe both have opaque tokens, which do not say whose they are";
    assert_eq!(load_value(&document).map(drop).unwrap_err(), told);
}
