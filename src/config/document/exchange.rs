//! `exchanges`: what goes to MCP servers in place of the caller's token.

use schemars::JsonSchema;
use serde::Deserialize;

use super::issuer::Client;
use super::values::Span;
use crate::exchange::{BoundTokens, TokenType};
use crate::policy::DownstreamScopes;

/// A way to the credential that goes to MCP servers in place of the caller's token.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend(
    "if" = { "properties": { "profile": { "const": "identity_chaining" } } },
    "then" = { "properties": { "requested_token_type": { "enum": ["id_jag", "jwt"] } } },
    "else" = { "properties": { "requested_token_type": { "enum": ["access_token", "jwt"] } } }
))]
pub(crate) struct Exchange {
    /// How the credential is had, which says what else is needed.
    pub(crate) profile: ExchangeProfile,
    /// URL of the token endpoint; for all profiles but `injected`. With `entra_on_behalf_of`, a
    /// segment `{tid}` of its path stands for the tenant of the caller's token.
    pub(crate) uri: Option<String>,
    /// The Envoy cluster of the endpoint. Tokens go there, and whoever answers says what goes to
    /// the MCP server: the cluster must verify the host's certificate and name.
    pub(crate) cluster: Option<String>,
    /// How long it may take to answer, from 10ms to 10s; default 5s.
    pub(crate) timeout: Option<Span>,
    /// How the filter authenticates there; for all profiles but `injected`.
    pub(crate) client: Option<Client>,
    /// `resource` of the request (RFC 8707): absolute URIs of the MCP server, as its own
    /// authorization server knows it. For `token_exchange`, `identity_chaining` and
    /// `client_credentials`.
    #[schemars(length(min = 1, max = 16), extend("uniqueItems" = true))]
    pub(crate) resource: Option<Vec<String>>,
    /// `audience` of the request (RFC 8693 section 2.1). For `token_exchange`,
    /// `client_credentials` and `identity_chaining`, which needs it: there it is the one issuer
    /// identifier of the second authorization server.
    #[schemars(length(min = 1, max = 16), extend("uniqueItems" = true))]
    pub(crate) audience: Option<Vec<String>>,
    /// Which scopes are asked for: those of the operation's rule (`per_operation`, the default),
    /// or always `server_scopes` (`per_server`). Not with `auth0_token_vault` and `injected`.
    pub(crate) scopes: Option<DownstreamScopes>,
    /// Scopes for methods without a protected object, for sessions, and for operations whose rule
    /// comes to none; with `per_server` for everything. `[]`, the default, asks for none, which
    /// leaves them to the authorization server; `per_server` and `entra_on_behalf_of` need some.
    /// Not with `auth0_token_vault` and `injected`.
    #[schemars(extend("uniqueItems" = true))]
    pub(crate) server_scopes: Option<Vec<String>>,
    /// `subject_token_type` (RFC 8693 section 2.1); default `access_token`. For `token_exchange`
    /// and `identity_chaining`.
    pub(crate) subject_token_type: Option<SentTokenType>,
    /// `requested_token_type` (RFC 8693 section 2.1). For `token_exchange`: `access_token` or
    /// `jwt`; default none, which takes both. For `identity_chaining`, which needs it: `id_jag`
    /// or `jwt`, as the authorization server has it.
    pub(crate) requested_token_type: Option<TokenType>,
    /// Whose token is the `actor_token`, for `token_exchange`. Default: none is sent, and the
    /// authorization server takes the filter, as its client, for the actor.
    pub(crate) actor: Option<ExchangeActor>,
    /// The token that goes on: what is asked of it. Not with `auth0_token_vault` and `injected`.
    pub(crate) token: Option<ExchangedToken>,
    /// Auth0's name of the connection, such as `github`; for `auth0_token_vault`.
    pub(crate) connection: Option<String>,
    /// Where users link an account of the connection: who has none is told it. For
    /// `auth0_token_vault`.
    pub(crate) link_uri: Option<String>,
    /// The second authorization server, for `identity_chaining`.
    pub(crate) then: Option<SecondServer>,
}

/// How the credential for an MCP server is had.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ExchangeProfile {
    /// Token exchange (RFC 8693).
    TokenExchange,
    /// Microsoft Entra ID, on-behalf-of flow.
    EntraOnBehalfOf,
    /// Auth0 Token Vault: the token of a third party, of an account the user has linked.
    Auth0TokenVault,
    /// The caller's authorization server asserts who the user is, and another one takes its word
    /// (draft-ietf-oauth-identity-chaining, draft-ietf-oauth-identity-assertion-authz-grant).
    IdentityChaining,
    /// The filter's own token, whoever calls (RFC 6749 section 4.4).
    ClientCredentials,
    /// None: the caller's token is kept out, and the cluster adds a credential of its own.
    Injected,
}

/// Types of tokens that authorization servers are sent (RFC 8693 section 3).
#[derive(Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SentTokenType {
    /// `urn:ietf:params:oauth:token-type:access_token`
    #[default]
    AccessToken,
    /// `urn:ietf:params:oauth:token-type:jwt`
    Jwt,
}

impl From<SentTokenType> for TokenType {
    fn from(sent: SentTokenType) -> Self {
        match sent {
            SentTokenType::AccessToken => TokenType::AccessToken,
            SentTokenType::Jwt => TokenType::Jwt,
        }
    }
}

/// Whose token is the `actor_token`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExchangeActor {
    /// Where it comes from.
    pub(crate) from: ActorSource,
    /// The header in which agents send it, in lowercase; for `header`. MCP servers do not see it.
    pub(crate) header: Option<String>,
    /// `actor_token_type`, for `header`; default `access_token`.
    pub(crate) token_type: Option<SentTokenType>,
    /// `resource` of the filter's own token; for `client_credentials`.
    #[schemars(length(min = 1, max = 16), extend("uniqueItems" = true))]
    pub(crate) resource: Option<Vec<String>>,
    /// `audience` of the filter's own token; for `client_credentials`.
    #[schemars(length(min = 1, max = 16), extend("uniqueItems" = true))]
    pub(crate) audience: Option<Vec<String>>,
    /// Scopes of the filter's own token; for `client_credentials`.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub(crate) scopes: Option<Vec<String>>,
}

/// Where the actor's token comes from.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ActorSource {
    /// The filter's own, by client credentials at the same endpoint.
    ClientCredentials,
    /// The JWT-SVID by which the caller's workload proved itself
    /// (`workload_identity.jwt_svid_header`).
    JwtSvid,
    /// A header of the request: the agent's own token.
    Header,
}

/// What is asked of the token that goes to the MCP server.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExchangedToken {
    /// `jwt`, the default: its audience, scopes, actor and times are checked. `opaque`: it is
    /// sent as it is.
    #[serde(default)]
    pub(crate) format: TokenFormat,
    /// Audiences of which it must have one; for `jwt`. Default: the `resource` and `audience`
    /// that were asked for; with `identity_chaining` both `resource`. Where there are none, such
    /// as with `entra_on_behalf_of`, it is needed.
    #[schemars(length(min = 1, max = 16), extend("uniqueItems" = true))]
    pub(crate) audiences: Option<Vec<String>>,
    /// `sub` or client identifier that its current actor (`act`) must have, any of them; for
    /// `jwt` of `token_exchange` and `identity_chaining`. Default: what the `actor` was, where it
    /// is sent.
    #[schemars(length(min = 1, max = 16), extend("uniqueItems" = true))]
    pub(crate) actors: Option<Vec<String>>,
    /// What becomes of one that is bound to a key or certificate. `refuse`, the default: the
    /// filter has none to prove. `forward`: what reaches the MCP server proves it.
    #[serde(default)]
    pub(crate) bound: BoundTokens,
}

/// The form of a token.
#[derive(Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TokenFormat {
    /// A JWT.
    #[default]
    Jwt,
    /// Any text.
    Opaque,
}

/// The authorization server that takes the assertion of the first one (RFC 7523 section 2.1).
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecondServer {
    /// URL of its token endpoint.
    pub(crate) uri: String,
    /// The Envoy cluster of the endpoint.
    pub(crate) cluster: String,
    /// How long it may take to answer, from 10ms to 10s; default 5s.
    pub(crate) timeout: Option<Span>,
    /// How the filter authenticates there. Client assertions are for the `audience` of the
    /// exchange, if not otherwise said.
    pub(crate) client: Client,
    /// `resource` of the request, where it wants one.
    #[schemars(length(min = 1, max = 16), extend("uniqueItems" = true))]
    pub(crate) resource: Option<Vec<String>>,
}
