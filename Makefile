# `make study` runs the main job, `make test` the tests; both set up .venv first.
.PHONY: study test lint clean
.DELETE_ON_ERROR:

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv/requirements.lock
BIN := .venv/bin

study: $(VENV)
	$(BIN)/snakemake --profile profiles/local

test: $(VENV)
	$(BIN)/python -m pytest

lint: $(VENV)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile workflow/rules
	$(BIN)/snakemake --lint

# The copy of the lock inside .venv is made last: it says what is installed.
$(VENV): requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "Python 3.11 is needed, found " + sys.version.split()[0] + "; call make with PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.lock
	cp requirements.lock $@

clean:
	rm -rf .venv
