//! The [`Host`] of the core, by proxy-wasm hostcalls.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::SystemTime;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{LogLevel as WasmLogLevel, MetricType, Status};

use crate::host::{
    Callout, CalloutId, Change, Counter, Digest, Gauge, Host, HostError, LogLevel, NativeSigning,
    NativeVerdict, NativeVerification, SharedDataError, SharedValue,
};

/// One VM's host.
#[derive(Default)]
pub(super) struct ProxyWasmHost {
    /// Metric ids by counter. A metric is defined when first counted; every definition
    /// of a name makes the host keep one more id, so it is done once.
    metrics: RefCell<HashMap<Counter, u32>>,
    /// The same for gauges, by name.
    gauges: RefCell<HashMap<String, u32>>,
    /// Whether the host said that it has no `verify_signature`.
    lacks_verification: Cell<bool>,
    /// Random bits the host gave and nobody took yet. A call for many costs what a call for
    /// few does, and every request takes some.
    random: RefCell<Vec<[u8; 16]>>,
}

/// How many random bytes the host is asked for at once: those of 64 requests.
const RANDOM_BYTES: usize = 1024;

#[cfg(feature = "test-faults")]
impl ProxyWasmHost {
    /// The host as if it had no `verify_signature`.
    pub(super) fn without_verification() -> Self {
        ProxyWasmHost { lacks_verification: Cell::new(true), ..ProxyWasmHost::default() }
    }

    pub(super) fn lacks_verification(&self) -> bool {
        self.lacks_verification.get()
    }
}

impl Host for ProxyWasmHost {
    fn now(&self) -> SystemTime {
        hostcalls::get_current_time().unwrap_or(SystemTime::UNIX_EPOCH)
    }

    fn random(&self) -> Result<[u8; 16], HostError> {
        let mut stock = self.random.borrow_mut();
        if stock.is_empty() {
            let mut bytes = [0; RANDOM_BYTES];
            getrandom::fill(&mut bytes).map_err(|_| HostError)?;
            stock.extend(bytes.as_chunks().0);
        }
        stock.pop().ok_or(HostError)
    }

    fn verify_signature(&self, verification: &NativeVerification<'_>) -> NativeVerdict {
        if self.lacks_verification.get() {
            return NativeVerdict::Unsupported;
        }
        let arguments = verify_arguments(verification);
        match hostcalls::call_foreign_function("verify_signature", Some(&arguments)) {
            Ok(Some(result)) if result == VERIFIED => NativeVerdict::Valid,
            Ok(_) => NativeVerdict::Invalid,
            Err(Status::NotFound) => {
                self.lacks_verification.set(true);
                NativeVerdict::Unsupported
            }
            Err(_) => NativeVerdict::Invalid,
        }
    }

    fn sign(&self, signing: &NativeSigning<'_>) -> Result<Vec<u8>, HostError> {
        let hash = hash_name(signing.digest);
        let arguments = protobuf(&[
            (0x0a, hash.as_bytes()),
            (0x12, signing.private_key),
            (0x1a, signing.message),
        ]);
        hostcalls::call_foreign_function("sign", Some(&arguments))
            .ok()
            .flatten()
            .and_then(|result| signature(&result))
            .ok_or(HostError)
    }

    fn shared(&self, key: &str) -> Result<Option<SharedValue>, HostError> {
        match hostcalls::get_shared_data(key) {
            Ok((bytes, Some(version))) => Ok(NonZeroU32::new(version)
                .map(|version| SharedValue { bytes: bytes.unwrap_or_default(), version })),
            Ok((_, None)) | Err(Status::NotFound) => Ok(None),
            Err(_) => Err(HostError),
        }
    }

    fn set_shared(
        &self,
        key: &str,
        value: &[u8],
        version: Option<NonZeroU32>,
    ) -> Result<(), SharedDataError> {
        hostcalls::set_shared_data(key, Some(value), version.map(NonZeroU32::get)).map_err(
            |status| match status {
                Status::CasMismatch => SharedDataError::Conflict,
                _ => SharedDataError::Failed,
            },
        )
    }

    fn dispatch(&self, callout: &Callout) -> Result<CalloutId, HostError> {
        let mut headers = vec![
            (":method", callout.method),
            (":scheme", callout.scheme.as_str()),
            (":authority", callout.authority.as_str()),
            (":path", callout.path.as_str()),
            ("user-agent", "countersign"),
        ];
        headers.extend(callout.headers.iter().map(|(name, value)| (*name, value.as_str())));
        let body = (!callout.body.is_empty()).then_some(callout.body.as_slice());
        hostcalls::dispatch_http_call(&callout.cluster, headers, body, vec![], callout.timeout)
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

    fn adjust(&self, Gauge::CircuitOpen { exchange }: Gauge<'_>, change: Change) {
        let name = format!("countersign.exchange_circuits.open.{exchange}");
        let known = self.gauges.borrow().get(&name).copied();
        let id = known.or_else(|| {
            let id = hostcalls::define_metric(MetricType::Gauge, &name).ok()?;
            self.gauges.borrow_mut().insert(name, id);
            Some(id)
        });
        let offset = match change {
            Change::Up => 1,
            Change::Down => -1,
        };
        if let Some(id) = id {
            let _ = hostcalls::increment_metric(id, offset);
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
        Counter::FetchSucceeded { document } => {
            format!("countersign.fetches.{document}.succeeded")
        }
        Counter::FetchFailed { document } => format!("countersign.fetches.{document}.failed"),
        Counter::StaleUse { document } => format!("countersign.stale_uses.{document}"),
        Counter::IntrospectionSucceeded => "countersign.introspections.succeeded".to_owned(),
        Counter::IntrospectionFailed => "countersign.introspections.failed".to_owned(),
        Counter::IntrospectionCacheHit => "countersign.introspection_cache.hits".to_owned(),
        Counter::ProofReplayed => "countersign.dpop.replays".to_owned(),
        Counter::ReplayStoreFailed => "countersign.dpop.replay_store_failures".to_owned(),
        Counter::TokenCacheHit => "countersign.token_cache.hits".to_owned(),
        Counter::TokenCacheMiss => "countersign.token_cache.misses".to_owned(),
        Counter::ShadowDenial { code } => format!("countersign.shadow.denials.{code}"),
        Counter::Candidate { change } => format!("countersign.candidate.{change}"),
        Counter::RollbackDecision => "countersign.rollback.decisions".to_owned(),
        Counter::RollbackEnded => "countersign.rollback.ended".to_owned(),
        Counter::ExchangeSucceeded => "countersign.exchanges.succeeded".to_owned(),
        Counter::ExchangeFailed { code } => format!("countersign.exchanges.failed.{code}"),
        Counter::ExchangeCacheHit => "countersign.exchange_cache.hits".to_owned(),
        Counter::ExchangeCacheMiss => "countersign.exchange_cache.misses".to_owned(),
        Counter::ExchangeRefreshed => "countersign.exchanges.refreshed".to_owned(),
        Counter::ExchangeCircuitOpened => "countersign.exchange_circuits.opened".to_owned(),
        Counter::HostSelfCheckFailed => "countersign.host_self_check.failed".to_owned(),
    }
}

/// `VerifySignatureResult { result: true }` in protobuf's binary form. A failure has
/// an error text instead.
const VERIFIED: [u8; 2] = [0x08, 0x01];

/// Envoy's `VerifySignatureArguments`: hash_function = 1, public_key = 2, signature = 3,
/// text = 4.
fn verify_arguments(verification: &NativeVerification<'_>) -> Vec<u8> {
    protobuf(&[
        (0x0a, hash_name(verification.digest).as_bytes()),
        (0x12, verification.public_key),
        (0x1a, verification.signature),
        (0x22, verification.message),
    ])
}

/// The signature of Envoy's `SignResult`: result = 1 (bool), signature = 2, error = 3.
fn signature(result: &[u8]) -> Option<Vec<u8>> {
    let (&[0x08, 0x01, 0x12], rest) = result.split_first_chunk()? else { return None };
    let (length, signature) = varint(rest)?;
    (signature.len() == length).then(|| signature.to_vec())
}

fn hash_name(digest: Digest) -> &'static str {
    match digest {
        Digest::Sha256 => "sha256",
        Digest::Sha384 => "sha384",
        Digest::Sha512 => "sha512",
    }
}

/// Length-delimited fields in protobuf's binary form, each with its tag.
fn protobuf(fields: &[(u8, &[u8])]) -> Vec<u8> {
    let size = fields.iter().map(|(_, field)| field.len().saturating_add(6)).sum();
    let mut message = Vec::with_capacity(size);
    for (tag, field) in fields {
        message.push(*tag);
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

/// A length of at most two bytes, which covers every signature, and what follows it.
fn varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match bytes {
        [low @ 0..=0x7f, rest @ ..] => Some((usize::from(*low), rest)),
        [low, high @ 0..=0x7f, rest @ ..] => {
            Some((usize::from(low & 0x7f) | (usize::from(*high) << 7), rest))
        }
        _ => None,
    }
}
