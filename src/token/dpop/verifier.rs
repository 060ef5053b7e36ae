//! The judgement of a proof, from its text to the record of its use.

use std::fmt;
use std::rc::Rc;

use crate::host::{Counter, Host, HostError};
use crate::token::cache::TokenDigest;
use crate::token::confirmation::Thumbprint;
use crate::token::error::ProofError;
use crate::token::jws::Segments;

use super::keys::KnownKeys;
use super::nonce::{NonceKey, Nonces};
use super::policy::DpopPolicy;
use super::proof::{self, Claims};
use super::replay;

/// Longest proof that is read, in bytes: with an RSA key of 4096 bits and the longest
/// `htu` it stays below 6 KiB, and HTTP servers take no longer header line by default.
const MAX_PROOF: usize = 8 * 1024;

/// Verifies proofs. One per worker; the record of used proofs and the nonce keys of this
/// proxy are in shared data.
///
/// A proof costs the host's clock, one native verification (none with Ed25519 and
/// RSASSA-PSS, which the module verifies), one read and one write of shared data; a nonce
/// of `replica` scope one read more.
pub(in crate::token) struct ProofVerifier {
    keys: KnownKeys,
    nonces: Nonces,
}

/// What a proof has to prove.
pub(in crate::token) struct Expected<'e> {
    /// The method of the request.
    pub(in crate::token) method: &'e str,
    /// What the server demands.
    pub(in crate::token) policy: &'e DpopPolicy,
    /// Of the token that came with it.
    pub(in crate::token) token: &'e TokenDigest,
    /// Of the key that token is bound to.
    pub(in crate::token) thumbprint: Thumbprint,
}

/// What became of a good proof.
#[derive(Debug)]
pub(in crate::token) struct Proven {
    /// A nonce for the next proof, when the one of this proof nears its end.
    pub(in crate::token) nonce: Option<String>,
}

impl ProofVerifier {
    /// A verifier with the keys of [`NonceScope::Cluster`](super::NonceScope::Cluster): the
    /// first one issues, each one verifies.
    pub(in crate::token) fn new(nonce_keys: Vec<NonceKey>) -> Self {
        ProofVerifier { keys: KnownKeys::new(), nonces: Nonces::new(nonce_keys) }
    }

    /// Makes what is not there yet of the shared record and the nonce key of this proxy.
    /// To be called when a configuration that uses DPoP is loaded: the first VM to load
    /// one is alone, and later ones must find what is recorded by then.
    ///
    /// # Errors
    /// [`HostError`]: no proof could be recorded, so the configuration cannot be served.
    pub(in crate::token) fn prepare(host: &dyn Host) -> Result<(), HostError> {
        replay::prepare(host)?;
        Nonces::prepare(host)
    }

    /// Verifies a proof and records its use.
    ///
    /// # Errors
    /// [`ProofError`], by the checks of RFC 9449 section 4.3. Nothing is recorded then.
    pub(in crate::token) fn verify(
        &mut self,
        proof: &str,
        expected: &Expected<'_>,
        host: &dyn Host,
    ) -> Result<Proven, ProofError> {
        let result = self.judge(proof, expected, host);
        match result {
            Err(ProofError::Replayed) => host.count(Counter::ProofReplayed),
            Err(ProofError::NotRecorded) => host.count(Counter::ReplayStoreFailed),
            _ => {}
        }
        result
    }

    /// A nonce for a challenge; `None` where the server uses none, or none can be made.
    pub(in crate::token) fn nonce(&self, policy: &DpopPolicy, host: &dyn Host) -> Option<String> {
        self.nonces.issue(policy, host)
    }

    fn judge(
        &mut self,
        proof: &str,
        expected: &Expected<'_>,
        host: &dyn Host,
    ) -> Result<Proven, ProofError> {
        if proof.len() > MAX_PROOF {
            return Err(ProofError::Malformed("too long"));
        }
        let segments = Segments::decode(proof).map_err(proof::refusal)?;
        let (header, signer) = self.keys.signer(&segments)?;
        if !expected.policy.algorithms.contains(&signer.key.algorithm()) {
            return Err(ProofError::Algorithm);
        }
        if signer.thumbprint != expected.thumbprint {
            return Err(ProofError::Thumbprint);
        }
        let now = host.now();
        let object = segments.unverified_claims().map_err(proof::refusal)?;
        let claims = Claims::read(&object)?;
        claims.check(expected, now)?;
        let nonce = self.nonces.check(claims.nonce, expected.policy, now, host)?;
        segments.verify(&signer.key, host).map_err(proof::refusal)?;
        self.keys.remember(header, Rc::clone(&signer));
        let mark = claims.mark(&signer.thumbprint, expected.policy);
        replay::record(&mark.ok_or(ProofError::NotRecorded)?, now, host)?;
        Ok(Proven { nonce })
    }
}

impl fmt::Debug for ProofVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProofVerifier").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}
