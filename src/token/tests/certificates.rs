//! Certificate-bound tokens: where the client's certificate is seen (RFC 8705 section 3,
//! and Envoy's documentation of `x-forwarded-client-cert`).

use super::support::*;
use crate::token::{
    CertificateDigest, CertificateSource, MtlsPolicy, PeerConnection, Requirement, TokenError,
};

const HOP: &str = "spiffe://cluster.local/ns/ingress/sa/gateway";

/// SHA-256 of the certificates: of the client, of the proxy before us, of a victim.
const CLIENT: &str = "468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688";
const GATEWAY: &str = "9ba61d6425303443c0748a02dd8de688468ed33be74eee6556d90c0149c1309e";
const VICTIM: &str = "00000000000000000000000000000000000000000000000000000000000000ff";

fn digest(hex: &str) -> CertificateDigest {
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let bytes: Vec<u8> = hex.as_bytes().chunks(2).map(byte).collect();
    CertificateDigest(bytes.try_into().unwrap())
}

fn forwarded() -> MtlsPolicy {
    let certificate = CertificateSource::Forwarded { trusted_hops: vec![HOP.to_owned()] };
    MtlsPolicy { certificate, ..mtls(Requirement::Optional) }
}

fn connection(certificate: &str, san: Option<&str>) -> PeerConnection {
    PeerConnection {
        certificate_sha256_hex: Some(certificate.to_owned()),
        uri_san: san.map(str::to_owned),
    }
}

/// What is seen when the trusted proxy sends this header.
fn seen(header: &str) -> Result<Option<CertificateDigest>, TokenError> {
    forwarded().presented(&connection(GATEWAY, Some(HOP)), &[header.as_bytes()])
}

#[test]
fn rfc8705_3_certificate_of_the_connection() {
    for mode in [Requirement::Optional, Requirement::Required] {
        let seen = |connection: PeerConnection| mtls(mode).presented(&connection, &[]);
        assert_eq!(seen(connection(CLIENT, None)), Ok(Some(digest(CLIENT))));
        assert_eq!(seen(PeerConnection::default()), Ok(None));
        assert_eq!(seen(connection("", None)), Ok(None));
        let (odd, short) = (CLIENT.split_at(1).1, CLIENT.split_at(2).1);
        for hex in [odd, short, &format!("+{odd}"), &format!("{CLIENT}00"), "none"] {
            assert_eq!(seen(connection(hex, None)), Err(TokenError::Certificate), "{hex}");
        }
    }
}

#[test]
fn rfc8705_3_token_and_certificate_must_match() {
    use Requirement::{Off, Optional, Required};
    let (bound, other) = (Some(digest(CLIENT)), Some(digest(VICTIM)));
    for (mode, bound, presented, expected) in [
        (Off, None, None, Ok(())),
        (Off, None, other, Ok(())),
        (Off, bound, bound, Err(TokenError::SenderConstrained)),
        (Optional, None, None, Ok(())),
        (Optional, None, other, Ok(())),
        (Optional, bound, bound, Ok(())),
        (Optional, bound, other, Err(TokenError::Certificate)),
        (Optional, bound, None, Err(TokenError::Certificate)),
        (Required, None, None, Err(TokenError::NotSenderConstrained)),
        (Required, None, other, Err(TokenError::NotSenderConstrained)),
        (Required, bound, bound, Ok(())),
        (Required, bound, other, Err(TokenError::Certificate)),
        (Required, bound, None, Err(TokenError::Certificate)),
    ] {
        let outcome = mtls(mode).check(bound, presented);
        assert_eq!(outcome, expected, "{mode:?} {bound:?} {presented:?}");
    }
}

#[test]
fn xfcc_is_not_read_unless_configured() {
    let header = format!("Hash={VICTIM}");
    let policy = mtls(Requirement::Required);
    let seen = |connection: PeerConnection| policy.presented(&connection, &[header.as_bytes()]);
    assert_eq!(seen(PeerConnection::default()), Ok(None));
    assert_eq!(seen(connection(CLIENT, Some(HOP))), Ok(Some(digest(CLIENT))));
}

#[test]
fn xfcc_of_a_stranger_is_not_believed() {
    let header = format!("Hash={VICTIM}");
    for connection in [
        PeerConnection::default(),
        PeerConnection { uri_san: Some(HOP.to_owned()), ..PeerConnection::default() },
        connection(GATEWAY, None),
        connection(GATEWAY, Some("spiffe://cluster.local/ns/ingress/sa/gateway2")),
        connection(GATEWAY, Some("spiffe://cluster.local/ns/ingress/sa/Gateway")),
    ] {
        // Nor does a header of his that cannot be read deny anything.
        for header in [header.as_bytes(), b"\xff"] {
            assert_eq!(forwarded().presented(&connection, &[header]), Ok(None), "{connection:?}");
        }
    }
}

#[test]
fn xfcc_examples_of_envoys_documentation() {
    let by = "By=http://frontend.lyft.com";
    let subject = r#"Subject="/C=US/ST=CA/L=San Francisco/OU=Lyft/CN=Test Client""#;
    for client in [
        format!("{by};Hash={CLIENT};{subject};URI=http://testclient.lyft.com"),
        format!(
            "{by};Hash={CLIENT};{subject};URI=http://testclient.lyft.com;DNS=lyft.com;DNS=www.lyft.com"
        ),
    ] {
        assert_eq!(seen(&client), Ok(Some(digest(CLIENT))), "{client}");
        // Our own proxy adds what it saw.
        let added = format!(
            "{client},By=http://backend.lyft.com;Hash={GATEWAY};URI=http://frontend.lyft.com"
        );
        assert_eq!(seen(&added), Ok(Some(digest(CLIENT))), "{added}");
    }
}

#[test]
fn xfcc_as_envoy_writes_it() {
    for header in [
        format!("Hash={CLIENT}"),
        format!("hash={CLIENT};SUBJECT=\"\""),
        format!(r#"By={HOP};Hash={CLIENT};Subject="CN=a\, b;c,O=\"x\"\\""#),
        format!(r#"Hash={CLIENT};Subject="CN=a\, b\;c,O=Ac\"me\\";URI={HOP};URI=urn:x;DNS=a"#),
        format!(
            r#"Hash={CLIENT};Cert="-----BEGIN%20CERTIFICATE-----%0A";Chain="a%2Cb";Issuer="CN=ca""#
        ),
        format!("Hash={CLIENT};URI=urn:a?b=c;DNS="),
    ] {
        assert_eq!(seen(&header), Ok(Some(digest(CLIENT))), "{header}");
    }
    // The proxy saw no certificate, and ours wrote what it saw of the proxy.
    assert_eq!(forwarded().presented(&connection(GATEWAY, Some(HOP)), &[]), Ok(None));
    assert_eq!(seen(&format!("By=x;Hash={GATEWAY}")), Ok(None));
}

#[test]
fn forged_xfcc_elements_refused() {
    for header in [
        // A client's header that the proxy kept and added to.
        format!("Hash={VICTIM},Hash={CLIENT}"),
        format!("Hash={VICTIM},Hash={CLIENT},Hash={GATEWAY}"),
        format!("Hash={GATEWAY},Hash={CLIENT}"),
        format!("Hash={VICTIM},Hash={GATEWAY},Hash={GATEWAY}"),
        // A quotation the client opened, closed by a quote in what the proxy added.
        format!(r#"Hash={VICTIM};Subject=",By=x;Hash={CLIENT};URI=spiffe://a""#),
        format!(r#"Hash={VICTIM};Subject=",By=x;Hash={CLIENT};Subject="CN=a""#),
        format!(r#"Hash={VICTIM};Subject=",By=x;Hash={CLIENT};Subject="""#),
        format!(r#"Hash={VICTIM};Subject=",By=x;Hash={CLIENT}"#),
        // Names in the client's certificate, which Envoy 1.40 writes as they are.
        format!(r#"By=x;Hash={CLIENT};Subject="CN=e";URI=urn:x,Hash={VICTIM}"#),
        format!(r#"By=x;Hash={CLIENT};Subject="CN=e";URI=urn:x;Hash={VICTIM}"#),
        format!(r#"By=x;Hash={CLIENT};Subject="CN=e";URI=urn:y"z"#),
        format!("By=x;Hash={CLIENT};URI=a;Hash={VICTIM}"),
        format!("By=x;Hash={CLIENT};URI=a,By=x;Hash={VICTIM}"),
        format!("By=x;Hash={CLIENT};URI=a;hash={VICTIM}"),
    ] {
        assert_eq!(seen(&header), Err(TokenError::Certificate), "{header}");
    }
}

#[test]
fn xfcc_that_cannot_be_read_without_doubt_refused() {
    for header in [
        String::new(),
        ",".to_owned(),
        format!("Hash={CLIENT},"),
        format!(",Hash={CLIENT}"),
        format!("Hash={CLIENT};"),
        format!("Hash={CLIENT}; URI=a"),
        format!("Hash={CLIENT};=a"),
        format!("Hash={CLIENT};URI"),
        format!(r#"Hash={CLIENT};Subject="a"#),
        format!(r#"Hash={CLIENT};Subject="a\""#),
        format!(r#"Hash={CLIENT};Subject="a"b"#),
        format!(r#"Hash={CLIENT};Subject="a"b"c""#),
        format!(r#"Hash={CLIENT};Subject=a"b""#),
        format!("Hash={}", CLIENT.split_at(2).1),
        format!("Hash={CLIENT}00"),
        format!("Hash= {CLIENT}"),
        "By=x;URI=y".to_owned(),
        format!("Hash={CLIENT};URI={}", "a".repeat(32 * 1024)),
    ] {
        assert_eq!(seen(&header), Err(TokenError::Certificate), "{header}");
    }
    let connection = connection(GATEWAY, Some(HOP));
    let line = format!("Hash={CLIENT}");
    let lines: [&[&[u8]]; 2] = [&[line.as_bytes(), line.as_bytes()], &[b"Hash=\xff"]];
    for lines in lines {
        assert_eq!(forwarded().presented(&connection, lines), Err(TokenError::Certificate));
    }
}
