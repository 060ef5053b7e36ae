//! Rules that permit: what they ask of the caller, and the table that finds them.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::decision::Mode;
use super::downstream::Downstream;
use super::limits::RateLimit;
use super::pattern::Pattern;
use super::step_up::StepUp;
use super::table::{PatternTable, TableError};
use crate::mcp::ParamHeader;
use crate::token::{IssuerId, Requirement};

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
    /// Tenants, of which the user's or the workload's must be one.
    pub tenants: BTreeSet<String>,
    /// Subjects, of which the user must be one.
    pub subjects: BTreeSet<String>,
    /// Issuers, of which the token's must be one.
    pub issuers: BTreeSet<IssuerId>,
    /// Agents, of which the caller's must be one.
    pub agents: BTreeSet<String>,
    /// Whether user and agent must both be known, and be two.
    pub on_behalf_of: bool,
    /// What workloads may do without a user. All of the above but
    /// `tenants` and `issuers` is about users.
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
    /// By which exchange its operations get their credential; `None` for the server's.
    pub exchange: Option<Rc<Downstream>>,
    /// Scopes of that credential, whatever the caller's token carries. `None` for the rule's own
    /// scopes, as far as the caller's token carries them.
    pub downstream_scopes: Option<Rc<BTreeSet<String>>>,
    /// Whether a credential for the whole server will do where the operation is not known in
    /// time: `stream`, and a client older than 2026-07-28.
    pub server_wide_exchange: bool,
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

/// Finds the rule for a name: that of the exact name, else of the pattern with the longest
/// literal beginning, then the longest literal end, then the most literal text.
#[derive(Debug, Default)]
pub struct RuleTable(PatternTable<Rc<Rule>>);

impl RuleTable {
    /// Adds a rule for a pattern.
    ///
    /// # Errors
    /// [`TableError`] when another rule has the same pattern, or one as specific (which one
    /// should decide would be a guess), and when there are too many.
    pub fn insert(&mut self, pattern: Pattern, rule: &Rc<Rule>) -> Result<(), TableError> {
        let first = self.0.tied(&pattern).find(|first| !Rc::ptr_eq(first, rule));
        match first.map(|first| first.id.clone()) {
            Some(first) => Err(TableError::Conflict { first }),
            None => self.0.insert(pattern, Rc::clone(rule)),
        }
    }

    /// The rule that decides on a name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Rc<Rule>> {
        self.0.find(name).next()
    }

    /// The rule that decides on a URI. One that its server may take for another (dot segments,
    /// white space, needless percent-encoding) has to be named exactly.
    #[must_use]
    pub fn find_uri(&self, uri: &str) -> Option<&Rc<Rule>> {
        self.0.find_uri(uri).next()
    }

    /// Whether there are no rules.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many look-ups a name costs.
    #[cfg(test)]
    pub(super) fn probes(&self) -> usize {
        self.0.probes()
    }

    /// Every rule, once for each of its names.
    pub(super) fn rules(&self) -> impl Iterator<Item = &Rc<Rule>> {
        self.0.values()
    }
}
