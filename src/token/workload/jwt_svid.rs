//! What a JWT-SVID says, and whether that is good here and now.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use crate::host::Host;
use crate::token::claims;
use crate::token::error::{TokenError, WorkloadError};
use crate::token::jwk::Key;
use crate::token::jws::{Jws, Segments, Unverified, Verified};
use crate::token::keys::JWT_SVID_ALGORITHMS;
use crate::token::spiffe::SpiffeId;

/// How far the clock of the trust domain may be from ours: "a small amount of leeway"
/// (JWT-SVID appendix A).
const CLOCK_SKEW: Duration = Duration::from_secs(30);

/// Longest time until a JWT-SVID expires. Whoever reads one can send it again until then, and
/// nobody keeps count (JWT-SVID section 6.1). SPIRE makes them for five minutes, and lets an
/// operator say for how long; for more than a day is a credential to keep.
const MAX_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The values of `typ` (JWT-SVID section 2.3), which is optional.
const TYPES: [&str; 2] = ["JWT", "JOSE"];

/// A JWT-SVID nobody has vouched for yet, with what picks the key.
pub(super) struct Presented<'t> {
    jws: Unverified<Jws<'t>>,
    /// `sub`, whose trust domain's keys are to be tried.
    pub(super) subject: SpiffeId,
}

/// What a JWT-SVID says, once verified.
pub(super) struct JwtSvid {
    pub(super) id: Rc<SpiffeId>,
    audiences: Vec<String>,
    expires_at: SystemTime,
    not_before: Option<SystemTime>,
    issued_at: Option<SystemTime>,
}

/// Splits and decodes a JWS in compact serialisation, the only one (JWT-SVID section 5.1).
pub(super) fn decode(text: &str) -> Result<Segments<'_>, WorkloadError> {
    Segments::decode(text).map_err(refusal)
}

impl<'t> Presented<'t> {
    /// Reads the header, which has to be right before anything else is looked at (JWT-SVID
    /// section 4), and the subject.
    pub(super) fn parse(segments: &'t Segments<'t>) -> Result<Self, WorkloadError> {
        let jws = Unverified::<Jws<'_>>::parse(segments).map_err(refusal)?;
        if jws.token_type().is_some_and(|typ| !TYPES.contains(&typ)) {
            return Err(WorkloadError::Type);
        }
        if !JWT_SVID_ALGORITHMS.contains(&jws.algorithm()) {
            return Err(WorkloadError::Algorithm);
        }
        let subject = jws.subject().and_then(|subject| SpiffeId::parse(subject).ok());
        Ok(Presented { subject: subject.ok_or(WorkloadError::Subject)?, jws })
    }

    /// `kid`. JWT-SVID section 2.2 has it optional, but every key of a bundle has a name,
    /// and without it the one that is meant would be guessed.
    pub(super) fn kid(&self) -> Result<&str, WorkloadError> {
        self.jws.kid().ok_or(WorkloadError::UnknownKey)
    }

    /// Checks the signature, and reads what the claims say.
    pub(super) fn verify(
        self,
        key: &Key,
        host: &dyn Host,
    ) -> Result<Verified<JwtSvid>, WorkloadError> {
        let Presented { jws, subject } = self;
        jws.verify(key, host)
            .and_then(|jws| jws.read(|jws| JwtSvid::read(subject, jws)))
            .map_err(refusal)
    }
}

impl JwtSvid {
    fn read(subject: SpiffeId, jws: &Jws<'_>) -> Result<Self, TokenError> {
        let claims = jws.claims();
        claims::check_count(claims)?;
        Ok(JwtSvid {
            id: Rc::new(subject),
            audiences: claims::audiences(claims)?,
            expires_at: claims::required(claims::numeric_date(claims, "exp")?, "exp")?,
            not_before: claims::numeric_date(claims, "nbf")?,
            issued_at: claims::numeric_date(claims, "iat")?,
        })
    }

    /// Whether it is good now.
    pub(super) fn check_time(&self, now: SystemTime) -> Result<(), WorkloadError> {
        // A time that cannot be represented is refused with the rest.
        let is_past = self.expires_at.checked_add(CLOCK_SKEW).is_none_or(|end| end <= now);
        let latest = now.checked_add(CLOCK_SKEW);
        let is_to_come = |time| latest.is_none_or(|latest| time > latest);
        let last = latest.and_then(|latest| latest.checked_add(MAX_LIFETIME));
        if is_past {
            Err(WorkloadError::Expired)
        } else if self.not_before.is_some_and(is_to_come) || self.issued_at.is_some_and(is_to_come)
        {
            Err(WorkloadError::NotYetValid)
        } else if last.is_none_or(|last| self.expires_at > last) {
            Err(WorkloadError::Lifetime)
        } else {
            Ok(())
        }
    }

    /// Whether it is for a server, by its resource identifier or another audience.
    pub(super) fn check_audience(
        &self,
        resource: &str,
        others: &[String],
    ) -> Result<(), WorkloadError> {
        let is_ours = |audience: &String| audience == resource || others.contains(audience);
        if self.audiences.iter().any(is_ours) { Ok(()) } else { Err(WorkloadError::Audience) }
    }
}

/// What an error of a JWS or of a claim means for a JWT-SVID.
fn refusal(error: TokenError) -> WorkloadError {
    match error {
        TokenError::Malformed(reason) => WorkloadError::Malformed(reason),
        TokenError::Algorithm => WorkloadError::Algorithm,
        TokenError::Signature => WorkloadError::Signature,
        TokenError::MissingClaim(name) | TokenError::BadClaim(name) => WorkloadError::Claim(name),
        _ => WorkloadError::Malformed("not a JWT-SVID"),
    }
}
