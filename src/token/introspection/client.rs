//! The request to an introspection endpoint, with which we authenticate as its client.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use form_urlencoded::{Serializer, byte_serialize};
use serde_json::json;

use super::answer::{PLAIN, SIGNED};
use super::settings::{ClientAuthentication, Introspection, SigningKey};
use crate::host::{Callout, Host, HostError};
use crate::token::signature;

/// How long a client assertion is good. Each request has its own, so this is only for the
/// way to the issuer and the difference of clocks.
const ASSERTION_LIFETIME: Duration = Duration::from_secs(60);

/// `client_assertion_type` (RFC 7523 section 2.2).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What asks the issuer about the token (RFC 7662 section 2.1).
///
/// # Errors
/// [`HostError`] when the client assertion could not be made.
pub(super) fn request(
    settings: &Introspection,
    token: &str,
    host: &dyn Host,
) -> Result<Callout, HostError> {
    let mut authorization = None;
    let mut form = Serializer::new(String::new());
    form.append_pair("token", token).append_pair("token_type_hint", "access_token");
    match &settings.client {
        ClientAuthentication::ClientSecretBasic { client_id, secret } => {
            authorization = Some(basic(client_id, secret.reveal()));
        }
        ClientAuthentication::ClientSecretPost { client_id, secret } => {
            form.append_pair("client_id", client_id);
            form.append_pair("client_secret", secret.reveal());
        }
        ClientAuthentication::PrivateKeyJwt { client_id, audience, key } => {
            form.append_pair("client_id", client_id);
            form.append_pair("client_assertion_type", JWT_BEARER);
            form.append_pair("client_assertion", &assertion(client_id, audience, key, host)?);
        }
        ClientAuthentication::TlsClientAuth { client_id } => {
            form.append_pair("client_id", client_id);
        }
        ClientAuthentication::Injected => {}
    }
    let mut callout = settings.endpoint.clone();
    callout.method = "POST";
    callout.body = form.finish().into_bytes();
    let accept = if settings.signed_for.is_some() { SIGNED } else { PLAIN };
    callout.headers.extend([
        ("accept", accept.to_owned()),
        ("content-type", "application/x-www-form-urlencoded".to_owned()),
    ]);
    callout.headers.extend(authorization.map(|value| ("authorization", value)));
    Ok(callout)
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
    if let (Some(members), Some(kid)) = (header.as_object_mut(), &key.key_id) {
        members.insert("kid".to_owned(), json!(kid));
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
