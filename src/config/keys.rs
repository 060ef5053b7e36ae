//! Compiles `jwks` and `bundle`: by which keys tokens of an issuer, or JWT-SVIDs of a trust
//! domain, are verified.

use std::time::Duration;

use super::compile::Notes;
use super::document::{Discovery, InlineKeys, Jwks};
use super::fetch::{self, Rhythm};
use super::issuers::TENANT;
use super::url::Url;
use crate::token::{Algorithm, KeySet, KeySetError, KeySource, Source};

/// Unknown keys are looked for when they appear. A withdrawn key stops working within
/// minutes, at 288 requests a day and Envoy; a day without the issuer's keys is an outage
/// that somebody mends.
const RHYTHM: Rhythm = Rhythm {
    least_refresh: Duration::from_secs(30),
    refresh: Duration::from_secs(5 * 60),
    stale_for: Duration::from_secs(24 * 60 * 60),
};

/// The keys of the issuer with this identifier.
pub(super) fn compile(
    notes: &mut Notes,
    path: &str,
    jwks: Jwks,
    issuer: &str,
    algorithms: &[Algorithm],
) -> Option<KeySource> {
    let given = given(&jwks);
    match (jwks.keys, jwks.uri, jwks.discovery) {
        (Some(keys), None, None) => {
            notes.only_for(path, &given, &[], "with `keys`");
            let usable = "of the issuer's `algorithms`, and public";
            inline(notes, path, keys, usable, |set| KeySet::parse(set, algorithms))
        }
        (None, Some(uri), None) => {
            notes.only_for(path, &given, &FETCHED, "without `discovery`");
            let schedule = fetch::schedule(notes, path, jwks.refresh, jwks.stale_for, &RHYTHM);
            let keys = fetch::document(notes, path, "uri", &uri, jwks.cluster, jwks.timeout)?;
            Some(KeySource::Remote { source: Source::At(keys), schedule })
        }
        (None, None, Some(discovery)) => {
            if jwks.keys_cluster.as_deref() == Some("") {
                notes.problem(format!("{path}.keys_cluster"), "is empty");
            }
            let schedule = fetch::schedule(notes, path, jwks.refresh, jwks.stale_for, &RHYTHM);
            let (member, uri) = match jwks.metadata_uri {
                Some(uri) => ("metadata_uri", uri),
                None => ("discovery", metadata_uri(notes, path, issuer, discovery)?),
            };
            let metadata = fetch::document(notes, path, member, &uri, jwks.cluster, jwks.timeout)?;
            let source = Source::Discovered {
                metadata,
                // Where Entra ID has one metadata document for all tenants, it says so.
                issuer: issuer.replace(TENANT, "{tenantid}"),
                keys_cluster: jwks.keys_cluster,
            };
            Some(KeySource::Remote { source, schedule })
        }
        (None, None, None) => {
            notes.problem(path, "needs `uri` or `discovery`, with a `cluster`, or `keys`");
            None
        }
        _ => {
            notes.problem(path, "has more than one of `uri`, `discovery` and `keys`; keep one");
            None
        }
    }
}

/// The keys of a trust domain's JWT-SVIDs. It has no metadata to discover them by.
pub(super) fn bundle(notes: &mut Notes, path: &str, bundle: Jwks) -> Option<KeySource> {
    let given = [&given(&bundle)[..], &[("discovery", bundle.discovery.is_some())]].concat();
    match (bundle.keys, bundle.uri) {
        (Some(keys), None) => {
            notes.only_for(path, &given, &[], "with `keys`");
            let usable = "with `use` `jwt-svid` and a `kid`, of RS*, ES* or PS*, and public";
            inline(notes, path, keys, usable, |set| match KeySet::parse_bundle(set) {
                Ok(keys) if keys.is_empty() => Err(KeySetError::NoUsableKey),
                outcome => outcome,
            })
        }
        (None, Some(uri)) => {
            notes.only_for(path, &given, &FETCHED, "for a trust domain");
            let schedule = fetch::schedule(notes, path, bundle.refresh, bundle.stale_for, &RHYTHM);
            let keys = fetch::document(notes, path, "uri", &uri, bundle.cluster, bundle.timeout)?;
            Some(KeySource::Remote { source: Source::At(keys), schedule })
        }
        (None, None) => {
            notes.problem(path, "needs `uri`, with a `cluster`, or `keys`");
            None
        }
        (Some(_), Some(_)) => {
            notes.problem(path, "has both `uri` and `keys`; keep one");
            None
        }
    }
}

/// The members that a document with keys at a `uri` has besides.
const FETCHED: [&str; 4] = ["cluster", "timeout", "refresh", "stale_for"];

/// The members that not every source of keys has, and whether they are there.
fn given(jwks: &Jwks) -> [(&'static str, bool); 6] {
    [
        ("cluster", jwks.cluster.is_some()),
        ("metadata_uri", jwks.metadata_uri.is_some()),
        ("keys_cluster", jwks.keys_cluster.is_some()),
        ("timeout", jwks.timeout.is_some()),
        ("refresh", jwks.refresh.is_some()),
        ("stale_for", jwks.stale_for.is_some()),
    ]
}

/// Keys that the document has itself; `usable` says which are.
fn inline(
    notes: &mut Notes,
    path: &str,
    InlineKeys(keys): InlineKeys,
    usable: &str,
    parse: impl FnOnce(&[u8]) -> Result<KeySet, KeySetError>,
) -> Option<KeySource> {
    parse(format!(r#"{{"keys":{keys}}}"#).as_bytes())
        .map_err(|error| notes.problem(format!("{path}.keys"), format!("{error} ({usable})")))
        .map(KeySource::Inline)
        .ok()
}

/// Where an issuer's metadata is. `None` where it cannot be told, which is a problem here or
/// of the issuer identifier.
fn metadata_uri(
    notes: &mut Notes,
    path: &str,
    issuer: &str,
    discovery: Discovery,
) -> Option<String> {
    if issuer.contains(TENANT) {
        let message = "needs the URL of the metadata of all tenants together, such as `https://login.microsoftonline.com/organizations/v2.0/.well-known/openid-configuration`";
        notes.problem(format!("{path}.metadata_uri"), message);
        return None;
    }
    let url = Url::parse(issuer).ok()?;
    let (origin, path) = (url.origin(), url.path.trim_end_matches('/'));
    Some(match discovery {
        // OpenID Connect Discovery 1.0 section 4.1: appended.
        Discovery::Openid => format!("{origin}{path}/.well-known/openid-configuration"),
        // RFC 8414 section 3.1: inserted.
        Discovery::Oauth => format!("{origin}/.well-known/oauth-authorization-server{path}"),
    })
}
