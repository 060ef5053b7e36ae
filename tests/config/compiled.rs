//! Good documents compile to what they say.

use std::time::Duration;

use countersign::config::load;
use countersign::gate::HostMode;
use countersign::token::{
    Algorithm, ClaimNames, Identifier, IssuerId, KeySource, Requirement, Source, TokenType,
};
use serde_json::{Value, json};

use crate::support::{edited, full, load_value, minimal, secrets};

#[test]
fn a_full_document_compiles_to_what_it_says() {
    let loaded = load_value(&full()).unwrap();
    let warnings: Vec<&str> = loaded.warnings.iter().map(|warning| warning.path.as_str()).collect();
    assert_eq!(warnings, ["issuers.tenants.token_types[0]", "issuers.tenants.token_types[1]"]);
    assert_eq!(loaded.enforcement.host_mode, HostMode::Hold);
    assert!(loaded.enforcement.audit.log);
    assert!(!loaded.enforcement.audit.identity_headers);
    let variables: Vec<&str> = loaded.variables.iter().map(String::as_str).collect();
    assert_eq!(
        variables,
        ["CORP_SECRET", "NONCE_KEY", "OLD_SESSION_KEY", "PARTNER_KEY", "SESSION_KEY"]
    );

    let corp = &loaded.issuers[0];
    assert_eq!(corp.name, "corp");
    assert_eq!(corp.identifier, Identifier::Exact("https://idp.example.com".to_owned()));
    assert_eq!(corp.algorithms, [Algorithm::Es256, Algorithm::Rs256]);
    assert_eq!(corp.token_types, [TokenType::Media("at+jwt".to_owned())]);
    assert_eq!(corp.clock_skew, Duration::from_secs(45));
    assert_eq!(corp.max_age, Some(Duration::from_secs(900)));
    assert_eq!(corp.max_lifetime, Some(Duration::from_secs(3600)));
    let Some(KeySource::Remote { source: Source::At(callout), schedule }) = &corp.keys else {
        panic!("{:?}", corp.keys)
    };
    assert_eq!(schedule.refresh, Duration::from_secs(600));
    assert_eq!(schedule.stale_for, Duration::from_secs(7200));
    assert_eq!((callout.method, callout.scheme.as_str()), ("GET", "https"));
    assert_eq!((callout.cluster.as_str(), callout.timeout), ("idp", Duration::from_secs(2)));
    assert_eq!(callout.authority, "idp.example.com");
    assert_eq!(callout.path, "/jwks?p=1");
    let revocations = corp.revocations.as_ref().unwrap();
    assert_eq!(revocations.list.path, "/revoked");
    assert_eq!(revocations.list.timeout, Duration::from_secs(3));
    assert_eq!(revocations.schedule.refresh, Duration::from_secs(10));
    assert_eq!(revocations.schedule.stale_for, Duration::from_secs(300));

    let partner = &loaded.issuers[1];
    let identifier = "https://login.partner.example/realms/a%20b/".to_owned();
    assert_eq!(partner.identifier, Identifier::Exact(identifier));
    assert!(matches!(partner.keys, Some(KeySource::Inline(_))));
    assert_eq!((partner.max_age, partner.max_lifetime), (None, None));

    let vault = &loaded.issuers[3];
    assert!(vault.keys.is_none() && vault.algorithms.is_empty() && vault.revocations.is_none());

    let docs = &loaded.enforcement.servers[0];
    assert_eq!(docs.resource, "https://mcp.example.com/mcp");
    assert_eq!(docs.authorities, ["mcp.internal:8443"]);
    assert_eq!(docs.path, "/v1/mcp/");
    assert_eq!(docs.audiences, ["api://docs"]);
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
            "resource_name": "Docs",
            "dpop_signing_alg_values_supported": ["ES256", "EdDSA"],
            "tls_client_certificate_bound_access_tokens": true
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
    assert_eq!(corp.token_types, [TokenType::Media("at+jwt".to_owned())]);
    assert_eq!(corp.clock_skew, Duration::from_secs(30));
    assert_eq!((corp.max_age, corp.max_lifetime), (None, None));
    assert_eq!(corp.claims, ClaimNames::default());
    assert!(corp.introspection.is_none() && corp.revocations.is_none());
    let Some(KeySource::Remote { source: Source::At(callout), schedule }) = &corp.keys else {
        panic!("{:?}", corp.keys)
    };
    assert_eq!(callout.timeout, Duration::from_secs(5));
    assert_eq!(schedule.refresh, Duration::from_secs(300));
    assert_eq!(schedule.stale_for, Duration::from_secs(24 * 60 * 60));
    let server = &loaded.enforcement.servers[0];
    assert_eq!(server.authorities, ["127.0.0.1:10000"]);
    assert_eq!(server.path, "/mcp");
    assert_eq!(server.allowed_origins, [""; 0]);
    assert_eq!(server.audiences, [""; 0]);
    assert_eq!(
        (server.dpop.mode, server.policies.own.settings().dpop),
        (Requirement::Off, Requirement::Off)
    );
    assert_eq!(server.dpop.nonce.mode, Requirement::Off);
    assert_eq!(server.mtls.mode, Requirement::Off);
    assert_eq!(loaded.nonce_keys, []);
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
    let version = load(text.as_bytes(), &secrets()).unwrap().version;
    assert_eq!(version.len(), 16);
    assert_eq!(load(text.as_bytes(), &secrets()).unwrap().version, version);
    assert_ne!(load(format!("{text}\n").as_bytes(), &secrets()).unwrap().version, version);
}
