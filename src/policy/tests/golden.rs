//! Decision tables: who may do what, and if not, why. `UPDATE_GOLDEN=1` writes them anew.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;

use super::super::conditions::CONDITIONS;
use super::*;
use crate::token::{CertificateDigest, SpiffeId};

const NOW: SystemTime = SystemTime::UNIX_EPOCH;
const SUPPORT_POD: &str = "spiffe://corp.example/support";

/// A caller of a table.
struct Caller {
    name: &'static str,
    token: AccessToken,
    workload: Option<SpiffeId>,
    session: Option<&'static str>,
    instance: Option<&'static str>,
}

/// A caller that differs from Alice, who is an editor of `acme` and calls through the
/// support bot.
fn who(name: &'static str, differs: impl FnOnce(&mut Caller)) -> Caller {
    let mut token = token(&["docs.read"]);
    token.client_id = "support-bot".to_owned();
    token.tenant = Some("acme".to_owned());
    token.roles = set(&["editor"]);
    token.groups = set(&["staff"]);
    let mut caller = Caller { name, token, workload: None, session: None, instance: None };
    differs(&mut caller);
    caller
}

fn acting(chain: &[&str]) -> Vec<Actor> {
    chain.iter().map(|&subject| actor(subject)).collect()
}

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

fn allow(rules: Vec<(&str, Rule)>) -> RuleTable {
    let mut table = RuleTable::default();
    for (name, rule) in rules {
        let id = if rule.id.is_empty() { name.to_owned() } else { rule.id.clone() };
        table.insert(pattern(name), &Rc::new(Rule { id, ..rule })).unwrap();
    }
    table
}

fn deny(rules: Vec<(&str, DenyRule)>) -> DenyTable {
    let mut table = DenyTable::default();
    for (name, rule) in rules {
        let id = format!("deny {name}");
        table.insert(pattern(name), &Rc::new(DenyRule { id, ..rule })).unwrap();
    }
    table
}

fn server(tools: ObjectRules, resources: RuleTable, settings: Settings) -> ServerPolicy {
    let methods = ["initialize", "tools/list", "tasks/get", "subscriptions/listen"];
    let methods = methods.iter().map(|method| pattern(method)).collect();
    let settings = Settings { resource: "https://mcp.example/mcp".to_owned(), ..settings };
    ServerPolicy::new(methods, tools, ObjectRules::default(), rules(resources), settings)
}

/// The support bot, which reads, and the reporter, which is an actor.
fn catalogue() -> Option<Rc<Agents>> {
    let support = Agent {
        name: "support".to_owned(),
        identifiers: vec![
            AgentIdentifier::Client("support-bot".to_owned()),
            AgentIdentifier::Workload(SpiffeId::parse(SUPPORT_POD).unwrap()),
        ],
        issuers: vec![IssuerId(0)],
        required_scopes: set(&["docs.read"]),
        optional_scopes: Some(set(&["docs.draft"])),
        tools: Some(vec![pattern("get_*"), pattern("draft")]),
        ..Agent::default()
    };
    let reporter = Agent {
        name: "reporter".to_owned(),
        identifiers: vec![AgentIdentifier::Actor("reporter".to_owned())],
        issuers: vec![IssuerId(0)],
        versions: Some(vec![pattern("2.*")]),
        needs_instance: true,
        ..Agent::default()
    };
    let elsewhere = Agent {
        name: "elsewhere".to_owned(),
        identifiers: vec![AgentIdentifier::Client("elsewhere".to_owned())],
        issuers: vec![IssuerId(0)],
        servers: Some(set(&["https://other.example/mcp"])),
        ..Agent::default()
    };
    Some(Rc::new(Agents::new(vec![support, reporter, elsewhere]).unwrap()))
}

fn with_catalogue() -> Settings {
    Settings { agents: catalogue(), ..Settings::default() }
}

struct Table {
    name: &'static str,
    policy: ServerPolicy,
    callers: Vec<Caller>,
    operations: Vec<Operation>,
}

fn method(name: &str) -> Operation {
    operation(name, Target::None)
}

fn call(name: &str) -> Operation {
    operation("tools/call", tool(name))
}

fn read(uri: &str) -> Operation {
    operation("resources/read", resource(uri))
}

fn on_task(task: &str) -> Operation {
    operation("tasks/get", Target::Task(task.to_owned()))
}

fn listen(uris: &[&str]) -> Operation {
    let resources = uris.iter().map(|&uri| uri.to_owned()).collect();
    operation("subscriptions/listen", Target::Subscription { resources, tasks: Vec::new() })
}

fn rules_table() -> Table {
    let scopes = |scopes| Rule { scopes: set(scopes), ..Rule::default() };
    let tools = ObjectRules {
        allow: allow(vec![
            ("get_*", scopes(&["docs.read"])),
            ("get_*_draft", scopes(&["docs.draft", "docs.read"])),
            ("get_help", scopes(&[])),
            ("*_all", scopes(&["docs.admin"])),
        ]),
        deny: deny(vec![
            ("get_secret*", DenyRule::default()),
            ("*_all", DenyRule { subjects: set(&["bob"]), ..DenyRule::default() }),
            ("get_*", DenyRule { tenants: set(&["umbrella"]), ..DenyRule::default() }),
        ]),
    };
    let resources =
        allow(vec![("docs://public/*", scopes(&[])), ("docs://*/draft", scopes(&["docs.draft"]))]);
    Table {
        name: "rules",
        policy: server(tools, resources, Settings::default()),
        callers: vec![
            who("alice", |_| {}),
            who("alice, no scopes", |it| it.token.scopes.clear()),
            who("alice, admin", |it| it.token.scopes = set(&["docs.admin"])),
            who("bob, admin", |it| {
                it.token.subject = "bob".to_owned();
                it.token.scopes = set(&["docs.admin"]);
            }),
            who("alice of umbrella", |it| it.token.tenant = Some("umbrella".to_owned())),
            who("alice of no tenant", |it| it.token.tenant = None),
        ],
        operations: vec![
            method("initialize"),
            method("vendor/secret"),
            call("get_page"),
            call("get_page_draft"),
            call("get_help"),
            call("get_secret"),
            call("delete_all"),
            call("get_all"),
            call("delete"),
            read("docs://public/a"),
            read("docs://public/../a"),
            read("docs://a/draft"),
            listen(&["docs://public/a", "docs://a/draft"]),
        ],
    }
}

fn subjects_table() -> Table {
    let rule = Rule::default;
    let mfa = StepUp { acr: vec!["mfa".to_owned()], ..StepUp::default() };
    let tools = vec![
        (
            "any_scopes",
            Rule { any_scopes: vec!["docs.write".to_owned(), "docs.admin".to_owned()], ..rule() },
        ),
        ("roles", Rule { roles: set(&["editor", "admin"]), ..rule() }),
        ("groups", Rule { groups: set(&["staff"]), ..rule() }),
        ("tenants", Rule { tenants: set(&["acme"]), ..rule() }),
        ("subjects", Rule { subjects: set(&["alice"]), ..rule() }),
        ("issuers", Rule { issuers: [IssuerId(0)].into(), ..rule() }),
        ("on_behalf_of", Rule { on_behalf_of: true, ..rule() }),
        ("step_up", Rule { step_up: Some(Rc::new(mfa)), scopes: set(&["docs.read"]), ..rule() }),
        ("dpop", Rule { dpop: Some(Requirement::Required), ..rule() }),
        ("mtls", Rule { mtls: Some(Requirement::Required), ..rule() }),
        (
            "everything",
            Rule {
                roles: set(&["admin"]),
                scopes: set(&["docs.admin"]),
                dpop: Some(Requirement::Required),
                ..rule()
            },
        ),
    ];
    let operations = tools.iter().map(|(name, _)| call(name)).collect();
    Table {
        name: "subjects",
        policy: server(rules(allow(tools)), RuleTable::default(), Settings::default()),
        callers: vec![
            who("alice", |_| {}),
            who("alice, better", |it| {
                it.token.scopes = set(&["docs.read", "docs.admin"]);
                it.token.roles = set(&["admin"]);
                it.token.acr = Some("mfa".to_owned());
                it.token.confirmation.key = Some(Thumbprint([1; 32]));
                it.token.confirmation.certificate = Some(CertificateDigest([1; 32]));
            }),
            who("bob", |it| {
                it.token = token(&[]);
                it.token.issuer = IssuerId(1);
                it.token.subject = "bob".to_owned();
                it.token.client_id = "bob".to_owned();
            }),
        ],
        operations,
    }
}

fn agents_table() -> Table {
    let rule = Rule::default;
    let tools = allow(vec![
        ("*", Rule { scopes: set(&["docs.read"]), ..rule() }),
        ("draft", Rule { scopes: set(&["docs.draft"]), ..rule() }),
        ("get_admin", Rule { scopes: set(&["docs.admin"]), ..rule() }),
        ("get_report", Rule { agents: set(&["reporter"]), ..rule() }),
    ]);
    Table {
        name: "agents",
        policy: server(rules(tools), RuleTable::default(), with_catalogue()),
        callers: vec![
            who("alice through support", |_| {}),
            who("alice, admin, through support", |it| {
                it.token.scopes = set(&["docs.read", "docs.admin", "docs.draft"]);
            }),
            who("alice, no scopes", |it| it.token.scopes.clear()),
            who("through the support pod", |it| {
                it.token.client_id = "stranger".to_owned();
                it.workload = Some(SpiffeId::parse(SUPPORT_POD).unwrap());
            }),
            who("through a stranger", |it| it.token.client_id = "stranger".to_owned()),
            who("through reporter 2.1", |it| {
                it.token.actors = acting(&["reporter"]);
                it.token.agent.version = Some("2.1".to_owned());
                it.token.agent.instance = Some("7".to_owned());
            }),
            who("through reporter 1.0", |it| {
                it.token.actors = acting(&["reporter"]);
                it.token.agent.version = Some("1.0".to_owned());
            }),
            who("through any reporter 2.1", |it| {
                it.token.actors = acting(&["reporter"]);
                it.token.agent.version = Some("2.1".to_owned());
            }),
            who("reporter in the support pod", |it| {
                it.token.actors = acting(&["reporter"]);
                it.workload = Some(SpiffeId::parse(SUPPORT_POD).unwrap());
            }),
            who("through elsewhere", |it| it.token.client_id = "elsewhere".to_owned()),
        ],
        operations: vec![
            method("tools/list"),
            call("get_page"),
            call("draft"),
            call("get_admin"),
            call("get_report"),
            call("delete"),
        ],
    }
}

fn delegation_table() -> Table {
    let settings = Settings {
        delegation: Delegation {
            max_depth: 2,
            actors: Some(set(&["reporter"])),
            prior_actors: Some(set(&["planner"])),
        },
        takes_unknown_agents: true,
        needs_task_context: true,
        ..with_catalogue()
    };
    let reporter = |chain: &[&str]| {
        let chain = acting(chain);
        move |it: &mut Caller| {
            it.token.actors = chain;
            it.token.agent.version = Some("2.1".to_owned());
            it.token.agent.instance = Some("7".to_owned());
        }
    };
    let then = |chain: &[&str], differs: fn(&mut Caller)| {
        let base = reporter(chain);
        move |it: &mut Caller| {
            base(it);
            differs(it);
        }
    };
    let tools = allow(vec![
        ("get_page", Rule::default()),
        ("get_for_user", Rule { on_behalf_of: true, ..Rule::default() }),
    ]);
    Table {
        name: "delegation",
        policy: server(rules(tools), RuleTable::default(), settings),
        callers: vec![
            who("directly", |_| {}),
            who("by reporter", reporter(&["reporter"])),
            who("by reporter, planner", reporter(&["reporter", "planner"])),
            who("by reporter, evil", reporter(&["reporter", "evil"])),
            who("by three", reporter(&["reporter", "planner", "planner"])),
            who(
                "by evil, reporter",
                then(&["evil", "reporter"], |it| it.token.client_id = "nobody".to_owned()),
            ),
            who("by evil, through a known client", reporter(&["evil", "reporter"])),
            who(
                "may_act reporter",
                then(&["reporter"], |it| it.token.may_act = Some(actor("reporter"))),
            ),
            who("may_act other", then(&["reporter"], |it| it.token.may_act = Some(actor("other")))),
            who(
                "may_act abroad",
                then(&["reporter"], |it| {
                    let issuer = Some("https://other.example".to_owned());
                    it.token.may_act = Some(Actor { issuer, ..actor("reporter") });
                }),
            ),
            who(
                "consents",
                then(&["reporter"], |it| {
                    it.token.consent.servers = Some(set(&["https://mcp.example/mcp"]));
                    it.token.consent.agents = Some(set(&["reporter"]));
                }),
            ),
            who(
                "consents to its client",
                then(&["reporter"], |it| {
                    it.token.consent.agents = Some(set(&["support-bot"]));
                }),
            ),
            who("consents elsewhere", |it| {
                it.token.consent.servers = Some(set(&["https://other.example/mcp"]));
            }),
            who("in its session", |it| {
                it.token.context.session = Some("s1".to_owned());
                it.session = Some("s1");
            }),
            who("in another session", |it| {
                it.token.context.session = Some("s1".to_owned());
                it.session = Some("s2");
            }),
            who("for task t1", |it| it.token.context.task = Some("t1".to_owned())),
            who("from another instance", |it| {
                it.token.context.instance = Some("7".to_owned());
                it.instance = Some("8");
            }),
            who("unknown, for itself", |it| it.token.client_id = "alice".to_owned()),
        ],
        operations: vec![
            method("tools/list"),
            call("get_page"),
            call("get_for_user"),
            on_task("t1"),
            on_task("t2"),
        ],
    }
}

fn workloads_table() -> Table {
    let grant = |scopes: &[&str], permissions: &[&str]| WorkloadGrant {
        agents: set(&["support"]),
        scopes: set(scopes),
        permissions: set(permissions),
    };
    let rule = |workloads| Rule { workloads, roles: set(&["editor"]), ..Rule::default() };
    let tools = allow(vec![
        ("get_users", rule(Vec::new())),
        ("get_granted", rule(vec![grant(&["docs.read"], &[])])),
        ("get_permitted", rule(vec![grant(&[], &["Docs.Read.All"])])),
        ("get_draft", rule(vec![grant(&["docs.draft"], &[])])),
        ("get_admin", rule(vec![grant(&["docs.admin"], &[])])),
    ]);
    Table {
        name: "workloads",
        policy: server(rules(tools), RuleTable::default(), with_catalogue()),
        callers: vec![
            who("user, editor", |_| {}),
            who("support", |it| it.token.kind = SubjectKind::Workload),
            who("support, permitted", |it| {
                it.token.kind = SubjectKind::Workload;
                it.token.roles = set(&["Docs.Read.All"]);
            }),
            who("stranger", |it| {
                it.token.kind = SubjectKind::Workload;
                it.token.client_id = "stranger".to_owned();
            }),
        ],
        operations: vec![
            method("tools/list"),
            call("get_users"),
            call("get_granted"),
            call("get_permitted"),
            call("get_draft"),
            call("get_admin"),
        ],
    }
}

fn shadow_table() -> Table {
    let tried = Some(Mode::Shadow);
    let admin = || Rule { scopes: set(&["docs.admin"]), ..Rule::default() };
    let tools = ObjectRules {
        allow: allow(vec![
            ("tried", Rule { mode: tried, ..admin() }),
            ("get_both", admin()),
            ("get_page", Rule::default()),
        ]),
        deny: deny(vec![
            ("get_*", DenyRule { mode: tried, ..DenyRule::default() }),
            ("get_page", DenyRule { subjects: set(&["bob"]), ..DenyRule::default() }),
        ]),
    };
    Table {
        name: "shadow",
        policy: server(tools, RuleTable::default(), Settings::default()),
        callers: vec![who("alice", |_| {}), who("bob", |it| it.token.subject = "bob".to_owned())],
        operations: vec![call("tried"), call("get_both"), call("get_page"), call("other")],
    }
}

fn exchange_table() -> Table {
    let (per_operation, per_server) = (DownstreamScopes::PerOperation, DownstreamScopes::PerServer);
    let docs = downstream("docs", Some(0), per_operation, &["mcp.use"]);
    let whole = downstream("whole", Some(1), per_server, &["api.all", "api.part"]);
    let injected = downstream("injected", None, per_operation, &[]);
    let mapped = || Some(Rc::new(set(&["api.part"])));
    let scopes = |scopes| Rule { scopes: set(scopes), ..Rule::default() };
    let reading = || scopes(&["docs.read"]);
    let grant = WorkloadGrant {
        agents: set(&["support"]),
        scopes: set(&["docs.read"]),
        permissions: set(&[]),
    };
    let several = vec!["docs.write".to_owned(), "docs.admin".to_owned()];
    let tools = allow(vec![
        ("get_page", Rule { workloads: vec![grant], ..reading() }),
        ("get_and_write", scopes(&["docs.read", "docs.write"])),
        ("get_any", Rule { any_scopes: several, ..Rule::default() }),
        ("get_mapped", Rule { downstream_scopes: mapped(), ..reading() }),
        ("get_open", scopes(&[])),
        ("get_server_wide", Rule { server_wide_exchange: true, ..reading() }),
        ("get_whole", Rule { exchange: Some(Rc::clone(&whole)), ..reading() }),
        (
            "get_whole_mapped",
            Rule { exchange: Some(Rc::clone(&whole)), downstream_scopes: mapped(), ..reading() },
        ),
        ("get_injected", Rule { exchange: Some(injected), ..reading() }),
        ("get_tried", Rule { mode: Some(Mode::Shadow), ..scopes(&["docs.admin"]) }),
    ]);
    let resources = allow(vec![
        ("docs://*", reading()),
        ("docs://drafts/*", scopes(&["docs.write"])),
        ("whole://*", Rule { exchange: Some(whole), ..reading() }),
    ]);
    let implies = [("docs.write".to_owned(), set(&["docs.read"]))];
    let editors = ScopeGrant { roles: set(&["editor"]), ..ScopeGrant::default() };
    let granted = [("docs.write".to_owned(), vec![editors])];
    let support = Agent {
        name: "support".to_owned(),
        identifiers: vec![AgentIdentifier::Client("support-bot".to_owned())],
        issuers: vec![IssuerId(0)],
        ..Agent::default()
    };
    let settings = Settings {
        exchange: Some(docs),
        scopes: Rc::new(Scopes::new(implies.into(), granted.into()).unwrap()),
        agents: Some(Rc::new(Agents::new(vec![support]).unwrap())),
        ..Settings::default()
    };
    Table {
        name: "exchange",
        policy: server(rules(tools), resources, settings),
        callers: vec![
            who("alice, editor", |_| {}),
            who("alice, editor without scopes", |it| it.token.scopes.clear()),
            who("alice, who may write", |it| {
                it.token.scopes = set(&["docs.write"]);
                it.token.roles.clear();
            }),
            who("alice, editor and admin", |it| it.token.scopes = set(&["docs.admin"])),
            who("support", |it| it.token.kind = SubjectKind::Workload),
        ],
        operations: vec![
            method("initialize"),
            on_task("t1"),
            call("get_page"),
            call("get_and_write"),
            call("get_any"),
            call("get_mapped"),
            call("get_open"),
            call("get_server_wide"),
            call("get_whole"),
            call("get_whole_mapped"),
            call("get_injected"),
            call("get_tried"),
            read("docs://a"),
            listen(&[]),
            listen(&["docs://a"]),
            listen(&["docs://a", "docs://drafts/b"]),
            listen(&["whole://a", "whole://b"]),
            listen(&["docs://a", "whole://b"]),
            listen(&["docs://a", "whole://b", "other://c"]),
        ],
    }
}

fn tables() -> [Table; 7] {
    [
        rules_table(),
        subjects_table(),
        agents_table(),
        delegation_table(),
        workloads_table(),
        shadow_table(),
        exchange_table(),
    ]
}

fn row(table: &Table, caller: &Caller, operation: &Operation) -> Decision {
    let token = Verified::assumed(caller.token.clone());
    let context = RequestContext { session: caller.session, instance: caller.instance };
    let identity =
        Identity { token: &token, workload: caller.workload.as_ref(), context, now: NOW };
    table.policy.decide(&identity, operation, Form::Request)
}

fn object(operation: &Operation) -> String {
    match &operation.target {
        Target::None => operation.method.clone(),
        Target::Tool(name) => format!("call {name}"),
        Target::Resource(uri) => format!("read {uri}"),
        Target::Subscription { resources, .. } => format!("listen to {}", resources.join(" ")),
        Target::Task(task) => format!("get task {task}"),
        other => format!("{other:?}"),
    }
}

/// What goes along: the exchange, the scopes that are asked for, those that are needed where they
/// are others, and whether one for the whole server will do.
fn credential(decision: &Decision) -> String {
    let wanted = decision.obligations.credential.as_ref().filter(|_| decision.proceeds());
    let Some(wanted) = wanted else { return String::new() };
    let CredentialWanted { downstream, scopes, needs, server_wide } = wanted;
    let words =
        |scopes: &BTreeSet<String>| scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    let mut text = format!(" -> {}: {}", downstream.name, words(scopes));
    if needs != scopes {
        write!(text, " (needs {:?})", words(needs)).unwrap();
    }
    if *server_wide {
        text.push_str(" (server-wide will do)");
    }
    text
}

fn written(table: &Table) -> String {
    let mut text = String::new();
    for caller in &table.callers {
        writeln!(text, "{}", caller.name).unwrap();
        for operation in &table.operations {
            let decision = row(table, caller, operation);
            let outcome = match decision.outcome {
                Outcome::Allow => "allow".to_owned(),
                Outcome::Deny(reason) => {
                    let side = format!("{:?}", reason.side()).to_lowercase();
                    let mode = if decision.proceeds() { "would deny" } else { "deny" };
                    format!("{mode} {} ({side})", reason.as_str())
                }
            };
            let scopes: Vec<_> = decision.required_scopes.iter().map(String::as_str).collect();
            let line = format!(
                "  {:<46} {outcome:<42} [{}] {}{}",
                object(operation),
                decision.rules.join("; "),
                scopes.join(" "),
                credential(&decision)
            );
            writeln!(text, "{}", line.trim_end()).unwrap();
        }
    }
    text
}

#[test]
fn decisions_are_those_of_the_tables() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/policy/tests/golden");
    for table in tables() {
        let (path, now) = (folder.join(table.name).with_extension("txt"), written(&table));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &now).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        for (now, expected) in now.lines().zip(expected.lines()) {
            assert_eq!(now, expected, "{}", table.name);
        }
        assert_eq!(now.lines().count(), expected.lines().count(), "{}", table.name);
    }
}

#[test]
fn every_reason_is_in_a_table() {
    let mut reasons = HashSet::new();
    for table in &tables() {
        for caller in &table.callers {
            for operation in &table.operations {
                if let Outcome::Deny(reason) = row(table, caller, operation).outcome {
                    reasons.insert(reason);
                }
            }
        }
    }
    let missing: Vec<_> =
        CONDITIONS.iter().map(|it| it.reason).filter(|reason| !reasons.contains(reason)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
