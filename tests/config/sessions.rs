//! What is said of sessions and tasks.

use countersign::gate::TaskBinding;
use countersign::mcp::SealKey;
use serde_json::json;

use crate::support::{assert_told, edited, full, load_value, load_with, minimal, secrets_with};

#[test]
fn sessions_and_tasks_compile_to_what_is_said() {
    let loaded = load_value(&full()).unwrap();
    let keys = [1, 2].map(|byte| SealKey::new(vec![byte; 32]).unwrap());
    assert_eq!(loaded.enforcement.session_keys, keys, "the first one seals");
    let swapped = json!([{ "env": "OLD_SESSION_KEY" }, { "env": "SESSION_KEY" }]);
    let loaded = load_value(&edited(full(), "/session_keys", Some(swapped))).unwrap();
    assert_eq!(loaded.enforcement.session_keys, [&keys[1], &keys[0]].map(Clone::clone));

    for (binding, expected) in [("proxy", TaskBinding::Proxy), ("upstream", TaskBinding::Upstream)]
    {
        let document = edited(full(), "/servers/0/tasks/binding", Some(json!(binding)));
        let servers = load_value(&document).unwrap().enforcement.servers;
        assert_eq!(
            [servers[0].task_binding, servers[1].task_binding],
            [expected, TaskBinding::Proxy]
        );
    }
}

#[test]
fn without_a_word_the_proxy_seals_with_its_own_key_and_binds_tasks() {
    let loaded = load_value(&minimal()).unwrap();
    assert_eq!(loaded.enforcement.session_keys, []);
    assert_eq!(loaded.enforcement.servers[0].task_binding, TaskBinding::Proxy);
}

#[test]
fn session_keys_are_never_repeated() {
    for key in ["AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg", "s3cret!"] {
        let told = load_with(&full(), &secrets_with("SESSION_KEY", key)).map(drop).unwrap_err();
        assert_eq!(
            told,
            "session_keys[0]: the value of `SESSION_KEY` is not base64 of at least 32 bytes; `openssl rand -base64 32` makes a key"
        );
    }
    let shown = format!("{:?}", load_value(&full()).unwrap().enforcement);
    assert!(shown.contains("session_keys: [SealKey(..), SealKey(..)]"), "{shown}");
}

#[test]
fn what_is_wrong_with_sessions_and_tasks_is_told() {
    assert_told(&[
        (
            "/session_keys",
            Some(json!("SESSION_KEY")),
            &["session_keys: expected an array, found a string"],
        ),
        ("/session_keys", Some(json!([{}])), &["session_keys[0]: missing member `env`"]),
        (
            "/session_keys",
            Some(json!([{ "env": "s3cret" }])),
            &[
                "session_keys[0].env: is no name of a variable: 1 to 128 capital letters, digits and `_`",
            ],
        ),
        (
            "/session_keys",
            Some(json!([{ "env": "NO_KEY" }])),
            &[
                "session_keys[0]: the environment of the filter has no `NO_KEY`, or an empty one; set it in `vm_config.environment_variables`",
            ],
        ),
        (
            "/session_keys",
            Some(json!([{ "env": "NONCE_KEY" }, { "env": "SESSION_KEY" }, { "env": "SAME_KEY" }])),
            &["session_keys[2]: is given twice"],
        ),
        (
            "/servers/0/tasks",
            Some(json!("proxy")),
            &["servers[0].tasks: expected an object, found a string"],
        ),
        ("/servers/0/tasks", Some(json!({})), &["servers[0].tasks: missing member `binding`"]),
        (
            "/servers/0/tasks/binding",
            Some(json!("server")),
            &["servers[0].tasks.binding: unknown value `server`; known are proxy, upstream"],
        ),
        (
            "/servers/0/tasks/owner",
            Some(json!("proxy")),
            &["servers[0].tasks.owner: unknown member `owner`; known are binding"],
        ),
    ]);
    let many = json!(vec![json!({ "env": "SESSION_KEY" }); 5]);
    let told = load_value(&edited(full(), "/session_keys", Some(many))).map(drop).unwrap_err();
    assert!(told.starts_with("session_keys: has 5 entries; at most 4 are taken"), "{told}");
}
