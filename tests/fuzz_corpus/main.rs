//! Every input of the fuzzers' corpora, through the same checks, without a fuzzer.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "tests may panic, and say why"
)]

#[path = "../../fuzz/src/lib.rs"]
pub mod checks;

use std::path::Path;

use checks::model::document::scan;
use checks::model::peer::Peer;

/// Runs a target's corpus. It has to hold inputs of both kinds, or its checks say nothing.
fn replay(target: &str, check: fn(&[u8]) -> bool) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let (mut accepted, mut refused) = (0, 0);
    for file in std::fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        // Seen only when the check below panics.
        println!("{}", path.display());
        *if check(&std::fs::read(&path).unwrap()) { &mut accepted } else { &mut refused } += 1;
    }
    println!("{target}: {accepted} accepted, {refused} refused");
    assert!(accepted > 10 && refused > 10);
}

#[test]
fn json_reader() {
    replay("json_reader", checks::json_reader::check);
}

#[test]
fn message_reader() {
    replay("message_reader", checks::message_reader::check);
}

#[test]
fn header_agreement() {
    replay("header_agreement", checks::header_agreement::check);
}

#[test]
fn sse_filter() {
    replay("sse_filter", checks::sse_filter::check);
}

#[test]
fn answer_watch() {
    replay("answer_watch", checks::answer_watch::check);
}

#[test]
fn session_seal() {
    replay("session_seal", checks::session_seal::check);
}

/// The peers are no oracle if nothing deceives them.
#[test]
fn each_peer_is_deceived_by_what_it_stands_for() {
    for (peer, params) in [
        (Peer::LastWins, r#"{"name":"open","name":"secret"}"#),
        (Peer::FirstWins, r#"{"name":"secret","name":"open"}"#),
        (Peer::AnyCase, r#"{"name":"open","NAME":"secret"}"#),
        (Peer::EndsAtNul, r#"{"name":"open","name\u0000":"secret"}"#),
        (Peer::Prototypes, r#"{"__proto__":{"name":"secret"}}"#),
    ] {
        let message = format!(r#"{{"method":"tools/call","params":{params}}}"#);
        let seen = peer.read(&scan(&message).value.unwrap());
        assert_eq!(seen.objects, [("name", "secret".to_owned())], "{peer:?}");
    }
    let task = r#"{"method":"tasks/get","params":{"taskId":"open","task_id":"secret"}}"#;
    let seen = Peer::SnakeCase.read(&scan(task).value.unwrap());
    assert_eq!(seen.objects, [("taskId", "secret".to_owned())]);
}
