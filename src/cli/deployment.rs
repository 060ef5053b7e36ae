//! A configuration in force, and what it says to callers.

use std::path::Path;
use std::time::SystemTime;

use super::answer::{Answer, Presented, Stream};
use super::call::Call;
use super::caller::Party;
use super::files::{Unusable, read};
use crate::config::{self, Secrets};
use crate::gate::{Enforcement, HostMode, Server};
use crate::mcp::{Era, MODERN_VERSION, Operation, Target};
use crate::token::{Authenticator, IssuerId};

/// A configuration in force.
pub(super) struct Deployment {
    enforcement: Enforcement,
    authenticator: Authenticator,
    /// Names of the issuers, in the order of their ids.
    issuers: Vec<String>,
}

impl Deployment {
    /// Compiles a configuration. The secrets it names are not needed.
    ///
    /// # Errors
    /// [`Unusable`] with what is wrong with it.
    pub(super) fn load(path: &Path) -> Result<Self, Unusable> {
        let document = read(path.as_os_str()).map_err(|error| Unusable::file(path, error))?;
        let loaded = config::load(&document, &Secrets::assumed())
            .map_err(|error| Unusable::problems(path, &error.problems))?;
        Ok(Deployment {
            enforcement: loaded.enforcement,
            issuers: loaded.issuers.iter().map(|issuer| issuer.name.clone()).collect(),
            authenticator: Authenticator::new(loaded.issuers, loaded.nonce_keys),
        })
    }

    /// The server of that resource identifier, or the only one.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn server(&self, resource: Option<&str>) -> Result<&Server, String> {
        let servers = &self.enforcement.servers;
        match (resource, servers.as_slice()) {
            (None, [server]) => Ok(server),
            (None, _) => Err("is needed: the configuration has several servers".to_owned()),
            (Some(resource), servers) => {
                servers.iter().find(|server| server.resource == resource).ok_or_else(|| {
                    let known = servers.iter().map(|server| server.resource.as_str());
                    unknown("server", resource, known)
                })
            }
        }
    }

    /// # Errors
    /// That there is no issuer of that name.
    pub(super) fn issuer(&self, name: &str) -> Result<IssuerId, String> {
        let place = self.issuers.iter().position(|issuer| issuer == name);
        place
            .map(IssuerId)
            .ok_or_else(|| unknown("issuer", name, self.issuers.iter().map(String::as_str)))
    }

    /// Whether a decision of any server looks at a header.
    pub(super) fn looks_at(&self, header: &str) -> bool {
        self.enforcement.servers.iter().any(|server| server.looks_at(header))
    }

    /// What becomes of a call.
    pub(super) fn ask(
        &self,
        server: &Server,
        party: &Party,
        call: &Call,
        now: SystemTime,
    ) -> Answer {
        match server.assume(&self.authenticator, party.issuer, &party.claims, party.possession, now)
        {
            Err(error) => Answer::rejected(error, &server.rejection(error)),
            Ok(token) => {
                let identity =
                    server.identity(&token, party.workload.as_ref(), &party.headers, now);
                let rehearsal =
                    server.rehearse(&identity, &call.method, &call.params, call.revision);
                let is_stream = self.enforcement.host_mode == HostMode::Stream;
                let is_modern = call.revision == MODERN_VERSION;
                let is_known = is_modern && Operation::can_be_claimed(&call.method);
                let era = if is_modern && !is_known { Era::Modern } else { Era::Legacy };
                let policy = server.policies.in_force(now).0;
                let stream = is_stream.then(|| Stream {
                    server_wide: policy.credential_of_unknown(&identity, era),
                    is_known,
                });
                Answer::of(rehearsal, Presented::of(&identity), stream.as_ref())
            }
        }
    }

    /// Whether a list shows an object to a caller.
    pub(super) fn shows(
        &self,
        server: &Server,
        party: &Party,
        target: &Target,
        now: SystemTime,
    ) -> bool {
        let token =
            server.assume(&self.authenticator, party.issuer, &party.claims, party.possession, now);
        token.is_ok_and(|token| {
            let identity = server.identity(&token, party.workload.as_ref(), &party.headers, now);
            server.policies.in_force(now).0.shows(&identity, target)
        })
    }
}

/// That nothing has that name, and which names there are.
pub(super) fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let hint = config::did_you_mean(name, known.iter().copied());
    if hint.is_empty() {
        format!("no {what} is named \"{name}\"; known are {}", known.join(", "))
    } else {
        format!("no {what} is named \"{name}\"{hint}")
    }
}
