//! A key set: of an issuer, or in the bundle of a trust domain.

use crate::json::{self, Value};

use super::algorithm::Algorithm;
use super::jwk::{Key, KeyId, KeyUse};

/// Most keys of a set. Providers publish 2 to 10; each usable one costs a point
/// decompression or a modulus to prepare.
const MAX_KEYS: usize = 64;

/// The algorithms of JWT-SVIDs (JWT-SVID section 2.1). RS256 is the first: SPIRE's RSA keys
/// name no `alg` and sign with it.
pub(super) const JWT_SVID_ALGORITHMS: [Algorithm; 9] = [
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::Es512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
];

/// The usable keys of a JWK Set (RFC 7517 section 5): of an issuer, at least one.
///
/// Keys that cannot be used are left out, as RFC 7517 section 5 wants it: a set may
/// hold keys for encryption, or of algorithms we do not know.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<Key>,
    unused: Unused,
}

/// How many keys of a set were left out, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Unused {
    /// Of a type or curve we do not know.
    unknown: usize,
    /// For another use or algorithm, or not as its type has to be.
    unfit: usize,
    /// With the `kid` of another key.
    ambiguous: usize,
}

/// Why a JWK Set was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Not a JSON object with an array `keys`.
    #[error("not a JWK Set")]
    NotAKeySet,
    /// More keys than are read.
    #[error("more than {MAX_KEYS} keys")]
    TooManyKeys,
    /// No key of the set can be used with the issuer's algorithms.
    #[error("no usable key")]
    NoUsableKey,
}

impl KeySet {
    /// A set that verifies nothing: of an issuer that issues opaque tokens only.
    pub(super) fn empty() -> Self {
        KeySet { keys: Vec::new(), unused: Unused::default() }
    }

    /// Reads a JWK Set, as the keys of an issuer that signs with `algorithms`.
    ///
    /// Where two different usable keys share a `kid`, neither is used: which one the
    /// issuer means cannot be told, and trying both would let a token choose. Nor is a key
    /// that is published for several algorithms (RFC 8725bis section 3.1).
    ///
    /// # Errors
    /// [`KeySetError`].
    pub fn parse(jwks: &[u8], algorithms: &[Algorithm]) -> Result<KeySet, KeySetError> {
        let set = KeySet::read(jwks, KeyUse::Signatures, algorithms)?;
        if set.is_empty() { Err(KeySetError::NoUsableKey) } else { Ok(set) }
    }

    /// Reads the bundle of a trust domain, for its keys of JWT-SVIDs (SPIFFE Trust Domain and
    /// Bundle section 4). It may have none: a trust domain that takes its last key back
    /// publishes that.
    ///
    /// Two keys of one name and keys for several algorithms are treated as by
    /// [`KeySet::parse`]. An RSA key that names no `alg` is for RS256.
    ///
    /// # Errors
    /// [`KeySetError`].
    pub fn parse_bundle(jwks: &[u8]) -> Result<KeySet, KeySetError> {
        KeySet::read(jwks, KeyUse::JwtSvids, &JWT_SVID_ALGORITHMS)
    }

    /// Whether it verifies nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    fn read(jwks: &[u8], purpose: KeyUse, algorithms: &[Algorithm]) -> Result<KeySet, KeySetError> {
        let document = json::read(jwks).map_err(|_| KeySetError::NotAKeySet)?;
        let jwks = document
            .as_object()
            .and_then(|set| set.get("keys"))
            .and_then(Value::as_array)
            .ok_or(KeySetError::NotAKeySet)?;
        if jwks.len() > MAX_KEYS {
            return Err(KeySetError::TooManyKeys);
        }
        let mut keys: Vec<Key> = Vec::with_capacity(jwks.len());
        let mut unused = Unused::default();
        for jwk in jwks.iter().filter(|jwk| !purpose.passes_over(jwk)) {
            match Key::from_jwk(jwk, purpose, algorithms) {
                Some(key) if keys.iter().any(|other| other.id() == key.id()) => {}
                Some(key) => keys.push(key),
                None => unused.add(jwk),
            }
        }
        let clashing: Vec<KeyId> = keys
            .iter()
            .filter(|key| keys.iter().any(|other| key.clashes_with(other)))
            .map(|key| *key.id())
            .collect();
        let usable = keys.len();
        keys.retain(|key| !clashing.contains(key.id()));
        unused.ambiguous = usable.saturating_sub(keys.len());
        Ok(KeySet { keys, unused })
    }

    /// The key a token means. Without `kid` there is an answer only if there is one key.
    pub(super) fn find(&self, kid: Option<&str>) -> Option<&Key> {
        match (kid, self.keys.as_slice()) {
            (Some(kid), keys) => keys.iter().find(|key| key.kid() == Some(kid)),
            (None, [key]) => Some(key),
            (None, _) => None,
        }
    }

    /// Whether both verify the same tokens.
    pub(super) fn is_same(&self, other: &KeySet) -> bool {
        // No key is twice in a set.
        self.keys.len() == other.keys.len() && self.keys.iter().all(|key| other.holds(key.id()))
    }

    /// Whether the set still holds the very key.
    pub(super) fn holds(&self, id: &KeyId) -> bool {
        self.keys.iter().any(|key| key.id() == id)
    }

    /// The keys that were left out.
    pub(super) fn unused(&self) -> Unused {
        self.unused
    }
}

impl Unused {
    fn add(&mut self, jwk: &Value<'_>) {
        let text = |name| jwk.as_object().and_then(|jwk| jwk.get(name)).and_then(Value::as_str);
        let is_known = match text("kty") {
            Some("RSA") => true,
            Some("EC") => matches!(text("crv"), Some("P-256" | "P-384" | "P-521")),
            Some("OKP") => text("crv") == Some("Ed25519"),
            _ => false,
        };
        let count = if is_known { &mut self.unfit } else { &mut self.unknown };
        *count = count.saturating_add(1);
    }

    /// One line for an operator, without anything of the keys; `None` when all are used.
    pub(super) fn note(self) -> Option<String> {
        let Unused { unknown, unfit, ambiguous } = self;
        let reasons = [
            (unknown, "of an unknown type"),
            (unfit, "not for the issuer's algorithms, or malformed"),
            (ambiguous, "with the `kid` of another"),
        ];
        let reasons: Vec<String> = reasons
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, reason)| format!("{count} {reason}"))
            .collect();
        (!reasons.is_empty()).then(|| format!("keys not used: {}", reasons.join(", ")))
    }
}
