//! `issuers`: whose tokens are accepted, and how more is learned about them.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::{ClaimName, FromEnvironment, Span};
use crate::gate::StepUpChallenge;
use crate::token::{Algorithm, IntrospectedTokens};

/// An authorization server whose access tokens are accepted.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Issuer {
    /// Its issuer identifier, an https URL. A token's `iss` must equal it byte for byte,
    /// a final slash included. With a segment `{tid}`, it is one issuer for each of
    /// `tenants`, as Microsoft Entra ID has it.
    pub(crate) issuer: String,
    /// What `{tid}` in `issuer` may stand for. Only these tenants' tokens are accepted.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub(crate) tenants: Option<Vec<String>>,
    /// Its public keys: fetched from a URL (`uri`), found by its metadata (`discovery`) or
    /// written here (`keys`). Left out where `introspection` is for `opaque` tokens and it
    /// issues no others.
    pub(crate) jwks: Option<Jwks>,
    /// The signature algorithms it uses, and no others. Where a key does not say its
    /// own, an RSA key has the first RSA algorithm of this list. Needed with `jwks`.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub(crate) algorithms: Option<Vec<Algorithm>>,
    /// Accepted values of a token's `typ` header; `absent` stands for none at all. `at+jwt`
    /// (RFC 9068), the default, keeps ID tokens and other JWTs of the issuer from passing
    /// as access tokens.
    #[serde(default = "default_token_types")]
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub(crate) token_types: Vec<String>,
    /// How far its clock may be from ours, at most 5m; default 30s.
    #[serde(default = "default_clock_skew")]
    pub(crate) clock_skew: Span,
    /// How long after `iat` a token is taken, from 10s to 30days, whatever its `exp` says.
    pub(crate) max_token_age: Option<Span>,
    /// The longest from `iat` to `exp`, from 10s to 30days. Tokens made for longer are refused.
    pub(crate) max_token_lifetime: Option<Span>,
    /// Where its tokens have what is read, if not in the claims of RFC 9068.
    #[serde(default)]
    pub(crate) claims: Claims,
    /// How it is asked about tokens (RFC 7662).
    pub(crate) introspection: Option<Introspection>,
    /// Where it lists tokens that are no longer good.
    pub(crate) revocation: Option<Revocation>,
    /// Roles and groups of its users that amount to scopes.
    #[serde(default)]
    pub(crate) scope_grants: Vec<ScopeGrant>,
    /// What tells its tokens for workloads, which nobody stands behind but the client, from
    /// those for users, besides what is known: a `sub` that is the client, and the marks of
    /// Microsoft Entra ID, Keycloak and Auth0.
    pub(crate) workloads: Option<WorkloadMark>,
    /// How clients are asked for better authentication of their users.
    #[serde(default)]
    pub(crate) step_up: StepUpChallenge,
}

/// Roles and groups that amount to scopes: a user with any of them has all the scopes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScopeGrant {
    /// Roles.
    #[serde(default)]
    pub(crate) roles: Vec<String>,
    /// Groups.
    #[serde(default)]
    pub(crate) groups: Vec<String>,
    /// The scopes.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub(crate) scopes: Vec<String>,
}

/// A claim that only tokens for workloads have, and that no user can set.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkloadMark {
    /// The claim.
    pub(crate) claim: ClaimName,
    /// Its values, any of them; a value that ends in `*` stands for all that begin so.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub(crate) values: Vec<String>,
}

/// Where an issuer's keys come from: `uri`, `discovery` or `keys`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    { "required": ["uri", "cluster"] },
    { "required": ["discovery", "cluster"] },
    { "required": ["keys"] }
]))]
pub(crate) struct Jwks {
    /// URL of the JWK Set, the `jwks_uri` of the issuer's metadata.
    pub(crate) uri: Option<String>,
    /// Finds the JWK Set by the issuer's metadata, whose URL follows from `issuer`.
    pub(crate) discovery: Option<Discovery>,
    /// URL of the metadata, where it does not follow from `issuer`: with `{tid}` it is that
    /// of all tenants together.
    pub(crate) metadata_uri: Option<String>,
    /// The Envoy cluster through which keys or metadata are fetched. Whoever answers there
    /// decides which tokens are good: the cluster must verify the host's certificate and name.
    pub(crate) cluster: Option<String>,
    /// The Envoy cluster for the keys, where the metadata has them at another host. Without
    /// it, another host is refused.
    pub(crate) keys_cluster: Option<String>,
    /// How long one fetch may take, from 10ms to 10s; default 5s.
    pub(crate) timeout: Option<Span>,
    /// How often the keys are fetched again, from 30s to 24h; default 5m. A token with an
    /// unknown key makes the filter look earlier, and so does `Cache-Control`.
    pub(crate) refresh: Option<Span>,
    /// How long after that they are still used while fetching fails, at most 7days; default 24h.
    pub(crate) stale_for: Option<Span>,
    /// The public keys themselves (JWK, RFC 7517). Private and symmetric ones are not usable.
    pub(crate) keys: Option<InlineKeys>,
}

/// Which metadata an issuer has.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Discovery {
    /// OpenID Connect Discovery 1.0 section 4: `/.well-known/openid-configuration` after `issuer`.
    Openid,
    /// RFC 8414 section 3.1: `/.well-known/oauth-authorization-server` after its host.
    Oauth,
}

/// Keys in the document. Any JSON to serde, so that no error repeats what was written
/// here: somebody may paste a private key.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct InlineKeys(
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>", length(min = 1))]
    pub(crate) serde_json::Value,
);

/// Where a token has what is read. Of several places, a single value is taken from the
/// first that has one; scopes, roles, groups and what was consented to are collected from all.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Claims {
    /// In whose name the call is made. Default: `sub`.
    #[schemars(length(min = 1))]
    pub(crate) subject: Option<Vec<ClaimName>>,
    /// The OAuth client. Default: `client_id`, `azp`, `appid`.
    #[schemars(length(min = 1))]
    pub(crate) client: Option<Vec<ClaimName>>,
    /// What was granted. Default: `scope`, `scp`.
    #[schemars(length(min = 1))]
    pub(crate) scopes: Option<Vec<ClaimName>>,
    /// Roles of the subject. Default: `roles`.
    #[schemars(length(min = 1))]
    pub(crate) roles: Option<Vec<ClaimName>>,
    /// The tenant. Default: `tid`.
    #[schemars(length(min = 1))]
    pub(crate) tenant: Option<Vec<ClaimName>>,
    /// Groups of the subject. Default: `groups`.
    #[schemars(length(min = 1))]
    pub(crate) groups: Option<Vec<ClaimName>>,
    /// The agent, where neither `act` nor the client names it.
    #[schemars(length(min = 1))]
    pub(crate) agent: Option<Vec<ClaimName>>,
    /// The running instance of the agent.
    #[schemars(length(min = 1))]
    pub(crate) agent_instance: Option<Vec<ClaimName>>,
    /// The version of the agent.
    #[schemars(length(min = 1))]
    pub(crate) agent_version: Option<Vec<ClaimName>>,
    /// Resource identifiers of the servers that the user consented to. Where it is given, a
    /// token for a user must list the server.
    #[schemars(length(min = 1))]
    pub(crate) consented_servers: Option<Vec<ClaimName>>,
    /// Agents that the user consented to, by client identifier, `sub` of `act` or the
    /// value of `agent`. Where it is given, a token for a user must list the agent.
    #[schemars(length(min = 1))]
    pub(crate) consented_agents: Option<Vec<ClaimName>>,
    /// The MCP session that the token is for.
    #[schemars(length(min = 1))]
    pub(crate) session: Option<Vec<ClaimName>>,
    /// The task that the token is for.
    #[schemars(length(min = 1))]
    pub(crate) task: Option<Vec<ClaimName>>,
    /// The instance of the agent that the token is for.
    #[schemars(length(min = 1))]
    pub(crate) instance: Option<Vec<ClaimName>>,
}

/// How an issuer is asked about tokens (RFC 7662).
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Introspection {
    /// URL of its introspection endpoint.
    pub(crate) uri: String,
    /// The Envoy cluster of the endpoint. Tokens go there, and whoever answers decides which
    /// are good: the cluster must verify the host's certificate and name.
    pub(crate) cluster: String,
    /// How long it may take to answer, from 10ms to 10s; default 5s.
    pub(crate) timeout: Option<Span>,
    /// Which tokens are asked about: those of calls whose rule says `introspect` (`by_rule`,
    /// the default), those that are no JWTs besides (`opaque`), or every one (`all`).
    #[serde(default)]
    pub(crate) tokens: IntrospectedTokens,
    /// How the filter authenticates there.
    pub(crate) client: Client,
    /// Asks for signed answers (RFC 9701), takes no others, and says which audience they
    /// must have: what the issuer knows this resource server as. Needs `jwks`.
    pub(crate) signed_for: Option<String>,
    /// How long an answer for a good token is used, at most 5m; default 30s. So long a token
    /// that was revoked may still be taken.
    pub(crate) cache: Option<Span>,
    /// How long an answer for another token is used, at most 1m; default 5s.
    pub(crate) negative_cache: Option<Span>,
}

/// How the filter authenticates at an endpoint of an authorization server.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Client {
    /// The method, which says what else is needed.
    pub(crate) method: ClientMethod,
    /// The client identifier; for all methods but `injected`.
    pub(crate) client_id: Option<String>,
    /// The client secret; for `client_secret_basic` and `client_secret_post`.
    pub(crate) client_secret: Option<FromEnvironment>,
    /// The private key, PKCS #8 in PEM (`-----BEGIN PRIVATE KEY-----`); for `private_key_jwt`.
    pub(crate) key: Option<FromEnvironment>,
    /// What the key signs with, ES256, ES384, ES512, RS256, RS384 or RS512; for `private_key_jwt`.
    pub(crate) algorithm: Option<Algorithm>,
    /// `kid` of the key, where the authorization server wants one; for `private_key_jwt`.
    pub(crate) key_id: Option<String>,
    /// SHA-256 of the certificate of the key, as `openssl x509 -noout -fingerprint -sha256` prints
    /// it, where the authorization server knows the key by that (Microsoft Entra ID): `x5t#S256`
    /// of the assertion; for `private_key_jwt`.
    pub(crate) certificate_sha256: Option<String>,
    /// `aud` of the assertion, for `private_key_jwt`: what the authorization server knows itself
    /// as, mostly its issuer identifier. Default for `introspection`: `issuer`; for `then`: the
    /// `audience` of the exchange. In `client` of an exchange it is needed; where `uri` there
    /// has `{tid}`, it may have it too.
    pub(crate) audience: Option<String>,
}

/// Methods of client authentication, as the OAuth registry names them, and `injected`.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClientMethod {
    /// Secret in the `Authorization` header (RFC 6749 section 2.3.1).
    ClientSecretBasic,
    /// Secret in the body (RFC 6749 section 2.3.1).
    ClientSecretPost,
    /// Assertion signed with a private key (RFC 7523 section 2.2).
    PrivateKeyJwt,
    /// Certificate of the cluster's TLS connection (RFC 8705 section 2).
    TlsClientAuth,
    /// Whatever Envoy adds to the cluster's requests: its credential injector.
    Injected,
}

/// Where an issuer lists tokens that are no longer good.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Revocation {
    /// URL of the list.
    pub(crate) uri: String,
    /// The Envoy cluster through which it is fetched. Whoever answers there can make revoked
    /// tokens good again: the cluster must verify the host's certificate and name.
    pub(crate) cluster: String,
    /// How long one fetch may take, from 10ms to 10s; default 5s.
    pub(crate) timeout: Option<Span>,
    /// How often it is fetched again, from 10s to 24h; default 1m.
    pub(crate) refresh: Option<Span>,
    /// How long after that it is still used while fetching fails, at most 7days; default 1h.
    /// Then the issuer's tokens are refused until it can be had.
    pub(crate) stale_for: Option<Span>,
}

/// RFC 9068 section 2.1.
fn default_token_types() -> Vec<String> {
    vec!["at+jwt".to_owned()]
}

/// Hosts with NTP differ by far less; a container that was just resumed may not.
fn default_clock_skew() -> Span {
    Span(Duration::from_secs(30))
}
