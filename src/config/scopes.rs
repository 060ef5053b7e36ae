//! Compiles `scopes` and `scope_grants`: what scopes, roles and groups amount to.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::compile::Notes;
use super::document::{self, Scope};
use super::issuers::Known;
use super::metadata::{check_scope, check_scopes};
use super::problem::member;
use crate::policy::{ScopeGrant, Scopes, is_broad};

/// Most scopes that follow from scopes, each with each. A ladder of 100 steps has 5 000.
const MAX_IMPLIED: usize = 16 * 1024;

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
    /// For each scope of the document, what follows from it.
    pub(super) implied: BTreeMap<String, BTreeSet<String>>,
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
            notes.count(path, scopes.len(), MAX_IMPLIED);
        }
        let broad = scopes.keys().filter(|name| is_broad(name)).cloned().collect();
        let mut terms = ScopeTerms {
            path: path.to_owned(),
            scopes: Rc::new(Scopes { broad, ..Scopes::default() }),
            implied: BTreeMap::new(),
        };
        for (name, scope) in scopes {
            let path = member(path, name);
            check_scope(notes, &path, name);
            notes.list(&format!("{path}.implies"), &scope.implies);
            terms.check(notes, &format!("{path}.implies"), &scope.implies);
        }
        let mut granted_by: BTreeMap<String, Vec<ScopeGrant>> = BTreeMap::new();
        for grant in grants {
            terms.check(notes, &format!("{}.scopes", grant.path), &grant.scopes);
            for scope in &grant.scopes {
                granted_by.entry(scope.clone()).or_default().push(grant.to.clone());
            }
        }
        terms.implied = implied(notes, path, scopes);
        let mut implied_by: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (scope, implied) in &terms.implied {
            for implied in implied {
                implied_by.entry(implied.clone()).or_default().insert(scope.clone());
            }
        }
        let broad = terms.scopes.broad.clone();
        terms.scopes = Rc::new(Scopes { implied_by, granted_by, broad });
        terms
    }

    /// Checks scopes that something asks for or grants: an over-broad one is none that a
    /// token could have.
    pub(super) fn check(&self, notes: &mut Notes, path: &str, scopes: &[String]) {
        check_scopes(notes, path, scopes);
        for (index, scope) in scopes.iter().enumerate() {
            if is_broad(scope) && !self.scopes.broad.contains(scope) {
                let message = format!(
                    "has a `*`, and so counts only if `{}` says what it implies",
                    self.path
                );
                notes.problem(format!("{path}[{index}]"), message);
            }
        }
    }

    /// Whether a scope is that one, or implies it.
    pub(super) fn covers(&self, scope: &str, wanted: &str) -> bool {
        scope == wanted || self.implied.get(scope).is_some_and(|implied| implied.contains(wanted))
    }
}

/// For each scope, all that follow from it: those it implies, and what these do.
fn implied(
    notes: &mut Notes,
    path: &str,
    scopes: &BTreeMap<String, Scope>,
) -> BTreeMap<String, BTreeSet<String>> {
    let mut closed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut open: Vec<(&String, &Scope)> = scopes.iter().collect();
    let mut size = 0_usize;
    loop {
        let before = open.len();
        open.retain(|(name, scope)| {
            let is_settled =
                |next: &String| closed.contains_key(next) || !scopes.contains_key(next);
            if size > MAX_IMPLIED || !scope.implies.iter().all(is_settled) {
                return true;
            }
            let mut all: BTreeSet<String> = scope.implies.iter().cloned().collect();
            all.extend(scope.implies.iter().filter_map(|next| closed.get(next)).flatten().cloned());
            size = size.saturating_add(all.len());
            closed.insert((*name).clone(), all);
            false
        });
        if open.len() == before || size > MAX_IMPLIED {
            break;
        }
    }
    if size > MAX_IMPLIED {
        notes.problem(path, format!("more than {MAX_IMPLIED} scopes follow from scopes"));
    } else if let Some(cycle) = cycle(&open) {
        notes.problem(path, format!("imply each other: {cycle}; which is the wider one?"));
    }
    closed
}

/// A way round among scopes each of which waits for another one.
fn cycle(open: &[(&String, &Scope)]) -> Option<String> {
    let waiting: BTreeMap<&str, &Scope> = open.iter().map(|(n, s)| (n.as_str(), *s)).collect();
    let (mut next, _) = waiting.first_key_value()?;
    let mut way: Vec<&str> = Vec::new();
    while !way.contains(next) {
        way.push(next);
        let implied = waiting.get(next)?.implies.iter();
        (next, _) = implied.filter_map(|name| waiting.get_key_value(name.as_str())).next()?;
    }
    let round: Vec<&str> = way.iter().copied().skip_while(|name| name != next).collect();
    Some(format!("{} → {next}", round.join(" → ")))
}
