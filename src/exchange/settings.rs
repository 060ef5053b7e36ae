//! What the configuration says of exchanges.

use std::rc::Rc;

use crate::host::Callout;
use crate::token::ClientAuthentication;

/// One way to a credential, under a name.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The operator's name for it.
    pub name: Rc<str>,
    /// How the credential is had.
    pub profile: Profile,
}

/// How a credential is had.
#[derive(Debug, Clone)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    expect(clippy::large_enum_variant, reason = "there are a few of them, made once")
)]
pub enum Profile {
    /// Token exchange (RFC 8693).
    TokenExchange(TokenExchange),
    /// Microsoft Entra ID, "On-Behalf-Of flow".
    OnBehalfOf(OnBehalfOf),
    /// Auth0, "Token Vault": the token of a third party, of an account the user has linked.
    TokenVault(TokenVault),
    /// Identity chaining (draft-ietf-oauth-identity-chaining) and identity assertions
    /// (draft-ietf-oauth-identity-assertion-authz-grant): the first authorization server asserts
    /// who the user is, the second one issues the token.
    IdentityChaining(IdentityChaining),
    /// Our own token (RFC 6749 section 4.4), whoever calls.
    ClientCredentials(ClientCredentials),
    /// Nothing is asked for and nothing is added: what reaches the MCP server adds its own.
    Injected,
}

/// A token endpoint, and how we authenticate there.
#[derive(Debug, Clone)]
pub struct TokenEndpoint {
    /// The request, without credentials and body. With [`OnBehalfOf`], `{tid}` in its path stands
    /// for the tenant of the caller's token, and so it does in the audience of our assertion.
    pub request: Callout,
    /// How we authenticate.
    pub client: ClientAuthentication,
}

/// For whom a token is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// `resource` (RFC 8707 section 2).
    pub resources: Vec<String>,
    /// `audience` (RFC 8693 section 2.1).
    pub audiences: Vec<String>,
}

/// RFC 8693.
#[derive(Debug, Clone)]
pub struct TokenExchange {
    /// Where.
    pub endpoint: TokenEndpoint,
    /// For whom.
    pub target: Target,
    /// `subject_token_type`
    pub subject_token_type: TokenType,
    /// `requested_token_type`, where the request has it.
    pub requested_token_type: Option<TokenType>,
    /// Whose `actor_token` is sent, if any.
    pub actor: Option<ActorToken>,
    /// What is asked of the answer.
    pub expected: Expected,
}

/// Microsoft Entra ID.
#[derive(Debug, Clone)]
pub struct OnBehalfOf {
    /// Where.
    pub endpoint: TokenEndpoint,
    /// What is asked of the answer.
    pub expected: Expected,
}

/// Auth0.
#[derive(Debug, Clone)]
pub struct TokenVault {
    /// Where.
    pub endpoint: TokenEndpoint,
    /// `connection`: whose account, such as `github`.
    pub connection: Rc<str>,
    /// Where a user links an account: told to users who have not.
    pub link_uri: Option<Rc<str>>,
}

/// Two authorization servers.
#[derive(Debug, Clone)]
pub struct IdentityChaining {
    /// The one that issued the caller's token, which asserts who the user is.
    pub first: TokenEndpoint,
    /// For whom the assertion is: `audience` is the issuer identifier of the second one,
    /// `resource` the MCP server's where the first one wants it.
    pub target: Target,
    /// `requested_token_type` of the assertion: [`TokenType::IdJag`] or [`TokenType::Jwt`].
    pub assertion: TokenType,
    /// `subject_token_type`
    pub subject_token_type: TokenType,
    /// The one that issues the token (RFC 7523 section 2.1).
    pub second: TokenEndpoint,
    /// For whom the second one is asked, where it wants that.
    pub second_target: Target,
    /// What is asked of its answer.
    pub expected: Expected,
}

/// RFC 6749 section 4.4.
#[derive(Debug, Clone)]
pub struct ClientCredentials {
    /// Where.
    pub endpoint: TokenEndpoint,
    /// For whom.
    pub target: Target,
    /// What is asked of the answer.
    pub expected: Expected,
}

/// Whose token is the `actor_token` (RFC 8693 section 2.1).
#[derive(Debug, Clone)]
pub enum ActorToken {
    /// Our own, by client credentials at the same endpoint.
    Own {
        /// For whom it is asked.
        target: Target,
        /// Scopes to ask for; none leaves them out.
        scopes: Vec<String>,
    },
    /// The JWT-SVID by which the caller's workload proved itself.
    JwtSvid,
    /// The agent's own token, which it sends beside the user's.
    Agent {
        /// `actor_token_type`
        token_type: TokenType,
    },
}

/// Types of tokens (RFC 8693 section 3).
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum TokenType {
    /// `urn:ietf:params:oauth:token-type:access_token`
    #[default]
    AccessToken,
    /// `urn:ietf:params:oauth:token-type:jwt`
    Jwt,
    /// `urn:ietf:params:oauth:token-type:id-jag`: an identity assertion for another
    /// authorization server.
    IdJag,
}

impl TokenType {
    /// The URI.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            TokenType::AccessToken => "urn:ietf:params:oauth:token-type:access_token",
            TokenType::Jwt => "urn:ietf:params:oauth:token-type:jwt",
            TokenType::IdJag => "urn:ietf:params:oauth:token-type:id-jag",
        }
    }
}

/// What is asked of a token before it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Its form.
    pub format: Format,
    /// What becomes of one that is bound to a key.
    pub bound: BoundTokens,
}

/// The form of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// A JWT, whose claims are read. Its signature is not: it comes from the authorization server
    /// itself (OpenID Connect Core 1.0 section 3.1.3.7, item 6), and the MCP server verifies it.
    Jwt {
        /// `aud` must have one of these.
        audiences: Vec<String>,
        /// `sub` or `client_id` that the current actor (`act`) must have, any of them. `None`
        /// where it follows from the exchange: see [`TokenExchange::actor`].
        actors: Option<Vec<String>>,
    },
    /// Any text.
    Opaque,
}

/// What becomes of tokens that are bound to a key or a certificate.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum BoundTokens {
    /// They are refused: the filter has no key to prove.
    #[default]
    Refuse,
    /// They go on: what reaches the MCP server proves the key or the certificate.
    Forward,
}
