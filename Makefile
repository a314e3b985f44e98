# make demo: set up .venv, read ten digits with a trained network in integers, then train LIF and both Izhikevich models
#            on an embedded data set
# make test: set up .venv, then run ruff, mypy and the quick tests of units, kernels, formats and commands
# make test-all: every test, also slow ones, of notebooks, pages in a browser, simulated cores, proofs, and other
#            libraries: PYNQ, those that networks are exchanged with, and the oldest versions of the dependencies, each
#            in an environment of its own (left out where they cannot be installed)
# make docs: set up .venv, then build the site of the documentation into build/docs, with no warning; notebooks are
#            executed where their data are at hand (izhi data fetch mnist), and their outputs kept in build/notebooks:
#            remove that folder to execute them again
# make figures: draw the figures that a paper can take into build/figures, as SVG and PDF
# make results: every comparison and study of docs/results once more, into build/results; many hours, and what was
#            stopped goes on by the same command (ONLY=temporal,neurons for some pages)
# make zoo: train the networks of the zoo once more, and write their files and cards; hours, resumed by the same command
# make bench: set up .venv-bench with the other libraries, then time a training step of each
# make gpu: on a machine with a CUDA device, set up .venv-bench, run the checks that need one and time training steps
#           beside the other libraries; writes build/gpu/gpu.md and gpu.json (SMALL=1 tries the same without a device
#           in .venv, by Triton's interpreter)
# make dist: build the wheel and the sdist into dist/, check them, and run the wheel without the checkout
# PYTHON chooses the interpreter (3.10 or newer).

PYTHON ?= python3
VENV := .venv
PYNQ := .venv-pynq
NIR := .venv-nir
OLDEST := .venv-oldest
DIST := .venv-dist
BIN := $(VENV)/bin

.PHONY: demo test test-all lint docs figures results zoo bench gpu dist clean

$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "izhi needs Python 3.10 or newer; try make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/installed-tests: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

demo: $(VENV)/installed
	$(BIN)/izhi demo
	$(BIN)/izhi compare --dataset digits --neurons lif,normalized,biological --seeds 0,1,2

lint: $(VENV)/installed-tests
	$(BIN)/ruff format --check src tests benchmarks docs
	$(BIN)/ruff check src tests benchmarks docs
	$(BIN)/mypy

# PYNQ wants an older numpy, and a Python of at most 3.12.
$(PYNQ)/installed:
	-$(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 13))' && $(PYTHON) -m venv $(PYNQ) \
		&& $(PYNQ)/bin/python -m pip install --quiet pynq && touch $@

# These share torch with Izhi's own environment.
$(NIR)/installed: tests/exchange/requirements.txt | $(VENV)/installed-tests
	-$(PYTHON) -m venv $(NIR) \
		&& $(BIN)/python -c 'import site; print(site.getsitepackages()[0])' \
			> $$($(NIR)/bin/python -c 'import site; print(site.getsitepackages()[0])')/izhi.pth \
		&& $(NIR)/bin/python -m pip install --quiet --no-deps -r $< && touch $@

# The lowest versions that pyproject.toml declares, which Python 3.10 to 3.12 have. torch is the newest, since its lowest
# for Linux brings gigabytes of CUDA: NEWEST= (empty) installs that too.
NEWEST := torch
$(OLDEST)/installed: pyproject.toml tests/lowest_versions.py
	-$(PYTHON) -m venv $(OLDEST) \
		&& $(OLDEST)/bin/python tests/lowest_versions.py events nir quantize --newest $(NEWEST) > $(OLDEST)/versions.txt \
		&& $(OLDEST)/bin/python -m pip install --quiet -r $(OLDEST)/versions.txt pytest hypothesis && touch $@

PYTEST := $(BIN)/python -m pytest --dist worksteal

# Slow tests wait for processes of theirs, so that three workers keep two cores busy.
# Processes that tests start would compile Izhi's modules anew where none may be kept.
test test-all: export PYTHONDONTWRITEBYTECODE =
test: lint
	$(PYTEST) -n 2 -m "not slow and not long"

test-all: lint $(PYNQ)/installed $(NIR)/installed $(OLDEST)/installed
	IZHI_PYNQ=$$(test -e $(PYNQ)/installed && echo $(CURDIR)/$(PYNQ)/bin/python) \
	IZHI_NIR=$$(test -e $(NIR)/installed && echo $(CURDIR)/$(NIR)/bin/python) \
	IZHI_OLDEST=$$(test -e $(OLDEST)/installed && echo $(CURDIR)/$(OLDEST)/bin/python) \
		$(PYTEST) -n 3

docs: $(VENV)/installed-tests
	$(BIN)/sphinx-build -q -W --keep-going -E -b html -c docs . build/docs
	@echo "site: build/docs/index.html"

figures: $(VENV)/installed-tests
	$(BIN)/python docs/extensions/paper_figures.py build/figures

# One thread, with which the numbers of a study are said to be repeated.
results: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/results.py --out build/results --only "$(ONLY)"

zoo: $(VENV)/installed-tests
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/zoo.py

.venv-bench/installed: pyproject.toml benchmarks/requirements.txt
	test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --editable '.[quantize]' -r benchmarks/requirements.txt
	touch $@

bench: .venv-bench/installed
	.venv-bench/bin/izhi bench

# Triton's interpreter is in the tests' environment, the other libraries in the benchmark's.
ifdef SMALL
gpu: $(VENV)/installed-tests
	$(BIN)/python benchmarks/gpu.py --out build/gpu --small
else
gpu: .venv-bench/installed
	.venv-bench/bin/python -m pip install --quiet "jax[cuda12]"
	.venv-bench/bin/python benchmarks/gpu.py --out build/gpu
endif

$(DIST)/installed: Makefile
	test -x $(DIST)/bin/python || $(PYTHON) -m venv $(DIST)
	$(DIST)/bin/python -m pip install --quiet build twine
	touch $@

# Of what an earlier build listed, setuptools would take along all that is still there.
dist: $(DIST)/installed $(VENV)/installed-tests
	rm -rf dist src/*.egg-info/SOURCES.txt
	$(DIST)/bin/python -m build
	$(DIST)/bin/python -m twine check --strict dist/*
	IZHI_DIST=$(CURDIR)/dist $(BIN)/python -m pytest -m "slow or long" tests/test_release.py

clean:
	rm -rf $(VENV) $(PYNQ) $(NIR) $(OLDEST) $(DIST) .venv-bench build dist src/*.egg-info
