# make run      classify examples/ and show the table
# make test     run the whole test suite
# make check    lint, format, types
# make bench    measure speed beside the plain reference; nothing else should run meanwhile
# make bench-serve    the same for the service
# make fuzz     20,000 damaged images and 500 hostile requests, some minutes; FUZZ="--seed 7 --images 2000 --requests 100"
#
# Each sets up what it needs in .venv, from nothing but Python 3.10 or newer.
# TORCH_INDEX=URL takes torch and torchvision from another package index, one of CPU builds for example.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: run test check bench bench-serve fuzz clean

run: $(VENV)/.installed
	$(BIN)/classify examples/ --format table

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/bench.py $(BENCH)

bench-serve: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/serve.py $(BENCH)

fuzz: $(VENV)/.installed-dev
	PYTHONPATH=tests $(BIN)/python -m fuzz $(FUZZ)

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/.installed: pyproject.toml
	@echo "Installing into $(VENV): PyTorch is large, this takes minutes."
	$(PYTHON) -m venv $(VENV)
	$(if $(TORCH_INDEX),$(PIP) --index-url $(TORCH_INDEX) torch torchvision)
	$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --editable '.[dev]'
	@touch $@
