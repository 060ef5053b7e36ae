//! Tests of the module as a whole: a token in, an outcome out.
#![expect(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "tests may panic"
)]

mod agreement;
mod certificates;
mod claim_names;
mod delegation;
mod epochs;
mod fetching;
mod identity_claims;
mod introspected;
mod introspection;
mod key_rules;
mod kinds;
mod lifetimes;
mod providers;
mod revocations;
mod rules;
mod shared_documents;
mod subject_kinds;
pub(super) mod support;
mod tenants;
mod vectors;
mod workloads;
