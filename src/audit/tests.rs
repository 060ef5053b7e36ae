#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::time::Duration;

use super::*;

/// A record that knows nothing beyond what every record has.
fn bare() -> Record {
    Record {
        time: SystemTime::UNIX_EPOCH,
        decision_id: "d1".to_owned(),
        host_mode: "hold",
        outcome: "deny",
        code: "unknown_server",
        mode: "enforce",
        would_deny: None,
        policy_reason: None,
        refused_by: None,
        reason: None,
        rules: Vec::new(),
        policy_version: "v1".to_owned(),
        rollback: None,
        candidate: None,
        agent: None,
        rate_limit: None,
        caller: None,
        server: None,
        http_method: None,
        method: None,
        object: None,
        claimed: false,
        revision: None,
        session: None,
        scopes_required: Vec::new(),
        exchange: None,
        source: None,
        request_id: None,
        trace_id: None,
        upstream_status: None,
        decision_ms: 1,
        total_ms: 2,
    }
}

#[test]
fn what_is_not_known_is_absent() {
    assert_eq!(
        bare().to_json(),
        concat!(
            r#"{"time":"1970-01-01T00:00:00.000Z","decision_id":"d1","host_mode":"hold","#,
            r#""outcome":"deny","code":"unknown_server","mode":"enforce","policy_version":"v1","#,
            r#""decision_ms":1,"total_ms":2}"#,
        )
    );
}

#[test]
fn a_full_record_as_it_is_shipped() {
    let text = |text| Some(Text::new(text));
    let read = BTreeSet::from(["docs.read".to_owned()]);
    let record = Record {
        time: SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(1_785_196_800_042)).unwrap(),
        outcome: "allow",
        code: "allowed",
        mode: "shadow",
        would_deny: Some("role_missing"),
        policy_reason: Some("role_missing"),
        refused_by: Some("user"),
        reason: text("why"),
        rules: vec!["servers[0].tools.rules[0]".to_owned()],
        caller: Some(Caller {
            subject: Text::new("alice"),
            subject_kind: "user",
            issuer: Text::new("https://idp.example"),
            client_id: Text::new("agent"),
            actors: vec![
                Actor { sub: text("planner"), client_id: None, iss: None },
                Actor { sub: text("ui"), client_id: text("c"), iss: text("https://b.example") },
            ],
            agent_instance: text("i1"),
            agent_version: text("2"),
            token_id: Some("t".to_owned()),
            scopes_presented: list(&read),
            roles: list(&BTreeSet::from(["viewer".to_owned()])),
            tenant: text("t9"),
            acr: text("mfa"),
            workload: text("spiffe://corp.example/bot"),
            sender: Some("dpop"),
            dpop_key: Some("k".to_owned()),
            token_cached: false,
            stale: true,
            introspection: Some("asked"),
        }),
        rollback: Some("before".to_owned()),
        candidate: Some(Candidate {
            policy: "next".to_owned(),
            outcome: "allow",
            code: "allowed",
            change: "would_allow",
        }),
        agent: text("support-bot"),
        rate_limit: Some("agents.support-bot.rate".to_owned()),
        server: Some("https://mcp.example/mcp".to_owned()),
        http_method: text("POST"),
        method: text("tools/call"),
        object: Some(Object { kind: "tool", name: Text::new("search") }),
        revision: text("2026-07-28"),
        session: Some("s".to_owned()),
        scopes_required: list(&read),
        exchange: Some(Exchange {
            name: "docs-api".to_owned(),
            outcome: "exchanged",
            scopes_asked: list(&read),
            scopes_granted: Some(list(&read)),
            credential: Some("c".to_owned()),
        }),
        source: text("192.0.2.1:4711"),
        request_id: text("r1"),
        trace_id: text("t1"),
        upstream_status: Some(200),
        ..bare()
    };
    assert_eq!(
        record.to_json(),
        concat!(
            r#"{"time":"2026-07-28T00:00:00.042Z","decision_id":"d1","host_mode":"hold","#,
            r#""outcome":"allow","code":"allowed","mode":"shadow","#,
            r#""would_deny":"role_missing","policy_reason":"role_missing","refused_by":"user","#,
            r#""reason":"why","rules":["servers[0].tools.rules[0]"],"policy_version":"v1","#,
            r#""rollback":"before","candidate":{"policy":"next","outcome":"allow","#,
            r#""code":"allowed","change":"would_allow"},"agent":"support-bot","#,
            r#""rate_limit":"agents.support-bot.rate","#,
            r#""subject":"alice","subject_kind":"user","issuer":"https://idp.example","#,
            r#""client_id":"agent","actors":[{"sub":"planner"},"#,
            r#"{"sub":"ui","client_id":"c","iss":"https://b.example"}],"#,
            r#""agent_instance":"i1","agent_version":"2","token_id":"t","#,
            r#""scopes_presented":["docs.read"],"roles":["viewer"],"tenant":"t9","acr":"mfa","#,
            r#""workload":"spiffe://corp.example/bot","#,
            r#""sender":"dpop","dpop_key":"k","token_cached":false,"stale":true,"#,
            r#""introspection":"asked","#,
            r#""server":"https://mcp.example/mcp","http_method":"POST","method":"tools/call","#,
            r#""object":{"kind":"tool","name":"search"},"revision":"2026-07-28","session":"s","#,
            r#""scopes_required":["docs.read"],"exchange":{"name":"docs-api","#,
            r#""outcome":"exchanged","scopes_asked":["docs.read"],"#,
            r#""scopes_granted":["docs.read"],"credential":"c"},"source":"192.0.2.1:4711","request_id":"r1","#,
            r#""trace_id":"t1","upstream_status":200,"decision_ms":1,"total_ms":2}"#,
        )
    );
}

/// That nothing was granted is another thing than that nobody knows.
#[test]
fn an_exchange_says_what_is_known_of_it() {
    let exchange = |outcome, scopes_granted| {
        let name = "docs-api".to_owned();
        let scopes_asked = Vec::new();
        let exchange = Exchange { name, outcome, scopes_asked, scopes_granted, credential: None };
        let record = Record { exchange: Some(exchange), ..bare() }.to_json();
        let value: serde_json::Value = serde_json::from_str(&record).unwrap();
        value.get("exchange").unwrap().to_string()
    };
    assert_eq!(exchange("injected", None), r#"{"name":"docs-api","outcome":"injected"}"#);
    assert_eq!(
        exchange("exchange_scope_refused", Some(Vec::new())),
        r#"{"name":"docs-api","outcome":"exchange_scope_refused","scopes_granted":[]}"#
    );
}

#[test]
fn a_record_is_one_line_whatever_a_caller_sends() {
    let record = Record { method: Some(Text::new("a\r\n{\"\0\u{2028}")), ..bare() };
    let json = record.to_json();
    assert!(!json.contains(['\r', '\n', '\0']));
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value.get("method"), Some(&serde_json::json!("a\r\n{\"\0\u{2028}")));
}

#[test]
fn a_record_does_not_grow_with_what_a_caller_sends() {
    assert_eq!(Text::new(&"é".repeat(MAX_TEXT)), Text("é".repeat(MAX_TEXT)));
    let long = "é".repeat(MAX_TEXT.saturating_add(1));
    assert_eq!(Text::new(&long), Text(format!("{}…", "é".repeat(MAX_TEXT))));

    let many: BTreeSet<String> =
        (0..MAX_ENTRIES.saturating_add(1)).map(|number| format!("s{number}")).collect();
    assert_eq!(list(&many).len(), MAX_ENTRIES);
}

#[test]
fn digests_are_sha_256_in_hex() {
    assert_eq!(digest(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
