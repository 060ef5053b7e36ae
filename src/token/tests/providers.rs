//! The tokens of providers, by the claim sets they document: which settings make their
//! access tokens work, and that their ID tokens do not pass for them.
//!
//! Each fixture has an `issuer` as the configuration has it. Its tokens are signed here,
//! so `alg` and `kid` of their headers are replaced; everything else is sent as it stands.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::support::*;
use crate::config;
use crate::host::fake::FakeHost;
use crate::token::{
    Authenticator, Caller, Credential, Demands, Outcome, Scheme, SubjectKind, TokenError, Waited,
    WorkloadEvidence,
};

const FIXTURES: [&str; 17] = [
    include_str!("providers/auth0-m2m.json"),
    include_str!("providers/auth0-user.json"),
    include_str!("providers/cognito.json"),
    include_str!("providers/entra-agent.json"),
    include_str!("providers/entra-v1-app.json"),
    include_str!("providers/entra-v1-user.json"),
    include_str!("providers/entra-v2-app.json"),
    include_str!("providers/entra-v2-user.json"),
    include_str!("providers/jwt-svid.json"),
    include_str!("providers/keycloak-app.json"),
    include_str!("providers/keycloak.json"),
    include_str!("providers/okta-app.json"),
    include_str!("providers/okta.json"),
    include_str!("providers/pingfederate.json"),
    include_str!("providers/pingone-app.json"),
    include_str!("providers/pingone-user.json"),
    include_str!("providers/rfc9068-section-3.json"),
];

#[test]
fn access_tokens_say_who_calls() {
    for fixture in fixtures() {
        let outcome = send(&fixture, &fixture["access_token"]);
        if let Some(refusal) = fixture["refusal"].as_str() {
            assert_eq!(outcome.unwrap_err().code(), refusal, "{}", fixture["provider"]);
            continue;
        }
        let token = outcome.unwrap().token;
        let caller = json!({
            "subject": token.subject, "client": token.client_id, "tenant": token.tenant,
            "scopes": token.scopes, "roles": token.roles,
            "session": token.session, "acr": token.acr,
            "kind": match token.kind {
                SubjectKind::User => "user",
                SubjectKind::Workload => "workload",
            },
        });
        for (name, expected) in fixture["caller"].as_object().unwrap() {
            assert_eq!(&caller[name], expected, "{}", fixture["provider"]);
        }
    }
}

#[test]
fn oidc_core_2_id_tokens_are_refused_under_the_same_settings() {
    let with_id_token = fixtures().into_iter().filter(|fixture| fixture.get("id_token").is_some());
    for fixture in with_id_token {
        let sent = &fixture["id_token"];
        assert!(send(&fixture, sent).is_err(), "{}", fixture["provider"]);
        // Also where client and server are one registration, so that the audience fits.
        let claims = with(sent["claims"].clone(), "aud", fixture["audience"].clone());
        let error = send(&fixture, &with(sent.clone(), "claims", claims)).unwrap_err();
        assert_eq!(error.code(), fixture["id_token_refusal"], "{}", fixture["provider"]);
    }
}

#[test]
fn other_settings_do_not_take_them() {
    for fixture in fixtures() {
        let rfc9068 = fixture["provider"] == "The example of RFC 9068 section 3";
        let strict = with(fixture["issuer"].clone(), "token_types", json!(["at+jwt"]));
        let outcome = send(&with(fixture.clone(), "issuer", strict), &fixture["access_token"]);
        assert_eq!(outcome.is_ok(), rfc9068, "{}", fixture["provider"]);
    }
}

#[test]
fn spiffe_jwt_svid_without_iss_is_of_nobody() {
    let fixture: Value = serde_json::from_str(include_str!("providers/jwt-svid.json")).unwrap();
    let sent = fixture["access_token"].clone();
    let claims = with(sent["claims"].clone(), "iss", Value::Null);
    let error = send(&fixture, &with(sent, "claims", claims)).unwrap_err();
    assert_eq!(error, TokenError::UnknownIssuer);
}

fn fixtures() -> Vec<Value> {
    FIXTURES.iter().map(|fixture| serde_json::from_str(fixture).unwrap()).collect()
}

/// Sends a token one minute after it was issued, to a server of that configuration.
fn send(fixture: &Value, token: &Value) -> Result<Caller, TokenError> {
    let header = with(with(token["header"].clone(), "alg", json!("EdDSA")), "kid", json!("k1"));
    let claims = &token["claims"];
    let host = FakeHost::new();
    let issued = Duration::from_secs(claims["iat"].as_u64().unwrap());
    host.now.set(SystemTime::UNIX_EPOCH + issued + Duration::from_secs(60));
    let loaded = config::load(&configuration(fixture), &config::Secrets::assumed()).unwrap();
    let mut authenticator = Authenticator::new(loaded.issuers, loaded.nonce_keys);
    let server = &loaded.enforcement.servers[0];
    let token = sign(1, &header, claims);
    let credential = Credential {
        scheme: Scheme::Bearer,
        token: &token,
        proof: None,
        method: "POST",
        certificate: None,
        workload: WorkloadEvidence::default(),
    };
    let demands = Demands {
        issuers: &server.issuers,
        resource: &server.resource,
        audiences: &server.audiences,
        dpop: &server.dpop,
        mtls: &server.mtls,
    };
    match authenticator.authenticate(&credential, &demands, Waited::not(), &host) {
        Outcome::Verified(caller) => Ok(caller),
        Outcome::Rejected(error) | Outcome::Refused(_, error) => Err(error),
        Outcome::Waits(_) => Err(TokenError::KeysUnavailable),
    }
}

/// A document with the fixture's issuer, and a key of ours in place of its own.
fn configuration(fixture: &Value) -> Vec<u8> {
    let issuer = with(fixture["issuer"].clone(), "algorithms", json!(["EdDSA"]));
    let issuer = with(issuer, "jwks", json!({ "keys": [jwk(1, "k1")] }));
    json!({
        "issuers": { "idp": issuer },
        "servers": [{
            "resource": "https://gateway.example/mcp",
            "audiences": [fixture["audience"]],
            "issuers": ["idp"],
            "methods": { "allow": ["ping"] },
        }],
    })
    .to_string()
    .into_bytes()
}

/// The settings of a provider, as `docs/identity-providers.md` has them under its name.
#[test]
fn the_documentation_shows_the_settings_that_are_tested() {
    let documentation = include_str!("../../../docs/identity-providers.md");
    let shown: Vec<Value> = documentation
        .split("```json\n")
        .skip(1)
        .map(|block| serde_json::from_str(block.split("```").next().unwrap()).unwrap())
        .collect();
    for fixture in fixtures().into_iter().filter(|fixture| fixture["refusal"].is_null()) {
        assert!(shown.contains(&fixture["issuer"]), "{:#}", fixture["issuer"]);
    }
}
