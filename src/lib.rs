//! probe
#[cfg(target_arch = "wasm32")]
proxy_wasm::main! {{ }}
