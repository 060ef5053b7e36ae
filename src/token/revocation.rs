//! The revocation list of an issuer: tokens that are refused before they expire.
//!
//! # Format
//! One JSON object, read as strictly as all JSON here, `application/json`:
//!
//! ```json
//! {"revoked": [
//!   {"jti": "5b0c6e5e-3f0d-4f0e-9a43-0d2f6f1f4b7d"},
//!   {"sub": "alice", "issued_before": 1785196800},
//!   {"client_id": "agent-7"},
//!   {"sub": "alice", "client_id": "agent-7"},
//!   {"sid": "08a5019c-17e1-4977-8f42-65a12843ea02"},
//!   {"issued_before": 1785190000}
//! ]}
//! ```
//!
//! An entry names claims of this issuer's tokens: `jti` (RFC 7519 section 4.1.7), `sub`
//! and `client_id` (RFC 9068 section 2.2; read from where the issuer's claim names say),
//! `sid` (OpenID Connect Front-Channel Logout 1.0 section 3). They are compared byte for
//! byte. It revokes the tokens that have all of them, and of those, with `issued_before`
//! (seconds since 1970, a whole number), the ones whose `iat` is earlier; `issued_before`
//! alone revokes everything before. One second is the resolution of `iat`: to include the
//! tokens of a moment, name the next.
//!
//! - A token that lacks a claim an entry names is not revoked by that entry.
//! - A token that does not say when it was issued counts as issued in 1970, so every
//!   `issued_before` includes it.
//! - An entry may stay after its tokens expired, and may repeat or overlap others. An
//!   empty list revokes nothing.
//! - Anything we do not know, a member or a type, is a refusal of the whole document: a
//!   member of a later format would narrow or widen what an entry means, and guessing
//!   either way is wrong. The last good list stays in force for `stale_for`.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use crate::json::{self, Value};

use super::claims::AccessToken;
use super::shared_document::{Reader, SharedDocument};
use super::source::{RevocationSource, Source};

/// Longest claim an entry may name, in bytes: the longest a token may carry.
const MAX_CLAIM: usize = 2048;

/// Latest `issued_before`, 9999-12-31T23:59:59Z: the latest time a token may carry.
const MAX_ISSUED_BEFORE: u64 = 253_402_300_799;

/// The claims an entry may name, in the order of [`claims`].
const CLAIMS: [&str; 4] = ["jti", "sub", "client_id", "sid"];

const ISSUED_BEFORE: &str = "issued_before";

/// The revocation list of an issuer, fetched once for all workers. While
/// [`SharedDocument::current`] has none, its tokens cannot be accepted.
pub(super) type Revocations = SharedDocument<RevocationReader>;

/// What an issuer revoked: one table, and one look-up in it for each combination of
/// claims that entries name, at most sixteen.
#[derive(Debug, Default)]
pub(super) struct RevocationList {
    combinations: Vec<[bool; CLAIMS.len()]>,
    revoked: HashMap<Vec<u8>, Before>,
}

/// A value for each of [`CLAIMS`].
type Claims<'a> = [Option<&'a str>; CLAIMS.len()];

/// Which tokens an entry means, by when they were issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Always,
    Time(SystemTime),
}

/// Reads revocation lists.
#[derive(Debug)]
pub(super) struct RevocationReader;

impl Revocations {
    /// Of the issuer with that name of the operator's.
    pub(super) fn of(issuer: &str, source: &RevocationSource) -> Self {
        let RevocationSource { list, schedule } = source;
        SharedDocument::new(RevocationReader, issuer, Source::At(list.clone()), *schedule)
    }
}

impl Reader for RevocationReader {
    type Document = RevocationList;

    const NAME: &'static str = "revocations";

    const MEDIA_TYPES: &'static [&'static str] = &["application/json"];

    fn read(&self, body: &[u8]) -> Result<RevocationList, String> {
        RevocationList::parse(body)
    }

    fn is_same(one: &RevocationList, other: &RevocationList) -> bool {
        // The combinations are those of the entries.
        one.revoked == other.revoked
    }
}

impl RevocationList {
    /// Reads a list. The reason of a refusal names the entry's place and nothing of it.
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        let document = json::read(body).map_err(|error| error.to_string())?;
        let entries = document
            .as_object()
            .filter(|document| document.len() == 1)
            .and_then(|document| document.get("revoked"))
            .and_then(Value::as_array)
            .ok_or("not an object with an array `revoked` and nothing else")?;
        let mut list = RevocationList::default();
        for (index, entry) in entries.iter().enumerate() {
            list.add(entry).map_err(|reason| format!("revoked[{index}] {reason}"))?;
        }
        Ok(list)
    }

    /// Whether the issuer revoked this token of its.
    pub(super) fn revokes(&self, token: &AccessToken) -> bool {
        let claims = claims(token);
        self.combinations.iter().any(|named| {
            let before = select(claims, *named).and_then(|claims| self.revoked.get(&key(claims)));
            match before {
                None => false,
                Some(Before::Always) => true,
                Some(Before::Time(time)) => token.issued_at < *time,
            }
        })
    }

    fn add(&mut self, entry: &Value<'_>) -> Result<(), &'static str> {
        let entry = entry.as_object().ok_or("is not an object")?;
        if entry.is_empty() {
            return Err("is empty, which would be every token");
        }
        if !entry.iter().all(|(name, _)| name == ISSUED_BEFORE || CLAIMS.contains(&name)) {
            return Err("has a member we do not know");
        }
        let mut claims: Claims<'_> = Claims::default();
        for (claim, name) in claims.iter_mut().zip(CLAIMS) {
            *claim = entry.get(name).map(text).transpose()?;
        }
        let before = match entry.get(ISSUED_BEFORE) {
            None => Before::Always,
            Some(time) => Before::Time(issued_before(time)?),
        };
        let named = claims.map(|claim| claim.is_some());
        if !self.combinations.contains(&named) {
            self.combinations.push(named);
        }
        let known = self.revoked.entry(key(claims)).or_insert(before);
        *known = known.wider(before);
        Ok(())
    }
}

impl Before {
    /// What includes both.
    fn wider(self, other: Self) -> Self {
        match (self, other) {
            (Before::Time(one), Before::Time(other)) => Before::Time(one.max(other)),
            _ => Before::Always,
        }
    }
}

/// What a token has of [`CLAIMS`].
fn claims(token: &AccessToken) -> Claims<'_> {
    let AccessToken { token_id, subject, client_id, session, .. } = token;
    [token_id.as_deref(), Some(subject), Some(client_id), session.as_deref()]
}

/// The named claims only; `None` where one of them is not there.
fn select<'a>(claims: Claims<'a>, named: [bool; CLAIMS.len()]) -> Option<Claims<'a>> {
    let mut selected = Claims::default();
    for ((selected, claim), named) in selected.iter_mut().zip(claims).zip(named) {
        if named {
            *selected = Some(claim?);
        }
    }
    Some(selected)
}

/// The claims as one key: each there or not, with its length, so that they cannot run together.
fn key(claims: Claims<'_>) -> Vec<u8> {
    let mut key = Vec::new();
    for claim in claims {
        match claim {
            None => key.push(0),
            Some(claim) => {
                key.push(1);
                key.extend(claim.len().to_be_bytes());
                key.extend(claim.as_bytes());
            }
        }
    }
    key
}

fn text<'a>(value: &'a Value<'_>) -> Result<&'a str, &'static str> {
    let fits = |text: &&str| !text.is_empty() && text.len() <= MAX_CLAIM;
    value.as_str().filter(fits).ok_or("has a claim that is no text, empty or too long")
}

fn issued_before(value: &Value<'_>) -> Result<SystemTime, &'static str> {
    let seconds = match value {
        Value::Number(number) => number.as_u64().filter(|seconds| *seconds <= MAX_ISSUED_BEFORE),
        _ => None,
    };
    seconds
        .and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
        .ok_or("has an `issued_before` that is no whole number of seconds since 1970")
}
