//! Token introspection (RFC 7662), also with signed answers (RFC 9701).

mod settings;

pub use settings::{ClientAuthentication, IntrospectedTokens, Introspection, SigningKey};
