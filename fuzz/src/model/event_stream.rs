//! A client's reading of an event stream (HTML Standard, section 9.2.6).

/// Something that the client was told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// The joined `data` fields.
    pub data: String,
    /// The event type, if it was given.
    pub event: String,
    /// The last event id, as far as this stream gave one.
    pub id: String,
}

/// A stream as a client reads it.
#[derive(Debug, Default)]
pub struct Stream {
    /// What was dispatched, in order.
    pub events: Vec<Event>,
    /// Where the last blank line ends.
    pub complete: usize,
    /// The data of an event that the stream ends within.
    pub unfinished: String,
}

/// Reads a whole stream.
pub fn read(bytes: &[u8]) -> Stream {
    let mut stream = Stream::default();
    let mut event = Event::default();
    let mut data: Option<String> = None;
    let mut at = if bytes.starts_with("\u{feff}".as_bytes()) { 3 } else { 0 };
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let length = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        let line = String::from_utf8_lossy(&rest[..length.unwrap_or(rest.len())]).into_owned();
        let Some(length) = length else {
            // The line itself may already be telling.
            field(&line, &mut event, &mut data);
            break;
        };
        at += length + if rest[length..].starts_with(b"\r\n") { 2 } else { 1 };
        if line.is_empty() {
            stream.complete = at;
            if let Some(data) = data.take().filter(|data| !data.is_empty()) {
                stream.events.push(Event { data, ..event.clone() });
            }
            event.event.clear();
        } else {
            field(&line, &mut event, &mut data);
        }
    }
    stream.unfinished = data.unwrap_or_default();
    stream
}

fn field(line: &str, event: &mut Event, data: &mut Option<String>) {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    let value = value.strip_prefix(' ').unwrap_or(value);
    match name {
        "data" => match data {
            Some(data) => *data = format!("{data}\n{value}"),
            None => *data = Some(value.to_owned()),
        },
        "event" => value.clone_into(&mut event.event),
        "id" if !value.contains('\0') => value.clone_into(&mut event.id),
        _ => {}
    }
}
