# Two commands: `make demo` and `make test`. Each builds .venv/ from nothing and reuses it later.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: venv demo test test-slow lint docs clean

demo: $(VENV)/.torch  ## a room from its images alone: reconstruct, segment, score -> out/demo/
	$(BIN)/moonseg demo --out=out/demo

test: $(VENV)/.dev  ## the default tests
	$(BIN)/python -m pytest -n auto

test-slow: $(VENV)/.dev  ## the long ones
	$(BIN)/python -m pytest -n auto -m slow

lint: $(VENV)/.dev  ## style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

docs: $(VENV)/.docs  ## the site, warnings being errors -> out/site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

venv: $(VENV)/.dev  ## everything a contributor needs

$(VENV)/.base: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	touch $@

$(VENV)/.torch: $(VENV)/.base
	$(PIP) --editable '.[torch]'
	touch $@

$(VENV)/.dev: $(VENV)/.base
	$(PIP) --editable '.[dev]'
	touch $@

$(VENV)/.docs: $(VENV)/.base
	$(PIP) --editable '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) out build *.egg-info
