# Commands for people and CI. `make help` lists them.

WASM := target/wasm32-wasip1/release/countersign.wasm
# The module with faults that only tests may inject; never shipped.
FAULTS_WASM := target/faults/wasm32-wasip1/release/countersign.wasm
CLI := target/debug/countersign
# CRDs of Istio and Envoy Gateway, and public test vectors; tests/manifests/README.md and
# DESIGN.md say where to get them. What is missing is skipped and said.
CRDS ?= $(wildcard ../shared/crds)
VECTORS ?= $(wildcard ../shared/vectors)

.PHONY: help
help:
	@echo 'make demo         run real MCP clients through a real Envoy with the filter (KEEP=1 leaves it running)'
	@echo 'make walk         walk through the examples of policies on the real stack (EXAMPLE=name)'
	@echo 'make test         run every test'
	@echo 'make build        build $(WASM)'
	@echo 'make conformance  run the official MCP conformance suite directly and through the filter'
	@echo 'make differential send attacks and mutations to the filter and to real MCP servers, and compare'
	@echo '                  (SEED= CASES=5000 MODE=hold)'
	@echo 'make bench        measure what a request costs Envoy (ROUNDS=60 REQUESTS=200 LANES=)'
	@echo 'make fuzz         look for inputs that break what must hold (SECONDS=60 for each of TARGETS=)'
	@echo 'make lint         check formatting and lints'
	@echo 'make manifests    check the deployment files (CRDS=folder of CRDs)'
	@echo 'make examples     write envoy.yaml of the examples after config.json changed'
	@echo 'make schema       write the schemas and references of documents after their types changed'

include examples/demo/setup.mk

.PHONY: build
build: wasm-target
	cargo build --locked --release --lib --target wasm32-wasip1

.PHONY: build-faults
build-faults: wasm-target
	cargo build --locked --release --lib --target wasm32-wasip1 --features test-faults --target-dir target/faults

.PHONY: wasm-target
wasm-target:
	@rustup target list --installed | grep -qx wasm32-wasip1 || rustup target add wasm32-wasip1

# Agent and user, unknown agents, chains, step-up, rates, shadow, and what MCP servers get of it.
DEMO_WALKS := agent-catalogue on-behalf-of step-up rollout token-exchange

.PHONY: demo
demo: build stack
	$(STACK_NODE) examples/demo/demo.mjs
	$(STACK_NODE) examples/demo/walk.mjs $(DEMO_WALKS)

# The examples that are about policy, as examples/*/walk.json says (EXAMPLE=name for one of them).
EXAMPLE ?= $(notdir $(patsubst %/,%,$(dir $(wildcard examples/*/walk.json))))

.PHONY: walk
walk: build stack
	$(STACK_NODE) examples/demo/walk.mjs $(EXAMPLE)

.PHONY: examples
examples: stack
	$(STACK_NODE) examples/render.mjs

.PHONY: test
test: test-rust test-policies test-stack test-envoy manifests

# Unit tests, the configuration, and the compiled module in the in-process host.
.PHONY: test-rust
test-rust: build
	$(if $(VECTORS),VECTORS=$(VECTORS)) cargo test --locked --lib --bins -- --show-output
	COUNTERSIGN_WASM=$(WASM) cargo test --locked --test '*'

# The policies of the examples, by the command that operators test theirs with.
.PHONY: test-policies
test-policies:
	cargo build --locked --bin countersign
	$(CLI) test examples

# The parts of the demo, of the bench and of the conformance run by themselves.
.PHONY: test-stack
test-stack: stack
	$(STACK_NODE) --test 'examples/demo/tests/*.test.mjs' 'bench/tests/*.test.mjs' 'tests/conformance/*.test.mjs'

# More real MCP clients and servers, for tests/envoy. Nothing of theirs runs while they are installed.
TEST_CLIENTS := tests/clients/node_modules/.package-lock.json

$(TEST_CLIENTS): tests/clients/package.json tests/clients/package-lock.json
	npm ci --prefix tests/clients --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@

# The compiled module in a real Envoy, in front of real MCP servers.
.PHONY: test-envoy
test-envoy: build build-faults test-vectors stack $(TEST_CLIENTS)
	COUNTERSIGN_FAULTS_WASM=$(FAULTS_WASM) $(STACK_NODE) --test --test-concurrency=2 'tests/envoy/*.test.mjs'

# Test vectors and what is expected of them, for tests/envoy.
.PHONY: test-vectors
test-vectors:
	$(if $(VECTORS),VECTORS=$(VECTORS)) cargo test --locked --quiet --lib -- --ignored --exact token::tests::vectors::write_for_envoy --show-output

# What the official suite says of an MCP server, it says of it behind the filter too.
CONFORMANCE := tests/conformance
CONFORMANCE_STAMP := $(CONFORMANCE)/node_modules/.package-lock.json

.PHONY: conformance
conformance: build stack $(CONFORMANCE_STAMP)
	$(STACK_NODE) $(CONFORMANCE)/run.mjs

# npm writes this file itself.
$(CONFORMANCE_STAMP): $(CONFORMANCE)/package.json $(CONFORMANCE)/package-lock.json
	npm ci --prefix $(CONFORMANCE) --no-audit --no-fund --loglevel=error
	touch $@

# Figures, with targets that are met or missed; fails only when the run is void.
.PHONY: bench
bench: build stack
	$(STACK_NODE) bench/bench.mjs

# cargo-fuzz is a tool for people; this version and no other, and nowhere but here.
CARGO_FUZZ_VERSION := 0.13.2
CARGO_FUZZ := target/tools/cargo-fuzz-$(CARGO_FUZZ_VERSION)/bin/cargo-fuzz
SECONDS ?= 60

.PHONY: fuzz
fuzz: $(CARGO_FUZZ)
	fuzz/run.sh $(CURDIR)/$(CARGO_FUZZ) $(SECONDS) $(TARGETS)

$(CARGO_FUZZ):
	cargo install --locked --quiet cargo-fuzz --version $(CARGO_FUZZ_VERSION) --root $(@D)/..

# The same bytes to the filter and to the parsers of real MCP servers (tests/differential).
DIFFERENTIAL := tests/differential
DIFFERENTIAL_NPM_STAMP := $(DIFFERENTIAL)/node_modules/.package-lock.json

.PHONY: differential
differential: build stack $(DIFFERENTIAL_NPM_STAMP)
	cargo build --locked --quiet --manifest-path $(DIFFERENTIAL)/servers/rmcp/Cargo.toml --target-dir target/differential
	$(STACK_NODE) --test '$(DIFFERENTIAL)/*.test.mjs'
	$(if $(VECTORS),VECTORS=$(VECTORS)) $(STACK_NODE) $(DIFFERENTIAL)/differential.mjs

# npm writes this file itself.
$(DIFFERENTIAL_NPM_STAMP): $(DIFFERENTIAL)/package.json $(DIFFERENTIAL)/package-lock.json
	npm ci --prefix $(DIFFERENTIAL) --no-audit --no-fund --loglevel=error
	touch $@

.PHONY: manifests
manifests: build stack $(STACK)/venv/manifests-installed
	cargo build --locked --bin countersign
	$(STACK_PYTHON) tests/manifests/check.py --envoy $(STACK_ENVOY) $(if $(CRDS),--crds $(CRDS)) \
	  --extract target/manifests --check "$(CLI) check"
	$(STACK_PYTHON) tests/manifests/test_check.py --envoy $(STACK_ENVOY) $(if $(CRDS),--crds $(CRDS))
	$(STACK_PYTHON) tests/manifests/test_fail_closed.py --envoy $(STACK_ENVOY)

$(STACK)/venv/manifests-installed: tests/manifests/requirements.txt $(STACK_VENV_STAMP)
	$(STACK_PYTHON) -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

.PHONY: lint
lint: wasm-target
	cargo fmt --check
	cargo clippy --locked --all-targets -- --deny warnings
	cargo clippy --locked --lib --target wasm32-wasip1 -- --deny warnings
	RUSTDOCFLAGS='--deny warnings --allow rustdoc::private_intra_doc_links' cargo doc --locked --no-deps --lib --quiet --document-private-items

.PHONY: schema
schema:
	cargo build --locked --quiet --bin countersign
	$(CLI) schema > schema/countersign.schema.json
	$(CLI) schema --fixtures > schema/countersign.test.schema.json
	$(CLI) schema --format markdown > docs/reference.md
	$(CLI) schema --fixtures --format markdown > docs/fixtures.md
