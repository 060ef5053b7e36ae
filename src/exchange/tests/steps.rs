//! Errands of more than one request: for our own token first, or for an assertion.

use super::support::*;
use crate::exchange::{ExchangeError, Flaw, Origin};
use crate::host::Counter;

#[test]
fn a_hundred_users_share_our_own_token() {
    let mut world = World::with_own_actor();
    let user = |number: usize| Request::by(&format!("user-{number}"));
    let errands: Vec<_> = (0..100).map(|number| world.waits(&user(number))).collect();
    assert_eq!(world.tick(), []);
    assert_eq!(world.tick(), []);
    assert_eq!((world.sent(), world.last_sent().0.as_str()), (1, "/Actor"));
    let settled = world.say("ours 3000");
    assert!(settled.iter().all(|errand| !errands.contains(errand)), "{settled:?}");
    // As many as may be under way start with the answer, without another tick.
    assert_eq!(world.sent(), 1 + 64);
    for (place, errand) in errands.iter().enumerate() {
        let settled = world.answer(place + 2, &says("t 300")).unwrap();
        assert_eq!(settled, [*errand]);
        assert_eq!(world.ready(&user(place), Some(*errand)).1, Origin::Exchanged);
    }
    assert_eq!(world.sent(), 1 + 100);
    assert_eq!(world.last_sent(), ("/Exchange".to_owned(), "user-99 ours".to_owned()));
    assert_eq!(world.counted(Counter::ExchangeSucceeded), 100);
}

#[test]
fn our_own_token_is_had_again_when_it_ends_and_refreshed_ahead() {
    let mut world = World::with_own_actor();
    let mut user = 0;
    let mut next = || {
        user += 1;
        Request::by(&format!("user-{user}"))
    };
    world.waits(&next());
    assert_eq!(world.tick(), []);
    world.say("ours-1 100");
    world.say("t 300");
    // Due at 70 s: both start, the exchange with the token that is there.
    world.host.advance(secs(70));
    world.waits(&next());
    assert_eq!(world.tick(), []);
    assert_eq!(world.sent(), 4);
    assert_eq!(world.last_sent(), ("/Exchange".to_owned(), "user-2 ours-1".to_owned()));
    assert!(world.answer(3, &says("ours-2 100")).is_some());
    world.say("t 300");
    world.waits(&next());
    assert_eq!(world.tick(), []);
    assert_eq!(world.last_sent().1, "user-3 ours-2");
    world.say("t 300");
    // Gone: nothing is exchanged without it.
    world.host.advance(secs(90));
    world.waits(&next());
    assert_eq!(world.tick(), []);
    assert_eq!(world.last_sent().0, "/Actor");
    world.say("ours-3 100");
    assert_eq!(world.last_sent().1, "user-4 ours-3");
}

#[test]
fn without_our_own_token_all_who_take_it_are_told_why() {
    let mut world = World::with_own_actor();
    let users = ["a", "b", "c"].map(Request::by);
    let errands = users.clone().map(|user| world.waits(&user));
    assert_eq!(world.tick(), []);
    let settled = world.say("exchange_client_rejected");
    for (user, errand) in users.iter().zip(errands) {
        assert!(settled.contains(&errand));
        assert_eq!(world.refused(user, Some(errand)), ExchangeError::ClientRejected);
    }
    assert_eq!(world.counted(Counter::ExchangeFailed { code: "exchange_client_rejected" }), 1);
    // It is not asked for again for every user.
    let other = Request::by("d");
    let errand = world.waits(&other);
    assert_eq!((world.tick(), world.sent()), (vec![errand], 1));
    assert_eq!(world.refused(&other, Some(errand)), ExchangeError::ClientRejected);
    // Until a while has passed.
    world.host.advance(secs(3));
    world.waits(&other);
    assert_eq!((world.tick(), world.sent()), (Vec::new(), 2));
}

#[test]
fn what_fails_to_be_sent_for_our_own_token_fails_all() {
    let mut world = World::with_own_actor();
    let errands = ["a", "b"].map(|user| world.waits(&Request::by(user)));
    world.host.refuse_callouts.set(true);
    let settled = world.tick();
    assert!(errands.iter().all(|errand| settled.contains(errand)), "{settled:?}");
}

#[test]
fn assertion_is_redeemed_with_the_answer_that_brought_it() {
    let mut world = World::with_assertion();
    let errand = world.waits(&alice());
    assert_eq!(world.tick(), []);
    assert_eq!(world.say("assertion jag"), []);
    assert_eq!(world.last_sent(), ("/Redeem".to_owned(), "alice-token jag".to_owned()));
    // One errand, however many requests it takes.
    assert_eq!(world.waits(&alice()), errand);
    assert_eq!(world.say("t 300"), [errand]);
    assert_eq!(world.ready(&alice(), Some(errand)), ("t".to_owned(), Origin::Exchanged));
    assert_eq!(world.counted(Counter::ExchangeSucceeded), 1);
    // The assertion was for this once.
    world.host.advance(secs(300));
    world.waits(&alice());
    assert_eq!(world.tick(), []);
    assert_eq!(world.last_sent(), ("/Exchange".to_owned(), "alice-token".to_owned()));
}

#[test]
fn second_assertion_is_no_answer() {
    let mut world = World::with_assertion();
    let errand = world.waits(&alice());
    assert_eq!(world.tick(), []);
    assert_eq!(world.say("assertion jag"), []);
    assert_eq!(world.say("assertion again"), [errand]);
    let expected = ExchangeError::Unusable(Flaw::Malformed);
    assert_eq!(world.refused(&alice(), Some(errand)), expected);
    assert_eq!(world.sent(), 2);
}

#[test]
fn second_step_that_fails_settles_the_errand() {
    let mut world = World::new();
    let errand = world.waits(&alice());
    assert_eq!(world.tick(), []);
    world.host.refuse_callouts.set(true);
    assert_eq!(world.say("assertion jag"), [errand]);
    assert_eq!(world.refused(&alice(), Some(errand)).code(), "exchange_unavailable");
}

#[test]
fn rfc8693_2_2_2_own_token_that_may_be_dead_is_made_anew() {
    for (code, is_made_anew) in [
        ("exchange_subject_rejected", true),
        ("exchange_request_rejected", true),
        ("exchange_client_rejected", true),
        ("exchange_denied", true),
        ("exchange_scope_refused", false),
        ("exchange_token_audience", false),
        ("account_not_linked", false),
    ] {
        let mut world = World::with_own_actor();
        let user = |number: usize| Request::by(&format!("user-{number}"));
        world.waits(&user(0));
        assert_eq!(world.tick(), []);
        world.say("ours-1 3000");
        // It is new: of one that takes none, each user would have another made.
        world.say(code);
        world.run(&user(1), &says(code));
        assert_eq!(world.last_sent(), ("/Exchange".to_owned(), "user-1 ours-1".to_owned()));
        world.host.advance(secs(10));
        world.run(&user(2), &says(code));
        assert_eq!(world.last_sent().1, "user-2 ours-1");
        world.waits(&user(3));
        assert_eq!(world.tick(), []);
        assert_eq!(world.last_sent().0 == "/Actor", is_made_anew, "{code}");
        if is_made_anew {
            world.say("ours-2 3000");
            assert_eq!(world.last_sent().1, "user-3 ours-2", "{code}");
        }
    }
}
