//! What others published: the examples of RFC 9449, RFC 7638 and RFC 8037.

use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::token::jwk::Key;
use crate::token::jws::Segments;
use crate::token::{Algorithm, DpopPolicy};

/// RFC 9449 section 4.1, also the token request of section 5.
const TOKEN_REQUEST: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6Ik\
    VDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCR\
    nMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JE\
    QSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIj\
    oiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwia\
    WF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg\
    4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";

/// RFC 9449 section 7.1.
const RESOURCE_REQUEST: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6Ik\
    VDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCR\
    nMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JE\
    QSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIj\
    oiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0Z\
    WRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNF\
    c05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71E\
    OptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
const RESOURCE_TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
const RESOURCE_URL: &str = "https://resource.example.org/protectedresource";
const RESOURCE_IAT: u64 = 1_562_262_618;

/// RFC 9449 section 6.1, the thumbprint of the key of both.
const JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

fn judge_example(
    proof: &str,
    url: &str,
    method: &str,
    host: &dyn Host,
) -> Result<Proven, ProofError> {
    let policy = DpopPolicy { url: url.to_owned(), ..policy() };
    let token = TokenDigest::of(RESOURCE_TOKEN);
    let thumbprint = Thumbprint::parse(JKT).unwrap();
    let expected = Expected { method, policy: &policy, token: &token, thumbprint };
    ProofVerifier::new(Vec::new()).verify(proof, &expected, host)
}

fn host_at(seconds: u64) -> FakeHost {
    let (_, host) = worker(&SharedData::default());
    host.now.set(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    host
}

#[test]
fn rfc9449_7_1_protected_resource_request() {
    let host = host_at(RESOURCE_IAT);
    judge_example(RESOURCE_REQUEST, RESOURCE_URL, "GET", &host).unwrap();
    let again = judge_example(RESOURCE_REQUEST, RESOURCE_URL, "GET", &host);
    assert_eq!(again.unwrap_err(), ProofError::Replayed);
    let native = NativeHost(host_at(RESOURCE_IAT));
    judge_example(RESOURCE_REQUEST, RESOURCE_URL, "GET", &native).unwrap();
}

#[test]
fn rfc9449_5_token_request_is_no_proof_for_a_resource() {
    let host = host_at(1_562_262_616);
    let refused = judge_example(TOKEN_REQUEST, "https://server.example.com/token", "POST", &host);
    assert_eq!(refused.unwrap_err(), ProofError::Claim("ath"));
    // But for what it is, it is good.
    let segments = Segments::decode(TOKEN_REQUEST).unwrap();
    let (key, thumbprint) =
        Key::for_proof(segments.header().unwrap().get("jwk").unwrap(), Algorithm::Es256).unwrap();
    assert_eq!(thumbprint.encoded(), JKT);
    assert_eq!(segments.verify(&key, &host), Ok(()));
}

fn thumbprint_of(jwk: &Value, algorithm: Algorithm) -> String {
    let text = jwk.to_string();
    let jwk = crate::json::read(text.as_bytes()).unwrap();
    Key::for_proof(&jwk, algorithm).unwrap().1.encoded()
}

#[test]
fn rfc7638_3_1_rsa_thumbprint() {
    let jwk = json!({
        "kty": "RSA",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAt\
              VT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn6\
              4tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FD\
              W2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n9\
              1CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINH\
              aQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
    });
    let thumbprint = thumbprint_of(&jwk, Algorithm::Rs256);
    assert_eq!(thumbprint, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
}

#[test]
fn rfc8037_a_3_ed25519_thumbprint() {
    let jwk = json!({
        "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    });
    let thumbprint = thumbprint_of(&jwk, Algorithm::EdDsa);
    assert_eq!(thumbprint, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}
