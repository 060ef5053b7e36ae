//! What an issuer says of tokens: when it is asked, how, and what is made of its answers.
#![expect(clippy::panic, reason = "tests may panic")]

mod identity;

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::support::*;
use crate::host::fake::FakeHost;
use crate::host::{Callout, CalloutAnswer, CalloutId, Counter, LogLevel};
use crate::json::Object;
use crate::token::introspection::{
    Answer, AnswerContext, Freshness, Introspector, Lookup, Settled,
};
use crate::token::{
    AccessToken, Algorithm, ClaimNames, ClientAuthentication, Confirmation, Inquiry, Introspected,
    IntrospectedTokens, Introspection, IssuerId, KeySet, Secret, SigningKey, Thumbprint,
    TokenDigest, TokenError, Verified, Wait, Waited,
};

const ISSUER_ID: IssuerId = IssuerId(0);
const TIMEOUT: Duration = Duration::from_secs(2);
const MAX_AGE: Duration = Duration::from_secs(30);
const NEGATIVE_MAX_AGE: Duration = Duration::from_secs(5);
const FAILURE_PERIOD: Duration = Duration::from_secs(1);
const US: &str = "https://mcp.example.com";
const PLAIN: &str = "application/json";
const SIGNED: &str = "application/token-introspection+jwt";

use Freshness::{Cached, Fresh};

/// One issuer that is asked about tokens.
struct World {
    host: FakeHost,
    introspector: Introspector,
    keys: Option<KeySet>,
    claims: ClaimNames,
}

impl World {
    fn new() -> Self {
        World::with(ClientAuthentication::Injected, None)
    }

    fn signed() -> Self {
        World::with(ClientAuthentication::Injected, Some(US))
    }

    fn with(client: ClientAuthentication, signed_for: Option<&str>) -> Self {
        let settings = Introspection {
            endpoint: Callout {
                cluster: "idp".to_owned(),
                method: "POST",
                scheme: "https".to_owned(),
                authority: "idp.example.com".to_owned(),
                path: "/introspect".to_owned(),
                headers: Vec::new(),
                body: Vec::new(),
                timeout: TIMEOUT,
            },
            tokens: IntrospectedTokens::All,
            client,
            signed_for: signed_for.map(str::to_owned),
            max_age: MAX_AGE,
            negative_max_age: NEGATIVE_MAX_AGE,
        };
        World {
            host: FakeHost::new(),
            introspector: Introspector::new(ISSUER_ID, "corp", ISSUER, settings),
            keys: Some(KeySet::parse(&jwks(&[jwk(1, "k1")]), &ALL).unwrap()),
            claims: ClaimNames::default(),
        }
    }

    fn look_up(&mut self, token: &str, freshness: Freshness, waited: Waited) -> Lookup {
        let digest = TokenDigest::of(token);
        self.introspector.look_up(token, &digest, freshness, waited.introspection, &self.host)
    }

    /// What a caller has to wait for that just came.
    fn wait(&mut self, token: &str, freshness: Freshness) -> Wait {
        match self.look_up(token, freshness, Waited::not()) {
            Lookup::Waits(wait) => wait,
            other => panic!("{other:?}"),
        }
    }

    /// What a caller finds that comes back from its wait.
    fn resume(&mut self, token: &str, freshness: Freshness, wait: Wait) -> Lookup {
        self.look_up(token, freshness, Waited::not().and(wait))
    }

    fn tick(&mut self) -> Vec<Wait> {
        self.introspector.on_tick(&self.host)
    }

    fn callouts(&self) -> usize {
        self.host.callouts.borrow().len()
    }

    fn latest(&self) -> CalloutId {
        CalloutId(u32::try_from(self.callouts()).unwrap())
    }

    fn deliver(&mut self, id: CalloutId, answer: &CalloutAnswer) -> Option<Settled> {
        let context = AnswerContext {
            keys: self.keys.as_ref(),
            claims: &self.claims,
            clock_skew: Duration::from_secs(SKEW),
            read: &read,
        };
        self.introspector.on_callout(id, answer, &context, &self.host)
    }

    /// Answers the latest callout, in JSON.
    fn answer(&mut self, members: &Value) -> Settled {
        self.deliver(self.latest(), &json_answer(members)).unwrap()
    }

    /// A caller comes, waits for an answer and comes back.
    fn ask(&mut self, token: &str, answer: &CalloutAnswer) -> Lookup {
        let wait = self.wait(token, Cached);
        assert!(self.tick().is_empty());
        let settled = self.deliver(self.latest(), answer).unwrap();
        assert!(settled.waits.contains(&wait));
        self.resume(token, Cached, wait)
    }

    fn counted(&self, counter: Counter) -> usize {
        self.host.counters.borrow().iter().filter(|counted| **counted == counter).count()
    }

    fn is_settled(&self, wait: Wait) -> bool {
        self.introspector.is_settled(inquiry(wait))
    }

    fn logged(&self) -> Vec<(LogLevel, String)> {
        self.host.log.borrow().clone()
    }

    /// The form of the latest request.
    fn form(&self) -> Vec<(String, String)> {
        let body = self.host.callouts.borrow().last().unwrap().body.clone();
        form_urlencoded::parse(&body).into_owned().collect()
    }

    fn header(&self, name: &str) -> Option<String> {
        let callouts = self.host.callouts.borrow();
        let headers = &callouts.last().unwrap().headers;
        headers.iter().find(|(other, _)| *other == name).map(|(_, value)| value.clone())
    }
}

fn inquiry(wait: Wait) -> Inquiry {
    match wait {
        Wait::Introspection(ISSUER_ID, inquiry) => inquiry,
        other => panic!("{other:?}"),
    }
}

/// Stands for the rules by which an issuer's tokens are read.
fn read(members: &Object<'_>) -> Result<AccessToken, TokenError> {
    let mut token = (*good_token()).clone();
    token.subject = members
        .get("sub")
        .and_then(crate::json::Value::as_str)
        .ok_or(TokenError::MissingClaim("sub"))?
        .to_owned();
    if members.get("cnf").is_some() {
        token.confirmation.key = Some(thumbprint());
    }
    Ok(token)
}

fn good_token() -> Rc<Verified<AccessToken>> {
    outcome(&sign(1, &header(), &claims())).unwrap()
}

fn thumbprint() -> Thumbprint {
    Thumbprint([7; 32])
}

fn active() -> Value {
    json!({ "active": true, "sub": "alice", "client_id": "agent", "exp": now() + 300 })
}

fn inactive() -> Value {
    json!({ "active": false })
}

fn json_answer(members: &Value) -> CalloutAnswer {
    response(200, PLAIN, members.to_string())
}

fn response(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> CalloutAnswer {
    CalloutAnswer {
        status: Some(status),
        headers: vec![("content-type".to_owned(), content_type.into())],
        body: Some(body.into()),
    }
}

fn is_active(lookup: &Lookup, origin: Introspected) -> bool {
    matches!(lookup, Lookup::Active(_, found) if *found == origin)
}

fn is_inactive(lookup: &Lookup) -> bool {
    matches!(lookup, Lookup::Inactive)
}

fn is_unavailable(lookup: &Lookup) -> bool {
    matches!(lookup, Lookup::Unavailable)
}

fn answer_of(lookup: Lookup) -> Rc<Answer> {
    match lookup {
        Lookup::Active(answer, _) => answer,
        other => panic!("{other:?}"),
    }
}

/// What the answer with these members says.
fn said(members: &Value) -> Rc<Answer> {
    answer_of(World::new().ask("opaque", &json_answer(members)))
}

// The request.

fn asked_by(client: ClientAuthentication) -> World {
    let mut world = World::with(client, None);
    world.wait("opaque", Cached);
    assert!(world.tick().is_empty());
    world
}

fn secret() -> Secret {
    Secret::new("p%s+é: &".to_owned())
}

fn pairs(form: &[(&str, &str)]) -> Vec<(String, String)> {
    form.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

const QUESTION: [(&str, &str); 2] = [("token", "opaque"), ("token_type_hint", "access_token")];

#[test]
fn rfc7662_2_1_the_request_is_a_form_with_the_token() {
    let mut world = World::new();
    world.wait("a+b/c=&d", Cached);
    assert_eq!(world.callouts(), 0, "only a tick starts it");
    assert!(world.tick().is_empty());
    let callout = world.host.callouts.borrow()[0].clone();
    assert_eq!((callout.method, callout.path.as_str()), ("POST", "/introspect"));
    assert_eq!(callout.timeout, TIMEOUT);
    assert_eq!(callout.body, b"token=a%2Bb%2Fc%3D%26d&token_type_hint=access_token");
    assert_eq!(world.header("accept").unwrap(), PLAIN);
    assert_eq!(world.header("content-type").unwrap(), "application/x-www-form-urlencoded");
    assert_eq!(world.header("authorization"), None, "added by the cluster");
}

#[test]
fn rfc6749_2_3_1_basic_credentials_are_form_encoded() {
    let client_id = "agent gateway:1".to_owned();
    let world = asked_by(ClientAuthentication::ClientSecretBasic { client_id, secret: secret() });
    let authorization = world.header("authorization").unwrap();
    let credentials = STANDARD.decode(authorization.strip_prefix("Basic ").unwrap()).unwrap();
    assert_eq!(credentials, b"agent+gateway%3A1:p%25s%2B%C3%A9%3A+%26");
    assert_eq!(world.form(), pairs(&QUESTION));
}

#[test]
fn rfc6749_2_3_1_credentials_in_the_body() {
    let client_id = "gateway".to_owned();
    let world = asked_by(ClientAuthentication::ClientSecretPost { client_id, secret: secret() });
    let credentials = [("client_id", "gateway"), ("client_secret", "p%s+é: &")];
    assert_eq!(world.form(), pairs(&[QUESTION, credentials].concat()));
    assert_eq!(world.header("authorization"), None);
}

#[test]
fn rfc8705_2_a_tls_client_names_itself() {
    let world = asked_by(ClientAuthentication::TlsClientAuth { client_id: "gateway".to_owned() });
    assert_eq!(world.form(), pairs(&[&QUESTION[..], &[("client_id", "gateway")]].concat()));
}

fn private_key_jwt(algorithm: Algorithm) -> ClientAuthentication {
    ClientAuthentication::PrivateKeyJwt {
        client_id: "gateway".to_owned(),
        audience: ISSUER.to_owned(),
        key: SigningKey {
            algorithm,
            key_id: Some("ours".to_owned()),
            certificate: None,
            pkcs8: b"pkcs8".to_vec(),
        },
    }
}

fn assertion(world: &World) -> (Value, Value, Vec<u8>) {
    let form = world.form();
    let (_, assertion) = form.iter().find(|(name, _)| name == "client_assertion").unwrap();
    let parts: Vec<Vec<u8>> =
        assertion.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).collect();
    let [header, claims, signature] = parts.try_into().unwrap();
    let read = |part: Vec<u8>| serde_json::from_slice(&part).unwrap();
    (read(header), read(claims), signature)
}

#[test]
fn rfc7523_3_each_request_has_an_assertion_of_its_own() {
    let mut world = World::with(private_key_jwt(Algorithm::Rs256), None);
    *world.host.signature.borrow_mut() = Some(b"signature".to_vec());
    let mut ids = Vec::new();
    for token in ["one", "two"] {
        world.host.advance(Duration::from_secs(100));
        let at = world.host.now.get().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        world.wait(token, Cached);
        assert!(world.tick().is_empty());
        let (header, claims, signature) = assertion(&world);
        assert_eq!(header, json!({ "alg": "RS256", "typ": "JWT", "kid": "ours" }));
        assert_eq!([&claims["iss"], &claims["sub"]], ["gateway", "gateway"]);
        assert_eq!(claims["aud"], ISSUER);
        assert_eq!([&claims["iat"], &claims["exp"]], [at, at + 60]);
        assert_eq!(signature, b"signature");
        ids.push(claims["jti"].as_str().unwrap().to_owned());
        let form = world.form();
        assert!(form.contains(&("client_id".to_owned(), "gateway".to_owned())));
        let jwt_bearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        assert!(form.contains(&("client_assertion_type".to_owned(), jwt_bearer.to_owned())));
        world.answer(&active());
    }
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn rfc7518_3_4_the_hosts_ecdsa_signatures_are_sent_as_r_and_s() {
    // r = 1, s = 2: the host sends the shortest form, a JWT has the full length.
    let der = [0x30, 6, 2, 1, 1, 2, 1, 2];
    for (algorithm, length) in
        [(Algorithm::Es256, 32), (Algorithm::Es384, 48), (Algorithm::Es512, 66)]
    {
        let mut world = World::with(private_key_jwt(algorithm), None);
        *world.host.signature.borrow_mut() = Some(der.to_vec());
        world.wait("opaque", Cached);
        assert!(world.tick().is_empty());
        let (_, _, signature) = assertion(&world);
        assert_eq!(signature.len(), 2 * length);
        let ones: Vec<_> = (0..2 * length).filter(|place| signature[*place] != 0).collect();
        assert_eq!(ones, [length - 1, 2 * length - 1]);
        assert_eq!((signature[length - 1], signature[2 * length - 1]), (1, 2));
    }
}

#[test]
fn without_an_assertion_nothing_is_sent() {
    for signature in [None, Some(b"not DER".to_vec())] {
        let mut world = World::with(private_key_jwt(Algorithm::Es256), None);
        *world.host.signature.borrow_mut() = signature;
        let wait = world.wait("opaque", Cached);
        assert!(world.tick().contains(&wait));
        assert!(is_unavailable(&world.resume("opaque", Cached, wait)));
        assert_eq!(world.callouts(), 0);
    }
}

#[test]
fn secrets_are_never_shown() {
    let client_id = "gateway".to_owned();
    let secret = Secret::new("s3cr3t".to_owned());
    let client = ClientAuthentication::ClientSecretPost { client_id, secret };
    let mut world = World::with(client, None);
    world.wait("t0ken", Cached);
    let mut shown = format!("{:?}", world.introspector);
    assert!(world.tick().is_empty());
    shown += &format!("{:?} {:?}", world.introspector, world.host.callouts.borrow());
    world.deliver(world.latest(), &response(500, PLAIN, "t0ken s3cr3t")).unwrap();
    shown += &format!("{:?} {:?}", world.introspector, world.logged());
    for secret in ["t0ken", "s3cr3t"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

// What is remembered.

#[test]
fn an_answer_is_the_callers_own_first_and_then_remembered() {
    let mut world = World::new();
    let first = world.ask("opaque", &json_answer(&active()));
    assert!(is_active(&first, Introspected::Asked));
    let later = world.look_up("opaque", Cached, Waited::not());
    assert!(is_active(&later, Introspected::Remembered));
    assert_eq!(world.callouts(), 1);
    assert_eq!(world.counted(Counter::IntrospectionSucceeded), 1);
    assert_eq!(world.counted(Counter::IntrospectionCacheHit), 1);
    assert!(matches!(world.look_up("other", Cached, Waited::not()), Lookup::Waits(_)));
}

#[test]
fn answers_are_used_for_as_long_as_configured() {
    for (members, max_age) in [(active(), MAX_AGE), (inactive(), NEGATIVE_MAX_AGE)] {
        let mut world = World::new();
        let wait = world.wait("opaque", Cached);
        assert!(world.tick().is_empty());
        // The age counts from the question, not from the answer.
        world.host.advance(Duration::from_secs(1));
        world.answer(&members);
        assert!(!is_unavailable(&world.resume("opaque", Cached, wait)));
        world.host.advance(max_age - Duration::from_millis(1001));
        let lookup = world.look_up("opaque", Cached, Waited::not());
        assert!(!matches!(lookup, Lookup::Waits(_)), "{lookup:?}");
        world.host.advance(Duration::from_millis(1));
        world.wait("opaque", Cached);
    }
}

#[test]
fn rfc7662_4_no_answer_is_used_beyond_exp() {
    let mut world = World::new();
    world.ask("opaque", &json_answer(&with(active(), "exp", json!(now() + 10))));
    world.host.advance(Duration::from_millis(9_999));
    let lookup = world.look_up("opaque", Cached, Waited::not());
    assert!(is_active(&lookup, Introspected::Remembered));
    world.host.advance(Duration::from_millis(1));
    let wait = world.wait("opaque", Cached);
    // The issuer's clock is behind: it still says active, of a token that expired.
    assert!(world.tick().is_empty());
    world.answer(&with(active(), "exp", json!(now() + 10)));
    assert!(is_inactive(&world.resume("opaque", Cached, wait)));
}

#[test]
fn an_answer_from_the_future_is_too_old() {
    let mut world = World::new();
    world.ask("opaque", &json_answer(&active()));
    world.ask("revoked", &json_answer(&inactive()));
    world.host.now.set(world.host.now.get() - Duration::from_secs(1));
    world.wait("opaque", Cached);
    world.wait("revoked", Cached);
}

#[test]
fn invented_tokens_do_not_push_out_good_ones() {
    let mut world = World::new();
    world.ask("opaque", &json_answer(&active()));
    for n in 0..4100 {
        let token = format!("invented-{n}");
        let answer = if n % 2 == 0 { json_answer(&inactive()) } else { response(400, PLAIN, "{}") };
        world.ask(&token, &answer);
    }
    let lookup = world.look_up("opaque", Cached, Waited::not());
    assert!(is_active(&lookup, Introspected::Remembered));
    assert!(matches!(world.look_up("invented-0", Cached, Waited::not()), Lookup::Waits(_)));
}

#[test]
fn the_last_word_counts() {
    let mut world = World::new();
    for _ in 0..2 {
        let wait = world.wait("opaque", Fresh);
        assert!(world.tick().is_empty());
        world.answer(&active());
        assert!(is_active(&world.resume("opaque", Fresh, wait), Introspected::Asked));
        let wait = world.wait("opaque", Fresh);
        assert!(world.tick().is_empty());
        world.answer(&inactive());
        assert!(is_inactive(&world.resume("opaque", Fresh, wait)));
        assert!(is_inactive(&world.look_up("opaque", Cached, Waited::not())));
    }
}

// Who waits for what.

#[test]
fn one_request_serves_all_who_wait_for_the_token() {
    let mut world = World::new();
    let early: Vec<Wait> = (0..100).map(|_| world.wait("opaque", Cached)).collect();
    assert!(world.tick().is_empty());
    let late: Vec<Wait> = (0..100).map(|_| world.wait("opaque", Cached)).collect();
    assert!(world.tick().is_empty());
    assert_eq!(world.callouts(), 1);
    let waits = [early, late].concat();
    assert!(!waits.iter().any(|wait| world.is_settled(*wait)));
    let settled = world.answer(&active());
    assert!(!settled.key_missing);
    for wait in waits {
        assert!(settled.waits.contains(&wait) && world.is_settled(wait));
        assert!(is_active(&world.resume("opaque", Cached, wait), Introspected::Asked));
    }
    assert_eq!(world.callouts(), 1);
}

#[test]
fn a_caller_woken_too_early_waits_on() {
    let mut world = World::new();
    let wait = world.wait("opaque", Cached);
    for _ in 0..2 {
        assert!(matches!(world.resume("opaque", Cached, wait), Lookup::Waits(w) if w == wait));
        assert!(world.tick().is_empty());
    }
    assert_eq!(world.callouts(), 1);
}

#[test]
fn a_fresh_answer_is_not_a_remembered_one() {
    let mut world = World::new();
    world.ask("opaque", &json_answer(&active()));
    let wait = world.wait("opaque", Fresh);
    assert!(world.tick().is_empty());
    assert_eq!(world.callouts(), 2);
    // While it waits, others still have what is remembered.
    let lookup = world.look_up("opaque", Cached, Waited::not());
    assert!(is_active(&lookup, Introspected::Remembered));
    world.answer(&inactive());
    assert!(is_inactive(&world.resume("opaque", Fresh, wait)));
}

#[test]
fn a_fresh_caller_does_not_join_a_request_under_way() {
    let mut world = World::new();
    let first = world.wait("opaque", Fresh);
    assert!(world.tick().is_empty());
    // These came after it started. One more request is for all of them.
    let seconds: Vec<Wait> = (0..3).map(|_| world.wait("opaque", Fresh)).collect();
    assert!(world.tick().is_empty());
    assert_eq!(world.callouts(), 1, "one at a time for each token");
    let settled = world.answer(&active());
    assert!(settled.waits.contains(&first));
    assert!(!seconds.iter().any(|wait| settled.waits.contains(wait)));
    assert!(is_active(&world.resume("opaque", Fresh, first), Introspected::Asked));
    assert!(matches!(world.resume("opaque", Fresh, seconds[0]), Lookup::Waits(_)));
    assert!(world.tick().is_empty());
    assert_eq!(world.callouts(), 2);
    // Those who come later still do not keep the others waiting.
    let third = world.wait("opaque", Fresh);
    let settled = world.answer(&inactive());
    for second in seconds {
        assert!(settled.waits.contains(&second));
        assert!(is_inactive(&world.resume("opaque", Fresh, second)));
    }
    assert!(!settled.waits.contains(&third) && !world.is_settled(third));
}

#[test]
fn fresh_callers_share_a_request_that_has_not_started() {
    let mut world = World::new();
    let waits = [world.wait("opaque", Cached), world.wait("opaque", Fresh)];
    assert_eq!(waits[0], waits[1]);
    assert!(world.tick().is_empty());
    world.answer(&active());
    for freshness in [Cached, Fresh] {
        let lookup = world.resume("opaque", freshness, waits[0]);
        assert!(is_active(&lookup, Introspected::Asked));
    }
    assert_eq!(world.callouts(), 1);
}

#[test]
fn an_answer_joined_late_is_not_fresh() {
    let mut world = World::new();
    world.wait("opaque", Cached);
    assert!(world.tick().is_empty());
    world.host.advance(Duration::from_secs(1));
    let late = world.wait("opaque", Cached);
    world.answer(&active());
    assert!(is_active(&world.resume("opaque", Cached, late), Introspected::Asked));
    // The same caller now turns out to need a fresh one.
    let Lookup::Waits(wait) = world.resume("opaque", Fresh, late) else { panic!("not fresh") };
    assert!(world.tick().is_empty());
    world.answer(&active());
    assert!(is_active(&world.resume("opaque", Fresh, wait), Introspected::Asked));
}

#[test]
fn a_waiting_caller_has_its_answer_whatever_the_clock_does() {
    for jump in [1, 10_000] {
        let mut world = World::new();
        let wait = world.wait("opaque", Fresh);
        assert!(world.tick().is_empty());
        world.host.now.set(world.host.now.get() - Duration::from_secs(jump));
        world.answer(&active());
        assert!(is_active(&world.resume("opaque", Fresh, wait), Introspected::Asked));
        world.wait("opaque", Cached);
    }
}

#[test]
fn requests_are_bounded() {
    let mut world = World::new();
    let token = |n: usize| format!("token-{n}");
    let waits: Vec<Wait> = (0..256).map(|n| world.wait(&token(n), Cached)).collect();
    assert!(is_unavailable(&world.look_up("one too many", Cached, Waited::not())));
    assert_eq!(world.wait(&token(0), Cached), waits[0], "no room is needed to wait for it");
    assert!(world.tick().is_empty());
    assert!(world.tick().is_empty());
    assert_eq!(world.callouts(), 64);
    // In the order in which they came, as room is made.
    for (n, wait) in waits.into_iter().enumerate() {
        let settled =
            world.deliver(CalloutId(u32::try_from(n + 1).unwrap()), &json_answer(&active()));
        assert!(settled.unwrap().waits.contains(&wait));
        assert!(is_active(&world.resume(&token(n), Cached, wait), Introspected::Asked));
        assert!(world.tick().is_empty());
    }
    assert_eq!(world.callouts(), 256);
    world.wait("one too many", Cached);
}

// Faults.

#[test]
fn an_unusable_answer_is_not_blamed_on_the_token() {
    let plain = |body: &str| response(200, PLAIN, body);
    let huge = json!({ "active": true, "sub": "x".repeat(256 * 1024) }).to_string();
    let cases = [
        ("400", response(400, PLAIN, active().to_string())),
        ("500", response(500, PLAIN, active().to_string())),
        ("204", response(204, PLAIN, active().to_string())),
        ("302", response(302, PLAIN, active().to_string())),
        ("HTML", response(200, "text/html", active().to_string())),
        ("JWT", response(200, SIGNED, active().to_string())),
        ("no type", CalloutAnswer { headers: Vec::new(), ..json_answer(&active()) }),
        ("no body", CalloutAnswer { body: None, ..json_answer(&active()) }),
        ("not JSON", plain("active")),
        ("not an object", plain("[true]")),
        ("empty", plain("")),
        ("huge", plain(&huge)),
        ("duplicate", plain(r#"{"active":false,"active":true,"sub":"alice"}"#)),
        ("no active", plain(r#"{"sub":"alice"}"#)),
        ("active is text", plain(r#"{"active":"true","sub":"alice"}"#)),
        ("active is a number", plain(r#"{"active":1,"sub":"alice"}"#)),
        ("active is null", plain(r#"{"active":null,"sub":"alice"}"#)),
        ("exp is text", plain(r#"{"active":true,"sub":"alice","exp":"never"}"#)),
        ("scope is a number", plain(r#"{"active":true,"sub":"alice","scope":7}"#)),
        ("cnf is empty", plain(r#"{"active":true,"sub":"alice","cnf":{}}"#)),
        ("cnf is unknown", plain(r#"{"active":true,"sub":"alice","cnf":{"kid":"k1"}}"#)),
    ];
    for (case, answer) in cases {
        let mut world = World::new();
        assert!(is_unavailable(&world.ask("opaque", &answer)), "{case}");
        assert_eq!(world.counted(Counter::IntrospectionFailed), 1, "{case}");
        // Nobody asks about it for a moment, and about other tokens at once.
        assert!(is_unavailable(&world.look_up("opaque", Cached, Waited::not())), "{case}");
        assert!(is_active(&world.ask("other", &json_answer(&active())), Introspected::Asked));
        world.host.advance(FAILURE_PERIOD);
        let lookup = world.ask("opaque", &json_answer(&active()));
        assert!(is_active(&lookup, Introspected::Asked), "{case}");
        assert_eq!(world.logged().len(), 1, "{case}");
    }
}

#[test]
fn json_with_parameters_and_other_case_is_json() {
    for content_type in ["application/json;charset=UTF-8", "Application/JSON ; charset=utf-8"] {
        let lookup = World::new().ask("opaque", &response(200, content_type, active().to_string()));
        assert!(is_active(&lookup, Introspected::Asked), "{content_type}");
    }
}

#[test]
fn an_endpoint_that_fails_is_left_alone_for_a_moment() {
    let reset = CalloutAnswer::default();
    let status = |status| response(status, PLAIN, "{}");
    for failure in [reset, status(429), status(502), status(503), status(504)] {
        let mut world = World::new();
        world.ask("known", &json_answer(&active()));
        let waits: Vec<Wait> = (0..65).map(|n| world.wait(&n.to_string(), Cached)).collect();
        assert!(world.tick().is_empty());
        world.deliver(world.latest(), &failure).unwrap();
        assert!(is_unavailable(&world.look_up("new", Cached, Waited::not())));
        let known = world.look_up("known", Cached, Waited::not());
        assert!(is_active(&known, Introspected::Remembered));
        // What had not started settles too.
        let settled = world.tick();
        assert!(settled.contains(&waits[64]) && !settled.contains(&waits[0]));
        assert!(is_unavailable(&world.resume("64", Cached, waits[64])));
        world.host.advance(FAILURE_PERIOD);
        assert!(is_active(&world.ask("new", &json_answer(&active())), Introspected::Asked));
    }
}

#[test]
fn rfc7662_2_3_refused_credentials_are_our_fault() {
    for status in [401, 403] {
        let mut world = World::new();
        let lookup = world.ask("opaque", &response(status, PLAIN, inactive().to_string()));
        assert!(is_unavailable(&lookup));
        let line =
            format!("introspection at issuer corp: refused our credentials (status {status})");
        assert_eq!(world.logged(), [(LogLevel::Error, line)]);
        assert!(is_unavailable(&world.look_up("other", Cached, Waited::not())));
    }
}

#[test]
fn failures_fill_no_log() {
    let mut world = World::new();
    for n in 0..100 {
        world.ask(&n.to_string(), &response(400, PLAIN, "{}"));
        world.host.advance(FAILURE_PERIOD / 10);
    }
    let line = "introspection at issuer corp: status 400".to_owned();
    assert_eq!(world.logged(), vec![(LogLevel::Warn, line); 10]);
}

#[test]
fn a_request_that_cannot_be_sent_settles() {
    let mut world = World::new();
    world.host.refuse_callouts.set(true);
    let waits = [world.wait("one", Cached), world.wait("two", Fresh)];
    let settled = world.tick();
    for (wait, token) in waits.into_iter().zip(["one", "two"]) {
        assert!(settled.contains(&wait) && world.is_settled(wait));
        assert!(is_unavailable(&world.resume(token, Cached, wait)));
    }
    assert_eq!(world.counted(Counter::IntrospectionFailed), 1, "the second was not even tried");
}

#[test]
fn a_lost_answer_is_given_up_and_ignored_when_it_comes() {
    let mut world = World::new();
    let wait = world.wait("opaque", Cached);
    assert!(world.tick().is_empty());
    let lost = world.latest();
    world.host.advance(TIMEOUT + Duration::from_millis(4_999));
    assert!(world.tick().is_empty());
    world.host.advance(Duration::from_millis(1));
    assert!(world.tick().contains(&wait));
    assert!(is_unavailable(&world.resume("opaque", Cached, wait)));
    assert!(world.deliver(lost, &json_answer(&active())).is_none());
    world.host.advance(FAILURE_PERIOD);
    world.wait("opaque", Cached);
}

#[test]
fn a_failure_leaves_what_is_remembered() {
    let mut world = World::new();
    world.ask("opaque", &json_answer(&active()));
    let wait = world.wait("opaque", Fresh);
    assert!(world.tick().is_empty());
    world.deliver(world.latest(), &response(500, PLAIN, "")).unwrap();
    assert!(is_unavailable(&world.resume("opaque", Fresh, wait)), "a fresh one was demanded");
    let lookup = world.look_up("opaque", Cached, Waited::not());
    assert!(is_active(&lookup, Introspected::Remembered));
}

#[test]
fn a_strangers_callout_is_not_ours() {
    let mut world = World::new();
    world.wait("opaque", Cached);
    assert!(world.tick().is_empty());
    assert!(world.deliver(CalloutId(99), &json_answer(&active())).is_none());
}

// What is said of a token.

#[test]
fn the_answer_stands_for_an_opaque_token() {
    let token = said(&active()).token.clone().unwrap();
    assert_eq!(token.subject, "alice");
    let missing = with(active(), "sub", Value::Null);
    assert_eq!(said(&missing).token.clone().unwrap_err(), TokenError::MissingClaim("sub"));
}

#[test]
fn rfc9449_6_2_the_token_type_fits_the_binding() {
    let bound = with(active(), "cnf", json!({ "jkt": thumbprint().encoded() }));
    let wrong = Err(TokenError::BadClaim("token_type"));
    let cases = [
        (active(), json!("Bearer"), Ok(())),
        (active(), json!("bearer"), Ok(())),
        (active(), Value::Null, Ok(())),
        (active(), json!("DPoP"), wrong),
        (active(), json!("N_A"), wrong),
        (active(), json!("mac"), wrong),
        (bound.clone(), json!("DPoP"), Ok(())),
        (bound.clone(), json!("dpop"), Ok(())),
        (bound.clone(), Value::Null, Ok(())),
        (bound, json!("Bearer"), wrong),
    ];
    for (members, token_type, expected) in cases {
        let members = with(members, "token_type", token_type);
        let opaque = said(&members).token.clone().map(|_| ());
        assert_eq!(opaque, expected, "{members}");
        let mut jwt = (*good_token()).clone();
        if members.get("cnf").is_some() {
            jwt.confirmation.key = Some(thumbprint());
        }
        let confirmed = said(&members).confirm(&Rc::new(Verified::assumed(jwt))).map(|_| ());
        assert_eq!(confirmed, expected, "{members}");
    }
}

fn confirmed(name: &str, member: Value) -> Result<Rc<Verified<AccessToken>>, TokenError> {
    said(&with(active(), name, member)).confirm(&good_token())
}

#[test]
fn a_confirmed_token_is_the_token() {
    let token = good_token();
    let plain = said(&active()).confirm(&token).unwrap();
    assert!(Rc::ptr_eq(&plain, &token));
    let all = json!({
        "active": true, "iss": ISSUER, "sub": "alice", "client_id": "agent", "username": "Alice",
        "scope": "docs.write extra docs.read", "aud": [AUDIENCE, "other"], "exp": now() + 300,
        "iat": now(), "token_type": "Bearer",
    });
    assert!(Rc::ptr_eq(&said(&all).confirm(&token).unwrap(), &token));
    assert!(Rc::ptr_eq(&said(&json!({ "active": true })).confirm(&token).unwrap(), &token));
}

#[test]
fn a_confirmed_token_has_no_more_than_the_issuer_says() {
    let narrowed = confirmed("scope", json!("docs.read other")).unwrap();
    assert_eq!(narrowed.scopes, ["docs.read".to_owned()].into());
    assert_eq!(narrowed.subject, "alice");
    assert!(confirmed("scope", json!("")).unwrap().scopes.is_empty());
    assert_eq!(confirmed("scp", json!(["docs.write"])).unwrap().scopes.len(), 1);
    assert!(confirmed("aud", json!("https://other.example.com")).unwrap().audiences.is_empty());
    let shortened = confirmed("exp", json!(now() + 10)).unwrap().expires_at;
    assert_eq!(shortened, good_token().expires_at - Duration::from_secs(290));
    let kept = confirmed("exp", json!(now() + 10_000)).unwrap().expires_at;
    assert_eq!(kept, good_token().expires_at);
}

#[test]
fn an_answer_about_another_token_confirms_nothing() {
    let certificate = json!({ "x5t#S256": encode([1; 32]) });
    for (name, member, claim) in [
        ("iss", json!("https://evil.example.com"), "iss"),
        ("sub", json!("mallory"), "sub"),
        ("client_id", json!("other"), "client_id"),
        ("azp", json!("agent"), ""),
        ("cnf", json!({ "jkt": thumbprint().encoded() }), "cnf"),
        ("cnf", certificate, "cnf"),
    ] {
        let confirmed = confirmed(name, member).map(|_| ());
        let expected = if claim.is_empty() { Ok(()) } else { Err(TokenError::BadClaim(claim)) };
        assert_eq!(confirmed, expected, "{name}");
    }
}

#[test]
fn rfc8705_3_2_the_binding_is_the_tokens() {
    let mut bound = (*good_token()).clone();
    bound.confirmation = Confirmation { key: Some(thumbprint()), certificate: None };
    let bound = Rc::new(Verified::assumed(bound));
    let same = with(active(), "cnf", json!({ "jkt": thumbprint().encoded() }));
    assert!(said(&same).confirm(&bound).is_ok());
    assert!(said(&active()).confirm(&bound).unwrap().confirmation.key.is_some());
    let both = json!({ "jkt": thumbprint().encoded(), "x5t#S256": encode([1; 32]) });
    assert!(said(&with(active(), "cnf", both)).confirm(&bound).is_err());
}

// Signed answers.

fn signed_header() -> Value {
    json!({ "alg": "EdDSA", "typ": "token-introspection+jwt", "kid": "k1" })
}

fn signed_claims() -> Value {
    json!({ "iss": ISSUER, "aud": US, "iat": now(), "token_introspection": active() })
}

fn signed_answer(jwt: String) -> CalloutAnswer {
    response(200, SIGNED, jwt)
}

#[test]
fn rfc9701_5_a_signed_answer_is_read() {
    for claims in [
        signed_claims(),
        with(signed_claims(), "aud", json!(["other", US])),
        with(signed_claims(), "iat", json!(now() - SKEW)),
        with(signed_claims(), "iat", json!(now() + SKEW)),
    ] {
        let mut world = World::signed();
        let lookup = world.ask("opaque", &signed_answer(sign(1, &signed_header(), &claims)));
        assert!(is_active(&lookup, Introspected::Asked), "{claims}");
        assert_eq!(world.header("accept").unwrap(), SIGNED);
    }
    let claims = with(signed_claims(), "token_introspection", inactive());
    let answer = signed_answer(sign(1, &signed_header(), &claims));
    assert!(is_inactive(&World::signed().ask("opaque", &answer)));
}

#[test]
fn rfc9701_5_a_bad_signed_answer_says_nothing() {
    let header = |name, member| sign(1, &with(signed_header(), name, member), &signed_claims());
    let claims = |name, member| sign(1, &signed_header(), &with(signed_claims(), name, member));
    let cases = [
        ("typ at+jwt", header("typ", json!("at+jwt"))),
        ("typ JWT", header("typ", json!("JWT"))),
        ("no typ", header("typ", Value::Null)),
        ("alg none", header("alg", json!("none"))),
        ("another alg", header("alg", json!("ES256"))),
        ("another key", sign(2, &signed_header(), &signed_claims())),
        ("another issuer", claims("iss", json!("https://evil.example.com"))),
        ("no iss", claims("iss", Value::Null)),
        ("for another", claims("aud", json!("https://other.example.com"))),
        ("for others", claims("aud", json!(["https://other.example.com"]))),
        ("for nobody", claims("aud", Value::Null)),
        ("made before it was asked", claims("iat", json!(now() - SKEW - 2))),
        ("made in the future", claims("iat", json!(now() + SKEW + 1))),
        ("made never", claims("iat", Value::Null)),
        ("an access token", claims("token_introspection", Value::Null)),
        ("a text", claims("token_introspection", json!("active"))),
        ("no active", claims("token_introspection", json!({}))),
        ("not a JWT", "active".to_owned()),
        ("empty", String::new()),
    ];
    for (case, jwt) in cases {
        let mut world = World::signed();
        assert!(is_unavailable(&world.ask("opaque", &signed_answer(jwt))), "{case}");
    }
    let members = claims("active", json!(true));
    let plain = response(200, PLAIN, active().to_string());
    let mistyped = response(200, PLAIN, sign(1, &signed_header(), &signed_claims()));
    let outside = response(200, "application/jwt", members);
    for answer in [plain, mistyped, outside] {
        assert!(is_unavailable(&World::signed().ask("opaque", &answer)));
    }
}

#[test]
fn an_unknown_key_of_a_signed_answer_is_worth_fetching() {
    let answer =
        signed_answer(sign(2, &with(signed_header(), "kid", json!("k2")), &signed_claims()));
    for keys in [World::signed().keys, None] {
        let mut world = World::signed();
        world.keys = keys;
        let wait = world.wait("opaque", Cached);
        assert!(world.tick().is_empty());
        assert!(world.deliver(world.latest(), &answer).unwrap().key_missing);
        assert!(is_unavailable(&world.resume("opaque", Cached, wait)));
    }
}
