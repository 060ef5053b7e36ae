//! How much a token may grant, and what it does.

use std::collections::BTreeSet;

use super::answer::TokenResponse;
use crate::exchange::Flaw;

/// How much an answer may grant.
#[derive(Debug, Clone, Copy)]
pub(super) enum Width<'w> {
    /// No more than was asked for.
    Within {
        /// What was asked for; `None` where that is what the authorization server thinks fit.
        asked: Option<&'w BTreeSet<String>>,
        /// The most where nothing was.
        otherwise: Option<&'w BTreeSet<String>>,
    },
    /// All that was consented to at the resource of what was asked for: Microsoft Entra ID grants
    /// no less, so asking for little is no way to get little.
    Entra {
        /// What was asked for.
        asked: &'w BTreeSet<String>,
    },
    /// What it grants is a third party's, and not read.
    Unknown,
}

/// Name of the scope that stands for all that was consented to (Microsoft identity platform,
/// "The .default scope").
const DEFAULT: &str = ".default";

impl<'w> Width<'w> {
    /// Within what was asked for by `scope`, which is left out where there is none.
    pub(super) fn asked(
        scopes: &'w BTreeSet<String>,
        otherwise: Option<&'w BTreeSet<String>>,
    ) -> Self {
        let asked = Some(scopes).filter(|scopes| !scopes.is_empty());
        Width::Within { asked, otherwise }
    }

    /// What is granted, by the answer and by the token itself, which may have less: `None` where
    /// nobody says it and nothing was asked for.
    ///
    /// # Errors
    /// [`Flaw::Wider`], [`Flaw::Malformed`].
    pub(super) fn granted(
        self,
        response: &TokenResponse,
        carried: Option<&BTreeSet<String>>,
    ) -> Result<Option<BTreeSet<String>>, Flaw> {
        match self {
            Width::Within { asked, otherwise } => {
                let limit = asked.or(otherwise);
                let said = within(response.scopes()?, limit)?.or_else(|| asked.cloned());
                let carried = within(carried.cloned(), said.as_ref().or(limit))?;
                Ok(carried.or(said))
            }
            Width::Entra { asked } => {
                let said =
                    response.scopes()?.map(|said| named_as_asked(said, asked)).transpose()?;
                let carried = carried.map(|carried| named_as_asked(carried.clone(), asked));
                Ok(carried.transpose()?.or(said).or_else(|| Some(asked.clone())))
            }
            Width::Unknown => Ok(None),
        }
    }
}

fn within(
    scopes: Option<BTreeSet<String>>,
    limit: Option<&BTreeSet<String>>,
) -> Result<Option<BTreeSet<String>>, Flaw> {
    match (&scopes, limit) {
        (Some(scopes), Some(limit)) if !scopes.is_subset(limit) => Err(Flaw::Wider),
        _ => Ok(scopes),
    }
}

/// What Microsoft Entra ID granted, by the names it was asked with: it answers with or without
/// the resource they are of, and in the case they are registered with. Where all that was
/// consented to was asked for, the resource may have been asked for by another of its names.
fn named_as_asked(
    granted: BTreeSet<String>,
    asked: &BTreeSet<String>,
) -> Result<BTreeSet<String>, Flaw> {
    let consented: BTreeSet<String> =
        asked.iter().filter(|name| of_resource(name).1 == DEFAULT).cloned().collect();
    let mut named = BTreeSet::new();
    for name in granted {
        let candidates: Vec<&String> =
            asked.iter().filter(|asked| is_of_one_resource(asked, &name)).collect();
        if candidates.is_empty() && consented.is_empty() {
            return Err(Flaw::Wider);
        }
        let asked = candidates.into_iter().find(|asked| is_same_name(asked, &name));
        named.insert(asked.cloned().unwrap_or(name));
    }
    named.extend(consented);
    Ok(named)
}

fn is_of_one_resource(asked: &str, granted: &str) -> bool {
    match (of_resource(asked).0, of_resource(granted).0) {
        (Some(resource), Some(of)) => resource.eq_ignore_ascii_case(of),
        _ => true,
    }
}

fn is_same_name(asked: &str, granted: &str) -> bool {
    of_resource(asked).1.eq_ignore_ascii_case(of_resource(granted).1)
}

/// The resource of a scope, where it is named, and the scope's name there.
fn of_resource(scope: &str) -> (Option<&str>, &str) {
    scope.rsplit_once('/').map_or((None, scope), |(resource, name)| (Some(resource), name))
}
