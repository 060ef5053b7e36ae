//! Reading along an event stream (HTML Standard, section 9.2.6).

use super::document::Document;
use super::{UnaskedLists, split_where};
use crate::json::JsonError;
use crate::mcp::list::ListError;
use crate::mcp::tasks::NewTask;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
const FIELD: &[u8] = b"data";

/// One event stream. The data of an event is read as it comes; what else is in it is not
/// looked at.
#[derive(Debug, Default)]
pub(super) struct Events {
    line: Line,
    /// Whether the last byte was a CR, so that an LF belongs to the same line end.
    after_cr: bool,
    /// The data of the event so far; `None` before its first `data` field.
    data: Option<Document>,
}

/// How far a line is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// The first line, and as many bytes of a byte order mark.
    Mark(usize),
    /// As many bytes, all of them the start of `data`.
    Field(usize),
    /// `data:`, and perhaps a space follows that is not part of the value.
    Colon,
    /// In the value of a `data` field.
    Data,
    /// In another field or in a comment.
    Other,
}

impl Default for Line {
    fn default() -> Self {
        Line::Mark(0)
    }
}

impl Events {
    /// Takes the next bytes of the stream.
    pub(super) fn push(
        &mut self,
        chunk: &[u8],
        lists: UnaskedLists,
        tasks: &mut Vec<NewTask>,
    ) -> Result<(), ListError> {
        let mut rest = chunk;
        while let Some((&byte, after)) = rest.split_first() {
            if ends_line(byte) {
                if byte == b'\r' || !self.after_cr {
                    self.end_line(lists, tasks)?;
                }
                self.after_cr = byte == b'\r';
                rest = after;
                continue;
            }
            self.after_cr = false;
            rest = match self.line {
                Line::Mark(read) if BYTE_ORDER_MARK.get(read) == Some(&byte) => {
                    let read = read.saturating_add(1);
                    self.line = if read < BYTE_ORDER_MARK.len() {
                        Line::Mark(read)
                    } else {
                        Line::Field(0)
                    };
                    after
                }
                Line::Mark(0) => {
                    self.line = Line::Field(0);
                    rest
                }
                Line::Field(read) if FIELD.get(read) == Some(&byte) => {
                    self.line = Line::Field(read.saturating_add(1));
                    after
                }
                Line::Field(read) if read == FIELD.len() && byte == b':' => {
                    self.begin_data(lists, tasks)?;
                    self.line = Line::Colon;
                    after
                }
                Line::Mark(_) | Line::Field(_) => {
                    self.line = Line::Other;
                    after
                }
                Line::Colon => {
                    self.line = Line::Data;
                    if byte == b' ' { after } else { rest }
                }
                Line::Data | Line::Other => {
                    let (text, after) = split_where(rest, ends_line);
                    if let (Line::Data, Some(data)) = (self.line, &mut self.data) {
                        data.push(text, lists, tasks)?;
                    }
                    after
                }
            };
        }
        Ok(())
    }

    fn end_line(&mut self, lists: UnaskedLists, tasks: &mut Vec<NewTask>) -> Result<(), ListError> {
        match std::mem::replace(&mut self.line, Line::Field(0)) {
            Line::Mark(0) | Line::Field(0) => self.end_event(),
            Line::Field(read) if read == FIELD.len() => self.begin_data(lists, tasks),
            _ => Ok(()),
        }
    }

    /// Several `data` fields of an event are joined with line feeds.
    fn begin_data(
        &mut self,
        lists: UnaskedLists,
        tasks: &mut Vec<NewTask>,
    ) -> Result<(), ListError> {
        match &mut self.data {
            Some(data) => data.push(b"\n", lists, tasks),
            None => {
                self.data = Some(Document::default());
                Ok(())
            }
        }
    }

    /// Without data nothing is dispatched: comments, and the event that only gives the
    /// client an id to resume from.
    fn end_event(&mut self) -> Result<(), ListError> {
        match self.data.take() {
            Some(data) if !data.is_empty() && !data.is_complete() => Err(JsonError::Syntax.into()),
            _ => Ok(()),
        }
    }
}

fn ends_line(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}
