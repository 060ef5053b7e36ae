//! Watching an answer that passes as it comes.

use super::list::ListError;
use super::tasks::NewTask;

/// How the messages of a response are framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// The body is one JSON document.
    Json,
    /// The body is an event stream.
    Sse,
}

/// What becomes of a list in a watched answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnaskedLists {
    /// It is an error: nobody asked for it here.
    Refused,
    /// It is looked at by somebody else.
    Passed,
}

/// Reads along a response whose bytes leave as they come.
#[derive(Debug)]
pub struct AnswerWatch;

impl AnswerWatch {
    /// A watch at the start of a response.
    #[must_use]
    pub fn new(_framing: Framing, _lists: UnaskedLists) -> Self {
        AnswerWatch
    }

    /// Takes the next bytes. Returns the tasks that calls were answered with.
    ///
    /// # Errors
    /// [`ListError`] when the chunk may not leave, and nothing after it.
    pub fn push(&mut self, _chunk: &[u8]) -> Result<Vec<NewTask>, ListError> {
        Err(ListError::BadEnvelope)
    }
}
