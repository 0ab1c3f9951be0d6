# Every target sets itself up: a fresh machine needs Python >= 3.11 (with venv) and make, nothing else.
#   make demo     ask the bundled hour-long film its questions
#   make test     everything that a fresh machine can prove
#   make check    lint, types, rules of the rooms, generated docs up to date
#   make format   rewrite the sources as ruff wants them
#   make docs     write the generated pages under docs/
#   make bench    the full benchmarks (hours; installs the extra `bench`)
#   make try-lmms run the real lmms-eval on films drawn here, with nano, in an environment of its own (10 minutes)
#   make clean    remove everything that these targets made

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
BENCH_READY := .venv/.ready-bench
LMMS := .venv-lmms
LMMS_READY := $(LMMS)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
SOURCES := src tests benchmarks docs recipes

.PHONY: demo test check format docs bench try-lmms clean

demo: $(READY)
	$(BIN)/longtake demo

# A process for each core, with one thread each: threads that share busy cores wait for each other.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --quiet --numprocesses=logical --maxprocesses=8 --dist=loadfile

check: $(READY)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/python -m pytest --quiet tests/test_rooms.py
	$(BIN)/python docs/generate.py --check
	$(BIN)/python recipes/papers/generate.py --check

format: $(READY)
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

docs: $(READY)
	$(BIN)/python docs/generate.py
	$(BIN)/python recipes/papers/generate.py

bench: $(BENCH_READY)
	@missed=; for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python "$$file" || missed="$$missed $$file"; done; \
		test -z "$$missed" || { echo "targets missed, or stopped:$$missed"; exit 1; }

# Where lmms-eval is installed, the tests with it do not skip.
try-lmms: $(LMMS_READY)
	OMP_NUM_THREADS=1 $(LMMS)/bin/python -m pytest --quiet tests/test_lmms.py tests/test_lmms_real.py

clean:
	rm -rf .venv $(LMMS) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist demo_output
	find $(SOURCES) -type d -name __pycache__ -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "longtake needs Python 3.11 or newer; this one is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "setting up .venv (once; the packages are large)"
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

$(LMMS_READY): $(READY) tests/lmms/requirements.txt
	sh tests/lmms/environment.sh .venv $(LMMS)
	@touch $@

$(BENCH_READY): $(READY)
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[bench]'
	@touch $@
