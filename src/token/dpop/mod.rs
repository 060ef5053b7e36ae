//! DPoP (RFC 9449): proof that a call comes from the holder of the key its token is bound to.

mod policy;

pub use policy::{DpopPolicy, NoncePolicy, NonceScope, Requirement};
