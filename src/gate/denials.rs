//! From what the parser and the policy say to what the client is answered.

use super::server::Server;
use crate::mcp::{Era, Id, Operation, Refusal, RefusalReason, SUPPORTED_VERSIONS, Target};
use crate::policy::{Decision, Outcome, Reason};
use crate::reply::{Challenge, Code, Denial, RpcError};

/// A message that could not be read.
pub(super) fn refused(refusal: Refusal) -> Denial {
    let code = match refusal.reason {
        RefusalReason::HeaderMismatch(_) => Code::HeaderMismatch,
        RefusalReason::UnsupportedVersion { .. } => Code::VersionUnsupported,
        _ => Code::MessageMalformed,
    };
    let text = refusal.reason.to_string();
    let data = match &refusal.reason {
        RefusalReason::UnsupportedVersion { requested } => {
            Some(serde_json::json!({ "supported": SUPPORTED_VERSIONS, "requested": requested }))
        }
        _ => None,
    };
    let error = RpcError { code: refusal.reason.json_rpc_code(), message: text.clone(), data };
    Denial::new(code, text).with_id(refusal.id).with_error(error)
}

/// The denial a decision asks for, in the shape the caller's side understands.
pub(super) fn denial(
    decision: &Decision,
    server: &Server,
    operation: &Operation,
    request: Option<(&Id, Era)>,
) -> Option<Denial> {
    let Outcome::Deny(reason) = decision.outcome else { return None };
    let id = request.map(|(id, _)| id.clone());
    let denied = match (reason, request) {
        (Reason::MissingScope, _) => {
            let challenge = Challenge::insufficient_scope(
                &server.metadata_url,
                decision.required_scopes.clone(),
            );
            Denial::new(Code::ScopeMissing, "the token lacks a scope of the operation")
                .with_challenge(challenge)
        }
        (_, None) => Denial::new(Code::NotificationDenied, "the notification is not allowed"),
        (Reason::MethodNotAllowed, Some((_, Era::Modern))) => {
            Denial::new(Code::MethodUnknown, "the method is not allowed")
        }
        (Reason::MethodNotAllowed, Some((_, Era::Legacy))) => {
            Denial::new(Code::MethodDenied, "the method is not allowed")
        }
        (Reason::NoRule, Some(_)) => Denial::new(Code::ObjectUnknown, "no rule names the object")
            .with_error(RpcError::new(-32602, unknown_object(&operation.target))),
    };
    Some(denied.with_id(id))
}

/// The MCP servers' own words for what does not exist, so that a denial tells no more.
fn unknown_object(target: &Target) -> String {
    match target {
        Target::Tool(name) => format!("Unknown tool: {name}"),
        Target::Prompt(name) => format!("Unknown prompt: {name}"),
        Target::Resource(uri) | Target::ResourceTemplate(uri) => {
            format!("Resource not found: {uri}")
        }
        Target::None | Target::Task(_) | Target::Subscription { .. } => "Not found".to_owned(),
    }
}
