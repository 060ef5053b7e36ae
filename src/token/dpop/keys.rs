//! The keys that sign proofs.

use std::num::NonZeroUsize;
use std::rc::Rc;

use lru::LruCache;
use sha2::{Digest as _, Sha256};

use crate::token::confirmation::Thumbprint;
use crate::token::error::ProofError;
use crate::token::jwk::Key;
use crate::token::jws::{Header, Kind, Segments};

use super::proof;

/// Most keys remembered per worker: about 0.5 MiB of P-256 keys, 4 MiB if all were RSA
/// keys of 4096 bits. A client has one key for as long as it runs.
pub(super) const MAX_KEYS: NonZeroUsize = match NonZeroUsize::new(1024) {
    Some(bound) => bound,
    None => NonZeroUsize::MIN,
};

/// Spares the header of a returning client its second reading: JSON, the point on its
/// curve, the thumbprint. The header has nothing that changes from proof to proof.
pub(super) struct KnownKeys(LruCache<HeaderDigest, Rc<Signer>>);

/// SHA-256 of an encoded header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct HeaderDigest([u8; 32]);

/// The key of a proof.
pub(super) struct Signer {
    pub(super) key: Key,
    pub(super) thumbprint: Thumbprint,
}

impl KnownKeys {
    pub(super) fn new() -> Self {
        KnownKeys(LruCache::new(MAX_KEYS))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The key of a proof, and the name to remember it by.
    pub(super) fn signer(
        &mut self,
        proof: &Segments<'_>,
    ) -> Result<(HeaderDigest, Rc<Signer>), ProofError> {
        let header = HeaderDigest(Sha256::digest(proof.encoded_header()).into());
        let signer = match self.0.get(&header) {
            Some(signer) => Rc::clone(signer),
            None => Rc::new(Signer::read(proof)?),
        };
        Ok((header, signer))
    }

    /// Keeps a key for its next proof. Only what has proved itself is kept, so that nobody
    /// can crowd out the keys of others without tokens for as many keys.
    pub(super) fn remember(&mut self, header: HeaderDigest, signer: Rc<Signer>) {
        self.0.put(header, signer);
    }
}

impl Signer {
    /// Reads the header (RFC 9449 section 4.3, numbers 4 to 7).
    fn read(proof: &Segments<'_>) -> Result<Self, ProofError> {
        let parameters = proof.header().map_err(proof::refusal)?;
        let header = Header::read(&parameters, Kind::DpopProof).map_err(proof::refusal)?;
        if !header.token_type.as_deref().is_some_and(is_proof_type) {
            return Err(ProofError::Type);
        }
        let (key, thumbprint) = parameters
            .get("jwk")
            .and_then(|jwk| Key::for_proof(jwk, header.algorithm))
            .ok_or(ProofError::Key)?;
        Ok(Signer { key, thumbprint })
    }
}

/// `dpop+jwt` as a media type: no matter the case, `application/` may be left out (RFC 7515
/// section 4.1.9).
fn is_proof_type(typ: &str) -> bool {
    typ.eq_ignore_ascii_case("dpop+jwt") || typ.eq_ignore_ascii_case("application/dpop+jwt")
}
