//! An operation, as somebody writes it.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::mcp::SUPPORTED_VERSIONS;

/// The revision of a call that does not say its own: the last one with sessions, which most
/// clients begin with.
const REVISION: &str = "2025-11-25";

/// A call, where its method and the name of its object do not say all of it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CallParts {
    /// The method.
    #[schemars(extend("examples" = ["tools/call"]))]
    pub(super) method: String,
    /// The tool, the prompt, the URI or the task.
    pub(super) name: Option<String>,
    /// `params` of the message, where it is not the name that is in them.
    #[schemars(extend("examples" = [{ "ref": { "type": "ref/prompt", "name": "review" } }]))]
    pub(super) params: Option<Map<String, Value>>,
    /// The protocol revision that the client speaks. Default: 2025-11-25.
    #[schemars(extend("examples" = ["2026-07-28"]))]
    pub(super) revision: Option<String>,
}

/// An operation that a client asks for.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: String,
    pub(super) params: Map<String, Value>,
    pub(super) revision: &'static str,
    name: Option<String>,
}

impl Call {
    /// Reads a method and, after a space, the name of its object.
    ///
    /// # Errors
    /// Why it is no operation.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (method, name) = match text.split_once(' ') {
            Some((method, name)) => (method, Some(name.to_owned())),
            None => (text, None),
        };
        Call::new(CallParts { method: method.to_owned(), name, params: None, revision: None })
    }

    /// # Errors
    /// Why it is no operation.
    pub(super) fn new(parts: CallParts) -> Result<Self, String> {
        let CallParts { method, name, params, revision } = parts;
        let revision = revision.as_deref().unwrap_or(REVISION);
        let revision =
            *SUPPORTED_VERSIONS.iter().find(|version| **version == revision).ok_or_else(|| {
                format!("no revision is {revision}; known are {}", SUPPORTED_VERSIONS.join(", "))
            })?;
        let params = match (&name, params) {
            (Some(_), Some(_)) => {
                return Err("has `params` and a name; one of them is enough".to_owned());
            }
            (None, params) => params.unwrap_or_default(),
            (Some(name), None) => {
                let member = name_member(&method)
                    .ok_or_else(|| format!("`{method}` takes no name; use `params`"))?;
                Map::from_iter([(member.to_owned(), Value::from(name.as_str()))])
            }
        };
        Ok(Call { method, params, revision, name })
    }
}

/// The member of `params` that names the object of a method.
fn name_member(method: &str) -> Option<&'static str> {
    match method {
        "tools/call" | "prompts/get" => Some("name"),
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => Some("uri"),
        "tasks/get" | "tasks/cancel" | "tasks/result" | "tasks/update" => Some("taskId"),
        _ => None,
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.method)?;
        match &self.name {
            Some(name) => write!(f, " {name}"),
            None if self.params.is_empty() => Ok(()),
            None => write!(f, " {}", Value::Object(self.params.clone())),
        }
    }
}
