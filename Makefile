# One door: `make help`. What CI runs is `make ci`, and nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q
# The tests of the models and of training need torch. On a machine without a GPU the smallest build will do; TORCH= leaves it out
# and the tests that need it are skipped, with a note.
TORCH ?= torch==2.13.0
# Test processes side by side.
WORKERS ?= 2
# Length of `make soak`.
SOAK_S ?= 600
CLIP := demos/clips/woman_walking.mp4
SOURCES := pose_rt exporters training demos tests
NATIVE := $(wildcard csrc/*.cpp csrc/*.hpp csrc/*.cu csrc/*.cuh csrc/*.h)

.DEFAULT_GOAL := help
.PHONY: help setup dev demo test test-gpu check format bench cuda sanitize soak ci clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] else "pose-rt needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; set PYTHON=python3.11 (or newer)")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.setup: $(BIN)/python pyproject.toml CMakeLists.txt $(NATIVE)
	$(PIP) -e .
	@touch $@

# Without bytecode: of the tens of thousands of files that torch and the tools bring, few are ever imported.
$(VENV)/.dev: $(BIN)/python pyproject.toml CMakeLists.txt $(NATIVE)
	$(if $(TORCH),$(PIP) --no-compile "$(TORCH)")
	$(if $(TORCH),$(PIP) --no-compile "lightning-fabric>=2.3" "tensorboard>=2.16")
	$(PIP) --no-compile -e ".[dev]"
	@touch $@ $(VENV)/.setup

setup: $(VENV)/.setup ## make .venv with pose-rt in it (editable)

dev: $(VENV)/.dev ## setup, with what the tests and checks need

demo: setup ## run the whole pipeline on a bundled clip
	$(BIN)/pose-rt video $(CLIP) --out demo_out.mp4 --save-json demo_out.jsonl --overwrite
	@echo "watch $(CURDIR)/demo_out.mp4 ; data in $(CURDIR)/demo_out.jsonl"

test: dev ## run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)

check: dev ## lint, types, formatting
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(NATIVE)

format: dev ## put the formatting right
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/clang-format -i $(NATIVE)

bench: setup ## kernels and pipeline, measured on this machine
	$(BIN)/pose-rt bench ops
	$(BIN)/pose-rt bench pipeline $(CLIP)

soak: setup ## live for ten minutes: memory, threads and age must stay flat (SOAK_S= seconds)
	OMP_NUM_THREADS=1 $(BIN)/python -m pose_rt.bench.soak $(CLIP) --seconds $(SOAK_S) --json benchmarks/soak.json

sanitize: dev ## the kernels under ASan + UBSan and under TSan, side by side
	@mkdir -p build
	@export PATH="$(CURDIR)/$(BIN):$$PATH"; \
	PYTHON=$(CURDIR)/$(BIN)/python tests/sanitize.sh address >build/address.log 2>&1 & address=$$!; \
	PYTHON=$(CURDIR)/$(BIN)/python tests/sanitize.sh thread; thread=$$?; \
	wait $$address; address=$$?; cat build/address.log; \
	test $$thread -eq 0 -a $$address -eq 0

# Only the kernels: the rest of the module is compiled with them by `setup`, where nvcc is.
cuda: dev ## compile the CUDA kernels for all architectures, where nvcc is
	@if command -v nvcc >/dev/null; then \
	  PATH="$(CURDIR)/$(BIN):$$PATH" cmake -S . -B build/cuda -G Ninja -DPOSE_RT_CUDA=ON -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python \
	    -Dpybind11_DIR="$$($(BIN)/python -m pybind11 --cmakedir)" >/dev/null && \
	  PATH="$(CURDIR)/$(BIN):$$PATH" cmake --build build/cuda --target kernels_cuda; \
	else echo "no nvcc here: the CUDA kernels were not compiled"; fi

test-gpu: dev ## build the CUDA kernels and the engines, run all GPU tests and the kernels under compute-sanitizer
	@command -v nvidia-smi >/dev/null || { echo "test-gpu needs an NVIDIA GPU and its driver; nvidia-smi is not here" >&2; exit 1; }
	POSE_RT_CUDA=ON $(PIP) -e .
	$(BIN)/pose-rt doctor
	$(BIN)/pose-rt build-engines --precision fp32
	$(BIN)/pose-rt build-engines --precision fp16
	$(BIN)/python -m pytest -m gpu tests/gpu tests/conformance tests/backends
	@if command -v compute-sanitizer >/dev/null; then for tool in memcheck racecheck; do \
	  compute-sanitizer --tool $$tool --error-exitcode 1 $(BIN)/python -m pytest -q --timeout 1200 \
	    tests/gpu/test_ops_gpu.py tests/gpu/test_ddim_step_gpu.py || exit 1; done; \
	else echo "no compute-sanitizer here: memcheck and racecheck were not run"; fi

ci: check test cuda sanitize ## what CI runs

clean: ## remove everything that was built
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis demo_out.*
