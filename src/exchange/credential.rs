//! What goes to an MCP server instead of the caller's token.

use std::collections::BTreeSet;
use std::time::SystemTime;

use crate::token::Secret;

/// A credential for an MCP server, judged and good to be sent.
#[derive(Debug, Clone)]
pub struct Credential {
    /// The scheme that it is sent with.
    pub scheme: Scheme,
    /// The token.
    pub token: Secret,
    /// What was granted: the answer's `scope`, or what was asked for where it has none (RFC
    /// 6749 section 5.1). `None` where that is not known: nothing was asked for, or a token of
    /// a third party was.
    pub granted: Option<BTreeSet<String>>,
    /// When it ends.
    pub expires_at: SystemTime,
    /// SHA-256 of its `jti`, or of the token where it has none: for the record, so that the MCP
    /// server's own record can be found by it.
    pub id: [u8; 32],
}

/// How a credential is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// RFC 6750 section 2.1.
    Bearer,
    /// RFC 9449 section 7.1, where it is configured that such tokens go on: the proof is added
    /// by somebody behind us.
    Dpop,
}

impl Scheme {
    /// The scheme's name in `Authorization`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Bearer => "Bearer",
            Scheme::Dpop => "DPoP",
        }
    }
}

impl Credential {
    /// The value of `Authorization`.
    #[must_use]
    pub fn authorization(&self) -> Secret {
        Secret::new(format!("{} {}", self.scheme.as_str(), self.token.reveal()))
    }

    /// Whether it was granted all of these scopes. Where it is not known what it was granted, it
    /// is the MCP server's to say.
    #[must_use]
    pub fn grants(&self, scopes: &BTreeSet<String>) -> bool {
        self.granted.as_ref().is_none_or(|granted| scopes.is_subset(granted))
    }
}
