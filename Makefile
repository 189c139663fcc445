# Every target sets up what it needs: git, make and Python 3.11 or newer with venv are enough.
.DEFAULT_GOAL := help
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest -q -n 3 --dist worksteal
DEMO ?=
ROWS ?=
PEER ?=

.PHONY: help setup demo run test test-all conformance check bench format lock

help:  ## Say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup:
	@./scripts/bootstrap.sh

demo: setup  ## See a held call: make demo, or make demo DEMO=--yes
	@$(BIN)/approvals demo $(DEMO)

run: setup  ## Run the service with approvals.yaml of this folder
	@$(BIN)/approvals serve

test: setup  ## Everything that needs no system package
	@$(PYTEST)

test-all: setup  ## All tests, also the long sweeps and those with Node.js
	@./scripts/node.sh
	@$(PYTEST) --long

conformance: setup  ## The official MCP suite, direct and through the gateway
	@./scripts/node.sh
	@$(BIN)/python -m pytest -q --long -rA tests/conformance

check: setup  ## What CI runs: style, types, rooms, migrations, locks, docs, tests
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache | tail -n 8
	@$(BIN)/python scripts/check_files.py
	@$(BIN)/coverage run -m pytest -q tests/domain
	@$(BIN)/coverage report --include 'approvals/domain/*' --fail-under 100 --skip-covered -m
	@$(PYTEST) --cov --cov-report=
	@$(BIN)/coverage report --format total | sed 's/$$/ % of all code is covered/'

bench: setup  ## Print what is measured, and write bench/results.json
	@./scripts/bootstrap.sh bench
	@PEER=$(PEER) $(BIN)/python -m bench $(ROWS)

format: setup  ## Put the code into shape
	@$(BIN)/ruff check --fix -q .
	@$(BIN)/ruff format -q .

lock: setup  ## Write the lock files anew
	@./scripts/lock.sh
