PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A worker a core; the tests of a file stay together, since they share models and checkpoints.
PARALLEL := -n auto --dist loadfile

.PHONY: setup demo test test-all lint bench parity-table training-table

setup: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: setup
	$(BIN)/python examples/demo.py

test: setup
	$(BIN)/python -m pytest -m "not slow" $(PARALLEL)

test-all: setup
	$(BIN)/python -m pytest $(PARALLEL)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.conversion_speed
	$(BIN)/python -m benchmarks.model_speed
	$(BIN)/python -m benchmarks.finetune_speed
	$(BIN)/python -m benchmarks.doctor_speed

parity-table: setup
	$(BIN)/python -m benchmarks.parity_table

training-table: setup
	$(BIN)/python -m benchmarks.training_table
