//! Tokens bound to a certificate of their client (RFC 8705): on its connection, or on that
//! of a proxy that is believed.

use crate::client::Client;
use crate::host::{Stream, Vm};
use crate::support::{
    CALL, Lines, MODES, answer, assert_forwarded, assert_refused, claims, encode, inline, post,
    record, sign, token, with,
};

use serde_json::{Value, json};
use std::fmt::Write as _;

/// Digests of the certificates of the client, of another one and of the proxy before us.
const CLIENT: [u8; 32] = [0xc1; 32];
const OTHER: [u8; 32] = [0x07; 32];
const GATEWAY: [u8; 32] = [0x6a; 32];

const GATEWAY_SAN: &str = "spiffe://example.com/ns/gateway/sa/edge";

fn configuration(mode: &str, mtls: &Value) -> Value {
    let mut document = inline(mode);
    document["servers"][0]["mtls"] = mtls.clone();
    document
}

fn on_connection(mode: &str) -> Value {
    configuration(mode, &json!({ "mode": "required" }))
}

fn forwarded(mode: &str) -> Value {
    configuration(mode, &json!({ "mode": "required", "forwarded_by": [GATEWAY_SAN] }))
}

/// A good token bound to that certificate.
fn bound(vm: &Vm, certificate: [u8; 32]) -> String {
    let mut claims = claims(vm, "docs.read");
    claims["cnf"] = json!({ "x5t#S256": encode(certificate) });
    sign("k1", &claims)
}

fn hex(digest: [u8; 32]) -> String {
    digest.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Sends a call over a connection with that certificate, by its digest and URI SAN.
fn send(vm: &Vm, peer: Option<(&str, &str)>, lines: Lines) -> Stream {
    let stream = vm.stream();
    if let Some((digest, san)) = peer {
        stream.set_property(&["connection", "sha256_peer_certificate_digest"], digest);
        stream.set_property(&["connection", "uri_san_peer_certificate"], san);
    }
    stream.request_headers(lines, false);
    stream.request_body(CALL, true);
    stream
}

#[test]
fn rfc8705_3_the_certificate_of_the_connection_is_the_one_the_token_is_bound_to() {
    for (flag, mode) in MODES {
        let vm = Vm::with(flag).start(on_connection(mode)).unwrap();
        let lines = post(&bound(&vm, CLIENT));
        let stream = send(&vm, Some((&hex(CLIENT), "")), lines.clone());
        assert_forwarded(&stream);
        answer(&stream);
        assert_eq!(record(&stream)["sender"], "mtls");
        // Also of a token that was verified before.
        assert_forwarded(&send(&vm, Some((&hex(CLIENT).to_uppercase(), "")), lines.clone()));
        let wrong = [
            Some(hex(OTHER)),
            Some(String::new()),
            Some("c1".to_owned()),
            Some(format!("{}c1", hex(CLIENT))),
            Some(hex(CLIENT).replace('c', "g")),
            None,
        ];
        for digest in wrong {
            let peer = digest.as_deref().map(|digest| (digest, ""));
            let stream = send(&vm, peer, lines.clone());
            assert_refused(&stream, "hold", 401, "mtls_certificate");
            let challenge = stream.downstream().header("www-authenticate").unwrap().to_owned();
            assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
        }
    }
}

#[test]
fn a_token_that_is_not_bound_passes_where_certificates_are_optional_only() {
    let vm = Vm::start(configuration("stream", &json!({ "mode": "optional" }))).unwrap();
    assert_forwarded(&send(&vm, None, post(&token(&vm, "docs.read"))));
    let stream = send(&vm, None, post(&bound(&vm, CLIENT)));
    assert_refused(&stream, "hold", 401, "mtls_certificate");
    let vm = Vm::start(on_connection("stream")).unwrap();
    let stream = send(&vm, Some((&hex(CLIENT), "")), post(&token(&vm, "docs.read")));
    assert_refused(&stream, "hold", 401, "token_not_sender_constrained");
    // A server that looks at no certificate takes no token that needs one.
    let vm = Vm::start(inline("stream")).unwrap();
    let stream = send(&vm, Some((&hex(CLIENT), "")), post(&bound(&vm, CLIENT)));
    assert_refused(&stream, "hold", 401, "token_sender_constrained");
}

#[test]
fn a_forwarded_certificate_is_believed_of_a_configured_proxy_only() {
    let client = format!("Hash={};Subject=\"CN=a,O=b\"", hex(CLIENT));
    let gateway = format!("By=spiffe://example.com/us;Hash={};URI={GATEWAY_SAN}", hex(GATEWAY));
    let both = format!("{client},{gateway}");
    for (flag, mode) in MODES {
        let vm = Vm::with(flag).start(forwarded(mode)).unwrap();
        let lines = |forwarded: &[&str]| -> Lines {
            let header = |value: &&str| ("x-forwarded-client-cert", value.as_bytes().to_vec());
            [post(&bound(&vm, CLIENT)), forwarded.iter().map(header).collect()].concat()
        };
        let digest = hex(GATEWAY);
        for forwarded in [&client, &both] {
            assert_forwarded(&send(&vm, Some((&digest, GATEWAY_SAN)), lines(&[forwarded])));
        }
        let other = client.replace(&hex(CLIENT), &hex(OTHER));
        let quoted = format!("Subject=\"CN=x;Hash={}\";{client}", hex(OTHER));
        let refused: [(Option<(&str, &str)>, Lines); 11] = [
            // From somebody else, or from nobody.
            (Some((&hex(CLIENT), "")), lines(&[&client])),
            (Some((&hex(OTHER), "spiffe://example.com/ns/gateway/sa/edge2")), lines(&[&client])),
            (Some(("", GATEWAY_SAN)), lines(&[&client])),
            (None, lines(&[&client])),
            // The client's own connection is not where this configuration looks.
            (Some((&hex(CLIENT), "")), lines(&[])),
            // From the proxy, but not of this client, or with what the client wrote.
            (Some((&digest, GATEWAY_SAN)), lines(&[])),
            (Some((&digest, GATEWAY_SAN)), lines(&[&other])),
            (Some((&digest, GATEWAY_SAN)), lines(&[&gateway])),
            (Some((&digest, GATEWAY_SAN)), lines(&[&client, &client])),
            (Some((&digest, GATEWAY_SAN)), lines(&[&format!("{client},{other}")])),
            (Some((&digest, GATEWAY_SAN)), lines(&[&quoted])),
        ];
        for (index, (peer, lines)) in refused.into_iter().enumerate() {
            let stream = send(&vm, peer, lines);
            stream.finish();
            assert_eq!(record(&stream)["code"], "mtls_certificate", "{index}");
            assert!(stream.upstream().is_empty());
        }
    }
}

#[test]
fn a_forged_header_means_nothing_where_the_connection_counts() {
    let vm = Vm::start(on_connection("stream")).unwrap();
    let forged = format!("Hash={};URI={GATEWAY_SAN}", hex(CLIENT));
    let lines = with(post(&bound(&vm, CLIENT)), "x-forwarded-client-cert", forged);
    for peer in [None, Some((hex(OTHER), GATEWAY_SAN))] {
        let peer = peer.as_ref().map(|(digest, san)| (digest.as_str(), *san));
        let stream = send(&vm, peer, lines.clone());
        assert_refused(&stream, "hold", 401, "mtls_certificate");
    }
}

#[test]
fn a_token_bound_to_a_key_and_to_a_certificate_needs_both() {
    let mut document = on_connection("stream");
    document["servers"][0]["dpop"] = json!({ "mode": "required" });
    let vm = Vm::start(document).unwrap();
    let client = Client::eddsa(9);
    let mut claims = client.claims(&vm, "docs.read");
    claims["cnf"]["x5t#S256"] = json!(encode(CLIENT));
    let token = sign("k1", &claims);
    let lines = || crate::client::post_with_proof(&token, &client.proof(&vm, &token));
    let stream = send(&vm, Some((&hex(CLIENT), "")), lines());
    assert_forwarded(&stream);
    answer(&stream);
    assert_eq!(record(&stream)["sender"], "dpop+mtls");
    let stream = send(&vm, Some((&hex(OTHER), "")), lines());
    assert_refused(&stream, "hold", 401, "mtls_certificate");
    let stream = send(&vm, Some((&hex(CLIENT), "")), post(&token));
    assert_refused(&stream, "hold", 401, "dpop_downgrade");
    // RFC 7800 section 3.1: what is not understood binds all the same.
    claims["cnf"]["x"] = json!("y");
    let unknown = sign("k1", &claims);
    let proof = client.proof(&vm, &unknown);
    let lines = crate::client::post_with_proof(&unknown, &proof);
    let stream = send(&vm, Some((&hex(CLIENT), "")), lines);
    assert_refused(&stream, "hold", 401, "token_confirmation");
}
