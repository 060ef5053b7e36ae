//! What the server asks, whoever calls, and what it asks of the sender.

use super::Verdict;
use crate::policy::case::{Asked, Case};
use crate::token::Requirement;

/// What no rule names is denied.
pub(super) fn allows_method<'c>(case: &'c Case<'c>) -> Verdict<'c> {
    match case.asked {
        Asked::Method { name, allowed, .. } => {
            Verdict::of(allowed, "a method that is allowed", name)
        }
        Asked::Object { .. } => Verdict::NotAsked,
    }
}

pub(super) fn does_not_forbid<'c>(case: &'c Case<'c>) -> Verdict<'c> {
    match (case.asked, case.forbidding().next()) {
        (Asked::Method { .. }, _) => Verdict::NotAsked,
        (Asked::Object { .. }, rule) => Verdict::of(
            rule.is_none(),
            "no rule that forbids it",
            rule.map(|rule| rule.id.as_str()),
        ),
    }
}

/// What no rule names is denied.
pub(super) fn has_rule<'c>(case: &'c Case<'c>) -> Verdict<'c> {
    match case.asked {
        Asked::Method { .. } => Verdict::NotAsked,
        Asked::Object { rule, .. } => {
            Verdict::of(rule.is_some(), "a rule that names it", rule.map(|rule| rule.id.as_str()))
        }
    }
}

/// A caller whose token is bound to a key has proved to hold it.
pub(super) fn has_key<'c>(case: &'c Case<'c>) -> Verdict<'c> {
    let rule = case.rule().and_then(|rule| rule.dpop);
    bound(rule.unwrap_or(case.settings.dpop), case.token().confirmation.key.is_some())
}

/// The same of a certificate.
pub(super) fn has_certificate<'c>(case: &'c Case<'c>) -> Verdict<'c> {
    let rule = case.rule().and_then(|rule| rule.mtls);
    bound(rule.unwrap_or(case.settings.mtls), case.token().confirmation.certificate.is_some())
}

fn bound<'c>(requirement: Requirement, is_bound: bool) -> Verdict<'c> {
    match requirement {
        Requirement::Off | Requirement::Optional => Verdict::NotAsked,
        Requirement::Required => {
            let found = if is_bound { "a bound token" } else { "a bearer token" };
            Verdict::of(is_bound, "a bound token", found)
        }
    }
}
