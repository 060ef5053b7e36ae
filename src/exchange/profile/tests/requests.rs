//! What goes to token endpoints, parameter by parameter.

use super::*;
use crate::host::fake::FakeHost;
use crate::token::{Algorithm, CertificateDigest, SigningKey};

const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

fn ask(
    profile: &Profile,
    step: Step,
    request: &Request,
    gained: &Gained,
) -> Result<Callout, HostError> {
    profile.request(step, &request.wish(), gained, &FakeHost::new())
}

fn exchange(profile: &Profile, request: &Request) -> Callout {
    ask(profile, Step::Exchange, request, &Gained::default()).unwrap()
}

/// The parameters, in the order in which they are sent.
fn pairs(callout: &Callout) -> Vec<(String, String)> {
    form_urlencoded::parse(&callout.body).into_owned().collect()
}

#[track_caller]
fn assert_pairs(callout: &Callout, expected: &[(&str, &str)]) {
    let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
    assert_eq!(pairs(callout), expected.iter().map(owned).collect::<Vec<_>>());
    assert_eq!(callout.method, "POST");
    let header = |name| callout.headers.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str());
    assert_eq!(header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(header("accept"), Some("application/json"));
}

fn gained_actor(token: &str) -> Gained {
    Gained { actor: Some(Secret::new(token.to_owned())), assertion: None }
}

#[test]
fn rfc_8693_section_2_3_example() {
    let mut request = request(&[]);
    "accVkjcJyb4BWCxGsndESCJQbdFMogUC5PbRDqceLTC".clone_into(&mut request.token);
    let client = basic("rs08", "long-secure-random-secret");
    let profile = Profile::TokenExchange(TokenExchange {
        endpoint: endpoint("as.example.com", "/as/token.oauth2", client),
        target: resource("https://backend.example.com/api"),
        ..token_exchange()
    });
    let callout = exchange(&profile, &request);
    assert_eq!(
        String::from_utf8(callout.body).unwrap(),
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange\
         &resource=https%3A%2F%2Fbackend.example.com%2Fapi\
         &subject_token=accVkjcJyb4BWCxGsndESCJQbdFMogUC5PbRDqceLTC\
         &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token"
    );
    let credentials = "Basic cnMwODpsb25nLXNlY3VyZS1yYW5kb20tc2VjcmV0".to_owned();
    assert!(callout.headers.contains(&("authorization", credentials)));
    assert_eq!((&*callout.authority, &*callout.path), ("as.example.com", "/as/token.oauth2"));
}

#[test]
fn each_resource_and_audience_is_a_parameter_and_scopes_are_one() {
    let request = request(&["docs.write", "docs.read"]);
    let target = Target {
        resources: vec!["https://a.example/".to_owned(), "https://b.example/".to_owned()],
        audiences: vec!["one".to_owned(), "t w&o".to_owned()],
    };
    let profile = Profile::TokenExchange(TokenExchange {
        target,
        subject_token_type: TokenType::Jwt,
        requested_token_type: Some(TokenType::AccessToken),
        ..token_exchange()
    });
    assert_pairs(
        &exchange(&profile, &request),
        &[
            ("grant_type", TOKEN_EXCHANGE),
            ("resource", "https://a.example/"),
            ("resource", "https://b.example/"),
            ("audience", "one"),
            ("audience", "t w&o"),
            ("scope", "docs.read docs.write"),
            ("subject_token", &request.token),
            ("subject_token_type", JWT),
            ("requested_token_type", ACCESS_TOKEN),
        ],
    );
}

/// RFC 8693 section 2.1: `actor_token_type` comes with an `actor_token`, and only with it.
#[test]
fn actor_tokens_come_with_their_type() {
    let request = request(&[]);
    let agent = |token_type| ActorToken::Agent { token_type };
    let cases = [
        (own_actor(), "ours", ACCESS_TOKEN),
        (ActorToken::JwtSvid, "svid", JWT),
        (agent(TokenType::Jwt), "agents", JWT),
        (agent(TokenType::AccessToken), "agents", ACCESS_TOKEN),
    ];
    for (actor, token, token_type) in cases {
        let profile =
            Profile::TokenExchange(TokenExchange { actor: Some(actor), ..token_exchange() });
        let callout = ask(&profile, Step::Exchange, &request, &gained_actor("ours")).unwrap();
        assert_pairs(
            &callout,
            &[
                ("grant_type", TOKEN_EXCHANGE),
                ("resource", RESOURCE),
                ("subject_token", &request.token),
                ("subject_token_type", ACCESS_TOKEN),
                ("actor_token", token),
                ("actor_token_type", token_type),
            ],
        );
    }
}

#[test]
fn our_own_actor_token_is_asked_for_first_and_without_the_callers() {
    let actor = ActorToken::Own {
        target: Target { audiences: vec![ISSUER.to_owned()], resources: Vec::new() },
        scopes: vec!["act".to_owned(), "be".to_owned()],
    };
    let profile = Profile::TokenExchange(TokenExchange { actor: Some(actor), ..token_exchange() });
    assert!(profile.needs_own_actor());
    let request = request(&["docs.read"]);
    let callout = ask(&profile, Step::Actor, &request, &Gained::default()).unwrap();
    assert_pairs(
        &callout,
        &[("grant_type", "client_credentials"), ("audience", ISSUER), ("scope", "act be")],
    );
    let early = ask(&profile, Step::Exchange, &request, &Gained::default());
    assert_eq!(early.err(), Some(HostError));
}

#[test]
fn actors_that_the_request_has_not_are_refused() {
    let mut request = request(&[]);
    (request.jwt_svid, request.agent_token) = (None, None);
    let agent = ActorToken::Agent { token_type: TokenType::Jwt };
    for (actor, is_there) in [
        (None, true),
        (Some(own_actor()), true),
        (Some(ActorToken::JwtSvid), false),
        (Some(agent), false),
    ] {
        let profile = Profile::TokenExchange(TokenExchange { actor, ..token_exchange() });
        let check = profile.check(&request.wanted());
        assert_eq!(check, if is_there { Ok(()) } else { Err(ExchangeError::NoActor) });
        if !is_there {
            assert!(ask(&profile, Step::Exchange, &request, &Gained::default()).is_err());
        }
    }
}

/// Microsoft identity platform, "On-Behalf-Of flow", first case.
#[test]
fn entra_on_behalf_of() {
    let request = request(&["https://graph.microsoft.com/user.read"]);
    let callout = exchange(&Profile::OnBehalfOf(on_behalf_of()), &request);
    assert_pairs(
        &callout,
        &[
            ("grant_type", JWT_BEARER),
            ("assertion", &request.token),
            ("scope", "https://graph.microsoft.com/user.read"),
            ("requested_token_use", "on_behalf_of"),
            ("client_id", CLIENT),
            ("client_secret", SECRET),
        ],
    );
    assert_eq!(callout.path, "/72f988bf-86f1-41af-91ab-2d7cd011db47/oauth2/v2.0/token");
}

/// The same, second case: the audience of our assertion is the tenant's endpoint too.
#[test]
fn entra_on_behalf_of_with_an_assertion() {
    let host = FakeHost::new();
    host.signature.replace(Some(vec![1; 256]));
    let certificate = Some(CertificateDigest([7; 32]));
    let key =
        SigningKey { algorithm: Algorithm::Rs256, key_id: None, certificate, pkcs8: Vec::new() };
    let mut profile = on_behalf_of();
    profile.endpoint.client = ClientAuthentication::PrivateKeyJwt {
        client_id: CLIENT.to_owned(),
        audience: "https://login.microsoftonline.com/{tid}/v2.0".to_owned(),
        key,
    };
    let wish = request(&["api://docs/.default"]).wish();
    let callout =
        Profile::OnBehalfOf(profile).request(Step::Exchange, &wish, &Gained::default(), &host);
    let pairs = pairs(&callout.unwrap());
    let names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "grant_type",
            "assertion",
            "scope",
            "requested_token_use",
            "client_id",
            "client_assertion_type",
            "client_assertion",
        ]
    );
    let (_, assertion) = pairs.last().unwrap();
    let part = |index| {
        let bytes = URL_SAFE_NO_PAD.decode(assertion.split('.').nth(index).unwrap()).unwrap();
        serde_json::from_slice::<Value>(&bytes).unwrap()
    };
    // Microsoft identity platform, "Certificate credentials".
    let digest = URL_SAFE_NO_PAD.encode([7; 32]);
    assert_eq!(part(0), json!({"alg": "RS256", "typ": "JWT", "x5t#S256": digest}));
    let claims = part(1);
    let audience = "https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0";
    assert_eq!(claims.get("aud"), Some(&json!(audience)));
}

#[test]
fn tenants_lead_nowhere_else() {
    let profile = Profile::OnBehalfOf(on_behalf_of());
    let long = "a".repeat(254);
    let hostile =
        ["", ".", "..", "...", "a/b", "../b", "a?b", "a#b", "a%2fb", "a b", "a\\b", "ä", &long];
    for tenant in hostile {
        let caller = AccessToken { tenant: Some(tenant.to_owned()), ..caller() };
        let request = Request::new(caller, &["s"]);
        assert_eq!(profile.check(&request.wanted()), Err(ExchangeError::NoUser), "{tenant}");
        let asked = ask(&profile, Step::Exchange, &request, &Gained::default());
        assert_eq!(asked.err(), Some(HostError), "{tenant}");
    }
    let contoso = AccessToken { tenant: Some("contoso.example".to_owned()), ..caller() };
    let request = Request::new(contoso, &["s"]);
    assert_eq!(profile.check(&request.wanted()), Ok(()));
    assert_eq!(exchange(&profile, &request).path, "/contoso.example/oauth2/v2.0/token");

    // Where the endpoint is of one tenant, callers need none.
    let mut of_one = on_behalf_of();
    "/acme/oauth2/v2.0/token".clone_into(&mut of_one.endpoint.request.path);
    let request = Request::new(AccessToken { tenant: None, ..caller() }, &["s"]);
    assert_eq!(profile.check(&request.wanted()), Err(ExchangeError::NoUser));
    assert_eq!(Profile::OnBehalfOf(of_one).check(&request.wanted()), Ok(()));
}

#[test]
fn workloads_have_no_delegated_tokens() {
    let workload = AccessToken { kind: SubjectKind::Workload, ..caller() };
    let request = Request::new(workload, &["s"]);
    for (profile, is_for_users) in [
        (Profile::OnBehalfOf(on_behalf_of()), true),
        (Profile::TokenVault(token_vault()), true),
        (Profile::TokenExchange(token_exchange()), false),
        (Profile::IdentityChaining(identity_chaining(TokenType::Jwt)), false),
        (Profile::ClientCredentials(client_credentials(Target::default())), false),
    ] {
        let expected = if is_for_users { Err(ExchangeError::NoUser) } else { Ok(()) };
        assert_eq!(profile.check(&request.wanted()), expected, "{profile:?}");
    }
}

/// Auth0 Authentication API, "Token Vault token exchange": scopes are not asked for.
#[test]
fn auth0_token_vault() {
    let request = request(&["docs.read"]);
    assert_pairs(
        &exchange(&Profile::TokenVault(token_vault()), &request),
        &[
            (
                "grant_type",
                "urn:auth0:params:oauth:grant-type:token-exchange:federated-connection-access-token",
            ),
            ("subject_token", &request.token),
            ("subject_token_type", ACCESS_TOKEN),
            (
                "requested_token_type",
                "http://auth0.com/oauth/token-type/federated-connection-access-token",
            ),
            ("connection", "google-oauth2"),
        ],
    );
}

/// draft-ietf-oauth-identity-assertion-authz-grant: the assertion says for which scopes it is.
#[test]
fn identity_assertions_are_asked_for_and_redeemed() {
    let request = request(&["chat.read", "chat.history"]);
    let profile = Profile::IdentityChaining(identity_chaining(TokenType::IdJag));
    assert_pairs(
        &exchange(&profile, &request),
        &[
            ("grant_type", TOKEN_EXCHANGE),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:id-jag"),
            ("resource", RESOURCE),
            ("audience", SECOND),
            ("scope", "chat.history chat.read"),
            ("subject_token", &request.token),
            ("subject_token_type", ACCESS_TOKEN),
        ],
    );
    let callout =
        ask(&profile, Step::Redeem, &request, &gained_assertion("jag", Some(&["chat.read"])))
            .unwrap();
    assert_pairs(&callout, &[("grant_type", JWT_BEARER), ("assertion", "jag")]);
    assert_eq!(callout.authority, "as.resource.example");
}

/// draft-ietf-oauth-identity-chaining sections 2.3 and 2.4, RFC 7523 section 2.1.
#[test]
fn chained_assertions_are_asked_for_and_redeemed() {
    let request = request(&["docs.read", "docs.write"]);
    let profile = Profile::IdentityChaining(IdentityChaining {
        target: Target { audiences: vec![SECOND.to_owned()], resources: Vec::new() },
        second_target: resource(RESOURCE),
        ..identity_chaining(TokenType::Jwt)
    });
    assert_pairs(
        &exchange(&profile, &request),
        &[
            ("grant_type", TOKEN_EXCHANGE),
            ("requested_token_type", JWT),
            ("audience", SECOND),
            ("scope", "docs.read docs.write"),
            ("subject_token", &request.token),
            ("subject_token_type", ACCESS_TOKEN),
        ],
    );
    let gained = gained_assertion("jwt", Some(&["docs.read"]));
    // It asks for no more than the assertion is for.
    let callout = ask(&profile, Step::Redeem, &request, &gained).unwrap();
    assert_pairs(
        &callout,
        &[
            ("grant_type", JWT_BEARER),
            ("assertion", "jwt"),
            ("resource", RESOURCE),
            ("scope", "docs.read"),
        ],
    );
    let early = ask(&profile, Step::Redeem, &request, &Gained::default());
    assert_eq!(early.err(), Some(HostError));
}

#[test]
fn rfc_6749_section_4_4_2_example() {
    let client = basic("s6BhdRkqt3", "gX1fBat3bV");
    let mut profile = client_credentials(Target::default());
    profile.endpoint = endpoint("server.example.com", "/token", client);
    let callout = exchange(&Profile::ClientCredentials(profile), &request(&[]));
    assert_pairs(&callout, &[("grant_type", "client_credentials")]);
    let credentials = "Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW".to_owned();
    assert!(callout.headers.contains(&("authorization", credentials)));
}

#[test]
fn client_credentials_bring_nothing_of_the_callers() {
    let profile = Profile::ClientCredentials(client_credentials(resource(RESOURCE)));
    assert_pairs(
        &exchange(&profile, &request(&["docs.read"])),
        &[("grant_type", "client_credentials"), ("resource", RESOURCE), ("scope", "docs.read")],
    );
}

#[test]
fn what_answers_depend_on() {
    let on = |actor| Profile::TokenExchange(TokenExchange { actor, ..token_exchange() });
    let agent = ActorToken::Agent { token_type: TokenType::Jwt };
    for (profile, subject, jwt_svid, agent_token) in [
        (on(None), true, false, false),
        (on(Some(own_actor())), true, false, false),
        (on(Some(ActorToken::JwtSvid)), true, true, false),
        (on(Some(agent)), true, false, true),
        (Profile::OnBehalfOf(on_behalf_of()), true, false, false),
        (Profile::TokenVault(token_vault()), true, false, false),
        (Profile::IdentityChaining(identity_chaining(TokenType::Jwt)), true, false, false),
        (Profile::ClientCredentials(client_credentials(Target::default())), false, false, false),
        (Profile::Injected, false, false, false),
    ] {
        let depends_on = DependsOn { subject, jwt_svid, agent_token };
        assert_eq!(profile.depends_on(), depends_on, "{profile:?}");
    }
}

#[test]
fn steps_of_other_profiles_ask_and_take_nothing() {
    let request = request(&["docs.read"]);
    let gained = Gained {
        actor: Some(Secret::new("ours".to_owned())),
        ..gained_assertion("assertion", None)
    };
    let good = answer(200, &body("token").to_string());
    for (profile, steps) in [
        (Profile::TokenExchange(token_exchange()), vec![Step::Actor, Step::Redeem]),
        (Profile::OnBehalfOf(on_behalf_of()), vec![Step::Actor, Step::Redeem]),
        (Profile::TokenVault(token_vault()), vec![Step::Actor, Step::Redeem]),
        (Profile::IdentityChaining(identity_chaining(TokenType::Jwt)), vec![Step::Actor]),
        (
            Profile::ClientCredentials(client_credentials(Target::default())),
            vec![Step::Actor, Step::Redeem],
        ),
        (Profile::Injected, vec![Step::Actor, Step::Exchange, Step::Redeem]),
    ] {
        for step in steps {
            assert!(ask(&profile, step, &request, &gained).is_err(), "{profile:?} {step:?}");
            let read = profile.read(step, &request.wish(), &gained, &good, now());
            assert!(read.is_err(), "{profile:?} {step:?}");
        }
    }
}

#[test]
fn secrets_are_not_shown() {
    let token = jwt("at+jwt", &claims());
    let exchange = Profile::TokenExchange(token_exchange());
    let credential = read_body(&exchange, &request(&["docs.read"]), &body(&token)).unwrap();
    for shown in [format!("{exchange:?}"), format!("{credential:?}")] {
        assert!(!shown.contains(SECRET) && !shown.contains(&token), "{shown}");
    }
}
