//! The compiled module in an in-process host: `host/` is the host, each other file a theme.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

mod host;
