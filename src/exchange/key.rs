//! Which credentials are the same.

use sha2::{Digest as _, Sha256};

use super::profile::DependsOn;
use super::{ExchangeId, Wanted};

/// Names a credential: two wishes with the same key get the same one. It holds digests only, so
/// that nothing can be sent that is found in a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    identity: [u8; 32],
    /// That of the issuer of the caller's token, where the credential is made of it.
    epoch: u64,
}

impl Key {
    /// Of what is wanted, by an exchange whose answers depend on these.
    pub(super) fn of(wanted: &Wanted<'_>, depends_on: DependsOn) -> Self {
        let subject = &wanted.subject;
        let digest = |token: &str| -> [u8; 32] { Sha256::digest(token).into() };
        let caller = depends_on.subject.then(|| *subject.digest.as_bytes());
        let jwt_svid = subject.jwt_svid.filter(|_| depends_on.jwt_svid);
        let agent_token = subject.agent_token.filter(|_| depends_on.agent_token);
        let tokens = [caller, jwt_svid.map(|(token, _)| digest(token)), agent_token.map(digest)];
        let mut parts = Parts::new("credential", wanted.exchange);
        // A token that plays no part has no length, which no digest has.
        tokens.iter().for_each(|token| parts.add(token.as_ref().map_or(&[], |token| token)));
        wanted.scopes.iter().for_each(|scope| parts.add(scope.as_bytes()));
        Key { identity: parts.finish(), epoch: if depends_on.subject { subject.epoch } else { 0 } }
    }

    /// Of the token that is ours, whoever calls.
    pub(super) fn of_own_actor(exchange: ExchangeId) -> Self {
        Key { identity: Parts::new("actor", exchange).finish(), epoch: 0 }
    }

    /// Whether they name the same but for what was published meanwhile.
    pub(super) fn is_same_but_for_epoch(&self, other: &Key) -> bool {
        self.identity == other.identity
    }
}

/// Texts and digests as one digest: each with its length, so that they cannot run together.
struct Parts(Sha256);

impl Parts {
    fn new(kind: &str, ExchangeId(exchange): ExchangeId) -> Self {
        let mut parts = Parts(Sha256::new());
        parts.add(kind.as_bytes());
        parts.add(&exchange.to_be_bytes());
        parts
    }

    fn add(&mut self, part: &[u8]) {
        self.0.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        self.0.update(part);
    }

    fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}
