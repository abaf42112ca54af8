# Everything here works on a fresh machine with Python 3.11+ and make; no compiler, no GPU.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STORE ?= out/demo
SEED ?= 0

.PHONY: demo cluster-demo test lint setup simulate soak clean

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Ancestra Farm needs Python 3.11 or newer; this is " + sys.version.split()[0] + " (make PYTHON=python3.11 …)")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch setuptools
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[dev]'
	touch $@

setup: $(VENV)/installed

demo: setup
	$(BIN)/ancestra run jobs/demo.yaml --store $(STORE)

# A head, Ray's autoscaler, nodes that are processes: two people, three batches, a node killed, one drained, a plot.
cluster-demo: setup
	$(BIN)/python -m tests.cluster_demo --out out/cluster-demo

# Two at a time; those that start Ray one after another.
test: setup
	$(BIN)/python -m pytest -n 2 --dist loadgroup

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# A night's worth: thousands of random small farms, and the demo's film on ten thousand hosts, drawn.
simulate: setup
	mkdir -p out
	$(BIN)/ancestra simulate --trials 3000 --seed $(SEED)
	$(BIN)/ancestra simulate jobs/demo.yaml --scale 100 --hosts 10000 --seed 7 --faults calm --check end --stitches 64 \
		--seconds procedural/stills=4 --seconds procedural/clips=60 --plot out/simulate.png

# Random kills and faults on real Ray; the same --out goes on where it was left.
soak: setup
	mkdir -p out
	$(BIN)/python -m tests.soak --runs 200 --seed $(or $(filter-out 0,$(SEED)),1) --out out/soak.jsonl

clean:
	rm -rf $(VENV) out build *.egg-info
