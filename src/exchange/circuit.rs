//! Whether an authorization server is asked at all: it is spared while it fails.

use std::time::{Duration, SystemTime};

use super::memory::has_passed;

/// How many errands have to fail in a row before the server is not asked for a while. One may
/// be lost to a restart, and so may those that are under way with it; five are an outage.
const MAX_FAILURES: u32 = 5;

/// How long it is first left alone: longer than a restart behind a load balancer takes to be
/// noticed, and short enough that a client tries again itself.
const FIRST_PERIOD: Duration = Duration::from_secs(2);

/// The longest it is left alone, whatever it asks for itself: how late its recovery may be
/// noticed.
const LONGEST_PERIOD: Duration = Duration::from_secs(30);

/// What those are told who come while one errand tries whether the server is back: it takes
/// about as long.
const PROBE_PERIOD: Duration = Duration::from_secs(1);

/// The state of one exchange's authorization servers, as a worker sees it.
pub(super) struct Circuit(State);

enum State {
    /// They are asked. So many errands in a row failed.
    Closed { failures: u32 },
    /// They are not.
    Open(Pause),
    /// One errand tries.
    HalfOpen(Pause),
}

#[derive(Clone, Copy)]
struct Pause {
    since: SystemTime,
    period: Duration,
}

/// What an errand changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transition {
    /// From asked to not asked.
    Opened(Duration),
    /// The other way.
    Closed,
}

impl Circuit {
    pub(super) fn new() -> Self {
        Circuit(State::Closed { failures: 0 })
    }

    /// Lets an errand through, which then has to end in one of the three below.
    ///
    /// # Errors
    /// When to come again.
    pub(super) fn admit(&mut self, now: SystemTime) -> Result<(), Duration> {
        match self.0 {
            State::Closed { .. } => Ok(()),
            State::HalfOpen(_) => Err(PROBE_PERIOD),
            State::Open(pause) => {
                if !has_passed(pause.period, pause.since, now) {
                    let age = now.duration_since(pause.since).unwrap_or_default();
                    return Err(pause.period.saturating_sub(age));
                }
                self.0 = State::HalfOpen(pause);
                Ok(())
            }
        }
    }

    /// How long nothing is to be started; `None` when it may.
    pub(super) fn pause(&self, now: SystemTime) -> Option<Duration> {
        let State::Open(Pause { since, period }) = self.0 else { return None };
        Some(period.saturating_sub(now.duration_since(since).unwrap_or_default()))
    }

    /// A server answered, whatever it said.
    pub(super) fn succeed(&mut self) -> Option<Transition> {
        let was_closed = matches!(self.0, State::Closed { .. });
        self.0 = State::Closed { failures: 0 };
        (!was_closed).then_some(Transition::Closed)
    }

    /// It did not, or not to the point. `retry_after` is when it wants to be asked again.
    pub(super) fn fail(
        &mut self,
        retry_after: Option<Duration>,
        now: SystemTime,
    ) -> Option<Transition> {
        let pause = |period: Duration| {
            let period = period.max(retry_after.unwrap_or_default()).min(LONGEST_PERIOD);
            Pause { since: now, period }
        };
        match &mut self.0 {
            State::Closed { failures } => {
                *failures = failures.saturating_add(1);
                if *failures < MAX_FAILURES {
                    return None;
                }
                let pause = pause(FIRST_PERIOD);
                self.0 = State::Open(pause);
                Some(Transition::Opened(pause.period))
            }
            // One that was started before.
            State::Open(_) => None,
            State::HalfOpen(last) => {
                self.0 = State::Open(pause(last.period.saturating_mul(2)));
                None
            }
        }
    }

    /// The errand ended before a server was asked, or the second one of two: the next one tries.
    pub(super) fn give_up(&mut self) {
        if let State::HalfOpen(pause) = self.0 {
            self.0 = State::Open(pause);
        }
    }
}
