# Every target does its own set-up: it needs Python 3.13, git, make and a package index, nothing else.
PYTHON ?= python3.13
VENV := .venv
BIN := $(VENV)/bin
RECORDS ?= 450000
SEEDS ?= 10000
SECONDS ?= 60
CONFIG ?= samconfig.local.toml
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export SAM_CLI_TELEMETRY = 0
export VIRTUAL_ENV = $(CURDIR)/$(VENV)
# With this variable, each process of tests would compile all tests again, which takes eight seconds.
unexport PYTHONDONTWRITEBYTECODE
# More processes than cores (WORKERS=N): many tests wait for a clock or a socket.
CORES := $(shell getconf _NPROCESSORS_ONLN)
PYTEST = $(BIN)/python -m pytest -n $(or $(WORKERS),$(PROCESSES),auto) --dist worksteal
unit: PROCESSES = $(shell expr 3 \* $(CORES) / 2)
test: PROCESSES = $(shell expr 2 \* $(CORES))
# Every hash is checked, and nothing is built from source.
INSTALL := $(BIN)/uv pip install --quiet --no-config --only-binary :all: --require-hashes \
  --constraints requirements.txt --overrides $(VENV)/overrides.txt
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.13 --generate-hashes --no-emit-index-url \
  --custom-compile-command "make lock"
COMPILE_LAYER := $(COMPILE) --constraints requirements.txt --no-annotate

.PHONY: help demo local docs quick unit test check format lint types template build native native-check audit \
  pipeline mongo sam-local wheel simulate picture reference bench deploy smoke fuzz advisories lock clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

demo: $(VENV)/.local ## export simulated contacts end to end, without Docker or accounts (RECORDS=450000)
	@$(BIN)/python -m local demo --records $(RECORDS)

local: $(VENV)/.local ## run the stack on this machine until Ctrl-C
	@$(BIN)/python -m local up

docs: $(VENV)/.test ## write the HTTP API's documentation as one page, .local/api.html
	@$(BIN)/python -m local.docs

quick: format lint types unit ## check while you work: format, lint, types and unit tests

unit: $(VENV)/.test ## unit tests: no process, no AWS server
	@$(PYTEST) tests/unit -m "not process"

test: $(VENV)/.test ## run before a push: unit, functional, contract, simulation and template tests
	@$(PYTEST) tests --ignore tests/pipeline --ignore tests/sam_local

check: format lint types template build native-check audit pipeline test ## everything a merge needs

format: $(VENV)/.lint ## check the formatting (ruff)
	@$(BIN)/ruff format --check .

lint: $(VENV)/.lint ## check the code (ruff)
	@$(BIN)/ruff check .

types: $(VENV)/.lint ## check the types (mypy, strict)
	@$(BIN)/mypy

template: $(VENV)/.sam ## validate template.yaml and those of the examples (includes cfn-lint)
	@AWS_DEFAULT_REGION=us-east-1 $(BIN)/sam validate --lint
	@AWS_DEFAULT_REGION=us-east-1 $(BIN)/sam validate --lint --template examples/summary/template.yaml

build: $(VENV)/.sam ## build the Lambda packages (arm64, trimmed, with bytecode) into .aws-sam/
	@$(BIN)/sam build
	@$(BIN)/python -m local.package .aws-sam/build $(wildcard $(CONFIG))

# The libraries are in the repository, so that nobody needs a compiler; zig writes the same bytes on every machine.
SCANNER := layers/crm_export/crm_export/results/csv_scanner
LIBRARIES = $(OUT).linux-aarch64.so $(OUT).linux-x86_64.so
native: OUT = $(SCANNER)
native: $(VENV)/.native ## compile csv_scanner.c for Lambda and for Linux on x86-64, after a change of it
	@$(COMPILE_SCANNER)

native-check: OUT = .local/native/csv_scanner
native-check: $(VENV)/.native ## check that the libraries in the repository are what csv_scanner.c compiles to
	@mkdir -p $(dir $(OUT)) && $(COMPILE_SCANNER)
	@for library in $(LIBRARIES); do cmp $$library $(dir $(SCANNER))$$(basename $$library) || exit 1; done

COMPILE_SCANNER = for library in $(LIBRARIES); do machine=$${library\#\#*linux-}; \
  ZIG_GLOBAL_CACHE_DIR=.local/zig $(BIN)/python -m ziglang cc -O3 -Wall -Wextra -Werror -shared -fPIC -s \
  -target $${machine%.so}-linux-gnu.2.17 $(SCANNER).c -o $$library || exit 1; done

sam-local: $(VENV)/.test $(VENV)/.sam ## run every event with SAM's emulator (HOST=172.17.0.1; needs a container engine)
	@SAM_LOCAL_HOST=$(or $(HOST),$(error set HOST: docs/sam-local.md)) $(PYTEST) tests/sam_local -n 0

audit: $(VENV)/.audit ## look for weaknesses: bandit in the code, checkov in template.yaml
	@$(BIN)/bandit --quiet --recursive --configfile pyproject.toml layers/crm_export functions local zoho_simulator cli
	@$(BIN)/checkov --config-file .checkov.yaml

pipeline: $(VENV)/.test ## tests on the running local stack, with schemathesis
	@$(BIN)/python -m pytest tests/pipeline

mongo: $(VENV)/.test ## contract tests of connections on a real MongoDB (MONGODB_URI=mongodb://host/database)
	@MONGODB_URI=$(or $(MONGODB_URI),$(error set MONGODB_URI)) $(PYTEST) tests/contract/test_connections.py

wheel: $(VENV)/.test ## build the wheel and try it in a clean environment (INTERPRETER=python3.14)
	@CRM_EXPORT_PYTHON="$(INTERPRETER)" $(BIN)/python -m pytest tests/wheel -n 0

simulate: $(VENV)/.test ## run the pipeline under seeded faults, on a virtual clock (SEEDS=10000)
	@$(BIN)/python -m simulation --seeds $(SEEDS)
	@$(BIN)/python -m simulation --syncs --seeds $(or $(SYNC_SEEDS),$(shell expr $(SEEDS) / 10 + 1))

picture: $(VENV)/.test ## run an export and draw the README's picture, docs/terminal.svg
	@$(BIN)/python -m local.picture

reference: $(VENV)/.test ## write the commands' part of docs/cli.md
	@$(BIN)/python -m local.cli_reference

bench: $(VENV)/.bench ## compare with the alternatives, write docs/benchmarks.md (QUICK=1; BENCH=landing,cost)
	@$(BIN)/python -m benchmarks $(if $(QUICK),--quick) $(if $(BENCH),--only $(BENCH)) $(if $(AGAINST),--against $(AGAINST)) \
	  $(if $(ROUNDS),--rounds $(ROUNDS))

deploy: $(CONFIG) build ## build and deploy to AWS with samconfig.local.toml (CONFIG=file)
	@$(BIN)/sam deploy --config-file $(abspath $(CONFIG))

$(CONFIG):
	@umask 077 && cp samconfig.example.toml $@
	@echo "Fill in the values in $@, then run make deploy again: docs/deploy.md." >&2; exit 1

smoke: $(VENV)/.test ## ask a deployed stack what only it can answer (STACK=name TOKEN=jwt; ASK=test): docs/live-probe.md
	@STACK=$(or $(STACK),$(error set STACK)) TOKEN=$(or $(TOKEN),$(error set TOKEN)) \
	  $(BIN)/python -m pytest -v --force-enable-socket tests/live -k "$(or $(ASK),test)"

fuzz: $(VENV)/.fuzz ## feed the ZIP reader with atheris (SECONDS=60; Linux on x86-64)
	@mkdir -p .local/fuzz
	@$(BIN)/python tests/fuzz/zip_reader.py .local/fuzz/corpus -artifact_prefix=.local/fuzz/ \
	  -max_total_time=$(SECONDS) -max_len=4096 -timeout=10 -rss_limit_mb=512 -verbosity=0 -print_final_stats=1

advisories: $(VENV)/.audit ## look up known vulnerabilities of our pins (asks the advisory database, so not in check)
	@$(BIN)/pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r requirements.txt

lock: $(VENV)/.uv ## resolve all requirements again after a change of pyproject.toml (UPGRADE=1: newest releases)
	@$(COMPILE) $(if $(UPGRADE),--upgrade) $(foreach group,build test lint bench sam audit native fuzz,--group $(group)) \
	  pyproject.toml -o requirements.txt
	@$(COMPILE_LAYER) --group layer -o layers/dependencies/requirements.txt
	@$(COMPILE_LAYER) --group mongo-layer -o layers/mongo/requirements.txt
	@$(COMPILE_LAYER) --group parquet-layer -o layers/parquet/requirements.txt
	@$(COMPILE_LAYER) --group summary-example -o examples/summary/function/requirements.txt

clean: ## remove everything made here
	rm -rf $(VENV) .aws-sam .local .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/.uv: requirements.txt
	@command -v $(PYTHON) >/dev/null || \
	  { echo "This needs Python 3.13: $(PYTHON) is not on the PATH (or set PYTHON=...)." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@sed -n '/^uv==/,/# via/p' requirements.txt > $(VENV)/uv.txt
	@$(BIN)/python -m pip install --quiet --only-binary :all: --require-hashes -r $(VENV)/uv.txt
	@touch $@

# A dependency group of pyproject.toml, and the project itself as an editable install.
$(VENV)/.%: requirements.txt pyproject.toml $(VENV)/.uv
	@echo "Installing the dependency group '$*' into $(VENV) (once) ..."
	@sed -nE '/^(boto3|networkx|packaging)==/s/ .*//p' requirements.txt > $(VENV)/overrides.txt
	@$(INSTALL) -r pyproject.toml --group build --group $*
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
