# Everything runs in its own environment in .venv; nothing is installed outside of this folder.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: help verify test test-all test-gpu lint format docs bench clean

help:
	@echo "make verify    run the theorem audit (quick form) and write verify-report/"
	@echo "make test      install what the tests need and run them"
	@echo "make test-all  the same with the slow tests"
	@echo "make test-gpu  the tests that need a GPU (torch with CUDA or CuPy must be installed in $(VENV))"
	@echo "make lint      ruff and mypy"
	@echo "make docs      build the documentation into docs/_build/html"
	@echo "make bench     time the core against its plain forms; writes bench-report/"

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed, but '$(PYTHON)' was not found: install it or call make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; '$(PYTHON)' is $$($(PYTHON) --version): call make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "Python's venv module is missing: on Debian and Ubuntu install it with apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.verify: pyproject.toml | $(BIN)/python
	$(PIP) install -e '.[verify]'
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -c constraints.txt -e '.[verify,io,test,torch]'
	@touch $@ $(VENV)/.verify

$(VENV)/.docs: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -c constraints.txt -e '.[docs,verify]'
	@touch $@

verify: $(VENV)/.verify
	$(BIN)/riemann-lne verify --quick --report verify-report --json verify-report/verify.json

# The tests run in two processes: one linear-algebra thread each, or they wait for one another.
test test-all: export OMP_NUM_THREADS = 1
test: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-all: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist worksteal -m 'not gpu'

test-gpu: $(VENV)/.test
	$(BIN)/python -m pytest -m gpu -rs

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -W -b html docs docs/_build/html

bench: $(VENV)/.verify
	$(BIN)/riemann-lne bench --report bench-report

clean:
	rm -rf $(VENV) verify-report bench-report docs/_build
