//! Certificate-bound tokens (RFC 8705 section 3).

use super::dpop::Requirement;

/// What a server demands of certificate-bound tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MtlsPolicy {
    /// `Off`: tokens bound to a certificate are refused, since nobody would check it.
    /// `Optional`: they need the certificate, others are taken without. `Required`: every
    /// token must be bound to one.
    pub mode: Requirement,
    /// Where the client's certificate is seen.
    pub certificate: CertificateSource,
}

/// Where a client's certificate is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateSource {
    /// On the connection to this proxy.
    Connection,
    /// In `x-forwarded-client-cert`, as the proxy before this one saw it. It is believed if
    /// that proxy's own certificate on the connection to us has one of these URI SANs.
    Forwarded {
        /// URI SANs (SPIFFE IDs) of the proxies that are believed.
        trusted_hops: Vec<String>,
    },
}

/// What is known of the peer of a connection.
#[derive(Debug, Clone, Default)]
pub struct PeerConnection {
    /// SHA-256 of its leaf certificate, in lowercase hex.
    pub certificate_sha256_hex: Option<String>,
    /// The first URI SAN of it.
    pub uri_san: Option<String>,
}

/// The client's certificate, from where the policy says.
///
/// # Errors
/// TODO
pub fn presented(
    _: &MtlsPolicy,
    _: &PeerConnection,
    _: &[&[u8]],
) -> Result<Option<super::CertificateDigest>, super::TokenError> {
    Err(super::TokenError::Certificate)
}
