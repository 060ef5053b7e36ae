//! How we authenticate as a client at endpoints of authorization servers.

use std::fmt;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use form_urlencoded::{Serializer, byte_serialize};
use serde_json::json;

use super::algorithm::Algorithm;
use super::confirmation::CertificateDigest;
use super::secret::Secret;
use super::signature;
use crate::host::{Callout, Host, HostError};

/// How long a client assertion is good. Each request has its own, so this is only for the
/// way to the issuer and the difference of clocks.
const ASSERTION_LIFETIME: Duration = Duration::from_secs(60);

/// `client_assertion_type` (RFC 7523 section 2.2).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How we authenticate as a client (RFC 6749 section 2.3).
#[derive(Debug, Clone)]
pub enum ClientAuthentication {
    /// HTTP Basic (RFC 6749 section 2.3.1).
    ClientSecretBasic {
        /// `client_id`
        client_id: String,
        /// `client_secret`
        secret: Secret,
    },
    /// Credentials in the body (RFC 6749 section 2.3.1).
    ClientSecretPost {
        /// `client_id`
        client_id: String,
        /// `client_secret`
        secret: Secret,
    },
    /// A JWT signed with our key (RFC 7523 section 2.2).
    PrivateKeyJwt {
        /// `client_id`
        client_id: String,
        /// `aud` of the assertion: the issuer identifier.
        audience: String,
        /// Our key.
        key: SigningKey,
    },
    /// The certificate of the cluster's own TLS client configuration (RFC 8705 section 2).
    TlsClientAuth {
        /// `client_id`
        client_id: String,
    },
    /// Whatever Envoy adds to requests of the cluster (its credential injector).
    Injected,
}

/// A private key of ours.
#[derive(Clone)]
pub struct SigningKey {
    /// One the host can sign with: ES256, ES384, ES512, RS256, RS384, RS512.
    pub algorithm: Algorithm,
    /// `kid` of the assertion.
    pub key_id: Option<String>,
    /// `x5t#S256` of the assertion: the certificate of the key, by which Microsoft Entra ID knows
    /// it (Microsoft identity platform, "Certificate credentials").
    pub certificate: Option<CertificateDigest>,
    /// DER `PrivateKeyInfo` (PKCS #8).
    pub pkcs8: Vec<u8>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("algorithm", &self.algorithm)
            .field("key_id", &self.key_id)
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

impl ClientAuthentication {
    /// A form posted to an endpoint, with which we authenticate.
    ///
    /// # Errors
    /// [`HostError`] when the client assertion could not be made.
    pub fn post(
        &self,
        endpoint: &Callout,
        accept: &'static str,
        form: &[(&str, &str)],
        host: &dyn Host,
    ) -> Result<Callout, HostError> {
        let mut authorization = None;
        let mut body = Serializer::new(String::new());
        body.extend_pairs(form);
        match self {
            ClientAuthentication::ClientSecretBasic { client_id, secret } => {
                authorization = Some(basic(client_id, secret.reveal()));
            }
            ClientAuthentication::ClientSecretPost { client_id, secret } => {
                body.append_pair("client_id", client_id);
                body.append_pair("client_secret", secret.reveal());
            }
            ClientAuthentication::PrivateKeyJwt { client_id, audience, key } => {
                body.append_pair("client_id", client_id);
                body.append_pair("client_assertion_type", JWT_BEARER);
                let assertion = assertion(client_id, audience, key, host)?;
                body.append_pair("client_assertion", &assertion);
            }
            ClientAuthentication::TlsClientAuth { client_id } => {
                body.append_pair("client_id", client_id);
            }
            ClientAuthentication::Injected => {}
        }
        let mut callout = endpoint.clone();
        callout.method = "POST";
        callout.body = body.finish().into_bytes();
        callout.headers.extend([
            ("accept", accept.to_owned()),
            ("content-type", "application/x-www-form-urlencoded".to_owned()),
        ]);
        callout.headers.extend(authorization.map(|value| ("authorization", value)));
        Ok(callout)
    }

    /// The client identifier, where we know it.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        match self {
            ClientAuthentication::ClientSecretBasic { client_id, .. }
            | ClientAuthentication::ClientSecretPost { client_id, .. }
            | ClientAuthentication::PrivateKeyJwt { client_id, .. }
            | ClientAuthentication::TlsClientAuth { client_id } => Some(client_id),
            ClientAuthentication::Injected => None,
        }
    }
}

/// `client_secret_basic`: both parts are form-encoded first (RFC 6749 section 2.3.1).
fn basic(client_id: &str, secret: &str) -> String {
    let encoded = |part: &str| byte_serialize(part.as_bytes()).collect::<String>();
    let credentials = format!("{}:{}", encoded(client_id), encoded(secret));
    format!("Basic {}", STANDARD.encode(credentials))
}

/// A JWT that says who we are, for this one request (RFC 7523 section 3).
fn assertion(
    client_id: &str,
    audience: &str,
    key: &SigningKey,
    host: &dyn Host,
) -> Result<String, HostError> {
    let now = host.now().duration_since(SystemTime::UNIX_EPOCH).map_err(|_| HostError)?;
    let mut header = json!({ "alg": key.algorithm.as_str(), "typ": "JWT" });
    let certificate = key.certificate.as_ref().map(CertificateDigest::encoded);
    for (name, value) in [("kid", key.key_id.clone()), ("x5t#S256", certificate)] {
        if let (Some(members), Some(value)) = (header.as_object_mut(), value) {
            members.insert(name.to_owned(), json!(value));
        }
    }
    let claims = json!({
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "jti": URL_SAFE_NO_PAD.encode(host.random()?),
        "iat": now.as_secs(),
        "exp": now.saturating_add(ASSERTION_LIFETIME).as_secs(),
    });
    let encoded = |part: serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let signing_input = format!("{}.{}", encoded(header), encoded(claims));
    let signature = signature::sign(key, signing_input.as_bytes(), host)?;
    Ok(format!("{signing_input}.{}", URL_SAFE_NO_PAD.encode(signature)))
}
