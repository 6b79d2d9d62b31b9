# make demo | test | lint | format | docs | venv | clean. All but clean first set up .venv where it is
# missing or older than the requirements.
PYTHON ?= python3
# Installed first and pinned, so that no requirement pulls in a larger build.
TORCH ?= torch==2.13.0
# Of make demo: pr2_left_arm, millirobot, half_cheetah or diff_drive.
ROBOT ?= pr2_left_arm
# Processes that test side by side.
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: venv test lint format demo docs clean

venv: $(STAMP)

$(STAMP): setup.py pyproject.toml Makefile
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo 'Python 3.11 or newer with venv is needed (PYTHON=... chooses one)' >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install '$(TORCH)'
	$(BIN)/pip install --quiet --editable '.[ros,sim,arm,video,baselines,docs,test]'
	touch $@

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# A file of tests stays on one core, and the longest ones begin first (test/conftest.py). What measures
# time has the machine for itself.
test: lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder \
		-m 'not timing' --durations=40
	$(BIN)/python -m pytest -m timing --durations=40

demo: $(STAMP)
	$(BIN)/mbmrl demo --robot '$(ROBOT)'

# The site of the documents, in out/site.
docs: $(STAMP)
	$(BIN)/python benchmarks/reference.py
	$(BIN)/python benchmarks/reference_topics.py
	$(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
