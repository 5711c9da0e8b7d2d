# Everything runs in .venv; `make help` lists the targets.
PYTHON ?= python3
BIN := .venv/bin
# Threads that spin while they wait are slow wherever anything else runs, and where they sleep
# instead, one is faster than two on models as small as the miniature.
export OMP_WAIT_POLICY ?= PASSIVE
export OMP_NUM_THREADS ?= 1
export HF_HUB_DISABLE_TELEMETRY := 1

# Markers of tests whose Debian packages are missing.
FONT := /usr/share/fonts/truetype/noto/NotoColorEmoji.ttf
MISSING := $(strip $(if $(shell command -v chromedriver),,browser) $(if $(wildcard $(FONT)),,font))
SPACE := $(subst ,, )
# An option of pytest that leaves out tests with one of some markers.
without = $(if $(strip $(1)),-m "not ($(subst $(SPACE), or ,$(strip $(1))))")
# Two processes of one thread each, between which modules are shared out in order.
PYTEST := -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: help book lab results timings explorer test test-full test-oldest lint clean
.DEFAULT_GOAL := help

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

book: .venv/.installed ## Execute the chapters on the miniature and render the book
	$(BIN)/hrvlab book --execute

lab: .venv/.installed ## Open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

results: .venv/.installed ## Recompute the stored results of the miniature (hours)
	$(BIN)/hrvlab results

test: .venv/.installed ## Run the tests, less the exhaustive ones
	@$(if $(MISSING),echo "tests left out because Debian packages are missing: $(MISSING)",:)
	$(BIN)/python $(PYTEST) $(call without,full $(MISSING))

test-full: .venv/.installed ## Run all tests
	@$(if $(MISSING),echo "tests left out because Debian packages are missing: $(MISSING)",:)
	$(BIN)/python $(PYTEST) $(call without,$(MISSING))

# A second environment on top of the first, in which other versions take precedence: the oldest of
# the libraries that load models, with what they require.
OLDEST = $(shell sed -nE 's/.*"(diffusers|transformers)>=([0-9.]+).*/\1==\2/p' pyproject.toml)
SITE = import sysconfig; print(sysconfig.get_path("purelib"))

.venv-oldest/.installed: .venv/.installed
	$(PYTHON) -m venv --clear .venv-oldest
	$(BIN)/python -c '$(SITE)' > "$$(.venv-oldest/bin/python -c '$(SITE)')/others.pth"
	.venv-oldest/bin/pip install --quiet --disable-pip-version-check $(OLDEST)
	touch $@

test-oldest: .venv-oldest/.installed ## Run the tests of the core on the oldest supported libraries
	.venv-oldest/bin/python $(PYTEST) $(call without,full) tests/attention tests/models \
		tests/test_generation.py tests/test_capture.py tests/test_every_family.py \
		tests/test_joint.py tests/test_transformers.py

lint: .venv/.installed ## Check format, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

explorer: ## Lint, test and build the explorer of the head atlas (needs node)
	npm --prefix explorer ci --no-audit --no-fund
	npm --prefix explorer run lint
	npm --prefix explorer run test
	npm --prefix explorer run build

timings: .venv/.installed ## Measure what everything costs on this machine, for the book
	$(BIN)/python -m timings

clean: ## Remove the environment and everything built
	rm -rf .venv .venv-oldest _build book/_build book/runs explorer/node_modules
