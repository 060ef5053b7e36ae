//! Who shares an errand and a credential, and how many errands there may be.

use std::rc::Rc;

use super::support::*;
use crate::exchange::profile::DependsOn;
use crate::exchange::protocol::Protocol;
use crate::exchange::{Errand, ExchangeError, Exchanger, Origin, Outcome};
use crate::host::Counter;

/// Most errands, as the queue of one of two exchanges has them.
const UNDER_WAY: usize = 64;
const WANTED: usize = 512;
const OF_CALLER: usize = 32;

#[test]
fn five_hundred_requests_make_one_and_all_get_its_answer() {
    let mut world = World::new();
    let errands: Vec<_> = (0..250).map(|_| world.waits(&alice())).collect();
    assert_eq!(world.tick(), []);
    let later: Vec<_> = (0..250).map(|_| world.waits(&alice())).collect();
    assert_eq!(world.tick(), []);
    assert_eq!(world.sent(), 1);
    let errand = errands.first().copied().unwrap();
    assert!(errands.iter().chain(&later).all(|&other| other == errand));
    assert_eq!(world.say("t 300"), [errand]);
    for _ in 0..500 {
        let expected = ("t".to_owned(), Origin::Exchanged);
        assert_eq!(world.ready(&alice(), Some(errand)), expected);
    }
    assert_eq!(world.ready(&alice(), None), ("t".to_owned(), Origin::Cached));
    assert_eq!(world.tick(), []);
    assert_eq!(world.sent(), 1);
    assert_eq!(world.counted(Counter::ExchangeSucceeded), 1);
    assert_eq!(world.counted(Counter::ExchangeCacheMiss), 500);
    assert_eq!(world.counted(Counter::ExchangeCacheHit), 1);
}

#[test]
fn no_request_is_sent_before_a_tick() {
    let mut world = World::new();
    world.waits(&alice());
    assert_eq!(world.sent(), 0);
    assert_eq!(world.tick(), []);
    assert_eq!(world.sent(), 1);
}

#[test]
fn what_differs_in_what_the_answer_depends_on_has_its_own_errand() {
    let everything = DependsOn { subject: true, jwt_svid: true, agent_token: true };
    let nothing = OF_NOTHING;
    let base = Request { agent_token: Some("a"), jwt_svid: Some("s"), ..alice() };
    // What differs, and in what an exchange has to depend for that to make a difference.
    let differ: [(Request, DependsOn); 6] = [
        (
            Request { token: "bob-token".to_owned(), ..base.clone() },
            DependsOn { subject: true, ..nothing },
        ),
        (Request { epoch: 1, ..base.clone() }, DependsOn { subject: true, ..nothing }),
        (
            Request { agent_token: Some("b"), ..base.clone() },
            DependsOn { agent_token: true, ..nothing },
        ),
        // Which token is whose makes a difference.
        (
            Request { agent_token: Some("s"), jwt_svid: Some("a"), ..base.clone() },
            DependsOn { agent_token: true, ..nothing },
        ),
        (Request { jwt_svid: Some("t"), ..base.clone() }, DependsOn { jwt_svid: true, ..nothing }),
        (Request { jwt_svid: None, ..base.clone() }, DependsOn { jwt_svid: true, ..nothing }),
    ];
    for (place, (other, needed)) in differ.into_iter().enumerate() {
        for (depends_on, is_same) in [(everything, false), (needed, false), (nothing, true)] {
            let mut world = World::with(Double::depending_on(depends_on));
            let errand = world.waits(&base);
            assert_eq!(world.waits(&other) == errand, is_same, "{place} {depends_on:?}");
            assert_eq!(world.tick(), []);
            assert_eq!(world.sent() == 1, is_same, "{place} {depends_on:?}");
        }
    }
}

#[test]
fn scopes_are_told_apart_as_a_set_and_never_run_together() {
    let mut world = World::new();
    let sets: [&[&str]; 6] = [&[], &["a"], &["a", "b"], &["ab"], &["a b"], &["b"]];
    let errands: Vec<_> =
        sets.iter().map(|scopes| world.waits(&alice().for_scopes(scopes))).collect();
    assert_eq!(std::collections::BTreeSet::from_iter(&errands).len(), sets.len());
    let turned = world.waits(&alice().for_scopes(&["b", "a", "b"]));
    assert_eq!(errands.get(2), Some(&turned));
}

#[test]
fn exchanges_share_neither_credentials_nor_numbers() {
    let mut world = World::new();
    world.run(&alice(), &says("t 300"));
    let Outcome::Waits(errand) = world.obtain_by(1, &alice(), None) else { panic!() };
    assert_eq!(errand, Errand(2));
    assert_eq!(world.tick(), []);
    assert_eq!(world.say("u 300"), [errand]);
    assert_eq!(world.ready(&alice(), None).0, "t");
    let Outcome::Ready(credential, _) = world.obtain_by(1, &alice(), Some(errand)) else {
        panic!()
    };
    assert_eq!(credential.token.reveal(), "u");
}

#[test]
fn exchange_that_is_not_configured_is_refused() {
    let outcome = World::new().obtain_by(2, &alice(), None);
    assert!(matches!(outcome, Outcome::Refused(ExchangeError::Unavailable { .. })), "{outcome:?}");
}

#[test]
fn what_cannot_be_asked_for_makes_no_errand() {
    let depends_on = DependsOn { agent_token: true, ..super::support::OF_CALLER };
    let mut world = World::with(Double::depending_on(depends_on));
    assert_eq!(world.refused(&alice(), None), ExchangeError::NoActor);
    assert_eq!((world.tick(), world.sent()), (Vec::new(), 0));
}

#[test]
fn errand_outlives_its_stream() {
    let mut world = World::new();
    // Nobody comes back for it.
    world.run(&alice(), &says("t 300"));
    assert_eq!(world.ready(&alice(), None), ("t".to_owned(), Origin::Cached));
}

#[test]
fn as_many_are_under_way_as_may_be_and_the_next_starts_with_an_answer() {
    let mut world = World::new();
    let errands: Vec<_> =
        (0..UNDER_WAY + 1).map(|user| world.waits(&Request::by(&format!("{user}")))).collect();
    assert_eq!(world.tick(), []);
    assert_eq!(world.sent(), UNDER_WAY);
    assert_eq!(world.tick(), []);
    assert_eq!(world.sent(), UNDER_WAY);
    let first = errands.first().copied().unwrap();
    assert_eq!(world.answer(1, &says("t 300")), Some(vec![first]));
    assert_eq!(world.sent(), UNDER_WAY + 1);
    assert_eq!(world.last_sent().1, format!("{UNDER_WAY}"));
}

#[test]
fn as_many_are_wanted_as_may_be() {
    let mut world = World::new();
    for user in 0..WANTED {
        world.waits(&Request::by(&format!("{user}")));
    }
    let one_more = Request::by("one-more");
    assert_eq!(world.refused(&one_more, None), ExchangeError::Overloaded);
    // Who wants what is wanted already takes no room.
    world.waits(&Request::by("0"));
    assert_eq!(world.tick(), []);
    world.waits(&one_more);
}

#[test]
fn one_caller_leaves_room_to_others() {
    let mut world = World::new();
    let operation = |number: usize| alice().for_scopes(&[&format!("s{number}")]);
    for number in 0..OF_CALLER {
        world.waits(&operation(number));
    }
    assert_eq!(world.refused(&operation(OF_CALLER), None), ExchangeError::Overloaded);
    // Also when they are under way.
    assert_eq!(world.tick(), []);
    assert_eq!(world.refused(&operation(OF_CALLER), None), ExchangeError::Overloaded);
    world.waits(&Request::by("bob-token"));
    assert!(world.answer(1, &says("t 300")).is_some());
    world.waits(&operation(OF_CALLER));
}

#[test]
fn many_exchanges_share_what_a_worker_may_want() {
    let world = |exchanges: usize| {
        let exchange = |number: usize| -> (Rc<str>, Box<dyn Protocol>) {
            (format!("{number}").into(), Box::new(Double::depending_on(super::support::OF_CALLER)))
        };
        World::of(Exchanger::speaking((0..exchanges).map(exchange)))
    };
    for (exchanges, wanted) in [(1, 1024), (4, 256), (16, 64), (32, 64)] {
        let mut world = world(exchanges);
        for user in 0..wanted {
            world.waits(&Request::by(&format!("{user}")));
        }
        let refused = world.refused(&Request::by("one-more"), None);
        assert_eq!(refused, ExchangeError::Overloaded, "of {exchanges}");
    }
}
