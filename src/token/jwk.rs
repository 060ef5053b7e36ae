//! One public key of an issuer (RFC 7517, RFC 7518 section 6, RFC 8037).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rsa::pkcs8::EncodePublicKey as _;
use rsa::{BoxedUint, RsaPublicKey};
use sha2::{Digest as _, Sha256};

use crate::json::{Object, Value};

use super::algorithm::Algorithm;
use super::confirmation::Thumbprint;
use super::roca;

/// Smallest RSA modulus, in bits (RFC 7518 section 3.3).
const MIN_RSA_BITS: usize = 2048;

/// Largest RSA modulus, in bits. One verification in the module costs four times that
/// of 2048 bits already, and no provider is known to use more.
const MAX_RSA_BITS: usize = 4096;

/// Smallest RSA public exponent: FIPS 186-5 section 5.4 and every provider.
const MIN_RSA_EXPONENT: u64 = 65_537;

/// Most bytes of an RSA public exponent: a large one makes each verification slow.
const MAX_RSA_EXPONENT_BYTES: usize = 4;

/// Longest `kid` that is kept, in bytes: the longest a token may carry.
const MAX_KID: usize = 256;

/// Members only private and symmetric keys have (RFC 7518 sections 6.2.2, 6.3.2, 6.4.1).
/// Who publishes one has lost it.
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// What the keys of a set are published for, as their `use` says (RFC 7517 section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyUse {
    /// Signatures of all kinds: `sig`, or no `use` at all.
    Signatures,
    /// JWT-SVIDs: `jwt-svid`, and a `kid` (SPIFFE Trust Domain and Bundle section 4.2.2,
    /// JWT-SVID section 4).
    JwtSvids,
}

/// A verification key, bound to the one algorithm it is used with.
pub(super) struct Key {
    id: KeyId,
    kid: Option<String>,
    issuer: Option<String>,
    algorithm: Algorithm,
    spki: Vec<u8>,
    material: Material,
}

/// Identifies a key by what it is: SHA-256 over names, algorithm and public key.
/// It stays the same when an unchanged set is fetched again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct KeyId([u8; 32]);

/// A public key, checked and ready for use in the module.
pub(super) enum Material {
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    P521(Box<p521::ecdsa::VerifyingKey>),
    Rsa(Box<RsaPublicKey>),
    Ed25519(Box<ed25519_dalek::VerifyingKey>),
}

impl Key {
    /// Reads a JWK; `None` when it is not a key this issuer may sign tokens with.
    pub(super) fn from_jwk(
        jwk: &Value<'_>,
        purpose: KeyUse,
        algorithms: &[Algorithm],
    ) -> Option<Key> {
        let jwk = jwk.as_object()?;
        let is_private = PRIVATE_MEMBERS.iter().any(|name| jwk.get(name).is_some());
        if is_private || !purpose.fits(jwk) || !may_verify(jwk) {
            return None;
        }
        let kid = match jwk.get("kid") {
            None => None,
            Some(kid) => Some(kid.as_str().filter(|kid| kid.len() <= MAX_KID)?.to_owned()),
        };
        let issuer = match jwk.get("issuer") {
            None => None,
            Some(issuer) => Some(issuer.as_str()?.to_owned()),
        };
        let (material, natural) = Material::from_jwk(jwk, algorithms)?;
        let algorithm = match jwk.get("alg") {
            None => natural,
            Some(alg) => Algorithm::parse(alg.as_str()?)?,
        };
        // A curve has one algorithm, an RSA key any of the RSA ones.
        let fits = algorithm == natural || (natural.is_rsa() && algorithm.is_rsa());
        if !fits || !algorithms.contains(&algorithm) {
            return None;
        }
        let spki = material.to_spki()?;
        let id = KeyId::new(kid.as_deref(), issuer.as_deref(), algorithm, &spki);
        Some(Key { id, kid, issuer, algorithm, spki, material })
    }

    /// Reads the JWK that a DPoP proof signed with `algorithm` carries, and takes its
    /// thumbprint; `None` when it is not a public key for that algorithm.
    pub(super) fn for_proof(jwk: &Value<'_>, algorithm: Algorithm) -> Option<(Key, Thumbprint)> {
        let key = Key::from_jwk(jwk, KeyUse::Signatures, &[algorithm])?;
        Some((key, thumbprint(jwk.as_object()?)?))
    }

    pub(super) fn id(&self) -> &KeyId {
        &self.id
    }

    pub(super) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The issuer whose tokens the key is for, `{tenantid}` standing for any tenant: a member
    /// of Microsoft Entra ID's keys, which RFC 7517 does not have.
    pub(super) fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// The one algorithm this key verifies with.
    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// DER `SubjectPublicKeyInfo`, for the host.
    pub(super) fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Whether the two cannot both be used: one name for two keys, or two algorithms for one.
    pub(super) fn clashes_with(&self, other: &Key) -> bool {
        let same_name = self.kid.is_some() && self.kid == other.kid;
        let same_key = self.spki == other.spki;
        (same_name && self.id != other.id) || (same_key && self.algorithm != other.algorithm)
    }

    pub(super) fn material(&self) -> &Material {
        &self.material
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl KeyId {
    fn new(kid: Option<&str>, issuer: Option<&str>, algorithm: Algorithm, spki: &[u8]) -> Self {
        // SPKI is self-delimiting and no algorithm name has a NUL, so the parts cannot run together.
        let mut digest =
            Sha256::new().chain_update(spki).chain_update(algorithm.as_str()).chain_update([0]);
        for name in [kid, issuer] {
            digest.update([u8::from(name.is_some())]);
            digest.update(Sha256::digest(name.unwrap_or_default()));
        }
        KeyId(digest.finalize().into())
    }
}

impl KeyUse {
    fn fits(self, jwk: &Object<'_>) -> bool {
        let name = jwk.get("use").map(Value::as_str);
        match self {
            Self::Signatures => name.is_none_or(|name| name == Some("sig")),
            Self::JwtSvids => name == Some(Some(JWT_SVID)) && jwk.get("kid").is_some(),
        }
    }

    /// Whether a set that is read for this purpose rightly has keys for others. Those of
    /// issuers may too, but then it is worth saying that one was left out.
    pub(super) fn passes_over(self, jwk: &Value<'_>) -> bool {
        let name = jwk.as_object().and_then(|jwk| jwk.get("use")).and_then(Value::as_str);
        self == Self::JwtSvids && name != Some(JWT_SVID)
    }
}

/// `use` of keys for JWT-SVIDs.
const JWT_SVID: &str = "jwt-svid";

/// `key_ops` (RFC 7517 section 4.3): optional, and binding where present.
fn may_verify(jwk: &Object<'_>) -> bool {
    jwk.get("key_ops").is_none_or(|value| {
        value.as_array().is_some_and(|ops| ops.iter().any(|op| op.as_str() == Some("verify")))
    })
}

impl Material {
    /// The key and the algorithm it has when it names none: its curve's, or for RSA
    /// the issuer's first RSA algorithm.
    fn from_jwk(jwk: &Object<'_>, algorithms: &[Algorithm]) -> Option<(Self, Algorithm)> {
        let text = |name| jwk.get(name).and_then(Value::as_str);
        match (text("kty")?, text("crv")) {
            ("EC", Some("P-256")) => {
                let point = sec1_point(jwk, P256_COORDINATE)?;
                let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&point).ok()?;
                Some((Self::P256(key), Algorithm::Es256))
            }
            ("EC", Some("P-384")) => {
                let point = sec1_point(jwk, P384_COORDINATE)?;
                let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(&point).ok()?;
                Some((Self::P384(key), Algorithm::Es384))
            }
            ("EC", Some("P-521")) => {
                let point = sec1_point(jwk, P521_COORDINATE)?;
                let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(&point).ok()?;
                Some((Self::P521(Box::new(key)), Algorithm::Es512))
            }
            ("OKP", Some("Ed25519")) => {
                let x = <[u8; 32]>::try_from(octets(jwk, "x")?).ok()?;
                let key = ed25519_dalek::VerifyingKey::from_bytes(&x).ok()?;
                // A key of low order verifies what nobody signed.
                (!key.is_weak()).then(|| (Self::Ed25519(Box::new(key)), Algorithm::EdDsa))
            }
            ("RSA", _) => {
                let natural = algorithms.iter().copied().find(|algorithm| algorithm.is_rsa())?;
                Some((Self::Rsa(Box::new(rsa_key(jwk)?)), natural))
            }
            _ => None,
        }
    }

    fn to_spki(&self) -> Option<Vec<u8>> {
        Some(match self {
            Self::P256(key) => [&P256_SPKI[..], key.to_sec1_point(false).as_bytes()].concat(),
            Self::P384(key) => [&P384_SPKI[..], key.to_sec1_point(false).as_bytes()].concat(),
            Self::P521(key) => [&P521_SPKI[..], key.to_sec1_point(false).as_bytes()].concat(),
            Self::Ed25519(key) => [&ED25519_SPKI[..], key.as_bytes()].concat(),
            Self::Rsa(key) => key.to_public_key_der().ok()?.into_vec(),
        })
    }
}

/// Bytes of a coordinate (RFC 7518 section 6.2.1.2: full length, leading zeros included).
const P256_COORDINATE: usize = 32;
const P384_COORDINATE: usize = 48;
const P521_COORDINATE: usize = 66;

// DER SubjectPublicKeyInfo up to the key itself, which has a fixed length on each
// curve (RFC 5480 section 2, RFC 8410 section 4).
const P256_SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const P384_SPKI: [u8; 23] = [
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
    0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
];
const P521_SPKI: [u8; 25] = [
    0x30, 0x81, 0x9b, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05,
    0x2b, 0x81, 0x04, 0x00, 0x23, 0x03, 0x81, 0x86, 0x00,
];
const ED25519_SPKI: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Uncompressed SEC 1 point of the coordinates `x` and `y`.
fn sec1_point(jwk: &Object<'_>, coordinate: usize) -> Option<Vec<u8>> {
    let (x, y) = (octets(jwk, "x")?, octets(jwk, "y")?);
    let fits = x.len() == coordinate && y.len() == coordinate;
    fits.then(|| [&[4], x.as_slice(), y.as_slice()].concat())
}

fn rsa_key(jwk: &Object<'_>) -> Option<RsaPublicKey> {
    let (n, e) = (octets(jwk, "n")?, octets(jwk, "e")?);
    // Minimal encoding (RFC 7518 section 2, Base64urlUInt).
    let minimal = |octets: &[u8]| octets.first().is_some_and(|first| *first != 0);
    if !minimal(&n)
        || !minimal(&e)
        || n.len() > MAX_RSA_BITS / 8
        || e.len() > MAX_RSA_EXPONENT_BYTES
        || roca::has_fingerprint(&n)
    {
        return None;
    }
    let (n, e) = (BoxedUint::from_be_slice_vartime(&n), BoxedUint::from_be_slice_vartime(&e));
    if e < BoxedUint::from(MIN_RSA_EXPONENT) {
        return None;
    }
    // Checks the size and that both are odd.
    RsaPublicKey::new_with_size_limits(n, e, MIN_RSA_BITS..=MAX_RSA_BITS).ok()
}

fn octets(jwk: &Object<'_>, name: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(jwk.get(name)?.as_str()?).ok()
}

/// SHA-256 over the members that make the key, in lexical order (RFC 7638 section 3, RFC
/// 8037 section 2). Of a key that was read: its members are canonical base64url and names
/// of curves, so their text is the only one and needs no escapes.
fn thumbprint(jwk: &Object<'_>) -> Option<Thumbprint> {
    let text = |name| jwk.get(name).and_then(Value::as_str);
    let members: &[&str] = match text("kty")? {
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        "RSA" => &["e", "kty", "n"],
        _ => return None,
    };
    let mut digest = Sha256::new().chain_update("{");
    for (place, name) in members.iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        digest.update(format!(r#"{comma}"{name}":"{}""#, text(name)?));
    }
    Some(Thumbprint(digest.chain_update("}").finalize().into()))
}
