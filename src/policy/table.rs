//! Tables of patterns: what a name's patterns are found by.
//!
//! A pattern is found by its literal beginning and end, which are looked up whole. So a name
//! costs one look-up for each pair of lengths that beginnings and ends have, however many
//! patterns there are.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::pattern::{Glob, Pattern, has_in_order};
use super::uri;

/// Most pairs of lengths that the beginnings and ends of a table's patterns have: what a name
/// costs. Names and URIs of servers are rarely longer than this, and patterns shorter.
const MAX_SHAPES: usize = 128;

/// Most patterns with the same beginning and end, and most entries for one pattern: they are
/// looked through one by one.
const MAX_ALIKE: usize = 32;

/// Finds what stands at the patterns of a name.
#[derive(Debug)]
pub(super) struct PatternTable<T> {
    exact: HashMap<String, Vec<T>>,
    /// The most specific first: the longest beginning, then the longest end.
    shapes: Vec<Shape<T>>,
}

/// An entry that a table does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Another rule claims the same names, and neither is the more specific.
    #[error("is also named by {first}; which should decide?")]
    Conflict {
        /// The id of the earlier rule.
        first: String,
    },
    /// Too many pairs of lengths.
    #[error(
        "is one too many: the literal beginnings and ends of patterns may have {MAX_SHAPES} \
         different pairs of lengths"
    )]
    TooManyShapes,
    /// Too many entries at one place.
    #[error("is one too many: {MAX_ALIKE} patterns have this beginning and end already")]
    TooManyAlike,
}

/// The patterns whose beginnings have one length and whose ends have one, in bytes.
#[derive(Debug)]
struct Shape<T> {
    start: usize,
    end: usize,
    /// By beginning and end.
    alike: HashMap<String, HashMap<String, Vec<Entry<T>>>>,
}

/// A pattern of a known beginning and end.
#[derive(Debug)]
struct Entry<T> {
    middle: Vec<String>,
    value: T,
}

impl<T> PatternTable<T> {
    /// Adds an entry.
    ///
    /// # Errors
    /// [`TableError`] when there are too many for names to be looked up at a bounded cost.
    pub(super) fn insert(&mut self, pattern: Pattern, value: T) -> Result<(), TableError> {
        let glob = match pattern {
            Pattern::Exact(name) => return add(self.exact.entry(name).or_default(), 0, value),
            Pattern::Prefix(start) => Glob { start, ..Glob::default() },
            Pattern::Glob(glob) => glob,
        };
        self.shape(&glob)?.insert(glob, value)
    }

    /// What stands at patterns that claim the same names as this one, neither being the
    /// more specific. The same beginning and end are enough of both to make a name of.
    pub(super) fn tied<'t>(&'t self, pattern: &Pattern) -> impl Iterator<Item = &'t T> {
        let (name, start, middle, end) = match pattern {
            Pattern::Exact(name) => (Some(name.as_str()), "", [].as_slice(), ""),
            Pattern::Prefix(start) => (None, start.as_str(), [].as_slice(), ""),
            Pattern::Glob(Glob { start, middle, end }) => {
                (None, start.as_str(), middle.as_slice(), end.as_str())
            }
        };
        let alike = || {
            let is_like = |shape: &&Shape<T>| (shape.start, shape.end) == (start.len(), end.len());
            self.shapes.iter().find(is_like)?.alike.get(start)?.get(end)
        };
        let length_of = length(middle);
        let alike = if name.is_none() { alike() } else { None };
        let entries = alike.into_iter().flatten();
        let tied = entries.filter(move |entry| length(&entry.middle) == length_of);
        let exact = name.into_iter().flat_map(|name| self.exact(name));
        exact.chain(tied.map(|entry| &entry.value))
    }

    /// What stands at a name, the most specific pattern first.
    pub(super) fn find<'t>(&'t self, name: &str) -> impl Iterator<Item = &'t T> {
        self.exact(name).chain(self.shapes.iter().flat_map(move |shape| shape.find(name)))
    }

    /// What stands at a URI, the most specific pattern first. A URI that its server may take
    /// for another one (dot segments, white space, needless percent-encoding) is matched
    /// exactly or not at all, since it may leave the prefix it seems to be under, and evade a
    /// longer one.
    pub(super) fn find_uri<'t>(&'t self, uri: &str) -> impl Iterator<Item = &'t T> {
        // Only looked into where the exact name is not enough. What servers may take for the
        // object without its query or fragment is not left to a wider pattern than the object's.
        let object = uri.split(['?', '#']).next().unwrap_or_default();
        let hides_object = object != uri && self.exact(object).next().is_some();
        let globs = std::iter::once_with(move || !hides_object && uri::is_plain(uri))
            .filter(|is_plain| *is_plain)
            .flat_map(|_| self.shapes.iter().flat_map(|shape| shape.find(uri)));
        self.exact(uri).chain(globs)
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.shapes.is_empty()
    }

    /// Everything in it.
    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        let alike = self.shapes.iter().flat_map(|shape| shape.alike.values());
        let globs = alike.flat_map(HashMap::values).flatten().map(|entry| &entry.value);
        self.exact.values().flatten().chain(globs)
    }

    /// How many look-ups a name costs.
    #[cfg(test)]
    pub(super) fn probes(&self) -> usize {
        self.shapes.len().saturating_add(1)
    }

    fn exact<'t>(&'t self, name: &str) -> impl Iterator<Item = &'t T> {
        self.exact.get(name).into_iter().flatten()
    }

    fn shape(&mut self, glob: &Glob) -> Result<&mut Shape<T>, TableError> {
        let (start, end) = (glob.start.len(), glob.end.len());
        let order = |shape: &Shape<T>| Reverse((shape.start, shape.end));
        let place = self.shapes.binary_search_by_key(&Reverse((start, end)), order);
        let place = match place {
            Ok(place) => place,
            Err(_) if self.shapes.len() >= MAX_SHAPES => return Err(TableError::TooManyShapes),
            Err(place) => {
                self.shapes.insert(place, Shape { start, end, alike: HashMap::new() });
                place
            }
        };
        // INVARIANT: it was there or was just inserted.
        self.shapes.get_mut(place).ok_or(TableError::TooManyShapes)
    }
}

impl<T> Default for PatternTable<T> {
    fn default() -> Self {
        PatternTable { exact: HashMap::new(), shapes: Vec::new() }
    }
}

impl<T> Shape<T> {
    fn insert(&mut self, Glob { start, middle, end }: Glob, value: T) -> Result<(), TableError> {
        let alike = self.alike.entry(start).or_default().entry(end).or_default();
        let place = alike.partition_point(|entry| length(&entry.middle) >= length(&middle));
        add(alike, place, Entry { middle, value })
    }

    fn find<'t>(&'t self, name: &str) -> impl Iterator<Item = &'t T> {
        self.alike(name).into_iter().flat_map(|(alike, inner)| {
            let matching = alike.iter().filter(move |entry| has_in_order(inner, &entry.middle));
            matching.map(|entry| &entry.value)
        })
    }

    /// The patterns with the beginning and end of a name, and what is between these.
    fn alike<'n>(&self, name: &'n str) -> Option<(&[Entry<T>], &'n str)> {
        let (start, rest) = name.split_at_checked(self.start)?;
        let (inner, end) = rest.split_at_checked(rest.len().checked_sub(self.end)?)?;
        Some((self.alike.get(start)?.get(end)?, inner))
    }
}

fn add<T>(alike: &mut Vec<T>, place: usize, value: T) -> Result<(), TableError> {
    if alike.len() >= MAX_ALIKE {
        return Err(TableError::TooManyAlike);
    }
    alike.insert(place.min(alike.len()), value);
    Ok(())
}

fn length(pieces: &[String]) -> usize {
    pieces.iter().map(String::len).sum()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests may panic")]

    use super::*;
    use crate::policy::tests::Random;

    fn table(patterns: &[&str]) -> PatternTable<String> {
        let mut table = PatternTable::default();
        for text in patterns {
            table.insert(Pattern::parse(text).unwrap(), (*text).to_owned()).unwrap();
        }
        table
    }

    #[test]
    fn the_most_specific_pattern_comes_first() {
        let all = ["*", "*t", "get_*", "get_*t", "get_*e*t", "get_s*", "get_secret"];
        let table = table(&all);
        let found: Vec<_> = table.find("get_secret").collect();
        assert_eq!(
            found,
            ["get_secret", "get_s*", "get_*e*t", "get_*t", "get_*", "*t", "*"],
            "exact; longest beginning; longest end; most text"
        );
    }

    #[test]
    fn a_tie_is_between_patterns_that_a_name_has_both_of() {
        let table = table(&["a*x*b", "c"]);
        let tied = |text| table.tied(&Pattern::parse(text).unwrap()).next().cloned();
        assert_eq!(tied("a*x*b").as_deref(), Some("a*x*b"));
        assert_eq!(tied("a*y*b").as_deref(), Some("a*x*b"));
        assert_eq!(tied("a*xy*b"), None);
        assert_eq!(tied("a*b"), None);
        assert_eq!(tied("d*x*b"), None);
        assert_eq!(tied("c").as_deref(), Some("c"));
    }

    #[test]
    fn what_is_found_is_what_every_pattern_for_itself_matches() {
        let mut found = 0;
        for seed in 0..5_000 {
            let mut random = Random(seed);
            let mut table = PatternTable::default();
            let mut patterns = Vec::new();
            for _ in 0..random.below(12) {
                let text = random.text(&["a", "b", "*", "\u{e4}"], 5);
                if let Ok(pattern) = Pattern::parse(&text) {
                    table.insert(pattern.clone(), patterns.len()).unwrap();
                    patterns.push(pattern);
                }
            }
            for _ in 0..8 {
                let name = random.text(&["a", "b", "\u{e4}"], 6);
                let mut indices: Vec<usize> = table.find(&name).copied().collect();
                indices.sort_unstable();
                let matching = patterns.iter().enumerate().filter(|(_, it)| it.matches(&name));
                assert_eq!(indices, matching.map(|(index, _)| index).collect::<Vec<_>>(), "{name}");
                found += indices.len();
            }
        }
        assert!(found > 10_000, "{found}");
    }

    #[test]
    fn what_a_name_costs_is_bounded() {
        let mut table = PatternTable::default();
        let mut insert = |text: String| table.insert(Pattern::parse(&text).unwrap(), ());
        for length in 1..=MAX_SHAPES {
            insert(format!("{}*", "a".repeat(length))).unwrap();
        }
        assert_eq!(insert("*a".to_owned()), Err(TableError::TooManyShapes));
        for index in 1..MAX_ALIKE {
            insert(format!("a*{index}*")).unwrap();
        }
        assert_eq!(insert("a*x*".to_owned()), Err(TableError::TooManyAlike));
    }

    #[test]
    fn ten_thousand_patterns_cost_a_name_as_much_as_ten() {
        let filled = |count: u32| {
            let mut table = PatternTable::default();
            for index in 0..count {
                for text in [
                    format!("get_{index:05}"),
                    format!("do_{index:05}_*"),
                    format!("{index:05}*_x"),
                ] {
                    table.insert(Pattern::parse(&text).unwrap(), index).unwrap();
                }
            }
            table
        };
        assert_eq!(filled(10).probes(), filled(10_000).probes());
    }
}
