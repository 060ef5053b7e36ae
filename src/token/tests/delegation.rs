//! RFC 8693: who acts for whom.

use serde_json::{Value, json};

use super::support::*;
use crate::token::{Actor, MAX_ACTORS, TokenError};

fn actors(act: Value) -> Result<Vec<Actor>, TokenError> {
    outcome(&with_claim("act", act)).map(|token| token.actors.clone())
}

fn may_act(party: Value) -> Result<Option<Actor>, TokenError> {
    outcome(&with_claim("may_act", party)).map(|token| token.may_act.clone())
}

fn subject(name: &str) -> Actor {
    Actor { subject: Some(name.to_owned()), ..Actor::default() }
}

/// A chain of so many actors, the current one `a1`.
fn chain(length: usize) -> Value {
    let around = |inner, number| with(json!({"sub": format!("a{number}")}), "act", inner);
    (1..=length).rev().fold(Value::Null, around)
}

#[test]
fn rfc8693_4_1_the_current_actor_is_the_outermost() {
    let nested = json!({"sub": "a1", "act": {"sub": "a2", "act": {"sub": "a3"}}});
    assert_eq!(actors(nested).unwrap(), ["a1", "a2", "a3"].map(subject));
    assert_eq!(outcome(&sign(1, &header(), &claims())).unwrap().actors, []);
}

#[test]
fn rfc8693_4_1_parties_are_identified_by_iss_sub_and_client_id() {
    let party = json!({"iss": "https://b.example", "sub": "bot", "client_id": "c"});
    let expected = Actor {
        issuer: Some("https://b.example".to_owned()),
        subject: Some("bot".to_owned()),
        client_id: Some("c".to_owned()),
    };
    assert_eq!(may_act(party.clone()).unwrap().as_ref(), Some(&expected));
    assert_eq!(actors(party).unwrap(), [expected]);
    let client = json!({"client_id": "c"});
    assert_eq!(actors(client).unwrap()[0].client_id.as_deref(), Some("c"));
}

#[test]
fn rfc8693_4_1_the_tokens_own_iss_adds_nothing() {
    let own = json!({"iss": ISSUER, "sub": "a1", "act": {"iss": ISSUER, "sub": "a2"}});
    assert_eq!(actors(own).unwrap(), ["a1", "a2"].map(subject));
    let own = json!({"iss": ISSUER, "sub": "a1"});
    assert_eq!(may_act(own).unwrap(), Some(subject("a1")));
}

#[test]
fn rfc8693_4_1_claims_that_identify_nobody_mean_nothing() {
    let party = json!({"sub": "a1", "exp": 1, "aud": 7, "scope": ["*"], "email": null});
    assert_eq!(actors(party.clone()).unwrap(), [subject("a1")]);
    assert_eq!(may_act(party).unwrap(), Some(subject("a1")));
}

#[test]
fn rfc8693_a_party_that_cannot_be_read_is_refused() {
    for bad in [
        json!("bot"),
        json!(["bot"]),
        json!([{"sub": "bot"}]),
        json!(true),
        json!({}),
        json!({"iss": "https://b.example"}),
        json!({"azp": "bot"}),
        json!({"sub": 7}),
        json!({"sub": ""}),
        json!({"sub": "a\nb"}),
        json!({"sub": ["bot"]}),
        json!({"sub": "a".repeat(2049)}),
        json!({"sub": "bot", "client_id": 7}),
        json!({"sub": "bot", "client_id": null}),
        json!({"sub": "bot", "iss": {}}),
        json!({"sub": "bot", "iss": ""}),
    ] {
        assert_eq!(actors(bad.clone()).unwrap_err(), TokenError::BadClaim("act"), "{bad}");
        assert_eq!(may_act(bad.clone()).unwrap_err(), TokenError::BadClaim("may_act"), "{bad}");
        let prior = json!({"sub": "a1", "act": bad});
        assert_eq!(actors(prior).unwrap_err(), TokenError::BadClaim("act"), "{bad}");
    }
    let null = claims().to_string().replacen('{', "{\"act\":null,", 1);
    let token = sign_raw(1, &header().to_string(), &null);
    assert_eq!(refusal(&token), TokenError::BadClaim("act"));
}

#[test]
fn rfc8693_4_4_may_act_names_one_party() {
    let nested = json!({"sub": "a1", "act": {"sub": "a2"}, "may_act": {"sub": "a3"}});
    assert_eq!(may_act(nested).unwrap(), Some(subject("a1")));
    assert_eq!(outcome(&sign(1, &header(), &claims())).unwrap().may_act, None);
}

#[test]
fn a_chain_of_17_actors_is_refused() {
    let longest = actors(chain(MAX_ACTORS)).unwrap();
    assert_eq!(longest.len(), MAX_ACTORS);
    assert_eq!(longest[15], subject("a16"));
    let error = actors(chain(MAX_ACTORS + 1)).unwrap_err();
    assert_eq!(error.to_string(), "malformed token: too many actors");
}

/// It is too long for a token, and without names too deep for the reader of JSON.
#[test]
fn a_chain_of_1000_actors_is_refused() {
    let refused = |party: &str| {
        let act = format!("{}{{}}{}", party.repeat(1000), "}".repeat(1000));
        let claims = claims().to_string().replacen('{', &format!("{{\"act\":{act},"), 1);
        refusal(&sign_raw(1, &header().to_string(), &claims))
    };
    assert_eq!(refused(r#"{"sub":"a","act":"#), TokenError::Malformed("too long"));
    assert_eq!(refused(r#"{"act":"#), TokenError::Malformed("claims are not a JSON object"));
}

#[test]
fn the_text_of_a_chain_is_bounded() {
    let long = "a".repeat(2048);
    let three = json!({"sub": long, "client_id": long, "iss": long, "act": {"sub": long}});
    assert!(actors(three.clone()).is_ok());
    let more = json!({"sub": "a", "act": three});
    assert_eq!(actors(more).unwrap_err(), TokenError::BadClaim("act"));
}
