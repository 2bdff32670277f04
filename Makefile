# `make demo` and `make test` need only Python >= 3.11, pip and make. Running either twice installs nothing twice.
PYTHON ?= python3
VENV ?= .venv
PINS := $(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint types

demo: $(VENV)/.demo-$(PINS)
	$(VENV)/bin/transferscope demo --out reports/demo

test: $(VENV)/.dev-$(PINS)
	$(VENV)/bin/python -m pytest $(PYTEST)

lint: $(VENV)/.dev-$(PINS)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

# mypy reads folders, not install maps: show it adapters/ where it is imported from
types: $(VENV)/.dev-$(PINS)
	@rm -rf build/types && mkdir -p build/types/transferscope
	@ln -s $(CURDIR)/transferscope/* $(CURDIR)/adapters build/types/transferscope/
	cd build/types && $(abspath $(VENV))/bin/mypy --config-file $(CURDIR)/pyproject.toml -p transferscope

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"TransferScope needs Python 3.11 or newer; {sys.executable} is {v.major}.{v.minor}. Try: make PYTHON=python3.12 demo")'
	$(PYTHON) -m venv $(VENV)

# a stamp per set of pins: a change of pyproject.toml or constraints.txt installs again, nothing else does
$(VENV)/.demo-$(PINS): | $(VENV)/bin/python
	$(PIP) -e .
	$(VENV)/bin/transferscope demo --fetch-only
	@touch $@

$(VENV)/.dev-$(PINS): | $(VENV)/bin/python
	$(PIP) -e '.[dev]'
	@touch $@
