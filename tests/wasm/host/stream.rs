//! One HTTP stream through the filter, as Envoy's filter manager runs it.

use super::state::{Deferred, Direction, HostFlag, Progress, StreamState};
use super::wire::{Event, Headers, Wire};
use super::{Inner, Vm};
use std::collections::BTreeMap;

/// What one step of a stream came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The callback returned `Continue`.
    Continue,
    /// The callback returned `Pause`.
    Pause,
    /// A local reply was made; what the callback returned does not count.
    Replied,
    /// There was no callback: the host holds everything back, or the stream is closed.
    NotCalled,
    /// The callback trapped, or the instance had trapped before.
    Trapped,
}

/// A callback with its arguments, to be driven out of order: see [`Stream::drive`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Callback {
    RequestHeaders { count: u32, end: bool },
    RequestBody { size: u32, end: bool },
    RequestTrailers { count: u32 },
    ResponseHeaders { count: u32, end: bool },
    ResponseBody { size: u32, end: bool },
    ResponseTrailers { count: u32 },
    Done,
    Log,
    Delete,
}

/// A request and its response.
///
/// The methods of one direction are called in the order of HTTP: headers, body chunks,
/// trailers; `end` ends the message. [`Stream::drive`] is for all other orders.
#[derive(Clone)]
pub(crate) struct Stream {
    vm: Vm,
    id: u32,
}

impl Stream {
    pub(super) fn new(vm: Vm, id: u32) -> Self {
        Self { vm, id }
    }

    /// The client's header list arrives.
    pub(crate) fn request_headers<N: AsRef<str>, V: AsRef<[u8]>>(
        &self,
        headers: impl IntoIterator<Item = (N, V)>,
        end: bool,
    ) -> Outcome {
        self.vm.inner().headers(self.id, Direction::Request, Headers::new(headers), end)
    }

    /// A piece of the client's body arrives.
    pub(crate) fn request_body(&self, chunk: impl AsRef<[u8]>, end: bool) -> Outcome {
        self.vm.inner().body(self.id, Direction::Request, chunk.as_ref(), end)
    }

    /// The client's trailers arrive, which end the request.
    pub(crate) fn request_trailers<N: AsRef<str>, V: AsRef<[u8]>>(
        &self,
        trailers: impl IntoIterator<Item = (N, V)>,
    ) -> Outcome {
        self.vm.inner().trailers(self.id, Direction::Request, Headers::new(trailers))
    }

    /// The server's header list arrives.
    pub(crate) fn response_headers<N: AsRef<str>, V: AsRef<[u8]>>(
        &self,
        headers: impl IntoIterator<Item = (N, V)>,
        end: bool,
    ) -> Outcome {
        let mut inner = self.vm.inner();
        inner.state().stream(self.id).code_details = Some("via_upstream".to_owned());
        inner.headers(self.id, Direction::Response, Headers::new(headers), end)
    }

    /// A piece of the server's body arrives.
    pub(crate) fn response_body(&self, chunk: impl AsRef<[u8]>, end: bool) -> Outcome {
        self.vm.inner().body(self.id, Direction::Response, chunk.as_ref(), end)
    }

    /// The server's trailers arrive, which end the response.
    pub(crate) fn response_trailers<N: AsRef<str>, V: AsRef<[u8]>>(
        &self,
        trailers: impl IntoIterator<Item = (N, V)>,
    ) -> Outcome {
        self.vm.inner().trailers(self.id, Direction::Response, Headers::new(trailers))
    }

    /// Envoy or another filter answers by itself (413, 504): it passes through the
    /// module's response callbacks, with these `response.code_details`.
    pub(crate) fn foreign_reply(&self, status: u16, details: &str, body: &str) {
        self.vm.inner().reply(
            self.id,
            status.into(),
            details,
            Headers::default(),
            body.as_bytes().to_vec(),
        );
    }

    /// Runs the access log callback.
    pub(crate) fn log(&self) {
        let mut inner = self.vm.inner();
        inner.state().stream(self.id).logging = true;
        inner.call::<_, ()>("proxy_on_log", self.id, self.id);
        inner.state().stream(self.id).logging = false;
        inner.run_deferred(None);
    }

    /// Runs the done callback; false asks the host to wait for `proxy_done`.
    pub(crate) fn done(&self) -> bool {
        self.vm.inner().call::<_, u32>("proxy_on_done", self.id, self.id).unwrap_or(1) != 0
    }

    /// Runs the delete callback. The context is unknown from then on.
    pub(crate) fn delete(&self) {
        let mut inner = self.vm.inner();
        inner.call::<_, ()>("proxy_on_delete", self.id, self.id);
        inner.state().contexts.remove(&self.id);
    }

    /// The client goes away, or all is over: log, done, delete, in Envoy's order.
    pub(crate) fn finish(&self) {
        self.log();
        self.done();
        self.delete();
    }

    /// Calls an export directly, whatever the stream's state. Nothing moves by the
    /// returned action; local replies and resumes take effect.
    pub(crate) fn drive(&self, callback: Callback) -> Outcome {
        use Callback::{
            Delete, Done, Log, RequestBody, RequestHeaders, RequestTrailers, ResponseBody,
            ResponseHeaders, ResponseTrailers,
        };
        let mut inner = self.vm.inner();
        let id = self.id;
        let (name, count, end) = match callback {
            RequestHeaders { count, end } => ("proxy_on_request_headers", count, end),
            RequestBody { size, end } => ("proxy_on_request_body", size, end),
            ResponseHeaders { count, end } => ("proxy_on_response_headers", count, end),
            ResponseBody { size, end } => ("proxy_on_response_body", size, end),
            RequestTrailers { count } => {
                return inner.step(id, "proxy_on_request_trailers", (id, count));
            }
            ResponseTrailers { count } => {
                return inner.step(id, "proxy_on_response_trailers", (id, count));
            }
            Done => {
                let called = inner.call::<_, u32>("proxy_on_done", id, id);
                return called.map_or(Outcome::Trapped, |_| Outcome::NotCalled);
            }
            Log | Delete => {
                let name = if callback == Log { "proxy_on_log" } else { "proxy_on_delete" };
                let called = inner.call::<_, ()>(name, id, id);
                return called.map_or(Outcome::Trapped, |()| Outcome::NotCalled);
            }
        };
        inner.step(id, name, (id, count, u32::from(end)))
    }

    /// What has reached the server.
    pub(crate) fn upstream(&self) -> Wire {
        self.look(|stream| stream.request.out.clone())
    }

    /// What has reached the client.
    pub(crate) fn downstream(&self) -> Wire {
        self.look(|stream| stream.response.out.clone())
    }

    /// Sets a property of this stream; wins over what the host would say.
    pub(crate) fn set_property(&self, path: &[&str], value: impl AsRef<[u8]>) {
        let value = value.as_ref().to_vec();
        self.vm.inner().state().stream(self.id).properties.insert(path.join("\0"), value);
    }

    /// What the module set with `proxy_set_property`: Envoy's filter state `wasm.<name>`.
    pub(crate) fn filter_state(&self) -> BTreeMap<String, Vec<u8>> {
        self.look(|stream| stream.filter_state.clone())
    }

    /// Body bytes come in without a callback, as with a host that ignores the flag.
    pub(crate) fn receive_silently(&self, bytes: usize) {
        self.vm.inner().state().stream(self.id).request.received += bytes;
    }

    fn look<T>(&self, read: impl FnOnce(&StreamState) -> T) -> T {
        read(&self.vm.peek().streams[&self.id])
    }
}

/// The names of a direction's callbacks: headers, body, trailers.
fn names(direction: Direction) -> [&'static str; 3] {
    match direction {
        Direction::Request => {
            ["proxy_on_request_headers", "proxy_on_request_body", "proxy_on_request_trailers"]
        }
        Direction::Response => {
            ["proxy_on_response_headers", "proxy_on_response_body", "proxy_on_response_trailers"]
        }
    }
}

impl Inner {
    fn headers(&mut self, id: u32, direction: Direction, headers: Headers, end: bool) -> Outcome {
        if self.gone(id, direction) {
            return Outcome::NotCalled;
        }
        let flag = self.state().flag;
        let half = self.state().stream(id).half(direction);
        assert_eq!(half.progress, Progress::Idle, "headers arrive once; use `drive`");
        let count = u32::try_from(headers.len()).unwrap();
        half.headers = headers;
        half.ended = end;
        half.progress = match flag {
            HostFlag::Default => Progress::StopAll,
            HostFlag::StopIteration => Progress::StopHeaders,
        };
        let outcome = self.step(id, names(direction)[0], (id, count, u32::from(end)));
        self.settle(id, direction, outcome)
    }

    fn body(&mut self, id: u32, direction: Direction, chunk: &[u8], end: bool) -> Outcome {
        if self.gone(id, direction) {
            return Outcome::NotCalled;
        }
        let half = self.state().stream(id).half(direction);
        assert_ne!(half.progress, Progress::Idle, "headers come first; use `drive`");
        assert!(!half.ended, "the message has ended; use `drive`");
        half.received += chunk.len();
        half.ended = end;
        if half.progress == Progress::StopAll {
            half.unseen.get_or_insert_default().extend(chunk);
            return Outcome::NotCalled;
        }
        self.show_body(id, direction, chunk)
    }

    fn trailers(&mut self, id: u32, direction: Direction, trailers: Headers) -> Outcome {
        if self.gone(id, direction) {
            return Outcome::NotCalled;
        }
        let half = self.state().stream(id).half(direction);
        assert_ne!(half.progress, Progress::Idle, "headers come first; use `drive`");
        assert!(!half.ended, "the message has ended; use `drive`");
        half.ended = true;
        half.trailers = Some(trailers);
        half.trailers_unseen = true;
        if half.progress == Progress::StopAll {
            return Outcome::NotCalled;
        }
        self.show_trailers(id, direction)
    }

    /// A request whose stream was answered locally goes nowhere, and gets no callbacks;
    /// the same for a response that was replaced or is complete.
    fn gone(&mut self, id: u32, direction: Direction) -> bool {
        let stream = self.state().stream(id);
        stream.closed && (direction == Direction::Request || stream.response.out.ended())
            || stream.half(direction).out.reset()
    }

    /// The callback sees all that is held, with the new piece at the end.
    fn show_body(&mut self, id: u32, direction: Direction, chunk: &[u8]) -> Outcome {
        let half = self.state().stream(id).half(direction);
        half.buffer.extend(chunk);
        half.in_body = true;
        let size = u32::try_from(half.buffer.len()).unwrap();
        // Trailers, not the body, end a message that has them.
        let end = half.ended && half.trailers.is_none();
        let outcome = self.step(id, names(direction)[1], (id, size, u32::from(end)));
        self.state().stream(id).half(direction).in_body = false;
        self.settle(id, direction, outcome)
    }

    fn show_trailers(&mut self, id: u32, direction: Direction) -> Outcome {
        let half = self.state().stream(id).half(direction);
        half.trailers_unseen = false;
        let count = u32::try_from(half.trailers.as_ref().map_or(0, Headers::len)).unwrap();
        let outcome = self.step(id, names(direction)[2], (id, count));
        self.settle(id, direction, outcome)
    }

    /// One callback, and what it deferred.
    fn step<P: wasmtime::WasmParams>(&mut self, id: u32, name: &str, arguments: P) -> Outcome {
        let action = self.call::<P, u32>(name, id, arguments);
        let replied = self.run_deferred(Some(id));
        match action {
            _ if replied => Outcome::Replied,
            None => {
                self.fail_stream(id);
                Outcome::Trapped
            }
            Some(0) => Outcome::Continue,
            Some(1) => Outcome::Pause,
            Some(other) => panic!("{name} returned {other}, which is no action"),
        }
    }

    fn settle(&mut self, id: u32, direction: Direction, outcome: Outcome) -> Outcome {
        if outcome == Outcome::Continue {
            self.release(id, direction);
        }
        outcome
    }

    /// Sends on what is held. Under `StopAll` the module has yet to see the rest.
    fn release(&mut self, id: u32, direction: Direction) {
        if self.gone(id, direction) {
            return;
        }
        let half = self.state().stream(id).half(direction);
        if half.progress == Progress::Idle {
            return;
        }
        if half.progress != Progress::Released {
            half.progress = Progress::Released;
            half.out.0.push(Event::Headers(half.headers.clone()));
        }
        if !half.buffer.is_empty() {
            half.out.0.push(Event::Body(std::mem::take(&mut half.buffer)));
        }
        if let Some(unseen) = half.unseen.take() {
            let outcome = self.show_body(id, direction, &unseen);
            let trailers_wait = self.state().stream(id).half(direction).trailers_unseen;
            if outcome == Outcome::Replied || outcome == Outcome::Trapped || !trailers_wait {
                return;
            }
        }
        let half = self.state().stream(id).half(direction);
        if half.trailers_unseen {
            self.show_trailers(id, direction);
        } else if half.ended && !half.out.ended() {
            let trailers = half.trailers.clone();
            half.out.0.push(trailers.map_or(Event::End, Event::Trailers));
        }
    }

    /// Does what hostcalls asked for, replies first. Says whether `subject` was answered
    /// or closed. Without a subject (callouts, ticks) the last reply wins, otherwise
    /// the first, as in Envoy.
    pub(super) fn run_deferred(&mut self, subject: Option<u32>) -> bool {
        let mut replied = false;
        let mut replies = Vec::new();
        let mut others = Vec::new();
        for (id, action) in std::mem::take(&mut self.state().deferred) {
            match action {
                Deferred::Reply { status, details, headers, body } => {
                    replies.push((id, status, details, headers, body));
                }
                Deferred::Resume(direction) => others.push((id, Some(direction))),
                Deferred::Close => others.push((id, None)),
            }
        }
        if subject.is_none() {
            replies.reverse();
        }
        let mut answered = Vec::new();
        for (id, status, details, headers, body) in replies {
            if !answered.contains(&id) {
                answered.push(id);
                replied |= subject == Some(id);
                self.reply(id, status, &details, headers, body);
            }
        }
        for (id, action) in others {
            match action {
                Some(_) if answered.contains(&id) => {}
                Some(direction) => self.release(id, direction),
                None => {
                    replied |= subject == Some(id);
                    let stream = self.state().stream(id);
                    stream.closed = true;
                    stream.request.out.cut();
                    stream.response.out.cut();
                }
            }
        }
        replied
    }

    /// A local reply. Before the response has begun it passes through the module's own
    /// response callbacks; when the response is held it replaces it directly; when the
    /// response has gone out, all that is left is to cut it off.
    fn reply(&mut self, id: u32, status: u32, details: &str, headers: Headers, body: Vec<u8>) {
        let mut all = Headers::new([(":status", status.to_string())]);
        for (name, value) in headers.iter() {
            all.add(name, value.to_vec());
        }
        if !body.is_empty() {
            all.set("content-length", body.len().to_string().into_bytes());
            if all.bytes("content-type").is_none() {
                all.add("content-type", b"text/plain".to_vec());
            }
        }
        let stream = self.state().stream(id);
        stream.closed = true;
        stream.request.out.cut();
        stream.code_details = Some(details.to_owned());
        let response = &mut stream.response;
        if !response.out.is_empty() {
            response.out.cut();
        } else if response.progress == Progress::Idle {
            let end = body.is_empty();
            let outcome = self.headers(id, Direction::Response, all, end);
            if !end && matches!(outcome, Outcome::Continue | Outcome::Pause) {
                self.body(id, Direction::Response, &body, true);
            }
        } else {
            self.send_directly(id, all, body);
        }
    }

    /// Envoy's answer for a callback that trapped: 503, past the dead module.
    fn fail_stream(&mut self, id: u32) {
        let stream = self.state().stream(id);
        stream.closed = true;
        stream.request.out.cut();
        if stream.response.out.is_empty() {
            self.send_directly(id, Headers::new([(":status", "503")]), Vec::new());
        } else {
            stream.response.out.cut();
        }
    }

    fn send_directly(&mut self, id: u32, headers: Headers, body: Vec<u8>) {
        let response = self.state().stream(id).half(Direction::Response);
        response.progress = Progress::Released;
        response.buffer.clear();
        response.headers = headers.clone();
        response.out.0.push(Event::Headers(headers));
        if !body.is_empty() {
            response.out.0.push(Event::Body(body));
        }
        response.out.0.push(Event::End);
    }
}
