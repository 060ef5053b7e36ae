//! Tokens, their refusals, and waiting for the keys to verify them.

use std::time::Duration;

use serde_json::json;

use super::driver::*;
use crate::gate::*;

const WITHOUT_TOKEN: &str = "Bearer resource_metadata=\"https://mcp.example/.well-known/oauth-protected-resource/mcp\", scope=\"docs.list docs.read\"";
const WITH_TOKEN: &str = "Bearer resource_metadata=\"https://mcp.example/.well-known/oauth-protected-resource/mcp\", error=\"invalid_token\", scope=\"docs.list docs.read\"";

#[track_caller]
fn challenged(request: &Request, code: &str, challenge: &str) {
    for mode in BOTH_MODES {
        let mut driver = Driver::new(mode);
        let effects = driver.request(request);
        let reply = driver.denied(effects, 401, code);
        assert_eq!(header(&reply, "www-authenticate"), Some(challenge), "{code}");
        assert_eq!(json_of(&reply)["error"]["code"], 401);
    }
}

#[test]
fn rfc6750_3_1_without_a_token_no_error_is_named() {
    let request = Request::post("x");
    challenged(&request.clone().without("authorization"), "token_missing", WITHOUT_TOKEN);
    for other in ["Basic YTpi", "Bearer", "", "DPoP x", "Bearerx y"] {
        let request = request.clone().with("authorization", other);
        challenged(&request, "token_missing", WITHOUT_TOKEN);
    }
}

#[test]
fn rfc6750_3_1_a_bad_token_is_an_invalid_token() {
    let with = |name: &str, value: serde_json::Value| {
        let mut claims = claims("docs.read");
        claims[name] = value;
        sign(claims, "at+jwt")
    };
    let good = token("docs.read");
    let forged = format!("{}AAAA", good.get(..good.len() - 4).unwrap());
    for (token, code) in [
        ("a b".to_owned(), "token_malformed"),
        ("a,b".to_owned(), "token_malformed"),
        ("a, Basic b".to_owned(), "token_malformed"),
        ("=".to_owned(), "token_malformed"),
        ("not-a-jwt".to_owned(), "token_malformed"),
        (sign(claims(""), "JWT"), "token_type"),
        (with("iss", json!("https://evil.example")), "token_issuer"),
        (with("aud", json!("https://mcp.example/")), "token_audience"),
        (with("exp", json!(1)), "token_expired"),
        (with("nbf", json!(4_000_000_000_u64)), "token_not_yet_valid"),
        (with("iat", json!(4_000_000_000_u64)), "token_issued_in_future"),
        (with("sub", json!(1)), "token_claim_bad"),
        (with("cnf", json!({ "jkt": "A".repeat(43) })), "token_sender_constrained"),
        (with("cnf", json!({ "jkt": "x" })), "token_confirmation"),
        (forged, "token_signature"),
    ] {
        challenged(&Request::post(&token), code, WITH_TOKEN);
    }
}

#[test]
fn rfc9110_11_1_the_scheme_has_no_case() {
    for scheme in ["bearer", "BEARER", "Bearer  "] {
        let value = format!("{scheme} {}", token("docs.read"));
        let mut driver = Driver::new(HostMode::Stream);
        let effects = driver.request(&Request::post("x").with("authorization", value));
        assert_eq!(effects.flow, Flow::Continue, "{scheme}");
    }
}

#[test]
fn a_remembered_token_still_expires() {
    let mut driver = Driver::new(HostMode::Stream);
    let request = Request::post(&token("docs.read"));
    assert_eq!(driver.request(&request).flow, Flow::Continue);
    assert_eq!(driver.request(&request).flow, Flow::Continue);
    driver.host.advance(Duration::from_secs(330));
    let effects = driver.request(&request);
    driver.denied(effects, 401, "token_expired");
}

#[test]
fn keys_that_cannot_be_had_are_not_the_callers_fault() {
    for mode in BOTH_MODES {
        let mut driver = Driver::of(&remote_keys(mode));
        let waiting = driver.request(&Request::post(&token("docs.read")));
        assert!(matches!(waiting.wake, Some(Wake::Settled(_))));
        assert!(driver.gate.awaits().is_some());
        assert_eq!(waiting.flow, Flow::Pause);
        let effects = driver.keys_settle(500, "");
        let reply = driver.denied(effects, 503, "keys_unavailable");
        assert_eq!(header(&reply, "retry-after"), Some("5"));
        assert_eq!(header(&reply, "www-authenticate"), None);
        assert!(driver.gate.awaits().is_none());
    }
}

#[test]
fn a_replaced_configuration_ends_the_wait() {
    let mut driver = Driver::of(&remote_keys(HostMode::Stream));
    driver.request(&Request::post(&token("docs.read")));
    let effects = driver.on(Event::Abandoned);
    driver.denied(effects, 503, "configuration_replaced");
}

/// What came of the body when the keys arrive, and what happens then.
#[test]
fn waiting_for_keys_loses_no_body_and_releases_none() {
    let search = call("search");
    let request = Request::post(&token("docs.read"));
    for mode in BOTH_MODES {
        // Nothing came: as if the keys had been there at once.
        let mut driver = Driver::of(&remote_keys(mode));
        driver.request(&request);
        let settled = driver.keys_settle(200, "");
        let expected = if mode == HostMode::Hold { Flow::Pause } else { Flow::Continue };
        assert_eq!(settled.flow, expected);
        assert_eq!(driver.body(&search, true).flow, Flow::Continue);

        // A part came: resuming would release it, so `stream` holds too.
        let mut driver = Driver::of(&remote_keys(mode));
        driver.request(&request);
        assert_eq!(driver.body("{", false), Effects::default());
        assert_eq!(driver.keys_settle(200, "{").flow, Flow::Pause);
        let decided = driver.body(&search, true);
        assert_eq!(decided.flow, Flow::Continue);
        assert!(decided.request_headers.contains(&HeaderEdit::Remove("authorization".to_owned())));

        // All of it came: no callback follows, so the decision is now.
        for ends_with_trailers in [false, true] {
            let mut driver = Driver::of(&remote_keys(mode));
            driver.request(&request);
            let effects = if ends_with_trailers {
                driver.trailers(&search)
            } else {
                driver.body(&search, true)
            };
            assert_eq!(effects.flow, Flow::Pause);
            let decided = driver.keys_settle(200, &search);
            assert_eq!(decided.flow, Flow::Continue);
            let stripped = HeaderEdit::Remove("authorization".to_owned());
            assert!(decided.request_headers.contains(&stripped));
            assert_eq!(driver.done()["outcome"], "allow");
        }
    }
}

/// Envoy sends such a request on with an empty body (measured on 1.40).
#[test]
fn trailers_after_a_wait_with_released_headers_are_refused() {
    let mut driver = Driver::of(&remote_keys(HostMode::Stream));
    driver.request(&Request::post(&token("docs.read")));
    assert_eq!(driver.keys_settle(200, "").flow, Flow::Continue);
    driver.body(&call("search"), false);
    let effects = driver.trailers(&call("search"));
    driver.denied(effects, 503, "host_failure");
}

#[test]
fn a_denied_body_that_came_before_the_keys_stays() {
    for mode in BOTH_MODES {
        let mut driver = Driver::of(&remote_keys(mode));
        driver.request(&Request::post(&token("docs.read")));
        driver.body(&call("delete"), true);
        let effects = driver.keys_settle(200, &call("delete"));
        driver.denied(effects, 403, "scope_missing");
    }
}

#[test]
fn a_get_waits_for_keys_and_then_goes_on() {
    let mut driver = Driver::of(&remote_keys(HostMode::Hold));
    driver.request(
        &Request::bodiless("GET", &token("docs.read")).line("mcp-protocol-version", "2025-11-25"),
    );
    let settled = driver.keys_settle(200, "");
    assert_eq!(settled.flow, Flow::Continue);
    assert_eq!(driver.done()["outcome"], "allow");
}

#[test]
fn a_body_is_bounded_while_waiting() {
    let large = "x".repeat(MAX_BODY + 1);
    for config in [remote_keys(HostMode::Hold), config(HostMode::Hold), config(HostMode::Stream)] {
        let mut driver = Driver::of(&config);
        driver.request(&Request::post(&token("docs.read")));
        let full = driver.body(&"x".repeat(MAX_BODY), false);
        assert_eq!(full, Effects::default());
        let effects = driver.body(&large, false);
        driver.denied(effects, 413, "body_too_large");
    }
}
