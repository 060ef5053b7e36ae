//! Who calls: the subject, the agent, and what the request says besides.

use std::time::SystemTime;

use crate::token::{AccessToken, SpiffeId, Verified};

/// Who calls, and how: what every decision of one request is made about.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'r> {
    /// What the issuer says of subject and agent.
    pub token: &'r Verified<AccessToken>,
    /// The workload that sends the request, where one was proved.
    pub workload: Option<&'r SpiffeId>,
    /// What the request says of its context.
    pub context: RequestContext<'r>,
    /// When the request is judged.
    pub now: SystemTime,
}

/// What a request says of the context that credentials may be bound to.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestContext<'r> {
    /// `Mcp-Session-Id` as the client knows it.
    pub session: Option<&'r str>,
    /// The header that names the instance of the agent (configured).
    pub instance: Option<&'r str>,
}
