# `make help` lists the targets. Variables of use, given as `make NAME=value ...`:
#   PYTHON         Python 3.11 to 3.14 to build .venv with
#   FDABNN_DATA    folder that holds cifar-10/ (default: data)
#   TORCH_INDEX    package index with the CPU builds of torch
#   TORCH          torch to install instead of the pinned CPU build, e.g. torch==2.13.0 (with CUDA)
#   PIP_INDEX_URL  package index for everything else
#   PYTEST_ARGS    arguments for pytest (default: -n 2, two processes)
#   EXTRAS         extras of the project to install (default: bench,export,lce,train,test)
#   LONG           files whose tests `make test-long` runs, to run it in parts (default: all)

SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LIBRARY := fdabnn_deploy/native/lib/libfdabnn_delegate.so
NATIVE_SOURCES := $(shell find fdabnn_deploy/native \( -name '*.cc' -o -name '*.h' \)) $(wildcard tools/native/*)

export FDABNN_DATA ?= data
PYTEST_ARGS ?= -n 2
EXTRAS ?= bench,export,lce,train,test
export PYTHON TORCH TORCH_INDEX
ifdef PIP_INDEX_URL
export PIP_INDEX_URL
endif

AGREEMENT := runtime_tests/profile_agreement_test.py
CHECKPOINT ?= models/checkpoints/resnet20-cifar10.pt

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml constraints.txt constraints-lce.txt tools/make/venv.sh
	@tools/make/venv.sh $(VENV) -e '.[$(EXTRAS)]'
	@touch $@

# The installation has built the library already; this builds it again after an edit.
$(LIBRARY): $(STAMP) $(NATIVE_SOURCES)
	@$(BIN)/python tools/native/build.py
	@touch $@

.PHONY: native
native: $(LIBRARY) ## build the native library again where its sources have changed

.PHONY: arm-root
arm-root: $(STAMP) ## make an arm64 system, and the library for it, to run under qemu-aarch64
	@$(BIN)/python tools/arm_root

.PHONY: demo
demo: $(LIBRARY) ## export the shipped checkpoint to ONNX and TFLite, verify and time it
	$(BIN)/fdabnn-export $(CHECKPOINT) --target all --out build/demo \
		$$(test ! -d $(VENV)/lib/python*/site-packages/larq_compute_engine || echo --via both)

.PHONY: test
test: $(LIBRARY) ## run the tests
	$(BIN)/pytest $(PYTEST_ARGS)

# Optional programs are hidden, and external runtimes cannot be loaded: a test that needs one skips or fails.
FAST := env --unset=CI $(BIN)/python tools/without absent $(BIN)/pytest -m 'not long and not slow and not runtimes' --refuse-runtimes \
	--hypothesis-profile=ci

.PHONY: test-fast
test-fast: $(LIBRARY) ## run the tests that need no external runtime and no system package
	$(FAST) $(PYTEST_ARGS)

# Of test-fast only: whole runs of `make test` take too long to trace. The figure to hold is `fail_under` of [tool.coverage.report] in
# pyproject.toml.
.PHONY: coverage
coverage: $(LIBRARY) ## measure the lines and branches that test-fast runs
	$(FAST) $(PYTEST_ARGS) --cov --cov-branch --cov-report=term:skip-covered --cov-report=html:build/coverage

.PHONY: test-long
test-long: $(LIBRARY) ## run the tests that take minutes or whole data sets; LONG="FILE..." for some of them
	$(BIN)/pytest -m long $(PYTEST_ARGS) --deselect $(AGREEMENT) $(LONG)
	@# This one measures: nothing may run beside it.
	$(if $(LONG),,$(BIN)/pytest -m long $(AGREEMENT))

.PHONY: bench
bench: $(LIBRARY) ## time the kernels and whole models against their peers; wants a quiet machine
	$(BIN)/python tools/bench layers
	$(BIN)/python tools/bench models

.PHONY: lint
lint: $(STAMP) ## check style, types, C++ and which room imports which
	@$(BIN)/python tools/lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	git ls-files -z '*.cc' '*.h' | xargs -0 $(BIN)/clang-format --dry-run -Werror

.PHONY: format
format: $(STAMP) ## rewrite the sources in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	git ls-files -z '*.cc' '*.h' | xargs -0 $(BIN)/clang-format -i

.PHONY: docs
docs: $(STAMP) ## build the site of the documents into build/docs; fails where a link leads nowhere
	@$(BIN)/python -c 'import material, mkdocstrings' 2>/dev/null || tools/make/venv.sh $(VENV) -e '.[$(EXTRAS),docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

.PHONY: wheels
wheels: $(STAMP) ## build the wheels of all machines, and the source archive, into dist/
	@$(BIN)/python tools/native/wheels.py

.PHONY: clean
clean: ## remove what was built; keeps .venv and data
	rm -rf build dist fdabnn_deploy/native/lib .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +
