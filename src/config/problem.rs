//! What is wrong with a configuration, told to the person who wrote it.

use std::fmt;

/// Two names are taken for one mistyped when they differ in at most a third of the
/// longer one; below that, suggestions are noise.
const LIKENESS: f64 = 0.66;

/// Longest name that is compared: the comparison takes quadratic time.
const MAX_COMPARED: usize = 64;

/// A configuration was refused; whatever was in force stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Everything found wrong, at least one. A document of the wrong shape has one
    /// problem, since nothing after it can be trusted to mean what it seems to.
    pub problems: Vec<Problem>,
}

/// One thing wrong with a configuration, or in a [`super::Loaded`] one thing odd.
/// Never repeats a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, such as `servers[0].tools.rules[1].scopes`; empty for the whole document.
    pub path: String,
    /// What, and where possible what to write instead.
    pub message: String,
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    /// One line for each problem.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

impl ConfigError {
    /// A refusal for one reason.
    pub(super) fn one(path: impl Into<String>, message: impl Into<String>) -> Self {
        ConfigError { problems: vec![Problem { path: path.into(), message: message.into() }] }
    }

    /// The refusal of a document that is JSON of another shape than ours.
    pub(super) fn of_shape(error: &serde_path_to_error::Error<serde_json::Error>) -> Self {
        let path = match error.path().to_string() {
            path if path == "." => String::new(),
            path => path,
        };
        Self::one(path, shape_message(&error.inner().to_string()))
    }
}

/// `; did you mean …?` when a known name is near, else the empty text.
pub(super) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(name, known) {
        Some(nearest) => format!("; did you mean `{nearest}`?"),
        None => String::new(),
    }
}

/// The known name most like this one, if any is like it.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > MAX_COMPARED {
        return None;
    }
    known
        .into_iter()
        .filter(|known| known.len() <= MAX_COMPARED)
        .map(|known| (strsim::normalized_damerau_levenshtein(name, known), known))
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}

/// serde's message in our words: without the values it repeats, which may be secret,
/// and without the position, which the path replaces.
fn shape_message(text: &str) -> String {
    let text = text.rsplit_once(" at line ").map_or(text, |(message, _)| message);
    for kind in ["field", "variant"] {
        if let Some((name, known)) = unknown_name(text, kind) {
            let what = if kind == "field" { "member" } else { "value" };
            let hint = match did_you_mean(name, known.iter().copied()) {
                hint if !hint.is_empty() => hint,
                _ => format!("; known are {}", known.join(", ")),
            };
            return format!("unknown {what} `{name}`{hint}");
        }
    }
    if let Some((found, expected)) =
        text.strip_prefix("invalid type: ").and_then(|rest| rest.rsplit_once(", expected "))
    {
        let found = found.split([' ', '`', '"']).next().unwrap_or_default();
        let expected = expected.strip_prefix("struct ").map_or(expected, |_| "an object");
        return format!("expected {}, found {}", json_word(expected), json_word(found));
    }
    text.replace("missing field", "missing member")
}

/// The parts of serde's "unknown field `x`, expected one of `a`, `b`".
fn unknown_name<'a>(text: &'a str, kind: &str) -> Option<(&'a str, Vec<&'a str>)> {
    let rest = text.strip_prefix("unknown ")?.strip_prefix(kind)?.strip_prefix(" `")?;
    let (name, known) = rest.rsplit_once("`, expected ")?;
    Some((name, known.split('`').skip(1).step_by(2).collect()))
}

/// JSON's word for one of serde's.
fn json_word(word: &str) -> &str {
    match word {
        "sequence" | "a sequence" => "an array",
        "map" | "a map" => "an object",
        "string" => "a string",
        "integer" | "floating" => "a number",
        "boolean" => "true or false",
        other => other,
    }
}
