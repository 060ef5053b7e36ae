//! What is said of issuers: tenants, keys by discovery, claims, introspection, revocation.

use std::time::Duration;

use countersign::token::{
    Algorithm, CertificateDigest, ClaimPath, ClientAuthentication, Identifier, IntrospectedTokens,
    KeySource, Source, TokenType,
};
use jwt_simple::algorithms::ES384KeyPair;
use serde_json::{Value, json};

use crate::support::{
    assert_told, edited, full, load_value, load_with, minimal, p256_key, rsa_key, secrets_with,
};

const CLIENT: &str = "/issuers/corp/introspection/client";

/// The identifier of the metadata's issuer and the URL of the metadata, which `jwks` finds.
fn discovered(issuer: &str, jwks: Value) -> (String, String) {
    let document = edited(minimal(), "/issuers/corp/jwks", Some(jwks));
    let document = edited(document, "/issuers/corp/issuer", Some(json!(issuer)));
    let mut loaded = load_value(&document).unwrap();
    let keys = loaded.issuers.remove(0).keys;
    let Some(KeySource::Remote {
        source: Source::Discovered { metadata, issuer, keys_cluster: None },
        ..
    }) = keys
    else {
        panic!("{keys:?}")
    };
    assert_eq!((metadata.method, metadata.cluster.as_str()), ("GET", "idp"));
    (issuer, format!("{}://{}{}", metadata.scheme, metadata.authority, metadata.path))
}

/// How we authenticate at corp, with these members of `client`.
fn authentication(client: Value) -> ClientAuthentication {
    let mut loaded = load_value(&edited(full(), CLIENT, Some(client))).unwrap();
    loaded.issuers.remove(0).introspection.unwrap().client
}

#[test]
fn oidc_discovery_4_the_well_known_path_is_appended() {
    let jwks = json!({ "discovery": "openid", "cluster": "idp" });
    for (issuer, url) in [
        ("https://idp.example", "https://idp.example/.well-known/openid-configuration"),
        ("https://idp.example/", "https://idp.example/.well-known/openid-configuration"),
        ("https://idp.example/a/b", "https://idp.example/a/b/.well-known/openid-configuration"),
        ("https://idp.example/a/", "https://idp.example/a/.well-known/openid-configuration"),
    ] {
        assert_eq!(discovered(issuer, jwks.clone()), (issuer.to_owned(), url.to_owned()));
    }
}

#[test]
fn rfc8414_3_1_the_well_known_path_is_inserted() {
    let jwks = json!({ "discovery": "oauth", "cluster": "idp" });
    for (issuer, url) in [
        ("https://idp.example", "https://idp.example/.well-known/oauth-authorization-server"),
        ("https://idp.example/", "https://idp.example/.well-known/oauth-authorization-server"),
        (
            "https://idp.example:8443/a/b/",
            "https://idp.example:8443/.well-known/oauth-authorization-server/a/b",
        ),
    ] {
        assert_eq!(discovered(issuer, jwks.clone()), (issuer.to_owned(), url.to_owned()));
    }
    let jwks =
        json!({ "discovery": "oauth", "cluster": "idp", "metadata_uri": "https://m.example/" });
    let (issuer, url) = discovered("https://idp.example/a", jwks);
    assert_eq!((issuer.as_str(), url.as_str()), ("https://idp.example/a", "https://m.example/"));
}

#[test]
fn tenants_have_an_issuer_each() {
    let loaded = load_value(&full()).unwrap();
    let tenants = &loaded.issuers[2];
    let Identifier::PerTenant { prefix, suffix, tenants: ids } = &tenants.identifier else {
        panic!("{:?}", tenants.identifier)
    };
    assert_eq!((prefix.as_str(), suffix.as_str()), ("https://login.example.com/", "/v2.0"));
    assert_eq!(*ids, ["t1", "t2"]);
    assert_eq!(tenants.token_types, [TokenType::Media("JWT".to_owned()), TokenType::Absent]);
    let Some(KeySource::Remote {
        source: Source::Discovered { metadata, issuer, keys_cluster },
        ..
    }) = &tenants.keys
    else {
        panic!("{:?}", tenants.keys)
    };
    assert_eq!(metadata.path, "/all/v2.0/.well-known/openid-configuration");
    assert_eq!(issuer, "https://login.example.com/{tenantid}/v2.0");
    assert_eq!(keys_cluster.as_deref(), Some("login-keys"));

    let document = edited(full(), "/servers/1/metadata", Some(json!({})));
    let loaded = load_value(&document).unwrap();
    let metadata = &loaded.enforcement.servers[1].metadata_document;
    assert_eq!(
        serde_json::from_str::<Value>(metadata).unwrap()["authorization_servers"],
        json!([
            "https://idp.example.com",
            "https://login.example.com/t1/v2.0",
            "https://login.example.com/t2/v2.0",
            "https://vault.example.com"
        ])
    );
}

#[test]
fn claims_are_found_by_name_by_path_and_by_url() {
    let loaded = load_value(&full()).unwrap();
    let claims = &loaded.issuers[0].claims;
    let nested =
        |names: &[&str]| ClaimPath::nested(names.iter().map(ToString::to_string).collect());
    let name = |name: &str| ClaimPath::name(name.to_owned());
    assert_eq!(claims.subject, [name("sub")]);
    assert_eq!(claims.client, [name("azp")]);
    assert_eq!(claims.scopes, [name("scope"), name("scp")]);
    let roles = [
        nested(&["realm_access", "roles"]),
        name("https://example.com/roles"),
        nested(&["a.b", "c"]),
    ];
    assert_eq!(claims.roles, roles);
    assert_eq!(claims.tenant, [nested(&["org", "id"])]);
}

#[test]
fn introspection_compiles_to_what_it_says() {
    let loaded = load_value(&full()).unwrap();
    let corp = loaded.issuers[0].introspection.as_ref().unwrap();
    assert_eq!((corp.endpoint.method, corp.endpoint.path.as_str()), ("POST", "/introspect"));
    assert_eq!(corp.endpoint.timeout, Duration::from_secs(1));
    assert_eq!(corp.tokens, IntrospectedTokens::All);
    assert_eq!(corp.signed_for.as_deref(), Some("https://gateway.example.com"));
    assert_eq!(
        (corp.max_age, corp.negative_max_age),
        (Duration::from_secs(60), Duration::from_secs(10))
    );
    let ClientAuthentication::ClientSecretBasic { client_id, secret } = &corp.client else {
        panic!("{:?}", corp.client)
    };
    assert_eq!((client_id.as_str(), secret.reveal()), ("gateway", "corp-secret"));

    let partner = loaded.issuers[1].introspection.as_ref().unwrap();
    assert_eq!(partner.tokens, IntrospectedTokens::ByRule);
    assert_eq!(partner.signed_for, None);
    assert_eq!(
        (partner.max_age, partner.negative_max_age),
        (Duration::from_secs(30), Duration::from_secs(5))
    );
    let ClientAuthentication::PrivateKeyJwt { client_id, audience, key } = &partner.client else {
        panic!("{:?}", partner.client)
    };
    assert_eq!(client_id, "gateway");
    assert_eq!(audience, "https://login.partner.example/realms/a%20b/");
    assert_eq!((key.algorithm, key.key_id.as_deref()), (Algorithm::Es256, Some("k1")));
    assert_eq!(key.pkcs8.first(), Some(&0x30), "DER");

    let vault = loaded.issuers[3].introspection.as_ref().unwrap();
    assert_eq!(vault.tokens, IntrospectedTokens::Opaque);
    assert!(matches!(vault.client, ClientAuthentication::Injected));
}

#[test]
fn each_client_authentication_takes_its_own_members() {
    let secret = json!({ "env": "CORP_SECRET" });
    assert!(matches!(
        authentication(json!({ "method": "client_secret_post", "client_id": "a", "client_secret": secret })),
        ClientAuthentication::ClientSecretPost { client_id, secret }
            if client_id == "a" && secret.reveal() == "corp-secret"
    ));
    assert!(matches!(
        authentication(json!({ "method": "tls_client_auth", "client_id": "a" })),
        ClientAuthentication::TlsClientAuth { client_id } if client_id == "a"
    ));
    let key = json!({
        "method": "private_key_jwt", "client_id": "a", "key": { "env": "PARTNER_KEY" },
        "algorithm": "ES256", "audience": "https://idp.example.com/token"
    });
    assert!(matches!(
        authentication(key),
        ClientAuthentication::PrivateKeyJwt { audience, key, .. }
            if audience == "https://idp.example.com/token"
                && key.key_id.is_none() && key.certificate.is_none()
    ));
}

/// As `openssl x509 -fingerprint -sha256` prints it.
#[test]
fn certificates_of_clients_are_named_by_their_fingerprint() {
    let client = |fingerprint: &str| {
        json!({
            "method": "private_key_jwt", "client_id": "a", "key": { "env": "PARTNER_KEY" },
            "algorithm": "ES256", "certificate_sha256": fingerprint
        })
    };
    let colons = vec!["aB"; 32].join(":");
    for good in ["Ab".repeat(32), colons.clone()] {
        let ClientAuthentication::PrivateKeyJwt { key, .. } = authentication(client(&good)) else {
            panic!("it is one")
        };
        assert_eq!(key.certificate, Some(CertificateDigest([0xab; 32])), "{good}");
    }
    for bad in [
        String::new(),
        "ab".repeat(31),
        "ab".repeat(33),
        "ag".repeat(32),
        format!("{colons}:"),
        format!(":{colons}"),
        format!("{colons}:ab"),
        vec!["ab"; 31].join(":"),
        vec!["abab"; 16].join(":"),
        format!("a:bab:{}", vec!["ab"; 30].join(":")),
        colons.replacen(':', "", 1),
        colons.replace(':', " "),
        format!("sha256 Fingerprint={colons}"),
        format!("{colons}\n"),
        "é".repeat(32),
    ] {
        let problems =
            load_value(&edited(full(), CLIENT, Some(client(&bad)))).map(drop).unwrap_err();
        let reason = "issuers.corp.introspection.client.certificate_sha256: is no SHA-256 fingerprint: 32 bytes in hexadecimal, with `:` between all of them or none";
        assert_eq!(problems.lines().filter(|line| line.contains(reason)).count(), 1, "{bad}");
    }
}

#[test]
fn keys_of_clients_fit_their_algorithm() {
    let with_algorithm = |algorithm| {
        edited(full(), "/issuers/partner/introspection/client/algorithm", Some(json!(algorithm)))
    };
    let told = |algorithm, key: &str| {
        let secrets = secrets_with("PARTNER_KEY", key);
        load_with(&with_algorithm(algorithm), &secrets).map(drop).unwrap_err()
    };
    let at = "issuers.partner.introspection.client.key: the value of `PARTNER_KEY`";
    let pkcs8 = "is no private key in PKCS #8 and PEM (`-----BEGIN PRIVATE KEY-----`); `openssl pkcs8 -topk8 -nocrypt` makes one";
    let other = "is a key that the `algorithm` is not for";
    let p384 = ES384KeyPair::generate().to_pem().unwrap();
    for (algorithm, key, reason) in [
        ("ES256", "SECRET", pkcs8),
        ("ES256", "-----BEGIN PRIVATE KEY-----\nU0VDUkVU\n-----END PRIVATE KEY-----\n", pkcs8),
        (
            "ES256",
            "-----BEGIN EC PRIVATE KEY-----\nU0VDUkVU\n-----END EC PRIVATE KEY-----\n",
            pkcs8,
        ),
        ("ES256", &p384.replace("PRIVATE KEY", "EC PRIVATE KEY"), pkcs8),
        ("ES256", &p384, other),
        ("ES256", &rsa_key(256), other),
        ("RS256", &p384, other),
        ("RS256", &rsa_key(255), "is an RSA key below 2048 bits"),
    ] {
        assert_eq!(told(algorithm, key), format!("{at} {reason}"));
    }
    for (algorithm, key) in [("ES384", &p384), ("RS512", &rsa_key(256))] {
        let secrets = secrets_with("PARTNER_KEY", key);
        assert!(load_with(&with_algorithm(algorithm), &secrets).is_ok(), "{algorithm}");
    }
    assert_told(&[(
        "/issuers/partner/introspection/client/algorithm",
        Some(json!("PS256")),
        &[
            "issuers.partner.introspection.client.algorithm: Envoy cannot sign with it; take one of ES256, ES384, ES512, RS256, RS384, RS512",
        ],
    )]);
}

#[test]
fn rfc6749_a_2_client_secrets_are_visible_ascii() {
    for secret in ["s3cret\n", "s3crét"] {
        let told = load_with(&full(), &secrets_with("CORP_SECRET", secret)).map(drop).unwrap_err();
        assert_eq!(
            told,
            "issuers.corp.introspection.client.client_secret: the value of `CORP_SECRET` has a character that client secrets cannot have (RFC 6749 appendix A.2), such as a line break at its end"
        );
    }
}

#[test]
fn secrets_are_never_repeated() {
    let secret = format!("{CLIENT}/client_secret");
    for (pointer, value) in [
        (&secret, json!("s3cret")),
        (&secret, json!(["s3cret"])),
        (&secret, json!({ "env": "s3cret" })),
        (&secret, json!({ "env": ["s3cret"] })),
        (&secret, json!({ "env": { "s3cret": "s3cret" } })),
        (&format!("{CLIENT}/key"), json!("s3cret")),
        (&"/dpop_nonce_keys/0".to_owned(), json!("s3cret")),
    ] {
        let told = load_value(&edited(full(), pointer, Some(value))).map(drop).unwrap_err();
        assert!(!told.contains("s3cret"), "{told}");
    }
    let loaded = format!("{:?}", load_value(&full()).unwrap());
    assert!(!loaded.contains("corp-secret") && !loaded.contains("[0, 1, 2"), "{loaded}");
}

#[test]
fn what_is_wrong_with_issuers_is_told() {
    assert_told(&[
        (
            "/issuers/corp/tenants",
            Some(json!(["t1"])),
            &["issuers.corp.tenants: is for issuers with `{tid}`; leave it out"],
        ),
        (
            "/issuers/tenants/tenants",
            None,
            &["issuers.tenants.tenants: is empty: at least one is needed"],
        ),
        (
            "/issuers/tenants/tenants",
            Some(json!(["a/b", "..", "t", "t", ""])),
            &[
                "issuers.tenants.tenants[3]: is given twice",
                "issuers.tenants.tenants[0]: is no tenant such as `72f988bf-86f1-41af-91ab-2d7cd011db47`",
                "issuers.tenants.tenants[1]: is no tenant such as `72f988bf-86f1-41af-91ab-2d7cd011db47`",
                "issuers.tenants.tenants[4]: is empty",
            ],
        ),
        (
            "/issuers/tenants/issuer",
            Some(json!("https://{tid}.example.com/v2.0")),
            &["issuers.tenants.issuer: must have `{tid}` once, as a whole segment of the path"],
        ),
        (
            "/issuers/tenants/issuer",
            Some(json!("https://{tid}/v2.0")),
            &["issuers.tenants.issuer: must have `{tid}` once, as a whole segment of the path"],
        ),
        (
            "/issuers/tenants/issuer",
            Some(json!("https://login.example.com/a-{tid}/v2.0")),
            &["issuers.tenants.issuer: must have `{tid}` once, as a whole segment of the path"],
        ),
        (
            "/issuers/tenants/issuer",
            Some(json!("https://login.example.com/{tid}/{tid}")),
            &["issuers.tenants.issuer: must have `{tid}` once, as a whole segment of the path"],
        ),
        (
            "/issuers/tenants/issuer",
            Some(json!("https://login.example.com/{tenantid}/v2.0")),
            &["issuers.tenants.issuer: has a placeholder other than `{tid}`, the tenant"],
        ),
        (
            "/issuers/tenants/issuer",
            Some(json!("http://login.example.com/{tid}/v2.0")),
            &["issuers.tenants.issuer: must be https; http is for loopback hosts only"],
        ),
        (
            "/issuers/corp/issuer",
            Some(json!("https://login.example.com/t2/v2.0")),
            &["issuers.tenants.issuer: is also the issuer of issuers.corp: `iss` must mean one"],
        ),
        (
            "/issuers/tenants/jwks/metadata_uri",
            None,
            &[
                "issuers.tenants.jwks.metadata_uri: needs the URL of the metadata of all tenants together, such as `https://login.microsoftonline.com/organizations/v2.0/.well-known/openid-configuration`",
            ],
        ),
        (
            "/issuers/tenants/jwks/metadata_uri",
            Some(json!("http://login.example.com/")),
            &["issuers.tenants.jwks.metadata_uri: must be https; http is for loopback hosts only"],
        ),
        (
            "/issuers/tenants/jwks/discovery",
            Some(json!("oidc")),
            &["issuers.tenants.jwks.discovery: unknown value `oidc`; known are openid, oauth"],
        ),
        (
            "/issuers/tenants/jwks/cluster",
            None,
            &[
                "issuers.tenants.jwks.cluster: name the Envoy cluster through which `metadata_uri` is reached",
            ],
        ),
        (
            "/issuers/tenants/jwks/keys_cluster",
            Some(json!("")),
            &["issuers.tenants.jwks.keys_cluster: is empty"],
        ),
        (
            "/issuers/tenants/jwks/uri",
            Some(json!("https://login.example.com/jwks")),
            &["issuers.tenants.jwks: has more than one of `uri`, `discovery` and `keys`; keep one"],
        ),
        (
            "/issuers/corp/jwks/metadata_uri",
            Some(json!("https://idp.example.com/m")),
            &["issuers.corp.jwks.metadata_uri: is of no use without `discovery`; leave it out"],
        ),
        (
            "/issuers/corp/jwks/keys_cluster",
            Some(json!("keys")),
            &["issuers.corp.jwks.keys_cluster: is of no use without `discovery`; leave it out"],
        ),
        (
            "/issuers/corp/jwks/stale_for",
            Some(json!("8days")),
            &["issuers.corp.jwks.stale_for: must be from 0s to 7days"],
        ),
        (
            "/issuers/partner/jwks/stale_for",
            Some(json!("1h")),
            &["issuers.partner.jwks.stale_for: is of no use with `keys`; leave it out"],
        ),
        (
            "/issuers/partner/jwks",
            None,
            &[
                "issuers.partner.jwks: is needed to verify tokens, except with `introspection` of `opaque` ones",
                "issuers.partner.algorithms: is of no use without `jwks`; leave it out",
            ],
        ),
        (
            "/issuers/vault/introspection/signed_for",
            Some(json!("us")),
            &[
                "issuers.vault.introspection.signed_for: needs `jwks`: signed answers are verified by the issuer's keys",
            ],
        ),
        (
            "/issuers/vault/jwks",
            Some(json!({ "keys": [p256_key()] })),
            &[
                "issuers.vault.algorithms: say which algorithms the issuer signs with, such as `[\"ES256\"]`",
                "issuers.vault.jwks.keys: no usable key (of the issuer's `algorithms`, and public)",
            ],
        ),
        (
            "/issuers/corp/token_types",
            Some(json!(["dpop+jwt", "application/Logout+JWT", "id+jwt"])),
            &[
                "issuers.corp.token_types[0]: is the type of JWTs that are no access tokens",
                "issuers.corp.token_types[1]: is the type of JWTs that are no access tokens",
                "issuers.corp.token_types[2]: is the type of JWTs that are no access tokens",
            ],
        ),
        (
            "/issuers/corp/max_token_age",
            Some(json!("9s")),
            &["issuers.corp.max_token_age: must be from 10s to 30days"],
        ),
        (
            "/issuers/corp/max_token_lifetime",
            Some(json!("31days")),
            &["issuers.corp.max_token_lifetime: must be from 10s to 30days"],
        ),
        (
            "/issuers/corp/claims/scope",
            Some(json!(["scp"])),
            &["issuers.corp.claims.scope: unknown member `scope`; did you mean `scopes`?"],
        ),
        (
            "/issuers/corp/claims/scopes",
            Some(json!("scp")),
            &["issuers.corp.claims.scopes: expected an array, found a string"],
        ),
        (
            "/issuers/corp/claims/scopes",
            Some(json!([])),
            &["issuers.corp.claims.scopes: is empty: at least one is needed"],
        ),
        (
            "/issuers/corp/claims/scopes",
            Some(json!([7])),
            &[
                "issuers.corp.claims.scopes[0]: expected a claim such as \"roles\", \"realm_access.roles\" or [\"name.with.dots\"], found a number",
            ],
        ),
        (
            "/issuers/corp/claims/scopes",
            Some(json!(["a..b", "", [], [""], vec!["a"; 9]])),
            &[
                "issuers.corp.claims.scopes[0]: has an empty name; write `outer.inner`, or an array of the names",
                "issuers.corp.claims.scopes[1]: has an empty name; write `outer.inner`, or an array of the names",
                "issuers.corp.claims.scopes[2]: is empty: at least one is needed",
                "issuers.corp.claims.scopes[3]: has an empty name; write `outer.inner`, or an array of the names",
                "issuers.corp.claims.scopes[4]: has 9 entries; at most 8 are taken",
            ],
        ),
        (
            "/issuers/corp/claims/scopes",
            Some(json!(vec!["scp"; 17])),
            &["issuers.corp.claims.scopes: has 17 entries; at most 16 are taken"],
        ),
        (
            "/issuers/corp/revocation/uri",
            Some(json!("http://idp.example.com/revoked")),
            &["issuers.corp.revocation.uri: must be https; http is for loopback hosts only"],
        ),
        (
            "/issuers/corp/revocation/cluster",
            Some(json!("")),
            &[
                "issuers.corp.revocation.cluster: name the Envoy cluster through which `uri` is reached",
            ],
        ),
        (
            "/issuers/corp/revocation/refresh",
            Some(json!("1s")),
            &["issuers.corp.revocation.refresh: must be from 10s to 1day"],
        ),
    ]);
}

#[test]
fn what_is_wrong_with_introspection_is_told() {
    let client = |value| Some(value);
    assert_told(&[
        (
            "/issuers/corp/introspection/uri",
            Some(json!("http://idp.example.com/introspect")),
            &["issuers.corp.introspection.uri: must be https; http is for loopback hosts only"],
        ),
        (
            "/issuers/corp/introspection/cluster",
            Some(json!("")),
            &[
                "issuers.corp.introspection.cluster: name the Envoy cluster through which `uri` is reached",
            ],
        ),
        (
            "/issuers/corp/introspection/tokens",
            Some(json!("by_rules")),
            &[
                "issuers.corp.introspection.tokens: unknown value `by_rules`; did you mean `by_rule`?",
            ],
        ),
        (
            "/issuers/corp/introspection/signed_for",
            Some(json!("")),
            &["issuers.corp.introspection.signed_for: is empty"],
        ),
        (
            "/issuers/corp/introspection/cache",
            Some(json!("6m")),
            &["issuers.corp.introspection.cache: must be from 0s to 5m"],
        ),
        (
            "/issuers/corp/introspection/negative_cache",
            Some(json!("61s")),
            &["issuers.corp.introspection.negative_cache: must be from 0s to 1m"],
        ),
        (
            "/issuers/corp/introspection/client",
            None,
            &["issuers.corp.introspection: missing member `client`"],
        ),
        (
            CLIENT,
            client(json!({ "method": "client_secret_jwt" })),
            &[
                "issuers.corp.introspection.client.method: unknown value `client_secret_jwt`; did you mean `client_secret_post`?",
            ],
        ),
        (
            CLIENT,
            client(json!({ "method": "client_secret_basic" })),
            &[
                "issuers.corp.introspection.client.client_id: `client_secret_basic` needs it",
                "issuers.corp.introspection.client.client_secret: `client_secret_basic` needs it",
            ],
        ),
        (
            CLIENT,
            client(json!({ "method": "private_key_jwt", "client_id": "" })),
            &[
                "issuers.corp.introspection.client.key: `private_key_jwt` needs it",
                "issuers.corp.introspection.client.algorithm: `private_key_jwt` needs it",
                "issuers.corp.introspection.client.client_id: is empty",
            ],
        ),
        (
            CLIENT,
            client(json!({
                "method": "injected", "client_id": "a", "client_secret": { "env": "CORP_SECRET" },
                "key": { "env": "PARTNER_KEY" }, "algorithm": "ES256", "key_id": "a",
                "certificate_sha256": "a", "audience": "a"
            })),
            &[
                "issuers.corp.introspection.client.client_id: is of no use with `injected`; leave it out",
                "issuers.corp.introspection.client.client_secret: is of no use with `injected`; leave it out",
                "issuers.corp.introspection.client.key: is of no use with `injected`; leave it out",
                "issuers.corp.introspection.client.algorithm: is of no use with `injected`; leave it out",
                "issuers.corp.introspection.client.key_id: is of no use with `injected`; leave it out",
                "issuers.corp.introspection.client.certificate_sha256: is of no use with `injected`; leave it out",
                "issuers.corp.introspection.client.audience: is of no use with `injected`; leave it out",
            ],
        ),
        (
            "/issuers/corp/introspection/client/client_secret",
            Some(json!("pa55word")),
            &[
                "issuers.corp.introspection.client.client_secret: expected an object, found a string",
            ],
        ),
        (
            "/issuers/corp/introspection/client/client_secret/env",
            Some(json!("corp_secret")),
            &[
                "issuers.corp.introspection.client.client_secret.env: is no name of a variable: 1 to 128 capital letters, digits and `_`",
            ],
        ),
        (
            "/issuers/corp/introspection/client/client_secret/env",
            Some(json!("OTHER_SECRET")),
            &[
                "issuers.corp.introspection.client.client_secret: the environment of the filter has no `OTHER_SECRET`, or an empty one; set it in `vm_config.environment_variables`",
            ],
        ),
        (
            "/issuers/tenants/introspection",
            Some(json!({
                "uri": "https://login.example.com/introspect", "cluster": "login",
                "client": {
                    "method": "private_key_jwt", "client_id": "a",
                    "key": { "env": "PARTNER_KEY" }, "algorithm": "ES256"
                }
            })),
            &[
                "issuers.tenants.introspection.client.audience: `{tid}` in `issuer` leaves open whom the assertion is for",
            ],
        ),
    ]);
}
