#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests may panic"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::json;

mod model;

use ListError::{BadEnvelope, NotJson, Unasked};
use UnaskedLists::{Passed, Refused};

/// What a client was given before the watch refused, and what the watch said.
#[derive(Debug, PartialEq)]
struct Seen {
    passed: usize,
    tasks: Vec<NewTask>,
    error: Option<ListError>,
}

/// Pushes the response in chunks of `size` bytes.
fn watch(framing: Framing, lists: UnaskedLists, bytes: &[u8], size: usize) -> Seen {
    let mut watch = AnswerWatch::new(framing, lists);
    let mut seen = Seen { passed: 0, tasks: Vec::new(), error: None };
    for chunk in bytes.chunks(size) {
        match watch.push(chunk) {
            Ok(tasks) => seen.tasks.extend(tasks),
            Err(error) => {
                assert_eq!(watch.push(b" "), Err(error), "stays refused");
                seen.error = Some(error);
                return seen;
            }
        }
        seen.passed += chunk.len();
    }
    seen
}

/// The verdict on a document, which must not depend on how it is cut.
fn verdict(framing: Framing, lists: UnaskedLists, document: &str) -> Result<(), ListError> {
    let whole = watch(framing, lists, document.as_bytes(), document.len().max(1));
    for size in [1, 2, 3, 5, 7, 64] {
        let cut = watch(framing, lists, document.as_bytes(), size);
        assert_eq!(cut.error, whole.error, "{size} {document}");
    }
    whole.error.map_or(Ok(()), Err)
}

fn json(document: &str) -> Result<(), ListError> {
    verdict(Framing::Json, Refused, document)
}

fn sse(stream: &str) -> Result<(), ListError> {
    verdict(Framing::Sse, Refused, stream)
}

/// The tasks of a document, with what is known of each when it is returned.
fn tasks(document: &str) -> Vec<(String, Option<u64>)> {
    let whole = watch(Framing::Json, Refused, document.as_bytes(), document.len());
    assert_eq!(whole.error, None, "{document}");
    for size in 1..=document.len() {
        let cut = watch(Framing::Json, Refused, document.as_bytes(), size);
        assert_eq!(cut, whole, "{size} {document}");
    }
    let millis = |ttl: Duration| u64::try_from(ttl.as_millis()).unwrap();
    whole.tasks.into_iter().map(|task| (task.id, task.ttl.map(millis))).collect()
}

#[test]
fn ghsa_345p_a_list_that_nobody_asked_for_is_refused() {
    for list in ["tools", "prompts", "resources", "resourceTemplates", "tasks"] {
        for body in [
            format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"{list}":[]}}}}"#),
            format!(r#"{{"result":{{"nextCursor":"","{list}":[{{"name":"x"}}]}},"id":1}}"#),
            format!(r#"{{"result":{{"{list}":{{}}}}}}"#),
            format!(r#"{{"result":null,"result":{{"a":[1,{{}}],"{list}":1}}}}"#),
            format!(r#"{{"method":"x","result":{{"{list}":[]}}}}"#),
        ] {
            assert_eq!(json(&body), Err(Unasked), "{body}");
            assert_eq!(sse(&format!("data: {body}\n\n")), Err(Unasked), "{body}");
            assert_eq!(verdict(Framing::Json, Passed, &body), Ok(()), "{body}");
        }
    }
}

#[test]
fn ghsa_345p_nothing_of_the_list_has_left_when_it_is_refused() {
    let body = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"secret"}]}}"#;
    for framing in [Framing::Json, Framing::Sse] {
        let stream = match framing {
            Framing::Json => body.to_owned(),
            Framing::Sse => format!("data: {body}\n\n"),
        };
        let named = stream.find("tools").unwrap() + "tools".len();
        for size in 1..=stream.len() {
            let seen = watch(framing, Refused, stream.as_bytes(), size);
            assert_eq!(seen.error, Some(Unasked));
            assert!(seen.passed <= named, "{size}");
        }
    }
}

#[test]
fn ghsa_wvj2_names_that_a_lenient_client_takes_for_a_list_are_refused() {
    for (result, list) in [
        ("Result", "tools"),
        ("result", "TOOLS"),
        ("re\u{17f}ult", "tool\u{17f}"),
        (r"r\u0065sult", r"\u0074ools"),
        (r"RE\u017fULT", r"T\u006f\u006FL\u017F"),
        ("__result_", "_____________________________________________________________tools"),
        ("result", "resource_templates"),
        ("result", "ta\u{17f}\u{212a}s"),
        ("result", "resource_t_e_m_p_l_a_t_e_\u{17f}"),
    ] {
        let body = format!(r#"{{"{result}":{{"{list}":[]}}}}"#);
        assert_eq!(json(&body), Err(Unasked), "{body}");
    }
}

#[test]
fn lists_elsewhere_are_other_peoples_data() {
    for body in [
        r#"{"id":1,"result":{"capabilities":{"tools":{},"tasks":{"list":{}}}}}"#,
        r#"{"id":1,"result":{"structuredContent":{"tools":[{"result":{"tools":[]}}]}}}"#,
        r#"{"id":1,"result":{"_meta":{"tools":1},"content":[{"tools":[]},{"result":{"tools":[]}}]}}"#,
        r#"{"id":1,"result":[{"tools":[]}]}"#,
        r#"{"id":1,"result":"tools","tools":[]}"#,
        r#"{"id":1,"result":{"content":["tools","result",":",{"a":"\"tools\":["}]}}"#,
        r#"{"id":1,"result":{"task":{"tools":[]},"toolsX":[],"tool":[],"too\u0020ls":[]}}"#,
        r#"{"id":1,"error":{"code":-1,"message":"tools","data":{"tools":[]}}}"#,
        r#"{"method":"notifications/message","params":{"tools":[],"data":{"result":{"tools":[]}}}}"#,
        r#"{"method":"sampling/createMessage","id":1,"params":{"tools":[{"name":"x"}]}}"#,
        "",
        " \r\n\t",
    ] {
        assert_eq!(json(body), Ok(()), "{body}");
    }
}

#[test]
fn batches_and_what_is_no_message_are_refused() {
    for body in ["[]", r#" [{"result":{"tools":[]}}]"#, "\"x\"", "null", "-1", "tools"] {
        assert_eq!(json(body), Err(BadEnvelope), "{body}");
        assert_eq!(sse(&format!("data: {body}\n\n")), Err(BadEnvelope), "{body}");
    }
}

#[test]
fn what_another_reader_reads_differently_is_refused() {
    for body in [
        "\u{feff}{}",
        "{}{}",
        "{},",
        "{} {\"result\":{\"tools\":[]}}",
        "{\"a\":[}",
        "{\"a\":{]",
        "}",
        "{\"a\" 1}",
        "{\"a\"::1}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\":[1,]}",
        "{\"a\":[1 2]}",
        "{\"a\":\"b\" \"c\"}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":1/**/}",
        "{\"a\":1,//\n\"b\":2}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\\\n\"}",
        "{\"a\":\"\\x41\"}",
        "{\"a\":\"\\u00\"}",
        "{\"a\":\"\\u00g0\"}",
        "{\u{a0}\"a\":1}",
        "{\"\\ud800\":1}",
        "{\"\\ud800\\u0041\":1}",
        "{\"\\ud800a\":1}",
        "{\"\\ud800a\\udc00\":1}",
        "{\"\\ud800\\n\\udc00\":1}",
        "{\"\\udc00\":1}",
        "{\"result\":{\"taskId\":\"\\ud83d\"}}",
    ] {
        assert_eq!(json(body), Err(NotJson(JsonError::Syntax)), "{body}");
    }
    let nul = r#"{"result":{"tools\u0000":[]}}"#;
    assert_eq!(json(nul), Err(NotJson(JsonError::NulInName)));
}

#[test]
fn other_encodings_are_refused() {
    let body = r#"{"result":{"tools":[]}}"#;
    let utf16: Vec<u8> = body.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let utf32: Vec<u8> = body.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect();
    let event = |bytes: &[u8]| [b"data: ".as_slice(), bytes, b"\n\n"].concat();
    for bytes in [
        utf16.clone(),
        utf32,
        [b"\xff\xfe".as_slice(), &utf16].concat(),
        b"{\"result\":{\"to\xffols\":[]}}".to_vec(),
        b"{\"result\":{\"a\":\"\xc0\xa2,\"tools\":[]}}".to_vec(),
        b"{\"a\":\"\0\"}".to_vec(),
    ] {
        for size in 1..=bytes.len() {
            let seen = watch(Framing::Json, Passed, &bytes, size);
            assert!(matches!(seen.error, Some(NotJson(_))), "{size} {bytes:?}");
            let seen = watch(Framing::Sse, Passed, &event(&bytes), size);
            assert!(matches!(seen.error, Some(NotJson(_))), "{size} {bytes:?}");
        }
    }
    let stream: Vec<u8> = "data: {}\n\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(watch(Framing::Sse, Passed, &stream, 1).error.is_some());
}

#[test]
fn clients_in_use_read_more_than_json() {
    for body in [
        r#"{"result":{"content":[{"text":"\ud83d"}],"a":NaN,"b":-Infinity,"c":1e999,"d":[1,1]}}"#,
        r#"{"id":1,"id":2,"result":{"a":1,"a":2}}"#,
    ] {
        assert_eq!(json(body), Ok(()), "{body}");
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| {
        format!(r#"{{"result":{}{}}}"#, "[".repeat(depth - 1), "]".repeat(depth - 1))
    };
    assert_eq!(json(&nested(1024)), Ok(()));
    assert_eq!(json(&nested(1025)), Err(NotJson(JsonError::TooDeep)));
}

#[test]
fn a_call_is_answered_with_a_task() {
    let known = |id: &str, ttl: Option<u64>| (id.to_owned(), ttl);
    for (result, expected) in [
        // MCP 2025-11-25, CreateTaskResult.
        (
            r#"{"task":{"taskId":"7","status":"working","ttl":60000}}"#,
            vec![known("7", None), known("7", Some(60_000))],
        ),
        (r#"{"task":{"ttl":60000,"taskId":"7"}}"#, vec![known("7", Some(60_000))]),
        (r#"{"task":{"ttl":null,"taskId":"7"}}"#, vec![known("7", None)]),
        (
            r#"{"taskId":"6","task":{"taskId":"7"},"ttl":5}"#,
            vec![known("6", None), known("7", None), known("6", Some(5))],
        ),
        // SEP-2663.
        (
            r#"{"resultType":"task","taskId":"a\u002fb\ud83d\ude00","ttlMs":1}"#,
            vec![known("a/b\u{1f600}", None), known("a/b\u{1f600}", Some(1))],
        ),
        (r#"{"ttlMs" : 0 ,"taskId":"7","resultType":"task"}"#, vec![known("7", Some(0))]),
        (r#"{"taskId":"7","ttlMs":1.5}"#, vec![known("7", None)]),
        (r#"{"taskId":"7","ttlMs":-1}"#, vec![known("7", None)]),
        (r#"{"taskId":"7","ttlMs":99999999999999999999}"#, vec![known("7", None)]),
        (r#"{"taskId":"7","ttlMs":"5"}"#, vec![known("7", None)]),
        // Not ours.
        (r#"{"taskId":7,"task_id":"8","TaskId":"9","taskid":"10"}"#, vec![]),
        (r#"{"taskId":"","task":{"taskId":["7"]},"Task":{"taskId":"7"}}"#, vec![]),
        (r#"{"content":{"taskId":"7"},"a":[{"taskId":"7"}]}"#, vec![]),
        (r#"{"task":{"a":{"taskId":"7","ttl":1}},"structuredContent":{"taskId":"7"}}"#, vec![]),
        (r#"{"task":[{"taskId":"7"}]}"#, vec![]),
    ] {
        assert_eq!(tasks(&format!(r#"{{"id":1,"result":{result}}}"#)), expected, "{result}");
    }
    assert_eq!(tasks(r#"{"method":"notifications/tasks","params":{"taskId":"7"}}"#), vec![]);
}

#[test]
fn a_task_is_returned_before_a_client_can_use_it() {
    let body = r#"{"id":1,"result":{"task":{"taskId":"seven","ttl":5}}}"#;
    let complete = body.find("seven").unwrap() + "seven\"".len();
    for lists in [Refused, Passed] {
        let mut watch = AnswerWatch::new(Framing::Json, lists);
        let (head, tail) = body.as_bytes().split_at(complete - 1);
        assert_eq!(watch.push(head), Ok(vec![]));
        let task = NewTask { id: "seven".into(), ttl: None };
        assert_eq!(watch.push(&tail[..1]), Ok(vec![task]));
    }
}

#[test]
fn a_task_id_is_as_long_as_a_call_may_name() {
    for (character, count) in [("x", 8 * 1024), ("\u{20ac}", 8 * 1024 / 3)] {
        let answer = |id: &str| format!(r#"{{"result":{{"taskId":"{id}"}}}}"#).into_bytes();
        let found = |id: &str| watch(Framing::Json, Refused, &answer(id), 1000).tasks.len();
        assert_eq!(found(&character.repeat(count)), 1);
        assert_eq!(found(&character.repeat(count + 1)), 0);
        assert_eq!(found(&character.repeat(count * 3)), 0);
    }
}

#[test]
fn events_are_read_however_they_are_framed() {
    let list = r#"{"id":1,"result":{"tools":[]}}"#;
    for end in ["\n", "\r", "\r\n"] {
        for lines in [
            vec![format!("data: {list}")],
            vec![format!("\u{feff}data:{list}")],
            vec!["event: x".into(), "id".into(), format!("data: {list}")],
            vec![": hi".into(), String::new(), String::new(), format!("data:  {list}")],
            vec!["data: {}".into(), String::new(), format!("data: {list}")],
            vec![
                "data".into(),
                r#"data: {"result""#.into(),
                "retry: 1".into(),
                r#"data: :{"tools":[]}}"#.into(),
            ],
        ] {
            let stream = lines.join(end) + end + end;
            assert_eq!(sse(&stream), Err(Unasked), "{stream:?}");
        }
        for lines in [
            vec!["data"],
            vec!["data:"],
            vec!["data: "],
            vec!["\u{feff}"],
            vec!["id: 1", "data: ", "", "data: {}", "", ": x"],
            vec!["data: {", "data: }", "", "event: y"],
            vec!["dat: [", "dataa: [", "Data: [", " data: [", "date", "d", "data :["],
            vec!["data: {}", "", "\u{feff}data: ["],
            vec!["\u{fec0}data: ["],
        ] {
            let stream = lines.join(end) + end + end;
            assert_eq!(sse(&stream), Ok(()), "{stream:?}");
        }
        for lines in [
            vec!["data: <hello>"],
            vec!["data: {"],
            vec!["data: {}", "data: {}"],
            vec!["data: {\"a", "data: \":1}"],
            vec!["data", "data"],
            vec!["data:  "],
            vec!["", "data: \u{feff}{}"],
        ] {
            let stream = lines.join(end) + end + end;
            assert_eq!(sse(&stream), Err(NotJson(JsonError::Syntax)), "{stream:?}");
        }
    }
}

#[test]
fn an_event_that_nothing_dispatches_is_not_judged() {
    assert_eq!(sse("data: {}\n\ndata: {\"a\":"), Ok(()));
}

#[test]
fn tasks_come_from_every_event() {
    let event = |id: &str| format!("data: {{\"result\":{{\"taskId\":\"{id}\"}}}}\r\n\r\n");
    let stream = event("a") + ": ping\n\n" + &event("b");
    let seen = watch(Framing::Sse, Passed, stream.as_bytes(), 3);
    let ids: Vec<_> = seen.tasks.iter().map(|task| task.id.as_str()).collect();
    assert_eq!(ids, ["a", "b"]);
}
