# Every command of the README. They make their own environment under .venv and need Python 3.11 or later.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SCRIPT ?=
AVATAR ?=
VOICE ?=
IMAGE ?=
OUT ?= demo.mp4
HOST ?= 127.0.0.1
PORT ?= 8000
TLS ?=
BENCH ?= short
MINUTES ?= 30
SEED ?= 1
BENCH_OUT ?= outputs/bench/$(BENCH)

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export HOST PORT TLS

.PHONY: help demo up test test-unit test-postgres test-videos test-stack lint bench bench-parts bad-input clean
help:
	@echo "make demo   a script becomes demo.mp4 (SCRIPT=, AVATAR=, VOICE=, IMAGE=portrait.png)"
	@echo "make up     the whole service on http://$(HOST):$(PORT) (TLS=1 for HTTPS)"
	@echo "make test   the whole test suite"
	@echo "make lint   style, types and import contracts"
	@echo "make bench  conversations and clips, measured; a report with plots goes to $(BENCH_OUT)/ (BENCH=full: for publishing)"
	@echo "make bad-input     whatever may come in, made by the thousand (MINUTES=$(MINUTES), SEED=$(SEED)); see docs/security-testing.md"
	@echo "make bench-parts   the benchmarks of single parts; results go to docs/benchmarks/"

# The stamps hold the lock file's hash, so an unchanged environment needs no network.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Parley needs Python 3.11 or later, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.all: requirements/all.txt | $(BIN)/python
	@echo "Installing (the first time takes a minute or two)..."
	@$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements/all.txt
	@touch $@

$(VENV)/.bench: requirements/dev.txt requirements/bench.txt | $(BIN)/python
	@echo "Installing what measurements need..."
	@$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements/bench.txt
	@touch $@ $(VENV)/.all

# Beside it torch, of 750 MB, which the tests of some models want and a measurement of others does not.
$(VENV)/.dev: $(VENV)/.bench requirements/torch.txt
	@echo "Installing what the checks need..."
	@$(BIN)/python -m pip install --quiet --no-deps -r requirements/torch.txt
	@touch $@

demo: $(VENV)/.all
	@SCRIPT="$$SCRIPT" $(BIN)/python -m project.embedded --with-parent demo --out "$(OUT)"

up: $(VENV)/.all
	@$(BIN)/python -m project.embedded --with-parent up

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy project generation sessions rtc workers storage
	$(BIN)/python manage.py makemigrations --check --dry-run
	@! grep -nE '(https?|file|git)[+:]//' requirements/*.txt || { echo "a lock file names an address"; exit 1; }

test: $(VENV)/.dev
	@$(BIN)/python -m tests.support.system_packages
	$(MAKE) --no-print-directory test-unit test-postgres test-videos test-stack

# Fast tests, on both cores.
test-unit: $(VENV)/.dev
	$(BIN)/pytest -n 2 --ignore=tests/browser --ignore=tests/faults --ignore=tests/stack --ignore=tests/quality

# Everything that claims, leases or searches, once more on PostgreSQL.
test-postgres: $(VENV)/.dev
	$(BIN)/python -m tests.support.postgres -- $(BIN)/pytest -m postgres --ignore=tests/browser --ignore=tests/faults --ignore=tests/stack --ignore=tests/quality

# Whole videos, on both cores: they are judged by what is in them.
test-videos: $(VENV)/.dev
	$(BIN)/pytest -n 2 --dist loadfile -p no:randomly --timeout 600 tests/quality

# Real parts and pages, one after the other: stacks and browsers want both cores.
test-stack: $(VENV)/.dev
	$(BIN)/pytest -p no:randomly --timeout 600 --durations=40 tests/stack tests/faults tests/browser

# Conversations and clips on a stack of its own, in about six minutes; `manage.py bench --help` has the rest.
# A run that finds something wrong ends with 1; the others and the report of all are made nevertheless.
bench: $(VENV)/.bench
	@failed=0; \
	$(BIN)/python manage.py bench live --config "$(BENCH)" --out "$(BENCH_OUT)/live" || failed=1; \
	$(BIN)/python manage.py bench clip --config "$(BENCH)" --out "$(BENCH_OUT)/clip" || failed=1; \
	$(BIN)/python manage.py bench report "$(BENCH_OUT)/live" "$(BENCH_OUT)/clip" --out "$(BENCH_OUT)" || failed=1; \
	exit $$failed

# The figures of single parts; each writes its page beside it.
bench-parts: $(VENV)/.dev
	$(BIN)/python -m docs.benchmarks

bad-input: $(VENV)/.dev
	$(BIN)/python -m tests.bad_input --minutes "$(MINUTES)" --seed "$(SEED)"

clean:
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -exec rm -rf {} +
