//! RFC 8725bis section 3.12: a JWT made for another purpose is no access token.

use serde_json::{Value, json};

use super::support::*;
use crate::token::{Issuer, TokenError, TokenType, is_other_kind};

/// Accepts these `typ`s.
fn types(types: &[TokenType]) -> impl FnOnce(&mut Issuer) {
    let types = types.to_vec();
    move |issuer| issuer.token_types = types
}

fn media(typ: &str) -> TokenType {
    TokenType::Media(typ.to_owned())
}

/// A good token of this `typ` and with this claim besides.
fn token(typ: Value, name: &str, claim: Value) -> String {
    sign(1, &with(header(), "typ", typ), &with(claims(), name, claim))
}

#[test]
fn rfc8725_3_12_other_kinds_are_refused_even_where_configured() {
    for typ in [
        "dpop+jwt",
        "logout+jwt",
        "secevent+jwt",
        "oauth-id-jag+jwt",
        "txntoken+jwt",
        "token-introspection+jwt",
        "id+jwt",
        "oauth-authz-req+jwt",
        "application/dpop+jwt",
        "Application/Logout+JWT",
    ] {
        assert!(is_other_kind(typ), "{typ}");
        let sent = with_header("typ", json!(typ));
        assert_eq!(refusal(&sent), TokenError::Type, "{typ}");
        assert_eq!(outcome_with(types(&[media(typ)]), &sent).unwrap_err(), TokenError::Type);
    }
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "JWT", "JOSE", "text/dpop+jwt", ""] {
        assert!(!is_other_kind(typ), "{typ}");
    }
}

#[test]
fn typ_may_be_absent_only_where_configured() {
    let untyped = with_header("typ", Value::Null);
    let jwt = with_header("typ", json!("JWT"));
    assert!(outcome_with(types(&[TokenType::Absent]), &untyped).is_ok());
    assert!(outcome_with(types(&[media("jwt"), TokenType::Absent]), &jwt).is_ok());
    assert_eq!(outcome_with(types(&[media("JWT")]), &untyped).unwrap_err(), TokenError::Type);
    assert_eq!(outcome_with(types(&[TokenType::Absent]), &jwt).unwrap_err(), TokenError::Type);
    // An empty `typ` is there.
    let empty = with_header("typ", json!(""));
    assert_eq!(outcome_with(types(&[TokenType::Absent]), &empty).unwrap_err(), TokenError::Type);
}

#[test]
fn rfc8725_3_12_marks_of_other_kinds_are_refused_where_typ_does_not_say() {
    for (name, claim) in [
        ("nonce", json!("n-0S6_WzA2Mj")),
        ("at_hash", json!("x")),
        ("c_hash", json!("x")),
        ("s_hash", json!("x")),
        ("events", json!({"http://schemas.openid.net/event/backchannel-logout": {}})),
        ("htm", json!("POST")),
        ("htu", json!(AUDIENCE)),
        ("token_introspection", json!({"active": true})),
        ("req_wl", json!("apigateway.trust-domain.example")),
        ("typ", json!("ID")),
        ("typ", json!("Refresh")),
        ("typ", json!("Offline")),
        ("typ", json!("Logout")),
        ("typ", json!("Serialized-ID")),
        ("typ", json!(["Bearer"])),
        ("token_use", json!("id")),
        ("tokenName", json!("id_token")),
        ("tok_type", json!("IT")),
    ] {
        for typ in [json!("JWT"), json!("JOSE"), Value::Null] {
            let accepted = [media("JWT"), media("JOSE"), TokenType::Absent];
            assert_eq!(
                outcome_with(types(&accepted), &token(typ.clone(), name, claim.clone()))
                    .unwrap_err(),
                TokenError::NotAnAccessToken(name),
                "{typ} {claim}"
            );
        }
        // `at+jwt` says what it is.
        assert!(outcome(&token(json!("at+jwt"), name, claim)).is_ok(), "{name}");
    }
}

#[test]
fn kinds_that_providers_name_in_a_claim() {
    for (name, kind) in [
        ("typ", "Bearer"),
        ("typ", "DPoP"),
        ("token_use", "access"),
        ("tokenName", "access_token"),
        ("tok_type", "AT"),
    ] {
        let sent = token(json!("JWT"), name, json!(kind));
        assert!(outcome_with(types(&[media("JWT")]), &sent).is_ok(), "{name} {kind}");
    }
}

#[test]
fn rfc9068_2_2_jti_is_of_at_jwt() {
    let claims = with(claims(), "jti", Value::Null);
    let sent = sign(1, &header(), &claims);
    assert_eq!(refusal(&sent), TokenError::MissingClaim("jti"));
    let both = [media("at+jwt"), media("JWT")];
    assert_eq!(
        outcome_with(types(&both), &sent).unwrap_err(),
        TokenError::MissingClaim("jti"),
        "by what the token is, not by what is configured"
    );
    let jwt = sign(1, &with(header(), "typ", json!("JWT")), &claims);
    assert_eq!(outcome_with(types(&both), &jwt).unwrap().token_id, None);
}
