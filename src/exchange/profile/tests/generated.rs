//! What holds of every answer: generated ones, thousands of them.

use super::*;

/// SplitMix64: reproducible, and good enough to choose cases.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    /// Mostly the first, and one in ten times any of them.
    fn mostly(&mut self, choices: &[Value]) -> Value {
        let index = if self.below(10) == 0 { self.below(choices.len()) } else { 0 };
        choices.get(index).unwrap().clone()
    }
}

/// The claims of a token, mostly good ones.
fn generated_claims(random: &mut Random) -> Value {
    let at = |seconds: u64| json!(START.as_secs() + seconds);
    let mut claims = with(&claims(), &json!({"scope": null}));
    for (name, choices) in [
        ("iss", vec![json!(ISSUER), json!("https://other.example"), json!(1), Value::Null]),
        ("sub", vec![json!("alice"), json!("mallory"), json!([]), Value::Null]),
        ("aud", vec![json!([RESOURCE, "x"]), json!(RESOURCE), json!("x"), json!({}), Value::Null]),
        ("exp", vec![at(600), at(1), at(0), json!(0), json!(1e300), json!("1"), Value::Null]),
        ("nbf", vec![Value::Null, at(0), at(60), at(61), json!(-1)]),
        (
            "scope",
            vec![json!("docs.read"), json!("docs.write"), json!("admin"), json!([1]), Value::Null],
        ),
        ("scp", vec![Value::Null, json!("docs.read"), json!(["admin"]), json!(false)]),
        (
            "act",
            vec![
                json!({"sub": CLIENT}),
                json!({"sub": "other"}),
                json!({"sub": "other", "act": {"sub": CLIENT}}),
                json!({}),
                Value::Null,
            ],
        ),
        ("cnf", vec![Value::Null, json!({"jkt": "x"}), json!({}), json!(1)]),
        ("jti", vec![json!("t1"), json!(7), Value::Null]),
    ] {
        claims = with(&claims, &json!({name: random.mostly(&choices)}));
    }
    claims
}

/// An answer with such a token, mostly a good one.
fn generated_body(random: &mut Random) -> Value {
    let typ = random.mostly(&[json!("at+jwt"), json!("JWT"), json!("dpop+jwt"), json!("id+jwt")]);
    let token = jwt(typ.as_str().unwrap(), &generated_claims(random));
    let token = random.mostly(&[json!(token), json!("opaque"), json!(token[1..]), json!(null)]);
    let mut body = json!({"access_token": token});
    let access_token = "urn:ietf:params:oauth:token-type:access_token";
    for (name, choices) in [
        (
            "token_type",
            vec![json!("Bearer"), json!("bEARER"), json!("N_A"), json!("DPoP"), json!(0)],
        ),
        (
            "issued_token_type",
            vec![
                json!(access_token),
                json!("urn:ietf:params:oauth:token-type:jwt"),
                json!("urn:ietf:params:oauth:token-type:id_token"),
                Value::Null,
            ],
        ),
        ("expires_in", vec![json!(300), json!(1), json!(0), json!("300"), json!(-1), Value::Null]),
        (
            "scope",
            vec![json!("docs.read"), Value::Null, json!("docs.read docs.write"), json!("admin")],
        ),
    ] {
        body = with(&body, &json!({name: random.mostly(&choices)}));
    }
    body
}

fn words(value: Option<&Value>) -> BTreeSet<String> {
    let texts: Vec<&str> = match value {
        None => Vec::new(),
        Some(Value::Array(texts)) => texts.iter().map(|text| text.as_str().unwrap()).collect(),
        Some(text) => text.as_str().unwrap().split_whitespace().collect(),
    };
    set(&texts)
}

/// Asserts of an answer that was taken, by another reader, what must hold.
fn assert_acceptable(body: &Value, credential: &Credential, asked: &BTreeSet<String>) {
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    assert!(text("token_type").unwrap().eq_ignore_ascii_case("bearer"));
    let issued = text("issued_token_type").unwrap();
    assert!(issued.ends_with(":access_token") || issued.ends_with(":jwt"));
    let token = text("access_token").unwrap();
    assert_eq!(credential.token.reveal(), token);

    let part = |index| {
        let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap();
        serde_json::from_slice::<Value>(&bytes).unwrap()
    };
    let (header, claims) = (part(0), part(1));
    assert!(["at+jwt", "JWT"].map(Value::from).contains(header.get("typ").unwrap()));
    let is_audience = |aud: &Value| {
        aud == RESOURCE || aud.as_array().is_some_and(|list| list.contains(&json!(RESOURCE)))
    };
    assert!(claims.get("aud").is_some_and(is_audience));
    assert_eq!(claims.get("cnf"), None);
    if claims.get("iss").is_none_or(|issuer| issuer == ISSUER) {
        assert_eq!(claims.get("sub"), Some(&json!("alice")));
    }
    assert_eq!(claims.pointer("/act/sub"), Some(&json!(CLIENT)));

    let most = if asked.is_empty() { &caller().scopes } else { asked };
    for scopes in [body.get("scope"), claims.get("scope"), claims.get("scp")] {
        assert!(words(scopes).is_subset(most));
    }
    assert!(credential.granted.as_ref().is_none_or(|granted| granted.is_subset(most)));

    let ends = credential.expires_at.duration_since(now()).unwrap().as_secs();
    assert!(ends > 0);
    if let Some(expires_in) = body.get("expires_in") {
        assert!(ends <= expires_in.as_u64().unwrap());
    }
    if let Some(exp) = claims.get("exp") {
        assert!(START.as_secs() + ends <= exp.as_u64().unwrap());
    }
    if let Some(nbf) = claims.get("nbf") {
        assert!(nbf.as_u64().unwrap() <= START.as_secs() + 60);
    }
}

#[test]
fn what_is_taken_is_acceptable() {
    let actor = Some(own_actor());
    let profile = Profile::TokenExchange(TokenExchange { actor, ..token_exchange() });
    let mut taken = 0;
    for seed in 0..8_000 {
        let mut random = Random(seed);
        let body = generated_body(&mut random);
        let request = request(if random.below(3) == 0 { &[] } else { &["docs.read"] });
        if let Ok(credential) = read_body(&profile, &request, &body) {
            assert_acceptable(&body, &credential, &request.scopes);
            taken += 1;
        }
    }
    assert!((1_500..6_500).contains(&taken), "{taken} were taken: too few or too many to tell");
}

/// No answer of any profile is a reason to panic.
#[test]
fn any_answer_is_read_by_any_profile() {
    let profiles = [
        Profile::TokenExchange(token_exchange()),
        Profile::OnBehalfOf(OnBehalfOf { expected: expected_jwt(), ..on_behalf_of() }),
        Profile::TokenVault(token_vault()),
        Profile::IdentityChaining(identity_chaining(TokenType::Jwt)),
        Profile::ClientCredentials(client_credentials(Target::default())),
        Profile::Injected,
    ];
    let wish = request(&["docs.read"]).wish();
    for seed in 0..2_000 {
        let mut random = Random(seed);
        let mut bytes = generated_body(&mut random).to_string().into_bytes();
        for _ in 0..random.below(4) {
            let index = random.below(bytes.len());
            if let Some(byte) = bytes.get_mut(index) {
                *byte = u8::try_from(random.below(256)).unwrap();
            }
        }
        let statuses = [Some(200), Some(200), Some(400), Some(401), Some(503), None];
        let status = statuses[random.below(statuses.len())];
        let answer = CalloutAnswer { status, body: Some(bytes), ..answer(200, "") };
        for profile in &profiles {
            for step in [Step::Actor, Step::Exchange, Step::Redeem] {
                drop(profile.read(step, &wish, &Gained::default(), &answer, now()));
            }
        }
    }
}

#[test]
fn parts_of_answers_are_no_answers() {
    let request = request(&["docs.read"]);
    let profile = Profile::TokenExchange(token_exchange());
    let token = jwt("at+jwt", &claims());
    let good = body(&token).to_string();
    assert!(read(&profile, &request, &answer(200, &good)).is_ok());
    for end in 0..good.len() {
        let read = read(&profile, &request, &answer(200, &good[..end]));
        assert_flaw(read, Some(Flaw::Malformed), &end);
    }
    // Without its signature's last characters a JWT still is one. Nobody here reads them.
    let signed = token.rfind('.').unwrap();
    for end in 1..signed {
        let read = read_body(&profile, &request, &body(&token[..end]));
        assert_flaw(read, Some(Flaw::NotJwt), &end);
    }
}
