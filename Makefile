# Everything from a clone: `make demo`, `make test`, `make help`. The first call of a target installs what it needs into
# .venv with plain pip; a stamp file makes the next call start at once, until pyproject.toml or constraints.txt change.

# The Python that makes .venv; `make PYTHON=/path/to/python demo` chooses another.
PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test test-slow test-integrations bench lint format docs clean

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Compiling every installed module beforehand takes half of the installation, and few are ever imported: Python compiles
# those when it first imports them, and must be allowed to keep the result.
unexport PYTHONDONTWRITEBYTECODE

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/ready-demo  ## a diverging run, its forecast, its cure and the report
	@$(BIN)/seemrl demo

test: $(VENV)/ready-test  ## the quick tests
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

test-slow: $(VENV)/ready-test  ## the slow tests
	@$(BIN)/python -m pytest -m slow

# The libraries' pins contradict each other's, so the other trainers are tested in environments of their own; that
# of d3rlpy has W&B, MLflow and the notebook's parts beside it.
test-integrations: .venv-d3rlpy/ready .venv-online/ready .venv-torchrl/ready .venv-tianshou/ready  ## inside other trainers
	@OMP_NUM_THREADS=1 .venv-d3rlpy/bin/python -m pytest tests/integrations
	@OMP_NUM_THREADS=1 .venv-online/bin/python -m pytest tests/integrations
	@OMP_NUM_THREADS=1 .venv-torchrl/bin/python -m pytest tests/integrations
	@OMP_NUM_THREADS=1 .venv-tianshou/bin/python -m pytest tests/integrations

bench: $(VENV)/ready-test  ## how long readings take
	@$(BIN)/python -m benchmarks.readings

lint: $(VENV)/ready-lint  ## style, floors and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/pyright

format: $(VENV)/ready-lint  ## put the code in the house's format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(VENV)/ready-docs  ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "make docs: open site/index.html"

clean:  ## delete what was built and the caches; .venv stays (rm -rf .venv to start anew)
	rm -rf site dist build .hypothesis .import_linter_cache .pytest_cache .ruff_cache
	find . -path ./$(VENV) -prune -o -type d -name __pycache__ -exec rm -rf {} +

# One .venv, one stamp for each set of extras. $(call install,EXTRAS,WHAT FOR,HOW LONG)
define install
	@echo "make: setting up $(VENV) for $(2) (once; $(3))"
	@$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[$(1)]'
	@touch $@
endef

$(VENV)/ready-demo: pyproject.toml constraints.txt | $(VENV)/created
	$(call install,train,the demo,a minute or so)

$(VENV)/ready-test: pyproject.toml constraints.txt | $(VENV)/created
	$(call install,test,the tests,two minutes or so)

$(VENV)/ready-lint: pyproject.toml constraints.txt | $(VENV)/created
	$(call install,lint$(comma)test,the linters,two minutes or so)

$(VENV)/ready-docs: pyproject.toml constraints.txt | $(VENV)/created
	$(call install,docs,the documentation,a minute or so)

# $(call library,REQUIREMENTS,EXTRAS): seemrl beside one library, under our pins but for those that one of them contradicts:
# gymnasium (d3rlpy), pandas, virtualenv and its filelock (Tianshou).
define library
	@echo "make: setting up $(@D) for $(1) (once; a minute or so)"
	@$(BIN)/python -m venv $(@D)
	@grep -vE '^(gymnasium|pandas|virtualenv|filelock)==' constraints.txt > $(@D)/constraints.txt
	@$(@D)/bin/python -m pip install --quiet --no-compile --constraint $(@D)/constraints.txt \
		--editable '.[torch,$(2)]' $(1) beartype pytest
	@touch $@
endef

.venv-d3rlpy/ready: pyproject.toml constraints.txt | $(VENV)/created
	$(call library,'d3rlpy==2.8.1' ipykernel nbclient,d3rlpy$(comma)wandb$(comma)mlflow$(comma)figures)

.venv-online/ready: pyproject.toml constraints.txt | $(VENV)/created
	$(call library,'stable-baselines3==2.9.2' 'lightning==2.6.6',stable-baselines3$(comma)lightning)

.venv-torchrl/ready: pyproject.toml constraints.txt | $(VENV)/created
	$(call library,'torchrl==0.14.1' 'tensordict==0.14.3',torchrl)

.venv-tianshou/ready: pyproject.toml constraints.txt | $(VENV)/created
	$(call library,'tianshou==2.0.1',tianshou)

comma := ,

$(VENV)/created:
	@suits() { command -v "$$1" >/dev/null && "$$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }; \
	python=""; \
	for candidate in $(or $(PYTHON),python3.11 python3); do \
		if suits "$$candidate"; then python="$$candidate"; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "make: no Python 3.11 or newer found as: $(or $(PYTHON),python3.11 python3);" \
			"install one or say where it is: make PYTHON=/path/to/python3.11 ..." >&2; \
		exit 1; \
	fi; \
	"$$python" -m venv $(VENV) && $(BIN)/python -m pip --version >/dev/null
	@touch $@
