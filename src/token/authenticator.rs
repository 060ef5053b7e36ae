//! From a token to who sent it.

use std::rc::Rc;
use std::time::SystemTime;

use crate::host::{CalloutAnswer, CalloutId, Counter, Host};

use super::cache::{Entry, TokenCache, TokenDigest};
use super::claims::AccessToken;
use super::confirmation::Confirmation;
use super::error::TokenError;
use super::issuer::{Issuer, IssuerId, KeySource};
use super::jws::{Jws, Segments, Unverified, Verified};
use super::key_store::KeyStore;
use super::request::{Caller, Credential, Demands, Evidence, Outcome, Wait, Waited};
use super::source::Source;
use super::token_rules::TokenRules;

/// Authenticates tokens: the issuers, their keys, and the tokens verified before.
/// One per worker; nothing is shared.
#[derive(Debug)]
pub struct Authenticator {
    issuers: Vec<KnownIssuer>,
    cache: TokenCache,
}

#[derive(Debug)]
struct KnownIssuer {
    rules: TokenRules,
    keys: KeyStore,
}

impl Authenticator {
    /// An authenticator that holds no fetched keys yet; ticks bring them.
    #[must_use]
    pub fn new(issuers: Vec<Issuer>) -> Self {
        Authenticator {
            issuers: issuers.into_iter().map(KnownIssuer::new).collect(),
            cache: TokenCache::new(),
        }
    }

    /// Authenticates the sender of a request.
    pub fn authenticate(
        &mut self,
        credential: &Credential<'_>,
        demands: &Demands<'_>,
        waited: Waited,
        host: &dyn Host,
    ) -> Outcome {
        match self.try_authenticate(
            credential.token,
            demands.issuers,
            demands.resource,
            waited,
            host,
        ) {
            Ok(token) => {
                Outcome::Verified(Caller { token, evidence: Evidence::default(), nonce: None })
            }
            Err(outcome) => outcome,
        }
    }

    /// Starts the key fetches that are due: first ones, wanted ones, refreshes. Returns
    /// the issuers whose fetch ended here, because it could not start or its answer
    /// never came: wake who waits for them.
    #[must_use = "requests may wait for these issuers"]
    pub fn on_tick(&mut self, host: &dyn Host) -> Vec<Wait> {
        let stores = self.issuers.iter_mut().map(|issuer| &mut issuer.keys).enumerate();
        stores
            .filter_map(|(id, keys)| keys.on_tick(host).then_some(Wait::Keys(IssuerId(id))))
            .collect()
    }

    /// Takes the answer of a callout. Returns the issuer whose fetch it ended, well or
    /// not: wake who waits for it. `None` when the callout is not one of ours, or was
    /// given up before.
    #[must_use = "requests may wait for this issuer"]
    pub fn on_callout(
        &mut self,
        id: CalloutId,
        answer: &CalloutAnswer,
        host: &dyn Host,
    ) -> Vec<Wait> {
        let mut stores = self.issuers.iter_mut().map(|issuer| &mut issuer.keys);
        let settled = stores.position(|keys| keys.on_callout(id, answer, host));
        settled.map(|id| Wait::Keys(IssuerId(id))).into_iter().collect()
    }

    /// Placeholder.
    pub fn nonce(&self, _: &super::DpopPolicy, _: &dyn Host) -> Option<String> {
        None
    }

    /// Placeholder.
    pub fn introspect(
        &mut self,
        _: &str,
        caller: &Caller,
        _: crate::policy::Introspect,
        _: Waited,
        _: &dyn Host,
    ) -> Outcome {
        Outcome::Verified(caller.clone())
    }

    /// Whether there is no fetch of this issuer's keys to wait for.
    #[must_use]
    pub fn settled(&self, issuer: IssuerId) -> bool {
        self.issuers.get(issuer.0).is_none_or(|issuer| issuer.keys.is_settled())
    }

    fn try_authenticate(
        &mut self,
        token: &str,
        allowed: &[IssuerId],
        audience: &str,
        waited: Waited,
        host: &dyn Host,
    ) -> Result<Rc<Verified<AccessToken>>, Outcome> {
        let now = host.now();
        let digest = TokenDigest::of(token);
        if let Some(token) = self.recall(&digest, allowed, now) {
            host.count(Counter::TokenCacheHit);
            self.admit(&token, audience, now)?;
            return Ok(token);
        }
        host.count(Counter::TokenCacheMiss);
        let entry = self.verify(token, allowed, waited, now, host)?;
        self.admit(&entry.token, audience, now)?;
        let token = Rc::clone(&entry.token);
        self.cache.insert(digest, entry);
        Ok(token)
    }

    /// The token, if it was verified before and would be again: by an issuer this
    /// server trusts, with a key the issuer still publishes.
    fn recall(
        &mut self,
        digest: &TokenDigest,
        allowed: &[IssuerId],
        now: SystemTime,
    ) -> Option<Rc<Verified<AccessToken>>> {
        let Entry { token, key } = self.cache.get(digest)?;
        let issuer = self.issuers.get(token.issuer.0)?;
        let holds = allowed.contains(&token.issuer) && issuer.keys.current(now)?.holds(key);
        holds.then(|| Rc::clone(token))
    }

    fn verify(
        &mut self,
        token: &str,
        allowed: &[IssuerId],
        waited: Waited,
        now: SystemTime,
        host: &dyn Host,
    ) -> Result<Entry, Outcome> {
        let segments = Segments::decode(token)?;
        let jws = Unverified::<Jws<'_>>::parse(&segments)?;
        let (id, issuer) = find(&mut self.issuers, allowed, &jws)?;
        issuer.rules.check_header(&jws)?;
        let key = match issuer.keys.current(now).and_then(|keys| keys.find(jws.kid())) {
            Some(key) => key,
            None => return Err(issuer.missing_key(id, &jws, waited, now)),
        };
        issuer.rules.check_key(&jws, key)?;
        let key_id = *key.id();
        let token = issuer.rules.read(id, &jws.verify(key, host)?)?;
        Ok(Entry { token: Rc::new(token), key: key_id })
    }

    /// What is checked on every use, remembered or not.
    fn admit(
        &self,
        token: &Verified<AccessToken>,
        audience: &str,
        now: SystemTime,
    ) -> Result<(), TokenError> {
        let issuer = self.issuers.get(token.issuer.0).ok_or(TokenError::UnknownIssuer)?;
        issuer.rules.check_time(token, now)?;
        if token.confirmation != Confirmation::default() {
            return Err(TokenError::SenderConstrained);
        }
        let for_us = token.audiences.iter().any(|member| member == audience);
        if for_us { Ok(()) } else { Err(TokenError::Audience) }
    }
}

impl From<TokenError> for Outcome {
    fn from(error: TokenError) -> Self {
        Outcome::Rejected(error)
    }
}

/// The issuer a token says it is of, among those this server trusts (RFC 9068 section 4).
fn find<'i>(
    issuers: &'i mut [KnownIssuer],
    allowed: &[IssuerId],
    jws: &Unverified<Jws<'_>>,
) -> Result<(IssuerId, &'i mut KnownIssuer), TokenError> {
    let url = jws.issuer().ok_or(TokenError::UnknownIssuer)?;
    issuers
        .iter_mut()
        .enumerate()
        .map(|(id, issuer)| (IssuerId(id), issuer))
        .find(|(id, issuer)| allowed.contains(id) && issuer.rules.is_issuer(url))
        .ok_or(TokenError::UnknownIssuer)
}

impl KnownIssuer {
    fn new(issuer: Issuer) -> Self {
        let rules = TokenRules::new(&issuer);
        let Issuer { name, algorithms, keys, .. } = issuer;
        let keys = match keys {
            Some(KeySource::Inline(keys)) => KeyStore::Inline(keys),
            Some(KeySource::Remote { source: Source::At(callout), schedule }) => {
                KeyStore::remote(&name, &algorithms, callout, schedule.refresh)
            }
            _ => KeyStore::none(),
        };
        KnownIssuer { rules, keys }
    }

    /// What to do about a token whose key is not at hand.
    fn missing_key(
        &mut self,
        id: IssuerId,
        jws: &Unverified<Jws<'_>>,
        waited: Waited,
        now: SystemTime,
    ) -> Outcome {
        let have_keys = self.keys.current(now).is_some();
        // A fetch does not tell which of several keys a token without `kid` means.
        let fetch_helps = !have_keys || jws.kid().is_some();
        if !waited.keys && fetch_helps && self.keys.want_fetch(now) {
            Outcome::Waits(Wait::Keys(id))
        } else if have_keys {
            Outcome::Rejected(TokenError::UnknownKey)
        } else {
            Outcome::Rejected(TokenError::KeysUnavailable)
        }
    }
}
