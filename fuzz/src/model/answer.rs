//! What a reader who may use nothing secret is told of an answer.

use std::time::Duration;

use countersign::mcp::{Asked, Feature};

use super::document::Node;
use super::peer::Peer;

/// How long the reader's token is still good.
pub const TOKEN_LIFE: Duration = Duration::from_secs(60);

/// Each list and what names its entries.
const LISTS: [(&str, &str); 5] = [
    ("tools", "name"),
    ("prompts", "name"),
    ("resources", "uri"),
    ("resourceTemplates", "uriTemplate"),
    ("tasks", "taskId"),
];

/// Whether anything that a feature is for is allowed here.
pub fn offers(feature: Feature) -> bool {
    !matches!(feature, Feature::Prompts | Feature::Completions | Feature::TasksList)
}

/// Whether a message is the answer to a list request, to any of the peers.
pub fn holds_a_list(message: &Node) -> bool {
    Peer::ALL.iter().any(|peer| !lists(*peer, message).is_empty())
}

/// Asserts that no peer finds anything secret in a list, nor one that others may keep.
pub fn shows_nothing_secret(message: &Node) {
    for peer in Peer::ALL {
        for (list, name) in lists(peer, message) {
            for entry in list.as_array().unwrap_or_default() {
                let name = peer.get(entry, name).and_then(Node::as_str).unwrap_or_default();
                assert!(!name.contains("secret"), "{peer:?} is shown {name:?}");
            }
            let result = peer.get(message, "result");
            let scope = result.and_then(|result| peer.get(result, "cacheScope"));
            assert!(scope.is_none_or(|scope| scope.as_str() == Some("private")), "{peer:?}");
        }
    }
}

fn lists(peer: Peer, message: &Node) -> Vec<(&Node, &'static str)> {
    let Some(result) = peer.get(message, "result") else { return Vec::new() };
    LISTS.iter().filter_map(|(list, name)| Some((peer.get(result, list)?, *name))).collect()
}

/// The message as it should arrive.
pub fn filtered(_asked: Option<Asked>, message: &Node) -> Node {
    let mut message = message.clone();
    let Some(result) = member(&mut message, "result") else { return message };
    let mut holds_a_list = false;
    for (list, name) in LISTS {
        let Some(Node::Array(entries)) = member(result, list) else { continue };
        holds_a_list = true;
        entries.retain(|entry| {
            let name = Peer::LastWins.get(entry, name).and_then(Node::as_str);
            name.is_some_and(|name| !name.contains("secret"))
        });
    }
    if let (true, Some(scope)) = (holds_a_list, member(result, "cacheScope")) {
        *scope = Node::String("private".to_owned());
    }
    message
}

fn member<'n>(node: &'n mut Node, name: &str) -> Option<&'n mut Node> {
    let Node::Object(members) = node else { return None };
    members.iter_mut().find(|(member, _)| member == name).map(|(_, value)| value)
}
