//! `SseFilter`: a client reads what the server sent, less what it may not see.
//!
//! The first line of the input is the method that was called (or anything else, on a
//! stream that answers nothing) and sizes of chunks; the rest is the stream. Its reader
//! may use everything that is not called secret.

use std::time::Duration;

use countersign::mcp::{Asked, Expected, Feature, Id, ListError, SseFilter, Target, View};

use super::model::answer::{self, TOKEN_LIFE};
use super::model::document::scan;
use super::model::event_stream::{self, Stream};

/// Checks one stream.
pub fn check(data: &[u8]) -> bool {
    let (asked, sizes, stream) = split(data);
    let (out, end) = filter(asked, stream, &[1]);
    for sizes in [&[stream.len().max(1)][..], &sizes] {
        let (cut, other_end) = filter(asked, stream, sizes);
        assert_eq!(other_end, end, "another end in chunks of {sizes:?}");
        assert!(out.starts_with(&cut), "other bytes in chunks of {sizes:?}");
        assert!(end.is_err() || cut == out, "fewer bytes in chunks of {sizes:?}");
    }

    let (sent, told) = (event_stream::read(stream), event_stream::read(&out));
    assert!(told.unfinished.is_empty(), "half an event left");
    let changed = is_told_what_was_sent(asked, &sent, &told);
    if end.is_ok() {
        assert_eq!(sent.events.len(), told.events.len(), "an event is missing");
        assert_eq!(sent.unfinished, "", "the stream ended within an event");
        let bare_mark = matches!(stream, [0xef, 0xbb, 0xbf, b'\r' | b'\n', ..]);
        if !changed && !bare_mark {
            assert_eq!(out.as_slice(), &stream[..sent.complete], "changed for nothing");
        }
    }
    if end == Err(ListError::Truncated) {
        assert_ne!(sent.unfinished, "", "the stream ended between events");
    }
    end.is_ok()
}

/// The parts of an input.
pub(crate) fn split(data: &[u8]) -> (Option<Asked>, Vec<usize>, &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (first, stream) = data.split_at(end);
    let first = String::from_utf8_lossy(first);
    let mut words = first.split(' ');
    let asked = words.next().and_then(Asked::of);
    let sizes = words.filter_map(|word| word.parse().ok()).filter(|size| *size > 0).collect();
    (asked, sizes, stream.get(1..).unwrap_or_default())
}

/// The chunks of a stream, in these sizes over and over.
pub(crate) fn chunks<'s>(mut stream: &'s [u8], sizes: &[usize]) -> Vec<&'s [u8]> {
    let mut sizes = sizes.iter().copied().cycle();
    let mut chunks = Vec::new();
    while !stream.is_empty() {
        let (chunk, rest) = stream.split_at(sizes.next().unwrap_or(64).min(stream.len()));
        chunks.push(chunk);
        stream = rest;
    }
    chunks
}

fn filter(
    asked: Option<Asked>,
    stream: &[u8],
    sizes: &[usize],
) -> (Vec<u8>, Result<(), ListError>) {
    let id = Id::Integer(1);
    let expected = match asked {
        Some(asked) => Expected::For { asked, id: &id },
        None => Expected::Any,
    };
    let mut filter = SseFilter::new(expected);
    let mut out = Vec::new();
    for chunk in
        chunks(stream, sizes).into_iter().map(|chunk| (chunk, false)).chain([(&[][..], true)])
    {
        match filter.push(chunk.0, chunk.1, &Reader) {
            Ok(bytes) => out.extend(bytes),
            Err(error) => {
                let again = filter.push(b": \n\n", false, &Reader);
                assert_eq!(again, Err(error), "what failed once stays so");
                return (out, Err(error));
            }
        }
    }
    (out, Ok(()))
}

/// Asserts that each event says what the server's said, less what is not for this reader.
/// Returns whether any of them had to be changed.
fn is_told_what_was_sent(asked: Option<Asked>, sent: &Stream, told: &Stream) -> bool {
    let mut changed = false;
    for (sent, told) in sent.events.iter().zip(&told.events) {
        assert_eq!((&sent.event, &sent.id), (&told.event, &told.id));
        let read = |data: &str| scan(data).value.expect("what is not JSON never passes");
        let (sent, told) = (read(&sent.data), read(&told.data));
        answer::shows_nothing_secret(&told);
        let expected = answer::filtered(asked, &sent);
        assert_eq!(told, expected);
        changed |= sent != expected;
    }
    changed
}

/// Somebody who may use what is not secret.
pub(crate) struct Reader;

impl View for Reader {
    fn permits(&self, target: &Target) -> bool {
        match target {
            Target::Tool(name)
            | Target::Prompt(name)
            | Target::Resource(name)
            | Target::ResourceTemplate(name)
            | Target::Task(name) => !name.contains("secret"),
            Target::None | Target::Subscription { .. } => panic!("{target:?} is no list entry"),
        }
    }

    fn offers(&self, feature: Feature) -> bool {
        answer::offers(feature)
    }

    fn token_life(&self) -> Duration {
        TOKEN_LIFE
    }
}
