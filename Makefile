# Two commands: `make run` and `make test`. Both set up what they need on a machine that has Python 3.11 or newer and make.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help run test unit check soak mutants bench clean requirements
.DEFAULT_GOAL := help

help:
	@echo "make run    the demonstration; with a .env the real thing"
	@echo "make test   lint, types, direction of imports, and all tests on SQLite and Postgres, the quick ones first"
	@echo "make unit   the quick tests alone"
	@echo "make soak   the slow tests, the stateful one at length, and the unit tests on Python 3.11 to 3.14: properties at random"
	@echo "make mutants  puts one-line bugs into a copy and prints those that no test notices: COUNT=40 by lot, ONLY=a path, SEED=a number"
	@echo "make bench  every figure of bench/README.md"
	@echo "make requirements  newer versions of what is installed, pinned with their hashes"

.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Offhook needs Python 3.11 or newer; $(PYTHON) is `$(PYTHON) --version`. Try: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "$(PYTHON) cannot make a virtual environment. On Debian and Ubuntu that part of Python is a package of its own: apt-get install python3-venv, as root."; exit 1; }
	@touch $@

.venv/run: .venv/made requirements.txt
	@echo "Setting up .venv (once) ..."
	@$(PIP) --require-hashes -r requirements.txt
	@touch $@

.venv/dev: .venv/run requirements-dev.txt
	@$(PIP) --require-hashes -r requirements-dev.txt
	@touch $@

run: .venv/run
	@$(BIN)/python -m flask up

# Everything that is installed, pinned anew with the hashes of its files for every machine and Python that we name.
# `make requirements UPGRADE=` leaves the versions that are pinned, and adds or removes what the .in files do.
UPGRADE ?= --upgrade
PINS := $(BIN)/uv pip compile --system-certs $(UPGRADE) --universal --python-version 3.11 --generate-hashes --no-strip-extras \
	--no-annotate --no-emit-index-url --custom-compile-command "make requirements"

requirements: .venv/dev
	@$(PINS) -o requirements.txt requirements.in >/dev/null
	@$(PINS) -o requirements-dev.txt requirements-dev.in >/dev/null
	@git --no-pager diff --stat -- requirements.txt requirements-dev.txt

check: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@# Meanwhile the tests are read on another core and kept as bytecode, or each process of their runner does it.
	@$(BIN)/python -m pytest --collect-only -qq >/dev/null 2>&1 & $(BIN)/mypy && wait
	$(BIN)/lint-imports
	@$(BIN)/python .ci/audit.py

# Twilio's own package for Node.js checks our signatures. Without npm that check is left out; in CI it then fails.
NPM := tests/npm/node_modules/.package-lock.json
# Node.js shall trust whom the system trusts.
export NODE_EXTRA_CA_CERTS ?= $(wildcard /etc/ssl/certs/ca-certificates.crt)
$(NPM): tests/npm/package.json tests/npm/package-lock.json
	@if command -v npm >/dev/null; then npm ci --prefix tests/npm --no-audit --no-fund --loglevel=error && touch $@ \
		|| echo "npm could not install tests/npm: Twilio's package for Node.js will not be asked about our signatures."; \
	else echo "npm is not here: Twilio's package for Node.js will not be asked about our signatures."; fi

# Each process of the runner reads every test that is wanted: 4 s of a processor where they are kept as bytecode, 11 where a shell
# forbids that.
unexport PYTHONDONTWRITEBYTECODE
CORES := $(shell $(PYTHON) -c 'import os; print(min(4, os.cpu_count() or 1))')
# Two more than there are cores, as the tests on servers wait for processes and databases half of the time; of unit tests one file
# waits for deadlines.
AT_ONCE := $(shell expr $(CORES) + 2)
UNITS_AT_ONCE := $(shell expr $(CORES) + 1)
# In the order of tests/conftest.py: the runner's own would begin those that take longest last.
PYTEST := $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder

unit: .venv/dev
	$(PYTEST) -n $(UNITS_AT_ONCE) -m "unit and not soak"

test: check $(NPM)
	$(PYTEST) -n $(AT_ONCE) -m "not soak"

# Each page is looked at in each scheme at each width, where its picture is kept.
PICTURES := .run/pictures

soak: .venv/dev
	$(BIN)/python -m pytest -m soak --hypothesis-profile random --timeout 3600
	@mkdir -p $(PICTURES)
	OFFHOOK_SCREENSHOTS=$(PICTURES) $(BIN)/python -m pytest tests/test_dashboard_*browser.py tests/test_dashboard_overview.py --hypothesis-profile random --timeout 3600
	OFFHOOK_STATEFUL_EXAMPLES=100 $(BIN)/python -m pytest tests/test_stateful.py tests/test_histories.py --hypothesis-profile random --timeout 3600
	@for version in 3.11 3.12 3.13 3.14; do sh tests/on_python.sh $$version || exit 1; done

COUNT ?= 40
mutants: .venv/dev
	$(BIN)/python -m tests.mutants --count $(COUNT) --only "$(ONLY)" $(if $(SEED),--seed $(SEED))

bench: .venv/dev
	$(BIN)/python bench/intake.py
	$(BIN)/python bench/wsgi.py
	$(BIN)/python bench/scale.py
	$(BIN)/python bench/backlog.py
	$(BIN)/python bench/idle.py
	$(BIN)/python bench/importing.py
	$(BIN)/python bench/latency.py
	$(BIN)/python bench/deliver.py
	$(BIN)/python bench/customers.py
	$(BIN)/python bench/look_up.py
	$(BIN)/python bench/footprint.py
	$(BIN)/python bench/replay.py
	$(BIN)/python bench/slow_clients.py
	$(BIN)/python bench/api.py
	$(BIN)/python bench/decide.py
	$(BIN)/python bench/books.py
	$(BIN)/python bench/backtest.py

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
