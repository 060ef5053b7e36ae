//! Issuers and tokens made for tests, signed with Ed25519 keys that need no randomness.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};

use crate::host::fake::{FakeHost, START};
use crate::host::{
    Callout, CalloutId, Change, Counter, Digest, Gauge, Host, HostError, LogLevel, NativeSigning,
    NativeVerdict, NativeVerification, SharedDataError, SharedValue,
};
use crate::token::{
    AccessToken, AgentClaims, Algorithm, Authenticator, CertificateSource, ClaimNames,
    Confirmation, Consent, ContextClaims, Credential, Demands, DpopPolicy, Identifier, Issuer,
    IssuerId, KeySet, KeySource, MtlsPolicy, NoncePolicy, NonceScope, Outcome, Requirement, Scheme,
    SubjectKind, TokenError, TokenType, Verified, Waited, WorkloadEvidence,
};

pub(super) const ISSUER: &str = "https://idp.example.com";
pub(in crate::token) const AUDIENCE: &str = "https://mcp.example.com/mcp";
pub(super) const SKEW: u64 = 30;

pub(in crate::token) const ALL: [Algorithm; 10] = [
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::Es512,
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
    Algorithm::EdDsa,
];

impl AccessToken {
    /// Of a user and with nothing in it that need not be, good for five minutes on the fake
    /// host's clock.
    pub(crate) fn assumed() -> Self {
        let issued_at = SystemTime::UNIX_EPOCH + START;
        AccessToken {
            issuer: IssuerId(0),
            issuer_url: "https://idp.example".to_owned(),
            subject: "alice".to_owned(),
            client_id: "agent".to_owned(),
            audiences: vec!["https://mcp.example/mcp".to_owned()],
            scopes: BTreeSet::new(),
            expires_at: issued_at + Duration::from_secs(300),
            not_before: None,
            issued_at,
            token_id: None,
            kind: SubjectKind::User,
            roles: BTreeSet::new(),
            groups: BTreeSet::new(),
            actors: Vec::new(),
            may_act: None,
            agent: AgentClaims::default(),
            consent: Consent::default(),
            context: ContextClaims::default(),
            authentication_contexts: BTreeSet::new(),
            takes_claims_challenges: false,
            tenant: None,
            session: None,
            acr: None,
            authenticated_at: None,
            confirmation: Confirmation::default(),
        }
    }
}

/// Seconds since 1970 of the fake host's clock.
pub(in crate::token) fn now() -> u64 {
    START.as_secs()
}

pub(in crate::token) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn header() -> Value {
    json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "k1"})
}

pub(super) fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "alice", "client_id": "agent", "aud": AUDIENCE, "jti": "t1",
        "iat": now(), "exp": now() + 300, "scope": "docs.read docs.write",
    })
}

/// `value` with one member replaced, or removed by `Value::Null`.
pub(in crate::token) fn with(mut value: Value, name: &str, member: Value) -> Value {
    let object = value.as_object_mut().unwrap();
    if member.is_null() {
        object.remove(name);
    } else {
        object.insert(name.to_owned(), member);
    }
    value
}

pub(in crate::token) fn signing_input(header: &Value, claims: &Value) -> String {
    format!("{}.{}", encode(header.to_string()), encode(claims.to_string()))
}

/// A token signed with the key of `seed`.
pub(in crate::token) fn sign(seed: u8, header: &Value, claims: &Value) -> String {
    sign_raw(seed, &header.to_string(), &claims.to_string())
}

pub(in crate::token) fn sign_raw(seed: u8, header: &str, claims: &str) -> String {
    let input = format!("{}.{}", encode(header), encode(claims));
    let signature = SigningKey::from_bytes(&[seed; 32]).sign(input.as_bytes());
    format!("{input}.{}", encode(signature.to_bytes()))
}

/// A good token with its header, then its claims, changed.
pub(super) fn with_header(name: &str, member: Value) -> String {
    sign(1, &with(header(), name, member), &claims())
}

pub(super) fn with_claim(name: &str, member: Value) -> String {
    sign(1, &header(), &with(claims(), name, member))
}

/// The public JWK of the key of `seed`.
pub(in crate::token) fn jwk(seed: u8, kid: &str) -> Value {
    let key = SigningKey::from_bytes(&[seed; 32]).verifying_key();
    json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": encode(key.as_bytes())})
}

pub(super) fn jwks(keys: &[Value]) -> Vec<u8> {
    json!({ "keys": keys }).to_string().into_bytes()
}

pub(super) fn issuer(keys: KeySource) -> Issuer {
    Issuer {
        name: "corp".to_owned(),
        identifier: Identifier::Exact(ISSUER.to_owned()),
        algorithms: ALL.to_vec(),
        token_types: vec![TokenType::Media("at+jwt".to_owned())],
        clock_skew: Duration::from_secs(SKEW),
        max_age: None,
        max_lifetime: None,
        claims: ClaimNames::default(),
        keys: Some(keys),
        introspection: None,
        revocations: None,
    }
}

/// An authenticator whose issuer 0 has these keys, for good.
pub(super) fn inline(keys: &[Value]) -> Authenticator {
    let keys = KeySet::parse(&jwks(keys), &ALL).unwrap();
    Authenticator::new(vec![issuer(KeySource::Inline(keys))], Vec::new())
}

/// As [`inline`], with the key of seed 1 named `k1`.
pub(super) fn authenticator() -> Authenticator {
    inline(&[jwk(1, "k1")])
}

pub(super) fn check(
    authenticator: &mut Authenticator,
    token: &str,
    host: &dyn Host,
) -> Result<Rc<Verified<AccessToken>>, TokenError> {
    match ask(authenticator, token, &[IssuerId(0)], AUDIENCE, Waited::not(), host) {
        Outcome::Verified(caller) => Ok(caller.token),
        Outcome::Rejected(error) | Outcome::Refused(_, error) => Err(error),
        Outcome::Waits(_) => Err(TokenError::KeysUnavailable),
    }
}

/// Sends a bearer token to a server that knows no other.
pub(super) fn ask(
    authenticator: &mut Authenticator,
    token: &str,
    issuers: &[IssuerId],
    resource: &str,
    waited: Waited,
    host: &dyn Host,
) -> Outcome {
    let credential = Credential {
        scheme: Scheme::Bearer,
        token,
        proof: None,
        method: "POST",
        certificate: None,
        workload: WorkloadEvidence::default(),
    };
    let (dpop, mtls) = (dpop(Requirement::Off), mtls(Requirement::Off));
    let demands = Demands { issuers, resource, audiences: &[], dpop: &dpop, mtls: &mtls };
    authenticator.authenticate(&credential, &demands, waited, host)
}

pub(in crate::token) fn dpop(mode: Requirement) -> DpopPolicy {
    DpopPolicy {
        mode,
        algorithms: ALL.to_vec(),
        proof_max_age: Duration::from_secs(300),
        url: AUDIENCE.to_owned(),
        nonce: NoncePolicy {
            mode: Requirement::Off,
            scope: NonceScope::Replica,
            lifetime: Duration::from_secs(300),
        },
    }
}

pub(super) fn mtls(mode: Requirement) -> MtlsPolicy {
    MtlsPolicy { mode, certificate: CertificateSource::Connection }
}

/// The outcome of one token with a fresh authenticator and a host at rest.
pub(super) fn outcome(token: &str) -> Result<Rc<Verified<AccessToken>>, TokenError> {
    check(&mut authenticator(), token, &FakeHost::new())
}

/// As [`outcome`], of an issuer whose settings are changed first.
pub(super) fn outcome_with(
    change: impl FnOnce(&mut Issuer),
    token: &str,
) -> Result<Rc<Verified<AccessToken>>, TokenError> {
    let keys = KeySet::parse(&jwks(&[jwk(1, "k1")]), &ALL).unwrap();
    let mut issuer = issuer(KeySource::Inline(keys));
    change(&mut issuer);
    check(&mut Authenticator::new(vec![issuer], Vec::new()), token, &FakeHost::new())
}

pub(super) fn refusal(token: &str) -> TokenError {
    outcome(token).unwrap_err()
}

/// A host that verifies as Envoy does: DER keys, DER signatures, no PSS, no Ed25519.
pub(in crate::token) struct NativeHost(pub(in crate::token) FakeHost);

impl Host for NativeHost {
    fn now(&self) -> SystemTime {
        self.0.now()
    }

    fn random(&self) -> Result<[u8; 16], HostError> {
        self.0.random()
    }

    fn verify_signature(&self, v: &NativeVerification<'_>) -> NativeVerdict {
        self.0.verifications.set(self.0.verifications.get() + 1);
        if verify_der(v).is_some() { NativeVerdict::Valid } else { NativeVerdict::Invalid }
    }

    fn sign(&self, signing: &NativeSigning<'_>) -> Result<Vec<u8>, HostError> {
        self.0.sign(signing)
    }

    fn shared(&self, key: &str) -> Result<Option<SharedValue>, HostError> {
        self.0.shared(key)
    }

    fn set_shared(
        &self,
        key: &str,
        value: &[u8],
        version: Option<std::num::NonZeroU32>,
    ) -> Result<(), SharedDataError> {
        self.0.set_shared(key, value, version)
    }

    fn dispatch(&self, callout: &Callout) -> Result<CalloutId, HostError> {
        self.0.dispatch(callout)
    }

    fn count(&self, counter: Counter) {
        self.0.count(counter);
    }

    fn adjust(&self, gauge: Gauge<'_>, change: Change) {
        self.0.adjust(gauge, change);
    }

    fn log(&self, level: LogLevel, message: &str) {
        self.0.log(level, message);
    }
}

const EC_PUBLIC_KEY: &str = "1.2.840.10045.2.1";

fn verify_der(v: &NativeVerification<'_>) -> Option<()> {
    use rsa::pkcs8::der::Decode as _;
    use rsa::pkcs8::{DecodePublicKey as _, ObjectIdentifier, spki::SubjectPublicKeyInfoRef};
    use rsa::signature::Verifier as _;

    let spki = SubjectPublicKeyInfoRef::from_der(v.public_key).ok()?;
    let point = spki.subject_public_key.raw_bytes();
    if spki.algorithm.oid.to_string() != EC_PUBLIC_KEY {
        let key = rsa::RsaPublicKey::from_public_key_der(v.public_key).ok()?;
        let signature = rsa::pkcs1v15::Signature::try_from(v.signature).ok()?;
        return match v.digest {
            Digest::Sha256 => {
                rsa::pkcs1v15::VerifyingKey::<sha2::Sha256>::new(key).verify(v.message, &signature)
            }
            Digest::Sha384 => {
                rsa::pkcs1v15::VerifyingKey::<sha2::Sha384>::new(key).verify(v.message, &signature)
            }
            Digest::Sha512 => {
                rsa::pkcs1v15::VerifyingKey::<sha2::Sha512>::new(key).verify(v.message, &signature)
            }
        }
        .ok();
    }
    let curve: ObjectIdentifier = spki.algorithm.parameters?.decode_as().ok()?;
    match (curve.to_string().as_str(), v.digest) {
        ("1.2.840.10045.3.1.7", Digest::Sha256) => {
            let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?;
            key.verify(v.message, &p256::ecdsa::Signature::from_der(v.signature).ok()?).ok()
        }
        ("1.3.132.0.34", Digest::Sha384) => {
            let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?;
            key.verify(v.message, &p384::ecdsa::Signature::from_der(v.signature).ok()?).ok()
        }
        ("1.3.132.0.35", Digest::Sha512) => {
            let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?;
            key.verify(v.message, &p521::ecdsa::Signature::from_der(v.signature).ok()?).ok()
        }
        _ => None,
    }
}
