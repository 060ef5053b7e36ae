//! Compiles `scopes` and `scope_grants`: what scopes, roles and groups amount to.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::compile::Notes;
use super::document::{self, Scope};
use super::issuers::Known;
use super::metadata::{check_scope, check_scopes};
use super::problem::member;
use crate::policy::{ScopeGrant, Scopes, is_broad};

/// Most scopes that imply others: each is kept with all that follow from it, which are most
/// of them where they make one ladder.
const MAX_SCOPES: usize = 256;

/// Most entries of all their `implies` together. What follows from what is written out for
/// each scope, in every worker.
const MAX_IMPLIED: usize = 1024;

/// An entry of `scope_grants`.
pub(super) struct Grant {
    /// Where it is.
    pub(super) path: String,
    pub(super) scopes: Vec<String>,
    pub(super) to: ScopeGrant,
}

/// What scopes amount to in one policy.
pub(super) struct ScopeTerms {
    /// Where the document says it.
    pub(super) path: String,
    pub(super) scopes: Rc<Scopes>,
    /// Those that it says something of.
    pub(super) names: BTreeSet<String>,
}

/// Compiles the `scope_grants` of all issuers.
pub(super) fn grants(
    notes: &mut Notes,
    issuers: &BTreeMap<String, document::Issuer>,
    known: &Known,
) -> Vec<Grant> {
    let mut grants = Vec::new();
    for (name, issuer) in issuers {
        let list = format!("issuers.{name}.scope_grants");
        notes.optional_list(&list, &issuer.scope_grants);
        for (index, grant) in issuer.scope_grants.iter().enumerate() {
            let path = format!("{list}[{index}]");
            if grant.roles.is_empty() && grant.groups.is_empty() {
                notes.problem(&path, "needs `roles` or `groups`: who is to have the scopes?");
            }
            for (member, names) in [("roles", &grant.roles), ("groups", &grant.groups)] {
                if !names.is_empty() {
                    notes.choices(&format!("{path}.{member}"), names);
                }
            }
            notes.list(&format!("{path}.scopes"), &grant.scopes);
            let to = ScopeGrant {
                issuer: known.get(name).map(|issuer| issuer.id),
                roles: grant.roles.iter().cloned().collect(),
                groups: grant.groups.iter().cloned().collect(),
            };
            grants.push(Grant { path, scopes: grant.scopes.clone(), to });
        }
    }
    grants
}

impl ScopeTerms {
    /// Compiles the `scopes` at `path`, with what roles and groups grant.
    pub(super) fn compile(
        notes: &mut Notes,
        path: &str,
        scopes: &BTreeMap<String, Scope>,
        grants: &[Grant],
    ) -> Self {
        if !scopes.is_empty() {
            notes.count(path, scopes.len(), MAX_SCOPES);
            let implied = scopes.values().map(|scope| scope.implies.len()).sum();
            notes.count(&format!("{path}.*.implies"), implied, MAX_IMPLIED);
        }
        let mut terms = ScopeTerms {
            path: path.to_owned(),
            scopes: Rc::default(),
            names: scopes.keys().cloned().collect(),
        };
        let mut implies: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (name, scope) in scopes {
            let path = member(path, name);
            check_scope(notes, &path, name);
            notes.list(&format!("{path}.implies"), &scope.implies);
            terms.check(notes, &format!("{path}.implies"), &scope.implies);
            implies.insert(name.clone(), scope.implies.iter().cloned().collect());
        }
        let mut granted_by: BTreeMap<String, Vec<ScopeGrant>> = BTreeMap::new();
        for grant in grants {
            terms.check(notes, &format!("{}.scopes", grant.path), &grant.scopes);
            for scope in &grant.scopes {
                granted_by.entry(scope.clone()).or_default().push(grant.to.clone());
            }
        }
        if scopes.len() <= MAX_SCOPES {
            match Scopes::new(implies, granted_by) {
                Ok(scopes) => terms.scopes = Rc::new(scopes),
                Err(circle) => notes.problem(path, circle),
            }
        }
        terms
    }

    /// Checks scopes that something asks for or grants: an over-broad one is none that a
    /// token could have.
    pub(super) fn check(&self, notes: &mut Notes, path: &str, scopes: &[String]) {
        check_scopes(notes, path, scopes);
        for (index, scope) in scopes.iter().enumerate() {
            if is_broad(scope) && !self.names.contains(scope) {
                let message = format!(
                    "has a `*`, and so counts only if `{}` says what it implies",
                    self.path
                );
                notes.problem(format!("{path}[{index}]"), message);
            }
        }
    }
}
