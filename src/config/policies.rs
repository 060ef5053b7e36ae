//! Compiles policies: the document's own and those of `policies`, each for every server.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::SystemTime;

use super::agents::Catalogue;
use super::analysis::{self, Kind, PolicyView, ServerView};
use super::compile::Notes;
use super::document::{self, Agents, Lists, Policy, Scope, Server, ServerRules};
use super::downstream::{Exchanges, KnownExchange};
use super::issuers::{Known, KnownIssuer};
use super::problem::member;
use super::rules::{self, Ids, Scene};
use super::scopes::{Grant, ScopeTerms};
use super::{delegation, methods, rates};
use crate::gate::{self, HostMode, NamedPolicy, Rollback};
use crate::policy::{Mode, ServerPolicy, Settings};
use crate::token::Requirement;

/// Most policies beside the one in force. Each is compiled for every server.
const MAX_POLICIES: usize = 16;

/// What all policies are compiled with.
pub(super) struct Terms<'t> {
    pub(super) known: &'t Known,
    /// `resource` of the servers.
    pub(super) resources: BTreeSet<String>,
    /// Trust domains whose workloads are known, where any are.
    pub(super) trust_domains: Option<BTreeSet<String>>,
    pub(super) grants: Vec<Grant>,
    pub(super) exchanges: &'t Exchanges,
    /// The document's mode.
    pub(super) mode: Mode,
    pub(super) host_mode: HostMode,
}

/// What the document says of policies, besides its servers.
pub(super) struct Texts<'d> {
    pub(super) agents: Option<&'d Agents>,
    pub(super) scopes: &'d BTreeMap<String, Scope>,
    pub(super) policies: &'d BTreeMap<String, Policy>,
    pub(super) candidate: Option<&'d str>,
    pub(super) rollback: Option<&'d document::Rollback>,
}

/// The policies of the document, while its servers are compiled.
pub(super) struct Policies<'d> {
    terms: &'d Terms<'d>,
    own: Basis<'d>,
    named: Vec<Basis<'d>>,
    candidate: Option<&'d str>,
    rollback: Option<(&'d str, SystemTime)>,
}

/// The policies of one server, and what they mean for its authentication.
pub(super) struct Compiled {
    pub(super) policies: gate::Policies,
    /// Whether a rule that may be in force takes tokens that are not bound to a key.
    pub(super) takes_unbound: bool,
    /// The same for certificates.
    pub(super) takes_uncertified: bool,
    /// The header in which agents send a token of their own, where an exchange takes it.
    pub(super) actor_header: Option<String>,
}

/// What is the same for all policies of one server.
struct Common<'c> {
    issuers: &'c [&'c KnownIssuer],
    exchange: Option<&'c KnownExchange>,
    terms: &'c Terms<'c>,
}

/// A policy, with what is the same on all servers.
struct Basis<'d> {
    /// Its name and text, if it is not the document's own.
    named: Option<(&'d str, &'d Policy)>,
    /// Of its text; empty for the document's own.
    path: String,
    /// The text of its agents.
    agents: Option<&'d Agents>,
    catalogue: Option<Rc<Catalogue>>,
    scopes: Rc<ScopeTerms>,
    views: Vec<ServerView>,
}

/// What a policy says of one server, each part with its place.
struct ServerText<'s> {
    mode: Mode,
    methods: (String, &'s document::Methods),
    tools: (String, &'s document::ToolRules),
    prompts: (String, &'s document::PromptRules),
    resources: (String, &'s document::ResourceRules),
    delegation: (String, &'s document::Delegation),
    context: (String, &'s document::Context),
    rates: (String, &'s [document::Rate]),
}

impl<'d> Policies<'d> {
    /// Compiles what is the same on all servers.
    pub(super) fn new(notes: &mut Notes, terms: &'d Terms<'d>, texts: &Texts<'d>) -> Self {
        let scopes = Rc::new(ScopeTerms::compile(notes, "scopes", texts.scopes, &terms.grants));
        let catalogue = (texts.agents)
            .map(|agents| Rc::new(Catalogue::compile(notes, "agents", agents, terms, &scopes)));
        let (agents, path) = (texts.agents, String::new());
        let own = Basis { named: None, path, agents, catalogue, scopes, views: Vec::new() };

        if texts.policies.len() > MAX_POLICIES {
            let count = texts.policies.len();
            let message = format!("has {count} entries; at most {MAX_POLICIES} are taken");
            notes.problem("policies", message);
        }
        let named = texts.policies.iter();
        let named =
            named.map(|(name, policy)| Basis::named(notes, name, policy, &own, terms, texts));
        let named = named.collect();
        let candidate =
            texts.candidate.filter(|name| is_policy(notes, "candidate", name, texts.policies));
        let rollback = texts.rollback.and_then(|rollback| {
            let is_known = is_policy(notes, "rollback.policy", &rollback.policy, texts.policies);
            let until = until(notes, "rollback.until", &rollback.until)?;
            is_known.then_some((rollback.policy.as_str(), until))
        });
        let used = [candidate, rollback.map(|(name, _)| name)];
        for name in texts.policies.keys().filter(|name| !used.contains(&Some(name))) {
            let message = "is neither the `candidate` nor the one of `rollback`";
            notes.warn(member("policies", name), message);
        }
        Policies { terms, own, named, candidate, rollback }
    }

    /// Compiles the policies of the server at `path`.
    pub(super) fn compile(
        &mut self,
        notes: &mut Notes,
        path: &str,
        server: &Server,
        issuers: &[&KnownIssuer],
    ) -> Compiled {
        let text = ServerText::of(path, server, None, self.terms.mode);
        let [mut takes_unbound, mut takes_uncertified] = text.take_unbound();
        let exchange = self.terms.exchanges.named(notes, path, server.exchange.as_ref());
        let common = Common { issuers, exchange, terms: self.terms };
        let own = Rc::new(self.own.compile(notes, path, server, &text, &common));
        let mut policies = gate::Policies { own, ..gate::Policies::default() };
        for basis in &mut self.named {
            let Some((name, policy)) = basis.named else { continue };
            let replaced = policy.servers.get(&server.resource);
            let replaced_path = format!("{}.servers[{:?}]", basis.path, server.resource);
            let replaced = replaced.map(|replaced| (replaced_path.as_str(), replaced));
            let text = ServerText::of(path, server, replaced, self.terms.mode);
            let is_own = replaced.is_none() && policy.agents.is_none() && policy.scopes.is_none();
            let compiled = if is_own {
                Rc::clone(&policies.own)
            } else {
                Rc::new(basis.compile(notes, path, server, &text, &common))
            };
            let named = NamedPolicy { name: name.into(), policy: compiled };
            if self.candidate == Some(name) {
                policies.candidate = Some(named.clone());
            }
            if let Some((_, until)) = self.rollback.filter(|(rollback, _)| *rollback == name) {
                let [unbound, uncertified] = text.take_unbound();
                takes_unbound |= unbound;
                takes_uncertified |= uncertified;
                policies.rollback = Some(Rollback { named, until });
            }
        }
        let views = std::iter::once(&self.own).chain(&self.named).flat_map(|basis| &basis.views);
        let views = views.filter(|view| view.path == path);
        let actor_header = self.terms.exchanges.actor_header(notes, path, views);
        Compiled { policies, takes_unbound, takes_uncertified, actor_header }
    }

    /// Warns of what is valid and cannot be meant.
    pub(super) fn analyse(&self, notes: &mut Notes) {
        let policies = std::iter::once(&self.own).chain(&self.named);
        let views: Vec<PolicyView<'_>> = policies
            .map(|basis| PolicyView {
                path: &basis.path,
                catalogue: basis.catalogue.as_deref(),
                agents: basis.agents,
                scopes: &basis.scopes,
                servers: &basis.views,
                terms: self.terms,
            })
            .collect();
        analysis::warn(notes, &views);
    }
}

impl<'d> Basis<'d> {
    fn named(
        notes: &mut Notes,
        name: &'d str,
        policy: &'d Policy,
        own: &Basis<'d>,
        terms: &Terms<'_>,
        texts: &Texts<'d>,
    ) -> Self {
        let path = member("policies", name);
        notes.name(&path, name);
        for resource in policy.servers.keys().filter(|name| !terms.resources.contains(*name)) {
            let hint = notes.hint(resource, terms.resources.iter().map(String::as_str));
            let message = format!("no server has the `resource` {resource:?}{hint}");
            notes.problem(format!("{path}.servers[{resource:?}]"), message);
        }
        let scopes = match &policy.scopes {
            Some(scopes) => {
                let path = format!("{path}.scopes");
                Rc::new(ScopeTerms::compile(notes, &path, scopes, &terms.grants))
            }
            None => Rc::clone(&own.scopes),
        };
        let agents = policy.agents.as_ref().or(texts.agents);
        let catalogue = match agents {
            // Agents ask for scopes, which may be others now.
            Some(agents) if policy.agents.is_some() || policy.scopes.is_some() => {
                let replaced = format!("{path}.agents");
                let path = policy.agents.as_ref().map_or("agents", |_| &replaced);
                Some(Rc::new(Catalogue::compile(notes, path, agents, terms, &scopes)))
            }
            _ => own.catalogue.clone(),
        };
        Basis { named: Some((name, policy)), path, agents, catalogue, scopes, views: Vec::new() }
    }

    /// Compiles the policy of one server, which is at `path`.
    fn compile(
        &mut self,
        notes: &mut Notes,
        path: &str,
        server: &Server,
        text: &ServerText<'_>,
        common: &Common<'_>,
    ) -> ServerPolicy {
        let scene = Scene {
            issuers: common.issuers,
            has_dpop: server.dpop.mode != Requirement::Off,
            has_mtls: server.mtls.mode != Requirement::Off,
            catalogue: self.catalogue.as_deref(),
            scopes: &self.scopes,
            exchanges: common.terms.exchanges,
            exchange: common.exchange,
            names_exchange: server.exchange.is_some(),
            host_mode: common.terms.host_mode,
        };
        let methods =
            methods::compile(notes, &format!("{}.allow", text.methods.0), &text.methods.1.allow);
        // A record names the server beside the rule.
        let mut ids = Ids::new();
        let (mut views, mut denials) = (Vec::new(), Vec::new());
        let (place, tools) = &text.tools;
        let tools = (Kind::Tool, &*tools.rules, &*tools.deny);
        let tools =
            rules::compile(notes, place, tools, &scene, &mut ids, (&mut views, &mut denials));
        let (place, prompts) = &text.prompts;
        let prompts = (Kind::Prompt, &*prompts.rules, &*prompts.deny);
        let prompts =
            rules::compile(notes, place, prompts, &scene, &mut ids, (&mut views, &mut denials));
        let (place, resources) = &text.resources;
        let resources = (Kind::Resource, &*resources.rules, &*resources.deny);
        let resources =
            rules::compile(notes, place, resources, &scene, &mut ids, (&mut views, &mut denials));
        if methods.is_empty() && views.is_empty() {
            let path = match self.named {
                Some(_) => format!("{}.servers[{:?}]", self.path, server.resource),
                None => path.to_owned(),
            };
            notes.warn(path, "permits nothing: it has neither methods nor rules");
        }
        let settings = self.settings(notes, server, text, common);
        self.views.push(ServerView {
            path: path.to_owned(),
            resource: server.resource.clone(),
            issuers: common.issuers.iter().map(|issuer| issuer.id).collect(),
            mode: settings.mode,
            takes_unknown_agents: settings.takes_unknown_agents,
            actors: (settings.delegation.actors.clone())
                .map(|actors| (format!("{}.actors", text.delegation.0), actors)),
            scopes_supported: server.metadata.scopes_supported.clone(),
            exchange: settings.exchange.clone(),
            takes_older_clients: methods.iter().any(|method| method.matches("initialize")),
            takes_subscriptions: methods
                .iter()
                .any(|method| method.matches("subscriptions/listen")),
            rules: views,
            denials,
        });
        ServerPolicy::new(methods, tools, prompts, resources, settings)
    }

    fn settings(
        &self,
        notes: &mut Notes,
        server: &Server,
        text: &ServerText<'_>,
        common: &Common<'_>,
    ) -> Settings {
        let catalogue = self.catalogue.as_deref();
        let mut settings = Settings {
            resource: server.resource.clone(),
            mode: text.mode,
            dpop: server.dpop.mode,
            mtls: server.mtls.mode,
            agents: catalogue.map(|catalogue| Rc::clone(&catalogue.agents)),
            scopes: Rc::clone(&self.scopes.scopes),
            rates: rates::compile(notes, &text.rates.0, text.rates.1),
            lists_attainable: server.lists == Lists::Attainable,
            exchange: common.exchange.map(|exchange| Rc::clone(exchange.downstream())),
            ..Settings::default()
        };
        let (path, delegation) = &text.delegation;
        delegation::compile(notes, path, delegation, catalogue, &mut settings);
        let (path, context) = &text.context;
        let header = server.context.instance_header.as_deref();
        if self.named.is_some()
            && context.instance_header.as_deref().is_some_and(|h| Some(h) != header)
        {
            let message = "is the server's, whichever policy is in force; leave it out";
            notes.problem(format!("{path}.instance_header"), message);
        }
        delegation::context(notes, path, context, common.issuers, header, &mut settings);
        settings
    }
}

impl<'s> ServerText<'s> {
    /// What the server says, and what a policy says instead.
    fn of(
        path: &str,
        server: &'s Server,
        replaced: Option<(&str, &'s ServerRules)>,
        mode: Mode,
    ) -> Self {
        /// One part, and where it is.
        fn part<'s, T: ?Sized>(
            member: &str,
            path: &str,
            own: &'s T,
            instead: Option<(&str, Option<&'s T>)>,
        ) -> (String, &'s T) {
            match instead {
                Some((path, Some(instead))) => (format!("{path}.{member}"), instead),
                _ => (format!("{path}.{member}"), own),
            }
        }
        macro_rules! part {
            ($member:ident) => {{
                let instead = replaced.map(|(path, rules)| (path, rules.$member.as_ref()));
                part(stringify!($member), path, &server.$member, instead)
            }};
        }
        let (rates_path, rates) = part!(rates);
        ServerText {
            mode: replaced.and_then(|(_, rules)| rules.mode).or(server.mode).unwrap_or(mode),
            methods: part!(methods),
            tools: part!(tools),
            prompts: part!(prompts),
            resources: part!(resources),
            delegation: part!(delegation),
            context: part!(context),
            rates: (rates_path, rates),
        }
    }

    /// Whether a rule takes tokens that are not bound: to a key, to a certificate.
    fn take_unbound(&self) -> [bool; 2] {
        let tools = rules::take_unbound(&self.tools.1.rules);
        let prompts = rules::take_unbound(&self.prompts.1.rules);
        let resources = rules::take_unbound(&self.resources.1.rules);
        let all = [tools, prompts, resources];
        [all.iter().any(|[key, _]| *key), all.iter().any(|[_, certificate]| *certificate)]
    }
}

fn is_policy(
    notes: &mut Notes,
    path: &str,
    name: &str,
    policies: &BTreeMap<String, Policy>,
) -> bool {
    if !policies.contains_key(name) {
        let hint = notes.hint(name, policies.keys().map(String::as_str));
        notes.problem(path, format!("`policies` has no {name:?}{hint}"));
    }
    policies.contains_key(name)
}

fn until(notes: &mut Notes, path: &str, text: &str) -> Option<SystemTime> {
    // humantime also takes a blank for the `T`, and does without the `Z`.
    let is_utc = text.contains('T') && text.ends_with('Z');
    match humantime::parse_rfc3339(text) {
        Ok(until) if is_utc => Some(until),
        _ => {
            notes.problem(path, "is no time in UTC such as `2026-12-01T18:00:00Z`");
            None
        }
    }
}
