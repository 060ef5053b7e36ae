//! What running an exchange takes from its profile. Tests of the one bring a double of the other.

use std::fmt;
use std::time::SystemTime;

use super::profile::{DependsOn, Gain, Step};
use super::wish::{Gained, Wish};
use super::{ExchangeError, Profile, Wanted};
use crate::host::{Callout, CalloutAnswer, Host, HostError};

/// The functions of [`Profile`], which say what they do.
pub(super) trait Protocol: fmt::Debug {
    fn check(&self, wanted: &Wanted<'_>) -> Result<(), ExchangeError>;

    fn depends_on(&self) -> DependsOn;

    fn needs_own_actor(&self) -> bool;

    fn redeems(&self) -> bool;

    fn request(
        &self,
        step: Step,
        wish: &Wish,
        gained: &Gained,
        host: &dyn Host,
    ) -> Result<Callout, HostError>;

    fn read(
        &self,
        step: Step,
        wish: &Wish,
        gained: &Gained,
        answer: &CalloutAnswer,
        now: SystemTime,
    ) -> Result<Gain, ExchangeError>;
}

impl Protocol for Profile {
    fn check(&self, wanted: &Wanted<'_>) -> Result<(), ExchangeError> {
        self.check(wanted)
    }

    fn depends_on(&self) -> DependsOn {
        self.depends_on()
    }

    fn needs_own_actor(&self) -> bool {
        self.needs_own_actor()
    }

    fn redeems(&self) -> bool {
        self.redeems()
    }

    fn request(
        &self,
        step: Step,
        wish: &Wish,
        gained: &Gained,
        host: &dyn Host,
    ) -> Result<Callout, HostError> {
        self.request(step, wish, gained, host)
    }

    fn read(
        &self,
        step: Step,
        wish: &Wish,
        gained: &Gained,
        answer: &CalloutAnswer,
        now: SystemTime,
    ) -> Result<Gain, ExchangeError> {
        self.read(step, wish, gained, answer, now)
    }
}
