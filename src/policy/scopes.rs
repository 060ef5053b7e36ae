//! What a token's scopes, roles and groups amount to.

use std::collections::{BTreeMap, BTreeSet};

use crate::token::{AccessToken, IssuerId, SubjectKind};

/// How scopes follow from others, and from roles and groups.
#[derive(Debug, Default)]
pub struct Scopes {
    /// For a scope, those that imply it, directly or not.
    implied_by: BTreeMap<String, BTreeSet<String>>,
    /// For a scope, what else grants it to users.
    granted_by: BTreeMap<String, Vec<ScopeGrant>>,
    /// Over-broad scopes (`*`, `*:write`) that count, because the configuration says what
    /// they imply.
    broad: BTreeSet<String>,
}

/// Roles and groups of an issuer that amount to a scope, any of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScopeGrant {
    /// The issuer that says them; `None` for any.
    pub issuer: Option<IssuerId>,
    /// Roles.
    pub roles: BTreeSet<String>,
    /// Groups.
    pub groups: BTreeSet<String>,
}

/// Scopes that imply each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("imply each other in a circle: {}", .circle.join(", "))]
pub struct ScopeCircle {
    /// The scopes, each of which implies the next, and the last the first.
    pub circle: Vec<String>,
}

/// Whether a scope is over-broad: it has a `*` for anything.
#[must_use]
pub fn is_broad(scope: &str) -> bool {
    scope.contains('*')
}

impl Scopes {
    /// Scopes of which each implies others, and what else grants a scope to users.
    ///
    /// # Errors
    /// [`ScopeCircle`] when a scope implies itself, directly or not.
    pub fn new(
        implies: BTreeMap<String, BTreeSet<String>>,
        granted_by: BTreeMap<String, Vec<ScopeGrant>>,
    ) -> Result<Self, ScopeCircle> {
        let mut implied_by: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for scope in implies.keys() {
            for implied in implied_by_one(scope, &implies)? {
                implied_by.entry(implied.to_owned()).or_default().insert(scope.clone());
            }
        }
        let broad = implies.into_keys().filter(|scope| is_broad(scope)).collect();
        Ok(Scopes { implied_by, granted_by, broad })
    }

    /// Whether a token amounts to a scope: it has it, or its user's roles or groups grant it,
    /// or the same holds of a scope that implies it.
    #[must_use]
    pub fn holds(&self, token: &AccessToken, scope: &str) -> bool {
        self.sufficient(scope)
            .any(|scope| token.scopes.contains(scope) || self.grants(token, scope))
    }

    /// Whether a scope is one of these, or follows from one.
    #[must_use]
    pub fn covers(&self, scopes: &BTreeSet<String>, scope: &str) -> bool {
        self.sufficient(scope).any(|scope| scopes.contains(scope))
    }

    /// The scopes of which each is enough for this one. Over-broad ones are not, unless the
    /// configuration says what they imply.
    fn sufficient<'s>(&'s self, scope: &'s str) -> impl Iterator<Item = &'s str> {
        let implying = self.implied_by.get(scope).into_iter().flatten().map(String::as_str);
        std::iter::once(scope)
            .chain(implying)
            .filter(|scope| !is_broad(scope) || self.broad.contains(*scope))
    }

    /// Roles of a workload are what it may do itself, and never a user's.
    fn grants(&self, token: &AccessToken, scope: &str) -> bool {
        token.kind == SubjectKind::User
            && self.granted_by.get(scope).into_iter().flatten().any(|grant| {
                grant.issuer.is_none_or(|issuer| issuer == token.issuer)
                    && !(grant.roles.is_disjoint(&token.roles)
                        && grant.groups.is_disjoint(&token.groups))
            })
    }
}

/// What a scope implies, directly or not.
fn implied_by_one<'i>(
    scope: &'i str,
    implies: &'i BTreeMap<String, BTreeSet<String>>,
) -> Result<Vec<&'i str>, ScopeCircle> {
    // Each with the one it was reached from, so that a circle can be told.
    let mut reached: BTreeMap<&str, &str> = BTreeMap::new();
    let mut open = vec![scope];
    while let Some(from) = open.pop() {
        for next in implies.get(from).into_iter().flatten() {
            if next == scope {
                let mut circle: Vec<String> =
                    std::iter::successors(Some(from), |at| reached.get(at).copied())
                        .map(str::to_owned)
                        .collect();
                circle.reverse();
                return Err(ScopeCircle { circle });
            }
            if !reached.contains_key(next.as_str()) {
                reached.insert(next, from);
                open.push(next);
            }
        }
    }
    Ok(reached.into_keys().collect())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests may panic")]

    use super::*;
    use crate::policy::tests::{set, token};

    fn implies(pairs: &[(&str, &[&str])]) -> BTreeMap<String, BTreeSet<String>> {
        pairs.iter().map(|(scope, implied)| ((*scope).to_owned(), set(implied))).collect()
    }

    #[test]
    fn a_scope_follows_from_all_that_imply_it() {
        let implies = implies(&[("all", &["admin"]), ("admin", &["write"]), ("write", &["read"])]);
        let scopes = Scopes::new(implies, BTreeMap::new()).unwrap();
        for scope in ["read", "write", "admin", "all"] {
            assert!(scopes.holds(&token(&[scope]), "read"), "{scope}");
        }
        assert!(!scopes.holds(&token(&["read"]), "write"));
        assert!(!scopes.holds(&token(&[]), "read"));
    }

    #[test]
    fn a_circle_is_told() {
        let circle = |pairs| Scopes::new(implies(pairs), BTreeMap::new()).unwrap_err().to_string();
        assert_eq!(circle(&[("a", &["a"])]), "imply each other in a circle: a");
        let pairs: &[(&str, &[&str])] = &[("a", &["b", "d"]), ("b", &["c"]), ("c", &["a"])];
        assert_eq!(circle(pairs), "imply each other in a circle: a, b, c");
    }

    #[test]
    fn over_broad_scopes_count_only_where_it_says_what_they_imply() {
        let plain = Scopes::default();
        assert!(!plain.holds(&token(&["*"]), "*"));
        assert!(!plain.holds(&token(&["docs:*"]), "docs:read"));
        let configured = Scopes::new(implies(&[("docs:*", &["docs:read"])]), BTreeMap::new());
        let configured = configured.unwrap();
        assert!(configured.holds(&token(&["docs:*"]), "docs:read"));
        assert!(configured.holds(&token(&["docs:*"]), "docs:*"));
        assert!(!configured.holds(&token(&["*"]), "docs:read"));
        // Implied is not configured.
        let through = implies(&[("admin", &["x:*"])]);
        assert!(!Scopes::new(through, BTreeMap::new()).unwrap().holds(&token(&["x:*"]), "x:*"));
    }

    #[test]
    fn roles_and_groups_grant_scopes_to_users_of_their_issuer() {
        let grant = ScopeGrant {
            issuer: Some(IssuerId(0)),
            roles: set(&["editor"]),
            groups: set(&["staff"]),
        };
        let granted_by = BTreeMap::from([("write".to_owned(), vec![grant])]);
        let scopes = Scopes::new(implies(&[("write", &["read"])]), granted_by).unwrap();
        let mut editor = token(&[]);
        editor.roles = set(&["editor"]);
        assert!(scopes.holds(&editor, "write") && scopes.holds(&editor, "read"));
        let mut staff = token(&[]);
        staff.groups = set(&["staff"]);
        assert!(scopes.holds(&staff, "read"));
        editor.kind = SubjectKind::Workload;
        assert!(!scopes.holds(&editor, "write"), "an application permission is no user's role");
        staff.issuer = IssuerId(1);
        assert!(!scopes.holds(&staff, "write"), "another issuer's group");
    }
}
