//! Filtering list responses, so that a caller sees only what it may use.
//!
//! An entry is judged by the same function as a call. What stays keeps its exact
//! bytes and its order; what cannot be understood is an error, never passed on.

use std::time::Duration;

use super::capabilities;
use super::message::{Id, read_id, similar_name};
use super::operation::{Target, object_name};
use super::rewrite::{Edit, MemberEdit};
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
    /// `tasks/list`
    Tasks,
}

/// What an answer is looked at for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asked {
    /// A list, which is cut down to what its reader may use.
    List(ListKind),
    /// The answer to `initialize` or `server/discover`: what the server says it can do.
    Capabilities,
}

impl Asked {
    /// What a method asks for; `None` when its answer is not looked at.
    #[must_use]
    pub fn of(method: &str) -> Option<Self> {
        match method {
            "initialize" | "server/discover" => Some(Asked::Capabilities),
            _ => ListKind::of(method).map(Asked::List),
        }
    }
}

/// What a message from the server may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected<'a> {
    /// On the answer to such a request: its response, which must hold the list if one was
    /// asked for.
    For {
        /// What was asked for.
        asked: Asked,
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
    /// A list in an answer to something else.
    #[error("a list that was not asked for on this stream")]
    Unasked,
    /// One event is larger than [`MAX_EVENT_LEN`](super::MAX_EVENT_LEN).
    #[error("an event is too large")]
    TooLarge,
    /// The stream ended within an event.
    #[error("the stream ended within an event")]
    Truncated,
}

/// Levels of a message that are kept to be looked at. A list needs four: the message, its
/// result, the list and an entry. Capabilities need six, down to the calls that may be
/// answered with tasks. Deeper ones, such as schemas, are checked only.
const LEVELS: usize = 6;

/// Members of a message, of a result and of an entry that must not be imitated.
const ENVELOPE_MEMBERS: [&str; 4] = ["id", "method", "result", "error"];
const RESULT_MEMBERS: [&str; 7] =
    ["tools", "prompts", "resources", "resourceTemplates", "tasks", "cacheScope", "ttlMs"];
const ENTRY_MEMBERS: [&str; 4] = ["name", "uri", "uriTemplate", "taskId"];

impl ListKind {
    pub(super) const ALL: [ListKind; 5] = [
        ListKind::Tools,
        ListKind::Prompts,
        ListKind::Resources,
        ListKind::ResourceTemplates,
        ListKind::Tasks,
    ];

    /// The list that a method answers with.
    #[must_use]
    pub fn of(method: &str) -> Option<Self> {
        match method {
            "tools/list" => Some(ListKind::Tools),
            "prompts/list" => Some(ListKind::Prompts),
            "resources/list" => Some(ListKind::Resources),
            "resources/templates/list" => Some(ListKind::ResourceTemplates),
            "tasks/list" => Some(ListKind::Tasks),
            _ => None,
        }
    }

    /// The member of the result that holds the list.
    pub(super) fn member(self) -> &'static str {
        match self {
            ListKind::Tools => "tools",
            ListKind::Prompts => "prompts",
            ListKind::Resources => "resources",
            ListKind::ResourceTemplates => "resourceTemplates",
            ListKind::Tasks => "tasks",
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
            ListKind::Tasks => ("taskId", Target::Task),
        };
        entry.get(member).and_then(object_name).map(target).ok_or(ListError::BadEntry)
    }
}

/// Filters one JSON-RPC message from the server.
///
/// Requests, notifications and error responses pass unchanged. In a response, every
/// entry of a list that `view` does not permit is removed, and the list is cached for its
/// reader alone and no longer than the token is good, because it depends on who asked
/// (MCP 2026-07-28, "Caching"): `cacheScope` becomes `private`, and `ttlMs` at most the
/// token's life. Where capabilities were asked for, they become those that are offered.
///
/// # Errors
/// [`ListError`] when the message is not what was `expected` or not understood.
pub fn filter_answer(
    body: &[u8],
    expected: Expected<'_>,
    view: &dyn View,
) -> Result<Filtered, ListError> {
    let value = json::read_levels(body, LEVELS)?;
    let message = value.as_object().ok_or(ListError::BadEnvelope)?;
    let Some(result) = read_result(message, expected)? else { return Ok(Filtered::Unchanged) };

    let mut edits = list_edits(result, expected, view)?;
    if matches!(expected, Expected::For { asked: Asked::Capabilities, .. }) {
        edits.extend(capabilities::edits(result, view));
    }
    if edits.is_empty() {
        return Ok(Filtered::Unchanged);
    }
    let edit = Edit::Members(vec![("result", Some(Edit::Members(edits)))]);
    let text = std::str::from_utf8(body).map_err(|_| JsonError::NotUtf8)?;
    let changed = edit.apply(text).map_err(|_| ListError::BadEnvelope)?;
    Ok(Filtered::Changed(Box::<str>::from(changed).into_string().into_bytes()))
}

/// What changes in a result for the lists in it.
fn list_edits(
    result: &Object<'_>,
    expected: Expected<'_>,
    view: &dyn View,
) -> Result<Vec<MemberEdit>, ListError> {
    let mut edits = Vec::new();
    let mut holds_list = false;
    for kind in ListKind::ALL {
        if let Some(list) = result.get(kind.member()) {
            holds_list = true;
            let entries = list.as_array().ok_or(ListError::NoList)?;
            let keep = entries
                .iter()
                .map(|entry| kind.target(entry).map(|target| view.permits(&target)))
                .collect::<Result<Vec<bool>, ListError>>()?;
            if keep.contains(&false) {
                edits.push((kind.member(), Some(Edit::Retain(keep))));
            }
        } else if matches!(expected, Expected::For { asked: Asked::List(wanted), .. } if wanted == kind)
        {
            return Err(ListError::NoList);
        }
    }
    if holds_list {
        edits.extend(scope_edit(result));
        edits.extend(ttl_edit(result, view.token_life()));
    }
    Ok(edits)
}

fn scope_edit(result: &Object<'_>) -> Option<MemberEdit> {
    let scope = result.get("cacheScope")?;
    let private = scope.as_str() == Some("private");
    (!private).then(|| ("cacheScope", Some(Edit::Replace(r#""private""#.to_owned()))))
}

/// A `ttlMs` that is no number from zero on becomes 0, "immediately stale": lenient clients
/// read a number out of some such values, and of 0 they all make the same.
fn ttl_edit(result: &Object<'_>, life: Duration) -> Option<MemberEdit> {
    let ttl = match result.get("ttlMs")? {
        Value::Number(ttl) => ttl.as_f64().filter(|ttl| *ttl >= 0.0),
        _ => None,
    };
    let most = match ttl {
        Some(ttl) if ttl <= life.as_secs_f64() * 1000.0 => return None,
        Some(_) => life.as_millis(),
        None => 0,
    };
    Some(("ttlMs", Some(Edit::Replace(most.to_string()))))
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
    if let Expected::For { id, asked } = expected {
        let answered = message.get("id").and_then(|id| read_id(id).ok());
        if answered.as_ref() != Some(id) {
            return Err(ListError::WrongId);
        }
        if result.is_none() && asked != Asked::Capabilities {
            return Err(ListError::NoList);
        }
    }
    if result.is_some_and(|result| similar_name(result, &RESULT_MEMBERS).is_some()) {
        return Err(ListError::BadEnvelope);
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

    use super::*;

    const ID: Id = Id::Integer(1);

    fn expected(method: &str) -> Expected<'static> {
        Expected::For { asked: Asked::of(method).unwrap(), id: &ID }
    }

    /// Permits every object but those with `secret` in their name.
    struct NoSecrets;

    impl View for NoSecrets {
        fn permits(&self, target: &Target) -> bool {
            match target {
                Target::Tool(name)
                | Target::Prompt(name)
                | Target::Resource(name)
                | Target::ResourceTemplate(name)
                | Target::Task(name) => !name.contains("secret"),
                other => panic!("{other:?} is no list entry"),
            }
        }

        fn offers(&self, _feature: Feature) -> bool {
            true
        }

        fn token_life(&self) -> Duration {
            Duration::from_secs(300)
        }
    }

    fn filter(body: &str, expected: Expected<'_>) -> Result<Filtered, ListError> {
        filter_answer(body.as_bytes(), expected, &NoSecrets)
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
            ("tasks/list", "tasks", "taskId"),
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
        assert_eq!(ListKind::of("tools/call"), None);
    }

    #[test]
    fn a_list_beside_the_expected_one_is_filtered_too() {
        let body = r#"{"id":1,"result":{"tools":[],"prompts":[{"name":"secret"}]}}"#;
        let kept = r#"{"id":1,"result":{"tools":[],"prompts":[]}}"#;
        assert_eq!(filter(body, expected("tools/list")), changed(kept));
    }

    #[test]
    fn a_page_without_entries_keeps_its_cursor() {
        for cursor in [r#""""#, r#""a\u0062""#] {
            let page = |entries: &str| {
                format!(r#"{{"id":1,"result":{{"nextCursor":{cursor},"tasks":[{entries}]}}}}"#)
            };
            let foreign = page(r#"{"taskId":"secret","status":"working"}"#);
            assert_eq!(filter(&foreign, expected("tasks/list")), changed(&page("")));
        }
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
        let read = r#"{"id":1,"result":{"cacheScope":"public","ttlMs":1e9,"contents":[]}}"#;
        assert_eq!(filter(read, Expected::Any), Ok(Filtered::Unchanged), "not a list");
    }

    #[test]
    fn a_filtered_list_is_kept_no_longer_than_the_token_is_good() {
        let list = |ttl: &str| format!(r#"{{"id":1,"result":{{"tools":[],"ttlMs":{ttl}}}}}"#);
        for ttl in ["0", "-0", "1.5", "299999", "3e5", "300000", "300000.0"] {
            assert_eq!(filter(&list(ttl), Expected::Any), Ok(Filtered::Unchanged), "{ttl}");
        }
        for ttl in ["300001", "300000.1", "1e300", "18446744073709551615"] {
            assert_eq!(filter(&list(ttl), Expected::Any), changed(&list("300000")), "{ttl}");
        }
        for ttl in ["-1", "null", "true", r#""60000""#, "[60000]", "{}"] {
            assert_eq!(filter(&list(ttl), Expected::Any), changed(&list("0")), "{ttl}");
        }
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
            (r#"{"id":1,"result":{"tools":[],"ttl_ms":1}}"#.into(), BadEnvelope),
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
