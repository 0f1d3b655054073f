#!/bin/sh
# Builds the CUDA kernels as C++ on host threads and runs their tests: logic, indices and barriers without a GPU.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
build=build/emulated
cmake -S . -B $build -G Ninja -DPOSE_RT_CUDA=EMULATE -DPython_EXECUTABLE="$(command -v "$python")" \
  -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" >/dev/null
cmake --build $build
POSE_RT_EMULATED_CORE=$(ls "$PWD"/$build/_core*.so) "$python" -m pytest -q tests/gpu "$@"
