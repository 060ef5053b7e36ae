//! Tokens of a good issuer that say absurd things: refused, and the worker goes on.

use crate::callers::{assert_passed, assert_stopped, call, policed};
use crate::host::Vm;
use crate::support::{MODES, assert_serves, record};

use serde_json::{Value, json};

/// `act` of so many actors.
fn chain(actors: usize) -> Value {
    let outermost = json!({ "sub": "a" });
    (1..actors).fold(outermost, |prior, _| json!({ "sub": "a", "act": prior }))
}

fn many(what: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{what}{number}")).collect()
}

/// Claims that no policy gets to see.
fn absurd() -> Vec<Value> {
    let mut absurd = vec![
        json!({ "act": chain(17) }),
        json!({ "act": chain(60) }),
        json!({ "act": chain(1_000) }),
        json!({ "act": { "sub": "a".repeat(5_000) } }),
        json!({ "scope": many("s", 257).join(" ") }),
        json!({ "scope": many("s", 10_000).join(" ") }),
        json!({ "roles": many("r", 10_000) }),
        json!({ "groups": many("g", 257) }),
        json!({ "sub": "a".repeat(3_000) }),
        json!({ "client_id": "a\u{0}b" }),
        json!({ "iat": "yesterday" }),
        json!({ "exp": "tomorrow" }),
        json!({ "idtyp": "both" }),
    ];
    let lists = ["scope", "scp", "roles", "groups", "acrs", "x_servers", "x_agents"];
    let texts = ["sub", "client_id", "jti", "acr", "tid", "x_agent", "x_version", "x_session"];
    for name in lists.into_iter().chain(texts).chain(["act", "may_act", "auth_time", "cnf"]) {
        for wrong in [json!(true), json!([1]), json!([["x"]]), json!([{}])] {
            absurd.push(json!({ name: wrong }));
        }
    }
    for name in texts.into_iter().chain(["act", "may_act", "auth_time", "cnf"]) {
        absurd.push(json!({ name: ["x", "y"] }));
    }
    for wrong in
        [json!("planner"), json!({}), json!({ "sub": 1 }), json!({ "act": { "sub": "a" } })]
    {
        absurd.push(json!({ "act": wrong }));
        absurd.push(json!({ "may_act": wrong }));
    }
    absurd.push(json!({ "act": { "sub": "a", "act": "b" } }));
    absurd.push(json!({ "client_id": null, "azp": ["agent", "other"] }));
    absurd
}

#[test]
fn absurd_claims_are_refused_and_the_worker_is_none_the_worse() {
    for (flag, mode) in MODES {
        let shadow = json!({
            "mode": "shadow",
            "agents": { "any": { "match": ["client:agent"] } },
            "issuers": { "corp": { "claims": {
                "agent": ["x_agent"], "agent_version": ["x_version"], "session": ["x_session"],
                "consented_servers": ["x_servers"], "consented_agents": ["x_agents"],
            } } },
        });
        // Not even in shadow does anybody call in the name of what cannot be read.
        let vm = Vm::with(flag).start(policed(mode, shadow, json!({}))).unwrap();
        for claims in absurd() {
            let stream = call(&vm, claims.clone(), "search");
            let text = claims.to_string();
            let status = stream.downstream().status();
            assert_eq!(
                status,
                Some(401),
                "{}: {:?}",
                &text[..text.len().min(200)],
                stream.downstream()
            );
            assert_stopped(&stream, 401, json!({ "agent": null, "subject": null }));
            assert_serves(&vm);
        }
    }
}

#[test]
fn what_is_large_and_bounded_is_read_whole() {
    for (flag, mode) in MODES {
        let delegation = json!({ "delegation": { "max_depth": 16 } });
        let vm = Vm::with(flag).start(policed(mode, json!({}), delegation)).unwrap();
        let mut scopes = many("s", 255);
        scopes.push("docs.read".to_owned());
        let claims = json!({
            "act": chain(16), "scope": scopes.join(" "),
            "roles": many("r", 256), "groups": many("g", 256),
        });
        let stream = call(&vm, claims, "search");
        assert_passed(&stream, json!({ "code": "allowed" }));
        let record = record(&stream);
        let entries = |name: &str| record[name].as_array().unwrap().len();
        assert_eq!(entries("actors"), 16);
        // The record is bounded too.
        assert_eq!([entries("scopes_presented"), entries("roles")], [64; 2]);
    }
}
