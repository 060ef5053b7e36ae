//! What a message asks for: its method and the protected object it names.

use super::message::RefusalReason::{self, BadParams};
use crate::json::{Object, Value};

/// Longest object name, URI or task id, in bytes. Tool names should stay under
/// 128 characters, URIs are longer; 8 KiB is what servers accept as a request
/// target, and keeps what is logged about one call small.
pub(super) const MAX_OBJECT_LEN: usize = 8 * 1024;

/// Most URIs and task ids in one `subscriptions/listen`. Each is decided on
/// separately, so the bound is on work, not on memory.
const MAX_SUBSCRIPTIONS: usize = 256;

/// One MCP operation, as policy sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// The JSON-RPC method, byte for byte. It may be unknown, and it may be one that
    /// the message's era does not have (`initialize` with modern `_meta`): policy
    /// denies what it does not list.
    pub method: String,
    /// The protected object.
    pub target: Target,
}

/// The protected object of an operation, or of an entry in a list. Names are
/// compared byte for byte; MCP defines no normalisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The method protects no single object.
    None,
    /// A tool, by `name`.
    Tool(String),
    /// A prompt, by `name`.
    Prompt(String),
    /// A resource, by `uri`.
    Resource(String),
    /// A resource template, by `uriTemplate`: in completion references and lists.
    ResourceTemplate(String),
    /// A task, by `taskId`.
    Task(String),
    /// What a `subscriptions/listen` wants to hear of. Every entry needs permission.
    Subscription {
        /// `params.notifications.resourceSubscriptions`, URIs.
        resources: Vec<String>,
        /// `params.notifications.taskIds`.
        tasks: Vec<String>,
    },
}

impl Operation {
    /// Names the operation of a call.
    ///
    /// # Errors
    /// [`RefusalReason::BadParams`] when the object that the method needs is
    /// missing, empty, too long or not a string.
    pub(super) fn of(method: &str, params: Option<&Object<'_>>) -> Result<Self, RefusalReason> {
        let target = match method {
            "tools/call" => Target::Tool(name(params)?),
            "prompts/get" => Target::Prompt(name(params)?),
            "resources/read" | "resources/subscribe" | "resources/unsubscribe" => {
                Target::Resource(uri(params)?)
            }
            "completion/complete" => completion(params)?,
            "subscriptions/listen" => subscription(params)?,
            "tasks/get" | "tasks/cancel" | "tasks/result" | "tasks/update" => Target::Task(
                string(params, "taskId").ok_or(BadParams("params.taskId must name the task"))?,
            ),
            _ => Target::None,
        };
        Ok(Operation { method: method.to_owned(), target })
    }

    /// Names the operation that `Mcp-Method` and the decoded `Mcp-Name` claim; `None` when
    /// they cannot say it.
    pub(super) fn claimed(method: &str, name: Option<&str>) -> Option<Self> {
        let object: fn(String) -> Target = match method {
            "tools/call" => Target::Tool,
            "prompts/get" => Target::Prompt,
            "resources/read" => Target::Resource,
            "tasks/get" | "tasks/cancel" | "tasks/update" => Target::Task,
            "resources/subscribe"
            | "resources/unsubscribe"
            | "completion/complete"
            | "subscriptions/listen"
            | "tasks/result" => return None,
            _ => {
                let operation = Operation { method: method.to_owned(), target: Target::None };
                return name.is_none().then_some(operation);
            }
        };
        let name = name.filter(|name| can_name(name))?;
        Some(Operation { method: method.to_owned(), target: object(name.to_owned()) })
    }

    /// Whether headers can claim an operation of that method at all.
    #[must_use]
    pub fn can_be_claimed(method: &str) -> bool {
        [None, Some("name")].iter().any(|name| Operation::claimed(method, *name).is_some())
    }

    /// Whether `Mcp-Name` has to mirror the object of this operation (2026-07-28, Streamable
    /// HTTP, "Request Metadata"; SEP-2663 for tasks).
    pub(super) fn has_mirrored_name(&self) -> bool {
        Operation::claimed(&self.method, self.sole_name())
            .is_some_and(|claimed| claimed.target != Target::None)
    }

    /// The name of the one object that `params` names at their top level, which `Mcp-Name`
    /// may tell, be it required or not.
    pub(super) fn sole_name(&self) -> Option<&str> {
        if self.method == "completion/complete" {
            return None;
        }
        match &self.target {
            Target::Tool(name)
            | Target::Prompt(name)
            | Target::Resource(name)
            | Target::Task(name) => Some(name),
            Target::None | Target::ResourceTemplate(_) | Target::Subscription { .. } => None,
        }
    }
}

fn name(params: Option<&Object<'_>>) -> Result<String, RefusalReason> {
    string(params, "name").ok_or(BadParams("name must be a non-empty string"))
}

fn uri(params: Option<&Object<'_>>) -> Result<String, RefusalReason> {
    string(params, "uri").ok_or(BadParams("uri must be a non-empty string"))
}

/// Completion tells names and values of the object it refers to, so it is as
/// protected as the object.
fn completion(params: Option<&Object<'_>>) -> Result<Target, RefusalReason> {
    let reference = params.and_then(|params| params.get("ref")).and_then(Value::as_object);
    match reference.and_then(|reference| reference.get("type")).and_then(Value::as_str) {
        Some("ref/prompt") => name(reference).map(Target::Prompt),
        Some("ref/resource") => uri(reference).map(|uri| {
            if uri.contains('{') { Target::ResourceTemplate(uri) } else { Target::Resource(uri) }
        }),
        _ => Err(BadParams("params.ref must refer to a prompt or a resource")),
    }
}

fn subscription(params: Option<&Object<'_>>) -> Result<Target, RefusalReason> {
    let wanted = params
        .and_then(|params| params.get("notifications"))
        .and_then(Value::as_object)
        .ok_or(BadParams("params.notifications must be an object"))?;
    let resources = strings(wanted.get("resourceSubscriptions"))?;
    let tasks = strings(wanted.get("taskIds"))?;
    if resources.len().saturating_add(tasks.len()) > MAX_SUBSCRIPTIONS {
        return Err(BadParams("too many subscriptions"));
    }
    Ok(Target::Subscription { resources, tasks })
}

fn strings(list: Option<&Value<'_>>) -> Result<Vec<String>, RefusalReason> {
    let Some(list) = list else { return Ok(Vec::new()) };
    list.as_array()
        .and_then(|entries| entries.iter().map(object_name).collect())
        .ok_or(BadParams("subscriptions must be arrays of non-empty strings"))
}

fn string(object: Option<&Object<'_>>, member: &str) -> Option<String> {
    object?.get(member).and_then(object_name)
}

/// A string that can name an object: not empty, not overlong.
pub(super) fn object_name(value: &Value<'_>) -> Option<String> {
    value.as_str().filter(|name| can_name(name)).map(str::to_owned)
}

fn can_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_OBJECT_LEN
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests may panic")]

    use super::*;
    use crate::json;

    fn target(method: &str, params: &str) -> Result<Target, RefusalReason> {
        let params = json::read(params.as_bytes()).unwrap();
        Operation::of(method, params.as_object()).map(|operation| operation.target)
    }

    #[test]
    fn every_method_names_its_object() {
        let tool = Target::Tool("t".into());
        let prompt = Target::Prompt("p".into());
        let resource = Target::Resource("f:/a".into());
        let template = Target::ResourceTemplate("f:/{x}".into());
        let task = Target::Task("7".into());
        for (method, params, expected) in [
            ("tools/call", r#"{"name":"t","uri":"u","taskId":"x"}"#, &tool),
            ("prompts/get", r#"{"name":"p"}"#, &prompt),
            ("resources/read", r#"{"uri":"f:/a","name":"t"}"#, &resource),
            ("resources/subscribe", r#"{"uri":"f:/a"}"#, &resource),
            ("resources/unsubscribe", r#"{"uri":"f:/a"}"#, &resource),
            ("completion/complete", r#"{"ref":{"type":"ref/prompt","name":"p"}}"#, &prompt),
            ("completion/complete", r#"{"ref":{"type":"ref/resource","uri":"f:/a"}}"#, &resource),
            ("completion/complete", r#"{"ref":{"type":"ref/resource","uri":"f:/{x}"}}"#, &template),
            ("tasks/get", r#"{"taskId":"7"}"#, &task),
            ("tasks/cancel", r#"{"taskId":"7"}"#, &task),
            ("tasks/result", r#"{"taskId":"7"}"#, &task),
            ("tasks/update", r#"{"taskId":"7"}"#, &task),
            ("tools/list", r#"{"name":"t"}"#, &Target::None),
            ("tasks/list", "{}", &Target::None),
            ("vendor/unknown", r#"{"name":"t"}"#, &Target::None),
            ("Tools/call", r#"{"name":"t"}"#, &Target::None),
        ] {
            assert_eq!(target(method, params).as_ref(), Ok(expected), "{method} {params}");
        }
    }

    #[test]
    fn a_missing_object_is_refused() {
        let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(MAX_OBJECT_LEN + 1));
        for (method, params) in [
            ("tools/call", "{}"),
            ("tools/call", r#"{"name":""}"#),
            ("tools/call", r#"{"name":["t"]}"#),
            ("tools/call", &long),
            ("prompts/get", r#"{"uri":"p"}"#),
            ("resources/read", r#"{"uri":null}"#),
            ("completion/complete", "{}"),
            ("completion/complete", r#"{"ref":{"type":"ref/tool","name":"p"}}"#),
            ("completion/complete", r#"{"ref":{"type":"ref/prompt","uri":"p"}}"#),
            ("subscriptions/listen", "{}"),
            ("subscriptions/listen", r#"{"notifications":{"taskIds":"7"}}"#),
            ("subscriptions/listen", r#"{"notifications":{"resourceSubscriptions":[1]}}"#),
            ("tasks/get", r#"{"taskId":7}"#),
        ] {
            assert!(matches!(target(method, params), Err(BadParams(_))), "{method} {params}");
            assert!(matches!(Operation::of(method, None), Err(BadParams(_))), "{method}");
        }
    }

    #[test]
    fn a_subscription_names_all_it_wants() {
        let params = r#"{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["f:/a","f:/b"],"taskIds":["7"]}}"#;
        let expected = Target::Subscription {
            resources: vec!["f:/a".into(), "f:/b".into()],
            tasks: vec!["7".into()],
        };
        assert_eq!(target("subscriptions/listen", params), Ok(expected));
        let many = vec![r#""t""#; MAX_SUBSCRIPTIONS + 1].join(",");
        let params = format!(r#"{{"notifications":{{"taskIds":[{many}]}}}}"#);
        assert!(target("subscriptions/listen", &params).is_err());
    }
}
