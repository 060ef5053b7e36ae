//! What an issuer's tokens say of who calls: `claims` and `workloads`.

use countersign::token::{ClaimNames, ClaimPath, ValuePattern, WorkloadMark};
use serde_json::{Value, json};

use crate::support::{assert_told, edited, full, load_value};

fn paths(paths: &[&[&str]]) -> Vec<ClaimPath> {
    let nested = |names: &&[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    paths.iter().map(|names| ClaimPath::nested(nested(names))).collect()
}

fn compiled(claims: Value, workloads: Option<Value>) -> ClaimNames {
    let mut document = edited(full(), "/issuers/corp/claims", Some(claims));
    if let Some(workloads) = workloads {
        document = edited(document, "/issuers/corp/workloads", Some(workloads));
    }
    load_value(&document).unwrap().issuers.swap_remove(0).claims
}

#[test]
fn claims_compile_to_where_they_are() {
    let claims = json!({
        "groups": ["groups", "https://example.com/groups"],
        "agent": ["ext.agent"],
        "agent_instance": [["agent.instance"]],
        "agent_version": ["ver", "version"],
        "consented_servers": ["consent.servers"],
        "consented_agents": ["consent.agents"],
        "session": ["mcp_session"],
        "task": ["mcp_task"],
        "instance": ["act.instance"],
    });
    let workloads = json!({ "claim": "ext.kind", "values": ["service", "svc-*", "*"] });
    let expected = ClaimNames {
        groups: paths(&[&["groups"], &["https://example.com/groups"]]),
        agent: paths(&[&["ext", "agent"]]),
        agent_instance: paths(&[&["agent.instance"]]),
        agent_version: paths(&[&["ver"], &["version"]]),
        consented_servers: paths(&[&["consent", "servers"]]),
        consented_agents: paths(&[&["consent", "agents"]]),
        session: paths(&[&["mcp_session"]]),
        task: paths(&[&["mcp_task"]]),
        instance: paths(&[&["act", "instance"]]),
        workload: Some(WorkloadMark {
            claim: paths(&[&["ext", "kind"]]).swap_remove(0),
            values: vec![
                ValuePattern::Exact("service".to_owned()),
                ValuePattern::Prefix("svc-".to_owned()),
                ValuePattern::Prefix(String::new()),
            ],
        }),
        ..ClaimNames::default()
    };
    assert_eq!(compiled(claims, Some(workloads)), expected);
}

#[test]
fn what_is_not_configured_is_not_read() {
    let usual = compiled(json!({}), None);
    assert_eq!(usual, ClaimNames::default());
    assert_eq!(usual.groups, paths(&[&["groups"]]));
    let unsaid = [
        usual.agent,
        usual.agent_instance,
        usual.agent_version,
        usual.consented_servers,
        usual.consented_agents,
        usual.session,
        usual.task,
        usual.instance,
    ];
    assert!(unsaid.iter().all(Vec::is_empty));
    assert_eq!(usual.workload, None);
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_what_to_write() {
    let mark = |claim: Value, values: Value| Some(json!({ "claim": claim, "values": values }));
    let cases: &[(&str, Option<Value>, &[&str])] = &[
        (
            "/issuers/corp/claims/agnet",
            Some(json!(["bot"])),
            &["issuers.corp.claims.agnet: unknown member `agnet`; did you mean `agent`?"],
        ),
        (
            "/issuers/corp/claims/agent",
            Some(json!([])),
            &["issuers.corp.claims.agent: is empty: at least one is needed"],
        ),
        (
            "/issuers/corp/claims/agent",
            Some(json!(["bot", "act.sub", ["act"]])),
            &[
                "issuers.corp.claims.agent[1]: is never used: the current actor of `act` is the agent anyway; leave it out",
                "issuers.corp.claims.agent[2]: is never used: the current actor of `act` is the agent anyway; leave it out",
            ],
        ),
        (
            "/issuers/corp/claims/consented_agents",
            Some(json!(["consent..agents"])),
            &[
                "issuers.corp.claims.consented_agents[0]: has an empty name; write `outer.inner`, or an array of the names",
            ],
        ),
        (
            "/issuers/corp/claims/task",
            Some(json!(["a.b.c.d.e.f.g.h.i"])),
            &["issuers.corp.claims.task[0]: has 9 entries; at most 8 are taken"],
        ),
        (
            "/issuers/corp/claims/session",
            Some(json!("sid")),
            &["issuers.corp.claims.session: expected an array, found a string"],
        ),
        (
            "/issuers/corp/workloads",
            Some(json!({ "claim": "kind" })),
            &["issuers.corp.workloads: missing member `values`"],
        ),
        (
            "/issuers/corp/workloads",
            mark(json!("kind"), json!([])),
            &["issuers.corp.workloads.values: is empty: at least one is needed"],
        ),
        (
            "/issuers/corp/workloads",
            mark(json!(""), json!(["svc-*", "", "a*b", "**", "svc-*"])),
            &[
                "issuers.corp.workloads.values[4]: is given twice",
                "issuers.corp.workloads.values[1]: is empty",
                "issuers.corp.workloads.values[2]: has a `*` that is not its last character",
                "issuers.corp.workloads.values[3]: has a `*` that is not its last character",
                "issuers.corp.workloads.claim: has an empty name; write `outer.inner`, or an array of the names",
            ],
        ),
        (
            "/issuers/corp/workloads",
            Some(json!({ "claim": "kind", "value": ["svc"] })),
            &["issuers.corp.workloads.value: unknown member `value`; did you mean `values`?"],
        ),
    ];
    assert_told(cases);
}
