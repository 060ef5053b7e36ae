//! What kind of JWT a token is.
//!
//! An issuer signs more than access tokens with its keys, and one that was made for
//! another purpose must not serve as one (RFC 8725bis section 3.12). A `typ` of `at+jwt`
//! says that a JWT is an access token (RFC 9068 section 2.1). Of any other, the claims
//! must not show that it is something else.

use crate::json::{Object, Value};

use super::error::TokenError;

/// `typ` of access tokens (RFC 9068 section 2.1), as [`media_type`] writes it.
const ACCESS_TOKEN: &str = "application/at+jwt";

/// `typ` of JWTs that are never access tokens, without `application/`.
const OTHER_KINDS: [&str; 23] = [
    "dpop+jwt",                         // RFC 9449 section 4.2
    "logout+jwt",                       // OpenID Connect Back-Channel Logout 1.0 section 2.4
    "secevent+jwt",                     // RFC 8417 section 2.3
    "token-introspection+jwt",          // RFC 9701 section 5
    "oauth-authz-req+jwt",              // RFC 9101 section 10.8
    "oauth-id-jag+jwt",                 // draft-ietf-oauth-identity-assertion-authz-grant
    "txntoken+jwt",                     // draft-ietf-oauth-transaction-tokens
    "client-authentication+jwt",        // draft-ietf-oauth-rfc7523bis
    "authorization-grant+jwt",          // draft-ietf-oauth-rfc7523bis
    "oauth-client-attestation+jwt",     // draft-ietf-oauth-attestation-based-client-auth
    "oauth-client-attestation-pop+jwt", // the same
    "id+jwt",                           // ID tokens, where a provider types them
    "entity-statement+jwt",             // OpenID Federation 1.0 section 3.1
    "trust-mark+jwt",                   // OpenID Federation 1.0 section 7.1
    "resolve-response+jwt",             // OpenID Federation 1.0 section 8.3.2
    "jwk-set+jwt",                      // OpenID Federation 1.0 section 5.2.1
    "openid4vci-proof+jwt",             // OpenID4VCI 1.0 appendix F.1
    "kb+jwt",                           // RFC 9901 section 4.3
    "statuslist+jwt",                   // draft-ietf-oauth-status-list
    "vc+jwt",                           // Securing Verifiable Credentials using JOSE and COSE
    "vp+jwt",                           // the same
    "wit+jwt",                          // draft-ietf-wimse-workload-creds
    "wpt+jwt",                          // draft-ietf-wimse-wpt
];

/// Claims that no access token has, and other JWTs do. Keycloak before 24 had `nonce` in
/// access tokens; it can give them the `typ` `at+jwt`.
const MARKS: [&str; 9] = [
    "nonce",               // ID token: OpenID Connect Core 1.0 section 2
    "at_hash",             // ID token: OpenID Connect Core 1.0 section 3.1.3.6
    "c_hash",              // ID token: OpenID Connect Core 1.0 section 3.3.2.11
    "s_hash",              // ID token: FAPI 1.0 part 2 section 5.1
    "events",              // security event token, of which logout tokens are: RFC 8417 section 2.2
    "htm",                 // DPoP proof: RFC 9449 section 4.2
    "htu",                 // DPoP proof: RFC 9449 section 4.2
    "token_introspection", // introspection answer: RFC 9701 section 5
    "req_wl",              // transaction token: draft-ietf-oauth-transaction-tokens
];

/// Claims in which providers name the kind, with what they call access tokens.
const NAMES: [(&str, &[&str]); 4] = [
    // Keycloak, whose others are `ID`, `Refresh`, `Offline`, `Logout` and more.
    ("typ", &["Bearer", "DPoP"]),
    // Amazon Cognito, where ID tokens are `id`; Ory Hydra's introspection.
    ("token_use", &["access", "access_token"]),
    // PingAM, where ID tokens are `id_token`.
    ("tokenName", &["access_token"]),
    // Oracle identity domains, where ID tokens are `IT`.
    ("tok_type", &["AT"]),
];

/// Whether this `typ` is that of a kind of JWT that is never an access token.
#[must_use]
pub fn is_other_kind(typ: &str) -> bool {
    let typ = media_type(typ);
    typ.strip_prefix("application/").is_some_and(|kind| OTHER_KINDS.contains(&kind))
}

/// Whether this `typ` says that a JWT is an access token.
pub(super) fn is_access_token(typ: &str) -> bool {
    media_type(typ) == ACCESS_TOKEN
}

/// `typ` as a media type: lower case, `application/` where no slash is (RFC 7515 section 4.1.9).
pub(super) fn media_type(typ: &str) -> String {
    let typ = typ.to_ascii_lowercase();
    if typ.contains('/') { typ } else { format!("application/{typ}") }
}

/// Refuses claims that show another kind of token.
///
/// # Errors
/// [`TokenError::NotAnAccessToken`], naming the claim that shows it.
pub(super) fn refuse_other_kinds(claims: &Object<'_>) -> Result<(), TokenError> {
    let marked = MARKS.iter().find(|name| claims.get(name).is_some());
    let named = NAMES.iter().find(|(name, access_token)| {
        let kind = claims.get(name).map(Value::as_str);
        kind.is_some_and(|kind| kind.is_none_or(|kind| !access_token.contains(&kind)))
    });
    match marked.or(named.map(|(name, _)| name)) {
        Some(name) => Err(TokenError::NotAnAccessToken(name)),
        None => Ok(()),
    }
}
