//! Compiles what a server's callers may do: `methods`, and the rules of `tools`, `prompts`
//! and `resources`.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::compile::Notes;
use super::document::{PromptRule, ResourceRule, RuleBinding, Server, ToolRule};
use super::metadata::check_scopes;
use super::problem::nearest;
use crate::mcp::ParamHeader;
use crate::policy::{
    DenyTable, Introspect, ObjectRules, Pattern, Rule, RuleTable, ServerPolicy, Settings,
};
use crate::token::Requirement;

/// Methods that reach a protected object, and whose rules decide on them.
const GOVERNED: [(&str, &str); 6] = [
    ("tools/call", "`tools`"),
    ("prompts/get", "`prompts`"),
    ("resources/read", "`resources`"),
    ("resources/subscribe", "`resources`"),
    ("resources/unsubscribe", "`resources`"),
    ("completion/complete", "`prompts` and `resources`"),
];

/// Methods of the MCP revisions that `methods.allow` is for. Others may be named, but one
/// that looks like these is probably mistyped.
const METHODS: [&str; 14] = [
    "initialize",
    "server/discover",
    "ping",
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "subscriptions/listen",
    "logging/setLevel",
    "tasks/get",
    "tasks/list",
    "tasks/result",
    "tasks/cancel",
    "tasks/update",
];

/// Compiles the policy of the server at `path`. `unasked` is the name of an issuer of the
/// server that cannot be asked about its tokens.
pub(super) fn compile(
    notes: &mut Notes,
    path: &str,
    server: &Server,
    unasked: Option<&str>,
) -> ServerPolicy {
    let limits = Limits { has_dpop: server.dpop.mode != Requirement::Off, unasked };
    let methods = methods(notes, &format!("{path}.methods.allow"), &server.methods.allow);
    let tools = table(notes, &format!("{path}.tools.rules"), &server.tools.rules, &limits);
    let prompts = table(notes, &format!("{path}.prompts.rules"), &server.prompts.rules, &limits);
    let uris = &server.resources.rules;
    let resources = table(notes, &format!("{path}.resources.rules"), uris, &limits);
    if methods.is_empty() && tools.is_empty() && prompts.is_empty() && resources.is_empty() {
        notes.warn(path, "permits nothing: it has neither methods nor rules");
    }
    let of = |allow| ObjectRules { allow, deny: DenyTable::default() };
    let settings = Settings {
        resource: server.resource.clone(),
        dpop: server.dpop.mode,
        mtls: server.mtls.mode,
        ..Settings::default()
    };
    ServerPolicy::new(methods, of(tools), of(prompts), of(resources), settings)
}

/// Whether a rule takes tokens that are not bound to a key.
pub(super) fn take_unbound(server: &Server) -> bool {
    let tools = server.tools.rules.iter().map(|rule| rule.dpop);
    let prompts = server.prompts.rules.iter().map(|rule| rule.dpop);
    let uris = server.resources.rules.iter().map(|rule| rule.dpop);
    tools.chain(prompts).chain(uris).any(|dpop| dpop == Some(RuleBinding::Optional))
}

/// What rules of a server can demand.
struct Limits<'n> {
    has_dpop: bool,
    unasked: Option<&'n str>,
}

/// A rule of the document, be it for tools, prompts or URIs.
struct RuleText<'d> {
    member: &'static str,
    names: &'d [String],
    scopes: &'d [String],
    dpop: Option<RuleBinding>,
    introspect: Option<Introspect>,
    param_headers: Option<&'d BTreeMap<String, String>>,
}

impl<'d> From<&'d ToolRule> for RuleText<'d> {
    fn from(rule: &'d ToolRule) -> Self {
        RuleText {
            member: "names",
            names: &rule.names,
            scopes: &rule.scopes,
            dpop: rule.dpop,
            introspect: rule.introspect,
            param_headers: rule.param_headers.as_ref(),
        }
    }
}

impl<'d> From<&'d PromptRule> for RuleText<'d> {
    fn from(rule: &'d PromptRule) -> Self {
        RuleText {
            member: "names",
            names: &rule.names,
            scopes: &rule.scopes,
            dpop: rule.dpop,
            introspect: rule.introspect,
            param_headers: None,
        }
    }
}

impl<'d> From<&'d ResourceRule> for RuleText<'d> {
    fn from(rule: &'d ResourceRule) -> Self {
        RuleText {
            member: "uris",
            names: &rule.uris,
            scopes: &rule.scopes,
            dpop: rule.dpop,
            introspect: rule.introspect,
            param_headers: None,
        }
    }
}

fn methods(notes: &mut Notes, path: &str, methods: &[String]) -> Vec<Pattern> {
    notes.optional_list(path, methods);
    notes.unique(path, methods);
    let mut patterns = Vec::new();
    for (index, text) in methods.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let Some(pattern) = pattern(notes, &path, text) else { continue };
        let governed = GOVERNED.iter().find(|(method, _)| pattern.matches(method));
        match (&pattern, governed) {
            (Pattern::Glob(_), _) => {
                notes.problem(path, "has a `*` that is not its last character");
            }
            (Pattern::Prefix(prefix), _) if prefix.is_empty() => {
                notes.problem(path, "would allow methods that nobody here knows; name them");
            }
            (Pattern::Prefix(_), Some((method, rules))) => {
                let message = format!("covers `{method}`, on which the rules of {rules} decide");
                notes.problem(path, format!("{message}; name the methods one by one"));
            }
            (Pattern::Exact(_), Some((_, rules))) => {
                notes
                    .problem(path, format!("the rules of {rules} decide on it; leave it out here"));
            }
            (Pattern::Exact(method), None) if !METHODS.contains(&method.as_str()) => {
                let near = nearest(method, METHODS);
                if let Some(near) = near.filter(|_| !method.starts_with("notifications/")) {
                    notes.warn(path, format!("is no method of MCP; did you mean `{near}`?"));
                }
            }
            _ => {}
        }
        patterns.push(pattern);
    }
    patterns
}

fn table<'d, R>(notes: &mut Notes, path: &str, rules: &'d [R], limits: &Limits<'_>) -> RuleTable
where
    RuleText<'d>: From<&'d R>,
{
    notes.optional_list(path, rules);
    let mut table = RuleTable::default();
    for (index, rule) in rules.iter().enumerate() {
        add_rule(notes, &mut table, format!("{path}[{index}]"), &rule.into(), limits);
    }
    table
}

fn add_rule(
    notes: &mut Notes,
    table: &mut RuleTable,
    id: String,
    text: &RuleText<'_>,
    limits: &Limits<'_>,
) {
    check_scopes(notes, &format!("{id}.scopes"), text.scopes);
    let list = format!("{id}.{}", text.member);
    notes.list(&list, text.names);
    if text.dpop.is_some() && !limits.has_dpop {
        let message = "nobody checks it: the server's `dpop` has the `mode` `off`";
        notes.problem(format!("{id}.dpop"), message);
    }
    if let (Some(_), Some(issuer)) = (text.introspect, limits.unasked) {
        let message =
            format!("issuers.{issuer}, whose tokens the server accepts, has no `introspection`");
        notes.problem(format!("{id}.introspect"), message);
    }
    let rule = Rc::new(Rule {
        scopes: text.scopes.iter().cloned().collect::<BTreeSet<_>>(),
        dpop: text.dpop.map(|dpop| match dpop {
            RuleBinding::Optional => Requirement::Optional,
            RuleBinding::Required => Requirement::Required,
        }),
        introspect: text.introspect,
        param_headers: param_headers(notes, &format!("{id}.param_headers"), text.param_headers),
        id,
        ..Rule::default()
    });
    for (index, name) in text.names.iter().enumerate() {
        let path = format!("{list}[{index}]");
        if let Some(pattern) = pattern(notes, &path, name)
            && let Err(error) = table.insert(pattern, &rule)
        {
            notes.problem(path, format!("{name:?} {error}"));
        }
    }
}

/// Most headers that mirror arguments of one tool. As many arguments that somebody routes
/// by, no tool has.
const MAX_PARAM_HEADERS: usize = 16;

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

fn pattern(notes: &mut Notes, path: &str, text: &str) -> Option<Pattern> {
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
