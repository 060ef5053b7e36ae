//! Compiles `issuers`: whose tokens are accepted, and by which keys.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::compile::Notes;
use super::document::{self, InlineKeys, Jwks, Object, Span};
use crate::host::Callout;
use crate::token::{
    Algorithm, ClaimNames, Identifier, Issuer, IssuerId, KeySet, KeySource, Schedule, Source,
    TokenType,
};

/// Longest name of an issuer: it stands in every log line about it.
const MAX_NAME: usize = 64;

/// RFC 7519 section 4.1.4 speaks of "a few minutes". More would prolong every token.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// Below this, every fetch would fail.
const MIN_TIMEOUT: Duration = Duration::from_millis(10);

/// Calls wait for the keys they need, and clients do not wait much longer than this.
const MAX_TIMEOUT: Duration = Duration::from_secs(10);

/// Leaves room for one lost packet and a TLS handshake with another continent.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// More often would be load without gain: unknown keys are looked for when they appear.
const MIN_REFRESH: Duration = Duration::from_secs(30);

/// A key that its issuer withdrew must stop working within a day.
const MAX_REFRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// A withdrawn key stops working within minutes, at 288 requests a day and worker.
const DEFAULT_REFRESH: Duration = Duration::from_secs(5 * 60);

/// The issuers by name, with their ids and issuer identifiers.
pub(super) type Known = BTreeMap<String, (IssuerId, String)>;

/// Compiles the issuers, in the order of their names.
pub(super) fn compile(
    notes: &mut Notes,
    issuers: BTreeMap<String, Object<document::Issuer>>,
) -> Vec<Issuer> {
    let mut names: HashMap<String, String> = HashMap::new();
    for (name, issuer) in &issuers {
        if let Some(first) = names.insert(issuer.issuer.clone(), name.clone()) {
            let message = format!("is also the issuer of issuers.{first}: `iss` must mean one");
            notes.problem(format!("issuers.{name}.issuer"), message);
        }
    }
    issuers
        .into_iter()
        .filter_map(|(name, Object(issuer))| compile_one(notes, name, issuer))
        .collect()
}

fn compile_one(notes: &mut Notes, name: String, issuer: document::Issuer) -> Option<Issuer> {
    let path = format!("issuers.{name}");
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !(1..=MAX_NAME).contains(&name.len()) || !name.bytes().all(is_name_byte) {
        let message = format!("a name is 1 to {MAX_NAME} letters, digits, `-` and `_`");
        notes.problem(&path, message);
    }
    notes.issuer_url(&format!("{path}.issuer"), &issuer.issuer);
    notes.list(&format!("{path}.algorithms"), &issuer.algorithms);
    notes.unique(&format!("{path}.algorithms"), &issuer.algorithms);
    check_token_types(notes, &format!("{path}.token_types"), &issuer.token_types);
    let skew = (Duration::ZERO, MAX_CLOCK_SKEW);
    let clock_skew = span(notes, &format!("{path}.clock_skew"), issuer.clock_skew, skew);
    Some(Issuer {
        keys: Some(keys(notes, &format!("{path}.jwks"), issuer.jwks.0, &issuer.algorithms)?),
        name,
        identifier: Identifier::Exact(issuer.issuer),
        algorithms: issuer.algorithms,
        token_types: issuer.token_types.into_iter().map(TokenType::Media).collect(),
        clock_skew,
        max_age: None,
        max_lifetime: None,
        claims: ClaimNames::default(),
        introspection: None,
        revocations: None,
    })
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
        }
    }
}

fn keys(notes: &mut Notes, path: &str, jwks: Jwks, algorithms: &[Algorithm]) -> Option<KeySource> {
    match jwks {
        Jwks { uri: Some(_), keys: Some(_), .. } => {
            notes.problem(path, "has both `uri` and `keys`; leave out one of them");
            None
        }
        Jwks { keys: Some(InlineKeys(keys)), cluster, timeout, refresh, .. } => {
            if cluster.is_some() || timeout.is_some() || refresh.is_some() {
                let message = "nothing is fetched where `keys` are given; leave out `cluster`, `timeout` and `refresh`";
                notes.problem(path, message);
            }
            let set = format!(r#"{{"keys":{keys}}}"#);
            match KeySet::parse(set.as_bytes(), algorithms) {
                Ok(keys) => Some(KeySource::Inline(keys)),
                Err(error) => {
                    let message = format!("{error} (of the issuer's `algorithms`, and public)");
                    notes.problem(format!("{path}.keys"), message);
                    None
                }
            }
        }
        Jwks { uri: Some(uri), cluster, timeout, refresh, .. } => {
            let timeout = timeout.unwrap_or(Span(DEFAULT_TIMEOUT));
            let bounds = (MIN_TIMEOUT, MAX_TIMEOUT);
            let timeout = span(notes, &format!("{path}.timeout"), timeout, bounds);
            let refresh = refresh.unwrap_or(Span(DEFAULT_REFRESH));
            let bounds = (MIN_REFRESH, MAX_REFRESH);
            let refresh = span(notes, &format!("{path}.refresh"), refresh, bounds);
            let cluster = cluster.unwrap_or_default();
            if cluster.is_empty() {
                let message = "name the Envoy cluster through which `uri` is fetched";
                notes.problem(format!("{path}.cluster"), message);
            }
            let uri = notes.protected_url(&format!("{path}.uri"), &uri)?;
            let callout = Callout {
                cluster,
                method: "GET",
                authority: uri.authority.to_string(),
                path: uri.request_target(),
                scheme: uri.scheme,
                headers: vec![("accept", "application/json".to_owned())],
                body: Vec::new(),
                timeout,
            };
            let schedule = Schedule { refresh, stale_for: Duration::from_secs(24 * 60 * 60) };
            Some(KeySource::Remote { source: Source::At(callout), schedule })
        }
        Jwks { uri: None, keys: None, .. } => {
            notes.problem(path, "needs either `uri` and `cluster`, or `keys`");
            None
        }
    }
}

fn span(notes: &mut Notes, path: &str, span: Span, bounds: (Duration, Duration)) -> Duration {
    let (least, most) = bounds;
    if !(least..=most).contains(&span.0) {
        let [least, most] = [least, most].map(humantime::format_duration);
        notes.problem(path, format!("must be from {least} to {most}"));
    }
    span.0
}
