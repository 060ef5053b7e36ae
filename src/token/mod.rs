//! Access tokens: who sent a call, proved by a signature.
//!
//! A token comes in as text and is an [`Unverified`] JWS, which says no more than
//! what picks the key. Verification turns it into a [`Verified`] one, whose claims
//! become a [`Verified<AccessToken>`]: the only thing policy takes. There is no
//! other way to make one.
//!
//! The algorithm is a property of the key and never chosen by the token (RFC 8725
//! section 3.1). RS* and ES* are verified by the host where it can, everything else
//! in the module. This module knows no MCP, and of HTTP only the callout for keys.

mod algorithm;
mod authenticator;
mod cache;
mod claims;
mod error;
mod issuer;
mod jwk;
mod jws;
mod key_store;
mod keys;
mod signature;
#[cfg(test)]
mod tests;

pub use algorithm::Algorithm;
pub use authenticator::{Attempt, Authenticator, Outcome};
pub use claims::AccessToken;
pub use error::TokenError;
pub use issuer::{Issuer, IssuerId, KeySource};
pub use jws::{Jws, Segments, Unverified, Verified};
pub use keys::{KeySet, KeySetError};
