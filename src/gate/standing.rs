//! Where a caller stands: the policy that judges a request, and who it judges.

use std::rc::Rc;
use std::time::SystemTime;

use super::policies::NamedPolicy;
use crate::policy::{Identity, RequestContext, ServerPolicy};
use crate::token::{AccessToken, SpiffeId, Verified};

/// One policy and one identity for the whole of a request, its answer included, whatever is
/// configured or expires meanwhile.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    /// The policy in force when the request came.
    pub(super) policy: Rc<ServerPolicy>,
    /// Its name, if it is back for a while.
    pub(super) rollback: Option<Rc<str>>,
    /// The policy that is tried beside it.
    pub(super) candidate: Option<NamedPolicy>,
    pub(super) token: Rc<Verified<AccessToken>>,
    pub(super) workload: Option<Rc<SpiffeId>>,
    /// `Mcp-Session-Id` as the client knows it.
    pub(super) session: Option<String>,
    /// The instance of the agent that the request names.
    pub(super) instance: Option<String>,
    pub(super) now: SystemTime,
}

impl Standing {
    /// Who calls, as policy judges it.
    pub(super) fn identity(&self) -> Identity<'_> {
        Identity {
            token: &self.token,
            workload: self.workload.as_deref(),
            context: RequestContext {
                session: self.session.as_deref(),
                instance: self.instance.as_deref(),
            },
            now: self.now,
        }
    }
}
