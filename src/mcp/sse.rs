//! Filtering lists that are framed as server-sent events.
//!
//! The grammar is that of the HTML Standard, section 9.2.6: lines end in CR, LF or
//! CRLF, wherever the chunks are cut; several `data` fields of an event are joined
//! with line feeds; an unfinished event at the end of the stream never happened.

use super::list::{Asked, Expected, Filtered, ListError, View, filter_answer};
use super::message::Id;

/// Largest event that is held back, in bytes. The bound of a whole list response in
/// JSON framing, too; servers page long before.
pub const MAX_EVENT_LEN: usize = 4 * 1024 * 1024;

/// A filter for one event stream from the server. Whatever is complete leaves at
/// once; events that need no change leave byte for byte.
#[derive(Debug)]
pub struct SseFilter {
    /// `None` is [`Expected::Any`].
    expected: Option<(Asked, Id)>,
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
                Expected::For { asked, id } => Some((asked, id.clone())),
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
    pub fn push(&mut self, chunk: &[u8], end: bool, view: &dyn View) -> Result<Vec<u8>, ListError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.take(chunk, end, view).inspect_err(|error| self.failed = Some(*error))
    }

    fn take(&mut self, chunk: &[u8], end: bool, view: &dyn View) -> Result<Vec<u8>, ListError> {
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
                self.finish_event(&mut out, view)?;
            }
            self.line_is_empty = ends_line;
        }
        if end && !Event::parse(&self.event, self.at_start).data.is_empty() {
            return Err(ListError::Truncated);
        }
        Ok(out)
    }

    fn finish_event(&mut self, out: &mut Vec<u8>, view: &dyn View) -> Result<(), ListError> {
        let bytes = std::mem::take(&mut self.event);
        let event = Event::parse(&bytes, self.at_start);
        self.at_start = false;
        let expected = match &self.expected {
            Some((asked, id)) => Expected::For { asked: *asked, id },
            None => Expected::Any,
        };
        // Without data nothing is dispatched: comments, and the event that only
        // gives the client an id to resume from.
        let filtered = if event.data.is_empty() {
            Filtered::Unchanged
        } else {
            filter_answer(&event.data, expected, view)?
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests may panic")]

    use std::time::Duration;

    use super::super::list::{Feature, ListKind};
    use super::super::operation::Target;
    use super::*;

    const ID: Id = Id::Integer(1);
    const LIST: Expected<'static> = Expected::For { asked: Asked::List(ListKind::Tools), id: &ID };
    const OPEN: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"open"}]}}"#;
    const BOTH: &str =
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"secret"},{"name":"open"}]}}"#;

    struct NoSecrets;

    impl View for NoSecrets {
        fn permits(&self, target: &Target) -> bool {
            *target != Target::Tool("secret".into())
        }

        fn offers(&self, _feature: Feature) -> bool {
            true
        }

        fn token_life(&self) -> Duration {
            Duration::MAX
        }
    }

    /// Pushes the stream in chunks of `size` bytes.
    fn filter(stream: &str, size: usize, expected: Expected<'_>) -> Result<String, ListError> {
        let mut filter = SseFilter::new(expected);
        let mut out = Vec::new();
        for chunk in stream.as_bytes().chunks(size) {
            out.extend(filter.push(chunk, false, &NoSecrets)?);
        }
        out.extend(filter.push(b"", true, &NoSecrets)?);
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn unchanged_events_pass_byte_for_byte_however_they_are_cut() {
        for end in ["\n", "\r", "\r\n"] {
            let lines = [
                "\u{feff}: hello",
                "",
                "id: 1",
                "retry:1000",
                "data: ",
                "",
                "",
                "event: message",
                &format!("data:{OPEN}"),
                "id",
                "unknown: field",
                "",
                "data: {\"jsonrpc\":\"2.0\",",
                "data:  \"method\":\"notifications/message\"}",
                "",
                ": keep-alive",
                "",
                "",
            ];
            let stream = lines.join(end);
            for size in 1..=stream.len() {
                assert_eq!(filter(&stream, size, LIST).as_ref(), Ok(&stream), "{end:?} {size}");
            }
        }
    }

    #[test]
    fn lists_are_cut_down_however_they_are_framed() {
        let (head, tail) = BOTH.split_once(',').unwrap();
        for end in ["\n", "\r", "\r\n"] {
            for lines in [
                vec!["event: message".into(), format!("data: {BOTH}"), "id: 7".into()],
                vec![format!("data:{BOTH}"), "event: message".into(), "id: 7".into()],
                vec![
                    format!("data: {head},"),
                    "event: message".into(),
                    "data".into(),
                    format!("data:{tail}"),
                    "id: 7".into(),
                ],
            ] {
                let stream = lines.join(end) + end + end;
                let expected = format!("event: message\nid: 7\ndata: {OPEN}\n\n");
                for size in 1..=stream.len() {
                    for mode in [LIST, Expected::Any] {
                        let filtered = filter(&stream, size, mode).unwrap();
                        // After a CRLF's CR the event is complete; its LF follows as it came.
                        assert_eq!(filtered.strip_prefix(&expected).map(str::trim_end), Some(""));
                    }
                }
            }
        }
    }

    #[test]
    fn line_feeds_within_an_entry_stay_within_data_lines() {
        let stream = "data: {\"id\":1,\"result\":{\"tools\":[{\"name\":\"secret\"},\ndata: {\ndata: \"name\":\"open\"}]}}\n\n";
        let expected = "data: {\"id\":1,\"result\":{\"tools\":[{\ndata: \"name\":\"open\"}]}}\n\n";
        assert_eq!(filter(stream, 7, LIST).as_deref(), Ok(expected));
    }

    #[test]
    fn a_byte_order_mark_hides_no_list() {
        let stream = format!("\u{feff}data: {BOTH}\n\n");
        assert_eq!(filter(&stream, 1, LIST), Ok(format!("data: {OPEN}\n\n")));
    }

    #[test]
    fn an_event_type_hides_no_list() {
        let stream = format!("event: other\ndata: {BOTH}\n\n");
        assert_eq!(filter(&stream, 64, LIST), Ok(format!("event: other\ndata: {OPEN}\n\n")));
    }

    #[test]
    fn events_leave_when_they_are_complete() {
        let mut filter = SseFilter::new(LIST);
        let mut push = |chunk: &str| {
            String::from_utf8(filter.push(chunk.as_bytes(), false, &NoSecrets).unwrap()).unwrap()
        };
        assert_eq!(push(": a\r\n\r"), ": a\r\n\r");
        assert_eq!(push("\n: b"), "\n");
        assert_eq!(push("\n\n: c\n"), ": b\n\n");
        assert_eq!(push("\r\n"), ": c\n\r\n");
    }

    #[test]
    fn what_is_not_understood_never_passes() {
        for stream in ["data: hello\n\n", "data: [\n\n", "event: x\ndata: y\n\n", "data:  \n\n"] {
            for mode in [LIST, Expected::Any] {
                assert!(matches!(filter(stream, 3, mode), Err(ListError::NotJson(_))), "{stream}");
            }
        }
        let mut filter = SseFilter::new(LIST);
        assert!(filter.push(b"data: x\n\n", false, &NoSecrets).is_err());
        assert!(filter.push(b": later\n\n", false, &NoSecrets).is_err(), "stays refused");
    }

    #[test]
    fn an_unfinished_event_is_dropped_or_refused() {
        assert_eq!(filter(": a\n\n: b\nid: 1\n", 1, LIST).as_deref(), Ok(": a\n\n"));
        for stream in [format!("data: {OPEN}"), format!("data: {OPEN}\n"), "data: {".into()] {
            assert_eq!(filter(&stream, 5, LIST), Err(ListError::Truncated), "{stream}");
        }
    }

    #[test]
    fn the_event_is_bounded() {
        let filler = ":".repeat(MAX_EVENT_LEN - 2);
        let stream = format!("{filler}\n\n");
        assert_eq!(filter(&stream, 65_536, LIST).as_ref(), Ok(&stream));
        let stream = format!("{filler}:\n\n");
        assert_eq!(filter(&stream, 65_536, LIST), Err(ListError::TooLarge));
    }
}
