# Two commands do everything from a bare Python: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# Nothing below needs the network after the install, and nothing compiles CUDA.
export HF_HUB_OFFLINE := 1
export DS_BUILD_OPS := 0
export DO_NOT_TRACK := 1

.PHONY: help install demo test test-launchers test-processes lint clean
.DEFAULT_GOAL := help

help:
	@echo "make demo     a Japanese GPT in five minutes: corpus, tokenizer, training, export, samples"
	@echo "make test     lint, types and tests"
	@echo "make clean    remove what make demo made"

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt docker/install.sh
	@PYTHON="$(PYTHON)" VENV="$(VENV)" bash docker/install.sh
	@touch $@

demo: $(INSTALLED)
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash launch/demo.sh

# Tests that start processes of their own want the machine for themselves; beside those that mostly wait there is room.
test: $(INSTALLED) lint
	$(BIN)/pytest -q -m "not distributed" -n logical --maxprocesses 8
	@echo "Tests that start processes: a quarter of an hour and more, and their words at the end."
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target test-launchers test-processes

test-launchers:
	$(BIN)/pytest -q -m "distributed and launchers"

test-processes:
	$(BIN)/pytest -q -m "distributed and not launchers"

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf corpora/sample corpora/demo runs/demo models/demo
