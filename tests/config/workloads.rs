//! What is said of workloads: trust domains, their bundles, the header of JWT-SVIDs.

use std::time::Duration;

use countersign::config::Loaded;
use countersign::gate::WorkloadSources;
use countersign::token::{KeySource, Source};
use serde_json::{Value, json};

use crate::support::{edited, full, load_value, minimal, p256_key};

fn svid_key() -> Value {
    edited(p256_key(), "/use", Some(json!("jwt-svid")))
}

/// Two trust domains, one of them with a bundle that is fetched.
fn identity() -> Value {
    json!({
        "trust_domains": {
            "corp.example": {
                "bundle": {
                    "uri": "https://spire.corp.example/bundle", "cluster": "spire",
                    "timeout": "1s", "refresh": "1m", "stale_for": "1h"
                }
            },
            "mesh.example": {}
        },
        "jwt_svid_header": "x-jwt-svid",
        "audiences": ["spiffe://corp.example/mcp"]
    })
}

fn document() -> Value {
    edited(full(), "/workload_identity", Some(identity()))
}

/// The warnings about workloads. The document has others.
fn warnings(loaded: &Loaded) -> Vec<String> {
    let warnings = loaded.warnings.iter().map(ToString::to_string);
    warnings.filter(|warning| warning.starts_with("workload_identity")).collect()
}

/// What is said of the document with this change in `workload_identity`.
fn told(pointer: &str, value: Option<Value>) -> String {
    match load_value(&edited(document(), &format!("/workload_identity{pointer}"), value)) {
        Ok(loaded) => warnings(&loaded).join("\n"),
        Err(told) => told,
    }
}

#[test]
fn it_compiles_to_what_is_said() {
    let loaded = load_value(&document()).unwrap();
    let sources =
        WorkloadSources { certificates: true, jwt_svid_header: Some("x-jwt-svid".to_owned()) };
    assert_eq!(loaded.enforcement.workloads, sources);
    assert_eq!(loaded.workload_identity.audiences, ["spiffe://corp.example/mcp"]);
    let [corp, mesh] = loaded.workload_identity.trust_domains.as_slice() else {
        panic!("{:?}", loaded.workload_identity)
    };
    assert_eq!((corp.name.as_str(), mesh.name.as_str()), ("corp.example", "mesh.example"));
    assert!(mesh.bundle.is_none());
    let Some(KeySource::Remote { source: Source::At(request), schedule }) = &corp.bundle else {
        panic!("{:?}", corp.bundle)
    };
    assert_eq!((request.cluster.as_str(), request.method), ("spire", "GET"));
    assert_eq!(
        (request.authority.as_str(), request.path.as_str()),
        ("spire.corp.example", "/bundle")
    );
    assert_eq!(request.timeout, Duration::from_secs(1));
    assert_eq!(schedule.refresh, Duration::from_secs(60));
    assert_eq!(schedule.stale_for, Duration::from_secs(3600));

    let inline = json!({ "keys": [svid_key()] });
    let pointer = "/workload_identity/trust_domains/corp.example/bundle";
    let loaded = load_value(&edited(document(), pointer, Some(inline))).unwrap();
    let [corp, _] = loaded.workload_identity.trust_domains.as_slice() else { panic!() };
    assert!(matches!(&corp.bundle, Some(KeySource::Inline(keys)) if !keys.is_empty()));
}

#[test]
fn without_it_nothing_is_evidence() {
    let loaded = load_value(&minimal()).unwrap();
    assert_eq!(loaded.enforcement.workloads, WorkloadSources::default());
    assert!(loaded.workload_identity.trust_domains.is_empty());
}

#[test]
fn certificates_alone_are_enough() {
    let identity = json!({ "trust_domains": { "mesh.example": {} } });
    let loaded = load_value(&edited(full(), "/workload_identity", Some(identity))).unwrap();
    let sources = WorkloadSources { certificates: true, jwt_svid_header: None };
    assert_eq!(loaded.enforcement.workloads, sources);
    assert_eq!(warnings(&loaded), Vec::<String>::new());
}

#[test]
fn problems_say_where_and_what() {
    let bundle = "/trust_domains/corp.example/bundle";
    let cases: [(&str, Option<Value>, &str); 25] = [
        ("/trust_domains", None, "workload_identity: missing member `trust_domains`"),
        (
            "/jwt_svid_headers",
            Some(json!("x")),
            "workload_identity.jwt_svid_headers: unknown member `jwt_svid_headers`; did you mean `jwt_svid_header`?",
        ),
        (
            "/trust_domains/Corp.example",
            Some(json!({})),
            "workload_identity.trust_domains.Corp.example: is no trust domain such as `corp.example`: lowercase letters, digits, `.`, `-` and `_`",
        ),
        (
            "/trust_domains/corp.example:8443",
            Some(json!({})),
            "workload_identity.trust_domains.corp.example:8443: is no trust domain such as `corp.example`: lowercase letters, digits, `.`, `-` and `_`",
        ),
        (
            bundle,
            Some(json!({})),
            "workload_identity.trust_domains.corp.example.bundle: needs `uri`, with a `cluster`, or `keys`",
        ),
        (
            &format!("{bundle}/keys"),
            Some(json!([svid_key()])),
            "workload_identity.trust_domains.corp.example.bundle: has both `uri` and `keys`; keep one",
        ),
        (
            &format!("{bundle}/discovery"),
            Some(json!("openid")),
            "workload_identity.trust_domains.corp.example.bundle.discovery: is of no use for a trust domain; leave it out",
        ),
        (
            &format!("{bundle}/metadata_uri"),
            Some(json!("https://a.example")),
            "workload_identity.trust_domains.corp.example.bundle.metadata_uri: is of no use for a trust domain; leave it out",
        ),
        (
            &format!("{bundle}/uri"),
            Some(json!("http://spire.corp.example/")),
            "workload_identity.trust_domains.corp.example.bundle.uri: must be https; http is for loopback hosts only",
        ),
        (
            &format!("{bundle}/cluster"),
            None,
            "workload_identity.trust_domains.corp.example.bundle.cluster: name the Envoy cluster through which `uri` is reached",
        ),
        (
            &format!("{bundle}/refresh"),
            Some(json!("1s")),
            "workload_identity.trust_domains.corp.example.bundle.refresh: must be from 30s to 1day",
        ),
        (
            bundle,
            Some(json!({ "keys": [p256_key()] })),
            "workload_identity.trust_domains.corp.example.bundle.keys: no usable key (with `use` `jwt-svid` and a `kid`, of RS*, ES* or PS*, and public)",
        ),
        (
            bundle,
            Some(json!({ "keys": [svid_key()], "refresh": "1m" })),
            "workload_identity.trust_domains.corp.example.bundle.refresh: is of no use with `keys`; leave it out",
        ),
        (
            "/jwt_svid_header",
            Some(json!("X-JWT-SVID")),
            "workload_identity.jwt_svid_header: a header's name is 1 to 64 lowercase letters, digits and `-`",
        ),
        (
            "/jwt_svid_header",
            Some(json!("x_jwt_svid")),
            "workload_identity.jwt_svid_header: a header's name is 1 to 64 lowercase letters, digits and `-`",
        ),
        (
            "/jwt_svid_header",
            Some(json!("")),
            "workload_identity.jwt_svid_header: a header's name is 1 to 64 lowercase letters, digits and `-`",
        ),
        (
            "/jwt_svid_header",
            Some(json!(":path")),
            "workload_identity.jwt_svid_header: a header's name is 1 to 64 lowercase letters, digits and `-`",
        ),
        ("/audiences", Some(json!(["a", "a"])), "workload_identity.audiences[1]: is given twice"),
        ("/audiences", Some(json!([""])), "workload_identity.audiences[0]: is empty"),
        (
            "/audiences",
            Some(json!(["https://mcp.example.com/mcp"])),
            "workload_identity.audiences[0]: is the `resource` of servers[0]: a JWT-SVID for it would be good at every server",
        ),
        (
            "/trust_domains",
            Some(json!({})),
            "workload_identity.trust_domains: is empty: at least one is needed\nworkload_identity.jwt_svid_header: no trust domain has a `bundle` to verify JWT-SVIDs by",
        ),
        (
            bundle,
            None,
            "workload_identity.jwt_svid_header: no trust domain has a `bundle` to verify JWT-SVIDs by",
        ),
        (
            "/jwt_svid_header",
            None,
            "workload_identity.audiences: is of no use without `jwt_svid_header`; leave it out\nworkload_identity.trust_domains.corp.example.bundle: is of no use without `jwt_svid_header`; leave it out",
        ),
        ("/audiences", Some(json!([])), ""),
        ("/trust_domains/a_b-c.1", Some(json!({})), ""),
    ];
    let mut differences = Vec::new();
    for (pointer, value, expected) in cases {
        let told = told(pointer, value);
        if told != expected {
            differences.push(format!("{pointer}: {told}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));

    // A pointer has no place for the slashes of this name.
    let mut document = document();
    document["workload_identity"]["trust_domains"]["spiffe://a.example"] = json!({});
    assert_eq!(
        load_value(&document).unwrap_err(),
        "workload_identity.trust_domains.spiffe://a.example: is a trust domain without `spiffe://`; write `a.example`"
    );
}

#[test]
fn the_header_is_no_other_header() {
    for name in [
        "authorization",
        "accept",
        "b3",
        "baggage",
        "connection",
        "content-type",
        "cookie",
        "dpop",
        "host",
        "mcp-name",
        "mcp-param-region",
        "mcp-session-id",
        "te",
        "traceparent",
        "tracestate",
        "transfer-encoding",
        "x-b3-traceid",
        "x-client-trace-id",
        "x-countersign-subject",
        "x-datadog-trace-id",
        "x-envoy-original-path",
        "x-forwarded-client-cert",
        "x-original-url",
        "x-ot-span-context",
        "x-request-id",
    ] {
        assert_eq!(
            told("/jwt_svid_header", Some(json!(name))),
            "workload_identity.jwt_svid_header: has a meaning of its own; use another one, such as `x-jwt-svid`"
        );
    }
    for name in ["x-jwt-svid", "workload-identity", "svid", "b32", "tracestates"] {
        assert_eq!(told("/jwt_svid_header", Some(json!(name))), "", "{name}");
    }
    let context = json!({ "instance_header": "x-jwt-svid" });
    assert_eq!(
        load_value(&edited(document(), "/servers/1/context", Some(context))).unwrap_err(),
        "workload_identity.jwt_svid_header: is also the `context.instance_header` of servers[1]"
    );
}

#[test]
fn a_trust_domain_without_any_evidence_is_hardly_meant() {
    let mtls = json!({ "mode": "off", "forwarded_by": ["spiffe://corp/ns/gw/sa/edge"] });
    let document = edited(document(), "/servers/1/mtls", Some(mtls));
    assert_eq!(
        warnings(&load_value(&document).unwrap()),
        [
            "workload_identity.trust_domains.mesh.example: has no `bundle`, and certificates count at no server: all of them have `mtls.forwarded_by`"
        ]
    );
}

#[test]
fn no_problem_repeats_a_key_that_was_pasted() {
    let mut key = svid_key();
    key["d"] = json!("c2VjcmV0LXNlY3JldC1zZWNyZXQ");
    let told = told("/trust_domains/corp.example/bundle", Some(json!({ "keys": [key] })));
    assert!(told.contains("no usable key") && !told.contains("c2Vj"), "{told}");
}
