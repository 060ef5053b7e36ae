//! The gate: what is enforced.

mod server;

pub use server::*;
