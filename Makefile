# The commands of this project. Nothing but Python >= 3.11 and make is needed beforehand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TOOLS := $(VENV)/.tools
CLIENTS := $(VENV)/clients
DIFFUSERS := $(VENV)/diffusers

.PHONY: help run install test test-diffusers check format bench docs clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  make \1\t/' | expand -t 24

run: install  ## start the gateway on :4000 and draw a first picture through it
	@$(BIN)/pictura serve --host 127.0.0.1 --port 4000 --data data --first-picture first-picture.webp

install: $(INSTALLED)  ## make .venv/bin/pictura

test: $(TOOLS) $(CLIENTS)/.installed  ## all tests
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

test-diffusers: $(DIFFUSERS)/.installed  ## the tests of the local diffusers pipeline; sets up some gigabytes
	$(DIFFUSERS)/bin/python -m pytest tests/providers/test_diffusers.py

check: $(TOOLS)  ## lint, types, import floors, docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_floors.py tests/test_docs.py

format: $(TOOLS)  ## put the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(TOOLS)  ## measure beside the peers that are installed (bench/README.md)
	$(BIN)/python bench/run.py

docs: $(TOOLS)  ## write the generated pages of docs/reference anew
	$(BIN)/python docs/generate.py

clean:  ## remove what was built, but not your data
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis bench/build

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Pictura needs Python 3.11 or newer; say where it is: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "Python cannot make a virtual environment; on Debian: apt-get install python3-venv"; rm -rf $(VENV); exit 1; }

$(INSTALLED): pyproject.toml requirements.txt | $(VENV)/bin/python
	@echo "Setting up $(VENV) (a minute at the first time) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable . 
	@touch $@

$(TOOLS): requirements-dev.txt $(INSTALLED)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# Some tests let other people's programs call the gateway. Where these cannot be installed, the tests say so and are
# skipped, and all others run.
$(CLIENTS)/.installed: requirements-clients.txt | $(VENV)/bin/python
	@echo "Setting up $(CLIENTS) …"
	@$(BIN)/python -m venv --clear $(CLIENTS)
	@$(CLIENTS)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-clients.txt \
	  > $(CLIENTS)/pip.log 2>&1 && touch $@ || echo "It failed: $(CLIENTS)/pip.log says why."

$(DIFFUSERS)/.installed: requirements-diffusers.txt $(INSTALLED)
	@echo "Setting up $(DIFFUSERS): torch, diffusers and transformers are a large download …"
	@$(BIN)/python -m venv --clear $(DIFFUSERS)
	@$(DIFFUSERS)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-diffusers.txt
	@$(DIFFUSERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@
