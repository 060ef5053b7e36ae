//! What is said of exchanges: how credentials of MCP servers are had, and who takes which.

use std::collections::BTreeSet;
use std::time::Duration;

use countersign::config::Loaded;
use countersign::exchange::{
    ActorToken, BoundTokens, ExchangeId, Format, Profile, Target, TokenEndpoint, TokenType,
};
use countersign::gate::Server;
use countersign::mcp;
use countersign::policy::{Downstream, DownstreamScopes, Rule};
use countersign::token::{Algorithm, ClientAuthentication};
use serde_json::{Value, json};

use crate::support::{assert_told_of, edited, load_value, minimal, p256_key};

/// All profiles, each with all it can have, and a server for each.
fn document() -> Value {
    let secret = json!({
        "method": "client_secret_post", "client_id": "gateway",
        "client_secret": { "env": "CORP_SECRET" }
    });
    let assertion = json!({
        "method": "private_key_jwt", "client_id": "gateway", "key": { "env": "PARTNER_KEY" },
        "algorithm": "ES256"
    });
    json!({
        "host_mode": "hold",
        "issuers": { "corp": {
            "issuer": "https://idp.example.com/{tid}", "tenants": ["contoso"],
            "jwks": { "keys": [p256_key()] },
            "algorithms": ["ES256"]
        } },
        "agents": { "bot": { "match": ["client:bot"], "issuers": ["corp"] } },
        "workload_identity": {
            "trust_domains": { "corp.example": {
                "bundle": { "uri": "https://spire.corp.example/bundle", "cluster": "spire" }
            } },
            "jwt_svid_header": "x-jwt-svid"
        },
        "exchanges": {
            "chain": {
                "profile": "identity_chaining",
                "uri": "https://idp.example.com/token", "cluster": "idp", "client": secret,
                "audience": ["https://as.partner.example"],
                "resource": ["https://partner.example/mcp"],
                "requested_token_type": "jwt", "subject_token_type": "jwt",
                "then": {
                    "uri": "https://as.partner.example/token", "cluster": "partner",
                    "timeout": "3s", "client": assertion,
                    "resource": ["https://partner.example/"]
                }
            },
            "docs": {
                "profile": "token_exchange",
                "uri": "https://IDP.example.com:443/token?p=1", "cluster": "idp", "timeout": "2s",
                "client": edited(assertion.clone(), "/audience", Some(json!("https://idp.example.com"))),
                "resource": ["https://docs.internal/mcp"], "audience": ["docs"],
                "server_scopes": ["docs.connect", "docs.read"],
                "subject_token_type": "jwt", "requested_token_type": "access_token",
                "actor": {
                    "from": "client_credentials", "resource": ["urn:idp"],
                    "audience": ["idp"], "scopes": ["act"]
                },
                "token": { "actors": ["gateway", "edge"], "bound": "forward" }
            },
            "github": {
                "profile": "auth0_token_vault",
                "uri": "https://tenant.auth0.example/oauth/token", "cluster": "auth0",
                "client": secret, "connection": "github",
                "link_uri": "https://app.example.com/accounts"
            },
            "graph": {
                "profile": "entra_on_behalf_of",
                "uri": "https://login.example.com/{tid}/oauth2/v2.0/token?slice=1",
                "cluster": "login", "client": secret,
                "server_scopes": ["api://wiki/.default"],
                "token": { "audiences": ["api://wiki"] }
            },
            "own": {
                "profile": "client_credentials",
                "uri": "https://idp.example.com/token", "cluster": "idp",
                "client": { "method": "injected" }, "scopes": "per_server",
                "server_scopes": ["mail.send", "mail.read"], "token": { "format": "opaque" }
            },
            "sealed": { "profile": "injected" }
        },
        "servers": [
            server("docs", "docs", &json!([
                { "names": ["search"], "scopes": ["docs.read"] },
                { "names": ["whoami"], "scopes": [] },
                {
                    "names": ["delete"], "scopes": ["docs.admin"],
                    "downstream_scopes": ["docs.erase", "docs.read"]
                },
                { "names": ["mail"], "scopes": [], "exchange": "own", "downstream_scopes": ["mail.send"] },
                { "names": ["vault"], "scopes": [], "exchange": "sealed" }
            ])),
            server("wiki", "graph", &json!([
                { "names": ["*"], "scopes": ["wiki"], "downstream_scopes": ["api://wiki/Read"] }
            ])),
            server("github", "github", &json!([{ "names": ["*"], "scopes": ["github"] }])),
            server("partner", "chain", &json!([{ "names": ["*"], "scopes": ["partner"] }])),
            server("sealed", "sealed", &json!([{ "names": ["*"], "scopes": [] }]))
        ]
    })
}

/// A server of that name, which takes that exchange.
fn server(name: &str, exchange: &str, rules: &Value) -> Value {
    json!({
        "resource": format!("https://{name}.example.com/mcp"), "issuers": ["corp"],
        "exchange": exchange, "methods": { "allow": ["tools/list"] }, "tools": { "rules": rules }
    })
}

/// A document with one exchange, by token exchange, and one server that takes it.
fn plain() -> Value {
    let mut document = minimal();
    document["exchanges"] = json!({ "docs": {
        "profile": "token_exchange", "uri": "https://idp.example.com/token", "cluster": "idp",
        "client": { "method": "tls_client_auth", "client_id": "gateway" },
        "audience": ["docs"], "server_scopes": ["docs.connect"]
    } });
    document["servers"][0]["exchange"] = json!("docs");
    document
}

fn profile<'l>(loaded: &'l Loaded, name: &str) -> &'l Profile {
    let mut exchanges = loaded.enforcement.exchanges.iter();
    &exchanges.find(|exchange| &*exchange.name == name).unwrap().profile
}

fn downstream(server: &Server) -> &Downstream {
    server.policies.own.settings().exchange.as_deref().unwrap()
}

fn rule<'l>(loaded: &'l Loaded, name: &str) -> &'l Rule {
    let target = mcp::Target::Tool(name.to_owned());
    loaded.enforcement.servers[0].policies.own.rule(&target).unwrap()
}

fn target(resources: &[&str], audiences: &[&str]) -> Target {
    Target { resources: owned(resources), audiences: owned(audiences) }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().copied().map(str::to_owned).collect()
}

fn set(texts: &[&str]) -> BTreeSet<String> {
    owned(texts).into_iter().collect()
}

/// The URL of an endpoint, its cluster, and how long it may take in seconds.
fn request(endpoint: &TokenEndpoint) -> (String, &str, u64) {
    let request = &endpoint.request;
    assert_eq!(request.method, "POST");
    assert!(request.headers.is_empty() && request.body.is_empty());
    let url = format!("{}://{}{}", request.scheme, request.authority, request.path);
    (url, &request.cluster, request.timeout.as_secs())
}

fn warnings(document: &Value) -> Vec<String> {
    load_value(document).unwrap().warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn token_exchange_compiles_to_what_it_says() {
    let loaded = load_value(&document()).unwrap();
    let Profile::TokenExchange(docs) = profile(&loaded, "docs") else { panic!() };
    assert_eq!(request(&docs.endpoint), ("https://idp.example.com/token?p=1".to_owned(), "idp", 2));
    let ClientAuthentication::PrivateKeyJwt { client_id, audience, key } = &docs.endpoint.client
    else {
        panic!("{:?}", docs.endpoint.client)
    };
    assert_eq!((client_id.as_str(), audience.as_str()), ("gateway", "https://idp.example.com"));
    assert_eq!((key.algorithm, &key.key_id), (Algorithm::Es256, &None));
    assert_eq!(docs.target, target(&["https://docs.internal/mcp"], &["docs"]));
    assert_eq!(docs.subject_token_type, TokenType::Jwt);
    assert_eq!(docs.requested_token_type, Some(TokenType::AccessToken));
    let Some(ActorToken::Own { target: own, scopes }) = &docs.actor else {
        panic!("{:?}", docs.actor)
    };
    assert_eq!((own, scopes), (&target(&["urn:idp"], &["idp"]), &owned(&["act"])));
    let format = Format::Jwt {
        audiences: owned(&["https://docs.internal/mcp", "docs"]),
        actors: Some(owned(&["gateway", "edge"])),
    };
    assert_eq!((&docs.expected.format, docs.expected.bound), (&format, BoundTokens::Forward));
}

#[test]
fn the_defaults_are_the_safe_ones() {
    let loaded = load_value(&plain()).unwrap();
    let Profile::TokenExchange(docs) = profile(&loaded, "docs") else { panic!() };
    assert_eq!(docs.endpoint.request.timeout, Duration::from_secs(5));
    assert_eq!(docs.subject_token_type, TokenType::AccessToken);
    assert_eq!(docs.requested_token_type, None);
    assert!(docs.actor.is_none());
    let format = Format::Jwt { audiences: owned(&["docs"]), actors: None };
    assert_eq!((&docs.expected.format, docs.expected.bound), (&format, BoundTokens::Refuse));
    let server = &loaded.enforcement.servers[0];
    assert_eq!(downstream(server).scopes, DownstreamScopes::PerOperation);
    assert_eq!(server.actor_token_header, None);

    let loaded = load_value(&minimal()).unwrap();
    assert!(loaded.enforcement.exchanges.is_empty());
    assert_eq!(loaded.enforcement.servers[0].policies.own.settings().exchange, None);
}

#[test]
fn entra_on_behalf_of_compiles_to_what_it_says() {
    let loaded = load_value(&document()).unwrap();
    let Profile::OnBehalfOf(graph) = profile(&loaded, "graph") else { panic!() };
    let url = "https://login.example.com/{tid}/oauth2/v2.0/token?slice=1".to_owned();
    assert_eq!(request(&graph.endpoint), (url, "login", 5));
    let format = Format::Jwt { audiences: owned(&["api://wiki"]), actors: None };
    assert_eq!((&graph.expected.format, graph.expected.bound), (&format, BoundTokens::Refuse));

    let uri = json!("https://login.example.com/tenant/token");
    let loaded = load_value(&edited(document(), "/exchanges/graph/uri", Some(uri))).unwrap();
    let Profile::OnBehalfOf(graph) = profile(&loaded, "graph") else { panic!() };
    assert_eq!(graph.endpoint.request.path, "/tenant/token");
}

/// RFC 7523 section 3: `aud` is the authorization server, at Entra ID that of a tenant.
#[test]
fn an_assertion_is_for_the_tenant_that_is_asked() {
    let assertion = json!({
        "method": "private_key_jwt", "client_id": "gateway", "key": { "env": "PARTNER_KEY" },
        "algorithm": "ES256", "audience": "https://login.example.com/{tid}/oauth2/v2.0/token"
    });
    let document = edited(document(), "/exchanges/graph/client", Some(assertion));
    let loaded = load_value(&document).unwrap();
    let Profile::OnBehalfOf(graph) = profile(&loaded, "graph") else { panic!() };
    let ClientAuthentication::PrivateKeyJwt { audience, .. } = &graph.endpoint.client else {
        panic!("{:?}", graph.endpoint.client)
    };
    assert_eq!(audience, "https://login.example.com/{tid}/oauth2/v2.0/token");
    let uri = json!("https://login.example.com/contoso/oauth2/v2.0/token");
    let told = load_value(&edited(document, "/exchanges/graph/uri", Some(uri))).map(drop);
    let expected = "exchanges.graph.client.audience: has `{tid}`, which stands for a tenant only where `uri` has it";
    assert_eq!(told, Err(expected.to_owned()));
}

#[test]
fn auth0_token_vault_compiles_to_what_it_says() {
    let loaded = load_value(&document()).unwrap();
    let Profile::TokenVault(github) = profile(&loaded, "github") else { panic!() };
    let url = "https://tenant.auth0.example/oauth/token".to_owned();
    assert_eq!(request(&github.endpoint), (url, "auth0", 5));
    assert!(matches!(&github.endpoint.client, ClientAuthentication::ClientSecretPost { .. }));
    assert_eq!(&*github.connection, "github");
    assert_eq!(github.link_uri.as_deref(), Some("https://app.example.com/accounts"));
    // Its scopes are those of the account that the user has linked.
    let github = downstream(&loaded.enforcement.servers[2]);
    assert_eq!((github.scopes, &*github.server_scopes), (DownstreamScopes::PerServer, &set(&[])));
}

#[test]
fn identity_chaining_compiles_to_what_it_says() {
    let loaded = load_value(&document()).unwrap();
    let Profile::IdentityChaining(chain) = profile(&loaded, "chain") else { panic!() };
    assert_eq!(request(&chain.first), ("https://idp.example.com/token".to_owned(), "idp", 5));
    let second = ("https://as.partner.example/token".to_owned(), "partner", 3);
    assert_eq!(request(&chain.second), second);
    let ClientAuthentication::PrivateKeyJwt { audience, .. } = &chain.second.client else {
        panic!("{:?}", chain.second.client)
    };
    assert_eq!(audience, "https://as.partner.example");
    let first = target(&["https://partner.example/mcp"], &["https://as.partner.example"]);
    assert_eq!(chain.target, first);
    assert_eq!(chain.second_target, target(&["https://partner.example/"], &[]));
    assert_eq!((chain.assertion, chain.subject_token_type), (TokenType::Jwt, TokenType::Jwt));
    // Not the audience of the assertion: that one is for the authorization server.
    let audiences = owned(&["https://partner.example/mcp", "https://partner.example/"]);
    assert_eq!(chain.expected.format, Format::Jwt { audiences, actors: None });

    let assertion = "/exchanges/chain/requested_token_type";
    let loaded = load_value(&edited(document(), assertion, Some(json!("id_jag")))).unwrap();
    let Profile::IdentityChaining(chain) = profile(&loaded, "chain") else { panic!() };
    assert_eq!(chain.assertion, TokenType::IdJag);
}

#[test]
fn client_credentials_compile_to_what_they_say() {
    let loaded = load_value(&document()).unwrap();
    let Profile::ClientCredentials(own) = profile(&loaded, "own") else { panic!() };
    assert_eq!(request(&own.endpoint), ("https://idp.example.com/token".to_owned(), "idp", 5));
    assert!(matches!(own.endpoint.client, ClientAuthentication::Injected));
    assert_eq!((&own.target, &own.expected.format), (&target(&[], &[]), &Format::Opaque));
}

#[test]
fn servers_and_rules_say_which_credential_goes_on() {
    let loaded = load_value(&document()).unwrap();
    assert_eq!(loaded.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(), [""; 0]);
    assert!(matches!(profile(&loaded, "sealed"), Profile::Injected));
    let variables: Vec<&str> = loaded.variables.iter().map(String::as_str).collect();
    assert_eq!(variables, ["CORP_SECRET", "PARTNER_KEY"]);

    let servers = &loaded.enforcement.servers;
    for (server, name, scopes) in [
        (0, "docs", &["docs.connect", "docs.read"][..]),
        (1, "graph", &["api://wiki/.default"]),
        (2, "github", &[]),
        (3, "chain", &[]),
    ] {
        let downstream = downstream(&servers[server]);
        let Some(ExchangeId(index)) = downstream.exchange else { panic!("{downstream:?}") };
        assert_eq!(&*loaded.enforcement.exchanges[index].name, name);
        assert_eq!((&*downstream.name, &*downstream.server_scopes), (name, &set(scopes)));
    }
    let sealed = downstream(&servers[4]);
    assert_eq!((&*sealed.name, sealed.exchange), ("sealed", None));

    let search = rule(&loaded, "search");
    assert_eq!((&search.exchange, &search.downstream_scopes), (&None, &None));
    let delete = rule(&loaded, "delete").downstream_scopes.as_deref();
    assert_eq!(delete, Some(&set(&["docs.erase", "docs.read"])));
    let mail = rule(&loaded, "mail");
    let own = mail.exchange.as_deref().unwrap();
    let of_own = (&*own.name, own.scopes, &*own.server_scopes);
    let scopes = set(&["mail.read", "mail.send"]);
    assert_eq!(of_own, ("own", DownstreamScopes::PerServer, &scopes));
    assert_eq!(mail.downstream_scopes.as_deref(), Some(&set(&["mail.send"])));
}

/// Policy compares exchanges by their place in memory.
#[test]
fn an_exchange_is_the_same_on_all_servers_and_in_all_policies() {
    let mut document = document();
    let rules =
        json!({ "rules": [{ "names": ["*"], "scopes": ["docs.read"], "exchange": "docs" }] });
    document["servers"][1]["tools"] = rules.clone();
    document["policies"] = json!({ "next": { "servers": {
        "https://github.example.com/mcp": { "tools": rules }
    } } });
    document["candidate"] = json!("next");
    let loaded = load_value(&document).unwrap();
    let servers = &loaded.enforcement.servers;
    let any = mcp::Target::Tool("x".to_owned());
    let docs = servers[0].policies.own.settings().exchange.as_ref().unwrap();
    let of_rule = servers[1].policies.own.rule(&any).unwrap().exchange.as_ref().unwrap();
    assert!(std::rc::Rc::ptr_eq(docs, of_rule));
    let candidate = &servers[2].policies.candidate.as_ref().unwrap().policy;
    let of_candidate = candidate.rule(&any).unwrap().exchange.as_ref().unwrap();
    assert!(std::rc::Rc::ptr_eq(docs, of_candidate));
    // Its server keeps its own.
    assert_eq!(&*candidate.settings().exchange.as_ref().unwrap().name, "github");
}

#[test]
fn a_server_knows_the_one_header_of_agents_tokens() {
    let actor = |header: &str| Some(json!({ "from": "header", "header": header }));
    let loaded = load_value(&edited(plain(), "/exchanges/docs/actor", actor("x-agent"))).unwrap();
    let Profile::TokenExchange(docs) = profile(&loaded, "docs") else { panic!() };
    let token_type = TokenType::AccessToken;
    assert!(matches!(docs.actor, Some(ActorToken::Agent { token_type: t }) if t == token_type));
    let header = loaded.enforcement.servers[0].actor_token_header.as_deref();
    assert_eq!(header, Some("x-agent"));

    // Of an exchange that only a rule of another policy names.
    let mut document = edited(plain(), "/exchanges/docs/actor", actor("x-agent"));
    drop(document["servers"][0].as_object_mut().unwrap().remove("exchange"));
    document["policies"] = json!({ "next": { "servers": { "http://127.0.0.1:10000/mcp": {
        "tools": { "rules": [{ "names": ["*"], "scopes": ["a"], "exchange": "docs" }] }
    } } } });
    document["candidate"] = json!("next");
    let header = |document: &Value| {
        load_value(document).unwrap().enforcement.servers[0].actor_token_header.clone()
    };
    assert_eq!(header(&document).as_deref(), Some("x-agent"));

    let mut document = plain();
    document["exchanges"]["wiki"] = document["exchanges"]["docs"].clone();
    document["exchanges"]["docs"]["actor"] = actor("x-agent").unwrap();
    document["exchanges"]["wiki"]["actor"] = actor("x-bot").unwrap();
    document["servers"][0]["tools"] =
        json!({ "rules": [{ "names": ["*"], "scopes": ["a"], "exchange": "wiki" }] });
    assert_told_of(
        &document,
        &[(
            "/host_mode",
            Some(json!("hold")),
            &[
                "servers[0]: exchanges.docs and exchanges.wiki take the agent's token out of different headers: a server has one",
            ],
        )],
    );
    document["exchanges"]["wiki"]["actor"] = actor("x-agent").unwrap();
    assert_eq!(header(&document).as_deref(), Some("x-agent"));
}

#[test]
fn a_jwt_svid_is_sent_where_workloads_have_one() {
    let svid = Some(json!({ "from": "jwt_svid" }));
    let loaded = load_value(&edited(document(), "/exchanges/docs/actor", svid)).unwrap();
    let Profile::TokenExchange(docs) = profile(&loaded, "docs") else { panic!() };
    assert!(matches!(docs.actor, Some(ActorToken::JwtSvid)));
}

#[test]
fn each_profile_has_what_it_needs_and_nothing_else() {
    let exchange = "/exchanges/docs";
    assert_told_of(
        &plain(),
        &[
            (exchange, Some(json!({})), &["exchanges.docs: missing member `profile`"]),
            (
                exchange,
                Some(json!({ "profile": "token-exchange" })),
                &[
                    "exchanges.docs.profile: unknown value `token-exchange`; did you mean `token_exchange`?",
                ],
            ),
            (
                exchange,
                Some(json!({ "profile": "token_exchange" })),
                &[
                    "exchanges.docs.uri: `token_exchange` needs it",
                    "exchanges.docs.client: `token_exchange` needs it",
                ],
            ),
            (
                exchange,
                Some(json!({ "profile": "entra_on_behalf_of" })),
                &[
                    "exchanges.docs.uri: `entra_on_behalf_of` needs it",
                    "exchanges.docs.client: `entra_on_behalf_of` needs it",
                    "exchanges.docs.server_scopes: `entra_on_behalf_of` needs it",
                ],
            ),
            (
                exchange,
                Some(json!({ "profile": "auth0_token_vault" })),
                &[
                    "exchanges.docs.uri: `auth0_token_vault` needs it",
                    "exchanges.docs.client: `auth0_token_vault` needs it",
                    "exchanges.docs.connection: `auth0_token_vault` needs it",
                ],
            ),
            (
                exchange,
                Some(json!({ "profile": "identity_chaining" })),
                &[
                    "exchanges.docs.uri: `identity_chaining` needs it",
                    "exchanges.docs.client: `identity_chaining` needs it",
                    "exchanges.docs.audience: `identity_chaining` needs it",
                    "exchanges.docs.requested_token_type: `identity_chaining` needs it",
                    "exchanges.docs.then: `identity_chaining` needs it",
                ],
            ),
            (
                exchange,
                Some(json!({ "profile": "client_credentials" })),
                &[
                    "exchanges.docs.uri: `client_credentials` needs it",
                    "exchanges.docs.client: `client_credentials` needs it",
                ],
            ),
            (
                "/exchanges/docs/profile",
                Some(json!("injected")),
                &[
                    "exchanges.docs.uri: is of no use with `injected`; leave it out",
                    "exchanges.docs.cluster: is of no use with `injected`; leave it out",
                    "exchanges.docs.client: is of no use with `injected`; leave it out",
                    "exchanges.docs.audience: is of no use with `injected`; leave it out",
                    "exchanges.docs.server_scopes: is of no use with `injected`; leave it out",
                ],
            ),
            (
                "/exchanges/docs/connection",
                Some(json!("github")),
                &["exchanges.docs.connection: is of no use with `token_exchange`; leave it out"],
            ),
            (
                "/exchanges/docs/link_uri",
                Some(json!("https://app.example.com")),
                &["exchanges.docs.link_uri: is of no use with `token_exchange`; leave it out"],
            ),
            (
                "/exchanges/a.b",
                Some(json!({ "profile": "injected" })),
                &["exchanges[\"a.b\"]: a name is 1 to 64 letters, digits, `-` and `_`"],
            ),
            (
                "/exchanges/docs/server_scopes",
                Some(json!(["a b", "a", "a"])),
                &[
                    "exchanges.docs.server_scopes[2]: is given twice",
                    "exchanges.docs.server_scopes[0]: has a space; write each scope as an entry of its own",
                ],
            ),
        ],
    );
    assert_told_of(
        &document(),
        &[
            (
                "/exchanges/github/scopes",
                Some(json!("per_server")),
                &["exchanges.github.scopes: is of no use with `auth0_token_vault`; leave it out"],
            ),
            (
                "/exchanges/github/server_scopes",
                Some(json!(["repo"])),
                &[
                    "exchanges.github.server_scopes: is of no use with `auth0_token_vault`; leave it out",
                ],
            ),
            (
                "/exchanges/github/token",
                Some(json!({ "format": "opaque" })),
                &["exchanges.github.token: is of no use with `auth0_token_vault`; leave it out"],
            ),
            (
                "/exchanges/graph/actor",
                Some(json!({ "from": "jwt_svid" })),
                &["exchanges.graph.actor: is of no use with `entra_on_behalf_of`; leave it out"],
            ),
            (
                "/exchanges/chain/actor",
                Some(json!({ "from": "jwt_svid" })),
                &["exchanges.chain.actor: is of no use with `identity_chaining`; leave it out"],
            ),
            (
                "/exchanges/own/subject_token_type",
                Some(json!("jwt")),
                &[
                    "exchanges.own.subject_token_type: is of no use with `client_credentials`; leave it out",
                ],
            ),
        ],
    );
}

#[test]
fn what_is_wrong_with_endpoints_is_told() {
    assert_told_of(
        &document(),
        &[
            (
                "/exchanges/docs/uri",
                Some(json!("http://idp.example.com/token")),
                &["exchanges.docs.uri: must be https; http is for loopback hosts only"],
            ),
            (
                "/exchanges/docs/cluster",
                None,
                &["exchanges.docs.cluster: name the Envoy cluster through which `uri` is reached"],
            ),
            (
                "/exchanges/docs/timeout",
                Some(json!("11s")),
                &["exchanges.docs.timeout: must be from 10ms to 10s"],
            ),
            (
                "/exchanges/docs/uri",
                Some(json!("https://idp.example.com/{tid}/token")),
                &[
                    "exchanges.docs.uri: has `{tid}`, which stands for a tenant with `entra_on_behalf_of` only",
                ],
            ),
            (
                "/exchanges/graph/uri",
                Some(json!("https://login.example.com/t-{tid}/token")),
                &["exchanges.graph.uri: must have `{tid}` as one whole segment of its path"],
            ),
            (
                "/exchanges/graph/uri",
                Some(json!("https://login.example.com/{tid}/{tid}")),
                &["exchanges.graph.uri: must have `{tid}` as one whole segment of its path"],
            ),
            (
                "/exchanges/graph/uri",
                Some(json!("https://{tid}/token")),
                &["exchanges.graph.uri: must have `{tid}` as one whole segment of its path"],
            ),
            (
                "/exchanges/graph/uri",
                Some(json!("https://login.example.com/token?t=/{tid}/")),
                &["exchanges.graph.uri: must have `{tid}` as one whole segment of its path"],
            ),
            (
                "/exchanges/graph/uri",
                Some(json!("http://login.example.com/{tid}/token")),
                &["exchanges.graph.uri: must be https; http is for loopback hosts only"],
            ),
            (
                "/exchanges/docs/client/audience",
                None,
                &[
                    "exchanges.docs.client.audience: `private_key_jwt` needs it: the issuer identifier of the authorization server, or what else it knows itself as",
                ],
            ),
            (
                "/exchanges/docs/client/audience",
                Some(json!("https://login.example.com/{tid}/v2.0")),
                &[
                    "exchanges.docs.client.audience: has `{tid}`, which stands for a tenant only where `uri` has it",
                ],
            ),
            (
                "/exchanges/chain/then/client/audience",
                Some(json!("https://as.partner.example/{tid}")),
                &[
                    "exchanges.chain.then.client.audience: has `{tid}`, which stands for a tenant only where `uri` has it",
                ],
            ),
            (
                "/exchanges/docs/client",
                Some(
                    json!({ "method": "client_secret_basic", "client_id": "gateway", "key_id": "1" }),
                ),
                &[
                    "exchanges.docs.client.key_id: is of no use with `client_secret_basic`; leave it out",
                    "exchanges.docs.client.client_secret: `client_secret_basic` needs it",
                ],
            ),
            (
                "/exchanges/docs/client/key/env",
                Some(json!("CORP_SECRET")),
                &[
                    "exchanges.docs.client.key: the value of `CORP_SECRET` is no private key in PKCS #8 and PEM (`-----BEGIN PRIVATE KEY-----`); `openssl pkcs8 -topk8 -nocrypt` makes one",
                ],
            ),
            (
                "/exchanges/github/client/client_secret",
                Some(json!({ "env": "AUTH0_SECRET" })),
                &[
                    "exchanges.github.client.client_secret: the environment of the filter has no `AUTH0_SECRET`, or an empty one; set it in `vm_config.environment_variables`",
                ],
            ),
            (
                "/exchanges/github/link_uri",
                Some(json!("http://app.example.com/accounts")),
                &["exchanges.github.link_uri: must be https; http is for loopback hosts only"],
            ),
            (
                "/exchanges/github/connection",
                Some(json!("")),
                &["exchanges.github.connection: is empty"],
            ),
            (
                "/exchanges/chain/then",
                Some(
                    json!({ "uri": "http://as.partner.example/token", "cluster": "partner", "client": { "method": "injected" } }),
                ),
                &["exchanges.chain.then.uri: must be https; http is for loopback hosts only"],
            ),
            (
                "/exchanges/chain/then/cluster",
                None,
                &["exchanges.chain.then: missing member `cluster`"],
            ),
        ],
    );
}

#[test]
fn rfc8707_2_resources_are_absolute_uris_without_fragment() {
    let message =
        |path: &str| format!("{path}: is no absolute URI without fragment (RFC 8707 section 2)");
    for (pointer, path) in [
        ("/exchanges/docs/resource", "exchanges.docs.resource[0]"),
        ("/exchanges/docs/actor/resource", "exchanges.docs.actor.resource[0]"),
        ("/exchanges/chain/resource", "exchanges.chain.resource[0]"),
        ("/exchanges/chain/then/resource", "exchanges.chain.then.resource[0]"),
    ] {
        for resource in ["docs", "/mcp", "https://a.example/#b", "https://a.example/ b", "a:"] {
            let document = edited(document(), pointer, Some(json!([resource])));
            assert_eq!(load_value(&document).map(drop), Err(message(path)), "{resource}");
        }
        for resource in ["urn:example:docs", "api://docs", "HTTPS://a.example/b?c=d"] {
            let document = edited(document(), pointer, Some(json!([resource])));
            assert_eq!(load_value(&document).map(drop), Ok(()), "{resource}");
        }
    }
}

#[test]
fn what_is_wrong_with_targets_and_types_is_told() {
    let many: Vec<String> = (0..17).map(|n| format!("a{n}")).collect();
    assert_told_of(
        &document(),
        &[
            (
                "/exchanges/docs/audience",
                Some(json!([])),
                &["exchanges.docs.audience: is empty: at least one is needed"],
            ),
            (
                "/exchanges/docs/audience",
                Some(json!(["", "a", "a"])),
                &[
                    "exchanges.docs.audience[2]: is given twice",
                    "exchanges.docs.audience[0]: is empty",
                ],
            ),
            (
                "/exchanges/docs/audience",
                Some(json!(many)),
                &["exchanges.docs.audience: has 17 entries; at most 16 are taken"],
            ),
            (
                "/exchanges/docs/token/actors",
                Some(json!(many)),
                &["exchanges.docs.token.actors: has 17 entries; at most 16 are taken"],
            ),
            (
                "/exchanges/docs/subject_token_type",
                Some(json!("id_jag")),
                &[
                    "exchanges.docs.subject_token_type: unknown value `id_jag`; known are access_token, jwt",
                ],
            ),
            (
                "/exchanges/docs/requested_token_type",
                Some(json!("id_jag")),
                &[
                    "exchanges.docs.requested_token_type: is an assertion, which no MCP server takes; take `identity_chaining`, or another type",
                ],
            ),
            (
                "/exchanges/chain/requested_token_type",
                Some(json!("access_token")),
                &["exchanges.chain.requested_token_type: is no assertion; take `id_jag` or `jwt`"],
            ),
            (
                "/exchanges/chain/audience",
                Some(json!(["https://as.partner.example", "https://as.other.example"])),
                &[
                    "exchanges.chain.audience: is the issuer identifier of the second authorization server, and no more: an assertion that is good at two could be shown by the one to the other",
                ],
            ),
            (
                "/exchanges/chain/audience",
                Some(json!(["partner"])),
                &[
                    "exchanges.chain.audience[0]: is not an absolute URL such as `https://mcp.example.com/mcp`",
                ],
            ),
            (
                "/exchanges/chain/audience",
                Some(json!(["https://as.partner.example?a"])),
                &[
                    "exchanges.chain.audience[0]: has a query (`?`), which issuer identifiers cannot have",
                ],
            ),
        ],
    );
}

/// Whatever authorization servers do with `audience` and `resource`: a token that nobody can
/// tell to be for the MCP server is not sent there.
#[test]
fn a_jwt_is_for_somebody() {
    let unsaid = |name: &str| {
        format!(
            "exchanges.{name}.token.audiences: is needed: nothing else says for whom a token must be that goes to the MCP server; or its `format` is `opaque`"
        )
    };
    let without = |document: Value, members: &[&str]| {
        members.iter().fold(document, |document, member| edited(document, member, None))
    };
    for (name, members) in [
        ("docs", &["/exchanges/docs/resource", "/exchanges/docs/audience"][..]),
        ("graph", &["/exchanges/graph/token"]),
        ("chain", &["/exchanges/chain/resource", "/exchanges/chain/then/resource"]),
        ("own", &["/exchanges/own/token"]),
    ] {
        let document = without(document(), members);
        assert_eq!(load_value(&document).map(drop), Err(unsaid(name)));
        for token in [json!({ "audiences": ["me"] }), json!({ "format": "opaque" })] {
            let document =
                edited(document.clone(), &format!("/exchanges/{name}/token"), Some(token));
            assert_eq!(load_value(&document).map(drop), Ok(()), "{name}");
        }
    }
}

#[test]
fn what_is_wrong_with_tokens_and_actors_is_told() {
    assert_told_of(
        &document(),
        &[
            (
                "/exchanges/docs/token/format",
                Some(json!("opaque")),
                &[
                    "exchanges.docs.token.actors: is of no use with the format `opaque`; leave it out",
                ],
            ),
            (
                "/exchanges/own/token/audiences",
                Some(json!(["mail"])),
                &[
                    "exchanges.own.token.audiences: is of no use with the format `opaque`; leave it out",
                ],
            ),
            (
                "/exchanges/graph/token/actors",
                Some(json!(["gateway"])),
                &[
                    "exchanges.graph.token.actors: is of no use with `entra_on_behalf_of`: its tokens name no actor; leave it out",
                ],
            ),
            (
                "/exchanges/docs/actor/from",
                Some(json!("jwt_svid")),
                &[
                    "exchanges.docs.actor.resource: is of no use with `jwt_svid`; leave it out",
                    "exchanges.docs.actor.audience: is of no use with `jwt_svid`; leave it out",
                    "exchanges.docs.actor.scopes: is of no use with `jwt_svid`; leave it out",
                ],
            ),
            (
                "/exchanges/docs/actor/scopes",
                Some(json!([])),
                &["exchanges.docs.actor.scopes: is empty: at least one is needed"],
            ),
            (
                "/exchanges/docs/actor/header",
                Some(json!("x-agent")),
                &[
                    "exchanges.docs.actor.header: is of no use with `client_credentials`; leave it out",
                ],
            ),
            (
                "/exchanges/docs/actor",
                Some(json!({ "from": "header" })),
                &["exchanges.docs.actor.header: `header` needs it"],
            ),
            (
                "/exchanges/docs/actor",
                Some(json!({ "from": "header", "header": "x-jwt-svid" })),
                &["exchanges.docs.actor.header: is also the `workload_identity.jwt_svid_header`"],
            ),
            (
                "/exchanges/docs/actor",
                Some(json!({ "from": "header", "header": "authorization" })),
                &[
                    "exchanges.docs.actor.header: has a meaning of its own; use another one, such as `x-agent-token`",
                ],
            ),
            (
                "/exchanges/docs/actor",
                Some(json!({ "from": "header", "header": "X-Agent" })),
                &[
                    "exchanges.docs.actor.header: a header's name is 1 to 64 lowercase letters, digits and `-`",
                ],
            ),
            (
                "/exchanges/docs/actor",
                Some(json!({ "from": "header", "header": "x-agent", "token_type": "id_jag" })),
                &[
                    "exchanges.docs.actor.token_type: unknown value `id_jag`; known are access_token, jwt",
                ],
            ),
            (
                "/exchanges/docs/actor/scopes",
                Some(json!(["a b"])),
                &[
                    "exchanges.docs.actor.scopes[0]: has a space; write each scope as an entry of its own",
                ],
            ),
        ],
    );
    let actor = Some(json!({ "from": "jwt_svid" }));
    assert_told_of(
        &plain(),
        &[(
            "/exchanges/docs/actor",
            actor,
            &[
                "exchanges.docs.actor.from: needs `workload_identity.jwt_svid_header`, in which workloads send it",
            ],
        )],
    );
    let actor = Some(json!({ "from": "header", "header": "x-agent" }));
    let context = json!({ "instance_header": "x-agent" });
    let document = edited(plain(), "/exchanges/docs/actor", actor);
    let document =
        edited(document, "/issuers/corp/claims", Some(json!({ "instance": ["instance"] })));
    assert_told_of(
        &document,
        &[(
            "/servers/0/context",
            Some(context),
            &[
                "servers[0].context.instance_header: is also the header of agents' tokens: `x-agent`",
            ],
        )],
    );
}

/// Whether the token names the filter as its actor is checked by its client identifier.
#[test]
fn rfc8693_4_1_an_actor_nobody_knows_has_to_be_said() {
    let document = edited(plain(), "/exchanges/docs/client", Some(json!({ "method": "injected" })));
    assert_eq!(load_value(&document).map(drop), Ok(()));
    let actor = Some(json!({ "from": "client_credentials" }));
    let document = edited(document, "/exchanges/docs/actor", actor);
    let told = "exchanges.docs.token.actors: is needed: with the client `injected` nobody here knows whom the token must name as its actor";
    assert_eq!(load_value(&document).map(drop), Err(told.to_owned()));
    for token in [json!({ "actors": ["gateway"] }), json!({ "format": "opaque" })] {
        let document = edited(document.clone(), "/exchanges/docs/token", Some(token));
        assert_eq!(load_value(&document).map(drop), Ok(()));
    }
}

/// A credential for everything is for something that is said, whoever is asked.
#[test]
fn per_server_asks_for_scopes() {
    for name in ["docs", "chain", "own"] {
        let mut document = document();
        document["exchanges"][name]["scopes"] = json!("per_server");
        // Rules that map to other scopes are another problem.
        document["servers"][0]["tools"]["rules"] = json!([]);
        document["exchanges"][name]["server_scopes"] = json!([]);
        let without = edited(document.clone(), &format!("/exchanges/{name}/server_scopes"), None);
        for document in [document, without] {
            let told = format!(
                "exchanges.{name}.server_scopes: is needed: with the `scopes` `per_server`, credentials would be good for all that the authorization server grants"
            );
            assert_eq!(load_value(&document).map(drop), Err(told));
        }
    }
}

/// Microsoft identity platform, "Scopes and permissions".
#[test]
fn entra_takes_scopes_of_one_resource() {
    let scopes = "/exchanges/graph/server_scopes";
    let of_rule = "/servers/1/tools/rules/0/downstream_scopes";
    assert_told_of(
        &document(),
        &[
            (
                scopes,
                Some(json!([])),
                &[
                    "exchanges.graph.server_scopes: is empty: Entra ID gives no token without scopes, such as `api://docs/.default`",
                ],
            ),
            (
                scopes,
                Some(json!(["openid", "offline_access"])),
                &[
                    "exchanges.graph.server_scopes: names no API: has scopes of OpenID Connect only, and none such as `api://docs/.default`",
                ],
            ),
            (
                of_rule,
                Some(json!(["openid"])),
                &[
                    "servers[1].tools.rules[0].downstream_scopes: names no API: has scopes of OpenID Connect only, and none such as `api://docs/.default`",
                ],
            ),
            (
                scopes,
                Some(json!(["api://wiki/.default", "api://wiki/Read"])),
                &[
                    "exchanges.graph.server_scopes: has `.default`, which Entra ID does not take together with other scopes",
                ],
            ),
            (
                scopes,
                Some(json!(["api://wiki/Read", "User.Read"])),
                &[
                    "exchanges.graph.server_scopes: has scopes of \"api://wiki\" and of \"\": one token is for one resource",
                ],
            ),
            (
                of_rule,
                Some(json!(["api://wiki/Read", "api://docs/Read"])),
                &[
                    "servers[1].tools.rules[0].downstream_scopes: has scopes of \"api://wiki\" and of \"api://docs\": one token is for one resource",
                ],
            ),
            (
                of_rule,
                None,
                &[
                    "servers[1].tools.rules[0].downstream_scopes: is needed: scopes of tokens have no resource, and so would be asked for as Microsoft Graph's; or exchanges.graph has the `scopes` `per_server`",
                ],
            ),
        ],
    );
    for good in [
        json!(["api://wiki/Read", "api://wiki/Write", "offline_access"]),
        json!(["https://graph.example.com/.default"]),
        json!(["User.Read", "Mail.Read"]),
    ] {
        assert_eq!(load_value(&edited(document(), scopes, Some(good))).map(drop), Ok(()));
    }
    let document = edited(document(), of_rule, None);
    let document = edited(document, "/exchanges/graph/scopes", Some(json!("per_server")));
    assert_eq!(load_value(&document).map(drop), Ok(()));
}

#[test]
fn what_is_wrong_with_servers_and_rules_is_told() {
    let rule = |member: &str| format!("/servers/0/tools/rules/0/{member}");
    let (exchange, scopes) = (rule("exchange"), rule("downstream_scopes"));
    assert_told_of(
        &document(),
        &[
            (
                "/servers/0/exchange",
                Some(json!("dosc")),
                &["servers[0].exchange: no exchange is named \"dosc\"; did you mean `docs`?"],
            ),
            (
                &exchange,
                Some(json!("github2")),
                &[
                    "servers[0].tools.rules[0].exchange: no exchange is named \"github2\"; did you mean `github`?",
                ],
            ),
            (
                &scopes,
                Some(json!([])),
                &["servers[0].tools.rules[0].downstream_scopes: is empty: at least one is needed"],
            ),
            (
                &scopes,
                Some(json!(["a", "a"])),
                &["servers[0].tools.rules[0].downstream_scopes[1]: is given twice"],
            ),
            (
                "/servers/0/tools/rules/3/downstream_scopes",
                Some(json!(["mail.send", "mail.delete"])),
                &[
                    "servers[0].tools.rules[3].downstream_scopes[1]: exchanges.own asks for its `server_scopes` only, which do not have `mail.delete`",
                ],
            ),
            (
                "/servers/0/tools/rules/4/downstream_scopes",
                Some(json!(["a"])),
                &[
                    "servers[0].tools.rules[4].downstream_scopes: is of no use with `injected`; leave it out",
                ],
            ),
            (
                "/servers/2/tools/rules/0/downstream_scopes",
                Some(json!(["repo"])),
                &[
                    "servers[2].tools.rules[0].downstream_scopes: is of no use with `auth0_token_vault`; leave it out",
                ],
            ),
            (
                "/servers/3/tools/rules/0/scopes",
                Some(json!([])),
                &[
                    "servers[3].tools.rules[0]: maps to no scopes, and exchanges.chain has no `server_scopes`: its credential would be good for all that the authorization server grants; give the rule `downstream_scopes`",
                ],
            ),
            (
                "/servers/3/tools/rules/0/workloads",
                Some(json!([
                    { "agents": ["bot"], "scopes": ["partner"] },
                    { "agents": ["bot"], "permissions": ["Partner.Read"] }
                ])),
                &[
                    "servers[3].tools.rules[0].workloads[1]: maps to no scopes, and exchanges.chain has no `server_scopes`: its credential would be good for all that the authorization server grants; give the rule `downstream_scopes`",
                ],
            ),
            (
                "/servers/0/tools/rules/3/server_wide_exchange",
                Some(json!(true)),
                &[
                    "servers[0].tools.rules[3].server_wide_exchange: is of no use: exchanges.own has one credential for everything; leave it out",
                ],
            ),
            (
                "/servers/1/tools/rules/0",
                Some(
                    json!({ "names": ["*"], "scopes": ["a"], "exchange": "docs", "server_wide_exchange": true }),
                ),
                &[
                    "servers[1].tools.rules[0].server_wide_exchange: is of no use: the server's credential does not come by the rule's exchange; leave it out",
                ],
            ),
        ],
    );
    let rules = |rule: Value| Some(json!({ "rules": [rule] }));
    assert_told_of(
        &minimal(),
        &[
            (
                "/servers/0/tools",
                rules(
                    json!({ "names": ["a"], "scopes": [], "downstream_scopes": ["a"], "server_wide_exchange": true }),
                ),
                &[
                    "servers[0].tools.rules[0].downstream_scopes: is of no use without an `exchange`, of the rule or of its server; leave it out",
                    "servers[0].tools.rules[0].server_wide_exchange: is of no use without an `exchange`, of the rule or of its server; leave it out",
                ],
            ),
            (
                "/servers/0/tools",
                rules(
                    json!({ "names": ["a"], "scopes": [], "exchange": "docs", "downstream_scopes": ["a"] }),
                ),
                &["servers[0].tools.rules[0].exchange: no exchange is named \"docs\""],
            ),
        ],
    );
    let mut many = document();
    for n in 0..27 {
        many["exchanges"][format!("e{n}")] = json!({ "profile": "injected" });
    }
    let told = load_value(&many).map(drop);
    assert_eq!(told, Err("exchanges: has 33 entries; at most 32 are taken".to_owned()));
    // In other policies too.
    let mut document = document();
    document["policies"] = json!({ "next": { "servers": { "https://wiki.example.com/mcp": {
        "tools": { "rules": [{ "names": ["*"], "scopes": ["wiki"] }] }
    } } } });
    document["candidate"] = json!("next");
    let told = load_value(&document).map(drop).unwrap_err();
    assert!(told.starts_with("policies.next.servers[\"https://wiki.example.com/mcp\"].tools.rules[0].downstream_scopes: is needed: "), "{told}");
}

#[test]
fn what_is_hardly_meant_is_warned_of() {
    let grants = json!([{ "agents": ["bot"], "scopes": ["wiki"] }]);
    let for_workloads = |name: &str, server: usize, profile: &str| {
        let told = format!(
            "servers[{server}].tools.rules[0].workloads: exchanges.{name} is for users only (`{profile}`): workloads that call for nobody are refused"
        );
        (format!("/servers/{server}/tools/rules/0/workloads"), grants.clone(), told)
    };
    for (pointer, value, expected) in [
        for_workloads("graph", 1, "entra_on_behalf_of"),
        for_workloads("github", 2, "auth0_token_vault"),
        (
            "/exchanges/spare".to_owned(),
            json!({ "profile": "injected" }),
            "exchanges.spare: no server and no rule names it".to_owned(),
        ),
        (
            "/servers/0/tools/rules/0/server_wide_exchange".to_owned(),
            json!(true),
            "servers[0].tools.rules[0].server_wide_exchange: is of no use with the `host_mode` `hold`, where each operation is known in time".to_owned(),
        ),
        (
            "/servers/3/tools/rules/0/mode".to_owned(),
            json!("shadow"),
            "servers[3].tools.rules[0]: in shadow, callers without its scopes get a credential that is good for all that the authorization server grants; give it `downstream_scopes`, or its exchange `server_scopes`".to_owned(),
        ),
        (
            "/servers/-".to_owned(),
            json!({
                "resource": "https://other.example.com/mcp", "issuers": ["corp"],
                "methods": { "allow": ["tools/list"] },
                "tools": { "rules": [{ "names": ["a"], "scopes": ["docs.read"], "exchange": "docs" }] }
            }),
            "servers[5]: has no `exchange`: unlike what servers[5].tools.rules[0] permits, its methods and sessions go on without a credential".to_owned(),
        ),
    ] {
        assert_eq!(warnings(&edited(document(), &pointer, Some(value))), [expected]);
    }
}

/// The tenant of a token is part of the URL that it goes to.
#[test]
fn tenants_nobody_knows_are_warned_of() {
    let other = json!({
        "issuer": "https://other.example.com", "jwks": { "keys": [p256_key()] },
        "algorithms": ["ES256"]
    });
    let told = |path: &str| {
        format!(
            "{path}.exchange: callers of issuers.other may have no tenant, or one that nobody checked, and the `uri` of exchanges.graph has `{{tid}}`"
        )
    };
    let mut document = edited(document(), "/issuers/other", Some(other));
    document["servers"][0]["issuers"] = json!(["corp", "other"]);
    document["agents"]["bot"]["issuers"] = json!(["corp", "other"]);
    assert_eq!(warnings(&document), [""; 0]);
    let rule = json!({
        "names": ["graph"], "scopes": [], "exchange": "graph", "downstream_scopes": ["api://wiki/Read"]
    });
    let by_rule = edited(document.clone(), "/servers/0/tools/rules/-", Some(rule.clone()));
    assert_eq!(warnings(&by_rule), [told("servers[0].tools.rules[5]")]);
    let of_corp = edited(by_rule, "/servers/0/tools/rules/5/issuers", Some(json!(["corp"])));
    assert_eq!(warnings(&of_corp), [""; 0]);
    document["servers"][1]["issuers"] = json!(["corp", "other"]);
    assert_eq!(warnings(&document), [told("servers[1]")]);
}

#[test]
fn a_subscription_carries_one_credential() {
    let mut document = document();
    document["servers"][0]["resources"] = json!({ "rules": [
        { "uris": ["docs://*"], "scopes": ["docs.read"] },
        { "uris": ["mail://*"], "scopes": [], "exchange": "own" }
    ] });
    assert_eq!(warnings(&document), [""; 0]);
    document["servers"][0]["methods"] = json!({ "allow": ["subscriptions/*"] });
    assert_eq!(
        warnings(&document),
        [
            "servers[0].resources.rules[1].exchange: a subscription carries one credential: one that is also for what has another exchange, or none, is refused"
        ]
    );
}

#[test]
fn a_subscription_lends_nothing_to_what_takes_no_credential() {
    let mut document = document();
    document["servers"] = json!([{
        "resource": "https://other.example.com/mcp", "issuers": ["corp"],
        "methods": { "allow": ["subscriptions/*"] },
        "resources": { "rules": [
            { "uris": ["docs://*"], "scopes": ["docs.read"], "exchange": "docs" },
            { "uris": ["open://*"], "scopes": ["docs.read"] }
        ] }
    }]);
    let told = "servers[0].resources.rules[1]: a subscription carries one credential: one that is also for what has another exchange, or none, is refused";
    let warnings = warnings(&document);
    assert!(warnings.iter().any(|warning| warning == told), "{warnings:?}");
}

/// In `stream`, what an older client asks for is not known when its credential is chosen.
#[test]
fn rules_that_shut_older_clients_out_are_told_of_in_stream() {
    let shut_out = "servers[0]: in the `host_mode` `stream`, clients older than 2026-07-28 are refused what takes a credential of its own, such as by servers[0].tools.rules[0]; take `hold`, the `scopes` `per_server`, or `server_wide_exchange`";
    let rules = |rule: Value| {
        let document =
            edited(plain(), "/servers/0/methods/allow", Some(json!(["initialize", "ping"])));
        edited(document, "/servers/0/tools", Some(json!({ "rules": [rule] })))
    };
    for (document, expected) in [
        (rules(json!({ "names": ["a"], "scopes": ["docs.read"] })), &[shut_out][..]),
        (
            rules(json!({ "names": ["a"], "scopes": [], "downstream_scopes": ["docs.read"] })),
            &[shut_out],
        ),
        (
            edited(
                rules(json!({ "names": ["a"], "scopes": ["docs.read"] })),
                "/servers/0/methods/allow",
                Some(json!(["server/discover"])),
            ),
            &[],
        ),
        (rules(json!({ "names": ["a"], "scopes": [] })), &[]),
        (
            rules(
                json!({ "names": ["a"], "scopes": ["x"], "downstream_scopes": ["docs.connect"] }),
            ),
            &[],
        ),
        (
            rules(
                json!({ "names": ["a"], "scopes": ["docs.connect"], "server_wide_exchange": true }),
            ),
            &[],
        ),
        (
            rules(json!({ "names": ["a"], "scopes": ["docs.read"], "server_wide_exchange": true })),
            &[
                "servers[0].tools.rules[0].server_wide_exchange: the `server_scopes` of exchanges.docs do not have `docs.read`: a credential with them does not do",
            ],
        ),
        (
            edited(
                rules(json!({ "names": ["a"], "scopes": ["docs.read"] })),
                "/host_mode",
                Some(json!("hold")),
            ),
            &[],
        ),
        (
            edited(
                rules(json!({ "names": ["a"], "scopes": ["docs.read"] })),
                "/exchanges/docs/scopes",
                Some(json!("per_server")),
            ),
            &[],
        ),
    ] {
        assert_eq!(warnings(&document), expected, "{document}");
    }
}

/// Secrets reach neither what is told nor what is written for debugging.
#[test]
fn secrets_of_clients_are_never_shown() {
    let loaded = load_value(&document()).unwrap();
    let shown = format!("{:?}", loaded.enforcement.exchanges);
    assert!(shown.contains("gateway") && !shown.contains("corp-secret"), "{shown}");
    let document = edited(document(), "/exchanges/docs/client/key/env", Some(json!("CORP_SECRET")));
    let told = load_value(&document).map(drop).unwrap_err();
    assert!(!told.contains("corp-secret"), "{told}");
}
