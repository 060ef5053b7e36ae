//! Compiles `jwks`: by which keys an issuer's tokens are verified.

use std::time::Duration;

use super::compile::Notes;
use super::document::{Discovery, InlineKeys, Jwks};
use super::fetch::{self, Rhythm};
use super::issuers::TENANT;
use super::url::Url;
use crate::token::{Algorithm, KeySet, KeySource, Source};

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
    let given = [
        ("cluster", jwks.cluster.is_some()),
        ("metadata_uri", jwks.metadata_uri.is_some()),
        ("keys_cluster", jwks.keys_cluster.is_some()),
        ("timeout", jwks.timeout.is_some()),
        ("refresh", jwks.refresh.is_some()),
        ("stale_for", jwks.stale_for.is_some()),
    ];
    match (jwks.keys, jwks.uri, jwks.discovery) {
        (Some(InlineKeys(keys)), None, None) => {
            notes.only_for(path, &given, &[], "with `keys`");
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
        (None, Some(uri), None) => {
            let used = ["cluster", "timeout", "refresh", "stale_for"];
            notes.only_for(path, &given, &used, "without `discovery`");
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
