#![expect(clippy::arithmetic_side_effects, reason = "a test host may panic")]
//! A host for unit tests: time stands still until moved, calls are recorded.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::{
    Callout, CalloutId, Change, Counter, Gauge, Host, HostError, LogLevel, NativeSigning,
    NativeVerdict, NativeVerification, SharedDataError, SharedValue,
};

/// What the workers of one proxy share: give it to several [`FakeHost`]s.
pub(crate) type SharedData = Rc<RefCell<HashMap<String, (Vec<u8>, u32)>>>;

/// The time at which a [`FakeHost`] starts: 2026-07-28T00:00:00Z.
pub(crate) const START: Duration = Duration::from_secs(1_785_196_800);

pub(crate) struct FakeHost {
    pub(crate) now: Cell<SystemTime>,
    pub(crate) native: Cell<NativeVerdict>,
    /// How often it was asked to verify a signature.
    pub(crate) verifications: Cell<usize>,
    pub(crate) refuse_callouts: Cell<bool>,
    pub(crate) refuse_random: Cell<bool>,
    pub(crate) refuse_shared: Cell<bool>,
    /// How often shared data was read or written.
    pub(crate) shared_calls: Cell<usize>,
    /// How many of the next conditional writes lose the race.
    pub(crate) lost_races: Cell<u32>,
    /// What another worker writes just before the next conditional write.
    pub(crate) rival: RefCell<Option<(String, Vec<u8>)>>,
    pub(crate) shared: SharedData,
    /// What [`Host::sign`] answers.
    pub(crate) signature: RefCell<Option<Vec<u8>>>,
    pub(crate) callouts: RefCell<Vec<Callout>>,
    pub(crate) counters: RefCell<Vec<Counter>>,
    /// By name of the exchange: its open circuits.
    pub(crate) gauges: RefCell<Vec<(String, Change)>>,
    pub(crate) log: RefCell<Vec<(LogLevel, String)>>,
    drawn: Cell<u128>,
}

impl FakeHost {
    /// A host without native signature verification.
    pub(crate) fn new() -> Self {
        FakeHost {
            now: Cell::new(SystemTime::UNIX_EPOCH + START),
            native: Cell::new(NativeVerdict::Unsupported),
            verifications: Cell::new(0),
            refuse_callouts: Cell::new(false),
            refuse_random: Cell::new(false),
            refuse_shared: Cell::new(false),
            shared_calls: Cell::new(0),
            lost_races: Cell::new(0),
            rival: RefCell::default(),
            shared: SharedData::default(),
            signature: RefCell::default(),
            callouts: RefCell::default(),
            counters: RefCell::default(),
            gauges: RefCell::default(),
            log: RefCell::default(),
            drawn: Cell::new(0),
        }
    }

    /// A worker of the same proxy.
    pub(crate) fn worker(shared: &SharedData) -> Self {
        FakeHost { shared: Rc::clone(shared), ..FakeHost::new() }
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
        self.verifications.set(self.verifications.get() + 1);
        self.native.get()
    }

    fn sign(&self, _: &NativeSigning<'_>) -> Result<Vec<u8>, HostError> {
        self.signature.borrow().clone().ok_or(HostError)
    }

    fn shared(&self, key: &str) -> Result<Option<SharedValue>, HostError> {
        self.shared_calls.set(self.shared_calls.get() + 1);
        if self.refuse_shared.get() {
            return Err(HostError);
        }
        Ok(self.shared.borrow().get(key).map(|(bytes, version)| SharedValue {
            bytes: bytes.clone(),
            version: NonZeroU32::new(*version).unwrap_or(NonZeroU32::MIN),
        }))
    }

    fn set_shared(
        &self,
        key: &str,
        value: &[u8],
        version: Option<NonZeroU32>,
    ) -> Result<(), SharedDataError> {
        self.shared_calls.set(self.shared_calls.get() + 1);
        if self.refuse_shared.get() {
            return Err(SharedDataError::Failed);
        }
        if version.is_some() && self.lost_races.get() > 0 {
            self.lost_races.set(self.lost_races.get() - 1);
            return Err(SharedDataError::Conflict);
        }
        if version.is_some()
            && let Some((key, value)) = self.rival.take()
        {
            self.set_shared(&key, &value, None)?;
        }
        let mut shared = self.shared.borrow_mut();
        let (bytes, current) = shared.entry(key.to_owned()).or_default();
        if version.is_some_and(|version| version.get() != *current) {
            return Err(SharedDataError::Conflict);
        }
        *bytes = value.to_vec();
        *current += 1;
        Ok(())
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

    fn adjust(&self, Gauge::CircuitOpen { exchange }: Gauge<'_>, change: Change) {
        self.gauges.borrow_mut().push((exchange.to_owned(), change));
    }

    fn log(&self, level: LogLevel, message: &str) {
        self.log.borrow_mut().push((level, message.to_owned()));
    }
}
