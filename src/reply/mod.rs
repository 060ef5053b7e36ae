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

pub use catalogue::{Answer, Code, ErrorStatus, RetryAfter};
pub use challenge::{Authentication, Challenge, ChallengeError, ClaimsRequest};
pub use json_rpc::error_body;

use crate::mcp::Id;

/// Response header that carries the decision id of the audit record.
pub const DECISION_ID_HEADER: &str = "x-countersign-decision-id";

/// Response header that carries a nonce for the client's next proof (RFC 9449 section 8).
pub const NONCE_HEADER: &str = "dpop-nonce";

/// A refusal: what to tell the client, and for the record why.
#[derive(Debug, Clone)]
pub struct Denial {
    /// The stable code.
    pub code: Code,
    // Boxed, because a denial travels in the error of every step of the gate.
    details: Box<Details>,
}

#[derive(Debug, Clone, Default)]
struct Details {
    reason: String,
    challenge: Option<Challenge>,
    nonce: Option<String>,
    id: Option<Id>,
    error: Option<RpcError>,
    out_of_band: bool,
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
    /// A denial of that code. The reason is for the record and the operator, never for
    /// the client, and has no secrets.
    pub fn new(code: Code, reason: impl Into<String>) -> Self {
        Denial { code, details: Box::new(Details { reason: reason.into(), ..Details::default() }) }
    }

    /// The same, saying what to authenticate with, or which scopes to get.
    #[must_use]
    pub fn with_challenge(mut self, challenge: Challenge) -> Self {
        self.details.challenge = Some(challenge);
        self
    }

    /// The same, with a nonce for the client's next proof (RFC 9449 section 8).
    #[must_use]
    pub fn with_nonce(mut self, nonce: Option<String>) -> Self {
        self.details.nonce = nonce;
        self
    }

    /// Whether it brings a nonce.
    #[must_use]
    pub fn has_nonce(&self) -> bool {
        self.details.nonce.is_some()
    }

    /// The same, as the answer to the JSON-RPC request with that `id`.
    #[must_use]
    pub fn with_id(mut self, id: Option<Id>) -> Self {
        self.details.id = id;
        self
    }

    /// The same, with a JSON-RPC error of its own instead of the code's.
    #[must_use]
    pub fn with_error(mut self, error: RpcError) -> Self {
        self.details.error = Some(error);
        self
    }

    /// The same for a client that reads no JSON-RPC out of the answer (HTTP+SSE of 2024-11-05):
    /// what would travel in band is an HTTP error.
    #[must_use]
    pub fn out_of_band(mut self) -> Self {
        self.details.out_of_band = true;
        self
    }

    /// Why, for the record.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.details.reason
    }

    /// The response to send.
    #[must_use]
    pub fn reply(&self, decision_id: &str) -> LocalReply {
        let status = match self.code.answer() {
            Answer::Http(status) => status.get(),
            // It says of an object what of any other: a status of its own would tell them apart.
            Answer::InBand if self.details.out_of_band => 403,
            Answer::InBand => 200,
        };
        let Details { challenge, nonce, id, error, .. } = &*self.details;
        let error = error.clone().unwrap_or_else(|| self.code.rpc_error());
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("cache-control", "no-store".to_owned()),
            (DECISION_ID_HEADER, decision_id.to_owned()),
        ];
        let lines = challenge.iter().flat_map(Challenge::lines);
        headers.extend(lines.map(|line| ("www-authenticate", line)));
        headers.extend(nonce.iter().map(|nonce| (NONCE_HEADER, nonce.clone())));
        headers.extend(self.code.extra_header());
        LocalReply { status, headers, body: error_body(id.as_ref(), &error) }
    }
}

impl RpcError {
    /// An error without `data`.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        RpcError { code, message: message.into(), data: None }
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
