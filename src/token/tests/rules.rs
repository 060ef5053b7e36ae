//! What a token must be like: RFC 7515, RFC 8725 and RFC 9068, rule by rule.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::*;
use crate::host::fake::FakeHost;
use crate::token::{Authenticator, Identifier, IssuerId, KeySource, Outcome, TokenError, Waited};

#[test]
fn a_good_token_says_who_sent_it() {
    let token = outcome(&sign(1, &header(), &claims())).unwrap();
    assert_eq!(token.issuer, IssuerId(0));
    assert_eq!(token.issuer_url, ISSUER);
    assert_eq!((token.subject.as_str(), token.client_id.as_str()), ("alice", "agent"));
    assert_eq!(token.audiences, [AUDIENCE]);
    assert_eq!(token.token_id.as_deref(), Some("t1"));
    assert_eq!(Vec::from_iter(&token.scopes), ["docs.read", "docs.write"]);
    let lifetime = token.expires_at.duration_since(token.issued_at).unwrap();
    assert_eq!(lifetime, Duration::from_secs(300));
}

#[test]
fn rfc7515_3_1_three_segments() {
    let good = sign(1, &header(), &claims());
    let (input, _) = good.rsplit_once('.').unwrap();
    for token in ["", ".", "..", "a", "a.b", input, &format!("{good}.x"), &format!("{good}.")] {
        assert!(matches!(refusal(token), TokenError::Malformed(_)), "{token}");
    }
}

#[test]
fn rfc8725_3_14_canonical_base64url_only() {
    let good = sign(1, &header(), &claims());
    let last = good.chars().last().unwrap();
    let stem = good.strip_suffix(last).unwrap();
    let refused = [
        format!("{good}="),
        format!("{good} "),
        format!("{good}\n"),
        good.replacen('.', "=.", 1),
        // 64 bytes leave four bits of the last character unused: it is one of A, Q, g, w.
        format!("{stem}{}", if last == 'A' { 'B' } else { 'x' }),
        format!("{stem}+"),
        format!("{stem}/"),
    ];
    assert!(outcome(&good).is_ok());
    for token in refused {
        assert_eq!(refusal(&token), TokenError::Malformed("not base64url"), "{token}");
    }
}

#[test]
fn token_beyond_16_kib_is_refused_unread() {
    let long = with_claim("pad", json!("x".repeat(16 * 1024)));
    assert_eq!(refusal(&long), TokenError::Malformed("too long"));
}

#[test]
fn rfc8725_3_2_no_alg_none_and_no_mac() {
    for alg in ["none", "None", "HS256", "HS512", "eddsa", "ES256K", "RSA-OAEP", ""] {
        assert_eq!(refusal(&with_header("alg", json!(alg))), TokenError::Algorithm, "{alg}");
    }
    assert!(matches!(refusal(&with_header("alg", Value::Null)), TokenError::Malformed(_)));
    assert!(matches!(refusal(&with_header("alg", json!(["EdDSA"]))), TokenError::Malformed(_)));
}

#[test]
fn rfc8725_3_1_alg_does_not_choose_key() {
    // The header's algorithm is allowed and the signature is the key's: still not the key's algorithm.
    assert_eq!(refusal(&with_header("alg", json!("ES256"))), TokenError::Algorithm);
    assert_eq!(refusal(&with_header("alg", json!("RS256"))), TokenError::Algorithm);
}

#[test]
fn rfc9864_ed25519_is_a_name_of_eddsa() {
    assert!(outcome(&with_header("alg", json!("Ed25519"))).is_ok());
}

#[test]
fn rfc7515_4_1_11_crit_refused() {
    for (name, value) in [("crit", json!(["exp"])), ("crit", json!([])), ("b64", json!(true))] {
        assert!(matches!(refusal(&with_header(name, value)), TokenError::Malformed(_)));
    }
}

#[test]
fn rfc7516_9_no_jwe() {
    for (name, value) in [("enc", json!("A256GCM")), ("zip", json!("DEF"))] {
        assert_eq!(refusal(&with_header(name, value)), TokenError::Malformed("of a JWE"));
    }
    let five = format!("{}.e30.e30", sign(1, &header(), &claims()));
    assert_eq!(refusal(&five), TokenError::Malformed("not three segments"));
}

#[test]
fn rfc7519_5_2_no_nested_jwt() {
    let header = with(header(), "cty", json!("JWT")).to_string();
    let nested = sign_raw(1, &header, &sign(1, &super::support::header(), &claims()));
    assert_eq!(refusal(&nested), TokenError::Malformed("claims are not a JSON object"));
}

#[test]
fn rfc8725_3_14_no_json_serialisation() {
    let token = sign(1, &header(), &claims());
    let [protected, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        return assert_eq!(token, "three segments");
    };
    let json = json!({"protected": protected, "payload": payload, "signature": signature});
    assert!(matches!(refusal(&json.to_string()), TokenError::Malformed(_)));
    // Read as JSON, this is a good token; read as compact serialisation, so it would be too.
    let both = format!("{{\"a\":\"{token}\"}}");
    assert_eq!(refusal(&both), TokenError::Malformed("not base64url"));
}

#[test]
fn rfc8725_3_10_header_keys_never_used() {
    for (name, value) in [("jwk", jwk(1, "k1")), ("x5c", json!(["MIIB"]))] {
        assert_eq!(
            refusal(&with_header(name, value)),
            TokenError::Malformed("carries a key"),
            "{name}"
        );
    }
    // Pointers are ignored: the key is still the issuer's.
    for name in ["jku", "x5u"] {
        let header = with(header(), name, json!("https://attacker.example/keys"));
        assert!(outcome(&sign(1, &header, &claims())).is_ok());
        assert_eq!(refusal(&sign(2, &header, &claims())), TokenError::Signature);
    }
}

#[test]
fn rfc8725_duplicate_names_refused() {
    let claims = claims().to_string();
    let twice = claims.replacen('{', r#"{"sub":"mallory","#, 1);
    assert!(matches!(
        refusal(&sign_raw(1, &header().to_string(), &twice)),
        TokenError::Malformed(_)
    ));
    let header = r#"{"alg":"none","alg":"EdDSA","typ":"at+jwt","kid":"k1"}"#;
    assert!(matches!(refusal(&sign_raw(1, header, &claims)), TokenError::Malformed(_)));
    for payload in ["[]", "\"x\"", "", "{}{}", "{\"a\":1,}"] {
        let token = sign_raw(1, &super::support::header().to_string(), payload);
        assert!(matches!(refusal(&token), TokenError::Malformed(_)), "{payload}");
    }
}

#[test]
fn rfc9068_typ_required() {
    for typ in [Value::Null, json!("JWT"), json!(""), json!("application/jwt"), json!("dpop+jwt")] {
        assert_eq!(refusal(&with_header("typ", typ.clone())), TokenError::Type, "{typ}");
    }
}

#[test]
fn rfc8725_3_11_typ_is_a_media_type() {
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
        assert!(outcome(&with_header("typ", json!(typ))).is_ok(), "{typ}");
    }
}

#[test]
fn rfc9068_iss_exact() {
    for iss in [
        json!("https://idp.example.com/"),
        json!("https://IDP.example.com"),
        json!("https://idp.example.com.attacker.example"),
        json!([ISSUER]),
        json!(""),
        Value::Null,
    ] {
        assert_eq!(refusal(&with_claim("iss", iss.clone())), TokenError::UnknownIssuer, "{iss}");
    }
}

#[test]
fn rfc8725_3_8_keys_only_of_the_issuer() {
    let other = {
        let keys = crate::token::KeySet::parse(&jwks(&[jwk(2, "k2")]), &ALL).unwrap();
        let mut other = issuer(KeySource::Inline(keys));
        other.identifier = Identifier::Exact("https://other.example".to_owned());
        other
    };
    let keys = crate::token::KeySet::parse(&jwks(&[jwk(1, "k1")]), &ALL).unwrap();
    let mut two = Authenticator::new(vec![issuer(KeySource::Inline(keys)), other], Vec::new());
    let host = FakeHost::new();
    let mut check = |token: &str, allowed: &[IssuerId]| match ask(
        &mut two,
        token,
        allowed,
        AUDIENCE,
        Waited::not(),
        &host,
    ) {
        Outcome::Verified(caller) => Ok(caller.token.issuer),
        Outcome::Rejected(error) | Outcome::Refused(_, error) => Err(error),
        Outcome::Waits(_) => Err(TokenError::KeysUnavailable),
    };
    let both = [IssuerId(0), IssuerId(1)];
    let k2 = with(header(), "kid", json!("k2"));
    // The second issuer's key under the first issuer's name.
    assert_eq!(check(&sign(2, &k2, &claims()), &both), Err(TokenError::UnknownKey));
    let theirs = sign(2, &k2, &with(claims(), "iss", json!("https://other.example")));
    assert_eq!(check(&theirs, &both), Ok(IssuerId(1)));
    // Verified a moment ago, but this server does not trust that issuer.
    assert_eq!(check(&theirs, &[IssuerId(0)]), Err(TokenError::UnknownIssuer));
    assert_eq!(check(&theirs, &[]), Err(TokenError::UnknownIssuer));
    assert_eq!(check(&theirs, &[IssuerId(7)]), Err(TokenError::UnknownIssuer));
}

#[test]
fn rfc9068_required_claims() {
    for name in ["exp", "aud", "sub", "client_id", "iat", "jti"] {
        assert_eq!(refusal(&with_claim(name, Value::Null)), TokenError::MissingClaim(name));
        assert_eq!(refusal(&with_claim(name, json!({}))), TokenError::BadClaim(name));
    }
    for name in ["sub", "client_id", "jti"] {
        for bad in [json!(""), json!("a\u{0}b"), json!("a\r\nb"), json!("x".repeat(2049))] {
            assert_eq!(refusal(&with_claim(name, bad)), TokenError::BadClaim(name));
        }
    }
}

#[test]
fn rfc9068_aud_must_contain_the_resource() {
    for aud in [
        json!("https://mcp.example.com/mcp/"),
        json!("https://mcp.example.com"),
        json!(["a", "b"]),
        json!(format!("{AUDIENCE} {AUDIENCE}")),
    ] {
        assert_eq!(refusal(&with_claim("aud", aud.clone())), TokenError::Audience, "{aud}");
    }
    assert!(outcome(&with_claim("aud", json!(["a", AUDIENCE]))).is_ok());
    for aud in [json!([]), json!([AUDIENCE, 1]), json!([[AUDIENCE]]), json!(vec![AUDIENCE; 33])] {
        assert_eq!(refusal(&with_claim("aud", aud.clone())), TokenError::BadClaim("aud"), "{aud}");
    }
}

#[test]
fn rfc7519_4_1_times_with_leeway() {
    let cases = [
        ("exp", now() - SKEW + 1, Ok(())),
        ("exp", now() - SKEW, Err(TokenError::Expired)),
        ("exp", 0, Err(TokenError::Expired)),
        ("nbf", now() + SKEW, Ok(())),
        ("nbf", now() + SKEW + 1, Err(TokenError::NotYetValid)),
        ("iat", now() + SKEW, Ok(())),
        ("iat", now() + SKEW + 1, Err(TokenError::IssuedInFuture)),
    ];
    for (name, time, expected) in cases {
        assert_eq!(outcome(&with_claim(name, json!(time))).map(|_| ()), expected, "{name} {time}");
    }
}

#[test]
fn rfc7519_2_numeric_date() {
    for good in [json!(now() as f64 + 0.5), json!(253_402_300_799_u64)] {
        assert!(outcome(&with_claim("exp", good)).is_ok());
    }
    for bad in [json!(253_402_300_800_u64), json!(u64::MAX), json!(-1), json!(1e300), json!("1")] {
        assert_eq!(refusal(&with_claim("exp", bad.clone())), TokenError::BadClaim("exp"), "{bad}");
    }
}

#[test]
fn rfc6749_3_3_scope_grammar() {
    for bad in [" a", "a ", "a  b", "a\tb", "a\"b", "a\\b", "a\u{e9}", "a\u{7f}"] {
        assert_eq!(
            refusal(&with_claim("scope", json!(bad))),
            TokenError::BadClaim("scope"),
            "{bad}"
        );
    }
    for bad in [json!(["a b"]), json!([""]), json!([1]), json!(1), json!({"a": true})] {
        assert_eq!(
            refusal(&with_claim("scope", bad.clone())),
            TokenError::BadClaim("scope"),
            "{bad}"
        );
    }
    let many = (0..257).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
    assert_eq!(refusal(&with_claim("scope", json!(many))), TokenError::BadClaim("scope"));
    let many: Vec<String> = (0..257).map(|n| n.to_string()).collect();
    assert_eq!(refusal(&with_claim("scope", json!(many))), TokenError::BadClaim("scope"));
    for none in [Value::Null, json!(""), json!([])] {
        assert!(outcome(&with_claim("scope", none)).unwrap().scopes.is_empty());
    }
}

#[test]
fn rfc9449_7_2_bound_token_is_no_bearer_token() {
    let digest = encode([7; 32]);
    for cnf in [json!({"jkt": digest}), json!({"x5t#S256": digest})] {
        assert_eq!(refusal(&with_claim("cnf", cnf)), TokenError::SenderConstrained);
    }
}

#[test]
fn rfc7800_3_1_each_member_of_cnf_must_be_understood() {
    let digest = encode([7; 32]);
    for cnf in [
        json!({}),
        json!("x"),
        json!([digest]),
        Value::Bool(true),
        json!({"jkt": "x"}),
        json!({"jkt": encode([7; 31])}),
        json!({"jkt": format!("{digest}=")}),
        json!({"jkt": [digest]}),
        json!({"jkt": digest, "kid": "k1"}),
        json!({"x5t#S256": "x"}),
        json!({"x5t#s256": digest}),
        json!({"x5t": digest}),
        json!({"jwk": jwk(1, "k1")}),
        json!({"jku": "https://attacker.example/keys", "jkt": digest}),
    ] {
        assert_eq!(refusal(&with_claim("cnf", cnf.clone())), TokenError::Confirmation, "{cnf}");
    }
}

#[test]
fn too_many_claims_are_refused() {
    let mut claims = claims();
    for n in 0..128 {
        claims = with(claims, &format!("c{n}"), json!(n));
    }
    assert!(matches!(refusal(&sign(1, &header(), &claims)), TokenError::Malformed(_)));
}

#[test]
fn every_changed_character_is_refused() {
    let good = sign(1, &header(), &claims());
    let (mut authenticator, host) = (authenticator(), FakeHost::new());
    assert!(check(&mut authenticator, &good, &host).is_ok());
    for position in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        let byte = bytes.get_mut(position).unwrap();
        *byte = if *byte == b'A' { b'B' } else { b'A' };
        let tampered = String::from_utf8(bytes).unwrap();
        assert!(check(&mut authenticator, &tampered, &host).is_err(), "{position}");
    }
}

#[test]
fn debug_shows_no_token() {
    use crate::token::{Jws, Segments, Unverified};
    let text = sign(1, &header(), &claims());
    let segments = Segments::decode(&text).unwrap();
    let jws = Unverified::<Jws<'_>>::parse(&segments).unwrap();
    let (mut authenticator, host) = (authenticator(), FakeHost::new());
    let verified = check(&mut authenticator, &text, &host).unwrap();
    let shown = format!("{segments:?} {jws:?} {verified:?} {authenticator:?}");
    for segment in text.split('.') {
        assert!(!shown.contains(segment));
    }
    for secret in ["alice", "t1", "docs.read"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
