# Two commands: `make demo` and `make test`. They need make and Python 3.11 or newer, and set up the rest.

PYTHON ?= python3
VENV := .venv
OLD := .cache/old-sdk
OLDER := "openai<3" "anthropic<2" "google-genai<3" "ollama<0.6"
PY := $(VENV)/bin/python
PIP := -m pip --disable-pip-version-check -q
# pyright asks its registry for a newer version otherwise.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-fast lint types docs old-sdk suite matrix integration generate bench clean

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/  make \1 \2/p' $(MAKEFILE_LIST) | awk '{ printf "  %s %-12s", $$1, $$2; $$1 = $$2 = ""; print }'

demo: $(VENV)/.base  ## a tour in the terminal; offline unless a key or an Ollama server is there
	@extra=$$($(PY) examples/demo.py --extra) && { [ -z "$$extra" ] || $(PY) $(PIP) install -e ".[$$extra]"; }
	@$(PY) examples/demo.py

test: lint types docs old-sdk suite  ## everything that CI checks

test-fast: lint  ## ruff, mypy and the tests without a local model: under a minute
	$(PY) -m mypy
	$(PY) -m pytest -q -n 2 -m "not local_model" --ignore=tests/integration --ignore=tests/suite

lint: $(VENV)/.dev  ## ruff: rules and format
	$(PY) -m ruff check
	$(PY) -m ruff format --check

types: $(VENV)/.dev  ## mypy --strict, then the typing suite under four checkers and stubtest
	$(PY) -m mypy
	$(PY) -m mypy examples/*.py docs/*.py
	$(PY) tests/typing/check.py

docs: $(VENV)/.dev  ## build the site, strictly, into .cache/docs/site
	$(PY) docs/build.py

generate: $(VENV)/.dev  ## rewrite what is generated: tables in docs, outputs in the notebook
	$(PY) docs/generate.py

old-sdk: $(OLD)/.ready  ## the providers' tests, with the SDKs' previous versions
	$(OLD)/bin/python -m pytest -q -n 2 -m "not local_model" -p no:cacheprovider \
	  tests/backends/openai tests/backends/anthropic tests/backends/gemini tests/backends/ollama

suite: $(VENV)/.dev  ## all tests, with branch coverage
	$(PY) -m pytest -q -n 2 --ignore=tests/integration --ignore=tests/suite --cov --cov-report= --cov-fail-under=0
	$(PY) -m pytest -q tests/suite --cov --cov-append --cov-report=term --cov-report=xml

matrix: $(VENV)/.dev  ## prove the support matrix with the suite, and write its page
	$(PY) -m pytest -q --ignore=tests/suite/test_matrix.py tests/suite
	$(PY) docs/matrix.py

integration: $(VENV)/.dev  ## live tests of each provider whose key is set; they cost a little money
	$(PY) -m pytest tests/integration

bench: $(VENV)/.dev  ## measure against the numbers that the design promises
	$(PY) benchmarks/run.py

clean:  ## remove everything that these commands made
	rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage* dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- environments, made once and renewed when pyproject.toml changes --------------------------------

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else \
	  "Alloy needs Python 3.11 or newer, and this is %d.%d: try make PYTHON=python3.13 ..." % v[:2])'
	@echo "Making $(VENV) (once) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.base: pyproject.toml | $(VENV)/bin/python
	@echo "Installing Alloy into $(VENV) (once) ..."
	@$(PY) $(PIP) install -e .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	@echo "Installing Alloy and its tools into $(VENV) (once, a minute or two) ..."
	@$(PY) $(PIP) install -e ".[dev]"
	@touch $@ $(VENV)/.base

$(OLD)/.ready: pyproject.toml Makefile
	@echo "Installing the previous SDKs into $(OLD) (once) ..."
	@$(PYTHON) -m venv $(OLD)
	@$(OLD)/bin/python $(PIP) install -e ".[providers]" $(OLDER) pytest pytest-xdist hypothesis
	@touch $@
