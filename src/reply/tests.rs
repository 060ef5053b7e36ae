#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::*;

/// Every code with all that a client sees of it: name, HTTP status, JSON-RPC code and
/// message, and the header that comes with it.
const CATALOGUE: &[(Code, &str, u16, i64, &str, &str)] = &[
    (Code::NotConfigured, "not_configured", 503, 503, "Service unavailable", "retry-after: 5"),
    (Code::HostUnsupported, "host_unsupported", 503, 503, "Service unavailable", "retry-after: 5"),
    (Code::HostFailure, "host_failure", 503, 503, "Service unavailable", "retry-after: 5"),
    (Code::Overloaded, "overloaded", 503, 503, "Service unavailable", "retry-after: 5"),
    (Code::UnknownServer, "unknown_server", 404, 404, "Not found", ""),
    (Code::HeaderRepeated, "header_repeated", 400, -32600, "A header occurs more than once", ""),
    (Code::HeaderMalformed, "header_malformed", 400, -32600, "A header is malformed", ""),
    (
        Code::MethodNotAllowed,
        "method_not_allowed",
        405,
        405,
        "Method not allowed",
        "allow: GET, POST, DELETE",
    ),
    (Code::PostOnly, "method_not_allowed", 405, 405, "Method not allowed", "allow: POST"),
    (
        Code::HttpSseUnsupported,
        "http_sse_unsupported",
        405,
        405,
        "The HTTP+SSE transport of 2024-11-05 is not served here; POST messages to this URL",
        "allow: POST",
    ),
    (Code::UpgradeRefused, "upgrade_refused", 400, -32600, "Upgrade refused", ""),
    (Code::BodyUnexpected, "body_unexpected", 400, -32600, "The request must not have a body", ""),
    (Code::OriginForbidden, "origin_forbidden", 403, 403, "Origin not allowed", ""),
    (
        Code::MediaTypeUnsupported,
        "media_type_unsupported",
        415,
        415,
        "Content-Type must be application/json",
        "",
    ),
    (
        Code::ContentEncodingUnsupported,
        "content_encoding_unsupported",
        415,
        415,
        "Content-Encoding must be identity",
        "",
    ),
    (Code::BodyTooLarge, "body_too_large", 413, 413, "Request body too large", ""),
    (
        Code::TokenInQuery,
        "token_in_query",
        400,
        -32600,
        "Access tokens belong in the Authorization header",
        "",
    ),
    (Code::TokenMissing, "token_missing", 401, 401, "Authentication required", ""),
    (
        Code::TokenInvalid("token_expired"),
        "token_expired",
        401,
        401,
        "The access token is not acceptable",
        "",
    ),
    (
        Code::CredentialsMixed,
        "credentials_mixed",
        400,
        -32600,
        "Send one credential, in one way",
        "",
    ),
    (
        Code::ProofInvalid("dpop_replay"),
        "dpop_replay",
        401,
        401,
        "The DPoP proof is not acceptable",
        "",
    ),
    (Code::DpopRequired, "dpop_required", 401, 401, "A DPoP-bound token is needed", ""),
    (
        Code::CertificateRequired,
        "certificate_required",
        401,
        401,
        "A certificate-bound token is needed",
        "",
    ),
    (
        Code::Unavailable("keys_unavailable"),
        "keys_unavailable",
        503,
        503,
        "Service unavailable",
        "retry-after: 5",
    ),
    (Code::MessageMalformed, "message_malformed", 400, -32600, "Invalid request", ""),
    (Code::HeaderMismatch, "header_mismatch", 400, -32020, "Headers and body do not agree", ""),
    (
        Code::VersionUnsupported,
        "version_unsupported",
        400,
        -32022,
        "Unsupported protocol version",
        "",
    ),
    (Code::MethodDenied, "method_denied", 200, -32601, "Method not found", ""),
    (Code::MethodUnknown, "method_denied", 404, -32601, "Method not found", ""),
    (Code::NotificationDenied, "notification_denied", 403, 403, "Notification not accepted", ""),
    (Code::ObjectUnknown, "object_unknown", 200, -32602, "Not found", ""),
    (Code::ObjectHidden("role_missing"), "role_missing", 200, -32602, "Not found", ""),
    (Code::NotPermitted("agent_unknown"), "agent_unknown", 403, 403, "Forbidden", ""),
    (Code::ScopeMissing, "scope_missing", 403, 403, "Insufficient scope", ""),
    (
        Code::StepUpRequired,
        "step_up_required",
        401,
        401,
        "Stronger or more recent authentication is needed",
        "",
    ),
    (
        Code::ClaimsRequired,
        "claims_required",
        401,
        401,
        "Stronger or more recent authentication is needed",
        "",
    ),
    (Code::StepUpExhausted, "step_up_exhausted", 403, 403, "Forbidden", ""),
    (
        Code::RateLimited(RetryAfter::A_SECOND),
        "rate_limited",
        429,
        429,
        "Too many requests",
        "retry-after: 1",
    ),
    (
        Code::ExchangeUnavailable(RetryAfter::A_SECOND),
        "exchange_unavailable",
        503,
        503,
        "Service unavailable",
        "retry-after: 1",
    ),
    (
        Code::ExchangeFailed("exchange_answer_wider"),
        "exchange_answer_wider",
        502,
        502,
        "No credential for the server could be had",
        "retry-after: 5",
    ),
    (
        Code::ExchangeRefused("exchange_scope_refused"),
        "exchange_scope_refused",
        403,
        403,
        "Forbidden",
        "",
    ),
    (
        Code::ExchangeNeedsHold,
        "exchange_needs_hold",
        403,
        403,
        "This takes a gateway in hold mode; tell its operator",
        "",
    ),
    (
        Code::AccountNotLinked,
        "account_not_linked",
        403,
        403,
        "An account has to be linked first",
        "",
    ),
    (Code::SessionUnknown, "session_unknown", 404, 404, "Session not found", ""),
    (Code::TaskUnknown, "task_unknown", 200, -32602, "Task not found", ""),
    (
        Code::SessionUnusable,
        "session_unusable",
        502,
        502,
        "The server's session could not be used",
        "",
    ),
    (
        Code::ListUnreadable,
        "list_unreadable",
        502,
        502,
        "The server's answer could not be read",
        "",
    ),
    (Code::ResponsePremature, "response_premature", 502, 502, "The server answered too early", ""),
    (Code::ClientDisconnected, "client_disconnected", 400, 400, "The client went away", ""),
];

/// The place of a code in [`CATALOGUE`]: a new code does not compile without one.
fn place(code: Code) -> usize {
    match code {
        Code::NotConfigured => 0,
        Code::HostUnsupported => 1,
        Code::HostFailure => 2,
        Code::Overloaded => 3,
        Code::UnknownServer => 4,
        Code::HeaderRepeated => 5,
        Code::HeaderMalformed => 6,
        Code::MethodNotAllowed => 7,
        Code::PostOnly => 8,
        Code::HttpSseUnsupported => 9,
        Code::UpgradeRefused => 10,
        Code::BodyUnexpected => 11,
        Code::OriginForbidden => 12,
        Code::MediaTypeUnsupported => 13,
        Code::ContentEncodingUnsupported => 14,
        Code::BodyTooLarge => 15,
        Code::TokenInQuery => 16,
        Code::TokenMissing => 17,
        Code::TokenInvalid(_) => 18,
        Code::CredentialsMixed => 19,
        Code::ProofInvalid(_) => 20,
        Code::DpopRequired => 21,
        Code::CertificateRequired => 22,
        Code::Unavailable(_) => 23,
        Code::MessageMalformed => 24,
        Code::HeaderMismatch => 25,
        Code::VersionUnsupported => 26,
        Code::MethodDenied => 27,
        Code::MethodUnknown => 28,
        Code::NotificationDenied => 29,
        Code::ObjectUnknown => 30,
        Code::ObjectHidden(_) => 31,
        Code::NotPermitted(_) => 32,
        Code::ScopeMissing => 33,
        Code::StepUpRequired => 34,
        Code::ClaimsRequired => 35,
        Code::StepUpExhausted => 36,
        Code::RateLimited(_) => 37,
        Code::ExchangeUnavailable(_) => 38,
        Code::ExchangeFailed(_) => 39,
        Code::ExchangeRefused(_) => 40,
        Code::ExchangeNeedsHold => 41,
        Code::AccountNotLinked => 42,
        Code::SessionUnknown => 43,
        Code::TaskUnknown => 44,
        Code::SessionUnusable => 45,
        Code::ListUnreadable => 46,
        Code::ResponsePremature => 47,
        Code::ClientDisconnected => 48,
    }
}

fn parsed(reply: &LocalReply) -> Value {
    serde_json::from_slice(&reply.body).unwrap()
}

#[test]
fn every_code_has_the_shape_clients_rely_on() {
    for (index, (code, name, status, rpc_code, message, extra)) in CATALOGUE.iter().enumerate() {
        assert_eq!(place(*code), index, "{name}");
        assert_eq!(code.as_str(), *name);
        let reply = Denial::new(*code, "the reason").reply("d1");
        assert_eq!(reply.status, *status, "{name}");
        let headers: Vec<String> =
            reply.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let fixed = [
            "content-type: application/json",
            "cache-control: no-store",
            "x-countersign-decision-id: d1",
        ];
        let extra = Some(*extra).filter(|extra| !extra.is_empty());
        assert_eq!(headers, fixed.into_iter().chain(extra).collect::<Vec<_>>(), "{name}");
        let error = json!({ "code": rpc_code, "message": message });
        assert_eq!(parsed(&reply), json!({ "jsonrpc": "2.0", "error": error }), "{name}");
    }
    assert_eq!(CATALOGUE.len(), place(Code::ClientDisconnected).saturating_add(1));
}

/// JSON-RPC 2.0 section 5.1 reserves -32768..=-32000; there are only the codes that
/// JSON-RPC and MCP define.
/// `tests/envoy/eras.json` tells what clients of both eras do when their first modern
/// request is refused, and is tried with the real ones: here it is held to the catalogue.
#[test]
fn every_refusal_of_a_modern_request_was_shown_to_the_clients() {
    /// What does not answer a first request: GET, DELETE, calls, notifications, sessions.
    const OTHERS: [&str; 9] = [
        "session_unknown",
        "session_unusable",
        "method_not_allowed",
        "http_sse_unsupported",
        "body_unexpected",
        "notification_denied",
        "object_unknown",
        "client_disconnected",
        "list_unreadable",
    ];
    /// Codes whose denials bring JSON-RPC errors of their own.
    const OWN_ERRORS: [(&str, &[i64]); 3] = [
        ("header_repeated", &[-32020]),
        ("header_malformed", &[-32020]),
        ("message_malformed", &[-32700, -32600, -32602]),
    ];
    let tried: Vec<Value> =
        serde_json::from_str(include_str!("../../tests/envoy/eras.json")).unwrap();
    for (code, name, status, rpc_code, ..) in CATALOGUE {
        if OTHERS.contains(name) || code.answer() == Answer::InBand {
            continue;
        }
        let own = OWN_ERRORS.iter().find(|(own, _)| own == name);
        for error in own.map_or(std::slice::from_ref(rpc_code), |(_, errors)| errors) {
            let row = json!([name, status, error]);
            let was_tried = tried
                .iter()
                .any(|tried| json!([tried["code"], tried["status"], tried["error"]]) == row);
            assert!(was_tried, "{row}");
        }
    }
}

#[test]
fn json_rpc_5_1_no_reserved_code_is_invented() {
    let defined = [-32700, -32600, -32601, -32602, -32603, -32020, -32022];
    for (code, name, ..) in CATALOGUE {
        let number = code.rpc_error().code;
        let reserved = (-32768..=-32000).contains(&number);
        assert!(!reserved || defined.contains(&number), "{name}: {number}");
    }
}

#[test]
fn a_refusal_by_http_status_is_never_a_success() {
    for (code, name, ..) in CATALOGUE {
        match code.answer() {
            Answer::Http(status) => assert!((400..=599).contains(&status.get()), "{name}"),
            // In a 200 there must be an error to read, or the refusal would be a success.
            Answer::InBand => assert!(code.rpc_error().code < 0, "{name}"),
        }
    }
}

#[test]
fn the_reason_is_for_the_record_only() {
    let denial = Denial::new(Code::ScopeMissing, "rule 7 wants docs.admin");
    assert_eq!(denial.reason(), "rule 7 wants docs.admin");
    let reply = denial.reply("d1");
    assert!(!String::from_utf8(reply.body).unwrap().contains("rule 7"));
    assert!(!reply.headers.iter().any(|(_, value)| value.contains("rule 7")));
}

#[test]
fn json_rpc_5_the_id_is_echoed_as_it_came_or_left_out() {
    let body = |id| parsed(&Denial::new(Code::UnknownServer, "").with_id(id).reply("d1"));
    assert_eq!(body(Some(Id::Integer(-3))).get("id"), Some(&json!(-3)));
    assert_eq!(body(Some(Id::String("a\"\r\n".to_owned()))).get("id"), Some(&json!("a\"\r\n")));
    assert_eq!(body(None).get("id"), None);
}

#[test]
fn a_denial_may_bring_its_own_error() {
    let error = RpcError { data: Some(json!({ "a": 1 })), ..RpcError::new(-32602, "Unknown tool") };
    let reply = Denial::new(Code::ObjectUnknown, "").with_error(error).reply("d1");
    let error = json!({ "code": -32602, "message": "Unknown tool", "data": { "a": 1 } });
    assert_eq!(parsed(&reply).get("error"), Some(&error));
}

const METADATA: &str = "https://mcp.example/.well-known/oauth-protected-resource/mcp";

fn challenge(error: Option<ChallengeError>, scopes: &[&str]) -> Challenge {
    Challenge {
        resource_metadata: METADATA.to_owned(),
        error,
        scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
        proof_algorithms: Vec::new(),
    }
}

/// The values of `WWW-Authenticate` of a denial.
fn lines(challenge: Challenge) -> Vec<String> {
    let reply = Denial::new(Code::TokenMissing, "").with_challenge(challenge).reply("d1");
    let lines = reply.headers.into_iter().filter(|(name, _)| *name == "www-authenticate");
    lines.map(|(_, value)| value).collect()
}

#[test]
fn rfc9728_5_1_challenges_as_they_are_on_the_wire() {
    for (challenge, rest) in [
        (challenge(None, &[]), ""),
        (challenge(None, &["b", "a"]), ", scope=\"a b\""),
        (
            challenge(Some(ChallengeError::InvalidToken), &["b", "a"]),
            ", error=\"invalid_token\", scope=\"a b\"",
        ),
        (
            challenge(Some(ChallengeError::InsufficientScope), &["b", "a"]),
            ", error=\"insufficient_scope\", scope=\"a b\"",
        ),
        (challenge(Some(ChallengeError::InvalidRequest), &[]), ", error=\"invalid_request\""),
    ] {
        let line = format!("Bearer resource_metadata=\"{METADATA}\"{rest}");
        assert_eq!(lines(challenge), [line]);
    }
}

#[test]
fn rfc9449_7_1_where_proofs_are_taken_a_dpop_challenge_follows() {
    let with_proofs =
        |error| Challenge { proof_algorithms: vec!["ES256", "EdDSA"], ..challenge(error, &["a"]) };
    let start = format!("resource_metadata=\"{METADATA}\"");
    let end = "scope=\"a\"";
    let algs = "algs=\"ES256 EdDSA\"";
    assert_eq!(
        lines(with_proofs(None)),
        [format!("Bearer {start}, {end}"), format!("DPoP {start}, {end}, {algs}")]
    );
    // An error of the token is one of both.
    for (error, name) in [
        (ChallengeError::InvalidToken, "invalid_token"),
        (ChallengeError::InvalidRequest, "invalid_request"),
        (ChallengeError::InsufficientScope, "insufficient_scope"),
    ] {
        assert_eq!(
            lines(with_proofs(Some(error))),
            [
                format!("Bearer {start}, error=\"{name}\", {end}"),
                format!("DPoP {start}, error=\"{name}\", {end}, {algs}"),
            ]
        );
    }
    // An error of the proof is not one of Bearer.
    for (error, name) in [
        (ChallengeError::InvalidDpopProof, "invalid_dpop_proof"),
        (ChallengeError::UseDpopNonce, "use_dpop_nonce"),
    ] {
        assert_eq!(
            lines(with_proofs(Some(error))),
            [
                format!("Bearer {start}, {end}"),
                format!("DPoP {start}, error=\"{name}\", {end}, {algs}"),
            ]
        );
    }
}

fn wanted(acr_values: &[&str], max_age: Option<u64>) -> ChallengeError {
    ChallengeError::InsufficientUserAuthentication(Authentication {
        acr_values: acr_values.iter().map(|&acr| acr.to_owned()).collect(),
        max_age: max_age.map(Duration::from_secs),
    })
}

fn claims(context: Option<&str>, not_before: Option<u64>) -> ChallengeError {
    let context = context.map(str::to_owned);
    ChallengeError::InsufficientClaims(ClaimsRequest { context, not_before })
}

#[test]
fn rfc9470_3_a_challenge_says_how_to_authenticate() {
    let start = format!(
        "Bearer resource_metadata=\"{METADATA}\", error=\"insufficient_user_authentication\""
    );
    let end = "error_description=\"Other or more recent authentication is needed\"";
    for (error, scopes, rest) in [
        (
            wanted(&["gold", "silver"], None),
            &["a"][..],
            ", scope=\"a\", acr_values=\"gold silver\"",
        ),
        (wanted(&[], Some(0)), &[], ", max_age=\"0\""),
        (wanted(&["gold"], Some(300)), &[], ", acr_values=\"gold\", max_age=\"300\""),
        (wanted(&["g\"\r\nold"], None), &[], ", acr_values=\"gold\""),
    ] {
        assert_eq!(lines(challenge(Some(error), scopes)), [format!("{start}{rest}, {end}")]);
    }
}

/// Section 3: with any scheme that tokens are presented with.
#[test]
fn rfc9470_3_the_dpop_challenge_says_it_too() {
    let challenge = Challenge {
        proof_algorithms: vec!["ES256"],
        ..challenge(Some(wanted(&["gold"], None)), &[])
    };
    let parameters = format!(
        "resource_metadata=\"{METADATA}\", error=\"insufficient_user_authentication\", \
         acr_values=\"gold\", error_description=\"Other or more recent authentication is needed\""
    );
    assert_eq!(
        lines(challenge),
        [format!("Bearer {parameters}"), format!("DPoP {parameters}, algs=\"ES256\"")]
    );
}

#[test]
fn entra_a_claims_challenge_asks_for_claims_of_the_access_token() {
    for (error, json) in [
        (claims(Some("c1"), None), r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#),
        (
            claims(None, Some(1_785_196_800)),
            r#"{"access_token":{"nbf":{"essential":true,"value":"1785196800"}}}"#,
        ),
        (
            claims(Some("c\"1"), Some(7)),
            r#"{"access_token":{"acrs":{"essential":true,"value":"c\"1"},"nbf":{"essential":true,"value":"7"}}}"#,
        ),
    ] {
        let [line] = lines(challenge(Some(error), &["a"])).try_into().unwrap();
        let start = format!(
            "Bearer resource_metadata=\"{METADATA}\", error=\"insufficient_claims\", scope=\"a\", claims=\""
        );
        let encoded = line.strip_prefix(&start).unwrap().strip_suffix('"').unwrap();
        assert_eq!(STANDARD.decode(encoded).unwrap(), json.as_bytes());
    }
    // MSAL decodes only what has its padding.
    let [line] = lines(challenge(Some(claims(Some("c12"), None)), &[])).try_into().unwrap();
    assert!(line.ends_with("=\""), "{line}");
}

/// Microsoft identity platform, "Claims challenges": the client hands back to the authorization
/// server what that wrote, so not a byte of it may change.
#[test]
fn entra_the_claims_of_the_authorization_server_go_on_as_they_are() {
    for written in [
        r#"{"access_token":{"polids":{"essential":true,"values":["9ab03e19-ed42"]}}}"#,
        "{ \"access_token\" :\n{\"acrs\":{\"value\":\"c\u{e9}\\\"\r\n1\"}}}",
    ] {
        let error = ChallengeError::ClaimsOfIssuer(written.into());
        let [line] = lines(challenge(Some(error), &["a"])).try_into().unwrap();
        let start = format!(
            "Bearer resource_metadata=\"{METADATA}\", error=\"insufficient_claims\", scope=\"a\", claims=\""
        );
        let encoded = line.strip_prefix(&start).unwrap().strip_suffix('"').unwrap();
        assert_eq!(STANDARD.decode(encoded).unwrap(), written.as_bytes());
    }
}

/// Section 3 defines `acr_values` and `max_age`; section 4 has clients use them where they are.
#[test]
fn rfc9470_4_a_challenge_may_leave_open_how_to_authenticate() {
    let line = format!(
        "Bearer resource_metadata=\"{METADATA}\", error=\"insufficient_user_authentication\", \
         error_description=\"Other or more recent authentication is needed\""
    );
    assert_eq!(lines(challenge(Some(wanted(&[], None)), &[])), [line]);
}

/// `tests/envoy/challenges.json` is shown to real clients: here it is held to what is sent.
#[test]
fn what_clients_are_shown_is_what_is_sent() {
    let with = |code, error, scopes: &[&str], algorithms: &[&'static str]| {
        Denial::new(code, "").with_challenge(Challenge {
            proof_algorithms: algorithms.to_vec(),
            ..challenge(Some(error), scopes)
        })
    };
    let step_up = || wanted(&["gold", "silver"], Some(300));
    let sent = [
        ("scope", with(Code::ScopeMissing, ChallengeError::InsufficientScope, &["docs"], &[])),
        ("step-up", with(Code::StepUpRequired, step_up(), &["docs"], &[])),
        ("step-up, DPoP", with(Code::StepUpRequired, step_up(), &["docs"], &["ES256", "EdDSA"])),
        ("claims", with(Code::ClaimsRequired, claims(Some("c1"), None), &["docs"], &[])),
        ("certificate", with(Code::CertificateRequired, ChallengeError::InvalidToken, &[], &[])),
        ("exhausted", Denial::new(Code::StepUpExhausted, "")),
        ("forbidden", Denial::new(Code::NotPermitted("agent_unknown"), "")),
        ("rate", Denial::new(Code::RateLimited(Duration::from_millis(1_500).into()), "")),
    ]
    .map(|(name, denial)| {
        let reply = denial.with_id(Some(Id::Integer(1))).reply("d1");
        let headers = reply.headers.iter().skip(3).map(|header| json!(header));
        let headers: Vec<_> = headers.collect();
        json!({ "name": name, "status": reply.status, "headers": headers, "body": parsed(&reply) })
    });
    let shown: Value =
        serde_json::from_str(include_str!("../../tests/envoy/challenges.json")).unwrap();
    assert_eq!(shown, json!(sent), "{}", json!(sent));
}

#[test]
fn rfc9110_10_2_3_who_waits_as_long_as_told_does_not_come_too_early() {
    for (wait, seconds) in
        [(0, "1"), (1, "1"), (999, "1"), (1_000, "1"), (1_001, "2"), (60_000, "60")]
    {
        let code = Code::RateLimited(Duration::from_millis(wait).into());
        assert_eq!(code.extra_header(), Some(("retry-after", seconds.to_owned())), "{wait} ms");
    }
    assert!(RetryAfter::from(Duration::MAX) > RetryAfter::A_SECOND);
}

#[test]
fn rfc9449_8_a_nonce_travels_in_one_header() {
    let reply = Denial::new(Code::ProofInvalid("dpop_nonce"), "")
        .with_nonce(Some("n-1".to_owned()))
        .reply("d1");
    let nonces: Vec<_> = reply.headers.iter().filter(|(name, _)| *name == "dpop-nonce").collect();
    assert_eq!(nonces, [&("dpop-nonce", "n-1".to_owned())]);
    assert!(reply.headers.contains(&("cache-control", "no-store".to_owned())));
}

#[test]
fn rfc9110_5_5_a_challenge_cannot_split_the_response() {
    let challenge = Challenge {
        resource_metadata: "https://x\r\nset-cookie: a=b\"\\\u{e9}\0\u{7f}\t/y".to_owned(),
        ..challenge(None, &["s\"\r\n, error=\"x"])
    };
    assert_eq!(
        lines(challenge),
        ["Bearer resource_metadata=\"https://xset-cookie: a=b/y\", scope=\"s, error=x\""]
    );
}

#[test]
fn rfc9728_3_2_the_metadata_is_public() {
    let reply = LocalReply::metadata("{\"resource\":\"r\"}", "d1");
    let headers = [
        ("content-type", "application/json"),
        ("cache-control", "max-age=300"),
        ("access-control-allow-origin", "*"),
        ("x-countersign-decision-id", "d1"),
    ]
    .map(|(name, value)| (name, value.to_owned()));
    assert_eq!((reply.status, reply.headers.as_slice()), (200, headers.as_slice()));
    assert_eq!(reply.body, b"{\"resource\":\"r\"}");
}
