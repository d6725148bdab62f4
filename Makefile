# Everything installs into .venv. PYTHON may name another Python (3.11 or newer).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# The real dbt has an environment of its own: its libraries are not ours.
DBT := dbt-core==1.11.16 dbt-bigquery==1.11.3
DBT_VENV := .venv-dbt

.PHONY: pictures install demo test tools dbt lint audit check torture bench live clean

demo: install
	@$(BIN)/tidemill demo

test: install lint audit tools dbt
	@$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed: apt-get install python3 python3-venv, or brew install python"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; PYTHON=python3.12 make … chooses one"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv is needed: apt-get install python3-venv"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[local]' --group dev
	@touch $@

# What the tests of SDKs need beside Python: without it they are skipped.
tools:
	@missing=; \
	command -v node >/dev/null && command -v npm >/dev/null || missing="nodejs npm"; \
	command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
	test -e "/Applications/Google Chrome.app" || missing="$$missing chromium"; \
	test -n "$$missing" || exit 0; \
	if command -v apt-get >/dev/null && test "$$(id -u)" = 0; then \
		echo "Installing $$missing (once)"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	else \
		echo "Tests of SDKs will be skipped. They need: apt-get install $$missing (or brew install node, brew install --cask google-chrome)"; \
	fi

# What the tests of dbt need: without it they are skipped, and say why. A pip that cannot install it ends no tests.
dbt: $(DBT_VENV)/$(subst ==,-,$(subst $() ,+,$(DBT)))

$(DBT_VENV)/$(subst ==,-,$(subst $() ,+,$(DBT))):
	@echo "Installing $(DBT) into $(DBT_VENV) (once)"
	@rm -rf $(DBT_VENV) && mkdir $(DBT_VENV)
	@$(PYTHON) -m venv $(DBT_VENV) && \
	$(DBT_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --retries 1 --timeout 15 $(DBT) 2>$(DBT_VENV)/failed && \
	rm $(DBT_VENV)/failed && touch "$@" || echo "dbt could not be installed, so its tests are skipped: see $(DBT_VENV)/failed"

lint: install
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# What is known to be unsafe, in our code and in what we use. A package index that knows of no vulnerabilities ends no
# tests; one that knows of some does.
audit: install
	@$(BIN)/bandit -q -r src -c pyproject.toml -ll
	@found=$$($(BIN)/pip-audit --progress-spinner off --skip-editable 2>&1) || case "$$found" in \
		*"known vulnerabilit"*) echo "$$found"; exit 1;; \
		*) echo "What is known of our libraries could not be asked for: $$(echo "$$found" | tail -1)";; \
	esac

# Screenshots of the web app, for the documents.
pictures: install
	@$(BIN)/python -m docs.pictures.take

# Hundreds of kills, and a soak of an hour: TIDEMILL_SOAK_SECONDS=300 make torture has a shorter one.
# TIDEMILL_SYNC_KILL_TURNS=20 kills fewer commands that run syncs, TIDEMILL_IMPORT_KILL_TURNS=20 such as run imports.
torture: install
	@$(BIN)/pytest -m torture

live: install
	@$(BIN)/pytest -m live

# An hour and a half; each may be run alone. The third needs wrk.
bench: install
	@$(BIN)/python benchmarks/run.py
	@$(BIN)/python benchmarks/models.py
	@$(BIN)/python benchmarks/capture.py
	@$(BIN)/python benchmarks/stream.py
	@$(BIN)/python benchmarks/object_store.py
	@$(BIN)/python benchmarks/scheduler.py
	@$(BIN)/python benchmarks/backfills.py
	@$(BIN)/python benchmarks/plan.py
	@$(BIN)/python benchmarks/mapping.py
	@$(BIN)/python benchmarks/delivery.py
	@$(BIN)/python benchmarks/dbt_manifest.py
	@$(BIN)/python benchmarks/import_runs.py
	@$(BIN)/python benchmarks/api_lists.py
	@$(BIN)/python benchmarks/web_paint.py
	@$(BIN)/python benchmarks/web_pages.py

clean:
	rm -rf $(VENV) $(DBT_VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
