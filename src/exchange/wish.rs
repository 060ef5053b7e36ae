//! A wish for a credential, as it outlives the request that has it.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::profile::DependsOn;
use super::{Subject, Wanted};
use crate::token::{AccessToken, Secret, SpiffeId, TokenDigest, Verified};

/// Shortest JWT-SVID or token of an agent that is looked for in credentials, in bytes. What an
/// agent sends is not verified, and shorter texts are in any token by chance.
const SHORTEST_TOKEN: usize = 16;

/// What an errand is run for. Has no `Debug`: it is full of tokens.
pub(super) struct Wish {
    /// Scopes to ask for.
    pub(super) scopes: BTreeSet<String>,
    /// The caller's token.
    pub(super) token: Secret,
    pub(super) digest: TokenDigest,
    /// What it says.
    pub(super) claims: Rc<Verified<AccessToken>>,
    pub(super) jwt_svid: Option<(Secret, SpiffeId)>,
    pub(super) agent_token: Option<Secret>,
}

/// What was had on the way to a credential.
#[derive(Default)]
pub(super) struct Gained {
    /// Our own token, for `actor_token`.
    pub(super) actor: Option<Secret>,
    /// The first authorization server's assertion, for the second one.
    pub(super) assertion: Option<Assertion>,
}

/// Who the user is, as the first authorization server asserts it.
pub(super) struct Assertion {
    /// The JWT.
    pub(super) token: Secret,
    /// The scopes that it is for; `None` where nobody says it.
    pub(super) granted: Option<BTreeSet<String>>,
}

impl Wish {
    /// Of a request. Others may share the answer, so it has no actor's token that the answer does
    /// not depend on.
    pub(super) fn of(wanted: &Wanted<'_>, depends_on: DependsOn) -> Self {
        let subject = &wanted.subject;
        let jwt_svid = subject.jwt_svid.filter(|_| depends_on.jwt_svid);
        let agent_token = subject.agent_token.filter(|_| depends_on.agent_token);
        let secret = |text: &str| Secret::new(text.to_owned());
        Wish {
            scopes: wanted.scopes.clone(),
            token: secret(subject.token),
            digest: *subject.digest,
            claims: Rc::clone(subject.claims),
            jwt_svid: jwt_svid.map(|(token, id)| (secret(token), id.clone())),
            agent_token: agent_token.map(secret),
        }
    }
}

impl Subject<'_> {
    /// Whether this credential is, or contains, a token that came with the request and that the
    /// credential does not depend on. Of the others that was looked at when it was judged.
    pub(super) fn brought(&self, credential: &Secret, depends_on: DependsOn) -> bool {
        let caller = Some(self.token).filter(|token| !depends_on.subject && !token.is_empty());
        let jwt_svid = self.jwt_svid.filter(|_| !depends_on.jwt_svid).map(|(token, _)| token);
        let agent_token = self.agent_token.filter(|_| !depends_on.agent_token);
        let actors = [jwt_svid, agent_token].into_iter().flatten();
        caller
            .into_iter()
            .chain(actors.filter(|token| token.len() >= SHORTEST_TOKEN))
            .any(|token| credential.reveal().contains(token))
    }
}
