# Needs make and a Python of 3.11 to 3.13; everything else comes into .venv from the hashed lock files: what running needs
# with the first `make run`, what testing needs besides with the first `make test`.

VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.8

# The first interpreter that really starts, is of a supported version and can make a venv: python3 itself may be older,
# and a version manager's python3.13 may be a stub that only prints an error.
SUPPORTED := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	if $$p -c '$(SUPPORTED)' >/dev/null 2>&1; then echo $$p; break; fi; done)

.DEFAULT_GOAL := help
.PHONY: help venv run test e2e lint format coverage fuzz soak bench bench-sync bench-forward profile lock wheel sbom \
	release-check release-files clean

# Where `make run` serves.
PORT ?= 1053
ADMIN_PORT ?= 8053

help: ## show the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16
	@echo
	@echo "ARGS is passed on, as in: make run ARGS='--upstream 9.9.9.9'"
	@echo "                          make test ARGS='tests/zone -k apex'"

venv: $(VENV)/.installed ## set up .venv for running, testing and linting

# --only-binary: a source package would be built with tools that no hash covers.
PIP := $(BIN)/python -m pip install --disable-pip-version-check --require-hashes --only-binary :all:

# The project itself is not installed for running: a path and a script lead to this folder.
$(VENV)/.runs: requirements.lock
	@test -n "$(PYTHON)" || { \
		echo "No Python 3.11, 3.12 or 3.13 with the venv module found; install one, or say: make PYTHON=/path/to/python" >&2; \
		exit 1; }
	@$(PYTHON) -c '$(SUPPORTED)' >/dev/null 2>&1 || { \
		echo "$(PYTHON) is $$($(PYTHON) -V 2>&1), expected Python 3.11, 3.12 or 3.13 with the venv module" >&2; exit 1; }
	@echo "Setting up $(VENV) with what running needs, once; it takes one to two minutes"
	@$(BIN)/python -c '$(SUPPORTED)' >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(PIP) -r requirements.lock
	@echo "$(CURDIR)" > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/dnsserver-here.pth"
	@printf '#!/bin/sh\nexec "%s/python" -m dnsserver "$$@"\n' "$(CURDIR)/$(BIN)" > $(BIN)/dnsserver
	@chmod +x $(BIN)/dnsserver
	@touch $@

$(VENV)/.installed: requirements-dev.lock $(VENV)/.runs
	@echo "Adding to $(VENV) what testing needs, once; it takes two to four minutes"
	@$(PIP) -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --no-index --editable .
	@touch $@

# A server serves DNS while another program has the port of its admin HTTP, and tries again; here somebody looks at it.
PORTS_TAKEN := If another program has the port: make run PORT=1054 ADMIN_PORT=8054
run: $(VENV)/.runs ## serve the demo cluster; PORT=1053 and ADMIN_PORT=8053 say where
	@$(if $(findstring --admin,$(ARGS)),,$(BIN)/python -c \
		'import socket, sys; socket.create_server(("127.0.0.1", int(sys.argv[1]))).close()' $(ADMIN_PORT) 2>/dev/null || { \
		echo "Port $(ADMIN_PORT) of 127.0.0.1 is not free for the page. $(PORTS_TAKEN)" >&2; exit 1; })
	@$(BIN)/python -m dnsserver serve --config zones/dnsserver.toml --objects zones/demo \
		--listen 127.0.0.1:$(PORT) --admin 127.0.0.1:$(ADMIN_PORT) $(ARGS) || { status=$$?; \
		[ $$status != 1 ] || echo "$(PORTS_TAKEN)" >&2; exit $$status; }

# Most tests wait for something rather than compute, so there are more of them at once than processors; to debug one,
# say PROCESSES=0.
PROCESSES ?= 4
PYTEST := pytest -n $(PROCESSES) --dist loadgroup

test: lint ## everything: linters, types, import contracts, tests
	$(BIN)/python -m $(PYTEST) $(ARGS)

# What the nodes of the cluster have, or can pull.
IMAGE ?= dnsserver:latest
COREDNS_IMAGE ?= registry.k8s.io/coredns/coredns:v1.14.7

e2e: venv ## the life of a deployment, on the cluster of KUBECONFIG
	DNSSERVER_E2E=1 IMAGE=$(IMAGE) COREDNS_IMAGE=$(COREDNS_IMAGE) $(BIN)/python -m pytest -x -v -rsP tests/real $(ARGS)

lint: venv ## ruff, mypy, import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: venv ## let ruff repair what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

coverage: venv ## the tests once more, and which lines they reach; twice as long
	$(BIN)/coverage erase
	$(BIN)/coverage run -m $(PYTEST) $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

fuzz: venv ## fuzzers; ARGS='--runs 1000000 packet' for more of one
	$(BIN)/python -m tests.fuzz $(ARGS)

soak: venv ## an hour of all troubles at once; ARGS='--seconds 300'
	$(BIN)/python -m tests.bench.soak $(ARGS)

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

# What a release is made of, into dist/; .github/workflows/release.yml calls these.
wheel: venv ## the wheel
	$(BIN)/python -m hatchling build -t wheel

# Of an environment that has what the lock names and nothing else: there it sees licences, and who needs whom.
SBOM_OF ?= dist/locked
sbom: venv ## what it is made of, as CycloneDX, of the lock
	@mkdir -p dist
	@[ "$(SBOM_OF)" != dist/locked ] || { $(BIN)/python -m venv --clear --without-pip dist/locked && \
		$(BIN)/python -m pip --python dist/locked/bin/python install --quiet --disable-pip-version-check --require-hashes \
		--only-binary :all: -r requirements.lock; }
	@sed "s/^dynamic = .*/version = \"$$(sed -n 's/^__version__ = "\(.*\)"$$/\1/p' dnsserver/__init__.py)\"/" pyproject.toml \
		> dist/pyproject.toml
	$(BIN)/cyclonedx-py environment --pyproject dist/pyproject.toml --mc-type application --output-reproducible \
		--output-file dist/dnsserver.cdx.json $(SBOM_OF)
	@rm -rf dist/locked dist/pyproject.toml

release-check: ## TAG=vX.Y.Z is the version, and the changelog tells of it
	@version=$$(sed -n 's/^__version__ = "\(.*\)"$$/\1/p' dnsserver/__init__.py); \
		[ "$$TAG" = "v$$version" ] || { echo "the tag is $$TAG, expected v$$version, as dnsserver/__init__.py says" >&2; exit 1; }; \
		mkdir -p dist; awk -v wanted="## $$version" '/^## /{found = $$0 == wanted; next} found' CHANGELOG.md > dist/NOTES.md; \
		grep -q . dist/NOTES.md || { echo "CHANGELOG.md says nothing of $$version, expected a section \"## $$version\"" >&2; exit 1; }

release-files: ## the manifests, with IMAGE=NAME@sha256:... in them
	@case "$(IMAGE)" in *@sha256:*) ;; *) echo "IMAGE is $(IMAGE), expected NAME@sha256:..." >&2; exit 1;; esac
	@rm -rf dist/manifests && mkdir -p dist/manifests/dnsserver
	@cp -r manifests zones dist/manifests/dnsserver/
	@find dist/manifests -name '*.yaml' -exec sed -i 's|image: dnsserver:latest$$|image: $(IMAGE)|' {} +
	tar -C dist/manifests -czf dist/dnsserver-manifests.tar.gz dnsserver
	@rm -r dist/manifests

clean: ## remove what these targets made
	rm -rf $(VENV) $(VENV)-lock .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage .coverage.* dist
	find dnsserver loadtest tests -name __pycache__ -type d -prune -exec rm -rf {} +
