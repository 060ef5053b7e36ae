//! The streams of a worker that a callback of the root context has to come back to.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use super::Stream;

/// Most streams of one worker that wait for a fetch at a time. Each may hold a body of
/// 1 MiB in the host, and anybody can make a stream wait by inventing a key id.
const MAX_WAITING: usize = 1024;

/// Streams by context id. Weak, and forgotten by [`Waiting::forget`] when the host deletes
/// the stream, so that a context id is never used after its stream.
#[derive(Default)]
pub(super) struct Waiting {
    fetches: Streams,
    /// As many as there are requests without a body yet: the host bounds those.
    hold_checks: Streams,
}

type Streams = RefCell<HashMap<u32, Weak<Stream>>>;

impl Waiting {
    pub(super) fn has_room(&self) -> bool {
        self.fetches.borrow().len() < MAX_WAITING
    }

    /// Files the stream under what it waits for now. Whether it waits for anything.
    pub(super) fn update(&self, context_id: u32, stream: &Rc<Stream>) -> bool {
        let gate = stream.gate.borrow();
        let (for_fetch, for_hold_check) = (gate.awaits().is_some(), gate.awaits_hold_check());
        file(&self.fetches, context_id, stream, for_fetch);
        file(&self.hold_checks, context_id, stream, for_hold_check);
        for_fetch || for_hold_check
    }

    pub(super) fn forget(&self, context_id: u32) {
        self.fetches.borrow_mut().remove(&context_id);
        self.hold_checks.borrow_mut().remove(&context_id);
    }

    pub(super) fn any_for_a_fetch(&self) -> bool {
        !self.fetches.borrow().is_empty()
    }

    pub(super) fn for_fetches(&self) -> Vec<(u32, Rc<Stream>)> {
        list(&self.fetches)
    }

    pub(super) fn for_hold_checks(&self) -> Vec<(u32, Rc<Stream>)> {
        list(&self.hold_checks)
    }
}

fn file(streams: &Streams, context_id: u32, stream: &Rc<Stream>, waits: bool) {
    let mut streams = streams.borrow_mut();
    if waits {
        streams.insert(context_id, Rc::downgrade(stream));
    } else {
        streams.remove(&context_id);
    }
}

fn list(streams: &Streams) -> Vec<(u32, Rc<Stream>)> {
    let streams = streams.borrow();
    streams.iter().filter_map(|(id, stream)| Some((*id, stream.upgrade()?))).collect()
}
