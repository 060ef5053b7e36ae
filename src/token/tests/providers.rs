//! The tokens of providers, by the claim sets they document: which settings make their
//! access tokens work, and that their ID tokens do not pass for them.
//!
//! Each fixture has an `issuer` as the configuration has it. Its tokens are signed here,
//! so `alg` and `kid` of their headers are replaced; everything else is sent as it stands.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::support::*;
use crate::host::fake::FakeHost;
use crate::token::{
    Authenticator, Caller, ClaimPath, Identifier, Issuer, IssuerId, KeySet, KeySource, Outcome,
    TokenError, TokenType, Waited,
};

const FIXTURES: [&str; 14] = [
    include_str!("providers/auth0-m2m.json"),
    include_str!("providers/auth0-user.json"),
    include_str!("providers/cognito.json"),
    include_str!("providers/entra-v1-app.json"),
    include_str!("providers/entra-v1-user.json"),
    include_str!("providers/entra-v2-app.json"),
    include_str!("providers/entra-v2-user.json"),
    include_str!("providers/jwt-svid.json"),
    include_str!("providers/keycloak.json"),
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

/// Sends a token one minute after it was issued.
fn send(fixture: &Value, token: &Value) -> Result<Caller, TokenError> {
    let header = with(with(token["header"].clone(), "alg", json!("EdDSA")), "kid", json!("k1"));
    let claims = &token["claims"];
    let host = FakeHost::new();
    let issued = Duration::from_secs(claims["iat"].as_u64().unwrap());
    host.now.set(SystemTime::UNIX_EPOCH + issued + Duration::from_secs(60));
    let mut authenticator = Authenticator::new(vec![configured(&fixture["issuer"])], Vec::new());
    let audience = fixture["audience"].as_str().unwrap();
    let token = sign(1, &header, claims);
    match ask(&mut authenticator, &token, &[IssuerId(0)], audience, Waited::not(), &host) {
        Outcome::Verified(caller) => Ok(caller),
        Outcome::Rejected(error) => Err(error),
        Outcome::Waits(_) => Err(TokenError::KeysUnavailable),
    }
}

/// The issuer of these settings.
fn configured(settings: &Value) -> Issuer {
    let mut issuer =
        issuer(KeySource::Inline(KeySet::parse(&jwks(&[jwk(1, "k1")]), &ALL).unwrap()));
    let identifier = settings["issuer"].as_str().unwrap().to_owned();
    issuer.identifier = match identifier.split_once("{tid}") {
        None => Identifier::Exact(identifier),
        Some((prefix, suffix)) => Identifier::PerTenant {
            prefix: prefix.to_owned(),
            suffix: suffix.to_owned(),
            tenants: strings(&settings["tenants"]),
        },
    };
    issuer.token_types = strings(&settings["token_types"])
        .into_iter()
        .map(|typ| if typ == "absent" { TokenType::Absent } else { TokenType::Media(typ) })
        .collect();
    let names = &mut issuer.claims;
    for (name, paths) in settings.get("claims").and_then(Value::as_object).into_iter().flatten() {
        let paths = paths.as_array().unwrap().iter().map(path).collect();
        match name.as_str() {
            "subject" => names.subject = paths,
            "client" => names.client = paths,
            "scopes" => names.scopes = paths,
            "roles" => names.roles = paths,
            other => assert_eq!(other, "tenant"),
        }
    }
    issuer
}

fn path(path: &Value) -> ClaimPath {
    match path.as_str() {
        None => ClaimPath::nested(strings(path)),
        Some(url) if url.starts_with("https://") => ClaimPath::name(url.to_owned()),
        Some(dotted) => ClaimPath::nested(dotted.split('.').map(str::to_owned).collect()),
    }
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}
