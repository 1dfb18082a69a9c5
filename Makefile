# `make study` runs the main job, `make test` the tests; both set up .venv first.
.PHONY: study test test-fast test-cluster test-long lint bench calibrate clean
.DELETE_ON_ERROR:

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv/requirements.lock
BIN := .venv/bin
PEERS := .venv/peers/peers-requirements.txt
MEASURED := results/benchmarks/decomposition.tsv
# A worker a core, each with a file of tests at a time, in the order of collection.
PYTEST := $(BIN)/python -m pytest --numprocesses logical --dist loadfile --no-loadscope-reorder

study: $(VENV)
	$(BIN)/snakemake --profile profiles/local

test: $(VENV)
	$(PYTEST)

test-fast: $(VENV)
	$(PYTEST) -m unit

# On a real SLURM that is installed and started for it; Debian or Ubuntu, as root.
test-cluster: $(VENV)
	$(call on_slurm,cluster)

# Minutes each, some on that SLURM, one with a network.
test-long: $(VENV)
	$(call on_slurm,long)

define on_slurm
tests/cluster/slurm.sh start && $(BIN)/python -m pytest -m $(1); \
status=$$?; tests/cluster/slurm.sh stop; exit $$status
endef

lint: $(VENV)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile workflow/rules
	PYTHONPATH=workflow/scripts $(BIN)/lint-imports
	$(BIN)/snakemake --lint

# The verdicts on simulated studies whose truth is known: of the claims that have none as
# they are now, or of one (`make calibrate CLAIM=striped`). All take half an hour on two
# cores.
CLAIM ?= missing
calibrate: $(VENV)
	$(BIN)/snakemake --profile profiles/local results/calibration/$(CLAIM).tsv
	cp results/calibration/$(CLAIM).tsv workflow/resources/calibration.tsv
	$(BIN)/snakemake --profile profiles/local results/figures/calibration.png results/figures/power.png
	cp results/figures/calibration.png results/figures/power.png docs/images/

# About half an hour, after `make study`; nothing else may be running.
bench: $(PEERS)
	$(BIN)/python benchmarks/decomposition.py
	$(BIN)/python benchmarks/decomposition_report.py $(MEASURED) benchmarks/README.md docs/images/decomposition.png

# The lock is whole, so pip need not solve it again; tests/test_envs.py says which
# requirement it leaves unmet and why. Its copy inside .venv is made last.
$(VENV): requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "Python 3.11 is needed, found " + sys.version.split()[0] + "; call make with PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --requirement requirements.lock
	cp requirements.lock $@

# Tools to compare with, in an environment of their own.
$(PEERS): benchmarks/peers-requirements.txt $(VENV)
	$(PYTHON) -m venv --clear .venv/peers
	.venv/peers/bin/pip install --quiet --disable-pip-version-check --requirement $<
	cp $< $@

clean:
	rm -rf .venv
