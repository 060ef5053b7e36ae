//! The caller's token stops here: it is in no byte that reaches an MCP server, and neither is
//! any other secret but the credential that is meant for it.
//!
//! Of a request's body this says nothing: it is the client's own, and goes on as it is or not at
//! all. What is looked at is everything else, which is the headers and the trailers.

use crate::callers::{call_of, modern, modern_call_of};
use crate::exchange::{
    Caller, PLAIN, SECRET, asked, assert_told_nobody, assert_waits, credential_claims, exchanging,
    form, grant_next, granted, mint, opaque, say, start, token_exchange, with_members,
};
use crate::fuzz_tables::Random;
use crate::host::{Event, Stream, Vm};
use crate::support::{Lines, MODES, claims, post, record, send, with};

use serde_json::json;

/// Rounds per mode and kind of token: some seconds in all.
const ROUNDS: u64 = 400;

/// Headers in which clients, gateways and agents send tokens, and such as are read or told.
const PLACES: [&str; 44] = [
    ":path",
    "accept",
    "accept-language",
    "agent-token",
    "authorization",
    "authorization-",
    "authorization_",
    "Authorization",
    "baggage",
    "content-type",
    "cookie",
    "Cookie2",
    "dpop",
    "forwarded",
    "from",
    "host",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-param-id",
    "mcp_session_id",
    "mcp-protocol-version",
    "mcp-session-id",
    "origin",
    "proxy-authorization",
    "PROXY_AUTHORIZATION",
    "referer",
    "sec-fetch-mode",
    "traceparent",
    "tracestate",
    "user-agent",
    "via",
    "x-agent-token",
    "x-api-key",
    "x-auth-token",
    "X-Auth-Request-Access-Token",
    "x-countersign-subject",
    "x-forwarded-access-token",
    "X-Forwarded-Access-Token",
    "x-forwarded-authorization",
    "x-forwarded-client-cert",
    "x-goog-iap-jwt-assertion",
    "x-original-authorization",
    "x-request-id",
];

/// A value that has the token in it.
fn holding(random: &mut Random, token: &str) -> Vec<u8> {
    let token = token.as_bytes();
    let parts: [&[&[u8]]; 10] = [
        &[token],
        &[b"Bearer ", token],
        &[b"bearer  ", token, b" "],
        &[b"DPoP ", token],
        &[b"session=", token, b"; theme=dark"],
        &[b"https://client.example/?access_token=", token, b"&x=y"],
        &[b"/mcp?access_token=", token],
        &[token, b",", token],
        &[b"\xff\x80", token, b"\xff"],
        &[b"[\"", token, b"\"]"],
    ];
    random.pick(&parts).concat()
}

/// Lines with the token in more places than its own.
fn scattered(random: &mut Random, mut lines: Lines, token: &str) -> Lines {
    for _ in 0..random.below(4) {
        let name = *random.pick(&PLACES);
        let value = holding(random, token);
        match random.below(3) {
            // One more line, before or behind what is there.
            0 => lines.push((name, value)),
            1 => lines.insert(random.below(lines.len()), (name, value)),
            _ => lines = with(lines, name, value),
        }
    }
    lines
}

/// Everything of the request that is at the server, but its body.
fn heads(stream: &Stream) -> Vec<u8> {
    let upstream = stream.upstream();
    let lists = upstream.events().iter().filter_map(|event| match event {
        Event::Headers(list) | Event::Trailers(list) => Some(list),
        Event::Body(_) | Event::End | Event::Reset => None,
    });
    let lines = lists.flat_map(|list| {
        list.iter().flat_map(|(name, value)| [name.as_bytes(), b": ", value, b"\n"].concat())
    });
    lines.collect()
}

fn has(bytes: &[u8], part: &str) -> bool {
    bytes.windows(part.len()).any(|window| window == part.as_bytes())
}

/// What is at the server as a whole has the credential and the body, and what is there has
/// nothing of these secrets. Whether it is there as a whole.
#[track_caller]
fn assert_clean(stream: &Stream, body: &str, secrets: &[&str], credential: &str) -> bool {
    let (upstream, heads) = (stream.upstream(), heads(stream));
    for secret in secrets {
        assert!(!has(&heads, secret), "{secret} in {upstream:?}");
    }
    let headers = upstream.headers();
    let sent: Vec<&[u8]> = headers.into_iter().flat_map(|all| all.all("authorization")).collect();
    let expected = format!("Bearer {credential}");
    // Headers of what is denied leave without one, in `stream`.
    if upstream.ended() || !sent.is_empty() {
        assert_eq!(sent, [expected.as_bytes()], "{upstream:?}");
        // In its place and in no other.
        let times = heads.windows(credential.len()).filter(|w| *w == credential.as_bytes());
        assert_eq!(times.count(), 1, "{upstream:?}");
    }
    assert_eq!(upstream.text(), if upstream.ended() { body } else { "" });
    upstream.ended()
}

/// A request of some kind, as far as it comes; its body.
fn drive(vm: &Vm, random: &mut Random, token: &str) -> (Stream, String) {
    let tool = *random.pick(&["search", "delete", "wipe"]);
    let (lines, body) = match random.below(5) {
        0 => (post(token), call_of(tool)),
        1 => (post(token), r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#.to_owned()),
        2 => {
            let mut lines = with(post(token), ":method", *random.pick(&["GET", "DELETE"]));
            lines.retain(|(name, _)| *name != "content-type");
            (lines, String::new())
        }
        _ => (modern(post(token), tool), modern_call_of(tool)),
    };
    let lines = scattered(random, lines, token);
    let stream = vm.stream();
    stream.request_headers(lines, body.is_empty());
    if !body.is_empty() {
        let cut = random.below(body.len());
        stream.request_body(&body[..cut], false);
        if random.chance(4) {
            stream.request_body(&body[cut..], false);
            let name = *random.pick(&["x-t", "authorization", "x-forwarded-access-token"]);
            stream.request_trailers([(name, holding(random, token))]);
        } else {
            stream.request_body(&body[cut..], true);
        }
    }
    (stream, body)
}

/// The answer to whatever is asked: always the same credential, with the scopes that are asked.
fn answer_all(vm: &Vm, answer: &dyn Fn(&Vm, &crate::host::Callout)) {
    for _ in 0..3 {
        vm.tick();
        for callout in vm.pending_callouts() {
            answer(vm, &callout);
        }
    }
}

#[test]
fn the_callers_token_is_in_no_header_that_goes_on_wherever_it_is_sent() {
    let exchange = with_members(token_exchange(), json!({ "token": { "format": "opaque" } }));
    for (flag, mode) in MODES {
        let (vm, mut random) = (start(flag, &exchanging(mode, exchange.clone())), Random(61));
        let credential = opaque(9);
        let mut whole = 0;
        for round in 0..ROUNDS {
            let caller = Caller::new(&vm, json!({ "jti": format!("t{round}") }));
            let (stream, body) = drive(&vm, &mut random, &caller.token);
            answer_all(&vm, &|vm, callout| {
                let scope = form(callout)["scope"].clone();
                say(vm, callout, &granted(&credential, &scope));
            });
            if assert_clean(&stream, &body, &[&caller.token, SECRET], &credential) {
                whole += 1;
            } else {
                assert!(stream.downstream().ended(), "{:?}", stream.upstream());
            }
            stream.finish();
            let record = record(&stream);
            assert!(!record.to_string().contains(&caller.token), "{record}");
            assert!(!format!("{:?}", stream.downstream()).contains(&caller.token));
        }
        assert!((ROUNDS / 10..ROUNDS).contains(&whole), "{whole}");
        assert!(vm.take_trap().is_none());
    }
}

#[test]
fn an_opaque_token_is_in_no_header_that_goes_on_wherever_it_is_sent() {
    for (flag, mode) in MODES {
        let exchange = with_members(token_exchange(), json!({ "token": { "format": "opaque" } }));
        let mut document = exchanging(mode, exchange);
        document["issuers"]["corp"]["introspection"] = json!({
            "uri": "https://idp.example.com/introspect", "cluster": "as", "tokens": "opaque",
            "client": { "method": "injected" },
        });
        let (vm, mut random) = (start(flag, &document), Random(62));
        let token = opaque(3);
        let credential = opaque(9);
        let mut whole = 0;
        for _ in 0..ROUNDS {
            let (stream, body) = drive(&vm, &mut random, &token);
            answer_all(&vm, &|vm, callout| match form(callout).get("scope") {
                Some(scope) => say(vm, callout, &granted(&credential, scope)),
                None => {
                    let active = json!({ "active": true });
                    say(vm, callout, &with_members(claims(vm, "docs.read docs.write"), active));
                }
            });
            whole += u64::from(assert_clean(&stream, &body, &[&token, SECRET], &credential));
            stream.finish();
            let record = record(&stream);
            assert!(!record.to_string().contains(&token), "{record}");
        }
        assert!((ROUNDS / 10..ROUNDS).contains(&whole), "{whole}");
    }
}

#[test]
fn a_token_in_the_name_of_a_header_goes_on_in_none() {
    for (flag, mode) in MODES {
        let exchange = with_members(token_exchange(), json!({ "token": { "format": "opaque" } }));
        let mut document = exchanging(mode, exchange);
        document["issuers"]["corp"]["introspection"] = json!({
            "uri": "https://idp.example.com/introspect", "cluster": "as", "tokens": "opaque",
            "client": { "method": "injected" },
        });
        let vm = start(flag, &document);
        // Names of headers are lowercase, and so is this token.
        const TOKEN: &str = "opaque-token-0123456789";
        let lines = with(modern(post(TOKEN), "search"), TOKEN, "1");
        let lines = with(lines, "x-opaque-token-0123456789-x", "1");
        let stream = send(&vm, lines, &modern_call_of("search"));
        let credential = opaque(9);
        answer_all(&vm, &|vm, callout| match form(callout).get("scope") {
            Some(scope) => say(vm, callout, &granted(&credential, scope)),
            None => {
                let active = json!({ "active": true });
                say(vm, callout, &with_members(claims(vm, "docs.read"), active));
            }
        });
        assert_clean(&stream, &modern_call_of("search"), &[TOKEN], &credential);
    }
}

#[test]
fn a_token_where_a_request_cannot_do_without_is_a_denial_and_no_exchange() {
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, token_exchange()));
        let caller = Caller::alice(&vm);
        let query = format!("/mcp?access_token={}", caller.token);
        for (name, value) in [
            (":path", query.as_str()),
            ("mcp-name", &caller.token),
            ("mcp-param-token", &caller.token),
            ("origin", &caller.token),
            ("mcp-session-id", &caller.token),
        ] {
            let lines = with(modern(caller.lines(), "search"), name, value);
            let stream = send(&vm, lines, &modern_call_of("search"));
            assert!(stream.upstream().is_empty(), "{name}");
            let status = stream.downstream().status();
            assert!(status.is_some_and(|status| status >= 400), "{name}: {status:?}");
            stream.finish();
            vm.tick();
            assert!(vm.callouts().is_empty(), "{name}");
            assert_told_nobody(&vm, &[&stream], &[&caller.token]);
        }
    }
}

#[test]
fn secrets_are_told_to_nobody_whose_they_are_not() {
    for (flag, mode) in MODES {
        let vm = start(flag, &exchanging(mode, token_exchange()));
        let caller = Caller::alice(&vm);
        let stream = caller.call(&vm, "search");
        assert_waits(&stream);
        let credential = grant_next(&vm);
        assert!(stream.upstream().ended());
        stream.finish();
        // A credential in an answer that is refused, too.
        let refused = caller.call(&vm, "delete");
        let other = mint(&credential_claims(&vm, "docs.write and-more"));
        say(&vm, &asked(&vm), &granted(&other, "docs.write"));
        refused.finish();
        let described = json!({ "error": "access_denied", "error_description": caller.token });
        vm.advance(std::time::Duration::from_secs(60));
        let denied = caller.call(&vm, "delete");
        vm.answer(&asked(&vm), 400, PLAIN, described.to_string());
        denied.finish();
        assert_told_nobody(
            &vm,
            &[&stream, &refused, &denied],
            &[&caller.token, &credential, &other, SECRET],
        );
        assert!(!has(&heads(&stream), &caller.token));
    }
}
