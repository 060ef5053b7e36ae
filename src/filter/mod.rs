//! The shell: proxy-wasm callbacks in, the gate's effects out. It decides nothing.
//!
//! Only this folder knows the host's SDK. The SDK's calls return errors for what the
//! host may answer and trap for what it never should; a trap denies (Envoy:
//! `FAIL_RELOAD`, 503). The calls that trap on a refusal the host does make, such as
//! changing headers that have gone, are avoided by the gate's states.

mod effects;
mod proxy_wasm_host;
#[cfg(feature = "test-faults")]
mod vectors;
mod waiting;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, BufferType, ContextType, LogLevel, MapType};

use crate::config;
use crate::gate::{Buffer, Effects, Event, Gate, Headers, HostMode, Wait, Wake, Worker};
use crate::host::{CalloutAnswer, CalloutId, Host as _};
use crate::token::PeerConnection;
use effects::{HostBuffer, Phase, apply};
use proxy_wasm_host::{ProxyWasmHost, attribute_number, attribute_text};
use waiting::Waiting;

/// How often a worker looks at refreshes and waiting streams when nothing is urgent.
const IDLE_TICK: Duration = Duration::from_secs(1);

/// How often while requests wait: how soon a worker sees what another one fetched.
const BUSY_TICK: Duration = Duration::from_millis(10);

/// When the first tick comes after a request began to wait. Only a tick can start a
/// fetch that outlives the stream that wants it.
const URGENT_TICK: Duration = Duration::from_millis(1);

/// Largest answer to a callout that is read, in bytes. The host buffers any size.
const MAX_CALLOUT_ANSWER: usize = 256 * 1024;

/// Called once by the host: hands it the root context.
pub(crate) fn start() {
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(Root::new()) });
}

/// What the root context and the streams of one VM share.
struct Shared {
    host: ProxyWasmHost,
    worker: RefCell<Rc<RefCell<Worker>>>,
    waiting: Waiting,
    /// The period in force; zero for none.
    tick: Cell<Duration>,
}

/// One stream: its gate, and the worker state its request arrived under.
struct Stream {
    gate: RefCell<Gate>,
    worker: RefCell<Rc<RefCell<Worker>>>,
    /// Whether it is in [`Shared::waiting`].
    waits: Cell<bool>,
}

struct Root {
    shared: Rc<Shared>,
}

struct Http {
    context_id: u32,
    shared: Rc<Shared>,
    stream: Rc<Stream>,
}

impl Root {
    fn new() -> Self {
        Root {
            shared: Rc::new(Shared {
                host: ProxyWasmHost::default(),
                worker: RefCell::new(Rc::new(RefCell::new(Worker::deny_all()))),
                waiting: Waiting::default(),
                tick: Cell::default(),
            }),
        }
    }

    fn configure(&self) -> bool {
        let host = &self.shared.host;
        let Ok(Some(document)) = hostcalls::get_buffer(
            BufferType::PluginConfiguration,
            0,
            usize::try_from(i32::MAX).unwrap_or(usize::MAX),
        ) else {
            host.log(crate::host::LogLevel::Error, "countersign: there is no configuration");
            return false;
        };
        #[cfg(feature = "test-faults")]
        if vectors::verified(&document, host) {
            return true;
        }
        match config::load(&document, &config::Secrets::from_environment()) {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    host.log(
                        crate::host::LogLevel::Warn,
                        &format!("countersign: configuration: {warning}"),
                    );
                }
                let config::Loaded {
                    enforcement,
                    issuers,
                    workload_identity,
                    nonce_keys,
                    version,
                    ..
                } = loaded;
                let mut worker =
                    Worker::new(enforcement, issuers, workload_identity, nonce_keys, &version);
                if worker.prepare(host).is_err() {
                    let message = "countersign: configuration rejected: it takes DPoP proofs, and \
                                   this host has no shared data to record their use";
                    host.log(crate::host::LogLevel::Error, message);
                    return false;
                }
                self.shared.replace_worker(worker);
                self.shared.tick_every(BUSY_TICK);
                true
            }
            Err(error) => {
                host.log(
                    crate::host::LogLevel::Error,
                    &format!("countersign: configuration rejected: {error}"),
                );
                false
            }
        }
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body: usize, _: usize) {
        #[cfg(feature = "test-faults")]
        trap_if_asked(body);
        let answer = callout_answer(headers, body);
        let shared = &self.shared;
        let worker = shared.current_worker();
        let settled = worker.borrow_mut().on_callout(CalloutId(token), &answer, &shared.host);
        shared.wake(&settled);
    }

    /// The host gives a changed configuration a root context of its own, and ends this one after
    /// its last stream.
    fn on_done(&mut self) -> bool {
        let shared = &self.shared;
        shared.current_worker().borrow_mut().retire(&shared.host);
        true
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        self.configure()
    }

    fn on_tick(&mut self) {
        let shared = &self.shared;
        let worker = shared.current_worker();
        let settled = worker.borrow_mut().on_tick(&shared.host);
        shared.wake(&settled);
        shared.check_holds();
        let busy = shared.waiting.any_for_a_fetch();
        shared.tick_every(if busy { BUSY_TICK } else { IDLE_TICK });
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, context_id: u32) -> Option<Box<dyn HttpContext>> {
        let stream = Rc::new(Stream {
            gate: RefCell::new(Gate::new()),
            worker: RefCell::new(self.shared.current_worker()),
            waits: Cell::new(false),
        });
        Some(Box::new(Http { context_id, shared: Rc::clone(&self.shared), stream }))
    }
}

impl Shared {
    fn current_worker(&self) -> Rc<RefCell<Worker>> {
        Rc::clone(&self.worker.borrow())
    }

    /// Puts a new configuration in force. Streams that arrived under the old one keep
    /// it; those that wait for its keys, its issuers' word or a credential are denied, as nobody
    /// fetches these any more.
    fn replace_worker(&self, worker: Worker) {
        let replaced = self.worker.replace(Rc::new(RefCell::new(worker)));
        replaced.borrow_mut().retire(&self.host);
        for (context_id, stream) in self.waiting.for_fetches() {
            self.resume(context_id, &stream, Event::Abandoned);
        }
    }

    /// Tells the streams that wait for any of these.
    fn wake(&self, settled: &[Wait]) {
        if settled.is_empty() {
            return;
        }
        for (context_id, stream) in self.waiting.for_fetches() {
            let awaited = stream.gate.borrow().awaits();
            if awaited.is_some_and(|wait| settled.contains(&wait)) {
                let body = HostBuffer::request(None);
                self.resume(context_id, &stream, Event::Settled { body: &body });
            }
        }
    }

    fn check_holds(&self) {
        for (context_id, stream) in self.waiting.for_hold_checks() {
            if hostcalls::set_effective_context(context_id).is_ok() {
                let received = attribute_number(&["request", "total_size"]);
                self.resume(context_id, &stream, Event::HoldCheck { received });
            }
        }
    }

    /// Delivers an event to a stream that is not the one of the current callback.
    fn resume(&self, context_id: u32, stream: &Rc<Stream>, event: Event<'_>) {
        if hostcalls::set_effective_context(context_id).is_ok() {
            self.deliver(context_id, stream, event, Phase::Resumed);
        }
    }

    fn deliver(
        &self,
        context_id: u32,
        stream: &Rc<Stream>,
        event: Event<'_>,
        phase: Phase,
    ) -> Action {
        let room = stream.gate.borrow().awaits().is_some() || self.waiting.has_room();
        let mut effects = stream.on(event, room, &self.host);
        let awaits_fetch = matches!(effects.wake, Some(Wake::Settled(_)));
        if awaits_fetch && !Rc::ptr_eq(&stream.worker.borrow(), &self.worker.borrow()) {
            // Its configuration was replaced before it asked anybody.
            effects = stream.on(Event::Abandoned, room, &self.host);
        }
        if stream.waits.get() || effects.wake.is_some() {
            stream.waits.set(self.waiting.update(context_id, stream));
        }
        if matches!(effects.wake, Some(Wake::Settled(_))) {
            self.tick_every(URGENT_TICK);
        }
        apply(effects, phase)
    }

    /// Setting a period starts it anew, so the one in force is left alone: requests that
    /// come faster than it would otherwise put the next tick off.
    fn tick_every(&self, period: Duration) {
        if self.tick.replace(period) != period {
            // The host accepts any period; should it not, fetches come with the next tick.
            let _ = hostcalls::set_tick_period(period);
        }
    }
}

impl Stream {
    fn on(&self, event: Event<'_>, may_wait: bool, host: &ProxyWasmHost) -> Effects {
        let worker = Rc::clone(&self.worker.borrow());
        let mut worker = worker.borrow_mut();
        worker.set_may_wait(may_wait);
        self.gate.borrow_mut().on(event, &mut worker, host)
    }
}

impl Http {
    fn deliver(&self, event: Event<'_>, phase: Phase) -> Action {
        self.shared.deliver(self.context_id, &self.stream, event, phase)
    }
}

/// The host deleted the stream.
impl Drop for Http {
    fn drop(&mut self) {
        self.shared.waiting.forget(self.context_id);
    }
}

impl Context for Http {}

impl HttpContext for Http {
    fn on_http_request_headers(&mut self, _: usize, end: bool) -> Action {
        let worker = self.shared.current_worker();
        let hold = worker.borrow().host_mode() == HostMode::Hold;
        self.stream.worker.replace(worker);
        let event = Event::RequestHeaders {
            headers: headers(MapType::HttpRequestHeaders),
            end,
            source: attribute_text(&["source", "address"]),
            received: if hold { attribute_number(&["request", "total_size"]) } else { None },
            peer: &peer,
        };
        self.deliver(event, Phase::RequestHeaders)
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        let body = HostBuffer::request(Some(size));
        self.deliver(Event::RequestBody { body: &body, end }, Phase::RequestBody)
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        let body = HostBuffer::request(None);
        let names = headers(MapType::HttpRequestTrailers).names().map(str::to_owned).collect();
        self.deliver(Event::RequestTrailers { names, body: &body }, Phase::RequestTrailers)
    }

    fn on_http_response_headers(&mut self, _: usize, end: bool) -> Action {
        let event = Event::ResponseHeaders {
            headers: headers(MapType::HttpResponseHeaders),
            end,
            // Where the host does not tell, it is filtered like the server's.
            from_upstream: &|| {
                attribute_text(&["response", "code_details"])
                    .is_none_or(|details| details == "via_upstream")
            },
        };
        self.deliver(event, Phase::ResponseHeaders)
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        let body = HostBuffer::response(Some(size));
        self.deliver(Event::ResponseBody { body: &body, end }, Phase::ResponseBody)
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        let body = HostBuffer::response(None);
        self.deliver(Event::ResponseTrailers { body: &body }, Phase::ResponseTrailers)
    }

    fn on_log(&mut self) {
        let effects = self.stream.on(Event::Done, false, &self.shared.host);
        if let Some(record) = effects.record {
            // Readable in access logs as %FILTER_STATE(wasm.countersign.audit:PLAIN)%.
            let _ = hostcalls::set_property(vec!["countersign.audit"], Some(record.as_bytes()));
            let worker = Rc::clone(&self.stream.worker.borrow());
            if worker.borrow().logs_records() {
                let _ = hostcalls::log(LogLevel::Info, &record);
            }
        }
    }
}

/// Who is at the other end of the effective context's connection.
fn peer() -> PeerConnection {
    PeerConnection {
        certificate_sha256_hex: attribute_text(&["connection", "sha256_peer_certificate_digest"]),
        uri_san: attribute_text(&["connection", "uri_san_peer_certificate"]),
    }
}

fn headers(map: MapType) -> Headers {
    Headers::new(hostcalls::get_map_bytes(map).unwrap_or_default())
}

/// A callout that failed without an answer has no headers.
fn callout_answer(headers: usize, body: usize) -> CalloutAnswer {
    let headers = if headers == 0 {
        Vec::new()
    } else {
        hostcalls::get_map_bytes(MapType::HttpCallResponseHeaders).unwrap_or_default()
    };
    let body = match body {
        0 => Some(Vec::new()),
        size if size <= MAX_CALLOUT_ANSWER => HostBuffer::callout(size).read(),
        _ => None,
    };
    let answer = CalloutAnswer { status: None, headers, body };
    let status = answer.header(":status").and_then(|status| status.parse().ok());
    CalloutAnswer { status, ..answer }
}

/// A trap in a callout callback, for the test that shows what the host makes of it.
#[cfg(feature = "test-faults")]
fn trap_if_asked(body: usize) {
    if HostBuffer::callout(body).read().as_deref() == Some(b"trap") {
        std::process::abort();
    }
}
