//! The authorization servers whose tokens are accepted, as configured.

use std::time::Duration;

use super::algorithm::Algorithm;
use super::claim_path::ClaimPath;
use super::introspection::Introspection;
use super::keys::KeySet;
use super::source::{RevocationSource, Schedule, Source};

/// Names an issuer: its place in the list given to `Authenticator::new`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IssuerId(pub usize);

/// An authorization server and what its tokens must be like.
#[derive(Debug)]
pub struct Issuer {
    /// The operator's name for it, for logs.
    pub name: String,
    /// Its issuer identifier.
    pub identifier: Identifier,
    /// The algorithms its keys may have, most wanted first.
    pub algorithms: Vec<Algorithm>,
    /// What the `typ` of its access tokens may be.
    pub token_types: Vec<TokenType>,
    /// How far its clock may be from ours, for `exp`, `nbf` and `iat`.
    pub clock_skew: Duration,
    /// How long after `iat` a token is taken, whatever its `exp`; `None` for as long as `exp` says.
    pub max_age: Option<Duration>,
    /// The longest from `iat` to `exp`; a token made for longer is refused from the start.
    pub max_lifetime: Option<Duration>,
    /// Where its tokens have what we read.
    pub claims: ClaimNames,
    /// Where its keys are; `None` when it issues opaque tokens only.
    pub keys: Option<KeySource>,
    /// How its tokens are introspected (RFC 7662), if they are.
    pub introspection: Option<Introspection>,
    /// Where it says which of its tokens are revoked.
    pub revocations: Option<RevocationSource>,
}

/// An issuer identifier: what a token's `iss` must be (RFC 9068 section 4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identifier {
    /// Byte for byte this.
    Exact(String),
    /// One issuer for each tenant: `prefix`, the tenant of the claim [`ClaimNames::tenant`],
    /// `suffix` (Microsoft Entra ID, `https://login.microsoftonline.com/{tid}/v2.0`).
    PerTenant {
        /// Before the tenant.
        prefix: String,
        /// After the tenant.
        suffix: String,
        /// The tenants whose tokens are accepted, at least one.
        tenants: Vec<String>,
    },
}

/// What the `typ` header of an access token may be (RFC 9068 section 2.1, RFC 8725 section 3.11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenType {
    /// A media type, compared without regard to case, `application/` implied where there is
    /// no slash (RFC 7515 section 4.1.9).
    Media(String),
    /// No `typ` at all. Some providers send none.
    Absent,
}

/// Where a token has what we read. Single values come from the first path that leads to one,
/// lists are what all the paths lead to, together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimNames {
    /// In whose name the call is made. Default `sub`.
    pub subject: Vec<ClaimPath>,
    /// The OAuth client. Default `client_id`, then `azp`, then `appid`.
    pub client: Vec<ClaimPath>,
    /// What was granted, space-separated or an array. Default `scope` and `scp`.
    pub scopes: Vec<ClaimPath>,
    /// Roles of the subject, an array or one string. Default `roles`.
    pub roles: Vec<ClaimPath>,
    /// The tenant. Default `tid`.
    pub tenant: Vec<ClaimPath>,
    /// Groups of the subject, an array or one string. Default `groups`.
    pub groups: Vec<ClaimPath>,
    /// The agent, where the issuer has a claim of its own for it.
    pub agent: Vec<ClaimPath>,
    /// Which of the agent's running instances.
    pub agent_instance: Vec<ClaimPath>,
    /// Which version of the agent.
    pub agent_version: Vec<ClaimPath>,
    /// Servers that the subject consented to, an array or one string. Without a path, the
    /// issuer does not say.
    pub consented_servers: Vec<ClaimPath>,
    /// Agents that the subject consented to, likewise.
    pub consented_agents: Vec<ClaimPath>,
    /// The MCP session that the token is for.
    pub session: Vec<ClaimPath>,
    /// The task that the token is for.
    pub task: Vec<ClaimPath>,
    /// The instance of the agent that the token is for.
    pub instance: Vec<ClaimPath>,
    /// What only tokens for workloads have, besides what is known of providers.
    pub workload: Option<WorkloadMark>,
}

/// A claim that tells tokens for workloads from those for users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadMark {
    /// The claim, an array or one string.
    pub claim: ClaimPath,
    /// Its values in tokens for workloads, any of them.
    pub values: Vec<ValuePattern>,
}

/// A value of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValuePattern {
    /// This one.
    Exact(String),
    /// All that begin so.
    Prefix(String),
}

/// Where an issuer's keys come from.
#[derive(Debug)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    expect(clippy::large_enum_variant, reason = "there are a few of them, for a moment")
)]
pub enum KeySource {
    /// From the configuration.
    Inline(KeySet),
    /// Fetched, and fetched again.
    Remote {
        /// What is asked for them.
        source: Source,
        /// How often.
        schedule: Schedule,
    },
}

impl Identifier {
    /// The tenant that an issuer identifier names, if it is one of those accepted.
    pub(super) fn tenant_of<'i>(&self, iss: &'i str) -> Option<&'i str> {
        let Identifier::PerTenant { prefix, suffix, tenants } = self else { return None };
        let tenant = iss.strip_prefix(prefix.as_str())?.strip_suffix(suffix.as_str())?;
        // A slash would make it several path segments, another place than a tenant's.
        let accepted = !tenant.contains('/') && tenants.iter().any(|other| other == tenant);
        accepted.then_some(tenant)
    }
}

impl Default for ClaimNames {
    fn default() -> Self {
        let names =
            |names: &[&str]| names.iter().map(|name| ClaimPath::name((*name).to_owned())).collect();
        ClaimNames {
            subject: names(&["sub"]),
            client: names(&["client_id", "azp", "appid"]),
            scopes: names(&["scope", "scp"]),
            roles: names(&["roles"]),
            tenant: names(&["tid"]),
            groups: names(&["groups"]),
            agent: Vec::new(),
            agent_instance: Vec::new(),
            agent_version: Vec::new(),
            consented_servers: Vec::new(),
            consented_agents: Vec::new(),
            session: Vec::new(),
            task: Vec::new(),
            instance: Vec::new(),
            workload: None,
        }
    }
}
