//! Who the rule is for: users by what they are, workloads by name.

use super::{Shown, Verdict};
use crate::policy::case::Case;
use crate::policy::rules::Rule;
use crate::token::AccessToken;

/// Without a user there is only what the rule grants to workloads by name.
pub(super) fn is_granted_to_workload<'c>(case: &'c Case<'c>) -> Verdict<'c> {
    match case.rule_for_workload() {
        Some(_) => Verdict::of(
            case.grants().next().is_some(),
            "a grant to this workload, with the permissions it has",
            &case.token().roles,
        ),
        None => Verdict::NotAsked,
    }
}

pub(super) fn has_issuer<'c>(case: &'c Case<'c>) -> Verdict<'c> {
    match case.rule() {
        Some(rule) if !rule.issuers.is_empty() => {
            let token = case.token();
            let holds = rule.issuers.contains(&token.issuer);
            Verdict::of(holds, "an issuer of the rule's", token.issuer_url.as_str())
        }
        _ => Verdict::NotAsked,
    }
}

/// A workload has a tenant too.
pub(super) fn has_tenant<'c>(case: &'c Case<'c>) -> Verdict<'c> {
    match case.rule() {
        Some(rule) => Verdict::one_of(&rule.tenants, case.token().tenant.as_deref()),
        None => Verdict::NotAsked,
    }
}

pub(super) fn is_subject<'c>(case: &'c Case<'c>) -> Verdict<'c> {
    of_user(case, |rule, token| Verdict::one_of(&rule.subjects, Some(&token.subject)))
}

pub(super) fn has_role<'c>(case: &'c Case<'c>) -> Verdict<'c> {
    of_user(case, |rule, token| Verdict::any_of(&rule.roles, &token.roles))
}

pub(super) fn is_in_group<'c>(case: &'c Case<'c>) -> Verdict<'c> {
    of_user(case, |rule, token| Verdict::any_of(&rule.groups, &token.groups))
}

pub(super) fn has_authenticated<'c>(case: &'c Case<'c>) -> Verdict<'c> {
    of_user(case, |rule, token| match &rule.step_up {
        Some(wanted) => Verdict::of(
            wanted.is_met(token, case.identity.now),
            "acr, auth_time and acrs of the rule's",
            token.acr.as_deref(),
        ),
        None => Verdict::NotAsked,
    })
}

/// The scopes of the operation: all of them.
pub(super) fn has_scopes<'c>(case: &'c Case<'c>) -> Verdict<'c> {
    if case.scopes().next().is_none() {
        return Verdict::NotAsked;
    }
    let holds = case.scopes().all(|scope| case.holds_scope(scope));
    Verdict::of(holds, Shown::ScopesOf(case), &case.token().scopes)
}

fn of_user<'c>(
    case: &'c Case<'c>,
    judge: impl FnOnce(&'c Rule, &'c AccessToken) -> Verdict<'c>,
) -> Verdict<'c> {
    match case.rule_for_user() {
        Some(rule) => judge(rule, case.token()),
        None => Verdict::NotAsked,
    }
}
