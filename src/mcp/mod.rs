//! MCP messages: reading, naming the operation, filtering lists. Knows no tokens.
//!
//! Two eras share one endpoint. *Legacy* (2024-11-05 to 2025-11-25) starts with
//! `initialize` and may have sessions; *modern* (2026-07-28) carries its version
//! in `params._meta` of every request and mirrors the operation in headers.
//! Which era a message belongs to is decided from its body, never from headers
//! alone: headers are only ever compared with it.

mod capabilities;
mod headers;
mod http_sse;
mod list;
mod message;
mod operation;
mod params;
mod principal;
mod rewrite;
mod session;
mod sse;
pub mod tasks;
mod watch;

pub use headers::{
    MAX_VALUE_LEN, MODERN_VERSION, SUPPORTED_VERSIONS, StandardHeaders, decode_value,
};
pub use http_sse::{EndpointError, EndpointReader, MessageEndpoint, Opened};
pub use list::{Asked, Expected, Feature, Filtered, ListError, ListKind, View, filter_answer};
pub use message::{
    Era, Id, Message, Refusal, RefusalReason, read_message, read_message_and_params,
};
pub use operation::{Operation, Target};
pub use params::{PARAM_PREFIX, ParamHeader, ParamHeaderError, ParamLine};
pub use principal::Principal;
pub use session::{SealKey, SessionSeals};
pub use sse::{MAX_EVENT_LEN, SseFilter};
pub use watch::{AnswerWatch, Framing, UnaskedLists};
