//! What the core needs from whatever hosts it.
//!
//! The core is sans-I/O: it never reads a clock, draws randomness, opens a
//! connection or writes a log itself. It asks a [`Host`]. `filter/` implements
//! it with proxy-wasm hostcalls, tests implement it with values they control.

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

    /// Starts an HTTP request to a cluster. The answer comes as an event.
    ///
    /// # Errors
    /// [`HostError`] when the request could not even be started (unknown cluster).
    fn dispatch(&self, callout: &Callout) -> Result<CalloutId, HostError>;

    /// Adds one to a counter.
    fn count(&self, counter: Counter);

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

/// An HTTP request of ours to a cluster the host knows.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// How long to wait for the whole answer.
    pub timeout: Duration,
}

/// Names a callout under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CalloutId(pub u32);

/// The answer to a [`Callout`]. Envoy reports its own failures as answers too:
/// 504 for a timeout, 503 for no connection, and no status at all for a reset.
#[derive(Debug, Clone)]
pub struct CalloutAnswer {
    /// HTTP status; `None` when the request failed without one.
    pub status: Option<u16>,
    /// The body; `None` when it was larger than the caller's bound or unreadable.
    pub body: Option<Vec<u8>>,
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
    /// A key set was fetched and read.
    KeyFetchSucceeded,
    /// A key set could not be fetched or read.
    KeyFetchFailed,
    /// A token was found in the verified-token cache.
    TokenCacheHit,
    /// A token had to be verified.
    TokenCacheMiss,
    /// A hold-mode host let a request hang: see `gate::self_check`.
    HostSelfCheckFailed,
}

#[cfg(test)]
pub(crate) mod fake;
