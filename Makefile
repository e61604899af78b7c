# Every target makes the virtual environment it needs, from Python, pip and make alone.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
OLDEST = .venv-oldest
# How many processes run tests.
WORKERS ?= 2
PYTEST = -m pytest --numprocesses=$(WORKERS)

.PHONY: demo test test-slow test-oldest lint bench bench-small clean

demo: $(VENV)/.bench
	$(BIN)/python -m benchmarks.demo

# The tests of a file run in one process, since they share what they set up.
test: $(VENV)/.dev
	$(BIN)/python $(PYTEST) --dist=loadfile

test-slow: $(VENV)/.dev
	$(BIN)/python $(PYTEST) --dist=worksteal -m slow tests

# The lowest versions that pyproject.toml declares.
test-oldest: $(OLDEST)/.dev
	$(OLDEST)/bin/python $(PYTEST) --dist=loadfile

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks.overhead
	$(BIN)/python -m benchmarks.small_blocks
	$(BIN)/python -m benchmarks.lookahead
	$(BIN)/python -m benchmarks.pipeline
	$(BIN)/python -m benchmarks.scores
	$(BIN)/python -m benchmarks.text
	$(BIN)/python -m benchmarks.searches
	$(BIN)/python -m benchmarks.order
	$(BIN)/python -m benchmarks.replicas
	$(BIN)/python -m benchmarks.checkpoints
	$(BIN)/python -m benchmarks.soak

# Runs every benchmark at a size that shows only that it works.
bench-small: $(VENV)/.bench
	BLOCKS=20,40 RUNS=1,1 $(BIN)/python -m benchmarks.overhead
	BLOCKS=8 RUNS=1 $(BIN)/python -m benchmarks.small_blocks
	BLOCKS=8 $(BIN)/python -m benchmarks.lookahead
	ROWS=200_000 RUNS=1 $(BIN)/python -m benchmarks.pipeline
	ROWS=200_000 RUNS=1 $(BIN)/python -m benchmarks.scores
	DOCS=20_000 RUNS=1 $(BIN)/python -m benchmarks.text
	ROWS=40_000 RUNS=1 $(BIN)/python -m benchmarks.searches
	ROWS=20_000 RUNS=1 $(BIN)/python -m benchmarks.order
	ROWS=200_000 RUNS=1 $(BIN)/python -m benchmarks.replicas
	ROWS=200_000 RUNS=1 $(BIN)/python -m benchmarks.checkpoints
	PASSES=6 BLOCKS=40 $(BIN)/python -m benchmarks.soak

$(VENV)/.dev $(VENV)/.bench: $(VENV)/.%: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	touch $@

$(OLDEST)/.dev: pyproject.toml
	$(PYTHON) -m venv --clear $(OLDEST)
	sed -n 's/.*"\([a-z-]*\)\(\[[a-z]*\]\)\{0,1\}>=\([0-9.]*\)".*/\1==\3/p' \
	    pyproject.toml | grep -E '^(dask|numpy|pandas|scikit-learn|toolz|distributed)==' \
	    | sort -u > $(OLDEST)/floor.txt
	$(OLDEST)/bin/python -m pip install --quiet --editable '.[test]' \
	    --constraint $(OLDEST)/floor.txt
	touch $@

clean:
	rm -rf $(VENV) $(OLDEST) demo
