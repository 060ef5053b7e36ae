//! Compiles `session_keys` and `tasks`: whose sessions and tasks are.

use super::compile::Notes;
use super::document::{FromEnvironment, Server, Tasks};
use super::secrets::Secrets;
use super::symmetric_keys;
use crate::gate::{self, TaskBinding};
use crate::mcp::SealKey;
use crate::policy::Pattern;

/// Methods that may name a task.
const OF_TASKS: [&str; 6] = [
    "tasks/get",
    "tasks/list",
    "tasks/result",
    "tasks/cancel",
    "tasks/update",
    "subscriptions/listen",
];

/// The keys that seal sessions. `needed` where a server has sessions.
pub(super) fn keys(
    notes: &mut Notes,
    keys: &[FromEnvironment],
    needed: bool,
    secrets: &Secrets,
) -> Vec<SealKey> {
    const PATH: &str = "session_keys";
    if !keys.is_empty() && !needed {
        notes.warn(PATH, "no server allows `initialize`, which opens sessions");
    }
    symmetric_keys::read(notes, PATH, keys, secrets, SealKey::MIN_BYTES, SealKey::new)
}

/// Who checks that a task of the server belongs to its caller.
pub(super) fn task_binding(notes: &mut Notes, path: &str, server: &Server) -> TaskBinding {
    let Some(Tasks { binding }) = server.tasks else { return TaskBinding::default() };
    if !OF_TASKS.iter().any(|method| allows(server, method)) {
        notes.warn(path, "no method of tasks is allowed, such as `tasks/get`");
    }
    binding
}

/// Servers that bind tasks to whom they are not told of.
pub(super) fn check_told(notes: &mut Notes, servers: &[gate::Server], identity_headers: bool) {
    for (index, server) in servers.iter().enumerate() {
        if server.task_binding == TaskBinding::Upstream && !identity_headers {
            let message = "the server is not told who calls: `audit.identity_headers` is false";
            notes.warn(format!("servers[{index}].tasks.binding"), message);
        }
    }
}

fn allows(server: &Server, method: &str) -> bool {
    let mut patterns = server.methods.allow.iter().map(|text| Pattern::parse(text));
    patterns.any(|pattern| pattern.is_ok_and(|pattern| pattern.matches(method)))
}
