//! The foreign function `verify_signature`, as Envoy encodes and decides it.
//!
//! Argument: protobuf `{1 hash_function, 2 public_key (DER SubjectPublicKeyInfo),
//! 3 signature, 4 text}`; result: protobuf `{1 bool result, 2 string error}`. Keys as
//! PEM are not built: the filter sends DER. RSASSA-PKCS1-v1_5 and ECDSA with P-256,
//! P-384 and P-521 (signature as DER) only: no PSS, no EdDSA, as in Envoy.

use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::pkcs8::SubjectPublicKeyInfoRef;
use rsa::pkcs8::DecodePublicKey;
use sha2::{Digest, Sha256, Sha384, Sha512};

/// The encoded result, or `None` for what Envoy calls a bad argument.
pub(super) fn verify_signature(arguments: &[u8]) -> Option<Vec<u8>> {
    let arguments = fields(arguments)?;
    let field = |number: u64| {
        let value = arguments.iter().rev().find(|(n, _)| *n == number);
        value.map_or([].as_slice(), |(_, value)| value)
    };
    let (hash, key, signature, text) = (field(1), field(2), field(3), field(4));
    if key.is_empty() {
        return None;
    }
    let verified = match hash.to_ascii_lowercase().as_slice() {
        b"sha256" => verify::<Sha256>(key, signature, text),
        b"sha384" => verify::<Sha384>(key, signature, text),
        b"sha512" => verify::<Sha512>(key, signature, text),
        _ => Err("the hash function is not supported"),
    };
    Some(match verified {
        Ok(()) => vec![0x08, 0x01],
        Err(error) => [&[0x12, u8::try_from(error.len()).unwrap()], error.as_bytes()].concat(),
    })
}

fn verify<D: Digest + rsa::pkcs8::AssociatedOid>(
    key: &[u8],
    signature: &[u8],
    text: &[u8],
) -> Result<(), &'static str> {
    const FAILED: &str = "Failed to verify digest.";
    let hash = D::digest(text);
    let spki = SubjectPublicKeyInfoRef::try_from(key).map_err(|_| "the key cannot be read")?;
    let point = spki.subject_public_key.raw_bytes();
    let curve = spki.algorithm.parameters_oid().ok().map(|oid| oid.to_string());
    let verified = match curve.as_deref() {
        None => {
            let key = rsa::RsaPublicKey::from_public_key_der(key).map_err(|_| "not RSA")?;
            return key.verify(rsa::Pkcs1v15Sign::new::<D>(), &hash, signature).map_err(|_| FAILED);
        }
        Some("1.2.840.10045.3.1.7") => {
            let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point);
            let signature = p256::ecdsa::Signature::from_der(signature);
            key.and_then(|key| key.verify_prehash(&hash, &signature?))
        }
        Some("1.3.132.0.34") => {
            let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(point);
            let signature = p384::ecdsa::Signature::from_der(signature);
            key.and_then(|key| key.verify_prehash(&hash, &signature?))
        }
        Some("1.3.132.0.35") => {
            let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(point);
            let signature = p521::ecdsa::Signature::from_der(signature);
            key.and_then(|key| key.verify_prehash(&hash, &signature?))
        }
        Some(_) => return Err("the curve is not supported"),
    };
    verified.map_err(|_| FAILED)
}

/// The length-delimited fields of a protobuf message; `None` for anything else.
fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, &[u8])>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let length = usize::try_from(varint(&mut bytes)?).ok()?;
        let (value, rest) = bytes.split_at_checked(length)?;
        bytes = rest;
        if tag & 7 != 2 {
            return None;
        }
        fields.push((tag >> 3, value));
    }
    Some(fields)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
