//! DPoP (RFC 9449): proof that a call comes from the holder of the key its token is bound to.
//!
//! A proof is checked from the cheap to the dear: what it says against the request, then
//! its signature. Last, its use goes on the record that the workers of a proxy share, where
//! a second use is found. Proxies share no record; nonces that are good at one proxy only
//! keep a proof from being used at two.

mod htu;
mod keys;
mod nonce;
mod policy;
mod proof;
mod replay;
#[cfg(test)]
mod tests;
mod verifier;

pub use nonce::NonceKey;
pub use policy::{DpopPolicy, NoncePolicy, NonceScope, Requirement};
pub(super) use verifier::{Expected, ProofVerifier};
