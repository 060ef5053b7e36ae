//! What the authenticator is asked, and what it answers.

use std::rc::Rc;

use super::cache::TokenDigest;
use super::claims::AccessToken;
use super::confirmation::CertificateDigest;
use super::dpop::DpopPolicy;
use super::error::TokenError;
use super::introspection::Inquiry;
use super::issuer::IssuerId;
use super::jws::Verified;
use super::mtls::MtlsPolicy;
use super::spiffe::SpiffeId;
use super::workload::{TrustDomainId, WorkloadEvidence};

/// What a request brings to say who sends it. Nothing of it is verified.
#[derive(Clone, Copy)]
pub struct Credential<'r> {
    /// The scheme of `Authorization`.
    pub scheme: Scheme,
    /// The token in `Authorization`.
    pub token: &'r str,
    /// The `DPoP` header.
    pub proof: Option<&'r str>,
    /// The HTTP method.
    pub method: &'r str,
    /// The client's certificate, from where the server's policy looks for it.
    pub certificate: Option<CertificateDigest>,
    /// What says which workload it is of.
    pub workload: WorkloadEvidence<'r>,
}

/// The authentication schemes access tokens are sent with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// RFC 6750 section 2.1.
    Bearer,
    /// RFC 9449 section 7.1.
    Dpop,
}

/// What a server demands of callers.
#[derive(Debug, Clone, Copy)]
pub struct Demands<'s> {
    /// Issuers whose tokens it accepts.
    pub issuers: &'s [IssuerId],
    /// Its resource identifier, an audience.
    pub resource: &'s str,
    /// Its other audiences.
    pub audiences: &'s [String],
    /// Proofs of possession.
    pub dpop: &'s DpopPolicy,
    /// Certificates.
    pub mtls: &'s MtlsPolicy,
}

/// An authenticated caller.
#[derive(Debug, Clone)]
pub struct Caller {
    /// What the issuer says of it. Where the token is bound, the sender proved to be who
    /// it is bound to.
    pub token: Rc<Verified<AccessToken>>,
    /// Of the token as it was sent: what is kept for it is found by this.
    pub digest: TokenDigest,
    /// The workload that sends the request, by a certificate or JWT-SVID of a configured
    /// trust domain.
    pub workload: Option<Rc<SpiffeId>>,
    /// What became of the token on the way, for the record.
    pub evidence: Evidence,
    /// A nonce for the sender's next proof (RFC 9449 section 8.2).
    pub nonce: Option<String>,
}

/// How a token came to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Evidence {
    /// It was verified before.
    pub cached: bool,
    /// Its issuer's keys, its list of revocations, or the bundle of the workload's trust
    /// domain, are overdue for a refresh.
    pub stale: bool,
    /// What its issuer said of it.
    pub introspection: Option<Introspected>,
}

/// Where the issuer's word on a token came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Introspected {
    /// It was asked for this request.
    Asked,
    /// It was remembered.
    Remembered,
}

/// How recent the issuer's word must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recency {
    /// A remembered answer will do.
    Cached,
    /// It has to be asked for this request.
    Fresh,
}

/// What became of a credential.
#[derive(Debug)]
pub enum Outcome {
    /// It is good, for this server, now.
    Verified(Caller),
    /// Something has to be fetched first. Ask again once it [`has settled`](Wait), saying so.
    Waits(Wait),
    /// It is not, and nobody vouches for it.
    Rejected(TokenError),
    /// It is not, though its issuer vouches for it: it is for another server, expired or
    /// taken back, or its sender is not the one it is bound to.
    Refused(Caller, TokenError),
}

/// Something that is fetched, or will be with the next tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// The keys of an issuer.
    Keys(IssuerId),
    /// The revocation list of an issuer.
    Revocations(IssuerId),
    /// The bundle of a trust domain.
    Bundle(TrustDomainId),
    /// An issuer's word on a token.
    Introspection(IssuerId, Inquiry),
}

/// What a request has waited for already: it does not wait for the same twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waited {
    pub(super) keys: bool,
    pub(super) revocations: bool,
    pub(super) bundle: bool,
    pub(super) introspection: Option<Inquiry>,
}

impl Waited {
    /// A request that just came.
    #[must_use]
    pub fn not() -> Self {
        Waited::default()
    }

    /// The same, after one more wait.
    #[must_use]
    pub fn and(mut self, wait: Wait) -> Self {
        match wait {
            Wait::Keys(_) => self.keys = true,
            Wait::Revocations(_) => self.revocations = true,
            Wait::Bundle(_) => self.bundle = true,
            Wait::Introspection(_, inquiry) => self.introspection = Some(inquiry),
        }
        self
    }

    /// Whether it waited for anything.
    #[must_use]
    pub fn at_all(self) -> bool {
        self != Waited::default()
    }
}
