//! What goes to the MCP server in place of the caller's token.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::exchange::ExchangeId;

/// An exchange as policy sees it: what it asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Downstream {
    /// The operator's name for it.
    pub name: Rc<str>,
    /// Which it is; `None` where nothing is asked for and nothing is added, since what reaches
    /// the MCP server adds a credential of its own.
    pub exchange: Option<ExchangeId>,
    /// How far the scopes of one operation go.
    pub scopes: DownstreamScopes,
    /// Scopes for what has no rule of its own: methods without a protected object, and sessions;
    /// with [`DownstreamScopes::PerServer`] for everything. Empty: none are asked for.
    pub server_scopes: Rc<BTreeSet<String>>,
}

/// What a credential is good for.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum DownstreamScopes {
    /// One operation: the scopes that its rule maps to.
    #[default]
    PerOperation,
    /// Everything at the server.
    PerServer,
}

/// The credential that one operation takes along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialWanted {
    /// By which exchange.
    pub downstream: Rc<Downstream>,
    /// Scopes to ask for.
    pub scopes: Rc<BTreeSet<String>>,
    /// Those without which the operation would be in vain.
    pub needs: Rc<BTreeSet<String>>,
    /// Whether one with [`Downstream::server_scopes`] will do where the operation is not known in
    /// time: `stream`, and a client older than 2026-07-28.
    pub server_wide: bool,
}

impl CredentialWanted {
    /// The one for all that a server has no rule for.
    pub(super) fn of_server(downstream: &Rc<Downstream>) -> Self {
        CredentialWanted {
            downstream: Rc::clone(downstream),
            scopes: Rc::clone(&downstream.server_scopes),
            needs: Rc::default(),
            server_wide: true,
        }
    }

    /// One that does for both, if they are had by the same exchange.
    pub(super) fn and(self, other: CredentialWanted) -> Option<Self> {
        if !Rc::ptr_eq(&self.downstream, &other.downstream) {
            return None;
        }
        let union = |one: &Rc<BTreeSet<String>>, another: &Rc<BTreeSet<String>>| {
            if another.is_subset(one) { Rc::clone(one) } else { Rc::new(&**one | &**another) }
        };
        Some(CredentialWanted {
            scopes: union(&self.scopes, &other.scopes),
            needs: union(&self.needs, &other.needs),
            server_wide: self.server_wide && other.server_wide,
            downstream: self.downstream,
        })
    }
}
