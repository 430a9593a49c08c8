# Faregate. `make` alone lists the targets. Needs a Python (3.11 or newer), make and a package
# index; everything else goes into .venv, which the first target to need it makes. The frameworks
# that `make test` runs against the gateway go into .venv-compat.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# The interpreter to build .venv with: make test PYTHON=/path/to/python3.13
PYTHON ?=
# make demo SECONDS=30 stops by itself; make demo REAL=1 serves a small real model.
SECONDS :=
REAL :=
# make faults MINUTES=20 SEED=abc DATABASE=postgresql: the same seed breaks the same things.
MINUTES ?= 3
SEED ?=
DATABASE ?= sqlite
# Test processes; more arguments for pytest: make test ARGS="-k budgets"
JOBS ?= auto
ARGS ?=
# The long runs: make model STEPS=1000000 SEED=1; make fuzz INPUTS=1000000 SEED=1
STEPS :=
SEED :=

BIN := .venv/bin
STARTER := $(firstword $(foreach name,$(PYTHON) python3 python3.13 python3.12 python3.11 python,$(shell command -v $(name) 2>/dev/null)))
BOOTSTRAP = @$(if $(STARTER),FAREGATE_MAKE_TARGET=$@ PYTHON="$(PYTHON)" $(STARTER) scripts/bootstrap.py,echo "No Python was found on PATH. Install Python 3.11 or newer, or name it: make $@ PYTHON=/path/to/python3" >&2; exit 1;)
CHECKED = $(wildcard gateway scripts tests bench migrations wsgi.py)

.PHONY: help install demo test faults compatibility screenshots model fuzz check format bench lock clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

install:  ## Make .venv with the faregate command
	$(BOOTSTRAP) runtime
	@echo "Ready: $(BIN)/faregate"

demo:  ## Run everything on this machine with live traffic (SECONDS=n, REAL=1)
	$(BOOTSTRAP) runtime $(if $(filter 1,$(REAL)),real-model)
	@$(BIN)/faregate demo $(if $(SECONDS),--seconds $(SECONDS)) $(if $(filter 1,$(REAL)),--real)

test:  ## Run the tests on all cores (ARGS="..." goes to pytest)
	$(BOOTSTRAP) dev
	$(BOOTSTRAP) compat
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

faults:  ## Kill and break everything under load, then judge (MINUTES=n SEED=s DATABASE=sqlite|postgresql)
	$(BOOTSTRAP) dev
	@$(BIN)/python -m tests.faults --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) --database $(DATABASE) $(ARGS)

compatibility:  ## Run all clients on all endpoints and write docs/compatibility.md
	$(BOOTSTRAP) dev
	$(BOOTSTRAP) compat
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal --write-compatibility $(ARGS) tests/compat

screenshots:  ## Take pictures of every page of the dashboard (ARGS="overview budgets" for some)
	$(BOOTSTRAP) dev
	@$(BIN)/python -m tests.browser.screenshots $(ARGS)

model:  ## Play random requests against a model of the Redis scripts (STEPS=n, SEED=s)
	$(BOOTSTRAP) dev
	@$(BIN)/python -m tests.model $(if $(STEPS),--steps $(STEPS)) $(if $(SEED),--seed $(SEED))

fuzz:  ## Try random inputs on everything that reads what others wrote (INPUTS=n, SEED=s)
	$(BOOTSTRAP) dev
	@$(BIN)/python -m tests.fuzz $(if $(INPUTS),--inputs $(INPUTS)) $(if $(SEED),--seed $(SEED)) $(ARGS)

check:  ## Lint, format check, types and import rules
	$(BOOTSTRAP) dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(CHECKED)
	$(BIN)/lint-imports --no-cache

format:  ## Format the code and mend what the linter can
	$(BOOTSTRAP) dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench:  ## Measure the gateway on this machine (ARGS="..." goes to the benchmark)
	$(BOOTSTRAP) dev
	@$(BIN)/python -m bench $(ARGS)

lock:  ## Resolve the requirements again (ARGS=--upgrade takes newer releases)
	@$(or $(STARTER),python3) scripts/lock.py $(ARGS)

clean:  ## Remove the environments, caches and build results; data folders stay
	@rm -rf .venv .venv.lock .venv-compat .venv-compat.lock .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
