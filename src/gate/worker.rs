//! What the streams of one worker share: the configuration in force, keys, caches.

use std::rc::Rc;
use std::time::SystemTime;

use super::event::Wait;
use super::policies::Rollback;
use super::server::{AuditSettings, Enforcement, HostMode, Server};
use super::workloads::WorkloadSources;
use crate::exchange::Exchanger;
use crate::host::{CalloutAnswer, CalloutId, Counter, Host, HostError, LogLevel};
use crate::mcp::{SessionSeals, tasks};
use crate::policy::ServerPolicy;
use crate::rate;
use crate::token::{Authenticator, Issuer, NonceKey, Requirement, WorkloadIdentity};

/// One worker's shared state. Every worker VM has its own.
pub struct Worker {
    /// How the host runs us.
    pub(super) host_mode: HostMode,
    /// Settings of the record.
    pub(super) audit: AuditSettings,
    /// The MCP servers.
    pub(super) servers: Vec<Rc<Server>>,
    /// Where evidence of workloads is looked for.
    pub(super) workloads: WorkloadSources,
    /// Verifies tokens.
    pub(super) authenticator: Authenticator,
    /// Gets credentials for the servers.
    pub(super) exchanger: Exchanger,
    /// Seals sessions.
    pub(super) sessions: SessionSeals,
    /// Seals those of HTTP+SSE.
    pub(super) sessions_in_url: Rc<SessionSeals>,
    /// Digest of the configuration in force; empty when there is none.
    pub(super) policy_version: Rc<str>,
    /// The rollback whose end has not been told yet.
    rollback: Option<Rollback>,
    /// Whether one more stream may wait.
    may_wait: bool,
    /// Whether a stream proved that this host does not hold: see [`Worker::host_cannot_hold`].
    host_unsupported: bool,
}

impl Worker {
    /// Enforces a compiled configuration.
    #[must_use]
    pub fn new(
        enforcement: Enforcement,
        issuers: Vec<Issuer>,
        workload_identity: WorkloadIdentity,
        nonce_keys: Vec<NonceKey>,
        policy_version: &str,
    ) -> Self {
        Worker {
            host_mode: enforcement.host_mode,
            audit: enforcement.audit,
            servers: enforcement.servers.into_iter().map(Rc::new).collect(),
            workloads: enforcement.workloads,
            authenticator: Authenticator::new(issuers, nonce_keys)
                .with_workloads(workload_identity),
            exchanger: Exchanger::new(enforcement.exchanges),
            sessions_in_url: Rc::new(SessionSeals::in_url(enforcement.session_keys.clone())),
            sessions: SessionSeals::new(enforcement.session_keys),
            policy_version: policy_version.into(),
            rollback: None,
            may_wait: true,
            host_unsupported: false,
        }
    }

    /// What is in force until a configuration compiled: nothing is allowed.
    #[must_use]
    pub fn deny_all() -> Self {
        let (issuers, nonce_keys) = (Vec::new(), Vec::new());
        Worker::new(Enforcement::deny_all(), issuers, WorkloadIdentity::default(), nonce_keys, "")
    }

    /// Makes what the workers of a proxy share, where it is not there yet.
    ///
    /// # Errors
    /// [`HostError`] when what the configuration needs cannot be had on this host.
    pub fn prepare(&mut self, host: &dyn Host) -> Result<(), HostError> {
        let takes_proofs = self.servers.iter().any(|server| server.dpop.mode != Requirement::Off);
        // Without these, sessions cannot begin and tasks are nobody's; nothing else is lost.
        if self
            .servers
            .iter()
            .any(|server| server.policies.any(|policy| policy.allows_method("initialize")))
        {
            let _ = self.sessions.prepare(host);
        }
        if self.servers.iter().any(|server| server.binds_tasks()) {
            let _ = tasks::prepare(host);
        }
        // Without it, nothing that is counted passes, and nobody is asked to step up.
        if self.servers.iter().any(|server| server.policies.any(ServerPolicy::counts)) {
            let _ = rate::prepare(host);
        }
        let rollback = self.servers.iter().find_map(|server| server.policies.rollback.as_ref());
        if let Some(rollback @ Rollback { named, until }) = rollback {
            // One that was left in the configuration is over, which the next tick says.
            if host.now() < *until {
                let until = humantime::format_rfc3339_seconds(*until);
                let message = format!(
                    "countersign: rollback: policy {:?} is in force instead of the servers' own until {until}",
                    named.name
                );
                host.log(LogLevel::Warn, &message);
            }
            self.rollback = Some(rollback.clone());
        }
        self.authenticator.prepare(takes_proofs, host)
    }

    /// Says once that a rollback is over. Requests see it by the clock.
    fn end_rollback(&mut self, host: &dyn Host) {
        let now = host.now();
        if let Some(Rollback { named, .. }) =
            self.rollback.take_if(|rollback| rollback.until <= now)
        {
            let message = format!(
                "countersign: rollback: the time of policy {:?} is over; the servers' own policies are in force",
                named.name
            );
            host.log(LogLevel::Warn, &message);
            host.count(Counter::RollbackEnded);
        }
    }

    /// Whether any configuration is in force.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        !self.servers.is_empty()
    }

    /// Whether records are also written to the log.
    #[must_use]
    pub fn logs_records(&self) -> bool {
        self.audit.log
    }

    /// Says whether one more stream may wait.
    pub fn set_may_wait(&mut self, may_wait: bool) {
        self.may_wait = may_wait;
    }

    pub(super) fn may_wait(&self) -> bool {
        self.may_wait
    }

    /// How the host runs us.
    #[must_use]
    pub fn host_mode(&self) -> HostMode {
        self.host_mode
    }

    /// Time passed: starts fetches that are due. Returns what nobody needs to wait for
    /// any longer.
    pub fn on_tick(&mut self, host: &dyn Host) -> Vec<Wait> {
        self.end_rollback(host);
        let evidence = self.authenticator.on_tick(host).into_iter().map(Wait::Evidence);
        let credentials = self.exchanger.on_tick(host).into_iter().map(Wait::Credential);
        evidence.chain(credentials).collect()
    }

    /// A callout was answered. Returns what nobody needs to wait for any longer.
    pub fn on_callout(
        &mut self,
        id: CalloutId,
        answer: &CalloutAnswer,
        host: &dyn Host,
    ) -> Vec<Wait> {
        if let Some(errands) = self.exchanger.on_callout(id, answer, host) {
            return errands.into_iter().map(Wait::Credential).collect();
        }
        let evidence = self.authenticator.on_callout(id, answer, host);
        evidence.into_iter().map(Wait::Evidence).collect()
    }

    /// Another configuration is in force. What this one has under way is of use to nobody.
    pub fn retire(&mut self, host: &dyn Host) {
        self.exchanger.retire(host);
    }

    /// Whether a `hold` configuration met a host that ignores it.
    #[must_use]
    pub fn is_host_unsupported(&self) -> bool {
        self.host_unsupported
    }

    /// A stream proved that the host does not run body callbacks while headers are
    /// held. Nothing can be decided on such a host, so from here on everything is
    /// denied until a new configuration is loaded.
    pub(super) fn host_cannot_hold(&mut self, host: &dyn Host) {
        if self.host_unsupported {
            return;
        }
        self.host_unsupported = true;
        host.count(Counter::HostSelfCheckFailed);
        host.log(
            LogLevel::Critical,
            "countersign: host_mode is \"hold\", but this host does not show request bodies while \
             headers are held (Envoy 1.35 or later with allow_on_headers_stop_iteration: true is \
             needed); every request is denied until the plugin is reconfigured",
        );
    }
}

/// Milliseconds from one time to a later one; zero when the clock went back.
pub(super) fn elapsed_ms(from: SystemTime, to: SystemTime) -> u64 {
    let elapsed = to.duration_since(from).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}
