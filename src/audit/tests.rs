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
        reason: None,
        rules: Vec::new(),
        policy_version: "v1".to_owned(),
        caller: None,
        server: None,
        http_method: None,
        method: None,
        object: None,
        claimed: false,
        revision: None,
        session: None,
        scopes_required: Vec::new(),
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
            r#""outcome":"deny","code":"unknown_server","policy_version":"v1","#,
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
        reason: text("why"),
        rules: vec!["servers[0].tools.rules[0]".to_owned()],
        caller: Some(Caller {
            subject: Text::new("alice"),
            issuer: Text::new("https://idp.example"),
            client_id: Text::new("agent"),
            token_id: Some("t".to_owned()),
            scopes_presented: scopes(&read),
            tenant: text("t9"),
            acr: text("mfa"),
            workload: text("spiffe://corp.example/a"),
            sender: Some("dpop"),
            dpop_key: Some("k".to_owned()),
            token_cached: false,
            stale: true,
            introspection: Some("asked"),
        }),
        server: Some("https://mcp.example/mcp".to_owned()),
        http_method: text("POST"),
        method: text("tools/call"),
        object: Some(Object { kind: "tool", name: Text::new("search") }),
        revision: text("2026-07-28"),
        session: Some("s".to_owned()),
        scopes_required: scopes(&read),
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
            r#""outcome":"allow","code":"allowed","reason":"why","#,
            r#""rules":["servers[0].tools.rules[0]"],"policy_version":"v1","#,
            r#""subject":"alice","issuer":"https://idp.example","client_id":"agent","#,
            r#""token_id":"t","scopes_presented":["docs.read"],"tenant":"t9","acr":"mfa","#,
            r#""workload":"spiffe://corp.example/a","sender":"dpop","dpop_key":"k","#,
            r#""token_cached":false,"stale":true,"#,
            r#""introspection":"asked","#,
            r#""server":"https://mcp.example/mcp","http_method":"POST","method":"tools/call","#,
            r#""object":{"kind":"tool","name":"search"},"revision":"2026-07-28","session":"s","#,
            r#""scopes_required":["docs.read"],"source":"192.0.2.1:4711","request_id":"r1","#,
            r#""trace_id":"t1","upstream_status":200,"decision_ms":1,"total_ms":2}"#,
        )
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
        (0..MAX_SCOPES.saturating_add(1)).map(|number| format!("s{number}")).collect();
    assert_eq!(scopes(&many).len(), MAX_SCOPES);
}

#[test]
fn digests_are_sha_256_in_hex() {
    assert_eq!(digest(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
