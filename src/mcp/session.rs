//! Sessions of the legacy era, sealed to whom they belong to.

use std::fmt;

use super::principal::Principal;
use crate::host::{Host, HostError};

/// A configured key that seals sessions.
#[derive(Clone, PartialEq, Eq)]
pub struct SealKey(Vec<u8>);

impl SealKey {
    /// Shortest key, in bytes: what SHA-256 puts out (RFC 2104 section 3).
    pub const MIN_BYTES: usize = 32;

    /// A key of at least 32 bytes; `None` for less.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() >= Self::MIN_BYTES).then_some(SealKey(bytes))
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(..)")
    }
}

/// Seals and opens session ids.
#[derive(Debug)]
pub struct SessionSeals {
    /// The first seals, all of them open. Empty: a key of the proxy's own, in shared data.
    configured: Vec<SealKey>,
}

impl SessionSeals {
    /// With these keys, or, without any, with one of the proxy's own.
    #[must_use]
    pub fn new(configured: Vec<SealKey>) -> Self {
        SessionSeals { configured }
    }

    /// Makes the proxy's own key if one is needed and there is none.
    ///
    /// # Errors
    /// [`HostError`] when it could not be made.
    pub fn prepare(&self, _host: &dyn Host) -> Result<(), HostError> {
        Ok(())
    }

    /// The id that `owner` is given for the server's session `id`; `None` for an id that no
    /// server may choose (MCP 2025-11-25, "Session Management": visible ASCII), or one too long.
    ///
    /// # Errors
    /// [`HostError`] when there is no key.
    pub fn seal(
        &self,
        _id: &str,
        _owner: &Principal,
        _host: &dyn Host,
    ) -> Result<Option<String>, HostError> {
        let _ = &self.configured;
        Ok(None)
    }

    /// The server's session id, if `sealed` was given to this owner.
    ///
    /// # Errors
    /// [`HostError`] when there is no key.
    pub fn open(
        &self,
        _sealed: &str,
        _owner: &Principal,
        _host: &dyn Host,
    ) -> Result<Option<String>, HostError> {
        Ok(None)
    }
}
