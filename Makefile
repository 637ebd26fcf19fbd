# One command each; all of them set up what they need first. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/sh
BIN := .venv/bin
READY := .venv/.ready
# A process of tests per core, each with files of its own: most tests of real processes wait. In the order of their
# names the slow ones do not come last, where one process would work alone.
PARALLEL := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# The newest interpreter on the PATH that is new enough; override with `make setup PYTHON=...`.
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11 python; do \
	if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$name; break; fi; done)

.PHONY: help setup install demo up unit test check fix lock bench guard chaos clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1|/p' Makefile | awk -F'|' '{printf "%-15s %s\n", $$1, $$2}'

setup: $(READY) ## make .venv/ with everything, at locked versions

$(READY): pyproject.toml requirements/dev.txt web/client/pyproject.toml
	@test -n "$(PYTHON)" || { echo "ringback needs Python 3.11 or newer, and none is on the PATH." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv >/dev/null 2>&1 || { rm -rf .venv; \
		$(PYTHON) -m venv --without-pip .venv && $(PYTHON) -m pip --version >/dev/null 2>&1; } || { rm -rf .venv; \
		echo "This Python cannot make a virtual environment with pip:" >&2; \
		echo "install its venv module (Debian, Ubuntu: python3-venv) and try again." >&2; exit 1; }
	@echo "Installing into .venv (a minute the first time) ..."
	@if $(BIN)/python -m pip --version >/dev/null 2>&1; then pip="$(BIN)/python -m pip"; \
		else pip="$(PYTHON) -m pip --python $(BIN)/python"; fi; \
		$$pip install -qq --disable-pip-version-check --require-hashes -r requirements/dev.txt && \
		$$pip install -qq --disable-pip-version-check --no-deps --no-build-isolation \
			--config-settings editable_mode=compat -e . -e web/client
	@touch $@

install: ## make .venv/ with only what the service needs to run, at locked versions
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements/image.txt
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation \
		--config-settings editable_mode=compat -e .

demo: setup ## play one order from POST to verified webhook, against the sandbox provider
	@$(BIN)/ringback demo

up: setup ## run all processes on this machine, until Ctrl-C
	@$(BIN)/ringback up

unit: setup ## run only the unit tests, under a minute
	$(BIN)/python -m pytest -q -p no:schemathesis --hypothesis-profile quick $(PARALLEL) tests/unit

test: setup ## run unit, contract, integration and end-to-end tests; fails below the coverage floor
	$(BIN)/python -m pytest $(PARALLEL) --cov --cov-report=term -m "not chaos and not bench"

check: setup ## check lint, format, types and layers; `pre-commit install` does so before each commit
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: setup ## fix what lint and format can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: setup ## regenerate requirements/*.txt from pyproject.toml
	sh requirements/lock.sh

bench: setup ## measure ringback and its peers; writes docs/performance.md
	@test ! -f requirements/bench.txt || \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	$(BIN)/python -m tests.bench.run

guard: setup ## fail if CPU per poll has grown by half, relative to the bare loop
	$(BIN)/python -m tests.bench.guard

chaos: setup ## kill processes under load and check the money
	$(BIN)/python -m pytest -m chaos tests/chaos

clean: ## remove everything made here except the data in .ringback/
	rm -rf .venv build dist *.egg-info .coverage .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
