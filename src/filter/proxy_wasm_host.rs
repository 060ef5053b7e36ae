//! The [`Host`] of the core, by proxy-wasm hostcalls.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::SystemTime;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{LogLevel as WasmLogLevel, MetricType};

use crate::host::{
    Callout, CalloutId, Counter, Digest, Host, HostError, LogLevel, NativeVerdict,
    NativeVerification,
};

/// One VM's host.
#[derive(Default)]
pub(super) struct ProxyWasmHost {
    /// Metric ids by counter. A metric is defined when first counted; every definition
    /// of a name makes the host keep one more id, so it is done once.
    metrics: RefCell<HashMap<Counter, u32>>,
    /// Whether the host said that it has no `verify_signature`.
    lacks_verification: Cell<bool>,
}

impl Host for ProxyWasmHost {
    fn now(&self) -> SystemTime {
        hostcalls::get_current_time().unwrap_or(SystemTime::UNIX_EPOCH)
    }

    fn random(&self) -> Result<[u8; 16], HostError> {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits).map_err(|_| HostError)?;
        Ok(bits)
    }

    fn verify_signature(&self, verification: &NativeVerification<'_>) -> NativeVerdict {
        if self.lacks_verification.get() {
            return NativeVerdict::Unsupported;
        }
        let arguments = verify_arguments(verification);
        match hostcalls::call_foreign_function("verify_signature", Some(&arguments)) {
            Ok(Some(result)) if result == VERIFIED => NativeVerdict::Valid,
            Ok(_) => NativeVerdict::Invalid,
            Err(proxy_wasm::types::Status::NotFound) => {
                self.lacks_verification.set(true);
                NativeVerdict::Unsupported
            }
            Err(_) => NativeVerdict::Invalid,
        }
    }

    fn dispatch(&self, callout: &Callout) -> Result<CalloutId, HostError> {
        let headers = vec![
            (":method", callout.method),
            (":scheme", callout.scheme.as_str()),
            (":authority", callout.authority.as_str()),
            (":path", callout.path.as_str()),
            ("accept", "application/json"),
            ("user-agent", "countersign"),
        ];
        hostcalls::dispatch_http_call(&callout.cluster, headers, None, vec![], callout.timeout)
            .map(CalloutId)
            .map_err(|_| HostError)
    }

    fn count(&self, counter: Counter) {
        let known = self.metrics.borrow().get(&counter).copied();
        let id = known.or_else(|| {
            let id = hostcalls::define_metric(MetricType::Counter, &metric_name(counter)).ok()?;
            self.metrics.borrow_mut().insert(counter, id);
            Some(id)
        });
        if let Some(id) = id {
            let _ = hostcalls::increment_metric(id, 1);
        }
    }

    fn log(&self, level: LogLevel, message: &str) {
        let level = match level {
            LogLevel::Info => WasmLogLevel::Info,
            LogLevel::Warn => WasmLogLevel::Warn,
            LogLevel::Error => WasmLogLevel::Error,
            LogLevel::Critical => WasmLogLevel::Critical,
        };
        let _ = hostcalls::log(level, message);
    }
}

/// An attribute of the effective context that is an integer (8 bytes, little endian).
pub(super) fn attribute_number(path: &[&str]) -> Option<u64> {
    let bytes = hostcalls::get_property(path.to_vec()).ok().flatten()?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// An attribute of the effective context that is text.
pub(super) fn attribute_text(path: &[&str]) -> Option<String> {
    let bytes = hostcalls::get_property(path.to_vec()).ok().flatten()?;
    String::from_utf8(bytes).ok()
}

fn metric_name(counter: Counter) -> String {
    match counter {
        Counter::Decision { outcome, code } => format!("countersign.decisions.{outcome}.{code}"),
        Counter::KeyFetchSucceeded => "countersign.key_fetches.succeeded".to_owned(),
        Counter::KeyFetchFailed => "countersign.key_fetches.failed".to_owned(),
        Counter::TokenCacheHit => "countersign.token_cache.hits".to_owned(),
        Counter::TokenCacheMiss => "countersign.token_cache.misses".to_owned(),
        Counter::HostSelfCheckFailed => "countersign.host_self_check.failed".to_owned(),
    }
}

/// `VerifySignatureResult { result: true }` in protobuf's binary form. A failure has
/// an error text instead.
const VERIFIED: [u8; 2] = [0x08, 0x01];

/// Envoy's `VerifySignatureArguments` in protobuf's binary form: hash_function = 1,
/// public_key = 2, signature = 3, text = 4, each length-delimited.
fn verify_arguments(verification: &NativeVerification<'_>) -> Vec<u8> {
    let hash = match verification.digest {
        Digest::Sha256 => "sha256",
        Digest::Sha384 => "sha384",
        Digest::Sha512 => "sha512",
    };
    let fields =
        [hash.as_bytes(), verification.public_key, verification.signature, verification.message];
    let mut message = Vec::with_capacity(fields.iter().map(|f| f.len().saturating_add(6)).sum());
    for (tag, field) in [0x0a, 0x12, 0x1a, 0x22].into_iter().zip(fields) {
        message.push(tag);
        push_varint(&mut message, field.len());
        message.extend_from_slice(field);
    }
    message
}

fn push_varint(message: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        message.push(u8::try_from(value & 0x7f).unwrap_or_default() | 0x80);
        value >>= 7;
    }
    message.push(u8::try_from(value).unwrap_or_default());
}
