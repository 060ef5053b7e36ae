//! How long credentials and refusals are used, and what becomes of who waits.

use super::support::*;
use crate::exchange::{Errand, ExchangeError, ExchangeId, Flaw, Origin, Outcome};
use crate::host::Counter;

const CACHED: Origin = Origin::Cached;

#[test]
fn credential_is_used_until_shortly_before_its_end() {
    let mut world = World::new();
    world.run(&alice(), &says("t 300"));
    world.host.advance(secs(284));
    assert_eq!(world.ready(&alice(), None), ("t".to_owned(), CACHED));
    world.host.advance(secs(1));
    // The refresh that was wanted a second before is what is waited for.
    world.waits(&alice());
}

#[test]
fn one_that_lives_shortly_is_used_for_most_of_its_life() {
    let mut world = World::new();
    world.run(&alice(), &says("t 10"));
    world.host.advance(secs(8));
    assert_eq!(world.ready(&alice(), None), ("t".to_owned(), CACHED));
    world.host.advance(secs(1));
    world.waits(&alice());
}

#[test]
fn who_waited_takes_the_answer_also_where_it_may_not_be_kept() {
    let mut world = World::new();
    let errand = world.run(&alice(), &says("t 10"));
    world.host.advance(secs(9));
    assert_eq!(world.ready(&alice(), Some(errand)), ("t".to_owned(), Origin::Exchanged));
    // Not beyond its end.
    world.host.advance(secs(1));
    let expected = ExchangeError::Unusable(Flaw::Expired);
    assert_eq!(world.refused(&alice(), Some(errand)), expected);
}

#[test]
fn what_expired_on_the_way_is_refused() {
    let mut world = World::new();
    let errand = world.run(&alice(), &says("t 0"));
    let expected = ExchangeError::Unusable(Flaw::Expired);
    assert_eq!(world.refused(&alice(), Some(errand)), expected);
    assert_eq!(world.counted(Counter::ExchangeSucceeded), 0);
    assert_eq!(world.counted(Counter::ExchangeFailed { code: expected.code() }), 1);
}

#[test]
fn credential_is_refreshed_ahead_while_it_serves() {
    let mut world = World::new();
    // A fifth of 1000 s, and the margin of 15 s: due at 785 s.
    world.run(&alice(), &says("t 1000"));
    world.host.advance(secs(784));
    assert_eq!(world.ready(&alice(), None), ("t".to_owned(), CACHED));
    assert_eq!((world.tick(), world.sent()), (Vec::new(), 1));
    world.host.advance(secs(1));
    for _ in 0..100 {
        assert_eq!(world.ready(&alice(), None), ("t".to_owned(), CACHED));
    }
    assert_eq!((world.tick(), world.sent()), (Vec::new(), 2));
    for _ in 0..100 {
        assert_eq!(world.ready(&alice(), None), ("t".to_owned(), CACHED));
    }
    assert_eq!(world.say("u 1000").len(), 1);
    assert_eq!(world.ready(&alice(), None), ("u".to_owned(), CACHED));
    assert_eq!((world.tick(), world.sent()), (Vec::new(), 2));
    assert_eq!(world.counted(Counter::ExchangeRefreshed), 1);
    assert_eq!(world.counted(Counter::ExchangeSucceeded), 2);
    assert_eq!(world.counted(Counter::ExchangeCacheMiss), 1);
}

#[test]
fn one_that_lives_long_is_refreshed_five_minutes_ahead() {
    let mut world = World::new();
    world.run(&alice(), &says("t 36000"));
    world.host.advance(secs(36_000 - 315 - 1));
    world.ready(&alice(), None);
    assert_eq!((world.tick(), world.sent()), (Vec::new(), 1));
    world.host.advance(secs(1));
    world.ready(&alice(), None);
    assert_eq!((world.tick(), world.sent()), (Vec::new(), 2));
}

#[test]
fn refresh_that_fails_costs_nothing_and_is_tried_again_after_a_while() {
    for failure in [fails(), says("exchange_denied"), says("exchange_subject_rejected")] {
        let mut world = World::new();
        world.run(&alice(), &says("t 1000"));
        world.host.advance(secs(800));
        world.ready(&alice(), None);
        assert_eq!(world.tick(), []);
        assert_eq!(world.answer(2, &failure).unwrap().len(), 1);
        for second in 1..=30 {
            world.host.advance(secs(1));
            assert_eq!(world.ready(&alice(), None), ("t".to_owned(), CACHED));
            assert_eq!(world.tick(), []);
            let attempts = world.sent();
            assert_eq!(attempts, 2 + second / 10, "after {second} s");
            let _ = world.answer(attempts, &failure);
        }
    }
}

#[test]
fn who_comes_after_the_end_waits_for_the_refresh_under_way() {
    let mut world = World::new();
    world.run(&alice(), &says("t 100"));
    world.host.advance(secs(89));
    world.ready(&alice(), None);
    assert_eq!(world.tick(), []);
    world.host.advance(secs(1));
    let errand = world.waits(&alice());
    assert_eq!(world.tick(), []);
    assert_eq!(world.sent(), 2);
    assert_eq!(world.say("u 100"), [errand]);
    assert_eq!(world.ready(&alice(), Some(errand)), ("u".to_owned(), Origin::Exchanged));
}

#[test]
fn refusal_is_remembered_for_seconds_only() {
    for code in [
        "exchange_scope_refused",
        "exchange_denied",
        "exchange_subject_rejected",
        "exchange_interaction_required",
        "account_not_linked",
        "exchange_client_rejected",
        "exchange_token_audience",
    ] {
        let mut world = World::new();
        let errand = world.run(&alice(), &says(code));
        assert_eq!(world.refused(&alice(), Some(errand)).code(), code);
        world.host.advance(secs(2));
        assert_eq!(world.refused(&alice(), None).code(), code);
        assert_eq!((world.tick(), world.sent()), (Vec::new(), 1));
        assert_eq!(world.counted(Counter::ExchangeFailed { code }), 1);
        // Nobody else is refused for it.
        world.waits(&Request::by("bob-token"));
        world.waits(&alice().for_scopes(&["docs.write"]));
        world.host.advance(secs(1));
        let again = world.waits(&alice());
        assert_eq!(world.tick(), []);
        assert!(world.answer(4, &says("t 300")).unwrap().contains(&again));
        assert_eq!(world.ready(&alice(), Some(again)).0, "t");
    }
}

#[test]
fn failure_is_remembered_for_a_second_or_as_long_as_the_server_asks() {
    for (answer, period) in [(fails(), 1), (fails_for(7), 7), (fails_for(4000), 30)] {
        let mut world = World::new();
        let errand = world.run(&alice(), &answer);
        assert_eq!(world.refused(&alice(), Some(errand)).code(), "exchange_unavailable");
        world.host.advance(secs(period) - std::time::Duration::from_millis(1));
        let ExchangeError::Unavailable { retry_after, .. } = world.refused(&alice(), None) else {
            panic!()
        };
        assert_eq!(retry_after, Some(std::time::Duration::from_millis(1)));
        world.host.advance(std::time::Duration::from_millis(1));
        world.waits(&alice());
    }
}

#[test]
fn refusals_push_out_no_credential() {
    let mut world = World::new();
    world.run(&alice(), &says("t 300"));
    for user in 0..2000 {
        world.run(&Request::by(&format!("{user}")), &says("exchange_denied"));
    }
    assert_eq!(world.ready(&alice(), None), ("t".to_owned(), CACHED));
    // What is remembered of them is bounded too.
    world.waits(&Request::by("0"));
    assert_eq!(world.refused(&Request::by("1999"), None), ExchangeError::Denied);
}

#[test]
fn the_one_used_longest_ago_is_forgotten_first() {
    let mut world = World::new();
    let user = |number: usize| Request::by(&format!("{number}"));
    // Two exchanges share 8192.
    for number in 0..4096 {
        world.run(&user(number), &says("t 300"));
    }
    world.ready(&user(0), None);
    world.run(&user(4096), &says("t 300"));
    world.ready(&user(0), None);
    world.waits(&user(1));
}

#[test]
fn what_changed_at_the_issuer_is_exchanged_anew() {
    let mut world = World::new();
    world.run(&alice(), &says("t 300"));
    world.run(&Request { epoch: 1, ..alice() }, &says("u 300"));
    assert_eq!(world.ready(&Request { epoch: 1, ..alice() }, None).0, "u");
}

#[test]
fn who_waits_while_the_issuer_changes_waits_once() {
    let mut world = World::new();
    let errand = world.run(&alice(), &says("t 300"));
    let later = Request { epoch: 1, ..alice() };
    assert_eq!(world.ready(&later, Some(errand)), ("t".to_owned(), Origin::Exchanged));
    // Nobody else gets what was made before.
    world.waits(&later);
}

#[test]
fn who_comes_back_early_waits_for_the_same() {
    let mut world = World::new();
    let errand = world.waits(&alice());
    for _ in 0..2 {
        let outcome = world.obtain(&alice(), Some(errand));
        assert!(matches!(outcome, Outcome::Waits(other) if other == errand), "{outcome:?}");
        assert_eq!(world.tick(), []);
    }
    assert_eq!(world.sent(), 1);
}

#[test]
fn there_is_no_second_wait() {
    let mut world = World::new();
    let first = world.run(&alice(), &says("exchange_denied"));
    world.host.advance(secs(60));
    // The answer is too old for others, and still that of who waited.
    assert_eq!(world.refused(&alice(), Some(first)), ExchangeError::Denied);
    // Of an errand that nobody knows, nothing is to be had, and nothing is started.
    let unknown = world.refused(&alice(), Some(Errand(99)));
    assert_eq!(unknown.code(), "exchange_unavailable");
    assert_eq!((world.tick(), world.sent()), (Vec::new(), 1));
}

#[test]
fn answer_pushed_out_meanwhile_is_taken_from_what_is_remembered() {
    let mut world = World::new();
    let [credential, refusal] =
        [says("t 300"), says("exchange_denied")].map(|answer| (alice(), answer));
    let refusal = (Request::by("mallory-token"), refusal.1);
    let [first, second] =
        [credential, refusal].map(|(request, answer)| world.run(&request, &answer));
    // So many errands end that these endings are gone.
    for user in 0..1100 {
        world.run(&Request::by(&format!("{user}")), &says("x 300"));
    }
    assert_eq!(world.ready(&alice(), Some(first)), ("t".to_owned(), CACHED));
    let refused = world.refused(&Request::by("mallory-token"), Some(second));
    assert_eq!(refused, ExchangeError::Denied);
}

#[test]
fn ending_is_only_for_the_wish_that_it_was_for() {
    let mut world = World::new();
    let errand = world.run(&alice(), &says("t 300"));
    for other in [Request::by("bob-token"), alice().for_scopes(&["docs.write"])] {
        assert_eq!(world.refused(&other, Some(errand)).code(), "exchange_unavailable");
    }
}

#[test]
fn clock_that_goes_back_makes_what_is_remembered_too_old() {
    let mut world = World::new();
    world.host.advance(secs(100));
    world.run(&alice(), &says("t 300"));
    world.run(&Request::by("bob-token"), &says("exchange_denied"));
    world.host.now.set(world.host.now.get() - secs(50));
    let [errand, _] = [alice(), Request::by("bob-token")].map(|request| world.waits(&request));
    assert_eq!(world.tick(), []);
    assert_eq!(world.answer(3, &says("u 300")), Some(vec![errand]));
    assert_eq!(world.ready(&alice(), None).0, "u");
}

#[test]
fn one_that_a_server_does_not_take_is_given_to_nobody_unless_it_is_new() {
    let mut world = World::new();
    world.run(&alice(), &says("t 1000"));
    let bob = Request::by("bob");
    world.run(&bob, &says("u 1000"));
    let credential = |world: &mut World| match world.obtain(&alice(), None) {
        Outcome::Ready(credential, _) => credential,
        other => panic!("{other:?}"),
    };
    let old = credential(&mut world);
    world.host.advance(secs(9));
    world.exchanger.not_taken(ExchangeId(0), &old, &world.host);
    assert_eq!(world.ready(&alice(), None), ("t".to_owned(), CACHED));
    world.host.advance(secs(1));
    world.exchanger.not_taken(ExchangeId(1), &old, &world.host);
    assert_eq!(world.ready(&alice(), None), ("t".to_owned(), CACHED));
    world.exchanger.not_taken(ExchangeId(0), &old, &world.host);
    world.run(&alice(), &says("v 1000"));
    assert_eq!(world.ready(&bob, None), ("u".to_owned(), CACHED));
    // Its successor is another one, however late the server says it.
    world.host.advance(secs(20));
    world.exchanger.not_taken(ExchangeId(0), &old, &world.host);
    assert_eq!(world.ready(&alice(), None), ("v".to_owned(), CACHED));
}
