//! Countersign: the identity enforcement point for MCP traffic.
//!
//! One WebAssembly filter for Envoy and Istio. For every MCP operation it answers
//! which human, through which agent, may do what, before a byte of the operation
//! reaches the MCP server, and it leaves a record of the answer.
//!
//! Arrows point one way: `filter` → `gate` → {`mcp`, `token`, `exchange`, `policy`,
//! `reply`, `audit`}. Only `filter` knows the host's SDK; `policy` knows neither JSON nor
//! HTTP; `token` knows no MCP; `mcp` knows no tokens. `cli` is the command for operators:
//! above all of it, and not in the module. `DESIGN.md` has the rest.

pub mod audit;
#[cfg(not(target_arch = "wasm32"))]
pub mod cli;
pub mod config;
pub mod exchange;
#[cfg(target_arch = "wasm32")]
mod filter;
pub mod gate;
pub mod host;
pub mod json;
pub mod mcp;
pub mod policy;
pub mod rate;
pub mod reply;
pub mod token;
mod url;

#[cfg(target_arch = "wasm32")]
mod entry {
    proxy_wasm::main! {{ crate::filter::start(); }}
}
