//! JSON Web Signature, compact serialisation (RFC 7515 section 3.1), and the two
//! types that keep what a token merely says apart from what is proved.

use std::fmt;
use std::ops::Deref;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::host::Host;
use crate::json::{self, Object, Value};

use super::algorithm::Algorithm;
use super::error::TokenError;
use super::jwk::Key;
use super::signature;

/// Longest token that is read, in bytes. Twice what HTTP servers take as one
/// header by default (8 KiB), so nothing that reached a server before is refused.
pub(crate) const MAX_TOKEN: usize = 16 * 1024;

/// Longest `kid` and `typ` that are read, in bytes. Real ones are thumbprints,
/// UUIDs and media types, all well below 100.
const MAX_HEADER_STRING: usize = 256;

/// Longest `iss` that is compared, in bytes; it is an `https` URL (RFC 8414 section 2).
const MAX_ISSUER: usize = 2048;

/// The decoded segments of a compact JWS. Nothing is judged yet but the encoding.
pub struct Segments<'t> {
    /// `BASE64URL(header) || '.' || BASE64URL(payload)`, what is signed.
    signing_input: &'t str,
    header: Vec<u8>,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'t> Segments<'t> {
    /// Splits and decodes a token.
    ///
    /// # Errors
    /// [`TokenError::Malformed`] for anything but three segments of canonical
    /// base64url without padding (RFC 8725bis section 3.14), within [`MAX_TOKEN`].
    pub fn decode(token: &'t str) -> Result<Self, TokenError> {
        if token.len() > MAX_TOKEN {
            return Err(TokenError::Malformed("too long"));
        }
        let (signing_input, signature) =
            token.rsplit_once('.').ok_or(TokenError::Malformed("not three segments"))?;
        let (header, payload) =
            signing_input.split_once('.').ok_or(TokenError::Malformed("not three segments"))?;
        Ok(Segments {
            signing_input,
            header: decode(header)?,
            payload: decode(payload)?,
            signature: decode(signature)?,
        })
    }

    /// The header as it was sent, still encoded.
    pub(super) fn encoded_header(&self) -> &'t str {
        self.signing_input.split_once('.').map_or(self.signing_input, |(header, _)| header)
    }

    /// The header parameters.
    pub(super) fn header(&self) -> Result<Object<'_>, TokenError> {
        object(&self.header, "header is not a JSON object")
    }

    /// The claims, which nobody has vouched for yet: for checks that may only refuse.
    pub(super) fn unverified_claims(&self) -> Result<Object<'_>, TokenError> {
        object(&self.payload, "claims are not a JSON object")
    }

    /// Checks the signature with this key, whatever `alg` says.
    pub(super) fn verify(&self, key: &Key, host: &dyn Host) -> Result<(), TokenError> {
        signature::verify(key, self.signing_input.as_bytes(), &self.signature, host)
    }
}

fn decode(segment: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(segment).map_err(|_| TokenError::Malformed("not base64url"))
}

/// What nobody has vouched for yet. Its accessors tell what is needed to choose
/// a key and nothing else.
pub struct Unverified<T>(T);

/// What a signature or the issuer itself vouches for. Made only by verification and
/// from the issuer's answers.
pub struct Verified<T>(T);

/// A JWT in compact serialisation: header fields, claims, signature.
pub struct Jws<'a> {
    header: Header,
    claims: Object<'a>,
    segments: &'a Segments<'a>,
}

impl<'a> Unverified<Jws<'a>> {
    /// Reads header and claims.
    ///
    /// # Errors
    /// [`TokenError::Malformed`] when either is not one JSON object, or the header
    /// asks for what is not supported; [`TokenError::Algorithm`] when `alg` is no
    /// algorithm of ours.
    pub fn parse(segments: &'a Segments<'a>) -> Result<Self, TokenError> {
        let header = Header::read(&segments.header()?, Kind::AccessToken)?;
        let claims = segments.unverified_claims()?;
        Ok(Unverified(Jws { header, claims, segments }))
    }

    /// `alg`: what the key must be of. It never chooses how a key is used.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.0.header.algorithm
    }

    /// `kid`: a name to look up, attacker input like everything here.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.0.header.kid.as_deref()
    }

    /// `typ`, as sent.
    #[must_use]
    pub fn token_type(&self) -> Option<&str> {
        self.0.token_type()
    }

    /// `iss`: which issuer's keys to try. Nothing is believed of it yet.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.0.claims.get("iss").and_then(Value::as_str).filter(|iss| iss.len() <= MAX_ISSUER)
    }

    /// `sub`: in a JWT-SVID, whose trust domain's keys to try. Nothing is believed of it yet.
    #[must_use]
    pub(super) fn subject(&self) -> Option<&str> {
        self.0.claims.get("sub").and_then(Value::as_str)
    }

    /// Checks the signature, with the algorithm of the key.
    ///
    /// # Errors
    /// [`TokenError::Algorithm`] when `alg` is not the key's; [`TokenError::Signature`].
    pub(super) fn verify(
        self,
        key: &Key,
        host: &dyn Host,
    ) -> Result<Verified<Jws<'a>>, TokenError> {
        if self.algorithm() != key.algorithm() {
            return Err(TokenError::Algorithm);
        }
        self.0.segments.verify(key, host)?;
        Ok(Verified(self.0))
    }
}

impl<'a> Jws<'a> {
    /// The claims.
    pub(super) fn claims(&self) -> &Object<'a> {
        &self.claims
    }

    /// `typ`, as sent.
    pub(super) fn token_type(&self) -> Option<&str> {
        self.header.token_type.as_deref()
    }
}

impl<T> Verified<T> {
    /// Reads more out of what is verified.
    pub(super) fn read<U, E>(&self, f: impl FnOnce(&T) -> Result<U, E>) -> Result<Verified<U>, E> {
        f(&self.0).map(Verified)
    }
}

impl Verified<super::AccessToken> {
    /// What the issuer itself said of a token, over a channel that authenticates it: the
    /// answer to an introspection request (RFC 7662 section 2.2).
    pub(super) fn vouched(token: super::AccessToken) -> Self {
        Verified(token)
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Verified<super::AccessToken> {
    /// Takes a token's word for it. For tests of policy and for commands that explain
    /// a decision; does not exist in the filter.
    #[must_use]
    pub fn assumed(token: super::AccessToken) -> Self {
        Verified(token)
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Unverified<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unverified(..)")
    }
}

impl<T: fmt::Debug> fmt::Debug for Verified<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Verified").field(&self.0).finish()
    }
}

impl fmt::Debug for Segments<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Segments(..)")
    }
}

impl fmt::Debug for Jws<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jws").field("algorithm", &self.header.algorithm).finish_non_exhaustive()
    }
}

/// The header parameters that matter (RFC 7515 section 4.1).
pub(super) struct Header {
    pub(super) algorithm: Algorithm,
    kid: Option<String>,
    pub(super) token_type: Option<String>,
}

/// What a JWS is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its key is one of the issuer's. JWT-SVIDs are read alike, their keys are of a bundle.
    AccessToken,
    /// Its key is the one it carries (RFC 9449 section 4.2).
    DpopProof,
}

impl Header {
    pub(super) fn read(header: &Object<'_>, kind: Kind) -> Result<Self, TokenError> {
        let own_key = |name| kind == Kind::DpopProof && name == "jwk";
        for (name, reason) in REFUSED_PARAMETERS {
            if header.get(name).is_some() && !own_key(name) {
                return Err(TokenError::Malformed(reason));
            }
        }
        let algorithm = string(header, "alg")?.ok_or(TokenError::Malformed("no alg"))?;
        Ok(Header {
            algorithm: Algorithm::parse(&algorithm).ok_or(TokenError::Algorithm)?,
            kid: string(header, "kid")?,
            token_type: string(header, "typ")?,
        })
    }
}

/// Header parameters whose presence refuses a JWS. No extension is understood,
/// so `crit` always names one that is not (RFC 7515 section 4.1.11), and `b64`
/// (RFC 7797) changes what is signed. `enc` makes it a JWE (RFC 7516 section 9), and `zip`
/// is one's too: its payload is not what it seems. A token that brings its own key, in
/// `jwk` or `x5c`, is an attempt to choose it; a DPoP proof has to, in `jwk`. `jku` and
/// `x5u` are merely never followed.
const REFUSED_PARAMETERS: [(&str, &str); 6] = [
    ("crit", "crit is not supported"),
    ("b64", "b64 is not supported"),
    ("enc", "of a JWE"),
    ("zip", "of a JWE"),
    ("jwk", "carries a key"),
    ("x5c", "carries a key"),
];

fn object<'a>(bytes: &'a [u8], reason: &'static str) -> Result<Object<'a>, TokenError> {
    match json::read(bytes) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(TokenError::Malformed(reason)),
    }
}

fn string(header: &Object<'_>, name: &str) -> Result<Option<String>, TokenError> {
    match header.get(name) {
        None => Ok(None),
        Some(Value::String(value)) if value.len() <= MAX_HEADER_STRING => {
            Ok(Some(value.clone().into_owned()))
        }
        Some(_) => Err(TokenError::Malformed("unusable header parameter")),
    }
}

/// Verifies a JWS whose payload is any text, as those of published test vectors are.
#[cfg(any(test, feature = "test-faults"))]
pub(super) fn verify_compact(
    jws: &str,
    keys: &super::KeySet,
    host: &dyn Host,
) -> Result<(), TokenError> {
    let segments = Segments::decode(jws)?;
    let header = Header::read(&segments.header()?, Kind::AccessToken)?;
    let key = keys.find(header.kid.as_deref()).ok_or(TokenError::UnknownKey)?;
    Unverified(Jws { header, claims: Object::default(), segments: &segments })
        .verify(key, host)
        .map(|_| ())
}
