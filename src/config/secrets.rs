//! Where secrets come from. The document holds none: it names environment variables.

use std::collections::BTreeMap;

use super::compile::Notes;
use super::document::FromEnvironment;
use crate::token::Secret;

/// Longest name of a variable: it stands in the problems about it.
const MAX_NAME: usize = 128;

/// The values of the variables that a document names.
pub struct Secrets(Values);

enum Values {
    Environment,
    Given(BTreeMap<String, String>),
    #[cfg(not(target_arch = "wasm32"))]
    Assumed,
}

/// What is known of a variable.
pub(super) enum Value {
    /// Its value.
    Known(Secret),
    /// That it will be there.
    #[cfg(not(target_arch = "wasm32"))]
    Assumed,
}

impl Secrets {
    /// Those of the process: in Envoy, the `environment_variables` of the Wasm VM.
    #[must_use]
    pub fn from_environment() -> Self {
        Secrets(Values::Environment)
    }

    /// These, by the names of their variables.
    #[must_use]
    pub fn given(values: BTreeMap<String, String>) -> Self {
        Secrets(Values::Given(values))
    }

    /// Takes it that each variable has a good value, for checks where the secrets are not.
    /// What is compiled so has none of them and is of no other use: the filter cannot do it.
    #[cfg(not(target_arch = "wasm32"))]
    #[must_use]
    pub fn assumed() -> Self {
        Secrets(Values::Assumed)
    }

    /// Whether no value is looked at.
    #[cfg(not(target_arch = "wasm32"))]
    #[must_use]
    pub fn are_assumed(&self) -> bool {
        matches!(self.0, Values::Assumed)
    }

    /// The value of a variable. Its name is repeated where it is wrong, and it is a name:
    /// a secret pasted in its place would hardly be in capitals.
    pub(super) fn read(
        &self,
        notes: &mut Notes,
        path: &str,
        FromEnvironment { env: name }: &FromEnvironment,
    ) -> Option<Value> {
        if !is_variable(name) {
            let message = "is no name of a variable: 1 to 128 capital letters, digits and `_`";
            notes.problem(format!("{path}.env"), message);
            return None;
        }
        notes.variable(name);
        let value = match &self.0 {
            Values::Environment => std::env::var(name).ok(),
            Values::Given(values) => values.get(name).cloned(),
            #[cfg(not(target_arch = "wasm32"))]
            Values::Assumed => return Some(Value::Assumed),
        };
        match value {
            Some(value) if !value.is_empty() => Some(Value::Known(Secret::new(value))),
            _ => {
                let message = format!(
                    "the environment of the filter has no `{name}`, or an empty one; set it in `vm_config.environment_variables`"
                );
                notes.problem(path, message);
                None
            }
        }
    }
}

/// A portable name (POSIX.1-2024, XBD section 8.1).
fn is_variable(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}
