//! Every byte a client sees that the MCP server did not send is made here.
//!
//! A [`Denial`] keeps apart what the client is told and what the record says: the
//! client gets a stable shape that names no policy, the record gets the reason.
//! The HTTP status of a refusal is a type that cannot be 2xx; the one refusal that
//! travels in a 200, a JSON-RPC error for an operation the caller must not know,
//! is a case of its own.

mod catalogue;
mod challenge;
mod json_rpc;

pub use catalogue::{Answer, Code, ErrorStatus};
pub use challenge::Challenge;
pub use json_rpc::error_body;

use crate::mcp::Id;

/// Response header that carries the decision id of the audit record.
pub const DECISION_ID_HEADER: &str = "x-countersign-decision-id";

/// A refusal: what to tell the client, and for the record why.
#[derive(Debug, Clone)]
pub struct Denial {
    /// The stable code.
    pub code: Code,
    /// For the record and the operator, never for the client. No secrets.
    pub reason: String,
    /// What to authenticate with, or which scopes to get.
    pub challenge: Option<Challenge>,
    /// The `id` of the JSON-RPC request refused, when it was read.
    pub id: Option<Id>,
    /// The JSON-RPC error, where it is not the code's own.
    pub error: Option<RpcError>,
}

/// The `error` member of a JSON-RPC error response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcError {
    /// JSON-RPC error code.
    pub code: i64,
    /// What the client may know.
    pub message: String,
    /// The `data` member, as JSON.
    pub data: Option<serde_json::Value>,
}

/// A response made by us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalReply {
    /// HTTP status.
    pub status: u16,
    /// Header fields, lowercase names; values are visible ASCII and spaces only.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Denial {
    /// A denial of that code, for that reason.
    pub fn new(code: Code, reason: impl Into<String>) -> Self {
        Denial { code, reason: reason.into(), challenge: None, id: None, error: None }
    }

    /// The same, with a challenge.
    #[must_use]
    pub fn with_challenge(self, challenge: Challenge) -> Self {
        Denial { challenge: Some(challenge), ..self }
    }

    /// The same, as the answer to a JSON-RPC request.
    #[must_use]
    pub fn with_id(self, id: Option<Id>) -> Self {
        Denial { id, ..self }
    }

    /// The same, with a JSON-RPC error of its own.
    #[must_use]
    pub fn with_error(self, code: i64, message: impl Into<String>) -> Self {
        let error = RpcError { code, message: message.into(), data: None };
        Denial { error: Some(error), ..self }
    }

    /// The response to send.
    #[must_use]
    pub fn reply(&self, decision_id: &str) -> LocalReply {
        let status = match self.code.answer() {
            Answer::Http(status) => status.get(),
            Answer::InBand => 200,
        };
        let error = self.error.clone().unwrap_or_else(|| self.code.rpc_error());
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("cache-control", "no-store".to_owned()),
            (DECISION_ID_HEADER, decision_id.to_owned()),
        ];
        if let Some(challenge) = &self.challenge {
            headers.push(("www-authenticate", challenge.to_string()));
        }
        headers.extend(self.code.extra_header());
        LocalReply { status, headers, body: error_body(self.id.as_ref(), &error) }
    }
}

impl LocalReply {
    /// The protected resource metadata (RFC 9728 section 3.2). Public, so cacheable.
    #[must_use]
    pub fn metadata(document: &str, decision_id: &str) -> Self {
        LocalReply {
            status: 200,
            headers: vec![
                ("content-type", "application/json".to_owned()),
                ("cache-control", "max-age=300".to_owned()),
                // A browser-based client reads it from another origin; it is public.
                ("access-control-allow-origin", "*".to_owned()),
                (DECISION_ID_HEADER, decision_id.to_owned()),
            ],
            body: document.as_bytes().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests;
