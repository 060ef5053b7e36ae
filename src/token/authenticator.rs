//! From a token to who sent it.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use crate::host::{CalloutAnswer, CalloutId, Counter, Host};

use super::algorithm::Algorithm;
use super::cache::{Entry, TokenCache, TokenDigest};
use super::claims::AccessToken;
use super::error::TokenError;
use super::issuer::{Identifier, Issuer, IssuerId, KeySource, TokenType};
use super::jws::{Jws, Segments, Unverified, Verified};
use super::key_store::KeyStore;
use super::request::{Caller, Credential, Demands, Evidence, Outcome, Wait, Waited};

/// Authenticates tokens: the issuers, their keys, and the tokens verified before.
/// One per worker; nothing is shared.
#[derive(Debug)]
pub struct Authenticator {
    issuers: Vec<KnownIssuer>,
    cache: TokenCache,
}

#[derive(Debug)]
struct KnownIssuer {
    url: String,
    algorithms: Vec<Algorithm>,
    /// As [`media_type`] writes them.
    token_types: Vec<String>,
    clock_skew: Duration,
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
    ) -> Option<Wait> {
        let mut stores = self.issuers.iter_mut().map(|issuer| &mut issuer.keys);
        stores.position(|keys| keys.on_callout(id, answer, host)).map(|id| Wait::Keys(IssuerId(id)))
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
        let holds = allowed.contains(&token.issuer) && issuer.keys.current(now)?.0.holds(key);
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
        issuer.check_header(&jws)?;
        let key = match issuer.keys.current(now).and_then(|(keys, _)| keys.find(jws.kid())) {
            Some(key) => key,
            None => return Err(issuer.missing_key(id, &jws, waited, now)),
        };
        let key_id = *key.id();
        let token = AccessToken::read(&jws.verify(key, host)?, id)?;
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
        token.check_time(issuer.clock_skew, now)?;
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
        .find(|(id, issuer)| allowed.contains(id) && issuer.url == url)
        .ok_or(TokenError::UnknownIssuer)
}

impl KnownIssuer {
    fn new(issuer: Issuer) -> Self {
        let Issuer { name, identifier, algorithms, token_types, clock_skew, keys, .. } = issuer;
        let issuer = match identifier {
            Identifier::Exact(issuer) => issuer,
            Identifier::PerTenant { prefix, .. } => prefix,
        };
        let keys = match keys {
            Some(KeySource::Inline(keys)) => KeyStore::Inline(keys),
            Some(KeySource::Remote { source, schedule }) => {
                KeyStore::remote(&name, &algorithms, source, schedule)
            }
            None => KeyStore::none(),
        };
        let token_types = token_types
            .iter()
            .filter_map(|typ| match typ {
                TokenType::Media(typ) => Some(media_type(typ)),
                TokenType::Absent => None,
            })
            .collect();
        KnownIssuer { url: issuer, algorithms, token_types, clock_skew, keys }
    }

    /// Before any key is looked up or fetched for the token.
    fn check_header(&self, jws: &Unverified<Jws<'_>>) -> Result<(), TokenError> {
        let typ = jws.token_type().map(media_type).ok_or(TokenError::Type)?;
        if !self.token_types.contains(&typ) {
            return Err(TokenError::Type);
        }
        if !self.algorithms.contains(&jws.algorithm()) {
            return Err(TokenError::Algorithm);
        }
        Ok(())
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

/// `typ` as a media type: lower case, `application/` where no slash is (RFC 7515 section 4.1.9).
fn media_type(typ: &str) -> String {
    let typ = typ.to_ascii_lowercase();
    if typ.contains('/') { typ } else { format!("application/{typ}") }
}
