//! A caller, as somebody describes it.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::deployment::Deployment;
use crate::config::Problem;
use crate::gate::CallerHeaders;
use crate::token::{IssuerId, Possession, SpiffeId};

/// Who calls: a token, without a signature, and what is proved besides.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Caller {
    /// Name of the token's issuer in the configuration.
    issuer: String,
    /// The claims of the token, as the issuer writes them. Where they are left out, `aud` is
    /// the server, `iat` is `now`, and `exp` is 10 seconds after `now`.
    claims: Map<String, Value>,
    /// SPIFFE ID of the workload that sends the request, as if it had proved it.
    #[schemars(extend("examples" = ["spiffe://corp.example/ns/bots/sa/support"]))]
    workload: Option<String>,
    /// Headers of the request that policies look at: `mcp-session-id`, and the server's
    /// `context.instance_header`.
    #[serde(default)]
    headers: CallerHeaders,
    /// Whether the sender proves to have the key or certificate that the token is bound to
    /// (`cnf`), if it is.
    #[serde(default = "yes")]
    proved: bool,
}

/// A caller that the configuration knows.
pub(super) struct Party {
    pub(super) issuer: IssuerId,
    pub(super) claims: Map<String, Value>,
    pub(super) workload: Option<SpiffeId>,
    pub(super) headers: CallerHeaders,
    pub(super) possession: Possession,
}

impl Caller {
    /// The caller in a deployment. `path` is where it is described.
    ///
    /// # Errors
    /// What of it can mean nothing there.
    pub(super) fn resolve(self, path: &str, deployment: &Deployment) -> Result<Party, Problem> {
        let problem = |member: &str, message: String| {
            let separator = if path.is_empty() { "" } else { "." };
            Problem { path: format!("{path}{separator}{member}"), message }
        };
        let issuer = deployment.issuer(&self.issuer).map_err(|why| problem("issuer", why))?;
        let workload = self.workload.as_deref().map(SpiffeId::parse).transpose();
        let workload = workload.map_err(|why| problem("workload", why.to_string()))?;
        let idle = self.headers.keys().find(|name| !deployment.looks_at(name));
        if let Some(name) = idle {
            let message = "no decision looks at this header; names are in lowercase";
            return Err(problem(&format!("headers.{name}"), message.to_owned()));
        }
        let possession = if self.proved { Possession::Proved } else { Possession::Unproved };
        Ok(Party { issuer, claims: self.claims, workload, headers: self.headers, possession })
    }
}

fn yes() -> bool {
    true
}
