//! The way back: what the MCP server answers, and which of it the caller may see.

use std::rc::Rc;
use std::time::Duration;

use super::event::{Buffer, Effects, Flow};
use super::headers::{HeaderEdit, Headers, essence};
use super::server::Server;
use crate::mcp::{
    Asked, Expected, Feature, Filtered, Id, ListError, ListKind, MAX_EVENT_LEN, SseFilter, Target,
    View, filter_answer,
};
use crate::reply::{Code, Denial, error_body};
use crate::token::{AccessToken, Verified};

/// Largest list response that is read, in bytes. The whole of it is in memory twice.
pub(super) const MAX_LIST: usize = MAX_EVENT_LEN;

/// What is done with the response to an allowed request.
#[derive(Debug)]
pub(super) enum Relay {
    /// Nothing.
    Pass,
    /// A list may be in it, and is cut to what its reader may use.
    Filter { viewer: Viewer, lists: Lists },
    /// The filter works on the body.
    Filtering { viewer: Viewer, lists: Lists, framing: Framing },
    /// The response was refused in the middle; the rest of it is dropped.
    Swallow,
}

/// For whom a list is filtered.
#[derive(Debug, Clone)]
pub(super) struct Viewer {
    pub(super) server: Rc<Server>,
    pub(super) caller: Rc<Verified<AccessToken>>,
}

/// Which lists a response may hold.
#[derive(Debug, Clone)]
pub(super) enum Lists {
    /// The one that was asked for.
    Asked { kind: ListKind, id: Id },
    /// Any: a legacy GET stream replays what a lost stream had (`Last-Event-ID`), and
    /// within a session an answer may come on the stream of another request.
    Replayed,
}

/// How the messages are framed.
#[derive(Debug)]
pub(super) enum Framing {
    /// The body is one JSON document.
    Json,
    /// The body is an event stream.
    Sse(Box<SseFilter>),
}

/// A response that cannot be passed on.
pub(super) struct Refused {
    pub(super) denial: Denial,
    pub(super) effects: Effects,
}

impl Relay {
    /// Looks at the response's headers.
    pub(super) fn on_headers(
        self,
        headers: &Headers,
        end: bool,
        from_upstream: &dyn Fn() -> bool,
    ) -> Result<(Self, Effects), Denial> {
        let go_on = Effects { flow: Flow::Continue, ..Effects::default() };
        let Relay::Filter { viewer, lists } = self else { return Ok((self, go_on)) };
        let status = headers.informative(":status").and_then(|status| status.parse::<u16>().ok());
        let is_error = status.is_some_and(|status| status >= 400);
        // An error of the proxy's own (a timeout, say) may be JSON and is no message of MCP.
        if end || (is_error && !from_upstream()) {
            return Ok((Relay::Pass, go_on));
        }
        let content_type = headers.informative("content-type").map(essence).unwrap_or_default();
        let framing = match content_type.as_str() {
            "application/json" => Framing::Json,
            "text/event-stream" => Framing::Sse(Box::new(SseFilter::new(lists.expected()))),
            // An error in plain text, say: no client reads a list out of it.
            _ if is_error => return Ok((Relay::Pass, go_on)),
            _ => return Err(unreadable("a list of neither JSON nor SSE media type")),
        };
        if headers.has("content-encoding")
            && headers.informative("content-encoding") != Some("identity")
        {
            return Err(unreadable("a list with a content coding"));
        }
        // Its length changes, and it is no longer the bytes the server vouched for.
        let stale = ["content-length", "etag", "digest", "content-digest", "content-md5"];
        let response_headers = stale
            .iter()
            .filter(|name| headers.has(name))
            .map(|name| HeaderEdit::Remove((*name).to_owned()))
            .collect();
        let relay = Relay::Filtering { viewer, lists, framing };
        Ok((relay, Effects { response_headers, ..go_on }))
    }

    /// Looks at the response's body.
    pub(super) fn on_body(self, body: &dyn Buffer, end: bool) -> (Self, Result<Effects, Refused>) {
        let go_on = Effects { flow: Flow::Continue, ..Effects::default() };
        match self {
            Relay::Filtering { viewer, lists, framing: Framing::Json } => {
                if !end && body.size() <= MAX_LIST {
                    let wait = Effects { flow: Flow::Pause, ..Effects::default() };
                    return (Relay::Filtering { viewer, lists, framing: Framing::Json }, Ok(wait));
                }
                match filter_document(body, &lists, &viewer) {
                    Ok(response_body) => (Relay::Pass, Ok(Effects { response_body, ..go_on })),
                    Err(reason) => (Relay::Swallow, Err(refuse(&lists, &Framing::Json, &reason))),
                }
            }
            Relay::Filtering { viewer, lists, framing: Framing::Sse(mut filter) } => {
                let filtered = read(body).and_then(|chunk| {
                    filter.push(&chunk, end, &viewer).map_err(|error| error.to_string())
                });
                let framing = Framing::Sse(filter);
                match filtered {
                    Ok(out) => {
                        let effects = Effects { response_body: Some(out), ..go_on };
                        (Relay::Filtering { viewer, lists, framing }, Ok(effects))
                    }
                    Err(reason) => {
                        let refused = refuse(&lists, &framing, &reason);
                        (Relay::Swallow, Err(refused))
                    }
                }
            }
            Relay::Swallow => {
                (Relay::Swallow, Ok(Effects { response_body: Some(Vec::new()), ..go_on }))
            }
            // A body whose headers never came: the host is not behaving, so nothing passes.
            Relay::Filter { lists, .. } => {
                let refused = refuse(&lists, &Framing::Json, "a body without headers");
                (Relay::Swallow, Err(refused))
            }
            Relay::Pass => (Relay::Pass, Ok(go_on)),
        }
    }
}

impl View for Viewer {
    fn permits(&self, target: &Target) -> bool {
        self.server.policy.decide_target(&self.caller, target).is_allow()
    }

    fn offers(&self, _feature: Feature) -> bool {
        true
    }

    fn token_life(&self) -> Duration {
        Duration::MAX
    }
}

impl Lists {
    fn expected(&self) -> Expected<'_> {
        match self {
            Lists::Asked { kind, id } => Expected::For { asked: Asked::List(*kind), id },
            Lists::Replayed => Expected::Any,
        }
    }
}

/// The filtered document; `None` when nothing was to be removed.
fn filter_document(
    body: &dyn Buffer,
    lists: &Lists,
    viewer: &Viewer,
) -> Result<Option<Vec<u8>>, String> {
    if body.size() > MAX_LIST {
        return Err(ListError::TooLarge.to_string());
    }
    let document = read(body)?;
    match filter_answer(&document, lists.expected(), viewer) {
        Ok(Filtered::Unchanged) => Ok(None),
        Ok(Filtered::Changed(filtered)) => Ok(Some(filtered)),
        Err(error) => Err(error.to_string()),
    }
}

fn read(body: &dyn Buffer) -> Result<Vec<u8>, String> {
    if body.size() == 0 {
        return Ok(Vec::new());
    }
    body.read().ok_or_else(|| "the host did not give the body".to_owned())
}

/// The headers are out already, so the refusal goes in the body: as the JSON-RPC error
/// that answers the request, in the framing the client expects.
fn refuse(lists: &Lists, framing: &Framing, reason: &str) -> Refused {
    let id = match lists {
        Lists::Asked { id, .. } => Some(id),
        Lists::Replayed => None,
    };
    let error = error_body(id, &Code::ListUnreadable.rpc_error());
    let body = match framing {
        Framing::Json => error,
        Framing::Sse(_) => [b"data: ".as_slice(), &error, b"\n\n"].concat(),
    };
    Refused {
        denial: unreadable(reason),
        effects: Effects { response_body: Some(body), flow: Flow::Continue, ..Effects::default() },
    }
}

fn unreadable(reason: &str) -> Denial {
    Denial::new(Code::ListUnreadable, reason)
}
