//! Wycheproof's signature algorithms, as far as JOSE has them (RFC 7518, RFC 8037,
//! RFC 8812): its other curves and digests no token can ask for.

use ::wycheproof::{
    EdwardsCurve, EllipticCurve, HashFunction, RsaPublic, TestResult, ecdsa, eddsa,
    rsa_pkcs1_verify, rsa_pss_verify,
};

use super::*;

pub(super) fn ecdsa() -> Vec<Suite> {
    // As JOSE has signatures, and in DER, which only certificates and hosts have.
    const SETS: [(&str, Option<&str>); 7] = [
        ("ecdsa_secp256r1_sha256_p1363", None),
        ("ecdsa_secp384r1_sha384_p1363", None),
        ("ecdsa_secp521r1_sha512_p1363", None),
        ("ecdsa_secp256r1_sha256", Some("DER signature")),
        ("ecdsa_secp384r1_sha384", Some("DER signature")),
        ("ecdsa_secp521r1_sha512", Some("DER signature")),
        ("ecdsa_secp256k1_sha256_p1363", Some("ES256K")),
    ];
    let suite = |(name, refused): (&str, _)| {
        let set = ecdsa::TestSet::load(name.parse().unwrap()).unwrap();
        let mut cases = Vec::new();
        for group in set.test_groups {
            let jwk = ec_jwk(&group.key.curve, &group.key.key);
            for test in group.tests {
                cases.push(case(test.tc_id, &jwk, &test.msg, &test.sig, test.result, refused));
            }
        }
        Suite { name: format!("wycheproof/{name}"), cases }
    };
    SETS.map(suite).into()
}

pub(super) fn rsa_pkcs1() -> Vec<Suite> {
    let mut suites = Vec::new();
    for bits in [2048, 3072, 4096, 8192] {
        for digest in [256, 384, 512] {
            let name = format!("rsa_signature_{bits}_sha{digest}");
            let set = rsa_pkcs1_verify::TestSet::load(name.parse().unwrap()).unwrap();
            let mut cases = Vec::new();
            for group in set.test_groups {
                let (_, bits) = digest_of(&group.hash).unwrap();
                let jwk = rsa_jwk(&format!("RS{bits}"), &group.key);
                let refused = refused_key(&group.key);
                for test in group.tests {
                    cases.push(case(test.tc_id, &jwk, &test.msg, &test.sig, test.result, refused));
                }
            }
            suites.push(Suite { name: format!("wycheproof/{name}"), cases });
        }
    }
    suites
}

pub(super) fn rsa_pss() -> Vec<Suite> {
    // The sets `*_params` are the same cases with parameters in the key, which no JWK has.
    const SETS: [&str; 10] = [
        "rsa_pss_2048_sha256_mgf1_0",
        "rsa_pss_2048_sha256_mgf1_32",
        "rsa_pss_2048_sha256_mgf1sha1_20",
        "rsa_pss_2048_sha384_mgf1_48",
        "rsa_pss_3072_sha256_mgf1_32",
        "rsa_pss_4096_sha256_mgf1_32",
        "rsa_pss_4096_sha384_mgf1_48",
        "rsa_pss_4096_sha512_mgf1_32",
        "rsa_pss_4096_sha512_mgf1_64",
        "rsa_pss_misc",
    ];
    let suite = |name: &str| {
        let set = rsa_pss_verify::TestSet::load(name.parse().unwrap()).unwrap();
        let mut cases = Vec::new();
        for group in set.test_groups {
            let digest = digest_of(&group.hash);
            let (_, bits) = digest.unwrap_or((32, 256));
            let jwk = rsa_jwk(&format!("PS{bits}"), &group.key);
            let refused = refused_key(&group.key).or(match digest {
                None => Some("digest JOSE does not have"),
                _ if group.mgf_hash.as_ref() != Some(&group.hash) => Some("another digest in MGF1"),
                Some((length, _)) if group.salt_size != length => Some("salt of another length"),
                Some(_) => None,
            });
            for test in group.tests {
                // The set is about no salt at all, and this one is as long as PS256 wants it.
                let right = name.ends_with("_mgf1_0") && test.comment == "s_len changed to 32";
                let (result, refused) =
                    if right { (TestResult::Valid, None) } else { (test.result, refused) };
                cases.push(case(test.tc_id, &jwk, &test.msg, &test.sig, result, refused));
            }
        }
        Suite { name: format!("wycheproof/{name}"), cases }
    };
    SETS.map(suite).into()
}

pub(super) fn eddsa() -> Vec<Suite> {
    let suite = |(name, refused): (&str, _)| {
        let set = eddsa::TestSet::load(name.parse().unwrap()).unwrap();
        let mut cases = Vec::new();
        for group in set.test_groups {
            let crv = match group.key.curve {
                EdwardsCurve::Ed25519 => "Ed25519",
                EdwardsCurve::Ed448 => "Ed448",
            };
            let jwk = json!({"kty": "OKP", "crv": crv, "x": encode(&*group.key.pk)});
            for test in group.tests {
                cases.push(case(test.tc_id, &jwk, &test.msg, &test.sig, test.result, refused));
            }
        }
        Suite { name: format!("wycheproof/{name}"), cases }
    };
    [("ed25519", None), ("ed448", Some("Ed448"))].map(suite).into()
}

fn case(
    id: usize,
    jwk: &Value,
    message: &[u8],
    signature: &[u8],
    result: TestResult,
    refused: Option<&'static str>,
) -> Case {
    let expected = match result {
        TestResult::Valid => Expected::new(true, refused),
        // PKCS #1 padding whose AlgorithmIdentifier lacks its NULL.
        TestResult::Acceptable => Expected::Refused("lenient padding"),
        TestResult::Invalid => Expected::Invalid,
    };
    let signed = Signed::Bytes { message: encode(message), signature: encode(signature) };
    Case { vector: Vector { id: id.try_into().unwrap(), keys: key_set(jwk), signed }, expected }
}

/// The JWK of an uncompressed point.
fn ec_jwk(curve: &EllipticCurve, point: &[u8]) -> Value {
    let crv = match curve {
        EllipticCurve::Secp256r1 => Some("P-256"),
        EllipticCurve::Secp384r1 => Some("P-384"),
        EllipticCurve::Secp521r1 => Some("P-521"),
        EllipticCurve::Secp256k1 => Some("secp256k1"),
        _ => None,
    };
    let crv = crv.unwrap();
    let (x, y) = point[1..].split_at(point.len() / 2);
    json!({"kty": "EC", "crv": crv, "x": encode(x), "y": encode(y)})
}

fn rsa_jwk(algorithm: &str, key: &RsaPublic) -> Value {
    let (n, e) = (encode(unsigned(&key.n)), encode(unsigned(&key.e)));
    json!({"kty": "RSA", "alg": algorithm, "n": n, "e": e})
}

/// Why no token signed with such a key is taken.
fn refused_key(key: &RsaPublic) -> Option<&'static str> {
    match (unsigned(&key.n).len(), unsigned(&key.e)) {
        (0..256, _) => Some("key too small"),
        (513.., _) => Some("key too large"),
        (_, [1, 0, 1]) => None,
        (_, _) => Some("weak exponent"),
    }
}

/// Bytes and bits of the digests JOSE has.
fn digest_of(hash: &HashFunction) -> Option<(usize, usize)> {
    match hash {
        HashFunction::Sha2_256 => Some((32, 256)),
        HashFunction::Sha2_384 => Some((48, 384)),
        HashFunction::Sha2_512 => Some((64, 512)),
        _ => None,
    }
}

/// Wycheproof's integers are signed: positive ones may start with a zero byte.
fn unsigned(integer: &[u8]) -> &[u8] {
    let zeros = integer.iter().take_while(|byte| **byte == 0).count();
    &integer[zeros..]
}
