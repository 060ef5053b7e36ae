//! Where a request says which workload and which instance of an agent it is of.

use p256::ecdsa::signature::Signer as _;
use serde_json::{Value, json};

use super::driver::*;
use crate::gate::*;
use crate::host::fake::START;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const ID: &str = "spiffe://corp.example/ns/agents/sa/planner";
const HEADER: &str = "x-jwt-svid";

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn key() -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&[1; 32]).unwrap()
}

/// A JWT-SVID that is good for the configured server for five minutes.
fn svid() -> String {
    let header = json!({ "alg": "ES256", "kid": "s1" });
    let claims = json!({ "sub": ID, "aud": RESOURCE, "exp": START.as_secs() + 300 });
    let input = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    let signature: p256::ecdsa::Signature = key().sign(input.as_bytes());
    format!("{input}.{}", encode(signature.to_bytes()))
}

fn bundle() -> Value {
    let point = key().verifying_key().to_sec1_point(false).to_bytes();
    let [x, y] = [&point[1..33], &point[33..]].map(encode);
    json!([{ "kty": "EC", "crv": "P-256", "kid": "s1", "use": "jwt-svid", "x": x, "y": y }])
}

/// A server whose callers may prove their workloads.
fn knowing(mode: HostMode) -> Value {
    let mut config = config(mode);
    config["workload_identity"] = json!({
        "trust_domains": { "corp.example": { "bundle": { "keys": bundle() } } },
        "jwt_svid_header": HEADER,
    });
    config
}

fn post() -> Request {
    Request::post(&token("docs.read"))
}

/// Sends a request whose headers are fine; what goes upstream of them, and the record.
#[track_caller]
fn taken(driver: &mut Driver, request: &Request) -> (Vec<HeaderEdit>, Value) {
    let arrived = driver.request(request);
    assert_eq!(arrived.reply, None, "{}", driver.done());
    let decided = driver.body(&call("search"), true);
    assert_eq!(decided.flow, Flow::Continue);
    (decided.request_headers, driver.done())
}

#[test]
fn a_jwt_svid_is_read_recorded_and_never_handed_on() {
    let mut driver = Driver::of(&knowing(HostMode::Hold));
    let request = post().with(HEADER, svid()).with("x_jwt_svid", "twin");
    let (edits, record) = taken(&mut driver, &request);
    assert_eq!(record["workload"], ID);
    for name in [HEADER, "x_jwt_svid"] {
        assert!(edits.contains(&HeaderEdit::Remove(name.to_owned())), "{edits:?}");
    }
    // Nor are copies of it.
    let (edits, _) = taken(&mut driver, &post().with(HEADER, svid()).with("x-copy", svid()));
    assert!(edits.contains(&HeaderEdit::Remove("x-copy".to_owned())), "{edits:?}");
    let (_, record) = taken(&mut driver, &post());
    assert_eq!(record.get("workload"), None);
    // Where no such header is configured it means nothing, and is left alone.
    let (edits, record) = taken(&mut Driver::new(HostMode::Hold), &post().with(HEADER, "anything"));
    assert_eq!(record.get("workload"), None);
    assert!(!edits.contains(&HeaderEdit::Remove(HEADER.to_owned())), "{edits:?}");
}

#[test]
fn a_jwt_svid_that_is_not_good_is_a_refusal() {
    for mode in BOTH_MODES {
        for (request, code) in [
            (post().with(HEADER, ""), "svid_malformed"),
            (post().with(HEADER, "caf\u{e9}"), "svid_malformed"),
            (post().line(HEADER, svid()).line(HEADER, svid()), "svid_malformed"),
            (post().with(HEADER, format!("{},{}", svid(), svid())), "svid_malformed"),
            (post().with(HEADER, token("docs.read")), "svid_type"),
        ] {
            let mut driver = Driver::of(&knowing(mode));
            let effects = driver.request(&request);
            let reply = driver.denied(effects, 401, code);
            let challenge = header(&reply, "www-authenticate").unwrap();
            assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
        }
    }
}

#[test]
fn without_its_bundle_a_jwt_svid_waits_and_then_is_nobodys_fault() {
    let mut config = knowing(HostMode::Hold);
    config["workload_identity"]["trust_domains"]["corp.example"]["bundle"] =
        json!({ "uri": "https://spire.example/bundle", "cluster": "spire" });
    let mut driver = Driver::of(&config);
    let request = post().with(HEADER, svid());
    let arrived = driver.request(&request);
    assert!(matches!(arrived.wake, Some(Wake::Settled(_))));
    driver.body(&call("search"), true);
    let decided = driver.settle(200, &json!({ "keys": bundle() }), &call("search"));
    assert_eq!(decided.flow, Flow::Continue);
    assert_eq!(driver.done()["workload"], ID);

    let mut driver = Driver::of(&config);
    driver.request(&request);
    driver.body(&call("search"), true);
    let decided = driver.settle(500, &json!({}), &call("search"));
    let reply = driver.denied(decided, 503, "bundle_unavailable");
    assert_eq!(header(&reply, "www-authenticate"), None);
}

#[test]
fn the_certificate_of_the_connection_counts_where_the_connection_is_the_callers() {
    let san = |mut driver: Driver, san: &str| {
        driver.peer.uri_san = Some(san.to_owned());
        driver.peer.certificate_sha256_hex = Some("c1".repeat(32));
        driver
    };
    let (_, record) = taken(&mut san(Driver::of(&knowing(HostMode::Hold)), ID), &post());
    assert_eq!(record["workload"], ID);
    // Where nothing is configured, it is not looked at.
    let (_, record) = taken(&mut san(Driver::new(HostMode::Hold), ID), &post());
    assert_eq!(record.get("workload"), None);
    // Behind another proxy it is that one's, and what that one says of others is no evidence.
    let mut behind = knowing(HostMode::Hold);
    let edge = "spiffe://corp.example/edge";
    behind["servers"][0]["mtls"] = json!({ "mode": "optional", "forwarded_by": [edge] });
    let forwarded = format!("Hash={};URI={ID}", "c2".repeat(32));
    for peer in [edge, ID] {
        let request = post().with("x-forwarded-client-cert", forwarded.clone());
        let (_, record) = taken(&mut san(Driver::of(&behind), peer), &request);
        assert_eq!(record.get("workload"), None);
    }
    // There a JWT-SVID says it, and the proxy's own name is no contradiction.
    let request = post().with(HEADER, svid());
    let (_, record) = taken(&mut san(Driver::of(&behind), edge), &request);
    assert_eq!(record["workload"], ID);
    // On the connection of another workload it is somebody else's.
    let mut driver = san(Driver::of(&knowing(HostMode::Hold)), "spiffe://corp.example/other");
    let effects = driver.request(&request);
    driver.denied(effects, 401, "workload_mismatch");
}

/// A worker whose server reads the instance of an agent from this header.
fn instances() -> Driver {
    let config = config(HostMode::Hold);
    let loaded =
        crate::config::load(config.to_string().as_bytes(), &crate::config::Secrets::assumed())
            .unwrap();
    let mut enforcement = loaded.enforcement;
    for server in &mut enforcement.servers {
        server.instance_header = Some("x-agent-instance".to_owned());
    }
    let worker =
        Worker::new(enforcement, loaded.issuers, loaded.workload_identity, loaded.nonce_keys, "v1");
    Driver { worker, ..Driver::of(&config) }
}

#[test]
fn the_instance_header_is_one_line_of_visible_text_and_goes_on() {
    let mut driver = instances();
    let (edits, _) = taken(&mut driver, &post().with("x-agent-instance", "pod-7"));
    let removed = HeaderEdit::Remove("x-agent-instance".to_owned());
    assert!(!edits.contains(&removed), "{edits:?}");
    taken(&mut driver, &post());
    for (request, code) in [
        (post().line("x-agent-instance", "a").line("x-agent-instance", "a"), "header_repeated"),
        (post().with("x-agent-instance", "a,b"), "header_repeated"),
        (post().with("x_agent_instance", "a"), "header_malformed"),
        (post().with("x-agent-instance", ""), "header_malformed"),
        (post().with("x-agent-instance", "a b"), "header_malformed"),
        (post().with("x-agent-instance", "é"), "header_malformed"),
        (post().with("x-agent-instance", "a".repeat(257)), "header_malformed"),
    ] {
        let effects = driver.request(&request);
        driver.denied(effects, 400, code);
    }
    taken(&mut driver, &post().with("x-agent-instance", "a".repeat(256)));
}
