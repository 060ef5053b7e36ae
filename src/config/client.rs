//! Compiles `client`: how the filter authenticates at endpoints of authorization servers.

use pkcs8::{ObjectIdentifier, PrivateKeyInfoRef, SecretDocument};
use rsa::pkcs1::RsaPrivateKeyRef;

use super::compile::Notes;
use super::document::{Client, ClientMethod, FromEnvironment};
use super::secrets::{Secrets, Value};
use crate::token::{Algorithm, CertificateDigest, ClientAuthentication, Secret, SigningKey};

/// Fewest bytes of an RSA modulus (RFC 7518 section 3.3: 2048 bits).
const MIN_RSA_MODULUS: usize = 256;

/// RFC 8017 appendix A.1.
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// RFC 5480 section 2.1.1, and its curves.
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

/// How we authenticate at an endpoint. `audience` is for whom a client assertion is where the
/// document does not say it, or why that is not known.
pub(super) fn compile(
    notes: &mut Notes,
    path: &str,
    client: Client,
    audience: Result<&str, &'static str>,
    secrets: &Secrets,
) -> Option<ClientAuthentication> {
    let (method, used): (&str, &[&str]) = match client.method {
        ClientMethod::ClientSecretBasic => ("client_secret_basic", &["client_id", "client_secret"]),
        ClientMethod::ClientSecretPost => ("client_secret_post", &["client_id", "client_secret"]),
        ClientMethod::PrivateKeyJwt => (
            "private_key_jwt",
            &["client_id", "key", "algorithm", "key_id", "certificate_sha256", "audience"],
        ),
        ClientMethod::TlsClientAuth => ("tls_client_auth", &["client_id"]),
        ClientMethod::Injected => ("injected", &[]),
    };
    let given = [
        ("client_id", client.client_id.is_some()),
        ("client_secret", client.client_secret.is_some()),
        ("key", client.key.is_some()),
        ("algorithm", client.algorithm.is_some()),
        ("key_id", client.key_id.is_some()),
        ("certificate_sha256", client.certificate_sha256.is_some()),
        ("audience", client.audience.is_some()),
    ];
    notes.only_for(path, &given, used, &format!("with `{method}`"));
    let optional = ["key_id", "certificate_sha256", "audience"];
    let needed = used.iter().filter(|member| !optional.contains(*member));
    for member in needed {
        if given.contains(&(*member, false)) {
            notes.problem(format!("{path}.{member}"), format!("`{method}` needs it"));
        }
    }
    let texts = [
        ("client_id", &client.client_id),
        ("key_id", &client.key_id),
        ("audience", &client.audience),
    ];
    for (member, text) in texts {
        if let Some(text) = text {
            notes.text(&format!("{path}.{member}"), text);
        }
    }
    if client.method == ClientMethod::Injected {
        return Some(ClientAuthentication::Injected);
    }

    let secret = client.client_secret.and_then(|reference| {
        client_secret(notes, &format!("{path}.client_secret"), &reference, secrets)
    });
    let certificate = client.certificate_sha256.and_then(|text| {
        let digest = fingerprint(&text);
        if digest.is_none() {
            let message = "is no SHA-256 fingerprint: 32 bytes in hexadecimal, with `:` between all of them or none";
            notes.problem(format!("{path}.certificate_sha256"), message);
        }
        digest
    });
    let key = client.key.zip(client.algorithm).and_then(|(reference, algorithm)| {
        let pkcs8 = private_key(notes, path, &reference, algorithm, secrets)?;
        Some(SigningKey { algorithm, key_id: client.key_id, certificate, pkcs8 })
    });
    let client_id = client.client_id?;
    Some(match client.method {
        ClientMethod::ClientSecretBasic => {
            ClientAuthentication::ClientSecretBasic { client_id, secret: secret? }
        }
        ClientMethod::ClientSecretPost => {
            ClientAuthentication::ClientSecretPost { client_id, secret: secret? }
        }
        ClientMethod::PrivateKeyJwt => {
            let audience = client.audience.map_or(audience.map(str::to_owned), Ok);
            let audience = audience
                .map_err(|reason| notes.problem(format!("{path}.audience"), reason))
                .ok()?;
            ClientAuthentication::PrivateKeyJwt { client_id, audience, key: key? }
        }
        ClientMethod::TlsClientAuth => ClientAuthentication::TlsClientAuth { client_id },
        ClientMethod::Injected => ClientAuthentication::Injected,
    })
}

fn client_secret(
    notes: &mut Notes,
    path: &str,
    reference: &FromEnvironment,
    secrets: &Secrets,
) -> Option<Secret> {
    match secrets.read(notes, path, reference)? {
        Value::Known(secret) => {
            // RFC 6749 appendix A.2.
            if !secret.reveal().bytes().all(|byte| matches!(byte, b' '..=b'~')) {
                let message = "has a character that client secrets cannot have (RFC 6749 appendix A.2), such as a line break at its end";
                notes.problem(path, format!("the value of `{}` {message}", reference.env));
            }
            Some(secret)
        }
        #[cfg(not(target_arch = "wasm32"))]
        Value::Assumed => Some(Secret::new(String::new())),
    }
}

/// A certificate's, as OpenSSL prints it.
fn fingerprint(text: &str) -> Option<CertificateDigest> {
    if !text.contains(':') {
        return CertificateDigest::from_hex(text);
    }
    let pairs: Vec<&str> = text.split(':').collect();
    let is_separated = pairs.iter().all(|pair| pair.len() == 2);
    CertificateDigest::from_hex(&pairs.concat()).filter(|_| is_separated)
}

/// The DER of a key that the host can sign with.
fn private_key(
    notes: &mut Notes,
    path: &str,
    reference: &FromEnvironment,
    algorithm: Algorithm,
    secrets: &Secrets,
) -> Option<Vec<u8>> {
    let Some(kind) = KeyKind::of(algorithm) else {
        let message =
            "Envoy cannot sign with it; take one of ES256, ES384, ES512, RS256, RS384, RS512";
        notes.problem(format!("{path}.algorithm"), message);
        return None;
    };
    let path = format!("{path}.key");
    match secrets.read(notes, &path, reference)? {
        Value::Known(pem) => match read_key(&pem, kind) {
            Ok(der) => Some(der),
            Err(reason) => {
                notes.problem(path, format!("the value of `{}` {reason}", reference.env));
                None
            }
        },
        #[cfg(not(target_arch = "wasm32"))]
        Value::Assumed => Some(Vec::new()),
    }
}

/// The keys of a signature algorithm.
enum KeyKind {
    Curve(ObjectIdentifier),
    Rsa,
}

impl KeyKind {
    fn of(algorithm: Algorithm) -> Option<Self> {
        match algorithm {
            Algorithm::Es256 => Some(KeyKind::Curve(P256)),
            Algorithm::Es384 => Some(KeyKind::Curve(P384)),
            Algorithm::Es512 => Some(KeyKind::Curve(P521)),
            Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 => Some(KeyKind::Rsa),
            Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512 | Algorithm::EdDsa => None,
        }
    }
}

/// Why a text is no key for an algorithm. Says nothing of the text.
#[derive(Debug, Clone, Copy, thiserror::Error)]
enum KeyError {
    #[error(
        "is no private key in PKCS #8 and PEM (`-----BEGIN PRIVATE KEY-----`); `openssl pkcs8 -topk8 -nocrypt` makes one"
    )]
    NotPkcs8,
    #[error("is a key that the `algorithm` is not for")]
    OtherAlgorithm,
    #[error("is an RSA key below 2048 bits")]
    WeakRsa,
}

fn read_key(pem: &Secret, kind: KeyKind) -> Result<Vec<u8>, KeyError> {
    let (label, der) =
        SecretDocument::from_pem(pem.reveal().trim()).map_err(|_| KeyError::NotPkcs8)?;
    if label != "PRIVATE KEY" {
        return Err(KeyError::NotPkcs8);
    }
    let key = PrivateKeyInfoRef::try_from(der.as_bytes()).map_err(|_| KeyError::NotPkcs8)?;
    match kind {
        KeyKind::Curve(curve) => {
            let curve_of_key = key.algorithm.parameters_oid().ok();
            if key.algorithm.oid != EC || curve_of_key != Some(curve) {
                return Err(KeyError::OtherAlgorithm);
            }
        }
        KeyKind::Rsa => {
            if key.algorithm.oid != RSA {
                return Err(KeyError::OtherAlgorithm);
            }
            let key = RsaPrivateKeyRef::try_from(key.private_key.as_bytes())
                .map_err(|_| KeyError::NotPkcs8)?;
            if key.modulus.as_bytes().len() < MIN_RSA_MODULUS {
                return Err(KeyError::WeakRsa);
            }
        }
    }
    Ok(der.as_bytes().to_vec())
}
