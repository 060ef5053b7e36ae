//! When something is asked.

use std::time::SystemTime;

/// The given time (RFC 3339, in UTC), or the machine's.
///
/// # Errors
/// That what is given is no time.
#[expect(clippy::disallowed_methods, reason = "the command has no host to ask; tests give a time")]
pub(super) fn now(given: Option<&str>) -> Result<SystemTime, String> {
    match given {
        None => Ok(SystemTime::now()),
        Some(text) => humantime::parse_rfc3339(text)
            .map_err(|_| "is no time such as 2026-12-01T18:00:00Z (RFC 3339, in UTC)".to_owned()),
    }
}
