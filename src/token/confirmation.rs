//! `cnf`: what a token is bound to (RFC 7800).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// SHA-256 thumbprint of a JWK (RFC 7638), `cnf.jkt` of DPoP-bound tokens (RFC 9449 section 6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Thumbprint(pub [u8; 32]);

/// SHA-256 of a DER certificate, `cnf["x5t#S256"]` (RFC 8705 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CertificateDigest(pub [u8; 32]);

/// What a token is bound to. Each one there is has to be proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Confirmation {
    /// The key of DPoP proofs.
    pub key: Option<Thumbprint>,
    /// The certificate of the client's connection.
    pub certificate: Option<CertificateDigest>,
}

impl Thumbprint {
    /// Reads base64url without padding.
    pub(super) fn parse(text: &str) -> Option<Self> {
        parse(text).map(Thumbprint)
    }

    /// In base64url without padding, as `jkt` has it.
    #[must_use]
    pub fn encoded(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

impl CertificateDigest {
    /// Reads base64url without padding.
    pub(super) fn parse(text: &str) -> Option<Self> {
        parse(text).map(CertificateDigest)
    }

    /// In base64url without padding, as `x5t#S256` has it.
    pub(super) fn encoded(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Reads 64 hexadecimal digits, as Envoy has them.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let byte = |&[high, low]: &[u8; 2]| u8::try_from(digit(high)? << 4 | digit(low)?).ok();
        let bytes: Vec<u8> = pairs.iter().map(byte).collect::<Option<_>>()?;
        bytes.try_into().ok().map(CertificateDigest)
    }
}

fn parse(text: &str) -> Option<[u8; 32]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}
