#![expect(clippy::arithmetic_side_effects, reason = "a test host may panic")]
//! A host for unit tests: time stands still until moved, calls are recorded.

use std::cell::{Cell, RefCell};
use std::time::{Duration, SystemTime};

use super::{
    Callout, CalloutId, Counter, Host, HostError, LogLevel, NativeVerdict, NativeVerification,
};

/// The time at which a [`FakeHost`] starts: 2026-07-28T00:00:00Z.
pub(crate) const START: Duration = Duration::from_secs(1_785_196_800);

pub(crate) struct FakeHost {
    pub(crate) now: Cell<SystemTime>,
    pub(crate) native: Cell<NativeVerdict>,
    pub(crate) refuse_callouts: Cell<bool>,
    pub(crate) refuse_random: Cell<bool>,
    pub(crate) callouts: RefCell<Vec<Callout>>,
    pub(crate) counters: RefCell<Vec<Counter>>,
    pub(crate) log: RefCell<Vec<(LogLevel, String)>>,
    drawn: Cell<u128>,
}

impl FakeHost {
    /// A host without native signature verification.
    pub(crate) fn new() -> Self {
        FakeHost {
            now: Cell::new(SystemTime::UNIX_EPOCH + START),
            native: Cell::new(NativeVerdict::Unsupported),
            refuse_callouts: Cell::new(false),
            refuse_random: Cell::new(false),
            callouts: RefCell::default(),
            counters: RefCell::default(),
            log: RefCell::default(),
            drawn: Cell::new(0),
        }
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.now.set(self.now.get() + by);
    }
}

impl Host for FakeHost {
    fn now(&self) -> SystemTime {
        self.now.get()
    }

    fn random(&self) -> Result<[u8; 16], HostError> {
        if self.refuse_random.get() {
            return Err(HostError);
        }
        self.drawn.set(self.drawn.get() + 1);
        Ok(self.drawn.get().to_be_bytes())
    }

    fn verify_signature(&self, _: &NativeVerification<'_>) -> NativeVerdict {
        self.native.get()
    }

    fn dispatch(&self, callout: &Callout) -> Result<CalloutId, HostError> {
        if self.refuse_callouts.get() {
            return Err(HostError);
        }
        self.callouts.borrow_mut().push(callout.clone());
        Ok(CalloutId(u32::try_from(self.callouts.borrow().len()).unwrap_or(u32::MAX)))
    }

    fn count(&self, counter: Counter) {
        self.counters.borrow_mut().push(counter);
    }

    fn log(&self, level: LogLevel, message: &str) {
        self.log.borrow_mut().push((level, message.to_owned()));
    }
}
