//! In whose name a token was issued: what tells tokens for workloads from those for users.

use serde_json::{Value, json};

use super::support::*;
use crate::token::{ClaimPath, Issuer, SubjectKind, TokenError, ValuePattern, WorkloadMark};

use SubjectKind::{User, Workload};

/// The usual token, for `alice` by the client `agent`, with these members besides.
fn token(members: &Value) -> String {
    let members = members.as_object().unwrap().clone();
    let claims =
        members.into_iter().fold(claims(), |claims, (name, value)| with(claims, &name, value));
    sign(1, &header(), &claims)
}

fn kind(members: &Value) -> Result<SubjectKind, TokenError> {
    outcome(&token(members)).map(|token| token.kind)
}

/// As [`kind`], where the issuer marks workloads in `kind`.
fn marked_kind(claim: &[&str], members: &Value) -> Result<SubjectKind, TokenError> {
    let claim = ClaimPath::nested(claim.iter().map(|name| (*name).to_owned()).collect());
    let values =
        vec![ValuePattern::Exact("service".to_owned()), ValuePattern::Prefix("svc-".to_owned())];
    let mark = |issuer: &mut Issuer| issuer.claims.workload = Some(WorkloadMark { claim, values });
    outcome_with(mark, &token(members)).map(|token| token.kind)
}

#[test]
fn rfc9068_2_2_a_subject_that_is_the_client_is_a_workload() {
    assert_eq!(kind(&json!({})), Ok(User));
    assert_eq!(kind(&json!({"sub": "agent"})), Ok(Workload));
    assert_eq!(kind(&json!({"sub": "Agent"})), Ok(User));
    assert_eq!(kind(&json!({"sub": "agent", "idtyp": "user"})), Ok(Workload));
}

/// The subject may be read from a claim whose value a user chooses; the client is then one
/// user's name for the asking.
#[test]
fn rfc9068_5_a_name_that_users_choose_makes_no_workload() {
    let by_name = |issuer: &mut Issuer| {
        issuer.claims.subject = vec![ClaimPath::name("preferred_username".to_owned())];
    };
    let named = |members: Value| outcome_with(by_name, &token(&members)).unwrap();
    let user = named(json!({"preferred_username": "agent"}));
    assert_eq!((user.subject.as_str(), user.kind), ("agent", User));
    let client = named(json!({"preferred_username": "x", "sub": "agent"}));
    assert_eq!(client.kind, Workload);
    // Without `sub` there is nothing else to go by.
    let claims = with(with(claims(), "sub", Value::Null), "preferred_username", json!("agent"));
    let sent = sign(1, &header(), &claims);
    assert_eq!(outcome_with(by_name, &sent).unwrap().kind, Workload);
}

/// Otherwise a client would make a user's token of its own by exchanging it.
#[test]
fn rfc8693_4_1_an_actor_makes_no_user_of_a_workload() {
    let act = json!({"sub": "other"});
    assert_eq!(kind(&json!({"sub": "agent", "act": act})), Ok(Workload));
    assert_eq!(kind(&json!({"idtyp": "app", "act": act})), Ok(Workload));
    assert_eq!(kind(&json!({"gty": "client-credentials", "act": act})), Ok(Workload));
    let exchanged = json!({"sub": "agent@clients", "client_id": "other", "act": act});
    assert_eq!(kind(&exchanged), Err(TokenError::BadClaim("sub")));
    // The usual exchange: the client acts for a user.
    assert_eq!(kind(&json!({"act": {"sub": "agent"}})), Ok(User));
    assert_eq!(kind(&json!({"act": {"sub": "alice"}})), Ok(User));
}

#[test]
fn entra_idtyp_says_it() {
    assert_eq!(kind(&json!({"idtyp": "app"})), Ok(Workload));
    assert_eq!(kind(&json!({"idtyp": "app", "scp": "docs.read"})), Ok(Workload));
    assert_eq!(kind(&json!({"idtyp": "user"})), Ok(User));
    let same = json!({"idtyp": "user", "oid": "alice", "scope": null});
    assert_eq!(kind(&same), Ok(User));
    for bad in [json!("App"), json!("device"), json!(""), json!(["app"]), json!(1)] {
        assert_eq!(kind(&json!({"idtyp": bad})), Err(TokenError::BadClaim("idtyp")), "{bad}");
    }
}

#[test]
fn entra_without_idtyp_an_application_is_its_own_object_and_has_no_scopes() {
    let app = json!({"oid": "alice", "scope": null, "roles": ["Docs.Read.All"]});
    assert_eq!(kind(&app), Ok(Workload));
    assert_eq!(kind(&with(app.clone(), "scp", json!("/"))), Ok(Workload));
    assert_eq!(kind(&with(app.clone(), "scp", json!(""))), Ok(Workload));
    assert_eq!(kind(&with(app.clone(), "scp", json!([]))), Ok(Workload));
    assert_eq!(kind(&json!({"oid": "alice", "scp": "/", "scope": "docs.read"})), Ok(User));
    assert_eq!(kind(&with(app.clone(), "scp", json!("docs.read"))), Ok(User));
    assert_eq!(kind(&with(app.clone(), "scp", json!(["docs.read"]))), Ok(User));
    assert_eq!(kind(&with(app.clone(), "scope", json!("docs.read"))), Ok(User));
    assert_eq!(kind(&with(app.clone(), "oid", json!("bob"))), Ok(User));
    assert_eq!(kind(&with(app, "oid", json!(7))), Err(TokenError::BadClaim("oid")));
    // Wherever the subject is read from, `oid` and `sub` are compared.
    let by_object =
        |issuer: &mut Issuer| issuer.claims.subject = vec![ClaimPath::name("oid".to_owned())];
    let user = token(&json!({"oid": "o1", "scope": null}));
    assert_eq!(outcome_with(by_object, &user).unwrap().kind, User);
}

#[test]
fn auth0_says_the_grant_or_marks_the_client() {
    assert_eq!(kind(&json!({"gty": "client-credentials"})), Ok(Workload));
    assert_eq!(kind(&json!({"gty": ["refresh_token", "client-credentials"]})), Ok(Workload));
    assert_eq!(kind(&json!({"gty": "password"})), Ok(User));
    assert_eq!(kind(&json!({"sub": "agent@clients"})), Ok(Workload));
    // Exchanged by another client, it is nobody's that could be told.
    assert_eq!(kind(&json!({"sub": "other@clients"})), Err(TokenError::BadClaim("sub")));
    for bad in [json!(1), json!({}), json!([1]), json!("")] {
        assert_eq!(kind(&json!({"gty": bad})), Err(TokenError::BadClaim("gty")), "{bad}");
    }
}

/// The name with this client in it is taken. With another one's, it is a user who took that
/// name, or a token of that client which this one exchanged: nobody can say.
#[test]
fn keycloak_names_the_service_account_after_its_client() {
    let name = |name: &str| kind(&json!({"preferred_username": name}));
    assert_eq!(name("service-account-agent"), Ok(Workload));
    let unclear = Err(TokenError::BadClaim("preferred_username"));
    assert_eq!(name("service-account-other"), unclear);
    assert_eq!(name("service-account-"), unclear);
    let said = |idtyp| json!({"idtyp": idtyp, "preferred_username": "service-account-other"});
    assert_eq!((kind(&said("user")), kind(&said("app"))), (Ok(User), Ok(Workload)));
    assert_eq!(name("xservice-account-agent"), Ok(User));
    let upper = json!({"client_id": "Agent", "preferred_username": "service-account-agent"});
    assert_eq!(kind(&upper), Ok(Workload));
    let bad = json!({"preferred_username": ["service-account-agent"]});
    assert_eq!(kind(&bad), Err(TokenError::BadClaim("preferred_username")));
}

#[test]
fn an_issuers_own_mark_counts_beside_the_known_ones() {
    let kind = |value: Value| marked_kind(&["ext", "kind"], &json!({"ext": {"kind": value}}));
    assert_eq!(kind(json!("service")), Ok(Workload));
    assert_eq!(kind(json!("svc-7")), Ok(Workload));
    assert_eq!(kind(json!("service-7")), Ok(User));
    assert_eq!(kind(json!("a svc-7")), Ok(User));
    assert_eq!(kind(json!(["human", "svc-7"])), Ok(Workload));
    for bad in [json!(true), json!(7), json!({}), json!([["service"]]), json!("")] {
        assert_eq!(kind(bad.clone()), Err(TokenError::BadClaim("workload")), "{bad}");
    }
    assert_eq!(marked_kind(&["kind"], &json!({})), Ok(User));
    assert_eq!(marked_kind(&["kind"], &json!({"sub": "agent"})), Ok(Workload));
    let both = json!({"kind": "service", "idtyp": "user"});
    assert_eq!(marked_kind(&["kind"], &both), Ok(Workload));
}
