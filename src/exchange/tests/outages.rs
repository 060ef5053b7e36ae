//! Authorization servers that fail: whether they are asked, and what is said of it.

use std::time::Duration;

use super::support::*;
use crate::exchange::{ExchangeError, Origin};
use crate::host::{CalloutAnswer, Change, Counter, LogLevel};

/// So many errands fail in a row before the server is spared.
const FAILURES: usize = 5;

/// Fails the errands of so many users.
fn fail(world: &mut World, users: usize, answer: &CalloutAnswer) {
    for user in 0..users {
        world.run(&Request::by(&format!("unlucky-{}-{user}", world.sent())), answer);
    }
}

fn retry_after(error: &ExchangeError) -> Duration {
    let ExchangeError::Unavailable { retry_after, .. } = error else { panic!("{error:?}") };
    retry_after.unwrap()
}

/// A worker with a cached credential for Alice and an open circuit.
fn outage() -> World {
    let mut world = World::new();
    world.run(&alice(), &says("t 300"));
    fail(&mut world, FAILURES, &fails());
    assert_eq!(world.open_circuits(), 1);
    world
}

#[test]
fn server_that_fails_in_a_row_is_spared() {
    let mut world = World::new();
    world.run(&alice(), &says("t 300"));
    fail(&mut world, FAILURES - 1, &fails());
    assert_eq!(world.open_circuits(), 0);
    fail(&mut world, 1, &fails());
    assert_eq!(*world.host.gauges.borrow(), [("one".to_owned(), Change::Up)]);
    assert_eq!(world.counted(Counter::ExchangeCircuitOpened), 1);
    // Nobody waits for what is not asked for, and what is there is used.
    let sent = world.sent();
    world.host.advance(Duration::from_millis(500));
    let refused = world.refused(&Request::by("bob-token"), None);
    assert_eq!(retry_after(&refused), Duration::from_millis(1500));
    assert_eq!(world.ready(&alice(), None), ("t".to_owned(), Origin::Cached));
    assert_eq!((world.tick(), world.sent()), (Vec::new(), sent));
}

#[test]
fn another_exchange_is_asked_meanwhile() {
    let mut world = outage();
    let outcome = world.obtain_by(1, &alice(), None);
    assert!(matches!(outcome, crate::exchange::Outcome::Waits(_)), "{outcome:?}");
}

#[test]
fn only_what_is_the_servers_fault_counts() {
    let no_answer = CalloutAnswer::default();
    for (answer, opens) in [
        (fails(), true),
        (no_answer, true),
        (says("exchange_answer_malformed"), true),
        (says("exchange_answer_too_large"), true),
        (says("exchange_token_audience"), false),
        (says("exchange_denied"), false),
        (says("exchange_subject_rejected"), false),
        (says("exchange_scope_refused"), false),
        (says("exchange_client_rejected"), false),
        (says("account_not_linked"), false),
    ] {
        let mut world = World::new();
        fail(&mut world, FAILURES, &answer);
        assert_eq!(world.open_circuits() == 1, opens, "{answer:?}");
    }
}

#[test]
fn success_between_failures_keeps_it_closed() {
    let mut world = World::new();
    for round in 0..3 {
        fail(&mut world, FAILURES - 1, &fails());
        // An answer is one, whatever it says.
        let answer = if round == 1 { says("exchange_denied") } else { says("t 300") };
        world.run(&Request::by(&format!("lucky-{round}")), &answer);
    }
    assert_eq!(*world.host.gauges.borrow(), []);
}

#[test]
fn those_under_way_and_wanted_are_settled_once() {
    let mut world = World::new();
    let errands: Vec<_> =
        (0..100).map(|user| world.waits(&Request::by(&format!("{user}")))).collect();
    assert_eq!(world.tick(), []);
    // Each answer lets another start until the fifth, with which the others are given up.
    let sent = 64 + FAILURES - 1;
    let mut settled = Vec::new();
    for place in 1..=sent {
        settled.extend(world.answer(place, &fails()).unwrap());
    }
    settled.sort_unstable();
    assert_eq!((settled, world.sent()), (errands, sent));
    assert_eq!(world.open_circuits(), 1);
}

#[test]
fn one_errand_tries_whether_the_server_is_back() {
    let mut world = outage();
    world.host.advance(secs(2));
    let [bob, carol] = ["bob-token", "carol-token"].map(Request::by);
    let errand = world.waits(&bob);
    assert_eq!(world.waits(&bob), errand);
    assert_eq!(retry_after(&world.refused(&carol, None)), secs(1));
    assert_eq!(world.tick(), []);
    assert_eq!(retry_after(&world.refused(&carol, None)), secs(1));
    assert_eq!(world.open_circuits(), 1);
    assert_eq!(world.say("t 300"), [errand]);
    assert_eq!(world.open_circuits(), 0);
    world.waits(&carol);
}

#[test]
fn pauses_double_up_to_a_bound() {
    let mut world = outage();
    let mut user = 0;
    for pause in [2, 4, 8, 16, 30, 30] {
        world.host.advance(secs(pause) - Duration::from_millis(1));
        user += 1;
        let request = Request::by(&format!("{user}"));
        assert_eq!(retry_after(&world.refused(&request, None)), Duration::from_millis(1));
        world.host.advance(Duration::from_millis(1));
        world.run(&request, &fails());
    }
    // Opened once, however often it was tried.
    assert_eq!(world.open_circuits(), 1);
    assert_eq!(world.counted(Counter::ExchangeCircuitOpened), 1);
    // The next outage begins with a short one.
    world.host.advance(secs(30));
    world.run(&Request::by("back"), &says("t 300"));
    fail(&mut world, FAILURES, &fails());
    assert_eq!(retry_after(&world.refused(&Request::by("new"), None)), secs(2));
    assert_eq!((world.open_circuits(), world.host.gauges.borrow().len()), (1, 3));
}

#[test]
fn server_says_itself_when_to_come_again_within_bounds() {
    for (asked, period) in [(1, 2), (20, 20), (86_400, 30)] {
        let mut world = World::new();
        fail(&mut world, FAILURES, &fails_for(asked));
        let refused = world.refused(&Request::by("bob-token"), None);
        assert_eq!(retry_after(&refused), secs(period), "asked for {asked} s");
    }
}

#[test]
fn attempt_that_is_never_made_leaves_the_next_one() {
    let mut world = outage();
    world.host.advance(secs(2));
    let [bob, carol] = ["bob-token", "carol-token"].map(Request::by);
    let errand = world.waits(&bob);
    world.host.refuse_random.set(true);
    assert_eq!(world.tick(), [errand]);
    world.host.refuse_random.set(false);
    let errand = world.waits(&carol);
    assert_eq!(world.tick(), []);
    assert_eq!(world.say("t 300"), [errand]);
    assert_eq!(world.open_circuits(), 0);
}

#[test]
fn attempt_whose_answer_is_lost_ends_too() {
    let mut world = outage();
    world.host.advance(secs(2));
    let errand = world.waits(&Request::by("bob-token"));
    assert_eq!(world.tick(), []);
    world.host.advance(secs(7));
    assert_eq!(world.tick(), [errand]);
    let refused = world.refused(&Request::by("carol-token"), None);
    assert_eq!((retry_after(&refused), world.open_circuits()), (secs(4), 1));
}

#[test]
fn refresh_may_be_the_attempt() {
    let mut world = outage();
    world.host.advance(secs(240));
    assert_eq!(world.ready(&alice(), None), ("t".to_owned(), Origin::Cached));
    assert_eq!(world.tick(), []);
    assert_eq!(world.say("u 300").len(), 1);
    assert_eq!((world.ready(&alice(), None).0.as_str(), world.open_circuits()), ("u", 0));
}

#[test]
fn clock_that_goes_back_ends_a_pause() {
    let mut world = outage();
    world.host.now.set(world.host.now.get() - secs(3600));
    world.run(&Request::by("bob-token"), &says("t 300"));
    assert_eq!(world.open_circuits(), 0);
}

#[test]
fn what_is_retired_takes_its_gauge_back_once() {
    let mut world = outage();
    world.exchanger.retire(&world.host);
    assert_eq!(world.open_circuits(), 0);
    world.exchanger.retire(&world.host);
    assert_eq!(world.open_circuits(), 0);
    let half_open = outage();
    let mut world = half_open;
    world.host.advance(secs(2));
    world.waits(&Request::by("bob-token"));
    world.exchanger.retire(&world.host);
    assert_eq!(world.open_circuits(), 0);
    let mut quiet = World::new();
    quiet.exchanger.retire(&quiet.host);
    assert_eq!(*quiet.host.gauges.borrow(), []);
}

#[test]
fn answer_that_is_lost_is_given_up_after_its_timeout() {
    let mut world = World::new();
    let errand = world.waits(&alice());
    assert_eq!(world.tick(), []);
    world.host.advance(TIMEOUT + secs(5) - Duration::from_millis(1));
    assert_eq!(world.tick(), []);
    world.host.advance(Duration::from_millis(1));
    assert_eq!(world.tick(), [errand]);
    assert_eq!(world.refused(&alice(), Some(errand)).code(), "exchange_unavailable");
    // What comes after that is nobody's.
    assert_eq!(world.answer(1, &says("t 300")), None);
}

#[test]
fn answers_to_others_are_not_taken() {
    let mut world = World::new();
    world.waits(&alice());
    assert_eq!(world.tick(), []);
    assert_eq!(world.answer(9, &says("t 300")), None);
}

#[test]
fn request_that_cannot_be_sent_settles_and_counts() {
    let mut world = World::new();
    world.host.refuse_callouts.set(true);
    for user in 0..FAILURES {
        let request = Request::by(&format!("{user}"));
        let errand = world.waits(&request);
        assert_eq!(world.tick(), [errand]);
        assert_eq!(world.refused(&request, Some(errand)).code(), "exchange_unavailable");
    }
    assert_eq!(world.open_circuits(), 1);
}

#[test]
fn request_that_cannot_be_made_is_not_the_servers_fault() {
    let mut world = World::new();
    world.host.refuse_random.set(true);
    for user in 0..=FAILURES {
        let errand = world.waits(&Request::by(&format!("{user}")));
        assert_eq!(world.tick(), [errand]);
    }
    assert_eq!((world.sent(), world.open_circuits()), (0, 0));
}

#[test]
fn only_what_reached_nobody_is_tried_again() {
    let mut world = World::new();
    world.waits(&alice());
    assert_eq!(world.tick(), []);
    let callouts = world.host.callouts.borrow();
    let headers = &callouts.first().unwrap().headers;
    let value = |wanted: &str| {
        let mut found = headers.iter().filter(|(name, _)| *name == wanted);
        found.next().map(|(_, value)| value.as_str())
    };
    let safe = "connect-failure,refused-stream,reset-before-request";
    assert_eq!(value("x-envoy-retry-on"), Some(safe));
    assert_eq!(value("x-envoy-max-retries"), Some("1"));
}

#[test]
fn operators_are_told_what_is_theirs_once_in_a_while() {
    let mut world = World::new();
    for _ in 0..2 {
        fail(&mut world, 2, &fails());
        fail(&mut world, 2, &says("exchange_client_rejected"));
        fail(&mut world, 1, &says("exchange_token_audience"));
        // A caller's or a user's.
        fail(&mut world, 2, &says("exchange_denied"));
        fail(&mut world, 2, &says("account_not_linked"));
        world.host.advance(secs(10));
    }
    let once = [
        (LogLevel::Warn, "exchange one: the authorization server could not be asked: it failed"),
        (
            LogLevel::Error,
            "exchange one: the authorization server does not take the filter as its client",
        ),
    ]
    .map(|(level, line)| (level, line.to_owned()));
    assert_eq!(*world.host.log.borrow(), [once.clone(), once].concat());
}

#[test]
fn operators_are_told_of_outages() {
    let mut world = outage();
    world.host.advance(secs(2));
    world.run(&Request::by("bob-token"), &says("t 300"));
    let lines: Vec<_> = world.host.log.borrow().iter().map(|(_, line)| line.clone()).collect();
    assert_eq!(
        lines,
        [
            "exchange one: the authorization server could not be asked: it failed",
            "exchange one: failed too often in a row, and is not asked for 2 s",
            "exchange one: is asked again",
        ]
    );
}

#[test]
fn clock_that_goes_back_loses_no_request() {
    let mut world = World::new();
    let errand = world.waits(&alice());
    assert_eq!(world.tick(), []);
    world.host.now.set(world.host.now.get() - Duration::from_millis(1));
    assert_eq!(world.tick(), []);
    assert_eq!(world.open_circuits(), 0);
    // From there on it is as late as any other.
    world.host.advance(TIMEOUT + secs(5) - Duration::from_millis(1));
    assert_eq!(world.tick(), []);
    assert_eq!(world.answer(1, &says("t 300")), Some(vec![errand]));
    assert_eq!(world.ready(&alice(), Some(errand)).0, "t");
}

#[test]
fn clock_that_goes_back_keeps_nobody_waiting() {
    let mut world = World::new();
    let errands: Vec<_> =
        (0..65).map(|user| world.waits(&Request::by(&format!("{user}")))).collect();
    assert_eq!(world.tick(), []);
    world.host.now.set(world.host.now.get() - secs(3600));
    assert_eq!(world.tick(), []);
    assert!(world.answer(1, &says("t 300")).is_some());
    assert!(world.answer(65, &says("t 300")).is_some());
    assert_eq!(world.ready(&Request::by("64"), errands.last().copied()).0, "t");
}

#[test]
fn nobody_waits_longer_to_be_asked_for_than_a_request_may_take() {
    let mut world = World::new();
    let user = |number: usize| Request::by(&format!("{number}"));
    let errands: Vec<_> = (0..200).map(|number| world.waits(&user(number))).collect();
    assert_eq!(world.tick(), []);
    // The server is slow, and answers in time.
    world.host.advance(secs(6));
    for place in 1..=64 {
        assert!(world.answer(place, &says("t 300")).is_some());
    }
    world.host.advance(secs(4) - Duration::from_millis(1));
    assert_eq!(world.tick(), []);
    world.host.advance(Duration::from_millis(1));
    let (started, overdue) = errands.split_at(128);
    assert_eq!(world.tick(), overdue);
    for (number, errand) in (128..).zip(overdue) {
        assert_eq!(world.refused(&user(number), Some(*errand)).code(), "exchange_unavailable");
    }
    // That is not the server's fault, and those under way end as they would.
    assert_eq!((world.sent(), world.open_circuits()), (128, 0));
    for (place, errand) in started.iter().enumerate().skip(64) {
        assert_eq!(world.answer(place + 1, &says("t 300")), Some(vec![*errand]));
    }
    // Who comes again is asked for.
    world.waits(&user(199));
}

fn refused_by_the_first(world: &mut World, user: &str) {
    world.run(&Request::by(user), &says("exchange_denied"));
}

fn lost_by_the_second(world: &mut World, user: &str) {
    let errand = world.waits(&Request::by(user));
    assert_eq!(world.tick(), []);
    assert_eq!(world.say("assertion jag"), []);
    assert_eq!(world.answer(world.sent(), &fails()), Some(vec![errand]));
}

#[test]
fn refusal_by_the_first_server_says_nothing_of_the_second() {
    let mut world = World::with_assertion();
    for number in 0..FAILURES {
        assert_eq!(world.open_circuits(), 0);
        lost_by_the_second(&mut world, &format!("lost-{number}"));
        if number + 1 < FAILURES {
            refused_by_the_first(&mut world, &format!("refused-{number}"));
        }
    }
    assert_eq!(world.open_circuits(), 1);
    // Nor is it left alone for ever by one: the next errand tries.
    world.host.advance(secs(2));
    refused_by_the_first(&mut world, "refused");
    assert_eq!(world.open_circuits(), 1);
    let errand = world.waits(&alice());
    assert_eq!(world.tick(), []);
    assert_eq!(world.say("assertion jag"), []);
    assert_eq!(world.say("t 300"), [errand]);
    assert_eq!(world.open_circuits(), 0);
}
