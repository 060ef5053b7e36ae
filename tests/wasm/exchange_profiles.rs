//! Each profile end to end: the exact requests that authorization servers see, and what becomes
//! of their answers.

use crate::callers::{modern, modern_call_of};
use crate::exchange::{
    ACCESS_TOKEN, CLIENT, Caller, JWT, LIFE, PLAIN, SECRET, TARGET, asked, assert_carries,
    assert_exchanges, assert_form, assert_has_none, assert_nothing_asked, assert_told_nobody,
    assert_waits, assert_went_with, client, credential_claims, exchanging, form, grant, granted,
    mint, opaque, pairs, payload, refuse, say, start, token_exchange, with_members,
};
use crate::host::{Callout, HostFlag, Stream, Vm};
use crate::support::{ISSUER, MODES, RESOURCE, fetch, record, send, sign_as, with};
use crate::workloads;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use p256::ecdsa::signature::Verifier as _;
use p256::pkcs8::{EncodePrivateKey, LineEnding};
use serde_json::{Value, json};
use std::time::{Duration, UNIX_EPOCH};

const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";

/// The second authorization server of a chain.
const SECOND: &str = "https://as.docs.example";

/// Where our own tokens are for the authorization server itself.
const OWN_TOKEN: &str = "our-own-token-0123456789";

const AGENT_TOKEN: &str = "the-agents-token-0123456789";
const AGENT_HEADER: &str = "x-agent-token";

/// Answers with a credential that has these claims besides the good ones.
fn grant_with(vm: &Vm, callout: &Callout, claims: Value) -> String {
    let token = mint(&with_members(credential_claims(vm, "docs.read"), claims));
    say(vm, callout, &granted(&token, "docs.read"));
    token
}

/// It is in no part of the request to the authorization server.
#[track_caller]
fn assert_unaware(callout: &Callout, secret: &str) {
    let told = format!("{:?} {}", callout.headers, String::from_utf8_lossy(&callout.body));
    assert!(!told.contains(secret), "{told}");
}

#[test]
fn rfc8693_2_1_the_request_is_for_one_server_and_the_scopes_of_one_operation() {
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, token_exchange()));
        let caller = Caller::alice(&vm);
        let stream = caller.call(&vm, "search");
        assert_waits(&stream);
        let callout = asked(&vm);
        assert_eq!((&*callout.cluster, callout.timeout), ("as", Duration::from_secs(5)));
        for (name, value) in [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "idp.example.com"),
            (":path", "/token?tenant=1"),
            ("accept", "application/json"),
            ("content-type", "application/x-www-form-urlencoded"),
            // Only what did not reach the authorization server is sent again.
            ("x-envoy-retry-on", "connect-failure,refused-stream,reset-before-request"),
            ("x-envoy-max-retries", "1"),
        ] {
            assert_eq!(callout.headers.get(name), Some(value));
        }
        assert_form(
            &callout,
            &[
                ("grant_type", TOKEN_EXCHANGE),
                ("resource", TARGET),
                ("scope", "docs.read"),
                ("subject_token", &caller.token),
                ("subject_token_type", ACCESS_TOKEN),
            ],
        );
        let credential = grant(&vm, &callout);
        assert_went_with(&stream, &credential, "exchanged");
        let exchange = &record(&stream)["exchange"];
        assert_eq!(exchange["scopes_asked"], json!(["docs.read"]));
        assert_eq!(exchange["scopes_granted"], json!(["docs.read"]));
    }
}

#[test]
fn rfc8707_2_each_target_is_a_parameter_of_its_own() {
    let members = json!({
        "resource": ["https://a.example/mcp", "https://b.example/mcp"],
        "audience": ["docs", "mail&scope=all"],
        "subject_token_type": "jwt", "requested_token_type": "jwt", "scopes": "per_server",
        "server_scopes": ["b", "a"], "timeout": "250ms",
    });
    let vm = start(
        HostFlag::StopIteration,
        &exchanging("hold", with_members(token_exchange(), members)),
    );
    let caller = Caller::alice(&vm);
    let stream = caller.call(&vm, "search");
    let callout = asked(&vm);
    assert_eq!(callout.timeout, Duration::from_millis(250));
    let mut sent = pairs(&callout);
    sent.sort();
    let expected = [
        ("audience", "docs"),
        ("audience", "mail&scope=all"),
        ("grant_type", TOKEN_EXCHANGE),
        ("requested_token_type", JWT),
        ("resource", "https://a.example/mcp"),
        ("resource", "https://b.example/mcp"),
        ("scope", "a b"),
        ("subject_token", &caller.token),
        ("subject_token_type", JWT),
    ];
    assert_eq!(sent, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let mut claims = credential_claims(&vm, "a b");
    claims["aud"] = json!("docs");
    let token = mint(&claims);
    // An access token is not what was asked for.
    say(&vm, &callout, &with_members(granted(&token, "a b"), json!({ "issued_token_type": JWT })));
    assert_went_with(&stream, &token, "exchanged");
    let stream = Caller::named(&vm, "bob").call(&vm, "search");
    say(&vm, &asked(&vm), &granted(&token, "a b"));
    assert_has_none(&stream, 502, "exchange_issued_token_type");
}

#[test]
fn rfc8693_2_1_our_own_token_is_the_actors_for_all_callers() {
    let actor = json!({
        "from": "client_credentials", "audience": [ISSUER], "scopes": ["act.for.users"],
    });
    let exchange = with_members(token_exchange(), json!({ "actor": actor }));
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, exchange.clone()));
        let callers = ["alice", "bob"].map(|name| Caller::named(&vm, name));
        let streams = callers.each_ref().map(|caller| caller.call(&vm, "search"));
        let callout = asked(&vm);
        assert_form(
            &callout,
            &[
                ("grant_type", "client_credentials"),
                ("audience", ISSUER),
                ("scope", "act.for.users"),
            ],
        );
        let answer =
            json!({ "access_token": OWN_TOKEN, "token_type": "Bearer", "expires_in": 900 });
        say(&vm, &callout, &answer);
        // What waited for it goes on at once.
        let pending = vm.pending_callouts();
        assert_eq!(pending.len(), 2);
        for callout in &pending {
            let sent = form(callout);
            assert_eq!(
                (&*sent["actor_token"], &*sent["actor_token_type"]),
                (OWN_TOKEN, ACCESS_TOKEN)
            );
            assert_eq!(sent.len(), 7, "{sent:?}");
            let subject = payload(&sent["subject_token"])["sub"].clone();
            let at = usize::from(subject == "bob");
            let claims = json!({ "sub": subject, "act": { "sub": CLIENT } });
            let credential = grant_with(&vm, callout, claims);
            assert_went_with(&streams[at], &credential, "exchanged");
        }
        // It is there for others. A token that does not name us is not what was asked for.
        let carol = Caller::named(&vm, "carol");
        let stream = carol.call(&vm, "search");
        let callout = asked(&vm);
        assert_eq!(form(&callout)["actor_token"], OWN_TOKEN);
        grant_with(&vm, &callout, json!({ "sub": "carol" }));
        assert_has_none(&stream, 502, "exchange_token_actor");
        assert_told_nobody(&vm, &[&stream, &streams[0]], &[OWN_TOKEN, SECRET, &carol.token]);
    }
}

#[test]
fn who_we_are_is_the_operators_to_mend() {
    let exchange =
        with_members(token_exchange(), json!({ "actor": { "from": "client_credentials" } }));
    for (flag, mode) in MODES {
        for error in ["invalid_client", "invalid_grant", "unauthorized_client"] {
            let vm = start(flag, &exchanging(mode, exchange.clone()));
            let callers = ["alice", "bob"].map(|name| Caller::named(&vm, name));
            let streams = callers.each_ref().map(|caller| caller.call(&vm, "search"));
            refuse(&vm, &asked(&vm), error);
            for stream in &streams {
                assert_has_none(stream, 502, "exchange_client_rejected");
            }
            assert_nothing_asked(&vm);
        }
        let vm = start(flag, &exchanging(mode, exchange.clone()));
        let stream = Caller::alice(&vm).call(&vm, "search");
        vm.time_out_callout(&asked(&vm));
        assert_has_none(&stream, 503, "exchange_unavailable");
    }
}

#[test]
fn rfc8693_2_1_a_workloads_jwt_svid_is_the_actors() {
    let exchange = with_members(token_exchange(), json!({ "actor": { "from": "jwt_svid" } }));
    for (flag, mode) in MODES {
        let mut document = exchanging(mode, exchange.clone());
        document["workload_identity"] = workloads::knowing(mode)["workload_identity"].clone();
        let vm = start(flag, &document);
        fetch(&vm, 200, workloads::bundle(&[1]));
        let caller = Caller::alice(&vm);
        let call = |svid: &str| {
            let lines = with(modern(caller.lines(), "search"), workloads::HEADER, svid);
            send(&vm, lines, &modern_call_of("search"))
        };
        let svid = workloads::mint(1, &workloads::svid_claims(&vm));
        let stream = call(&svid);
        let callout = asked(&vm);
        let sent = form(&callout);
        assert_eq!((&*sent["actor_token"], &*sent["actor_token_type"]), (&*svid, JWT));
        let credential = grant_with(&vm, &callout, json!({ "act": { "sub": workloads::ID } }));
        assert_went_with(&stream, &credential, "exchanged");
        assert_eq!(stream.upstream().header(workloads::HEADER), None);
        assert_told_nobody(&vm, &[&stream], &[&svid, &caller.token]);
        // Another one is another actor's, as far as anybody knows; and who brings none has none.
        let mut claims = workloads::svid_claims(&vm);
        claims["jti"] = json!("2");
        let other = call(&workloads::mint(1, &claims));
        assert_waits(&other);
        let callout = asked(&vm);
        grant_with(&vm, &callout, json!({ "act": { "sub": "spiffe://corp.example/other" } }));
        assert_has_none(&other, 502, "exchange_token_actor");
        assert_has_none(&caller.call(&vm, "search"), 403, "exchange_actor_missing");
    }
}

#[test]
fn rfc8693_2_1_an_agents_own_token_is_the_actors() {
    let actor = json!({ "from": "header", "header": AGENT_HEADER, "token_type": "jwt" });
    let exchange = with_members(token_exchange(), json!({ "actor": actor }));
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, exchange.clone()));
        let caller = Caller::alice(&vm);
        let call = |token: &str| {
            let lines = with(modern(caller.lines(), "search"), AGENT_HEADER, token);
            send(&vm, lines, &modern_call_of("search"))
        };
        let stream = call(AGENT_TOKEN);
        let callout = asked(&vm);
        let sent = form(&callout);
        assert_eq!((&*sent["actor_token"], &*sent["actor_token_type"]), (AGENT_TOKEN, JWT));
        let credential = grant_with(&vm, &callout, json!({ "act": { "client_id": "agent" } }));
        assert_went_with(&stream, &credential, "exchanged");
        assert_eq!(stream.upstream().header(AGENT_HEADER), None);
        assert_told_nobody(&vm, &[&stream], &[AGENT_TOKEN, &caller.token]);
        assert_went_with(&call(AGENT_TOKEN), &credential, "cached");
        // Nobody gets what another agent's token was exchanged for.
        let other = call("another-agents-token-0123456789");
        assert_waits(&other);
        grant_with(&vm, &asked(&vm), json!({ "act": { "client_id": "other" } }));
        assert_has_none(&other, 502, "exchange_token_actor");
        assert_has_none(&caller.call(&vm, "search"), 403, "exchange_actor_missing");
        // The agent's own token is no credential either.
        let stream = call("a-third-agents-token-0123456789");
        say(&vm, &asked(&vm), &granted("a-third-agents-token-0123456789", "docs.read"));
        assert_has_none(&stream, 502, "exchange_token_unchanged");
    }
}

fn on_behalf_of() -> Value {
    json!({
        "profile": "entra_on_behalf_of", "cluster": "as", "client": client("client_secret_post"),
        "uri": "https://login.microsoftonline.com/{tid}/oauth2/v2.0/token",
        "scopes": "per_server", "server_scopes": ["api://docs/.default"],
        "token": { "audiences": [TARGET] },
    })
}

const TENANT: &str = "11111111-2222-3333-4444-555555555555";

/// Alice of a tenant, with a client that takes claims challenges.
fn tenants_user(vm: &Vm, other: Value) -> Caller {
    Caller::new(vm, with_members(json!({ "tid": TENANT, "xms_cc": ["cp1"] }), other))
}

#[test]
fn entra_on_behalf_of_asks_the_callers_own_tenant() {
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, on_behalf_of()));
        let caller = tenants_user(&vm, json!({}));
        let stream = caller.call(&vm, "search");
        let callout = asked(&vm);
        assert_eq!(callout.headers.get(":authority"), Some("login.microsoftonline.com"));
        let path = format!("/{TENANT}/oauth2/v2.0/token");
        assert_eq!(callout.headers.get(":path"), Some(&*path));
        assert_form(
            &callout,
            &[
                ("grant_type", JWT_BEARER),
                ("assertion", &caller.token),
                ("scope", "api://docs/.default"),
                ("requested_token_use", "on_behalf_of"),
                ("client_id", CLIENT),
                ("client_secret", SECRET),
            ],
        );
        // `sub` is another one for each application, and scopes have short names in tokens.
        let mut claims = with_members(
            credential_claims(&vm, ""),
            json!({ "scope": null, "scp": "Docs.Read", "sub": "pairwise", "iss": "https://sts.windows.net/x/" }),
        );
        let token = mint(&claims);
        claims["jti"] = Value::Null;
        let answer = json!({
            "token_type": "Bearer", "scope": "api://docs/Docs.Read", "expires_in": 3269,
            "ext_expires_in": 3269, "access_token": token,
        });
        say(&vm, &callout, &answer);
        assert_went_with(&stream, &token, "exchanged");
    }
}

#[test]
fn entra_on_behalf_of_is_for_users_of_tenants_that_have_a_path() {
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, on_behalf_of()));
        for tenant in ["..", ".", "a/b", "a%2fb", "", "a?b", "a b", "ä"] {
            let stream = tenants_user(&vm, json!({ "tid": tenant })).call(&vm, "search");
            assert_nothing_asked(&vm);
            stream.finish();
            assert!(stream.upstream().is_empty(), "{tenant}");
            assert_eq!(record(&stream)["outcome"], "deny", "{tenant}");
        }
        let nobodys = tenants_user(&vm, json!({ "tid": null })).call(&vm, "search");
        assert_has_none(&nobodys, 403, "exchange_user_missing");
    }
}

#[test]
fn entra_interaction_required_is_a_claims_challenge_for_who_takes_one() {
    let claims = r#"{"access_token":{"polids":{"essential":true,"values":["9ab03e19"]}}}"#;
    let answers = [
        json!({ "error": "interaction_required", "suberror": "basic_action", "claims": claims }),
        json!({ "error": "invalid_grant", "claims": claims, "error_codes": [50079] }),
    ];
    for (flag, mode) in MODES {
        for answer in &answers {
            let mut document = exchanging(mode, on_behalf_of());
            document["issuers"]["corp"]["step_up"] = json!("claims");
            let vm = start(flag, &document);
            let ask = |caller: &Caller| {
                let stream = caller.call(&vm, "search");
                vm.answer(&asked(&vm), 400, PLAIN, answer.to_string());
                stream.finish();
                assert!(stream.upstream().is_empty());
                assert_eq!(record(&stream)["exchange"]["outcome"], "exchange_interaction_required");
                stream
            };
            let stream = ask(&tenants_user(&vm, json!({})));
            assert_eq!(stream.downstream().status(), Some(401));
            let challenge = stream.downstream().header("www-authenticate").unwrap().to_owned();
            assert!(challenge.contains("error=\"insufficient_claims\""), "{challenge}");
            let expected = format!("claims=\"{}\"", STANDARD.encode(claims));
            assert!(challenge.contains(&expected), "{challenge}");
            assert!(!challenge.contains("api://docs"), "{challenge}");
            // Its client would not know what to do.
            let stream =
                ask(&tenants_user(&vm, json!({ "xms_cc": null, "sub": "bob", "jti": "b" })));
            assert_eq!(stream.downstream().status(), Some(403));
            assert_eq!(stream.downstream().header("www-authenticate"), None);
            assert_eq!(record(&stream)["code"], "exchange_interaction_required");
        }
    }
}

#[test]
fn entra_claims_that_are_none_are_not_passed_on() {
    for claims in
        [json!("{\"a\":1,\"a\":2}"), json!("\"x\", y=\"z"), json!("[]"), json!({ "a": 1 })]
    {
        let mut document = exchanging("hold", on_behalf_of());
        document["issuers"]["corp"]["step_up"] = json!("claims");
        let vm = start(HostFlag::StopIteration, &document);
        let stream = tenants_user(&vm, json!({})).call(&vm, "search");
        let answer = json!({ "error": "interaction_required", "claims": claims });
        vm.answer(&asked(&vm), 400, PLAIN, answer.to_string());
        assert_has_none(&stream, 403, "exchange_interaction_required");
    }
}

fn token_vault() -> Value {
    json!({
        "profile": "auth0_token_vault", "uri": "https://tenant.eu.auth0.com/oauth/token",
        "cluster": "as", "client": client("client_secret_post"), "connection": "github",
        "link_uri": "https://app.example.com/settings/accounts",
    })
}

/// Auth0's own type of tokens of third parties.
const FEDERATED: &str = "http://auth0.com/oauth/token-type/federated-connection-access-token";

#[test]
fn auth0_token_vault_gives_the_third_partys_token() {
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, token_vault()));
        let caller = Caller::alice(&vm);
        let stream = caller.call(&vm, "search");
        let callout = asked(&vm);
        assert_form(
            &callout,
            &[
                (
                    "grant_type",
                    "urn:auth0:params:oauth:grant-type:token-exchange:federated-connection-access-token",
                ),
                ("subject_token", &caller.token),
                ("subject_token_type", ACCESS_TOKEN),
                ("requested_token_type", FEDERATED),
                ("connection", "github"),
                ("client_id", CLIENT),
                ("client_secret", SECRET),
            ],
        );
        let token = "gho_16C7e42F292c6912E7710c838347Ae178B4a";
        let answer = json!({
            "access_token": token, "scope": "repo read:user", "expires_in": 3600,
            "issued_token_type": FEDERATED, "token_type": "Bearer",
        });
        say(&vm, &callout, &answer);
        assert_went_with(&stream, token, "exchanged");
        // Of the third party's token there is one, whatever the operation.
        assert_went_with(&caller.call(&vm, "delete"), token, "cached");
    }
}

#[test]
fn auth0_who_has_linked_no_account_is_told_what_to_do() {
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, token_vault()));
        let caller = Caller::alice(&vm);
        let stream = caller.call(&vm, "search");
        let answer = json!({
            "error": "federated_connection_refresh_token_not_found",
            "error_description": "No refresh token found for user auth0|1.",
        });
        vm.answer(&asked(&vm), 401, PLAIN, answer.to_string());
        assert_has_none(&stream, 403, "account_not_linked");
        let told: Value = serde_json::from_str(&stream.downstream().text()).unwrap();
        let expected = json!({
            "connection": "github", "url": "https://app.example.com/settings/accounts",
        });
        assert_eq!(told["error"]["data"], expected, "{told}");
        let message = told["error"]["message"].as_str().unwrap();
        assert!(message.contains("github") && message.contains("https://app.example.com/settings"));
        assert!(!told.to_string().contains("auth0|1"));
        // Who links one now does not wait for long.
        vm.advance(Duration::from_secs(5));
        let stream = caller.call(&vm, "search");
        let token = opaque(5);
        let answer = json!({ "access_token": token, "token_type": "Bearer", "expires_in": 60 });
        say(&vm, &asked(&vm), &answer);
        assert_went_with(&stream, &token, "exchanged");
    }
}

fn identity_chaining(assertion: &str) -> Value {
    json!({
        "profile": "identity_chaining", "uri": "https://idp.example.com/token", "cluster": "as",
        "client": client("client_secret_basic"), "audience": [SECOND],
        "requested_token_type": assertion, "token": { "audiences": [TARGET] },
        "server_scopes": ["server.use"],
        "then": {
            "uri": "https://as.docs.example/oauth/token", "cluster": "second",
            "client": { "method": "client_secret_post", "client_id": "at-second",
                        "client_secret": { "env": "AS_SECRET" } },
            "resource": [TARGET],
        },
    })
}

/// An assertion for the second authorization server, with these claims besides the good ones.
fn assertion(vm: &Vm, typ: &str, claims: Value) -> String {
    let good = credential_claims(vm, "docs.read");
    sign_as(typ, "k1", &with_members(with_members(good, json!({ "aud": SECOND })), claims))
}

fn asserted(token: &str, kind: &str) -> Value {
    json!({
        "access_token": token, "issued_token_type": kind, "token_type": "N_A", "expires_in": 300,
    })
}

/// Calls, and has the first authorization server assert who the user is. What the second one is
/// then asked.
fn chain_begun(vm: &Vm, caller: &Caller) -> (Stream, Callout) {
    let stream = caller.call(vm, "search");
    let assertion = assertion(vm, "oauth-id-jag+jwt", json!({}));
    say(vm, &asked(vm), &asserted(&assertion, ID_JAG));
    let mut pending = vm.pending_callouts();
    assert_eq!(pending.len(), 1, "no tick is needed");
    (stream, pending.remove(0))
}

#[test]
fn identity_chaining_shows_the_second_server_an_assertion_and_no_token() {
    for (flag, mode) in MODES {
        for (configured, kind, typ) in [("id_jag", ID_JAG, "oauth-id-jag+jwt"), ("jwt", JWT, "JWT")]
        {
            let vm = start(flag, &exchanging(mode, identity_chaining(configured)));
            let caller = Caller::alice(&vm);
            let stream = caller.call(&vm, "search");
            let callout = asked(&vm);
            assert_eq!(&*callout.cluster, "as");
            assert_form(
                &callout,
                &[
                    ("grant_type", TOKEN_EXCHANGE),
                    ("requested_token_type", kind),
                    ("audience", SECOND),
                    ("scope", "docs.read"),
                    ("subject_token", &caller.token),
                    ("subject_token_type", ACCESS_TOKEN),
                ],
            );
            let assertion = assertion(&vm, typ, json!({}));
            say(&vm, &callout, &asserted(&assertion, kind));
            assert_waits(&stream);
            let callout = vm.pending_callouts().remove(0);
            assert_eq!(&*callout.cluster, "second");
            assert_eq!(callout.headers.get(":authority"), Some("as.docs.example"));
            assert_eq!(callout.headers.get(":path"), Some("/oauth/token"));
            let mut expected = vec![
                ("grant_type", JWT_BEARER),
                ("assertion", &*assertion),
                ("resource", TARGET),
                ("client_id", "at-second"),
                ("client_secret", SECRET),
            ];
            // An identity assertion says itself for which scopes it is.
            if configured == "jwt" {
                expected.push(("scope", "docs.read"));
            }
            assert_form(&callout, &expected);
            assert_unaware(&callout, &caller.token);
            let claims = json!({ "iss": SECOND, "sub": "user-17" });
            let token = mint(&with_members(credential_claims(&vm, "docs.read"), claims));
            let answer =
                json!({ "access_token": token, "token_type": "Bearer", "expires_in": 300 });
            say(&vm, &callout, &answer);
            assert_went_with(&stream, &token, "exchanged");
            assert_told_nobody(&vm, &[&stream], &[&assertion, &caller.token, &token, SECRET]);
            assert_went_with(&caller.call(&vm, "get_a"), &token, "cached");
        }
    }
}

#[test]
fn identity_chaining_takes_no_assertion_that_is_not_for_the_second_server() {
    type Answer = fn(&Vm) -> Value;
    const TYP: &str = "oauth-id-jag+jwt";
    let answers: [(&str, Answer); 9] = [
        ("exchange_token_audience", |vm| {
            asserted(&assertion(vm, TYP, json!({ "aud": RESOURCE })), ID_JAG)
        }),
        ("exchange_token_audience", |vm| {
            asserted(&assertion(vm, TYP, json!({ "aud": [SECOND, RESOURCE] })), ID_JAG)
        }),
        ("exchange_token_no_jwt", |vm| asserted(&assertion(vm, "at+jwt", json!({})), ID_JAG)),
        ("exchange_token_no_jwt", |vm| {
            asserted(&assertion(vm, TYP, json!({ "exp": null })), ID_JAG)
        }),
        ("exchange_token_subject", |vm| {
            asserted(&assertion(vm, TYP, json!({ "sub": null })), ID_JAG)
        }),
        ("exchange_token_bound", |vm| {
            asserted(&assertion(vm, TYP, json!({ "cnf": { "jkt": "x" } })), ID_JAG)
        }),
        ("exchange_issued_token_type", |vm| asserted(&assertion(vm, TYP, json!({})), ACCESS_TOKEN)),
        ("exchange_answer_wider", |vm| {
            asserted(&assertion(vm, TYP, json!({ "scope": "docs.read admin" })), ID_JAG)
        }),
        // It is one that a server would take.
        ("exchange_token_type", |vm| {
            with_members(
                asserted(&assertion(vm, TYP, json!({})), ID_JAG),
                json!({ "token_type": "Bearer" }),
            )
        }),
    ];
    for (flag, mode) in MODES {
        for (code, answer) in &answers {
            let vm = start(flag, &exchanging(mode, identity_chaining("id_jag")));
            let stream = Caller::alice(&vm).call(&vm, "search");
            let callout = asked(&vm);
            say(&vm, &callout, &answer(&vm));
            assert_has_none(&stream, 502, code);
            assert_nothing_asked(&vm);
            assert_eq!(vm.callouts().len(), 1, "the second one is not asked");
        }
    }
}

#[test]
fn identity_chaining_blames_no_caller_for_what_the_second_server_refuses() {
    type Answer = fn(&Vm, &Callout);
    let answers: [(u16, &str, Answer); 7] = [
        (403, "exchange_denied", |vm, callout| refuse(vm, callout, "invalid_grant")),
        (403, "exchange_denied", |vm, callout| refuse(vm, callout, "access_denied")),
        (403, "exchange_scope_refused", |vm, callout| refuse(vm, callout, "invalid_scope")),
        (502, "exchange_client_rejected", |vm, callout| vm.answer(callout, 401, PLAIN, "")),
        (503, "exchange_unavailable", |vm, callout| vm.time_out_callout(callout)),
        (503, "exchange_unavailable", |vm, callout| vm.fail_callout(callout)),
        (502, "exchange_answer_malformed", |vm, callout| vm.answer(callout, 200, PLAIN, "[]")),
    ];
    for (flag, mode) in MODES {
        for (status, code, answer) in &answers {
            let vm = start(flag, &exchanging(mode, identity_chaining("id_jag")));
            let caller = Caller::alice(&vm);
            let (stream, callout) = chain_begun(&vm, &caller);
            answer(&vm, &callout);
            assert_has_none(&stream, *status, code);
            let assertion = &form(&callout)["assertion"];
            assert_told_nobody(&vm, &[&stream], &[assertion, &caller.token, SECRET]);
        }
        // The caller's token again, by way of the second one.
        let vm = start(flag, &exchanging(mode, identity_chaining("id_jag")));
        let caller = Caller::alice(&vm);
        let (stream, callout) = chain_begun(&vm, &caller);
        let answer = json!({ "access_token": caller.token, "token_type": "Bearer" });
        say(&vm, &callout, &answer);
        assert_has_none(&stream, 502, "exchange_token_unchanged");
    }
}

#[test]
fn rfc6749_4_4_our_own_credential_is_had_without_any_callers_token() {
    let exchange = json!({
        "profile": "client_credentials", "uri": "https://idp.example.com/token", "cluster": "as",
        "client": client("client_secret_post"), "resource": [TARGET],
        "scopes": "per_server", "server_scopes": ["service"],
    });
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, exchange.clone()));
        let caller = Caller::alice(&vm);
        let stream = caller.call(&vm, "search");
        let callout = asked(&vm);
        assert_form(
            &callout,
            &[
                ("grant_type", "client_credentials"),
                ("resource", TARGET),
                ("scope", "service"),
                ("client_id", CLIENT),
                ("client_secret", SECRET),
            ],
        );
        assert_unaware(&callout, &caller.token);
        let claims = json!({ "sub": CLIENT });
        let token = mint(&with_members(credential_claims(&vm, "service"), claims));
        let answer = json!({ "access_token": token, "token_type": "Bearer", "expires_in": 300 });
        say(&vm, &callout, &answer);
        assert_went_with(&stream, &token, "exchanged");
        // No caller can do anything about a refusal.
        vm.advance(LIFE);
        let stream = Caller::named(&vm, "bob").call(&vm, "search");
        refuse(&vm, &asked(&vm), "invalid_grant");
        assert_has_none(&stream, 502, "exchange_client_rejected");
    }
}

#[test]
fn where_the_cluster_has_its_own_credential_nothing_is_asked_and_nothing_added() {
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, json!({ "profile": "injected" })));
        let caller = Caller::alice(&vm);
        for stream in [caller.call(&vm, "search"), caller.call_legacy(&vm, "delete")] {
            assert!(stream.upstream().ended(), "{:?}", stream.downstream());
            assert_eq!(stream.upstream().header("authorization"), None);
            stream.finish();
            let exchange = &record(&stream)["exchange"];
            assert_eq!(
                (&exchange["name"], &exchange["outcome"]),
                (&json!("docs"), &json!("injected"))
            );
            assert_eq!(exchange.get("credential"), None);
            assert!(!format!("{:?}", stream.upstream()).contains(&caller.token));
        }
        assert_nothing_asked(&vm);
    }
}

#[test]
fn rfc6749_2_3_the_client_authenticates_as_configured() {
    let id = |method: &str| json!({ "method": method, "client_id": CLIENT });
    let basic = STANDARD.encode(format!("{CLIENT}:{SECRET}"));
    for (client, authorization, members) in [
        (client("client_secret_basic"), Some(format!("Basic {basic}")), vec![]),
        (
            client("client_secret_post"),
            None,
            vec![("client_id", CLIENT), ("client_secret", SECRET)],
        ),
        (id("tls_client_auth"), None, vec![("client_id", CLIENT)]),
        (json!({ "method": "injected" }), None, vec![]),
    ] {
        let mut exchange = token_exchange();
        exchange["client"] = client;
        let vm = start(HostFlag::StopIteration, &exchanging("hold", exchange));
        let caller = Caller::alice(&vm);
        let stream = caller.call(&vm, "search");
        let callout = asked(&vm);
        assert_eq!(callout.headers.get("authorization"), authorization.as_deref());
        let request = [
            ("grant_type", TOKEN_EXCHANGE),
            ("resource", TARGET),
            ("scope", "docs.read"),
            ("subject_token", &caller.token),
            ("subject_token_type", ACCESS_TOKEN),
        ];
        assert_form(&callout, &[&request[..], &members].concat());
        let credential = grant(&vm, &callout);
        assert_went_with(&stream, &credential, "exchanged");
    }
}

/// The exchange with an assertion that the host signs, the key, and what holds it.
fn private_key_jwt() -> (Value, p256::ecdsa::SigningKey, String) {
    let key = p256::ecdsa::SigningKey::from_slice(&[6; 32]).unwrap();
    let pem = key.to_pkcs8_pem(LineEnding::LF).unwrap().to_string();
    let mut exchange = token_exchange();
    exchange["client"] = json!({
        "method": "private_key_jwt", "client_id": CLIENT, "algorithm": "ES256", "key_id": "ours",
        "key": { "env": "AS_KEY" }, "audience": ISSUER,
    });
    exchange["actor"] = json!({ "from": "client_credentials" });
    (exchange, key, pem)
}

#[test]
fn rfc7523_3_each_request_has_an_assertion_of_its_own() {
    let (exchange, key, pem) = private_key_jwt();
    for (flag, mode) in MODES {
        let builder = Vm::with(flag).environment("AS_KEY", &pem);
        let vm = builder.start(exchanging(mode, exchange.clone())).unwrap();
        let stream = Caller::alice(&vm).call(&vm, "search");
        let first = asked(&vm);
        let answer =
            json!({ "access_token": OWN_TOKEN, "token_type": "Bearer", "expires_in": 900 });
        say(&vm, &first, &answer);
        let second = vm.pending_callouts().remove(0);
        let mut ids = Vec::new();
        for callout in [&first, &second] {
            let sent = form(callout);
            assert_eq!(sent["client_id"], CLIENT);
            let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
            assert_eq!(sent["client_assertion_type"], kind);
            let (input, signature) = sent["client_assertion"].rsplit_once('.').unwrap();
            let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
            let signature = p256::ecdsa::Signature::from_slice(&decode(signature)).unwrap();
            key.verifying_key().verify(input.as_bytes(), &signature).unwrap();
            let header = input.split_once('.').unwrap().0;
            let header: Value = serde_json::from_slice(&decode(header)).unwrap();
            assert_eq!(header, json!({ "alg": "ES256", "typ": "JWT", "kid": "ours" }));
            let claims = payload(&sent["client_assertion"]);
            let now = vm.now().duration_since(UNIX_EPOCH).unwrap().as_secs();
            for (name, value) in [
                ("iss", json!(CLIENT)),
                ("sub", json!(CLIENT)),
                ("aud", json!(ISSUER)),
                ("iat", json!(now)),
                ("exp", json!(now + 60)),
            ] {
                assert_eq!(claims[name], value, "{name}");
            }
            ids.push(claims["jti"].clone());
        }
        assert!(ids[0].is_string() && ids[0] != ids[1], "{ids:?}");
        let credential = grant_with(&vm, &second, json!({ "act": { "sub": CLIENT } }));
        assert_went_with(&stream, &credential, "exchanged");
    }
}

#[test]
fn a_host_that_does_not_sign_is_a_503_and_no_request() {
    let (exchange, _, pem) = private_key_jwt();
    for (flag, mode) in MODES {
        let builder = Vm::with(flag).environment("AS_KEY", &pem);
        let vm = builder.start(exchanging(mode, exchange.clone())).unwrap();
        vm.set_native_signing(false);
        let stream = Caller::alice(&vm).call(&vm, "search");
        vm.tick();
        assert_has_none(&stream, 503, "exchange_unavailable");
        assert!(vm.callouts().is_empty());
    }
}

#[test]
fn rfc9449_7_1_a_bound_token_goes_on_where_somebody_behind_proves_it() {
    let exchange = with_members(token_exchange(), json!({ "token": { "bound": "forward" } }));
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, exchange.clone()));
        let stream = Caller::alice(&vm).call(&vm, "search");
        let callout = asked(&vm);
        let claims = json!({ "cnf": { "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" } });
        let token = mint(&with_members(credential_claims(&vm, "docs.read"), claims));
        let answer = with_members(granted(&token, "docs.read"), json!({ "token_type": "DPoP" }));
        say(&vm, &callout, &answer);
        assert!(stream.upstream().ended(), "{:?}", stream.downstream());
        assert_eq!(stream.upstream().header("authorization"), Some(&*format!("DPoP {token}")));
    }
}

#[test]
fn rules_have_exchanges_of_several_profiles() {
    for (flag, mode) in MODES {
        let mut document = exchanging(mode, token_exchange());
        document["exchanges"]["vault"] = token_vault();
        document["exchanges"]["none"] = json!({ "profile": "injected" });
        let rules = &mut document["servers"][0]["tools"]["rules"];
        rules[1]["exchange"] = json!("vault");
        let rule = json!({ "names": ["wipe"], "scopes": ["docs.write"], "exchange": "none" });
        rules.as_array_mut().unwrap().push(rule);
        let vm = start(flag, &document);
        let caller = Caller::alice(&vm);
        assert_exchanges(&vm, &caller, "search");
        let stream = caller.call(&vm, "delete");
        let callout = asked(&vm);
        assert_eq!(form(&callout)["connection"], "github");
        let token = opaque(8);
        say(&vm, &callout, &json!({ "access_token": token, "token_type": "Bearer" }));
        assert!(stream.upstream().ended(), "{:?}", stream.downstream());
        assert_carries(&stream, &token);
        let stream = caller.call(&vm, "wipe");
        assert!(stream.upstream().ended(), "{:?}", stream.downstream());
        assert_eq!(stream.upstream().header("authorization"), None);
    }
}
