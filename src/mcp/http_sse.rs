//! The HTTP+SSE transport (MCP 2024-11-05, "Transports").
//!
//! A GET opens a stream, whose first event, `endpoint`, names the URL that the client posts
//! its messages to; the answers come on the stream. That URL tells one session from another,
//! so no client is told the server's: it gets one of ours, with the server's query sealed.

use crate::url::Url;

/// Longest start of a stream that is held back, in bytes: the `endpoint` event, of which the
/// longest URL that is read takes 2 KiB, and comments before it.
const MAX_OPENING: usize = 8 * 1024;

/// The parameter of our URL. The Python client takes the session's id out of one of this name.
const PARAMETER: &str = "sessionId";

/// Where the messages of a server go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageEndpoint {
    /// The path that clients post to, compared byte for byte and without the query.
    pub path: String,
    /// The path that the server announces: another one where a proxy between rewrites it.
    pub announced_path: String,
    /// The origin of URLs that the server may announce: that of the resource.
    pub origin: String,
}

impl MessageEndpoint {
    /// The server's session, if it may announce this `endpoint`: the query, which is all that
    /// tells one session from another. Whatever else a URL says must be what is configured.
    fn session(&self, endpoint: &str) -> Option<String> {
        let url = if endpoint.starts_with('/') {
            Url::parse(&format!("{}{endpoint}", self.origin))
        } else {
            Url::parse(endpoint)
        };
        let url = url.ok()?;
        let expected = url.origin() == self.origin && url.path == self.announced_path;
        url.query.filter(|query| expected && !query.is_empty())
    }

    /// The event that names the client's URL.
    #[must_use]
    pub fn event(&self, sealed: &str) -> Vec<u8> {
        format!("event: endpoint\ndata: {}?{PARAMETER}={sealed}\n\n", self.path).into_bytes()
    }

    /// What the query of a POST says the session is. A query of any other form is none of
    /// ours, and no seal.
    #[must_use]
    pub fn sealed(query: &str) -> &str {
        query.strip_prefix(PARAMETER).and_then(|rest| rest.strip_prefix('=')).unwrap_or_default()
    }

    /// The request target of a message for the server's session. The path stays as it came,
    /// because routes are chosen, and prefixes replaced, by it.
    #[must_use]
    pub fn target(&self, session: &str) -> String {
        format!("{}?{session}", self.path)
    }
}

/// Takes the `endpoint` event out of a stream and sees that there is no other.
///
/// The grammar is that of the HTML Standard, section 9.2.6. Clients are more lenient with it,
/// so a second event is looked for more leniently, too.
#[derive(Debug)]
pub struct EndpointReader {
    /// What came of the first event; `None` when it is over.
    opening: Option<Vec<u8>>,
    line: Line,
    /// Whether the last byte was a CR, so that an LF belongs to the same line end.
    after_cr: bool,
}

/// What was read of a stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Opened<'c> {
    /// The server's session, with the end of the event that names it.
    pub session: Option<String>,
    /// The bytes that follow the event.
    pub messages: &'c [u8],
}

/// Why a stream must not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Something else comes first, or the event is not understood.
    #[error("the stream does not begin with one endpoint event")]
    NotFirst,
    /// It names a URL that is not the configured one, or no session.
    #[error("the endpoint event names another URL than the configured one")]
    Elsewhere,
    /// It is longer than what is held back.
    #[error("the endpoint event is longer than {MAX_OPENING} bytes")]
    TooLarge,
    /// Something that a client may take for another one.
    #[error("a second endpoint event")]
    Repeated,
}

/// How far a line is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// As many bytes, all of them the start of `data`.
    Field(usize),
    /// In a `data` field.
    Data,
    /// In another field or in a comment, the last bytes of which are the start of `endpoint`.
    Other(usize),
}

const DATA: &[u8] = b"data";

/// The event's type. No part of it occurs in it twice, so that a mismatch starts over.
const ENDPOINT: &[u8] = b"endpoint";

impl EndpointReader {
    /// A reader at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        EndpointReader { opening: Some(Vec::new()), line: Line::Field(0), after_cr: false }
    }

    /// Takes the next bytes of the stream. What comes before the `endpoint` event says
    /// nothing and is dropped.
    ///
    /// # Errors
    /// [`EndpointError`] when nothing of this chunk may leave, and nothing after it.
    pub fn push<'c>(
        &mut self,
        chunk: &'c [u8],
        endpoint: &MessageEndpoint,
    ) -> Result<Opened<'c>, EndpointError> {
        let mut rest = chunk;
        let mut session = None;
        while let (Some(held), Some((&byte, after))) = (&mut self.opening, rest.split_first()) {
            rest = after;
            if held.len() >= MAX_OPENING {
                return Err(EndpointError::TooLarge);
            }
            held.push(byte);
            let ends_event = self.line == Line::Field(0) && ends_line(byte);
            let ends_crlf = byte == b'\n' && self.after_cr;
            self.line = if ends_line(byte) { Line::Field(0) } else { Line::Data };
            self.after_cr = byte == b'\r';
            if !ends_event || ends_crlf {
                continue;
            }
            let event = std::mem::take(held);
            if let Some(url) = announced(&event)? {
                session = Some(endpoint.session(&url).ok_or(EndpointError::Elsewhere)?);
                self.opening = None;
            }
        }
        for &byte in rest {
            self.watch(byte)?;
        }
        Ok(Opened { session, messages: rest })
    }

    fn watch(&mut self, byte: u8) -> Result<(), EndpointError> {
        let starts = |word: &[u8], read: usize| word.get(read) == Some(&byte.to_ascii_lowercase());
        self.line = match self.line {
            _ if ends_line(byte) => Line::Field(0),
            Line::Data => Line::Data,
            Line::Field(read) if DATA.get(read) == Some(&byte) => {
                Line::Field(read.saturating_add(1))
            }
            Line::Field(read) if read == DATA.len() && byte == b':' => Line::Data,
            Line::Other(read) if starts(ENDPOINT, read) => Line::Other(read.saturating_add(1)),
            Line::Field(_) | Line::Other(_) => Line::Other(usize::from(starts(ENDPOINT, 0))),
        };
        if self.line == Line::Other(ENDPOINT.len()) { Err(EndpointError::Repeated) } else { Ok(()) }
    }
}

impl Default for EndpointReader {
    fn default() -> Self {
        EndpointReader::new()
    }
}

/// The URL that an event announces; `None` for an event without data, which nobody is told of.
fn announced(event: &[u8]) -> Result<Option<String>, EndpointError> {
    let text = std::str::from_utf8(event).map_err(|_| EndpointError::NotFirst)?;
    // A byte order mark may begin the stream.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let fields = || {
        let lines = text.split(['\r', '\n']).filter(|line| !line.is_empty());
        lines.map(|line| line.split_once(':').unwrap_or((line, "")))
    };
    let values = |name| {
        let values = fields().filter(move |(field, _)| *field == name);
        values.map(|(_, value)| value.strip_prefix(' ').unwrap_or(value)).collect::<Vec<_>>()
    };
    match (values("event").as_slice(), values("data").as_slice()) {
        (_, []) => Ok(None),
        (["endpoint"], [url]) => Ok(Some((*url).to_owned())),
        _ => Err(EndpointError::NotFirst),
    }
}

fn ends_line(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests may panic")]

    use super::*;

    fn messages() -> MessageEndpoint {
        MessageEndpoint {
            path: "/docs/messages".to_owned(),
            announced_path: "/messages".to_owned(),
            origin: "https://mcp.example".to_owned(),
        }
    }

    /// The session that a stream in chunks of `size` bytes begins with, and what follows.
    fn read(stream: &str, size: usize) -> Result<(Option<String>, String), EndpointError> {
        let mut reader = EndpointReader::new();
        let (mut session, mut rest) = (None, Vec::new());
        for chunk in stream.as_bytes().chunks(size) {
            let opened = reader.push(chunk, &messages())?;
            session = session.or(opened.session);
            rest.extend_from_slice(opened.messages);
        }
        Ok((session, String::from_utf8(rest).unwrap()))
    }

    fn announces(url: &str) -> Result<Option<String>, EndpointError> {
        read(&format!("event: endpoint\ndata: {url}\n\n"), 64).map(|(session, _)| session)
    }

    #[test]
    fn the_first_event_names_the_session_however_it_is_cut() {
        for end in ["\n", "\r", "\r\n"] {
            for lines in [
                vec!["event: endpoint", "data: /messages?sessionId=1", "", ""],
                vec!["data:/messages?sessionId=1", "id: 7", "event:endpoint", "retry: 1", "", ""],
                vec![
                    ": hello",
                    "",
                    "event: endpoint",
                    "",
                    ": ping",
                    "event: endpoint",
                    "data: /messages?sessionId=1",
                    "",
                    "",
                ],
                vec!["\u{feff}event: endpoint", "data: /messages?sessionId=1", "", ""],
            ] {
                let rest =
                    ["event: message", "data: {\"event\":\"endpoint\"}", "", ": end", "", ""]
                        .join(end);
                let stream = lines.join(end) + &rest;
                for size in 1..=stream.len() {
                    let (session, passed) = read(&stream, size).unwrap();
                    assert_eq!(session.as_deref(), Some("sessionId=1"), "{stream:?} {size}");
                    // After a CRLF's CR the event is complete; its LF follows as it came.
                    assert_eq!(passed.strip_prefix('\n').unwrap_or(&passed), rest, "{size}");
                }
            }
        }
    }

    #[test]
    fn mcp_2024_11_05_the_endpoint_event_comes_first_and_once() {
        for stream in [
            "data: {}\n\nevent: endpoint\ndata: /messages?s=1\n\n",
            "event: message\ndata: {}\n\n",
            "event: endpoint\nevent: message\ndata: /messages?s=1\n\n",
            "event: message\nevent: endpoint\ndata: /messages?s=1\n\n",
            "event:  endpoint\ndata: /messages?s=1\n\n",
            "Event: endpoint\ndata: /messages?s=1\n\n",
            "event: endpoint\ndata: /messages?s=1\ndata: x\n\n",
            "event: endpoint\ndata: /messages?s=1\ndata\n\n",
        ] {
            assert_eq!(read(stream, 5), Err(EndpointError::NotFirst), "{stream:?}");
        }
        assert_eq!(
            EndpointReader::new().push(b"\xff\n\n", &messages()),
            Err(EndpointError::NotFirst)
        );
        assert_eq!(read(&":".repeat(MAX_OPENING + 1), 1000), Err(EndpointError::TooLarge));

        let first = "event: endpoint\ndata: /messages?s=1\n\n";
        for second in [
            "event: endpoint\ndata: /evil\n\n",
            "data: /evil\nevent:endpoint\n\n",
            "event: endpoint\revent: message\rdata: x\r\r",
            // Clients that take away white space, or fold case, or break lines elsewhere.
            "event:\t endpoint \ndata: /evil\n\n",
            " Event : ENDPOINT\ndata: /evil\n\n",
            ": \u{2028}event: endpoint\u{2028}data: /evil\n\n",
            "dataevent: endpoint\n",
            "data\nevent: eendpoint\n",
            "id: endpoendpoint",
        ] {
            for size in 1..=first.len() + second.len() {
                let told = read(&format!("{first}{second}"), size);
                assert_eq!(told, Err(EndpointError::Repeated), "{second:?} {size}");
            }
        }
        for other in
            ["data: endpoint\n", "data\n\n", "event: endpoin\nt: \n\n", "d\n", ": end point\n"]
        {
            let (_, passed) = read(&format!("{first}{other}"), 3).unwrap();
            assert_eq!(passed, other);
        }
    }

    #[test]
    fn only_the_configured_url_is_announced_and_only_its_query_counts() {
        let longest = format!("s={}", "x".repeat(1900));
        for (url, session) in [
            ("/messages?sessionId=a-b", "sessionId=a-b"),
            ("/messages?session_id=1&x=%2F?/", "session_id=1&x=%2F?/"),
            ("https://mcp.example/messages?s=1", "s=1"),
            ("https://MCP.example:443/messages?s=1", "s=1"),
            (&format!("/messages?{longest}"), &longest),
        ] {
            assert_eq!(announces(url), Ok(Some(session.to_owned())), "{url}");
        }
        for url in [
            "",
            "messages?s=1",
            "?s=1",
            "//evil.example/messages?s=1",
            "/\\evil.example/messages?s=1",
            "https://evil.example/messages?s=1",
            "http://mcp.example/messages?s=1",
            "https://mcp.example:8443/messages?s=1",
            "https://user@mcp.example/messages?s=1",
            "https://mcp.example@evil.example/messages?s=1",
            "@evil.example/messages?s=1",
            "javascript:alert(1)",
            "/messages",
            "/messages?",
            "/messages/?s=1",
            "/Messages?s=1",
            "/x/../messages?s=1",
            "/%6dessages?s=1",
            "/docs/messages?s=1",
            "/other?s=1",
            "/messages?s=1#x",
            "/messages?s=1 2",
            "/messages?s=\u{e9}",
            " /messages?s=1",
            "/mes\tsages?s=1",
            &format!("/messages?s={}", "x".repeat(2048)),
        ] {
            assert_eq!(announces(url), Err(EndpointError::Elsewhere), "{url}");
        }
    }

    #[test]
    fn a_url_of_ours_is_read_as_it_was_made() {
        let event = String::from_utf8(messages().event("c2VhbA")).unwrap();
        assert_eq!(event, "event: endpoint\ndata: /docs/messages?sessionId=c2VhbA\n\n");
        assert_eq!(MessageEndpoint::sealed("sessionId=c2VhbA"), "c2VhbA");
        for other in ["", "sessionId", "session_id=1", "x=1&sessionId=1", "%73essionId=1"] {
            assert_eq!(MessageEndpoint::sealed(other), "");
        }
        assert_eq!(messages().target("sessionId=1"), "/docs/messages?sessionId=1");
    }
}
