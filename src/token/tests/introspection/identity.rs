//! An answer can narrow what a verified token says of identity, and never change it.

use super::*;
use crate::token::{ClaimPath, SubjectKind, ValuePattern, WorkloadMark};

/// The answer of an issuer that says all there is about a token.
fn full() -> Value {
    json!({
        "active": true, "sub": "alice", "client_id": "agent", "exp": now() + 300,
        "roles": ["viewer", "editor"], "groups": ["staff", "docs"], "acrs": ["c1", "c2"],
        "act": {"sub": "planner", "act": {"client_id": "ui", "iss": "https://b.example"}},
        "may_act": {"sub": "planner"}, "idtyp": "user", "bot": "planner", "bot_instance": "i1",
        "bot_version": "2", "servers": ["https://a.example/mcp"], "bots": ["planner"],
        "for_session": "s1", "for_task": "t1", "for_instance": "i1",
    })
}

fn names() -> ClaimNames {
    let path = |name: &str| vec![ClaimPath::name(name.to_owned())];
    ClaimNames {
        agent: path("bot"),
        agent_instance: path("bot_instance"),
        agent_version: path("bot_version"),
        consented_servers: path("servers"),
        consented_agents: path("bots"),
        session: path("for_session"),
        task: path("for_task"),
        instance: path("for_instance"),
        workload: Some(WorkloadMark {
            claim: ClaimPath::name("mark".to_owned()),
            values: vec![ValuePattern::Exact("workload".to_owned())],
        }),
        ..ClaimNames::default()
    }
}

/// A verified token that says as much.
fn full_token() -> Rc<Verified<AccessToken>> {
    token_with(full())
}

fn token_with(members: Value) -> Rc<Verified<AccessToken>> {
    let members = with(members, "active", Value::Null).as_object().unwrap().clone();
    let claims = members.into_iter().fold(claims(), |all, (name, claim)| with(all, &name, claim));
    outcome_with(|issuer| issuer.claims = names(), &sign(1, &header(), &claims)).unwrap()
}

/// What such an answer makes of such a token.
fn confirm(
    members: &Value,
    token: &Rc<Verified<AccessToken>>,
) -> Result<Rc<Verified<AccessToken>>, TokenError> {
    let mut world = World::new();
    world.claims = names();
    answer_of(world.ask("opaque", &json_answer(members))).confirm(token)
}

#[test]
fn an_answer_that_says_the_same_or_nothing_confirms_the_token() {
    let token = full_token();
    assert!(Rc::ptr_eq(&confirm(&full(), &token).unwrap(), &token));
    assert!(Rc::ptr_eq(&confirm(&active(), &token).unwrap(), &token));
    let own_iss = json!({"sub": "planner", "iss": ISSUER});
    assert!(confirm(&with(full(), "may_act", own_iss), &token).is_ok());
}

#[test]
fn roles_groups_and_authentication_contexts_are_what_both_say() {
    let narrowed =
        |name: &str, list: Value| confirm(&with(full(), name, list), &full_token()).unwrap();
    let set = |member: &str| std::collections::BTreeSet::from([member.to_owned()]);
    assert_eq!(narrowed("roles", json!(["viewer", "admin"])).roles, set("viewer"));
    assert_eq!(narrowed("roles", json!("admin")).roles.len(), 0);
    assert_eq!(narrowed("groups", json!(["docs", "root"])).groups, set("docs"));
    assert_eq!(narrowed("groups", json!([])).groups.len(), 0);
    assert_eq!(narrowed("acrs", json!(["c2", "c3"])).authentication_contexts, set("c2"));
    assert_eq!(narrowed("roles", json!([])).groups.len(), 2, "each by itself");
}

#[test]
fn who_calls_through_whom_and_within_what_never_changes() {
    let longer = json!({"sub": "planner", "act": {"sub": "ui", "act": {"sub": "x"}}});
    for (name, other, claim) in [
        ("act", json!({"sub": "other"}), "act"),
        ("act", json!({"sub": "planner"}), "act"),
        ("act", longer, "act"),
        ("may_act", json!({"sub": "other"}), "may_act"),
        ("may_act", json!({"sub": "planner", "iss": "https://b.example"}), "may_act"),
        ("idtyp", json!("app"), "workload"),
        ("mark", json!("workload"), "workload"),
        ("bot", json!("other"), "agent"),
        ("bot_instance", json!("i2"), "agent_instance"),
        ("bot_version", json!("3"), "agent_version"),
        ("servers", json!([]), "consented_servers"),
        ("servers", json!(["https://a.example/mcp", "https://b.example"]), "consented_servers"),
        ("bots", json!("other"), "consented_agents"),
        ("for_session", json!("s2"), "session"),
        ("for_task", json!("t2"), "task"),
        ("for_instance", json!("i2"), "instance"),
    ] {
        let answer = with(full(), name, other.clone());
        let refused = confirm(&answer, &full_token()).map(|_| ());
        assert_eq!(refused, Err(TokenError::BadClaim(claim)), "{name} {other}");
    }
}

/// RFC 9470 section 6.2 has them in answers too.
#[test]
fn rfc9470_6_2_what_the_issuer_says_of_the_authentication_counts() {
    let said = json!({"tid": "t1", "sid": "s1", "acr": "mfa", "auth_time": 1_785_190_000});
    let token = token_with(said.clone());
    let bare = token_with(json!({}));
    for (name, other) in [("tid", "t2"), ("sid", "s2"), ("acr", "pwd")] {
        let same = with(active(), name, said[name].clone());
        assert!(confirm(&same, &token).is_ok(), "{name}");
        let refused = confirm(&with(active(), name, json!(other)), &token).map(|_| ());
        assert_eq!(refused, Err(TokenError::BadClaim(name)));
        assert!(Rc::ptr_eq(&confirm(&same, &bare).unwrap(), &bare), "{name} is not added");
    }
    let at = |seconds: u64| {
        confirm(&with(active(), "auth_time", json!(seconds)), &token).unwrap().authenticated_at
    };
    let earlier = SystemTime::UNIX_EPOCH + Duration::from_secs(1_785_180_000);
    assert_eq!(at(1_785_180_000), Some(earlier));
    assert_eq!(at(1_785_199_000), token.authenticated_at, "later is another token's");
}

#[test]
fn an_answer_adds_nothing_to_a_token_that_says_nothing() {
    let bare = token_with(json!({}));
    let differing =
        ["act", "may_act", "bot", "bot_instance", "servers", "bots", "for_session", "for_task"];
    for name in differing {
        let answer = with(active(), name, full()[name].clone());
        assert!(confirm(&answer, &bare).is_err(), "{name}");
    }
    for name in ["roles", "groups", "acrs"] {
        let answer = with(active(), name, full()[name].clone());
        assert!(Rc::ptr_eq(&confirm(&answer, &bare).unwrap(), &bare), "{name}");
    }
}

#[test]
fn a_workloads_token_is_not_a_users_by_an_answer() {
    let workload = token_with(json!({"idtyp": "app"}));
    assert_eq!(workload.kind, SubjectKind::Workload);
    let user = confirm(&with(active(), "idtyp", json!("user")), &workload).map(|_| ());
    assert_eq!(user, Err(TokenError::BadClaim("workload")));
    let kept = confirm(&active(), &workload).unwrap();
    assert_eq!(kept.kind, SubjectKind::Workload);
    let account = with(active(), "preferred_username", json!("service-account-agent"));
    assert!(confirm(&account, &workload).is_ok());
    assert!(confirm(&account, &token_with(json!({}))).is_err());
}

#[test]
fn an_answer_whose_identity_cannot_be_read_says_nothing() {
    for (name, bad) in [
        ("act", json!("planner")),
        ("may_act", json!([])),
        ("idtyp", json!("other")),
        ("roles", json!({})),
        ("groups", json!([7])),
        ("bots", json!(7)),
        ("for_task", json!(["t1"])),
    ] {
        let mut world = World::new();
        world.claims = names();
        let found = world.ask("opaque", &json_answer(&with(full(), name, bad)));
        assert!(is_unavailable(&found), "{name}");
    }
}

/// Answers may be longer than tokens, and are no deeper.
#[test]
fn a_chain_of_1000_actors_is_refused_in_an_answer() {
    let chain = |length: usize| {
        (0..length).fold(json!({"sub": "a"}), |inner, _| json!({"sub": "a", "act": inner}))
    };
    for length in [17, 1000] {
        let answer = with(active(), "act", chain(length));
        assert!(is_unavailable(&World::new().ask("opaque", &json_answer(&answer))), "{length}");
    }
}
