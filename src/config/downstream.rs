//! Compiles what servers and rules say of exchanges: which credential goes to the MCP server
//! with an operation, and for which scopes.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::analysis::{Kind, PolicyView, RuleView, ServerView, takes};
use super::compile::Notes;
use super::document::{self, ActorSource, ExchangeProfile};
use super::exchanges::profile_name;
use super::issuers::{KnownIssuer, TENANT};
use super::metadata;
use super::problem::member;
use super::rule_text::RuleText;
use super::rules::Scene;
use crate::exchange::ExchangeId;
use crate::gate::HostMode;
use crate::policy::{Downstream, DownstreamScopes, Mode, Rule};

/// The exchanges of a document, by name, as servers and rules see them.
pub(super) struct Exchanges(BTreeMap<String, KnownExchange>);

/// An exchange, as servers and rules see it.
pub(super) struct KnownExchange {
    profile: ExchangeProfile,
    downstream: Rc<Downstream>,
    /// The header in which agents send their own token.
    actor_header: Option<String>,
    /// Whether its endpoint is that of the caller's tenant.
    asks_by_tenant: bool,
}

/// What a rule says of the credential of its operations.
#[derive(Default)]
pub(super) struct OfRule {
    pub(super) exchange: Option<Rc<Downstream>>,
    pub(super) downstream_scopes: Option<Rc<BTreeSet<String>>>,
    pub(super) server_wide_exchange: bool,
}

impl Exchanges {
    /// Those of the document, in the order of their names.
    pub(super) fn known(exchanges: &BTreeMap<String, document::Exchange>) -> Self {
        let known = exchanges.iter().enumerate().map(|(index, (name, exchange))| {
            let is_asked_for = exchange.profile != ExchangeProfile::Injected;
            let scopes = match exchange.profile {
                ExchangeProfile::Auth0TokenVault | ExchangeProfile::Injected => {
                    DownstreamScopes::PerServer
                }
                _ => exchange.scopes.unwrap_or_default(),
            };
            let downstream = Downstream {
                name: name.as_str().into(),
                exchange: is_asked_for.then_some(ExchangeId(index)),
                scopes,
                server_scopes: set(exchange.server_scopes.as_deref().unwrap_or_default()),
            };
            let actor = exchange.actor.as_ref().filter(|actor| actor.from == ActorSource::Header);
            let known = KnownExchange {
                profile: exchange.profile,
                downstream: Rc::new(downstream),
                actor_header: actor.and_then(|actor| actor.header.clone()),
                asks_by_tenant: exchange.uri.as_ref().is_some_and(|uri| uri.contains(TENANT)),
            };
            (name.clone(), known)
        });
        Exchanges(known.collect())
    }

    /// The exchange that `exchange` at `path` names.
    pub(super) fn named(
        &self,
        notes: &mut Notes,
        path: &str,
        name: Option<&String>,
    ) -> Option<&KnownExchange> {
        let name = name?;
        let known = self.0.get(name);
        if known.is_none() {
            let hint = notes.hint(name, self.0.keys().map(String::as_str));
            notes.problem(
                format!("{path}.exchange"),
                format!("no exchange is named {name:?}{hint}"),
            );
        }
        known
    }

    /// The header in which agents send a token of their own to the server at `path`, by what
    /// its policies use. There is one, so that the gate knows it before it knows the operation.
    pub(super) fn actor_header<'v>(
        &self,
        notes: &mut Notes,
        path: &str,
        views: impl Iterator<Item = &'v ServerView>,
    ) -> Option<String> {
        let used = views.flat_map(ServerView::exchanges);
        let used: BTreeSet<&str> = used.map(|downstream| &*downstream.name).collect();
        let mut headers = (used.into_iter())
            .filter_map(|name| Some((name, self.0.get(name)?.actor_header.as_ref()?)));
        let (first, header) = headers.next()?;
        if let Some((second, _)) = headers.find(|(_, other)| *other != header) {
            let message = format!(
                "exchanges.{first} and exchanges.{second} take the agent's token out of different headers: a server has one"
            );
            notes.problem(path, message);
        }
        Some(header.clone())
    }

    /// Whether the endpoint of an exchange is that of the caller's tenant.
    fn asks_by_tenant(&self, exchange: &Downstream) -> bool {
        self.0.get(&*exchange.name).is_some_and(|known| known.asks_by_tenant)
    }
}

impl KnownExchange {
    /// What policy is told of it.
    pub(super) fn downstream(&self) -> &Rc<Downstream> {
        &self.downstream
    }

    fn name(&self) -> &str {
        &self.downstream.name
    }

    fn is_per_operation(&self) -> bool {
        self.downstream.scopes == DownstreamScopes::PerOperation
    }

    /// Whether scopes are asked for by it.
    fn takes_scopes(&self) -> bool {
        !matches!(self.profile, ExchangeProfile::Auth0TokenVault | ExchangeProfile::Injected)
    }

    /// Whether there has to be a user for it.
    fn is_for_users(&self) -> bool {
        matches!(self.profile, ExchangeProfile::EntraOnBehalfOf | ExchangeProfile::Auth0TokenVault)
    }
}

/// Compiles what the rule at `path` says.
pub(super) fn of_rule(
    notes: &mut Notes,
    path: &str,
    text: &RuleText<'_>,
    scene: &Scene<'_>,
) -> OfRule {
    let own = scene.exchanges.named(notes, path, text.exchange);
    let Some(exchange) = own.or(scene.exchange) else {
        // Of no use, unless a name is mistyped, which is told already.
        if text.exchange.is_none() && !scene.names_exchange {
            let given = [
                ("downstream_scopes", text.downstream_scopes.is_some()),
                ("server_wide_exchange", text.server_wide_exchange),
            ];
            notes.only_for(
                path,
                &given,
                &[],
                "without an `exchange`, of the rule or of its server",
            );
        }
        return OfRule::default();
    };
    if let Some(scopes) = text.downstream_scopes {
        check_downstream_scopes(notes, &format!("{path}.downstream_scopes"), scopes, exchange);
    } else if exchange.is_per_operation() {
        check_own_scopes(notes, path, text, exchange);
    }
    if text.server_wide_exchange {
        let path = format!("{path}.server_wide_exchange");
        check_server_wide(notes, &path, text, exchange, scene);
    }
    if text.workloads.is_some() && exchange.is_for_users() {
        let message = format!(
            "exchanges.{} is for users only (`{}`): workloads that call for nobody are refused",
            exchange.name(),
            profile_name(exchange.profile)
        );
        notes.warn(format!("{path}.workloads"), message);
    }
    OfRule {
        exchange: own.map(|own| Rc::clone(&own.downstream)),
        downstream_scopes: text.downstream_scopes.map(set),
        server_wide_exchange: text.server_wide_exchange,
    }
}

/// Scopes that are asked for by an exchange of this profile.
pub(super) fn check_scopes(
    notes: &mut Notes,
    path: &str,
    profile: ExchangeProfile,
    scopes: &[String],
) {
    metadata::check_scopes(notes, path, scopes);
    if profile == ExchangeProfile::EntraOnBehalfOf {
        check_entra_scopes(notes, path, scopes);
    }
}

/// Microsoft identity platform, "Scopes and permissions": a token is for one resource, whose
/// identifier is the scope up to its last `/`, and `.default` is all that is consented to there.
fn check_entra_scopes(notes: &mut Notes, path: &str, scopes: &[String]) {
    // Microsoft Graph's, without its identifier; not those of OpenID Connect.
    let is_openid = |scope: &&String| {
        !["openid", "profile", "email", "offline_access"].contains(&scope.as_str())
    };
    let split = |scope: &'_ String| match scope.rsplit_once('/') {
        Some((resource, name)) => (resource.to_owned(), name.to_owned()),
        None => (String::new(), scope.clone()),
    };
    let parts: Vec<_> = scopes.iter().filter(is_openid).map(split).collect();
    let Some((first, _)) = parts.first() else {
        if !scopes.is_empty() {
            let message = "names no API: has scopes of OpenID Connect only, and none such as `api://docs/.default`";
            notes.problem(path, message);
        }
        return;
    };
    if let Some((other, _)) = parts.iter().find(|(resource, _)| resource != first) {
        let message =
            format!("has scopes of {first:?} and of {other:?}: one token is for one resource");
        notes.problem(path, message);
    } else if parts.len() > 1 && parts.iter().any(|(_, name)| name == ".default") {
        let message = "has `.default`, which Entra ID does not take together with other scopes";
        notes.problem(path, message);
    }
}

fn check_downstream_scopes(
    notes: &mut Notes,
    path: &str,
    scopes: &[String],
    exchange: &KnownExchange,
) {
    notes.list(path, scopes);
    if !exchange.takes_scopes() {
        let profile = profile_name(exchange.profile);
        notes.problem(path, format!("is of no use with `{profile}`; leave it out"));
        return;
    }
    check_scopes(notes, path, exchange.profile, scopes);
    if exchange.is_per_operation() {
        return;
    }
    let is_asked = |scope: &String| exchange.downstream.server_scopes.contains(scope);
    for (index, scope) in scopes.iter().enumerate().filter(|(_, scope)| !is_asked(scope)) {
        let message = format!(
            "exchanges.{} asks for its `server_scopes` only, which do not have `{scope}`",
            exchange.name()
        );
        notes.problem(format!("{path}[{index}]"), message);
    }
}

/// A rule whose own scopes are asked for, operation by operation.
fn check_own_scopes(notes: &mut Notes, path: &str, text: &RuleText<'_>, exchange: &KnownExchange) {
    let maps_to_none = text.scopes.is_empty() && text.any_scopes.is_none();
    if exchange.downstream.server_scopes.is_empty() {
        let message = format!(
            "maps to no scopes, and exchanges.{} has no `server_scopes`: its credential would be good for all that the authorization server grants; give the rule `downstream_scopes`",
            exchange.name()
        );
        if maps_to_none {
            notes.problem(path, &message);
        }
        let grants = text.workloads.unwrap_or_default().iter().enumerate();
        for (index, _) in grants.filter(|(_, grant)| grant.scopes.is_empty()) {
            notes.problem(format!("{path}.workloads[{index}]"), &message);
        }
    }
    if !maps_to_none && exchange.profile == ExchangeProfile::EntraOnBehalfOf {
        let message = format!(
            "is needed: scopes of tokens have no resource, and so would be asked for as Microsoft Graph's; or exchanges.{} has the `scopes` `per_server`",
            exchange.name()
        );
        notes.problem(format!("{path}.downstream_scopes"), message);
    }
}

/// A credential for the whole server in place of one for the operation.
fn check_server_wide(
    notes: &mut Notes,
    path: &str,
    text: &RuleText<'_>,
    exchange: &KnownExchange,
    scene: &Scene<'_>,
) {
    let name = exchange.name();
    if !exchange.is_per_operation() {
        let message = format!("is of no use: exchanges.{name} has one credential for everything");
        notes.problem(path, format!("{message}; leave it out"));
        return;
    }
    if scene.exchange.is_none_or(|server| !Rc::ptr_eq(&server.downstream, &exchange.downstream)) {
        let message = "is of no use: the server's credential does not come by the rule's exchange";
        notes.problem(path, format!("{message}; leave it out"));
        return;
    }
    if scene.host_mode == HostMode::Hold {
        let message =
            "is of no use with the `host_mode` `hold`, where each operation is known in time";
        notes.warn(path, message);
    }
    let asked = &exchange.downstream.server_scopes;
    let needed = text.downstream_scopes.unwrap_or(text.scopes);
    if let Some(scope) = needed.iter().find(|scope| !asked.is_empty() && !asked.contains(*scope)) {
        let message = format!(
            "the `server_scopes` of exchanges.{name} do not have `{scope}`: a credential with them does not do"
        );
        notes.warn(path, message);
    }
}

/// Warns of what servers and rules say of exchanges that is hardly meant.
pub(super) fn warn(notes: &mut Notes, policy: &PolicyView<'_>, server: &ServerView) {
    // What a policy takes over is warned of where it is.
    let rules = || server.rules.iter().filter(|rule| rule.path.starts_with(policy.path));
    let place = match policy.path {
        "" => server.path.clone(),
        path => format!("{path}.servers[{:?}]", server.resource),
    };
    let by_rule = rules().find(|rule| rule.rule.exchange.as_ref().is_some_and(is_asked_for));
    if let (None, Some(rule)) = (&server.exchange, by_rule) {
        let message = format!(
            "has no `exchange`: unlike what {} permits, its methods and sessions go on without a credential",
            rule.path
        );
        notes.warn(&place, message);
    }
    if policy.terms.host_mode == HostMode::Stream
        && server.takes_older_clients
        && let Some(rule) = rules().find(|rule| !suits_older_clients(server, &rule.rule))
    {
        let message = format!(
            "in the `host_mode` `stream`, clients older than 2026-07-28 are refused what takes a credential of its own, such as by {}; take `hold`, the `scopes` `per_server`, or `server_wide_exchange`",
            rule.path
        );
        notes.warn(&place, message);
    }
    for rule in rules().filter(|rule| is_unbounded_in_shadow(server, &rule.rule)) {
        let message = "in shadow, callers without its scopes get a credential that is good for all that the authorization server grants; give it `downstream_scopes`, or its exchange `server_scopes`";
        notes.warn(&rule.path, message);
    }
    unknown_tenants(notes, policy, server);
    if server.takes_subscriptions {
        one_for_subscriptions(notes, policy, server);
    }
}

/// Warns of exchanges that nothing uses in any policy.
pub(super) fn warn_unused(notes: &mut Notes, exchanges: &Exchanges, policies: &[PolicyView<'_>]) {
    let servers = policies.iter().flat_map(|policy| policy.servers);
    let used: BTreeSet<&str> =
        servers.flat_map(ServerView::exchanges).map(|downstream| &*downstream.name).collect();
    for name in exchanges.0.keys().filter(|name| !used.contains(name.as_str())) {
        notes.warn(member("exchanges", name), "no server and no rule names it");
    }
}

/// Exchanges at the endpoint of the caller's tenant, for callers of whom nobody knows that.
fn unknown_tenants(notes: &mut Notes, policy: &PolicyView<'_>, server: &ServerView) {
    let mut warn = |path: &str, exchange: &Option<Rc<Downstream>>, issuer: &KnownIssuer| {
        let Some(exchange) = exchange else { return };
        if policy.terms.exchanges.asks_by_tenant(exchange) {
            let message = format!(
                "callers of issuers.{} may have no tenant, or one that nobody checked, and the `uri` of exchanges.{} has `{TENANT}`",
                issuer.name, exchange.name
            );
            notes.warn(format!("{path}.exchange"), message);
        }
    };
    for issuer in policy.terms.known.values().filter(|issuer| issuer.tenants.is_none()) {
        if server.issuers.contains(&issuer.id) {
            warn(&server.path, &server.exchange, issuer);
        }
        for rule in server.rules.iter().filter(|rule| takes(rule, server, issuer.id)) {
            warn(&rule.path, &rule.rule.exchange, issuer);
        }
    }
}

/// A subscription is one request, which carries one credential.
fn one_for_subscriptions(notes: &mut Notes, policy: &PolicyView<'_>, server: &ServerView) {
    fn of<'v>(rule: &'v RuleView, server: &'v ServerView) -> Option<&'v Rc<Downstream>> {
        rule.rule.exchange.as_ref().or(server.exchange.as_ref())
    }
    let resources = || server.rules.iter().filter(|rule| rule.kind == Kind::Resource);
    let of_server = server.exchange.as_ref();
    let first = of_server.or_else(|| resources().next().and_then(|rule| of(rule, server)));
    let differs = |rule: &&RuleView| match (of(rule, server), first) {
        (Some(one), Some(first)) => !Rc::ptr_eq(one, first),
        (one, first) => one.is_some() != first.is_some(),
    };
    for rule in resources().filter(|rule| rule.path.starts_with(policy.path)).filter(differs) {
        let message = "a subscription carries one credential: one that is also for what has another exchange, or none, is refused";
        let member = if rule.rule.exchange.is_some() { ".exchange" } else { "" };
        notes.warn(format!("{}{member}", rule.path), message);
    }
}

/// Whether a caller that a rule refuses, if only for the record, gets a credential for which no
/// scopes are asked.
fn is_unbounded_in_shadow(server: &ServerView, rule: &Rule) -> bool {
    let downstream = rule.exchange.as_ref().or(server.exchange.as_ref());
    rule.mode.unwrap_or(server.mode) == Mode::Shadow
        && rule.downstream_scopes.is_none()
        && downstream.is_some_and(|downstream| {
            downstream.scopes == DownstreamScopes::PerOperation
                && downstream.server_scopes.is_empty()
        })
}

/// Whether the credential that a server has for everything does for a rule.
fn suits_older_clients(server: &ServerView, rule: &Rule) -> bool {
    let asked_for = |exchange: Option<&Rc<Downstream>>| exchange.cloned().filter(is_asked_for);
    let sent = asked_for(server.exchange.as_ref());
    let wanted = asked_for(rule.exchange.as_ref().or(server.exchange.as_ref()));
    match (sent, wanted) {
        (None, None) => true,
        (Some(sent), Some(wanted)) => {
            let maps_to_nothing = rule.scopes.is_empty() && rule.any_scopes.is_empty();
            let asks_the_same = match &rule.downstream_scopes {
                Some(scopes) => *scopes == sent.server_scopes,
                None => maps_to_nothing && rule.workloads.is_empty(),
            };
            let is_per_server = sent.scopes == DownstreamScopes::PerServer;
            Rc::ptr_eq(&sent, &wanted)
                && (rule.server_wide_exchange || is_per_server || asks_the_same)
        }
        _ => false,
    }
}

fn is_asked_for(downstream: &Rc<Downstream>) -> bool {
    downstream.exchange.is_some()
}

fn set(scopes: &[String]) -> Rc<BTreeSet<String>> {
    Rc::new(scopes.iter().cloned().collect())
}
