//! What a condition says of a case.

use std::collections::BTreeSet;
use std::fmt;

use crate::policy::case::Case;
use crate::token::Actor;

/// Whether a condition holds, and why.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy) enum Verdict<'c> {
    /// The policy does not ask for it.
    NotAsked,
    /// It does.
    Asked {
        /// Whether there is what it takes.
        holds: bool,
        /// What it takes.
        wanted: Shown<'c>,
        /// What there is.
        found: Shown<'c>,
    },
}

/// What an explanation shows, written only if there is one.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy) enum Shown<'c> {
    Nothing,
    Text(&'c str),
    Count(usize),
    Set(&'c BTreeSet<String>),
    List(&'c [String]),
    Actors(&'c [Actor]),
    /// The scopes of the operation.
    ScopesOf(&'c Case<'c>),
}

impl<'c> Verdict<'c> {
    /// The verdict on something that is asked.
    pub(super) fn of(
        holds: bool,
        wanted: impl Into<Shown<'c>>,
        found: impl Into<Shown<'c>>,
    ) -> Self {
        Verdict::Asked { holds, wanted: wanted.into(), found: found.into() }
    }

    /// What the caller is must be one of these; an empty set asks for nothing.
    pub(super) fn one_of(wanted: &'c BTreeSet<String>, found: Option<&'c str>) -> Self {
        if wanted.is_empty() {
            return Verdict::NotAsked;
        }
        Verdict::of(found.is_some_and(|found| wanted.contains(found)), wanted, found)
    }

    /// What the caller has must be one of these at least; an empty set asks for nothing.
    pub(super) fn any_of(wanted: &'c BTreeSet<String>, found: &'c BTreeSet<String>) -> Self {
        if wanted.is_empty() {
            return Verdict::NotAsked;
        }
        Verdict::of(!wanted.is_disjoint(found), wanted, found)
    }

    /// Both must hold; what does not is shown.
    pub(super) fn and(self, other: Self) -> Self {
        match (&self, &other) {
            (_, Verdict::NotAsked) => self,
            _ if self.holds() => other,
            _ => self,
        }
    }

    /// Whether nothing stands against the operation.
    pub(in crate::policy) fn holds(&self) -> bool {
        match self {
            Verdict::NotAsked => true,
            Verdict::Asked { holds, .. } => *holds,
        }
    }
}

impl<'c> From<&'c str> for Shown<'c> {
    fn from(text: &'c str) -> Self {
        Shown::Text(text)
    }
}

impl<'c> From<Option<&'c str>> for Shown<'c> {
    fn from(text: Option<&'c str>) -> Self {
        text.map_or(Shown::Nothing, Shown::Text)
    }
}

impl From<usize> for Shown<'_> {
    fn from(count: usize) -> Self {
        Shown::Count(count)
    }
}

impl<'c> From<&'c BTreeSet<String>> for Shown<'c> {
    fn from(set: &'c BTreeSet<String>) -> Self {
        Shown::Set(set)
    }
}

impl<'c> From<&'c [String]> for Shown<'c> {
    fn from(list: &'c [String]) -> Self {
        Shown::List(list)
    }
}

impl<'c> From<&'c [Actor]> for Shown<'c> {
    fn from(actors: &'c [Actor]) -> Self {
        Shown::Actors(actors)
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shown::Nothing => f.write_str("none"),
            Shown::Text(text) => f.write_str(text),
            Shown::Count(count) => count.fmt(f),
            Shown::Set(set) => listed(f, set.iter().map(String::as_str)),
            Shown::ScopesOf(case) => listed(f, case.scopes().map(String::as_str)),
            Shown::List(list) => listed(f, list.iter().map(String::as_str)),
            Shown::Actors(actors) => listed(
                f,
                actors
                    .iter()
                    .filter_map(|actor| actor.subject.as_deref().or(actor.client_id.as_deref())),
            ),
        }
    }
}

fn listed<'t>(f: &mut fmt::Formatter<'_>, texts: impl Iterator<Item = &'t str>) -> fmt::Result {
    let mut separator = "";
    for text in texts {
        write!(f, "{separator}{text}")?;
        separator = ", ";
    }
    if separator.is_empty() { f.write_str("none") } else { Ok(()) }
}
