# Two words do everything: `make quickstart` and `make test`. Both set up .venv by themselves.

PYTHON ?= python3
OUT ?= quickstart-run
BENCH ?= throughput

venv := .venv/bin/python
install := install Python 3.11 or newer with venv and pip, or name one: make PYTHON=/path/to/python3.12

# Empty where .venv can be made (or works already), else one line that says what is missing and what to install.
missing = $(shell \
	$(venv) -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && exit; \
	"$(PYTHON)" -c '' 2>/dev/null || { echo "no $(PYTHON) that runs was found; $(install)"; exit; }; \
	"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is $$("$(PYTHON)" -V 2>&1), too old; $(install)"; exit; }; \
	"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || \
		echo "$(PYTHON) lacks venv or pip; install the package python3-venv, or name another: make PYTHON=/path/to/python3.12")

.PHONY: help quickstart test bench
.DEFAULT_GOAL := help

help:
	@echo "make quickstart   train, sample, evaluate, fine-tune and report on the built-in corpus (OUT=$(OUT))"
	@echo "make test         lint, types and tests"
	@echo "make bench        run benchmarks/$(BENCH).py (BENCH=name picks another)"

quickstart: .venv/ready
	@$(venv) -m textgan quickstart --out "$(OUT)"

test: .venv/ready
	@$(venv) -m ruff check .
	@$(venv) -m mypy
	@$(venv) -m pytest -n auto --maxprocesses 4 --dist loadfile

bench: .venv/ready
	@$(venv) "benchmarks/$(BENCH).py"

.venv/ready: requirements-dev.txt pyproject.toml
	$(eval problem := $(missing))$(if $(problem),$(error $(problem)))
	@echo "setting up .venv: some minutes and 1.3 GB the first time"
	@$(venv) -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || "$(PYTHON)" -m venv --clear .venv
	@$(venv) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@
