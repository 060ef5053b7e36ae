//! The document as the operator writes it. The types are its JSON Schema, their
//! comments the schema's descriptions. What a type cannot say, `compile` checks.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

use crate::gate::HostMode;
use crate::token::Algorithm;

/// Configuration of the Countersign filter.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Countersign")]
pub(super) struct Document {
    /// What the host lets the filter do. `hold` needs Envoy 1.35 or later with
    /// `allow_on_headers_stop_iteration: true`; `stream`, the default, works everywhere.
    #[serde(default)]
    pub(super) host_mode: HostMode,
    /// The authorization servers, each under a name that `servers` refers to:
    /// letters, digits, `-` and `_`.
    #[schemars(extend("minProperties" = 1))]
    pub(super) issuers: BTreeMap<String, Issuer>,
    /// The MCP servers behind this filter. Requests for anything else are denied.
    #[schemars(length(min = 1))]
    pub(super) servers: Vec<Server>,
    /// What is told about decisions, and to whom.
    #[serde(default)]
    pub(super) audit: Audit,
}

/// An authorization server whose access tokens are accepted.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Issuer {
    /// Its issuer identifier, an https URL. A token's `iss` must equal it byte for byte,
    /// a final slash included.
    pub(super) issuer: String,
    /// Its public keys: fetched (`uri` and `cluster`) or written here (`keys`).
    pub(super) jwks: Jwks,
    /// The signature algorithms it uses, and no others. Where a key does not say its
    /// own, an RSA key has the first RSA algorithm of this list.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub(super) algorithms: Vec<Algorithm>,
    /// Accepted values of a token's `typ` header. `at+jwt` (RFC 9068) keeps ID tokens and
    /// other JWTs of the issuer from passing as access tokens.
    #[serde(default = "default_token_types")]
    #[schemars(length(min = 1))]
    pub(super) token_types: Vec<String>,
    /// How far its clock may be from ours, at most 5m.
    #[serde(default = "default_clock_skew")]
    pub(super) clock_skew: Span,
}

/// Where an issuer's keys come from: either `uri` and `cluster`, or `keys`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["uri", "cluster"] }, { "required": ["keys"] }]))]
pub(super) struct Jwks {
    /// URL of the JWK Set, the `jwks_uri` of the issuer's metadata.
    pub(super) uri: Option<String>,
    /// The Envoy cluster through which it is fetched. Whoever answers there decides which
    /// tokens are good: the cluster must verify the host's certificate and name.
    pub(super) cluster: Option<String>,
    /// How long one fetch may take, at most 10s; default 5s.
    pub(super) timeout: Option<Span>,
    /// How often the keys are fetched again, from 30s to 24h; default 5m. A token with an
    /// unknown key makes the filter look earlier.
    pub(super) refresh: Option<Span>,
    /// The public keys themselves (JWK, RFC 7517). Private and symmetric ones are not usable.
    pub(super) keys: Option<InlineKeys>,
}

/// Keys in the document. Any JSON to serde, so that no error repeats what was written
/// here: somebody may paste a private key.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct InlineKeys(
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>", length(min = 1))]
    pub(super) serde_json::Value,
);

/// An MCP server.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Server {
    /// The URL clients know it by, in canonical form. A token must carry it as audience
    /// and its metadata document (RFC 9728) shows it, both byte for byte.
    pub(super) resource: String,
    /// Which requests are for it, where they do not look like `resource`.
    #[serde(default)]
    pub(super) r#match: Match,
    /// Names of the issuers whose tokens it accepts.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub(super) issuers: Vec<String>,
    /// Web origins whose pages may call it, such as `https://app.example.com`. A request
    /// with any other `Origin` is denied; clients that are no browsers send none.
    #[serde(default)]
    pub(super) allowed_origins: Vec<String>,
    /// What its metadata document says besides.
    #[serde(default)]
    pub(super) metadata: Metadata,
    /// Methods without a protected object. Calls, prompts and resources have their own rules.
    #[serde(default)]
    pub(super) methods: Methods,
    /// Who may see and call which tools.
    #[serde(default)]
    pub(super) tools: NamedRules,
    /// Who may see and get which prompts.
    #[serde(default)]
    pub(super) prompts: NamedRules,
    /// Who may see, read and subscribe to which resources.
    #[serde(default)]
    pub(super) resources: UriRules,
}

/// Which requests are for a server. Needed where a proxy before this one rewrites the
/// authority or the path; the metadata document stays where `resource` puts it.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Match {
    /// Authorities, `host` or `host:port`. Default: that of `resource`.
    #[schemars(length(min = 1))]
    pub(super) authority: Option<Vec<String>>,
    /// The path of the MCP endpoint, compared byte for byte. Default: that of `resource`.
    pub(super) path: Option<String>,
}

/// Members of the metadata document (RFC 9728 section 2).
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Metadata {
    /// Name for people, shown by clients.
    pub(super) resource_name: Option<String>,
    /// Scopes a client should ask for to begin with; also the scope of the challenge to a
    /// request without a token. Keep it small: a missing scope is asked for when needed.
    #[serde(default)]
    pub(super) scopes_supported: Vec<String>,
    /// Issuer identifiers of the authorization servers clients are sent to. Default: those
    /// of the server's issuers.
    #[schemars(length(min = 1))]
    pub(super) authorization_servers: Option<Vec<String>>,
}

/// Methods without a protected object.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Methods {
    /// Method names, or prefixes such as `notifications/*`. What is not named is denied.
    /// Sessions of the revisions up to 2025-11-25 are open where `initialize` is named.
    pub(super) allow: Vec<String>,
}

/// Rules for tools or prompts.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedRules {
    /// The most specific name decides alone: the exact one, else the longest prefix.
    /// What no rule names is denied and left out of lists.
    pub(super) rules: Vec<NamedRule>,
}

/// What a caller needs for some tools or prompts.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedRule {
    /// Names, or prefixes such as `get_*`. Upper and lower case differ.
    #[schemars(length(min = 1))]
    pub(super) names: Vec<String>,
    /// Scopes the token must carry, all of them. `[]` permits every authenticated caller.
    pub(super) scopes: Vec<String>,
}

/// Rules for resources.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UriRules {
    /// The most specific URI decides alone: the exact one, else the longest prefix.
    /// What no rule names is denied and left out of lists.
    pub(super) rules: Vec<UriRule>,
}

/// What a caller needs for some resources.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UriRule {
    /// URIs or URI templates, or prefixes such as `docs://*`.
    #[schemars(length(min = 1))]
    pub(super) uris: Vec<String>,
    /// Scopes the token must carry, all of them. `[]` permits every authenticated caller.
    pub(super) scopes: Vec<String>,
}

/// What is told about decisions. The record itself is always there, as Envoy filter
/// state `wasm.countersign.audit`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Audit {
    /// Whether the MCP server is told the verified identity in `x-countersign-` headers.
    pub(super) identity_headers: bool,
    /// Whether the record is also written to Envoy's own log.
    pub(super) log: AuditLog,
}

/// Form of the record in Envoy's own log.
#[derive(Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum AuditLog {
    /// Not written there.
    #[default]
    Off,
    /// One line with a JSON object per decision.
    Json,
}

/// A length of time such as `30s`, `5m` or `1h 30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(extend("examples" = ["30s", "5m"]))]
pub(super) struct Span(#[schemars(with = "String")] pub(super) Duration);

impl Default for Audit {
    fn default() -> Self {
        Audit { identity_headers: true, log: AuditLog::default() }
    }
}

/// RFC 9068 section 2.1.
fn default_token_types() -> Vec<String> {
    vec!["at+jwt".to_owned()]
}

/// Hosts with NTP differ by far less; a container that was just resumed may not.
fn default_clock_skew() -> Span {
    Span(Duration::from_secs(30))
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(SpanVisitor)
    }
}

struct SpanVisitor;

impl Visitor<'_> for SpanVisitor {
    type Value = Span;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a length of time such as \"30s\" or \"5m\"")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Span, E> {
        humantime::parse_duration(text)
            .map(Span)
            .map_err(|_| E::custom("expected a length of time such as \"30s\" or \"5m\""))
    }
}
