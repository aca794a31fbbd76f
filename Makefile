# Two commands do all the set-up: `make demo` and `make test`. They need git, make and Python 3.11 or later.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do command -v $$p && break; done)
VENV := .venv
RUN := $(VENV)/bin/python -m
# Processes of the suite: one more than cores, because each waits for others at times.
JOBS ?= 3
# The suite starts hundreds of processes: each would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-all bench lint pictures docs env

demo: env ## a real nested study: resampling, class weights and thresholds on three tables
	$(RUN) imblab run experiment=quickstart

test: env ## the suite
	$(RUN) pytest -m "not slow" -n $(JOBS) --dist worksteal

test-all: env ## the suite and the slower proofs
	$(RUN) pytest -n $(JOBS) --dist worksteal --durations=40

bench: env ## imblab compared with other ways, about ten minutes
	$(VENV)/bin/python benchmarks/run.py

lint: env ## style, format and types
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy

pictures: env ## the pictures of the documentation that come from code and committed studies
	$(VENV)/bin/python docs/draw_pictures.py

docs: $(VENV)/docs-installed ## the site, in docs/_build/html: warnings are errors, links between its pages are checked
	$(RUN) sphinx -b html --quiet --nitpicky --fail-on-warning --keep-going docs docs/_build/html
	@echo "docs: docs/_build/html/index.html"

env: $(VENV)/installed

# One stamp: the environment is made again when the lock or the package's metadata change.
$(VENV)/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "imblab needs Python 3.11 or later; this is " + sys.version.split()[0] + ". Say make PYTHON=/path/to/python3.11.")'
	$(PYTHON) -m venv --clear $(VENV)
	$(RUN) pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(RUN) pip install --quiet --disable-pip-version-check --no-deps -e .
	@echo "$$($(VENV)/bin/imblab --version) works; the environment takes $$(du -sm $(VENV) | cut -f1) MB, the tools of the tests included."
	@touch $@

# What the site needs on top: its pins agree with those of requirements.lock, so nothing is replaced.
$(VENV)/docs-installed: $(VENV)/installed requirements-docs.lock
	$(RUN) pip install --quiet --disable-pip-version-check --require-hashes -r requirements-docs.lock
	@touch $@
