//! When what was made of an issuer's tokens is made anew: with its keys and its revocations.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::*;
use crate::host::fake::{FakeHost, SharedData};
use crate::host::{Callout, CalloutAnswer, CalloutId};
use crate::token::{Authenticator, IssuerId, KeySource, RevocationSource, Schedule, Source};

const REFRESH: Duration = Duration::from_secs(600);

/// A worker whose issuer 0 publishes its keys and its revocations.
struct Worker {
    host: FakeHost,
    authenticator: Authenticator,
}

impl Worker {
    fn new(shared: &SharedData) -> Self {
        let at = |path: &str| Callout {
            cluster: "idp".to_owned(),
            method: "GET",
            scheme: "https".to_owned(),
            authority: "idp.example.com".to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: Duration::from_secs(2),
        };
        let schedule = Schedule { refresh: REFRESH, stale_for: REFRESH };
        let mut issuer = issuer(KeySource::Remote { source: Source::At(at("/keys")), schedule });
        issuer.revocations = Some(RevocationSource { list: at("/revoked"), schedule });
        let host = FakeHost::worker(shared);
        let mut authenticator = Authenticator::new(vec![issuer], Vec::new());
        authenticator.prepare(false, &host).unwrap();
        Worker { host, authenticator }
    }

    fn epoch(&self) -> u64 {
        self.authenticator.epoch(IssuerId(0))
    }

    fn tick(&mut self) {
        let _ = self.authenticator.on_tick(&self.host);
    }

    /// Fetches both documents when they are due.
    fn fetch(&mut self, keys: &[Value], revoked: &Value) {
        self.host.advance(REFRESH);
        let before = self.host.callouts.borrow().len();
        self.tick();
        let paths: Vec<_> = self.host.callouts.borrow().iter().map(|c| c.path.clone()).collect();
        assert_eq!(paths.len(), before + 2);
        for (place, path) in paths.iter().enumerate().skip(before) {
            let body = match path.as_str() {
                "/keys" => jwks(keys),
                _ => json!({ "revoked": revoked }).to_string().into_bytes(),
            };
            let answer = CalloutAnswer { status: Some(200), headers: Vec::new(), body: Some(body) };
            let id = CalloutId(u32::try_from(place + 1).unwrap());
            assert_eq!(self.authenticator.on_callout(id, &answer, &self.host).len(), 1);
        }
    }
}

#[test]
fn epoch_changes_with_what_is_published_and_not_with_each_fetch() {
    let mut worker = Worker::new(&SharedData::default());
    let mut epochs = vec![worker.epoch()];
    let (one, both) = (vec![jwk(1, "k1")], vec![jwk(1, "k1"), jwk(2, "k2")]);
    let (nobody, alice) = (json!([]), json!([{"sub": "alice"}]));
    for (keys, revoked, changes) in [
        (&one, &nobody, true),
        (&one, &nobody, false),
        (&both, &nobody, true),
        (&both, &alice, true),
        (&both, &alice, false),
        // What was is not what is: nothing that was made then is used again.
        (&one, &nobody, true),
    ] {
        let before = worker.epoch();
        worker.fetch(keys, revoked);
        assert_eq!(worker.epoch() != before, changes, "{epochs:?}");
        if changes {
            assert!(!epochs.contains(&worker.epoch()), "{epochs:?}");
            epochs.push(worker.epoch());
        }
    }
}

#[test]
fn epoch_does_not_change_with_the_order_or_with_what_means_nothing() {
    let mut worker = Worker::new(&SharedData::default());
    let revoked = [json!({"sub": "alice"}), json!({"jti": "1", "sub": "bob"}), json!({"sid": "s"})];
    let keys = [jwk(1, "k1"), jwk(2, "k2")];
    worker.fetch(&keys, &json!(revoked));
    let before = worker.epoch();
    let [alice, bob, session] = &revoked;
    let mut described = keys.clone();
    described[0]["x-generated-at"] = json!(1);
    let [first, second] = described;
    for revoked in [json!([session, bob, alice]), json!([alice, alice, bob, session])] {
        worker.fetch(&[second.clone(), first.clone()], &revoked);
        assert_eq!(worker.epoch(), before, "{revoked}");
    }
    // As many others are others.
    for (keys, revoked) in [
        (["k1", "k3"], json!([alice, bob, session])),
        (["k1", "k3"], json!([alice, bob, {"sid": "t"}])),
        (["k1", "k3"], json!([alice, bob, {"sid": "t", "issued_before": 1}])),
    ] {
        let before = worker.epoch();
        worker.fetch(&[jwk(1, keys[0]), jwk(2, keys[1])], &revoked);
        assert_eq!(worker.epoch(), before + 1, "{revoked}");
    }
}

#[test]
fn failed_fetch_leaves_the_epoch() {
    let mut worker = Worker::new(&SharedData::default());
    worker.fetch(&[jwk(1, "k1")], &json!([]));
    let before = worker.epoch();
    worker.host.advance(REFRESH);
    worker.tick();
    for id in [3, 4] {
        let answer = CalloutAnswer { status: Some(503), ..CalloutAnswer::default() };
        assert_eq!(worker.authenticator.on_callout(CalloutId(id), &answer, &worker.host).len(), 1);
    }
    assert_eq!(worker.epoch(), before);
}

#[test]
fn epoch_changes_also_by_what_another_worker_fetched() {
    let shared = SharedData::default();
    let (mut first, mut second) = (Worker::new(&shared), Worker::new(&shared));
    let mut last = second.epoch();
    for (revoked, changes) in
        [(json!([]), true), (json!([]), false), (json!([{"sub": "alice"}]), true)]
    {
        first.fetch(&[jwk(1, "k1")], &revoked);
        second.host.now.set(first.host.now.get());
        second.tick();
        assert_eq!(second.epoch() != last, changes, "{revoked}");
        last = second.epoch();
    }
    assert!(second.host.callouts.borrow().is_empty());
}
