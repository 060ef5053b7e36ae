//! Filtering list responses, so that a caller sees only what it may use.
//!
//! An entry is judged by the same function as a call. What stays keeps its exact
//! bytes and its order; what cannot be understood is an error, never passed on.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::message::{Id, read_id, similar_name};
use super::operation::{Target, object_name};
use crate::json::{self, JsonError, Object, Value};

/// What the reader of an answer may see of it.
pub trait View {
    /// Whether an entry stays in its list: the decision of a call.
    fn permits(&self, target: &Target) -> bool;

    /// Whether anything that this feature is for is allowed to anybody here.
    fn offers(&self, feature: Feature) -> bool;

    /// How long the reader's token is still good: nothing filtered for it may be kept longer.
    fn token_life(&self) -> Duration;
}

/// What a server's `capabilities` announce (MCP, "Capability Negotiation").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Feature {
    /// `tools`
    Tools,
    /// `prompts`
    Prompts,
    /// `resources`
    Resources,
    /// `completions`
    Completions,
    /// `logging`, in the legacy era a method
    Logging,
    /// `tasks`, and the extension `io.modelcontextprotocol/tasks`
    Tasks,
    /// `tasks.list`
    TasksList,
    /// `tasks.cancel`
    TasksCancel,
}

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

/// Levels of a message that are kept to be looked at: the message, its result, a list and
/// an entry. Deeper ones, such as schemas, are checked only.
const LEVELS: usize = 4;

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
    let value = json::read_levels(body, LEVELS)?;
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
    let mut result: RawObject<'_> = serde_json::from_str(message.get("result"))?;
    let mut lists = Vec::with_capacity(keeps.len());
    for (name, keep) in keeps {
        let entries: Vec<&RawValue> = serde_json::from_str(result.get(name))?;
        let kept = entries.into_iter().zip(keep).filter_map(|(entry, keep)| keep.then_some(entry));
        lists.push((*name, to_raw_value(&kept.collect::<Vec<_>>())?));
    }
    let private = to_raw_value("private")?;
    result.replace("cacheScope", &private);
    for (name, list) in &lists {
        result.replace(name, list);
    }
    let result = to_raw_value(&result)?;
    message.replace("result", &result);
    serde_json::to_vec(&message)
}

/// An object with its members in order and their values as they stand. Names are
/// unique, because the strict reader has seen the document before.
struct RawObject<'a>(Vec<(String, &'a RawValue)>);

impl<'a> RawObject<'a> {
    /// The JSON text of a member; of an absent one the empty text, which is no JSON.
    fn get(&self, name: &str) -> &'a str {
        self.0.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value.get())
    }

    /// Replaces the value of a member, if there is one.
    fn replace(&mut self, name: &str, value: &'a RawValue) {
        if let Some(member) = self.0.iter_mut().find(|(n, _)| n == name) {
            member.1 = value;
        }
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

    use super::*;

    const ID: Id = Id::Integer(1);

    fn expected(method: &str) -> Expected<'static> {
        Expected::For { kind: ListKind::of(method).unwrap(), id: &ID }
    }

    /// Permits every object but those with `secret` in their name.
    fn permit(target: &Target) -> bool {
        match target {
            Target::Tool(name)
            | Target::Prompt(name)
            | Target::Resource(name)
            | Target::ResourceTemplate(name) => !name.contains("secret"),
            other => panic!("{other:?} is no list entry"),
        }
    }

    fn filter(body: &str, expected: Expected<'_>) -> Result<Filtered, ListError> {
        filter_list(body.as_bytes(), expected, &mut permit)
    }

    fn changed(body: &str) -> Result<Filtered, ListError> {
        Ok(Filtered::Changed(body.as_bytes().to_vec()))
    }

    fn tools(entries: &str) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{entries}]}}}}"#)
    }

    #[test]
    fn what_stays_keeps_its_bytes_and_order() {
        let body = r#" { "result" : {"ttlMs":5.0, "tools" : [ {"name":"b", "n":1.50 , "\u0061":"\u00e4"},{"name":"secret"}, {"name":"a"}],"nextCursor":"" } , "id":1,"jsonrpc":"2.0"}"#;
        let kept = r#"{"result":{"ttlMs":5.0,"tools":[{"name":"b", "n":1.50 , "\u0061":"\u00e4"},{"name":"a"}],"nextCursor":""},"id":1,"jsonrpc":"2.0"}"#;
        assert_eq!(filter(body, expected("tools/list")), changed(kept));
        assert_eq!(filter(body, Expected::Any), changed(kept));
    }

    #[test]
    fn every_list_is_filtered_by_what_names_its_entries() {
        for (method, member, name) in [
            ("tools/list", "tools", "name"),
            ("prompts/list", "prompts", "name"),
            ("resources/list", "resources", "uri"),
            ("resources/templates/list", "resourceTemplates", "uriTemplate"),
        ] {
            let list = |entries: &str| {
                format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"{member}":[{entries}]}}}}"#)
            };
            let open = format!(r#"{{"{name}":"f:/open","title":"secret"}}"#);
            let closed = format!(r#"{{"{name}":"f:/secret","title":"open"}}"#);
            let both = list(&format!("{closed},{open},{closed}"));
            for expected in [expected(method), Expected::Any] {
                assert_eq!(filter(&both, expected), changed(&list(&open)), "{method}");
                assert_eq!(filter(&list(&open), expected), Ok(Filtered::Unchanged), "{method}");
                assert_eq!(filter(&list(&closed), expected), changed(&list("")), "{method}");
            }
            let unnamed = list(r#"{"title":"open"}"#);
            assert_eq!(filter(&unnamed, expected(method)), Err(ListError::BadEntry), "{method}");
        }
        assert_eq!(ListKind::of("tasks/list"), None);
    }

    #[test]
    fn a_list_beside_the_expected_one_is_filtered_too() {
        let body = r#"{"id":1,"result":{"tools":[],"prompts":[{"name":"secret"}]}}"#;
        let kept = r#"{"id":1,"result":{"tools":[],"prompts":[]}}"#;
        assert_eq!(filter(body, expected("tools/list")), changed(kept));
    }

    #[test]
    fn a_filtered_list_is_private() {
        for scope in [r#""public""#, "null", r#""PRIVATE""#] {
            let body = format!(r#"{{"id":1,"result":{{"cacheScope":{scope},"tools":[]}}}}"#);
            let kept = r#"{"id":1,"result":{"cacheScope":"private","tools":[]}}"#;
            assert_eq!(filter(&body, expected("tools/list")), changed(kept));
        }
        let private = r#"{"id":1,"result":{"cacheScope":"private","tools":[]}}"#;
        assert_eq!(filter(private, expected("tools/list")), Ok(Filtered::Unchanged));
        let read = r#"{"id":1,"result":{"cacheScope":"public","contents":[]}}"#;
        assert_eq!(filter(read, Expected::Any), Ok(Filtered::Unchanged), "not a list");
    }

    #[test]
    fn other_messages_pass() {
        for body in [
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"tools":[1]}}"#,
            r#"{"jsonrpc":"2.0","id":9,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"no"}}"#,
        ] {
            assert_eq!(filter(body, expected("tools/list")), Ok(Filtered::Unchanged), "{body}");
            assert_eq!(filter(body, Expected::Any), Ok(Filtered::Unchanged), "{body}");
        }
        let call = r#"{"jsonrpc":"2.0","id":7,"result":{"content":[{"name":"secret"}]}}"#;
        assert_eq!(filter(call, Expected::Any), Ok(Filtered::Unchanged));
        assert_eq!(filter(call, expected("tools/list")), Err(ListError::WrongId));
    }

    #[test]
    fn what_is_not_understood_never_passes() {
        use ListError::{BadEntry, BadEnvelope, NoList, WrongId};
        for (body, error) in [
            ("[]".into(), BadEnvelope),
            (format!("[{}]", tools("")), BadEnvelope),
            (r#"{"id":1}"#.into(), BadEnvelope),
            (r#"{"id":1,"method":"x","result":{"tools":[]}}"#.into(), BadEnvelope),
            (r#"{"id":1,"error":{},"result":{"tools":[]}}"#.into(), BadEnvelope),
            (r#"{"id":1,"method":"x","Result":{"tools":[]}}"#.into(), BadEnvelope),
            (r#"{"id":1,"result":{"tools":[],"Tools":[{"name":"secret"}]}}"#.into(), BadEnvelope),
            (r#"{"id":1,"result":{}}"#.into(), NoList),
            (r#"{"id":1,"result":[{"name":"secret"}]}"#.into(), NoList),
            (r#"{"id":1,"result":{"prompts":[]}}"#.into(), NoList),
            (r#"{"id":1,"result":{"tools":{"0":{"name":"secret"}}}}"#.into(), NoList),
            (r#"{"id":2,"result":{"tools":[]}}"#.into(), WrongId),
            (r#"{"id":"1","result":{"tools":[]}}"#.into(), WrongId),
            (r#"{"id":null,"result":{"tools":[]}}"#.into(), WrongId),
            (r#"{"result":{"tools":[]}}"#.into(), WrongId),
            (tools(r#""secret""#), BadEntry),
            (tools(r#"{"name":["secret"]}"#), BadEntry),
            (tools(r#"{"name":""}"#), BadEntry),
            (tools(r#"{"name":"open","Name":"secret"}"#), BadEntry),
            (tools(r#"{"uri":"open"}"#), BadEntry),
        ] {
            assert_eq!(filter(&body, expected("tools/list")), Err(error), "{body}");
        }
        for body in ["", "\u{1f}\u{8b}", "<html>", &tools(r#"{"name":"open","name":"secret"}"#)] {
            for expected in [expected("tools/list"), Expected::Any] {
                assert!(matches!(filter(body, expected), Err(ListError::NotJson(_))), "{body}");
            }
        }
    }
}
