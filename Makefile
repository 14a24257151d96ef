# make demo    build everything in .venv and look at the demo picture
# make test    run the test suite
# make bench   measure against others, into bench/results
# make gpu     on a machine with a CUDA device: parity with the CPU, sanitizers, figures
# make lint    ruff and clang-format, as CI does
# make clean   remove .venv, builds and the demo's output
#
# PYTHON names the Python to start from, PIP_OPTIONS goes to every pip install.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --constraint constraints.txt $(PIP_OPTIONS)
NATIVE := CMakeLists.txt pyproject.toml $(wildcard kernels/*) $(wildcard solvers/*)
CXX_FILES := $(wildcard kernels/*.h kernels/*.cpp kernels/*.cu solvers/*.h solvers/*.cpp \
	tests/native/*.h tests/native/*.cpp tests/native/*.cu)

.PHONY: demo test bench gpu lint format clean
.DELETE_ON_ERROR:

demo: $(VENV)/built
	$(BIN)/mrfmask infer demo/astronaut.jpg --out demo/out --budget 1% --overwrite
	$(BIN)/mrfmask infer demo/astronaut.jpg --out demo/out/contrast --potentials contrast --overwrite
	$(BIN)/mrfmask infer demo/astronaut.jpg --out demo/out/edge --potentials edge --overwrite
	$(BIN)/mrfmask infer demo/astronaut.jpg --out demo/out/spread --potentials spread \
		--size 75x75 --overwrite
	$(BIN)/mrfmask infer demo/astronaut.jpg --out demo/out/marginals --task marginals --overwrite

# A file's tests stay in one process, as they share what they set up. A process takes a gigabyte.
test: $(VENV)/built
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(PYTEST_OPTIONS)

# One rival at a time: one that cannot be had here is named as such in the results.
bench: $(VENV)/built
	-grep -v '^#' bench/requirements.txt | xargs -n 1 $(PIP)
	$(BIN)/python -m bench.peers
	$(BIN)/python -m bench.path
	$(BIN)/python -m bench.budgets
	$(BIN)/python -m bench.worst_cases
	$(BIN)/python -m bench.select
	$(BIN)/python -m bench.swaps
	$(BIN)/python -m bench.mask_layer
	$(BIN)/python -m bench.amn
	$(BIN)/python -m bench.graph_cuts
	$(BIN)/python -m bench.graph_gibbs
	$(BIN)/python -m bench.frustrated

# Without .venv and without a registry: what must be there, CONTRIBUTING says. An editable install,
# as Python finds the package's source here first. pytest fails where it finds no test, and third
# parties' warnings on a new machine are no error.
SANITIZER := $(or $(shell command -v compute-sanitizer),$(wildcard /usr/local/cuda/bin/compute-sanitizer))
GPU_TESTS := -m pytest -W default -p no:cacheprovider tests/test_gpu.py
gpu:
	$(PYTHON) -m pip install --quiet --no-build-isolation --no-deps --editable .
	$(PYTHON) -m mrfmask doctor
	$(PYTHON) $(GPU_TESTS) -m gpu
	@test -n "$(SANITIZER)" || echo "compute-sanitizer is not here: memcheck and racecheck NOT RUN"
	@test -z "$(SANITIZER)" || for tool in memcheck racecheck; do \
		PYTORCH_NO_CUDA_MEMORY_CACHING=1 $(SANITIZER) --tool $$tool --error-exitcode 1 \
			$(PYTHON) $(GPU_TESTS) -m "gpu and small" || exit 1; done
	$(PYTHON) -m bench.gpu

lint: $(VENV)/built
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run -Werror $(CXX_FILES)

format: $(VENV)/built
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CXX_FILES)

clean:
	rm -rf $(VENV) build demo/out

# What the build and the tests need. torch first, so that nothing else chooses its version.
$(VENV)/installed: constraints.txt pyproject.toml
	@tools/check_machine.sh $(PYTHON)
	@echo "Setting up $(VENV): about a minute, and 1 GB of disk."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) scikit-build-core nanobind cmake ninja
	touch $@

# An editable install: Python changes count at once, native ones rebuild here.
$(VENV)/built: $(VENV)/installed $(NATIVE)
	$(PIP) --no-build-isolation --config-settings=cmake.define.MRFMASK_WERROR=$(WERROR) --editable '.[dev]'
	touch $@

WERROR ?= OFF
