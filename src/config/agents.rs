//! Compiles `agents`: the catalogue.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::compile::Notes;
use super::document;
use super::issuers::KnownIssuer;
use super::policies::Terms;
use super::problem::member;
use super::scopes::ScopeTerms;
use super::{rates, rules};
use crate::policy::{Agent, AgentIdentifier, Agents, Pattern};
use crate::token::SpiffeId;

/// The agents of one policy.
pub(super) struct Catalogue {
    /// Where the document has them.
    pub(super) path: String,
    pub(super) agents: Rc<Agents>,
    names: BTreeSet<String>,
}

/// The agents of that list, which must be in the catalogue.
pub(super) fn named(
    notes: &mut Notes,
    path: &str,
    names: &[String],
    catalogue: Option<&Catalogue>,
) -> BTreeSet<String> {
    notes.list(path, names);
    notes.unique(path, names);
    let Some(catalogue) = catalogue else {
        notes.problem(path, "names agents, and there are no `agents`; declare them");
        return BTreeSet::new();
    };
    for (index, name) in names.iter().enumerate() {
        if !catalogue.names.contains(name) {
            let hint = notes.hint(name, catalogue.names.iter().map(String::as_str));
            let message = format!("`{}` has no {name:?}{hint}", catalogue.path);
            notes.problem(format!("{path}[{index}]"), message);
        }
    }
    names.iter().cloned().collect()
}

impl Catalogue {
    /// Compiles the `agents` at `path`.
    pub(super) fn compile(
        notes: &mut Notes,
        path: &str,
        agents: &BTreeMap<String, document::Agent>,
        terms: &Terms<'_>,
        scopes: &ScopeTerms,
    ) -> Self {
        notes.named(path, agents);
        let compiled = (agents.iter())
            .map(|(name, text)| agent(notes, &member(path, name), name, text, terms, scopes))
            .collect();
        let catalogue = Agents::new(compiled).unwrap_or_else(|error| {
            notes.problem(path, error);
            Agents::default()
        });
        Catalogue {
            path: path.to_owned(),
            agents: Rc::new(catalogue),
            names: agents.keys().cloned().collect(),
        }
    }
}

fn agent(
    notes: &mut Notes,
    path: &str,
    name: &str,
    text: &document::Agent,
    terms: &Terms<'_>,
    scopes: &ScopeTerms,
) -> Agent {
    let identifiers = identifiers(notes, &format!("{path}.match"), &text.r#match, terms);
    let issuers = issuers(notes, &format!("{path}.issuers"), text, &identifiers, terms);
    check_claims(notes, path, text, &identifiers, &issuers);
    scopes.check(notes, &format!("{path}.required_scopes"), &text.required_scopes);
    if let Some(optional) = &text.optional_scopes {
        scopes.check(notes, &format!("{path}.optional_scopes"), optional);
    }
    let servers = text.servers.as_ref().map(|servers| {
        let path = format!("{path}.servers");
        notes.list(&path, servers);
        notes.unique(&path, servers);
        for (index, server) in servers.iter().enumerate() {
            if !terms.resources.contains(server) {
                let hint = notes.hint(server, terms.resources.iter().map(String::as_str));
                let message = format!("no server has the `resource` {server:?}{hint}");
                notes.problem(format!("{path}[{index}]"), message);
            }
        }
        servers.iter().cloned().collect()
    });
    let mut patterns = |member: &str, texts: &Option<Vec<String>>| {
        texts.as_ref().map(|texts| patterns(notes, &format!("{path}.{member}"), texts))
    };
    Agent {
        name: name.to_owned(),
        tools: patterns("tools", &text.tools),
        prompts: patterns("prompts", &text.prompts),
        resources: patterns("resources", &text.resources),
        versions: patterns("versions", &text.versions),
        identifiers,
        issuers: issuers.iter().map(|issuer| issuer.id).collect(),
        required_scopes: text.required_scopes.iter().cloned().collect(),
        optional_scopes: text.optional_scopes.as_ref().map(|o| o.iter().cloned().collect()),
        servers,
        needs_instance: text.instance_required,
        rate: (text.rate.as_ref())
            .and_then(|rate| rates::of_agent(notes, &format!("{path}.rate"), rate)),
    }
}

fn identifiers(
    notes: &mut Notes,
    path: &str,
    texts: &[String],
    terms: &Terms<'_>,
) -> Vec<AgentIdentifier> {
    notes.choices(path, texts);
    let mut identifiers = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let identifier = match text.split_once(':') {
            Some((_, "")) => None,
            Some(("client", id)) => Some(AgentIdentifier::Client(id.to_owned())),
            Some(("act", id)) => Some(AgentIdentifier::Actor(id.to_owned())),
            Some(("agent", id)) => Some(AgentIdentifier::Claim(id.to_owned())),
            Some(("spiffe", _)) => {
                identifiers.extend(workload(notes, &path, text, terms));
                continue;
            }
            _ => None,
        };
        match identifier {
            Some(identifier) => identifiers.push(identifier),
            None => {
                let message = "is none of `client:…`, `act:…`, `agent:…` and `spiffe://…`";
                let is_bare = !text.is_empty() && !text.contains(':');
                let hint = if is_bare {
                    format!("; did you mean `client:{text}`?")
                } else {
                    String::new()
                };
                notes.problem(path, format!("{message}{hint}"));
            }
        }
    }
    identifiers
}

/// A workload of a trust domain that the document knows.
fn workload(
    notes: &mut Notes,
    path: &str,
    text: &str,
    terms: &Terms<'_>,
) -> Option<AgentIdentifier> {
    let id = match SpiffeId::parse(text) {
        Ok(id) => id,
        Err(error) => {
            notes.problem(path, error);
            return None;
        }
    };
    let domain = id.trust_domain();
    match &terms.trust_domains {
        None => notes.problem(path, "is a workload, and there is no `workload_identity`"),
        Some(domains) if !domains.contains(domain) => {
            let hint = notes.hint(domain, domains.iter().map(String::as_str));
            let message = format!("`workload_identity` has no trust domain {domain:?}{hint}");
            notes.problem(path, message);
        }
        Some(_) => {}
    }
    Some(AgentIdentifier::Workload(id))
}

/// The issuers whose tokens may name an agent.
fn issuers<'t>(
    notes: &mut Notes,
    path: &str,
    text: &document::Agent,
    identifiers: &[AgentIdentifier],
    terms: &Terms<'t>,
) -> Vec<&'t KnownIssuer> {
    let is_workload =
        |identifier: &AgentIdentifier| matches!(identifier, AgentIdentifier::Workload(_));
    let is_named_by_tokens = !identifiers.iter().all(is_workload);
    match &text.issuers {
        Some(names) => {
            if !is_named_by_tokens && !identifiers.is_empty() {
                notes
                    .problem(path, "is of no use: no token names it, by its `match`; leave it out");
            }
            let known: Vec<&KnownIssuer> = terms.known.values().collect();
            rules::issuers(notes, path, names, &known)
        }
        None if is_named_by_tokens && terms.known.len() > 1 => {
            notes.problem(path, "say whose tokens may name it: the document has several issuers");
            Vec::new()
        }
        None => terms.known.values().filter(|_| is_named_by_tokens).collect(),
    }
}

/// Claims that are needed and that no token can have.
fn check_claims(
    notes: &mut Notes,
    path: &str,
    text: &document::Agent,
    identifiers: &[AgentIdentifier],
    issuers: &[&KnownIssuer],
) {
    // A workload that no token names may come with any issuer's.
    if issuers.is_empty() {
        return;
    }
    let by_claim = |identifier: &AgentIdentifier| matches!(identifier, AgentIdentifier::Claim(_));
    for (member, is_needed, claim) in [
        ("match", identifiers.iter().any(by_claim), "agent"),
        ("versions", text.versions.is_some(), "agent_version"),
        ("instance_required", text.instance_required, "agent_instance"),
    ] {
        if is_needed && !issuers.iter().any(|issuer| issuer.says(claim)) {
            let message = format!("needs an issuer of it to have `claims.{claim}`");
            notes.problem(format!("{path}.{member}"), message);
        }
    }
}

fn patterns(notes: &mut Notes, path: &str, texts: &[String]) -> Vec<Pattern> {
    notes.optional_list(path, texts);
    notes.unique(path, texts);
    let patterns = texts.iter().enumerate();
    patterns.filter_map(|(i, text)| rules::pattern(notes, &format!("{path}[{i}]"), text)).collect()
}
