//! The values that several parts of the document have.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

/// A length of time such as `30s`, `5m` or `1h 30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(extend("examples" = ["30s", "5m"]))]
pub(crate) struct Span(#[schemars(with = "String")] pub(crate) Duration);

/// A secret, which the document does not hold: it is the value of an environment variable
/// of the Wasm VM (Envoy: `vm_config.environment_variables`).
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FromEnvironment {
    /// Name of the variable: uppercase letters, digits and `_`.
    #[schemars(regex(pattern = "^[A-Z_][A-Z0-9_]*$"))]
    pub(crate) env: String,
}

/// Where a token has something: the name of a claim, or a way through nested ones with dots
/// between the names, such as `realm_access.roles`. What starts with `https://` or `http://`
/// is one name. Other names with dots are written as an array of the names on the way.
pub(crate) struct ClaimName(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(SpanVisitor)
    }
}

struct SpanVisitor;

impl Visitor<'_> for SpanVisitor {
    type Value = Span;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a length of time such as \"30s\" or \"5m\"")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Span, E> {
        humantime::parse_duration(text)
            .map(Span)
            .map_err(|_| E::custom("expected a length of time such as \"30s\" or \"5m\""))
    }
}

impl JsonSchema for ClaimName {
    fn schema_name() -> Cow<'static, str> {
        "ClaimName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Where a token has something: the name of a claim, or a way through nested ones with dots between the names, such as `realm_access.roles`. What starts with `https://` or `http://` is one name. Other names with dots are written as an array of the names on the way.",
            "oneOf": [
                { "type": "string", "minLength": 1 },
                { "type": "array", "items": { "type": "string", "minLength": 1 }, "minItems": 1 }
            ],
            "examples": ["scope", "realm_access.roles", ["https://example.com/roles"]]
        })
    }
}

impl<'de> Deserialize<'de> for ClaimName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ClaimNameVisitor)
    }
}

struct ClaimNameVisitor;

impl<'de> Visitor<'de> for ClaimNameVisitor {
    type Value = ClaimName;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a claim such as \"roles\", \"realm_access.roles\" or [\"name.with.dots\"]")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ClaimName, E> {
        let is_url = text.starts_with("https://") || text.starts_with("http://");
        let names = if is_url { vec![text] } else { text.split('.').collect() };
        Ok(ClaimName(names.into_iter().map(str::to_owned).collect()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<ClaimName, A::Error> {
        let mut path = Vec::new();
        while let Some(name) = names.next_element()? {
            path.push(name);
        }
        Ok(ClaimName(path))
    }
}
