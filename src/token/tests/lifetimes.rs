//! How old tokens may be, and how long they may be good for.

use std::time::Duration;

use serde_json::json;

use super::support::*;
use crate::host::fake::FakeHost;
use crate::token::{Issuer, KeySet, KeySource, TokenError};

const MINUTE: u64 = 60;

fn max_age(issuer: &mut Issuer) {
    issuer.max_age = Some(Duration::from_secs(15 * MINUTE));
}

fn max_lifetime(issuer: &mut Issuer) {
    issuer.max_lifetime = Some(Duration::from_secs(60 * MINUTE));
}

/// A token issued and expiring this many seconds from now.
fn token(issued: i64, expires: i64) -> String {
    let at = |offset| json!(now().checked_add_signed(offset).unwrap());
    sign(1, &header(), &with(with(claims(), "iat", at(issued)), "exp", at(expires)))
}

#[test]
fn a_token_is_too_old_from_its_age_on_with_leeway() {
    let leeway = i64::try_from(SKEW).unwrap();
    for (issued, expected) in [
        (0, Ok(())),
        (-900, Ok(())),
        (-900 - leeway + 1, Ok(())),
        (-900 - leeway, Err(TokenError::TooOld)),
        (-86_400, Err(TokenError::TooOld)),
    ] {
        let outcome = outcome_with(max_age, &token(issued, 300)).map(|_| ());
        assert_eq!(outcome, expected, "{issued}");
        assert!(outcome_with(|_| (), &token(issued, 300)).is_ok());
    }
}

#[test]
fn a_remembered_token_grows_old() {
    let keys = KeySet::parse(&jwks(&[jwk(1, "k1")]), &ALL).unwrap();
    let mut issuer = issuer(KeySource::Inline(keys));
    max_age(&mut issuer);
    let mut authenticator = crate::token::Authenticator::new(vec![issuer], Vec::new());
    let (token, host) = (token(0, 7200), FakeHost::new());
    assert!(check(&mut authenticator, &token, &host).is_ok());
    host.advance(Duration::from_secs(15 * MINUTE + SKEW - 1));
    assert!(check(&mut authenticator, &token, &host).is_ok());
    host.advance(Duration::from_secs(1));
    assert_eq!(check(&mut authenticator, &token, &host).unwrap_err(), TokenError::TooOld);
}

#[test]
fn a_token_made_for_too_long_is_refused_from_the_start() {
    for (issued, expires, expected) in [
        (0, 3600, Ok(())),
        (0, 3601, Err(TokenError::Lifetime)),
        (-3000, 600, Ok(())),
        (-3000, 601, Err(TokenError::Lifetime)),
        (-100_000, 10, Err(TokenError::Lifetime)),
    ] {
        let outcome = outcome_with(max_lifetime, &token(issued, expires)).map(|_| ());
        assert_eq!(outcome, expected, "{issued} {expires}");
    }
}

#[test]
fn bounds_beyond_all_time_bound_nothing_and_do_not_overflow() {
    let forever = |issuer: &mut Issuer| {
        issuer.max_lifetime = Some(Duration::MAX);
        issuer.clock_skew = Duration::ZERO;
    };
    assert!(outcome_with(forever, &token(0, 300)).is_ok());
    // An end that cannot be represented counts as past.
    let unrepresentable = |issuer: &mut Issuer| issuer.max_age = Some(Duration::MAX);
    assert_eq!(outcome_with(unrepresentable, &token(0, 300)).unwrap_err(), TokenError::TooOld);
}
