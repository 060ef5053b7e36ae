//! Keys that are fetched: first fetch, rotation, failure; and the cache on top of them.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::*;
use crate::host::fake::FakeHost;
use crate::host::{Callout, CalloutAnswer, CalloutId, Counter};
use crate::token::{
    Authenticator, IssuerId, KeySource, Outcome, Schedule, Source, TokenError, Wait, Waited,
};

const ISSUER_ID: IssuerId = IssuerId(0);
const KEYS: Wait = Wait::Keys(ISSUER_ID);
const REFRESH: Duration = Duration::from_secs(600);
const TIMEOUT: Duration = Duration::from_secs(2);
const DEBOUNCE: Duration = Duration::from_secs(10);
const STALE: Duration = Duration::from_secs(24 * 60 * 60);

/// One issuer with fetched keys, and its host.
struct World {
    host: FakeHost,
    authenticator: Authenticator,
}

impl World {
    fn new() -> Self {
        let callout = Callout {
            cluster: "idp".to_owned(),
            method: "GET",
            scheme: "https".to_owned(),
            authority: "idp.example.com".to_owned(),
            path: "/jwks".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: TIMEOUT,
        };
        let schedule = Schedule { refresh: REFRESH, stale_for: STALE };
        let issuer = issuer(KeySource::Remote { source: Source::At(callout), schedule });
        World { host: FakeHost::new(), authenticator: Authenticator::new(vec![issuer], Vec::new()) }
    }

    /// A world that fetched these keys.
    fn with(keys: &[Value]) -> Self {
        let mut world = World::new();
        assert!(world.tick().is_empty());
        assert_eq!(world.answer(Some(200), Some(jwks(keys))), [KEYS]);
        world
    }

    fn ask(&mut self, token: &str, waited: Waited) -> Outcome {
        ask(&mut self.authenticator, token, &[ISSUER_ID], AUDIENCE, waited, &self.host)
    }

    fn tick(&mut self) -> Vec<Wait> {
        self.authenticator.on_tick(&self.host)
    }

    /// Answers the latest callout.
    fn answer(&mut self, status: Option<u16>, body: Option<Vec<u8>>) -> Vec<Wait> {
        let id = CalloutId(u32::try_from(self.callouts()).unwrap());
        self.authenticator.on_callout(
            id,
            &CalloutAnswer { status, headers: Vec::new(), body },
            &self.host,
        )
    }

    fn callouts(&self) -> usize {
        self.host.callouts.borrow().len()
    }

    fn counted(&self, counter: Counter) -> usize {
        self.host.counters.borrow().iter().filter(|counted| **counted == counter).count()
    }
}

fn good() -> String {
    sign(1, &header(), &with(claims(), "exp", json!(now() + 1_000_000)))
}

fn unknown_kid() -> String {
    with_header("kid", json!("invented"))
}

fn after_fetch() -> Waited {
    Waited::not().and(KEYS)
}

fn is_verified(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Verified(_))
}

fn needs_keys(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Waits(KEYS))
}

fn is_refused(outcome: &Outcome, error: TokenError) -> bool {
    matches!(outcome, Outcome::Rejected(refusal) | Outcome::Refused(_, refusal) if *refusal == error)
}

#[test]
fn first_token_waits_for_the_first_fetch() {
    let mut world = World::new();
    assert!(world.authenticator.settled(ISSUER_ID));
    assert!(needs_keys(&world.ask(&good(), Waited::not())));
    assert!(!world.authenticator.settled(ISSUER_ID));
    assert!(world.tick().is_empty());
    assert!(world.tick().is_empty());
    assert_eq!(world.callouts(), 1);
    assert!(needs_keys(&world.ask(&good(), Waited::not())));
    assert_eq!(world.answer(Some(200), Some(jwks(&[jwk(1, "k1")]))), [KEYS]);
    assert!(world.authenticator.settled(ISSUER_ID));
    assert!(is_verified(&world.ask(&good(), after_fetch())));
    assert_eq!(world.counted(Counter::FetchSucceeded { document: "keys" }), 1);
}

#[test]
fn failed_first_fetch_is_not_blamed_on_the_caller() {
    let answers = [
        (Some(503), Some(jwks(&[jwk(1, "k1")]))),
        (Some(204), Some(jwks(&[jwk(1, "k1")]))),
        (None, None),
        (Some(200), None),
        (Some(200), Some(b"<html>".to_vec())),
        (Some(200), Some(jwks(&[]))),
        (Some(200), Some([jwks(&[jwk(1, "k1")]), vec![b' '; 256 * 1024]].concat())),
    ];
    for (status, body) in answers {
        let mut world = World::new();
        assert!(needs_keys(&world.ask(&good(), Waited::not())));
        assert!(world.tick().is_empty());
        assert_eq!(world.answer(status, body), [KEYS]);
        assert_eq!(world.counted(Counter::FetchFailed { document: "keys" }), 1);
        assert!(is_refused(&world.ask(&good(), after_fetch()), TokenError::KeysUnavailable));
        // Nor does the next caller wait for a fetch that is not due.
        assert!(is_refused(&world.ask(&good(), Waited::not()), TokenError::KeysUnavailable));
        assert!(world.tick().is_empty());
        assert_eq!(world.callouts(), 1);
        world.host.advance(DEBOUNCE);
        assert!(needs_keys(&world.ask(&good(), Waited::not())));
        assert!(world.tick().is_empty());
        assert_eq!(world.answer(Some(200), Some(jwks(&[jwk(1, "k1")]))), [KEYS]);
        assert!(is_verified(&world.ask(&good(), after_fetch())));
    }
}

#[test]
fn refused_dispatch_settles_at_once() {
    let mut world = World::new();
    world.host.refuse_callouts.set(true);
    assert!(needs_keys(&world.ask(&good(), Waited::not())));
    assert_eq!(world.tick(), [KEYS]);
    assert!(is_refused(&world.ask(&good(), after_fetch()), TokenError::KeysUnavailable));
}

#[test]
fn lost_answer_is_given_up() {
    let mut world = World::new();
    assert!(world.tick().is_empty());
    world.host.advance(TIMEOUT);
    assert!(world.tick().is_empty());
    world.host.advance(Duration::from_secs(5));
    assert_eq!(world.tick(), [KEYS]);
    assert_eq!(world.counted(Counter::FetchFailed { document: "keys" }), 1);
    // Should it come after all, nobody listens.
    assert_eq!(world.answer(Some(200), Some(jwks(&[jwk(1, "k1")]))), []);
    assert!(is_refused(&world.ask(&good(), Waited::not()), TokenError::KeysUnavailable));
}

#[test]
fn answer_of_another_callout_is_ignored() {
    let mut world = World::new();
    assert!(world.tick().is_empty());
    let answer =
        CalloutAnswer { status: Some(200), headers: Vec::new(), body: Some(jwks(&[jwk(1, "k1")])) };
    assert_eq!(world.authenticator.on_callout(CalloutId(99), &answer, &world.host), []);
    assert!(!world.authenticator.settled(ISSUER_ID));
}

#[test]
fn invented_kids_do_not_flood_the_issuer() {
    let mut world = World::with(&[jwk(1, "k1")]);
    assert!(is_refused(&world.ask(&unknown_kid(), Waited::not()), TokenError::UnknownKey));
    world.host.advance(DEBOUNCE);
    for _ in 0..100 {
        assert!(needs_keys(&world.ask(&unknown_kid(), Waited::not())));
        assert!(world.tick().is_empty());
    }
    assert_eq!(world.callouts(), 2);
    assert_eq!(world.answer(Some(200), Some(jwks(&[jwk(1, "k1")]))), [KEYS]);
    assert!(is_refused(&world.ask(&unknown_kid(), after_fetch()), TokenError::UnknownKey));
    assert!(is_refused(&world.ask(&unknown_kid(), Waited::not()), TokenError::UnknownKey));
    assert!(world.tick().is_empty());
    assert_eq!(world.callouts(), 2);
}

#[test]
fn bad_header_wants_no_fetch() {
    let mut world = World::new();
    for (name, value) in [("alg", json!("none")), ("typ", json!("JWT"))] {
        assert!(!needs_keys(&world.ask(&with_header(name, value), Waited::not())));
    }
    let elsewhere = with_claim("iss", json!("https://attacker.example"));
    assert!(is_refused(&world.ask(&elsewhere, Waited::not()), TokenError::UnknownIssuer));
    assert!(world.authenticator.settled(ISSUER_ID));
}

#[test]
fn rotated_key_is_found_and_the_removed_one_forgotten() {
    let mut world = World::with(&[jwk(1, "k1")]);
    assert!(is_verified(&world.ask(&good(), Waited::not())));
    assert!(is_verified(&world.ask(&good(), Waited::not())));
    assert_eq!(world.counted(Counter::TokenCacheHit), 1);
    world.host.advance(DEBOUNCE);
    let new = sign(2, &with(header(), "kid", json!("k2")), &claims());
    assert!(needs_keys(&world.ask(&new, Waited::not())));
    assert!(world.tick().is_empty());
    assert_eq!(world.answer(Some(200), Some(jwks(&[jwk(2, "k2")]))), [KEYS]);
    assert!(is_verified(&world.ask(&new, after_fetch())));
    // Cached, but by a key that is gone.
    assert!(is_refused(&world.ask(&good(), Waited::not()), TokenError::UnknownKey));
}

#[test]
fn same_kid_with_another_key_forgets_cached_tokens() {
    let mut world = World::with(&[jwk(1, "k1")]);
    assert!(is_verified(&world.ask(&good(), Waited::not())));
    world.host.advance(REFRESH);
    assert!(world.tick().is_empty());
    assert_eq!(world.answer(Some(200), Some(jwks(&[jwk(2, "k1")]))), [KEYS]);
    assert!(is_refused(&world.ask(&good(), Waited::not()), TokenError::Signature));
}

#[test]
fn refresh_keeps_cached_tokens_of_kept_keys() {
    let mut world = World::with(&[jwk(1, "k1")]);
    assert!(is_verified(&world.ask(&good(), Waited::not())));
    world.host.advance(REFRESH);
    assert!(world.tick().is_empty());
    let both = jwks(&[jwk(2, "k2"), jwk(1, "k1")]);
    assert_eq!(world.answer(Some(200), Some(both)), [KEYS]);
    assert!(is_verified(&world.ask(&good(), Waited::not())));
    assert_eq!(world.counted(Counter::TokenCacheHit), 1);
}

#[test]
fn failed_refresh_keeps_the_last_keys_for_a_day() {
    let mut world = World::with(&[jwk(1, "k1")]);
    assert!(is_verified(&world.ask(&good(), Waited::not())));
    world.host.advance(REFRESH);
    assert!(world.tick().is_empty());
    assert_eq!(world.callouts(), 2);
    assert_eq!(world.answer(Some(500), None), [KEYS]);
    assert!(is_verified(&world.ask(&good(), Waited::not())));
    world.host.advance(STALE - Duration::from_secs(1));
    assert!(is_verified(&world.ask(&good(), Waited::not())));
    world.host.advance(Duration::from_secs(1));
    assert!(needs_keys(&world.ask(&good(), Waited::not())));
    assert!(is_refused(&world.ask(&good(), after_fetch()), TokenError::KeysUnavailable));
}

#[test]
fn clock_set_back_fetches_again() {
    let mut world = World::with(&[jwk(1, "k1")]);
    world.host.now.set(world.host.now.get() - REFRESH);
    assert!(world.tick().is_empty());
    assert_eq!(world.callouts(), 2);
}

#[test]
fn cached_token_expires() {
    let mut world = World::with(&[jwk(1, "k1")]);
    let token = sign(1, &header(), &claims());
    assert!(is_verified(&world.ask(&token, Waited::not())));
    world.host.advance(Duration::from_secs(300 + SKEW - 1));
    assert!(is_verified(&world.ask(&token, Waited::not())));
    world.host.advance(Duration::from_secs(1));
    assert!(is_refused(&world.ask(&token, Waited::not()), TokenError::Expired));
    assert_eq!(world.counted(Counter::TokenCacheHit), 2);
}

#[test]
fn cached_token_is_for_its_audience_only() {
    let mut world = World::with(&[jwk(1, "k1")]);
    assert!(is_verified(&world.ask(&good(), Waited::not())));
    let elsewhere = ask(
        &mut world.authenticator,
        &good(),
        &[ISSUER_ID],
        "https://other.example/mcp",
        Waited::not(),
        &world.host,
    );
    assert!(is_refused(&elsewhere, TokenError::Audience));
}

#[test]
fn log_names_the_issuer_and_no_secret() {
    let mut world = World::with(&[jwk(1, "k1")]);
    world.host.advance(REFRESH);
    assert!(world.tick().is_empty());
    assert_eq!(world.answer(Some(500), None), [KEYS]);
    let log = world.host.log.borrow();
    let messages: Vec<&str> = log.iter().map(|(_, message)| message.as_str()).collect();
    assert_eq!(messages, ["keys of issuer corp: status 500; keeping the last"]);
}
