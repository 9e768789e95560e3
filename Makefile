# Both `make demo` and `make test` do all the set-up themselves: own .venv, pinned versions, missing system packages.
PYTHON ?= python3
VENV := .venv
BENCH_VENV := .venv-bench
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help demo test test-packages lint format docs bench fuzz dist deb clean

help:
	@echo "make demo    start a platform and a connector here and call real tools"
	@echo "make test    format, lint, types, import contracts and all tests"
	@echo "make lint    the checks without the tests"
	@echo "make docs    write the generated tables of docs/ again"
	@echo "make bench   measure the call path beside its peers; figures in bench.json"
	@echo "make fuzz    feed parsers and endpoints by coverage, SECONDS=60 for each target"
	@echo "make dist    build the frozen program in dist/, make deb a Debian package of it"
	@echo "make test-packages   build, install and run frozen program, .deb and container; takes minutes"

demo: $(VENV)/.demo-ready
	$(BIN)/edge-connector demo

test: lint
	@sh installers/linux/system-packages.sh tests
	$(BIN)/python -m pytest -q -m "not slow_packaging"

test-packages: $(VENV)/.dev-ready
	@sh installers/linux/system-packages.sh tests
	@sh installers/linux/system-packages.sh packages
	$(BIN)/python -m pytest -q -m slow_packaging

dist: $(VENV)/.dev-ready
	$(BIN)/python -m PyInstaller --noconfirm --log-level WARN --distpath dist --workpath build pyinstaller.spec

deb: dist
	$(BIN)/python installers/linux/build_deb.py dist/edge-connector dist

lint: $(VENV)/.dev-ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.dev-ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.dev-ready
	$(BIN)/python -m tests.support.documents

bench: $(VENV)/.dev-ready $(BENCH_VENV)/.ready
	$(BIN)/python -m benchmarks --peers $(BENCH_VENV) --output bench.json

$(BENCH_VENV)/.ready: benchmarks/requirements.txt
	@sh installers/linux/system-packages.sh bench
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r benchmarks/requirements.txt
	@touch $@

fuzz: $(VENV)/.dev-ready
	$(PIP) -e '.[fuzz]'
	$(BIN)/python -m tests.fuzz.run --seconds $(or $(SECONDS),60) $(TARGETS)

clean:
	rm -rf $(VENV) $(BENCH_VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache demo-home

$(BIN)/python:
	@PYTHON=$(PYTHON) sh installers/linux/system-packages.sh base
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo-ready: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[platform,speed]'
	@touch $@

$(VENV)/.dev-ready: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.demo-ready
