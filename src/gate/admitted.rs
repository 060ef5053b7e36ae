//! A request whose caller is known, and the session it is in.

use std::rc::Rc;

use super::arrival::Arrival;
use super::headers::{HeaderEdit, Headers};
use super::http_sse::Transport;
use super::relay::Reading;
use super::server::TaskBinding;
use super::standing::Standing;
use super::swap::Taken;
use super::worker::Worker;
use crate::host::{Host, HostError};
use crate::mcp::{Asked, Id, Message, Operation, Principal, SessionSeals, Target, tasks};
use crate::reply::{Code, Denial};
use crate::token::{Caller, Secret};

/// The header of sessions (MCP 2025-11-25, "Session Management").
pub(super) const SESSION_HEADER: &str = "mcp-session-id";

/// A request whose caller is known.
pub(super) struct Admitted {
    pub(super) arrival: Arrival,
    pub(super) caller: Caller,
    /// The policy that judges the request, and who it judges.
    pub(super) standing: Standing,
    /// The caller's token, where a rule may ask the issuer about it, or exchange it.
    pub(super) token: Option<Secret>,
    /// The JWT-SVID that the request brought.
    pub(super) jwt_svid: Option<Secret>,
    /// The agent's own token that the request brought.
    pub(super) actor_token: Option<Secret>,
    /// The credential that was taken before the body was read.
    pub(super) taken: Option<Taken>,
    /// Whose sessions and tasks are the caller's.
    pub(super) owner: Principal,
    pub(super) session: Option<Session>,
}

/// The tokens of a request that are needed after it was authenticated: none, where nothing asks
/// an authorization server about them.
#[derive(Default)]
pub(super) struct Brought {
    pub(super) token: Option<Secret>,
    pub(super) jwt_svid: Option<Secret>,
    pub(super) actor_token: Option<Secret>,
}

/// A session that the caller was given.
#[derive(Debug, Clone)]
pub(super) struct Session {
    /// As the MCP server knows it.
    pub(super) id: String,
    /// As its owner knows it.
    sealed: String,
}

/// What a response may say about sessions.
#[derive(Debug, Clone)]
pub(super) enum SessionsInAnswer {
    /// Nothing: no session belongs to the request, and none begins with it.
    None,
    /// The session the request is in. Some servers repeat it in every answer.
    Same(Session),
    /// A new one, in answer to `initialize`.
    New,
}

impl Admitted {
    /// Opens the session that the request claims to be in.
    ///
    /// # Errors
    /// A denial when the session is not the caller's, or cannot be opened.
    pub(super) fn new(
        arrival: Arrival,
        caller: Caller,
        brought: Brought,
        worker: &Worker,
        host: &dyn Host,
    ) -> Result<Self, Denial> {
        let subject = &caller.token;
        let owner = Principal::of([
            &subject.issuer_url,
            &subject.subject,
            &subject.client_id,
            &arrival.server.resource,
        ]);
        // Agents that share a client do not share what they began.
        let actor = subject.actors.first();
        let actor = actor.and_then(|actor| actor.subject.as_deref().or(actor.client_id.as_deref()));
        let claimed = subject.agent.id.as_deref();
        let owner = match actor.or(claimed) {
            Some(agent) => owner.through(agent),
            None => owner,
        };
        let session = arrival.headers.session.as_deref();
        let seals = match arrival.transport {
            Transport::StreamableHttp => &worker.sessions,
            Transport::HttpSse => &*worker.sessions_in_url,
        };
        let session = session.map(|sealed| open(sealed, &owner, seals, host));
        let session = session.transpose()?;
        let now = host.now();
        let (policy, rollback) = arrival.server.policies.in_force(now);
        let standing = Standing {
            policy: Rc::clone(policy),
            rollback: rollback.cloned(),
            candidate: arrival.server.policies.candidate.clone(),
            token: Rc::clone(&caller.token),
            workload: caller.workload.clone(),
            session: arrival.headers.session.clone(),
            instance: arrival.instance.clone(),
            now,
        };
        let Brought { token, jwt_svid, actor_token } = brought;
        Ok(Admitted {
            arrival,
            caller,
            standing,
            token,
            jwt_svid,
            actor_token,
            taken: None,
            owner,
            session,
        })
    }

    /// The issuer confirmed the token, perhaps with less than it says.
    pub(super) fn confirmed(&mut self, caller: Caller) {
        self.standing.token = Rc::clone(&caller.token);
        self.caller = caller;
    }

    /// What the answer to a message is read for; `None` for nothing.
    pub(super) fn reading(&self, message: &Message) -> Option<Reading> {
        let (id, operation) = match message {
            Message::Request { id, operation, .. } => (id, operation),
            Message::Notification { .. } | Message::Response { .. } => {
                return match self.arrival.transport {
                    Transport::HttpSse => Some(Reading::Accepted { id: None }),
                    Transport::StreamableHttp => {
                        self.session.as_ref().map(|_| Reading::Watched { id: None })
                    }
                };
            }
        };
        let id = id.clone();
        if self.arrival.transport == Transport::HttpSse {
            return Some(Reading::Accepted { id: Some(id) });
        }
        if let Some(asked) = Asked::of(&operation.method) {
            return Some(Reading::Asked { asked, id });
        }
        let makes_task =
            matches!(operation.target, Target::Tool(_)) && self.arrival.server.binds_tasks();
        (self.session.is_some() || makes_task).then_some(Reading::Watched { id: Some(id) })
    }

    /// The denial of a task that is not the caller's, as if it did not exist.
    pub(super) fn task_denial(
        &self,
        operation: &Operation,
        id: &Id,
        host: &dyn Host,
    ) -> Option<Denial> {
        let named = match &operation.target {
            Target::Task(id) => std::slice::from_ref(id),
            Target::Subscription { tasks, .. } => tasks.as_slice(),
            _ => &[],
        };
        let server = &self.arrival.server;
        if server.task_binding == TaskBinding::Upstream {
            return None;
        }
        let denial = named.iter().find_map(|task| {
            match tasks::is_owned(task, &server.resource, &self.owner, host) {
                Ok(true) => None,
                Ok(false) => {
                    let reason = "the task is not known to be the caller's";
                    Some(Denial::new(Code::TaskUnknown, reason))
                }
                Err(HostError) => {
                    Some(Denial::new(Code::HostFailure, "the host has no register of tasks"))
                }
            }
        })?;
        Some(denial.with_id(Some(id.clone())))
    }

    /// What makes of the caller's session the server's.
    pub(super) fn session_edit(&self) -> Option<HeaderEdit> {
        let Session { id, .. } = self.session.as_ref()?;
        Some(match (self.arrival.transport, &self.arrival.server.http_sse) {
            (Transport::HttpSse, Some(http_sse)) => {
                HeaderEdit::Set(":path", http_sse.endpoint.target(id))
            }
            _ => HeaderEdit::Set(SESSION_HEADER, id.clone()),
        })
    }
}

/// A client answers 404 with a new `initialize` (MCP 2025-11-25, "Session Management").
fn open(
    sealed: &str,
    owner: &Principal,
    seals: &SessionSeals,
    host: &dyn Host,
) -> Result<Session, Denial> {
    match seals.open(sealed, owner, host) {
        Ok(Some(id)) => Ok(Session { id, sealed: sealed.to_owned() }),
        Ok(None) => {
            Err(Denial::new(Code::SessionUnknown, "the session was not given to this caller"))
        }
        Err(HostError) => Err(no_key()),
    }
}

fn no_key() -> Denial {
    Denial::new(Code::HostFailure, "the host has no key for sessions")
}

impl SessionsInAnswer {
    /// What becomes of the session header of a response, and the server's id of a session
    /// that begins.
    ///
    /// # Errors
    /// A denial when a session begins that cannot be sealed.
    pub(super) fn edit(
        &self,
        headers: &Headers,
        owner: &Principal,
        seals: &SessionSeals,
        host: &dyn Host,
    ) -> Result<(Option<HeaderEdit>, Option<String>), Denial> {
        if !headers.has(SESSION_HEADER) {
            return Ok((None, None));
        }
        let given = headers.informative(SESSION_HEADER);
        match self {
            SessionsInAnswer::New => {
                let sealed = given.map(|id| seals.seal(id, owner, host).map_err(|_| no_key()));
                let sealed = sealed.transpose()?.flatten().ok_or_else(|| {
                    Denial::new(Code::SessionUnusable, "the server's session id cannot be sealed")
                })?;
                let edit = HeaderEdit::Set(SESSION_HEADER, sealed);
                Ok((Some(edit), given.map(str::to_owned)))
            }
            SessionsInAnswer::Same(session) if given == Some(&session.id) => {
                Ok((Some(HeaderEdit::Set(SESSION_HEADER, session.sealed.clone())), None))
            }
            SessionsInAnswer::Same(_) | SessionsInAnswer::None => {
                Ok((Some(HeaderEdit::Remove(SESSION_HEADER.to_owned())), None))
            }
        }
    }
}
