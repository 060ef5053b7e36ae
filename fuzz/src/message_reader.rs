//! `mcp::read_message`: what is accepted is one operation to everybody.
//!
//! The input is a body. The headers are those of a client that means what it says, so
//! that messages of both eras come through; `header_agreement` is about the other ones.

use countersign::mcp::{
    Era, MODERN_VERSION, Message, Operation, Refusal, StandardHeaders, Target, read_message,
};

use super::model::document::{Node, scan};
use super::model::peer::{Peer, Seen};

/// Checks one body.
pub fn check(data: &[u8]) -> bool {
    let node = std::str::from_utf8(data).ok().and_then(|text| scan(text).value);
    let seen = node.as_ref().map(|node| Peer::LastWins.read(node)).unwrap_or_default();
    let name = seen.objects.first().map(|(_, name)| name.as_str());
    let mirrored = StandardHeaders {
        protocol_version: seen.version.as_deref(),
        method: seen.method.as_deref(),
        name: name.filter(|_| is_mirrored(seen.method.as_deref())),
        session: !seen.answers,
        ..StandardHeaders::default()
    };
    let in_session = StandardHeaders { session: true, ..StandardHeaders::default() };
    let mut accepted = false;
    for headers in [mirrored, in_session, StandardHeaders::default()] {
        let read = read_message(data, &headers);
        assert_eq!(read, read_message(data, &headers), "read otherwise the second time");
        match (&read, &node) {
            (Ok(message), Some(node)) => {
                accepted = true;
                agrees(message, node);
                if let Message::Response { .. } = message {
                    assert!(headers.session, "an answer without a session");
                }
                let rewritten = rewrite(data);
                assert_eq!(read_message(&rewritten, &headers), read, "read otherwise rewritten");
            }
            (Ok(_), None) => panic!("accepted what is not JSON"),
            (Err(refusal), node) => tells_nothing_wrong(refusal, node.as_ref()),
        }
    }
    accepted
}

/// Whether `Mcp-Name` mirrors the object of a method.
pub(crate) fn is_mirrored(method: Option<&str>) -> bool {
    !matches!(method, Some("completion/complete" | "subscriptions/listen") | None)
}

/// Asserts that every peer sees in `node` what we read.
pub(crate) fn agrees(message: &Message, node: &Node) {
    let ours = as_seen(message);
    for peer in Peer::ALL {
        assert_eq!(peer.read(node), ours, "{peer:?}");
    }
}

fn as_seen(message: &Message) -> Seen {
    let id = |id| serde_json::to_string(id).ok();
    match message {
        Message::Request { id: of, era, operation } => {
            Seen { id: id(of), ..called(*era, operation) }
        }
        Message::Notification { era, operation } => called(*era, operation),
        Message::Response { id: of } => Seen { id: id(of), answers: true, ..Seen::default() },
    }
}

fn called(era: Era, operation: &Operation) -> Seen {
    let objects = match &operation.target {
        Target::None => Vec::new(),
        Target::Tool(name) | Target::Prompt(name) => vec![("name", name.clone())],
        Target::Resource(uri) | Target::ResourceTemplate(uri) => vec![("uri", uri.clone())],
        Target::Task(id) => vec![("taskId", id.clone())],
        Target::Subscription { resources, tasks } => {
            let resources = resources.iter().map(|uri| ("resourceSubscriptions", uri.clone()));
            resources.chain(tasks.iter().map(|id| ("taskIds", id.clone()))).collect()
        }
    };
    Seen {
        method: Some(operation.method.clone()),
        version: (era == Era::Modern).then(|| MODERN_VERSION.to_owned()),
        objects,
        ..Seen::default()
    }
}

/// What a proxy makes of it that parses and writes again, with the members in another order.
fn rewrite(data: &[u8]) -> Vec<u8> {
    let value = serde_json::from_slice::<serde_json::Value>(data);
    value.ok().and_then(|value| serde_json::to_vec(&value).ok()).unwrap_or_default()
}

/// A refusal may echo an id: then it is the one that every peer would answer.
fn tells_nothing_wrong(refusal: &Refusal, node: Option<&Node>) {
    let code = refusal.reason.json_rpc_code();
    assert!([-32700, -32600, -32601, -32602, -32020, -32022].contains(&code), "{code}");
    let Some(id) = refusal.id.as_ref().and_then(|id| serde_json::to_string(id).ok()) else {
        return;
    };
    for peer in Peer::ALL {
        let seen = node.and_then(|node| peer.read(node).id);
        assert_eq!(seen.as_ref(), Some(&id), "{peer:?}");
    }
}
