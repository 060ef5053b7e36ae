//! Asking for better authentication, and not for ever.

use std::time::SystemTime;

use super::denials::challenge;
use super::server::{Server, StepUpChallenge};
use super::verdict::Purpose;
use crate::host::{Host, HostError};
use crate::policy::{Decision, Identity, StepUp};
use crate::rate::{self, Bucket, Verdict};
use crate::reply::{Authentication, Challenge, ChallengeError, ClaimsRequest, Code, Denial};
use crate::token::AccessToken;

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
    let caller = [&token.issuer_url, &token.subject, &token.client_id, &server.resource];
    Bucket::of_step_up(&rules, &caller.map(String::as_str))
}

fn seconds(time: SystemTime) -> Option<u64> {
    time.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_secs())
}
