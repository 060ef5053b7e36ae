//! Filtering list responses, so that a caller sees only what it may use.
//!
//! An entry is judged by the same function as a call. What stays keeps its exact
//! bytes and its order; what cannot be understood is an error, never passed on.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::message::{Id, read_id, similar_name};
use super::operation::{Target, object_name};
use crate::json::{self, JsonError, Object, Value};

/// Which list a method answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListKind {
    /// `tools/list`
    Tools,
    /// `prompts/list`
    Prompts,
    /// `resources/list`
    Resources,
    /// `resources/templates/list`
    ResourceTemplates,
}

/// What a message from the server may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected<'a> {
    /// On the answer to a list request: its response, which must hold the list.
    For {
        /// The list asked for.
        kind: ListKind,
        /// The id of the request.
        id: &'a Id,
    },
    /// On other streams, which may replay the responses of earlier requests (legacy
    /// GET with `Last-Event-ID`): any message; any list in it is filtered.
    Any,
}

/// The outcome of filtering one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filtered {
    /// Pass the message on byte for byte.
    Unchanged,
    /// Send this instead. Line feeds between tokens may remain in it.
    Changed(Vec<u8>),
}

/// Why a message from the server cannot be passed on: the server's fault, or a
/// form that is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// Not strict JSON.
    #[error("the message is not acceptable JSON: {0}")]
    NotJson(#[from] JsonError),
    /// Not one JSON-RPC message (a batch included), or one that could be read two ways.
    #[error("the message is not one JSON-RPC message")]
    BadEnvelope,
    /// The response to another request.
    #[error("the response has another id than the request")]
    WrongId,
    /// The result does not hold the list as an array.
    #[error("the result does not hold the list")]
    NoList,
    /// An entry without the string that names its object.
    #[error("a list entry does not name its object")]
    BadEntry,
    /// One event is larger than [`MAX_EVENT_LEN`](super::MAX_EVENT_LEN).
    #[error("an event is too large")]
    TooLarge,
    /// The stream ended within an event.
    #[error("the stream ended within an event")]
    Truncated,
}

/// Members of a message, of a result and of an entry that must not be imitated.
const ENVELOPE_MEMBERS: [&str; 4] = ["id", "method", "result", "error"];
const RESULT_MEMBERS: [&str; 5] =
    ["tools", "prompts", "resources", "resourceTemplates", "cacheScope"];
const ENTRY_MEMBERS: [&str; 3] = ["name", "uri", "uriTemplate"];

impl ListKind {
    const ALL: [ListKind; 4] =
        [ListKind::Tools, ListKind::Prompts, ListKind::Resources, ListKind::ResourceTemplates];

    /// The list that a method answers with.
    #[must_use]
    pub fn of(method: &str) -> Option<Self> {
        match method {
            "tools/list" => Some(ListKind::Tools),
            "prompts/list" => Some(ListKind::Prompts),
            "resources/list" => Some(ListKind::Resources),
            "resources/templates/list" => Some(ListKind::ResourceTemplates),
            _ => None,
        }
    }

    /// The member of the result that holds the list.
    fn member(self) -> &'static str {
        match self {
            ListKind::Tools => "tools",
            ListKind::Prompts => "prompts",
            ListKind::Resources => "resources",
            ListKind::ResourceTemplates => "resourceTemplates",
        }
    }

    /// The object that an entry of the list describes.
    fn target(self, entry: &Value<'_>) -> Result<Target, ListError> {
        let entry = entry.as_object().ok_or(ListError::BadEntry)?;
        if similar_name(entry, &ENTRY_MEMBERS).is_some() {
            return Err(ListError::BadEntry);
        }
        let (member, target): (_, fn(String) -> Target) = match self {
            ListKind::Tools => ("name", Target::Tool),
            ListKind::Prompts => ("name", Target::Prompt),
            ListKind::Resources => ("uri", Target::Resource),
            ListKind::ResourceTemplates => ("uriTemplate", Target::ResourceTemplate),
        };
        entry.get(member).and_then(object_name).map(target).ok_or(ListError::BadEntry)
    }
}

/// Filters one JSON-RPC message from the server.
///
/// Requests, notifications and error responses pass unchanged. In a response, every
/// entry that `permit` does not allow is removed, and a `cacheScope` becomes
/// `private`, because the list now depends on who asked (MCP 2026-07-28, "Caching").
///
/// # Errors
/// [`ListError`] when the message is not what was `expected` or not understood.
pub fn filter_list(
    body: &[u8],
    expected: Expected<'_>,
    permit: &mut dyn FnMut(&Target) -> bool,
) -> Result<Filtered, ListError> {
    let value = json::read(body)?;
    let message = value.as_object().ok_or(ListError::BadEnvelope)?;
    let Some(result) = read_result(message, expected)? else { return Ok(Filtered::Unchanged) };

    let mut keeps = Vec::new();
    for kind in ListKind::ALL {
        if let Some(list) = result.get(kind.member()) {
            let entries = list.as_array().ok_or(ListError::NoList)?;
            let keep = entries
                .iter()
                .map(|entry| kind.target(entry).map(|target| permit(&target)))
                .collect::<Result<Vec<bool>, ListError>>()?;
            keeps.push((kind.member(), keep));
        } else if matches!(expected, Expected::For { kind: wanted, .. } if wanted == kind) {
            return Err(ListError::NoList);
        }
    }
    let shared = result.get("cacheScope").is_some_and(|scope| scope.as_str() != Some("private"));
    let complete = keeps.iter().all(|(_, keep)| keep.iter().all(|keep| *keep));
    if keeps.is_empty() || (complete && !shared) {
        return Ok(Filtered::Unchanged);
    }
    rewrite(body, &keeps).map(Filtered::Changed).map_err(|_| ListError::BadEnvelope)
}

/// The result of a response that may hold a list.
fn read_result<'m, 'a>(
    message: &'m Object<'a>,
    expected: Expected<'_>,
) -> Result<Option<&'m Object<'a>>, ListError> {
    if similar_name(message, &ENVELOPE_MEMBERS).is_some() {
        return Err(ListError::BadEnvelope);
    }
    let result = match (message.get("method"), message.get("result"), message.get("error")) {
        (Some(_), None, None) | (None, None, Some(_)) => return Ok(None),
        (None, Some(result), None) => result.as_object(),
        _ => return Err(ListError::BadEnvelope),
    };
    if let Expected::For { id, .. } = expected {
        let answered = message.get("id").and_then(|id| read_id(id).ok());
        if answered.as_ref() != Some(id) {
            return Err(ListError::WrongId);
        }
        if result.is_none() {
            return Err(ListError::NoList);
        }
    }
    if result.is_some_and(|result| similar_name(result, &RESULT_MEMBERS).is_some()) {
        return Err(ListError::BadEnvelope);
    }
    Ok(result)
}

/// Writes the message again with the lists cut down. Every value that is not a
/// changed list or `cacheScope` is copied from `body` as it stands.
fn rewrite(body: &[u8], keeps: &[(&str, Vec<bool>)]) -> serde_json::Result<Vec<u8>> {
    let mut message: RawObject<'_> = serde_json::from_slice(body)?;
    let mut result_json = String::new();
    if let Some(result) = message.get_mut("result") {
        let mut members: RawObject<'_> = serde_json::from_str(result.get())?;
        let mut lists = Vec::with_capacity(keeps.len());
        for (name, keep) in keeps {
            if let Some(list) = members.get_mut(name) {
                let entries: Vec<&RawValue> = serde_json::from_str(list.get())?;
                let kept = entries.iter().zip(keep).filter(|(_, keep)| **keep);
                let kept: Vec<&RawValue> = kept.map(|(entry, _)| *entry).collect();
                lists.push((*name, serde_json::value::to_raw_value(&kept)?));
            }
        }
        let private = serde_json::value::to_raw_value("private")?;
        for (name, list) in &lists {
            if let Some(value) = members.get_mut(name) {
                *value = list;
            }
        }
        if let Some(scope) = members.get_mut("cacheScope") {
            *scope = &private;
        }
        result_json = serde_json::to_string(&members)?;
    }
    if let Some(result) = message.get_mut("result") {
        *result = serde_json::from_str(&result_json)?;
    }
    serde_json::to_vec(&message)
}

/// An object with its members in order and their values as they stand. Names are
/// unique, because the strict reader has seen the document before.
struct RawObject<'a>(Vec<(String, &'a RawValue)>);

impl<'a> RawObject<'a> {
    fn get_mut(&mut self, name: &str) -> Option<&mut &'a RawValue> {
        self.0.iter_mut().find(|(n, _)| n == name).map(|(_, value)| value)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for RawObject<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = RawObject<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawObject<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(RawObject(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

impl Serialize for RawObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}
