//! What is valid and cannot be meant.

use serde_json::{Value, json};

use crate::support::{edited, governed, governed_alone, load_value, minimal};

/// What each edit of the document makes odd.
fn assert_warned(document: &Value, cases: &[(&str, Value, &[&str])]) {
    let mut differences = Vec::new();
    for (pointer, value, expected) in cases {
        let document = edited(document.clone(), pointer, Some(value.clone()));
        let loaded = load_value(&document).unwrap();
        let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        if warnings != *expected {
            differences.push(format!("{pointer} {value}: {warnings:#?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

#[test]
fn rules_that_are_forbidden_to_everybody_are_odd() {
    let deny = |names: &[&str]| json!([{ "names": names, "mode": "enforce" }]);
    assert_warned(
        &governed_alone(),
        &[
            (
                "/servers/0/tools/deny",
                deny(&["search", "get*"]),
                &["servers[0].tools.rules[0]: permits nothing: `deny` forbids all of its names"],
            ),
            (
                "/servers/0/tools/deny",
                deny(&["get_*", "get_x"]),
                &["servers[0].tools.rules[0].names[1]: `deny` forbids \"get_*\" to everybody"],
            ),
            ("/servers/0/tools/deny", deny(&["get_a*", "searching"]), &[]),
            ("/servers/0/tools/deny", json!([{ "names": ["*"], "tenants": ["t9"] }]), &[]),
            ("/servers/0/tools/deny", json!([{ "names": ["*"] }]), &[]),
            (
                "/servers/0/resources/deny",
                json!([{ "uris": ["*"], "mode": "enforce" }]),
                &[
                    "servers[0].resources.rules[0]: permits nothing: `deny` forbids all of its names",
                ],
            ),
        ],
    );
}

#[test]
fn rules_for_agents_that_cannot_use_them_are_odd() {
    let rule = |member: &str, value: Value| {
        let mut rule = json!({ "names": ["wipe"], "scopes": [], "agents": ["support-bot"] });
        rule[member] = value;
        json!({ "rules": [rule] })
    };
    assert_warned(
        &governed_alone(),
        &[
            (
                "/servers/1/tools",
                rule("names", json!(["search"])),
                &["servers[1].tools.rules[0].agents: `support-bot` may not use this server"],
            ),
            (
                "/servers/0/tools",
                rule("names", json!(["wipe", "put_*"])),
                &[
                    "servers[0].tools.rules[0].agents: `support-bot` has none of the names in its `tools`",
                ],
            ),
            ("/servers/0/tools", rule("names", json!(["ge*"])), &[]),
            (
                "/servers/0/tools",
                json!({ "rules": [{ "names": ["search"], "scopes": ["docs.admin"], "agents": ["support-bot", "indexer"] }] }),
                &[
                    "servers[0].tools.rules[0].agents: `support-bot` may not use the scope `docs.admin`",
                ],
            ),
            (
                "/servers/0/tools",
                json!({ "rules": [{ "names": ["search"], "scopes": [], "any_scopes": ["a", "b"], "agents": ["support-bot"] }] }),
                &["servers[0].tools.rules[0].agents: `support-bot` may use none of `any_scopes`"],
            ),
            (
                "/servers/0/tools",
                json!({ "rules": [{ "names": ["search"], "scopes": [], "workloads": [{ "agents": ["support-bot"], "scopes": ["x"] }] }] }),
                &[
                    "servers[0].tools.rules[0].workloads[0].agents: `support-bot` may not use the scope `x`",
                ],
            ),
        ],
    );
    let document = edited(governed_alone(), "/agents/indexer/issuers", Some(json!(["partner"])));
    let warnings = load_value(&document).unwrap().warnings;
    let told: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    assert_eq!(
        told,
        [
            "servers[0].tools.rules[1].workloads[0].agents: `indexer` has issuers whose tokens are not taken here",
            "servers[0].tools.rules[1].agents: `indexer` has issuers whose tokens are not taken here",
        ]
    );
}

#[test]
fn rules_that_no_agent_of_the_catalogue_can_use_are_odd() {
    assert_warned(
        &governed_alone(),
        &[
            ("/agents/indexer/optional_scopes", json!(["docs.read", "docs.write", "docs.a"]), &[]),
            (
                "/servers/0/prompts",
                json!({ "rules": [{ "names": ["p"], "scopes": ["prompts"] }] }),
                &[],
            ),
        ],
    );
    let mut document = edited(
        governed_alone(),
        "/servers/0/prompts",
        Some(json!({ "rules": [{ "names": ["p"], "scopes": ["prompts"] }] })),
    );
    document["agents"]["indexer"]["optional_scopes"] = json!(["docs.read", "docs.write", "docs.a"]);
    let warnings = load_value(&document).unwrap().warnings;
    let told: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "servers[0].prompts.rules[0]: permits no agent: `indexer` may not use the scope `prompts`, `support-bot` has none of the names in its `prompts`"
        ]
    );
}

#[test]
fn agents_that_can_do_nothing_are_odd() {
    let agent = |member: &str, value: Value| {
        let mut agent = json!({ "match": ["client:idle"], "issuers": ["corp"] });
        agent[member] = value;
        agent
    };
    assert_warned(
        &governed_alone(),
        &[
            ("/agents/idle", agent("tools", json!(["search"])), &[]),
            (
                "/agents/idle",
                json!({
                    "match": ["client:idle"], "issuers": ["partner"],
                    "servers": ["https://docs.example.com/mcp"]
                }),
                &["agents.idle: can do nothing: no server that it may use accepts its issuers"],
            ),
            (
                "/agents/idle",
                json!({
                    "match": ["client:idle"], "issuers": ["corp"], "tools": ["nothing"], "resources": [],
                    "servers": ["https://docs.example.com/mcp"]
                }),
                &["agents.idle: can use nothing: no rule is for it and for what it may use"],
            ),
            (
                "/servers/0/delegation/actors",
                json!(["support-bot", "indexer"]),
                &[
                    "servers[0].delegation.actors: `indexer` has no `act:…` in its `match`, and so is no actor",
                ],
            ),
        ],
    );
    // Where there are no rules, methods are all there is.
    let mut document = minimal();
    document["agents"] = json!({ "a": { "match": ["client:a"] } });
    assert_eq!(load_value(&document).unwrap().warnings, vec![]);
}

#[test]
fn scopes_that_nothing_asks_for_are_odd() {
    assert_warned(
        &governed_alone(),
        &[
            (
                "/scopes/wiki.admin",
                json!({ "implies": ["wiki.read"] }),
                &["scopes[\"wiki.admin\"]: nothing asks for it, or for what it implies"],
            ),
            (
                "/issuers/corp/scope_grants/0/scopes",
                json!(["elsewhere"]),
                &[
                    "issuers.corp.scope_grants[0]: no rule for users of this issuer asks for any of its `scopes`",
                ],
            ),
            (
                "/servers/0/metadata/scopes_supported",
                json!(["docs.raed", "mcp:connect"]),
                &[
                    "servers[0].metadata.scopes_supported: nothing asks for `docs.raed`; did you mean `docs.read`?",
                ],
            ),
            (
                "/agents/support-bot/optional_scopes",
                json!(["docs.write", "docs.wrte"]),
                &[
                    "agents.support-bot.optional_scopes: nothing asks for `docs.wrte`; did you mean `docs.write`?",
                ],
            ),
        ],
    );
}

#[test]
fn policies_tenants_and_settings_of_no_use_are_odd() {
    assert_warned(
        &governed(),
        &[
            (
                "/policies/old/agents/idle",
                json!({ "match": ["client:idle"], "issuers": ["corp"], "tools": [], "resources": [] }),
                &[
                    "policies.old.agents.idle: can use nothing: no rule is for it and for what it may use",
                ],
            ),
            (
                "/policies/spare",
                json!({}),
                &["policies.spare: is neither the `candidate` nor the one of `rollback`"],
            ),
            (
                "/policies/next/servers/https:~1~1wiki.example.com~1mcp/tools/deny",
                json!([{ "names": ["f*"], "mode": "enforce" }]),
                &[
                    "policies.next.servers[\"https://wiki.example.com/mcp\"].tools.rules[0]: permits nothing: `deny` forbids all of its names",
                ],
            ),
            ("/servers/1/context", json!({ "instance_header": "x-agent-instance" }), &[]),
        ],
    );
    let mut document = minimal();
    document["issuers"]["corp"]["issuer"] = json!("https://login.example.com/{tid}/v2.0");
    document["issuers"]["corp"]["tenants"] = json!(["contoso", "fabrikam"]);
    let rule = json!({ "names": ["a"], "scopes": [], "tenants": ["contosso", "fabrikam"] });
    document["servers"][0]["tools"] = json!({ "rules": [rule] });
    document["servers"][0]["delegation"] = json!({ "unknown_agents": "allow" });
    document["servers"][0]["context"] = json!({ "instance_header": "x-agent-instance" });
    let warnings = load_value(&document).unwrap().warnings;
    let told: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "servers[0].delegation.unknown_agents: is of no use without `agents`: all agents are unknown",
            "servers[0].context.instance_header: no issuer of the server has `claims.instance`, which it is compared with",
            "servers[0].tools.rules[0].tenants: no issuer here has the tenant \"contosso\"; did you mean `contoso`?",
        ]
    );
}
