//! Compiles `issuers`: whose tokens are accepted, and where they have what is read.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::compile::{Bounds, Notes};
use super::document::{self, ClaimName};
use super::fetch::{self, Rhythm};
use super::secrets::Secrets;
use super::{introspection, keys};
use crate::gate::StepUpChallenge;
use crate::token::{
    Algorithm, ClaimNames, ClaimPath, Identifier, IntrospectedTokens, Issuer, IssuerId,
    RevocationSource, TokenType, ValuePattern, WorkloadMark, is_other_kind,
};

/// Stands for the tenant in an issuer identifier.
pub(super) const TENANT: &str = "{tid}";

/// RFC 7519 section 4.1.4 speaks of "a few minutes". More would prolong every token.
const CLOCK_SKEW: Bounds = Bounds { least: Duration::ZERO, most: Duration::from_secs(5 * 60) };

/// Of a token's age and lifetime: a shorter one is over before the token is used, a longer
/// one limits nothing.
const TOKEN_TIME: Bounds =
    Bounds { least: Duration::from_secs(10), most: Duration::from_secs(30 * 24 * 60 * 60) };

/// Most places of one claim, each looked at in every token.
const MAX_CLAIM_NAMES: usize = 16;

/// Most names of one place. Known providers have three (`resource_access.client.roles`).
const MAX_CLAIM_DEPTH: usize = 8;

/// A revocation is felt within a minute, or within seconds by who wants it, but not sooner
/// than attempts to fetch may follow each other. After an hour without the list, nobody
/// could say which tokens are still good.
const REVOCATIONS: Rhythm = Rhythm {
    least_refresh: Duration::from_secs(10),
    refresh: Duration::from_secs(60),
    stale_for: Duration::from_secs(60 * 60),
};

/// Stands for no type at all in `token_types`.
const ABSENT: &str = "absent";

/// What servers are told of an issuer, by its name.
pub(super) type Known = BTreeMap<String, KnownIssuer>;

/// What servers are told of an issuer.
pub(super) struct KnownIssuer {
    pub(super) id: IssuerId,
    pub(super) name: String,
    /// Its issuer identifier, or those of its tenants.
    pub(super) identifiers: Vec<String>,
    /// Its tenants, where each of them has an issuer identifier of its own.
    pub(super) tenants: Option<Vec<String>>,
    /// Which of its tokens are introspected, if it can be asked.
    pub(super) introspected: Option<IntrospectedTokens>,
    /// How clients are asked for better authentication of its users.
    pub(super) step_up: StepUpChallenge,
    /// Members of its `claims` that are given.
    pub(super) claims: Vec<&'static str>,
}

impl KnownIssuer {
    /// Whether its tokens can say what `claims` has under this name.
    pub(super) fn says(&self, claim: &str) -> bool {
        self.claims.contains(&claim)
    }
}

/// The issuers, in the order of their names.
pub(super) fn known(issuers: &BTreeMap<String, document::Issuer>) -> Known {
    let mut known = Known::new();
    for (index, (name, issuer)) in issuers.iter().enumerate() {
        let identifiers = match &issuer.tenants {
            Some(tenants) if issuer.issuer.contains(TENANT) => {
                tenants.iter().map(|tenant| issuer.issuer.replace(TENANT, tenant)).collect()
            }
            _ => vec![issuer.issuer.clone()],
        };
        let claims = [
            ("tenant", &issuer.claims.tenant),
            ("agent", &issuer.claims.agent),
            ("agent_instance", &issuer.claims.agent_instance),
            ("agent_version", &issuer.claims.agent_version),
            ("session", &issuer.claims.session),
            ("task", &issuer.claims.task),
            ("instance", &issuer.claims.instance),
        ];
        let issuer = KnownIssuer {
            id: IssuerId(index),
            name: name.clone(),
            identifiers,
            tenants: issuer.tenants.clone(),
            introspected: issuer.introspection.as_ref().map(|settings| settings.tokens),
            step_up: issuer.step_up,
            claims: claims
                .iter()
                .filter(|(_, paths)| paths.is_some())
                .map(|(name, _)| *name)
                .collect(),
        };
        known.insert(name.clone(), issuer);
    }
    known
}

/// Compiles the issuers, in the order of their names.
pub(super) fn compile(
    notes: &mut Notes,
    issuers: BTreeMap<String, document::Issuer>,
    known: &Known,
    secrets: &Secrets,
) -> Vec<Issuer> {
    let mut first: HashMap<&String, &String> = HashMap::new();
    for KnownIssuer { name, identifiers, .. } in known.values() {
        for identifier in identifiers {
            if let Some(first) = first.insert(identifier, name).filter(|first| *first != name) {
                let message = format!("is also the issuer of issuers.{first}: `iss` must mean one");
                notes.problem(format!("issuers.{name}.issuer"), message);
            }
        }
    }
    issuers
        .into_iter()
        .filter_map(|(name, issuer)| compile_one(notes, name, issuer, secrets))
        .collect()
}

fn compile_one(
    notes: &mut Notes,
    name: String,
    issuer: document::Issuer,
    secrets: &Secrets,
) -> Option<Issuer> {
    let path = format!("issuers.{name}");
    notes.name(&path, &name);
    let identifier = identifier(notes, &path, &issuer.issuer, issuer.tenants);
    check_token_types(notes, &format!("{path}.token_types"), &issuer.token_types);
    let clock_skew = notes.span(&format!("{path}.clock_skew"), issuer.clock_skew, CLOCK_SKEW);
    let max_age = issuer
        .max_token_age
        .map(|age| notes.span(&format!("{path}.max_token_age"), age, TOKEN_TIME));
    let max_lifetime = issuer
        .max_token_lifetime
        .map(|lifetime| notes.span(&format!("{path}.max_token_lifetime"), lifetime, TOKEN_TIME));
    let mut claims = claims(notes, &format!("{path}.claims"), issuer.claims);
    claims.workload =
        issuer.workloads.map(|mark| workload_mark(notes, &format!("{path}.workloads"), mark));

    let tokens = issuer.introspection.as_ref().map(|settings| settings.tokens);
    if issuer.jwks.is_none() && tokens != Some(IntrospectedTokens::Opaque) {
        let message = "is needed to verify tokens, except with `introspection` of `opaque` ones";
        notes.problem(format!("{path}.jwks"), message);
    }
    let signed = issuer.introspection.as_ref().is_some_and(|i| i.signed_for.is_some());
    if issuer.jwks.is_none() && signed {
        let message = "needs `jwks`: signed answers are verified by the issuer's keys";
        notes.problem(format!("{path}.introspection.signed_for"), message);
    }
    let algorithms = algorithms(notes, &path, issuer.algorithms, issuer.jwks.is_some());
    let keys = optional(issuer.jwks, |jwks| {
        keys::compile(notes, &format!("{path}.jwks"), jwks, &issuer.issuer, &algorithms)
    });
    let introspection = optional(issuer.introspection, |settings| {
        let path = format!("{path}.introspection");
        introspection::compile(notes, &path, settings, &issuer.issuer, secrets)
    });
    let revocations = optional(issuer.revocation, |revocation| {
        revocations(notes, &format!("{path}.revocation"), revocation)
    });
    Some(Issuer {
        keys: keys?,
        name,
        identifier,
        algorithms,
        token_types: issuer.token_types.into_iter().map(token_type).collect(),
        clock_skew,
        max_age,
        max_lifetime,
        claims,
        introspection: introspection?,
        revocations: revocations?,
    })
}

/// What may be left out: `None` where it is there and refused.
fn optional<T, U>(member: Option<T>, compile: impl FnOnce(T) -> Option<U>) -> Option<Option<U>> {
    match member {
        Some(member) => compile(member).map(Some),
        None => Some(None),
    }
}

/// An issuer identifier, or one for each tenant.
fn identifier(
    notes: &mut Notes,
    path: &str,
    issuer: &str,
    tenants: Option<Vec<String>>,
) -> Identifier {
    let issuer_path = format!("{path}.issuer");
    let tenants_path = format!("{path}.tenants");
    let Some((prefix, suffix)) = issuer.split_once(TENANT) else {
        if issuer.contains('{') {
            notes.problem(issuer_path, "has a placeholder other than `{tid}`, the tenant");
        } else {
            notes.issuer_url(&issuer_path, issuer);
            if tenants.is_some() {
                notes.problem(tenants_path, "is for issuers with `{tid}`; leave it out");
            }
        }
        return Identifier::Exact(issuer.to_owned());
    };
    // The URL is checked as one tenant has it; `t` can be a segment as well as any.
    notes.issuer_url(&issuer_path, &issuer.replace(TENANT, "t"));
    let is_segment = prefix.ends_with('/') && (suffix.is_empty() || suffix.starts_with('/'));
    if !is_segment || prefix.ends_with("//") || suffix.contains(TENANT) {
        notes.problem(issuer_path, "must have `{tid}` once, as a whole segment of the path");
    }
    let tenants = tenants.unwrap_or_default();
    notes.list(&tenants_path, &tenants);
    notes.unique(&tenants_path, &tenants);
    for (index, tenant) in tenants.iter().enumerate() {
        let path = format!("{tenants_path}[{index}]");
        notes.text(&path, tenant);
        // RFC 3986 section 2.3: what no program on the way writes in another way.
        let is_unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        if !tenant.bytes().all(is_unreserved) || [".", ".."].contains(&tenant.as_str()) {
            notes.problem(path, "is no tenant such as `72f988bf-86f1-41af-91ab-2d7cd011db47`");
        }
    }
    let (prefix, suffix) = (prefix.to_owned(), suffix.to_owned());
    Identifier::PerTenant { prefix, suffix, tenants }
}

/// The algorithms of an issuer, which has some if and only if it has keys.
fn algorithms(
    notes: &mut Notes,
    path: &str,
    algorithms: Option<Vec<Algorithm>>,
    has_keys: bool,
) -> Vec<Algorithm> {
    let path = format!("{path}.algorithms");
    match (algorithms, has_keys) {
        (Some(algorithms), true) => {
            notes.list(&path, &algorithms);
            notes.unique(&path, &algorithms);
            algorithms
        }
        (None, true) => {
            let message = "say which algorithms the issuer signs with, such as `[\"ES256\"]`";
            notes.problem(path, message);
            Vec::new()
        }
        (Some(_), false) => {
            notes.problem(path, "is of no use without `jwks`; leave it out");
            Vec::new()
        }
        (None, false) => Vec::new(),
    }
}

fn check_token_types(notes: &mut Notes, path: &str, types: &[String]) {
    notes.list(path, types);
    notes.unique(path, types);
    for (index, token_type) in types.iter().enumerate() {
        let path = format!("{path}[{index}]");
        // RFC 6838 section 4.2, with or without `application/`.
        let is_type_byte = |b: u8| b.is_ascii_alphanumeric() || b"!#$&^_.+-/".contains(&b);
        if token_type.is_empty() || !token_type.bytes().all(is_type_byte) {
            notes.problem(path, "is no media type such as `at+jwt`");
        } else if token_type.eq_ignore_ascii_case("jwt") {
            notes.warn(path, "the issuer's ID tokens may be `JWT` too; prefer `at+jwt`");
        } else if token_type == ABSENT {
            notes.warn(path, "other JWTs of the issuer may have no type either; prefer `at+jwt`");
        } else if is_other_kind(token_type) {
            notes.problem(path, "is the type of JWTs that are no access tokens");
        }
    }
}

fn token_type(text: String) -> TokenType {
    if text == ABSENT { TokenType::Absent } else { TokenType::Media(text) }
}

fn claims(notes: &mut Notes, path: &str, claims: document::Claims) -> ClaimNames {
    for (index, ClaimName(names)) in claims.agent.iter().flatten().enumerate() {
        if names.first().is_some_and(|name| name == "act") {
            let message =
                "is never used: the current actor of `act` is the agent anyway; leave it out";
            notes.problem(format!("{path}.agent[{index}]"), message);
        }
    }
    let mut read = |member: &str, names: Option<Vec<ClaimName>>, usual: Vec<ClaimPath>| {
        names.map_or(usual, |names| claim_paths(notes, &format!("{path}.{member}"), names))
    };
    let usual = ClaimNames::default();
    ClaimNames {
        subject: read("subject", claims.subject, usual.subject),
        client: read("client", claims.client, usual.client),
        scopes: read("scopes", claims.scopes, usual.scopes),
        roles: read("roles", claims.roles, usual.roles),
        tenant: read("tenant", claims.tenant, usual.tenant),
        groups: read("groups", claims.groups, usual.groups),
        agent: read("agent", claims.agent, usual.agent),
        agent_instance: read("agent_instance", claims.agent_instance, usual.agent_instance),
        agent_version: read("agent_version", claims.agent_version, usual.agent_version),
        consented_servers: read(
            "consented_servers",
            claims.consented_servers,
            usual.consented_servers,
        ),
        consented_agents: read("consented_agents", claims.consented_agents, usual.consented_agents),
        session: read("session", claims.session, usual.session),
        task: read("task", claims.task, usual.task),
        instance: read("instance", claims.instance, usual.instance),
        workload: usual.workload,
    }
}

fn claim_paths(notes: &mut Notes, path: &str, names: Vec<ClaimName>) -> Vec<ClaimPath> {
    notes.count(path, names.len(), MAX_CLAIM_NAMES);
    let paths = names.into_iter().enumerate();
    paths.map(|(index, name)| claim_path(notes, &format!("{path}[{index}]"), name)).collect()
}

fn claim_path(notes: &mut Notes, path: &str, ClaimName(names): ClaimName) -> ClaimPath {
    notes.count(path, names.len(), MAX_CLAIM_DEPTH);
    if names.iter().any(String::is_empty) {
        notes.problem(path, "has an empty name; write `outer.inner`, or an array of the names");
    } else {
        names.iter().for_each(|name| notes.text(path, name));
    }
    ClaimPath::nested(names)
}

fn workload_mark(notes: &mut Notes, path: &str, mark: document::WorkloadMark) -> WorkloadMark {
    let document::WorkloadMark { claim, values } = mark;
    let values_path = format!("{path}.values");
    notes.list(&values_path, &values);
    notes.unique(&values_path, &values);
    for (index, value) in values.iter().enumerate() {
        let path = format!("{values_path}[{index}]");
        notes.text(&path, value);
        if value.strip_suffix('*').unwrap_or(value).contains('*') {
            notes.problem(path, "has a `*` that is not its last character");
        }
    }
    WorkloadMark {
        claim: claim_path(notes, &format!("{path}.claim"), claim),
        values: values.into_iter().map(value_pattern).collect(),
    }
}

fn value_pattern(text: String) -> ValuePattern {
    match text.strip_suffix('*') {
        Some(prefix) => ValuePattern::Prefix(prefix.to_owned()),
        None => ValuePattern::Exact(text),
    }
}

fn revocations(
    notes: &mut Notes,
    path: &str,
    revocation: document::Revocation,
) -> Option<RevocationSource> {
    let document::Revocation { uri, cluster, timeout, refresh, stale_for } = revocation;
    let schedule = fetch::schedule(notes, path, refresh, stale_for, &REVOCATIONS);
    let list = fetch::document(notes, path, "uri", &uri, Some(cluster), timeout)?;
    Some(RevocationSource { list, schedule })
}
