//! The current keys of an issuer or a trust domain: from the configuration, or fetched.

use std::time::SystemTime;

use crate::host::{CalloutAnswer, CalloutId, Host};

use super::algorithm::Algorithm;
use super::issuer::KeySource;
use super::keys::KeySet;
use super::shared_document::{Freshness, Reader, SharedDocument};
use super::source::{Schedule, Source};

/// The keys of one issuer or, read as bundles are, of one trust domain.
#[derive(Debug)]
pub(super) enum KeyStore<R: Reader<Document = KeySet> = KeyReader> {
    Inline(KeySet),
    Remote(Box<SharedDocument<R>>),
}

/// Reads JWK Sets of an issuer that signs with these algorithms.
#[derive(Debug)]
pub(super) struct KeyReader(Vec<Algorithm>);

/// Reads the bundles of trust domains.
#[derive(Debug)]
pub(super) struct BundleReader;

impl KeyStore {
    /// Of an issuer without keys.
    pub(super) fn none() -> Self {
        KeyStore::Inline(KeySet::empty())
    }

    /// Fetched; `issuer` is the operator's name for it.
    pub(super) fn remote(
        issuer: &str,
        algorithms: &[Algorithm],
        source: Source,
        schedule: Schedule,
    ) -> Self {
        let reader = KeyReader(algorithms.to_vec());
        KeyStore::Remote(Box::new(SharedDocument::new(reader, issuer, source, schedule)))
    }
}

impl KeyStore<BundleReader> {
    /// Of a trust domain.
    pub(super) fn bundle(trust_domain: &str, keys: KeySource) -> Self {
        match keys {
            KeySource::Inline(keys) => KeyStore::Inline(keys),
            KeySource::Remote { source, schedule } => {
                let document = SharedDocument::new(BundleReader, trust_domain, source, schedule);
                KeyStore::Remote(Box::new(document))
            }
        }
    }
}

impl<R: Reader<Document = KeySet>> KeyStore<R> {
    /// See [`SharedDocument::prepare`].
    pub(super) fn prepare(&mut self, host: &dyn Host) {
        if let KeyStore::Remote(document) = self {
            document.prepare(host);
        }
    }

    /// The keys to verify with now; `None` when there are none, or only outdated ones.
    pub(super) fn current(&self, now: SystemTime) -> Option<(&KeySet, Freshness)> {
        match self {
            KeyStore::Inline(keys) => Some((keys, Freshness::Fresh)),
            KeyStore::Remote(document) => document.current(now),
        }
    }

    /// See [`SharedDocument::changes`]. Those of the configuration never change.
    pub(super) fn changes(&self) -> u64 {
        match self {
            KeyStore::Inline(_) => 0,
            KeyStore::Remote(document) => document.changes(),
        }
    }

    /// See [`SharedDocument::want_fetch`].
    pub(super) fn want_fetch(&mut self, now: SystemTime) -> bool {
        match self {
            KeyStore::Inline(_) => false,
            KeyStore::Remote(document) => document.want_fetch(now),
        }
    }

    /// See [`SharedDocument::is_settled`].
    #[cfg(test)]
    pub(super) fn is_settled(&self) -> bool {
        match self {
            KeyStore::Inline(_) => true,
            KeyStore::Remote(document) => document.is_settled(),
        }
    }

    /// See [`SharedDocument::sync`].
    pub(super) fn sync(&mut self, host: &dyn Host) {
        if let KeyStore::Remote(document) = self {
            document.sync(host);
        }
    }

    /// See [`SharedDocument::on_tick`].
    pub(super) fn on_tick(&mut self, host: &dyn Host) -> bool {
        match self {
            KeyStore::Inline(_) => false,
            KeyStore::Remote(document) => document.on_tick(host),
        }
    }

    /// See [`SharedDocument::on_callout`].
    pub(super) fn on_callout(
        &mut self,
        id: CalloutId,
        answer: &CalloutAnswer,
        host: &dyn Host,
    ) -> bool {
        match self {
            KeyStore::Inline(_) => false,
            KeyStore::Remote(document) => document.on_callout(id, answer, host),
        }
    }
}

impl Reader for KeyReader {
    type Document = KeySet;

    const NAME: &'static str = "keys";

    /// RFC 7517 section 8.5.1 has the second; most providers send the first.
    const MEDIA_TYPES: &'static [&'static str] = &["application/json", "application/jwk-set+json"];

    fn read(&self, body: &[u8]) -> Result<KeySet, String> {
        KeySet::parse(body, &self.0).map_err(|error| error.to_string())
    }

    fn is_same(one: &KeySet, other: &KeySet) -> bool {
        one.is_same(other)
    }

    fn note(keys: &KeySet) -> Option<String> {
        keys.unused().note()
    }
}

impl Reader for BundleReader {
    type Document = KeySet;

    const NAME: &'static str = "bundle";

    const OWNER: &'static str = "trust domain";

    const MEDIA_TYPES: &'static [&'static str] = KeyReader::MEDIA_TYPES;

    fn read(&self, body: &[u8]) -> Result<KeySet, String> {
        KeySet::parse_bundle(body).map_err(|error| error.to_string())
    }

    fn is_same(one: &KeySet, other: &KeySet) -> bool {
        one.is_same(other)
    }

    fn note(keys: &KeySet) -> Option<String> {
        keys.unused().note()
    }
}
