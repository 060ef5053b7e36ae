//! Tests of the module as a whole: a token in, an outcome out.
#![expect(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "tests may panic"
)]

mod agreement;
mod fetching;
mod key_rules;
mod rules;
pub(super) mod support;
mod vectors;
