//! The gate, driven natively: events in, effects out, with tokens that a second
//! implementation signed and the module's own cryptography verifies.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests may panic"
)]

mod advisories;
mod arrival;
mod authentication;
mod decisions;
mod denials;
mod driver;
mod evidence;
mod exchange;
mod forwarding;
mod hold_check;
mod http_sse;
mod orders;
mod ownership;
mod policies;
mod senders;
mod step_up;
mod way_back;
mod workloads;
