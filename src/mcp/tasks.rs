//! Whose tasks are: a bounded register that the workers of a proxy share.

use std::time::Duration;

use super::principal::Principal;
use crate::host::{Host, HostError};

/// A task that a server made for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    /// `taskId`
    pub id: String,
    /// How long the server keeps it; `None` where it does not say.
    pub ttl: Option<Duration>,
}

/// Makes what the register is kept in, where it is not there yet.
///
/// # Errors
/// [`HostError`] when it could not be made.
pub fn prepare(_host: &dyn Host) -> Result<(), HostError> {
    Ok(())
}

/// Records that a task is `owner`'s. Whoever is recorded first stays its owner.
///
/// # Errors
/// [`HostError`] when it could not be recorded: nobody may use the task then.
pub fn bind(
    _task: &NewTask,
    _server: &str,
    _owner: &Principal,
    _host: &dyn Host,
) -> Result<(), HostError> {
    Err(HostError)
}

/// Whether a task is known to be `owner`'s.
///
/// # Errors
/// [`HostError`] when that cannot be told.
pub fn is_owned(
    _id: &str,
    _server: &str,
    _owner: &Principal,
    _host: &dyn Host,
) -> Result<bool, HostError> {
    Ok(false)
}
