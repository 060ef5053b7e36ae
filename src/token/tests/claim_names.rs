//! Where claims are, by the settings of the issuer.

use std::rc::Rc;

use serde_json::{Value, json};

use super::support::*;
use crate::token::{AccessToken, ClaimNames, ClaimPath, TokenError, Verified};

fn path(names: &[&str]) -> ClaimPath {
    ClaimPath::nested(names.iter().map(|name| (*name).to_owned()).collect())
}

/// The outcome of a token with other claims, read where `change` says.
fn read(
    change: impl FnOnce(&mut ClaimNames),
    claims: &Value,
) -> Result<Rc<Verified<AccessToken>>, TokenError> {
    outcome_with(|issuer| change(&mut issuer.claims), &sign(1, &header(), claims))
}

fn without(names: &[&str]) -> Value {
    names.iter().fold(claims(), |claims, name| with(claims, name, Value::Null))
}

#[test]
fn the_first_path_that_leads_somewhere_has_the_value() {
    let claims = with(with(without(&["client_id"]), "appid", json!("v1")), "azp", json!("v2"));
    assert_eq!(read(|_| (), &claims).unwrap().client_id, "v2");
    let claims = with(claims, "azp", Value::Null);
    assert_eq!(read(|_| (), &claims).unwrap().client_id, "v1");
    let claims = with(claims, "appid", Value::Null);
    assert_eq!(read(|_| (), &claims).unwrap_err(), TokenError::MissingClaim("client_id"));
}

#[test]
fn a_bad_value_is_not_passed_over_for_a_later_path() {
    for bad in [json!(""), json!(7), json!(["a"]), json!({}), json!("a\nb"), json!(false)] {
        let claims = with(with(claims(), "azp", json!("good")), "client_id", bad.clone());
        assert_eq!(read(|_| (), &claims).unwrap_err(), TokenError::BadClaim("client_id"), "{bad}");
    }
    // `null` is a value too.
    let null = claims().to_string().replacen("\"agent\"", "null", 1);
    let token = sign_raw(1, &header().to_string(), &null);
    assert_eq!(refusal(&token), TokenError::BadClaim("client_id"));
}

#[test]
fn single_values_may_be_nested_and_must_be_one() {
    let change = |names: &mut ClaimNames| names.subject = vec![path(&["login", "user"])];
    let claims = with(claims(), "login", json!({"user": "bob"}));
    assert_eq!(read(change, &claims).unwrap().subject, "bob");
    let several = with(claims, "login", json!([{"user": "bob"}, {"user": "eve"}]));
    assert_eq!(read(change, &several).unwrap_err(), TokenError::BadClaim("sub"));
    assert_eq!(read(change, &without(&[])).unwrap_err(), TokenError::MissingClaim("sub"));
}

#[test]
fn scopes_are_what_all_paths_lead_to() {
    let claims = with(claims(), "scp", json!(["mail.read", "docs.read"]));
    let token = read(|_| (), &claims).unwrap();
    assert_eq!(Vec::from_iter(&token.scopes), ["docs.read", "docs.write", "mail.read"]);
    let bad = with(claims, "scp", json!(["mail read"]));
    assert_eq!(read(|_| (), &bad).unwrap_err(), TokenError::BadClaim("scope"));
}

#[test]
fn roles_are_arrays_or_one_string() {
    let change = |names: &mut ClaimNames| {
        names.roles = vec![
            path(&["realm_access", "roles"]),
            path(&["resource_access", "docs", "roles"]),
            ClaimPath::name("https://corp.example/roles".to_owned()),
        ];
    };
    let claims = with(claims(), "realm_access", json!({"roles": ["admin", "audit"]}));
    let claims = with(claims, "resource_access", json!({"docs": {"roles": ["Docs Writer"]}}));
    let claims = with(claims, "https://corp.example/roles", json!("admin"));
    let token = read(change, &claims).unwrap();
    assert_eq!(Vec::from_iter(&token.roles), ["Docs Writer", "admin", "audit"]);
    let many: Vec<String> = (0..257).map(|n| n.to_string()).collect();
    for bad in [json!({"a": true}), json!([1]), json!([["a"]]), json!(""), json!(many)] {
        let claims = with(claims.clone(), "https://corp.example/roles", bad.clone());
        assert_eq!(read(change, &claims).unwrap_err(), TokenError::BadClaim("roles"), "{bad}");
    }
    assert!(read(change, &without(&[])).unwrap().roles.is_empty());
}

#[test]
fn the_text_of_a_list_is_bounded() {
    for (name, claim) in [("scope", "scp"), ("roles", "roles")] {
        let names = ["a", "b", "c", "d"].map(|name| name.repeat(2048)).to_vec();
        let fits = with(without(&["scope"]), claim, json!(names));
        assert!(read(|_| (), &fits).is_ok(), "{claim}");
        let mut more = names;
        more.push("e".to_owned());
        let more = with(fits, claim, json!(more));
        assert_eq!(read(|_| (), &more).unwrap_err(), TokenError::BadClaim(name));
    }
}

#[test]
fn rfc9470_6_1_how_and_when_the_subject_authenticated() {
    let authenticated = with(with(claims(), "acr", json!("phr")), "auth_time", json!(now() - 60));
    let token = read(|_| (), &with(authenticated, "sid", json!("s1"))).unwrap();
    assert_eq!((token.acr.as_deref(), token.session.as_deref()), (Some("phr"), Some("s1")));
    let ago = token.issued_at.duration_since(token.authenticated_at.unwrap()).unwrap();
    assert_eq!(ago.as_secs(), 60);
    for (name, bad) in [("acr", json!(1)), ("auth_time", json!("1")), ("sid", json!({}))] {
        assert_eq!(
            read(|_| (), &with(claims(), name, bad)).unwrap_err(),
            TokenError::BadClaim(name)
        );
    }
}
