//! Configuration documents, good and bad.

// For `json!` with a whole document.
#![recursion_limit = "256"]
#![expect(clippy::unwrap_used, reason = "tests may panic")]
#![expect(clippy::panic, reason = "tests may panic")]
#![expect(clippy::indexing_slicing, reason = "tests may panic")]

mod analysis;
mod command;
mod compiled;
mod exchanges;
mod explanations;
mod files;
mod fixtures;
mod http_sse;
mod identity;
mod policies;
mod policy_problems;
mod problems;
mod proofs;
mod sessions;
mod sources;
mod support;
mod warnings;
mod workloads;
