# Two commands do everything from a bare Python: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# torch comes first and by exact pin, so that nothing else chooses another build of it.
TORCH := torch==2.13.0

# Nothing below needs the network after the install, and nothing compiles CUDA.
export HF_HUB_OFFLINE := 1
export DS_BUILD_OPS := 0
export DO_NOT_TRACK := 1

.PHONY: help install demo test lint clean
.DEFAULT_GOAL := help

help:
	@echo "make demo     a Japanese GPT in five minutes: corpus, tokenizer, training, export, samples"
	@echo "make test     lint, types and tests"
	@echo "make clean    remove what make demo made"

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "jp-llm needs Python 3.11 to 3.13, $(PYTHON) is $$($(PYTHON) --version); try: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt $(TORCH) numpy setuptools wheel
	$(BIN)/pip install -q -c constraints.txt --no-build-isolation -e '.[train,export,corpus,loggers,dev]'
	@touch $@

demo: $(INSTALLED)
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash launch/demo.sh

test: $(INSTALLED) lint
	$(BIN)/pytest -q

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf corpora/sample corpora/demo runs/demo models/demo
