//! Good documents compile to what they say.

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
