//! The compiled module in an in-process host: `host/` is the host, each other file a theme.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "tests may panic, and say why"
)]

mod authentication;
mod callers;
mod client;
mod configuration;
mod delegation;
mod documents;
mod dpop;
mod exchange;
mod exchange_cache;
mod exchange_faults;
mod exchange_hostcalls;
mod exchange_leaks;
mod exchange_profiles;
mod exchange_sharing;
mod exchange_stream;
mod fuzz_tables;
#[expect(dead_code, reason = "the host offers more than the themes use so far")]
mod host;
mod host_selftest;
mod hostcall_failures;
mod hostile_claims;
mod hostile_host;
mod http_sse;
mod introspection;
mod lists;
mod mtls;
mod ownership;
mod policy;
mod rates;
mod rollout;
mod shared_keys;
mod step_up;
mod support;
mod traps;
mod workloads;
