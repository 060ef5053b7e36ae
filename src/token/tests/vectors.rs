//! Published test vectors: every case verified in the module and by a host, and counted.
//!
//! They sign text that is no JWT, so they exercise encoding, header, key set and
//! signature, without claims. `tests/envoy/vectors.test.mjs` gives the same ones to the
//! module in a real Envoy.

mod jose;
mod primitives;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::support::*;
use crate::host::Host;
use crate::host::fake::FakeHost;
use crate::token::KeySet;
use crate::token::vectors::{Signed, Vector};

/// What somebody published in one place.
struct Suite {
    name: String,
    cases: Vec<Case>,
}

struct Case {
    vector: Vector,
    expected: Expected,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// Valid by its publisher.
    Valid,
    /// Invalid by its publisher.
    Invalid,
    /// Not invalid by its publisher, and of a kind we refuse on purpose.
    Refused(&'static str),
}

impl Expected {
    /// `refused` says why we refuse such a case even if it is valid.
    fn new(valid: bool, refused: Option<&'static str>) -> Self {
        match (valid, refused) {
            (false, _) => Self::Invalid,
            (true, None) => Self::Valid,
            (true, Some(reason)) => Self::Refused(reason),
        }
    }
}

impl Suite {
    /// Ids of the cases that are not as expected.
    fn surprises(&self, host: &dyn Host) -> Vec<u32> {
        let unexpected =
            |case: &&Case| case.vector.verifies(host) != (case.expected == Expected::Valid);
        self.cases.iter().filter(unexpected).map(|case| case.vector.id).collect()
    }

    fn count(&self, expected: Expected) -> usize {
        self.cases.iter().filter(|case| case.expected == expected).count()
    }

    /// `n refused on purpose (reason n, ...)`
    fn refusals(&self) -> String {
        let mut reasons = BTreeMap::<&str, usize>::new();
        for case in &self.cases {
            if let Expected::Refused(reason) = case.expected {
                *reasons.entry(reason).or_default() += 1;
            }
        }
        let total: usize = reasons.values().sum();
        let listed: Vec<String> =
            reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        if total == 0 {
            "0 refused on purpose".to_owned()
        } else {
            format!("{total} refused on purpose ({})", listed.join(", "))
        }
    }
}

/// Runs all cases on both paths and says how many there were.
fn run(suites: &[Suite]) {
    for suite in suites {
        let (module, native) = (FakeHost::new(), NativeHost(FakeHost::new()));
        let surprises = (suite.surprises(&module), suite.surprises(&native));
        assert_eq!(surprises, (vec![], vec![]), "{}: (module, native)", suite.name);
        let total = suite.cases.len();
        say(&format!(
            "{}: {total} cases, {} valid, {} invalid, {}; module {total} as expected, native \
             {total} as expected ({} by the host)",
            suite.name,
            suite.count(Expected::Valid),
            suite.count(Expected::Invalid),
            suite.refusals(),
            native.0.verifications.get(),
        ));
    }
}

#[expect(clippy::print_stderr, reason = "counts belong in the test log")]
fn say(message: &str) {
    eprintln!("vectors: {message}");
}

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
    say(&format!("NOT RUN: {part}, there is no {}; set VECTORS", folder.display()));
    None
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The JWK Set of one key, or the set that is given.
fn key_set(keys: &Value) -> Box<serde_json::value::RawValue> {
    let set = if keys["keys"].is_array() { keys.clone() } else { json!({ "keys": [keys] }) };
    serde_json::value::to_raw_value(&set).unwrap()
}

#[test]
fn rfc7515_and_rfc8037_appendices() {
    run(&[jose::appendices()]);
}

#[test]
fn rfc7520_signatures() {
    run(jose::cookbook().as_slice());
}

#[test]
fn wycheproof_json_web_signature_key_and_crypto() {
    run(&jose::wycheproof());
}

#[test]
fn wycheproof_ecdsa() {
    run(&primitives::ecdsa());
}

#[test]
fn wycheproof_rsassa_pkcs1_v1_5() {
    run(&primitives::rsa_pkcs1());
}

#[test]
fn wycheproof_rsassa_pss() {
    run(&primitives::rsa_pss());
}

#[test]
fn wycheproof_eddsa() {
    run(&primitives::eddsa());
}

#[test]
fn rfc8037_a_6_x25519_is_no_signature_key() {
    let bob = json!({
        "kty": "OKP", "crv": "X25519", "kid": "Bob",
        "x": "3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08",
    });
    assert!(KeySet::parse(&jwks(&[bob]), &ALL).is_err());
}

/// RFC 7520 section 3: public keys are used, private and symmetric ones are not.
#[test]
fn rfc7520_3_keys() {
    let Some(folder) = folder("jose-cookbook/jwk") else { return };
    for (file, usable) in [
        ("3_1.ec_public_key.json", true),
        ("3_2.ec_private_key.json", false),
        ("3_3.rsa_public_key.json", true),
        ("3_4.rsa_private_key.json", false),
        ("3_5.symmetric_key_mac_computation.json", false),
        ("3_6.symmetric_key_encryption.json", false),
    ] {
        let jwk = read(&folder.join(file));
        assert_eq!(KeySet::parse(&jwks(&[jwk]), &ALL).is_ok(), usable, "{file}");
    }
}

/// Writes all suites for `tests/envoy/vectors.test.mjs`.
#[test]
#[ignore = "writes the file `make test-envoy` reads"]
fn write_for_envoy() {
    let suites: Vec<Suite> = [jose::appendices()]
        .into_iter()
        .chain(jose::cookbook())
        .chain(jose::wycheproof())
        .chain(primitives::ecdsa())
        .chain(primitives::rsa_pkcs1())
        .chain(primitives::rsa_pss())
        .chain(primitives::eddsa())
        .collect();
    let document: Vec<Value> = suites
        .iter()
        .map(|suite| {
            let valid = suite.cases.iter().filter(|case| case.expected == Expected::Valid);
            let native = NativeHost(FakeHost::new());
            assert!(suite.surprises(&native).is_empty());
            json!({
                "name": suite.name,
                "vectors": suite.cases.iter().map(|case| &case.vector).collect::<Vec<_>>(),
                "verify": valid.map(|case| case.vector.id).collect::<Vec<_>>(),
                "invalid": suite.count(Expected::Invalid),
                "refusals": suite.refusals(),
                "by_host": native.0.verifications.get(),
            })
        })
        .collect();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/vectors.json");
    std::fs::write(file, serde_json::to_vec(&document).unwrap()).unwrap();
}
