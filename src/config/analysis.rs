//! Finds what is valid and cannot be meant: rules that permit nobody, agents that can do
//! nothing, scopes that nothing asks for. Pure functions over compiled policies.
//!
//! A warning is certain: what depends on tokens nobody has seen is not warned of. Where two
//! names are near and one of them leads nowhere, the warning asks.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::agents::Catalogue;
use super::compile::Notes;
use super::policies::Terms;
use super::problem::{member, nearest};
use super::scopes::ScopeTerms;
use super::{document, downstream};
use crate::policy::{
    Agent, AgentIdentifier, DenyRule, Downstream, Mode, Pattern, Rule, RuleTable, Scopes,
};
use crate::token::IssuerId;

/// Most agents that one warning names.
const MAX_NAMED: usize = 3;

/// A policy, as it is looked at here.
pub(super) struct PolicyView<'v> {
    /// Where its text is; empty for the document's own. What it takes over from the document
    /// is warned of there.
    pub(super) path: &'v str,
    pub(super) catalogue: Option<&'v Catalogue>,
    /// The text of the catalogue.
    pub(super) agents: Option<&'v document::Agents>,
    pub(super) scopes: &'v ScopeTerms,
    pub(super) servers: &'v [ServerView],
    pub(super) terms: &'v Terms<'v>,
}

/// What a policy says of one server.
pub(super) struct ServerView {
    pub(super) path: String,
    pub(super) resource: String,
    pub(super) issuers: Vec<IssuerId>,
    pub(super) mode: Mode,
    pub(super) takes_unknown_agents: bool,
    /// Agents that may be the current actor, and where that is said.
    pub(super) actors: Option<(String, BTreeSet<String>)>,
    pub(super) scopes_supported: Vec<String>,
    /// By which exchange it gets its credential, where no rule says otherwise.
    pub(super) exchange: Option<Rc<Downstream>>,
    /// Whether clients older than 2026-07-28 reach it.
    pub(super) takes_older_clients: bool,
    /// Whether callers may subscribe to several resources at once.
    pub(super) takes_subscriptions: bool,
    pub(super) rules: Vec<RuleView>,
    pub(super) denials: Vec<DenyView>,
}

impl ServerView {
    /// The exchanges that it and its rules name.
    pub(super) fn exchanges(&self) -> impl Iterator<Item = &Rc<Downstream>> {
        let by_rule = self.rules.iter().filter_map(|rule| rule.rule.exchange.as_ref());
        self.exchange.iter().chain(by_rule)
    }
}

/// What rules are for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Tool,
    Prompt,
    Resource,
}

/// A rule, its names as they are written.
pub(super) struct RuleView {
    pub(super) path: String,
    pub(super) kind: Kind,
    pub(super) names: Vec<String>,
    pub(super) rule: Rc<Rule>,
}

/// A rule that forbids, with one of its patterns.
pub(super) struct DenyView {
    pub(super) kind: Kind,
    pub(super) pattern: Pattern,
    pub(super) rule: Rc<DenyRule>,
}

/// Warns of what is odd in the policies of a document.
pub(super) fn warn(notes: &mut Notes, policies: &[PolicyView<'_>]) {
    for policy in policies {
        let mut found = Notes::default();
        let agents = Side::of(policy);
        for server in policy.servers {
            forbidden_rules(&mut found, server);
            unknown_tenants(&mut found, server, policy.terms);
            downstream::warn(&mut found, policy, server);
            if let Some(agents) = &agents {
                rules_for_nobody(&mut found, server, agents);
                actors_without_act(&mut found, server, agents);
            }
        }
        if let Some(agents) = &agents {
            idle_agents(&mut found, policy.servers, agents);
        }
        unasked_scopes(&mut found, policy, policies);
        notes.adopt(found, policy.path);
    }
    if let Some(policy) = policies.first() {
        downstream::warn_unused(notes, policy.terms.exchanges, policies);
    }
}

/// Rules whose names are forbidden to everybody.
fn forbidden_rules(notes: &mut Notes, server: &ServerView) {
    let any = Rc::new(Rule::default());
    let forbids = |kind: Kind| {
        let mut table = RuleTable::default();
        for denial in server.denials.iter().filter(|denial| denial.kind == kind) {
            let DenyRule { agents, subjects, tenants, mode, .. } = &*denial.rule;
            let is_for_all = agents.is_empty() && subjects.is_empty() && tenants.is_empty();
            if is_for_all && mode.unwrap_or(server.mode) == Mode::Enforce {
                // Two of the same pattern forbid no more than one.
                drop(table.insert(denial.pattern.clone(), &any));
            }
        }
        table
    };
    let tables = [forbids(Kind::Tool), forbids(Kind::Prompt), forbids(Kind::Resource)];
    for rule in &server.rules {
        let [tools, prompts, resources] = &tables;
        let (table, list) = match rule.kind {
            Kind::Tool => (tools, "names"),
            Kind::Prompt => (prompts, "names"),
            Kind::Resource => (resources, "uris"),
        };
        if table.is_empty() {
            continue;
        }
        let is_forbidden = |name: &String| table.find(&any_of(name)).is_some();
        if rule.names.iter().all(is_forbidden) {
            notes.warn(&rule.path, "permits nothing: `deny` forbids all of its names");
            continue;
        }
        for (index, name) in rule.names.iter().enumerate().filter(|(_, name)| is_forbidden(name)) {
            let path = format!("{}.{list}[{index}]", rule.path);
            notes.warn(path, format!("`deny` forbids {name:?} to everybody"));
        }
    }
}

/// One name that stands for all that a pattern names: another pattern that matches it takes
/// what is in the place of `*` for anything, and so matches all of them.
fn any_of(pattern: &str) -> String {
    // A noncharacter, which no pattern spells out.
    pattern.replace('*', "\u{fdd0}")
}

/// Tenants of rules that no issuer has. Known where issuers have a list of them.
fn unknown_tenants(notes: &mut Notes, server: &ServerView, terms: &Terms<'_>) {
    for rule in server.rules.iter().filter(|rule| !rule.rule.tenants.is_empty()) {
        let issuers = terms.known.values().filter(|issuer| takes(rule, server, issuer.id));
        let listed: Option<Vec<&Vec<String>>> = issuers
            .map(|issuer| issuer.tenants.as_ref().filter(|_| !issuer.says("tenant")))
            .collect();
        let Some(listed) = listed.filter(|listed| !listed.is_empty()) else { continue };
        let known: BTreeSet<&str> = listed.into_iter().flatten().map(String::as_str).collect();
        for tenant in rule.rule.tenants.iter().filter(|tenant| !known.contains(tenant.as_str())) {
            let hint = notes.hint(tenant, known.iter().copied());
            let message = format!("no issuer here has the tenant {tenant:?}{hint}");
            notes.warn(format!("{}.tenants", rule.path), message);
        }
    }
}

/// Whether tokens of an issuer count for a rule.
pub(super) fn takes(rule: &RuleView, server: &ServerView, issuer: IssuerId) -> bool {
    let of_rule = &rule.rule.issuers;
    server.issuers.contains(&issuer) && (of_rule.is_empty() || of_rule.contains(&issuer))
}

/// The agents' side of a policy.
struct Side<'v> {
    path: &'v str,
    agents: BTreeMap<&'v str, &'v Agent>,
    texts: &'v document::Agents,
    /// The scopes that each may use; all, if it is not here.
    usable: BTreeMap<&'v str, BTreeSet<String>>,
    scopes: &'v Scopes,
}

/// Rules that are for agents which can never use them.
fn rules_for_nobody(notes: &mut Notes, server: &ServerView, agents: &Side<'_>) {
    for rule in &server.rules {
        for (index, grant) in rule.rule.workloads.iter().enumerate() {
            for (name, obstacle) in agents.named(&grant.agents).filter_map(|agent| {
                Some((&agent.name, agents.obstacle(agent, server, rule, &grant.scopes, &[])?))
            }) {
                let path = format!("{}.workloads[{index}].agents", rule.path);
                notes.warn(path, format!("`{name}` {obstacle}"));
            }
        }
        if rule.rule.agents.is_empty() {
            permits_no_agent(notes, server, rule, agents);
            continue;
        }
        for agent in agents.named(&rule.rule.agents) {
            if let Some(obstacle) = agents.of_user(agent, server, rule) {
                notes.warn(format!("{}.agents", rule.path), format!("`{}` {obstacle}", agent.name));
            }
        }
    }
}

/// A rule for all agents, and what it asks for none of them may.
fn permits_no_agent(notes: &mut Notes, server: &ServerView, rule: &RuleView, agents: &Side<'_>) {
    if server.takes_unknown_agents || !rule.rule.workloads.is_empty() {
        return;
    }
    let mut obstacles = Vec::new();
    for agent in agents.agents.values() {
        let Some(obstacle) = agents.of_user(agent, server, rule) else { return };
        if obstacles.len() < MAX_NAMED {
            obstacles.push(format!("`{}` {obstacle}", agent.name));
        }
    }
    notes.warn(&rule.path, format!("permits no agent: {}", obstacles.join(", ")));
}

/// Agents that are to be current actors, and that no `act` names.
fn actors_without_act(notes: &mut Notes, server: &ServerView, agents: &Side<'_>) {
    let Some((path, names)) = &server.actors else { return };
    for agent in agents.named(names) {
        let is_actor =
            |identifier: &AgentIdentifier| matches!(identifier, AgentIdentifier::Actor(_));
        if !agent.identifiers.iter().any(is_actor) {
            let message =
                format!("`{}` has no `act:…` in its `match`, and so is no actor", agent.name);
            notes.warn(path, message);
        }
    }
}

/// Agents that can do nothing anywhere.
fn idle_agents(notes: &mut Notes, servers: &[ServerView], agents: &Side<'_>) {
    for agent in agents.agents.values() {
        let path = member(agents.path, &agent.name);
        let reached: Vec<&ServerView> = (servers.iter())
            .filter(|server| {
                agents.reaches(agent, server)
                    && comes_with(agent, |id| server.issuers.contains(&id))
            })
            .collect();
        if reached.is_empty() {
            notes.warn(path, "can do nothing: no server that it may use accepts its issuers");
            continue;
        }
        let may_use = |server: &ServerView, rule: &RuleView| {
            let is_named = rule.rule.agents.is_empty() || rule.rule.agents.contains(&agent.name);
            let mut grants = rule.rule.workloads.iter();
            (is_named && agents.of_user(agent, server, rule).is_none())
                || grants.any(|grant| {
                    grant.agents.contains(&agent.name)
                        && agents.obstacle(agent, server, rule, &grant.scopes, &[]).is_none()
                })
        };
        let has_rules = reached.iter().any(|server| !server.rules.is_empty());
        let is_idle =
            !reached.iter().any(|server| server.rules.iter().any(|rule| may_use(server, rule)));
        if has_rules && is_idle {
            notes.warn(path, "can use nothing: no rule is for it and for what it may use");
        }
    }
}

impl<'v> Side<'v> {
    /// Where agents are told apart.
    fn of(policy: &PolicyView<'v>) -> Option<Self> {
        let catalogue = policy.catalogue?;
        let agents = || catalogue.agents.iter().map(|agent| (agent.name.as_str(), agent));
        let usable = agents().filter_map(|(name, agent)| {
            Some((name, agent.optional_scopes.as_ref()? | &agent.required_scopes))
        });
        Some(Side {
            path: &catalogue.path,
            agents: agents().collect(),
            texts: policy.agents?,
            usable: usable.collect(),
            scopes: &policy.scopes.scopes,
        })
    }

    fn named(&self, names: &BTreeSet<String>) -> impl Iterator<Item = &'v Agent> {
        names.iter().filter_map(|name| self.agents.get(name.as_str()).copied())
    }

    fn reaches(&self, agent: &Agent, server: &ServerView) -> bool {
        agent.servers.as_ref().is_none_or(|servers| servers.contains(&server.resource))
    }

    /// Why an agent can never use a rule for users, if so.
    fn of_user(&self, agent: &Agent, server: &ServerView, rule: &RuleView) -> Option<String> {
        self.obstacle(agent, server, rule, &rule.rule.scopes, &rule.rule.any_scopes)
    }

    /// Why an agent can never use a rule that asks for all of these scopes and any of those,
    /// if so: what follows the agent's name.
    fn obstacle(
        &self,
        agent: &Agent,
        server: &ServerView,
        rule: &RuleView,
        all: &BTreeSet<String>,
        any: &[String],
    ) -> Option<String> {
        if !self.reaches(agent, server) {
            return Some("may not use this server".to_owned());
        }
        if !comes_with(agent, |id| takes(rule, server, id)) {
            return Some("has issuers whose tokens are not taken here".to_owned());
        }
        let text = self.texts.get(&agent.name)?;
        let (limit, list) = match rule.kind {
            Kind::Tool => (&text.tools, "tools"),
            Kind::Prompt => (&text.prompts, "prompts"),
            Kind::Resource => (&text.resources, "resources"),
        };
        let is_within = |limit: &Vec<String>| {
            rule.names.iter().any(|name| limit.iter().any(|pattern| overlap(name, pattern)))
        };
        if limit.as_ref().is_some_and(|limit| !is_within(limit)) {
            return Some(format!("has none of the names in its `{list}`"));
        }
        let usable = self.usable.get(agent.name.as_str())?;
        let may = |wanted: &&String| self.scopes.covers(usable, wanted);
        if let Some(scope) = all.iter().find(|scope| !may(scope)) {
            return Some(format!("may not use the scope `{scope}`"));
        }
        if !any.is_empty() && !any.iter().any(|scope| may(&scope)) {
            return Some("may use none of `any_scopes`".to_owned());
        }
        None
    }
}

/// Whether an agent may come with a token of an issuer that counts. One that is known by its
/// workload may come with any's.
fn comes_with(agent: &Agent, counts: impl Fn(IssuerId) -> bool) -> bool {
    let is_workload =
        |identifier: &AgentIdentifier| matches!(identifier, AgentIdentifier::Workload(_));
    agent.identifiers.iter().any(is_workload) || agent.issuers.iter().any(|id| counts(*id))
}

/// Whether any name is named by both. Of two patterns with `*`, the beginnings and the ends
/// decide: what is between them can be had one after the other.
fn overlap(one: &str, other: &str) -> bool {
    let matches =
        |pattern: &str, name: &str| Pattern::parse(pattern).is_ok_and(|p| p.matches(name));
    match (ends(one), ends(other)) {
        (None, _) => matches(other, one),
        (_, None) => matches(one, other),
        (Some((head, tail)), Some((other_head, other_tail))) => {
            (head.starts_with(other_head) || other_head.starts_with(head))
                && (tail.ends_with(other_tail) || other_tail.ends_with(tail))
        }
    }
}

fn ends(pattern: &str) -> Option<(&str, &str)> {
    Some((pattern.split_once('*')?.0, pattern.rsplit_once('*')?.1))
}

/// Scopes that something knows of, and that nothing asks for in any policy.
fn unasked_scopes(notes: &mut Notes, policy: &PolicyView<'_>, policies: &[PolicyView<'_>]) {
    let asked: BTreeSet<&str> =
        policies.iter().flat_map(|policy| asked(policy, |_| true)).collect();
    let leads_on = |scope: &str, asked: &BTreeSet<&str>| {
        let alone = BTreeSet::from([scope.to_owned()]);
        asked.iter().any(|wanted| policy.scopes.scopes.covers(&alone, wanted))
    };
    let advertised = |scope: &str| {
        let mut servers = policy.servers.iter();
        servers.any(|server| server.scopes_supported.iter().any(|s| s == scope))
    };
    for scope in policy.scopes.names.iter().filter(|s| !leads_on(s, &asked) && !advertised(s)) {
        let message = "nothing asks for it, or for what it implies";
        notes.warn(member(&policy.scopes.path, scope), message);
    }
    for grant in &policy.terms.grants {
        let counts = |server: &ServerView| {
            grant.to.issuer.is_some_and(|issuer| server.issuers.contains(&issuer))
        };
        let asked = policies.iter().flat_map(|policy| self::asked(policy, counts)).collect();
        if !grant.scopes.iter().any(|scope| leads_on(scope, &asked)) {
            notes
                .warn(&grant.path, "no rule for users of this issuer asks for any of its `scopes`");
        }
    }
    // A scope that no operation takes may be there for clients to begin with.
    let mut near = |path: String, scopes: &mut dyn Iterator<Item = &String>| {
        for scope in scopes.filter(|scope| !leads_on(scope, &asked)) {
            if let Some(near) = nearest(scope, asked.iter().copied()) {
                let message = format!("nothing asks for `{scope}`; did you mean `{near}`?");
                notes.warn(&path, message);
            }
        }
    };
    for server in policy.servers {
        let path = format!("{}.metadata.scopes_supported", server.path);
        near(path, &mut server.scopes_supported.iter());
    }
    for agent in policy.catalogue.iter().flat_map(|catalogue| catalogue.agents.iter()) {
        let path = policy.catalogue.map_or("", |catalogue| &catalogue.path);
        let path = format!("{}.optional_scopes", member(path, &agent.name));
        near(path, &mut agent.optional_scopes.iter().flatten());
    }
}

/// The scopes that rules of such servers ask for, and agents.
fn asked<'v>(
    policy: &PolicyView<'v>,
    counts: impl Fn(&ServerView) -> bool,
) -> impl Iterator<Item = &'v str> {
    let servers = policy.servers.iter().filter(move |server| counts(server));
    let rules = servers.flat_map(|server| &server.rules).flat_map(|RuleView { rule, .. }| {
        let workloads = rule.workloads.iter().flat_map(|grant| &grant.scopes);
        rule.scopes.iter().chain(&rule.any_scopes).chain(workloads)
    });
    let agents = policy.catalogue.iter().flat_map(|catalogue| catalogue.agents.iter());
    rules.chain(agents.flat_map(|agent| &agent.required_scopes)).map(String::as_str)
}
