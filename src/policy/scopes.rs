//! What a token's scopes, roles and groups amount to.

use std::collections::{BTreeMap, BTreeSet};

use crate::token::IssuerId;

/// How scopes follow from others, and from roles and groups.
#[derive(Debug, Default)]
pub struct Scopes {
    /// For a scope, those that imply it, directly or not.
    pub implied_by: BTreeMap<String, BTreeSet<String>>,
    /// For a scope, what else grants it to users.
    pub granted_by: BTreeMap<String, Vec<ScopeGrant>>,
    /// Over-broad scopes (`*`, `*:write`) that count, because the configuration says what
    /// they imply.
    pub broad: BTreeSet<String>,
}

/// Roles and groups of an issuer that amount to a scope, any of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScopeGrant {
    /// The issuer that says them.
    pub issuer: Option<IssuerId>,
    /// Roles.
    pub roles: BTreeSet<String>,
    /// Groups.
    pub groups: BTreeSet<String>,
}

/// Whether a scope is over-broad: it has a `*` for anything.
#[must_use]
pub fn is_broad(scope: &str) -> bool {
    scope.contains('*')
}
