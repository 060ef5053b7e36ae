//! The way back: what the MCP server answers, and which of it the caller may see.
//!
//! An answer that shows what there is (a list, capabilities) is withheld until it is whole
//! and cut to what its reader may use, in event streams event by event. Every other answer
//! leaves as it comes; where it could hold what was not asked for, it is read along.

use std::rc::Rc;
use std::time::Duration;

use super::event::{Buffer, Effects, Flow};
use super::headers::{HeaderEdit, Headers, essence};
use super::http_sse;
use super::server::{Server, TaskBinding};
use super::standing::Standing;
use crate::host::Host;
use crate::mcp::{
    AnswerWatch, Asked, Era, Expected, Feature, Filtered, Framing, Id, ListError, MAX_EVENT_LEN,
    Principal, SessionSeals, SseFilter, Target, UnaskedLists, View, filter_answer, tasks,
};
use crate::reply::{Code, Denial, error_body};

/// Largest list response that is read, in bytes. The whole of it is in memory twice.
pub(super) const MAX_LIST: usize = MAX_EVENT_LEN;

/// What is done with the response to an allowed request.
#[derive(Debug)]
pub(super) enum Relay {
    /// Nothing.
    Pass,
    /// Its body is to be read.
    Read { viewer: Viewer, reading: Reading },
    /// A list in a JSON document, which is withheld.
    Document { viewer: Viewer, reading: Reading },
    /// Lists in an event stream.
    Events { viewer: Viewer, reading: Reading, filter: Box<SseFilter>, watch: AnswerWatch },
    /// What leaves as it comes.
    Watched { viewer: Viewer, reading: Reading, framing: Framing, watch: AnswerWatch, begun: bool },
    /// The stream of a session of HTTP+SSE.
    HttpSse { viewer: Viewer, stream: Box<http_sse::Stream> },
    /// The response was refused in the middle; the rest of it is dropped.
    Swallow,
}

/// For whom a response is read.
#[derive(Debug, Clone)]
pub(super) struct Viewer {
    pub(super) server: Rc<Server>,
    pub(super) standing: Standing,
    pub(super) owner: Principal,
    pub(super) era: Era,
}

/// What a response is read for.
#[derive(Debug, Clone)]
pub(super) enum Reading {
    /// The answer that was asked for shows what there is.
    Asked { asked: Asked, id: Id },
    /// A client resumes a stream that it lost (`Last-Event-ID`): any answer may come again.
    Replayed,
    /// Something else was asked for. Servers find the stream of an answer by its JSON-RPC id,
    /// so within a session the list that another request asked for may come on this one; and
    /// a call may be answered with a task.
    Watched { id: Option<Id> },
    /// A session of HTTP+SSE is opened, whose URL is to be sealed.
    Opens(Rc<SessionSeals>),
    /// The answer comes on the stream of HTTP+SSE, and here only that it will.
    Accepted { id: Option<Id> },
}

/// A response that cannot be passed on.
pub(super) struct Refused {
    pub(super) denial: Denial,
    /// What the client is still told; `None` where it only learns of it by the response's end.
    pub(super) effects: Option<Effects>,
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
        let Relay::Read { viewer, reading } = self else { return Ok((self, go_on)) };
        let status = headers.informative(":status").and_then(|status| status.parse::<u16>().ok());
        let is_error = status.is_some_and(|status| status >= 400);
        let is_accepted = matches!(reading, Reading::Accepted { .. }) && !is_error;
        // An error of the proxy's own (a timeout, say) may be JSON and is no message of MCP.
        if (end && !is_accepted) || (is_error && !from_upstream()) {
            return Ok((Relay::Pass, go_on));
        }
        // What notifications and posted responses are accepted with. There is no body, though the
        // end of the stream may come after the headers, as from the TypeScript SDK: none passes.
        // Servers of HTTP+SSE have other ways to say so, and one of them is to answer here as
        // well. A redirect would tell the server's own session.
        if status == Some(202) || is_accepted {
            let names: &[_] =
                if is_accepted { &["content-length", "location"] } else { &["content-length"] };
            let response_headers = names.iter().map(|name| remove(name)).collect();
            return Ok((Relay::Swallow, Effects { response_headers, ..go_on }));
        }
        let content_type = headers.informative("content-type").map(essence).unwrap_or_default();
        let framing = match content_type.as_str() {
            "application/json" => Framing::Json,
            "text/event-stream" => Framing::Sse,
            // An error in plain text, say: no client reads a list out of it.
            _ if is_error => return Ok((Relay::Pass, go_on)),
            _ => return Err(unreadable("an answer of neither JSON nor SSE media type")),
        };
        if headers.has("content-encoding")
            && headers.informative("content-encoding") != Some("identity")
        {
            return Err(unreadable("an answer with a content coding"));
        }
        // No client takes a list out of an error, whose own form is its reader's business. So it
        // passes as it is, unless there is one in it all the same.
        let reading = if is_error { Reading::Watched { id: reading.id() } } else { reading };
        if matches!(reading, Reading::Opens(_)) && framing != Framing::Sse {
            return Err(unreadable("no stream where HTTP+SSE begins with one"));
        }
        let relay = Relay::reading(viewer, reading, framing);
        let response_headers =
            relay.outdated().iter().filter(|name| headers.has(name)).map(|name| remove(name));
        let effects = Effects { response_headers: response_headers.collect(), ..go_on };
        Ok((relay, effects))
    }

    fn reading(viewer: Viewer, reading: Reading, framing: Framing) -> Self {
        match (&reading, framing) {
            (Reading::Watched { .. }, _) => {
                let watch = AnswerWatch::new(framing, UnaskedLists::Refused);
                Relay::Watched { viewer, reading, framing, watch, begun: false }
            }
            (Reading::Opens(seals), _) => {
                let stream = Box::new(http_sse::Stream::new(Rc::clone(seals)));
                Relay::HttpSse { viewer, stream }
            }
            (_, Framing::Json) => Relay::Document { viewer, reading },
            (_, Framing::Sse) => {
                let filter = Box::new(SseFilter::new(reading.expected()));
                let watch = AnswerWatch::new(framing, UnaskedLists::Passed);
                Relay::Events { viewer, reading, filter, watch }
            }
        }
    }

    /// Headers that may no longer be true of the body.
    fn outdated(&self) -> &'static [&'static str] {
        match self {
            Relay::Document { .. } | Relay::Events { .. } | Relay::HttpSse { .. } => {
                // Its length changes, and it is no longer the bytes the server vouched for.
                &["content-length", "etag", "digest", "content-digest", "content-md5"]
            }
            // It may be cut off, and nobody is to wait for the rest.
            Relay::Watched { .. } => &["content-length"],
            Relay::Pass | Relay::Read { .. } | Relay::Swallow => &[],
        }
    }

    /// Looks at the response's body.
    pub(super) fn on_body(
        self,
        body: &dyn Buffer,
        end: bool,
        host: &dyn Host,
    ) -> (Self, Result<Effects, Refused>) {
        let go_on = Effects { flow: Flow::Continue, ..Effects::default() };
        match self {
            Relay::Document { viewer, reading } => {
                if !end && body.size() <= MAX_LIST {
                    let wait = Effects { flow: Flow::Pause, ..Effects::default() };
                    return (Relay::Document { viewer, reading }, Ok(wait));
                }
                match filter_document(body, &reading, &viewer, host) {
                    Ok(response_body) => (Relay::Pass, Ok(Effects { response_body, ..go_on })),
                    Err(reason) => (Relay::Swallow, Err(refuse(&reading, Framing::Json, &reason))),
                }
            }
            Relay::Events { viewer, reading, mut filter, mut watch } => {
                let filtered = read(body).and_then(|chunk| {
                    viewer.bind_tasks(&mut watch, &chunk, host).map_err(|e| e.to_string())?;
                    filter.push(&chunk, end, &viewer.with(host)).map_err(|e| e.to_string())
                });
                match filtered {
                    Ok(out) => {
                        let effects = Effects { response_body: Some(out), ..go_on };
                        (Relay::Events { viewer, reading, filter, watch }, Ok(effects))
                    }
                    Err(reason) => (Relay::Swallow, Err(refuse(&reading, Framing::Sse, &reason))),
                }
            }
            Relay::Watched { viewer, reading, framing, mut watch, begun } => {
                let watched = read(body).and_then(|chunk| {
                    viewer.bind_tasks(&mut watch, &chunk, host).map_err(|e| e.to_string())
                });
                match watched {
                    Ok(()) => {
                        let begun = begun || body.size() > 0;
                        (Relay::Watched { viewer, reading, framing, watch, begun }, Ok(go_on))
                    }
                    // Half a message is out already, and what follows would belong to it.
                    Err(reason) if begun => {
                        let effects = Effects { response_body: Some(Vec::new()), ..go_on };
                        let denial = unreadable(&reason);
                        (Relay::Swallow, Err(Refused { denial, effects: Some(effects) }))
                    }
                    Err(reason) => (Relay::Swallow, Err(refuse(&reading, framing, &reason))),
                }
            }
            Relay::HttpSse { viewer, mut stream } => {
                let passed = read(body)
                    .map_err(|reason| unreadable(&reason))
                    .and_then(|chunk| stream.push(&chunk, end, &viewer, host));
                match passed {
                    Ok(out) => {
                        let effects = Effects { response_body: Some(out), ..go_on };
                        (Relay::HttpSse { viewer, stream }, Ok(effects))
                    }
                    // Its client waits for answers that nothing brings any more.
                    Err(denial) => (Relay::Swallow, Err(Refused { denial, effects: None })),
                }
            }
            Relay::Swallow => {
                (Relay::Swallow, Ok(Effects { response_body: Some(Vec::new()), ..go_on }))
            }
            // A body whose headers never came: the host is not behaving, so nothing passes.
            Relay::Read { reading, .. } => {
                let refused = refuse(&reading, Framing::Json, "a body without headers");
                (Relay::Swallow, Err(refused))
            }
            Relay::Pass => (Relay::Pass, Ok(go_on)),
        }
    }

    /// The server's session of HTTP+SSE, told once when it has begun.
    pub(super) fn take_begun(&mut self) -> Option<String> {
        match self {
            Relay::HttpSse { stream, .. } => stream.begun.take(),
            _ => None,
        }
    }
}

impl Viewer {
    /// Reads along, and remembers whose the tasks are that calls were answered with. One that
    /// cannot be remembered is nobody's.
    pub(super) fn bind_tasks(
        &self,
        watch: &mut AnswerWatch,
        chunk: &[u8],
        host: &dyn Host,
    ) -> Result<(), ListError> {
        let made = watch.push(chunk)?;
        if self.server.binds_tasks() {
            for task in made {
                let _ = tasks::bind(&task, &self.server.resource, &self.owner, host);
            }
        }
        Ok(())
    }

    /// What it sees with a clock and the register of tasks.
    pub(super) fn with<'v>(&'v self, host: &'v dyn Host) -> impl View {
        Sight { viewer: self, host }
    }
}

struct Sight<'v> {
    viewer: &'v Viewer,
    host: &'v dyn Host,
}

impl View for Sight<'_> {
    /// The same decision as for a call.
    fn permits(&self, target: &Target) -> bool {
        let Viewer { server, standing, owner, .. } = self.viewer;
        match target {
            Target::Task(id) => match server.task_binding {
                TaskBinding::Upstream => true,
                TaskBinding::Proxy => {
                    tasks::is_owned(id, &server.resource, owner, self.host).unwrap_or(false)
                }
            },
            target => standing.policy.shows(&standing.identity(), target),
        }
    }

    fn offers(&self, feature: Feature) -> bool {
        let policy = &self.viewer.standing.policy;
        match feature {
            Feature::Tools => policy.names_tools(),
            Feature::Prompts => policy.names_prompts(),
            Feature::Resources => policy.names_resources(),
            Feature::Completions => policy.names_prompts() || policy.names_resources(),
            // In 2026-07-28 a request says in its `_meta` what it wants logged.
            Feature::Logging => {
                self.viewer.era == Era::Modern || policy.allows_method("logging/setLevel")
            }
            Feature::Tasks => policy.allows_tasks(),
            Feature::TasksList => policy.allows_method("tasks/list"),
            Feature::TasksCancel => policy.allows_method("tasks/cancel"),
        }
    }

    fn token_life(&self) -> Duration {
        let left = self.viewer.standing.token.expires_at.duration_since(self.host.now());
        left.unwrap_or(Duration::ZERO)
    }
}

impl Reading {
    /// The id of the request that is answered.
    fn id(&self) -> Option<Id> {
        match self {
            Reading::Asked { id, .. } => Some(id.clone()),
            Reading::Watched { id } | Reading::Accepted { id } => id.clone(),
            Reading::Replayed | Reading::Opens(_) => None,
        }
    }

    fn expected(&self) -> Expected<'_> {
        match self {
            Reading::Asked { asked, id } => Expected::For { asked: *asked, id },
            Reading::Replayed
            | Reading::Watched { .. }
            | Reading::Opens(_)
            | Reading::Accepted { .. } => Expected::Any,
        }
    }
}

/// The filtered document; `None` when nothing was to be removed.
fn filter_document(
    body: &dyn Buffer,
    reading: &Reading,
    viewer: &Viewer,
    host: &dyn Host,
) -> Result<Option<Vec<u8>>, String> {
    if body.size() > MAX_LIST {
        return Err(ListError::TooLarge.to_string());
    }
    let document = read(body)?;
    match filter_answer(&document, reading.expected(), &viewer.with(host)) {
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
fn refuse(reading: &Reading, framing: Framing, reason: &str) -> Refused {
    let error = error_body(reading.id().as_ref(), &Code::ListUnreadable.rpc_error());
    let body = match framing {
        Framing::Json => error,
        Framing::Sse => [b"data: ".as_slice(), &error, b"\n\n"].concat(),
    };
    Refused {
        denial: unreadable(reason),
        effects: Some(Effects {
            response_body: Some(body),
            flow: Flow::Continue,
            ..Effects::default()
        }),
    }
}

fn remove(name: &str) -> HeaderEdit {
    HeaderEdit::Remove(name.to_owned())
}

fn unreadable(reason: &str) -> Denial {
    Denial::new(Code::ListUnreadable, reason)
}
