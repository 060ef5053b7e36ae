//! Compiles `servers`: the MCP servers, how requests find them, and what they demand.

use std::collections::HashMap;

use super::compile::Notes;
use super::document::{self, DeniedObjects, Match};
use super::issuers::{Known, KnownIssuer};
use super::policies::{Compiled, Policies};
use super::url::{Authority, Url, ambiguity};
use super::{delegation, http_sse, metadata, proofs, rules, sessions};
use crate::gate::Server;
use crate::token::IntrospectedTokens;

/// Where metadata documents are (RFC 9728 section 3).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// Compiles the servers, in the order of the document.
pub(super) fn compile(
    notes: &mut Notes,
    servers: Vec<document::Server>,
    known: &Known,
    policies: &mut Policies<'_>,
) -> Vec<Server> {
    let servers: Vec<(String, Server)> = (servers.into_iter().enumerate())
        .map(|(index, server)| (format!("servers[{index}]"), server))
        .filter_map(|(path, server)| {
            Some((path.clone(), compile_one(notes, &path, server, known, policies)?))
        })
        .collect();
    check_distinct(notes, &servers);
    servers.into_iter().map(|(_, server)| server).collect()
}

fn compile_one(
    notes: &mut Notes,
    path: &str,
    server: document::Server,
    known: &Known,
    policies: &mut Policies<'_>,
) -> Option<Server> {
    let issuers = issuers(notes, &format!("{path}.issuers"), &server.issuers, known);
    let Compiled { policies, takes_unbound, takes_uncertified, actor_header } =
        policies.compile(notes, path, &server, &issuers);
    let instance_header =
        delegation::instance_header(notes, &format!("{path}.context"), &server.context, &issuers);
    if let Some(header) = instance_header.as_ref().filter(|_| instance_header == actor_header) {
        let message = format!("is also the header of agents' tokens: `{header}`");
        notes.problem(format!("{path}.context.instance_header"), message);
    }
    let task_binding = sessions::task_binding(notes, &format!("{path}.tasks"), &server);
    let opens_sessions = policies.any(|policy| policy.allows_method("initialize"));
    let dpop_path = format!("{path}.dpop");
    let dpop = proofs::dpop(notes, &dpop_path, server.dpop, takes_unbound, &server.resource);
    let mtls = proofs::mtls(notes, &format!("{path}.mtls"), server.mtls, takes_uncertified);
    check_audiences(notes, &format!("{path}.audiences"), &server.audiences, &server.resource);
    check_origins(notes, &format!("{path}.allowed_origins"), &server.allowed_origins);
    metadata::check(notes, &format!("{path}.metadata"), &server.metadata);

    let url = resource(notes, &format!("{path}.resource"), &server.resource)?;
    let (authorities, endpoint) = endpoint(notes, &format!("{path}.match"), server.r#match, &url);
    let http_sse = server.http_sse.map(|http_sse| {
        http_sse::compile(notes, &format!("{path}.http_sse"), http_sse, &url, &dpop, opens_sessions)
    });
    let metadata_path = format!("{WELL_KNOWN}{}", url.path.trim_end_matches('/'));
    let identifiers: Vec<&str> =
        issuers.iter().flat_map(|issuer| &issuer.identifiers).map(String::as_str).collect();
    let metadata_document =
        metadata::document(&server.resource, &server.metadata, &identifiers, &dpop, &mtls)
            .map_err(|error| notes.problem(format!("{path}.metadata"), error))
            .ok()?;
    Some(Server {
        resource: server.resource,
        audiences: server.audiences,
        authorities,
        path: endpoint,
        http_sse,
        issuers: issuers.iter().map(|issuer| issuer.id).collect(),
        dpop,
        mtls,
        allowed_origins: server.allowed_origins,
        metadata_url: format!("{}{metadata_path}", url.origin()),
        metadata_path,
        metadata_document,
        scopes_supported: server.metadata.scopes_supported,
        task_binding,
        policies,
        instance_header,
        actor_token_header: actor_header,
        hides_objects: server.denied_objects == DeniedObjects::Hidden,
        step_up_challenges: issuers.iter().map(|issuer| (issuer.id, issuer.step_up)).collect(),
    })
}

/// A resource identifier in canonical form. Clients compare it byte for byte with the URL
/// they were given, and issuers copy it into `aud`: one resource must have one spelling.
fn resource(notes: &mut Notes, path: &str, text: &str) -> Option<Url> {
    let url = notes.protected_url(path, text)?;
    if url.query.is_some() {
        notes
            .problem(path, "has a query (`?`); servers are told apart by authority and path alone");
    } else if let Some(reason) = ambiguity(&url.path) {
        notes.problem(path, reason);
    } else {
        let root = url.path.is_empty() || url.path == "/";
        let tail = if root { url.path.as_str() } else { url.path.trim_end_matches('/') };
        let canonical = format!("{}{tail}", url.origin());
        if text != canonical {
            let message = "is compared byte for byte and so must be in canonical form";
            notes.problem(path, format!("{message}; write `{canonical}`"));
        }
    }
    Some(url)
}

/// The authorities and the path of the requests for a server.
fn endpoint(
    notes: &mut Notes,
    path: &str,
    matched: Match,
    resource: &Url,
) -> (Vec<String>, String) {
    let authorities = matched.authority.unwrap_or_else(|| vec![resource.authority.to_string()]);
    let list = format!("{path}.authority");
    notes.list(&list, &authorities);
    notes.unique(&list, &authorities);
    for (index, text) in authorities.iter().enumerate() {
        let path = format!("{list}[{index}]");
        if text.contains('/') {
            notes.problem(path, "is `host` or `host:port`, without scheme and path");
            continue;
        }
        match Authority::parse(text, &resource.scheme) {
            Ok(authority) if authority.to_string() == *text => {}
            Ok(canonical) => {
                let message = "must be lowercase and without the default port";
                notes.problem(path, format!("{message}; write `{canonical}`"));
            }
            Err(error) => notes.problem(path, error),
        }
    }
    let endpoint = matched.path.unwrap_or_else(|| match resource.path.as_str() {
        "" => "/".to_owned(),
        path => path.to_owned(),
    });
    check_path(notes, &format!("{path}.path"), &endpoint);
    (authorities, endpoint)
}

/// A path that requests are found by.
pub(super) fn check_path(notes: &mut Notes, path: &str, text: &str) {
    if !text.starts_with('/') {
        notes.problem(path, "must start with `/`");
    } else if text
        .strip_prefix(WELL_KNOWN)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    {
        notes.problem(path, "is where metadata documents are served, without authentication");
    } else if let Some(reason) = ambiguity(text) {
        notes.problem(path, reason);
    }
}

fn issuers<'k>(
    notes: &mut Notes,
    path: &str,
    names: &[String],
    known: &'k Known,
) -> Vec<&'k KnownIssuer> {
    let known: Vec<&KnownIssuer> = known.values().collect();
    let issuers = rules::issuers(notes, path, names, &known);
    let mut opaque = issuers
        .iter()
        .filter(|issuer| issuer.introspected == Some(IntrospectedTokens::Opaque))
        .map(|issuer| &issuer.name);
    if let (Some(first), Some(second)) = (opaque.next(), opaque.next()) {
        let message = format!(
            "{first} and {second} both have opaque tokens, which do not say whose they are"
        );
        notes.problem(path, message);
    }
    issuers
}

fn check_audiences(notes: &mut Notes, path: &str, audiences: &[String], resource: &String) {
    notes.optional_list(path, audiences);
    notes.unique(path, audiences);
    for (index, audience) in audiences.iter().enumerate() {
        let path = format!("{path}[{index}]");
        notes.text(&path, audience);
        if audience == resource {
            notes.problem(path, "is the `resource`, which is an audience in any case");
        }
    }
}

/// Serialised origins (RFC 6454 section 6.2), as browsers send them.
fn check_origins(notes: &mut Notes, path: &str, origins: &[String]) {
    notes.optional_list(path, origins);
    notes.unique(path, origins);
    for (index, text) in origins.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if text == "*" || text == "null" {
            notes.problem(path, "would let any page call the server; name the origins");
        } else if let Some(url) = notes.url(&path, text)
            && url.origin() != *text
        {
            let message = "must be as browsers send it";
            notes.problem(path, format!("{message}; write `{}`", url.origin()));
        }
    }
}

/// Each request has one server, each metadata URL one document, each audience one policy.
fn check_distinct(notes: &mut Notes, servers: &[(String, Server)]) {
    let mut audiences = HashMap::new();
    let mut endpoints = HashMap::new();
    let mut documents = HashMap::new();
    for (path, server) in servers {
        if let Some(first) = audiences.insert(&server.resource, path) {
            let message =
                format!("is also that of {first}: a token for one would be good for both");
            notes.problem(format!("{path}.resource"), message);
            continue;
        }
        for (index, audience) in server.audiences.iter().enumerate() {
            if let Some(first) = audiences.insert(audience, path).filter(|first| *first != path) {
                let message = format!(
                    "is also an audience of {first}: a token for one would be good for both"
                );
                notes.problem(format!("{path}.audiences[{index}]"), message);
            }
        }
        for authority in &server.authorities {
            if let Some(first) = endpoints.insert((authority, &server.path), path) {
                let request = format!("{authority}{}", server.path);
                notes.problem(path, format!("requests for {request} are also for {first}"));
            } else if let Some(first) = documents.insert((authority, &server.metadata_path), path) {
                let url = format!("{authority}{}", server.metadata_path);
                notes.problem(path, format!("its metadata at {url} is also that of {first}"));
            }
            let Some(http_sse) = &server.http_sse else { continue };
            let messages = &http_sse.endpoint.path;
            if let Some(first) = endpoints.insert((authority, messages), path) {
                let path = format!("{path}.http_sse.messages_path");
                notes.problem(path, format!("{authority}{messages} is also a path of {first}"));
            }
        }
    }
}
