# Every target works on a fresh clone: the first one that needs it makes .venv and installs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
CONFIG ?= configs/quickstart.yaml
# Processes that share the tests, a core each.
JOBS   ?= auto

.DEFAULT_GOAL := help
.PHONY: help install browser train test test-long test-faults test-faults-long gallery check format clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml
	@echo "making $(VENV) and installing torch and the rest into it (a few minutes the first time)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	@touch $(READY)

install: $(READY) ## make .venv and install (the other targets do it by themselves)

browser: $(READY) ## install what drives a browser in the tests (the browser itself: apt-get install chromium)
	$(BIN)/python -m pip install --quiet --editable ".[browser]"

train: $(READY) ## train on the embedded images; CONFIG=configs/cifar10.yaml for the full set
	$(BIN)/trainloop train --config $(CONFIG)

test: $(READY) ## pass every test (the long proofs and the faults apart)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not long and not faults" --numprocesses $(JOBS) --dist worksteal

test-long: $(READY) ## the proofs that take minutes
	$(BIN)/python -m pytest -m "long and not faults" || [ $$? -eq 5 ]  # 5: no test is that long yet

test-faults: $(READY) ## damage, hostile files, full disks, power loss, rivals: no run is lost (at most ten minutes)
	$(BIN)/python -m pytest tests/faults

test-faults-long: $(READY) ## the same with far more of each
	$(BIN)/python -m pytest tests/faults --faults-long

gallery: $(READY) ## draw docs/gallery: every case of convolution arithmetic, animated
	$(BIN)/python -m trainloop.explain_conv.gallery docs/gallery

check: $(READY) ## lint, format check and strict types; changes nothing
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy

format: $(READY) ## write the format and the safe lint mends
	$(BIN)/ruff check --fix src tests benchmarks
	$(BIN)/ruff format src tests benchmarks

clean: ## remove .venv and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
