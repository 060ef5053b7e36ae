//! Whose a session or a task is.

use sha2::{Digest as _, Sha256};

/// Names one caller at one MCP server without telling either: a digest of issuer, subject,
/// client and server, and of the agent where it is another than the client. It does not depend on the token, so that a refreshed token is the
/// same principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Principal([u8; 32]);

impl Principal {
    /// The principal that these texts make up, each of them with its length before it, so
    /// that no two lists run together into one.
    #[must_use]
    pub fn of<const N: usize>(parts: [&str; N]) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            digest.update(part);
        }
        Principal(digest.finalize().into())
    }

    /// The same caller through this agent.
    #[must_use]
    pub fn through(self, agent: &str) -> Self {
        let mut digest = Sha256::new();
        digest.update(self.0);
        digest.update(agent);
        Principal(digest.finalize().into())
    }

    /// The digest.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_counts_where_it_stands() {
        let one = Principal::of(["iss", "alice", "agent", "https://mcp.example/mcp"]);
        assert_eq!(one, Principal::of(["iss", "alice", "agent", "https://mcp.example/mcp"]));
        for other in [
            ["is", "salice", "agent", "https://mcp.example/mcp"],
            ["iss", "agent", "alice", "https://mcp.example/mcp"],
            ["iss", "alice", "", "agenthttps://mcp.example/mcp"],
        ] {
            assert_ne!(one, Principal::of(other));
        }
        assert_ne!(one.through("a"), one);
        assert_ne!(one.through("a"), one.through("b"));
        assert_eq!(one.through("a"), one.through("a"));
    }
}
