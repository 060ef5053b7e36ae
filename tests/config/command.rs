//! The `countersign` command.

use countersign::config::{load, schema};
use serde_json::json;

use crate::support::{countersign, edited, full, minimal, secrets};

#[test]
fn the_command_checks_documents() {
    let good = minimal().to_string();
    let version = load(good.as_bytes(), &secrets()).unwrap().version;
    let ok = format!("-: ok (issuers: 1, servers: 1, version {version})\n");
    assert_eq!(countersign(&["check", "-"], &good), (Some(0), ok, String::new()));

    let bad = edited(minimal(), "/servers/0/issuers", Some(json!(["crop"]))).to_string();
    let (code, out, err) = countersign(&["check", "/nonexistent", "-"], &bad);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.starts_with("/nonexistent: "), "{err}");
    let told = "-: servers[0].issuers[0]: no issuer is named \"crop\"; did you mean `corp`?\n";
    assert!(err.contains(told), "{err}");

    let odd = edited(minimal(), "/servers/0/methods", Some(json!({ "allow": [] }))).to_string();
    let (code, out, err) = countersign(&["check", "-"], &odd);
    assert!(code == Some(0) && out.starts_with("-: ok"), "{out}");
    assert!(err.starts_with("-: warning: servers[0]: permits nothing"), "{err}");
}

#[test]
fn the_command_tells_how_it_is_used() {
    assert_eq!(countersign(&["schema"], ""), (Some(0), schema(), String::new()));
    let (code, help, _) = countersign(&["--help"], "");
    assert!(code == Some(0) && help.contains("countersign check [--environment] FILE"));
    for (arguments, why) in [
        (&[][..], "a command is needed"),
        (&["check"], "a file to check is needed"),
        (&["chekc", "-"], "no command is named `chekc`"),
        (&["check", "--fix", "-"], "invalid option '--fix'"),
        (&["check", "--environment"], "a file to check is needed"),
        (&["schema", "x"], "unexpected argument \"x\""),
        (&["schema", "--format", "html"], "cannot parse argument \"html\": json or markdown"),
        (&["explain", "--config", "a", "--method", "ping"], "--caller is needed"),
        (&["explain", "--config"], "missing argument for option '--config'"),
        (&["test"], "a fixture, or a folder of them, is needed"),
        (&["test", "--junit", "x"], "a fixture, or a folder of them, is needed"),
    ] {
        let told = format!("countersign: {why}\n\n{help}");
        assert_eq!(countersign(arguments, ""), (Some(2), String::new(), told));
    }
}

#[test]
fn the_command_reads_secrets_only_when_it_is_told_to() {
    let document = full().to_string();
    let (code, out, _) = countersign(&["check", "-"], &document);
    assert_eq!(code, Some(0));
    let told = "; not checked: the values of CORP_SECRET, NONCE_KEY, OLD_SESSION_KEY, PARTNER_KEY, SESSION_KEY\n";
    assert!(out.ends_with(told), "{out}");

    let (code, out, err) = countersign(&["check", "--environment", "-"], &document);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    for line in err.lines().filter(|line| !line.contains("warning")) {
        assert!(line.contains("the environment of the filter has no `"), "{line}");
    }
    assert_eq!(err.lines().count(), 5, "{err}");
}
