//! Asking for better authentication, and not for ever.

use std::rc::Rc;
use std::time::SystemTime;

use super::admitted::Admitted;
use super::denials::challenge;
use super::server::{Server, StepUpChallenge};
use super::verdict::Purpose;
use crate::host::{Host, HostError};
use crate::policy::{Decision, Identity, StepUp};
use crate::rate::{self, Bucket, Verdict};
use crate::reply::{
    Authentication, Challenge, ChallengeError, ClaimsRequest, Code, Denial, RpcError,
};
use crate::token::{AccessToken, SubjectKind};

/// The denial of an operation for which the user has to authenticate again, or better: a
/// challenge, unless nothing can be asked for, or it was asked for too often.
pub(super) fn step_up(
    decision: &Decision,
    server: &Server,
    identity: &Identity<'_>,
    purpose: Purpose,
    host: &dyn Host,
) -> Denial {
    let Some((code, error)) = wanted(decision, server, identity) else {
        let code = Code::NotPermitted("step_up_required");
        return Denial::new(code, "this client cannot be asked for what the rule takes");
    };
    let mut challenge = challenge(server, Some(error));
    // A 401 begins anew: who asked for nothing else would lose what it began with.
    challenge.scopes.extend(decision.required_scopes.iter().cloned());
    let verdict = match purpose {
        Purpose::Answer => rate::take(&[bucket(decision, server, identity.token)], host),
        Purpose::Record => Ok(Verdict::Taken),
    };
    counted(code, challenge, verdict)
}

/// The denial of an operation whose credential is not had before the user interacts with the
/// authorization server: a challenge that brings the user there, unless the client would not know
/// what to do, or was told too often. `claims` is what the authorization server wants to be asked.
pub(super) fn interaction(
    claims: Option<&Rc<str>>,
    exchange: &str,
    admitted: &Admitted,
    host: &dyn Host,
) -> Denial {
    let (server, token) = (&admitted.arrival.server, &admitted.standing.token);
    let challenged = match challenge_kind(token, server) {
        _ if token.kind == SubjectKind::Workload => None,
        // Section 4 has clients use its parameters where they are there: without, the user begins
        // anew, and the authorization server knows what it wants.
        StepUpChallenge::Rfc9470 => Some((
            Code::StepUpRequired,
            ChallengeError::InsufficientUserAuthentication(Authentication::default()),
        )),
        StepUpChallenge::Claims => claims.filter(|_| token.takes_claims_challenges).map(|claims| {
            (Code::ClaimsRequired, ChallengeError::ClaimsOfIssuer(Rc::clone(claims)))
        }),
    };
    let Some((code, error)) = challenged else {
        let code = Code::ExchangeRefused("exchange_interaction_required");
        let reason = "the user has to interact with the authorization server, and this client \
                      cannot be asked for it";
        let message = "The user has to sign in with the authorization server first".to_owned();
        return Denial::new(code, reason).with_error(RpcError { message, ..code.rpc_error() });
    };
    let bucket = Bucket::of_step_up(&format!("exchange {exchange}"), &caller(server, token));
    counted(code, challenge(server, Some(error)), rate::take(&[bucket], host))
}

/// The challenge that makes a client get a token issued from now on, if that is what its
/// issuer gives and it takes such challenges.
pub(super) fn newer_token(
    token: &AccessToken,
    server: &Server,
    now: SystemTime,
) -> Option<ChallengeError> {
    let request = ClaimsRequest { context: None, not_before: Some(seconds(now)?) };
    let takes_it =
        challenge_kind(token, server) == StepUpChallenge::Claims && token.takes_claims_challenges;
    takes_it.then_some(ChallengeError::InsufficientClaims(request))
}

/// The denial of a challenge that was counted, or could not be.
pub(super) fn counted(
    code: Code,
    challenge: Challenge,
    verdict: Result<Verdict, HostError>,
) -> Denial {
    match verdict {
        Ok(Verdict::Taken) => Denial::new(code, "the user has to authenticate again, or better")
            .with_challenge(challenge),
        Ok(Verdict::Limited { .. }) => {
            Denial::new(Code::StepUpExhausted, "the client was told to step up, and did not")
        }
        Err(HostError) => Denial::new(Code::StepUpExhausted, "challenges cannot be counted"),
    }
}

/// What to ask for; nothing where no answer would satisfy the rule, or where nobody would
/// know what to do.
fn wanted(
    decision: &Decision,
    server: &Server,
    identity: &Identity<'_>,
) -> Option<(Code, ChallengeError)> {
    let StepUp { acr, max_age, contexts } = decision.step_up.as_deref()?;
    match challenge_kind(identity.token, server) {
        StepUpChallenge::Rfc9470 => {
            let wanted = Authentication { acr_values: acr.clone(), max_age: *max_age };
            (wanted != Authentication::default()).then_some((
                Code::StepUpRequired,
                ChallengeError::InsufficientUserAuthentication(wanted),
            ))
        }
        StepUpChallenge::Claims => {
            let request = ClaimsRequest {
                context: contexts.first().cloned(),
                not_before: max_age.and_then(|_| seconds(identity.now)),
            };
            (identity.token.takes_claims_challenges && request != ClaimsRequest::default())
                .then_some((Code::ClaimsRequired, ChallengeError::InsufficientClaims(request)))
        }
    }
}

fn challenge_kind(token: &AccessToken, server: &Server) -> StepUpChallenge {
    let mut kinds = server.step_up_challenges.iter();
    kinds
        .find(|(issuer, _)| *issuer == token.issuer)
        .map_or_else(Default::default, |(_, kind)| *kind)
}

/// Who is challenged for what. A new token is the same caller.
pub(super) fn bucket(decision: &Decision, server: &Server, token: &AccessToken) -> Bucket<'static> {
    let rules = decision.rules.join("\n");
    Bucket::of_step_up(&rules, &caller(server, token))
}

fn caller<'a>(server: &'a Server, token: &'a AccessToken) -> [&'a str; 4] {
    [&token.issuer_url, &token.subject, &token.client_id, &server.resource]
}

fn seconds(time: SystemTime) -> Option<u64> {
    time.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_secs())
}
