//! Compiles the rules of `tools`, `prompts` and `resources`: what callers need for them, and
//! what is forbidden.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::time::Duration;

use super::agents::{self, Catalogue};
use super::analysis::{DenyView, Kind, RuleView};
use super::compile::{Bounds, Notes};
use super::document::{self, RuleBinding};
use super::downstream::{self, Exchanges, KnownExchange, OfRule};
use super::issuers::KnownIssuer;
use super::rates;
use super::rule_text::{DenyText, RuleText};
use super::scopes::ScopeTerms;
use crate::gate::{HostMode, StepUpChallenge};
use crate::mcp::ParamHeader;
use crate::policy::{
    DenyRule, DenyTable, ObjectRules, Pattern, Rule, RuleTable, StepUp, WorkloadGrant,
};
use crate::token::Requirement;

/// Longest id of a rule, in bytes: it stands in every record of what the rule decided.
const MAX_ID: usize = 128;

/// How long ago a user may have authenticated. A shorter time is over before the user is
/// back, a longer one asks for nothing.
const MAX_AGE: Bounds =
    Bounds { least: Duration::from_secs(10), most: Duration::from_secs(30 * 24 * 60 * 60) };

/// Most headers that mirror arguments of one tool. As many arguments that somebody routes
/// by, no tool has.
const MAX_PARAM_HEADERS: usize = 16;

/// What rules of a server can name and demand.
pub(super) struct Scene<'s> {
    /// The issuers whose tokens the server accepts.
    pub(super) issuers: &'s [&'s KnownIssuer],
    pub(super) has_dpop: bool,
    pub(super) has_mtls: bool,
    pub(super) catalogue: Option<&'s Catalogue>,
    pub(super) scopes: &'s ScopeTerms,
    pub(super) exchanges: &'s Exchanges,
    /// The server's.
    pub(super) exchange: Option<&'s KnownExchange>,
    /// Whether the server names one, be it known or not.
    pub(super) names_exchange: bool,
    pub(super) host_mode: HostMode,
}

/// The ids of a server's rules, each with the place of its rule.
pub(super) type Ids = HashMap<String, String>;

/// Compiles the rules for one kind of object at `path`. They are noted in `views` and
/// `denials` too.
pub(super) fn compile<'d, R, D>(
    notes: &mut Notes,
    path: &str,
    (kind, rules, deny): (Kind, &'d [R], &'d [D]),
    scene: &Scene<'_>,
    ids: &mut Ids,
    (views, denials): (&mut Vec<RuleView>, &mut Vec<DenyView>),
) -> ObjectRules
where
    RuleText<'d>: From<&'d R>,
    DenyText<'d>: From<&'d D>,
{
    let mut objects = ObjectRules::default();
    let list = format!("{path}.rules");
    notes.rules(&list, rules);
    for (index, text) in rules.iter().enumerate() {
        let path = format!("{list}[{index}]");
        let text = RuleText::from(text);
        let rule = Rc::new(rule(notes, &path, &text, scene, ids));
        insert_rule(notes, &mut objects.allow, &path, &text, &rule);
        views.push(RuleView { path, kind, names: text.names.to_vec(), rule });
    }
    let list = format!("{path}.deny");
    notes.rules(&list, deny);
    for (index, text) in deny.iter().enumerate() {
        let path = format!("{list}[{index}]");
        let text = DenyText::from(text);
        let rule = Rc::new(deny_rule(notes, &path, &text, scene, ids));
        for pattern in insert_deny(notes, &mut objects.deny, &path, &text, &rule) {
            denials.push(DenyView { kind, pattern, rule: Rc::clone(&rule) });
        }
    }
    objects
}

/// Whether rules take tokens that are not bound: to a key, to a certificate.
pub(super) fn take_unbound<'d, R>(rules: &'d [R]) -> [bool; 2]
where
    RuleText<'d>: From<&'d R>,
{
    let texts = || rules.iter().map(RuleText::from);
    [
        texts().any(|rule| rule.dpop == Some(RuleBinding::Optional)),
        texts().any(|rule| rule.mtls == Some(RuleBinding::Optional)),
    ]
}

/// The issuers of that list, which must be among these.
pub(super) fn issuers<'k>(
    notes: &mut Notes,
    path: &str,
    names: &[String],
    known: &[&'k KnownIssuer],
) -> Vec<&'k KnownIssuer> {
    notes.list(path, names);
    notes.unique(path, names);
    let mut issuers = Vec::new();
    for (index, name) in names.iter().enumerate() {
        match known.iter().find(|issuer| issuer.name == *name) {
            Some(issuer) => issuers.push(*issuer),
            None => {
                let hint = notes.hint(name, known.iter().map(|issuer| issuer.name.as_str()));
                let message = format!("no issuer is named {name:?}{hint}");
                notes.problem(format!("{path}[{index}]"), message);
            }
        }
    }
    issuers
}

/// Reads a name or pattern.
pub(super) fn pattern(notes: &mut Notes, path: &str, text: &str) -> Option<Pattern> {
    match Pattern::parse(text) {
        Ok(pattern) => {
            notes.text(path, text);
            Some(pattern)
        }
        Err(error) => {
            notes.problem(path, error);
            None
        }
    }
}

fn rule(
    notes: &mut Notes,
    path: &str,
    text: &RuleText<'_>,
    scene: &Scene<'_>,
    ids: &mut Ids,
) -> Rule {
    let at = |member: &str| format!("{path}.{member}");
    scene.scopes.check(notes, &at("scopes"), text.scopes);
    if let Some(any) = text.any_scopes {
        notes.list(&at("any_scopes"), any);
        scene.scopes.check(notes, &at("any_scopes"), any);
    }
    let issuers = match text.issuers {
        Some(names) => issuers(notes, &at("issuers"), names, scene.issuers),
        None => scene.issuers.to_vec(),
    };
    if text.subjects.is_some() {
        check_subjects(notes, &at("subjects"), &issuers, text.tenants);
    }
    let step_up = text.step_up.map(|text| step_up(notes, &at("step_up"), text, &issuers));
    let workloads = text.workloads.map(|grants| workloads(notes, &at("workloads"), grants, scene));
    check_demands(notes, path, text, scene);
    let OfRule { exchange, downstream_scopes, server_wide_exchange } =
        downstream::of_rule(notes, path, text, scene);
    Rule {
        id: id(notes, path, text.id, ids),
        scopes: set(Some(text.scopes)),
        any_scopes: text.any_scopes.unwrap_or_default().to_vec(),
        roles: choices(notes, &at("roles"), text.roles),
        groups: choices(notes, &at("groups"), text.groups),
        tenants: choices(notes, &at("tenants"), text.tenants),
        subjects: choices(notes, &at("subjects"), text.subjects),
        issuers: match text.issuers {
            Some(_) => issuers.iter().map(|issuer| issuer.id).collect(),
            None => BTreeSet::new(),
        },
        agents: agent_names(notes, &at("agents"), text.agents, scene),
        on_behalf_of: text.on_behalf_of,
        workloads: workloads.unwrap_or_default(),
        step_up: step_up.map(Rc::new),
        dpop: text.dpop.map(requirement),
        mtls: text.mtls.map(requirement),
        introspect: text.introspect,
        rates: (text.rates)
            .map(|rates| {
                notes.list(&at("rates"), rates);
                rates::compile(notes, &at("rates"), rates)
            })
            .unwrap_or_default(),
        mode: text.mode,
        exchange,
        downstream_scopes,
        server_wide_exchange,
        param_headers: param_headers(notes, &at("param_headers"), text.param_headers),
    }
}

fn insert_rule(
    notes: &mut Notes,
    table: &mut RuleTable,
    path: &str,
    text: &RuleText<'_>,
    rule: &Rc<Rule>,
) {
    let list = format!("{path}.{}", text.member);
    notes.list(&list, text.names);
    notes.unique(&list, text.names);
    for (index, name) in text.names.iter().enumerate() {
        let path = format!("{list}[{index}]");
        if let Some(pattern) = pattern(notes, &path, name)
            && let Err(error) = table.insert(pattern, rule)
        {
            notes.problem(path, format!("{name:?} {error}"));
        }
    }
}

fn deny_rule(
    notes: &mut Notes,
    path: &str,
    text: &DenyText<'_>,
    scene: &Scene<'_>,
    ids: &mut Ids,
) -> DenyRule {
    let at = |member: &str| format!("{path}.{member}");
    DenyRule {
        id: id(notes, path, text.id, ids),
        agents: agent_names(notes, &at("agents"), text.agents, scene),
        subjects: choices(notes, &at("subjects"), text.subjects),
        tenants: choices(notes, &at("tenants"), text.tenants),
        mode: text.mode,
    }
}

/// Returns the patterns that were inserted.
fn insert_deny(
    notes: &mut Notes,
    table: &mut DenyTable,
    path: &str,
    text: &DenyText<'_>,
    rule: &Rc<DenyRule>,
) -> Vec<Pattern> {
    let list = format!("{path}.{}", text.member);
    notes.list(&list, text.names);
    notes.unique(&list, text.names);
    let mut patterns = Vec::new();
    for (index, name) in text.names.iter().enumerate() {
        let path = format!("{list}[{index}]");
        let Some(pattern) = pattern(notes, &path, name) else { continue };
        match table.insert(pattern.clone(), rule) {
            Ok(()) => patterns.push(pattern),
            Err(error) => notes.problem(path, format!("{name:?} {error}")),
        }
    }
    patterns
}

/// The id of a rule: the given one, or its place. One stands for one rule.
fn id(notes: &mut Notes, path: &str, given: Option<&String>, ids: &mut Ids) -> String {
    let id = given.cloned().unwrap_or_else(|| path.to_owned());
    let place = format!("{path}.id");
    if given.is_some_and(|id| id.len() > MAX_ID || id.chars().any(char::is_control)) {
        notes.problem(&place, format!("is no id: up to {MAX_ID} bytes of text"));
    } else if id.is_empty() {
        notes.problem(&place, "is empty");
    }
    if let Some(first) = ids.insert(id.clone(), path.to_owned()) {
        notes.problem(&place, format!("is also the id of {first}"));
    }
    id
}

/// A subject is somebody at one issuer only.
fn check_subjects(
    notes: &mut Notes,
    path: &str,
    issuers: &[&KnownIssuer],
    tenants: Option<&[String]>,
) {
    match issuers {
        [] => {}
        [issuer] if issuer.identifiers.len() > 1 && tenants.is_none_or(|t| t.len() != 1) => {
            let message = "are told apart by tenant; name the one tenant in `tenants`";
            notes.problem(path, format!("the subjects of issuers.{} {message}", issuer.name));
        }
        [_] => {}
        _ => {
            let message = "a subject is somebody at one issuer only; name that in `issuers`";
            notes.problem(path, message);
        }
    }
}

fn step_up(
    notes: &mut Notes,
    path: &str,
    text: &document::StepUp,
    issuers: &[&KnownIssuer],
) -> StepUp {
    let document::StepUp { acr, max_age, contexts } = text;
    if acr.is_none() && max_age.is_none() && contexts.is_none() {
        notes.problem(path, "demands nothing; give it `acr`, `max_age` or `contexts`");
    }
    let mut texts = |member: &str, texts: &Option<Vec<String>>| {
        if let Some(texts) = texts {
            notes.choices(&format!("{path}.{member}"), texts);
        }
        texts.clone().unwrap_or_default()
    };
    let (acr, contexts) = (texts("acr", acr), texts("contexts", contexts));
    // A challenge separates them by spaces and quotes the list.
    let is_value = |text: &String| {
        text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
    };
    for (index, _) in acr.iter().enumerate().filter(|(_, text)| !is_value(text)) {
        let message = "has a character that a challenge cannot carry (RFC 9470 section 3)";
        notes.problem(format!("{path}.acr[{index}]"), message);
    }
    let takes_contexts = |issuer: &&KnownIssuer| issuer.step_up == StepUpChallenge::Claims;
    if !contexts.is_empty() && !issuers.is_empty() && !issuers.iter().any(takes_contexts) {
        let message = "can be asked of no issuer here: none has the `step_up` `claims`";
        notes.problem(format!("{path}.contexts"), message);
    }
    let max_age = max_age.map(|span| notes.span(&format!("{path}.max_age"), span, MAX_AGE));
    StepUp { acr, max_age, contexts }
}

fn workloads(
    notes: &mut Notes,
    path: &str,
    grants: &[document::WorkloadGrant],
    scene: &Scene<'_>,
) -> Vec<WorkloadGrant> {
    notes.list(path, grants);
    let mut compiled = Vec::new();
    for (index, grant) in grants.iter().enumerate() {
        let path = format!("{path}[{index}]");
        scene.scopes.check(notes, &format!("{path}.scopes"), &grant.scopes);
        let permissions = Some(&*grant.permissions).filter(|permissions| !permissions.is_empty());
        compiled.push(WorkloadGrant {
            agents: agents::named(notes, &format!("{path}.agents"), &grant.agents, scene.catalogue),
            scopes: set(Some(&grant.scopes)),
            permissions: choices(notes, &format!("{path}.permissions"), permissions),
        });
    }
    compiled
}

/// What nobody checks cannot be demanded.
fn check_demands(notes: &mut Notes, path: &str, text: &RuleText<'_>, scene: &Scene<'_>) {
    for (member, is_demanded, is_checked) in [
        ("dpop", text.dpop.is_some(), scene.has_dpop),
        ("mtls", text.mtls.is_some(), scene.has_mtls),
    ] {
        if is_demanded && !is_checked {
            let message = format!("nobody checks it: the server's `{member}` has the `mode` `off`");
            notes.problem(format!("{path}.{member}"), message);
        }
    }
    let unasked = scene.issuers.iter().find(|issuer| issuer.introspected.is_none());
    if let (Some(_), Some(issuer)) = (text.introspect, unasked) {
        let issuer = &issuer.name;
        let message =
            format!("issuers.{issuer}, whose tokens the server accepts, has no `introspection`");
        notes.problem(format!("{path}.introspect"), message);
    }
}

fn agent_names(
    notes: &mut Notes,
    path: &str,
    names: Option<&[String]>,
    scene: &Scene<'_>,
) -> BTreeSet<String> {
    names.map(|names| agents::named(notes, path, names, scene.catalogue)).unwrap_or_default()
}

fn choices(notes: &mut Notes, path: &str, texts: Option<&[String]>) -> BTreeSet<String> {
    if let Some(texts) = texts {
        notes.choices(path, texts);
    }
    set(texts)
}

fn set(texts: Option<&[String]>) -> BTreeSet<String> {
    texts.unwrap_or_default().iter().cloned().collect()
}

fn requirement(binding: RuleBinding) -> Requirement {
    match binding {
        RuleBinding::Optional => Requirement::Optional,
        RuleBinding::Required => Requirement::Required,
    }
}

fn param_headers(
    notes: &mut Notes,
    path: &str,
    headers: Option<&BTreeMap<String, String>>,
) -> Vec<ParamHeader> {
    let Some(headers) = headers else { return Vec::new() };
    notes.count(path, headers.len(), MAX_PARAM_HEADERS);
    let mut mirrored: Vec<ParamHeader> = Vec::new();
    for (suffix, pointer) in headers {
        let path = format!("{path}.{suffix}");
        match ParamHeader::new(suffix, pointer) {
            Ok(header) if mirrored.iter().any(|other| other.suffix() == header.suffix()) => {
                notes.problem(path, "is given twice: in names of headers, case does not matter");
            }
            Ok(header) => mirrored.push(header),
            Err(error) => notes.problem(path, error),
        }
    }
    mirrored
}
