//! Errands to come and under way: one at a time for each credential, a bounded number in all.

use std::cell::Cell;
use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::Errand;
use super::key::Key;
use super::memory::part;
use super::profile::Step;
use super::wish::{Gained, Wish};
use crate::host::CalloutId;
use crate::token::TokenDigest;

/// Most requests of one exchange under way at a time. With answers in 20 ms it is 3,000
/// credentials a second and worker; more would only queue at the authorization server.
const MAX_UNDER_WAY: usize = 64;

/// Most errands of a worker that wait to be started, divided among its exchanges: as many as its
/// streams may wait. The caller's token, what it says and an actor's token are 16 KiB each at
/// worst, so they take 48 MiB at worst, and 3 MiB where tokens have 1 KiB.
const MAX_WANTED: usize = 1024;

/// Fewest of one exchange, however many there are: twice what one caller may want. With the 32
/// exchanges of a configuration, they are 2,048 errands and 96 MiB at worst.
const LEAST_WANTED: usize = 64;

/// Longest that an errand waits to be started: as long as a request may take. Who waits for it
/// would else wait for all that are before it at a server that is slow and does answer.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Most errands of one caller's token, wanted and under way: more than an agent takes for its
/// operations at once. What an agent sends for its own token is not verified, so a caller can
/// invent as many errands as it likes; half of those under way are left to others.
const MAX_OF_CALLER: usize = 32;

/// How long after its timeout the answer to a request is given up. The host promises an
/// answer at the timeout; this is for one that loses it.
const ANSWER_MARGIN: Duration = Duration::from_secs(5);

/// Numbers the errands of a worker.
#[derive(Clone, Default)]
pub(super) struct Numbers(Rc<Cell<u64>>);

/// The errands of one exchange.
pub(super) struct Queue {
    numbers: Numbers,
    max_wanted: NonZeroUsize,
    wanted: VecDeque<Run>,
    under_way: Vec<UnderWay>,
}

/// An errand, and how far it has come.
pub(super) struct Run {
    pub(super) errand: Errand,
    pub(super) key: Key,
    /// Of who wanted it first.
    pub(super) wish: Rc<Wish>,
    /// The request that is next, or under way.
    pub(super) step: Step,
    pub(super) gained: Gained,
    /// Whether a credential of that key is there, and still good.
    pub(super) refreshes: bool,
    wanted_at: SystemTime,
}

struct UnderWay {
    run: Run,
    callout: CalloutId,
    since: SystemTime,
    timeout: Duration,
}

impl Numbers {
    fn next(&self) -> Errand {
        self.0.set(self.0.get().wrapping_add(1));
        Errand(self.0.get())
    }
}

impl Queue {
    /// Of one of that many exchanges.
    pub(super) fn new(numbers: Numbers, exchanges: usize) -> Self {
        let max_wanted = part(MAX_WANTED, exchanges, LEAST_WANTED);
        Queue { numbers, max_wanted, wanted: VecDeque::new(), under_way: Vec::new() }
    }

    /// Most errands that there are at a time, our own token's among them.
    pub(super) fn max_errands(&self) -> NonZeroUsize {
        self.max_wanted.saturating_add(MAX_UNDER_WAY + 1)
    }

    /// The errand for that key.
    pub(super) fn find(&self, key: &Key) -> Option<Errand> {
        self.runs().find(|run| run.key == *key).map(|run| run.errand)
    }

    /// Whether the errand is to come or under way.
    pub(super) fn has(&self, errand: Errand) -> bool {
        self.runs().any(|run| run.errand == errand)
    }

    /// Whether one more may be wanted for the caller with that token.
    pub(super) fn has_room_for(&self, caller: &TokenDigest) -> bool {
        let of_caller = self.runs().filter(|run| run.wish.digest == *caller).count();
        self.wanted.len() < self.max_wanted.get() && of_caller < MAX_OF_CALLER
    }

    /// A new errand. Our own token comes first: others wait for it.
    pub(super) fn want(
        &mut self,
        key: Key,
        wish: Rc<Wish>,
        step: Step,
        refreshes: bool,
        now: SystemTime,
    ) -> Errand {
        let errand = self.numbers.next();
        let gained = Gained::default();
        let run = Run { errand, key, wish, step, gained, refreshes, wanted_at: now };
        match step {
            Step::Actor => self.wanted.push_front(run),
            Step::Exchange | Step::Redeem => self.wanted.push_back(run),
        }
        errand
    }

    /// The first errand that waits and is not for our own token.
    pub(super) fn first(&self) -> Option<&Run> {
        self.wanted.iter().find(|run| run.step != Step::Actor)
    }

    /// Takes the next errand that is ready, while not too many are under way.
    pub(super) fn next(&mut self, is_ready: impl Fn(&Run) -> bool) -> Option<Run> {
        if self.under_way.len() >= MAX_UNDER_WAY {
            return None;
        }
        let place = self.wanted.iter().position(is_ready)?;
        self.wanted.remove(place)
    }

    /// Takes all that have not started.
    pub(super) fn take_wanted(&mut self) -> Vec<(Errand, Key)> {
        self.wanted.drain(..).map(|run| (run.errand, run.key)).collect()
    }

    /// Takes those that have not started and waited too long for it.
    pub(super) fn take_overdue(&mut self, now: SystemTime) -> Vec<(Errand, Key)> {
        let mut overdue = Vec::new();
        self.wanted.retain_mut(|run| {
            let is_overdue = is_over(LONGEST_WAIT, &mut run.wanted_at, now);
            if is_overdue {
                overdue.push((run.errand, run.key));
            }
            !is_overdue
        });
        overdue
    }

    /// A request of an errand was sent.
    pub(super) fn started(
        &mut self,
        run: Run,
        callout: CalloutId,
        since: SystemTime,
        timeout: Duration,
    ) {
        self.under_way.push(UnderWay { run, callout, since, timeout });
    }

    /// Takes the errand of a callout, once it is answered.
    pub(super) fn answered(&mut self, callout: CalloutId) -> Option<Run> {
        let place = self.under_way.iter().position(|other| other.callout == callout)?;
        Some(self.under_way.swap_remove(place).run)
    }

    /// Takes the errands whose answer is not expected any more.
    pub(super) fn take_lost(&mut self, now: SystemTime) -> Vec<Run> {
        let is_lost = |other: &mut UnderWay| {
            is_over(other.timeout.saturating_add(ANSWER_MARGIN), &mut other.since, now)
        };
        self.under_way.extract_if(.., is_lost).map(|lost| lost.run).collect()
    }

    fn runs(&self) -> impl Iterator<Item = &Run> {
        self.wanted.iter().chain(self.under_way.iter().map(|other| &other.run))
    }
}

/// Whether `period` is over that began at `since`. When the clock went back behind that, it begins
/// anew: what waits is neither lost by it nor kept for longer than twice.
fn is_over(period: Duration, since: &mut SystemTime, now: SystemTime) -> bool {
    let age = now.duration_since(*since);
    if age.is_err() {
        *since = now;
    }
    age.is_ok_and(|age| age >= period)
}
