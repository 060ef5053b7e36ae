//! Reading along one JSON document.

use std::time::Duration;

use super::{UnaskedLists, split_where};
use crate::json::JsonError;
use crate::mcp::list::{ListError, ListKind};
use crate::mcp::message::resembles;
use crate::mcp::operation::MAX_OBJECT_LEN;
use crate::mcp::tasks::NewTask;

/// Deepest nesting that is followed, in bytes of memory, too. The JavaScript engines that
/// servers and clients run on have no bound of their own, so what a tool answers with may
/// be deeper than what we parse; nobody's answers need a thousand levels.
const MAX_DEPTH: usize = 1024;

/// As much of a member name as is kept, in bytes. The longest that is looked for has 17
/// letters; the characters that fold to one of them have up to 3 bytes.
const MAX_NAME_LEN: usize = 64;

/// As much of a number as is kept, in bytes. A `u64` has 20 digits.
const MAX_NUMBER_LEN: usize = 32;

/// One document. Every reader of JSON agrees with this one on where its strings and its
/// containers end.
#[derive(Debug, Default)]
pub(super) struct Document {
    lexeme: Lexeme,
    expect: Expect,
    /// The containers that are open, the outermost first.
    open: Vec<Container>,
    /// What the value that comes next is.
    member: Member,
    /// What the current string is.
    string: Text,
    /// The text of the current string or number, as far as it matters.
    text: Vec<u8>,
    /// The first half of a surrogate pair, if that was the last escape in the text.
    half: Option<u16>,
    /// The task that the result itself describes.
    result: Task,
    /// The one that its `task` describes.
    task: Task,
    begun: bool,
}

/// What the last byte was part of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Lexeme {
    /// Nothing that goes on.
    #[default]
    Between,
    /// A number or literal, which the first other byte ends.
    Scalar,
    /// A string.
    String,
    /// A string, after a backslash.
    Escape,
    /// A string, after `\u` and as many digits, which have this value.
    Unicode { digits: u8, value: u16 },
}

/// What a string is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Text {
    /// Not looked at.
    #[default]
    Skipped,
    /// The name of a member that may matter.
    Name,
    /// The id of a task.
    TaskId,
}

/// What may come next, besides space.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Expect {
    #[default]
    Value,
    ValueOrEnd,
    Name,
    NameOrEnd,
    Colon,
    CommaOrEnd,
}

/// What is open, and what it is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Array,
    Object,
    /// The message itself.
    Message,
    /// The `result` of the message.
    Result,
    /// The `task` in the result (MCP 2025-11-25, `CreateTaskResult`).
    Task,
}

/// A member, by what its value is to us.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Member {
    #[default]
    Other,
    Result,
    Task,
    TaskId,
    /// `ttl` or `ttlMs`, in milliseconds.
    Ttl,
}

/// What was read of a task so far.
#[derive(Debug, Default)]
struct Task {
    id: Option<String>,
    ttl: Option<Duration>,
}

impl Document {
    /// Whether nothing of it has come yet.
    pub(super) fn is_empty(&self) -> bool {
        !self.begun
    }

    /// Whether all of it has come.
    pub(super) fn is_complete(&self) -> bool {
        self.open.is_empty() && self.expect == Expect::CommaOrEnd
    }

    /// Takes the next bytes.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        lists: UnaskedLists,
        tasks: &mut Vec<NewTask>,
    ) -> Result<(), ListError> {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            self.begun = true;
            rest = match self.lexeme {
                Lexeme::Between => {
                    self.begin(byte)?;
                    after
                }
                Lexeme::Scalar => {
                    let (scalar, after) = split_where(rest, |byte| !is_scalar(byte));
                    if self.member == Member::Ttl {
                        self.keep(scalar, MAX_NUMBER_LEN);
                    }
                    if !after.is_empty() {
                        self.end_scalar(tasks);
                    }
                    after
                }
                Lexeme::String => {
                    let (plain, after) = split_where(rest, ends_plain_text);
                    self.append(plain)?;
                    match after.split_first() {
                        None => after,
                        Some((b'"', after)) => {
                            self.end_string(lists, tasks)?;
                            after
                        }
                        Some((b'\\', after)) => {
                            self.lexeme = Lexeme::Escape;
                            after
                        }
                        Some(_) => return Err(SYNTAX),
                    }
                }
                Lexeme::Escape => {
                    self.escape(byte)?;
                    after
                }
                Lexeme::Unicode { digits, value } => {
                    self.unicode(digits, value, byte)?;
                    after
                }
            };
        }
        Ok(())
    }

    /// Takes a byte between the lexemes.
    fn begin(&mut self, byte: u8) -> Result<(), ListError> {
        match (byte, self.expect) {
            (b' ' | b'\t' | b'\r' | b'\n', _) => {}
            // A batch, or no message at all.
            (b'[' | b'"', Expect::Value) if self.open.is_empty() => {
                return Err(ListError::BadEnvelope);
            }
            (_, Expect::Value) if self.open.is_empty() && is_scalar(byte) => {
                return Err(ListError::BadEnvelope);
            }
            (b'{' | b'[', Expect::Value | Expect::ValueOrEnd) => self.open(byte)?,
            (b'}', Expect::NameOrEnd | Expect::CommaOrEnd) if self.in_object() => self.close(),
            (b']', Expect::ValueOrEnd | Expect::CommaOrEnd) if self.in_array() => self.close(),
            (b'"', Expect::Name | Expect::NameOrEnd) => {
                let of_interest = !matches!(self.open.last(), Some(Container::Object));
                self.begin_string(if of_interest { Text::Name } else { Text::Skipped });
                self.expect = Expect::Colon;
            }
            (b'"', Expect::Value | Expect::ValueOrEnd) => {
                let is_id = std::mem::take(&mut self.member) == Member::TaskId;
                self.begin_string(if is_id { Text::TaskId } else { Text::Skipped });
                self.expect = Expect::CommaOrEnd;
            }
            (b':', Expect::Colon) => self.expect = Expect::Value,
            (b',', Expect::CommaOrEnd) if self.in_array() => self.expect = Expect::Value,
            (b',', Expect::CommaOrEnd) if self.in_object() => self.expect = Expect::Name,
            (_, Expect::Value | Expect::ValueOrEnd) if is_scalar(byte) => {
                self.expect = Expect::CommaOrEnd;
                self.text.clear();
                self.text.push(byte);
                self.lexeme = Lexeme::Scalar;
            }
            _ => return Err(SYNTAX),
        }
        Ok(())
    }

    fn in_array(&self) -> bool {
        self.open.last() == Some(&Container::Array)
    }

    fn in_object(&self) -> bool {
        self.open.last().is_some_and(|container| *container != Container::Array)
    }

    fn open(&mut self, byte: u8) -> Result<(), ListError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(JsonError::TooDeep.into());
        }
        let container = match (byte, std::mem::take(&mut self.member)) {
            (b'[', _) => Container::Array,
            (_, Member::Result) => Container::Result,
            (_, Member::Task) => Container::Task,
            _ if self.open.is_empty() => Container::Message,
            _ => Container::Object,
        };
        self.open.push(container);
        if matches!(container, Container::Result | Container::Task) {
            *self.task() = Task::default();
        }
        self.expect = if byte == b'[' { Expect::ValueOrEnd } else { Expect::NameOrEnd };
        Ok(())
    }

    fn close(&mut self) {
        self.open.pop();
        self.expect = Expect::CommaOrEnd;
    }

    /// The task that the open container describes.
    fn task(&mut self) -> &mut Task {
        match self.open.last() {
            Some(Container::Task) => &mut self.task,
            _ => &mut self.result,
        }
    }

    fn end_scalar(&mut self, tasks: &mut Vec<NewTask>) {
        self.lexeme = Lexeme::Between;
        if std::mem::take(&mut self.member) != Member::Ttl {
            return;
        }
        let millis = std::str::from_utf8(&self.text).ok().and_then(|text| text.parse().ok());
        let task = self.task();
        task.ttl = millis.map(Duration::from_millis);
        if let (Some(id), ttl @ Some(_)) = (&task.id, task.ttl) {
            tasks.push(NewTask { id: id.clone(), ttl });
        }
    }

    fn begin_string(&mut self, string: Text) {
        self.text.clear();
        self.string = string;
        self.lexeme = Lexeme::String;
    }

    fn end_string(
        &mut self,
        lists: UnaskedLists,
        tasks: &mut Vec<NewTask>,
    ) -> Result<(), ListError> {
        self.lexeme = Lexeme::Between;
        if self.half.is_some() {
            return Err(SYNTAX);
        }
        let text = std::str::from_utf8(&self.text);
        match (self.string, text) {
            (Text::Name, Ok(name)) => self.member = self.member(name, lists)?,
            // No call names a longer task, or one without a name.
            (Text::TaskId, Ok(id)) if !id.is_empty() && id.len() <= MAX_OBJECT_LEN => {
                let id = id.to_owned();
                let task = self.task();
                task.id = Some(id.clone());
                tasks.push(NewTask { id, ttl: task.ttl });
            }
            // A text that was cut within a character is too long as well.
            _ => {}
        }
        Ok(())
    }

    /// What the value of the member with this name is to us. Of lists a name that only
    /// resembles theirs will do, for a lenient client would read them; a task is bound only
    /// under the name that it has.
    fn member(&self, name: &str, lists: UnaskedLists) -> Result<Member, ListError> {
        let is_list = || ListKind::ALL.iter().any(|kind| resembles(name, kind.member()));
        Ok(match (self.open.last(), name) {
            (Some(Container::Message), _) if resembles(name, "result") => Member::Result,
            (Some(Container::Result), _) if lists == UnaskedLists::Refused && is_list() => {
                return Err(ListError::Unasked);
            }
            (Some(Container::Result), "task") => Member::Task,
            (Some(Container::Result | Container::Task), "taskId") => Member::TaskId,
            (Some(Container::Result | Container::Task), "ttl" | "ttlMs") => Member::Ttl,
            _ => Member::Other,
        })
    }

    /// Takes the byte after a backslash.
    fn escape(&mut self, byte: u8) -> Result<(), ListError> {
        self.lexeme = Lexeme::String;
        let escaped = match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                self.lexeme = Lexeme::Unicode { digits: 0, value: 0 };
                return Ok(());
            }
            _ => return Err(SYNTAX),
        };
        self.append(&[escaped])
    }

    /// Takes a digit of an escaped UTF-16 code unit.
    fn unicode(&mut self, digits: u8, value: u16, byte: u8) -> Result<(), ListError> {
        let digit = char::from(byte).to_digit(16).and_then(|digit| u16::try_from(digit).ok());
        let value = (value << 4) | digit.ok_or(SYNTAX)?;
        if digits < 3 {
            self.lexeme = Lexeme::Unicode { digits: digits.saturating_add(1), value };
            return Ok(());
        }
        self.lexeme = Lexeme::String;
        if self.string == Text::Skipped {
            return Ok(());
        }
        if self.half.is_none() && matches!(value, 0xd800..=0xdbff) {
            self.half = Some(value);
            return Ok(());
        }
        let units = self.half.take().into_iter().chain([value]);
        let Some(Ok(character)) = char::decode_utf16(units).next() else { return Err(SYNTAX) };
        if character == '\0' && self.string == Text::Name {
            return Err(JsonError::NulInName.into());
        }
        self.append(character.encode_utf8(&mut [0; 4]).as_bytes())
    }

    /// Keeps what matters of a string.
    fn append(&mut self, bytes: &[u8]) -> Result<(), ListError> {
        if self.half.is_some() && !bytes.is_empty() {
            return Err(SYNTAX);
        }
        match self.string {
            Text::Skipped => {}
            Text::Name => {
                // A name resembles the same member whether it has one underscore or many.
                for byte in bytes {
                    if *byte != b'_' || !self.text.contains(byte) {
                        self.keep(&[*byte], MAX_NAME_LEN);
                    }
                }
            }
            Text::TaskId => self.keep(bytes, MAX_OBJECT_LEN.saturating_add(1)),
        }
        Ok(())
    }

    /// Keeps the text up to a length.
    fn keep(&mut self, bytes: &[u8], max: usize) {
        let room = max.saturating_sub(self.text.len());
        self.text.extend(bytes.iter().take(room));
    }
}

const SYNTAX: ListError = ListError::NotJson(JsonError::Syntax);

/// Whether a byte may be in a number or literal. A reader that knows more of them than
/// JSON has, such as `NaN`, sees one value where we do.
fn is_scalar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// Whether a string ends here, escapes something, or is no JSON (RFC 8259 section 7).
fn ends_plain_text(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..=0x1f)
}
