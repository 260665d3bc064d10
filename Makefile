# Works from a bare clone with git, make and Python 3.11 or newer.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Errors only; pip of Python 3.11 resolves a hashed list wrongly, and the lock is complete.
QUIETLY := -qq --disable-pip-version-check --no-compile --no-deps

.PHONY: run demo test test-more test-all pictures check bench clean
.DELETE_ON_ERROR:

run: $(READY)  ## the UI at http://127.0.0.1:3000 with sandbox, samples, sensors and schedules
	$(BIN)/pipelines run

demo: $(READY)  ## the same main job without a screen
	$(BIN)/pipelines demo

test: check  ## the hermetic suite, after formatting, lint and types
	$(BIN)/python -m pytest -n 3 --dist worksteal -m "not slow"  # more than there are cores: much of it waits for servers

test-more: $(READY)  ## what takes longer, or needs Debian's packages
	$(BIN)/python -m pytest -n 3 --dist loadscope -m slow $$(grep -rl mark.slow --include='*.py' pipelines_tests)

test-all: test test-more  ## both

pictures: $(READY)  ## the screenshots in docs anew, by the browser's tests
	$(BIN)/python -m pytest -m slow pipelines_tests/browser --pictures docs

check: $(READY)  ## formatting, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --num-workers auto

bench: $(READY)  ## the benchmarks, as ratios
	$(BIN)/python -m benchmarks

clean:  ## remove the environment and all local data
	rm -rf $(VENV) .pipelines .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(READY): $(VENV)/.packages pyproject.toml
	@$(BIN)/python -m pip install $(QUIETLY) --no-build-isolation --editable .
	@touch $@

$(VENV)/.packages: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	@echo "Setting up $(VENV): about 185 packages, one or two minutes the first time"
	@$(PYTHON) -m venv --clear $(VENV)
	@echo "  installing what requirements.lock names, each package checked by its hash"
	@$(BIN)/python -m pip install $(QUIETLY) --require-hashes -r requirements.lock
	@echo "  compiling to bytecode, so that every run starts fast"
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m compileall -q -j 0 $(VENV)/lib >/dev/null || true  # some ship templates that are no Python
	@touch $@
