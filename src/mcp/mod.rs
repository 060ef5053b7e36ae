//! MCP messages: reading, naming the operation, filtering lists. Knows no tokens.
