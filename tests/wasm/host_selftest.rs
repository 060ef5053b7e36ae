//! The host itself, against what was measured on Envoy 1.40: a host that is kinder
//! than Envoy would let a bypass pass. The guests are modules of a few instructions.

use crate::host::{Callback, Event, Headers, HostFlag, Outcome, Status, Vm, Which, Wire};
use std::time::Duration;
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataSection, EntityType, ExportKind, ExportSection,
    Function, FunctionSection, ImportSection, MemorySection, MemoryType, Module, TypeSection,
    ValType,
};

const POST: [(&str, &str); 3] = [(":method", "POST"), (":path", "/mcp"), (":authority", "a")];
const OK: [(&str, &str); 1] = [(":status", "200")];
const NONE: [(&str, &str); 0] = [];
const CONTINUE: i32 = 0;
const PAUSE: i32 = 1;

/// One instruction of a scripted callback.
#[derive(Clone)]
enum Step {
    /// Makes a hostcall; the status is dropped.
    Call(&'static str, Vec<i32>),
    /// Returns an action. Without this, a callback returns `Continue`.
    Return(i32),
    /// Returns `Continue` at the end of the stream, otherwise `Pause`.
    PauseUntilEnd,
    Trap,
    LoopForever,
}

fn call<const N: usize>(name: &'static str, arguments: [i32; N]) -> Step {
    Step::Call(name, arguments.to_vec())
}

/// Resumes the request of the stream that is `set_effective_context`.
fn resume_request() -> Step {
    call("proxy_continue_stream", [0])
}

/// Turns to the first stream from a root callback.
fn first_stream() -> Step {
    call("proxy_set_effective_context", [2])
}

fn reply(status: i32) -> Step {
    call("proxy_send_local_response", [status, 0, 0, 0, 0, 0, 0, -1])
}

/// A guest: callbacks by name, and constants in its memory.
#[derive(Default)]
struct Guest {
    data: Vec<u8>,
    callbacks: Vec<(&'static str, Vec<Step>)>,
}

impl Guest {
    fn on<const N: usize>(mut self, callback: &'static str, steps: [Step; N]) -> Self {
        self.callbacks.push((callback, steps.to_vec()));
        self
    }

    /// Puts bytes into the guest's memory: where, and how many.
    fn put(&mut self, bytes: impl AsRef<[u8]>) -> [i32; 2] {
        let at = self.data.len();
        self.data.extend(bytes.as_ref());
        [at, bytes.as_ref().len()].map(|n| i32::try_from(n).unwrap())
    }

    /// Starts it.
    fn start(self, flag: HostFlag) -> Vm {
        Vm::with_module(flag, &self.assemble()).start("{}").unwrap()
    }

    fn assemble(self) -> Vec<u8> {
        // All the host's answers go where nothing else is.
        const HEAP: i32 = 0x8000;
        let mut callbacks = self.callbacks;
        callbacks.push(("proxy_on_memory_allocate", vec![Step::Return(HEAP)]));
        for start in ["proxy_on_vm_start", "proxy_on_configure"] {
            if !callbacks.iter().any(|(name, _)| *name == start) {
                callbacks.push((start, vec![Step::Return(1)]));
            }
        }

        let mut types = TypeSection::new();
        let mut imports = ImportSection::new();
        let mut imported: Vec<&str> = Vec::new();
        for step in callbacks.iter().flat_map(|(_, steps)| steps) {
            if let Step::Call(name, arguments) = step
                && !imported.contains(name)
            {
                types.ty().function(vec![ValType::I32; arguments.len()], [ValType::I32]);
                let wasi = !name.starts_with("proxy_");
                let module = if wasi { "wasi_snapshot_preview1" } else { "env" };
                imports.import(module, name, EntityType::Function(index(imported.len())));
                imported.push(name);
            }
        }
        let mut functions = FunctionSection::new();
        let mut exports = ExportSection::new();
        let mut code = CodeSection::new();
        for (number, (name, steps)) in callbacks.iter().enumerate() {
            let (parameters, returns) = signature(name);
            let number = index(imported.len() + number);
            let result = returns.then_some(ValType::I32);
            types.ty().function(vec![ValType::I32; parameters], result);
            functions.function(number);
            exports.export(name, ExportKind::Func, number);
            code.function(&body(steps, returns, &imported));
        }
        exports.export("memory", ExportKind::Memory, 0);
        let mut memory = MemorySection::new();
        memory.memory(MemoryType {
            minimum: 1,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        let mut data = DataSection::new();
        data.active(0, &ConstExpr::i32_const(0), self.data);

        let mut module = Module::new();
        module.section(&types).section(&imports).section(&functions).section(&memory);
        module.section(&exports).section(&code).section(&data);
        module.finish()
    }
}

fn index(number: usize) -> u32 {
    u32::try_from(number).unwrap()
}

/// How many parameters a callback has, and whether it returns anything.
fn signature(callback: &str) -> (usize, bool) {
    match callback {
        "proxy_on_memory_allocate" => (1, true),
        "proxy_on_tick" | "proxy_on_log" | "proxy_on_delete" => (1, false),
        "proxy_on_http_call_response" => (5, false),
        "proxy_on_vm_start" | "proxy_on_configure" => (2, true),
        name if name.ends_with("_trailers") => (2, true),
        _ => (3, true),
    }
}

fn body(steps: &[Step], returns: bool, imported: &[&str]) -> Function {
    let mut function = Function::new([]);
    let mut code = function.instructions();
    for step in steps {
        match step {
            Step::Call(name, arguments) => {
                for argument in arguments {
                    code.i32_const(*argument);
                }
                code.call(index(imported.iter().position(|n| n == name).unwrap())).drop();
            }
            Step::Return(action) => {
                code.i32_const(*action).return_();
            }
            Step::PauseUntilEnd => {
                code.local_get(2).i32_eqz().return_();
            }
            Step::Trap => {
                code.unreachable();
            }
            Step::LoopForever => {
                code.loop_(BlockType::Empty).br(0).end();
            }
        }
    }
    if returns {
        code.i32_const(CONTINUE);
    }
    code.end();
    function
}

#[test]
fn without_the_flag_a_pause_in_headers_holds_everything_until_resumed() {
    let guest = Guest::default()
        .on(
            "proxy_on_request_headers",
            [call("proxy_set_tick_period_milliseconds", [100]), Step::Return(PAUSE)],
        )
        .on("proxy_on_tick", [first_stream(), resume_request()]);
    let vm = guest.start(HostFlag::Default);
    assert!(!vm.tick(), "no ticks before they are asked for");
    let stream = vm.stream();
    assert_eq!(stream.request_headers(POST, false), Outcome::Pause);
    assert_eq!(stream.request_body("ab", false), Outcome::NotCalled);
    assert_eq!(stream.request_body("cd", true), Outcome::NotCalled);
    assert!(stream.upstream().is_empty());

    assert_eq!(vm.tick_period(), Duration::from_millis(100));
    assert!(vm.tick());
    let expected = [Event::Headers(Headers::new(POST)), Event::Body(b"abcd".to_vec()), Event::End];
    assert_eq!(stream.upstream().events(), expected);
}

#[test]
fn with_the_flag_continue_from_the_body_releases_held_headers() {
    let guest = Guest::default()
        .on("proxy_on_request_headers", [Step::Return(PAUSE)])
        .on("proxy_on_request_body", [Step::PauseUntilEnd]);
    let vm = guest.start(HostFlag::StopIteration);
    let stream = vm.stream();
    stream.request_headers(POST, false);
    assert_eq!(stream.request_body("ab", false), Outcome::Pause);
    assert!(stream.upstream().is_empty());
    assert_eq!(stream.request_body("cd", true), Outcome::Continue);
    assert_eq!(stream.upstream().text(), "abcd");
    assert!(stream.upstream().ended());
}

#[test]
fn trailers_end_a_request_whose_body_callbacks_never_saw_the_end() {
    let guest = Guest::default()
        .on("proxy_on_request_headers", [Step::Return(PAUSE)])
        .on("proxy_on_request_body", [Step::PauseUntilEnd]);
    let vm = guest.start(HostFlag::StopIteration);
    let stream = vm.stream();
    stream.request_headers(POST, false);
    assert_eq!(stream.request_body("ab", false), Outcome::Pause);
    assert_eq!(stream.request_trailers([("x", "y")]), Outcome::Continue);
    let expected = [
        Event::Headers(Headers::new(POST)),
        Event::Body(b"ab".to_vec()),
        Event::Trailers(Headers::new([("x", "y")])),
    ];
    assert_eq!(stream.upstream().events(), expected);
}

#[test]
fn released_headers_cannot_be_changed() {
    let mut guest = Guest::default();
    let [name, length] = guest.put("x-late");
    let add = call("proxy_add_header_map_value", [0, name, length, name, length]);
    let guest =
        guest.on("proxy_on_request_headers", [add.clone()]).on("proxy_on_request_body", [add]);
    let vm = guest.start(HostFlag::StopIteration);
    let stream = vm.stream();
    stream.request_headers(POST, false);
    stream.request_body("ab", true);
    let statuses: Vec<_> = vm.calls().iter().map(|call| call.status).collect();
    assert_eq!(statuses, [Status::OK, Status::BAD_ARGUMENT]);
    assert_eq!(stream.upstream().headers().unwrap().all("x-late").count(), 1);
}

#[test]
fn a_body_is_replaced_as_a_whole_while_it_is_held() {
    let mut guest = Guest::default();
    let [at, length] = guest.put("new");
    let guest = guest
        .on("proxy_on_request_body", [Step::PauseUntilEnd])
        .on("proxy_on_request_trailers", [call("proxy_set_buffer_bytes", [0, 0, -1, at, length])]);
    let vm = guest.start(HostFlag::Default);
    let stream = vm.stream();
    stream.request_headers(POST, false);
    stream.request_body("a longer one", false);
    stream.request_trailers(NONE);
    assert_eq!(stream.upstream().text(), "new");
}

#[test]
fn a_reply_wins_over_a_resume_and_passes_the_response_callbacks() {
    let mut guest = Guest::default();
    let [name, length] = guest.put("x-seen");
    let [path, path_length] = guest.put("response\0code_details");
    let guest = guest
        .on("proxy_on_request_headers", [resume_request(), reply(403), Step::Return(CONTINUE)])
        .on(
            "proxy_on_response_headers",
            [
                call("proxy_add_header_map_value", [2, name, length, name, length]),
                call("proxy_get_property", [path, path_length, 0x4000, 0x4004]),
            ],
        );
    let vm = guest.start(HostFlag::StopIteration);
    let stream = vm.stream();
    assert_eq!(stream.request_headers(POST, false), Outcome::Replied);
    assert_eq!(stream.request_body("late", true), Outcome::NotCalled);
    assert!(stream.upstream().is_empty());
    assert_eq!(stream.downstream().status(), Some(403));
    assert_eq!(stream.downstream().header("x-seen"), Some("x-seen"));
    assert_eq!(vm.calls().last().unwrap().status, Status::OK);
}

#[test]
fn a_reply_replaces_a_held_response_and_cuts_off_a_released_one() {
    let guest = Guest::default().on("proxy_on_response_headers", [reply(502)]);
    let vm = guest.start(HostFlag::Default);
    let held = vm.stream();
    held.request_headers(POST, true);
    assert_eq!(held.response_headers(OK, false), Outcome::Replied);
    assert_eq!(held.response_body("secret", true), Outcome::NotCalled);
    assert_eq!(held.downstream().status(), Some(502));
    assert_eq!(held.downstream().text(), "");

    let guest = Guest::default().on("proxy_on_response_body", [reply(502)]);
    let vm = guest.start(HostFlag::Default);
    let released = vm.stream();
    released.request_headers(POST, true);
    released.response_headers(OK, false);
    assert_eq!(released.response_body("secret", true), Outcome::Replied);
    assert_eq!(released.downstream().status(), Some(200));
    assert_eq!(released.downstream().text(), "");
    assert!(released.downstream().reset());
}

#[test]
fn the_first_reply_of_a_stream_callback_wins_and_the_last_of_a_callout() {
    let replies = [first_stream(), reply(401), reply(403), Step::Return(PAUSE)];
    let vm = Guest::default().on("proxy_on_request_headers", replies).start(HostFlag::Default);
    let stream = vm.stream();
    stream.request_headers(POST, true);
    assert_eq!(stream.downstream().status(), Some(401));

    let (vm, _) = guest_with_callout([first_stream(), reply(401), reply(403)]);
    let stream = vm.stream();
    stream.request_headers(POST, true);
    vm.answer(&vm.callouts()[0], 200, NONE, "");
    assert_eq!(stream.downstream().status(), Some(403));
}

/// Pauses in headers with a callout to `idp`; also the steps' module for a second host.
fn guest_with_callout<const N: usize>(on_answer: [Step; N]) -> (Vm, Vec<u8>) {
    let mut guest = Guest::default();
    let [idp, idp_length] = guest.put("idp");
    let headers = [(":method", "GET"), (":path", "/jwks"), (":authority", "idp.example.com")];
    let [at, length] = guest.put(Headers::new(headers).encode());
    let dispatch = [idp, idp_length, at, length, 0, 0, 0, 0, 2000, 0x4000];
    let module = guest
        .on("proxy_on_request_headers", [call("proxy_http_call", dispatch), Step::Return(PAUSE)])
        .on("proxy_on_http_call_response", on_answer)
        .assemble();
    (Vm::with_module(HostFlag::Default, &module).start("{}").unwrap(), module)
}

#[test]
fn a_callout_is_recorded_and_its_answer_resumes_the_stream() {
    let (vm, _) = guest_with_callout([first_stream(), resume_request()]);
    let stream = vm.stream();
    assert_eq!(stream.request_headers(POST, true), Outcome::Pause);
    let callout = vm.pending_callouts().remove(0);
    assert_eq!(callout.cluster, "idp");
    assert_eq!(callout.headers.get(":path"), Some("/jwks"));
    assert_eq!(callout.timeout, Duration::from_secs(2));
    vm.answer(&callout, 200, [("content-type", "application/json")], "{}");
    assert!(vm.pending_callouts().is_empty());
    assert!(stream.upstream().ended());
}

#[test]
fn a_callout_to_an_unknown_cluster_is_a_bad_argument() {
    let (_, module) = guest_with_callout([]);
    let builder = Vm::with_module(HostFlag::Default, &module).without_cluster("idp");
    let vm = builder.start("{}").unwrap();
    vm.stream().request_headers(POST, true);
    assert_eq!(vm.calls()[0].status, Status::BAD_ARGUMENT);
    assert!(vm.callouts().is_empty());
}

#[test]
fn a_trap_in_a_stream_callback_is_503_now_and_for_every_later_stream() {
    let guest = Guest::default()
        .on("proxy_on_request_headers", [Step::Return(PAUSE)])
        .on("proxy_on_request_body", [resume_request(), Step::Trap]);
    let vm = guest.start(HostFlag::StopIteration);
    let stream = vm.stream();
    stream.request_headers(POST, false);
    assert_eq!(stream.request_body("ab", true), Outcome::Trapped);
    assert_eq!(stream.downstream().status(), Some(503));
    assert!(!stream.upstream().is_empty(), "a resume before the trap counts: the worst case");
    assert_eq!(vm.take_trap().unwrap().callback, "proxy_on_request_body");

    let later = vm.stream();
    assert_eq!(later.request_headers(POST, true), Outcome::Trapped);
    assert_eq!(later.downstream().status(), Some(503));
}

#[test]
fn a_trap_in_a_callout_callback_leaves_the_stream_hanging() {
    let (vm, _) = guest_with_callout([Step::Trap]);
    let stream = vm.stream();
    stream.request_headers(POST, true);
    vm.fail_callout(&vm.callouts()[0]);
    assert!(vm.take_trap().is_some());
    assert!(stream.upstream().is_empty());
    assert!(stream.downstream().is_empty());
}

#[test]
#[should_panic(expected = "proxy_on_request_headers trapped")]
fn a_trap_nobody_asked_for_fails_the_test() {
    let vm = Guest::default().on("proxy_on_request_headers", [Step::Trap]).start(HostFlag::Default);
    vm.stream().request_headers(POST, true);
}

#[test]
fn a_failed_hostcall_does_nothing_and_is_recorded() {
    let mut guest = Guest::default();
    let [name, length] = guest.put("x-n");
    let add = || call("proxy_add_header_map_value", [0, name, length, name, length]);
    let steps = [add(), add(), add()];
    let vm = guest.on("proxy_on_request_headers", steps).start(HostFlag::Default);
    vm.fail_hostcall("proxy_add_header_map_value", Which::Nth(2), Status::INTERNAL_FAILURE);
    let stream = vm.stream();
    stream.request_headers(POST, true);
    assert_eq!(stream.upstream().headers().unwrap().all("x-n").count(), 2);
    let statuses: Vec<_> = vm.calls().iter().map(|call| call.status).collect();
    assert_eq!(statuses, [Status::OK, Status::INTERNAL_FAILURE, Status::OK]);

    vm.fail_hostcall("proxy_add_header_map_value", Which::All, Status::INTERNAL_FAILURE);
    let stream = vm.stream();
    stream.request_headers(POST, true);
    assert_eq!(stream.upstream().headers(), Some(&Headers::new(POST)));
    vm.heal();
}

#[test]
fn a_driven_callback_moves_nothing_but_its_reply_counts() {
    let guest = Guest::default()
        .on("proxy_on_request_headers", [Step::Return(PAUSE)])
        .on("proxy_on_request_trailers", [reply(400)]);
    let vm = guest.start(HostFlag::StopIteration);
    let stream = vm.stream();
    assert_eq!(stream.drive(Callback::RequestBody { size: 9, end: true }), Outcome::Continue);
    assert!(stream.upstream().is_empty());
    assert_eq!(stream.drive(Callback::RequestTrailers { count: 0 }), Outcome::Replied);
    assert_eq!(stream.downstream().status(), Some(400));
}

#[test]
fn received_bytes_count_even_when_the_module_is_shown_none() {
    let mut guest = Guest::default();
    let [path, length] = guest.put("request\0total_size");
    let guest = guest
        .on(
            "proxy_on_request_headers",
            [call("proxy_set_tick_period_milliseconds", [100]), Step::Return(PAUSE)],
        )
        .on(
            "proxy_on_tick",
            [
                first_stream(),
                call("proxy_get_property", [path, length, 0x4000, 0x4004]),
                // Shows what it read as filter state, under the property's own name.
                call("proxy_set_property", [path, length, 0x8000, 8]),
            ],
        );
    let vm = guest.start(HostFlag::Default);
    let stream = vm.stream();
    let total_size = || {
        vm.tick();
        let value = stream.filter_state()["request\0total_size"].clone();
        u64::from_le_bytes(value.try_into().unwrap())
    };
    stream.request_headers(POST, false);
    let headers_only = total_size();
    assert_eq!(stream.request_body("12345", false), Outcome::NotCalled);
    assert_eq!(total_size(), headers_only + 5);
    stream.set_property(&["request", "total_size"], 7_u64.to_le_bytes());
    assert_eq!(total_size(), 7);
}

#[test]
fn a_foreign_reply_passes_the_response_callbacks() {
    let mut guest = Guest::default();
    let [name, length] = guest.put("x-seen");
    let vm = guest
        .on("proxy_on_request_headers", [Step::Return(PAUSE)])
        .on(
            "proxy_on_response_headers",
            [call("proxy_add_header_map_value", [2, name, length, name, length])],
        )
        .start(HostFlag::StopIteration);
    let stream = vm.stream();
    stream.request_headers(POST, false);
    stream.foreign_reply(413, "request_payload_too_large", "Payload Too Large");
    assert_eq!(stream.downstream().status(), Some(413));
    assert_eq!(stream.downstream().header("x-seen"), Some("x-seen"));
    assert_eq!(stream.downstream().text(), "Payload Too Large");
    assert!(stream.upstream().is_empty());
}

#[test]
fn shared_data_of_an_older_version_is_a_cas_mismatch() {
    let mut guest = Guest::default();
    let [key, length] = guest.put("countersign.key");
    let set = |cas| call("proxy_set_shared_data", [key, length, key, length, cas]);
    let vm = guest
        .on("proxy_on_request_headers", [set(0), set(1), set(1), set(0)])
        .start(HostFlag::Default);
    vm.stream().request_headers(POST, true);
    let statuses: Vec<_> = vm.calls().iter().map(|call| call.status).collect();
    assert_eq!(statuses, [Status::OK, Status::OK, Status::CAS_MISMATCH, Status::OK]);
    assert_eq!(vm.shared_data("countersign.key"), Some((b"countersign.key".to_vec(), 3)));
}

/// A guest whose every request makes one write of `key`, conditional on `cas`.
fn writer(cas: i32) -> Guest {
    let mut guest = Guest::default();
    let [key, length] = guest.put("key");
    guest.on(
        "proxy_on_request_headers",
        [call("proxy_set_shared_data", [key, length, key, length, cas])],
    )
}

fn last_status(vm: &Vm) -> Status {
    vm.stream().request_headers(POST, true);
    vm.calls().last().unwrap().status
}

#[test]
fn shared_data_of_a_missing_key_is_written_whatever_the_version() {
    let vm = writer(7).start(HostFlag::Default);
    assert_eq!(last_status(&vm), Status::OK);
    assert_eq!(vm.shared_data("key"), Some((b"key".to_vec(), 1)));
    assert_eq!(last_status(&vm), Status::CAS_MISMATCH);
}

#[test]
fn versions_of_shared_data_count_all_writes() {
    let vm = writer(0).start(HostFlag::Default);
    vm.set_shared_data("other", b"value");
    assert_eq!(last_status(&vm), Status::OK);
    assert_eq!(vm.shared_data("key").unwrap().1, 2);
    vm.set_shared_data("other", b"value");
    assert_eq!(vm.shared_data("other").unwrap().1, 3);
}

#[test]
fn vms_of_one_process_share_data_and_draw_different_bytes() {
    let random = || {
        let mut guest = Guest::default();
        let [at, length] = guest.put([0; 16]);
        guest.on(
            "proxy_on_request_headers",
            [call("random_get", [at, length]), call("proxy_set_property", [at, 0, at, length])],
        )
    };
    let draw = |vm: &Vm| {
        let stream = vm.stream();
        stream.request_headers(POST, true);
        stream.filter_state()[""].clone()
    };
    let one = random().start(HostFlag::Default);
    let beside = |vm: &Vm| {
        let builder = Vm::with_module(HostFlag::Default, &random().assemble());
        builder.beside(vm).start("{}").unwrap()
    };
    let (two, three) = (beside(&one), beside(&one));
    let drawn = [draw(&one), draw(&two), draw(&three)];
    assert!(drawn[0] != drawn[1] && drawn[1] != drawn[2] && drawn[0] != drawn[2]);

    one.set_shared_data("key", b"value");
    assert_eq!(two.shared_data("key"), Some((b"value".to_vec(), 1)));
    let stranger = random().start(HostFlag::Default);
    assert_eq!(stranger.shared_data("key"), None);
}

#[test]
fn a_lost_race_is_another_vms_write() {
    let vm = writer(1).start(HostFlag::Default);
    vm.set_shared_data("key", b"value");
    vm.lose_races(1);
    assert_eq!(last_status(&vm), Status::CAS_MISMATCH);
    assert_eq!(vm.shared_data("key"), Some((b"value".to_vec(), 2)));

    // Writes without a condition cannot lose.
    let vm = writer(0).start(HostFlag::Default);
    vm.lose_races(1);
    assert_eq!(last_status(&vm), Status::OK);
}

#[test]
fn an_interloper_writes_between_a_read_and_the_next_conditional_write() {
    let vm = writer(1).start(HostFlag::Default);
    vm.set_shared_data("key", b"value");
    let other = vm.clone();
    vm.before_next_write({
        let beside = Vm::with_module(HostFlag::Default, &writer(0).assemble());
        let beside = beside.beside(&other).start("{}").unwrap();
        move || assert_eq!(last_status(&beside), Status::OK)
    });
    assert_eq!(last_status(&vm), Status::CAS_MISMATCH);
    assert_eq!(vm.shared_data("key"), Some((b"key".to_vec(), 2)));
    // Once.
    vm.set_shared_data("other", b"value");
    assert_eq!(last_status(&vm), Status::CAS_MISMATCH);
    assert_eq!(vm.shared_data("key").unwrap().1, 2);
}

#[test]
fn the_clock_is_the_tests() {
    let mut guest = Guest::default();
    let [now, length] = guest.put([0; 8]);
    let vm = guest
        .on(
            "proxy_on_request_headers",
            [
                call("proxy_get_current_time_nanoseconds", [now]),
                call("proxy_set_property", [now, 0, now, length]),
            ],
        )
        .start(HostFlag::Default);
    let read = || {
        let stream = vm.stream();
        stream.request_headers(POST, true);
        u64::from_le_bytes(stream.filter_state()[""].clone().try_into().unwrap())
    };
    let first = read();
    vm.advance(Duration::from_secs(90));
    assert_eq!(read() - first, 90_000_000_000);
}

#[test]
fn an_empty_body_that_was_held_back_is_shown_with_its_end() {
    let vm = Guest::default()
        .on(
            "proxy_on_request_headers",
            [call("proxy_set_tick_period_milliseconds", [100]), Step::Return(PAUSE)],
        )
        .on("proxy_on_tick", [first_stream(), resume_request()])
        .on("proxy_on_request_body", [reply(400)])
        .start(HostFlag::Default);
    let stream = vm.stream();
    stream.request_headers(POST, false);
    stream.request_body("", true);
    vm.tick();
    assert_eq!(stream.downstream().status(), Some(400));
    assert!(stream.upstream().reset(), "the headers had gone out by the resume");
}

#[test]
fn a_response_is_held_like_a_request() {
    let vm = Guest::default()
        .on("proxy_on_response_headers", [Step::Return(PAUSE)])
        .on("proxy_on_response_body", [Step::PauseUntilEnd])
        .start(HostFlag::StopIteration);
    let stream = vm.stream();
    stream.request_headers(POST, true);
    let step =
        |chunk, end| -> (Outcome, Wire) { (stream.response_body(chunk, end), stream.downstream()) };
    stream.response_headers(OK, false);
    assert_eq!(step("ab", false), (Outcome::Pause, Wire::default()));
    let (outcome, wire) = step("cd", true);
    assert_eq!(outcome, Outcome::Continue);
    assert_eq!((wire.status(), wire.text().as_str(), wire.ended()), (Some(200), "abcd", true));
}

#[test]
fn a_callback_that_never_returns_is_a_trap() {
    let vm = Guest::default()
        .on("proxy_on_tick", [Step::LoopForever])
        .on(
            "proxy_on_configure",
            [call("proxy_set_tick_period_milliseconds", [100]), Step::Return(1)],
        )
        .start(HostFlag::Default);
    vm.tick();
    assert!(vm.take_trap().unwrap().message.contains("fuel"));
}

#[test]
fn a_rejected_configuration_comes_with_its_log() {
    let mut guest = Guest::default();
    let [at, length] = guest.put("bad");
    let log = call("proxy_log", [4, at, length]);
    let module = guest.on("proxy_on_configure", [log, Step::Return(0)]).assemble();
    let rejected = Vm::with_module(HostFlag::Default, &module).start("{}").err().unwrap();
    assert_eq!((rejected.log[0].level, rejected.log[0].message.as_str()), (4, "bad"));
}

#[test]
fn one_seed_gives_the_same_random_bytes_and_another_gives_others() {
    let mut guest = Guest::default();
    let [at, length] = guest.put([0; 16]);
    let module = guest
        .on(
            "proxy_on_request_headers",
            [call("random_get", [at, length]), call("proxy_set_property", [at, 0, at, length])],
        )
        .assemble();
    let draw = |seed| {
        let vm = Vm::with_module(HostFlag::Default, &module).seed(seed).start("{}").unwrap();
        let stream = vm.stream();
        stream.request_headers(POST, true);
        stream.filter_state()[""].clone()
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

#[test]
fn a_finished_stream_is_an_unknown_context() {
    let vm = Guest::default()
        .on(
            "proxy_on_configure",
            [call("proxy_set_tick_period_milliseconds", [100]), Step::Return(1)],
        )
        .on("proxy_on_tick", [first_stream()])
        .start(HostFlag::Default);
    let stream = vm.stream();
    vm.tick();
    assert_eq!(vm.calls().last().unwrap().status, Status::OK);
    stream.finish();
    vm.tick();
    assert_eq!(vm.calls().last().unwrap().status, Status::BAD_ARGUMENT);
}
