# Every target does its own set-up; the first one to run takes about a minute, the others none.
SHELL := /bin/bash
PYTHON ?= python3
WORKERS ?= 4 # more than most machines have cores: many tests wait for servers and limits
BIN := .venv/bin
READY := .venv/.ready
DEMO_FOLDER := .provisioning-demo
N ?= 3
LAB := PYTHONPATH=tests:workspaces/demo $(BIN)/python -m lab.cli
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help demo demo-up demo-down ui test test-lab soak lab-up lab-down lab-purge check fmt bench lock clean packages packages-test packages-lab

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) packages ## tell the story on four throw-away servers: plan, run, kill, resume, broken gate, fix
	@$(BIN)/python workspaces/demo/demo.py

demo-up: $(READY) packages ## start the demo's servers, keep them, say what to try
	@$(BIN)/python workspaces/demo/demo.py --up $(DEMO_FOLDER)

demo-down: ## end them, and everything that was installed on them
	@$(PYTHON) workspaces/demo/servers.py down $(DEMO_FOLDER)

ui: $(READY) ## build the web UI, where there is Node
	@$(BIN)/python web/build.py

# Every worker reads all the tests: compiled ones take a third of the time.
test: export PYTHONDONTWRITEBYTECODE :=
test: $(READY) packages-test ## every test this machine can run; lists what was skipped and why
	@$(BIN)/python web/build.py test
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -rs $(ARGS)

test-lab: $(READY) packages-lab ## the tests on real servers with systemd, the long ones too; as root
	$(BIN)/python -m pytest --lab -m 'lab and not soak' -rs $(ARGS)

soak: $(READY) packages ## the long ones: many rounds of kill -9, cut connections, large graphs
	$(BIN)/python -m pytest --soak -m soak -rs $(ARGS)

lab-up: $(READY) packages-lab ## N=3 Debian servers in namespaces to play with; as root
	@$(LAB) up $(N)

lab-down: $(READY) ## remove them
	@$(LAB) down

lab-purge: $(READY) ## remove them, the file system they start from and the packages that were kept
	@$(LAB) purge

check: $(READY) packages ## lint, format, types, layers, shell scripts
	$(BIN)/ruff check --no-cache
	$(BIN)/ruff format --check --no-cache
	$(BIN)/mypy
	$(BIN)/lint-imports
	@.ci/check-shell

fmt: $(READY) ## format the Python files, and fix what can be fixed safely
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: $(READY) packages ## planning, start-up and work over SSH beside their peers; ARGS=--quick, ARGS=--publish
	@.ci/setup-bench
	@$(BIN)/python -m benchmarks $(ARGS)

lock: $(READY) ## write requirements.txt anew from pyproject.toml
	$(BIN)/python .ci/lock.py

clean: ## remove everything that make has made, the virtual environment too
	@[ ! -d $(DEMO_FOLDER) ] || $(PYTHON) workspaces/demo/servers.py down $(DEMO_FOLDER)
	rm -rf .venv .venv-bench .bench dist build .browser web/node_modules provisioning/api/ui .coverage .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

packages:
	@.ci/packages

packages-test:
	@.ci/packages test

packages-lab:
	@.ci/packages lab

$(READY): requirements.txt pyproject.toml .ci/setup | packages
	@.ci/setup
	@touch $@
