//! Reading one JSON-RPC message from a client.
//!
//! The profile is stricter than any server's: a message that two parsers could
//! understand differently is refused, whatever it says. Bytes that pass are
//! forwarded as they came, so what was decided on is what runs.

use serde::Serialize;

use self::RefusalReason::{AmbiguousName, BadEnvelope, BadParams};
use super::headers::StandardHeaders;
use super::operation::{Operation, Target};
use super::params::ParamHeader;
use crate::json::{self, JsonError, Object, Value};

/// Longest string id, in bytes. Clients count or use UUIDs; the id is echoed and
/// kept for the life of the stream.
const MAX_ID_LEN: usize = 256;

/// Ids are smaller than this in magnitude (2^53): beyond it parsers that use
/// doubles read another number than we do.
const ID_LIMIT: u64 = 1 << 53;

/// Longest method, in bytes. The longest that MCP defines has 38.
const MAX_METHOD_LEN: usize = 128;

/// Levels of a message that are kept to be looked at: the message, `params`, an object in
/// it, and an array in that (`notifications.taskIds`). Deeper ones are checked only.
const LEVELS: usize = 4;

/// Most characters of an unknown version that are echoed. Versions are dates.
const MAX_ECHOED_VERSION: usize = 32;

const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// Names with a meaning somewhere in a message. A name that only resembles one of
/// them is an attempt to be read differently by a lenient parser.
const PROTOCOL_MEMBERS: [&str; 22] = [
    "jsonrpc",
    "id",
    "method",
    "params",
    "name",
    "uri",
    "arguments",
    "_meta",
    "ref",
    "taskId",
    "cursor",
    "notifications",
    "result",
    "error",
    "inputResponses",
    "requestState",
    "task",
    "type",
    "resourceSubscriptions",
    "taskIds",
    PROTOCOL_VERSION,
    CLIENT_CAPABILITIES,
];

/// JavaScript that copies an object member by member makes the value of this one the copy's
/// prototype, where it finds the members that the object lacks.
const PROTOTYPE: &str = "__proto__";

/// Which generation of the protocol a message belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Era {
    /// Up to 2025-11-25: `initialize`, sessions.
    Legacy,
    /// 2026-07-28: `params._meta` has `io.modelcontextprotocol/protocolVersion`.
    Modern,
}

/// A JSON-RPC id. Serialises as the JSON value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum Id {
    /// An integer below 2^53 in magnitude.
    Integer(i64),
    /// A string of at most 256 bytes.
    String(String),
}

/// One message from a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A call that wants an answer.
    Request {
        /// Its id.
        id: Id,
        /// Its era.
        era: Era,
        /// What it asks for.
        operation: Operation,
    },
    /// A call without id. The method need not be a `notifications/` one: `tools/call`
    /// without id arrives here with its target, for policy to deny.
    Notification {
        /// Its era.
        era: Era,
        /// What it tells.
        operation: Operation,
    },
    /// The answer to a server's request. Legacy only, and only within a session.
    Response {
        /// The id of the server's request.
        id: Id,
    },
}

/// A refused message. Answered with HTTP 400 and a JSON-RPC error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: RefusalReason,
    /// The id to echo, when it could be read safely.
    pub id: Option<Id>,
    /// The era, as far as body or version header told it.
    pub era: Option<Era>,
}

/// Why a message was refused: always the sender's fault. The texts may be shown to
/// the client; they repeat nothing of the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusalReason {
    /// Not exactly one strict JSON document.
    #[error("the body is not acceptable JSON: {0}")]
    NotJson(#[from] JsonError),
    /// JSON, but neither an object nor an array.
    #[error("the body is not a JSON-RPC message")]
    NotOneObject,
    /// A JSON-RPC batch. Only 2025-03-26 has them, and they hide calls from
    /// whoever looks at one message per request.
    #[error("JSON-RPC batches are not accepted")]
    Batch,
    /// Not a JSON-RPC 2.0 request, notification or response as MCP profiles them.
    #[error("{0}")]
    BadEnvelope(&'static str),
    /// The parameters are not what the method or the era needs.
    #[error("{0}")]
    BadParams(&'static str),
    /// A header contradicts the message, or a required one is missing.
    #[error("{0}")]
    HeaderMismatch(&'static str),
    /// The message, or the header of a message that states none, asks for a revision
    /// not in [`SUPPORTED_VERSIONS`](super::SUPPORTED_VERSIONS) for its era.
    #[error("unsupported protocol version")]
    UnsupportedVersion {
        /// The version asked for, cut to 32 characters.
        requested: String,
    },
    /// The method is one that revision 2026-07-28 took out.
    #[error("the method is not of this protocol revision")]
    RemovedMethod,
    /// A member name resembles the given protocol member without being it.
    #[error("a member name is too similar to \"{0}\"")]
    AmbiguousName(&'static str),
}

impl RefusalReason {
    /// That a revision is not served, of which no more is told than a revision is long.
    #[must_use]
    pub fn unsupported(version: &str) -> Self {
        let requested = version.chars().take(MAX_ECHOED_VERSION).collect();
        RefusalReason::UnsupportedVersion { requested }
    }

    /// The JSON-RPC error code (JSON-RPC 2.0 section 5.1; MCP 2026-07-28, "Error Codes").
    #[must_use]
    pub fn json_rpc_code(&self) -> i64 {
        match self {
            Self::NotJson(_) => -32700,
            Self::NotOneObject | Self::Batch | Self::BadEnvelope(_) | Self::AmbiguousName(_) => {
                -32600
            }
            Self::RemovedMethod => -32601,
            Self::BadParams(_) => -32602,
            Self::HeaderMismatch(_) => -32020,
            Self::UnsupportedVersion { .. } => -32022,
        }
    }
}

/// Reads the body of a POST and checks that the headers agree with it.
///
/// # Errors
/// [`Refusal`], for anything but one unambiguous message.
pub fn read_message(body: &[u8], headers: &StandardHeaders<'_>) -> Result<Message, Refusal> {
    read_message_and_params(body, headers, &|_| &[]).map(|(message, _)| message)
}

/// Reads the body of a POST like [`read_message`], and says besides whether the
/// `Mcp-Param-*` headers that `param_headers` tells of the called tool agree with its
/// arguments. That is an answer of its own, because only a caller who may call the tool
/// may learn what is known of it; a disagreement is then refused with
/// [`Message::refuse`].
///
/// # Errors
/// [`Refusal`], for anything but one unambiguous message.
pub fn read_message_and_params<'p>(
    body: &[u8],
    headers: &StandardHeaders<'_>,
    param_headers: &dyn Fn(&Target) -> &'p [ParamHeader],
) -> Result<(Message, Result<(), RefusalReason>), Refusal> {
    let mut reader = Reader { headers, id: None, era: headers.claimed_era() };
    let message = match reader.read(body) {
        Ok(message) => message,
        Err(reason) => return Err(Refusal { reason, id: reader.id, era: reader.era }),
    };
    let params = match &message {
        Message::Request { era, operation, .. } | Message::Notification { era, operation } => {
            check_params(body, *era, headers, param_headers(&operation.target))
        }
        Message::Response { .. } => Ok(()),
    };
    Ok((message, params))
}

/// Compares headers with the arguments they mirror. Most tools have none, so arguments are
/// not kept, and read once more for those that do.
fn check_params(
    body: &[u8],
    era: Era,
    headers: &StandardHeaders<'_>,
    mirrored: &[ParamHeader],
) -> Result<(), RefusalReason> {
    if mirrored.is_empty() {
        return Ok(());
    }
    let message = json::read(body)?;
    let params = message.as_object().and_then(|message| message.get("params"));
    let arguments = params.and_then(Value::as_object).and_then(|params| params.get("arguments"));
    let arguments = arguments.and_then(Value::as_object);
    mirrored.iter().try_for_each(|header| header.check(era, arguments, headers))
}

impl Message {
    /// The refusal of this message for that reason.
    #[must_use]
    pub fn refuse(&self, reason: RefusalReason) -> Refusal {
        let (id, era) = match self {
            Message::Request { id, era, .. } => (Some(id.clone()), *era),
            Message::Notification { era, .. } => (None, *era),
            Message::Response { id } => (Some(id.clone()), Era::Legacy),
        };
        Refusal { reason, id, era: Some(era) }
    }
}

/// Requests that revision 2026-07-28 no longer has (its changelog; SEP-2663 for tasks). A
/// server that looks at the body less closely would run them as of the era before.
const REMOVED_METHODS: [&str; 7] = [
    "initialize",
    "ping",
    "logging/setLevel",
    "resources/subscribe",
    "resources/unsubscribe",
    "tasks/list",
    "tasks/result",
];

/// What is known of the message so far, for the refusal.
struct Reader<'a> {
    headers: &'a StandardHeaders<'a>,
    id: Option<Id>,
    era: Option<Era>,
}

impl Reader<'_> {
    fn read(&mut self, body: &[u8]) -> Result<Message, RefusalReason> {
        let value = json::read_levels(body, LEVELS)?;
        let message = match &value {
            Value::Object(message) => message,
            Value::Array(_) => return Err(RefusalReason::Batch),
            _ => return Err(RefusalReason::NotOneObject),
        };
        refuse_similar_names(message)?;
        self.id = message.get("id").map(read_id).transpose()?;
        if message.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
            return Err(BadEnvelope("jsonrpc must be \"2.0\""));
        }
        match (message.get("method"), message.get("result"), message.get("error")) {
            (Some(method), None, None) => self.read_call(message, method),
            (None, Some(Value::Object(_)), None) => self.read_response(message),
            (None, None, Some(Value::Object(error))) if is_error(error) => {
                self.read_response(message)
            }
            _ => Err(BadEnvelope("a message has exactly one of method, result and error")),
        }
    }

    fn read_call(
        &mut self,
        message: &Object<'_>,
        method: &Value<'_>,
    ) -> Result<Message, RefusalReason> {
        only_members(message, &["jsonrpc", "id", "method", "params"])?;
        let method = method
            .as_str()
            .filter(|method| is_method(method))
            .ok_or(BadEnvelope("method must be a short string of visible ASCII characters"))?;
        let params = optional_object(message, "params", "params must be an object")?;
        let meta = match params {
            Some(params) => {
                refuse_similar_names(params)?;
                for nested in ["ref", "notifications"] {
                    if let Some(Value::Object(object)) = params.get(nested) {
                        refuse_similar_names(object)?;
                    }
                }
                optional_object(params, "_meta", "params._meta must be an object")?
            }
            None => None,
        };
        let era = self.read_era(meta)?;
        let required = era == Era::Modern && self.id.is_some();
        if required && REMOVED_METHODS.contains(&method) {
            let operation = Operation { method: method.to_owned(), target: Target::None };
            self.headers.check_operation(&operation, required)?;
            return Err(RefusalReason::RemovedMethod);
        }
        let operation = Operation::of(method, params)?;
        self.headers.check_operation(&operation, required)?;
        self.headers.check_params()?;
        match self.id.clone() {
            None => Ok(Message::Notification { era, operation }),
            Some(_) if method.starts_with("notifications/") => {
                Err(BadEnvelope("a notification has no id"))
            }
            Some(id) => Ok(Message::Request { id, era, operation }),
        }
    }

    fn read_era(&mut self, meta: Option<&Object<'_>>) -> Result<Era, RefusalReason> {
        if let Some(meta) = meta {
            refuse_similar_names(meta)?;
        }
        let Some((meta, version)) = meta.and_then(|m| Some((m, m.get(PROTOCOL_VERSION)?))) else {
            self.headers.check_legacy_version()?;
            self.era = Some(Era::Legacy);
            return Ok(Era::Legacy);
        };
        self.era = Some(Era::Modern);
        let version = version.as_str().ok_or(BadParams("the protocol version must be a string"))?;
        self.headers.check_modern_version(version)?;
        if meta.get(CLIENT_CAPABILITIES).and_then(Value::as_object).is_none() {
            return Err(BadParams(
                "params._meta must carry io.modelcontextprotocol/clientCapabilities",
            ));
        }
        Ok(Era::Modern)
    }

    fn read_response(&self, message: &Object<'_>) -> Result<Message, RefusalReason> {
        only_members(message, &["jsonrpc", "id", "result", "error"])?;
        self.headers.check_response()?;
        if !self.headers.session {
            return Err(BadEnvelope("a response needs a session"));
        }
        let id = self.id.clone().ok_or(BadEnvelope("a response needs an id"))?;
        Ok(Message::Response { id })
    }
}

/// Whether a text can be a method: neither empty nor endless, and of characters that
/// `Mcp-Method` can mirror. With a comma it could be two header lines in one.
pub(super) fn is_method(text: &str) -> bool {
    let is_allowed = |byte: u8| matches!(byte, b'!'..=b'~') && byte != b',';
    (1..=MAX_METHOD_LEN).contains(&text.len()) && text.bytes().all(is_allowed)
}

/// The id, if it is one that every parser reads alike.
pub(super) fn read_id(value: &Value<'_>) -> Result<Id, RefusalReason> {
    match value {
        Value::String(id) if id.len() <= MAX_ID_LEN => Some(Id::String(id.clone().into_owned())),
        Value::Number(id) => id.as_i64().filter(|id| id.unsigned_abs() < ID_LIMIT).map(Id::Integer),
        _ => None,
    }
    .ok_or(BadEnvelope("id must be a short string or an integer below 2^53"))
}

/// JSON-RPC 2.0 section 5.1.
fn is_error(error: &Object<'_>) -> bool {
    let code = error.get("code");
    matches!(code, Some(Value::Number(code)) if code.is_i64())
        && error.get("message").and_then(Value::as_str).is_some()
}

fn only_members(object: &Object<'_>, known: &[&str]) -> Result<(), RefusalReason> {
    if object.iter().all(|(name, _)| known.contains(&name)) {
        Ok(())
    } else {
        Err(BadEnvelope("the message has an unknown member"))
    }
}

fn optional_object<'o, 'a>(
    object: &'o Object<'a>,
    member: &str,
    complaint: &'static str,
) -> Result<Option<&'o Object<'a>>, RefusalReason> {
    let Some(value) = object.get(member) else { return Ok(None) };
    value.as_object().map(Some).ok_or(BadParams(complaint))
}

fn refuse_similar_names(object: &Object<'_>) -> Result<(), RefusalReason> {
    let prototype = object.get(PROTOTYPE).map(|_| PROTOTYPE);
    match prototype.or_else(|| similar_name(object, &PROTOCOL_MEMBERS)) {
        Some(member) => Err(AmbiguousName(member)),
        None => Ok(()),
    }
}

/// The member of `known` that a name in `object` resembles without being it.
///
/// Lenient parsers match names case-insensitively (Go's `encoding/json`, with
/// U+017F as `s` and U+212A as `k`; GHSA-wvj2-96wp-fq3f) or in `snake_case`
/// beside `camelCase` (`populate_by_name` in the Python SDK's models: `task_id`, and
/// `meta` for `_meta`), so case and underscores do not make a name another one.
pub(super) fn similar_name(object: &Object<'_>, known: &[&'static str]) -> Option<&'static str> {
    object.iter().find_map(|(name, _)| {
        if known.contains(&name) {
            return None;
        }
        known.iter().find(|member| resembles(name, member)).copied()
    })
}

/// Whether a lenient parser may take a name for this member.
pub(super) fn resembles(name: &str, member: &str) -> bool {
    folded(name).eq(folded(member))
}

/// Protocol members are ASCII, so only characters with ASCII letters among their case
/// variants matter: the two of Unicode simple case folding, the two that per-character
/// upper- or lower-casing adds (dotless and dotted i), and those that full case folding
/// makes several letters of (sharp s and the Latin ligatures).
pub(super) fn folded(name: &str) -> impl Iterator<Item = char> {
    name.chars().filter(|c| *c != '_').flat_map(|c| {
        let (first, others) = match c {
            '\u{017f}' => ('s', ""),
            '\u{212a}' => ('k', ""),
            '\u{0130}' | '\u{0131}' => ('i', ""),
            '\u{00df}' | '\u{1e9e}' => ('s', "s"),
            '\u{fb00}' => ('f', "f"),
            '\u{fb01}' => ('f', "i"),
            '\u{fb02}' => ('f', "l"),
            '\u{fb03}' => ('f', "fi"),
            '\u{fb04}' => ('f', "fl"),
            '\u{fb05}' | '\u{fb06}' => ('s', "t"),
            _ => (c.to_ascii_lowercase(), ""),
        };
        std::iter::once(first).chain(others.chars())
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests may panic")]

    use super::super::params::ParamLine;
    use super::*;

    const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
    const CALL: &str =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{}}}"#;

    const NO_HEADERS: StandardHeaders<'_> = StandardHeaders {
        protocol_version: None,
        method: None,
        name: None,
        params: &[],
        session: false,
    };
    const MODERN_CALL: StandardHeaders<'_> = StandardHeaders {
        protocol_version: Some("2026-07-28"),
        method: Some("tools/call"),
        name: Some("echo"),
        params: &[],
        session: false,
    };

    fn modern(method: &str, members: &str) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{members}{META}}}}}"#)
    }

    fn accepted(body: &str, headers: StandardHeaders<'_>) -> Message {
        read_message(body.as_bytes(), &headers).unwrap()
    }

    fn refused(body: &str, headers: StandardHeaders<'_>) -> RefusalReason {
        read_message(body.as_bytes(), &headers).unwrap_err().reason
    }

    fn call(target: &str) -> Operation {
        Operation { method: "tools/call".into(), target: Target::Tool(target.into()) }
    }

    #[test]
    fn reads_a_legacy_request() {
        let expected =
            Message::Request { id: Id::Integer(1), era: Era::Legacy, operation: call("echo") };
        for version in [None, Some("2025-03-26"), Some(" 2025-11-25\t")] {
            let headers = StandardHeaders { protocol_version: version, ..NO_HEADERS };
            assert_eq!(accepted(CALL, headers), expected);
        }
    }

    #[test]
    fn reads_a_modern_request() {
        let body = modern("tools/call", r#""name":"echo","#);
        let expected =
            Message::Request { id: Id::Integer(1), era: Era::Modern, operation: call("echo") };
        assert_eq!(accepted(&body, MODERN_CALL), expected);
    }

    /// Whatever policy allows of the other era, and whatever parameters are missing.
    #[test]
    fn mcp_2026_07_28_removed_methods_are_not_found() {
        for method in REMOVED_METHODS {
            let headers = StandardHeaders { method: Some(method), name: None, ..MODERN_CALL };
            let reason = refused(&modern(method, ""), headers);
            assert_eq!((reason.json_rpc_code(), reason), (-32601, RefusalReason::RemovedMethod));
            let lying = StandardHeaders { method: Some("tools/call"), ..headers };
            assert_eq!(refused(&modern(method, ""), lying).json_rpc_code(), -32020);
            let legacy = format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"uri":"f:/a","taskId":"7"}}}}"#
            );
            accepted(&legacy, NO_HEADERS);
        }
    }

    #[test]
    fn escapes_are_seen_through() {
        let body = r#"{"jsonrpc":"2.0","id":1,"m\u0065thod":"tools\u002fcall","params":{"n\u0061me":"s\u0065cret"}}"#;
        assert!(matches!(
            accepted(body, NO_HEADERS),
            Message::Request { operation, .. } if operation == call("secret")
        ));
    }

    #[test]
    fn json_rpc_section_6_batches_are_refused_in_every_version() {
        for body in [format!("[{CALL}]"), "[]".into()] {
            for version in [None, Some("2025-03-26"), Some("2025-11-25"), Some("2026-07-28")] {
                let headers = StandardHeaders { protocol_version: version, ..NO_HEADERS };
                let reason = refused(&body, headers);
                assert_eq!((reason.json_rpc_code(), reason), (-32600, RefusalReason::Batch));
            }
        }
    }

    #[test]
    fn what_is_not_one_json_object_is_refused() {
        assert_eq!(refused("1", NO_HEADERS), RefusalReason::NotOneObject);
        for body in ["", "{", "{}{}", "\u{feff}{}"] {
            assert_eq!(refused(body, NO_HEADERS).json_rpc_code(), -32700, "{body}");
        }
        let nested = CALL.replace("{}", &format!("{}1{}", "[".repeat(64), "]".repeat(64)));
        assert_eq!(refused(&nested, NO_HEADERS), RefusalReason::NotJson(JsonError::TooDeep));
        let nan = CALL.replace("{}", "NaN");
        assert_eq!(refused(&nan, NO_HEADERS), RefusalReason::NotJson(JsonError::Syntax));
    }

    #[test]
    fn envoy_45202_duplicate_keys_are_refused() {
        for duplicate in [
            CALL.replace(r#""name":"echo""#, r#""name":"echo","name":"secret""#),
            CALL.replace(r#""id":1"#, r#""id":1,"method":"ping""#),
            CALL.replace(r#""id":1"#, r#""id":1,"p\u0061rams":{"name":"secret"}"#),
        ] {
            let reason = refused(&duplicate, NO_HEADERS);
            assert_eq!(reason, RefusalReason::NotJson(JsonError::DuplicateName), "{duplicate}");
        }
    }

    #[test]
    fn ghsa_q382_nul_suffixed_name() {
        let body = CALL.replace(r#""name":"echo""#, r#""name":"echo","name\u0000":"secret""#);
        assert_eq!(refused(&body, NO_HEADERS), RefusalReason::NotJson(JsonError::NulInName));
    }

    #[test]
    fn ghsa_4gph_case_variant_name() {
        for variant in ["Name", "NAME", "n\\u0041me"] {
            for members in [
                format!(r#""name":"echo","{variant}":"secret""#),
                format!(r#""{variant}":"secret","name":"echo""#),
                format!(r#""{variant}":"secret""#),
            ] {
                let body = CALL.replace(r#""name":"echo""#, &members);
                assert_eq!(refused(&body, NO_HEADERS), AmbiguousName("name"), "{body}");
            }
        }
    }

    #[test]
    fn ghsa_wvj2_case_folded_members() {
        for (at, variant, member) in [
            (r#""id":1"#, r#""id":1,"Method":"ping""#, "method"),
            (r#""id":1"#, r#""id":1,"param\u017f":{}"#, "params"),
            (r#""id":1"#, r#""id":1,"Re\u017fult":{}"#, "result"),
            (r#""id":1"#, r#""ID":1"#, "id"),
            (r#""id":1"#, r#""\u0131d":1"#, "id"),
            (r#""arguments""#, r#""tas\u212aId":"t","arguments""#, "taskId"),
            (r#""arguments""#, r#""task_id":"t","arguments""#, "taskId"),
            (r#""arguments""#, r#""ref":{"Type":1},"arguments""#, "type"),
            (r#""arguments""#, r#""noti\ufb01cations":{},"arguments""#, "notifications"),
            (r#""arguments""#, r#""reque\ufb06State":"s","arguments""#, "requestState"),
            (r#""arguments""#, r#""__proto__":{"task":{}},"arguments""#, PROTOTYPE),
            (r#""arguments""#, r#""notifications":{"__proto__":{}},"arguments""#, PROTOTYPE),
            (r#""arguments""#, r#""notifications":{"TaskIds":[]},"arguments""#, "taskIds"),
            (
                r#""arguments""#,
                r#""_meta":{"io.modelcontextprotocol/protocolversion":"2026-07-28"},"arguments""#,
                PROTOCOL_VERSION,
            ),
        ] {
            let body = CALL.replace(at, variant);
            let reason = refused(&body, NO_HEADERS);
            assert_eq!(reason.json_rpc_code(), -32600);
            assert_eq!(reason, AmbiguousName(member), "{body}");
        }
        let arguments = CALL.replace("{}", r#"{"Name":1,"ID":2}"#);
        accepted(&arguments, NO_HEADERS);
    }

    #[test]
    fn json_rpc_section_4_envelope() {
        for (from, to) in [
            (r#""jsonrpc":"2.0","#, ""),
            (r#""2.0""#, r#""1.0""#),
            (r#""2.0""#, "2.0"),
            (r#""id":1"#, r#""id":null"#),
            (r#""id":1"#, r#""id":1.0"#),
            (r#""id":1"#, r#""id":-0"#),
            (r#""id":1"#, r#""id":9007199254740992"#),
            (r#""id":1"#, r#""id":-9007199254740992"#),
            (r#""id":1"#, r#""id":18446744073709551615"#),
            (r#""id":1"#, r#""id":true"#),
            (r#""id":1"#, r#""id":{}"#),
            (r#""id":1"#, r#""id":1,"result":{}"#),
            (r#""id":1"#, r#""id":1,"extra":0"#),
            (r#""method":"tools/call","#, ""),
            (r#""tools/call""#, r#""""#),
            (r#""tools/call""#, r#"["tools/call"]"#),
            (r#""tools/call""#, r#""tools/call\u0000""#),
            (r#""tools/call""#, r#"" tools/call""#),
            (r#""tools/call""#, r#""tools/call,tools/list""#),
            (r#""tools/call""#, r#""tool\u017f/call""#),
            (r#""tools/call""#, r#""notifications/initialized""#),
        ] {
            let body = CALL.replace(from, to);
            assert!(matches!(refused(&body, NO_HEADERS), BadEnvelope(_)), "{body}");
        }
        let long = "x".repeat(257);
        for id in [format!(r#""{long}""#), "null".into()] {
            let body = CALL.replace(r#""id":1"#, &format!(r#""id":{id}"#));
            assert_eq!(refused(&body, NO_HEADERS).json_rpc_code(), -32600);
        }
        let method = CALL.replace("tools/call", &"m".repeat(129));
        assert!(matches!(refused(&method, NO_HEADERS), BadEnvelope(_)));
    }

    #[test]
    fn ids_serialise_as_they_came() {
        for id in ["0", "-9007199254740991", r#""""#, r#""a\"b""#] {
            let body = CALL.replace(r#""id":1"#, &format!(r#""id":{id}"#));
            let message = accepted(&body, NO_HEADERS);
            assert!(matches!(
                message,
                Message::Request { id: read, .. } if serde_json::to_string(&read).unwrap() == id
            ));
        }
    }

    #[test]
    fn params_are_typed() {
        for params in ["[\"echo\"]", "null", "1", r#"{"name":"echo","_meta":[]}"#] {
            let body =
                format!(r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{params}}}"#);
            let refusal = read_message(body.as_bytes(), &NO_HEADERS).unwrap_err();
            assert!(matches!(refusal.reason, BadParams(_)), "{body}");
            assert_eq!(
                (refusal.reason.json_rpc_code(), refusal.id),
                (-32602, Some(Id::Integer(7)))
            );
        }
    }

    #[test]
    fn an_unsafe_id_is_not_echoed() {
        for members in [r#""id":1,"ID":2"#, r#""id":null"#, r#""id":1,"id":2"#] {
            let body = CALL.replace(r#""id":1"#, members);
            assert_eq!(read_message(body.as_bytes(), &NO_HEADERS).unwrap_err().id, None, "{body}");
        }
    }

    #[test]
    fn a_call_without_id_keeps_its_target() {
        let body = CALL.replace(r#""id":1,"#, "");
        let expected = Message::Notification { era: Era::Legacy, operation: call("echo") };
        assert_eq!(accepted(&body, NO_HEADERS), expected);
        let unnamed = body.replace(r#""name":"echo","#, "");
        assert!(matches!(refused(&unnamed, NO_HEADERS), BadParams(_)));
    }

    #[test]
    fn openshell_1865_responses_need_a_legacy_session() {
        let session = StandardHeaders { session: true, ..NO_HEADERS };
        let result = r#"{"jsonrpc":"2.0","id":"s1","result":{}}"#;
        let error = r#"{"jsonrpc":"2.0","id":"s1","error":{"code":-1,"message":"no"}}"#;
        for body in [result, error] {
            let expected = Message::Response { id: Id::String("s1".into()) };
            assert_eq!(accepted(body, session), expected);
            assert!(matches!(refused(body, NO_HEADERS), BadEnvelope(_)));
            let modern = StandardHeaders { protocol_version: Some("2026-07-28"), ..session };
            assert_eq!(refused(body, modern).json_rpc_code(), -32602);
            let named = StandardHeaders { method: Some("tools/call"), ..session };
            assert_eq!(refused(body, named).json_rpc_code(), -32020);
        }
        for body in [
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"params":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":"x","message":"no"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":-1,"message":"no"}}"#,
        ] {
            assert!(matches!(refused(body, session), BadEnvelope(_)), "{body}");
        }
    }

    #[test]
    fn sep_2243_spoofed_headers_are_refused() {
        let secret = modern("tools/call", r#""name":"secret","#);
        assert_eq!(refused(&secret, MODERN_CALL).json_rpc_code(), -32020);
        let echo = modern("tools/call", r#""name":"echo","#);
        for headers in [
            StandardHeaders { name: None, ..MODERN_CALL },
            StandardHeaders { name: Some(""), ..MODERN_CALL },
            StandardHeaders { name: Some("Echo"), ..MODERN_CALL },
            StandardHeaders { method: None, ..MODERN_CALL },
            StandardHeaders { method: Some("Tools/Call"), ..MODERN_CALL },
            StandardHeaders { protocol_version: None, ..MODERN_CALL },
            StandardHeaders { protocol_version: Some("2025-11-25"), ..MODERN_CALL },
        ] {
            assert_eq!(refused(&echo, headers).json_rpc_code(), -32020, "{headers:?}");
        }
    }

    #[test]
    fn sep_2243_headers_of_legacy_calls_are_not_trusted() {
        for version in [None, Some("2025-11-25")] {
            let spoofed = StandardHeaders { protocol_version: version, ..MODERN_CALL };
            let secret = CALL.replace("echo", "secret");
            assert_eq!(refused(&secret, spoofed).json_rpc_code(), -32020);
            accepted(CALL, spoofed);
        }
        let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        let named = StandardHeaders { name: Some("echo"), ..NO_HEADERS };
        assert_eq!(refused(ping, named).json_rpc_code(), -32020, "a name where none is mirrored");
    }

    /// All methods of all revisions, one unknown, and one that only looks known.
    const METHODS: [&str; 23] = [
        "initialize",
        "server/discover",
        "ping",
        "tools/list",
        "tools/call",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "resources/subscribe",
        "resources/unsubscribe",
        "subscriptions/listen",
        "prompts/list",
        "prompts/get",
        "completion/complete",
        "logging/setLevel",
        "tasks/get",
        "tasks/cancel",
        "tasks/result",
        "tasks/list",
        "tasks/update",
        "vendor/method",
        "Tools/Call",
        "notifications/cancelled",
    ];

    #[test]
    fn sep_2243_an_accepted_message_does_what_its_headers_claimed() {
        let names = [None, Some(""), Some("a"), Some(" a"), Some("=?base64?YQ==?="), Some("b")];
        let params = [
            "",
            r#""name":"a","#,
            r#""uri":"a","#,
            r#""taskId":"a","#,
            r#""name":"a","uri":"b","taskId":"b","#,
            r#""name":"b","uri":"a","taskId":"a","#,
            r#""name":"=?base64?YQ==?=","uri":" a","#,
            r#""ref":{"type":"ref/prompt","name":"a"},"#,
            r#""notifications":{"taskIds":["a"]},"#,
        ];
        let (mut accepted, mut claimed) = (0_u32, 0_u32);
        for (body_method, header_method) in
            METHODS.iter().flat_map(|one| METHODS.iter().map(move |other| (one, other)))
        {
            for (name, members) in
                names.iter().flat_map(|name| params.iter().map(move |params| (name, params)))
            {
                let headers = StandardHeaders {
                    protocol_version: Some("2026-07-28"),
                    method: Some(header_method),
                    name: *name,
                    ..NO_HEADERS
                };
                let body = modern(body_method, members);
                for body in [body.replace(r#""id":1,"#, ""), body] {
                    let Ok(message) = read_message(body.as_bytes(), &headers) else { continue };
                    accepted += 1;
                    let (Message::Request { operation, .. }
                    | Message::Notification { operation, .. }) = message
                    else {
                        continue;
                    };
                    let Some(claim) = headers.claimed_operation() else { continue };
                    claimed += 1;
                    assert_eq!(operation, claim, "{headers:?} {body}");
                }
            }
        }
        assert!(accepted > 200 && claimed > 100, "{accepted} {claimed}");
    }

    #[test]
    fn sep_2243_every_method_with_a_mirrored_name_claims_it() {
        for (method, member) in [
            ("tools/call", "name"),
            ("prompts/get", "name"),
            ("resources/read", "uri"),
            ("tasks/get", "taskId"),
            ("tasks/update", "taskId"),
            ("tasks/cancel", "taskId"),
        ] {
            let body = modern(method, &format!(r#""{member}":"a","#));
            let headers = StandardHeaders { method: Some(method), ..MODERN_CALL };
            let named = StandardHeaders { name: Some("a"), ..headers };
            assert!(matches!(
                accepted(&body, named),
                Message::Request { operation, .. }
                    if Some(&operation) == named.claimed_operation().as_ref()
            ));
            for name in [None, Some("b"), Some("=?base64?YQ?=")] {
                let headers = StandardHeaders { name, ..headers };
                assert_eq!(refused(&body, headers).json_rpc_code(), -32020, "{method} {name:?}");
            }
        }
    }

    /// Reads a call of `echo` whose rule says that `Region` mirrors an argument.
    fn region(body: &str, headers: StandardHeaders<'_>) -> Result<Result<(), Refusal>, Refusal> {
        let rule = [ParamHeader::new("Region", "/region").unwrap()];
        let rules = |target: &Target| match target {
            Target::Tool(name) if name == "echo" => rule.as_slice(),
            _ => &[],
        };
        let (message, agree) = read_message_and_params(body.as_bytes(), &headers, &rules)?;
        Ok(agree.map_err(|reason| message.refuse(reason)))
    }

    fn param(suffix: &str, value: &str) -> ParamLine {
        ParamLine { suffix: suffix.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn sep_2243_param_headers_are_compared_where_a_rule_says_what_they_mirror() {
        let lines = |suffix, value| [param(suffix, value)];
        let (to_eu, to_us, other) =
            (lines("region", "eu"), lines("region", "us"), lines("other", "eu"));
        let read = |body: &str, name, params: &[ParamLine]| {
            region(body, StandardHeaders { params, name: Some(name), ..MODERN_CALL })
        };
        let eu = modern("tools/call", r#""name":"echo","arguments":{"region":"eu"},"#);
        assert_eq!(read(&eu, "echo", &[to_eu.as_slice(), &other].concat()), Ok(Ok(())));
        for params in [&[], to_us.as_slice(), &other] {
            let refusal = read(&eu, "echo", params).unwrap().unwrap_err();
            assert_eq!(refusal.reason.json_rpc_code(), -32020);
            assert_eq!((refusal.id, refusal.era), (Some(Id::Integer(1)), Some(Era::Modern)));
        }
        let none = modern("tools/call", r#""name":"echo","#);
        assert_eq!(read(&none, "echo", &[]), Ok(Ok(())));
        assert!(read(&none, "echo", &to_eu).unwrap().is_err());
        // Of other tools nothing is known: the headers go on.
        assert_eq!(read(&eu.replace(r#""echo""#, r#""other""#), "other", &to_us), Ok(Ok(())));

        let legacy = CALL.replace("{}", r#"{"region":"eu"}"#);
        let read = |params: &[ParamLine]| region(&legacy, StandardHeaders { params, ..NO_HEADERS });
        assert_eq!(read(&[]), Ok(Ok(())));
        assert!(read(&to_us).unwrap().is_err());
    }

    #[test]
    fn sep_2243_param_headers_that_cannot_be_decoded_are_refused_whatever_they_mirror() {
        let body = modern("tools/call", r#""name":"echo","#);
        for value in ["=?base64?SGVsbG8?=", "=?base64?SGVs!!!bG8=?=", "=?base64?/w==?="] {
            let params = [param("any", value)];
            let headers = StandardHeaders { params: &params, ..MODERN_CALL };
            assert_eq!(refused(&body, headers).json_rpc_code(), -32020, "{value}");
            let headers = StandardHeaders { params: &params, ..NO_HEADERS };
            assert_eq!(refused(CALL, headers).json_rpc_code(), -32020, "{value}");
        }
        let params = [param("any", "=?base64?SGVsbG8="), param("other", "")];
        accepted(&body, StandardHeaders { params: &params, ..MODERN_CALL });
    }

    #[test]
    fn sep_2322_a_retry_with_input_is_a_call_like_any_other() {
        let members =
            r#""name":"echo","inputResponses":{"k":{"action":"accept"}},"requestState":"s","#;
        let body = modern("tools/call", members);
        assert!(matches!(
            accepted(&body, MODERN_CALL),
            Message::Request { operation, .. } if operation == call("echo")
        ));
        let other = body.replace(r#""echo""#, r#""secret""#);
        assert_eq!(refused(&other, MODERN_CALL).json_rpc_code(), -32020);
        let alike = body.replace("requestState", "RequestState");
        assert_eq!(refused(&alike, MODERN_CALL), AmbiguousName("requestState"));
    }

    #[test]
    fn a_modern_call_without_meta_is_told_what_is_missing() {
        let refusal = read_message(CALL.as_bytes(), &MODERN_CALL).unwrap_err();
        assert_eq!((refusal.reason.json_rpc_code(), refusal.era), (-32602, Some(Era::Modern)));
        let incomplete = modern("tools/call", r#""name":"echo","#)
            .replace(r#","io.modelcontextprotocol/clientCapabilities":{}"#, "");
        assert_eq!(refused(&incomplete, MODERN_CALL).json_rpc_code(), -32602);
    }

    #[test]
    fn unsupported_versions_are_named() {
        let body = modern("tools/call", r#""name":"echo","#);
        for version in ["2027-01-01", "2025-11-25"] {
            let headers = StandardHeaders { protocol_version: Some(version), ..MODERN_CALL };
            let reason = refused(&body.replace("2026-07-28", version), headers);
            assert_eq!(reason.json_rpc_code(), -32022);
            assert_eq!(reason, RefusalReason::UnsupportedVersion { requested: version.into() });
        }
        let long = "9".repeat(1000);
        let headers = StandardHeaders { protocol_version: Some(&long), ..NO_HEADERS };
        let reason = refused(CALL, headers);
        assert_eq!(reason, RefusalReason::UnsupportedVersion { requested: "9".repeat(32) });
    }
}
