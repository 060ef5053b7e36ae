//! One issuer as a worker knows it: its rules, and what it published.

use std::fmt;
use std::rc::Rc;
use std::time::SystemTime;

use crate::host::{CalloutAnswer, CalloutId, Counter, Host};

use super::cache::{Entry, TokenDigest};
use super::claims::AccessToken;
use super::error::TokenError;
use super::introspection::{
    Answer, AnswerContext, Freshness, IntrospectedTokens, Introspector, Lookup,
};
use super::issuer::{ClaimNames, Identifier, Issuer, IssuerId, KeySource};
use super::jwk::KeyId;
use super::jws::{Jws, Unverified, Verified};
use super::key_store::KeyStore;
use super::request::{Introspected, Outcome, Wait, Waited};
use super::revocation::Revocations;
use super::shared_document;
use super::token_rules::TokenRules;

/// An issuer, and what is known of its keys and tokens.
pub(super) struct KnownIssuer {
    id: IssuerId,
    pub(super) rules: TokenRules,
    claims: ClaimNames,
    keys: KeyStore,
    introspection: Option<Inquirer>,
    revocations: Option<Revocations>,
}

/// Who is asked about tokens, and about which.
struct Inquirer {
    tokens: IntrospectedTokens,
    /// Answers are signed, so the issuer's keys are needed to read one.
    is_signed: bool,
    introspector: Introspector,
}

impl KnownIssuer {
    pub(super) fn new(id: IssuerId, issuer: Issuer) -> Self {
        let rules = TokenRules::new(&issuer);
        let Issuer {
            name, identifier, algorithms, claims, keys, introspection, revocations, ..
        } = issuer;
        let keys = match keys {
            Some(KeySource::Inline(keys)) => KeyStore::Inline(keys),
            Some(KeySource::Remote { source, schedule }) => {
                KeyStore::remote(&name, &algorithms, source, schedule)
            }
            None => KeyStore::none(),
        };
        let identifier = match identifier {
            Identifier::Exact(url) => url,
            Identifier::PerTenant { prefix, suffix, .. } => format!("{prefix}{{tid}}{suffix}"),
        };
        let introspection = introspection.map(|settings| Inquirer {
            tokens: settings.tokens,
            is_signed: settings.signed_for.is_some(),
            introspector: Introspector::new(id, &name, &identifier, settings),
        });
        let revocations = revocations.map(|source| Revocations::of(&name, &source));
        KnownIssuer { id, rules, claims, keys, introspection, revocations }
    }

    /// See [`shared_document::SharedDocument::prepare`].
    pub(super) fn prepare(&mut self, host: &dyn Host) {
        self.keys.prepare(host);
        if let Some(revocations) = &mut self.revocations {
            revocations.prepare(host);
        }
    }

    /// Takes over what another worker fetched.
    pub(super) fn sync(&mut self, host: &dyn Host) {
        self.keys.sync(host);
        if let Some(revocations) = &mut self.revocations {
            revocations.sync(host);
        }
    }

    /// Starts what is due. Returns what nobody needs to wait for any longer.
    pub(super) fn on_tick(&mut self, host: &dyn Host) -> Vec<Wait> {
        let mut settled = Vec::new();
        if self.keys.on_tick(host) {
            settled.push(Wait::Keys(self.id));
        }
        if self.revocations.as_mut().is_some_and(|revocations| revocations.on_tick(host)) {
            settled.push(Wait::Revocations(self.id));
        }
        if let Some(Inquirer { introspector, .. }) = &mut self.introspection {
            settled.extend(introspector.on_tick(host));
        }
        settled
    }

    /// Takes the answer of a callout. Returns what nobody needs to wait for any longer;
    /// `None` when the callout is none of this issuer's.
    pub(super) fn on_callout(
        &mut self,
        callout: CalloutId,
        answer: &CalloutAnswer,
        host: &dyn Host,
    ) -> Option<Vec<Wait>> {
        if self.keys.on_callout(callout, answer, host) {
            return Some(vec![Wait::Keys(self.id)]);
        }
        let revocations = self.revocations.as_mut();
        if revocations.is_some_and(|list| list.on_callout(callout, answer, host)) {
            return Some(vec![Wait::Revocations(self.id)]);
        }
        let now = host.now();
        let Inquirer { introspector, .. } = self.introspection.as_mut()?;
        let context = AnswerContext {
            keys: self.keys.current(now).map(|(keys, _)| keys),
            claims: &self.claims,
            clock_skew: self.rules.clock_skew(),
            read: &|claims| self.rules.read_introspected(self.id, claims),
        };
        let settled = introspector.on_callout(callout, answer, &context, host)?;
        if settled.key_missing {
            // For the next answer: this one is lost.
            self.keys.want_fetch(now);
        }
        Some(settled.waits.into())
    }

    /// See [`Authenticator::epoch`](super::Authenticator::epoch).
    pub(super) fn epoch(&self) -> u64 {
        // Neither ever falls, so their sum tells every change of either.
        let revocations = self.revocations.as_ref().map_or(0, Revocations::changes);
        self.keys.changes().saturating_add(revocations)
    }

    /// Whether the issuer still publishes the key a token was verified with.
    pub(super) fn holds(&self, key: &KeyId, now: SystemTime) -> bool {
        self.keys.current(now).is_some_and(|(keys, _)| keys.holds(key))
    }

    /// Whether there is no fetch of the keys to wait for.
    #[cfg(test)]
    pub(super) fn keys_are_settled(&self) -> bool {
        self.keys.is_settled()
    }

    /// Whether the keys are overdue for a refresh.
    pub(super) fn has_stale_keys(&self, now: SystemTime) -> bool {
        self.keys.current(now).is_some_and(|(_, freshness)| is_stale(freshness))
    }

    /// Verifies a token that says it is of this issuer, and reads its claims.
    pub(super) fn verify(
        &mut self,
        jws: Unverified<Jws<'_>>,
        waited: Waited,
        now: SystemTime,
        host: &dyn Host,
    ) -> Result<Entry, Outcome> {
        self.rules.check_header(&jws)?;
        let keys = self.keys.current(now).map(|(keys, _)| keys);
        let Some(key) = keys.and_then(|keys| keys.find(jws.kid())) else {
            return Err(self.missing_key(&jws, waited, now));
        };
        self.rules.check_key(&jws, key)?;
        let key_id = *key.id();
        let token = self.rules.read(self.id, &jws.verify(key, host)?)?;
        Ok(Entry { token: Rc::new(token), key: key_id })
    }

    /// Which of its tokens it is asked about, whatever they are used for.
    pub(super) fn introspects(&self) -> Option<IntrospectedTokens> {
        self.introspection.as_ref().map(|inquirer| inquirer.tokens)
    }

    /// What the issuer makes of an opaque token.
    pub(super) fn redeem(
        &mut self,
        token: &str,
        digest: &TokenDigest,
        waited: Waited,
        host: &dyn Host,
    ) -> Result<(Rc<Verified<AccessToken>>, Introspected), Outcome> {
        let (answer, origin) = self.ask(token, digest, Freshness::Cached, waited, host)?;
        match &answer.token {
            Ok(token) => Ok((Rc::clone(token), origin)),
            Err(error) => Err((*error).into()),
        }
    }

    /// A verified token, as far as the issuer confirms it.
    pub(super) fn confirm(
        &mut self,
        (text, digest): (&str, &TokenDigest),
        token: &Rc<Verified<AccessToken>>,
        freshness: Freshness,
        waited: Waited,
        host: &dyn Host,
    ) -> Result<(Rc<Verified<AccessToken>>, Introspected), Outcome> {
        let (answer, origin) = self.ask(text, digest, freshness, waited, host)?;
        Ok((answer.confirm(token)?, origin))
    }

    fn ask(
        &mut self,
        token: &str,
        digest: &TokenDigest,
        freshness: Freshness,
        waited: Waited,
        host: &dyn Host,
    ) -> Result<(Rc<Answer>, Introspected), Outcome> {
        let inquirer = self.introspection.as_mut().ok_or(TokenError::IntrospectionUnavailable)?;
        let now = host.now();
        if inquirer.is_signed && self.keys.current(now).is_none() {
            return Err(if !waited.keys && self.keys.want_fetch(now) {
                Outcome::Waits(Wait::Keys(self.id))
            } else {
                TokenError::KeysUnavailable.into()
            });
        }
        let introspector = &mut inquirer.introspector;
        match introspector.look_up(token, digest, freshness, waited.introspection, host) {
            Lookup::Active(answer, origin) => Ok((answer, origin)),
            Lookup::Inactive => Err(TokenError::Inactive.into()),
            Lookup::Unavailable => Err(TokenError::IntrospectionUnavailable.into()),
            Lookup::Waits(wait) => Err(Outcome::Waits(wait)),
        }
    }

    /// Refuses a token on the issuer's revocation list. Whether the list is overdue for a
    /// refresh.
    pub(super) fn check_revocation(
        &mut self,
        token: &AccessToken,
        waited: Waited,
        now: SystemTime,
        host: &dyn Host,
    ) -> Result<bool, Outcome> {
        let Some(revocations) = &mut self.revocations else { return Ok(false) };
        let Some((list, freshness)) = revocations.current(now) else {
            return Err(if !waited.revocations && revocations.want_fetch(now) {
                Outcome::Waits(Wait::Revocations(self.id))
            } else {
                TokenError::RevocationsUnavailable.into()
            });
        };
        if list.revokes(token) {
            return Err(TokenError::Revoked.into());
        }
        let stale = is_stale(freshness);
        if stale {
            host.count(Counter::StaleUse { document: "revocations" });
        }
        Ok(stale)
    }

    /// What to do about a token whose key is not at hand.
    fn missing_key(
        &mut self,
        jws: &Unverified<Jws<'_>>,
        waited: Waited,
        now: SystemTime,
    ) -> Outcome {
        let have_keys = self.keys.current(now).is_some();
        // A fetch does not tell which of several keys a token without `kid` means.
        let fetch_helps = !have_keys || jws.kid().is_some();
        if !waited.keys && fetch_helps && self.keys.want_fetch(now) {
            Outcome::Waits(Wait::Keys(self.id))
        } else if have_keys {
            TokenError::UnknownKey.into()
        } else {
            TokenError::KeysUnavailable.into()
        }
    }
}

fn is_stale(freshness: shared_document::Freshness) -> bool {
    freshness == shared_document::Freshness::Stale
}

impl fmt::Debug for KnownIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownIssuer").field("rules", &self.rules).finish_non_exhaustive()
    }
}
