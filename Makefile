# Fleet: every target says what it does; `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
# The newest that really starts: a version chooser's shim may be there without its version.
PYTHON ?= $(shell for p in python3.14 python3.13 python3.12 python3.11; do $$p -c '' 2>/dev/null && echo $$p && exit; done; echo python3)
VENV ?= .venv
BIN := $(VENV)/bin
# Tests mostly wait, for engines and servers: three at a time on two cores, each file by one process.
JOBS ?= 3
# Tests start hundreds of processes; each would compile the program anew.
unexport PYTHONDONTWRITEBYTECODE
# The order of the tests: the same each time where a change is judged, and any other by SEED=$RANDOM.
SEED ?= 1
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist loadfile
TYPES := $(BIN)/mypy --num-workers 2 && $(BIN)/lint-imports --no-cache
STAMP := $(VENV)/.installed

.PHONY: help
help: ## Show the targets
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

.PHONY: system
system: ## Install the system packages that the lab needs (Debian or Ubuntu, root), and engine 26.1 beside Debian's own
	scripts/install-engines packages 20.10 26.1

$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || scripts/install-python
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: install
install: $(STAMP) ## Install Fleet and its locked dependencies into .venv

.PHONY: demo
demo: install system ## Set everything up and run the main job on real engines (root); STAY=1 leaves the fleet running, STAY=now shows it alone
	$(BIN)/python -m tests.lab.demo $(STAY)

.PHONY: test
test: install system ## Run linters, types, floors and the tests, with the chosen part of the long matrices (root)
	$(MAKE) --no-print-directory lint
	# Types and floors beside the tests, of which the first mostly wait.
	@nice $(SHELL) -c '$(TYPES)' > $(VENV)/types.log 2>&1 & types=$$!; \
	$(PYTEST) -m "not full" --durations=25 --randomly-seed=$(SEED); tests=$$?; \
	wait $$types; types=$$?; cat $(VENV)/types.log; exit $$((tests | types))

.PHONY: test-full
test-full: install ## Run everything, every engine generation and every long matrix, and write docs/test-full.md (PARTS="faults lab": only these)
	scripts/install-engines packages 20.10 26.1 29
	$(MAKE) --no-print-directory check
	$(BIN)/python scripts/test_full.py $(JOBS) $(PARTS)

# Each shard has a seed of its own, so they are shared out one by one and not by file; any can be run alone.
SHARDS ?=
.PHONY: nightly
nightly: install ## Run the machines of the rollouts' invariants over 10,000 lives each, pure and in SQL (hours); SHARDS="0 7": those alone
	some="$$(printf ' or shard-%02d' $(SHARDS))"; \
	$(BIN)/python -m pytest -n $(JOBS) --dist load -m nightly --durations=25 $(if $(SHARDS),-k "$${some# or }")

.PHONY: test-fast
test-fast: install ## Run what needs no root, no engine and no server
	$(PYTEST) -m "not lab and not redis and not postgresql and not mosquitto and not full"

.PHONY: check
check: lint types ## Lint, format check, types, floors

.PHONY: lint
lint: install ## Lint and format check, within a second
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: types
types: install ## Types and floors
	$(TYPES)

.PHONY: format
format: install ## Format and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: lock
lock: ## Resolve the dependencies anew into requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra dev --extra up --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --no-emit-package fleet-updater --upgrade -o requirements.lock -q

.PHONY: rooms
rooms: install ## Redraw the picture of the rooms (docs/rooms.svg) from the imports as they are
	$(BIN)/python scripts/draw_rooms.py

.PHONY: bench
bench: install system ## Run the benchmarks one after the other
	for b in benchmarks/[a-z]*.py; do echo "== $$b"; $(BIN)/python $$b || exit 1; done

.PHONY: faults
faults: install system ## Try every fault of a mirror on real engines, alone and through the gateway, and write docs/fault-matrix.md (root)
	$(BIN)/python -m tests.lab.fault_matrix $(WORDS)

.PHONY: injection
injection: install ## Let every fault happen at every call and write of an update, on all engines, and write docs/fault-injection.md (root)
	scripts/install-engines packages 20.10 26.1 29
	$(BIN)/python -m tests.injection.table

.PHONY: clean
clean: ## Remove what was built here
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis

# The Python inside the image; its wheels are what `make wheels` fetches.
IMAGE_PYTHON ?= 3.13
WHEELS ?= dist/wheels

.PHONY: image-lock
image-lock: install ## Resolve what goes into the image, in step with requirements.lock, into requirements.image.lock
	echo hatchling | $(BIN)/uv pip compile pyproject.toml - --extra server --extra agent --extra notify --extra mqtt --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate --no-emit-package fleet-updater -c requirements.lock -o requirements.image.lock -q

.PHONY: wheels
wheels: install ## Fetch the image's wheels into dist/wheels, so that it builds without a package index (IMAGE_PYTHON=3.13)
	@mkdir -p $(WHEELS)
	$(BIN)/uv pip compile requirements.image.lock --no-deps --python-version $(IMAGE_PYTHON) --python-platform linux --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate -o $(WHEELS)/wanted.txt -q
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version $(IMAGE_PYTHON) \
	  --require-hashes -r $(WHEELS)/wanted.txt -d $(WHEELS)
