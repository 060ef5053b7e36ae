//! An in-process host for the compiled module: what Envoy 1.40 does, without Envoy.
//!
//! The host speaks proxy-wasm ABI 0.2.1 and imitates Envoy's filter manager (what is
//! held, what goes out, when), so that a test sees what would have reached the MCP
//! server and the client. The test owns everything else: the clock, randomness, the
//! answers to callouts, properties, and the failure of any hostcall.
//!
//! ```ignore
//! let vm = Vm::with(HostFlag::StopIteration).start(config).unwrap();
//! let call = vm.stream();
//! call.request_headers([(":method", "POST"), (":path", "/mcp")], false);
//! assert_eq!(call.request_body(b"{}", true), Outcome::Replied);
//! assert!(call.upstream().is_empty());
//! assert_eq!(call.downstream().status(), Some(401));
//! ```

mod hostcalls;
mod native;
mod shared;
mod state;
mod stream;
mod wasi;
mod wire;

pub(crate) use state::{Call, Callout, HostFlag, LogLine, Status, Trapped, Which};
pub(crate) use stream::{Callback, Outcome, Stream};
pub(crate) use wire::{Event, Headers, Wire};

use state::State;
use std::cell::{Ref, RefCell, RefMut};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{LazyLock, OnceLock};
use std::time::{Duration, SystemTime};
use wasmtime::{Config, Engine, Instance, Linker, Module, Store, WasmParams, WasmResults};

/// The root context; streams count on from here.
const ROOT: u32 = 1;

/// Instructions one callback may run, about a second's worth and far more than the
/// slowest signature: a callback that never returns would stop an Envoy worker, so
/// here it traps.
const LONGEST_CALLBACK: u64 = 1_000_000_000;

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let mut config = Config::new();
    config.consume_fuel(true);
    Engine::new(&config).expect("a valid configuration")
});

/// The artefact, compiled once per process: `COUNTERSIGN_WASM`, or where cargo puts it.
fn artefact() -> &'static Module {
    static MODULE: OnceLock<Module> = OnceLock::new();
    MODULE.get_or_init(|| {
        let default = "target/wasm32-wasip1/release/countersign.wasm";
        let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(default);
        let path = std::env::var_os("COUNTERSIGN_WASM").map_or_else(default, PathBuf::from);
        let bytes = std::fs::read(&path)
            .unwrap_or_else(|error| panic!("{}: {error}; build the module first", path.display()));
        Module::new(&ENGINE, bytes).expect("a valid module")
    })
}

/// A plugin configuration the module did not take.
#[derive(Debug)]
pub(crate) struct ConfigRejected {
    /// What it logged, which is all an operator gets.
    pub(crate) log: Vec<LogLine>,
}

/// Settings that must stand before the module starts.
pub(crate) struct Builder {
    module: Module,
    state: State,
}

impl Builder {
    /// Seeds `random_get`; two hosts with one seed give the same bytes.
    pub(crate) fn seed(mut self, seed: u64) -> Self {
        self.state.random = seed;
        self
    }

    /// Sets the wall clock.
    pub(crate) fn now(mut self, now: SystemTime) -> Self {
        self.state.now = now;
        self
    }

    /// See [`Vm::set_native_verification`].
    pub(crate) fn native_verification(mut self, on: bool) -> Self {
        self.state.native_verification = on;
        self
    }

    /// Makes it another worker of the process that `vm` is of: it shares its data, and
    /// draws other random bytes.
    pub(crate) fn beside(mut self, vm: &Vm) -> Self {
        self.state.shared_data = vm.peek().shared_data.clone();
        let seed = self.state.shared_data.sharers() as u64;
        self.seed(seed)
    }

    /// Sets an environment variable (Envoy: `vm_config.environment_variables`).
    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.state.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// See [`Vm::fail_hostcall`].
    pub(crate) fn fail_hostcall(mut self, name: &str, which: Which, status: Status) -> Self {
        self.state.add_fault(name, which, status);
        self
    }

    /// Callouts to this cluster are refused, as Envoy refuses a cluster it has not got.
    pub(crate) fn without_cluster(mut self, cluster: &str) -> Self {
        self.state.unknown_clusters.insert(cluster.to_owned());
        self
    }

    /// Instantiates, creates the root context, starts and configures it.
    ///
    /// # Errors
    /// [`ConfigRejected`] when `proxy_on_vm_start` or `proxy_on_configure` returned
    /// false or trapped. Envoy then keeps the previous configuration.
    pub(crate) fn start(self, configuration: impl ToString) -> Result<Vm, ConfigRejected> {
        let (vm, started) = self.begin();
        if started && vm.configure(configuration) {
            return Ok(vm);
        }
        let mut inner = vm.inner();
        inner.state().trap = None;
        Err(ConfigRejected { log: std::mem::take(&mut inner.state().log) })
    }

    /// Starts a root context that never gets a configuration, as a host that serves
    /// on in spite of a rejected first one.
    pub(crate) fn start_unconfigured(self) -> Vm {
        let (vm, started) = self.begin();
        assert!(started, "the module did not start");
        vm
    }

    fn begin(self) -> (Vm, bool) {
        let mut store = Store::new(&ENGINE, self.state);
        store.limiter(|state| &mut state.limits);
        store.set_fuel(LONGEST_CALLBACK).unwrap();
        let mut linker = Linker::new(&ENGINE);
        hostcalls::link(&mut linker).unwrap();
        wasi::link(&mut linker).unwrap();
        // gRPC, queues and files: not imitated, and the filter must not use them.
        linker.define_unknown_imports_as_traps(&self.module).unwrap();
        let instance = linker.instantiate(&mut store, &self.module).expect("instantiation");
        let vm = Vm(Rc::new(RefCell::new(Inner { store, instance, next: ROOT + 1 })));
        let mut inner = vm.inner();
        inner.state().contexts.insert(ROOT);
        let started = (|| {
            inner.call::<(), ()>("_initialize", ROOT, ())?;
            inner.call::<_, ()>("proxy_on_context_create", ROOT, (ROOT, 0))?;
            inner.call::<_, u32>("proxy_on_vm_start", ROOT, (ROOT, 0))
        })();
        drop(inner);
        (vm, started.is_some_and(|started| started != 0))
    }
}

/// One running instance of the module with one plugin: one Envoy worker.
///
/// Dropping a `Vm` whose module trapped fails the test, unless the test has asked for
/// the trap with [`Vm::take_trap`].
#[derive(Clone)]
pub(crate) struct Vm(Rc<RefCell<Inner>>);

impl Vm {
    /// Prepares a host with that flag.
    pub(crate) fn with(flag: HostFlag) -> Builder {
        Builder { module: artefact().clone(), state: State::new(flag) }
    }

    /// Prepares a host for a module other than the artefact, which need not exist.
    pub(crate) fn with_module(flag: HostFlag, bytes: &[u8]) -> Builder {
        let module = Module::new(&ENGINE, bytes).expect("a valid module");
        Builder { module, state: State::new(flag) }
    }

    /// Starts with the default flag.
    ///
    /// # Errors
    /// See [`Builder::start`].
    pub(crate) fn start(configuration: impl ToString) -> Result<Self, ConfigRejected> {
        Self::with(HostFlag::Default).start(configuration)
    }

    /// Configures the running root context again. Envoy makes a new root context for a
    /// new configuration; the ABI allows this, so the module must survive it.
    pub(crate) fn configure(&self, configuration: impl ToString) -> bool {
        let mut inner = self.inner();
        inner.state().plugin_configuration = configuration.to_string().into_bytes();
        let size = u32::try_from(inner.state().plugin_configuration.len()).unwrap();
        let configured = inner.call::<_, u32>("proxy_on_configure", ROOT, (ROOT, size));
        inner.run_deferred(None);
        configured.unwrap_or(0) != 0
    }

    /// Ends the root context, as Envoy does with that of a configuration that was replaced, once
    /// its last stream is gone.
    pub(crate) fn end(&self) {
        let mut inner = self.inner();
        let done = inner.call::<_, u32>("proxy_on_done", ROOT, ROOT);
        assert_eq!(done, Some(1), "nothing keeps it");
        inner.call::<_, ()>("proxy_on_delete", ROOT, ROOT);
    }

    /// Moves the clock. Nothing runs by itself: see [`Vm::tick`].
    pub(crate) fn advance(&self, by: Duration) {
        self.inner().state().now += by;
    }

    /// Sets the clock, also back.
    pub(crate) fn set_now(&self, now: SystemTime) {
        self.inner().state().now = now;
    }

    /// The clock.
    pub(crate) fn now(&self) -> SystemTime {
        self.peek().now
    }

    /// Runs `proxy_on_tick` if the module has asked for ticks; says whether it has.
    pub(crate) fn tick(&self) -> bool {
        let mut inner = self.inner();
        if inner.state().tick_period.is_zero() {
            return false;
        }
        inner.call::<_, ()>("proxy_on_tick", ROOT, ROOT);
        inner.run_deferred(None);
        true
    }

    /// What the module asked for; zero: no ticks.
    pub(crate) fn tick_period(&self) -> Duration {
        self.peek().tick_period
    }

    /// Whether the host has the foreign function `verify_signature` (Envoy has).
    pub(crate) fn set_native_verification(&self, on: bool) {
        self.inner().state().native_verification = on;
    }

    /// Whether the host has the foreign function `sign` (Envoy has).
    pub(crate) fn set_native_signing(&self, on: bool) {
        self.inner().state().native_signing = on;
    }

    /// Makes a hostcall (or WASI call) return a status without doing anything.
    pub(crate) fn fail_hostcall(&self, name: &str, which: Which, status: Status) {
        self.inner().state().add_fault(name, which, status);
    }

    /// Ends all faults.
    pub(crate) fn heal(&self) {
        self.inner().state().faults.clear();
    }

    /// A new stream, as one request makes it.
    pub(crate) fn stream(&self) -> Stream {
        let mut inner = self.inner();
        let id = inner.next;
        inner.next += 1;
        inner.state().contexts.insert(id);
        inner.state().streams.insert(id, state::StreamState::default());
        inner.call::<_, ()>("proxy_on_context_create", ROOT, (id, ROOT));
        Stream::new(self.clone(), id)
    }

    /// Every callout so far, answered or not.
    pub(crate) fn callouts(&self) -> Vec<Callout> {
        self.peek().callouts.clone()
    }

    /// The callouts that wait for an answer.
    pub(crate) fn pending_callouts(&self) -> Vec<Callout> {
        let state = self.peek();
        let waits = |callout: &&Callout| !state.answered.contains(&callout.token);
        state.callouts.iter().filter(waits).cloned().collect()
    }

    /// Answers a callout. `:status` is added to the headers.
    pub(crate) fn answer<N: AsRef<str>, V: AsRef<[u8]>>(
        &self,
        callout: &Callout,
        status: u16,
        headers: impl IntoIterator<Item = (N, V)>,
        body: impl AsRef<[u8]>,
    ) {
        let mut all = Headers::new([(":status", status.to_string())]);
        for (name, value) in headers {
            all.add(name.as_ref(), value.as_ref().to_vec());
        }
        self.inner().finish_callout(callout, all, body.as_ref().to_vec());
    }

    /// Resets a callout: an answer without headers.
    pub(crate) fn fail_callout(&self, callout: &Callout) {
        self.inner().finish_callout(callout, Headers::default(), Vec::new());
    }

    /// Lets a callout time out: Envoy answers with its own 504.
    pub(crate) fn time_out_callout(&self, callout: &Callout) {
        self.answer(callout, 504, [("content-type", "text/plain")], "upstream request timeout");
    }

    /// Forgets that a callout was answered, so that it can be answered once more: what
    /// only a broken host does.
    pub(crate) fn unanswer(&self, callout: &Callout) {
        self.inner().state().answered.remove(&callout.token);
    }

    /// Every hostcall so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.peek().calls.clone()
    }

    /// How often a hostcall was made.
    pub(crate) fn count_calls(&self, name: &str) -> usize {
        self.peek().calls.iter().filter(|call| call.name == name).count()
    }

    /// Every log line so far.
    pub(crate) fn log(&self) -> Vec<LogLine> {
        self.peek().log.clone()
    }

    /// The metrics by name.
    pub(crate) fn metrics(&self) -> BTreeMap<String, u64> {
        self.peek().metric_values.clone()
    }

    /// One metric; 0 when it was never defined.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        self.peek().metric_values.get(name).copied().unwrap_or(0)
    }

    /// A shared value and its version.
    pub(crate) fn shared_data(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.peek().shared_data.get(key)
    }

    /// Writes a shared value as another VM of the process would.
    pub(crate) fn set_shared_data(&self, key: &str, value: &[u8]) {
        self.peek().shared_data.set(key, value, 0).expect("unconditional");
    }

    /// Lets another VM write, with the same value, right before each of the next so many
    /// conditional writes of any VM that shares this one's data.
    pub(crate) fn lose_races(&self, races: u32) {
        self.peek().shared_data.lose_races(races);
    }

    /// Runs once, right before the next conditional write of any VM that shares this one's
    /// data: what another thread does between a worker's read and its write.
    pub(crate) fn before_next_write(&self, interloper: impl FnOnce() + 'static) {
        self.peek().shared_data.before_next_write(interloper);
    }

    /// The trap, if the module trapped. The instance is dead from then on.
    pub(crate) fn take_trap(&self) -> Option<Trapped> {
        self.inner().state().trap.take()
    }

    fn inner(&self) -> RefMut<'_, Inner> {
        self.0.borrow_mut()
    }

    fn peek(&self) -> Ref<'_, State> {
        Ref::map(self.0.borrow(), |inner| inner.store.data())
    }
}

struct Inner {
    store: Store<State>,
    instance: Instance,
    next: u32,
}

impl Inner {
    fn state(&mut self) -> &mut State {
        self.store.data_mut()
    }

    /// Calls an export for a context. `None` when it trapped, or is dead from an
    /// earlier trap. An export the module lacks does nothing, as in Envoy.
    fn call<P: WasmParams, R: WasmResults + Default>(
        &mut self,
        name: &str,
        context: u32,
        arguments: P,
    ) -> Option<R> {
        if self.state().dead {
            return None;
        }
        self.state().effective = context;
        let Some(function) = self.instance.get_func(&mut self.store, name) else {
            return Some(R::default());
        };
        let function = function.typed::<P, R>(&self.store).expect("the ABI's signature");
        self.store.set_fuel(LONGEST_CALLBACK).unwrap();
        match function.call(&mut self.store, arguments) {
            Ok(result) => Some(result),
            Err(trap) => {
                let message = format!("{trap:?}");
                eprintln!("{name} trapped: {message}");
                self.state().dead = true;
                self.state().trap = Some(Trapped { callback: name.to_owned(), message });
                None
            }
        }
    }

    fn finish_callout(&mut self, callout: &Callout, headers: Headers, body: Vec<u8>) {
        assert!(self.state().answered.insert(callout.token), "{callout:?} was answered before");
        let word = |n: usize| u32::try_from(n).unwrap();
        let arguments = (ROOT, callout.token, word(headers.len()), word(body.len()), 0);
        self.state().answer = Some((headers, body));
        self.call::<_, ()>("proxy_on_http_call_response", ROOT, arguments);
        self.state().answer = None;
        self.run_deferred(None);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let (Some(trap), false) = (&self.store.data().trap, std::thread::panicking()) {
            panic!("{} trapped: {}", trap.callback, trap.message);
        }
    }
}
