//! Rates: counted by all workers of a proxy together.

use crate::callers::{
    assert_hidden, assert_passed, assert_stopped, call, call_modern, listed, policed,
};
use crate::host::{Status, Stream, Vm, Which};
use crate::support::{MODES, beside, workers, written_keys};

use serde_json::{Value, json};
use std::time::Duration;

/// The configuration with these rates of its server.
fn limited(mode: &str, rates: Value) -> Value {
    policed(mode, json!({}), json!({ "rates": rates }))
}

fn by(sub: &str) -> Value {
    json!({ "sub": sub })
}

/// It was one too many; how long the client is told to wait.
#[track_caller]
fn assert_limited(stream: &Stream, limit: &str) -> u64 {
    assert_stopped(stream, 429, json!({ "code": "rate_limited", "rate_limit": limit }));
    let downstream = stream.downstream();
    let told: Value = serde_json::from_str(&downstream.text()).unwrap();
    assert_eq!((&told["id"], &told["error"]["code"]), (&json!(7), &json!(429)));
    downstream.header("retry-after").unwrap().parse().unwrap()
}

#[test]
fn all_workers_of_a_proxy_take_from_one_bucket() {
    for (flag, mode) in MODES {
        for call in [call, call_modern] {
            let rates = json!([{ "limit": "6/m", "burst": 2, "by": ["subject"] }]);
            let all: [Vm; 3] = workers(flag, &limited(mode, rates));
            for vm in &all[..2] {
                assert_passed(&call(vm, by("alice"), "search"), json!({ "rate_limit": null }));
            }
            for vm in &all {
                let stream = call(vm, by("alice"), "search");
                assert_eq!(assert_limited(&stream, "servers[0].rates[0]"), 10);
            }
            // Others have a bucket of their own.
            assert_passed(&call(&all[2], by("bob"), "search"), json!({}));
            // Who waits as told passes, once.
            for vm in &all {
                vm.advance(Duration::from_secs(10));
            }
            assert_passed(&call(&all[1], by("alice"), "search"), json!({}));
            assert_limited(&call(&all[2], by("alice"), "search"), "servers[0].rates[0]");
        }
    }
}

#[test]
fn a_worker_that_starts_later_does_not_fill_the_buckets() {
    for (flag, mode) in MODES {
        let document = limited(mode, json!([{ "limit": "1/h" }]));
        let vm = Vm::with(flag).start(&document).unwrap();
        assert_passed(&call(&vm, by("alice"), "search"), json!({}));
        let late = beside(&vm, flag, &document);
        assert!(vm.configure(&document));
        for vm in [&vm, &late] {
            assert_eq!(assert_limited(&call(vm, by("bob"), "search"), "servers[0].rates[0]"), 3600);
        }
    }
}

#[test]
fn what_is_counted_apart_is_what_the_rate_says() {
    for (flag, mode) in MODES {
        let agents = json!({
            "one": { "match": ["client:one", "client:other-name"], "rate": "2/m" },
            "two": { "match": ["client:two"] },
        });
        let rates = json!([{ "limit": "100/m" }, { "limit": "1/m", "by": ["agent", "object"] }]);
        let vm = Vm::with(flag)
            .start(policed(mode, json!({ "agents": agents }), json!({ "rates": rates })))
            .unwrap();
        let by = |client: &str, tool| call(&vm, json!({ "client_id": client }), tool);
        assert_passed(&by("one", "search"), json!({}));
        // The agent is who it is by either name.
        assert_limited(&by("other-name", "search"), "servers[0].rates[1]");
        assert_passed(&by("one", "get_a"), json!({}));
        assert_passed(&by("two", "search"), json!({}));
        // Its own rate counts all that it does.
        assert_limited(&by("one", "get_b"), "agents.one.rate");
    }
}

#[test]
fn what_is_denied_is_not_counted_and_what_is_no_object_neither() {
    for (flag, mode) in MODES {
        let mut document = limited(mode, json!([{ "limit": "1/h" }]));
        document["servers"][0]["tools"]["rules"][1]["rates"] = json!([{ "limit": "1/h" }]);
        let vm = Vm::with(flag).start(document).unwrap();
        for _ in 0..3 {
            assert_stopped(
                &call(&vm, by("alice"), "delete"),
                403,
                json!({ "code": "scope_missing" }),
            );
            assert_hidden(&call(&vm, by("alice"), "wipe"), "no_rule", "server");
            let no_token = json!({ "exp": 1 });
            assert_stopped(&call(&vm, no_token, "search"), 401, json!({ "code": "token_expired" }));
            listed(&vm, by("alice"), "application/json");
        }
        assert_passed(&call(&vm, by("alice"), "search"), json!({}));
        // One bucket that is empty is enough, and takes nothing from the others.
        let writer = json!({ "scope": "docs.write" });
        assert_limited(&call(&vm, writer.clone(), "delete"), "servers[0].rates[0]");
        vm.advance(Duration::from_secs(3600));
        assert_passed(&call(&vm, writer, "delete"), json!({}));
    }
}

#[test]
fn what_cannot_be_counted_does_not_pass() {
    for (flag, mode) in MODES {
        for (hostcall, status) in [
            ("proxy_get_shared_data", Status::NOT_FOUND),
            // Other workers write first, for ever.
            ("proxy_set_shared_data", Status::CAS_MISMATCH),
        ] {
            let vm = Vm::with(flag).start(limited(mode, json!([{ "limit": "9/m" }]))).unwrap();
            vm.fail_hostcall(hostcall, Which::All, status);
            let stream = call(&vm, by("alice"), "search");
            assert_stopped(&stream, 503, json!({ "code": "host_failure" }));
            vm.heal();
            assert_passed(&call(&vm, by("alice"), "search"), json!({}));
        }
    }
}

#[test]
fn workers_that_write_first_cost_nobody_a_call_or_a_rate() {
    for (flag, mode) in MODES {
        let vm = Vm::with(flag).start(limited(mode, json!([{ "limit": "2/h" }]))).unwrap();
        vm.lose_races(5);
        assert_passed(&call(&vm, by("alice"), "search"), json!({}));
        // Another worker takes the last one between look and write.
        let other = beside(&vm, flag, &limited(mode, json!([{ "limit": "2/h" }])));
        vm.before_next_write(move || assert_passed(&call(&other, by("bob"), "search"), json!({})));
        assert_limited(&call(&vm, by("alice"), "search"), "servers[0].rates[0]");
    }
}

#[test]
fn callers_without_number_take_no_more_shared_values() {
    for (flag, mode) in MODES {
        let rates = json!([{ "limit": "1/d", "by": ["subject", "object"] }]);
        let vm = Vm::with(flag).start(limited(mode, rates)).unwrap();
        let keys = written_keys(&vm);
        for number in 0..1_000 {
            let stream = call(&vm, by("alice"), &format!("get_{number}"));
            assert!(stream.upstream().ended());
            stream.finish();
        }
        assert_eq!(written_keys(&vm), keys);
        assert_limited(&call(&vm, by("alice"), "get_0"), "servers[0].rates[0]");
    }
}
