//! What is asked of other hosts: where, through which cluster, how often.

use std::time::Duration;

use super::compile::{Bounds, Notes};
use super::document::Span;
use crate::host::Callout;
use crate::token::Schedule;

/// Below this, every request would fail.
const MIN_TIMEOUT: Duration = Duration::from_millis(10);

/// Calls wait for what is asked, and clients do not wait much longer than this.
const MAX_TIMEOUT: Duration = Duration::from_secs(10);

/// Leaves room for one lost packet and a TLS handshake with another continent.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// What was withdrawn must stop working within a day.
const MAX_REFRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// A source that fails for longer is no outage but a mistake that nobody noticed.
const MAX_STALE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How often a kind of document is fetched.
pub(super) struct Rhythm {
    /// More often would be load without gain.
    pub(super) least_refresh: Duration,
    /// Where the document does not say.
    pub(super) refresh: Duration,
    /// Where the document does not say.
    pub(super) stale_for: Duration,
}

/// A request whose answer is a JSON document.
pub(super) fn document(
    notes: &mut Notes,
    path: &str,
    member: &str,
    uri: &str,
    cluster: Option<String>,
    timeout: Option<Span>,
) -> Option<Callout> {
    let callout = request(notes, path, member, uri, cluster, timeout)?;
    Some(Callout { headers: vec![("accept", "application/json".to_owned())], ..callout })
}

/// A request to the URL in `member`, so far without header fields and body.
pub(super) fn request(
    notes: &mut Notes,
    path: &str,
    member: &str,
    uri: &str,
    cluster: Option<String>,
    timeout: Option<Span>,
) -> Option<Callout> {
    let timeout = timeout.unwrap_or(Span(DEFAULT_TIMEOUT));
    let bounds = Bounds { least: MIN_TIMEOUT, most: MAX_TIMEOUT };
    let timeout = notes.span(&format!("{path}.timeout"), timeout, bounds);
    let cluster = cluster.unwrap_or_default();
    if cluster.is_empty() {
        let message = format!("name the Envoy cluster through which `{member}` is reached");
        notes.problem(format!("{path}.cluster"), message);
    }
    let uri = notes.protected_url(&format!("{path}.{member}"), uri)?;
    Some(Callout {
        cluster,
        method: "GET",
        authority: uri.authority.to_string(),
        path: uri.request_target(),
        scheme: uri.scheme,
        headers: Vec::new(),
        body: Vec::new(),
        timeout,
    })
}

/// How often a document is fetched.
pub(super) fn schedule(
    notes: &mut Notes,
    path: &str,
    refresh: Option<Span>,
    stale_for: Option<Span>,
    usual: &Rhythm,
) -> Schedule {
    let bounds = Bounds { least: usual.least_refresh, most: MAX_REFRESH };
    let refresh = refresh.unwrap_or(Span(usual.refresh));
    let refresh = notes.span(&format!("{path}.refresh"), refresh, bounds);
    let bounds = Bounds { least: Duration::ZERO, most: MAX_STALE };
    let stale_for = stale_for.unwrap_or(Span(usual.stale_for));
    let stale_for = notes.span(&format!("{path}.stale_for"), stale_for, bounds);
    Schedule { refresh, stale_for }
}
