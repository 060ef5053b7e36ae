//! Which tokens go on, and which do not.

use super::*;
use crate::exchange::Scheme;
use crate::token::Actor;

const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn exchange() -> Profile {
    Profile::TokenExchange(token_exchange())
}

fn opaque_exchange() -> Profile {
    Profile::TokenExchange(TokenExchange { expected: expected_opaque(), ..token_exchange() })
}

/// Of an answer that is good but for these members.
fn answered(profile: &Profile, changes: &Value) -> Outcome {
    let body = with(&body(&jwt("at+jwt", &claims())), changes);
    read_body(profile, &request(&["docs.read"]), &body)
}

/// Of a token that is good but for these claims, whatever `scope` the answer has.
fn claimed(profile: &Profile, request: &Request, changes: &Value) -> Outcome {
    let body = body(&jwt("at+jwt", &with(&claims(), changes)));
    read_body(profile, request, &with(&body, &json!({"scope": null})))
}

#[test]
fn a_good_answer_is_a_credential() {
    let credential = answered(&exchange(), &json!({})).unwrap();
    assert_eq!(credential.scheme, Scheme::Bearer);
    assert_eq!(credential.granted, Some(set(&["docs.read"])));
    assert_eq!(credential.expires_at, now() + secs(300));
    assert_eq!(credential.token.reveal(), jwt("at+jwt", &claims()));
    // SHA-256 of "t1".
    assert_eq!(
        crate::audit::hex(&credential.id),
        "628b49d96dcde97a430dd4f597705899e09a968f793491e4b704cae33a40dc02"
    );
}

#[test]
fn tokens_without_an_id_are_told_by_their_digest() {
    let without = claimed(&exchange(), &request(&["docs.read"]), &json!({"jti": null})).unwrap();
    let opaque = read_body(&opaque_exchange(), &request(&["docs.read"]), &body("opaque")).unwrap();
    for credential in [without, opaque] {
        let digest = TokenDigest::of(credential.token.reveal());
        assert_eq!(&credential.id, digest.as_bytes());
    }
}

/// RFC 6749 section 5.1, RFC 8259.
#[test]
fn answers_that_are_no_token_response() {
    let large = "x".repeat(64 * 1024);
    let long = "x".repeat(16 * 1024 + 1);
    for (changes, flaw) in [
        (json!({"access_token": null}), Flaw::Malformed),
        (json!({"access_token": ""}), Flaw::Malformed),
        (json!({"access_token": 1}), Flaw::Malformed),
        (json!({"access_token": "a b"}), Flaw::Malformed),
        (json!({"access_token": "a\r\nx-admin: 1"}), Flaw::Malformed),
        (json!({"access_token": "a,b"}), Flaw::Malformed),
        (json!({"access_token": "a\"b"}), Flaw::Malformed),
        (json!({"access_token": "schlüssel"}), Flaw::Malformed),
        (json!({"access_token": long}), Flaw::TooLarge),
        (json!({"token_type": null}), Flaw::Malformed),
        (json!({"token_type": ["Bearer"]}), Flaw::Malformed),
        (json!({"expires_in": "300"}), Flaw::Malformed),
        (json!({"expires_in": -1}), Flaw::Malformed),
        (json!({"expires_in": 1.5}), Flaw::Malformed),
        (json!({"expires_in": [300]}), Flaw::Malformed),
        (json!({"scope": ["docs.read"]}), Flaw::Malformed),
        (json!({"scope": "docs.read  docs.read"}), Flaw::Malformed),
        (json!({"scope": "docs.read\t"}), Flaw::Malformed),
        (json!({"scope": "x".repeat(8 * 1024 + 1)}), Flaw::Malformed),
        (json!({"issued_token_type": [JWT]}), Flaw::Malformed),
        (json!({"pad": large}), Flaw::TooLarge),
    ] {
        assert_flaw(answered(&opaque_exchange(), &changes), Some(flaw), &changes);
    }
    let good = body("opaque").to_string();
    for text in ["", "[]", "null", "\"token\"", &format!("{good}x"), &format!("{good}{good}")] {
        let read = read(&opaque_exchange(), &request(&["docs.read"]), &answer(200, text));
        assert_flaw(read, Some(Flaw::Malformed), &text);
    }
    let twice = good.replacen('{', r#"{"access_token":"another","#, 1);
    let read = read(&opaque_exchange(), &request(&["docs.read"]), &answer(200, &twice));
    assert_flaw(read, Some(Flaw::Malformed), &twice);
}

#[test]
fn answers_are_json_by_their_media_type() {
    let lines = |values: &[&str]| CalloutAnswer {
        headers: values
            .iter()
            .map(|value| ("content-type".to_owned(), value.as_bytes().to_vec()))
            .collect(),
        ..answer(200, &body("opaque").to_string())
    };
    let read =
        |values: &[&str]| read(&opaque_exchange(), &request(&["docs.read"]), &lines(values)).err();
    for good in ["application/json", "Application/JSON", "application/json ; charset=utf-8"] {
        assert_eq!(read(&[good]), None, "{good}");
    }
    let malformed = Some(ExchangeError::Unusable(Flaw::Malformed));
    for bad in [
        &["text/html"][..],
        &["application/jsonp"],
        &["application/json", "text/html"],
        &["text/plain; application/json"],
        &[],
    ] {
        assert_eq!(read(bad), malformed, "{bad:?}");
    }
}

#[test]
fn bodies_that_were_too_large_to_keep() {
    let cut = CalloutAnswer { body: None, ..answer(200, "") };
    assert_flaw(read(&exchange(), &request(&[]), &cut), Some(Flaw::TooLarge), &"no body");
}

/// RFC 8693 section 2.2.1: `N_A` is no access token. RFC 6749 section 5.1: in any case.
#[test]
fn token_types() {
    for (token_type, flaw) in [
        ("Bearer", None),
        ("bearer", None),
        ("BEARER", None),
        ("DPoP", Some(Flaw::Bound)),
        ("N_A", Some(Flaw::TokenType)),
        ("mac", Some(Flaw::TokenType)),
        ("Bearer ", Some(Flaw::TokenType)),
        ("", Some(Flaw::TokenType)),
    ] {
        let changes = json!({"token_type": token_type});
        assert_flaw(answered(&exchange(), &changes), flaw, &token_type);
    }
}

#[test]
fn bound_tokens_go_on_only_where_configured() {
    let bound = json!({"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}});
    let scopes = request(&["docs.read"]);
    assert_flaw(claimed(&exchange(), &scopes, &bound), Some(Flaw::Bound), &bound);

    let expected = Expected { bound: BoundTokens::Forward, ..expected_jwt() };
    let forwards = Profile::TokenExchange(TokenExchange { expected, ..token_exchange() });
    assert_eq!(claimed(&forwards, &scopes, &bound).unwrap().scheme, Scheme::Bearer);
    let dpop = answered(&forwards, &json!({"token_type": "dpop"})).unwrap();
    assert_eq!(dpop.scheme, Scheme::Dpop);
    let token_type = json!({"token_type": "N_A"});
    assert_flaw(answered(&forwards, &token_type), Some(Flaw::TokenType), &token_type);
}

/// RFC 8693 section 2.2.1 requires it; other grants have none.
#[test]
fn issued_token_types() {
    let access_token = "urn:ietf:params:oauth:token-type:access_token";
    let refresh_token = "urn:ietf:params:oauth:token-type:refresh_token";
    let vault = "http://auth0.com/oauth/token-type/federated-connection-access-token";
    let asking = |requested| {
        let exchange = TokenExchange { requested_token_type: requested, ..token_exchange() };
        Profile::TokenExchange(exchange)
    };
    let obo = Profile::OnBehalfOf(on_behalf_of());
    let ours = Profile::ClientCredentials(client_credentials(Target::default()));
    let auth0 = Profile::TokenVault(token_vault());
    for (profile, taken) in [
        (asking(None), &[Some(access_token), Some(JWT)][..]),
        (asking(Some(TokenType::Jwt)), &[Some(JWT)]),
        (asking(Some(TokenType::AccessToken)), &[Some(access_token)]),
        (obo, &[None, Some(access_token), Some(JWT)]),
        (ours, &[None, Some(access_token), Some(JWT)]),
        (auth0, &[None, Some(vault)]),
    ] {
        let issued = [
            None,
            Some(access_token),
            Some(JWT),
            Some(ID_JAG),
            Some(refresh_token),
            Some(vault),
            Some(""),
        ];
        for issued in issued {
            let flaw = (!taken.contains(&issued)).then_some(Flaw::IssuedTokenType);
            let read = answered(&profile, &json!({"issued_token_type": issued}));
            assert_flaw(read, flaw, &(&profile, issued));
        }
    }
}

#[test]
fn the_token_ends_when_the_first_says_so() {
    let at = |exp: Option<u64>, expires_in: Option<u64>| {
        let exp = exp.map(|seconds| START.as_secs() + seconds);
        let token = jwt("at+jwt", &with(&claims(), &json!({"exp": exp})));
        let body = with(&body(&token), &json!({"expires_in": expires_in}));
        let credential = read_body(&exchange(), &request(&["docs.read"]), &body)?;
        Ok(credential.expires_at.duration_since(now()).unwrap().as_secs())
    };
    let day = 24 * 60 * 60;
    for (exp, expires_in, seconds) in [
        (Some(600), Some(300), 300),
        (Some(300), Some(600), 300),
        (Some(600), None, 600),
        (None, Some(600), 600),
        (None, None, 300),
        (Some(9 * day), None, day),
        (None, Some(u64::MAX), day),
    ] {
        assert_eq!(at(exp, expires_in), Ok(seconds), "{exp:?} {expires_in:?}");
    }
    let expired = Err(ExchangeError::Unusable(Flaw::Expired));
    assert_eq!(at(Some(600), Some(0)), expired);
    assert_eq!(at(Some(0), Some(600)), expired);

    let scopes = request(&["docs.read"]);
    for (nbf, flaw) in [(0, None), (60, None), (61, Some(Flaw::Expired))] {
        let changes = json!({"nbf": START.as_secs() + nbf});
        assert_flaw(claimed(&exchange(), &scopes, &changes), flaw, &changes);
    }
}

#[test]
fn answers_grant_no_more_than_was_asked_for() {
    let asked = request(&["docs.read", "docs.write"]);
    let said = |scope: Option<&str>, claim: Option<Value>| {
        let claims = with(&claims(), &json!({"scope": claim}));
        let body = with(&body(&jwt("at+jwt", &claims)), &json!({"scope": scope}));
        read_body(&exchange(), &asked, &body)
    };
    let wider = Err(Flaw::Wider);
    for (scope, claim, granted) in [
        (None, None, Ok("docs.read docs.write")),
        (Some("docs.read"), None, Ok("docs.read")),
        (Some("docs.write docs.read"), None, Ok("docs.read docs.write")),
        (Some(""), None, Ok("")),
        (Some("docs.read admin"), None, wider),
        (None, Some(json!("docs.read")), Ok("docs.read")),
        (None, Some(json!(["docs.read"])), Ok("docs.read")),
        (None, Some(json!("docs.read admin")), wider),
        (Some("docs.read"), Some(json!("docs.read docs.write")), wider),
        (Some("docs.read docs.write"), Some(json!("docs.write")), Ok("docs.write")),
    ] {
        let read = said(scope, claim.clone()).map(|credential| credential.granted);
        let granted = granted
            .map(|scopes: &str| Some(scopes.split_whitespace().map(str::to_owned).collect()))
            .map_err(ExchangeError::Unusable);
        assert_eq!(read, granted, "{scope:?} {claim:?}");
    }
    let scp = json!({"scope": null, "scp": ["docs.read", "admin"]});
    assert_flaw(claimed(&exchange(), &asked, &scp), Some(Flaw::Wider), &scp);
    let unreadable = json!({"scope": {"docs": "read"}});
    assert_flaw(claimed(&exchange(), &asked, &unreadable), Some(Flaw::NotJwt), &unreadable);
}

/// Down-scoping must not depend on the authorization server alone.
#[test]
fn without_asking_answers_grant_no_more_than_the_caller_has() {
    let unasked = request(&[]);
    for (scope, granted) in [
        ("docs.read", Ok(Some(set(&["docs.read"])))),
        ("docs.read admin", Err(ExchangeError::Unusable(Flaw::Wider))),
    ] {
        let body = with(&body("opaque"), &json!({"scope": scope}));
        let read = read_body(&opaque_exchange(), &unasked, &body);
        assert_eq!(read.map(|credential| credential.granted), granted, "{scope}");
    }
    let silent = with(&body("opaque"), &json!({"scope": null}));
    assert_eq!(read_body(&opaque_exchange(), &unasked, &silent).unwrap().granted, None);
    let claim = json!({"scope": "admin"});
    assert_flaw(claimed(&exchange(), &unasked, &claim), Some(Flaw::Wider), &claim);

    // Our own token is not the caller's, who has other scopes.
    let ours = Profile::ClientCredentials(client_credentials(Target::default()));
    let admin = with(&body("opaque"), &json!({"scope": "admin"}));
    assert_eq!(read_body(&ours, &unasked, &admin).unwrap().granted, Some(set(&["admin"])));
}

#[test]
fn tokens_are_for_the_mcp_server() {
    for (aud, flaw) in [
        (json!(RESOURCE), None),
        (json!([RESOURCE, "other"]), None),
        (json!("https://mcp.example/mcp/"), Some(Flaw::Audience)),
        (json!(["other"]), Some(Flaw::Audience)),
        (json!([]), Some(Flaw::NotJwt)),
        (Value::Null, Some(Flaw::Audience)),
        (json!({RESOURCE: true}), Some(Flaw::NotJwt)),
    ] {
        let read = claimed(&exchange(), &request(&["docs.read"]), &json!({"aud": aud}));
        assert_flaw(read, flaw, &aud);
    }
}

#[test]
fn tokens_are_jwts_where_that_is_expected() {
    let good = jwt("at+jwt", &claims());
    let (head, signature) = good.rsplit_once('.').unwrap();
    let cut = head.to_owned();
    let five = format!("{good}.a.b");
    let padded = format!("{head}=.{signature}");
    for token in ["opaque", "a.b.c", "..", &cut, &five, &padded] {
        let read = read_body(&exchange(), &request(&["docs.read"]), &body(token));
        assert_flaw(read, Some(Flaw::NotJwt), &token);
    }
    for (typ, flaw) in [
        ("at+jwt", None),
        ("JWT", None),
        ("application/at+jwt", None),
        ("oauth-id-jag+jwt", Some(Flaw::IssuedTokenType)),
        ("id+jwt", Some(Flaw::IssuedTokenType)),
    ] {
        let read = read_body(&exchange(), &request(&["docs.read"]), &body(&jwt(typ, &claims())));
        assert_flaw(read, flaw, &typ);
    }
}

#[test]
fn tokens_are_about_the_caller() {
    let scopes = request(&["docs.read"]);
    for (changes, flaw) in [
        (json!({"sub": "mallory"}), Some(Flaw::Subject)),
        (json!({"sub": null}), Some(Flaw::Subject)),
        // What another issuer calls her is not ours to compare.
        (json!({"sub": "a11ce", "iss": "https://other.example"}), None),
        // Who does not say whose it is may be hers (RFC 9068 section 2.2 requires `iss`).
        (json!({"iss": null}), None),
        (json!({"sub": "mallory", "iss": null}), Some(Flaw::Subject)),
    ] {
        assert_flaw(claimed(&exchange(), &scopes, &changes), flaw, &changes);
    }
    // What is configured to be the subject may be another claim: `sub` is compared with `sub`.
    let by_oid = Request { claims: renamed("alice@example.com"), ..request(&["docs.read"]) };
    assert_flaw(claimed(&exchange(), &by_oid, &json!({})), None, &"another claim");
    let token = "opaque".to_owned();
    let opaque = Request { token, claims: renamed("bob"), ..request(&["docs.read"]) };
    assert_flaw(claimed(&exchange(), &opaque, &json!({})), Some(Flaw::Subject), &"opaque");

    // Pairwise at Microsoft Entra ID, and ours with client credentials.
    let other = json!({"sub": "mallory"});
    let obo = OnBehalfOf { expected: expected_jwt(), ..on_behalf_of() };
    let ours =
        ClientCredentials { expected: expected_jwt(), ..client_credentials(Target::default()) };
    for profile in [Profile::OnBehalfOf(obo), Profile::ClientCredentials(ours)] {
        assert_flaw(claimed(&profile, &scopes, &other), None, &profile);
    }
}

fn renamed(subject: &str) -> Rc<Verified<AccessToken>> {
    Rc::new(Verified::assumed(AccessToken { subject: subject.to_owned(), ..caller() }))
}

/// RFC 8693 section 4.1: the outermost `act` is the current actor.
#[test]
fn tokens_name_the_actor() {
    let acting = |actor, actors: Option<&[&str]>| {
        let actors = actors.map(|names| names.iter().map(|&name| name.to_owned()).collect());
        let format = Format::Jwt { audiences: vec![RESOURCE.to_owned()], actors };
        let expected = Expected { format, ..expected_jwt() };
        Profile::TokenExchange(TokenExchange { actor, expected, ..token_exchange() })
    };
    let agent = || Some(ActorToken::Agent { token_type: TokenType::Jwt });
    let no = Some(Flaw::Actor);
    let nested = json!({"sub": "other", "act": {"sub": CLIENT}});
    for (profile, act, flaw) in [
        (acting(None, None), Value::Null, None),
        (acting(None, None), json!({"sub": "anybody"}), None),
        (acting(Some(own_actor()), None), Value::Null, no),
        (acting(Some(own_actor()), None), json!({"sub": CLIENT}), None),
        (acting(Some(own_actor()), None), json!({"client_id": CLIENT}), None),
        (acting(Some(own_actor()), None), json!({"sub": "other"}), no),
        (acting(Some(own_actor()), None), nested, no),
        (acting(Some(ActorToken::JwtSvid), None), json!({"sub": WORKLOAD}), None),
        (acting(Some(ActorToken::JwtSvid), None), json!({"sub": CLIENT}), no),
        (acting(agent(), None), json!({"client_id": "agent"}), None),
        (acting(agent(), None), json!({"sub": "another-agent"}), no),
        (acting(Some(own_actor()), Some(&["sa-1"])), json!({"sub": "sa-1"}), None),
        (acting(Some(own_actor()), Some(&["sa-1"])), json!({"sub": CLIENT}), no),
        (acting(None, Some(&["sa-1", "sa-2"])), json!({"sub": "sa-2"}), None),
        (acting(None, Some(&["sa-1"])), Value::Null, no),
        (acting(None, None), json!("not an object"), Some(Flaw::NotJwt)),
    ] {
        let read = claimed(&profile, &request(&["docs.read"]), &json!({"act": act}));
        assert_flaw(read, flaw, &act);
    }

    // The same name at another issuer is another party (RFC 8693 section 4.1).
    let at = |issuer: &str, sub: &str| json!({"act": {"iss": issuer, "sub": sub}});
    let evil = "https://evil.example";
    for (profile, act, flaw) in [
        (acting(Some(own_actor()), None), at(ISSUER, CLIENT), None),
        (acting(Some(own_actor()), None), at(evil, CLIENT), no),
        (acting(agent(), None), at(ISSUER, "agent"), None),
        (acting(agent(), None), at(evil, "agent"), no),
        (acting(Some(ActorToken::JwtSvid), None), at("https://spire.example", WORKLOAD), None),
        (acting(None, Some(&["sa-1"])), at("https://other.example", "sa-1"), None),
    ] {
        assert_flaw(claimed(&profile, &request(&["docs.read"]), &act), flaw, &act);
    }
    // Another authorization server names the agent at the issuer of the token that it was shown.
    let other = with(&at(ISSUER, "agent"), &json!({"iss": "https://as.example"}));
    assert_flaw(claimed(&acting(agent(), None), &request(&["docs.read"]), &other), None, &other);

    let bot = Actor { subject: Some("bot".to_owned()), ..Actor::default() };
    let elsewhere = Actor { issuer: Some("https://bots.example".to_owned()), ..bot.clone() };
    for (actor, act, flaw) in [
        (&bot, json!({"act": {"sub": "bot"}}), None),
        (&bot, at(ISSUER, "bot"), None),
        (&bot, at("https://bots.example", "bot"), no),
        (&elsewhere, at("https://bots.example", "bot"), None),
        (&elsewhere, at(evil, "bot"), no),
    ] {
        let caller = AccessToken { actors: vec![actor.clone()], ..caller() };
        let delegated = Request::new(caller, &["docs.read"]);
        assert_flaw(claimed(&acting(agent(), None), &delegated, &act), flaw, &act);
    }

    // Where we do not know what we are called, only the configuration can say it.
    let injected = |actors| {
        let Profile::TokenExchange(mut profile) = acting(Some(own_actor()), actors) else {
            panic!("is one")
        };
        profile.endpoint.client = ClientAuthentication::Injected;
        Profile::TokenExchange(profile)
    };
    let act = json!({"act": {"sub": CLIENT}});
    let scopes = request(&["docs.read"]);
    assert_flaw(claimed(&injected(None), &scopes, &act), no, &act);
    assert_flaw(claimed(&injected(Some(&[CLIENT])), &scopes, &act), None, &act);
}

#[test]
fn what_came_with_the_request_never_goes_on() {
    let request = request(&["docs.read"]);
    let inside = format!("x{}", request.token);
    let nested = |own: &str| jwt("at+jwt", &json!({"iss": ISSUER, "orig": {"token": own}}));
    let [nested, svid, agents] = [&request.token, "svid", "agents"].map(nested);
    for token in [&request.token, "svid", "agents", &inside, &nested, &svid, &agents] {
        for profile in [opaque_exchange(), Profile::OnBehalfOf(on_behalf_of())] {
            let read = read_body(&profile, &request, &body(token));
            assert_flaw(read, Some(Flaw::Unchanged), &(&profile, token));
        }
        let vault = Profile::TokenVault(token_vault());
        let body = with(&body(token), &json!({"issued_token_type": null}));
        assert_flaw(read_body(&vault, &request, &body), Some(Flaw::Unchanged), &token);
    }
}

#[test]
fn our_own_actor_token_may_be_opaque_and_not_bound() {
    let actor = ActorToken::Own { target: Target::default(), scopes: vec!["act".to_owned()] };
    let profile = Profile::TokenExchange(TokenExchange { actor: Some(actor), ..token_exchange() });
    let read = |changes: &Value| {
        let body = with(&json!({"access_token": "ours", "token_type": "Bearer"}), changes);
        read_step(&profile, Step::Actor, &request(&["docs.read"]), &answer(200, &body.to_string()))
    };
    assert_eq!(read(&json!({})).unwrap().token.reveal(), "ours");
    let wider = json!({"scope": "act admin"});
    assert_flaw(read(&wider), Some(Flaw::Wider), &wider);
    let bound = json!({"token_type": "DPoP"});
    assert_flaw(read(&bound), Some(Flaw::Bound), &bound);
}

/// Microsoft identity platform: answers name scopes with or without their resource, in any case,
/// `.default` stands for all that was consented to, and all of that is granted whatever was
/// asked for.
#[test]
fn scopes_of_entra() {
    let profile = Profile::OnBehalfOf(on_behalf_of());
    let graph = "https://graph.microsoft.com/user.read";
    for (asked, scope, granted) in [
        (graph, graph, Ok(vec![graph])),
        (graph, "User.Read", Ok(vec![graph])),
        (graph, "https://graph.microsoft.com/User.Read", Ok(vec![graph])),
        (graph, "User.Read profile openid email", Ok(vec!["email", graph, "openid", "profile"])),
        (graph, "Mail.Read", Ok(vec!["Mail.Read"])),
        (graph, "User.Read User.ReadWrite", Ok(vec!["User.ReadWrite", graph])),
        (graph, "https://other.example/user.read", Err(Flaw::Wider)),
        (
            "api://docs/.default",
            "api://docs/Docs.Read",
            Ok(vec!["api://docs/.default", "api://docs/Docs.Read"]),
        ),
        ("api://docs/Docs.Read", "Docs.Read", Ok(vec!["api://docs/Docs.Read"])),
    ] {
        let body = with(&body("opaque"), &json!({"scope": scope}));
        let read = read_body(&profile, &request(&[asked]), &body);
        let granted = granted.map(|scopes| Some(set(&scopes))).map_err(ExchangeError::Unusable);
        assert_eq!(read.map(|credential| credential.granted), granted, "{asked} {scope}");
    }
    let jwt_profile = OnBehalfOf { expected: expected_jwt(), ..on_behalf_of() };
    let jwt_profile = Profile::OnBehalfOf(jwt_profile);
    for (scp, grants) in
        [("Docs.Read", true), ("Docs.Read Docs.Write", true), ("Docs.Write", false)]
    {
        let changes = json!({"scope": null, "scp": scp});
        let read = claimed(&jwt_profile, &request(&["api://docs/Docs.Read"]), &changes);
        assert_eq!(read.unwrap().grants(&set(&["api://docs/Docs.Read"])), grants, "{scp}");
    }
}

/// Microsoft identity platform, "On-Behalf-Of flow", success response.
#[test]
fn an_answer_of_entra() {
    let body = json!({
        "token_type": "Bearer", "scope": "https://graph.microsoft.com/user.read",
        "expires_in": 3269, "ext_expires_in": 0, "access_token": "opaque",
        "refresh_token": "OAQABAAAAAABnfiG",
    });
    let profile = Profile::OnBehalfOf(on_behalf_of());
    let asked = request(&["https://graph.microsoft.com/user.read"]);
    let credential = read_body(&profile, &asked, &body).unwrap();
    assert_eq!(credential.expires_at, now() + secs(3269));
}

/// Auth0 Authentication API, "Token Vault token exchange": scopes are the third party's.
#[test]
fn an_answer_of_auth0() {
    let body = json!({
        "access_token": "ya29.a0AfH6SM", "expires_in": 1377, "token_type": "Bearer",
        "scope": "https://www.googleapis.com/auth/calendar.freebusy,profile",
        "issued_token_type": "http://auth0.com/oauth/token-type/federated-connection-access-token",
    });
    let profile = Profile::TokenVault(token_vault());
    let credential = read_body(&profile, &request(&["docs.read"]), &body).unwrap();
    assert_eq!(credential.token.reveal(), "ya29.a0AfH6SM");
    assert_eq!((credential.granted, credential.expires_at), (None, now() + secs(1377)));
}

fn assertion_claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "U019488227", "aud": SECOND, "client_id": "second",
        "exp": START.as_secs() + 300, "iat": START.as_secs(), "jti": "9e43f81b",
        "resource": RESOURCE, "scope": "docs.read",
    })
}

fn assertion_body(issued: &str, token: &str) -> Value {
    json!({
        "issued_token_type": issued, "access_token": token, "token_type": "N_A",
        "scope": "docs.read", "expires_in": 300,
    })
}

fn assertion(kind: TokenType, body: &Value) -> Result<Assertion, ExchangeError> {
    asserted(kind, &request(&["docs.read"]), body)
}

fn asserted(kind: TokenType, request: &Request, body: &Value) -> Result<Assertion, ExchangeError> {
    let profile = Profile::IdentityChaining(identity_chaining(kind));
    let answer = answer(200, &body.to_string());
    match profile.read(Step::Exchange, &request.wish(), &Gained::default(), &answer, now())? {
        Gain::Assertion(assertion) => Ok(assertion),
        Gain::Credential(_) => panic!("an assertion is no credential"),
    }
}

/// draft-ietf-oauth-identity-assertion-authz-grant, token exchange response.
#[test]
fn assertions_are_for_the_second_authorization_server() {
    for (kind, issued, typ) in
        [(TokenType::IdJag, ID_JAG, "oauth-id-jag+jwt"), (TokenType::Jwt, JWT, "JWT")]
    {
        let token = jwt(typ, &assertion_claims());
        let asserted = assertion(kind, &assertion_body(issued, &token)).ok().unwrap();
        assert_eq!(asserted.token.reveal(), token);

        for (changes, flaw) in [
            (json!({"aud": "https://other.example"}), Flaw::Audience),
            (json!({"aud": [SECOND, "https://other.example"]}), Flaw::Audience),
            (json!({"aud": null}), Flaw::Audience),
            (json!({"exp": null}), Flaw::NotJwt),
            (json!({"exp": START.as_secs()}), Flaw::Expired),
            (json!({"nbf": START.as_secs() + 61}), Flaw::Expired),
            (json!({"sub": null}), Flaw::Subject),
            (json!({"scope": "docs.read admin"}), Flaw::Wider),
            (json!({"cnf": {"jkt": "x"}}), Flaw::Bound),
        ] {
            let token = jwt(typ, &with(&assertion_claims(), &changes));
            assert_flaw(assertion(kind, &assertion_body(issued, &token)), Some(flaw), &changes);
        }
        for (changes, flaw) in [
            (json!({"token_type": "n_a"}), None),
            (json!({"token_type": "Bearer"}), Some(Flaw::TokenType)),
            (json!({"token_type": "DPoP"}), Some(Flaw::TokenType)),
            (json!({"issued_token_type": null}), Some(Flaw::IssuedTokenType)),
            (
                json!({"issued_token_type": "urn:ietf:params:oauth:token-type:access_token"}),
                Some(Flaw::IssuedTokenType),
            ),
            (json!({"scope": "docs.read admin"}), Some(Flaw::Wider)),
            (json!({"access_token": "opaque"}), Some(Flaw::NotJwt)),
            (json!({"access_token": request(&[]).token}), Some(Flaw::Unchanged)),
        ] {
            let body = with(&assertion_body(issued, &token), &changes);
            assert_flaw(assertion(kind, &body), flaw, &changes);
        }
    }
    for typ in ["JWT", "at+jwt"] {
        let token = jwt(typ, &assertion_claims());
        let read = assertion(TokenType::IdJag, &assertion_body(ID_JAG, &token));
        assert_flaw(read, Some(Flaw::NotJwt), &typ);
    }
}

/// The first one may narrow what was asked for, in its answer or in the assertion.
#[test]
fn assertions_are_remembered_by_their_scopes() {
    let granted = |scope: Option<&str>, claim: Option<&str>| {
        let token = jwt("oauth-id-jag+jwt", &with(&assertion_claims(), &json!({"scope": claim})));
        let body = with(&assertion_body(ID_JAG, &token), &json!({"scope": scope}));
        let asked = request(&["docs.read", "docs.write"]);
        asserted(TokenType::IdJag, &asked, &body).ok().unwrap().granted
    };
    for (scope, claim, scopes) in [
        (None, None, &["docs.read", "docs.write"][..]),
        (Some("docs.read"), None, &["docs.read"]),
        (None, Some("docs.read"), &["docs.read"]),
        (Some("docs.read docs.write"), Some("docs.write"), &["docs.write"]),
        (Some(""), None, &[]),
    ] {
        assert_eq!(granted(scope, claim), Some(set(scopes)), "{scope:?} {claim:?}");
    }
}

/// draft-ietf-oauth-identity-assertion-authz-grant: the second request has no `scope`, so what an
/// answer leaves out (RFC 6749 section 5.1) is what the assertion says.
#[test]
fn assertions_say_what_the_second_ones_answer_leaves_out() {
    let profile = Profile::IdentityChaining(identity_chaining(TokenType::IdJag));
    let asked = request(&["docs.read", "docs.write"]);
    let redeemed = |asserted: Option<&[&str]>, scope: Option<&str>| {
        let changes = json!({"scope": scope, "issued_token_type": null});
        let body = with(&body("opaque"), &changes).to_string();
        let gained = gained_assertion("jag", asserted);
        read_after(&profile, Step::Redeem, &asked, &gained, &answer(200, &body))
    };
    let narrowed = redeemed(Some(&["docs.read"]), None).unwrap();
    assert_eq!(narrowed.granted, Some(set(&["docs.read"])));
    assert!(!narrowed.grants(&set(&["docs.write"])));
    let said = redeemed(Some(&["docs.read", "docs.write"]), Some("docs.write")).unwrap();
    assert_eq!(said.granted, Some(set(&["docs.write"])));
    let nothing = redeemed(Some(&[]), None).unwrap();
    assert!(!nothing.grants(&set(&["docs.read"])));
    assert_eq!(redeemed(None, None).unwrap().granted, None);

    for (asserted, scope) in [
        (Some(&["docs.read"][..]), "docs.read docs.write"),
        (Some(&[]), "docs.read"),
        (None, "docs.read admin"),
    ] {
        let flaw = Some(Flaw::Wider);
        assert_flaw(redeemed(asserted, Some(scope)), flaw, &(asserted, scope));
    }
}

#[test]
fn the_second_authorization_servers_answer_is_judged() {
    let expected = expected_jwt();
    let chaining = IdentityChaining { expected, ..identity_chaining(TokenType::IdJag) };
    let profile = Profile::IdentityChaining(chaining);
    let read = |changes: &Value, members: &Value| {
        let claims = with(&claims(), &json!({"iss": SECOND, "sub": "u1"}));
        let body = body(&jwt("at+jwt", &with(&claims, changes)));
        let body = with(&with(&body, &json!({"issued_token_type": null})), members);
        let answer = answer(200, &body.to_string());
        let gained = gained_assertion("jag", Some(&["docs.read"]));
        read_after(&profile, Step::Redeem, &request(&["docs.read"]), &gained, &answer)
    };
    let unchanged = json!({});
    assert_eq!(read(&unchanged, &unchanged).unwrap().granted, Some(set(&["docs.read"])));
    for (claims, members, flaw) in [
        (json!({"aud": SECOND}), json!({}), Flaw::Audience),
        (json!({"scope": "admin"}), json!({}), Flaw::Wider),
        (json!({}), json!({"scope": "docs.read admin"}), Flaw::Wider),
        (json!({}), json!({"token_type": "N_A"}), Flaw::TokenType),
        (json!({}), json!({"issued_token_type": ID_JAG}), Flaw::IssuedTokenType),
    ] {
        assert_flaw(read(&claims, &members), Some(flaw), &(claims, members));
    }
}
