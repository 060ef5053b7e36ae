//! Revocation lists: what they say, and which tokens they mean.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::support::*;
use crate::host::fake::FakeHost;
use crate::host::{Callout, CalloutAnswer, CalloutId, Counter, Host};
use crate::token::revocation::{RevocationList, Revocations};
use crate::token::{AccessToken, RevocationSource, Schedule, TokenId};

fn token() -> AccessToken {
    AccessToken {
        issuer_url: ISSUER.to_owned(),
        expires_at: at(now() + 300),
        issued_at: at(now()),
        token_id: Some(TokenId::new("t1".to_owned())),
        session: Some("s1".to_owned()),
        ..AccessToken::assumed()
    }
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn list(entries: Value) -> RevocationList {
    RevocationList::parse(json!({ "revoked": entries }).to_string().as_bytes()).unwrap()
}

#[test]
fn entries_mean_the_tokens_that_have_all_they_name() {
    let cases = [
        (json!({"jti": "t1"}), true),
        (json!({"sub": "alice"}), true),
        (json!({"client_id": "agent"}), true),
        (json!({"sid": "s1"}), true),
        (json!({"sub": "alice", "client_id": "agent"}), true),
        (json!({"jti": "t1", "sub": "alice", "client_id": "agent", "sid": "s1"}), true),
        (json!({"jti": "t2"}), false),
        (json!({"jti": "T1"}), false),
        (json!({"sub": "t1"}), false),
        (json!({"sub": "alic"}), false),
        (json!({"sub": "alice", "client_id": "other"}), false),
        (json!({"sub": "agent", "client_id": "alice"}), false),
        (json!({"sub": "alice", "issued_before": now() + 1}), true),
        (json!({"sub": "alice", "issued_before": now()}), false),
        (json!({"sub": "alice", "issued_before": now() - 1}), false),
        (json!({"sub": "bob", "issued_before": now() + 1}), false),
        (json!({"issued_before": now() + 1}), true),
        (json!({"issued_before": now()}), false),
    ];
    for (entry, expected) in cases {
        assert_eq!(list(json!([entry])).revokes(&token()), expected, "{entry}");
        // Whatever else is on the list.
        let other = json!([{"jti": "t9"}, {"sub": "zoe", "sid": "s9"}, entry, {"jti": "t8"}]);
        assert_eq!(list(other).revokes(&token()), expected, "{entry}");
    }
    assert!(!list(json!([])).revokes(&token()));
}

#[test]
fn claims_do_not_run_together() {
    // Also where a claim has the bytes that separate two.
    for separator in ["", "\u{0}", "\u{1}"] {
        let (subject, client_id) = (format!("a{separator}b"), "c".to_owned());
        let token = AccessToken { subject, client_id, ..token() };
        let same = json!([{"sub": token.subject, "client_id": token.client_id}]);
        assert!(list(same).revokes(&token));
        let other = json!([{"sub": "a", "client_id": format!("b{separator}c")}]);
        assert!(!list(other).revokes(&token), "{separator:?}");
    }
}

#[test]
fn token_without_a_named_claim_is_not_meant() {
    let token = AccessToken { token_id: None, session: None, ..token() };
    for entry in [json!({"jti": "t1"}), json!({"sid": "s1"}), json!({"sub": "alice", "sid": "s1"})]
    {
        assert!(!list(json!([entry])).revokes(&token), "{entry}");
    }
    assert!(list(json!([{"sub": "alice"}])).revokes(&token));
}

#[test]
fn token_of_unknown_age_is_older_than_any_time() {
    let token = AccessToken { issued_at: SystemTime::UNIX_EPOCH, ..token() };
    assert!(list(json!([{"sub": "alice", "issued_before": 1}])).revokes(&token));
}

#[test]
fn entries_for_the_same_claims_add_up() {
    let (early, late) = (now() - 100, now() + 100);
    let entry = |time: u64| json!({"sub": "alice", "issued_before": time});
    for entries in [json!([entry(early), entry(late)]), json!([entry(late), entry(early)])] {
        assert!(list(entries).revokes(&token()));
    }
    let always = json!({"sub": "alice"});
    for entries in [json!([entry(early), always]), json!([always, entry(early)])] {
        assert!(list(entries).revokes(&token()));
    }
}

#[test]
fn what_is_not_understood_is_refused_as_a_whole() {
    let good = json!({"jti": "t1"});
    let bad_entries = [
        json!({}),
        json!([]),
        json!("t1"),
        json!(null),
        json!({"jti": ""}),
        json!({"jti": 1}),
        json!({"jti": null}),
        json!({"jti": ["t1"]}),
        json!({"jti": "x".repeat(2049)}),
        json!({"Jti": "t1"}),
        json!({"jti": "t1", "reason": "lost"}),
        json!({"sub": "alice", "issued_before": "1785196800"}),
        json!({"sub": "alice", "issued_before": null}),
        json!({"sub": "alice", "issued_before": -1}),
        json!({"sub": "alice", "issued_before": 1.5}),
        json!({"sub": "alice", "issued_before": 253_402_300_800_u64}),
    ];
    for bad in bad_entries {
        let document = json!({"revoked": [good, bad]}).to_string();
        let reason = RevocationList::parse(document.as_bytes()).unwrap_err();
        assert!(reason.starts_with("revoked[1] "), "{bad}: {reason}");
    }
    let bad_documents = [
        "",
        "[]",
        "{}",
        r#"{"revoked":{}}"#,
        r#"{"revoked":null}"#,
        r#"{"revoked":[],"version":2}"#,
        r#"{"revoked":[],"revoked":[]}"#,
        r#"{"revoked":[{"jti":"t1","jti":"t2"}]}"#,
        r#"{"revoked":[{"jti":"t1"}]"#,
    ];
    for document in bad_documents {
        assert!(RevocationList::parse(document.as_bytes()).is_err(), "{document}");
    }
}

#[test]
fn no_reason_repeats_the_list() {
    let document = json!({"revoked": [{"jti": "credential", "secret-name": "x"}]}).to_string();
    let reason = RevocationList::parse(document.as_bytes()).unwrap_err();
    assert_eq!(reason, "revoked[0] has a member we do not know");
}

#[test]
fn list_is_kept_while_fetching_fails_and_not_for_longer() {
    let source = RevocationSource {
        list: Callout {
            cluster: "idp".to_owned(),
            method: "GET",
            scheme: "https".to_owned(),
            authority: "idp.example.com".to_owned(),
            path: "/revoked".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: Duration::from_secs(2),
        },
        schedule: Schedule {
            refresh: Duration::from_secs(60),
            stale_for: Duration::from_secs(300),
        },
    };
    let host = FakeHost::new();
    let mut revocations = Revocations::of("corp", &source);
    let answer = |revocations: &mut Revocations, status, body: &str| {
        assert!(!revocations.on_tick(&host));
        let id = CalloutId(u32::try_from(host.callouts.borrow().len()).unwrap());
        let body = Some(body.as_bytes().to_vec());
        let answer = CalloutAnswer { status: Some(status), headers: Vec::new(), body };
        assert!(revocations.on_callout(id, &answer, &host));
    };
    let revokes = |revocations: &Revocations| {
        revocations.current(host.now()).map(|(list, _)| list.revokes(&token()))
    };
    assert_eq!(revokes(&revocations), None);
    answer(&mut revocations, 200, r#"{"revoked":[{"jti":"t1"}]}"#);
    assert_eq!(revokes(&revocations), Some(true));
    host.advance(Duration::from_secs(60));
    answer(&mut revocations, 200, r#"{"revoked":[],"more":1}"#);
    assert_eq!(revokes(&revocations), Some(true));
    assert_eq!(
        host.log.borrow().last().unwrap().1,
        "revocations of issuer corp: not an object with an array `revoked` and nothing else; \
         keeping the last"
    );
    host.advance(Duration::from_secs(299));
    assert_eq!(revokes(&revocations), Some(true));
    host.advance(Duration::from_secs(1));
    assert_eq!(revokes(&revocations), None);
    answer(&mut revocations, 200, r#"{"revoked":[]}"#);
    assert_eq!(revokes(&revocations), Some(false));
    let counted = |counter| host.counters.borrow().iter().filter(|c| **c == counter).count();
    assert_eq!(counted(Counter::FetchSucceeded { document: "revocations" }), 2);
    assert_eq!(counted(Counter::FetchFailed { document: "revocations" }), 1);
}
