# Evergreen's commands. Each sets up what it needs: Python 3.11 or later, git, make and the indexes of Python and Maven.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# The optional extras are locked with the rest and installed by `make setup`, so that the tests run them.
# What requirements-server.in adds is for the image alone, at the same versions of all that both have.
REQUIREMENTS := requirements.in requirements-laptop.in requirements-lightgbm.in
SERVER := requirements.in requirements-lightgbm.in requirements-server.in
COMPILE := --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet
# Writes into a lock's first line what it was made from; `make check` compares.
noted = @{ echo "\# locked by make lock from $(2), git blob $$(cat $(2) | git hash-object --stdin)"; cat $(1); } \
	> .venv/lock.txt && cp .venv/lock.txt $(1)
locked = @head -1 $(1) | grep -q "$$(cat $(2) | git hash-object --stdin)" \
	|| { echo "$(1) is not locked from $(2) as they are: run make lock"; exit 1; }
# Two test processes fit into 2 cores and 4 GB. A test file stays in one of them, so its fixtures are made once.
TEST_PROCESSES ?= 2
# What bench-ingest measures; two sizes show how memory grows.
ROWS ?= 3400000
KAFKA_ROWS ?= 1000000
RUNS ?= 5
PATHS ?= csv postgres kafka gcs
TRIALS ?= 20
# Docker's own compose, else the command beside it. COMPOSE_FILE names more files, such as compose.local.yaml.
COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
WORKERS ?= 1 2

# Without bytecode every start of Airflow takes twice as long; another environment must not catch the packages.
unexport PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONHOME VIRTUAL_ENV CONDA_PREFIX
ifdef PORT
export EVERGREEN_PORT := $(PORT)
endif

.DEFAULT_GOAL := help
.PHONY: help demo up down status test drill drill-kill bench-ingest bench-evaluate bench-gate bench-search secrets compose-demo compose-test compose-test-gs backup restore check backtest reproduce format setup lock clean

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

demo: setup ## start everything and replay January to June 2013 (make demo PORT=9000 for other ports)
	$(BIN)/evergreen demo

up: setup ## start Airflow, MLflow and the servers that the sources ask for, and print where they are
	$(BIN)/evergreen up

down: setup ## stop them
	$(BIN)/evergreen down

status: setup ## data, champion, decisions, requests and servers
	$(BIN)/evergreen status

test: setup ## run all tests (make test ARGS='-k gate')
	$(BIN)/pytest -n $(TEST_PROCESSES) --dist loadfile $(ARGS)

drill: setup ## kill, stop, fill and alter what runs, and print what came of it (the fault tests alone)
	$(BIN)/pytest -n $(TEST_PROCESSES) --dist loadfile tests/faults $(ARGS)

drill-kill: setup ## kill each source's ingest while its data changes, and compare (make drill-kill KILLS=30 SOURCES=kafka SEED=7)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.kills

bench-ingest: setup ## each source beside its limit (ROWS="3400000 10000000" RUNS=1 PATHS="csv kafka" TO=table.md)
	$(BIN)/python -m benchmarks.ingest --rows $(ROWS) --kafka-rows $(KAFKA_ROWS) --runs $(RUNS) --paths $(PATHS) \
		$(if $(TO),--to $(TO))

bench-evaluate: setup ## seconds of an evaluation of 100,000 rows, with all intervals and segments
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.evaluate

bench-gate: setup ## seconds of a verdict on 100,000 rows, false promotions of a quarter, planted candidates (TO=table.md)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.gate $(if $(TO),--to $(TO))

bench-search: setup ## a random search of 20 trials on the flights, in one process and in two (TRIALS=20 WORKERS="1 2" TO=table.md)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.search --trials $(TRIALS) --workers $(WORKERS) $(if $(TO),--to $(TO))

secrets: ## make .env, the passwords and keys of the compose stack (what is in it stays)
	@$(PYTHON) deploy/make_secrets.py

compose-demo: setup secrets ## replay January to June 2013 on the compose stack, and compare its builds with the laptop's
	$(COMPOSE) --profile demo up --build --detach --wait
	$(COMPOSE) --profile demo --profile feeder run --rm -T feeder
	@mkdir -p .evergreen && $(COMPOSE) exec -T scheduler /opt/evergreen/deploy/entrypoint python examples/flights/hashes.py > .evergreen/compose.json
	$(BIN)/python examples/flights/hashes.py --than .evergreen/compose.json

compose-test: setup ## every check and drill of the compose stack on a real Docker Engine, of which it needs DOCKER_HOST
	COMPOSE_TEST=1 $(BIN)/pytest -n 0 -p no:cacheprovider --timeout 1800 tests/compose $(ARGS)

compose-test-gs: setup ## the same for a lake and a DVC remote in a bucket of the emulator, without the drills
	COMPOSE_TEST=1 COMPOSE_TEST_LAKE=gs $(BIN)/pytest -n 0 -p no:cacheprovider --timeout 1800 \
		tests/compose/test_loop.py tests/compose/test_restore.py $(ARGS)

backup: ## all that the stack of docker-compose.yaml knows, while it runs (make backup TO=backups)
	@COMPOSE="$(COMPOSE)" $(PYTHON) deploy/backup.py create --to $(or $(TO),backups)

restore: ## fill an empty stack from a backup and decide all again (make restore FROM=backups/20130401T040000Z FORCE=1)
	@COMPOSE="$(COMPOSE)" $(PYTHON) deploy/backup.py restore $(or $(FROM),$(error which backup? make restore FROM=backups/...)) \
		$(if $(FORCE),--force)

check: setup ## style, types, params.yaml, dvc.yaml and dvc.lock, docs, locked packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(call locked,requirements.txt,$(REQUIREMENTS))
	$(call locked,requirements-server.txt,requirements.txt $(SERVER))
	$(BIN)/evergreen check
	$(BIN)/evergreen docs --check
	@rm -f .venv/dvc.log
	@{ $(BIN)/dvc repro --dry --allow-missing > .venv/dvc.log 2>&1 && ! grep "^Running stage" .venv/dvc.log; } \
		|| { cat .venv/dvc.log; echo "dvc.yaml or dvc.lock is not up to date: run dvc repro, commit dvc.lock"; exit 1; }
	@echo "dvc.yaml is valid, dvc.lock is up to date"

backtest: setup ## does retraining pay? replays April to December 2013 for several policies (make backtest ARGS='--policy weekly')
	OMP_NUM_THREADS=1 $(BIN)/python examples/flights/backtest.py $(ARGS)

reproduce: setup ## make the committed build again from the shipped data, and compare the bytes
	$(BIN)/python examples/flights/reproduce.py

format: setup ## let ruff mend the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

setup: .venv/ready .venv/kafka/ready ## make .venv with exactly the locked packages, and bring the Kafka broker

.venv/bin/uv: requirements-uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or later is needed: make setup PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.txt
	@touch $@

# sync also removes what is not locked. setuptools, which the editable install needs, is among the locked packages.
.venv/ready: .venv/bin/uv requirements.txt requirements-data.txt pyproject.toml $(REQUIREMENTS)
	@echo "installing the locked packages into .venv: about a minute"
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode \
		requirements.txt requirements-data.txt
	$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation --offline --editable .
	@touch $@

# Jars that kafka-jars.txt lists with their hashes, from Maven; nothing later needs the network.
.venv/kafka/ready: .venv/ready include/evergreen/local/kafka-jars.txt
	$(BIN)/python -m evergreen.local.kafka_jars
	@touch $@

lock: .venv/bin/uv ## lock what is required into requirements.txt, for all platforms, and the image's requirements-server.txt
	$(BIN)/uv pip compile --universal $(COMPILE) $(REQUIREMENTS) --output-file requirements.txt
	$(call noted,requirements.txt,$(REQUIREMENTS))
	$(BIN)/uv pip compile --python-platform x86_64-manylinux_2_28 $(COMPILE) --constraint requirements.txt \
		$(SERVER) --output-file requirements-server.txt
	$(call noted,requirements-server.txt,requirements.txt $(SERVER))

clean: ## stop the servers; remove .venv, caches and built files, but not the state in .evergreen
	@if [ -x $(BIN)/evergreen ]; then $(BIN)/evergreen down; fi
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
