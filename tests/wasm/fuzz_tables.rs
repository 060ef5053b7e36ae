//! Random requests and random orders of callbacks, from seeds, against the module: no
//! request stops a worker, and nothing undecided goes upstream.

use crate::client::{Client, post_with_proof};
use crate::host::{Callback, Callout, HostFlag, Outcome, Vm};
use crate::support::{
    CALL, Lines, MODES, UNKNOWN, assert_forwarded, assert_serves, assert_withheld, claims, encode,
    fetch, inline, jwks, post, remote, send, sign, start, token, with, workers,
};

use serde_json::json;
use std::time::Duration;

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// Rounds per mode: some seconds in all.
const ROUNDS: u64 = 1500;

/// SplitMix64: good enough, and the same in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    pub(crate) fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most)).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    /// A few changes: bytes changed, removed, added, doubled, cut off.
    pub(crate) fn mutate(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len());
            match self.below(5) {
                0 if !bytes.is_empty() => bytes[at] = self.next().to_le_bytes()[0],
                1 if !bytes.is_empty() => drop(bytes.remove(at)),
                2 => bytes.insert(at, *self.pick(b"\"{}[]:,\\\0\xff\r\n 0e-")),
                3 => bytes.extend_from_within(at..),
                _ => bytes.truncate(at),
            }
        }
        bytes
    }

    /// Good lines, with some changed, doubled or gone, and some of anything.
    fn lines(&mut self, mut lines: Lines) -> Lines {
        const NAMES: [&str; 17] = [
            ":authority",
            ":method",
            ":path",
            ":scheme",
            "authorization",
            "content-encoding",
            "content-length",
            "content-type",
            "dpop",
            "mcp-method",
            "mcp-name",
            "mcp-protocol-version",
            "mcp-session-id",
            "origin",
            "traceparent",
            "upgrade",
            "x-forwarded-client-cert",
        ];
        const VALUES: [&str; 12] = [
            "",
            "GET",
            "DELETE",
            "CONNECT",
            "/",
            "/.well-known/oauth-protected-resource/mcp",
            "*",
            "2026-07-28",
            "tools/call",
            "search",
            "Bearer",
            "=?base64?eA?=",
        ];
        for _ in 0..self.below(3) {
            let name = *self.pick(&NAMES);
            let value = match self.below(3) {
                0 => self.bytes(60),
                1 => self.pick(&VALUES).as_bytes().to_vec(),
                _ => {
                    let value = self.pick(&lines).1.clone();
                    self.mutate(value)
                }
            };
            match self.below(3) {
                0 => lines.push((name, value)),
                1 => lines = with(lines, name, value),
                _ => drop(lines.remove(self.below(lines.len()))),
            }
        }
        lines
    }

    fn callback(&mut self) -> Callback {
        let sizes = [0, 1, 80, 1 << 20, u32::MAX];
        let (size, count, end) = (*self.pick(&sizes), *self.pick(&sizes), self.chance(2));
        match self.below(7) {
            0 => Callback::RequestHeaders { count, end },
            1 => Callback::RequestBody { size, end },
            2 => Callback::RequestTrailers { count },
            3 => Callback::ResponseHeaders { count, end },
            4 => Callback::ResponseBody { size, end },
            5 => Callback::ResponseTrailers { count },
            _ => Callback::Done,
        }
    }
}

/// The proxy before this one, by its certificate.
const GATEWAY: &str = "spiffe://example.com/gateway";

/// Starts the module for a server that demands proofs, and certificates of bound tokens.
fn start_demanding(flag: HostFlag, mode: &str) -> Vm {
    let mut document = inline(mode);
    let server = &mut document["servers"][0];
    server["dpop"] = json!({ "mode": "required" });
    server["mtls"] = json!({ "mode": "optional", "forwarded_by": [GATEWAY] });
    Vm::with(flag).start(document).unwrap()
}

/// Tokens with which nothing may go on but headers: no scope, a forged signature.
fn powerless(vm: &Vm, random: &mut Random) -> (String, &'static str) {
    let good = token(vm, "docs.read");
    match random.below(3) {
        0 => (token(vm, "other"), CALL),
        1 => (good, UNKNOWN),
        _ => (sign("k2", &claims(vm, "docs.read")), CALL),
    }
}

#[test]
fn random_header_lists_stop_no_worker_and_give_nobody_a_scope() {
    for (flag, mode) in MODES {
        let (vm, mut random) = (start(flag, mode), Random(1));
        for _ in 0..ROUNDS {
            let (token, body) = powerless(&vm, &mut random);
            let lines = random.lines(post(&token));
            // A GET or DELETE has no body to decide on: sessions are open to everybody.
            let method = lines.iter().find(|(name, _)| *name == ":method");
            let session = method.is_some_and(|(_, method)| method != b"POST");
            let stream = vm.stream();
            let end = random.chance(8);
            stream.request_headers(lines, end);
            if !end {
                stream.request_body(body, true);
            }
            if !session {
                assert_withheld(&stream, mode);
            }
            stream.finish();
        }
        assert_serves(&vm);
    }
}

#[test]
fn random_header_lists_with_proofs_stop_no_worker_and_give_nobody_a_scope() {
    for (flag, mode) in MODES {
        let (vm, mut random) = (start_demanding(flag, mode), Random(6));
        let client = Client::eddsa(9);
        for _ in 0..ROUNDS {
            let (scope, body) = *random.pick(&[("other", CALL), ("docs.read", UNKNOWN)]);
            let lines = random.lines(client.post(&vm, scope));
            let method = lines.iter().find(|(name, _)| *name == ":method");
            let session = method.is_some_and(|(_, method)| method != b"POST");
            let stream = vm.stream();
            stream.set_property(&["connection", "uri_san_peer_certificate"], GATEWAY);
            stream
                .set_property(&["connection", "sha256_peer_certificate_digest"], random.bytes(70));
            stream.request_headers(lines, false);
            stream.request_body(body, true);
            if !session {
                assert_withheld(&stream, mode);
            }
            stream.finish();
        }
        assert_forwarded(&send(&vm, client.post(&vm, "docs.read"), CALL));
    }
}

#[test]
fn every_byte_of_a_proof_counts() {
    for client in [Client::es256(), Client::eddsa(9)] {
        let vm = start_demanding(HostFlag::StopIteration, "hold");
        let token = client.token(&vm, "docs.read");
        let proof = client.proof(&vm, &token).into_bytes();
        for at in 0..proof.len() {
            let [mut flipped, mut longer, mut shorter] = [(); 3].map(|()| proof.clone());
            // To another character that proofs have.
            flipped[at] = if proof[at] == b'A' { b'B' } else { b'A' };
            longer.insert(at, b'A');
            shorter.remove(at);
            let mut binary = proof.clone();
            binary[at] ^= 0x80;
            for changed in [flipped, longer, shorter, binary] {
                let lines = with(post_with_proof(&token, ""), "dpop", &changed);
                let stream = vm.stream();
                assert_eq!(stream.request_headers(lines, false), Outcome::Replied, "{at}");
                assert!(stream.upstream().is_empty());
                assert_eq!(stream.downstream().status(), Some(401), "{at}");
                stream.finish();
            }
        }
        // None of them was recorded.
        let lines = with(post_with_proof(&token, ""), "dpop", &proof);
        assert_forwarded(&send(&vm, lines, CALL));
    }
}

#[test]
fn random_proofs_stop_no_worker_and_are_refused() {
    for (flag, mode) in MODES {
        let (vm, mut random) = (start_demanding(flag, mode), Random(7));
        let client = Client::eddsa(9);
        let token = client.token(&vm, "docs.read");
        let good = client.proof_claims(&vm, &token);
        for _ in 0..ROUNDS / 3 {
            let proof = client.prove(&good).into_bytes();
            let changed = match random.below(3) {
                0 => random.mutate(proof.clone()),
                1 => random.bytes(600),
                _ => {
                    // Claims that are no claims, with a good signature.
                    let text = random.mutate(good.to_string().into_bytes());
                    let Ok(claims) = serde_json::from_slice(&text) else { continue };
                    if claims == good {
                        continue;
                    }
                    client.prove(&claims).into_bytes()
                }
            };
            if changed == proof {
                continue;
            }
            let stream = vm.stream();
            stream.request_headers(with(post_with_proof(&token, ""), "dpop", &changed), false);
            // `jti` and a little of `iat` are the client's to choose.
            if stream.downstream().status().is_none() {
                let claims = changed.split(|byte| *byte == b'.').nth(1).unwrap();
                let claims = base64::Engine::decode(
                    &base64::engine::general_purpose::URL_SAFE_NO_PAD,
                    claims,
                );
                let claims: serde_json::Value = serde_json::from_slice(&claims.unwrap()).unwrap();
                for name in ["htm", "htu", "ath"] {
                    assert_eq!(claims[name], good[name], "{claims}");
                }
            }
            stream.finish();
        }
        assert_forwarded(&send(&vm, client.post(&vm, "docs.read"), CALL));
    }
}

#[test]
fn random_forwarded_certificates_stop_no_worker_and_are_nobodys() {
    for (flag, mode) in MODES {
        let (vm, mut random) = (start_demanding(flag, mode), Random(8));
        let client = Client::eddsa(9);
        let mut claims = client.claims(&vm, "docs.read");
        claims["cnf"]["x5t#S256"] = json!(encode([0xc1; 32]));
        let token = sign("k1", &claims);
        let element = |byte: &str| format!("By=spiffe://a;Hash={};URI={GATEWAY}", byte.repeat(32));
        let own = element("6a");
        let others = format!("{};Subject=\"CN=a,O=b\",{own}", element("07"));
        for _ in 0..ROUNDS / 3 {
            let header = match random.below(3) {
                0 => random.bytes(300),
                1 => random.mutate(own.clone().into_bytes()),
                _ => random.mutate(others.clone().into_bytes()),
            };
            let lines = post_with_proof(&token, &client.proof(&vm, &token));
            let stream = vm.stream();
            stream.set_property(&["connection", "uri_san_peer_certificate"], GATEWAY);
            let digest = &["connection", "sha256_peer_certificate_digest"];
            stream.set_property(digest, "6a".repeat(32));
            let lines = with(lines, "x-forwarded-client-cert", &header);
            assert_eq!(stream.request_headers(lines, false), Outcome::Replied);
            assert_eq!(stream.downstream().status(), Some(401));
            assert!(stream.upstream().is_empty(), "{}", header.escape_ascii());
            stream.finish();
        }
        assert_forwarded(&send(&vm, client.post(&vm, "docs.read"), CALL));
    }
}

#[test]
fn random_bodies_stop_no_worker_and_mean_to_a_lenient_reader_what_was_decided() {
    for (flag, mode) in MODES {
        let (vm, mut random) = (start(flag, mode), Random(2));
        let token = token(&vm, "docs.read");
        let mut allowed = 0;
        for _ in 0..ROUNDS {
            let body = random.mutate(CALL.as_bytes().to_vec());
            let stream = vm.stream();
            stream.request_headers(post(&token), false);
            let cut = random.below(body.len());
            stream.request_body(&body[..cut], false);
            if random.chance(4) {
                stream.request_body(&body[cut..], false);
                stream.request_trailers([("x-t", random.bytes(9))]);
            } else {
                stream.request_body(&body[cut..], true);
            }
            if stream.upstream().ended() {
                allowed += 1;
                assert_eq!(stream.upstream().body(), body);
                let read: serde_json::Value = serde_json::from_slice(&body).unwrap();
                assert_eq!(read["method"], "tools/call");
                assert_eq!(read["params"]["name"], "search");
            } else {
                assert_withheld(&stream, mode);
                assert!(stream.downstream().ended(), "every request has its answer");
            }
            stream.finish();
        }
        assert!((1..ROUNDS / 2).contains(&allowed), "{allowed} of {ROUNDS}");
        assert_serves(&vm);
    }
}

#[test]
fn random_tokens_stop_no_worker_and_are_refused() {
    for (flag, mode) in MODES {
        let (vm, mut random) = (start(flag, mode), Random(3));
        let good = token(&vm, "docs.read").into_bytes();
        for _ in 0..ROUNDS {
            let mutated = random.mutate(good.clone());
            if mutated == good {
                continue;
            }
            let bearer = [b"Bearer ".as_slice(), &mutated].concat();
            let stream = vm.stream();
            let outcome = stream.request_headers(with(post("t"), "authorization", &bearer), false);
            assert_eq!(outcome, Outcome::Replied, "{}", bearer.escape_ascii());
            assert!(stream.upstream().is_empty());
            stream.finish();
        }
        assert_serves(&vm);
    }
}

#[test]
fn random_orders_of_callbacks_stop_no_worker_and_release_nothing() {
    for (flag, mode) in MODES {
        let (vm, mut random) = (start(flag, mode), Random(4));
        for _ in 0..ROUNDS {
            let (token, body) = powerless(&vm, &mut random);
            let stream = vm.stream();
            let arrived = random.chance(2);
            if arrived {
                stream.request_headers(post(&token), false);
                if random.chance(2) {
                    stream.request_body(&body[..random.below(body.len())], false);
                }
            }
            for _ in 0..random.below(8) {
                stream.drive(random.callback());
                if random.chance(4) {
                    vm.tick();
                }
            }
            if arrived {
                stream.request_body(body, true);
            }
            assert_withheld(&stream, mode);
            stream.finish();
        }
        // A trap on the way would have failed the test here at the latest.
        assert_serves(&vm);
    }
}

#[test]
fn random_interleavings_of_streams_and_fetches_mix_nobody_up() {
    for (flag, mode) in MODES {
        let mut random = Random(5);
        for _ in 0..40 {
            let vm = Vm::with(flag).start(remote(mode)).unwrap();
            let streams: Vec<_> = (0..12)
                .map(|index| {
                    let allowed = index % 2 == 0;
                    let token = token(&vm, if allowed { "docs.read" } else { "other" });
                    let stream = vm.stream();
                    stream.request_headers(post(&token), false);
                    if random.chance(2) {
                        vm.tick();
                    }
                    let late = random.chance(2);
                    if !late {
                        stream.request_body(CALL, true);
                    }
                    let gone = random.chance(5);
                    if gone {
                        stream.finish();
                    }
                    (stream, allowed, late, gone)
                })
                .collect();
            fetch(&vm, 200, jwks(&["k1"]));
            for (stream, allowed, late, gone) in streams {
                if late && !gone {
                    stream.request_body(CALL, true);
                }
                if gone {
                    assert_withheld(&stream, "hold");
                } else {
                    assert_eq!(stream.upstream().ended(), allowed);
                }
            }
        }
    }
}

#[test]
fn random_interleavings_of_streams_and_words_mix_nobody_up() {
    let document = |mode: &str| {
        let mut document = inline(mode);
        document["issuers"]["corp"]["introspection"] = json!({
            "uri": "https://idp.example.com/introspect", "cluster": "idp", "tokens": "opaque",
            "client": { "method": "injected" }, "cache": "0s", "negative_cache": "0s",
        });
        document["servers"][0]["tools"]["rules"][0]["introspect"] = json!("fresh");
        document
    };
    for (flag, mode) in MODES {
        let mut random = Random(9);
        for _ in 0..60 {
            let vm = Vm::with(flag).start(document(mode)).unwrap();
            // Tokens of both kinds; what the issuer says of one is in its last letter.
            let tokens = ["opaque-1-y", "opaque-2-n", "opaque-3-y", "opaque-4-n"];
            let jwts = ["docs.read", "docs.read other"].map(|scope| token(&vm, scope));
            let is_good = |token: &str| token.ends_with("-y") || token == jwts[0];
            let mut streams = Vec::new();
            let mut replaced = false;
            let answer_one = |random: &mut Random| {
                let pending = vm.pending_callouts();
                if pending.is_empty() {
                    return;
                }
                let callout = random.pick(&pending);
                let body = String::from_utf8(callout.body.clone()).unwrap();
                let asked = body.split(['=', '&']).nth(1).unwrap();
                let mut members = claims(&vm, "docs.read");
                members["active"] = json!(is_good(asked));
                vm.answer(callout, 200, JSON, members.to_string());
            };
            for _ in 0..40 {
                match random.below(8) {
                    0..3 => {
                        let opaque = random.pick(&tokens);
                        let token =
                            if random.chance(3) { random.pick(&jwts).as_str() } else { *opaque };
                        let stream = vm.stream();
                        stream.request_headers(post(token), false);
                        let late = random.chance(2);
                        if !late {
                            stream.request_body(CALL, true);
                        }
                        streams.push((stream, token.to_owned(), late));
                    }
                    3 => drop(vm.tick()),
                    4..7 => answer_one(&mut random),
                    _ if random.chance(6) => {
                        replaced = true;
                        assert!(vm.configure(document(mode)));
                    }
                    _ if streams.is_empty() => {}
                    _ => {
                        let (stream, _, late) = streams.swap_remove(random.below(streams.len()));
                        stream.finish();
                        let seen = stream.upstream();
                        assert!(!late || seen.body().is_empty());
                    }
                }
            }
            for (stream, _, late) in &streams {
                if *late {
                    stream.request_body(CALL, true);
                }
            }
            while vm.tick() && !vm.pending_callouts().is_empty() {
                answer_one(&mut random);
            }
            for (stream, token, _) in streams {
                if is_good(&token) {
                    let replaced = replaced && stream.downstream().status() == Some(503);
                    assert!(stream.upstream().ended() || replaced, "{token}");
                } else {
                    assert!(!stream.upstream().ended() && stream.upstream().body().is_empty());
                    assert!(stream.downstream().ended(), "{token}");
                }
            }
        }
    }
}

#[test]
fn random_failures_of_issuers_and_workers_hang_nobody_and_let_nobody_in() {
    let document = |mode: &str| {
        let mut document = remote(mode);
        let issuer = &mut document["issuers"]["corp"];
        issuer["revocation"] = json!({ "uri": "https://idp.example.com/gone", "cluster": "idp" });
        issuer["introspection"] = json!({
            "uri": "https://idp.example.com/introspect", "cluster": "idp", "tokens": "all",
            "client": { "method": "injected" },
        });
        document["servers"][0]["dpop"] = json!({ "mode": "optional" });
        document["servers"][0]["tools"]["rules"][0]["introspect"] = json!("fresh");
        document
    };
    let serve = |vm: &Vm, callout: &Callout| {
        let body = match callout.headers.get(":path").unwrap() {
            "/jwks" => jwks(&["k1"]),
            "/gone" => json!({ "revoked": [{ "jti": "revoked" }] }).to_string(),
            _ => {
                let mut members = claims(vm, "docs.read");
                members["active"] = json!(true);
                members.to_string()
            }
        };
        vm.answer(callout, 200, JSON, body);
    };
    for (flag, mode) in MODES {
        let mut random = Random(10);
        let mut passed = 0;
        for _ in 0..40 {
            let workers: [Vm; 3] = workers(flag, &document(mode));
            let client = Client::eddsa(9);
            let mut streams = Vec::new();
            if random.chance(2) {
                workers[0].tick();
                for callout in workers[0].pending_callouts() {
                    serve(&workers[0], &callout);
                }
            }
            for _ in 0..60 {
                let vm = random.pick(&workers).clone();
                match random.below(12) {
                    0..4 => {
                        // By the key that is published and taken back; revoked; and a proof
                        // that comes twice.
                        let mut claims = client.claims(&vm, "docs.read");
                        claims["jti"] = json!(if random.chance(3) { "revoked" } else { "good" });
                        let bad = claims["jti"] == "revoked" || random.chance(4);
                        let kid = if bad { "k9" } else { "k1" };
                        let token = sign(kid, &claims);
                        let proof = client.proof(&vm, &token);
                        for _ in 0..=random.below(2) {
                            let stream = send(&vm, post_with_proof(&token, &proof), CALL);
                            streams.push((stream, bad, proof.clone()));
                        }
                    }
                    4..7 => drop(vm.tick()),
                    7..10 => {
                        let pending = vm.pending_callouts();
                        if pending.is_empty() {
                            continue;
                        }
                        let callout = random.pick(&pending);
                        match random.below(10) {
                            0 => vm.fail_callout(callout),
                            1 => vm.time_out_callout(callout),
                            2 => vm.answer(callout, 200, JSON, random.bytes(60)),
                            _ => serve(&vm, callout),
                        }
                    }
                    10 => vm.lose_races(u32::try_from(random.below(12)).unwrap()),
                    _ => {
                        let by = Duration::from_millis(random.next() % 12_000);
                        let now = vm.now();
                        let now = if random.chance(6) { now - by } else { now + by };
                        for vm in &workers {
                            vm.set_now(now);
                        }
                    }
                }
            }
            // From here on no answer comes.
            for _ in 0..60 {
                for vm in &workers {
                    vm.advance(Duration::from_secs(1));
                    vm.tick();
                }
            }
            let mut used = Vec::new();
            for (stream, bad, proof) in streams {
                let ended = stream.upstream().ended();
                assert!(ended || stream.downstream().ended(), "{mode}");
                assert!(!ended || !bad);
                if ended {
                    assert!(!used.contains(&proof), "a proof passed twice");
                    used.push(proof);
                    passed += 1;
                }
            }
        }
        assert!(passed > 20, "{passed}");
    }
}
