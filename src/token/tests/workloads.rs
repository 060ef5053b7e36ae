//! Workloads: certificates and JWT-SVIDs (SPIFFE JWT-SVID, SPIFFE Trust Domain and Bundle).

#![expect(clippy::panic, reason = "tests may panic, and say why")]

use std::rc::Rc;
use std::time::Duration;

use p256::ecdsa::signature::Signer as _;
use serde_json::{Value, json};

use super::support::*;
use crate::host::fake::{FakeHost, SharedData};
use crate::host::{Callout, CalloutAnswer, CalloutId, Counter, Host, NativeVerdict};
use crate::token::{
    Authenticator, Caller, Credential, Demands, IssuerId, KeySet, KeySource, Outcome, Requirement,
    Schedule, Scheme, Source, SpiffeId, TokenError, TrustDomain, TrustDomainId, Wait, Waited,
    WorkloadError, WorkloadEvidence, WorkloadIdentity,
};

const DOMAIN: &str = "corp.example";
const ID: &str = "spiffe://corp.example/ns/agents/sa/planner";
const BUNDLE: Wait = Wait::Bundle(TrustDomainId(0));
const REFRESH: Duration = Duration::from_secs(300);
const STALE: Duration = Duration::from_secs(3600);
const DEBOUNCE: Duration = Duration::from_secs(10);

fn p256(seed: u8) -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap()
}

/// The JWK of the key of `seed`, as a bundle has it.
fn svid_key(seed: u8, kid: &str) -> Value {
    let point = p256(seed).verifying_key().to_sec1_point(false).to_bytes();
    let [x, y] = [&point[1..33], &point[33..]].map(encode);
    json!({"kty": "EC", "crv": "P-256", "kid": kid, "use": "jwt-svid", "x": x, "y": y})
}

fn svid_header() -> Value {
    json!({"alg": "ES256", "typ": "JWT", "kid": "s1"})
}

fn svid_claims() -> Value {
    json!({"sub": ID, "aud": [AUDIENCE], "iat": now(), "exp": now() + 300})
}

fn mint(seed: u8, header: &Value, claims: &Value) -> String {
    let input = signing_input(header, claims);
    let signature: p256::ecdsa::Signature = p256(seed).sign(input.as_bytes());
    format!("{input}.{}", encode(signature.to_bytes()))
}

fn svid() -> String {
    mint(1, &svid_header(), &svid_claims())
}

/// A good JWT-SVID with one claim replaced or removed.
fn svid_with(name: &str, member: Value) -> String {
    mint(1, &svid_header(), &with(svid_claims(), name, member))
}

fn svid_with_header(name: &str, member: Value) -> String {
    mint(1, &with(svid_header(), name, member), &svid_claims())
}

fn inline_bundle(keys: &[Value]) -> KeySource {
    KeySource::Inline(KeySet::parse_bundle(&jwks(keys)).unwrap())
}

fn fetched_bundle() -> KeySource {
    let callout = Callout {
        cluster: "spire".to_owned(),
        method: "GET",
        scheme: "https".to_owned(),
        authority: "spire.corp.example".to_owned(),
        path: "/".to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout: Duration::from_secs(2),
    };
    let schedule = Schedule { refresh: REFRESH, stale_for: STALE };
    KeySource::Remote { source: Source::At(callout), schedule }
}

/// Issuer 0 with its key inline, and a trust domain with this bundle, besides one of which
/// certificates are the only evidence.
fn world(bundle: KeySource) -> Authenticator {
    let trust_domain = |name: &str, bundle| TrustDomain { name: name.to_owned(), bundle };
    let trust_domains =
        vec![trust_domain(DOMAIN, Some(bundle)), trust_domain("certs.example", None)];
    let audiences = vec!["spiffe://corp.example/gateway".to_owned()];
    authenticator().with_workloads(WorkloadIdentity { trust_domains, audiences })
}

/// The same, whose bundle has the key of seed 1 named `s1`, for good.
fn at_rest() -> Authenticator {
    world(inline_bundle(&[svid_key(1, "s1")]))
}

/// Sends a good token with this evidence.
fn send(
    authenticator: &mut Authenticator,
    workload: WorkloadEvidence<'_>,
    waited: Waited,
    host: &dyn Host,
) -> Outcome {
    let token = sign(1, &header(), &with(claims(), "exp", json!(now() + 1_000_000)));
    send_to(AUDIENCE, authenticator, &token, workload, waited, host)
}

/// Sends a token to the server with that resource identifier.
fn send_to(
    resource: &str,
    authenticator: &mut Authenticator,
    token: &str,
    workload: WorkloadEvidence<'_>,
    waited: Waited,
    host: &dyn Host,
) -> Outcome {
    let credential = Credential {
        scheme: Scheme::Bearer,
        token,
        proof: None,
        method: "POST",
        certificate: None,
        workload,
    };
    let (dpop, mtls) = (dpop(Requirement::Off), mtls(Requirement::Off));
    let demands = Demands {
        issuers: &[IssuerId(0)],
        resource,
        audiences: &["api://docs".to_owned()],
        dpop: &dpop,
        mtls: &mtls,
    };
    authenticator.authenticate(&credential, &demands, waited, host)
}

fn by_svid(jwt_svid: &str) -> WorkloadEvidence<'_> {
    WorkloadEvidence { jwt_svid: Some(jwt_svid), uri_san: None }
}

fn by_certificate(uri_san: &str) -> WorkloadEvidence<'_> {
    WorkloadEvidence { uri_san: Some(uri_san), jwt_svid: None }
}

#[track_caller]
fn caller(outcome: Outcome) -> Caller {
    match outcome {
        Outcome::Verified(caller) => caller,
        outcome => panic!("{outcome:?}"),
    }
}

/// Who it is, by this evidence alone.
fn proved(workload: WorkloadEvidence<'_>) -> Result<Option<String>, WorkloadError> {
    match send(&mut at_rest(), workload, Waited::not(), &FakeHost::new()) {
        Outcome::Verified(caller) => Ok(caller.workload.map(|id| id.to_string())),
        Outcome::Refused(caller, TokenError::Workload(error)) => {
            assert_eq!(caller.workload, None);
            Err(error)
        }
        outcome => panic!("{outcome:?}"),
    }
}

fn refusal_of(svid: &str) -> WorkloadError {
    proved(by_svid(svid)).unwrap_err()
}

#[test]
fn jwt_svid_a_good_one_names_the_workload() {
    assert_eq!(proved(by_svid(&svid())), Ok(Some(ID.to_owned())));
    assert_eq!(proved(WorkloadEvidence::default()), Ok(None));
    // Section 3: other claims may be there. Nothing is made of them.
    let more = svid_with("iss", json!("https://spire.corp.example"));
    assert_eq!(proved(by_svid(&more)), Ok(Some(ID.to_owned())));
}

#[test]
fn jwt_svid_2_1_algorithms() {
    for alg in ["none", "HS256", "EdDSA", "Ed25519", "ES256K", "RS1", "es256", ""] {
        let refused = refusal_of(&svid_with_header("alg", json!(alg)));
        assert_eq!(refused, WorkloadError::Algorithm, "{alg}");
    }
    // One of the right ones, but not the key's.
    for alg in ["ES384", "RS256", "PS512"] {
        let refused = refusal_of(&svid_with_header("alg", json!(alg)));
        assert_eq!(refused, WorkloadError::Algorithm, "{alg}");
    }
    // An Ed25519 key is none of a bundle's.
    let key = with(jwk(1, "s1"), "use", json!("jwt-svid"));
    let mut authenticator = world(inline_bundle(&[key]));
    let text = sign(1, &with(svid_header(), "alg", json!("EdDSA")), &svid_claims());
    let outcome = send(&mut authenticator, by_svid(&text), Waited::not(), &FakeHost::new());
    assert!(matches!(outcome, Outcome::Refused(_, TokenError::Workload(WorkloadError::Algorithm))));
}

#[test]
fn jwt_svid_2_2_the_key_is_the_one_that_is_named() {
    for kid in [Value::Null, json!("s2"), json!("")] {
        let refused = refusal_of(&svid_with_header("kid", kid.clone()));
        assert_eq!(refused, WorkloadError::UnknownKey, "{kid}");
    }
    assert_eq!(refusal_of(&mint(2, &svid_header(), &svid_claims())), WorkloadError::Signature);
}

#[test]
fn jwt_svid_2_3_types() {
    for typ in [Value::Null, json!("JWT"), json!("JOSE")] {
        assert!(proved(by_svid(&svid_with_header("typ", typ))).is_ok());
    }
    for typ in ["jwt", "at+jwt", "application/jwt", "dpop+jwt", ""] {
        let refused = refusal_of(&svid_with_header("typ", json!(typ)));
        assert_eq!(refused, WorkloadError::Type, "{typ}");
    }
}

#[test]
fn jwt_svid_2_no_header_that_chooses_a_key_or_changes_what_is_signed() {
    for (name, value) in [
        ("jwk", svid_key(2, "s1")),
        ("x5c", json!(["AA"])),
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("enc", json!("A256GCM")),
    ] {
        let refused = refusal_of(&svid_with_header(name, value));
        assert!(matches!(refused, WorkloadError::Malformed(_)), "{name}: {refused}");
    }
}

#[test]
fn jwt_svid_3_1_the_subject_is_a_workload_of_a_known_trust_domain() {
    let strange = [
        Value::Null,
        json!(1),
        json!([ID]),
        json!(""),
        json!("alice"),
        json!("https://corp.example/planner"),
        json!("SPIFFE://corp.example/planner"),
        json!("spiffe://corp.example"),
        json!("spiffe://corp.example/"),
        json!("spiffe://corp.example/a//b"),
        json!("spiffe://corp.example/a/../b"),
        json!("spiffe://corp.example/a?b"),
        json!("spiffe://corp.example/a%20b"),
        json!("spiffe://Corp.example/planner"),
        json!("spiffe://corp.example:8443/planner"),
        json!("spiffe://u@corp.example/planner"),
        json!(format!("spiffe://corp.example/{}", "a".repeat(2048))),
    ];
    for subject in strange {
        let refused = refusal_of(&svid_with("sub", subject.clone()));
        assert_eq!(refused, WorkloadError::Subject, "{subject}");
    }
    for elsewhere in ["other.example", "example", "sub.corp.example", "certs.example"] {
        let refused = refusal_of(&svid_with("sub", json!(format!("spiffe://{elsewhere}/a"))));
        assert_eq!(refused, WorkloadError::TrustDomain, "{elsewhere}");
    }
}

#[test]
fn bundle_6_4_a_key_speaks_for_its_own_trust_domain() {
    let trust_domain = |name: &str, keys: &[Value]| TrustDomain {
        name: name.to_owned(),
        bundle: Some(inline_bundle(keys)),
    };
    let trust_domains = vec![
        trust_domain("a.example", &[svid_key(1, "s1")]),
        trust_domain("b.example", &[svid_key(2, "s1")]),
    ];
    let workloads = WorkloadIdentity { trust_domains, audiences: Vec::new() };
    let mut authenticator = authenticator().with_workloads(workloads);
    let host = FakeHost::new();
    let mut of = |seed, subject: &str| {
        let text = mint(seed, &svid_header(), &with(svid_claims(), "sub", json!(subject)));
        send(&mut authenticator, by_svid(&text), Waited::not(), &host)
    };
    for (seed, other, id) in [(1, 2, "spiffe://a.example/w"), (2, 1, "spiffe://b.example/w")] {
        assert_eq!(caller(of(seed, id)).workload.unwrap().as_str(), id);
        let outcome = of(other, id);
        let expected = TokenError::Workload(WorkloadError::Signature);
        assert!(matches!(outcome, Outcome::Refused(_, error) if error == expected), "{outcome:?}");
    }
}

#[test]
fn jwt_svid_3_2_audience() {
    for (aud, expected) in [
        (json!(AUDIENCE), Ok(())),
        (json!(["https://other.example/mcp", AUDIENCE]), Ok(())),
        (json!("spiffe://corp.example/gateway"), Ok(())),
        (Value::Null, Err(WorkloadError::Claim("aud"))),
        (json!([]), Err(WorkloadError::Claim("aud"))),
        (json!(""), Err(WorkloadError::Claim("aud"))),
        (json!([1]), Err(WorkloadError::Claim("aud"))),
        (json!({ "a": AUDIENCE }), Err(WorkloadError::Claim("aud"))),
        (json!("https://mcp.example.com/"), Err(WorkloadError::Audience)),
        (json!("https://mcp.example.com/mcp/"), Err(WorkloadError::Audience)),
        (json!("spiffe://corp.example"), Err(WorkloadError::Audience)),
        // Of the access token, not of JWT-SVIDs.
        (json!("api://docs"), Err(WorkloadError::Audience)),
    ] {
        let outcome = proved(by_svid(&svid_with("aud", aud.clone()))).map(|_| ());
        assert_eq!(outcome, expected, "{aud}");
    }
}

#[test]
fn jwt_svid_3_3_times() {
    for (name, value, expected) in [
        ("exp", Value::Null, Err(WorkloadError::Claim("exp"))),
        ("exp", json!("1"), Err(WorkloadError::Claim("exp"))),
        ("exp", json!(-1), Err(WorkloadError::Claim("exp"))),
        ("exp", json!(now() - 29), Ok(())),
        ("exp", json!(now() - 30), Err(WorkloadError::Expired)),
        ("exp", json!(now() + 24 * 3600 + 30), Ok(())),
        ("exp", json!(now() + 24 * 3600 + 31), Err(WorkloadError::Lifetime)),
        ("exp", json!(253_402_300_799_u64), Err(WorkloadError::Lifetime)),
        ("nbf", json!(now() + 30), Ok(())),
        ("nbf", json!(now() + 31), Err(WorkloadError::NotYetValid)),
        ("nbf", json!(null), Ok(())),
        ("nbf", json!("x"), Err(WorkloadError::Claim("nbf"))),
        ("iat", json!(null), Ok(())),
        ("iat", json!(now() + 31), Err(WorkloadError::NotYetValid)),
    ] {
        let outcome = proved(by_svid(&svid_with(name, value.clone()))).map(|_| ());
        assert_eq!(outcome, expected, "{name} {value}");
    }
}

#[test]
fn jwt_svid_5_1_compact_serialisation_only() {
    let good = svid();
    let [header, payload, signature]: [&str; 3] =
        good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let general = json!({
        "payload": payload, "signatures": [{ "protected": header, "signature": signature }],
    });
    for text in [
        "",
        "x",
        "a.b",
        &format!("{good}."),
        &format!("{good},{good}"),
        &format!("Bearer {good}"),
        &format!("{good}="),
        &general.to_string(),
        &format!("{header}.{payload}."),
        &"a".repeat(16 * 1024 + 1),
    ] {
        let refused = refusal_of(text);
        let is_expected = matches!(refused, WorkloadError::Malformed(_) | WorkloadError::Signature);
        assert!(is_expected, "{text}: {refused}");
    }
    let twice = format!(r#"{{"sub":"{ID}","sub":"{ID}","aud":"{AUDIENCE}","exp":{}}}"#, now() + 9);
    let input = format!("{}.{}", encode(svid_header().to_string()), encode(twice));
    let signature: p256::ecdsa::Signature = p256(1).sign(input.as_bytes());
    let refused = refusal_of(&format!("{input}.{}", encode(signature.to_bytes())));
    assert!(matches!(refused, WorkloadError::Malformed(_)), "{refused}");
}

#[test]
fn bundle_4_2_only_keys_for_jwt_svids_count() {
    let usable =
        |key: &Value| !KeySet::parse_bundle(&jwks(std::slice::from_ref(key))).unwrap().is_empty();
    let good = svid_key(1, "s1");
    assert!(usable(&good));
    for purpose in [Value::Null, json!("sig"), json!("x509-svid"), json!("JWT-SVID"), json!(1)] {
        assert!(!usable(&with(good.clone(), "use", purpose.clone())), "{purpose}");
    }
    assert!(!usable(&with(good.clone(), "kid", Value::Null)));
    assert!(!usable(&with(good.clone(), "d", json!("AA"))));
    assert!(!usable(&with(good.clone(), "kty", json!("unknown"))));
    // And none of them among the keys of an issuer.
    assert!(KeySet::parse(&jwks(&[good]), &ALL).is_err());
    // Not a set at all.
    for text in [&b""[..], b"[]", b"{}", br#"{"keys":{}}"#, br#"{"keys":[],"keys":[]}"#] {
        assert!(KeySet::parse_bundle(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_bundle_of_spire_as_it_is_published() {
    let bundle = json!({
        "keys": [
            { "use": "x509-svid", "kty": "EC", "crv": "P-256", "x5c": ["AA"], "x": "AA", "y": "AA" },
            svid_key(1, "s1"),
        ],
        "spiffe_sequence": 7,
        "spiffe_refresh_hint": 300,
    });
    let keys = KeySet::parse_bundle(bundle.to_string().as_bytes()).unwrap();
    assert!(keys.find(Some("s1")).is_some());
    // What is for certificates is no odd key.
    assert_eq!(keys.unused().note(), None);
}

#[test]
fn a_certificate_names_the_workload_where_its_trust_domain_is_known() {
    for san in [ID, "spiffe://certs.example/a"] {
        assert_eq!(proved(by_certificate(san)), Ok(Some(san.to_owned())));
    }
    for san in [
        "",
        "spiffe://other.example/a",
        "spiffe://corp.example",
        "spiffe://corp.example/a/../b",
        "spiffe://CORP.example/a",
        "https://corp.example/a",
        "urn:corp.example",
    ] {
        assert_eq!(proved(by_certificate(san)), Ok(None), "{san}");
    }
    // Where no trust domain is configured, nothing is evidence.
    let outcome = send(&mut authenticator(), by_certificate(ID), Waited::not(), &FakeHost::new());
    assert_eq!(caller(outcome).workload, None);
    let outcome = send(&mut authenticator(), by_svid(&svid()), Waited::not(), &FakeHost::new());
    let expected = TokenError::Workload(WorkloadError::TrustDomain);
    assert!(matches!(outcome, Outcome::Refused(_, error) if error == expected));
}

#[test]
fn certificate_and_jwt_svid_have_to_agree() {
    let text = svid();
    let both = |uri_san| WorkloadEvidence { uri_san: Some(uri_san), jwt_svid: Some(&text) };
    assert_eq!(proved(both(ID)), Ok(Some(ID.to_owned())));
    for other in ["spiffe://corp.example/ns/agents/sa/other", "spiffe://certs.example/a"] {
        assert_eq!(proved(both(other)), Err(WorkloadError::Mismatch), "{other}");
    }
    // One that is no evidence disagrees with nothing.
    assert_eq!(proved(both("spiffe://elsewhere.example/a")), Ok(Some(ID.to_owned())));
    // A certificate does not make up for a JWT-SVID that is not good.
    let expired = svid_with("exp", json!(now() - 100));
    let outcome = proved(WorkloadEvidence { uri_san: Some(ID), jwt_svid: Some(&expired) });
    assert_eq!(outcome, Err(WorkloadError::Expired));
}

#[test]
fn nobody_without_a_token_learns_of_workloads_or_makes_us_fetch() {
    let mut authenticator = world(fetched_bundle());
    let host = FakeHost::new();
    let bad = sign(2, &header(), &claims());
    let text = svid();
    let outcome = send_to(AUDIENCE, &mut authenticator, &bad, by_svid(&text), Waited::not(), &host);
    assert!(matches!(outcome, Outcome::Rejected(TokenError::Signature)), "{outcome:?}");
    let outcome = send_to(AUDIENCE, &mut authenticator, &bad, by_svid("x"), Waited::not(), &host);
    assert!(matches!(outcome, Outcome::Rejected(TokenError::Signature)), "{outcome:?}");
}

#[test]
fn the_host_verifies_where_it_can() {
    let host = FakeHost::new();
    host.native.set(NativeVerdict::Invalid);
    let mut authenticator = at_rest();
    let outcome = send(&mut authenticator, by_svid(&svid()), Waited::not(), &host);
    let expected = TokenError::Workload(WorkloadError::Signature);
    assert!(matches!(outcome, Outcome::Refused(_, error) if error == expected));
    let host = NativeHost(FakeHost::new());
    let text = svid();
    let mut ask = || send(&mut authenticator, by_svid(&text), Waited::not(), &host);
    assert_eq!(caller(ask()).workload.unwrap().as_str(), ID);
    assert_eq!(host.0.verifications.get(), 1);
    // Once for each of its kind: the second request finds it.
    assert_eq!(caller(ask()).workload.unwrap().as_str(), ID);
    assert_eq!(host.0.verifications.get(), 1);
}

#[test]
fn what_was_verified_before_is_judged_again() {
    let mut authenticator = at_rest();
    let host = FakeHost::new();
    let text = svid();
    let mut ask = |host: &FakeHost| send(&mut authenticator, by_svid(&text), Waited::not(), host);
    caller(ask(&host));
    host.advance(Duration::from_secs(329));
    caller(ask(&host));
    host.advance(Duration::from_secs(1));
    let outcome = ask(&host);
    let expected = TokenError::Workload(WorkloadError::Expired);
    assert!(matches!(outcome, Outcome::Refused(_, error) if error == expected), "{outcome:?}");
}

#[test]
fn what_was_verified_for_one_server_is_not_good_for_another() {
    let other = "https://other.example.com/mcp";
    let mut authenticator = at_rest();
    let host = FakeHost::new();
    let token = sign(1, &header(), &with(claims(), "aud", json!([AUDIENCE, other])));
    let text = svid();
    let mut ask = |resource| {
        send_to(resource, &mut authenticator, &token, by_svid(&text), Waited::not(), &host)
    };
    caller(ask(AUDIENCE));
    let outcome = ask(other);
    let expected = TokenError::Workload(WorkloadError::Audience);
    assert!(matches!(outcome, Outcome::Refused(_, error) if error == expected), "{outcome:?}");
}

/// Answers the latest callout with this bundle.
fn publish(authenticator: &mut Authenticator, host: &FakeHost, keys: &[Value]) -> Vec<Wait> {
    answer(authenticator, host, Some(200), jwks(keys))
}

fn answer(
    authenticator: &mut Authenticator,
    host: &FakeHost,
    status: Option<u16>,
    body: Vec<u8>,
) -> Vec<Wait> {
    let id = CalloutId(u32::try_from(host.callouts.borrow().len()).unwrap());
    let answer = CalloutAnswer { status, headers: Vec::new(), body: Some(body) };
    authenticator.on_callout(id, &answer, host)
}

fn is_unknown_key(outcome: &Outcome) -> bool {
    let expected = TokenError::Workload(WorkloadError::UnknownKey);
    matches!(outcome, Outcome::Refused(_, error) if *error == expected)
}

fn long_lived(seed: u8, kid: &str) -> String {
    let header = with(svid_header(), "kid", json!(kid));
    mint(seed, &header, &with(svid_claims(), "exp", json!(now() + 20 * 3600)))
}

#[test]
fn the_first_one_waits_for_the_bundle() {
    let mut authenticator = world(fetched_bundle());
    let host = FakeHost::new();
    let text = svid();
    let outcome = send(&mut authenticator, by_svid(&text), Waited::not(), &host);
    assert!(matches!(outcome, Outcome::Waits(BUNDLE)), "{outcome:?}");
    assert!(authenticator.on_tick(&host).is_empty());
    assert_eq!(publish(&mut authenticator, &host, &[svid_key(1, "s1")]), [BUNDLE]);
    let waited = Waited::not().and(BUNDLE);
    let caller = caller(send(&mut authenticator, by_svid(&text), waited, &host));
    assert_eq!(caller.workload.as_deref().map(SpiffeId::as_str), Some(ID));
    let fetched = Counter::FetchSucceeded { document: "bundle" };
    assert!(host.counters.borrow().contains(&fetched));
    // Others need no bundle.
    let mut authenticator = world(fetched_bundle());
    assert!(matches!(
        send(&mut authenticator, by_certificate(ID), Waited::not(), &host),
        Outcome::Verified(_)
    ));
}

#[test]
fn a_bundle_that_cannot_be_had_is_not_blamed_on_the_caller() {
    let text = svid();
    for (status, body) in [
        (Some(503), jwks(&[svid_key(1, "s1")])),
        (None, Vec::new()),
        (Some(200), b"<html>".to_vec()),
    ] {
        let mut authenticator = world(fetched_bundle());
        let host = FakeHost::new();
        assert!(authenticator.on_tick(&host).is_empty());
        assert_eq!(answer(&mut authenticator, &host, status, body), [BUNDLE]);
        for waited in [Waited::not(), Waited::not().and(BUNDLE)] {
            let outcome = send(&mut authenticator, by_svid(&text), waited, &host);
            let expected = TokenError::Workload(WorkloadError::BundleUnavailable);
            let is_expected = matches!(outcome, Outcome::Refused(_, error) if error == expected);
            assert!(is_expected, "{status:?} {outcome:?}");
        }
    }
}

#[test]
fn keys_rotate() {
    let mut authenticator = world(fetched_bundle());
    let host = FakeHost::new();
    let _ = authenticator.on_tick(&host);
    let _ = publish(&mut authenticator, &host, &[svid_key(1, "s1")]);
    let (old, new) = (long_lived(1, "s1"), long_lived(2, "s2"));
    caller(send(&mut authenticator, by_svid(&old), Waited::not(), &host));
    // Nobody knows the new one, and it was just looked for.
    assert!(is_unknown_key(&send(&mut authenticator, by_svid(&new), Waited::not(), &host)));
    host.advance(DEBOUNCE);
    let outcome = send(&mut authenticator, by_svid(&new), Waited::not(), &host);
    assert!(matches!(outcome, Outcome::Waits(BUNDLE)), "{outcome:?}");
    let _ = authenticator.on_tick(&host);
    let _ = publish(&mut authenticator, &host, &[svid_key(1, "s1"), svid_key(2, "s2")]);
    for text in [&old, &new] {
        caller(send(&mut authenticator, by_svid(text), Waited::not(), &host));
    }
    // The old one is taken back: also for what was verified by it.
    host.advance(REFRESH);
    let _ = authenticator.on_tick(&host);
    let _ = publish(&mut authenticator, &host, &[svid_key(2, "s2")]);
    let waited = Waited::not().and(BUNDLE);
    assert!(is_unknown_key(&send(&mut authenticator, by_svid(&old), waited, &host)));
    caller(send(&mut authenticator, by_svid(&new), Waited::not(), &host));
    // And another key under the old name verifies nothing of the old one's.
    host.advance(REFRESH);
    let _ = authenticator.on_tick(&host);
    let _ = publish(&mut authenticator, &host, &[svid_key(3, "s2")]);
    let outcome = send(&mut authenticator, by_svid(&new), waited, &host);
    let expected = TokenError::Workload(WorkloadError::Signature);
    assert!(matches!(outcome, Outcome::Refused(_, error) if error == expected), "{outcome:?}");
}

#[test]
fn a_trust_domain_may_take_its_last_key_back() {
    let mut authenticator = world(fetched_bundle());
    let host = FakeHost::new();
    let _ = authenticator.on_tick(&host);
    let _ = publish(&mut authenticator, &host, &[svid_key(1, "s1")]);
    let text = long_lived(1, "s1");
    caller(send(&mut authenticator, by_svid(&text), Waited::not(), &host));
    host.advance(REFRESH);
    let _ = authenticator.on_tick(&host);
    assert_eq!(publish(&mut authenticator, &host, &[]), [BUNDLE]);
    let waited = Waited::not().and(BUNDLE);
    assert!(is_unknown_key(&send(&mut authenticator, by_svid(&text), waited, &host)));
}

#[test]
fn an_old_bundle_is_used_for_a_while_and_said_to_be_old() {
    let mut authenticator = world(fetched_bundle());
    let host = FakeHost::new();
    let _ = authenticator.on_tick(&host);
    let _ = publish(&mut authenticator, &host, &[svid_key(1, "s1")]);
    let text = long_lived(1, "s1");
    let fresh = caller(send(&mut authenticator, by_svid(&text), Waited::not(), &host));
    assert!(!fresh.evidence.stale);
    host.advance(REFRESH + Duration::from_secs(60));
    let stale = caller(send(&mut authenticator, by_svid(&text), Waited::not(), &host));
    assert!(stale.evidence.stale);
    let counted = Counter::StaleUse { document: "bundle" };
    assert!(host.counters.borrow().contains(&counted));
    host.advance(STALE);
    let waited = Waited::not().and(BUNDLE);
    let outcome = send(&mut authenticator, by_svid(&text), waited, &host);
    let expected = TokenError::Workload(WorkloadError::BundleUnavailable);
    assert!(matches!(outcome, Outcome::Refused(_, error) if error == expected), "{outcome:?}");
}

#[test]
fn workers_share_a_bundle() {
    let shared = SharedData::default();
    let hosts = [FakeHost::worker(&shared), FakeHost::worker(&shared)];
    let mut workers = [world(fetched_bundle()), world(fetched_bundle())];
    for (worker, host) in workers.iter_mut().zip(&hosts) {
        worker.prepare(false, host).unwrap();
    }
    let [first, second] = &mut workers;
    let _ = first.on_tick(&hosts[0]);
    let _ = second.on_tick(&hosts[1]);
    assert_eq!(hosts[0].callouts.borrow().len() + hosts[1].callouts.borrow().len(), 1);
    let _ = publish(first, &hosts[0], &[svid_key(1, "s1")]);
    // The second takes it with its next request.
    let caller = caller(send(second, by_svid(&svid()), Waited::not(), &hosts[1]));
    assert_eq!(caller.workload, Some(Rc::new(SpiffeId::parse(ID).unwrap())));
}

#[test]
fn nothing_of_a_jwt_svid_is_in_errors_and_debug_output() {
    let text = svid();
    let mut authenticator = at_rest();
    let outcome = send(&mut authenticator, by_svid(&text), Waited::not(), &FakeHost::new());
    let told = format!("{outcome:?} {authenticator:?}");
    for part in text.split('.') {
        assert!(!told.contains(part), "{told}");
    }
}
