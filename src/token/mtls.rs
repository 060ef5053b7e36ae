//! Certificate-bound tokens (RFC 8705 section 3).

use super::confirmation::CertificateDigest;
use super::dpop::Requirement;
use super::error::TokenError;

/// Longest `x-forwarded-client-cert` that is read, in bytes. A proxy may put the client's
/// certificate chain into it, escaped, some 10 KiB; servers take 60 KiB of headers in all.
const MAX_FORWARDED: usize = 32 * 1024;

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
    /// that proxy's own certificate on the connection to us has one of these URI SANs. The
    /// listener has to validate certificates: anyone can write a SAN into one of his own.
    Forwarded {
        /// URI SANs (SPIFFE IDs) of the proxies that are believed.
        trusted_hops: Vec<String>,
    },
}

/// What the host says of the certificate on the connection to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerConnection {
    /// SHA-256 of the certificate, in hex (Envoy: `connection.sha256_peer_certificate_digest`).
    pub certificate_sha256_hex: Option<String>,
    /// Its first URI SAN (Envoy: `connection.uri_san_peer_certificate`).
    pub uri_san: Option<String>,
}

impl MtlsPolicy {
    /// The certificate a client presented, from where the policy looks for it. `forwarded`
    /// are the lines of `x-forwarded-client-cert`.
    ///
    /// Possession of its key was proved in the TLS handshake; who issued it does not matter
    /// (RFC 8705 sections 2.2 and 3). A header from who is not believed is as if it were not
    /// there.
    ///
    /// # Errors
    /// [`TokenError::Certificate`] where there is something and it cannot be read without doubt.
    pub fn presented(
        &self,
        connection: &PeerConnection,
        forwarded: &[&[u8]],
    ) -> Result<Option<CertificateDigest>, TokenError> {
        let hex = connection.certificate_sha256_hex.as_deref().filter(|hex| !hex.is_empty());
        let (Some(hex), Requirement::Optional | Requirement::Required) = (hex, self.mode) else {
            return Ok(None);
        };
        let peer = CertificateDigest::from_hex(hex).ok_or(TokenError::Certificate)?;
        match &self.certificate {
            CertificateSource::Connection => Ok(Some(peer)),
            CertificateSource::Forwarded { trusted_hops } => {
                let believed =
                    connection.uri_san.as_ref().is_some_and(|san| trusted_hops.contains(san));
                if believed { client_of(peer, forwarded) } else { Ok(None) }
            }
        }
    }

    /// Whether a token may be used by who presented a certificate, or none. `bound` is what
    /// the token is bound to, if it is.
    ///
    /// # Errors
    /// [`TokenError::SenderConstrained`], [`TokenError::NotSenderConstrained`],
    /// [`TokenError::Certificate`].
    pub fn check(
        &self,
        bound: Option<CertificateDigest>,
        presented: Option<CertificateDigest>,
    ) -> Result<(), TokenError> {
        match (self.mode, bound) {
            (Requirement::Off, Some(_)) => Err(TokenError::SenderConstrained),
            (Requirement::Required, None) => Err(TokenError::NotSenderConstrained),
            (Requirement::Off | Requirement::Optional, None) => Ok(()),
            (Requirement::Optional | Requirement::Required, Some(_)) if bound == presented => {
                Ok(())
            }
            (Requirement::Optional | Requirement::Required, Some(_)) => {
                Err(TokenError::Certificate)
            }
        }
    }
}

/// The client's certificate, by what the proxy with the certificate `hop` wrote of it.
///
/// That is one element. Our own proxy may add one of its connection to `hop`
/// (`APPEND_FORWARD`), or put it in its place (`SANITIZE_SET`). More of them are what the
/// client sent and `hop` did not remove, or in a name of the client's certificate: Envoy
/// writes those as they are.
fn client_of(
    hop: CertificateDigest,
    forwarded: &[&[u8]],
) -> Result<Option<CertificateDigest>, TokenError> {
    let line = match forwarded {
        [] => return Ok(None),
        [line] => line,
        // Envoy writes one line.
        _ => return Err(TokenError::Certificate),
    };
    match elements(line).ok_or(TokenError::Certificate)?.as_slice() {
        [ours] if *ours == hop => Ok(None),
        [client] => Ok(Some(*client)),
        [client, ours] if *ours == hop => Ok(Some(*client)),
        _ => Err(TokenError::Certificate),
    }
}

/// The digests of the elements of `x-forwarded-client-cert`; `None` if one cannot be read.
fn elements(line: &[u8]) -> Option<Vec<CertificateDigest>> {
    let line = std::str::from_utf8(line).ok().filter(|line| line.len() <= MAX_FORWARDED)?;
    split(line, ',')?.into_iter().map(digest).collect()
}

/// The `Hash` of an element, which has `Key=Value` pairs with `;` between them.
///
/// `Hash=` may be there once, quoted text included: a client whose header is kept and added
/// to could open a quotation and have what is added become part of it.
fn digest(element: &str) -> Option<CertificateDigest> {
    let pairs: Vec<_> = split(element, ';')?.into_iter().map(pair).collect::<Option<_>>()?;
    let (_, hash) = pairs.into_iter().find(|(key, _)| key.eq_ignore_ascii_case("hash"))?;
    let once = element.to_ascii_lowercase().matches("hash=").count() == 1;
    once.then(|| CertificateDigest::from_hex(hash)).flatten()
}

/// A key and its value, which is quoted as a whole or not at all.
fn pair(text: &str) -> Option<(&str, &str)> {
    let (key, value) = text.split_once('=')?;
    let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let value = match value.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"').filter(|inner| !has_bare_quote(inner)),
        None => Some(value).filter(|value| !value.contains('"')),
    };
    value.filter(|_| is_key).map(|value| (key, value))
}

/// The parts between separators, but not between those in quotes; `None` if a quotation has
/// no end.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut quoted, mut escaped) = (false, false);
    let is_separator = |character| {
        let literal = escaped;
        escaped = quoted && !literal && character == '\\';
        quoted ^= !literal && character == '"';
        !quoted && character == separator
    };
    let parts = text.split(is_separator).collect();
    (!quoted).then_some(parts)
}

/// Whether quoted text has a quote that is not escaped.
fn has_bare_quote(quoted: &str) -> bool {
    let mut escaped = false;
    quoted.chars().any(|character| {
        let literal = escaped;
        escaped = !literal && character == '\\';
        !literal && character == '"'
    })
}
