//! Compiles `http_sse`: the transport of 2024-11-05.

use super::compile::Notes;
use super::document::HttpSse;
use super::servers::check_path;
use super::url::Url;
use crate::gate;
use crate::mcp::MessageEndpoint;
use crate::token::DpopPolicy;

/// The transport of the server at this URL. `opens_sessions` where `initialize` is allowed.
pub(super) fn compile(
    notes: &mut Notes,
    path: &str,
    http_sse: HttpSse,
    resource: &Url,
    dpop: &DpopPolicy,
    opens_sessions: bool,
) -> gate::HttpSse {
    let HttpSse { messages_path, announced_path } = http_sse;
    check_path(notes, &format!("{path}.messages_path"), &messages_path);
    if let Some(announced) = &announced_path {
        check_path(notes, &format!("{path}.announced_path"), announced);
    }
    if !opens_sessions {
        notes.warn(path, "is of no use: the server does not allow `initialize`");
    }
    let origin = resource.origin();
    gate::HttpSse {
        dpop: DpopPolicy { url: format!("{origin}{messages_path}"), ..dpop.clone() },
        endpoint: MessageEndpoint {
            announced_path: announced_path.unwrap_or_else(|| messages_path.clone()),
            path: messages_path,
            origin,
        },
    }
}
