# Wayfarer: every task a developer or CI has. `make` alone prints this help.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PYTHON := $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
ARGS ?=
COMPILED ?=
# Where tests are quick enough for `make test`; kill runs have a target of their own.
QUICK := tests/unit tests/contract tests/integration tests/acceptance tests/architecture
WORKERS ?= 2

.PHONY: help
help: ## print this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-14s %s\n", $$1, $$2}'

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Wayfarer needs Python 3.11 or newer" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) >&2

$(VENV)/.bootstrap: requirements/bootstrap.txt | $(BIN)/python
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt >&2
	@touch $@

# uv is quick but does not read pip's configuration: where it cannot install, pip does.
define install
	@echo "installing $(1) …" >&2
	@$(BIN)/uv pip install -q -p $(BIN)/python --require-hashes -r $(1) >&2 2>/dev/null || \
		$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r $(1) >&2
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e . >&2
endef

$(VENV)/.runtime: $(VENV)/.bootstrap requirements/runtime.txt pyproject.toml
	$(call install,requirements/runtime.txt)
	@touch $@

$(VENV)/.dev: $(VENV)/.bootstrap requirements/dev.txt pyproject.toml
	$(call install,requirements/dev.txt)
	@touch $@ $(VENV)/.runtime

.PHONY: demo
demo: $(VENV)/.runtime ## run ten contacts through a real workflow and show what happened (ARGS=--json)
	@$(BIN)/wayfarer demo $(ARGS)

.PHONY: up
up: $(if $(filter 1,$(COMPILED)),compiled,$(VENV)/.runtime) ## keep the whole stack running until Ctrl-C (ARGS="--workers 2")
	@$(if $(filter 1,$(COMPILED)),$(WITH_COMPILED)) $(BIN)/wayfarer up $(ARGS)

.PHONY: test
test: $(VENV)/.dev ## unit, contract, integration, acceptance and architecture tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope $(wildcard $(QUICK)) $(ARGS)

# The engine's busiest modules as machine code, in build/compiled: `make up COMPILED=1` runs them, benchmarks do
# without being told (not with COMPILED=0), and `make test-compiled` tests them.
WITH_COMPILED := PYTHONSAFEPATH=1 PYTHONPATH=$(CURDIR)/build/compiled
BENCH := $(if $(filter 0,$(COMPILED)),,$(WITH_COMPILED)) $(BIN)/python -m
BENCHED := $(if $(filter 0,$(COMPILED)),$(VENV)/.dev,compiled)
# pytest puts the project's root before them: so the packages are there before pytest looks at a test.
PYTEST_COMPILED := WAYFARER_COMPILED=1 $(WITH_COMPILED) $(BIN)/python -m pytest -p execution_engine -p dispatcher

.PHONY: compiled
compiled: $(VENV)/.dev ## the engine's busiest modules as machine code (nothing without a C compiler)
	@$(BIN)/python -m tools.compiled $(ARGS_COMPILED)

.PHONY: test-compiled
test-compiled: ARGS_COMPILED := --must
test-compiled: compiled ## what `make test` and `make chaos` run, with those modules compiled
	$(PYTEST_COMPILED) -n $(WORKERS) --dist loadscope $(wildcard $(QUICK)) $(ARGS)
	$(PYTEST_COMPILED) -p no:xdist -s tests/chaos

.PHONY: test-all
test-all: $(VENV)/.dev ## every test, with long property runs
	WAYFARER_HYPOTHESIS=long $(BIN)/python -m pytest -n $(WORKERS) --dist loadscope --timeout 1800 tests $(ARGS)

# The pure core: what decides, without a database or a wire.
CORE := execution_engine/advance.py,execution_engine/walk.py,execution_engine/resting.py,execution_engine/waits.py,$\
execution_engine/states.py,execution_engine/journal.py,execution_engine/fold.py,execution_engine/retry.py,$\
execution_engine/signals.py,execution_engine/schedule.py,execution_engine/notices.py,execution_engine/masking.py,$\
execution_engine/chain.py,execution_engine/admission/*,execution_engine/calendar/*,execution_engine/definition/*,$\
execution_engine/steps/*,execution_engine/leave.py,execution_engine/sending/*

.PHONY: coverage-core
coverage-core: $(VENV)/.dev ## lines and branches of the pure core that unit tests reach: at least 95 %
	rm -rf .coverage && mkdir .coverage
	$(BIN)/python -m coverage run -m pytest -q -p no:xdist tests/unit
	$(BIN)/python -m coverage combine -q --keep && $(BIN)/python -m coverage report --include='$(CORE)' --fail-under 95

.PHONY: coverage
coverage: coverage-core ## the same of everything, over all tests but kills: at least 85 %
	$(BIN)/python -m coverage run -m pytest -q -p no:xdist tests/contract tests/integration
	$(BIN)/python -m coverage combine -q --append && $(BIN)/python -m coverage report --fail-under 85

.PHONY: chaos
chaos: $(VENV)/.dev ## kill every process while executions run; nothing may be lost or doubled
	$(BIN)/python -m pytest -p no:xdist -s tests/chaos $(ARGS)

.PHONY: http-fuzz
http-fuzz: $(VENV)/.dev ## generated requests against the HTTP API for 150 s (ARGS="--max-time=600 --seed=7")
	@$(BIN)/python -m tests.fuzz.http $(ARGS)

.PHONY: clients
clients: $(VENV)/.dev ## make Python and TypeScript clients of the HTTP API in build/clients and use them (needs node, npm)
	$(BIN)/python -m pytest -p no:xdist tests/clients $(ARGS)

.PHONY: browser
browser: $(VENV)/.dev ## the console in a real browser: journeys, axe, screenshots in build/screenshots (needs chromium)
	$(BIN)/python -m pytest -p no:xdist tests/browser $(ARGS)

.PHONY: bench
bench: $(BENCHED) ## actions per second, latency, CPU and memory beside the baseline (ARGS=--json)
	@$(BENCH) tests.load.bench $(ARGS)

.PHONY: bench-scale
bench-scale: $(BENCHED) ## hours of load: a million waiting, many processes, old snapshots, timers (ARGS="--only bare,tags")
	@$(BENCH) tests.load.scale $(ARGS)

.PHONY: bench-plots
bench-plots: $(VENV)/.dev ## draw build/scale.json into docs/ (installs matplotlib)
	@$(BIN)/uv pip install -q -p $(BIN)/python --require-hashes -r requirements/bench.txt 2>/dev/null || \
		$(BIN)/python -m pip install -q --require-hashes -r requirements/bench.txt
	@$(BIN)/python -m tests.load.plots

.PHONY: bench-peers
bench-peers: $(BENCHED) ## the same job on DBOS, Temporal, Celery, ARQ and plain SQLAlchemy (ARGS="--only plain,wayfarer")
	@$(BENCH) tests.load.peers $(ARGS)

# buf sees its workspace alone; the annotations' protos are lent to it from their package, and not kept.
GOOGLEAPIS := proto/third_party/googleapis/google/api/annotations.proto
$(GOOGLEAPIS): $(VENV)/.dev
	@mkdir -p $(@D)
	@cd $(@D) && from=$$($(CURDIR)/$(BIN)/python -c 'import google.api; print(list(google.api.__path__)[0])') && \
		cp $$from/annotations.proto $$from/http.proto . && touch annotations.proto

.PHONY: check
check: $(VENV)/.dev $(GOOGLEAPIS) ## format, lint, types, direction of imports, protos, generated code
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	$(BIN)/python tools/generate.py --check
	$(BIN)/python -m tools.openapi --check
	$(BIN)/python tools/requirements_map.py --check
	$(BIN)/python -m tools.actions_page --check

.PHONY: format
format: $(VENV)/.dev $(GOOGLEAPIS) ## format code and protos in place
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/buf format -w

.PHONY: proto
proto: $(VENV)/.dev ## generate proto/gen and the OpenAPI document from proto/wayfarer
	$(BIN)/python tools/generate.py
	$(BIN)/python -m tools.openapi

.PHONY: envoy
envoy: $(VENV)/.dev ## write the descriptors that deploy/envoy needs to build/envoy
	$(BIN)/python -m tools.envoy_descriptors build/envoy/wayfarer.binpb

.PHONY: requirements-map
requirements-map: $(VENV)/.dev ## write which tests prove which requirement to docs/requirements.md
	$(BIN)/python tools/requirements_map.py

.PHONY: actions-page
actions-page: $(VENV)/.dev ## write what every action type says of itself to docs/actions.md
	$(BIN)/python -m tools.actions_page

.PHONY: requirements
requirements: $(VENV)/.bootstrap ## pin requirements/*.in anew, with hashes
	cd requirements && ../$(BIN)/uv pip compile -q --upgrade --generate-hashes --no-header --no-annotate \
		--python-version 3.11 --universal -o dev.txt dev.in
	cd requirements && for f in runtime bootstrap bench envoy; do ../$(BIN)/uv pip compile -q --generate-hashes --no-header \
		--no-annotate --python-version 3.11 --universal -c dev.txt -o $$f.txt $$f.in; done
	cd requirements && ../$(BIN)/uv pip compile -q --upgrade --generate-hashes --no-header --no-annotate \
		--python-version 3.11 --universal -o clients.txt clients.in
	cd requirements/peers && for f in *.in; do ../../$(BIN)/uv pip compile -q --upgrade --generate-hashes --no-header \
		--no-annotate --python-version 3.11 --universal -o $${f%.in}.txt $$f; done

.PHONY: clean
clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .tools .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage
