//! A wish for a credential, as it outlives the request that has it.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::Wanted;
use crate::token::{AccessToken, Secret, SpiffeId, TokenDigest, Verified};

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

impl From<&Wanted<'_>> for Wish {
    fn from(wanted: &Wanted<'_>) -> Self {
        let subject = &wanted.subject;
        let secret = |text: &str| Secret::new(text.to_owned());
        Wish {
            scopes: wanted.scopes.clone(),
            token: secret(subject.token),
            digest: *subject.digest,
            claims: Rc::clone(subject.claims),
            jwt_svid: subject.jwt_svid.map(|(token, id)| (secret(token), id.clone())),
            agent_token: subject.agent_token.map(secret),
        }
    }
}
