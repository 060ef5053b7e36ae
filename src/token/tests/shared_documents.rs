//! A document and several workers: one fetch for all, whatever happens to who fetches.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::*;
use crate::host::fake::{FakeHost, SharedData};
use crate::host::{Callout, CalloutAnswer, CalloutId, Counter, Host, LogLevel};
use crate::token::key_store::KeyStore;
use crate::token::shared_document::{Freshness, Generation};
use crate::token::{Schedule, Source};

const REFRESH: Duration = Duration::from_secs(600);
const STALE: Duration = Duration::from_secs(3600);
const TIMEOUT: Duration = Duration::from_secs(2);
const MARGIN: Duration = Duration::from_secs(5);
const DEBOUNCE: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);

const SUCCEEDED: Counter = Counter::FetchSucceeded { document: "keys" };
const FAILED: Counter = Counter::FetchFailed { document: "keys" };

struct Worker {
    host: FakeHost,
    keys: KeyStore,
    generation: Generation,
}

impl Worker {
    fn tick(&mut self) -> bool {
        self.keys.on_tick(&self.host)
    }

    fn wants(&mut self) -> bool {
        self.keys.want_fetch(self.host.now())
    }

    fn sees_change(&mut self) -> bool {
        self.generation.changed(&self.host)
    }
}

/// The workers of one proxy, all with one issuer, on one clock.
struct Proxy {
    shared: SharedData,
    source: Source,
    workers: Vec<Worker>,
}

fn request(path: &str) -> Callout {
    Callout {
        cluster: "idp".to_owned(),
        method: "GET",
        scheme: "https".to_owned(),
        authority: "idp.example.com".to_owned(),
        path: path.to_owned(),
        headers: vec![("accept", "application/json".to_owned())],
        body: Vec::new(),
        timeout: TIMEOUT,
    }
}

fn discovered() -> Source {
    Source::Discovered {
        metadata: request("/.well-known/openid-configuration"),
        issuer: ISSUER.to_owned(),
        keys_cluster: None,
    }
}

fn metadata() -> Vec<u8> {
    json!({"issuer": ISSUER, "jwks_uri": format!("{ISSUER}/keys")}).to_string().into_bytes()
}

impl Proxy {
    fn new(workers: usize) -> Self {
        Proxy::of(workers, Source::At(request("/jwks")))
    }

    fn of(workers: usize, source: Source) -> Self {
        let mut proxy = Proxy { shared: SharedData::default(), source, workers: Vec::new() };
        for _ in 0..workers {
            proxy.add();
        }
        proxy
    }

    /// A proxy whose first worker fetched these keys, and the others took them.
    fn with(workers: usize, keys: &[Value]) -> Self {
        let mut proxy = Proxy::new(workers);
        proxy.tick();
        assert!(proxy.answer(0, jwks(keys)));
        proxy.tick();
        proxy
    }

    /// One more worker, which starts now.
    fn add(&mut self) {
        let host = FakeHost::worker(&self.shared);
        if let Some(other) = self.workers.first() {
            host.now.set(other.host.now.get());
        }
        // Worker n draws other numbers than worker n - 1.
        for _ in 0..1000 * self.workers.len() {
            host.random().unwrap();
        }
        let schedule = Schedule { refresh: REFRESH, stale_for: STALE };
        let mut keys = KeyStore::remote("corp", &ALL, self.source.clone(), schedule);
        keys.prepare(&host);
        self.workers.push(Worker { host, keys, generation: Generation::default() });
    }

    fn advance(&self, by: Duration) {
        self.workers.iter().for_each(|worker| worker.host.advance(by));
    }

    /// Ticks every worker; which of them settled something.
    fn tick(&mut self) -> Vec<bool> {
        self.workers.iter_mut().map(Worker::tick).collect()
    }

    /// Answers the latest callout of a worker with a document.
    fn answer(&mut self, worker: usize, body: Vec<u8>) -> bool {
        self.answer_with(worker, Some(200), &[], Some(body))
    }

    fn answer_with(
        &mut self,
        worker: usize,
        status: Option<u16>,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> bool {
        let worker = &mut self.workers[worker];
        let id = CalloutId(u32::try_from(worker.host.callouts.borrow().len()).unwrap());
        let headers =
            headers.iter().map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec())).collect();
        worker.keys.on_callout(id, &CalloutAnswer { status, headers, body }, &worker.host)
    }

    /// How many callouts each worker made.
    fn callouts(&self) -> Vec<usize> {
        self.workers.iter().map(|worker| worker.host.callouts.borrow().len()).collect()
    }

    fn counted(&self, counter: Counter) -> usize {
        let count = |worker: &Worker| {
            worker.host.counters.borrow().iter().filter(|counted| **counted == counter).count()
        };
        self.workers.iter().map(count).sum()
    }

    /// Whether each worker has that key, and how recent.
    fn has(&self, kid: &str) -> Vec<Option<Freshness>> {
        let has = |worker: &Worker| {
            let (keys, freshness) = worker.keys.current(worker.host.now())?;
            keys.find(Some(kid)).map(|_| freshness)
        };
        self.workers.iter().map(has).collect()
    }

    fn all_have(&self, kid: &str) -> bool {
        self.has(kid).iter().all(|freshness| *freshness == Some(Freshness::Fresh))
    }

    fn none_has(&self, kid: &str) -> bool {
        self.has(kid).iter().all(Option::is_none)
    }

    /// The shared key that ends so.
    fn shared_key(&self, end: &str) -> String {
        self.shared.borrow().keys().find(|key| key.ends_with(end)).unwrap().clone()
    }

    /// Writes a shared value as another module of the VM namespace would.
    fn overwrite(&self, end: &str, value: &[u8]) {
        self.workers[0].host.set_shared(&self.shared_key(end), value, None).unwrap();
    }

    fn warnings(&self) -> Vec<String> {
        let log = |worker: &Worker| worker.host.log.borrow().clone();
        let lines = self.workers.iter().flat_map(log);
        lines.filter(|(level, _)| *level == LogLevel::Warn).map(|(_, line)| line).collect()
    }
}

#[test]
fn all_workers_at_once_make_one_fetch() {
    let mut proxy = Proxy::new(5);
    for worker in &mut proxy.workers {
        assert!(worker.wants());
    }
    assert_eq!(proxy.tick(), [false; 5]);
    assert_eq!(proxy.tick(), [false; 5]);
    assert_eq!(proxy.callouts(), [1, 0, 0, 0, 0]);
    assert!(proxy.answer(0, jwks(&[jwk(1, "k1")])));
    // Each of the others wakes who waited there.
    assert_eq!(proxy.tick(), [false, true, true, true, true]);
    assert!(proxy.all_have("k1"));
    assert!(proxy.workers.iter().all(|worker| worker.keys.is_settled()));
    proxy.advance(DEBOUNCE);
    proxy.tick();
    assert_eq!(proxy.callouts(), [1, 0, 0, 0, 0]);
    assert_eq!((proxy.counted(SUCCEEDED), proxy.counted(FAILED)), (1, 0));
}

#[test]
fn late_worker_takes_the_stored_document() {
    let mut proxy = Proxy::with(2, &[jwk(1, "k1")]);
    proxy.add();
    assert!(proxy.all_have("k1"));
    proxy.tick();
    assert_eq!(proxy.callouts(), [1, 0, 0]);
}

#[test]
fn stored_document_outlives_the_worker_that_fetched_it() {
    let mut proxy = Proxy::with(1, &[jwk(1, "k1")]);
    proxy.workers.clear();
    proxy.add();
    assert!(proxy.all_have("k1"));
}

#[test]
fn each_refresh_is_one_fetch() {
    let mut proxy = Proxy::with(3, &[jwk(1, "k1")]);
    for round in 2..6 {
        proxy.advance(REFRESH - SECOND);
        proxy.tick();
        assert_eq!(proxy.callouts().iter().sum::<usize>(), round - 1);
        proxy.advance(SECOND);
        proxy.tick();
        assert_eq!(proxy.callouts().iter().sum::<usize>(), round);
        assert!(proxy.answer(0, jwks(&[jwk(1, "k1")])));
        proxy.tick();
        assert!(proxy.all_have("k1"));
    }
}

#[test]
fn followers_settle_with_the_end_of_a_failed_attempt() {
    let mut proxy = Proxy::new(2);
    proxy.tick();
    assert!(!proxy.workers[1].keys.is_settled());
    assert!(proxy.answer_with(0, Some(500), &[], None));
    assert_eq!(proxy.tick(), [false, true]);
    // And none of them tries before the time, whoever asks.
    for worker in &mut proxy.workers {
        assert!(!worker.wants());
    }
    proxy.advance(DEBOUNCE - SECOND);
    proxy.tick();
    assert_eq!(proxy.callouts(), [1, 0]);
    proxy.advance(SECOND);
    proxy.tick();
    assert_eq!(proxy.callouts(), [2, 0]);
    assert_eq!(proxy.counted(FAILED), 1);
}

#[test]
fn invented_kids_on_all_workers_are_one_fetch() {
    let mut proxy = Proxy::with(4, &[jwk(1, "k1")]);
    proxy.advance(DEBOUNCE);
    for worker in &mut proxy.workers {
        assert!(worker.wants());
        assert!(!worker.tick());
    }
    assert_eq!(proxy.callouts(), [2, 0, 0, 0]);
    assert!(proxy.answer(0, jwks(&[jwk(1, "k1")])));
    assert_eq!(proxy.tick(), [false, true, true, true]);
    // A worker that has not heard of the attempt wants one; the tick knows better.
    proxy.advance(SECOND);
    for worker in &mut proxy.workers {
        assert!(!worker.wants());
    }
    proxy.add();
    proxy.tick();
    assert_eq!(proxy.callouts(), [2, 0, 0, 0, 0]);
}

#[test]
fn new_key_is_waited_for_where_another_worker_fetches_already() {
    let mut proxy = Proxy::with(2, &[jwk(1, "k1")]);
    proxy.advance(DEBOUNCE);
    assert!(proxy.workers[0].wants());
    proxy.tick();
    proxy.advance(SECOND);
    // No new attempt is due, and yet waiting makes sense.
    assert!(proxy.workers[1].wants());
    assert!(proxy.answer(0, jwks(&[jwk(1, "k1"), jwk(2, "k2")])));
    assert_eq!(proxy.tick(), [false, true]);
    assert!(proxy.all_have("k2"));
    assert_eq!(proxy.callouts(), [2, 0]);
}

#[test]
fn nobody_waits_for_two_attempts_of_others() {
    let mut proxy = Proxy::new(3);
    proxy.tick();
    assert!(!proxy.workers[2].keys.is_settled());
    // One ends when the next is due, and yet another worker is the first to see it.
    proxy.advance(DEBOUNCE);
    assert!(proxy.workers[0].tick());
    assert!(!proxy.workers[1].tick());
    assert_eq!(proxy.callouts(), [1, 1, 0]);
    assert!(proxy.workers[2].tick());
    // Who comes now waits for that one.
    assert!(proxy.workers[2].wants());
    assert!(!proxy.workers[2].tick());
    assert!(proxy.answer(1, jwks(&[jwk(1, "k1")])));
    assert_eq!(proxy.tick(), [false, false, true]);
    assert!(proxy.all_have("k1"));
}

#[test]
fn dead_holder_of_the_lease_is_replaced() {
    let mut proxy = Proxy::new(3);
    proxy.tick();
    proxy.workers.remove(0);
    proxy.advance(TIMEOUT + MARGIN - SECOND);
    assert_eq!(proxy.tick(), [false, false]);
    proxy.advance(SECOND);
    // Nobody waits for the dead; a new attempt has its time.
    assert_eq!(proxy.tick(), [true, true]);
    assert_eq!(proxy.callouts(), [0, 0]);
    proxy.advance(DEBOUNCE - TIMEOUT - MARGIN);
    proxy.tick();
    assert_eq!(proxy.callouts(), [1, 0]);
    assert!(proxy.answer(0, jwks(&[jwk(1, "k1")])));
    proxy.tick();
    assert!(proxy.all_have("k1"));
}

#[test]
fn holder_that_lost_its_lease_stores_nothing() {
    let mut proxy = Proxy::new(3);
    proxy.tick();
    proxy.advance(DEBOUNCE);
    // The holder is stuck: its tick does not come, another's does.
    assert!(!proxy.workers[1].tick());
    assert_eq!(proxy.callouts(), [1, 1, 0]);
    assert!(proxy.answer(0, jwks(&[jwk(1, "k1")])));
    // What it stored is for itself, and who waited for it is told.
    assert!(proxy.workers[2].tick());
    assert_eq!(proxy.has("k1"), [Some(Freshness::Fresh), None, None]);
    assert!(proxy.answer(1, jwks(&[jwk(2, "k2")])));
    proxy.tick();
    assert!(proxy.all_have("k2") && proxy.none_has("k1"));
}

#[test]
fn lost_races_are_run_again() {
    for lost in 0..4 {
        let mut proxy = Proxy::new(2);
        proxy.workers[0].host.lost_races.set(lost);
        assert_eq!(proxy.tick(), [false, false]);
        assert_eq!(proxy.callouts(), [1, 0], "{lost}");
        proxy.workers[0].host.lost_races.set(lost);
        assert!(proxy.answer(0, jwks(&[jwk(1, "k1")])));
        assert_eq!(proxy.tick(), [false, true]);
        assert!(proxy.all_have("k1"), "{lost}");
    }
}

#[test]
fn worker_that_loses_every_race_fetches_for_itself() {
    let mut proxy = Proxy::new(1);
    proxy.workers[0].host.lost_races.set(u32::MAX);
    for attempt in 1..4 {
        assert_eq!(proxy.tick(), [false]);
        assert_eq!(proxy.callouts(), [attempt]);
        assert!(proxy.answer_with(0, Some(503), &[], None));
        proxy.tick();
        assert_eq!(proxy.callouts(), [attempt]);
        proxy.advance(DEBOUNCE);
    }
    proxy.tick();
    assert!(proxy.answer(0, jwks(&[jwk(1, "k1")])));
    assert!(proxy.all_have("k1"));
}

#[test]
fn host_without_shared_data_or_randomness_fetches_in_each_worker() {
    let breaks: [fn(&FakeHost); 2] =
        [|host| host.refuse_shared.set(true), |host| host.refuse_random.set(true)];
    for break_host in breaks {
        let mut proxy = Proxy::new(2);
        proxy.workers.iter().for_each(|worker| break_host(&worker.host));
        proxy.tick();
        assert_eq!(proxy.callouts(), [1, 1]);
        assert!(proxy.answer(0, jwks(&[jwk(1, "k1")])));
        assert!(proxy.answer_with(1, None, &[], None));
        assert_eq!(proxy.has("k1"), [Some(Freshness::Fresh), None]);
        // At the same pace as ever.
        proxy.advance(DEBOUNCE - SECOND);
        proxy.tick();
        assert_eq!(proxy.callouts(), [1, 1]);
        proxy.advance(SECOND);
        proxy.tick();
        assert_eq!(proxy.callouts(), [1, 2]);
        assert!(proxy.answer(1, jwks(&[jwk(1, "k1")])));
        assert!(proxy.all_have("k1"));
    }
}

#[test]
fn host_that_stops_sharing_during_a_fetch_keeps_the_document_in_its_worker() {
    let mut proxy = Proxy::new(2);
    proxy.tick();
    proxy.workers[0].host.refuse_shared.set(true);
    assert!(proxy.answer(0, jwks(&[jwk(1, "k1")])));
    proxy.workers[0].host.refuse_shared.set(false);
    assert_eq!(proxy.tick(), [false, false]);
    assert_eq!(proxy.has("k1"), [Some(Freshness::Fresh), None]);
    // The lease was not given back: it runs out.
    proxy.advance(DEBOUNCE);
    proxy.tick();
    assert_eq!(proxy.callouts(), [1, 1]);
}

#[test]
fn own_newer_document_is_not_given_up_for_the_stored_one() {
    let mut proxy = Proxy::with(1, &[jwk(1, "k1")]);
    proxy.advance(REFRESH);
    proxy.tick();
    proxy.workers[0].host.refuse_shared.set(true);
    assert!(proxy.answer(0, jwks(&[jwk(2, "k2")])));
    proxy.workers[0].host.refuse_shared.set(false);
    proxy.tick();
    assert!(proxy.all_have("k2") && proxy.none_has("k1"));
}

#[test]
fn stored_document_from_the_future_is_not_taken() {
    let mut proxy = Proxy::with(2, &[jwk(1, "k1")]);
    let day = Duration::from_secs(24 * 60 * 60);
    proxy.workers[0].host.advance(day);
    assert!(!proxy.workers[0].tick());
    assert!(proxy.answer(0, jwks(&[jwk(2, "k2")])));
    proxy.workers[1].tick();
    assert_eq!(proxy.has("k1"), [None, Some(Freshness::Fresh)]);
}

#[test]
fn removed_key_is_gone_in_all_workers_before_their_next_tick() {
    let mut proxy = Proxy::with(3, &[jwk(1, "k1"), jwk(2, "k2")]);
    for worker in &mut proxy.workers {
        assert!(worker.sees_change());
        assert!(!worker.sees_change());
    }
    proxy.advance(REFRESH);
    proxy.tick();
    assert!(proxy.answer(0, jwks(&[jwk(2, "k2")])));
    assert_eq!(proxy.has("k1"), [None, Some(Freshness::Fresh), Some(Freshness::Fresh)]);
    for worker in &mut proxy.workers {
        assert!(worker.sees_change());
        worker.keys.sync(&worker.host);
        assert!(!worker.sees_change());
    }
    assert!(proxy.none_has("k1") && proxy.all_have("k2"));
    // The same document again is no change, but as fresh as it is everywhere.
    proxy.advance(REFRESH);
    proxy.tick();
    assert!(proxy.answer(0, jwks(&[jwk(2, "k2")])));
    assert!(!proxy.workers[1].sees_change());
    proxy.tick();
    proxy.advance(REFRESH - SECOND);
    assert!(proxy.all_have("k2"));
}

#[test]
fn generation_of_a_host_that_shares_nothing_never_changes() {
    let (host, mut generation) = (FakeHost::new(), Generation::default());
    assert!(!generation.changed(&host));
    host.refuse_shared.set(true);
    assert!(!generation.changed(&host));
}

#[test]
fn failing_issuer_makes_keys_stale_and_then_unusable() {
    let mut proxy = Proxy::with(2, &[jwk(1, "k1")]);
    let fail = |proxy: &mut Proxy| {
        proxy.tick();
        let before = proxy.counted(FAILED);
        assert!(proxy.answer_with(0, Some(504), &[], Some(b"upstream request timeout".to_vec())));
        assert_eq!(proxy.counted(FAILED), before + 1);
        proxy.tick();
    };
    proxy.advance(REFRESH);
    fail(&mut proxy);
    proxy.advance(GRACE - SECOND);
    assert!(proxy.all_have("k1"));
    proxy.advance(SECOND);
    assert_eq!(proxy.has("k1"), [Some(Freshness::Stale); 2]);
    fail(&mut proxy);
    proxy.advance(STALE - GRACE - SECOND);
    assert_eq!(proxy.has("k1"), [Some(Freshness::Stale); 2]);
    proxy.advance(SECOND);
    assert!(proxy.none_has("k1"));
    fail(&mut proxy);
    proxy.advance(DEBOUNCE);
    proxy.tick();
    assert!(proxy.answer(0, jwks(&[jwk(1, "k1")])));
    proxy.tick();
    assert!(proxy.all_have("k1"));
}

#[test]
fn bad_answers_keep_the_last_good_document() {
    let html: &[(&str, &str)] = &[("content-type", "text/html")];
    let json: &[(&str, &str)] = &[("content-type", "application/json")];
    let good = || Some(jwks(&[jwk(2, "k2")]));
    let thousand: Vec<_> = (0..1000).map(|n| jwk(2, &format!("k{n}"))).collect();
    let cases = [
        ("refused", Some(503), json, good()),
        ("reset", None, json, None),
        ("timeout", Some(504), json, Some(b"upstream request timeout".to_vec())),
        ("error", Some(500), json, good()),
        ("error page", Some(200), html, Some(b"<html></html>".to_vec())),
        ("wrong type", Some(200), html, good()),
        ("redirect", Some(302), json, good()),
        ("partial", Some(206), json, good()),
        ("not modified", Some(304), json, None),
        ("larger than the host gives", Some(200), json, None),
        ("20 MB", Some(200), json, Some(vec![b' '; 20 << 20])),
        ("truncated", Some(200), json, good().map(|body| body[..body.len() - 1].to_vec())),
        ("empty", Some(200), json, Some(Vec::new())),
        ("no keys", Some(200), json, Some(jwks(&[]))),
        ("thousand keys", Some(200), json, Some(jwks(&thousand))),
        ("same kid twice", Some(200), json, Some(jwks(&[jwk(2, "k2"), jwk(3, "k2")]))),
        ("unknown type", Some(200), json, Some(jwks(&[json!({"kty": "AKP", "kid": "k2"})]))),
    ];
    for (name, status, headers, body) in cases {
        let mut proxy = Proxy::with(2, &[jwk(1, "k1")]);
        proxy.advance(REFRESH);
        proxy.tick();
        assert!(proxy.answer_with(0, status, headers, body), "{name}");
        assert_eq!(proxy.tick(), [false, true], "{name}");
        assert!(proxy.all_have("k1") && proxy.none_has("k2"), "{name}");
        assert_eq!((proxy.counted(SUCCEEDED), proxy.counted(FAILED)), (1, 1), "{name}");
        let warnings = proxy.warnings();
        assert_eq!(warnings.len(), 1, "{name}: {warnings:?}");
        assert!(warnings[0].starts_with("keys of issuer corp: "), "{name}: {warnings:?}");
        assert!(warnings[0].ends_with("; keeping the last"), "{name}: {warnings:?}");
        assert!(proxy.workers[1].host.log.borrow().is_empty(), "{name}");
    }
}

#[test]
fn rfc9111_cache_control_sets_the_refresh_within_bounds() {
    let cases = [
        ("max-age=60", 60),
        ("max-age=1", 30),
        ("no-store", 30),
        ("max-age=86400", REFRESH.as_secs()),
        ("public", REFRESH.as_secs()),
    ];
    for (cache_control, seconds) in cases {
        let mut proxy = Proxy::new(2);
        proxy.tick();
        let headers = [("cache-control", cache_control)];
        assert!(proxy.answer_with(0, Some(200), &headers, Some(jwks(&[jwk(1, "k1")]))));
        proxy.advance(Duration::from_secs(seconds) - SECOND);
        proxy.tick();
        assert_eq!(proxy.callouts().iter().sum::<usize>(), 1, "{cache_control}");
        proxy.advance(SECOND);
        proxy.tick();
        assert_eq!(proxy.callouts().iter().sum::<usize>(), 2, "{cache_control}");
        // It is used for as long as ever while fetching fails.
        proxy.advance(STALE - SECOND);
        assert_eq!(proxy.has("k1"), [Some(Freshness::Stale); 2]);
        proxy.advance(SECOND);
        assert!(proxy.none_has("k1"));
    }
}

#[test]
fn clock_set_back_voids_lease_and_document() {
    let hour = Duration::from_secs(3600);
    let mut proxy = Proxy::with(2, &[jwk(1, "k1")]);
    proxy.advance(REFRESH);
    proxy.tick();
    for worker in &proxy.workers {
        worker.host.now.set(worker.host.now.get() - hour);
    }
    // The holder gives up, and as its lease is void, the other may start at once.
    assert_eq!(proxy.tick(), [true, false]);
    assert!(proxy.none_has("k1"));
    assert_eq!(proxy.callouts(), [2, 1]);
    assert!(proxy.answer(1, jwks(&[jwk(2, "k2")])));
    proxy.tick();
    assert!(proxy.all_have("k2") && proxy.none_has("k1"));
}

#[test]
fn clock_set_forward_outdates_lease_and_document() {
    let year = Duration::from_secs(365 * 24 * 3600);
    let mut proxy = Proxy::with(2, &[jwk(1, "k1")]);
    proxy.advance(year);
    assert!(proxy.none_has("k1"));
    proxy.tick();
    assert_eq!(proxy.callouts(), [2, 0]);
    proxy.advance(year);
    assert_eq!(proxy.tick(), [true, false]);
    assert_eq!(proxy.callouts(), [2, 1]);
    assert!(proxy.answer(1, jwks(&[jwk(2, "k2")])));
    proxy.tick();
    assert!(proxy.all_have("k2"));
}

#[test]
fn clocks_read_one_after_the_other_are_no_jump() {
    let mut proxy = Proxy::new(2);
    proxy.workers[0].host.advance(Duration::from_millis(900));
    assert_eq!(proxy.tick(), [false, false]);
    assert_eq!(proxy.callouts(), [1, 0]);
    assert!(proxy.answer(0, jwks(&[jwk(1, "k1")])));
    assert_eq!(proxy.tick(), [false, true]);
    assert!(proxy.all_have("k1"));
}

#[test]
fn shared_values_are_not_trusted() {
    let garbage: [&[u8]; 5] = [b"", b"\0", b"\x01\x02", b"{}", &[0xff; 200]];
    for value in garbage {
        // Of a record: it is as if nothing had been tried, at this worker's pace.
        let mut proxy = Proxy::with(1, &[jwk(1, "k1")]);
        proxy.overwrite("/record", value);
        proxy.tick();
        assert!(proxy.all_have("k1"));
        assert_eq!(proxy.callouts(), [1]);
        proxy.advance(REFRESH);
        proxy.tick();
        assert!(proxy.answer(0, jwks(&[jwk(2, "k2")])));
        proxy.add();
        assert!(proxy.all_have("k2"));

        // Of a body: it is not what the record says.
        let mut proxy = Proxy::with(1, &[jwk(1, "k1")]);
        proxy.overwrite("/body", value);
        proxy.add();
        assert_eq!(proxy.has("k1"), [Some(Freshness::Fresh), None]);
        proxy.advance(DEBOUNCE);
        proxy.tick();
        assert!(proxy.answer(1, jwks(&[jwk(1, "k1")])));
        assert!(proxy.all_have("k1"));
    }
    // Another document in the place of the stored one.
    let mut proxy = Proxy::with(1, &[jwk(1, "k1")]);
    proxy.overwrite("/body", &jwks(&[jwk(9, "forged")]));
    proxy.add();
    proxy.tick();
    assert!(proxy.none_has("forged"));
}

#[test]
fn lease_in_the_future_is_void() {
    for ahead in [Duration::from_secs(2), Duration::from_secs(365 * 24 * 3600)] {
        let mut proxy = Proxy::new(1);
        let at = u64::try_from((crate::host::fake::START + ahead).as_millis()).unwrap();
        for at in [at, u64::MAX] {
            // Under way, and nothing stored.
            let record = [&[1][..], &at.to_be_bytes(), &[7; 16], &[0]].concat();
            proxy.overwrite("/record", &record);
            proxy.workers[0].tick();
            assert!(proxy.answer_with(0, Some(500), &[], None), "{at}");
            proxy.advance(DEBOUNCE);
        }
    }
}

#[test]
fn stored_document_that_cannot_be_read_is_tried_once() {
    let mut proxy = Proxy::with(1, &[jwk(1, "k1")]);
    let body = b"not a key set";
    let mut record = proxy.shared.borrow()[&proxy.shared_key("/record")].0.clone();
    let digest = record.len() - 32;
    record.splice(digest.., <sha2::Sha256 as sha2::Digest>::digest(body));
    proxy.overwrite("/body", body);
    proxy.overwrite("/record", &record);
    proxy.tick();
    proxy.tick();
    let reason = "keys of issuer corp, as another worker stored them: not a JWK Set";
    assert_eq!(proxy.warnings(), [reason]);
    assert!(proxy.all_have("k1"));
}

#[test]
fn shared_keys_are_ours_and_no_value_is_empty() {
    let mut proxy = Proxy::with(2, &[jwk(1, "k1")]);
    for source in [Source::At(request("/other")), discovered()] {
        proxy.source = source;
        proxy.add();
    }
    let shared = proxy.shared.borrow();
    assert!(shared.keys().all(|key| key.starts_with("countersign/1/")));
    assert!(shared.values().all(|(value, _)| !value.is_empty()));
    // Three sources, none of which takes another's document.
    assert_eq!(shared.keys().filter(|key| key.ends_with("/record")).count(), 3);
    assert_eq!(shared.keys().filter(|key| key.ends_with("/body")).count(), 1);
    assert_eq!(proxy.has("k1")[2..], [None, None]);
}

#[test]
fn prepare_overwrites_nothing() {
    let mut proxy = Proxy::new(1);
    proxy.tick();
    let before = proxy.shared.borrow().clone();
    proxy.add();
    assert_eq!(*proxy.shared.borrow(), before);
}

#[test]
fn keys_that_are_left_out_are_told_once() {
    let keys = [
        jwk(1, "k1"),
        jwk(2, "twice"),
        jwk(3, "twice"),
        json!({"kty": "AKP", "alg": "ML-DSA-44", "kid": "new"}),
        json!({"kty": "oct", "k": "c2VjcmV0"}),
        with(jwk(4, "k4"), "use", json!("enc")),
    ];
    let mut proxy = Proxy::with(2, &keys);
    proxy.advance(REFRESH);
    proxy.tick();
    assert!(proxy.answer(0, jwks(&keys)));
    proxy.tick();
    let log = proxy.workers[0].host.log.borrow().clone();
    let note = "keys of issuer corp: keys not used: 2 of an unknown type, 1 not for the issuer's \
                algorithms, or malformed, 2 with the `kid` of another";
    assert_eq!(log, [(LogLevel::Info, note.to_owned())]);
    assert!(proxy.workers[1].host.log.borrow().is_empty());
    assert!(proxy.all_have("k1") && proxy.none_has("twice"));
}

#[test]
fn discovery_is_one_attempt_of_two_requests() {
    let mut proxy = Proxy::of(2, discovered());
    proxy.tick();
    proxy.advance(Duration::from_millis(500));
    // The first answer ends nothing: nobody is to wake up.
    assert!(!proxy.answer(0, metadata()));
    assert!(!proxy.workers[0].keys.is_settled());
    assert_eq!(proxy.tick(), [false, false]);
    assert_eq!(proxy.callouts(), [2, 0]);
    let keys = proxy.workers[0].host.callouts.borrow()[1].clone();
    assert_eq!((keys.authority.as_str(), keys.path.as_str()), ("idp.example.com", "/keys"));
    assert_eq!(keys.timeout, Duration::from_millis(1500));
    assert!(proxy.answer(0, jwks(&[jwk(1, "k1")])));
    assert_eq!(proxy.tick(), [false, true]);
    assert!(proxy.all_have("k1"));
    // What was discovered is not kept: the metadata may change.
    proxy.advance(REFRESH);
    proxy.tick();
    let again = proxy.workers[0].host.callouts.borrow()[2].clone();
    assert_eq!(again.path, "/.well-known/openid-configuration");
}

#[test]
fn discovery_that_fails_ends_the_attempt() {
    let other = |issuer: &str, uri: &str| {
        json!({"issuer": issuer, "jwks_uri": uri}).to_string().into_bytes()
    };
    let keys = format!("{ISSUER}/keys");
    let cases = [
        other("https://idp.example.com/", &keys),
        other(ISSUER, "https://elsewhere.example/keys"),
        other(ISSUER, "http://idp.example.com/keys"),
        b"<html>".to_vec(),
        // Keys where the metadata should be.
        jwks(&[jwk(1, "k1")]),
    ];
    for body in cases {
        let mut proxy = Proxy::of(2, discovered());
        proxy.tick();
        assert!(proxy.answer(0, body));
        assert_eq!(proxy.tick(), [false, true]);
        assert_eq!(proxy.callouts(), [1, 0]);
        assert_eq!(proxy.counted(FAILED), 1);
        assert!(proxy.none_has("k1"));
    }
}

#[test]
fn discovery_has_one_deadline() {
    // Metadata in the last moment leave no time for the keys.
    let mut proxy = Proxy::of(1, discovered());
    proxy.tick();
    proxy.advance(TIMEOUT);
    assert!(proxy.answer(0, metadata()));
    assert_eq!(proxy.callouts(), [1]);

    // Keys that never come are given up with the attempt, not a timeout later.
    let mut proxy = Proxy::of(1, discovered());
    proxy.tick();
    proxy.advance(SECOND);
    assert!(!proxy.answer(0, metadata()));
    proxy.advance(TIMEOUT + MARGIN - SECOND);
    assert_eq!(proxy.tick(), [true]);

    // The request for the keys cannot be sent.
    let mut proxy = Proxy::of(1, discovered());
    proxy.tick();
    proxy.workers[0].host.refuse_callouts.set(true);
    assert!(proxy.answer(0, metadata()));
    assert_eq!(proxy.counted(FAILED), 1);
}
