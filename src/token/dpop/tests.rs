//! Tests of proofs as the authenticator has them judged: a proof in, a verdict out.
#![expect(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "tests may panic"
)]

mod checks;
mod htu;
mod keys;
mod nonce;
mod published;
mod replay;

use std::cell::{Cell, RefCell};
use std::num::NonZeroU32;
use std::time::SystemTime;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::verifier::Proven;
use super::{DpopPolicy, Expected, ProofVerifier, Requirement};
use crate::host::fake::{FakeHost, SharedData};
use crate::host::{
    Callout, CalloutId, Change, Counter, Gauge, Host, HostError, LogLevel, NativeSigning,
    NativeVerdict, NativeVerification, SharedDataError, SharedValue,
};
use crate::token::cache::TokenDigest;
use crate::token::tests::support::*;
use crate::token::{ProofError, Thumbprint};

/// The access token of the tests; proofs see its digest only.
const TOKEN: &str = "an.access.token";

fn policy() -> DpopPolicy {
    dpop(Requirement::Required)
}

fn header() -> Value {
    json!({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk(1, "k1")})
}

/// A proof made now, with this `jti`.
fn claims(jti: &str) -> Value {
    json!({
        "jti": jti, "htm": "POST", "htu": AUDIENCE, "iat": now(),
        "ath": encode(Sha256::digest(TOKEN)),
    })
}

fn proof(jti: &str) -> String {
    sign(1, &header(), &claims(jti))
}

/// RFC 7638, for the Ed25519 key of `seed`; `serde_json` sorts members.
fn thumbprint(seed: u8) -> Thumbprint {
    let json = with(jwk(seed, "k1"), "kid", Value::Null).to_string();
    Thumbprint(Sha256::digest(json).into())
}

/// A worker of a proxy that was configured.
fn worker(shared: &SharedData) -> (ProofVerifier, FakeHost) {
    let host = FakeHost::worker(shared);
    ProofVerifier::prepare(&host).unwrap();
    (ProofVerifier::new(Vec::new()), host)
}

/// What a verifier says to a POST with the token, bound to the key of seed 1.
fn judge(
    verifier: &mut ProofVerifier,
    proof: &str,
    policy: &DpopPolicy,
    host: &dyn Host,
) -> Result<Proven, ProofError> {
    let token = TokenDigest::of(TOKEN);
    let expected = Expected { method: "POST", policy, token: &token, thumbprint: thumbprint(1) };
    verifier.verify(proof, &expected, host)
}

/// What a fresh proxy says to a proof.
fn verdict(proof: &str) -> Result<Proven, ProofError> {
    let (mut verifier, host) = worker(&SharedData::default());
    judge(&mut verifier, proof, &policy(), &host)
}

fn refusal(proof: &str) -> ProofError {
    verdict(proof).unwrap_err()
}

/// A host that counts its calls, and lets others in between a read and a write.
struct Watched<'t> {
    host: FakeHost,
    reads: Cell<u32>,
    writes: Cell<u32>,
    verifications: Cell<u32>,
    others: Cell<u32>,
    after_next_read: RefCell<Option<Box<dyn FnOnce() + 't>>>,
}

impl Watched<'_> {
    fn new(host: FakeHost) -> Self {
        Watched {
            host,
            reads: Cell::default(),
            writes: Cell::default(),
            verifications: Cell::default(),
            others: Cell::default(),
            after_next_read: RefCell::default(),
        }
    }
}

fn count(calls: &Cell<u32>) {
    calls.set(calls.get() + 1);
}

impl Host for Watched<'_> {
    fn now(&self) -> SystemTime {
        self.host.now()
    }

    fn random(&self) -> Result<[u8; 16], HostError> {
        count(&self.others);
        self.host.random()
    }

    fn verify_signature(&self, verification: &NativeVerification<'_>) -> NativeVerdict {
        count(&self.verifications);
        self.host.verify_signature(verification)
    }

    fn sign(&self, signing: &NativeSigning<'_>) -> Result<Vec<u8>, HostError> {
        count(&self.others);
        self.host.sign(signing)
    }

    fn shared(&self, key: &str) -> Result<Option<SharedValue>, HostError> {
        count(&self.reads);
        let value = self.host.shared(key);
        if let Some(meddle) = self.after_next_read.take() {
            meddle();
        }
        value
    }

    fn set_shared(
        &self,
        key: &str,
        value: &[u8],
        version: Option<NonZeroU32>,
    ) -> Result<(), SharedDataError> {
        count(&self.writes);
        self.host.set_shared(key, value, version)
    }

    fn dispatch(&self, callout: &Callout) -> Result<CalloutId, HostError> {
        count(&self.others);
        self.host.dispatch(callout)
    }

    fn count(&self, counter: Counter) {
        count(&self.others);
        self.host.count(counter);
    }

    fn adjust(&self, gauge: Gauge<'_>, change: Change) {
        count(&self.others);
        self.host.adjust(gauge, change);
    }

    fn log(&self, level: LogLevel, message: &str) {
        count(&self.others);
        self.host.log(level, message);
    }
}
