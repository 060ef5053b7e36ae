//! The watch against a model that has the whole response before it looks.

use super::*;

const SEED: u64 = 0x5eed_0004;
const RESPONSES: usize = 3000;

/// What the response says: the tasks with the lifetime that is known in the end.
type Verdict = Result<BTreeMap<String, Option<Duration>>, ListError>;

fn watched(framing: Framing, bytes: &[u8], size: usize) -> Verdict {
    let seen = watch(framing, Refused, bytes, size);
    match seen.error {
        Some(error) => Err(error),
        None => Ok(seen.tasks.into_iter().map(|task| (task.id, task.ttl)).collect()),
    }
}

fn read_document(bytes: &[u8]) -> Verdict {
    let value = json::read(bytes)?;
    let message = value.as_object().ok_or(BadEnvelope)?;
    let mut tasks = BTreeMap::new();
    for (name, result) in message.iter() {
        let folded = |name: &str| name.replace('_', "").to_lowercase();
        let Some(result) = result.as_object().filter(|_| folded(name) == "result") else {
            continue;
        };
        let lists = ["tools", "prompts", "resources", "resourcetemplates", "tasks"];
        if result.iter().any(|(name, _)| lists.contains(&folded(name).as_str())) {
            return Err(Unasked);
        }
        for task in [Some(result), result.get("task").and_then(json::Value::as_object)] {
            let id = |task: &json::Object<'_>| {
                task.get("taskId")?.as_str().filter(|id| !id.is_empty()).map(str::to_owned)
            };
            if let Some((task, id)) = task.and_then(|task| Some((task, id(task)?))) {
                let ttl = task.get("ttl");
                let millis = ttl.and_then(|ttl| match ttl {
                    json::Value::Number(ttl) => ttl.as_u64(),
                    _ => None,
                });
                tasks.insert(id, millis.map(Duration::from_millis));
            }
        }
    }
    Ok(tasks)
}

fn read_stream(stream: &str) -> Verdict {
    let stream = stream.replace("\r\n", "\n").replace('\r', "\n");
    let stream = stream.strip_prefix('\u{feff}').unwrap_or(&stream);
    let mut tasks = BTreeMap::new();
    let mut data: Vec<&str> = Vec::new();
    let mut lines: Vec<&str> = stream.split('\n').collect();
    lines.pop();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        if name == "data" {
            data.push(value.strip_prefix(' ').unwrap_or(value));
        } else if line.is_empty() {
            let document = std::mem::take(&mut data).join("\n");
            if !document.is_empty() {
                tasks.extend(read_document(document.as_bytes())?);
            }
        }
    }
    Ok(tasks)
}

/// SplitMix64.
struct Dice {
    state: u64,
    task_ids: usize,
}

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(sides).unwrap()).unwrap()
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len())]
    }

    fn space(&mut self) -> &'static str {
        self.pick(&["", "", "", "", " ", "\n", "  \n", "\t"])
    }

    /// A string token: some of its characters escaped.
    fn string(&mut self, text: &str) -> String {
        let mut token = String::from('"');
        for unit in text.chars() {
            let special = matches!(unit, '"' | '\\' | '\0'..='\x1f');
            if special || self.roll(12) == 0 {
                for half in unit.encode_utf16(&mut [0; 2]) {
                    token += &format!("\\u{half:04x}");
                }
            } else {
                token.push(unit);
            }
        }
        token + "\""
    }

    fn text(&mut self) -> String {
        let pieces = ["a", "tools", "\"", "\\", "{", "]", ":", "\n", "\u{e4}", "\u{1f600}", " "];
        (0..self.roll(4)).map(|_| self.pick(&pieces)).collect()
    }

    fn value(&mut self, depth: usize) -> String {
        match self.roll(if depth == 0 { 6 } else { 9 }) {
            0 => self.pick(&["0", "60000", "-1", "1.5e3", "99"]).to_owned(),
            1 => self.pick(&["true", "false", "null"]).to_owned(),
            2..=5 => {
                let text = self.text();
                self.string(&text)
            }
            6 => {
                let count = self.roll(3);
                let elements: Vec<_> =
                    (0..count).map(|_| self.space().to_owned() + &self.value(depth - 1)).collect();
                format!("[{}{}]", elements.join(","), self.space())
            }
            _ => self.object(depth - 1),
        }
    }

    /// An object of members that matter somewhere. Lists are rarer than what surrounds
    /// them, or no message would pass.
    fn object(&mut self, depth: usize) -> String {
        const COMMON: [&str; 8] =
            ["result", "result", "id", "task", "taskId", "ttl", "content", "structuredContent"];
        const RARE: [&str; 8] =
            ["Result", "tools", "Tool_s", "tasks", "resource_templates", "method", "", "b\""];
        let mut used: Vec<&str> = Vec::new();
        let mut members = Vec::new();
        for _ in 0..self.roll(6) {
            let names = self.pick(&[&COMMON, &COMMON, &COMMON, &COMMON, &RARE]);
            let name = self.pick(names);
            if used.contains(&name) {
                continue;
            }
            used.push(name);
            let value = match name {
                "result" | "Result" | "task" if depth > 0 && self.roll(4) > 0 => {
                    self.object(depth - 1)
                }
                "taskId" if self.roll(4) > 0 => {
                    self.task_ids += 1;
                    let id = self.text() + &self.task_ids.to_string();
                    self.string(&id)
                }
                "taskId" => self.pick(&["7", "[]", "\"\"", "null"]).to_owned(),
                _ => self.value(depth),
            };
            let (space, name, colon) = (self.space(), self.string(name), self.space());
            members.push(format!("{space}{name}{colon}:{value}"));
        }
        format!("{{{}{}}}", members.join(","), self.space())
    }

    /// A document, and now and then what was one.
    fn document(&mut self) -> String {
        let mut document = self.space().to_owned() + &self.object(4) + self.space();
        if self.roll(4) == 0 {
            let at = self.roll(document.len());
            if document.is_char_boundary(at) {
                let rest = document.split_off(at);
                document +=
                    self.pick(&["", "{", "}", "[", "]", ",", "\"", "\\", "\n", "1", "\u{e4}"]);
                document.extend(rest.chars().skip(self.roll(2)));
            }
        }
        document
    }

    fn stream(&mut self) -> String {
        let end = self.pick(&["\n", "\r", "\r\n"]);
        let mut stream = self.pick(&["", "", "\u{feff}"]).to_owned();
        for _ in 0..self.roll(4) {
            let document = self.document();
            for line in document.split('\n') {
                if self.roll(3) == 0 {
                    stream += self.pick(&["event: x", ":", "id: 1", "dat", "retry: data: ["]);
                    stream += end;
                }
                stream += self.pick(&["data:", "data: "]);
                stream += line;
                stream += end;
            }
            stream += self.pick(&["", ": ping"]);
            stream += end;
            stream += end;
        }
        stream
    }
}

/// Whether both say the same, as far as the watch promises. It reads more than the strict
/// reader, but never less.
fn agree(watched: &Verdict, model: &Verdict) -> bool {
    match (watched, model) {
        (Ok(tasks), Ok(expected)) => tasks == expected,
        (Err(error), Err(expected)) => {
            error == expected || matches!(expected, NotJson(_)) || matches!(error, NotJson(_))
        }
        (Ok(_), Err(expected)) => matches!(expected, NotJson(_)),
        (Err(_), Ok(_)) => false,
    }
}

#[test]
fn the_verdict_on_a_document_is_that_of_one_who_has_read_it_all() {
    let mut dice = Dice { state: SEED, task_ids: 0 };
    let mut outcomes = BTreeMap::new();
    for _ in 0..RESPONSES {
        let document = dice.document();
        let model = read_document(document.as_bytes());
        let whole = watched(Framing::Json, document.as_bytes(), document.len().max(1));
        assert!(agree(&whole, &model), "{document}\n{whole:?}\n{model:?}");
        for size in 1..=document.len().min(40) {
            let cut = watched(Framing::Json, document.as_bytes(), size);
            assert_eq!(cut, whole, "{size} {document}");
        }
        let kind = match model {
            Ok(tasks) if tasks.is_empty() => "other",
            Ok(_) => "task",
            Err(Unasked) => "list",
            Err(_) => "unreadable",
        };
        *outcomes.entry(kind).or_insert(0_usize) += 1;
    }
    assert!(outcomes.len() == 4 && outcomes.values().all(|count| *count > 50), "{outcomes:?}");
}

#[test]
fn the_verdict_on_a_stream_is_that_of_one_who_has_read_it_all() {
    let mut dice = Dice { state: SEED, task_ids: 0 };
    let mut outcomes = BTreeMap::new();
    for _ in 0..RESPONSES {
        let stream = dice.stream();
        let model = read_stream(&stream);
        let whole = watched(Framing::Sse, stream.as_bytes(), stream.len().max(1));
        assert!(agree(&whole, &model), "{stream}\n{whole:?}\n{model:?}");
        for size in 1..=stream.len().min(40) {
            assert_eq!(watched(Framing::Sse, stream.as_bytes(), size), whole, "{size} {stream}");
        }
        *outcomes.entry(model.is_ok()).or_insert(0_usize) += 1;
    }
    assert!(outcomes.len() == 2 && outcomes.values().all(|count| *count > 300), "{outcomes:?}");
}
