//! The RSA keys of CVE-2017-15361 (ROCA), whose factors can be found from the public key.
//!
//! They were made in smart cards and TPMs, where clients keep the keys of their proofs too.

/// Primes modulo which 65537 has few powers. The modulus of such a key is one of them
/// modulo every prime; that of another is so by chance once in 2^27 (M. Nemec and others,
/// The Return of Coppersmith's Attack, CCS 2017, section 2.3).
const PRIMES: [u32; 17] =
    [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];

/// What the primes of such a key are powers of, besides a small term.
const GENERATOR: u32 = 65_537;

/// Whether a modulus, in bytes with the most significant first, is that of such a key.
pub(super) fn has_fingerprint(modulus: &[u8]) -> bool {
    PRIMES.iter().all(|prime| {
        let residue = modulus
            .iter()
            .try_fold(0_u32, |residue, byte| (residue << 8 | u32::from(*byte)).checked_rem(*prime));
        powers(*prime).any(|power| Some(power) == residue)
    })
}

/// The powers of [`GENERATOR`], all of them and some twice.
fn powers(prime: u32) -> impl Iterator<Item = u32> {
    let next = move |power: &u32| power.checked_mul(GENERATOR)?.checked_rem(prime);
    // There are fewer than the prime.
    std::iter::successors(Some(1), next).zip(1..prime).map(|(power, _)| power)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;
    use crate::token::{Algorithm, KeySet};

    /// A number of 2048 bits that is `rest` modulo every prime.
    fn modulus(rest: [u8; 3]) -> Vec<u8> {
        let product: u128 = PRIMES.iter().map(|prime| u128::from(*prime)).product();
        let product = product << product.leading_zeros();
        [&product.to_be_bytes()[..], &[0; 237], &rest].concat()
    }

    #[test]
    fn cve_2017_15361_keys_are_not_used() {
        for (rest, fingerprint) in [([1, 0, 1], true), ([0, 0, 1], true), ([1, 0, 3], false)] {
            let modulus = modulus(rest);
            assert_eq!(has_fingerprint(&modulus), fingerprint, "{rest:?}");
            let n = URL_SAFE_NO_PAD.encode(modulus);
            let jwks = format!(r#"{{"keys":[{{"kty":"RSA","n":"{n}","e":"AQAB"}}]}}"#);
            assert_eq!(KeySet::parse(jwks.as_bytes(), &[Algorithm::Rs256]).is_err(), fingerprint);
        }
    }
}
