//! What goes to the MCP server in place of the caller's token, and when.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::driver::*;
use crate::exchange::{
    Credential, Errand, ExchangeError, ExchangeId, Exchanger, Flaw, Origin, Outcome, Scheme,
};
use crate::gate::*;
use crate::host::fake::START;
use crate::policy::{
    Downstream, DownstreamScopes, Introspect, ObjectRules, Pattern, Rule, Settings,
};
use crate::reply::LocalReply;
use crate::token::{MAX_TOKEN, Requirement, Secret};

const OK: (&str, &str) = (":status", "200");
const JSON: (&str, &str) = ("content-type", "application/json");

/// The credential that the MCP server is to see.
const DOWNSTREAM: &str = "downstream-token-1";

fn scopes(names: &[&str]) -> Rc<BTreeSet<String>> {
    Rc::new(names.iter().map(|&name| name.to_owned()).collect())
}

fn downstream(name: &str, exchange: Option<usize>) -> Rc<Downstream> {
    Rc::new(Downstream {
        name: name.into(),
        exchange: exchange.map(ExchangeId),
        scopes: DownstreamScopes::PerOperation,
        server_scopes: exchange.map(|_| scopes(&["docs.all"])).unwrap_or_default(),
    })
}

/// Tools for readers: `search` asks for what it takes; `delete` and `archive` are mapped, the
/// latter so that older clients may have it in `stream`; `mail` has an exchange of its own, and
/// `local` what the cluster injects.
fn policy(settings: Settings) -> ServerPolicy {
    let reader = || Rule { scopes: ["docs.read".to_owned()].into(), ..Rule::default() };
    let mut tools = ObjectRules::default();
    for (name, rule) in [
        ("search", Rule { server_wide_exchange: true, ..reader() }),
        ("delete", Rule { downstream_scopes: Some(scopes(&["files.delete"])), ..reader() }),
        (
            "archive",
            Rule {
                downstream_scopes: Some(scopes(&["files.archive"])),
                server_wide_exchange: true,
                ..reader()
            },
        ),
        (
            "mail",
            Rule {
                exchange: Some(downstream("mail", Some(1))),
                server_wide_exchange: true,
                ..reader()
            },
        ),
        (
            "local",
            Rule {
                exchange: Some(downstream("cluster", None)),
                server_wide_exchange: true,
                ..reader()
            },
        ),
        ("asked", Rule { introspect: Some(Introspect::Fresh), ..reader() }),
        (
            "either",
            Rule {
                any_scopes: vec!["docs.read".to_owned(), "docs.list".to_owned()],
                introspect: Some(Introspect::Fresh),
                ..Rule::default()
            },
        ),
    ] {
        tools.allow.insert(Pattern::parse(name).unwrap(), &Rc::new(rule)).unwrap();
    }
    let methods = ["initialize", "tools/list", "notifications/*", "subscriptions/listen"];
    let methods = methods.map(|method| Pattern::parse(method).unwrap()).to_vec();
    let mut resources = ObjectRules::default();
    let cluster = || Some(downstream("cluster", None));
    for (uri, server_wide_exchange, exchange) in
        [("docs://*", false, None), ("wide://*", true, None), ("local://*", false, cluster())]
    {
        let rule = Rule { server_wide_exchange, exchange, ..reader() };
        resources.allow.insert(Pattern::parse(uri).unwrap(), &Rc::new(rule)).unwrap();
    }
    ServerPolicy::new(methods, tools, ObjectRules::default(), resources, settings)
}

fn settings() -> Settings {
    let exchange = Some(downstream("docs-api", Some(0)));
    Settings { resource: RESOURCE.to_owned(), exchange, ..Settings::default() }
}

/// A server with that policy, whose exchanges end like this.
fn exchanging_of<const N: usize>(config: &Value, answers: [Outcome; N]) -> Driver {
    exchanging_by(config, settings(), answers)
}

/// The same, where this holds of all operations.
fn exchanging_by<const N: usize>(
    config: &Value,
    settings: Settings,
    answers: [Outcome; N],
) -> Driver {
    let policy = Rc::new(policy(settings));
    let mut driver = Driver::changed(config, |enforcement| {
        for server in &mut enforcement.servers {
            server.policies.own = Rc::clone(&policy);
            server.actor_token_header = Some("x-agent-token".to_owned());
        }
    });
    driver.worker.exchanger = Exchanger::scripted(answers);
    driver
}

fn exchanging<const N: usize>(mode: HostMode, answers: [Outcome; N]) -> Driver {
    exchanging_of(&config(mode), answers)
}

fn credential(granted: Option<&[&str]>) -> Rc<Credential> {
    Rc::new(Credential {
        scheme: Scheme::Bearer,
        token: Secret::new(DOWNSTREAM.to_owned()),
        granted: granted.map(|names| (*scopes(names)).clone()),
        expires_at: SystemTime::UNIX_EPOCH + START + Duration::from_secs(300),
        id: [0xc1; 32],
    })
}

fn ready(granted: Option<&[&str]>) -> Outcome {
    Outcome::Ready(credential(granted), Origin::Exchanged)
}

fn cached(granted: Option<&[&str]>) -> Outcome {
    Outcome::Ready(credential(granted), Origin::Cached)
}

fn waits() -> Outcome {
    Outcome::Waits(Errand::assumed(1))
}

fn refused(error: ExchangeError) -> Outcome {
    Outcome::Refused(error)
}

/// The token of a reader: always the same, so that it can be looked for.
static TOKEN: LazyLock<String> = LazyLock::new(|| token("docs.read"));

fn reader() -> Request {
    Request::post(&TOKEN)
}

/// The same in a session.
fn in_session() -> Request {
    reader().line("mcp-session-id", sealed("s"))
}

/// An answer to a request of the server's.
fn answer() -> String {
    json!({ "jsonrpc": "2.0", "id": 1, "result": {} }).to_string()
}

/// What is asked for, in order: by which exchange, and for which scopes.
fn asked(driver: &Driver) -> Vec<(usize, Vec<&str>)> {
    let asked = driver.worker.exchanger.asked().iter();
    asked
        .map(|asked| (asked.exchange.0, asked.scopes.iter().map(String::as_str).collect()))
        .collect()
}

#[track_caller]
fn waiting(driver: &Driver, effects: &Effects) {
    let wait = Wait::Credential(Errand::assumed(1));
    let expected = Effects { wake: Some(Wake::Settled(wait)), ..Effects::default() };
    assert_eq!(*effects, expected);
    assert_eq!(driver.gate.awaits(), Some(wait));
    assert!(!driver.gate.awaits_hold_check());
}

/// The headers that the MCP server sees. The caller's token is in none of them, and none is told
/// by accident what it sees instead.
#[track_caller]
fn upstream(request: &Request, effects: &Effects) -> Vec<(String, Vec<u8>)> {
    assert_eq!((effects.flow, &effects.reply), (Flow::Continue, &None));
    let mut lines = request.lines.clone();
    for edit in &effects.request_headers {
        let (name, value) = match edit {
            HeaderEdit::Remove(name) => (name.as_str(), None),
            HeaderEdit::Set(name, value) => (*name, Some(value.as_str())),
            HeaderEdit::SetSecret(name, value) => (*name, Some(value.reveal())),
        };
        lines.retain(|(present, _)| present != name);
        lines.extend(value.map(|value| (name.to_owned(), value.as_bytes().to_vec())));
    }
    let authorization = request.lines.iter().find(|(name, _)| name == "authorization").unwrap();
    let token = authorization.1.strip_prefix(b"Bearer ").unwrap();
    for (name, value) in &lines {
        assert!(!value.windows(token.len()).any(|part| part == token), "{name}");
    }
    assert!(!format!("{effects:?}").contains(DOWNSTREAM));
    lines
}

/// What it sees as `Authorization`.
#[track_caller]
fn authorization(request: &Request, effects: &Effects) -> Option<String> {
    let mut lines = upstream(request, effects).into_iter();
    let value = lines.find(|(name, _)| name == "authorization")?.1;
    Some(String::from_utf8(value).unwrap())
}

fn sent() -> Option<String> {
    Some(format!("Bearer {DOWNSTREAM}"))
}

fn settle(driver: &mut Driver, body: &str) -> Effects {
    driver.on(Event::Settled { body: &Bytes(body.as_bytes()) })
}

// `hold`: after the decision.

#[test]
fn in_hold_a_call_waits_for_its_credential_and_takes_it_along() {
    let search = call("search");
    let mut driver = exchanging(HostMode::Hold, [waits(), ready(Some(&["docs.read"]))]);
    let request = reader().line("x-agent-token", "agent-token-of-its-own");
    assert_eq!(driver.request(&request).flow, Flow::Pause);
    let effects = driver.body(&search, true);
    waiting(&driver, &effects);
    // Whatever the host calls meanwhile.
    assert_eq!(driver.body("", true), Effects::default());
    assert_eq!(driver.trailers("").flow, Flow::Pause);
    assert_eq!(driver.hold_check(5000), Effects::default());

    let effects = settle(&mut driver, &search);
    assert_eq!(authorization(&request, &effects), sent());
    assert!(!upstream(&request, &effects).iter().any(|(name, _)| name == "x-agent-token"));
    assert!(driver.gate.awaits().is_none());
    let [first, second] = driver.worker.exchanger.asked() else { panic!("two") };
    assert_eq!((first.waited, second.waited), (None, Some(Errand::assumed(1))));
    for asked in [first, second] {
        assert_eq!((asked.exchange, &asked.scopes), (ExchangeId(0), &*scopes(&["docs.read"])));
        assert_eq!(asked.token, *TOKEN);
        assert_eq!(asked.agent_token.as_deref(), Some("agent-token-of-its-own"));
    }
    let record = driver.done();
    assert_eq!((&record["outcome"], &record["code"]), (&json!("allow"), &json!("allowed")));
    let exchange = json!({
        "name": "docs-api", "outcome": "exchanged", "scopes_asked": ["docs.read"],
        "scopes_granted": ["docs.read"], "credential": "c1".repeat(32),
    });
    assert_eq!(record["exchange"], exchange);
}

#[test]
fn in_hold_each_operation_has_its_own() {
    for (body, wanted) in [
        (call("search"), (0, vec!["docs.read"])),
        (call("delete"), (0, vec!["files.delete"])),
        (call("archive"), (0, vec!["files.archive"])),
        (call("mail"), (1, vec!["docs.read"])),
        (rpc("tools/list", &json!({})), (0, vec!["docs.all"])),
        (notification("notifications/initialized"), (0, vec!["docs.all"])),
        (answer(), (0, vec!["docs.all"])),
    ] {
        let mut driver = exchanging(HostMode::Hold, [cached(None)]);
        driver.request(&in_session());
        let effects = driver.body(&body, true);
        assert_eq!(authorization(&in_session(), &effects), sent(), "{body}");
        assert_eq!(asked(&driver), [wanted]);
        let exchange = driver.done()["exchange"].clone();
        assert_eq!(exchange["outcome"], "cached");
        assert_eq!(exchange["scopes_granted"], Value::Null);
    }
}

#[test]
fn where_the_cluster_injects_nothing_is_asked_and_nothing_is_added() {
    let (request, body) = modern("tools/call", Some("local"));
    let requests = [
        (HostMode::Hold, reader(), call("local")),
        (HostMode::Hold, request.clone(), body.clone()),
        (HostMode::Stream, request, body),
    ];
    for (mode, request, body) in requests {
        let mut driver = exchanging(mode, []);
        let arrived = driver.request(&request);
        let decided = driver.body(&body, true);
        assert_eq!((decided.flow, decided.reply.is_none()), (Flow::Continue, true));
        let effects = if mode == HostMode::Hold { decided } else { arrived };
        assert_eq!(authorization(&request, &effects), None);
        assert_eq!(driver.done()["exchange"], json!({ "name": "cluster", "outcome": "injected" }));
    }
}

/// Headers that claim nothing leave before it is known.
#[test]
fn what_the_cluster_injects_is_recorded_when_it_is_known() {
    let settings = Settings { exchange: None, ..settings() };
    let mut driver = exchanging_by(&config(HostMode::Stream), settings, []);
    let (request, body) = listen("local://a");
    assert_eq!(authorization(&request, &driver.request(&request)), None);
    let effects = driver.body(&body, true);
    assert_eq!((effects.flow, effects.reply), (Flow::Continue, None));
    assert_eq!(driver.done()["exchange"], json!({ "name": "cluster", "outcome": "injected" }));
}

/// What `asked` and `either` take: the issuer's word.
fn introspecting(mode: HostMode) -> Value {
    let mut config = config(mode);
    config["issuers"]["corp"]["introspection"] = json!({
        "uri": "https://idp.example/introspect",
        "cluster": "idp",
        "tokens": "by_rule",
        "client": { "method": "injected" },
    });
    config
}

/// Nothing that the operator could configure would help.
#[test]
fn what_the_issuer_takes_back_of_a_claimed_operation_is_a_matter_of_scopes() {
    let both = token("docs.read docs.list");
    let (request, body) = modern("tools/call", Some("either"));
    let request = request.with("authorization", format!("Bearer {both}"));
    for (scope, denied) in [("docs.read", false), ("docs.list", true)] {
        let mut driver = exchanging_of(&introspecting(HostMode::Stream), [ready(None)]);
        assert_eq!(authorization(&request, &driver.request(&request)), sent());
        assert_eq!(asked(&driver), [(0, vec!["docs.read"])]);
        driver.body(&body, true);
        let effects = driver.settle(200, &active(scope), &body);
        if !denied {
            assert_eq!((effects.flow, effects.reply), (Flow::Continue, None));
            continue;
        }
        let (reply, record) = driver.denied_and_recorded(effects, 403, "exchange_scope_refused");
        assert_eq!(record["exchange"]["outcome"], "exchange_scope_refused");
        assert_eq!(record["exchange"]["credential"], "c1".repeat(32));
        assert_eq!(json_of(&reply)["id"], 7);
    }
}

#[test]
fn what_is_denied_is_exchanged_for_nothing() {
    for (body, status, code) in [
        (call("hidden"), 200, "object_unknown"),
        (rpc("logging/setLevel", &json!({})), 200, "method_denied"),
    ] {
        let mut driver = exchanging(HostMode::Hold, []);
        driver.request(&reader());
        let effects = driver.body(&body, true);
        driver.denied(effects, status, code);
    }
    let mut driver = exchanging(HostMode::Hold, []);
    let poor = Request::post(&token("docs.list"));
    driver.request(&poor);
    let effects = driver.body(&call("search"), true);
    driver.denied(effects, 403, "scope_missing");
}

#[test]
fn what_the_issuer_takes_back_is_not_exchanged() {
    let config = introspecting(HostMode::Hold);
    let mut driver = exchanging_of(&config, [waits(), ready(None)]);
    driver.request(&reader());
    driver.body(&call("asked"), true);
    assert!(matches!(driver.gate.awaits(), Some(Wait::Evidence(_))));
    assert!(asked(&driver).is_empty());
    let effects = driver.settle(200, &active("docs.read"), &call("asked"));
    waiting(&driver, &effects);
    let effects = settle(&mut driver, &call("asked"));
    assert_eq!(authorization(&reader(), &effects), sent());

    let mut driver = exchanging_of(&config, []);
    driver.request(&reader());
    driver.body(&call("asked"), true);
    let effects = driver.settle(200, &json!({ "active": false }), &call("asked"));
    driver.denied(effects, 401, "token_inactive");
}

// What cannot be had.

/// The answer to a call whose credential cannot be had, with the record: the same at once and
/// after a wait, in every mode, and for clients of both eras. Nothing goes on with it.
#[track_caller]
fn refusal(error: &ExchangeError, status: u16, code: &str) -> LocalReply {
    let mut replies = Vec::new();
    for waited in [false, true] {
        for (mode, era) in [
            (HostMode::Hold, Era::Legacy),
            (HostMode::Hold, Era::Modern),
            (HostMode::Stream, Era::Modern),
        ] {
            let error = refused(error.clone());
            let mut driver = if waited {
                exchanging(mode, [waits(), error])
            } else {
                exchanging(mode, [error, waits()])
            };
            let (request, body) = match era {
                Era::Legacy => (reader(), call("search")),
                Era::Modern => modern("tools/call", Some("search")),
            };
            let mut effects = driver.request(&request);
            if mode == HostMode::Hold {
                effects = driver.body(&body, true);
            }
            if waited {
                waiting(&driver, &effects);
                effects = settle(&mut driver, &body);
            }
            let (reply, record) = driver.denied_and_recorded(effects, status, code);
            assert_eq!(record["exchange"]["name"], "docs-api");
            assert_eq!(record["exchange"]["credential"], Value::Null);
            // With the headers, nobody knows the id yet.
            let id = if mode == HostMode::Hold { json!(7) } else { Value::Null };
            assert_eq!(json_of(&reply)["id"], id);
            replies.push(reply);
        }
    }
    replies.swap_remove(0)
}

fn message(reply: &LocalReply) -> String {
    json_of(reply)["error"]["message"].as_str().unwrap().to_owned()
}

/// RFC 8693 section 2.2.2 and RFC 6749 section 5.2 say what went wrong; who can mend it gets the
/// blame.
#[test]
fn what_an_authorization_server_refuses_blames_who_can_mend_it() {
    let unavailable = |retry_after| ExchangeError::Unavailable { reason: "slow", retry_after };
    for (error, status, code, retry, bearer) in [
        (unavailable(None), 503, "exchange_unavailable", Some("5"), None),
        (
            unavailable(Some(Duration::from_millis(1500))),
            503,
            "exchange_unavailable",
            Some("2"),
            None,
        ),
        (ExchangeError::Overloaded, 503, "overloaded", Some("5"), None),
        (ExchangeError::ClientRejected, 502, "exchange_client_rejected", Some("5"), None),
        (ExchangeError::TargetRejected, 502, "exchange_target_rejected", Some("5"), None),
        (ExchangeError::RequestRejected, 502, "exchange_request_rejected", Some("5"), None),
        (ExchangeError::Unusable(Flaw::Wider), 502, "exchange_answer_wider", Some("5"), None),
        (ExchangeError::Unusable(Flaw::Audience), 502, "exchange_token_audience", Some("5"), None),
        (ExchangeError::ScopeRefused, 403, "exchange_scope_refused", None, None),
        (ExchangeError::Denied, 403, "exchange_denied", None, None),
        (ExchangeError::NoUser, 403, "exchange_user_missing", None, None),
        (ExchangeError::NoActor, 403, "exchange_actor_missing", None, None),
        (ExchangeError::ActorRejected, 403, "exchange_actor_rejected", None, None),
        (
            ExchangeError::SubjectRejected,
            401,
            "exchange_subject_rejected",
            None,
            Some("invalid_token"),
        ),
    ] {
        let reply = refusal(&error, status, code);
        assert_eq!(header(&reply, "retry-after"), retry, "{code}");
        let challenge = header(&reply, "www-authenticate");
        assert_eq!(challenge.is_some(), bearer.is_some(), "{code}");
        if let (Some(challenge), Some(error)) = (challenge, bearer) {
            assert!(challenge.contains(&format!("error=\"{error}\"")), "{challenge}");
        }
        // What was asked for, and of whom, is nobody's business.
        let body = String::from_utf8(reply.body).unwrap();
        for secret in ["docs", "slow", "audience", "scope", "wider"] {
            assert!(!body.contains(secret), "{body}");
        }
    }
}

/// There may be no user, or a user without a tenant.
#[test]
fn what_a_token_lacks_is_told() {
    let reply = refusal(&ExchangeError::NoUser, 403, "exchange_user_missing");
    let told = "a user or, where there are tenants, the user's tenant";
    assert!(message(&reply).ends_with(told), "{}", message(&reply));
}

#[test]
fn auth0_who_has_linked_no_account_is_told_where_to() {
    let connection = || "github".into();
    let url = "https://portal.example/accounts?c=github";
    let reply = refusal(
        &ExchangeError::NotLinked { connection: connection(), link_uri: Some(url.into()) },
        403,
        "account_not_linked",
    );
    let error = json_of(&reply)["error"].clone();
    assert_eq!(error["data"], json!({ "connection": "github", "url": url }));
    assert!(message(&reply).contains("github") && message(&reply).contains(url));

    let error = ExchangeError::NotLinked { connection: connection(), link_uri: None };
    let reply = refusal(&error, 403, "account_not_linked");
    assert_eq!(json_of(&reply)["error"]["data"], json!({ "connection": "github" }));
    assert!(message(&reply).contains("github"));
}

/// RFC 6749 section 3.3: a narrower answer is fine, unless the operation would be in vain.
#[test]
fn rfc6749_3_3_a_credential_without_what_the_operation_needs_is_not_sent() {
    for (tool, granted, goes) in [
        ("search", Some(&["docs.read"][..]), true),
        ("search", Some(&[]), false),
        ("delete", Some(&["files.delete"]), true),
        ("delete", Some(&["docs.read"]), false),
        ("delete", None, true),
    ] {
        let mut driver = exchanging(HostMode::Hold, [ready(granted)]);
        driver.request(&reader());
        let effects = driver.body(&call(tool), true);
        if goes {
            assert_eq!(authorization(&reader(), &effects), sent());
            continue;
        }
        let (_, record) = driver.denied_and_recorded(effects, 403, "exchange_scope_refused");
        assert_eq!(record["exchange"]["outcome"], "exchange_scope_refused");
        assert_eq!(record["exchange"]["scopes_granted"], json!(granted));
    }
}

// Users that have to do something.

fn interaction(claims: Option<&str>) -> ExchangeError {
    ExchangeError::InteractionRequired { claims: claims.map(Into::into) }
}

const CLAIMS: &str = r#"{"access_token":{"polids":{"essential":true,"values":["9ab03e19"]}}}"#;
/// [`CLAIMS`] in base64.
const ENCODED: &str =
    "eyJhY2Nlc3NfdG9rZW4iOnsicG9saWRzIjp7ImVzc2VudGlhbCI6dHJ1ZSwidmFsdWVzIjpbIjlhYjAzZTE5Il19fX0=";

/// What becomes of requests whose credential is not had without the user: statuses, codes and
/// challenges.
fn interacting(
    step_up: &str,
    claims: Option<&str>,
    token: &Value,
    times: usize,
) -> Vec<(u16, String, Option<String>)> {
    let mut config = config(HostMode::Hold);
    config["issuers"]["corp"]["step_up"] = json!(step_up);
    let mut driver = exchanging_of(&config, []);
    let mut codes = Vec::new();
    for _ in 0..times {
        driver.worker.exchanger = Exchanger::scripted([refused(interaction(claims))]);
        driver.request(&Request::post(&sign(token.clone(), "at+jwt")));
        let reply = driver.body(&rpc("tools/list", &json!({})), true).reply.unwrap();
        let record = driver.done();
        assert_eq!(record["exchange"]["outcome"], "exchange_interaction_required");
        let challenge = header(&reply, "www-authenticate").map(str::to_owned);
        codes.push((reply.status, record["code"].as_str().unwrap().to_owned(), challenge));
    }
    codes
}

fn capable() -> Value {
    let mut claims = claims("docs.read");
    claims["xms_cc"] = json!(["cp1"]);
    claims
}

/// Microsoft identity platform, "Claims challenges": what the authorization server wants to be
/// asked goes to the client as it is.
#[test]
fn entra_interaction_required_becomes_the_claims_challenge_of_the_caller() {
    let codes = interacting("claims", Some(CLAIMS), &capable(), 4);
    let (challenged, exhausted) = codes.split_at(3);
    for (status, code, challenge) in challenged {
        assert_eq!((*status, code.as_str()), (401, "claims_required"));
        let challenge = challenge.as_ref().unwrap();
        assert!(challenge.contains("error=\"insufficient_claims\""), "{challenge}");
        assert!(challenge.contains(&format!("claims=\"{ENCODED}\"")), "{challenge}");
    }
    // A client that does not bring the user there is not asked for ever.
    assert_eq!(exhausted, [(403, "step_up_exhausted".to_owned(), None)]);
}

#[test]
fn rfc9470_interaction_required_makes_the_user_authenticate_anew() {
    let codes = interacting("rfc9470", Some(CLAIMS), &claims("docs.read"), 4);
    let (challenged, exhausted) = codes.split_at(3);
    for (status, code, challenge) in challenged {
        assert_eq!((*status, code.as_str()), (401, "step_up_required"));
        let challenge = challenge.as_ref().unwrap();
        assert!(challenge.contains("error=\"insufficient_user_authentication\""), "{challenge}");
        assert!(!challenge.contains("claims="), "{challenge}");
    }
    assert_eq!(exhausted, [(403, "step_up_exhausted".to_owned(), None)]);
}

#[test]
fn who_cannot_bring_the_user_there_is_not_asked_to() {
    let mut workload = capable();
    workload["sub"] = json!("agent");
    for (step_up, claims, token) in [
        // The client did not say that it understands claims challenges.
        ("claims", Some(CLAIMS), claims("docs.read")),
        // The authorization server did not say what it wants.
        ("claims", None, capable()),
        // There is no user.
        ("claims", Some(CLAIMS), workload.clone()),
        ("rfc9470", Some(CLAIMS), workload),
    ] {
        let codes = interacting(step_up, claims, &token, 1);
        assert_eq!(codes, [(403, "exchange_interaction_required".to_owned(), None)]);
    }
}

// `stream`: with the headers.

#[test]
fn in_stream_the_headers_of_2026_07_28_leave_with_the_credential_of_what_they_claim() {
    for (tool, wanted) in
        [("search", (0, "docs.read")), ("delete", (0, "files.delete")), ("mail", (1, "docs.read"))]
    {
        let (request, body) = modern("tools/call", Some(tool));
        let mut driver = exchanging(HostMode::Stream, [waits(), ready(None)]);
        let effects = driver.request(&request);
        waiting(&driver, &effects);
        let effects = settle(&mut driver, "");
        assert_eq!(authorization(&request, &effects), sent());
        let (exchange, scope) = wanted;
        assert_eq!(asked(&driver), [(exchange, vec![scope]), (exchange, vec![scope])]);
        // The body asks for nothing more.
        let effects = driver.body(&body, true);
        assert_eq!((effects.flow, effects.request_headers), (Flow::Continue, vec![]));
        let record = driver.done();
        assert_eq!(record["code"], "allowed");
        assert_eq!(record["exchange"]["outcome"], "exchanged");
    }
}

/// MCP 2026-07-28, "Server Validation": headers that claim another operation than the body do
/// not get the body a credential that was not meant for it.
#[test]
fn mcp_2026_07_28_a_body_that_differs_from_its_headers_does_not_follow_them() {
    let (request, _) = modern("tools/call", Some("search"));
    let (_, other) = modern("tools/call", Some("delete"));
    let mut driver = exchanging(HostMode::Stream, [ready(None)]);
    assert_eq!(authorization(&request, &driver.request(&request)), sent());
    let effects = driver.body(&other, true);
    let reply = driver.denied(effects, 400, "header_mismatch");
    assert_eq!(json_of(&reply)["error"]["code"], -32020);
}

/// A subscription of a client of 2026-07-28, which its headers cannot claim.
fn listen(uri: &str) -> (Request, String) {
    let (request, body) = modern("subscriptions/listen", None);
    let mut body: Value = serde_json::from_str(&body).unwrap();
    body["params"]["notifications"] = json!({ "resourceSubscriptions": [uri] });
    (request, body.to_string())
}

/// MCP 2026-07-28, "Request Metadata": some methods name what they are about in the body alone.
/// To these clients are what older ones are to all.
#[test]
fn mcp_2026_07_28_what_headers_cannot_claim_takes_one_for_the_server_where_that_will_do() {
    for (uri, denied) in [
        ("wide://a", None),
        ("docs://a", Some("exchange_needs_hold")),
        ("unknown://a", Some("object_unknown")),
    ] {
        let (request, body) = listen(uri);
        let mut driver = exchanging(HostMode::Stream, [ready(None)]);
        let effects = driver.request(&request);
        assert_eq!(authorization(&request, &effects), sent());
        assert_eq!(asked(&driver), [(0, vec!["docs.all"])]);
        let effects = driver.body(&body, true);
        match denied {
            None => assert_eq!((effects.flow, effects.reply), (Flow::Continue, None)),
            Some(code) => {
                let status = if code == "exchange_needs_hold" { 403 } else { 200 };
                let (_, record) = driver.denied_and_recorded(effects, status, code);
                let outcome = if status == 403 { code } else { "exchanged" };
                assert_eq!(record["exchange"]["outcome"], outcome);
            }
        }
    }
}

/// Else anybody with a token could ask whether its user has linked an account.
#[test]
fn in_stream_who_is_refused_whatever_it_is_gets_nothing_exchanged() {
    for (request, body) in [(reader(), call("search")), listen("docs://a")] {
        let strict = Settings { dpop: Requirement::Required, ..settings() };
        let mut driver = exchanging_by(&config(HostMode::Stream), strict, []);
        let effects = driver.request(&request);
        assert_eq!(authorization(&request, &effects), None);
        assert!(asked(&driver).is_empty());
        let effects = driver.body(&body, true);
        let (_, record) = driver.denied_and_recorded(effects, 401, "dpop_required");
        assert_eq!(record["exchange"], Value::Null);
    }
}

#[test]
fn what_headers_claim_in_vain_gets_no_credential() {
    let (request, body) = modern("tools/call", Some("hidden"));
    let mut driver = exchanging(HostMode::Stream, []);
    assert_eq!(authorization(&request, &driver.request(&request)), None);
    let effects = driver.body(&body, true);
    driver.denied(effects, 200, "object_unknown");
}

#[test]
fn in_stream_older_clients_get_one_for_the_server_where_the_rule_permits_it() {
    for (body, goes) in [
        (call("search"), true),
        (rpc("tools/list", &json!({})), true),
        (notification("notifications/initialized"), true),
        (answer(), true),
        // Takes less, and its rule does not say that more will do.
        (call("delete"), false),
        // Another exchange's, and none.
        (call("mail"), false),
        (call("local"), false),
    ] {
        for waited in [false, true] {
            let credential = ready(None);
            let mut driver = if waited {
                exchanging(HostMode::Stream, [waits(), credential])
            } else {
                exchanging(HostMode::Stream, [credential, waits()])
            };
            let mut effects = driver.request(&in_session());
            if waited {
                waiting(&driver, &effects);
                effects = settle(&mut driver, "");
            }
            assert_eq!(authorization(&in_session(), &effects), sent());
            assert_eq!(asked(&driver)[0], (0, vec!["docs.all"]));
            let effects = driver.body(&body, true);
            if goes {
                assert_eq!((effects.flow, effects.request_headers), (Flow::Continue, vec![]));
                assert_eq!(driver.done()["code"], "allowed");
                continue;
            }
            let (reply, record) = driver.denied_and_recorded(effects, 403, "exchange_needs_hold");
            // The record says what to change, the client whom to tell.
            for word in ["`hold`", "`server_wide_exchange`"] {
                assert!(record["reason"].as_str().unwrap().contains(word), "{record}");
            }
            assert_eq!(record["exchange"]["outcome"], "exchange_needs_hold");
            assert_eq!(record["exchange"]["credential"], "c1".repeat(32));
            assert!(message(&reply).contains("operator"));
            assert_eq!(json_of(&reply)["id"], 7);
        }
    }
}

#[test]
fn a_credential_for_the_server_has_to_be_enough_for_the_operation() {
    for (granted, goes) in [
        (None, true),
        (Some(&["docs.all", "files.archive"][..]), true),
        (Some(&["docs.all"]), false),
    ] {
        let mut driver = exchanging(HostMode::Stream, [ready(granted)]);
        driver.request(&reader());
        let effects = driver.body(&call("archive"), true);
        if goes {
            assert_eq!(effects.flow, Flow::Continue);
        } else {
            driver.denied(effects, 403, "exchange_scope_refused");
        }
    }
}

/// What came of the body when the credential arrives, and what happens then.
#[test]
fn waiting_for_a_credential_loses_no_body_and_releases_none() {
    let search = call("search");
    // A part came: resuming would release it, so the headers wait for the decision, which takes
    // the credential of the operation, whatever becomes of the other one.
    let mut driver = exchanging(HostMode::Stream, [waits(), ready(None)]);
    driver.request(&reader());
    assert_eq!(driver.body("{", false), Effects::default());
    assert!(driver.gate.awaits().is_none() && !driver.gate.awaits_hold_check());
    assert_eq!(settle(&mut driver, "{"), Effects::default());
    let effects = driver.body(&search, true);
    assert_eq!(authorization(&reader(), &effects), sent());
    assert_eq!(asked(&driver)[1], (0, vec!["docs.read"]));

    // All of it came: the decision is now.
    for ends_with_trailers in [false, true] {
        for (body, denied) in [(call("delete"), None), (call("hidden"), Some("object_unknown"))] {
            let mut driver = exchanging(HostMode::Stream, [waits(), waits(), ready(None)]);
            driver.request(&reader());
            let mut effects =
                if ends_with_trailers { driver.trailers(&body) } else { driver.body(&body, true) };
            if denied.is_none() {
                assert_eq!((effects.flow, effects.request_headers.len()), (Flow::Pause, 0));
                assert_eq!(asked(&driver)[1], (0, vec!["files.delete"]));
                effects = settle(&mut driver, &body);
            }
            match denied {
                None => assert_eq!(authorization(&reader(), &effects), sent()),
                Some(code) => drop(driver.denied(effects, 200, code)),
            }
        }
    }

    let mut driver = exchanging(HostMode::Stream, [waits()]);
    driver.request(&reader());
    let effects = driver.on(Event::RequestBody { body: &Withheld(MAX_BODY + 1), end: false });
    driver.denied(effects, 413, "body_too_large");
}

/// Envoy sends a request on without its body whose headers left late and that ends with trailers.
#[test]
fn trailers_after_a_wait_for_a_credential_end_the_request() {
    let mut driver = exchanging(HostMode::Stream, [waits(), ready(None)]);
    driver.request(&reader());
    assert_eq!(settle(&mut driver, "").flow, Flow::Continue);
    let effects = driver.trailers(&call("search"));
    driver.denied(effects, 503, "host_failure");
}

#[test]
fn keys_are_waited_for_before_a_credential() {
    for mode in BOTH_MODES {
        let mut driver = exchanging_of(&remote_keys(mode), [waits(), ready(None)]);
        driver.request(&reader());
        assert!(asked(&driver).is_empty());
        let mut effects = driver.keys_settle(200, "");
        if mode == HostMode::Hold {
            effects = driver.body(&call("search"), true);
        }
        waiting(&driver, &effects);
        let mut effects = settle(&mut driver, &call("search"));
        assert_eq!(authorization(&reader(), &effects), sent());
        if mode == HostMode::Stream {
            effects = driver.body(&call("search"), true);
        }
        assert_eq!(effects.flow, Flow::Continue);
        assert_eq!(driver.done()["code"], "allowed");
    }
}

// What has no operation.

#[test]
fn sessions_take_along_what_is_for_the_whole_server() {
    for mode in BOTH_MODES {
        for method in ["GET", "DELETE"] {
            let request = Request::bodiless(method, &token("docs.read"))
                .line("mcp-session-id", sealed("s"))
                .line("mcp-protocol-version", "2025-11-25");
            let mut driver = exchanging(mode, [waits(), ready(None)]);
            let effects = driver.request(&request);
            waiting(&driver, &effects);
            let effects = settle(&mut driver, "");
            assert_eq!(authorization(&request, &effects), sent());
            assert_eq!(asked(&driver)[1], (0, vec!["docs.all"]));

            let error = ExchangeError::SubjectRejected;
            let mut driver = exchanging(mode, [refused(error)]);
            let effects = driver.request(&request);
            driver.denied(effects, 401, "exchange_subject_rejected");
        }
    }
}

#[test]
fn http_sse_takes_credentials_along() {
    for mode in BOTH_MODES {
        let mut config = config(mode);
        config["servers"][0]["http_sse"] = json!({ "messages_path": "/docs/messages" });
        let opens =
            Request::bodiless("GET", &token("docs.read")).line("accept", "text/event-stream");
        let mut driver = exchanging_of(&config, [waits(), ready(None)]);
        let effects = driver.request(&opens);
        waiting(&driver, &effects);
        assert_eq!(authorization(&opens, &settle(&mut driver, "")), sent());

        let path = format!("/docs/messages?sessionId={}", sealed_in_url("session_id=1"));
        let message = reader().with(":path", path);
        let mut driver = exchanging_of(&config, [ready(None)]);
        let arrived = driver.request(&message);
        let decided = driver.body(&call("search"), true);
        assert_eq!(decided.flow, Flow::Continue);
        let effects = if mode == HostMode::Hold { decided } else { arrived };
        assert_eq!(authorization(&message, &effects), sent());

        // The client takes the answer for a receipt, unless it is an error of HTTP.
        let mut driver = exchanging_of(&config, [refused(ExchangeError::ScopeRefused)]);
        let arrived = driver.request(&message);
        let effects =
            if mode == HostMode::Hold { driver.body(&call("search"), true) } else { arrived };
        driver.denied(effects, 403, "exchange_scope_refused");
    }
}

// How a wait ends otherwise.

/// A stream that waits for a credential: after its decision, and before its headers leave.
fn waiting_in(mode: HostMode) -> Driver {
    let mut driver = exchanging(mode, [waits()]);
    let mut effects = driver.request(&reader());
    if mode == HostMode::Hold {
        effects = driver.body(&call("search"), true);
    }
    waiting(&driver, &effects);
    driver
}

/// The id of the request, if its body is read before there is a wait.
fn id_known_in(mode: HostMode) -> Value {
    if mode == HostMode::Hold { json!(7) } else { Value::Null }
}

#[test]
fn a_wait_for_a_credential_ends_with_the_configuration() {
    for mode in BOTH_MODES {
        let mut driver = waiting_in(mode);
        let effects = driver.on(Event::Abandoned);
        let reply = driver.denied(effects, 503, "configuration_replaced");
        assert_eq!(json_of(&reply)["id"], id_known_in(mode));
        assert!(driver.gate.awaits().is_none());
    }
}

#[test]
fn who_leaves_while_a_credential_is_asked_for_was_denied() {
    for mode in BOTH_MODES {
        let record = waiting_in(mode).done();
        assert_eq!(
            (&record["outcome"], &record["code"]),
            (&json!("deny"), &json!("client_disconnected"))
        );
        assert_eq!(
            record["reason"],
            "the stream ended while its credential for the server was asked for"
        );
        assert_eq!(record["exchange"], Value::Null);
    }
}

#[test]
fn no_more_streams_wait_for_credentials_than_there_is_room_for() {
    for mode in BOTH_MODES {
        let mut driver = exchanging(mode, [waits()]);
        let mut effects = driver.headers(&reader(), false);
        if mode == HostMode::Hold {
            effects = driver.body(&call("search"), true);
        }
        let reply = driver.denied(effects, 503, "overloaded");
        assert_eq!(json_of(&reply)["id"], id_known_in(mode));
    }
}

#[test]
fn a_server_that_answers_before_the_body_was_read_is_not_heard() {
    // It has the headers, and the credential.
    let mut driver = exchanging(HostMode::Stream, [ready(None)]);
    assert_eq!(authorization(&reader(), &driver.request(&reader())), sent());
    let effects = driver.response(&[OK, JSON], false);
    driver.denied(effects, 502, "response_premature");
    // It cannot have anything.
    for mode in BOTH_MODES {
        let mut driver = waiting_in(mode);
        let effects = driver.response(&[OK, JSON], false);
        driver.denied(effects, 502, "response_premature");
    }
}

// The caller's token.

/// Proxies before us may have copied it.
#[test]
fn the_callers_token_goes_nowhere_else_either() {
    let token = TOKEN.clone();
    let copies = [
        ("x-forwarded-access-token", token.clone()),
        ("x-original-authorization", format!("Bearer {token}")),
        ("x-amzn-oidc-accesstoken", format!("before{token}after")),
        ("cookie", format!("session={token}")),
        ("referer", format!("https://app.example/?access_token={token}")),
        ("x-agent-token", token.clone()),
        ("x-original-uri", format!("/mcp?t={}", token.replace('.', "%2E"))),
    ];
    for mode in BOTH_MODES {
        let mut request =
            copies.iter().fold(reader(), |request, (name, value)| request.line(name, value));
        request = request.line("x-harmless", "value").line("x-forwarded-access-token", &token);
        let mut driver = exchanging(mode, [ready(None)]);
        let mut effects = driver.request(&request);
        if mode == HostMode::Hold {
            effects = driver.body(&call("search"), true);
        }
        let lines = upstream(&request, &effects);
        for (name, _) in &copies {
            assert!(!lines.iter().any(|(present, _)| present == name), "{name}");
        }
        assert!(lines.contains(&("x-harmless".to_owned(), b"value".to_vec())));
    }
}

/// RFC 8693 section 2.1: what acts for the caller is as little for the MCP server.
#[test]
fn the_agents_token_goes_nowhere_else_either() {
    let agent = "agent-token-of-its-own";
    for mode in BOTH_MODES {
        let request = reader().line("x-agent-token", agent).line("x-copy", format!("of {agent}"));
        let mut driver = exchanging(mode, [ready(None)]);
        let mut effects = driver.request(&request);
        if mode == HostMode::Hold {
            effects = driver.body(&call("search"), true);
        }
        let lines = upstream(&request, &effects);
        assert!(!lines.iter().any(|(name, _)| ["x-agent-token", "x-copy"].contains(&&**name)));

        let request = request.line("mcp-session-id", agent);
        let effects = exchanging(mode, []).request(&request);
        assert_eq!(effects.reply.unwrap().status, 400);
    }
}

/// It is looked for nowhere: it is refused.
#[test]
fn a_token_that_is_too_long_goes_nowhere() {
    let token = "a".repeat(MAX_TOKEN + 1);
    for mode in BOTH_MODES {
        let request = Request::post(&token).line("x-copy", &token);
        let mut driver = exchanging(mode, []);
        let effects = driver.request(&request);
        driver.denied(effects, 401, "token_malformed");
    }
}

/// RFC 6750 section 3.1: `insufficient_scope` is of a credential that the caller never had.
#[test]
fn rfc6750_3_1_a_challenge_of_the_server_stays_here_and_its_status_does_not() {
    let challenge = ("www-authenticate", "Bearer error=\"insufficient_scope\", scope=\"other\"");
    for mode in BOTH_MODES {
        let mut driver = exchanging(mode, [ready(None)]);
        driver.request(&reader());
        assert_eq!(driver.body(&call("search"), true).flow, Flow::Continue);
        let effects = driver.response(&[(":status", "403"), JSON, challenge], true);
        assert_eq!((effects.flow, &effects.reply), (Flow::Continue, &None));
        let removed = HeaderEdit::Remove("www-authenticate".to_owned());
        assert!(effects.response_headers.contains(&removed));
        assert_eq!(driver.done()["upstream_status"], 403);
    }
}

#[test]
fn rfc6750_2_a_token_that_is_also_where_it_cannot_be_taken_away_is_refused() {
    let token = &*TOKEN;
    let (modern, _) = modern("tools/call", Some("search"));
    let modern = modern.with("authorization", format!("Bearer {token}"));
    for request in [
        reader().with(":path", format!("/mcp?x={token}")),
        modern.clone().line("mcp-param-x", token),
        modern.with("mcp-name", token),
        reader().line("mcp-session-id", token),
        reader().line("mcp-of-tomorrow", format!("a {token}")),
    ] {
        for mode in BOTH_MODES {
            let mut driver = exchanging(mode, []);
            let effects = driver.request(&request);
            let reply = driver.denied(effects, 400, "credentials_mixed");
            assert!(header(&reply, "www-authenticate").is_some());
        }
    }
}
