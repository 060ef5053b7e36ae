//! What is wrong with a configuration, told to the person who wrote it.

use std::cmp::Ordering;
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
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
}

/// The path of a member, whose name is in brackets where its dots or brackets would be taken
/// for the path's.
pub(super) fn member(path: &str, name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_plain) {
        format!("{path}[{name:?}]")
    } else {
        format!("{path}.{name}")
    }
}

/// `; did you mean …?` when a known name is near, else the empty text.
pub(crate) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(name, known) {
        Some(nearest) => format!("; did you mean `{nearest}`?"),
        None => String::new(),
    }
}

/// The known name most like this one, if there is one and only one: for `HS256` there
/// are `ES256`, `PS256` and `RS256`, and a guess among them would mislead.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    nearest_of(name, &mut known.into_iter().filter(|known| known.len() <= MAX_COMPARED))
}

fn nearest_of<'a>(name: &str, known: &mut dyn Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > MAX_COMPARED {
        return None;
    }
    let name = name.to_ascii_lowercase();
    let mut best = LIKENESS;
    let mut nearest = None;
    for known in known {
        let likeness = strsim::normalized_damerau_levenshtein(&name, &known.to_ascii_lowercase());
        match likeness.total_cmp(&best) {
            Ordering::Less => {}
            // The bound itself is near enough; the same likeness again is a tie.
            Ordering::Equal if nearest.is_some() => nearest = Some(None),
            Ordering::Equal | Ordering::Greater => {
                best = likeness;
                nearest = Some(Some(known));
            }
        }
    }
    nearest.flatten()
}
