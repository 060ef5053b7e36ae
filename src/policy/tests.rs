#![expect(clippy::arithmetic_side_effects, reason = "tests may panic")]
#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use super::*;
use crate::exchange::ExchangeId;
use crate::token::{AccessToken, Actor, IssuerId, SubjectKind, Thumbprint, TokenId, Verified};

mod golden;
mod properties;

/// Steele and Vigna's SplitMix64, so that a seed names a case.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    pub(super) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(super) fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        *choices.get(self.below(choices.len())).unwrap()
    }

    /// Up to so many of the pieces, after another.
    pub(super) fn text(&mut self, pieces: &[&str], most: usize) -> String {
        (0..self.below(most + 1)).map(|_| self.of(pieces)).collect()
    }

    /// Some of them, or none.
    pub(super) fn some(&mut self, choices: &[&str]) -> BTreeSet<String> {
        choices.iter().filter(|_| self.one_in(2)).map(|&choice| choice.to_owned()).collect()
    }
}

pub(super) fn set(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

pub(super) fn actor(subject: &str) -> Actor {
    Actor { subject: Some(subject.to_owned()), ..Actor::default() }
}

pub(super) fn identity(token: &Verified<AccessToken>) -> Identity<'_> {
    let context = RequestContext::default();
    Identity { token, workload: None, context, now: SystemTime::UNIX_EPOCH }
}

pub(super) fn token(scopes: &[&str]) -> AccessToken {
    AccessToken {
        scopes: set(scopes),
        expires_at: SystemTime::UNIX_EPOCH + Duration::from_secs(2),
        issued_at: SystemTime::UNIX_EPOCH + Duration::from_secs(1),
        token_id: Some(TokenId::new("id".to_owned())),
        ..AccessToken::assumed()
    }
}

/// An exchange; `None` for one that asks for nothing.
fn downstream(
    name: &str,
    exchange: Option<usize>,
    scopes: DownstreamScopes,
    server_scopes: &[&str],
) -> Rc<Downstream> {
    Rc::new(Downstream {
        name: name.into(),
        exchange: exchange.map(ExchangeId),
        scopes,
        server_scopes: Rc::new(set(server_scopes)),
    })
}

fn caller(scopes: &[&str]) -> Verified<AccessToken> {
    Verified::assumed(token(scopes))
}

fn table(rules: &[(&[&str], &[&str])]) -> RuleTable {
    let mut table = RuleTable::default();
    for (index, (names, scopes)) in rules.iter().enumerate() {
        let scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
        let rule = Rc::new(Rule { id: format!("rules[{index}]"), scopes, ..Rule::default() });
        for name in *names {
            table.insert(Pattern::parse(name).unwrap(), &rule).unwrap();
        }
    }
    table
}

fn rules(allow: RuleTable) -> ObjectRules {
    ObjectRules { allow, deny: DenyTable::default() }
}

fn policy() -> ServerPolicy {
    let methods = ["initialize", "tools/list", "notifications/*", "subscriptions/listen"];
    ServerPolicy::new(
        methods.iter().map(|method| Pattern::parse(method).unwrap()).collect(),
        rules(table(&[
            (&["search", "get_*"], &["docs.read"]),
            (&["get_secret*"], &["docs.admin", "docs.read"]),
            (&["get_secret_hint"], &[]),
        ])),
        rules(table(&[(&["*"], &[])])),
        rules(table(&[(&["docs://public/*"], &[]), (&["docs://private/*"], &["docs.read"])])),
        Settings::default(),
    )
}

fn operation(method: &str, target: Target) -> Operation {
    Operation { method: method.to_owned(), target }
}

fn outcome(scopes: &[&str], method: &str, target: Target) -> Outcome {
    policy().decide(&identity(&caller(scopes)), &operation(method, target), Form::Request).outcome
}

fn tool(name: &str) -> Target {
    Target::Tool(name.to_owned())
}

fn resource(uri: &str) -> Target {
    Target::Resource(uri.to_owned())
}

#[test]
fn no_rules_means_deny() {
    let policy = ServerPolicy::deny_all();
    for target in [Target::None, tool("search"), resource("docs://public/a")] {
        let decision = policy.decide(
            &identity(&caller(&["docs.read"])),
            &operation("x", target),
            Form::Request,
        );
        assert!(!decision.is_allow());
    }
    assert!(!policy.decide_session(&identity(&caller(&[]))).is_allow());
}

#[test]
fn the_most_specific_rule_decides_alone() {
    assert_eq!(outcome(&["docs.read"], "tools/call", tool("get_page")), Outcome::Allow);
    assert_eq!(
        outcome(&["docs.read"], "tools/call", tool("get_secret_key")),
        Outcome::Deny(Reason::MissingScope)
    );
    assert_eq!(outcome(&[], "tools/call", tool("get_secret_hint")), Outcome::Allow);
}

#[test]
fn names_are_compared_byte_for_byte() {
    for name in ["Search", "search ", "search\u{200b}", "GET_x", "get", ""] {
        let decided = outcome(&["docs.read"], "tools/call", tool(name));
        assert_eq!(decided, Outcome::Deny(Reason::NoRule), "{name:?}");
    }
}

#[test]
fn a_denial_for_scope_names_every_scope_of_the_operation() {
    let decision = policy().decide(
        &identity(&caller(&["docs.read"])),
        &operation("tools/call", tool("get_secret_key")),
        Form::Request,
    );
    assert_eq!(
        decision.required_scopes.into_iter().collect::<Vec<_>>(),
        ["docs.admin", "docs.read"]
    );
    assert_eq!(decision.rules, ["rules[1]"]);
}

#[test]
fn unknown_methods_are_denied() {
    for method in ["vendor/secret", "tasks/list", "Initialize", "initialize ", ""] {
        let decided = outcome(&["docs.read"], method, Target::None);
        assert_eq!(decided, Outcome::Deny(Reason::MethodNotAllowed), "{method:?}");
    }
    assert_eq!(outcome(&[], "initialize", Target::None), Outcome::Allow);
}

#[test]
fn json_rpc_4_1_only_notification_methods_come_without_an_id() {
    let call = operation("tools/call", tool("search"));
    let decision = policy().decide(&identity(&caller(&["docs.read"])), &call, Form::Notification);
    assert_eq!(decision.outcome, Outcome::Deny(Reason::MethodNotAllowed));
    let cancelled = operation("notifications/cancelled", Target::None);
    assert!(policy().decide(&identity(&caller(&[])), &cancelled, Form::Notification).is_allow());
}

#[test]
fn a_uri_that_may_leave_its_prefix_is_not_under_it() {
    assert_eq!(outcome(&[], "resources/read", resource("docs://public/a")), Outcome::Allow);
    for uri in [
        "docs://public/../private/a",
        "docs://public/..",
        "docs://public/./x",
        "docs://public/%2e%2e/private/a",
        "docs://public/%2E%2E%2Fprivate",
        "docs://public\\..\\private",
        "docs://public/..\\private",
        // URL parsers of browsers and Node leave tabs and line ends out.
        "docs://public/.\t./private/a",
        "docs://public/.\n./private/a",
        "docs://public/a\0",
    ] {
        let decided = outcome(&["docs.read"], "resources/read", resource(uri));
        assert_eq!(decided, Outcome::Deny(Reason::NoRule), "{uri}");
    }
}

#[test]
fn whatwg_url_4_4_characters_that_are_cut_out_do_not_hide_dot_segments() {
    for uri in [
        "docs://public/.\t./private/a",
        "docs://public/.\n./private/a",
        "docs://public/\r../private/a",
        "docs://public/.. ",
        "docs://public/..\u{1}",
        "docs://public/..\u{0}",
        " docs://public/a",
        "docs://public/a\u{a0}",
        "docs://public/%0d../a",
    ] {
        let decided = outcome(&["docs.read"], "resources/read", resource(uri));
        assert_eq!(decided, Outcome::Deny(Reason::NoRule), "{uri:?}");
    }
}

#[test]
fn rfc_3986_6_2_another_spelling_does_not_evade_the_longer_prefix() {
    let table =
        table(&[(&["*"], &[]), (&["docs://a/private/*", "http://a/private/*"], &["docs.read"])]);
    for uri in [
        "DOCS://a/private/x",
        "docs://a/%70rivate/x",
        "docs://a/priv\tate/x",
        "docs://a/%zz",
        "docs://a/%",
        "HTTP://a/private/x",
        "http://A/private/x",
        "http:/a/private/x",
        "http:a/private/x",
        "http:///a/private/x",
        "http://u@a/private/x",
        "http://a:80/private/x",
        "http://a:/private/x",
        "http://a:080/private/x",
        "http://%61/private/x",
        "http://\u{ff41}/private/x",
        "file://localhost/x",
        "http://2852039166/x",
        "http://0xa9fea9fe/x",
        "http://0251.0376.0251.0376/x",
        "http://1.2.3/x",
        "http://[0:0:0:0:0:0:0:1]/x",
        "docs://a//private/x",
        "file:///srv//private/x",
        "docs://a/\u{e4}/x",
        "docs://a/%c3%a4/x",
        "docs://a/\"/x",
    ] {
        assert!(table.find_uri(uri).is_none(), "{uri:?}");
    }
    for (uri, rule) in [
        ("docs://A/private/x", "rules[0]"),
        ("docs://a/private/x%20y%C3%A4", "rules[1]"),
        ("docs://a/%C3%A4/{page}", "rules[0]"),
        ("http://169.254.169.254/x", "rules[0]"),
        ("http://a:8080/private/x", "rules[0]"),
        ("http://[::1]:8080/x", "rules[0]"),
        ("http://[::1]/x", "rules[0]"),
        ("http://a/private/x?q=..#f", "rules[1]"),
        ("file:///x", "rules[0]"),
        ("urn:x:Y", "rules[0]"),
        ("x", "rules[0]"),
    ] {
        assert_eq!(table.find_uri(uri).map(|rule| rule.id.as_str()), Some(rule), "{uri:?}");
    }
}

/// Many servers look an object up without them.
#[test]
fn rfc_3986_3_4_a_query_or_fragment_does_not_evade_the_rule_for_the_object() {
    let table = table(&[(&["db://h/*"], &[]), (&["db://h/users"], &["docs.read"])]);
    let found = |uri| table.find_uri(uri).map(|rule| rule.id.as_str());
    assert_eq!(found("db://h/users"), Some("rules[1]"));
    assert_eq!((found("db://h/users?x"), found("db://h/users#x")), (None, None));
    assert_eq!(found("db://h/orders?x"), Some("rules[0]"));

    let mut deny = DenyTable::default();
    deny.insert(Pattern::parse("db://h/users").unwrap(), &Rc::default()).unwrap();
    for uri in ["db://h/users", "db://h/users?x", "db://h/users#x"] {
        assert_eq!(deny.find_uri(uri).count(), 1, "{uri}");
    }
    assert_eq!(deny.find_uri("db://h/orders").count(), 0);
}

#[test]
fn a_subscription_needs_every_object_it_names() {
    let listen = |resources: &[&str], tasks: &[&str]| Target::Subscription {
        resources: resources.iter().map(|&uri| uri.to_owned()).collect(),
        tasks: tasks.iter().map(|&task| task.to_owned()).collect(),
    };
    let decide = |scopes, target| outcome(scopes, "subscriptions/listen", target);
    assert_eq!(decide(&[], listen(&["docs://public/a"], &[])), Outcome::Allow);
    assert_eq!(
        decide(&[], listen(&["docs://public/a", "docs://private/a"], &[])),
        Outcome::Deny(Reason::MissingScope)
    );
    assert_eq!(
        decide(&[], listen(&["docs://private/a", "other://x"], &[])),
        Outcome::Deny(Reason::NoRule)
    );
    assert_eq!(decide(&[], listen(&[], &["task"])), Outcome::Deny(Reason::MethodNotAllowed));
}

#[test]
fn two_rules_for_one_pattern_conflict() {
    let mut table = table(&[(&["a", "b*"], &[])]);
    let rule = Rc::new(Rule { id: "late".to_owned(), scopes: BTreeSet::new(), ..Rule::default() });
    for pattern in ["a", "b*"] {
        let conflict = table.insert(Pattern::parse(pattern).unwrap(), &rule);
        assert_eq!(conflict, Err(TableError::Conflict { first: "rules[0]".to_owned() }));
    }
    assert_eq!(table.insert(Pattern::parse("b").unwrap(), &rule), Ok(()));
}

#[test]
fn patterns_of_one_rule_do_not_conflict() {
    let mut table = RuleTable::default();
    let [one, another] =
        ["one", "another"].map(|id| Rc::new(Rule { id: id.to_owned(), ..Rule::default() }));
    for pattern in ["get_*a*", "get_*b*"] {
        assert_eq!(table.insert(Pattern::parse(pattern).unwrap(), &one), Ok(()));
    }
    let conflict = table.insert(Pattern::parse("get_*c*").unwrap(), &another);
    assert_eq!(conflict, Err(TableError::Conflict { first: "one".to_owned() }));
    assert_eq!(table.find("get_ab").map(|rule| rule.id.as_str()), Some("one"));
}

/// A caller who proved to hold the key the token is bound to.
fn bound_caller(scopes: &[&str]) -> Verified<AccessToken> {
    let mut token = AccessToken::clone(&caller(scopes));
    token.confirmation.key = Some(Thumbprint([1; 32]));
    Verified::assumed(token)
}

/// A policy of which the server asks for `server`, and the rule for `tool` for `rule`.
fn dpop_policy(server: Requirement, rule: Option<Requirement>) -> ServerPolicy {
    let mut tools = table(&[(&["plain"], &[])]);
    let rule = Rc::new(Rule {
        id: "special".to_owned(),
        scopes: BTreeSet::from(["docs.admin".to_owned()]),
        dpop: rule,
        introspect: Some(Introspect::Fresh),
        ..Rule::default()
    });
    tools.insert(Pattern::parse("tool").unwrap(), &rule).unwrap();
    let methods = ["tools/list", "initialize", "subscriptions/listen"];
    let methods = methods.iter().map(|method| Pattern::parse(method).unwrap()).collect();
    let resources = table(&[(&["docs://*"], &["docs.read"])]);
    let settings = Settings { dpop: server, ..Settings::default() };
    ServerPolicy::new(
        methods,
        rules(tools),
        rules(RuleTable::default()),
        rules(resources),
        settings,
    )
}

#[test]
fn an_operation_that_takes_a_proof_is_denied_to_bearers() {
    let (off, optional, required) =
        (Requirement::Off, Requirement::Optional, Requirement::Required);
    let needed = Outcome::Deny(Reason::DpopRequired);
    for (server, rule, bearer) in [
        (off, None, Outcome::Allow),
        (optional, None, Outcome::Allow),
        (required, None, needed),
        (optional, Some(required), needed),
        (required, Some(optional), Outcome::Allow),
    ] {
        let policy = dpop_policy(server, rule);
        let decide = |caller: &Verified<AccessToken>, method, target| {
            policy.decide(&identity(caller), &operation(method, target), Form::Request).outcome
        };
        let admin = ["docs.admin"];
        assert_eq!(decide(&caller(&admin), "tools/call", tool("tool")), bearer);
        assert_eq!(decide(&bound_caller(&admin), "tools/call", tool("tool")), Outcome::Allow);
        // What no rule of its own speaks of follows the server.
        let others = if server == required { needed } else { Outcome::Allow };
        for (method, target) in [("tools/call", tool("plain")), ("tools/list", Target::None)] {
            assert_eq!(decide(&caller(&admin), method, target.clone()), others);
            assert_eq!(decide(&bound_caller(&admin), method, target), Outcome::Allow);
        }
        assert_eq!(policy.decide_session(&identity(&caller(&admin))).outcome, others);
        // What is listed is what may be called.
        assert_eq!(policy.decide_target(&identity(&caller(&admin)), &tool("tool")).outcome, bearer);
    }
}

#[test]
fn who_lacks_the_key_is_not_asked_for_scopes_first() {
    let policy = dpop_policy(Requirement::Required, None);
    let target = tool("tool");
    assert_eq!(
        policy.decide_target(&identity(&caller(&[])), &target).outcome,
        Outcome::Deny(Reason::DpopRequired)
    );
    assert_eq!(
        policy.decide_target(&identity(&bound_caller(&[])), &target).outcome,
        Outcome::Deny(Reason::MissingScope)
    );
    let listen =
        |uri: &str| Target::Subscription { resources: vec![uri.to_owned()], tasks: vec![] };
    let decide = |target| {
        policy.decide(
            &identity(&caller(&[])),
            &operation("subscriptions/listen", target),
            Form::Request,
        )
    };
    assert_eq!(decide(listen("docs://a")).outcome, Outcome::Deny(Reason::DpopRequired));
    assert_eq!(decide(listen("other://a")).outcome, Outcome::Deny(Reason::NoRule));
}

#[test]
fn a_rule_may_ask_for_the_issuers_word() {
    let policy = dpop_policy(Requirement::Off, None);
    let decision = policy.decide_target(&identity(&caller(&["docs.admin"])), &tool("tool"));
    assert_eq!(decision.obligations.introspect, Some(Introspect::Fresh));
    assert_eq!(
        policy.decide_target(&identity(&caller(&[])), &tool("plain")).obligations.introspect,
        None
    );
    assert!(policy.may_introspect());
    assert!(!self::policy().may_introspect());
}

fn rate(id: &str) -> Rc<RateLimit> {
    let period = Duration::from_secs(60);
    Rc::new(RateLimit { id: id.to_owned(), requests: 1, period, burst: 1, by: Vec::new() })
}

/// A policy with one rule for everything, and these settings.
fn open_policy(rule: Rule, settings: Settings) -> ServerPolicy {
    let everything = || {
        let mut table = RuleTable::default();
        let rule = Rule { id: rule.id.clone(), rates: rule.rates.clone(), ..Rule::default() };
        table.insert(Pattern::parse("*").unwrap(), &Rc::new(rule)).unwrap();
        rules(table)
    };
    let methods = ["initialize", "ping", "subscriptions/listen"];
    let methods = methods.iter().map(|method| Pattern::parse(method).unwrap()).collect();
    ServerPolicy::new(methods, everything(), everything(), everything(), settings)
}

#[test]
fn rates_are_those_of_server_rule_and_agent() {
    let agent = Agent {
        name: "bot".to_owned(),
        identifiers: vec![AgentIdentifier::Client("agent".to_owned())],
        issuers: vec![IssuerId(0)],
        rate: Some(rate("agent")),
        ..Agent::default()
    };
    let settings = Settings {
        agents: Some(Rc::new(Agents::new(vec![agent]).unwrap())),
        rates: vec![rate("server")],
        ..Settings::default()
    };
    let policy = open_policy(Rule { rates: vec![rate("rule")], ..Rule::default() }, settings);
    let token = caller(&[]);
    let decision = policy.decide_target(&identity(&token), &tool("any"));
    let ids: Vec<_> = decision.obligations.rates.iter().map(|rate| rate.id.as_str()).collect();
    assert_eq!(ids, ["server", "rule", "agent"]);
    assert_eq!(decision.agent.as_deref(), Some("bot"));
    let method = policy.decide(&identity(&token), &operation("ping", Target::None), Form::Request);
    assert!(method.is_allow() && method.obligations.rates.is_empty());
}

#[test]
fn a_session_is_opened_before_a_token_can_name_it() {
    let settings = Settings { needs_session_context: true, ..Settings::default() };
    let policy = open_policy(Rule::default(), settings);
    let decide = |bound: Option<&str>, session, method: &str| {
        let mut token = token(&[]);
        token.context.session = bound.map(str::to_owned);
        let token = Verified::assumed(token);
        let context = RequestContext { session, instance: None };
        let identity = Identity { context, ..identity(&token) };
        let stream = policy.decide_session(&identity).is_allow();
        let method = operation(method, Target::None);
        (policy.decide(&identity, &method, Form::Request).is_allow(), stream)
    };
    assert_eq!(decide(None, None, "initialize"), (true, false));
    assert_eq!(decide(None, Some("s"), "initialize"), (false, false));
    assert_eq!(decide(Some("s"), None, "initialize"), (false, false));
    assert_eq!(decide(None, None, "ping"), (false, false));
    assert_eq!(decide(None, Some("s"), "ping"), (false, false));
    assert_eq!(decide(Some("s"), Some("s"), "ping"), (true, true));
    assert_eq!(decide(Some("s"), Some("t"), "ping"), (false, false));
}

#[test]
fn what_is_forbidden_is_so_in_every_spelling_that_is_permitted() {
    let uri = "docs://private/a b";
    let mut deny = DenyTable::default();
    let rule = DenyRule { id: "deny".to_owned(), ..DenyRule::default() };
    deny.insert(Pattern::parse("docs://private/*").unwrap(), &Rc::new(rule)).unwrap();
    let resources = ObjectRules { allow: table(&[(&[uri], &[])]), deny };
    let none = ObjectRules::default;
    let policy = ServerPolicy::new(Vec::new(), none(), none(), resources, Settings::default());
    let decision = policy.decide_target(&identity(&caller(&[])), &resource(uri));
    assert_eq!(decision.outcome, Outcome::Deny(Reason::Denied));
    assert_eq!(decision.rules, ["deny"]);
}

/// A subscription of which one resource is denied for the record only, and one really.
#[test]
fn a_denial_that_is_recorded_does_not_hide_one_that_is_enforced() {
    let mut resources = RuleTable::default();
    for (name, mode) in [("docs://tried/*", Mode::Shadow), ("docs://kept/*", Mode::Enforce)] {
        let (scopes, mode) = (set(&["docs.read"]), Some(mode));
        let roles = if mode == Some(Mode::Shadow) { set(&["editor"]) } else { set(&[]) };
        let rule = Rule { id: name.to_owned(), scopes, roles, mode, ..Rule::default() };
        resources.insert(Pattern::parse(name).unwrap(), &Rc::new(rule)).unwrap();
    }
    let methods = vec![Pattern::parse("subscriptions/listen").unwrap()];
    let none = ObjectRules::default;
    let policy = ServerPolicy::new(methods, none(), none(), rules(resources), Settings::default());
    let decide = |uris: &[&str]| {
        let resources = uris.iter().map(|&uri| uri.to_owned()).collect();
        let listen = Target::Subscription { resources, tasks: Vec::new() };
        let listen = operation("subscriptions/listen", listen);
        let decision = policy.decide(&identity(&caller(&[])), &listen, Form::Request);
        (decision.outcome, decision.mode)
    };
    let missing_scope = (Outcome::Deny(Reason::MissingScope), Mode::Enforce);
    assert_eq!(decide(&["docs://tried/a", "docs://kept/a"]), missing_scope);
    assert_eq!(decide(&["docs://kept/a", "docs://tried/a"]), missing_scope);
    assert_eq!(decide(&["docs://tried/a"]), (Outcome::Deny(Reason::MissingRole), Mode::Shadow));
}

#[test]
fn shadow_does_not_lift_what_is_asked_of_senders_and_messages() {
    let settings =
        Settings { mode: Mode::Shadow, dpop: Requirement::Required, ..Settings::default() };
    let policy = open_policy(Rule::default(), settings);
    let token = caller(&[]);
    let call = operation("tools/call", tool("any"));
    let decide = |form| policy.decide(&identity(&token), &call, form).enforced_denial();
    assert_eq!(decide(Form::Request), Some(Reason::DpopRequired));
    assert_eq!(decide(Form::Notification), Some(Reason::MethodNotAllowed));
}

/// Who lacks the scope too would not only have to authenticate again.
#[test]
fn a_list_shows_what_only_takes_a_better_authentication() {
    let step_up = StepUp { acr: vec!["mfa".to_owned()], ..StepUp::default() };
    let rule = Rule {
        id: "rule".to_owned(),
        scopes: set(&["docs.read"]),
        step_up: Some(Rc::new(step_up)),
        ..Rule::default()
    };
    let mut tools = RuleTable::default();
    tools.insert(Pattern::parse("any").unwrap(), &Rc::new(rule)).unwrap();
    let none = ObjectRules::default;
    let policy = ServerPolicy::new(Vec::new(), rules(tools), none(), none(), Settings::default());
    assert!(policy.shows(&identity(&caller(&["docs.read"])), &tool("any")));
    assert!(!policy.shows(&identity(&caller(&[])), &tool("any")));
    let decision = policy.decide_target(&identity(&caller(&[])), &tool("any"));
    assert_eq!(decision.outcome, Outcome::Deny(Reason::StepUp));
    assert!(decision.step_up.is_some());
}

/// A policy of one server exchange, and of one that the rule for `other://` names.
fn exchanging(mode: Mode) -> ServerPolicy {
    let per_operation = DownstreamScopes::PerOperation;
    let [own, other] = [("own", 0), ("other", 1)]
        .map(|(name, id)| downstream(name, Some(id), per_operation, &["mcp"]));
    let mut resources = table(&[(&["docs://*"], &["docs.read"])]);
    let rule = Rule { id: "other".to_owned(), exchange: Some(other), ..Rule::default() };
    resources.insert(Pattern::parse("other://*").unwrap(), &Rc::new(rule)).unwrap();
    let methods = ["initialize", "tasks/get", "subscriptions/listen"];
    let methods = methods.iter().map(|method| Pattern::parse(method).unwrap()).collect();
    let settings = Settings { exchange: Some(own), mode, ..Settings::default() };
    let none = ObjectRules::default;
    ServerPolicy::new(methods, none(), none(), rules(resources), settings)
}

fn listen(resources: &[&str], tasks: &[&str]) -> Operation {
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    let target = Target::Subscription { resources: owned(resources), tasks: owned(tasks) };
    operation("subscriptions/listen", target)
}

/// What the decision wants: the exchange and the scopes.
fn wants(decision: &Decision) -> Option<(&str, Vec<&str>)> {
    let wanted = decision.obligations.credential.as_ref()?;
    Some((&wanted.downstream.name, wanted.scopes.iter().map(String::as_str).collect()))
}

#[test]
fn a_subscription_takes_along_what_its_objects_do() {
    let policy = exchanging(Mode::Enforce);
    let token = caller(&["docs.read"]);
    for (resources, tasks, wanted) in [
        (&[][..], &[][..], Some(("own", vec!["mcp"]))),
        (&["docs://a"], &[], Some(("own", vec!["docs.read"]))),
        (&["docs://a"], &["t"], Some(("own", vec!["docs.read", "mcp"]))),
        (&["other://a", "other://b"], &[], Some(("other", vec!["mcp"]))),
        (&["other://a"], &["t"], None),
        (&["docs://a", "other://b"], &[], None),
        (&["other://b", "docs://a"], &[], None),
    ] {
        let decide = |form| policy.decide(&identity(&token), &listen(resources, tasks), form);
        let decision = decide(Form::Request);
        let outcome = match wanted {
            Some(_) => Outcome::Allow,
            None => Outcome::Deny(Reason::CredentialsDiffer),
        };
        assert_eq!(decision.outcome, outcome, "{resources:?} {tasks:?}");
        assert_eq!(wants(&decision), wanted, "{resources:?} {tasks:?}");
        let explained = policy.explain(&identity(&token), &listen(resources, tasks), Form::Request);
        let failed: Vec<_> = explained.checks.iter().filter(|check| !check.holds).collect();
        assert_eq!(failed.is_empty(), decision.is_allow());
        assert!(failed.iter().all(|check| check.reason == Reason::CredentialsDiffer));
    }
}

/// Who may not have one of them learns nothing of the others.
#[test]
fn that_objects_do_not_go_together_is_the_last_thing_to_be_told() {
    let policy = exchanging(Mode::Enforce);
    let decide = |scopes: &[&str], uris: &[&str]| {
        let token = caller(scopes);
        policy.decide(&identity(&token), &listen(uris, &[]), Form::Request).outcome
    };
    for uris in [
        ["docs://a", "other://b", "unknown://c"],
        ["unknown://c", "other://b", "docs://a"],
        ["other://b", "unknown://c", "docs://a"],
    ] {
        assert_eq!(decide(&["docs.read"], &uris), Outcome::Deny(Reason::NoRule), "{uris:?}");
    }
    let missing = Outcome::Deny(Reason::MissingScope);
    assert_eq!(decide(&[], &["docs://a", "other://b"]), missing);
    assert_eq!(decide(&[], &["other://b", "docs://a"]), missing);
}

/// A server without an exchange: what takes none is not lent what something else takes.
#[test]
fn a_subscription_lends_no_object_the_credential_of_another() {
    let settings = Settings { exchange: None, ..Settings::default() };
    let policy = ServerPolicy { settings, ..exchanging(Mode::Enforce) };
    let token = caller(&["docs.read"]);
    let differ = Outcome::Deny(Reason::CredentialsDiffer);
    for (resources, tasks, outcome, wanted) in [
        (&["docs://a"][..], &[][..], Outcome::Allow, None),
        (&["docs://a", "docs://b"], &["t"], Outcome::Allow, None),
        (&["other://a"], &[], Outcome::Allow, Some(("other", vec!["mcp"]))),
        (&["docs://a", "other://b"], &[], differ, None),
        (&["other://b", "docs://a"], &[], differ, None),
        (&["other://b", "docs://a", "other://c"], &[], differ, None),
        (&["other://a"], &["t"], differ, None),
    ] {
        let decision = policy.decide(&identity(&token), &listen(resources, tasks), Form::Request);
        assert_eq!(decision.outcome, outcome, "{resources:?} {tasks:?}");
        assert_eq!(wants(&decision), wanted, "{resources:?} {tasks:?}");
    }
}

/// Who is refused whatever it is about gets no credential before anybody knows what it is about.
#[test]
fn what_is_not_known_takes_nothing_along_for_who_is_refused_anyway() {
    let token = caller(&["docs.read"]);
    let wanted = |settings: Settings, methods: &[&str], era| {
        let exchange = exchanging(Mode::Enforce).settings.exchange;
        let methods = methods.iter().map(|method| Pattern::parse(method).unwrap()).collect();
        let settings = Settings { exchange, ..settings };
        let policy = ServerPolicy { settings, methods, ..exchanging(Mode::Enforce) };
        policy.credential_of_unknown(&identity(&token), era).is_some()
    };
    let strict = |mode| Settings { dpop: Requirement::Required, mode, ..Settings::default() };
    for era in [Era::Legacy, Era::Modern] {
        assert!(wanted(Settings::default(), &["initialize"], era));
        assert!(!wanted(strict(Mode::Enforce), &["initialize"], era));
        let nobody = || Some(Rc::new(Agents::new(Vec::new()).unwrap()));
        let closed = |mode| Settings { agents: nobody(), mode, ..Settings::default() };
        assert!(!wanted(closed(Mode::Enforce), &["initialize"], era));
        assert!(wanted(closed(Mode::Shadow), &["initialize"], era));
    }
    // Sessions are of the older revisions.
    assert!(!wanted(Settings::default(), &["tools/list"], Era::Legacy));
    assert!(wanted(Settings::default(), &["tools/list"], Era::Modern));
    // A session begins before a token can name it.
    let bound = Settings { needs_session_context: true, ..Settings::default() };
    assert!(wanted(bound, &["initialize"], Era::Legacy));
}

/// Nothing is let through that would carry the wrong credential, and what no rule speaks of gets
/// the server's.
#[test]
fn shadow_gives_no_request_two_credentials() {
    let policy = exchanging(Mode::Shadow);
    let token = caller(&[]);
    let decide =
        |uris: &[&str]| policy.decide(&identity(&token), &listen(uris, &[]), Form::Request);
    assert_eq!(
        decide(&["docs://a", "other://b"]).enforced_denial(),
        Some(Reason::CredentialsDiffer)
    );
    for uris in [&["unknown://a"][..], &["docs://a"], &["docs://a", "unknown://b"]] {
        let decision = decide(uris);
        assert!(decision.proceeds() && !decision.is_allow());
        assert_eq!(wants(&decision), Some(("own", vec!["mcp"])), "{uris:?}");
    }
}

#[test]
fn sessions_and_methods_take_along_what_the_server_does() {
    let policy = exchanging(Mode::Enforce);
    let token = caller(&["docs.read"]);
    let own = Some(("own", vec!["mcp"]));
    assert_eq!(wants(&policy.decide_session(&identity(&token))), own);
    for (method, target) in
        [("initialize", Target::None), ("tasks/get", Target::Task("t".to_owned()))]
    {
        let method = operation(method, target);
        let decision = policy.decide(&identity(&token), &method, Form::Request);
        assert_eq!(wants(&decision), own);
        let wanted = decision.obligations.credential.unwrap();
        assert!(wanted.server_wide && wanted.needs.is_empty());
        for era in [Era::Legacy, Era::Modern] {
            let unknown = policy.credential_of_unknown(&identity(&token), era);
            assert_eq!(unknown.as_ref(), Some(&wanted));
        }
    }
    assert!(policy.exchanges() && policy.counts());
    let nothing = self::policy();
    assert_eq!(nothing.credential_of_unknown(&identity(&token), Era::Legacy), None);
    assert!(!nothing.exchanges());
}
