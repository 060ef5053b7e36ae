//! Published test vectors: RFC 7520 and Wycheproof. They sign text that is no JWT, so
//! they exercise encoding, header, key set and signature, without claims.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use super::support::*;
use crate::host::Host;
use crate::host::fake::FakeHost;
use crate::token::jws::verify_compact;
use crate::token::{Algorithm, KeySet};

/// The vectors' folder: `VECTORS`, or the usual place beside the repository.
fn folder(part: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("VECTORS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors"),
        PathBuf::from,
    );
    let folder = folder.join(part);
    if folder.is_dir() {
        return Some(folder);
    }
    say(&format!("NOT RUN: no vectors at {}; set VECTORS", folder.display()));
    None
}

#[expect(clippy::print_stderr, reason = "counts belong in the test log")]
fn say(message: &str) {
    eprintln!("vectors: {message}");
}

fn read(path: PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn verifies(jws: &str, jwk: &Value, host: &dyn Host) -> bool {
    KeySet::parse(&jwks(std::slice::from_ref(jwk)), &ALL)
        .is_ok_and(|keys| verify_compact(jws, &keys, host).is_ok())
}

/// The public half of a JWK.
fn public(jwk: &Value) -> Value {
    ["d", "p", "q", "dp", "dq", "qi"]
        .iter()
        .fold(jwk.clone(), |jwk, name| with(jwk, name, Value::Null))
}

fn hosts() -> [Box<dyn Host>; 2] {
    [Box::new(FakeHost::new()), Box::new(NativeHost(FakeHost::new()))]
}

#[test]
fn rfc7520_signatures() {
    let Some(folder) = folder("jose-cookbook/jws") else { return };
    let files =
        ["4_1.rsa_v15_signature.json", "4_2.rsa-pss_signature.json", "4_3.ecdsa_signature.json"];
    for file in files {
        let example = read(folder.join(file));
        let algorithm = example["input"]["alg"].as_str().and_then(Algorithm::parse).unwrap();
        let jwk = with(public(&example["input"]["key"]), "alg", algorithm.as_str().into());
        let jws = example["output"]["compact"].as_str().unwrap();
        for host in hosts() {
            assert!(verifies(jws, &jwk, host.as_ref()), "{file}");
            assert!(!verifies(&jws.replacen(".S", ".T", 1), &jwk, host.as_ref()), "{file}");
        }
    }
    say(&format!("RFC 7520: {} examples", files.len()));
}

#[test]
fn wycheproof_json_web_signature() {
    let Some(folder) = folder("wycheproof") else { return };
    let document = read(folder.join("json_web_signature_test.json"));
    let mut unexplained = Vec::new();
    let mut counts = BTreeMap::<&str, usize>::new();
    for group in document["testGroups"].as_array().unwrap() {
        for test in group["tests"].as_array().unwrap() {
            let id = test["tcId"].as_u64().unwrap();
            // Groups without a public key are of symmetric algorithms: none may verify.
            let key = if group["public"].is_null() { &group["private"] } else { &group["public"] };
            // Some cases are the JSON serialisation, which is no string.
            let jws = test["jws"].as_str().unwrap_or_default();
            let valid = test["result"] == "valid";
            for host in hosts() {
                let accepted = verifies(jws, key, host.as_ref());
                let verdict = match (valid, accepted) {
                    (true, true) => "accepted as valid",
                    (false, false) => "refused as invalid",
                    (true, false) if stricter(id, key) => "refused by our stricter rules",
                    _ => {
                        unexplained.push((id, accepted));
                        continue;
                    }
                };
                *counts.entry(verdict).or_default() += 1;
            }
        }
    }
    assert!(unexplained.is_empty(), "(case, accepted): {unexplained:?}");
    let ran: usize = counts.values().sum();
    assert_eq!(ran, 2 * 401, "cases of the file, in the module and by the host");
    say(&format!("Wycheproof JWS, twice each: {counts:?}"));
}

/// Whether a valid case is refused on purpose: its key is symmetric, names an algorithm
/// that does not exist, or (346, 350) is of PS256 by its `alg` but signed with PS384.
fn stricter(id: u64, key: &Value) -> bool {
    key["kty"] == "oct" || key["alg"] == "ES521" || matches!(id, 346 | 350)
}
