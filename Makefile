# Needs make and a Python of 3.11 to 3.13; everything else comes into .venv from the hashed lock files.

VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.8

# The first interpreter that really starts, is of a supported version and can make a venv: python3 itself may be older,
# and a version manager's python3.13 may be a stub that only prints an error.
SUPPORTED := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	if $$p -c '$(SUPPORTED)' >/dev/null 2>&1; then echo $$p; break; fi; done)

.DEFAULT_GOAL := help
.PHONY: help venv run test lint format coverage bench bench-sync bench-forward profile lock clean

help: ## show the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

venv: $(VENV)/.installed ## set up .venv from the lock files

# --only-binary: a source package would be built with tools that no hash covers.
$(VENV)/.installed: requirements-dev.lock
	@test -n "$(PYTHON)" || { \
		echo "No Python 3.11, 3.12 or 3.13 with the venv module found; install one, or say: make PYTHON=/path/to/python" >&2; \
		exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --only-binary :all: -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --no-index --editable .
	@touch $@

run: venv ## serve the demo cluster on 127.0.0.1:1053, admin HTTP on 127.0.0.1:8053
	@$(BIN)/python -m dnsserver serve --config zones/dnsserver.toml --objects zones/demo \
		--listen 127.0.0.1:1053 --admin 127.0.0.1:8053 $(ARGS)

test: lint ## everything: linters, types, import contracts, tests
	$(BIN)/python -m pytest $(ARGS)

lint: venv ## ruff, mypy, import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: venv ## let ruff repair what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

coverage: venv ## which lines the tests reach
	$(BIN)/coverage run -m pytest $(ARGS)
	$(BIN)/coverage report

bench: venv ## processor time a query, beside the C servers
	$(BIN)/python -m tests.bench.serve $(ARGS)

bench-sync: venv ## start, memory and change-to-answer at full cluster size
	$(BIN)/python -m tests.bench.sync $(ARGS)

bench-forward: venv ## forwarding and its cache, beside Unbound
	$(BIN)/python -m tests.bench.forward $(ARGS)

profile: venv ## where the time of an answer goes
	$(BIN)/python -m tests.bench.profile $(ARGS)

# One lock for all supported Pythons (markers choose); the development lock holds the run-time one unchanged.
UV := $(VENV)-lock/bin/uv
lock: $(UV) ## resolve the newest versions into the lock files
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade --no-config \
		--custom-compile-command "make lock" pyproject.toml --output-file requirements.lock
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade --no-config \
		--custom-compile-command "make lock" pyproject.toml --group dev --constraint requirements.lock \
		--output-file requirements-dev.lock

$(UV):
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet uv==$(UV_VERSION)

clean: ## remove what these targets made
	rm -rf $(VENV) $(VENV)-lock .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage dist
	find dnsserver loadtest tests -name __pycache__ -type d -prune -exec rm -rf {} +
