//! From the gate's effects to hostcalls.

use proxy_wasm::hostcalls;
use proxy_wasm::types::{Action, BufferType, MapType};

use crate::gate::{Buffer, Effects, Flow, HeaderEdit};
use crate::reply::LocalReply;

/// In which callback effects are applied: what the host allows there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    RequestHeaders,
    RequestBody,
    RequestTrailers,
    ResponseHeaders,
    ResponseBody,
    ResponseTrailers,
    /// A callback of the root context, with the stream as effective context.
    Resumed,
}

/// A body in the host's buffer.
pub(super) struct HostBuffer {
    buffer: BufferType,
    /// What the callback said; `None` where callbacks do not say.
    size: Option<usize>,
}

impl HostBuffer {
    pub(super) fn request(size: Option<usize>) -> Self {
        HostBuffer { buffer: BufferType::HttpRequestBody, size }
    }

    pub(super) fn response(size: Option<usize>) -> Self {
        HostBuffer { buffer: BufferType::HttpResponseBody, size }
    }

    pub(super) fn callout(size: usize) -> Self {
        HostBuffer { buffer: BufferType::HttpCallResponseBody, size: Some(size) }
    }

    fn get(&self, max: usize) -> Option<Vec<u8>> {
        hostcalls::get_buffer(self.buffer, 0, max).ok().flatten()
    }
}

/// More than any body that is read: for buffers of unknown size.
const ANY_SIZE: usize = 8 * 1024 * 1024;

impl Buffer for HostBuffer {
    fn size(&self) -> usize {
        self.size.unwrap_or_else(|| self.get(ANY_SIZE).map_or(0, |bytes| bytes.len()))
    }

    fn read(&self) -> Option<Vec<u8>> {
        match self.size {
            None => self.get(ANY_SIZE),
            Some(size) => self.get(size).filter(|bytes| bytes.len() == size),
        }
    }
}

/// Carries out effects and says whether the stream goes on.
pub(super) fn apply(effects: Effects, phase: Phase) -> Action {
    if let Some(reply) = effects.reply {
        send(&reply);
        return Action::Pause;
    }
    edit(MapType::HttpRequestHeaders, &effects.request_headers);
    for (name, value) in &effects.filter_state {
        // Nothing of it changes what was decided; what is missing there, nobody counts by.
        let _ = hostcalls::set_property(vec![*name], Some(value.as_bytes()));
    }
    if phase == Phase::RequestTrailers {
        for name in &effects.remove_request_trailers {
            let _ = hostcalls::remove_map_value(MapType::HttpRequestTrailers, name);
        }
    }
    edit(MapType::HttpResponseHeaders, &effects.response_headers);
    if let Some(body) = effects.response_body {
        // The whole buffer is replaced, however large it is.
        let _ = hostcalls::set_buffer(BufferType::HttpResponseBody, 0, usize::MAX, &body);
    }
    match (effects.flow, phase) {
        (Flow::Continue, Phase::Resumed) => {
            let _ = hostcalls::resume_http_request();
            Action::Continue
        }
        (Flow::Continue, _) => Action::Continue,
        (Flow::Pause, _) => Action::Pause,
    }
}

fn edit(map: MapType, edits: &[HeaderEdit]) {
    for edit in edits {
        let (name, value) = match edit {
            HeaderEdit::Remove(name) => (name.as_str(), None),
            HeaderEdit::Set(name, value) => (*name, Some(value.as_bytes())),
            HeaderEdit::SetSecret(name, value) => (*name, Some(value.reveal().as_bytes())),
        };
        // A refusal traps inside the SDK, so that no request goes on without its edits.
        let _ = hostcalls::set_map_value_bytes(map, name, value);
    }
}

fn send(reply: &LocalReply) {
    let headers = reply.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    // A refusal traps inside the SDK: the host then answers 503 itself.
    let _ = hostcalls::send_http_response(u32::from(reply.status), headers, Some(&reply.body));
}
