//! What the VMs of one process share under one VM id, as Envoy's proxy-wasm host keeps it:
//! no deletion, no expiry, one count of versions for all keys.

use super::state::Status;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// Shared data; a clone is the same data.
#[derive(Clone, Default)]
pub(super) struct SharedData(Rc<RefCell<Values>>);

#[derive(Default)]
struct Values {
    by_key: HashMap<String, (Vec<u8>, u32)>,
    last_version: u32,
    races_to_lose: u32,
    interloper: Option<Box<dyn FnOnce()>>,
}

impl SharedData {
    pub(super) fn get(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.0.borrow().by_key.get(key).cloned()
    }

    /// Writes, with `cas` 0 whatever is there. The version of a key that does not exist is
    /// not looked at: there is no way to write only what is new.
    pub(super) fn set(&self, key: &str, value: &[u8], cas: u32) -> Result<(), Status> {
        let interloper = if cas == 0 { None } else { self.0.borrow_mut().interloper.take() };
        if let Some(interloper) = interloper {
            interloper();
        }
        if cas != 0 && self.0.borrow().races_to_lose > 0 {
            self.0.borrow_mut().races_to_lose -= 1;
            self.touch(key);
        }
        if cas != 0 && self.get(key).is_some_and(|(_, version)| version != cas) {
            return Err(Status::CAS_MISMATCH);
        }
        let mut values = self.0.borrow_mut();
        values.last_version += 1;
        let version = values.last_version;
        values.by_key.insert(key.to_owned(), (value.to_vec(), version));
        Ok(())
    }

    /// See [`super::Vm::lose_races`].
    pub(super) fn lose_races(&self, races: u32) {
        self.0.borrow_mut().races_to_lose = races;
    }

    /// See [`super::Vm::before_next_write`].
    pub(super) fn before_next_write(&self, interloper: impl FnOnce() + 'static) {
        self.0.borrow_mut().interloper = Some(Box::new(interloper));
    }

    /// How many VMs share it.
    pub(super) fn sharers(&self) -> usize {
        Rc::strong_count(&self.0)
    }

    /// Another VM writes the value that is there.
    fn touch(&self, key: &str) {
        if let Some((value, _)) = self.get(key) {
            self.set(key, &value, 0).expect("unconditional");
        }
    }
}
