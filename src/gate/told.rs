//! Who calls and what is called, as it is told to what stands behind us: to the MCP server in
//! headers, to Envoy's own filters in filter state.

use super::account::object;
use super::admitted::Admitted;
use super::headers::{HeaderEdit, encode_value};
use super::worker::Worker;
use crate::mcp::Operation;

/// A fact, under the header that tells it. In filter state it has the rest of that name, with
/// `_` for `-`, after `wasm.countersign.`.
struct Fact<'f> {
    header: &'static str,
    state: &'static str,
    value: &'f str,
}

/// The facts in headers.
pub(super) fn in_headers(admitted: &Admitted, operation: Option<&Operation>) -> Vec<HeaderEdit> {
    let edit = |fact: Fact<'_>| HeaderEdit::Set(fact.header, encode_value(fact.value));
    each(admitted, operation, edit)
}

/// The facts in filter state: by the path of the property to set.
pub(super) fn in_filter_state(
    admitted: &Admitted,
    operation: Option<&Operation>,
    worker: &Worker,
) -> Vec<(&'static str, String)> {
    if !worker.audit.filter_state {
        return Vec::new();
    }
    each(admitted, operation, |fact| (fact.state, encode_value(fact.value)))
}

fn each<T>(
    admitted: &Admitted,
    operation: Option<&Operation>,
    tell: impl FnMut(Fact<'_>) -> T,
) -> Vec<T> {
    let (token, standing) = (&admitted.caller.token, &admitted.standing);
    let scopes = token.scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    let agent = standing.policy.agent(&standing.identity());
    let method = operation.map(|operation| operation.method.as_str());
    let object = operation.and_then(|operation| object(&operation.target)).map(|(_, name)| name);
    let facts = [
        ("x-countersign-subject", "countersign.subject", Some(token.subject.as_str())),
        ("x-countersign-issuer", "countersign.issuer", Some(token.issuer_url.as_str())),
        ("x-countersign-client-id", "countersign.client_id", Some(token.client_id.as_str())),
        ("x-countersign-agent", "countersign.agent", agent.as_deref()),
        ("x-countersign-scope", "countersign.scope", Some(scopes.as_str())),
        ("x-countersign-method", "countersign.method", method),
        ("x-countersign-object", "countersign.object", object),
    ];
    let known = facts
        .into_iter()
        .filter_map(|(header, state, value)| Some(Fact { header, state, value: value? }));
    known.map(tell).collect()
}
