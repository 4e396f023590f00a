# Two commands do everything: `make run` and `make test`. Both install what is missing first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
USABLE := $(VENV)/.usable
INSTALLED := $(VENV)/.installed
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: run test lint clean test-pythons bench-derive bench-derive-cost bench-fill bench-init bench-intervals bench-kills bench-levels bench-paper bench-rules bench-watch bench-watch-long bench-scale bench-shapeset bench-shards bench-study-gpu bench-theory bench-trainability bench-training calibrate confirm-bank bench-rivals
.DEFAULT_GOAL := run

$(USABLE): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) --editable ".[study]"
	touch $@

# The tests need more: JAX, Keras, Triton, Transformers, a browser's driver.
$(INSTALLED): $(USABLE)
	$(PIP) --editable ".[dev]"
	touch $@

run: $(USABLE)  ## the main job on the paper's network; says where the report lies
	$(BIN)/evenflow study run main-job --out build/main-job

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Two threads on small matrices wait for each other longer than they compute.
test: export OPENBLAS_NUM_THREADS = 1
test: export OMP_NUM_THREADS = 1
test: lint  ## everything that decides whether a change may land
	$(BIN)/pytest -n 2 --cov --cov-report=term --cov-fail-under=90

# Which interpreters are at hand, this one included: make test-pythons PYTHONS="python3.12 python3.13"
PYTHONS ?= $(PYTHON)
test-pythons:  ## the bits that seeds stand for, under other versions of Python
	@set -e; for python in $(PYTHONS); do \
		$$python -m venv build/$$(basename $$python); \
		build/$$(basename $$python)/bin/python -m pip install --quiet --disable-pip-version-check --editable . pytest; \
		build/$$(basename $$python)/bin/python -m pytest tests/sampling/test_golden.py tests/sampling/test_document.py; \
	done

bench-fill: $(INSTALLED)  ## sampling against torch, NumPy and JAX
	$(BIN)/python benchmarks/fill.py

bench-theory: $(INSTALLED)  ## quadrature against mpmath
	$(BIN)/python benchmarks/theory_accuracy.py

bench-init: $(INSTALLED)  ## thirty-layer stacks: calibrated, uncalibrated, printed prices
	$(BIN)/python benchmarks/initialise.py

bench-paper: $(INSTALLED)  ## the 2010 paper's networks at initialisation
	$(BIN)/python benchmarks/paper_table.py

bench-derive: $(INSTALLED)  ## derivations against real networks, draw by draw
	$(BIN)/python benchmarks/derive.py

bench-intervals: $(INSTALLED)  ## how many of 200 draws lie inside their intervals
	$(BIN)/python benchmarks/intervals.py

bench-derive-cost: $(INSTALLED)  ## what a derivation costs by depth and width, and for 70 billion
	$(BIN)/python benchmarks/derive_cost.py --picture

bench-levels: $(INSTALLED)  ## how level auto and the libraries' defaults keep real networks
	$(BIN)/python benchmarks/levels.py

bench-trainability: $(INSTALLED)  ## five deep networks under five initialisations
	$(BIN)/python benchmarks/trainability.py

bench-rules: $(INSTALLED)  ## the trainings that the rules' thresholds come from
	$(BIN)/python benchmarks/rule_thresholds.py

calibrate: $(INSTALLED)  ## the rules scored on the labelled bank of small trainings
	$(BIN)/python benchmarks/calibrate.py

confirm-bank: $(INSTALLED)  ## the bank's labels borne out by training, over three seeds
	$(BIN)/python benchmarks/confirm_bank.py

bench-rivals: $(INSTALLED)  ## other tools on the bank, those that are installed: RIVALS=folder
	$(BIN)/python benchmarks/bank_rivals.py --from "$(RIVALS)"

bench-shapeset: $(INSTALLED)  ## Shapeset-3×2: images a second, and its figures
	$(BIN)/python benchmarks/shapeset.py

bench-scale: $(INSTALLED)  ## 7 billion parameters straight to disk; the cost of a rank
	$(BIN)/python benchmarks/scale.py

bench-shards: $(INSTALLED)  ## real models over gloo ranks: the bits and losses of unsharded ones
	$(BIN)/python benchmarks/shards.py

bench-training: $(INSTALLED)  ## updates of the paper's network against a plain loop, and the floor
	$(BIN)/python benchmarks/study_training.py

bench-study-gpu: $(INSTALLED)  ## 1, 8 and 64 networks side by side on a GPU, and its memory's limit
	$(BIN)/python benchmarks/study_training.py --together

bench-kills: $(INSTALLED)  ## a study killed twenty times against one left in peace
	$(BIN)/python benchmarks/study_kills.py

bench-watch: $(INSTALLED)  ## what ef.watch costs beside a plain loop and beside others
	$(BIN)/python benchmarks/watch.py

bench-watch-long: $(INSTALLED)  ## memory, file and report of 200,000 sampled steps
	$(BIN)/python benchmarks/watch_long.py

clean:
	rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .coverage
