//! Compiles `metadata`: what clients are told before they have a token.

use std::ops::Not;

use serde::Serialize;

use super::compile::Notes;
use super::document::Metadata;
use crate::token::{Algorithm, DpopPolicy, MtlsPolicy, Requirement};

/// Checks what the document says of it.
pub(super) fn check(notes: &mut Notes, path: &str, metadata: &Metadata) {
    if let Some(name) = &metadata.resource_name {
        notes.text(&format!("{path}.resource_name"), name);
    }
    let scopes = format!("{path}.scopes_supported");
    check_scopes(notes, &scopes, &metadata.scopes_supported);
    if let Some(index) = metadata.scopes_supported.iter().position(|s| s == "offline_access") {
        let message = "MCP: a server does not ask for `offline_access`; clients decide on it";
        notes.problem(format!("{scopes}[{index}]"), message);
    }
    if let Some(servers) = &metadata.authorization_servers {
        let path = format!("{path}.authorization_servers");
        notes.list(&path, servers);
        notes.unique(&path, servers);
        for (index, server) in servers.iter().enumerate() {
            notes.issuer_url(&format!("{path}[{index}]"), server);
        }
    }
}

/// The document of the server with this resource identifier, as JSON.
pub(super) fn document(
    resource: &str,
    metadata: &Metadata,
    issuers: &[&str],
    dpop: &DpopPolicy,
    mtls: &MtlsPolicy,
) -> Result<String, serde_json::Error> {
    let configured: Option<Vec<&str>> =
        metadata.authorization_servers.as_ref().map(|s| s.iter().map(String::as_str).collect());
    let has_dpop = dpop.mode != Requirement::Off;
    serde_json::to_string(&Document {
        resource,
        authorization_servers: configured.as_deref().unwrap_or(issuers),
        scopes_supported: &metadata.scopes_supported,
        bearer_methods_supported: ["header"],
        resource_name: metadata.resource_name.as_deref(),
        dpop_signing_alg_values_supported: if has_dpop { &dpop.algorithms } else { &[] },
        dpop_bound_access_tokens_required: dpop.mode == Requirement::Required,
        tls_client_certificate_bound_access_tokens: mtls.mode != Requirement::Off,
    })
}

/// RFC 6749 section 3.3: printable ASCII without space, `"` and `\`.
pub(super) fn check_scopes(notes: &mut Notes, path: &str, scopes: &[String]) {
    notes.optional_list(path, scopes);
    notes.unique(path, scopes);
    for (index, scope) in scopes.iter().enumerate() {
        check_scope(notes, &format!("{path}[{index}]"), scope);
    }
}

/// One of them.
pub(super) fn check_scope(notes: &mut Notes, path: &str, scope: &str) {
    notes.text(path, scope);
    if scope.contains(' ') {
        notes.problem(path, "has a space; write each scope as an entry of its own");
    } else if !scope.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\') {
        notes.problem(path, "has a character that scopes cannot have (RFC 6749 section 3.3)");
    }
}

/// Protected resource metadata (RFC 9728 section 2). What is left out has its default.
#[derive(Serialize)]
struct Document<'a> {
    resource: &'a str,
    authorization_servers: &'a [&'a str],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    scopes_supported: &'a [String],
    bearer_methods_supported: [&'static str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_name: Option<&'a str>,
    #[serde(skip_serializing_if = "<[Algorithm]>::is_empty")]
    dpop_signing_alg_values_supported: &'a [Algorithm],
    #[serde(skip_serializing_if = "Not::not")]
    dpop_bound_access_tokens_required: bool,
    #[serde(skip_serializing_if = "Not::not")]
    tls_client_certificate_bound_access_tokens: bool,
}
