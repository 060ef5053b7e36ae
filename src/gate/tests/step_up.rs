//! Challenges to authenticate better: which one, and how often.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::driver::*;
use crate::gate::step_up::{bucket, counted, step_up};
use crate::gate::verdict::Purpose;
use crate::gate::{Server, StepUpChallenge};
use crate::host::HostError;
use crate::host::fake::{FakeHost, START};
use crate::policy::{Decision, Identity, Reason, RequestContext, StepUp};
use crate::rate::{self, Verdict};
use crate::reply::{Challenge, Code, Denial, LocalReply};
use crate::token::{AccessToken, IssuerId, Verified};

fn asking(step_up: StepUp) -> Decision {
    Decision { step_up: Some(Rc::new(step_up)), ..denied_for(Reason::StepUp) }
}

fn acr() -> StepUp {
    StepUp {
        acr: vec!["gold".to_owned(), "silver".to_owned()],
        max_age: Some(Duration::from_secs(300)),
        contexts: Vec::new(),
    }
}

fn contexts() -> StepUp {
    StepUp { contexts: vec!["c1".to_owned(), "c2".to_owned()], ..StepUp::default() }
}

fn by_claims() -> Server {
    Server { step_up_challenges: vec![(IssuerId(0), StepUpChallenge::Claims)], ..server() }
}

fn capable() -> AccessToken {
    AccessToken { takes_claims_challenges: true, ..access_token() }
}

fn denied(decision: &Decision, server: &Server, token: AccessToken, host: &FakeHost) -> Denial {
    let token = Verified::assumed(token);
    let identity = Identity {
        token: &token,
        workload: None,
        context: RequestContext::default(),
        now: SystemTime::UNIX_EPOCH + START,
    };
    step_up(decision, server, &identity, Purpose::Answer, host)
}

/// The challenge, with its status.
fn challenge(decision: &Decision, server: &Server, token: AccessToken) -> (Code, String) {
    let host = FakeHost::new();
    rate::prepare(&host).unwrap();
    let denial = denied(decision, server, token, &host);
    let reply = denial.reply("d1");
    assert_eq!(reply.status, 401, "{}", denial.reason());
    (denial.code, header(&reply, "www-authenticate").unwrap().to_owned())
}

fn challenges(reply: &LocalReply) -> usize {
    reply.headers.iter().filter(|(name, _)| *name == "www-authenticate").count()
}

#[test]
fn rfc9470_3_the_rule_is_asked_for_and_no_scope_is_lost() {
    let (code, challenge) = challenge(&asking(acr()), &server(), access_token());
    assert_eq!(code, Code::StepUpRequired);
    assert_eq!(
        challenge,
        "Bearer resource_metadata=\"https://mcp.example/.well-known/oauth-protected-resource/mcp\", \
         error=\"insufficient_user_authentication\", scope=\"docs.admin docs.list docs.read\", \
         acr_values=\"gold silver\", max_age=\"300\", \
         error_description=\"Other or more recent authentication is needed\""
    );
}

#[test]
fn entra_the_most_wanted_context_is_asked_for() {
    let (code, sent) = challenge(&asking(contexts()), &by_claims(), capable());
    assert_eq!(code, Code::ClaimsRequired);
    // {"access_token":{"acrs":{"essential":true,"value":"c1"}}}
    let claims = "eyJhY2Nlc3NfdG9rZW4iOnsiYWNycyI6eyJlc3NlbnRpYWwiOnRydWUsInZhbHVlIjoiYzEifX19";
    assert!(sent.ends_with(&format!(", claims=\"{claims}\"")), "{sent}");
    // {"access_token":{"nbf":{"essential":true,"value":"1785196800"}}}: the time of the request.
    let (_, sent) = challenge(&asking(acr()), &by_claims(), capable());
    let claims =
        "eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZSwidmFsdWUiOiIxNzg1MTk2ODAwIn19fQ==";
    assert!(sent.ends_with(&format!(", claims=\"{claims}\"")), "{sent}");
}

#[test]
fn nobody_is_asked_for_what_would_not_help() {
    let only_acr = StepUp { max_age: None, ..acr() };
    for (decision, server, token) in [
        // The client did not say that it understands claims challenges.
        (asking(contexts()), by_claims(), access_token()),
        // RFC 9470 has no words for contexts, and a claims challenge none for `acr`.
        (asking(contexts()), server(), capable()),
        (asking(only_acr), by_claims(), capable()),
        (denied_for(Reason::StepUp), server(), access_token()),
    ] {
        let denial = denied(&decision, &server, token, &FakeHost::new());
        assert_eq!(denial.code, Code::NotPermitted("step_up_required"));
        let reply = denial.reply("d1");
        assert_eq!((reply.status, challenges(&reply)), (403, 0));
    }
}

#[test]
fn a_challenge_that_is_not_counted_is_not_given() {
    let host = FakeHost::new();
    host.refuse_shared.set(true);
    let denial = denied(&asking(acr()), &server(), access_token(), &host);
    let reply = denial.reply("d1");
    assert_eq!((denial.code, reply.status, challenges(&reply)), (Code::StepUpExhausted, 403, 0));

    let challenge = || Challenge {
        resource_metadata: String::new(),
        error: None,
        scopes: Default::default(),
        proof_algorithms: Vec::new(),
    };
    let limited = Verdict::Limited { limit: "step_up".to_owned(), retry_after: Duration::MAX };
    for (verdict, code, sent) in [
        (Ok(Verdict::Taken), Code::StepUpRequired, 1),
        (Ok(limited), Code::StepUpExhausted, 0),
        (Err(HostError), Code::StepUpExhausted, 0),
    ] {
        let denial = counted(Code::StepUpRequired, challenge(), verdict);
        assert_eq!((denial.code, challenges(&denial.reply("d1"))), (code, sent));
    }
}

#[test]
fn mcp_a_client_that_does_not_step_up_is_challenged_a_few_times() {
    let host = FakeHost::new();
    rate::prepare(&host).unwrap();
    let codes = |host: &FakeHost, token: AccessToken| {
        [(); 5].map(|()| denied(&asking(acr()), &server(), token.clone(), host).code)
    };
    let [asked, gone] = [Code::StepUpRequired, Code::StepUpExhausted];
    assert_eq!(codes(&host, access_token()), [asked, asked, asked, gone, gone]);
    // At every worker.
    assert_eq!(codes(&FakeHost::worker(&host.shared), access_token()), [gone; 5]);
    // Others are not to blame.
    let bob = AccessToken { subject: "bob".to_owned(), ..access_token() };
    assert_eq!(codes(&host, bob), [asked, asked, asked, gone, gone]);
    host.advance(Duration::from_secs(5 * 60));
    assert_eq!(codes(&host, access_token()), [asked, asked, asked, gone, gone]);
}

#[test]
fn every_caller_and_rule_is_counted_apart() {
    let decision = asking(acr());
    let first = bucket(&decision, &server(), &access_token()).key;
    // A new token is no new caller.
    let token = AccessToken {
        issued_at: SystemTime::UNIX_EPOCH,
        scopes: ["more".to_owned()].into(),
        ..access_token()
    };
    assert_eq!(bucket(&decision, &server(), &token).key, first);

    let name = || "other".to_owned();
    let tokens = [
        AccessToken { issuer_url: name(), ..access_token() },
        AccessToken { subject: name(), ..access_token() },
        AccessToken { client_id: name(), ..access_token() },
    ];
    for token in tokens {
        assert_ne!(bucket(&decision, &server(), &token).key, first);
    }
    let decision = Decision { rules: vec![name()], ..decision };
    assert_ne!(bucket(&decision, &server(), &access_token()).key, first);
    let server = Server { resource: name(), ..server() };
    assert_ne!(bucket(&decision, &server, &access_token()).key, first);
}
