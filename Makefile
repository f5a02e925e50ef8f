# make demo: one simulated person at two sites, harmonized; make test: what CI runs; make bench: speed and memory
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
QUICK := not slow and not gpu and not network and not container and not slurm

.PHONY: demo test bench docs lint clean install-engine test-slow test-gpu test-network test-container test-slurm test-stress fuzz

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e . -c constraints.txt
	touch $@

$(VENV)/.installed-test: setup.cfg pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e '.[test]' -c constraints.txt
	touch $@

# One simulated person scanned at two sites; the first site's session is given the second site's contrast.
# The head is made of tissue maps that the built-in weights were not trained on.
demo: $(VENV)/.installed
	rm -rf demo
	$(BIN)/haca3 simulate demo/bids --sites 2 --subjects 1 --travelling --builtin-head --ages 30 30
	$(BIN)/haca3-bids demo/bids demo/out participant --session-label siteA --target sub-01_ses-siteB \
		--template builtin --show-targets --work-dir demo/work
	@echo "Open the page:"
	@echo "$(CURDIR)/demo/out/sub-01.html"

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "$(QUICK)"

# As root on a Debian without an engine this installs one; what is lacking otherwise is a reason for skipping.
test-container: install-engine
install-engine:
	tests/container/install

test-slow test-gpu test-network test-container test-slurm: test-%: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m $*

# Faults at many more moments than in test-slow; as root also full disks and limits of memory.
test-stress: $(VENV)/.installed-test
	STRESS=full $(BIN)/python -m pytest tests/stress

fuzz: $(VENV)/.installed-test
	$(BIN)/python -W ignore tests/stress/fuzz.py images --seconds 300
	$(BIN)/python -W ignore tests/stress/fuzz.py weights --seconds 300

bench: $(VENV)/.installed-test
	$(BIN)/python -m pytest benchmarks --override-ini python_files='bench_*.py' -s

docs: $(VENV)/.installed-test
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) build dist docs/_build demo
