//! JWS in compact serialisation: RFC 7515, RFC 7520, RFC 8037, and Wycheproof's JOSE files.

use super::*;

/// RFC 7515 appendices A and E, RFC 8037 appendix A.4.
pub(super) fn appendices() -> Suite {
    let examples: Vec<Value> = serde_json::from_str(include_str!("rfc7515_rfc8037.json")).unwrap();
    let cases = examples.iter().enumerate().map(|(index, example)| {
        let refused = match example["name"].as_str().unwrap() {
            "RFC 7515 A.1" => Some("HMAC"),
            "RFC 7515 A.5" => Some("unsecured"),
            "RFC 7515 A.6" | "RFC 7515 A.7" => Some("JSON serialisation"),
            _ => None,
        };
        let valid = example["result"] == "valid";
        case(index, &example["keys"], &example["jws"], Expected::new(valid, refused))
    });
    Suite { name: "RFC 7515 and RFC 8037".to_owned(), cases: cases.collect() }
}

/// RFC 7520 section 4, each example in each serialisation it is given in.
pub(super) fn cookbook() -> Option<Suite> {
    let folder = folder("jose-cookbook/jws")?;
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut cases = Vec::new();
    for example in files.iter().map(|file| read(file)) {
        let (keys, algorithms) = (list(&example["input"]["key"]), list(&example["input"]["alg"]));
        let keys: Vec<Value> = keys
            .into_iter()
            .zip(algorithms)
            .map(|(key, algorithm)| with(public(key), "alg", algorithm))
            .collect();
        let keys = json!({ "keys": keys });
        for (serialisation, output) in example["output"].as_object().unwrap() {
            let refused = if serialisation != "compact" {
                Some("JSON serialisation")
            } else if keys["keys"][0]["kty"] == "oct" {
                Some("HMAC")
            } else {
                None
            };
            cases.push(case(cases.len(), &keys, output, Expected::new(true, refused)));
        }
    }
    Some(Suite { name: "RFC 7520".to_owned(), cases })
}

/// `json_web_signature`, `json_web_key` and `json_web_crypto`.
pub(super) fn wycheproof() -> Vec<Suite> {
    let Some(folder) = folder("wycheproof") else { return Vec::new() };
    ["json_web_signature", "json_web_key", "json_web_crypto"]
        .map(|name| {
            let document = read(&folder.join(format!("{name}_test.json")));
            let cases: Vec<Case> =
                document["testGroups"].as_array().unwrap().iter().flat_map(group).collect();
            assert_eq!(document["numberOfTests"], cases.len());
            Suite { name: format!("wycheproof/{name}"), cases }
        })
        .into()
}

fn group(group: &Value) -> Vec<Case> {
    // Groups without a public key are of symmetric algorithms and of encryption.
    let keys = if group["public"].is_null() { &group["private"] } else { &group["public"] };
    let tests = group["tests"].as_array().unwrap();
    let case_of = |test: &Value| {
        let id = test["tcId"].as_u64().unwrap();
        let encrypted = !test["jwe"].is_null();
        let refused = if encrypted { Some("JWE") } else { stricter(id, keys) };
        let expected = Expected::new(test["result"] == "valid", refused);
        case(id, keys, &test[if encrypted { "jwe" } else { "jws" }], expected)
    };
    tests.iter().map(case_of).collect()
}

/// Why a valid JWS is refused on purpose.
fn stricter(id: u64, keys: &Value) -> Option<&'static str> {
    let key = if keys["keys"].is_array() { &keys["keys"][0] } else { keys };
    if key["kty"] == "oct" {
        return Some("HMAC");
    }
    if key["alg"] == "ES521" {
        return Some("unknown algorithm");
    }
    // Of PS256 by its `alg`, and signed with PS384.
    matches!(id, 346 | 350).then_some("another algorithm than the key's")
}

/// A case of this JWS, or of the JSON text that is given in place of one.
fn case(id: impl TryInto<u32>, keys: &Value, jws: &Value, expected: Expected) -> Case {
    let jws = jws.as_str().map_or_else(|| jws.to_string(), str::to_owned);
    let id = id.try_into().ok().unwrap();
    let vector = Vector { id, keys: key_set(keys), signed: Signed::Jws(jws) };
    Case { vector, expected }
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_else(|| vec![value.clone()])
}

/// The public half of a JWK.
fn public(jwk: Value) -> Value {
    ["d", "p", "q", "dp", "dq", "qi"].iter().fold(jwk, |jwk, name| with(jwk, name, Value::Null))
}
