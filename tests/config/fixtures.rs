//! `countersign test`.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{countersign, edited, minimal};

/// A fixture that passes, in a folder of the test's own with its configuration.
fn fixture() -> Value {
    json!({
        "config": "config.json",
        "callers": {
            "alice": { "issuer": "corp", "claims": { "sub": "alice", "client_id": "a", "scope": "r" } }
        },
        "cases": [
            { "caller": "alice", "do": "ping", "expect": "allow" },
            {
                "caller": "alice", "do": "tools/call get_a",
                "expect": {
                    "outcome": "allow", "rules": ["servers[0].tools.rules[0]"], "scopes": ["r"],
                    "exchange": { "name": "docs", "scopes": ["r"] }
                }
            },
            {
                "caller": "alice", "do": { "method": "tools/call", "name": "put" },
                "expect": { "outcome": "deny", "exchange": "none" }
            }
        ],
        "lists": [{ "caller": "alice", "tools": { "shows": ["get_a"], "hides": ["put"] } }]
    })
}

/// One, for the server.
fn exchanges() -> Value {
    json!({ "docs": {
        "profile": "token_exchange", "uri": "https://idp.example.com/token", "cluster": "idp",
        "client": { "method": "injected" }, "audience": ["docs"]
    } })
}

fn folder(test: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test);
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).unwrap();
    let rules = json!({ "rules": [
        { "names": ["get_*"], "scopes": ["r"] }, { "names": ["put"], "scopes": ["w"] }
    ] });
    let config = edited(minimal(), "/servers/0/tools", Some(rules));
    let config = edited(config, "/exchanges", Some(exchanges()));
    let config = edited(config, "/servers/0/exchange", Some(json!("docs")));
    let config = edited(config, "/host_mode", Some(json!("hold")));
    let methods = json!(["ping", "tools/list"]);
    let config = edited(config, "/servers/0/methods/allow", Some(methods));
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    folder
}

/// Runs a fixture.
fn test(name: &str, fixture: &Value) -> (Option<i32>, String, String) {
    let path = folder(name).join("a.test.json");
    fs::write(&path, fixture.to_string()).unwrap();
    countersign(&["test", path.to_str().unwrap()], "")
}

#[test]
fn what_is_as_expected_passes() {
    let (code, out, err) = test("passes", &fixture());
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.ends_with("a.test.json: 4 of 4 passed\n4 tests, 0 failed\n"), "{out}");
}

/// Every expectation can fail.
#[test]
fn what_is_not_as_expected_fails_and_is_told() {
    for (pointer, value, told) in [
        ("/cases/0/expect", json!("deny"), "outcome    expected \"deny\", got \"allow\""),
        ("/cases/2/expect", json!("allow"), "outcome    expected \"allow\", got \"deny\""),
        (
            "/cases/2/expect",
            json!({ "outcome": "deny", "reason": "no_rule" }),
            "reason     expected \"no_rule\", got \"scope_missing\"",
        ),
        (
            "/cases/2/expect",
            json!({ "outcome": "deny", "side": "agent" }),
            "side       expected \"agent\", got \"user\"",
        ),
        (
            "/cases/2/expect",
            json!({ "outcome": "deny", "mode": "shadow" }),
            "mode       expected \"shadow\", got \"enforce\"",
        ),
        (
            "/cases/2/expect",
            json!({ "outcome": "deny", "status": 200 }),
            "status     expected 200, got 403",
        ),
        (
            "/cases/2/expect",
            json!({ "outcome": "deny", "challenge": "invalid_token" }),
            "challenge  expected \"invalid_token\", got \"insufficient_scope\"",
        ),
        ("/cases/1/expect/agent", json!("bot"), "agent      expected \"bot\", got null"),
        ("/cases/1/expect/policy", json!("old"), "policy     expected \"old\", got null"),
        ("/cases/1/expect/candidate", json!("deny"), "candidate  expected \"deny\", got null"),
        ("/cases/1/expect/status", json!(200), "status     expected 200, got null"),
        (
            "/cases/1/expect/rules",
            json!([]),
            "rules      expected [], got [\"servers[0].tools.rules[0]\"]",
        ),
        ("/cases/1/expect/scopes", json!(["w"]), "scopes     expected [\"w\"], got [\"r\"]"),
        (
            "/cases/1/expect/exchange",
            json!({ "name": "wiki" }),
            "exchange   expected \"wiki\", got \"docs\"",
        ),
        (
            "/cases/1/expect/exchange/scopes",
            json!(["w"]),
            "exchange scopes expected [\"w\"], got [\"r\"]",
        ),
        (
            "/cases/2/expect",
            json!({ "outcome": "deny", "exchange": { "name": "docs" } }),
            "exchange   expected \"docs\", got null",
        ),
        ("/cases/1/expect/exchange", json!("none"), "exchange   expected null, got \"docs\""),
        ("/lists/0/tools/shows/0", json!("put"), "tools/list does not show put"),
        ("/lists/0/tools/hides/0", json!("get_b"), "tools/list shows get_b"),
        (
            "/lists/0/prompts",
            json!({ "shows": ["greeting"] }),
            "prompts/list does not show greeting",
        ),
    ] {
        let (code, out, err) = test("fails", &edited(fixture(), pointer, Some(value)));
        assert_eq!((code, err.as_str()), (Some(1), ""), "{pointer}: {out}");
        assert!(out.contains(&format!("\n    {told}\n")), "{pointer}: {out}");
        // The explanation beneath.
        assert!(out.contains("\n      decision    "), "{pointer}: {out}");
        assert!(out.ends_with("4 tests, 1 failed\n"), "{pointer}: {out}");
    }
}

/// A fixture that means nothing must not pass.
#[test]
fn what_tests_nothing_is_an_error() {
    for (pointer, value, told) in [
        ("/case", Some(json!([])), "case: unknown member `case`; did you mean `cases`?"),
        ("/cases/0/expects", Some(json!("allow")), "cases[0].expects: unknown member `expects`"),
        ("/cases/0/expect", None, "cases[0]: missing member `expect`"),
        (
            "/cases/0/expect",
            Some(json!("alow")),
            "cases[0].expect: is `allow`, `deny` or an object",
        ),
        (
            "/cases/1/expect/reasons",
            Some(json!([])),
            "cases[1].expect.reasons: unknown member `reasons`; did you mean `reason`?",
        ),
        (
            "/cases/1/expect/exchange",
            Some(json!("docs")),
            "cases[1].expect.exchange: is `none` or an object, not \"docs\"",
        ),
        ("/cases/0/caller", Some(json!("bob")), "cases[0].caller: no caller is named \"bob\""),
        ("/cases/0/server", Some(json!("x")), "cases[0].server: no server is named \"x\""),
        ("/cases/0/do", Some(json!("ping x")), "cases[0].do: `ping` takes no name; use `params`"),
        (
            "/cases/2/do/params",
            Some(json!({ "name": "put" })),
            "cases[2].do: has `params` and a name; one of them is enough",
        ),
        ("/callers/alice/issuer", Some(json!("x")), "callers.alice.issuer: no issuer is named"),
        ("/lists/0/tools", None, "lists[0]: names no entry of any list: it tests nothing"),
        ("/now", Some(json!("noon")), "now: is no time such as 2026-12-01T18:00:00Z"),
    ] {
        let (code, out, err) = test("nothing", &edited(fixture(), pointer, value));
        assert_eq!(code, Some(2), "{pointer}: {out}");
        assert!(err.contains(&format!("a.test.json: {told}")), "{pointer}: {err}");
        assert_eq!(out, "0 tests, 0 failed; files that could not be used: 1\n");
    }
    let empty = edited(edited(fixture(), "/cases", None), "/lists", None);
    let (code, _, err) = test("nothing", &empty);
    assert_eq!(code, Some(2));
    assert!(err.contains("has neither `cases` nor `lists`: it tests nothing"), "{err}");
    let (code, _, err) = test("nothing", &edited(fixture(), "/config", Some(json!("x.json"))));
    assert!(code == Some(2) && err.contains("x.json: No such file"), "{err}");
}

#[test]
fn folders_are_searched_for_fixtures() {
    let folder = folder("folders");
    let run = || countersign(&["test", folder.to_str().unwrap()], "");
    let (code, _, err) = run();
    assert_eq!(code, Some(2));
    assert!(err.ends_with("has no files *.test.json\n"), "{err}");
    let inner = edited(fixture(), "/config", Some(json!("../config.json")));
    for name in ["b", ".hidden", "node_modules"] {
        fs::create_dir(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("b.test.json"), inner.to_string()).unwrap();
    }
    fs::write(folder.join("a.test.json"), fixture().to_string()).unwrap();
    let (code, out, err) = run();
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert_eq!(out.matches("4 of 4 passed").count(), 2, "{out}");
}

/// Jenkins and GitLab read `testsuite`, `testcase`, `failure` and `error`.
#[test]
fn results_are_written_as_junit_xml() {
    let folder = folder("junit");
    let failing = edited(fixture(), "/cases/0/expect", Some(json!("deny")));
    let failing = edited(failing, "/cases/0/name", Some(json!("<a & \"b\">\u{1}")));
    fs::write(folder.join("a.test.json"), failing.to_string()).unwrap();
    fs::write(folder.join("b.test.json"), "{}").unwrap();
    let report = folder.join("report.xml");
    let arguments = ["test", "--junit", report.to_str().unwrap(), folder.to_str().unwrap()];
    let (code, ..) = countersign(&arguments, "");
    assert_eq!(code, Some(2));
    let report = fs::read_to_string(report).unwrap();
    assert!(report.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n"));
    assert!(report.ends_with("</testsuites>\n"));
    for expected in [
        "tests=\"4\" failures=\"1\" errors=\"0\"",
        "tests=\"1\" failures=\"0\" errors=\"1\"",
        "name=\"&lt;a &amp; &quot;b&quot;&gt;\u{fffd}\"",
        "<failure message=\"outcome    expected &quot;deny&quot;, got &quot;allow&quot;\">",
        "<error message=\"could not be used\">",
        "b.test.json: missing member `config`",
    ] {
        assert!(report.contains(expected), "{expected}: {report}");
    }
}
