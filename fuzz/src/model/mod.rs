//! Other readers of the same bytes, written without regard to the crate's own.

pub mod answer;
pub mod document;
pub mod event_stream;
pub mod peer;
