//! The request to an introspection endpoint.

use super::answer::{PLAIN, SIGNED};
use super::settings::Introspection;
use crate::host::{Callout, Host, HostError};

/// What asks the issuer about the token (RFC 7662 section 2.1).
///
/// # Errors
/// [`HostError`] when the client assertion could not be made.
pub(super) fn request(
    settings: &Introspection,
    token: &str,
    host: &dyn Host,
) -> Result<Callout, HostError> {
    let accept = if settings.signed_for.is_some() { SIGNED } else { PLAIN };
    let form = [("token", token), ("token_type_hint", "access_token")];
    settings.client.post(&settings.endpoint, accept, &form, host)
}
