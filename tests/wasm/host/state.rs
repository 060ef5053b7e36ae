//! Everything the host knows, as the data of the wasmtime store: hostcalls change
//! it while the module runs, the test reads it afterwards.

use super::shared::SharedData;
use super::wire::{Headers, Wire};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use wasmtime::{StoreLimits, StoreLimitsBuilder};

/// Envoy's limit for the memory of a module, in bytes.
const MEMORY_LIMIT: usize = 1 << 30;

/// A proxy-wasm status, or a WASI `errno` for the WASI calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) u32);

impl Status {
    pub(crate) const OK: Self = Self(0);
    pub(crate) const NOT_FOUND: Self = Self(1);
    pub(crate) const BAD_ARGUMENT: Self = Self(2);
    pub(crate) const INVALID_MEMORY_ACCESS: Self = Self(6);
    pub(crate) const CAS_MISMATCH: Self = Self(8);
    pub(crate) const INTERNAL_FAILURE: Self = Self(10);
    pub(crate) const UNIMPLEMENTED: Self = Self(12);
}

/// What Envoy does with a stream whose header callback pauses
/// (`PluginConfig.allow_on_headers_stop_iteration`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HostFlag {
    /// Off: everything waits, and body callbacks come only after the stream is resumed.
    Default,
    /// On: body callbacks come while the headers are held.
    StopIteration,
}

/// One hostcall the module made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// The import's name, for example `proxy_http_call`.
    pub(crate) name: &'static str,
    /// The effective context.
    pub(crate) context: u32,
    /// The arguments that matter, for people.
    pub(crate) arguments: String,
    /// What the module got.
    pub(crate) status: Status,
}

/// Which of the calls to a hostcall fail, counted from when the fault was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// Only that one; the first is 1.
    Nth(u32),
    /// Every one.
    All,
}

/// An HTTP request the module started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Callout {
    /// The host's token.
    pub(crate) token: u32,
    /// The Envoy cluster.
    pub(crate) cluster: String,
    /// With `:method`, `:path` and `:authority`.
    pub(crate) headers: Headers,
    /// Empty when there is none.
    pub(crate) body: Vec<u8>,
    /// Zero: none.
    pub(crate) timeout: Duration,
}

/// A line the module logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogLine {
    /// 0 trace, 1 debug, 2 info, 3 warn, 4 error, 5 critical.
    pub(crate) level: u32,
    /// The text.
    pub(crate) message: String,
}

/// A callback that did not return.
#[derive(Debug, Clone)]
pub(crate) struct Trapped {
    /// The export that was called.
    pub(crate) callback: String,
    /// The trap with the module's backtrace.
    pub(crate) message: String,
}

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Request,
    Response,
}

/// How far a message has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing has arrived.
    #[default]
    Idle,
    /// Headers are held, nothing else is shown to the module.
    StopAll,
    /// Headers are held, body and trailers are shown to the module.
    StopHeaders,
    /// Headers are gone, and immutable.
    Released,
}

/// One message on its way through the filter.
#[derive(Debug, Default)]
pub(super) struct Half {
    pub(super) headers: Headers,
    pub(super) trailers: Option<Headers>,
    pub(super) progress: Progress,
    /// Body bytes the module has seen or is seeing, and that have not gone out.
    pub(super) buffer: Vec<u8>,
    /// The body that arrived under `StopAll`. An empty one is shown too: it may be the end.
    pub(super) unseen: Option<Vec<u8>>,
    /// Trailers that arrived under `StopAll`.
    pub(super) trailers_unseen: bool,
    /// Body bytes that have arrived.
    pub(super) received: usize,
    /// A body callback is running: the buffer exists even when it is empty.
    pub(super) in_body: bool,
    /// The last byte has arrived.
    pub(super) ended: bool,
    pub(super) out: Wire,
}

/// One HTTP stream.
#[derive(Debug, Default)]
pub(super) struct StreamState {
    pub(super) request: Half,
    pub(super) response: Half,
    /// A local reply was made: the request goes nowhere any more.
    pub(super) closed: bool,
    /// What the test set; wins over what the host computes.
    pub(super) properties: HashMap<String, Vec<u8>>,
    pub(super) code_details: Option<String>,
    /// What the module set.
    pub(super) filter_state: BTreeMap<String, Vec<u8>>,
    /// The access log callback runs: everything is readable, nothing writable.
    pub(super) logging: bool,
}

impl StreamState {
    pub(super) fn half(&mut self, direction: Direction) -> &mut Half {
        match direction {
            Direction::Request => &mut self.request,
            Direction::Response => &mut self.response,
        }
    }
}

/// What a hostcall asked for and Envoy does only after the callback has returned.
#[derive(Debug)]
pub(super) enum Deferred {
    Reply { status: u32, details: String, headers: Headers, body: Vec<u8> },
    Resume(Direction),
    Close,
}

pub(super) struct State {
    pub(super) flag: HostFlag,
    pub(super) now: SystemTime,
    pub(super) random: u64,
    pub(super) native_verification: bool,
    pub(super) native_signing: bool,
    pub(super) plugin_configuration: Vec<u8>,
    pub(super) plugin_name: String,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) tick_period: Duration,
    pub(super) unknown_clusters: HashSet<String>,
    /// The context whose streams and maps hostcalls act on.
    pub(super) effective: u32,
    pub(super) contexts: HashSet<u32>,
    pub(super) streams: HashMap<u32, StreamState>,
    pub(super) deferred: Vec<(u32, Deferred)>,
    pub(super) callouts: Vec<Callout>,
    pub(super) answered: HashSet<u32>,
    pub(super) answer: Option<(Headers, Vec<u8>)>,
    pub(super) metrics: Vec<(u32, String)>,
    pub(super) metric_values: BTreeMap<String, u64>,
    pub(super) shared_data: SharedData,
    pub(super) log: Vec<LogLine>,
    pub(super) calls: Vec<Call>,
    pub(super) faults: Vec<Fault>,
    pub(super) trap: Option<Trapped>,
    pub(super) limits: StoreLimits,
    /// A trap kills the instance; the test may take `trap`, the instance stays dead.
    pub(super) dead: bool,
}

pub(super) struct Fault {
    name: String,
    which: Which,
    status: Status,
    seen: u32,
}

impl State {
    pub(super) fn new(flag: HostFlag) -> Self {
        Self {
            flag,
            // 2026-01-01T00:00:00Z: far from the epoch, and the same in every run.
            now: UNIX_EPOCH + Duration::from_secs(1_767_225_600),
            random: 0,
            native_verification: true,
            native_signing: true,
            plugin_configuration: Vec::new(),
            plugin_name: "countersign".to_owned(),
            environment: BTreeMap::new(),
            tick_period: Duration::ZERO,
            unknown_clusters: HashSet::new(),
            effective: 0,
            contexts: HashSet::new(),
            streams: HashMap::new(),
            deferred: Vec::new(),
            callouts: Vec::new(),
            answered: HashSet::new(),
            answer: None,
            metrics: Vec::new(),
            metric_values: BTreeMap::new(),
            shared_data: SharedData::default(),
            log: Vec::new(),
            calls: Vec::new(),
            faults: Vec::new(),
            limits: StoreLimitsBuilder::new().memory_size(MEMORY_LIMIT).build(),
            trap: None,
            dead: false,
        }
    }

    pub(super) fn add_fault(&mut self, name: &str, which: Which, status: Status) {
        self.faults.push(Fault { name: name.to_owned(), which, status, seen: 0 });
    }

    /// The status an injected fault gives this call.
    pub(super) fn fault(&mut self, name: &str) -> Option<Status> {
        let mut status = None;
        for fault in self.faults.iter_mut().filter(|fault| fault.name == name) {
            fault.seen += 1;
            if fault.which == Which::All || fault.which == Which::Nth(fault.seen) {
                status = Some(fault.status);
            }
        }
        status
    }

    /// Nanoseconds since the epoch.
    pub(super) fn nanoseconds(&self) -> u64 {
        let since = self.now.duration_since(UNIX_EPOCH).expect("a clock after 1970");
        u64::try_from(since.as_nanos()).expect("a clock before 2554")
    }

    /// Deterministic bytes (SplitMix64), different for every call and every seed.
    pub(super) fn random_bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = self.random;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            bytes.extend((word ^ (word >> 31)).to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    pub(super) fn stream(&mut self, id: u32) -> &mut StreamState {
        self.streams.get_mut(&id).expect("a stream of this host")
    }

    /// The stream that hostcalls act on, if the effective context is one.
    pub(super) fn effective_stream(&mut self) -> Option<&mut StreamState> {
        self.streams.get_mut(&self.effective)
    }

    pub(super) fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        let stream = self.streams.get(&self.effective);
        if let Some(value) = stream.and_then(|s| s.properties.get(&path.join("\0"))) {
            return Some(value.clone());
        }
        if let ["plugin_name" | "plugin_root_id"] = path {
            return Some(self.plugin_name.clone().into_bytes());
        }
        if path == ["plugin_vm_id"] {
            return Some(Vec::new());
        }
        let stream = stream?;
        let request = &stream.request;
        let number = |n: usize| Some((n as u64).to_le_bytes().to_vec());
        match path {
            ["source", "address"] => Some(b"127.0.0.1:40000".to_vec()),
            ["request", "path"] => request.headers.bytes(":path").map(<[u8]>::to_vec),
            ["request", "method"] => request.headers.bytes(":method").map(<[u8]>::to_vec),
            ["request", "host"] => request.headers.bytes(":authority").map(<[u8]>::to_vec),
            ["request", "size"] => number(request.received),
            ["request", "total_size"] => number(request.headers.size() + request.received),
            ["response", "code_details"] => stream.code_details.clone().map(String::into_bytes),
            [name] => stream.filter_state.get(*name).cloned(),
            _ => None,
        }
    }
}
