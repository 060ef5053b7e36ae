//! The signature algorithms an access token may be signed with.

use serde::{Deserialize, Serialize};

use crate::host::Digest;

/// A JWS signature algorithm (RFC 7518 section 3.1, RFC 8037 section 3.1).
///
/// Only asymmetric ones: `none` and the HMAC family do not exist here, so no
/// token can ask for them (RFC 8725 sections 2.1 and 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// ECDSA on P-384 with SHA-384.
    #[serde(rename = "ES384")]
    Es384,
    /// ECDSA on P-521 with SHA-512.
    #[serde(rename = "ES512")]
    Es512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    #[serde(rename = "RS384")]
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    #[serde(rename = "RS512")]
    Rs512,
    /// RSASSA-PSS with SHA-256, the salt as long as the digest.
    #[serde(rename = "PS256")]
    Ps256,
    /// RSASSA-PSS with SHA-384, the salt as long as the digest.
    #[serde(rename = "PS384")]
    Ps384,
    /// RSASSA-PSS with SHA-512, the salt as long as the digest.
    #[serde(rename = "PS512")]
    Ps512,
    /// Ed25519; Ed448 is not supported.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl Algorithm {
    /// Reads an `alg` value; case matters (RFC 7515 section 4.1.1).
    /// `Ed25519` is the fully specified name of what `EdDSA` means here (RFC 9864).
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "ES512" => Self::Es512,
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "EdDSA" | "Ed25519" => Self::EdDsa,
            _ => return None,
        })
    }

    /// The `alg` value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Whether keys of this algorithm are RSA keys.
    pub(super) fn is_rsa(self) -> bool {
        !matches!(self, Self::Es256 | Self::Es384 | Self::Es512 | Self::EdDsa)
    }

    /// The digest with which the host may verify, `None` where it cannot:
    /// Envoy's `verify_signature` has neither RSASSA-PSS nor Ed25519.
    pub(super) fn native_digest(self) -> Option<Digest> {
        match self {
            Self::Es256 | Self::Rs256 => Some(Digest::Sha256),
            Self::Es384 | Self::Rs384 => Some(Digest::Sha384),
            Self::Es512 | Self::Rs512 => Some(Digest::Sha512),
            Self::Ps256 | Self::Ps384 | Self::Ps512 | Self::EdDsa => None,
        }
    }
}
