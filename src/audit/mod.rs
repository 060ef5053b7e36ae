//! The audit record: one JSON object per decision.
//!
//! It is what an auditor reads, so a field means one thing, is absent when the fact
//! is not known, and is never a secret: tokens and sessions are there as digests,
//! arguments not at all.

use std::collections::BTreeSet;
use std::time::SystemTime;

use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

/// Longest text of a caller's that is recorded, in characters. Names and subjects are
/// shorter; a record must not grow with what a caller sends.
const MAX_TEXT: usize = 512;

/// Most entries recorded of a list; the same reason.
const MAX_ENTRIES: usize = 64;

/// Room for a usual record, in bytes, so that the text is not moved as it grows.
const USUAL_LEN: usize = 1024;

/// Everything known about one decision.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    /// When the request arrived.
    #[serde(serialize_with = "rfc3339")]
    pub time: SystemTime,
    /// Names this decision; also in the response header `x-countersign-decision-id`.
    pub decision_id: String,
    /// `stream` or `hold`.
    pub host_mode: &'static str,
    /// `allow` or `deny`.
    pub outcome: &'static str,
    /// Stable code: `allowed`, `metadata`, or the denial's.
    pub code: &'static str,
    /// `enforce`, or `shadow` where a denial by policy is only recorded.
    pub mode: &'static str,
    /// In shadow: the code of the denial that was not enforced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would_deny: Option<&'static str>,
    /// Why policy denied, or would have: a stable name, finer than the code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_reason: Option<&'static str>,
    /// Whose side of the decision that was: `server`, `user`, `agent` or `delegation`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused_by: Option<&'static str>,
    /// The denial's internal reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
    /// The rules that decided, by their place in the configuration.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// Digest of the configuration in force.
    pub policy_version: String,
    /// The policy that is back in force for a while, instead of the server's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback: Option<String>,
    /// What the policy that is tried says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Candidate>,
    /// The agent, by its name in the catalogue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<Text>,
    /// The rate limit that was met, by its place in the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<String>,
    /// Who the caller is.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub caller: Option<Caller>,
    /// Resource identifier of the MCP server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// HTTP method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_method: Option<Text>,
    /// MCP method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Text>,
    /// What the method is applied to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<Object>,
    /// Whether method and object are what the headers of a 2026-07-28 request claim: it was
    /// refused for them before its body was there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub claimed: bool,
    /// MCP revision as the request states it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<Text>,
    /// SHA-256 of `Mcp-Session-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Scopes the operation takes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes_required: Vec<Text>,
    /// The credential that went to the MCP server in place of the caller's token, or why there
    /// was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
    /// Address and port the request came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Text>,
    /// `x-request-id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Text>,
    /// Trace id of `traceparent` (W3C Trace Context section 3.2.2.3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<Text>,
    /// HTTP status of the MCP server's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_status: Option<u16>,
    /// From the request's arrival to the decision, in milliseconds.
    pub decision_ms: u64,
    /// From the request's arrival to the end of the exchange, in milliseconds.
    pub total_ms: u64,
}

/// What a policy says that is tried beside the one in force.
#[derive(Debug, Clone, Serialize)]
pub struct Candidate {
    /// Its name.
    pub policy: String,
    /// `allow` or `deny`.
    pub outcome: &'static str,
    /// The code of its denial, or `allowed`.
    pub code: &'static str,
    /// What it would change: `none`, `would_allow`, `would_deny` or `other_reason`.
    pub change: &'static str,
}

/// What became of the credential for the MCP server.
#[derive(Debug, Clone, Serialize)]
pub struct Exchange {
    /// Name of the exchange.
    pub name: String,
    /// `exchanged`, `cached`, `injected`, or the code of what went wrong.
    pub outcome: &'static str,
    /// Scopes that were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes_asked: Vec<Text>,
    /// Scopes that were granted, where the authorization server says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes_granted: Option<Vec<Text>>,
    /// SHA-256 of its `jti`, or of the token itself where it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

/// Whom a token names, its issuer vouching for it.
#[derive(Debug, Clone, Serialize)]
pub struct Caller {
    /// `sub`
    pub subject: Text,
    /// `user`, or `workload` where the client acts in its own name.
    pub subject_kind: &'static str,
    /// `iss`
    pub issuer: Text,
    /// `client_id`
    pub client_id: Text,
    /// `act`: the whole chain, the current actor first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actors: Vec<Actor>,
    /// The running instance of the agent, by its issuer's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_instance: Option<Text>,
    /// The version of the agent, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<Text>,
    /// SHA-256 of `jti`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
    /// Scopes of the token.
    pub scopes_presented: Vec<Text>,
    /// Roles of the subject. Groups are not recorded: they say more of a person than of a call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Text>,
    /// The subject's tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Text>,
    /// `acr`: how the subject authenticated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acr: Option<Text>,
    /// The SPIFFE ID that a certificate or a JWT-SVID of the sender proved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<Text>,
    /// What the token is bound to and its sender proved: `bearer` (nothing), `dpop`, `mtls`,
    /// or `dpop+mtls`. Absent where the token was refused: then the others say whose token
    /// it is, and not who sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<&'static str>,
    /// RFC 7638 thumbprint of the key the token is bound to (`cnf.jkt`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dpop_key: Option<String>,
    /// Whether the token was verified for an earlier request.
    pub token_cached: bool,
    /// Whether keys, revocations or a bundle were used that are overdue for a refresh, because
    /// fetching them fails.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
    /// `asked` or `cached`, where the issuer confirmed the token (RFC 7662).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub introspection: Option<&'static str>,
}

/// A party that acts for the subject, or did (RFC 8693 section 4.1).
#[derive(Debug, Clone, Serialize)]
pub struct Actor {
    /// Its `sub`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<Text>,
    /// Its `client_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<Text>,
    /// Its `iss`, where it is not the token's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<Text>,
}

/// A protected object.
#[derive(Debug, Clone, Serialize)]
pub struct Object {
    /// `tool`, `prompt`, `resource`, `resource_template`, `task` or `subscription`.
    pub kind: &'static str,
    /// Its name or URI.
    pub name: Text,
}

/// A text of bounded length.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Text(String);

impl Text {
    /// The text, cut after [`MAX_TEXT`] characters with `…` for the rest.
    #[must_use]
    pub fn new(text: &str) -> Self {
        match text.char_indices().nth(MAX_TEXT) {
            None => Text(text.to_owned()),
            Some((end, _)) => {
                let mut cut = text.get(..end).unwrap_or_default().to_owned();
                cut.push('…');
                Text(cut)
            }
        }
    }
}

/// The first [`MAX_ENTRIES`] of scopes, or of roles.
#[must_use]
pub fn list(entries: &BTreeSet<String>) -> Vec<Text> {
    entries.iter().take(MAX_ENTRIES).map(|entry| Text::new(entry)).collect()
}

/// SHA-256 in lowercase hex: tells two values apart without telling them.
#[must_use]
pub fn digest(value: &[u8]) -> String {
    hex(&Sha256::digest(value))
}

/// Lowercase hex, without the detour over a formatter: every request has some.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 0xf));
    }
    text
}

impl Record {
    /// One line of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        // No map with non-string keys and no failing serialiser is in it, so this
        // cannot fail; a record that says so is still better than none.
        let mut json = Vec::with_capacity(USUAL_LEN);
        serde_json::to_writer(&mut json, self)
            .ok()
            .and_then(|()| String::from_utf8(json).ok())
            .unwrap_or_else(|| {
                let Record { decision_id, outcome, .. } = self;
                format!(r#"{{"decision_id":"{decision_id}","outcome":"{outcome}"}}"#)
            })
    }
}

fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(*time))
}

#[cfg(test)]
mod tests;
