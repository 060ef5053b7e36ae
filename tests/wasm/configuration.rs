//! The plugin configuration: what is taken, what is not, and what stays in force.

use crate::host::{HostFlag, Vm};
use crate::support::{
    CALL, MODES, assert_denied, assert_serves, assert_withheld, inline, post, record, remote, send,
    send_headers_that_wait, start, token,
};

use serde_json::{Value, json};

/// Bad configurations with the JSON path an operator must be told.
fn bad() -> [(Value, &'static str); 5] {
    let changed = |pointer: &str, value: Value| {
        let mut document = inline("stream");
        *document.pointer_mut(pointer).unwrap() = value;
        document
    };
    [
        (
            changed("/servers/0/tools/rules/0/scopes", json!("docs.read")),
            "servers[0].tools.rules[0].scopes",
        ),
        (changed("/servers/0/issuers", json!(["crop"])), "servers[0].issuers"),
        (
            changed("/servers/0/resource", json!("http://mcp.example.com/mcp")),
            "servers[0].resource",
        ),
        (changed("/issuers/corp/jwks", json!({})), "issuers.corp.jwks"),
        (changed("/servers/0/tools", json!({ "rulez": [] })), "servers[0].tools"),
    ]
}

#[test]
fn a_good_configuration_is_in_force_in_both_modes() {
    for (flag, mode) in MODES {
        assert_serves(&start(flag, mode));
    }
}

#[test]
fn a_bad_configuration_is_rejected_with_its_json_path() {
    for (document, path) in bad() {
        let rejected = Vm::start(document).err().unwrap();
        let told = |line: &crate::host::LogLine| line.level == 4 && line.message.contains(path);
        assert!(rejected.log.iter().any(told), "{path}: {:?}", rejected.log);
    }
}

#[test]
fn what_is_no_configuration_at_all_is_rejected() {
    for text in ["", "{}", "null", "{\"servers\":", "\0\u{fffd}", &"[".repeat(100_000)] {
        let rejected = Vm::start(text).err();
        assert!(rejected.is_some_and(|r| !r.log.is_empty()), "{:.40}", text);
    }
}

#[test]
fn a_bad_configuration_leaves_the_previous_one_in_force() {
    for (flag, mode) in MODES {
        let vm = start(flag, mode);
        for (document, _) in bad() {
            assert!(!vm.configure(document));
        }
        assert_serves(&vm);
        assert_denied(&send(&vm, post("x.y.z"), CALL), mode, 401);
    }
}

#[test]
fn without_a_configuration_everything_is_denied() {
    for (flag, _) in MODES {
        let vm = Vm::with(flag).start_unconfigured();
        let metadata = [
            (":method", "GET"),
            (":path", "/.well-known/oauth-protected-resource"),
            (":authority", "mcp.example.com"),
        ];
        let streams = [send(&vm, post(&token(&vm, "docs.read")), CALL), vm.stream(), vm.stream()];
        streams[1].request_headers(metadata, true);
        streams[2].request_headers([("", ""); 0], true);
        for stream in streams {
            // Without a mode nothing goes out early either.
            assert_denied(&stream, "hold", 503);
            stream.finish();
            assert_eq!(record(&stream)["code"], "not_configured");
        }
    }
}

#[test]
fn a_stream_that_waits_for_keys_of_a_replaced_configuration_is_denied() {
    for (flag, mode) in MODES {
        let vm = Vm::with(flag).start(remote(mode)).unwrap();
        let stream = send_headers_that_wait(&vm);
        vm.tick();
        let callout = vm.pending_callouts().remove(0);
        assert_withheld(&stream, mode);
        assert!(vm.configure(inline(mode)));
        // Nothing went out although the new configuration would have admitted the token.
        assert_denied(&stream, "hold", 503);
        stream.finish();
        assert_eq!(record(&stream)["code"], "configuration_replaced");
        // The answer to the old configuration's fetch means nothing to the new one.
        vm.answer(&callout, 200, [("a", "b")], crate::support::jwks(&["k1"]));
        assert_serves(&vm);
    }
}

#[test]
fn streams_keep_the_configuration_under_which_they_began() {
    let vm = start(HostFlag::StopIteration, "hold");
    let stream = vm.stream();
    stream.request_headers(post(&token(&vm, "docs.read")), false);
    let mut without_rules = inline("hold");
    without_rules["servers"][0]["tools"]["rules"] = json!([]);
    assert!(vm.configure(without_rules));
    stream.request_body(CALL, true);
    assert!(stream.upstream().ended());
    assert!(send(&vm, post(&token(&vm, "docs.read")), CALL).upstream().is_empty());
}
