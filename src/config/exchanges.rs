//! Compiles `exchanges`: how credentials for MCP servers are had.

use std::collections::BTreeMap;

use super::compile::Notes;
use super::document::{
    self, ActorSource, ExchangeActor, ExchangeProfile, ExchangedToken, SecondServer, Span,
    TokenFormat,
};
use super::downstream::check_scopes;
use super::issuers::TENANT;
use super::problem::member;
use super::secrets::Secrets;
use super::url::{Url, is_absolute_uri};
use super::{client, fetch, workloads};
use crate::exchange::{
    ActorToken, ClientCredentials, Exchange, Expected, Format, IdentityChaining, OnBehalfOf,
    Profile, Target, TokenEndpoint, TokenExchange, TokenType, TokenVault,
};
use crate::host::Callout;
use crate::policy::DownstreamScopes;

/// Most exchanges: servers share them. Each has refusals, a queue and a circuit of its own in
/// every worker.
const MAX_EXCHANGES: usize = 32;

/// Most entries of `resource`, `audience`, `token.audiences` and `token.actors`. A token that is
/// good at more places is not one that was narrowed.
const MAX_TARGETS: usize = 16;

/// An actor's header that nothing else uses.
const ACTOR_HEADER_EXAMPLE: &str = "x-agent-token";

/// What exchanges are compiled with, besides what they say.
pub(super) struct Scene<'s> {
    pub(super) secrets: &'s Secrets,
    /// The header of JWT-SVIDs, where there is one.
    pub(super) jwt_svid_header: Option<&'s str>,
}

/// Compiles the exchanges, in the order of their names.
pub(super) fn compile(
    notes: &mut Notes,
    exchanges: BTreeMap<String, document::Exchange>,
    scene: &Scene<'_>,
) -> Vec<Exchange> {
    if exchanges.len() > MAX_EXCHANGES {
        notes.count("exchanges", exchanges.len(), MAX_EXCHANGES);
    }
    let compiled = exchanges.into_iter().filter_map(|(name, exchange)| {
        let path = member("exchanges", &name);
        notes.name(&path, &name);
        check_members(notes, &path, &exchange);
        let profile = profile(notes, &path, exchange, scene)?;
        Some(Exchange { name: name.into(), profile })
    });
    compiled.collect()
}

/// The name of a profile, as the document has it.
pub(super) fn profile_name(profile: ExchangeProfile) -> &'static str {
    match profile {
        ExchangeProfile::TokenExchange => "token_exchange",
        ExchangeProfile::EntraOnBehalfOf => "entra_on_behalf_of",
        ExchangeProfile::Auth0TokenVault => "auth0_token_vault",
        ExchangeProfile::IdentityChaining => "identity_chaining",
        ExchangeProfile::ClientCredentials => "client_credentials",
        ExchangeProfile::Injected => "injected",
    }
}

/// Each profile has what it needs, and nothing that it has no use for.
fn check_members(notes: &mut Notes, path: &str, exchange: &document::Exchange) {
    let (needed, other): (&[&str], &[&str]) = match exchange.profile {
        ExchangeProfile::TokenExchange => (
            &["uri", "client"],
            &[
                "resource",
                "audience",
                "scopes",
                "server_scopes",
                "subject_token_type",
                "requested_token_type",
                "actor",
                "token",
            ],
        ),
        ExchangeProfile::EntraOnBehalfOf => {
            (&["uri", "client", "server_scopes"], &["scopes", "token"])
        }
        ExchangeProfile::Auth0TokenVault => (&["uri", "client", "connection"], &["link_uri"]),
        ExchangeProfile::IdentityChaining => (
            &["uri", "client", "audience", "requested_token_type", "then"],
            &["resource", "scopes", "server_scopes", "subject_token_type", "token"],
        ),
        ExchangeProfile::ClientCredentials => {
            (&["uri", "client"], &["resource", "audience", "scopes", "server_scopes", "token"])
        }
        ExchangeProfile::Injected => (&[], &[]),
    };
    let given = [
        ("uri", exchange.uri.is_some()),
        ("cluster", exchange.cluster.is_some()),
        ("timeout", exchange.timeout.is_some()),
        ("client", exchange.client.is_some()),
        ("resource", exchange.resource.is_some()),
        ("audience", exchange.audience.is_some()),
        ("scopes", exchange.scopes.is_some()),
        ("server_scopes", exchange.server_scopes.is_some()),
        ("subject_token_type", exchange.subject_token_type.is_some()),
        ("requested_token_type", exchange.requested_token_type.is_some()),
        ("actor", exchange.actor.is_some()),
        ("token", exchange.token.is_some()),
        ("connection", exchange.connection.is_some()),
        ("link_uri", exchange.link_uri.is_some()),
        ("then", exchange.then.is_some()),
    ];
    let profile = profile_name(exchange.profile);
    let of_requests: &[&str] = if needed.is_empty() { &[] } else { &["cluster", "timeout"] };
    let used = [needed, other, of_requests].concat();
    notes.only_for(path, &given, &used, &format!("with `{profile}`"));
    for member in needed.iter().filter(|member| given.contains(&(**member, false))) {
        notes.problem(format!("{path}.{member}"), format!("`{profile}` needs it"));
    }
    if used.contains(&"server_scopes") {
        check_server_scopes(notes, &format!("{path}.server_scopes"), exchange);
    }
}

fn check_server_scopes(notes: &mut Notes, path: &str, exchange: &document::Exchange) {
    let scopes = exchange.server_scopes.as_deref().unwrap_or_default();
    check_scopes(notes, path, exchange.profile, scopes);
    if !scopes.is_empty() {
        return;
    }
    if exchange.profile == ExchangeProfile::EntraOnBehalfOf {
        // If it is missing, that is told already.
        if exchange.server_scopes.is_some() {
            let message =
                "is empty: Entra ID gives no token without scopes, such as `api://docs/.default`";
            notes.problem(path, message);
        }
    } else if exchange.scopes == Some(DownstreamScopes::PerServer) {
        let message = "is needed: with the `scopes` `per_server`, credentials would be good for all that the authorization server grants";
        notes.problem(path, message);
    }
}

fn profile(
    notes: &mut Notes,
    path: &str,
    exchange: document::Exchange,
    scene: &Scene<'_>,
) -> Option<Profile> {
    let document::Exchange { profile, uri, cluster, timeout, client, token, .. } = exchange;
    if profile == ExchangeProfile::Injected {
        return Some(Profile::Injected);
    }
    let asked = Asked { uri: uri?, cluster, timeout, client: client?, profile };
    let endpoint = endpoint(notes, path, asked, None, scene.secrets);
    let resources = targets(notes, &format!("{path}.resource"), exchange.resource, true);
    let audiences = targets(notes, &format!("{path}.audience"), exchange.audience, false);
    let target = Target { resources, audiences };
    let subject_token_type = exchange.subject_token_type.unwrap_or_default().into();
    match profile {
        ExchangeProfile::TokenExchange => {
            let requested_token_type = exchange.requested_token_type;
            if requested_token_type == Some(TokenType::IdJag) {
                let message = "is an assertion, which no MCP server takes; take `identity_chaining`, or another type";
                notes.problem(format!("{path}.requested_token_type"), message);
            }
            let actor = match exchange.actor {
                Some(text) => Some(actor(notes, &format!("{path}.actor"), text, scene)?),
                None => None,
            };
            let expected = expected(notes, path, token, profile, &all(&target));
            let endpoint = endpoint?;
            check_actors(notes, path, actor.as_ref(), &endpoint, &expected);
            Some(Profile::TokenExchange(TokenExchange {
                endpoint,
                target,
                subject_token_type,
                requested_token_type,
                actor,
                expected,
            }))
        }
        ExchangeProfile::EntraOnBehalfOf => {
            let expected = expected(notes, path, token, profile, &[]);
            Some(Profile::OnBehalfOf(OnBehalfOf { endpoint: endpoint?, expected }))
        }
        ExchangeProfile::Auth0TokenVault => {
            if let Some(connection) = &exchange.connection {
                notes.text(&format!("{path}.connection"), connection);
            }
            if let Some(uri) = &exchange.link_uri {
                notes.protected_url(&format!("{path}.link_uri"), uri);
            }
            Some(Profile::TokenVault(TokenVault {
                endpoint: endpoint?,
                connection: exchange.connection?.into(),
                link_uri: exchange.link_uri.map(Into::into),
            }))
        }
        ExchangeProfile::IdentityChaining => {
            let assertion = exchange.requested_token_type?;
            if assertion == TokenType::AccessToken {
                let message = "is no assertion; take `id_jag` or `jwt`";
                notes.problem(format!("{path}.requested_token_type"), message);
            }
            let issuer = one_issuer(notes, &format!("{path}.audience"), &target.audiences);
            let second_path = format!("{path}.then");
            let (second, second_target) =
                second(notes, &second_path, exchange.then?, issuer, scene.secrets);
            let of_token = [&*target.resources, &*second_target.resources].concat();
            let expected = expected(notes, path, token, profile, &of_token);
            Some(Profile::IdentityChaining(IdentityChaining {
                first: endpoint?,
                target,
                assertion,
                subject_token_type,
                second: second?,
                second_target,
                expected,
            }))
        }
        ExchangeProfile::ClientCredentials => {
            let expected = expected(notes, path, token, profile, &all(&target));
            Some(Profile::ClientCredentials(ClientCredentials {
                endpoint: endpoint?,
                target,
                expected,
            }))
        }
        ExchangeProfile::Injected => Some(Profile::Injected),
    }
}

/// What the document says of a token endpoint.
struct Asked {
    uri: String,
    cluster: Option<String>,
    timeout: Option<Span>,
    client: document::Client,
    profile: ExchangeProfile,
}

/// A token endpoint. `issuer` is the authorization server's issuer identifier, where the
/// document has it.
fn endpoint(
    notes: &mut Notes,
    path: &str,
    Asked { uri, cluster, timeout, client, profile }: Asked,
    issuer: Option<&str>,
    secrets: &Secrets,
) -> Option<TokenEndpoint> {
    let has_tenants = uri.contains(TENANT);
    let request = match uri.split_once(TENANT) {
        None => fetch::request(notes, path, "uri", &uri, cluster, timeout),
        Some(_) if profile != ExchangeProfile::EntraOnBehalfOf => {
            let message = "has `{tid}`, which stands for a tenant with `entra_on_behalf_of` only";
            notes.problem(format!("{path}.uri"), message);
            None
        }
        Some(parts) => of_tenant(notes, path, parts, cluster, timeout),
    };
    let path = format!("{path}.client");
    let names_tenant = client.audience.as_ref().is_some_and(|audience| audience.contains(TENANT));
    if names_tenant && !has_tenants {
        let message = "has `{tid}`, which stands for a tenant only where `uri` has it";
        notes.problem(format!("{path}.audience"), message);
    }
    let audience = issuer.ok_or(
        "`private_key_jwt` needs it: the issuer identifier of the authorization server, or what else it knows itself as",
    );
    let client = client::compile(notes, &path, client, audience, secrets);
    Some(TokenEndpoint { request: Callout { method: "POST", ..request? }, client: client? })
}

/// A request to an endpoint of the caller's tenant, whose name is a segment of the path.
fn of_tenant(
    notes: &mut Notes,
    path: &str,
    (before, after): (&str, &str),
    cluster: Option<String>,
    timeout: Option<Span>,
) -> Option<Callout> {
    let head = Url::parse(before).ok().filter(|head| head.query.is_none());
    let is_segment = before.ends_with('/') && (after.is_empty() || after.starts_with('/'));
    let Some(head) = head.filter(|_| is_segment && !after.contains(TENANT)) else {
        let message = "must have `{tid}` as one whole segment of its path";
        notes.problem(format!("{path}.uri"), message);
        return None;
    };
    let request =
        fetch::request(notes, path, "uri", &format!("{before}tid{after}"), cluster, timeout);
    Some(Callout { path: format!("{}{TENANT}{after}", head.path), ..request? })
}

/// The second authorization server. Its issuer identifier is whom its client assertions are for.
fn second(
    notes: &mut Notes,
    path: &str,
    server: SecondServer,
    issuer: &str,
    secrets: &Secrets,
) -> (Option<TokenEndpoint>, Target) {
    let SecondServer { uri, cluster, timeout, client, resource } = server;
    let profile = ExchangeProfile::IdentityChaining;
    let asked = Asked { uri, cluster: Some(cluster), timeout, client, profile };
    let endpoint = endpoint(notes, path, asked, Some(issuer), secrets);
    let resources = targets(notes, &format!("{path}.resource"), resource, true);
    (endpoint, Target { resources, audiences: Vec::new() })
}

/// The one audience of an assertion (draft-ietf-oauth-identity-chaining section 2.3.3): an
/// issuer identifier. The empty text where it is missing, which is told already.
fn one_issuer<'a>(notes: &mut Notes, path: &str, audiences: &'a [String]) -> &'a str {
    let Some((issuer, others)) = audiences.split_first() else { return "" };
    if others.is_empty() {
        notes.issuer_url(&format!("{path}[0]"), issuer);
    } else {
        let message = "is the issuer identifier of the second authorization server, and no more: an assertion that is good at two could be shown by the one to the other";
        notes.problem(path, message);
    }
    issuer
}

/// For whom a token is asked: URIs (RFC 8707 section 2), or names (RFC 8693 section 2.1).
fn targets(
    notes: &mut Notes,
    path: &str,
    texts: Option<Vec<String>>,
    are_uris: bool,
) -> Vec<String> {
    let Some(texts) = texts else { return Vec::new() };
    names(notes, path, &texts);
    for (index, text) in texts.iter().enumerate().filter(|_| are_uris) {
        if !text.is_empty() && !is_absolute_uri(text) {
            let message = "is no absolute URI without fragment (RFC 8707 section 2)";
            notes.problem(format!("{path}[{index}]"), message);
        }
    }
    texts
}

fn names(notes: &mut Notes, path: &str, texts: &[String]) {
    notes.choices(path, texts);
    if texts.len() > MAX_TARGETS {
        notes.count(path, texts.len(), MAX_TARGETS);
    }
}

fn actor(
    notes: &mut Notes,
    path: &str,
    actor: ExchangeActor,
    scene: &Scene<'_>,
) -> Option<ActorToken> {
    let (source, used): (&str, &[&str]) = match actor.from {
        ActorSource::ClientCredentials => {
            ("client_credentials", &["resource", "audience", "scopes"])
        }
        ActorSource::JwtSvid => ("jwt_svid", &[]),
        ActorSource::Header => ("header", &["header", "token_type"]),
    };
    let given = [
        ("header", actor.header.is_some()),
        ("token_type", actor.token_type.is_some()),
        ("resource", actor.resource.is_some()),
        ("audience", actor.audience.is_some()),
        ("scopes", actor.scopes.is_some()),
    ];
    notes.only_for(path, &given, used, &format!("with `{source}`"));
    match actor.from {
        ActorSource::ClientCredentials => {
            let resources = targets(notes, &format!("{path}.resource"), actor.resource, true);
            let audiences = targets(notes, &format!("{path}.audience"), actor.audience, false);
            if let Some(scopes) = &actor.scopes {
                let path = format!("{path}.scopes");
                notes.list(&path, scopes);
                check_scopes(notes, &path, ExchangeProfile::TokenExchange, scopes);
            }
            let scopes = actor.scopes.unwrap_or_default();
            Some(ActorToken::Own { target: Target { resources, audiences }, scopes })
        }
        ActorSource::JwtSvid => {
            if scene.jwt_svid_header.is_none() {
                let message =
                    "needs `workload_identity.jwt_svid_header`, in which workloads send it";
                notes.problem(format!("{path}.from"), message);
            }
            Some(ActorToken::JwtSvid)
        }
        ActorSource::Header => {
            let place = format!("{path}.header");
            match &actor.header {
                None => notes.problem(place, "`header` needs it"),
                Some(header) if scene.jwt_svid_header == Some(header) => {
                    notes.problem(place, "is also the `workload_identity.jwt_svid_header`");
                }
                Some(header) => {
                    workloads::header_name(notes, &place, header, ACTOR_HEADER_EXAMPLE);
                }
            }
            Some(ActorToken::Agent { token_type: actor.token_type.unwrap_or_default().into() })
        }
    }
}

/// What is asked of the token. `asked` is for whom it is, as far as that is known.
fn expected(
    notes: &mut Notes,
    path: &str,
    token: Option<ExchangedToken>,
    profile: ExchangeProfile,
    asked: &[String],
) -> Expected {
    let path = format!("{path}.token");
    let ExchangedToken { format, audiences, actors, bound } = token.unwrap_or_default();
    let has_actors =
        matches!(profile, ExchangeProfile::TokenExchange | ExchangeProfile::IdentityChaining);
    let given = [("audiences", audiences.is_some()), ("actors", actors.is_some())];
    match format {
        TokenFormat::Opaque => notes.only_for(&path, &given, &[], "with the format `opaque`"),
        TokenFormat::Jwt if !has_actors => {
            let choice = format!("with `{}`: its tokens name no actor", profile_name(profile));
            notes.only_for(&path, &given, &["audiences"], &choice);
        }
        TokenFormat::Jwt => {}
    }
    for (member, texts) in [("audiences", &audiences), ("actors", &actors)] {
        if let Some(texts) = texts {
            names(notes, &format!("{path}.{member}"), texts);
        }
    }
    let format = match format {
        TokenFormat::Opaque => Format::Opaque,
        TokenFormat::Jwt => {
            let audiences = audiences.unwrap_or_else(|| asked.to_vec());
            if audiences.is_empty() {
                let message = "is needed: nothing else says for whom a token must be that goes to the MCP server; or its `format` is `opaque`";
                notes.problem(format!("{path}.audiences"), message);
            }
            Format::Jwt { audiences, actors }
        }
    };
    Expected { format, bound }
}

/// Where the filter is the actor, the token has to name it: by its client identifier.
fn check_actors(
    notes: &mut Notes,
    path: &str,
    actor: Option<&ActorToken>,
    endpoint: &TokenEndpoint,
    expected: &Expected,
) {
    let is_unsaid = matches!(expected.format, Format::Jwt { actors: None, .. });
    let is_own = matches!(actor, Some(ActorToken::Own { .. }));
    if is_own && is_unsaid && endpoint.client.client_id().is_none() {
        let message = "is needed: with the client `injected` nobody here knows whom the token must name as its actor";
        notes.problem(format!("{path}.token.actors"), message);
    }
}

/// Everything that a token asked for this target may be for.
fn all(target: &Target) -> Vec<String> {
    [&*target.resources, &*target.audiences].concat()
}
