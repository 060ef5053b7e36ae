//! From what the parser and the policy say to what the client is answered.

use super::server::Server;
use crate::mcp::{
    Era, Id, MODERN_VERSION, Operation, Refusal, RefusalReason, SUPPORTED_VERSIONS, Target,
};
use crate::policy::{Decision, Reason};
use crate::reply::{Challenge, ChallengeError, Code, Denial, RpcError};
use crate::token::{ProofError, Requirement, TokenError, WorkloadError};

/// What to authenticate with at a server.
pub(super) fn challenge(server: &Server, error: Option<ChallengeError>) -> Challenge {
    let proof_algorithms = match server.dpop.mode {
        Requirement::Off => Vec::new(),
        _ => server.dpop.algorithms.iter().map(|algorithm| algorithm.as_str()).collect(),
    };
    Challenge {
        resource_metadata: server.metadata_url.clone(),
        error,
        scopes: server.scopes_supported.iter().cloned().collect(),
        proof_algorithms,
    }
}

/// A credential that is not acceptable. `nonce` makes one for the next proof.
pub(super) fn rejected(
    error: TokenError,
    server: &Server,
    nonce: impl FnOnce() -> Option<String>,
) -> Denial {
    let reason = error.to_string();
    match error {
        TokenError::KeysUnavailable
        | TokenError::IntrospectionUnavailable
        | TokenError::RevocationsUnavailable
        | TokenError::Workload(WorkloadError::BundleUnavailable)
        | TokenError::Proof(ProofError::NotRecorded) => {
            Denial::new(Code::Unavailable(error.code()), reason)
        }
        TokenError::Proof(ProofError::Nonce) => match nonce() {
            Some(nonce) => Denial::new(Code::ProofInvalid(error.code()), reason)
                .with_challenge(challenge(server, Some(ChallengeError::UseDpopNonce)))
                .with_nonce(Some(nonce)),
            None => Denial::new(Code::HostFailure, "no nonce could be made"),
        },
        TokenError::Proof(_) => Denial::new(Code::ProofInvalid(error.code()), reason)
            .with_challenge(challenge(server, Some(ChallengeError::InvalidDpopProof))),
        _ => Denial::new(Code::TokenInvalid(error.code()), reason)
            .with_challenge(challenge(server, Some(ChallengeError::InvalidToken))),
    }
}

/// A message that could not be read.
pub(super) fn refused(refusal: Refusal) -> Denial {
    let code = match refusal.reason {
        RefusalReason::HeaderMismatch(_) => Code::HeaderMismatch,
        RefusalReason::UnsupportedVersion { .. } => Code::VersionUnsupported,
        RefusalReason::RemovedMethod => Code::MethodUnknown,
        _ => Code::MessageMalformed,
    };
    let text = refusal.reason.to_string();
    let data = match &refusal.reason {
        RefusalReason::UnsupportedVersion { requested } => {
            // The versions of `server/discover`: those of the other era are not asked for this way.
            let supported: &[&str] = match refusal.era {
                Some(Era::Modern) => &[MODERN_VERSION],
                _ => &SUPPORTED_VERSIONS,
            };
            Some(serde_json::json!({ "supported": supported, "requested": requested }))
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
    let reason = decision.enforced_denial()?;
    let id = request.map(|(id, _)| id.clone());
    let denied = match (reason, request) {
        (Reason::MissingScope, _) => {
            let challenge = Challenge {
                scopes: decision.required_scopes.clone(),
                ..challenge(server, Some(ChallengeError::InsufficientScope))
            };
            Denial::new(Code::ScopeMissing, "the token lacks a scope of the operation")
                .with_challenge(challenge)
        }
        (Reason::DpopRequired, _) => {
            Denial::new(Code::DpopRequired, "the operation takes a DPoP-bound token")
                .with_challenge(challenge(server, Some(ChallengeError::InvalidToken)))
        }
        (_, None) => Denial::new(Code::NotificationDenied, "the notification is not allowed"),
        (Reason::MethodNotAllowed, Some((_, Era::Modern))) => {
            Denial::new(Code::MethodUnknown, "the method is not allowed")
        }
        (Reason::MethodNotAllowed, Some((_, Era::Legacy))) => {
            Denial::new(Code::MethodDenied, "the method is not allowed")
        }
        (_, Some(_)) => Denial::new(Code::ObjectUnknown, "no rule names the object")
            .with_error(RpcError::new(-32602, unknown_object(&operation.target))),
    };
    Some(denied.with_id(id))
}

/// The denial of what belongs to a session and carries no operation: `not_allowed`, unless
/// something better than a closed door can be said.
pub(super) fn session_denial(
    decision: &Decision,
    server: &Server,
    not_allowed: Code,
) -> Option<Denial> {
    let reason = decision.enforced_denial()?;
    Some(match reason {
        Reason::DpopRequired => Denial::new(Code::DpopRequired, "sessions take a DPoP-bound token")
            .with_challenge(challenge(server, Some(ChallengeError::InvalidToken))),
        _ => Denial::new(not_allowed, "sessions are not allowed by policy"),
    })
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
