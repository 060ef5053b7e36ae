//! What a token says of groups, agent, consent, context and authentication contexts.

use std::rc::Rc;

use serde_json::{Value, json};

use super::support::*;
use crate::token::{
    AccessToken, AgentClaims, ClaimNames, ClaimPath, Consent, ContextClaims, TokenError, Verified,
};

type Outcome = Result<Rc<Verified<AccessToken>>, TokenError>;

/// The usual token with one more claim, by the usual settings.
fn usual(name: &str, claim: Value) -> Outcome {
    outcome(&with_claim(name, claim))
}

/// The same, where every claim that has no usual place is configured under its own name.
fn configured(name: &str, claim: Value) -> Outcome {
    outcome_with(|issuer| configure(&mut issuer.claims), &with_claim(name, claim))
}

fn configure(names: &mut ClaimNames) {
    let path = |name: &str| vec![ClaimPath::nested(vec!["x".to_owned(), name.to_owned()])];
    names.agent = path("agent");
    names.agent_instance = path("agent_instance");
    names.agent_version = path("agent_version");
    names.consented_servers = path("consented_servers");
    names.consented_agents = path("consented_agents");
    names.session = path("session");
    names.task = path("task");
    names.instance = path("instance");
}

fn listed(members: &[&str]) -> std::collections::BTreeSet<String> {
    members.iter().map(|&member| member.to_owned()).collect()
}

#[test]
fn groups_are_arrays_or_one_string() {
    let groups = |claim| usual("groups", claim).map(|token| token.groups.clone());
    assert_eq!(groups(json!(["/staff", "Docs Team"])).unwrap(), listed(&["/staff", "Docs Team"]));
    assert_eq!(groups(json!("Docs Team")).unwrap(), listed(&["Docs Team"]));
    assert_eq!(groups(json!([])).unwrap(), listed(&[]));
    let many: Vec<String> = (0..257).map(|n| n.to_string()).collect();
    for bad in [json!({"value": "x"}), json!([{"value": "x"}]), json!(7), json!(""), json!(many)] {
        assert_eq!(groups(bad.clone()).unwrap_err(), TokenError::BadClaim("groups"), "{bad}");
    }
}

/// RFC 7643 section 4.1.2 has groups as objects: they are read where a path says so.
#[test]
fn rfc9068_2_2_3_1_groups_of_scim_are_read_by_a_path() {
    let scim = json!([{"value": "g1", "display": "Docs"}, {"value": "g2"}]);
    let path = ClaimPath::nested(vec!["groups".to_owned(), "value".to_owned()]);
    let token =
        outcome_with(|issuer| issuer.claims.groups = vec![path], &with_claim("groups", scim));
    assert_eq!(token.unwrap().groups, listed(&["g1", "g2"]));
}

/// A user of more than 200 groups has a link in their place, which nobody follows here.
#[test]
fn entra_groups_overage_leaves_the_list_empty() {
    assert_eq!(usual("hasgroups", json!(true)).unwrap().groups, listed(&[]));
    let overage = usual("_claim_names", json!({"groups": "src1"})).unwrap();
    assert_eq!(overage.groups, listed(&[]));
}

#[test]
fn the_agent_is_read_where_the_issuer_says_it() {
    let all = json!({"agent": "bot", "agent_instance": "i7", "agent_version": "2.1"});
    let text = |text: &str| Some(text.to_owned());
    let expected = AgentClaims { id: text("bot"), instance: text("i7"), version: text("2.1") };
    assert_eq!(configured("x", all.clone()).unwrap().agent, expected);
    assert_eq!(usual("x", all).unwrap().agent, AgentClaims::default());
    assert_eq!(configured("x", json!({})).unwrap().agent, AgentClaims::default());
    let agent = json!({"agent": "bot", "agent_instance": "i7", "agent_version": "2.1"});
    assert_eq!(usual("agent", agent).unwrap().agent, AgentClaims::default(), "no default place");
}

#[test]
fn consent_that_an_issuer_says_and_a_token_lacks_lists_nothing() {
    assert_eq!(usual("x", json!({})).unwrap().consent, Consent { servers: None, agents: None });
    let nothing = Consent { servers: Some(listed(&[])), agents: Some(listed(&[])) };
    assert_eq!(configured("x", json!({})).unwrap().consent, nothing);
    let said = configured(
        "x",
        json!({
            "consented_servers": ["https://a.example/mcp", "https://b.example/mcp"],
            "consented_agents": "desk bot",
        }),
    );
    let expected = Consent {
        servers: Some(listed(&["https://a.example/mcp", "https://b.example/mcp"])),
        agents: Some(listed(&["desk bot"])),
    };
    assert_eq!(said.unwrap().consent, expected, "a string is one entry, spaces and all");
}

#[test]
fn the_context_is_read_where_the_issuer_says_it() {
    let all = json!({"session": "s1", "task": "t1", "instance": "i1"});
    let text = |text: &str| Some(text.to_owned());
    let expected = ContextClaims { session: text("s1"), task: text("t1"), instance: text("i1") };
    assert_eq!(configured("x", all.clone()).unwrap().context, expected);
    assert_eq!(usual("x", all).unwrap().context, ContextClaims::default());
}

#[test]
fn identity_claims_of_unexpected_types_are_refused() {
    let one = ["agent", "agent_instance", "agent_version", "session", "task", "instance"];
    for name in one {
        for bad in [json!(7), json!(""), json!(["a"]), json!({}), json!(null), json!("a\u{7f}")] {
            let refused = configured("x", json!({ name: bad }));
            assert_eq!(refused.unwrap_err(), TokenError::BadClaim(name), "{name} {bad}");
        }
    }
    for name in ["consented_servers", "consented_agents"] {
        for bad in [json!(7), json!(""), json!([7]), json!({}), json!(null), json!(["a", ""])] {
            let refused = configured("x", json!({ name: bad }));
            assert_eq!(refused.unwrap_err(), TokenError::BadClaim(name), "{name} {bad}");
        }
    }
    for name in ["acrs", "xms_cc"] {
        for bad in [json!(7), json!(""), json!([7]), json!({}), json!(false)] {
            let refused = usual(name, bad.clone());
            assert_eq!(refused.unwrap_err(), TokenError::BadClaim(name), "{name} {bad}");
        }
    }
}

#[test]
fn entra_acrs_are_an_array_or_one_string() {
    let acrs = |claim| usual("acrs", claim).unwrap().authentication_contexts.clone();
    assert_eq!(acrs(json!(["c1", "p1"])), listed(&["c1", "p1"]));
    assert_eq!(acrs(json!("c1")), listed(&["c1"]));
    assert_eq!(acrs(json!([])), listed(&[]));
}

#[test]
fn entra_xms_cc_declares_cp1() {
    let takes = |claim| usual("xms_cc", claim).unwrap().takes_claims_challenges;
    assert!(takes(json!(["cp1"])));
    assert!(takes(json!(["other", "CP1"])));
    assert!(takes(json!("cp1")));
    assert!(!takes(json!(["cp2"])));
    assert!(!takes(json!("cp1 cp2")), "one entry, of another name");
    assert!(!outcome(&sign(1, &header(), &claims())).unwrap().takes_claims_challenges);
}

/// Of every length that a token can have: by the count while it fits, then by its size.
#[test]
fn a_token_with_10000_scopes_is_refused() {
    let scopes = |count: usize| (0..count).map(|n| format!("{n:x}")).collect::<Vec<_>>();
    assert_eq!(usual("scp", json!(scopes(254))).unwrap().scopes.len(), 256);
    for count in [257, 1000] {
        let array = usual("scp", json!(scopes(count)));
        assert_eq!(array.unwrap_err(), TokenError::BadClaim("scope"));
        let string = usual("scope", json!(scopes(count).join(" ")));
        assert_eq!(string.unwrap_err(), TokenError::BadClaim("scope"));
    }
    let all = usual("scope", json!(scopes(10_000).join(" ")));
    assert_eq!(all.unwrap_err(), TokenError::Malformed("too long"));
}
