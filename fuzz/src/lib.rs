//! What must hold for every input, one module for each fuzz target.
//!
//! `check` takes the bytes of one input, panics when something does not hold, and
//! returns whether the input was accepted. The fuzz targets call it, and so does
//! `tests/fuzz_corpus` of the crate, which replays every corpus file without a fuzzer.

pub mod answer_watch;
pub mod header_agreement;
pub mod json_reader;
pub mod message_reader;
pub mod model;
pub mod session_seal;
pub mod sse_filter;
