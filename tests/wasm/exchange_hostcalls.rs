//! Any hostcall may fail at any time while a credential is had. The SDK traps on most statuses
//! it does not expect, so a trap is accepted; a call without its credential, or with the
//! caller's token, is not, and neither is one that hangs.

use crate::exchange::{
    Caller, credential_claims, exchanging, form, granted, mint, say, start, token_exchange,
    with_members,
};
use crate::host::{HostFlag, Status, Stream, Vm, Which};
use crate::support::answer;

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

const KINDS: [(HostFlag, &str); 2] =
    [(HostFlag::Default, "stream"), (HostFlag::StopIteration, "hold")];

const STATUSES: [Status; 4] =
    [Status::NOT_FOUND, Status::BAD_ARGUMENT, Status::INTERNAL_FAILURE, Status::UNIMPLEMENTED];

/// An exchange in two requests, the second of which is made while the answer to the first is
/// taken.
fn two_steps() -> Value {
    with_members(token_exchange(), json!({ "actor": { "from": "client_credentials" } }))
}

/// What came of a call: how it went, and what credential was made for it, if any was.
struct Run {
    stream: Stream,
    caller: Caller,
    credential: Option<String>,
}

/// A whole call with whatever is asked for it, as far as it comes, with faults from `arm` on.
fn run(vm: &Vm, arm: impl FnOnce()) -> Run {
    let caller = Caller::alice(vm);
    arm();
    let stream = caller.call(vm, "search");
    let mut credential = None;
    // As long as requests to the authorization server may take, and a while.
    for _ in 0..14 {
        vm.tick();
        for callout in vm.pending_callouts() {
            if form(&callout).contains_key("subject_token") {
                let mut claims = credential_claims(vm, "docs.read");
                claims["act"] = json!({ "sub": crate::exchange::CLIENT });
                let token = mint(&claims);
                say(vm, &callout, &granted(&token, "docs.read"));
                credential = Some(token);
            } else {
                let own = json!({ "access_token": "our-own-token", "token_type": "Bearer" });
                say(vm, &callout, &own);
            }
        }
        vm.advance(Duration::from_secs(1));
    }
    if stream.upstream().ended() {
        answer(&stream);
    } else {
        stream.finish();
    }
    Run { stream, caller, credential }
}

/// Another worker for each failure of each hostcall that a healthy one makes.
fn for_every_failure(check: impl Fn(&Vm, &Run, bool, &str)) {
    for (flag, mode) in KINDS {
        let document = exchanging(mode, two_steps());
        let healthy = start(flag, &document);
        let passed = run(&healthy, || {});
        assert_eq!(passed.stream.downstream().status(), Some(200), "{:?}", healthy.log());
        check(&healthy, &passed, false, "none");
        let names: BTreeSet<_> = healthy.calls().iter().map(|call| call.name).collect();
        assert!(names.contains("proxy_http_call"));
        for name in names {
            for status in STATUSES {
                for which in [Which::Nth(1), Which::Nth(2), Which::Nth(3), Which::All] {
                    let vm = start(flag, &document);
                    let run = run(&vm, || vm.fail_hostcall(name, which, status));
                    let trapped = vm.take_trap().is_some();
                    let failure = format!("{mode}, {name} {which:?} {status:?}");
                    check(&vm, &run, trapped, &failure);
                }
            }
        }
    }
}

#[test]
fn no_failure_lets_a_call_on_without_its_credential_or_with_the_callers() {
    for_every_failure(|_, run, _, failure| {
        let upstream = run.stream.upstream();
        let told = format!("{upstream:?}");
        assert!(!told.contains(&run.caller.token), "{failure}: {upstream:?}");
        if let Some(headers) = upstream.headers() {
            let sent: Vec<&[u8]> = headers.all("authorization").collect();
            let expected = run.credential.as_ref().map(|token| format!("Bearer {token}"));
            let expected: Vec<&[u8]> = expected.iter().map(|text| text.as_bytes()).collect();
            assert_eq!(sent, expected, "{failure}: {upstream:?}");
            assert!(!sent.is_empty(), "{failure}: {upstream:?}");
        }
    });
}

#[test]
fn no_failure_leaves_a_client_without_an_answer() {
    for_every_failure(|_, run, trapped, failure| {
        let downstream = run.stream.downstream();
        // Such a host says that there is no such stream.
        let is_gone = failure.contains("proxy_set_effective_context");
        assert!(is_gone || trapped || downstream.status().is_some(), "{failure}: {downstream:?}");
    });
}
