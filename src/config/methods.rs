//! Compiles `methods`: what has no protected object.

use super::compile::Notes;
use super::problem::nearest;
use super::rules;
use crate::policy::Pattern;

/// Methods that reach a protected object, and whose rules decide on them.
const GOVERNED: [(&str, &str); 6] = [
    ("tools/call", "`tools`"),
    ("prompts/get", "`prompts`"),
    ("resources/read", "`resources`"),
    ("resources/subscribe", "`resources`"),
    ("resources/unsubscribe", "`resources`"),
    ("completion/complete", "`prompts` and `resources`"),
];

/// Methods of the MCP revisions that `methods.allow` is for. Others may be named, but one
/// that looks like these is probably mistyped.
const METHODS: [&str; 14] = [
    "initialize",
    "server/discover",
    "ping",
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "subscriptions/listen",
    "logging/setLevel",
    "tasks/get",
    "tasks/list",
    "tasks/result",
    "tasks/cancel",
    "tasks/update",
];

/// The methods without a protected object that a server allows.
pub(super) fn compile(notes: &mut Notes, path: &str, methods: &[String]) -> Vec<Pattern> {
    notes.optional_list(path, methods);
    notes.unique(path, methods);
    let mut patterns = Vec::new();
    for (index, text) in methods.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let Some(pattern) = rules::pattern(notes, &path, text) else { continue };
        let governed = GOVERNED.iter().find(|(method, _)| pattern.matches(method));
        match (&pattern, governed) {
            (Pattern::Glob(_), _) => {
                notes.problem(path, "has a `*` that is not its last character");
            }
            (Pattern::Prefix(prefix), _) if prefix.is_empty() => {
                notes.problem(path, "would allow methods that nobody here knows; name them");
            }
            (Pattern::Prefix(_), Some((method, rules))) => {
                let message = format!("covers `{method}`, on which the rules of {rules} decide");
                notes.problem(path, format!("{message}; name the methods one by one"));
            }
            (Pattern::Exact(_), Some((_, rules))) => {
                notes
                    .problem(path, format!("the rules of {rules} decide on it; leave it out here"));
            }
            (Pattern::Exact(method), None) if !METHODS.contains(&method.as_str()) => {
                let near = nearest(method, METHODS);
                if let Some(near) = near.filter(|_| !method.starts_with("notifications/")) {
                    notes.warn(path, format!("is no method of MCP; did you mean `{near}`?"));
                }
            }
            _ => {}
        }
        patterns.push(pattern);
    }
    patterns
}
