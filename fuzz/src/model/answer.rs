//! What a reader who may use nothing secret is told of an answer.

use std::time::Duration;

use countersign::mcp::{Asked, Feature, SUPPORTED_VERSIONS};

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
    !matches!(feature, Feature::Tools | Feature::Completions | Feature::TasksList)
}

/// Whether a message is the answer to a list request, to any of the peers.
pub fn holds_a_list(message: &Node) -> bool {
    CLIENTS.iter().any(|peer| !lists(*peer, message).is_empty())
}

/// Asserts that no peer finds anything secret in a list, nor one that others may keep.
pub fn shows_nothing_secret(message: &Node) {
    for peer in CLIENTS {
        for (list, name) in lists(peer, message) {
            for entry in list.as_array().unwrap_or_default() {
                let name = peer.get(entry, name).and_then(Node::as_str).unwrap_or_default();
                assert!(!name.contains("secret"), "{peer:?} is shown {name:?}");
            }
            let result = peer.get(message, "result");
            let scope = result.and_then(|result| peer.get(result, "cacheScope"));
            assert!(scope.is_none_or(|scope| scope.as_str() == Some("private")), "{peer:?}");
            let ttl = result.and_then(|result| peer.get(result, "ttlMs")).map(as_number);
            assert!(ttl.is_none_or(|ttl| ttl.is_some_and(|ttl| ttl <= 60_000.0)), "{peer:?}");
        }
    }
}

/// Clients that copy answers member by member read what the server made them read.
const CLIENTS: [Peer; 5] =
    [Peer::LastWins, Peer::FirstWins, Peer::AnyCase, Peer::EndsAtNul, Peer::SnakeCase];

fn lists(peer: Peer, message: &Node) -> Vec<(&Node, &'static str)> {
    let Some(result) = peer.get(message, "result") else { return Vec::new() };
    LISTS.iter().filter_map(|(list, name)| Some((peer.get(result, list)?, *name))).collect()
}

/// The ids of the tasks that an answer tells of.
pub fn task_ids(message: &Node) -> Vec<&str> {
    let peer = Peer::LastWins;
    let Some(result) = peer.get(message, "result") else { return Vec::new() };
    let told = [Some(result), peer.get(result, "task")];
    let ids = told.into_iter().filter_map(|task| peer.get(task?, "taskId")?.as_str());
    ids.filter(|id| (1..=8 * 1024).contains(&id.len())).collect()
}

/// The message as it should arrive.
pub fn filtered(asked: Option<Asked>, message: &Node) -> Node {
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
    if holds_a_list {
        if let Some(scope) = member(result, "cacheScope") {
            *scope = Node::String("private".to_owned());
        }
        if let Some(ttl) = member(result, "ttlMs") {
            cap(ttl);
        }
    }
    if asked == Some(Asked::Capabilities) {
        announce_what_is_offered(result);
    }
    message
}

fn cap(ttl: &mut Node) {
    let life = TOKEN_LIFE.as_millis();
    match as_number(ttl).filter(|number| *number >= 0.0) {
        Some(number) if number <= TOKEN_LIFE.as_secs_f64() * 1000.0 => {}
        Some(_) => *ttl = Node::Number(life.to_string()),
        None => *ttl = Node::Number("0".to_owned()),
    }
}

fn announce_what_is_offered(result: &mut Node) {
    if let Some(Node::Array(versions)) = member(result, "supportedVersions") {
        versions.retain(|version| {
            version.as_str().is_some_and(|version| SUPPORTED_VERSIONS.contains(&version))
        });
    }
    let Some(capabilities) = member(result, "capabilities") else { return };
    if let Some(tasks) = member(capabilities, "tasks") {
        let requests = member(tasks, "requests");
        if let Some(tools) = requests.and_then(|requests| member(requests, "tools")) {
            remove(tools, &["call"]);
        }
        remove(tasks, &["list"]);
    }
    remove(capabilities, &["tools", "completions"]);
}

fn remove(node: &mut Node, names: &[&str]) {
    if let Node::Object(members) = node {
        members.retain(|(name, _)| !names.contains(&name.as_str()));
    }
}

fn as_number(node: &Node) -> Option<f64> {
    match node {
        Node::Number(text) => text.parse().ok(),
        _ => None,
    }
}

fn member<'n>(node: &'n mut Node, name: &str) -> Option<&'n mut Node> {
    let Node::Object(members) = node else { return None };
    members.iter_mut().find(|(member, _)| member == name).map(|(_, value)| value)
}
