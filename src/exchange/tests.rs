//! Exchanges as a worker runs them: what is asked for and when, with a double of the profiles.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "tests may panic"
)]

mod callers;
mod memory;
mod outages;
mod secrets;
mod sharing;
mod steps;
mod support;
