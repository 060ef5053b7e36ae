//! From each reason of policy to what the client is told.

use std::time::{Duration, SystemTime};

use serde_json::json;

use super::driver::*;
use crate::gate::denials::{denial, rate_denial, rejected_token, session_denial};
use crate::gate::verdict::Purpose;
use crate::gate::{Server, StepUpChallenge};
use crate::host::HostError;
use crate::host::fake::FakeHost;
use crate::mcp::{Era, Id, Operation, Target};
use crate::policy::{Decision, Identity, Mode, Reason, RequestContext};
use crate::rate::Verdict;
use crate::reply::{Code, Denial, LocalReply};
use crate::token::{AccessToken, IssuerId, TokenError, Verified};

/// Reasons that nothing in the caller's hands mends.
const FINAL: [Reason; 23] = [
    Reason::Denied,
    Reason::MissingRole,
    Reason::MissingGroup,
    Reason::TenantNotAllowed,
    Reason::SubjectNotAllowed,
    Reason::IssuerNotAllowed,
    Reason::WorkloadNotAllowed,
    Reason::Indistinct,
    Reason::AgentUnknown,
    Reason::AgentMismatch,
    Reason::AgentServer,
    Reason::AgentObject,
    Reason::AgentScope,
    Reason::AgentNotAllowed,
    Reason::AgentVersion,
    Reason::AgentInstance,
    Reason::ChainTooLong,
    Reason::ActorNotAllowed,
    Reason::PriorActorNotAllowed,
    Reason::MayNotAct,
    Reason::NoConsent,
    Reason::OtherContext,
    Reason::NoRule,
];

const ERAS: [Era; 2] = [Era::Legacy, Era::Modern];

fn forthright() -> Server {
    Server { hides_objects: false, ..server() }
}

fn told(
    server: &Server,
    decision: &Decision,
    target: Target,
    request: Option<(&Id, Era)>,
) -> Option<Denial> {
    let token = Verified::assumed(access_token());
    let identity = Identity {
        token: &token,
        workload: None,
        context: RequestContext::default(),
        now: SystemTime::UNIX_EPOCH,
    };
    let operation = Operation { method: "x".to_owned(), target };
    denial(decision, server, &identity, &operation, request, Purpose::Record, &FakeHost::new())
}

/// What the answer to a request with the id 7 is.
#[track_caller]
fn answer(server: &Server, reason: Reason, target: Target, era: Era) -> (Code, LocalReply) {
    let request = Some((&Id::Integer(7), era));
    let denial = told(server, &denied_for(reason), target, request).unwrap();
    assert!(!denial.reason().is_empty());
    (denial.code, denial.reply("d1"))
}

fn objects() -> [Target; 5] {
    let name = || "secret".to_owned();
    [
        Target::Tool(name()),
        Target::Prompt(name()),
        Target::Resource(name()),
        Target::ResourceTemplate(name()),
        Target::Subscription { resources: vec![name()], tasks: Vec::new() },
    ]
}

fn others() -> [Target; 3] {
    [
        Target::None,
        Target::Task("t".to_owned()),
        Target::Subscription { resources: Vec::new(), tasks: vec!["t".to_owned()] },
    ]
}

#[test]
fn what_is_hidden_is_to_the_byte_what_does_not_exist() {
    for target in objects() {
        let (code, unknown) = answer(&server(), Reason::NoRule, target.clone(), Era::Modern);
        assert_eq!((code, unknown.status), (Code::ObjectUnknown, 200));
        for reason in FINAL {
            for era in ERAS {
                let (code, hidden) = answer(&server(), reason, target.clone(), era);
                assert_eq!(hidden, unknown, "{reason:?}");
                if reason != Reason::NoRule {
                    assert_eq!(code, Code::ObjectHidden(reason.as_str()));
                }
            }
        }
    }
}

#[test]
fn what_is_forbidden_does_not_tell_why_or_whose_side_refused() {
    let [first, others @ ..] = FINAL;
    let expected = answer(&forthright(), first, Target::None, Era::Legacy).1;
    assert_eq!(expected.status, 403);
    let error = json!({ "code": 403, "message": "Forbidden" });
    assert_eq!(json_of(&expected), json!({ "jsonrpc": "2.0", "id": 7, "error": error }));
    for reason in others {
        for era in ERAS {
            let targets = objects().into_iter().map(|target| (forthright(), target));
            // There is nothing to hide about a method.
            let methods = self::others().into_iter().map(|target| (server(), target));
            for (server, target) in targets.chain(methods) {
                let (code, reply) = answer(&server, reason, target, era);
                assert_eq!(code, Code::NotPermitted(reason.as_str()));
                assert_eq!(reply, expected, "{reason:?}");
            }
        }
    }
}

#[test]
fn what_has_no_answer_is_refused_by_status() {
    for reason in FINAL {
        for target in objects().into_iter().chain(others()) {
            let denial = told(&server(), &denied_for(reason), target, None).unwrap();
            assert_eq!(denial.code, Code::NotPermitted(reason.as_str()));
            assert_eq!(denial.reply("d1").status, 403);
        }
    }
    let denial = told(&server(), &denied_for(Reason::MethodNotAllowed), Target::None, None);
    assert_eq!(denial.unwrap().code, Code::NotificationDenied);
}

#[test]
fn who_needs_another_token_is_told_which() {
    let bearer = "Bearer resource_metadata=\"https://mcp.example/.well-known/oauth-protected-resource/mcp\", error=";
    for (reason, status, code, rest) in [
        (
            Reason::MissingScope,
            403,
            Code::ScopeMissing,
            "\"insufficient_scope\", scope=\"docs.admin\"",
        ),
        (
            Reason::AgentMissingScope,
            403,
            Code::ScopeMissing,
            "\"insufficient_scope\", scope=\"docs.admin\"",
        ),
        (
            Reason::DpopRequired,
            401,
            Code::DpopRequired,
            "\"invalid_token\", scope=\"docs.list docs.read\"",
        ),
        (
            Reason::CertificateRequired,
            401,
            Code::CertificateRequired,
            "\"invalid_token\", scope=\"docs.list docs.read\"",
        ),
    ] {
        for server in [server(), forthright()] {
            for target in objects().into_iter().chain(others()) {
                let (sent, reply) = answer(&server, reason, target, Era::Modern);
                assert_eq!((sent, reply.status), (code, status), "{reason:?}");
                assert_eq!(header(&reply, "www-authenticate").unwrap(), format!("{bearer}{rest}"));
            }
            let denial =
                session_denial(&denied_for(reason), &server, Code::MethodNotAllowed).unwrap();
            assert_eq!(denial.code, code);
        }
    }
}

#[test]
fn sessions_are_closed_or_forbidden() {
    let session = |reason| {
        session_denial(&denied_for(reason), &server(), Code::MethodNotAllowed).unwrap().code
    };
    assert_eq!(session(Reason::MethodNotAllowed), Code::MethodNotAllowed);
    for reason in FINAL.into_iter().chain([Reason::StepUp]) {
        assert_eq!(session(reason), Code::NotPermitted(reason.as_str()));
    }
}

#[test]
fn nothing_is_said_of_what_is_only_recorded() {
    for reason in FINAL.into_iter().chain([Reason::MissingScope, Reason::StepUp]) {
        let decision = Decision { mode: Mode::Shadow, ..denied_for(reason) };
        assert!(told(&server(), &decision, Target::None, None).is_none());
        assert!(session_denial(&decision, &server(), Code::MethodNotAllowed).is_none());
    }
}

#[test]
fn rfc6585_4_who_comes_too_often_is_told_when_to_come() {
    let id = Id::Integer(7);
    assert!(rate_denial(Ok(Verdict::Taken), Some(&id)).is_none());

    let limit = "servers[0].rates[0]".to_owned();
    let retry_after = Duration::from_millis(2_001);
    let denial = rate_denial(Ok(Verdict::Limited { limit, retry_after }), Some(&id)).unwrap();
    assert!(denial.reason().contains("servers[0].rates[0]"));
    let reply = denial.reply("d1");
    assert_eq!((reply.status, header(&reply, "retry-after")), (429, Some("3")));
    assert_eq!(json_of(&reply)["id"], 7);
    assert!(!String::from_utf8(reply.body).unwrap().contains("rates"));

    assert_eq!(rate_denial(Err(HostError), None).unwrap().code, Code::HostFailure);
}

#[test]
fn entra_a_revoked_token_is_renewed_where_that_was_agreed() {
    let claims =
        Server { step_up_challenges: vec![(IssuerId(0), StepUpChallenge::Claims)], ..server() };
    let token = |takes_claims_challenges| AccessToken { takes_claims_challenges, ..access_token() };
    let host = FakeHost::new();
    let challenged = |error, token: &AccessToken, server: &Server| {
        let denial = rejected_token(error, token, server, || None, &host);
        assert_eq!(denial.code, Code::TokenInvalid(error.code()));
        let reply = denial.reply("d1");
        assert_eq!(reply.status, 401);
        header(&reply, "www-authenticate").unwrap().to_owned()
    };
    let challenge = challenged(TokenError::Revoked, &token(true), &claims);
    assert!(challenge.contains("error=\"insufficient_claims\""), "{challenge}");
    // {"access_token":{"nbf":{"essential":true,"value":"1785196800"}}}, the time of the host.
    let nbf =
        "eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZSwidmFsdWUiOiIxNzg1MTk2ODAwIn19fQ==";
    assert!(challenge.contains(&format!("claims=\"{nbf}\"")), "{challenge}");

    for (error, token, server) in [
        (TokenError::Revoked, token(false), &claims),
        (TokenError::Revoked, token(true), &server()),
        (TokenError::Expired, token(true), &claims),
    ] {
        let challenge = challenged(error, &token, server);
        assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    }
}
