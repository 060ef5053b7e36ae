//! Keys that one worker of a process fetches for all of them.

use crate::host::{HostFlag, Status, Vm, Which};
use crate::support::{
    CALL, assert_denied, assert_forwarded, assert_serves, callouts, claims, fetch, jwks, post,
    remote, send, send_headers_that_wait, sign, tick, token, written_keys,
};

/// How long the keys of [`remote`] are used until they are fetched again, and more.
const REFRESH: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

fn workers<const N: usize>() -> [Vm; N] {
    crate::support::workers(HostFlag::StopIteration, &remote("hold"))
}

fn beside(vm: &Vm) -> Vm {
    crate::support::beside(vm, HostFlag::StopIteration, &remote("hold"))
}

#[test]
fn all_workers_at_once_make_one_fetch() {
    let workers = workers::<4>();
    let waiting = workers.each_ref().map(send_headers_that_wait);
    for stream in &waiting {
        stream.request_body(CALL, true);
    }
    tick(&workers);
    tick(&workers);
    assert_eq!(callouts(&workers), 1);
    fetch(&workers[0], 200, jwks(&["k1"]));
    tick(&workers);
    // What waited in each worker goes on.
    for stream in &waiting {
        assert_forwarded(stream);
    }
    for vm in &workers {
        assert_serves(vm);
    }
    assert_eq!(callouts(&workers), 1);
}

#[test]
fn a_late_worker_takes_what_is_there() {
    let [first] = workers();
    fetch(&first, 200, jwks(&["k1"]));
    let late = beside(&first);
    late.tick();
    assert!(late.callouts().is_empty());
    assert_serves(&late);
}

#[test]
fn a_worker_that_dies_while_it_fetches_is_replaced() {
    let workers = workers::<3>();
    workers[0].tick();
    assert_eq!(workers[0].pending_callouts().len(), 1);
    let [_, rest @ ..] = &workers;
    tick(rest);
    assert_eq!(callouts(rest), 0);
    for vm in rest {
        vm.advance(std::time::Duration::from_secs(16));
    }
    tick(rest);
    assert_eq!(callouts(rest), 1);
    fetch(&rest[0], 200, jwks(&["k1"]));
    tick(rest);
    for vm in rest {
        assert_serves(vm);
    }
}

#[test]
fn a_removed_key_stops_verifying_in_every_worker() {
    let workers = workers::<3>();
    fetch(&workers[0], 200, jwks(&["k1", "k2"]));
    tick(&workers);
    for vm in &workers {
        // The token is remembered from here on.
        assert_serves(vm);
        vm.advance(REFRESH);
    }
    fetch(&workers[0], 200, jwks(&["k2"]));
    tick(&workers);
    for vm in &workers {
        assert_denied(&send(vm, post(&token(vm, "docs.read")), CALL), "hold", 401);
        let new = sign("k2", &claims(vm, "docs.read"));
        assert_forwarded(&send(vm, post(&new), CALL));
    }
}

#[test]
fn without_shared_data_each_worker_fetches() {
    // The statuses on which the SDK does not trap.
    let faults = [
        ("proxy_set_shared_data", Status::CAS_MISMATCH),
        ("proxy_get_shared_data", Status::NOT_FOUND),
    ];
    for (name, status) in faults {
        let workers = workers::<2>();
        for vm in &workers {
            vm.fail_hostcall(name, Which::All, status);
            let stream = send_headers_that_wait(vm);
            stream.request_body(CALL, true);
            fetch(vm, 200, jwks(&["k1"]));
            assert_forwarded(&stream);
            assert_serves(vm);
        }
        assert_eq!(callouts(&workers), 2, "{name} {status:?}");
        // And not more often than it may.
        tick(&workers);
        assert_eq!(callouts(&workers), 2, "{name} {status:?}");
    }
}

#[test]
fn lost_races_delay_nothing() {
    for races in 1..20 {
        let workers = workers::<2>();
        workers[0].lose_races(races);
        tick(&workers);
        let fetching: Vec<_> =
            workers.iter().filter(|vm| !vm.pending_callouts().is_empty()).collect();
        assert!(!fetching.is_empty(), "{races}");
        for vm in fetching {
            fetch(vm, 200, jwks(&["k1"]));
            assert_serves(vm);
        }
    }
}

#[test]
fn what_other_modules_write_lets_nothing_through() {
    let [first] = workers();
    fetch(&first, 200, jwks(&["k1"]));
    let ours = written_keys(&first);
    assert!(ours.iter().all(|key| key.starts_with("countersign")), "{ours:?}");
    let forged = jwks(&["k9"]);
    for value in [&b""[..], b"\0", &[0xff; 300], forged.as_bytes()] {
        for key in &ours {
            first.set_shared_data(key, value);
        }
        first.tick();
        assert_serves(&first);
        let late = beside(&first);
        late.tick();
        let token = sign("k9", &claims(&late, "docs.read"));
        let stream = late.stream();
        stream.request_headers(post(&token), true);
        assert!(stream.upstream().is_empty());
    }
}
