//! The configuration: one JSON document, read strictly and compiled once.
//!
//! A document is taken as a whole or not at all, and a refusal says for each problem
//! where it is, why it is one and what to write instead. Names are closed: a mistyped
//! member is an error and never a rule that silently is not there, and `null` is no value.
//! What no rule permits is denied.

mod agents;
mod analysis;
mod client;
mod compile;
mod delegation;
mod document;
mod downstream;
mod exchanges;
mod fetch;
mod http_sse;
mod introspection;
mod issuers;
mod keys;
mod metadata;
mod methods;
mod policies;
mod problem;
mod proofs;
mod rates;
mod rule_text;
mod rules;
mod scopes;
mod secrets;
mod servers;
mod sessions;
mod shape;
mod symmetric_keys;
mod workloads;

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;

use crate::audit;
use crate::gate::Enforcement;
use crate::json::{self, JsonError};
use crate::token::{Issuer, NonceKey, WorkloadIdentity};
use crate::url;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use problem::did_you_mean;
pub use problem::{ConfigError, Problem};
pub use secrets::Secrets;

/// Largest document, in bytes. Some 10 000 rules fit; more are a mistake, and the
/// document is held several times while it is compiled.
pub const MAX_DOCUMENT: usize = 1024 * 1024;

/// A configuration that compiled.
#[derive(Debug)]
pub struct Loaded {
    /// What the gate enforces.
    pub enforcement: Enforcement,
    /// The authorization servers, in the order of their [`crate::token::IssuerId`]s.
    pub issuers: Vec<Issuer>,
    /// The workloads that are known.
    pub workload_identity: WorkloadIdentity,
    /// Keys for DPoP nonces of the scope [`crate::token::NonceScope::Cluster`], the first makes nonces, all of them check them. Empty where none are used.
    pub nonce_keys: Vec<NonceKey>,
    /// Names of the environment variables that the document takes secrets from.
    pub variables: BTreeSet<String>,
    /// Names the document in the audit record: the first 64 bits of the SHA-256 digest of
    /// its bytes, in hexadecimal.
    pub version: String,
    /// What is valid and yet hardly meant.
    pub warnings: Vec<Problem>,
}

/// Reads and compiles a configuration document, which names its secrets and does not hold them.
///
/// # Errors
/// [`ConfigError`] with every problem found.
pub fn load(json: &[u8], secrets: &Secrets) -> Result<Loaded, ConfigError> {
    compile::compile(read_document(json)?, version(json), secrets)
}

/// Reads a document of any type as strictly as a configuration.
///
/// # Errors
/// [`ConfigError`] with the first problem.
pub(crate) fn read_document<T: DeserializeOwned>(json: &[u8]) -> Result<T, ConfigError> {
    if json.len() > MAX_DOCUMENT {
        return Err(ConfigError::one("", format!("larger than {MAX_DOCUMENT} bytes")));
    }
    let value =
        json::read(json).map_err(|error| ConfigError::one("", syntax_message(error, json)))?;
    shape::read(&value).map_err(|misfit| ConfigError::one(misfit.path, misfit.message))
}

/// The JSON Schema of the document, as text that ends in a line break.
#[must_use]
pub fn schema() -> String {
    let mut schema = schemars::schema_for!(document::Document).to_value();
    without_null(&mut schema);
    format!("{schema:#}\n")
}

/// A member that is not there is left out: `null` is no value of any.
fn without_null(schema: &mut serde_json::Value) {
    use serde_json::Value;
    match schema {
        Value::Object(members) => {
            let is_null = |value: &Value| value.get("type").is_some_and(|kind| kind == "null");
            members.retain(|name, value| name != "default" || !value.is_null());
            if let Some(Value::Array(kinds)) = members.get_mut("type") {
                kinds.retain(|kind| kind != "null");
                if let [kind] = kinds.as_slice() {
                    let kind = kind.clone();
                    members.insert("type".to_owned(), kind);
                }
            }
            if let Some(Value::Array(choices)) = members.get_mut("anyOf") {
                choices.retain(|choice| !is_null(choice));
                if let [Value::Object(only)] = choices.as_slice() {
                    let only = only.clone();
                    members.remove("anyOf");
                    members.extend(only);
                }
            }
            members.values_mut().for_each(without_null);
        }
        Value::Array(values) => values.iter_mut().for_each(without_null),
        _ => {}
    }
}

/// The strict reader says what, `serde_json` also where.
fn syntax_message(error: JsonError, json: &[u8]) -> String {
    match serde_json::from_slice::<serde::de::IgnoredAny>(json) {
        Err(syntax) if error == JsonError::Syntax => format!("not well-formed JSON: {syntax}"),
        _ => error.to_string(),
    }
}

fn version(json: &[u8]) -> String {
    audit::digest(json).chars().take(16).collect()
}
