//! What the core needs from whatever hosts it.
//!
//! The core is sans-I/O: it never reads a clock, draws randomness, opens a
//! connection or writes a log itself. It asks a [`Host`]. `filter/` implements
//! it with proxy-wasm hostcalls, tests implement it with values they control.

use std::fmt;
use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

/// The services of the host. Every method may be called from any callback.
pub trait Host {
    /// Wall-clock time. Token lifetimes, cache ages and the record use it.
    fn now(&self) -> SystemTime;

    /// 128 unpredictable bits.
    ///
    /// # Errors
    /// [`HostError`] when the host has no randomness; the caller denies.
    fn random(&self) -> Result<[u8; 16], HostError>;

    /// Verifies a signature with the host's own cryptography, which is 8 to 30
    /// times cheaper than any in the module (Envoy: `verify_signature`).
    fn verify_signature(&self, verification: &NativeVerification<'_>) -> NativeVerdict;

    /// Signs with the host's own cryptography (Envoy: `sign`): client assertions.
    ///
    /// # Errors
    /// [`HostError`] when the host has no such function or cannot use the key.
    fn sign(&self, signing: &NativeSigning<'_>) -> Result<Vec<u8>, HostError>;

    /// Reads a value that every worker of this proxy sees.
    ///
    /// Other modules in the same VM namespace can write any of them, so a value is
    /// read like anything else that comes from outside.
    ///
    /// # Errors
    /// [`HostError`] when the host does not answer; a key never written is `None`.
    fn shared(&self, key: &str) -> Result<Option<SharedValue>, HostError>;

    /// Writes such a value: if it still has `version`, or, with `None`, whatever it is.
    ///
    /// # Errors
    /// [`SharedDataError::Conflict`] when another worker wrote first.
    fn set_shared(
        &self,
        key: &str,
        value: &[u8],
        version: Option<NonZeroU32>,
    ) -> Result<(), SharedDataError>;

    /// Starts an HTTP request to a cluster. The answer comes as an event.
    ///
    /// # Errors
    /// [`HostError`] when the request could not even be started (unknown cluster).
    fn dispatch(&self, callout: &Callout) -> Result<CalloutId, HostError>;

    /// Adds one to a counter.
    fn count(&self, counter: Counter);

    /// Raises or lowers a gauge by one. All workers of the proxy share it.
    fn adjust(&self, gauge: Gauge<'_>, change: Change);

    /// Writes a line to the host's log. The message must not contain secrets.
    fn log(&self, level: LogLevel, message: &str);
}

/// The host refused or failed a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the host failed a call")]
pub struct HostError;

/// A signature for the host to verify.
#[derive(Debug, Clone, Copy)]
pub struct NativeVerification<'a> {
    /// The digest; the key says the rest (RSASSA-PKCS1-v1_5 or ECDSA).
    pub digest: Digest,
    /// DER `SubjectPublicKeyInfo` (RFC 5280 section 4.1).
    pub public_key: &'a [u8],
    /// RSA: the bytes as in the token. ECDSA: DER `ECDSA-Sig-Value` (RFC 3279 section 2.2.3).
    pub signature: &'a [u8],
    /// What was signed.
    pub message: &'a [u8],
}

/// The digests of the signature algorithms the host may verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// SHA-256
    Sha256,
    /// SHA-384
    Sha384,
    /// SHA-512
    Sha512,
}

/// The host's answer to [`Host::verify_signature`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NativeVerdict {
    /// The signature is that key's, over that message.
    Valid,
    /// It is not, or the host could not read key or signature.
    Invalid,
    /// This host has no such function: verify in the module.
    Unsupported,
}

/// Something for the host to sign.
#[derive(Clone, Copy)]
pub struct NativeSigning<'a> {
    /// The digest; the key says the rest (RSASSA-PKCS1-v1_5 or ECDSA).
    pub digest: Digest,
    /// DER `PrivateKeyInfo` (PKCS #8, RFC 5208 section 5).
    pub private_key: &'a [u8],
    /// What is signed.
    pub message: &'a [u8],
}

/// A value shared by the workers of one proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedValue {
    /// The bytes; empty where the host has no way to delete.
    pub bytes: Vec<u8>,
    /// Changes with every write.
    pub version: NonZeroU32,
}

/// Why a shared value was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SharedDataError {
    /// It is not the version it was: read it again.
    #[error("another worker wrote first")]
    Conflict,
    /// The host failed the call.
    #[error("the host failed a call")]
    Failed,
}

/// An HTTP request of ours to a cluster the host knows.
#[derive(Clone, PartialEq, Eq)]
pub struct Callout {
    /// The host's name of the upstream (Envoy cluster).
    pub cluster: String,
    /// `GET` or `POST`.
    pub method: &'static str,
    /// `http` or `https`.
    pub scheme: String,
    /// Host and, if not the scheme's default, port.
    pub authority: String,
    /// Path and query.
    pub path: String,
    /// Header fields besides; names in lowercase. May hold credentials.
    pub headers: Vec<(&'static str, String)>,
    /// The body; empty for none. May hold credentials.
    pub body: Vec<u8>,
    /// How long to wait for the whole answer.
    pub timeout: Duration,
}

/// Shows where it goes and not what it says.
impl fmt::Debug for Callout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Callout { cluster, method, scheme, authority, path, timeout, .. } = self;
        let url = format_args!("{scheme}://{authority}{path}");
        f.debug_struct("Callout")
            .field("cluster", cluster)
            .field("request", &format_args!("{method} {url}"))
            .field("timeout", timeout)
            .finish_non_exhaustive()
    }
}

/// Names a callout under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CalloutId(pub u32);

/// The answer to a [`Callout`]. Envoy reports its own failures as answers too:
/// 504 for a timeout, 503 for no connection, and no status at all for a reset.
#[derive(Clone, Default)]
pub struct CalloutAnswer {
    /// HTTP status; `None` when the request failed without one.
    pub status: Option<u16>,
    /// Header lines, names in lowercase.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body; `None` when it was larger than the caller's bound or unreadable.
    pub body: Option<Vec<u8>>,
}

impl CalloutAnswer {
    /// The value of a header that is there once and is visible ASCII.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.headers.iter().filter(|(n, _)| n == name);
        let (Some((_, value)), None) = (lines.next(), lines.next()) else { return None };
        let text = std::str::from_utf8(value).ok()?;
        text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t')).then(|| text.trim())
    }
}

/// Shows the status only: the answer may hold claims.
impl fmt::Debug for CalloutAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CalloutAnswer").field("status", &self.status).finish_non_exhaustive()
    }
}

/// How grave a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Of interest to an operator: records, key refreshes.
    Info,
    /// Something failed and a later attempt may succeed.
    Warn,
    /// Something failed that needs an operator.
    Error,
    /// Enforcement stands at deny-all.
    Critical,
}

/// The counters, all monotonic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counter {
    /// A decision was made: `decisions.<outcome>.<code>`.
    Decision {
        /// `allow` or `deny`
        outcome: &'static str,
        /// A stable code of `reply::Code`, or `allowed`.
        code: &'static str,
    },
    /// A document (keys, revocations, bundle) was fetched and read.
    FetchSucceeded {
        /// `keys`, `revocations` or `bundle`
        document: &'static str,
    },
    /// A document could not be fetched or read.
    FetchFailed {
        /// `keys`, `revocations` or `bundle`
        document: &'static str,
    },
    /// A token was judged by a document whose refresh is overdue.
    StaleUse {
        /// `keys`, `revocations` or `bundle`
        document: &'static str,
    },
    /// An introspection endpoint was asked, and its answer was of use.
    IntrospectionSucceeded,
    /// An introspection endpoint failed us.
    IntrospectionFailed,
    /// An introspection answer was remembered.
    IntrospectionCacheHit,
    /// A DPoP proof was used before.
    ProofReplayed,
    /// A DPoP proof was refused because its use could not be recorded.
    ReplayStoreFailed,
    /// A token was found in the verified-token cache.
    TokenCacheHit,
    /// A token had to be verified.
    TokenCacheMiss,
    /// A denial by policy was not enforced: `shadow.denials.<code>`.
    ShadowDenial {
        /// A stable code of `reply::Code`.
        code: &'static str,
    },
    /// The candidate decided: `candidate.<change>`.
    Candidate {
        /// `none`, `would_allow`, `would_deny` or `other_reason`
        change: &'static str,
    },
    /// A policy that is back for a while decided.
    RollbackDecision,
    /// The time of a rollback is over.
    RollbackEnded,
    /// An authorization server issued a credential for an MCP server, and it was acceptable.
    ExchangeSucceeded,
    /// It did not: `exchanges.failed.<code>`.
    ExchangeFailed {
        /// A code of [`ExchangeError`](crate::exchange::ExchangeError).
        code: &'static str,
    },
    /// A credential for an MCP server was remembered.
    ExchangeCacheHit,
    /// A credential had to be asked for.
    ExchangeCacheMiss,
    /// One was asked for anew before it ended.
    ExchangeRefreshed,
    /// An authorization server failed too often, and is not asked for a while.
    ExchangeCircuitOpened,
    /// A hold-mode host let a request hang: see `gate::self_check`.
    HostSelfCheckFailed,
}

/// The gauges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gauge<'a> {
    /// Workers that do not ask the authorization server of an exchange, because it failed too
    /// often: `exchange_circuits.open.<name>`.
    CircuitOpen {
        /// Name of the exchange.
        exchange: &'a str,
    },
}

/// What becomes of a gauge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// One more.
    Up,
    /// One less.
    Down,
}

#[cfg(test)]
pub(crate) mod fake;
