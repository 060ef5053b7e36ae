//! What goes into the gate and what comes out of it.

use super::headers::{HeaderEdit, Headers};
use crate::exchange::Errand;
use crate::reply::LocalReply;
use crate::token::{self, PeerConnection};

/// Something that happened to one stream.
pub enum Event<'a> {
    /// The request's headers arrived.
    RequestHeaders {
        /// The header lines, pseudo headers included.
        headers: Headers,
        /// Whether the request ends with them.
        end: bool,
        /// Where the request came from.
        source: Option<String>,
        /// Bytes of the request received so far (Envoy's `request.total_size`), where
        /// the host tells: the baseline of the hold self-check.
        received: Option<u64>,
        /// Who is at the other end of the connection. Asked only when it matters: it costs
        /// property reads.
        peer: &'a dyn Fn() -> PeerConnection,
    },
    /// More of the request's body arrived. Everything withheld so far is in the buffer.
    RequestBody {
        /// The buffer.
        body: &'a dyn Buffer,
        /// Whether the body is complete.
        end: bool,
    },
    /// The request ends with trailers: its body is complete, and the body callback
    /// never said so.
    RequestTrailers {
        /// Names of the trailer fields.
        names: Vec<String>,
        /// The withheld body.
        body: &'a dyn Buffer,
    },
    /// The fetch this stream waits for is over, successfully or not.
    Settled {
        /// The withheld body, as far as it arrived.
        body: &'a dyn Buffer,
    },
    /// The configuration this stream waits under was replaced.
    Abandoned,
    /// A look at a stream that waits for its body in `hold` mode.
    HoldCheck {
        /// Bytes of the request received so far, where the host tells.
        received: Option<u64>,
    },
    /// Response headers came, from the MCP server, from another filter, or our own.
    ResponseHeaders {
        /// The header lines.
        headers: Headers,
        /// Whether the response ends with them.
        end: bool,
        /// Whether the MCP server sent them, and not a filter or the proxy itself.
        /// Asked only when it matters: it costs a property read.
        from_upstream: &'a dyn Fn() -> bool,
    },
    /// More of the response's body came. What was withheld is in the buffer with it.
    ResponseBody {
        /// The buffer.
        body: &'a dyn Buffer,
        /// Whether the body is complete.
        end: bool,
    },
    /// The response ends with trailers.
    ResponseTrailers {
        /// What was withheld of the body.
        body: &'a dyn Buffer,
    },
    /// The stream is over.
    Done,
}

/// A body the host has buffered. Reading copies it into the module, so it is read once
/// and only when complete.
pub trait Buffer {
    /// Its size in bytes.
    fn size(&self) -> usize;

    /// All of it. `None` when the host does not give exactly that.
    fn read(&self) -> Option<Vec<u8>>;
}

/// What the host is to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Changes to the request's headers. Only made while the host still allows them.
    pub request_headers: Vec<HeaderEdit>,
    /// Properties to set, for Envoy's filters behind us. Comes with the request's headers.
    pub filter_state: Vec<(&'static str, String)>,
    /// Names of request trailers to remove.
    pub remove_request_trailers: Vec<String>,
    /// Changes to the response's headers.
    pub response_headers: Vec<HeaderEdit>,
    /// What the buffered part of the response's body is replaced by.
    pub response_body: Option<Vec<u8>>,
    /// A response of ours, instead of whatever was to come.
    pub reply: Option<LocalReply>,
    /// Whether the stream goes on.
    pub flow: Flow,
    /// What to wake the stream for.
    pub wake: Option<Wake>,
    /// The record, when the stream is over.
    pub record: Option<String>,
}

/// Whether a stream goes on. Withholding is the default, so that what nobody decided
/// does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flow {
    /// Nothing goes on; what came is withheld.
    #[default]
    Pause,
    /// What came, and what was withheld, goes on.
    Continue,
}

/// What a paused stream waits for beside the host's own callbacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// For something that is asked for: [`Event::Settled`].
    Settled(Wait),
    /// To be looked at: [`Event::HoldCheck`].
    HoldCheck,
}

/// Something that a stream waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Evidence by which the caller is judged.
    Evidence(token::Wait),
    /// The credential that goes to the MCP server.
    Credential(Errand),
}

impl Wake {
    pub(super) fn is_for_a_fetch(self) -> bool {
        matches!(self, Wake::Settled(_))
    }
}
