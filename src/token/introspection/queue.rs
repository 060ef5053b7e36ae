//! Requests to come and under way: one at a time for each token, a bounded number in all.

use std::collections::VecDeque;
use std::time::SystemTime;

use crate::host::CalloutId;
use crate::token::{IssuerId, Secret, TokenDigest, Wait};

/// Most requests under way at a time. With answers in 20 ms it is 3,000 tokens a second and
/// worker; more would only queue at the issuer.
const MAX_UNDER_WAY: usize = 64;

/// Most tokens that wait for a request to start. At the length tokens may have, 16 KiB, they
/// take 4 MiB. Who comes when it is full is refused as if the issuer did not answer.
const MAX_WANTED: usize = 256;

/// Names what a caller waits for: a request about its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inquiry {
    number: u64,
    /// The request had been started when the caller came.
    joined: bool,
}

/// The requests of one issuer.
#[derive(Default)]
pub(super) struct Queue {
    wanted: VecDeque<Wanted>,
    under_way: Vec<UnderWay>,
    last_number: u64,
}

/// A request that starts with a tick. It holds the token, which nothing else does.
pub(super) struct Wanted {
    pub(super) request: Request,
    pub(super) token: Secret,
}

/// A request that was sent.
pub(super) struct UnderWay {
    pub(super) request: Request,
    pub(super) callout: CalloutId,
    pub(super) since: SystemTime,
}

/// Which request it is, and about what.
#[derive(Clone, Copy)]
pub(super) struct Request {
    /// Requests about the same token start in the order of their numbers.
    pub(super) number: u64,
    pub(super) digest: TokenDigest,
}

impl Inquiry {
    /// Whether the request of that number, or one before it, was started after the caller came.
    pub(super) fn is_answered_by(self, number: u64) -> bool {
        number >= self.number
    }

    /// The same, if its request was started after the caller came.
    pub(super) fn asked_since(self) -> Option<Self> {
        (!self.joined).then_some(self)
    }
}

impl Request {
    /// All that callers may be waiting for when they wait for this request.
    pub(super) fn waits(&self, issuer: IssuerId) -> [Wait; 2] {
        [false, true]
            .map(|joined| Wait::Introspection(issuer, Inquiry { number: self.number, joined }))
    }
}

impl Queue {
    /// A request for a caller to wait for, with `fresh` one that has not started yet. `None`
    /// when there are too many.
    pub(super) fn want(
        &mut self,
        token: &str,
        digest: &TokenDigest,
        fresh: bool,
    ) -> Option<Inquiry> {
        let under_way = self.under_way.iter().find(|other| other.request.digest == *digest);
        if let (false, Some(UnderWay { request, .. })) = (fresh, under_way) {
            return Some(Inquiry { number: request.number, joined: true });
        }
        let wanted = self.wanted.iter().find(|other| other.request.digest == *digest);
        if let Some(Wanted { request, .. }) = wanted {
            return Some(Inquiry { number: request.number, joined: false });
        }
        if self.wanted.len() >= MAX_WANTED {
            return None;
        }
        self.last_number = self.last_number.checked_add(1)?;
        let request = Request { number: self.last_number, digest: *digest };
        self.wanted.push_back(Wanted { request, token: Secret::new(token.to_owned()) });
        Some(Inquiry { number: request.number, joined: false })
    }

    /// Whether the request is neither to come nor under way.
    pub(super) fn is_settled(&self, inquiry: Inquiry) -> bool {
        let mut requests = (self.wanted.iter().map(|wanted| wanted.request))
            .chain(self.under_way.iter().map(|under_way| under_way.request));
        !requests.any(|request| request.number == inquiry.number)
    }

    /// Takes the next request that may start.
    pub(super) fn next(&mut self) -> Option<Wanted> {
        if self.under_way.len() >= MAX_UNDER_WAY {
            return None;
        }
        let is_free = |wanted: &Wanted| {
            !self.under_way.iter().any(|other| other.request.digest == wanted.request.digest)
        };
        let place = self.wanted.iter().position(is_free)?;
        self.wanted.remove(place)
    }

    /// Takes all that have not started.
    pub(super) fn take_wanted(&mut self) -> impl Iterator<Item = Wanted> {
        self.wanted.drain(..)
    }

    pub(super) fn started(&mut self, request: Request, callout: CalloutId, since: SystemTime) {
        self.under_way.push(UnderWay { request, callout, since });
    }

    /// Takes the request of a callout, once it is answered.
    pub(super) fn answered(&mut self, callout: CalloutId) -> Option<UnderWay> {
        let place = self.under_way.iter().position(|other| other.callout == callout)?;
        Some(self.under_way.swap_remove(place))
    }

    /// Takes the requests whose answer is not expected any more.
    pub(super) fn take_lost(&mut self, is_lost: impl Fn(SystemTime) -> bool) -> Vec<UnderWay> {
        self.under_way.extract_if(.., |request| is_lost(request.since)).collect()
    }
}
