PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A worker a core; the tests of a file stay together, since they share models and checkpoints.
PARALLEL := -n auto --dist loadfile
# The last research/slim judges the networks that tf_slim lacks; offline their tests are skipped.
JUDGED := SLIM_SOURCE=$${SLIM_SOURCE-$$($(BIN)/python -m tests.slim_source .cache/slim)} $(BIN)/python -m pytest
# Whole trainings against slim's own trainer, whose numbers depend on how many threads add them up.
TRAININGS := TF_NUM_INTRAOP_THREADS=1 $(BIN)/python -m pytest tests/trainer/test_against_slims_trainer.py

.PHONY: setup demo docs test test-all test-more test-zoo test-matrix test-backends lint bench parity-table training-table \
	outputs-table faults release-check

setup: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[all,dev,docs]'
	touch $@

demo: setup
	$(BIN)/python examples/demo.py

# COVERAGE=1 counts the lines that run, and fails below the floor in pyproject.toml.
test: setup
	$(BIN)/python -m pytest -m "not slow" $(PARALLEL) $(if $(COVERAGE),--cov --cov-report=term:skip-covered)

test-all: setup
	$(JUDGED) $(PARALLEL)
	$(TRAININGS)

# Slow ones that a change must pass too, besides `test`; not the large networks and the long runs.
test-more: setup
	$(BIN)/python -m pytest $(PARALLEL) -m slow \
		-k "not large and not 200 and not three_steps and not first_training and not two_pits" \
		tests/golden tests/doctor tests/trainer tests/docs tests/conversion/test_integrity.py tests/deployment/test_serving.py \
		tests/keras3/test_batch_norm.py tests/keras3/test_optimizers.py tests/stories/test_class_folders.py tests/stories/test_distribution.py \
		tests/stories/test_examples.py tests/stories/test_out_of_the_pits.py tests/stories/test_lost_workers.py tests/stories/test_release.py \
		tests/stories/test_sharing.py
	$(TRAININGS)

# Every network against slim and against the golden values, and what else only research/slim can judge.
test-zoo: setup
	$(JUDGED) $(PARALLEL) tests/golden tests/parity/test_live.py tests/nets tests/preprocessing/test_pipelines.py tests/slim/test_networks.py

# Other Pythons and TensorFlows: all of them, or ONLY=py3.12; ARGUMENTS="tests/test_scopes.py" go to pytest.
test-matrix: setup
	$(BIN)/python -m tests.matrix "$(ONLY)" $(ARGUMENTS)

# Keras 3 on TensorFlow, JAX and PyTorch, a network a family. TORCH is what pip is asked for; where its index has no such
# build: TORCH="torch --index-url https://download.pytorch.org/whl/cpu".
TORCH ?= torch==2.13.0+cpu
test-backends: setup
	$(BIN)/python -m tests.backends "$(TORCH)" $(ARGUMENTS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell slim2keras benchmarks examples docs *.md

bench: setup
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.conversion_speed
	$(BIN)/python -m benchmarks.model_speed
	$(BIN)/python -m benchmarks.finetune_speed
	$(BIN)/python -m benchmarks.doctor_speed
	$(BIN)/python -m benchmarks.import_speed
	$(BIN)/python -m benchmarks.input_speed
	$(BIN)/python -m benchmarks.folding_speed

# The site, in .cache/site; what it names must be there.
docs: setup
	$(BIN)/mkdocs build --quiet

parity-table: setup
	$(BIN)/python -m benchmarks.parity_table

training-table: setup
	$(BIN)/python -m benchmarks.training_table

# Damaged files, SIGKILL, Ctrl-C, SIGTERM, full disks, two processes at one target, little memory, and one process that
# works for long (hours on two cores; SHORT=1 does a little of each).
faults: setup
	$(BIN)/python -m tests.faults.fuzz $(if $(SHORT),--inputs 51)
	$(BIN)/python -m tests.faults.kills $(if $(SHORT),--kills 11)
	$(BIN)/python -m tests.faults.disks $(if $(SHORT),--parts 0.5)
	$(BIN)/python -m tests.faults.pairs $(if $(SHORT),--pairs 2)
	$(BIN)/python -m tests.faults.memory $(if $(SHORT),--mebibytes 5 1600)
	$(BIN)/python -m tests.faults.soak $(if $(SHORT),--conversions 80 --steps 200)

outputs-table: setup
	$(BIN)/python -m benchmarks.outputs_table

# What would be released: sdist and wheel in .cache/release, the wheel without extras in a clean environment.
release-check: setup
	$(BIN)/python -m tests.release
