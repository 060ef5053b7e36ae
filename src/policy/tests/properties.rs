//! What holds of every policy and every caller: generated ones, thousands of them.

use super::*;
use crate::token::SpiffeId;

const TOOLS: [&str; 6] = ["get_a", "get_b", "del_a", "del_b", "x", "get_"];
const PATTERNS: [&str; 9] = ["*", "get_*", "get_a", "*_a", "del_*", "g*t_*a", "d*_b", "x", "*t_*"];
const SCOPES: [&str; 4] = ["read", "write", "docs:*", "profile"];
const DOWNSTREAM: [&str; 3] = ["api.a", "api.b", "write"];
const ROLES: [&str; 3] = ["admin", "editor", "Docs.ReadAll"];
const GROUPS: [&str; 2] = ["staff", "ops"];
const TENANTS: [&str; 2] = ["acme", "umbrella"];
const SUBJECTS: [&str; 3] = ["alice", "bob", "bot"];
const AGENTS: [&str; 2] = ["bot", "ops"];
const ACTORS: [&str; 4] = ["bot", "ops", "evil", "alice"];
const WORKLOADS: [&str; 3] =
    ["spiffe://corp.example/bot", "spiffe://corp.example/ops", "spiffe://corp.example/other"];

/// What differs from the policy that a seed names. Everything else is drawn alike.
#[derive(Default)]
struct Variation {
    /// One more rule that forbids.
    forbids: bool,
    /// Nothing is asked of agents.
    no_agents: bool,
    /// Nothing is asked of users.
    no_users: bool,
    /// What becomes of all denials.
    mode: Option<Mode>,
    /// Operations get credentials.
    exchanges: bool,
}

fn mode(random: &mut Random) -> Option<Mode> {
    random.of(&[None, None, None, Some(Mode::Enforce), Some(Mode::Shadow)])
}

/// Half of the time nothing, and else some of these.
fn sometimes(random: &mut Random, choices: &[&str]) -> BTreeSet<String> {
    let some = random.some(choices);
    if random.one_in(5) { some } else { BTreeSet::new() }
}

fn rule(random: &mut Random, index: usize, variation: &Variation) -> Rule {
    let mut rule = Rule {
        id: format!("rules[{index}]"),
        scopes: sometimes(random, &SCOPES),
        any_scopes: sometimes(random, &SCOPES).into_iter().collect(),
        roles: sometimes(random, &ROLES),
        groups: sometimes(random, &GROUPS),
        tenants: sometimes(random, &TENANTS),
        subjects: sometimes(random, &SUBJECTS),
        issuers: if random.one_in(8) { [IssuerId(0)].into() } else { BTreeSet::new() },
        agents: sometimes(random, &AGENTS),
        on_behalf_of: random.one_in(6),
        workloads: (0..random.below(3))
            .map(|_| WorkloadGrant {
                agents: random.some(&AGENTS),
                scopes: sometimes(random, &SCOPES),
                permissions: sometimes(random, &ROLES),
            })
            .collect(),
        step_up: random.one_in(4).then(|| {
            let acr = if random.one_in(2) { vec!["mfa".to_owned()] } else { Vec::new() };
            let max_age = random.one_in(2).then_some(Duration::from_secs(300));
            Rc::new(StepUp { acr, max_age, contexts: Vec::new() })
        }),
        dpop: random.of(&[None, None, Some(Requirement::Optional), Some(Requirement::Required)]),
        mode: mode(random),
        ..Rule::default()
    };
    if variation.no_agents {
        rule.agents.clear();
    }
    if variation.no_users {
        rule = Rule {
            id: rule.id,
            agents: rule.agents,
            workloads: rule.workloads,
            mode: rule.mode,
            // What is asked of the sender may be less than the server does.
            dpop: rule.dpop,
            ..Rule::default()
        };
    }
    if variation.mode.is_some() {
        rule.mode = None;
    }
    if variation.exchanges {
        // Drawn apart, so that the rules are those of the seed.
        let random = &mut Random(random.0 ^ 0xe8c4_a19e);
        rule.exchange = random.one_in(3).then(|| exchange(random));
        rule.downstream_scopes =
            random.one_in(4).then(|| Rc::new(set(&[random.of(&DOWNSTREAM), "api.any"])));
        rule.server_wide_exchange = random.one_in(3);
    }
    rule
}

fn exchange(random: &mut Random) -> Rc<Downstream> {
    let scopes = random.of(&[DownstreamScopes::PerOperation, DownstreamScopes::PerServer]);
    let id = random.of(&[None, Some(0), Some(1)]);
    let server_scopes = random.of(&[&[][..], &["mcp"], &["mcp", "write"]]);
    downstream("exchange", id, scopes, if id.is_some() { server_scopes } else { &[] })
}

fn deny_rule(random: &mut Random, variation: &Variation) -> (Pattern, Rc<DenyRule>) {
    let mode = mode(random);
    let rule = DenyRule {
        id: "deny".to_owned(),
        agents: sometimes(random, &AGENTS),
        subjects: sometimes(random, &SUBJECTS),
        tenants: sometimes(random, &TENANTS),
        mode: if variation.mode.is_some() { None } else { mode },
    };
    (Pattern::parse(random.of(&PATTERNS)).unwrap(), Rc::new(rule))
}

fn agents(random: &mut Random) -> Agents {
    let mut agent = |name: &str, identifier: AgentIdentifier, workload: &str| Agent {
        name: name.to_owned(),
        identifiers: vec![identifier, AgentIdentifier::Workload(workload_id(workload))],
        issuers: vec![IssuerId(0)],
        required_scopes: if random.one_in(6) { set(&["profile"]) } else { BTreeSet::new() },
        optional_scopes: random.one_in(3).then(|| random.some(&SCOPES)),
        servers: random.one_in(9).then(|| random.some(&["https://mcp.example/mcp"])),
        tools: random.one_in(3).then(|| vec![Pattern::parse(random.of(&PATTERNS)).unwrap()]),
        versions: random.one_in(9).then(|| vec![Pattern::parse("2.*").unwrap()]),
        needs_instance: random.one_in(9),
        ..Agent::default()
    };
    let client = AgentIdentifier::Client("bot".to_owned());
    let actor = AgentIdentifier::Actor("ops".to_owned());
    let bot = agent("bot", client, WORKLOADS[0]);
    Agents::new(vec![bot, agent("ops", actor, WORKLOADS[1])]).unwrap()
}

fn workload_id(text: &str) -> SpiffeId {
    SpiffeId::parse(text).unwrap()
}

fn policy(seed: u64, variation: &Variation) -> ServerPolicy {
    let mut random = Random(seed);
    let random = &mut random;
    let mut tools = ObjectRules::default();
    for index in 0..=random.below(5) {
        let rule = Rc::new(rule(random, index, variation));
        // Some tie with another, and are left out.
        let _ = tools.allow.insert(Pattern::parse(random.of(&PATTERNS)).unwrap(), &rule);
    }
    let forbidding = random.below(3);
    for index in 0..=forbidding {
        let (pattern, rule) = deny_rule(random, variation);
        let is_there = index < forbidding || variation.forbids;
        if is_there && (rule.agents.is_empty() || !variation.no_agents) {
            tools.deny.insert(pattern, &rule).unwrap();
        }
    }
    let implies =
        [("write".to_owned(), set(&["read"])), ("docs:*".to_owned(), set(&["read", "profile"]))];
    let implies = if random.one_in(2) { implies.into() } else { [].into() };
    let editors = ScopeGrant { roles: set(&["editor"]), groups: set(&["ops"]), issuer: None };
    let granted = [("write".to_owned(), vec![editors])];
    let scopes = Rc::new(Scopes::new(implies, granted.into()).unwrap());
    let agents = (random.below(3) > 0).then(|| Rc::new(agents(random)));
    let delegation = Delegation {
        max_depth: random.below(4),
        actors: random.one_in(4).then(|| random.some(&AGENTS)),
        prior_actors: random.one_in(4).then(|| random.some(&ACTORS)),
    };
    let own_mode = if random.one_in(4) { Mode::Shadow } else { Mode::Enforce };
    let settings = Settings {
        resource: "https://mcp.example/mcp".to_owned(),
        mode: variation.mode.unwrap_or(own_mode),
        dpop: if random.one_in(8) { Requirement::Required } else { Requirement::Optional },
        agents: agents.filter(|_| !variation.no_agents),
        takes_unknown_agents: random.one_in(2),
        scopes,
        delegation: Delegation {
            actors: delegation.actors.filter(|_| !variation.no_agents),
            ..delegation
        },
        needs_session_context: random.one_in(9),
        lists_attainable: random.one_in(3),
        exchange: variation.exchanges.then(|| exchange(random)),
        ..Settings::default()
    };
    let none = ObjectRules::default;
    let methods = vec![Pattern::parse("tools/list").unwrap()];
    ServerPolicy::new(methods, tools, none(), none(), settings)
}

/// A caller, drawn.
fn drawn(random: &mut Random) -> (AccessToken, Option<SpiffeId>) {
    let mut token = token(&[]);
    token.scopes = random.some(&SCOPES);
    token.roles = random.some(&ROLES);
    token.groups = random.some(&GROUPS);
    token.subject = random.of(&SUBJECTS).to_owned();
    token.client_id = random.of(&["bot", "bot", "alice", "evil"]).to_owned();
    token.tenant = random.of(&[None, Some("acme"), Some("umbrella")]).map(str::to_owned);
    if random.one_in(5) {
        token.kind = SubjectKind::Workload;
    }
    if random.one_in(2) {
        token.actors = (0..random.below(4))
            .map(|_| actor(random.of(&["ops", "ops", "bot", "evil"])))
            .collect();
    }
    token.may_act = random.one_in(6).then(|| actor(random.of(&ACTORS)));
    token.acr = random.of(&[None, Some("pwd"), Some("mfa")]).map(str::to_owned);
    token.authenticated_at = random.of(&[None, Some(NOW), Some(SystemTime::UNIX_EPOCH)]);
    token.consent.agents = random.one_in(8).then(|| random.some(&ACTORS));
    token.context.session = random.one_in(8).then(|| "session".to_owned());
    token.agent.version = random.of(&[None, Some("1.9"), Some("2.1")]).map(str::to_owned);
    if random.one_in(2) {
        token.confirmation.key = Some(Thumbprint([1; 32]));
    }
    let workload = random.one_in(4).then(|| workload_id(random.of(&WORKLOADS)));
    (token, workload)
}

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

/// A generated case, and what is asked about it.
struct Drawn {
    seed: u64,
    token: AccessToken,
    workload: Option<SpiffeId>,
    tool: Target,
}

impl Drawn {
    fn decide(&self, policy: &ServerPolicy, token: &AccessToken) -> Decision {
        self.ask(token, |identity| policy.decide_target(identity, &self.tool))
    }

    fn is_shown(&self, policy: &ServerPolicy, token: &AccessToken) -> bool {
        self.ask(token, |identity| policy.shows(identity, &self.tool))
    }

    fn ask<T>(&self, token: &AccessToken, ask: impl FnOnce(&Identity<'_>) -> T) -> T {
        let token = Verified::assumed(token.clone());
        let context = RequestContext { session: Some("session"), instance: None };
        let workload = self.workload.as_ref();
        ask(&Identity { token: &token, workload, context, now: NOW + Duration::from_secs(9_000) })
    }
}

/// Checks a property of many cases. It says in how many of them there was something to hold,
/// and has to be able to fail in enough.
fn every_case(least: usize, mut holds: impl FnMut(&Drawn, &ServerPolicy) -> bool) {
    let mut telling = 0;
    for seed in 0..9_000 {
        let policy = policy(seed, &Variation::default());
        let mut random = Random(seed ^ 0xca11_e125);
        for _ in 0..4 {
            let (token, workload) = drawn(&mut random);
            let tool = Target::Tool(random.of(&TOOLS).to_owned());
            telling += usize::from(holds(&Drawn { seed, token, workload, tool }, &policy));
        }
    }
    assert!(telling >= least, "{telling} cases");
}

#[test]
fn one_more_deny_rule_never_allows_more() {
    every_case(200, |case, policy| {
        let stricter =
            self::policy(case.seed, &Variation { forbids: true, ..Variation::default() });
        let (before, after) =
            (case.decide(policy, &case.token), case.decide(&stricter, &case.token));
        assert!(before.is_allow() || !after.is_allow(), "{}", case.seed);
        assert!(before.proceeds() || !after.proceeds(), "{}", case.seed);
        before.is_allow() && !after.is_allow()
    });
}

#[test]
fn user_and_agent_together_may_no_more_than_either() {
    every_case(300, |case, policy| {
        if case.token.kind == SubjectKind::Workload {
            return false;
        }
        let user = Variation { no_agents: true, ..Variation::default() };
        let agent = Variation { no_users: true, ..Variation::default() };
        let [user, agent] =
            [user, agent].map(|alone| case.decide(&self::policy(case.seed, &alone), &case.token));
        let both = case.decide(policy, &case.token);
        if both.is_allow() {
            assert!(user.is_allow() && agent.is_allow(), "{}", case.seed);
        }
        user.is_allow() != agent.is_allow()
    });
}

#[test]
fn lists_show_what_calls_may() {
    every_case(300, |case, policy| {
        let call = case.decide(policy, &case.token).enforced_denial();
        let shown = case.is_shown(policy, &case.token);
        if policy.settings().lists_attainable {
            let attainable = call.is_none_or(Reason::asks_for_another_token);
            assert_eq!(shown, attainable, "{} {call:?}", case.seed);
        } else {
            let mut mended = case.token.clone();
            mended.acr = Some("mfa".to_owned());
            mended.authenticated_at = Some(NOW + Duration::from_secs(9_000));
            let mended = case.decide(policy, &mended).enforced_denial();
            assert_eq!(shown, mended.is_none(), "{} {call:?}", case.seed);
            assert!(!shown || matches!(call, None | Some(Reason::StepUp)), "{}", case.seed);
        }
        shown && call.is_some()
    });
}

#[test]
fn a_narrower_token_never_gains() {
    let mut random = Random(7);
    every_case(200, |case, policy| {
        let mut narrow = case.token.clone();
        for list in [&mut narrow.scopes, &mut narrow.roles, &mut narrow.groups] {
            list.retain(|_| random.one_in(2));
        }
        let (wide, less) = (case.decide(policy, &case.token), case.decide(policy, &narrow));
        assert!(wide.is_allow() || !less.is_allow(), "{}", case.seed);
        assert!(wide.proceeds() || !less.proceeds(), "{}", case.seed);
        let shown = case.is_shown(policy, &case.token);
        assert!(shown || !case.is_shown(policy, &narrow), "{}", case.seed);
        wide.is_allow() && !less.is_allow()
    });
}

#[test]
fn rfc_8693_4_1_prior_actors_permit_nothing() {
    every_case(50, |case, policy| {
        let mut without = case.token.clone();
        without.actors.truncate(1);
        let (with, without) = (case.decide(policy, &case.token), case.decide(policy, &without));
        assert!(without.is_allow() || !with.is_allow(), "{}", case.seed);
        assert_eq!(with.agent, without.agent);
        without.is_allow() && !with.is_allow()
    });
}

#[test]
fn shadow_changes_what_becomes_of_a_denial_and_not_the_decision() {
    every_case(500, |case, policy| {
        let mixed = case.decide(policy, &case.token);
        let [enforced, shadow] = [Mode::Enforce, Mode::Shadow].map(|mode| {
            let variation = Variation { mode: Some(mode), ..Variation::default() };
            case.decide(&self::policy(case.seed, &variation), &case.token)
        });
        assert_eq!(mixed.is_allow(), enforced.is_allow(), "{}", case.seed);
        assert_eq!(shadow.is_allow(), enforced.is_allow(), "{}", case.seed);
        // The server's own demand on senders stays.
        assert!(matches!(shadow.enforced_denial(), None | Some(Reason::DpopRequired)));
        !mixed.is_allow() && mixed.proceeds()
    });
}

#[test]
fn an_explanation_is_of_the_decision() {
    every_case(1_000, |case, policy| {
        let operation = Operation { method: "tools/call".to_owned(), target: case.tool.clone() };
        let explained = case.ask(&case.token, |it| policy.explain(it, &operation, Form::Request));
        let decided = case.decide(policy, &case.token);
        assert_eq!(explained.decision, decided);
        let failed: Vec<_> = explained.checks.iter().filter(|check| !check.holds).collect();
        assert_eq!(failed.is_empty(), decided.is_allow());
        if let Outcome::Deny(reason) = decided.outcome {
            assert!(failed.iter().any(|check| check.reason == reason));
        }
        decided.is_allow()
    });
}

/// Checks a property of the credentials of many cases: of what is wanted, and by which rule, if
/// any.
fn every_credential(
    least: usize,
    mut holds: impl FnMut(&Drawn, &ServerPolicy, &CredentialWanted, Option<&Rc<Rule>>) -> bool,
) {
    every_case(least, |case, _| {
        let variation = Variation { exchanges: true, ..Variation::default() };
        let policy = &policy(case.seed, &variation);
        let decision = case.decide(policy, &case.token);
        let wanted = decision.obligations.credential.as_ref().filter(|_| decision.proceeds());
        wanted.is_some_and(|wanted| holds(case, policy, wanted, policy.rule(&case.tool)))
    });
}

fn narrower(token: &AccessToken, random: &mut Random) -> AccessToken {
    let mut narrow = token.clone();
    narrow.scopes.retain(|_| random.one_in(2));
    narrow
}

/// Nor one that follows from them. What the configuration says is asked for as it stands.
#[test]
fn rfc_8693_2_1_no_scope_is_asked_for_that_the_token_does_not_carry() {
    every_credential(300, |case, policy, wanted, rule| {
        let configured = std::iter::once(&wanted.downstream.server_scopes)
            .chain(rule.and_then(|rule| rule.downstream_scopes.as_ref()));
        let mut configured = configured.filter(|scopes| **scopes == wanted.scopes).peekable();
        let scopes = &policy.settings().scopes;
        let carried = wanted.scopes.iter().all(|it| scopes.covers(&case.token.scopes, it));
        assert!(carried || configured.peek().is_some(), "{} {wanted:?}", case.seed);
        carried && configured.peek().is_none()
    });
}

#[test]
fn a_narrower_token_never_asks_for_more() {
    let mut random = Random(11);
    every_credential(80, |case, policy, wide, rule| {
        let token = narrower(&case.token, &mut random);
        let less = case.decide(policy, &token);
        let allowed = less.is_allow();
        let Some(narrow) = less.obligations.credential.filter(|_| allowed) else { return false };
        let scopes = &policy.settings().scopes;
        for scope in &*narrow.scopes {
            // Of several that are enough it may be another, which the wider token has too.
            let is_alternative = rule.is_some_and(|rule| rule.any_scopes.contains(scope))
                && scopes.covers(&case.token.scopes, scope);
            let is_known = wide.scopes.contains(scope) || is_alternative;
            let is_configured = wide.downstream.server_scopes.contains(scope);
            assert!(is_known || is_configured, "{} {wide:?} {narrow:?}", case.seed);
        }
        !wide.needs.is_empty() && token.scopes != case.token.scopes
    });
}

/// What an operation needs is asked for, unless it is said what is asked for by the server.
#[test]
fn what_is_needed_is_asked_for() {
    every_credential(400, |case, _, wanted, _| {
        let per_operation = wanted.downstream.scopes == DownstreamScopes::PerOperation;
        if per_operation {
            assert!(wanted.needs.is_subset(&wanted.scopes), "{} {wanted:?}", case.seed);
        } else {
            assert_eq!(wanted.scopes, wanted.downstream.server_scopes, "{}", case.seed);
        }
        per_operation && !wanted.needs.is_empty()
    });
}

/// Else the cache of credentials would be of no use.
#[test]
fn an_operation_wants_the_same_however_often_it_is_decided() {
    every_credential(2_000, |case, policy, wanted, _| {
        let again = case.decide(policy, &case.token).obligations.credential;
        assert_eq!(again.as_ref(), Some(wanted), "{}", case.seed);
        // A new configuration that says the same.
        let variation = Variation { exchanges: true, ..Variation::default() };
        let reloaded = case.decide(&self::policy(case.seed, &variation), &case.token);
        assert_eq!(reloaded.obligations.credential.as_ref(), Some(wanted), "{}", case.seed);
        true
    });
}

#[test]
fn exchanges_change_no_decision_about_one_object() {
    every_credential(2_000, |case, policy, _, _| {
        let without = self::policy(case.seed, &Variation::default());
        let [with, without] = [policy, &without].map(|it| case.decide(it, &case.token));
        assert_eq!((with.outcome, with.mode), (without.outcome, without.mode), "{}", case.seed);
        true
    });
}

#[test]
fn ten_thousand_rules_are_looked_up_as_ten_are() {
    let probes = |count: usize| {
        let mut table = RuleTable::default();
        for index in 0..count {
            let rule = Rc::new(Rule { id: index.to_string(), ..Rule::default() });
            for name in
                [format!("tool_{index:05}"), format!("do_{index:05}*"), format!("*_{index:05}")]
            {
                table.insert(Pattern::parse(&name).unwrap(), &rule).unwrap();
            }
        }
        table.probes()
    };
    assert_eq!(probes(10), probes(10_000));
}
