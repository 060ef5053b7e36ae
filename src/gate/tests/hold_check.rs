//! The hold self-check: a host that withholds bodies from us is found out, a slow
//! client is not taken for one.

use std::time::Duration;

use super::driver::*;
use crate::gate::*;
use crate::host::{Counter, LogLevel};

fn waiting(config: &serde_json::Value) -> Driver {
    let mut driver = Driver::of(config);
    let effects = driver.request(&Request::post(&token("docs.read")));
    assert!(effects.wake.is_some());
    assert!(driver.gate.awaits_hold_check());
    driver
}

#[test]
fn a_host_that_does_not_hold_denies_everything_from_then_on() {
    for config in [config(HostMode::Hold), remote_keys(HostMode::Hold)] {
        let mut driver = waiting(&config);
        assert_eq!(driver.hold_check(101), Effects::default());
        driver.host.advance(Duration::from_millis(1999));
        assert_eq!(driver.hold_check(102), Effects::default());
        driver.host.advance(Duration::from_millis(1));
        let effects = driver.hold_check(102);
        driver.denied(effects, 503, "host_unsupported");
        assert!(driver.worker.is_host_unsupported());

        // Another stream, and another that waited at the same time.
        let effects = driver.request(&Request::post(&token("docs.read")));
        driver.denied(effects, 503, "host_unsupported");
        driver.worker.host_cannot_hold(&driver.host);

        let log = driver.host.log.borrow();
        let critical = log.iter().filter(|(level, _)| *level == LogLevel::Critical);
        assert_eq!(critical.count(), 1);
        let counters = driver.host.counters.borrow();
        let failed = counters.iter().filter(|counter| **counter == Counter::HostSelfCheckFailed);
        assert_eq!(failed.count(), 1);
    }
}

/// On such a host the check could find nothing, and a hang would go unseen.
#[test]
fn a_host_that_does_not_tell_what_it_received_cannot_hold() {
    for (request, denied) in [
        (Request::post(&token("docs.read")), true),
        (
            Request::bodiless("GET", &token("docs.read"))
                .line("mcp-protocol-version", "2025-11-25"),
            false,
        ),
    ] {
        let mut driver = Driver::of(&config(HostMode::Hold));
        let effects = driver.on(Event::RequestHeaders {
            headers: Headers::new(request.lines),
            end: request.end,
            source: None,
            received: None,
            peer: &PeerConnection::default,
        });
        if denied {
            driver.denied(effects, 503, "host_unsupported");
        } else {
            assert_eq!(effects.flow, Flow::Continue);
        }
    }
}

#[test]
fn a_slow_client_does_not_trip_it() {
    let mut driver = waiting(&config(HostMode::Hold));
    for _ in 0..10 {
        driver.host.advance(Duration::from_secs(60));
        assert_eq!(driver.hold_check(100), Effects::default());
    }
    driver.on(Event::HoldCheck { received: None });
    driver.host.advance(Duration::from_secs(60));
    assert_eq!(driver.on(Event::HoldCheck { received: None }), Effects::default());
    assert_eq!(driver.body(&call("search"), true).flow, Flow::Continue);
}

#[test]
fn a_host_that_showed_a_part_does_hold() {
    for config in [config(HostMode::Hold), remote_keys(HostMode::Hold)] {
        let mut driver = waiting(&config);
        driver.hold_check(101);
        driver.body("{", false);
        assert!(!driver.gate.awaits_hold_check());
        driver.host.advance(Duration::from_secs(60));
        assert_eq!(driver.hold_check(5000), Effects::default());
        assert!(!driver.worker.is_host_unsupported());
    }
}

#[test]
fn a_clock_that_goes_back_does_not_trip_it() {
    let mut driver = waiting(&config(HostMode::Hold));
    driver.hold_check(101);
    driver.host.now.set(driver.host.now.get() - Duration::from_secs(3600));
    assert_eq!(driver.hold_check(101), Effects::default());
    assert!(!driver.worker.is_host_unsupported());
}

#[test]
fn nothing_is_checked_where_nothing_is_held() {
    let mut driver = Driver::new(HostMode::Stream);
    driver.request(&Request::post(&token("docs.read")));
    assert!(!driver.gate.awaits_hold_check());
    driver.hold_check(1000);
    driver.host.advance(Duration::from_secs(60));
    assert_eq!(driver.hold_check(1000), Effects::default());
    assert!(!driver.worker.is_host_unsupported());
}
