//! Filtering lists that are framed as server-sent events.
//!
//! The grammar is that of the HTML Standard, section 9.2.6: lines end in CR, LF or
//! CRLF, wherever the chunks are cut; several `data` fields of an event are joined
//! with line feeds; an unfinished event at the end of the stream never happened.

use super::list::{Expected, Filtered, ListError, ListKind, filter_list};
use super::message::Id;
use super::operation::Target;

/// Largest event that is held back, in bytes. The bound of a whole list response in
/// JSON framing, too; servers page long before.
pub const MAX_EVENT_LEN: usize = 4 * 1024 * 1024;

/// A filter for one event stream from the server. Whatever is complete leaves at
/// once; events that need no change leave byte for byte.
#[derive(Debug)]
pub struct SseFilter {
    /// `None` is [`Expected::Any`].
    expected: Option<(ListKind, Id)>,
    /// The event being received.
    event: Vec<u8>,
    /// Whether the current line has no bytes yet.
    line_is_empty: bool,
    /// Whether the last byte was a CR, so that an LF belongs to the same line end.
    after_cr: bool,
    /// Whether no event has ended yet: a byte order mark may be at the start.
    at_start: bool,
    /// The first error. A stream that was not understood once stays refused.
    failed: Option<ListError>,
}

impl SseFilter {
    /// A filter at the start of a stream.
    #[must_use]
    pub fn new(expected: Expected<'_>) -> Self {
        SseFilter {
            expected: match expected {
                Expected::For { kind, id } => Some((kind, id.clone())),
                Expected::Any => None,
            },
            event: Vec::new(),
            line_is_empty: true,
            after_cr: false,
            at_start: true,
            failed: None,
        }
    }

    /// Takes the next bytes of the stream and returns those that may leave.
    ///
    /// # Errors
    /// [`ListError`] when an event cannot be passed on. Nothing of this chunk may
    /// leave then, and every later call fails alike.
    pub fn push(
        &mut self,
        chunk: &[u8],
        end: bool,
        permit: &mut dyn FnMut(&Target) -> bool,
    ) -> Result<Vec<u8>, ListError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.take(chunk, end, permit).inspect_err(|error| self.failed = Some(*error))
    }

    fn take(
        &mut self,
        chunk: &[u8],
        end: bool,
        permit: &mut dyn FnMut(&Target) -> bool,
    ) -> Result<Vec<u8>, ListError> {
        let mut out = Vec::with_capacity(chunk.len());
        for &byte in chunk {
            let ends_crlf = byte == b'\n' && self.after_cr;
            if ends_crlf && self.event.is_empty() {
                // The event left at its CR. Some clients wait for what follows a CR, so
                // the LF must not wait for the next event.
                out.push(byte);
                self.after_cr = false;
                continue;
            }
            if self.event.len() >= MAX_EVENT_LEN {
                return Err(ListError::TooLarge);
            }
            self.event.push(byte);
            self.after_cr = byte == b'\r';
            if ends_crlf {
                continue;
            }
            let ends_line = matches!(byte, b'\r' | b'\n');
            if ends_line && self.line_is_empty {
                self.finish_event(&mut out, permit)?;
            }
            self.line_is_empty = ends_line;
        }
        if end && !Event::parse(&self.event, self.at_start).data.is_empty() {
            return Err(ListError::Truncated);
        }
        Ok(out)
    }

    fn finish_event(
        &mut self,
        out: &mut Vec<u8>,
        permit: &mut dyn FnMut(&Target) -> bool,
    ) -> Result<(), ListError> {
        let bytes = std::mem::take(&mut self.event);
        let event = Event::parse(&bytes, self.at_start);
        self.at_start = false;
        let expected = match &self.expected {
            Some((kind, id)) => Expected::For { kind: *kind, id },
            None => Expected::Any,
        };
        // Without data nothing is dispatched: comments, and the event that only
        // gives the client an id to resume from.
        let filtered = if event.data.is_empty() {
            Filtered::Unchanged
        } else {
            filter_list(&event.data, expected, permit)?
        };
        match filtered {
            Filtered::Unchanged => out.extend_from_slice(&bytes),
            Filtered::Changed(data) => event.write_with(&data, out),
        }
        Ok(())
    }
}

/// The parts of one event.
#[derive(Default)]
struct Event<'a> {
    /// The joined values of its `data` fields.
    data: Vec<u8>,
    /// All other lines, comments included, without their ends.
    others: Vec<&'a [u8]>,
}

impl<'a> Event<'a> {
    fn parse(bytes: &'a [u8], at_start: bool) -> Self {
        let bytes = match bytes.strip_prefix("\u{feff}".as_bytes()) {
            Some(rest) if at_start => rest,
            _ => bytes,
        };
        let mut event = Event::default();
        let mut first = true;
        // CRLF yields an empty line between its halves, which is no field.
        for line in bytes.split(|byte| matches!(byte, b'\r' | b'\n')) {
            if line.is_empty() {
                continue;
            }
            let Some(value) = data_value(line) else {
                event.others.push(line);
                continue;
            };
            if !first {
                event.data.push(b'\n');
            }
            first = false;
            event.data.extend_from_slice(value);
        }
        event
    }

    fn write_with(&self, data: &[u8], out: &mut Vec<u8>) {
        for line in &self.others {
            out.extend_from_slice(line);
            out.push(b'\n');
        }
        for line in data.split(|byte| *byte == b'\n') {
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(line);
            out.push(b'\n');
        }
        out.push(b'\n');
    }
}

/// The value of a line that is a `data` field.
fn data_value(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"data")?;
    if rest.is_empty() {
        return Some(rest);
    }
    let value = rest.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}
