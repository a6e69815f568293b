# The two commands: `make report` and `make test`. Both make an environment of exact pins first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2

.PHONY: help env test slow lint report parity claims gpu-report clean

help:
	@echo "make report      environment, parity sweep, claims, reports/index.html"
	@echo "make test        the tests"
	@echo "make slow        the tests that take minutes"
	@echo "make lint        ruff and mypy"
	@echo "make gpu-report  parity on a GPU, with the frameworks installed in \$$(PYTHON), and the report"
	@echo "make clean       remove the environment"

env: $(VENV)/.made

# XLOSS_NO_ENV=1 uses the environment that is active.
$(VENV)/.made: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

test: env
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

slow: env
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m slow

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

report: env
	$(BIN)/xloss doctor
	$(BIN)/xloss parity --out reports
	$(BIN)/xloss report reports

# A machine with a GPU brings its own frameworks: nothing is installed but what xloss itself needs.
gpu-report:
	$(PYTHON) -m pip install --quiet --no-deps --editable .
	$(PYTHON) -m xloss doctor
	$(PYTHON) -m xloss parity --device cuda --jobs 1 --out reports/cuda
	$(PYTHON) -m xloss report reports/cuda

clean:
	rm -rf $(VENV)
