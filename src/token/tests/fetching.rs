//! Keys that are fetched: first fetch, rotation, failure; and the cache on top of them.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::*;
use crate::host::fake::FakeHost;
use crate::host::{Callout, CalloutAnswer, CalloutId, Counter};
use crate::token::{Attempt, Authenticator, IssuerId, KeySource, Outcome, TokenError};

const ISSUER_ID: IssuerId = IssuerId(0);
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
            timeout: TIMEOUT,
        };
        let issuer = issuer(KeySource::Remote { callout, refresh: REFRESH });
        World { host: FakeHost::new(), authenticator: Authenticator::new(vec![issuer]) }
    }

    /// A world that fetched these keys.
    fn with(keys: &[Value]) -> Self {
        let mut world = World::new();
        assert!(world.tick().is_empty());
        assert_eq!(world.answer(Some(200), Some(jwks(keys))), Some(ISSUER_ID));
        world
    }

    fn ask(&mut self, token: &str, attempt: Attempt) -> Outcome {
        self.authenticator.authenticate(token, &[ISSUER_ID], AUDIENCE, attempt, &self.host)
    }

    fn tick(&mut self) -> Vec<IssuerId> {
        self.authenticator.on_tick(&self.host)
    }

    /// Answers the latest callout.
    fn answer(&mut self, status: Option<u16>, body: Option<Vec<u8>>) -> Option<IssuerId> {
        let id = CalloutId(u32::try_from(self.callouts()).unwrap());
        self.authenticator.on_callout(id, &CalloutAnswer { status, body }, &self.host)
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

fn is_verified(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Verified(_))
}

fn needs_keys(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::NeedsKeys(ISSUER_ID))
}

fn is_refused(outcome: &Outcome, error: TokenError) -> bool {
    matches!(outcome, Outcome::Rejected(refusal) if *refusal == error)
}

#[test]
fn first_token_waits_for_the_first_fetch() {
    let mut world = World::new();
    assert!(world.authenticator.settled(ISSUER_ID));
    assert!(needs_keys(&world.ask(&good(), Attempt::First)));
    assert!(!world.authenticator.settled(ISSUER_ID));
    assert!(world.tick().is_empty());
    assert!(world.tick().is_empty());
    assert_eq!(world.callouts(), 1);
    assert!(needs_keys(&world.ask(&good(), Attempt::First)));
    assert_eq!(world.answer(Some(200), Some(jwks(&[jwk(1, "k1")]))), Some(ISSUER_ID));
    assert!(world.authenticator.settled(ISSUER_ID));
    assert!(is_verified(&world.ask(&good(), Attempt::AfterFetch)));
    assert_eq!(world.counted(Counter::KeyFetchSucceeded), 1);
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
        assert!(needs_keys(&world.ask(&good(), Attempt::First)));
        assert!(world.tick().is_empty());
        assert_eq!(world.answer(status, body), Some(ISSUER_ID));
        assert_eq!(world.counted(Counter::KeyFetchFailed), 1);
        assert!(is_refused(&world.ask(&good(), Attempt::AfterFetch), TokenError::KeysUnavailable));
        // Nor does the next caller wait for a fetch that is not due.
        assert!(is_refused(&world.ask(&good(), Attempt::First), TokenError::KeysUnavailable));
        assert!(world.tick().is_empty());
        assert_eq!(world.callouts(), 1);
        world.host.advance(DEBOUNCE);
        assert!(needs_keys(&world.ask(&good(), Attempt::First)));
        assert!(world.tick().is_empty());
        assert_eq!(world.answer(Some(200), Some(jwks(&[jwk(1, "k1")]))), Some(ISSUER_ID));
        assert!(is_verified(&world.ask(&good(), Attempt::AfterFetch)));
    }
}

#[test]
fn refused_dispatch_settles_at_once() {
    let mut world = World::new();
    world.host.refuse_callouts.set(true);
    assert!(needs_keys(&world.ask(&good(), Attempt::First)));
    assert_eq!(world.tick(), [ISSUER_ID]);
    assert!(is_refused(&world.ask(&good(), Attempt::AfterFetch), TokenError::KeysUnavailable));
}

#[test]
fn lost_answer_is_given_up() {
    let mut world = World::new();
    assert!(world.tick().is_empty());
    world.host.advance(TIMEOUT);
    assert!(world.tick().is_empty());
    world.host.advance(Duration::from_secs(5));
    assert_eq!(world.tick(), [ISSUER_ID]);
    assert_eq!(world.counted(Counter::KeyFetchFailed), 1);
    // Should it come after all, nobody listens.
    assert_eq!(world.answer(Some(200), Some(jwks(&[jwk(1, "k1")]))), None);
    assert!(is_refused(&world.ask(&good(), Attempt::First), TokenError::KeysUnavailable));
}

#[test]
fn answer_of_another_callout_is_ignored() {
    let mut world = World::new();
    assert!(world.tick().is_empty());
    let answer = CalloutAnswer { status: Some(200), body: Some(jwks(&[jwk(1, "k1")])) };
    assert_eq!(world.authenticator.on_callout(CalloutId(99), &answer, &world.host), None);
    assert!(!world.authenticator.settled(ISSUER_ID));
}

#[test]
fn invented_kids_do_not_flood_the_issuer() {
    let mut world = World::with(&[jwk(1, "k1")]);
    assert!(is_refused(&world.ask(&unknown_kid(), Attempt::First), TokenError::UnknownKey));
    world.host.advance(DEBOUNCE);
    for _ in 0..100 {
        assert!(needs_keys(&world.ask(&unknown_kid(), Attempt::First)));
        assert!(world.tick().is_empty());
    }
    assert_eq!(world.callouts(), 2);
    assert_eq!(world.answer(Some(200), Some(jwks(&[jwk(1, "k1")]))), Some(ISSUER_ID));
    assert!(is_refused(&world.ask(&unknown_kid(), Attempt::AfterFetch), TokenError::UnknownKey));
    assert!(is_refused(&world.ask(&unknown_kid(), Attempt::First), TokenError::UnknownKey));
    assert!(world.tick().is_empty());
    assert_eq!(world.callouts(), 2);
}

#[test]
fn bad_header_wants_no_fetch() {
    let mut world = World::new();
    for (name, value) in [("alg", json!("none")), ("typ", json!("JWT"))] {
        assert!(!needs_keys(&world.ask(&with_header(name, value), Attempt::First)));
    }
    let elsewhere = with_claim("iss", json!("https://attacker.example"));
    assert!(is_refused(&world.ask(&elsewhere, Attempt::First), TokenError::UnknownIssuer));
    assert!(world.authenticator.settled(ISSUER_ID));
}

#[test]
fn rotated_key_is_found_and_the_removed_one_forgotten() {
    let mut world = World::with(&[jwk(1, "k1")]);
    assert!(is_verified(&world.ask(&good(), Attempt::First)));
    assert!(is_verified(&world.ask(&good(), Attempt::First)));
    assert_eq!(world.counted(Counter::TokenCacheHit), 1);
    world.host.advance(DEBOUNCE);
    let new = sign(2, &with(header(), "kid", json!("k2")), &claims());
    assert!(needs_keys(&world.ask(&new, Attempt::First)));
    assert!(world.tick().is_empty());
    assert_eq!(world.answer(Some(200), Some(jwks(&[jwk(2, "k2")]))), Some(ISSUER_ID));
    assert!(is_verified(&world.ask(&new, Attempt::AfterFetch)));
    // Cached, but by a key that is gone.
    assert!(is_refused(&world.ask(&good(), Attempt::First), TokenError::UnknownKey));
}

#[test]
fn same_kid_with_another_key_forgets_cached_tokens() {
    let mut world = World::with(&[jwk(1, "k1")]);
    assert!(is_verified(&world.ask(&good(), Attempt::First)));
    world.host.advance(REFRESH);
    assert!(world.tick().is_empty());
    assert_eq!(world.answer(Some(200), Some(jwks(&[jwk(2, "k1")]))), Some(ISSUER_ID));
    assert!(is_refused(&world.ask(&good(), Attempt::First), TokenError::Signature));
}

#[test]
fn refresh_keeps_cached_tokens_of_kept_keys() {
    let mut world = World::with(&[jwk(1, "k1")]);
    assert!(is_verified(&world.ask(&good(), Attempt::First)));
    world.host.advance(REFRESH);
    assert!(world.tick().is_empty());
    let both = jwks(&[jwk(2, "k2"), jwk(1, "k1")]);
    assert_eq!(world.answer(Some(200), Some(both)), Some(ISSUER_ID));
    assert!(is_verified(&world.ask(&good(), Attempt::First)));
    assert_eq!(world.counted(Counter::TokenCacheHit), 1);
}

#[test]
fn failed_refresh_keeps_the_last_keys_for_a_day() {
    let mut world = World::with(&[jwk(1, "k1")]);
    assert!(is_verified(&world.ask(&good(), Attempt::First)));
    world.host.advance(REFRESH);
    assert!(world.tick().is_empty());
    assert_eq!(world.callouts(), 2);
    assert_eq!(world.answer(Some(500), None), Some(ISSUER_ID));
    assert!(is_verified(&world.ask(&good(), Attempt::First)));
    world.host.advance(STALE - Duration::from_secs(1));
    assert!(is_verified(&world.ask(&good(), Attempt::First)));
    world.host.advance(Duration::from_secs(1));
    assert!(needs_keys(&world.ask(&good(), Attempt::First)));
    assert!(is_refused(&world.ask(&good(), Attempt::AfterFetch), TokenError::KeysUnavailable));
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
    assert!(is_verified(&world.ask(&token, Attempt::First)));
    world.host.advance(Duration::from_secs(300 + SKEW - 1));
    assert!(is_verified(&world.ask(&token, Attempt::First)));
    world.host.advance(Duration::from_secs(1));
    assert!(is_refused(&world.ask(&token, Attempt::First), TokenError::Expired));
    assert_eq!(world.counted(Counter::TokenCacheHit), 2);
}

#[test]
fn cached_token_is_for_its_audience_only() {
    let mut world = World::with(&[jwk(1, "k1")]);
    assert!(is_verified(&world.ask(&good(), Attempt::First)));
    let elsewhere = world.authenticator.authenticate(
        &good(),
        &[ISSUER_ID],
        "https://other.example/mcp",
        Attempt::First,
        &world.host,
    );
    assert!(is_refused(&elsewhere, TokenError::Audience));
}

#[test]
fn log_names_the_issuer_and_no_secret() {
    let mut world = World::with(&[jwk(1, "k1")]);
    world.host.advance(REFRESH);
    assert!(world.tick().is_empty());
    assert_eq!(world.answer(Some(500), None), Some(ISSUER_ID));
    let log = world.host.log.borrow();
    let messages: Vec<&str> = log.iter().map(|(_, message)| message.as_str()).collect();
    assert_eq!(messages, ["keys of issuer corp: status 500; keeping the last"]);
}
