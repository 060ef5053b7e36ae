//! Patterns: which names a rule is for.

/// Which names a rule is for. Compared byte for byte: tool names are case-sensitive (MCP
/// "Tool Names").
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// Exactly this name.
    Exact(String),
    /// Written `prefix*`; `*` alone is every name.
    Prefix(String),
    /// Written with a `*` elsewhere, or several.
    Glob(Glob),
}

/// A pattern with a `*` before its end, each for any characters or none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Glob {
    /// The text before the first `*`.
    pub(super) start: String,
    /// The texts between each two.
    pub(super) middle: Vec<String>,
    /// The text after the last.
    pub(super) end: String,
}

/// A text that is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The empty text names nothing.
    #[error("is empty")]
    Empty,
    /// A pattern has one spelling.
    #[error("has `**`, which says no more than `*`")]
    DoubledWildcard,
}

impl Pattern {
    /// Reads a name, or a pattern: a name with `*` for any characters or none.
    ///
    /// # Errors
    /// [`PatternError`] for the empty text and for `**`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.contains("**") {
            return Err(PatternError::DoubledWildcard);
        }
        let pieces: Vec<&str> = text.split('*').collect();
        Ok(match pieces.as_slice() {
            [start, ""] => Pattern::Prefix((*start).to_owned()),
            [start, middle @ .., end] => Pattern::Glob(Glob {
                start: (*start).to_owned(),
                middle: middle.iter().map(|&piece| piece.to_owned()).collect(),
                end: (*end).to_owned(),
            }),
            _ => Pattern::Exact(text.to_owned()),
        })
    }

    /// Whether this pattern is for that name. Takes time linear in both.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Pattern::Exact(exact) => name == exact,
            Pattern::Prefix(prefix) => name.starts_with(prefix.as_str()),
            Pattern::Glob(Glob { start, middle, end }) => name
                .strip_prefix(start.as_str())
                .and_then(|rest| rest.strip_suffix(end.as_str()))
                .is_some_and(|inner| has_in_order(inner, middle)),
        }
    }
}

/// Whether a text has all the pieces, one after the other. The first place of each leaves the
/// most room for the next, so there is nothing to try again.
pub(super) fn has_in_order(text: &str, pieces: &[String]) -> bool {
    let mut rest = text;
    pieces.iter().all(|piece| match rest.split_once(piece.as_str()) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests may panic")]

    use super::*;
    use crate::policy::tests::Random;

    #[test]
    fn a_pattern_has_one_spelling() {
        assert_eq!(Pattern::parse(""), Err(PatternError::Empty));
        for text in ["**", "a**", "a**b", "**a"] {
            assert_eq!(Pattern::parse(text), Err(PatternError::DoubledWildcard), "{text}");
        }
        assert_eq!(Pattern::parse("a"), Ok(Pattern::Exact("a".to_owned())));
        assert_eq!(Pattern::parse("a*"), Ok(Pattern::Prefix("a".to_owned())));
        assert!(Pattern::parse("*").unwrap().matches(""));
    }

    #[test]
    fn beginning_and_end_do_not_overlap() {
        let pattern = Pattern::parse("aba*aba").unwrap();
        assert!(!pattern.matches("aba"));
        assert!(!pattern.matches("ababa"));
        assert!(pattern.matches("abaaba"));
        assert!(!Pattern::parse("a*bc*c").unwrap().matches("abc"));
    }

    /// Says the same by trying everything.
    fn naive(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => {
                naive(rest, name)
                    || name.split_first().is_some_and(|(_, name)| naive(pattern, name))
            }
            (Some((one, pattern)), Some((other, name))) => one == other && naive(pattern, name),
            _ => false,
        }
    }

    #[test]
    fn matching_is_what_trying_everything_finds() {
        let mut matched = 0;
        for seed in 0..20_000 {
            let mut random = Random(seed);
            let text = random.text(&["a", "b", "*", "\u{e4}"], 7);
            let Ok(pattern) = Pattern::parse(&text) else { continue };
            let name = random.text(&["a", "a", "b", "\u{e4}"], 9);
            let expected = naive(text.as_bytes(), name.as_bytes());
            assert_eq!(pattern.matches(&name), expected, "{text} {name}");
            matched += usize::from(expected);
        }
        assert!(matched > 1000, "{matched}");
    }

    /// Backtracking would take longer than anybody waits.
    #[test]
    fn many_wildcards_take_no_more_time() {
        let pattern = Pattern::parse(&format!("{}b", "*a".repeat(2000))).unwrap();
        assert!(!pattern.matches(&"a".repeat(100_000)));
    }
}
