//! How clients and servers read a JSON-RPC message once it is parsed.
//!
//! Each [`Peer`] is a habit of real parsers, taken to its end. None of them may see
//! another operation in an accepted message than we did.

use super::document::Node;

/// A way to look a member up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// The last of several members with the name: `JSON.parse`, `json.loads`.
    LastWins,
    /// The first of them: hand-written readers.
    FirstWins,
    /// The last in any letter case, with Unicode's case folding: Go's `encoding/json`,
    /// .NET with `PropertyNameCaseInsensitive` (GHSA-wvj2-96wp-fq3f).
    AnyCase,
    /// The last whose name is the same up to its first U+0000 (GHSA-q382-vc8q-7jhj).
    EndsAtNul,
    /// The member's name in Python, wherever there is one: pydantic's
    /// `populate_by_name`.
    SnakeCase,
    /// A name that is absent is looked for in `__proto__`: JavaScript that copies what it
    /// parsed member by member into another object.
    Prototypes,
}

/// What a peer sees in a message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    /// `method`
    pub method: Option<String>,
    /// `id`, as JSON.
    pub id: Option<String>,
    /// The revision in `params._meta`.
    pub version: Option<String>,
    /// What the operation is about: the member that names it, and the name.
    pub objects: Vec<(&'static str, String)>,
    /// Whether it is an answer.
    pub answers: bool,
}

impl Peer {
    /// All of them.
    pub const ALL: [Peer; 6] = [
        Peer::LastWins,
        Peer::FirstWins,
        Peer::AnyCase,
        Peer::EndsAtNul,
        Peer::SnakeCase,
        Peer::Prototypes,
    ];

    /// The member that this peer takes for `name`.
    pub fn get<'n>(self, node: &'n Node, name: &str) -> Option<&'n Node> {
        let Node::Object(members) = node else { return None };
        let last = |is_it: &dyn Fn(&str) -> bool| {
            members.iter().rev().find(|(member, _)| is_it(member)).map(|(_, value)| value)
        };
        match self {
            Peer::LastWins => last(&|member| member == name),
            Peer::FirstWins => {
                members.iter().find(|(member, _)| member == name).map(|(_, value)| value)
            }
            Peer::AnyCase => last(&|member| is_same_but_for_case(member, name)),
            Peer::EndsAtNul => last(&|member| member.split('\0').next() == Some(name)),
            Peer::SnakeCase => {
                last(&|member| member == in_python(name)).or_else(|| last(&|member| member == name))
            }
            Peer::Prototypes => last(&|member| member == name)
                .or_else(|| self.get(last(&|member| member == "__proto__")?, name)),
        }
    }

    /// Reads a message.
    pub fn read(self, message: &Node) -> Seen {
        let text = |node: Option<&Node>| node.and_then(Node::as_str).map(str::to_owned);
        let method = text(self.get(message, "method"));
        let params = self.get(message, "params");
        let meta = params.and_then(|params| self.get(params, "_meta"));
        Seen {
            id: self.get(message, "id").map(as_json),
            version: text(
                meta.and_then(|meta| self.get(meta, "io.modelcontextprotocol/protocolVersion")),
            ),
            objects: match (method.as_deref(), params) {
                (Some(method), Some(params)) => self.objects(method, params),
                _ => Vec::new(),
            },
            answers: ["result", "error"].iter().any(|name| self.get(message, name).is_some()),
            method,
        }
    }

    fn objects(self, method: &str, params: &Node) -> Vec<(&'static str, String)> {
        let named = |within: Option<&Node>, name: &'static str| {
            let value = within.and_then(|within| self.get(within, name)).and_then(Node::as_str);
            value.map(|value| (name, value.to_owned())).into_iter().collect()
        };
        match method {
            "tools/call" | "prompts/get" => named(Some(params), "name"),
            "resources/read" | "resources/subscribe" | "resources/unsubscribe" => {
                named(Some(params), "uri")
            }
            "tasks/get" | "tasks/result" | "tasks/cancel" | "tasks/update" => {
                named(Some(params), "taskId")
            }
            "completion/complete" => {
                let reference = self.get(params, "ref");
                let of = reference.and_then(|reference| self.get(reference, "type"));
                match of.and_then(Node::as_str) {
                    Some("ref/prompt") => named(reference, "name"),
                    Some("ref/resource") => named(reference, "uri"),
                    _ => Vec::new(),
                }
            }
            "subscriptions/listen" => {
                let wanted = self.get(params, "notifications");
                let entries = |name: &'static str| {
                    let list = wanted.and_then(|wanted| self.get(wanted, name));
                    let entries = list.and_then(Node::as_array).unwrap_or_default();
                    entries.iter().filter_map(Node::as_str).map(move |uri| (name, uri.to_owned()))
                };
                entries("resourceSubscriptions").chain(entries("taskIds")).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Some libraries compare what becomes of both in upper case, others in lower case.
fn is_same_but_for_case(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase() || one.to_uppercase() == other.to_uppercase()
}

/// The attribute of the Python SDK's model for a member.
fn in_python(name: &str) -> String {
    let mut attribute = String::new();
    for c in name.trim_start_matches('_').chars() {
        if c.is_ascii_uppercase() {
            attribute.push('_');
        }
        attribute.push(c.to_ascii_lowercase());
    }
    attribute
}

fn as_json(node: &Node) -> String {
    match node {
        Node::String(text) => serde_json::Value::from(text.as_str()).to_string(),
        Node::Number(text) => text.clone(),
        other => format!("{other:?}"),
    }
}
