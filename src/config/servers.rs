//! Compiles `servers`: the MCP servers, how requests find them, and their rules.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;

use super::compile::Notes;
use super::document::{self, Match, Metadata, NamedRules, Object, UriRules};
use super::issuers::Known;
use super::problem::{did_you_mean, nearest};
use super::url::{Authority, Url, ambiguity};
use crate::gate::Server;
use crate::policy::{Pattern, Rule, RuleTable, ServerPolicy};
use crate::token::{
    CertificateSource, DpopPolicy, IssuerId, MtlsPolicy, NoncePolicy, NonceScope, Requirement,
};

/// Where metadata documents are (RFC 9728 section 3).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// Methods that reach a protected object, and whose rules decide on them.
const GOVERNED: [(&str, &str); 6] = [
    ("tools/call", "`tools`"),
    ("prompts/get", "`prompts`"),
    ("resources/read", "`resources`"),
    ("resources/subscribe", "`resources`"),
    ("resources/unsubscribe", "`resources`"),
    ("completion/complete", "`prompts` and `resources`"),
];

/// Methods of the MCP revisions that `methods.allow` is for. Others may be named, but one
/// that looks like these is probably mistyped.
const METHODS: [&str; 14] = [
    "initialize",
    "server/discover",
    "ping",
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "subscriptions/listen",
    "logging/setLevel",
    "tasks/get",
    "tasks/list",
    "tasks/result",
    "tasks/cancel",
    "tasks/update",
];

/// Compiles the servers, in the order of the document.
pub(super) fn compile(
    notes: &mut Notes,
    servers: Vec<Object<document::Server>>,
    known: &Known,
) -> Vec<Server> {
    let servers: Vec<(String, Server)> = (servers.into_iter().enumerate())
        .map(|(index, Object(server))| (format!("servers[{index}]"), server))
        .filter_map(|(path, server)| {
            Some((path.clone(), compile_one(notes, &path, server, known)?))
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
) -> Option<Server> {
    let issuers = issuers(notes, &format!("{path}.issuers"), &server.issuers, known);
    let policy = policy(notes, path, &server);
    check_origins(notes, &format!("{path}.allowed_origins"), &server.allowed_origins);
    check_metadata(notes, &format!("{path}.metadata"), &server.metadata);

    let url = resource(notes, &format!("{path}.resource"), &server.resource)?;
    let (authorities, endpoint) = endpoint(notes, &format!("{path}.match"), server.r#match.0, &url);
    let metadata_path = format!("{WELL_KNOWN}{}", url.path.trim_end_matches('/'));
    let document =
        MetadataDocument::new(&server.resource, &server.metadata, &server.issuers, known);
    let metadata_document = serde_json::to_string(&document)
        .map_err(|error| notes.problem(format!("{path}.metadata"), error))
        .ok()?;
    Some(Server {
        audiences: Vec::new(),
        dpop: DpopPolicy {
            mode: Requirement::Off,
            algorithms: Vec::new(),
            proof_max_age: Duration::from_secs(300),
            url: server.resource.clone(),
            nonce: NoncePolicy {
                mode: Requirement::Off,
                scope: NonceScope::Replica,
                lifetime: Duration::from_secs(300),
            },
        },
        mtls: MtlsPolicy { mode: Requirement::Off, certificate: CertificateSource::Connection },
        resource: server.resource,
        authorities,
        path: endpoint,
        issuers,
        allowed_origins: server.allowed_origins,
        metadata_url: format!("{}{metadata_path}", url.origin()),
        metadata_path,
        metadata_document,
        scopes_supported: server.metadata.0.scopes_supported,
        policy,
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
    let path = format!("{path}.path");
    if !endpoint.starts_with('/') {
        notes.problem(path, "must start with `/`");
    } else if endpoint
        .strip_prefix(WELL_KNOWN)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    {
        notes.problem(path, "is where metadata documents are served, without authentication");
    } else if let Some(reason) = ambiguity(&endpoint) {
        notes.problem(path, reason);
    }
    (authorities, endpoint)
}

fn issuers(notes: &mut Notes, path: &str, names: &[String], known: &Known) -> Vec<IssuerId> {
    notes.list(path, names);
    notes.unique(path, names);
    let mut ids = Vec::new();
    for (index, name) in names.iter().enumerate() {
        match known.get(name) {
            Some((id, _)) => ids.push(*id),
            None => {
                let hint = did_you_mean(name, known.keys().map(String::as_str));
                notes.problem(
                    format!("{path}[{index}]"),
                    format!("no issuer is named {name:?}{hint}"),
                );
            }
        }
    }
    ids
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

fn check_metadata(notes: &mut Notes, path: &str, metadata: &Metadata) {
    if let Some(name) = &metadata.resource_name {
        notes.text(&format!("{path}.resource_name"), name);
    }
    let scopes = format!("{path}.scopes_supported");
    check_scopes(notes, &scopes, &metadata.scopes_supported);
    if let Some(index) = metadata.scopes_supported.iter().position(|s| s == "offline_access") {
        let message = "MCP: a server does not ask for `offline_access`; clients decide on it";
        notes.problem(format!("{scopes}[{index}]"), message);
    }
    if let Some(servers) = &metadata.authorization_servers {
        let path = format!("{path}.authorization_servers");
        notes.list(&path, servers);
        notes.unique(&path, servers);
        for (index, server) in servers.iter().enumerate() {
            notes.issuer_url(&format!("{path}[{index}]"), server);
        }
    }
}

/// RFC 6749 section 3.3: printable ASCII without space, `"` and `\`.
fn check_scopes(notes: &mut Notes, path: &str, scopes: &[String]) {
    notes.optional_list(path, scopes);
    notes.unique(path, scopes);
    for (index, scope) in scopes.iter().enumerate() {
        let path = format!("{path}[{index}]");
        notes.text(&path, scope);
        if scope.contains(' ') {
            notes.problem(path, "has a space; write each scope as an entry of its own");
        } else if !scope.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\') {
            notes.problem(path, "has a character that scopes cannot have (RFC 6749 section 3.3)");
        }
    }
}

fn policy(notes: &mut Notes, path: &str, server: &document::Server) -> ServerPolicy {
    let methods = methods(notes, &format!("{path}.methods.allow"), &server.methods.allow);
    let tools = named_rules(notes, &format!("{path}.tools.rules"), &server.tools);
    let prompts = named_rules(notes, &format!("{path}.prompts.rules"), &server.prompts);
    let resources = uri_rules(notes, &format!("{path}.resources.rules"), &server.resources);
    if methods.is_empty() && tools.is_empty() && prompts.is_empty() && resources.is_empty() {
        notes.warn(path, "permits nothing: it has neither methods nor rules");
    }
    ServerPolicy::new(methods, tools, prompts, resources)
}

fn methods(notes: &mut Notes, path: &str, methods: &[String]) -> Vec<Pattern> {
    notes.optional_list(path, methods);
    notes.unique(path, methods);
    let mut patterns = Vec::new();
    for (index, text) in methods.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let Some(pattern) = pattern(notes, &path, text) else { continue };
        let governed = GOVERNED.iter().find(|(method, _)| pattern.matches(method));
        match (&pattern, governed) {
            (Pattern::Prefix(prefix), _) if prefix.is_empty() => {
                notes.problem(path, "would allow methods that nobody here knows; name them");
            }
            (Pattern::Prefix(_), Some((method, rules))) => {
                let message = format!("covers `{method}`, on which the rules of {rules} decide");
                notes.problem(path, format!("{message}; name the methods one by one"));
            }
            (Pattern::Exact(_), Some((_, rules))) => {
                notes
                    .problem(path, format!("the rules of {rules} decide on it; leave it out here"));
            }
            (Pattern::Exact(method), None) if !METHODS.contains(&method.as_str()) => {
                let near = nearest(method, METHODS);
                if let Some(near) = near.filter(|_| !method.starts_with("notifications/")) {
                    notes.warn(path, format!("is no method of MCP; did you mean `{near}`?"));
                }
            }
            _ => {}
        }
        patterns.push(pattern);
    }
    patterns
}

fn named_rules(notes: &mut Notes, path: &str, rules: &NamedRules) -> RuleTable {
    notes.optional_list(path, &rules.rules);
    let mut table = RuleTable::default();
    for (index, rule) in rules.rules.iter().enumerate() {
        add_rule(
            notes,
            &mut table,
            format!("{path}[{index}]"),
            ("names", &rule.names),
            &rule.scopes,
        );
    }
    table
}

fn uri_rules(notes: &mut Notes, path: &str, rules: &UriRules) -> RuleTable {
    notes.optional_list(path, &rules.rules);
    let mut table = RuleTable::default();
    for (index, rule) in rules.rules.iter().enumerate() {
        add_rule(notes, &mut table, format!("{path}[{index}]"), ("uris", &rule.uris), &rule.scopes);
    }
    table
}

fn add_rule(
    notes: &mut Notes,
    table: &mut RuleTable,
    id: String,
    (member, names): (&str, &[String]),
    scopes: &[String],
) {
    check_scopes(notes, &format!("{id}.scopes"), scopes);
    let list = format!("{id}.{member}");
    notes.list(&list, names);
    let scopes = scopes.iter().cloned().collect::<BTreeSet<_>>();
    let rule = Rc::new(Rule { id, scopes, dpop: None, introspect: None });
    for (index, name) in names.iter().enumerate() {
        let path = format!("{list}[{index}]");
        if let Some(pattern) = pattern(notes, &path, name)
            && let Err(conflict) = table.insert(pattern, &rule)
        {
            notes.problem(path, format!("{name:?} {conflict}; which should decide?"));
        }
    }
}

fn pattern(notes: &mut Notes, path: &str, text: &str) -> Option<Pattern> {
    match Pattern::parse(text) {
        Ok(pattern) => {
            notes.text(path, text);
            Some(pattern)
        }
        Err(error) => {
            notes.problem(path, error);
            None
        }
    }
}

/// Each request has one server, each metadata URL one document, each audience one policy.
fn check_distinct(notes: &mut Notes, servers: &[(String, Server)]) {
    let mut resources = HashMap::new();
    let mut endpoints = HashMap::new();
    let mut documents = HashMap::new();
    for (path, server) in servers {
        if let Some(first) = resources.insert(&server.resource, path) {
            let message =
                format!("is also that of {first}: a token for one would be good for both");
            notes.problem(format!("{path}.resource"), message);
            continue;
        }
        for authority in &server.authorities {
            if let Some(first) = endpoints.insert((authority, &server.path), path) {
                let request = format!("{authority}{}", server.path);
                notes.problem(path, format!("requests for {request} are also for {first}"));
            } else if let Some(first) = documents.insert((authority, &server.metadata_path), path) {
                let url = format!("{authority}{}", server.metadata_path);
                notes.problem(path, format!("its metadata at {url} is also that of {first}"));
            }
        }
    }
}

/// Protected resource metadata (RFC 9728 section 2).
#[derive(Serialize)]
struct MetadataDocument<'a> {
    resource: &'a str,
    authorization_servers: Vec<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    scopes_supported: &'a [String],
    bearer_methods_supported: [&'static str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_name: Option<&'a str>,
}

impl<'a> MetadataDocument<'a> {
    fn new(
        resource: &'a str,
        metadata: &'a Metadata,
        issuers: &[String],
        known: &'a Known,
    ) -> Self {
        let authorization_servers = match &metadata.authorization_servers {
            Some(servers) => servers.iter().map(String::as_str).collect(),
            None => issuers.iter().filter_map(|name| Some(known.get(name)?.1.as_str())).collect(),
        };
        MetadataDocument {
            resource,
            authorization_servers,
            scopes_supported: &metadata.scopes_supported,
            bearer_methods_supported: ["header"],
            resource_name: metadata.resource_name.as_deref(),
        }
    }
}
