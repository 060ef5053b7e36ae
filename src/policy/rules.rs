//! Names, patterns and the tables that find the rule for a name.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use super::decision::{Mode, StepUp};
use super::limits::RateLimit;
use super::uri;
use crate::mcp::ParamHeader;
use crate::token::{IssuerId, Requirement};

/// Which names a rule is for: one name, or all that start with a prefix.
/// Compared byte for byte: tool names are case-sensitive (MCP "Tool Names").
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// Exactly this name.
    Exact(String),
    /// Written `prefix*`; `*` alone is every name.
    Prefix(String),
}

/// A text that is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The empty text names nothing.
    #[error("is empty")]
    Empty,
    /// `*` stands for any ending and so can only be the last character.
    #[error("has a `*` that is not its last character")]
    InnerWildcard,
}

/// What a rule asks of the caller. Empty sets ask for nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Its id: the configured one, or where it stands, such as `servers[0].tools.rules[1]`.
    pub id: String,
    /// Scopes the caller must hold, all of them.
    pub scopes: BTreeSet<String>,
    /// Scopes of which the caller must hold one; the first is the one asked for.
    pub any_scopes: Vec<String>,
    /// Roles of which the user must have one.
    pub roles: BTreeSet<String>,
    /// Groups of which the user must be in one.
    pub groups: BTreeSet<String>,
    /// Tenants, of which the user's must be one.
    pub tenants: BTreeSet<String>,
    /// Subjects, of which the user must be one.
    pub subjects: BTreeSet<String>,
    /// Issuers, of which the token's must be one.
    pub issuers: BTreeSet<IssuerId>,
    /// Agents, of which the caller's must be one.
    pub agents: BTreeSet<String>,
    /// Whether user and agent must both be known, and be two.
    pub on_behalf_of: bool,
    /// What workloads may do without a user. All of the above but `issuers` is about users.
    pub workloads: Vec<WorkloadGrant>,
    /// How the user must have authenticated.
    pub step_up: Option<Rc<StepUp>>,
    /// Whether the token must be bound to a DPoP key; `None` for what the server demands.
    pub dpop: Option<Requirement>,
    /// Whether the token must be bound to a certificate; `None` for what the server demands.
    pub mtls: Option<Requirement>,
    /// Whether the issuer is asked about the token.
    pub introspect: Option<Introspect>,
    /// Rates that count its operations.
    pub rates: Vec<Rc<RateLimit>>,
    /// Whether its denials are enforced; `None` for what the server says.
    pub mode: Option<Mode>,
    /// Headers that mirror arguments of the tools. A call in which one does not is no MCP.
    pub param_headers: Vec<ParamHeader>,
}

/// What a rule grants to workloads that call for nobody else (application permissions).
#[derive(Debug, Default, PartialEq, Eq)]
pub struct WorkloadGrant {
    /// Agents of the catalogue, by name.
    pub agents: BTreeSet<String>,
    /// Scopes the token must carry, all of them.
    pub scopes: BTreeSet<String>,
    /// Roles the workload itself must have, all of them.
    pub permissions: BTreeSet<String>,
}

/// How recent the issuer's word on a token must be (RFC 7662).
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Introspect {
    /// A remembered answer will do, within the issuer's bounds.
    Cached,
    /// The issuer is asked for this call.
    Fresh,
}

/// Finds the rule for a name: the exact one, else the one with the longest prefix.
/// The cost depends on the number of different prefix lengths, not of rules.
#[derive(Debug, Default)]
pub struct RuleTable {
    exact: HashMap<String, Rc<Rule>>,
    /// Prefixes by their length in bytes, longest first.
    prefixes: Vec<(usize, HashMap<String, Rc<Rule>>)>,
}

/// Two rules claim the same names, so neither is the more specific.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is also named by {first}")]
pub struct Conflict {
    /// The id of the earlier rule.
    pub first: String,
}

impl Pattern {
    /// Reads `name` or `prefix*`.
    ///
    /// # Errors
    /// [`PatternError`] for the empty text and for a `*` before the end.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let (stem, is_prefix) = match text.strip_suffix('*') {
            Some(stem) => (stem, true),
            None => (text, false),
        };
        if text.is_empty() {
            Err(PatternError::Empty)
        } else if stem.contains('*') {
            Err(PatternError::InnerWildcard)
        } else if is_prefix {
            Ok(Pattern::Prefix(stem.to_owned()))
        } else {
            Ok(Pattern::Exact(stem.to_owned()))
        }
    }

    /// Whether this pattern is for that name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Pattern::Exact(exact) => name == exact,
            Pattern::Prefix(prefix) => name.starts_with(prefix.as_str()),
        }
    }
}

impl RuleTable {
    /// Adds a rule for a pattern.
    ///
    /// # Errors
    /// [`Conflict`] when another rule has the same pattern: which one should decide
    /// would be a guess.
    pub fn insert(&mut self, pattern: Pattern, rule: &Rc<Rule>) -> Result<(), Conflict> {
        let (table, name) = match pattern {
            Pattern::Exact(name) => (&mut self.exact, name),
            Pattern::Prefix(prefix) => (self.prefix_table(prefix.len()), prefix),
        };
        match table.get(&name) {
            Some(first) => Err(Conflict { first: first.id.clone() }),
            None => {
                table.insert(name, Rc::clone(rule));
                Ok(())
            }
        }
    }

    /// The rule that decides on a name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Rc<Rule>> {
        self.exact.get(name).or_else(|| self.find_prefix(name))
    }

    /// The rule that decides on a URI. A URI that its server may take for another one
    /// (dot segments, white space, needless percent-encoding) is matched exactly or not at
    /// all, since it may leave the prefix it seems to be under, and evade a longer one.
    #[must_use]
    pub fn find_uri(&self, uri: &str) -> Option<&Rc<Rule>> {
        let by_prefix = || if uri::is_plain(uri) { self.find_prefix(uri) } else { None };
        self.exact.get(uri).or_else(by_prefix)
    }

    /// Whether there are no rules.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty()
    }

    /// Every rule, once for each of its names.
    pub(super) fn rules(&self) -> impl Iterator<Item = &Rc<Rule>> {
        let prefixes = self.prefixes.iter().flat_map(|(_, rules)| rules.values());
        self.exact.values().chain(prefixes)
    }

    fn find_prefix(&self, name: &str) -> Option<&Rc<Rule>> {
        self.prefixes
            .iter()
            .find_map(|(length, rules)| name.get(..*length).and_then(|prefix| rules.get(prefix)))
    }

    fn prefix_table(&mut self, length: usize) -> &mut HashMap<String, Rc<Rule>> {
        let position = self.prefixes.iter().position(|(l, _)| *l <= length);
        let position = position.unwrap_or(self.prefixes.len());
        if self.prefixes.get(position).is_none_or(|(l, _)| *l != length) {
            self.prefixes.insert(position, (length, HashMap::new()));
        }
        match self.prefixes.get_mut(position) {
            Some((_, table)) => table,
            None => &mut self.exact, // INVARIANT: the entry was there or was just inserted
        }
    }
}
