# Commands for people and CI. `make help` lists them.

WASM := target/wasm32-wasip1/release/countersign.wasm
CLI := target/debug/countersign

.PHONY: help
help:
	@echo 'make demo       run real MCP clients through a real Envoy with the filter (KEEP=1 leaves it running)'
	@echo 'make test       run every test'
	@echo 'make build      build $(WASM)'
	@echo 'make lint       check formatting and lints'
	@echo 'make manifests  check the deployment files (CRDS=folder of CRDs)'

include examples/demo/setup.mk

.PHONY: build
build:
	rustup target add wasm32-wasip1
	cargo build --locked --release --lib --target wasm32-wasip1

.PHONY: demo
demo: build stack
	$(STACK_NODE) examples/demo/demo.mjs
