//! The foreign functions `verify_signature` and `sign`, as Envoy encodes and decides them.
//!
//! `verify_signature`: protobuf `{1 hash_function, 2 public_key (DER SubjectPublicKeyInfo),
//! 3 signature, 4 text}` to `{1 bool result, 2 string error}`. `sign`: `{1 hash_function,
//! 2 private_key (DER PrivateKeyInfo), 3 text}` to `{1 bool result, 2 signature, 3 string
//! error}`. Keys as PEM are not built: the filter sends DER. RSASSA-PKCS1-v1_5 and ECDSA
//! with P-256, P-384 and P-521 (signature as DER) only: no PSS, no EdDSA, as in Envoy. It
//! signs with P-521, we do not: no test has such a key of ours.

use p256::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
use p256::pkcs8::SubjectPublicKeyInfoRef;
use rsa::pkcs8::{AssociatedOid, DecodePrivateKey, DecodePublicKey};
use sha2::{Digest, Sha256, Sha384, Sha512};

/// The encoded result, or `None` for what Envoy calls a bad argument.
pub(super) fn verify_signature(arguments: &[u8]) -> Option<Vec<u8>> {
    let arguments = fields(arguments)?;
    let [hash, key, signature, text] = [1, 2, 3, 4].map(|number| field(&arguments, number));
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
        Err(error) => delimited(2, error.as_bytes()),
    })
}

/// The encoded result, or `None` for what Envoy calls a bad argument: no key, or two.
pub(super) fn sign(arguments: &[u8]) -> Option<Vec<u8>> {
    let arguments = fields(arguments)?;
    let [hash, key, text, pem] = [1, 2, 3, 4].map(|number| field(&arguments, number));
    if key.is_empty() || !pem.is_empty() {
        return None;
    }
    let signed = match hash.to_ascii_lowercase().as_slice() {
        b"sha256" => sign_with::<Sha256>(key, text),
        b"sha384" => sign_with::<Sha384>(key, text),
        b"sha512" => sign_with::<Sha512>(key, text),
        _ => Err("the hash function is not supported"),
    };
    Some(match signed {
        Ok(signature) => [vec![0x08, 0x01], delimited(2, &signature)].concat(),
        Err(error) => delimited(3, error.as_bytes()),
    })
}

fn sign_with<D: Digest + AssociatedOid>(key: &[u8], text: &[u8]) -> Result<Vec<u8>, &'static str> {
    const FAILED: &str = "Failed to sign.";
    let hash = D::digest(text);
    if let Ok(key) = rsa::RsaPrivateKey::from_pkcs8_der(key) {
        return key.sign(rsa::Pkcs1v15Sign::new::<D>(), &hash).map_err(|_| FAILED);
    }
    if let Ok(key) = p256::ecdsa::SigningKey::from_pkcs8_der(key) {
        let signature: Result<p256::ecdsa::Signature, _> = key.sign_prehash(&hash);
        return signature
            .map(|signature| signature.to_der().as_bytes().to_vec())
            .map_err(|_| FAILED);
    }
    if let Ok(key) = p384::ecdsa::SigningKey::from_pkcs8_der(key) {
        let signature: Result<p384::ecdsa::Signature, _> = key.sign_prehash(&hash);
        return signature
            .map(|signature| signature.to_der().as_bytes().to_vec())
            .map_err(|_| FAILED);
    }
    Err("the key cannot be read")
}

fn verify<D: Digest + AssociatedOid>(
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

/// The last field of that number, as protobuf has it; empty when there is none.
fn field<'a>(fields: &[(u64, &'a [u8])], number: u64) -> &'a [u8] {
    fields.iter().rev().find(|(n, _)| *n == number).map_or(&[], |(_, value)| value)
}

/// One length-delimited field.
fn delimited(number: u8, value: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut length = value.len();
    while length > 0x7f {
        field.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    field.push(length as u8);
    field.extend(value);
    field
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

#[cfg(test)]
mod tests {
    use super::{field, fields, sign, verify_signature};
    use jwt_simple::prelude::*;
    use p256::pkcs8::{EncodePrivateKey, EncodePublicKey};
    use p521::ecdsa::signature::Signer;

    const VALID: Option<&[u8]> = Some(&[0x08, 0x01]);
    const FAILED: Option<&[u8]> = Some(b"\x12\x18Failed to verify digest.");

    fn arguments(hash: &str, key: &[u8], signature: &[u8], text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let parts = [hash.as_bytes(), key, signature, text.as_bytes()];
        for (number, part) in (1_u8..).zip(parts) {
            let [low, high] = [part.len() & 0x7f, part.len() >> 7].map(|n| n as u8);
            bytes.extend([number << 3 | 2, low | 0x80, high]);
            bytes.extend(part);
        }
        bytes
    }

    /// The signing input and the signature of a token.
    fn split(token: &str) -> (&str, Vec<u8>) {
        let (input, signature) = token.rsplit_once('.').unwrap();
        let signature =
            base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, signature);
        (input, signature.unwrap())
    }

    fn claims() -> JWTClaims<NoCustomClaims> {
        Claims::create(Duration::from_hours(1))
    }

    #[track_caller]
    fn check(hash: &str, key: &[u8], signature: &[u8], text: &str) {
        let verify = |text| verify_signature(&arguments(hash, key, signature, text));
        assert_eq!(verify(text).as_deref(), VALID);
        assert_eq!(verify("another text").as_deref(), FAILED);
    }

    #[test]
    fn rsassa_pkcs1_v1_5_verifies() {
        let pair = RS384KeyPair::generate(2048).unwrap();
        let token = pair.sign(claims()).unwrap();
        let (input, signature) = split(&token);
        check("sha384", &pair.public_key().to_der().unwrap(), &signature, input);
    }

    #[test]
    fn ecdsa_verifies_der_signatures_only() {
        let pair = ES256KeyPair::generate();
        let token = pair.sign(claims()).unwrap();
        let (input, raw) = split(&token);
        let der = p256::ecdsa::Signature::from_slice(&raw).unwrap().to_der();
        let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&pair.public_key().to_bytes());
        let key = key.unwrap().to_public_key_der().unwrap().into_vec();
        check("SHA256", &key, der.as_bytes(), input);
        let raw = verify_signature(&arguments("sha256", &key, &raw, input));
        assert_eq!(raw.as_deref(), FAILED);
    }

    #[test]
    fn ecdsa_verifies_with_p384_and_p521() {
        let pair = ES384KeyPair::generate();
        let token = pair.sign(claims()).unwrap();
        let (input, raw) = split(&token);
        let der = p384::ecdsa::Signature::from_slice(&raw).unwrap().to_der();
        let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(&pair.public_key().to_bytes());
        let key = key.unwrap().to_public_key_der().unwrap().into_vec();
        check("sha384", &key, der.as_bytes(), input);

        // RFC 5480 section 2: id-ecPublicKey with secp521r1, then the point as a bit string.
        const SPKI: &[u8] = b"\x30\x81\x9b\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\
            \x2b\x81\x04\x00\x23\x03\x81\x86\x00";
        let pair =
            p521::ecdsa::SigningKey::from_slice(&[&[0], [7; 65].as_slice()].concat()).unwrap();
        let key = [SPKI, &pair.verifying_key().to_sec1_point(false).to_bytes()].concat();
        let signature: p521::ecdsa::Signature = pair.sign(b"text");
        check("sha512", &key, signature.to_der().as_bytes(), "text");
    }

    /// Signs, and verifies with the public key of `spki`.
    #[track_caller]
    fn check_sign(hash: &str, pkcs8: &[u8], spki: &[u8]) {
        let argument = |parts: [&[u8]; 3]| {
            let fields = (1_u8..).zip(parts).map(|(number, part)| super::delimited(number, part));
            fields.collect::<Vec<_>>().concat()
        };
        let result = sign(&argument([hash.as_bytes(), pkcs8, b"text"])).unwrap();
        assert_eq!(result[..2], [0x08, 0x01]);
        let result = fields(&result[2..]).unwrap();
        check(hash, spki, field(&result, 2), "text");
    }

    #[test]
    fn what_it_signs_it_verifies() {
        let pair = RS256KeyPair::generate(2048).unwrap();
        let (key, public) = (pair.to_der().unwrap(), pair.public_key().to_der().unwrap());
        check_sign("sha256", &key, &public);
        check_sign("sha512", &key, &public);

        let key = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
        let public = key.verifying_key().to_public_key_der().unwrap();
        check_sign("sha256", key.to_pkcs8_der().unwrap().as_bytes(), public.as_bytes());
    }

    #[test]
    fn signing_without_a_key_or_with_a_bad_one() {
        assert_eq!(sign(&arguments("sha256", b"", b"t", "")), None);
        // Field 4 is a key as PEM: two keys are none.
        assert_eq!(sign(&arguments("sha256", b"k", b"t", "pem")), None);
        let refused = sign(&arguments("sha256", b"k", b"t", "")).unwrap();
        assert_eq!(field(&fields(&refused).unwrap(), 3), b"the key cannot be read");
    }

    #[test]
    fn no_key_is_a_bad_argument_and_an_unknown_hash_is_not() {
        assert_eq!(verify_signature(&arguments("sha256", b"", b"s", "t")), None);
        assert_eq!(verify_signature(b"\xff"), None);
        assert!(verify_signature(&arguments("SHA-256", b"k", b"s", "t")).is_some());
    }
}
