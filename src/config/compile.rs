//! From the document to what the gate enforces. Every rule of meaning is checked here
//! and in the files for its parts.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Display;
use std::hash::Hash;
use std::time::Duration;

use super::document::{AuditLog, Document, Span};
use super::downstream::Exchanges;
use super::policies::{Policies, Terms, Texts};
use super::problem::{ConfigError, Problem, did_you_mean, member};
use super::secrets::Secrets;
use super::url::Url;
use super::{Loaded, exchanges, issuers, proofs, scopes, servers, sessions, workloads};
use crate::gate::{AuditSettings, Enforcement};

/// Most issuers: each has keys in memory and a fetch of its own in every worker.
const MAX_ISSUERS: usize = 64;

/// Most servers. Each request looks through them, and every worker holds them.
const MAX_SERVERS: usize = 256;

/// Most rules of one list, and most agents. They are found by tables, whose cost does not
/// depend on it; a company that writes its rules by a program has some thousands.
const MAX_RULES: usize = 16 * 1024;

/// Most entries of any other list: names of a rule, scopes. Far above what a person
/// maintains; bounds the memory of each worker.
const MAX_ENTRIES: usize = 1024;

/// Longest name, scope or pattern, in bytes. Resources are named by their URLs, and
/// longer ones do not fit common header limits.
const MAX_TEXT: usize = 2048;

/// Longest name that the document gives something: it stands in logs and records.
const MAX_NAME: usize = 64;

/// Most suggestions. Each is looked for among all names there are; who reads so many
/// problems has another one.
const MAX_HINTS: usize = 100;

/// Compiles a document.
pub(super) fn compile(
    document: Document,
    version: String,
    secrets: &Secrets,
) -> Result<Loaded, ConfigError> {
    let mut notes = Notes::default();
    notes.count("issuers", document.issuers.len(), MAX_ISSUERS);
    notes.count("servers", document.servers.len(), MAX_SERVERS);

    let known = issuers::known(&document.issuers);
    let used = |name: &String| document.servers.iter().any(|server| server.issuers.contains(name));
    for name in known.keys().filter(|name| !used(name)) {
        notes.warn(format!("issuers.{name}"), "no server accepts its tokens");
    }

    let grants = scopes::grants(&mut notes, &document.issuers, &known);
    let issuers = issuers::compile(&mut notes, document.issuers, &known, secrets);
    let known_exchanges = Exchanges::known(&document.exchanges);
    let terms = Terms {
        known: &known,
        resources: document.servers.iter().map(|server| server.resource.clone()).collect(),
        trust_domains: document
            .workload_identity
            .as_ref()
            .map(|workloads| workloads.trust_domains.keys().cloned().collect()),
        grants,
        exchanges: &known_exchanges,
        mode: document.mode,
        host_mode: document.host_mode,
    };
    let (workload_identity, workload_sources) =
        workloads::compile(&mut notes, document.workload_identity, &document.servers);
    let jwt_svid_header = workload_sources.jwt_svid_header.as_deref();
    let scene = exchanges::Scene { secrets, jwt_svid_header };
    let exchanges = exchanges::compile(&mut notes, document.exchanges, &scene);
    let texts = Texts {
        agents: document.agents.as_ref(),
        scopes: &document.scopes,
        policies: &document.policies,
        candidate: document.candidate.as_deref(),
        rollback: document.rollback.as_ref(),
    };
    let mut policies = Policies::new(&mut notes, &terms, &texts);
    let servers = servers::compile(&mut notes, document.servers, &known, &mut policies);
    // For people, at the command: at a rollout it would be time spent before each worker's
    // first request.
    if cfg!(not(target_arch = "wasm32")) && notes.problems.is_empty() {
        policies.analyse(&mut notes);
    }
    let have_sessions = servers
        .iter()
        .any(|server| server.policies.any(|policy| policy.allows_method("initialize")));
    let dpop: Vec<_> = servers.iter().map(|server| &server.dpop).collect();
    let nonce_keys = proofs::nonce_keys(&mut notes, &document.dpop_nonce_keys, &dpop, secrets);
    let session_keys = sessions::keys(&mut notes, &document.session_keys, have_sessions, secrets);
    sessions::check_told(&mut notes, &servers, document.audit.identity_headers);
    if !notes.problems.is_empty() {
        return Err(ConfigError { problems: distinct(notes.problems) });
    }
    let audit = AuditSettings {
        identity_headers: document.audit.identity_headers,
        filter_state: document.audit.filter_state,
        log: document.audit.log == AuditLog::Json,
    };
    let enforcement = Enforcement {
        host_mode: document.host_mode,
        servers,
        audit,
        session_keys,
        workloads: workload_sources,
        exchanges,
    };
    Ok(Loaded {
        enforcement,
        issuers,
        workload_identity,
        nonce_keys,
        variables: notes.variables,
        version,
        warnings: distinct(notes.warnings),
    })
}

/// Each once: what a policy takes over from the document is compiled for both.
fn distinct(mut notes: Vec<Problem>) -> Vec<Problem> {
    let mut seen = HashSet::new();
    notes.retain(|note| seen.insert(note.clone()));
    notes
}

/// Collects what is wrong, so that one run shows all of it. A check that notes a problem
/// may return whatever it likes: with one problem noted, nothing of it comes into force.
#[derive(Default)]
pub(super) struct Notes {
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    variables: BTreeSet<String>,
    /// Suggestions made.
    hints: usize,
}

/// From the one to the other, both included.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) least: Duration,
    pub(super) most: Duration,
}

impl Notes {
    pub(super) fn problem(&mut self, path: impl Into<String>, message: impl Display) {
        self.problems.push(Problem { path: path.into(), message: message.to_string() });
    }

    pub(super) fn warn(&mut self, path: impl Into<String>, message: impl Display) {
        self.warnings.push(Problem { path: path.into(), message: message.to_string() });
    }

    /// The warnings of others, whose paths begin so.
    pub(super) fn adopt(&mut self, others: Notes, path: &str) {
        self.warnings.extend(others.warnings.into_iter().filter(|w| w.path.starts_with(path)));
    }

    /// The document names a variable.
    pub(super) fn variable(&mut self, name: &str) {
        self.variables.insert(name.to_owned());
    }

    /// A list that must not be empty, and not longer than any person would write it.
    pub(super) fn list<T>(&mut self, path: &str, list: &[T]) {
        self.count(path, list.len(), MAX_ENTRIES);
    }

    /// A list of rules, which may be empty.
    pub(super) fn rules<T>(&mut self, path: &str, rules: &[T]) {
        if !rules.is_empty() {
            self.count(path, rules.len(), MAX_RULES);
        }
    }

    /// Entries under names that the document gives them.
    pub(super) fn named<T>(&mut self, path: &str, entries: &BTreeMap<String, T>) {
        self.count(path, entries.len(), MAX_RULES);
        for name in entries.keys() {
            self.name(&member(path, name), name);
        }
    }

    /// A name that the document gives something.
    pub(super) fn name(&mut self, path: &str, name: &str) {
        let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if !(1..=MAX_NAME).contains(&name.len()) || !name.bytes().all(is_name_byte) {
            let message = format!("a name is 1 to {MAX_NAME} letters, digits, `-` and `_`");
            self.problem(path, message);
        }
    }

    /// A list of texts to choose from: some, and none twice.
    pub(super) fn choices(&mut self, path: &str, texts: &[String]) {
        self.list(path, texts);
        self.unique(path, texts);
        for (index, text) in texts.iter().enumerate() {
            self.text(&format!("{path}[{index}]"), text);
        }
    }

    /// `; did you mean …?` when a known name is near.
    pub(super) fn hint<'a>(
        &mut self,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> String {
        self.hints = self.hints.saturating_add(1);
        if self.hints > MAX_HINTS { String::new() } else { did_you_mean(name, known) }
    }

    /// A list that may be empty.
    pub(super) fn optional_list<T>(&mut self, path: &str, list: &[T]) {
        if !list.is_empty() {
            self.list(path, list);
        }
    }

    /// Entries given twice: most likely another one was meant.
    pub(super) fn unique<T: Eq + Hash>(&mut self, path: &str, list: &[T]) {
        let mut seen = HashSet::new();
        for (index, entry) in list.iter().enumerate() {
            if !seen.insert(entry) {
                self.problem(format!("{path}[{index}]"), "is given twice");
            }
        }
    }

    /// Any text: not empty, not endless.
    pub(super) fn text(&mut self, path: &str, text: &str) {
        if text.is_empty() {
            self.problem(path, "is empty");
        } else if text.len() > MAX_TEXT {
            self.problem(path, format!("is longer than {MAX_TEXT} bytes"));
        }
    }

    /// A URL with a host.
    pub(super) fn url(&mut self, path: &str, text: &str) -> Option<Url> {
        match Url::parse(text) {
            Ok(url) => Some(url),
            Err(error) => {
                self.problem(path, error);
                None
            }
        }
    }

    /// A URL where keys or tokens go: nobody between may read or change them.
    pub(super) fn protected_url(&mut self, path: &str, text: &str) -> Option<Url> {
        let url = self.url(path, text)?;
        if !url.is_protected() {
            self.problem(path, "must be https; http is for loopback hosts only");
        }
        Some(url)
    }

    /// An issuer identifier (RFC 8414 section 2).
    pub(super) fn issuer_url(&mut self, path: &str, text: &str) {
        if self.protected_url(path, text).is_some_and(|url| url.query.is_some()) {
            self.problem(path, "has a query (`?`), which issuer identifiers cannot have");
        }
    }

    /// A length of time within its bounds.
    pub(super) fn span(&mut self, path: &str, span: Span, bounds: Bounds) -> Duration {
        if !(bounds.least..=bounds.most).contains(&span.0) {
            let [least, most] = [bounds.least, bounds.most].map(humantime::format_duration);
            self.problem(path, format!("must be from {least} to {most}"));
        }
        span.0
    }

    /// Members that are given and not `used`: something else was meant than will happen.
    pub(super) fn only_for(
        &mut self,
        path: &str,
        given: &[(&str, bool)],
        used: &[&str],
        choice: &str,
    ) {
        for (member, _) in given.iter().filter(|(member, is)| *is && !used.contains(member)) {
            let message = format!("is of no use {choice}; leave it out");
            self.problem(format!("{path}.{member}"), message);
        }
    }

    /// A count of entries, at least one.
    pub(super) fn count(&mut self, path: &str, count: usize, most: usize) {
        if count == 0 {
            self.problem(path, "is empty: at least one is needed");
        } else if count > most {
            self.problem(path, format!("has {count} entries; at most {most} are taken"));
        }
    }
}
