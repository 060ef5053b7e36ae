//! What an issuer says of an opaque token (RFC 7662 section 2.2), read as a token.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::support::*;
use crate::json;
use crate::token::token_rules::TokenRules;
use crate::token::{AccessToken, Identifier, Issuer, IssuerId, SubjectKind, TokenError};

fn read(change: impl FnOnce(&mut Issuer), claims: &Value) -> Result<AccessToken, TokenError> {
    let mut opaque = Issuer { keys: None, ..issuer(crate::token::KeySource::Inline(no_keys())) };
    change(&mut opaque);
    let document = claims.to_string();
    let claims = json::read(document.as_bytes()).unwrap();
    TokenRules::new(&opaque).read_introspected(IssuerId(3), claims.as_object().unwrap())
}

fn no_keys() -> crate::token::KeySet {
    crate::token::KeySet::parse(&jwks(&[jwk(1, "k1")]), &ALL).unwrap()
}

fn answer() -> Value {
    json!({
        "active": true, "sub": "alice", "client_id": "agent", "aud": AUDIENCE,
        "exp": now() + 300, "scope": "docs.read", "token_type": "Bearer", "username": "a@corp.example",
    })
}

#[test]
fn rfc7662_2_2_what_may_be_left_out() {
    let token = read(|_| (), &answer()).unwrap();
    assert_eq!((token.issuer, token.issuer_url.as_str()), (IssuerId(3), ISSUER));
    assert_eq!((token.subject.as_str(), token.client_id.as_str()), ("alice", "agent"));
    assert_eq!(Vec::from_iter(&token.scopes), ["docs.read"]);
    assert_eq!((token.token_id, token.not_before), (None, None));
    assert_eq!(token.issued_at, SystemTime::UNIX_EPOCH);
    for name in ["sub", "client_id", "aud", "exp"] {
        let claims = with(answer(), name, Value::Null);
        assert_eq!(read(|_| (), &claims).unwrap_err(), TokenError::MissingClaim(name));
    }
}

#[test]
fn rfc7662_4_what_is_there_must_fit() {
    for (name, claim, expected) in [
        ("iss", json!("https://other.example"), TokenError::UnknownIssuer),
        ("iss", json!(7), TokenError::BadClaim("iss")),
        ("iat", json!("now"), TokenError::BadClaim("iat")),
        ("nbf", json!("now"), TokenError::BadClaim("nbf")),
        ("jti", json!(""), TokenError::BadClaim("jti")),
        ("cnf", json!({"jkt": "x"}), TokenError::Confirmation),
        ("scope", json!("a  b"), TokenError::BadClaim("scope")),
        ("aud", json!([]), TokenError::BadClaim("aud")),
        // Active, and no access token.
        ("typ", json!("Refresh"), TokenError::NotAnAccessToken("typ")),
        ("token_use", json!("refresh_token"), TokenError::NotAnAccessToken("token_use")),
    ] {
        let claims = with(answer(), name, claim.clone());
        assert_eq!(read(|_| (), &claims).unwrap_err(), expected, "{name} {claim}");
    }
    assert!(read(|_| (), &with(answer(), "iss", json!(ISSUER))).is_ok());
    let bound = with(answer(), "cnf", json!({"jkt": encode([7; 32])}));
    assert!(read(|_| (), &bound).unwrap().confirmation.key.is_some());
}

#[test]
fn age_is_from_iat_else_nbf_and_bounded_only_by_iat() {
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let nbf = with(answer(), "nbf", json!(now() - 20));
    assert_eq!(read(|_| (), &nbf).unwrap().issued_at, at(now() - 20));
    let both = with(nbf.clone(), "iat", json!(now() - 30));
    assert_eq!(read(|_| (), &both).unwrap().issued_at, at(now() - 30));
    let hour = Some(Duration::from_secs(3600));
    let aged: [fn(&mut Issuer, Option<Duration>); 2] =
        [|issuer, hour| issuer.max_age = hour, |issuer, hour| issuer.max_lifetime = hour];
    for bound in aged {
        let refused = read(|issuer| bound(issuer, hour), &nbf).unwrap_err();
        assert_eq!(refused, TokenError::MissingClaim("iat"));
        assert!(read(|issuer| bound(issuer, hour), &both).is_ok());
    }
}

#[test]
fn the_tenant_is_in_the_claim_where_iss_is_left_out() {
    let tenants = |issuer: &mut Issuer| {
        issuer.identifier = Identifier::PerTenant {
            prefix: "https://idp.example.com/".to_owned(),
            suffix: "/v2.0".to_owned(),
            tenants: vec!["t1".to_owned(), "t2".to_owned()],
        };
    };
    let of = |tenant: &str| with(answer(), "tid", json!(tenant));
    assert_eq!(read(tenants, &of("t1")).unwrap().issuer_url, "https://idp.example.com/t1/v2.0");
    assert_eq!(read(tenants, &of("t3")).unwrap_err(), TokenError::Tenant);
    assert_eq!(read(tenants, &answer()).unwrap_err(), TokenError::MissingClaim("tid"));
    let other = with(of("t1"), "iss", json!("https://idp.example.com/t2/v2.0"));
    assert_eq!(read(tenants, &other).unwrap_err(), TokenError::Tenant);
}

#[test]
fn identity_is_read_as_from_a_jwt() {
    let act = json!({"sub": "planner", "iss": ISSUER, "act": {"client_id": "ui"}});
    let identity = with(with(answer(), "act", act), "groups", json!(["staff"]));
    let token = read(|_| (), &identity).unwrap();
    let actors: Vec<_> = token.actors.iter().map(|actor| actor.subject.as_deref()).collect();
    assert_eq!(actors, [Some("planner"), None]);
    assert!(token.actors.iter().all(|actor| actor.issuer.is_none()));
    assert_eq!((token.kind, token.groups.len()), (SubjectKind::User, 1));
    let own = read(|_| (), &with(answer(), "sub", json!("agent"))).unwrap();
    assert_eq!(own.kind, SubjectKind::Workload);
    for (name, bad) in [("act", json!([])), ("may_act", json!("x")), ("idtyp", json!("other"))] {
        let refused = read(|_| (), &with(answer(), name, bad)).unwrap_err();
        assert_eq!(refused, TokenError::BadClaim(name));
    }
}
