//! Serving the HTTP+SSE transport of 2024-11-05: a stream that a GET opens, and messages that
//! are posted to a URL it names, which is answered on the stream.

use std::rc::Rc;

use super::relay::Viewer;
use crate::host::Host;
use crate::mcp::{
    AnswerWatch, EndpointReader, Expected, Framing, ListError, MessageEndpoint, Opened,
    SessionSeals, SseFilter, UnaskedLists,
};
use crate::reply::{Code, Denial};
use crate::token::DpopPolicy;

/// How a server serves the transport.
#[derive(Debug)]
pub struct HttpSse {
    /// Where messages go.
    pub endpoint: MessageEndpoint,
    /// What the server demands of proofs, which name the URL of messages.
    pub dpop: DpopPolicy,
}

/// Which transport a request is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    /// Every other revision's.
    StreamableHttp,
    /// That of 2024-11-05.
    HttpSse,
}

/// The stream on which a session is answered.
#[derive(Debug)]
pub(super) struct Stream {
    seals: Rc<SessionSeals>,
    endpoint: EndpointReader,
    /// Any list may come on it: requests are told from each other by their ids alone.
    filter: SseFilter,
    watch: AnswerWatch,
    /// The server's session, when it has begun and until somebody takes note.
    pub(super) begun: Option<String>,
}

impl Stream {
    /// A stream of which nothing came yet.
    pub(super) fn new(seals: Rc<SessionSeals>) -> Self {
        Stream {
            seals,
            endpoint: EndpointReader::new(),
            filter: SseFilter::new(Expected::Any),
            watch: AnswerWatch::new(Framing::Sse, UnaskedLists::Passed),
            begun: None,
        }
    }

    /// Takes the next bytes from the server and returns those that may go on.
    ///
    /// # Errors
    /// A denial when nothing of them may go on, and nothing after them.
    pub(super) fn push(
        &mut self,
        chunk: &[u8],
        end: bool,
        viewer: &Viewer,
        host: &dyn Host,
    ) -> Result<Vec<u8>, Denial> {
        let Some(HttpSse { endpoint, .. }) = &viewer.server.http_sse else {
            return Err(unusable("the server has no such transport"));
        };
        let Opened { session, messages } =
            self.endpoint.push(chunk, endpoint).map_err(|error| unusable(error.to_string()))?;
        let mut out = Vec::new();
        if let Some(session) = session {
            let sealed = self.seals.seal(&session, &viewer.owner, host);
            let sealed = sealed
                .map_err(|_| Denial::new(Code::HostFailure, "the host has no key for sessions"))?
                .ok_or_else(|| unusable("the endpoint's query cannot be sealed"))?;
            out = endpoint.event(&sealed);
            self.begun = Some(session);
        }
        let unreadable = |error: ListError| Denial::new(Code::ListUnreadable, error.to_string());
        viewer.bind_tasks(&mut self.watch, messages, host).map_err(unreadable)?;
        out.extend(self.filter.push(messages, end, &viewer.with(host)).map_err(unreadable)?);
        Ok(out)
    }
}

fn unusable(reason: impl Into<String>) -> Denial {
    Denial::new(Code::SessionUnusable, reason)
}
