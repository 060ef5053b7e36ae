//! The `countersign` command.

use std::io::Write;
use std::process::{Command, Stdio};

use countersign::config::{load, schema};
use serde_json::json;

use crate::support::{edited, full, minimal, secrets};

/// Runs the command on the document; its exit status, output and error output.
fn countersign(arguments: &[&str], stdin: &str) -> (Option<i32>, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input closes it: not what is tested.
    drop(child.stdin.take().unwrap().write_all(stdin.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

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
    for arguments in [
        &[][..],
        &["check"],
        &["chekc", "-"],
        &["check", "--fix", "-"],
        &["check", "--environment"],
        &["schema", "x"],
    ] {
        assert_eq!(countersign(arguments, ""), (Some(2), String::new(), help.clone()));
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
