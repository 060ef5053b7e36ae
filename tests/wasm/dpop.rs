//! Proofs of possession (RFC 9449) on the request path: each is good once, whichever
//! worker gets it, and whatever becomes of the data that the workers share.

use crate::client::{Client, post_with_proof};
use crate::host::{HostFlag, Status, Stream, Vm, Which};
use crate::support::{
    CALL, Lines, MODES, answer, assert_forwarded, assert_refused, assert_withheld, beside, claims,
    fetch, inline, jwks, post, record, remote, send, sign, tick, token, with, workers,
    written_keys,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::time::Duration;

const DELETE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"delete"}}"#;

const METADATA: &str = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp";

/// The configuration of a server that makes these demands.
fn configuration(mode: &str, dpop: &Value) -> Value {
    let mut document = inline(mode);
    document["servers"][0]["dpop"] = dpop.clone();
    document
}

fn required(mode: &str) -> Value {
    configuration(mode, &json!({ "mode": "required", "algorithms": ["ES256", "EdDSA"] }))
}

/// With nonces that must, or may, be there.
fn nonces(nonce: &str) -> Value {
    let dpop = json!({ "mode": "required", "nonce": { "mode": nonce, "lifetime": "5m" } });
    configuration("hold", &dpop)
}

fn start(document: &Value) -> Vm {
    Vm::with(HostFlag::StopIteration).start(document).unwrap()
}

/// The nonce of an answer.
fn nonce(stream: &Stream) -> Option<String> {
    stream.downstream().header("dpop-nonce").map(str::to_owned)
}

fn challenges(stream: &Stream) -> Vec<String> {
    let downstream = stream.downstream();
    let lines = downstream.headers().unwrap().all("www-authenticate");
    lines.map(|line| String::from_utf8(line.to_vec()).unwrap()).collect()
}

/// The challenges of a server that takes ES256 and EdDSA, about a proof.
fn about_proof(error: &str) -> [String; 2] {
    [
        format!("Bearer resource_metadata=\"{METADATA}\""),
        format!("DPoP resource_metadata=\"{METADATA}\", error=\"{error}\", algs=\"ES256 EdDSA\""),
    ]
}

/// The same, about anything else; `error` with its comma, or nothing.
fn about_token(error: &str) -> [String; 2] {
    [
        format!("Bearer resource_metadata=\"{METADATA}\"{error}"),
        format!("DPoP resource_metadata=\"{METADATA}\"{error}, algs=\"ES256 EdDSA\""),
    ]
}

#[test]
fn a_proof_is_good_once_for_all_workers() {
    for (flag, mode) in MODES {
        let [one, two] = workers(flag, &required(mode));
        for (client, native) in [(Client::es256(), 1), (Client::eddsa(9), 0)] {
            let lines = client.post(&one, "docs.read");
            let before = one.count_calls("proxy_call_foreign_function");
            let stream = send(&one, lines.clone(), CALL);
            assert_forwarded(&stream);
            assert_eq!(stream.upstream().header("dpop"), None);
            assert_eq!(one.count_calls("proxy_call_foreign_function"), before + native);
            answer(&stream);
            assert_eq!(stream.downstream().status(), Some(200));
            assert_eq!(record(&stream)["sender"], "dpop");
            for vm in [&one, &two] {
                let replayed = send(vm, lines.clone(), CALL);
                assert_refused(&replayed, "hold", 401, "dpop_replay");
                assert_eq!(challenges(&replayed), about_proof("invalid_dpop_proof"));
            }
            assert_forwarded(&send(&two, client.post(&two, "docs.read"), CALL));
        }
        assert_eq!(one.metric("countersign.dpop.replays"), 2);
        assert_eq!(two.metric("countersign.dpop.replays"), 2);
    }
}

#[test]
fn of_ten_thousand_replays_over_four_workers_none_passes() {
    const PROOFS: usize = 500;
    const REPLAYS: usize = 20;
    let workers: [Vm; 4] = workers(HostFlag::StopIteration, &required("hold"));
    let client = Client::es256();
    let token = client.token(&workers[0], "docs.read");
    let (mut accepted, mut refused) = (0, 0);
    for number in 0..PROOFS {
        let lines = post_with_proof(&token, &client.proof(&workers[0], &token));
        for replay in 0..=REPLAYS {
            let stream = send(&workers[(number + replay) % 4], lines.clone(), CALL);
            if replay == 0 {
                assert_forwarded(&stream);
                accepted += 1;
            } else {
                assert_refused(&stream, "hold", 401, "dpop_replay");
                refused += 1;
            }
        }
    }
    eprintln!("proofs: {accepted} accepted once, {refused} replays refused");
}

#[test]
fn only_a_host_that_says_valid_has_verified_a_proof() {
    let fault = |status: Status| {
        let vm = start(&required("hold"));
        vm.fail_hostcall("proxy_call_foreign_function", Which::All, status);
        send(&vm, Client::es256().post(&vm, "docs.read"), CALL)
    };
    // Success without a result included.
    for status in [Status::OK, Status::BAD_ARGUMENT, Status::INTERNAL_FAILURE] {
        assert_refused(&fault(status), "hold", 401, "dpop_signature");
    }
    // This host has no such function, so the module verifies.
    assert_forwarded(&fault(Status::NOT_FOUND));
}

#[test]
fn of_two_workers_at_once_one_takes_the_proof() {
    let [one, two] = workers(HostFlag::StopIteration, &required("hold"));
    let lines = Client::es256().post(&one, "docs.read");
    let (other, same) = (two.clone(), lines.clone());
    // The other worker is served between the read and the write of the first.
    one.before_next_write(move || assert_forwarded(&send(&other, same, CALL)));
    assert_refused(&send(&one, lines, CALL), "hold", 401, "dpop_replay");
    assert_eq!(two.metric("countersign.decisions.allow.allowed"), 1);
}

#[test]
fn rfc9449_4_3_each_wrong_proof_is_refused_and_none_is_recorded() {
    let vm = start(&required("hold"));
    let (client, other) = (Client::eddsa(9), Client::eddsa(8));
    let token = client.token(&vm, "docs.read");
    let good = client.proof_claims(&vm, &token);
    let now = good["iat"].as_u64().unwrap();
    let wrong: [(&str, Value, &str); 8] = [
        ("htm", json!("GET"), "dpop_htm"),
        ("htu", json!("https://mcp.example.com/other"), "dpop_htu"),
        ("iat", json!(now - 301), "dpop_iat"),
        ("iat", json!(now + 301), "dpop_iat"),
        ("ath", json!("AAAA"), "dpop_ath"),
        ("ath", Value::Null, "dpop_claim"),
        ("jti", Value::Null, "dpop_claim"),
        ("jti", json!(""), "dpop_claim"),
    ];
    for (name, value, code) in wrong {
        let mut claims = good.clone();
        claims[name] = value;
        let stream = send(&vm, post_with_proof(&token, &client.prove(&claims)), CALL);
        assert_refused(&stream, "hold", 401, code);
        assert_eq!(challenges(&stream), about_proof("invalid_dpop_proof"), "{name}");
    }
    let stream = send(&vm, post_with_proof(&token, &other.prove(&good)), CALL);
    assert_refused(&stream, "hold", 401, "dpop_jkt");
    let stream = send(&vm, post_with_proof(&token, "x"), CALL);
    assert_refused(&stream, "hold", 401, "dpop_malformed");
    let stream = send(&vm, with(post(&token), "authorization", format!("DPoP {token}")), CALL);
    assert_refused(&stream, "hold", 401, "dpop_missing");
    assert_eq!(challenges(&stream), about_proof("invalid_dpop_proof"));
    // All with one `jti`, which is still unused.
    assert_forwarded(&send(&vm, post_with_proof(&token, &client.prove(&good)), CALL));
}

#[test]
fn a_proof_is_for_its_method() {
    for (flag, mode) in MODES {
        let vm = Vm::with(flag).start(required(mode)).unwrap();
        let client = Client::eddsa(9);
        let token = client.token(&vm, "docs.read");
        for (method, other) in [("GET", "POST"), ("DELETE", "GET")] {
            let proof_for = |htm: &str| {
                let mut claims = client.proof_claims(&vm, &token);
                claims["htm"] = json!(htm);
                let lines =
                    with(post_with_proof(&token, &client.prove(&claims)), ":method", method);
                let stream = vm.stream();
                stream.request_headers(with(lines, "mcp-protocol-version", "2025-11-25"), true);
                stream
            };
            assert_forwarded(&proof_for(method));
            assert_refused(&proof_for(other), "hold", 401, "dpop_htm");
            assert_refused(&proof_for(&method.to_lowercase()), "hold", 401, "dpop_htm");
        }
    }
}

#[test]
fn of_requests_that_wait_with_one_proof_one_passes() {
    for (flag, mode) in MODES {
        let mut document = required(mode);
        document["issuers"]["corp"]["jwks"] = remote(mode)["issuers"]["corp"]["jwks"].clone();
        let workers: [Vm; 3] = workers(flag, &document);
        let client = Client::es256();
        let lines = client.post(&workers[0], "docs.read");
        let waiting: Vec<_> =
            (workers.iter().cycle().take(9)).map(|vm| send(vm, lines.clone(), CALL)).collect();
        assert!(waiting.iter().all(|stream| stream.downstream().status().is_none()));
        tick(&workers);
        fetch(&workers[0], 200, jwks(&["k1"]));
        tick(&workers);
        let passed = waiting.iter().filter(|stream| stream.upstream().ended()).count();
        assert_eq!(passed, 1);
        for stream in waiting.iter().filter(|stream| !stream.upstream().ended()) {
            assert_refused(stream, "hold", 401, "dpop_replay");
        }
    }
}

#[test]
fn rfc9449_7_2_a_bound_token_is_no_bearer_token() {
    for dpop in ["optional", "required"] {
        let dpop = json!({ "mode": dpop, "algorithms": ["ES256", "EdDSA"] });
        let vm = start(&configuration("hold", &dpop));
        let token = Client::eddsa(9).token(&vm, "docs.read");
        let stream = send(&vm, post(&token), CALL);
        assert_refused(&stream, "hold", 401, "dpop_downgrade");
        assert_eq!(challenges(&stream), about_token(", error=\"invalid_token\""));
    }
    let vm = start(&inline("hold"));
    let token = Client::eddsa(9).token(&vm, "docs.read");
    assert_refused(&send(&vm, post(&token), CALL), "hold", 401, "token_sender_constrained");
}

#[test]
fn rfc9449_7_2_credentials_are_not_mixed() {
    let vm = start(&required("hold"));
    let client = Client::eddsa(9);
    let token = client.token(&vm, "docs.read");
    let proof = client.proof(&vm, &token);
    let lines = post_with_proof(&token, &proof);
    let bearer = with(lines.clone(), "authorization", format!("Bearer {token}"));
    let list = format!("DPoP {token}, Bearer {token}");
    for mixed in [bearer, with(lines.clone(), "authorization", list)] {
        let stream = send(&vm, mixed, CALL);
        assert_refused(&stream, "hold", 400, "credentials_mixed");
        assert_eq!(challenges(&stream), about_token(", error=\"invalid_request\""));
    }
    let twice = |name: &'static str, value: &str| -> Lines {
        [lines.clone(), vec![(name, value.as_bytes().to_vec())]].concat()
    };
    let stream = send(&vm, twice("authorization", &format!("Bearer {token}")), CALL);
    assert_refused(&stream, "hold", 400, "header_repeated");
    for second in [proof.as_str(), "x", ""] {
        let stream = send(&vm, twice("dpop", second), CALL);
        assert_refused(&stream, "hold", 401, "dpop_malformed");
        assert_eq!(challenges(&stream), about_proof("invalid_dpop_proof"));
    }
    let joined = with(lines.clone(), "dpop", format!("{proof},{proof}"));
    assert_refused(&send(&vm, joined, CALL), "hold", 401, "dpop_malformed");
    assert_forwarded(&send(&vm, lines, CALL));
}

#[test]
fn a_token_that_is_not_bound_passes_where_proofs_are_optional_only() {
    let vm = start(&configuration("hold", &json!({ "mode": "optional" })));
    assert_forwarded(&send(&vm, post(&token(&vm, "docs.read")), CALL));
    // The scheme says it is bound, and it is not.
    let client = Client::eddsa(9);
    let unbound = token(&vm, "docs.read");
    let lines = post_with_proof(&unbound, &client.proof(&vm, &unbound));
    assert_refused(&send(&vm, lines, CALL), "hold", 401, "token_not_sender_constrained");
    let vm = start(&required("hold"));
    let stream = send(&vm, post(&token(&vm, "docs.read")), CALL);
    assert_refused(&stream, "hold", 401, "token_not_sender_constrained");
    assert_eq!(challenges(&stream), about_token(", error=\"invalid_token\""));
}

#[test]
fn a_request_without_a_token_is_told_what_is_taken() {
    let vm = start(&required("hold"));
    let mut lines = post("t");
    lines.retain(|(name, _)| *name != "authorization");
    let stream = send(&vm, lines, CALL);
    assert_refused(&stream, "hold", 401, "token_missing");
    assert_eq!(challenges(&stream), about_token(""));
    assert_eq!(nonce(&stream), None);
}

#[test]
fn a_rule_may_demand_more_or_less_than_its_server() {
    for (flag, mode) in MODES {
        let client = Client::es256();
        // (server, rule of `search`, rule of `delete`): a bearer token may search only.
        for (server, search, delete) in [
            ("optional", Value::Null, json!("required")),
            ("required", json!("optional"), Value::Null),
        ] {
            let mut document = configuration(mode, &json!({ "mode": server }));
            for (index, demand) in [search, delete].into_iter().enumerate() {
                if !demand.is_null() {
                    document["servers"][0]["tools"]["rules"][index]["dpop"] = demand;
                }
            }
            let vm = Vm::with(flag).start(&document).unwrap();
            assert_forwarded(&send(&vm, post(&token(&vm, "docs.read")), CALL));
            let stream = send(&vm, post(&token(&vm, "docs.write")), DELETE);
            assert_refused(&stream, mode, 401, "dpop_required");
            assert!(challenges(&stream)[1].starts_with("DPoP "), "{server}");
            assert_forwarded(&send(&vm, client.post(&vm, "docs.write"), DELETE));
        }
    }
}

#[test]
fn rfc9449_9_a_nonce_is_good_at_every_worker_of_the_envoy_that_gave_it() {
    let document = nonces("required");
    let [one, two] = workers(HostFlag::StopIteration, &document);
    let stranger = Vm::with(HostFlag::StopIteration).seed(77).start(&document).unwrap();
    let client = Client::es256();
    let token = client.token(&one, "docs.read");
    let bare = client.proof(&one, &token);
    let asked = send(&one, post_with_proof(&token, &bare), CALL);
    assert_refused(&asked, "hold", 401, "dpop_nonce");
    let challenge = challenges(&asked).remove(1);
    assert!(challenge.contains(", error=\"use_dpop_nonce\", "), "{challenge}");
    assert_eq!(asked.downstream().header("cache-control"), Some("no-store"));
    let given = nonce(&asked).unwrap();
    for vm in [&one, &two] {
        let proof = client.proof_with_nonce(vm, &token, &given);
        let stream = send(vm, post_with_proof(&token, &proof), CALL);
        assert_forwarded(&stream);
        answer(&stream);
        assert_eq!(nonce(&stream), None, "the one it has will do");
    }
    let proof = client.proof_with_nonce(&stranger, &token, &given);
    let refused = send(&stranger, post_with_proof(&token, &proof), CALL);
    assert_refused(&refused, "hold", 401, "dpop_nonce");
    let own = nonce(&refused).unwrap();
    assert_ne!(own, given);
    let proof = client.proof_with_nonce(&stranger, &token, &own);
    assert_forwarded(&send(&stranger, post_with_proof(&token, &proof), CALL));
}

#[test]
fn rfc9449_8_2_a_fresh_nonce_comes_with_the_success_before_the_old_one_ends() {
    let vm = start(&nonces("required"));
    let client = Client::eddsa(9);
    let call = |nonce: &str| {
        let token = client.token(&vm, "docs.read");
        let proof = client.proof_with_nonce(&vm, &token, nonce);
        send(&vm, post_with_proof(&token, &proof), CALL)
    };
    let first = nonce(&call("unknown")).unwrap();
    vm.advance(Duration::from_secs(160));
    let stream = call(&first);
    assert_forwarded(&stream);
    answer(&stream);
    let second = nonce(&stream).unwrap();
    assert_ne!(second, first);
    let downstream = stream.downstream();
    let caching: Vec<_> = downstream.headers().unwrap().all("cache-control").collect();
    assert_eq!(caching, [b"no-store"]);
    vm.advance(Duration::from_secs(141));
    assert_refused(&call(&first), "hold", 401, "dpop_nonce");
    assert_forwarded(&call(&second));
}

#[test]
fn workers_that_renew_the_nonce_keys_at_once_keep_the_same() {
    let [one, two] = workers(HostFlag::StopIteration, &nonces("required"));
    let client = Client::eddsa(9);
    let asked = |vm: &Vm| nonce(&send(vm, client.post(vm, "docs.read"), CALL)).unwrap();
    for jump in [Duration::from_secs(25 * 3600), Duration::from_secs(3 * 24 * 3600)] {
        let before = asked(&one);
        for vm in [&one, &two] {
            vm.advance(jump);
        }
        let (other, lines) = (two.clone(), client.post(&two, "docs.read"));
        one.before_next_write(move || drop(send(&other, lines, CALL)));
        let given = [&one, &two].map(&asked);
        for vm in [&one, &two] {
            for (nonce, good) in [(&before, false), (&given[0], true), (&given[1], true)] {
                let token = client.token(vm, "docs.read");
                let proof = client.proof_with_nonce(vm, &token, nonce);
                let stream = send(vm, post_with_proof(&token, &proof), CALL);
                if good {
                    assert_forwarded(&stream);
                } else {
                    assert_refused(&stream, "hold", 401, "dpop_nonce");
                }
            }
        }
    }
}

#[test]
fn a_clock_that_is_set_back_costs_a_challenge_and_no_more() {
    let vm = start(&nonces("required"));
    let client = Client::eddsa(9);
    let call = |nonce: &str| {
        let token = client.token(&vm, "docs.read");
        let proof = client.proof_with_nonce(&vm, &token, nonce);
        send(&vm, post_with_proof(&token, &proof), CALL)
    };
    let before = nonce(&call("unknown")).unwrap();
    assert_forwarded(&call(&before));
    vm.set_now(vm.now() - Duration::from_secs(3600));
    let refused = call(&before);
    assert_refused(&refused, "hold", 401, "dpop_nonce");
    assert_forwarded(&call(&nonce(&refused).unwrap()));
}

#[test]
fn an_optional_nonce_may_be_missing_but_not_wrong() {
    let vm = start(&nonces("optional"));
    let client = Client::eddsa(9);
    let token = client.token(&vm, "docs.read");
    assert_forwarded(&send(&vm, client.post(&vm, "docs.read"), CALL));
    let wrong = client.proof_with_nonce(&vm, &token, "AAAA");
    let refused = send(&vm, post_with_proof(&token, &wrong), CALL);
    assert_refused(&refused, "hold", 401, "dpop_nonce");
    let right = client.proof_with_nonce(&vm, &token, &nonce(&refused).unwrap());
    assert_forwarded(&send(&vm, post_with_proof(&token, &right), CALL));
}

#[test]
fn a_cluster_nonce_is_good_at_every_envoy_with_the_key() {
    let mut document = nonces("required");
    document["servers"][0]["dpop"]["nonce"]["scope"] = json!("cluster");
    document["dpop_nonce_keys"] = json!([{ "env": "NONCE_KEY" }]);
    let start = |seed, key: [u8; 32]| {
        let builder = Vm::with(HostFlag::StopIteration).seed(seed);
        builder.environment("NONCE_KEY", &STANDARD.encode(key)).start(&document)
    };
    let [here, there, elsewhere] =
        [(1, [1; 32]), (2, [1; 32]), (3, [2; 32])].map(|(seed, key)| start(seed, key).unwrap());
    let client = Client::eddsa(9);
    let given = nonce(&send(&here, client.post(&here, "docs.read"), CALL)).unwrap();
    let call = |vm: &Vm| {
        let token = client.token(vm, "docs.read");
        let proof = client.proof_with_nonce(vm, &token, &given);
        send(vm, post_with_proof(&token, &proof), CALL)
    };
    assert_forwarded(&call(&here));
    assert_forwarded(&call(&there));
    assert_refused(&call(&elsewhere), "hold", 401, "dpop_nonce");
    assert!(start(1, [0; 32]).is_ok());
    let rejected = Vm::start(&document).err().unwrap();
    assert!(rejected.log.iter().any(|line| line.message.contains("NONCE_KEY")));
}

#[test]
fn what_cannot_be_recorded_is_refused_and_good_once_it_can() {
    // The statuses on which the SDK does not trap, where they make a difference.
    for (name, which, status) in [
        // Of the shard. The first read is of the generation of documents.
        ("proxy_get_shared_data", Which::Nth(2), Status::NOT_FOUND),
        ("proxy_get_shared_data", Which::All, Status::NOT_FOUND),
        ("proxy_set_shared_data", Which::All, Status::CAS_MISMATCH),
    ] {
        for (flag, mode) in MODES {
            let vm = Vm::with(flag).start(required(mode)).unwrap();
            let lines = Client::eddsa(9).post(&vm, "docs.read");
            let writes = vm.count_calls("proxy_set_shared_data");
            vm.fail_hostcall(name, which, status);
            let stream = send(&vm, lines.clone(), CALL);
            assert_refused(&stream, "hold", 503, "replay_store_unavailable");
            assert_eq!(stream.downstream().header("retry-after"), Some("5"));
            assert_eq!(vm.metric("countersign.dpop.replay_store_failures"), 1);
            let tried = vm.count_calls("proxy_set_shared_data") - writes;
            assert!(tried <= 8, "{tried} writes");
            vm.heal();
            assert_forwarded(&send(&vm, lines.clone(), CALL));
            assert_refused(&send(&vm, lines, CALL), "hold", 401, "dpop_replay");
        }
    }
}

#[test]
fn a_status_on_which_the_sdk_traps_lets_nothing_through() {
    for name in ["proxy_get_shared_data", "proxy_set_shared_data"] {
        for status in [Status::BAD_ARGUMENT, Status::INTERNAL_FAILURE, Status::UNIMPLEMENTED] {
            for (flag, mode) in MODES {
                let vm = Vm::with(flag).start(required(mode)).unwrap();
                vm.fail_hostcall(name, Which::All, status);
                let stream = send(&vm, Client::eddsa(9).post(&vm, "docs.read"), CALL);
                assert!(vm.take_trap().is_some());
                assert_withheld(&stream, "hold");
                assert_eq!(stream.downstream().status(), Some(503));
            }
        }
    }
}

#[test]
fn lost_races_are_run_again_but_not_for_ever() {
    let [vm, other] = workers(HostFlag::StopIteration, &required("hold"));
    let client = Client::eddsa(9);
    for races in [1, 7] {
        other.lose_races(races);
        assert_forwarded(&send(&vm, client.post(&vm, "docs.read"), CALL));
    }
    let lines = client.post(&vm, "docs.read");
    other.lose_races(8);
    let stream = send(&vm, lines.clone(), CALL);
    assert_refused(&stream, "hold", 503, "replay_store_unavailable");
    assert_forwarded(&send(&vm, lines, CALL));
}

/// Writes that value to every shard of the record.
fn fill_record(vm: &Vm, value: &[u8]) {
    let keys = written_keys(vm);
    let shards: Vec<_> =
        keys.iter().filter(|key| key.starts_with("countersign.dpop.used.")).collect();
    assert_eq!(shards.len(), 8192);
    for shard in shards {
        vm.set_shared_data(shard, value);
    }
}

#[test]
fn a_full_record_refuses_until_its_proofs_have_expired() {
    let vm = start(&required("hold"));
    let client = Client::eddsa(9);
    let now = client.proof_claims(&vm, "")["iat"].as_u64().unwrap();
    let until = u32::try_from(now + 300).unwrap().to_be_bytes();
    let marks = (0..255).map(|mark| [&until[..], &[mark; 12]].concat());
    fill_record(&vm, &[vec![0; 4], marks.flatten().collect()].concat());
    let stream = send(&vm, client.post(&vm, "docs.read"), CALL);
    assert_refused(&stream, "hold", 503, "replay_store_unavailable");
    vm.advance(Duration::from_secs(301));
    let lines = client.post(&vm, "docs.read");
    assert_forwarded(&send(&vm, lines.clone(), CALL));
    assert_refused(&send(&vm, lines, CALL), "hold", 401, "dpop_replay");
}

#[test]
fn a_record_that_others_wrote_into_takes_no_proof() {
    let vm = start(&required("hold"));
    for value in [&b""[..], b"\0", &[0; 5], &[0xff; 21], &[0; 4 + 16 * 256], &[b'x'; 1 << 16]] {
        fill_record(&vm, value);
        let stream = send(&vm, Client::eddsa(9).post(&vm, "docs.read"), CALL);
        assert_refused(&stream, "hold", 503, "replay_store_unavailable");
    }
}

#[test]
fn no_jump_of_the_clock_makes_a_used_proof_good() {
    let vm = start(&required("hold"));
    let client = Client::eddsa(9);
    let mut claims = client.claims(&vm, "docs.read");
    claims["exp"] = json!(claims["exp"].as_u64().unwrap() + 100_000);
    let token = sign("k1", &claims);
    let lines = post_with_proof(&token, &client.proof(&vm, &token));
    assert_forwarded(&send(&vm, lines.clone(), CALL));
    let start = vm.now();
    for (jump, code) in [
        (Duration::from_secs(299), "dpop_replay"),
        (Duration::from_secs(3600), "dpop_iat"),
        (Duration::ZERO, "dpop_replay"),
    ] {
        vm.set_now(start + jump);
        assert_refused(&send(&vm, lines.clone(), CALL), "hold", 401, code);
        // Others are good all the while.
        let proof = client.proof(&vm, &token);
        assert_forwarded(&send(&vm, post_with_proof(&token, &proof), CALL));
    }
    vm.set_now(start - Duration::from_secs(20));
    assert_refused(&send(&vm, lines.clone(), CALL), "hold", 401, "dpop_replay");
    vm.set_now(start - Duration::from_secs(3600));
    assert_refused(&send(&vm, lines, CALL), "hold", 401, "token_issued_in_future");
}

#[test]
fn a_host_without_shared_data_gets_no_configuration_with_proofs() {
    for (name, status) in [
        ("proxy_get_shared_data", Status::NOT_FOUND),
        ("proxy_set_shared_data", Status::CAS_MISMATCH),
    ] {
        let builder = Vm::with(HostFlag::StopIteration).fail_hostcall(name, Which::All, status);
        let rejected = builder.start(required("hold")).err().unwrap();
        assert!(rejected.log.iter().any(|line| line.message.contains("DPoP proofs")), "{name}");
    }
}

#[test]
fn a_new_worker_knows_what_the_others_recorded() {
    let vm = start(&required("hold"));
    let lines = Client::eddsa(9).post(&vm, "docs.read");
    assert_forwarded(&send(&vm, lines.clone(), CALL));
    let late = beside(&vm, HostFlag::StopIteration, &required("hold"));
    assert_refused(&send(&late, lines.clone(), CALL), "hold", 401, "dpop_replay");
    assert!(vm.configure(required("hold")));
    assert_refused(&send(&vm, lines, CALL), "hold", 401, "dpop_replay");
}

#[test]
fn a_proofs_bytes_go_nowhere() {
    let vm = start(&nonces("required"));
    let client = Client::es256();
    let token = client.token(&vm, "docs.read");
    let asked = send(&vm, post_with_proof(&token, &client.proof(&vm, &token)), CALL);
    let given = nonce(&asked).unwrap();
    let proof = client.proof_with_nonce(&vm, &token, &given);
    let other = sign("k9", &claims(&vm, "docs.read"));
    let calls = vm.calls().len();
    for lines in [post_with_proof(&token, &proof), post_with_proof(&other, &proof)] {
        for _ in 0..2 {
            let stream = send(&vm, lines.clone(), CALL);
            stream.finish();
            let told = vm.calls().into_iter().skip(calls).map(|call| call.arguments);
            let logged = vm.log().into_iter().map(|line| line.message);
            let wires = [stream.upstream(), stream.downstream()].map(|wire| format!("{wire:?}"));
            let everything: Vec<_> =
                told.chain(logged).chain([record(&stream).to_string()]).chain(wires).collect();
            for secret in proof.split('.').chain([given.as_str()]) {
                assert!(!everything.iter().any(|text| text.contains(secret)), "{secret}");
            }
        }
    }
}
