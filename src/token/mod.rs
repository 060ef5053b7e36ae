//! Access tokens: JOSE, keys, claims, verification. Knows no MCP.
