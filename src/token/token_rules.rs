//! What an issuer's access tokens must be like.

use std::time::{Duration, SystemTime};

use crate::json::Object;

use super::actors::{self, Actor};
use super::algorithm::Algorithm;
use super::claims::{self, AccessToken, TokenId, required};
use super::error::TokenError;
use super::issuer::{ClaimNames, Identifier, Issuer, IssuerId, TokenType};
use super::jwk::Key;
use super::jws::{Jws, Unverified, Verified};
use super::{kind, subject_kind};

/// The rules for the tokens of one issuer: RFC 9068 section 4, as far as its settings
/// do not say otherwise.
#[derive(Debug)]
pub(super) struct TokenRules {
    identifier: Identifier,
    algorithms: Vec<Algorithm>,
    /// Media types as [`kind::media_type`] writes them.
    token_types: Vec<TokenType>,
    clock_skew: Duration,
    max_age: Option<Duration>,
    max_lifetime: Option<Duration>,
    names: ClaimNames,
}

impl TokenRules {
    pub(super) fn new(issuer: &Issuer) -> Self {
        let token_types = issuer.token_types.iter().map(|typ| match typ {
            TokenType::Media(typ) => TokenType::Media(kind::media_type(typ)),
            TokenType::Absent => TokenType::Absent,
        });
        TokenRules {
            identifier: issuer.identifier.clone(),
            algorithms: issuer.algorithms.clone(),
            token_types: token_types.collect(),
            clock_skew: issuer.clock_skew,
            max_age: issuer.max_age,
            max_lifetime: issuer.max_lifetime,
            names: issuer.claims.clone(),
        }
    }

    /// Whether this is the issuer a token says it is of, and its tenant is accepted.
    pub(super) fn is_issuer(&self, iss: &str) -> bool {
        match &self.identifier {
            Identifier::Exact(url) => url == iss,
            Identifier::PerTenant { .. } => self.identifier.tenant_of(iss).is_some(),
        }
    }

    /// How far the issuer's clock may be from ours.
    pub(super) fn clock_skew(&self) -> Duration {
        self.clock_skew
    }

    /// What is checked before any key is looked up or fetched for the token.
    ///
    /// # Errors
    /// [`TokenError::Type`], [`TokenError::Algorithm`].
    pub(super) fn check_header(&self, jws: &Unverified<Jws<'_>>) -> Result<(), TokenError> {
        let typ = match jws.token_type() {
            Some(typ) if kind::is_other_kind(typ) => return Err(TokenError::Type),
            Some(typ) => TokenType::Media(kind::media_type(typ)),
            None => TokenType::Absent,
        };
        if !self.token_types.contains(&typ) {
            return Err(TokenError::Type);
        }
        if !self.algorithms.contains(&jws.algorithm()) {
            return Err(TokenError::Algorithm);
        }
        Ok(())
    }

    /// Whether the key may vouch for tokens of the tenant that the token names.
    ///
    /// The key set that Microsoft Entra ID publishes for all tenants has keys of single
    /// tenants too, and says so in their member `issuer`; `{tenantid}` in it stands for any.
    ///
    /// # Errors
    /// [`TokenError::UnknownKey`].
    pub(super) fn check_key(&self, jws: &Unverified<Jws<'_>>, key: &Key) -> Result<(), TokenError> {
        let (Identifier::PerTenant { .. }, Some(template)) = (&self.identifier, key.issuer())
        else {
            return Ok(());
        };
        let iss = jws.issuer().ok_or(TokenError::UnknownIssuer)?;
        let tenant = self.identifier.tenant_of(iss).ok_or(TokenError::UnknownIssuer)?;
        let fits = template.replace("{tenantid}", tenant) == iss;
        if fits { Ok(()) } else { Err(TokenError::UnknownKey) }
    }

    /// Reads the claims of a token that a key of this issuer verified.
    ///
    /// # Errors
    /// [`TokenError::NotAnAccessToken`], [`TokenError::UnknownIssuer`],
    /// [`TokenError::Tenant`], [`TokenError::MissingClaim`], [`TokenError::BadClaim`],
    /// [`TokenError::Confirmation`], [`TokenError::Malformed`].
    pub(super) fn read(
        &self,
        id: IssuerId,
        jws: &Verified<Jws<'_>>,
    ) -> Result<Verified<AccessToken>, TokenError> {
        jws.read(|jws| {
            let claims = jws.claims();
            let typed = jws.token_type().is_some_and(kind::is_access_token);
            if !typed {
                kind::refuse_other_kinds(claims)?;
            }
            required(claims::string(claims, "iss")?, "iss")?;
            let issued_at = required(claims::numeric_date(claims, "iat")?, "iat")?;
            let token = self.token(id, claims, issued_at)?;
            if typed {
                required(token.token_id.as_ref(), "jti")?;
            }
            Ok(token)
        })
    }

    /// Reads what this issuer says of an opaque token (RFC 7662 section 2.2). It may leave
    /// out more than a JWT can: who says it is known, and so may be `iss`.
    ///
    /// # Errors
    /// As [`Self::read`]. A missing `iat` is an error where the age of tokens is bounded.
    pub(super) fn read_introspected(
        &self,
        id: IssuerId,
        claims: &Object<'_>,
    ) -> Result<AccessToken, TokenError> {
        kind::refuse_other_kinds(claims)?;
        let issued_at = match claims::numeric_date(claims, "iat")? {
            Some(time) => time,
            None if self.max_age.is_some() || self.max_lifetime.is_some() => {
                return Err(TokenError::MissingClaim("iat"));
            }
            // A token of unknown age counts as issued before everything.
            None => claims::numeric_date(claims, "nbf")?.unwrap_or(SystemTime::UNIX_EPOCH),
        };
        self.token(id, claims, issued_at)
    }

    /// Reads claims that nobody vouched for, as those of a token of the issuer's first type.
    /// Does not exist in the filter.
    ///
    /// # Errors
    /// As [`Self::read`].
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn read_assumed(
        &self,
        id: IssuerId,
        claims: &Object<'_>,
    ) -> Result<AccessToken, TokenError> {
        let is_typed =
            |typ: &TokenType| matches!(typ, TokenType::Media(typ) if kind::is_access_token(typ));
        if !self.token_types.first().is_some_and(is_typed) {
            kind::refuse_other_kinds(claims)?;
        }
        let issued_at = required(claims::numeric_date(claims, "iat")?, "iat")?;
        self.token(id, claims, issued_at)
    }

    /// Whether the token is good now.
    ///
    /// # Errors
    /// [`TokenError::Expired`], [`TokenError::NotYetValid`], [`TokenError::IssuedInFuture`],
    /// [`TokenError::TooOld`], each with the leeway of the issuer's clock skew;
    /// [`TokenError::Lifetime`].
    pub(super) fn check_time(
        &self,
        token: &AccessToken,
        now: SystemTime,
    ) -> Result<(), TokenError> {
        // A time that cannot be represented is refused with the rest.
        let is_past = |end: Option<SystemTime>| {
            end.and_then(|end| end.checked_add(self.clock_skew)).is_none_or(|end| end <= now)
        };
        let is_to_come = |time| now.checked_add(self.clock_skew).is_none_or(|now| time > now);
        let lifetime = token.expires_at.duration_since(token.issued_at).unwrap_or_default();
        if is_past(Some(token.expires_at)) {
            Err(TokenError::Expired)
        } else if token.not_before.is_some_and(is_to_come) {
            Err(TokenError::NotYetValid)
        } else if is_to_come(token.issued_at) {
            Err(TokenError::IssuedInFuture)
        } else if self.max_age.is_some_and(|age| is_past(token.issued_at.checked_add(age))) {
            Err(TokenError::TooOld)
        } else if self.max_lifetime.is_some_and(|max| lifetime > max) {
            Err(TokenError::Lifetime)
        } else {
            Ok(())
        }
    }

    fn token(
        &self,
        issuer: IssuerId,
        claims: &Object<'_>,
        issued_at: SystemTime,
    ) -> Result<AccessToken, TokenError> {
        claims::check_count(claims)?;
        let names = &self.names;
        let tenant = claims::single(claims, &names.tenant, "tid")?;
        let issuer_url = self.issuer_url(claims, tenant.as_deref())?;
        let subject = required(claims::single(claims, &names.subject, "sub")?, "sub")?;
        let client_id = required(claims::single(claims, &names.client, "client_id")?, "client_id")?;
        let within = |actor: Actor| actor.within(&issuer_url);
        Ok(AccessToken {
            issuer,
            kind: subject_kind::of(claims, names, &subject, &client_id)?,
            actors: actors::chain(claims)?.into_iter().map(within).collect(),
            may_act: actors::authorized(claims)?.map(within),
            issuer_url,
            subject,
            client_id,
            audiences: claims::audiences(claims)?,
            scopes: claims::scopes(claims, &names.scopes)?,
            expires_at: required(claims::numeric_date(claims, "exp")?, "exp")?,
            not_before: claims::numeric_date(claims, "nbf")?,
            issued_at,
            token_id: claims::string(claims, "jti")?.map(TokenId::new),
            roles: claims::strings(claims, &names.roles, "roles")?,
            groups: claims::strings(claims, &names.groups, "groups")?,
            agent: claims::agent(claims, names)?,
            consent: claims::consent(claims, names)?,
            context: claims::context(claims, names)?,
            authentication_contexts: claims::named_strings(claims, "acrs")?,
            takes_claims_challenges: claims::takes_claims_challenges(claims)?,
            tenant,
            session: claims::string(claims, "sid")?,
            acr: claims::string(claims, "acr")?,
            authenticated_at: claims::numeric_date(claims, "auth_time")?,
            confirmation: claims::confirmation(claims)?,
        })
    }

    /// The issuer identifier on which the configuration, `iss` and the tenant's claim agree.
    fn issuer_url(&self, claims: &Object<'_>, tenant: Option<&str>) -> Result<String, TokenError> {
        let iss = claims::string(claims, "iss")?;
        if iss.as_deref().is_some_and(|iss| !self.is_issuer(iss)) {
            return Err(TokenError::UnknownIssuer);
        }
        let url = match &self.identifier {
            Identifier::Exact(url) => url.clone(),
            Identifier::PerTenant { prefix, suffix, .. } => {
                format!("{prefix}{}{suffix}", required(tenant, "tid")?)
            }
        };
        let agreed = self.is_issuer(&url) && iss.is_none_or(|iss| iss == url);
        if agreed { Ok(url) } else { Err(TokenError::Tenant) }
    }
}
