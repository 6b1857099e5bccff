# Permafrost: every task in one word. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= $(or $(shell command -v python3.11),$(shell command -v python3.12),python3)
BIN := .venv/bin
DOCS ?= tests/data/handbook
DEMO_HOME ?= .demo/$(shell echo "$(abspath $(DOCS))" | cksum | cut -d' ' -f1)
SUITE ?= ingest retrieval answers engine
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export QUESTION GPU DEV TORCH_INDEX

.PHONY: help setup demo test serve check format bench lock clean

help:  ## list what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## virtual environment, locked packages, llama.cpp compiled for this CPU (GPU=cuda|vulkan|metal: and that GPU)
	@$(PYTHON) .setup/setup.py

demo: setup  ## ingest the sample handbook and ask five questions (or: make demo DOCS=/path QUESTION="...")
	@$(BIN)/rag --home $(DEMO_HOME) ingest "$(DOCS)" || [ $$? -eq 3 ]
ifdef QUESTION
	@$(BIN)/rag --home $(DEMO_HOME) ask "$$QUESTION"
else
	@$(BIN)/rag --home $(DEMO_HOME) ask --from tests/data/handbook_demo.txt
endif

serve: setup  ## API and chat page on 127.0.0.1:8000
	@$(BIN)/rag serve

check: setup  ## format, lint, generated docs, types, import contracts
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .
	@$(BIN)/python .setup/docs.py --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

test: check  ## everything that CI runs
	@$(BIN)/pytest -m "not slow and not gpu and not qdrant" $(ARGS)

format: setup  ## rewrite code and generated docs in house format
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format . ; $(BIN)/python .setup/docs.py

bench: setup  ## measure (SUITE=NAME, a file of tests/bench); tables here, JSON in tests/bench/out
	@set -e; for suite in $(SUITE); do $(BIN)/python tests/bench/$$suite.py; done

lock: setup  ## resolve the dependencies anew and write .setup/lock
	@$(BIN)/python .setup/lock.py

clean:  ## remove what make made here (the compiled llama.cpp stays in the user's cache)
	@rm -rf .venv .demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .coverage tests/bench/out
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
