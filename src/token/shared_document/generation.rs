//! How the other workers learn that a document changed, before their next tick.

use std::num::NonZeroU32;

use crate::host::Host;

/// The shared value's key, under the prefix and format number of all our keys.
const KEY: &str = "countersign/1/generation";

/// What one worker has seen of the changes to all documents: one shared value, whose
/// version counts them. Reading it costs half a microsecond, so a worker reads it for
/// every request, and a key that was removed or a token that was revoked is so everywhere
/// as soon as one worker knows.
#[derive(Debug, Default)]
pub(in crate::token) struct Generation {
    seen: Option<NonZeroU32>,
}

impl Generation {
    /// Whether a document changed since this was last asked. On a host that shares
    /// nothing, no worker has anything to tell another.
    pub(in crate::token) fn changed(&mut self, host: &dyn Host) -> bool {
        let Ok(Some(value)) = host.shared(KEY) else { return false };
        self.seen.replace(value.version) != Some(value.version)
    }

    /// Tells the other workers to look.
    pub(super) fn bump(host: &dyn Host) {
        // Where it fails, their ticks find out. The value says nothing: any write counts.
        let _ = host.set_shared(KEY, b"changed", None);
    }
}
