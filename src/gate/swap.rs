//! The credential that goes to the MCP server in place of the caller's token.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::admitted::Admitted;
use super::denials::exchange_denial;
use super::headers::{HeaderEdit, Headers};
use super::worker::Worker;
use crate::audit;
use crate::exchange::{
    Credential, Errand, ExchangeError, ExchangeId, Origin, Outcome, Subject, Wanted,
};
use crate::host::Host;
use crate::mcp::Id;
use crate::policy::CredentialWanted;
use crate::reply::{Code, Denial};
use crate::token::Secret;

/// RFC 9110 section 11.6.1.
pub(super) const CHALLENGE: &str = "www-authenticate";

/// What became of a wish for a credential.
pub(super) enum Obtained {
    /// None is wanted: nothing goes along.
    Nothing,
    /// Here it is.
    Ready(Rc<Credential>),
    /// It is asked for.
    Waits(Errand),
}

/// The credential that left with the headers of a request, before its body was read.
pub(super) struct Taken {
    /// What was wanted for what they claim.
    pub(super) wanted: CredentialWanted,
    /// Whether it is one for the whole server, because they claim no operation.
    pub(super) server_wide: bool,
    pub(super) credential: Rc<Credential>,
}

/// What an MCP server knows a request by, in place of the caller's token.
pub(super) struct Carried {
    /// Of which exchange; `None` where the cluster adds its own.
    credential: Option<(ExchangeId, Rc<Credential>)>,
}

impl Carried {
    pub(super) fn new(wanted: &CredentialWanted, credential: Option<Rc<Credential>>) -> Self {
        Carried { credential: wanted.downstream.exchange.zip(credential) }
    }

    /// The MCP server does not take it (401). The caller cannot mend that: its own token never
    /// was there, and was good enough here.
    pub(super) fn refused(&self, worker: &mut Worker, host: &dyn Host) -> Denial {
        if let Some((exchange, credential)) = &self.credential {
            worker.exchanger.not_taken(*exchange, credential, host);
        }
        let code = Code::ExchangeFailed("exchange_credential_rejected");
        Denial::new(code, "the server does not take the credential that is made for it")
    }
}

impl From<&Taken> for Carried {
    fn from(taken: &Taken) -> Self {
        Carried::new(&taken.wanted, Some(Rc::clone(&taken.credential)))
    }
}

/// The challenges of an MCP server are about a credential that the caller has never seen, and
/// would send it to an authorization server that is not its own.
pub(super) fn foreign_challenge(headers: &Headers) -> Option<HeaderEdit> {
    headers.has(CHALLENGE).then(|| HeaderEdit::Remove(CHALLENGE.to_owned()))
}

impl Taken {
    /// Whether it is what the operation asks for, or will do for it.
    fn is_for(&self, wanted: &CredentialWanted) -> bool {
        Rc::ptr_eq(&self.wanted.downstream, &wanted.downstream)
            && (self.wanted.scopes == wanted.scopes || (self.server_wide && wanted.server_wide))
    }
}

/// Gets the credential that is wanted for a request, and says what to record of it.
///
/// # Errors
/// A denial when it cannot be had.
pub(super) fn obtain(
    admitted: &Admitted,
    wanted: Option<&CredentialWanted>,
    waited: Option<Errand>,
    id: Option<&Id>,
    worker: &mut Worker,
    host: &dyn Host,
) -> (Result<Obtained, Denial>, Option<audit::Exchange>) {
    let Some(wanted) = wanted else { return (Ok(Obtained::Nothing), None) };
    let Some(exchange) = wanted.downstream.exchange else {
        return (Ok(Obtained::Nothing), Some(record(wanted, "injected", None)));
    };
    let caller = &admitted.caller;
    let Some(token) = &admitted.token else {
        let denial = Denial::new(Code::HostFailure, "the caller's token was not kept");
        return (Err(denial.with_id(id.cloned())), None);
    };
    let workload = caller.workload.as_deref();
    let subject = Subject {
        token: token.reveal(),
        digest: &caller.digest,
        claims: &caller.token,
        epoch: worker.authenticator.epoch(caller.token.issuer),
        jwt_svid: admitted.jwt_svid.as_ref().map(Secret::reveal).zip(workload),
        agent_token: admitted.actor_token.as_ref().map(Secret::reveal),
    };
    let outcome = worker.exchanger.obtain(
        &Wanted { exchange, scopes: &wanted.scopes, subject },
        waited,
        host,
    );
    match outcome {
        Outcome::Ready(credential, _) if !credential.grants(&wanted.needs) => {
            // The user may be given more meanwhile.
            worker.exchanger.not_taken(exchange, &credential, host);
            refuse(admitted, wanted, &ExchangeError::ScopeRefused, Some(&credential), id, host)
        }
        Outcome::Ready(credential, origin) => {
            let outcome = match origin {
                Origin::Exchanged => "exchanged",
                Origin::Cached => "cached",
            };
            let record = record(wanted, outcome, Some(&credential));
            (Ok(Obtained::Ready(credential)), Some(record))
        }
        Outcome::Waits(errand) => (Ok(Obtained::Waits(errand)), None),
        Outcome::Refused(error) => refuse(admitted, wanted, &error, None, id, host),
    }
}

/// Whether the credential that left with the headers is the one that the operation takes, and
/// what to record of it.
///
/// # Errors
/// A denial when it is not.
pub(super) fn check_sent(
    admitted: &Admitted,
    wanted: Option<&CredentialWanted>,
    id: Option<&Id>,
    host: &dyn Host,
) -> (Result<(), Denial>, Option<audit::Exchange>) {
    let scope_refused = |sent: &Taken| {
        let exchange = &sent.wanted.downstream.name;
        exchange_denial(&ExchangeError::ScopeRefused, exchange, admitted, id, host)
    };
    let asked_for = wanted.filter(|wanted| wanted.downstream.exchange.is_some());
    let denial = match (&admitted.taken, asked_for) {
        (None, None) => {
            return (Ok(()), wanted.map(|wanted| record(wanted, "injected", None)));
        }
        (Some(sent), Some(wanted)) if sent.is_for(wanted) => {
            if sent.credential.grants(&wanted.needs) {
                return (Ok(()), None);
            }
            scope_refused(sent)
        }
        // Its own, but the issuer has taken back some of what the token says.
        (Some(sent), _) if !sent.server_wide => scope_refused(sent),
        _ => {
            let reason = "the operation takes a credential of its own, which in `stream` cannot \
                          be had in time for this client: use `hold`, or let the rule have \
                          `server_wide_exchange`";
            Denial::new(Code::ExchangeNeedsHold, reason).with_id(id.cloned())
        }
    };
    let code = denial.code.as_str();
    let record = match &admitted.taken {
        Some(sent) => Some(record(&sent.wanted, code, Some(&sent.credential))),
        None => wanted.map(|wanted| record(wanted, code, None)),
    };
    (Err(denial), record)
}

/// The credential as a header.
pub(super) fn edit(credential: &Credential) -> HeaderEdit {
    HeaderEdit::SetSecret("authorization", credential.authorization())
}

fn refuse(
    admitted: &Admitted,
    wanted: &CredentialWanted,
    error: &ExchangeError,
    credential: Option<&Credential>,
    id: Option<&Id>,
    host: &dyn Host,
) -> (Result<Obtained, Denial>, Option<audit::Exchange>) {
    let record = record(wanted, error.code(), credential);
    let denial = exchange_denial(error, &wanted.downstream.name, admitted, id, host);
    (Err(denial), Some(record))
}

fn record(
    wanted: &CredentialWanted,
    outcome: &'static str,
    credential: Option<&Credential>,
) -> audit::Exchange {
    let granted = credential.and_then(|credential| credential.granted.as_ref());
    audit::Exchange {
        name: wanted.downstream.name.to_string(),
        outcome,
        scopes_asked: audit::list(&wanted.scopes),
        scopes_granted: granted.map(audit::list as fn(&BTreeSet<String>) -> _),
        credential: credential.map(|credential| audit::hex(&credential.id)),
    }
}
