//! Configuration documents, good and bad.

#![expect(clippy::unwrap_used, reason = "tests may panic")]
#![expect(clippy::panic, reason = "tests may panic")]
#![expect(clippy::indexing_slicing, reason = "tests may panic")]

mod command;
mod compiled;
mod explanations;
mod files;
mod fixtures;
mod problems;
mod proofs;
mod sessions;
mod sources;
mod support;
mod warnings;
