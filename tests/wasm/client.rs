//! A client with a DPoP key (RFC 9449): tokens bound to it, and its proofs.

use crate::host::Vm;
use crate::support::{Lines, RESOURCE, claims, encode, post, sign, with};

use p256::ecdsa::signature::Signer as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::cell::Cell;
use std::time::UNIX_EPOCH;

/// A client and its key.
pub(crate) struct Client {
    key: Key,
    proofs: Cell<u32>,
}

enum Key {
    Es256(Box<p256::ecdsa::SigningKey>),
    EdDsa(Box<ed25519_dalek::SigningKey>),
}

impl Client {
    /// One whose proofs the host verifies.
    pub(crate) fn es256() -> Self {
        let key = p256::ecdsa::SigningKey::from_slice(&[9; 32]).unwrap();
        Client { key: Key::Es256(Box::new(key)), proofs: Cell::new(0) }
    }

    /// One whose proofs the module verifies; every seed is another key.
    pub(crate) fn eddsa(seed: u8) -> Self {
        let key = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]);
        Client { key: Key::EdDsa(Box::new(key)), proofs: Cell::new(0) }
    }

    /// The claims of a good token bound to the key.
    pub(crate) fn claims(&self, vm: &Vm, scope: &str) -> Value {
        let mut claims = claims(vm, scope);
        claims["cnf"] = json!({ "jkt": self.thumbprint() });
        claims
    }

    /// A good token bound to the key.
    pub(crate) fn token(&self, vm: &Vm, scope: &str) -> String {
        sign("k1", &self.claims(vm, scope))
    }

    /// The claims of a good proof for a POST with that token. Each has its own `jti`.
    pub(crate) fn proof_claims(&self, vm: &Vm, token: &str) -> Value {
        let number = self.proofs.replace(self.proofs.get() + 1);
        json!({
            "jti": format!("proof-{number}"), "htm": "POST", "htu": RESOURCE,
            "iat": vm.now().duration_since(UNIX_EPOCH).unwrap().as_secs(),
            "ath": encode(Sha256::digest(token)),
        })
    }

    /// A proof with those claims.
    pub(crate) fn prove(&self, claims: &Value) -> String {
        let alg = match &self.key {
            Key::Es256(_) => "ES256",
            Key::EdDsa(_) => "EdDSA",
        };
        let header = json!({ "typ": "dpop+jwt", "alg": alg, "jwk": self.jwk() });
        let input = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let signature = match &self.key {
            Key::Es256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(input.as_bytes());
                signature.to_bytes().to_vec()
            }
            Key::EdDsa(key) => key.sign(input.as_bytes()).to_bytes().to_vec(),
        };
        format!("{input}.{}", encode(signature))
    }

    /// A good proof for a POST with that token.
    pub(crate) fn proof(&self, vm: &Vm, token: &str) -> String {
        self.prove(&self.proof_claims(vm, token))
    }

    /// A good proof with that nonce.
    pub(crate) fn proof_with_nonce(&self, vm: &Vm, token: &str, nonce: &str) -> String {
        let mut claims = self.proof_claims(vm, token);
        claims["nonce"] = json!(nonce);
        self.prove(&claims)
    }

    /// The header lines of a POST with a good token and proof.
    pub(crate) fn post(&self, vm: &Vm, scope: &str) -> Lines {
        let token = self.token(vm, scope);
        let proof = self.proof(vm, &token);
        post_with_proof(&token, &proof)
    }

    fn jwk(&self) -> Value {
        match &self.key {
            Key::Es256(key) => {
                let point = key.verifying_key().to_sec1_point(false).to_bytes();
                let [x, y] = [&point[1..=32], &point[33..]].map(encode);
                json!({ "crv": "P-256", "kty": "EC", "x": x, "y": y })
            }
            Key::EdDsa(key) => {
                let x = encode(key.verifying_key().as_bytes());
                json!({ "crv": "Ed25519", "kty": "OKP", "x": x })
            }
        }
    }

    /// RFC 7638: the required members in the order of their names.
    fn thumbprint(&self) -> String {
        encode(Sha256::digest(self.jwk().to_string()))
    }
}

/// The header lines of a POST with that token and that proof.
pub(crate) fn post_with_proof(token: &str, proof: &str) -> Lines {
    with(with(post(token), "authorization", format!("DPoP {token}")), "dpop", proof)
}
