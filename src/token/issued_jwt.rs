//! JWTs that an authorization server issued to us, to be sent on.

use std::collections::BTreeSet;
use std::time::SystemTime;

use super::actors::{self, Actor};
use super::claims::{self, TokenId};
use super::error::TokenError;
use super::issuer::ClaimNames;
use super::jws::Segments;
use super::kind;

/// What a JWT says that came from an authorization server itself. Its signature is not looked
/// at, so nothing of it is a [`Verified`](super::Verified) claim: it may refuse the JWT, and
/// nobody is admitted by it. Has no `Debug`: claims are personal data.
pub(crate) struct IssuedJwt {
    /// `typ`, as a media type in lower case.
    pub(crate) media_type: Option<String>,
    /// `iss`
    pub(crate) issuer: Option<String>,
    /// `sub`
    pub(crate) subject: Option<String>,
    /// `aud`; empty where there is none.
    pub(crate) audiences: Vec<String>,
    /// `exp`
    pub(crate) expires_at: Option<SystemTime>,
    /// `nbf`
    pub(crate) not_before: Option<SystemTime>,
    /// `scope` and `scp`, together; `None` where it has neither.
    pub(crate) scopes: Option<BTreeSet<String>>,
    /// The current actor of `act` (RFC 8693 section 4.1).
    pub(crate) actor: Option<Actor>,
    /// It has `cnf` (RFC 7800), whatever that says.
    pub(crate) is_bound: bool,
    /// `jti`
    pub(crate) token_id: Option<TokenId>,
}

impl IssuedJwt {
    /// Reads a JWT in compact serialisation (RFC 7519 section 3).
    ///
    /// # Errors
    /// [`TokenError`] for anything else, within the bounds of access tokens, and for claims that
    /// are there and cannot be read.
    pub(crate) fn read(token: &str) -> Result<Self, TokenError> {
        let segments = Segments::decode(token)?;
        let header = segments.header()?;
        let claims = segments.unverified_claims()?;
        claims::check_count(&claims)?;
        let has = |name| claims.get(name).is_some();
        let names = ClaimNames::default();
        Ok(IssuedJwt {
            media_type: claims::string(&header, "typ")?.map(|typ| kind::media_type(&typ)),
            issuer: claims::string(&claims, "iss")?,
            subject: claims::string(&claims, "sub")?,
            audiences: has("aud")
                .then(|| claims::audiences(&claims))
                .transpose()?
                .unwrap_or_default(),
            expires_at: claims::numeric_date(&claims, "exp")?,
            not_before: claims::numeric_date(&claims, "nbf")?,
            scopes: (has("scope") || has("scp"))
                .then(|| claims::scopes(&claims, &names.scopes))
                .transpose()?,
            actor: actors::chain(&claims)?.into_iter().next(),
            is_bound: has("cnf"),
            token_id: claims::string(&claims, "jti")?.map(TokenId::new),
        })
    }
}
