//! `AnswerWatch`: what it lets pass is the same however it is cut, and holds no list.
//!
//! The first line of the input is `json` or `sse` and sizes of chunks; the rest is the body.

use countersign::mcp::tasks::NewTask;
use countersign::mcp::{AnswerWatch, Framing, ListError, UnaskedLists};

use super::model::answer;
use super::model::document::scan;
use super::model::event_stream;
use super::sse_filter::{chunks, split};

/// Checks one body.
pub fn check(data: &[u8]) -> bool {
    let framing = if data.starts_with(b"json") { Framing::Json } else { Framing::Sse };
    let (_, sizes, body) = split(data);
    let mut ended_well = false;
    for lists in [UnaskedLists::Refused, UnaskedLists::Passed] {
        let (passed, tasks, end) = watch(framing, lists, body, &[1]);
        for sizes in [&[body.len().max(1)][..], &sizes] {
            let (cut, other_tasks, other_end) = watch(framing, lists, body, sizes);
            assert_eq!(other_end, end, "another end in chunks of {sizes:?}");
            assert!(cut <= passed, "more bytes in chunks of {sizes:?}");
            assert!(tasks.starts_with(&other_tasks), "other tasks in chunks of {sizes:?}");
            assert!(end.is_err() || other_tasks == tasks, "fewer tasks in chunks of {sizes:?}");
        }
        let messages = match framing {
            Framing::Json => vec![String::from_utf8_lossy(&body[..passed]).into_owned()],
            Framing::Sse => {
                let stream = event_stream::read(&body[..passed]);
                stream.events.into_iter().map(|event| event.data).collect()
            }
        };
        for message in messages.iter().filter_map(|message| scan(message).value) {
            if lists == UnaskedLists::Refused {
                assert!(!answer::holds_a_list(&message), "a list that nobody asked for");
            }
        }
        ended_well |= end.is_ok();
    }
    ended_well
}

type Watched = (usize, Vec<NewTask>, Result<(), ListError>);

fn watch(framing: Framing, lists: UnaskedLists, body: &[u8], sizes: &[usize]) -> Watched {
    let mut watch = AnswerWatch::new(framing, lists);
    let (mut passed, mut tasks) = (0, Vec::new());
    for chunk in chunks(body, sizes) {
        match watch.push(chunk) {
            Ok(new) => tasks.extend(new),
            Err(error) => {
                assert!(watch.push(b" ").is_err(), "what failed once stays so");
                return (passed, tasks, Err(error));
            }
        }
        passed += chunk.len();
    }
    (passed, tasks, Ok(()))
}
