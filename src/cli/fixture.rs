//! Fixtures: callers, what they do, and what is expected of it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::answer::Verdict;
use super::call::CallParts;
use super::caller::Caller;
use crate::policy::Mode;

/// Tests of a configuration: callers, what they do, and what is expected of it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Countersign fixture")]
pub(super) struct Fixture {
    /// The schema of fixtures, for editors.
    #[serde(rename = "$schema")]
    _schema: Option<String>,
    /// The configuration, by its path from this file.
    pub(super) config: String,
    /// When it all happens (RFC 3339, in UTC). Default: now. Times of claims, and of what
    /// the configuration ends by itself, are compared with it.
    #[schemars(extend("format" = "date-time", "examples" = ["2026-12-01T18:00:00Z"]))]
    pub(super) now: Option<String>,
    /// Who calls, by names that are used here.
    #[schemars(extend("minProperties" = 1))]
    pub(super) callers: BTreeMap<String, Caller>,
    /// Operations, and what becomes of them.
    #[serde(default)]
    pub(super) cases: Vec<Case>,
    /// What callers see in lists.
    #[serde(default)]
    pub(super) lists: Vec<ListCase>,
}

/// An operation, and what becomes of it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// What it shows. Default: who does what, and the outcome.
    pub(super) name: Option<String>,
    /// Who calls, one of `callers`.
    pub(super) caller: String,
    /// `resource` of the server. Needed where the configuration has several.
    pub(super) server: Option<String>,
    /// The operation: its method and, after a space, the tool, the prompt, the URI or the
    /// task; or its parts.
    #[schemars(extend("examples" = ["tools/call delete_record", "tools/list"]))]
    pub(super) r#do: Short<CallParts>,
    /// What becomes of it: `allow`, `deny`, or more of the answer.
    #[schemars(extend("examples" = ["allow", { "outcome": "deny", "reason": "scope_missing" }]))]
    pub(super) expect: Short<Expectation>,
}

/// What is expected of an answer. What is left out may be anything.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Expectation {
    /// What policy says, be it enforced or not.
    pub(super) outcome: Verdict,
    /// Why it is denied, as the audit record has it.
    #[schemars(extend("examples" = ["scope_missing", "agent_unknown", "token_audience"]))]
    pub(super) reason: Option<String>,
    /// Whose side denies it: `server`, `user`, `agent` or `delegation`.
    pub(super) side: Option<String>,
    /// Whether the denial is enforced.
    pub(super) mode: Option<Mode>,
    /// Name of the agent.
    pub(super) agent: Option<String>,
    /// Name of the policy in force, where it is not the server's own.
    pub(super) policy: Option<String>,
    /// Ids of the rules that decide, all of them.
    pub(super) rules: Option<Vec<String>>,
    /// Scopes that the operation takes, all of them.
    pub(super) scopes: Option<Vec<String>>,
    /// HTTP status that the client gets. A request that goes on to the server has none.
    pub(super) status: Option<u16>,
    /// The `error` of the challenge that the client gets (`WWW-Authenticate`).
    #[schemars(extend("examples" = ["insufficient_scope"]))]
    pub(super) challenge: Option<String>,
    /// What the candidate policy says.
    pub(super) candidate: Option<Verdict>,
    /// The credential that goes to the server in place of the caller's token; `none`: nothing
    /// does, and no exchange is asked.
    #[schemars(extend("examples" = [{ "name": "docs", "scopes": ["docs.read"] }, "none"]))]
    pub(super) exchange: Option<Short<ExpectedExchange>>,
}

/// What is expected of the credential that goes to the server.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedExchange {
    /// Name of the exchange.
    pub(super) name: String,
    /// Scopes that are asked for, all of them; `[]`: none.
    pub(super) scopes: Option<Vec<String>>,
}

/// What a caller sees in lists.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListCase {
    /// What it shows. Default: whose lists they are.
    pub(super) name: Option<String>,
    /// Who calls, one of `callers`.
    pub(super) caller: String,
    /// `resource` of the server. Needed where the configuration has several.
    pub(super) server: Option<String>,
    /// Of `tools/list`, by name.
    #[serde(default)]
    pub(super) tools: Entries,
    /// Of `prompts/list`, by name.
    #[serde(default)]
    pub(super) prompts: Entries,
    /// Of `resources/list`, by URI.
    #[serde(default)]
    pub(super) resources: Entries,
    /// Of `resources/templates/list`, by URI template.
    #[serde(default)]
    pub(super) resource_templates: Entries,
}

/// Entries of a list that the server would send.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Entries {
    /// Those that the caller sees.
    pub(super) shows: Vec<String>,
    /// Those that it does not.
    pub(super) hides: Vec<String>,
}

/// The JSON Schema of fixtures, as text that ends in a line break.
pub(super) fn schema() -> String {
    format!("{:#}\n", schemars::schema_for!(Fixture).to_value())
}

/// A text that stands for the whole, or the whole.
pub(super) enum Short<T> {
    Text(String),
    Whole(T),
}

impl<T: JsonSchema> JsonSchema for Short<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Short{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let whole = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [{ "type": "string" }, whole] })
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Short<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShortVisitor(PhantomData))
    }
}

struct ShortVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ShortVisitor<T> {
    type Value = Short<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or an object")
    }

    fn visit_str<E>(self, text: &str) -> Result<Short<T>, E> {
        Ok(Short::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Short<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members)).map(Short::Whole)
    }
}
