# Everything here works on a fresh machine with Python 3.11+ and make; no compiler, no GPU.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STORE ?= out/demo

.PHONY: demo test lint setup clean

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Ancestra Farm needs Python 3.11 or newer; this is " + sys.version.split()[0] + " (make PYTHON=python3.11 …)")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch setuptools
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[dev]'
	touch $@

setup: $(VENV)/installed

demo: setup
	$(BIN)/ancestra run jobs/demo.yaml --store $(STORE)

test: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) out build *.egg-info
