# The doors: make demo, make test, make bench, make lint.  Each builds first.
SHELL := /bin/bash
PY ?= python3
VENV := $(CURDIR)/.venv
BIN := $(VENV)/bin

.PHONY: all build demo test bench lint clean
all: build
build:
	@.ci/build "$(PY)" "$(VENV)"
demo: build
	@$(BIN)/python -m demo $(if $(SHELL_AFTER),--shell-after)
test: build
	@$(BIN)/python -m pytest $(TESTS)
bench: build
	@$(BIN)/python -m bench $(BENCH)
lint: build
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
clean:
	rm -rf build *.egg-info; find . -name '*.so' -not -path './.venv/*' -delete
