# Every target does its own set-up: it needs Python 3.13, make and a package index, nothing else.
PYTHON ?= python3.13
VENV := .venv
BIN := $(VENV)/bin
SAM := .venv-sam/bin/sam
AUDIT := .venv-audit/bin
RECORDS ?= 450000
SEEDS ?= 10000
SECONDS ?= 60
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export SAM_CLI_TELEMETRY = 0

.PHONY: help demo local docs test simulate check format lint types template build audit advisories fuzz pins clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

demo: $(VENV)/.local ## run the main job here, without Docker or accounts (RECORDS=450000)
	@$(BIN)/python -m local demo --records $(RECORDS)

local: $(VENV)/.local ## bring the stack up here until Ctrl-C
	@$(BIN)/python -m local up

docs: $(VENV)/.dev ## write the HTTP API's documentation as one page, .local/api.html
	@$(BIN)/python -m local.docs

test: $(VENV)/.dev ## all tests
	@$(BIN)/python -m pytest

simulate: $(VENV)/.dev ## the pipeline under seeded faults, on a virtual clock (SEEDS=10000)
	@$(BIN)/python -m simulation --seeds $(SEEDS)

check: format lint types template build audit test ## the whole gate

format: $(VENV)/.dev ## is the code formatted?
	@$(BIN)/ruff format --check .

lint: $(VENV)/.dev ## ruff
	@$(BIN)/ruff check .

types: $(VENV)/.dev ## mypy, strict
	@$(BIN)/mypy layers/crm_export/crm_export functions local zoho_simulator cli simulation

template: .venv-sam/.sam ## is template.yaml valid? (cfn-lint included)
	@AWS_DEFAULT_REGION=us-east-1 $(SAM) validate --lint

build: .venv-sam/.sam ## build the Lambda packages (arm64) into .aws-sam/
	@$(SAM) build

audit: .venv-audit/.audit ## bandit over the code, checkov over template.yaml
	@$(AUDIT)/bandit --quiet --configfile pyproject.toml --recursive layers/crm_export functions local zoho_simulator cli
	@$(AUDIT)/checkov --config-file .checkov.yaml

advisories: .venv-audit/.audit ## pip-audit: known weaknesses of what we pin (asks the advisory database, so not in check)
	@for pins in layers/dependencies/requirements.txt requirements/*.txt; do \
	  echo "$$pins"; $(AUDIT)/pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r $$pins || exit 1; \
	done

fuzz: .venv-fuzz/.fuzz ## feed the ZIP reader what atheris makes of ZIPs (SECONDS=60; Linux on x86-64)
	@mkdir -p .local/fuzz
	@PYTHONPATH=.:layers/crm_export .venv-fuzz/bin/python tests/fuzz/zip_reader.py .local/fuzz/corpus \
	  -artifact_prefix=.local/fuzz/ -max_total_time=$(SECONDS) -max_len=4096 -timeout=10 -rss_limit_mb=512 -verbosity=0 -print_final_stats=1

pins: $(VENV)/.dev ## compile all requirements anew, with hashes
	@for spec in "requirements/dev requirements/dev" "requirements/local requirements/local -c requirements/dev.txt" \
	    "layers/dependencies/requirements layers/dependencies/requirements -c requirements/dev.txt" \
	    "requirements/sam requirements/sam" "requirements/audit requirements/audit" \
	    "requirements/fuzz requirements/fuzz -c requirements/dev.txt"; do \
	  set -- $$spec; in=$$1.in; out=$$2.txt; shift 2; \
	  $(BIN)/uv pip compile --quiet --upgrade --generate-hashes --universal --python-version 3.13 \
	    --no-emit-index-url --custom-compile-command "make pins" $$in -o $$out $$@ || exit 1; \
	done

clean: ## remove everything made here
	rm -rf .venv .venv-sam .venv-audit .venv-fuzz .aws-sam .local .mypy_cache .ruff_cache .pytest_cache

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "This needs Python 3.13: $(PYTHON) is not on the PATH (or set PYTHON=...)." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.local: requirements/local.txt | $(BIN)/python
	@echo "Installing what the local stack needs into $(VENV) (once, about a minute) ..."
	@$(BIN)/python -m pip install --quiet --only-binary :all: --require-hashes -r $<
	@touch $@

$(VENV)/.dev: requirements/dev.txt | $(VENV)/.local
	@echo "Installing what tests and checks need into $(VENV) (once) ..."
	@$(BIN)/python -m pip install --quiet --only-binary :all: --require-hashes -r $<
	@touch $@

.venv-sam/.sam: requirements/sam.txt
	@command -v $(PYTHON) >/dev/null || { echo "This needs Python 3.13: $(PYTHON) is not on the PATH (or set PYTHON=...)." >&2; exit 1; }
	@test -x .venv-sam/bin/python || $(PYTHON) -m venv .venv-sam
	@echo "Installing the SAM CLI into .venv-sam (once, about a minute) ..."
	@.venv-sam/bin/python -m pip install --quiet --only-binary :all: --require-hashes -r $<
	@touch $@

.venv-audit/.audit: requirements/audit.txt
	@command -v $(PYTHON) >/dev/null || { echo "This needs Python 3.13: $(PYTHON) is not on the PATH (or set PYTHON=...)." >&2; exit 1; }
	@test -x .venv-audit/bin/python || $(PYTHON) -m venv .venv-audit
	@echo "Installing bandit, checkov and pip-audit into .venv-audit (once, about a minute) ..."
	@.venv-audit/bin/python -m pip install --quiet --only-binary :all: --require-hashes -r $<
	@touch $@

.venv-fuzz/.fuzz: requirements/fuzz.txt
	@command -v $(PYTHON) >/dev/null || { echo "This needs Python 3.13: $(PYTHON) is not on the PATH (or set PYTHON=...)." >&2; exit 1; }
	@test -x .venv-fuzz/bin/python || $(PYTHON) -m venv .venv-fuzz
	@echo "Installing atheris into .venv-fuzz (once) ..."
	@.venv-fuzz/bin/python -m pip install --quiet --only-binary :all: --require-hashes -r $<
	@touch $@
