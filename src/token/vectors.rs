//! Published test vectors, verified as tokens are: in unit tests, and in the module in a
//! real Envoy (feature `test-faults`), whose cryptography no unit test has.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::host::Host;

use super::algorithm::Algorithm;
use super::jws::verify_compact;
use super::keys::KeySet;
use super::signature;

/// A set of keys and something signed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vector {
    /// Tells it from the others of its suite.
    pub id: u32,
    /// A JWK Set (RFC 7517 section 5).
    pub keys: Box<RawValue>,
    /// What one of the keys may have signed.
    pub signed: Signed,
}

/// What a vector has signed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signed {
    /// A JWS in compact serialisation, or what a vector has in its place.
    Jws(String),
    /// Anything, with the only key of the set.
    Bytes {
        /// In base64url.
        message: String,
        /// As a JWS has it, in base64url.
        signature: String,
    },
}

impl Vector {
    /// Whether it verifies, with an issuer that signs with any algorithm.
    #[must_use]
    pub fn verifies(&self, host: &dyn Host) -> bool {
        let Ok(keys) = KeySet::parse(self.keys.get().as_bytes(), &ALL) else { return false };
        match &self.signed {
            Signed::Jws(jws) => verify_compact(jws, &keys, host).is_ok(),
            Signed::Bytes { message, signature } => {
                let decode = |text| URL_SAFE_NO_PAD.decode(text).ok();
                match (keys.find(None), decode(message), decode(signature)) {
                    (Some(key), Some(message), Some(signature)) => {
                        signature::verify(key, &message, &signature, host).is_ok()
                    }
                    _ => false,
                }
            }
        }
    }
}

const ALL: [Algorithm; 10] = [
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::Es512,
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
    Algorithm::EdDsa,
];
