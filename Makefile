# make run          find and classify the faces in examples/, and show the table
# make test         run the whole test suite
# make test-fast    run the quick tests, under one minute
# make check        lint, format, types, and the import rules between packages
# make coverage     run the whole test suite and report which lines it runs
# make docs         build the documentation site into site/
# make options      write docs/options.md from the commands; run it after changing an option
# make screenshot   draw docs/terminal.svg from a real terminal
# make badges       draw the badges of README.md
# make bench        measure the speed beside the plain reference; run nothing else meanwhile
# make bench-serve  measure the speed of the service; run nothing else meanwhile
# make fuzz         20,000 damaged images and 500 hostile requests, a few minutes;
#                   FUZZ="--seed 7 --images 2000 --requests 100" sets other numbers
# make clean        delete everything that these commands made
#
# Each command installs what it needs into .venv. Only Python 3.10 or newer is required.
# TORCH_INDEX=URL installs torch and torchvision from another package index, for example one with CPU builds.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# In as many processes as there are processors, at most 4; the tests of a file share a process and its fixtures.
PYTEST = $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: run test test-fast check coverage docs options screenshot badges bench bench-serve fuzz clean

run: $(VENV)/.installed
	$(BIN)/classify examples/ --faces --format table

test: $(VENV)/.installed-dev
	$(PYTEST)

test-fast: $(VENV)/.installed-dev
	$(PYTEST) -m "not slow"

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=src $(BIN)/lint-imports

coverage: $(VENV)/.installed-dev
	$(PYTEST) --cov --cov-report=term --cov-report=html:build/coverage --cov-report=xml:build/coverage.xml

docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "The site is in site/; open site/index.html."

options: $(VENV)/.installed-dev
	$(BIN)/python docs/scripts/options.py

screenshot: $(VENV)/.installed-dev
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python docs/scripts/terminal.py

badges: $(VENV)/.installed-dev
	$(BIN)/python docs/scripts/badges.py

bench: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/bench.py $(BENCH)

bench-serve: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/serve.py $(BENCH)

fuzz: $(VENV)/.installed-dev
	PYTHONPATH=tests $(BIN)/python -m fuzz $(FUZZ)

clean:
	rm -rf $(VENV) build dist site .coverage* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

$(VENV)/.installed: pyproject.toml
	@echo "Installing into $(VENV). PyTorch is large; this takes a few minutes."
	$(PYTHON) -m venv $(VENV)
	$(if $(TORCH_INDEX),$(PIP) --index-url $(TORCH_INDEX) torch torchvision)
	$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --editable '.[dev]'
	@touch $@
