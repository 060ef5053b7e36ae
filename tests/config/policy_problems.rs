//! Bad policies: what the operator is told, word for word.

use serde_json::{Value, json};

use crate::support::{assert_told_of, edited, governed, load_value, minimal};

/// The second server of the document, as policies name it.
const WIKI: &str = "/policies/next/servers/https:~1~1wiki.example.com~1mcp";

#[test]
fn what_is_wrong_with_agents_is_told() {
    let at = |member: &str| format!("/agents/support-bot/{member}");
    let (matched, issuers, required) = (at("match"), at("issuers"), at("required_scopes"));
    let (optional, servers, tools) = (at("optional_scopes"), at("servers"), at("tools"));
    let (versions, rate) = (at("versions"), at("rate"));
    assert_told_of(
        &governed(),
        &[
            (
                "/agents/a.b",
                Some(json!({ "match": ["client:x"], "issuers": ["corp"] })),
                &["agents[\"a.b\"]: a name is 1 to 64 letters, digits, `-` and `_`"],
            ),
            (
                &matched,
                Some(json!([])),
                &["agents.support-bot.match: is empty: at least one is needed"],
            ),
            (
                &matched,
                Some(json!(["support-bot", "azp:x", "client:", "act:a", "act:a"])),
                &[
                    "agents.support-bot.match[4]: is given twice",
                    "agents.support-bot.match[0]: is none of `client:…`, `act:…`, `agent:…` and `spiffe://…`; did you mean `client:support-bot`?",
                    "agents.support-bot.match[1]: is none of `client:…`, `act:…`, `agent:…` and `spiffe://…`",
                    "agents.support-bot.match[2]: is none of `client:…`, `act:…`, `agent:…` and `spiffe://…`",
                ],
            ),
            (
                &matched,
                Some(json!(["act:support", "spiffe://corp.example", "spiffe://corp.exampel/a"])),
                &[
                    "agents.support-bot.match[1]: is no SPIFFE ID: `spiffe://`, a trust domain in lowercase, and path segments of letters, digits, `.`, `-` and `_`",
                    "agents.support-bot.match[2]: `workload_identity` has no trust domain \"corp.exampel\"; did you mean `corp.example`?",
                ],
            ),
            (
                &matched,
                Some(json!(["act:support", "client:indexer"])),
                &["agents: indexer and support-bot are both recognised by client:indexer"],
            ),
            (
                "/workload_identity",
                None,
                &[
                    "agents.support-bot.match[3]: is a workload, and there is no `workload_identity`",
                ],
            ),
            (
                &issuers,
                None,
                &[
                    "agents.support-bot.issuers: say whose tokens may name it: the document has several issuers",
                ],
            ),
            (
                &issuers,
                Some(json!(["crop"])),
                &[
                    "agents.support-bot.issuers[0]: no issuer is named \"crop\"; did you mean `corp`?",
                ],
            ),
            (
                &issuers,
                Some(json!(["partner"])),
                &[
                    "agents.support-bot.match: needs an issuer of it to have `claims.agent`",
                    "agents.support-bot.versions: needs an issuer of it to have `claims.agent_version`",
                    "agents.support-bot.instance_required: needs an issuer of it to have `claims.agent_instance`",
                ],
            ),
            (
                "/agents/indexer/match",
                Some(json!(["spiffe://corp.example/indexer"])),
                &[
                    "agents.indexer.issuers: is of no use: no token names it, by its `match`; leave it out",
                ],
            ),
            (
                &required,
                Some(json!(["*:read"])),
                &[
                    "agents.support-bot.required_scopes[0]: has a `*`, and so counts only if `scopes` says what it implies",
                ],
            ),
            (
                &optional,
                Some(json!(["docs.write", "a b"])),
                &[
                    "agents.support-bot.optional_scopes[1]: has a space; write each scope as an entry of its own",
                ],
            ),
            (
                &servers,
                Some(json!(["https://docs.example.com/mpc"])),
                &[
                    "agents.support-bot.servers[0]: no server has the `resource` \"https://docs.example.com/mpc\"; did you mean `https://docs.example.com/mcp`?",
                ],
            ),
            (&tools, Some(json!(["search", ""])), &["agents.support-bot.tools[1]: is empty"]),
            (
                &versions,
                Some(json!(["2.*", "2.*"])),
                &["agents.support-bot.versions[1]: is given twice"],
            ),
            (
                &rate,
                Some(json!("60/min")),
                &[
                    "agents.support-bot.rate: is no rate such as `60/m`: calls in one `s`, `m`, `h` or `d`",
                ],
            ),
            (
                "/agents/indexer/client",
                Some(json!("x")),
                &[
                    "agents.indexer.client: unknown member `client`; known are match, issuers, required_scopes, optional_scopes, servers, tools, prompts, resources, versions, instance_required, rate",
                ],
            ),
        ],
    );
}

#[test]
fn what_is_wrong_with_scopes_and_grants_is_told() {
    assert_told_of(
        &governed(),
        &[
            (
                "/scopes/docs.read",
                Some(json!({ "implies": ["docs.admin"] })),
                &["scopes: imply each other in a circle: docs.admin, docs.write, docs.read"],
            ),
            (
                "/scopes/docs.x",
                Some(json!({ "implies": ["docs.x"] })),
                &["scopes: imply each other in a circle: docs.x"],
            ),
            (
                "/scopes/docs.x",
                Some(json!({ "implies": [] })),
                &["scopes[\"docs.x\"].implies: is empty: at least one is needed"],
            ),
            (
                "/scopes/docs.x",
                Some(json!({ "implies": ["wiki:*", "wiki.a", "wiki.a"] })),
                &[
                    "scopes[\"docs.x\"].implies[2]: is given twice",
                    "scopes[\"docs.x\"].implies[0]: has a `*`, and so counts only if `scopes` says what it implies",
                ],
            ),
            (
                "/scopes/docs read",
                Some(json!({ "implies": ["docs.read"] })),
                &["scopes[\"docs read\"]: has a space; write each scope as an entry of its own"],
            ),
            ("/scopes/docs.x", Some(json!({})), &["scopes[\"docs.x\"]: missing member `implies`"]),
            (
                "/issuers/corp/scope_grants/0",
                Some(json!({ "scopes": ["docs.write"] })),
                &[
                    "issuers.corp.scope_grants[0]: needs `roles` or `groups`: who is to have the scopes?",
                ],
            ),
            (
                "/issuers/corp/scope_grants/0",
                Some(json!({ "roles": ["a", "a"], "scopes": [] })),
                &[
                    "issuers.corp.scope_grants[0].roles[1]: is given twice",
                    "issuers.corp.scope_grants[0].scopes: is empty: at least one is needed",
                ],
            ),
            (
                "/issuers/corp/scope_grants/0/scopes",
                Some(json!(["*"])),
                &[
                    "issuers.corp.scope_grants[0].scopes[0]: has a `*`, and so counts only if `scopes` says what it implies",
                    "issuers.corp.scope_grants[0].scopes[0]: has a `*`, and so counts only if `policies.old.scopes` says what it implies",
                ],
            ),
        ],
    );
    let ladder = |steps: usize| -> Value {
        let step = |n: usize| {
            (format!("s{n:03}"), json!({ "implies": [format!("s{:03}", n.saturating_add(1))] }))
        };
        Value::Object((0..steps).map(step).collect())
    };
    assert!(load_value(&edited(minimal(), "/scopes", Some(ladder(256)))).is_ok());
    assert_eq!(
        load_value(&edited(minimal(), "/scopes", Some(ladder(257)))).map(drop).unwrap_err(),
        "scopes: has 257 entries; at most 256 are taken"
    );
}

#[test]
fn what_is_wrong_with_rules_is_told() {
    let at = |member: &str| format!("/servers/0/tools/rules/1/{member}");
    let [id, any, roles, subjects, issuers, agents] =
        ["id", "any_scopes", "roles", "subjects", "issuers", "agents"].map(at);
    let [workloads, step_up, scopes] = ["workloads", "step_up", "scopes"].map(at);
    assert_told_of(
        &governed(),
        &[
            (&id, Some(json!("")), &["servers[0].tools.rules[1].id: is empty"]),
            (
                &id,
                Some(json!("a\nb")),
                &["servers[0].tools.rules[1].id: is no id: up to 128 bytes of text"],
            ),
            (
                &id,
                Some(json!("freeze")),
                &["servers[0].tools.deny[0].id: is also the id of servers[0].tools.rules[1]"],
            ),
            (
                &id,
                Some(json!("servers[0].tools.rules[0]")),
                &["servers[0].tools.rules[1].id: is also the id of servers[0].tools.rules[0]"],
            ),
            (
                &scopes,
                Some(json!(["files:*"])),
                &[
                    "servers[0].tools.rules[1].scopes[0]: has a `*`, and so counts only if `scopes` says what it implies",
                ],
            ),
            (
                &any,
                Some(json!([])),
                &["servers[0].tools.rules[1].any_scopes: is empty: at least one is needed"],
            ),
            (
                &any,
                Some(json!(["*"])),
                &[
                    "servers[0].tools.rules[1].any_scopes[0]: has a `*`, and so counts only if `scopes` says what it implies",
                ],
            ),
            (
                &roles,
                Some(json!(["editor", ""])),
                &["servers[0].tools.rules[1].roles[1]: is empty"],
            ),
            (
                &issuers,
                Some(json!(["partner"])),
                &["servers[0].tools.rules[1].issuers[0]: no issuer is named \"partner\""],
            ),
            (
                "/servers/1/tools/rules/0/subjects",
                Some(json!(["alice"])),
                &[
                    "servers[1].tools.rules[0].subjects: a subject is somebody at one issuer only; name that in `issuers`",
                ],
            ),
            (
                &subjects,
                Some(json!([])),
                &["servers[0].tools.rules[1].subjects: is empty: at least one is needed"],
            ),
            (
                &agents,
                Some(json!(["indexr"])),
                &[
                    "servers[0].tools.rules[1].agents[0]: `agents` has no \"indexr\"; did you mean `indexer`?",
                ],
            ),
            (
                &workloads,
                Some(json!([])),
                &["servers[0].tools.rules[1].workloads: is empty: at least one is needed"],
            ),
            (
                &workloads,
                Some(json!([{ "agents": ["nobody"], "scopes": ["*"], "permissions": ["a", "a"] }])),
                &[
                    "servers[0].tools.rules[1].workloads[0].scopes[0]: has a `*`, and so counts only if `scopes` says what it implies",
                    "servers[0].tools.rules[1].workloads[0].agents[0]: `agents` has no \"nobody\"",
                    "servers[0].tools.rules[1].workloads[0].permissions[1]: is given twice",
                ],
            ),
            (
                &step_up,
                Some(json!({})),
                &[
                    "servers[0].tools.rules[1].step_up: demands nothing; give it `acr`, `max_age` or `contexts`",
                ],
            ),
            (
                &step_up,
                Some(json!({ "acr": ["mfa", "two words", "urn:\"x\""] })),
                &[
                    "servers[0].tools.rules[1].step_up.acr[1]: has a character that a challenge cannot carry (RFC 9470 section 3)",
                    "servers[0].tools.rules[1].step_up.acr[2]: has a character that a challenge cannot carry (RFC 9470 section 3)",
                ],
            ),
            (
                "/servers/0/tools/rules/0/roles",
                Some(json!(null)),
                &["servers[0].tools.rules[0].roles: is null; leave it out, or write a value"],
            ),
            (
                &step_up,
                Some(json!({ "acr": [], "max_age": "1s" })),
                &[
                    "servers[0].tools.rules[1].step_up.acr: is empty: at least one is needed",
                    "servers[0].tools.rules[1].step_up.max_age: must be from 10s to 30days",
                ],
            ),
            (
                "/issuers/corp/step_up",
                None,
                &[
                    "servers[0].tools.rules[1].step_up.contexts: can be asked of no issuer here: none has the `step_up` `claims`",
                ],
            ),
            (
                "/servers/0/mtls",
                None,
                &[
                    "servers[0].tools.rules[1].mtls: nobody checks it: the server's `mtls` has the `mode` `off`",
                ],
            ),
            (
                "/servers/0/tools/deny/0/agents",
                Some(json!(["support-bat"])),
                &[
                    "servers[0].tools.deny[0].agents[0]: `agents` has no \"support-bat\"; did you mean `support-bot`?",
                ],
            ),
            (
                "/servers/0/tools/deny/0/names",
                Some(json!(["a", "", "a"])),
                &[
                    "servers[0].tools.deny[0].names[2]: is given twice",
                    "servers[0].tools.deny[0].names[1]: is empty",
                ],
            ),
            (
                "/servers/0/tools/rules/0/names",
                Some(json!(["get_*_draft", "**", "get_*_draft"])),
                &[
                    "servers[0].tools.rules[0].names[2]: is given twice",
                    "servers[0].tools.rules[0].names[1]: has `**`, which says no more than `*`",
                ],
            ),
            (
                "/servers/0/methods/allow",
                Some(json!(["ping", "tools/*st"])),
                &["servers[0].methods.allow[1]: has a `*` that is not its last character"],
            ),
            (
                "/servers/0/tools/deny/0/scopes",
                Some(json!(["a"])),
                &[
                    "servers[0].tools.deny[0].scopes: unknown member `scopes`; known are id, names, agents, subjects, tenants, mode",
                ],
            ),
        ],
    );
}

#[test]
fn a_subject_of_an_issuer_with_tenants_is_somebody_in_one_of_them() {
    let mut document = minimal();
    document["issuers"]["corp"]["issuer"] = json!("https://login.example.com/{tid}/v2.0");
    document["issuers"]["corp"]["tenants"] = json!(["t1", "t2"]);
    let rule = json!({ "names": ["a"], "scopes": [], "subjects": ["alice"] });
    document["servers"][0]["tools"] = json!({ "rules": [rule] });
    assert_eq!(
        load_value(&document).map(drop).unwrap_err(),
        "servers[0].tools.rules[0].subjects: the subjects of issuers.corp are told apart by tenant; name the one tenant in `tenants`"
    );
    document["servers"][0]["tools"]["rules"][0]["tenants"] = json!(["t1"]);
    assert!(load_value(&document).is_ok());
}

#[test]
fn agents_are_named_only_where_there_are_any() {
    let mut document = minimal();
    document["servers"][0]["delegation"] = json!({ "actors": ["a"] });
    document["servers"][0]["tools"] = json!({
        "rules": [{
            "names": ["a"], "scopes": [], "agents": ["a"], "workloads": [{ "agents": ["a"] }]
        }],
        "deny": [{ "names": ["a"], "agents": ["a"] }]
    });
    let told = load_value(&document).map(drop).unwrap_err();
    let expected = [
        "servers[0].tools.rules[0].workloads[0].agents",
        "servers[0].tools.rules[0].agents",
        "servers[0].tools.deny[0].agents",
        "servers[0].delegation.actors",
    ];
    let message = "names agents, and there are no `agents`; declare them";
    assert_eq!(told, expected.map(|path| format!("{path}: {message}")).join("\n"));
}

#[test]
fn what_is_wrong_with_rates_is_told() {
    let rates = |rates: Value| Some(rates);
    assert_told_of(
        &governed(),
        &[
            (
                "/servers/0/rates",
                rates(json!([{ "limit": "60" }, { "limit": "x/m" }, { "limit": "+1/m" }])),
                &[
                    "servers[0].rates[0].limit: is no rate such as `60/m`: calls in one `s`, `m`, `h` or `d`",
                    "servers[0].rates[1].limit: is no rate such as `60/m`: calls in one `s`, `m`, `h` or `d`",
                    "servers[0].rates[2].limit: is no rate such as `60/m`: calls in one `s`, `m`, `h` or `d`",
                ],
            ),
            (
                "/servers/0/rates",
                rates(
                    json!([{ "limit": "0/m" }, { "limit": "1000001/d" }, { "limit": "99999999999/d" }]),
                ),
                &[
                    "servers[0].rates[0].limit: must be from 1 to 1000000 calls",
                    "servers[0].rates[1].limit: must be from 1 to 1000000 calls",
                    "servers[0].rates[2].limit: must be from 1 to 1000000 calls",
                ],
            ),
            (
                "/servers/0/rates/0/burst",
                rates(json!(0)),
                &["servers[0].rates[0].burst: must be from 1 to 1000000"],
            ),
            (
                "/servers/0/rates/0/by",
                rates(json!(["subject", "subject"])),
                &["servers[0].rates[0].by[1]: is given twice"],
            ),
            (
                "/servers/0/rates/0/by",
                rates(json!(["user"])),
                &[
                    "servers[0].rates[0].by[0]: unknown value `user`; known are subject, agent, object, server",
                ],
            ),
            (
                "/servers/0/rates",
                rates(json!([
                    { "limit": "1/m", "by": ["agent", "subject"] },
                    { "limit": "2/m", "by": ["subject", "agent"] }
                ])),
                &[
                    "servers[0].rates[1]: is one more for the same calls and the same period; which should hold?",
                ],
            ),
            (
                "/servers/0/tools/rules/1/rates",
                rates(json!([])),
                &["servers[0].tools.rules[1].rates: is empty: at least one is needed"],
            ),
        ],
    );
    let many: Value = (1..=9).map(|n| json!({ "limit": format!("{n}/s"), "by": [] })).collect();
    let told = load_value(&edited(governed(), "/servers/0/rates", Some(many))).map(drop);
    let expected = "servers[0].rates: has 9 entries; at most 8 are taken\n";
    assert!(told.as_ref().is_err_and(|told| told.starts_with(expected)), "{told:?}");
}

#[test]
fn what_is_wrong_with_delegation_and_context_is_told() {
    assert_told_of(
        &governed(),
        &[
            (
                "/servers/0/delegation",
                Some(json!({ "max_depth": 17 })),
                &[
                    "servers[0].delegation.max_depth: must be at most 16: longer chains are no valid tokens",
                ],
            ),
            (
                "/servers/0/delegation",
                Some(json!({ "max_depth": 0, "actors": ["indexer"], "prior_actors": ["a"] })),
                &[
                    "servers[0].delegation.actors: is of no use: `max_depth` is 0, which takes no actors",
                    "servers[0].delegation.prior_actors: is of no use: `max_depth` leaves no actors before the current one",
                ],
            ),
            (
                "/servers/0/delegation/actors",
                Some(json!(["suport-bot"])),
                &[
                    "servers[0].delegation.actors[0]: `agents` has no \"suport-bot\"; did you mean `support-bot`?",
                ],
            ),
            (
                "/servers/0/delegation/prior_actors",
                Some(json!([])),
                &["servers[0].delegation.prior_actors: is empty: at least one is needed"],
            ),
            (
                "/servers/1/context",
                Some(json!({ "session": "required", "task": "required" })),
                &[
                    "servers[1].context.session: issuers.partner, whose tokens the server accepts, has no `claims.session`",
                    "servers[1].context.task: issuers.partner, whose tokens the server accepts, has no `claims.task`",
                ],
            ),
            (
                "/servers/0/context/instance_header",
                None,
                &[
                    "servers[0].context.instance: needs `instance_header`, which says what a request's instance is",
                ],
            ),
            (
                "/servers/0/context/instance_header",
                Some(json!("x instance")),
                &[
                    "servers[0].context.instance_header: is no name of a header such as `x-agent-instance`",
                ],
            ),
            (
                "/servers/0/context/instance_header",
                Some(json!("X-Countersign-Agent")),
                &["servers[0].context.instance_header: says something else; choose another header"],
            ),
        ],
    );
}

#[test]
fn what_is_wrong_with_policies_is_told_in_them() {
    let at = |member: &str| format!("{WIKI}/{member}");
    let [tools, context, methods, delegation] =
        ["tools", "context", "methods", "delegation"].map(at);
    let place = "policies.next.servers[\"https://wiki.example.com/mcp\"]";
    let own = |path: &str, message: &str| format!("{place}.{path}: {message}");
    let rule =
        own("tools.rules[0].agents[0]", "`agents` has no \"indexr\"; did you mean `indexer`?");
    let header = own(
        "context.instance_header",
        "is the server's, whichever policy is in force; leave it out",
    );
    let method = own("methods.allow[0]", "the rules of `tools` decide on it; leave it out here");
    let shape = own("tools", "expected an object, found an array");
    let depth =
        own("delegation.max_depth", "must be at most 16: longer chains are no valid tokens");
    assert_told_of(
        &governed(),
        &[
            (
                &tools,
                Some(json!({ "rules": [{ "names": ["a"], "scopes": [], "agents": ["indexr"] }] })),
                &[&rule],
            ),
            (&tools, Some(json!([])), &[&shape]),
            (&context, Some(json!({ "instance_header": "x-a" })), &[&header]),
            (&methods, Some(json!({ "allow": ["tools/call"] })), &[&method]),
            (&delegation, Some(json!({ "max_depth": 17 })), &[&depth]),
            (
                "/candidate",
                Some(json!("nxt")),
                &["candidate: `policies` has no \"nxt\"; did you mean `next`?"],
            ),
            (
                "/rollback/policy",
                Some(json!("odl")),
                &["rollback.policy: `policies` has no \"odl\"; did you mean `old`?"],
            ),
            (
                "/rollback/until",
                Some(json!("2026-12-01 18:00:00")),
                &["rollback.until: is no time in UTC such as `2026-12-01T18:00:00Z`"],
            ),
            (
                "/rollback/until",
                Some(json!("2026-12-01T18:00:00+01:00")),
                &["rollback.until: is no time in UTC such as `2026-12-01T18:00:00Z`"],
            ),
            ("/rollback/until", None, &["rollback: missing member `until`"]),
            (
                "/policies/next/servers",
                Some(json!({ "https://wiki.example.com/mpc": {} })),
                &[
                    "policies.next.servers[\"https://wiki.example.com/mpc\"]: no server has the `resource` \"https://wiki.example.com/mpc\"; did you mean `https://wiki.example.com/mcp`?",
                ],
            ),
            (
                "/policies/old/agents",
                Some(json!({})),
                &["policies.old.agents: is empty: at least one is needed"],
            ),
            (
                "/policies/old/agents/crawler/match",
                Some(json!(["crawler"])),
                &[
                    "policies.old.agents.crawler.match[0]: is none of `client:…`, `act:…`, `agent:…` and `spiffe://…`; did you mean `client:crawler`?",
                ],
            ),
            (
                "/servers/1/tools/rules/0/agents",
                Some(json!(["indexer"])),
                &["servers[1].tools.rules[0].agents[0]: `policies.old.agents` has no \"indexer\""],
            ),
        ],
    );
}

#[test]
fn what_a_policy_takes_over_is_told_of_once() {
    let document = edited(governed(), "/policies/next/scopes", Some(json!({})));
    let document = edited(document, "/servers/0/rates/0/limit", Some(json!("60")));
    assert_eq!(
        load_value(&document)
            .map(drop)
            .unwrap_err()
            .lines()
            .filter(|l| l.contains("rates"))
            .count(),
        1
    );
}
