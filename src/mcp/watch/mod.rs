//! Watching an answer that passes as it comes.
//!
//! Most answers leave byte by byte, and nothing of them is kept. But the SDKs' session
//! transports find the stream of an answer by its JSON-RPC id, so a list may come where
//! nobody asked for it (GHSA-345p-7cg4-v4c7), and a call may be answered with a task whose
//! owner has to be recorded before anybody can ask for it. What is watched for is named
//! early in a message and at a known depth, so it is seen without holding anything back.

mod document;
mod events;
mod utf8;

#[cfg(test)]
mod tests;

use self::document::Document;
use self::events::Events;
use self::utf8::Utf8;
use super::list::ListError;
use super::tasks::NewTask;
use crate::json::JsonError;

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
///
/// Its memory is bounded whatever the server sends: where it is in the nesting, the start
/// of a member name, and one task id.
///
/// It is a little more lenient than the reader of [`filter_answer`](super::filter_answer):
/// duplicate names, lone surrogates in text, and scalars that are no JSON (`NaN`) pass,
/// because no list hides in them and clients in use read them.
#[derive(Debug)]
pub struct AnswerWatch {
    framing: Reader,
    utf8: Utf8,
    lists: UnaskedLists,
    /// The first error. A response that was not understood once stays refused.
    failed: Option<ListError>,
}

#[derive(Debug)]
enum Reader {
    Json(Document),
    Sse(Events),
}

impl AnswerWatch {
    /// A watch at the start of a response.
    #[must_use]
    pub fn new(framing: Framing, lists: UnaskedLists) -> Self {
        let framing = match framing {
            Framing::Json => Reader::Json(Document::default()),
            Framing::Sse => Reader::Sse(Events::default()),
        };
        AnswerWatch { framing, utf8: Utf8::default(), lists, failed: None }
    }

    /// Takes the next bytes. Returns the tasks that calls were answered with, each as soon
    /// as its id is complete: no client can use it earlier. A task whose lifetime comes
    /// after its id is returned again, with it.
    ///
    /// An answer about a task that exists already (`tasks/get`, `tasks/cancel`) has the
    /// shape of SEP-2663's new task, so it is returned, too. That changes nothing: whoever
    /// is recorded first stays the owner, and only the owner gets such an answer.
    ///
    /// # Errors
    /// [`ListError`] when the chunk may not leave, and nothing after it.
    pub fn push(&mut self, chunk: &[u8]) -> Result<Vec<NewTask>, ListError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.take(chunk).inspect_err(|error| self.failed = Some(*error))
    }

    fn take(&mut self, chunk: &[u8]) -> Result<Vec<NewTask>, ListError> {
        self.utf8.push(chunk)?;
        // UTF-16 and UTF-32 of ASCII are UTF-8 with NUL bytes between the characters.
        if chunk.contains(&0) {
            return Err(JsonError::Syntax.into());
        }
        let mut tasks = Vec::new();
        match &mut self.framing {
            Reader::Json(document) => document.push(chunk, self.lists, &mut tasks)?,
            Reader::Sse(events) => events.push(chunk, self.lists, &mut tasks)?,
        }
        Ok(tasks)
    }
}

/// Splits before the first such byte.
fn split_where(bytes: &[u8], ends: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| ends(*byte));
    end.and_then(|end| bytes.split_at_checked(end)).unwrap_or((bytes, &[]))
}
