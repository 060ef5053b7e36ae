//! Which workload sends a request: the SPIFFE ID that its certificate or a JWT-SVID proves.
//!
//! Only what is of a configured trust domain counts. A certificate was verified in the TLS
//! handshake, by what the listener trusts; of it there is only the name left to read. A
//! JWT-SVID is verified here, by the bundle of the trust domain that its `sub` is of and by
//! no other's. A certificate of somewhere else is as if it were not there: clients have them
//! for other reasons. A JWT-SVID is there for this one, so it is good or the request is not.

mod jwt_svid;
mod trust_domain;

use std::fmt;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::SystemTime;

use lru::LruCache;

use crate::host::{CalloutAnswer, CalloutId, Counter, Host};

use super::cache::TokenDigest;
use super::error::WorkloadError;
use super::issuer::KeySource;
use super::jwk::KeyId;
use super::jws::{MAX_TOKEN, Verified};
use super::request::{Outcome, Wait, Waited};
use super::spiffe::SpiffeId;

use jwt_svid::{JwtSvid, Presented};
use trust_domain::KnownTrustDomain;

/// Most JWT-SVIDs remembered per worker; at about 0.5 KiB each, 0.5 MiB. A workload has one
/// for each server until it expires.
const MAX_SVIDS: NonZeroUsize = match NonZeroUsize::new(1024) {
    Some(bound) => bound,
    None => NonZeroUsize::MIN,
};

/// The workloads that are known, as configured.
#[derive(Debug, Default)]
pub struct WorkloadIdentity {
    /// Their trust domains.
    pub trust_domains: Vec<TrustDomain>,
    /// What the `aud` of a JWT-SVID may be besides a server's resource identifier.
    pub audiences: Vec<String>,
}

/// A trust domain (SPIFFE Trust Domain and Bundle section 2).
#[derive(Debug)]
pub struct TrustDomain {
    /// Its name, such as `corp.example`.
    pub name: String,
    /// Its keys of JWT-SVIDs; `None` where certificates are its only evidence.
    pub bundle: Option<KeySource>,
}

/// Names a trust domain: its place in [`WorkloadIdentity::trust_domains`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrustDomainId(pub usize);

/// What a request brings to say which workload sends it. Nothing of it is judged.
#[derive(Clone, Copy, Default)]
pub struct WorkloadEvidence<'r> {
    /// The URI SAN of the certificate on the connection, which the listener verified.
    pub uri_san: Option<&'r str>,
    /// A JWT-SVID, as it was sent.
    pub jwt_svid: Option<&'r str>,
}

/// The workloads as a worker knows them: their trust domains, and the JWT-SVIDs verified
/// before.
pub(super) struct Workloads {
    trust_domains: Vec<KnownTrustDomain>,
    audiences: Vec<String>,
    verified: LruCache<TokenDigest, Entry>,
}

/// A workload, and whether the bundle that vouches for it is overdue for a refresh.
pub(super) type Identified = (Rc<SpiffeId>, bool);

/// A verified JWT-SVID, and the key that verified it. What may have changed since (time,
/// keys, who asks) is checked on each use.
#[derive(Clone)]
struct Entry {
    svid: Rc<Verified<JwtSvid>>,
    trust_domain: TrustDomainId,
    key: KeyId,
}

impl Workloads {
    pub(super) fn new(WorkloadIdentity { trust_domains, audiences }: WorkloadIdentity) -> Self {
        let trust_domains = trust_domains.into_iter().enumerate();
        Workloads {
            trust_domains: trust_domains
                .map(|(id, trust_domain)| KnownTrustDomain::new(TrustDomainId(id), trust_domain))
                .collect(),
            audiences,
            verified: LruCache::new(MAX_SVIDS),
        }
    }

    /// See [`SharedDocument::prepare`](super::shared_document::SharedDocument::prepare).
    pub(super) fn prepare(&mut self, host: &dyn Host) {
        self.trust_domains.iter_mut().for_each(|trust_domain| trust_domain.prepare(host));
    }

    /// Takes over what another worker fetched.
    pub(super) fn sync(&mut self, host: &dyn Host) {
        self.trust_domains.iter_mut().for_each(|trust_domain| trust_domain.sync(host));
    }

    /// Starts what is due. Returns what nobody needs to wait for any longer.
    pub(super) fn on_tick(&mut self, host: &dyn Host) -> Vec<Wait> {
        self.trust_domains.iter_mut().filter_map(|domain| domain.on_tick(host)).collect()
    }

    /// Takes the answer of a callout. Returns what nobody needs to wait for any longer;
    /// `None` when the callout is none of ours.
    pub(super) fn on_callout(
        &mut self,
        callout: CalloutId,
        answer: &CalloutAnswer,
        host: &dyn Host,
    ) -> Option<Wait> {
        self.trust_domains.iter_mut().find_map(|domain| domain.on_callout(callout, answer, host))
    }

    /// The workload that sends a request to the server with this resource identifier; `None`
    /// where there is no evidence of one.
    pub(super) fn identify(
        &mut self,
        evidence: WorkloadEvidence<'_>,
        resource: &str,
        waited: Waited,
        now: SystemTime,
        host: &dyn Host,
    ) -> Result<Option<Identified>, Outcome> {
        let certified = evidence.uri_san.and_then(|san| self.certified(san));
        let Some(text) = evidence.jwt_svid else {
            return Ok(certified.map(|id| (Rc::new(id), false)));
        };
        let (id, stale) = self.verify(text, resource, waited, now, host)?;
        if certified.is_some_and(|certified| certified != *id) {
            return Err(WorkloadError::Mismatch.into());
        }
        Ok(Some((id, stale)))
    }

    /// The workload that a certificate names, if it is of a known trust domain.
    fn certified(&self, uri_san: &str) -> Option<SpiffeId> {
        let id = SpiffeId::parse(uri_san).ok()?;
        self.trust_domains.iter().any(|domain| domain.name() == id.trust_domain()).then_some(id)
    }

    /// Whose JWT-SVID it is, and that it is good for this server, now.
    fn verify(
        &mut self,
        text: &str,
        resource: &str,
        waited: Waited,
        now: SystemTime,
        host: &dyn Host,
    ) -> Result<Identified, Outcome> {
        if text.len() > MAX_TOKEN {
            return Err(WorkloadError::Malformed("too long").into());
        }
        let digest = TokenDigest::of(text);
        let (entry, is_new) = match self.recall(&digest, now) {
            Some(entry) => (entry, false),
            None => (self.verify_signature(text, waited, now, host)?, true),
        };
        let Entry { svid, trust_domain, .. } = &entry;
        svid.check_time(now)?;
        svid.check_audience(resource, &self.audiences)?;
        let stale = self.trust_domain(*trust_domain).is_some_and(|domain| domain.is_stale(now));
        if stale {
            host.count(Counter::StaleUse { document: "bundle" });
        }
        let id = Rc::clone(&svid.id);
        if is_new {
            self.verified.put(digest, entry);
        }
        Ok((id, stale))
    }

    /// A JWT-SVID that was verified before, with a key that is still in its bundle.
    fn recall(&mut self, digest: &TokenDigest, now: SystemTime) -> Option<Entry> {
        let entry = self.verified.get(digest)?.clone();
        self.trust_domain(entry.trust_domain)?.holds(&entry.key, now).then_some(entry)
    }

    fn verify_signature(
        &mut self,
        text: &str,
        waited: Waited,
        now: SystemTime,
        host: &dyn Host,
    ) -> Result<Entry, Outcome> {
        let segments = jwt_svid::decode(text)?;
        let presented = Presented::parse(&segments)?;
        let trust_domain = self
            .trust_domains
            .iter_mut()
            .find(|domain| domain.name() == presented.subject.trust_domain())
            .ok_or(WorkloadError::TrustDomain)?;
        let key = trust_domain.key(presented.kid()?, waited, now)?;
        let (svid, key) = (Rc::new(presented.verify(key, host)?), *key.id());
        Ok(Entry { svid, trust_domain: trust_domain.id(), key })
    }

    fn trust_domain(&self, TrustDomainId(id): TrustDomainId) -> Option<&KnownTrustDomain> {
        self.trust_domains.get(id)
    }
}

impl From<WorkloadError> for Outcome {
    fn from(error: WorkloadError) -> Self {
        Outcome::Rejected(error.into())
    }
}

impl fmt::Debug for Workloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workloads")
            .field("trust_domains", &self.trust_domains)
            .field("verified", &self.verified.len())
            .finish_non_exhaustive()
    }
}
