# One target per intent; `make` alone lists them.
#
# Variables: PYTHON       an interpreter of version 3.11 or newer (found when left out)
#            ARGS         passed on, as in  make demo ARGS="--images pictures --tls"
#            TORCH_INDEX  address of an extra package index to take PyTorch from (its CPU builds are far smaller)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
SHELL := /bin/bash

VENV := .venv
BIN := $(VENV)/bin
TORCH := torch==2.13.0
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install -qq --progress-bar off
AT_LEAST_3_11 := import sys; sys.exit(sys.version_info < (3, 11))

# Looked for once, and only by a target that needs it.
PYTHON ?= $(eval PYTHON := $(shell for python in python3.11 python3.12 python3.13 python3 python; do \
	$$python -c '$(AT_LEAST_3_11)' 2>/dev/null && echo $$python && break; done))$(PYTHON)

# one process to a core; the tests of a file stay together, since they share what is dear to make
PYTEST = $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile

.PHONY: help demo test test-slow docker-test coverage sbom audit check format stubs faces page-picture readme-table lab-tables bench-tables site install-demo install-dev clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/demo.stamp ## install what the demo needs (no PyTorch) and run it; end it with Ctrl-C
	@exec $(BIN)/siftfunnel demo $(ARGS)

test: $(VENV)/dev.stamp ## install what the tests need and run them
	$(PYTEST) $(ARGS)

test-slow: $(VENV)/dev.stamp ## run the tests, the long ones too
	$(PYTEST) --run-slow $(ARGS)

docker-test: $(VENV)/dev.stamp ## bring the containers up for real and test them (needs Docker)
	$(BIN)/python -m pytest -m docker --run-docker $(ARGS)

coverage: $(VENV)/dev.stamp ## run the tests and report which branches they take
	$(PYTEST) --cov=siftfunnel --cov-branch --cov-report=term-missing:skip-covered --cov-report=json:build/coverage.json $(ARGS)

sbom: $(VENV)/dev.stamp ## write a bill of materials of the environment to build/sbom.json
	@mkdir -p build
	$(BIN)/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml --output-reproducible -o build/sbom.json

audit: $(VENV)/dev.stamp ## ask public services for known flaws of what is installed
	$(BIN)/pip-audit --progress-spinner off --skip-editable

check: $(VENV)/dev.stamp ## lint, formatting, types, import rules, generated stubs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m siftfunnel.shared.rpc.generate --check

format: $(VENV)/dev.stamp ## format the code and sort the imports
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

stubs: $(VENV)/dev.stamp ## generate shared/rpc from proto/ again
	$(BIN)/python -m siftfunnel.shared.rpc.generate

faces: $(VENV)/demo.stamp ## draw the demo's labelled faces again (same seed, same pictures)
	$(BIN)/siftfunnel faces --out siftfunnel/assets/images/drawnfaces $(ARGS)

page-picture: $(VENV)/dev.stamp ## photograph the attacker's page for README.md (needs Chromium)
	$(BIN)/python docs/pictures/make_page.py $(ARGS)

readme-table: $(VENV)/demo.stamp ## write the tables of README.md and docs/split.md
	$(BIN)/python docs/make_table.py

lab-tables: $(VENV)/dev.stamp ## write docs/tables and docs/findings.md from lab/results
	$(BIN)/siftfunnel lab tables --out docs/tables
	$(BIN)/python docs/make_prose.py findings

bench-tables: $(VENV)/dev.stamp ## write docs/tables/bench and docs/bench.md from bench/results and lab/results
	$(BIN)/siftfunnel bench tables --out docs/tables/bench
	$(BIN)/python docs/make_prose.py bench

site: $(VENV)/dev.stamp ## build the documentation site in build/site; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/python docs/make_site.py

install-demo: $(VENV)/demo.stamp ## only install what the demo needs

install-dev: $(VENV)/dev.stamp ## only install what the tests need

clean: ## remove the virtual environment, caches and build products
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or newer on PATH; install one, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c '$(AT_LEAST_3_11)' || { echo "make: $(PYTHON) is not Python 3.11 or newer; name another: make PYTHON=python3.11" >&2; exit 1; }
	@echo "Making a virtual environment in $(VENV) with $$($(PYTHON) --version) ..."
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "make: $(PYTHON) -m venv failed; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

$(VENV)/demo.stamp: pyproject.toml | $(BIN)/python
	@echo "Installing what the demo needs (no PyTorch; about 500 MB, a minute or two) ..."
	@$(INSTALL) --editable '.[demo]'
	@touch $@

$(VENV)/dev.stamp: pyproject.toml | $(BIN)/python $(VENV)/demo.stamp
	@echo "Installing PyTorch ($(TORCH)) ..."
	@$(INSTALL) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) '$(TORCH)'
	@echo "Installing what the tests need ..."
	@$(INSTALL) --editable '.[dev]'
	@touch $@
