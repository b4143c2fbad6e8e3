# Everything runs in its own environment in .venv (and .venv-hosts, for the tests with libraries that
# need older ones beside them: numpy < 2.4, setuptools < 81); nothing is installed outside of this folder.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HOSTS := .venv-hosts
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

HOST_TESTS := tests/torch_hosts tests/geomstats tests/mpi adapters/riemann_lne_mpi \
	tests/torch/test_quantization.py::TestFinalize::test_onnx \
	adapters/riemann_lne_torch/hosts/lightning.py adapters/riemann_lne_torch/hosts/transformers.py

.PHONY: help verify test test-all test-hosts test-gpu tasks lint format package docs docs-lite docs-check bench clean

help:
	@echo "make verify    run the theorem audit (quick form) and write verify-report/"
	@echo "make test      install what the tests need and run them"
	@echo "make test-all  the same with the slow tests"
	@echo "make test-hosts  only the tests with Brevitas, torchao, Lightning, transformers, ONNX, geomstats, MPI"
	@echo "make test-gpu  the tests that need a GPU (torch with CUDA or CuPy must be installed in $(VENV))"
	@echo "make lint      ruff and mypy"
	@echo "make tasks     five pages of the documentation, each followed in an empty environment of its own"
	@echo "make package   build wheel and sdist, and use each from an empty environment"
	@echo "make docs      build the documentation into docs/_build/html"
	@echo "make docs-lite  the same, with an example that runs in the reader's browser (JupyterLite)"
	@echo "make docs-check  build it without running the examples, and open every page in Chromium if there is one"
	@echo "make bench     time the core, and peers where installed; writes bench-report/. Peers in another"
	@echo "               Python: make bench PEER_PYTHON=/path/to/python"

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed, but '$(PYTHON)' was not found: install it or call make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; '$(PYTHON)' is $$($(PYTHON) --version): call make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "Python's venv module is missing: on Debian and Ubuntu install it with apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.verify: pyproject.toml | $(BIN)/python
	$(PIP) install -e '.[verify]'
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install 'pip>=25.1'
	$(PIP) install -c constraints.txt -e '.[verify,io,torch,compare]' --group lint --group test
	@touch $@ $(VENV)/.verify

$(VENV)/.docs: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install 'pip>=25.1'
	$(PIP) install -c constraints.txt -e '.[verify,io,strategies,torch]' --group docs
	@touch $@

verify: $(VENV)/.verify
	$(BIN)/riemann-lne verify --quick --report verify-report --certify

$(HOSTS)/.ready: pyproject.toml constraints.txt | $(BIN)/python
	@test -x $(HOSTS)/bin/python || $(BIN)/python -m venv $(HOSTS)
	$(HOSTS)/bin/python -m pip --disable-pip-version-check -q install -c constraints.txt \
		-e '.[hosts,geomstats]' 'hypothesis>=6.100' 'pytest>=8' 'pytest-xdist>=3.6'
	@touch $@

# The tests run in two processes: one linear-algebra thread each, or they wait for one another.
test test-all test-hosts: export OMP_NUM_THREADS = 1
test: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist worksteal
	@$(HOSTS_IF_INSTALLED)

test-all: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist worksteal -m 'not gpu'
	@$(HOSTS_IF_INSTALLED)

test-hosts: $(HOSTS)/.ready
	$(HOSTS)/bin/python -m pytest -n 2 --dist worksteal -rs $(HOST_TESTS)

# Where those libraries cannot be had, the other tests decide, and the gap is said. Where they can,
# a test that fails there fails here.
define HOSTS_IF_INSTALLED
if $(MAKE) --no-print-directory $(HOSTS)/.ready; then \
	$(MAKE) --no-print-directory test-hosts; \
else \
	echo; \
	echo "NOT RUN: the tests with Brevitas, torchao, Lightning, transformers, ONNX, geomstats and MPI."; \
	echo "Their environment $(HOSTS) could not be installed (pip's reason is above); the tests in"; \
	echo "$(VENV) ran and passed. To try again: make test-hosts"; \
fi
endef

# Follows the pages that a reader needs first, each in an empty environment with the wheel. Needs a network.
tasks: $(VENV)/.test
	$(BIN)/python -m pytest -m slow -rs tests/test_docs_tasks.py -k empty_environment

test-gpu: $(VENV)/.test
	$(BIN)/python -m pytest -m gpu -rs

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Wheel and sdist, each installed into an empty environment and used from there.
package: $(VENV)/.test
	rm -rf dist
	$(BIN)/python -m build -q .
	set -e; for made in dist/*.whl dist/*.tar.gz; do \
		echo "$$made: $$(wc -c < $$made) bytes"; \
		rm -rf dist/environment; \
		$(BIN)/python -m venv dist/environment; \
		dist/environment/bin/python -m pip --disable-pip-version-check -q install $$made; \
		(cd dist && environment/bin/riemann-lne -V \
			&& environment/bin/python -W error -c "import riemann_lne as rl; \
			g = rl.perturbed_euclidean(rl.Grid.torus((12, 12)), 0.1, seed=0); \
			assert rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 0.1)).success"); \
	done
	rm -rf dist/environment

docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -W -b html docs docs/_build/html

# With a notebook that runs in the reader's browser. The packages that Pyodide lacks lie on the site
# (comm is for its kernel).
LITE := docs/_build/lite/pypi
docs-lite: $(VENV)/.docs
	$(PIP) install -c constraints.txt --group lite
	rm -rf $(LITE)
	$(BIN)/python -m build -q --wheel -o $(LITE) .
	$(PIP) download --no-deps -d $(LITE) array-api-compat comm filelock
	DOCS_LITE=1 $(BIN)/python -m sphinx -W -b html docs docs/_build/html

# The same pages but for the examples' pictures and the sources, with warnings as errors; then each in
# Chromium.
docs-check: $(VENV)/.docs
	DOCS_CHECK=1 $(BIN)/python -m sphinx -q -W -D plot_gallery=0 -b html docs docs/_build/check
	$(BIN)/python -m pip --disable-pip-version-check -q install 'pytest>=8'
	$(BIN)/python docs/check_pages.py docs/_build/check

bench: $(VENV)/.test
	$(BIN)/riemann-lne bench --report bench-report $(if $(PEER_PYTHON),--peer-python $(PEER_PYTHON))

clean:
	rm -rf $(VENV) $(HOSTS) dist verify-report bench-report docs/_build docs/claims docs/gallery
