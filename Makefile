# Every target brings what it needs and asks nothing; `make help` lists them.
# One environment in VENV, one installed set per stamp: demo (all but torch and the tools), dev, train (PyTorch, 5 GB).
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/stamps
PINS   := pyproject.toml constraints.txt
PIP    := $(BIN)/python -m pip --no-input --disable-pip-version-check
# Most tests wait for brokers, processes and deadlines, so a few workers share even two cores well; each worker that
# tests a cluster starts a control plane of its own (0.8 GiB).
WORKERS ?= -n 4 --dist worksteal
SHELL  := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# Empty is off: byte code makes each start of the command 2.7 times faster, and some images switch it off.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo test test-all check fix env golden bench docs crds cluster lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

demo: $(STAMP)/demo ## the main job on this machine: one tiers.yaml, two devices, a model, a sync (under two minutes)
	$(BIN)/tiers demo $(ARGS)

test: $(STAMP)/dev ## the tests of every day (a few minutes); a missing part skips its tests and says how to bring it
	@scripts/bring-mosquitto
	@scripts/bring-prometheus
	@scripts/bring-registry
	@scripts/bring-nginx
	@scripts/bring-openssh
	@scripts/bring-s3 $(BIN)/python
	@scripts/bring-crds
	@scripts/bring-tensorrt-bindings $(BIN)/python
	$(BIN)/python -m pytest $(WORKERS) -m "not slow and not faults" $(ARGS)

test-all: $(STAMP)/train ## every test with every part, PyTorch too (5 GB); a missing part fails; what CI runs
	@scripts/bring-mosquitto
	@scripts/bring-prometheus
	@scripts/bring-registry
	@scripts/bring-nginx
	@scripts/bring-openssh
	@scripts/bring-s3 $(BIN)/python
	@scripts/bring-crds
	@scripts/bring-cluster
	@scripts/bring-tensorrt-bindings $(BIN)/python
	TIERS_REQUIRE_ALL=1 $(BIN)/python -m pytest $(WORKERS) $(ARGS)

check: $(STAMP)/dev ## format, lint, types (also for Python 3.10), direction of imports, freshness of generated pages
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy
	$(BIN)/mypy --python-version 3.10
	$(BIN)/lint-imports --no-logo
	$(BIN)/python scripts/docs.py --check

fix: $(STAMP)/dev ## let ruff format and mend what it can
	$(BIN)/ruff check --fix --quiet || true
	$(BIN)/ruff format --quiet

env: $(STAMP)/dev ## the environment of a developer in .venv, without PyTorch

golden: $(STAMP)/dev ## write tests/golden again from what is rendered now; read the difference before you commit it
	$(BIN)/python scripts/golden.py

docs: $(STAMP)/dev ## write docs/reference again from the code
	$(BIN)/python scripts/docs.py

bench: $(STAMP)/dev ## the benchmarks, each with its peer (ARGS=--quick for the small form)
	@scripts/bring-serving-peers
	for each in benchmarks/*.py; do $(BIN)/python "$$each" $(ARGS); done

crds: ## the CRDs of Volcano and KubeEdge for the tests, from their Go modules (needs Go)
	scripts/bring-crds

cluster: $(STAMP)/dev ## a real Kubernetes with Volcano and the hospital's machines, for trying things; Ctrl-C ends it
	@scripts/bring-crds
	@scripts/bring-cluster
	@$(BIN)/python -m tests.cluster $(ARGS)

lock: ## resolve constraints.txt anew, for every Python at once
	$(PYTHON) -m venv .cache/lock
	.cache/lock/bin/python -m pip install --quiet --upgrade uv
	.cache/lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.10 --native-tls --no-annotate \
	    --extra demo --extra train --extra s3 --extra ssh --extra awscrt --group dev \
	    --custom-compile-command "make lock" pyproject.toml --output-file constraints.txt

clean: ## remove what was made here: environment, caches, the demo's folder
	rm -rf $(VENV) .cache .build dist demo-run .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# ---------------------------------------------------------------- the environment
$(STAMP)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "tiers needs Python 3.10 or newer: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet 'pip>=25.1'  # older ones know no dependency groups
	@mkdir -p $(STAMP) && touch $@

$(STAMP)/demo: $(PINS) | $(STAMP)/pip
	$(PIP) install --quiet --constraint constraints.txt --editable '.[demo]'
	$(BIN)/python -m compileall -q toolkit templates edge_runtime cloud_jobs
	@touch $@

$(STAMP)/dev: $(PINS) | $(STAMP)/demo
	$(PIP) install --quiet --constraint constraints.txt --group dev
	@touch $@

$(STAMP)/train: $(PINS) | $(STAMP)/dev
	$(PIP) install --quiet --constraint constraints.txt --editable '.[train,awscrt]'
	@touch $@
