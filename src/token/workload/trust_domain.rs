//! One trust domain as a worker knows it: its name, and the bundle it published.

use std::time::SystemTime;

use crate::host::{CalloutAnswer, CalloutId, Host};
use crate::token::error::WorkloadError;
use crate::token::jwk::{Key, KeyId};
use crate::token::key_store::{BundleReader, KeyStore};
use crate::token::request::{Outcome, Wait, Waited};
use crate::token::shared_document::Freshness;

use super::{TrustDomain, TrustDomainId};

/// A trust domain, and what is known of its keys.
#[derive(Debug)]
pub(super) struct KnownTrustDomain {
    id: TrustDomainId,
    name: String,
    bundle: Option<KeyStore<BundleReader>>,
}

impl KnownTrustDomain {
    pub(super) fn new(id: TrustDomainId, TrustDomain { name, bundle }: TrustDomain) -> Self {
        let bundle = bundle.map(|keys| KeyStore::bundle(&name, keys));
        KnownTrustDomain { id, name, bundle }
    }

    pub(super) fn id(&self) -> TrustDomainId {
        self.id
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn prepare(&mut self, host: &dyn Host) {
        if let Some(bundle) = &mut self.bundle {
            bundle.prepare(host);
        }
    }

    pub(super) fn sync(&mut self, host: &dyn Host) {
        if let Some(bundle) = &mut self.bundle {
            bundle.sync(host);
        }
    }

    pub(super) fn on_tick(&mut self, host: &dyn Host) -> Option<Wait> {
        self.bundle.as_mut()?.on_tick(host).then_some(Wait::Bundle(self.id))
    }

    pub(super) fn on_callout(
        &mut self,
        callout: CalloutId,
        answer: &CalloutAnswer,
        host: &dyn Host,
    ) -> Option<Wait> {
        let is_ours = self.bundle.as_mut()?.on_callout(callout, answer, host);
        is_ours.then_some(Wait::Bundle(self.id))
    }

    /// The key of that name. One that is missing may have been published since the bundle
    /// was fetched.
    pub(super) fn key(
        &mut self,
        kid: &str,
        waited: Waited,
        now: SystemTime,
    ) -> Result<&Key, Outcome> {
        let id = self.id;
        let bundle = self.bundle.as_mut().ok_or(WorkloadError::TrustDomain)?;
        let is_missing = |bundle: &KeyStore<BundleReader>| {
            bundle.current(now).is_none_or(|(keys, _)| keys.find(Some(kid)).is_none())
        };
        if is_missing(bundle) && !waited.bundle && bundle.want_fetch(now) {
            return Err(Outcome::Waits(Wait::Bundle(id)));
        }
        let (keys, _) = bundle.current(now).ok_or(WorkloadError::BundleUnavailable)?;
        keys.find(Some(kid)).ok_or_else(|| WorkloadError::UnknownKey.into())
    }

    /// Whether the bundle still has the very key.
    pub(super) fn holds(&self, key: &KeyId, now: SystemTime) -> bool {
        let bundle = self.bundle.as_ref().and_then(|bundle| bundle.current(now));
        bundle.is_some_and(|(keys, _)| keys.holds(key))
    }

    /// Whether the bundle is overdue for a refresh.
    pub(super) fn is_stale(&self, now: SystemTime) -> bool {
        let bundle = self.bundle.as_ref().and_then(|bundle| bundle.current(now));
        bundle.is_some_and(|(_, freshness)| freshness == Freshness::Stale)
    }
}
