//! Who acts for whom: `act` and `may_act` (RFC 8693 sections 4.1 and 4.4).

/// Most actors of a token. Chains are as long as a call passes agents, a handful; the reader
/// of JSON stops at 64 levels in any case.
pub const MAX_ACTORS: usize = 16;
