//! The policies of a server: the one in force, one that is tried beside it, and one that is
//! back for a while.

use std::rc::Rc;
use std::time::SystemTime;

use crate::policy::ServerPolicy;

/// The policies of a server.
#[derive(Debug, Default)]
pub struct Policies {
    /// The server's own.
    pub own: Rc<ServerPolicy>,
    /// Decides the same operations, for the record only.
    pub candidate: Option<NamedPolicy>,
    /// In force instead of the server's own until its time is over.
    pub rollback: Option<Rollback>,
}

/// A policy of `policies`.
#[derive(Debug, Clone)]
pub struct NamedPolicy {
    /// Its name.
    pub name: Rc<str>,
    /// What it says of this server.
    pub policy: Rc<ServerPolicy>,
}

/// A policy that is back until a time.
#[derive(Debug, Clone)]
pub struct Rollback {
    /// Which.
    pub named: NamedPolicy,
    /// When it ends.
    pub until: SystemTime,
}

impl Policies {
    /// The policy in force at a time, with its name where it is not the server's own.
    #[must_use]
    pub fn in_force(&self, now: SystemTime) -> (&Rc<ServerPolicy>, Option<&Rc<str>>) {
        match &self.rollback {
            Some(Rollback { named, until }) if now < *until => (&named.policy, Some(&named.name)),
            _ => (&self.own, None),
        }
    }

    /// Whether any of them could be in force and satisfies this.
    #[must_use]
    pub fn any(&self, satisfies: impl Fn(&ServerPolicy) -> bool) -> bool {
        let rollback = self.rollback.as_ref().map(|rollback| &rollback.named.policy);
        std::iter::once(&self.own).chain(rollback).any(|policy| satisfies(policy))
    }
}
