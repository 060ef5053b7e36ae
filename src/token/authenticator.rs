//! From what a request brings to who sent it.
//!
//! The order is fixed: whose token it is and whether it is good, whether it is for this
//! server and now, whether its issuer took it back, which workload sends it, and last whether
//! its sender is the one it is bound to. The last step records the use of a DPoP proof, so nothing that could
//! make the request wait, or be refused, comes after it.

#[cfg(not(target_arch = "wasm32"))]
mod assumed;

use std::rc::Rc;
use std::time::SystemTime;

use crate::host::{CalloutAnswer, CalloutId, Counter, Host, HostError};

use super::cache::{Entry, TokenCache, TokenDigest};
use super::claims::AccessToken;
use super::confirmation::{Confirmation, Thumbprint};
use super::dpop::{DpopPolicy, Expected, NonceKey, ProofVerifier, Requirement};
use super::error::{ProofError, TokenError};
use super::introspection::{Freshness, IntrospectedTokens};
use super::issuer::{Issuer, IssuerId};
use super::jws::{Jws, MAX_TOKEN, Segments, Unverified, Verified};
use super::known_issuer::KnownIssuer;
use super::request::{
    Caller, Credential, Demands, Evidence, Outcome, Recency, Scheme, Wait, Waited,
};
use super::shared_document::Generation;
use super::workload::{WorkloadIdentity, Workloads};

#[cfg(not(target_arch = "wasm32"))]
pub use assumed::Possession;

/// Authenticates callers: the issuers, what they published, and the tokens verified before.
/// One per worker; documents and used proofs are shared by the workers of a proxy.
#[derive(Debug)]
pub struct Authenticator {
    issuers: Vec<KnownIssuer>,
    cache: TokenCache,
    workloads: Workloads,
    proofs: ProofVerifier,
    generation: Generation,
}

/// One attempt to authenticate.
#[derive(Clone, Copy)]
struct Attempt<'a> {
    credential: &'a Credential<'a>,
    /// Of the credential's token.
    digest: &'a TokenDigest,
    demands: &'a Demands<'a>,
    waited: Waited,
    now: SystemTime,
}

impl Authenticator {
    /// An authenticator that holds nothing fetched yet; ticks bring it. The first of
    /// `nonce_keys` makes the nonces that are good at every proxy with these keys.
    #[must_use]
    pub fn new(issuers: Vec<Issuer>, nonce_keys: Vec<NonceKey>) -> Self {
        let issuers = issuers.into_iter().enumerate();
        Authenticator {
            issuers: issuers.map(|(id, issuer)| KnownIssuer::new(IssuerId(id), issuer)).collect(),
            cache: TokenCache::new(),
            workloads: Workloads::new(WorkloadIdentity::default()),
            proofs: ProofVerifier::new(nonce_keys),
            generation: Generation::default(),
        }
    }

    /// The same, which knows these workloads.
    #[must_use]
    pub fn with_workloads(self, workloads: WorkloadIdentity) -> Self {
        Authenticator { workloads: Workloads::new(workloads), ..self }
    }

    /// Makes what the workers of a proxy share, where it is not there yet. To be called
    /// once, before the first request; `takes_proofs` where any server takes DPoP proofs.
    ///
    /// # Errors
    /// [`HostError`] when proofs could not be recorded, so that none could be taken.
    pub fn prepare(&mut self, takes_proofs: bool, host: &dyn Host) -> Result<(), HostError> {
        for issuer in &mut self.issuers {
            issuer.prepare(host);
        }
        self.workloads.prepare(host);
        if takes_proofs { ProofVerifier::prepare(host) } else { Ok(()) }
    }

    /// Authenticates the sender of a request.
    pub fn authenticate(
        &mut self,
        credential: &Credential<'_>,
        demands: &Demands<'_>,
        waited: Waited,
        host: &dyn Host,
    ) -> Outcome {
        self.try_authenticate(credential, demands, waited, host)
            .map_or_else(|outcome| outcome, Outcome::Verified)
    }

    /// Asks the issuer about the token of an authenticated caller, for a call that needs
    /// its word (RFC 7662). The caller comes back with what the issuer confirms, which has
    /// still to be for this server.
    pub fn introspect(
        &mut self,
        token: &str,
        caller: &Caller,
        demands: &Demands<'_>,
        recency: Recency,
        waited: Waited,
        host: &dyn Host,
    ) -> Outcome {
        let digest = TokenDigest::of(token);
        let Some(issuer) = self.issuers.get_mut(caller.token.issuer.0) else {
            return TokenError::UnknownIssuer.into();
        };
        let freshness = match recency {
            Recency::Cached => Freshness::Cached,
            Recency::Fresh => Freshness::Fresh,
        };
        match issuer.confirm((token, &digest), &caller.token, freshness, waited, host) {
            Ok((token, origin)) => match admit(issuer, &token, demands, host.now()) {
                Ok(()) => {
                    let evidence = Evidence { introspection: Some(origin), ..caller.evidence };
                    Outcome::Verified(Caller { token, evidence, ..caller.clone() })
                }
                Err(error) => error.into(),
            },
            Err(outcome) => outcome,
        }
    }

    /// A nonce for a client that needs one (RFC 9449 section 8); `None` when none can be made.
    #[must_use]
    pub fn nonce(&self, policy: &DpopPolicy, host: &dyn Host) -> Option<String> {
        self.proofs.nonce(policy, host)
    }

    /// Changes whenever an issuer's keys or its list of revocations do, and never back: what was
    /// made of its tokens before is then made anew.
    #[must_use]
    pub fn epoch(&self, IssuerId(id): IssuerId) -> u64 {
        self.issuers.get(id).map_or(0, KnownIssuer::epoch)
    }

    /// Starts what is due: keys, lists of revocations, bundles, questions to issuers. Returns
    /// what nobody needs to wait for any longer.
    #[must_use = "requests may wait for these"]
    pub fn on_tick(&mut self, host: &dyn Host) -> Vec<Wait> {
        let mut settled = self.workloads.on_tick(host);
        settled.extend(self.issuers.iter_mut().flat_map(|issuer| issuer.on_tick(host)));
        settled
    }

    /// Takes the answer of a callout. Returns what nobody needs to wait for any longer;
    /// nothing when the callout is not one of ours, or was given up before.
    #[must_use = "requests may wait for these"]
    pub fn on_callout(
        &mut self,
        id: CalloutId,
        answer: &CalloutAnswer,
        host: &dyn Host,
    ) -> Vec<Wait> {
        let mut issuers = self.issuers.iter_mut();
        issuers
            .find_map(|issuer| issuer.on_callout(id, answer, host))
            .or_else(|| Some(vec![self.workloads.on_callout(id, answer, host)?]))
            .unwrap_or_default()
    }

    /// Whether there is no fetch of this issuer's keys to wait for.
    #[cfg(test)]
    pub(super) fn settled(&self, IssuerId(id): IssuerId) -> bool {
        self.issuers.get(id).is_none_or(KnownIssuer::keys_are_settled)
    }

    fn try_authenticate(
        &mut self,
        credential: &Credential<'_>,
        demands: &Demands<'_>,
        waited: Waited,
        host: &dyn Host,
    ) -> Result<Caller, Outcome> {
        if self.generation.changed(host) {
            self.issuers.iter_mut().for_each(|issuer| issuer.sync(host));
            self.workloads.sync(host);
        }
        if credential.token.len() > MAX_TOKEN {
            return Err(TokenError::Malformed("too long").into());
        }
        let digest = TokenDigest::of(credential.token);
        let attempt = Attempt { credential, digest: &digest, demands, waited, now: host.now() };
        let mut caller = self.identify(&attempt, host)?;
        match self.judge(&mut caller, &attempt, host) {
            Ok(()) => Ok(caller),
            Err(Outcome::Rejected(error)) => Err(Outcome::Refused(caller, error)),
            Err(outcome) => Err(outcome),
        }
    }

    /// Whose token it is, by a signature or by the issuer's word. Whether it is good here
    /// and now, and in the hands of its sender, is open.
    fn identify(&mut self, attempt: &Attempt<'_>, host: &dyn Host) -> Result<Caller, Outcome> {
        let Attempt { credential: Credential { token, .. }, digest, demands, waited, now } =
            *attempt;
        let mut evidence = Evidence::default();
        let token = if !is_jwt(token) {
            let issuer = self.issuer_of_opaque_tokens(demands)?;
            let (token, origin) = issuer.redeem(token, digest, waited, host)?;
            evidence.introspection = Some(origin);
            token
        } else if let Some(token) = self.recall(digest, demands.issuers, now) {
            host.count(Counter::TokenCacheHit);
            evidence.cached = true;
            token
        } else {
            host.count(Counter::TokenCacheMiss);
            let segments = Segments::decode(token)?;
            let jws = Unverified::<Jws<'_>>::parse(&segments)?;
            let issuer = self.issuer_of(&jws, demands.issuers)?;
            let entry = issuer.verify(jws, waited, now, host)?;
            let token = Rc::clone(&entry.token);
            // What this server refuses does not push out what it would take.
            if admit(issuer, &token, demands, now).is_ok() {
                self.cache.insert(*digest, entry);
            }
            token
        };
        Ok(Caller { token, digest: *digest, workload: None, evidence, nonce: None })
    }

    /// Whether the token of a caller is good here and now, which workload sends it, and that
    /// its sender is the one it is bound to.
    fn judge(
        &mut self,
        Caller { token, workload, evidence, nonce, .. }: &mut Caller,
        attempt: &Attempt<'_>,
        host: &dyn Host,
    ) -> Result<(), Outcome> {
        let Attempt { credential, digest, demands, waited, now } = *attempt;
        let issuer = self.issuers.get_mut(token.issuer.0).ok_or(TokenError::UnknownIssuer)?;
        admit(issuer, token, demands, now)?;
        evidence.stale = issuer.check_revocation(token, waited, now, host)?;
        if is_jwt(credential.token) {
            if issuer.has_stale_keys(now) {
                evidence.stale = true;
                host.count(Counter::StaleUse { document: "keys" });
            }
            if issuer.introspects() == Some(IntrospectedTokens::All) {
                let presented = (credential.token, digest);
                let (confirmed, origin) =
                    issuer.confirm(presented, token, Freshness::Cached, waited, host)?;
                admit(issuer, &confirmed, demands, now)?;
                evidence.introspection = Some(origin);
                *token = confirmed;
            }
        }
        let proved =
            self.workloads.identify(credential.workload, demands.resource, waited, now, host)?;
        if let Some((id, stale)) = proved {
            *workload = Some(id);
            evidence.stale |= stale;
        }
        *nonce = self.check_sender(attempt, token.confirmation, host)?;
        Ok(())
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
        let holds = allowed.contains(&token.issuer) && issuer.holds(key, now);
        holds.then(|| Rc::clone(token))
    }

    /// The issuer a token says it is of, among those this server trusts (RFC 9068 section 4).
    fn issuer_of(
        &mut self,
        jws: &Unverified<Jws<'_>>,
        allowed: &[IssuerId],
    ) -> Result<&mut KnownIssuer, TokenError> {
        let iss = jws.issuer().ok_or(TokenError::UnknownIssuer)?;
        let issuers = self.issuers.iter_mut().enumerate();
        issuers
            .filter(|(id, _)| allowed.contains(&IssuerId(*id)))
            .map(|(_, issuer)| issuer)
            .find(|issuer| issuer.rules.is_issuer(iss))
            .ok_or(TokenError::UnknownIssuer)
    }

    /// The issuer to ask about a token that does not say whose it is: the one whose tokens
    /// are opaque, else the only one that is asked about all of its tokens.
    fn issuer_of_opaque_tokens(
        &mut self,
        demands: &Demands<'_>,
    ) -> Result<&mut KnownIssuer, TokenError> {
        let asked_about = |tokens| {
            let issuers = &self.issuers;
            let mut found = demands.issuers.iter().filter(move |id| {
                issuers.get(id.0).is_some_and(|issuer| issuer.introspects() == Some(tokens))
            });
            found.next().filter(|_| found.next().is_none())
        };
        let id = asked_about(IntrospectedTokens::Opaque)
            .or_else(|| asked_about(IntrospectedTokens::All))
            .ok_or(TokenError::Malformed("not three segments"))?;
        self.issuers.get_mut(id.0).ok_or(TokenError::UnknownIssuer)
    }

    /// Whether the sender is the one the token is bound to. Returns a nonce for its next proof.
    fn check_sender(
        &mut self,
        &Attempt { credential, digest, demands, .. }: &Attempt<'_>,
        confirmation: Confirmation,
        host: &dyn Host,
    ) -> Result<Option<String>, TokenError> {
        let Confirmation { key, certificate } = confirmation;
        demands.mtls.check(certificate, credential.certificate)?;
        let Some(thumbprint) = key_to_prove(demands.dpop, key, credential.scheme)? else {
            return Ok(None);
        };
        let proof = credential.proof.ok_or(ProofError::Missing)?;
        let expected =
            Expected { method: credential.method, policy: demands.dpop, token: digest, thumbprint };
        Ok(self.proofs.verify(proof, &expected, host)?.nonce)
    }
}

/// The key that the sender has to prove, given the one that its token is bound to; `None`
/// where a bearer token will do.
fn key_to_prove(
    dpop: &DpopPolicy,
    bound: Option<Thumbprint>,
    scheme: Scheme,
) -> Result<Option<Thumbprint>, TokenError> {
    match (bound, scheme) {
        (Some(_), _) if dpop.mode == Requirement::Off => Err(TokenError::SenderConstrained),
        (Some(_), Scheme::Bearer) => Err(TokenError::Downgraded),
        (Some(thumbprint), Scheme::Dpop) => Ok(Some(thumbprint)),
        // A key that nothing binds the token to proves nothing of its sender.
        (None, Scheme::Dpop) => Err(TokenError::NotSenderConstrained),
        (None, Scheme::Bearer) if dpop.mode == Requirement::Required => {
            Err(TokenError::NotSenderConstrained)
        }
        (None, Scheme::Bearer) => Ok(None),
    }
}

/// What is checked on every use, remembered or not.
fn admit(
    issuer: &KnownIssuer,
    token: &AccessToken,
    demands: &Demands<'_>,
    now: SystemTime,
) -> Result<(), TokenError> {
    issuer.rules.check_time(token, now)?;
    let is_ours =
        |audience: &String| audience == demands.resource || demands.audiences.contains(audience);
    if token.audiences.iter().any(is_ours) { Ok(()) } else { Err(TokenError::Audience) }
}

/// Whether a token is to be read as a JWT: it has the segments of one (RFC 7515 section 3.1).
/// Such a token is never taken for an opaque one, whatever is wrong with it.
fn is_jwt(token: &str) -> bool {
    token.bytes().filter(|byte| *byte == b'.').count() == 2
}

impl From<TokenError> for Outcome {
    fn from(error: TokenError) -> Self {
        Outcome::Rejected(error)
    }
}
