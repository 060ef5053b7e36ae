//! JSON-RPC error responses (JSON-RPC 2.0 section 5.1).

use serde_json::{Value, json};

use super::RpcError;
use crate::mcp::Id;

/// An error response. Without an `id` when none was read: the MCP schema makes it
/// optional, and `null` would be an id no client sent.
///
/// A client that spoke revision 2026-07-28 falls back to `initialize` when a 400 has
/// no JSON-RPC error, so every refusal on an MCP path has one.
#[must_use]
pub fn error_body(id: Option<&Id>, error: &RpcError) -> Vec<u8> {
    let mut member = json!({ "code": error.code, "message": error.message });
    let mut body = json!({ "jsonrpc": "2.0" });
    if let Some(data) = &error.data {
        insert(&mut member, "data", data.clone());
    }
    if let Some(id) = id {
        insert(&mut body, "id", json!(id));
    }
    insert(&mut body, "error", member);
    body.to_string().into_bytes()
}

fn insert(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(members) = object {
        members.insert(name.to_owned(), value);
    }
}
