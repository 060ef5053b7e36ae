//! One issuer for each tenant, as Microsoft Entra ID has them.

use serde_json::{Value, json};

use super::support::*;
use crate::host::fake::FakeHost;
use crate::token::{Authenticator, Identifier, KeySet, KeySource, TokenError};

const TENANT: &str = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490";
const OTHER: &str = "82229342-1101-4ab6-817b-70c0747630f3";
const STRANGER: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

fn iss(tenant: &str) -> String {
    format!("https://login.microsoftonline.com/{tenant}/v2.0")
}

/// Accepts two tenants, with these keys.
fn entra(keys: &[Value]) -> Authenticator {
    let mut issuer = issuer(KeySource::Inline(KeySet::parse(&jwks(keys), &ALL).unwrap()));
    issuer.identifier = Identifier::PerTenant {
        prefix: "https://login.microsoftonline.com/".to_owned(),
        suffix: "/v2.0".to_owned(),
        tenants: vec![TENANT.to_owned(), OTHER.to_owned(), "a/b".to_owned(), String::new()],
    };
    Authenticator::new(vec![issuer], Vec::new())
}

fn token(iss: &str, tid: Value) -> String {
    sign(1, &header(), &with(with(claims(), "iss", json!(iss)), "tid", tid))
}

fn outcome(token: &str) -> Result<(String, Option<String>), TokenError> {
    check(&mut entra(&[jwk(1, "k1")]), token, &FakeHost::new())
        .map(|token| (token.issuer_url.clone(), token.tenant.clone()))
}

#[test]
fn tokens_of_the_accepted_tenants_only() {
    for tenant in [TENANT, OTHER] {
        let accepted = outcome(&token(&iss(tenant), json!(tenant)));
        assert_eq!(accepted, Ok((iss(tenant), Some(tenant.to_owned()))));
    }
    let stranger = token(&iss(STRANGER), json!(STRANGER));
    assert_eq!(outcome(&stranger), Err(TokenError::UnknownIssuer));
}

#[test]
fn iss_is_the_template_with_a_tenant_and_nothing_else() {
    for iss in [
        "https://login.microsoftonline.com/{tid}/v2.0",
        "https://login.microsoftonline.com/v2.0",
        "https://login.microsoftonline.com//v2.0x",
        &iss("a/b"),
        &iss(&TENANT.to_uppercase()),
        &format!("{}/", iss(TENANT)),
        &format!("x{}", iss(TENANT)),
        &format!("https://login.microsoftonline.com/{TENANT}"),
        &format!("https://login.microsoftonline.com/evil/{TENANT}/v2.0"),
        &format!("https://sts.windows.net/{TENANT}/"),
        TENANT,
        "",
    ] {
        let error = outcome(&token(iss, json!(TENANT))).unwrap_err();
        assert_eq!(error, TokenError::UnknownIssuer, "{iss}");
    }
}

#[test]
fn the_tenant_must_be_the_one_in_iss() {
    for (tid, expected) in [
        (json!(OTHER), TokenError::Tenant),
        (json!(STRANGER), TokenError::Tenant),
        (json!("a/b"), TokenError::Tenant),
        (Value::Null, TokenError::MissingClaim("tid")),
        (json!(""), TokenError::BadClaim("tid")),
        (json!([TENANT]), TokenError::BadClaim("tid")),
    ] {
        assert_eq!(outcome(&token(&iss(TENANT), tid.clone())), Err(expected), "{tid}");
    }
}

#[test]
fn an_exact_issuer_does_not_need_a_tenant() {
    let read = |tid| super::support::outcome(&with_claim("tid", tid)).map(|t| t.tenant.clone());
    assert_eq!(read(json!(TENANT)), Ok(Some(TENANT.to_owned())));
    assert_eq!(read(Value::Null), Ok(None));
}

#[test]
fn entra_keys_of_one_tenant_vouch_for_no_other() {
    let key_of = |issuer: &str| with(jwk(1, "k1"), "issuer", json!(issuer));
    let judge = |key: Value, tenant: &str| {
        check(&mut entra(&[key]), &token(&iss(tenant), json!(tenant)), &FakeHost::new()).map(|_| ())
    };
    let template = "https://login.microsoftonline.com/{tenantid}/v2.0";
    for (key, tenant, expected) in [
        (key_of(template), TENANT, Ok(())),
        (key_of(template), OTHER, Ok(())),
        (key_of(&iss(OTHER)), OTHER, Ok(())),
        (key_of(&iss(OTHER)), TENANT, Err(TokenError::UnknownKey)),
        (key_of(&iss(STRANGER)), TENANT, Err(TokenError::UnknownKey)),
        (key_of("https://sts.windows.net/{tenantid}/"), TENANT, Err(TokenError::UnknownKey)),
        (key_of(""), TENANT, Err(TokenError::UnknownKey)),
        (jwk(1, "k1"), TENANT, Ok(())),
    ] {
        assert_eq!(judge(key.clone(), tenant), expected, "{key} {tenant}");
    }
    // Where there is one tenant, its keys are named by nothing but where they are published.
    let keys = [key_of(&iss(OTHER))];
    let exact = sign(1, &header(), &claims());
    assert!(check(&mut inline(&keys), &exact, &FakeHost::new()).is_ok());
}

#[test]
fn a_key_that_becomes_another_tenants_is_another_key() {
    let parse = |issuer: &str| {
        let key = with(jwk(1, "k1"), "issuer", json!(iss(issuer)));
        KeySet::parse(&jwks(&[key]), &ALL).unwrap()
    };
    let id = *parse(TENANT).find(Some("k1")).unwrap().id();
    assert!(parse(TENANT).holds(&id));
    assert!(!parse(OTHER).holds(&id));
}
