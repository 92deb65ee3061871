# Each target sets up what it needs in .venv, from nothing but Python 3.11+ and the package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ARGS ?=
# One test process more than there are cores: some of them wait.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
# What is started often is compiled once, whatever this shell is set to.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run dashboard test bench lint calm-day night requirements clean

$(READY): pyproject.toml requirements-dev.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "polyhost needs Python 3.11 or newer: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

run: $(READY)  ## the host on the simulated exchange; make run ARGS="--windows 4 --speed 60"
	@echo "to look on: make dashboard, in another terminal" >&2
	$(BIN)/polyhost run $(ARGS)

dashboard: $(READY)  ## the web page that looks on; make dashboard ARGS="--port 8711"
	$(BIN)/polyhost dashboard --open $(ARGS)

test: $(READY)  ## every test: on all cores, then those that need the machine for themselves
	$(BIN)/python -m pytest -m "not alone" --numprocesses $(WORKERS) --dist loadscope --no-loadscope-reorder $(ARGS)
	$(BIN)/python -m pytest -m alone $(ARGS)

bench: $(READY)  ## the figures of the budget table
	$(BIN)/python tests/bench/run.py $(ARGS)

lint: $(READY)  ## style, types, the author's surface
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/basedpyright --pythonpath $(BIN)/python --level error

calm-day: $(READY)  ## before a release: 24 simulated hours without a fault, and without one error line or unexplained warning
	$(BIN)/polyhost simulate --seeds 0:1 --hours 24 --calm $(ARGS)

night: $(READY)  ## before a release: live and paper trade 8 windows each, and every process gets kill -9 in turn
	$(BIN)/python tests/acceptance/night.py $(ARGS)

requirements:  ## pin again (needs pip-tools): hashes, no addresses
	pip-compile --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header --output-file requirements.txt pyproject.toml
	pip-compile --quiet --strip-extras --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header --extra dev --constraint requirements.txt --output-file requirements-dev.txt pyproject.toml

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
