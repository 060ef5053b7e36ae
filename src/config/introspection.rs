//! Compiles `introspection`: how an issuer is asked about tokens.

use std::time::Duration;

use super::compile::{Bounds, Notes};
use super::document::{self, Span};
use super::issuers::TENANT;
use super::secrets::Secrets;
use super::{client, fetch};
use crate::host::Callout;
use crate::token::Introspection;

/// A revoked token must stop working within minutes; who wants more has no use for asking.
const MAX_CACHE: Duration = Duration::from_secs(5 * 60);

/// Most calls of one task find the answer, and a revocation is soon felt.
const DEFAULT_CACHE: Duration = Duration::from_secs(30);

/// A token may be new to one node of the issuer's, and must not be refused for long.
const MAX_NEGATIVE_CACHE: Duration = Duration::from_secs(60);

/// Enough to keep a client that tries again and again from the issuer.
const DEFAULT_NEGATIVE_CACHE: Duration = Duration::from_secs(5);

/// How the issuer with this identifier is asked.
pub(super) fn compile(
    notes: &mut Notes,
    path: &str,
    introspection: document::Introspection,
    issuer: &str,
    secrets: &Secrets,
) -> Option<Introspection> {
    if let Some(audience) = &introspection.signed_for {
        notes.text(&format!("{path}.signed_for"), audience);
    }
    let bounds = Bounds { least: Duration::ZERO, most: MAX_CACHE };
    let cache = introspection.cache.unwrap_or(Span(DEFAULT_CACHE));
    let max_age = notes.span(&format!("{path}.cache"), cache, bounds);
    let bounds = Bounds { least: Duration::ZERO, most: MAX_NEGATIVE_CACHE };
    let cache = introspection.negative_cache.unwrap_or(Span(DEFAULT_NEGATIVE_CACHE));
    let negative_max_age = notes.span(&format!("{path}.negative_cache"), cache, bounds);

    let cluster = Some(introspection.cluster);
    let endpoint =
        fetch::request(notes, path, "uri", &introspection.uri, cluster, introspection.timeout);
    let authority = if issuer.contains(TENANT) {
        Err("`{tid}` in `issuer` leaves open whom the assertion is for")
    } else {
        Ok(issuer)
    };
    let path = format!("{path}.client");
    let client = client::compile(notes, &path, introspection.client, authority, secrets);
    Some(Introspection {
        endpoint: Callout { method: "POST", ..endpoint? },
        tokens: introspection.tokens,
        client: client?,
        signed_for: introspection.signed_for,
        max_age,
        negative_max_age,
    })
}
