//! Published test vectors, verified by the real host and by the module compiled as it is
//! shipped. Only in builds that tests make; see `tests/envoy/vectors.test.mjs`.

use serde::{Deserialize, Serialize};

use crate::host::{Host as _, LogLevel};
use crate::token::vectors::Vector;

use super::proxy_wasm_host::ProxyWasmHost;

/// A configuration that has vectors instead of a policy. Every request is denied under it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Suite {
    name: String,
    test_vectors: Vec<Vector>,
}

/// What is logged.
#[derive(Serialize)]
struct Report {
    suite: String,
    /// Ids of the vectors that verify with the host's cryptography, where it has some.
    native: Vec<u32>,
    /// Ids of those that verify in the module.
    module: Vec<u32>,
    /// Whether the host has `verify_signature`.
    host_verifies: bool,
}

/// Whether the configuration was one with vectors; they are verified then.
pub(super) fn verified(configuration: &[u8], host: &ProxyWasmHost) -> bool {
    let Ok(Suite { name, test_vectors }) = serde_json::from_slice(configuration) else {
        return false;
    };
    let verifying = |host: &ProxyWasmHost| -> Vec<u32> {
        let valid = test_vectors.iter().filter(|vector| vector.verifies(host));
        valid.map(|vector| vector.id).collect()
    };
    let report = Report {
        suite: name,
        native: verifying(host),
        module: verifying(&ProxyWasmHost::without_verification()),
        host_verifies: !host.lacks_verification(),
    };
    let report = serde_json::to_string(&report).unwrap_or_default();
    host.log(LogLevel::Info, &format!("countersign: test vectors: {report}"));
    true
}
