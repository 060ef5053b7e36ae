//! How the subject has to have authenticated (RFC 9470).

use std::time::{Duration, SystemTime};

use crate::token::AccessToken;

/// How far ahead `auth_time` may be: what clocks of servers differ by that are kept right.
const MAX_AHEAD: Duration = Duration::from_secs(60);

/// How the subject has to have authenticated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StepUp {
    /// Values of `acr`, any of them; most wanted first. Empty: any.
    pub acr: Vec<String>,
    /// How long ago it may have been, by `auth_time`.
    pub max_age: Option<Duration>,
    /// Authentication contexts of Microsoft Entra ID, of which `acrs` must have one.
    pub contexts: Vec<String>,
}

impl StepUp {
    /// Whether the subject has authenticated so. What a token does not say, did not happen.
    #[must_use]
    pub fn is_met(&self, token: &AccessToken, now: SystemTime) -> bool {
        let has_level =
            self.acr.is_empty() || token.acr.as_ref().is_some_and(|acr| self.acr.contains(acr));
        let is_recent = self.max_age.is_none_or(|max_age| {
            token.authenticated_at.is_some_and(|then| match now.duration_since(then) {
                Ok(age) => age <= max_age,
                Err(ahead) => ahead.duration() <= MAX_AHEAD,
            })
        });
        let has_context = self.contexts.is_empty()
            || self.contexts.iter().any(|it| token.authentication_contexts.contains(it));
        has_level && is_recent && has_context
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::{set, token};

    #[test]
    fn rfc_9470_5_acr_is_any_of_those_wanted() {
        let wanted = StepUp { acr: vec!["mfa".to_owned(), "phr".to_owned()], ..StepUp::default() };
        let mut token = token(&[]);
        for (acr, met) in [(None, false), (Some("pwd"), false), (Some("phr"), true)] {
            token.acr = acr.map(str::to_owned);
            assert_eq!(wanted.is_met(&token, SystemTime::UNIX_EPOCH), met, "{acr:?}");
        }
    }

    #[test]
    fn rfc_9470_5_max_age_is_counted_from_auth_time() {
        let wanted = StepUp { max_age: Some(Duration::from_secs(300)), ..StepUp::default() };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(10_000);
        let mut token = token(&[]);
        assert!(!wanted.is_met(&token, now), "no auth_time");
        for (at, met) in [(9_700, true), (9_699, false), (10_060, true), (10_061, false)] {
            token.authenticated_at = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(at));
            assert_eq!(wanted.is_met(&token, now), met, "{at}");
        }
    }

    #[test]
    fn an_authentication_context_is_any_of_those_wanted() {
        let wanted =
            StepUp { contexts: vec!["c1".to_owned(), "c2".to_owned()], ..StepUp::default() };
        let mut token = token(&[]);
        assert!(!wanted.is_met(&token, SystemTime::UNIX_EPOCH));
        token.authentication_contexts = set(&["c2", "c9"]);
        assert!(wanted.is_met(&token, SystemTime::UNIX_EPOCH));
    }
}
