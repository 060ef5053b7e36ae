//! What would become of a request: the way of a [`Gate`](super::Gate) from the caller to the
//! answer, without a host, a token or a server. For the command that explains and tests
//! policies; not in the filter.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::admitted::SESSION_HEADER;
use super::denials::{denial, refused, rejected};
use super::headers::encode_value;
use super::server::Server;
use super::verdict::Purpose;
use crate::host::{
    Callout, CalloutId, Change, Counter, Gauge, Host, HostError, LogLevel, NativeSigning,
    NativeVerdict, NativeVerification, SharedDataError, SharedValue,
};
use crate::mcp::{MODERN_VERSION, Message, StandardHeaders, read_message};
use crate::policy::{Check, Decision, Explanation, Form, Identity, RequestContext};
use crate::reply::Denial;
use crate::token::{
    AccessToken, Authenticator, IssuerId, Possession, SpiffeId, TokenError, Verified,
};

/// What was decided, and what the client would be answered.
#[derive(Debug)]
pub struct Rehearsal {
    /// The policy that was in force, where it was not the server's own.
    pub policy: Option<Rc<str>>,
    /// Its decision; `None` when the message was refused before.
    pub decision: Option<Decision>,
    /// What its policy asked for, and whether it holds.
    pub checks: Vec<Check>,
    /// What the candidate would have decided, with its name.
    pub candidate: Option<(Rc<str>, Decision)>,
    /// The client's answer; `None` when the request goes on to the server.
    pub denial: Option<Denial>,
}

/// Headers of a request by their names in lowercase, as far as decisions look at them.
pub type CallerHeaders = BTreeMap<String, String>;

impl Server {
    /// The caller that a token with these claims makes: see [`Authenticator::assume`].
    ///
    /// # Errors
    /// [`TokenError`], for [`Server::rejection`].
    pub fn assume(
        &self,
        authenticator: &Authenticator,
        issuer: IssuerId,
        claims: &Map<String, Value>,
        possession: Possession,
        now: SystemTime,
    ) -> Result<Verified<AccessToken>, TokenError> {
        authenticator.assume(issuer, claims, possession, &self.demands(), now)
    }

    /// What a client with a credential that is not acceptable is answered.
    #[must_use]
    pub fn rejection(&self, error: TokenError) -> Denial {
        rejected(error, self, || None)
    }

    /// Whether decisions look at a header, by its name in lowercase.
    #[must_use]
    pub fn looks_at(&self, header: &str) -> bool {
        header == SESSION_HEADER || self.instance_header.as_deref() == Some(header)
    }

    /// Who calls.
    #[must_use]
    pub fn identity<'r>(
        &self,
        token: &'r Verified<AccessToken>,
        workload: Option<&'r SpiffeId>,
        headers: &'r CallerHeaders,
        now: SystemTime,
    ) -> Identity<'r> {
        let header = |name: &str| headers.get(name).map(String::as_str);
        let context = RequestContext {
            session: header(SESSION_HEADER),
            instance: self.instance_header.as_deref().and_then(header),
        };
        Identity { token, workload, context, now }
    }

    /// Has a message of a protocol revision read, decided on and answered. What its method
    /// and `params` say is all there is to it: arguments, whether they are mirrored in
    /// headers, and whose a session or a task is, are not looked at.
    #[must_use]
    pub fn rehearse(
        &self,
        identity: &Identity<'_>,
        method: &str,
        params: &Map<String, Value>,
        revision: &str,
    ) -> Rehearsal {
        let (policy, name) = self.policies.in_force(identity.now);
        let mut rehearsal = Rehearsal {
            policy: name.cloned(),
            decision: None,
            checks: Vec::new(),
            candidate: None,
            denial: None,
        };
        let message = match message(method, params, revision) {
            Ok(message) => message,
            Err(denial) => return Rehearsal { denial: Some(denial), ..rehearsal },
        };
        let (operation, form, request) = match &message {
            Message::Request { id, era, operation } => (operation, Form::Request, Some((id, *era))),
            Message::Notification { operation, .. } => (operation, Form::Notification, None),
            Message::Response { .. } => return rehearsal,
        };
        let Explanation { decision, checks } = policy.explain(identity, operation, form);
        rehearsal.checks = checks;
        let host = NoHost(identity.now);
        rehearsal.denial =
            denial(&decision, self, identity, operation, request, Purpose::Record, &host);
        rehearsal.decision = Some(decision);
        rehearsal.candidate = self.policies.candidate.as_ref().map(|candidate| {
            (Rc::clone(&candidate.name), candidate.policy.decide(identity, operation, form))
        });
        rehearsal
    }
}

/// A host that has only the time. What is made for the record asks for no more.
struct NoHost(SystemTime);

impl Host for NoHost {
    fn now(&self) -> SystemTime {
        self.0
    }

    fn random(&self) -> Result<[u8; 16], HostError> {
        Err(HostError)
    }

    fn verify_signature(&self, _: &NativeVerification<'_>) -> NativeVerdict {
        NativeVerdict::Unsupported
    }

    fn sign(&self, _: &NativeSigning<'_>) -> Result<Vec<u8>, HostError> {
        Err(HostError)
    }

    fn shared(&self, _: &str) -> Result<Option<SharedValue>, HostError> {
        Err(HostError)
    }

    fn set_shared(&self, _: &str, _: &[u8], _: Option<NonZeroU32>) -> Result<(), SharedDataError> {
        Err(SharedDataError::Failed)
    }

    fn dispatch(&self, _: &Callout) -> Result<CalloutId, HostError> {
        Err(HostError)
    }

    fn count(&self, _: Counter) {}

    fn adjust(&self, _: Gauge<'_>, _: Change) {}

    fn log(&self, _: LogLevel, _: &str) {}
}

/// The message as a client would send it, read as every message.
fn message(method: &str, params: &Map<String, Value>, revision: &str) -> Result<Message, Denial> {
    let mut params = params.clone();
    let name = ["name", "uri", "taskId"].iter().find_map(|member| params.get(*member)?.as_str());
    let name = name.map(encode_value);
    let mut headers = StandardHeaders { protocol_version: Some(revision), ..Default::default() };
    if revision == MODERN_VERSION {
        headers = StandardHeaders { method: Some(method), name: name.as_deref(), ..headers };
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": revision,
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        params.insert("_meta".to_owned(), meta);
    }
    let mut body = json!({ "jsonrpc": "2.0", "method": method, "params": params });
    if let (Value::Object(body), false) = (&mut body, method.starts_with("notifications/")) {
        body.insert("id".to_owned(), json!(1));
    }
    read_message(body.to_string().as_bytes(), &headers).map_err(refused)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests may panic")]

    use std::time::Duration;

    use super::*;
    use crate::config::{self, Secrets};
    use crate::gate::{NamedPolicy, Rollback};
    use crate::policy::ServerPolicy;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    /// A server that allows `ping`, and what it says to alice.
    fn rehearse(edit: impl FnOnce(&mut Server)) -> Rehearsal {
        let document = json!({
            "issuers": { "corp": {
                "issuer": "https://idp.example.com", "algorithms": ["ES256"],
                "jwks": { "uri": "https://idp.example.com/jwks", "cluster": "idp" }
            } },
            "servers": [{
                "resource": "https://mcp.example.com/mcp", "issuers": ["corp"],
                "methods": { "allow": ["ping"] }
            }]
        });
        let loaded = config::load(document.to_string().as_bytes(), &Secrets::assumed()).unwrap();
        let mut server = loaded.enforcement.servers.into_iter().next().unwrap();
        edit(&mut server);
        let authenticator = Authenticator::new(loaded.issuers, loaded.nonce_keys);
        let claims = json!({ "sub": "alice", "client_id": "editor" });
        let claims = claims.as_object().unwrap();
        let token =
            server.assume(&authenticator, IssuerId(0), claims, Possession::Proved, NOW).unwrap();
        let headers = CallerHeaders::new();
        let identity = server.identity(&token, None, &headers, NOW);
        server.rehearse(&identity, "ping", &Map::new(), "2025-11-25")
    }

    fn deny_all() -> NamedPolicy {
        NamedPolicy { name: "strict".into(), policy: Rc::new(ServerPolicy::deny_all()) }
    }

    #[test]
    fn a_candidate_decides_for_the_record_only() {
        let rehearsal = rehearse(|server| server.policies.candidate = Some(deny_all()));
        assert!(rehearsal.denial.is_none() && rehearsal.decision.unwrap().is_allow());
        let (name, decision) = rehearsal.candidate.unwrap();
        assert!(&*name == "strict" && !decision.is_allow());
    }

    #[test]
    fn a_rollback_decides_until_its_time() {
        let until = |until| {
            rehearse(move |server| {
                server.policies.rollback = Some(Rollback { named: deny_all(), until });
            })
        };
        let rehearsal = until(NOW + Duration::from_secs(1));
        assert_eq!(rehearsal.policy.as_deref(), Some("strict"));
        assert!(rehearsal.denial.is_some());
        let rehearsal = until(NOW);
        assert!(rehearsal.policy.is_none() && rehearsal.denial.is_none());
    }
}
