//! Policies compile to what they say.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use countersign::config::{Loaded, schema};
use countersign::gate::StepUpChallenge;
use countersign::mcp::Target;
use countersign::policy::{
    Agent, AgentIdentifier, Delegation, Mode, Pattern, RateKey, RateLimit, Rule, StepUp,
    WorkloadGrant,
};
use countersign::token::{IssuerId, Requirement, SpiffeId};
use serde_json::{Value, json};

use crate::support::{edited, governed, governed_alone, load_value, minimal};

fn loaded() -> Loaded {
    load_value(&governed()).unwrap()
}

fn set<const N: usize>(texts: [&str; N]) -> BTreeSet<String> {
    texts.map(str::to_owned).into()
}

fn patterns<const N: usize>(texts: [&str; N]) -> Vec<Pattern> {
    texts.map(|text| Pattern::parse(text).unwrap()).into()
}

fn tool(name: &str) -> Target {
    Target::Tool(name.to_owned())
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes.saturating_mul(60))
}

#[test]
fn a_document_with_everything_has_nothing_odd() {
    assert_eq!(loaded().warnings, vec![]);
}

#[test]
fn agents_compile_to_what_is_said() {
    let loaded = loaded();
    let settings = loaded.enforcement.servers[0].policies.own.settings();
    let catalogue = settings.agents.as_ref().unwrap();
    let [indexer, support]: [&Agent; 2] = catalogue.iter().collect::<Vec<_>>().try_into().unwrap();
    assert_eq!((indexer.name.as_str(), support.name.as_str()), ("indexer", "support-bot"));
    assert_eq!(indexer.identifiers, [AgentIdentifier::Client("indexer".to_owned())]);
    assert_eq!(indexer.issuers, [IssuerId(0), IssuerId(1)]);
    let limits = (&indexer.optional_scopes, &indexer.servers, &indexer.tools, &indexer.rate);
    assert!(matches!(limits, (None, None, None, None)) && !indexer.needs_instance);

    let workload = SpiffeId::parse("spiffe://corp.example/ns/bots/sa/support").unwrap();
    assert_eq!(
        support.identifiers,
        [
            AgentIdentifier::Client("support-bot".to_owned()),
            AgentIdentifier::Actor("support".to_owned()),
            AgentIdentifier::Claim("support".to_owned()),
            AgentIdentifier::Workload(workload)
        ]
    );
    assert_eq!(support.issuers, [IssuerId(0)]);
    assert_eq!(support.required_scopes, set(["docs.read"]));
    assert_eq!(support.optional_scopes, Some(set(["docs.write"])));
    assert_eq!(support.servers, Some(set(["https://docs.example.com/mcp"])));
    assert_eq!(support.tools, Some(patterns(["search", "get_*", "delete_record"])));
    assert_eq!(support.prompts, Some(vec![]), "an empty list is none, not all");
    assert_eq!(support.resources, Some(patterns(["docs://*"])));
    assert_eq!(support.versions, Some(patterns(["2.*"])));
    assert!(support.needs_instance);
    let rate = RateLimit {
        id: "agents.support-bot.rate".to_owned(),
        requests: 60,
        period: minutes(1),
        burst: 60,
        by: vec![],
    };
    assert_eq!(support.rate.as_deref(), Some(&rate));
}

#[test]
fn without_a_catalogue_agents_are_not_told_apart() {
    let settings = load_value(&minimal()).unwrap().enforcement.servers.remove(0).policies.own;
    assert!(settings.settings().agents.is_none());
    assert!(!settings.settings().takes_unknown_agents);
}

#[test]
fn scopes_compile_to_what_follows_from_what() {
    let loaded = loaded();
    let scopes = &loaded.enforcement.servers[0].policies.own.settings().scopes;
    for (held, scope, covers) in [
        ("docs.read", "docs.read", true),
        ("docs.write", "docs.read", true),
        ("docs.admin", "docs.read", true),
        ("docs:*", "docs.read", true),
        ("docs.read", "docs.write", false),
        ("docs.admin", "docs:*", false),
        ("wiki:*", "wiki:*", false),
    ] {
        assert_eq!(scopes.covers(&set([held]), scope), covers, "{held} {scope}");
    }
}

#[test]
fn rules_compile_to_what_is_said() {
    let loaded = loaded();
    let policy = &loaded.enforcement.servers[0].policies.own;
    let search = policy.rule(&tool("get_page")).unwrap();
    let expected = Rule {
        id: "servers[0].tools.rules[0]".to_owned(),
        scopes: set(["docs.read"]),
        ..Rule::default()
    };
    assert_eq!(**search, expected);
    let rate = RateLimit {
        id: "servers[0].tools.rules[1].rates[0]".to_owned(),
        requests: 3,
        period: minutes(1),
        burst: 3,
        by: vec![],
    };
    let expected = Rule {
        id: "delete".to_owned(),
        scopes: set(["docs.write"]),
        any_scopes: vec!["docs.b".to_owned(), "docs.a".to_owned()],
        roles: set(["editor"]),
        groups: set(["writers"]),
        tenants: set(["t1"]),
        subjects: set(["alice"]),
        issuers: [IssuerId(0)].into(),
        agents: set(["indexer"]),
        on_behalf_of: true,
        workloads: vec![WorkloadGrant {
            agents: set(["indexer"]),
            scopes: set(["docs.read"]),
            permissions: set(["Docs.Delete"]),
        }],
        step_up: Some(Rc::new(StepUp {
            acr: vec!["phr".to_owned(), "mfa".to_owned()],
            max_age: Some(minutes(5)),
            contexts: vec!["c1".to_owned()],
        })),
        dpop: Some(Requirement::Optional),
        mtls: Some(Requirement::Optional),
        introspect: None,
        rates: vec![Rc::new(rate)],
        mode: Some(Mode::Enforce),
        exchange: None,
        downstream_scopes: None,
        server_wide_exchange: false,
        param_headers: vec![],
    };
    assert_eq!(**policy.rule(&tool("delete_record")).unwrap(), expected);
}

#[test]
fn patterns_have_a_star_anywhere() {
    let names = json!(["get_*", "get_*_draft", "*_draft"]);
    let document = edited(governed_alone(), "/servers/0/tools/rules/0/names", Some(names));
    let rules = json!([{ "uris": ["docs://*/public/*"], "scopes": [] }]);
    let document = edited(document, "/servers/0/resources", Some(json!({ "rules": rules })));
    let policy = load_value(&document).unwrap().enforcement.servers.remove(0).policies.own;
    let resource = |uri: &str| policy.rule(&Target::Resource(uri.to_owned())).is_some();
    assert!(policy.rule(&tool("my_draft")).is_some() && policy.rule(&tool("my_drafts")).is_none());
    assert!(resource("docs://a/public/b") && !resource("docs://a/private/b"));
}

#[test]
fn servers_say_what_holds_for_all_operations() {
    let loaded = loaded();
    let [docs, wiki] = &loaded.enforcement.servers[..] else { panic!() };
    let settings = docs.policies.own.settings();
    assert_eq!(settings.resource, "https://docs.example.com/mcp");
    assert_eq!((settings.mode, settings.lists_attainable), (Mode::Shadow, true));
    assert_eq!((settings.dpop, settings.mtls), (Requirement::Required, Requirement::Required));
    assert_eq!(
        (docs.dpop.mode, docs.mtls.mode),
        (Requirement::Optional, Requirement::Optional),
        "a rule takes tokens that are not bound, so authentication does"
    );
    let delegation = Delegation {
        max_depth: 2,
        actors: Some(set(["support-bot"])),
        prior_actors: Some(set(["planner"])),
    };
    assert_eq!(settings.delegation, delegation);
    assert!(settings.needs_session_context && settings.needs_task_context);
    assert!(settings.needs_instance_context && !settings.takes_unknown_agents);
    assert_eq!(docs.instance_header.as_deref(), Some("x-agent-instance"));
    assert!(!docs.hides_objects);
    assert_eq!(docs.step_up_challenges, [(IssuerId(0), StepUpChallenge::Claims)]);
    let rate = RateLimit {
        id: "servers[0].rates[0]".to_owned(),
        requests: 1000,
        period: minutes(60),
        burst: 50,
        by: vec![RateKey::Subject, RateKey::Agent],
    };
    assert_eq!(settings.rates, [Rc::new(rate)]);

    let settings = wiki.policies.own.settings();
    assert_eq!((settings.mode, settings.lists_attainable), (Mode::Enforce, false));
    assert_eq!(settings.delegation, Delegation::default());
    assert!(!settings.needs_session_context && !settings.needs_task_context);
    assert!(!settings.needs_instance_context && settings.takes_unknown_agents);
    assert!(wiki.hides_objects && wiki.instance_header.is_none());
    assert_eq!(
        wiki.step_up_challenges,
        [(IssuerId(0), StepUpChallenge::Claims), (IssuerId(1), StepUpChallenge::Rfc9470)]
    );
}

#[test]
fn the_mode_is_the_servers_or_else_the_documents() {
    let document = edited(governed(), "/mode", Some(json!("shadow")));
    let document = edited(document, "/servers/0/mode", Some(json!("enforce")));
    let servers = load_value(&document).unwrap().enforcement.servers;
    let modes = [0, 1].map(|index: usize| servers[index].policies.own.settings().mode);
    assert_eq!(modes, [Mode::Enforce, Mode::Shadow]);
}

#[test]
fn a_policy_beside_the_one_in_force_has_what_it_replaces_and_the_rest_of_the_document() {
    let loaded = loaded();
    let [docs, wiki] = &loaded.enforcement.servers[..] else { panic!() };
    let same = docs.policies.candidate.as_ref().unwrap();
    assert!(&*same.name == "next" && Rc::ptr_eq(&same.policy, &docs.policies.own));

    let next = &wiki.policies.candidate.as_ref().unwrap().policy;
    let place = "policies.next.servers[\"https://wiki.example.com/mcp\"]";
    assert_eq!(next.rule(&tool("find")).unwrap().id, format!("{place}.tools.rules[0]"));
    assert!(next.rule(&tool("other")).is_none() && wiki.policies.own.rule(&tool("x")).is_some());
    assert!(next.names_prompts() && next.names_resources() && next.allows_method("tools/list"));
    let settings = next.settings();
    assert_eq!(settings.mode, Mode::Shadow);
    assert_eq!(settings.resource, "https://wiki.example.com/mcp");
    assert!(!settings.takes_unknown_agents && settings.agents.is_some());
    assert_eq!(settings.rates[0].id, format!("{place}.rates[0]"));

    let rollback = docs.policies.rollback.as_ref().unwrap();
    let until = SystemTime::UNIX_EPOCH + Duration::from_secs(1_796_148_000);
    assert_eq!((&*rollback.named.name, rollback.until), ("old", until));
    let old = &rollback.named.policy;
    assert!(old.rule(&tool("search")).is_some() && old.rule(&tool("delete_record")).is_none());
    let resource = Target::Resource("docs://a".to_owned());
    assert_eq!(old.rule(&resource).unwrap().id, "servers[0].resources.rules[0]");
    let agents = old.settings().agents.as_ref().unwrap();
    assert_eq!(agents.iter().map(|agent| agent.name.as_str()).collect::<Vec<_>>(), ["crawler"]);
    assert_eq!(old.settings().mode, Mode::Shadow);
    assert_eq!(
        old.settings().rates[0].id,
        "servers[0].rates[0]",
        "what is not replaced is counted on"
    );
    let scopes = &old.settings().scopes;
    assert!(scopes.covers(&set(["docs:*"]), "docs.read"));
    assert!(!scopes.covers(&set(["docs.write"]), "docs.read"));
}

#[test]
fn a_policy_may_be_tried_and_back_in_force_at_once() {
    let document = edited(governed(), "/candidate", Some(json!("old")));
    let document = edited(document, "/policies/next", None);
    let servers = load_value(&document).unwrap().enforcement.servers;
    for server in servers {
        let candidate = server.policies.candidate.unwrap().policy;
        assert!(Rc::ptr_eq(&candidate, &server.policies.rollback.unwrap().named.policy));
    }
}

#[test]
fn a_rollback_that_takes_unbound_tokens_is_let_through_authentication() {
    let rule = |binding: &str| json!([{ "names": ["a"], "scopes": [], "dpop": binding }]);
    let mut document = governed();
    document["servers"][0]["tools"] = json!({ "rules": rule("required") });
    let modes = |document: &Value| {
        let server = load_value(document).unwrap().enforcement.servers.remove(0);
        (server.dpop.mode, server.policies.own.settings().dpop)
    };
    assert_eq!(modes(&document), (Requirement::Required, Requirement::Required));
    let place = "/policies/old/servers/https:~1~1docs.example.com~1mcp/tools";
    document = edited(document, place, Some(json!({ "rules": rule("optional") })));
    assert_eq!(modes(&document), (Requirement::Optional, Requirement::Required));
}

#[test]
fn a_server_takes_ten_thousand_rules() {
    let mut document = governed();
    let rule = |n: usize| json!({ "names": [format!("tool_{n}")], "scopes": ["docs.read"] });
    document["servers"][1]["tools"]["rules"] = (0..10_000).map(rule).collect();
    let servers = load_value(&document).unwrap().enforcement.servers;
    let last = servers[1].policies.own.rule(&tool("tool_9999")).unwrap();
    assert_eq!(last.id, "servers[1].tools.rules[9999]");

    document["servers"][1]["tools"]["rules"] = (0..16_385).map(rule).collect();
    let told = load_value(&document).map(drop).unwrap_err();
    assert_eq!(told, "servers[1].tools.rules: has 16385 entries; at most 16384 are taken");
}

#[test]
fn every_member_of_the_schema_is_described() {
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    let types = schema["$defs"].as_object().unwrap();
    for (name, definition) in types {
        assert!(definition["description"].is_string(), "{name}");
        for (member, value) in definition["properties"].as_object().into_iter().flatten() {
            assert!(value["description"].is_string(), "{name}.{member}");
        }
    }
    for (member, value) in schema["properties"].as_object().unwrap() {
        assert!(value["description"].is_string(), "{member}");
    }
}
