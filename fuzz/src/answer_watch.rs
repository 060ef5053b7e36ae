//! `AnswerWatch`: what it lets pass is the same however it is cut, holds no list, and tells of
//! no task that it does not tell of.
//!
//! The first line of the input is `json` or `sse` and sizes of chunks; the rest is the body.

use countersign::mcp::tasks::NewTask;
use countersign::mcp::{AnswerWatch, Framing, ListError, UnaskedLists};

use super::model::answer;
use super::model::document::scan_leniently;
use super::model::event_stream;
use super::sse_filter::{chunks, split};

/// Checks one body.
pub fn check(data: &[u8]) -> bool {
    let framing = if data.starts_with(b"json") { Framing::Json } else { Framing::Sse };
    let (_, sizes, body) = split(data);
    let mut ended_well = true;
    for lists in [UnaskedLists::Refused, UnaskedLists::Passed] {
        let (passed, tasks, end) = watch(framing, lists, body, &[1]);
        for sizes in [&[body.len().max(1)][..], &sizes] {
            let (cut, other_tasks, other_end) = watch(framing, lists, body, sizes);
            // Of several reasons the one that is seen first depends on what comes together.
            assert_eq!(other_end.is_ok(), end.is_ok(), "another end in chunks of {sizes:?}");
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
        let ids: Vec<&str> = tasks.iter().map(|task| task.id.as_str()).collect();
        for message in &messages {
            let Some(read) = scan_leniently(message).value else { continue };
            if lists == UnaskedLists::Refused {
                assert!(!answer::holds_a_list(&read), "a list that nobody asked for");
            }
            for id in answer::task_ids(&read) {
                assert!(ids.contains(&id), "nobody is told of {id:?}");
            }
        }
        ended_well &= end.is_ok();
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
