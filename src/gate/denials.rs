//! From what the parser and the policy say to what the client is answered.

use std::time::Duration;

use serde_json::json;

use super::admitted::Admitted;
use super::server::Server;
use super::step_up::{interaction, newer_token, step_up};
use super::verdict::Purpose;
use crate::exchange::ExchangeError;
use crate::host::{Host, HostError};
use crate::mcp::{
    Era, Id, MODERN_VERSION, Operation, Refusal, RefusalReason, SUPPORTED_VERSIONS, Target,
};
use crate::policy::{Decision, Identity, Reason};
use crate::rate::Verdict;
use crate::reply::{Challenge, ChallengeError, Code, Denial, RpcError};
use crate::token::{AccessToken, ProofError, Requirement, TokenError, WorkloadError};

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

/// A credential that its issuer vouches for, and that is not acceptable all the same.
pub(super) fn rejected_token(
    error: TokenError,
    token: &AccessToken,
    server: &Server,
    nonce: impl FnOnce() -> Option<String>,
    host: &dyn Host,
) -> Denial {
    match newer_token(token, server, host.now()).filter(|_| error == TokenError::Revoked) {
        Some(wanted) => Denial::new(Code::TokenInvalid(error.code()), error.to_string())
            .with_challenge(challenge(server, Some(wanted))),
        None => rejected(error, server, nonce),
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
            Some(json!({ "supported": supported, "requested": requested }))
        }
        _ => None,
    };
    let error = RpcError { code: refusal.reason.json_rpc_code(), message: text.clone(), data };
    Denial::new(code, text).with_id(refusal.id).with_error(error)
}

/// The denial a decision asks for, in the shape the caller's side understands. What is made
/// to be answered is sent: challenges to authenticate better are counted.
pub(super) fn denial(
    decision: &Decision,
    server: &Server,
    identity: &Identity<'_>,
    operation: &Operation,
    request: Option<(&Id, Era)>,
    purpose: Purpose,
    host: &dyn Host,
) -> Option<Denial> {
    let reason = decision.enforced_denial()?;
    let denied = match reason {
        Reason::StepUp => step_up(decision, server, identity, purpose, host),
        Reason::MethodNotAllowed => method_not_allowed(request.map(|(_, era)| era)),
        Reason::CredentialsDiffer => not_together(),
        _ => another_token(reason, decision, server).unwrap_or_else(|| {
            // What is not answered cannot be answered as if the object did not exist.
            match request.filter(|_| server.hides_objects && names_object(&operation.target)) {
                Some(_) => hidden(reason, &operation.target),
                None => not_permitted(reason),
            }
        }),
    };
    Some(denied.with_id(request.map(|(id, _)| id.clone())))
}

/// The denial of what belongs to a session and carries no operation: `not_allowed` where
/// there are no sessions.
pub(super) fn session_denial(
    decision: &Decision,
    server: &Server,
    not_allowed: Code,
) -> Option<Denial> {
    let reason = decision.enforced_denial()?;
    Some(match reason {
        Reason::MethodNotAllowed => Denial::new(not_allowed, "sessions are not allowed by policy"),
        _ => another_token(reason, decision, server).unwrap_or_else(|| not_permitted(reason)),
    })
}

/// The denial of an operation that comes too often, or that cannot be counted.
pub(super) fn rate_denial(verdict: Result<Verdict, HostError>, id: Option<&Id>) -> Option<Denial> {
    let denied = match verdict {
        Ok(Verdict::Taken) => return None,
        Ok(Verdict::Limited { limit, retry_after }) => {
            Denial::new(Code::RateLimited(retry_after.into()), format!("more often than {limit}"))
        }
        Err(HostError) => Denial::new(Code::HostFailure, "the host cannot count rates"),
    };
    Some(denied.with_id(id.cloned()))
}

/// When to try again after an authorization server failed, where nobody knows better.
const EXCHANGE_RETRY: Duration = Duration::from_secs(5);

/// The denial of an operation whose credential cannot be had by that exchange. Blames who can
/// mend it.
pub(super) fn exchange_denial(
    error: &ExchangeError,
    exchange: &str,
    admitted: &Admitted,
    id: Option<&Id>,
    host: &dyn Host,
) -> Denial {
    let denied = |code| Denial::new(code, error.to_string());
    let told = |code: Code, message: &str| {
        denied(code).with_error(RpcError { message: message.to_owned(), ..code.rpc_error() })
    };
    let denial = match error {
        ExchangeError::Unavailable { retry_after, .. } => {
            denied(Code::ExchangeUnavailable(retry_after.unwrap_or(EXCHANGE_RETRY).into()))
        }
        ExchangeError::Overloaded => denied(Code::Overloaded),
        ExchangeError::Unusable(_)
        | ExchangeError::ClientRejected
        | ExchangeError::TargetRejected
        | ExchangeError::RequestRejected => denied(Code::ExchangeFailed(error.code())),
        ExchangeError::ScopeRefused | ExchangeError::Denied => {
            denied(Code::ExchangeRefused(error.code()))
        }
        ExchangeError::NoUser => told(
            Code::ExchangeRefused(error.code()),
            "The token lacks what this takes: a user or, where there are tenants, the user's tenant",
        ),
        ExchangeError::NoActor => {
            told(Code::ExchangeRefused(error.code()), "This takes a token of the agent")
        }
        ExchangeError::ActorRejected => {
            told(Code::ExchangeRefused(error.code()), "The agent's token was not taken")
        }
        ExchangeError::SubjectRejected => denied(Code::TokenInvalid(error.code())).with_challenge(
            challenge(&admitted.arrival.server, Some(ChallengeError::InvalidToken)),
        ),
        ExchangeError::InteractionRequired { claims } => {
            interaction(claims.as_ref(), exchange, admitted, host)
        }
        ExchangeError::NotLinked { connection, link_uri } => {
            denied(Code::AccountNotLinked).with_error(not_linked(connection, link_uri.as_deref()))
        }
    };
    denial.with_id(id.cloned())
}

/// What a user who has linked no account can do about it: in words, which clients show, and in
/// data. `URLElicitationRequiredError` of MCP 2025-11-25 would have clients open the page, but is
/// only for those that said at `initialize` that they can, and 2026-07-28 has no such error.
fn not_linked(connection: &str, link_uri: Option<&str>) -> RpcError {
    let code = Code::AccountNotLinked.rpc_error().code;
    match link_uri {
        Some(url) => RpcError {
            code,
            message: format!("No {connection} account is linked. Link one at {url} and try again"),
            data: Some(json!({ "connection": connection, "url": url })),
        },
        None => RpcError {
            code,
            message: format!("No {connection} account is linked. Link one and try again"),
            data: Some(json!({ "connection": connection })),
        },
    }
}

/// The denial that says which token would do, if another one would.
fn another_token(reason: Reason, decision: &Decision, server: &Server) -> Option<Denial> {
    let (code, error) = match reason {
        Reason::MissingScope | Reason::AgentMissingScope => {
            (Code::ScopeMissing, ChallengeError::InsufficientScope)
        }
        Reason::DpopRequired => (Code::DpopRequired, ChallengeError::InvalidToken),
        // RFC 8705 section 3 has no error of its own for it.
        Reason::CertificateRequired => (Code::CertificateRequired, ChallengeError::InvalidToken),
        _ => return None,
    };
    let mut challenge = challenge(server, Some(error));
    if code == Code::ScopeMissing {
        challenge.scopes.clone_from(&decision.required_scopes);
    }
    Some(Denial::new(code, words(reason)).with_challenge(challenge))
}

/// `era` is that of the request; a notification has none.
fn method_not_allowed(era: Option<Era>) -> Denial {
    let code = match era {
        Some(Era::Modern) => Code::MethodUnknown,
        Some(Era::Legacy) => Code::MethodDenied,
        None => Code::NotificationDenied,
    };
    Denial::new(code, words(Reason::MethodNotAllowed))
}

fn hidden(reason: Reason, target: &Target) -> Denial {
    let code = match reason {
        Reason::NoRule => Code::ObjectUnknown,
        _ => Code::ObjectHidden(reason.as_str()),
    };
    Denial::new(code, words(reason)).with_error(RpcError::new(-32602, unknown_object(target)))
}

/// Who may have each of the objects is told that not all of them go together.
fn not_together() -> Denial {
    let denial = not_permitted(Reason::CredentialsDiffer);
    let error = RpcError {
        message: "Not all of this can be had together; ask for less at once".to_owned(),
        ..denial.code.rpc_error()
    };
    denial.with_error(error)
}

fn not_permitted(reason: Reason) -> Denial {
    Denial::new(Code::NotPermitted(reason.as_str()), words(reason))
}

/// Whether an operation is about something that could as well not exist.
fn names_object(target: &Target) -> bool {
    match target {
        Target::Tool(_) | Target::Prompt(_) | Target::Resource(_) | Target::ResourceTemplate(_) => {
            true
        }
        Target::Subscription { resources, .. } => !resources.is_empty(),
        Target::None | Target::Task(_) => false,
    }
}

/// A reason in words, for the record.
fn words(reason: Reason) -> &'static str {
    match reason {
        Reason::MethodNotAllowed => "the method is not allowed",
        Reason::NoRule => "no rule names the object",
        Reason::Denied => "a rule denies the object",
        Reason::MissingScope => "the token lacks a scope of the operation",
        Reason::DpopRequired => "the operation takes a DPoP-bound token",
        Reason::CertificateRequired => "the operation takes a certificate-bound token",
        Reason::MissingRole => "the user has none of the rule's roles",
        Reason::MissingGroup => "the user is in none of the rule's groups",
        Reason::TenantNotAllowed => "the rule is for other tenants",
        Reason::SubjectNotAllowed => "the rule is for other users",
        Reason::IssuerNotAllowed => "the rule is for other issuers",
        Reason::WorkloadNotAllowed => "the rule grants nothing to this workload",
        Reason::Indistinct => "the token does not tell user and agent apart",
        Reason::StepUp => "the user has to authenticate again, or better",
        Reason::AgentUnknown => "the agent is not in the catalogue",
        Reason::AgentMismatch => "token and workload name different agents",
        Reason::AgentServer => "the agent may not use the server",
        Reason::AgentObject => "the agent may not use the object",
        Reason::AgentScope => "the agent may not use a scope of the operation",
        Reason::AgentMissingScope => "the token lacks a scope of the agent",
        Reason::AgentNotAllowed => "the rule is for other agents",
        Reason::AgentVersion => "the version of the agent is not accepted",
        Reason::AgentInstance => "the instance of the agent is not known",
        Reason::ChainTooLong => "the chain of actors is too long",
        Reason::ActorNotAllowed => "the server does not take the current actor",
        Reason::PriorActorNotAllowed => "the server does not take a prior actor",
        Reason::MayNotAct => "the token names another who may act for the user",
        Reason::NoConsent => "the user did not consent to the server or the agent",
        Reason::OtherContext => "the token is for another session, task or instance",
        Reason::CredentialsDiffer => "the objects take credentials of different exchanges",
    }
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
