//! Whose fault it is when there is no token.

use super::*;

const CLAIMS: &str = r#"{"access_token":{"polids":{"essential":true,"values":["9ab03e19"]}}}"#;

fn interaction(claims: Option<&str>) -> ExchangeError {
    ExchangeError::InteractionRequired { claims: claims.map(Rc::from) }
}

fn refusal(status: u16, body: &Value) -> CalloutAnswer {
    answer(status, &body.to_string())
}

fn subject_profiles() -> [Profile; 4] {
    [
        Profile::TokenExchange(token_exchange()),
        Profile::OnBehalfOf(on_behalf_of()),
        Profile::TokenVault(token_vault()),
        Profile::IdentityChaining(identity_chaining(TokenType::IdJag)),
    ]
}

/// Why there is none, when the caller's token is shown, and when we ask for ourselves.
#[track_caller]
fn assert_refused(answer: &CalloutAnswer, subject: &ExchangeError, client: &ExchangeError) {
    let request = request(&["docs.read"]);
    for profile in subject_profiles() {
        let refused =
            profile.read(Step::Exchange, &request.wish(), &Gained::default(), answer, now()).err();
        assert_eq!(refused.as_ref(), Some(subject), "{profile:?} {:?}", answer.status);
    }
    let ours = Profile::ClientCredentials(client_credentials(Target::default()));
    assert_eq!(read(&ours, &request, answer).err().as_ref(), Some(client));
    let actor = Some(own_actor());
    let actor = Profile::TokenExchange(TokenExchange { actor, ..token_exchange() });
    let refused = read_step(&actor, Step::Actor, &request, answer).err();
    assert_eq!(refused.as_ref(), Some(client));
}

/// RFC 6749 section 5.2, RFC 8693 section 2.2.2, and what vendors add.
#[test]
fn error_codes() {
    use ExchangeError::*;
    for (status, code, subject, client) in [
        (401, "invalid_client", ClientRejected, ClientRejected),
        (400, "invalid_client", ClientRejected, ClientRejected),
        (400, "unauthorized_client", ClientRejected, ClientRejected),
        (403, "unauthorized_client", ClientRejected, ClientRejected),
        (400, "unsupported_grant_type", ClientRejected, ClientRejected),
        (400, "invalid_target", TargetRejected, TargetRejected),
        (400, "invalid_scope", ScopeRefused, ClientRejected),
        (400, "invalid_grant", SubjectRejected, ClientRejected),
        (403, "invalid_grant", SubjectRejected, ClientRejected),
        // Auth0 (Get token): of a subject token, and of a wrong client secret.
        (401, "invalid_token", SubjectRejected, ClientRejected),
        (401, "access_denied", ClientRejected, ClientRejected),
        (400, "access_denied", Denied, ClientRejected),
        (403, "access_denied", Denied, ClientRejected),
        (400, "interaction_required", interaction(None), ClientRejected),
        (400, "login_required", interaction(None), ClientRejected),
        (400, "consent_required", interaction(None), ClientRejected),
        (400, "insufficient_user_authentication", interaction(None), ClientRejected),
        (400, "invalid_request", RequestRejected, RequestRejected),
        (400, "use_dpop_nonce", RequestRejected, RequestRejected),
        (400, "unheard_of", RequestRejected, RequestRejected),
        (404, "", RequestRejected, RequestRejected),
        (401, "unheard_of", ClientRejected, ClientRejected),
    ] {
        let body = json!({"error": code, "error_description": "alice's token is no good"});
        assert_refused(&refusal(status, &body), &subject, &client);
    }
}

/// RFC 8693 section 2.2.2: `invalid_request` is said of tokens too. The agent's is not verified
/// here: callers could fill the operator's log with it.
#[test]
fn requests_with_an_agents_token_are_the_agents_to_mend() {
    let acting = |actor| Profile::TokenExchange(TokenExchange { actor, ..token_exchange() });
    let refused = |actor, status, code| {
        let answer = refusal(status, &json!({"error": code}));
        read(&acting(actor), &request(&["docs.read"]), &answer).err().unwrap()
    };
    for token_type in [TokenType::Jwt, TokenType::AccessToken] {
        let agent = || Some(ActorToken::Agent { token_type });
        assert_eq!(refused(agent(), 400, "invalid_request"), ExchangeError::ActorRejected);
        assert_eq!(refused(agent(), 401, "invalid_request"), ExchangeError::ClientRejected);
        assert_eq!(refused(agent(), 400, "unheard_of"), ExchangeError::RequestRejected);
        assert_eq!(refused(agent(), 400, "invalid_grant"), ExchangeError::SubjectRejected);
        assert_eq!(refused(agent(), 400, "interaction_required"), interaction(None));
    }
    for verified in [None, Some(own_actor()), Some(ActorToken::JwtSvid)] {
        let error = refused(verified, 400, "invalid_request");
        assert_eq!(error, ExchangeError::RequestRejected);
    }
}

/// What is no error response leaves it to the status.
#[test]
fn errors_that_cannot_be_read() {
    let html = CalloutAnswer {
        headers: vec![("content-type".to_owned(), b"text/html".to_vec())],
        ..refusal(400, &json!({"error": "invalid_grant"}))
    };
    let twice = r#"{"error": "invalid_grant", "error": "invalid_scope"}"#;
    let large = json!({"error": "invalid_grant", "pad": "x".repeat(64 * 1024)});
    let none = CalloutAnswer { body: None, ..refusal(400, &json!({})) };
    for answer in [
        html,
        answer(400, twice),
        answer(400, "[]"),
        answer(400, "{\"error\":"),
        refusal(400, &json!({"error": ["invalid_grant"]})),
        refusal(400, &large),
        none,
    ] {
        assert_refused(&answer, &ExchangeError::RequestRejected, &ExchangeError::RequestRejected);
        let unauthorized = CalloutAnswer { status: Some(401), ..answer };
        let rejected = ExchangeError::ClientRejected;
        assert_refused(&unauthorized, &rejected, &rejected);
    }
}

#[test]
fn outages_say_when_to_come_again() {
    let reasons = |answer: &CalloutAnswer| {
        let error = read(&subject_profiles()[0], &request(&[]), answer).err();
        let Some(ExchangeError::Unavailable { retry_after, .. }) = error else {
            panic!("{:?}: {error:?}", answer.status)
        };
        retry_after
    };
    let down = |status| CalloutAnswer { status, headers: Vec::new(), body: None };
    for status in [None, Some(408), Some(429), Some(500), Some(502), Some(503), Some(599)] {
        assert_eq!(reasons(&down(status)), None, "{status:?}");
    }
    for code in ["temporarily_unavailable", "server_error"] {
        assert_eq!(reasons(&refusal(400, &json!({"error": code}))), None);
    }
    let after = |value: &str| {
        let headers = vec![("retry-after".to_owned(), value.as_bytes().to_vec())];
        reasons(&CalloutAnswer { headers, ..down(Some(503)) })
    };
    assert_eq!(after("17"), Some(Duration::from_secs(17)));
    assert_eq!(after("86400"), Some(Duration::from_secs(3600)));
    for odd in ["-1", "1.5", "", "99999999999999999999", "Wed, 21 Oct 2026 07:28:00 GMT"] {
        assert_eq!(after(odd), None, "{odd}");
    }
}

#[test]
fn statuses_of_neither_tokens_nor_errors() {
    let good = body(&jwt("at+jwt", &claims())).to_string();
    let request = request(&["docs.read"]);
    for status in [100, 199, 201, 202, 204, 206, 301, 302, 307, 399] {
        for profile in subject_profiles() {
            let read = profile.read(
                Step::Exchange,
                &request.wish(),
                &Gained::default(),
                &answer(status, &good),
                now(),
            );
            assert_flaw(read, Some(Flaw::Malformed), &status);
        }
    }
}

/// Microsoft identity platform, "On-Behalf-Of flow", error response; "Claims challenges".
#[test]
fn claims_of_entra_are_passed_on() {
    let profile = Profile::OnBehalfOf(on_behalf_of());
    let request = request(&["api://docs/.default"]);
    let read = |body: &Value| read(&profile, &request, &refusal(400, body)).err();
    let conditional_access = json!({
        "error": "interaction_required", "error_description": "AADSTS50079: ...",
        "error_codes": [50079], "timestamp": "2017-05-01 22:43:20Z", "suberror": "basic_action",
        "trace_id": "b72a68c3", "correlation_id": "73cf4d0b", "claims": CLAIMS,
    });
    assert_eq!(read(&conditional_access), Some(interaction(Some(CLAIMS))));
    let grant = with(&conditional_access, &json!({"error": "invalid_grant", "suberror": null}));
    assert_eq!(read(&grant), Some(interaction(Some(CLAIMS))));

    // "consent_required" is mended by the user, "bad_token" and others by a new token.
    let suberror = |suberror: &str| json!({"error": "invalid_grant", "suberror": suberror});
    assert_eq!(read(&suberror("consent_required")), Some(interaction(None)));
    assert_eq!(read(&suberror("bad_token")), Some(ExchangeError::SubjectRejected));
}

#[test]
fn claims_that_are_none_are_not_passed_on() {
    let profile = Profile::OnBehalfOf(on_behalf_of());
    let long = format!(r#"{{"access_token":"{}"}}"#, "x".repeat(4 * 1024));
    let bad = [
        json!("[]"),
        json!("{"),
        json!(""),
        json!(r#"{"a":1,"a":2}"#),
        json!("{} {}"),
        json!(long),
        json!({"access_token": {}}),
        json!(1),
    ];
    for claims in bad {
        let read = |error: &str| {
            let body = json!({"error": error, "claims": claims});
            read(&profile, &request(&["s"]), &refusal(400, &body)).err()
        };
        assert_eq!(read("interaction_required"), Some(interaction(None)), "{claims}");
        assert_eq!(read("invalid_grant"), Some(ExchangeError::SubjectRejected), "{claims}");
    }
}

/// Auth0 tells it with status 401 mostly, which is not about us.
#[test]
fn accounts_that_are_not_linked() {
    let profile = Profile::TokenVault(token_vault());
    let not_linked = ExchangeError::NotLinked {
        connection: "google-oauth2".into(),
        link_uri: Some("https://app.example/link".into()),
    };
    for (status, code) in [
        (401, "federated_connection_refresh_token_not_found"),
        (400, "federated_connection_refresh_token_not_found"),
        (401, "federated_connection_refresh_token_flow_failed"),
        (404, "tokenset_not_found"),
    ] {
        let refusal = refusal(status, &json!({"error": code, "error_description": "..."}));
        let request = request(&["docs.read"]);
        assert_eq!(read(&profile, &request, &refusal).err(), Some(not_linked.clone()), "{code}");
        let other = Profile::TokenExchange(token_exchange());
        assert_ne!(read(&other, &request, &refusal).err(), Some(not_linked.clone()));
    }
    let outage = refusal(503, &json!({"error": "tokenset_not_found"}));
    let error = read(&profile, &request(&[]), &outage).err();
    assert!(matches!(error, Some(ExchangeError::Unavailable { .. })));
}

/// What the caller sent was good for the first one: the second one's refusal is not its fault.
#[test]
fn assertions_are_refused_to_nobodys_token() {
    let profile = Profile::IdentityChaining(identity_chaining(TokenType::IdJag));
    for (body, error) in [
        (json!({"error": "invalid_grant"}), ExchangeError::Denied),
        (json!({"error": "invalid_token"}), ExchangeError::Denied),
        (json!({"error": "access_denied"}), ExchangeError::Denied),
        (json!({"error": "invalid_scope"}), ExchangeError::ScopeRefused),
        (json!({"error": "invalid_grant", "claims": CLAIMS}), interaction(None)),
        (json!({"error": "interaction_required", "claims": CLAIMS}), interaction(None)),
        (json!({"error": "invalid_client"}), ExchangeError::ClientRejected),
    ] {
        let refused =
            read_step(&profile, Step::Redeem, &request(&["docs.read"]), &refusal(400, &body));
        assert_eq!(refused.err(), Some(error), "{body}");
    }
}

/// Nothing of what an authorization server wrote is kept, but for `claims`.
#[test]
fn errors_quote_nothing() {
    let body = json!({
        "error": "unheard-of-code", "error_description": "token eyJhbGciOi of alice",
        "error_uri": "https://idp.example/alice",
    });
    for status in [400, 401, 403, 500] {
        let error = read(&subject_profiles()[0], &request(&[]), &refusal(status, &body));
        let error = error.err().unwrap();
        let shown = format!("{error} {error:?} {}", error.code());
        assert!(["alice", "eyJ", "unheard"].iter().all(|part| !shown.contains(part)), "{shown}");
    }
}
